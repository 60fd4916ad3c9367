"""Statements about one tensor: its `.grad`, its data, its flags, its name."""

from __future__ import annotations

from oracle.catalogue.scene import MAYBE, NO, YES, Live
from oracle.program import (
    Delete,
    Inspect,
    ReadGrad,
    RequiresGrad,
    RetainGrad,
    SetData,
    SetGrad,
    ZeroGrad,
)
from oracle.script.memory import CERTAIN, base, home, keep, keepers, restricted, settle, told, unclear
from oracle.script.script import Script


def retain_grad(script: Script) -> None:
    """Of a result."""
    floats = script.scene.floats
    if t := script.choose([t for t in floats if t.grad == YES and not t.leaf and not t.stale]):
        script.emit(RetainGrad, t)
        script.retained.append(t)
        script.last = t


def requires_grad(script: Script) -> None:
    """Turns it on or off for a leaf that shares its numbers with no other tensor."""
    # Not those that `grad` made: whether two of them are one tensor, or share memory, is an engine's business.
    floats = script.scene.floats
    among = [t for t in floats if t.leaf and t.alias is None and not (t.viewed or t.guessed or t.inference)]
    if t := script.choose(among):
        value = t.grad == NO
        if not value and told(script, t):
            return
        t.grad, t.graph = (YES, t.bit) if value else (NO, 0)
        script.emit(RequiresGrad, t, value)


def set_requires_grad(script: Script) -> None:
    """Of any leaf, shared or not, by method or attribute; or on for a result, where the method does nothing."""
    scene = script.scene
    fit = [t for t in scene.floats if t.grad != MAYBE and not t.stale and not t.inference and t.link != "grad"]
    leaves = [t for t in fit if t.leaf and not restricted(t) and (not base(t).grad or base(t) is t)]
    t = script.choose(leaves if scene.take(8) else fit)
    if t is None:
        return
    if not t.leaf:
        script.emit(RequiresGrad, t, True)
        return
    if t not in leaves:
        return
    value = t.grad == NO or scene.take(3) == 0 or told(script, t)
    how = "attribute" if scene.take(2) else "method"
    script.emit(RequiresGrad, t, value, how)
    script.last = t
    if value == (t.grad == YES):
        return
    if not value:
        script.frozen.append(t)
    t.bit = 1 << scene.bits
    scene.bits += 1
    t.grad, t.graph = (YES, t.bit) if value else (NO, 0)
    for m in scene.floats:  # its views require grad with it
        if m is not t and base(m) is t and m.leaf:
            m.grad, m.stale = (MAYBE, True) if value else (m.grad, m.stale)


def zero_grad(script: Script) -> None:
    """Of a leaf, or of what retains its gradient; mostly where there is one."""
    fit = [t for t in script.scene.floats if t.leaf and t.grad == YES or t in script.retained]
    if t := script.choose([t for t in fit if t.bit & script.reached] or fit):
        how = "zero_" if script.scene.take(2) else "none"
        script.emit(ZeroGrad, t, how)
        script.last = t
        if how == "none":
            script.reached &= ~t.bit


def set_grad(script: Script) -> None:
    """Another tensor as the `.grad` of a leaf."""
    scene = script.scene
    fit = [t for t in scene.floats if t.leaf and t.grad == YES and not t.stale]
    t = script.choose(fit)
    if t is None:
        return
    sources = [
        s
        for s in scene.floats
        if s is not t and s.shape == t.shape and s.dtype == t.dtype and s.grad == NO and not unclear(s)
        and not s.inference and home(s) is not home(t)
    ]  # fmt: skip
    if sources and scene.take(2):
        source = sources[-1]
    else:
        source = scene.leaf(t.shape, dtype=t.dtype)
        source.grad, source.graph, scene.leaves[-1].requires_grad = NO, 0, False
    if source.lapped:  # it could not be accumulated into
        return
    script.emit(SetGrad, t, source)
    source.viewed = True
    script.reached |= t.bit
    script.slots.append((t, source))
    script.last = t


def read_grad(script: Script) -> Live | None:
    """The very object in a `.grad`, if there ought to be one."""
    fit = [t for t in script.scene.floats if t.bit & script.reached and (t.leaf or t in script.retained)]
    t = script.choose([t for t in fit if t.grad == YES])
    if t is None:
        return None
    out = Live(t.shape, t.dtype, -100.0, 100.0)
    out.link = "read_grad"
    out.grad = MAYBE if script.tracked else NO
    out.guessed = True
    script.new(out)
    if out.grad:
        out.graph = (1 << script.scene.bits) - 1
    script.emit(ReadGrad, t, outputs=(out,))
    script.slots.append((t, out))
    script.last = out
    return out


def set_data(script: Script) -> None:
    """Of a leaf mostly, with numbers of the same shape and dtype."""
    scene = script.scene
    fit = [t for t in scene.floats if t.leaf and t.grad != MAYBE and t.alias is None and not t.inference]
    fit = [t for t in fit if t.link not in ("grad", "read_grad") and not t.lapped]
    t = script.choose(fit)
    if t is None or any(name not in CERTAIN for _, _, name in keepers(script, t)):
        return
    sources = [
        s
        for s in scene.floats
        if s is not t and s.shape == t.shape and s.dtype == t.dtype and not unclear(s) and s.grad != MAYBE
        and home(s) is not t and not s.stale and not s.inference
    ]  # fmt: skip
    source = sources[-1] if sources and scene.take(4) else scene.leaf(t.shape, dtype=t.dtype)
    if source.lapped:
        return
    script.emit(SetData, t, source)
    settle(script, t)
    t.alias, t.link, source.viewed = source, "data", True
    t.low, t.high, t.dense = source.low, source.high, source.dense
    script.last = t


def delete(script: Script) -> None:
    """Ends the program's own reference to a tensor, if others are left."""
    scene = script.scene
    if len(scene.floats) < 4:
        return
    t = script.choose([t for t in scene.floats if t is not script.last])
    if t is not None:
        script.emit(Delete, t)
        keep(script, t)
        scene.floats.remove(t)
        script.deleted |= t.bit


def inspect(script: Script) -> None:
    """Looks at a node, mostly that of a view or of what was written."""
    floats = script.scene.floats
    fit = [t for t in floats if t.alias is not None or t.spec is None and not t.leaf]
    if t := script.choose([t for t in fit if not t.stale] or floats):
        script.emit(Inspect, t)
        script.last = t
