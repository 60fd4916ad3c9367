"""The second stage of shrinking: makes a program that fails simpler while it still fails.

Hypothesis shrinks the choices a program was drawn from, and cannot leave what those choices can say. Here
the program itself is edited: statements dropped, nodes bypassed or cut out of their history, shapes, values,
dtypes and flags made simple. Every edit that is kept makes `complexity` smaller, so an end is always reached;
there is no randomness and no clock.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from oracle.draft import Draft
from oracle.edits import (
    bypasses,
    drops,
    dtypes,
    flags,
    in_float64,
    literals_of,
    params,
    put,
    references,
    resized,
    roots_of,
    shapes,
    unwrapped,
    values,
)
from oracle.program import (
    Backward,
    Call,
    Grad,
    Hook,
    Leaf,
    Literal,
    Program,
    ProgramError,
    RequiresGrad,
    check,
    digest,
    references_of,
)

StandIns = Callable[[Program], Sequence[Leaf | None]]
"""For each tensor of a program a leaf with its value; None where there is none (a statement raised)."""


def reduce(
    program: Program,
    still_fails: Callable[[Program], bool],
    budget: int,
    stand_ins: StandIns | None = None,
) -> Program:
    """The simplest program found that still fails, after at most `budget` calls of `still_fails`.

    `program` itself is taken to fail and is returned when nothing simpler does. With `stand_ins` a tensor can
    be cut out of its history, and cotangents follow the shape of their roots.
    """
    search = _Search(program, still_fails, budget, stand_ins)
    edits = (search.cuts, drops, unwrapped, bypasses, references, shapes, dtypes, flags, params, values)
    try:
        before = None
        while search.best is not before:
            before = search.best
            for edit in edits:
                search.descend(edit)
    except _Spent:
        pass
    return search.best


class _Spent(Exception):
    """The budget is used up."""


class _Search:
    """The best program so far and what was tried."""

    def __init__(
        self,
        program: Program,
        still_fails: Callable[[Program], bool],
        budget: int,
        stand_ins: StandIns | None,
    ) -> None:
        self.best = program
        self.still_fails = still_fails
        self.budget = budget
        self.stand_ins = stand_ins
        self.tried = {digest(program)}

    def descend(self, edit: Callable[[Program], Iterable[Program]]) -> None:
        """Takes every candidate of `edit` that helps, going on in the new program where it left the old."""
        position, helped = 0, True
        while helped:
            helped = False
            for i, candidate in enumerate(edit(self.best)):
                if i >= position and self.accept(candidate):
                    position, helped = i, True
                    break

    def accept(self, candidate: Program) -> bool:
        """Whether `candidate` is simpler and still fails; if so it is the best from now on."""
        if not self.is_new(candidate):
            return False
        fitted = self.fit(candidate)
        if (fitted is not candidate and not self.is_new(fitted)) or complexity(fitted) >= complexity(
            self.best
        ):
            return False
        if not self.budget:
            raise _Spent
        self.budget -= 1
        if not self.still_fails(fitted):
            return False
        self.best = fitted
        return True

    def is_new(self, candidate: Program) -> bool:
        """Whether `candidate` is a program and was not tried before."""
        try:
            check(candidate)
        except ProgramError:
            return False
        before = len(self.tried)
        self.tried.add(digest(candidate))
        return len(self.tried) > before

    def fit(self, program: Program) -> Program:
        """`program` with every cotangent in the shape and dtype of its root."""
        if self.stand_ins is None or all(place[0] == "leaf" for place, _ in literals_of(program)):
            return program
        leaves, fitted = self.stand_ins(program), program
        for place, literal in literals_of(program):
            statement = program.statements[place[1]] if place[0] == "gradient" else None
            roots = () if statement is None else roots_of(statement)
            root = leaves[roots[place[2]]] if place[2] < len(roots) else None
            if root is None:
                continue
            shape, dtype = root.value.shape, root.value.dtype
            if isinstance(statement, Grad) and statement.is_grads_batched:
                shape = (*literal.shape[:1], *shape)
            if (shape, dtype) != (literal.shape, literal.dtype):
                fitted = put(fitted, place, resized(literal, shape, dtype))
        return fitted

    def cuts(self, program: Program) -> Iterator[Program]:
        """Tensors turned into leaves that hold their value, the latest first: with them goes most."""
        if self.stand_ins is None:
            return
        leaves, draft = self.stand_ins(program), Draft.of(program)
        for step in reversed(draft.steps):
            known = {name: leaf for name in step.outputs if (leaf := leaves[name]) is not None}
            if known:
                cut = Draft({**draft.leaves, **known}, draft.without(step).steps)
                yield cut.without_orphans_of(draft).program()


def complexity(program: Program) -> tuple[int, ...]:
    """What shrinking makes less: statements, leaves, narrow dtypes, elements, flags, parameters, digits."""
    literals = [literal for _, literal in literals_of(program)]
    flags = sum(leaf.requires_grad + (leaf.layout != "contiguous") for leaf in program.leaves)
    words = 0
    for statement in program.statements:
        if isinstance(statement, Call):
            words += len(json.dumps(statement.params)) + len(statement.inputs)
            flags += statement.through is not None
        if isinstance(statement, Backward | Grad):
            flags += (statement.retain_graph is not None) + statement.create_graph + (statement.edges is not None)
            flags += sum(gradient is not None for gradient in statement.gradients)
            words += len(references_of(statement))
        if isinstance(statement, Backward):
            flags += statement.inputs is not None
        if isinstance(statement, Grad):
            flags += bool(statement.allow_unused) + statement.materialize_grads + statement.is_grads_batched
        if isinstance(statement, RequiresGrad):
            flags += statement.how != "method"
        if isinstance(statement, Hook):
            flags += 2 * (statement.action != "observe") + (statement.place != "tensor")
            words += len(statement.tensors) + (statement.action == "scale" and statement.value != 2.0)
    return (
        len(program.statements),
        len(program.leaves),
        sum(in_float64(literal) is not literal for literal in literals),
        sum(_size(literal) for literal in literals),
        flags,
        words,
        sum(_digits(value) for literal in literals for value in literal.data),
    )


def _size(literal: Literal) -> int:
    """Elements and dimensions; an empty dimension is odd and counts more."""
    return 1 + len(literal.data) + len(literal.shape) + 2 * literal.shape.count(0)


def _digits(value: Any) -> int:
    """How hard a number is to read: 0 for 0, 1 for 1, up to 8."""
    if not math.isfinite(value):
        return 7
    if value == round(value):
        size = abs(value)
        return (value < 0) + (int(size) if size < 2 else 2 if size < 10 else 4)
    return 6 if value == round(value, 1) else 8
