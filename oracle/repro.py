"""The standalone script of a finding, and the listing for a terminal.

Only valid programs are written (`oracle.program.check`), so that every name comes from the catalogue and all
else is a number; what engines said goes into comments and nowhere else.
"""

from __future__ import annotations

import numpy as np

from oracle import engines
from oracle.compare import Divergence
from oracle.execute import MAX_FAULTS, run
from oracle.looks import look_at
from oracle.program import Call, Enter, Exit, Grad, Hook, Program, SetGradEnabled, check, created
from oracle.source import Line, Writing, definitions, leaf_source, listing, number_source
from oracle.trace import Trace

__all__ = ["describe", "leaf_source", "script"]


def script(program: Program, divergence: Divergence, subject: str, oracle: str, plant: str | None = None) -> str:
    """A Python script that shows the divergence with the two engines alone.

    It exits with 0 if they agree, 1 if they differ, 125 if it cannot run. `plant` names a defect that refgrad
    is given while it serves as the subject. Raises ProgramError for a program that is not valid, EngineError
    for an engine that does not exist.
    """
    check(program)
    engines.check_name(subject)
    trace = run(program, engines.get(oracle))
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
    body = [f"    {line}" for line in _body(program, divergence, trace)]
    carried = definitions(program)
    future = ["from __future__ import annotations\n"] if carried else []  # nothing that they name is imported
    lines = [*head, _SAYS, *future, *_imports(program), *settings]
    for source in carried:
        lines += ["\n", source]
    return "\n".join([*lines, "\n\ndef program(torch):", *body, _REST])


def describe(divergence: Divergence, program: Program) -> str:
    """The program with the place of the divergence marked, and both sides below it."""
    at = divergence.statement
    lines = [divergence.message, ""]
    lines += [f"{'>' if line.statement == at is not None else ' '} {line}" for line in listing(program)]
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


def _imports(program: Program) -> list[str]:
    names = ["importlib", "sys", "warnings"]
    if any(isinstance(s, Call) and s.op == "deepcopy" for s in program.statements):
        names.append("copy")
    return [*(f"import {name}" for name in sorted(names)), "from contextlib import contextmanager, nullcontext\n"]


def _bounds(bound: tuple[float, ...]) -> str:
    texts = [number_source(np.float64(x)) for x in bound]
    return f"[{texts[0]}] * {len(texts)}" if len(set(texts)) == 1 else f"[{', '.join(texts)}]"


def _body(program: Program, divergence: Divergence, trace: Trace) -> list[str]:
    """The program as far as it matters, then what is to be compared, as lines of a function."""
    raising = {fault.statement for fault in trace.faults if fault.statement is not None}
    skipped = {place.statement for place in trace.places if place.what == "skipped" and place.statement is not None}
    head = ["called, calls = recorder(torch)"] if any(isinstance(s, Hook) for s in program.statements) else []
    if divergence.kind == "exception":
        return [*head, *_around_exception(program, divergence, raising, skipped)]
    at = len(program.statements) if len(trace.faults) < MAX_FAULTS else trace.faults[-1].statement
    if divergence.what != "state":
        at = divergence.statement
    if divergence.kind == "mode" and divergence.place is not None:
        at = max(at or 0, divergence.place.part)
    at = -1 if at is None else at
    look = look_at(program, divergence, trace)
    if "kept[" in look.expression:
        head.append("kept = {}")
    how = Writing(at, raising, skipped, look.before, look.after, look.instead)
    text = [str(line) for line in listing(program, how)]
    if divergence.what != "state" and not look.after:
        place = max(i for i, line in enumerate(listing(program, how)) if line.statement <= at)
        text[place] += "  # here they part"
    text += ["torch.set_grad_enabled(True)"] if _leaves_a_mode(program) else []
    return [*head, *text, f'return {{"{look.label}": {look.expression}}}']


def _leaves_a_mode(program: Program) -> bool:
    """Whether the grad mode may be another one at the end."""
    return any(isinstance(s, SetGradEnabled) or s == Enter("again") for s in program.statements)


def _around_exception(
    program: Program, divergence: Divergence, raising: set[int], skipped: set[int]
) -> list[str]:
    """The program, with that of it inside `with raising(seen)` which does not raise the same in both engines."""
    at = -1 if divergence.statement is None else divergence.statement
    end = divergence.op == "end"
    how = Writing(len(program.statements) if end else at, raising - {at}, skipped)
    lines = listing(program, how)
    statement = program.statements[at] if at >= 0 else None
    first = len(program.leaves) + sum(map(created, program.statements[: max(at, 0)]))
    behind: list[Line] = []
    if end:
        looked_at = range(len(program.leaves) + sum(map(created, program.statements)))
        before, inside = lines, []
    elif statement is None or isinstance(statement, Enter | Exit):  # no line of its own
        looked_at = range(len(program.leaves))
        before, inside = [], lines
    else:
        looked_at = range(first, first + created(statement))
        before = [line for line in lines[: _place(lines, at)]]
        inside = [line for line in lines if line.statement == at]
        behind = lines[_place(lines, at) + len(inside) :]
    margin = inside[0].margin if inside else ""
    look = "numbers({})" if isinstance(statement, Grad) else "{}.numpy(force=True)"
    there = [i for i in looked_at if not end or _is_there(program, i, skipped | raising)]
    text = ["seen = {}", *map(str, before), f"{margin}with raising(seen):  # here they part"]
    text += [f"    {line}" for line in inside]
    text += [f"    {margin}{look.format(f't{i}')}" for i in there]
    text += [*map(str, behind), *(["torch.set_grad_enabled(True)"] if _leaves_a_mode(program) else [])]
    return [*text, "return seen"]


def _place(lines: list[Line], statement: int) -> int:
    return next(i for i, line in enumerate(lines) if line.statement == statement)


def _is_there(program: Program, tensor: int, missing: set[int]) -> bool:
    """Whether a tensor exists where some statements made nothing."""
    count = len(program.leaves)
    for index, statement in enumerate(program.statements):
        count += created(statement)
        if tensor < count:
            return tensor < len(program.leaves) or index not in missing
    return False


def _printable(text: str) -> list[str]:
    return ["".join(c if c.isprintable() else "?" for c in line) for line in text.splitlines()]


_SAYS = """#
# Exit status: 0 the engines agree, 1 they differ, 125 this cannot run.
"""

_REST = '''

def numbers(tensor):
    """The elements row by row, None for no tensor."""
    return None if tensor is None else tensor.numpy(force=True).ravel().tolist()


@contextmanager
def raising(seen=None):
    """Catches an exception and keeps the name of its nearest built-in class."""
    seen = {} if seen is None else seen
    seen["exception"] = None
    try:
        yield
    except Exception as error:
        seen["exception"] = next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")


def recorder(torch):
    """What hooks call with their number and their gradients, and the list of all calls so far."""
    calls = []

    def called(number, gradients):
        seen = [
            g if g is None else {"numbers": numbers(g), "dtype": str(g.dtype), "shape": list(g.shape),
                                 "requires_grad": g.requires_grad}
            for g in gradients
        ]
        calls.append({"hook": number, "grad mode": torch.is_grad_enabled(), "gradients": seen})

    return called, calls


def node(tensor):
    """The name of a tensor's node, or what reading it raises."""
    try:
        return tensor.grad_fn and tensor.grad_fn.name()
    except RuntimeError:
        return "RuntimeError"


def storage(tensor):
    """What is equal for tensors that share memory."""
    if hasattr(tensor, "untyped_storage"):
        return tensor.untyped_storage()._cdata
    owner = tensor.numpy(force=True)
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    return id(owner)


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
