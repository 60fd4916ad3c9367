"""Hooks: of all places, with what they return."""

from __future__ import annotations

from collections.abc import Sequence

from oracle.catalogue.scene import YES, Live
from oracle.hooks import BEHAVIOURS
from oracle.program import Hook, Literal, RemoveHook
from oracle.script.passes import numbers
from oracle.script.script import Hooked, Script

PLACES = ("tensor", "tensor", "post_accumulate", "node", "node_pre", "multi_all", "multi_any")
WRONG = ("raise", "wrong_type", "wrong_shape", "wrong_dtype")
_SOUND = ("observe", "scale", "observe", "replace", "scale", "remove_self", "none_grad")
_SCALES = (2.0, -1.0, 0.5, 3.0)


def hookable(script: Script) -> list[Live]:
    """The tensors that hooks may be registered on.

    None is on a view that torch lets nobody write whose base may have been written since: its node is out of date
    and cannot be renewed, and torch was seen to crash there. And where a tensor with hooks is then given another
    shape in place, torch registers more of them on the node that it had before.
    """
    return [t for t in script.scene.floats if t.grad == YES and not t.stale and t not in script.unhookable]


def hook(script: Script) -> None:
    """Registers one that returns nothing wrong."""
    register(script, PLACES[script.scene.take(len(PLACES))])


def register(
    script: Script, place: str, t: Live | None = None, actions: Sequence[str] = _SOUND
) -> None:
    """Registers a hook of that place."""
    scene = script.scene
    fit = [o for o in hookable(script) if place != "post_accumulate" or o.leaf]
    if t is None or t not in fit:
        t = script.choose(fit)
    if t is None:
        return
    if scene.inference and place not in ("tensor", "post_accumulate"):  # torch finds no node there, and trips over it
        place = "tensor"
    tensors = [t]
    if place.startswith("multi"):
        others = [o for o in fit if o is not t][-1 - scene.take(2) :]
        tensors += others
    action = actions[scene.take(len(actions))]
    if action not in BEHAVIOURS[place].actions or (place == "node" and action == "replace" and not _alike(t)):
        action = "observe"
    value: float | Literal | None = None
    if action == "scale":
        value = _SCALES[scene.take(4)]
    elif action == "replace":
        value = numbers(script, t.shape, t.dtype)
    script.emit(Hook, script.hooked, place, tuple(tensors), action, value)
    script.hooks.append(Hooked(script.hooked, action in WRONG))
    if not place.startswith("node"):
        script.watched.extend(tensors)
    script.hooked += 1
    script.last = t


def _alike(t: Live) -> bool:
    """Whether what its node hands back looks like what it is given."""
    return t.spec is not None and len(t.parents) == 1 and t.parents[0].shape == t.shape


def remove_hook(script: Script) -> None:
    """Removes one, mostly one that raises; sometimes twice."""
    hooks = script.hooks
    if not hooks:
        return
    wrong = [h for h in hooks if h.raises]
    chosen = (wrong or hooks)[script.scene.take(len(wrong or hooks))]
    script.emit(RemoveHook, chosen.number)
    if script.scene.take(4):
        hooks.remove(chosen)
