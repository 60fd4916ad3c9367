"""A strict stand-in for CuPy, for tests on machines without a GPU.

What runs here is NumPy. It shows that array code *could* run on CuPy: that it calls only names and
keyword arguments which the installed CuPy has, never mixes in host arrays, stays on one device and
does not count on what only NumPy does. It never counts as a run on CUDA: no kernel, no stream, no
GPU rounding, no atomics.

Arrays have a type of their own and live on one of two pretended devices. Names, keyword arguments
and the dtypes of ufuncs are read from the real package, which can be imported without a GPU; the
values come from the NumPy (or SciPy) function of the same name. Three kinds of refusal:

- AttributeError: the real CuPy has no such name.
- TypeError, ValueError, IndexError: the real CuPy refuses this call, or would copy silently
  between host and device, or leaves the result undefined. Here the stand-in is the stricter one:
  host arrays as indices or values, lists of numbers as arrays, plain numbers where NumPy would make
  an array of them, repeated targets with different values, writes through a broadcast view.
- NotImplementedError: CuPy has it, the stand-in does not. It never stands for a result.

Where CuPy leaves memory or a result undefined (`empty`, a singular `linalg.inv`), it is NaN here.
"""

import numpy as _np

from . import _functions, _methods, _real
from ._array import ndarray
from ._devices import cuda
from ._ufunc import ufunc

__version__ = _real.cupy.__version__
_methods.attach()

linalg = _real.Mirror(_real.cupy.linalg, _functions.builder(_np.linalg))
fft = _real.Mirror(_real.cupy.fft, _functions.builder(_np.fft))
lib = _real.Mirror(
    _real.cupy.lib,
    _functions.top_level,
    stride_tricks=_real.Mirror(
        _real.cupy.lib.stride_tricks, _functions.builder(_np.lib.stride_tricks)
    ),
)


def __getattr__(name: str) -> object:
    found = _functions.top_level(name)
    globals()[name] = found
    return found


__all__ = ["cuda", "fft", "lib", "linalg", "ndarray", "ufunc"]
