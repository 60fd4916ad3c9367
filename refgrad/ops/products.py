"""Products of tensors of any rank, built of those in `linalg` in the same steps as torch's."""

from __future__ import annotations

import math
import warnings
from functools import reduce
from typing import Any

from refgrad.counters import bump
from refgrad.devices import Array
from refgrad.ops.addmm import addmm
from refgrad.ops.arguments import integers
from refgrad.ops.arithmetic import add, mul
from refgrad.ops.axes import permute, t, transpose
from refgrad.ops.conversion import clone, contiguous
from refgrad.ops.inplace import inplace
from refgrad.ops.linalg import bmm, c_names, check_tensors, dot, mm, mv
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.ops.reductions import sum
from refgrad.ops.shape import broadcast_to, flatten, reshape, squeeze, unsqueeze, view
from refgrad.tensor import Tensor, check_dim

__all__ = ["chain_matmul", "ger", "inner", "kron", "matmul", "outer", "tensordot"]

_add_ = inplace(add, "add_")
_first_row = Op(
    "first_row",
    lambda xp, x: xp.reshape(x, x.shape[1:]),
    {"self": lambda F, g: F.unsqueeze(g, dim=0)},
    node="SqueezeBackward4",  # of torch's squeeze_: no view
)

# matmul


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product: of the last two dimensions, with the others broadcast as a batch.

    A vector on the left is one row, on the right one column, and that dimension is dropped again.
    RuntimeError for numbers, for shapes that do not fit, and for dtypes that differ.
    """
    check_tensors("matmul", input=input, other=other)
    left, right = input.ndim, other.ndim
    if not left or not right:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {left}D and {right}D"
        )
    if left <= 2 and right <= 2:
        if right == 1:
            return dot(input, other) if left == 1 else mv(input, other)
        return mm(input, other) if left == 2 else _row_times(input, other)
    squeezed = _without_batch_of_one(input, other)
    if squeezed is not None or _folds(input, other):
        return _folded(*(squeezed or (input, other)))
    return _batched(input, other)


def _row_times(vector: Tensor, matrix: Tensor) -> Tensor:
    out = _first_row(mm(unsqueeze(vector, 0), matrix))
    bump(out._counter)  # squeezed in place
    return out


def _without_batch_of_one(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor] | None:
    """Of two batches, a batch of one matrix as that matrix, if it requires grad: its gradient is cheaper so."""
    if left.ndim == right.ndim == 3 and (len(left) == 1) != (len(right) == 1):
        if len(left) == 1 and left._rg:
            return squeeze(left, 0), right
        if len(right) == 1 and right._rg:
            return left, squeeze(right, 0)
    return None


def _folds(left: Tensor, right: Tensor) -> bool:
    """Whether torch multiplies all rows of the larger tensor by the smaller one at once."""
    smaller = right if left.ndim >= right.ndim else left
    if smaller.ndim > 2:
        return False
    if smaller._rg:
        return True  # or else its gradient would have to be summed over the batch
    if left.ndim == 2:
        return False
    larger = left._data if smaller is right else right._data.swapaxes(-1, -2)
    return not larger.size or _rows_are_even(larger)


def _rows_are_even(array: Array) -> bool:
    """Whether all dimensions but the last can be one without a copy."""
    shape, strides = array.shape, array.strides
    return all(strides[k] == strides[k + 1] * shape[k + 1] for k in range(array.ndim - 2))


def _folded(left: Tensor, right: Tensor) -> Tensor:
    swapped = left.ndim < right.ndim
    larger, smaller = (transpose(right, -1, -2), left) if swapped else (left, right)
    if swapped and left.ndim == 2:
        smaller = t(left)
    shape = larger.shape[:-1]
    rows = reshape(larger, (math.prod(shape), larger.shape[-1]))
    if smaller.ndim == 1:
        return TENSORS.unsafe_view(mv(rows, smaller), shape=tuple(shape))
    out = TENSORS.unsafe_view(mm(rows, smaller), shape=(*shape, smaller.shape[1]))
    return contiguous(transpose(out, -1, -2)) if swapped else out


def _batched(left: Tensor, right: Tensor) -> Tensor:
    rows = tuple(left.shape[-2:-1])
    columns = tuple(right.shape[-1:]) if right.ndim > 1 else ()
    vector = right.ndim == 1
    if vector:
        right = unsqueeze(right, 1)
    batch = _common(tuple(left.shape[:-2]), tuple(right.shape[:-2]))
    count = math.prod(batch)
    lefts, rights = (*(rows or (1,)), left.shape[-1]), tuple(right.shape[-2:])
    product = bmm(
        reshape(broadcast_to(left, (*batch, *lefts)), (count, *lefts)),
        reshape(broadcast_to(right, (*batch, *rights)), (count, *rights)),
    )
    if vector:
        product = squeeze(product, -1)
    return TENSORS.unsafe_view(product, shape=(*batch, *rows, *columns))


def _common(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that both broadcast to; RuntimeError if there is none."""
    ndim = max(len(left), len(right))
    shape = []
    for k, (n, m) in enumerate(zip(_padded(left, ndim), _padded(right, ndim), strict=True)):
        if n != m and 1 not in (n, m):
            raise RuntimeError(
                f"The size of tensor a ({n}) must match the size of tensor b ({m}) at non-singleton dimension {k}"
            )
        shape.append(m if n == 1 else n)
    return tuple(shape)


def _padded(shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    return (1,) * (ndim - len(shape)) + tuple(shape)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: (..., k) by (m, k) gives (..., m); a vector as weight drops the m.

    RuntimeError for numbers, for shapes that do not fit, and for dtypes that differ.
    """
    check_tensors("linear", input=input, weight=weight)
    ndim = input.ndim
    if not ndim or not weight.ndim:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {ndim}D and {weight.ndim}D"
        )
    if bias is None:
        return matmul(input, t(weight))
    if ndim == 2:
        return addmm(bias, input, t(weight))
    if bias.ndim == 1 and bias.is_contiguous() and input.is_contiguous():
        shape = input.shape
        out = addmm(bias, reshape(input, (math.prod(shape[:-1]), shape[-1])), t(weight))
        return view(out, (*shape[:-1], out.shape[1]))
    return _add_(matmul(input, t(weight)), bias)


def _matmul_operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _rmatmul_operator(self: Tensor, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


# Sums over chosen dimensions


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over `dims`: the last n of `a` and the first n of `b`, or a list for each.

    The result has the other dimensions of `a`, then those of `b`. A dimension of size one on one
    side is broadcast. RuntimeError for sizes that do not fit and for dtypes that differ.
    """
    check_tensors("tensordot", a=a, b=b)
    if isinstance(dims, Tensor):
        dims = dims.tolist() if dims.numel() > 1 else dims.item()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        return _contract(a, b, tuple(range(-dims, 0)), tuple(range(dims)))
    if not isinstance(dims, (list, tuple)):
        raise RuntimeError(
            "tensordot expects dims to be int or tuple[list[int], list[int]] or list[list[int]] containing two "
            f"lists, but got dims={dims}"
        )
    first, second = dims
    for position, (name, given) in enumerate((("dims_self", first), ("dims_other", second)), 3):
        if isinstance(given, int):
            raise TypeError(
                f"tensordot(): argument '{name}' (position {position}) must be tuple of ints, not int"
            )
    return _contract(a, b, integers("tensordot", "dims", first), integers("tensordot", "dims", second))


def _contract(a: Tensor, b: Tensor, dims_a: tuple[int, ...], dims_b: tuple[int, ...]) -> Tensor:
    if len(dims_a) != len(dims_b):
        raise RuntimeError("both dimension lists should have same length")
    if a.dtype is not b.dtype:
        raise RuntimeError("both inputs should have same dtype")
    size = 1
    x, y = a, b
    for p, q in zip(dims_a, dims_b, strict=True):
        n, m = a.size(p), b.size(q)
        if m == 1:
            x = sum(x, p, keepdim=True, dtype=x.dtype)
        elif n == 1:
            y = sum(y, q, keepdim=True, dtype=y.dtype)
        elif n != m:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {p} and second has size {m} "
                f"in dim {q}"
            )
        else:
            size *= n
    used_a, used_b = _distinct(dims_a, a.ndim), _distinct(dims_b, b.ndim)
    rows, columns = _others(used_a, a.ndim), _others(used_b, b.ndim)
    shape = (*[x.shape[k] for k in rows], *[y.shape[k] for k in columns])
    x, y = permute(x, (*rows, *used_a)), permute(y, (*used_b, *columns))
    if not rows and not columns:
        return reshape(_inner_product(x, y), ())
    lefts = math.prod([x.shape[k] for k in range(len(rows))])
    rights = math.prod([y.shape[k] for k in range(len(used_b), b.ndim)])
    return reshape(mm(reshape(x, (lefts, size)), reshape(y, (size, rights))), shape)


def _inner_product(x: Tensor, y: Tensor) -> Tensor:
    """The sum of all products of two tensors of one shape."""
    if x.is_contiguous() and y.is_contiguous():
        return dot(flatten(x), flatten(y))
    return sum(mul(squeeze(x), squeeze(y)))


def _distinct(dims: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    found = tuple([check_dim(d, ndim) for d in dims])
    for d in found:
        if found.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return found


def _others(dims: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    return tuple([k for k in range(ndim) if k not in dims])


def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sum of products over the last dimension of both; with a number the product."""
    check_tensors("inner", input=input, other=other)
    if not input.ndim or not other.ndim:
        return mul(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    return _contract(input, other, (-1,), (-1,))


# Products of every element with every other


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors, (n) and (m): an (n, m) matrix; dtypes are promoted."""
    check_tensors("outer", input=input, vec2=vec2)
    for name, vector in (("self", input), ("vec2", vec2)):
        if vector.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {vector.ndim}-D")
    return mul(reshape(input, (len(input), 1)), vec2)


ger = outer


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: sizes multiply, missing leading dimensions count as ones.

    RuntimeError where the layouts in memory do not let torch make a view of the products.
    """
    check_tensors("kron", input=input, other=other)
    ndim = max(input.ndim, other.ndim)
    n, m = _padded(tuple(input.shape), ndim), _padded(tuple(other.shape), ndim)
    a = _reshaped(input, tuple([k for size in n for k in (size, 1)]))
    b = _reshaped(other, tuple([k for size in m for k in (1, size)]))
    return _reshaped(mul(a, b), tuple([p * q for p, q in zip(n, m, strict=True)]))


def _reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The elements in another shape; RuntimeError where the strides do not allow it."""
    view(x.detach(), shape)
    return TENSORS.unsafe_view(x, shape=shape)


# A chain of matrices


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices in the order that needs the fewest multiplications; deprecated in torch.

    RuntimeError for anything but matrices that fit, of one dtype.
    """
    warnings.warn(
        "torch.chain_matmul is deprecated and will be removed in a future PyTorch release. Use "
        "torch.linalg.multi_dot instead, which accepts a list of two or more tensors rather than multiple "
        "parameters.",
        UserWarning,
        stacklevel=2,
    )
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for m in matrices:
        if m.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {m.ndim}, expected 2 instead.")
    if len(matrices) == 1:
        return clone(matrices[0])
    for k, (a, b) in enumerate(zip(matrices, matrices[1:], strict=False)):
        if a.dtype is not matrices[0].dtype or b.dtype is not matrices[0].dtype:
            names = c_names(matrices[0], b if b.dtype is not matrices[0].dtype else a)
            raise RuntimeError(
                "multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{names[0]} and tensor {k + 1} {names[1]}"
            )
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {k} and {k + 1} with shapes {list(a.shape)} and {list(b.shape)} cannot be "
                "multiplied"
            )
    out = multiply_chain(matrices)
    return view(out, tuple(out.shape))


def multiply_chain(matrices: tuple[Tensor, ...]) -> Tensor:
    """The product of matrices that fit; of orders equally cheap torch's own."""
    if len(matrices) <= 3:
        rows, columns = matrices[0].shape[0], matrices[-1].shape[1]
        if len(matrices) == 3:
            n, m = matrices[1].shape
            if rows * m * (n + columns) > n * columns * (rows + m):
                return mm(matrices[0], mm(matrices[1], matrices[2]))
        return reduce(mm, matrices)
    sizes = [m.shape[0] for m in matrices] + [matrices[-1].shape[1]]
    count = len(matrices)
    costs = {(k, k): 0 for k in range(count)}
    splits: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            choices = [
                costs[first, k] + costs[k + 1, last] + sizes[first] * sizes[k + 1] * sizes[last + 1]
                for k in range(first, last)
            ]
            costs[first, last] = min(choices)
            splits[first, last] = first + choices.index(costs[first, last])
    return _in_order(matrices, splits, 0, count - 1)


def _in_order(
    matrices: tuple[Tensor, ...], splits: dict[tuple[int, int], int], first: int, last: int
) -> Tensor:
    if first == last:
        return matrices[first]
    k = splits[first, last]
    return mm(_in_order(matrices, splits, first, k), _in_order(matrices, splits, k + 1, last))


FUNCTIONAL = (linear,)
METHODS = {
    "__matmul__": _matmul_operator,
    "__rmatmul__": _rmatmul_operator,
    "ger": ger,
    "inner": inner,
    "kron": kron,
    "matmul": matmul,
    "outer": outer,
}
INPLACE: dict[str, Any] = {}
