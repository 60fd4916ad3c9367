"""What shows the defects of custom functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import refgrad as torch
from refgrad.autograd.function import once_differentiable
from tests.refgrad.plants.showing import gradient, leaf, plain, shows


def function(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a custom function."""
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    made: Any = type("Made", (torch.autograd.Function,), members)
    return made.apply


@shows("needs-input-grad-always")
def needed() -> Any:
    told: list[Any] = []

    def backward(ctx: Any, g: Any) -> Any:
        told.append(ctx.needs_input_grad)
        return g, None

    x = leaf(1)
    gradient(function(lambda ctx, x, y: x + y, backward)(x, plain(2)), x)
    return told


def doubled(ctx: Any, x: Any) -> Any:
    ctx.mark_dirty(x)
    with torch.no_grad():
        x.mul_(2)
    return x


@shows("mark-dirty-uncounted")
def dirty_version() -> Any:
    y = leaf(1) * 1
    return function(doubled, lambda ctx, g: g * 2)(y)._version


@shows("mark-dirty-new-object")
def dirty_object() -> Any:
    y = leaf(1) * 1
    return function(doubled, lambda ctx, g: g * 2)(y) is y


@shows("custom-backward-records")
def mode_of_backward() -> Any:
    modes: list[bool] = []

    def backward(ctx: Any, g: Any) -> Any:
        modes.append(torch.is_grad_enabled())
        return g

    x = leaf(1)
    gradient(function(lambda ctx, x: x * 2, backward)(x), x)
    return modes


@shows("no-gradient-is-zeros")
def no_gradient() -> Any:
    x = leaf(1)
    function(lambda ctx, x: x * 2, lambda ctx, g: None)(x).backward()
    return x.grad is None


@shows("always-materializes")
def not_materialized() -> Any:
    given: list[bool] = []

    def forward(ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    def backward(ctx: Any, g: Any, h: Any) -> Any:
        given.append(h is None)
        return g

    x = leaf(1)
    gradient(function(forward, backward)(x)[0], x)
    return given


@shows("non-differentiable-ignored")
def non_differentiable() -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        y = x * 2
        ctx.mark_non_differentiable(y)
        return y

    return function(forward, lambda ctx, g: g)(leaf(1)).requires_grad


@shows("once-differentiable-again")
def once() -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @once_differentiable
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2 * ctx.saved_tensors[0]

    x, seed = leaf(1), leaf(1)
    (g,) = torch.autograd.grad(function(forward, backward)(x), x, seed, create_graph=True)
    (g * x).backward()


@shows("gradient-count-unchecked")
def too_many() -> Any:
    x = leaf(1)
    return gradient(function(lambda ctx, x: x * 2, lambda ctx, g: (g, g))(x), x)
