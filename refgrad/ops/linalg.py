"""Products of vectors and matrices of fixed rank, each with a kernel and a node of its own.

`products` builds the others of them. The derivatives are the usual ones: for ``C = A @ B`` they
are ``g @ B^H`` for A and ``A^H @ g`` for B.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import C_NAMES, SCALAR_TYPE, dtype
from refgrad.ops.arguments import tensor_argument
from refgrad.ops.half import in_single
from refgrad.ops.limits import without
from refgrad.ops.record import Op
from refgrad.ops.reductions import total
from refgrad.tensor import Tensor, check_dim

__all__ = ["bmm", "cross", "dot", "mm", "mv", "trace", "vdot"]

# Checks, in torch's words


def _kinds(*tensors: Tensor) -> list[str]:
    return [SCALAR_TYPE[t.dtype.name] for t in tensors]


def c_names(*tensors: Tensor) -> list[str]:
    """The dtypes as C++ spells them."""
    return [C_NAMES[t.dtype.name] for t in tensors]


def same_dtype(text: str, *tensors: Tensor, names: Callable[..., list[str]] = _kinds) -> None:
    """RuntimeError with `text`, which has a place for each dtype, if the dtypes differ."""
    if any(t.dtype is not tensors[0].dtype for t in tensors):
        raise RuntimeError(text.format(*names(*tensors)))


def no_bools(kernel: str, empty: bool = False) -> Callable[..., None]:
    """A check that refuses bool operands, in torch's words for `kernel`; `empty` lets those without elements pass."""
    refuse = without(dtypes.BOOL, kernel=kernel)

    def check(*operands: Tensor, **params: Any) -> None:
        if not empty or all(x.numel() for x in operands):
            refuse(*operands)

    return check


def check_tensors(function: str, **named: Any) -> None:
    for position, (name, value) in enumerate(named.items(), 1):
        tensor_argument(function, value, name, position)


def sizes_of(*matrices: Tensor) -> str:
    return " and ".join("x".join(map(str, m.shape[-2:])) for m in matrices)


def check_shapes(left: Tensor, right: Tensor) -> None:
    if left.shape[1] != right.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({sizes_of(left, right)})")


def check_ranks(left: Tensor, right: Tensor) -> None:
    for name, matrices in (("batch1", left), ("batch2", right)):
        if matrices.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")


def check_batches(left: Tensor, right: Tensor) -> None:
    check_ranks(left, right)
    expected, found = [left.shape[0], left.shape[2]], list(right.shape[:2])
    if expected != found:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: {expected} but got: {found}."
        )


_multiply = in_single(lambda xp, left, right: xp.matmul(left, right))  # half precision is summed in single


def _product(xp: Any, left: Any, right: Any, columns: Any = None) -> Any:
    return _multiply(xp, left, right)


# What the products here share in their derivatives

Op(
    "scale",
    in_single(lambda xp, x, factor: x * factor),
    {"self": lambda F, g, factor: F.scale(g, factor=factor.conjugate())},
    node="MulBackward1",  # torch's product of a tensor and a number
    jvp="linear",
)


def scaled(F: Any, g: Any, factor: Any) -> Any:
    """A gradient times the conjugate of a factor, unless that is one."""
    return g if factor == 1 else F.scale(g, factor=factor.conjugate())


def adjoint(F: Any, matrices: Any) -> Any:
    return F.transpose(matrices, dim0=1, dim1=2).conjugate()


# Matrix times matrix


def by_columns(*matrices: Tensor) -> tuple[bool, ...]:
    """Which matrices lie in memory column by column: their gradients then do so too, as in torch."""
    return tuple([m.stride() == (1, m.shape[0]) for m in matrices])


def left_of(F: Any, g: Any, right: Any, columns: tuple[bool, ...], alpha: Any = 1) -> Any:
    """The gradient of the left factor of a product of matrices."""
    if columns[0]:
        return scaled(F, F.t(F.mm(right.conjugate(), F.t(g))), alpha)
    return scaled(F, F.mm(g, F.t(right).conjugate()), alpha)


def right_of(F: Any, g: Any, left: Any, columns: tuple[bool, ...], alpha: Any = 1) -> Any:
    """The gradient of the right factor of a product of matrices."""
    if columns[1]:
        return scaled(F, F.t(F.mm(F.t(g), left.conjugate())), alpha)
    return scaled(F, F.mm(F.t(left).conjugate(), g), alpha)


_mm = Op(
    "mm",
    _product,
    {
        "self": lambda F, g, mat2, columns: left_of(F, g, mat2, columns),
        "mat2": lambda F, g, self, columns: right_of(F, g, self, columns),
    },
    inputs=("self", "mat2"),
    check=no_bools("addmm_impl_cpu_", empty=True),
)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, (n, k) and (k, m), of one dtype.

    RuntimeError for other shapes and for dtypes that differ; bools are not implemented.
    """
    check_tensors("mm", input=input, mat2=mat2)
    for name, matrix in (("self", input), ("mat2", mat2)):
        if matrix.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix")
    check_shapes(input, mat2)
    same_dtype(
        "expected m1 and m2 to have the same dtype, but got: {} != {}",
        input,
        mat2,
        names=c_names,
    )
    return _mm(input, mat2, columns=by_columns(input, mat2))


_mm.public = mm

_bmm = Op(
    "bmm",
    _product,
    {
        "self": lambda F, g, mat2: F.bmm(g, adjoint(F, mat2)),
        "mat2": lambda F, g, self: F.bmm(adjoint(F, self), g),
    },
    inputs=("self", "mat2"),
    check=no_bools("bmm", empty=True),
)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of matrices one by one: (b, n, k) times (b, k, m), of one dtype.

    RuntimeError for other shapes and for dtypes that differ; bools are not implemented.
    """
    check_tensors("bmm", input=input, mat2=mat2)
    check_batches(input, mat2)
    same_dtype("expected scalar type {} but found {}", input, mat2)
    return _bmm(input, mat2)


# Matrix times vector


def outer_of(F: Any, left: Any, right: Any) -> Any:
    """All products of two vectors, as `torch.outer` computes them."""
    return F.reshape(left, shape=(left.shape[0], 1)) * right


_mv = Op(
    "mv",
    _product,
    {
        "self": lambda F, g, vec: outer_of(F, g, vec.conjugate()),
        "vec": lambda F, g, self: F.mv(F.t(self).conjugate(), g),
    },
    inputs=("self", "vec"),
    check=no_bools("addmv_impl_cpu", empty=True),
)


def check_mv(added: tuple[int, ...], mat: Tensor, vec: Tensor, kinds: list[dtype]) -> None:
    if mat.ndim != 2 or vec.ndim != 1 or len(added) > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {len(added)}, {mat.ndim}, {vec.ndim}")
    rows, length = mat.shape
    if vec.numel() != length or added not in ((), (1,), (rows,)):
        raise RuntimeError(
            f"size mismatch, got input ({added[0] if added else 1}), mat ({sizes_of(mat)}), vec ({vec.numel()})"
        )
    if len(set(kinds)) > 1:
        names = [SCALAR_TYPE[kind.name] for kind in kinds]
        raise RuntimeError(
            "addmv input tensors must have the same dtype, but got {}, {}, and {}".format(*names)
        )


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix (n, k) times a vector (k), of one dtype.

    RuntimeError for other shapes and for dtypes that differ; bools are not implemented.
    """
    check_tensors("mv", input=input, vec=vec)
    check_mv(tuple(input.shape[:1]) or (1,), input, vec, [vec.dtype, input.dtype, vec.dtype])
    return _mv(input, vec)


_mv.public = mv

# Vector times vector

_check_bool_dot = no_bools("dot")
_dot = Op(
    "dot",
    _product,
    {
        "self": lambda F, g, tensor: g * tensor.conjugate(),
        "tensor": lambda F, g, self: g * self.conjugate(),
    },
    inputs=("self", "tensor"),
    check=_check_bool_dot,
)
_vdot = Op(
    "vdot",
    lambda xp, x, y: _product(xp, xp.conj(x), y),
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
    same_dtype("dot : expected both vectors to have same dtype, but found {} and {}", input, other)
    n, m = input.numel(), other.numel()
    if n != m:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same number of elements, "
            f"but got {n} and {m} elements respectively"
        )


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors of one length and dtype; RuntimeError for anything else."""
    check_tensors("dot", input=input, tensor=tensor)
    _check_dot(input, tensor)
    return _dot(input, tensor)


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot` with the first vector conjugated."""
    check_tensors("vdot", input=input, other=other)
    _check_dot(input, other)
    return _vdot(input, other)


# The cross product, the trace


def _cross_kernel(xp: Any, x: Any, y: Any, dim: int) -> Any:
    x, y = xp.broadcast_arrays(x, y)
    out = xp.empty(x.shape, x.dtype)
    a, b, c = (xp.moveaxis(v, dim, 0) for v in (x, y, out))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        c[k] = a[i] * b[j] - a[j] * b[i]
    return out


_cross = Op(
    "linalg_cross",
    _cross_kernel,
    {
        "self": lambda F, g, other, dim: F.linalg_cross(other.conjugate(), g, dim=dim),
        "other": lambda F, g, self, dim: F.linalg_cross(g, self.conjugate(), dim=dim),
    },
    inputs=("self", "other"),
    check=no_bools("cross"),
)


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along `dim`, of length 3, with broadcasting of the other dimensions.

    Without `dim`, which is deprecated, along the first dimension of length 3. RuntimeError for
    other lengths, another number of dimensions, or another dtype.
    """
    check_tensors("cross", input=input, other=other)
    if dim is None:
        warnings.warn(
            "Using torch.cross without specifying the dim arg is deprecated.\nPlease either pass the dim "
            "explicitly or simply use torch.linalg.cross.\nThe default value of dim will change to agree with "
            "that of linalg.cross in a future release.",
            UserWarning,
            stacklevel=2,
        )
        if 3 not in input.shape:
            raise RuntimeError("no dimension of size 3 in input")
        dim = input.shape.index(3)
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    dim = check_dim(dim, input.ndim)
    n, m = input.size(dim), other.size(dim)
    if n != 3 or m != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {n} and {m}")
    same_dtype("expected scalar type {} but found {}", input, other)
    return _cross(input, other, dim=dim)


def _trace_kernel(xp: Any, x: Any) -> Any:
    made = xp.int64 if x.dtype.kind in "iu" else x.dtype
    return total(xp, xp.diagonal(x).astype(made), None).astype(made)


def _trace_self(F: Any, g: Any, self_shape: tuple[int, int]) -> Any:
    rows, columns = self_shape
    stop = min(rows, columns) * (columns + 1)
    flat = F.assign(F.new_zeros(g, shape=(rows * columns,)), g, where=(slice(0, stop, columns + 1),))
    return F.reshape(flat, shape=self_shape)


_trace = Op("trace", _trace_kernel, {"self": _trace_self}, check=no_bools("trace"), jvp="linear")


def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix: int64 for integers. RuntimeError for other shapes."""
    if tensor_argument("trace", input).ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return _trace(input)


METHODS = {"bmm": bmm, "cross": cross, "dot": dot, "mm": mm, "mv": mv, "trace": trace, "vdot": vdot}
INPLACE: dict[str, Any] = {}
