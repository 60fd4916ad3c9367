"""A campaign: shards over worker processes, merged in their own order, then shrunk.

The document that comes out is the same whatever the number of workers; only its seconds and jobs tell. A run
that is interrupted finishes the shards it is in and reports what it has.
"""

import multiprocessing
import os
import platform
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from threading import Event, current_thread, main_thread
from types import FrameType
from typing import Any, TypeVar

import hypothesis
import numpy

from oracle import engines
from oracle.execute import run
from oracle.findings import Finding, RunDocument
from oracle.progress import Progress
from oracle.reduce import complexity
from oracle.semantics import ROWS, exercised
from oracle.shard import SIZE, Case, Cases, ShardResult, ShardTask, add_case, run_shard
from oracle.shrink import Lead, ShrinkTask, as_drawn, as_far_as_it_came, run_reduce, run_shrink

ROUNDS = 8  # leads that a bucket may split into; what is left then becomes one more, as it was drawn
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Task = TypeVar("Task", ShardTask, ShrinkTask)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Config:
    """What to run. `examples` None: until `seconds` are over; `jobs` None: as many as there are CPUs."""

    examples: int | None = 2000
    seconds: float | None = None
    seed: int = 0
    jobs: int | None = 1
    profile: str = "default"
    ops: tuple[str, ...] | None = None
    subject: str = "refgrad"
    oracle: str = "torch"
    plant: str | None = None

    def shards(self) -> Iterator[ShardTask]:
        """The shards in order; there is no last one if only time ends the run."""
        left = self.examples
        for index in count():
            size = SIZE if left is None else min(SIZE, left)
            if not size:
                return
            yield self.shard(index, size)
            left = None if left is None else left - size

    def shard(self, index: int, size: int) -> ShardTask:
        """One shard of this campaign."""
        return ShardTask(
            self.seed, index, size, self.profile, self.ops, self.subject, self.oracle, self.plant
        )

    def workers(self) -> int:
        """The number of worker processes; if it is left open, each finds four shards to do at least."""
        if self.jobs is not None:
            return self.jobs
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return here if self.examples is None else max(1, min(here, self.examples // SIZE // 4))


class WorkerDied(RuntimeError):
    """A worker process ended by itself. `document` holds what was done until then."""

    def __init__(self, message: str, document: RunDocument) -> None:
        super().__init__(message)
        self.document = document


class _Died(Exception):
    """The pool is broken; says what was running."""


def run_campaign(config: Config, progress: Progress | None = None) -> RunDocument:
    """Runs a campaign and returns what it found; `summary["interrupted"]` tells whether it was cut short.

    SIGINT or SIGTERM ends it after the shards that are running, a second one at once. Raises WorkerDied, and
    whatever the harness raises when it fails.
    """
    start = time.monotonic()
    jobs, progress = config.workers(), progress or Progress(sys.stderr)
    tally = Tally()
    findings: list[Finding] | None = None
    died = ""

    def in_time() -> bool:
        return config.seconds is None or not tally.programs or time.monotonic() - start < config.seconds

    with stop_on_signals() as stop, closing(progress):
        try:
            with workers(jobs) as pool:
                for _, result in each(pool, run_shard, config.shards(), jobs, stop, progress, in_time):
                    tally.add(result)
                    progress.shard(
                        result.programs, result.ops, len({case.bucket for case in tally.cases.values()})
                    )
                findings = shrink(config, tally.in_order(), pool, jobs, stop, progress)
        except KeyboardInterrupt:
            stop.set()
        except _Died as error:
            died = str(error)
            stop.set()
        if findings is None:
            findings = shrink(config, tally.in_order(), Here(), 1, stop, progress)
        facts = summary(config, tally, findings)
        facts |= {
            "seconds": time.monotonic() - start,
            "jobs": jobs,
            "interrupted": stop.is_set() and not died,
        }
    document = RunDocument(facts, tuple(findings))
    if died:
        raise WorkerDied(died, document)
    return document


class Tally:
    """The sum of the shards so far; the order they end in makes no difference to it."""

    def __init__(self) -> None:
        self.programs = self.statements = self.escalated = 0
        self.discarded: Counter[str] = Counter()
        self.ops: Counter[str] = Counter()
        self.rows: Counter[int] = Counter()
        self.cases: Cases = {}

    def add(self, result: ShardResult) -> None:
        """Adds a shard."""
        self.programs += result.programs
        self.statements += result.statements
        self.escalated += result.escalated
        self.discarded.update(result.discarded)
        self.ops.update(result.ops)
        self.rows.update(result.rows)
        for case in result.cases:
            add_case(self.cases, case)

    def in_order(self) -> list[Case]:
        """The cases in the order of discovery."""
        return sorted(self.cases.values(), key=lambda case: (case.first, case.bucket))


def summary(config: Config, tally: Tally, findings: list[Finding]) -> dict[str, Any]:
    """The counts of a run and what it was run with."""
    return {
        "programs": tally.programs,
        "statements": tally.statements,
        "findings": len(findings),
        "discarded": dict(sorted(tally.discarded.items())),
        "escalated": tally.escalated,
        "ops": dict(sorted(tally.ops.items())),
        "semantics": semantics(config, tally.rows, findings),
        "versions": versions(),
        "seed": config.seed,
        "examples": config.examples,
        "profile": config.profile,
        "subject": config.subject,
        "oracle": config.oracle,
        "plant": config.plant,
    }


def semantics(config: Config, rows: Counter[int], findings: list[Finding]) -> dict[str, list[int]]:
    """For each row of the semantics table how many programs exercised it, and how many findings do."""
    engine = engines.get(config.oracle)
    found: Counter[int] = Counter()
    for finding in findings:
        found.update(exercised(finding.program, run(finding.program, engine)))
    return {str(row.number): [rows[row.number], found[row.number]] for row in ROWS}


def versions() -> dict[str, str]:
    """The versions of everything that has a say in the outcome."""
    return {
        **{name: engines.get(name).version for name in engines.NAMES},
        "numpy": numpy.__version__,
        "hypothesis": hypothesis.__version__,
        "python": platform.python_version(),
    }


# From cases to findings


@dataclass
class Bucket:
    """The cases of one bucket that no lead explains yet, and the ops that its leads need."""

    cases: list[Case]
    known: tuple[frozenset[str], ...] = ()

    def simplest(self) -> Case:
        """The case to reduce next."""
        return min(self.cases, key=lambda case: complexity(case.program))

    def explain(self, lead: Lead) -> int:
        """Takes the cases away that `lead` explains; returns how many programs that were."""
        first = self.simplest()
        same = {id(case) for case in self.cases if case is first or lead.general or case.ops >= lead.ops}
        members = sum(case.members for case in self.cases if id(case) in same)
        self.cases = [case for case in self.cases if id(case) not in same]
        self.known = (*self.known, lead.ops)
        return members


def shrink(
    config: Config, cases: list[Case], pool: Executor, jobs: int, stop: Event, progress: Progress
) -> list[Finding]:
    """The findings behind the cases, in the order of discovery; once `stop` is set, without more shrinking.

    A bucket can hold several defects: "a gradient differs after backward" names no op. So its simplest case
    is reduced; the cases that use all the ops of the result are taken to be the same (all cases, if it shows
    with any op); then comes the simplest of the others. Leads with one signature are one finding.
    """
    shard = config.shard(0, 0)
    buckets: dict[str, Bucket] = {}
    for case in cases:
        buckets.setdefault(case.bucket, Bucket([])).cases.append(case)
    leads: dict[str, Lead] = {}
    members: Counter[str] = Counter()

    def follow(lead: Lead) -> None:
        name = lead.signature
        members[name] += buckets[lead.task.case.bucket].explain(lead)
        if name not in leads or complexity(lead.program) < complexity(leads[name].program):
            leads[name] = lead

    for _ in range(ROUNDS):
        left = [bucket for bucket in buckets.values() if bucket.cases]
        tasks = [ShrinkTask(shard, bucket.simplest(), bucket.known) for bucket in left]
        if tasks:
            progress.say(f"reducing {len(tasks)}")
        for _, lead in in_order(pool, run_reduce, tasks, jobs, stop, progress):
            follow(lead)
    for bucket in buckets.values():
        if bucket.cases:
            follow(as_drawn(ShrinkTask(shard, bucket.simplest())))
    tasks = [lead.task for lead in leads.values()]
    if tasks:
        progress.say(f"shrinking {len(tasks)}")
    found = {id(task): finding for task, finding in in_order(pool, run_shrink, tasks, jobs, stop, progress)}
    findings: dict[str, Finding] = {}
    for name, lead in leads.items():
        finding = found.get(id(lead.task)) or as_far_as_it_came(lead.task)
        finding = replace(finding, members=members[name])
        same = findings.get(finding.signature)
        findings[finding.signature] = together(same, finding) if same else finding
    return list(findings.values())


def together(a: Finding, b: Finding) -> Finding:
    """Two findings of one signature as one: the simpler program stays, of equal ones the first."""
    best = b if complexity(b.program) < complexity(a.program) else a
    return replace(best, members=a.members + b.members)


# Workers


def each(
    pool: Executor,
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int,
    stop: Event,
    progress: Progress,
    go_on: Callable[[], bool] = lambda: True,
) -> Iterator[tuple[Task, Result]]:
    """Runs the tasks in order, `jobs` at a time, and yields each with its result as it ends.

    Starts no more once `stop` is set or `go_on` says no. Raises what a task raises.
    """
    waiting = iter(tasks)
    running: dict[Future[Result], Task] = {}
    while True:
        try:
            while len(running) < jobs and not stop.is_set() and go_on():
                task = next(waiting, None)
                if task is None:
                    break
                running[pool.submit(work, task)] = task
            if not running:
                return
            done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
            ended = [(task, future.result()) for future, task in running.items() if future in done]
        except BrokenProcessPool:
            names = " or ".join(task.label for task in running.values())
            raise _Died(f"a worker process died, in {names}") from None
        for future in done:
            del running[future]
        yield from ended
        if stop.is_set() and running:
            progress.say("stopping")
        progress.tick()


class Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The result of the call, as a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def in_order(
    pool: Executor,
    work: Callable[[Task], Result],
    tasks: list[Task],
    jobs: int,
    stop: Event,
    progress: Progress,
) -> list[tuple[Task, Result]]:
    """The tasks that were run, with their results, in the order of the tasks and not of their ends."""
    done = {id(task): result for task, result in each(pool, work, tasks, jobs, stop, progress)}
    return [(task, done[id(task)]) for task in tasks if id(task) in done]


@contextmanager
def workers(jobs: int) -> Iterator[Executor]:
    """Processes to work in, each with one thread; this very process if there is one job only."""
    if jobs == 1:
        yield Here()
        return
    others = set(multiprocessing.active_children())
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read when numpy and torch are loaded
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_signals_to_parent)
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set; the second one raises KeyboardInterrupt."""
    stop = Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if current_thread() is not main_thread():  # no other thread may set handlers
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
