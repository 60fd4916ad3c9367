"""Saved tensors that went through hooks: `autograd.graph.saved_tensors_hooks`, and hooks on one saved tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from refgrad.graph import NO_EDGE, Edge, Node
from refgrad.modes import no_grad

if TYPE_CHECKING:
    from refgrad.tensor import Tensor

Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""What packs a saved tensor into any object, and what makes a tensor of it again."""

PACKED = object()
"""Stands for the version of a packed tensor, which is not checked: what was packed is the hooks' business."""


class Packed:
    """A saved tensor in the form that a pack hook gave it. `number`: it stands for a Python number."""

    __slots__ = ("edge", "number", "packed", "requires_grad", "unpack")

    def __init__(self, tensor: Tensor, hooks: Pair, number: bool = False) -> None:
        pack, self.unpack = hooks
        self.requires_grad = tensor._rg
        self.edge: Edge = tensor._gradient_edge() if tensor._rg else NO_EDGE
        self.number = number
        given = tensor.detach()
        before = None if given.is_inference() else given._version
        with no_grad():
            self.packed = pack(given)
        if before is not None and given._version != before:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook can "
                "not be modified by in-place operations as this can lead to unexpected side-effects. Please open an "
                "issue if you need to perform in-place operations on the input to a pack hook."
            )

    def placed(self, output_of: Edge | None) -> Any:
        """What the unpack hook gives, in its place in the graph; the number, if it stands for one.

        `output_of`: where it stands if it is an output of the node that saved it.
        """
        from refgrad.tensor import Tensor

        with no_grad():
            found = self.unpack(self.packed)
        if not isinstance(found, Tensor):
            raise TypeError(
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(found).__name__}"
            )
        if self.number:
            return found.item()
        edge = output_of or self.edge
        if edge[0] is None or found._data.dtype.kind not in "fc":
            return found
        t = found.detach()
        t._place(edge)
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


class SavedTensor:
    """One saved tensor of a node, on which hooks can be registered as long as it has none."""

    def __init__(self, node: Any, place: int) -> None:
        self._node, self._place = node, place

    def register_hooks(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        """Let `pack_hook` replace what is saved, now, and `unpack_hook` bring it back.

        RuntimeError if hooks were set before, or if the graph was freed.
        """
        for hook in (pack_hook, unpack_hook):
            if not callable(hook):
                raise TypeError(f"incompatible function arguments: a hook must be callable, not {type(hook).__name__}")
        self._node.pack_one(self._place, (pack_hook, unpack_hook))

