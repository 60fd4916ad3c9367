"""Defects of views: how their place in the graph follows writes into shared memory, and which may be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad import views
from refgrad.graph import Edge
from refgrad.tensor import Tensor
from refgrad.testing.planting import Plant, Planting, attribute, function, together
from refgrad.views import MULTI_OUTPUT, NO_GRAD, CopySlices, View


def _leaving_base() -> Planting:
    rebase = views.rebase

    def only_view(target: Tensor, edge: Edge) -> None:
        view = target._view
        if view is None:
            rebase(target, edge)
            return
        view.edge, view.version = edge, target._counter[0]
        target._rg, target._inherits = True, False

    return function(rebase, only_view)


def _leaving_siblings() -> Planting:
    rebase, current = views.rebase, View.current
    writing = [False]

    def written(target: Tensor, edge: Edge) -> None:
        writing[0] = True
        try:
            rebase(target, edge)
        finally:
            writing[0] = False

    def stale(self: View, tensor: Tensor) -> Edge | None:
        return current(self, tensor) if writing[0] or self.edge is None else self.edge

    return together(function(rebase, written), attribute(View, "current", stale))


def _writable(kind: int) -> Planting:
    check = View.check_writable

    def lenient(self: View, indirect: bool = False) -> None:
        if self.creation != kind:
            check(self, indirect)

    return attribute(View, "check_writable", lenient)


def _keeping_old_gradient() -> Planting:
    apply = CopySlices._apply

    def leaky(self: CopySlices, names: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        made = list(apply(self, names, raw, gradient, needed))
        return made if made[0] is None else [gradient, *made[1:]]

    return attribute(CopySlices, "_apply", leaky)


def _forgetting_offset() -> Planting:
    make = CopySlices.__init__

    def at_start(self: CopySlices, base: Tensor, target: Tensor, write: Any) -> None:
        make(self, base, target, write)
        if self.part is not None:
            self.part = (*self.part[:2], self.geometry[2])

    return attribute(CopySlices, "__init__", at_start)


def _inherit_now(self: Tensor) -> None:
    assert self._view is not None
    if self._view.base._rg:
        self._rg = self._inherits = True


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "view", description, apply)


PLANTS = (
    _plant(
        "view-write-not-rebased",
        "a write through a view leaves its base with the history of before",
        _leaving_base,
    ),
    _plant(
        "sibling-view-stale",
        "a view keeps its grad_fn when its base or another view is written",
        _leaving_siblings,
    ),
    _plant(
        "multi-output-view-writable",
        "views that came several at once may be written",
        lambda: _writable(MULTI_OUTPUT),
    ),
    _plant("no-grad-view-writable", "views made under no_grad may be written in grad mode", lambda: _writable(NO_GRAD)),
    _plant(
        "old-gradient-through-slices",
        "the gradient of a part that was overwritten still flows to what was there before",
        _keeping_old_gradient,
    ),
    _plant(
        "view-offset-forgotten",
        "a write through a view takes the gradient at the start of its base",
        _forgetting_offset,
    ),
    _plant(
        "view-misses-requires-grad",
        "a view does not learn that its base requires grad from now on",
        lambda: attribute(Tensor, "_inherit", _inherit_now),
    ),
)
