"""Variances and standard deviations, with the mean or without. In records `dim` is as in `reductions`."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

from refgrad import dtypes
from refgrad.layout import row_major
from refgrad.ops.arguments import reduced_dims, tensor_argument
from refgrad.ops.record import Op
from refgrad.ops.reductions import axes_of, count_of, keep, mean_kernel, spread, total
from refgrad.tensor import Tensor

__all__ = ["std", "std_mean", "var", "var_mean"]


def _moments(xp: Any, x: Any, dim: Any, correction: float, keepdim: bool, root: bool, both: bool) -> tuple[Any, Any]:
    """The variance, or its root, and the mean; in double precision throughout, as torch computes them."""
    wide = x.astype(xp.complex128 if x.dtype.kind == "c" else xp.float64, copy=False)
    mean = mean_kernel(xp, wide, dim, True)
    apart = wide - _center(xp, x, wide, mean, dim, both)
    squares = apart.real**2 + apart.imag**2 if x.dtype.kind == "c" else apart * apart
    freedom = max(count_of(x.shape, dim) - correction, 0)
    var = xp.true_divide(total(xp, squares, dim, keepdim), freedom)
    kind = x.dtype if x.dtype.kind == "f" else xp.finfo(x.dtype).dtype
    mean = xp.reshape(_running_mean(xp, x, mean, dim), var.shape).astype(x.dtype, copy=False)
    return (xp.sqrt(var) if root else var).astype(kind, copy=False), mean


def _center(xp: Any, x: Any, wide: Any, mean: Any, dim: Any, both: bool) -> Any:
    """What squared distances are taken from.

    A single variance torch takes about the mean in the dtype of the input. Otherwise it updates mean
    and variance element by element, so that equal elements give exactly zero: so does a mean that is
    taken relative to the first of them.
    """
    if not x.size:
        return mean
    if mean.size == 1 and x.dtype.itemsize > 2 and not both:
        return mean_kernel(xp, x, dim, True).astype(wide.dtype, copy=False)
    axes = axes_of(x.ndim, dim)
    first = wide[tuple([slice(0, 1) if k in axes else slice(None) for k in range(x.ndim)])]
    return first + mean_kernel(xp, wide - first, dim, True)


def _running_mean(xp: Any, x: Any, mean: Any, dim: Any) -> Any:
    """torch updates the mean element by element: after an infinity only NaN can follow."""
    axes = axes_of(x.ndim, dim)
    if not axes or x.dtype.kind != "f" or not x.size:
        return mean
    infinite = xp.isinf(x)
    last = infinite[tuple([slice(-1, None) if k in axes else slice(None) for k in range(x.ndim)])]
    early = xp.sum(infinite, axis=axes, keepdims=True) > last
    return xp.where(early, xp.asarray(xp.nan, mean.dtype), mean)


def _var_self(F: Any, g: Any, self: Any, dim: Any, correction: float) -> Any:
    return _var_slope(F, keep(F, g, self.shape, dim), self, dim, correction)


def _var_slope(F: Any, g: Any, self: Any, dim: Any, correction: float) -> Any:
    """The derivative of the variance by each element, times `g`."""
    shape = self.shape
    mean = F.mean(self, dim=axes_of(len(shape), dim), keepdim=True)
    freedom = count_of(shape, dim) - correction
    if freedom <= 0 and (dim is None or not shape):
        return g * ((self != mean) * 1.0 / 0)  # NaN at the mean and infinite elsewhere
    return (g * (2 / freedom if freedom else math.inf)) * (self - mean)


def _std_to_var(F: Any, g: Any, std: Any) -> Any:
    """The gradient of the variance, given that of its root: zero where the root is zero."""
    return F.zero_where(g / (std * 2), std == 0)


def _var_tangent(F: Any, self_t: Any, self: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    slope = _var_slope(F, self_t.conjugate(), self, dim, correction)
    return F.real(F.sum(slope, dim=axes_of(self.ndim, dim), keepdim=keepdim))


def _std_tangent(F: Any, self_t: Any, self: Any, result: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    of_var = _var_tangent(F, self_t, self, dim, correction, keepdim)
    return F.zero_where(of_var / (result * 2), result == 0)


def _with_mean(tangent: Any) -> Any:
    """The same for two outputs, of which the second is the mean."""

    @functools.wraps(tangent)
    def both(F: Any, self_t: Any, self: Any, *others: Any) -> Any:
        dim, _, keepdim = others[-3:]
        mean = F.mean(self_t, dim=axes_of(self.ndim, dim), keepdim=keepdim)
        return [tangent(F, self_t, self, *others), mean]

    return both


def _var_mean_self(F: Any, g: Any, self: Any, self_shape: Any, dim: Any, correction: float) -> Any:
    parts = []
    if g[0] is not None:
        parts.append(_var_self(F, g[0], self, dim, correction))
    if g[1] is not None:
        parts.append(spread(F, g[1] / max(count_of(self_shape, dim), 1), self_shape, dim))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _std_mean_self(F: Any, g: Any, self: Any, result: Any, self_shape: Any, dim: Any, correction: float) -> Any:
    of_var = None if g[0] is None else _std_to_var(F, g[0], result)
    return _var_mean_self(F, [of_var, g[1]], self, self_shape, dim, correction)


def _std_self(F: Any, g: Any, self: Any, result: Any, dim: Any, correction: float) -> Any:
    return _var_self(F, _std_to_var(F, g, result), self, dim, correction)


def _record(name: str, root: bool, both: bool, formula: Any, tangent: Any = None) -> Op:
    def kernel(xp: Any, x: Any, dim: Any, correction: float, keepdim: bool) -> Any:
        made = _moments(xp, x, dim, correction, keepdim, root, both)
        return made if both else made[0]

    return Op(name, row_major(kernel), {"self": formula}, several=both, jvp=tangent)


_var = _record("var", False, False, _var_self, _var_tangent)
_std = _record("std", True, False, _std_self, _std_tangent)
_var_mean = _record("var_mean", False, True, _var_mean_self, _with_mean(_var_tangent))
_std_mean = _record("std_mean", True, True, _std_mean_self, _with_mean(_std_tangent))


def _spread_of(op: Op, kind: str, input: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    name = op.name
    if tensor_argument(name, input).dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"{kind} only support floating point and complex dtypes")
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is not None and unbiased is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments: unbiased and correction")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    dims = None if dim is None else reduced_dims(name, dim, input.ndim)
    if count_of(input.shape, dims) <= correction:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction "
            "factor (input numel divided by output numel).",
            UserWarning,
            stacklevel=3,
        )
    return op(input, dim=dims, correction=correction, keepdim=keepdim)


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Tensor:
    """The variance over `dim`: the sum of squared distances from the mean, over ``n - correction``.

    correction: 1 unless given; `unbiased` false means 0. RuntimeError for integers.
    """
    return _spread_of(_var, "std and var", input, dim, unbiased, keepdim, correction)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Tensor:
    """The standard deviation over `dim`; arguments as in `var`. Its derivative is 0 where it is 0."""
    return _spread_of(_std, "std and var", input, dim, unbiased, keepdim, correction)


def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """Variance and mean over `dim`; arguments as in `var`."""
    return _spread_of(_var_mean, "var_mean", input, dim, unbiased, keepdim, correction)


def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean over `dim`; arguments as in `var`."""
    return _spread_of(_std_mean, "std_mean", input, dim, unbiased, keepdim, correction)


METHODS = {"std": std, "var": var}
INPLACE: dict[str, Any] = {}
