"""One shard: a number of programs drawn, run on both engines and compared; a pure function of its task."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hypothesis.strategies import SearchStrategy

from oracle import engines
from oracle.catalogue import CATALOGUE, DRAWN
from oracle.check import CheckResult, check
from oracle.choices import Source, entropy
from oracle.compare import Divergence
from oracle.generate import PROFILES, Profile, programs
from oracle.program import Call, Program, digest
from oracle.reduce import complexity
from oracle.semantics import exercised

SIZE = 250  # programs in a shard; the last one of a run may hold fewer
PATIENCE = 100  # draws in a row without anything new after which a shard gives up

NO_EXCEPTION = "no exception"  # what a side says that goes on where the other raises

Examine = Callable[[Program], CheckResult]


@dataclass(frozen=True)
class ShardTask:
    """What to do, as plain data: names and numbers, so that it can travel to other processes."""

    seed: int
    index: int
    programs: int
    profile: str
    ops: tuple[str, ...] | None
    subject: str
    oracle: str
    plant: str | None

    @property
    def label(self) -> str:
        """The task in words."""
        return f"shard {self.index}"


@dataclass(frozen=True)
class Case:
    """Programs that diverge alike and use the same ops: the simplest of them with its draw, the draw of the
    first (shard and index), and how many there are."""

    bucket: str
    ops: frozenset[str]
    program: Program
    shard: int
    index: int
    divergence: Divergence
    first: tuple[int, int]
    members: int = 1

    def merged(self, other: "Case") -> "Case":
        """Both together, in whichever order; the simplest program stays, of equal ones the first."""
        best = min(self, other, key=lambda case: (complexity(case.program), case.shard, case.index))
        return replace(best, first=min(self.first, other.first), members=self.members + other.members)


Cases = dict[tuple[str, frozenset[str]], Case]
"""Cases by bucket and ops."""


def add_case(cases: Cases, case: Case) -> None:
    """Adds a case, to the one that is there if there is one."""
    key = (case.bucket, case.ops)
    cases[key] = cases[key].merged(case) if key in cases else case


@dataclass(frozen=True)
class ShardResult:
    """What a shard did. `discarded`: draws that were not run, by reason; `ops`: how often each was drawn; `rows`:
    how many programs exercised each row of the semantics table."""

    index: int
    programs: int
    statements: int
    escalated: int
    discarded: dict[str, int]
    ops: dict[str, int]
    rows: dict[int, int]
    cases: tuple[Case, ...]


def run_shard(task: ShardTask) -> ShardResult:
    """Runs a shard. The result depends on the task alone: not on time, order, processes or imports."""
    profile = profile_of(task.profile, task.ops)
    with examiner(task) as examine:
        return collect(task, programs(profile), ops_in(profile), examine)


def collect(
    task: ShardTask, strategy: SearchStrategy[Program], ops: tuple[str, ...], examine: Examine
) -> ShardResult:
    """Draws the shard's programs from `strategy` and keeps what `examine` finds in them.

    A draw that is no program, or one that this shard has run already, is counted and another takes its place;
    after 100 of those in a row the shard ends with fewer programs.
    """
    source = Source(strategy)
    seen: set[str] = set()
    cases: Cases = {}
    discarded: Counter[str] = Counter()
    drawn = Counter(dict.fromkeys(ops, 0))
    rows: Counter[int] = Counter()
    statements = escalated = wasted = draws = 0
    while len(seen) < task.programs and wasted < PATIENCE:
        index, draws, wasted = draws, draws + 1, wasted + 1
        program = source.draw(entropy(task.seed, task.index, index))
        if program is None:
            discarded["invalid draw"] += 1
            continue
        name = digest(program)
        if name in seen:
            discarded["duplicate"] += 1
            continue
        wasted = 0
        seen.add(name)
        statements += len(program.statements)
        drawn.update(statement.op for statement in program.statements if isinstance(statement, Call))
        result = examine(program)
        if result.unfit is not None:
            discarded[result.unfit] += 1
        escalated += result.escalated
        rows.update(exercised(program, result.oracle))
        if result.divergence is not None:
            found, place = result.divergence, (task.index, index)
            add_case(cases, Case(bucket_of(found), ops_of(program), program, *place, found, place))
    if len(seen) < task.programs:
        discarded["nothing new to draw"] += task.programs - len(seen)
    shown = tuple(cases.values())
    return ShardResult(
        task.index, len(seen), statements, escalated, dict(discarded), dict(drawn), dict(rows), shown
    )


def bucket_of(found: Divergence) -> str:
    """What programs must have in common to be held for one case: kind, op, what, and which sides raise.

    Backward and `autograd.grad` are one, and dtypes too: a defect shows in all of them, as a rule.
    """
    op = "backward" if found.op == "grad" else found.op
    texts = {"subject": found.subject, "oracle": found.oracle} if found.kind == "exception" else {}
    raising = [side for side, text in texts.items() if text != NO_EXCEPTION]
    return ":".join([found.kind, op, found.what, *raising])


def ops_of(program: Program) -> frozenset[str]:
    """The ops that a program calls."""
    return frozenset(statement.op for statement in program.statements if isinstance(statement, Call))


def profile_of(name: str, ops: tuple[str, ...] | None) -> Profile:
    """The profile of that name, restricted to some ops. Raises KeyError, and ValueError for an unknown op."""
    return PROFILES[name].restricted(ops)


def ops_in(profile: Profile) -> tuple[str, ...]:
    """The ops that a profile draws, in the catalogue's order."""
    drawn = CATALOGUE if profile.dense else DRAWN
    return tuple(name for name in drawn if profile.ops is None or name in profile.ops)


@contextmanager
def examiner(task: ShardTask) -> Iterator[Examine]:
    """What checks a program for this task; the planted defect is in place as long as this lasts."""
    subject, oracle = engines.get(task.subject), engines.get(task.oracle)
    with planted(task.plant):
        yield lambda program: check(program, subject, oracle)


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """A known defect in refgrad as long as this lasts; none for None."""
    if name is None:
        yield
        return
    from refgrad.testing import plant

    with plant(name):
        yield
