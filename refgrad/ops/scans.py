"""Running sums, products, logarithms of sums and extrema along a dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad import dtypes, return_types
from refgrad.devices import Kernel
from refgrad.dtypes import dtype as DType
from refgrad.layout import row_major
from refgrad.modes import differentiates
from refgrad.ops.arguments import differentiable_dtype, integer, tensor_argument
from refgrad.ops.record import Op
from refgrad.ops.reductions import dtype_of_sum
from refgrad.tensor import Tensor, check_dim

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp"]


def _at(dim: int, what: Any) -> tuple[Any, ...]:
    return (slice(None),) * dim + (what,)


def _one_dim_up(kernel: Kernel) -> Kernel:
    """A kernel that takes 0-dim arrays as arrays of one element, and lays out its results row by row."""

    @row_major
    def call(xp: Any, x: Any, *others: Any, **params: Any) -> Any:
        if x.ndim:
            return kernel(xp, x, *others, **params)
        made = kernel(xp, xp.reshape(x, (1,)), *[xp.reshape(a, (1,)) for a in others], **params)
        return tuple([xp.reshape(a, ()) for a in made]) if type(made) is tuple else xp.reshape(made, ())

    return call


def _wider(xp: Any, x: Any) -> Any:
    """The dtype in which torch carries a running value of such elements."""
    return {"e": xp.float32, "f": xp.float64, "F": xp.complex128}.get(x.dtype.char, x.dtype)


def _running(function: str) -> Kernel:
    def kernel(xp: Any, x: Any, dim: int, dtype: DType | None = None) -> Any:
        made = dtype_of_sum(x, dtype)
        x = x.astype(made, copy=False)
        return getattr(xp, function)(x, axis=dim, dtype=_wider(xp, x)).astype(made, copy=False)

    return _one_dim_up(kernel)


def _backwards(F: Any, x: Any, dim: int) -> Any:
    return F.flip(x, dims=(dim,)) if x.ndim else x


def _sums_from_here(F: Any, x: Any, dim: int) -> Any:
    return _backwards(F, F.cumsum(_backwards(F, x, dim), dim=dim), dim)


def _length(x: Any, dim: int) -> int:
    return x.shape[dim] if x.ndim else 1


# Sums


def _cumsum_self(F: Any, g: Any, dim: int) -> Any:
    if _length(g, dim) == 1:
        return g
    return _sums_from_here(F, g, dim)


_cumsum = Op("cumsum", _running("cumsum"), {"self": _cumsum_self}, jvp="linear")


# Products. Without zeros the derivative divides by the factors. With zeros it needs, at each
# element, the product of those before it, and a sum over what follows, which obeys a recurrence.


def _recur(xp: Any, start: Any, factor: Any, dim: int) -> Any:
    """``out[k] = start[k] + factor[k] * out[k - 1]`` along `dim`, from zero."""
    out = xp.array(start, copy=True)
    for k in range(1, out.shape[dim]):
        here, before = _at(dim, slice(k, k + 1)), _at(dim, slice(k - 1, k))
        out[here] += factor[here] * out[before]
    return out


def _shift(F: Any, x: Any, dim: int, by: int, value: float) -> Any:
    """`x` moved along `dim` by `by` places; `value` where nothing comes in."""
    if not x.ndim:
        return x
    return F.constant_pad_nd(x, pad=(0, 0) * (x.ndim - 1 - dim) + (by, -by), value=value)


def _recur_start(F: Any, g: Any, factor: Any, dim: int) -> Any:
    """The adjoint of the recurrence: the same one from the end."""
    factor = _backwards(F, _shift(F, factor.conjugate(), dim, -1, 0.0), dim)
    return _backwards(F, F.recur(_backwards(F, g, dim), factor, dim=dim), dim)


def _recur_factor(F: Any, g: Any, factor: Any, result: Any, dim: int) -> Any:
    return _recur_start(F, g, factor, dim) * _shift(F, result, dim, 1, 0.0).conjugate()


Op(
    "recur",
    _one_dim_up(_recur),
    {"start": _recur_start, "factor": _recur_factor},
    inputs=("start", "factor"),
)


def _around_first_zero(F: Any, g: Any, self: Any, result: Any, before: Any, dim: int) -> Any:
    """The gradient of cumprod where there are zeros, without a loop, but not to be differentiated again.

    Before the first zero as without zeros; at it the sum over what follows up to the next; then zero.
    """
    zeros = F.cumsum(self == 0, dim=dim)
    early = _sums_from_here(F, F.zero_where(g * result.conjugate(), zeros != 0), dim) / self.conjugate()
    skipped = (self == 0) | (zeros != 1)
    following = F.cumprod(F.zero_where(self.conjugate(), skipped) + skipped, dim=dim)
    passed = F.sum(following * F.zero_where(g, zeros != 1), dim=(dim,), keepdim=True)
    at_first = F.zero_where(before.conjugate() * passed, (self != 0) | (zeros != 1))
    return F.zero_where(early, zeros != 0) + at_first


def _cumprod_self(F: Any, g: Any, self: Any, result: Any, dim: int) -> Any:
    if _length(g, dim) == 1 or 0 in g.shape:
        return g
    if (self != 0).all():
        return _sums_from_here(F, g * result.conjugate(), dim) / self.conjugate()
    if not differentiates():
        return _around_first_zero(F, g, self, result, _shift(F, result, dim, 1, 1.0), dim)
    # To be differentiated again, as torch does it: for each element the products that leave it out.
    factors, length = self.conjugate(), _length(self, dim)
    parts = []
    for k in range(length):
        before = F.prod(F.slice(factors, dim=dim, start=0, stop=k, step=1), dim=(dim,), keepdim=True, dtype=None)
        after = F.cumprod(F.slice(factors, dim=dim, start=k + 1, stop=length, step=1), dim=dim)
        here = F.slice(g, dim=dim, start=k, stop=k + 1, step=1) * before
        later = F.slice(g, dim=dim, start=k + 1, stop=length, step=1) * before * after
        parts.append(here + F.sum(later, dim=(dim,), keepdim=True))
    return F.cat(parts, dim=dim)


_cumprod = Op("cumprod", _running("cumprod"), {"self": _cumprod_self})


def _accumulated(op: Op, input: Tensor, dim: int, dtype: DType | None) -> Tensor:
    found = check_dim(integer(op.name, "dim", dim), tensor_argument(op.name, input).ndim)
    dtype = differentiable_dtype(op.name, input, dtype)
    return op(input, dim=found, dtype=dtype)


def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """The sums of all elements so far along `dim`; integers give int64. `dtype`: cast to it first."""
    return _accumulated(_cumsum, input, dim, dtype)


def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """The products of all elements so far along `dim`; its derivative is exact where elements are zero."""
    return _accumulated(_cumprod, input, dim, dtype)


_cumsum.public, _cumprod.public = cumsum, cumprod

# Scans of an associative operation, in steps that double what is covered.


def _doubling(xp: Any, arrays: tuple[Any, ...], dim: int, combine: Callable[..., Any]) -> tuple[Any, ...]:
    size, step = arrays[0].shape[dim], 1
    while step < size:
        early, late = _at(dim, slice(0, size - step)), _at(dim, slice(step, size))
        joined = combine([a[early] for a in arrays], [a[late] for a in arrays])
        head = _at(dim, slice(0, step))
        arrays = tuple([xp.concatenate([a[head], b], axis=dim) for a, b in zip(arrays, joined, strict=True)])
        step *= 2
    return arrays


def _log_add(xp: Any, a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b)), also for equal infinities."""
    top = xp.maximum(a, b)
    return xp.where(a == b, top + xp.log(xp.asarray(2.0, top.dtype)), top + xp.log1p(xp.exp(-xp.abs(a - b))))


def _logcumsumexp_kernel(xp: Any, x: Any, dim: int) -> Any:
    wide = x.astype(_wider(xp, x))
    (made,) = _doubling(xp, (wide,), dim, lambda a, b: (_log_add(xp, a[0], b[0]),))
    return made.astype(x.dtype)


def _logcumsumexp_self(F: Any, g: Any, self: Any, result: Any, dim: int) -> Any:
    """Each element's share of the first sum it enters, times what all later sums pass on to that one."""
    if not g.ndim or not g.shape[dim]:
        return g
    size = g.shape[dim]
    early = F.slice(result, dim=dim, start=0, stop=size - 1, step=1)
    late = F.slice(result, dim=dim, start=1, stop=size, step=1)
    growth = F.zero_where(early - late, early == late)  # infinities that are equal pass everything on
    padded = F.constant_pad_nd(growth, pad=(0, 0) * (g.ndim - 1 - dim) + (0, 1), value=0.0)
    passed = _backwards(F, F.exp(padded), dim)
    return F.exp(self - result) * _backwards(F, F.recur(_backwards(F, g, dim), passed, dim=dim), dim)


_logcumsumexp = Op("logcumsumexp", _one_dim_up(_logcumsumexp_kernel), {"self": _logcumsumexp_self})


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """The logarithms of the sums of exponentials so far along `dim`; floating point only."""
    found = check_dim(integer("logcumsumexp", "dim", dim), tensor_argument("logcumsumexp", input).ndim)
    if input.is_complex():
        raise NotImplementedError("logcumsumexp() of complex tensors is not available: expected a real tensor")
    if input.dtype.category < dtypes.FLOATING:
        raise NotImplementedError(
            f"\"logcumsumexp_out_cpu\" not implemented for '{dtypes.SCALAR_TYPE[input.dtype.name]}'"
        )
    return _logcumsumexp(input, dim=found)


# Extrema. Of equal elements the last counts, and once there is a NaN it stays.


def _running_extremum(better: str) -> Kernel:
    def kernel(xp: Any, x: Any, dim: int) -> tuple[Any, Any]:
        def combine(a: Any, b: Any) -> tuple[Any, Any]:
            nan = b[0] != b[0]
            second = nan | (a[0] == a[0]) & getattr(xp, better)(b[0], a[0])
            return xp.where(second, b[0], a[0]), xp.where(second, b[1], a[1])

        shape = [1] * x.ndim
        shape[dim] = x.shape[dim]
        places = xp.broadcast_to(xp.reshape(xp.arange(x.shape[dim]), shape), x.shape)
        values, indices = _doubling(xp, (x, places), dim, combine)
        return xp.array(values, copy=True), xp.array(indices, copy=True)

    return _one_dim_up(kernel)


def _extremum_self(F: Any, g: Any, self: Any, self_shape: Any, result1: Any, dim: int) -> Any:
    # `self` is saved without need, as in torch, which so sees that it was modified
    return F.scatter_add(F.new_zeros(g[0], shape=self_shape), result1, g[0], dim=dim)


def _extremum(name: str, better: str) -> Op:
    return Op(name, _running_extremum(better), {"self": _extremum_self}, several=True, differentiable=(0,))


_cummax, _cummin = _extremum("cummax", "greater_equal"), _extremum("cummin", "less_equal")


def _extrema(op: Op, input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    found = check_dim(integer(op.name, "dim", dim), tensor_argument(op.name, input).ndim)
    if input.is_complex():
        raise NotImplementedError(f"\"{op.name}_cpu\" not implemented for '{dtypes.SCALAR_TYPE[input.dtype.name]}'")
    return op(input, dim=found)


def cummax(input: Tensor, dim: int) -> Any:
    """The largest elements so far along `dim`, and where they are: (values, indices)."""
    return return_types.cummax(_extrema(_cummax, input, dim))


def cummin(input: Tensor, dim: int) -> Any:
    """The smallest elements so far along `dim`, and where they are: (values, indices)."""
    return return_types.cummin(_extrema(_cummin, input, dim))


METHODS = {name: globals()[name] for name in __all__}
INPLACE = {"cumprod_": cumprod, "cumsum_": cumsum}
