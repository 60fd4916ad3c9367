"""Defects of `.grad`: how gradients are accumulated, and what stands there before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad import autograd, engine
from refgrad.devices import MODULES
from refgrad.graph import AccumulateGrad
from refgrad.layout import is_stretched
from refgrad.modes import local
from refgrad.ops.conversion import zeros_like
from refgrad.tensor import Tensor, wrap
from refgrad.testing.planting import Plant, Planting, attribute, function


def _array_of(gradient: Any, raw: bool) -> Any:
    return gradient if raw else gradient._data


def _sharing() -> Planting:
    accumulate = engine._accumulate

    def share(variable: Tensor, gradient: Any, raw: bool) -> None:
        array = _array_of(gradient, raw)
        first = variable._grad is None and not local.modes.grad_enabled
        if first and type(array) in MODULES and not is_stretched(array):
            variable._grad = wrap(array)
        else:
            accumulate(variable, gradient, raw)

    return function(accumulate, share)


def _replacing() -> Planting:
    accumulate = engine._accumulate

    def replace(variable: Tensor, gradient: Any, raw: bool) -> None:
        before, array = variable._grad, _array_of(gradient, raw)
        if before is None or local.modes.grad_enabled or before._data.shape != array.shape:
            accumulate(variable, gradient, raw)
            return
        variable._grad = wrap(before._data.copy())
        accumulate(variable, gradient, raw)

    return function(accumulate, replace)


def _copying() -> Planting:
    grad: Any = Tensor.__dict__["grad"]

    def assign(self: Tensor, value: Any) -> None:
        grad.fset(self, value)
        if value is not None:
            self._grad = value.detach().clone()

    return attribute(Tensor, "grad", property(grad.fget, assign, grad.fdel))


def _giving_zeros() -> Planting:
    grad = autograd.grad

    def filled(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        found = grad(outputs, inputs, *args, **kwargs)
        if type(inputs) is dict:
            return found
        wanted = autograd._inputs(inputs, "grad")
        return tuple(
            [zeros_like(t) if g is None and isinstance(t, Tensor) else g for t, g in zip(wanted, found, strict=True)]
        )

    return function(grad, filled)


def _also_frozen() -> Planting:
    accumulate = engine.accumulate_grad

    def careless(variable: Tensor, gradient: Any, raw: bool) -> None:
        if variable._rg:
            accumulate(variable, gradient, raw)
        else:
            engine._accumulate(variable, gradient, raw)

    return function(accumulate, careless)


def _without_look() -> Planting:
    def careless(variable: Tensor, gradient: Any, raw: bool) -> None:
        if variable._rg:
            engine._accumulate(variable, gradient, raw)

    return function(engine.accumulate_grad, careless)


def _also_captured() -> Planting:
    capture = engine._Task._capture

    def both(self: Any, node: Any, gradient: Any) -> None:
        capture(self, node, gradient)
        if isinstance(node, AccumulateGrad) and gradient is not None:
            engine.accumulate_grad(node.variable, gradient, self.raw)

    return attribute(engine._Task, "_capture", both)


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "accumulation", description, apply)


PLANTS = (
    _plant("first-gradient-shared", "the first gradient of a leaf is not copied, though others have it too", _sharing),
    _plant("gradient-replaced", "a sum of gradients is a new tensor instead of the one that was there", _replacing),
    _plant("assigned-grad-copied", "x.grad = g keeps a copy of g", _copying),
    _plant("unused-gives-zeros", "grad() gives zeros for an unused input instead of None", _giving_zeros),
    _plant("frozen-leaf-accumulates", "a leaf that requires no grad any more still gets one", _also_frozen),
    _plant("moved-leaf-accumulates", "a leaf that was moved into the graph still gets a gradient", _without_look),
    _plant("grad-accumulates", "grad() accumulates into .grad of the leaves that it is asked for", _also_captured),
)
