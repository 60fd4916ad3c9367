"""Traces: what an observer sees while a program runs on one engine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

UNREAD = "not read"
"""In place of the name of a node: that of a view is read only where a program asks for it, since reading
brings it up to date."""


class Observation(NamedTuple):
    """A tensor at one moment.

    value: a C-ordered copy. same: the number of an earlier tensor that is this very object; for a `.grad`, -1 if it
    is the object it was when last looked at. version: how often its memory was written since the tensor appeared
    (for a gradient) or at all; None for an inference tensor. storage: the lowest number of a tensor of the program
    that has the same memory, None if none has or if that is an engine's own business.
    grad_fn: the node's name, None for a leaf, `UNREAD`, or what reading it raised. is_view: None where it is an
    engine's own business.
    """

    value: np.ndarray
    dtype: str
    shape: tuple[int, ...]
    requires_grad: bool
    is_inference: bool = False
    same: int | None = None
    version: int | None = 0
    retains_grad: bool = False
    storage: int | None = None
    is_leaf: bool | None = True
    grad_fn: str | None = None
    output_nr: int | None = 0
    is_view: bool | None = False


class Fault(NamedTuple):
    """An exception.

    `statement` is None while the leaves were made, and the number of statements if what is left at the end
    could not be observed. `type` is the nearest built-in exception class, since an `except` clause for both
    engines can name no other. `observing`: the statement returned, but something that is no tensor, or not
    as many tensors as the program says.
    """

    statement: int | None
    type: str
    message: str
    observing: bool


class Place(NamedTuple):
    """Where an entry of `Trace.seen` comes from: the statement (None for a leaf), the tensor, and what it is.

    what:
    "value": a leaf, or what an op made; "inspected": a tensor at an Inspect, and "edges" the nodes behind it;
    "grad": what `autograd.grad` made, the tensor's `.grad` after a Backward, and what an op of LAYOUT makes of
        a gradient or of something computed from one: how a gradient lies in memory is an engine's own
        business, and so is its node;
    "after": a tensor after a statement that wrote, or raised; "grad after": its `.grad`;
    "returned": what a statement returned that writes a tensor;
    "modes": the grad mode and the inference mode after they may have changed; those of the caller of a generator
        with the statement that it ran in `part`;
    "hook": a call of the hook with this number, and "gradient" what it was given, by position in `part`;
    "fault": an exception; "skipped": a statement that needs a tensor which is not there.
    """

    statement: int | None
    tensor: int | None
    what: str
    part: int = 0


Entry = Observation | Fault | str | None


class Trace(NamedTuple):
    """A run.

    `seen` has an entry for each of `places`, in order: an Observation (None for a gradient that is None), a
    Fault, or for the other places a text. `state` and `grads` are all tensors and their `.grad` at the end, in
    the program's numbering.
    """

    places: list[Place]
    seen: list[Entry]
    state: list[Observation | None]
    grads: list[Observation | None]

    @property
    def faults(self) -> list[Fault]:
        """The exceptions, in order."""
        return [entry for entry in self.seen if type(entry) is Fault]

    @property
    def fault(self) -> Fault | None:
        """The first exception."""
        return next(iter(self.faults), None)
