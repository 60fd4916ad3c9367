"""Passes in all their forms: edges, gradients that are tensors, batches, materialised gradients."""

from __future__ import annotations

from oracle.catalogue.scene import MAYBE, NO, YES, Live
from oracle.program import Grad, Literal
from oracle.script.custom import SIMPLE, reentrant
from oracle.script.modes import altering, within
from oracle.script.passes import free, go, gradient, gradient_of, numbers
from oracle.script.script import Script

_RETAIN = (True, True, None, True, None, False, True, None)


def root_near(script: Script) -> Live | None:
    """A tensor to go backward from: one that depends on the focus, if there is one."""
    fit = script.usable
    focus = script.scene.focus
    if focus is not None and script.scene.take(4):
        near = [t for t in fit if t.graph & focus.bit]
        fit = near or fit
    if fit and script.scene.take(3) == 0:
        return max(fit, key=lambda t: t.graph.bit_count())
    return fit[-1 - script.scene.take(min(len(fit), 4))] if fit else None


def any_pass(script: Script) -> None:
    """`backward` or `grad` in any of its forms."""
    scene = script.scene
    if scene.inference and scene.take(4):
        return
    root = root_near(script)
    if root is None:
        return
    if scene.take(5) < 3 or reentrant(script, root):
        any_backward(script, root)
    else:
        any_grad(script, root)


def any_backward(script: Script, root: Live) -> None:
    """From one root or two, for all inputs or some."""
    scene = script.scene
    roots = [root]
    if scene.take(6) == 5 and (other := root_near(script)) is not None:
        roots.append(other)
    retain = _RETAIN[scene.take(8)]
    create = scene.take(6) == 5 and not any(r.stepped for r in roots) and not altering(script)
    inputs = None
    if scene.take(5) == 4 and not any(reentrant(script, r) for r in roots):
        inputs = _inputs(script, root)
    edges = None
    if scene.take(8) == 7:
        edges = ("roots", "inputs", "both")[scene.take(3 if inputs and not scene.inference else 1)]
    constant = not create and script.hooked > 0
    given = tuple([seed(script, r, edges, k, constant) for k, r in enumerate(roots)])
    go(script, roots, retain, create, inputs, given, edges)
    script.last = root


def seed(
    script: Script, root: Live, edges: str | None = None, place: int = 0, constant: bool = False
) -> Literal | Live | None:
    """What a pass starts from: numbers, or a tensor of the program; constant: one that requires no grad."""
    # Where no graph is asked for, whether a gradient is the seed itself, or a view of it, which requires grad
    # with it, is an engine's own business.
    scene = script.scene
    if scene.take(5) == 4:
        most = NO if constant else YES
        fit = [
            t
            for t in scene.floats
            if t.shape == root.shape and t.dtype == root.dtype and t.grad in (NO, most)
            and not (t.stale or t.inference)
        ]  # fmt: skip
        if fit:
            return fit[-1 - scene.take(min(len(fit), 3))]
    if edges in ("roots", "both"):
        return numbers(script, root.shape, root.dtype, place)
    return gradient(script, root, place)


def _inputs(script: Script, root: Live) -> tuple[Live, ...] | None:
    inside = script.inside(root)
    if not inside:
        return None
    first = inside[script.scene.take(len(inside))]
    if script.scene.take(3) == 2:
        return (first, inside[script.scene.take(len(inside))])
    return (first,)


def any_grad(script: Script, root: Live) -> None:
    """For one input or two, used or not."""
    scene = script.scene
    inputs = _inputs(script, root)
    if inputs is None:
        return
    materialize = scene.take(6) == 5
    unused: bool | None = None
    if materialize or root.guessed or scene.take(6) == 5:
        others = [t for t in scene.floats if t.grad == YES and not t.stale]
        if others and scene.take(2):
            inputs = (*inputs, others[scene.take(len(others))])
        unused = None if materialize and scene.take(2) else True
    create = scene.take(3) == 2 and not root.stepped and not altering(script)
    retain = _RETAIN[scene.take(8)]
    edges = None
    if scene.take(8) == 7:
        edges = ("roots", "inputs", "both")[scene.take(1 if materialize or scene.inference else 3)]
    roots: tuple[Live, ...] = (root,)
    if scene.take(6) == 5:
        other = root_near(script) if scene.take(3) else root
        if other is not None and not (other.guessed or other.stepped or reentrant(script, other)):
            roots = (root, other)
    given = tuple([seed(script, r, edges, k, not create) for k, r in enumerate(roots)])
    outputs = tuple([gradient_of(script, root, x, create) for x in inputs])
    batched = len(roots) == 1 and scene.take(6) == 5 and edges is None and plain(script, root) and not materialize
    if batched:
        given = (numbers(script, (2, *root.shape), root.dtype),)
        for out in outputs:
            out.shape = (2, *out.shape)
            script.unhookable.append(out)  # how gradients by the batch come about is an engine's own business
    if len(roots) > 1:
        for out in outputs:
            out.grad = MAYBE if create else NO
    script.emit(
        Grad, roots, inputs, given, retain, create, unused, edges, materialize, batched, outputs=outputs
    )
    if not (create if retain is None else retain):
        for r in roots:
            free(script, r)
        for out in outputs:
            out.stale = create  # what it has of a graph may be gone
    sure = [out for out, x in zip(outputs, inputs, strict=True) if x.bit & root.graph or materialize]
    if not root.guessed:
        for out in sure:
            if materialize:
                out.grad = MAYBE if create else NO
            scene.floats.append(out)
    script.last = outputs[0] if outputs[0] in sure and not root.guessed else root


def plain(script: Script, root: Live) -> bool:
    """Whether all of its graph are simple ops, and nothing looks on while gradients are batched."""
    if script.hooks or script.hooked or script.retained or within(script, "anomaly"):
        return False
    reached = [t for t in script.scene.floats if t.bit & root.graph]
    return all(t.leaf or (t.spec is not None and t.spec.name in SIMPLE) for t in reached)
