"""How far apart two sound engines may be in one program: what rounding alone can do there.

The program is run again and again on the oracle's engine, and wherever numbers are rounded they are moved up
or down at random by about as much as rounding may (see `oracle.disturb`). What cancels, what is divided by
almost nothing, what jumps because a comparison turns out the other way: all of it shows in how far the
results scatter, whatever the order of the derivative. Where narrower floats than float64 are used, the
program is also run in float64, which shows how far off the oracle itself is.

Numbers that come from leaves through exact ops are known to both engines, ties and kinks included, and no
rounding excuses one that treats them otherwise. They are moved in runs of their own, to learn how much
accuracy an op may lose inside; that counts as long as the result follows in proportion and does not jump.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, zip_longest
from typing import cast

import numpy as np

from oracle.compare import NUMERIC, Divergence, Limits, compare
from oracle.disturb import NARROW, Disturbed, widened
from oracle.engines.protocol import Engine
from oracle.execute import run
from oracle.gentle import Gentle
from oracle.near import Limit
from oracle.plan import plan
from oracle.program import Program
from oracle.trace import Entry, Observation, Place, Trace

RUNS = 8
"""Runs of each kind. Two movements that cancel do so in every other run, in all of them once in 256 times."""

MORE_RUNS = 64
"""Runs besides, where some number strays as far as the two sides are apart: there may be a jump, and each of
the ways that it can go must come up."""

SAFETY = 2.0
"""One side's error is taken to be at most this many times the largest movement seen: in trials with programs
whose true error was known, it stayed below 1.8 times that."""

FLOOR = 4
"""Spacings at the largest value seen that one side may be off in any case, for its own last steps."""


def excuse(program: Program, engine: Engine, subject: Trace, oracle: Trace) -> Divergence | None:
    """The first divergence that rounding does not explain; None if there is none.

    `oracle` is what the program does on `engine`. Stops running as soon as the answer is certain.
    """
    base = _Base(program, engine, oracle)

    def left(deviation: np.ndarray) -> Divergence | None:
        return compare(program, subject, oracle, base.limits(deviation))

    rounding = base.scatter((0, 0), 0)
    for more in (1, 1, 2):  # enough as a rule
        found = left(deviation := _after(rounding, more))
        if found is None or found.kind not in NUMERIC:
            return found
    base.widen()
    found = left(deviation)
    if found is None or found.kind not in NUMERIC:
        return found
    deviation = _after(rounding, RUNS - 4)
    if np.nan_to_num(found.elements[0]["difference"], nan=np.inf) <= deviation.max():
        deviation = _after(rounding, MORE_RUNS)
    far = _after(base.scatter((0, 1), base.reach), RUNS // 2)
    found = left(np.maximum(deviation, far))
    if found is not None and found.kind in NUMERIC:
        return found  # more than that will not be allowed
    near = _after(base.scatter((0, 1), 1), RUNS // 2)
    return left(base.combined(deviation, near, far))


def spread(program: Program, engine: Engine, trace: Trace, runs: int = RUNS, seed: int = 0) -> Limits:
    """What `compare` may let pass in `program`; `trace` is what it does on `engine`, left in peace.

    Runs the program three times `runs` times: the known numbers stay, move far, move by one spacing.
    """
    base = _Base(program, engine, trace)
    base.widen()
    rounding = _after(base.scatter((seed, 0), 0), runs)
    far, near = (_after(base.scatter((seed, 1), amplitude), runs) for amplitude in (base.reach, 1))
    return base.limits(base.combined(rounding, near, far))


def _after(rows: Iterator[np.ndarray], runs: int) -> np.ndarray:
    for _ in range(runs):
        row = next(rows)
    return row


def _course(trace: Trace) -> tuple[list[Place], list[str]]:
    """What a run went through: where it looked, and what it raised."""
    return trace.places, [fault.type for fault in trace.faults]


class _Base:
    """The run left in peace, as one long row of numbers, and how far other runs stray from it."""

    def __init__(self, program: Program, engine: Engine, trace: Trace) -> None:
        self.program, self.engine = program, engine
        self.plan = plan(program)
        self.disturbed = Gentle if self.plan.gentle else Disturbed
        self.course = _course(trace)
        self.lists: tuple[Sequence[Entry], ...] = (trace.seen, trace.state, trace.grads)
        entries = [entry for entries in self.lists for entry in entries if type(entry) is Observation]
        sizes = [entry.value.size for entry in entries]
        facts = [np.finfo(e.value.dtype) if e.value.dtype.kind == "f" else None for e in entries]
        self.narrow = any(entry.dtype in NARROW for entry in entries)
        self.eps = np.repeat([float(fact.eps) if fact else 0.0 for fact in facts], sizes)
        self.tiny = np.repeat([float(fact.smallest_subnormal) if fact else 0.0 for fact in facts], sizes)
        self.values = self.row(trace)
        self.largest = np.where(np.isfinite(self.values), np.abs(self.values), 0.0)
        self.error = np.zeros(self.values.shape)
        # Far enough to tell a slope from a jump, near enough for the coarsest dtype to stay on the slope.
        self.reach = 2 ** max(min((fact.nmant for fact in facts if fact), default=0) // 6, 3)

    def row(self, trace: Trace) -> np.ndarray:
        """The trace's numbers, NaN for those of a tensor that is gone or has another shape."""
        parts = [np.zeros(0)]
        lists: tuple[Sequence[Entry], ...] = (trace.seen, trace.state, trace.grads)
        for entries, others in zip(self.lists, lists, strict=True):
            for entry, other in zip_longest(entries, others[: len(entries)]):
                if type(entry) is not Observation:
                    continue
                if type(other) is Observation and other.value.shape == entry.value.shape:
                    parts.append(other.value.ravel())
                else:
                    parts.append(np.full(entry.value.size, np.nan))
        return np.concatenate(parts, dtype=np.float64, casting="unsafe")

    def astray(self, values: np.ndarray) -> np.ndarray:
        """How far each number is from its place; infinitely if it came to or from NaN, or is no float."""
        with np.errstate(all="ignore"):
            same = (values == self.values) | (np.isnan(values) & np.isnan(self.values))
            distance = np.where(same, 0.0, np.abs(values - self.values))
            distance[np.isnan(distance) | ((self.eps == 0.0) & ~same)] = np.inf
        return distance

    def scatter(self, seed: tuple[int, ...], amplitude: int) -> Iterator[np.ndarray]:
        """Disturbs the program over and over; yields how far each number has strayed at most."""
        most = np.zeros(self.values.shape)
        for i in count():
            disturbed = self.disturbed(self.engine, (*seed, i), amplitude)
            with np.errstate(all="ignore"):
                trace = run(self.program, cast(Engine, disturbed), self.plan)
            values = self.row(trace)
            if _course(trace) != self.course:
                values = np.where(np.isnan(values), self.values, values)  # what it did not reach gets no leave from it
            np.maximum(most, self.astray(values), out=most)
            np.maximum(self.largest, np.abs(values), out=self.largest, where=np.isfinite(values))
            yield most

    def widen(self) -> None:
        """Finds out how far off the oracle is where it computes in less than float64."""
        if self.narrow:
            trace = run(widened(self.program), self.engine)
            if _course(trace) == self.course:
                self.error = self.astray(self.row(trace))

    def combined(self, rounding: np.ndarray, near: np.ndarray, far: np.ndarray) -> np.ndarray:
        """The scatter with known numbers in place, and with them moved where that is a slope and no jump.

        Movements by one spacing may be rounded away inside an op. The slope then shows in those that go far.
        """
        follows = np.isfinite(far) & (far >= np.sqrt(self.reach) * near)
        return np.maximum(rounding, np.where(follows, np.maximum(near, far / self.reach), 0.0))

    def limits(self, deviation: np.ndarray) -> Limits:
        """How far apart both sides may be, if each strays as far as `SAFETY`, `FLOOR` and the oracle's error say."""
        unit = np.maximum(np.ldexp(self.eps, np.frexp(self.largest)[1] - 1), self.tiny)
        with np.errstate(over="ignore"):  # near the largest number, anything goes
            allowed = 2.0 * (SAFETY * deviation + FLOOR * unit + self.error)
        start = 0

        def part(entry: Entry) -> Limit:
            nonlocal start
            if type(entry) is not Observation:
                return None
            end = start + entry.value.size
            limit, start = allowed[start:end].reshape(entry.value.shape), end
            return limit

        return Limits(*([part(entry) for entry in entries] for entries in self.lists))
