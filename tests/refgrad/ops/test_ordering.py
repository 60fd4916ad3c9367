"""Sorting and picking by rank against torch, equal elements included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.refgrad.ops.compare import Input, assert_same

INF, NAN = float("inf"), float("nan")
CALLS: dict[str, Callable[..., Any]] = {
    "sort": lambda t, x, dim: t.sort(x, dim),
    "sort descending": lambda t, x, dim: x.sort(dim, descending=True),
    "sort stable": lambda t, x, dim: x.sort(dim=dim, stable=True, descending=True),
    "argsort": lambda t, x, dim: t.argsort(x, dim),
    "argsort descending": lambda t, x, dim: x.argsort(dim, True),
    "msort": lambda t, x, dim: t.msort(x),
    "topk 1": lambda t, x, dim: x.topk(1, dim),
    "topk 2": lambda t, x, dim: t.topk(x, 2, dim=dim),
    "topk smallest": lambda t, x, dim: x.topk(2, dim, largest=False),
    "topk unsorted": lambda t, x, dim: x.topk(2, dim, True, False),
    "kthvalue 1": lambda t, x, dim: x.kthvalue(1, dim),
    "kthvalue 2": lambda t, x, dim: t.kthvalue(x, 2, dim, True),
    "median": lambda t, x, dim: x.median(dim),
    "nanmedian": lambda t, x, dim: x.nanmedian(dim, True),
}


def _values(*shape: int, seed: int = 0) -> Any:
    size = int(np.prod(shape))
    array = np.random.default_rng(seed).permutation(size) * 0.17 + 0.61
    return (array * np.where(np.arange(size) % 2, -1, 1)).reshape(shape)


@pytest.mark.parametrize("name", CALLS)
def test_dims_layouts_and_sizes(name: str) -> None:
    for dim in (0, 1, -1):
        assert_same(lambda t, x, dim=dim: CALLS[name](t, x, dim), _values(2, 3, 4))
        # torch's median of an expanded tensor reads beyond its memory: there is nothing to compare with
        for layout in ("transposed", "strided", *(() if "median" in name else ("expanded",))):
            assert_same(lambda t, x, dim=dim: CALLS[name](t, x, dim), Input(_values(3, 4), layout), cuda=False)
    for array in (np.array(1.5), np.array([-2.5]), np.zeros((0,)), np.zeros((2, 0)), np.zeros((0, 2))):
        for dim in (0, -1):
            assert_same(lambda t, x, dim=dim: CALLS[name](t, x, dim), array)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8", "bool", "complex128"])
def test_dtypes(name: str, dtype: str) -> None:
    array = np.abs(_values(3, 4)).astype(dtype) if dtype == "uint8" else _values(3, 4).astype(dtype)
    assert_same(lambda t, x: CALLS[name](t, x, 1), array, cuda=False)


@pytest.mark.parametrize("name", CALLS)
def test_equal_elements_and_special_values(name: str) -> None:
    """Rows short and long, of few values, so that which of the equals is picked must be as in torch.

    On CUDA torch picks otherwise than on the CPU, and so does refgrad: the stand-in is left out.
    """
    rng = np.random.default_rng(5)
    pools = ([0.0, 1.0], [0.0, 1.0, 2.0, 3.0], [0.0, NAN, 1.0], [INF, -INF, 0.0, NAN], [-0.0, 0.0])
    for size in (2, 3, 4, 5, 7, 12, 40):
        for pool in pools:
            array = rng.choice(pool, (3, size))
            assert_same(lambda t, x: CALLS[name](t, x, 1), array, cuda=False)
    assert_same(lambda t, x: CALLS[name](t, x, 0), rng.choice([1, 2, 3], (20, 2)), cuda=False)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 33, 100, 300])
def test_every_rank_among_equals(size: int) -> None:
    rng = np.random.default_rng(size)
    for values in (2, 4, size // 2 + 1):
        array = rng.integers(0, values, size).astype(np.float64)
        for descending in (True, False):
            assert_same(
                lambda t, x, descending=descending: x.sort(descending=descending),
                array,
                second=False,
                cuda=False,
            )
        for k in {1, 2, size // 2 + 1, max(size - 1, 1), size} & set(range(1, size + 1)):
            assert_same(lambda t, x, k=k: x.kthvalue(k), array, second=False, cuda=False)
            if k * 64 > size:  # where torch uses a heap instead, equal elements keep their order here
                for largest in (True, False):
                    for ordered in (True, False):
                        assert_same(
                            lambda t, x, k=k, largest=largest, ordered=ordered: x.topk(
                                k, largest=largest, sorted=ordered
                            ),
                            array,
                            second=False,
                            cuda=False,
                        )


def test_equal_elements_keep_their_order_on_a_gpu() -> None:
    assert_same(lambda t, x: x.sort(stable=True), np.array([2.0, 1.0, 2.0, 1.0]))
    assert_same(lambda t, x: x.topk(2)[0], np.array([2.0, 1.0, 2.0, 1.0]), second=False)


def test_whole_medians_share_among_equals() -> None:
    for row in ([1.0, 2.0, 2.0, 3.0], [2.0, 2.0], [NAN, 1.0, NAN], [NAN, NAN], [3.0, NAN, 1.0, 3.0, 3.0]):
        for name in ("median", "nanmedian"):
            assert_same(lambda t, x, name=name: getattr(t, name)(x), np.array(row))


ERRORS: list[Callable[..., Any]] = [
    lambda t, x: x.sort(2),
    lambda t, x: x.topk(4),
    lambda t, x: x.topk(-1),
    lambda t, x: x.kthvalue(0),
    lambda t, x: x.kthvalue(4),
    lambda t, x: x.median(3),
    lambda t, x: (x > 1).topk(1),
    lambda t, x: t.sort(1),
    lambda t, x: (x > 1).kthvalue(1),
    lambda t, x: t.zeros(2, 0).kthvalue(1),
    lambda t, x: (x > 1).median(),
    lambda t, x: t.zeros(2, 0).median(1),
    lambda t, x: t.zeros(0, 2).nanmedian(0),
]


@pytest.mark.parametrize("k", range(len(ERRORS)))
def test_errors(k: int) -> None:
    assert_same(ERRORS[k], _values(2, 3), cuda=False)
    with pytest.raises(Exception):  # noqa: B017 - that torch raises is part of the case
        ERRORS[k](torch, torch.tensor(_values(2, 3), requires_grad=True))
