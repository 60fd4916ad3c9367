"""In-place forms of ops: compute, write the result into the target, and move the target's history.

The node of an in-place op sees the target as it was before the write, so what it saves of it is a
copy; every other tensor that saved the target notices through the version counter.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from refgrad.counters import bump
from refgrad.devices import MODULES, Array
from refgrad.dtypes import FROM_NUMPY, SCALAR_TYPE, dtype
from refgrad.layout import STRETCHED, is_dense, is_stretched
from refgrad.modes import local
from refgrad.ops.record import Op, OpNode, broadcast_error
from refgrad.saved import Later
from refgrad.tensor import Tensor, wrap
from refgrad.views import rebase


def check_writable(target: Tensor, recording: bool) -> None:
    """Raise what torch raises for a write into a leaf, or into a view that cannot follow it."""
    if recording:
        view = target._view
        if view is not None:
            view.check_writable()
            if target._rg and view.base._edge is None:
                raise RuntimeError(
                    "a view of a leaf Variable that requires grad is being used in an in-place operation."
                )
        if target._rg and not target._computed():
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def check_overlap(target: Tensor, operands: Iterable[Any], apart: bool) -> None:
    """Raise what torch raises for an operand that shares part of the target's memory, as far as torch looks.

    Only stretches of memory without holes are looked at. An operand that is the target, element by element, is
    fine, unless `apart`.
    """
    data = target._data
    for operand in operands:
        if not isinstance(operand, Tensor) or type(operand._data) is not type(data):
            continue
        other = operand._data
        if not data.size or not other.size or not is_dense(data) or not is_dense(other):
            continue
        address = MODULES[type(data)].address
        start, begin = address(data), address(other)
        if start < begin + other.nbytes and begin < start + data.nbytes:
            if not apart and start == begin and data.nbytes == other.nbytes and data.strides == other.strides:
                continue
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
                "memory location. Please clone() the tensor before performing the operation."
            )


def check_result(target: Tensor, shape: tuple[int, ...], found: dtype) -> None:
    """Raise what torch raises for a result that the target cannot hold."""
    if found.category > target.dtype.category:
        names = SCALAR_TYPE[found.name], SCALAR_TYPE[target.dtype.name]
        raise RuntimeError(f"result type {names[0]} can't be cast to the desired output type {names[1]}")
    if shape != target._data.shape:
        raise RuntimeError(
            f"output with shape {list(target._data.shape)} doesn't match the broadcast shape {list(shape)}"
        )


def before_write(target: Tensor, recording: bool, copy: bool) -> Tensor:
    """The target as it was: same place in the graph, and a copy of its values where they are needed."""
    old = wrap(target._data.copy() if copy else target._data)
    edge = target._current_edge() if recording else None
    if edge is not None:
        old._place(edge)
    return old


def write(target: Tensor, values: Array) -> None:
    """Overwrite the target's values and count the write."""
    if local.modes.sparing is not None:
        local.modes.sparing.before_write(target)
    target._data[...] = values
    bump(target._counter)


def adopt(target: Tensor, result: Tensor) -> None:
    """Give the target, just overwritten, the history of `result`."""
    edge = result._edge
    assert edge is not None
    node = edge[0]
    assert isinstance(node, OpNode) and node.saved is not None
    node._meta = ((target._data.shape, target._data.dtype),)
    rebase(target, edge)
    if not node.plan.results:
        return
    # A saved result is the target's own memory, and its version counts.
    versions = list(node.versions)
    for k in node.plan.results:
        node.saved[k]._data = target._data
        node.saved[k]._counter = target._counter
        versions[k] = target._counter[0]
    node.versions = tuple(versions)
    if target._view is not None:
        node.ensure_hooks().stands_for = weakref.ref(target.grad_fn)


def inplace(
    function: Callable[..., Any], name: str, spreads: bool = False, apart: bool = False
) -> Callable[..., Tensor]:
    """The in-place form of a public function: its first argument is the target.

    `spreads`: it may write into an expanded tensor, where several elements share a place. `apart`: no operand may
    be the target itself.
    """

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        modes = local.modes
        recording = modes.recording and (
            self._rg or any(isinstance(a, Tensor) and a._rg for a in (*args, *kwargs.values()))
        )
        check_writable(self, recording)
        if not spreads and is_stretched(self._data):
            raise RuntimeError(STRETCHED)
        check_overlap(self, (*args, *kwargs.values()), apart)
        level = modes.forward
        if level is not None and not level.concerns(self, (*args, *kwargs.values())):
            level = None
        old = before_write(self, recording, copy=recording or level is not None)
        packing = modes.packing
        if packing is not None:
            modes.packing = Later(packing)
        try:
            if level is not None:
                level.lend(self, old)
            result = function(old, *args, **kwargs)
            check_result(self, result._data.shape, FROM_NUMPY[result._data.dtype])
            write(self, result._data)
            if result._edge is not None and result is not old:
                adopt(self, result)
            if level is not None:
                level.write(self, result)
        finally:
            later, modes.packing = modes.packing, packing
        if later is not None:
            later.pack_outputs(result, self)
        return self

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"In-place form of `{name.rstrip('_')}`."
    return call


# Writes that do not depend on the old values: the old gradient is zero.

_zero = Op("zero", lambda xp, x: xp.zeros_like(x), {"self": lambda F, g: F.zeros_like(g)}, jvp="linear")


def _fill_kernel(xp: Any, x: Any, value: Any) -> Any:
    out = xp.empty_like(x)
    out[...] = value
    return out


_fill_scalar = Op(
    "fill_scalar",
    _fill_kernel,
    {"self": lambda F, g: F.zeros_like(g)},
    node="FillBackward2",
    jvp="elementwise",
)
_fill_tensor = Op(
    "fill_tensor",
    _fill_kernel,
    {"self": lambda F, g: F.zeros_like(g), "value": lambda F, g: F.sum_to(g, shape=())},
    inputs=("self", "value"),
    node="FillBackward3",
    jvp="linear",
)
_copy = Op(
    "copy",
    lambda xp, x, source: xp.broadcast_to(source, x.shape).astype(x.dtype),
    {"self": lambda F, g: F.zeros_like(g), "source": lambda F, g: g},
    inputs=("self", "source"),
    node="torch::autograd::CopyBackwards",
    jvp="linear",
)


def _fill(input: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value._data.ndim} dimensions."
            )
        return _fill_tensor(input, value)
    return _fill_scalar(input, value=value)


def _copied(input: Tensor, src: Tensor) -> Tensor:
    if MODULES[type(src._data)] is not MODULES[type(input._data)] or src.device != input.device:
        from refgrad.ops.conversion import move

        src = move(src, input.device)
    try:
        shape = np.broadcast_shapes(input._data.shape, src._data.shape)
    except ValueError:
        raise broadcast_error(input._data, src._data) from None
    check_result(input, shape, input.dtype)
    return _copy(input, src)


_fill_number_ = inplace(_fill, "fill_", spreads=True)
_fill_tensor_ = inplace(_fill, "fill_")


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one value, a number or a 0-dim tensor, everywhere."""
    return (_fill_tensor_ if isinstance(value, Tensor) else _fill_number_)(self, value)


_copy_ = inplace(_copied, "copy_")
_copy_itself_ = inplace(_copied, "copy_", spreads=True)


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Write the values of `src`, which broadcasts, in the dtype of this tensor."""
    return (_copy_itself_ if src is self else _copy_)(self, src)


__all__: list[str] = []
METHODS = {
    "zero_": inplace(_zero, "zero_", spreads=True),
    "fill_": fill_,
    "copy_": copy_,
}
