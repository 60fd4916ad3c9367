"""Defects of hooks: their order, what they are given, what becomes of what they return, where they hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad import engine, views
from refgrad.autograd import graph
from refgrad.engine import _Task
from refgrad.graph import AccumulateGrad, Edge, HookDict, RemovableHandle
from refgrad.ops.record import OpNode
from refgrad.tensor import Tensor
from refgrad.testing.planting import Plant, Planting, attribute, function, together


def _retaining_first() -> Planting:
    run = _Task._tensor_hooks

    def early(self: Any, node: Any, gradient: Any) -> Any:
        hooks = node._hooks
        if isinstance(node, AccumulateGrad) or not hooks.retained:
            return run(self, node, gradient)
        registered, retained = hooks.tensor_hooks, hooks.retained
        try:
            hooks.tensor_hooks = {}
            run(self, node, gradient)
            hooks.tensor_hooks, hooks.retained = registered, {}
            return run(self, node, gradient)
        finally:
            hooks.tensor_hooks, hooks.retained = registered, retained

    return attribute(_Task, "_tensor_hooks", early)


def _calling_before_accumulation() -> Planting:
    accumulate, call = engine.accumulate_grad, engine._after_accumulation

    def late(variable: Tensor, gradient: Any, raw: bool) -> None:
        if variable._after:
            call(variable)
        accumulate(variable, gradient, raw)

    return together(function(accumulate, late), function(call, lambda variable: None))


def _ignoring_result(place: str) -> Planting:
    """Of hooks that `_Task` runs in the method of this name."""
    run = getattr(_Task, place)

    def ignoring(self: Any, node: Any, gradient: Any) -> Any:
        run(self, node, gradient)
        return gradient

    return attribute(_Task, place, ignoring)


def _ignoring_result_of_posthooks() -> Planting:
    run = _Task._posthooks

    def ignoring(self: Any, node: Any, made: Any, gradient: Any) -> Any:
        run(self, node, made, gradient)
        return list(made)

    return attribute(_Task, "_posthooks", ignoring)


def _computing_unneeded() -> Planting:
    apply, fitted = OpNode._apply, _Task._fitted
    return together(
        attribute(OpNode, "_apply", lambda self, F, raw, gradient, needed: apply(self, F, raw, gradient, None)),
        attribute(_Task, "_fitted", lambda self, node, made, needed: fitted(self, node, made, None)),
    )


def _following_writes() -> Planting:
    rebase = views.rebase

    def follow(target: Tensor, edge: Edge) -> None:
        old = None if target._view is not None else target._edge
        rebase(target, edge)
        hooks = None if old is None or old[0] is None else old[0]._hooks
        if hooks is not None and old is not None and old[1] in hooks.tensor_hooks and edge[0] is not None:
            edge[0].ensure_hooks().tensor_hooks[edge[1]] = hooks.tensor_hooks.pop(old[1])

    return function(rebase, follow)


def _newest_first(self: HookDict) -> Any:
    return list(dict.values(self))[::-1]


def _call_each_time(self: Any, gradient: Tensor) -> None:
    self.hook(gradient)


def _no_move(old: Edge, new: Edge) -> None:
    pass


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "hook", description, apply)


PLANTS = (
    _plant(
        "hooks-newest-first",
        "the hook that was registered last is called first",
        lambda: attribute(HookDict, "values", _newest_first),
    ),
    _plant(
        "retain-grad-before-hooks",
        "retain_grad keeps the gradient as it was before the tensor's hooks",
        _retaining_first,
    ),
    _plant(
        "retain-grad-left-behind",
        "retain_grad stays with the node that a write has replaced",
        lambda: function(views.move_retained, _no_move),
    ),
    _plant(
        "post-accumulate-too-early",
        "post-accumulate hooks run before the gradient is accumulated",
        _calling_before_accumulation,
    ),
    _plant(
        "hook-result-ignored",
        "the gradient that a tensor's hook returns is ignored",
        lambda: _ignoring_result("_tensor_hooks"),
    ),
    _plant(
        "prehook-result-ignored",
        "the gradients that a node's prehook returns are ignored",
        lambda: _ignoring_result("_prehooks"),
    ),
    _plant(
        "node-hook-result-ignored",
        "the gradients that a node's hook returns are ignored",
        _ignoring_result_of_posthooks,
    ),
    _plant(
        "node-hook-sees-unneeded",
        "a node's hook is given gradients that nobody asked for",
        _computing_unneeded,
    ),
    _plant(
        "hooks-follow-write",
        "hooks of a tensor move to the node that a write gives it",
        _following_writes,
    ),
    _plant(
        "removed-hook-stays",
        "remove() of a hook's handle does nothing",
        lambda: attribute(RemovableHandle, "remove", lambda self: None),
    ),
    _plant(
        "multi-hook-every-time",
        "a hook on any of several tensors is called with the gradient of each",
        lambda: attribute(graph._First, "__call__", _call_each_time),
    ),
)
