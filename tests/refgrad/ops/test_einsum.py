"""einsum against torch: values, derivatives, the graph it records, and the errors of equations."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from oracle.catalogue.linalg import EQUATIONS
from tests.refgrad.ops.compare import Input, assert_same
from tests.refgrad.ops.products import Shape, assert_same_for, operands, values

CASES: list[tuple[str, list[Shape]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,kj->ik", [(2, 3), (4, 3)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ij,jk->ki", [(2, 3), (3, 4)]),
    ("ij,jk->ki", [(2, 3), (3, 1)]),
    ("ij,jk->ki", [(1, 3), (3, 4)]),
    ("iaj,jkb->kbia", [(2, 3, 4), (4, 5, 6)]),
    ("iaj,jkb->kiba", [(2, 3, 4), (4, 5, 6)]),
    ("bij,bjk->kbi", [(5, 2, 3), (5, 3, 4)]),
    ("bij,bj->ib", [(5, 2, 3), (5, 3)]),
    ("i,i->", [(3,), (3,)]),
    ("i,j->ij", [(3,), (4,)]),
    ("i,j->ji", [(3,), (4,)]),
    ("ij->ji", [(2, 3)]),
    ("ij->ij", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("bA", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->i", [(2, 3)]),
    ("ij->j", [(2, 3)]),
    ("i->", [(3,)]),
    ("->", [()]),
    (",->", [(), ()]),
    (",i->i", [(), (3,)]),
    ("ij,ij->", [(2, 3), (2, 3)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]),
    ("ij,ji->", [(2, 3), (3, 2)]),
    ("ij,j->i", [(2, 3), (3,)]),
    ("ii->i", [(3, 3)]),
    ("ii->", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("iii->i", [(2, 2, 2)]),
    ("iij->ij", [(3, 3, 2)]),
    ("jii->ij", [(2, 3, 3)]),
    ("iji->ij", [(3, 2, 3)]),
    ("ijij->ij", [(2, 3, 2, 3)]),
    ("ijij->", [(2, 3, 2, 3)]),
    ("ii,ij->j", [(3, 3), (3, 4)]),
    ("ii,jj->ij", [(3, 3), (2, 2)]),
    ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]),
    ("bi,bi->b", [(5, 2), (5, 2)]),
    ("ijk->kij", [(2, 3, 4)]),
    ("ijk,k->ij", [(2, 3, 4), (4,)]),
    ("ijkl->", [(1, 2, 3, 4)]),
    ("...->...", [(2, 3)]),
    ("...", [(2, 3)]),
    ("...->", [(2, 3)]),
    ("i...->...", [(2, 3)]),
    ("i...->...i", [(2, 3, 4)]),
    ("...i->i", [(2, 3, 4)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("...ij,jk->...ik", [(2, 3), (3, 4)]),
    ("...ij,jk->...ik", [(5, 2, 3), (3, 4)]),
    ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
    ("...ij,...jk->...ik", [(5, 1, 2, 3), (4, 3, 2)]),
    ("...ij,...jk", [(5, 2, 3), (5, 3, 4)]),
    ("i...,i->...", [(2, 3), (2,)]),
    ("...,...->...", [(2, 3), (3,)]),
    ("...,...->", [(2, 3), (3,)]),
    ("a...b,b...->a...", [(2, 3, 4), (4, 3)]),
    ("...i,...i->...", [(4, 2, 3), (2, 3)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("ij,jk,kl,lm->im", [(2, 3), (3, 4), (4, 5), (5, 2)]),
    ("i,i,i->i", [(3,), (3,), (3,)]),
    ("i,i,i->", [(3,), (3,), (3,)]),
    ("i,j,k->ijk", [(2,), (3,), (4,)]),
    ("i,ij,j->", [(2,), (2, 3), (3,)]),
    ("bn,anm,bm->ba", [(2, 5), (3, 5, 4), (2, 4)]),
    ("ijk,ilm,njm,nlk,abc->", [(2, 3, 2), (2, 2, 3), (2, 3, 3), (2, 2, 2), (2, 2, 1)]),
    ("ab,cd->", [(2, 3), (4, 5)]),
    ("ab,cd->ac", [(2, 3), (4, 5)]),
    ("ab,bc->b", [(2, 3), (3, 4)]),
    ("ij,ij->", [(1, 3), (1, 3)]),
    ("ij,jk->ik", [(1, 3), (3, 1)]),
    ("ij,jk->ik", [(2, 1), (1, 3)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
    ("ij,jk->ik", [(2, 3), (1, 4)]),
    ("i,i->i", [(3,), (1,)]),
    ("i,i->", [(1,), (3,)]),
    ("ij,jk->ik", [(2, 0), (0, 3)]),
    ("ij,jk->ik", [(0, 2), (2, 3)]),
    ("ij->i", [(2, 0)]),
    ("i,i->", [(0,), (0,)]),
    (" i j , j k -> i k ", [(2, 3), (3, 4)]),
    ("ij,ij->ij", [(1, 1), (1, 1)]),
]


def _call(equation: str) -> Callable[..., Any]:
    return lambda t, *xs: t.einsum(equation, *xs)


@pytest.mark.parametrize(("equation", "shapes"), CASES, ids=str)
def test_equations(equation: str, shapes: list[Shape]) -> None:
    assert_same_for(_call(equation), *shapes)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_equations_of_the_harness(equation: str) -> None:
    sizes = {letter: 2 + k for k, letter in enumerate("ijklb")}
    for extra in ((), (2,)):
        shapes = []
        for term in equation.split("->")[0].split(","):
            lead = extra if term.startswith("...") else ()
            shapes.append((*lead, *[sizes[letter] for letter in term.removeprefix("...")]))
        assert_same_for(_call(equation), *shapes)


@pytest.mark.parametrize("layout", ["transposed", "strided", "expanded"])
def test_layouts(layout: str) -> None:
    for equation, shapes in CASES[::3]:
        if layout == "expanded":
            equation = f"Z{equation}" if "->" in equation else equation
            if "->" not in equation or "Z..." in equation:
                continue
            equation = equation.replace("->", "->Z")
        first, *others = operands(*shapes)
        assert_same(_call(equation), Input(first, layout), *others)


def test_of_what_requires_grad() -> None:
    for equation, shapes in CASES:
        if len(shapes) == 2:
            for wanted in ((True, False), (False, True), (False, False)):
                given = [Input(x, requires_grad=w) for x, w in zip(operands(*shapes), wanted, strict=True)]
                assert_same(_call(equation), *given, cuda=False)


@pytest.mark.parametrize("dtype", ["float32", "float16", "complex128", "int64", "int8", "bool"])
def test_dtypes(dtype: str) -> None:
    for equation, shapes in CASES[::4]:
        if len(shapes) > 3:
            continue  # what cancels then is larger than any operand or result
        arrays = operands(*shapes)
        if dtype == "complex128":
            arrays = [a + 1j * values(*a.shape, seed=7) for a in arrays]
        assert_same(_call(equation), *[(a * 3).astype(dtype) for a in arrays])


def test_mixed_dtypes() -> None:
    """Only a plain product promotes; `bmm` does not."""
    a, b = operands((2, 3), (3, 4))
    assert_same(_call("ij,jk->ik"), a, b.astype("float32"))
    assert_same(_call("i,j->ij"), a[0], b[0].astype("float32"))


def test_operand_twice() -> None:
    x = values(3, 3)
    for equation in ("ij,jk->ik", "ij,ij->", "ij,ji->", "ij,ij->ij", "ii,ij->j"):
        assert_same(lambda t, x, equation=equation: t.einsum(equation, x, x), x)


def test_views_share_memory() -> None:
    for module in (torch, refgrad):
        x = module.tensor(values(3, 3))
        for equation, there in (("ij->ji", (1, 0)), ("ii->i", (2,))):
            y = module.einsum(equation, x)
            y[there] = 7.0
            assert x.tolist()[there[-1]][there[0]] == 7.0
            assert x._version == y._version > 0


def test_numbers_for_letters() -> None:
    a, b = operands((5, 2, 3), (5, 3, 4))
    assert_same(lambda t, a, b: t.einsum(a, [..., 0, 1], b, [..., 1, 2], [..., 0, 2]), a, b)
    assert_same(lambda t, a, b: t.einsum(a, [3, 0, 1], b, [3, 1, 30]), a, b)
    assert_same(lambda t, a, b: t.einsum(a, [0, 1, 52], b, [0, 1, 2]), a, b)
    assert_same(lambda t, a, b: t.einsum(a, [0, -1, 2]), a, b)


def test_operands_as_one_list() -> None:
    assert_same(lambda t, a, b: t.einsum("ij,jk->ik", [a, b]), *operands((2, 3), (3, 4)))
    assert_same(lambda t, a: t.einsum("ij->j", (a,)), *operands((2, 3)))


def _random_case(choose: random.Random) -> tuple[str, list[Shape]]:
    sizes = {letter: choose.choice([1, 2, 3]) for letter in "abcDe"}
    covered = [choose.choice([1, 2]) for _ in range(choose.choice([0, 1, 2]))]
    terms, shapes = [], []
    for _ in range(choose.choice([1, 2, 2, 3])):
        labels = [choose.choice("abcDe") for _ in range(choose.randint(0, 3))]
        shape = [sizes[label] for label in labels]
        if choose.random() < 0.2:
            shape = [
                1 if labels.count(label) == 1 and choose.random() < 0.3 else n
                for n, label in zip(shape, labels, strict=True)
            ]
        if choose.random() < 0.3:
            at = choose.randint(0, len(labels))
            part = covered[choose.randint(0, len(covered)) :]
            labels.insert(at, "...")
            shape[at:at] = part
        terms.append("".join(labels))
        shapes.append(tuple(shape))
    letters = sorted({letter for term in terms for letter in term if letter != "."})
    equation = ",".join(terms)
    if choose.random() < 0.8:
        output = choose.sample(letters, choose.randint(0, len(letters)))
        if any("..." in term for term in terms) and choose.random() < 0.8:
            output.insert(choose.randint(0, len(output)), "...")
        equation += "->" + "".join(output)
    return equation, shapes


@pytest.mark.parametrize("seed", range(8))
def test_random_equations(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(25):
        equation, shapes = _random_case(choose)
        # The order in memory is not compared: torch's depends on the strides of dimensions of size one.
        assert_same(
            lambda t, *xs, equation=equation: t.einsum(equation, *xs).contiguous(),
            *operands(*shapes),
            cuda=choose.random() < 0.2,
            state=False,
        )


def test_long_sums_in_half_precision() -> None:
    a, b = [x.astype("float16") for x in operands((3, 500), (500, 2))]
    assert_same(_call("ij,jk->ik"), a, b)


ERRORS: list[tuple[str, list[Shape]]] = [
    ("ij,jk->ik", [(2, 3)]),
    ("ij->ik", [(2, 3), (3, 4)]),
    ("ij", [(2, 3, 4)]),
    ("ijk", [(2, 3)]),
    ("ijk...", [(2, 3)]),
    ("ij,jk->ik", [(2, 3), (4, 5)]),
    ("ii->i", [(2, 3)]),
    ("ij->ii", [(2, 3)]),
    ("ij->ik", [(2, 3)]),
    ("i1->i", [(2, 3)]),
    ("ij->i1", [(2, 3)]),
    ("i.j->i", [(2, 3)]),
    ("i..->i", [(2, 3)]),
    ("......", [(2, 3)]),
    ("...i...", [(2, 3)]),
    ("...->......", [(2, 3)]),
    ("...->.", [(2, 3)]),
    ("...->..", [(2, 3)]),
    ("...,...->...", [(2, 3), (2, 4)]),
    ("i->i->i", [(2,)]),
    ("i-j", [(2, 3)]),
    ("ij>i", [(2, 3)]),
    ("i,j->ij,", [(2,), (3,)]),
]


@pytest.mark.parametrize(("equation", "shapes"), ERRORS, ids=str)
def test_errors(equation: str, shapes: list[Shape]) -> None:
    assert_same(_call(equation), *operands(*shapes))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t, x: t.einsum("ij"),
        lambda t, x: t.einsum(x),
        lambda t, x: t.einsum("ij", []),
        lambda t, x: t.einsum("ij", 3),
        lambda t, x: t.einsum("ij,i", x, 3),
    ],
)
def test_errors_of_arguments(wrong: Callable[..., Any]) -> None:
    assert_same(wrong, values(2, 3))


def test_sums_are_no_views() -> None:
    """A result that is no view counts writes by itself."""
    for module in (torch, refgrad):
        x = module.tensor(np.ones((2, 3)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y = module.einsum("ij->i", x)
        y.add_(1)
        assert (x._version, y._version) == (0, 1)
