"""What an op's parameters may be: one `Param` per parameter name.

A value that passes can be written into source text with `repr`: strings come from a fixed set or a narrow
pattern, everything else is None, bools, finite numbers, and lists or dicts of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

FLOATS = ("float64", "float32", "float16")
MAX_LIST = 64
MAX_SIZE = 4096
MAX_NUMEL = 1 << 20


@dataclass(frozen=True, slots=True)
class Param:
    """`accepts(value)` tells whether a value is allowed; `allowed` says in words which are."""

    allowed: str
    accepts: Callable[[Any], bool]
    required: bool = True


def integer(low: int = -(2**31), high: int = 2**31) -> Param:
    """An integer in a closed range."""
    return Param(f"an integer from {low} to {high}", lambda v: type(v) is int and low <= v <= high)


def number(finite: bool = True) -> Param:
    """A finite float, or an int that float64 holds exactly; inf and nan as well unless `finite`."""
    if finite:
        return Param("a finite number", _is_number)
    return Param("a number", lambda v: type(v) is float or _is_number(v))


def flag() -> Param:
    """True or false."""
    return Param("true or false", lambda v: type(v) is bool)


def choice(*words: str) -> Param:
    """One of a few strings."""
    return Param(f"one of {', '.join(words)}", lambda v: type(v) is str and v in words)


def dtype(*names: str) -> Param:
    """The name of a dtype; by convention the parameter is called `dtype`."""
    return choice(*(names or FLOATS))


def integers(low: int = -(2**31), high: int = 2**31) -> Param:
    """A list of integers in a closed range."""
    return Param(
        f"a list of at most {MAX_LIST} integers from {low} to {high}",
        lambda v: (
            type(v) is list and len(v) <= MAX_LIST and all(type(i) is int and low <= i <= high for i in v)
        ),
    )


def sizes() -> Param:
    """A shape; -1 stands for a size to be worked out or kept."""
    return Param(
        f"a list of at most 16 sizes from -1 to {MAX_SIZE} with a product of at most {MAX_NUMEL}", _is_shape
    )


def empty_sizes() -> Param:
    """A shape without elements."""
    return Param("a list of sizes, one of them 0", lambda v: _is_shape(v) and -1 not in v and 0 in v)


def dims() -> Param:
    """One dim or a list of them."""
    return either(integer(-64, 63), integers(-64, 63))


def pattern(expression: str, allowed: str) -> Param:
    """A string that matches a pattern as a whole."""
    compiled = re.compile(expression)
    return Param(allowed, lambda v: type(v) is str and compiled.fullmatch(v) is not None)


def index() -> Param:
    """A list of integers, slices, ellipses, new axes, and {"tensor": k} for the k-th input."""
    return Param(
        "a list of at most 16 integers and {slice: [start, stop, step]}, {ellipsis: true}, {newaxis: true}, "
        "{tensor: k} objects",
        lambda v: type(v) is list and len(v) <= 16 and all(map(_is_index_item, v)),
    )


def either(first: Param, second: Param) -> Param:
    """What one of two allows."""
    return Param(
        f"{first.allowed}, or {second.allowed}",
        lambda v: first.accepts(v) or second.accepts(v),
        first.required,
    )


def nullable(param: Param) -> Param:
    """None as well."""
    return Param(f"null, or {param.allowed}", lambda v: v is None or param.accepts(v), param.required)


def optional(param: Param) -> Param:
    """The same, but it may be left out."""
    return replace(param, required=False)


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return -(2**53) <= value <= 2**53
    return type(value) is float and math.isfinite(value)


def _is_shape(value: Any) -> bool:
    return (
        type(value) is list
        and len(value) <= 16
        and all(type(i) is int and -1 <= i <= MAX_SIZE for i in value)
        and math.prod(abs(i) for i in value) <= MAX_NUMEL
    )


def _is_index_item(item: Any) -> bool:
    if type(item) is int:
        return abs(item) < 2**31
    if type(item) is not dict or len(item) != 1:
        return False
    ((key, value),) = item.items()
    if key == "slice":
        return (
            type(value) is list
            and len(value) == 3
            and all(i is None or (type(i) is int and abs(i) < 2**31) for i in value)
        )
    if key == "tensor":
        return type(value) is int and 0 <= value < 16
    return key in ("ellipsis", "newaxis") and value is True
