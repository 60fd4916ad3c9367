"""Sets two traces of a program side by side and says where they part first.

Numbers are held to what `oracle.near` says, all else has to be equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.near import Limit, far_apart, measure
from oracle.program import Backward, Call, Grad, Program, SetGrad, ZeroGrad, created
from oracle.program.statements import KIND_OF
from oracle.trace import Entry, Fault, Observation, Place, Trace

NUMERIC = ("value", "gradient")
"""The kinds of divergence that an error bound can explain."""

_FIELDS = Observation._fields
_STATE = _FIELDS.index("requires_grad"), _FIELDS.index("is_leaf")
"""The fields from the first to before the second are compared everywhere; what follows tells how a tensor came
about, which for gradients is an engine's own business."""

_TEXTS = {"modes": "mode", "returned": "identity", "edges": "edges", "hook": "hook"}
"""The kinds of divergence at places that hold a text."""


_MADE = ("value", "grad")
"""The places where a tensor is seen first."""


class HarnessError(RuntimeError):
    """The harness or the oracle's engine does not work as it must; this says nothing of the subject."""


@dataclass(frozen=True, slots=True)
class Limits:
    """One limit for each entry of the lists of a `Trace`."""

    seen: Sequence[Limit]
    state: Sequence[Limit]
    grads: Sequence[Limit]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two engines part.

    kind: "exception", "value" (of what an op made), "gradient" (`.grad`, what `autograd.grad` made, or what a hook
    is given), "none" (a gradient is None on one side only), "dtype", "shape", "identity" (another object), "mode"
    (grad or inference mode), "edges" (the nodes behind a node), "hook" (another hook is called, or none), or one
    of the other fields of `Observation`.
    statement, tensor: their numbers in the program, None where there is none (a hook's number at a hook).
    what: as in `Place`, and "state" for a tensor at the end of the program.
    op: the op that was called, else "leaf", "end" or the statement's kind in JSON ("backward", "grad", ...).
    elements: if numbers differ, the worst, each with index, subject, oracle, difference, ulps and bound.
    bound: if numbers differ, how far apart each element (row by row) may be.
    place, entry: where in `Trace.seen`; None for what is seen at the end.
    """

    kind: str
    statement: int | None
    tensor: int | None
    what: str
    op: str
    message: str
    subject: str
    oracle: str
    elements: tuple[dict[str, Any], ...] = ()
    bound: tuple[float, ...] = ()
    place: Place | None = None
    entry: int | None = None


def compare(program: Program, subject: Trace, oracle: Trace, limits: Limits | None = None) -> Divergence | None:
    """The first divergence in the program's order, with the end of the program last; None if there is none.

    Raises HarnessError if the oracle's trace cannot serve, since the oracle made something that is no tensor.
    """
    made: dict[int, Place] = {}
    with np.errstate(all="ignore"):
        entries = zip(subject.places, oracle.places, subject.seen, oracle.seen, strict=False)
        for i, (here, place, mine, true) in enumerate(entries):
            if type(true) is Fault and true.observing:
                where = _where(program, true.statement)
                raise HarnessError(f"what the oracle made cannot be observed, {where}: {true.message}")
            if here != place:
                return _elsewhere(program, i, here, place, mine, true)
            if place.what in _MADE and place.tensor is not None:
                made.setdefault(place.tensor, place)
            if type(true) is Observation or true is None:
                limit = limits.seen[i] if limits else None
                if kind := _kind(mine, true, place.what, limit):
                    return _describe(program, kind, place, mine, true, limit, i)
            elif mine != true and (found := _differ(program, i, place, mine, true)):
                return found
        if len(subject.seen) != len(oracle.seen):
            return _early(program, subject, oracle)
        for tensor, (mine, true) in enumerate(zip(subject.state, oracle.state, strict=True)):
            limit = limits.state[tensor] if limits else None
            place = made.get(tensor, Place(None, tensor, "value"))
            if kind := _kind(mine, true, place.what, limit):
                return _describe(program, kind, place._replace(what="state"), mine, true, limit)
        for tensor, (mine, true) in enumerate(zip(subject.grads, oracle.grads, strict=True)):
            limit = limits.grads[tensor] if limits else None
            if kind := _kind(mine, true, "grad", limit):
                place = made.get(tensor, Place(None, tensor, "value"))
                changed = _last_change(program, place.statement)
                what = "grad" if changed is None or changed != place.statement else "grad after"
                place = Place(changed, tensor, what)
                return _describe(program, kind, place, mine, true, limit)
    return None


def _kind(mine: Entry, true: Entry, what: str, limit: Limit) -> str | None:
    """The kind of divergence between two observations; None if there is none."""
    if type(mine) is not Observation or type(true) is not Observation:
        return None if mine is true else "none"
    if mine.dtype != true.dtype or mine.value.dtype != true.value.dtype:
        return "dtype"
    if mine.shape != true.shape or mine.value.shape != true.value.shape:
        return "shape"
    gradient = what in ("grad", "gradient", "grad after")
    if far_apart(mine.value, true.value, limit) is not None:
        return "gradient" if gradient else "value"
    first, last = _STATE[0], _STATE[1] if gradient else len(_FIELDS)
    if mine[first:last] == true[first:last]:
        return None
    kind = next(_FIELDS[k] for k in range(first, last) if mine[k] != true[k])
    return "identity" if kind == "same" else kind


def _differ(program: Program, entry: int, place: Place, mine: Entry, true: Entry) -> Divergence | None:
    """The divergence between two different entries, at one place, that are not both observations."""
    if type(true) is Fault:
        alike = type(mine) is Fault and mine.type == true.type and not mine.observing
        return None if alike else _raised(program, entry, mine, true)
    return _divergence(program, _TEXTS[place.what], place, entry, str(mine), str(true), f"{mine}, expected {true}")


def _elsewhere(
    program: Program, entry: int, here: Place | None, place: Place | None, mine: Entry, true: Entry
) -> Divergence:
    """The divergence where what is seen on both sides is not even of the same place; None: nothing more."""
    end = len(program.statements)
    sides = [end if side is None else -1 if side.statement is None else side.statement for side in (here, place)]
    first = min(sides)
    seen = [entry if at == first else None for at, entry in zip(sides, (mine, true), strict=True)]
    if any(type(side) is Fault for side in seen):
        return _raised(program, entry, *seen)
    hooks = [side if side and side.what == "hook" and side.statement == first else None for side in (here, place)]
    if not any(hooks):
        raise HarnessError(f"two runs that cannot be compared: {here} and {place}, {_where(program, first)}")
    texts = ["no call of a hook" if hook is None else f"a call of hook {hook.tensor}" for hook in hooks]
    called = next(hook for hook in reversed(hooks) if hook)
    return _divergence(program, "hook", called, entry, texts[0], texts[1], f"{texts[0]}, expected {texts[1]}")


def _early(program: Program, subject: Trace, oracle: Trace) -> Divergence:
    """The divergence where one side has seen more."""
    entry = min(len(subject.seen), len(oracle.seen))
    sides = [(*side.places, None)[entry] if len(side.places) >= entry else None for side in (subject, oracle)]
    seen = [(*side.seen, None)[entry] for side in (subject, oracle)]
    return _elsewhere(program, entry, sides[0], sides[1], seen[0], seen[1])


def _raised(program: Program, entry: int, mine: Entry, true: Entry) -> Divergence:
    """The divergence between an exception and another, or none."""
    sides = [side if type(side) is Fault else None for side in (mine, true)]
    first = next(fault.statement for fault in sides if fault)
    texts = [_fault_text(fault) for fault in sides]
    return Divergence(
        kind="exception",
        statement=None if first == len(program.statements) else first,
        tensor=None,
        what="value",
        op=_op(program, first),
        message=f"{_where(program, first)}: {texts[0]}, expected {texts[1]}",
        subject=texts[0],
        oracle=texts[1],
        place=Place(first, None, "fault"),
        entry=entry,
    )


def _fault_text(fault: Fault | None) -> str:
    if fault is None:
        return "no exception"
    text = f"{fault.type}: {fault.message}" if fault.message else fault.type
    return f"no proper tensor ({text})" if fault.observing else text


def _describe(
    program: Program,
    kind: str,
    place: Place,
    mine: Entry,
    true: Entry,
    limit: Limit,
    entry: int | None = None,
) -> Divergence:
    """The divergence of that kind between two observations."""
    elements: tuple[dict[str, Any], ...] = ()
    bound: tuple[float, ...] = ()
    if type(mine) is not Observation or type(true) is not Observation:
        texts = [f"a gradient of shape {list(s.shape)}" if type(s) is Observation else "None" for s in (mine, true)]
        difference = f"{texts[0]}, expected {texts[1]}"
    elif kind in NUMERIC:
        texts = [_numbers(side.value) for side in (mine, true)]
        difference, elements, bound = measure(mine.value, true.value, limit)
    elif kind == "identity":
        texts = [_identity(side.same) for side in (mine, true)]
        difference = f"{texts[0]}, expected {texts[1]}"
    else:
        texts = [str(getattr(side, kind)) for side in (mine, true)]
        difference = f"{kind} is {texts[0]}, expected {texts[1]}"
    return _divergence(program, kind, place, entry, texts[0], texts[1], difference, elements, bound)


def _divergence(
    program: Program,
    kind: str,
    place: Place,
    entry: int | None,
    subject: str,
    oracle: str,
    difference: str,
    elements: tuple[dict[str, Any], ...] = (),
    bound: tuple[float, ...] = (),
) -> Divergence:
    where = "at the end" if place.what == "state" else _where(program, place.statement)
    if place.what in ("after", "grad after"):
        where = f"after {where}"
    return Divergence(
        kind=kind,
        statement=place.statement,
        tensor=place.tensor,
        what=place.what,
        op=_op(program, place.statement),
        message=f"{name_of(program, place)}, {where}: {difference}",
        subject=subject,
        oracle=oracle,
        elements=elements,
        bound=bound,
        place=None if entry is None else place,
        entry=entry,
    )


def _numbers(array: np.ndarray) -> str:
    return np.array2string(array, separator=", ", threshold=24, edgeitems=2, floatmode="unique")


def _identity(same: int | None) -> str:
    if same is None:
        return "an object of its own"
    return "the object that was there before" if same < 0 else f"t{same} itself"


def name_of(program: Program, place: Place) -> str:
    """What is looked at: the tensor, its `.grad`, a hook or what it was given, or the modes."""
    if place.what == "hook":
        return f"hook {place.tensor}"
    if place.what == "gradient":
        return f"gradient {place.part} of hook {place.tensor}"
    if place.tensor is None:
        return place.what
    made = place.statement is not None and created(program.statements[place.statement]) > 0
    attribute = place.what == "grad after" or (place.what == "grad" and not made)
    return f"t{place.tensor}.grad" if attribute else f"t{place.tensor}"


def _where(program: Program, statement: int | None) -> str:
    if statement is None or statement == len(program.statements):
        return "as a leaf" if statement is None else "at the end"
    return f"statement {statement} ({_op(program, statement)})"


def _op(program: Program, statement: int | None) -> str:
    if statement is None or statement == len(program.statements):
        return "leaf" if statement is None else "end"
    found = program.statements[statement]
    return found.op if isinstance(found, Call) else KIND_OF[type(found)]


def _last_change(program: Program, made: int | None) -> int | None:
    """The last statement that sets any `.grad`, or the one that made the tensor if that is later."""
    setting = Backward | Grad | ZeroGrad | SetGrad
    changes = [i for i, s in enumerate(program.statements) if isinstance(s, setting)]
    return changes[-1] if changes and (made is None or changes[-1] > made) else made
