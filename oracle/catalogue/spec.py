"""What the harness knows about an op: how it is called, what its parameters may be, how to draw a use of it.

The way an op is called is data (style, target, names), so that running it and writing it down as source text
come from one place: `OpSpec.invoke` and `OpSpec.source`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from math import isfinite
from operator import attrgetter
from typing import Any

from oracle.catalogue.params import Param
from oracle.catalogue.scene import Drawn, Scene
from oracle.functions import function_of

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One op.

    style and target, with t0, t1, ... the input tensors and `torch` either engine's module:

        "function"  torch.<target>(t0, t1, **params)
        "sequence"  torch.<target>([t0, t1, ...], **params)
        "method"    t0.<target>(t1, **params)
        "operator"  t0 <target> t1; with one tensor t0 <target> scalar, or scalar <target> t0 if side is left
        "index"     t0[index]
        "einsum"    torch.einsum(equation, t0, t1)
        "attribute" t0.<target>
        "list"      list(t0)
        "number"    torch.tensor(t0.<target>())
        "deepcopy"  copy.deepcopy(t0)
        "out"       torch.<target>(t1, t2, out=t0)
        "setitem"   t0[index] = t1, or a number
        "index_put" t0.index_put_((t2, ...), t1)
        "custom"    <target>(torch).apply(t0, ..., *params), a function of `oracle.functions`

    `inputs` and `outputs` are the fewest and the most tensors. `names` are the keywords under which the last
    tensors are passed, where they cannot go by position. `scalar` names the parameter that may stand for the
    last tensor. A parameter called `dtype` holds a dtype's name. `draw` is None for an op that is not drawn by
    itself.
    `writes`: it writes the first input, and returns it unless there are outputs; `rehomes`: that has other
    memory afterwards. `aliases`: outputs may share memory with the first input, or be it.
    `gradient` tells what the derivative for an input is computed from: "self" if from tensors that depend on
    that input, "others" if only from the other inputs, "none" if from neither, "zero" if it is zeros,
    "maybe" where that varies, "unsure" if it may be zeros as well; "cut" if the result is not differentiable.
    """

    name: str
    family: str
    style: str
    target: str
    draw: Callable[[Scene], Drawn | None] | None
    inputs: tuple[int, int] = (1, 1)
    outputs: tuple[int, int] = (1, 1)
    params: Mapping[str, Param] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    gradient: str = "self"
    scalar: str = ""
    writes: bool = False
    aliases: bool = False
    rehomes: bool = False

    @property
    def returns(self) -> bool:
        """Whether a call that writes returns something."""
        return self.style != "setitem"

    def invoke(self, module: Any, tensors: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """Calls the op through an engine's module; returns whatever the engine returns."""
        match self.style:
            case "function" | "method" | "sequence":
                pass
            case "operator":
                apply = OPERATORS[self.target]
                if len(tensors) == 2:
                    return apply(tensors[0], tensors[1])
                scalar = params["scalar"]
                return apply(scalar, tensors[0]) if params["side"] == "left" else apply(tensors[0], scalar)
            case "index":
                return tensors[0][_index(params, tensors)]
            case "setitem":
                tensors[0][_index(params, tensors)] = params["value"] if "value" in params else tensors[1]
                return None
            case "index_put":
                return tensors[0].index_put_(tuple(tensors[2:]), tensors[1], **params)
            case "einsum":
                return attrgetter(self.target)(module)(params["equation"], *tensors)
            case "attribute":
                return getattr(tensors[0], self.target)
            case "list":
                return list(tensors[0])
            case "number":
                return module.tensor(getattr(tensors[0], self.target)())
            case "deepcopy":
                return deepcopy(tensors[0])
            case "custom":
                return function_of(self.target, module).apply(*tensors, *self._in_order(params))
            case "out":
                return attrgetter(self.target)(module)(*tensors[1:], **params, out=tensors[0])
        if "dtype" in params:
            params = {**params, "dtype": getattr(module, params["dtype"])}
        if self.style == "method":
            call, tensors = getattr(tensors[0], self.target), tensors[1:]
        else:
            call = attrgetter(self.target)(module)
            if self.style == "sequence":
                return call(list(tensors), **params)
        if self.names:
            first = len(tensors) - len(self.names)
            return call(*tensors[:first], **dict(zip(self.names, tensors[first:], strict=True)), **params)
        return call(*tensors, **params)

    def source(self, tensors: Sequence[str], params: Mapping[str, Any], module: str = "torch") -> str:
        """The call as Python source, given a valid call's parameters and an expression for each tensor."""
        match self.style:
            case "operator":
                if len(tensors) == 2:
                    return f"{tensors[0]} {self.target} {tensors[1]}"
                scalar = repr(params["scalar"])
                if scalar.startswith("-"):  # ** binds closer than the sign
                    scalar = f"({scalar})"
                pair = (scalar, tensors[0]) if params["side"] == "left" else (tensors[0], scalar)
                return f"{pair[0]} {self.target} {pair[1]}"
            case "index":
                items = [_index_source(item, tensors) for item in params["index"]]
                return f"{tensors[0]}[{_joined(items)}]"
            case "setitem":
                items = [_index_source(item, tensors) for item in params["index"]]
                value = _literal(params["value"]) if "value" in params else tensors[1]
                return f"{tensors[0]}[{_joined(items)}] = {value}"
            case "einsum":
                return f"{module}.{self.target}({', '.join([repr(params['equation']), *tensors])})"
            case "attribute":
                return f"{tensors[0]}.{self.target}"
            case "list":
                return f"list({tensors[0]})"
            case "number":
                return f"{module}.tensor({tensors[0]}.{self.target}())"
            case "deepcopy":
                return f"copy.deepcopy({tensors[0]})"
            case "custom":
                given = [*tensors, *map(_literal, self._in_order(params))]
                return f"{self.target}({module}).apply({', '.join(given)})"
        named = [
            f"{key}={module}.{v}" if key == "dtype" else f"{key}={_literal(v)}" for key, v in params.items()
        ]
        if self.style == "sequence":
            return f"{module}.{self.target}({', '.join(['[' + ', '.join(tensors) + ']', *named])})"
        if self.style == "out":
            return f"{module}.{self.target}({', '.join([*tensors[1:], *named, f'out={tensors[0]}'])})"
        if self.style == "index_put":
            places = f"({', '.join(tensors[2:])}{',' if len(tensors) == 3 else ''})"
            return f"{tensors[0]}.index_put_({', '.join([places, tensors[1], *named])})"
        if self.style == "method":
            callee, passed = f"{tensors[0]}.{self.target}", list(tensors[1:])
        else:
            callee, passed = f"{module}.{self.target}", list(tensors)
        if self.names:
            first = len(passed) - len(self.names)
            passed[first:] = [f"{key}={t}" for key, t in zip(self.names, passed[first:], strict=True)]
        return f"{callee}({', '.join([*passed, *named])})"

    def fault(self, tensors: int, params: Mapping[str, Any]) -> tuple[str, str] | None:
        """What is wrong with the parameters taken together, as (found, expected); None if nothing is."""
        if self.style == "operator" and (len(params) == 2) != (tensors == 1):
            return (
                f"{len(params)} parameters with {tensors} tensors",
                "scalar and side with one tensor, none with two",
            )
        if self.style in ("index", "setitem"):
            first = 1 if self.style == "index" or "value" in params else 2
            used = sorted(item["tensor"] for item in params["index"] if type(item) is dict and "tensor" in item)
            if used != list(range(first, tensors)) or tensors < first:
                return f"an index with tensors {used}", f"each of the inputs {first} to {tensors - 1} once"
        elif self.scalar and (self.scalar in params) != (tensors == self.inputs[0]):
            given = f"{tensors} tensors {'with' if self.scalar in params else 'and no'} {self.scalar}"
            return given, f"{self.scalar} with {self.inputs[0]} tensors, none with more"
        return None

    def _in_order(self, params: Mapping[str, Any]) -> list[Any]:
        """The values of parameters that are passed by position."""
        return [params[name] for name in self.params if name in params]


def _literal(value: Any) -> str:
    if isinstance(value, float) and not isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)


def _index(params: Mapping[str, Any], tensors: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_index_item(item, tensors) for item in params["index"])


def _joined(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"({', '.join(items)})"


def _index_item(item: Any, tensors: Sequence[Any]) -> Any:
    if not isinstance(item, dict):
        return item
    ((key, value),) = item.items()
    match key:
        case "slice":
            return slice(*value)
        case "tensor":
            return tensors[value]
        case "ellipsis":
            return ...
    return None


def _index_source(item: Any, tensors: Sequence[str]) -> str:
    if not isinstance(item, dict):
        return repr(item)
    ((key, value),) = item.items()
    match key:
        case "slice":
            return f"slice({', '.join(map(repr, value))})"
        case "tensor":
            return tensors[value]
        case "ellipsis":
            return "..."
    return "None"
