"""Shrinking, a step of its own after the shards: from cases to findings with small programs.

Every case is reduced first, which takes some tens of programs and tells which cases show the same defect. One
of each is then shrunk in two stages: Hypothesis on the choices the program was drawn from, the reducer on
what comes out. All is bounded by programs tried, not by a clock, so that a result depends on its task alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hypothesis.strategies import SearchStrategy

from oracle import engines
from oracle.check import CheckResult
from oracle.choices import entropy, simplify
from oracle.compare import Divergence, HarnessError
from oracle.draft import Draft, Step
from oracle.engines import Engine
from oracle.execute import run
from oracle.findings import Finding, Origin, Shrink, Side
from oracle.generate import programs
from oracle.program import Call, Leaf, Literal, Program, created, references_of
from oracle.reduce import StandIns, complexity, reduce
from oracle.repro import script
from oracle.shard import Case, Examine, ShardTask, bucket_of, examiner, ops_of, profile_of
from oracle.trace import Trace

Fails = Callable[[Program], bool]

HYPOTHESIS_CALLS = 200
REDUCER_CALLS = 1000

# For so many inputs, ops with nothing in common but the engine under them. What fails with each of them is
# the fault of none, and the first stands for any.
ALIKE = {1: ("neg", "exp", "square"), 2: ("mul", "add", "sub")}
WRITING_ALIKE = {1: ("neg_", "exp_", "sin_"), 2: ("mul_", "add_", "sub_")}
RECORD = ("requires_grad", "is_leaf", "grad_fn", "mode")  # views of what was, or will be, recorded


@dataclass(frozen=True)
class ShrinkTask:
    """A case to shrink. `known`: sets of ops that earlier leads of its bucket need; a program with all ops of
    one of them does not count, since it shows that lead again. `best`: the simplest program so far."""

    shard: ShardTask
    case: Case
    known: tuple[frozenset[str], ...] = ()
    best: Program | None = None

    @property
    def label(self) -> str:
        """The task in words."""
        return f"the shrinking of program {self.case.index} of shard {self.case.shard}"


@dataclass(frozen=True)
class Lead:
    """What a case was reduced to: the program's signature and ops, and whether it fails with any op in it."""

    task: ShrinkTask
    program: Program
    signature: str
    ops: frozenset[str]
    general: bool


def run_reduce(task: ShrinkTask) -> Lead:
    """Reduces a case."""
    oracle = engines.get(task.shard.oracle)
    with examiner(task.shard) as examine:
        fails = falls_into(task.case.bucket, examine, task.known)
        small = reduce(task.case.program, fails, REDUCER_CALLS, lambda program: stand_ins(program, oracle))
        general, plain = generalised(small, task.case.divergence.kind, examine)
        return lead_of(replace(task, best=plain), plain, examine(plain), ops_of(small), general)


def as_drawn(task: ShrinkTask) -> Lead:
    """The lead of a case that is left as it was drawn; it explains all cases of its bucket."""
    program = task.case.program
    with examiner(task.shard) as examine:
        return lead_of(task, program, examine(program), ops_of(program), True)


def run_shrink(task: ShrinkTask) -> Finding:
    """Shrinks a case in two stages."""
    shard, case = task.shard, task.case
    strategy = programs(profile_of(shard.profile, shard.ops))
    oracle = engines.get(shard.oracle)
    with examiner(shard) as examine:
        fails = falls_into(case.bucket, examine, task.known)
        data = entropy(shard.seed, case.shard, case.index)
        small, calls = two_stages(
            case.program, strategy, data, fails, lambda program: stand_ins(program, oracle)
        )
        _, small = generalised(small, case.divergence.kind, examine)
        if task.best is not None and complexity(task.best) <= complexity(small):
            small = task.best
        calls = replace(calls, statements_after=len(small.statements))
        return finding_of(task, small, examine(small), calls)


def as_far_as_it_came(task: ShrinkTask) -> Finding:
    """The finding of a case as far as it was reduced, for when there is no time for more."""
    program = task.best or task.case.program
    calls = Shrink(len(task.case.program.statements), len(program.statements), 0, 0)
    with examiner(task.shard) as examine:
        return finding_of(task, program, examine(program), calls)


def two_stages(
    program: Program, strategy: SearchStrategy[Program], data: bytes, fails: Fails, leaves: StandIns
) -> tuple[Program, Shrink]:
    """The simplest program that Hypothesis, then the reducer come to, from what `strategy` draws from `data`.

    `program` is that very program, and stands in for it should it not fail again.
    """
    tried = 0

    def counted(candidate: Program) -> bool:
        nonlocal tried
        tried += 1
        return fails(candidate)

    drawn, first = simplify(strategy, data, fails, HYPOTHESIS_CALLS)
    small = reduce(drawn or program, counted, REDUCER_CALLS, leaves)
    return small, Shrink(len(program.statements), len(small.statements), first, tried)


def falls_into(bucket: str, examine: Examine, known: tuple[frozenset[str], ...] = ()) -> Fails:
    """Whether a program diverges like the programs of this bucket, and not with the ops of a known lead."""

    def fails(program: Program) -> bool:
        ops = ops_of(program)
        if any(ops >= others for others in known):
            return False
        found = divergence_of(program, examine)
        return found is not None and bucket_of(found) == bucket

    return fails


def divergence_of(program: Program, examine: Examine) -> Divergence | None:
    """How an edited program diverges; None too if the edit left one that no engine can run."""
    try:
        return examine(program).divergence
    except HarnessError:
        return None


def generalised(program: Program, kind: str, examine: Examine) -> tuple[bool, Program]:
    """Whether each of the program's calls fails with any op, and the program with plain ops where it does."""
    kinds = RECORD if kind in RECORD else (kind,)

    def fails(candidate: Program) -> bool:
        found = divergence_of(candidate, examine)
        return found is not None and found.kind in kinds

    general = True
    for i in range(len(program.statements)):
        if isinstance(program.statements[i], Call):
            alike = next((others for others in replacements(program, i) if all(map(fails, others))), None)
            program = alike[0] if alike else program
            general = general and alike is not None
    return general, program


def replacements(program: Program, i: int) -> Iterator[list[Program]]:
    """The program with its i-th call replaced by calls that have nothing in common but their inputs."""
    draft = Draft.of(program)
    old = draft.steps[i]
    inputs = references_of(old.statement)
    for some in [*((name,) for name in dict.fromkeys(inputs)), inputs]:
        edited = []
        alike = ALIKE if old.outputs else WRITING_ALIKE
        for op in alike.get(len(some), ()):
            call = Call(op, some, {}, len(old.outputs[:1]))
            steps = (*draft.steps[:i], Step(call, old.outputs[:1]), *draft.steps[i + 1 :])
            changed = Draft(draft.leaves, steps)
            edited.append(changed.only(changed.used()).program())
        if edited and len(edited[0].statements) == len(program.statements):
            yield edited


def stand_ins(program: Program, oracle: Engine) -> list[Leaf | None]:
    """For each tensor of the program a leaf with the value it has in the end; None where it has none."""
    leaves: list[Leaf | None] = []
    for seen in run(program, oracle).state:
        if seen is None:
            leaves.append(None)
        else:
            literal = Literal(seen.dtype, seen.shape, tuple(seen.value.ravel().tolist()))
            leaves.append(Leaf(literal, seen.requires_grad, "contiguous"))
    missing = len(program.leaves) + sum(map(created, program.statements)) - len(leaves)
    return leaves + [None] * missing


def finding_of(task: ShrinkTask, program: Program, result: CheckResult, calls: Shrink) -> Finding:
    """The finding that `program` shows."""
    shard, case = task.shard, task.case
    found = result.divergence or not_again(case)
    sides = [
        Side(name, engines.get(name).version, text)
        for name, text in ((shard.subject, found.subject), (shard.oracle, found.oracle))
    ]
    return Finding(
        kind=found.kind,
        op=culprit(program, found),
        statement=found.statement,
        tensor=found.tensor,
        what=found.what,
        message=found.message,
        signature=signature_of(program, found, result.oracle),
        subject=sides[0],
        oracle=sides[1],
        elements=found.elements,
        program=program,
        original=case.program,
        repro=script(program, found, shard.subject, shard.oracle, shard.plant),
        origin=Origin(shard.seed, case.shard, case.index),
        members=case.members,
        plant=shard.plant,
        shrink=calls,
    )


def lead_of(
    task: ShrinkTask, program: Program, result: CheckResult, ops: frozenset[str], general: bool
) -> Lead:
    """The lead that `program` gives."""
    found = result.divergence or not_again(task.case)
    return Lead(task, program, signature_of(program, found, result.oracle), ops, general)


def not_again(case: Case) -> Divergence:
    """The divergence of a case that agrees when run again: an engine that answers now this way, now that."""
    return replace(case.divergence, message=f"{case.divergence.message} (not when run again)")


def culprit(program: Program, found: Divergence) -> str:
    """The op that diverges; where it is no op that does, all ops of the program, joined by "+"."""
    ops = list(dict.fromkeys(call.op for call in program.statements if isinstance(call, Call)))
    return found.op if found.op in ops else "+".join(ops) or found.op


def signature_of(program: Program, found: Divergence, oracle: Trace) -> str:
    """The bucket of a finding: kind, op, what, and the dtype of the tensor if there is one."""
    tensor = dict(enumerate(oracle.state)).get(-1 if found.tensor is None else found.tensor)
    if found.what in ("hook", "gradient"):  # the number is a hook's
        tensor = None
    return ":".join([found.kind, culprit(program, found), found.what, *([tensor.dtype] if tensor else [])])
