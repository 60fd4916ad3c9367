"""A program in the making: decodes steps into statements, and follows what is live, recorded and freed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from oracle.catalogue import CATALOGUE, OpSpec
from oracle.catalogue.scene import MAYBE, NO, YES, Live, Scene
from oracle.catalogue.values import POOL, hashed, pool
from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Leaf,
    Literal,
    Program,
    RequiresGrad,
    RetainGrad,
    Statement,
    ZeroGrad,
)

ENDINGS = ("backward", "several", "twice", "grad", "second order", "none")
_BACKWARD, _SEVERAL, _TWICE, _GRAD, _SECOND_ORDER, _NONE = range(len(ENDINGS))
_DEPTH = 3  # of modes within each other


class Script:
    """Keeps statements with the live tensors they refer to; numbers come last, once all leaves are known."""

    def __init__(
        self, outline: int, specs: Sequence[OpSpec], lengths: Sequence[int], statements: int, wild: int
    ) -> None:
        self.scene = Scene(outline, wild)
        self.length = lengths[self.scene.take(len(lengths))]
        self.specs = specs
        self.share = 64 - statements  # of 64 steps, those that are ops
        self.lines: list[tuple[Any, ...]] = []  # statement class, tensors created, fields
        self.modes: list[list[Any]] = []  # entered and not left: whether it records, steps left
        self.freed = 0  # the bits of tensors whose graph a backward pass has given up
        self.reached = 0  # the bits of tensors that may have a .grad

    # Steps

    def step(self, word: int) -> None:
        """Adds one op, or another statement, or nothing where nothing fits."""
        scene = self.scene
        scene.feed(word)
        if scene.take(64) < self.share:
            self.op()
        else:
            _STATEMENTS[scene.take(len(_STATEMENTS))](self)
        if self.modes:
            self.modes[-1][1] -= 1
            while self.modes and self.modes[-1][1] <= 0:
                self.leave()

    def op(self) -> None:
        """Applies an op; another if its draw rule finds nothing."""
        scene, specs = self.scene, self.specs
        for _ in range(4):
            spec = specs[scene.take(len(specs))]
            drawn = spec.draw(scene) if spec.draw else None
            if drawn is not None:
                self.call(spec, *drawn)
                return

    def call(
        self, spec: OpSpec, inputs: tuple[Live, ...], params: dict[str, Any], outputs: tuple[Live, ...]
    ) -> None:
        self.scene.add(spec, inputs, outputs)
        self.lines.append((Call, outputs, spec.name, inputs, params, len(outputs)))

    def enter(self) -> None:
        """A mode for up to three steps, this one included."""
        if len(self.modes) < _DEPTH:
            how = self.scene.take(8)
            recording = how > 5 or (how > 3 and bool(self.modes))
            self.modes.append([recording, 1 + self.scene.take(3)])
            self.scene.recording = recording
            self.lines.append((Enter, (), "enable_grad" if recording else "no_grad"))

    def leave(self) -> None:
        self.modes.pop()
        self.scene.recording = self.modes[-1][0] if self.modes else True
        self.lines.append((Exit, ()))

    def retain_grad(self) -> None:
        if t := self.choose([t for t in self.scene.floats if t.grad == YES and not t.leaf]):
            self.lines.append((RetainGrad, (), t))

    def zero_grad(self) -> None:
        leaves = [t for t in self.scene.floats if t.leaf and t.alias is None]
        if t := self.choose([t for t in leaves if t.bit & self.reached] or leaves):
            self.lines.append((ZeroGrad, (), t, "zero_" if self.scene.take(2) else "none"))

    def requires_grad(self) -> None:
        """Turns it on or off for a leaf that shares its numbers with no other tensor."""
        # Not those that `grad` made: whether two of them are one tensor, or share memory, is an engine's business.
        among = [t for t in self.scene.floats if t.leaf and t.alias is None and not (t.viewed or t.guessed)]
        if t := self.choose(among):
            value = t.grad == NO
            t.grad, t.graph = (YES, t.bit) if value else (NO, 0)
            self.lines.append((RequiresGrad, (), t, value))

    # Going backward

    def choose(self, among: Sequence[Live]) -> Live | None:
        return among[self.scene.start(among)] if among else None

    def usable(self) -> list[Live]:
        """The tensors a backward pass may start from; leaves only if there are no others."""
        freed = self.freed
        fit = [t for t in self.scene.floats if t.grad == YES and not t.graph & freed]
        return [t for t in fit if not t.leaf] or fit

    def root(self) -> Live | None:
        """A tensor to go backward from: mostly the one with the largest graph."""
        fit = self.usable()
        if fit and self.scene.take(8) < 6:
            return max(fit, key=lambda t: (t.graph.bit_count(), not t.uses))
        return self.choose([t for t in fit if not t.uses] or fit)

    def roots(self) -> list[Live]:
        """Several: most of the unused results, sometimes one inside the graph of another, or one twice."""
        fit = self.usable()
        chosen = [t for t in fit if not t.uses][-3 - self.scene.take(6) :]
        if fit and (len(chosen) < 2 or self.scene.take(4) == 3):
            chosen.append(fit[self.scene.start(fit)])
        return chosen

    def gradient(self, root: Live, place: int = 0) -> Literal | None:
        """A random cotangent, seldom of another dtype; None half of the time for a root with one element."""
        digit = self.scene.take(64)
        count = prod(root.shape)
        if count == 1 and digit < 32:
            return None
        dtype = root.dtype if digit < 63 else "float32"
        values = pool("cotangent", dtype)[0]
        salt = 1 + len(self.lines) << 16 | place  # leaves use the numbers below
        data = [values[i & (POOL - 1)] for i in hashed(self.scene.word, salt, count)]
        if data and all(value == 1.0 for value in data):
            data[0] = 2.0
        return Literal(dtype, root.shape, tuple(data))

    def backward(self, retain: bool | None = None) -> None:
        """From one root, now and then for some inputs only."""
        root = self.root()
        if root is None:
            return
        digit = self.scene.take(32)
        inputs = None
        if digit > 27:
            inside = [t for t in self.scene.floats if t.grad == YES and t.bit & root.graph]
            first, second = self.choose(inside), self.choose(inside)
            inputs = (first,) if first is second else (first, second)
        self.go([root], retain, digit in (3, 4), inputs)

    def kept_backward(self) -> None:
        """In the middle of a program: mostly the graph is kept for what follows."""
        self.backward((True, True, True, None)[self.scene.take(4)])

    def go(
        self,
        roots: Sequence[Live],
        retain: bool | None,
        create: bool = False,
        inputs: tuple[Live | None, ...] | None = None,
    ) -> None:
        gradients = tuple([self.gradient(root, place) for place, root in enumerate(roots)])
        self.lines.append((Backward, (), tuple(roots), gradients, retain, create, inputs))
        for root in roots:
            self.reached |= root.graph
            if not (create if retain is None else retain):
                self.free(root)

    def free(self, root: Live) -> None:
        leaves = sum(t.bit for t in self.scene.floats if t.leaf)
        self.freed |= root.graph & ~leaves

    def grad(self, root: Live | None = None, create: bool | None = None) -> Sequence[Live]:
        """`autograd.grad` for one or two tensors of a root's graph; returns the gradients sure to exist."""
        scene = self.scene
        root = root or self.root()
        if root is None:
            return ()
        inside = [t for t in scene.floats if t.grad == YES and t.bit & root.graph]
        leaves = [t for t in inside if t.leaf]
        first = self.choose(leaves if leaves and scene.take(4) < 3 else inside)
        if first is None:
            return ()
        inputs: tuple[Live, ...] = (first,)
        if scene.take(4) == 3 and (second := self.choose(inside)) is not first and second is not None:
            inputs = (first, second)
        if create is None:
            create = scene.take(2) == 1
        create = create and not root.stepped
        retain = None if create else (None, True, None, False)[scene.take(4)]
        outputs = tuple([self.gradient_of(root, x, create) for x in inputs])
        unused = root.guessed or scene.take(4) == 3
        gradients = (self.gradient(root),)
        self.lines.append((Grad, outputs, (root,), inputs, gradients, retain, create, unused))
        if not create and not retain:
            self.free(root)
        if root.guessed:
            return ()
        scene.floats.extend(outputs)
        return outputs

    def gradient_of(self, root: Live, x: Live, create: bool) -> Live:
        """The state of a gradient."""
        out = Live(x.shape, x.dtype, -100.0, 100.0)
        out.bit = 1 << self.scene.bits
        self.scene.bits += 1
        out.guessed = True
        out.grad = curvature(self.scene.floats, root, x) if create else NO
        if out.grad:
            out.graph = root.graph | out.bit
            out.leaf = False
        return out

    # Endings

    def end(self, word: int, endings: Sequence[int], invalid: int) -> None:
        """Leaves all modes and goes backward; in `invalid` of 1000 programs with an error to follow."""
        scene = self.scene
        scene.feed(word)
        while self.modes:
            self.leave()
        if not scene.leaves:
            scene.leaf(scene.shape())
        wrong = scene.take(1000) >= 1000 - invalid
        how = endings[scene.take(len(endings))]
        if how == _BACKWARD:
            self.backward()
        elif how == _SEVERAL:
            self.several((None, True)[scene.take(2)])
        elif how == _TWICE:
            self.twice()
        elif how == _GRAD:
            self.grad()
        elif how == _SECOND_ORDER:
            self.second_order()
        if _SEVERAL < how < _NONE and scene.take(4):
            self.several(None)
        if wrong:
            _INVALID[scene.take(len(_INVALID))](self)

    def several(self, retain: bool | None) -> None:
        if roots := self.roots():
            self.go(roots, retain, self.scene.take(32) == 31)

    def twice(self) -> None:
        """Twice over one graph, accumulating, or zeroing in between."""
        root = self.root()
        if root is None:
            return
        self.go([root], True)
        if self.scene.take(2):
            self.zero_grad()
        other = self.root() if self.scene.take(2) else root
        self.go([other or root], None)

    def second_order(self) -> None:
        """Gradients that have a graph, and `backward` or `grad` from one of them."""
        found = self.grad(create=True)
        sure = [g for g in found if g.grad == YES]
        root = sure[-1] if sure else self.weighted(found)
        if root is None or root.graph & self.freed:
            return
        if self.scene.take(4) == 3:
            self.grad(root)
        else:
            self.go([root], (None, True)[self.scene.take(2)], self.scene.take(8) == 7)

    def weighted(self, found: Sequence[Live]) -> Live | None:
        """A gradient times a leaf: that requires grad whether or not the gradient does."""
        spec = CATALOGUE["mul"]
        if not found or spec not in self.specs:
            return None
        g = found[0]
        leaves = [t for t in self.scene.floats if t.leaf and t.grad == YES]
        leaf = self.choose([t for t in leaves if t.shape == g.shape and t.dtype == g.dtype])
        if leaf is None:
            return None
        out = Live(g.shape, g.dtype)
        self.call(spec, (g, leaf), {}, (out,))
        return out

    # Statements that ought to raise

    def through_freed(self) -> None:
        """Twice, without keeping the graph (no error where nothing was saved in it)."""
        if root := self.root():
            self.go([root], None)
            self.go([root], None)

    def without_gradient(self) -> None:
        self.wrong_backward([t for t in self.scene.floats if t.grad == YES and prod(t.shape) != 1], None)

    def with_wrong_shape(self) -> None:
        if t := self.choose([t for t in self.scene.floats if t.grad == YES]):
            shape = (*t.shape, 2) if self.scene.take(2) else (3, *t.shape)
            values = pool("cotangent", t.dtype)[0]
            self.wrong_backward([t], Literal(t.dtype, shape, tuple(values[: prod(shape)])))

    def without_graph(self) -> None:
        if t := self.choose([t for t in self.scene.floats if t.grad == NO]):
            self.wrong_backward([t], self.gradient(t))

    def wrong_backward(self, among: Sequence[Live], gradient: Literal | None) -> None:
        if t := self.choose(among):
            self.lines.append((Backward, (), (t,), (gradient,), None, False, None))

    def retain_without_graph(self) -> None:
        if t := self.choose([t for t in self.scene.floats if t.grad == NO]):
            self.lines.append((RetainGrad, (), t))

    def turn_off_result(self) -> None:
        if t := self.choose([t for t in self.scene.floats if t.grad == YES and not t.leaf]):
            self.lines.append((RequiresGrad, (), t, False))

    def unused_input(self) -> None:
        root = self.root()
        if root is None or root.guessed:
            return
        if t := self.choose([t for t in self.scene.floats if t.grad == YES and not t.bit & root.graph]):
            out = Live(t.shape, t.dtype)
            self.lines.append((Grad, (out,), (root,), (t,), (self.gradient(root),), None, False, False))

    # The finished program

    def program(self) -> Program:
        """Numbers the tensors, and writes the statements with their numbers."""
        leaves: list[Leaf] = []
        for number, leaf in enumerate(self.scene.leaves):
            live = leaf.live
            live.number = number
            literal = Literal(live.dtype, live.shape, tuple(leaf.data))
            leaves.append(Leaf(literal, leaf.requires_grad, leaf.layout))
        number = len(leaves)
        statements: list[Statement] = []
        for kind, outputs, *fields in self.lines:
            statements.append(kind(*[_numbered(field) for field in fields]))
            for out in outputs:
                out.number = number
                number += 1
        return Program(tuple(leaves), tuple(statements))


def _numbered(field: Any) -> Any:
    if type(field) is Live:
        return field.number
    if type(field) is tuple and field and type(field[0]) is Live:
        return tuple([t.number for t in field])
    return field


_STATEMENTS = (
    Script.kept_backward,
    Script.enter,
    Script.grad,
    Script.kept_backward,
    Script.enter,
    Script.enter,
    Script.grad,
    Script.retain_grad,
    Script.retain_grad,
    Script.zero_grad,
    Script.requires_grad,
    Script.kept_backward,
)

_INVALID = (
    Script.through_freed,
    Script.without_gradient,
    Script.with_wrong_shape,
    Script.without_graph,
    Script.through_freed,
    Script.retain_without_graph,
    Script.turn_off_result,
    Script.unused_input,
)


def curvature(floats: Sequence[Live], root: Live, x: Live) -> int:
    """Whether the gradient of root for x requires grad itself: NO, MAYBE or YES.

    floats: the live tensors, every one after those it was computed from.
    """
    levels = {root.bit: NO}
    for t in reversed(floats):
        level = levels.get(t.bit)
        if level is None or t is x:
            continue
        if t.spec is None:  # a gradient: what it was computed from is not followed
            levels[x.bit] = max(levels.get(x.bit, NO), MAYBE if t.graph & x.bit else NO)
        for i, parent in enumerate(t.parents):
            if parent.graph & x.bit:
                levels[parent.bit] = max(levels.get(parent.bit, NO), _curved(t, i, level))
    return levels.get(x.bit, NO)


def _curved(t: Live, i: int, level: int) -> int:
    """The same one op further, for the i-th of its inputs, given the level above the op."""
    kind = t.spec.gradient if t.spec else "unsure"
    if kind == "others":
        return max(level, *(p.grad for j, p in enumerate(t.parents) if j != i), NO)
    return {"self": YES, "maybe": max(level, MAYBE), "zero": NO, "unsure": MAYBE}.get(kind, level)
