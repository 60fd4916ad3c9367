"""Forward mode: duals inside a dual level."""

from __future__ import annotations

from oracle.catalogue.scene import MAYBE, Live
from oracle.program import MakeDual, UnpackDual
from oracle.script.memory import unclear
from oracle.script.script import Script


def make_dual(script: Script) -> None:
    """A tensor with a tangent."""
    scene = script.scene
    fit = [t for t in scene.floats if t.grad != MAYBE and not (t.stale or t.inference or t.lapped or unclear(t))]
    t = script.choose(fit)
    if t is None:
        return
    tangents = [s for s in fit if s is not t and s.shape == t.shape and s.dtype == t.dtype and s.link != "make_dual"]
    tangent = tangents[-1] if tangents and scene.take(2) else scene.leaf(t.shape, dtype=t.dtype)
    if tangent.lapped or t.link == "make_dual":
        return
    out = Live(t.shape, t.dtype, t.low, t.high, t.dense, t)
    out.link, out.tracked = "make_dual", scene.recording
    out.grad, out.graph, out.leaf = t.grad, t.graph, t.leaf and not t.grad
    script.new(out)
    script.emit(MakeDual, t, tangent, outputs=(out,))
    t.viewed = True
    script.last = out


def unpack_dual(script: Script) -> None:
    """A tensor's primal and tangent."""
    t = script.choose([t for t in script.scene.floats if _unpackable(t)])
    if t is not None:
        _unpack(script, t)


def unpack_last(script: Script) -> None:
    """The primal and tangent of the focus."""
    if script.last is not None and _unpackable(script.last):
        _unpack(script, script.last)


def _unpackable(t: Live) -> bool:
    return t.grad != MAYBE and not t.stale and not t.guessed


def _unpack(script: Script, t: Live) -> None:
    primal = Live(t.shape, t.dtype, t.low, t.high, t.dense, t)
    primal.link, primal.tracked, primal.inference = "unpack_dual", script.scene.recording, t.inference
    primal.grad, primal.graph, primal.leaf = t.grad, t.graph, t.leaf
    tangent = Live(t.shape, t.dtype)
    tangent.link, tangent.guessed, tangent.grad, tangent.stale = "grad", True, MAYBE, True
    script.new(primal)
    script.new(tangent)
    script.emit(UnpackDual, t, outputs=(primal, tangent))
