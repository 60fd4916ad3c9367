"""Backward: walks the graph from the roots, newest node first, and delivers gradients.

Iterative throughout, so the depth of a graph is bounded by memory alone. In a plain backward
gradients are bare arrays; under `create_graph` they are tensors and everything done to them is
recorded. Order and rules are torch's: a node runs when every gradient that can reach it has
arrived; among the ready ones the latest created runs first, and leaves come before all others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from refgrad.devices import MODULES, NUMPY, Array, current_device_kept
from refgrad.dtypes import FROM_NUMPY
from refgrad.graph import AccumulateGrad, Edge, Node
from refgrad.layout import STRETCHED, copy_order, is_stretched
from refgrad.modes import state
from refgrad.ops.names import TENSORS, names_for
from refgrad.tensor import Tensor, wrap


def run(
    roots: Sequence[Edge],
    seeds: Sequence[Tensor],
    *,
    keep_graph: bool,
    create_graph: bool,
    captures: dict[Edge, list[int]] | None,
    accumulate: bool,
) -> list[Tensor | None]:
    """Deliver `seeds` to `roots` and go on until nothing is ready.

    With `captures` (edge -> positions in the result) only what leads to those edges runs, and the
    gradients that reach them are returned; `accumulate` then tells whether captured leaves also
    get them added into `.grad`. Without, every leaf accumulates.
    """
    task = _Task(keep_graph, create_graph, captures, accumulate)
    before = state.grad_enabled
    state.grad_enabled = create_graph
    try:
        if create_graph:
            task.run(roots, list(seeds), TENSORS)
        else:
            arrays = [t._data for t in seeds]
            names = names_for(arrays[0]) if arrays else None
            with current_device_kept():
                task.run(roots, arrays, names)
    finally:
        state.grad_enabled = before
    return task.results


class _Task:
    """One backward pass."""

    def __init__(
        self,
        keep_graph: bool,
        create_graph: bool,
        captures: dict[Edge, list[int]] | None,
        accumulate: bool,
    ) -> None:
        self.keep_graph = keep_graph
        self.raw = not create_graph
        self.accumulate = accumulate
        self.results: list[Tensor | None] = []
        self.captures: dict[Node, dict[int, list[int]]] = {}
        self.captured: dict[int, tuple[Any, Tensor]] = {}  # by `id` of the array: one gradient is one tensor
        self.wanted: set[Node] | None = None
        if captures is not None:
            for (node, number), positions in captures.items():
                assert node is not None
                self.captures.setdefault(node, {})[number] = positions
            self.results = [None] * sum(map(len, captures.values()))

    def run(self, roots: Sequence[Edge], seeds: list[Any], names: Any) -> None:
        waiting = self._dependencies(roots)
        if self.captures:
            self.wanted = self._leading_to_captures(roots)
        raw, keep, captures, wanted = self.raw, self.keep_graph, self.captures, self.wanted
        switching = raw and len(MODULES) > 1  # more than one array package may be at work
        call = state.run
        gradients: dict[Node, Any] = {}  # of nodes that wait; a list for several outputs
        ready: list[tuple[float, int, Node]] = []
        order = 0
        for (root, number), seed in zip(roots, seeds, strict=True):
            assert root is not None
            if waiting.get(root, 0) == 0 and root not in gradients:
                heappush(ready, (-root.sequence, order, root))
                order += 1
            self._deliver(gradients, root, number, seed)

        node: Node | None = None
        while ready or node is not None:
            if node is None:
                node = heappop(ready)[2]
            gradient = gradients.pop(node, None)
            if switching and gradient is not None:
                first = _first(gradient)
                names = names_for(first)
                MODULES.get(type(first), NUMPY).use_device_of(first)
            capturing = captures and node in captures
            if capturing and wanted is not None and node in wanted:
                self._capture(node, gradient)  # a node that runs is captured before its hooks, as in torch
                capturing = False
            if node.hooks is not None or (type(node) is AccumulateGrad and node.variable._hooks):
                gradient = self._hooked(node, gradient)
            if capturing:
                self._capture(node, gradient)
            if type(node) is AccumulateGrad:
                if (wanted is None or node in captures and self.accumulate) and gradient is not None:
                    accumulate_grad(node.variable, gradient, raw)
                node = None
                continue
            if wanted is not None and node not in wanted:
                node = None  # only captured here: what lies behind is not asked for
                continue
            edges = node.next_functions
            needed = None
            if wanted is not None:
                needed = [e[0] is not None and (e[0] in wanted or e[0] in captures) for e in edges]
            if gradient is None:
                made: Any = (None,) * len(edges)
            else:
                if raw:
                    made = call(node.apply, names, True, gradient, needed)
                else:
                    made = node.apply(names, False, gradient, needed)
                if not keep:
                    node.release()
            following = None
            for k, g in enumerate(made):
                target, number = edges[k]
                if target is None or (needed is not None and not needed[k]):
                    continue
                if g is not None:
                    shape, dtype = target.meta[number]
                    data = g if raw else g._data
                    if data.shape != shape or data.dtype is not dtype:
                        if not _reaches(data.shape, shape):
                            raise RuntimeError(
                                f"Function {node.name()} returned an invalid gradient at index {k} - got "
                                f"{list(data.shape)} but expected shape compatible with {list(shape)}"
                            )
                        g = self._fit(g, shape, dtype, names)
                    if target in gradients or len(target.meta) > 1:
                        self._deliver(gradients, target, number, g)
                    else:
                        gradients[target] = g
                left = waiting[target] - 1
                if left:
                    waiting[target] = left
                else:
                    del waiting[target]
                    if following is None and not ready:
                        following = target
                    else:
                        heappush(ready, (-target.sequence, order, target))
                        order += 1
            if following is not None and ready:
                heappush(ready, (-following.sequence, -1, following))
                following = None
            node = following

    def _dependencies(self, roots: Sequence[Edge]) -> dict[Node, int]:
        """How many edges of the graph lead into each node that can be reached."""
        waiting: dict[Node, int] = {}
        stack: list[Any] = []
        seen = set()
        for node, _ in roots:
            if node not in seen:
                seen.add(node)
                stack.append(node)
        while stack:
            for target, _ in stack.pop().next_functions:
                if target is not None:
                    count = waiting.get(target)
                    if count is None:
                        waiting[target] = 1
                        if target not in seen:
                            stack.append(target)
                    else:
                        waiting[target] = count + 1
        return waiting

    def _leading_to_captures(self, roots: Sequence[Edge]) -> set[Node]:
        """The nodes from which a captured node can be reached: only they need to run."""
        users: dict[Node, list[Node]] = {}
        stack: list[Any] = [node for node, _ in roots]
        seen = set(stack)
        while stack:
            node = stack.pop()
            for target, _ in node.next_functions:
                if target is not None:
                    users.setdefault(target, []).append(node)
                    if target not in seen:
                        seen.add(target)
                        stack.append(target)
        found: set[Node] = set()
        stack = list(self.captures)
        while stack:
            for user in users.get(stack.pop(), ()):
                if user not in found:
                    found.add(user)
                    stack.append(user)
        return found

    def _deliver(self, gradients: dict[Node, Any], node: Node, number: int, g: Any) -> None:
        """Add `g` to what has arrived for one output of `node`. Never in place: `g` may be shared."""
        if len(node.meta) == 1:
            before = gradients.get(node)
            gradients[node] = g if before is None else self._add(before, g)
            return
        slots = gradients.get(node)
        if slots is None:
            slots = gradients[node] = [None] * len(node.meta)
        slots[number] = g if slots[number] is None else self._add(slots[number], g)

    def _add(self, a: Any, b: Any) -> Any:
        return state.run(_sum, a, b) if self.raw else a + b

    def _fit(self, g: Any, shape: tuple[int, ...], dtype: Any, names: Any) -> Any:
        """A gradient summed to the shape that was broadcast, in the dtype of its tensor."""
        if (g if self.raw else g._data).shape != shape:
            g = state.run(names.sum_to, g, shape=shape) if self.raw else names.sum_to(g, shape=shape)
        data = g if self.raw else g._data
        if data.dtype is not dtype:
            if data.dtype.kind == "c" and dtype.kind == "f":
                g = names.real(g)
            if self.raw:
                return g.astype(dtype)
            return names.cast(g, FROM_NUMPY[dtype])
        return g

    def _capture(self, node: Node, gradient: Any) -> None:
        for number, positions in self.captures[node].items():
            g = gradient[number] if len(node.meta) > 1 and gradient is not None else gradient
            made = g
            if g is not None and self.raw:
                # The array is kept beside its tensor: while it lives no other can have its id.
                _, made = self.captured.setdefault(id(g), (g, _as_tensor(g)))
            for position in positions:
                self.results[position] = made

    def _hooked(self, node: Node, gradient: Any) -> Any:
        """Run tensor hooks on a complete gradient, then let `retain_grad` see it."""
        several = len(node.meta) > 1
        slots: list[Any] = [gradient]
        if several:
            slots = [None] * len(node.meta) if gradient is None else list(gradient)
        if isinstance(node, AccumulateGrad):
            hooks: dict[int, Any] = {0: node.variable._hooks or {}}
            retained: dict[int, Any] = {}
        else:
            assert node.hooks is not None
            hooks, retained = node.hooks.tensor_hooks, node.hooks.retained
        for number, registered in hooks.items():
            for hook in list(registered.values()):
                if slots[number] is None:
                    continue
                given: Tensor = _as_tensor(slots[number]) if self.raw else slots[number]
                answer = hook(given)
                kept = given if answer is None else _checked(answer, given, hook)
                slots[number] = kept._data if self.raw else kept
        for number, reference in retained.items():
            tensor = reference()
            if tensor is not None and slots[number] is not None:
                g = _as_tensor(slots[number]).clone() if self.raw else slots[number]
                tensor._grad = g if tensor._grad is None else tensor._grad + g
        return slots if several else slots[0]


def _sum(a: Array, b: Array) -> Array:
    return a + b


def _reaches(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a gradient of one shape can be summed to another: that of an operand which was stretched."""
    lead = len(found) - len(wanted)
    return lead >= 0 and all(w in (1, n) for w, n in zip(wanted, found[lead:], strict=True))


def _first(gradient: Any) -> Any:
    if type(gradient) is list:
        return next(g for g in gradient if g is not None)
    return gradient


def _as_tensor(g: Any) -> Tensor:
    """An array as a tensor; NumPy's scalars become 0-dim arrays."""
    return wrap(g if type(g) in MODULES else NUMPY.asarray(g))


def _checked(answer: Any, given: Tensor, hook: Callable[..., Any]) -> Tensor:
    name = getattr(hook, "__name__", type(hook).__name__)
    if not isinstance(answer, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(answer).__name__}'")
    if answer._data.dtype != given._data.dtype:
        raise RuntimeError(
            f"hook '{name}' has changed the type of value (was {given.type()} got {answer.type()})"
        )
    if answer._data.shape != given._data.shape:
        raise RuntimeError(f"hook '{name}' has changed the size of value")
    return answer


_accumulating = threading.RLock()


def accumulate_grad(variable: Tensor, gradient: Any, raw: bool) -> None:
    """Add a gradient into `variable.grad`, as torch's AccumulateGrad does.

    The first one is copied into the layout of the variable (it may be shared or expanded); later
    ones are added in place, so that the tensor seen as `.grad` stays the same object. Under
    `create_graph` the sum is a new tensor with history.
    """
    if not variable._rg:
        return  # frozen since the forward pass
    with _accumulating:  # threads may meet at a shared leaf, and NumPy lets them run while it adds
        _accumulate(variable, gradient, raw)


def _accumulate(variable: Tensor, gradient: Any, raw: bool) -> None:
    before = variable._grad
    if raw:
        if before is None:
            leaf = variable._data
            made = MODULES[type(leaf)].empty_like(leaf, order=copy_order(leaf))
            made[...] = gradient
            variable._grad = wrap(made)
        else:
            data = before._data
            if is_stretched(data):
                raise RuntimeError(STRETCHED)
            state.run(np.add if type(data) is np.ndarray else _add_into, data, gradient, data)
            before._counter[0] += 1
        return
    if before is None:
        variable._grad = TENSORS.copy(wrap(MODULES[type(variable._data)].empty_like(variable._data)), gradient)
    else:
        variable._grad = before + gradient


def _add_into(data: Array, gradient: Array, out: Array) -> None:
    out += gradient
