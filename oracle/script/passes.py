"""Going backward: one pass from one or several roots, `grad`, and the endings of a program."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from oracle.catalogue import CATALOGUE
from oracle.catalogue.scene import MAYBE, NO, YES, Live
from oracle.catalogue.values import POOL, hashed, pool
from oracle.plan import LAYOUT
from oracle.program import Backward, Grad, Literal, ZeroGrad
from oracle.script.memory import spoil
from oracle.script.script import Script

ENDINGS = ("backward", "several", "twice", "grad", "second order", "none")
_BACKWARD, _SEVERAL, _TWICE, _GRAD, _SECOND_ORDER, _NONE = range(len(ENDINGS))


def root_of(script: Script) -> Live | None:
    """A tensor to go backward from: mostly the one with the largest graph."""
    fit = script.usable
    if fit and script.scene.take(8) < 6:
        return max(fit, key=lambda t: (t.graph.bit_count(), not t.uses))
    return script.choose([t for t in fit if not t.uses] or fit)


def roots_of(script: Script) -> list[Live]:
    """Several: most of the unused results, sometimes one inside the graph of another, or one twice."""
    fit = script.usable
    chosen = [t for t in fit if not t.uses][-3 - script.scene.take(6) :]
    if fit and (len(chosen) < 2 or script.scene.take(4) == 3):
        chosen.append(fit[script.scene.start(fit)])
    return chosen


def numbers(script: Script, shape: tuple[int, ...], dtype: str, place: int = 0) -> Literal:
    """Random numbers that are not all ones."""
    values = pool("cotangent", dtype)[0]
    salt = 1 + len(script.lines) << 16 | place  # leaves use the numbers below
    data = [values[i & (POOL - 1)] for i in hashed(script.scene.word, salt, prod(shape))]
    if data and all(value == 1.0 for value in data):
        data[0] = 2.0
    return Literal(dtype, shape, tuple(data))


def gradient(script: Script, root: Live, place: int = 0) -> Literal | None:
    """A random cotangent, seldom of another dtype; None half of the time for a root with one element."""
    digit = script.scene.take(64)
    if digit < 32 and prod(root.shape) == 1:
        return None
    return numbers(script, root.shape, root.dtype if digit < 63 else "float32", place)


def backward(script: Script, retain: bool | None = None) -> None:
    """From one root, now and then for some inputs only."""
    root = root_of(script)
    if root is None:
        return
    digit = script.scene.take(32)
    inputs = None
    if digit > 27:
        inside = script.inside(root)
        first, second = script.choose(inside), script.choose(inside)
        if first is None or second is None:
            return
        inputs = (first,) if first is second else (first, second)
    go(script, [root], retain, digit in (3, 4), inputs)


def kept_backward(script: Script) -> None:
    """In the middle of a program: mostly the graph is kept for what follows."""
    backward(script, (True, True, True, None)[script.scene.take(4)])


def go(
    script: Script,
    roots: Sequence[Live],
    retain: bool | None,
    create: bool = False,
    inputs: tuple[Live, ...] | None = None,
    gradients: tuple[Literal | Live | None, ...] | None = None,
    edges: str | None = None,
) -> None:
    """`backward` from these roots."""
    if gradients is None:
        gradients = tuple([gradient(script, root, place) for place, root in enumerate(roots)])
    script.emit(Backward, tuple(roots), gradients, retain, create, inputs, edges)
    script.tracked |= create
    script.retained.extend(t for t in inputs or () if not t.leaf)
    for root in roots:
        script.reached |= root.graph if inputs is None else sum({t.bit for t in inputs})
        if not (create if retain is None else retain):
            free(script, root)
    for t, slot in script.slots:
        if t.bit & script.reached:
            spoil(script, slot)  # accumulated into


def free(script: Script, root: Live) -> None:
    """Notes that the root's graph is given up."""
    leaves = sum(t.bit for t in script.scene.floats if t.leaf)
    script.freed |= root.graph & ~(leaves | script.deleted)


def grad(script: Script, root: Live | None = None, create: bool | None = None) -> Sequence[Live]:
    """`autograd.grad` for one or two tensors of a root's graph; returns the gradients sure to exist."""
    scene = script.scene
    root = root or root_of(script)
    if root is None:
        return ()
    inside = script.inside(root)
    leaves = [t for t in inside if t.leaf]
    first = script.choose(leaves if leaves and scene.take(4) < 3 else inside)
    if first is None:
        return ()
    inputs: tuple[Live, ...] = (first,)
    if scene.take(4) == 3 and (second := script.choose(inside)) is not first and second is not None:
        inputs = (first, second)
    if create is None:
        create = scene.take(2) == 1
    create = create and not root.stepped
    retain = None if create else (None, True, None, False)[scene.take(4)]
    outputs = tuple([gradient_of(script, root, x, create) for x in inputs])
    unused = root.guessed or scene.take(4) == 3
    gradients = (gradient(script, root),)
    script.emit(Grad, (root,), inputs, gradients, retain, create, unused, outputs=outputs)
    if not create and not retain:
        free(script, root)
    if root.guessed:
        return ()
    scene.floats.extend(outputs)
    return outputs


def gradient_of(script: Script, root: Live, x: Live, create: bool) -> Live:
    """The state of a gradient."""
    out = Live(x.shape, x.dtype, -100.0, 100.0)
    out.bit = 1 << script.scene.bits
    script.scene.bits += 1
    out.guessed = True
    out.link = "grad"
    out.inference = script.scene.inference
    out.grad = curvature(script.scene.floats, root, x) if create else NO
    if create and (script.deleted or (x.alias is not None and x.link in LAYOUT)):  # x may be its alias itself
        out.grad = out.grad or MAYBE
    if out.grad:
        out.graph = root.graph | out.bit
        out.leaf = False
    return out


def several(script: Script, retain: bool | None) -> None:
    """From several roots at once."""
    if roots := roots_of(script):
        go(script, roots, retain, script.scene.take(32) == 31)


def twice(script: Script) -> None:
    """Twice over one graph, accumulating, or zeroing in between."""
    root = root_of(script)
    if root is None:
        return
    go(script, [root], True)
    if script.scene.take(2):
        zero_grad(script)
    other = root_of(script) if script.scene.take(2) else root
    go(script, [other or root], None)


def zero_grad(script: Script) -> None:
    """Of a leaf, mostly one that has a `.grad`."""
    leaves = [t for t in script.scene.floats if t.leaf and t.alias is None and not t.inference]
    if t := script.choose([t for t in leaves if t.bit & script.reached] or leaves):
        script.emit(ZeroGrad, t, "zero_" if script.scene.take(2) else "none")


def second_order(script: Script) -> None:
    """Gradients that have a graph, and `backward` or `grad` from one of them."""
    found = grad(script, create=True)
    sure = [g for g in found if g.grad == YES]
    root = sure[-1] if sure else weighted(script, found)
    if root is None or root.graph & script.freed:
        return
    if script.scene.take(4) == 3:
        grad(script, root)
    else:
        go(script, [root], (None, True)[script.scene.take(2)], script.scene.take(8) == 7)


def weighted(script: Script, found: Sequence[Live]) -> Live | None:
    """A gradient times a leaf: that requires grad whether or not the gradient does."""
    spec = CATALOGUE["mul"]
    if not found or spec not in script.specs:
        return None
    g = found[0]
    leaves = [t for t in script.scene.floats if t.leaf and t.grad == YES]
    leaf = script.choose([t for t in leaves if t.shape == g.shape and t.dtype == g.dtype])
    if leaf is None:
        return None
    out = Live(g.shape, g.dtype)
    script.call(spec, (g, leaf), {}, (out,))
    return out


def ending(script: Script, how: int) -> None:
    """Goes backward at the end, in one of the ways of ENDINGS."""
    if how == _BACKWARD:
        backward(script)
    elif how == _SEVERAL:
        several(script, (None, True)[script.scene.take(2)])
    elif how == _TWICE:
        twice(script)
    elif how == _GRAD:
        grad(script)
    elif how == _SECOND_ORDER:
        second_order(script)
    if _SEVERAL < how < _NONE and script.scene.take(4):
        several(script, None)


def curvature(floats: Sequence[Live], root: Live, x: Live) -> int:
    """Whether the gradient of root for x requires grad itself: NO, MAYBE or YES.

    floats: the live tensors, every one after those it was computed from.
    """
    levels = {root.bit: NO}
    for t in reversed(floats):
        level = levels.get(t.bit)
        if level is None or t is x:
            continue
        if t.spec is None:  # a gradient, or a tensor that was written: what is behind it is not followed
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
