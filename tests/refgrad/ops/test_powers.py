"""Powers and roots against torch, at zero above all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import Input, assert_same
from tests.refgrad.ops.points import (
    AROUND,
    INSIDE,
    NONZERO,
    PAIRED,
    check_unary,
    signs_of_zeros,
)

UNARY: dict[str, Callable[..., Any]] = {
    "square": lambda t, x: t.square(x),
    "sqrt": lambda t, x: t.sqrt(x),
    "rsqrt": lambda t, x: x.rsqrt(),
    "float_power": lambda t, x: t.float_power(x, 2),
}
EXPONENTS = (0, 1, 2, 3, 4, -1, -2, -3, 0.5, -0.5, 1.5, -1.5, 0.0, 2.0, True)
BASES = (0, 1, 2, -2, 0.5, 2.5, 0.0, 1.0)


@pytest.mark.parametrize("name", UNARY)
def test_roots_and_square(name: str) -> None:
    check_unary(UNARY[name])
    assert_same(UNARY[name], INSIDE + 1j * AROUND)


@pytest.mark.parametrize("exponent", EXPONENTS, ids=repr)
def test_number_as_exponent(exponent: Any) -> None:
    check_unary(lambda t, x: x**exponent)
    assert_same(lambda t, x: t.pow(x, exponent), INSIDE + 1j * AROUND)
    assert not [w for x in (0.0, -0.0, 1.0, -1.0) for w in signs_of_zeros(lambda t, x: x**exponent, x)]


@pytest.mark.parametrize("base", BASES, ids=repr)
def test_number_as_base(base: Any) -> None:
    check_unary(lambda t, x: base**x)
    if base:  # torch's complex powers of 0 are infinite in the left half plane, NumPy's are NaN
        assert_same(lambda t, x: t.pow(base, x), INSIDE + 1j * AROUND)


def test_two_tensors() -> None:
    def power(t: Any, x: Any, y: Any) -> Any:
        return t.pow(x, y)

    for kind in ("float64", "float32", "float16"):
        assert_same(power, INSIDE.astype(kind), NONZERO.astype(kind))
    for x, y in ((INSIDE[:1], NONZERO[:, :1]), (np.array(0.3), np.array(0.7)), (np.zeros((0, 3)), np.ones((1, 3)))):
        assert_same(power, x, y)
    assert_same(power, Input(INSIDE, "expanded"), Input(NONZERO, "strided"))
    assert_same(power, INSIDE + 1j * AROUND, NONZERO + 0.5j)
    assert_same(power, np.array([2, 1, -1, -1, 0, 3]), np.array([3, -2, -3, -2, 0, 20]))  # integers
    assert_same(power, np.array([True]), np.array([True]))
    for a in PAIRED:
        for b in PAIRED:
            assert_same(power, np.array([a]), np.array([b]), cuda=False)


def test_mixed_dtypes() -> None:
    """torch takes the logarithm of a float32 base in float32, whatever the exponent."""
    x, y = INSIDE.astype("float32"), NONZERO
    assert_same(lambda t, x, y: t.pow(x, y), x, y, precision="float32")
    assert_same(lambda t, x, y: t.pow(x, y), (x * 9).astype("int64"), y)
    assert_same(lambda t, x: t.pow(x, 2.5), np.array([1, 2, 3]))
    assert_same(lambda t, x: t.pow(2.5, x), np.array([1, 2, 3]))


def test_float_power_computes_in_double() -> None:
    for x in (INSIDE.astype("float32"), np.array([1, 2, 3])):
        assert_same(lambda t, x: t.float_power(x, 2), x)
        assert_same(lambda t, x: t.float_power(2, x), x)
        assert_same(lambda t, x, y: t.float_power(x, y), x, x, precision="float32")
    assert_same(lambda t, x: t.float_power(x, 2 + 0j), INSIDE)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.pow(t.ones(2), "a"),
        lambda t: t.pow(2, 2),
        lambda t: t.float_power(2, 3),
        lambda t: t.tensor([2]) ** -1,
        lambda t: t.tensor([2]) ** -1.0,
        lambda t: t.tensor([200], dtype=t.uint8) ** 300,
        lambda t: t.tensor([True]) ** 2,
        lambda t: t.tensor([True, False]) ** True,
        lambda t: t.tensor([True, False]) ** False,
        lambda t: True ** t.tensor([True]),
        lambda t: t.tensor([True]) ** t.tensor([True]),
        lambda t: (-2) ** t.tensor([1, 2, 3], dtype=t.uint8),
    ],
)
def test_errors_and_corners(call: Callable[..., Any]) -> None:
    assert_both(call)


def test_saved_exponent_is_version_checked() -> None:
    for module in (torch, refgrad):
        x, y = module.ones(2, requires_grad=True), module.ones(2)
        z = x**y
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()
