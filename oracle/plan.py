"""What is known of a program before it runs: what to look at, when, and what is an engine's own business."""

from __future__ import annotations

from typing import NamedTuple

from oracle.catalogue import CATALOGUE
from oracle.program import (
    Backward,
    Call,
    Delete,
    Enter,
    Exit,
    Grad,
    IncrementVersion,
    MakeDual,
    Program,
    ReadGrad,
    RequiresGrad,
    RetainGrad,
    SetData,
    SetGrad,
    SetGradEnabled,
    Statement,
    UnpackDual,
    ZeroGrad,
    created,
)

LAYOUT = frozenset({"contiguous", "to", "double", "float", "reshape", "flatten", "linear", "matmul", "einsum"})
"""Ops that return their very input, a view or a copy, or take another way, depending on how it lies in memory."""

COMPOSITE = frozenset({"linear", "matmul", "einsum"})
"""Ops made of others: whether the last of these writes in place or returns a view is an engine's own business."""


_WRITING = frozenset(name for name, spec in CATALOGUE.items() if spec.writes)
_APART = _WRITING | {name for name, spec in CATALOGUE.items() if spec.style == "custom"}
"""Ops that can tell a tensor from another with the same history and numbers."""


class Plan(NamedTuple):
    """What to look at.

    watched: the tensors that may have a `.grad` in a sound engine; it is observed after each Backward.
    gradients: the tensors whose node and layout are an engine's own business (see `Place`).
    loose: these, and all computed from them, and what ops of COMPOSITE make: whether they share memory with
    others, how often it was written before, and whether they are views is an engine's own business.
    lent: the tensors that became tangents: by which op a write to the dual goes into them is an engine's own business.
    written: for each statement that writes, the tensors that may show it, the one written first.
    ends: for each Enter its Exit.
    unordered: the passes from gradients; by which nodes these were computed, and so the order in which hooks of
    different tensors run, is an engine's own business.
    gentle: whether the program can tell a tensor from another with the same history and numbers.
    """

    watched: tuple[int, ...]
    gradients: frozenset[int]
    loose: frozenset[int]
    lent: frozenset[int]
    written: dict[int, tuple[int, ...]]
    ends: dict[int, int]
    unordered: frozenset[int]
    gentle: bool


def plan(program: Program) -> Plan:
    """The plan of a program."""
    count = len(program.leaves)
    watched = set(range(count))
    gradients: set[int] = set()
    derived: set[int] = set()  # gradients, and all computed from them
    composed: set[int] = set()  # what ops of COMPOSITE make, and what may be a view of it
    lent: set[int] = set()
    entered: list[int] = []
    ends: dict[int, int] = {}
    unordered: set[int] = set()
    writes = gentle = False
    for index, statement in enumerate(program.statements):
        if isinstance(statement, Call):
            op = statement.op
            gentle = gentle or op in _APART or statement.through is not None
            writes = writes or op in _WRITING
            if derived or composed or op in COMPOSITE:
                made, inputs = range(count, count + statement.outputs), statement.inputs
                if not derived.isdisjoint(inputs):
                    derived.update(made)
                    if op in LAYOUT:
                        gradients.update(made)
                elif op in COMPOSITE or (CATALOGUE[op].aliases and not composed.isdisjoint(inputs[:1])):
                    composed.update(made)
            count += statement.outputs
            continue
        made = range(count, count + created(statement))
        count += len(made)
        gentle = gentle or _tells_apart(statement)
        match statement:
            case Backward():
                watched.update(statement.inputs or ())
                if derived and not derived.isdisjoint(statement.roots):
                    unordered.add(index)
            case Enter():
                entered.append(index)
            case Exit():
                ends[entered.pop()] = index
            case Grad() | ReadGrad():
                if derived and type(statement) is Grad and not derived.isdisjoint(statement.outputs):
                    unordered.add(index)
                derived.update(made)
                gradients.update(made)
            case RetainGrad() | RequiresGrad():
                watched.add(statement.tensor)
            case UnpackDual():  # of the two, only the tangent is a derivative
                derived.update(made if statement.tensor in derived else made[1:])
                gradients.update(made[1:])
            case MakeDual():
                lent.add(statement.tangent)
                if statement.primal in derived:
                    derived.update(made)
            case SetData():
                writes = True
                if statement.source in derived:
                    derived.add(statement.tensor)
            case SetGrad():
                watched.add(statement.tensor)
        writes = writes or isinstance(statement, SetGrad | ReadGrad | IncrementVersion)
    return Plan(
        tuple(sorted(watched)),
        frozenset(gradients),
        frozenset(derived | composed),
        frozenset(lent),
        written(program) if writes else {},
        ends,
        frozenset(unordered),
        gentle,
    )


def _tells_apart(statement: Statement) -> bool:
    """Whether a statement that is no Call can tell a tensor from another with the same history and numbers."""
    match statement:
        case Enter():
            return statement.mode not in ("no_grad", "enable_grad")
        case Grad(is_grads_batched=True):
            return True
        case Backward() | Grad():
            return statement.edges is not None or any(type(g) is int for g in statement.gradients)
        case Exit() | ZeroGrad() | RetainGrad() | RequiresGrad() | SetGradEnabled():
            return False
    return True


def written(program: Program) -> dict[int, tuple[int, ...]]:
    """For each statement that writes to memory, the tensors that may show it, the one written first.

    Follows which tensors may share memory; a tensor's `.grad` counts as one more, which ReadGrad and SetGrad
    make known by other names.
    """
    sharing = _Sharing()
    found: dict[int, tuple[int, ...]] = {}
    count = len(program.leaves)
    gone: set[int] = set()
    for index, statement in enumerate(program.statements):
        made = range(count, count + created(statement))
        first = _follow(statement, made, sharing)
        if type(statement) is Delete:
            gone.add(statement.tensor)
        elif type(statement) is Backward:
            known = sorted({t for slot in sharing.slots() for t in sharing.group(slot) if t >= 0} - gone)
            found[index] = tuple(known)
        elif first is not None:
            others = sorted(t for t in sharing.group(first) if t >= 0 and t != first and t not in gone)
            found[index] = (*([first] if first >= 0 else ()), *others)
        count += len(made)
    return {index: tensors for index, tensors in found.items() if tensors}


def _follow(statement: Statement, made: range, sharing: _Sharing) -> int | None:
    """Notes which tensors a statement lets share memory; returns the one it writes, if it writes any."""
    match statement:
        case Call():
            spec = CATALOGUE[statement.op]
            if spec.aliases and statement.inputs:
                for out in made:
                    sharing.join(out, statement.inputs[0])
            if spec.rehomes:
                sharing.join(*statement.inputs[:2])
            return statement.inputs[0] if spec.writes and statement.inputs else None
        case SetData():
            sharing.join(statement.tensor, statement.source)
            return statement.tensor
        case IncrementVersion():
            return statement.tensor
        case SetGrad():
            sharing.join(_slot(statement.tensor), statement.source)
        case ReadGrad():
            sharing.join(made[0], _slot(statement.tensor))
        case ZeroGrad(how="zero_"):
            return _slot(statement.tensor)
        case MakeDual():
            sharing.join(made[0], statement.primal)
            sharing.join(made[0], statement.tangent)
        case UnpackDual():
            for out in made:
                sharing.join(out, statement.tensor)
    return None


def _slot(tensor: int) -> int:
    """The name of a tensor's `.grad` among those that share memory."""
    return -1 - tensor


class _Sharing:
    """Tensors that may share memory, in groups that grow together."""

    def __init__(self) -> None:
        self.groups: dict[int, set[int]] = {}

    def group(self, tensor: int) -> set[int]:
        return self.groups.get(tensor, {tensor})

    def join(self, a: int, b: int) -> None:
        one, two = self.group(a), self.group(b)
        if one is not two:
            one = one | two
            self.groups.update(dict.fromkeys(one, one))

    def slots(self) -> list[int]:
        return [tensor for tensor in self.groups if tensor < 0]
