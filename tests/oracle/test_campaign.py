"""Campaigns: the outcome is the seed's alone, and nothing that was found gets lost on the way."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
import torch

from oracle import campaign
from oracle.campaign import Config, run_campaign
from oracle.progress import Progress
from oracle.shard import SIZE, ShardResult, ShardTask, run_shard
from tests.oracle.broken import TORCH, Altered, hooked, scaled

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, sys
from pathlib import Path

ODD = [123456789, 987654321, 0.123456789, b"odd bytes", "odd text"]  # constants for Hypothesis to notice


def die(task):
    import os

    if task.index == 1:
        os._exit(9)
    return run_shard(task)


def interrupt(task):
    import os, signal, time

    if task.index == 1:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.5)  # the parent is to see the signal before the result
    return run_shard(task)


from oracle import campaign
from oracle.shard import run_shard

if __name__ == "__main__":
    what, jobs, modules = sys.argv[1:4]
    for name in filter(None, modules.split(",")):
        __import__(name)
    if what != "run":
        campaign.run_shard = {"die": die, "interrupt": interrupt}[what]
        config = campaign.Config(examples=1000, jobs=int(jobs), subject="torch")
    else:
        campaign.SIZE = 30
        ops = ("sin", "mul", "sum")
        config = campaign.Config(examples=50, seed=11, jobs=int(jobs), ops=ops, plant="sin-sign")
    try:
        document = campaign.run_campaign(config).to_json()
    except campaign.WorkerDied as error:
        document = error.document.to_json() | {"died": str(error)}
    print(json.dumps(document, sort_keys=True))
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts the script above with other surroundings."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    (tmp_path / "surroundings.py").write_text(
        "A = [1000003, 2000003, 3000017, 0.7654321, b'sixteen bytes...']\n" * 9
    )

    def start(what: str, jobs: int, modules: str = "", **environment: str) -> "subprocess.Popen[str]":
        env = {key: value for key, value in os.environ.items() if key != "CI"} | environment
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(tmp_path)])
        return subprocess.Popen(
            [sys.executable, str(path), what, str(jobs), modules],
            env=env,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def outcome(process: "subprocess.Popen[str]") -> dict[str, object]:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return json.loads(out)


def test_a_seed_gives_the_same_whatever_the_surroundings(
    start: Callable[..., "subprocess.Popen[str]"],
) -> None:
    runs = [
        start("run", 1),
        start("run", 2, "surroundings,xml.dom.minidom", CI="true", PYTHONHASHSEED="5"),
        start("run", 1, "surroundings", HYPOTHESIS_PROFILE="ci", PYTHONHASHSEED="6", OMP_NUM_THREADS="2"),
    ]
    documents = [outcome(run) for run in runs]
    for document, jobs in zip(documents, (1, 2, 1), strict=True):
        summary = document["summary"]
        assert summary.pop("jobs") == jobs  # type: ignore[attr-defined]
        assert summary.pop("seconds") > 0  # type: ignore[attr-defined]
        assert summary["programs"] == 50  # type: ignore[index]
    assert documents[0]["findings"]
    assert documents[1] == documents[0]
    assert documents[2] == documents[0]


def test_a_worker_that_dies_is_named_with_its_shard(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    document = outcome(start("die", 2))
    assert "a worker process died, in" in str(document["died"])
    assert "shard 1" in str(document["died"])
    assert not document["summary"]["interrupted"]  # type: ignore[index]


def test_an_interrupt_waits_for_the_workers(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    document = outcome(start("interrupt", 2))
    assert document["summary"]["interrupted"]  # type: ignore[index]
    assert document["summary"]["programs"] in (2 * SIZE, 3 * SIZE)  # type: ignore[index]


# In this process


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Altered], None]]:
    """Puts an engine in refgrad's place, in this process."""
    engines: dict[str, object] = {"torch": TORCH, "refgrad": TORCH}

    def become(altered: Altered) -> None:
        engines["refgrad"] = altered

    monkeypatch.setattr("oracle.engines.get", engines.__getitem__)
    yield become


def quiet() -> Progress:
    return Progress(io.StringIO())


def run(**changes: object) -> "campaign.RunDocument":
    return run_campaign(replace(Config(), **changes), quiet())  # type: ignore[arg-type]


def test_the_summary_says_what_was_done(subject: Callable[[Altered], None]) -> None:
    summary = run(examples=260, seed=5, profile="smoke").summary
    assert summary["programs"] == summary["examples"] == 260
    assert summary["findings"] == 0
    assert (summary["seed"], summary["profile"], summary["jobs"]) == (5, "smoke", 1)
    assert (summary["subject"], summary["oracle"], summary["plant"]) == ("refgrad", "torch", None)
    assert summary["versions"].keys() == {"refgrad", "torch", "numpy", "hypothesis", "python"}
    assert sum(summary["ops"].values()) <= summary["statements"]
    assert not summary["interrupted"]


def test_one_defect_is_one_finding(subject: Callable[[Altered], None]) -> None:
    subject(Altered("cumsum", hooked(torch.neg)))
    document = run(examples=1000, profile="smoke")
    assert [finding.signature for finding in document.findings] == ["gradient:cumsum:grad:float64"]
    assert document.findings[0].members > 1
    assert len(document.findings[0].program.statements) == 2


def test_two_defects_of_one_bucket_are_two_findings(subject: Callable[[Altered], None]) -> None:
    class Both(Altered):
        """Wrong in the derivatives of two ops."""

        def call(self, spec: object, tensors: object, params: object) -> tuple[object, ...]:
            made = super().call(spec, tensors, params)  # type: ignore[arg-type]
            if spec.name in ("exp", "sin"):  # type: ignore[attr-defined]
                made = (hooked(lambda g: 3 * g)(made[0]), *made[1:])
            return made

    subject(Both("none", scaled(1.0)))
    document = run(examples=1000, profile="smoke")
    assert {finding.op for finding in document.findings} == {"exp", "sin"}
    assert all(len(finding.program.statements) == 2 for finding in document.findings)


def test_a_defect_of_no_op_is_one_finding(subject: Callable[[Altered], None]) -> None:
    class Forgetful(Altered):
        """Records under no_grad."""

        def mode(self, name: str) -> object:  # type: ignore[override]
            return torch.enable_grad()

    subject(Forgetful("none", scaled(1.0)))
    document = run(examples=500, profile="smoke")
    assert [(finding.kind, finding.op) for finding in document.findings] == [("mode", "enter")]
    assert document.findings[0].members > 10


def test_time_ends_a_run_after_a_whole_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[ShardTask] = []

    def note(task: ShardTask) -> ShardResult:
        tasks.append(task)
        return ShardResult(task.index, task.programs, 1, 0, {}, {}, {}, ())

    monkeypatch.setattr(campaign, "run_shard", note)
    assert run(examples=None, seconds=1e-9, subject="torch").summary["programs"] == SIZE
    assert run(examples=None, seconds=0.2, subject="torch").summary["programs"] > 2 * SIZE
    assert [task.index for task in tasks[1:4]] == [0, 1, 2]


def test_the_last_shard_holds_what_is_left() -> None:
    assert [task.programs for task in Config(examples=600).shards()] == [SIZE, SIZE, 100]
    assert [task.index for task in Config(examples=600).shards()] == [0, 1, 2]


def test_one_worker_a_cpu_but_four_shards_for_each() -> None:
    assert Config(jobs=None, examples=4 * SIZE).workers() == 1
    assert Config(jobs=None, examples=None).workers() >= 1
    assert Config(jobs=5).workers() == 5


def test_an_interrupt_ends_after_the_shard_and_keeps_its_findings(
    subject: Callable[[Altered], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(task: ShardTask) -> ShardResult:
        signal.raise_signal(signal.SIGINT)
        return run_shard(task)

    subject(Altered("tanh", scaled(2.0)))
    monkeypatch.setattr(campaign, "run_shard", interrupted)
    before = signal.getsignal(signal.SIGINT)
    document = run(examples=1000)
    assert signal.getsignal(signal.SIGINT) is before
    assert document.summary["interrupted"]
    assert document.summary["programs"] == SIZE
    assert [finding.op for finding in document.findings] == ["tanh"] or document.findings
    assert all(finding.shrink.hypothesis_calls == 0 for finding in document.findings)
    assert {"tanh"} <= {op for finding in document.findings for op in finding.op.split("+")}


def test_a_second_interrupt_ends_at_once(
    subject: Callable[[Altered], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(task: ShardTask) -> ShardResult:
        if task.index == 1:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("still here")
        return run_shard(task)

    subject(Altered("tanh", scaled(2.0)))
    monkeypatch.setattr(campaign, "run_shard", impatient)
    document = run(examples=1000)
    assert document.summary["interrupted"]
    assert document.summary["programs"] == SIZE
    assert document.findings


def test_a_campaign_runs_in_a_thread_of_its_own() -> None:
    documents: list[campaign.RunDocument] = []
    thread = Thread(target=lambda: documents.append(run(examples=20, subject="torch")))
    thread.start()
    thread.join()
    assert documents[0].summary["programs"] == 20


def test_what_a_task_raises_comes_through() -> None:
    def broken(task: ShardTask) -> ShardResult:
        raise ZeroDivisionError

    tasks = list(Config(examples=1).shards())
    with pytest.raises(ZeroDivisionError):
        list(campaign.each(campaign.Here(), broken, tasks, 1, Event(), quiet()))


# The line of progress


class Terminal(io.StringIO):
    """Takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    terminal, now = Terminal(), [0.0]
    progress = Progress(terminal, 2000, lambda: now[0])
    now[0] = 2.0
    progress.shard(500, {"sin": 3, "cos": 0}, 1)
    assert terminal.getvalue() == "\r500 of 2,000 programs, 250 programs/s, 1 of 2 ops, 1 finding"
    progress.say("shrinking 1")
    assert terminal.getvalue().endswith("1 finding, shrinking 1")
    progress.close()
    last = terminal.getvalue().split("\r")
    assert last[-1] == ""
    assert last[-2].strip() == ""
    assert len(last[-2]) == len("500 of 2,000 programs, 250 programs/s, 1 of 2 ops, 1 finding, shrinking 1")
    assert "\n" not in terminal.getvalue()


def test_progress_fits_into_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    terminal = Terminal()
    Progress(terminal, 2000).say("shrinking")
    assert len(terminal.getvalue()) == 30  # the carriage return takes no place
    assert terminal.getvalue().startswith("\r0 of 2,000 programs, ")


def test_progress_is_drawn_no_more_than_ten_times_a_second() -> None:
    terminal, now = Terminal(), [0.0]
    progress = Progress(terminal, None, lambda: now[0])
    for _ in range(1000):
        now[0] += 0.001
        progress.shard(1, {}, 0)
    assert 8 <= terminal.getvalue().count("\r") <= 12


def test_progress_is_quiet_where_nobody_looks() -> None:
    stream = io.StringIO()
    progress = Progress(stream, 10)
    progress.shard(5, {"sin": 1}, 2)
    progress.say("shrinking 2")
    progress.close()
    assert stream.getvalue() == ""
    assert progress.line().startswith("5 of 10 programs")
