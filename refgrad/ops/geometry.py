"""Changes of a tensor's own shape and memory: `transpose_`, `squeeze_`, `as_strided_` and their kin, `resize_`, `set_`.

They count as writes, though no element changes. A view that changes its shape stays where it is in the graph: its
base is not told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from refgrad.counters import bump
from refgrad.devices import MODULES
from refgrad.dtypes import C_NAMES
from refgrad.forward import aside
from refgrad.layout import geometry_of, offset_of, owner_of, row_major_strides
from refgrad.modes import local
from refgrad.mutation import spare
from refgrad.ops.arguments import integers, spelled_out, tensor_argument
from refgrad.ops.axes import t, transpose
from refgrad.ops.inplace import before_write, check_history, records
from refgrad.ops.limits import NOT_IMPLEMENTED, NOT_YET, invalid_arguments, no_tangents
from refgrad.ops.record import Op, OpNode
from refgrad.ops.shape import squeeze, unsqueeze
from refgrad.ops.windows import as_strided, end, window
from refgrad.tensor import Tensor, wrap

_NODES = {  # torch counts the in-place forms on
    "TBackward0": "TBackward1",
    "TransposeBackward0": "TransposeBackward1",
    "UnsqueezeBackward0": "UnsqueezeBackward1",
    "AsStridedBackward0": "AsStridedBackward1",
    "SqueezeBackward0": "SqueezeBackward3",
    "SqueezeBackward1": "SqueezeBackward4",
    "SqueezeBackward2": "SqueezeBackward5",
}


def _follow(target: Tensor, result: Tensor) -> None:
    """Put the target, which has a new shape, where `result` stands in the graph."""
    edge = result._gradient_edge()
    target._place(edge)
    if target._view is not None:
        target._view.version = target._counter[0]


def _in_place(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The form of a view function that changes the tensor itself."""

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        recording = records(self, ())
        check_history(self, recording)
        spare(self)
        level = local.modes.forward
        tangent = None if level is None else level.tangent(self)
        old = before_write(self, recording, copy=False)
        result = function(old, *args, **kwargs)
        self._data = result._data
        bump(self._counter)
        if recording:
            node, number = result._gradient_edge()
            assert isinstance(node, OpNode) and not number
            node.__class__ = node.op.node_classes[_NODES[node.name()]]
            _follow(self, result)
        if tangent is not None:
            with aside():
                call(tangent, *args, **kwargs)
        return self

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`{name.rstrip('_')}` of the tensor itself: it gets the shape and the strides."
    return call


# resize_


def resize_(self: Tensor, *sizes: Any, size: Any = None, memory_format: Any = None) -> Tensor:
    """Give the tensor another size, over its memory in row-major order; without effect if it has that size.

    Memory that is too small is replaced by a larger copy, of which other tensors know nothing; what is new
    in it is 0. RuntimeError for a tensor that requires grad or has a tangent.
    """
    shape = spelled_out("resize_", "size", sizes if size is None else (size,))
    if self._rg and not local.modes.inference:
        raise RuntimeError("cannot resize variables that require grad")
    if any(n < 0 for n in shape):
        raise RuntimeError("numel: integer multiplication overflow")
    spare(self)
    if self._data.shape != shape:
        lay_out(self, shape, row_major_strides(shape))
        bump(self._counter)
    level = local.modes.forward
    if level is not None and level.tangent(self) is not None:  # torch, too, says so when it is done
        raise RuntimeError("cannot resize variables that has a forward grad")
    return self


def lay_out(target: Tensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """Let the target have another shape over its memory, or over a larger copy of it."""
    data = target._data
    seen = (shape, strides, offset_of(data))
    xp, memory = MODULES[type(data)], owner_of(data)
    needed = end(seen)
    if needed * data.itemsize > memory.nbytes:
        larger = xp.zeros((needed,), data.dtype)
        larger[: memory.nbytes // data.itemsize] = window(xp, data, ((memory.nbytes // data.itemsize,), (1,), 0))
        data = larger
    target._data = window(xp, data, seen)


def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """`resize_` to the size of another tensor."""
    return resize_(self, tensor_argument("resize_as_", the_template, "the_template")._data.shape)


# set_


def _no_derivative(F: Any, g: Any) -> NoReturn:
    raise RuntimeError("derivative for set_ is not implemented")


_set = Op(
    "set_",
    lambda xp, x, source, seen: window(xp, source, seen),
    _no_derivative,
    inputs=("self", "source"),
    node=NOT_IMPLEMENTED,
)


def set_(
    self: Tensor,
    source: Tensor | None = None,
    storage_offset: int | None = None,
    size: Any = None,
    stride: Any = None,
) -> Tensor:
    """Let the tensor lie where `source` lies, or at a place in its memory; without `source` it becomes empty.

    torch cannot differentiate that: RuntimeError in the backward pass, NotImplementedError in forward mode.
    RuntimeError for a leaf, and for another dtype.
    """
    level = local.modes.forward
    if level is not None and level.concerns(self, (source,)):
        raise no_tangents("set_", NOT_YET)
    recording = records(self, (source,))
    check_history(self, recording)
    if source is None:
        source = wrap(MODULES[type(self._data)].zeros((0,), self._data.dtype))
    if not isinstance(source, Tensor):
        raise invalid_arguments("set_", "() or (Tensor source) or (Tensor source, int, size, stride)", source)
    if source.dtype is not self.dtype:
        names = C_NAMES[source.dtype.name], C_NAMES[self.dtype.name]
        raise RuntimeError(f"Could not set tensor of type {names[0]} to a tensor of type {names[1]}")
    seen = source._data
    if storage_offset is not None:
        shape = integers("set_", "size", size)
        seen = as_strided(source.detach(), shape, stride or row_major_strides(shape), storage_offset)._data
    spare(self)
    result = _set(before_write(self, recording, copy=False), source, seen=geometry_of(seen))
    self._data = result._data
    bump(self._counter)
    if recording and result._edge is not None:
        _follow(self, result)
    return self


# What lies where


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both lie at the same place in memory, with the same shape and strides."""
    mine, other = self._data, tensor_argument("is_set_to", tensor, "tensor")._data
    return owner_of(mine) is owner_of(other) and geometry_of(mine) == geometry_of(other)


def data_ptr(self: Tensor) -> int:
    """The address of the first element; 0 for a tensor without elements."""
    return MODULES[type(self._data)].address(self._data) if self._data.size else 0


__all__: list[str] = []
METHODS = {
    "as_strided_": _in_place(as_strided, "as_strided_"),
    "data_ptr": data_ptr,
    "is_set_to": is_set_to,
    "resize_": resize_,
    "resize_as_": resize_as_,
    "set_": set_,
    "squeeze_": _in_place(squeeze, "squeeze_"),
    "swapaxes_": _in_place(transpose, "swapaxes_"),
    "swapdims_": _in_place(transpose, "swapdims_"),
    "t_": _in_place(t, "t_"),
    "transpose_": _in_place(transpose, "transpose_"),
    "unsqueeze_": _in_place(unsqueeze, "unsqueeze_"),
}
