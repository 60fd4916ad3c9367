"""Shards draw what their task says and nothing else has a say; shrinking is bounded and repeatable."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine, providers

from oracle import shrink
from oracle.catalogue import CATALOGUE
from oracle.check import CheckResult, check
from oracle.choices import Source, Unsupported, entropy, isolated, simplify
from oracle.compare import HarnessError
from oracle.execute import run
from oracle.generate import PROFILES, programs
from oracle.program import Backward, Call, Leaf, Literal, Program, digest
from oracle.reduce import complexity
from oracle.shard import NO_EXCEPTION, Case, ShardTask, bucket_of, collect, ops_of, run_shard
from tests.oracle.broken import TORCH, Altered, failing, hooked, scaled

TASK = ShardTask(0, 0, 60, "default", None, "torch", "torch", None)
PROGRAMS = programs(PROFILES["default"])


def against(engine: Altered) -> Callable[[Program], CheckResult]:
    return lambda program: check(program, engine, TORCH)


def agreeing(program: Program) -> CheckResult:
    trace = run(program, TORCH)
    return CheckResult(None, False, trace, trace)


def sine(value: float) -> Program:
    return Program((Leaf(Literal("float64", (), (value,)), True, "contiguous"),), (Call("sin", (0,), {}, 1),))


SINE = sine(1.0)
DIVERGENCE = check(SINE, Altered("sin", scaled(2.0)), TORCH).divergence
assert DIVERGENCE is not None


# What is drawn


def test_a_shard_runs_as_many_programs_as_it_is_told() -> None:
    result = run_shard(TASK)
    assert (result.index, result.programs, result.cases) == (0, 60, ())
    assert set(result.ops) == set(CATALOGUE)
    assert sum(result.ops.values()) <= result.statements


def test_tasks_and_results_travel() -> None:
    result = collect(TASK, PROGRAMS, ("tanh",), against(Altered("tanh", scaled(2.0))))
    assert result.cases
    assert pickle.loads(pickle.dumps(result)) == result
    assert pickle.loads(pickle.dumps(TASK)) == TASK


def test_a_program_depends_on_its_place_alone() -> None:
    first, other = Source(PROGRAMS), Source(PROGRAMS)
    in_order = [first.draw(entropy(3, 1, i)) for i in range(20)]
    backwards = [other.draw(entropy(3, 1, i)) for i in reversed(range(20))]
    assert in_order == backwards[::-1]
    assert len({digest(program) for program in in_order if program}) == 20


@pytest.mark.parametrize("origin", [(0, 0, 1), (0, 1, 0), (1, 0, 0), (-1, 0, 0), (0, 11, 0), (2**70, 0, 0)])
def test_places_do_not_share_programs(origin: tuple[int, int, int]) -> None:
    source = Source(PROGRAMS)
    assert source.draw(entropy(*origin)) != source.draw(entropy(0, 0, 0))


def test_findings_do_not_change_what_is_drawn() -> None:
    def seen_with(examine: Callable[[Program], CheckResult]) -> list[str]:
        names: list[str] = []

        def watch(program: Program) -> CheckResult:
            names.append(digest(program))
            return examine(program)

        collect(TASK, PROGRAMS, (), watch)
        return names

    everything = seen_with(lambda program: replace(agreeing(SINE), divergence=DIVERGENCE))
    assert everything == seen_with(agreeing)
    assert len(everything) == 60


def test_repeated_draws_are_counted_and_replaced() -> None:
    few = st.integers(0, 79).map(lambda number: sine(float(number)))
    result = collect(replace(TASK, programs=40), few, ("sin",), agreeing)
    assert result.programs == 40
    assert result.ops == {"sin": 40}
    assert set(result.discarded) == {"duplicate"}


def test_invalid_draws_are_counted_and_replaced() -> None:
    @st.composite
    def half(draw: st.DrawFn) -> Program:
        number = draw(st.integers(0, 2**31))
        assume(number % 2)
        return sine(float(number))

    result = collect(replace(TASK, programs=40), half(), ("sin",), agreeing)
    assert result.programs == 40
    assert result.discarded["invalid draw"] > 10


def test_a_shard_ends_when_there_is_nothing_new() -> None:
    result = collect(replace(TASK, programs=5), st.sampled_from([SINE, sine(2.0)]), ("sin",), agreeing)
    assert result.programs == 2
    assert result.discarded["nothing new to draw"] == 3
    assert result.discarded["duplicate"] >= 100


def test_what_the_harness_raises_is_no_finding() -> None:
    def broken(program: Program) -> CheckResult:
        raise HarnessError("no")

    with pytest.raises(HarnessError):
        collect(TASK, PROGRAMS, (), broken)


def test_only_the_ops_asked_for_are_drawn() -> None:
    result = run_shard(replace(TASK, ops=("sin", "sum")))
    assert set(result.ops) == {"sin", "sum"}
    assert min(result.ops.values()) > 0


# Cases


def test_a_case_keeps_its_simplest_program_and_counts_all() -> None:
    engine = Altered("tanh", scaled(2.0))
    shown: list[Program] = []

    def watch(program: Program) -> CheckResult:
        result = check(program, engine, TORCH)
        if result.divergence is not None:
            shown.append(program)
        return result

    cases = collect(replace(TASK, programs=250), PROGRAMS, (), watch).cases
    assert sum(case.members for case in cases) == len(shown)
    for case in cases:
        same = [program for program in shown if ops_of(program) == case.ops]
        assert complexity(case.program) <= min(map(complexity, same))
        assert Source(PROGRAMS).draw(entropy(0, case.shard, case.index)) == case.program


def test_of_equal_programs_the_first_stays() -> None:
    a, b, c = (
        Case("b", frozenset(), SINE, shard, i, DIVERGENCE, (shard, i))
        for shard, i in ((0, 4), (0, 2), (1, 0))
    )
    assert a.merged(b).merged(c) == c.merged(b).merged(a)
    assert (b.merged(a).index, b.merged(a).first, a.merged(b).merged(c).members) == (2, (0, 2), 3)


def test_sides_that_raise_tell_cases_apart() -> None:
    found = check(SINE, Altered("sin", failing(ValueError("no"))), TORCH).divergence
    assert found is not None
    assert found.oracle == NO_EXCEPTION
    assert bucket_of(found) == "exception:sin:value:subject"


# Hypothesis's part


class Budget:
    """A predicate that counts, and remembers what it saw."""

    def __init__(self, fails: Callable[[Program], bool]) -> None:
        self.fails = fails
        self.seen: list[str] = []

    def __call__(self, program: Program) -> bool:
        self.seen.append(digest(program))
        return self.fails(program)


def uses(op: str) -> Callable[[Program], bool]:
    return lambda program: op in ops_of(program)


@pytest.fixture(scope="module")
def with_exp() -> bytes:
    """What a program with exp is drawn from."""
    source = Source(PROGRAMS)
    places = (entropy(0, 0, i) for i in range(1000))
    return next(
        data for data in places if (p := source.draw(data)) and uses("exp")(p) and len(p.statements) > 8
    )


def test_simplify_is_bounded_and_repeatable(with_exp: bytes) -> None:
    fails = Budget(uses("exp"))
    small, calls = simplify(PROGRAMS, with_exp, fails, 80)
    assert small is not None
    assert uses("exp")(small)
    assert complexity(small) < complexity(Source(PROGRAMS).draw(with_exp) or SINE)
    assert calls == len(fails.seen) <= 80
    again = Budget(uses("exp"))
    assert simplify(PROGRAMS, with_exp, again, 80) == (small, calls)
    assert again.seen == fails.seen


def test_simplify_goes_on_until_nothing_is_left() -> None:
    numbers = st.integers(0, 2**31).map(lambda number: sine(float(number)))
    data = next(data for i in range(99) if (data := entropy(0, 0, i)) and Source(numbers).draw(data) != SINE)
    small, calls = simplify(numbers, data, lambda program: program.leaves[0].value.data[0] >= 1000, 500)
    assert small == sine(1000.0)
    assert calls < 500


def test_simplify_says_when_the_first_program_does_not_fail(with_exp: bytes) -> None:
    assert simplify(PROGRAMS, with_exp, lambda program: False, 80) == (None, 1)


def test_simplify_lets_errors_through(with_exp: bytes) -> None:
    def broken(program: Program) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        simplify(PROGRAMS, with_exp, broken, 80)


def test_constants_of_imported_modules_stay_out() -> None:
    before = providers._get_local_constants
    with isolated():
        constants = providers._get_local_constants()
        assert not any(constants.set_for_type(kind) for kind in ("integer", "float", "bytes", "string"))
        assert float("inf") == engine.MAX_SHRINKING_SECONDS
    assert providers._get_local_constants is before
    assert float("inf") > engine.MAX_SHRINKING_SECONDS


@pytest.mark.parametrize(
    ("module", "name"),
    [(providers, "_get_local_constants"), (engine, "MAX_SHRINKING_SECONDS"), (providers, "CONSTANTS_CACHE")],
)
def test_a_hypothesis_without_the_switch_is_refused(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    monkeypatch.delattr(module, name)
    with pytest.raises(Unsupported, match=name), isolated():
        pass


# From cases to findings


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Altered], None]]:
    """Puts an engine in refgrad's place, in this process."""
    engines: dict[str, object] = {"torch": TORCH}

    def become(altered: Altered) -> None:
        engines["refgrad"] = altered

    monkeypatch.setattr("oracle.engines.get", engines.__getitem__)
    yield become


def cases_of(altered: Altered) -> tuple[ShardTask, tuple[Case, ...]]:
    task = replace(TASK, subject="refgrad", programs=250)
    return task, run_shard(task).cases


def test_a_case_becomes_a_finding(subject: Callable[[Altered], None]) -> None:
    subject(Altered("cumsum", hooked(torch.neg)))
    task, cases = cases_of(Altered("cumsum", hooked(torch.neg)))
    case = max(cases, key=lambda case: len(case.program.statements))
    finding = shrink.run_shrink(shrink.ShrinkTask(task, case))
    assert finding.signature == "gradient:cumsum:grad:float64"
    assert [type(statement) for statement in finding.program.statements][:1] == [Call]
    assert len(finding.program.statements) == 2
    assert finding.original == case.program
    assert finding.origin.index == case.index
    assert finding.shrink.statements_before == len(case.program.statements)
    assert finding.shrink.statements_after == 2
    assert 0 < finding.shrink.hypothesis_calls <= shrink.HYPOTHESIS_CALLS
    assert 0 < finding.shrink.reducer_calls <= shrink.REDUCER_CALLS
    assert finding == shrink.run_shrink(shrink.ShrinkTask(task, case))


def test_a_known_lead_is_not_shown_again(subject: Callable[[Altered], None]) -> None:
    class Both(Altered):
        """Wrong in two ops."""

        def call(self, spec: object, tensors: object, params: object) -> tuple[object, ...]:
            made = super().call(spec, tensors, params)  # type: ignore[arg-type]
            if spec.name in ("exp", "sin"):  # type: ignore[attr-defined]
                made = (hooked(lambda g: 3 * g)(made[0]), *made[1:])
            return made

    subject(Both("none", scaled(1.0)))
    program = Program(
        SINE.leaves,
        (Call("sin", (0,), {}, 1), Call("exp", (1,), {}, 1), Backward((2,), (None,), None, False, None)),
    )
    task = replace(TASK, subject="refgrad")
    found = check(program, Both("none", scaled(1.0)), TORCH).divergence
    assert found is not None
    case = Case(bucket_of(found), ops_of(program), program, 0, 0, found, (0, 0))
    first = shrink.run_reduce(shrink.ShrinkTask(task, case))
    assert len(first.ops) == 1
    second = shrink.run_reduce(shrink.ShrinkTask(task, case, (first.ops,)))
    assert first.ops | second.ops == {"sin", "exp"}


def test_an_engine_that_answers_now_this_way_now_that(subject: Callable[[Altered], None]) -> None:
    subject(Altered("none", scaled(1.0)))
    case = Case("value:sin:value", frozenset({"sin"}), SINE, 0, 0, DIVERGENCE, (0, 0))
    finding = shrink.run_shrink(shrink.ShrinkTask(replace(TASK, subject="refgrad"), case))
    assert finding.program == SINE
    assert finding.message.endswith("(not when run again)")
