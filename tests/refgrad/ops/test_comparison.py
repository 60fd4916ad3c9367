"""Comparisons, classes of values, logical and bitwise operations against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import assert_same
from tests.refgrad.ops.points import INSIDE, NONZERO, check_binary, check_unary

NAMES = ("eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater", "greater_equal")
LOGICAL = ("logical_and", "logical_or", "logical_xor")
BINARY: dict[str, Callable[..., Any]] = {
    "==": lambda t, x, y: x == y,
    "!=": lambda t, x, y: x != y,
    "<": lambda t, x, y: x < y,
    "<=": lambda t, x, y: x <= y,
    ">": lambda t, x, y: x > y,
    ">=": lambda t, x, y: x >= y,
    **{name: (lambda t, x, y, name=name: getattr(t, name)(x, y)) for name in (*NAMES, *LOGICAL)},
}
UNARY: dict[str, Callable[..., Any]] = {
    "x==1": lambda t, x: x == 1,
    "x!=0.5": lambda t, x: x != 0.5,
    "1<x": lambda t, x: 1 < x,  # noqa: SIM300
    "x>=True": lambda t, x: x >= True,
    **{
        name: (lambda t, x, name=name: getattr(t, name)(x))
        for name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit", "logical_not")
    },
}
BITWISE: dict[str, Callable[..., Any]] = {
    "&": lambda t, x, y: x & y,
    "|": lambda t, x, y: x | y,
    "^": lambda t, x, y: x ^ y,
    "bitwise_and": lambda t, x, y: t.bitwise_and(x, y),
    "bitwise_or": lambda t, x, y: t.bitwise_or(x, y),
    "bitwise_xor": lambda t, x, y: t.bitwise_xor(x, y),
    "<<": lambda t, x, y: x << y,
    ">>": lambda t, x, y: x >> y,
    "x&3": lambda t, x, y: x & 3,
    "3|x": lambda t, x, y: 3 | x,
    "x^True": lambda t, x, y: x ^ True,
    "2<<x": lambda t, x, y: 2 << x,
    "64>>x": lambda t, x, y: 64 >> x,
    "~": lambda t, x, y: ~x,
    "bitwise_not": lambda t, x, y: t.bitwise_not(x),
}


@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name: str) -> None:
    check_binary(BINARY[name])
    assert_same(BINARY[name], INSIDE + 1j, INSIDE + 1j * NONZERO)


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name: str) -> None:
    check_unary(UNARY[name])
    assert_same(UNARY[name], np.array([1j, np.nan, complex(0, np.inf), 0.0]))


@pytest.mark.parametrize("name", BITWISE)
def test_bitwise(name: str) -> None:
    for kind in ("int64", "int32", "uint8", "bool", "float64", "float32", "complex128"):
        assert_same(BITWISE[name], np.array([5, 0, 3]).astype(kind), np.array([1, 2, 0]).astype(kind))
    assert_same(BITWISE[name], np.array([5, 0, 3]), np.array([True, False, True]))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.ones(2) == "a",
        lambda t: t.ones(2) != "a",
        lambda t: t.ones(2) == None,  # noqa: E711
        lambda t: t.ones(2) < None,
        lambda t: "a" < t.ones(2),  # noqa: SIM300
        lambda t: t.tensor([1]) & None,
        lambda t: t.eq(t.ones(2), t.ones(3)),
        lambda t: t.logical_and(t.ones(2), 1),
        lambda t: ~t.ones(2),
        lambda t: t.tensor([200], dtype=t.uint8) == 300,
        lambda t: t.tensor([255], dtype=t.uint8) == -1,
        lambda t: t.tensor([1, 2]) == 1.5,
        lambda t: t.equal(t.ones(2), t.ones(2)),
        lambda t: t.equal(t.ones(2), t.ones(3)),
        lambda t: t.equal(t.ones(2), t.ones(1)),
        lambda t: t.equal(t.ones(2), t.ones(2, dtype=t.float64)),
        lambda t: t.equal(t.ones(2), 2),
        lambda t: t.tensor([1.0]).equal(t.tensor([float("nan")])),
    ],
)
def test_errors_and_corners(call: Callable[..., Any]) -> None:
    assert_both(call)


def test_isclose_and_allclose() -> None:
    inf, nan = float("inf"), float("nan")
    x = np.array([1.0, 1.0, 1.0, inf, inf, nan, 0.0, 1e-9])
    y = np.array([1.0, 1 + 1e-5, 1 + 2e-5, inf, -inf, nan, -0.0, 0.0])
    for options in ({}, {"rtol": 0, "atol": 0}, {"equal_nan": True}, {"atol": 1e-3}, {"rtol": 1.0, "atol": inf}):
        assert_same(lambda t, x, y, options=options: t.isclose(x, y, **options), x, y)
        assert_both(lambda t, options=options: t.allclose(t.tensor(x), t.tensor(y), **options))
    assert_same(lambda t, x, y: t.isclose(x, y, atol=1), np.array([1, 5]), np.array([2, 7]))
    assert_same(lambda t, x, y: t.isclose(x, y, atol=1), np.array([True, False]), np.array([False, False]))
    assert_same(lambda t, x, y: t.isclose(x, y), x + 1j, y + 1j)
    for call in (
        lambda t: t.isclose(t.ones(2), t.ones(2, dtype=t.float64)),
        lambda t: t.isclose(t.ones(2), t.ones(2), rtol=-1),
        lambda t: t.isclose(t.ones(2), t.ones(2), atol=-1),
        lambda t: t.allclose(t.ones(2), t.ones(3)),
    ):
        assert_both(call)


def test_inplace_forms() -> None:
    for name, kind in (("bitwise_and_", "int64"), ("bitwise_xor_", "bool"), ("logical_or_", "float64")):
        x, y = np.array([5, 0, 3]).astype(kind), np.array([1, 2, 0]).astype(kind)
        assert_same(lambda t, x, y, name=name: getattr(x.detach().clone(), name)(y), x, y)

    def augmented(t: Any, x: Any, y: Any) -> Any:
        x &= y
        x |= 4
        x ^= 1
        return x

    assert_same(augmented, np.array([5, 0, 3]), np.array([1, 2, 3]))
