"""Numbers and programs as text."""

import math

import numpy
import pytest

from reports import wording
from reports.listing import lines
from tests.reports.documents import backward, call, document, leaf, literal, program, several


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 s"),
        (0.01234, "0.0123 s"),
        (0.4, "0.4 s"),
        (12.3456, "12.3 s"),
        (99.96, "100 s"),
        (123.4, "123 s"),
        (86412.7, "86,413 s"),
        (math.inf, "inf s"),
        (None, "–"),
    ],
)
def test_seconds_have_three_significant_digits(number, text):
    assert wording.seconds(number) == text


@pytest.mark.parametrize("value", [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, math.inf, -math.inf])
def test_decimals_of_hex_floats_read_back_as_the_same_float(value):
    assert float(wording.decimal(value.hex() if math.isfinite(value) else str(value))).hex() == value.hex()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("nan", "nan"),
        (True, "True"),
        (7, "7"),
        (None, "–"),
        (["0x1.8p+0", "-0x1p+1"], "(1.5, -2.0)"),
        ("add", "add"),
        ("face", "face"),
        ("0x1p+99999999", "0x1p+99999999"),
    ],
)
def test_other_values_are_shown_as_they_are(value, text):
    assert wording.decimal(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1.1e-15).hex(), "1.10e-15"),
        (0.0, "0"),
        (3, "3"),
        (123456.7, "123,457"),
        (0.25, "0.25"),
        ("inf", "inf"),
        ("nan", "nan"),
        (9007199254740992, "9.01e+15"),
        (None, "–"),
    ],
)
def test_errors_have_three_significant_digits(value, text):
    assert wording.approximate(value) == text


@pytest.mark.parametrize(("index", "text"), [([], "–"), ([3], "[3]"), ([0, 1], "[0, 1]"), (5, "5")])
def test_positions(index, text):
    assert wording.position(index) == text


def test_counts_have_thousands_separators():
    assert wording.count(1234567) == "1,234,567"
    assert wording.count(None) == "–"
    assert wording.counted(1, "program") == "1 program"
    assert wording.counted(2000, "discrepancy", "discrepancies") == "2,000 discrepancies"


@pytest.mark.parametrize(
    ("findings", "start"),
    [
        (0, "No discrepancy in 2,000 programs"),
        (1, "1 discrepancy in"),
        (2, "2 discrepancies in 2,000 programs"),
    ],
)
def test_the_verdict_is_one_sentence(findings, start):
    what, details = wording.verdict(document()["summary"], findings)
    assert what.startswith(start)
    assert details == "refgrad 0.1.0 against torch 2.13.0, seed 0, 12.3 s"


def test_parameters_read_as_they_would_be_written():
    index = [
        {"slice": [1, None, None]},
        {"slice": [None, 4, 2]},
        {"ellipsis": True},
        {"newaxis": True},
        {"tensor": 1},
    ]
    given = {
        "dim": [0, -1],
        "keepdim": True,
        "correction": None,
        "equation": "ij,jk",
        "value": 0.5,
        "index": index,
    }
    assert wording.parameters(given) == [
        "dim=[0, -1]",
        "keepdim=True",
        "correction=None",
        "equation='ij,jk'",
        "value=0.5",
        "index=[1:, :4:2, ..., None, input 1]",
    ]


def test_literals_are_cut_after_a_few_values():
    assert wording.literal(literal([2], [1.0, -0.5])) == "float64[2](1.0, -0.5)"
    assert wording.literal(literal([10], list(range(10)), "int64")).endswith("6, 7, … 2 more)")
    assert wording.literal(None) == "None"


@pytest.mark.parametrize("name", ["float16", "float32"])
def test_literals_are_as_short_as_their_dtype_allows(name):
    dtype = getattr(numpy, name)
    top = numpy.finfo(dtype)
    given = [dtype(x) for x in (0.1, -1 / 3, 0.0, -0.0, top.max, top.tiny, top.smallest_subnormal, 1234.5)]
    text = wording.literal(literal([8], [float(x) for x in given], name))
    shown = text.removeprefix(f"{name}[8](").removesuffix(")").split(", ")
    assert shown[0] == "0.1"
    assert [dtype(x).tobytes() for x in shown] == [x.tobytes() for x in given]
    assert all(len(x.strip("-").split("e")[0]) <= 12 for x in shown)


def test_a_program_is_listed_line_by_line():
    listed = lines(
        program(
            [leaf([2], [1.0, 2.0], layout="strided"), leaf([], [True], "bool", requires_grad=False)],
            {"kind": "enter", "mode": "no_grad"},
            call("split", 0, split_size_or_sections=1, outputs=2),
            {"kind": "exit"},
            call("add", 2, 3, alpha=2),
            {"kind": "retain_grad", "tensor": 4},
            backward(4, gradients=[literal([1], [0.5])], retain_graph=True, inputs=[0]),
            {"kind": "zero_grad", "tensor": 0, "how": "zero_"},
            {"kind": "zero_grad", "tensor": 0, "how": "none"},
            {"kind": "requires_grad", "tensor": 0, "value": False},
        ),
        5,
    )
    assert [(line.number, line.text) for line in listed] == [
        ("", "t0 = float64[2](1.0, 2.0), strided, requires_grad"),
        ("", "t1 = bool[](True)"),
        ("0", "with no_grad:"),
        ("1", "    t2, t3 = split(t0, split_size_or_sections=1)"),
        ("2", "# end of with"),
        ("3", "t4 = add(t2, t3, alpha=2)"),
        ("4", "t4.retain_grad()"),
        ("5", "backward(roots=[t4], gradients=[float64[1](0.5)], retain_graph=True, inputs=[t0])"),
        ("6", "t0.grad.zero_()"),
        ("7", "t0.grad = None"),
        ("8", "t0.requires_grad_(False)"),
    ]
    assert [line.number for line in listed if line.marked] == ["5"]


def test_a_grad_statement_is_listed_with_what_it_makes():
    texts = [line.text for line in lines(several()[4]["program"])]
    assert (
        texts[2]
        == "t2 = grad(outputs=[t1], inputs=[t0], gradients=[float64[3](1.0, 1.0, 2.0)], create_graph=True)"
    )
    assert texts[4] == "backward(roots=[t2])"
