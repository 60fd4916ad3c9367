"""Views as copies (`t_copy` and its kin), and copies with a view of them overwritten (`select_scatter` and its kin).

A view of a tensor is a set of places in its memory, which the function that makes the view works out; all these ops
are then one: to read what is at those places, or to write there. The gradient of one is the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refgrad.dtypes import dtype as DType
from refgrad.layout import Geometry, geometry_of, row_major_strides
from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.axes import permute, t, transpose
from refgrad.ops.conversion import clone
from refgrad.ops.indexing import select
from refgrad.ops.joining import split, split_with_sizes, unbind
from refgrad.ops.limits import NOT_IMPLEMENTED, no_derivative
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.ops.shape import expand, narrow, squeeze, unsqueeze, view
from refgrad.ops.windows import as_strided, diagonal, end, unfold, window
from refgrad.tensor import Tensor, check_dim, wrap


def _own(input: Tensor) -> Geometry:
    """The places of a tensor's elements, were it row-major."""
    shape = input._data.shape
    return shape, row_major_strides(shape), 0


def _places_of(function: Callable[..., Any], input: Tensor, args: Any, kwargs: Any) -> Any:
    """Which places a view of `input` has, and the errors of the view; a tuple of them for several views."""
    made = function(wrap(np.empty(input._data.shape, input.dtype.numpy)), *args, **kwargs)
    return tuple([geometry_of(v._data) for v in made]) if isinstance(made, tuple) else geometry_of(made._data)


def _read(xp: Any, x: Any, own: Geometry, seen: Geometry) -> Any:
    size, stride, offset = seen
    row = xp.reshape(xp.ascontiguousarray(x), (-1,))
    found = xp.lib.stride_tricks.as_strided(row[offset:], size, [s * x.itemsize for s in stride])
    return xp.array(found, order="C", copy=True)


def _read_self(F: Any, g: Any, own: Geometry, seen: Geometry) -> Any:
    return F.strided_back(g, own=own, seen=seen) if end(own) and end(seen) else F.new_zeros(g, shape=own[0])


def _read_several(xp: Any, x: Any, own: Geometry, seen: tuple[Geometry, ...]) -> tuple[Any, ...]:
    return tuple([_read(xp, x, own, places) for places in seen])


def _read_several_self(F: Any, g: Any, own: Geometry, seen: tuple[Geometry, ...]) -> Any:
    parts = [_read_self(F, h, own, places) for h, places in zip(g, seen, strict=True) if h is not None]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _copying(function: Callable[..., Any], name: str, node: str | None = None, several: bool = False) -> Any:
    """The form of a view function that copies."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    op = Op(
        f"copy_of_{name}",
        _read_several if several else _read,
        {"self": _read_several_self if several else _read_self},
        node=node or f"{camel}Backward0_copy",
        several=several,
        jvp="linear",
    )

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        tensor_argument(f"{name}_copy", input)
        return op(input, own=_own(input), seen=_places_of(function, input, args, kwargs))

    call.__name__ = call.__qualname__ = f"{name}_copy"
    call.__doc__ = f"`{name}` as a copy."
    return call


def _sliced(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """``input[start:end:step]`` along `dim`, as a view."""
    if not input.ndim:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if integer("slice", "step", step) <= 0:
        raise RuntimeError("slice step must be positive")
    dim = check_dim(dim, input.ndim)
    first, last, _ = slice(start, end).indices(input._data.shape[dim])
    return TENSORS.slice(input, dim=dim, start=first, stop=max(first, last), step=step)


diagonal_copy = _copying(diagonal, "diagonal")
expand_copy = _copying(expand, "expand")
narrow_copy = _copying(narrow, "narrow", "NarrowCopyBackward0")
permute_copy = _copying(permute, "permute")
select_copy = _copying(select, "select")
slice_copy = _copying(_sliced, "slice")
split_copy = _copying(split, "split", several=True)
split_with_sizes_copy = _copying(split_with_sizes, "split_with_sizes", several=True)
t_copy = _copying(t, "t")
transpose_copy = _copying(transpose, "transpose")
unbind_copy = _copying(unbind, "unbind", several=True)
unfold_copy = _copying(unfold, "unfold")
unsqueeze_copy = _copying(unsqueeze, "unsqueeze")
alias_copy = _copying(lambda input: input, "alias")
_view_copy = _copying(view, "view")
_squeezes = [_copying(squeeze, f"squeeze_{form}", f"SqueezeBackward{form}_copy") for form in range(3)]


def squeeze_copy(input: Tensor, dim: Any = None) -> Tensor:
    """`squeeze` as a copy."""
    return _squeezes[0](input) if dim is None else _squeezes[1 if isinstance(dim, int) else 2](input, dim)


def view_copy(input: Tensor, size: Any = None, *, dtype: DType | None = None) -> Tensor:
    """`view` as a copy, in another shape whatever the strides, or its bytes as another dtype."""
    dtype = size if isinstance(size, DType) else dtype
    if dtype is not None:
        return clone(view(tensor_argument("view_copy", input).detach(), dtype=dtype))
    return _view_copy(input, size)


_as_strided_copy = Op(
    "as_strided_copy",
    lambda xp, x, own, seen: xp.array(window(xp, x, seen), order="C", copy=True),
    {"self": _read_self},
    node="AsStridedBackward0_copy",
    jvp="linear",
)


def as_strided_copy(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """`as_strided` as a copy."""
    tensor_argument("as_strided_copy", input)
    seen = as_strided(input.detach(), size, stride, storage_offset)
    return _as_strided_copy(input, own=geometry_of(input._data), seen=geometry_of(seen._data))


_detach_copy = Op(
    "detach_copy",
    lambda xp, x: xp.array(x, order="C", copy=True),
    {"self": no_derivative("detach_copy")},
    node=NOT_IMPLEMENTED,
)


def detach_copy(input: Tensor) -> Tensor:
    """A copy; as in torch it requires grad, and has no derivative."""
    return _detach_copy(tensor_argument("detach_copy", input))


# Copies with a view of them overwritten


def _written(xp: Any, x: Any, src: Any, own: Geometry, seen: Geometry) -> Any:
    memory = xp.zeros((max(end(own), end(seen)),), x.dtype)
    window(xp, memory, own)[...] = x
    window(xp, memory, seen)[...] = src
    return xp.array(window(xp, memory, own), order="C", copy=True)


Op(
    "without_window",
    lambda xp, x, own, seen: _written(xp, x, 0, own, seen),
    {"self": lambda F, g, own, seen: F.without_window(g, own=own, seen=seen)},
    node="AsStridedScatterBackward0",
    jvp="linear",
)


def _kept(xp: Any, x: Any, own: Geometry, seen: Geometry) -> Any:
    memory = xp.zeros((max(end(own), end(seen)),), x.dtype)
    whole = xp.zeros_like(memory)
    window(xp, memory, own)[...] = x
    window(xp, whole, seen)[...] = window(xp, memory, seen)
    return xp.array(window(xp, whole, own), order="C", copy=True)


Op(
    "only_window",
    _kept,
    {"self": lambda F, g, own, seen: F.only_window(g, own=own, seen=seen)},
    node="torch::autograd::CopySlices",
    jvp="linear",
)


def _scattering(function: Callable[..., Any], name: str, gradient: str = "without_window") -> Any:
    """The copy with the view overwritten that `function` makes. `gradient`: the op that gives the input's."""
    op = Op(
        f"{name}_scatter",
        _written,
        {
            "self": lambda F, g, own, seen: getattr(F, gradient)(g, own=own, seen=seen),
            "src": lambda F, g, own, seen: F.strided_again(g, own=own, seen=seen),
        },
        inputs=("self", "src"),
        jvp="linear",
    )

    def call(input: Tensor, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        tensor_argument(op.name, input)
        tensor_argument(op.name, src, "src", 2)
        seen = _places_of(function, input, args, kwargs)
        if src._data.shape != seen[0]:
            raise RuntimeError(
                f"expected src to have a size equal to the slice of self. src size = {list(src._data.shape)}, "
                f"slice size = {list(seen[0])}"
            )
        return op(input, src, own=_own(input), seen=seen)

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = f"A copy of `input` in which `src` is what `{name}` sees."
    return call


select_scatter = _scattering(select, "select")
slice_scatter = _scattering(_sliced, "slice")
diagonal_scatter = _scattering(diagonal, "diagonal")
as_strided_scatter = _scattering(as_strided, "as_strided", "only_window")  # torch: not what is left, but the rest

__all__ = [
    "alias_copy",
    "as_strided_copy",
    "as_strided_scatter",
    "detach_copy",
    "diagonal_copy",
    "diagonal_scatter",
    "expand_copy",
    "narrow_copy",
    "permute_copy",
    "select_copy",
    "select_scatter",
    "slice_copy",
    "slice_scatter",
    "split_copy",
    "split_with_sizes_copy",
    "squeeze_copy",
    "t_copy",
    "transpose_copy",
    "unbind_copy",
    "unfold_copy",
    "unsqueeze_copy",
    "view_copy",
]
METHODS = {
    name: globals()[name]
    for name in ("as_strided_scatter", "diagonal_scatter", "narrow_copy", "select_scatter", "slice_scatter")
}
