"""What is made of rows of samples: differences, integrals by the trapezoid rule, covariances, combinations.

In torch, too, these are made of other ops, whose nodes they have; `block_diag` and `dist` have nodes of their own.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

from refgrad import dtypes
from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.comparison import logical_xor
from refgrad.ops.constants import arange, zeros
from refgrad.ops.conversion import clone, complex, conj, imag, real
from refgrad.ops.grids import meshgrid
from refgrad.ops.indexing import select
from refgrad.ops.joining import cat, stack
from refgrad.ops.linalg import mm
from refgrad.ops.names import TENSORS
from refgrad.ops.norms import norm_kernel, norm_self
from refgrad.ops.record import Op
from refgrad.ops.reductions import sum
from refgrad.ops.scans import cumsum
from refgrad.ops.scatter import masked_select
from refgrad.ops.selection import clamp
from refgrad.ops.shape import flatten, squeeze, unsqueeze, view
from refgrad.ops.windows import diagonal
from refgrad.tensor import Tensor, check_dim

__all__ = [
    "block_diag",
    "cartesian_prod",
    "combinations",
    "corrcoef",
    "cov",
    "cumulative_trapezoid",
    "diff",
    "dist",
    "gradient",
    "trapezoid",
    "trapz",
]


def _part(x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    return TENSORS.slice(x, dim=dim, start=start, stop=max(start, stop), step=1)


# Combinations


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of `r` elements of a vector, a row each, in order."""
    shape = tensor_argument("combinations", input)._data.shape
    if len(shape) != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if not r:
        return zeros(0, dtype=input.dtype, device=input.device)
    places: Any = meshgrid(*[arange(shape[0], device=input.device)] * r, indexing="ij")
    chosen = places[0] >= 0
    for before, after in itertools.pairwise(places):
        chosen = chosen & (before <= after if with_replacement else before < after)
    grids = meshgrid(*[input] * r, indexing="ij")
    return stack([masked_select(grid, chosen) for grid in grids], 1)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All choices of one element of each vector, a row each."""
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    for t in given:
        if t.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t._data.shape)}")
    if len(given) == 1:
        return given[0]
    return stack([flatten(grid) for grid in meshgrid(*given, indexing="ij")], 1)


def _block_diag_kernel(xp: Any, arrays: Sequence[Any]) -> Any:
    blocks = [xp.reshape(a, (1,) * (2 - a.ndim) + a.shape) for a in arrays]
    size = [0, 0]
    for b in blocks:
        size = [size[0] + b.shape[0], size[1] + b.shape[1]]
    out = xp.zeros(tuple(size), xp.result_type(*[b.dtype for b in blocks]))
    row = column = 0
    for b in blocks:
        out[row : row + b.shape[0], column : column + b.shape[1]] = b
        row, column = row + b.shape[0], column + b.shape[1]
    return out


def _block_diag_tensors(F: Any, g: Any, shapes: tuple[tuple[int, ...], ...]) -> list[Any]:
    made, row, column = [], 0, 0
    for shape in shapes:
        rows, columns = ((1, 1) + shape)[-2:]
        band = F.slice(g, dim=0, start=row, stop=row + rows, step=1)
        made.append(F.reshape(F.slice(band, dim=1, start=column, stop=column + columns, step=1), shape=shape))
        row, column = row + rows, column + columns
    return made


_block_diag = Op("block_diag", _block_diag_kernel, _block_diag_tensors, sequence=True, jvp="linear")


def block_diag(*tensors: Any) -> Tensor:
    """The matrix with the matrices given along its diagonal; vectors are rows."""
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    for k, t in enumerate(given):
        if tensor_argument("block_diag", t, "tensors").ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {k} has {t.ndim} dimensions"
            )
    return _block_diag(given) if given else zeros(1, 0)


# Distances


def _dist_slope(F: Any, g: Any, self: Any, other: Any, result: Any, p: float) -> Any:
    between = self - other
    return norm_self(F, g, between, result, p, tuple(range(len(between.shape))))


def _dist_other(F: Any, g: Any, self: Any, other: Any, result: Any, p: float) -> Any:
    slope = _dist_slope(F, g, self, other, result, p)
    return None if slope is None else -slope


def _dist_kernel(xp: Any, x: Any, y: Any, p: float) -> Any:
    between = xp.asarray(x - y)
    return norm_kernel(xp, between, p, tuple(range(between.ndim)), False, None)


_dist = Op(
    "dist",
    _dist_kernel,
    {"self": _dist_slope, "other": _dist_other},
    inputs=("self", "other"),
    promote="same",
    elementwise=False,
    jvp="transpose",
)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The `p`-norm of ``input - other``."""
    tensor_argument("dist", input)
    tensor_argument("dist", other, "other", 2)
    if dtypes.promote_types(input.dtype, other.dtype).category < dtypes.FLOATING:
        kind = dtypes.SCALAR_TYPE[input.dtype.name]
        raise RuntimeError(f"norm(): input dtype should be either floating point or complex. Got {kind} instead.")
    return _dist(input, other, p=float(p))


# Differences


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences of neighbours along `dim`, `n` times, of `input` with what is put before and behind it."""
    if not tensor_argument("diff", input).ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if integer("diff", "n", n, 2) < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = check_dim(dim, input.ndim)
    if not n:
        return clone(input)
    around = [t for t in (prepend, input, append) if t is not None]
    made = cat(around, dim) if len(around) > 1 else input
    for _ in range(min(n, made._data.shape[dim])):
        length = made._data.shape[dim]
        after, before = _part(made, dim, 1, length), _part(made, dim, 0, length - 1)
        made = logical_xor(after, before) if made.dtype is dtypes.bool_ else after - before
    return made


def _steps(input: Tensor, spacing: Any, dims: Sequence[int], given: bool) -> list[Any]:
    if not isinstance(spacing, (list, tuple)):
        return [spacing] * len(dims)
    if len(spacing) != len(dims):
        reason = "dim" if given else f"'self.dim() = {input.ndim}', since dim argument was not given"
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to {reason}, but "
            f"got a list of length {len(spacing)}"
        )
    return list(spacing)


def gradient(input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """The slopes along each dimension by central differences, and by one-sided ones at the edges.

    spacing: the distance of samples, or for each dimension the distance or the coordinates. edge_order: 1 or 2.
    """
    ndim = tensor_argument("gradient", input).ndim
    asked = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = [check_dim(d, ndim) for d in asked]
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if any(input._data.shape[d] <= edge_order for d in dims):
        raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    steps = _steps(input, 1 if spacing is None else spacing, dims, dim is not None)
    return tuple([_slopes(input, d, step, edge_order) for d, step in zip(dims, steps, strict=True)])


def _slopes(x: Tensor, dim: int, step: Any, edge_order: int) -> Tensor:
    size = x._data.shape[dim]

    def at(k: int, stop: int | None = None) -> Tensor:
        return _part(x, dim, k % size, (k % size + 1) if stop is None else stop)

    if isinstance(step, Tensor) and step.ndim:
        column = [1] * x.ndim
        column[dim] = -1
        gaps = view(diff(step), column)
        last = size - 1
        left, right = _part(gaps, dim, 0, last - 1), _part(gaps, dim, 1, last)
        inner = (
            at(0, size - 2) * (-right / (left * (left + right)))
            + at(1, size - 1) * ((right - left) / (left * right))
            + at(2, size) * (left / (right * (left + right)))
        )
        ends = []
        for far in (False, True):
            a, b = _part(gaps, dim, last - 1, last) if far else _part(gaps, dim, 0, 1), None
            if edge_order == 1:
                ends.append((at(-1) - at(-2)) / a if far else (at(1) - at(0)) / a)
                continue
            b = _part(gaps, dim, last - 2, last - 1) if far else _part(gaps, dim, 1, 2)
            places, sign = ((-1, -2, -3), -1) if far else ((0, 1, 2), 1)
            ends.append(
                at(places[0]) * (-sign * (2 * a + b) / (a * (a + b)))
                + at(places[1]) * (sign * (a + b) / (a * b))
                + at(places[2]) * (-sign * a / (b * (a + b)))
            )
    else:
        inner = (at(2, size) - at(0, size - 2)) / (step * 2)
        if edge_order == 1:
            ends = [(at(1) - at(0)) / step, (at(-1) - at(-2)) / step]
        else:
            ends = [
                (at(0) * -3 + at(1) * 4 - at(2)) / (step * 2),
                (at(-1) * 3 - at(-2) * 4 + at(-3)) / (step * 2),
            ]
    return cat([ends[0], inner, ends[1]], dim)


# Integrals


def _widths(function: str, y: Tensor, x: Tensor, dim: int) -> Tensor:
    size = y._data.shape[dim]
    if x.ndim == 1:
        if x._data.shape[0] != size:
            raise RuntimeError(f"{function}: There must be one `x` value for each sample point")
        column = [1] * y.ndim
        column[dim] = size
        x = view(x, column)
    elif x.ndim < y.ndim:
        x = view(x, (1,) * (y.ndim - x.ndim) + x._data.shape)
    length = x._data.shape[dim]
    return _part(x, dim, 1, length) - _part(x, dim, 0, length - 1)


def _pairs(y: Tensor, dim: int) -> Tensor:
    size = y._data.shape[dim]
    return _part(y, dim, 0, size - 1) + _part(y, dim, 1, size)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of samples along `dim` by the trapezoid rule; they are `dx` apart, or at `x`."""
    if not tensor_argument("trapezoid", y, "y").ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = check_dim(dim, y.ndim)
    if not y._data.shape[dim]:
        return zeros([n for k, n in enumerate(y._data.shape) if k != dim], dtype=y.dtype, device=y.device)
    if x is not None:
        return sum(_widths("trapezoid", y, x, dim) * _pairs(y, dim), dim) / 2
    inner = sum(y, dim) - (select(y, dim, 0) + select(y, dim, -1)) * 0.5
    return inner * (1 if dx is None else dx)


def trapz(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """`trapezoid` under another name."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integrals up to each sample along `dim` by the trapezoid rule."""
    if not tensor_argument("cumulative_trapezoid", y, "y").ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = check_dim(dim, y.ndim)
    if x is not None:
        return cumsum(_widths("cumulative_trapezoid", y, x, dim) * _pairs(y, dim), dim) / 2
    return cumsum(_pairs(y, dim) * ((1 if dx is None else dx) / 2), dim)


# Covariances


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of variables, of which each row holds observations, which weights may repeat or rate."""
    if tensor_argument("cov", input).ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    if input.dtype is dtypes.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    rows = view(input, (1, -1)) if input.ndim < 2 else input
    weights = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    count: Any = rows._data.shape[1] if weights is None else sum(weights)
    mean = sum(rows if weights is None else rows * weights, 1) / count
    if aweights is None or not correction:
        factor = count - correction
    else:
        factor = count - correction * sum(weights * aweights) / count
    if (factor.item() if isinstance(factor, Tensor) else factor) <= 0:
        warnings.warn("cov(): degrees of freedom is <= 0. Correction should be strictly less than the number "
                      "of observations.", UserWarning, stacklevel=2)
        factor = factor * 0
    centered = rows - unsqueeze(mean, 1)
    other = centered if weights is None else centered * weights
    return squeeze(mm(centered, conj(other.t())) / factor)


def corrcoef(input: Tensor) -> Tensor:
    """The correlations of variables, of which each row holds observations."""
    if tensor_argument("corrcoef", input).ndim > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    c = cov(input)
    if not c.ndim:
        return c / c
    deviation = diagonal(c)
    deviation = (real(deviation) if c.is_complex() else deviation).sqrt()
    c = c / view(deviation, (-1, 1)) / view(deviation, (1, -1))
    return complex(clamp(real(c), -1, 1), clamp(imag(c), -1, 1)) if c.is_complex() else clamp(c, -1, 1)


METHODS = {"corrcoef": corrcoef, "cov": cov, "diff": diff, "dist": dist}
