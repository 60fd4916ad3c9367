"""Writes into saved tensors, where they are allowed: what was saved is copied before the first write."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from refgrad.layout import owner_of
from refgrad.modes import local

if TYPE_CHECKING:
    from refgrad.tensor import Tensor

OUTSIDE = (
    "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context"
    "in which the graph was originally recorded."
)


def without_cycle(tensor: Tensor) -> Tensor:
    """What a graph may keep of a tensor: the tensor itself, so that new `.data` shows, unless that keeps its node."""
    return tensor.detach() if tensor._computed() else tensor


class Handle:
    """What a graph keeps of a saved tensor."""


class Spared:
    """The saved tensors of one `allow_mutation_on_saved_tensors`: as they are (`original`), or copied (`cloned`).

    Both are kept as long as a graph keeps their handle.
    """

    def __init__(self) -> None:
        self.original: weakref.WeakKeyDictionary[Handle, Tensor] = weakref.WeakKeyDictionary()
        self.cloned: weakref.WeakKeyDictionary[Handle, Tensor] = weakref.WeakKeyDictionary()
        self._looking_into: dict[int, weakref.WeakSet[Handle]] = {}  # by `id` of the array that owns the memory
        self.open = True

    def pack(self, tensor: Tensor) -> Handle:
        """A handle for a saved tensor; the same one for what was saved before and not written since."""
        handles = self._looking_into.setdefault(id(owner_of(tensor._data)), weakref.WeakSet())
        for handle in handles:
            before = self.original.get(handle)
            if before is not None and before._data is tensor._data:
                return handle
        handle = Handle()
        handles.add(handle)
        self.original[handle] = without_cycle(tensor)
        return handle

    def unpack(self, handle: Handle) -> Tensor:
        """The tensor as it was saved. AssertionError outside of the context."""
        found = self.cloned.get(handle) if self.open else None
        if found is None:
            found = self.original.get(handle) if self.open else None
        if found is None:
            raise AssertionError(OUTSIDE)
        return found

    def before_write(self, target: Tensor) -> None:
        """Copy what was saved and looks into the memory of `target`. RuntimeError for an inference tensor."""
        _ = target._version  # torch looks it up by that
        for handle in self._looking_into.pop(id(owner_of(target._data)), ()):
            saved = self.original.pop(handle, None)
            if saved is not None:
                self.cloned[handle] = saved.clone()

    def clear(self) -> None:
        """Let go of everything."""
        self.original.clear()
        self.cloned.clear()
        self._looking_into.clear()


def spare(target: Tensor) -> None:
    """Copy what was saved of a tensor that is about to be written, where such writes are allowed."""
    sparing = local.modes.sparing
    if sparing is not None:
        sparing.before_write(target)
