"""Sorting, and picking by rank: sort, argsort, topk, kthvalue, median.

NaN counts as larger than everything. Gradients go to the elements that were picked; only the whole
median shares its gradient among equals.
"""

from __future__ import annotations

from typing import Any

from refgrad import dtypes, return_types
from refgrad.layout import laid_out_as
from refgrad.ops import ties
from refgrad.ops.arguments import WHOLE, integer, tensor_argument
from refgrad.ops.extrema import along, mean_tangent, one_dim, selection, shared_wholly
from refgrad.ops.record import Op
from refgrad.tensor import Tensor, check_dim

__all__ = ["argsort", "kthvalue", "median", "msort", "nanmedian", "sort", "topk"]


def _order(xp: Any, x: Any, dim: int, descending: bool) -> Any:
    """Indices that sort along `dim`; equal elements keep their order either way."""
    if not descending:
        return xp.argsort(x, axis=dim, kind="stable").astype(xp.int64, copy=False)
    backwards = xp.flip(xp.argsort(xp.flip(x, axis=dim), axis=dim, kind="stable"), axis=dim)
    return (x.shape[dim] - 1) - backwards.astype(xp.int64, copy=False)


def _up(xp: Any, x: Any) -> Any:
    return x if x.ndim else xp.reshape(x, (1,))


# sort


def _sort_kernel(xp: Any, x: Any, dim: int, descending: bool, stable: Any, keepdim: bool) -> tuple[Any, Any]:
    flat = _up(xp, x)
    order = _order(xp, flat, dim, descending)
    if not stable:
        order = ties.settle(xp, flat, order, dim, lambda row: ties.sorted_places(row, descending))
    return tuple([laid_out_as(xp, a, x) for a in along(xp, x, order, dim, keepdim)])


_sort = selection("sort", _sort_kernel, lambda inputs, params: f"SortBackward{0 if params['stable'] is None else 1}")


def _sorted(input: Tensor, dim: Any, descending: bool, stable: Any) -> tuple[Tensor, Tensor]:
    if tensor_argument("sort", input).is_complex():
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    found = check_dim(integer("sort", "dim", dim), input.ndim)
    return _sort(input, dim=found, descending=bool(descending), stable=stable, keepdim=True)


def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None) -> Any:
    """Elements in order along `dim`, and where they were: (values, indices).

    Equal elements keep their order if `stable` is true, or where there are at most 16 of them in a row.
    """
    return return_types.sort(_sorted(input, dim, descending, stable))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None) -> Tensor:
    """The indices that sort along `dim`."""
    return _sorted(input.detach(), dim, descending, stable)[1]


def msort(input: Tensor) -> Tensor:
    """Elements in order along the first dimension."""
    return _sorted(input, 0, False, None)[0]


# topk and kthvalue: which of several equal elements is picked is up to torch's algorithms


def _topk_kernel(xp: Any, x: Any, k: int, dim: int, largest: bool, sorted: bool, keepdim: bool) -> tuple[Any, Any]:
    flat = _up(xp, x)
    order = _order(xp, flat, dim, largest)
    order = ties.settle(xp, flat, order, dim, lambda row: ties.top(row, k, largest, sorted))
    return along(xp, x, order[(slice(None),) * dim + (slice(0, k),)], dim, keepdim)


_topk = selection("topk", _topk_kernel, "TopkBackward0")


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The `k` largest (or smallest) elements along `dim`, and where they are: (values, indices)."""
    found = check_dim(integer("topk", "dim", dim), tensor_argument("topk", input).ndim)
    k = integer("topk", "k", k)
    if not 0 <= k <= (input._data.shape[found] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if input.dtype is dtypes.bool_ or input.is_complex():
        kind = "topk does not support bool" if input.dtype is dtypes.bool_ else " topk does not support complex"
        raise RuntimeError(f"{kind} dtypes on CPU")
    return return_types.topk(_topk(input, k=k, dim=found, largest=largest, sorted=sorted, keepdim=True))


def _kthvalue_kernel(xp: Any, x: Any, k: int, dim: int, keepdim: bool) -> tuple[Any, Any]:
    flat = _up(xp, x)
    order = ties.settle(xp, flat, _order(xp, flat, dim, False), dim, lambda row: ties.partitioned(row, k - 1))
    return along(xp, x, order[(slice(None),) * dim + (slice(k - 1, k),)], dim, keepdim)


_kthvalue = selection("kthvalue", _kthvalue_kernel, "KthvalueBackward0")


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The `k`-th smallest elements along `dim`, counted from 1, and where they are: (values, indices)."""
    found = one_dim("kthvalue", input, dim)
    k = integer("kthvalue", "k", k)
    if not 1 <= k <= (input._data.shape[found] if input.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {found}")
    _numbers_only("kthvalue_cpu", input)
    return return_types.kthvalue(_kthvalue(input, k=k, dim=found, keepdim=keepdim))


def _numbers_only(kernel: str, input: Tensor) -> None:
    if input.dtype is dtypes.bool_ or input.is_complex():
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_TYPE[input.dtype.name]}'")


# Medians: the lower of two in the middle


def _median_kernel(xp: Any, x: Any, dim: int, keepdim: bool, skip: bool) -> tuple[Any, Any]:
    flat = _up(xp, x)
    size = flat.shape[dim]
    order = _order(xp, flat, dim, False)
    nans = xp.sum(flat != flat, axis=dim, keepdims=True)  # they are last in order
    lower, first_nan = (size - 1) // 2, size - nans
    rank = xp.maximum(first_nan - 1, 0) // 2 if skip else xp.where(nans > 0, first_nan, lower)
    indices = xp.take_along_axis(order, rank.astype(xp.int64, copy=False), axis=dim)
    if skip:
        indices = xp.where(nans == size, ties.first_of_equals(size), indices)
    return along(xp, x, indices, dim, keepdim)


def _nothing(xp: Any, dtype: Any) -> Any:
    """The median of no elements: NaN, or what it becomes when it is cast to integers."""
    if dtype.kind == "f":
        return xp.full((), xp.nan, dtype)
    return xp.full((), xp.iinfo(dtype).min if dtype.itemsize >= 4 else 0, dtype)


def _whole_median_kernel(xp: Any, x: Any, skip: bool) -> Any:
    if not x.size:
        return _nothing(xp, x.dtype)
    return _median_kernel(xp, xp.reshape(x, (x.size,)), 0, False, skip)[0]


def _shared(F: Any, g: Any, self: Any, result: Any) -> Any:
    return shared_wholly(F, g, self, result)


_median = Op("median", _whole_median_kernel, {"self": _shared}, jvp=mean_tangent)
_nanmedian = Op("nanmedian", _whole_median_kernel, {"self": _shared}, jvp=mean_tangent)
_median_dim = selection("median_dim", _median_kernel, "MedianBackward1")
_nanmedian_dim = selection("nanmedian_dim", _median_kernel, "NanmedianBackward1")


def _middle(whole: Op, along: Op, input: Tensor, dim: Any, keepdim: bool) -> Any:
    name = whole.name
    _numbers_only("median_cpu" if dim is WHOLE else "median_out", tensor_argument(name, input))
    skip = name == "nanmedian"
    if dim is WHOLE:
        return whole(input, skip=skip)
    found = one_dim("median", input, dim)
    return getattr(return_types, name)(along(input, dim=found, keepdim=keepdim, skip=skip))


def median(input: Tensor, dim: Any = WHOLE, keepdim: bool = False) -> Any:
    """The median, NaN if there is a NaN; with `dim` (values, indices) along it."""
    return _middle(_median, _median_dim, input, dim, keepdim)


def nanmedian(input: Tensor, dim: Any = WHOLE, keepdim: bool = False) -> Any:
    """The median of all elements but NaNs; with `dim` (values, indices) along it."""
    return _middle(_nanmedian, _nanmedian_dim, input, dim, keepdim)


METHODS = {name: globals()[name] for name in __all__}
INPLACE: dict[str, Any] = {}
