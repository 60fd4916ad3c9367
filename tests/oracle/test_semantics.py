"""The table of semantics: its rows, what programs exercise, and the tests that it names."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import tests.refgrad.semantics as semantics_tests
from oracle import engines
from oracle.coverage import table, verified
from oracle.execute import run
from oracle.program import Backward, Call, Enter, Exit, Hook, Leaf, Literal, Program
from oracle.semantics import ROWS, events, exercised
from oracle.semantics.tested import CASES
from tests.refgrad.semantics import rows as tagged

TORCH = engines.get("torch")
LEAF = Leaf(Literal("float64", (2,), (1.0, 2.0)), True, "contiguous")


def program(*statements: Any) -> Program:
    return Program((LEAF,), statements)


def test_the_table_is_whole() -> None:
    assert [row.number for row in ROWS] == [n for n in range(1, 218) if n not in (38, 50)]
    assert all(row.topic and row.section for row in ROWS)


def test_the_cases_that_the_table_names_are_those_that_are_tagged() -> None:
    folder = Path(semantics_tests.__path__[0])
    for path in folder.glob("test_*.py"):
        importlib.import_module(f"tests.refgrad.semantics.{path.stem}")
    found: dict[int, set[tuple[str, str]]] = {}  # a module may be there twice, under other names
    for module, cases in tagged.CASES.items():
        for case in cases:
            for row in tagged.ROWS[case]:
                found.setdefault(row, set()).add((module.rpartition(".")[2], case.__name__))
    assert {row: dict(Counter(stem for stem, _ in cases)) for row, cases in found.items()} == CASES


def test_each_row_is_verified_or_says_what_it_waits_for() -> None:
    assert not [row for row in ROWS if not (row.events or row.number in CASES or row.waits)]


def test_a_row_without_anything_shows_as_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oracle.coverage.CASES", {})
    rows = verified({"1": [3, 1]})
    assert rows[0].how == "3 programs" and not rows[0].untested
    assert rows[1].untested
    text = table(rows)
    assert "UNTESTED" in text and "3 programs; 1 findings" in text


WRITE = Call("mul_", (1, 0), {}, 0)


@pytest.mark.parametrize(
    ("statements", "event", "row"),
    [
        ([Call("exp", (0,), {}, 1), Backward((1,), (0,), None, False, None)], "backward gradient requires grad", 2),
        ([Call("exp", (0,), {}, 1), WRITE], "write to a result", 74),
        ([Call("mul_", (0, 0), {}, 0)], "write to a leaf raises", 81),
        ([Call("exp", (0,), {}, 1), Call("unbind", (1,), {"dim": 0}, 2), Call("exp_", (2,), {}, 0)],
         "write to one of several views raises", 93),
        ([Enter("no_grad"), Call("select", (0,), {"dim": 0, "index": 0}, 1), Exit(), Call("exp_", (1,), {}, 0)],
         "write to a view made in no_grad raises", 97),
        ([Enter("inference_mode"), Call("exp", (0,), {}, 1), Exit(), Call("exp_", (1,), {}, 0)],
         "write to an inference tensor raises", 69),
        ([Hook(0, "tensor", (0,), "observe", None), Backward((0,), (0,), None, False, None)], "hook called", 110),
        ([Backward((0,), (None,), None, False, None)], "backward implicit gradient raises", 16),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_what_programs_exercise(statements: list[Any], event: str, row: int) -> None:
    written = program(*statements)
    trace = run(written, TORCH)
    assert event in events(written, trace)
    assert row in exercised(written, trace)


def test_statements_that_are_skipped_exercise_nothing() -> None:
    written = program(Call("custom_raising_forward", (0,), {}, 1), Call("tanh_", (1,), {}, 0))
    assert "op tanh_" not in events(written, run(written, TORCH))
