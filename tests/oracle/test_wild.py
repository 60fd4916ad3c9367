"""Programs of all statements, most of them careless: torch agrees with itself, and every part copes with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from oracle import bounds, edits
from oracle.check import check
from oracle.compare import compare
from oracle.draft import Draft
from oracle.execute import run
from oracle.plan import plan
from oracle.program import KINDS, Enter, Exit, Program, ProgramError, dumps, loads, references_of, to_json
from oracle.program import check as check_program
from oracle.reduce import complexity, reduce
from oracle.stats import describe
from oracle.trace import Observation
from reports.graph import created, draw
from reports.listing import lines
from tests.oracle.broken import TORCH
from tests.oracle.wild import CALLS, wild

SEEDS = range(1000, 1300)


@cache
def programs() -> tuple[Program, ...]:
    return tuple(wild(seed) for seed in SEEDS)


def test_they_are_valid_and_keep_their_json_form() -> None:
    for program in programs():
        check_program(program)
        assert loads(dumps(program)) == program
        assert dumps(loads(dumps(program))) == dumps(program)


def test_torch_agrees_with_itself() -> None:
    for program in programs():
        result = check(program, TORCH, TORCH)
        assert result.divergence is None and not result.escalated, dumps(program)


def test_every_statement_is_run() -> None:
    done: Counter[str] = Counter()
    for program in programs():
        trace = run(program, TORCH)
        away = {place.statement for place in trace.places if place.what in ("fault", "skipped")}
        for index, statement in enumerate(program.statements):
            if index not in away:
                done[getattr(statement, "op", type(statement).__name__)] += 1
    assert {cls.__name__ for cls in KINDS.values()} - {"Call"} <= set(done)
    assert len(set(CALLS) & set(done)) > 0.9 * len(CALLS)


def test_pages_show_them() -> None:
    finding = {"tensor": 0, "statement": 0, "what": "value", "kind": "value"}
    for program in programs():
        document = to_json(program)
        listed = lines(document)
        assert len(listed) == len(program.leaves) + len(program.statements)
        assert all(line.text for line in listed)
        assert sum(map(len, created(document))) == sum(len(step.outputs) for step in Draft.of(program).steps)
        assert draw(document, finding) is not None


def test_their_distribution_is_told() -> None:
    figures = describe(programs())
    names = figures["distributions"]["statements besides ops"]["values"]
    assert {"inference_mode", "hook, tensor, observe", "set_data", "make_dual"} <= set(names)


def test_disturbed_runs_take_the_same_course() -> None:
    """Exceptions, skips, calls of hooks, versions, identities: only numbers move, and only by a little."""
    courses: Counter[bool] = Counter()
    for program in programs()[:120]:
        trace = run(program, TORCH)
        base = bounds._Base(program, TORCH, trace)
        disturbed = base.disturbed(TORCH, (0, 0), 1)
        other = run(program, disturbed, base.plan)
        courses[bounds._course(other) == base.course] += 1
        if bounds._course(other) == base.course:
            limits = bounds.spread(program, TORCH, trace, runs=1)
            found = compare(program, other, trace, limits)
            assert found is None or found.kind in ("value", "gradient"), (found, dumps(program))
    assert courses[False] <= 2  # where a step function decides what raises


def test_what_is_made_of_one_number_moves_with_it() -> None:
    """Limits exist exactly where numbers were seen."""
    for program in programs()[:60]:
        trace = run(program, TORCH)
        limits = bounds.spread(program, TORCH, trace, runs=1)
        for some, entries in ((limits.seen, trace.seen), (limits.state, trace.state), (limits.grads, trace.grads)):
            for limit, entry in zip(some, entries, strict=True):
                assert (limit is None) == (type(entry) is not Observation)


@pytest.mark.parametrize("name", ["drops", "unwrapped", "bypasses", "references", "flags", "params"])
def test_edits_make_programs_that_run(name: str) -> None:
    """Not all are valid; those that are refer to what exists, and run."""
    valid = 0
    for program in programs()[:40]:
        for candidate in list(getattr(edits, name)(program))[:25]:
            try:
                check_program(candidate)
            except ProgramError:
                continue
            valid += 1
            run(candidate, TORCH)
    assert valid > 20


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"call", "exit", "remove_hook"}))
def test_each_statement_can_be_reduced_to(kind: str) -> None:
    """What fails for a statement of one kind becomes little more than that statement."""
    cls = KINDS[kind]

    def fails(program: Program) -> bool:
        return any(type(statement) is cls for statement in program.statements)

    program = next(program for program in programs() if fails(program))
    small = reduce(program, fails, 1000)
    assert fails(small) and complexity(small) < complexity(program)
    own = next(statement for statement in small.statements if type(statement) is cls)
    allowed = 2 if kind == "enter" else 1
    assert len(small.statements) <= allowed + (len(small.leaves) < len(set(references_of(own)))) + 1


def test_hooks_are_removed_only_where_they_are() -> None:
    for program in programs():
        draft = Draft.of(program)
        for step in draft.steps:
            if type(step.statement).__name__ == "Hook":
                check_program(draft.without(step).program())


def test_plans_follow_shared_memory() -> None:
    """Whatever a statement turns out to change was known to be able to change with it."""
    written = 0
    for program in programs()[:100]:
        known = plan(program)
        states = [run(cut(program, index), TORCH).state for index in range(len(program.statements) + 1)]
        for index, statement in enumerate(program.statements):
            if isinstance(statement, Enter):
                continue  # a span is empty where the program is cut off inside
            for tensor, (before, after) in enumerate(zip(states[index], states[index + 1], strict=False)):
                if before is None or after is None or tensor in known.loose:
                    continue
                if before.shape != after.shape or before.value.tobytes() != after.value.tobytes():
                    written += 1
                    assert tensor in known.written.get(index, ()), (index, tensor, dumps(program))
    assert written > 50


def cut(program: Program, length: int) -> Program:
    """The first statements of a program, with the spans closed that are open then."""
    kept = program.statements[:length]
    opened = sum(isinstance(s, Enter) for s in kept) - sum(isinstance(s, Exit) for s in kept)
    return replace(program, statements=(*kept, *[Exit()] * opened))
