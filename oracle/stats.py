"""How programs are distributed: what `refgrad stats` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import log2
from typing import Any

from oracle.program import Backward, Call, Enter, Grad, Hook, Literal, Program, RequiresGrad, ZeroGrad, created
from oracle.program.statements import KIND_OF

_WIDTH = 24  # of a bar
_SHOWN = 12  # rows of a table in the text form; the others are summed up


class Stats(dict[str, Any]):
    """JSON data: numbers of programs and statements, and one distribution per aspect; `str` gives it as text.

    A distribution is {"total", "entropy" (in bits), "evenness" (entropy over the most it could be with as
    many values, 1 if there is one), "values": {value: {"count", "share"}}}: numbers in order, names by count.
    """

    def __str__(self) -> str:
        lines = [f"{self['programs']} programs, {self['statements']} statements"]
        for aspect, of in self["distributions"].items():
            lines.append("")
            lines.append(
                f"{aspect}: {of['total']} in {len(of['values'])} values, "
                f"entropy {of['entropy']:.2f} bits, evenness {of['evenness']:.2f}"
            )
            lines.extend(_rows(of["values"]))
        return "\n".join(lines)


def _rows(values: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    shown = list(values.items())
    if len(shown) > _SHOWN + 1:
        last = 1 if shown[0][0].isdecimal() else _SHOWN // 2
        first, middle, end = shown[: _SHOWN - last], shown[_SHOWN - last : -last], shown[-last:]
        rest = {key: sum(row[key] for _, row in middle) for key in ("count", "share")}
        shown = [*first, (f"({len(middle)} others)", rest), *end]
    width = max((len(value) for value, _ in shown), default=0)
    for value, row in shown:
        bar = "#" * round(_WIDTH * row["share"])
        yield f"  {value:{width}}  {row['count']:8d}  {row['share']:7.2%}  {bar}".rstrip()


def describe(programs: Iterable[Program]) -> Stats:
    """The distributions over some programs.

    ops; operand distance (tensors between an operand and the result: 1 for the newest tensor); dims and sizes
    of leaves and cotangents; dtypes, layouts and `requires_grad` of leaves; statements by kind; for each
    program its length (ops), depth (ops on the longest path) and number of leaves; sharing (ops that use a
    tensor); repeats (operands of a call beyond the distinct ones).
    """
    counts: dict[str, Counter[Any]] = {aspect: Counter() for aspect in ASPECTS}
    count = statements = 0
    for program in programs:
        count += 1
        statements += len(program.statements)
        for aspect, tally in ASPECTS.items():
            counts[aspect].update(tally(program))
    return Stats(
        programs=count,
        statements=statements,
        distributions={aspect: distribution(counter) for aspect, counter in counts.items()},
    )


def distribution(counts: Mapping[Any, int]) -> dict[str, Any]:
    """Counts with shares and entropy, as `Stats` describes it."""
    total = sum(counts.values())
    shares = {value: n / total for value, n in counts.items() if n}
    entropy = sum(-share * log2(share) for share in shares.values())
    most = log2(len(shares)) if len(shares) > 1 else 0.0
    return {
        "total": total,
        "entropy": entropy,
        "evenness": entropy / most if most else 1.0,
        "values": {
            str(value): {"count": counts[value], "share": share}
            for value, share in sorted(shares.items(), key=_rank)
        },
    }


def _rank(item: tuple[Any, float]) -> tuple[float, str]:
    value, share = item
    return (value, "") if type(value) is int else (-share, str(value))


def _calls(program: Program) -> Iterable[tuple[int, Call]]:
    """Every call with the number of its first output."""
    number = len(program.leaves)
    for statement in program.statements:
        if isinstance(statement, Call):
            yield number, statement
        number += created(statement)


def _ops(program: Program) -> Iterable[str]:
    return (call.op for _, call in _calls(program))


def _distances(program: Program) -> Iterable[int]:
    return (number - i for number, call in _calls(program) for i in call.inputs)


def _literals(program: Program) -> Iterable[Literal]:
    yield from (leaf.value for leaf in program.leaves)
    for statement in program.statements:
        if isinstance(statement, Backward | Grad):
            yield from (gradient for gradient in statement.gradients if isinstance(gradient, Literal))


def _dims(program: Program) -> Iterable[int]:
    return (len(literal.shape) for literal in _literals(program))


def _sizes(program: Program) -> Iterable[str]:
    return (_size_class(size) for literal in _literals(program) for size in literal.shape)


def _size_class(n: int) -> str:
    return str(n) if n < 6 else "6 to 10" if n <= 10 else "over 10"


def _elements(program: Program) -> Iterable[str]:
    return (_number_class(len(literal.data)) for literal in _literals(program))


def _number_class(n: int) -> str:
    if n < 2:
        return str(n)
    return next((f"{low} to {high}" for low, high in ((2, 6), (7, 24), (25, 100)) if n <= high), "over 100")


def _kinds(program: Program) -> Iterable[str]:
    for statement in program.statements:
        match statement:
            case Call():
                continue
            case Backward() | Grad():
                name = type(statement).__name__.lower()
                yield f"{name}, create_graph" if statement.create_graph else name
            case ZeroGrad(how=how):
                yield f"zero_grad, {how}"
            case RequiresGrad(value=value):
                yield f"requires_grad, {value}"
            case Enter(mode=mode):
                yield mode
            case Hook(place=place, action=action):
                yield f"hook, {place}, {action}"
            case _:
                yield KIND_OF[type(statement)]


def _depth(program: Program) -> Iterable[int]:
    depth = [0] * len(program.leaves)
    for statement in program.statements:
        used = statement.inputs if isinstance(statement, Call | Grad) else ()
        depth += [1 + max((depth[i] for i in used), default=0)] * created(statement)
    return (max(depth),)


def _sharing(program: Program) -> Iterable[int]:
    uses = Counter(i for _, call in _calls(program) for i in set(call.inputs))
    total = len(program.leaves) + sum(map(created, program.statements))
    return (uses[i] for i in range(total))


def _repeats(program: Program) -> Iterable[int]:
    return (len(call.inputs) - len(set(call.inputs)) for _, call in _calls(program))


ASPECTS: dict[str, Callable[[Program], Iterable[Any]]] = {
    "ops": _ops,
    "statements besides ops": _kinds,
    "operand distance": _distances,
    "sharing": _sharing,
    "repeated operands": _repeats,
    "length": lambda program: (sum(1 for _ in _calls(program)),),
    "depth": _depth,
    "leaves": lambda program: (len(program.leaves),),
    "dims": _dims,
    "sizes": _sizes,
    "elements": _elements,
    "dtypes": lambda program: (leaf.value.dtype for leaf in program.leaves),
    "layouts": lambda program: (leaf.layout for leaf in program.leaves),
    "requires_grad": lambda program: (leaf.requires_grad for leaf in program.leaves),
}
