"""A program as source text: the standalone script of a finding, and the listing for a terminal.

Only valid programs are written (`oracle.program.check`), so that every name comes from the catalogue and all
else is a number; what engines said goes into comments and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from oracle import engines
from oracle.catalogue import CATALOGUE
from oracle.compare import Divergence, name_of
from oracle.engines.torchlike import STORED, array_of
from oracle.execute import run
from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Leaf,
    Program,
    RequiresGrad,
    RetainGrad,
    Statement,
    ZeroGrad,
    check,
    created,
)
from oracle.trace import Place


def script(program: Program, divergence: Divergence, subject: str, oracle: str, plant: str | None = None) -> str:
    """A Python script that shows the divergence with the two engines alone.

    It exits with 0 if they agree, 1 if they differ, 125 if it cannot run. `plant` names a defect that refgrad
    is given while it serves as the subject. Raises ProgramError for a program that is not valid, EngineError
    for an engine that does not exist.
    """
    check(program)
    engines.check_name(subject)
    fault = run(program, engines.get(oracle)).fault
    notes = [divergence.message, f"{subject}: {divergence.subject}", f"{oracle}: {divergence.oracle}"]
    if plant is not None:
        notes.append(f"Here {subject} has the planted defect {plant!r}.")
    head = [f"# {line}" for note in notes for line in _printable(note)]
    settings = [f"SUBJECT, ORACLE, PLANT = {subject!r}, {oracle!r}, {plant!r}"]
    if divergence.bound:
        settings.append("# How far apart each element may be, by an error bound made for this very program.")
        settings.append(f"TOLERANCE = {_bounds(divergence.bound)}")
    else:
        settings.append("TOLERANCE = []")
    body = [f"    {line}" for line in _body(program, divergence, fault.statement if fault else None)]
    return "\n".join([*head, _IMPORTS, *settings, "\n\ndef program(torch):", *body, _REST])


def describe(divergence: Divergence, program: Program) -> str:
    """The program with the place of the divergence marked, and both sides below it."""
    at = divergence.statement
    lines = [divergence.message, ""]
    lines += [f"{'>' if line.statement == at is not None else ' '} {line}" for line in _listing(program)]
    for name, text in (("subject", divergence.subject), ("oracle", divergence.oracle)):
        lines += ["", f"{name}:", *(f"  {line}" for line in text.splitlines())]
    if divergence.elements:
        head = f"{'element':<14} {'subject':>24} {'oracle':>24} {'difference':>12} {'ulps':>10} {'bound':>12}"
        lines += ["", head]
    for row in divergence.elements:
        ulps = "" if row["ulps"] is None else format(row["ulps"], ".3g")
        lines.append(
            f"{list(row['index'])!s:<14} {row['subject']!r:>24} {row['oracle']!r:>24} "
            f"{row['difference']:>12.3g} {ulps:>10} {row['bound']:>12.3g}"
        )
    return "\n".join(lines)


# --- a program as lines of Python ---------------------------------------------------------------------------


def leaf_source(leaf: Leaf) -> str:
    """An expression that makes the leaf."""
    made = _tensor(STORED[leaf.layout](array_of(leaf.value)))
    made += _VIEWS[leaf.layout].format(list(leaf.value.shape))
    return f"{made}.requires_grad_()" if leaf.requires_grad else made


def statement_source(statement: Statement, first: int) -> list[str]:
    """The lines of a statement, none for `Exit`; `first` is the number of the first tensor it creates."""
    match statement:
        case Call():
            spec = CATALOGUE[statement.op]
            made = spec.source([f"t{i}" for i in statement.inputs], statement.params)
            return [f"{_targets(first, statement.outputs, spec.outputs[1] > 1)} = {made}"]
        case Grad():
            arguments = [_tensors(statement.outputs), _tensors(statement.inputs), *_arguments(statement)]
            made = f"torch.autograd.grad({', '.join(arguments)})"
            return [f"{_targets(first, len(statement.inputs), True)} = {made}"]
        case Backward(roots=(root,)):
            return [f"t{root}.backward({', '.join(_arguments(statement))})"]
        case Backward():
            arguments = [_tensors(statement.roots), *_arguments(statement)]
            return [f"torch.autograd.backward({', '.join(arguments)})"]
        case Enter():
            return [f"with torch.{statement.mode}():"]
        case ZeroGrad(how="none"):
            return [f"t{statement.tensor}.grad = None"]
        case ZeroGrad():
            return [f"if t{statement.tensor}.grad is not None:", f"    t{statement.tensor}.grad.zero_()"]
        case RetainGrad():
            return [f"t{statement.tensor}.retain_grad()"]
        case RequiresGrad():
            return [f"t{statement.tensor}.requires_grad_({statement.value})"]
    return []


def _arguments(statement: Backward | Grad) -> list[str]:
    """What backward and grad take from their gradients on."""
    arguments = []
    if any(gradient is not None for gradient in statement.gradients):
        given = ["None" if g is None else _tensor(array_of(g)) for g in statement.gradients]
        alone = isinstance(statement, Backward) and len(given) == 1
        arguments.append(given[0] if alone else f"[{', '.join(given)}]")
    if statement.retain_graph is not None:
        arguments.append(f"retain_graph={statement.retain_graph}")
    if statement.create_graph:
        arguments.append("create_graph=True")
    if isinstance(statement, Grad):
        arguments += ["allow_unused=True"] if statement.allow_unused else []
    elif statement.inputs is not None:
        arguments.append(f"inputs={_tensors(statement.inputs)}")
    return arguments


def _targets(first: int, count: int, unpacked: bool) -> str:
    names = [f"t{i}" for i in range(first, first + count)]
    return f"({names[0]},)" if unpacked and count == 1 else ", ".join(names)


def _tensors(numbers: Sequence[int]) -> str:
    return f"[{', '.join(f't{i}' for i in numbers)}]"


def _tensor(array: np.ndarray) -> str:
    if not array.size:
        return f"torch.zeros({list(array.shape)}, dtype=torch.{array.dtype})"
    return f"torch.tensor({_nested(array)}, dtype=torch.{array.dtype})"


def _nested(array: np.ndarray) -> str:
    return f"[{', '.join(map(_nested, array))}]" if array.ndim else _number(array)


def _number(array: Any) -> str:
    """The shortest text that gives a 0-dim array (or scalar) back, through float64."""
    value = array.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return f'float("{value}")'
        short = float(str(array[()]))
        value = short if array.dtype.type(short) == value else value
    return repr(value)


def _bounds(bound: tuple[float, ...]) -> str:
    texts = [_number(np.float64(x)) for x in bound]
    return f"[{texts[0]}] * {len(texts)}" if len(set(texts)) == 1 else f"[{', '.join(texts)}]"


class _Line(NamedTuple):
    """A line of a program and the number of its statement, -1 for a leaf."""

    statement: int
    margin: str
    text: str

    def __str__(self) -> str:
        return self.margin + self.text


def _listing(program: Program) -> list[_Line]:
    """The whole program."""
    lines = [_Line(-1, "", f"t{i} = {leaf_source(leaf)}") for i, leaf in enumerate(program.leaves)]
    first, margin = len(program.leaves), ""
    for index, statement in enumerate(program.statements):
        lines += [_Line(index, margin, text) for text in statement_source(statement, first)]
        if isinstance(statement, Enter):
            margin += "    "
        elif isinstance(statement, Exit):
            if isinstance(program.statements[index - 1], Enter):
                lines.append(_Line(index, margin, "pass"))
            margin = margin[4:]
        first += created(statement)
    return lines


def _body(program: Program, divergence: Divergence, fault: int | None) -> list[str]:
    """The program as far as it matters, then what is to be compared, as lines of a function.

    `fault`: the statement that raises in the oracle's engine, if one does.
    """
    lines = _listing(program)
    at = -1 if divergence.statement is None else divergence.statement
    if divergence.kind == "exception":
        return _around_exception(program, lines, divergence)
    if divergence.what == "state":
        ending = [line for line in lines if line.statement == fault]
        text = [str(line) for line in lines if fault is None or line.statement < fault]
        if ending:
            text += [f"{ending[0].margin}with raising():  # in both", *(f"    {line}" for line in ending)]
    else:
        text = [str(line) for line in lines if line.statement <= at]
        text[-1] += "  # here they part"
    assert divergence.tensor is not None
    name = name_of(program, Place(divergence.statement, divergence.tensor, divergence.what))
    label, look = _ASPECTS[divergence.kind]
    return [*text, f'return {{"{name}{label}": {look.format(name)}}}']


def _around_exception(program: Program, lines: Sequence[_Line], divergence: Divergence) -> list[str]:
    """The program, with that of it inside `with raising()` which does not raise the same in both engines."""
    at = -1 if divergence.statement is None else divergence.statement
    statement = program.statements[at] if at >= 0 else None
    first = len(program.leaves) + sum(map(created, program.statements[: max(at, 0)]))
    if divergence.op == "end":
        head, inside = list(lines), []
        looked_at = range(len(program.leaves) + sum(map(created, program.statements)))
    elif statement is None or isinstance(statement, Enter | Exit):  # no line of its own
        head, inside = [], [line for line in lines if line.statement <= at]
        looked_at = range(len(program.leaves))
    else:
        head = [line for line in lines if line.statement < at]
        inside = [line for line in lines if line.statement == at]
        looked_at = range(first, first + created(statement))
    margin = inside[0].margin if inside else ""
    text = [*map(str, head), f"{margin}with raising() as seen:  # here they part"]
    text += [f"    {line}" for line in inside]
    if isinstance(statement, Enter):
        text.append(f"        {inside[-1].margin}pass")
    look = "numbers({})" if isinstance(statement, Grad) else "{}.numpy(force=True)"
    text += [f"    {margin}{look.format(f't{i}')}" for i in looked_at]
    return [*text, "return seen"]


def _printable(text: str) -> list[str]:
    return ["".join(c if c.isprintable() else "?" for c in line) for line in text.splitlines()]


_VIEWS = {
    "contiguous": "",
    "transposed": ".transpose(-1, -2).detach()",
    "strided": "[..., ::2].detach()",
    "expanded": ".expand({}).detach()",
}

_ASPECTS = {
    "value": ("", "numbers({0})"),
    "gradient": ("", "numbers({0})"),
    "none": (" is None", "{0} is None"),
    "dtype": (".dtype", "str({0}.dtype)"),
    "shape": (".shape", "list({0}.shape)"),
    "requires_grad": (".requires_grad", "{0}.requires_grad"),
    "is_leaf": (".is_leaf", "{0}.is_leaf"),
    "grad_fn": (".grad_fn", "{0}.grad_fn and {0}.grad_fn.name()"),
}

_IMPORTS = """#
# Exit status: 0 the engines agree, 1 they differ, 125 this cannot run.

import importlib
import sys
import warnings
from contextlib import contextmanager, nullcontext
"""

_REST = '''

def numbers(tensor):
    """The elements row by row, None for no tensor."""
    return None if tensor is None else tensor.numpy(force=True).ravel().tolist()


@contextmanager
def raising():
    """Catches an exception and keeps the name of its nearest built-in class."""
    seen = {"exception": None}
    try:
        yield seen
    except Exception as error:
        seen["exception"] = next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")


def observe(name, plant):
    """What the program shows on an engine."""
    engine = importlib.import_module(name)
    planted = importlib.import_module("refgrad.testing").plant(plant) if plant else nullcontext()
    with planted, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program(engine)


def near(mine, true, tolerance):
    """Whether two elements agree: NaN with NaN, equal ones, those no further apart than allowed."""
    if mine == true or (mine != mine and true != true) or tolerance == float("inf"):
        return True
    return abs(mine - true) <= tolerance


def agree(mine, true):
    """Whether two sides agree; prints them."""
    if not (TOLERANCE and isinstance(mine, list) and len(mine) == len(true) == len(TOLERANCE)):
        print(f"  {SUBJECT}: {mine}\\n  {ORACLE}: {true}")
        return mine == true
    verdicts = [near(*elements) for elements in zip(mine, true, TOLERANCE)]
    print(f"    element {SUBJECT:>24} {ORACLE:>24} {'allowed':>12}")
    for i, elements in enumerate(zip(mine, true, TOLERANCE)):
        if i < 12 or not verdicts[i]:
            mark, (a, b, tolerance) = " " if verdicts[i] else "!", elements
            print(f"{mark}{i:>10} {a!r:>24} {b!r:>24} {tolerance:>12.3g}")
    return all(verdicts)


def main():
    try:
        mine, true = observe(SUBJECT, PLANT), observe(ORACLE, None)
    except Exception as error:
        print(f"cannot run: {type(error).__name__}: {error}")
        return 125
    verdicts = []
    for what in true:
        print(f"{what}:")
        verdicts.append(agree(mine[what], true[what]))
    print("the engines agree" if all(verdicts) else "the engines differ")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
'''
