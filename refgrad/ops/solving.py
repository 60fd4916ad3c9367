"""`torch.linalg`: inverses, determinants, linear equations, the Cholesky factor, and products of `torch.linalg` only.

The derivatives are those of Giles 2008, "An extended collection of matrix derivative results" (inverse, determinant,
solution), and of Murray 2016, "Differentiation of the Cholesky decomposition", conjugated for complex matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.dtypes import C_NAMES, SCALAR_TYPE
from refgrad.layout import row_major
from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.arithmetic import mul
from refgrad.ops.axes import transpose
from refgrad.ops.conversion import clone
from refgrad.ops.creation import tensor
from refgrad.ops.elementary import log
from refgrad.ops.linalg import cross as _cross_along
from refgrad.ops.linalg import sizes_of, vdot
from refgrad.ops.products import matmul, multiply_chain
from refgrad.ops.record import Op
from refgrad.ops.reductions import sum
from refgrad.ops.selection import where
from refgrad.ops.shape import unsqueeze, view
from refgrad.ops.windows import diagonal as _diagonal_of
from refgrad.return_types import named
from refgrad.tensor import Tensor

__all__ = ["det", "logdet"]

_Slogdet = named("linalg_slogdet", "sign", "logabsdet")


class _LinAlgError(RuntimeError):  # torch's name of it
    """A matrix that the computation cannot be done with: singular, or not positive definite."""


LinAlgError = _LinAlgError

# In formulas; recorded as torch's matmul is, by its parts.
Op("matrices", lambda xp, left, right: xp.matmul(left, right)).public = matmul


def _adjoint(F: Any, x: Any) -> Any:
    return F.transpose(x, dim0=-2, dim1=-1).conjugate()


# Checks, in torch's words


def _square(function: str, A: Any, name: str = "A") -> Tensor:
    """`A` if it holds square matrices; else torch's error."""
    tensor_argument(f"linalg_{function}", A, name)
    if A.ndim < 2:
        raise RuntimeError(f"linalg.{function}: The input tensor A must have at least 2 dimensions.")
    rows, columns = A.shape[-2:]
    if rows != columns:
        raise RuntimeError(
            f"linalg.{function}: A must be batches of square matrices, but they are {rows} by {columns} matrices"
        )
    return A


def _inexact(function: str, A: Tensor, half: str | None = None) -> None:
    """torch's error for dtypes that are not computed in; `half` names the kernel that refuses half precision."""
    kind = SCALAR_TYPE[A.dtype.name]
    if A.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"linalg.{function}: Expected a floating point or complex tensor as input. Got {kind}")
    if A.dtype is dtypes.float16:
        if half is not None:
            raise NotImplementedError(f"\"{half}\" not implemented for '{kind}'")
        raise RuntimeError(f"linalg.{function}: Low precision dtypes not supported. Got {kind}")


def _first(A: Any, fails: Callable[[Any], bool]) -> tuple[str, Any]:
    """Which matrix of a batch fails first, in torch's words, and the matrix."""
    rows = A.reshape(-1, *A.shape[-2:])
    k = next(k for k in range(len(rows)) if fails(rows[k]))
    return (f"(Batch element {k}): " if A.ndim > 2 else ""), rows[k]


def _raises(function: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def fails(matrix: Any) -> bool:
        try:
            function(matrix)
        except np.linalg.LinAlgError:
            return True
        return False

    return fails


def _zero_pivot(xp: Any, matrix: Any) -> int:
    """The first place, from 1, where elimination with row exchanges leaves a zero on the diagonal."""
    rows, found = xp.array(matrix), 0
    for k in range(len(rows)):
        best = k + int(xp.argmax(xp.abs(rows[k:, k])))
        rows[[k, best]] = rows[[best, k]]
        if rows[k, k] != 0:
            rows[k + 1 :] -= rows[k + 1 :, k : k + 1] / rows[k, k] * rows[k]
        elif not found:
            found = k + 1
    return found


# Inverses


def _inverse(xp: Any, A: Any) -> Any:
    try:
        return xp.linalg.inv(A)
    except np.linalg.LinAlgError:
        place, matrix = _first(A, _raises(xp.linalg.inv))
        raise LinAlgError(
            f"linalg.inv: {place}The diagonal element {_zero_pivot(xp, matrix)} is zero, the inversion could not be "
            "completed because the input matrix is singular."
        ) from None


def _inverse_self(F: Any, g: Any, result: Any) -> Any:
    turned = _adjoint(F, result)
    return -F.matrices(F.matrices(turned, g), turned)


_inv = Op("linalg_inv", row_major(_inverse), {"self": _inverse_self}, node="LinalgInvExBackward0")


def inv(A: Tensor) -> Tensor:
    """The inverses of square matrices; LinAlgError if one is singular."""
    _square("inv", A)
    _inexact("inv", A)
    return _inv(A)


inverse = inv

# Determinants


def _cofactors(xp: Any, A: Any) -> Any:
    """The derivative of the determinant, by singular values: that of a singular matrix too."""
    U, S, Vh = xp.linalg.svd(A)
    n = A.shape[-1]
    others = xp.where(xp.eye(n, dtype=bool), 1, S[..., None, :]).prod(-1).astype(A.dtype)
    sign = (xp.linalg.det(U) * xp.linalg.det(Vh))[..., None, None]
    return sign * xp.matmul(U.conj() * others[..., None, :], Vh.conj())


def _cofactors_of(A: Tensor) -> Tensor:
    """The same, to be differentiated: of a singular matrix LinAlgError."""
    return mul(unsqueeze(unsqueeze(det(A), -1), -1), transpose(inv(A), -2, -1))


Op("cofactors", _cofactors).public = _cofactors_of


def _as_matrices(F: Any, g: Any) -> Any:
    return F.unsqueeze(F.unsqueeze(g, dim=-1), dim=-1)


_det = Op(
    "linalg_det",
    lambda xp, A: xp.linalg.det(A),
    {"self": lambda F, g, self: _as_matrices(F, g) * F.cofactors(self).conjugate()},
)


def det(A: Tensor) -> Tensor:
    """The determinants of square matrices.

    A singular matrix has its true gradient, which torch gives under create_graph only (otherwise 0 if the determinant
    is 0). Under create_graph a singular matrix raises LinAlgError.
    """
    _square("det", A)
    _inexact("det", A, "lu_cpu")
    return _det(A)


def _slogdet_self(F: Any, g: Any, self: Any, self_dtype: Any, result: Any) -> Any:
    of_sign, of_log = g
    slope = of_log
    if self_dtype.is_complex and of_sign is not None:
        turn = F.imag(result.conjugate() * of_sign) * -1j
        slope = turn if of_log is None else of_log + turn
    if slope is None:
        return None
    return _as_matrices(F, slope) * _adjoint(F, F.linalg_inv(self))


_slogdet = Op(
    "linalg_slogdet", lambda xp, A: tuple(map(xp.asarray, xp.linalg.slogdet(A))), {"self": _slogdet_self}, several=True
)


def slogdet(A: Tensor) -> Any:
    """The signs of the determinants of square matrices, and the logarithms of their absolute values."""
    _square("slogdet", A)
    _inexact("slogdet", A)
    return _Slogdet(_slogdet(A))


def logdet(input: Tensor) -> Tensor:
    """The logarithms of determinants: NaN for negative ones."""
    _square("logdet", input)
    sign, size = slogdet(input)
    if input.is_complex():
        return size + log(sign)
    return where(sign == -1, float("nan"), size)


# Linear equations


def _solution(xp: Any, A: Any, B: Any, left: bool, vector: bool) -> Any:
    right = B[..., None] if vector else B
    try:
        if left:
            made = xp.linalg.solve(A, right)
        else:
            made = xp.swapaxes(xp.linalg.solve(xp.swapaxes(A, -2, -1), xp.swapaxes(right, -2, -1)), -2, -1)
    except np.linalg.LinAlgError:
        place, _ = _first(A, _raises(xp.linalg.inv))
        raise LinAlgError(
            f"torch.linalg.solve: {place}The solver failed because the input matrix is singular."
        ) from None
    return made[..., 0] if vector else made


def _solve_B(F: Any, g: Any, A: Any, left: bool, vector: bool) -> Any:
    return F.linalg_solve(_adjoint(F, A), g, left=left, vector=vector)


def _solve_A(F: Any, g: Any, A: Any, result: Any, left: bool, vector: bool) -> Any:
    of_B = F.linalg_solve(_adjoint(F, A), g, left=left, vector=vector)
    if vector:
        return -(F.unsqueeze(of_B, dim=-1) * F.unsqueeze(result.conjugate(), dim=-2))
    return -(F.matrices(of_B, _adjoint(F, result)) if left else F.matrices(_adjoint(F, result), of_B))


_solve = Op(
    "linalg_solve",
    row_major(_solution),
    {"A": _solve_A, "B": _solve_B},
    inputs=("A", "B"),
    node="LinalgSolveExBackward0",
)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The X with ``A X = B``, or ``X A = B`` unless `left`.

    B holds vectors if its shape is that of A less one dimension.

    LinAlgError if a matrix is singular; RuntimeError for shapes that do not fit.
    """
    _square("solve", A)
    tensor_argument("linalg_solve", B, "B", 2)
    _inexact("solve", A)
    if A.dtype is not B.dtype:
        kinds = [SCALAR_TYPE[t.dtype.name] for t in (A, B)]
        raise RuntimeError(
            "linalg.solve: Expected A and B to have the same dtype, but found A of type {} and B of type {} "
            "instead".format(*kinds)
        )
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]))
    if vector and not left:
        raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False")
    if B.ndim < 1 or A.shape[-1] != B.shape[-1 if vector else -2 if left else -1]:
        equation = "AX = B" if left else "XA = B"
        sizes = sizes_of(A, unsqueeze(B, -1) if vector else B)
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation {equation} ({sizes})"
        )
    return _solve(A, B, left=left, vector=vector)


# The Cholesky factor


def _turned(xp: Any, A: Any) -> Any:
    return xp.swapaxes(A, -2, -1).conj()


def _cholesky_kernel(xp: Any, A: Any, upper: bool) -> Any:
    def minor(matrix: Any) -> int:
        return next(k for k in range(1, len(matrix) + 1) if _raises(xp.linalg.cholesky)(matrix[:k, :k]))

    if upper:
        return _turned(xp, _cholesky_kernel(xp, _turned(xp, A), upper=False))
    try:
        return xp.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        place, matrix = _first(A, _raises(xp.linalg.cholesky))
        raise LinAlgError(
            f"linalg.cholesky: {place}The factorization could not be completed because the input is not "
            f"positive-definite (the leading minor of order {minor(matrix)} is not positive-definite)."
        ) from None


def _cholesky_self(F: Any, g: Any, result: Any, upper: bool) -> Any:
    if upper:
        g, result = _adjoint(F, g), _adjoint(F, result)
    lower = F.tril(F.matrices(_adjoint(F, result), g), diagonal=0)
    strict = F.tril(lower, diagonal=-1)
    half = (lower + strict) * 0.5  # the diagonal counts half
    both = half + _adjoint(F, half)
    inverse = F.linalg_inv(result)
    return F.matrices(F.matrices(_adjoint(F, inverse), both), inverse) * 0.5


_cholesky = Op("linalg_cholesky", _cholesky_kernel, {"self": _cholesky_self}, node="LinalgCholeskyExBackward0")


def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with ``L L^H = A``, or its adjoint; of A the lower, or upper, triangle is read.

    LinAlgError if a matrix is not positive definite.
    """
    _square("cholesky", input, "input")
    _inexact("cholesky", input, "cholesky_cpu")
    return _cholesky(input, upper=upper)


# Products


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of the products along `dim`, with `x` conjugated."""
    tensor_argument("linalg_vecdot", x, "x")
    tensor_argument("linalg_vecdot", y, "y", 2)
    for t in (x, y):
        if t.dtype.category < dtypes.FLOATING:
            raise RuntimeError(
                f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {SCALAR_TYPE[t.dtype.name]}"
            )
    if x.ndim == y.ndim == 1:
        return vdot(x, y)
    return sum(mul(x.conj(), y), dim)


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along `dim`, of length 3, with broadcasting of the other dimensions."""
    return _cross_along(input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, as a view."""
    return _diagonal_of(A, offset, dim1, dim2)


def matrix_power(A: Tensor, n: int) -> Tensor:
    """The n-th powers of square matrices, of their inverses for negative `n`."""
    _square("matrix_power", A, "input")
    n = integer("linalg_matrix_power", "n", n, 2)
    if n == 0:
        powers = clone(A)
        eye = np.broadcast_to(np.eye(A.shape[-1]), tuple(A.shape))
        return powers.copy_(tensor(eye.copy(), device=A.device).to(A.dtype))
    if n == 1:
        return clone(A)
    square = A if n > 0 else inv(A)
    n = abs(n)
    if n == 1:
        return square
    if n == 3:  # as torch does it
        return matmul(matmul(square, square), square)
    made: Tensor | None = None
    while n:
        if n & 1:
            made = square if made is None else matmul(made, square)
        n >>= 1
        square = matmul(square, square) if n else square
    assert made is not None
    return made


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of at least two matrices in the cheapest order; the first and the last may be vectors."""
    if len(tensors) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(len(tensors)))
    first, last = tensors[0], tensors[-1]
    for place, t in ((0, first), (len(tensors) - 1, last)):
        if t.ndim not in (1, 2):
            which = "the first" if not place else "the last"
            raise RuntimeError(f"multi_dot(): {which} tensor must be 1D or 2D but got {t.ndim}D")
    shape = (*first.shape[: first.ndim - 1], *last.shape[1:])
    chain = [unsqueeze(first, 0) if first.ndim == 1 else first, *tensors[1:-1]]
    chain.append(unsqueeze(last, -1) if last.ndim == 1 else last)
    for k, t in enumerate(chain):
        if t.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {k} must be 2D but got {t.ndim}D")
        if t.dtype is not first.dtype:
            raise RuntimeError(
                "multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{C_NAMES[first.dtype.name]} and tensor {k} {C_NAMES[t.dtype.name]}"
            )
    for k, (a, b) in enumerate(zip(chain, chain[1:], strict=False)):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {k} and {k + 1} with shapes {list(a.shape)} and {list(b.shape)} cannot be "
                "multiplied"
            )
    return view(multiply_chain(tuple(chain)), tuple(shape))


LINALG = (LinAlgError, cholesky, cross, det, diagonal, inv, matrix_power, multi_dot, slogdet, solve, vecdot)
METHODS = {"det": det, "inverse": inverse, "logdet": logdet, "slogdet": slogdet}
INPLACE: dict[str, Any] = {}
