"""How far apart two sound engines may be in one program: what rounding alone can do there.

The program is run again and again on the oracle's engine, and wherever numbers are rounded they are moved
up or down at random, by about as much as rounding may: what goes into an op that rounds, what comes out of
it (and so what the graph has saved of it), the gradients it hands back, the cotangents that the program
brings along. What cancels, what is divided by almost nothing, what jumps because a comparison turns out
the other way: all of it shows in how far the results scatter, whatever the order of the derivative. Zeros
stay zeros.

Ops that only move numbers, pick among them or round correctly (`EXACT`) do nothing of their own. So what
comes from leaves through these alone is known exactly, ties and kinks included, and no rounding excuses an
engine that treats them otherwise. Known numbers are moved too, in runs of their own, to learn how much
accuracy an op may lose inside; that counts as long as the result follows in proportion and does not jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, zip_longest
from typing import Any, cast

import numpy as np

from oracle.catalogue import OpSpec
from oracle.compare import NUMERIC, Divergence, HarnessError, Limit, Limits, compare, spacing
from oracle.engines.protocol import Engine, Tensor
from oracle.execute import run
from oracle.program import Leaf, Literal, Program
from oracle.trace import Observation, Trace

RUNS = 8
"""Runs of each kind. Two movements that cancel do so in every other run, in all of them once in 256 times."""

SAFETY = 2.0
"""One side's error is taken to be at most this many times the largest movement seen: in trials with programs
whose true error was known, it stayed below 1.8 times that."""

FLOOR = 4
"""Spacings at the largest value seen that one side may be off in any case, for its own last steps."""

ULPS = 2
"""Spacings of a result by which an op that rounds may be off, and so may be a gradient that it hands back."""

EXACT = frozenset({
    *("neg", "relu", "leaky_relu", "abs", "sign", "floor", "round", "clamp", "to", "double", "float"),
    *("add", "sub", "mul", "square", "add_operator", "sub_operator", "mul_operator"),
    *("maximum", "minimum", "gt", "lt", "eq", "where", "masked_fill", "amax", "amin", "max", "min", "sort"),
    *("index_basic", "index_tensor", "index_mask", "gather", "take_along_dim", "index_select"),
})  # fmt: skip
"""Ops that give the same numbers in every sound engine, given the same; as do those of the family "shape"."""

Size = np.ndarray | float

LOSSY: Mapping[str, tuple[Callable[[np.ndarray], Size], bool]] = {
    "gelu": (np.abs, True),  # x * (1 + erf(...)), which cancels for negative x
    "silu": (lambda x: 0.0, True),  # its derivative has terms that cancel
    "softmax": (lambda x: 0.0, True),
    "log_softmax": (lambda x: 1.0, True),  # the log of a sum with 1 as its largest term
    "logsumexp": (lambda x: 1.0, False),
}
"""Ops in whose formulas something cancels. First, by the first input, the size that their error goes with
where it is more than the result; then, whether the error of their gradients goes with those they get."""


def excuse(program: Program, engine: Engine, subject: Trace, oracle: Trace) -> Divergence | None:
    """The first divergence that rounding does not explain; None if there is none.

    `oracle` is what the program does on `engine`. Stops running as soon as the answer is certain.
    """
    base = _Base(program, engine, oracle)
    rounding = base.scatter((0, 0), 0.0)
    for more in (1, 1, 2):  # enough as a rule
        found = compare(program, subject, oracle, base.limits(_after(rounding, more)))
        if found is None or found.kind not in NUMERIC:
            return found
    far = _after(base.scatter((0, 1), base.reach), RUNS)
    found = compare(program, subject, oracle, base.limits(np.maximum(far, _after(rounding, 1))))
    if found is not None and found.kind in NUMERIC:
        return found  # more than that will not be allowed
    near = _after(base.scatter((0, 2), 1.0), RUNS)
    deviation = base.combined(_after(rounding, RUNS - 5), near, far)
    return compare(program, subject, oracle, base.limits(deviation))


def spread(program: Program, engine: Engine, trace: Trace, runs: int = RUNS, seed: int = 0) -> Limits:
    """What `compare` may let pass in `program`; `trace` is what it does on `engine`, left in peace.

    Runs the program three times `runs` times: the known numbers stay, move far, move by one spacing.
    """
    base = _Base(program, engine, trace)
    amplitudes = (0.0, base.reach, 1.0)
    rounding, far, near = (_after(base.scatter((seed, k), a), runs) for k, a in enumerate(amplitudes))
    return base.limits(base.combined(rounding, near, far))


def _after(rows: Iterator[np.ndarray], runs: int) -> np.ndarray:
    for _ in range(runs):
        row = next(rows)
    return row


class _Base:
    """The run left in peace, as one long row of numbers, and how far disturbed runs stray from it."""

    def __init__(self, program: Program, engine: Engine, trace: Trace) -> None:
        self.program, self.engine = program, engine
        self.fault = trace.fault
        self.lists = (trace.seen, trace.state, trace.grads)
        entries = [entry for entries in self.lists for entry in entries if entry is not None]
        sizes = [entry.value.size for entry in entries]
        facts = [np.finfo(e.value.dtype) if e.value.dtype.kind == "f" else None for e in entries]
        self.eps = np.repeat([float(fact.eps) if fact else 0.0 for fact in facts], sizes)
        self.tiny = np.repeat([float(fact.smallest_subnormal) if fact else 0.0 for fact in facts], sizes)
        self.values = self.row(trace)
        self.largest = np.where(np.isfinite(self.values), np.abs(self.values), 0.0)
        # Far enough to tell a slope from a jump, near enough for the coarsest dtype to stay on the slope.
        self.reach = 2.0 ** (min((fact.nmant for fact in facts if fact), default=0) // 6)

    def row(self, trace: Trace) -> np.ndarray:
        """The trace's numbers, NaN for those of a tensor that is gone or has another shape."""
        parts = [np.zeros(0)]
        for entries, others in zip(self.lists, (trace.seen, trace.state, trace.grads), strict=True):
            for entry, other in zip_longest(entries, others[: len(entries)]):
                if entry is None:
                    continue
                if other is not None and other.value.shape == entry.value.shape:
                    parts.append(other.value.ravel())
                else:
                    parts.append(np.full(entry.value.size, np.nan))
        return np.concatenate(parts, dtype=np.float64, casting="unsafe")

    def scatter(self, seed: tuple[int, ...], amplitude: float) -> Iterator[np.ndarray]:
        """Disturbs the program over and over; yields how far each number has strayed at most."""
        most = np.zeros(self.values.shape)
        for i in count():
            disturbed = _Disturbed(self.engine, np.random.default_rng((*seed, i)), amplitude)
            with np.errstate(all="ignore"):
                trace = run(self.program, cast(Engine, disturbed))
                if (trace.fault and trace.fault[:2]) != (self.fault and self.fault[:2]):
                    raise HarnessError(f"a program that was disturbed ended in another way: {trace.fault}")
                values = self.row(trace)
                same = (values == self.values) | (np.isnan(values) & np.isnan(self.values))
                moved = np.where(same, 0.0, np.abs(values - self.values))
                moved[np.isnan(moved) | ((self.eps == 0.0) & ~same)] = np.inf  # a NaN, or another choice made
            np.maximum(most, moved, out=most)
            np.maximum(self.largest, np.abs(values), out=self.largest, where=np.isfinite(values))
            yield most

    def combined(self, rounding: np.ndarray, near: np.ndarray, far: np.ndarray) -> np.ndarray:
        """The scatter with known numbers in place, and with them moved where that is a slope and no jump."""
        follows = np.isfinite(far) & (far >= np.sqrt(self.reach) * near)
        return np.maximum(rounding, np.where(follows, near, 0.0))

    def limits(self, deviation: np.ndarray) -> Limits:
        """How far apart both sides may be, if each strays as far as `SAFETY` and `FLOOR` say."""
        unit = np.maximum(np.ldexp(self.eps, np.frexp(self.largest)[1] - 1), self.tiny)
        allowed = 2.0 * (SAFETY * deviation + FLOOR * unit)
        start = 0

        def part(entry: Observation | None) -> Limit:
            nonlocal start
            if entry is None:
                return None
            end = start + entry.value.size
            limit, start = allowed[start:end].reshape(entry.value.shape), end
            return limit

        return Limits(*([part(entry) for entry in entries] for entries in self.lists))


class _Disturbed:
    """An engine that moves numbers where numbers are rounded; all else is as `engine` does it.

    `amplitude`: by how many spacings the known numbers move that go into an op that works element by element.
    Sums and the like round inside, in an order of their own: what goes into them moves by one in any case.
    """

    def __init__(self, engine: Engine, random: np.random.Generator, amplitude: float) -> None:
        self.engine = engine
        self.random = random
        self.amplitude = amplitude
        self.signs = np.zeros(0, np.int8)
        self.known: set[int] = set()  # by `id`, as a run keeps its tensors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def leaf(self, leaf: Leaf) -> Tensor:
        tensor = self.engine.leaf(leaf)
        self.known.add(id(tensor))
        return tensor

    def literal(self, literal: Literal) -> Tensor:
        tensor = self.engine.literal(literal)
        self.nudge(tensor, 1.0)
        return tensor

    def call(self, spec: OpSpec, tensors: Sequence[Tensor], params: Mapping[str, Any]) -> tuple[Tensor, ...]:
        if spec.family == "shape" or spec.name in EXACT:
            made = self.engine.call(spec, tensors, params)
            if all(id(tensor) in self.known for tensor in tensors):
                self.known.update(map(id, made))
            return made
        pointwise = spec.family == "pointwise"
        incoming: list[Size] = [0.0]  # the size of the gradient that the op gets, where it matters
        moved = [
            self.moved(tensor, self.amplitude if pointwise and id(tensor) in self.known else 1.0, incoming)
            for tensor in tensors
        ]
        made = self.engine.call(spec, moved, params)
        size, backwards = LOSSY.get(spec.name, (lambda x: 0.0, False))

        def note(gradient: Tensor) -> Tensor:
            given = np.abs(self.engine.memory(gradient))
            incoming[0] = given if pointwise else given.max(initial=0.0)
            return gradient

        for tensor in made:
            self.nudge(tensor, ULPS, size(self.engine.memory(moved[0])))
            if backwards and tensor.requires_grad:
                self.engine.hook(tensor, note)
        return made

    def moved(self, tensor: Tensor, amplitude: float, incoming: list[Size]) -> Tensor:
        """A tensor computed from `tensor` and a little beside it; the gradient it passes on moves too."""
        array = self.engine.memory(tensor)
        if array.dtype.kind != "f":
            return tensor
        moved = tensor + self.constant(array, amplitude, 0.0)
        if moved.requires_grad:
            self.engine.hook(moved, lambda g: g + self.constant(self.engine.memory(g), ULPS, incoming[0]))
        return moved

    def constant(self, array: np.ndarray, ulps: float, floor: Size) -> Tensor:
        return self.engine.module.tensor(self.steps(array, ulps, floor))

    def nudge(self, tensor: Tensor, ulps: float, floor: Size = 0.0) -> None:
        """Moves a tensor's numbers where they lie, so that what the graph has saved of them moves too."""
        array = self.engine.memory(tensor)
        if array.dtype.kind == "f":
            array += self.steps(array, ulps, floor)

    def steps(self, array: np.ndarray, ulps: float, floor: Size) -> np.ndarray:
        """So many spacings up or down for each number: its own, or those at `floor` if that is more.

        None for zeros where there is no floor; what is not finite stays what it is whatever is added.
        """
        size = np.maximum(np.abs(array), np.asarray(floor, array.dtype))
        steps = np.asarray(spacing(size))
        steps *= ulps
        steps *= self.up_or_down(array.size).reshape(array.shape)
        steps[size == 0] = 0.0
        return steps

    def up_or_down(self, count: int) -> np.ndarray:
        """As many random signs."""
        if count > self.signs.size:
            self.signs = self.random.integers(0, 2, count + 1024, np.int8) * 2 - 1
        signs, self.signs = self.signs[:count], self.signs[count:]
        return signs
