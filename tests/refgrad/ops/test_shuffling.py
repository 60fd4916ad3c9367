"""Pixel and channel shuffles: the same as torch, values, two derivatives, tangents, nodes and errors."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both

CALLS = [
    (name, shape, factor)
    for name, shapes, factors in (
        ("pixel_shuffle", ((2, 12, 2, 3), (12, 2, 3), (1, 2, 12, 1, 2)), (1, 2, 5, 0, -1)),
        ("pixel_unshuffle", ((2, 3, 4, 6), (3, 4, 6), (1, 2, 1, 4, 2)), (1, 2, 3, 0, -1)),
        ("channel_shuffle", ((2, 12, 2, 3), (2, 6, 3), (0, 6, 2), (1, 6, 1, 2, 2)), (1, 2, 3, 5, 0, -1)),
    )
    for shape in (*shapes, (4, 4))
    for factor in factors
]


def numbers(t: Any, shape: tuple[int, ...], scale: float = 1.0) -> Any:
    count = 1
    for n in shape:
        count *= n
    return (t.arange(count, dtype=t.float64) * scale - 1.5).reshape(shape).clone()


@pytest.mark.parametrize(("name", "shape", "factor"), CALLS)
def test_values_and_derivatives(name: str, shape: tuple[int, ...], factor: int) -> None:
    def program(t: Any) -> Any:
        x = numbers(t, shape).requires_grad_()
        y = getattr(t.nn.functional, name)(x, factor)
        seed = numbers(t, tuple(y.shape), 0.5).requires_grad_()
        (g,) = t.autograd.grad(y, x, seed, create_graph=True)
        (again,) = t.autograd.grad(g, seed, numbers(t, shape, 0.25))
        return y, g, again

    assert_both(program)


@pytest.mark.parametrize("name", ["pixel_shuffle", "pixel_unshuffle", "channel_shuffle"])
def test_layouts_dtypes_and_arguments(name: str) -> None:
    assert_both(lambda t: getattr(t, name)(numbers(t, (2, 4, 4, 2)).transpose(1, 2), 2))
    assert_both(lambda t: getattr(t, name)(numbers(t, (2, 4, 2, 8))[..., ::2], 2))
    for kind in ("int64", "bool", "float16", "complex64"):
        assert_both(lambda t, kind=kind: getattr(t, name)(t.ones(2, 4, 2, 2).to(getattr(t, kind)), 2))
    assert_both(lambda t: getattr(t, name)(t.ones(2, 4, 2, 2), 2.0))


def test_tangents() -> None:
    def program(t: Any) -> Any:
        forward = t.autograd.forward_ad
        with forward.dual_level():
            x = forward.make_dual(numbers(t, (2, 4, 2, 2)), numbers(t, (2, 4, 2, 2), 0.5))
            made = t.pixel_shuffle(x, 2), t.pixel_unshuffle(x, 2), t.channel_shuffle(x, 2)
            return [forward.unpack_dual(y).tangent for y in made]

    with warnings.catch_warnings(action="ignore"):  # torch's own, of its first dual
        program(torch)
    assert_both(program)


def test_empty_batches() -> None:
    """torch returns the empty input as it is from `pixel_unshuffle`, and fails in the derivatives of both."""
    assert torch.pixel_unshuffle(torch.ones(0, 1, 2, 2), 2).shape == (0, 1, 2, 2)
    x = refgrad.ones(0, 1, 2, 2, requires_grad=True)
    y = refgrad.pixel_unshuffle(x, 2)
    assert y.shape == (0, 4, 1, 1)
    assert refgrad.pixel_shuffle(y, 2).shape == x.shape
    refgrad.pixel_shuffle(y, 2).sum().backward()
    assert x.grad.shape == x.shape
