"""Products of matrices and vectors of fixed rank, the cross product and the trace, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.refgrad.ops.compare import Input, assert_same
from tests.refgrad.ops.products import Shape, assert_same_for, assert_same_state, operands, values

INF, NAN = float("inf"), float("nan")
PRODUCTS: dict[str, tuple[Callable[..., Any], tuple[Shape, ...]]] = {
    "mm": (lambda t, a, b: t.mm(a, b), ((2, 3), (3, 4))),
    "bmm": (lambda t, a, b: a.bmm(b), ((5, 2, 3), (5, 3, 4))),
    "mv": (lambda t, a, b: t.mv(a, b), ((2, 3), (3,))),
    "dot": (lambda t, a, b: t.dot(a, b), ((3,), (3,))),
    "vdot": (lambda t, a, b: a.vdot(b), ((3,), (3,))),
    "cross": (lambda t, a, b: t.cross(a, b, dim=1), ((2, 3, 4), (2, 3, 4))),
    "trace of mm": (lambda t, a, b: a.mm(b).trace(), ((2, 3), (3, 2))),
}
INTEGERS = ["int64", "int32", "int16", "int8", "uint8"]


@pytest.mark.parametrize("name", PRODUCTS)
def test_values_and_derivatives(name: str) -> None:
    function, shapes = PRODUCTS[name]
    assert_same_for(function, *shapes)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(
    "layouts", [("transposed", "contiguous"), ("strided", "transposed"), ("contiguous", "strided")]
)
def test_layouts(name: str, layouts: tuple[str, str]) -> None:
    function, shapes = PRODUCTS[name]
    assert_same(function, *[Input(a, layout) for a, layout in zip(operands(*shapes), layouts, strict=True)])


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("name", PRODUCTS)
def test_of_what_requires_grad(name: str, wanted: tuple[bool, bool]) -> None:
    function, shapes = PRODUCTS[name]
    assert_same(
        function,
        *[Input(a, requires_grad=w) for a, w in zip(operands(*shapes), wanted, strict=True)],
        cuda=False,
    )


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "complex64", "complex128", *INTEGERS, "bool"])
def test_dtypes(name: str, dtype: str) -> None:
    function, shapes = PRODUCTS[name]
    arrays = operands(*shapes)
    if dtype.startswith("complex"):
        arrays = [a + 1j * values(*a.shape, seed=7) for a in arrays]
    elif dtype in INTEGERS:
        arrays = [a * 60 for a in arrays]  # beyond what 8 bits hold: sums wrap around
    with np.errstate(all="ignore"):
        assert_same(function, *[a.astype(dtype) for a in arrays])


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("mm", ((0, 3), (3, 4))),
        ("mm", ((2, 0), (0, 4))),
        ("mm", ((2, 3), (3, 0))),
        ("mm", ((1, 1), (1, 1))),
        ("mm", ((1, 3), (3, 1))),
        ("mm", ((3, 1), (1, 3))),
        ("bmm", ((0, 2, 3), (0, 3, 4))),
        ("bmm", ((5, 2, 0), (5, 0, 4))),
        ("bmm", ((1, 1, 1), (1, 1, 1))),
        ("mv", ((0, 3), (3,))),
        ("mv", ((2, 0), (0,))),
        ("dot", ((0,), (0,))),
        ("vdot", ((1,), (1,))),
        ("cross", ((0, 3), (0, 3))),
        ("cross", ((1, 3, 4), (2, 3, 1))),
    ],
)
def test_sizes_zero_and_one(name: str, shapes: tuple[Shape, ...]) -> None:
    assert_same_for(PRODUCTS[name][0], *shapes)


@pytest.mark.parametrize("shape", [(2, 3), (4, 2), (3, 3), (1, 1), (3, 1), (1, 4), (0, 3), (3, 0)])
def test_trace(shape: Shape) -> None:
    assert_same_for(lambda t, x: t.trace(x), shape)
    assert_same_for(lambda t, x: (x * x).trace(), shape)


def test_trace_is_summed_as_accurately() -> None:
    for dtype in ("float16", "float32"):
        assert_same(lambda t, x: t.trace(x), np.diag(values(1000)).astype(dtype), second=False, ulps=2)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_long_sums(dtype: str) -> None:
    """A thousand products: the order of summation may show, the precision it is done in may not.

    Errors of a thousand additions add up as in a random walk, to sqrt(1000) units, by the kernel that the
    BLAS has for this processor; half is summed in single, where that does not show.
    """
    ulps = 8 if dtype == "float16" else 32
    a, b, v = [x.astype(dtype) for x in operands((3, 1000), (1000, 2), (1000,))]
    assert_same(lambda t, a, b: t.mm(a, b), a, b, ulps=ulps)
    assert_same(lambda t, a, v: t.mv(a, v), a, v, ulps=ulps)
    assert_same(lambda t, v, w: t.dot(v, w), v, a[0], ulps=ulps)


def test_column_major_operands_get_such_gradients() -> None:
    a, b = operands((3, 2), (4, 3))
    assert_same_state(lambda t, a, b: t.mm(a.t(), b.t()), a, b)
    assert_same_state(lambda t, a, b: t.mm(a.t(), b.t().contiguous()), a, b)
    assert_same(lambda t, a, b: t.autograd.grad(t.mm(a.t(), b.t()).sum(), (a, b), create_graph=True), a, b)


def test_operand_twice() -> None:
    for function in (
        lambda t, x: t.mm(x, x),
        lambda t, x: x.mm(x.t()),
        lambda t, x: t.bmm(x[None], x[None]),
        lambda t, x: t.dot(x[0], x[0]),
        lambda t, x: t.mv(x, x[:, 1]),
        lambda t, x: t.cross(x, x, dim=0),
    ):
        assert_same(function, values(3, 3))


def test_special_values() -> None:
    a = np.array([[INF, 1.0, -0.0], [NAN, 0.0, 2.0]])
    b = np.array([[0.0, 1.0], [-INF, 1.0], [3.0, -0.0]])
    assert_same(lambda t, a, b: t.mm(a, b), a, b)
    assert_same(lambda t, a, b: t.mv(a, b[:, 0]), a, b)
    assert_same(lambda t, a, b: t.dot(a[0], b[:, 1]), a, b)
    assert_same(lambda t, a, b: t.bmm(a[None], b[None]), a, b)
    assert_same(lambda t, a, b: t.cross(a, b.t(), dim=1), a, b)
    assert_same(lambda t, a: a.trace(), a)


def test_cross_finds_its_dimension() -> None:
    for shape in ((3, 2), (2, 3), (3, 3), (2, 3, 3)):
        assert_same_for(lambda t, a, b: t.cross(a, b), shape, shape)


ERRORS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "mm sizes": (lambda t, a, b: t.mm(a, b), [(2, 3), (4, 5)]),
    "mm left vector": (lambda t, a, b: t.mm(a, b), [(3,), (3, 5)]),
    "mm right batch": (lambda t, a, b: t.mm(a, b), [(2, 3), (1, 3, 2)]),
    "mm dtypes": (lambda t, a, b: t.mm(a, b.float()), [(2, 3), (3, 2)]),
    "mm half and long": (lambda t, a, b: t.mm(a.detach().half(), b.detach().long()), [(2, 3), (3, 2)]),
    "mm number": (lambda t, a: t.mm(a, 3), [(2, 3)]),
    "mm number first": (lambda t, a: t.mm(3, a), [(2, 3)]),
    "bmm left matrix": (lambda t, a, b: t.bmm(a, b), [(2, 3), (2, 3, 5)]),
    "bmm right matrix": (lambda t, a, b: t.bmm(a, b), [(2, 2, 3), (3, 5)]),
    "bmm batches": (lambda t, a, b: t.bmm(a, b), [(2, 2, 3), (3, 3, 5)]),
    "bmm sizes": (lambda t, a, b: t.bmm(a, b), [(2, 2, 3), (2, 4, 5)]),
    "bmm dtypes": (lambda t, a, b: t.bmm(a, b.float()), [(2, 2, 3), (2, 3, 5)]),
    "mv sizes": (lambda t, a, b: t.mv(a, b), [(2, 3), (4,)]),
    "mv vectors": (lambda t, a, b: t.mv(a, b), [(3,), (3,)]),
    "mv matrices": (lambda t, a, b: t.mv(a, b), [(2, 3), (3, 1)]),
    "mv dtypes": (lambda t, a, b: t.mv(a, b.float()), [(2, 3), (3,)]),
    "dot sizes": (lambda t, a, b: t.dot(a, b), [(3,), (4,)]),
    "dot matrices": (lambda t, a, b: t.dot(a, b), [(2, 3), (3,)]),
    "dot numbers": (lambda t, a, b: t.dot(a, b), [(), ()]),
    "dot dtypes": (lambda t, a, b: t.dot(a, b.float()), [(3,), (3,)]),
    "vdot sizes": (lambda t, a, b: t.vdot(a, b), [(3,), (4,)]),
    "vdot matrices": (lambda t, a, b: t.vdot(a, b), [(3, 1), (3, 1)]),
    "cross sizes": (lambda t, a, b: t.cross(a, b, dim=1), [(2, 4), (2, 4)]),
    "cross no three": (lambda t, a, b: t.cross(a, b), [(2, 4), (2, 4)]),
    "cross ranks": (lambda t, a, b: t.cross(a, b, dim=-1), [(4, 3), (3,)]),
    "cross no broadcast": (lambda t, a, b: t.cross(a, b, dim=1), [(4, 3), (5, 3)]),
    "cross dim": (lambda t, a, b: t.cross(a, b, dim=4), [(2, 3), (2, 3)]),
    "cross dtypes": (lambda t, a, b: t.cross(a, b.float(), dim=0), [(3,), (3,)]),
    "trace of a vector": (lambda t, a: t.trace(a), [(3,)]),
    "trace of a batch": (lambda t, a: t.trace(a), [(2, 2, 2)]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, shapes = ERRORS[name]
    assert_same(function, *operands(*shapes))
