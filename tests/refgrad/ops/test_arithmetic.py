"""Sums, products, quotients, signs and their operators against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import assert_same
from tests.refgrad.ops.points import AROUND, INSIDE, NONZERO, check_binary, check_unary, signs_of_zeros

UNARY: dict[str, Callable[..., Any]] = {
    "neg": lambda t, x: t.neg(x),
    "-x": lambda t, x: -x,
    "+x": lambda t, x: +x,
    "positive": lambda t, x: t.positive(x),
    "reciprocal": lambda t, x: t.reciprocal(x),
    "abs": lambda t, x: abs(x),
    "absolute": lambda t, x: t.absolute(x),
    "sign": lambda t, x: t.sign(x),
    "sgn": lambda t, x: t.sgn(x),
    "x+2": lambda t, x: x + 2,
    "2.5+x": lambda t, x: 2.5 + x,
    "True+x": lambda t, x: True + x,
    "x-2": lambda t, x: x - 2,
    "2-x": lambda t, x: 2 - x,
    "3*x": lambda t, x: 3 * x,
    "x*-0.5": lambda t, x: x * -0.5,
    "x/3": lambda t, x: x / 3,
    "2/x": lambda t, x: 2 / x,
    "add of a number": lambda t, x: t.add(x, 3, alpha=2),
    "number first": lambda t, x: t.sub(3, x),
    "rsub": lambda t, x: t.rsub(x, 3, alpha=2),
    "x*x+x": lambda t, x: x * x + x,
}
BINARY: dict[str, Callable[..., Any]] = {
    "add": lambda t, x, y: t.add(x, y),
    "x+y": lambda t, x, y: x + y,
    "add alpha": lambda t, x, y: t.add(x, y, alpha=3),
    "sub": lambda t, x, y: t.sub(x, y),
    "x-y": lambda t, x, y: x - y,
    "sub alpha": lambda t, x, y: x.sub(y, alpha=-2),
    "mul": lambda t, x, y: t.mul(x, y),
    "x*y": lambda t, x, y: x * y,
    "true_divide": lambda t, x, y: t.true_divide(x, y),
    "x/y": lambda t, x, y: x / y,
    "hypot": lambda t, x, y: t.hypot(x, y),
    "lerp": lambda t, x, y: t.lerp(x, y, 0.3),
    "far lerp": lambda t, x, y: t.lerp(x, y, 0.7),
}
TERNARY: dict[str, Callable[..., Any]] = {
    "lerp": lambda t, x, y, z: t.lerp(x, y, z),
    "addcmul": lambda t, x, y, z: t.addcmul(x, y, z),
    "addcmul value": lambda t, x, y, z: x.addcmul(y, z, value=1.5),
    "addcdiv": lambda t, x, y, z: t.addcdiv(x, y, z),
    "addcdiv value": lambda t, x, y, z: x.addcdiv(y, z, value=-2),
}


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name: str) -> None:
    check_unary(UNARY[name])
    assert_same(UNARY[name], INSIDE + 1j * AROUND)


@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name: str) -> None:
    check_binary(BINARY[name])
    assert_same(BINARY[name], INSIDE + 1j * AROUND, NONZERO - 2j * INSIDE)
    assert_same(BINARY[name], INSIDE, NONZERO - 2j * INSIDE)


@pytest.mark.parametrize("name", TERNARY)
def test_three_operands(name: str) -> None:
    function = TERNARY[name]
    for kind in ("float64", "float32", "float16", "int64", "bool"):
        x, y, z = (a.astype(kind) for a in (INSIDE * 3 + 1, NONZERO * 9, INSIDE * 2 + 1))
        assert_same(function, x, y, np.where(z == 0, 1, z).astype(kind))
    assert_same(function, INSIDE[:1], NONZERO[:, :1], INSIDE[0, 0])
    assert_same(function, INSIDE + 1j * AROUND, NONZERO, INSIDE + 1j)
    for point in np.array(np.meshgrid([0.0, 1.0, -2.0, np.nan, np.inf], [0.0, 1.0, -1.0], [0.0, 1.0])).reshape(3, -1).T:
        assert_same(function, *[np.array([v]) for v in point], cuda=False)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_signs_of_zeros(name: str) -> None:
    points = (0.0, -0.0, 1.0, -1.0)
    if name in UNARY:
        wrong = {x: signs_of_zeros(UNARY[name], x) for x in points}
    else:
        wrong = {(x, y): signs_of_zeros(BINARY[name], x, y) for x in points for y in points}
    assert not {k: v for k, v in wrong.items() if v}


FOREIGN: dict[str, Callable[..., Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "//": lambda x, y: x // y,
    "%": lambda x, y: x % y,
    "**": lambda x, y: x**y,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_operands(name: str) -> None:
    """They raise TypeError, unless the other type knows what to do."""
    operate = FOREIGN[name]

    class Other:
        def _meet(self, tensor: Any) -> str:
            return "met"

        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = _meet

    for module in (torch, refgrad):
        assert operate(module.ones(2), Other()) == "met"
    assert_both(lambda t: operate(t.ones(2), "a"))
    assert_both(lambda t: operate(t.ones(2), None))
    assert_both(lambda t: operate(None, t.ones(2)))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.add(t.ones(2), "a"),
        lambda t: t.mul(t.ones(2), None),
        lambda t: t.neg(3),
        lambda t: t.hypot(t.ones(2), 2),
        lambda t: t.addcmul(t.ones(2), 1, 2),
        lambda t: t.lerp(t.ones(2), t.ones(2, dtype=t.float64), 0.5),
        lambda t: t.lerp(t.ones(2), 2, 0.5),
        lambda t: t.ones(2) + t.ones(3),
        lambda t: t.ones(2, 3) * t.ones(2),
        lambda t: t.tensor([1]).add(t.tensor([1]), alpha=1.5),
        lambda t: t.tensor([1.0]).add(t.tensor([1.0]), alpha=True),
        lambda t: t.tensor([1.0]).add(t.tensor([1.0]), alpha=1j),
        lambda t: t.tensor([True]).add(t.tensor([False]), alpha=True),
        lambda t: t.tensor([True]) - t.tensor([True]),
        lambda t: 1 - t.tensor([True]),
        lambda t: -t.tensor([True]),
        lambda t: +t.tensor([True]),
        lambda t: t.addcdiv(t.tensor([1]), t.tensor([1]), t.tensor([1])),
        lambda t: t.sign(t.tensor([1j])),
        lambda t: t.tensor([200], dtype=t.uint8) + 300,
        lambda t: t.tensor([100], dtype=t.int8) * 2,
        lambda t: 300 - t.tensor([100], dtype=t.int8),
    ],
)
def test_errors_and_corners(call: Callable[..., Any]) -> None:
    assert_both(call)


def test_rsub_of_tensors() -> None:
    assert_same(lambda t, x, y: t.rsub(x, y), INSIDE, NONZERO[:, :1])
    assert_same(lambda t, x, y: t.rsub(x, y, alpha=2), INSIDE[0], NONZERO)


@pytest.mark.parametrize("number", [np.float64(2.5), np.float32(2.5), np.int64(2), np.bool_(True)])
def test_numbers_of_numpy_count_as_python_numbers(number: Any) -> None:
    assert_both(lambda t: t.ones(2) + number)
    assert_both(lambda t: t.mul(t.ones(2), number))


def test_a_number_is_no_input_of_a_node() -> None:
    for module in (torch, refgrad):
        x = module.ones(2, requires_grad=True)
        assert [n is None for n, _ in (x + 2).grad_fn.next_functions] == [False, True]
        assert len((2 - x).grad_fn.next_functions) == 1


def test_inplace_forms() -> None:
    for name in ("add_", "sub_", "mul_", "div_", "lerp_"):
        args = (0.25,) if name == "lerp_" else ()
        assert_same(lambda t, x, y, name=name, args=args: getattr(x * 1, name)(y, *args), INSIDE, NONZERO)

    def augmented(t: Any, x: Any, y: Any) -> Any:
        z = x * 1
        z += y
        z *= y
        z -= 2
        z /= 3
        return z

    assert_same(augmented, INSIDE, NONZERO)
