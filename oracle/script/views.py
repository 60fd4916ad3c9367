"""Views, aliases, and what leaves the graph: of the focus, where it fits."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from oracle.catalogue import CATALOGUE
from oracle.catalogue.scene import MAX_NUMEL, MAYBE, NO, YES, Drawn, Live
from oracle.program import Call
from oracle.script.memory import home
from oracle.script.modes import within
from oracle.script.script import Script

Rule = Callable[[Script, Live], Drawn | None]

SAME = frozenset({"real", "conj", "cpu", "positive", "as_tensor", "type_as"})
"""Ops that return their very input: the tensor has one more name then, and the newest counts."""

DETACHED = frozenset({"data", "detach", "parameter"})

_LISTED = (
    *("select", "narrow", "view", "unsqueeze", "expand", "transpose", "t", "diagonal", "squeeze", "index_basic"),
    *("select", "view", "narrow", "reshape", "permute", "movedim", "flatten"),
    *("split", "chunk", "unbind", "unbind"),
)
"""The views that have a draw rule of their own."""


def _out(x: Live, shape: tuple[int, ...], dense: bool = False) -> Live:
    return Live(shape, x.dtype, x.low, x.high, dense, x)


def _alike(script: Script, x: Live) -> Drawn:
    return (x,), {}, (_out(x, x.shape, x.dense),)


def _reversed(script: Script, x: Live) -> Drawn | None:
    return None if len(x.shape) > 2 else ((x,), {}, (_out(x, x.shape[::-1], x.dense and len(x.shape) < 2),))


def _other(script: Script, x: Live, shape: tuple[int, ...] | None = None) -> Live:
    fit = [o for o in script.scene.floats if o is not x and o.dtype == x.dtype and shape in (None, o.shape)]
    if fit:
        return fit[-1 - script.scene.take(min(len(fit), 4))]
    return script.scene.leaf(x.shape if shape is None else shape, dtype=x.dtype)


def _type_as(script: Script, x: Live) -> Drawn:
    return (x, _other(script, x)), {}, (_out(x, x.shape, x.dense),)


def _view_as(script: Script, x: Live) -> Drawn | None:
    if not x.dense:
        return None
    fit = [o for o in script.scene.floats if o is not x and prod(o.shape) == prod(x.shape)]
    o = fit[-1] if fit else _other(script, x, (prod(x.shape),))
    return (x, o), {}, (_out(x, o.shape, True),)


def _expand_as(script: Script, x: Live) -> Drawn | None:
    shape = (2, *x.shape)
    if prod(shape) > MAX_NUMEL:
        return None
    out = _out(x, shape)
    out.lapped = True
    return (x, _other(script, x, shape)), {}, (out,)


def _as_strided(script: Script, x: Live) -> Drawn | None:
    """Within the tensor's own memory; sometimes so that elements meet."""
    count = prod(x.shape)
    if not x.dense or home(x) is not x or count < 2 or x.lapped:
        return None
    how = script.scene.take(4)
    if how == 0:
        size, stride, offset = [count - 1], [1], 1
    elif how == 1:
        size, stride, offset = [count // 2], [2], 0
    elif how == 2:
        size, stride, offset = [2, count - 1], [1, 1], 0
    else:
        size, stride, offset = [count // 2, 2], [2, 1], 0
    params: dict[str, Any] = {"size": size, "stride": stride}
    if offset:
        params["storage_offset"] = offset
    out = _out(x, tuple(size))
    out.lapped = how == 2
    return (x,), params, (out,)


def _unfold(script: Script, x: Live) -> Drawn | None:
    if not x.shape or not prod(x.shape):
        return None
    d = script.scene.take(len(x.shape))
    length = x.shape[d]
    size = 1 + script.scene.take(min(length, 3))
    step = 1 + script.scene.take(2)
    shape = (*x.shape[:d], (length - size) // step + 1, *x.shape[d + 1 :], size)
    if prod(shape) > MAX_NUMEL:
        return None
    out = _out(x, shape)
    out.lapped = step < size
    return (x,), {"dimension": d, "size": size, "step": step}, (out,)


def _lengths(x: Live, at: int, lengths: list[int]) -> tuple[Live, ...]:
    return tuple([_out(x, (*x.shape[:at], n, *x.shape[at + 1 :]), x.dense and at == 0) for n in lengths])


def _tensor_split(script: Script, x: Live) -> Drawn | None:
    if not x.shape or not x.shape[0]:
        return None
    size = x.shape[0]
    if script.scene.take(2):
        at = script.scene.take(size + 1)
        return (x,), {"indices": [at], "dim": 0}, _lengths(x, 0, [at, size - at])
    first = -(-size // 2)
    return (x,), {"sections": 2}, _lengths(x, 0, [first, size - first])


def _iter(script: Script, x: Live) -> Drawn | None:
    if not x.shape or not 0 < x.shape[0] < 6:
        return None
    return (x,), {}, tuple([_out(x, x.shape[1:], x.dense) for _ in range(x.shape[0])])


def _unsafe(key: str) -> Rule:
    """As `chunk` and `split`, but the outputs are no views, though they share memory."""

    def rule(script: Script, x: Live) -> Drawn | None:
        if not x.shape or x.shape[0] < 2:
            return None
        size = x.shape[0]
        step = -(-size // 2)
        outputs = _lengths(x, 0, [min(step, size - i) for i in range(0, size, step)])
        return (x,), {key: 2 if key == "chunks" else step, "dim": 0}, outputs

    return rule


def _copied(script: Script, x: Live) -> Drawn:
    return (x,), {}, (Live(x.shape, x.dtype, x.low, x.high, x.dense),)


def _number(script: Script, x: Live) -> Drawn | None:
    return None if prod(x.shape) != 1 else ((x,), {}, (Live((), "float32", x.low, x.high, True),))


def _numpy(script: Script, x: Live) -> Drawn | None:
    return None if x.grad else _copied(script, x)


def _deepcopied(script: Script, x: Live) -> Drawn | None:
    if not x.leaf or x.grad == MAYBE or home(x) is not x or x.lapped or x.inference:
        return None
    return _copied(script, x)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("data", "real", "conj", "cpu", "positive", "as_tensor", "parameter", "detach"), _alike),
    "T": _reversed,
    "type_as": _type_as,
    "view_as": _view_as,
    "expand_as": _expand_as,
    "as_strided": _as_strided,
    "unfold": _unfold,
    "tensor_split": _tensor_split,
    "iter": _iter,
    "unsafe_chunk": _unsafe("chunks"),
    "unsafe_split": _unsafe("split_size"),
    "tensor_of": _copied,
    "item": _number,
    "numpy": _numpy,
    "deepcopy": _deepcopied,
}
NAMES = (*RULES, "data", "detach", "detach", "tensor_split", "iter", "as_strided", "unfold")
MULTIPLE = ("unbind", "split", "chunk", "tensor_split", "iter")
SINGLE = ("select", "view", "narrow", "index_basic", "unsqueeze", "transpose", "as_strided", "diagonal")


def view(script: Script, names: tuple[str, ...] = ()) -> None:
    """A view or an alias of the focus, or of what fits."""
    scene = script.scene
    for _ in range(4):
        if names:
            name = names[scene.take(len(names))]
        else:
            among = _LISTED if scene.take(2) else NAMES
            name = among[scene.take(len(among))]
        if name in RULES:
            x = script.choose([t for t in scene.floats if not t.stale and t.grad != MAYBE])
            drawn = None if x is None or _unfit(script, name, x) else RULES[name](script, x)
        else:
            spec = CATALOGUE[name]
            drawn = spec.draw(scene) if spec.draw else None
            if drawn is not None and drawn[0][0].stale:
                drawn = None
        if drawn is not None:
            call(script, name, drawn)
            return


def _unfit(script: Script, name: str, x: Live) -> bool:
    """Whether an op says more about an engine than about the program, or raises here.

    Detached outside of inference mode, an inference tensor is half a normal one to torch: it can be written, and
    counts that.
    """
    if x.link == "grad":  # whether it is a view, and how it lies in memory
        return name not in ("detach", "tensor_of", "clone")
    return x.inference and (name in ("parameter", "deepcopy") or (name in DETACHED and not script.scene.inference))


def call(script: Script, name: str, drawn: Drawn) -> None:
    """Adds the call."""
    inputs, params, outputs = drawn
    x = inputs[0]
    spec = CATALOGUE[name]
    if name in SAME:  # the tensor itself
        x.uses += 1
        script.emit(Call, name, inputs, params, 1, outputs=(x,))
        script.last = x
        return
    script.call(spec, inputs, params, outputs)
    if name in DETACHED or spec.gradient == "cut":
        for out in outputs:
            out.grad, out.graph, out.leaf = NO, 0, True
    if name == "parameter":
        outputs[0].grad, outputs[0].graph = YES, outputs[0].bit
    if name == "deepcopy" and x.grad:
        outputs[0].grad, outputs[0].graph = x.grad, outputs[0].bit
    if within(script, "inference_mode") and script.scene.inference:
        for out in outputs:
            out.stale = out.alias is not None and bool(x.grad) and not x.inference

