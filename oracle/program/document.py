"""The JSON form of a program: written, and read with nothing taken on trust."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import MISSING
from typing import Any, NoReturn

from oracle.program.statements import (
    FIELDS,
    KIND_OF,
    KINDS,
    REFERS,
    Backward,
    Call,
    Hook,
    Leaf,
    Literal,
    Program,
    ProgramError,
    Statement,
)
from oracle.program.validity import MAX_LEAVES, MAX_NDIM, MAX_NUMEL, MAX_OPERANDS, MAX_STATEMENTS, check, fail, show

MAX_TEXT = 1 << 26

_FIELDS = {cls: {f.name: f.default for f in some} for cls, some in FIELDS.items()}



def to_json(program: Program) -> dict[str, Any]:
    """The program as JSON data: dicts, lists, strings, ints, bools, None, and finite floats inside params.

    A tensor's floats are `float.hex()` strings; a parameter that is not finite is {"float": "inf"} or such.
    """
    return _encode(program)


def from_json(document: Any) -> Program:
    """The program that `to_json` gave this document for; raises ProgramError if it is not a valid one."""
    leaves, statements = _members(document, "program", Program).values()
    program = Program(
        tuple(
            Leaf(_literal(value, f"leaves[{i}].value"), requires_grad, layout)
            for i, leaf in enumerate(_sequence(leaves, "leaves", MAX_LEAVES))
            for value, requires_grad, layout in [_members(leaf, f"leaves[{i}]", Leaf).values()]
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
        fail("program", f"{len(text)} characters", f"at most {MAX_TEXT}")
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
        members = {"kind": KIND_OF[cls]} if cls in KIND_OF else {}
        for name, default in _FIELDS[cls].items():
            item = getattr(value, name)
            if item is not default:  # what says nothing new is left out: older programs keep their names
                members[name] = _encode(item)
        return members
    if cls is dict:
        return {key: _encode(item) for key, item in value.items()}
    if cls is float and not math.isfinite(value):
        return {"float": value.hex()}
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        fail(
            "program",
            f"an object that repeats a key among {show([key for key, _ in pairs])}",
            "each key once",
        )
    return members


def _no_constant(word: str) -> NoReturn:
    fail("program", word, "finite numbers only (values of tensors are float.hex() strings)")


def _members(value: Any, where: str, cls: type) -> dict[str, Any]:
    """An object's members, in the order of the class's fields; defaults for those that are left out."""
    defaults = _FIELDS[cls]
    if type(value) is not dict:
        fail(where, show(value), f"an object with {', '.join(defaults) or 'no members'}")
    members = {key: item for key, item in value.items() if key != "kind"} if cls in KIND_OF else value
    if unknown := [key for key in members if key not in defaults]:
        fail(where, f"unknown member {show(unknown[0])}", f"only {', '.join(defaults) or 'kind'}")
    if missing := [name for name, default in defaults.items() if default is MISSING and name not in members]:
        fail(where, f"no member {missing[0]!r}", f"all of {', '.join(defaults)}")
    return {name: members.get(name, default) for name, default in defaults.items()}


def _statement(value: Any, where: str) -> Statement:
    kind = value.get("kind") if type(value) is dict else None
    cls = KINDS.get(kind) if type(kind) is str else None
    if cls is None:
        found = show(value if type(value) is not dict else kind)
        fail(where if type(value) is not dict else f"{where}.kind", found, f"one of {', '.join(KINDS)}")
    members = _members(value, where, cls)
    for name, refers in REFERS[cls].items():
        if refers == "tensors" and not (name == "inputs" and cls is Backward and members[name] is None):
            members[name] = tuple(_sequence(members[name], f"{where}.{name}", MAX_OPERANDS))
        elif refers == "gradients":
            gradients = _sequence(members[name], f"{where}.{name}", MAX_OPERANDS)
            members[name] = tuple(_number(item, f"{where}.{name}[{i}]") for i, item in enumerate(gradients))
    if cls is Call and type(members["params"]) is dict:
        members["params"] = {
            key: _param(item, f"{where}.params.{key}") for key, item in members["params"].items()
        }
    elif cls is Hook:
        members["value"] = _number(members["value"], f"{where}.value")
    return cls(**members)


def _number(value: Any, where: str) -> Any:
    """A literal where the object is one; else what a parameter may be."""
    return _literal(value, where) if type(value) is dict and list(value) != ["float"] else _param(value, where)


_HEX = re.compile(r"-?0x[0-9a-f]{1,16}(\.[0-9a-f]{1,16})?p[+-]?[0-9]{1,4}|nan|-?inf")


def _literal(value: Any, where: str) -> Literal:
    dtype, shape, data = _members(value, where, Literal).values()
    numbers = _sequence(data, f"{where}.data", MAX_NUMEL)
    if type(dtype) is str and dtype.startswith("float"):
        numbers = [_float(item, f"{where}.data[{i}]") for i, item in enumerate(numbers)]
    return Literal(dtype, tuple(_sequence(shape, f"{where}.shape", MAX_NDIM)), tuple(numbers))


def _float(value: Any, where: str) -> float:
    if type(value) is not str or not _HEX.fullmatch(value):
        fail(where, show(value), "a float.hex() string such as '0x1.8p+1', or 'nan', 'inf', '-inf'")
    if value == "nan":
        return math.nan  # always this object, so that equal programs compare equal
    try:
        return float.fromhex(value)
    except OverflowError:
        fail(where, show(value), "a number that float64 can hold")


def _param(value: Any, where: str) -> Any:
    return _float(value["float"], where) if type(value) is dict and list(value) == ["float"] else value


def _sequence(value: Any, where: str, most: int) -> Sequence[Any]:
    if type(value) is not list:
        fail(where, show(value), "a list")
    if len(value) > most:
        fail(where, f"{len(value)} items", f"at most {most}")
    return value


