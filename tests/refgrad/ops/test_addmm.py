"""Sums with a product against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.ops.compare import Input, assert_same
from tests.refgrad.ops.products import Shape, assert_same_for, operands, values

NAN = float("nan")
SHAPES: dict[str, tuple[Shape, ...]] = {
    "addmm": ((2, 4), (2, 3), (3, 4)),
    "addmv": ((2,), (2, 3), (3,)),
    "addbmm": ((2, 4), (5, 2, 3), (5, 3, 4)),
    "baddbmm": ((5, 2, 4), (5, 2, 3), (5, 3, 4)),
    "addr": ((2, 4), (2,), (4,)),
}
FACTORS: list[dict[str, Any]] = [
    {},
    {"beta": 2.0},
    {"alpha": 0.3},
    {"beta": 0.7, "alpha": 0.3},
    {"beta": -1, "alpha": 3},
    {"beta": 0, "alpha": 2},
    {"beta": 0.5, "alpha": 0},
]


def _call(name: str, factors: dict[str, Any]) -> Callable[..., Any]:
    return lambda t, c, a, b: getattr(t, name)(c, a, b, **factors)


@pytest.mark.parametrize("factors", FACTORS, ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_factors(name: str, factors: dict[str, Any]) -> None:
    assert_same_for(_call(name, factors), *SHAPES[name])


@pytest.mark.parametrize("name", SHAPES)
def test_methods(name: str) -> None:
    assert_same(lambda t, c, a, b: getattr(c, name)(a, b, beta=2), *operands(*SHAPES[name]))
    assert_same(lambda t, c, a, b: getattr(c * 1, f"{name}_")(a, b, alpha=2), *operands(*SHAPES[name]))


@pytest.mark.parametrize("name", SHAPES)
def test_broadcasting(name: str) -> None:
    whole, *others = SHAPES[name]
    for k in range(len(whole)):
        narrow = (*whole[:k], 1, *whole[k + 1 :])
        assert_same_for(_call(name, {"beta": 0.5}), narrow, *others)
        if name != "addmv":
            assert_same_for(_call(name, {}), whole[k + 1 :], *others)
    assert_same_for(_call(name, {"alpha": 3}), (), *others)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("layout", ["transposed", "strided"])
def test_layouts(name: str, layout: str) -> None:
    given = operands(*SHAPES[name])
    for k in range(3):
        arrays = [Input(a, layout if j == k else "contiguous") for j, a in enumerate(given)]
        assert_same(_call(name, {"beta": 2, "alpha": 0.5}), *arrays)


@pytest.mark.parametrize("name", SHAPES)
def test_of_what_requires_grad(name: str) -> None:
    given = operands(*SHAPES[name])
    for k in range(3):
        arrays = [Input(a, requires_grad=j == k) for j, a in enumerate(given)]
        assert_same(_call(name, {"beta": 2, "alpha": 0.5}), *arrays, cuda=False)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "complex128", "int64", "int32", "int8", "uint8", "bool"]
)
def test_dtypes(name: str, dtype: str) -> None:
    arrays = operands(*SHAPES[name])
    if dtype == "complex128":
        arrays = [a + 1j * values(*a.shape, seed=7) for a in arrays]
    if dtype in ("int64", "int32", "int8", "uint8"):
        arrays = [a * 30 for a in arrays]
    with np.errstate(all="ignore"):
        arrays = [a.astype(dtype) for a in arrays]
    for factors in FACTORS:
        assert_same(_call(name, factors), *arrays, cuda=factors == {})


def test_half_precision_rounds_where_torch_does() -> None:
    """To the bit where sums are short: single precision holds them exactly, or nearly."""
    for name, shapes in SHAPES.items():
        for factors in FACTORS:
            arrays = [a.astype("float16") for a in operands(*shapes)]
            expected = _call(name, factors)(torch, *map(torch.tensor, arrays))
            found = _call(name, factors)(refgrad, *map(refgrad.tensor, arrays))
            assert found.tolist() == expected.tolist(), (name, factors)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("addmm", ((4,), (2, 0), (0, 4))),
        ("addmm", ((2, 1), (2, 0), (0, 4))),
        ("addmm", ((4,), (0, 3), (3, 4))),
        ("addmm", ((2, 0), (2, 3), (3, 0))),
        ("addmm", ((1, 1), (1, 1), (1, 1))),
        ("addmv", ((2,), (2, 0), (0,))),
        ("addmv", ((0,), (0, 3), (3,))),
        ("addbmm", ((2, 4), (0, 2, 3), (0, 3, 4))),
        ("addbmm", ((4,), (0, 2, 3), (0, 3, 4))),
        ("addbmm", ((2, 4), (5, 2, 0), (5, 0, 4))),
        ("baddbmm", ((4,), (5, 2, 0), (5, 0, 4))),
        ("baddbmm", ((4,), (0, 2, 3), (0, 3, 4))),
        ("addr", ((4,), (0,), (4,))),
        ("addr", ((1, 1), (1,), (1,))),
    ],
)
def test_sizes_zero_and_one(name: str, shapes: tuple[Shape, ...]) -> None:
    for factors in ({}, {"beta": 3, "alpha": 2}, {"beta": 0}):
        assert_same_for(_call(name, factors), *shapes)


def test_no_broadcast_over_nothing() -> None:
    """torch returns the vector in its own shape where the matrix is empty, and so does refgrad."""
    for shapes in (((1,), (2, 0), (0,)), ((1,), (0, 3), (3,))):
        for factors in ({"beta": 3}, {"beta": 0}):
            assert_same(
                lambda t, c, a, b, factors=factors: t.addmv(c.detach(), a.detach(), b.detach(), **factors),
                *operands(*shapes),
            )


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", SHAPES)
def test_what_a_zero_factor_leaves_out(name: str, dtype: str) -> None:
    c, a, b = [x.astype(dtype) for x in operands(*SHAPES[name])]
    assert_same(_call(name, {"beta": 0}), np.full_like(c, NAN), a, b)
    assert_same(_call(name, {"alpha": 0}), c, np.full_like(a, NAN), b)


def test_a_zero_factor_of_larger_batches() -> None:
    c, a, b = operands((2, 8, 8), (2, 8, 8), (2, 8, 8))
    assert_same(_call("baddbmm", {"alpha": 0}), c, np.full_like(a, NAN), b)


def test_dtypes_promoted_by_addr() -> None:
    c, a, b = operands(*SHAPES["addr"])
    for kinds in (
        ("float32", "float64", "float64"),
        ("int64", "float32", "float64"),
        ("float16", "float16", "float32"),
        ("bool", "int64", "int64"),
        ("bool", "int8", "bool"),
    ):
        # torch's own derivatives multiply by operands of other dtypes, and raise
        given = [Input(x.astype(kind), requires_grad=False) for x, kind in zip((c, a, b), kinds, strict=True)]
        assert_same(_call("addr", {}), *given)
        assert_same(_call("addr", {"beta": 2, "alpha": 3}), *given)
    assert_same(_call("addr", {"beta": False}), c > 0, a > 0, b > 0)
    assert_same(_call("addr", {"alpha": False}), c > 0, a > 0, b > 0)


def test_factors_of_integers_are_cut() -> None:
    for name in ("addmm", "addmv", "addbmm", "baddbmm"):
        arrays = [(a * 10).astype("int64") for a in operands(*SHAPES[name])]
        for factors in ({"beta": 0.5}, {"alpha": 2.5}, {"beta": -1.5, "alpha": 0.9}):
            assert_same(_call(name, factors), *arrays)


ERRORS: dict[str, tuple[Callable[..., Any], list[Shape]]] = {
    "addmm sizes": (lambda t, c, a, b: t.addmm(c, a, b), [(5,), (2, 3), (4, 5)]),
    "addmm broadcast": (lambda t, c, a, b: t.addmm(c, a, b), [(4,), (2, 3), (3, 5)]),
    "addmm rows": (lambda t, c, a, b: t.addmm(c, a, b), [(3, 5), (2, 3), (3, 5)]),
    "addmm rank": (lambda t, c, a, b: t.addmm(c, a, b), [(1, 2, 5), (2, 3), (3, 5)]),
    "addmm left vector": (lambda t, c, a, b: t.addmm(c, a, b), [(5,), (3,), (3, 5)]),
    "addmm right vector": (lambda t, c, a, b: t.addmm(c, a, b), [(5,), (2, 3), (3,)]),
    "addmm dtype of the sum": (lambda t, c, a, b: t.addmm(c.float(), a, b), [(5,), (2, 3), (3, 5)]),
    "addmm dtype": (lambda t, c, a, b: t.addmm(c, a.float(), b), [(5,), (2, 3), (3, 5)]),
    "addmm no tensor": (lambda t, c, a: t.addmm(c, a, 2), [(5,), (2, 3)]),
    "addmv alpha": (lambda t, c, a, b: t.addmv(c, a, b, alpha="2"), [(2,), (2, 3), (3,)]),
    "addmv sizes": (lambda t, c, a, b: t.addmv(c, a, b), [(2,), (2, 3), (4,)]),
    "addmv broadcast": (lambda t, c, a, b: t.addmv(c, a, b), [(3,), (2, 3), (3,)]),
    "addmv rank": (lambda t, c, a, b: t.addmv(c, a, b), [(1, 2), (2, 3), (3,)]),
    "addmv dtype of the sum": (lambda t, c, a, b: t.addmv(c.float(), a, b), [(2,), (2, 3), (3,)]),
    "addmv dtype": (lambda t, c, a, b: t.addmv(c, a.float(), b), [(2,), (2, 3), (3,)]),
    "addbmm batches": (lambda t, c, a, b: t.addbmm(c, a, b), [(2, 5), (2, 2, 3), (3, 3, 5)]),
    "addbmm sizes": (lambda t, c, a, b: t.addbmm(c, a, b), [(2, 5), (2, 2, 3), (2, 4, 5)]),
    "addbmm broadcast": (lambda t, c, a, b: t.addbmm(c, a, b), [(2, 4), (2, 2, 3), (2, 3, 5)]),
    "addbmm left matrix": (lambda t, c, a, b: t.addbmm(c, a, b), [(5,), (2, 3), (2, 3, 5)]),
    "addbmm right matrix": (lambda t, c, a, b: t.addbmm(c, a, b), [(5,), (2, 2, 3), (3, 5)]),
    "addbmm dtype of the sum": (lambda t, c, a, b: t.addbmm(c.float(), a, b), [(2, 5), (2, 2, 3), (2, 3, 5)]),
    "addbmm dtype": (lambda t, c, a, b: t.addbmm(c, a.float(), b), [(2, 5), (2, 2, 3), (2, 3, 5)]),
    "baddbmm sizes": (lambda t, c, a, b: t.baddbmm(c, a, b), [(5,), (2, 2, 3), (2, 4, 5)]),
    "baddbmm broadcast": (lambda t, c, a, b: t.baddbmm(c, a, b), [(2, 3, 5), (2, 2, 3), (2, 3, 5)]),
    "baddbmm left matrix": (lambda t, c, a, b: t.baddbmm(c, a, b), [(5,), (2, 3), (2, 3, 5)]),
    "baddbmm right matrix": (lambda t, c, a, b: t.baddbmm(c, a, b), [(5,), (2, 2, 3), (3, 5)]),
    "baddbmm dtype": (lambda t, c, a, b: t.baddbmm(c, a.float(), b), [(5,), (2, 2, 3), (2, 3, 5)]),
    "addr sizes": (lambda t, c, a, b: t.addr(c, a, b), [(2, 5), (2,), (4,)]),
    "addr rank": (lambda t, c, a, b: t.addr(c, a, b), [(1, 2, 5), (2,), (5,)]),
    "addr left matrix": (lambda t, c, a, b: t.addr(c, a, b), [(2, 5), (2, 1), (5,)]),
    "addr right number": (lambda t, c, a, b: t.addr(c, a, b), [(2, 5), (2,), ()]),
    "addr whole beta": (
        lambda t, c, a, b: t.addr(c.long(), a.long(), b.long(), beta=2.5),
        [(2, 5), (2,), (5,)],
    ),
    "addr bool beta": (lambda t, c, a, b: t.addr(c, a, b, beta=True), [(2, 5), (2,), (5,)]),
    "addr whole alpha": (
        lambda t, c, a, b: t.addr(c.long(), a.long(), b.long(), alpha=0.5),
        [(5,), (2,), (5,)],
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, shapes = ERRORS[name]
    assert_same(function, *operands(*shapes))


def test_in_place_the_result_must_fit() -> None:
    for module in (torch, refgrad):
        c, a, b = [module.tensor(x) for x in operands((5,), (2, 3), (3, 5))]
        with pytest.raises(RuntimeError, match="shape|size"):
            c.addmm_(a, b)
