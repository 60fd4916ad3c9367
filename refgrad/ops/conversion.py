"""Copies, casts between dtypes and devices, complex parts, and the sum over broadcast dimensions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.devices import CPU, MODULES, as_device, device, module_for
from refgrad.dtypes import dtype
from refgrad.layout import laid_out_as, offset_of, strides_of
from refgrad.ops.arguments import device_argument, dtype_argument, tensor_argument, type_name
from refgrad.ops.constants import zeros_like
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = ["clone", "complex", "conj", "imag", "real", "view_as_complex", "view_as_real", "zeros_like"]


# Copies


def _copy_dense(xp: Any, x: Any) -> Any:
    return laid_out_as(xp, x, x)


_clone = Op("clone", _copy_dense, {"self": lambda F, g: g}, jvp="linear")
_contiguous = Op(
    "contiguous",
    lambda xp, x: xp.array(x, order="C", copy=True),
    {"self": lambda F, g: g},
    node="CloneBackward0",
    jvp="linear",
)


def clone(input: Tensor) -> Tensor:
    """A copy with history."""
    return _clone(tensor_argument("clone", input))


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
    jvp="linear",
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
    jvp="linear",
)


def move(input: Tensor, where: device, origin: device | None = None) -> Tensor:
    """`input` on another device; the tensor itself if it is there."""
    here = input.device
    if where.type == "cuda" and where.index is None:
        where = device("cuda", 0)
    return input if here == where else move_op(input, where=where, origin=here)


move_op.public = move


def cpu(input: Tensor) -> Tensor:
    """The tensor on the CPU; the tensor itself if it is there."""
    return move(input, CPU)


def cuda(input: Tensor, device: Any = None) -> Tensor:
    """The tensor on a GPU, the first one unless told otherwise; the tensor itself if it is there."""
    return move(input, as_device("cuda" if device is None else device))


def _converted(input: Tensor, kind: dtype) -> Tensor:
    """`input` in a dtype that a user asked for: with a UserWarning where imaginary parts get lost."""
    if input._data.dtype.kind == "c" and dtypes.BOOL < kind.category < dtypes.COMPLEX:
        warnings.warn(
            "Casting complex values to real discards the imaginary part", UserWarning, stacklevel=4
        )
    return cast(input, kind)


def _names_dtype(value: Any) -> bool:
    return isinstance(value, dtype) or (isinstance(value, type) and value in dtypes.OF_PYTHON)


def _targets(args: tuple[Any, ...]) -> tuple[Any, Any, tuple[Any, ...]]:
    """The dtype and the device that the positional arguments of `to` name, and the flags that follow."""
    if not args:
        return None, None, ()
    first = args[0]
    if isinstance(first, Tensor):
        return first.dtype, first.device, args[1:]
    if _names_dtype(first):
        return first, None, args[1:]
    if first is None or (isinstance(first, (str, device, int)) and not isinstance(first, bool)):
        if len(args) > 1 and (args[1] is None or _names_dtype(args[1])):
            return args[1], first, args[2:]
        return None, first, args[1:]
    return None, None, args


def to(input: Tensor, *args: Any, **named: Any) -> Tensor:
    """``to(dtype)``, ``to(device)``, ``to(device, dtype)`` or ``to(other)``, then the flags `non_blocking` and `copy`.

    The tensor itself where nothing changes, unless `copy` is true. TypeError for other arguments.
    """
    kind, where, flags = _targets(args)
    found = {"dtype": kind, "device": where, **dict(zip(("non_blocking", "copy"), flags, strict=False))}
    doubled = [name for name in named if found.get(name) is not None]
    found.update(named)
    if (
        doubled
        or len(flags) > 2
        or found.keys() - {"dtype", "device", "non_blocking", "copy"}
        or any(type(found.get(name, False)) is not bool for name in ("non_blocking", "copy"))
        or not (found["dtype"] is None or _names_dtype(found["dtype"]))
    ):
        given = [type_name(x) for x in args] + [f"{name}={type_name(x)}" for name, x in named.items()]
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({', '.join(given)}), but expected one of:\n"
            " * (device, dtype, bool non_blocking, bool copy)\n * (dtype, bool non_blocking, bool copy)\n"
            " * (Tensor other, bool non_blocking, bool copy)"
        )
    out = input
    if found["device"] is not None:
        out = move(out, device_argument("to", found["device"]))
    wanted = dtype_argument("to", found["dtype"])
    if wanted is not None:
        out = _converted(out, wanted)
    return _to_copy(input) if found.get("copy") and out is input else out


_to_copy = Op("to_copy", _copy_dense, {"self": lambda F, g: g}, jvp="linear")


def _caster(target: dtype, name: str) -> Any:
    def convert(input: Tensor) -> Tensor:
        return _converted(input, target)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The tensor as {target.name}."
    return convert


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype and on the device of `other`."""
    return to(input, tensor_argument("type_as", other, "other"))


_TYPES = {
    f"{prefix}.{name}Tensor": (place, dtypes.BY_NAME[kind])
    for kind, name in dtypes.SCALAR_TYPE.items()
    for prefix, place in (("torch", "cpu"), ("torch.cuda", "cuda"))
}


def type_(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The tensor in another dtype, given as such or by torch's name of a type; without one, the name of its own type.

    ValueError for other names, TypeError for what is none.
    """
    if dtype is None:
        prefix = "torch.cuda" if input.is_cuda else "torch"
        return f"{prefix}.{dtypes.SCALAR_TYPE[input.dtype.name]}Tensor"
    if isinstance(dtype, dtypes.dtype):
        return _converted(input, dtype)
    if dtype is Tensor:
        return _converted(input, dtypes.get_default_dtype())
    if not isinstance(dtype, (str, type)):
        raise TypeError("dtype must be a type, str, or dtype object")
    name = dtype if isinstance(dtype, str) else dtype.__name__
    if name not in _TYPES:
        raise ValueError(f"invalid type: '{name}'")
    place, kind = _TYPES[name]
    return _converted(input if input.device.type == place else move(input, device(place)), kind)


# Complex parts. Of a real tensor they are the tensor itself, as in torch.

_conj = Op("conj", lambda xp, x: xp.conj(x), {"self": lambda F, g: g.conjugate()}, jvp="linear")


def conj(input: Tensor) -> Tensor:
    """The complex conjugate."""
    return _conj(input) if tensor_argument("conj", input)._data.dtype.kind == "c" else input


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
    jvp="linear",
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
    return _real(input) if tensor_argument("real", input)._data.dtype.kind == "c" else input


def imag(input: Tensor) -> Tensor:
    """The imaginary part, as a view; RuntimeError for a real tensor."""
    if tensor_argument("imag", input)._data.dtype.kind != "c":
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _imag(input)


_real.public, _imag.public = real, imag


def _complex_kernel(xp: Any, real: Any, imag: Any) -> Any:
    shape = xp.broadcast_shapes(real.shape, imag.shape)
    out = xp.empty(shape, xp.result_type(real.dtype, xp.complex64))
    out.real[...] = real
    out.imag[...] = imag
    return out


_complex = Op(
    "complex",
    _complex_kernel,
    {"real": lambda F, g: F.real(g), "imag": lambda F, g: F.imag(g)},
    inputs=("real", "imag"),
    elementwise=True,
)


def complex(real: Tensor, imag: Tensor) -> Tensor:
    """A complex tensor from its real and imaginary parts; RuntimeError unless both are of one float dtype."""
    tensor_argument("complex", real, "real")
    tensor_argument("complex", imag, "imag", 2)
    names = [dtypes.SCALAR_TYPE[t.dtype.name] for t in (real, imag)]
    if not (real.is_floating_point() and imag.is_floating_point()):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {names[0]} and {names[1]}"
        )
    if names[0] != names[1]:
        raise RuntimeError(
            f"Expected object of scalar type {names[0]} but got scalar type {names[1]} for second argument"
        )
    return _complex(real, imag)


_complex.public = complex


# A complex tensor as pairs of real numbers, and back: views of the same memory.


def _as_pairs(xp: Any, x: Any) -> Any:
    part = x.real
    return xp.lib.stride_tricks.as_strided(part, (*x.shape, 2), (*part.strides, part.itemsize))


def _as_numbers(xp: Any, x: Any) -> Any:
    return x.view(xp.result_type(x.dtype, xp.complex64))[..., 0]


_view_as_real = Op(
    "view_as_real", _as_pairs, {"self": lambda F, g: F.view_as_complex(F.contiguous(g))}, view=True
)
_view_as_complex = Op("view_as_complex", _as_numbers, {"self": lambda F, g: F.view_as_real(g)}, view=True)


def view_as_real(input: Tensor) -> Tensor:
    """The view of a complex tensor as real numbers, of which the last dimension has the real and imaginary parts."""
    if tensor_argument("view_as_real", input)._data.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return _view_as_real(input)


def view_as_complex(input: Tensor) -> Tensor:
    """The view of a real tensor with a last dimension of 2 as complex numbers; RuntimeError if they do not lie so."""
    data = tensor_argument("view_as_complex", input)._data
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{dtypes.SCALAR_TYPE[input.dtype.name]}"
        )
    if not data.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if data.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    *steps, last = strides_of(data)
    if last != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % 2 for s in steps):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if offset_of(data) % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return _view_as_complex(input)


_view_as_real.public, _view_as_complex.public = view_as_real, view_as_complex


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
    jvp="linear",
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
    jvp="linear",
)

Op("new_zeros", lambda xp, x, shape: xp.zeros(shape, x.dtype))

Op("zeros_like", lambda xp, x: xp.zeros(x.shape, x.dtype)).public = zeros_like

METHODS = {
    "clone": clone,
    "contiguous": contiguous,
    "to": to,
    "type": type_,
    "type_as": type_as,
    "conj": conj,
    "conjugate": conj,
    "cpu": cpu,
    "cuda": cuda,
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
