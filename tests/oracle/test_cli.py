"""The command line: what it prints, what it leaves behind, what it answers with."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import refgrad
from oracle import campaign, cli
from oracle.campaign import Config, WorkerDied
from oracle.catalogue import CATALOGUE
from oracle.cli import duration, main, plain
from oracle.findings import SCHEMA, RunDocument, read_finding, read_run, write_json
from oracle.generate import PROFILES
from oracle.words import command_line
from refgrad.testing import PLANTS
from tests.oracle.broken import TORCH, Altered, hooked, scaled

FUZZ = ["fuzz", "--subject", "torch", "--examples", "20"]


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Altered], None]]:
    """Puts an engine in refgrad's place, in this process."""
    engines: dict[str, object] = {"torch": TORCH, "refgrad": TORCH}

    def become(altered: Altered) -> None:
        engines["refgrad"] = altered

    monkeypatch.setattr("oracle.engines.get", engines.__getitem__)
    yield become


WRONG_SIGN = Altered("cumsum", hooked(torch.neg))


@pytest.fixture
def report(
    tmp_path: Path, subject: Callable[[Altered], None], capsys: pytest.CaptureFixture[str]
) -> tuple[Path, str]:
    """The folder and the words of a run with one finding."""
    subject(WRONG_SIGN)
    assert main(["fuzz", "--examples", "300", "--report", str(tmp_path / "out" / "of" / "it")]) == 1
    return tmp_path / "out" / "of" / "it", capsys.readouterr().out


# Exit codes and words


def test_nothing_found_is_0_and_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FUZZ) == 0
    out, err = capsys.readouterr()
    assert out.startswith("no findings in 20 programs (")
    assert f"of {len(CATALOGUE)} ops, " in out
    assert "seed 0, profile default" in out
    assert f"torch {torch.__version__} against torch {torch.__version__}" in out
    assert out.endswith("again: refgrad fuzz --seed 0 --examples 20 --subject torch\n")
    assert err == ""


def test_a_finding_is_1_and_is_shown(report: tuple[Path, str]) -> None:
    folder, out = report
    assert out.startswith("1 finding in 300 programs (")
    assert "1. gradient of cumsum, in " in out
    assert re.search(r"shrunk from \d+ statements to 2\n", out)
    assert "torch.cumsum(" in out
    assert re.search(rf"{re.escape(str(folder))}/findings/[0-9a-f]{{12}}\.json", out)
    assert f"report: {folder}" in out


def test_a_report_holds_the_run_the_findings_and_their_scripts(report: tuple[Path, str]) -> None:
    folder, _ = report
    run = read_run(folder / "run.json")
    assert run.summary["programs"] == 300
    (finding,) = run.findings
    assert sorted(path.name for path in (folder / "findings").iterdir()) == [
        f"{finding.id}.json",
        f"{finding.id}_repro.py",
    ]
    assert read_finding(folder / "findings" / f"{finding.id}.json") == finding
    assert (folder / "findings" / f"{finding.id}_repro.py").read_text() == finding.repro
    compile(finding.repro, "repro", "exec")
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_an_old_report_is_replaced_and_other_files_are_left_alone(
    report: tuple[Path, str], subject: Callable[[Altered], None]
) -> None:
    folder, _ = report
    for name in ("notes.txt", "findings/mine.json"):
        (folder / name).write_text("keep")
    subject(Altered("none", scaled(1.0)))
    assert main(["fuzz", "--examples", "20", "--report", str(folder)]) == 0
    assert [path.name for path in (folder / "findings").iterdir()] == ["mine.json"]
    assert (folder / "notes.txt").read_text() == "keep"
    assert read_run(folder / "run.json").findings == ()


def test_renderers_get_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(document: dict[str, Any], directory: Path) -> list[Path]:
        (directory / "page.txt").write_text(str(document["summary"]["programs"]))
        return [directory / "page.txt"]

    monkeypatch.setattr("oracle.renderers.renderers", lambda: {"page": page})
    assert main([*FUZZ, "--report", str(tmp_path)]) == 0
    assert (tmp_path / "page.txt").read_text() == "20"


def test_a_renderer_that_fails_is_3_and_the_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def page(document: dict[str, Any], directory: Path) -> list[Path]:
        raise RuntimeError("out of ink")

    monkeypatch.setattr("oracle.renderers.renderers", lambda: {"page": page})
    assert main([*FUZZ, "--report", str(tmp_path)]) == 3
    assert "out of ink" in capsys.readouterr().err
    assert read_run(tmp_path / "run.json").summary["programs"] == 20


def test_json_holds_the_summary(tmp_path: Path) -> None:
    assert main([*FUZZ, "--seed", "3", "--json", str(tmp_path / "run.json")]) == 0
    summary = json.loads((tmp_path / "run.json").read_text())
    assert summary["schema"] == SCHEMA
    assert {"programs", "seconds", "findings", "discarded", "ops", "versions", "seed"} <= summary.keys()
    assert (summary["programs"], summary["findings"], summary["seed"]) == (20, 0, 3)
    assert summary["ops"].keys() == CATALOGUE.keys()


def test_the_last_line_repeats_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    main([*FUZZ, "--seed", "9", "--profile", "smoke", "--ops", "sin, mul,sum", "--json", str(first)])
    *_, last = capsys.readouterr().out.splitlines()
    words = last.removeprefix("again: refgrad ").split()
    assert main([*words, "--json", str(again)]) == 0
    summaries = [json.loads(path.read_text()) for path in (first, again)]
    for summary in summaries:
        del summary["seconds"]
    assert summaries[0] == summaries[1]


def test_a_run_ended_by_time_is_repeated_by_its_number_of_programs() -> None:
    config = Config(
        examples=None, seconds=5, subject="torch", oracle="refgrad", plant="x", ops=("sin", "cos")
    )
    assert command_line(config, 750) == (
        "refgrad fuzz --seed 0 --examples 750 --ops sin,cos --subject torch --oracle refgrad --plant x"
    )


def test_no_program_is_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nothing(config: Config, progress: object) -> RunDocument:
        facts = campaign.summary(config, campaign.Tally(), []) | {
            "seconds": 0.1,
            "jobs": 1,
            "interrupted": False,
        }
        return RunDocument(facts)

    monkeypatch.setattr(campaign, "run_campaign", nothing)
    assert main(FUZZ) == 3
    assert "no program was run" in capsys.readouterr().err


def test_a_dead_worker_is_3_and_what_was_found_is_kept(
    tmp_path: Path,
    subject: Callable[[Altered], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    subject(WRONG_SIGN)
    complete = campaign.run_campaign

    def dying(config: Config, progress: object) -> RunDocument:
        raise WorkerDied("a worker process died, in shard 7", complete(config))

    monkeypatch.setattr(campaign, "run_campaign", dying)
    assert main(["fuzz", "--examples", "300", "--report", str(tmp_path)]) == 3
    out, err = capsys.readouterr()
    assert "shard 7" in err
    assert "cumsum" in out
    assert len(read_run(tmp_path / "run.json").findings) == 1


def test_a_harness_that_fails_is_3_with_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(task: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(campaign, "run_shard", fail)
    assert main(FUZZ) == 3
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "ZeroDivisionError: inside" in err
    assert err.splitlines()[-1] == "refgrad: the harness failed; this says nothing about the engines"


@pytest.mark.parametrize(("found", "code"), [(True, 1), (False, 130)])
def test_an_interrupted_run_answers_by_what_it_found(
    found: bool,
    code: int,
    subject: Callable[[Altered], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if found:
        subject(WRONG_SIGN)
    complete = campaign.run_campaign

    def cut(config: Config, progress: object) -> RunDocument:
        document = complete(config)
        return RunDocument(document.summary | {"interrupted": True}, document.findings)

    monkeypatch.setattr(campaign, "run_campaign", cut)
    assert main(["fuzz", "--examples", "300"]) == code
    assert ", interrupted\n" in capsys.readouterr().out


def test_an_interrupt_anywhere_else_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(config: Config, progress: object) -> RunDocument:
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign, "run_campaign", interrupted)
    assert main(FUZZ) == 130


# Bad usage


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fuzz", "--ops", "sinn"], ["unknown op 'sinn'", "did you mean 'sin'?", "allowed: abs, acos, "]),
        (["fuzz", "--ops", ","], ["names no op"]),
        (
            ["fuzz", "--subject", "torhc"],
            ["unknown engine 'torhc'", "did you mean 'torch'?", "refgrad, torch"],
        ),
        (["fuzz", "--oracle", ""], ["unknown engine ''", "allowed: refgrad, torch"]),
        (
            ["fuzz", "--profile", "defualt"],
            ["unknown profile 'defualt'", "did you mean 'default'?", *PROFILES],
        ),
        (["fuzz", "--plant", "no"], ["unknown planted defect 'no'", *PLANTS]),
        (["fuzz", "--plant", min(PLANTS), "--subject", "torch"], ["planted into refgrad as the subject"]),
        (["fuzz", "--plant", min(PLANTS), "--oracle", "refgrad"], ["planted into refgrad as the subject"]),
        (["stats", "--profile", "x"], ["unknown profile 'x'"]),
        (["fuzz", "--ops", "sin\x1b[2J\n"], [r"unknown op 'sin\x1b[2J"]),
    ],
)
def test_unknown_names_are_2_with_the_names_there_are(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fizz"],
        ["fuzz", "--examples", "0"],
        ["fuzz", "--examples", "-5"],
        ["fuzz", "--examples", "many"],
        ["fuzz", "--example", "5"],
        ["fuzz", "--time", "0"],
        ["fuzz", "--time", "soon"],
        ["fuzz", "--time", "-1s"],
        ["fuzz", "--time", "1e9"],
        ["fuzz", "--jobs", "0"],
        ["fuzz", "--jobs", "all"],
        ["fuzz", "--seed", "x"],
        ["fuzz", "extra"],
        ["replay"],
    ],
)
def test_what_cannot_be_parsed_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: refgrad" in capsys.readouterr().err


def test_places_that_cannot_be_written_are_2_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: Config, progress: object) -> RunDocument:
        raise AssertionError("ran")

    monkeypatch.setattr(campaign, "run_campaign", fail)
    (tmp_path / "file").write_text("mine")
    for option, place, words in (
        ("--report", "file", "cannot make the folder"),
        ("--report", "file/below", "cannot make the folder"),
        ("--json", "nowhere/run.json", "cannot write into"),
        ("--json", ".", "is a folder"),
    ):
        assert main([*FUZZ, option, str(tmp_path / place)]) == 2
        err = capsys.readouterr().err
        assert words in err
        assert err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("60s", 60), ("5m", 300), ("1h", 3600), ("0.5s", 0.5), ("1.5h", 5400)]
)
def test_times(text: str, seconds: float) -> None:
    assert duration(text) == seconds


# Replay


def test_replay_shows_the_difference(
    report: tuple[Path, str], subject: Callable[[Altered], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (report[0] / "findings").glob("*.json")
    assert main(["replay", str(path)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"refgrad against torch, finding {path.stem}\n")
    assert "torch.cumsum(" in out
    assert "not as recorded" not in out
    assert "planted" not in out
    subject(Altered("cumsum", torch.Tensor.detach))
    assert main(["replay", str(path)]) == 1
    assert "they differ, but not as recorded" in capsys.readouterr().out
    subject(Altered("none", scaled(1.0)))
    assert main(["replay", str(path)]) == 0
    assert "both sides agree now" in capsys.readouterr().out


def test_replay_refuses_what_is_no_finding(
    report: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (report[0] / "findings").glob("*.json")
    data = json.loads(path.read_text())
    for changes, words in (
        ({"schema": 9}, "newer"),
        ({"subject": data["subject"] | {"name": "os"}}, "unknown engine 'os'"),
        ({"plant": "bonsai"}, "unknown planted defect 'bonsai'"),
        ({"kind": None}, "kind: expected a string"),
    ):
        hostile = write_json(tmp_path / "hostile.json", data | changes)
        capsys.readouterr()
        assert main(["replay", str(hostile)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert words in err
        assert err.count("\n") == 1
    assert main(["replay", str(tmp_path / "none.json")]) == 2
    assert main(["replay", str(report[0] / "run.json")]) == 2


def test_texts_of_a_finding_cannot_steer_the_terminal(
    report: tuple[Path, str],
    tmp_path: Path,
    subject: Callable[[Altered], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (path,) = (report[0] / "findings").glob("*.json")
    hostile = json.loads(path.read_text()) | {"message": "\x1b[2J\x07\u202e gone"}
    subject(Altered("none", scaled(1.0)))
    assert main(["replay", str(write_json(tmp_path / "hostile.json", hostile))]) == 0
    assert r"\x1b[2J\x07\u202e gone" in capsys.readouterr().out


def test_plain_text_keeps_lines_and_letters() -> None:
    assert plain("a\tb\n\x00é\N{SNOWMAN}\udc80") == "a\\tb\n\\x00é\N{SNOWMAN}\\udc80"


# The other commands


def test_stats_describes_the_programs_that_fuzz_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", "--examples", "50", "--json", str(tmp_path / "stats.json")]) == 0
    assert capsys.readouterr().out.startswith("50 programs, ")
    figures = json.loads((tmp_path / "stats.json").read_text())
    main(["fuzz", "--subject", "torch", "--examples", "50", "--json", str(tmp_path / "run.json")])
    drawn = json.loads((tmp_path / "run.json").read_text())["ops"]
    assert {name: row["count"] for name, row in figures["distributions"]["ops"]["values"].items()} == {
        name: times for name, times in drawn.items() if times
    }


def test_plants_lists_every_defect(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plants"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(PLANTS)
    assert all(plant.description in "\n".join(lines) for plant in PLANTS.values())


def test_version_and_help_teach(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--version"], [f"refgrad {refgrad.__version__}"]),
        (["--help"], ["fuzz", "replay", "stats", "plants", "exit codes:", "130"]),
        (
            ["fuzz", "--help"],
            ["examples:", "--plant", "--report", "exit codes:", "whatever the number of jobs"],
        ),
        (["replay", "--help"], ["examples:", "_repro.py", "exit codes:"]),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        out = capsys.readouterr().out
        for word in words:
            assert word in out


# The real thing


def test_a_planted_defect_is_found_replayed_and_reproduced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fuzz", "--plant", "sin-sign", "--ops", "sin,mul,sum", "--examples", "100"]
    assert main([*arguments, "--report", str(tmp_path)]) == 1
    assert "planted defect sin-sign" in capsys.readouterr().out
    for path in (tmp_path / "findings").glob("*.json"):
        finding = read_finding(path)
        assert finding.plant == "sin-sign"
        assert len(finding.program.statements) <= 3
        assert main(["replay", str(path)]) == 1
        assert "with the planted defect 'sin-sign' in refgrad" in capsys.readouterr().out
        script = [sys.executable, str(path.with_name(f"{path.stem}_repro.py"))]
        root = str(Path(cli.__file__).parents[1])
        ran = subprocess.run(
            script, env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True, timeout=100
        )
        assert ran.returncode == 1, ran.stderr


def test_python_m_oracle_is_refgrad_and_a_closed_pipe_is_no_failure() -> None:
    root = str(Path(cli.__file__).parents[1])
    command = f"{sys.executable} -m oracle stats --examples 2000 --profile smoke | head -1"
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=root, capture_output=True, text=True, timeout=100
    )
    assert ran.stdout.startswith("2000 programs, ")
    assert ran.stderr == ""
