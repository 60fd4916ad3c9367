"""Ops that work element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf
from typing import Any

from oracle.catalogue.params import choice, dtype, number, optional
from oracle.catalogue.scene import Drawn, Live, Scene, broadcast, promote
from oracle.catalogue.spec import OpSpec
from oracle.catalogue.values import (
    ABOVE,
    ANY,
    NONNEGATIVE,
    NONZERO,
    OVER_MINUS_ONE,
    POSITIVE,
    SMALL,
    UNIT,
    Domain,
)

Draw = Callable[[Scene], Drawn | None]
Image = Callable[[float, float], tuple[float, float]]
UNKNOWN = (-inf, inf)
SCALARS = (2.0, 3.0, 0.5, -1.0, 1.5, 2, -0.5, 3, 0.25, -2.0, 1.0, -2, 1, 0.1, 0.0, -0.0)
POWERS = (2, 3, 0.5, 2.0, 1, -1, 1.5, 0, -2, 3.0, -0.5, 4, 1.0, -1.0, 0.0, 2.5)


# How a range of values is carried through


def _rising(f: Callable[[float], float]) -> Image:
    def image(low: float, high: float) -> tuple[float, float]:
        try:
            return f(low), f(high)
        except (ValueError, OverflowError, ZeroDivisionError):
            return UNKNOWN

    return image


def _falling(f: Callable[[float], float]) -> Image:
    def image(low: float, high: float) -> tuple[float, float]:
        try:
            return f(high), f(low)
        except (ValueError, OverflowError, ZeroDivisionError):
            return UNKNOWN

    return image


def _within(low: float, high: float) -> Image:
    return lambda a, b: (low, high) if -inf < a and b < inf else UNKNOWN


def _even(f: Callable[[float], float]) -> Image:
    """Falls up to 0 and rises from there."""

    def image(low: float, high: float) -> tuple[float, float]:
        try:
            a, b = f(low), f(high)
        except OverflowError:
            return UNKNOWN
        return (f(0.0) if low <= 0.0 <= high else min(a, b)), max(a, b)

    return image


def _same(low: float, high: float) -> tuple[float, float]:
    return low, high


def _tan(low: float, high: float) -> tuple[float, float]:
    return (math.tan(low), math.tan(high)) if low > -1.57 and high < 1.57 else UNKNOWN


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _reciprocal(low: float, high: float) -> tuple[float, float]:
    return (1.0 / high, 1.0 / low) if low > 0.0 or high < 0.0 else UNKNOWN


def _sum(a: Live, b: Live) -> tuple[float, float]:
    return a.low + b.low, a.high + b.high


def _difference(a: Live, b: Live) -> tuple[float, float]:
    return a.low - b.high, a.high - b.low


def product(a: float, b: float, c: float, d: float) -> tuple[float, float]:
    """The range of products of a number in [a, b] with one in [c, d]."""
    if a == -inf or b == inf or c == -inf or d == inf:
        return UNKNOWN
    corners = (a * c, a * d, b * c, b * d)
    return min(corners), max(corners)


def _product(a: Live, b: Live) -> tuple[float, float]:
    if a is b:
        return _even(lambda x: x * x)(a.low, a.high)
    return product(a.low, a.high, b.low, b.high)


def _quotient(a: Live, b: Live) -> tuple[float, float]:
    return product(a.low, a.high, *_reciprocal(b.low, b.high))


def _hull(a: Live, b: Live) -> tuple[float, float]:
    return min(a.low, b.low), max(a.high, b.high)


# One tensor


def unary(domain: Domain, image: Image) -> Callable[[Scene], Drawn]:
    """A function of one tensor without parameters."""

    def draw(scene: Scene) -> Drawn:
        x = scene.tensor(domain)
        low, high = image(x.low, x.high)
        return (x,), {}, (Live(x.shape, x.dtype, low, high, x.dense),)

    return draw


def _with(draw_params: Callable[[Scene], dict[str, Any]], domain: Domain, image: Image) -> Draw:
    """A function of one tensor with parameters of its own."""

    def draw(scene: Scene) -> Drawn:
        x = scene.tensor(domain)
        low, high = image(x.low, x.high)
        return (x,), draw_params(scene), (Live(x.shape, x.dtype, low, high, x.dense),)

    return draw


def _abs(scene: Scene) -> Drawn:
    drawn = _ABS(scene)
    drawn[2][0].stepped = True
    return drawn


def _simple(name: str, domain: Domain, image: Image, gradient: str = "self", target: str = "") -> OpSpec:
    return OpSpec(name, "pointwise", "function", target or name, unary(domain, image), gradient=gradient)


_ABS = unary(ANY, _even(abs))

_UNARY = [
    _simple("neg", ANY, lambda a, b: (-b, -a), "none"),
    _simple("square", ANY, _even(lambda x: x * x)),
    _simple("sqrt", NONNEGATIVE, _rising(math.sqrt)),
    _simple("rsqrt", POSITIVE, _falling(lambda x: x**-0.5 if x > 0 else inf)),
    _simple("reciprocal", NONZERO, _reciprocal),
    _simple("exp", SMALL, _rising(math.exp)),
    _simple("exp2", SMALL, _rising(lambda x: 2.0**x)),
    _simple("expm1", SMALL, _rising(math.expm1)),
    _simple("log", POSITIVE, _rising(math.log)),
    _simple("log2", POSITIVE, _rising(math.log2)),
    _simple("log10", POSITIVE, _rising(math.log10)),
    _simple("log1p", OVER_MINUS_ONE, _rising(math.log1p)),
    _simple("sin", ANY, _within(-1.0, 1.0)),
    _simple("cos", ANY, _within(-1.0, 1.0)),
    _simple("tan", Domain(-1.4, 1.4, UNIT.pools), _tan),
    _simple("asin", UNIT, _rising(math.asin)),
    _simple("acos", UNIT, _falling(math.acos)),
    _simple("atan", ANY, _rising(math.atan)),
    _simple("sinh", SMALL, _rising(math.sinh)),
    _simple("cosh", SMALL, _even(math.cosh)),
    _simple("tanh", SMALL, _rising(math.tanh)),
    _simple("asinh", ANY, _rising(math.asinh)),
    _simple("acosh", ABOVE, _rising(math.acosh)),
    _simple("atanh", UNIT, _rising(math.atanh)),
    _simple("sigmoid", SMALL, _rising(_sigmoid)),
    _simple("logsigmoid", SMALL, _within(-21.0, 0.0), target="nn.functional.logsigmoid"),
    _simple("relu", ANY, lambda a, b: (max(a, 0.0), max(b, 0.0))),
    _simple("silu", SMALL, lambda a, b: (-0.3, max(b, 0.3)), target="nn.functional.silu"),
    OpSpec("abs", "pointwise", "function", "abs", _abs),
    _simple("sign", ANY, _within(-1.0, 1.0), "zero"),
    _simple("floor", ANY, lambda a, b: (a - 1.0, b), "zero"),
    _simple("round", ANY, lambda a, b: (a - 0.5, b + 0.5), "zero"),
    _simple("erf", SMALL, _rising(math.erf)),
]


def _gelu_params(scene: Scene) -> dict[str, Any]:
    return ({}, {"approximate": "tanh"}, {"approximate": "none"})[scene.take(3)]


def _softplus_params(scene: Scene) -> dict[str, Any]:
    how = scene.take(6)
    if how < 3:
        return {}
    return {"beta": (2.0, 0.5, 3)[scene.take(3)], "threshold": (20.0, 1.0, 2)[how - 3]}


def _slope_params(scene: Scene) -> dict[str, Any]:
    return ({}, {"negative_slope": 0.2}, {"negative_slope": 0.5}, {"negative_slope": 0.0})[scene.take(4)]


def _elu_params(scene: Scene) -> dict[str, Any]:
    return ({}, {"alpha": 0.5}, {"alpha": 2.0})[scene.take(3)]


def _clamp(scene: Scene) -> Drawn:
    x = scene.tensor()
    low, high = (-1.0, 0.0, -0.5, -2, 0.5, -1)[scene.take(6)], (1.0, 0.75, 2, 1, 0.5, 2.5)[scene.take(6)]
    which = scene.take(4)
    if which == 2:
        params: dict[str, Any] = {"min": low}
        span = max(x.low, low), max(x.high, low)
    elif which == 3:
        params = {"max": high}
        span = min(x.low, high), min(x.high, high)
    else:
        params = {"min": low, "max": high}
        span = (low, high) if x.low > -inf else UNKNOWN
    return (x,), params, (Live(x.shape, x.dtype, *span, x.dense),)


def _pow_scalar(scene: Scene) -> Drawn:
    """tensor ** number two times in three, else number ** tensor."""
    how = scene.take(3 * len(POWERS))
    if how < 2 * len(POWERS):
        exponent = POWERS[how >> 1]
        whole = exponent == int(exponent)
        if exponent < 0:
            x = scene.tensor(NONZERO if whole else POSITIVE)
            span = _reciprocal(x.low, x.high) if exponent == -1 else UNKNOWN
            if x.low > 0:
                span = (0.0, x.low**exponent)
        else:
            x = scene.tensor(ANY if whole else NONNEGATIVE)
            top = max(-x.low, x.high)
            most = top**exponent if top < 1e30 else inf
            span = (0.0 if x.low >= 0 or exponent % 2 == 0 else -most, most)
        params = {"scalar": exponent, "side": "right"}
    else:
        base = (2.0, 0.5, 3, 1.5, 2, 1.0, 0.0, 2.5)[how & 7]
        x = scene.tensor(SMALL if base else POSITIVE)
        params = {"scalar": base, "side": "left"}
        span = (0.0, max(base**x.low, base**x.high)) if base and x.low > -50 and x.high < 50 else (0.0, 1.0)
        if x.low == -inf:
            span = UNKNOWN
    return (x,), params, (Live(x.shape, x.dtype, *span, x.dense),)


def _to(scene: Scene) -> Drawn:
    x = scene.tensor()
    name = ("float64", "float32", "float64", "float32", "float16")[scene.take(5)]
    out = Live(x.shape, name, x.low, x.high, x.dense, x if name == x.dtype else None)
    return (x,), {"dtype": name}, (out,)


_CAST = {"double": "float64", "float": "float32"}


def _cast(method: str) -> Draw:
    def draw(scene: Scene) -> Drawn:
        x = scene.tensor()
        name = _CAST[method]
        return (x,), {}, (Live(x.shape, name, x.low, x.high, x.dense, x if name == x.dtype else None),)

    return draw


def _masked_fill(scene: Scene) -> Drawn:
    x = scene.tensor()
    mask = condition(scene, x.shape)
    value = (0.0, 1.0, -1.0, 2, -inf, 0.5, 3.0, -0.0)[scene.take(8)]
    shape = broadcast(x.shape, mask.shape) or x.shape
    out = Live(shape, x.dtype, min(x.low, value), max(x.high, value), x.dense and mask.dense)
    return (x, mask), {"value": value}, (out,)


def condition(scene: Scene, shape: tuple[int, ...]) -> Live:
    """A bool tensor that broadcasts with a shape: a live one, or a new leaf."""
    if scene.take(4) < 3:
        for t in reversed(scene.others):
            if t.dtype == "bool" and broadcast(shape, t.shape) is not None:
                return t
    return scene.mask(scene.near(shape))


_PARAMETRIC = [
    OpSpec(
        "gelu",
        "pointwise",
        "function",
        "nn.functional.gelu",
        _with(_gelu_params, SMALL, lambda a, b: (-0.2, max(b, 0.2))),
        params={"approximate": optional(choice("none", "tanh"))},
    ),
    OpSpec(
        "softplus",
        "pointwise",
        "function",
        "nn.functional.softplus",
        _with(_softplus_params, SMALL, lambda a, b: (0.0, max(b, 0.0) + 2.0)),
        params={"beta": optional(number()), "threshold": optional(number())},
    ),
    OpSpec(
        "leaky_relu",
        "pointwise",
        "function",
        "nn.functional.leaky_relu",
        _with(_slope_params, ANY, lambda a, b: (min(a, 0.0), max(b, 0.0))),
        params={"negative_slope": optional(number())},
    ),
    OpSpec(
        "elu",
        "pointwise",
        "function",
        "nn.functional.elu",
        _with(_elu_params, SMALL, lambda a, b: (-2.0, max(b, 0.0))),
        params={"alpha": optional(number())},
    ),
    OpSpec(
        "clamp",
        "pointwise",
        "function",
        "clamp",
        _clamp,
        params={"min": optional(number()), "max": optional(number())},
        gradient="maybe",
    ),
    OpSpec(
        "pow_operator",
        "pointwise",
        "operator",
        "**",
        _pow_scalar,
        (1, 2),
        params={"scalar": optional(number()), "side": optional(choice("left", "right"))},
        gradient="unsure",
    ),
    OpSpec("to", "pointwise", "method", "to", _to, params={"dtype": dtype()}, gradient="none", aliases=True),
    OpSpec("double", "pointwise", "method", "double", _cast("double"), gradient="none", aliases=True),
    OpSpec("float", "pointwise", "method", "float", _cast("float"), gradient="none", aliases=True),
    OpSpec(
        "masked_fill",
        "pointwise",
        "function",
        "masked_fill",
        _masked_fill,
        (2, 2),
        params={"value": number(finite=False)},
        gradient="others",
    ),
]


# Two tensors and more


def binary(first: Domain, second: Domain, image: Callable[[Live, Live], tuple[float, float]]) -> Draw:
    """A function of two tensors that broadcast and promote."""

    def draw(scene: Scene) -> Drawn | None:
        a = scene.tensor(first)
        b = scene.mate(a, a.shape, second)
        shape = broadcast(a.shape, b.shape)
        if shape is None:
            return None
        low, high = image(a, b)
        if scene.take(4) == 3 and first is second:
            return (b, a), {}, (Live(shape, promote(a, b), *image(b, a), a.dense and b.dense),)
        return (a, b), {}, (Live(shape, promote(a, b), low, high, a.dense and b.dense),)

    return draw


def _comparison(scene: Scene) -> Drawn | None:
    a = scene.tensor()
    b = scene.mate(a, a.shape)
    shape = broadcast(a.shape, b.shape)
    return None if shape is None else ((a, b), {}, (Live(shape, "bool", 0.0, 1.0, a.dense and b.dense),))


def arithmetic(first: Domain, second: Domain, image: Callable[[Live, Live], tuple[float, float]]) -> Draw:
    """An operator between two tensors, or a tensor and a number on either side."""
    pair = binary(first, second, image)

    def draw(scene: Scene) -> Drawn | None:
        how = scene.take(3)
        if how == 0:
            return pair(scene)
        scalar = SCALARS[scene.take(len(SCALARS))]
        number_ = Live((), "float64", scalar, scalar)
        if how == 1:
            if not scalar and second is NONZERO:
                number_.low = number_.high = scalar = 2.0
            x = scene.tensor(first)
            span = image(x, number_)
            side = "right"
        else:
            x = scene.tensor(second)
            span = image(number_, x)
            side = "left"
        return (x,), {"scalar": scalar, "side": side}, (Live(x.shape, x.dtype, *span, x.dense),)

    return draw


def _power(a: Live, b: Live) -> tuple[float, float]:
    if a.low > 0.0 and a.high < 1e3 and b.low > -9.0 and b.high < 9.0:
        corners = (a.low**b.low, a.low**b.high, a.high**b.low, a.high**b.high)
        return min(corners), max(corners)
    return UNKNOWN


def _where(scene: Scene) -> Drawn | None:
    a = scene.tensor()
    b = scene.mate(a, a.shape)
    shape = broadcast(a.shape, b.shape)
    if shape is None:
        return None
    mask = condition(scene, shape)
    shape = broadcast(shape, mask.shape)
    if shape is None:
        return None
    dense = a.dense and b.dense and mask.dense
    return (mask, a, b), {}, (Live(shape, promote(a, b), *_hull(a, b), dense),)


def _three(scene: Scene, last: Domain = ANY) -> tuple[Live, Live, Live, tuple[int, ...]] | None:
    """Three tensors of one dtype that broadcast."""
    a = scene.tensor()
    b = scene.mate(a, a.shape, ANY, a.dtype)
    shape = broadcast(a.shape, b.shape)
    if shape is None:
        return None
    c = scene.mate(b, shape, last, a.dtype)
    shape = broadcast(shape, c.shape)
    return None if shape is None else (a, b, c, shape)


def _lerp(scene: Scene) -> Drawn | None:
    if scene.take(2):
        drawn = _three(scene, SMALL)
        if drawn is None:
            return None
        a, b, w, to = drawn
        dense = a.dense and b.dense and w.dense
        return (a, b, w), {}, (Live(to, a.dtype, *_between(a, b, w.low, w.high), dense),)
    a = scene.tensor()
    b = scene.mate(a, a.shape, ANY, a.dtype)
    shape = broadcast(a.shape, b.shape)
    if shape is None:
        return None
    weight = (0.5, 0.25, 0.75, 2.0, 0.0, 1.0, -1.0, 0.1)[scene.take(8)]
    return (
        (a, b),
        {"weight": weight},
        (Live(shape, a.dtype, *_between(a, b, weight, weight), a.dense and b.dense),),
    )


def _between(a: Live, b: Live, low: float, high: float) -> tuple[float, float]:
    """a + weight * (b - a) with a weight from low to high."""
    least, most = product(*_difference(b, a), low, high)
    return a.low + least, a.high + most


def _added(divide: bool) -> Draw:
    def draw(scene: Scene) -> Drawn | None:
        drawn = _three(scene, NONZERO if divide else ANY)
        if drawn is None:
            return None
        a, b, c, shape = drawn
        value = (1.0, 2.0, 0.5, -1.0, 3, -2, 0.25, 0.0)[scene.take(8)]
        params = {"value": value} if value != 1.0 else {}
        low, high = _quotient(b, c) if divide else _product(b, c)
        low, high = product(low, high, value, value)
        return (
            (a, b, c),
            params,
            (Live(shape, a.dtype, a.low + low, a.high + high, a.dense and b.dense and c.dense),),
        )

    return draw


_WITH_NUMBER = {"scalar": optional(number()), "side": optional(choice("left", "right"))}
_PAIR = (2, 2)

_BINARY = [
    OpSpec("add", "pointwise", "function", "add", binary(ANY, ANY, _sum), _PAIR, gradient="none"),
    OpSpec("sub", "pointwise", "function", "sub", binary(ANY, ANY, _difference), _PAIR, gradient="none"),
    OpSpec("mul", "pointwise", "function", "mul", binary(ANY, ANY, _product), _PAIR, gradient="others"),
    OpSpec("div", "pointwise", "function", "div", binary(ANY, NONZERO, _quotient), _PAIR, gradient="maybe"),
    OpSpec(
        "pow", "pointwise", "function", "pow", binary(POSITIVE, Domain(-4.0, 4.0, ANY.pools), _power), _PAIR
    ),
    OpSpec("atan2", "pointwise", "function", "atan2", binary(ANY, ANY, lambda a, b: (-3.2, 3.2)), _PAIR),
    OpSpec(
        "hypot",
        "pointwise",
        "function",
        "hypot",
        binary(ANY, ANY, lambda a, b: (0.0, max(-a.low, a.high) + max(-b.low, b.high))),
        _PAIR,
    ),
    OpSpec("maximum", "pointwise", "function", "maximum", binary(ANY, ANY, _hull), _PAIR, gradient="none"),
    OpSpec("minimum", "pointwise", "function", "minimum", binary(ANY, ANY, _hull), _PAIR, gradient="none"),
    OpSpec("gt", "pointwise", "function", "gt", _comparison, _PAIR, gradient="cut"),
    OpSpec("lt", "pointwise", "function", "lt", _comparison, _PAIR, gradient="cut"),
    OpSpec("eq", "pointwise", "function", "eq", _comparison, _PAIR, gradient="cut"),
    OpSpec("where", "pointwise", "function", "where", _where, (3, 3), gradient="none"),
    OpSpec(
        "lerp",
        "pointwise",
        "function",
        "lerp",
        _lerp,
        (2, 3),
        params={"weight": optional(number())},
        gradient="maybe",
    ),
    OpSpec(
        "addcmul",
        "pointwise",
        "function",
        "addcmul",
        _added(False),
        (3, 3),
        params={"value": optional(number())},
        gradient="maybe",
    ),
    OpSpec(
        "addcdiv",
        "pointwise",
        "function",
        "addcdiv",
        _added(True),
        (3, 3),
        params={"value": optional(number())},
        gradient="maybe",
    ),
    *(
        OpSpec(
            f"{name}_operator",
            "pointwise",
            "operator",
            symbol,
            arithmetic(ANY, second, image),
            (1, 2),
            params=_WITH_NUMBER,
            gradient=gradient,
        )
        for name, symbol, second, image, gradient in (
            ("add", "+", ANY, _sum, "none"),
            ("sub", "-", ANY, _difference, "none"),
            ("mul", "*", ANY, _product, "others"),
            ("div", "/", NONZERO, _quotient, "maybe"),
        )
    ),
]

SPECS = [*_UNARY, *_PARAMETRIC, *_BINARY]
