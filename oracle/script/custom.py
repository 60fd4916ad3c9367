"""Calls of custom functions, and calls through a checkpoint."""

from __future__ import annotations

from oracle.catalogue import CATALOGUE
from oracle.catalogue.scene import MAYBE, NO, Live
from oracle.catalogue.values import SMALL
from oracle.functions import FUNCTIONS
from oracle.script.inplace import mate
from oracle.script.memory import restricted, widen, wrote
from oracle.script.modes import altering, within
from oracle.script.script import Script
from oracle.script.writes import refused, sound, targets

RAISE_FORWARD = ("saved_number", "raising_forward", "both_named", "marked_dirty_only")
RAISE_BACKWARD = (
    *("too_few", "too_many", "gradient_for_a_number", "as_a_list", "wrong_shape", "no_tensor"),
    *("raising_backward", "no_backward"),
)
WRITING = ("doubled_in_place", "written_in_secret")
SOUND = tuple(name for name in FUNCTIONS if name not in (*RAISE_FORWARD, *RAISE_BACKWARD, *WRITING))
_NUMBERED = frozenset({"with_setup", "scaled", "gradient_for_a_number"})


def custom(script: Script, names: tuple[str, ...] = (*SOUND, *WRITING)) -> Live | None:
    """Calls one of these custom functions; returns its first output."""
    scene = script.scene
    name = names[scene.take(len(names))]
    if name in WRITING:
        return _writing(script, name)
    if altering(script) and name not in ("saved_input", "saved_output"):
        name = "saved_input"
    x = script.choose([t for t in scene.floats if t.grad != MAYBE and not t.stale and not _barred(script, t)])
    if x is None or x.link == "grad" and name in ("returned_as_is", "viewing"):
        return None
    if name == "saved_output" and x.high > SMALL.high:
        name = "saved_input"
    return apply(script, name, x)


def apply(script: Script, name: str, x: Live, fails: bool = False, other: Live | None = None) -> Live:
    """Calls a custom function that does not write, with `other` as its second input if it takes two.

    fails: it raises, and what it should have made is not there.
    """
    spec = CATALOGUE[f"custom_{name}"]
    inputs: tuple[Live, ...] = (x,)
    if spec.inputs[0] == 2:
        inputs = (x, other or mate(script, x, x.shape, exact=True))
    outputs = [Live(x.shape, x.dtype) for _ in range(spec.outputs[0])]
    most = max(abs(x.low), abs(x.high)) * 4
    for out in outputs:
        out.low, out.high = -most, most
    if spec.aliases:
        outputs[0].alias = x
        outputs[0].lapped = x.lapped
        if name == "viewing":
            outputs[0].shape = (1, *x.shape)
    if name == "saved_output":
        outputs[0].low, outputs[0].high = 0.0, 1e9
    if name == "with_places":
        outputs[1].dtype = "int64"
    if name == "returned_twice":
        outputs[1] = outputs[0]
    params = {"factor": (2.0, 3.0, -0.5)[script.scene.take(3)]} if name in _NUMBERED else {}
    if fails:
        script.call(spec, inputs, params, tuple(outputs))
        for out in outputs:
            script.scene.floats.remove(out)
        script.last = x
        return x
    made = tuple(outputs[:1]) if name == "returned_twice" else tuple(outputs)
    script.call(spec, inputs, params, made)
    if name == "returned_twice":  # one object with two names
        kind, _, op, given, passed, _, through = script.lines[-1]
        script.lines[-1] = (kind, (made[0], made[0]), op, given, passed, 2, through)
    for out in made:
        if out.grad:
            out.stepped = True  # what has no graph of its own cannot be asked for one
    if name == "all_marked" or name in ("with_mask", "with_places"):
        marked = outputs[0] if name == "all_marked" else outputs[1]
        marked.grad, marked.graph, marked.leaf = NO, 0, True
    if name == "no_gradient":
        for out in made:
            out.guessed = True  # the gradient may be None
    return outputs[0]


def _barred(script: Script, t: Live) -> bool:
    """Whether a function cannot be given it here."""
    return (t.inference and not script.scene.inference) or (within(script, "dual_level") and t.link == "make_dual")


def _writing(script: Script, name: str) -> Live | None:
    """Calls a function that writes its input."""
    t = script.choose([t for t in targets(script) if not restricted(t)])
    if t is None or not sound(script, t) or refused(script, t) or altering(script):
        return None
    return write_through(script, t) if name == "doubled_in_place" else write_in_secret(script, t)


def write_through(script: Script, t: Live) -> Live:
    """Writes a tensor by a function that says so."""
    script.call(CATALOGUE["custom_doubled_in_place"], (t,), {}, ())
    wrote(script, t, (), ())
    widen(script, t, 2 * t.low, 2 * t.high, True)
    script.last = t
    return t


def write_in_secret(script: Script, t: Live) -> Live:
    """Writes a tensor by a function that does not say so."""
    scene = script.scene
    recording, scene.recording = scene.recording, False
    wrote(script, t, (), ())  # forward runs without recording
    scene.recording = recording
    widen(script, t, 2 * t.low, 2 * t.high, True)
    out = Live(t.shape, t.dtype, t.low, t.high)
    script.call(CATALOGUE["custom_written_in_secret"], (t,), {}, (out,))
    return out


SIMPLE = ("sin", "exp", "mul", "square", "sigmoid", "tanh", "mul", "relu", "add", "sum", "div", "maximum", "matmul")
_FUNCTIONS = ("saved_input", "two_inputs", "needs", "materialized", "modes")


def checkpoint(script: Script) -> None:
    """An op through a checkpoint."""
    scene = script.scene
    through = "reentrant_checkpoint" if scene.take(3) == 0 else "checkpoint"
    if within(script, "saving_disabled") or altering(script) or within(script, "dual_level"):
        return
    name = SIMPLE[scene.take(len(SIMPLE))]
    spec = CATALOGUE[name]
    drawn = spec.draw(scene) if spec.draw else None
    if drawn is None or any(t.stale or t.inference or t.grad == MAYBE for t in drawn[0]):
        return
    inputs, params, outputs = drawn
    if scene.take(5) == 4 and inputs[0] in scene.floats:
        out = apply(script, _FUNCTIONS[scene.take(len(_FUNCTIONS))], inputs[0])
        line = list(script.lines[-1])
        line[-1] = through
        script.lines[-1] = tuple(line)
        outputs = (out,)
    else:
        script.call(spec, inputs, params, outputs, through)
    for out in outputs:
        out.stepped = True  # gradients of gradients are not asked for
        if through.startswith("reentrant") and out.grad:
            out.link = "reentrant"


def reentrant(script: Script, root: Live) -> bool:
    """Whether the root's graph has a reentrant checkpoint, which allows no `grad` and no `inputs`."""
    return any(t.link == "reentrant" and t.bit & root.graph for t in script.scene.floats)
