"""How the tangents of one call of an op follow from those of its inputs.

Each derivative is written once, as the formula of the backward pass; a record says in `jvp` what to make of it:

    "elementwise"  the formula itself, of the conjugated tangent: each output depends on the inputs at its place
    "linear"       the op itself, of the tangents
    "transpose"    the formula is linear in the gradient; its own derivative, with respect to that, is sought
    a formula      that of the tangent, where torch's value is none of these
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from refgrad import engine
from refgrad.devices import MODULES
from refgrad.dtypes import FROM_NUMPY, dtype
from refgrad.graph import Edge
from refgrad.layout import geometry_of, owner_of, strided
from refgrad.modes import enable_grad, local
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op, Plan, value_source
from refgrad.tensor import Tensor, wrap


def zeros_alike(t: Tensor, kind: Any) -> Tensor:
    """Zeros that lie in memory as a tensor does."""
    data = t._data
    xp = MODULES[type(data)]
    size, stride, offset = geometry_of(data)
    memory = xp.zeros((owner_of(data).nbytes // data.itemsize,), kind)
    return wrap(strided(xp, memory, size, stride, offset))


class Call:
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
                self.given[k] = zeros_alike(x, x._data.dtype)

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
        g = zeros_alike(self.outputs[k], self.outputs[k]._data.dtype)
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
