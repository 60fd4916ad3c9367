"""Powers and roots, with torch's gradients at zero."""

from __future__ import annotations

import cmath
import math
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import FROM_NUMPY, SCALAR_TYPE, dtype
from refgrad.ops.calls import OPERANDS, as_operator, into, unary
from refgrad.ops.conversion import cast
from refgrad.ops.half import in_single
from refgrad.ops.inplace import inplace
from refgrad.ops.limits import check_fits, common_dtype, invalid_arguments, without
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = ["float_power", "pow", "rsqrt", "sqrt", "square"]

_ACCEPTED = "(Tensor, Tensor or Number) or (Number, Tensor)"
_no_bool_power = without(dtypes.BOOL, kernel="pow")


def _power(xp: Any, x: Any, exponent: Any) -> Any:
    """x to a Python number; small exponents by multiplication, as torch computes them."""
    if exponent == 0:
        return xp.ones_like(x * 0, dtype=x.dtype)  # laid out as a result, not as an expanded operand
    if exponent == 1:
        return x.copy() if x.dtype.kind == "b" else +x
    if exponent == 2:
        return x * x
    if exponent == 3:
        return x * x * x
    if x.dtype.kind in "fc":
        if exponent == 0.5:
            return xp.sqrt(x)
        if exponent == -0.5:
            return 1 / xp.sqrt(x)
        if exponent == -1:
            return 1 / x
        if exponent == -2:
            return 1 / (x * x)
    return xp.power(x, exponent)


_power_in_single = in_single(_power)


def _power_rounded(xp: Any, x: Any, exponent: Any) -> Any:
    """Half precision in single. There torch takes no square roots, whose value at -0 and -inf differs."""
    if x.dtype == xp.float16 and type(exponent) in (int, float):
        exponent = x.dtype.type(exponent).item()  # torch rounds it first
    if x.dtype == xp.float16 and exponent in (0.5, -0.5):
        wide = x.astype(xp.float32)
        power = xp.asarray(exponent, dtype=xp.float32)  # for a number NumPy takes the root
        return xp.power(wide, power).astype(x.dtype)
    return _power_in_single(xp, x, exponent)


def _check_exponent(input: Tensor, exponent: Any) -> None:
    if input.dtype.category >= dtypes.FLOATING:
        return
    result = common_dtype(input, exponent)
    if result.category < dtypes.FLOATING:
        if exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        check_fits(exponent, result)


def _pow_input(F: Any, g: Any, self: Any, exponent: Any) -> Any:
    if exponent == 0:
        return F.zeros_like(g)
    return g * (exponent * F.pow_scalar(self, exponent=exponent - 1)).conjugate()


_pow_scalar = Op(
    "pow_scalar",
    _power_rounded,
    {"self": _pow_input},
    promote="same",
    scalars=("exponent",),
    check=_check_exponent,
    node="PowBackward0",
)


def _power_of_arrays(xp: Any, x: Any, exponent: Any) -> Any:
    if x.dtype.kind not in "iu":
        return xp.power(x, exponent)
    below = exponent < 0  # only 1 and -1 have an integer result there; torch gives 0 elsewhere
    inverse = xp.where(x == 1, 1, xp.where(x == -1, 1 - 2 * (exponent & 1), 0))
    return xp.where(below, inverse, xp.power(x, xp.where(below, 0, exponent))).astype(x.dtype)


def _pow_exponent(F: Any, g: Any, self: Any, exponent: Any, result: Any) -> Any:
    at_zero = (self == 0) & (F.real(exponent) >= 0)  # where log has no value, but the power is flat
    wide = FROM_NUMPY.get(result.dtype, result.dtype)  # torch takes the logarithm in the dtype of the result
    return g * F.where(at_zero, 0, (result * F.log(F.cast(self, dtype=wide))).conjugate())


_pow_tensor = Op(
    "pow",
    _power_of_arrays,
    {
        "self": lambda F, g, self, exponent, result: F.where(  # torch saves the result all the same
            exponent == 0, 0, g * (exponent * F.pow(self, exponent - 1)).conjugate()
        ),
        "exponent": _pow_exponent,
    },
    inputs=("self", "exponent"),
    promote="same",
    check=_no_bool_power,
    node="PowBackward1",
)


def _log_of_number(base: complex, found: dtype) -> complex:
    if base == 0:
        return -math.inf
    if isinstance(base, complex) or found.is_complex:
        return cmath.log(base)
    return math.log(base) if base > 0 else math.nan


def _pow_base_exponent(F: Any, g: Any, exponent: Any, result: Any, base: Any, exponent_dtype: dtype) -> Any:
    slope = (result * _log_of_number(base, exponent_dtype)).conjugate()
    return g * (slope if base != 0 else F.where(F.real(exponent) >= 0, 0, slope))


def _power_of_number(xp: Any, exponent: Any, base: Any) -> Any:
    made = _power_of_arrays(xp, xp.asarray(base, dtype=exponent.dtype), exponent)
    return xp.asarray(made, order="C")  # as torch, whatever the layout of the exponent


_pow_base = Op(
    "pow_base",
    _power_of_number,
    {"exponent": _pow_base_exponent},
    inputs=("exponent",),
    promote="same",
    scalars=("base",),
    check=lambda exponent, base: _no_bool_power(exponent, base),
    node="PowBackward2",
)


def pow(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """`input` to the power `exponent`: tensors, or one of them a Python number, with broadcasting.

    At 0 to the power 0 both gradients are 0. RuntimeError for an integer to a negative number.
    """
    if out is not None:
        return into(out, "pow", pow, input, exponent)
    if isinstance(input, Tensor):
        if isinstance(exponent, Tensor):
            return _pow_tensor(input, exponent)
        if isinstance(exponent, OPERANDS):
            return _pow_scalar(input, exponent=exponent)
    elif isinstance(exponent, Tensor) and isinstance(input, OPERANDS):
        return _pow_base(exponent, base=input)
    raise invalid_arguments("pow", _ACCEPTED, input, exponent)


_pow_tensor.public = pow


def square(input: Tensor) -> Tensor:
    """The square of each element."""
    return pow(input, 2)


def _float_power_dtype(input: Any, exponent: Any) -> dtype:
    return dtypes.float64 if common_dtype(input, exponent).category < dtypes.COMPLEX else dtypes.complex128


def float_power(input: Any, exponent: Any) -> Tensor:
    """`pow` computed in float64, or in complex128 if an operand is complex."""
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        raise invalid_arguments("float_power", _ACCEPTED, input, exponent)
    wanted = _float_power_dtype(input, exponent)
    number = complex if wanted.is_complex else float
    base, power = (cast(x, wanted) if isinstance(x, Tensor) else number(x) for x in (input, exponent))
    return pow(base, power)


sqrt = unary(Op("sqrt", "sqrt", {"self": lambda F, g, result: g / (2 * result.conjugate())}, promote="float"))
rsqrt = unary(
    Op(
        "rsqrt",
        in_single(lambda xp, x: 1 / xp.sqrt(x)),
        {"self": lambda F, g, result: -0.5 * g * F.pow_scalar(result, exponent=3).conjugate()},
        promote="float",
    )
)

_float_power_ = inplace(float_power, "float_power_")


def float_power_(self: Tensor, exponent: Any) -> Tensor:
    """In-place form of `float_power`; RuntimeError unless the target has the dtype of the result."""
    wanted = _float_power_dtype(self, exponent)
    if self.dtype is not wanted:
        names = SCALAR_TYPE[self.dtype.name], SCALAR_TYPE[wanted.name]
        raise RuntimeError(
            f"the base given to float_power_ has dtype {names[0]} but the operation's result requires dtype {names[1]}"
        )
    return _float_power_(self, exponent)


METHODS = {
    "float_power_": float_power_,
    "pow": pow,
    "square": square,
    "float_power": float_power,
    "sqrt": sqrt,
    "rsqrt": rsqrt,
    "__pow__": as_operator(pow),
    "__rpow__": as_operator(lambda input, other: pow(other, input)),
}
INPLACE = {
    "pow_": pow,
    "square_": square,
    "sqrt_": sqrt,
    "rsqrt_": rsqrt,
    "__ipow__": pow,
}
