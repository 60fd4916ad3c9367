"""Rounding, and division that rounds: quotients, remainders.

What is piecewise constant has a gradient of zeros, as in torch: it is defined, not missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad import dtypes
from refgrad.ops.arithmetic import TWO, true_divide
from refgrad.ops.calls import OPERANDS, as_operator, into, unary
from refgrad.ops.half import in_single
from refgrad.ops.inplace import differentiated_as
from refgrad.ops.limits import (
    NOT_IMPLEMENTED,
    common_dtype,
    floats_only,
    invalid_arguments,
    no_derivative,
    without,
)
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = [
    "ceil",
    "div",
    "divide",
    "fix",
    "floor",
    "floor_divide",
    "fmod",
    "frac",
    "remainder",
    "round",
    "trunc",
]


def _zeros(F: Any, g: Any) -> Any:
    return F.zeros_like(g)


# One operand


def _rounding(name: str, function: str) -> Callable[[Tensor], Tensor]:
    """A function that rounds floats, and copies integers."""
    refuse = without(dtypes.BOOL, dtypes.COMPLEX, kernel=f"{name}_vml_cpu")

    def kernel(xp: Any, x: Any) -> Any:
        return getattr(xp, function)(x) if x.dtype.kind == "f" else x.copy()

    def check(input: Tensor) -> None:
        if input.is_complex() and name != "round":
            raise NotImplementedError(f"{name} is not supported for complex inputs")
        refuse(input)

    return unary(Op(name, kernel, {"self": _zeros}, check=check))


floor = _rounding("floor", "floor")
ceil = _rounding("ceil", "ceil")
trunc = _rounding("trunc", "trunc")
_nearest = _rounding("round", "rint")
frac = unary(Op("frac", lambda xp, x: x - xp.trunc(x), {"self": lambda F, g: g}, check=floats_only("frac_cpu")))


def _round_decimals(xp: Any, x: Any, decimals: int) -> Any:
    scale = 10.0 ** abs(decimals)
    return xp.rint(x * scale) / scale if decimals > 0 else xp.rint(x / scale) * scale


_round_to = Op(
    "round_to",
    in_single(_round_decimals),
    {"self": _zeros},
    check=floats_only("round_cpu"),
    node="RoundBackward1",
    jvp="elementwise",
)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, of two the even one; or the nearest multiple of ``10**-decimals``."""
    if not isinstance(decimals, int):
        raise invalid_arguments("round", "(Tensor, *, int decimals)", input, decimals)
    return _round_to(input, decimals=decimals) if decimals else _nearest(input)


# Quotients


def _divisible(kernel: str) -> Callable[..., None]:
    """A check of the operands, as they come to each form: no bool, no complex, no integer zero below.

    A GPU does not look for zeros: there the result is undefined.
    """
    refuse = without(dtypes.BOOL, dtypes.COMPLEX, kernel=kernel)

    def check(x: Any, y: Any = None, *, dividend: Any = None, divisor: Any = None, **options: Any) -> None:
        if dividend is not None:
            x, y = dividend, x
        elif divisor is not None:
            y = divisor
        refuse(x, y)
        if common_dtype(x, y).category == dtypes.INTEGRAL:
            on_cpu = isinstance(y, Tensor) and y.device.type == "cpu"
            if (on_cpu and not y._data.all()) or (not isinstance(y, Tensor) and y == 0):
                raise RuntimeError("ZeroDivisionError")

    return check


def _floored(xp: Any, x: Any, y: Any) -> Any:
    return xp.floor_divide(x, y)


def _truncated(xp: Any, x: Any, y: Any) -> Any:
    quotient = xp.floor_divide(x, y)
    if quotient.dtype.kind == "f":
        return xp.trunc(x / y)
    return quotient + ((quotient * y != x) & ((x < 0) != (y < 0)))


_MODES = {"floor": in_single(_floored), "trunc": in_single(_truncated)}
_div_rounded = Op(
    "div_rounded",
    lambda xp, x, y, rounding_mode: _MODES[rounding_mode](xp, x, y),
    {  # torch saves the operands, though it does not need them
        "self": lambda F, g, other: F.zeros_like(g),
        "other": lambda F, g, self, other: F.zeros_like(g),
    },
    inputs=TWO,
    promote="same",
    check=lambda x, y, rounding_mode: _divisible(f"div_{rounding_mode}_cpu")(x, y),
    node="DivBackward2",
)


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """``input / other``, elementwise with broadcasting; rounded down for "floor", to zero for "trunc".

    A true quotient of integers is of the default dtype. RuntimeError for another `rounding_mode`,
    and for an integer divided by 0 with rounding.
    """
    if out is not None:
        return into(out, "div", div, input, other, rounding_mode=rounding_mode)
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode not in _MODES:
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
        )
    return _div_rounded(input, other, rounding_mode=rounding_mode)


# Functions of two operands, of which one may be a number: torch has a node for each form.


def _forms(name: str, function: Callable[..., Any], nodes: tuple[str, str], formula: Any) -> tuple[Op, Op]:
    """The records for two tensors, and for a tensor with a number as divisor."""
    check = _divisible("div_floor_cpu" if name == "floor_divide" else f"{name}_cpu")
    of_tensors = Op(name, function, formula, inputs=TWO, promote="same", check=check, node=nodes[1])
    of_number = Op(
        f"{name}_number",
        lambda xp, x, divisor: function(xp, x, divisor),
        formula if callable(formula) else {"self": formula["self"]},
        promote="same",
        scalars=("divisor",),
        check=check,
        node=nodes[0],
    )
    return of_tensors, of_number


def _number_over(name: str, function: Callable[..., Any]) -> Op:
    """The record for a number divided by a tensor: torch has no derivative of it."""
    return Op(
        f"number_{name}",
        lambda xp, y, dividend: function(xp, xp.asarray(dividend, dtype=y.dtype), y),
        no_derivative(name),
        inputs=("other",),
        promote="same",
        scalars=("dividend",),
        check=_divisible("div_floor_cpu" if name == "floor_divide" else f"{name}_cpu"),
        node=NOT_IMPLEMENTED,
    )


@in_single
def _remainder_kernel(xp: Any, x: Any, y: Any) -> Any:
    """With the sign of the divisor; a zero keeps the sign of the dividend, as in torch."""
    rest = xp.fmod(x, y)
    return xp.where((rest != 0) & ((y < 0) != (rest < 0)), rest + y, rest)


_floor_divide, _floor_divide_number = _forms(
    "floor_divide", in_single(_floored), (NOT_IMPLEMENTED, NOT_IMPLEMENTED), no_derivative("floor_divide")
)
_remainder, _remainder_number = _forms(
    "remainder",
    _remainder_kernel,
    ("RemainderBackward0", "RemainderBackward1"),
    {
        "self": lambda F, g: g,
        "other": lambda F, g, self, other: -g * F.div_rounded(self, other, rounding_mode="floor"),
    },
)
_fmod, _fmod_number = _forms(
    "fmod",
    lambda xp, x, y: xp.fmod(x, y),
    ("FmodBackward0", "FmodBackward1"),
    {
        "self": lambda F, g: g,
        "other": lambda F, g, self, other: -g * F.div_rounded(self, other, rounding_mode="trunc"),
    },
)
_number_floor_divide = _number_over("floor_divide", in_single(_floored))
_number_remainder = _number_over("remainder", _remainder_kernel)


def _dispatch(name: str, of_tensors: Op, of_number: Op, number_over: Op | None, doc: str) -> Callable[..., Tensor]:
    expected = "(Tensor, Tensor or Number)" + (" or (Number, Tensor)" if number_over else "")

    def function(input: Any, other: Any) -> Tensor:
        if isinstance(input, Tensor):
            if isinstance(other, Tensor):
                return of_tensors(input, other)
            if isinstance(other, OPERANDS):
                return of_number(input, divisor=other)
        elif number_over is not None and isinstance(input, OPERANDS) and isinstance(other, Tensor):
            return number_over(other, dividend=input)
        raise invalid_arguments(name, expected, input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


floor_divide = _dispatch(
    "floor_divide",
    _floor_divide,
    _floor_divide_number,
    _number_floor_divide,
    "The quotient rounded down. torch has no derivative of it: RuntimeError in the backward pass.",
)
_floor_divide_ = _dispatch(
    "floor_divide_",
    differentiated_as(NOT_IMPLEMENTED, no_derivative("floor_divide_"), _floor_divide),
    differentiated_as(NOT_IMPLEMENTED, no_derivative("floor_divide_"), _floor_divide_number),
    None,
    "`floor_divide` of a target.",
)
remainder = _dispatch(
    "remainder",
    _remainder,
    _remainder_number,
    _number_remainder,
    "What is left by division rounded down: it has the sign of the divisor, as Python's ``%``.",
)
fmod = _dispatch(
    "fmod",
    _fmod,
    _fmod_number,
    None,
    "What is left by division rounded to zero: it has the sign of the dividend, as C's fmod.",
)

divide, fix = div, trunc

METHODS = {name: globals()[name] for name in __all__} | {
    "__floordiv__": as_operator(floor_divide),
    "__rfloordiv__": as_operator(lambda input, other: floor_divide(other, input)),
    "__mod__": as_operator(remainder),
    "__rmod__": as_operator(lambda input, other: remainder(other, input)),
}
INPLACE = {
    "floor_": floor,
    "ceil_": ceil,
    "trunc_": trunc,
    "fix_": trunc,
    "round_": round,
    "frac_": frac,
    "div_": div,
    "divide_": div,
    "floor_divide_": _floor_divide_,
    "remainder_": remainder,
    "fmod_": fmod,
    "__ifloordiv__": _floor_divide_,
    "__imod__": remainder,
}
