"""A Program as lines to read: `t2 = mul(t0, t1)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .graph import created
from .wording import decimal, hook, literal, parameters, requires_grad


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `number` is the statement's index, empty for a leaf."""

    number: str
    text: str
    marked: bool = False


def lines(program: Mapping[str, Any], marked: int | None = None) -> list[Line]:
    """The leaves and statements of a program in its JSON form; statement `marked` is marked."""
    listed = []
    for tensor, leaf in enumerate(program["leaves"]):
        text = f"t{tensor} = {literal(leaf['value'])}"
        if leaf["layout"] != "contiguous":
            text += f", {leaf['layout']}"
        listed.append(Line("", text + (", requires_grad" if leaf["requires_grad"] else "")))
    depth = 0
    for index, (statement, made) in enumerate(zip(program["statements"], created(program), strict=True)):
        if statement["kind"] == "exit":
            depth = max(depth - 1, 0)
        listed.append(Line(str(index), "    " * depth + _text(statement, made), index == marked))
        depth += statement["kind"] == "enter"
    return listed


def _text(statement: Mapping[str, Any], made: Sequence[int]) -> str:
    kind = statement["kind"]
    outputs = f"{_names(made)} = " if made else ""
    if kind == "call":
        inputs = [f"t{tensor}" for tensor in statement["inputs"]]
        through = f", {statement['through']}" if statement.get("through") else ""
        return f"{outputs}{statement['op']}({', '.join(inputs + parameters(statement['params']))}){through}"
    if kind == "enter":
        return f"with {statement['mode']}:"
    if kind == "exit":
        return "# end of with"
    if kind == "zero_grad":
        return f"t{statement['tensor']}.grad" + (" = None" if statement["how"] == "none" else ".zero_()")
    if kind == "requires_grad":
        return f"t{statement['tensor']}{requires_grad(statement)}"
    if kind in _TEXTS:
        return outputs + _TEXTS[kind].format(**statement)
    if kind == "hook":
        return f"{hook(statement)}, on {_names(statement['tensors'])}"
    rest = {name: _argument(name, value) for name, value in statement.items() if name != "kind"}
    return f"{outputs}{kind}({', '.join(f'{name}={value}' for name, value in rest.items() if value)})"


_TEXTS = {
    "retain_grad": "t{tensor}.retain_grad()",
    "set_grad_enabled": "set_grad_enabled({value})",
    "set_data": "t{tensor}.data = t{source}",
    "set_grad": "t{tensor}.grad = t{source}",
    "read_grad": "t{tensor}.grad",
    "delete": "del t{tensor}",
    "increment_version": "increment_version(t{tensor})",
    "inspect": "t{tensor}.grad_fn",
    "remove_hook": "hook {number}: remove",
    "make_dual": "make_dual(t{primal}, t{tangent})",
    "unpack_dual": "unpack_dual(t{tensor})",
}


def _names(numbers: Sequence[int]) -> str:
    return ", ".join(f"t{number}" for number in numbers)


def _argument(name: str, value: Any) -> str:
    """The text of a statement's field; empty where it says nothing."""
    if value is None or value is False:
        return ""
    if name in ("roots", "inputs", "outputs"):
        return f"[{_names(value)}]"
    if name == "gradients":
        given = [_gradient(item) for item in value]
        return f"[{', '.join(given)}]" if any(item is not None for item in value) else ""
    return str(value)


def _gradient(value: Any) -> str:
    """A literal, a tensor of the program, or a number."""
    if isinstance(value, Mapping) and "float" in value:
        value = value["float"]
    if isinstance(value, int):
        return f"t{value}"
    return literal(value) if value is None or isinstance(value, Mapping) else decimal(value)
