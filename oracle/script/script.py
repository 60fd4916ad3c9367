"""The statements drawn so far, and what is known of the tensors they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oracle.catalogue import OpSpec
from oracle.catalogue.params import FLOATS
from oracle.catalogue.scene import YES, Live, Scene
from oracle.program import Call, Leaf, Literal, Program, Statement


@dataclass(slots=True)
class Span:
    """A mode that was entered and not left: its name, the steps it has left, and the modes around it.

    restored: the grad mode that leaving it brings back, in a list that "again" shares with its span. bits: of
    the tensors there were when it was entered.
    """

    mode: str
    left: int
    recording: bool
    inference: bool
    restored: list[bool]
    bits: int


@dataclass(slots=True)
class Hooked:
    """A hook that was registered: its number, and whether it makes what runs it raise."""

    number: int
    raises: bool


@dataclass(slots=True)
class Pace:
    """How often a program's steps are what: of 64 steps those that are not ops; of 1000 those that ought to
    raise; whether they are dense in statements that change tensors, modes and hooks."""

    statements: int
    wrong: int = 0
    dense: bool = False


class Script:
    """Keeps statements with the live tensors they refer to; numbers come last, once all leaves are known."""

    def __init__(self, outline: int, specs: Sequence[OpSpec], lengths: Sequence[int], wild: int) -> None:
        self.scene = Scene(outline, wild)
        self.length = lengths[self.scene.take(len(lengths))]
        self.specs = specs
        self.pace = Pace(0)
        self.lines: list[tuple[Any, ...]] = []  # statement class, tensors created, fields
        self.spans: list[Span] = []
        self.freed = 0  # the bits of tensors whose graph a backward pass has given up
        self.spoiled = 0  # ... and of those that saved what was written since, or whose gradient raises
        self.kept: list[tuple[int, tuple[Live, ...]]] = []  # saved by nodes whose tensor has another one now
        self.reached = 0  # the bits of tensors that may have a .grad
        self.retained: list[Live] = []
        self.odd: list[Live] = []  # results that torch fails to move `retain_grad` for when they are written
        self.slots: list[tuple[Live, Live]] = []  # tensors, and others that are their .grad
        self.meant: set[int] = set()  # the statements that ought to raise, and those around them
        self.deleted = 0  # the bits of tensors that the program has let go
        self.tracked = False  # whether a .grad may have a graph
        self.last: Live | None = None  # what the last statement was about
        self.hooks: list[Hooked] = []
        self.hooked = 0  # numbers given to hooks
        self.watched: list[Live] = []  # with hooks of their own
        self.unhookable: list[Live] = []  # whose node is not where torch would register, or an own business
        self.frozen: list[Live] = []  # that required grad before: torch's node of them may be from then

    def emit(self, kind: type, *fields: Any, outputs: tuple[Live, ...] = ()) -> None:
        """Adds a statement with these fields."""
        self.lines.append((kind, outputs, *fields))

    def op(self, specs: Sequence[OpSpec]) -> None:
        """Applies one of these ops; another if its draw rule finds nothing."""
        scene = self.scene
        for _ in range(4):
            spec = specs[scene.take(len(specs))]
            drawn = spec.draw(scene) if spec.draw else None
            if drawn is not None and not (self.pace.dense and any(t.stale for t in drawn[0])):
                self.call(spec, *drawn)
                return

    def call(
        self,
        spec: OpSpec,
        inputs: tuple[Live, ...],
        params: dict[str, Any],
        outputs: tuple[Live, ...],
        through: str | None = None,
    ) -> None:
        """Applies an op."""
        if self.pace.dense and spec.aliases:
            _share(spec, inputs[0], params, outputs)
        self.scene.add(spec, inputs, outputs)
        self.lines.append((Call, outputs, spec.name, inputs, params, len(outputs), through))
        if outputs:
            if self.pace.dense and not spec.aliases:
                self.odd.extend(outputs[1:])
            last = outputs[self.scene.take(len(outputs))] if len(outputs) > 1 else outputs[0]
            self.last = last if last.dtype in FLOATS else None

    def new(self, live: Live) -> Live:
        """Makes a tensor live that no op made."""
        scene = self.scene
        live.bit = 1 << scene.bits
        scene.bits += 1
        if live.grad:
            live.graph |= live.bit
        (scene.floats if live.dtype in FLOATS else scene.others).append(live)
        return live

    def choose(self, among: Sequence[Live]) -> Live | None:
        """One of these: the focus, or one of the newest mostly."""
        return among[self.scene.start(among)] if among else None

    # What is known

    @property
    def usable(self) -> list[Live]:
        """The tensors a backward pass may start from; leaves only if there are no others."""
        gone = self.freed | self.spoiled
        fit = [t for t in self.scene.floats if t.grad == YES and not (t.graph & gone or t.stale)]
        return [t for t in fit if not t.leaf] or fit

    def inside(self, root: Live) -> list[Live]:
        """The tensors that a backward pass from the root reaches."""
        return [t for t in self.scene.floats if t.grad == YES and t.bit & root.graph and not t.stale]

    # The finished program

    def program(self) -> Program:
        """Numbers the tensors, and writes the statements with their numbers."""
        leaves: list[Leaf] = []
        for number, leaf in enumerate(self.scene.leaves):
            live = leaf.live
            live.number = number
            literal = Literal(live.dtype, leaf.shape, tuple(leaf.data))
            leaves.append(Leaf(literal, leaf.requires_grad, leaf.layout))
        number = len(leaves)
        statements: list[Statement] = []
        for kind, outputs, *fields in self.lines:
            statements.append(kind(*[_numbered(field) for field in fields]))
            for out in outputs:
                out.number = number
                number += 1
        return Program(tuple(leaves), tuple(statements))


_LEADING = frozenset({"select", "narrow", "unbind", "split", "chunk"})


def _share(spec: OpSpec, x: Live, params: dict[str, Any], outputs: tuple[Live, ...]) -> None:
    """Notes how outputs lie in the memory of x."""
    for out in outputs:
        if spec.name == "detach":
            out.alias = x
        if out.alias is None:
            continue
        if x.lapped or (spec.name in ("expand", "expand_as") and out.shape != x.shape):
            out.lapped = True
        if x.dense and spec.name in _LEADING and params["dim"] % len(x.shape) == 0:
            out.dense = True


def _numbered(field: Any) -> Any:
    if type(field) is Live:
        return field.number
    if type(field) is tuple and field:
        return tuple([t.number if type(t) is Live else t for t in field])
    return field
