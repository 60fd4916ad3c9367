"""What creation functions share: dtype, device and requires_grad; sizes; memory order; numbers as elements."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.devices import device, module_for
from refgrad.dtypes import dtype
from refgrad.layout import arranged_by, is_dense
from refgrad.ops.arguments import as_index, device_argument, dtype_argument, flag, reject, spelled_out, tensor_argument
from refgrad.tensor import Tensor, wrap

_REQUIRES_FLOATS = "Only Tensors of floating point and complex dtype can require gradients"


def placed(values: Any, where: device, requires_grad: bool) -> Tensor:
    """A NumPy array as a tensor on a device; RuntimeError for integers that are to require grad."""
    t = wrap(module_for(where).from_host(np.asarray(values), where))
    if requires_grad:
        if t.dtype.category < dtypes.FLOATING:
            raise RuntimeError(_REQUIRES_FLOATS)
        t._rg = True
    return t


def _most_arguments(make: Callable[..., Any]) -> float:
    """How many positional arguments a function takes."""
    kinds = [p.kind for p in inspect.signature(make).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return math.inf
    return kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _too_many(name: str, most: float, given: int) -> TypeError:
    return TypeError(f"{name}() takes {most:g} positional argument{'s' * (most > 1)} but {given} were given")


def creates(make: Callable[..., Any]) -> Callable[..., Tensor]:
    """The public creation function of one that makes a NumPy array.

    It adds the keywords `dtype`, `device` and `requires_grad`; `make` gets a dtype or None as keyword `dtype`.
    """
    name, most = make.__name__, _most_arguments(make)

    @functools.wraps(make)
    def create(*args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any) -> Tensor:
        if len(args) > most:
            raise _too_many(name, most, len(args))
        kind = dtype_argument(name, dtype)
        if requires_grad is not None:
            flag(name, "requires_grad", requires_grad)
        where = device_argument(name, device)
        return placed(make(*args, dtype=kind, **named), where, requires_grad)

    return create


def creates_like(make: Callable[..., Any]) -> Callable[..., Tensor]:
    """The same for a function whose first argument is a tensor, which gives dtype and device where none are named."""
    name, most = make.__name__, _most_arguments(make)

    @functools.wraps(make)
    def create(
        input: Tensor, *args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any
    ) -> Tensor:
        if len(args) >= most:
            raise _too_many(name, most, len(args) + 1)
        kind = dtype_argument(name, dtype) or tensor_argument(name, input).dtype
        if requires_grad is not None:
            flag(name, "requires_grad", requires_grad)
        where = input.device if device is None else device_argument(name, device)
        return placed(make(input, *args, dtype=kind, **named), where, requires_grad)

    return create


def sizes(function: str, given: tuple[Any, ...], named: dict[str, Any] | None = None) -> tuple[int, ...]:
    """Sizes given one by one, as one sequence, or as the only one of the keywords `named`.

    TypeError for anything but ints, RuntimeError for negative sizes and for more elements than memory has places.
    """
    if named:
        if "size" not in named or len(named) > 1:
            other = next(key for key in named if key != "size")
            raise TypeError(f"{function}() got an unexpected keyword argument '{other}'")
        if given:
            raise TypeError(f"{function}() got multiple values for argument 'size'")
        given = (sequence(function, named["size"], None),)
    elif len(given) == 1 and as_index(given[0]) is None:
        sequence(function, given[0], 1)
    found = spelled_out(function, "size", given)
    for n in found:
        if n < 0:
            if function == "zeros":
                raise RuntimeError("zeros: Dimension size must be non-negative.")
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(found)}")
    if math.prod(found) >= 2**60:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(found)}")
    return found


def sequence(function: str, size: Any, position: int | None) -> Any:
    """`size` if it is a tuple or list, where torch takes no single int; else TypeError."""
    if not isinstance(size, (tuple, list)):
        reject(function, "size", "tuple of ints", size, position)
    return size


def array_like(array: Any, kind: dtype) -> np.ndarray[Any, Any]:
    """A NumPy array of the shape of any array, in the memory order in which torch lays out what is like it."""
    if array.flags.c_contiguous and 1 not in array.shape:
        return np.empty(array.shape, kind.numpy)
    if not is_dense(array):
        steps = tuple([s if n > 1 else 0 for s, n in zip(array.strides, array.shape, strict=True)])
        return arranged_by(np, np.empty(array.shape, kind.numpy), [steps])
    strides = [s // array.itemsize * kind.itemsize for s in array.strides]
    return np.lib.stride_tricks.as_strided(np.empty(array.size, kind.numpy), array.shape, strides)


# Numbers as elements

_C10 = {  # the dtypes in the errors of torch's `Scalar`
    "bool": "bool",
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int",
    "int64": "int64_t",
    "float16": "c10::Half",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


def element(value: Any, kind: dtype, name: str | None = None) -> Any:
    """A Python number as an element of a dtype.

    RuntimeError where it does not fit (unsigned integers take negative ones that wrap around), with the `name`
    of the dtype; OverflowError for what no C integer holds.
    """
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise OverflowError("int too big to convert" if value > 0 else "can't convert negative int to unsigned")
    if kind.category == dtypes.BOOL:
        return bool(value)
    if isinstance(value, complex) and kind.category < dtypes.COMPLEX:
        if value.imag:
            raise _overflow(kind, name)
        value = value.real
    if kind.category == dtypes.INTEGRAL:
        return np.array(whole(value, kind, name), np.int64).astype(kind.numpy)[()]
    limit = float(np.finfo(kind.numpy).max)
    for part in (value.real, value.imag):
        if abs(part) > limit and not math.isinf(part):
            raise _overflow(kind, name)
    return kind.numpy.type(value)


_LIMITS = {
    d: (int(np.iinfo(d.numpy).min), int(np.iinfo(d.numpy).max))
    for d in dtypes.ALL
    if d.category == dtypes.INTEGRAL
}


def whole(value: float, kind: dtype, name: str | None = None) -> int:
    """A real number cut off to an int64, which the integer dtype must hold as `element` says."""
    least, most = _LIMITS[kind]
    if isinstance(value, int):
        if not (least or -most) <= value <= most:
            raise _overflow(kind, name)
        return value
    if not least <= value <= float(most):
        raise _overflow(kind, name)
    return int(value) if value < 2.0**63 else -(2**63)  # the largest int64 is no float64: torch lets its rounding in


def _overflow(kind: dtype, name: str | None) -> RuntimeError:
    return RuntimeError(f"value cannot be converted to type {name or _C10[kind.name]} without overflow")
