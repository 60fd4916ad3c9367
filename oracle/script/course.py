"""What the steps of a program are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oracle.catalogue import CATALOGUE, OpSpec
from oracle.catalogue.scene import Live
from oracle.program import SetGradEnabled
from oracle.script import custom, duals, hooks, modes, passes, slots, variants, views, writes, wrong
from oracle.script.memory import family
from oracle.script.refused import OFTEN, REFUSED
from oracle.script.scenarios import scenario
from oracle.script.script import Script

Move = Callable[[Script], object]

_STATEMENTS: tuple[Move, ...] = (
    passes.kept_backward,
    modes.enter,
    passes.grad,
    passes.kept_backward,
    modes.enter,
    modes.enter,
    passes.grad,
    slots.retain_grad,
    slots.retain_grad,
    passes.zero_grad,
    slots.requires_grad,
    passes.kept_backward,
)

_SHARES: tuple[tuple[Move, int], ...] = (
    (scenario, 16),
    (writes.write, 20),
    (views.view, 14),
    (variants.any_pass, 14),
    (hooks.hook, 8),
    (hooks.remove_hook, 2),
    (modes.enter_any, 9),
    (modes.set_grad_enabled, 2),
    (custom.custom, 7),
    (custom.checkpoint, 3),
    (slots.retain_grad, 3),
    (slots.zero_grad, 3),
    (slots.set_requires_grad, 3),
    (slots.set_grad, 2),
    (slots.read_grad, 2),
    (slots.set_data, 2),
    (slots.delete, 2),
    (slots.inspect, 3),
    (writes.increment_version, 1),
    (duals.unpack_dual, 1),
)
_DENSE = tuple(move for move, share in _SHARES for _ in range(share))
_DUAL: tuple[Move, ...] = (duals.make_dual, duals.make_dual, duals.unpack_dual, writes.write)
_WRONG = (*wrong.MORE, *wrong.BACKWARD, *REFUSED, *(wrong.through_spoiled,) * 5, *OFTEN)
_SIMPLE = tuple(CATALOGUE[name] for name in (*custom.SIMPLE, "neg", "sub", "mean", "clone", "cumsum", "abs", "cos"))
_CERTAIN = tuple(CATALOGUE[name] for name in ("mul", "sin", "exp", "tanh", "sigmoid", "add", "neg"))


def step(script: Script, word: int) -> None:
    """Adds one op, or another statement, or nothing where nothing fits."""
    scene = script.scene
    scene.feed(word)
    if script.pace.dense:
        _dense(script)
    elif scene.take(64) >= script.pace.statements:
        script.op(script.specs)
    else:
        _STATEMENTS[scene.take(len(_STATEMENTS))](script)
    if script.spans:
        script.spans[-1].left -= 1
        while script.spans and script.spans[-1].left <= 0:
            modes.leave(script)


def _dense(script: Script) -> None:
    """Adds what changes something, mostly something that the last step was about."""
    scene = script.scene
    scene.focus = _focus(script)
    if not (script.spans or scene.recording) and scene.take(2):
        script.emit(SetGradEnabled, True)
        scene.recording = True
    if scene.take(1000) >= 1000 - script.pace.wrong:
        _wrong(script)
    elif scene.take(64) >= script.pace.statements or not scene.floats:
        script.op(_ops(script))
    elif modes.within(script, "dual_level") and scene.take(2):
        _DUAL[scene.take(len(_DUAL))](script)
    else:
        _DENSE[scene.take(len(_DENSE))](script)
    scene.focus = None


def _focus(script: Script) -> Live | None:
    """The tensor that the last step was about, or one that shares its memory."""
    last = script.last
    how = script.scene.take(8)
    if last is None or how > 5:
        return None
    if how < 4:
        return last
    among = family(script, last)
    return among[script.scene.take(len(among))] if among else last


def _ops(script: Script) -> Sequence[OpSpec]:
    """The ops to choose from here."""
    if modes.altering(script):
        return _CERTAIN
    if modes.within(script, "dual_level") or script.scene.take(2):
        return _SIMPLE
    return script.specs


def _wrong(script: Script) -> None:
    """Adds a statement that ought to raise; another if it finds nothing to be wrong about."""
    before = len(script.lines)
    for _ in range(6):
        _WRONG[script.scene.take(len(_WRONG))](script)
        if len(script.lines) > before:
            script.meant.update(range(before, len(script.lines)))
            return


def end(script: Script, word: int, endings: Sequence[int], invalid: int) -> None:
    """Leaves all modes and goes backward; in `invalid` of 1000 programs with an error to follow."""
    scene = script.scene
    scene.feed(word)
    while script.spans:
        modes.leave(script)
    if not scene.leaves:
        scene.leaf(scene.shape())
    fails = scene.take(1000) >= 1000 - invalid
    passes.ending(script, endings[scene.take(len(endings))])
    if fails:
        before = len(script.lines)
        wrong.BACKWARD[scene.take(len(wrong.BACKWARD))](script)
        script.meant.update(range(before, len(script.lines)))
