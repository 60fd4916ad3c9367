"""Programs: what the harness runs on an engine, as plain data with a JSON form.

Tensors are numbered in order of creation: the leaves first, then the outputs of each statement. A program
refers to no engine: an op is named by its catalogue entry, a number is stored to the bit (`float.hex()` in
JSON), so that a stored program means the same on any machine.

`from_json` and `loads` accept nothing but a valid program and raise `ProgramError` otherwise. What passes
them can be written into source text: op names come from the catalogue, parameters are what the op's entry
declares, and everything else is a number or one of a few fixed words.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from oracle.catalogue import CATALOGUE

DTYPES = ("float64", "float32", "float16", "int64", "bool")
LAYOUTS = ("contiguous", "transposed", "strided", "expanded")
MODES = ("no_grad", "enable_grad")
ZEROING = ("none", "zero_")

MAX_LEAVES = 256
MAX_STATEMENTS = 4096
MAX_TENSORS = 16384
MAX_NDIM = 16
MAX_NUMEL = 65536
MAX_ELEMENTS = 1 << 20
MAX_OPERANDS = 256
MAX_TEXT = 1 << 26


class ProgramError(ValueError):
    """A malformed program or JSON form; one line says where, what was found, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Literal:
    """An array of numbers: `data` holds shape's product of values, row by row.

    Values are Python floats (exactly representable in `dtype`), ints (int64) or bools.
    """

    dtype: str
    shape: tuple[int, ...]
    data: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor that exists before the first statement.

    The layout says how its memory is laid out; the values read the same in each:
    "contiguous"; "transposed", the last two dims swapped in memory (two dims or more); "strided", every
    second element of a last dim twice as long (one dim or more); "expanded", its first row repeated over
    dim 0 with stride 0, so that all its rows are equal (one dim or more).
    """

    value: Literal
    requires_grad: bool
    layout: str


@dataclass(frozen=True, slots=True)
class Call:
    """Applies a catalogue op to earlier tensors; creates `outputs` tensors."""

    op: str
    inputs: tuple[int, ...]
    params: dict[str, Any] = field(hash=False)
    outputs: int


@dataclass(frozen=True, slots=True)
class Enter:
    """Enters a grad mode, "no_grad" or "enable_grad", until the matching `Exit`."""

    mode: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Leaves the grad mode entered last."""


@dataclass(frozen=True, slots=True)
class Backward:
    """`autograd.backward` from the roots; a gradient of None is left out."""

    roots: tuple[int, ...]
    gradients: tuple[Literal | None, ...]
    retain_graph: bool | None
    create_graph: bool
    inputs: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Grad:
    """`autograd.grad`; creates one tensor per input (a slot may hold None when the program runs)."""

    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    gradients: tuple[Literal | None, ...]
    retain_graph: bool | None
    create_graph: bool
    allow_unused: bool


@dataclass(frozen=True, slots=True)
class ZeroGrad:
    """Sets a tensor's `.grad` to None ("none"), or zeroes it in place where there is one ("zero_")."""

    tensor: int
    how: str


@dataclass(frozen=True, slots=True)
class RetainGrad:
    """`retain_grad()` on a tensor."""

    tensor: int


@dataclass(frozen=True, slots=True)
class RequiresGrad:
    """`requires_grad_(value)` on a tensor."""

    tensor: int
    value: bool


Statement = Call | Enter | Exit | Backward | Grad | ZeroGrad | RetainGrad | RequiresGrad


@dataclass(frozen=True, slots=True)
class Program:
    """Leaves, then statements in order."""

    leaves: tuple[Leaf, ...]
    statements: tuple[Statement, ...]


KINDS: dict[str, type] = {
    "call": Call,
    "enter": Enter,
    "exit": Exit,
    "backward": Backward,
    "grad": Grad,
    "zero_grad": ZeroGrad,
    "retain_grad": RetainGrad,
    "requires_grad": RequiresGrad,
}
_KIND_OF = {cls: kind for kind, cls in KINDS.items()}
_FIELDS = {cls: tuple(f.name for f in fields(cls)) for cls in (Literal, Leaf, Program, *KINDS.values())}


def created(statement: Statement) -> int:
    """The number of tensors a statement creates."""
    if isinstance(statement, Call):
        return statement.outputs
    return len(statement.inputs) if isinstance(statement, Grad) else 0


# JSON form


def to_json(program: Program) -> dict[str, Any]:
    """The program as JSON data: dicts, lists, strings, ints, bools, None, and finite floats inside params.

    A tensor's floats are `float.hex()` strings; a parameter that is not finite is {"float": "inf"} or such.
    """
    return _encode(program)


def from_json(document: Any) -> Program:
    """The program that `to_json` gave this document for; raises ProgramError if it is not a valid one."""
    leaves, statements = _members(document, "program", Program)
    program = Program(
        tuple(
            Leaf(_literal(value, f"leaves[{i}].value"), requires_grad, layout)
            for i, leaf in enumerate(_sequence(leaves, "leaves", MAX_LEAVES))
            for value, requires_grad, layout in [_members(leaf, f"leaves[{i}]", Leaf)]
        ),
        tuple(
            _statement(item, f"statements[{i}]")
            for i, item in enumerate(_sequence(statements, "statements", MAX_STATEMENTS))
        ),
    )
    check(program)
    return program


def dumps(program: Program) -> str:
    """Canonical JSON text: sorted keys, no spaces; the same program gives the same text."""
    return json.dumps(to_json(program), sort_keys=True, separators=(",", ":"), allow_nan=False)


def loads(text: str | bytes) -> Program:
    """The program of a JSON text; raises ProgramError if the text is not JSON or not a valid program."""
    if len(text) > MAX_TEXT:
        _fail("program", f"{len(text)} characters", f"at most {MAX_TEXT}")
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except ProgramError:
        raise
    except RecursionError:
        raise ProgramError("program: found JSON nested too deeply, expected a few levels") from None
    except ValueError as error:
        message = " ".join(str(error).split())
        raise ProgramError(
            f"program: found text that is not JSON ({message}), expected a JSON object"
        ) from None
    return from_json(document)


def digest(program: Program) -> str:
    """A name for the program: the first 16 hex digits of the SHA-256 of its canonical JSON."""
    return hashlib.sha256(dumps(program).encode()).hexdigest()[:16]


def _encode(value: Any) -> Any:
    cls = type(value)
    if cls is Literal:
        data = [x.hex() if type(x) is float else x for x in value.data]
        return {"dtype": value.dtype, "shape": list(value.shape), "data": data}
    if cls is tuple:
        return [_encode(item) for item in value]
    if cls in _FIELDS:
        members = {name: _encode(getattr(value, name)) for name in _FIELDS[cls]}
        return {"kind": _KIND_OF[cls], **members} if cls in _KIND_OF else members
    if cls is dict:
        return {key: _encode(item) for key, item in value.items()}
    if cls is float and not math.isfinite(value):
        return {"float": value.hex()}
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _fail(
            "program",
            f"an object that repeats a key among {_show([key for key, _ in pairs])}",
            "each key once",
        )
    return members


def _no_constant(word: str) -> NoReturn:
    _fail("program", word, "finite numbers only (values of tensors are float.hex() strings)")


def _members(value: Any, where: str, cls: type) -> list[Any]:
    """The values of an object's members, in the order of the class's fields."""
    names = _FIELDS[cls]
    if type(value) is not dict:
        _fail(where, _show(value), f"an object with {', '.join(names) or 'no members'}")
    members = {key: item for key, item in value.items() if key != "kind"} if cls in _KIND_OF else value
    if unknown := [key for key in members if key not in names]:
        _fail(where, f"unknown member {_show(unknown[0])}", f"only {', '.join(names) or 'kind'}")
    if missing := [name for name in names if name not in members]:
        _fail(where, f"no member {missing[0]!r}", f"all of {', '.join(names)}")
    return [members[name] for name in names]


def _statement(value: Any, where: str) -> Statement:
    kind = value.get("kind") if type(value) is dict else None
    cls = KINDS.get(kind) if type(kind) is str else None
    if cls is None:
        found = _show(value if type(value) is not dict else kind)
        _fail(where if type(value) is not dict else f"{where}.kind", found, f"one of {', '.join(KINDS)}")
    members = dict(zip(_FIELDS[cls], _members(value, where, cls), strict=True))
    for name in ("inputs", "roots"):
        if name in members and not (name == "inputs" and cls is Backward and members[name] is None):
            members[name] = tuple(_sequence(members[name], f"{where}.{name}", MAX_OPERANDS))
    if cls is Grad:
        members["outputs"] = tuple(_sequence(members["outputs"], f"{where}.outputs", MAX_OPERANDS))
    if cls is Call and type(members["params"]) is dict:
        members["params"] = {
            key: _param(item, f"{where}.params.{key}") for key, item in members["params"].items()
        }
    if "gradients" in members:
        gradients = _sequence(members["gradients"], f"{where}.gradients", MAX_OPERANDS)
        members["gradients"] = tuple(
            None if item is None else _literal(item, f"{where}.gradients[{i}]")
            for i, item in enumerate(gradients)
        )
    return cls(**members)


_HEX = re.compile(r"-?0x[0-9a-f]{1,16}(\.[0-9a-f]{1,16})?p[+-]?[0-9]{1,4}|nan|-?inf")


def _literal(value: Any, where: str) -> Literal:
    dtype, shape, data = _members(value, where, Literal)
    numbers = _sequence(data, f"{where}.data", MAX_NUMEL)
    if type(dtype) is str and dtype.startswith("float"):
        numbers = [_float(item, f"{where}.data[{i}]") for i, item in enumerate(numbers)]
    return Literal(dtype, tuple(_sequence(shape, f"{where}.shape", MAX_NDIM)), tuple(numbers))


def _float(value: Any, where: str) -> float:
    if type(value) is not str or not _HEX.fullmatch(value):
        _fail(where, _show(value), "a float.hex() string such as '0x1.8p+1', or 'nan', 'inf', '-inf'")
    if value == "nan":
        return math.nan  # always this object, so that equal programs compare equal
    try:
        return float.fromhex(value)
    except OverflowError:
        _fail(where, _show(value), "a number that float64 can hold")


def _param(value: Any, where: str) -> Any:
    return _float(value["float"], where) if type(value) is dict and list(value) == ["float"] else value


def _sequence(value: Any, where: str, most: int) -> Sequence[Any]:
    if type(value) is not list:
        _fail(where, _show(value), "a list")
    if len(value) > most:
        _fail(where, f"{len(value)} items", f"at most {most}")
    return value


# Validity


def check(program: Program) -> None:
    """Raises ProgramError unless every part of the program is well formed and every reference resolves.

    Shapes and dtypes of results are not followed: whether a statement succeeds is for the engines to say.
    """
    if not 1 <= len(program.leaves) <= MAX_LEAVES:
        _fail("leaves", f"{len(program.leaves)} leaves", f"1 to {MAX_LEAVES}")
    if len(program.statements) > MAX_STATEMENTS:
        _fail("statements", f"{len(program.statements)} statements", f"at most {MAX_STATEMENTS}")
    for i, leaf in enumerate(program.leaves):
        _check_leaf(leaf, f"leaves[{i}]")
    elements = sum(len(leaf.value.data) for leaf in program.leaves)
    tensors, depth = len(program.leaves), 0
    for i, statement in enumerate(program.statements):
        where = f"statements[{i}]"
        _check_statement(statement, where, tensors)
        if isinstance(statement, Enter):
            depth += 1
        elif isinstance(statement, Exit):
            depth -= 1
            if depth < 0:
                _fail(where, "an exit without an enter before it", "one exit for each enter")
        elif isinstance(statement, Backward | Grad):
            elements += sum(len(g.data) for g in statement.gradients if g is not None)
        tensors += created(statement)
        if tensors > MAX_TENSORS:
            _fail(where, f"{tensors} tensors so far", f"at most {MAX_TENSORS}")
    if depth:
        _fail("statements", f"{depth} enter without an exit", "one exit for each enter")
    if elements > MAX_ELEMENTS:
        _fail("program", f"{elements} numbers", f"at most {MAX_ELEMENTS}")


def _check_leaf(leaf: Leaf, where: str) -> None:
    _check_literal(leaf.value, f"{where}.value")
    _check_flag(leaf.requires_grad, f"{where}.requires_grad")
    _check_word(leaf.layout, f"{where}.layout", LAYOUTS)
    shape, data = leaf.value.shape, leaf.value.data
    if leaf.requires_grad and not leaf.value.dtype.startswith("float"):
        _fail(f"{where}.requires_grad", f"true for {leaf.value.dtype}", "true for floating dtypes only")
    fewest = {"contiguous": 0, "transposed": 2, "strided": 1, "expanded": 1}[leaf.layout]
    if len(shape) < fewest:
        _fail(f"{where}.layout", f"{leaf.layout!r} with {len(shape)} dims", f"{fewest} dims or more for it")
    if leaf.layout == "expanded" and data:
        row = len(data) // shape[0]
        if any(map(_differs, data, data[:row] * shape[0])):
            _fail(f"{where}.value.data", "rows that differ", "equal rows along dim 0 in an expanded leaf")


def _differs(a: Any, b: Any) -> bool:
    return a != b and not (a != a and b != b) or (a == 0 and math.copysign(1, a) != math.copysign(1, b))


_PACKED = {"float32": "f", "float16": "e"}
_PYTHON = {"float64": float, "float32": float, "float16": float, "int64": int, "bool": bool}


def _check_literal(literal: Any, where: str) -> None:
    if type(literal) is not Literal:
        _fail(where, _show(literal), "a literal")
    _check_word(literal.dtype, f"{where}.dtype", DTYPES)
    if type(literal.shape) is not tuple or len(literal.shape) > MAX_NDIM:
        _fail(f"{where}.shape", _show(literal.shape), f"at most {MAX_NDIM} sizes")
    for i, size in enumerate(literal.shape):
        _check_integer(size, f"{where}.shape[{i}]", 0, MAX_NUMEL)
    numel = math.prod(literal.shape)
    if numel > MAX_NUMEL:
        _fail(f"{where}.shape", f"{numel} elements", f"at most {MAX_NUMEL}")
    if type(literal.data) is not tuple or len(literal.data) != numel:
        found = f"{len(literal.data)} values" if isinstance(literal.data, tuple) else _show(literal.data)
        _fail(f"{where}.data", found, f"{numel} values for shape {list(literal.shape)}")
    for i, number in enumerate(literal.data):
        if allowed := _unlike(number, literal.dtype):
            _fail(f"{where}.data[{i}]", _show(number), allowed)


def _unlike(number: Any, dtype: str) -> str | None:
    """What a literal of this dtype may hold, if that is not this number."""
    kind, found = _PYTHON[dtype], type(number)
    if found is not kind:
        return f"a {kind.__name__} in a literal of {dtype}"
    if dtype == "int64" and not -(2**63) <= number < 2**63:
        return "an integer of 64 bits"
    if dtype in _PACKED and math.isfinite(number):
        try:
            exact = struct.unpack(_PACKED[dtype], struct.pack(_PACKED[dtype], number))[0] == number
        except OverflowError:
            exact = False
        return None if exact else f"a value that {dtype} holds exactly"
    return None


def _check_statement(statement: Any, where: str, tensors: int) -> None:
    match statement:
        case Call():
            _check_call(statement, where, tensors)
        case Enter():
            _check_word(statement.mode, f"{where}.mode", MODES)
        case Exit():
            pass
        case Backward():
            _check_tensors(statement.roots, f"{where}.roots", tensors)
            _check_gradients(statement.gradients, len(statement.roots), where)
            _check_graph_flags(statement, where)
            if statement.inputs is not None:
                _check_tensors(statement.inputs, f"{where}.inputs", tensors)
        case Grad():
            _check_tensors(statement.outputs, f"{where}.outputs", tensors)
            _check_tensors(statement.inputs, f"{where}.inputs", tensors)
            _check_gradients(statement.gradients, len(statement.outputs), where)
            _check_graph_flags(statement, where)
            _check_flag(statement.allow_unused, f"{where}.allow_unused")
        case ZeroGrad():
            _check_integer(statement.tensor, f"{where}.tensor", 0, tensors - 1)
            _check_word(statement.how, f"{where}.how", ZEROING)
        case RetainGrad():
            _check_integer(statement.tensor, f"{where}.tensor", 0, tensors - 1)
        case RequiresGrad():
            _check_integer(statement.tensor, f"{where}.tensor", 0, tensors - 1)
            _check_flag(statement.value, f"{where}.value")
        case _:
            _fail(where, _show(statement), f"one of {', '.join(KINDS)}")


def _check_call(call: Call, where: str, tensors: int) -> None:
    spec = CATALOGUE.get(call.op) if type(call.op) is str else None
    if spec is None:
        _fail(f"{where}.op", _show(call.op), "the name of an op in the catalogue")
    _check_tensors(call.inputs, f"{where}.inputs", tensors, fewest=0)
    fewest, most = spec.inputs
    if not fewest <= len(call.inputs) <= most:
        _fail(f"{where}.inputs", f"{len(call.inputs)} tensors", f"{_range(fewest, most)} for {call.op}")
    fewest, most = spec.outputs
    _check_integer(call.outputs, f"{where}.outputs", fewest, most)
    if type(call.params) is not dict:
        _fail(f"{where}.params", _show(call.params), "an object")
    for name, value in call.params.items():
        param = spec.params.get(name) if type(name) is str else None
        if param is None:
            _fail(
                f"{where}.params", _show(name), f"parameters of {call.op}: {', '.join(spec.params) or 'none'}"
            )
        if not param.accepts(value):
            _fail(f"{where}.params.{name}", _show(value), param.allowed)
    for name, param in spec.params.items():
        if param.required and name not in call.params:
            _fail(f"{where}.params", f"no {name!r}", f"{name}: {param.allowed}")
    if fault := spec.fault(len(call.inputs), call.params):
        _fail(f"{where}.params", *fault)


def _check_tensors(tensors: Any, where: str, count: int, fewest: int = 1) -> None:
    if type(tensors) is not tuple or not fewest <= len(tensors) <= MAX_OPERANDS:
        _fail(where, _show(tensors), f"{fewest} to {MAX_OPERANDS} tensor numbers")
    for i, number in enumerate(tensors):
        if type(number) is not int or not 0 <= number < count:
            _fail(
                f"{where}[{i}]",
                _show(number),
                f"the number of a tensor that exists by then, 0 to {count - 1}",
            )


def _check_gradients(gradients: Any, count: int, where: str) -> None:
    if type(gradients) is not tuple or len(gradients) != count:
        found = f"{len(gradients)} gradients" if isinstance(gradients, tuple) else _show(gradients)
        _fail(f"{where}.gradients", found, f"one for each of {count} roots")
    for i, gradient in enumerate(gradients):
        if gradient is not None:
            _check_literal(gradient, f"{where}.gradients[{i}]")


def _check_graph_flags(statement: Backward | Grad, where: str) -> None:
    if statement.retain_graph is not None:
        _check_flag(statement.retain_graph, f"{where}.retain_graph")
    _check_flag(statement.create_graph, f"{where}.create_graph")


def _check_flag(value: Any, where: str) -> None:
    if type(value) is not bool:
        _fail(where, _show(value), "true or false")


def _check_integer(value: Any, where: str, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        _fail(where, _show(value), f"an integer, {_range(low, high)}")


def _check_word(value: Any, where: str, words: Sequence[str]) -> None:
    if type(value) is not str or value not in words:
        _fail(where, _show(value), f"one of {', '.join(words)}")


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def _show(value: Any) -> str:
    """A short one-line picture of a value that may be anything."""
    if type(value) is int and abs(value) >= 10**20:
        return "an integer of more than 20 digits"
    try:
        text = ascii(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fail(where: str, found: str, expected: str) -> NoReturn:
    raise ProgramError(f"{where}: found {found}, expected {expected}")
