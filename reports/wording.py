"""How numbers, programs and verdicts read, in one place for every format of report."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from typing import Any

JSON = Any  # what json.loads returns

_HEX = re.compile(r"[+-]?(0x[0-9a-f]*\.?[0-9a-f]*(p[+-]?\d+)?|inf|nan)", re.IGNORECASE)
_SHOWN = 8  # values of a tensor written out before the rest is only counted


def count(number: JSON) -> str:
    """An integer with thousands separators; anything else as text."""
    if isinstance(number, int) and not isinstance(number, bool):
        return f"{number:,}"
    return decimal(number)


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """`1 program`, `2,000 programs`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def seconds(number: JSON) -> str:
    """A duration to three significant digits, whole seconds from 100 s on."""
    value = as_float(number)
    if value is None:
        return decimal(number)
    if not math.isfinite(value) or abs(value) >= 100:
        return f"{value:,.0f} s"
    return f"{_significant(value)} s"


def as_float(value: JSON) -> float | None:
    """The number in a JSON value: a float, an int, or a float written as hex; None when there is none."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return float(value)
        return float.fromhex(value) if isinstance(value, str) and _HEX.fullmatch(value) else None
    except (ValueError, OverflowError):
        return None


def decimal(value: JSON) -> str:
    """A value in the shortest decimal form that reads back as the same float64; other values as text."""
    if value is None:
        return "–"
    if isinstance(value, str):
        number = as_float(value)
        return value if number is None else repr(number)
    if isinstance(value, list):  # a complex number is a pair
        return f"({', '.join(map(decimal, value))})"
    return repr(value)


def approximate(value: JSON) -> str:
    """A value to three significant digits, for errors and bounds."""
    number = as_float(value)
    if number is None:
        return decimal(value)
    if number.is_integer() and abs(number) < 1e6:
        return f"{int(number):,}"
    return _significant(number)


def _significant(number: float) -> str:
    if not math.isfinite(number):
        return str(number)
    if number and not 1e-3 <= abs(number) < 1e6:
        return f"{number:.2e}"
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:,.0f}"


def position(index: JSON) -> str:
    """Where an element is: `[0, 1]`, or `–` for the only element of a 0-dim tensor."""
    if isinstance(index, list | tuple):
        return f"[{', '.join(map(str, index))}]" if index else "–"
    return decimal(index)


def difference(finding: Mapping[str, JSON], made: bool) -> str:
    """What differs, in few words: `t0.grad differs`; `made` if the finding's statement made the tensor."""
    kind, what = str(finding["kind"]), finding["what"]
    if finding["tensor"] is None:
        return f"{kind} differs"
    if what == "hook":
        return f"calls of hook {finding['tensor']} differ"
    attribute = what == "grad after" or (what == "grad" and not made)
    name = f"t{finding['tensor']}" + (".grad" if attribute else "")
    if what == "gradient":
        name = f"gradient of hook {finding['tensor']}"
    if kind == "none":
        return f"{name} is None on one side"
    return f"{name} differs" if kind in ("value", "gradient") else f"{name}: {kind} differs"


def requires_grad(statement: Mapping[str, JSON]) -> str:
    """`.requires_grad_(True)`, or the assignment."""
    if statement.get("how", "method") == "method":
        return f".requires_grad_({statement['value']})"
    return f".requires_grad = {statement['value']}"


def hook(statement: Mapping[str, JSON]) -> str:
    """`hook 0 (tensor): scale by 2.0`."""
    action, value = str(statement["action"]).replace("_", " "), statement.get("value")
    if value is not None:
        action += f" by {decimal(value)}" if statement["action"] == "scale" else f" by {literal(value)}"
    return f"hook {statement['number']} ({statement['place']}): {action}"


def engine(side: Mapping[str, JSON]) -> str:
    """`torch 2.13.0`."""
    return " ".join(str(side[key]) for key in ("name", "version") if side.get(key))


def found(document: Mapping[str, JSON]) -> int:
    """The number of findings: those listed, or more if the summary says so."""
    return max(len(document["findings"]), document["summary"]["findings"])


def executed_nothing(summary: Mapping[str, JSON]) -> bool:
    """Whether a run proves nothing, because no program or no statement was executed."""
    return not summary["programs"] or not summary["statements"]


def verdict(summary: Mapping[str, JSON], findings: int) -> tuple[str, str]:
    """The run in one sentence, as what was found and with what: join them with `: `."""
    versions = summary["versions"]
    sides = [
        {"name": name, "version": versions.get(name)} for name in (summary["subject"], summary["oracle"])
    ]
    details = f"{' against '.join(map(engine, sides))}, seed {summary['seed']}, {seconds(summary['seconds'])}"
    details += ", interrupted" if summary.get("interrupted") else ""
    programs = counted(summary["programs"], "program")
    if executed_nothing(summary):
        statements = counted(summary["statements"], "statement")
        return f"Nothing was tested, {programs} and {statements} executed", details
    number = counted(findings, "discrepancy", "discrepancies") if findings else "No discrepancy"
    return f"{number} in {programs}", details


def typed(value: Mapping[str, JSON]) -> str:
    """Dtype and shape of a literal: `float64[2, 3]`."""
    return f"{value['dtype']}[{', '.join(map(str, value['shape']))}]"


def literal(value: Mapping[str, JSON] | None) -> str:
    """A literal as `float64[2](1.0, 2.0)`, its data cut after a few values."""
    if value is None:
        return "None"
    shown = [_shortest(item, value["dtype"]) for item in value["data"][:_SHOWN]]
    hidden = len(value["data"]) - len(shown)
    return f"{typed(value)}({', '.join(shown)}{f', … {hidden:,} more' if hidden else ''})"


def _shortest(item: JSON, dtype: str) -> str:
    """The shortest decimal form that reads back as the same value of the dtype."""
    number, code = as_float(item), {"float32": "f", "float16": "e"}.get(dtype)
    if code is None or number is None or not math.isfinite(number):
        return decimal(item)
    for digits in range(1, 10):  # nine tell any two float32 apart
        short = float(f"{number:.{digits}g}")
        try:
            if struct.unpack(code, struct.pack(code, short))[0] == number:
                return repr(short)
        except OverflowError:  # rounded up to what the dtype cannot hold
            continue
    return decimal(item)


def parameters(params: Mapping[str, JSON]) -> list[str]:
    """Keyword arguments of a call, as they would be written."""
    return [f"{name}={_parameter(value)}" for name, value in params.items()]


def _parameter(value: JSON) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_parameter, value))}]"
    if isinstance(value, dict):
        if set(value) == {"slice"} and isinstance(value["slice"], list | tuple):
            start, stop, *step = ["" if part is None else str(part) for part in value["slice"]]
            return ":".join([start, stop, *filter(None, step)])
        if set(value) == {"tensor"}:
            return f"input {value['tensor']}"
        if set(value) == {"ellipsis"}:
            return "..."
        if set(value) == {"newaxis"}:
            return "None"
        if {"dtype", "shape", "data"} <= set(value):
            return literal(value)
        return f"{{{', '.join(f'{key}: {_parameter(item)}' for key, item in value.items())}}}"
    if isinstance(value, str) and as_float(value) is None:
        return repr(value)
    return "None" if value is None else decimal(value)
