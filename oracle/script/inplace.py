"""What ops that write in place are called with, one rule for each."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, prod
from typing import Any, NamedTuple

from oracle.catalogue.scene import MAYBE, Live, broadcast
from oracle.catalogue.values import ANY, NONZERO, Domain
from oracle.script.memory import base, clash, home, unclear
from oracle.script.modes import within
from oracle.script.script import Script


class Write(NamedTuple):
    """A call that writes its first input.

    others: the inputs after it; low, high: the range of what is written; whole: whether all of it is written;
    keeps: which of the others its node saves; shape: what shape it has afterwards.
    """

    others: tuple[Live, ...] = ()
    params: dict[str, Any] = {}
    low: float = -inf
    high: float = inf
    whole: bool = True
    keeps: tuple[Live, ...] = ()
    shape: tuple[int, ...] | None = None


Rule = Callable[[Script, Live], Write | None]


def mate(script: Script, t: Live, shape: tuple[int, ...], domain: Domain = ANY, exact: bool = False) -> Live:
    """An operand of this shape, or one that broadcasts to it."""
    scene = script.scene
    if scene.take(4):
        fit = [
            o
            for o in scene.floats
            if o.dtype == t.dtype
            and (o.shape == shape or (not exact and broadcast(shape, o.shape) == shape))
            and domain.low <= o.low
            and o.high <= domain.high
            and o.grad != MAYBE
            and not o.stale
            and (not o.inference or scene.inference)
            and clash(t, o) == "no"
            and o.link != "grad"
        ]
        if fit:
            return fit[-1 - scene.take(min(len(fit), 4))]
    if not exact and shape and scene.take(4) == 3:
        shape = () if scene.take(2) else shape[1:]
    return scene.leaf(shape, domain, t.dtype)


_NUMBERS = (2.0, 0.5, -1.0, 3, -2.0, 1.5, 4, -0.5)


def _number(script: Script) -> float:
    return _NUMBERS[script.scene.take(8)]


def _arithmetic(script: Script, t: Live, key: str, domain: Domain = ANY) -> tuple[tuple[Live, ...], dict[str, Any]]:
    """A number, the tensor itself, or another."""
    how = script.scene.take(12)
    if how < 4:
        return (), {key: _number(script)}
    if how == 4 and key == "other" and not within(script, "dual_level"):  # torch's tangent is wrong there
        return (t,), {}
    return (mate(script, t, t.shape, domain),), {}


def _added(script: Script, t: Live) -> Write:
    others, params = _arithmetic(script, t, "other")
    if script.scene.take(4) == 3:
        params["alpha"] = _number(script)
    most = max(abs(t.low), abs(t.high)) + 4 * _most(others)
    return Write(others, params, -most, most)


def _most(others: tuple[Live, ...]) -> float:
    return max((max(abs(o.low), abs(o.high)) for o in others), default=4.0)


def _multiplied(script: Script, t: Live) -> Write:
    others, params = _arithmetic(script, t, "other")
    most = max(abs(t.low), abs(t.high)) * _most(others)
    return Write(others, params, -most, most, keeps=others if t.grad else ())


def _divided(script: Script, t: Live) -> Write:
    others, params = _arithmetic(script, t, "other", NONZERO)
    most = max(abs(t.low), abs(t.high)) * 20
    return Write(others, params, -most, most, keeps=others)


def _compared(script: Script, t: Live) -> Write:
    others, params = _arithmetic(script, t, "other")
    return Write(others, params, 0.0, 1.0)


def _raised(script: Script, t: Live) -> Write:
    return Write((), {"exponent": 2 + script.scene.take(2)}, -inf, inf)


def _filled(script: Script, t: Live) -> Write:
    if script.scene.take(2):
        return Write((), {"value": _number(script)}, -2.0, 4.0)
    o = mate(script, t, (), exact=True)
    return Write((o,), {}, o.low, o.high)


def _unary(low: float = -inf, high: float = inf, keeps: bool = False, least: float = -inf, most: float = inf) -> Rule:
    """Of tensors within a range; keeps: whether the node saves the result."""

    def rule(script: Script, t: Live) -> Write | None:
        if t.low < least or t.high > most:
            return None
        return Write((), {}, low, high, keeps=(t,) if keeps else ())

    return rule


def _negated(script: Script, t: Live) -> Write:
    return Write((), {}, -t.high, -t.low)


def _clamped(script: Script, t: Live) -> Write:
    how = script.scene.take(3)
    params = ({"min": -1.0, "max": 1.5}, {"min": 0}, {"max": 1})[how]
    return Write((), params, -1.0 if how == 0 else 0.0 if how == 1 else t.low, (1.5, max(t.high, 0.0), 1.0)[how])


def _copied(script: Script, t: Live) -> Write:
    scene = script.scene
    if scene.take(8) == 7:
        o = scene.leaf(t.shape, ANY, "float32" if t.dtype != "float32" else "float64")
    else:
        o = mate(script, t, t.shape)
    return Write((o,), {}, o.low, o.high)


def _masked(script: Script, t: Live) -> Write:
    mask = script.scene.mask(t.shape)
    if script.scene.take(2):
        return Write((mask,), {"value": _number(script)}, -2.0, 4.0, False)
    o = mate(script, t, (), exact=True)
    return Write((mask, o), {}, o.low, o.high, False)


def _product_added(script: Script, t: Live) -> Write:
    a, b = mate(script, t, t.shape), mate(script, t, t.shape)
    most = max(abs(t.low), abs(t.high)) + 4 * _most((a,)) * _most((b,))
    return Write((a, b), {"value": _number(script)} if script.scene.take(2) else {}, -most, most, keeps=(a, b))


def _blended(script: Script, t: Live) -> Write:
    end = mate(script, t, t.shape)
    most = max(abs(t.low), abs(t.high)) + 5 * _most((end,))
    if script.scene.take(2):
        return Write((end,), {"weight": 0.25}, -most, most)
    weight = mate(script, t, t.shape)
    return Write((end, weight), {}, -most * 9, most * 9, keeps=(t, end, weight))


def _places(script: Script, size: int, distinct: bool) -> Live:
    """int64 positions in one dim."""
    scene = script.scene
    count = 1 + scene.take(min(size, 3))
    where = scene.indices((count,), size)
    if distinct:
        first = scene.take(size)
        scene.leaves[-1].data = [(first + k) % size for k in range(count)]
    return where


def _along(script: Script, t: Live) -> tuple[int, int] | None:
    """A dim that is not empty, as given and counted from the front."""
    if not t.shape or not prod(t.shape):
        return None
    d = script.scene.dim(len(t.shape))
    return d, d % len(t.shape)


def _indexed(how: str) -> Rule:
    """Writes along a dim at positions: "add" and "copy" from a tensor, "fill" a number."""

    def rule(script: Script, t: Live) -> Write | None:
        along = _along(script, t)
        if along is None:
            return None
        d, at = along
        where = _places(script, t.shape[at], how == "copy")
        if how == "fill":
            return Write((where,), {"dim": d, "value": _number(script)}, -2.0, 4.0, False)
        source = mate(script, t, (*t.shape[:at], *where.shape, *t.shape[at + 1 :]), exact=True)
        params: dict[str, Any] = {"dim": d}
        if how == "add" and script.scene.take(3) == 2:
            params["alpha"] = 2
        most = 9 * _most((source,)) + max(abs(t.low), abs(t.high))
        return Write((where, source), params, -most, most, False)

    return rule


def _scattered(how: str) -> Rule:
    """Writes at positions along a dim: "add" (which may meet) and "copy" from a tensor, "fill" a number."""

    def rule(script: Script, t: Live) -> Write | None:
        along = _along(script, t)
        if along is None:
            return None
        d, at = along
        shape = (*t.shape[:at], 1 if how == "copy" else 1 + script.scene.take(2), *t.shape[at + 1 :])
        where = script.scene.indices(shape, t.shape[at])
        if how == "fill":
            return Write((where,), {"dim": d, "value": _number(script)}, -2.0, 4.0, False)
        source = mate(script, t, shape, exact=True)
        most = 3 * _most((source,)) + max(abs(t.low), abs(t.high))
        return Write((where, source), {"dim": d}, -most, most, False)

    return rule


def _put(script: Script, t: Live) -> Write | None:
    if not t.shape or not prod(t.shape):
        return None
    accumulate = script.scene.take(2) == 1
    where = _places(script, t.shape[0], not accumulate)
    source = mate(script, t, (*where.shape, *t.shape[1:]), exact=True)
    most = 4 * _most((source,)) + max(abs(t.low), abs(t.high))
    return Write((source, where), {"accumulate": True} if accumulate else {}, -most, most, False)


def _assigned(script: Script, t: Live) -> Write | None:
    """By an integer, a slice, everything, indices or a mask."""
    scene = script.scene
    if not t.shape or not prod(t.shape):
        return None
    size, rest = t.shape[0], t.shape[1:]
    how = scene.take(6)
    number = scene.take(2) == 1
    extra: tuple[Live, ...] = ()
    if how < 2:
        item: Any = scene.dim(size)
        shape = rest
    elif how == 2:
        start = scene.take(size)
        item, shape = {"slice": [start, None, None]}, (size - start, *rest)
    elif how == 3:
        item, shape = {"ellipsis": True}, t.shape
    elif how == 4:
        where = _places(script, size, True)
        item, extra, shape = {"tensor": 1 if number else 2}, (where,), (*where.shape, *rest)
    else:
        mask = scene.mask(t.shape)
        item, extra, shape = {"tensor": 1 if number else 2}, (mask,), ()
    params: dict[str, Any] = {"index": [item]}
    if number:
        return Write(extra, {**params, "value": float(_number(script))}, -2.0, 4.0, False)
    source = mate(script, t, shape, exact=how > 3)
    return Write((source, *extra), params, source.low, source.high, False)


def _reshaped(how: str) -> Rule:
    """Changes the shape of the tensor, not its numbers."""

    def rule(script: Script, t: Live) -> Write | None:
        scene, shape = script.scene, t.shape
        if t.leaf and (t.grad or t in script.frozen):  # torch then compares strides that are not there any more
            return None
        n = len(shape)
        params: dict[str, Any] = {}
        if how == "unsqueeze":
            d = scene.dim(n + 1)
            params["dim"] = d
            shape = (*shape[: d % (n + 1)], 1, *shape[d % (n + 1) :])
        elif how == "squeeze":
            shape = tuple([size for size in shape if size != 1])
        elif how == "t":
            if n > 2:
                return None
            shape = shape[::-1]
        else:
            if not n:
                return None
            a, b = scene.dim(n), scene.dim(n)
            params = {"dim0": a, "dim1": b}
            swapped = list(shape)
            swapped[a], swapped[b] = swapped[b], swapped[a]
            shape = tuple(swapped)
        if n > 5:
            return None
        return Write((), params, t.low, t.high, shape=shape)

    return rule


def _into(script: Script, t: Live) -> Write | None:
    a, b = mate(script, t, t.shape, exact=True), mate(script, t, t.shape, exact=True)
    if script.scene.recording and (a.grad or b.grad or t.grad):
        return None
    most = _most((a,)) * _most((b,)) + _most((a, b)) * 2
    return Write((a, b), {}, -most, most)


def _detached(script: Script, t: Live) -> Write | None:
    if base(t) is not t or not t.grad:  # views cannot be
        return None
    return Write((), {}, t.low, t.high)


def _emptied(script: Script, t: Live) -> Write | None:
    if t.grad or t in script.frozen or t.alias is not None or t.viewed or (0 not in t.shape and script.scene.take(2)):
        return None
    return Write((), {"size": [0]}, t.low, t.high, shape=(0,))


def _rehomed(script: Script, t: Live) -> Write | None:
    if t.grad or t in script.frozen or t.alias is not None or t.inference:
        return None
    fit = [o for o in script.scene.floats if o.dtype == t.dtype and home(o) is not t and not unclear(o)]
    fit = [o for o in fit if o.grad != MAYBE and not o.grad and not o.inference and o is not t]
    source = script.choose(fit)
    return None if source is None else Write((source,), {}, source.low, source.high, shape=source.shape)


RULES: dict[str, Rule] = {
    "add_": _added,
    "sub_": _added,
    "mul_": _multiplied,
    "div_": _divided,
    "lt_": _compared,
    "ge_": _compared,
    "pow_": _raised,
    "fill_": _filled,
    "neg_": _negated,
    "sin_": _unary(-1.0, 1.0),
    "exp_": _unary(0.0, 150.0, True, most=5.0),
    "sqrt_": _unary(0.0, 40.0, True, least=0.0),
    "tanh_": _unary(-1.0, 1.0, True),
    "sigmoid_": _unary(0.0, 1.0, True),
    "relu_": _unary(0.0, inf, True),
    "floor_": _unary(-inf, inf),
    "zero_": _unary(0.0, 0.0),
    "clamp_": _clamped,
    "copy_": _copied,
    "masked_fill_": _masked,
    "addcmul_": _product_added,
    "lerp_": _blended,
    "index_add_": _indexed("add"),
    "index_fill_": _indexed("fill"),
    "index_copy_": _indexed("copy"),
    "scatter_": _scattered("copy"),
    "scatter_value_": _scattered("fill"),
    "scatter_add_": _scattered("add"),
    "index_put_": _put,
    "setitem": _assigned,
    "unsqueeze_": _reshaped("unsqueeze"),
    "squeeze_": _reshaped("squeeze"),
    "t_": _reshaped("t"),
    "transpose_": _reshaped("transpose"),
    "detach_": _detached,
    "resize_": _emptied,
    "set_": _rehomed,
    "add_out": _into,
    "mul_out": _into,
}
