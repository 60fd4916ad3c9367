"""Edits that make a program simpler: each yields candidates, the boldest first, not all of them valid."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from oracle.draft import Draft, Step, renumbered
from oracle.plan import plan
from oracle.program import (
    Backward,
    Call,
    Grad,
    Gradient,
    Hook,
    Leaf,
    Literal,
    Program,
    RequiresGrad,
    Statement,
    references_of,
)

FLOATS = ("float16", "float32", "float64")


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


def unwrapped(program: Program) -> Iterator[Program]:
    """Spans without their mode."""
    ends = plan(program).ends
    for start, end in ends.items():
        left = [s for i, s in enumerate(program.statements) if i not in (start, end)]
        yield replace(program, statements=tuple(left))


def bypasses(program: Program) -> Iterator[Program]:
    """Calls and the like left out; what used their output uses one of their inputs instead."""
    draft = Draft.of(program)
    for step in reversed(draft.steps):
        if step.outputs and not isinstance(step.statement, Grad):
            for name in dict.fromkeys(references_of(step.statement)):
                yield draft.without(step).program(dict.fromkeys(step.outputs, name))


def references(program: Program) -> Iterator[Program]:
    """Fewer roots and fewer inputs of backward and grad, fewer tensors of a hook."""
    draft = Draft.of(program)
    for i, step in enumerate(draft.steps):
        if not isinstance(step.statement, Backward | Grad | Hook):
            continue
        used = dict.fromkeys(references_of(step.statement))
        for gone in used:
            new, kept = renumbered(step.statement, {name: name for name in used if name != gone}.get)
            if new is not None:
                outputs = step.outputs if kept is None else tuple(step.outputs[k] for k in kept)
                steps = (*draft.steps[:i], Step(new, outputs), *draft.steps[i + 1 :])
                yield Draft(draft.leaves, steps).program()
    for i, statement in enumerate(program.statements):
        for fewer in _without_a_repeat(statement):
            yield _set_statement(program, i, fewer)


def _without_a_repeat(statement: Statement) -> Iterator[Statement]:
    """The statement with one root fewer, where it names one more than once."""
    if isinstance(statement, Backward | Grad):
        roots, gradients = roots_of(statement), statement.gradients
        name = "roots" if isinstance(statement, Backward) else "outputs"
        for k in range(len(roots)):
            if roots[k] in roots[:k]:
                changes: dict[str, Any] = {name: _drop(roots, k), "gradients": (*gradients[:k], *gradients[k + 1 :])}
                yield replace(statement, **changes)


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
    yield _map_literals(_map_params(program, dict.fromkeys(FLOATS, "float64")), in_float64)
    yield _map_literals(program, in_float64)
    for i, leaf in enumerate(program.leaves):
        yield _set_leaf(program, i, replace(leaf, value=in_float64(leaf.value)))


def flags(program: Program) -> Iterator[Program]:
    """Plain layouts, no requires_grad, plain hooks, and the defaults of calls, backward and grad."""
    for i, leaf in enumerate(program.leaves):
        yield _set_leaf(program, i, replace(leaf, layout="contiguous"))
        yield _set_leaf(program, i, replace(leaf, requires_grad=False))
    for i, statement in enumerate(program.statements):
        for change in _plainer(statement):
            yield _set_statement(program, i, replace(statement, **change))


def _plainer(statement: Statement) -> Iterator[dict[str, Any]]:
    """Changes that make a statement plainer."""
    match statement:
        case Backward() | Grad():
            yield {"create_graph": False, "retain_graph": None}
            yield {"create_graph": False}
            yield {"retain_graph": None}
            yield {"edges": None}
            gradients = statement.gradients
            yield {"gradients": gradients[: len(roots_of(statement))]}
            for k in range(len(gradients)):
                yield {"gradients": (*gradients[:k], None, *gradients[k + 1 :])}
            if isinstance(statement, Backward):
                yield {"inputs": None}
            else:
                yield {"allow_unused": False}
                yield {"materialize_grads": False}
                if statement.is_grads_batched:
                    yield {"is_grads_batched": False, "gradients": tuple(map(_first_row, gradients))}
        case Call(through=str()):
            yield {"through": None}
        case RequiresGrad():
            yield {"how": "method"}
        case Hook():
            yield {"action": "observe", "value": None, "place": "tensor", "tensors": statement.tensors[:1]}
            yield {"action": "observe", "value": None}
            yield {"place": "tensor", "tensors": statement.tensors[:1]}
            if statement.action == "scale":
                yield {"value": 2.0}


def _first_row(gradient: Gradient) -> Gradient:
    """A batch's first gradient."""
    return resized(gradient, gradient.shape[1:]) if isinstance(gradient, Literal) and gradient.shape else gradient


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
    places = list(literals_of(program))
    for (place, literal), pattern in product(places, _PATTERNS):
        yield put(program, place, _patterned(literal, pattern))
    for place, literal in places:
        if len(literal.data) <= 16:
            for k, pattern in product(range(len(literal.data)), _PATTERNS):
                yield put(program, place, _patterned(literal, pattern, k))


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


def _cast(value: Any, dtype: str) -> Any:
    """`value` as an element of `dtype`, rounded to it; what an integer cannot hold becomes 1."""
    if dtype == "bool":
        return bool(value)
    if dtype in FLOATS:
        return float(np.dtype(dtype).type(value))
    return int(value) if math.isfinite(value) else 1


def in_float64(literal: Literal) -> Literal:
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


def roots_of(statement: Statement) -> tuple[int, ...]:
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


Place = tuple[str, int, int]


def literals_of(program: Program) -> Iterator[tuple[Place, Literal]]:
    """Every literal with its place: ("leaf", i, 0), ("gradient", i, k) for root k of statement i, or ("hook", i, 0)."""
    for i, leaf in enumerate(program.leaves):
        yield ("leaf", i, 0), leaf.value
    for i, statement in enumerate(program.statements):
        if isinstance(statement, Backward | Grad):
            for k, gradient in enumerate(statement.gradients):
                if isinstance(gradient, Literal):
                    yield ("gradient", i, k), gradient
        elif isinstance(statement, Hook) and isinstance(statement.value, Literal):
            yield ("hook", i, 0), statement.value


def put(program: Program, place: Place, literal: Literal) -> Program:
    where, i, k = place
    if where == "leaf":
        return _set_leaf(program, i, replace(program.leaves[i], value=literal))
    statement = program.statements[i]
    if isinstance(statement, Hook):
        return _set_statement(program, i, replace(statement, value=literal))
    assert isinstance(statement, Backward | Grad)
    gradients = (*statement.gradients[:k], literal, *statement.gradients[k + 1 :])
    return _set_statement(program, i, replace(statement, gradients=gradients))


def _map_literals(program: Program, change: Callable[[Literal], Literal]) -> Program:
    for place, literal in list(literals_of(program)):
        program = put(program, place, change(literal))
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
