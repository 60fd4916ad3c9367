"""What is known of a tensor of a program that is being drawn."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oracle.catalogue.spec import OpSpec

NO, MAYBE, YES = 0, 1, 2  # whether a tensor requires grad


class Live:
    """What is known of a tensor before it exists.

    low and high bound its values ((-inf, inf): unknown, NaN included); grad is NO, MAYBE or YES. dense: known
    to be contiguous. alias: the tensor it may be a view of; viewed: another may be a view of it. graph has a
    bit for every tensor that a backward pass from here reaches, itself included; guessed: that is only an
    upper bound. stepped: a gradient is a step function, whose own derivative torch gives as zeros that no
    number can be added to.
    link: the op that made it; tracked: made while recording. stale: it may be a view whose node
    is no longer true. inference: an inference tensor. lapped: several of its elements may be one in memory.
    """

    __slots__ = (
        "alias",
        "bit",
        "dense",
        "dtype",
        "guessed",
        "grad",
        "graph",
        "high",
        "inference",
        "lapped",
        "leaf",
        "link",
        "low",
        "number",
        "parents",
        "shape",
        "spec",
        "stale",
        "stepped",
        "tracked",
        "uses",
        "viewed",
    )

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: str,
        low: float = -inf,
        high: float = inf,
        dense: bool = False,
        alias: Live | None = None,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.low = low
        self.high = high
        self.dense = dense
        self.alias = alias
        self.guessed = self.stepped = self.viewed = self.stale = self.inference = self.lapped = False
        self.tracked = True
        self.link = ""
        self.grad = self.graph = self.bit = self.uses = 0
        self.leaf = True
        self.spec: OpSpec | None = None
        self.parents: Sequence[Live] = ()
        self.number = -1


Drawn = tuple[tuple[Live, ...], dict[str, Any], tuple[Live, ...]]  # inputs, params, outputs


class NewLeaf:
    """A leaf that an op's draw asked for: its state, and what it starts with."""

    __slots__ = ("data", "layout", "live", "requires_grad", "shape")

    def __init__(self, live: Live, layout: str, data: Sequence[Any]) -> None:
        self.live = live
        self.requires_grad = live.grad == YES
        self.shape = live.shape
        self.layout = layout
        self.data = data
