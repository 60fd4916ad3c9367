"""Forward mode: how tangents go through operations.

While a level is entered, a tensor may carry a tangent, and every call of an op computes the tangents of its
outputs from those of its inputs. Each derivative is written once, as the formula of the backward pass; a record
says in `jvp` how tangents follow from that:

    "elementwise"  the formula itself, of the conjugated tangent: each output depends on the inputs at its place
    "linear"       the op itself, of the tangents
    "transpose"    the formula is linear in the gradient; its own derivative, with respect to that, is sought
    a formula      that of the tangent, where torch's value is none of these
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from refgrad import engine
from refgrad.devices import MODULES
from refgrad.dtypes import FROM_NUMPY, dtype
from refgrad.graph import Edge
from refgrad.layout import geometry_of, owner_of, strided, strides_of
from refgrad.modes import enable_grad, local
from refgrad.ops.limits import NOT_IMPLEMENTED
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op, OpNode, Plan, value_source
from refgrad.saved import Packed
from refgrad.tensor import Tensor, wrap
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
        with aside():
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
                tangent = _zeros_alike(t, tangent._data.dtype).copy_(tangent)
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
        call = _Call(op, inputs, params, outputs, promoted, tangents, chosen)
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
                whole = _zeros_alike(root, root._data.dtype)
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


def _zeros_alike(t: Tensor, kind: Any) -> Tensor:
    """Zeros that lie in memory as a tensor does."""
    data = t._data
    xp = MODULES[type(data)]
    size, stride, offset = geometry_of(data)
    memory = xp.zeros((owner_of(data).nbytes // data.itemsize,), kind)
    return wrap(strided(xp, memory, size, stride, offset))


# One call


class _Call:
    """A call of an op some of whose inputs have tangents; `chosen` numbers the outputs that will get one."""

    def __init__(
        self,
        op: Op,
        inputs: Sequence[Any],
        params: Mapping[str, Any],
        outputs: list[Tensor],
        promoted: dtype | None,
        given: list[Tensor | None],
        chosen: list[int],
    ) -> None:
        self.op, self.params, self.promoted, self.chosen = op, params, promoted, chosen
        self.recording = local.modes.recording
        self.inputs = [self._bare(t) for t in inputs]
        self.outputs = [self._bare(t) for t in outputs]
        self.given = given

    def _bare(self, t: Any) -> Any:
        """A tensor without its tangent, in its place in the graph while that matters."""
        if not isinstance(t, Tensor):
            return t
        bare = wrap(t._data)
        if self.recording:
            bare._counter = t._counter
            edge = t._gradient_edge() if t._rg else None
            if edge is not None and edge[0] is not None:
                bare._place(edge)
        return bare

    def tangents(self) -> list[Tensor]:
        """The tangents of the chosen outputs."""
        return [self._settled(k, t) for k, t in zip(self.chosen, self._made(), strict=True)]

    def _made(self) -> Sequence[Tensor | None]:
        """The same, None for zeros, as they come."""
        way = self.op.jvp
        if callable(way):
            made = self._by_formula(way)
            return [made[k] for k in self.chosen] if self.op.several else [made]
        if way == "linear":
            return self._linear()
        if way == "elementwise" and not self._turns_real():
            return [self._elementwise()]
        self._fill()
        return self._transposed()

    def _fill(self) -> None:
        """Missing tangents count as zeros: times infinity they give NaN, as in torch."""
        for k in range(len(self.inputs)) if self.op.joint else self.op.connected:
            x = self.inputs[k]
            if self.given[k] is None and isinstance(x, Tensor):
                self.given[k] = _zeros_alike(x, x._data.dtype)

    def _turns_real(self) -> bool:
        """Whether a complex tangent has a real result, of which it is no multiple."""
        return self.outputs[0]._data.dtype.kind == "f" and any(
            [t is not None and t._data.dtype.kind == "c" for t in self.given]
        )

    def _settled(self, k: int, made: Tensor | None) -> Tensor:
        """A tangent as that of output `k`: of its shape and dtype, and in memory of its own."""
        out = self.outputs[k]
        if made is None:
            return wrap(MODULES[type(out._data)].zeros(out._data.shape, out._data.dtype))
        made = _fitted(made, out)
        if not self.op.view:
            owner = owner_of(made._data)
            if any([t is not None and owner is owner_of(t._data) for t in self.given]):
                return made.clone()
        return made

    def _linear(self) -> list[Tensor]:
        op = self.op
        self._fill()
        parts = [x if t is None else t for x, t in zip(self.inputs, self.given, strict=True)]
        made = op(parts, **self.params) if op.sequence else op(*parts, **self.params)
        return [made[k] for k in self.chosen] if op.several else [made]

    def _formulas(self) -> tuple[Plan, list[Any]]:
        """The formulas for the inputs that have tangents, and the values that they ask for."""
        op = self.op
        mask = 0 if op.joint else sum([1 << k for k, t in enumerate(self.given) if t is not None])
        plan = op.plans[mask]
        return plan, [self._value(name, source) for name, source in zip(plan.names, plan.sources, strict=True)]

    def _value(self, name: str, source: Callable[..., Any]) -> Any:
        if name.startswith("result"):
            return self.outputs if name == "results" else self.outputs[1 if name == "result1" else 0]
        value = source(self.inputs, self.params, self.outputs)
        if self.promoted is not None and name in self.op.promoted and isinstance(value, Tensor):
            return TENSORS.cast(value, self.promoted)
        return list(value) if name == "tensors" else value

    def _by_formula(self, formula: Callable[..., Any]) -> Any:
        values = []
        for name in list(inspect.signature(formula).parameters)[1:]:
            if name.endswith("_t") and name[:-2] in self.op.inputs:
                values.append(self.given[self.op.inputs.index(name[:-2])])
            else:
                values.append(self._value(name, value_source(self.op, name)))
        return formula(TENSORS, *values)

    def _elementwise(self) -> Tensor | None:
        """The sum of the formulas. They are for conjugated gradients, as the derivative is conjugated in them."""
        plan, values = self._formulas()
        total = None
        for number, formula, pick in plan.formulas:
            t = self.given[self.op.connected[number]]
            assert t is not None
            g = _fitted(t, self.outputs[0]).conjugate()
            made = formula(TENSORS, g, *(values if pick is None else pick(values)))
            if made is not None:
                total = made if total is None else total + made
        return None if total is None else total.conjugate()

    def _transposed(self) -> list[Tensor | None]:
        """The derivative of what the formulas compute of any gradient, with respect to that, along the tangents."""
        plan, values = self._formulas()
        modes = local.modes
        packing = modes.packing
        if not self.recording:
            modes.packing = None  # nothing of this is kept
            modes.settle()
        try:
            with enable_grad():
                any_gradient = [self._any_gradient(k) for k in range(len(self.outputs))]
                g = any_gradient if self.op.several else any_gradient[0]
                made = self._gradients(plan, g, values)
            roots, seeds = [], []
            for h, t in zip(made, self.given, strict=True):
                if h is not None and t is not None and h._rg:
                    roots.append(h._gradient_edge())
                    seeds.append(_fitted(t, h))
            targets: dict[Edge, list[int]] = {}
            for n, k in enumerate(self.chosen):
                dummy = any_gradient[k]
                assert dummy is not None
                targets[dummy._gradient_edge()] = [n]
            if not roots:
                return [None] * len(self.chosen)
            return engine.run(
                roots, seeds, keep_graph=self.recording, create_graph=self.recording, captures=targets
            )
        finally:
            modes.packing = packing
            modes.settle()

    def _any_gradient(self, k: int) -> Tensor | None:
        """A gradient of output `k`, whose value does not matter."""
        if k not in self.chosen:
            return None
        g = _zeros_alike(self.outputs[k], self.outputs[k]._data.dtype)
        g._rg = True
        return g

    def _gradients(self, plan: Plan, g: Any, values: list[Any]) -> list[Tensor | None]:
        """The gradients of the inputs that have tangents."""
        if plan.joint:
            return list(plan.formulas[0][1](TENSORS, g, *values))
        made: list[Tensor | None] = [None] * len(self.inputs)
        for number, formula, pick in plan.formulas:
            made[self.op.connected[number]] = formula(TENSORS, g, *(values if pick is None else pick(values)))
        return made


def _fitted(t: Tensor, like: Tensor) -> Tensor:
    """`t` in the dtype and shape of another tensor, to which it broadcasts."""
    kind = like._data.dtype
    if t._data.dtype is not kind:
        if t._data.dtype.kind == "c" and kind.kind == "f":
            t = TENSORS.real(t)
        t = TENSORS.cast(t, FROM_NUMPY[kind])
    return t if t._data.shape == like._data.shape else TENSORS.expand(t, like._data.shape)


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


