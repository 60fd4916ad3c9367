"""torch's `fft`: what the family of Fourier transforms puts there."""

from refgrad.ops.fourier import FOURIER

globals().update({f.__name__: f for f in FOURIER})
