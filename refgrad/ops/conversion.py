"""Copies, casts between dtypes and devices, complex parts, and the sum over broadcast dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.devices import MODULES, as_device, device, module_for
from refgrad.dtypes import dtype
from refgrad.layout import laid_out_as
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = ["clone", "conj", "imag", "real", "zeros_like"]


# Copies


def _copy_dense(xp: Any, x: Any) -> Any:
    return laid_out_as(xp, x, x)


_clone = Op("clone", _copy_dense, {"self": lambda F, g: g})
_contiguous = Op(
    "contiguous",
    lambda xp, x: xp.array(x, order="C", copy=True),
    {"self": lambda F, g: g},
    node="CloneBackward0",
)


def clone(input: Tensor) -> Tensor:
    """A copy with history."""
    return _clone(input)


def contiguous(input: Tensor) -> Tensor:
    """The tensor itself if it is row-major already, else such a copy."""
    return input if input._data.flags.c_contiguous else _contiguous(input)


# Casts


def _cast_kernel(xp: Any, x: Any, dtype: dtype) -> Any:
    if x.dtype.kind == "c" and dtype.category < dtypes.COMPLEX:
        x = x.real
    return laid_out_as(xp, x, x, dtype.numpy)


cast_op = Op(
    "cast",
    _cast_kernel,
    {"self": lambda F, g, self_dtype: F.cast(g, dtype=self_dtype)},
    node="ToCopyBackward0",
)


def cast(input: Tensor, dtype: dtype) -> Tensor:
    """`input` in another dtype; the tensor itself if it has that dtype."""
    return input if input._data.dtype is dtype.numpy else cast_op(input, dtype=dtype)


cast_op.public = cast


def _move_kernel(xp: Any, x: Any, where: device, origin: device | None = None) -> Any:
    target = module_for(where)
    if xp is target:
        return xp.copy_to(x, where)
    return target.from_host(xp.to_host(x), where) if target is not MODULES[np.ndarray] else xp.to_host(x)


move_op = Op(
    "move",
    _move_kernel,
    {"self": lambda F, g, origin: F.move(g, where=origin)},
    node="ToCopyBackward0",
)


def move(input: Tensor, where: device, origin: device | None = None) -> Tensor:
    """`input` on another device; the tensor itself if it is there."""
    here = input.device
    if where.type == "cuda" and where.index is None:
        where = device("cuda", 0)
    return input if here == where else move_op(input, where=where, origin=here)


move_op.public = move


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``to(dtype)``, ``to(device)``, ``to(device, dtype)`` or ``to(other)``, with `copy` as keyword."""
    wanted_dtype, where = kwargs.pop("dtype", None), kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    other = kwargs.pop("other", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    for a in args:
        if isinstance(a, dtype):
            wanted_dtype = a
        elif isinstance(a, Tensor):
            other = a
        elif isinstance(a, (str, device)):
            where = a
        elif not isinstance(a, bool):
            raise TypeError(
                "to() received an invalid combination of arguments - got "
                f"({', '.join(type(x).__name__ for x in args)}), expected a dtype, a device or a Tensor"
            )
    if other is not None:
        wanted_dtype, where = other.dtype, other.device
    out = input
    if where is not None:
        out = move(out, as_device(where))
    if wanted_dtype is not None:
        out = cast(out, wanted_dtype)
    return _to_copy(input) if copy and out is input else out


_to_copy = Op("to_copy", _copy_dense, {"self": lambda F, g: g})


def _caster(target: dtype, name: str) -> Any:
    def convert(input: Tensor) -> Tensor:
        return cast(input, target)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The tensor as {target.name}."
    return convert


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype and on the device of `other`."""
    return to(input, other)


def type_(input: Tensor, dtype: dtype | None = None) -> Any:
    """The tensor in another dtype; without one, torch's name of its type."""
    if dtype is None:
        prefix = "torch.cuda" if input.is_cuda else "torch"
        return f"{prefix}.{dtypes.SCALAR_TYPE[input.dtype.name]}Tensor"
    return cast(input, dtype)


# Complex parts. Of a real tensor they are the tensor itself, as in torch.

_conj = Op("conj", lambda xp, x: xp.conj(x), {"self": lambda F, g: g.conjugate()})


def conj(input: Tensor) -> Tensor:
    """The complex conjugate."""
    return _conj(input) if input._data.dtype.kind == "c" else input


_conj.public = conj


def _complex_like(xp: Any, x: Any, imaginary: bool) -> Any:
    out = xp.zeros(x.shape, xp.result_type(x.dtype, xp.complex64))
    if imaginary:
        out.imag[...] = x
    else:
        out.real[...] = x
    return out


Op(
    "as_complex",
    _complex_like,
    {"self": lambda F, g, imaginary: F.imag(g) if imaginary else F.real(g)},
)
_real = Op(
    "real",
    lambda xp, x: x.real,
    {"self": lambda F, g: F.as_complex(g, imaginary=False)},
    view=True,
    node="SelectBackward0",
)
_imag = Op(
    "imag",
    lambda xp, x: x.imag,
    {"self": lambda F, g: F.as_complex(g, imaginary=True)},
    view=True,
    node="SelectBackward0",
)


def real(input: Tensor) -> Tensor:
    """The real part, as a view."""
    return _real(input) if input._data.dtype.kind == "c" else input


def imag(input: Tensor) -> Tensor:
    """The imaginary part, as a view; RuntimeError for a real tensor."""
    if input._data.dtype.kind != "c":
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _imag(input)


_real.public, _imag.public = real, imag


# What the engine needs: the sum over what was broadcast.


def _sum_to(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """`x` summed over added and stretched dimensions, so that it has `shape`."""
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + k for k, size in enumerate(shape) if size == 1 and x.shape[lead + k] != 1
    )
    if not axes:
        return xp.reshape(x, shape)
    # Half precision is summed in single, as torch does.
    total = xp.sum(x, axis=axes, dtype=xp.float32 if x.dtype == xp.float16 else None)
    return xp.reshape(total.astype(x.dtype), shape)


def _last_step(inputs: Any, params: Any) -> str:
    """torch sums to a number at once; else it keeps the dimensions and drops the added ones last."""
    shape = params["shape"]
    if not shape:
        return "SumBackward0"
    return "ViewBackward0" if inputs[0].ndim > len(shape) else "SumBackward1"


_sum_to_op = Op(
    "sum_to",
    _sum_to,
    {"self": lambda F, g, self_shape: F.expand_from(g, shape=self_shape)},
    node=_last_step,
)


def sum_to(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`input` summed over added and stretched dimensions; the tensor itself if it has `shape`."""
    return input if input._data.shape == shape else _sum_to_op(input, shape=shape)


_sum_to_op.public = sum_to
Op(
    "expand_from",
    lambda xp, x, shape: xp.broadcast_to(x, shape),
    {"self": lambda F, g, self_shape: F.sum_to(g, shape=self_shape)},
    node="ExpandBackward0",
)

Op("new_zeros", lambda xp, x, shape: xp.zeros(shape, x.dtype))

_zeros_like = Op("zeros_like", lambda xp, x: xp.zeros(x.shape, x.dtype))


def zeros_like(input: Tensor, *, dtype: dtype | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape, dtype and device of `input`, unless told otherwise."""
    out = _zeros_like(input)
    if dtype is not None or device is not None:
        out = to(out, dtype=dtype, device=device)
    if requires_grad and out.dtype.category < dtypes.FLOATING:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return out.requires_grad_() if requires_grad else out


_zeros_like.public = zeros_like

METHODS = {
    "clone": clone,
    "contiguous": contiguous,
    "to": to,
    "type": type_,
    "type_as": type_as,
    "conj": conj,
    "conjugate": conj,
    "cpu": lambda self: move(self, device("cpu")),
    "cuda": lambda self, device_=None: move(self, as_device("cuda" if device_ is None else device_)),
    "bool": _caster(dtypes.bool_, "bool"),
    "byte": _caster(dtypes.uint8, "byte"),
    "char": _caster(dtypes.int8, "char"),
    "short": _caster(dtypes.int16, "short"),
    "int": _caster(dtypes.int32, "int"),
    "long": _caster(dtypes.int64, "long"),
    "half": _caster(dtypes.float16, "half"),
    "float": _caster(dtypes.float32, "float"),
    "double": _caster(dtypes.float64, "double"),
    "cfloat": _caster(dtypes.complex64, "cfloat"),
    "cdouble": _caster(dtypes.complex128, "cdouble"),
}
PROPERTIES = {"real": real, "imag": imag}
INPLACE: dict[str, Any] = {}
