"""The figures of `refgrad stats`, on programs small enough to count by hand."""

import json
from math import log2

import pytest

from oracle.catalogue import CATALOGUE
from oracle.program import Backward, Call, Enter, Exit, Leaf, Literal, Program, ZeroGrad
from oracle.stats import ASPECTS, describe, distribution

SHORT = Program((Leaf(Literal("float32", (), (1.0,)), False, "contiguous"),), ())
LONG = Program(
    (
        Leaf(Literal("float64", (2, 0), ()), True, "strided"),
        Leaf(Literal("float64", (7,), (1.0,) * 7), True, "contiguous"),
    ),
    (
        Call("sin", (0,), {}, 1),
        Call("mul", (2, 2), {}, 1),
        Enter("no_grad"),
        Call("mul", (3, 0), {}, 1),
        Exit(),
        ZeroGrad(0, "none"),
        Backward((3,), (Literal("float64", (2, 0), ()),), None, True, None),
    ),
)


def counts(aspect):
    values = describe([SHORT, LONG])["distributions"][aspect]["values"]
    return {value: row["count"] for value, row in values.items()}


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [
        ("ops", {"mul": 2, "sin": 1}),
        (
            "statements besides ops",
            {"backward, create_graph": 1, "exit": 1, "no_grad": 1, "zero_grad, none": 1},
        ),
        ("operand distance", {"1": 3, "2": 1, "4": 1}),
        ("sharing", {"0": 3, "1": 2, "2": 1}),
        ("repeated operands", {"0": 2, "1": 1}),
        ("length", {"0": 1, "3": 1}),
        ("depth", {"0": 1, "3": 1}),
        ("leaves", {"1": 1, "2": 1}),
        ("dims", {"0": 1, "1": 1, "2": 2}),
        ("sizes", {"0": 2, "2": 2, "6 to 10": 1}),
        ("elements", {"0": 2, "1": 1, "7 to 24": 1}),
        ("dtypes", {"float64": 2, "float32": 1}),
        ("layouts", {"contiguous": 2, "strided": 1}),
        ("requires_grad", {"True": 2, "False": 1}),
    ],
)
def test_counts(aspect, expected):
    assert counts(aspect) == expected


def test_every_aspect_is_counted_above():
    assert len(ASPECTS) == 14
    assert set(describe([SHORT])["distributions"]) == set(ASPECTS)


def test_totals():
    figures = describe([SHORT, LONG])
    assert (figures["programs"], figures["statements"]) == (2, 7)
    assert json.loads(json.dumps(figures)) == figures


def test_entropy():
    even = distribution({"a": 5, "b": 5, "c": 5, "d": 5})
    assert even["entropy"] == pytest.approx(2) and even["evenness"] == pytest.approx(1)
    assert even["values"]["a"] == {"count": 5, "share": 0.25}
    skewed = distribution({"a": 3, "b": 1, "never": 0})
    assert skewed["entropy"] == pytest.approx(-0.75 * log2(0.75) - 0.25 * log2(0.25))
    assert skewed["evenness"] == pytest.approx(skewed["entropy"])
    assert list(skewed["values"]) == ["a", "b"]
    only = distribution({"a": 3})
    assert (only["entropy"], only["evenness"]) == (0.0, 1.0)


def test_numbers_come_in_order_and_names_by_count():
    assert list(distribution({10: 1, 9: 1, 2: 5})["values"]) == ["2", "9", "10"]
    assert list(distribution({"x": 1, "a": 1, "z": 2})["values"]) == ["z", "a", "x"]


def test_text():
    text = str(describe([SHORT, LONG]))
    assert text.startswith("2 programs, 7 statements\n")
    assert "ops: 3 in 2 values, entropy 0.92 bits, evenness 0.92" in text
    assert "  mul         2   66.67%  ################" in text
    for aspect in ASPECTS:
        assert f"\n{aspect}: " in text


def test_long_tables_are_cut_in_the_text_only():
    calls = tuple(Call(op, (0,), {}, 1) for op in list(CATALOGUE)[:17])
    program = Program(SHORT.leaves, calls)
    figures = describe([program])
    assert len(figures["distributions"]["ops"]["values"]) == 17
    assert "(5 others)" in str(figures)
    assert "(3 others)" not in str(figures)


def test_nothing():
    figures = describe([])
    assert figures["programs"] == 0
    assert "0 programs" in str(figures)
