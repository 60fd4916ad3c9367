"""Saved tensors that went through hooks: `autograd.graph.saved_tensors_hooks`, and hooks on one saved tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from refgrad.graph import NO_EDGE, AccumulateGrad, Edge, Node, modified_in_place
from refgrad.modes import local, no_grad
from refgrad.views import short_name

if TYPE_CHECKING:
    from refgrad.tensor import Tensor


class Pair(NamedTuple):
    """What packs a saved tensor into any object, and what makes a tensor of it again."""

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]

    def take(self, node: Any, outputs: Sequence[Tensor]) -> None:
        """Pack what `node`, just recorded, has saved."""
        node.pack_inputs(self)
        node.pack_outputs(self, outputs)


class Later:
    """In force inside an in-place operation: outputs are packed when the target has been written."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.nodes: list[tuple[Any, Sequence[Tensor]]] = []

    def take(self, node: Any, outputs: Sequence[Tensor]) -> None:
        node.ensure_hooks().packed = True  # already, for who looks before
        node.pack_inputs(self.pair)
        self.nodes.append((node, outputs))

    def pack_outputs(self, result: Tensor, target: Tensor) -> None:
        """Pack the outputs; what was computed as `result` is `target` by now."""
        for node, outputs in self.nodes:
            node.pack_outputs(self.pair, [target if t is result else t for t in outputs])


PACKED = object()
"""Stands for the version of a packed tensor, which is not checked: what was packed is the hooks' business."""


# Why hooks cannot be registered on a saved tensor.
NOTHING_SAVED = "Calling register_hooks on a saved tensor with value None is forbidden"
SAVED_AND_FREED = (
    "Calling register_hooks on a saved tensor after it has been freed. Saved intermediate values of the graph are "
    "freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through "
    "the graph a second time or if you need to access saved variables after calling backward."
)
HAS_HOOKS = (
    "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of hooks is "
    "allowed at a time."
)


class Packed:
    """A saved tensor in the form that a pack hook gave it.

    `output`: it is an output of the node that saves it, whose edge would be a cycle. `number`: it stands for a
    Python number.
    """

    __slots__ = ("astray", "dual", "edge", "number", "packed", "unpack")

    def __init__(self, tensor: Tensor, hooks: Pair, *, output: bool = False, number: bool = False) -> None:
        pack, self.unpack = hooks
        self.edge: Edge = tensor._gradient_edge() if tensor._rg and not output else NO_EDGE
        self.astray = not output and tensor._inherits and self.edge is NO_EDGE  # requires grad, which goes nowhere
        self.number = number
        level = local.modes.forward
        self.dual: Any = tensor._dual if level is not None and level.tangent(tensor) is not None else None
        before = tensor._counter[0]
        with no_grad():
            self.packed = pack(tensor)
        if tensor._counter[0] != before:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook can "
                "not be modified by in-place operations as this can lead to unexpected side-effects. Please open an "
                "issue if you need to perform in-place operations on the input to a pack hook."
            )

    @classmethod
    def of_saved(cls, tensor: Tensor, hooks: Pair, *, output: bool) -> Packed:
        """What hooks make of a tensor that was saved before: they see it without its place in the graph."""
        made = cls(tensor.detach(), hooks)
        if not output:
            made.edge = tensor._gradient_edge()
            made.astray = tensor._inherits and made.edge is NO_EDGE
        return made

    def restored(self) -> Any:
        """The tensor that the unpack hook gives; the number, if it stands for one."""
        from refgrad.tensor import Tensor

        found = self.unpack(self.packed)
        if not isinstance(found, Tensor):
            raise TypeError(
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(found).__name__}"
            )
        return found.item() if self.number else found

    def placed(self, output_of: Edge | None) -> Any:
        """The same in its place in the graph. `output_of`: where it stands as an output of the node that saved it."""
        found = self.restored()
        if self.number:
            return found
        node, number = output_of or self.edge
        floats = found._data.dtype.kind in "fc"
        placed = floats and node is not None
        if not placed and self.dual is None and not (found._rg or self.astray):
            return found
        t = found.detach()
        t._dual = self.dual
        if not placed:
            t._rg = floats and self.astray
        elif isinstance(node, AccumulateGrad):  # another tensor in the place of the leaf
            t._rg, t._accumulate = True, weakref.ref(node)
        else:
            t._place((node, number))
        return t


_detached: dict[int, tuple[Any, int]] = {}  # id of a tensor that `detach_` cut off -> where it stood


def note_detached(tensor: Tensor, edge: Edge) -> None:
    """Remember where a tensor stood that `detach_` has cut off: what saved it there cannot find it any more."""
    _detached[id(tensor)] = (weakref.ref(edge[0]), edge[1])
    weakref.finalize(tensor, _detached.pop, id(tensor), None)


def check_attached(node: Node, values: Iterable[Any]) -> None:
    """Raise what torch raises if `node` saved a computed tensor that `detach_` was called on since."""
    if not _detached:
        return
    for value in values:
        if id(value) in _detached:
            reference, number = _detached[id(value)]
            before = reference()
            if before is not None and (before, number) in node.next_functions:
                raise RuntimeError(
                    "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_().This is not "
                    "supported, please use out-of-place `.detach()` instead"
                )


class Kept:
    """A tensor that is saved as a node saves its inputs: through hooks if there are any, or else version checked."""

    def __init__(self, tensor: Tensor) -> None:
        pair = local.modes.packing
        self.packed = None if pair is None else Packed(tensor, pair)
        self.tensor = tensor if pair is None else None
        self.version = tensor._counter[0]

    def unpack(self) -> Tensor:
        """The tensor in its place in the graph. RuntimeError if it was modified in place since."""
        if self.packed is not None:
            return self.packed.placed(None)
        t = self.tensor
        assert t is not None
        if t._counter[0] != self.version:
            node, number = (t._edge if t._view is None else t._view.edge) or NO_EDGE
            origin = None if node is None else f"output {number} of {short_name(node)}"
            raise modified_in_place(t, self.version, origin)
        return t


class SavedTensor:
    """One saved tensor of a node, on which hooks can be registered as long as it has none."""

    def __init__(self, node: Any, place: int | None) -> None:
        self._node, self._place = node, place  # no place: the node did not need to save it

    def register_hooks(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        """Let `pack_hook` replace what is saved, now, and `unpack_hook` bring it back.

        RuntimeError if hooks were set before, or if the graph was freed; TypeError for what cannot be called.
        """
        if not callable(pack_hook) or not callable(unpack_hook):
            raise TypeError("register_hooks(): incompatible function arguments: two callables are expected")
        self._node.pack_one(self._place, Pair(pack_hook, unpack_hook))


def push_hooks(pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
    """Let all tensors saved on this thread go through these hooks, until `pop_hooks`."""
    if not callable(pack_hook) or not callable(unpack_hook):
        raise TypeError("saved_tensors_hooks(): incompatible function arguments: two callables are expected")
    modes = local.modes
    if modes.refusing is not None:
        raise RuntimeError(modes.refusing)
    modes.pairs.append(Pair(pack_hook, unpack_hook))
    modes.packing = modes.pairs[-1]
    modes.settle()


def pop_hooks() -> None:
    """Back to the hooks that were in force before the latest ones."""
    modes = local.modes
    if not modes.pairs:
        raise RuntimeError("no saved_tensors_hooks are in force on this thread")
    modes.pairs.pop()
    modes.packing = modes.pairs[-1] if modes.pairs else None
    modes.settle()
