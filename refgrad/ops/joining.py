"""Joining tensors and taking them apart: cat, stack, split, unbind and their kin.

Parts are views of the whole, as in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from refgrad import dtypes
from refgrad.layout import row_major
from refgrad.modes import local
from refgrad.ops.arguments import integer, integers, tensor_argument
from refgrad.ops.grids import atleast_1d, atleast_2d, atleast_3d
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.ops.shape import reshape
from refgrad.tensor import Tensor, check_dim, result_type

__all__ = [
    "cat",
    "chunk",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "row_stack",
    "split",
    "split_with_sizes",
    "stack",
    "tensor_split",
    "unbind",
    "unsafe_chunk",
    "unsafe_split",
    "vsplit",
    "vstack",
]

# Joining


def _list(function: str, tensors: Any) -> list[Tensor]:
    """A sequence of tensors; TypeError for anything else."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"{function}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    for k, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(f"expected Tensor as element {k} in argument 0, but got {type(t).__name__}")
    return list(tensors)


def _is_nothing(shape: tuple[int, ...]) -> bool:
    """Whether `cat` leaves it out: an empty vector goes with tensors of any shape."""
    return shape == (0,)


def _cat_kernel(xp: Any, arrays: list[Any], dim: int, dtype: dtypes.dtype | None = None) -> Any:
    parts = _in_one_dtype([a for a in arrays if not _is_nothing(a.shape)] or arrays[:1], dtype)
    return xp.concatenate(parts, axis=dim)


def _in_one_dtype(arrays: list[Any], dtype: dtypes.dtype | None) -> list[Any]:
    return arrays if dtype is None else [a.astype(dtype.numpy, copy=False) for a in arrays]


def _cat_tensors(F: Any, g: Any, shapes: tuple[tuple[int, ...], ...], dim: int) -> list[Any]:
    parts, start = [], 0
    for shape in shapes:
        if _is_nothing(shape):
            parts.append(F.new_zeros(g, shape=shape))
            continue
        parts.append(F.slice(g, dim=dim, start=start, stop=start + shape[dim], step=1))
        start += shape[dim]
    return parts


_cat = Op("cat", row_major(_cat_kernel), _cat_tensors, sequence=True, jvp="linear")


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along `dim`; their other sizes must agree.

    Empty vectors are left out, whatever the shape of the others.
    """
    parts = _list("cat", tensors)
    if not parts:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for k, t in enumerate(parts):
        if not t.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {k}) cannot be concatenated")
    like = next((t._data.shape for t in parts if not _is_nothing(t._data.shape)), (0,))
    dim = check_dim(dim, len(like))
    for k, t in enumerate(parts):
        shape = t._data.shape
        if _is_nothing(shape):
            continue
        if len(shape) != len(like):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(like)} and {len(shape)}")
        for axis, (n, m) in enumerate(zip(like, shape, strict=True)):
            if n != m and axis != dim:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {n} but got size "
                    f"{m} "
                    f"for tensor number {k} in the list."
                )
    return _cat(parts, dim=dim, dtype=result_type(*parts))


concat = concatenate = cat
_cat.public = cat

_stack = Op(
    "stack",
    row_major(lambda xp, arrays, dim, dtype=None: xp.stack(_in_one_dtype(arrays, dtype), axis=dim)),
    lambda F, g, dim: F.unbind(g, dim=dim),
    sequence=True,
    jvp="linear",
)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of equal size along a new dimension `dim`."""
    parts = _list("stack", tensors)
    if not parts:
        raise RuntimeError("stack expects a non-empty TensorList")
    dim = check_dim(dim, parts[0].ndim + 1)
    for k, t in enumerate(parts):
        if t._data.shape != parts[0]._data.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(parts[0].shape)} at entry 0 and "
                f"{list(t.shape)} at entry {k}"
            )
    return _stack(parts, dim=dim, dtype=result_type(*parts))


_stack.public = stack


def _raised(function: str, tensors: Any, raise_to: Callable[..., Any]) -> list[Tensor]:
    if not _list(function, tensors):
        raise RuntimeError(f"{function} expects a non-empty TensorList")
    return [raise_to(t) for t in tensors]


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """`cat` along the second dimension; of vectors along the only one."""
    parts = _raised("hstack", tensors, atleast_1d)
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """`cat` along the first dimension, of vectors as rows."""
    return cat(_raised("vstack", tensors, atleast_2d), 0)


row_stack = vstack


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """`cat` along the third dimension, of matrices as layers."""
    return cat(_raised("dstack", tensors, atleast_3d), 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """`hstack` with vectors as columns."""
    return hstack(_raised("column_stack", tensors, lambda t: t if t.ndim > 1 else reshape(t, (t.numel(), 1))))


# Taking apart


def _parts(xp: Any, x: Any, sizes: tuple[int, ...], dim: int, form: str) -> tuple[Any, ...]:
    parts, start = [], 0
    for n in sizes:
        parts.append(x[(slice(None),) * dim + (slice(start, start + n),)])
        start += n
    return tuple(parts)


def _present(gradients: Any) -> Any:
    return next(g for g in gradients if g is not None)


def _parts_self(F: Any, g: Any, self_shape: Any, sizes: tuple[int, ...], dim: int) -> Any:
    known = _present(g)
    shapes = [(*self_shape[:dim], n, *self_shape[dim + 1 :]) for n in sizes]
    return F.cat([F.new_zeros(known, shape=s) if h is None else h for h, s in zip(g, shapes, strict=True)], dim=dim)


_split = Op(
    "split",
    _parts,
    {"self": _parts_self},
    several=True,
    view=True,
    node=lambda inputs, params: params["form"],
)
_unsafe_split = Op("unsafe_split", _parts, {"self": _parts_self}, several=True, jvp="linear")


def _even(function: str, input: Tensor, size: int, dim: int) -> tuple[int, ...]:
    """Sizes of parts of `size` each; what is left over goes into the last one."""
    length = input._data.shape[dim]
    if size < 0:
        raise RuntimeError(f"{function} expects split_size be non-negative, but got split_size={size}")
    if not size and length:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {length}")
    if not size or not length:
        return (length,)
    return (size,) * (length // size) + ((length % size,) if length % size else ())


def _needs_a_dim(function: str, input: Tensor, dim: int) -> int:
    if not tensor_argument(function, input).ndim:
        raise RuntimeError(f"{function} expects at least a 1-dimensional tensor")
    return check_dim(dim, input.ndim)


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts along `dim`: all of one size, but for the last, or of the sizes listed."""
    if isinstance(split_size_or_sections, (list, tuple)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    dim = _needs_a_dim("split", tensor, dim)
    sizes = _even("split", tensor, integer("split", "split_size", split_size_or_sections), dim)
    return _split(tensor, sizes=sizes, dim=dim, form="SplitBackward0")


def _split_method(self: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    return split(self, split_size, dim)


def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts of the sizes listed along `dim`; they must add up to its size."""
    dim = _needs_a_dim("split_with_sizes", input, dim)
    sizes = integers("split_with_sizes", "split_sizes", split_sizes)
    if any(n < 0 for n in sizes):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={list(sizes)}"
        )
    if sum(sizes) != input._data.shape[dim]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {input._data.shape[dim]} (input "
            "tensor's "
            f"size at dimension {dim}), but got split_sizes={list(sizes)}"
        )
    return _split(input, sizes=sizes, dim=dim, form="SplitWithSizesBackward0")


def _chunk_sizes(input: Tensor, chunks: int, dim: int) -> tuple[int, ...]:
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    length = input._data.shape[dim]
    return _even("chunk", input, -(-length // chunks), dim) if length else (0,) * chunks


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of parts along `dim`, all of one size but for the last."""
    dim = _needs_a_dim("chunk", input, dim)
    sizes = _chunk_sizes(input, integer("chunk", "chunks", chunks), dim)
    form = "SplitBackward0" if input._data.shape[dim] else "SplitWithSizesBackward0"
    return _split(input, sizes=sizes, dim=dim, form=form)


def _counted_apart(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The parts that an unsafe function gives where it makes views: each with a version counter of its own."""
    for part in parts:
        if not part.is_inference():
            part._counter = [0]
    return parts


def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`split` whose parts are not tracked as views."""
    dim = _needs_a_dim("split", input, dim)
    if local.modes.inference or input.is_inference():  # there they are
        return _counted_apart(split(input, split_size, dim))
    return _unsafe_split(input, sizes=_even("split", input, split_size, dim), dim=dim, form="")


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk` whose parts are not tracked as views."""
    dim = _needs_a_dim("chunk", input, dim)
    if local.modes.inference or input.is_inference():
        return _counted_apart(chunk(input, chunks, dim))
    return _unsafe_split(input, sizes=_chunk_sizes(input, chunks, dim), dim=dim, form="")


def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple[Tensor, ...]:
    """Views of parts along `dim`: so many (`sections`) of nearly equal size, or cut at the `indices` listed."""
    if indices_or_sections is None:
        indices_or_sections = sections if indices is None else indices
    if not tensor_argument("tensor_split", input).ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = check_dim(dim, input.ndim)
    cuts = indices_or_sections
    if isinstance(cuts, Tensor):
        if cuts.dtype is not dtypes.int64:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
                f"{dtypes.SCALAR_TYPE[cuts.dtype.name]}"
            )
        cuts = cuts.tolist()
    length = input._data.shape[dim]
    if isinstance(cuts, int):
        if cuts <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {cuts}")
        small, more = divmod(length, cuts)
        ends = [small * k + min(k, more) for k in range(1, cuts + 1)]
        bounds = list(zip([0, *ends], ends, strict=False))
    else:
        places = integers("tensor_split", "indices", cuts)
        bounds = [slice(a, b).indices(length)[:2] for a, b in zip([0, *places], [*places, length], strict=True)]
    return tuple([TENSORS.slice(input, dim=dim, start=a, stop=max(a, b), step=1) for a, b in bounds])


def _split_along(name: str, least: int, dim: int) -> Callable[..., tuple[Tensor, ...]]:
    def call(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if tensor_argument(name, input).ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with "
                f"{input.ndim} dimensions!"
            )
        along = 0 if name == "hsplit" and input.ndim == 1 else dim
        size = input._data.shape[along]
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or size % indices_or_sections):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {along}, but the size of the dimension "
                f"{size} "
                f"is not divisible by the split_size {indices_or_sections}!"
            )
        return tensor_split(input, indices_or_sections, along)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`tensor_split` along dimension {dim}; a number of parts must divide its size."
    return call


hsplit = _split_along("hsplit", 1, 1)
vsplit = _split_along("vsplit", 2, 0)
dsplit = _split_along("dsplit", 3, 2)


def _slices(xp: Any, x: Any, dim: int) -> tuple[Any, ...]:
    return tuple([x[(*(slice(None),) * dim, k, ...)] for k in range(x.shape[dim])])


def _slices_self(F: Any, g: Any, self_shape: Any, dim: int) -> Any:
    known = _present(g)
    shape = (*self_shape[:dim], *self_shape[dim + 1 :])
    return F.stack([F.new_zeros(known, shape=shape) if h is None else h for h in g], dim=dim)


_unbind = Op("unbind", _slices, {"self": _slices_self}, several=True, view=True)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The views at every place along `dim`, which goes."""
    if not tensor_argument("unbind", input).ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return _unbind(input, dim=check_dim(dim, input.ndim))


_unbind.public = unbind

METHODS = {
    "chunk": chunk,
    "dsplit": dsplit,
    "hsplit": hsplit,
    "split": _split_method,
    "split_with_sizes": split_with_sizes,
    "tensor_split": tensor_split,
    "unbind": unbind,
    "unsafe_chunk": unsafe_chunk,
    "unsafe_split": unsafe_split,
    "vsplit": vsplit,
}
INPLACE: dict[str, Any] = {}
