"""What torch's ops refuse: dtypes they have no kernel for, and derivatives they do not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from refgrad.dtypes import BOOL, COMPLEX, INTEGRAL, SCALAR_TYPE, dtype
from refgrad.tensor import Tensor, result_type

NOT_IMPLEMENTED = "torch::autograd::NotImplemented"  # the node of an op without a derivative
NUMBERS = (int, float, complex)


def common_dtype(*operands: Any) -> dtype:
    """The dtype in which tensors and Python numbers are computed; anything else is left out."""
    return result_type(*[x for x in operands if isinstance(x, (Tensor, *NUMBERS))])


def without(*categories: int, kernel: str) -> Callable[..., None]:
    """A check of operands that refuses dtypes of some categories, in torch's words for `kernel`."""

    def check(*inputs: Any, **params: Any) -> None:
        found = common_dtype(*inputs, *params.values())
        if found.category in categories:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{SCALAR_TYPE[found.name]}'")

    return check


def floats_only(kernel: str) -> Callable[..., None]:
    """A check that lets floating point operands pass, and nothing else."""
    return without(BOOL, INTEGRAL, COMPLEX, kernel=kernel)


def no_derivative(name: str) -> Callable[..., NoReturn]:
    """The formula of an op that torch cannot differentiate: the error comes in the backward pass."""

    def formula(F: Any, g: Any) -> NoReturn:
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return formula


def invalid_arguments(name: str, expected: str, *given: Any) -> TypeError:
    """torch's error for a call that fits none of a function's signatures."""
    found = ", ".join(type(x).__name__ for x in given)
    return TypeError(
        f"{name}() received an invalid combination of arguments - got ({found}), but expected {expected}"
    )
