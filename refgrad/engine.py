"""Backward: walks the graph from the roots, newest node first, and delivers gradients.

Iterative throughout, so the depth of a graph is bounded by memory alone. In a plain backward
gradients are bare arrays; under `create_graph` they are tensors and everything done to them is
recorded; in forward mode they are tensors, which may have tangents. Order and rules are torch's: a
node runs when every gradient that can reach it has arrived; among the ready ones the latest created
runs first, and leaves come before all others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from refgrad.anomaly import check_nan, tell_origin
from refgrad.counters import bump
from refgrad.devices import MODULES, NUMPY, Array, current_device_kept
from refgrad.dtypes import FROM_NUMPY
from refgrad.graph import AccumulateGrad, Edge, HookDict, Node
from refgrad.layout import STRETCHED, copy_order, is_dense, is_stretched
from refgrad.modes import anomaly, local
from refgrad.mutation import spare
from refgrad.ops.names import TENSORS, names_for
from refgrad.ops.record import broadcast_error
from refgrad.tensor import Tensor, wrap

DEPTH = 60  # backward passes within each other on one thread; the next go to a thread of their own, as in torch


def run(
    roots: Sequence[Edge],
    seeds: Sequence[Tensor],
    *,
    keep_graph: bool,
    create_graph: bool,
    captures: dict[Edge, list[int]] | None = None,
    targets: Sequence[Edge] | None = None,
) -> list[Tensor | None]:
    """Deliver `seeds` to `roots` and go on until nothing is ready.

    With `captures` (edge -> positions in the result) only what leads to those edges runs, and the
    gradients that reach them are returned. With `targets` only what leads to the nodes of those edges
    runs, they included. Without either everything runs.
    """
    modes = local.modes
    outer = modes.backward
    if modes.depth >= DEPTH:
        return _elsewhere(
            lambda: run(
                roots,
                seeds,
                keep_graph=keep_graph,
                create_graph=create_graph,
                captures=captures,
                targets=targets,
            )
        )
    # A seed that requires grad may be returned, or a view of it: that is for tensors to say, not for arrays.
    raw = not (create_graph or modes.forward is not None or any([seed._rg for seed in seeds]))
    task = _Task(roots, keep_graph, raw, captures, targets, outer)
    before = modes.grad_enabled
    modes.set_grad(create_graph)
    modes.backward = task
    modes.depth += 1
    try:
        if not raw:
            task.run(roots, list(seeds), TENSORS)
        else:
            arrays = [t._data for t in seeds]
            task.tensors.update({id(t._data): (t._data, t) for t in seeds})
            names = names_for(arrays[0]) if arrays else None
            with current_device_kept():
                task.run(roots, arrays, names)
        task.at = None
        for callback in task.callbacks:  # which may add more
            callback()
    except Exception:
        if anomaly.enabled and task.at is not None:
            tell_origin(task.at)
        raise
    finally:
        modes.set_grad(before)
        modes.backward = outer
        modes.depth -= 1
    return task.results


def _elsewhere(work: Callable[[], Any]) -> Any:
    """The result of `work`, or its exception, from a new thread that has the modes of this one."""
    here, found, raised = local.modes, [], []

    def call() -> None:
        local.modes.take_over(here)
        try:
            found.append(work())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return found[0]


class _Task:
    """One backward pass. In anomaly mode it tells which node it is at."""

    at: Node | None = None
    _reached: set[Node] | None = None

    def __init__(
        self,
        roots: Sequence[Edge],
        keep_graph: bool,
        raw: bool,
        captures: dict[Edge, list[int]] | None,
        targets: Sequence[Edge] | None,
        outer: _Task | None,
    ) -> None:
        self.roots = roots
        self.outer = outer
        self.keep_graph = keep_graph
        self.raw = raw
        self.reaches_all: bool = captures is None and targets is None and (outer is None or outer.reaches_all)
        self.callbacks: list[Callable[[], Any]] = []
        self.results: list[Tensor | None] = []
        self.captures: dict[Node, dict[int, list[int]]] = {}
        self.tensors: dict[int, tuple[Any, Tensor]] = {}  # seeds and results by `id` of their arrays, kept beside
        self.targets = None if targets is None else [node for node, _ in targets if node is not None]
        self.wanted: set[Node] | None = None  # the nodes to run; None for all
        if captures is not None:
            for (node, number), positions in captures.items():
                if node is not None:  # nothing can reach a view that requires grad for its base's sake only
                    self.captures.setdefault(node, {})[number] = positions
            self.results = [None] * sum(map(len, captures.values()))

    def executes(self, node: Node) -> bool:
        """Whether the pass delivers a gradient to `node`: it is reached, and led to what is asked for.

        RuntimeError for a leaf that a pass of `grad` captures.
        """
        if self._reached is None:
            self._reached = set(self._dependencies(self.roots))
            if len(self.roots) > 1:  # torch forgets the only root of a pass
                self._reached.update([root for root, _ in self.roots if root is not None])
        if node not in self._reached or self.wanted is None:
            return node in self._reached
        if node in self.captures and isinstance(node, AccumulateGrad):
            raise RuntimeError(
                "A leaf node was passed to _will_engine_execute_node but we are currently running autograd.grad(). "
                "This is currently not supported."
            )
        return node in self.wanted or node in self.captures

    def run(self, roots: Sequence[Edge], seeds: list[Any], names: Any) -> None:
        waiting = self._dependencies(roots)
        if self.results:
            self.wanted = self._leading_to(roots, self.captures)
        elif self.targets is not None:
            self.wanted = self._leading_to(roots, self.targets).union(self.targets)
        raw, keep, captures, wanted = self.raw, self.keep_graph, self.captures, self.wanted
        switching = raw and len(MODULES) > 1  # more than one array package may be at work
        call, watched = local.modes.run, anomaly.enabled
        gradients: dict[Node, Any] = {}  # of nodes that wait; a list for several outputs
        ready: list[tuple[float, int, Node]] = []
        order = 0
        for (root, number), seed in zip(roots, seeds, strict=True):
            assert root is not None
            shape, dtype = root._meta[number]
            data = seed if raw else seed._data
            if data.shape != shape:  # the tensor has another shape since, which no node knows of
                seed = self._fit(None, 0, seed, shape, dtype, names)
            if waiting.get(root, 0) == 0 and root not in gradients:
                heappush(ready, (-root._sequence, order, root))
                order += 1
            self._deliver(gradients, root, number, seed)

        node: Node | None = None
        while ready or node is not None:
            if node is None:
                node = heappop(ready)[2]
            gradient = gradients.pop(node, None)
            if watched:
                self.at = node
            if switching and gradient is not None:
                first = _first(gradient)
                names = names_for(first)
                MODULES.get(type(first), NUMPY).use_device_of(first)
            if wanted is not None:
                runs = node in wanted
                if not runs and (node in captures or len(roots) == 1) and _has_tensor_hooks(node):
                    gradient = self._tensor_hooks(node, gradient)
                if node in captures:  # a node that runs is captured before its hooks, as in torch
                    self._capture(node, gradient)
                if not runs:
                    node = None  # what lies behind is not asked for
                    continue
            hooked = node._hooks is not None
            if hooked or type(node) is AccumulateGrad:
                if _has_tensor_hooks(node):
                    gradient = self._tensor_hooks(node, gradient)
                if hooked and node._hooks.before:  # type: ignore[union-attr]
                    gradient = self._prehooks(node, gradient)
            if type(node) is AccumulateGrad:
                if gradient is not None:
                    accumulate_grad(node.variable, gradient, raw)
                if node.variable._after:
                    _after_accumulation(node.variable)
                if hooked and node._hooks.after:  # type: ignore[union-attr]
                    self._posthooks(node, (), gradient)
                node = None
                continue
            edges = node.next_functions
            needed = None
            if wanted is not None:
                needed = [e[0] is not None and (e[0] in wanted or e[0] in captures) for e in edges]
            if gradient is None and not node.takes_undefined:
                node._undefined()
                made: Any = (None,) * len(edges)
            elif node._user_code:
                made = self._by_user(node, names, gradient, needed)
            elif raw:
                if hooked and node._hooks.packed:  # type: ignore[union-attr]
                    made = self._with_unpacked(node, names, gradient, needed)
                else:
                    made = call(node._apply, names, True, gradient, needed)
            else:
                made = node._apply(names, False, gradient, needed)
            if hooked and node._hooks.after:  # type: ignore[union-attr]
                made = self._posthooks(node, self._fitted(node, made, needed), gradient)
            if watched:
                made = self._fitted(node, made, needed)
                check_nan(node, made)
                self.at = None
            if not keep:
                node._release()
            following = None
            for k, g in enumerate(made):
                target, number = edges[k]
                if target is None or (needed is not None and not needed[k]):
                    continue
                if g is not None:
                    shape, dtype = target._meta[number]
                    data = g if raw else g._data
                    if data.shape != shape or data.dtype is not dtype:
                        g = self._fit(node, k, g, shape, dtype, names)
                    if target in gradients or len(target._meta) > 1:
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
                        heappush(ready, (-target._sequence, order, target))
                        order += 1
            if following is not None and ready:
                heappush(ready, (-following._sequence, -1, following))
                following = None
            node = following

    def _by_user(self, node: Node, names: Any, gradient: Any, needed: Any) -> Any:
        """A derivative that the user wrote, all of it checked, in the NumPy state of the user."""
        return self._fitted(node, node._apply(names, self.raw, gradient, needed), None)

    def _with_unpacked(self, node: Node, names: Any, gradient: Any, needed: Any) -> Any:
        """A derivative on arrays, of a node that has to unpack first."""
        found = node._unpack()
        try:
            return local.modes.run(node._apply, names, True, gradient, needed)
        except ValueError:
            raise broadcast_error(gradient, *found) from None  # hooks gave back another shape

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

    def _leading_to(self, roots: Sequence[Edge], ends: Iterable[Any]) -> set[Node]:
        """The nodes from which one of `ends` can be reached: only they need to run."""
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
        stack = list(ends)
        while stack:
            for user in users.get(stack.pop(), ()):
                if user not in found:
                    found.add(user)
                    stack.append(user)
        return found

    def _deliver(self, gradients: dict[Node, Any], node: Node, number: int, g: Any) -> None:
        """Add `g` to what has arrived for one output of `node`. Never in place: `g` may be shared."""
        if len(node._meta) == 1:
            before = gradients.get(node)
            gradients[node] = g if before is None else self._add(before, g)
            return
        slots = gradients.get(node)
        if slots is None:
            slots = gradients[node] = [None] * len(node._meta)
        slots[number] = g if slots[number] is None else self._add(slots[number], g)

    def _add(self, a: Any, b: Any) -> Any:
        return local.modes.run(_sum, a, b) if self.raw else a + b

    def _fit(self, node: Node | None, k: int, g: Any, shape: tuple[int, ...], dtype: Any, names: Any) -> Any:
        """A gradient summed to the shape that was broadcast, in the dtype of its tensor."""
        found = (g if self.raw else g._data).shape
        if found != shape:
            if not _reaches(found, shape):
                which = "" if node is None else f"Function {node.name()} returned an "
                raise RuntimeError(
                    f"{which}invalid gradient at index {k} - got {list(found)} but expected shape compatible with "
                    f"{list(shape)}"
                )
            g = local.modes.run(names.sum_to, g, shape=shape) if self.raw else names.sum_to(g, shape=shape)
        data = g if self.raw else g._data
        if data.dtype is not dtype and dtype is not None:
            if data.dtype.kind == "c" and dtype.kind == "f":
                if node is not None and node._user_code:
                    raise RuntimeError(
                        "Expected isFloatingType(grad.scalar_type()) || (input_is_complex == grad_is_complex) to be "
                        "true, but got false.  (Could this error message be improved?  If so, please report an "
                        "enhancement request to PyTorch.)"
                    )
                g = names.real(g)
            if self.raw:
                return g.astype(dtype)
            return names.cast(g, FROM_NUMPY[dtype])
        return g

    def _fitted(self, node: Node, made: Any, needed: Any) -> list[Any]:
        """All that a node computed, as its hooks see it: in the shapes and dtypes of its inputs.

        What the user computed though it is not needed stays.
        """
        fitted, all_stay = list(made), node._user_code or node.gives_all
        for k, (target, number) in enumerate(node.next_functions):
            g = fitted[k]
            if g is None:
                continue
            if target is not None and (needed is None or needed[k] or all_stay):
                shape, dtype = target._meta[number]
                data = g if self.raw else g._data
                if data.shape != shape or data.dtype is not dtype:
                    if self.raw and len(MODULES) > 1:
                        MODULES.get(type(g), NUMPY).use_device_of(g)
                    fitted[k] = self._fit(node, k, g, shape, dtype, names_for(g) if self.raw else TENSORS)
            elif not all_stay:
                fitted[k] = None
        return fitted

    def _capture(self, node: Node, gradient: Any) -> None:
        for number, positions in self.captures[node].items():
            g = gradient[number] if len(node._meta) > 1 and gradient is not None else gradient
            made = g
            if g is not None and self.raw:
                made = self._tensor(g)
                self.tensors[id(g)] = g, made  # while the array is kept, no other has its id
            for position in positions:
                self.results[position] = made

    def _tensor(self, g: Any) -> Any:
        """A gradient as the tensor that is seen: always the same one for a seed and for a result."""
        if not self.raw or g is None:
            return g
        known = self.tensors.get(id(g))
        return _as_tensor(g) if known is None else known[1]

    def _slots(self, node: Node, gradient: Any) -> list[Any]:
        """The gradients of all outputs of a node, as tensors."""
        slots = gradient if type(gradient) is list else [gradient] * len(node._meta)
        return [self._tensor(g) for g in slots]

    def _gradient(self, node: Node, slots: Sequence[Tensor | None]) -> Any:
        """The reverse: what a node is given, which is None if all gradients are undefined."""
        found = [g._data if self.raw and g is not None else g for g in slots]
        if len(node._meta) == 1:
            return found[0]
        return None if all(g is None for g in found) else found

    def _tensor_hooks(self, node: Node, gradient: Any) -> Any:
        """Run the hooks of the tensors that a node made, then let `retain_grad` see their gradients."""
        slots = self._slots(node, gradient)
        if isinstance(node, AccumulateGrad):
            hooks: dict[int, HookDict] = {0: node.variable._hooks or HookDict()}
            retained: dict[int, Any] = {}
        else:
            assert node._hooks is not None
            hooks, retained = node._hooks.tensor_hooks, node._hooks.retained
        for number, registered in hooks.items():
            for hook in list(registered.values()):
                answer = hook(slots[number])
                if answer is not None:
                    slots[number] = _replaced(slots[number], answer, hook)
        for number, reference in retained.items():
            tensor, g = reference(), slots[number]
            if tensor is not None and g is not None:
                if tensor._grad is not None:
                    tensor._grad = tensor._grad + g
                else:
                    tensor._grad = (g if g.is_contiguous() else g.contiguous()).clone()
        return self._gradient(node, slots)

    def _prehooks(self, node: Node, gradient: Any) -> Any:
        assert node._hooks is not None
        slots = self._slots(node, gradient)
        for hook in list(node._hooks.before.values()):
            slots = _answered(slots, hook(tuple(slots)), hook)
        return self._gradient(node, slots)

    def _posthooks(self, node: Node, made: Sequence[Any], gradient: Any) -> list[Any]:
        assert node._hooks is not None
        given = tuple(self._slots(node, gradient))
        slots = [self._tensor(g) for g in made]
        for hook in list(node._hooks.after.values()):
            slots = _answered(slots, hook(tuple(slots), given), hook)
        return [g._data if self.raw and g is not None else g for g in slots]


def _has_tensor_hooks(node: Node) -> bool:
    if type(node) is AccumulateGrad:
        return bool(node.variable._hooks)
    return node._hooks is not None and bool(node._hooks.tensor_hooks or node._hooks.retained)


def _after_accumulation(variable: Tensor) -> None:
    assert variable._after is not None
    for hook in list(variable._after.values()):
        answer = hook(variable)
        if answer is not None:
            raise TypeError(f"expected Variable, but hook returned '{type(answer).__name__}'")


def call_node(node: Node, gradients: Sequence[Any]) -> Any:
    """What calling a node gives: a tuple, or the only gradient. Recorded as any other computing."""
    if isinstance(node, AccumulateGrad):
        if gradients[0] is not None:
            accumulate_grad(node.variable, gradients[0], False)
        return ()
    made = node._apply(TENSORS, False, list(gradients) if len(node._meta) > 1 else gradients[0], None)
    found = tuple([g if target is not None else None for g, (target, _) in zip(made, node.next_functions, strict=True)])
    return found[0] if len(found) == 1 else found


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


def _replaced(given: Tensor | None, answer: Any, hook: Callable[..., Any]) -> Tensor:
    """What a hook gives instead of a gradient, checked."""
    name = getattr(hook, "__name__", type(hook).__name__)
    if not isinstance(answer, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(answer).__name__}'")
    if given is None:
        raise RuntimeError("can't replace a None gradient with a non-None value")
    if answer._data.dtype != given._data.dtype:
        raise RuntimeError(
            f"hook '{name}' has changed the type of value (was {given.type()} got {answer.type()})"
        )
    if answer._data.shape != given._data.shape:
        raise RuntimeError(f"hook '{name}' has changed the size of value")
    return answer


def _answered(slots: list[Tensor | None], answer: Any, hook: Callable[..., Any]) -> list[Tensor | None]:
    """What a hook of a node gives instead of gradients, checked; the same if it gives None."""
    if answer is None:
        return slots
    if not isinstance(answer, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(answer).__name__}'")
    if len(answer) != len(slots):
        name = getattr(hook, "__name__", type(hook).__name__)
        raise RuntimeError(
            f"hook '{name}' has returned an incorrect number of values (got {len(answer)}, but expected {len(slots)})"
        )
    return [None if new is None else _replaced(old, new, hook) for old, new in zip(slots, answer, strict=True)]


_accumulating = threading.RLock()


def accumulate_grad(variable: Tensor, gradient: Any, raw: bool) -> None:
    """Add a gradient into `variable.grad`, as torch's AccumulateGrad does.

    The first one is copied into the layout of the variable (it may be shared or expanded); later
    ones are added in place, so that the tensor seen as `.grad` stays the same object. Under
    `create_graph` the sum is a new tensor with history.
    """
    if variable._current_edge() is not None:
        raise RuntimeError("leaf variable has been moved into the graph interior")
    if not variable._rg:
        return  # frozen since the forward pass
    with _accumulating:  # threads may meet at a shared leaf, and NumPy lets them run while it adds
        _accumulate(variable, gradient, raw)


def _accumulate(variable: Tensor, gradient: Any, raw: bool) -> None:
    before = variable._grad
    if not local.modes.grad_enabled:
        if before is None:
            leaf = variable._data
            found = gradient if raw else gradient._data
            if found.shape != leaf.shape and _lies_as(found, leaf):  # as torch takes it: the leaf was reshaped in place
                variable._grad = wrap(found.copy())
                return
            made = MODULES[type(leaf)].empty_like(leaf, order=copy_order(leaf), dtype=found.dtype)
            if found.shape == leaf.shape:
                made[...] = found
                variable._grad = wrap(made)
            else:
                variable._grad = wrap(made).copy_(_as_tensor(gradient) if raw else gradient)
        elif not raw:
            before.add_(gradient)
        else:
            data = before._data
            if data.shape != gradient.shape:  # `.grad` is of an old shape
                before.add_(_as_tensor(gradient))
                return
            if is_stretched(data):
                raise RuntimeError(STRETCHED)
            spare(before)
            local.modes.run(np.add if type(data) is np.ndarray else _add_into, data, gradient, data)
            bump(before._counter)
        return
    if before is None:
        leaf = variable._data
        made = MODULES[type(leaf)].empty_like(leaf, dtype=gradient._data.dtype)
        variable._grad = TENSORS.copy(wrap(made), gradient)
        if is_dense(leaf):
            bump(variable._grad._counter)  # torch copies into it
    else:
        variable._grad = before + gradient


def _lies_as(gradient: Array, leaf: Array) -> bool:
    """Whether a gradient of another shape than its leaf's has the layout that torch wants for it."""
    if not is_dense(leaf):
        return True
    strides = zip(gradient.shape, gradient.strides, leaf.strides, strict=False)
    return all(size == 1 or mine == theirs for size, mine, theirs in strides)


def _add_into(data: Array, gradient: Array, out: Array) -> None:
    out += gradient
