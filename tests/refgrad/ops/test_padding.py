"""Padding by elements of the tensor itself: the same as torch, values, two derivatives, tangents and errors."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from tests.refgrad.both import assert_both

MODES = ("reflect", "replicate", "circular")
FITTING = (
    *(((3, 4), (1, 2)), ((2, 3, 2), (1, 1)), ((1, 3, 4), (2, 1, 1, 1)), ((1, 1, 3, 4), (2, 1, 1, 1))),
    *(((1, 3, 2, 2), (1, 1, 1, 1, 1, 1)), ((1, 1, 3, 2, 2), (1, 1, 1, 1, 2, 1)), ((3, 4), (-1, 1))),
    *(((3, 4), (0, 0)), ((2, 3, 4), (-1, 2)), ((3, 4), (4, 0)), ((2, 0, 3), (1, 1)), ((0, 3, 2), (1, 0))),
)
REFUSED = (
    *(((3, 4), (1, 1, 1, 1)), ((12,), (1, 1)), ((3, 4), (5, 1)), ((0, 4), (1, 1)), ((4, 0), (1, 1))),
    *(((3, 4), (-3, -2)), ((1, 2, 3, 4, 1), (1, 1)), ((3, 4), ()), ((1, 2, 3, 4), (0, 0, 4, 0)), ((3, 4), (1,))),
)


def numbers(t: Any, shape: tuple[int, ...], scale: float = 1.0) -> Any:
    count = 1
    for n in shape:
        count *= n
    return (t.arange(count, dtype=t.float64) * scale - 1.5).reshape(shape).clone()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "pad"), FITTING)
def test_values_and_derivatives(mode: str, shape: tuple[int, ...], pad: tuple[int, ...]) -> None:
    def program(t: Any) -> Any:
        x = numbers(t, shape).requires_grad_()
        y = t.nn.functional.pad(x, pad, mode)
        seed = numbers(t, tuple(y.shape), 0.25).requires_grad_()
        (g,) = t.autograd.grad(y, x, seed, create_graph=True)
        (again,) = t.autograd.grad(g, seed, numbers(t, shape, 0.5), allow_unused=True)
        nodes = [y.grad_fn.name()] if mode != "circular" else []
        nodes += [g.grad_fn.name()] if mode != "circular" else []
        return y.detach(), g.detach(), again, nodes

    assert_both(program)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "pad"), REFUSED)
def test_what_does_not_fit(mode: str, shape: tuple[int, ...], pad: tuple[int, ...]) -> None:
    assert_both(lambda t: t.nn.functional.pad(numbers(t, shape), pad, mode))


@pytest.mark.parametrize("mode", MODES)
def test_dtypes_and_value(mode: str) -> None:
    for name in ("int64", "int32", "bool", "float16", "float32", "complex64"):
        assert_both(lambda t, name=name: t.nn.functional.pad(t.ones(2, 3).to(getattr(t, name)), (1, 1), mode))
    assert_both(lambda t: t.nn.functional.pad(t.ones(2, 3), (1, 1), mode, 2.0))
    assert_both(lambda t: t.nn.functional.pad(t.ones(2, 3), (1, 1), mode, 0.0))


@pytest.mark.parametrize("mode", MODES)
def test_tangents(mode: str) -> None:
    def program(t: Any) -> Any:
        forward = t.autograd.forward_ad
        with forward.dual_level():
            x = forward.make_dual(numbers(t, (2, 3)), numbers(t, (2, 3), 0.5))
            y = t.nn.functional.pad(x, (2, 1), mode)
            return forward.unpack_dual(y).tangent

    with warnings.catch_warnings(action="ignore"):  # torch's own, of its first dual
        program(torch)
    assert_both(program)


def test_an_unknown_mode() -> None:
    assert_both(lambda t: t.nn.functional.pad(t.ones(2, 3), (1, 1), "mirror"))
