"""Text of tensors, character for character as torch 2.13 prints them.

One `_Column` says how every number of a tensor is written, so that rows align; a complex tensor has one for
its real and one for its imaginary parts. Only the numbers that will be shown have a say in it.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

_PREFIX = "tensor("


@dataclass(frozen=True, slots=True)
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}
_options = _PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors are printed, from now on and everywhere.

    precision: digits after the point. threshold: tensors with more elements are summarised. edgeitems: how
    many elements a summary shows at either end of a dimension. linewidth: columns of a line. profile:
    "default", "short" or "full", values for these four, which those given then override. sci_mode:
    scientific notation always (True), never (False), or by the values (None).

    As in torch, `None` leaves an option as it is, except `sci_mode`, which every call sets; an unknown
    profile changes nothing; and a value that cannot be used is an error of the next printing (ValueError for
    a negative precision, OverflowError for an infinite linewidth).
    """
    global _options
    given: dict[str, Any] = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    base = _options if profile is None else _PROFILES.get(profile, _options)
    _options = replace(base, sci_mode=sci_mode, **{name: v for name, v in given.items() if v is not None})


def get_printoptions() -> dict[str, Any]:
    """The options in force, as keyword arguments for `set_printoptions`."""
    return asdict(_options)


@dataclass(frozen=True, slots=True)
class _Column:
    """Writes single numbers in one style, each at least `width` characters wide."""

    style: Callable[[Any], str]
    width: int

    def write(self, number: Any) -> str:
        return self.style(number).rjust(self.width)


@dataclass(frozen=True, slots=True)
class _ComplexColumn:
    real: _Column
    imag: _Column

    @property
    def width(self) -> int:
        return self.real.width + self.imag.width + len("j")  # torch leaves out the sign between

    def write(self, number: complex) -> str:
        imag = self.imag.write(number.imag).lstrip()
        return self.real.write(number.real) + ("" if imag.startswith("-") else "+") + imag + "j"


def format_tensor(
    array: np.ndarray,
    dtype_name: str,
    *,
    default_dtype_name: str = "float32",
    device: str = "cpu",
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    tangent: object = None,
    indent: int = 0,
) -> str:
    """What torch's `repr` and `str` give for a tensor with these values, of any shape.

    array: booleans, integers, floats or complex numbers; its NumPy dtype decides how they are written.
    dtype_name: the dtype to name ("float32"), where torch names it; default_dtype_name: the one it leaves
    out. grad_fn_name: shown in place of requires_grad. tangent: shown by its own text. indent: columns already
    taken on the line where the text begins; the lines after the first are set in by as many. Raises what unusable
    print options lead to (see `set_printoptions`).
    """
    options = _options
    start = indent + len(_PREFIX)
    text = _PREFIX + _contents(array, start, options)

    suffixes = []
    if device != "cpu":
        suffixes.append(f"device='{device}'")
    if array.ndim != 1 if array.size == 0 else not options.edgeitems:
        suffixes.append(f"size={tuple(array.shape)}")
    if not _goes_without_saying(dtype_name, default_dtype_name, array.size == 0):
        suffixes.append(f"dtype=torch.{dtype_name}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    if tangent is not None:
        suffixes.append(f"tangent={tangent}")

    _, newline, last = text.rpartition("\n")
    # torch counts two columns too many on this line, and none on those that suffixes begin.
    used = len(last) + (0 if newline else indent) + 2
    for suffix in suffixes:
        if used + len(suffix) + 2 > options.linewidth:
            text += ",\n" + " " * start + suffix
            used = start + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text + ")"


def _goes_without_saying(dtype_name: str, default_dtype_name: str, empty: bool) -> bool:
    """Whether a reader can tell the dtype without its name: with no elements, only the default one."""
    if empty:
        return dtype_name == default_dtype_name
    default_complex = "complex128" if default_dtype_name == "float64" else "complex64"
    return dtype_name in (default_dtype_name, default_complex, "int64", "bool")


def _contents(array: np.ndarray, start: int, options: _Options) -> str:
    """The brackets and numbers, given the screen column they start at."""
    if array.size == 0:
        return "[]"
    edge = options.edgeitems
    summarised = array.size > options.threshold
    cuts = [summarised and length > 2 * edge for length in array.shape]
    shown = array
    for axis, cut in enumerate(cuts):
        if cut:
            shown = np.delete(shown, slice(edge, shown.shape[axis] - edge), axis=axis)
    return _nested(shown, cuts, _column(shown, options), start, options)


def _nested(
    shown: np.ndarray, cuts: list[bool], column: _Column | _ComplexColumn, start: int, options: _Options
) -> str:
    if shown.ndim == 0:
        return column.write(shown.item())
    if shown.ndim == 1:
        parts = [column.write(number) for number in shown.tolist()]
    else:
        parts = [_nested(row, cuts[1:], column, start + 1, options) for row in shown]
    if cuts[0]:
        among_numbers = shown.ndim == 1 and options.edgeitems
        parts.insert(options.edgeitems, " ..." if among_numbers else "...")
    if shown.ndim == 1:
        per_line = max(1, math.floor((options.linewidth - start) / (column.width + len(", "))))
        parts = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
    line_breaks = "\n" * max(1, shown.ndim - 1)
    return "[" + ("," + line_breaks + " " * (start + 1)).join(parts) + "]"


def _column(shown: np.ndarray, options: _Options) -> _Column | _ComplexColumn:
    if shown.dtype.kind == "c":
        return _ComplexColumn(_real_column(shown.real, options), _real_column(shown.imag, options))
    return _real_column(shown, options)


def _real_column(shown: np.ndarray, options: _Options) -> _Column:
    """The style these numbers call for, and its widest width; zeros, infinities and NaNs have no say."""
    numbers = shown.ravel().tolist()  # exact as Python floats: as in torch, ratios are taken in float64
    style: Callable[[Any], str] = str
    if shown.dtype.kind == "f":
        numbers = [x for x in numbers if x and math.isfinite(x)]
        style = _float_style(numbers, options)
    return _Column(style, max((len(style(x)) for x in numbers), default=1))


def _float_style(numbers: list[float], options: _Options) -> Callable[[float], str]:
    """Scientific, whole (`2.`) or fixed-point, for finite numbers other than 0."""
    if not numbers:
        return _whole
    smallest, largest = min(map(abs, numbers)), max(map(abs, numbers))
    scientific = options.sci_mode
    if scientific is None:
        scientific = largest / smallest > 1000 or largest > 1e8 or smallest < 1e-4
    if scientific:
        return f"{{:.{options.precision}e}}".format
    if all(x.is_integer() for x in numbers):
        return _whole
    return f"{{:.{options.precision}f}}".format


def _whole(number: float) -> str:
    return f"{number:.0f}." if math.isfinite(number) else f"{number:.0f}"
