"""Runs of a program in which rounding is larger than it is, or smaller: what error bounds are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from oracle.catalogue import OpSpec
from oracle.engines.protocol import Engine, Tensor
from oracle.near import NEAR, spacing
from oracle.program import Backward, Call, Grad, Hook, Leaf, Literal, Program, Statement

ULPS = NEAR
"""Spacings of a result by which an op that rounds may be off, and so may be a gradient that it hands back."""

EXACT = frozenset({
    *("neg", "relu", "leaky_relu", "abs", "sign", "floor", "round", "clamp", "to", "double", "float"),
    *("add", "sub", "mul", "square", "add_operator", "sub_operator", "mul_operator"),
    *("maximum", "minimum", "gt", "lt", "eq", "where", "masked_fill", "amax", "amin", "max", "min", "sort"),
    *("index_basic", "index_tensor", "index_mask", "gather", "take_along_dim", "index_select"),
})  # fmt: skip
"""Ops that give the same numbers in every sound engine, given the same; as do those of the family "shape"."""

EITHER_ZERO = frozenset({"maximum", "minimum", "amax", "amin", "max", "min"})
"""Ops of which nobody knows whether 0 or -0 comes out where both tie: torch itself answers by the position of
the element in a vector register."""

EITHER_NAN = frozenset({"elu"})
"""Ops of which nobody knows what gradient they hand back at NaN: in torch NaN or that of the positive branch, by
the position of the element in a vector register."""

Size = np.ndarray | float


class Loss(NamedTuple):
    """What the error of an op goes with where that is more than its results, since parts of its formula
    cancel.

    `value`: by the first input, the size of what cancels in the op itself. `gradient`: by the first input,
    how much larger what cancels in a gradient it hands back is than the gradient it is given; None: nothing
    does.
    """

    value: Callable[[np.ndarray], Size]
    gradient: Callable[[np.ndarray], Size] | None


def _over_spread(x: np.ndarray) -> Size:
    """The size of numbers over how far they are from their mean, along whichever dimension it is least.

    What `std` hands back is a difference from the mean over the spread: nothing is left of it where all
    numbers are the same but for rounding.
    """
    if not x.size:
        return 0.0
    spreads = [x.std()] + [x.std(axis=k).min() for k in range(x.ndim)]
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.abs(x).max() / np.array(min(spreads), np.float64), nan=0.0, posinf=1e300)


LOSSY: Mapping[str, Loss] = {
    "std": Loss(lambda x: np.abs(x).max(initial=0.0), _over_spread),
    "gelu": Loss(np.abs, lambda x: 1.0 + x * x),  # x * (1 + erf(...)) or x * (1 + tanh(x + x**3 / ...))
    "silu": Loss(lambda x: 0.0, lambda x: 1.0 + np.abs(x)),
    "softmax": Loss(lambda x: 0.0, lambda x: 1.0),
    "log_softmax": Loss(lambda x: 1.0, lambda x: 1.0),  # the log of a sum with 1 as its largest term
    "logsumexp": Loss(lambda x: 1.0, None),
}

SIGNS = np.array([1, -1], np.float16).repeat(ULPS)
LEVELS = SIGNS * np.tile(np.arange(1, ULPS + 1, dtype=np.float16), 2)


class Disturbed:
    """An engine that moves numbers at random where numbers are rounded; all else is as `engine` does it.

    Ops that round have their inputs moved, a spacing up or down; their results, together with what the graph
    has saved of them, and the gradients that they hand back, by 1 to `ULPS` spacings; and so have
    cotangents, by one. Zeros stay zeros, of either sign where they are sums or picked from several.

    What comes from leaves through exact ops alone is known to every engine. `amplitude` says by how many
    spacings such numbers move that go into an op which works element by element. Sums and the like round
    inside, in an order of their own: what goes into them moves by one in any case. The same seed gives the
    same ups and downs whatever the amplitude.
    """

    def __init__(self, engine: Engine, seed: Sequence[int], amplitude: int) -> None:
        self.engine = engine
        self.random = np.random.default_rng(seed)
        self.amplitude = amplitude
        self.draws = np.zeros(0, np.int8)
        self.zero = -0.0 if seed[-1] % 2 else 0.0  # of ties and of sums: one run this, the next run that
        self.known: set[int] = set()  # by `id`, as a run keeps its tensors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def leaf(self, leaf: Leaf) -> Tensor:
        tensor = self.engine.leaf(leaf)
        self.known.add(id(tensor))
        return tensor

    def literal(self, literal: Literal) -> Tensor:
        tensor = self.engine.literal(literal)
        self.nudge(tensor, SIGNS)
        return tensor

    def call(self, spec: OpSpec, tensors: Sequence[Tensor], params: Mapping[str, Any]) -> tuple[Tensor, ...]:
        if spec.family == "shape" or spec.name in EXACT:
            made = self.engine.call(spec, tensors, params)
            if all(id(tensor) in self.known for tensor in tensors):
                self.known.update(map(id, made))
            if spec.name in EITHER_ZERO:
                self.choose_zeros(made[0])
            return made
        pointwise, loss = spec.family == "pointwise", LOSSY.get(spec.name)
        gradients = _Gradients(self, pointwise)
        if spec.name in EITHER_NAN:
            gradients.unknown = np.isnan(self.engine.memory(tensors[0]))
        moved = []
        for tensor in tensors:
            array = self.engine.memory(tensor)
            if array.dtype.kind == "f":
                known = pointwise and id(tensor) in self.known
                tensor = tensor + self.constant(array, SIGNS * self.amplitude if known else SIGNS)
                if tensor.requires_grad:
                    self.engine.hook(tensor, gradients.handed_back)
            moved.append(tensor)
        made = self.engine.call(spec, moved, params)
        first = self.engine.memory(moved[0])
        if loss is not None and loss.gradient is not None and made[0].requires_grad:
            gradients.gain = loss.gradient(first)
            self.engine.hook(made[0], gradients.given)
        for tensor in made:
            self.nudge(tensor, LEVELS, 0.0 if loss is None else loss.value(first))
            if not pointwise:
                self.choose_zeros(tensor)
                self.choose_overflow(tensor, tensors)
        return made

    def choose_overflow(self, made: Tensor, tensors: Sequence[Tensor]) -> None:
        """Sums of finite numbers that overflow inside give an infinity or NaN: that depends on their order, and on
        whether products are rounded before they are added."""
        array = self.engine.memory(made)
        if array.dtype.kind != "f" or np.isfinite(array).all():
            return
        if all(np.isfinite(self.engine.memory(tensor)).all() for tensor in tensors):
            array[~np.isfinite(array)] = np.nan if np.signbit(self.zero) else np.inf

    def constant(self, array: np.ndarray, multiples: np.ndarray, floor: Size = 0.0) -> Tensor:
        """What to add to move an array's numbers, as a tensor."""
        return self.engine.module.tensor(self.steps(array, multiples, floor))

    def nudge(self, tensor: Tensor, multiples: np.ndarray, floor: Size = 0.0) -> None:
        """Moves a tensor's numbers where they lie, so that what the graph has saved of them moves too."""
        array = self.engine.memory(tensor)
        if array.dtype.kind == "f":
            array += self.steps(array, multiples, floor)

    def steps(self, array: np.ndarray, multiples: np.ndarray, floor: Size) -> np.ndarray:
        """For each number one of the multiples of its spacing, or of that at `floor` if that is more.

        None for zeros where there is no floor; what is not finite stays what it is whatever is added.
        """
        size = np.maximum(np.abs(array), np.asarray(floor, array.dtype))
        steps = np.asarray(spacing(size))
        steps *= multiples[self.drawn(array.size)].reshape(array.shape)
        steps[size == 0] = -0.0  # which, unlike 0.0, leaves a -0.0 what it is
        return steps

    def choose_zeros(self, tensor: Tensor) -> None:
        """Gives all zeros the sign that this run has for those whose sign is an engine's own business."""
        array = self.engine.memory(tensor)
        if array.dtype.kind == "f":
            array[array == 0] = self.zero

    def drawn(self, count: int) -> np.ndarray:
        """As many random places in a list of multiples."""
        if count > self.draws.size:
            self.draws = self.random.integers(0, SIGNS.size, count + 1024, np.int8)
        draws, self.draws = self.draws[:count], self.draws[count:]
        return draws


class _Gradients:
    """The gradients that one call of an op is given and hands back: the latter move.

    They move at least as numbers of the size do that cancels: `gain` times what the op was given. For second
    derivatives by the input that is times both gradients, for those by the given gradient times the second.
    """

    def __init__(self, disturbed: Disturbed, pointwise: bool) -> None:
        self.disturbed, self.pointwise = disturbed, pointwise
        self.gain: Size = 0.0
        self.size: Size = 0.0  # of what was given
        self.second: Size = 0.0  # of what was given in a second pass, for what was handed back
        self.unknown: np.ndarray | None = None  # the places where a gradient may be NaN or not

    def given(self, gradient: Tensor) -> Tensor:
        self.size = np.maximum(self.size, self.size_of(gradient))
        if gradient.requires_grad:
            self.disturbed.engine.hook(gradient, self.handed_back_second)
        return gradient

    def handed_back_second(self, gradient: Tensor) -> Tensor:
        array = self.disturbed.engine.memory(gradient)
        return gradient + self.disturbed.constant(array, LEVELS, self.second * self.gain)

    def handed_back(self, gradient: Tensor) -> Tensor:
        engine, size = self.disturbed.engine, self.size
        array = engine.memory(gradient)
        moved = gradient + self.disturbed.constant(array, LEVELS, size * self.gain)
        if self.unknown is not None and self.unknown.any():
            engine.memory(moved)[self.unknown] = np.nan if np.signbit(self.disturbed.zero) else 0.0
        if np.any(self.gain) and moved.requires_grad:

            def given_again(second: Tensor) -> Tensor:
                self.second = np.maximum(self.second, self.size_of(second))
                self.size = np.maximum(self.size, size * self.second)
                return second

            engine.hook(moved, given_again)
        return moved

    def size_of(self, gradient: Tensor) -> Size:
        sizes = np.abs(self.disturbed.engine.memory(gradient))
        return sizes if self.pointwise else sizes.max(initial=0.0)


NARROW = ("float16", "float32")


def widened(program: Program) -> Program:
    """The program in float64 throughout, so that hardly anything is rounded; its leaves are the same
    numbers."""

    def wide(literal: Literal) -> Literal:
        return replace(literal, dtype="float64") if literal.dtype in NARROW else literal

    def widen(statement: Statement) -> Statement:
        match statement:
            case Call(op="float"):
                return replace(statement, op="double")
            case Call(params={"dtype": dtype}) if dtype in NARROW:
                return replace(statement, params={**statement.params, "dtype": "float64"})
            case Backward() | Grad():
                gradients = (wide(g) if isinstance(g, Literal) else g for g in statement.gradients)
                return replace(statement, gradients=tuple(gradients))
            case Hook(value=Literal() as value):
                return replace(statement, value=wide(value))
        return statement

    leaves = (replace(leaf, value=wide(leaf.value)) for leaf in program.leaves)
    return Program(tuple(leaves), tuple(map(widen, program.statements)))
