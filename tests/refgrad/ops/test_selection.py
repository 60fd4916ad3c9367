"""maximum, clamp, where, masked_fill and nan_to_num against torch: ties, bounds and NaN above all."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import Input, assert_same
from tests.refgrad.ops.points import (
    INF,
    INSIDE,
    NAN,
    NONZERO,
    check_binary,
    check_unary,
    signs_of_zeros,
)

BINARY: dict[str, Callable[..., Any]] = {
    "maximum": lambda t, x, y: t.maximum(x, y),
    "minimum": lambda t, x, y: x.minimum(y),
    "fmax": lambda t, x, y: t.fmax(x, y),
    "fmin": lambda t, x, y: t.fmin(x, y),
    "clamp from below": lambda t, x, y: t.clamp(x, y),
    "clamp from above": lambda t, x, y: t.clip(x, max=y),
    "clamp_min": lambda t, x, y: t.clamp_min(x, y),
    "clamp_max": lambda t, x, y: x.clamp_max(y),
    "where": lambda t, x, y: t.where(x > 0.5, x, y),
}
UNARY: dict[str, Callable[..., Any]] = {
    "clamp": lambda t, x: t.clamp(x, -1, 1),
    "clamp of floats": lambda t, x: t.clamp(x, -0.5, 2.0),
    "crossed clamp": lambda t, x: t.clamp(x, 1.0, -1.0),
    "clamp from below": lambda t, x: x.clamp(min=0.0),
    "clamp from above": lambda t, x: x.clip(max=1),
    "clamp_min": lambda t, x: t.clamp_min(x, 0.5),
    "clamp_max": lambda t, x: t.clamp_max(x, 0.5),
    "clamp to NaN": lambda t, x: t.clamp(x, NAN, 1.0),
    "masked_fill": lambda t, x: x.masked_fill(x > 0.5, 2),
    "where with a number": lambda t, x: t.where(x > 0.5, x, 2),
    "where of a number": lambda t, x: t.where(x > 0.5, 2.5, x),
    "where as method": lambda t, x: x.where(x > 0.5, 0),
    "nan_to_num": lambda t, x: t.nan_to_num(x),
    "nan_to_num of numbers": lambda t, x: t.nan_to_num(x, 1.0, 2.0, -3.0),
}


@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name: str) -> None:
    check_binary(BINARY[name])
    assert_same(BINARY[name], INSIDE + 1j, NONZERO + 1j)
    assert_same(lambda t, x: BINARY[name](t, x, x), INSIDE)  # ties everywhere


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name: str) -> None:
    check_unary(UNARY[name], special=name != "nan_to_num")
    assert not [w for x in (0.0, -0.0, 1.0, -1.0, 0.5) for w in signs_of_zeros(UNARY[name], x)]


def test_nan_to_num_of_extremes() -> None:
    for kind in ("float64", "float32", "float16"):

        def values_and_gradient(t: Any, kind: str = kind) -> Any:
            x = t.tensor([NAN, INF, -INF, 0.5], dtype=getattr(t, kind), requires_grad=True)
            y = t.nan_to_num(x)
            return y, t.autograd.grad(y, x, t.ones_like(y))[0]

        assert_both(values_and_gradient)
    assert_both(lambda t: t.nan_to_num(t.tensor([NAN, INF, -INF]), posinf=1e300))


def test_clamp_between_tensors() -> None:
    def clamp(t: Any, x: Any, low: Any, high: Any) -> Any:
        return t.clamp(x, low, high)

    for kind in ("float64", "float32", "float16", "int64", "bool"):
        assert_same(clamp, *[(a * 4).astype(kind) for a in (NONZERO, -INSIDE, INSIDE)])
    for point in itertools.product((0.0, 1.0, 2.0, NAN, INF, -1.0), repeat=3):
        assert_same(clamp, *[np.array([v]) for v in point], cuda=False)
    assert_same(clamp, NONZERO, -INSIDE[0], INSIDE[:, :1])


def test_clamp_broadcasts_its_bounds() -> None:
    """Where both bounds broadcast to more than the input, torch 2.13 fails in the backward pass."""
    x = refgrad.tensor(NONZERO[:1], requires_grad=True)
    low, high = (refgrad.tensor(a, requires_grad=True) for a in (-INSIDE[:, :1], INSIDE[0, 0]))
    refgrad.clamp(x, low, high).sum().backward()
    expanded = torch.tensor(NONZERO[:1], requires_grad=True)
    bounds = [torch.tensor(a, requires_grad=True) for a in (-INSIDE[:, :1], INSIDE[0, 0])]
    torch.clamp(expanded.expand(3, 4), bounds[0].expand(3, 4), bounds[1].expand(3, 4)).sum().backward()
    for mine, true in zip((x, low, high), (expanded, *bounds), strict=True):
        np.testing.assert_array_max_ulp(mine.grad.numpy(), true.grad.numpy(), 1)


def test_where_broadcasts_and_promotes() -> None:
    mask = np.array([[True], [False], [True]])
    for x, y in ((INSIDE, NONZERO), (INSIDE[0], np.array(2.0)), (np.array(1.0), np.array(2.0))):
        assert_same(lambda t, m, x, y: t.where(m, x, y), mask, x, y)
    assert_same(lambda t, m, x, y: t.where(m, x, y), mask, INSIDE.astype("float32"), np.array(2.0))
    assert_same(lambda t, m, x, y: t.where(m, x, y), mask, np.array([1, 2]), np.array([0.5, 1.5], "float16"))
    assert_same(lambda t, m, x, y: t.where(m, x, y), np.array([1, 0], "uint8"), np.ones(2), np.zeros(2))
    for numbers in ((1, 2), (1.0, 2), (True, 2), (True, False), (1.5, 2j)):
        assert_same(lambda t, m, numbers=numbers: t.where(m, *numbers), mask)
    assert_same(lambda t, m: t.where(m), np.array([[True, False], [True, True]]))
    assert_same(lambda t, m: t.where(m), np.array(True))
    assert_same(lambda t, x: t.where(x), np.array([0.0, 2.0, NAN]))


def test_nan_leaks_through_where() -> None:
    assert_same(lambda t, x: t.where(x > 0, t.log(x), 0), np.array([0.0, 1.0]))
    assert_same(lambda t, x: t.log(x).masked_fill(x <= 0, 0), np.array([0.0, 1.0]))


def test_masked_fill() -> None:
    mask = np.array([[True, False, True, False]])
    for x in (INSIDE, INSIDE[0], Input(INSIDE, "expanded"), Input(INSIDE, "transposed"), INSIDE.astype("float16")):
        assert_same(lambda t, x, m: t.masked_fill(x, m, -2.5), x, mask)
        assert_same(lambda t, x, m, v: x.masked_fill(m, v), x, mask, np.array(0.5))
    assert_same(
        lambda t, x, m, v: x.masked_fill(m, v), INSIDE.astype("float32"), mask, np.array(0.1), precision="float32"
    )
    assert_same(lambda t, x, m, v: x.masked_fill(m, v.detach()), np.array([1, 2, 3, 4]), mask, np.array(2.5))
    assert_same(lambda t, x, m: x.masked_fill(m, True), np.array([1, 2, 3, 4]), mask)
    assert_same(lambda t, x, m: (x * 1).masked_fill_(m, 7.0), INSIDE, mask)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.clamp(t.ones(2)),
        lambda t: t.clamp(t.ones(2), "a"),
        lambda t: t.clamp(t.ones(2), 0, t.ones(2)),
        lambda t: t.clamp(t.tensor([True]), False, True),
        lambda t: t.clamp(t.tensor([1j]), 0, 1),
        lambda t: t.clamp(t.tensor([1, 2]), 1.5),
        lambda t: t.clamp(t.tensor([1], dtype=t.uint8), -1, 1),
        lambda t: t.clamp(t.tensor([1], dtype=t.uint8), min=300),
        lambda t: t.maximum(t.ones(2), 2),
        lambda t: t.maximum(2, t.ones(2)),
        lambda t: t.maximum(t.tensor([1j]), t.tensor([1j])),
        lambda t: t.where(t.ones(2), t.ones(2), t.ones(2)),
        lambda t: t.where(True, t.ones(2), t.ones(2)),
        lambda t: t.where(t.tensor([True]), "a", 2),
        lambda t: t.where(t.tensor([True, False]), t.ones(2), t.ones(3)),
        lambda t: t.ones(2).masked_fill(t.ones(2), 1),
        lambda t: t.ones(2).masked_fill(t.tensor([True, False]), t.ones(2)),
        lambda t: t.ones(2).masked_fill(t.tensor([True, False]), "a"),
        lambda t: t.ones(2).masked_fill(t.tensor([True, False]), 1j),
        lambda t: t.tensor([1, 2]).masked_fill(t.tensor([True, False]), 2.5),
        lambda t: t.tensor([1, 2]).masked_fill(t.tensor([True, False]), NAN),
        lambda t: t.ones(2).masked_fill(t.tensor([True, False]), t.tensor(2j)),
        lambda t: t.tensor([1, 2]).masked_fill(t.tensor([True, False]), 2.0),
        lambda t: t.tensor([1], dtype=t.uint8).masked_fill(t.tensor([True]), -1),
        lambda t: t.tensor([1], dtype=t.uint8).masked_fill(t.tensor([True]), 300),
        lambda t: t.ones(1, dtype=t.float16).masked_fill(t.tensor([True]), 1e9),
        lambda t: t.tensor([True, True]).masked_fill(t.tensor([True, False]), 0.0),
        lambda t: t.nan_to_num(t.tensor([True])),
    ],
)
def test_errors_and_corners(call: Callable[..., Any]) -> None:
    assert_both(call)
