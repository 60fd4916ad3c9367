"""Sums, means, products, and tests over dimensions.

In records `dim` is None for all elements where torch has a node of its own for that, else a tuple
of dimensions; both reduce a 0-dim tensor to itself.
"""

from __future__ import annotations

import math
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import dtype as DType
from refgrad.layout import row_major
from refgrad.modes import differentiates
from refgrad.ops.arguments import WHOLE, differentiable_dtype, dtype_argument, reduced_dims, tensor_argument
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.tensor import Tensor, check_dim

__all__ = [
    "all",
    "any",
    "count_nonzero",
    "mean",
    "nanmean",
    "nansum",
    "prod",
    "sum",
]

PAIRWISE = 128
"""Up to so many elements it makes no difference in which order a sum is taken."""


def axes_of(ndim: int, dim: Any) -> tuple[int, ...]:
    return tuple(range(ndim)) if dim is None else dim


def count_of(shape: tuple[int, ...], dim: Any) -> int:
    """How many elements are reduced to one."""
    return math.prod(shape[k] for k in axes_of(len(shape), dim))


def total(xp: Any, x: Any, dim: Any, keepdim: bool = False) -> Any:
    """The sum over `dim`, half precision in single, as torch sums it; the result is still single.

    NumPy adds in pairs, whose error grows with the logarithm of the length as torch's does, but
    only along the last axis of row-major memory: long sums are brought there.
    """
    axes = axes_of(x.ndim, dim)
    if x.dtype == xp.float16:
        x = x.astype(xp.float32)
    if not axes:
        return xp.array(x, copy=True)
    count = count_of(x.shape, axes)
    if count <= PAIRWISE or x.dtype.kind not in "fc":
        return xp.sum(x, axis=axes, keepdims=keepdim)
    kept = [k for k in range(x.ndim) if k not in axes]
    rows = xp.ascontiguousarray(xp.transpose(x, (*kept, *axes)))
    summed = xp.sum(xp.reshape(rows, (*[x.shape[k] for k in kept], count)), axis=-1)
    return xp.reshape(summed, _kept(x.shape, axes)) if keepdim else summed


def _kept(shape: tuple[int, ...], dim: Any) -> tuple[int, ...]:
    return tuple([1 if dim is None or k in dim else n for k, n in enumerate(shape)])


def keep(F: Any, reduced: Any, shape: tuple[int, ...], dim: Any) -> Any:
    """What was reduced over `dim`, with these dimensions back as ones, whatever keepdim was."""
    return F.reshape(reduced, shape=_kept(shape, dim))


def spread(F: Any, reduced: Any, shape: tuple[int, ...], dim: Any) -> Any:
    """What was reduced over `dim`, at every element it came from."""
    return F.expand(keep(F, reduced, shape, dim), size=shape)


def dtype_of(g: Any) -> DType:
    """The dtype of an array or a tensor."""
    return g.dtype if isinstance(g, Tensor) else dtypes.FROM_NUMPY[g.dtype]


Op(
    "zero_where",
    lambda xp, x, mask: xp.where(mask, xp.zeros((), x.dtype), x),
    {"self": lambda F, g, mask: F.zero_where(g, mask)},
    inputs=("self", "mask"),
    node="MaskedFillBackward0",
    jvp="linear",
)


def dtype_of_sum(x: Any, dtype: DType | None) -> Any:
    """The array dtype in which elements are summed or multiplied: that asked for, int64 for integers."""
    if dtype is not None:
        return dtype.numpy
    return dtypes.int64.numpy if x.dtype.kind in "bui" else x.dtype


# Sums


def _sum_kernel(xp: Any, x: Any, dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> Any:
    made = dtype_of_sum(x, dtype)
    return total(xp, x.astype(made, copy=False), dim, keepdim).astype(made, copy=False)


_sum = Op(
    "sum",
    row_major(_sum_kernel),
    {"self": lambda F, g, self_shape, dim: spread(F, g, self_shape, dim)},
    node=lambda inputs, params: "SumBackward0" if params["dim"] is None else "SumBackward1",
    jvp="linear",
)


def sum(input: Tensor, dim: Any = WHOLE, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The sum over `dim` (an int, several, or all): integers and bools give int64.

    `dtype`: what the elements are cast to first.
    """
    dtype = differentiable_dtype("sum", tensor_argument("sum", input), dtype)
    if dim is WHOLE:
        return _sum(input, dim=None, keepdim=False, dtype=dtype)
    return _sum(input, dim=reduced_dims("sum", dim, input.ndim), keepdim=keepdim, dtype=dtype)


_sum.public = sum


def _nansum_kernel(xp: Any, x: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    made = dtype_of_sum(x, dtype)
    x = x.astype(made, copy=False)
    if x.dtype.kind == "f":
        x = xp.where(xp.isnan(x), xp.zeros((), made), x)
    return total(xp, x, dim, keepdim).astype(made, copy=False)


_nansum = Op(
    "nansum",
    row_major(_nansum_kernel),
    {"self": lambda F, g, self, dim: spread(F, g, self.shape, dim) * (self == self)},
)


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The sum of all elements but NaNs over `dim`; RuntimeError for complex tensors."""
    if tensor_argument("nansum", input).is_complex():
        raise RuntimeError("nansum on CPU does not support complex inputs")
    dtype = differentiable_dtype("nansum", input, dtype)
    return _nansum(input, dim=reduced_dims("nansum", dim, input.ndim), keepdim=keepdim, dtype=dtype)


# Means


def mean_kernel(xp: Any, x: Any, dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> Any:
    made = x.dtype if dtype is None else dtype.numpy
    x = x.astype(made, copy=False)
    return xp.true_divide(total(xp, x, dim, keepdim), count_of(x.shape, dim)).astype(made, copy=False)


_mean = Op(
    "mean",
    row_major(mean_kernel),
    {"self": lambda F, g, self_shape, dim: spread(F, g / max(count_of(self_shape, dim), 1), self_shape, dim)},
    node=lambda inputs, params: "MeanBackward0" if params["dim"] is None else "MeanBackward1",
    jvp="linear",
)


def _dtype_of_mean(name: str, input: Tensor, dtype: DType | None) -> None:
    found, whose = (input.dtype, "Input") if dtype is None else (dtype, "Optional")
    if found.category < dtypes.FLOATING:
        raise RuntimeError(
            f"{name}(): could not infer output dtype. {whose} dtype must be either a floating point or "
            "complex "
            f"dtype. Got: {dtypes.SCALAR_TYPE[found.name]}"
        )


def mean(input: Tensor, dim: Any = WHOLE, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The mean over `dim`; NaN for no elements. RuntimeError for integers unless `dtype` is given."""
    dtype = dtype_argument("mean", dtype)
    _dtype_of_mean("mean", tensor_argument("mean", input), dtype)
    if dim is WHOLE:
        return _mean(input, dim=None, keepdim=False, dtype=dtype)
    return _mean(input, dim=reduced_dims("mean", dim, input.ndim), keepdim=keepdim, dtype=dtype)


_mean.public = mean


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The mean of all elements but NaNs over `dim`; NaN where there are none."""
    if tensor_argument("nanmean", input).dtype.category < dtypes.FLOATING:
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{dtypes.SCALAR_TYPE[input.dtype.name]}"
        )
    _dtype_of_mean("nanmean", input, dtype)
    present = input.detach()
    counted = sum(TENSORS.eq(present, present), dim, keepdim)
    return TENSORS.div(nansum(input, dim, keepdim, dtype=dtype), counted)


# Products


def _prod_kernel(xp: Any, x: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    axes = axes_of(x.ndim, dim)
    made = dtype_of_sum(x, dtype)
    x = x.astype(made, copy=False)
    return xp.prod(x, axis=axes, keepdims=keepdim).astype(made, copy=False) if axes else xp.array(x, copy=True)


def _before(F: Any, x: Any, dim: int) -> Any:
    """At each element the product of those before it."""
    shifted = (0, 0) * (x.ndim - 1 - dim) + (1, -1)
    return F.cumprod(F.constant_pad_nd(x, pad=shifted, value=1.0), dim=dim)


def _others(F: Any, x: Any, dim: int) -> Any:
    """At each element the product of all others: no division, so zeros do no harm."""
    return _before(F, x, dim) * F.flip(_before(F, F.flip(x, dims=(dim,)), dim), dims=(dim,))


def _prod_self(F: Any, g: Any, self: Any, result: Any, self_shape: Any, dim: Any) -> Any:
    if not self_shape:
        return g
    self = F.cast(self, dtype=dtype_of(g))
    size = math.prod(self_shape)
    everything = spread(F, g, self_shape, dim)
    if not size or (self != 0).all():
        return everything * (keep(F, result, self_shape, dim) / self).conjugate()
    if count_of(self_shape, dim) == 1:
        return everything
    if dim is not None:
        return everything * _others(F, self, dim[0]).conjugate()
    if not differentiates() and F.sum(self == 0, dim=None) > 1:
        return F.zeros_like(self)
    flat = _others(F, F.reshape(self, shape=(size,)), 0)
    return everything * F.reshape(flat, shape=self_shape).conjugate()


_prod = Op(
    "prod",
    row_major(_prod_kernel),
    {"self": _prod_self},
    node=lambda inputs, params: "ProdBackward0" if params["dim"] is None else "ProdBackward1",
)


def prod(input: Tensor, dim: Any = WHOLE, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The product over one dimension or all; its derivative is exact where elements are zero."""
    dtype = differentiable_dtype("prod", tensor_argument("prod", input), dtype)
    if dim is WHOLE:
        return _prod(input, dim=None, keepdim=False, dtype=dtype)
    if not isinstance(dim, int):
        raise TypeError(f"prod() received an invalid combination of arguments - dim must be int, not {dim!r}")
    dims = (check_dim(dim, input.ndim),) if input.ndim else reduced_dims("prod", dim, 0)
    return _prod(input, dim=dims, keepdim=keepdim, dtype=dtype)


# Tests


def _truth(name: str, function: str) -> Op:
    def kernel(xp: Any, x: Any, dim: Any, keepdim: bool) -> Any:
        made = getattr(xp, function)(x != 0, axis=dim, keepdims=keepdim) if dim else x != 0
        return made.astype(x.dtype if x.dtype == xp.uint8 else xp.bool_, copy=False)

    return Op(name, row_major(kernel))


_all, _any = _truth("all", "all"), _truth("any", "any")


def _tested(op: Op, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    tensor_argument(op.name, input)
    dims = () if dim == () else reduced_dims(op.name, dim, input.ndim)  # here () is no dimension, not all of them
    return op(input, dim=dims, keepdim=keepdim)


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over `dim` are nonzero; of uint8 a uint8, else a bool."""
    return _tested(_all, input, dim, keepdim)


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element over `dim` is nonzero; of uint8 a uint8, else a bool."""
    return _tested(_any, input, dim, keepdim)


_all.public, _any.public = all, any
_count_nonzero = Op("count_nonzero", row_major(lambda xp, x, dim: _sum_kernel(xp, x != 0, dim)))


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements over `dim` are nonzero, as int64."""
    return _count_nonzero(tensor_argument("count_nonzero", input), dim=reduced_dims("count_nonzero", dim, input.ndim))


_count_nonzero.public = count_nonzero
METHODS = {name: globals()[name] for name in __all__}
INPLACE: dict[str, Any] = {}
