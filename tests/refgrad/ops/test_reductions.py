"""Reductions against torch: values, graph, first and second gradients, kinks, dtypes, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from refgrad.ops.norms import vector_norm
from tests.refgrad.ops.compare import ULPS, Input, assert_same

INF, NAN = float("inf"), float("nan")


def _values(*shape: int, seed: int = 0) -> Any:
    """Distinct numbers of both signs, none of them near zero."""
    size = int(np.prod(shape))
    array = np.random.default_rng(seed).permutation(size) * 0.37 + 0.61
    return (array * np.where(np.arange(size) % 2, -1, 1)).reshape(shape)


OVER_DIMS: dict[str, Callable[..., Any]] = {
    "sum": lambda t, x, **k: t.sum(x, **k),
    "nansum": lambda t, x, **k: t.nansum(x, **k),
    "mean": lambda t, x, **k: t.mean(x, **k),
    "nanmean": lambda t, x, **k: t.nanmean(x, **k),
    "amax": lambda t, x, **k: t.amax(x, **k),
    "amin": lambda t, x, **k: t.amin(x, **k),
    "var": lambda t, x, **k: t.var(x, **k),
    "var of all": lambda t, x, **k: t.var(x, correction=0, **k),
    "std": lambda t, x, **k: t.std(x, **k),
    "var_mean": lambda t, x, **k: t.var_mean(x, **k),
    "std_mean": lambda t, x, **k: t.std_mean(x, **k),
    "norm": lambda t, x, **k: t.norm(x, **k),
    "norm 1": lambda t, x, **k: t.norm(x, 1, **k),
    "norm 3": lambda t, x, **k: t.norm(x, 3, **k),
    "norm 1.5": lambda t, x, **k: t.norm(x, 1.5, **k),
    "norm 0.5": lambda t, x, **k: t.norm(x, 0.5, **k),
    "norm -1": lambda t, x, **k: t.norm(x, -1, **k),
    "norm inf": lambda t, x, **k: t.norm(x, INF, **k),
    "norm -inf": lambda t, x, **k: t.norm(x, -INF, **k),
    "norm 0": lambda t, x, **k: t.norm(x, 0, **k),
}
ALONG_A_DIM: dict[str, Callable[..., Any]] = {
    "prod": lambda t, x, **k: t.prod(x, **k),
    "max": lambda t, x, **k: t.max(x, **k),
    "min": lambda t, x, **k: t.min(x, **k),
    "argmax": lambda t, x, **k: t.argmax(x, **k),
    "argmin": lambda t, x, **k: t.argmin(x, **k),
    "aminmax": lambda t, x, **k: t.aminmax(x, **k),
    "median": lambda t, x, **k: t.median(x, **k),
    "nanmedian": lambda t, x, **k: t.nanmedian(x, **k),
}
LOGSUMEXP = {"logsumexp": lambda t, x, **k: t.logsumexp(x, **k)}
DIMS: list[dict[str, Any]] = [
    {},
    {"dim": 0},
    {"dim": -1},
    {"dim": 1, "keepdim": True},
    {"dim": (0, 2)},
    {"dim": [-1, 0], "keepdim": True},
]


@pytest.mark.parametrize("name", OVER_DIMS)
@pytest.mark.parametrize("dims", DIMS, ids=str)
def test_over_dims(name: str, dims: dict[str, Any]) -> None:
    assert_same(lambda t, x: OVER_DIMS[name](t, x, **dims), _values(2, 3, 4))


@pytest.mark.parametrize("name", LOGSUMEXP)
@pytest.mark.parametrize("dims", DIMS[1:], ids=str)
def test_logsumexp(name: str, dims: dict[str, Any]) -> None:
    assert_same(lambda t, x: LOGSUMEXP[name](t, x, **dims), _values(2, 3, 4))


@pytest.mark.parametrize("name", ALONG_A_DIM)
@pytest.mark.parametrize("dims", DIMS[:4], ids=str)
def test_along_a_dim(name: str, dims: dict[str, Any]) -> None:
    assert_same(lambda t, x: ALONG_A_DIM[name](t, x, **dims), _values(2, 3, 4))


EVERY = OVER_DIMS | ALONG_A_DIM


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("layout", ["transposed", "strided", "expanded"])
def test_layouts(name: str, layout: str) -> None:
    for dims in ({}, {"dim": 1}):
        assert_same(lambda t, x, dims=dims: EVERY[name](t, x, **dims), Input(_values(3, 4), layout), cuda=False)


@pytest.mark.parametrize("name", EVERY | LOGSUMEXP)
def test_zero_dim_and_single_elements(name: str) -> None:
    function = (EVERY | LOGSUMEXP)[name]
    for array in (np.array(1.5), np.array([-2.5]), np.array([[0.5]]), np.array(0.0), np.array([0.0])):
        for dims in ({}, {"dim": 0}, {"dim": -1, "keepdim": True}):
            if dims or name != "logsumexp":
                assert_same(lambda t, x, dims=dims: function(t, x, **dims), array)


@pytest.mark.parametrize("name", EVERY | LOGSUMEXP)
def test_empty(name: str) -> None:
    function = (EVERY | LOGSUMEXP)[name]
    for shape in ((0,), (0, 3), (2, 0, 3)):
        for dims in ({}, {"dim": 0}, {"dim": -1, "keepdim": True}, {"dim": 1}):
            if dims or name != "logsumexp":
                assert_same(lambda t, x, dims=dims: function(t, x, **dims), np.zeros(shape))


SPECIAL = [
    [0.0, 0.0, 0.0],
    [0.0, 2.0, -2.0],
    [2.0, 2.0, 1.0],
    [-1.0, -1.0, -1.0],
    [NAN, 1.0, 2.0],
    [1.0, NAN, NAN],
    [INF, 1.0, 2.0],
    [-INF, 1.0, 2.0],
    [INF, -INF, 1.0],
    [-INF, -INF, -INF],
    [INF, INF, 0.0],
    [-0.0, 0.0, 1.0],
    [0.0, 0.0, 3.0],
    [0.0, 5.0, 3.0],
]


@pytest.mark.parametrize("name", EVERY | LOGSUMEXP)
@pytest.mark.parametrize("row", SPECIAL, ids=str)
def test_kinks_ties_and_special_values(name: str, row: list[float]) -> None:
    """Second gradients too, where these are finite: at infinities torch's differ by how it composes them."""
    function = (EVERY | LOGSUMEXP)[name]
    second = bool(np.isfinite(row).all())
    for dims in ({}, {"dim": 0}):
        if dims or name != "logsumexp":
            assert_same(lambda t, x, dims=dims: function(t, x, **dims), np.array(row), cuda=False, second=second)


@pytest.mark.parametrize("dtype", ["float32", "float16", "complex128", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("name", EVERY | LOGSUMEXP)
def test_dtypes(name: str, dtype: str) -> None:
    function = (EVERY | LOGSUMEXP)[name]
    array = _values(3, 4)
    if dtype == "complex128":
        array = array + 1j * _values(3, 4, seed=1)
    array = np.abs(array).astype(dtype) if dtype == "uint8" else array.astype(dtype)
    for dims in ({}, {"dim": 1}):
        if dims or name != "logsumexp":
            assert_same(lambda t, x, dims=dims: function(t, x, **dims), array, second=dtype != "float16", cuda=False)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "nansum", "nanmean"])
@pytest.mark.parametrize("to", ["float64", "float32", "float16", "int64", "bool"])
def test_dtype_argument(name: str, to: str) -> None:
    """What is computed in a narrower dtype is as exact as that, though the gradient is float64 again."""
    function = EVERY[name]
    coarser = {"float16": 2**42, "float32": 2**29}.get(to, 1)
    for array in (_values(3, 4), np.arange(1, 7)):
        for dims in ({}, {"dim": 0}):
            assert_same(
                lambda t, x, dims=dims: function(t, x, dtype=getattr(t, to), **dims),
                array,
                ulps=ULPS * coarser,
                second=False,
                cuda=False,
            )


def test_names_of_whole_reductions() -> None:
    for call in (
        lambda t, x: t.sum(x, None),
        lambda t, x: x.sum(()),
        lambda t, x: x.mean(None),
        lambda t, x: x.sum([]),
        lambda t, x: x.amax(()),
        lambda t, x: x.std(None),
        lambda t, x: x.sum(None, True),
        lambda t, x: x.mean((0, 1), keepdim=True),
        lambda t, x: x.norm(p=None),
        lambda t, x: x.norm("fro", (0, 1)),
    ):
        assert_same(call, _values(2, 3))


@pytest.mark.parametrize(
    "rows", [[[0.0, 2.0], [3.0, 0.0]], [[0.0, 2.0], [0.0, 3.0]], [[1.0, 2.0], [0.0, 4.0]]], ids=str
)
def test_products_with_zeros(rows: list[list[float]]) -> None:
    for dims in ({}, {"dim": 0}, {"dim": 1, "keepdim": True}):
        assert_same(lambda t, x, dims=dims: t.prod(x, **dims), np.array(rows))


@pytest.mark.parametrize("correction", [0, 1, 2, 3, 4, 0.5])
def test_corrections(correction: float) -> None:
    for rows in ([[1.0, 2.0]], [[1.0, 1.0], [2.0, 1.0]], [[1.0, 2.0, 4.0], [3.0, 3.0, 3.0]]):
        for dims in ({}, {"dim": 0}, {"dim": (0, 1)}):
            for name in ("var", "std", "var_mean", "std_mean"):
                assert_same(
                    lambda t, x, name=name, dims=dims: getattr(t, name)(x, correction=correction, **dims),
                    np.array(rows),
                    cuda=False,
                    second=correction < 2,
                )


def test_variance_over_an_empty_list_of_dims_is_that_of_all() -> None:
    """torch divides its gradient by the number of elements in no dimension; the values are those of all."""
    x = torch.tensor(_values(2, 3), requires_grad=True)
    expected = torch.autograd.grad(x.var(), x)[0].numpy()
    assert torch.equal(x.var(()), x.var())
    mine = refgrad.tensor(_values(2, 3), requires_grad=True)
    assert np.allclose(refgrad.autograd.grad(mine.var(()), mine)[0].numpy(), expected, rtol=1e-15)


def test_forms_of_variance() -> None:
    for call in (
        lambda t, x: x.var(False),
        lambda t, x: x.var(unbiased=False),
        lambda t, x: x.var(0, False),
        lambda t, x: x.var(0, True, True),
        lambda t, x: x.std(0, unbiased=False),
        lambda t, x: t.var_mean(x, 0, True),
        lambda t, x: x.var(0, correction=None),
        lambda t, x: t.std_mean(x, False),
        lambda t, x: t.var_mean(x)[0],
        lambda t, x: t.var_mean(x, 0)[1],
        lambda t, x: t.std_mean(x, 0)[0],
        lambda t, x: x.var(0, unbiased=True, correction=0),
    ):
        assert_same(call, _values(3, 2))


def test_vector_norm() -> None:
    def call(t: Any) -> Any:
        return torch.linalg.vector_norm if t is torch else vector_norm

    for order in (0, 1, 2, 2.5, INF, -INF):
        assert_same(lambda t, x, order=order: call(t)(x, order), _values(3, 4))
        assert_same(lambda t, x, order=order: call(t)(x, ord=order, dim=1, keepdim=True), _values(3, 4))
    single = _values(3, 4).astype(np.float32)  # and so is its gradient
    assert_same(lambda t, x: call(t)(x, dtype=t.float64), single, ulps=ULPS * 2**29)
    assert_same(lambda t, x: call(t)(x, dim=(0, 1)), _values(3, 4) + 1j)
    for bad in ("fro", None):
        assert_same(lambda t, x, bad=bad: call(t)(x, bad), _values(2))
    assert_same(lambda t, x: call(t)(x, INF, 0), np.zeros((0, 2)))


def test_the_norm_of_large_and_small_numbers_is_computed_as_in_torch() -> None:
    rows = (
        np.float32([[1e30, 1e30]]),
        np.float32([[1e-30, 1e-30]]),
        np.float32([[1e-30]]),
        np.float16([[300, 300]]),
    )
    for array in rows:
        for dims in ({}, {"dim": 0}, {"dim": 1}):
            assert_same(lambda t, x, dims=dims: x.norm(2, **dims), array, second=False, cuda=False)


def test_only_one_result_used() -> None:
    for call in (
        lambda t, x: x.aminmax(dim=0)[0] * 2,
        lambda t, x: x.aminmax()[1] * 2,
        lambda t, x: x.max(0)[0].exp(),
        lambda t, x: t.var_mean(x, 0)[1].exp(),
        lambda t, x: t.std_mean(x, 0)[0].exp(),
    ):
        assert_same(call, _values(3, 2))


def test_truth() -> None:
    for array in (
        np.array([[0.0, 1.0], [NAN, 2.0]]),
        np.array([[0, 1], [2, 0]], np.uint8),
        np.zeros((2, 0)),
        np.array([[True, False], [True, True]]),
        np.array(3.0),
        np.array([[1 + 1j, 0]]),
    ):
        for name in ("all", "any"):
            for args in ((), (0,), (-1, True), ((),)):
                assert_same(lambda t, x, name=name, args=args: getattr(t, name)(x, *args), array)
            assert_same(lambda t, x, name=name: getattr(x, name)(keepdim=True), array)
        for args in ((), (0,), ((),), (None,)):
            assert_same(lambda t, x, args=args: t.count_nonzero(x, *args), array)


def test_binary_forms() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([[3.0], [2.0]])
    for call in (
        lambda t, x, y: t.max(x, y),
        lambda t, x, y: x.min(y),
        lambda t, x, y: t.max(input=x, other=y),
        lambda t, x, y: t.min(x, other=y),
    ):
        assert_same(call, a, b)


def test_named_results_print_and_unpack() -> None:
    for name in ("max", "min", "median", "nanmedian", "sort", "cummax", "cummin", "mode"):
        if not hasattr(refgrad, name):
            continue
        printed = [repr(getattr(t, name)(t.tensor([[1.0, 3.0], [2.0, 0.0]]), 1)) for t in (torch, refgrad)]
        assert printed[1] == printed[0]
    result = refgrad.max(refgrad.tensor([[1.0, 3.0], [2.0, 0.0]]), 1)
    values, indices = result
    assert values is result.values
    assert indices is result.indices
    assert repr(type(result)) == repr(type(torch.max(torch.ones(1, 1), 1)))
    assert repr(refgrad.tensor([1.0, 2.0]).aminmax()) == repr(torch.tensor([1.0, 2.0]).aminmax())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", ["sum", "mean", "norm", "var", "std", "logsumexp", "nansum", "cumsum"])
def test_long_sums_are_as_accurate_as_torch(name: str, dtype: str) -> None:
    """Against the sum in double precision: no further away than twice torch's own distance, or two ulps."""
    array = np.random.default_rng(0).uniform(0, 1, (20000, 3)).astype(dtype)
    args = {"norm": (2,), "var": (), "std": (), "sum": (), "mean": (), "nansum": ()}.get(name)
    for dim in (0, 1):
        for layout in (array, np.ascontiguousarray(array.T).T):

            def run(t: Any, x: Any, dim: int = dim) -> Any:
                made = getattr(t.tensor(x), name)(*(args or ()), dim=dim)
                return np.asarray(made.numpy(), np.float64)

            exact = run(torch, array.astype(np.float64))
            mine, theirs = (np.abs(run(t, layout) - exact).max() for t in (refgrad, torch))
            unit = np.spacing(np.abs(exact).max().astype(dtype)).astype(np.float64)
            assert mine <= max(2 * theirs, 2 * unit)


ERRORS: list[Callable[..., Any]] = [
    lambda t, x: t.sum(3),
    lambda t, x: x.sum(5),
    lambda t, x: x.sum((0, 0)),
    lambda t, x: x.sum((0, -2)),
    lambda t, x: x.mean(4),
    lambda t, x: x.long().mean(),
    lambda t, x: x.mean(dtype=t.int64),
    lambda t, x: x.amax(3),
    lambda t, x: x.max(7),
    lambda t, x: x.argmax(7),
    lambda t, x: (x > 1).argmax(),
    lambda t, x: x.long().var(),
    lambda t, x: t.var_mean(x.long()),
    lambda t, x: x.long().norm(),
    lambda t, x: x.norm("abc"),
    lambda t, x: t.norm(x, 2, dtype=t.float32),
    lambda t, x: x.long().nanmean(),
    lambda t, x: x.prod(5),
    lambda t, x: x.max(0, 1),
    lambda t, x: x.aminmax(dim=4),
    lambda t, x: x.median(4),
    lambda t, x: x.logsumexp(3),
    lambda t, x: x.norm("fro", (0, 1, 2)),
    lambda t, x: t.tensor([1 + 1j]).nansum(),
    lambda t, x: t.tensor([1 + 1j]).max(),
    lambda t, x: t.tensor([1 + 1j]).amax(),
    lambda t, x: t.zeros(2, 0).max(),
]


@pytest.mark.parametrize("k", range(len(ERRORS)))
def test_errors(k: int) -> None:
    assert_same(ERRORS[k], _values(2, 3), cuda=False)
    with pytest.raises(Exception):  # noqa: B017 - that torch raises is part of the case
        ERRORS[k](torch, torch.tensor(_values(2, 3)))


def test_warning_about_degrees_of_freedom() -> None:
    for t in (torch, refgrad):
        with pytest.warns(UserWarning, match=r"degrees of freedom is <= 0"):
            t.tensor([1.0]).var()
