"""Defects of what goes through hooks instead of being saved: saved-tensor hooks, and checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from refgrad import saved
from refgrad.modes import local
from refgrad.ops.record import Op
from refgrad.saved import Packed
from refgrad.tensor import Tensor
from refgrad.testing.planting import Plant, Planting, attribute, function, together
from refgrad.utils import checkpoint


def _heeding_outermost() -> Planting:
    def outermost(change: Callable[..., None]) -> Callable[..., None]:
        def changed(*args: Any) -> None:
            change(*args)
            modes = local.modes
            modes.packing = modes.pairs[0] if modes.pairs else None
            modes.settle()

        return changed

    push, pop = saved.push_hooks, saved.pop_hooks
    return together(function(push, outermost(push)), function(pop, outermost(pop)))


def _not_unpacking() -> Planting:
    restored = Packed.restored

    def packed(self: Packed) -> Any:
        as_it_is = isinstance(self.packed, Tensor) and not self.number
        return self.packed if as_it_is else restored(self)

    return attribute(Packed, "restored", packed)


def _pack(inputs: Any) -> None:
    """Let the pack hook in force have all these tensors."""
    modes = local.modes
    packing: Any = modes.packing
    if packing is None:
        return
    modes.packing = None  # a pack hook computes too
    try:
        pair = getattr(packing, "pair", packing)  # that of an in-place operation waits
        for t in inputs:
            if isinstance(t, Tensor):
                pair.pack(t)
    finally:
        modes.packing = packing


def _packing_unsaved() -> Planting:
    record = Op.record

    def pack(self: Op, mask: int, inputs: Any, *args: Any) -> None:
        _pack([t for name, t in zip(self.inputs, inputs, strict=False) if name not in self.plans[mask].names])
        record(self, mask, inputs, *args)

    return attribute(Op, "record", pack)


def _packing_unrecorded() -> Planting:
    call = Op.__call__

    def pack(self: Op, *inputs: Any, **params: Any) -> Any:
        if not local.modes.grad_enabled and self.vjp is not None:
            _pack(inputs)
        return call(self, *inputs, **params)

    return attribute(Op, "__call__", pack)


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "saved-tensor hook", description, apply)


PLANTS = (
    _plant("outermost-saved-hooks", "of saved-tensor hooks within each other the outermost count", _heeding_outermost),
    _plant("unpack-skipped", "a tensor that a pack hook returned is used without its unpack hook", _not_unpacking),
    _plant("unsaved-packed", "pack hooks also get inputs that an operation does not save", _packing_unsaved),
    _plant("packs-under-no-grad", "pack hooks run though nothing is recorded", _packing_unrecorded),
    _plant(
        "checkpoint-mode",
        "a checkpoint runs its function again without grad mode",
        lambda: attribute(checkpoint, "enable_grad", contextlib.nullcontext),
    ),
)
