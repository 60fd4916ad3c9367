"""Known defects that can be put into the engine for a while, to see that the harness finds them.

    with refgrad.testing.plant("sin-sign"):
        ...

Each is a mistake that engines have really made. They work by replacing a formula of an op or a
rule of the core, and are taken out again at the end of the context, whatever happens inside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from refgrad import autograd, engine, modes
from refgrad.graph import Node
from refgrad.ops import names
from refgrad.ops.record import OPS, Op, OpNode
from refgrad.tensor import Tensor


@dataclass(frozen=True)
class Plant:
    """A known defect: `apply` is a context manager that puts it in."""

    name: str
    kind: str
    description: str
    apply: Callable[[], AbstractContextManager[None]]


def plant(name: str) -> AbstractContextManager[None]:
    """Put a known defect into the engine until the context ends.

    Raises ValueError, with the names there are, for an unknown one.
    """
    if name not in PLANTS:
        raise ValueError(f"no planted defect is called {name!r}; there are: {', '.join(sorted(PLANTS))}")
    return PLANTS[name].apply()


@contextmanager
def _formula(op_name: str, input_name: str, formula: Callable[..., Any]) -> Iterator[None]:
    """Replace one derivative formula of an op."""
    op = OPS[op_name]
    before = op.vjp
    assert isinstance(before, dict) and input_name in before, f"{op_name} has no formula for {input_name}"
    op.vjp = {**before, input_name: formula}
    op.plans.clear()
    try:
        yield
    finally:
        op.vjp = before
        op.plans.clear()


@contextmanager
def _attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a module or class."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _kernel(op_name: str, kernel: Callable[..., Any]) -> Iterator[None]:
    """Replace the forward kernel of an op, also where derivative formulas use it."""
    op = OPS[op_name]
    before = op.kernels.forward
    _rebind(op, kernel)
    try:
        yield
    finally:
        _rebind(op, before)


def _rebind(op: Op, kernel: Any) -> None:
    op.kernels.forward = kernel
    op.kernels.clear()
    names.forget()


@contextmanager
def _changed_gradient(op_name: str, input_name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Keep a formula of an op and what it saves, and change what it returns."""
    vjp = OPS[op_name].vjp
    assert isinstance(vjp, dict)
    true = vjp[input_name]

    @functools.wraps(true)
    def formula(*args: Any) -> Any:
        return change(true(*args))

    with _formula(op_name, input_name, formula):
        yield


def _prod_by_division(F: Any, g: Any, self: Any, result: Any, dim: Any, keepdim: bool) -> Any:
    if dim and not keepdim:
        g, result = F.unsqueeze(g, dim=dim[0]), F.unsqueeze(result, dim=dim[0])
    return g * result / self


def _tanh_with_constant_result(F: Any, g: Any, result: Any) -> Any:
    if isinstance(result, Tensor):
        result = result.detach()
    return g * (1 - result * result)


def _with_stale_result() -> AbstractContextManager[None]:
    """A node that saved nothing but its result reads the one that the node before it saved, of the same shape."""
    apply = OpNode._apply

    def saved_result(node: Any) -> Any:
        plain = isinstance(node, OpNode) and node.plan.results == (0,) and node.saved and len(node.saved) == 1
        return node.saved[0] if plain and isinstance(node.saved[0], Tensor) else None

    def stale(self: OpNode, F: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        before = saved_result(self.next_functions[0][0]) if self.next_functions else None
        mine = saved_result(self)
        if before is not None and mine is not None and before._data.shape == mine._data.shape:
            own = self.saved
            self.saved, versions = (before,), self.versions
            self.versions = (before._counter[0],)
            try:
                return apply(self, F, raw, gradient, needed)
            finally:
                self.saved, self.versions = own, versions
        return apply(self, F, raw, gradient, needed)

    return _attribute(OpNode, "_apply", stale)


def _first_slice(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    if not x.size:
        return xp.zeros(shape, x.dtype)
    kept = tuple(slice(0, 1) if size == 1 else slice(None) for size in shape)
    return xp.reshape(x[(0,) * (x.ndim - len(shape)) + kept], shape)


def _overwriting() -> AbstractContextManager[None]:
    accumulate = engine.accumulate_grad

    def overwrite(variable: Tensor, gradient: Any, raw: bool) -> None:
        variable._grad = None
        accumulate(variable, gradient, raw)

    return _attribute(engine, "accumulate_grad", overwrite)


def _keeping_history() -> AbstractContextManager[None]:
    detach = Tensor.detach

    def keep(self: Tensor) -> Tensor:
        t = detach(self)
        if (edge := self._current_edge()) is not None:
            t._place(edge)
        return t

    return _attribute(Tensor, "detach", keep)


def _starting_from_ones() -> AbstractContextManager[None]:
    check = autograd._given_seed

    def ones(k: int, out: Tensor, given: Tensor) -> Tensor:
        return check(k, out, given) * 0 + 1

    return _attribute(autograd, "_given_seed", ones)


def _keeping_dtype() -> AbstractContextManager[None]:
    fit = engine._Task._fit

    def keep(self: Any, node: Any, k: int, g: Any, shape: Any, dtype: Any, F: Any) -> Any:
        return fit(self, node, k, g, shape, (g if self.raw else g._data).dtype, F)

    return _attribute(engine._Task, "_fit", keep)


PLANTS: dict[str, Plant] = {
    plant.name: plant
    for plant in (
        Plant(
            "sin-sign",
            "wrong sign",
            "the derivative of sin is -cos",
            lambda: _formula("sin", "self", lambda F, g, self: -g * F.cos(self)),
        ),
        Plant(
            "softmax-missing-term",
            "missing term",
            "softmax forgets that its outputs sum to one",
            lambda: _formula("softmax", "self", lambda F, g, result: g * result),
        ),
        Plant(
            "div-missing-factor",
            "missing term",
            "the quotient rule divides by the denominator once only",
            lambda: _formula("div", "other", lambda F, g, self, other: -g * (self / other).conjugate()),
        ),
        Plant(
            "fan-in-keeps-last",
            "missing term",
            "of several gradients that reach a tensor the last one wins",
            lambda: _attribute(engine._Task, "_add", lambda self, a, b: b),
        ),
        Plant(
            "broadcast-not-summed",
            "missing unbroadcast",
            "the gradient of a stretched operand is its first slice",
            lambda: _kernel("sum_to", _first_slice),
        ),
        Plant(
            "cumsum-wrong-axis",
            "wrong axis",
            "the gradient of cumsum is not reversed along its axis",
            lambda: _formula("cumsum", "self", lambda F, g, dim: F.cumsum(g, dim=dim)),
        ),
        Plant(
            "prod-at-zero",
            "wrong at zero",
            "prod divides its result by each factor, also by zero",
            lambda: _formula("prod", "self", _prod_by_division),
        ),
        Plant(
            "accumulate-overwrites",
            "overwritten instead of accumulated gradient",
            "a second backward replaces .grad",
            _overwriting,
        ),
        Plant(
            "no-grad-records",
            "no_grad that still records",
            "operations inside no_grad are recorded",
            lambda: _attribute(modes.no_grad, "mode", True),
        ),
        Plant(
            "detach-keeps-history",
            "detach that does not cut",
            "gradients flow through detach",
            _keeping_history,
        ),
        Plant(
            "stale-result",
            "stale saved value",
            "an op reads the result that the op before it saved",
            _with_stale_result,
        ),
        Plant(
            "sum-ignores-cotangent",
            "ignored cotangent",
            "the gradient of sum is one, whatever arrives",
            lambda: _changed_gradient("sum", "self", lambda g: g * 0 + 1),
        ),
        Plant(
            "gradient-argument-ignored",
            "ignored cotangent",
            "backward(gradient) starts from ones",
            _starting_from_ones,
        ),
        Plant(
            "tanh-double-backward",
            "double-backward error",
            "tanh treats its saved result as a constant",
            lambda: _formula("tanh", "self", _tanh_with_constant_result),
        ),
        Plant(
            "retain-graph-ignored",
            "graph not freed",
            "the graph is kept whatever retain_graph says",
            lambda: _attribute(OpNode, "_release", Node._release),
        ),
        Plant(
            "zero-grad-keeps",
            "stale gradient",
            "zero_ leaves the values as they are",
            lambda: _attribute(Tensor, "zero_", lambda self: self),
        ),
        Plant(
            "gradient-dtype",
            "wrong dtype",
            "the gradient of a promoted operand keeps the wider dtype",
            _keeping_dtype,
        ),
    )
}
