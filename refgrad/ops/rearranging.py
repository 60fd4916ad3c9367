"""Copies with elements in other places: flip, roll, triangles, diagonals, repeats, rotations."""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.layout import laid_out_as, row_major
from refgrad.ops.arguments import integer, integers, spelled_out, tensor_argument
from refgrad.ops.inplace import inplace
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.ops.shape import expand, flatten, reshape, unsqueeze, view
from refgrad.tensor import Tensor, check_dim

__all__ = [
    "flip",
    "fliplr",
    "flipud",
    "repeat_interleave",
    "roll",
    "rot90",
    "tile",
    "tril",
    "triu",
]

# flip, roll, rot90


def _flipped(xp: Any, x: Any, dims: tuple[int, ...]) -> Any:
    return laid_out_as(xp, xp.flip(x, axis=dims) if dims else x, x)


def _turned(xp: Any, x: Any, k: int, dims: tuple[int, int]) -> Any:
    """Quarter turns as torch makes them: a flip, seen transposed if their number is odd."""
    if not k:
        return xp.array(x, order="C", copy=True)
    flipped = _flipped(xp, x, {1: dims[1:], 2: dims, 3: dims[:1]}[k])
    return flipped if k == 2 else xp.swapaxes(flipped, *dims)


def _rolled(xp: Any, x: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    if not x.size:
        return xp.array(x, copy=True)
    return xp.roll(x, shifts, axis=dims) if dims else xp.roll(x, shifts[0])


_flip = Op(
    "flip",
    _flipped,
    {"self": lambda F, g, dims: F.flip(g, dims=dims)},
    jvp="linear",
)
_roll = Op(
    "roll",
    row_major(_rolled),
    {"self": lambda F, g, shifts, dims: F.roll(g, shifts=tuple([-n for n in shifts]), dims=dims)},
    jvp="linear",
)
_rot90 = Op(
    "rot90",
    _turned,
    {"self": lambda F, g, k, dims: F.rot90(g, k=-k % 4, dims=dims)},
    jvp="linear",
)


def flip(input: Tensor, dims: Any) -> Tensor:
    """A copy with the order along `dims` reversed."""
    ndim = tensor_argument("flip", input).ndim
    found = tuple([check_dim(d, ndim) for d in integers("flip", "dims", dims)])
    if len(set(found)) != len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return _flip(input, dims=found if ndim else ())


def _flip_method(self: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """``x.flip(0, 1)`` or ``x.flip((0, 1))``; see `torch.flip`."""
    return flip(self, spelled_out("flip", "dims", order if dims is None else (dims,)))


def fliplr(input: Tensor) -> Tensor:
    """A copy with the columns in reversed order."""
    if tensor_argument("fliplr", input).ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """A copy with the rows in reversed order."""
    if tensor_argument("flipud", input).ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """A copy with elements moved along `dims`, around the end; without `dims` in the flattened order."""
    ndim = tensor_argument("roll", input).ndim
    by = integers("roll", "shifts", shifts)
    along = integers("roll", "dims", dims)
    if len(by) != len(along) and not (len(by) == 1 and not along):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:{len(along)}")
    if not input.numel():  # torch does not look at the dimensions
        return _roll(input, shifts=(), dims=())
    if along and not ndim:
        raise IndexError(f"Dimension specified as {along[0]} but tensor has no dimensions")
    return _roll(input, shifts=by, dims=tuple([check_dim(d, ndim) for d in along]))


def _roll_method(self: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    return roll(self, shifts, dims)


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """A copy turned by `k` right angles in the plane of two dimensions, from the first to the second."""
    ndim = tensor_argument("rot90", input).ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    if dims[0] == dims[1]:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    return _rot90(input, k=k % 4, dims=tuple([check_dim(d, ndim) for d in dims]))


# Triangles


def _triangle(name: str) -> Op:
    return Op(
        name,
        row_major(lambda xp, x, diagonal: getattr(xp, name)(x, diagonal)),
        {"self": lambda F, g, diagonal: getattr(F, name)(g, diagonal=diagonal)},
        jvp="linear",
    )


_tril, _triu = _triangle("tril"), _triangle("triu")


def _cut(op: Op, input: Tensor, diagonal: int) -> Tensor:
    if tensor_argument(op.name, input).ndim < 2:
        raise RuntimeError(f"{op.name}: input tensor must have at least 2 dimensions")
    return op(input, diagonal=integer(op.name, "diagonal", diagonal))


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrices with zeros above a diagonal, counted upwards from the main one."""
    return _cut(_tril, input, diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrices with zeros below a diagonal, counted upwards from the main one."""
    return _cut(_triu, input, diagonal)


# Repeats


def _repeat_self(F: Any, g: Any, self_shape: Any, repeats: tuple[int, ...]) -> Any:
    if 0 in repeats:
        return F.new_zeros(g, shape=self_shape)
    lead = len(repeats) - len(self_shape)
    sizes = (1,) * lead + tuple(self_shape)
    apart = [n for pair in zip(repeats, sizes, strict=True) for n in pair]
    copies = F.reshape(g, shape=tuple(apart))
    return F.reshape(F.sum(copies, dim=tuple(range(0, len(apart), 2)), keepdim=False), shape=self_shape)


_repeat = Op(
    "repeat",
    row_major(lambda xp, x, repeats: xp.tile(x, repeats) if repeats else xp.array(x, copy=True)),
    {"self": _repeat_self},
    jvp="linear",
)


def _repeated(input: Tensor, repeats: tuple[int, ...]) -> Tensor:
    lead = len(repeats) - input.ndim
    if lead < 0:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    for n, m in zip(repeats, (1,) * lead + input._data.shape, strict=True):
        if n < 0:
            sizes = [a * b for a, b in zip(repeats, (1,) * lead + input._data.shape, strict=True)]
            raise RuntimeError(f"Trying to create tensor with negative dimension {n * m}: {sizes}")
    return _repeat(input, repeats=repeats)


def repeat(self: Tensor, *sizes: Any, repeats: Any = None) -> Tensor:
    """A copy repeated so many times along each dimension; further numbers add leading ones."""
    return _repeated(self, spelled_out("repeat", "repeats", sizes if repeats is None else (repeats,)))


def tile(input: Tensor, dims: Any) -> Tensor:
    """`repeat`, where missing leading numbers count as one."""
    times = integers("tile", "dims", dims)
    return _repeated(tensor_argument("tile", input), (1,) * (input.ndim - len(times)) + times)


def _tile_method(self: Tensor, *times: Any, dims: Any = None) -> Tensor:
    """``x.tile(2, 2)`` or ``x.tile((2, 2))``; see `torch.tile`."""
    return tile(self, spelled_out("tile", "dims", times if dims is None else (dims,)))


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element along `dim` so many times in a row: the same number for all, or a tensor of them.

    Without `dim` over the flattened input. A tensor of numbers alone gives the places repeated.
    """
    if repeats is None:
        return _places_repeated(tensor_argument("repeat_interleave", input))
    if dim is None:
        input, dim = flatten(input), 0
    dim = check_dim(dim, input.ndim)
    if not input.ndim:
        input = reshape(input, (1,))
    size = input._data.shape[dim]
    if isinstance(repeats, Tensor):
        if repeats.ndim and repeats.numel() not in (1, size):
            raise RuntimeError(
                "repeats must have the same size as input along dim, but got repeats.size(0) = "
                f"{repeats.numel()} and input.size({dim}) = {size}"
            )
        places = _places_repeated(expand(reshape(repeats, (-1,)), size))
        return TENSORS.index_select(input, places, dim=dim)
    times = integer("repeat_interleave", "repeats", repeats)
    if times < 0:
        raise RuntimeError("Repeats must be non-negative")
    if output_size not in (None, size * times):
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {size * times} but got {output_size}")
    shape = input._data.shape
    stretched = expand(unsqueeze(input, dim + 1), (*shape[: dim + 1], times, *shape[dim + 1 :]))
    return view(TENSORS.contiguous(stretched), (*shape[:dim], size * times, *shape[dim + 1 :]))


_repeated_places = Op("repeated_places", lambda xp, repeats: xp.repeat(xp.arange(repeats.size), repeats.tolist()))


def _places_repeated(repeats: Tensor) -> Tensor:
    if repeats.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if any(n < 0 for n in repeats.tolist()):
        raise RuntimeError("repeats can not be negative")
    return _repeated_places(repeats)


METHODS = {
    "flip": _flip_method,
    "fliplr": fliplr,
    "flipud": flipud,
    "repeat": repeat,
    "repeat_interleave": repeat_interleave,
    "roll": _roll_method,
    "rot90": rot90,
    "tile": _tile_method,
    "tril": tril,
    "tril_": inplace(tril, "tril_", stretched=True),
    "triu": triu,
    "triu_": inplace(triu, "triu_", stretched=True),
}
INPLACE: dict[str, Any] = {}
