"""The recorded graph in the user's hands: nodes, edges, hooks on several tensors, and what is saved how."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple

from refgrad.counters import UNCOUNTED
from refgrad.devices import device
from refgrad.graph import AccumulateGrad, Node, RemovableHandle
from refgrad.modes import local
from refgrad.mutation import Spared, without_cycle
from refgrad.ops.conversion import move
from refgrad.saved import pop_hooks, push_hooks
from refgrad.tensor import Tensor

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class GradientEdge(NamedTuple):
    """Where a gradient goes: `output_nr` of `node`. It stands for a tensor among roots and inputs of a backward pass.

    `ownership_token` is None: a node keeps its graph alive.
    """

    node: Node
    output_nr: int
    ownership_token: Node | None = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of `tensor` goes. RuntimeError for one that does not require grad."""
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients"
        )
    return GradientEdge(*_edge(tensor))


def _edge(tensor: Tensor) -> tuple[Node, int]:
    if tensor.requires_grad and tensor.is_leaf and local.modes.inference:
        # torch makes a view to find out, which has no node there
        raise AttributeError("'NoneType' object has no attribute 'next_functions'")
    node, number = tensor._gradient_edge()
    if node is None:
        raise AssertionError("Expected gradient function to be set")
    return node, number


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Count a write that the engine did not see, into one tensor or into each of several.

    Inference tensors count nothing. RuntimeError for anything but tensors.
    """
    if isinstance(tensor, Tensor):
        tensor = (tensor,)
    try:
        tensors = iter(tensor)
    except TypeError:
        raise RuntimeError("increment_version expect a Iterable[Tensor] as input") from None
    for t in tensors:
        if not isinstance(t, Tensor):
            raise RuntimeError("increment_version expects each element of the iterable to be a tensor")
        if t._counter is not UNCOUNTED:
            t._counter[0] += 1


class saved_tensors_hooks:
    """Within it, `pack_hook(tensor)` gives what operations keep instead of each tensor that they save for backward.

    `unpack_hook` gets that when the tensor is needed, and returns a tensor of the same values. Of several such
    contexts within each other the innermost counts. It is for this thread only. A write into what was packed is not
    noticed.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        push_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc_info: object) -> None:
        pop_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Within it, saved tensors lie on the CPU until they are needed. `pin_memory` and `device_type` change nothing."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(_to_cpu, _from_cpu)


def _to_cpu(tensor: Tensor) -> tuple[device, Tensor]:
    return tensor.device, move(without_cycle(tensor), device("cpu"))


def _from_cpu(packed: tuple[device, Tensor]) -> Tensor:
    where, tensor = packed
    return move(tensor, where)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Generator[None, None, None]:
    """Within it, entering `saved_tensors_hooks` is a RuntimeError with this message; at once if one is entered."""
    if not isinstance(error_message, str):
        raise TypeError(f"error_message must be str, but got {type(error_message).__name__}")
    modes = local.modes
    if modes.pairs:
        raise RuntimeError(error_message)
    before, modes.refusing = modes.refusing, error_message
    try:
        yield
    finally:
        modes.refusing = before


class _Handles(RemovableHandle):
    """Several handles as one."""

    def __init__(self, handles: Iterable[RemovableHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor],
    fn: Callable[[Sequence[Tensor | None]], None] | Callable[[Tensor], None],
    *,
    mode: str = "all",
) -> RemovableHandle:
    """A hook on several tensors; what it returns does not count.

    With `mode` "all" `fn(gradients)` is called once in each backward pass, when the gradients of all those tensors are
    complete that the pass reaches; None stands for the others. With "any" `fn(gradient)` is called with the first.

    ValueError for another mode; AssertionError, in mode "all", for a tensor that has no gradient edge.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    if mode == "any":
        first = _First(fn)
        return _Handles([t.register_hook(first) for t in tensors if t.requires_grad])
    every = _Every(tensors, fn)
    return _Handles([t.register_hook(functools.partial(every, k)) for k, t in enumerate(tensors)])


class _First:
    """Calls a hook with the first gradient of each backward pass."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook
        self.done: weakref.WeakSet[Any] = weakref.WeakSet()
        self.lock = threading.Lock()

    def __call__(self, gradient: Tensor) -> None:
        task = local.modes.backward
        with self.lock:
            if task in self.done:
                return
            self.done.add(task)
        self.hook(gradient)


class _Every:
    """Calls a hook when all gradients of a backward pass are there. It hangs on the nodes: they are held weakly.

    But for those of leaves, which would go, and their hooks with them, while the leaf is there.
    """

    def __init__(self, tensors: Sequence[Tensor], hook: Callable[..., Any]) -> None:
        nodes = [_edge(t)[0] for t in tensors]
        self.leaves = [node for node in nodes if isinstance(node, AccumulateGrad)]
        self.inner = [weakref.ref(node) for node in nodes if not isinstance(node, AccumulateGrad)]
        self.count = len(nodes)
        self.hook = hook
        self.passes: weakref.WeakKeyDictionary[Any, tuple[list[int], list[Tensor | None]]] = weakref.WeakKeyDictionary()
        self.lock = threading.Lock()

    def __call__(self, k: int, gradient: Tensor) -> None:
        task = local.modes.backward
        with self.lock:
            if task not in self.passes:
                self.passes[task] = [sum(map(task.executes, self._nodes()))], [None] * self.count
            left, gradients = self.passes[task]
            left[0] -= 1
            gradients[k] = gradient
        if not left[0]:
            del self.passes[task]
            self.hook(gradients)

    def _nodes(self) -> list[Node]:
        """The nodes that are alive: another cannot be part of a pass."""
        return [*self.leaves, *[node for node in (ref() for ref in self.inner) if node is not None]]


_spared: Spared | None = None


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Generator[Spared, None, None]:
    """Within it, writes into saved tensors are fine: those are copied before the first one.

    Backward must run within it too: it is an AssertionError afterwards, when the copies are gone. RuntimeError for
    one within another. What it yields shows the saved tensors (`original`, `cloned`).
    """
    global _spared
    spared, modes = Spared(), local.modes
    outer = modes.sparing
    with saved_tensors_hooks(spared.pack, spared.unpack):
        modes.sparing = spared
        try:
            if _spared is not None:
                raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
            _spared = spared
            yield spared
        finally:
            modes.sparing = outer
            spared.clear()
            if _spared is not None:  # that of the outer one after an attempt to nest: as in torch it is over too
                _spared.open = False
            _spared = None
