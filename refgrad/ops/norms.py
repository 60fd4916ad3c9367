"""Vector norms. Where a norm is not differentiable its gradient is 0 at zero elements, as in torch."""

from __future__ import annotations

import math
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import dtype as DType
from refgrad.layout import row_major
from refgrad.ops.arguments import dtype_argument, reduced_dims, tensor_argument
from refgrad.ops.record import Op
from refgrad.ops.reductions import dtype_of, keep, total
from refgrad.tensor import Tensor

__all__ = ["norm"]


def norm_kernel(xp: Any, x: Any, ord: float, dim: tuple[int, ...], keepdim: bool, dtype: DType | None) -> Any:
    sizes = xp.abs(x if dtype is None else x.astype(dtype.numpy, copy=False))
    kind = sizes.dtype
    if sizes.dtype == xp.float16:
        sizes = sizes.astype(xp.float32)
    if ord != 0 and all(x.shape[k] == 1 for k in dim):
        kept = sizes if keepdim else xp.reshape(sizes, [n for k, n in enumerate(x.shape) if k not in dim])
        return kept.astype(kind)
    if ord == 0:
        made = total(xp, (sizes != 0).astype(sizes.dtype), dim, keepdim)
    elif math.isinf(ord):
        extremum = xp.max if ord > 0 else xp.min
        made = extremum(sizes, axis=dim, keepdims=keepdim)
    elif ord == 1:
        made = total(xp, sizes, dim, keepdim)
    elif ord == 2:
        made = xp.sqrt(total(xp, sizes * sizes, dim, keepdim))
    else:
        made = total(xp, sizes**ord, dim, keepdim) ** (1 / ord)
    return made.astype(kind, copy=False)


def norm_self(F: Any, g: Any, self: Any, result: Any, ord: float, dim: tuple[int, ...]) -> Any:
    if ord == 0:
        return None
    shape = self.shape
    g, norm = keep(F, g, shape, dim), keep(F, result, shape, dim)
    if ord == 1:
        return F.sgn(self) * g
    if ord == 2:
        return g * F.zero_where(self / norm, norm == 0)
    if math.isinf(ord):
        reached = (abs(self) == norm) | ((self != self) & (norm != norm))
        count = F.sum(reached, dim=dim, keepdim=True, dtype=dtype_of(g))
        return F.sgn(self) * (g / count * reached)
    if ord < 1:
        powers = F.zero_where(abs(self) ** (ord - 1), self == 0)
        return F.sgn(self) * powers * g * norm ** (1 - ord)
    scale = F.zero_where(g / norm ** (ord - 1), norm == 0)
    if ord < 2:
        return F.sgn(self) * abs(self) ** (ord - 1) * scale
    return self * abs(self) ** (ord - 2) * scale


def _norm_tangent(F: Any, self_t: Any, self: Any, result: Any, ord: float, dim: Any, keepdim: bool) -> Any:
    """Each output depends on elements of its own: the gradients of all of them are computed at once."""
    slopes = norm_self(F, F.zeros_like(result) + 1, self, result, ord, dim)
    if slopes is None:
        return F.zeros_like(result)
    return F.sum(F.real(slopes.conjugate() * self_t), dim=dim, keepdim=keepdim)


_vector_norm = Op(
    "vector_norm",
    row_major(norm_kernel),
    {"self": norm_self},
    node="LinalgVectorNormBackward0",
    jvp=_norm_tangent,
)


def _check(input: Tensor, ord: float, dims: tuple[int, ...], given: Any) -> None:
    if input.dtype.category < dtypes.FLOATING:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{dtypes.SCALAR_TYPE[input.dtype.name]}"
        )
    asked = dims if given is None or not input.ndim else (given,) if isinstance(given, int) else given
    empty = [k for k in asked if not input._data.shape[k]]
    if empty and (ord < 0 or ord == math.inf):
        name = f"{ord:g}"
        if given is None:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {name} norm on an empty tensor because the operation "
                "does not have an identity"
            )
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {name} norm on the dimension {empty[0]}because this "
            "dimension is empty and the operation does not have an identity"
        )


def _check_dtype(input: Tensor, dtype: DType | None) -> None:
    if dtype is not None and dtypes.promote_types(input.dtype, dtype) is not dtype:
        names = dtypes.SCALAR_TYPE[input.dtype.name], dtypes.SCALAR_TYPE[dtype.name]
        raise RuntimeError(
            f"linalg.vector_norm: the dtype of the input ({names[0]}) should be convertible without "
            "narrowing to "
            f"the specified dtype ({names[1]})"
        )


def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """``sum(abs(x) ** ord) ** (1 / ord)`` over `dim` (all by default).

    ord: 0 counts nonzero elements, infinities give the largest and the smallest absolute value.
    Raises RuntimeError for integers, and for no elements where the norm of nothing is undefined.
    """
    if isinstance(ord, str) or not isinstance(ord, (int, float)):
        raise TypeError(f"linalg_vector_norm(): argument 'ord' (position 2) must be Number, not {type(ord).__name__}")
    dims = reduced_dims("linalg_vector_norm", dim, tensor_argument("linalg_vector_norm", x).ndim)
    _check(x, float(ord), dims, dim)
    dtype = dtype_argument("linalg_vector_norm", dtype)
    _check_dtype(x, dtype)
    return _vector_norm(x, ord=float(ord), dim=dims, keepdim=keepdim, dtype=dtype)


_vector_norm.public = vector_norm


def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> Tensor:
    """The `p`-norm over `dim` (all by default): a number, or "fro", which is 2."""
    tensor_argument("norm", input)
    if isinstance(dim, int):
        dim = (dim,)
    if p == "nuc":
        raise NotImplementedError("norm(p='nuc') is not available: expected a number or 'fro'")
    if isinstance(p, str):
        if p != "fro":
            raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
        if dim is not None and len(dim) > 2:
            raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dim))}")
    return vector_norm(input, 2 if p is None or p == "fro" else p, dim, keepdim, dtype=dtype)


METHODS = {"norm": norm}
INPLACE: dict[str, Any] = {}
LINALG = (vector_norm,)
