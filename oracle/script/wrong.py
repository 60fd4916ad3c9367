"""Statements that ought to raise: going backward."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from oracle.catalogue import CATALOGUE
from oracle.catalogue.scene import NO, YES, Live
from oracle.catalogue.values import pool
from oracle.program import Backward, Grad, Hook, Literal, RemoveHook, RequiresGrad, RetainGrad
from oracle.script.custom import RAISE_BACKWARD, apply
from oracle.script.hooks import WRONG as WRONG_ACTIONS
from oracle.script.hooks import hookable, register
from oracle.script.passes import free, go, gradient, numbers, root_of
from oracle.script.scenarios import follow, source, spoil, use
from oracle.script.script import Script


def through_freed(script: Script) -> None:
    """Twice, without keeping the graph (no error where nothing was saved in it)."""
    if root := root_of(script):
        go(script, [root], None)
        go(script, [root], None)


def without_gradient(script: Script) -> None:
    """A root of several elements, and no gradient."""
    wrong_backward(script, [t for t in _sure(script) if prod(t.shape) != 1], None)


def with_wrong_shape(script: Script) -> None:
    """A gradient of another shape."""
    if t := script.choose(_sure(script)):
        shape = (*t.shape, 2) if script.scene.take(2) else (3, *t.shape)
        values = pool("cotangent", t.dtype)[0]
        wrong_backward(script, [t], Literal(t.dtype, shape, tuple(values[: prod(shape)])))


def without_graph(script: Script) -> None:
    """A root that does not require grad."""
    if t := script.choose([t for t in script.scene.floats if t.grad == NO]):
        wrong_backward(script, [t], gradient(script, t))


def wrong_backward(script: Script, among: Sequence[Live], given: Literal | float | None) -> None:
    """`backward` from one of these."""
    if t := script.choose(among):
        script.emit(Backward, (t,), (given,), None, False, None)


def retain_without_graph(script: Script) -> None:
    """`retain_grad` of what does not require grad."""
    if t := script.choose([t for t in script.scene.floats if t.grad == NO]):
        script.emit(RetainGrad, t)


def turn_off_result(script: Script) -> None:
    """`requires_grad_(False)` of a result."""
    if t := script.choose([t for t in _sure(script) if not t.leaf]):
        script.emit(RequiresGrad, t, False)


def unused_input(script: Script) -> None:
    """`grad` for a tensor that the root does not depend on."""
    root = root_of(script)
    if root is None or root.guessed:
        return
    if t := script.choose([t for t in _sure(script) if not t.bit & root.graph]):
        out = Live(t.shape, t.dtype)
        script.emit(Grad, (root,), (t,), (gradient(script, root),), None, False, False, outputs=(out,))


def _sure(script: Script) -> list[Live]:
    return [t for t in script.scene.floats if t.grad == YES and not t.stale]


# More of these, in programs that are dense in them


def through_spoiled(script: Script) -> None:
    """A graph that saved what was written since, or that was freed."""
    gone = script.spoiled if script.scene.take(3) else script.spoiled | script.freed
    if not (script.scene.recording and any(t.graph & script.spoiled for t in _sure(script))):
        follow(script, (source, spoil, use))
    if t := script.choose([t for t in _sure(script) if t.graph & gone]):
        go(script, [t], True)


def odd_gradients(script: Script) -> None:
    """A number in place of a gradient, too few gradients, or none, to `backward` or `grad`."""
    root = root_of(script)
    if root is None:
        return
    inside = script.inside(root)
    how = script.scene.take(5)
    if how == 0:
        wrong_backward(script, [root], 1.0)
    elif how == 1 or not inside:
        script.emit(Backward, (root, root), (gradient(script, root),), True, False, None)
    else:
        roots, given = (((root, root), (gradient(script, root),)), ((root,), (None,)), ((root,), (1.0,)))[how - 2]
        out = Live(inside[0].shape, inside[0].dtype)
        script.emit(Grad, roots, (inside[0],), given, True, False, None, outputs=(out,))


def no_inputs(script: Script) -> None:
    """An empty list of inputs, to `backward` or `grad`."""
    if root := root_of(script):
        given = (numbers(script, root.shape, root.dtype),)
        if script.scene.take(2):
            script.emit(Backward, (root,), given, None, False, ())
        else:
            script.emit(Grad, (root,), (), given, None, False, None)


def constant_input(script: Script) -> None:
    """An input that does not require grad, as a tensor or an edge."""
    root = root_of(script)
    t = script.choose([t for t in script.scene.floats if t.grad == NO and not t.inference])
    if root is None or t is None:
        return
    given = (numbers(script, root.shape, root.dtype),)
    edges = "inputs" if script.scene.take(3) == 2 else None
    if script.scene.take(2):
        script.emit(Backward, (root,), given, True, False, (t,), edges)
    else:
        out = Live(t.shape, t.dtype)
        script.emit(Grad, (root,), (t,), given, True, False, None, edges, outputs=(out,))


def unmaterialized(script: Script) -> None:
    """`materialize_grads` with `allow_unused=False`, or with an edge."""
    root = root_of(script)
    if root is None:
        return
    t = script.choose(script.inside(root))
    if t is None:
        return
    given, out = (numbers(script, root.shape, root.dtype),), Live(t.shape, t.dtype)
    if script.scene.take(2):
        script.emit(Grad, (root,), (t,), given, True, False, False, None, True, outputs=(out,))
    else:
        script.emit(Grad, (root,), (t,), given, True, False, None, "inputs", True, outputs=(out,))


def misbatched(script: Script) -> None:
    """`is_grads_batched` with gradients that have no batch."""
    root = root_of(script)
    t = None if root is None else script.choose(script.inside(root))
    if root is None or t is None or not root.shape:
        return
    out = Live(t.shape, t.dtype)
    given = (numbers(script, (2, *root.shape[1:], 7), root.dtype),)
    script.emit(Grad, (root,), (t,), given, True, False, None, None, False, True, outputs=(out,))


def custom_backward(script: Script) -> None:
    """A custom function whose gradient is wrong, and a pass through it; then another beside it."""
    scene = script.scene
    fit = [t for t in _sure(script) if not t.inference and not t.guessed]
    x = script.choose(fit)
    if x is None or not scene.recording:
        return
    beside = root_of(script)
    out = apply(script, RAISE_BACKWARD[scene.take(len(RAISE_BACKWARD))], x)
    if not out.grad:
        return
    script.spoiled |= out.bit
    roots = [out] if scene.take(2) or beside is None or beside.graph & script.spoiled else [beside, out]
    go(script, roots, True)


def twice_differentiated(script: Script) -> None:
    """A function that is differentiable once, twice."""
    x = script.choose([t for t in _sure(script) if not t.inference])
    if x is None or not script.scene.recording:
        return
    y = apply(script, "once", x)
    if y.grad != YES:
        return
    seed = script.scene.leaf(y.shape, dtype=y.dtype)
    out = Live(x.shape, x.dtype)
    script.emit(Grad, (y,), (x,), (seed,), None, True, None, outputs=(out,))
    if seed.grad:
        script.emit(Backward, (out,), (numbers(script, x.shape, x.dtype),), None, False, None)
    free(script, y)


def wrong_hook(script: Script) -> None:
    """A hook that raises or returns what it should not, a pass, and mostly its removal."""
    scene = script.scene
    root = root_of(script)
    if root is None:
        return
    inside = [t for t in script.inside(root) if t in hookable(script)]
    t = script.choose(inside)
    if t is None:
        return
    places = ("tensor", "node", "node_pre", "multi_all", "multi_any", *("post_accumulate",) * 4)
    register(script, places[scene.take(9 if t.leaf else 5)], t, WRONG_ACTIONS)
    if not script.lines or script.lines[-1][0] is not Hook:
        return
    go(script, [root], True)
    if script.hooks[-1].raises:
        script.emit(RemoveHook, script.hooks.pop().number)
        if scene.take(2):
            go(script, [root], True)


def unhookable(script: Script) -> None:
    """A hook on what does not require grad, or one after accumulation on a result."""
    scene = script.scene
    if scene.take(2):
        t = script.choose([t for t in script.scene.floats if t.grad == NO and not t.stale])
        place = ("tensor", "post_accumulate", "node", "node_pre", "multi_all")[scene.take(5)]
    else:
        t = script.choose([t for t in hookable(script) if not t.leaf])
        place = "post_accumulate"
    if t is not None:
        script.emit(Hook, script.hooked, place, (t,), "observe", None)
        script.hooked += 1


def broadcast_wrongly(script: Script) -> None:
    """Two tensors whose shapes do not go together."""
    if t := script.choose([t for t in script.scene.floats if not t.stale]):
        other = script.scene.leaf((7, 5), dtype=t.dtype)
        out = Live((7, 5), t.dtype)
        script.call(CATALOGUE["mul"], (t, other), {}, (out,))
        script.scene.floats.remove(out)
        script.last = t


BACKWARD = (
    *(through_freed, without_gradient, with_wrong_shape, without_graph),
    *(through_freed, retain_without_graph, turn_off_result, unused_input),
)
"""What programs of all profiles end with."""

MORE = (
    *(through_spoiled, through_spoiled, odd_gradients, no_inputs, constant_input, unmaterialized, misbatched),
    *(custom_backward, custom_backward, twice_differentiated, wrong_hook, wrong_hook, wrong_hook, unhookable),
    broadcast_wrongly,
)
