"""Values put at places of a copy: put, masked_scatter, fill; and many reduced into one: scatter_reduce, index_reduce.

Also `renorm`, which brings slices down to a norm.
"""

from __future__ import annotations

import math
from typing import Any

from refgrad import dtypes
from refgrad.devices import MODULES
from refgrad.ops.arguments import flag, tensor_argument
from refgrad.ops.grids import broadcast_tensors
from refgrad.ops.index_checks import check_scatter, index_dim, outside, up
from refgrad.ops.inplace import fill_kernel, inplace
from refgrad.ops.limits import NUMBERS, invalid_arguments
from refgrad.ops.norms import norm_kernel, norm_self
from refgrad.ops.record import Op
from refgrad.ops.scatter import check_bounds, grid_of
from refgrad.ops.shape import broadcast_to, view
from refgrad.tensor import Tensor, check_dim

__all__ = ["fill", "index_reduce", "masked_scatter", "put", "renorm", "scatter_reduce"]

_fill_number = Op(
    "fill", fill_kernel, {"self": lambda F, g: F.zeros_like(g)}, node="FillBackward0", jvp="elementwise"
)
_fill_with = Op(
    "fill_with",
    fill_kernel,
    {"self": lambda F, g: F.zeros_like(g), "value": lambda F, g: F.sum_to(g, shape=())},
    inputs=("self", "value"),
    node="FillBackward1",
    jvp="linear",
)


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like `input` with one value everywhere, a number or a 0-dim tensor."""
    tensor_argument("fill", input)
    if not isinstance(value, Tensor):
        if not isinstance(value, NUMBERS):
            accepted = "(Tensor input, Tensor value) or (Tensor input, Number value)"
            raise invalid_arguments("fill", accepted, input, value)
        return _fill_number(input, value=value)
    if value.ndim:
        raise RuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions."
        )
    return _fill_with(input, value)


# put


def _put_kernel(xp: Any, x: Any, index: Any, source: Any, accumulate: bool) -> Any:
    out = xp.array(x, order="C", copy=True)
    row, places, values = xp.reshape(out, (-1,)), xp.reshape(index, (-1,)), xp.reshape(source, (-1,))
    if accumulate:
        xp.scatter_add(row, places, values)
    else:
        row[places] = values
    return out


def _put_self(F: Any, g: Any, index: Any, source_shape: Any, accumulate: bool) -> Any:
    return g if accumulate else F.put(g, index, F.new_zeros(g, shape=source_shape), accumulate=False)


_put = Op(
    "put",
    _put_kernel,
    {
        "self": _put_self,
        "source": lambda F, g, index, source_shape: F.reshape(F.take(g, index), shape=source_shape),
    },
    inputs=("self", "index", "source"),
    jvp="linear",
)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` with `source` at flat positions, or added there."""
    tensor_argument("put", input)
    tensor_argument("put", index, "index", 2)
    tensor_argument("put", source, "source", 3)
    flag("put", "accumulate", accumulate, 4)
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {dtypes.SCALAR_TYPE[index.dtype.name]}")
    if input.dtype is not source.dtype:
        names = dtypes.SCALAR_TYPE[input.dtype.name], dtypes.SCALAR_TYPE[source.dtype.name]
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = {names[0]} and "
            f"source.dtype = {names[1]}"
        )
    count, size = index.numel(), input.numel()
    if source.numel() != count:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source.numel()}, index.numel() = {count}"
        )
    if not size and count:
        raise IndexError("put_(): Tried to put elements into an empty tensor")
    found = outside(MODULES[type(index._data)], index._data, size, -size)
    if found is not None:
        raise IndexError(f"out of range: tried to access index {found} on a tensor of {size} elements.")
    return _put(input, index, source, accumulate=accumulate)


# masked_scatter


def _masked_scatter_kernel(xp: Any, x: Any, mask: Any, source: Any) -> Any:
    out = xp.array(x, order="C", copy=True)
    out[mask] = xp.reshape(source, (-1,))[: int(mask.sum())]
    return out


def _masked_scatter_source(F: Any, g: Any, mask: Any, source_shape: Any) -> Any:
    taken = F.masked_select(g, mask)
    missing = math.prod(source_shape) - taken.shape[0]
    return F.reshape(F.cat([taken, F.new_zeros(g, shape=(missing,))], dim=0), shape=source_shape)


_masked_scatter = Op(
    "masked_scatter",
    _masked_scatter_kernel,
    {"self": lambda F, g, mask: F.masked_fill(g, mask, value=0), "source": _masked_scatter_source},
    inputs=("self", "mask", "source"),
    jvp="linear",
)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of `input` with the elements of `source`, one after the other, where a mask is true."""
    tensor_argument("masked_scatter", input)
    tensor_argument("masked_scatter", mask, "mask", 2)
    tensor_argument("masked_scatter", source, "source", 3)
    if input.dtype is not source.dtype:
        names = dtypes.SCALAR_TYPE[input.dtype.name], dtypes.SCALAR_TYPE[source.dtype.name]
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got{' and '.join(names)}")
    if mask.dtype is not dtypes.bool_:
        kind = dtypes.SCALAR_TYPE[mask.dtype.name]
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {kind}")
    places, whole = broadcast_tensors(mask, input)
    if source.numel() < int(places._data.sum()):
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return _masked_scatter(whole, places, source)


# Reductions into places

_NEUTRAL = {"sum": 0, "mean": 0, "prod": 1, "amax": -math.inf, "amin": math.inf}


def _neutral(x: Any, reduce: str) -> Any:
    value = _NEUTRAL[reduce]
    if math.isfinite(value) or x.dtype.kind == "f":
        return value
    if x.dtype.kind == "b":
        return value > 0
    limits = dtypes.iinfo(dtypes.FROM_NUMPY[x.dtype])
    return limits.min if value < 0 else limits.max


def _reduced(xp: Any, x: Any, index: Any, src: Any, dim: int, reduce: str, include_self: bool) -> Any:
    out = xp.array(x, order="C", copy=True)
    if not index.size:
        return out
    target, index, src = up(xp, out), up(xp, index), up(xp, src)
    check_bounds(xp, index, target.shape[dim], dim)
    places, values = grid_of(xp, index, dim), src[tuple(slice(n) for n in index.shape)]
    if not include_self:
        target[places] = _neutral(x, reduce)
    if reduce in ("sum", "mean"):
        xp.scatter_add(target, places, values)
    else:
        {"prod": xp.multiply, "amax": xp.maximum, "amin": xp.minimum}[reduce].at(target, places, values)
    if reduce == "mean":
        count = xp.full(target.shape, 1 if include_self else 0)
        xp.scatter_add(count, places, xp.ones(index.shape, count.dtype))
        count = xp.maximum(count, 1)
        target = (target / count if x.dtype.kind in "fc" else target // count).astype(x.dtype)
    return xp.reshape(target, out.shape)


def _one_zero(F: Any, src: Any, index: Any, like: Any, dim: int) -> tuple[Any, Any]:
    """Where `src` is the only zero of what is multiplied at a place, and how many there are."""
    zero = src == 0
    ones = F.zeros_like(src) + zero
    many = F.gather(F.scatter_add(F.zeros_like(like), index, ones, dim=dim), index, dim=dim)
    return zero & (many == 1), zero


def _reduced_self(
    F: Any, g: Any, self: Any, index: Any, src: Any, result: Any, dim: int, reduce: str, include_self: bool
) -> Any:
    if not include_self:  # what was there counts only where nothing came
        return F.scatter_value(g, index, dim=dim, value=0)
    if reduce == "sum":
        return g
    if reduce == "mean":
        return g / _count(F, g, index, src, dim, include_self)
    if reduce == "prod":
        whole = F.masked_fill(self, self == 0, value=1)
        made = F.scatter_reduce(whole, index, src, dim=dim, reduce="prod", include_self=True)
        return g * made / whole
    here, _, count = _ties(F, self, index, src, result, dim)
    return here * (g / count)


def _reduced_src(
    F: Any, g: Any, self: Any, index: Any, src: Any, result: Any, dim: int, reduce: str, include_self: bool
) -> Any:
    if reduce == "sum":
        return F.gather(g, index, dim=dim)
    if reduce == "mean":
        return F.gather(g / _count(F, g, index, src, dim, include_self), index, dim=dim)
    if reduce == "prod":
        single, zero = _one_zero(F, src, index, self, dim)
        filled = F.masked_fill(src, single, value=1)
        made = F.scatter_reduce(self, index, filled, dim=dim, reduce="prod", include_self=include_self)
        others = F.gather(g * result, index, dim=dim) / F.masked_fill(src, zero, value=1)
        return F.where(single, F.gather(g * made, index, dim=dim), others)
    _, there, count = _ties(F, self, index, src, result, dim)
    return there * F.gather(g / count, index, dim=dim)


def _count(F: Any, g: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
    ones = F.zeros_like(src) + 1
    count = F.scatter_add(F.zeros_like(g) + (1 if include_self else 0), index, ones, dim=dim)
    return F.masked_fill(count, count == 0, value=1)


def _ties(F: Any, self: Any, index: Any, src: Any, result: Any, dim: int) -> tuple[Any, Any, Any]:
    """Where input and source reach the extremum, and how many do at each place."""
    here = F.zeros_like(self) + (self == result)
    there = F.zeros_like(src) + (src == F.gather(result, index, dim=dim))
    return here, there, F.scatter_add(here, index, there, dim=dim)


def _record(name: str) -> Op:
    return Op(
        name,
        _reduced,
        {"self": _reduced_self, "src": _reduced_src},
        inputs=("self", "index", "src"),
        jvp="transpose",
    )


_scatter_reduce, _index_reduce = _record("scatter_reduce"), _record("index_reduce")


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of `input` with what `index` sends to one place reduced to its sum, prod, mean, amax or amin."""
    dim = index_dim("scatter_reduce", input, dim, index)
    if reduce not in _NEUTRAL:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    check_scatter(input, dim, index, tensor_argument("scatter_reduce", src, "src", 4))
    return _scatter_reduce(input, index, src, dim=dim, reduce=reduce, include_self=include_self)


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """`scatter_reduce` of whole slices of `source`, sent to the places of a vector: prod, mean, amax or amin."""
    dim = index_dim("index_reduce", input, dim, index)
    tensor_argument("index_reduce", source, "source", 4)
    if reduce not in _NEUTRAL or reduce == "sum":
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    if input.dtype is not source.dtype:
        raise RuntimeError(f"index_reduce(): self ({input.dtype}) and source ({source.dtype}) must have the same dtype")
    if index.ndim > 1:
        raise IndexError("index_reduce_(): Index is supposed to be a vector")
    column = [1] * source.ndim
    if column:
        column[dim] = index.numel()
    places = broadcast_to(view(index, column), source._data.shape)
    return _index_reduce(input, places, source, dim=dim, reduce=reduce, include_self=include_self)


# renorm


def _renorm_dims(ndim: int, dim: int) -> tuple[int, ...]:
    return tuple([k for k in range(ndim) if k != dim])


def _renorm_kernel(xp: Any, x: Any, p: float, dim: int, maxnorm: float) -> Any:
    norm = norm_kernel(xp, x, p, _renorm_dims(x.ndim, dim), True, None)
    return x * xp.where(norm > maxnorm, maxnorm / (norm + 1e-7), 1).astype(norm.dtype)


def _renorm_self(F: Any, g: Any, self: Any, p: float, dim: int, maxnorm: float) -> Any:
    dims = _renorm_dims(len(self.shape), dim)
    norm = F.vector_norm(self, ord=p, dim=dims, keepdim=True, dtype=None)
    along = F.sum(self.conjugate() * g, dim=dims, keepdim=True, dtype=None)
    inverse = 1 / (norm + 1e-7)
    slope = norm_self(F, F.real(along), self, norm, p, dims)
    return F.where(norm > maxnorm, maxnorm * inverse * (g - inverse * (0 if slope is None else slope)), g)


_renorm = Op("renorm", _renorm_kernel, {"self": _renorm_self}, jvp="transpose")


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each slice along `dim` whose `p`-norm is above `maxnorm` scaled down to it."""
    ndim = tensor_argument("renorm", input).ndim
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {ndim} dimensions")
    if input.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"renorm: expected a floating point or complex tensor, but got {input.dtype}")
    return _renorm(input, p=float(p), dim=check_dim(dim, ndim), maxnorm=float(maxnorm))


METHODS = {name: globals()[name] for name in __all__ if name != "fill"} | {
    "put_": inplace(put, "put_", overlap="any"),
    "scatter_reduce_": inplace(scatter_reduce, "scatter_reduce_", overlap="any"),
}
