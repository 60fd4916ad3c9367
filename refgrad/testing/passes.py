"""Defects of the backward pass: where it starts, what it runs and frees, and what it looks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from refgrad import anomaly, autograd, engine
from refgrad.graph import Edge
from refgrad.tensor import Tensor
from refgrad.testing.planting import Plant, Planting, attribute, function


def _changed(change: Callable[..., Any]) -> Planting:
    """`change(run, roots, seeds, **how)` in the place of the pass."""
    run = engine.run

    def changed(roots: Sequence[Edge], seeds: Sequence[Tensor], **how: Any) -> Any:
        return change(run, roots, seeds, **how)

    return function(run, changed)


def _to_all(run: Any, roots: Any, seeds: Any, *, targets: Any = None, **how: Any) -> Any:
    return run(roots, seeds, **how)


def _from_each_once(run: Any, roots: Any, seeds: Any, **how: Any) -> Any:
    once = dict(zip(roots, seeds, strict=True))
    return run(list(once), list(once.values()), **how)


def _freeing_all(run: Any, roots: Any, seeds: Any, **how: Any) -> Any:
    found = run(roots, seeds, **how)
    if not how["keep_graph"]:
        stack = [node for node, _ in roots]
        seen = set(stack)
        while stack:
            node = stack.pop()
            node._release()
            for target, _ in node.next_functions:
                if target is not None and target not in seen:
                    seen.add(target)
                    stack.append(target)
    return found


def _freeing_created(run: Any, roots: Any, seeds: Any, *, keep_graph: bool, create_graph: bool, **how: Any) -> Any:
    return run(roots, seeds, keep_graph=keep_graph and not create_graph, create_graph=create_graph, **how)


def _detaching_seeds() -> Planting:
    check = autograd._given_seed
    return function(check, lambda k, out, given: check(k, out, given).detach())


def _keeping_detached() -> Planting:
    detach = Tensor.detach_

    def keep(self: Tensor) -> Tensor:
        return detach(self) if self._view is not None or self._edge is None else self

    return attribute(Tensor, "detach_", keep)


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "backward pass", description, apply)


PLANTS = (
    _plant("inputs-ignored", "backward(inputs=...) accumulates into all leaves", lambda: _changed(_to_all)),
    _plant("duplicate-root-once", "a root that is given twice counts once", lambda: _changed(_from_each_once)),
    _plant("pruned-freed", "branches that a pass did not run are freed too", lambda: _changed(_freeing_all)),
    _plant("create-graph-frees", "create_graph does not keep the graph", lambda: _changed(_freeing_created)),
    _plant("seed-detached", "a gradient that is given does not take part in second derivatives", _detaching_seeds),
    _plant("detach-in-place-keeps", "detach_ leaves a tensor in the graph", _keeping_detached),
    _plant(
        "anomaly-misses-nan",
        "anomaly mode does not look for NaN",
        lambda: function(anomaly.check_nan, lambda node, gradients: None),
    ),
)
