"""torch's old name of a tensor that is to be differentiated."""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.autograd.execution import ImperativeEngine
from refgrad.ops.constants import empty
from refgrad.tensor import Tensor

__all__ = ["Variable"]


class _OfTensors(type):
    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor)


class Variable(metaclass=_OfTensors):
    """``Variable(t)`` is a leaf that shares the values of `t`; every tensor is an instance.

    TypeError for what is no tensor, RuntimeError for integers that are to require grad.
    """

    _execution_engine = ImperativeEngine()

    def __new__(cls, data: Any = None, requires_grad: bool = False) -> Any:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        made = data.detach()
        if requires_grad and made.dtype.category < dtypes.FLOATING:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        return made.requires_grad_(bool(requires_grad))
