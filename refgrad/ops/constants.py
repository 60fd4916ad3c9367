"""Tensors made from nothing: constants and ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.dtypes import dtype
from refgrad.ops.arguments import integer, number, type_name
from refgrad.ops.making import array_like, creates, creates_like, element, sequence, sizes
from refgrad.tensor import Tensor

__all__ = [
    "arange",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]


# Constant


def _constant(name: str, value: int) -> Callable[..., Tensor]:
    def make(*size: Any, dtype: dtype | None, **named: Any) -> Any:
        return np.full(sizes(name, size, named), value, (dtype or dtypes.get_default_dtype()).numpy)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"A tensor of the given sizes, filled with {value}; of the default dtype if none is given."
    return creates(make)


def _constant_of(name: str, value: int) -> Callable[..., Tensor]:
    def make(self: Tensor, *size: Any, dtype: dtype, **named: Any) -> Any:
        return np.full(sizes(name, size, named), value, dtype.numpy)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"A tensor of the given sizes, filled with {value}, with dtype and device of this one."
    return creates_like(make)


def _constant_like(name: str, value: int) -> Callable[..., Tensor]:
    def make(input: Tensor, *, dtype: dtype) -> Any:
        values = array_like(input._data, dtype)
        values[...] = value
        return values

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"A tensor filled with {value}, of the shape, dtype and device of `input`, unless told otherwise."
    return creates_like(make)


zeros, ones = _constant("zeros", 0), _constant("ones", 1)
empty = _constant("empty", 0)  # torch leaves the values undefined: zeros are as good as any
zeros_like, ones_like = _constant_like("zeros_like", 0), _constant_like("ones_like", 1)
empty_like = _constant_like("empty_like", 0)


@creates
def full(size: Any, fill_value: Any, *, dtype: dtype | None) -> Any:
    """A tensor filled with one number; the dtype is that of the number unless given.

    TypeError for what is no number, RuntimeError for one that the dtype cannot hold.
    """
    shape = sizes("full", (sequence("full", size, 1),))
    value = number("full", "fill_value", fill_value, 2)
    kind = dtype or dtypes.of_scalar(value)
    return np.full(shape, element(value, kind), kind.numpy)


def _full_of(self: Tensor, size: Any, fill_value: Any, *, dtype: dtype) -> Any:
    """A tensor of the given size, filled with one number, with dtype and device of this one."""
    shape = sizes("new_full", (sequence("new_full", size, 1),))
    return np.full(shape, element(number("new_full", "fill_value", fill_value, 2), dtype), dtype.numpy)


_full_of.__name__ = _full_of.__qualname__ = "new_full"


@creates_like
def full_like(input: Tensor, fill_value: Any, *, dtype: dtype) -> Any:
    """A tensor like `input`, filled with one number; errors as in `full`."""
    values = array_like(input._data, dtype)
    values[...] = element(number("full_like", "fill_value", fill_value, 2), dtype)
    return values


@creates
def eye(n: int, m: int | None = None, *, dtype: dtype | None) -> Any:
    """An n by m matrix with ones on the diagonal."""
    rows = integer("eye", "n", n, 1)
    columns = rows if m is None else integer("eye", "m", m, 2)
    for name, value in (("n", rows), ("m", columns)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    return np.eye(rows, columns, dtype=(dtype or dtypes.get_default_dtype()).numpy)


# Ranges


@creates
def arange(*bounds: Any, dtype: dtype | None, **named: Any) -> Any:
    """``arange(end)``, ``arange(start, end, step=1)``: from `start` (0) up to but without `end`, `step` apart.

    Of dtype int64 when all are integers, else of the default dtype. Raises RuntimeError for bounds that are not
    finite, or that `step` leads away from.
    """
    start, end, step = _bounds(bounds, named)
    kind = dtype or _kind_of(start, end, step)
    if kind.category in (dtypes.BOOL, dtypes.COMPLEX):
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{dtypes.SCALAR_TYPE[kind.name]}'")
    first, last, by = (element(x, dtypes.float64).item() for x in (start, end, step))
    if not (by > 0 or by < 0):
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(first) and math.isfinite(last)):
        raise RuntimeError(f"unsupported range: {first:g} -> {last:g}")
    if (last - first) * by < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = kind.category == dtypes.INTEGRAL
    count = math.ceil((last - first) / by)  # torch cuts off numbers for int64 before it counts, for others after it
    if whole:
        first, last, by = (element(x, dtypes.int64).item() for x in (start, end, step))
    if kind is dtypes.int64:
        if not by:
            raise ValueError("step must be nonzero")
        count = len(range(first, last, by))
    if count >= 2**60:
        raise RuntimeError("invalid size, possible overflow?")
    steps = np.arange(count)
    with np.errstate(all="ignore"):
        return (first + (steps if whole else steps.astype(np.float64)) * by).astype(kind.numpy)


def _bounds(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Start, end and step as Python numbers."""
    names = ("end",) if len(given) == 1 and "end" not in named else ("start", "end", "step")
    found = {**dict(zip(names, given, strict=False)), **named}
    unknown = [name for name in named if name not in ("start", "end", "step")]
    if unknown or len(found) < len(given) + len(named) or len(given) > 3 or ("step" in found and "start" not in found):
        kinds = [type_name(x) for x in given] + [f"{name}={type_name(x)}" for name, x in named.items()]
        raise TypeError(
            f"arange() received an invalid combination of arguments - got ({', '.join(kinds)}), but expected one of:\n"
            " * (Number end)\n * (Number start, Number end, Number step = 1)"
        )
    if "end" not in found:
        raise TypeError('arange() missing 1 required positional arguments: "end"')
    place = {name: k for k, name in enumerate(names, 1)}
    found = {name: number("arange", name, value, place.get(name)) for name, value in found.items()}
    return found.get("start", 0), found["end"], found.get("step", 1)


def _kind_of(*numbers: Any) -> dtype:
    """The dtype of a range of these numbers."""
    whole = all(isinstance(x, int) for x in numbers)
    return dtypes.int64 if whole else dtypes.get_default_dtype()


def _end(function: str, name: str, value: Any, position: int) -> Any:
    """An end of a range as a Python number: linspace takes tensors that require grad too, but no dimensions."""
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                f"{function} only supports 0-dimensional start and end tensors, but got {name} with "
                f"{value._data.ndim} dimension(s)."
            )
        return value.item()
    return number(function, name, value, position)


def _spaced(function: str, start: Any, end: Any, steps: Any, dtype: dtype | None) -> tuple[Any, dtype]:
    """Evenly spaced numbers, and the dtype that they are for."""
    start, end = _end(function, "start", start, 1), _end(function, "end", end, 2)
    count = integer(function, "steps", steps, 3)
    if count < 0:
        raise RuntimeError("number of steps must be non-negative")
    default = dtypes.get_default_dtype()
    if isinstance(start, complex) or isinstance(end, complex):
        default = default.to_complex()
        if dtype is not None and not dtype.is_complex:
            raise RuntimeError(
                f"torch.{function}(): inferred dtype c10::complex<{'float' if default.itemsize == 8 else 'double'}> "
                f"can't be safely cast to passed dtype {dtypes.SCALAR_TYPE[dtype.name]}"
            )
    kind = dtype or default
    if count and kind is dtypes.bool_:
        raise NotImplementedError(f"\"{function}_cpu\" not implemented for 'Bool'")
    with np.errstate(all="ignore"):
        return _even(element(start, kind), element(end, kind), count, kind), kind


def _even(first: Any, last: Any, steps: int, kind: dtype) -> np.ndarray[Any, Any]:
    """Counted from both ends to the middle, so that both ends are met exactly, as in torch."""
    work = np.dtype("float32") if kind is dtypes.float16 else kind.numpy
    if kind.category < dtypes.FLOATING:
        work = np.dtype("float64")
    first, last = work.type(first), work.type(last)
    if steps == 1:
        return np.array([first])
    step = (last - first) / work.type(max(steps - 1, 1))
    k = np.arange(steps)
    half = steps // 2
    return np.where(k < half, first + step * k.astype(work), last - step * (steps - 1 - k).astype(work))


@creates
def linspace(start: Any, end: Any, steps: int, *, dtype: dtype | None) -> Any:
    """`steps` evenly spaced numbers from `start` to `end`, both included; RuntimeError for fewer than none."""
    values, kind = _spaced("linspace", start, end, steps, dtype)
    with np.errstate(all="ignore"):
        return values.astype(kind.numpy)


@creates
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: dtype | None) -> Any:
    """`steps` numbers evenly spaced on a logarithmic scale, from base**start to base**end."""
    base = number("logspace", "base", base, 4)
    exponents, kind = _spaced("logspace", start, end, steps, dtype)
    if len(exponents) == 1 and kind.category < dtypes.FLOATING:  # torch cuts off the start only where there are more
        exponents = np.array([_end("logspace", "start", start, 1)], np.float64)
    with np.errstate(all="ignore"):
        return np.power(exponents.dtype.type(base), exponents).astype(kind.numpy)


METHODS = {
    "new_zeros": _constant_of("new_zeros", 0),
    "new_ones": _constant_of("new_ones", 1),
    "new_empty": _constant_of("new_empty", 0),
    "new_full": creates_like(_full_of),
}
