"""Views with strides of their own: diagonals, sliding windows, as_strided; and diagonal matrices."""

from __future__ import annotations

from typing import Any

from refgrad.graph import Edge
from refgrad.layout import Geometry, geometry_of, offset_of, owner_of
from refgrad.ops.arguments import integer, integers, tensor_argument
from refgrad.ops.record import Op
from refgrad.ops.shape import ravel
from refgrad.tensor import Tensor, check_dim, wrap

__all__ = ["as_strided", "diag", "diag_embed", "diagflat", "diagonal"]


def _strided(xp: Any, x: Any, shape: Any, strides: Any) -> Any:
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


# Diagonals


def _diagonal(xp: Any, x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """The diagonal as a view that can be written to, which NumPy's own cannot."""
    rows, columns = x.shape[dim1], x.shape[dim2]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    start: list[Any] = [slice(None)] * x.ndim
    if length:
        start[dim1], start[dim2] = slice(max(-offset, 0), None), slice(max(offset, 0), None)
    kept = [k for k in range(x.ndim) if k not in (dim1, dim2)]
    return _strided(
        xp,
        x[tuple(start)],
        (*[x.shape[k] for k in kept], length),
        (*[x.strides[k] for k in kept], x.strides[dim1] + x.strides[dim2]),
    )


def _on_diagonal(xp: Any, x: Any, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
    """Zeros of `shape` with `x` on a diagonal."""
    out = xp.zeros(shape, x.dtype)
    _diagonal(xp, out, offset, dim1, dim2)[...] = x
    return out


def _diagonal_self(F: Any, g: Any, self_shape: Any, offset: int, dim1: int, dim2: int) -> Any:
    return F.diagonal_backward(g, shape=self_shape, offset=offset, dim1=dim1, dim2=dim2)


_diagonal_op = Op("diagonal", _diagonal, {"self": _diagonal_self}, view=True)
_diagonal_copy = Op(
    "diagonal_copy",
    lambda xp, x, offset, dim1, dim2: xp.array(_diagonal(xp, x, offset, dim1, dim2), copy=True),
    {"self": _diagonal_self},
    node="DiagonalBackward0_copy",
    jvp="linear",
)


def _on_diagonal_self(F: Any, g: Any, offset: int, dim1: int, dim2: int) -> Any:
    return F.diagonal(g, offset=offset, dim1=dim1, dim2=dim2)


_on_diagonal_op = Op("on_diagonal", _on_diagonal, {"self": _on_diagonal_self}, node="DiagEmbedBackward0", jvp="linear")
Op("diagonal_backward", _on_diagonal, {"self": _on_diagonal_self}, node="DiagonalBackwardBackward0", jvp="linear")


def _two_dims(dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    found = check_dim(dim1, ndim), check_dim(dim2, ndim)
    if found[0] == found[1]:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return found


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The view of a diagonal of two dimensions, as last dimension; `offset` counts upwards."""
    first, second = _two_dims(dim1, dim2, tensor_argument("diagonal", input).ndim)
    return _diagonal_op(input, offset=integer("diagonal", "offset", offset), dim1=first, dim2=second)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dimension of `input` on a diagonal, and zeros elsewhere."""
    shape = tensor_argument("diag_embed", input)._data.shape
    first, second = _two_dims(dim1, dim2, len(shape) + 1)
    side = shape[-1] + abs(offset)
    others = iter(shape[:-1])
    sizes = tuple([side if k in (first, second) else next(others) for k in range(len(shape) + 1)])
    return _on_diagonal_op(input, shape=sizes, offset=offset, dim1=first, dim2=second)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as a diagonal matrix, or a copy of a diagonal of a matrix."""
    ndim = tensor_argument("diag", input).ndim
    if ndim == 1:
        return diag_embed(input, diagonal)
    if ndim == 2:
        return _diagonal_copy(input, offset=diagonal, dim1=0, dim2=1)
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements on a diagonal of one matrix."""
    return diag_embed(ravel(tensor_argument("diagflat", input)), offset)


# Windows that slide along a dimension


def _unfold(xp: Any, x: Any, dim: int, size: int, step: int) -> Any:
    if not x.ndim:
        return _strided(xp, x, (size,), (x.itemsize,))
    count = (x.shape[dim] - size) // step + 1
    shape, strides = list(x.shape), list(x.strides)
    shape[dim], strides[dim] = count, strides[dim] * step
    return _strided(xp, x, (*shape, size), (*strides, x.strides[dim]))


def _fold(xp: Any, x: Any, shape: tuple[int, ...], dim: int, size: int, step: int) -> Any:
    """The adjoint of unfold: windows added up where they overlap."""
    out = xp.zeros(shape, x.dtype)
    if not shape:
        return xp.reshape(x, ()) if size else out
    for k in range(size):
        out[(*(slice(None),) * dim, slice(k, k + (x.shape[dim] - 1) * step + 1, step))] += x[..., k]
    return out


_unfold_op = Op(
    "unfold",
    _unfold,
    {"self": lambda F, g, self_shape, dim, size, step: F.fold(g, shape=self_shape, dim=dim, size=size, step=step)},
    view=True,
)
Op(
    "fold",
    _fold,
    {"self": lambda F, g, dim, size, step: F.unfold(g, dim=dim, size=size, step=step)},
    node="UnfoldBackwardBackward0",
    jvp="linear",
)


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """The view of all windows of `size` places along a dimension, `step` apart; the window is last."""
    dim = check_dim(dimension, self.ndim)
    length = self._data.shape[dim] if self.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > length:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {length} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return _unfold_op(self, dim=dim, size=size, step=step)


# as_strided


def _as_strided(xp: Any, x: Any, own: Geometry, seen: Geometry) -> Any:
    return window(xp, x, seen)


def window(xp: Any, x: Any, seen: Geometry) -> Any:
    """What is to be seen at a place of the memory that `x` lies in."""
    owner = owner_of(x)
    memory = _strided(xp, owner, (owner.size,), (owner.itemsize,)).view(x.dtype)
    size, stride, offset = seen
    return _strided(xp, memory[offset:], size, [s * x.itemsize for s in stride])


def end(geometry: Geometry) -> int:
    """The first place behind all elements; 0 without elements."""
    size, stride, offset = geometry
    return 0 if 0 in size else offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1


def _places(xp: Any, geometry: Geometry) -> Any:
    """Where in memory each element is."""
    size, stride, offset = geometry
    where = xp.full((1,) * len(size), offset)
    for k, (n, s) in enumerate(zip(size, stride, strict=True)):
        where = where + xp.reshape(xp.arange(n) * s, (n,) + (1,) * (len(size) - k - 1))
    return where


def _between(xp: Any, g: Any, origin: Geometry, target: Geometry, own: Geometry) -> Any:
    """Values of elements at `origin`, added up in memory, as elements at `target` see them.

    A place that several elements of the input (`own`) share counts once, as in torch.
    """
    memory, holders = xp.zeros((2, max(end(origin), end(target))), g.dtype)
    xp.scatter_add(memory, _places(xp, origin), g)
    xp.scatter_add(holders, _places(xp, own), xp.ones(own[0], g.dtype))
    return (memory / xp.maximum(holders, 1))[_places(xp, target)]


def _as_strided_self(F: Any, g: Any, own: Geometry, seen: Geometry) -> Any:
    if not end(own) or not end(seen):
        return F.new_zeros(g, shape=own[0])
    return F.strided_back(g, own=own, seen=seen)


_as_strided_op = Op(
    "as_strided",
    _as_strided,
    {"self": _as_strided_self},
    view=True,
)
Op(
    "strided_back",
    lambda xp, g, own, seen: _between(xp, g, seen, own, own),
    {"self": lambda F, g, own, seen: F.strided_again(g, own=own, seen=seen)},
    node="AsStridedBackwardBackward0",
    jvp="linear",
)
Op(
    "strided_again",
    lambda xp, g, own, seen: _between(xp, g, own, seen, own),
    {"self": lambda F, g, own, seen: F.strided_back(g, own=own, seen=seen)},
    node="AsStridedBackward0",
    jvp="linear",
)


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """The view of the tensor's memory with these sizes and strides, counted in elements.

    RuntimeError for negative strides and for places outside of the memory.
    """
    tensor_argument("as_strided", input)
    sizes, strides = integers("as_strided", "size", size), integers("as_strided", "stride", stride)
    if len(sizes) != len(strides):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in strides):
        raise RuntimeError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {list(strides)}"
        )
    if any(n < 0 for n in sizes):
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(sizes)} and strides={list(strides)}")
    start = offset_of(input._data)
    seen = (sizes, strides, start if storage_offset is None else storage_offset)
    if seen[2] < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {seen[2]}")
    needed, there = end(seen) * input.itemsize, owner_of(input._data).nbytes
    if needed > there:
        raise RuntimeError(
            f"setStorage: sizes {list(sizes)}, strides {list(strides)}, storage offset {seen[2]}, and "
            "itemsize "
            f"{input.itemsize} requiring a storage size of {needed} are out of bounds for storage of size "
            f"{there}"
        )
    return _as_strided_op(input, own=geometry_of(input._data), seen=seen)


def edge_to(base: Tensor, view: Tensor) -> Edge:
    """A gradient edge for `view`, through a new node that looks into the memory of `base`."""
    out = wrap(view._data)
    params = {"own": geometry_of(base._data), "seen": geometry_of(view._data)}
    _as_strided_op.record(1, (base,), params, [out], None)
    assert out._edge is not None
    return out._edge


METHODS = {
    "as_strided": as_strided,
    "diag": diag,
    "diag_embed": diag_embed,
    "diagflat": diagflat,
    "diagonal": diagonal,
    "storage_offset": lambda self: offset_of(self._data),
    "unfold": unfold,
}
INPLACE: dict[str, Any] = {}
