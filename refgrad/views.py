"""Views: what they look into, and how their place in the graph follows writes into shared memory.

A view has no gradient edge of its own for good: whenever the memory was written since the edge was made (the
version counter tells), a new one is made from the edge of its base, at the next look. A recorded write through
a view becomes a `CopySlices` node of the base. These are torch's rules, and so are the views that may not be
written (`creation`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from refgrad.anomaly import note_origin
from refgrad.counters import UNCOUNTED
from refgrad.devices import MODULES, NUMPY, Array
from refgrad.graph import FREED, Edge, Node
from refgrad.layout import STRETCHED, Geometry, geometry_of, is_stretched, strided
from refgrad.modes import anomaly, local

if TYPE_CHECKING:
    from refgrad.tensor import Tensor

# How a view came about; in-place operations on all but the first kind are not to be recorded.
DEFAULT, IN_CUSTOM_FUNCTION, MULTI_OUTPUT, NO_GRAD, INFERENCE = range(5)

Step = tuple[Any, Mapping[str, Any]]
CUT: Any = object()
"""Stands for the root of what is no view to forward mode."""


class Replay(NamedTuple):
    """How to get from the base to a view of another dtype: a window on the base (None: all of it), then calls."""

    window: Geometry | None
    steps: tuple[Step, ...]


class View:
    """What makes a tensor a view. `edge` holds for version `version` of the memory only."""

    __slots__ = ("base", "creation", "edge", "forward", "replay", "version")

    def __init__(self, base: Tensor, creation: int, replay: Replay | None) -> None:
        self.base = base  # the tensor at the root, which is no view itself
        self.creation = creation
        self.replay = replay  # None where strides tell all
        self.edge: Edge | None = None
        self.forward: Any = None  # the tensor at the root for forward mode, where that is not the base
        self.version = base._counter[0]

    def current(self, tensor: Tensor) -> Edge | None:
        """The gradient edge of `tensor`, whose view this is; None while it is a leaf.

        Raises RuntimeError where memory was written since and the view is of a kind that cannot follow.
        """
        edge, base = self.edge, self.base
        if edge is None and not base._rg:
            return None
        version = tensor._counter[0]
        if version != self.version:
            self.check_writable(indirect=True)
            new = self._regenerated(tensor)
            if tensor._retains and edge is not None:
                move_retained(edge, new)
            self.edge = edge = new
            self.version = version
            tensor._rg, tensor._inherits = True, False
        return edge

    def _regenerated(self, tensor: Tensor) -> Edge:
        """An edge that leads to the base as it is now."""
        from refgrad.ops.windows import edge_to  # ops are built upon this module

        if self.replay is None:
            return edge_to(self.base, tensor)
        window, steps = self.replay
        with _recording():
            found = self.base if window is None else self.base.as_strided(*window)
            for op, params in steps:
                found = op(found, **params)
        return found._gradient_edge()

    def check_writable(self, indirect: bool = False) -> None:
        """Raise what torch raises for a write into a view that cannot follow it."""
        if self.creation == DEFAULT:
            return
        what = "its base or another view of its base has been" if indirect else "is being"
        made = ""
        if self.creation == INFERENCE:
            made, what = "created in inference mode", f"{what} modified inplace in normal mode."
        elif self.creation == NO_GRAD or self.edge is None:
            made, what = "created in no_grad mode", f"{what} modified inplace with grad mode enabled."
        else:
            what = f"{what} modified inplace."
        if self.edge is None:
            start = f"A view was {made} and {what}"
        else:
            node, number = self.edge
            assert node is not None
            which = f"Output {number} of {short_name(node)} is a view"
            start = f"{which} of a view which was {made} and {what}" if made else f"{which} and {what}"
        raise RuntimeError(f"{start} {_ADVICE[self.creation]}")


def _ambiguous(mode: str) -> str:
    return (
        "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving "
        f"both the view and the inplace either both inside the {mode} block (if you don't want the inplace to be "
        "tracked) or both outside (if you want the inplace to be tracked)."
    )


_ADVICE = {
    IN_CUSTOM_FUNCTION: (
        "This view was created inside a custom Function (or because an input was returned as-is) and the autograd "
        "logic to handle view+inplace would override the custom backward associated with the custom Function, leading "
        "to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom "
        "Function."
    ),
    MULTI_OUTPUT: (
        "This view is the output of a function that returns multiple views. Such functions do not allow the output "
        "views to be modified inplace. You should replace the inplace operation by an out-of-place one."
    ),
    NO_GRAD: _ambiguous("no_grad"),
    INFERENCE: _ambiguous("inference_mode"),
}


def short_name(node: Node) -> str:
    """A node's name as torch's messages have it: ``Mul`` for ``MulBackward0``."""
    return re.sub(r"Backward\d*$", "", node.name())


def view_of(source: Tensor, several: bool, changes_dtype: bool, step: Step) -> View | None:
    """What makes a new tensor a view of `source`; None for an inference tensor, which has no views."""
    if source._counter is UNCOUNTED:
        return None
    seen = source._view
    base = source if seen is None else seen.base
    replay = None if seen is None else seen.replay
    if replay is not None:
        replay = Replay(replay.window, (*replay.steps, step))
    elif changes_dtype:
        replay = Replay(None if seen is None else geometry_of(source._data), (step,))
    made = View(base, creation_of(source, several), replay)
    if seen is not None and seen.forward is not None:
        made.forward = source if seen.forward is CUT else seen.forward
    return made


def creation_of(source: Tensor, several: bool) -> int:
    """The kind of a view that is made of `source` now; `several` views at once cannot follow writes."""
    modes = local.modes
    before = DEFAULT if source._view is None else source._view.creation
    if modes.inference or before == INFERENCE:
        return INFERENCE
    if not modes.grad_enabled:
        return NO_GRAD
    return MULTI_OUTPUT if several else before


def move_retained(old: Edge, new: Edge) -> None:
    """Let `retain_grad` of a tensor follow it to its new node."""
    (before, number), (after, place) = old, new
    assert before is not None and after is not None
    if before._hooks is not None and number in before._hooks.retained:
        after.ensure_hooks().retained[place] = before._hooks.retained.pop(number)


class _recording:
    """Grad mode on for a while, whatever it is."""

    def __enter__(self) -> None:
        self.before = local.modes.grad_enabled
        local.modes.set_grad(True)

    def __exit__(self, *exc_info: object) -> None:
        local.modes.set_grad(self.before)


class CopySlices(Node):
    """A recorded write into part of the base: `write` is the node of the operation, as if the part were all."""

    __slots__ = ("_user_code", "geometry", "part", "steps", "write")

    label = "torch::autograd::CopySlices"

    def __init__(self, base: Tensor, target: Tensor, write: Node) -> None:
        assert target._view is not None
        replay = target._view.replay
        self.write: Node | None = write  # None once freed
        self._user_code = write._user_code
        self.geometry = geometry_of(base._data)
        own = Replay(geometry_of(target._data), ())
        self.part, self.steps = own if replay is None else replay
        self.next_functions = (base._gradient_edge(), *write.next_functions[1:])
        self._sequence = local.modes.next_sequence()
        self._hooks = None
        self._meta = ((base._data.shape, base._data.dtype),)
        if anomaly.enabled:
            note_origin(self)
        if write._hooks is not None and write._hooks.packed:
            self.ensure_hooks().packed = True

    def _apply(self, names: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        """The gradient of the base with that of the part in its place; then those of the other operands."""
        if self.write is None:
            raise RuntimeError(FREED)
        return self._on_arrays(names, gradient, needed) if raw else self._on_tensors(names, gradient, needed)

    def _on_arrays(self, names: Any, gradient: Array, needed: Any) -> Any:
        xp = MODULES.get(type(gradient), NUMPY)  # NumPy's numbers stand for 0-dim arrays
        whole = self._like_base(xp, gradient.dtype)
        whole[...] = gradient
        part = whole
        if self.part is not None:
            size, stride, offset = self.part
            part = strided(xp, whole, size, stride, offset - self.geometry[2])
        for op, params in self.steps:
            part = op.kernels[type(part)](part, **params)
        assert self.write is not None
        made = list(self.write._apply(names, True, xp.array(part, order="C", copy=True), needed))
        if needed is not None and not needed[0]:
            made[0] = None
        if made[0] is not None:  # None if the user's code gave none
            if is_stretched(part):
                raise RuntimeError(STRETCHED)
            part[...] = made[0]
            made[0] = whole
        return made

    def _on_tensors(self, names: Any, gradient: Tensor, needed: Any) -> Any:
        from refgrad.tensor import wrap

        whole = wrap(self._like_base(MODULES[type(gradient._data)], gradient._data.dtype)).copy_(gradient)
        part = whole
        if self.part is not None:
            size, stride, offset = self.part
            part = whole.as_strided(size, stride, offset - self.geometry[2])
        for op, params in self.steps:
            part = op(part, **params)
        assert self.write is not None
        made = list(self.write._apply(names, False, part.clone(), needed))
        if needed is not None and not needed[0]:
            made[0] = None
        if made[0] is not None:
            part.copy_(made[0])
            made[0] = whole
        return made

    def _like_base(self, xp: Any, dtype: Any) -> Array:
        """An array that lies in memory as the base does."""
        size, stride, _ = self.geometry
        extent = 0 if 0 in size else 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        return strided(xp, xp.empty((extent,), dtype), size, stride, 0)

    def _unpack(self) -> list[Array]:
        return [] if self.write is None else self.write._unpack()

    def _undefined(self) -> None:
        if self.write is None:
            raise RuntimeError(FREED)
        self.write._undefined()

    def _release(self) -> None:
        self.write = None


def rebase(target: Tensor, edge: Edge) -> None:
    """Give `target`, just overwritten, a new place in the graph: that of the node which wrote it."""
    view = target._view
    if view is None:
        if target._retains and target._edge is not None:
            move_retained(target._edge, edge)
        target._edge = edge
        target._hooks = None  # those of a leaf that is none any more
        target._require_grad(True)
        return
    base, write = view.base, edge[0]
    assert write is not None and edge[1] == 0
    slices: Edge = (CopySlices(base, target, write), 0)
    if base._retains and base._edge is not None:
        move_retained(base._edge, slices)
    base._edge = slices
    base._hooks = None
    base._require_grad(True)
    view.current(target)

