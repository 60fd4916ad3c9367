"""What the tests of products share: operands, and what of a result its values do not show."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import refgrad
from tests.refgrad.ops.compare import assert_same

Shape = tuple[int, ...]


def values(*shape: int, seed: int = 0) -> Any:
    """Numbers of both signs with a fraction, none of them zero."""
    array = np.random.default_rng([seed, *shape]).uniform(0.2, 2, shape)
    return array * np.where(np.arange(array.size).reshape(shape) % 3 == 1, -1, 1)


def operands(*shapes: Shape) -> list[Any]:
    return [values(*shape, seed=k) for k, shape in enumerate(shapes)]


def assert_same_for(function: Callable[..., Any], *shapes: Shape, **options: Any) -> None:
    """`assert_same` for operands of some shapes, and `assert_same_state`."""
    arrays = operands(*shapes)
    assert_same(function, *arrays, **options)
    assert_same_state(function, *arrays)


def assert_same_state(function: Callable[..., Any], *arrays: Any) -> None:
    """Fail unless the result lies in memory as torch's does, is a view or none as torch's is, has its version,
    and its gradients have histories of the same name."""
    assert _state(function, refgrad, arrays) == _state(function, torch, arrays)


def _state(function: Callable[..., Any], module: Any, arrays: tuple[Any, ...]) -> Any:
    leaves = [module.tensor(a).requires_grad_() for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch gives its own once in a process
        y = function(module, *leaves)
    seed = module.ones_like(y).requires_grad_()
    gradients = module.autograd.grad(y, leaves, seed, create_graph=True, allow_unused=True)
    return (
        y.is_contiguous() if not y.numel() else _steps(y),  # torch makes up strides for what has no elements
        y._is_view(),
        y._version,
        [g if g is None else g.grad_fn and g.grad_fn.name() for g in gradients],
    )


def _steps(y: Any) -> list[int]:
    return [stride for stride, size in zip(y.stride(), y.shape, strict=True) if size > 1]
