"""Defects of custom functions: what `ctx` tells and keeps, and what is checked of what the user returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad.autograd import context
from refgrad.autograd import function as custom
from refgrad.autograd.context import CallNode, FunctionCtx
from refgrad.dtypes import FROM_NUMPY
from refgrad.engine import _Task
from refgrad.modes import local
from refgrad.ops.constants import zeros
from refgrad.tensor import Tensor
from refgrad.testing.planting import Plant, Planting, attribute


def _needing_all() -> Planting:
    make = CallNode.__init__

    def all_of_them(self: CallNode, args: tuple[Any, ...]) -> None:
        make(self, args)
        self.needs_input_grad = tuple([isinstance(a, Tensor) for a in args])

    return attribute(CallNode, "__init__", all_of_them)


def _returning_another() -> Planting:
    settle = CallNode._settle

    def another(t: Any, dirty: tuple[Any, ...]) -> Any:
        if not any(t is d for d in dirty):
            return t
        made, edge = t.detach(), t._current_edge()
        if edge is not None:
            made._place(edge)
        return made

    def settled(self: CallNode, args: Any, made: Any, with_ctx: bool) -> Any:
        dirty = self.dirty_tensors or ()
        outputs = settle(self, args, made, with_ctx)
        return tuple([another(t, dirty) for t in outputs]) if isinstance(outputs, tuple) else another(outputs, dirty)

    return attribute(CallNode, "_settle", settled)


def _checking(change: Callable[[CallNode, Any, Callable[..., Any]], Any]) -> Planting:
    """Another check of what the user's `backward` returns, given the node, that, and the true check."""
    checked: Any = CallNode.__dict__["_CallNode__checked"]
    return attribute(CallNode, "_CallNode__checked", lambda self, made: change(self, made, checked))


def _filled(self: CallNode, made: Any, checked: Any) -> list[Any]:
    found = checked(self, made)
    for k, (target, number) in enumerate(self.next_functions):
        if found[k] is None and target is not None:
            shape, dtype = target._meta[number]
            found[k] = zeros(shape, dtype=FROM_NUMPY[dtype])
    return found


def _any_number(self: CallNode, made: Any, checked: Any) -> list[Any]:
    expected = len(self.needs_input_grad)
    return checked(self, (*made, *[None] * expected)[:expected])


class _NoError:
    """Results of a `backward` that must not be differentiated again, as if they were constants."""

    def __init__(self, results: Any) -> None:
        pass

    def output(self, number: int, value: Any) -> Any:
        return value


def _recording() -> Planting:
    derive = _Task._by_user

    def recording(self: _Task, *args: Any) -> Any:
        modes = local.modes
        before = modes.grad_enabled
        modes.set_grad(True)
        try:
            return derive(self, *args)
        finally:
            modes.set_grad(before)

    return attribute(_Task, "_by_user", recording)


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "custom function", description, apply)


PLANTS = (
    _plant("needs-input-grad-always", "needs_input_grad is true for every tensor", _needing_all),
    _plant(
        "mark-dirty-uncounted",
        "mark_dirty does not count as a write",
        lambda: attribute(context, "bump", lambda counter: None),
    ),
    _plant(
        "mark-dirty-new-object",
        "an input that was marked as dirty comes back as another tensor",
        _returning_another,
    ),
    _plant("custom-backward-records", "a custom backward runs in grad mode", _recording),
    _plant("no-gradient-is-zeros", "None from a custom backward becomes zeros", lambda: _checking(_filled)),
    _plant(
        "always-materializes",
        "set_materialize_grads(False) is ignored",
        lambda: attribute(FunctionCtx, "set_materialize_grads", lambda self, value: None),
    ),
    _plant(
        "non-differentiable-ignored",
        "mark_non_differentiable is ignored",
        lambda: attribute(FunctionCtx, "mark_non_differentiable", lambda self, *args: None),
    ),
    _plant(
        "once-differentiable-again",
        "a gradient that is once_differentiable counts as a constant when it is differentiated",
        lambda: attribute(custom, "Error", _NoError),
    ),
    _plant(
        "gradient-count-unchecked",
        "a custom backward may return too few or too many",
        lambda: _checking(_any_number),
    ),
)
