"""Comparisons, classes of floating point values, logical and bitwise operations. None is differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refgrad.dtypes import BOOL, COMPLEX, FLOATING, FROM_NUMPY, INTEGRAL, SCALAR_TYPE
from refgrad.ops.arguments import tensor_argument
from refgrad.ops.arithmetic import TWO
from refgrad.ops.calls import as_operator, binary, unary
from refgrad.ops.inplace import inplace
from refgrad.ops.limits import no_complex, without
from refgrad.ops.record import OPS, Op
from refgrad.tensor import Tensor, wrap

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
    "signbit",
]

# Comparisons: of tensors and numbers in their common dtype


def _compared(name: str, function: str, ordered: bool) -> Op:
    check = without(COMPLEX, kernel=f"{name}_cpu") if ordered else None
    return Op(name, function, inputs=TWO, promote="same", check=check)


_eq, _ne = _compared("eq", "equal", False), _compared("ne", "not_equal", False)
_lt, _le = _compared("lt", "less", True), _compared("le", "less_equal", True)
_gt, _ge = _compared("gt", "greater", True), _compared("ge", "greater_equal", True)
eq, ne, lt, le, gt, ge = (binary(op) for op in (_eq, _ne, _lt, _le, _gt, _ge))
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


def _zeros(F: Any, g: Any) -> Any:
    return F.zeros_like(g)


def _written(op: Op) -> Callable[[Tensor, Any], Tensor]:
    """What an in-place comparison writes: 0 and 1 in the dtype of the target, which goes on requiring grad."""

    def kernel(xp: Any, x: Any, y: Any, held: Any) -> Any:
        return op.kernels[xp.array_type](x, y).astype(held)

    def over_number(xp: Any, x: Any, other: Any, held: Any) -> Any:
        return kernel(xp, x, other, held)

    def check(*operands: Any, **params: Any) -> None:
        if op.check is not None:
            op.check(*operands, *[params[k] for k in ("other",) if k in params])

    node = f"{op.name.capitalize()}Backward"
    of_tensors = Op(
        f"{op.name}_", kernel, {n: _zeros for n in TWO}, inputs=TWO, promote="same", check=check, node=f"{node}1"
    )
    of_number = Op(
        f"{op.name}_number_",
        over_number,
        {"self": _zeros},
        promote="same",
        scalars=("other",),
        check=check,
        node=f"{node}0",
    )

    def call(input: Tensor, other: Any) -> Tensor:
        held = input._data.dtype
        if isinstance(other, Tensor):
            return of_tensors(input, other, held=held)
        return of_number(input, other=other, held=held)

    return call


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and equal elements."""
    tensor_argument("equal", input)
    tensor_argument("equal", other, "other", 2)
    return input._data.shape == other._data.shape and bool(eq(input, other)._data.all())


def _isclose_kernel(xp: Any, x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    close = x == y
    if equal_nan and x.dtype.kind in "fc":
        close = close | (xp.isnan(x) & xp.isnan(y))
    if not rtol and not atol:
        return close
    if x.dtype.kind in "biu":
        x, y = x.astype(xp.float64), y.astype(xp.float64)
    error = xp.absolute(x - y)
    return close | (xp.isfinite(error) & (error <= atol + xp.absolute(rtol * y)))


_isclose = Op("isclose", _isclose_kernel, inputs=TWO)


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Where ``abs(input - other) <= atol + rtol * abs(other)``; RuntimeError for different dtypes."""
    tensor_argument("isclose", input)
    tensor_argument("isclose", other, "other", 2)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{SCALAR_TYPE[input.dtype.name]} did not match {SCALAR_TYPE[other.dtype.name]}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    return _isclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether `isclose` holds everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


# Classes of values. Integers are finite.


def _is_class(name: str, of_integers: bool, check: Callable[..., None] | None = None) -> Callable[[Tensor], Tensor]:
    def kernel(xp: Any, x: Any) -> Any:
        if x.dtype.kind in "fc":
            return getattr(xp, name)(x)
        return xp.full(x.shape, of_integers, dtype=bool)

    return unary(Op(name, kernel, check=check))


isnan, isinf = _is_class("isnan", False), _is_class("isinf", False)
isfinite = _is_class("isfinite", True)
isposinf = unary(
    Op(
        "isposinf",
        lambda xp, x: x == float("inf"),
        check=no_complex("isposinf does not support complex inputs."),
    )
)
isneginf = unary(
    Op(
        "isneginf",
        lambda xp, x: x == -float("inf"),
        check=no_complex("isneginf does not support complex inputs."),
    )
)
signbit = unary(
    Op(
        "signbit",
        lambda xp, x: xp.signbit(x) if x.dtype.kind == "f" else x < 0,
        check=no_complex("signbit is not implemented for complex tensors.", NotImplementedError),
    )
)

# Logical operations: every dtype by its truth, to bool


def _logical(name: str) -> Op:
    return Op(name, lambda xp, x, y: getattr(xp, name)(x != 0, y != 0), inputs=TWO)


logical_and = binary(_logical("logical_and"), numbers=False)
logical_or = binary(_logical("logical_or"), numbers=False)
logical_xor = binary(_logical("logical_xor"), numbers=False)
logical_not = unary(Op("logical_not", lambda xp, x: x == 0))

# Bitwise operations, of integers, and of bool by truth


def _bitwise(name: str, function: str, *refused: int) -> Callable[[Any, Any], Tensor]:
    """Not by `binary`: its fast path is for floats, and they are refused here."""
    kernel = {"left_shift": "lshift", "right_shift": "rshift"}.get(function, function)
    check = without(*refused, kernel=f"{kernel}_cpu")
    op = Op(name, function, inputs=TWO, promote="same", check=check)

    def call(input: Any, other: Any) -> Tensor:
        return op(input, other)

    call.__name__ = call.__qualname__ = name
    return call


bitwise_and = _bitwise("bitwise_and", "bitwise_and", FLOATING, COMPLEX)
bitwise_or = _bitwise("bitwise_or", "bitwise_or", FLOATING, COMPLEX)
bitwise_xor = _bitwise("bitwise_xor", "bitwise_xor", FLOATING, COMPLEX)
bitwise_left_shift = _bitwise("bitwise_left_shift", "left_shift", BOOL, FLOATING, COMPLEX)
bitwise_right_shift = _bitwise("bitwise_right_shift", "right_shift", BOOL, FLOATING, COMPLEX)
_invert = Op("bitwise_not", "invert", check=without(FLOATING, COMPLEX, kernel="bitwise_not_cpu"))


def bitwise_not(input: Tensor) -> Tensor:
    """The complement of each bit; of bool, not."""
    return _invert(tensor_argument("bitwise_not", input))


def _inverted(input: Tensor) -> Tensor:
    if input.dtype.category > INTEGRAL:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return bitwise_not(input)


_tensors_equal = binary(_eq, operator=True)


def _equals(input: Tensor, other: Any) -> Any:
    """``input == other``: of the comparisons, torch's only one that takes NumPy arrays."""
    if isinstance(other, np.ndarray):
        if other.dtype not in FROM_NUMPY:
            return NotImplemented
        other = wrap(other)
    return _tensors_equal(input, other)


METHODS = {name: globals()[name] for name in __all__} | {
    "__eq__": _equals,
    "__ne__": binary(_ne, operator=True),
    "__lt__": binary(_lt, operator=True),
    "__le__": binary(_le, operator=True),
    "__gt__": binary(_gt, operator=True),
    "__ge__": binary(_ge, operator=True),
    "__and__": as_operator(bitwise_and),
    "__rand__": as_operator(bitwise_and),
    "__or__": as_operator(bitwise_or),
    "__ror__": as_operator(bitwise_or),
    "__xor__": as_operator(bitwise_xor),
    "__rxor__": as_operator(bitwise_xor),
    "__lshift__": as_operator(bitwise_left_shift),
    "__rlshift__": as_operator(lambda input, other: bitwise_left_shift(other, input)),
    "__rshift__": as_operator(bitwise_right_shift),
    "__rrshift__": as_operator(lambda input, other: bitwise_right_shift(other, input)),
    "__invert__": _inverted,
}
for _form in (logical_and, logical_or, logical_xor, logical_not):  # torch leaves the history of the target as it is
    METHODS[f"{_form.__name__}_"] = inplace(_form, f"{_form.__name__}_", tracked=False)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    METHODS[f"{_name}_"] = inplace(_written(OPS[_name]), f"{_name}_", casts=False)
_ALIASES = {"not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge"}
METHODS |= {f"{_name}_": METHODS[f"{_short}_"] for _name, _short in _ALIASES.items()}
INPLACE = {
    "bitwise_left_shift_": bitwise_left_shift,
    "bitwise_right_shift_": bitwise_right_shift,
    "bitwise_and_": bitwise_and,
    "bitwise_or_": bitwise_or,
    "bitwise_xor_": bitwise_xor,
    "bitwise_not_": bitwise_not,
    "__iand__": bitwise_and,
    "__ior__": bitwise_or,
    "__ixor__": bitwise_xor,
    "__ilshift__": bitwise_left_shift,
    "__irshift__": bitwise_right_shift,
}
