"""Writes in place: which tensors they may go to, and what the program knows afterwards."""

from __future__ import annotations

from oracle.catalogue import CATALOGUE
from oracle.catalogue.scene import MAYBE, Live
from oracle.program import IncrementVersion
from oracle.script.inplace import RULES, Write
from oracle.script.memory import base, counter, hidden, keep, restricted, settle, spoil, unclear, widen, wrote
from oracle.script.modes import altering, within
from oracle.script.script import Script


def sound(script: Script, t: Live) -> bool:
    """Whether a write to it is defined, and every engine's own business alone, whether it raises or not."""
    if unclear(t) or t.dtype == "float16" and script.scene.take(4):
        return False
    if _loses_hook(script, t):
        return False
    return not (hidden(script, t) or (altering(script) and not script.scene.recording))


def _loses_hook(script: Script, t: Live) -> bool:
    """Whether torch would fail an assertion after a write: it has to move the hook of `retain_grad` to another node,
    and looks for it at another output than the first, or at the node from before the tensor was reshaped."""
    counted = counter(t)
    return any(m in script.retained and counter(m) is counted for m in script.odd)


def refused(script: Script, t: Live, others: tuple[Live, ...] = ()) -> bool:
    """Whether torch refuses to write it here."""
    scene = script.scene
    if t.inference and (not scene.inference or within(script, "allow_mutation")):
        return True
    if not scene.recording:
        return False
    root = base(t)
    if root.grad and root.leaf:
        return True
    required = bool(root.grad) or any(o.grad for o in others)
    return (required and restricted(t)) or t.stale


def targets(script: Script) -> list[Live]:
    """The tensors that can be written here."""
    return [t for t in script.scene.floats if not unclear(t) and not refused(script, t) and t.grad != MAYBE]


NAMES = tuple(RULES)
PLAIN = ("mul_", "add_", "mul_", "setitem", "copy_", "sin_", "zero_", "exp_", "div_", "fill_", "pow_", "sub_")
"""Those that scenarios write with."""


def write(script: Script, t: Live | None = None, names: tuple[str, ...] = NAMES) -> None:
    """Writes a tensor that can be written here."""
    if t is None:
        t = script.choose(targets(script))
    if t is None or not sound(script, t):
        return
    for _ in range(3):
        name = names[script.scene.take(len(names))]
        if altering(script) and name not in ("add_", "neg_", "zero_", "fill_", "copy_"):
            continue
        drawn = RULES[name](script, t)
        if drawn is not None and not refused(script, t, drawn.others):
            call(script, name, t, drawn)
            return


def call(script: Script, name: str, t: Live, drawn: Write) -> None:
    """Adds the call, and notes what it changes."""
    script.call(CATALOGUE[name], (t, *drawn.others), drawn.params, ())
    script.last = t
    scene = script.scene
    if name == "detach_":
        keep(script, t)
        t.grad, t.graph, t.leaf = 0, 0, True
        t.bit = 1 << scene.bits
        scene.bits += 1
        for m in scene.floats:
            if m is not t and base(m) is t:
                m.stale = True
        return
    if name in ("set_", "resize_"):
        spoil(script, t)
        settle(script, t)
        if name == "set_":
            source = drawn.others[0]
            t.alias, t.link, source.viewed = source, "set_", True
            t.dense, t.lapped = source.dense, source.lapped
    else:
        wrote(script, t, [o for o in drawn.others if o.dtype.startswith("float")], drawn.keeps)
        if t in drawn.others and drawn.keeps:  # saved before it was written
            script.spoiled |= base(t).bit
    if drawn.shape is None:
        widen(script, t, drawn.low, drawn.high, drawn.whole)
    else:
        t.dense = t.dense and (name not in ("t_", "transpose_") or len(t.shape) < 2)
        t.shape = drawn.shape
        if t in script.watched:
            script.unhookable.append(t)
        if t in script.retained:
            script.odd.append(t)
        if name in ("set_", "resize_"):
            t.low, t.high = drawn.low, drawn.high


def increment_version(script: Script) -> None:
    """Counts a write that did not happen."""
    t = script.choose([t for t in script.scene.floats if not t.inference and not unclear(t) and t.grad != MAYBE])
    if t is None or within(script, "inference_mode") or _loses_hook(script, t):
        return
    script.emit(IncrementVersion, t)
    script.last = t
    # what it changes is what a write with no gradient does
    recording, script.scene.recording = script.scene.recording, False
    wrote(script, t, (), ())
    script.scene.recording = recording

