"""Scans and soft maxima against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.ops.compare import Input, assert_same

INF, NAN = float("inf"), float("nan")
SCANS: dict[str, Callable[..., Any]] = {
    "cumsum": lambda t, x, dim: t.cumsum(x, dim),
    "cumprod": lambda t, x, dim: x.cumprod(dim),
    "cummax": lambda t, x, dim: t.cummax(x, dim),
    "cummin": lambda t, x, dim: x.cummin(dim=dim),
    "logcumsumexp": lambda t, x, dim: t.logcumsumexp(x, dim=dim),
    "softmax": lambda t, x, dim: t.softmax(x, dim),
    "log_softmax": lambda t, x, dim: x.log_softmax(dim),
    "nn softmax": lambda t, x, dim: t.nn.functional.softmax(x, dim),
    "nn log_softmax": lambda t, x, dim: t.nn.functional.log_softmax(x, dim=dim),
    "nn softmin": lambda t, x, dim: t.nn.functional.softmin(x, dim),
}


def _values(*shape: int, seed: int = 0) -> Any:
    size = int(np.prod(shape))
    array = np.random.default_rng(seed).permutation(size) * 0.17 + 0.61
    return (array * np.where(np.arange(size) % 2, -1, 1)).reshape(shape)


@pytest.mark.parametrize("name", SCANS)
def test_dims_layouts_and_sizes(name: str) -> None:
    for dim in (0, 1, -1):
        assert_same(lambda t, x, dim=dim: SCANS[name](t, x, dim), _values(2, 3, 4))
        for layout in ("transposed", "strided", "expanded"):
            assert_same(lambda t, x, dim=dim: SCANS[name](t, x, dim), Input(_values(3, 4), layout), cuda=False)
    for array in (
        np.array(1.5),
        np.array([-2.5]),
        np.zeros((0,)),
        np.zeros((2, 0)),
        np.zeros((0, 2)),
        np.ones((1, 3)),
    ):
        if not array.size and name in ("cummax", "cummin"):
            continue  # torch returns the input itself as its gradient, so that it requires grad
        for dim in (0, -1):
            assert_same(lambda t, x, dim=dim: SCANS[name](t, x, dim), array)


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int32", "uint8", "bool", "complex128"])
def test_dtypes(name: str, dtype: str) -> None:
    """torch composes the gradient of logcumsumexp of logarithms, and its errors grow with what cancels."""
    array = np.abs(_values(3, 4)).astype(dtype) if dtype == "uint8" else _values(3, 4).astype(dtype)
    if dtype == "complex128" and name == "logcumsumexp":
        with pytest.raises(NotImplementedError, match=r"expected a real tensor"):  # torch has it
            refgrad.tensor(array).logcumsumexp(1)
        return
    assert_same(
        lambda t, x: SCANS[name](t, x, 1),
        array,
        second=dtype != "float16",
        cuda=False,
        ulps=16 if name == "logcumsumexp" else 8,
    )


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize(
    "row",
    [
        [1.0, 1.0, 1.0, 0.0],
        [0.0, 2.0, 2.0, 1.0],
        [NAN, 1.0, 2.0],
        [1.0, NAN, 2.0, NAN],
        [3.0, 2.0, NAN],
        [INF, 1.0, 2.0],
        [1.0, -INF, 2.0],
        [-INF, -INF, 1.0],
        [INF, INF],
        [-INF, -INF],
        [-0.0, 0.0],
        [1.0, INF, -INF],
        [700.0, 800.0, -800.0],
    ],
    ids=str,
)
def test_ties_and_special_values(name: str, row: list[float]) -> None:
    assert_same(lambda t, x: SCANS[name](t, x, 0), np.array(row), second=bool(np.isfinite(row).all()))


@pytest.mark.parametrize(
    "row",
    [
        [0.0, 2.0, 3.0],
        [1.0, 0.0, 2.0, 0.0, 3.0],
        [2.0, 3.0, 0.0],
        [0.0, 0.0, 0.0],
        [0.0],
        [5.0, 0.0],
        [2.0, 0.0, 3.0, 5.0],
    ],
    ids=str,
)
def test_products_with_zeros(row: list[float]) -> None:
    assert_same(lambda t, x: x.cumprod(0), np.array(row))
    assert_same(lambda t, x: x.cumprod(1), np.array([row, row[::-1]]))


def test_third_derivative_of_a_product_with_zeros() -> None:
    def third(t: Any) -> Any:
        x = t.tensor([2.0, 0.0, 3.0, 0.0], dtype=t.float64, requires_grad=True)
        y = x.cumprod(0).sum()
        for _ in range(3):
            (g,) = t.autograd.grad(y, x, create_graph=True)
            y = (g * t.tensor([1.0, 2.0, 3.0, 4.0], dtype=t.float64)).sum()
        return g.detach().numpy()

    assert np.array_equal(third(refgrad), third(torch))


@pytest.mark.parametrize("to", ["float64", "float32", "float16", "int64"])
def test_dtype_argument(to: str) -> None:
    coarser = {"float16": 2**42, "float32": 2**29}.get(to, 1)
    for array in (_values(3, 4), np.arange(1, 7)):
        for call in (
            lambda t, x: x.cumsum(0, dtype=getattr(t, to)),
            lambda t, x: x.cumprod(0, dtype=getattr(t, to)),
            lambda t, x: t.softmax(x, 0, dtype=getattr(t, to)),
            lambda t, x: x.log_softmax(0, getattr(t, to)),
            lambda t, x: t.nn.functional.softmax(x, 0, dtype=getattr(t, to)),
        ):
            assert_same(call, array, ulps=8 * coarser, second=False, cuda=False)


def test_long_rows_and_half_precision_carry_more_digits() -> None:
    """The running value of half and single precision is wider, so that it neither stalls nor drifts."""
    for call in (
        lambda t, x: x.cumsum(0),
        lambda t, x: x.cumprod(0),
        lambda t, x: x.softmax(0),
        lambda t, x: x.log_softmax(0),
    ):
        for dtype in ("float16", "float32"):
            array = np.random.default_rng(1).uniform(0.99, 1.01, 500).astype(dtype)
            assert_same(call, array, second=False, cuda=False, ulps=32)


def test_running_products_overflow_where_torch_overflows() -> None:
    assert_same(lambda t, x: x.cumprod(0), np.array([1e30, 1e30, 1e-30], np.float32), second=False)
    assert_same(lambda t, x: x.cumprod(0), np.array([300, 300, 1e-3], np.float16), second=False)


def test_softmax_without_a_dim_warns_and_chooses_one() -> None:
    for shape in ((3,), (2, 3), (2, 2, 3), (1, 2, 2, 2)):
        for t in (torch, refgrad):
            with pytest.warns(UserWarning, match=r"Implicit dimension choice for softmax has been deprecated"):
                t.nn.functional.softmax(t.ones(*shape))
        assert_same(lambda t, x: t.nn.functional.log_softmax(x), _values(*shape), cuda=False)


def test_results_keep_what_they_saved_safe() -> None:
    """Values may be overwritten, since only indices are saved; the saved result of softmax may not."""
    for t in (torch, refgrad):
        x = t.tensor([1.0, 3.0, 2.0], requires_grad=True)
        for name in ("max", "sort", "cummax", "topk", "kthvalue", "median"):
            args = {"topk": (2,), "kthvalue": (2,), "sort": ()}.get(name, (0,))
            values = getattr(x, name)(*args)[0]
            with t.no_grad():
                values.mul_(2)
            t.autograd.grad(values.sum(), x)
        y = x.softmax(0)
        with t.no_grad():
            y.mul_(2)
        with pytest.raises(RuntimeError, match=r"modified by an inplace operation"):
            t.autograd.grad(y.sum(), x)


ERRORS: list[Callable[..., Any]] = [
    lambda t, x: x.cumsum(3),
    lambda t, x: x.cumprod(-4),
    lambda t, x: x.cummax(2),
    lambda t, x: x.softmax(5),
    lambda t, x: x.long().softmax(0),
    lambda t, x: x.long().logcumsumexp(0),
    lambda t, x: t.softmax(x, None),
    lambda t, x: x.cumsum(0, dtype=t.int64),
    lambda t, x: t.cumsum(1, 0),
    lambda t, x: (x > 1).log_softmax(0),
]


@pytest.mark.parametrize("k", range(len(ERRORS)))
def test_errors(k: int) -> None:
    assert_same(ERRORS[k], _values(2, 3), cuda=False)
    with pytest.raises(Exception):  # noqa: B017 - that torch raises is part of the case
        ERRORS[k](torch, torch.tensor(_values(2, 3), requires_grad=True))
