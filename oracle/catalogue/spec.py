"""What the harness knows about an op: how it is called, what its parameters may be, how to draw a use of it.

The way an op is called is data (style, target, names), so that running it and writing it down as source text
come from one place: `OpSpec.invoke` and `OpSpec.source`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from operator import attrgetter
from typing import Any

from oracle.catalogue.params import Param
from oracle.catalogue.scene import Drawn, Scene

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

    `inputs` and `outputs` are the fewest and the most tensors. `names` are the keywords under which the last
    tensors are passed, where they cannot go by position. A parameter called `dtype` holds a dtype's name.
    `gradient` tells what the derivative for an input is computed from: "self" if from tensors that depend on
    that input, "others" if only from the other inputs, "none" if from neither, "zero" if it is zeros,
    "maybe" where that varies, "unsure" if it may be zeros as well; "cut" if the result is not differentiable.
    """

    name: str
    family: str
    style: str
    target: str
    draw: Callable[[Scene], Drawn | None]
    inputs: tuple[int, int] = (1, 1)
    outputs: tuple[int, int] = (1, 1)
    params: Mapping[str, Param] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    gradient: str = "self"

    def invoke(self, module: Any, tensors: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """Calls the op through an engine's module; returns whatever the engine returns."""
        match self.style:
            case "operator":
                apply = OPERATORS[self.target]
                if len(tensors) == 2:
                    return apply(tensors[0], tensors[1])
                scalar = params["scalar"]
                return apply(scalar, tensors[0]) if params["side"] == "left" else apply(tensors[0], scalar)
            case "index":
                return tensors[0][tuple(_index_item(item, tensors) for item in params["index"])]
            case "einsum":
                return attrgetter(self.target)(module)(params["equation"], *tensors)
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
                return f"{tensors[0]}[{items[0] if len(items) == 1 else '(' + ', '.join(items) + ')'}]"
            case "einsum":
                return f"{module}.{self.target}({', '.join([repr(params['equation']), *tensors])})"
        named = [
            f"{key}={module}.{v}" if key == "dtype" else f"{key}={_literal(v)}" for key, v in params.items()
        ]
        if self.style == "sequence":
            return f"{module}.{self.target}({', '.join(['[' + ', '.join(tensors) + ']', *named])})"
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
        if self.style == "index":
            used = sorted(
                item["tensor"] for item in params["index"] if type(item) is dict and "tensor" in item
            )
            if used != list(range(1, tensors)):
                return f"an index with tensors {used}", f"each of the inputs 1 to {tensors - 1} once"
        return None


def _literal(value: Any) -> str:
    if isinstance(value, float) and not isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)


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
