"""Sequences that are drawn on purpose, since what is of interest lies in how statements act on each other."""

from __future__ import annotations

from collections.abc import Callable
from math import nan, prod

from oracle.catalogue import CATALOGUE
from oracle.catalogue.scene import MAYBE, NO, YES, Live
from oracle.program import Literal
from oracle.script import custom, duals, hooks, inplace, modes, slots, variants, views, writes
from oracle.script.memory import SAVE_RESULT, base, family, restricted, unclear
from oracle.script.modes import leave, opened
from oracle.script.passes import go, second_order
from oracle.script.script import Script

PAIRS = ("saved_identity", "saved_alias", "saved_numpy", "saved_doubled", "saved_negated")

Move = Callable[[Script], object]


def source(script: Script) -> None:
    """A result that can be written: an op on a leaf, mostly."""
    scene = script.scene
    fit = [t for t in scene.floats if t.grad == YES and t.leaf and t.dtype != "float16" and not t.stale]
    fit = [t for t in fit if 0 not in t.shape and not t.inference]
    x = script.choose(fit) if fit and scene.take(3) else None
    if x is None:
        x = scene.leaf(scene.shape(1, some=True), dtype=scene.dtype)
    _applied(script, ("mul", "square", "clone", "sin", "add", "clone")[scene.take(6)], x)


def use(script: Script) -> None:
    """An op of the focus, one that saves it or its result."""
    if script.last is not None:
        _applied(script, ("mul", "sin", "exp", "sum", "square", "sigmoid", "add")[script.scene.take(7)], script.last)


def use_unsaved(script: Script) -> None:
    """An op of the focus that saves nothing."""
    if script.last is not None:
        _applied(script, ("add", "sum", "neg")[script.scene.take(3)], script.last)


def pair(script: Script) -> None:
    """A product of the focus and a leaf that requires grad."""
    x = script.last
    if x is not None and not (x.stale or x.inference):
        y = script.scene.leaf(x.shape, dtype=x.dtype, requires_grad=True)
        most = 100 * max(abs(x.low), abs(x.high), 1.0)
        script.call(CATALOGUE["mul"], (x, y), {}, (Live(x.shape, x.dtype, -most, most, x.dense),))


def halfway(script: Script) -> None:
    """A custom function of the focus and a leaf, one of which requires no grad."""
    x = script.last
    if x is not None and x.grad != MAYBE and not (x.stale or x.inference):
        y = script.scene.leaf(x.shape, dtype=x.dtype, requires_grad=x.grad == NO)
        custom.apply(script, ("needs", "two_inputs")[script.scene.take(2)], x, other=y)


def _applied(script: Script, name: str, x: Live) -> None:
    if x.stale or (x.inference and not script.scene.inference):
        return
    if name == "exp" and x.high > 20:
        name = "sin"
    spec = CATALOGUE[name]
    most = max(abs(x.low), abs(x.high), 1.0)
    most *= 10 * most
    shape = () if name == "sum" else x.shape
    out = Live(shape, x.dtype, -most, most, x.dense)
    if name == "sin":
        out.low, out.high = -1.0, 1.0
    inputs: tuple[Live, ...] = (x,)
    if name in ("mul", "add"):
        inputs = (x, inplace.mate(script, x, x.shape, exact=True))
    script.call(spec, inputs, {}, (out,))


def write_it(script: Script) -> None:
    """Writes the focus, if it can be written."""
    t = script.last
    if t in writes.targets(script):
        writes.write(script, t, writes.PLAIN)


def write_base(script: Script) -> None:
    """Writes what the focus is a view of."""
    t = script.last
    if t is not None and (root := base(t)) in writes.targets(script):
        writes.write(script, root, writes.PLAIN)
        script.last = t


def write_relative(script: Script) -> None:
    """Writes a tensor that shares memory with the focus."""
    t = script.last
    if t is None:
        return
    among = set(map(id, writes.targets(script)))
    fit = [m for m in family(script, t) if m is not t and id(m) in among]
    if fit:
        writes.write(script, fit[script.scene.take(len(fit))], writes.PLAIN)
        script.last = t


def spoil(script: Script) -> None:
    """An op of the focus, and a write to what it saved."""
    t = script.last
    if t is None or t.stale or t.inference:
        return
    name = ("exp", "square", "sigmoid", "sin", "mul", "tanh")[script.scene.take(6)]
    _applied(script, name, t)
    out = script.last
    target = out if name in SAVE_RESULT else t
    if target is not None and target in writes.targets(script):
        writes.write(script, target, writes.PLAIN)
    script.last = out


def pass_kept(script: Script) -> None:
    """`backward`, keeping the graph."""
    if root := variants.root_near(script):
        go(script, [root], True, gradients=(variants.seed(script, root, constant=script.hooked > 0),))


def pass_freeing(script: Script) -> None:
    """`backward`, giving the graph up."""
    if root := variants.root_near(script):
        go(script, [root], None, gradients=(variants.seed(script, root, constant=script.hooked > 0),))


def pass_creating(script: Script) -> None:
    """`backward` with a graph of its own."""
    root = variants.root_near(script)
    if root is not None and not root.stepped:
        go(script, [root], None, True)


def pass_to_one(script: Script) -> None:
    """`backward` of the focus for one operand only."""
    root = script.last
    if root is not None and root in script.usable and root.parents:
        inside = [x for x in root.parents if x in script.inside(root)]
        if inside:
            go(script, [root], True, inputs=(inside[script.scene.take(len(inside))],))


def pass_nan(script: Script) -> None:
    """`backward` of the focus from NaN."""
    root = script.last
    if root is not None and root in script.usable and not root.leaf and root.shape.count(0) == 0:
        numbers = Literal(root.dtype, root.shape, (nan,) * prod(root.shape))
        go(script, [root], True, gradients=(numbers,))


def node_hook(script: Script) -> None:
    """A hook of the node of the focus."""
    if script.last in hooks.hookable(script):
        hooks.register(script, "node", script.last, ("observe", "observe", "scale"))


def all_hooks(script: Script) -> None:
    """Hooks of all places on one tensor."""
    t = script.last
    order = ["tensor", "node_pre", "node", "multi_all", "multi_any", "post_accumulate", "tensor"]
    start = script.scene.take(len(order))
    for place in order[start:] + order[:start]:
        if t is not None and t in hooks.hookable(script) and (t.leaf or place != "post_accumulate"):
            hooks.register(script, place, t, ("observe", "observe", "scale"))


def a_leaf(script: Script) -> None:
    """Goes on with a leaf."""
    if fit := [t for t in script.scene.floats if t.leaf and t.grad == YES and not t.stale and t.alias is None]:
        script.last = fit[script.scene.take(len(fit))]


def back(script: Script) -> None:
    """Goes back from a view to its base."""
    if script.last is not None:
        script.last = base(script.last)


def within(mode: str, *moves: Move) -> Move:
    """The moves inside a mode."""

    def move(script: Script) -> None:
        if len(script.spans) > 2 or modes.clashes(script, mode):
            return
        opened(script, mode, 99)
        follow(script, moves)
        leave(script)

    return move


def packed_twice(script: Script) -> None:
    """Hooks for saved tensors within others."""
    outer, inner = (PAIRS[script.scene.take(len(PAIRS))] for _ in range(2))
    if modes.fits(script, outer):
        within(outer, use, within(inner, use), use)(script)


def view(script: Script) -> None:
    """A view that torch may write."""
    views.view(script, views.SINGLE)


def views_of(script: Script) -> None:
    """Several views at once."""
    views.view(script, views.MULTIPLE)


def alias(script: Script) -> None:
    """What shares memory but not the graph."""
    views.view(script, ("detach", "data"))


def viewed_by_function(script: Script) -> None:
    """A custom function that returns a view, or its very input."""
    t = script.last
    if t is not None and t.grad != MAYBE and not t.stale and not unclear(t) and not t.inference:
        custom.apply(script, ("viewing", "returned_as_is")[script.scene.take(2)], t)


def doubled(script: Script) -> None:
    """A custom function that writes the focus."""
    t = script.last
    if t is not None and t in writes.targets(script) and not restricted(t) and writes.sound(script, t):
        custom.write_through(script, t)


def dual(script: Script) -> None:
    """Makes a dual of the focus."""
    duals.make_dual(script)


SCENARIOS: tuple[tuple[Move, ...], ...] = (
    (source, use, write_it, pass_kept),
    (source, spoil, use, write_relative),
    (source, use, write_base, use, pass_freeing),
    (source, view, write_base, slots.inspect, use, pass_kept),
    (source, view, write_it, back, use, pass_freeing),
    (source, view, view, write_relative, use, pass_kept),
    (source, view, write_it, write_base, slots.inspect, use, pass_kept),
    (source, slots.retain_grad, write_it, use, pass_kept, slots.zero_grad, pass_freeing),
    (source, hooks.hook, write_it, hooks.hook, use, pass_kept),
    (source, alias, write_it, back, use, pass_kept),
    (source, alias, slots.set_requires_grad, use, pass_freeing),
    (source, within("no_grad", view, write_it), use, pass_kept),
    (source, within("no_grad", view), write_base, use),
    (source, within("no_grad", write_it), use, pass_freeing),
    (source, within("inference_mode", view, use), write_it),
    (source, views_of, write_base, slots.inspect),
    (source, views_of, use, pass_kept),
    (source, viewed_by_function, use, pass_kept),
    (source, view, doubled, back, use, pass_kept),
    (source, doubled, use, pass_kept),
    (source, use, pass_kept, pass_kept, slots.zero_grad, pass_freeing),
    (a_leaf, slots.set_grad, use, pass_kept, slots.read_grad, pass_kept),
    (source, use, pass_kept, slots.read_grad, write_it, pass_freeing),
    (source, use, pass_creating, slots.read_grad, pass_kept, slots.zero_grad, pass_kept),
    (source, all_hooks, use, pass_kept),
    (a_leaf, all_hooks, use, pass_kept, pass_freeing),
    (source, view, write_it, use, second_order),
    (source, write_it, use, second_order),
    (source, use, use, second_order),
    (within("no_grad", source, custom.checkpoint, use), pass_kept),
    (source, custom.checkpoint, pass_kept, pass_freeing),
    (within("dual_level", source, dual, use, use, duals.unpack_dual), use),
    (source, within("dual_level", dual), within("dual_level", duals.unpack_last), use),
    (within("dual_level", source, dual, use, write_it, use, duals.unpack_dual), pass_kept),
    (source, within("saved_alias", use), write_it, pass_kept),
    (source, within("saved_numpy", use), write_it, pass_kept),
    (source, within("saved_doubled", use), pass_kept),
    (source, within("saved_identity", use), write_it, pass_kept),
    (source, within("allow_mutation", use, write_it, pass_kept)),
    (source, within("anomaly", use, pass_kept)),
    (source, within("anomaly", use, pass_nan), use, pass_kept),
    (source, pair, node_hook, pass_to_one, pass_kept),
    (source, halfway, use, pass_kept),
    (source, within("pack_raises", use_unsaved, within("no_grad", use)), use, pass_kept),
    (within("thread", source, use, pass_kept), use),
    (a_leaf, slots.set_data, use, pass_kept),
    (source, use, slots.delete, pass_kept, slots.delete, pass_freeing),
    (source, use, variants.any_pass, use, variants.any_pass),
    (a_leaf, within("no_grad", write_it), use, pass_freeing, within("no_grad", write_it)),
    (source, within("no_grad", within("again", use), use), use, pass_kept),
    (source, within("enable_grad", within("again", use), use), use, pass_kept),
    (source, within("grad_disabled", within("again", use), use), use, pass_kept),
    (source, within("no_grad", within("enable_grad", use), modes.set_grad_enabled, use), use, pass_kept),
    (source, within("inference_mode", within("enable_grad", use), use), use),
    (source, packed_twice, pass_kept),
    (source, packed_twice, pass_kept),
    (source, within("inference_mode", use, within("inference_mode_off", use)), use, pass_kept),
)


def scenario(script: Script) -> None:
    """One of SCENARIOS, with other statements around it."""
    follow(script, SCENARIOS[script.scene.take(len(SCENARIOS))])


def follow(script: Script, moves: tuple[Move, ...]) -> None:
    """Makes the moves one after another."""
    for move in moves:
        _do(script, move)


def _do(script: Script, move: Move) -> None:
    """Makes a move, mostly of what the last one was about."""
    scene = script.scene
    scene.feed(scene.word)
    scene.focus = script.last if scene.take(8) else None
    move(script)
