"""Parameters: tensors that are made to be optimised."""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.ops.constants import empty
from refgrad.tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A leaf that shares the values of a tensor and requires grad, unless told otherwise, whatever the grad mode.

    TypeError for a `requires_grad` that is no bool, RuntimeError for integers that are to require grad.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        source = empty(0) if data is None else data.detach()
        if not isinstance(requires_grad, bool):
            raise TypeError(
                "_make_subclass(): argument 'require_grad' (position 3) must be bool, not "
                f"{type(requires_grad).__name__}"
            )
        if requires_grad and source.dtype.category < dtypes.FLOATING:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        made: Parameter = object.__new__(cls)
        made._data, made._counter = source._data, source._counter
        made._rg = requires_grad
        return made

    def __repr__(self, *, tensor_contents: None = None) -> str:  # type: ignore[override]
        return f"Parameter containing:\n{super().__repr__()}"

    def __str__(self) -> str:  # type: ignore[override]
        return self.__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """A parameter with a copy of the values, without `.grad` and attributes, as in torch."""
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self._rg)
        found: Parameter = memo[id(self)]
        return found
