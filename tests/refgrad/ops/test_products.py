"""matmul, linear, tensordot, inner, outer, kron and chains of matrices against torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.ops.compare import Input, assert_same
from tests.refgrad.ops.products import Shape, assert_same_for, operands, values

INF, NAN = float("inf"), float("nan")
LEFT: list[Shape] = [(3,), (2, 3), (4, 2, 3), (1, 2, 3), (0, 2, 3), (5, 4, 2, 3), (5, 1, 2, 3), (1, 1, 2, 3)]
RIGHT: list[Shape] = [(3,), (3, 6), (3, 1), (4, 3, 6), (1, 3, 6), (4, 3, 0), (5, 4, 3, 6), (5, 1, 3, 6)]
PAIRS = [
    (a, b)
    for a, b in itertools.product(LEFT, RIGHT)
    if all(1 in (n, m) or n == m for n, m in zip(reversed(a[:-2]), reversed(b[:-2]), strict=False))
]


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_matmul_of_all_ranks(left: Shape, right: Shape) -> None:
    assert_same_for(lambda t, a, b: t.matmul(a, b), left, right)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_matmul_of_what_requires_grad(left: Shape, right: Shape) -> None:
    a, b = operands(left, right)
    for wanted in ((True, False), (False, True), (False, False)):
        assert_same(
            lambda t, a, b: a @ b,
            *[Input(x, requires_grad=w) for x, w in zip((a, b), wanted, strict=True)],
            cuda=False,
        )


@pytest.mark.parametrize("layout", ["transposed", "strided", "expanded"])
@pytest.mark.parametrize(
    ("left", "right"), [((2, 3), (3,)), ((4, 2, 3), (3, 6)), ((3,), (4, 3, 6)), ((4, 2, 3), (4, 3, 6))]
)
def test_matmul_of_layouts(left: Shape, right: Shape, layout: str) -> None:
    a, b = operands(left, right)
    for wanted in (True, False):
        assert_same(lambda t, a, b: t.matmul(a, b), Input(a, layout), Input(b, requires_grad=wanted))
    assert_same(lambda t, a, b: t.matmul(a, b), Input(a, requires_grad=False), Input(b, layout), cuda=False)


def test_matmul_lies_in_memory_as_in_torch_without_grad() -> None:
    for left, right in PAIRS:
        made = []
        for module in (torch, refgrad):
            a, b = [module.tensor(x) for x in operands(left, right)]
            made.append(
                [module.matmul(x, b).is_contiguous() for x in (a, a.mT.contiguous().mT if a.ndim > 1 else a)]
            )
        assert made[0] == made[1], (left, right)


@pytest.mark.parametrize("dtype", ["float32", "float16", "complex128", "int64", "int8", "bool"])
def test_matmul_of_dtypes(dtype: str) -> None:
    for left, right in PAIRS[::5]:
        a, b = [(x * 9).astype(dtype) for x in operands(left, right)]
        assert_same(lambda t, a, b: t.matmul(a, b), a, b)


def test_matmul_operator() -> None:
    a, b = operands((2, 3), (3, 2))
    assert_same(lambda t, a, b: a @ b @ a, a, b)
    assert_same(lambda t, a, b: a.matmul(b).matmul(a), a, b)
    for wrong in (lambda t, a: a @ 3, lambda t, a: 3 @ a, lambda t, a: t.matmul(a, 3), lambda t, a: [1] @ a):
        assert_same(wrong, a)


def test_special_values() -> None:
    a = np.array([[INF, 1.0, -0.0], [NAN, 0.0, 2.0]])
    b = np.array([[[0.0, 1.0], [-INF, 1.0], [3.0, -0.0]]])
    assert_same(lambda t, a, b: a @ b, a, b)
    assert_same(lambda t, a, b: t.nn.functional.linear(a, b[0].t()), a, b)
    assert_same(lambda t, a, b: t.tensordot(a, b[0], 1), a, b)
    assert_same(lambda t, a, b: t.outer(a[0], b[0, :, 0]), a, b)
    assert_same(lambda t, a, b: t.kron(a, b[0]), a, b)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (5, 2, 3), (6, 5, 2, 3), (0, 3), (2, 0), (5, 0, 3), (1, 1)])
@pytest.mark.parametrize("bias", [None, (4,), (1,), ()])
def test_linear(shape: Shape, bias: Shape | None) -> None:
    shapes = [shape, (4, shape[-1])]
    if bias is None:
        assert_same_for(lambda t, x, w: t.nn.functional.linear(x, w), *shapes)
        return
    assert_same_for(lambda t, x, w, b: t.nn.functional.linear(x, w, b), *shapes, bias)
    arrays = operands(*shapes, bias)
    for k in range(3):
        assert_same(
            lambda t, x, w, b: t.nn.functional.linear(x, w, b),
            *[Input(a, requires_grad=j == k) for j, a in enumerate(arrays)],
            cuda=False,
        )
    if len(shape) > 1:
        x, w, b = arrays
        assert_same(lambda t, x, w, b: t.nn.functional.linear(x, w, b), Input(x, "transposed"), w, b)
        assert_same(
            lambda t, x, w, b: t.nn.functional.linear(x, w, b), Input(x, "strided"), Input(w, "transposed"), b
        )


def test_linear_with_a_vector_or_a_wide_bias() -> None:
    for shape in ((3,), (2, 3), (5, 2, 3)):
        assert_same_for(lambda t, x, w: t.nn.functional.linear(x, w), shape, (3,))
    for shape in ((3,), (5, 2, 3)):
        assert_same_for(lambda t, x, w, b: t.nn.functional.linear(x, w, b), shape, (3,), ())
    for shape, bias in (
        ((2, 3), (2, 4)),
        ((5, 2, 3), (2, 4)),
        ((5, 2, 3), (5, 2, 4)),
        ((6, 5, 2, 3), (2, 4)),
    ):
        assert_same_for(lambda t, x, w, b: t.nn.functional.linear(x, w, b), shape, (4, 3), bias)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_linear_of_dtypes(dtype: str) -> None:
    for shape in ((3,), (2, 3), (5, 2, 3)):
        arrays = [(x * 9).astype(dtype) for x in operands(shape, (4, 3), (4,))]
        assert_same(lambda t, x, w, b: t.nn.functional.linear(x, w, b), *arrays)


DOTS: list[tuple[Shape, Shape, Any]] = [
    ((5, 2, 3), (2, 3, 4), 2),
    ((5, 2, 3), (3, 2, 4), 1),
    ((2, 3), (4,), 0),
    ((5, 2, 3), (3, 2, 4), ([2, 1], [0, 1])),
    ((3, 4, 2), (2, 3, 4), ([2, 0], [0, 1])),
    ((3, 4, 2), (2, 3, 4), ([-1], [-3])),
    ((2, 3), (2, 3), 2),
    ((2, 3), (3, 2), ([0, 1], [1, 0])),
    ((2, 3), (3, 2), ([1, 0], [0, 1])),
    ((2, 3, 4), (2, 3, 4), ([2, 1, 0], [2, 1, 0])),
    ((2, 1), (3, 2), ([1, 0], [0, 1])),
    ((2, 3), (1, 4), 1),
    ((2, 1), (3, 4), 1),
    ((3,), (3,), 1),
    ((6,), (1,), 1),
    ((1,), (1,), 1),
    ((0,), (0,), 1),
    ((2, 0), (0, 3), 1),
    ((0, 2), (2, 0), 1),
    ((), (), 0),
    ((), (3,), 0),
    ((2, 3), (2, 3), ([], [])),
]


@pytest.mark.parametrize(("left", "right", "dims"), DOTS, ids=str)
def test_tensordot(left: Shape, right: Shape, dims: Any) -> None:
    assert_same_for(lambda t, a, b: t.tensordot(a, b, dims), left, right)
    if left and right:
        a, b = operands(left, right)
        assert_same(lambda t, a, b: t.tensordot(a, b, dims=dims), Input(a, "transposed"), Input(b, "strided"))


def test_tensordot_by_tensors_of_dims() -> None:
    a, b = operands((2, 3), (3, 2))
    assert_same(lambda t, a, b: t.tensordot(a, b, t.tensor(1)), a, b)
    assert_same(lambda t, a, b: t.tensordot(a, b, t.tensor([[1], [0]])), a, b)
    assert_same(lambda t, a, b: t.tensordot(a, b), a, b.T)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (2, 3)),
        ((5, 2, 3), (6, 4, 3)),
        ((), ()),
        ((), (3,)),
        ((2, 3), ()),
        ((2, 0), (0,)),
    ],
)
def test_inner(left: Shape, right: Shape) -> None:
    assert_same_for(lambda t, a, b: t.inner(a, b), left, right)
    assert_same(lambda t, a, b: a.inner(b), *operands(left, right))


@pytest.mark.parametrize(("left", "right"), [((3,), (4,)), ((1,), (1,)), ((0,), (4,)), ((3,), (0,))])
def test_outer(left: Shape, right: Shape) -> None:
    assert_same_for(lambda t, a, b: t.outer(a, b), left, right)
    assert_same_for(lambda t, a, b: a.ger(b), left, right)
    a, b = operands(left, right)
    assert_same(lambda t, a, b: a.outer(b), Input(a, "strided"), Input(b, requires_grad=False))


KRONS: list[tuple[Shape, Shape]] = [
    ((2, 3), (4, 5)),
    ((3,), (4, 5)),
    ((2, 2, 3), (5,)),
    ((), (4, 5)),
    ((3,), ()),
    ((), ()),
    ((1,), (1,)),
    ((0, 2), (3, 1)),
]


@pytest.mark.parametrize(("left", "right"), KRONS)
def test_kron(left: Shape, right: Shape) -> None:
    assert_same_for(lambda t, a, b: t.kron(a, b), left, right)
    assert_same(lambda t, a, b: a.kron(b), *operands(left, right))


def test_kron_of_layouts() -> None:
    """Where one side is transposed no view reaches the products, and torch raises."""
    a, b = operands((2, 3), (4, 5))
    for layouts in itertools.product(["contiguous", "transposed", "strided", "expanded"], repeat=2):
        given = [Input(x, layout) for x, layout in zip((a, b), layouts, strict=True)]
        assert_same(lambda t, a, b: t.kron(a, b), *given)


def test_dtypes_promoted() -> None:
    a, b = operands((3,), (4,))
    for kinds in (
        ("float32", "float64"),
        ("float32", "int64"),
        ("bool", "int8"),
        ("float16", "float32"),
        ("bool", "bool"),
    ):
        x, y = a.astype(kinds[0]), b.astype(kinds[1])
        assert_same(lambda t, a, b: t.outer(a, b), x, y)
        assert_same(lambda t, a, b: t.kron(a, b), x, y)
        assert_same(lambda t, a, b: t.inner(a, b), x, y[0])


CHAINS: list[list[Shape]] = [
    [(2, 3)],
    [(2, 3), (3, 4)],
    [(2, 3), (3, 4), (4, 5)],
    [(20, 3), (3, 4), (4, 1)],
    [(2, 2), (2, 2), (2, 2)],
    [(2, 2), (2, 2), (2, 2), (2, 2)],
    [(20, 3), (3, 4), (4, 5), (5, 6)],
    [(2, 9), (9, 1), (1, 9), (9, 2)],
    [(3, 7), (7, 2), (2, 8), (8, 1), (1, 5)],
    [(0, 2), (2, 3), (3, 2)],
    [(3, 0), (0, 3), (3, 3), (3, 2)],
]


@pytest.mark.parametrize("shapes", CHAINS, ids=str)
def test_chain_matmul(shapes: list[Shape]) -> None:
    assert_same_for(lambda t, *matrices: t.chain_matmul(*matrices), *shapes)


def test_operand_twice() -> None:
    for function in (
        lambda t, x: x @ x,
        lambda t, x: x @ x[0] @ x,
        lambda t, x: x[None] @ x,
        lambda t, x: t.nn.functional.linear(x, x, x[0]),
        lambda t, x: t.tensordot(x, x),
        lambda t, x: t.inner(x, x),
        lambda t, x: t.outer(x[0], x[0]),
        lambda t, x: t.kron(x, x),
        lambda t, x: t.chain_matmul(x, x, x),
    ):
        assert_same(function, values(3, 3))


def test_modified_operand_is_noticed() -> None:
    for function in (
        lambda t, a, b: (a @ b, b.mul_(2))[0].sum().backward(),
        lambda t, a, b: (t.addmm(b, a, b), b.add_(1))[0].sum().backward(),
        lambda t, a, b: (t.mv(a, b[0]), a.detach().add_(1))[0].sum().backward(),
    ):
        assert_same(lambda t, a, b, f=function: f(t, a, b * 1), *operands((3, 3), (3, 3)), state=False)


ERRORS: dict[str, tuple[Callable[..., Any], list[Shape]]] = {
    "matmul number": (lambda t, a, b: t.matmul(a, b), [(), (3,)]),
    "matmul by a number": (lambda t, a, b: t.matmul(a, b), [(3,), ()]),
    **{
        f"matmul {left} {right}": (lambda t, a, b: t.matmul(a, b), [left, right])
        for left, right in (
            ((3,), (4,)),
            ((3,), (4, 5)),
            ((2, 3), (4,)),
            ((2, 3), (4, 5)),
            ((2, 2, 3), (4,)),
            ((3,), (2, 4, 5)),
            ((2, 2, 3), (4, 5)),
            ((2, 3), (2, 4, 5)),
            ((2, 2, 3), (2, 4, 5)),
            ((2, 2, 3), (1, 4, 5)),
            ((2, 2, 3), (3, 3, 5)),
            ((6, 2, 2, 3), (3, 3, 5)),
        )
    },
    "matmul dtypes": (lambda t, a, b: t.matmul(a, b.float()), [(2, 2, 3), (2, 3, 5)]),
    "matmul dtypes folded": (lambda t, a, b: t.matmul(a, b.float()), [(2, 2, 3), (3, 5)]),
    "matmul dtypes of vectors": (lambda t, a, b: t.matmul(a, b.float()), [(3,), (3,)]),
    "linear number": (lambda t, a, b: t.nn.functional.linear(a, b), [(), (4, 3)]),
    "linear weight number": (lambda t, a, b: t.nn.functional.linear(a, b), [(3,), ()]),
    "linear weight batch": (lambda t, a, b: t.nn.functional.linear(a, b), [(2, 3), (2, 4, 3)]),
    "linear sizes": (lambda t, a, b: t.nn.functional.linear(a, b), [(2, 3), (4, 2)]),
    "linear sizes with bias": (lambda t, a, b, c: t.nn.functional.linear(a, b, c), [(2, 3), (4, 2), (4,)]),
    "linear bias": (lambda t, a, b, c: t.nn.functional.linear(a, b, c), [(5, 2, 3), (4, 3), (5,)]),
    "linear bias rank": (lambda t, a, b, c: t.nn.functional.linear(a, b, c), [(2, 3), (4, 3), (5, 2, 4)]),
    "linear wide bias": (lambda t, a, b, c: t.nn.functional.linear(a, b, c), [(3,), (4, 3), (2, 4)]),
    "linear vector weight with bias": (
        lambda t, a, b, c: t.nn.functional.linear(a, b, c),
        [(2, 3), (3,), (1,)],
    ),
    "linear dtypes": (lambda t, a, b: t.nn.functional.linear(a, b.float()), [(2, 3), (4, 3)]),
    "linear bias dtype": (lambda t, a, b, c: t.nn.functional.linear(a, b, c.float()), [(2, 3), (4, 3), (4,)]),
    "tensordot sizes": (lambda t, a, b: t.tensordot(a, b, 1), [(2, 3), (4, 5)]),
    "tensordot too many": (lambda t, a, b: t.tensordot(a, b, 3), [(2, 3), (4, 5)]),
    "tensordot negative": (lambda t, a, b: t.tensordot(a, b, -1), [(2, 3), (4, 5)]),
    "tensordot lengths": (lambda t, a, b: t.tensordot(a, b, ([0], [1, 0])), [(2, 3), (3, 5)]),
    "tensordot repeated": (lambda t, a, b: t.tensordot(a, b, ([0, 0], [1, 0])), [(2, 2), (2, 2)]),
    "tensordot dim": (lambda t, a, b: t.tensordot(a, b, ([5], [0])), [(2, 3), (3, 5)]),
    "tensordot fraction": (lambda t, a, b: t.tensordot(a, b, 1.5), [(2, 3), (3, 5)]),
    "tensordot one list": (lambda t, a, b: t.tensordot(a, b, ([1],)), [(2, 3), (3, 5)]),
    "tensordot numbers": (lambda t, a, b: t.tensordot(a, b, (1, 0)), [(2, 3), (3, 5)]),
    "tensordot dtypes": (lambda t, a, b: t.tensordot(a, b.float(), 1), [(2, 3), (3, 5)]),
    "inner sizes": (lambda t, a, b: t.inner(a, b), [(2, 3), (5, 4)]),
    "inner dtypes": (lambda t, a, b: t.inner(a, b.float()), [(2, 3), (5, 3)]),
    "outer matrix": (lambda t, a, b: t.outer(a, b), [(3, 1), (3,)]),
    "outer by a matrix": (lambda t, a, b: t.outer(a, b), [(3,), (3, 1)]),
    "outer number": (lambda t, a, b: t.outer(a, b), [(), (3,)]),
    "chain of nothing": (lambda t: t.chain_matmul(), []),
    "chain sizes": (lambda t, a, b: t.chain_matmul(a, b), [(2, 3), (4, 5)]),
    "chain vector": (lambda t, a, b: t.chain_matmul(a, b), [(3,), (3, 5)]),
    "chain dtypes": (lambda t, a, b: t.chain_matmul(a, b.float()), [(2, 3), (3, 5)]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, shapes = ERRORS[name]
    assert_same(function, *operands(*shapes))
