"""Traces: what an observer sees while a program runs on one engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from oracle.program import Backward, Call, Grad, Program, RequiresGrad, RetainGrad, created


class Observation(NamedTuple):
    """A tensor at one moment. `value` is a C-ordered copy; `grad_fn` is the node's name, None for a leaf."""

    value: np.ndarray
    dtype: str
    shape: tuple[int, ...]
    requires_grad: bool
    is_leaf: bool
    grad_fn: str | None


class Fault(NamedTuple):
    """What ended a run early.

    `statement` is None while the leaves were made, and the number of statements if what is left at the end
    could not be observed. `type` is the nearest built-in exception class, since an `except` clause for both
    engines can name no other; "Absent" if a statement needs a tensor that `autograd.grad` left out, about
    which no engine was asked. `observing`: the statement returned, but something that is no tensor, or not
    as many tensors as the program says.
    """

    statement: int | None
    type: str
    message: str
    observing: bool


class Trace(NamedTuple):
    """A run as far as it came.

    `seen` has one entry for each of `places(program)`, None for a gradient that is None; a fault cuts it
    short. `state` and `grads` are all tensors and their `.grad` at the end, in the program's numbering.
    """

    seen: list[Observation | None]
    state: list[Observation | None]
    grads: list[Observation | None]
    fault: Fault | None


class Place(NamedTuple):
    """Where an entry of `Trace.seen` comes from: the statement (None for a leaf), the tensor, and what it is.

    `what` is "value" for a leaf and for what an op made; "grad" for what `autograd.grad` made, for the
    tensor's `.grad` right after a Backward, and for what an op of LAYOUT makes of a gradient or of something
    computed from one: how a gradient lies in memory is an engine's own business, and so is its node.
    """

    statement: int | None
    tensor: int
    what: str


LAYOUT = frozenset({"contiguous", "to", "double", "float", "reshape", "flatten", "linear", "matmul", "einsum"})
"""Ops that return their very input, a view or a copy, or take another way, depending on how it lies in memory."""


def watched(program: Program) -> list[int]:
    """The tensors that may have a `.grad` in a sound engine; it is observed after each Backward."""
    tensors = set(range(len(program.leaves)))
    for statement in program.statements:
        if type(statement) is Backward:
            tensors.update(statement.inputs or ())
        elif type(statement) is RetainGrad or type(statement) is RequiresGrad:
            tensors.add(statement.tensor)
    return sorted(tensors)


def places(program: Program) -> Iterator[Place]:
    """Where the entries of `Trace.seen` come from, in order."""
    count = len(program.leaves)
    for tensor in range(count):
        yield Place(None, tensor, "value")
    observed = watched(program)
    from_gradients: set[int] = set()
    for index, statement in enumerate(program.statements):
        if type(statement) is Backward:
            yield from (Place(index, tensor, "grad") for tensor in observed if tensor < count)
        made = created(statement)
        if made:
            what = "grad" if type(statement) is Grad else "value"
            if what == "grad" or (type(statement) is Call and not from_gradients.isdisjoint(statement.inputs)):
                from_gradients.update(range(count, count + made))
                if type(statement) is Call and statement.op in LAYOUT:
                    what = "grad"
            yield from (Place(index, tensor, what) for tensor in range(count, count + made))
            count += made
