"""Rounding, and division that rounds, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import assert_same
from tests.refgrad.ops.points import INSIDE, NONZERO, check_binary, check_unary, signs_of_zeros

UNARY: dict[str, Callable[..., Any]] = {
    "floor": lambda t, x: t.floor(x),
    "ceil": lambda t, x: x.ceil(),
    "trunc": lambda t, x: t.trunc(x),
    "fix": lambda t, x: t.fix(x),
    "round": lambda t, x: t.round(x),
    "round to 1": lambda t, x: t.round(x, decimals=1),
    "round to -1": lambda t, x: x.round(decimals=-1),
    "frac": lambda t, x: t.frac(x),
    "remainder": lambda t, x: x % 1.5,
    "negative remainder": lambda t, x: t.remainder(x, -2),
    "fmod": lambda t, x: t.fmod(x, -1.5),
    "div floor": lambda t, x: t.div(x, 1.5, rounding_mode="floor"),
    "div trunc": lambda t, x: x.div(-2, rounding_mode="trunc"),
}
BINARY: dict[str, Callable[..., Any]] = {
    "remainder": lambda t, x, y: t.remainder(x, y),
    "x%y": lambda t, x, y: x % y,
    "fmod": lambda t, x, y: t.fmod(x, y),
    "div": lambda t, x, y: t.div(x, y),
    "div floor": lambda t, x, y: t.div(x, y, rounding_mode="floor"),
    "div trunc": lambda t, x, y: t.divide(x, y, rounding_mode="trunc"),
}
NOT_DIFFERENTIABLE: dict[str, Callable[..., Any]] = {
    "x//y": lambda t, x, y: x // y,
    "floor_divide": lambda t, x, y: t.floor_divide(x, y),
    "x//2": lambda t, x, y: x // 2,
    "2//x": lambda t, x, y: 2 // x,
    "2%x": lambda t, x, y: 2 % x,
    "remainder of a number": lambda t, x, y: t.remainder(-2.5, x),
}


@pytest.mark.parametrize("name", UNARY)
def test_one_tensor(name: str) -> None:
    check_unary(UNARY[name])
    assert_same(UNARY[name], INSIDE + 1j)
    assert not [w for x in (0.0, -0.0, 3.0, -3.0) for w in signs_of_zeros(UNARY[name], x)]


@pytest.mark.parametrize("name", BINARY)
def test_two_tensors(name: str) -> None:
    check_binary(BINARY[name])
    points = (0.0, -0.0, 2.0, -2.0, 4.0, -4.0)
    assert not [w for x in points for y in points for w in signs_of_zeros(BINARY[name], x, y)]


@pytest.mark.parametrize("name", NOT_DIFFERENTIABLE)
def test_without_a_derivative(name: str) -> None:
    function = NOT_DIFFERENTIABLE[name]
    assert_same(function, INSIDE * 5, NONZERO)  # the error comes in the backward pass
    for kind in ("float64", "float32", "float16", "int64", "uint8"):
        with_sign = kind not in ("uint8",)
        x = np.array([5, -5, 3, 4, -4] if with_sign else [5, 3, 4]).astype(kind)
        assert_same(lambda t, x, function=function: function(t, x.detach(), x.detach().flip(0)), x)


def test_integers_round_down_or_to_zero() -> None:
    x, y = np.array([7, -7, 7, -7, 6, -6]), np.array([2, 2, -2, -2, 3, 3])
    for mode in ("floor", "trunc"):
        assert_same(lambda t, x, y, mode=mode: t.div(x, y, rounding_mode=mode), x, y)
        assert_same(lambda t, x, mode=mode: t.div(x, -2, rounding_mode=mode), x)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.tensor([1]) // 0,
        lambda t: t.tensor([1]) % 0,
        lambda t: t.tensor([1, 2]) // t.tensor([1, 0]),
        lambda t: t.fmod(t.tensor([1, 2]), t.tensor([1, 0])),
        lambda t: 3 // t.tensor([0]),
        lambda t: t.div(t.tensor([1]), 0, rounding_mode="trunc"),
        lambda t: t.div(t.ones(2), 2, rounding_mode="up"),
        lambda t: t.tensor([True]) // t.tensor([True]),
        lambda t: t.tensor([True]) % t.tensor([True]),
        lambda t: t.fmod(2, t.ones(2)),
        lambda t: t.remainder(2, 3),
        lambda t: t.remainder(t.ones(2), "a"),
        lambda t: t.round(t.ones(2), decimals=1.5),
        lambda t: t.round(t.tensor([1]), decimals=1),
        lambda t: t.tensor([100], dtype=t.int8) % 300,
        lambda t: 300 // t.tensor([7], dtype=t.int8),
    ],
)
def test_errors_and_corners(call: Callable[..., Any]) -> None:
    assert_both(call)


def test_zeros_are_a_gradient() -> None:
    for module in (torch, refgrad):
        x = module.tensor([1.5], requires_grad=True)
        (g,) = module.autograd.grad(module.floor(x).sum(), x, create_graph=True)
        assert g.tolist() == [0.0] and not g.requires_grad
