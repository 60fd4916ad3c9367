"""Sets two traces of a program side by side and says where they part first.

Values: NaN agrees with NaN, +inf with +inf, -inf with -inf; equal numbers agree, zeros of either sign among
them; so do numbers within `NEAR` ulps. What is further apart is held against limits made for this very
program (see `oracle.bounds`); without limits it is a divergence. Integers and bools agree when they are
equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.program import KINDS, Backward, Call, Grad, Program, ZeroGrad
from oracle.trace import LAYOUT, Fault, Observation, Place, Trace, places

NEAR = 4
"""Ulps that two correct results may lie apart without more ado. The mathematical libraries under the engines
promise about 1 ulp for a single function, NumPy's vectorised ones up to 4: less proves nothing."""

ROWS = 12
"""The most elements that a divergence lists."""

NUMERIC = ("value", "gradient")
"""The kinds of divergence that an error bound can explain."""

Limit = np.ndarray | None
"""For each element how far apart two sound engines may be, infinity where anything goes; None: `NEAR`."""


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

    kind: "exception", "value" (of what an op made), "gradient" (`.grad`, or what `autograd.grad` made),
    "none" (a gradient is None on one side only), "dtype", "shape", "requires_grad", "is_leaf" or "grad_fn".
    statement, tensor: their numbers in the program, None where there is none.
    what: "value" and "grad" as in `Place`, "state" for a tensor at the end of the program.
    op: the op that was called, else "leaf", "end" or the statement's kind in JSON ("backward", "grad", ...).
    elements: if numbers differ, the worst, each with index, subject, oracle, difference, ulps and bound.
    bound: if numbers differ, how far apart each element (row by row) may be.
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


def compare(program: Program, subject: Trace, oracle: Trace, limits: Limits | None = None) -> Divergence | None:
    """The first divergence in the program's order, with the end of the program last; None if there is none.

    Raises HarnessError if the oracle's trace cannot serve, since the oracle made something that is no tensor.
    """
    if oracle.fault is not None and oracle.fault.observing:
        where = _where(program, oracle.fault.statement)
        raise HarnessError(f"what the oracle made cannot be observed, {where}: {oracle.fault.message}")
    made: list[Place] = []
    with np.errstate(all="ignore"):
        entries = zip(places(program), subject.seen, oracle.seen, strict=False)  # a fault cuts them short
        for i, (place, mine, true) in enumerate(entries):
            if len(made) == place.tensor:
                made.append(place)
            limit = limits.seen[i] if limits else None
            if kind := _kind(mine, true, place.what, limit):
                return _describe(program, kind, place, mine, true, limit)
        if (subject.fault or oracle.fault) and (found := _compare_faults(program, subject.fault, oracle.fault)):
            return found
        for place, mine, true in zip(made, subject.state, oracle.state, strict=True):
            limit = limits.state[place.tensor] if limits else None
            if kind := _kind(mine, true, place.what, limit):
                return _describe(program, kind, place._replace(what="state"), mine, true, limit)
        for place, mine, true in zip(made, subject.grads, oracle.grads, strict=True):
            limit = limits.grads[place.tensor] if limits else None
            if kind := _kind(mine, true, "grad", limit):
                place = Place(_last_change(program, place.statement), place.tensor, "grad")
                return _describe(program, kind, place, mine, true, limit)
    return None


def far_apart(mine: np.ndarray, true: np.ndarray, limit: Limit = None) -> np.ndarray | None:
    """The elements that do not agree, as a mask; None if all do. Both arrays have one shape and one dtype."""
    if mine.tobytes() == true.tobytes():
        return None
    apart = (mine != true) & ((mine == mine) | (true == true))
    if mine.dtype.kind == "f" and apart.any():
        apart &= ~(gap(mine, true) <= NEAR * ulp(mine, true))
    if limit is not None and apart.any():
        apart &= ~((gap(mine, true) <= limit) | np.isinf(limit))
    return apart if apart.any() else None


def gap(mine: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The distance of each pair of elements, in float64."""
    return np.abs(np.subtract(mine, true, dtype=np.float64))


def ulp(mine: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The spacing at the larger of each pair of elements, in float64."""
    return spacing(np.maximum(np.abs(mine), np.abs(true))).astype(np.float64)


def spacing(array: np.ndarray) -> np.ndarray:
    """How far each number is from the next one of its dtype, in that dtype; NaN for NaN.

    At the very top the next one would be infinity: there, the spacing at half of it.
    """
    return np.spacing(np.minimum(np.abs(array), _HALF[array.dtype]))


def _kind(mine: Observation | None, true: Observation | None, what: str, limit: Limit) -> str | None:
    """The kind of divergence between two observations; None if there is none.

    How a gradient came about is an engine's own business: its node's name, and whether it has one.
    """
    if mine is None or true is None:
        return None if mine is true else "none"
    if mine.dtype != true.dtype or mine.value.dtype != true.value.dtype:
        return "dtype"
    if mine.shape != true.shape or mine.value.shape != true.value.shape:
        return "shape"
    if far_apart(mine.value, true.value, limit) is not None:
        return "gradient" if what == "grad" else "value"
    if mine.requires_grad != true.requires_grad:
        return "requires_grad"
    if what == "grad" or mine[4:] == true[4:]:
        return None
    return "is_leaf" if mine.is_leaf != true.is_leaf else "grad_fn"


def _compare_faults(program: Program, mine: Fault | None, true: Fault | None) -> Divergence | None:
    """The divergence between two endings; None if both engines raised the same at the same place."""
    if mine and true and mine[:2] == true[:2] and not mine.observing:
        return None
    places = [-1 if fault.statement is None else fault.statement for fault in (mine, true) if fault]
    first = None if min(places) < 0 else min(places)
    texts = [_fault_text(fault, first) for fault in (mine, true)]
    return Divergence(
        kind="exception",
        statement=None if first == len(program.statements) else first,
        tensor=None,
        what="value",
        op=_op(program, first),
        message=f"{_where(program, first)}: {texts[0]}, expected {texts[1]}",
        subject=texts[0],
        oracle=texts[1],
    )


def _fault_text(fault: Fault | None, statement: int | None) -> str:
    if fault is None or fault.statement != statement:
        return "no exception"
    text = f"{fault.type}: {fault.message}" if fault.message else fault.type
    return f"no proper tensor ({text})" if fault.observing else text


def _describe(
    program: Program,
    kind: str,
    place: Place,
    mine: Observation | None,
    true: Observation | None,
    limit: Limit,
) -> Divergence:
    """The divergence of that kind between two observations."""
    elements: tuple[dict[str, Any], ...] = ()
    bound: tuple[float, ...] = ()
    if mine is None or true is None:
        texts = ["None" if side is None else f"a gradient of shape {list(side.shape)}" for side in (mine, true)]
        difference = f"{texts[0]}, expected {texts[1]}"
    elif kind in NUMERIC:
        texts = [_numbers(side.value) for side in (mine, true)]
        difference, elements, bound = _measure(mine.value, true.value, limit)
    else:
        texts = [str(getattr(side, kind)) for side in (mine, true)]
        difference = f"{kind} is {texts[0]}, expected {texts[1]}"
    where = "at the end" if place.what == "state" else _where(program, place.statement)
    return Divergence(
        kind=kind,
        statement=place.statement,
        tensor=place.tensor,
        what=place.what,
        op=_op(program, place.statement),
        message=f"{name_of(program, place)}, {where}: {difference}",
        subject=texts[0],
        oracle=texts[1],
        elements=elements,
        bound=bound,
    )


def _measure(
    mine: np.ndarray, true: np.ndarray, limit: Limit
) -> tuple[str, tuple[dict[str, Any], ...], tuple[float, ...]]:
    """How far apart two arrays are: a line of text, the elements furthest apart, and what each is allowed."""
    apart = far_apart(mine, true, limit)
    assert apart is not None
    floating = mine.dtype.kind == "f"
    distance = gap(mine, true)
    unit = ulp(mine, true) if floating else np.zeros(mine.shape)
    allowed = np.maximum(NEAR * unit, 0.0 if limit is None else limit)
    allowed = np.nan_to_num(allowed, nan=0.0, posinf=np.inf)
    order = np.argsort(np.where(apart, -np.nan_to_num(distance, nan=np.inf), 1.0), axis=None, kind="stable")
    count = int(np.count_nonzero(apart))
    rows = tuple(
        {
            "index": tuple(map(int, index)),
            "subject": mine[index].item(),
            "oracle": true[index].item(),
            "difference": float(distance[index]),
            "ulps": float(distance[index] / unit[index]) if floating else None,
            "bound": float(allowed[index]),
        }
        for index in [np.unravel_index(flat, mine.shape) for flat in order[: min(ROWS, count)]]
    )
    ulps = f" ({rows[0]['ulps']:.3g} ulps)" if floating else ""
    line = f"{count} of {mine.size} elements differ, the furthest by {rows[0]['difference']:.3g}{ulps}"
    return f"{line} at {list(rows[0]['index'])}", rows, tuple(allowed.ravel().tolist())


def _numbers(array: np.ndarray) -> str:
    return np.array2string(array, separator=", ", threshold=24, edgeitems=2, floatmode="unique")


def name_of(program: Program, place: Place) -> str:
    """What is looked at: the tensor, or its `.grad`."""
    statement = None if place.statement is None else program.statements[place.statement]
    returned = isinstance(statement, Grad) or (isinstance(statement, Call) and statement.op in LAYOUT)
    return f"t{place.tensor}" if place.what != "grad" or returned else f"t{place.tensor}.grad"


def _where(program: Program, statement: int | None) -> str:
    if statement is None or statement == len(program.statements):
        return "as a leaf" if statement is None else "at the end"
    return f"statement {statement} ({_op(program, statement)})"


def _op(program: Program, statement: int | None) -> str:
    if statement is None or statement == len(program.statements):
        return "leaf" if statement is None else "end"
    found = program.statements[statement]
    return found.op if isinstance(found, Call) else _KIND_OF[type(found)]


def _last_change(program: Program, made: int | None) -> int | None:
    """The last statement that sets any `.grad`, or the one that made the tensor if that is later."""
    changes = [i for i, s in enumerate(program.statements) if isinstance(s, Backward | Grad | ZeroGrad)]
    return changes[-1] if changes and (made is None or changes[-1] > made) else made


_HALF = {np.dtype(name): np.finfo(name).max / 2 for name in ("float16", "float32", "float64")}
_KIND_OF = {cls: kind for kind, cls in KINDS.items()}
