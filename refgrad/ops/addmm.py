"""A sum with a product: ``beta * input + alpha * product``.

Half precision is computed in single and rounded once, where nothing else is said.
"""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.ops.half import in_single
from refgrad.ops.inplace import inplace
from refgrad.ops.limits import NUMBERS
from refgrad.ops.linalg import (
    adjoint,
    by_columns,
    c_names,
    check_batches,
    check_mv,
    check_ranks,
    check_shapes,
    check_tensors,
    left_of,
    no_bools,
    outer_of,
    right_of,
    same_dtype,
    scaled,
    sizes_of,
)
from refgrad.ops.record import Op
from refgrad.ops.shape import broadcast_to
from refgrad.tensor import Tensor, result_type

__all__ = ["addbmm", "addmm", "addmv", "addr", "baddbmm"]


def _factor(function: str, name: str, value: Any) -> Any:
    """`beta` or `alpha` as a Python number; TypeError for what is none."""
    if isinstance(value, Tensor) and not value.ndim:
        return value.item()
    if not isinstance(value, NUMBERS):
        raise TypeError(f"{function}(): argument '{name}' must be Number, not {type(value).__name__}")
    return value


def _factors(function: str, beta: Any, alpha: Any) -> dict[str, Any]:
    return {"beta": _factor(function, "beta", beta), "alpha": _factor(function, "alpha", alpha)}


def _scalar(value: Any, kind: str) -> Any:
    """A factor as torch reads it for a dtype: whole for integers, and wrapped around for uint8."""
    if kind not in "iu":
        return value
    whole = int(value)
    return whole + 256 if kind == "u" and -256 < whole < 0 else whole


def _sum_with(xp: Any, added: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """``beta * added + alpha * product``; torch does not read `added` if its factor is zero."""
    kind = product.dtype.kind
    beta, alpha = _scalar(beta, kind), _scalar(alpha, kind)
    if alpha != 1:
        product = alpha * product
    if beta == 0:
        return product
    return product + (added if beta == 1 else beta * added)


@in_single
def _add_product(xp: Any, added: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
    return _sum_with(xp, added, xp.matmul(left, right), beta, alpha)


def _add_blas_product(xp: Any, added: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
    if alpha == 0 and left.dtype.kind in "fc" and left.itemsize > 2:  # then BLAS reads neither
        left, right = xp.zeros_like(left), xp.zeros_like(right)
    return _add_product(xp, added, left, right, beta=beta, alpha=alpha)


_addmm = Op(
    "addmm",
    lambda xp, added, mat1, mat2, beta, alpha, columns: _add_blas_product(xp, added, mat1, mat2, beta, alpha),
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "mat1": lambda F, g, mat2, columns, alpha: left_of(F, g, mat2, columns, alpha),
        "mat2": lambda F, g, mat1, columns, alpha: right_of(F, g, mat1, columns, alpha),
    },
    inputs=("self", "mat1", "mat2"),
    check=no_bools("addmm_impl_cpu_"),
)


def _same_dtypes(input: Tensor, left: Tensor, right: Tensor) -> None:
    same_dtype("self and mat2 must have the same dtype, but got {} and {}", input, right)
    same_dtype("mat1 and mat2 must have the same dtype, but got {} and {}", left, right)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``; `input` broadcasts to (n, m). One dtype for all.

    `input` is not read if `beta` is 0. RuntimeError for matrices that do not fit, for an `input`
    that does not broadcast, and for dtypes that differ; bools are not implemented.
    """
    check_tensors("addmm", input=input, mat1=mat1, mat2=mat2)
    for name, matrix in (("mat1", mat1), ("mat2", mat2)):
        if matrix.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {matrix.ndim}-D tensor")
    _same_dtypes(input, mat1, mat2)
    check_shapes(mat1, mat2)
    broadcast_to(input.detach(), (mat1.shape[0], mat2.shape[1]))
    return _addmm(input, mat1, mat2, **_factors("addmm", beta, alpha), columns=by_columns(mat1, mat2))


def _addmv_kernel(xp: Any, added: Any, mat: Any, vec: Any, beta: Any, alpha: Any) -> Any:
    if not mat.size and beta != 0:  # torch does not broadcast here
        return added * _scalar(beta, added.dtype.kind)
    if added.dtype == xp.float16:  # torch rounds both factors, and the first product
        half = added.dtype.type
        if beta not in (0, 1) and alpha != 1:
            added, beta = added * half(beta), 1
        beta, alpha = float(half(beta)), float(half(alpha))
    return _add_blas_product(xp, added, mat, vec, beta, alpha)


_addmv = Op(
    "addmv",
    _addmv_kernel,
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "mat": lambda F, g, vec, alpha: scaled(F, outer_of(F, g, vec.conjugate()), alpha),
        "vec": lambda F, g, mat, alpha: scaled(F, F.mv(F.t(mat).conjugate(), g), alpha),
    },
    inputs=("self", "mat", "vec"),
    check=no_bools("addmv_impl_cpu"),
)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``; `input` has n elements or one. See `addmm`."""
    check_tensors("addmv", input=input, mat=mat, vec=vec)
    check_mv(tuple(input.shape), mat, vec, [input.dtype, mat.dtype, vec.dtype])
    return _addmv(input, mat, vec, **_factors("addmv", beta, alpha))


def _addbmm_kernel(xp: Any, added: Any, batch1: Any, batch2: Any, beta: Any, alpha: Any) -> Any:
    shape = (batch1.shape[1], batch2.shape[2])
    if not len(batch1):
        out = xp.zeros(shape, batch1.dtype)
        return out if beta == 0 else out + _scalar(beta, added.dtype.kind) * added
    for left, right in zip(batch1, batch2, strict=True):  # rounded each time, as torch does
        added = _add_blas_product(xp, added, left, right, beta, alpha)
        beta = 1
    return added


_addbmm = Op(
    "addbmm",
    _addbmm_kernel,
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "batch1": lambda F, g, batch1_shape, batch2, alpha: scaled(
            F, F.bmm(_in_batch(F, g, batch1_shape[0]), adjoint(F, batch2)), alpha
        ),
        "batch2": lambda F, g, batch1, batch2_shape, alpha: scaled(
            F, F.bmm(adjoint(F, batch1), _in_batch(F, g, batch2_shape[0])), alpha
        ),
    },
    inputs=("self", "batch1", "batch2"),
    check=no_bools("addmm_impl_cpu_"),
)


def _in_batch(F: Any, g: Any, count: int) -> Any:
    return F.expand(F.unsqueeze(g, dim=0), size=(count, *g.shape))


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * sum of batch1[i] @ batch2[i]``; `input` broadcasts to (n, m). See `addmm`."""
    check_tensors("addbmm", input=input, batch1=batch1, batch2=batch2)
    broadcast_to(input.detach(), (batch1.size(1), batch2.size(2)))
    check_ranks(batch1, batch2)
    if len(batch1) != len(batch2):
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {len(batch1)} and {len(batch2)}"
        )
    if batch1.shape[2] != batch2.shape[1]:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({sizes_of(batch1, batch2)})")
    _same_dtypes(input, batch1, batch2)
    return _addbmm(input, batch1, batch2, **_factors("addbmm", beta, alpha))


def _baddbmm_kernel(xp: Any, added: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
    small = left.shape[1] * left.shape[2] * right.shape[2] < 400  # torch leaves the others to BLAS
    return (_add_product if small else _add_blas_product)(xp, added, left, right, beta=beta, alpha=alpha)


_baddbmm = Op(
    "baddbmm",
    _baddbmm_kernel,
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "batch1": lambda F, g, batch2, alpha: scaled(F, F.bmm(g, adjoint(F, batch2)), alpha),
        "batch2": lambda F, g, batch1, alpha: scaled(F, F.bmm(adjoint(F, batch1), g), alpha),
    },
    inputs=("self", "batch1", "batch2"),
    check=no_bools("baddbmm"),
)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``; `input` broadcasts to (b, n, m). See `addmm`."""
    check_tensors("baddbmm", input=input, batch1=batch1, batch2=batch2)
    broadcast_to(input.detach(), (batch1.size(0), batch1.size(1), batch2.size(2)))
    check_batches(batch1, batch2)
    same_dtype(
        "Input dtypes must be the same, got: input {}, batch1: {}, batch2: {}",
        input,
        batch1,
        batch2,
        names=c_names,
    )
    return _baddbmm(input, batch1, batch2, **_factors("baddbmm", beta, alpha))


def _addr_kernel(xp: Any, added: Any, vec1: Any, vec2: Any, beta: Any, alpha: Any) -> Any:
    rows, kind = xp.expand_dims(vec1, 1), added.dtype.kind
    if kind == "b":
        made = rows & vec2 & bool(alpha)
        made = made | added if beta else made
    else:  # half precision is rounded each time
        made = rows * vec2 if alpha == 1 else _scalar(alpha, kind) * rows * vec2
        made = made if beta == 0 else _scalar(beta, kind) * added + made
    if added.shape != made.shape or added.flags.c_contiguous:
        return made
    out = xp.empty_like(added)  # in the memory order of `added`
    out[...] = made
    return out


_addr = Op(
    "addr",
    _addr_kernel,
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "vec1": lambda F, g, vec2, alpha: scaled(F, F.mv(g, vec2.conjugate()), alpha),
        "vec2": lambda F, g, vec1, alpha: scaled(F, F.mv(F.t(g), vec1.conjugate()), alpha),
    },
    inputs=("self", "vec1", "vec2"),
    promote="same",
    jvp="transpose",
)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``; `input` broadcasts to (n, m), dtypes are promoted.

    `input` is not read if `beta` is 0. RuntimeError for other shapes, and for factors that are
    not whole where the result is.
    """
    check_tensors("addr", input=input, vec1=vec1, vec2=vec2)
    factors = _factors("addr", beta, alpha)
    for name, vector in (("vec1", vec1), ("vec2", vec2)):
        if vector.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {vector.ndim}-D")
    kind = result_type(input, vec1, vec2)
    for name, factor in factors.items():
        if kind.category < dtypes.FLOATING and isinstance(factor, float):
            raise RuntimeError(
                f"For integral input tensors, argument {name} must not be a floating point number."
            )
        if kind is not dtypes.bool_ and isinstance(factor, bool):
            raise RuntimeError(f"Boolean {name} only supported for Boolean results.")
    broadcast_to(input.detach(), (len(vec1), len(vec2)))
    return _addr(input, vec1, vec2, **factors)


METHODS = {"addbmm": addbmm, "addmm": addmm, "addmv": addmv, "addr": addr, "baddbmm": baddbmm}
METHODS |= {f"{name}_": inplace(METHODS[name], f"{name}_", overlap=None) for name in METHODS if name != "addr"}
INPLACE = {"addr_": addr}
