"""The second stage of shrinking: makes a program that fails simpler while it still fails.

Hypothesis shrinks the choices a program was drawn from, and cannot leave what those choices can say. Here
the program itself is edited: statements dropped, nodes bypassed or cut out of their history, shapes, values,
dtypes and flags made simple. Every edit that is kept makes `complexity` smaller, so an end is always reached;
there is no randomness and no clock.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from oracle.draft import Draft, Step, references_of, renumbered
from oracle.program import (
    Backward,
    Call,
    Grad,
    Leaf,
    Literal,
    Program,
    ProgramError,
    Statement,
    check,
    digest,
)

StandIns = Callable[[Program], Sequence[Leaf | None]]
"""For each tensor of a program a leaf with its value; None where there is none (a statement raised)."""

FLOATS = ("float16", "float32", "float64")


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
    edits = (search.cuts, drops, bypasses, references, shapes, dtypes, flags, params, values)
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
        if self.stand_ins is None or all(place[0] == "leaf" for place, _ in _literals(program)):
            return program
        leaves, fitted = self.stand_ins(program), program
        for place, literal in _literals(program):
            if place[0] == "gradient":
                root = leaves[_roots(program.statements[place[1]])[place[2]]]
                if root is not None and (root.value.shape, root.value.dtype) != (
                    literal.shape,
                    literal.dtype,
                ):
                    fitted = _put(fitted, place, resized(literal, root.value.shape, root.value.dtype))
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


# Edits: each yields candidates, the boldest first.


def drops(program: Program) -> Iterator[Program]:
    """Statements left out in ever shorter runs, the last ones first; then leaves."""
    draft = Draft.of(program)
    yield draft.only(draft.used()).program()
    size = len(draft.steps)
    while size:
        for start in range(len(draft.steps) - size, -1, -size):
            yield draft.without(*draft.steps[start : start + size]).program()
        size //= 2
    for name in draft.leaves:
        yield draft.only(draft.leaves.keys() - {name}).program()


def bypasses(program: Program) -> Iterator[Program]:
    """Calls left out; what used their output uses one of their inputs instead."""
    draft = Draft.of(program)
    for step in reversed(draft.steps):
        if isinstance(step.statement, Call):
            for name in dict.fromkeys(step.statement.inputs):
                yield draft.without(step).program(dict.fromkeys(step.outputs, name))


def references(program: Program) -> Iterator[Program]:
    """Fewer roots and fewer inputs of backward and grad."""
    draft = Draft.of(program)
    for i, step in enumerate(draft.steps):
        if not isinstance(step.statement, (Backward, Grad)):
            continue
        used = dict.fromkeys(references_of(step.statement))
        for gone in used:
            new, kept = renumbered(step.statement, {name: name for name in used if name != gone}.get)
            if new is not None:
                outputs = step.outputs if kept is None else tuple(step.outputs[k] for k in kept)
                steps = (*draft.steps[:i], Step(new, outputs), *draft.steps[i + 1 :])
                yield Draft(draft.leaves, steps).program()


def shapes(program: Program) -> Iterator[Program]:
    """Smaller dimensions of all leaves at once (in parameters too) and of single leaves; fewer dimensions."""
    sizes = sorted({size for leaf in program.leaves for size in leaf.value.shape}, reverse=True)
    for old, new, everywhere in product(sizes, (1, 2), (True, False)):
        if new < old:
            base = _map_params(program, {old: new}) if everywhere else program
            smaller = [[new if size == old else size for size in shape] for shape in _shapes(base)]
            yield _with_shapes(base, smaller)
    for axis in (0, -1):
        yield _with_shapes(
            program, [_drop(shape, axis % len(shape)) if shape else () for shape in _shapes(program)]
        )
    for i, leaf in enumerate(program.leaves):
        shape = leaf.value.shape
        candidates: list[Sequence[int]] = [()]
        candidates += [_drop(shape, k) for k in range(len(shape))]
        for k, new in product(range(len(shape)), (1, 2)):
            if new < shape[k]:
                candidates.append((*shape[:k], new, *shape[k + 1 :]))
        for candidate in candidates:
            yield _set_leaf(program, i, replace(leaf, value=resized(leaf.value, candidate)))


def dtypes(program: Program) -> Iterator[Program]:
    """float64 instead of other floats: everywhere, in parameters too, then leaf by leaf."""
    yield _map_literals(_map_params(program, dict.fromkeys(FLOATS, "float64")), _float64)
    yield _map_literals(program, _float64)
    for i, leaf in enumerate(program.leaves):
        yield _set_leaf(program, i, replace(leaf, value=_float64(leaf.value)))


def flags(program: Program) -> Iterator[Program]:
    """Plain layouts, no requires_grad, and the defaults of backward and grad."""
    for i, leaf in enumerate(program.leaves):
        yield _set_leaf(program, i, replace(leaf, layout="contiguous"))
        yield _set_leaf(program, i, replace(leaf, requires_grad=False))
    for i, statement in enumerate(program.statements):
        changes: list[dict[str, Any]] = []
        if isinstance(statement, (Backward, Grad)):
            changes += [
                {"create_graph": False, "retain_graph": None},
                {"create_graph": False},
                {"retain_graph": None},
            ]
            for k in range(len(statement.gradients)):
                changes.append({"gradients": (*statement.gradients[:k], None, *statement.gradients[k + 1 :])})
        if isinstance(statement, Backward):
            changes.append({"inputs": None})
        if isinstance(statement, Grad):
            changes.append({"allow_unused": False})
        for change in changes:
            yield _set_statement(program, i, replace(statement, **change))


def params(program: Program) -> Iterator[Program]:
    """Inputs and parameters left out, or simpler parameters."""
    for i, statement in enumerate(program.statements):
        if not isinstance(statement, Call):
            continue
        for k in range(len(statement.inputs)):
            yield _set_statement(program, i, replace(statement, inputs=_drop(statement.inputs, k)))
        for name, value in statement.params.items():
            rest = {other: item for other, item in statement.params.items() if other != name}
            yield _set_statement(program, i, replace(statement, params=rest))
            for simpler in _simpler(value):
                changed = replace(statement, params={**statement.params, name: simpler})
                yield _set_statement(program, i, changed)


def values(program: Program) -> Iterator[Program]:
    """Simple numbers: in all literals at once, in single literals, in single elements of small ones."""
    for pattern in _PATTERNS:
        yield _map_literals(program, partial(_patterned, pattern=pattern))
    places = list(_literals(program))
    for (place, literal), pattern in product(places, _PATTERNS):
        yield _put(program, place, _patterned(literal, pattern))
    for place, literal in places:
        if len(literal.data) <= 16:
            for k, pattern in product(range(len(literal.data)), _PATTERNS):
                yield _put(program, place, _patterned(literal, pattern, k))


def complexity(program: Program) -> tuple[int, ...]:
    """What shrinking makes less: statements, leaves, narrow dtypes, elements, flags, parameters, digits."""
    literals = [literal for _, literal in _literals(program)]
    flags = sum(leaf.requires_grad + (leaf.layout != "contiguous") for leaf in program.leaves)
    words = 0
    for statement in program.statements:
        if isinstance(statement, Call):
            words += len(json.dumps(statement.params)) + len(statement.inputs)
        if isinstance(statement, (Backward, Grad)):
            flags += (statement.retain_graph is not None) + statement.create_graph
            flags += sum(gradient is not None for gradient in statement.gradients)
            words += len(references_of(statement))
        if isinstance(statement, Backward):
            flags += statement.inputs is not None
        if isinstance(statement, Grad):
            flags += statement.allow_unused
    return (
        len(program.statements),
        len(program.leaves),
        sum(_float64(literal) is not literal for literal in literals),
        sum(_size(literal) for literal in literals),
        flags,
        words,
        sum(_digits(value) for literal in literals for value in literal.data),
    )


def resized(literal: Literal, shape: Sequence[int], dtype: str | None = None) -> Literal:
    """`literal` cut (or repeated) to `shape`, dimensions counted from the last, and rounded to `dtype`."""
    shape, dtype = tuple(shape), dtype or literal.dtype
    old = (1,) * (len(shape) - len(literal.shape)) + literal.shape
    front = (0,) * (len(old) - len(shape))
    data = []
    for place in product(*map(range, shape)):
        flat = 0
        for size, k in zip(old, front + place, strict=True):
            flat = flat * size + (k % size if size else 0)
        data.append(_cast(literal.data[flat] if literal.data else 1, dtype))
    return Literal(dtype, shape, tuple(data))


_Pattern = Callable[[int, Any], Any]

_PATTERNS: tuple[_Pattern, ...] = (
    lambda k, value: 0,
    lambda k, value: 1,
    lambda k, value: 2,
    lambda k, value: k + 1,
    lambda k, value: round(value),
    lambda k, value: round(value, 1),
    lambda k, value: abs(value),
)


def _patterned(literal: Literal, pattern: _Pattern, only: int | None = None) -> Literal:
    """`literal` with its finite elements (or one of them) changed by `pattern`."""
    data = list(literal.data)
    for k in range(len(data)) if only is None else (only,):
        if math.isfinite(data[k]):
            data[k] = _cast(pattern(k, data[k]), literal.dtype)
    return replace(literal, data=tuple(data))


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


def _cast(value: Any, dtype: str) -> Any:
    """`value` as an element of `dtype`, rounded to it; what an integer cannot hold becomes 1."""
    if dtype == "bool":
        return bool(value)
    if dtype in FLOATS:
        return float(np.dtype(dtype).type(value))
    return int(value) if math.isfinite(value) else 1


def _float64(literal: Literal) -> Literal:
    narrow = literal.dtype in FLOATS and literal.dtype != "float64"
    return replace(literal, dtype="float64") if narrow else literal


def _simpler(value: Any) -> Iterator[Any]:
    """Simpler values of a parameter: none, small numbers, shorter lists, and lists of those."""
    if value is None or isinstance(value, (str, dict)):
        return
    yield None
    if isinstance(value, bool):
        yield False
    elif isinstance(value, (int, float)):
        kind = type(value)
        yield from (kind(0), kind(1), kind(2))
        if isinstance(value, float) and math.isfinite(value):
            yield from (float(round(value)), round(value, 1))
    else:
        for k, item in enumerate(value):
            yield value[:k] + value[k + 1 :]
            for simpler in _simpler(item):
                yield [*value[:k], simpler, *value[k + 1 :]]


def _roots(statement: Statement) -> tuple[int, ...]:
    if isinstance(statement, Backward):
        return statement.roots
    return statement.outputs if isinstance(statement, Grad) else ()


def _drop(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def _set_leaf(program: Program, i: int, leaf: Leaf) -> Program:
    return replace(program, leaves=(*program.leaves[:i], leaf, *program.leaves[i + 1 :]))


def _set_statement(program: Program, i: int, statement: Statement) -> Program:
    statements = (*program.statements[:i], statement, *program.statements[i + 1 :])
    return replace(program, statements=statements)


_Place = tuple[str, int, int]


def _literals(program: Program) -> Iterator[tuple[_Place, Literal]]:
    """Every literal with its place: ("leaf", i, 0), or ("gradient", i, k) for root k of statement i."""
    for i, leaf in enumerate(program.leaves):
        yield ("leaf", i, 0), leaf.value
    for i, statement in enumerate(program.statements):
        if isinstance(statement, (Backward, Grad)):
            for k, gradient in enumerate(statement.gradients):
                if gradient is not None:
                    yield ("gradient", i, k), gradient


def _put(program: Program, place: _Place, literal: Literal) -> Program:
    where, i, k = place
    if where == "leaf":
        return _set_leaf(program, i, replace(program.leaves[i], value=literal))
    statement = program.statements[i]
    assert isinstance(statement, (Backward, Grad))
    gradients = (*statement.gradients[:k], literal, *statement.gradients[k + 1 :])
    return _set_statement(program, i, replace(statement, gradients=gradients))


def _map_literals(program: Program, change: Callable[[Literal], Literal]) -> Program:
    for place, literal in list(_literals(program)):
        program = _put(program, place, change(literal))
    return program


def _shapes(program: Program) -> list[tuple[int, ...]]:
    """The shapes of its leaves."""
    return [leaf.value.shape for leaf in program.leaves]


def _with_shapes(program: Program, shapes: Sequence[Sequence[int]]) -> Program:
    """The program with its leaves in these shapes."""
    pairs = zip(program.leaves, shapes, strict=True)
    return replace(
        program, leaves=tuple(replace(leaf, value=resized(leaf.value, shape)) for leaf, shape in pairs)
    )


def _map_params(program: Program, new: Mapping[Any, Any]) -> Program:
    """The program with values of parameters replaced, inside lists too."""

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(item) for item in value]
        return (
            new.get(value, value) if isinstance(value, (str, int)) and not isinstance(value, bool) else value
        )

    for i, statement in enumerate(program.statements):
        if isinstance(statement, Call) and statement.params:
            simpler = {name: changed(value) for name, value in statement.params.items()}
            program = _set_statement(program, i, replace(statement, params=simpler))
    return program
