"""Smooth activation functions against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import ULPS, assert_same
from tests.refgrad.ops.points import AROUND, INF, INSIDE, NAN, check_unary, signs_of_zeros

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda t, x: t.sigmoid(x),
    "functional sigmoid": lambda t, x: t.nn.functional.sigmoid(x),
    "tanh": lambda t, x: t.nn.functional.tanh(x),
    "silu": lambda t, x: t.nn.functional.silu(x),
    "logsigmoid": lambda t, x: t.nn.functional.logsigmoid(x),
    "elu": lambda t, x: t.nn.functional.elu(x),
    "elu alpha": lambda t, x: t.nn.functional.elu(x, 0.7),
    "selu": lambda t, x: t.selu(x),
    "celu": lambda t, x: t.nn.functional.celu(x, alpha=2.0),
    "negative celu": lambda t, x: t.celu(x, -1.5),
    "softplus": lambda t, x: t.nn.functional.softplus(x),
    "softplus beta": lambda t, x: t.nn.functional.softplus(x, 2, threshold=0.5),
    "mish": lambda t, x: t.nn.functional.mish(x),
    "gelu": lambda t, x: t.nn.functional.gelu(x),
    "gelu tanh": lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    "softsign": lambda t, x: t.nn.functional.softsign(x),
    "tanhshrink": lambda t, x: t.nn.functional.tanhshrink(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name: str) -> None:
    # The second derivative of the approximate gelu is a difference of terms twice as large as itself.
    check_unary(FUNCTIONS[name], ulps=2 * ULPS if name == "gelu tanh" else ULPS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signs_of_zeros(name: str) -> None:
    assert not [w for x in (0.0, -0.0, 800.0, -800.0, INF, -INF) for w in signs_of_zeros(FUNCTIONS[name], x)]


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softsign", "tanhshrink"])
def test_complex(name: str) -> None:
    for z in (INSIDE + 0.5j * AROUND, AROUND + 0.3j):
        # One more rounding in each part of each product.
        assert_same(FUNCTIONS[name], z, ulps=2 * ULPS)


def test_softplus_is_the_identity_above_its_threshold() -> None:
    for x in (20.0, 20.000001, 21.0):
        assert_same(lambda t, x: t.nn.functional.softplus(x), np.array([x]))
    for x in (0.25, 0.2500001, NAN, -INF):
        assert_same(lambda t, x: t.nn.functional.softplus(x, 2, 0.5), np.array([x]))


@pytest.mark.parametrize("name", ["silu", "elu", "selu", "celu", "mish"])
def test_inplace(name: str) -> None:
    assert_same(lambda t, x: getattr(t.nn.functional, name)(x * 1, inplace=True), AROUND, state=False)
    assert_both(lambda t: getattr(t.nn.functional, name)(t.ones(2, requires_grad=True), inplace=True))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.sigmoid(2.0),
        lambda t: t.nn.functional.gelu(t.ones(2), approximate="x"),
        lambda t: t.nn.functional.celu(t.ones(2), 0.0),
        lambda t: t.nn.functional.gelu(t.tensor([1])),
        lambda t: t.nn.functional.celu(t.tensor([1])),
        lambda t: t.nn.functional.softplus(t.tensor([True])),
    ],
)
def test_errors(call: Callable[..., Any]) -> None:
    assert_both(call)


def test_third_derivatives() -> None:
    def third(t: Any, x: Any, function: Any) -> Any:
        y = function(t, x)
        for _ in range(2):
            (y,) = t.autograd.grad(y, x, t.ones_like(y), create_graph=True)
        return y

    for name in ("sigmoid", "tanh", "silu", "softplus", "gelu", "elu"):
        # Each order adds as many roundings again; state: the last derivatives are composed in other ways.
        assert_same(lambda t, x, f=FUNCTIONS[name]: third(t, x, f), AROUND, second=False, state=False, ulps=4 * ULPS)
