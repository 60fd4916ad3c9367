"""Forward mode: a level, within which tensors may carry tangents, and what gives them to the results of operations.

While a level is entered every call of an op computes the tangents of its outputs from those of its inputs
(`refgrad.tangents`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from refgrad.dtypes import dtype
from refgrad.layout import geometry_of, owner_of, strides_of
from refgrad.modes import enable_grad, local
from refgrad.ops.limits import NOT_IMPLEMENTED
from refgrad.ops.record import Op, OpNode
from refgrad.saved import Packed
from refgrad.tangents import Call, zeros_alike
from refgrad.tensor import Tensor
from refgrad.views import CUT, View


class Level:
    """A level of forward mode that was entered; what knows of tangents, and gives them to tensors."""

    __slots__ = ("duals",)

    def __init__(self) -> None:
        self.duals: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()

    def exit(self) -> None:
        """Forget all tangents."""
        for t in list(self.duals.values()):
            t._dual = None
        self.duals.clear()

    def tangent(self, t: Tensor) -> Tensor | None:
        """The tangent of a tensor. That of a view follows what was written into its base."""
        dual = t._dual
        if dual is not None and dual[0] is self:
            return dual[1]
        root = root_of(t)
        if root is None or root._dual is None or root._dual[0] is not self:
            return None
        with aside(), enable_grad():  # whoever happens to look first
            part = _same_part(root._dual[1], t)
        self.keep(t, part)
        return part

    def keep(self, t: Tensor, tangent: Tensor) -> None:
        t._dual = (self, tangent)
        self.duals[id(t)] = t

    def attach(self, t: Tensor, tangent: Tensor) -> None:
        """Give a tensor its tangent: this very one if it lies in memory as the tensor does, else a copy.

        RuntimeError for a tangent of another size, and for one that has a tangent itself.
        """
        if self.tangent(tangent) is not None:
            raise RuntimeError(
                "Setting a forward grad that itself has a forward gradient at the same level0 is not supported."
            )
        if tangent._data.shape != t._data.shape:
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, this "
                f"is not supported. Tensor is of size {list(t.shape)} while the given forward gradient is of size "
                f"{list(tangent.shape)}."
            )
        if not _lie_alike(tangent._data, t._data):
            with aside():
                tangent = zeros_alike(t, tangent._data.dtype).copy_(tangent)
        self.keep(t, tangent)

    # Operations

    def push(
        self, op: Op, inputs: Sequence[Any], params: Mapping[str, Any], outputs: list[Tensor], promoted: dtype | None
    ) -> None:
        """Give the outputs of a call the tangents that follow from those of its inputs."""
        if op.vjp is None:
            return
        tangents = [self.tangent(t) if isinstance(t, Tensor) else None for t in inputs]
        if not op.joint:
            tangents = [t if k in op.connected else None for k, t in enumerate(tangents)]
        if not any([t is not None for t in tangents]):
            return
        chosen = [
            k
            for k, t in enumerate(outputs)
            if t._data.dtype.kind in "fc" and (op.differentiable is None or k in op.differentiable)
        ]
        if not chosen:
            return
        if op.node == NOT_IMPLEMENTED:
            raise not_supported(op.vjp.refused)  # type: ignore[union-attr]
        call = Call(op, inputs, params, outputs, promoted, tangents, chosen)
        with aside():
            made = call.tangents()
        for k, t in zip(chosen, made, strict=True):
            if op.view:
                self.keep(outputs[k], t)
            else:
                self.attach(outputs[k], t)
        for k in chosen:
            self._save(outputs, k)

    def _save(self, outputs: list[Tensor], k: int) -> None:
        """Let the node of an output that saved it know the tangent too."""
        edge = outputs[k]._edge
        node = None if edge is None else edge[0]
        if not isinstance(node, OpNode) or node.saved is None:
            return
        for place in node.plan.results:
            saved = node.saved[place]
            of_output = saved[k] if type(saved) is tuple else saved if k == 0 else None
            if isinstance(of_output, Tensor):
                self.keep(of_output, outputs[k]._dual[1])
            elif isinstance(of_output, Packed):
                of_output.dual = outputs[k]._dual

    def refuse(self, name: str, values: Sequence[Any]) -> None:
        """Raise torch's error for a gradient without a derivative in forward mode, if anything has a tangent."""
        if any([isinstance(t, Tensor) and self.tangent(t) is not None for t in values]):
            raise not_supported(name)

    # In-place operations

    def concerns(self, target: Tensor, operands: Sequence[Any]) -> bool:
        """Whether a tangent takes part in a write."""
        return any([isinstance(t, Tensor) and self.tangent(t) is not None for t in (target, *operands)])

    def lend(self, target: Tensor, old: Tensor) -> None:
        """Let `old`, the target as it was before a write, have its tangent."""
        tangent = self.tangent(target)
        if tangent is not None:
            if local.modes.recording:
                with aside():
                    tangent = tangent.clone()  # what is saved must not change with the write
            self.keep(old, tangent)

    def write(self, target: Tensor, result: Tensor) -> None:
        """Give the target of a write the tangent of what was written: into the tangent it has, if it has one."""
        made = self.tangent(result)
        if made is None:
            return
        before, root = self.tangent(target), root_of(target)
        with aside():
            if before is not None:
                before.copy_(made)
                return
            if root is not None:
                whole = zeros_alike(root, root._data.dtype)
                part = _same_part(whole, target)
                part.copy_(made)
                self.keep(root, whole)
                self.keep(target, part)
                return
        self.attach(target, made)


# What custom functions need


def tangents_of(inputs: Sequence[Any]) -> list[Tensor | None] | None:
    """The tangent of each input, None for those without; None if there is none at all, or no level."""
    level = local.modes.forward
    if level is None:
        return None
    found = [level.tangent(t) if isinstance(t, Tensor) else None for t in inputs]
    return found if any([t is not None for t in found]) else None


def give_tangents(outputs: Sequence[Any], tangents: Sequence[Tensor | None]) -> None:
    """Give outputs their tangents, where these are not None; RuntimeError for another size."""
    level = local.modes.forward
    for t, tangent in zip(outputs, tangents, strict=True):
        if level is not None and tangent is not None:
            level.attach(t, tangent)


def not_supported(name: str) -> NotImplementedError:
    """torch's error for an op without a derivative in forward mode."""
    return NotImplementedError(f"Trying to use forward AD with aten::{name} that does not support it.")


class aside:
    """What is done inside neither reads nor gives tangents."""

    __slots__ = ("before",)

    def __enter__(self) -> None:
        modes = local.modes
        self.before = modes.forward_enabled
        modes.forward_enabled = False
        modes.settle()

    def __exit__(self, *exc_info: object) -> None:
        modes = local.modes
        modes.forward_enabled = self.before
        modes.settle()


# Views and memory


def root_of(t: Tensor) -> Tensor | None:
    """The tensor whose tangent that of a view is a part of; None for what is no view, to forward mode."""
    view: View | None = t._view
    if view is None or view.forward is CUT:
        return None
    return view.base if view.forward is None else view.forward


def _same_part(tangent: Tensor, view: Tensor) -> Tensor:
    """The part of a root's tangent that belongs to a view."""
    assert view._view is not None
    replay = view._view.replay
    if replay is None or tangent._data.dtype is view._data.dtype:
        return tangent.as_strided(*geometry_of(view._data))
    part = tangent if replay.window is None else tangent.as_strided(*replay.window)
    for op, params in replay.steps:
        part = op(part, **params)
    return part


def _lie_alike(a: Any, b: Any) -> bool:
    """Whether two arrays of one shape lie in memory in the same way, and their memory is of one size."""
    if type(a) is not type(b) or owner_of(a).nbytes * b.itemsize != owner_of(b).nbytes * a.itemsize:
        return False
    steps = zip(a.shape, strides_of(a), strides_of(b), strict=True)
    return geometry_of(a)[2] == geometry_of(b)[2] and all([n < 2 or s == r for n, s, r in steps])


# A dual tensor, and its parts, are views; but no view to forward mode, where each has a tangent of its own.

_make_dual = Op("make_dual", lambda xp, x: x[...], {"self": lambda F, g: g}, view=True, node="ViewBackward0")
_fw_primal = Op(
    "fw_primal", lambda xp, x: x[...], {"self": lambda F, g: g}, view=True, node="torch::autograd::Identity"
)


def _cut(op: Callable[..., Any], t: Tensor) -> Tensor:
    with aside():
        made: Tensor = op(t)
    if made._view is not None:
        made._view.forward = CUT
    return made


def dual_of(primal: Tensor) -> Tensor:
    """A view of a tensor that may get a tangent."""
    return _cut(_make_dual, primal)


def primal_of(t: Tensor) -> Tensor:
    """A view of a tensor that does not have its tangent."""
    return _cut(_fw_primal, t)


