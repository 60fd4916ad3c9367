"""Products of vectors and matrices of fixed rank: what torch has a kernel and a node of its own for.

`products` builds the others of them. The derivatives are the usual ones: for ``C = A @ B`` they
are ``g @ B^H`` for A and ``A^H @ g`` for B.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import SCALAR_TYPE, dtype
from refgrad.ops.arguments import tensor_argument
from refgrad.ops.half import in_single
from refgrad.ops.limits import without
from refgrad.ops.record import Op, broadcast_error
from refgrad.ops.reductions import total
from refgrad.ops.shape import broadcast_to
from refgrad.tensor import Tensor, check_dim

__all__ = ["addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "cross", "dot", "mm", "mv", "trace", "vdot"]

# Checks, in torch's words

C_NAMES = {
    "bool": "bool",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short int",
    "int32": "int",
    "int64": "long int",
    "float16": "c10::Half",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


def _kinds(*tensors: Tensor) -> list[str]:
    return [SCALAR_TYPE[t.dtype.name] for t in tensors]


def _same_dtype(text: str, *tensors: Tensor, names: Callable[..., list[str]] = _kinds) -> None:
    """RuntimeError with `text`, which has a place for each dtype, if the dtypes differ."""
    if any(t.dtype is not tensors[0].dtype for t in tensors):
        raise RuntimeError(text.format(*names(*tensors)))


def _tensors(function: str, **named: Any) -> None:
    for position, (name, value) in enumerate(named.items(), 1):
        tensor_argument(function, value, name, position)


def _sizes(*matrices: Tensor) -> str:
    return " and ".join("x".join(map(str, m.shape[-2:])) for m in matrices)


def _check_shapes(left: Tensor, right: Tensor) -> None:
    if left.shape[1] != right.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({_sizes(left, right)})")


def _check_batches(left: Tensor, right: Tensor) -> None:
    for name, matrices in (("batch1", left), ("batch2", right)):
        if matrices.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    expected, found = [left.shape[0], left.shape[2]], list(right.shape[:2])
    if expected != found:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: {expected} but got: {found}."
        )


# Kernels. Half precision is multiplied and summed in single, as torch does.


def _multiply(xp: Any, left: Any, right: Any) -> Any:
    return xp.matmul(left, right)


def _plain(xp: Any, left: Any, right: Any, columns: Any = None) -> Any:
    return in_single(_multiply)(xp, left, right)


def _scalar(value: Any, kind: str) -> Any:
    """A factor as torch reads it for a dtype: whole for integers."""
    return int(value) if kind in "iu" else value


def _skips(array: Any) -> bool:
    """Whether torch leaves the product to BLAS, which does not read it if its factor is zero."""
    return array.dtype.kind in "fc" and array.itemsize > 2


def _sum_with(xp: Any, added: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """``beta * added + alpha * product``; torch does not read `added` if its factor is zero."""
    kind = product.dtype.kind
    beta, alpha = _scalar(beta, kind), _scalar(alpha, kind)
    if alpha != 1:
        product = alpha * product
    if beta == 0:
        return product
    return product + (added if beta == 1 else beta * added)


def _add_product(xp: Any, added: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
    if alpha == 0 and _skips(left):
        left = xp.zeros_like(left)
        right = xp.zeros_like(right)
    return _sum_with(xp, added, xp.matmul(left, right), beta, alpha)


# Factors of a sum: torch's product with a number, and nothing where that number is one

Op(
    "scale",
    in_single(lambda xp, x, factor: x * factor),
    {"self": lambda F, g, factor: F.scale(g, factor=factor.conjugate())},
    node="MulBackward1",
)


def scaled(F: Any, g: Any, factor: Any) -> Any:
    """A gradient times the conjugate of a factor."""
    return g if factor == 1 else F.scale(g, factor=factor.conjugate())


def _adjoint(F: Any, matrices: Any) -> Any:
    return F.transpose(matrices, dim0=1, dim1=2).conjugate()


# Matrix times matrix


def _by_columns(*matrices: Tensor) -> tuple[bool, ...]:
    """Which matrices lie in memory column by column: their gradients then do so too, as in torch."""
    return tuple([m.stride() == (1, m.shape[0]) for m in matrices])


def _left_of(F: Any, g: Any, right: Any, columns: tuple[bool, ...], alpha: Any = 1) -> Any:
    """The gradient of the left factor of a product of matrices."""
    if columns[0]:
        return scaled(F, F.t(F.mm(right.conjugate(), F.t(g))), alpha)
    return scaled(F, F.mm(g, F.t(right).conjugate()), alpha)


def _right_of(F: Any, g: Any, left: Any, columns: tuple[bool, ...], alpha: Any = 1) -> Any:
    """The gradient of the right factor of a product of matrices."""
    if columns[1]:
        return scaled(F, F.t(F.mm(F.t(g), left.conjugate())), alpha)
    return scaled(F, F.mm(F.t(left).conjugate(), g), alpha)


_mm = Op(
    "mm",
    _plain,
    {
        "self": lambda F, g, mat2, columns: _left_of(F, g, mat2, columns),
        "mat2": lambda F, g, self, columns: _right_of(F, g, self, columns),
    },
    inputs=("self", "mat2"),
    check=without(dtypes.BOOL, kernel="addmm_impl_cpu_"),
)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, (n, k) and (k, m), of one dtype.

    RuntimeError for other shapes and for dtypes that differ; bools are not implemented.
    """
    _tensors("mm", input=input, mat2=mat2)
    for name, matrix in (("self", input), ("mat2", mat2)):
        if matrix.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix")
    _check_shapes(input, mat2)
    _same_dtype(
        "expected m1 and m2 to have the same dtype, but got: {} != {}",
        input,
        mat2,
        names=lambda *tensors: [C_NAMES[t.dtype.name] for t in tensors],
    )
    return _mm(input, mat2, columns=_by_columns(input, mat2))


_mm.public = mm

_bmm = Op(
    "bmm",
    _plain,
    {
        "self": lambda F, g, mat2: F.bmm(g, _adjoint(F, mat2)),
        "mat2": lambda F, g, self: F.bmm(_adjoint(F, self), g),
    },
    inputs=("self", "mat2"),
    check=without(dtypes.BOOL, kernel="bmm"),
)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of matrices one by one: (b, n, k) times (b, k, m), of one dtype.

    RuntimeError for other shapes and for dtypes that differ; bools are not implemented.
    """
    _tensors("bmm", input=input, mat2=mat2)
    _check_batches(input, mat2)
    _same_dtype("expected scalar type {} but found {}", input, mat2)
    return _bmm(input, mat2)


# Matrix times vector

_mv = Op(
    "mv",
    _plain,
    {
        "self": lambda F, g, vec: F.outer(g, vec.conjugate()),
        "vec": lambda F, g, self: F.mv(F.t(self).conjugate(), g),
    },
    inputs=("self", "vec"),
    check=without(dtypes.BOOL, kernel="addmv_impl_cpu"),
)


def _check_mv(added: tuple[int, ...], mat: Tensor, vec: Tensor, kinds: list[dtype]) -> None:
    if mat.ndim != 2 or vec.ndim != 1 or len(added) > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {len(added)}, {mat.ndim}, {vec.ndim}")
    rows, length = mat.shape
    if vec.numel() != length or added not in ((), (1,), (rows,)):
        raise RuntimeError(
            f"size mismatch, got input ({added[0] if added else 1}), mat ({_sizes(mat)}), vec ({vec.numel()})"
        )
    if len(set(kinds)) > 1:
        names = [SCALAR_TYPE[kind.name] for kind in kinds]
        raise RuntimeError("addmv input tensors must have the same dtype, but got {}, {}, and {}".format(*names))


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix (n, k) times a vector (k), of one dtype.

    RuntimeError for other shapes and for dtypes that differ; bools are not implemented.
    """
    _tensors("mv", input=input, vec=vec)
    _check_mv(tuple(input.shape[:1]) or (1,), input, vec, [vec.dtype, input.dtype, vec.dtype])
    return _mv(input, vec)


_mv.public = mv

# Vector times vector

_check_bool_dot = without(dtypes.BOOL, kernel="dot")
_dot = Op(
    "dot",
    _plain,
    {
        "self": lambda F, g, tensor: g * tensor.conjugate(),
        "tensor": lambda F, g, self: g * self.conjugate(),
    },
    inputs=("self", "tensor"),
    check=_check_bool_dot,
)
_vdot = Op(
    "vdot",
    lambda xp, x, y: _plain(xp, xp.conj(x), y),
    {
        "self": lambda F, g, other: g.conjugate() * other,
        "other": lambda F, g, self: g * self,
    },
    inputs=("self", "other"),
    check=_check_bool_dot,
)


def _check_dot(input: Tensor, other: Tensor) -> None:
    if input.ndim != 1 or other.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {other.ndim}D tensors")
    _same_dtype("dot : expected both vectors to have same dtype, but found {} and {}", input, other)
    n, m = input.numel(), other.numel()
    if n != m:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same number of elements, "
            f"but got {n} and {m} elements respectively"
        )


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors of one length and dtype; RuntimeError for anything else."""
    _tensors("dot", input=input, tensor=tensor)
    _check_dot(input, tensor)
    return _dot(input, tensor)


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot` with the first vector conjugated."""
    _tensors("vdot", input=input, other=other)
    _check_dot(input, other)
    return _vdot(input, other)


# A sum with a product: beta * input + alpha * product. Half precision is rounded once, where not noted.

_addmm = Op(
    "addmm",
    lambda xp, added, mat1, mat2, beta, alpha, columns: in_single(_add_product)(
        xp, added, mat1, mat2, beta=beta, alpha=alpha
    ),
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "mat1": lambda F, g, mat2, columns, alpha: _left_of(F, g, mat2, columns, alpha),
        "mat2": lambda F, g, mat1, columns, alpha: _right_of(F, g, mat1, columns, alpha),
    },
    inputs=("self", "mat1", "mat2"),
    check=without(dtypes.BOOL, kernel="addmm_impl_cpu_"),
)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``; `input` broadcasts to (n, m). One dtype for all.

    `input` is not read if `beta` is 0. RuntimeError for matrices that do not fit, for an `input`
    that does not broadcast, and for dtypes that differ; bools are not implemented.
    """
    _tensors("addmm", input=input, mat1=mat1, mat2=mat2)
    for name, matrix in (("mat1", mat1), ("mat2", mat2)):
        if matrix.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {matrix.ndim}-D tensor")
    _check_shapes(mat1, mat2)
    broadcast_to(input.detach(), (mat1.shape[0], mat2.shape[1]))
    _same_dtype("self and mat2 must have the same dtype, but got {} and {}", input, mat2)
    _same_dtype("mat1 and mat2 must have the same dtype, but got {} and {}", mat1, mat2)
    return _addmm(input, mat1, mat2, beta=beta, alpha=alpha, columns=_by_columns(mat1, mat2))


def _addmv_kernel(xp: Any, added: Any, mat: Any, vec: Any, beta: Any, alpha: Any) -> Any:
    if not mat.size:  # torch forgets to broadcast here
        return xp.zeros_like(added) if beta == 0 else added * _scalar(beta, added.dtype.kind)
    if added.dtype == xp.float16:  # torch rounds both factors, and the first product
        half = added.dtype.type
        if beta not in (0, 1) and alpha != 1:
            added, beta = added * half(beta), 1
        beta, alpha = float(half(beta)), float(half(alpha))
    return in_single(_add_product)(xp, added, mat, vec, beta=beta, alpha=alpha)


_addmv = Op(
    "addmv",
    _addmv_kernel,
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "mat": lambda F, g, vec, alpha: scaled(F, F.outer(g, vec.conjugate()), alpha),
        "vec": lambda F, g, mat, alpha: scaled(F, F.mv(F.t(mat).conjugate(), g), alpha),
    },
    inputs=("self", "mat", "vec"),
    check=without(dtypes.BOOL, kernel="addmv_impl_cpu"),
)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``; `input` has n elements or one. See `addmm`."""
    _tensors("addmv", input=input, mat=mat, vec=vec)
    _check_mv(tuple(input.shape), mat, vec, [input.dtype, mat.dtype, vec.dtype])
    return _addmv(input, mat, vec, beta=beta, alpha=alpha)


def _addbmm_kernel(xp: Any, added: Any, batch1: Any, batch2: Any, beta: Any, alpha: Any) -> Any:
    shape = (batch1.shape[1], batch2.shape[2])
    if not len(batch1):
        out = xp.zeros(shape, batch1.dtype)
        return out if beta == 0 else out + _scalar(beta, added.dtype.kind) * added
    for left, right in zip(batch1, batch2, strict=True):  # rounded each time, as torch does
        added = in_single(_add_product)(xp, added, left, right, beta=beta, alpha=alpha)
        beta = 1
    return added


_addbmm = Op(
    "addbmm",
    _addbmm_kernel,
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "batch1": lambda F, g, batch1_shape, batch2, alpha: scaled(
            F, F.bmm(_in_batch(F, g, batch1_shape[0]), _adjoint(F, batch2)), alpha
        ),
        "batch2": lambda F, g, batch1, batch2_shape, alpha: scaled(
            F, F.bmm(_adjoint(F, batch1), _in_batch(F, g, batch2_shape[0])), alpha
        ),
    },
    inputs=("self", "batch1", "batch2"),
    check=without(dtypes.BOOL, kernel="addmm_impl_cpu_"),
)


def _in_batch(F: Any, g: Any, count: int) -> Any:
    return F.expand(F.unsqueeze(g, dim=0), size=(count, *g.shape))


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * sum of batch1[i] @ batch2[i]``; `input` broadcasts to (n, m). See `addmm`."""
    _tensors("addbmm", input=input, batch1=batch1, batch2=batch2)
    for name, matrices in (("batch1", batch1), ("batch2", batch2)):
        if matrices.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if len(batch1) != len(batch2):
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {len(batch1)} and {len(batch2)}"
        )
    if batch1.shape[2] != batch2.shape[1]:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({_sizes(batch1, batch2)})")
    broadcast_to(input.detach(), (batch1.shape[1], batch2.shape[2]))
    _same_dtype("self and mat2 must have the same dtype, but got {} and {}", input, batch2)
    _same_dtype("mat1 and mat2 must have the same dtype, but got {} and {}", batch1, batch2)
    return _addbmm(input, batch1, batch2, beta=beta, alpha=alpha)


def _baddbmm_kernel(xp: Any, added: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
    small = left.shape[1] * left.shape[2] * right.shape[2] < 400  # torch has a kernel of its own for these
    kernel = _add_small_product if small else _add_product
    return in_single(kernel)(xp, added, left, right, beta=beta, alpha=alpha)


def _add_small_product(xp: Any, added: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
    return _sum_with(xp, added, xp.matmul(left, right), beta, alpha)


_baddbmm = Op(
    "baddbmm",
    _baddbmm_kernel,
    {
        "self": lambda F, g, beta: scaled(F, g, beta),
        "batch1": lambda F, g, batch2, alpha: scaled(F, F.bmm(g, _adjoint(F, batch2)), alpha),
        "batch2": lambda F, g, batch1, alpha: scaled(F, F.bmm(_adjoint(F, batch1), g), alpha),
    },
    inputs=("self", "batch1", "batch2"),
    check=without(dtypes.BOOL, kernel="baddbmm"),
)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``; `input` broadcasts to (b, n, m). See `addmm`."""
    _tensors("baddbmm", input=input, batch1=batch1, batch2=batch2)
    wide = input.detach()
    if batch1.ndim == 3 and batch2.ndim == 3:
        wide = broadcast_to(wide, (len(batch1), batch1.shape[1], batch2.shape[2]))
    _check_batches(batch1, batch2)
    _same_dtype("Input dtypes must be the same, got: input {}, batch1: {}, batch2: {}", input, batch1, batch2, names=(
        lambda *tensors: [C_NAMES[t.dtype.name] for t in tensors]
    ))
    return _baddbmm(input, batch1, batch2, beta=beta, alpha=alpha)
