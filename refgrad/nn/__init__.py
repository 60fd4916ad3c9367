"""torch's `nn` namespace: so far its functions."""

from refgrad.nn import functional

__all__ = ["functional"]
