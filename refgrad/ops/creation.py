"""Tensors from data: numbers, nested sequences, NumPy arrays, other tensors."""

from __future__ import annotations

import functools
import math
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.devices import MODULES, as_device
from refgrad.dtypes import dtype, from_numpy_dtype
from refgrad.layout import copy_order
from refgrad.ops.arguments import device_argument, dtype_argument, flag, number, type_name
from refgrad.ops.conversion import clone, to
from refgrad.ops.making import creates, element, placed, sizes, whole
from refgrad.tensor import Size, Tensor, wrap

__all__ = ["as_tensor", "asarray", "from_numpy", "scalar_tensor", "tensor"]

_DEEPEST = 128


# Nested sequences


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (Sequence, np.ndarray))


def _shape_of(data: Any) -> tuple[int, ...]:
    """The shape of nested sequences, by their first items. A tensor counts as a number."""
    shape: list[int] = []
    while _is_sequence(data):
        shape.append(len(data))
        if len(shape) > _DEEPEST:
            raise ValueError(f"too many dimensions '{type_name(data)}'")
        if not shape[-1]:
            break
        data = data[0]
    return tuple(shape)


def _dtype_of(value: Any) -> dtype:
    """The dtype that torch infers from a number, a tensor, or nested sequences of them.

    TypeError for text, RuntimeError for anything else that is no number.
    """
    if isinstance(value, Tensor):
        return value.dtype
    if isinstance(value, (np.ndarray, np.generic)):
        return from_numpy_dtype(value.dtype)
    if isinstance(value, (bool, int, float, complex)):
        return dtypes.of_scalar(value)
    if isinstance(value, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type_name(value)}'")
    if not isinstance(value, Sequence):
        raise RuntimeError(f"Could not infer dtype of {type_name(value)}")
    if not len(value):
        return dtypes.get_default_dtype()
    return functools.reduce(dtypes.promote_types, [_dtype_of(item) for item in value])


def _collect(data: Any, shape: tuple[int, ...], dim: int, into: list[Any]) -> None:
    """Append the numbers of nested sequences in row-major order; ValueError where they are ragged."""
    if dim == len(shape):
        into.append(data)
        return
    try:
        items = list(data)
    except TypeError:
        raise TypeError("not a sequence") from None
    if len(items) != shape[dim]:
        raise ValueError(f"expected sequence of length {shape[dim]} at dim {dim} (got {len(items)})")
    if dim + 1 == len(shape):
        into.extend(items)
        return
    for item in items:
        _collect(item, shape, dim + 1, into)


def _stored(value: Any, kind: dtype) -> Any:
    """One number as an element of a dtype; TypeError for what is none, RuntimeError where it does not fit."""
    if kind.category == dtypes.FLOATING:
        return math.ldexp(value, 0)  # as float(), but not of text
    if kind.category == dtypes.COMPLEX:
        return complex(value) if isinstance(value, (complex, np.complexfloating, Tensor)) else math.ldexp(value, 0)
    if kind is dtypes.bool_:
        return bool(value if isinstance(value, (float, complex, np.bool_)) else operator.index(value))
    if isinstance(value, float):
        return whole(value, kind, kind.name)
    found = operator.index(value)
    if not -(2**63) <= found < 2**63:
        raise ValueError("Overflow when unpacking long long")
    return whole(found, kind, kind.name)


def _from_sequences(data: Any, kind: dtype | None) -> np.ndarray[Any, Any]:
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type_name(data)}'")
    shape = _shape_of(data)
    kind = kind or _dtype_of(data)
    values: list[Any] = []
    if 0 not in shape:
        _collect(data, shape, 0, values)
    wide = (np.bool_, np.int64, np.float64, np.complex128)[kind.category]
    with np.errstate(all="ignore"):
        return np.array([_stored(v, kind) for v in values], wide).astype(kind.numpy, copy=False).reshape(shape)


# NumPy arrays


def _checked(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array, of NumPy's own class; TypeError or ValueError for one that no tensor can share memory with."""
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders "
            "is currently not supported."
        )
    from_numpy_dtype(array.dtype)
    if any(s < 0 for s in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. (You can probably work around this by making a copy of your array  with "
            "array.copy().) "
        )
    if any(s % array.itemsize for s in array.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate "
            "the memory."
        )
    return array.view(np.ndarray)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A CPU tensor that shares memory with a NumPy array.

    TypeError for other objects and dtypes that no tensor has; ValueError for negative strides and foreign byte
    order; UserWarning for a read-only array, which cannot be written through the tensor either.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type_name(array)})")
    found = _checked(array)
    if not found.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. Writing to "
            "the tensor will fail: copy the array first if that is not what you want.",
            UserWarning,
            stacklevel=2,
        )
    return wrap(found)


# What is public


def _copied(name: str, data: Any, kind: Any, where: Any, requires_grad: Any, like: Tensor | None = None) -> Tensor:
    kind = dtype_argument(name, kind) or (None if like is None else like.dtype)
    flag(name, "requires_grad", requires_grad)
    found = like.device if like is not None and where is None else device_argument(name, where)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=3,
        )
        if like is None and where is None:
            found = data.device
        data, kind = MODULES[type(data._data)].to_host(data._data), kind or data.dtype
    elif isinstance(data, np.ndarray):
        data = _checked(data)
    else:
        return placed(_from_sequences(data, kind), found, requires_grad)
    target = (kind or from_numpy_dtype(data.dtype)).numpy
    if data.dtype.kind == "c" and target.kind != "c":
        data = data.real
    with np.errstate(all="ignore"):
        return placed(np.array(data, target, order=copy_order(data), copy=True), found, requires_grad)


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A leaf that holds a copy of `data`: a number, nested sequences, an array or a tensor (with a UserWarning).

    The dtype is inferred as torch infers it: Python floats give the default dtype. Raises ValueError for ragged
    sequences, TypeError and RuntimeError for what is no number or does not fit.
    """
    return _copied("tensor", data, dtype, device, requires_grad)


def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`tensor` with the dtype and device of this one, unless told otherwise."""
    return _copied("new_tensor", data, dtype, device, requires_grad, self)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory and history where that is possible; errors as in `tensor`."""
    kind = dtype_argument("as_tensor", dtype)
    if isinstance(data, Tensor):
        return to(data, dtype=kind, device=None if device is None else device_argument("as_tensor", device))
    where = device_argument("as_tensor", device)
    if isinstance(data, np.ndarray):
        return to(from_numpy(data), dtype=kind, device=where)
    return placed(_from_sequences(data, kind), where, False)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None
) -> Tensor:
    """`obj` as a tensor: a copy if `copy` is true, never one if it is false (ValueError), else where it must be.

    A tensor keeps its history unless `requires_grad` is false.
    """
    kind = dtype_argument("asarray", dtype)
    for name, value in (("copy", copy), ("requires_grad", requires_grad)):
        if value is not None:
            flag("asarray", name, value)
    wanted = bool(requires_grad)
    if isinstance(obj, Tensor):
        if requires_grad is None and obj._rg:
            warnings.warn(
                "torch.asarray: unspecified requires_grad now defaults to obj.requires_grad instead of False. Pass "
                "requires_grad explicitly to choose.",
                UserWarning,
                stacklevel=2,
            )
            wanted = True
        shared = obj
    elif isinstance(obj, np.ndarray):
        shared = from_numpy(obj)
    elif copy is False:
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    else:
        return placed(_from_sequences(obj, kind), device_argument("asarray", device), wanted)
    if copy is False and kind is not None and kind is not shared.dtype:
        names = dtypes.SCALAR_TYPE[shared.dtype.name], dtypes.SCALAR_TYPE[kind.name]
        raise ValueError(f"can't alias tensor with dtype '{names[0]}' into dtype '{names[1]}'.")
    where = None if device is None else device_argument("asarray", device)
    if copy is False and where is not None and where.type != shared.device.type:
        raise ValueError(f"can't alias tensor from device '{shared.device}' to '{where}'.")
    found = to(shared, dtype=kind, device=where)
    if copy and found is shared:
        found = clone(shared)
    if not wanted:
        return found.detach() if found._edge is not None else found.requires_grad_(False)
    if found.dtype.category < dtypes.FLOATING:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return found if found._rg else found.requires_grad_()


@creates
def scalar_tensor(s: Any, *, dtype: dtype | None) -> Any:
    """A tensor of no dimensions from a number, of the default dtype unless told otherwise."""
    kind = dtype or dtypes.get_default_dtype()
    return np.array(element(number("scalar_tensor", "s", s, 1), kind), kind.numpy)


def legacy(function: str, args: tuple[Any, ...], kind: dtype, where: Any) -> Tensor:
    """torch's old constructor: sizes, a sequence of data, or a tensor, which is shared."""
    found = as_device(where)
    if len(args) == 1 and not isinstance(args[0], (int, np.integer, Size)) or args and args[0] is True:
        data = args[0]
        if isinstance(data, Tensor):
            return data.detach()
        if not _is_sequence(data) or (isinstance(data, np.ndarray) and not data.ndim):
            raise TypeError(f"{function}(): data must be a sequence (got {type_name(data)})")
        return placed(_from_sequences(data, kind), found, False)
    return placed(np.zeros(sizes(function, args or (0,)), kind.numpy), found, False)


def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """torch's old constructor, with the dtype and device of this tensor."""
    return legacy("new", args, self.dtype, self.device if device is None else device)


METHODS = {"new": new, "new_tensor": new_tensor}
