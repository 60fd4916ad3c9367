"""What torch's ops refuse: dtypes they have no kernel for, and derivatives they do not have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

from refgrad import dtypes
from refgrad.dtypes import BOOL, C_NAMES, COMPLEX, INTEGRAL, SCALAR_TYPE, dtype
from refgrad.tensor import Tensor, result_type

NOT_IMPLEMENTED = "torch::autograd::NotImplemented"  # the node of an op without a derivative
NUMBERS = (int, float, complex)


def common_dtype(*operands: Any) -> dtype:
    """The dtype in which tensors and Python numbers are computed; anything else is left out."""
    return result_type(*[x for x in operands if isinstance(x, (Tensor, *NUMBERS))])


def without(*categories: int, kernel: str) -> Callable[..., None]:
    """A check of operands that refuses dtypes of some categories, in torch's words for `kernel`.

    It is a check of a record: parameters of the call are no operands.
    """

    def check(*operands: Any, **params: Any) -> None:
        found = common_dtype(*operands)
        if found.category in categories:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{SCALAR_TYPE[found.name]}'")

    return check


def no_complex(message: str, error: type[RuntimeError] = RuntimeError) -> Callable[..., None]:
    """A check that refuses complex operands."""

    def check(*operands: Any, **params: Any) -> None:
        if common_dtype(*operands).is_complex:
            raise error(message)

    return check


def floats_only(kernel: str) -> Callable[..., None]:
    """A check that lets floating point operands pass, and nothing else."""
    return without(BOOL, INTEGRAL, COMPLEX, kernel=kernel)


def no_derivative(name: str) -> Callable[..., NoReturn]:
    """The formula of an op that torch cannot differentiate: its error comes in backward, or in forward mode."""

    def formula(F: Any, g: Any) -> NoReturn:
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    formula.refused = name  # type: ignore[attr-defined]
    return formula


def no_tangents(name: str, why: str) -> NotImplementedError:
    """torch's error for an operation that forward mode cannot go through."""
    return NotImplementedError(f"Trying to use forward AD with {name} that does not support it because it {why}")


NOT_YET = "has not been implemented yet."


def invalid_arguments(name: str, expected: str, *given: Any) -> TypeError:
    """torch's error for a call that fits none of a function's signatures."""
    found = ", ".join(type(x).__name__ for x in given)
    return TypeError(f"{name}() received an invalid combination of arguments - got ({found}), but expected {expected}")


def check_fits(value: Any, target: dtype) -> None:
    """RuntimeError where torch's conversion of a number to `target` would lose it."""
    if target is dtypes.bool_:
        return
    floats = target.is_floating_point or target.is_complex
    if isinstance(value, complex) and not target.is_complex:
        fits = value.imag == 0
    elif floats:
        largest = dtypes.finfo(target).max
        fits = all([not math.isfinite(part) or abs(part) <= largest for part in (value.real, value.imag)])
    else:
        limits = dtypes.iinfo(target)
        wraps = target is dtypes.uint8 and not isinstance(value, float)
        fits = (-limits.max if wraps else limits.min) <= value <= limits.max  # a fraction is cut off
    if not fits:
        name = C_NAMES[target.name] if floats or target is dtypes.int32 else f"{target.name}_t"
        raise RuntimeError(f"value cannot be converted to type {name} without overflow")
