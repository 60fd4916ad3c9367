"""Activation functions made of straight pieces against torch: their kinks are torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import assert_same
from tests.refgrad.ops.points import AROUND, INF, INSIDE, NAN, check_unary, signs_of_zeros

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "relu": lambda t, x: t.relu(x),
    "functional relu": lambda t, x: t.nn.functional.relu(x),
    "threshold": lambda t, x: t.nn.functional.threshold(x, 0.5, 7.0),
    "leaky_relu": lambda t, x: t.nn.functional.leaky_relu(x),
    "steep leaky_relu": lambda t, x: t.nn.functional.leaky_relu(x, -1.5),
    "hardtanh": lambda t, x: t.nn.functional.hardtanh(x),
    "wide hardtanh": lambda t, x: t.nn.functional.hardtanh(x, -0.5, 2.0),
    "relu6": lambda t, x: t.nn.functional.relu6(x),
    "hardshrink": lambda t, x: t.hardshrink(x),
    "wide hardshrink": lambda t, x: t.nn.functional.hardshrink(x, 1.0),
    "softshrink": lambda t, x: t.nn.functional.softshrink(x),
    "wide softshrink": lambda t, x: t.nn.functional.softshrink(x, 1.0),
    "hardswish": lambda t, x: t.nn.functional.hardswish(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name: str) -> None:
    check_unary(FUNCTIONS[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signs_of_zeros(name: str) -> None:
    points = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 5.0, -5.0)
    assert not [w for x in points for w in signs_of_zeros(FUNCTIONS[name], x)]


def test_hardsigmoid() -> None:
    """torch multiplies by 1/6 as a float32 even in float64; and it has no second derivative."""
    check_unary(lambda t, x: t.nn.functional.hardsigmoid(x), precision="float32")
    x = refgrad.tensor([0.5, 3.0, -3.0, 4.0], dtype=refgrad.float64, requires_grad=True)
    refgrad.nn.functional.hardsigmoid(x).sum().backward()
    assert x.grad.tolist() == [1 / 6, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["hardtanh", "relu6", "hardshrink", "softshrink", "hardswish"])
def test_torch_decides_on_nan_by_length(name: str) -> None:
    """What refgrad's docstring says of torch: its gradient at NaN differs between short and long arrays."""
    seen = set()
    for length in (1, 64):
        x = torch.full((length,), NAN, dtype=torch.float64, requires_grad=True)
        FUNCTIONS[name](torch, x).sum().backward()
        seen.add(repr(x.grad[0].item()))
        y = refgrad.full((length,), NAN, dtype=refgrad.float64, requires_grad=True)
        FUNCTIONS[name](refgrad, y).sum().backward()
        if length == 1:
            assert repr(y.grad[0].item()) in seen
    assert len(seen) == 2


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hardtanh", "relu6", "hardswish", "hardsigmoid", "threshold"])
def test_inplace(name: str) -> None:
    args = (0.1, 20.0) if name == "threshold" else ()
    for x in (AROUND, INSIDE.astype("float32")):
        assert_same(
            lambda t, x: getattr(t.nn.functional, name)(x * 1, *args, inplace=True),
            x,
            state=False,
            second=name != "hardsigmoid",
            precision="float32" if name == "hardsigmoid" else None,
        )


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.relu(3),
        lambda t: t.relu(t.tensor([True])),
        lambda t: t.relu(t.tensor([1j])),
        lambda t: t.nn.functional.relu6(t.tensor([7, -1])),
        lambda t: t.nn.functional.hardtanh(t.tensor([7, -1]), -1.5, 1.5),
        lambda t: t.nn.functional.hardtanh(t.tensor([7], dtype=t.uint8)),
        lambda t: t.nn.functional.hardtanh(t.ones(2), 1.0, -1.0),
        lambda t: t.nn.functional.hardtanh(t.tensor([True])),
        lambda t: t.nn.functional.softshrink(t.ones(2), -1),
        lambda t: t.nn.functional.threshold(t.tensor([1, 2]), 1.5, 0.5),
        lambda t: t.nn.functional.threshold(t.tensor([True]), 1.5, 0.5),
        lambda t: t.nn.functional.leaky_relu(t.tensor([1])),
        lambda t: t.nn.functional.hardswish(t.tensor([1])),
    ],
)
def test_errors_and_corners(call: Callable[..., Any]) -> None:
    assert_both(call)


def test_infinite_gradients_do_not_leak_through_closed_gates() -> None:
    for name in ("relu", "hardtanh", "hardshrink", "softshrink", "hardswish"):
        for value in (-0.25, -9.0, 0.25):
            found = []
            for module in (torch, refgrad):
                x = module.tensor([value], dtype=module.float64, requires_grad=True)
                y = FUNCTIONS[name](module, x)
                found.append(module.autograd.grad(y, x, module.tensor([INF], dtype=module.float64))[0].item())
            assert np.array_equal(*found, equal_nan=True), name
