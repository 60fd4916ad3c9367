"""torch's `nn` namespace: so far its functions and its parameters."""

from refgrad.nn import functional, parameter
from refgrad.nn.parameter import Parameter

__all__ = ["Parameter", "functional", "parameter"]
