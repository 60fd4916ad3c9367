"""What refgrad has of torch's operator database agrees with torch; `make conformance` runs all samples."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import refgrad
from oracle.cli import main
from oracle.conformance.database import Entry, entries
from oracle.conformance.left_out import LEFT_OUT
from oracle.conformance.sweep import Row, row, sweep
from oracle.conformance.table import facts, line, totals, wrong
from oracle.conformance.translate import Translator, Untranslatable, counterpart

SAMPLES = 3
ENTRIES = entries()
BY_LABEL = {entry.label: entry for entry in ENTRIES}
PARTS = [ENTRIES[start::12] for start in range(12)]


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_first_samples_agree(part: int) -> None:
    rows = list(sweep(refgrad, PARTS[part], most=SAMPLES))
    assert len(rows) == len(PARTS[part])
    assert [line(r) for r in rows if wrong(r)] == []


def test_all_entries_are_known() -> None:
    assert len(ENTRIES) == 540 or not torch.__version__.startswith("2.13")
    assert set(LEFT_OUT) <= set(BY_LABEL) or not torch.__version__.startswith("2.13")


@pytest.mark.parametrize("label", LEFT_OUT)
def test_what_is_left_out_does_not_agree(label: str) -> None:
    assert not row(refgrad, BY_LABEL[label], "float64", None, True).passes_second


def _altered(name: str, function: Any) -> Any:
    """refgrad with one function replaced."""
    return SimpleNamespace(**{**vars(refgrad), name: function})


def _row(engine: Any, label: str) -> Row:
    return row(engine, BY_LABEL[label], "float64", SAMPLES, True)


def test_defects_are_seen() -> None:
    sin = refgrad.sin
    assert _row(refgrad, "sin").passes_second
    found = _row(_altered("sin", lambda x: sin(x) + 1e-3), "sin")
    assert found.agreeing == 0 and "values 0: " in str(found.reason) and wrong(found)
    found = _row(_altered("sin", lambda x: sin(x.detach()) + x - x.detach()), "sin")
    assert found.agreeing == 0 and "gradients 0: " in str(found.reason) and wrong(found)
    first_only = _altered("sin", lambda x: sin(x.detach()) + (x - x.detach()) * x.detach().cos())
    found = _row(first_only, "sin")
    assert found.passes and not found.passes_second and wrong(found)
    found = _row(_altered("sin", lambda x: 1 / 0), "sin")
    assert found.reason == "ZeroDivisionError: division by zero" and wrong(found)
    assert "0 of 1 samples agree" in line(found)


def test_what_is_not_there_is_missing() -> None:
    engine = _altered("sin", None)
    engine.Tensor = type("Tensor", (refgrad.Tensor,), {"sin": None})
    found = _row(engine, "sin")
    assert found.missing and not wrong(found) and line(found) == "sin: not there yet"
    assert "0 of 1 entries agree" in totals([found]) and "1 not there yet" in totals([found])
    assert facts([found])[0]["missing"] is True


def test_samples_keep_layout_identity_and_flags() -> None:
    x = torch.arange(12.0, dtype=torch.float64).reshape(3, 4)
    strided = x.t()[1:].detach().requires_grad_()
    translator = Translator(refgrad)
    made, again = translator.value([strided, {"same": strided}])
    assert again["same"] is made and made.requires_grad and made.is_leaf
    assert made.tolist() == strided.tolist()
    assert (made.stride(), made.storage_offset()) == (strided.stride(), strided.storage_offset())
    expanded = translator.value(torch.ones(1, 2).expand(3, 2))
    assert expanded.stride() == (0, 1)
    assert translator.value((torch.float32, torch.Size([2]), slice(1), 3)) == (refgrad.float32, (2,), slice(1), 3)
    with pytest.raises(Untranslatable, match="Generator"):
        translator.value(torch.Generator())


def test_functions_of_torchs_tests_call_the_engine() -> None:
    entry: Entry = next(e for e in ENTRIES if str(e.info.op.__module__).endswith("common_methods_invocations"))
    bound = counterpart(entry.name, entry.info.op, Translator(refgrad))
    assert bound is not entry.info.op and bound.__code__ is entry.info.op.__code__
    assert bound.__globals__.get("torch", refgrad) is refgrad


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    path = tmp_path / "ops.json"
    assert main(["ops", "--only", "sin,cos", "--samples", "2", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "cos: 2 samples agree, 2 of them in second order too" in out and "2 of 2 entries agree" in out
    assert {fact["entry"] for fact in json.loads(path.read_text())["ops"]} == {"sin", "cos"}
    assert main(["ops", "--only", "sine"]) == 2
    assert "no entry 'sine'" in capsys.readouterr().err
