"""Inputs for elementwise functions: dtypes, layouts, and points where they have kinks, poles and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import refgrad
from tests.refgrad.ops.compare import Input, assert_same

INF, NAN = float("inf"), float("nan")
# A few at a time: torch's vectorised code, for longer arrays, treats NaN and -0 otherwise in places; and
# numbers of one size, since agreement is measured at the largest.
SPECIAL = (
    (0.0, -0.0, 1e-3),
    (1.0, -1.0, 0.5),
    (-0.5, 2.0, -2.0),
    (3.0, -3.0, 6.0),
    (20.0, -20.0, 21.0),
    (100.0, -100.0),
    (1e3, -1e3),
    (INF, -INF, NAN),
)
PAIRED = (0.0, -0.0, 1.0, -1.0, 2.5, -2.5, INF, -INF, NAN)

_random = np.random.default_rng(20)
INSIDE = _random.uniform(0.1, 0.9, (3, 4))  # where every function is defined
AROUND = _random.normal(size=(3, 4)) * 2
NONZERO = np.where(np.abs(AROUND) < 0.3, 1.0, AROUND)


def check_unary(function: Callable[..., Any], special: bool = True, **how: Any) -> None:
    """Hold ``function(module, x)`` against torch over dtypes, layouts and special points."""
    for array in (INSIDE, AROUND):
        assert_same(function, array, **how)
    for name in ("float32", "float16"):
        assert_same(function, INSIDE.astype(name), **how)
    for array in (np.array(0.3), np.zeros((0, 3)), Input(INSIDE, "transposed"), Input(INSIDE, "strided")):
        assert_same(function, array, **how)
    assert_same(function, Input(INSIDE, "expanded"), **how)
    for name in ("int64", "uint8", "bool"):
        assert_same(function, np.array([1, 0, 3]).astype(name), **how)
    for points in SPECIAL if special else ():
        assert_same(function, np.array(points), cuda=False, **how)


def check_binary(function: Callable[..., Any], special: bool = True, **how: Any) -> None:
    """Hold ``function(module, x, y)`` against torch over dtypes, shapes, layouts and special pairs."""
    x, y = INSIDE * 3, NONZERO
    for name in ("float64", "float32", "float16", "int64", "bool"):
        integers = name in ("int64", "bool")
        a, b = ((x * 4 + 1).round(), (y * 4).round()) if integers else (x, y)
        assert_same(function, a.astype(name), np.where(b == 0, 1, b).astype(name), **how)
    assert_same(function, x[:1], y[:, :1], **how)
    assert_same(function, np.array(0.3), np.array(0.7), **how)
    assert_same(function, np.array(1.3), y, **how)
    assert_same(function, np.zeros((0, 3)), np.ones((1, 3)), **how)
    assert_same(function, Input(x, "expanded"), Input(y, "strided"), **how)
    assert_same(function, Input(x, "transposed"), y, **how)
    for pair in (("float32", "float64"), ("float32", "int64"), ("float16", "float32"), ("int64", "bool")):
        first, second = (np.ones((2, 3)) * 2).astype(pair[0]), (np.ones((2, 3)) * 3).astype(pair[1])
        coarser = {**how, "state": False, "precision": "float16" if "float16" in pair else "float32"}
        assert_same(function, first, second, **coarser)
        assert_same(function, first, np.array(3).astype(pair[1]), **coarser)
    for a in PAIRED if special else ():
        for b in PAIRED:
            assert_same(function, np.array([a]), np.array([b]), cuda=False, **how)


def signs_of_zeros(function: Callable[..., Any], *values: float) -> list[str]:
    """Values and gradients at one point that differ between refgrad and torch in nothing but a zero's sign."""
    found = [_at_point(function, module, values) for module in (refgrad, torch)]
    return [f"{a!r} for {b!r}" for a, b in zip(*found, strict=True) if a == b == 0 and repr(a) != repr(b)]


def _at_point(function: Callable[..., Any], module: Any, values: tuple[float, ...]) -> list[float]:
    leaves = [module.tensor([v], dtype=module.float64, requires_grad=True) for v in values]
    y = function(module, *leaves)
    if not y.requires_grad:
        return [float(v) for v in y.tolist()]
    seed = module.tensor([1.5], dtype=y.dtype)
    grads = module.autograd.grad(y, leaves, seed, allow_unused=True)
    return [y.item(), *[g.item() for g in grads if g is not None]]
