"""Statements that ought to raise: writes, modes, flags, and what else is not about going backward."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from oracle.catalogue import CATALOGUE
from oracle.catalogue.scene import MAYBE, YES, Live
from oracle.catalogue.values import ANY
from oracle.program import Enter, Exit, Inspect, MakeDual, RequiresGrad, SetData, SetGrad
from oracle.script import views
from oracle.script.custom import RAISE_FORWARD, apply
from oracle.script.memory import base, clash, family, hidden, restricted, spoil, unclear
from oracle.script.modes import SAVES, within
from oracle.script.passes import go
from oracle.script.scenarios import a_leaf, follow, source, use, view, viewed_by_function, views_of, write_base
from oracle.script.scenarios import within as within_mode
from oracle.script.script import Script


def expand(script: Script) -> None:
    """Repeats the elements of the focus."""
    views.view(script, ("expand_as", "expand"))


_RESTRICTING = (
    views_of,
    views_of,
    within_mode("no_grad", view),
    within_mode("inference_mode", view),
    viewed_by_function,
)

_CALLS = (("mul_", "other"), ("add_", "other"), ("zero_", ""), ("sin_", ""), ("fill_", "value"), ("sigmoid_", ""))


def _write(script: Script, t: Live | None, others: tuple[Live, ...] = (), name: str = "") -> None:
    """Writes a tensor that cannot be written here."""
    if t is None or hidden(script, t) or (t.inference and within(script, "allow_mutation")):  # torch stops halfway
        return
    key = ""
    if not name:
        name, key = _CALLS[script.scene.take(len(_CALLS))]
        if others:
            name, key = "add_", ""
    params = {key: 2.0} if key and not others else {}
    script.call(CATALOGUE[name], (t, *others), params, ())
    if t.dtype != "int64":
        script.last = t
        for m in family(script, t):  # some are written before they are refused
            m.stale = m.stale or restricted(m)


def _writable(script: Script) -> list[Live]:
    return [t for t in script.scene.floats if not unclear(t)]


def leaf_written(script: Script) -> None:
    """A leaf that requires grad."""
    if script.scene.recording:
        _write(script, script.choose([t for t in _writable(script) if t.leaf and t.grad == YES and base(t) is t]))


def view_of_leaf_written(script: Script) -> None:
    """A view of such a leaf."""
    if script.scene.recording:
        follow(script, (a_leaf, view))
        fit = [t for t in _writable(script) if base(t) is not t and base(t).leaf and base(t).grad == YES]
        _write(script, script.choose(fit))


def restricted_written(script: Script) -> None:
    """One of several views, or one made without recording or by a custom function."""
    if script.scene.recording:
        follow(script, (source, _RESTRICTING[script.scene.take(len(_RESTRICTING))]))
        fit = [t for t in _writable(script) if restricted(t) and base(t).grad and not base(t).leaf]
        _write(script, script.choose(fit))


def inference_written(script: Script) -> None:
    """An inference tensor, outside of inference mode."""
    if not script.scene.inference:
        _infer(script)
        _write(script, script.choose([t for t in _writable(script) if t.inference]))


def _infer(script: Script) -> None:
    """Makes an inference tensor, if there is none."""
    if not any(t.inference for t in script.scene.floats):
        follow(script, (source, within_mode("inference_mode", use)))


def inference_used(script: Script) -> None:
    """An inference tensor that would have to be saved, or to require grad."""
    scene = script.scene
    if scene.inference or not scene.recording:
        return
    _infer(script)
    t = script.choose([t for t in scene.floats if t.inference and t.alias is None])
    if t is None:
        return
    if scene.take(2):
        script.emit(RequiresGrad, t, True, "attribute" if scene.take(2) else "method")
        return
    w = scene.leaf(t.shape, dtype=t.dtype)
    if w.grad:
        _absent(script, "mul", (t, w))


def _absent(script: Script, name: str, inputs: tuple[Live, ...]) -> None:
    """A call that raises, so that nothing comes of it."""
    out = Live(inputs[0].shape, inputs[0].dtype)
    script.call(CATALOGUE[name], inputs, {}, (out,))
    among = script.scene.floats
    among.remove(out)
    script.last = inputs[0]


def expanded_written(script: Script) -> None:
    """A tensor whose elements share memory by a stride of 0."""
    scene = script.scene
    if scene.take(2):
        follow(script, (source, expand))
    fit = [t for t in scene.floats if t.lapped and t.link in ("", "expand", "expand_as") and 0 not in t.shape]
    fit = [t for t in fit if t.grad != MAYBE and not (base(t).grad and base(t).leaf and scene.recording)]
    _write(script, script.choose([t for t in fit if _spread(t)]), name="sin_")


def _spread(t: Live) -> bool:
    """Whether it was made by repeating elements that lie apart."""
    if t.alias is None:
        return t.shape[0] > 1
    return not t.alias.lapped and prod(t.shape) > prod(t.alias.shape)


def broadcast_up(script: Script) -> None:
    """An operand with more dims than what is written."""
    fit = [t for t in _writable(script) if not (base(t).leaf and base(t).grad) and t.grad != MAYBE]
    t = script.choose([t for t in fit if not restricted(t) and t.inference == script.scene.inference])
    if t is not None:
        _write(script, t, (script.scene.leaf((3, *t.shape), ANY, t.dtype),))


def integers_written(script: Script) -> None:
    """Integers, by floating numbers."""
    fit = [t for t in script.scene.others if t.dtype == "int64" and t.alias is None]
    t = fit[-1] if fit else script.scene.indices((2,), 3)
    _write(script, t, (script.scene.leaf(t.shape, ANY, "float64"),), "add_")


def overlapping(script: Script) -> None:
    """An operand that overlaps what is written in part."""
    follow(script, (source, lambda script: views.view(script, ("select", "narrow"))))
    for t in reversed(_writable(script)):
        if base(t).grad and base(t).leaf or t.grad == MAYBE or restricted(t):
            continue
        for o in script.scene.floats:
            if clash(t, o) == "refused" and o.shape == t.shape[1:] and not o.stale and o.grad != MAYBE:
                _write(script, t, (o,), "add_")
                return


def view_detached(script: Script) -> None:
    """`detach_` of a view."""
    fit = [t for t in _writable(script) if base(t) is not t and not t.stale]
    _write(script, script.choose([t for t in fit if t.link not in ("make_dual", "unpack_dual")]), name="detach_")


def resized(script: Script) -> None:
    """`resize_` of what requires grad; in inference mode torch lets it be resized."""
    if (t := script.choose([t for t in _writable(script) if t.grad == YES])) and not script.scene.inference:
        script.call(CATALOGUE["resize_"], (t,), {"size": [0]}, ())
        script.last = t


def rehomed(script: Script) -> None:
    """`set_` of a leaf that requires grad."""
    t = script.choose([t for t in _writable(script) if t.grad == YES and t.leaf and t.alias is None])
    if t is not None and script.scene.recording:
        _write(script, t, (script.scene.leaf(t.shape, ANY, t.dtype),), "set_")


def out_given(script: Script) -> None:
    """`out=` where an argument requires grad."""
    scene = script.scene
    if not scene.recording:
        return
    x = script.choose([t for t in scene.floats if t.grad == YES and not t.stale and not t.inference])
    if x is not None:
        target = scene.leaf(x.shape, dtype=x.dtype)
        if not target.lapped:
            script.call(CATALOGUE[("add_out", "mul_out")[scene.take(2)]], (target, x, x), {}, ())
            script.last = x


def stale_used(script: Script) -> None:
    """A view that cannot be written, of a base that was written since."""
    if not any(t.stale for t in script.scene.floats):
        follow(script, (source, views_of, write_base))
    t = script.choose([t for t in script.scene.floats if t.stale and restricted(t) and base(t).grad])
    if t is None or not script.scene.recording:
        return
    if script.scene.take(2):
        script.emit(Inspect, t)
    else:
        _absent(script, "exp", (t,))


def integers_required(script: Script) -> None:
    """Integers that are to require grad."""
    scene = script.scene
    t = scene.others[-1] if scene.others else scene.indices((2,), 3)
    script.emit(RequiresGrad, t, True, "attribute" if scene.take(2) else "method")


def result_required(script: Script) -> None:
    """`requires_grad` of a result, by assignment."""
    if t := script.choose([t for t in script.scene.floats if t.grad == YES and not t.leaf and not t.stale]):
        script.emit(RequiresGrad, t, script.scene.take(2) == 1, "attribute")


def gradient_misset(script: Script) -> None:
    """A `.grad` of another shape or dtype, or the tensor itself."""
    scene = script.scene
    t = script.choose([t for t in scene.floats if t.leaf and t.grad == YES])
    if t is None:
        return
    how = scene.take(3)
    other = t
    if how == 0:
        other = scene.leaf((*t.shape, 3), dtype=t.dtype)
    elif how == 1:
        other = scene.leaf(t.shape, dtype="float32" if t.dtype == "float64" else "float64")
    script.emit(SetGrad, t, other)


def data_misset(script: Script) -> None:
    """`.data` of integers, for what requires grad."""
    scene = script.scene
    if t := script.choose([t for t in scene.floats if t.leaf and t.grad == YES and t.alias is None]):
        script.emit(SetData, t, scene.indices(t.shape, 3))


def left_graph(script: Script) -> None:
    """`numpy` of what requires grad, `deepcopy` of a result, `item` of several elements."""
    scene = script.scene
    fit = [t for t in scene.floats if t.grad == YES and not t.stale and not t.inference]
    how = scene.take(3)
    if how == 1:
        fit = [t for t in fit if not t.leaf]
    elif how == 2:
        fit = [t for t in scene.floats if prod(t.shape) != 1]
    if t := script.choose(fit):
        _absent(script, ("numpy", "deepcopy", "item")[how], (t,))


def forward_raising(script: Script) -> None:
    """A custom function that raises when it is called."""
    x = script.choose([t for t in script.scene.floats if t.grad == YES and not t.stale and not t.inference])
    if x is not None:
        apply(script, RAISE_FORWARD[script.scene.take(len(RAISE_FORWARD))], x, fails=True)


def custom_written(script: Script) -> None:
    """A leaf that a custom function writes."""
    if script.scene.recording:
        t = script.choose([t for t in _writable(script) if t.leaf and t.grad == YES and base(t) is t])
        if t is not None and not hidden(script, t):
            _write(script, t, name="custom_doubled_in_place")
            spoil(script, t)  # it has written already when it is refused


def packing(script: Script) -> None:
    """Hooks for saved tensors that raise or write when something is saved."""
    scene = script.scene
    x = script.choose([t for t in _writable(script) if t.grad == YES and not (t.stale or t.inference or t.leaf)])
    if x is None or not scene.recording or within(script, "saving_disabled"):
        return
    mode = ("pack_raises", "pack_writes")[scene.take(2)]
    if mode == "pack_writes" and hidden(script, x):
        mode = "pack_raises"
    script.emit(Enter, mode)
    _absent(script, "sin", (x,))
    script.emit(Exit)
    if mode == "pack_writes":
        x.low = min(x.low, 0.0)


def unpacking(script: Script) -> None:
    """Hooks for saved tensors that raise, or give no tensor, when a pass asks for what was saved."""
    scene = script.scene
    x = script.choose([t for t in scene.floats if t.grad == YES and not (t.stale or t.inference or t.guessed)])
    if x is None or not scene.recording or within(script, "saving_disabled"):
        return
    script.emit(Enter, ("unpack_raises", "unpack_number")[scene.take(2)])
    out = Live(x.shape, x.dtype, -1.0, 1.0)
    script.call(CATALOGUE["sin"], (x,), {}, (out,))
    script.emit(Exit)
    out.stepped = True
    if out.grad == YES:
        script.spoiled |= out.bit
        go(script, [out], True)


def misentered(script: Script) -> None:
    """Modes that do not go into each other, or are not allowed here."""
    scene = script.scene
    if len(script.spans) > 3:
        return
    how = scene.take(3)
    if how == 0:
        outer, inner = "dual_level", "dual_level"
    elif how == 1:
        outer, inner = "saving_disabled", ("saved_identity", "save_on_cpu", "allow_mutation")[scene.take(3)]
    else:
        outer, inner = "allow_mutation", "allow_mutation"
    active = [span.mode for span in script.spans]
    if how and SAVES.intersection(active) or "saving_disabled" in active and how == 2 or outer in active:
        return
    script.emit(Enter, outer)
    script.emit(Enter, inner)
    script.emit(Exit)
    script.emit(Exit)


def outlived(script: Script) -> None:
    """A graph of `allow_mutation_on_saved_tensors`, gone through outside."""
    scene = script.scene
    x = script.choose([t for t in scene.floats if t.grad == YES and not (t.stale or t.inference or t.guessed)])
    if x is None or not scene.recording or SAVES.union({"saving_disabled"}).intersection(s.mode for s in script.spans):
        return
    script.emit(Enter, "allow_mutation")
    out = Live(x.shape, x.dtype, -1.0, 1.0)
    script.call(CATALOGUE["sin"], (x,), {}, (out,))
    script.emit(Exit)
    script.spoiled |= out.bit
    if out.grad == YES:
        go(script, [out], True)


def misdual(script: Script) -> None:
    """A dual outside of a level, or of a tangent that has another shape."""
    scene = script.scene
    t = script.choose([t for t in scene.floats if t.grad != MAYBE and not t.stale and t.link != "make_dual"])
    if t is None:
        return
    inside = within(script, "dual_level")
    shape = (*t.shape, 3) if inside else t.shape
    script.emit(MakeDual, t, scene.leaf(shape, dtype=t.dtype), outputs=(Live(t.shape, t.dtype),))


REFUSED: tuple[Callable[[Script], None], ...] = (
    *(leaf_written, view_of_leaf_written, restricted_written, restricted_written, inference_written, inference_used),
    *(expanded_written, broadcast_up, integers_written, overlapping, view_detached, resized, rehomed, out_given),
    *(stale_used, integers_required, result_required, gradient_misset, data_misset, left_graph, forward_raising),
    *(custom_written, packing, unpacking, misentered, outlived, misdual),
)

OFTEN: tuple[Callable[[Script], None], ...] = (
    *(view_of_leaf_written, restricted_written, restricted_written, stale_used, stale_used, overlapping),
)
"""Those that stand for many cases."""
