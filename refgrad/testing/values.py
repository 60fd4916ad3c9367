"""Defects of values: derivatives, and what is done to every gradient."""

from __future__ import annotations

from typing import Any

from refgrad import autograd, engine, modes
from refgrad.graph import Node
from refgrad.ops.record import OpNode
from refgrad.tensor import Tensor
from refgrad.testing.planting import Plant, Planting, attribute, changed_gradient, formula, kernel


def _prod_by_division(F: Any, g: Any, self: Any, result: Any, dim: Any, keepdim: bool) -> Any:
    if dim and not keepdim:
        g, result = F.unsqueeze(g, dim=dim[0]), F.unsqueeze(result, dim=dim[0])
    return g * result / self


def _tanh_with_constant_result(F: Any, g: Any, result: Any) -> Any:
    if isinstance(result, Tensor):
        result = result.detach()
    return g * (1 - result * result)


def _with_stale_result() -> Planting:
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

    return attribute(OpNode, "_apply", stale)


def _first_slice(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    if not x.size:
        return xp.zeros(shape, x.dtype)
    kept = tuple(slice(0, 1) if size == 1 else slice(None) for size in shape)
    return xp.reshape(x[(0,) * (x.ndim - len(shape)) + kept], shape)


def _overwriting() -> Planting:
    accumulate = engine.accumulate_grad

    def overwrite(variable: Tensor, gradient: Any, raw: bool) -> None:
        variable._grad = None
        accumulate(variable, gradient, raw)

    return attribute(engine, "accumulate_grad", overwrite)


def _keeping_history() -> Planting:
    detach = Tensor.detach

    def keep(self: Tensor) -> Tensor:
        t = detach(self)
        if (edge := self._current_edge()) is not None:
            t._place(edge)
        return t

    return attribute(Tensor, "detach", keep)


def _starting_from_ones() -> Planting:
    check = autograd._given_seed

    def ones(k: int, out: Tensor, given: Tensor) -> Tensor:
        return check(k, out, given) * 0 + 1

    return attribute(autograd, "_given_seed", ones)


def _keeping_dtype() -> Planting:
    fit = engine._Task._fit

    def keep(self: Any, node: Any, k: int, g: Any, shape: Any, dtype: Any, F: Any) -> Any:
        return fit(self, node, k, g, shape, (g if self.raw else g._data).dtype, F)

    return attribute(engine._Task, "_fit", keep)


PLANTS = (
    Plant(
        "sin-sign",
        "wrong sign",
        "the derivative of sin is -cos",
        lambda: formula("sin", "self", lambda F, g, self: -g * F.cos(self)),
    ),
    Plant(
        "softmax-missing-term",
        "missing term",
        "softmax forgets that its outputs sum to one",
        lambda: formula("softmax", "self", lambda F, g, result: g * result),
    ),
    Plant(
        "div-missing-factor",
        "missing term",
        "the quotient rule divides by the denominator once only",
        lambda: formula("div", "other", lambda F, g, self, other: -g * (self / other).conjugate()),
    ),
    Plant(
        "fan-in-keeps-last",
        "missing term",
        "of several gradients that reach a tensor the last one wins",
        lambda: attribute(engine._Task, "_add", lambda self, a, b: b),
    ),
    Plant(
        "broadcast-not-summed",
        "missing unbroadcast",
        "the gradient of a stretched operand is its first slice",
        lambda: kernel("sum_to", _first_slice),
    ),
    Plant(
        "cumsum-wrong-axis",
        "wrong axis",
        "the gradient of cumsum is not reversed along its axis",
        lambda: formula("cumsum", "self", lambda F, g, dim: F.cumsum(g, dim=dim)),
    ),
    Plant(
        "prod-at-zero",
        "wrong at zero",
        "prod divides its result by each factor, also by zero",
        lambda: formula("prod", "self", _prod_by_division),
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
        lambda: attribute(modes.no_grad, "mode", True),
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
        lambda: changed_gradient("sum", "self", lambda g: g * 0 + 1),
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
        lambda: formula("tanh", "self", _tanh_with_constant_result),
    ),
    Plant(
        "retain-graph-ignored",
        "graph not freed",
        "the graph is kept whatever retain_graph says",
        lambda: attribute(OpNode, "_release", Node._release),
    ),
    Plant(
        "zero-grad-keeps",
        "stale gradient",
        "zero_ leaves the values as they are",
        lambda: attribute(Tensor, "zero_", lambda self: self),
    ),
    Plant(
        "gradient-dtype",
        "wrong dtype",
        "the gradient of a promoted operand keeps the wider dtype",
        _keeping_dtype,
    ),
)
