"""Spans in a mode."""

from __future__ import annotations

from oracle.modes import MODES
from oracle.program import Enter, Exit, SetGradEnabled
from oracle.saving import SAVING
from oracle.script.script import Script, Span

_DEPTH = 3  # of modes within each other

SAVES = frozenset({*SAVING, "save_on_cpu", "allow_mutation"})
"""The modes that are hooks for saved tensors."""

ALTERS = frozenset({"saved_doubled", "saved_negated"})
"""The modes in which gradients depend on which tensors an op saves."""

_COMMON = (
    *("no_grad", "enable_grad", "no_grad", "inference_mode", "grad_disabled", "grad_enabled", "inference_mode_off"),
    *("saved_identity", "saved_alias", "saved_numpy", "saved_doubled", "saved_negated", "save_on_cpu"),
    *("saving_disabled", "allow_mutation", "anomaly", "anomaly_unchecked", "dual_level", "dual_level", "dual_level"),
    *("thread", "generator", "again", "again", "inference_mode"),
)


def enter(script: Script) -> None:
    """`no_grad` or `enable_grad` for up to three steps, this one included."""
    scene = script.scene
    if len(script.spans) < _DEPTH:
        how = scene.take(8)
        recording = how > 5 or (how > 3 and bool(script.spans))
        opened(script, "enable_grad" if recording else "no_grad", 1 + scene.take(3))


def enter_any(script: Script) -> None:
    """Any mode that can be entered here, for up to five steps."""
    scene = script.scene
    if len(script.spans) >= _DEPTH:
        return
    mode = _COMMON[scene.take(len(_COMMON))]
    can = bool(script.spans) and MODES[script.spans[-1].mode].again
    if can != (mode == "again") and (mode == "again" or scene.take(3) == 2):
        mode = "again" if can else "no_grad"
    if not fits(script, mode):
        mode = "enable_grad" if script.spans else "no_grad"
    opened(script, mode, 2 + scene.take(4))


def clashes(script: Script, mode: str) -> bool:
    """Whether `allow_mutation` would come together with inference mode or with a dual level.

    In inference mode torch then raises wherever it happens to write: even `ones` fills what is empty. With duals it
    crashes where it scales a tangent that is not there: `dual.add(other, alpha=2)`.
    """
    modes = {mode, *[span.mode for span in script.spans]}
    return "allow_mutation" in modes and not modes.isdisjoint(("inference_mode", "dual_level"))


def fits(script: Script, mode: str) -> bool:
    """Whether it can be entered without an error, and with a purpose."""
    if clashes(script, mode):
        return False
    active = [span.mode for span in script.spans]
    if mode in SAVES:
        return "saving_disabled" not in active and not ("allow_mutation" in active and mode == "allow_mutation")
    if mode == "saving_disabled":
        return not SAVES.intersection(active) and mode not in active
    if mode == "dual_level":
        return mode not in active
    return not (mode == "again" and active and active[-1] == "again")


def opened(script: Script, mode: str, left: int) -> None:
    """Enters a mode for so many steps."""
    scene = script.scene
    restored = [scene.recording]
    if mode == "again":
        around = script.spans[-1]
        restored = around.restored
        if around.mode in ("no_grad", "enable_grad"):  # these remember the mode when they are entered
            restored[0] = scene.recording
    script.spans.append(Span(mode, left, scene.recording, scene.inference, restored, scene.bits))
    named = script.spans[-2].mode if mode == "again" else mode
    if named in ("no_grad", "grad_disabled", "generator"):
        scene.recording = False
    elif named in ("enable_grad", "grad_enabled"):
        scene.recording = not scene.inference
    elif named == "thread":
        scene.recording, scene.inference = True, False
    elif named == "inference_mode":
        scene.recording, scene.inference = False, True
    elif named == "inference_mode_off":
        scene.recording, scene.inference = True, False
    script.emit(Enter, mode)


def leave(script: Script) -> None:
    """Leaves the mode entered last."""
    scene = script.scene
    span = script.spans.pop()
    script.emit(Exit)
    scene.inference = span.inference
    scene.recording = span.recording
    if span.mode in ("no_grad", "enable_grad", "grad_disabled", "grad_enabled", "again"):
        scene.recording = span.restored[0] and not scene.inference
    if span.mode == "allow_mutation":  # what was recorded there must go backward there
        script.spoiled |= (1 << scene.bits) - (1 << span.bits)


def set_grad_enabled(script: Script) -> None:
    """For the rest of a span, or for good."""
    scene = script.scene
    value = not scene.recording if scene.take(4) else scene.recording
    script.emit(SetGradEnabled, value)
    if not (script.spans and script.spans[-1].mode == "generator"):  # there, it ends with the statement
        scene.recording = value and not scene.inference


def altering(script: Script) -> bool:
    """Whether only ops should be drawn that save the same tensors in every engine."""
    for span in reversed(script.spans):
        if span.mode == "thread":
            return False
        if span.mode in SAVES:
            return span.mode in ALTERS
    return False


def within(script: Script, mode: str) -> bool:
    """Whether the program is in a span of this mode."""
    return any(span.mode == mode for span in script.spans)
