"""Whole slices along one dimension, named by a vector or a number: index_select, index_add, index_copy, index_fill."""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.devices import MODULES
from refgrad.dtypes import FLOATING
from refgrad.layout import copy_order
from refgrad.modes import is_grad_enabled
from refgrad.ops.arguments import number, tensor_argument
from refgrad.ops.index_checks import (
    OUT_OF_BOUNDS,
    as_number,
    check_index_add,
    check_index_copy,
    check_index_fill,
    check_index_select,
    check_not_empty,
    check_only_index,
    index_dim,
    outside,
    up,
)
from refgrad.ops.making import element
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

_OUT_OF_RANGE = "index out of range in self"
_OUT_OF_COLUMN = "INDICES element is out of DATA bounds, id={0} axis_dim={2}"


def _along(dim: int, index: Any) -> tuple[Any, ...]:
    return (slice(None),) * dim + (index,)


def _vector(
    xp: Any, x: Any, index: Any, dim: int, error: type[Exception], text: str, wraps: bool = False
) -> tuple[Any, Any]:
    """Array and index with a dimension at least; the error for an index outside, as far as looking is free."""
    x, index = up(xp, x), up(xp, index)
    size = x.shape[dim]
    found = outside(xp, index, size, -size if wraps else 0)
    if found is not None:
        raise error(text.format(found, dim, size))
    return x, index


def _index_select(xp: Any, x: Any, index: Any, dim: int) -> Any:
    check_only_index(x, index)
    if x.ndim > 1 and index.size and not x.shape[dim]:
        raise RuntimeError("index_select(): self indexing axis dim should be positive")
    if x.ndim > 1 and (dim == 1 or not x.size):  # torch has a way of its own for columns, with its own words
        whole, places = _vector(xp, x, index, dim, RuntimeError, _OUT_OF_COLUMN)
    else:
        whole, places = _vector(xp, x, index, dim, IndexError, _OUT_OF_RANGE)
    out = xp.array(whole[_along(dim, places)], order="C", copy=True)
    return out if x.ndim else xp.reshape(out, ())


_index_select_op = Op(
    "index_select",
    _index_select,
    {
        "self": lambda F, g, self_shape, index, dim: F.index_add(
            F.new_zeros(g, shape=self_shape), index, g, dim=dim, alpha=1
        )
    },
    inputs=("self", "index"),
    jvp="linear",
)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of `input` along `dim` that a vector of integers names, as a copy."""
    dim = index_dim("index_select", input, dim, index)
    check_index_select(input, index)
    return _index_select_op(input, index, dim=dim)


def _index_add(xp: Any, x: Any, index: Any, source: Any, dim: int, alpha: Any) -> Any:
    out = xp.array(x, order="C", copy=True)
    if out.ndim > 1 and not out.size:
        return out
    if out.ndim > 1 and dim in (0, out.ndim - 1) and alpha == 1 and index.dtype == xp.int64:  # torch scatters here
        target, places = _vector(xp, out, index, dim, RuntimeError, OUT_OF_BOUNDS)
    else:
        target, places = _vector(xp, out, index, dim, IndexError, _OUT_OF_RANGE)
    values = up(xp, source)
    xp.scatter_add(target, _along(dim, places), values if alpha == 1 else values * alpha)
    return xp.reshape(target, out.shape)


_index_add_op = Op(
    "index_add",
    _index_add,
    {
        "self": lambda F, g: g,
        "source": lambda F, g, source, source_shape, index, dim, alpha: F.reshape(  # saved as `self` of gather
            F.index_select(g, index, dim=dim) * alpha, shape=source_shape
        ),
    },
    inputs=("self", "index", "source"),
    jvp="linear",
)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy of `input` with the slices of `source`, times `alpha`, added at the places of `index`."""
    dim = index_dim("index_add", input, dim, index)
    check_index_add(input, dim, index, tensor_argument("index_add", source, "source", 4))
    if type(alpha) is not int or alpha != 1:
        alpha = input.dtype.numpy.type(element(number("index_add", "alpha", alpha), input.dtype)).item()
    return _index_add_op(input, index, source, dim=dim, alpha=alpha)


def _index_copy(xp: Any, x: Any, index: Any, source: Any, dim: int) -> Any:
    out = xp.array(x, order="C", copy=True)
    if not out.size:
        check_not_empty(x, dim, index.size)
        return out
    target, places = _vector(xp, out, index, dim, IndexError, f"index_copy_(): {OUT_OF_BOUNDS}")
    target[_along(dim, places)] = source
    return xp.reshape(target, out.shape)


_index_copy_op = Op(
    "index_copy",
    _index_copy,
    {
        "self": lambda F, g, index, dim: F.index_fill_number(g, index, value=0.0, dim=dim),
        # torch saves all of `source`: a write to it is an error
        "source": lambda F, g, source, index, dim: F.reshape(
            F.index_select(g, index, dim=dim), shape=tuple(source.shape)
        ),
    },
    inputs=("self", "index", "source"),
    jvp="linear",
)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of `input` with the slices of `source` written at the places of `index`."""
    dim = index_dim("index_copy", input, dim, index)
    check_index_copy(input, dim, index, tensor_argument("index_copy", source, "source", 4))
    return _index_copy_op(input, index, source, dim=dim)


def _index_fill(xp: Any, x: Any, index: Any, value: Any, dim: int) -> Any:
    out = xp.array(x, order=copy_order(x), copy=True)
    if not out.size:
        check_not_empty(x, dim, index.size)
        return out
    target, places = _vector(xp, out, index, dim, IndexError, OUT_OF_BOUNDS, wraps=True)
    target[_along(dim, places)] = value
    return xp.reshape(target, ()) if not out.ndim else target


Op("distinct", lambda xp, index: xp.unique(index))  # a place that is named twice is filled once
_index_fill_tensor = Op(
    "index_fill",
    _index_fill,
    {
        "self": lambda F, g, index, dim: F.index_fill_number(g, index, value=0.0, dim=dim),
        "value": lambda F, g, index, dim: F.sum_to(F.index_select(g, F.distinct(index), dim=dim), shape=()),
    },
    inputs=("self", "index", "value"),
    node="IndexFillBackward1",
    jvp="linear",
)
_index_fill_number = Op(
    "index_fill_number",
    lambda xp, x, index, value, dim: _index_fill(xp, x, index, value, dim),
    {"self": lambda F, g, index, dim: F.index_fill_number(g, index, value=0.0, dim=dim)},
    inputs=("self", "index"),
    node="IndexFillBackward0",
    jvp="elementwise",
)


def index_filled(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """What `index_fill_` leaves in its target."""
    tensor_argument("index_fill", input)
    tensor_argument("index_fill", index, "index", 3)
    given = value if isinstance(value, Tensor) else as_number("index_fill", dim, index, value)
    check_index_fill(input, index, given)
    dim = index_dim("index_fill", input, dim, index)
    if index._data.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    if not isinstance(given, Tensor):
        return _index_fill_number(input, index, value=element(given, input.dtype), dim=dim)
    if MODULES[type(given._data)].checks_bounds:
        element(given.item(), input.dtype)
    return _index_fill_tensor(input, index, given, dim=dim)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of `input` with one value written at the places of `index`."""
    made = index_filled(input, dim, index, value)
    if made.dtype.category < FLOATING and isinstance(value, Tensor) and value._rg and is_grad_enabled():
        raise RuntimeError(f"Autograd not support dtype: {dtypes.SCALAR_TYPE[made.dtype.name]}")
    return made
