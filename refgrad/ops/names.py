"""The two namespaces that derivative formulas compute in: ops on arrays, and ops on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad.devices import MODULES, NUMPY, ArrayModule
from refgrad.ops.record import OPS


class ArrayNames:
    """Ops on the arrays of one module: kernels called directly, nothing recorded or promoted."""

    def __init__(self, module: ArrayModule) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        kernel = OPS[name].kernels[self._module.array_type]
        setattr(self, name, kernel)
        return kernel


class TensorNames:
    """The same ops on tensors, recorded as any other call."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = OPS[name].public
        setattr(self, name, function)
        return function


TENSORS = TensorNames()
_arrays: dict[type, ArrayNames] = {}


def names_for(array: Any) -> ArrayNames:
    """The namespace for arrays such as this one; NumPy's numbers stand for 0-dim arrays."""
    found = _arrays.get(type(array))
    if found is None:
        found = _arrays[type(array)] = ArrayNames(MODULES.get(type(array), NUMPY))
    return found


def forget() -> None:
    """Look every kernel up again: one was replaced."""
    _arrays.clear()
