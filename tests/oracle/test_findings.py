"""The documents a run leaves: nothing is lost on the way through JSON, nothing wrong is taken for one."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.findings import (
    Finding,
    FindingError,
    Origin,
    RunDocument,
    Shrink,
    Side,
    encode,
    read_finding,
    read_json,
    read_run,
    write_findings,
    write_json,
    write_text,
)
from oracle.program import Backward, Call, Leaf, Literal, Program

PROGRAM = Program(
    (Leaf(Literal("float64", (2,), (0.1, math.nan)), True, "contiguous"),),
    (
        Call("sin", (0,), {}, 1),
        Backward((1,), (Literal("float64", (2,), (1.0, -math.inf)),), None, False, None),
    ),
)
FINDING = Finding(
    kind="gradient",
    op="sin",
    statement=1,
    tensor=0,
    what="grad",
    message="t0.grad: 1 of 2 elements differ",
    signature="gradient:sin:grad:float64",
    subject=Side("refgrad", "0.1.0", "[0.1, nan]"),
    oracle=Side("torch", "2.13.0", "[-0.1, nan]"),
    elements=(
        {"index": (0,), "subject": 0.1, "oracle": -0.1, "difference": 0.2, "ulps": math.inf, "bound": 1e-300},
        {"index": (1,), "subject": 3, "oracle": True, "difference": 2.0, "ulps": None, "bound": 0.0},
        {"index": (), "subject": 1 + 2j, "oracle": 1j, "difference": 1.0, "ulps": 4.0, "bound": 0.0},
    ),
    program=PROGRAM,
    original=PROGRAM,
    repro="print('\N{SNOWMAN}')\n",
    origin=Origin(7, 3, 41),
    members=2,
    plant=None,
    shrink=Shrink(9, 2, 120, 31),
)
SUMMARY = {
    "programs": 250,
    "seconds": 1.5,
    "findings": 1,
    "discarded": {"duplicate": 2},
    "escalated": 4,
    "ops": {"sin": 12, "cos": 0},
    "semantics": {"1": [3, 0]},
    "versions": {"torch": "2.13.0"},
    "seed": -1,
    "examples": None,
    "profile": "default",
    "subject": "refgrad",
    "oracle": "torch",
    "jobs": 2,
    "plant": None,
    "statements": 2000,
    "interrupted": False,
}


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def test_a_finding_survives_json() -> None:
    assert Finding.from_json(through_json(FINDING.to_json())) == FINDING


def test_a_run_of_before_has_no_semantics_and_wrong_ones_are_refused() -> None:
    data = through_json(RunDocument(SUMMARY, (FINDING,)).to_json())
    del data["summary"]["semantics"]
    assert RunDocument.from_json(data).summary["semantics"] == {}
    data["summary"]["semantics"] = {"1": [3]}
    with pytest.raises(FindingError, match="expected two counts for 1, got 1"):
        RunDocument.from_json(data)


def test_a_run_survives_json_with_summary_entries_that_are_not_known() -> None:
    run = RunDocument({**SUMMARY, "mood": "good"}, (FINDING,))
    assert RunDocument.from_json(through_json(run.to_json())) == run


@pytest.mark.parametrize("value", [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf])
def test_floats_are_stored_to_the_bit(value: float) -> None:
    text = encode(value)
    assert isinstance(text, str)
    assert float.fromhex(text).hex() == value.hex()


def test_nan_is_stored_as_text() -> None:
    assert encode({"a": [math.nan, 1, True, None, "x"]}) == {"a": ["nan", 1, True, None, "x"]}


def test_the_id_depends_on_bucket_and_program_only() -> None:
    assert replace(FINDING, members=99, message="else", plant="else").id == FINDING.id
    assert replace(FINDING, signature="else").id != FINDING.id
    assert replace(FINDING, program=replace(PROGRAM, statements=PROGRAM.statements[:1])).id != FINDING.id


def test_findings_of_the_first_schema_are_read_and_keep_their_names() -> None:
    """Members of statements that schema 1 did not know are left out where they say nothing."""
    data = through_json(FINDING.to_json())
    assert data["program"]["statements"] == [
        {"kind": "call", "op": "sin", "inputs": [0], "params": {}, "outputs": 1},
        {
            "kind": "backward",
            "roots": [1],
            "gradients": [{"dtype": "float64", "shape": [2], "data": ["0x1.0000000000000p+0", "-inf"]}],
            "retain_graph": None,
            "create_graph": False,
            "inputs": None,
        },
    ]
    assert Finding.from_json({**data, "schema": 1}).id == FINDING.id


def changed(path: str, value: Any) -> dict[str, Any]:
    """The finding's JSON with one entry replaced; "-" in the value removes it."""
    data = through_json(FINDING.to_json())
    *parents, last = path.split(".")
    place = data
    for parent in parents:
        place = place[int(parent) if parent.isdigit() else parent]
    if value == "-":
        del place[last]
    else:
        place[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("schema", 3, "schema 3 is newer than 2"),
        ("schema", 0, "expected schema 1"),
        ("schema", True, "expected schema 1"),
        ("schema", "-", "expected schema 1"),
        ("kind", "-", "missing kind"),
        ("kind", 3, "finding.kind: expected a string, got 3"),
        ("id", "../../etc/pwd", "finding.id: expected 12 hex digits"),
        ("id", "0" * 12, "does not belong to this program"),
        ("statement", -1, "finding.statement: expected an integer that is not negative"),
        ("statement", True, "finding.statement"),
        ("subject", [], "finding.subject: expected an object"),
        ("subject.version", None, "finding.subject.version: expected a string"),
        ("elements.0.index", [-1], "finding.elements[0].index"),
        ("elements.0.subject", "0x", "finding.elements[0].subject"),
        ("elements.0.subject", "0x1p99999", "finding.elements[0].subject"),
        ("elements.0.subject", 0.5, "finding.elements[0].subject"),
        ("elements.0.ulps", {}, "finding.elements[0].ulps"),
        ("origin.seed", "0", "finding.origin.seed: expected an integer"),
        ("shrink.reducer_calls", 1.0, "finding.shrink.reducer_calls"),
        ("members", -1, "finding.members"),
        ("program", 5, "finding.program"),
        ("program.leaves", [], "finding.program"),
        ("program.statements.0.op", "__import__('os')", "finding.program"),
        ("original.statements.0.inputs", [7], "finding.original"),
    ],
)
def test_what_is_no_finding_is_named_by_its_place(path: str, value: Any, words: str) -> None:
    data = changed(path, value)
    with pytest.raises(FindingError) as caught:
        Finding.from_json(data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (json.dumps(FINDING.to_json()).encode()[:-40], "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"schema": NaN}', "not strict JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[]", "expected an object"),
        (b"1" * 10_000, "not JSON"),
    ],
)
def test_a_file_that_is_no_finding_gives_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "finding.json"
    path.write_bytes(content)
    with pytest.raises(FindingError) as caught:
        read_finding(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_no_findings(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(FindingError, match="no such file"):
            read_json(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FindingError, match="no such file"):
        read_json(tmp_path / "pipe")


def test_a_run_names_the_finding_that_is_wrong(tmp_path: Path) -> None:
    data = RunDocument(SUMMARY, (FINDING, FINDING)).to_json()
    data["findings"][1]["op"] = None
    write_json(tmp_path / "run.json", data)
    with pytest.raises(FindingError, match=r"run\.json\.findings\[1\]\.op: expected a string"):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize("name", sorted(SUMMARY.keys() - {"interrupted", "semantics"}))
def test_a_run_needs_all_of_its_summary(name: str) -> None:
    data = RunDocument({key: value for key, value in SUMMARY.items() if key != name}).to_json()
    with pytest.raises(FindingError, match=f"missing {name}"):
        RunDocument.from_json(data)


def test_findings_are_written_with_their_scripts(tmp_path: Path) -> None:
    paths = write_findings(tmp_path, [FINDING])
    assert sorted(path.name for path in paths) == [f"{FINDING.id}.json", f"{FINDING.id}_repro.py"]
    assert read_finding(tmp_path / f"{FINDING.id}.json") == FINDING
    assert (tmp_path / f"{FINDING.id}_repro.py").read_text(encoding="utf-8") == FINDING.repro


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text(tmp_path / "file", "before")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_strict_json_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"a": math.nan})
    assert list(tmp_path.iterdir()) == []
