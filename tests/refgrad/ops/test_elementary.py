"""Elementary and special functions against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch

import refgrad
from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import assert_same
from tests.refgrad.ops.points import AROUND, INF, INSIDE, NAN, NONZERO, check_binary, check_unary, signs_of_zeros

EXPONENTIAL = ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p")
CIRCULAR = ("sin", "cos", "tan", "asin", "acos", "atan")
HYPERBOLIC = ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh")
COMPLEX_TOO = (*EXPONENTIAL, *CIRCULAR, *HYPERBOLIC, "sinc")
REAL = ("erf", "erfc", "erfinv", "deg2rad", "rad2deg")
BINARY: dict[str, Callable[..., Any]] = {
    "atan2": lambda t, x, y: t.atan2(x, y),
    "arctan2": lambda t, x, y: x.arctan2(y),
    "logaddexp": lambda t, x, y: t.logaddexp(x, y),
    "logaddexp2": lambda t, x, y: t.logaddexp2(x, y),
    "xlogy": lambda t, x, y: t.xlogy(x, y),
}
# torch's series for the derivative of digamma ends early: it is right to 1e-9.
TRIGAMMA = "float32"


def _named(name: str) -> Callable[..., Any]:
    return lambda t, x: getattr(t, name)(x)


@pytest.mark.parametrize("name", [*COMPLEX_TOO, *REAL])
def test_one_operand(name: str) -> None:
    # The second derivative of sinc cancels: in float32 no digit of it is sure near 0.
    check_unary(_named(name), **({"second": False} if name == "sinc" else {}))
    assert_same(_named(name), np.array(0.7))
    if name == "sinc":
        assert_same(_named(name), INSIDE)
    if name in COMPLEX_TOO:
        for z in (INSIDE + 1j * AROUND, AROUND - 0.5j * INSIDE):
            assert_same(_named(name), z)
    else:
        assert_same(_named(name), INSIDE + 1j)


@pytest.mark.parametrize("name", [*COMPLEX_TOO, *REAL, "lgamma", "digamma", "logit"])
def test_signs_of_zeros(name: str) -> None:
    assert not [w for x in (0.0, -0.0, 1.0, INF, -INF) for w in signs_of_zeros(_named(name), x)]


def test_aliases() -> None:
    for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh"):
        inverse = getattr(refgrad, f"a{name}")
        assert getattr(refgrad, f"arc{name}") is inverse
        assert getattr(refgrad.Tensor, f"arc{name}") is inverse


@pytest.mark.parametrize("eps", [None, 0.1, 0.0])
def test_logit(eps: float | None) -> None:
    check_unary(lambda t, x: t.logit(x, eps), special=False)
    for points in ((0.0, 1.0, 0.5), (0.1, 0.9, 0.05), (-1.0, 2.0, 0.95), (INF, -INF)):
        assert_same(lambda t, x: t.logit(x, eps=eps), np.array(points))


def test_gamma_functions() -> None:
    for name in ("lgamma", "digamma"):
        check_unary(_named(name), precision=TRIGAMMA, special=False)
        assert_same(_named(name), INSIDE + 1j)
    for points in ((0.0, -0.0), (1.0, 2.0, 3.0), (-0.5, -1.5), (20.0, 100.0)):
        assert_same(_named("lgamma"), np.array(points), precision=TRIGAMMA)
        assert_same(_named("digamma"), np.array(points), precision=TRIGAMMA, second=False)
    assert_same(_named("lgamma"), np.array([-1.0, -INF, INF, NAN]), second=False)


def test_polygamma() -> None:
    for n in (0, 1, 2, 3):
        assert_same(lambda t, x, n=n: t.polygamma(n, x), INSIDE * 4, precision=TRIGAMMA)
        assert_same(lambda t, x, n=n: x.polygamma(n), INSIDE.astype("float32"))
        assert_same(lambda t, x, n=n: t.polygamma(n, x), np.array([-1.0, 0.0]), second=False)
    x = np.array([0.3, 2.5, 7.0, -0.3, -2.5])
    exact = scipy.special.polygamma(1, x)
    np.testing.assert_array_max_ulp(refgrad.polygamma(1, refgrad.tensor(x)).numpy(), exact, 8)


@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name: str) -> None:
    check_binary(BINARY[name])
    points = (0.0, -0.0, 1.0, INF)
    wrong = [w for x in points for y in points for w in signs_of_zeros(BINARY[name], x, y)]
    assert not wrong


def test_xlogy_with_numbers() -> None:
    for number in (0, 2.0, 0.5, -1.0):
        check_unary(lambda t, x, number=number: t.xlogy(x, number))
        check_unary(lambda t, x, number=number: t.xlogy(number, x))
    assert_same(lambda t, x, y: x.xlogy(y), INSIDE, NONZERO**2)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.sin(2),
        lambda t: t.atan2(t.ones(2), 2),
        lambda t: t.xlogy(2, 3),
        lambda t: t.xlogy(t.ones(2), "a"),
        lambda t: t.polygamma(-1, t.ones(2)),
        lambda t: t.logaddexp(t.tensor([1]), t.tensor([2])),
        lambda t: t.atan2(t.tensor([1j]), t.tensor([1j])),
        lambda t: t.exp(t.tensor([1, 2])).dtype,
    ],
)
def test_errors_and_corners(call: Callable[..., Any]) -> None:
    assert_both(call)


def test_inplace_forms() -> None:
    for name in ("exp_", "sin_", "tanh_", "log_", "sqrt_", "erf_"):
        assert_same(lambda t, x, name=name: getattr(x * 1, name)(), INSIDE)


def test_what_is_saved_is_version_checked() -> None:
    """sin saves its input, exp its result, as in torch."""
    for module in (torch, refgrad):
        for name, spoils_input in (("sin", True), ("exp", False), ("tanh", False), ("log", True)):
            x = module.ones(2, requires_grad=True) * 1
            y = getattr(module, name)(x)
            with module.no_grad():
                (x if spoils_input else y).add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.sum().backward()
