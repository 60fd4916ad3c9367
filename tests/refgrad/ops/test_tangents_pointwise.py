"""Tangents of elementwise functions at kinks, poles and infinities, in every dtype, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refgrad
from tests.refgrad.ops.compare import Input
from tests.refgrad.ops.points import AROUND, INF, INSIDE, NAN, NONZERO, SPECIAL
from tests.refgrad.ops.tangents import assert_same_tangents, hessian_times_vector

Function = Callable[..., Any]

PUBLIC = (
    "abs neg positive reciprocal sgn sign square sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos "
    "atan sinh cosh tanh asinh acosh atanh erf erfc erfinv deg2rad rad2deg sigmoid relu selu celu floor ceil round "
    "trunc frac clone"
).split()
FUNCTIONAL = (
    "celu elu gelu hardshrink hardswish hardtanh leaky_relu logsigmoid mish relu6 selu silu softplus softshrink"
).split()
NUMBERS: dict[str, Function] = {
    "threshold": lambda t, x: t.nn.functional.threshold(x, 0.5, 2.0),
    "gelu tanh": lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    **{f"pow {n}": lambda t, x, n=n: x**n for n in (2, 3, 0, 1, 0.5, -1, 2.5)},
    "pow base": lambda t, x: 2**x,
    "float_power": lambda t, x: t.float_power(x, 2),
    "clamp": lambda t, x: t.clamp(x, -1, 2),
    "clamp_min": lambda t, x: t.clamp_min(x, 1),
    "clamp_max": lambda t, x: t.clamp_max(x, 1),
    "over": lambda t, x: 1 / x,
    "div": lambda t, x: x / 2,
    "mul": lambda t, x: x * 0,
    "add": lambda t, x: x + 1,
    "rsub": lambda t, x: 1 - x,
    "xlogy": lambda t, x: t.xlogy(x, 2.0),
    "xlogy of a number": lambda t, x: t.xlogy(2.0, x),
    "masked_fill": lambda t, x: x.masked_fill(x.abs() > 1, 3.0),
    "where": lambda t, x: t.where(x.abs() > 1, x, 1.0),
}
REAL: dict[str, Function] = {
    "fmod": lambda t, x: t.fmod(x, 2),
    "remainder": lambda t, x: x % 2,
    "div floor": lambda t, x: t.div(x, 2, rounding_mode="floor"),
    "round decimals": lambda t, x: t.round(x, decimals=1),
    "floor_divide": lambda t, x: x // 2,
    "number over": lambda t, x: 2 % x,
}
UNARY: dict[str, Function] = {
    **{n: lambda t, x, n=n: getattr(t, n)(x) for n in PUBLIC},
    **{f"nn.{n}": lambda t, x, n=n: getattr(t.nn.functional, n)(x) for n in FUNCTIONAL},
    **NUMBERS,
    **REAL,
}


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name: str) -> None:
    function = UNARY[name]
    for points in SPECIAL:
        assert_same_tangents(function, np.array(points))
    for array in (np.array(0.3), np.zeros((0, 3)), Input(INSIDE, "transposed"), INSIDE.astype("float32")):
        assert_same_tangents(function, array, cuda=True)
    assert_same_tangents(function, np.array([0.3, 0.6], "float16"), precision="float16")
    for kind in ("int64", "bool"):
        assert_same_tangents(function, np.array([1, 0, 3]).astype(kind))
    if name not in REAL:
        assert_same_tangents(function, INSIDE + 1j * AROUND)


PRECISE: dict[str, tuple[Function, Any]] = {
    "lgamma": (lambda t, x: t.lgamma(x), "float32"),  # torch's derivatives are right to 1e-9
    "digamma": (lambda t, x: t.digamma(x), "float32"),
    "polygamma": (lambda t, x: t.polygamma(1, x), "float32"),
    "hardsigmoid": (lambda t, x: t.nn.functional.hardsigmoid(x), "float32"),  # a float32 constant in torch
    "sinc": (lambda t, x: t.sinc(x), None),
    "logit": (lambda t, x: t.logit(x), None),
    "logit eps": (lambda t, x: t.logit(x, 0.1), None),
    "softsign": (lambda t, x: t.nn.functional.softsign(x), None),
    "tanhshrink": (lambda t, x: t.nn.functional.tanhshrink(x), None),
}


@pytest.mark.parametrize("name", PRECISE)
def test_ordinary_points_only(name: str) -> None:
    function, precision = PRECISE[name]
    for array in (INSIDE, INSIDE.astype("float32"), np.array(0.3)):
        coarser = "float32" if array.dtype == np.float32 else precision
        assert_same_tangents(function, array, precision=coarser, second=name != "sinc" or array.dtype != np.float32)


BINARY: dict[str, Function] = {
    **{
        n: lambda t, x, y, n=n: getattr(t, n)(x, y)
        for n in (
            "add sub mul true_divide atan2 hypot maximum minimum fmax fmin logaddexp logaddexp2 xlogy pow remainder "
            "fmod floor_divide clamp_min clamp_max"
        ).split()
    },
    "add alpha": lambda t, x, y: t.add(x, y, alpha=2),
    "sub alpha": lambda t, x, y: t.sub(x, y, alpha=2),
    "lerp": lambda t, x, y: t.lerp(x, y, 0.3),
    "lerp weight": lambda t, x, y: t.lerp(x, y, y),
    "addcmul": lambda t, x, y: t.addcmul(x, x, y, value=2),
    "addcdiv": lambda t, x, y: t.addcdiv(x, x, y, value=2),
    "clamp": lambda t, x, y: t.clamp(x, y, y + 1),
    "clamp low": lambda t, x, y: t.clamp(x, y),
    "clamp high": lambda t, x, y: t.clamp(x, max=y),
    "clamp crossed": lambda t, x, y: t.clamp(x, y, x - 1),
    "where": lambda t, x, y: t.where(x > y, x, y),
    "masked_fill": lambda t, x, y: t.masked_fill(x, x > 0, y.sum()),
}
PAIRED = (0.0, -0.0, 1.0, 2.5, -2.5, INF, -INF, NAN)
KINKS = {  # torch's tangents are not the transpose of its gradients there
    *("atan2", "maximum", "minimum", "fmax", "clamp_min", "clamp_max"),
    *("clamp", "clamp low", "clamp high", "clamp crossed"),
}
POLES = {"pow", "true_divide", "addcdiv"}  # torch's second derivatives are NaN by infinities that cancel


@pytest.mark.parametrize("name", BINARY)
def test_two_operands_at_special_points(name: str) -> None:
    for a in PAIRED:
        for b in PAIRED:
            for dual in ((True, True), (True, False), (False, True)) if 1.0 in (a, b) else ((True, True),):
                assert_same_tangents(
                    BINARY[name],
                    np.array([a]),
                    np.array([b]),
                    dual=dual,
                    second=name not in POLES,
                    transposed=name not in KINKS,
                )


X, Y = INSIDE * 3, NONZERO
TWOS = np.ones((3, 4), np.int64) * 2


@pytest.mark.parametrize("dual", [(True, True), (True, False), (False, True)], ids=str)
@pytest.mark.parametrize("name", [n for n in BINARY if n != "clamp crossed"])  # torch raises in its derivatives
def test_two_operands(name: str, dual: tuple[bool, bool]) -> None:
    pairs: list[tuple[Any, Any]] = [
        (X[:1], Y[:, :1]),
        (np.array(0.3), np.array(0.7)),
        (np.array(1.3), Y),
        (Y, np.array(1.3)),
        (np.zeros((0, 3)), np.ones((1, 3))),
        (Input(X, "transposed"), Input(Y, "strided")),
    ]
    if name not in ("lerp", "lerp weight", "masked_fill"):  # which take one dtype only
        pairs += [
            (X.astype("float32"), Y),
            (X.astype("float32"), np.array(3.0)),
            (np.array(3.0), X.astype("float32")),
            (X, TWOS),
            (TWOS, X),
        ]
    if name == "addcdiv":
        del pairs[-2]  # torch raises in second derivatives of a float over an integer
    for x, y in pairs:
        kinds = [getattr(v, "array", v).dtype for v in (x, y)]
        assert_same_tangents(
            BINARY[name], x, y, dual=dual, precision="float32" if np.dtype("float32") in kinds else None
        )


@pytest.mark.parametrize("name", ["add", "sub", "mul", "true_divide", "pow", "lerp", "lerp weight", "addcmul"])
def test_complex_operands(name: str) -> None:
    z, w = X + 1j * Y, Y - 1j * X
    assert_same_tangents(BINARY[name], z, w)
    if name in ("add", "sub", "true_divide"):
        for pair in ((X, w), (z, Y)):
            assert_same_tangents(BINARY[name], *pair)


@pytest.mark.parametrize("real", ["base", "exponent"])
def test_powers_of_which_one_operand_is_real(real: str) -> None:
    """torch drops the imaginary part of such a tangent: here the slope of the power is the witness."""
    z, step = np.array([0.5 + 1j, 2 - 0.3j]), 1e-6
    x = np.array([1.5, 0.7])

    def power(t: Any, x: Any) -> Any:
        other = t.tensor(z)
        return x**other if real == "base" else other**x

    level = refgrad.autograd.forward_ad
    with level.dual_level():
        dual = level.make_dual(refgrad.tensor(x), refgrad.ones(2, dtype=refgrad.float64))
        tangent = level.unpack_dual(power(refgrad, dual)).tangent.numpy()
    higher, lower = (power(refgrad, refgrad.tensor(x + s)).numpy() for s in (step, -step))
    np.testing.assert_allclose(tangent, (higher - lower) / (2 * step), rtol=1e-8)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "sin", "exp", "sqrt", "mul"])
def test_second_derivatives_of_complex_functions(name: str) -> None:
    function = (lambda t, x: x * x) if name == "mul" else UNARY[name]
    one, other = hessian_times_vector(function, refgrad, INSIDE + 1j * AROUND)
    np.testing.assert_allclose(one, other, rtol=1e-10)
