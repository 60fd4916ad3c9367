"""What makes a program valid."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NoReturn

from oracle.catalogue import CATALOGUE
from oracle.modes import MODES
from oracle.program.statements import (
    ACTIONS,
    DTYPES,
    EDGES,
    KINDS,
    LAYOUTS,
    PLACES,
    REFERS,
    THROUGH,
    WAYS,
    ZEROING,
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Hook,
    Leaf,
    Literal,
    Program,
    ProgramError,
    RemoveHook,
    RequiresGrad,
    SetGradEnabled,
    ZeroGrad,
    created,
)

MAX_LEAVES = 256
MAX_STATEMENTS = 4096
MAX_TENSORS = 16384
MAX_NDIM = 16
MAX_NUMEL = 65536
MAX_ELEMENTS = 1 << 20
MAX_OPERANDS = 256
MAX_DEPTH = 32
MAX_HOOKS = 4096


def check(program: Program) -> None:
    """Raises ProgramError unless every part of the program is well formed and every reference resolves.

    Shapes and dtypes of results are not followed: whether a statement succeeds is for the engines to say.
    """
    if not 1 <= len(program.leaves) <= MAX_LEAVES:
        fail("leaves", f"{len(program.leaves)} leaves", f"1 to {MAX_LEAVES}")
    if len(program.statements) > MAX_STATEMENTS:
        fail("statements", f"{len(program.statements)} statements", f"at most {MAX_STATEMENTS}")
    for i, leaf in enumerate(program.leaves):
        _check_leaf(leaf, f"leaves[{i}]")
    elements = sum(len(leaf.value.data) for leaf in program.leaves)
    tensors = len(program.leaves)
    modes: list[str] = []
    hooks: set[int] = set()
    for i, statement in enumerate(program.statements):
        where = f"statements[{i}]"
        _check_statement(statement, where, tensors)
        match statement:
            case Enter():
                _check_enter(statement, where, modes)
                modes.append(statement.mode)
            case Exit():
                if not modes:
                    fail(where, "an exit without an enter before it", "one exit for each enter")
                modes.pop()
            case Backward() | Grad():
                elements += sum(len(g.data) for g in statement.gradients if type(g) is Literal)
            case Hook():
                if statement.number in hooks:
                    fail(f"{where}.number", str(statement.number), "a number that no hook before it has")
                hooks.add(statement.number)
                elements += len(statement.value.data) if type(statement.value) is Literal else 0
            case RemoveHook():
                if statement.number not in hooks:
                    fail(f"{where}.number", show(statement.number), "the number of a hook before it")
        tensors += created(statement)
        if tensors > MAX_TENSORS:
            fail(where, f"{tensors} tensors so far", f"at most {MAX_TENSORS}")
    if modes:
        fail("statements", f"{len(modes)} enter without an exit", "one exit for each enter")
    if elements > MAX_ELEMENTS:
        fail("program", f"{elements} numbers", f"at most {MAX_ELEMENTS}")


def _check_enter(enter: Enter, where: str, modes: Sequence[str]) -> None:
    if len(modes) == MAX_DEPTH:
        fail(where, f"{len(modes) + 1} modes within each other", f"at most {MAX_DEPTH}")
    if enter.mode == "again" and (not modes or not MODES[modes[-1]].again):
        allowed = ", ".join(name for name, mode in MODES.items() if mode.again)
        fail(f"{where}.mode", f"'again' within {modes[-1] if modes else 'no mode'}", f"it within one of {allowed}")


def _check_leaf(leaf: Leaf, where: str) -> None:
    _check_literal(leaf.value, f"{where}.value")
    _check_flag(leaf.requires_grad, f"{where}.requires_grad")
    _check_word(leaf.layout, f"{where}.layout", LAYOUTS)
    shape, data = leaf.value.shape, leaf.value.data
    if leaf.requires_grad and not leaf.value.dtype.startswith("float"):
        fail(f"{where}.requires_grad", f"true for {leaf.value.dtype}", "true for floating dtypes only")
    fewest = {"contiguous": 0, "transposed": 2, "strided": 1, "expanded": 1}[leaf.layout]
    if len(shape) < fewest:
        fail(f"{where}.layout", f"{leaf.layout!r} with {len(shape)} dims", f"{fewest} dims or more for it")
    if leaf.layout == "expanded" and data:
        row = len(data) // shape[0]
        if any(map(_differs, data, data[:row] * shape[0])):
            fail(f"{where}.value.data", "rows that differ", "equal rows along dim 0 in an expanded leaf")


def _differs(a: Any, b: Any) -> bool:
    return a != b and not (a != a and b != b) or (a == 0 and math.copysign(1, a) != math.copysign(1, b))


_PACKED = {"float32": "f", "float16": "e"}
_PYTHON = {"float64": float, "float32": float, "float16": float, "int64": int, "bool": bool}


def _check_literal(literal: Any, where: str) -> None:
    if type(literal) is not Literal:
        fail(where, show(literal), "a literal")
    _check_word(literal.dtype, f"{where}.dtype", DTYPES)
    if type(literal.shape) is not tuple or len(literal.shape) > MAX_NDIM:
        fail(f"{where}.shape", show(literal.shape), f"at most {MAX_NDIM} sizes")
    for i, size in enumerate(literal.shape):
        _check_integer(size, f"{where}.shape[{i}]", 0, MAX_NUMEL)
    numel = math.prod(literal.shape)
    if numel > MAX_NUMEL:
        fail(f"{where}.shape", f"{numel} elements", f"at most {MAX_NUMEL}")
    if type(literal.data) is not tuple or len(literal.data) != numel:
        found = f"{len(literal.data)} values" if isinstance(literal.data, tuple) else show(literal.data)
        fail(f"{where}.data", found, f"{numel} values for shape {list(literal.shape)}")
    for i, number in enumerate(literal.data):
        if allowed := _unlike(number, literal.dtype):
            fail(f"{where}.data[{i}]", show(number), allowed)


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
    if type(statement) not in REFERS:
        fail(where, show(statement), f"one of {', '.join(KINDS)}")
    for name, refers in REFERS[type(statement)].items():
        value = getattr(statement, name)
        if refers == "tensor":
            _check_integer(value, f"{where}.{name}", 0, tensors - 1)
        elif refers == "tensors" and type(statement) is not Call and not (value is None and name == "inputs"):
            _check_tensors(value, f"{where}.{name}", tensors)
        elif refers == "gradients":
            _check_gradients(value, f"{where}.{name}", tensors)
    match statement:
        case Call():
            _check_call(statement, where, tensors)
        case Enter():
            _check_word(statement.mode, f"{where}.mode", tuple(MODES))
        case SetGradEnabled():
            _check_flag(statement.value, f"{where}.value")
        case Backward() | Grad():
            _check_pass(statement, where)
        case ZeroGrad():
            _check_word(statement.how, f"{where}.how", ZEROING)
        case RequiresGrad():
            _check_flag(statement.value, f"{where}.value")
            _check_word(statement.how, f"{where}.how", WAYS)
        case Hook():
            _check_hook(statement, where)


def _check_pass(statement: Backward | Grad, where: str) -> None:
    if statement.retain_graph is not None:
        _check_flag(statement.retain_graph, f"{where}.retain_graph")
    _check_flag(statement.create_graph, f"{where}.create_graph")
    if statement.edges is not None:
        _check_word(statement.edges, f"{where}.edges", EDGES)
    if type(statement) is Grad:
        if statement.inputs is None:
            fail(f"{where}.inputs", "None", f"0 to {MAX_OPERANDS} tensor numbers")
        if statement.allow_unused is not None:
            _check_flag(statement.allow_unused, f"{where}.allow_unused")
        _check_flag(statement.materialize_grads, f"{where}.materialize_grads")
        _check_flag(statement.is_grads_batched, f"{where}.is_grads_batched")


def _check_hook(hook: Hook, where: str) -> None:
    _check_integer(hook.number, f"{where}.number", 0, MAX_HOOKS - 1)
    _check_word(hook.place, f"{where}.place", PLACES)
    _check_word(hook.action, f"{where}.action", ACTIONS)
    several = hook.place.startswith("multi")
    if len(hook.tensors) != 1 and not several:
        fail(f"{where}.tensors", f"{len(hook.tensors)} tensors", f"one for a hook of {hook.place}")
    if hook.action == "scale":
        if type(hook.value) is not float:
            fail(f"{where}.value", show(hook.value), "the number to scale by")
    elif hook.action == "replace":
        _check_literal(hook.value, f"{where}.value")
    elif hook.value is not None:
        fail(f"{where}.value", show(hook.value), f"none for {hook.action}")


def _check_call(call: Call, where: str, tensors: int) -> None:
    spec = CATALOGUE.get(call.op) if type(call.op) is str else None
    if spec is None:
        fail(f"{where}.op", show(call.op), "the name of an op in the catalogue")
    _check_tensors(call.inputs, f"{where}.inputs", tensors)
    fewest, most = spec.inputs
    if not fewest <= len(call.inputs) <= most:
        fail(f"{where}.inputs", f"{len(call.inputs)} tensors", f"{_range(fewest, most)} for {call.op}")
    fewest, most = spec.outputs
    _check_integer(call.outputs, f"{where}.outputs", fewest, most)
    if type(call.params) is not dict:
        fail(f"{where}.params", show(call.params), "an object")
    for name, value in call.params.items():
        param = spec.params.get(name) if type(name) is str else None
        if param is None:
            fail(
                f"{where}.params", show(name), f"parameters of {call.op}: {', '.join(spec.params) or 'none'}"
            )
        if not param.accepts(value):
            fail(f"{where}.params.{name}", show(value), param.allowed)
    for name, param in spec.params.items():
        if param.required and name not in call.params:
            fail(f"{where}.params", f"no {name!r}", f"{name}: {param.allowed}")
    if fault := spec.fault(len(call.inputs), call.params):
        fail(f"{where}.params", *fault)
    if call.through is not None:
        _check_word(call.through, f"{where}.through", THROUGH)


def _check_tensors(tensors: Any, where: str, count: int) -> None:
    if type(tensors) is not tuple or len(tensors) > MAX_OPERANDS:
        fail(where, show(tensors), f"0 to {MAX_OPERANDS} tensor numbers")
    for i, number in enumerate(tensors):
        if type(number) is not int or not 0 <= number < count:
            fail(
                f"{where}[{i}]",
                show(number),
                f"the number of a tensor that exists by then, 0 to {count - 1}",
            )


def _check_gradients(gradients: Any, where: str, count: int) -> None:
    if type(gradients) is not tuple or len(gradients) > MAX_OPERANDS:
        fail(where, show(gradients), f"0 to {MAX_OPERANDS} gradients")
    for i, gradient in enumerate(gradients):
        if type(gradient) is int:
            _check_integer(gradient, f"{where}[{i}]", 0, count - 1)
        elif gradient is not None and type(gradient) is not float:
            _check_literal(gradient, f"{where}[{i}]")


def _check_flag(value: Any, where: str) -> None:
    if type(value) is not bool:
        fail(where, show(value), "true or false")


def _check_integer(value: Any, where: str, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        fail(where, show(value), f"an integer, {_range(low, high)}")


def _check_word(value: Any, where: str, words: Sequence[str]) -> None:
    if type(value) is not str or value not in words:
        fail(where, show(value), f"one of {', '.join(words)}")


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def show(value: Any) -> str:
    """A short one-line picture of a value that may be anything."""
    if type(value) is int and abs(value) >= 10**20:
        return "an integer of more than 20 digits"
    try:
        text = ascii(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def fail(where: str, found: str, expected: str) -> NoReturn:
    raise ProgramError(f"{where}: found {found}, expected {expected}")
