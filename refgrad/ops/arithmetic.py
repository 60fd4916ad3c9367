"""Arithmetic: sums, products, quotients, signs, and what torch computes of them in one step.

For a real loss torch's gradient is that with respect to the conjugate, so a factor enters a
formula conjugated. `conjugate()` is the one spelling that Python numbers, arrays and tensors
share; of a real value it is the value itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.dtypes import C_NAMES
from refgrad.ops.arguments import number, tensor_argument
from refgrad.ops.calls import OPERANDS, as_operator, binary, into, unary
from refgrad.ops.half import in_single
from refgrad.ops.inplace import inplace
from refgrad.ops.limits import common_dtype, floats_only, invalid_arguments, without
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = [
    "abs",
    "absolute",
    "add",
    "addcdiv",
    "addcmul",
    "hypot",
    "lerp",
    "mul",
    "multiply",
    "neg",
    "negative",
    "positive",
    "reciprocal",
    "rsub",
    "sgn",
    "sign",
    "sub",
    "subtract",
    "true_divide",
]

TWO = ("self", "other")


# Sums and differences

_add = Op("add", "add", {"self": lambda F, g: g, "other": lambda F, g: g}, inputs=TWO, promote="same")
plus = binary(_add)


def _number_for(value: Any, *operands: Any) -> Any:
    """A factor as torch's kernels take it: cut down to the dtype of integer or bool operands."""
    kind = next(x.dtype.kind for x in operands if hasattr(x, "dtype"))
    return bool(value) if kind == "b" else int(value) if kind in "iu" else value


_add_alpha = Op(
    "add_alpha",
    lambda xp, x, y, alpha: x + _number_for(alpha, x, y) * y,
    {"self": lambda F, g: g, "other": lambda F, g, alpha: g * alpha.conjugate()},
    inputs=TWO,
    promote="same",
    node="AddBackward0",
)


def _checked_alpha(function: str, input: Any, other: Any, alpha: Any) -> Any:
    """`alpha` as a number; RuntimeError for one that the result's dtype cannot take."""
    alpha = number(function, "alpha", alpha)
    result = common_dtype(input, other)
    if isinstance(alpha, bool) and result is not dtypes.bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and result.category < dtypes.FLOATING:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, complex) and result.category < dtypes.COMPLEX:
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    return alpha


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """``input + alpha * other``, elementwise with broadcasting."""
    if out is not None:
        return into(out, "add", add, input, other, alpha=alpha)
    if alpha == 1 and alpha is not True:
        return plus(input, other)
    return _add_alpha(input, other, alpha=_checked_alpha("add", input, other, alpha))


def _check_bools(input: Any, other: Any, **params: Any) -> None:
    kinds = [t.dtype is dtypes.bool_ if isinstance(t, Tensor) else t is True or t is False for t in (input, other)]
    if all(kinds):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. "
            "Use the `^` or `logical_xor()` operator instead."
        )
    if any(kinds):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert "
            "a mask, use the `~` or `logical_not()` operator instead."
        )


_sub = Op(
    "sub",
    "subtract",
    {"self": lambda F, g: g, "other": lambda F, g: -g},
    inputs=TWO,
    promote="same",
    check=_check_bools,
)
minus = binary(_sub)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """``input - alpha * other``, elementwise with broadcasting."""
    if out is not None:
        return into(out, "sub", sub, input, other, alpha=alpha)
    if alpha == 1 and alpha is not True:
        return minus(input, other)
    return _sub_alpha(input, other, alpha=_checked_alpha("sub", input, other, alpha))


_sub_alpha = Op(
    "sub_alpha",
    lambda xp, x, y, alpha: x - alpha * y,
    {"self": lambda F, g: g, "other": lambda F, g, alpha: g * -alpha.conjugate()},
    inputs=TWO,
    promote="same",
    check=_check_bools,
    node="SubBackward0",
)

_rsub_scalar = Op(
    "rsub_scalar",
    lambda xp, x, other, alpha: other - alpha * x if alpha != 1 else other - x,
    {"self": lambda F, g, alpha: -g * alpha.conjugate() if alpha != 1 else -g},
    promote="same",
    scalars=("other",),
    check=lambda input, other, alpha: _check_bools(input, other),
    node="RsubBackward1",
)
_rsub_tensor = Op(
    "rsub",
    lambda xp, x, y, alpha: y - alpha * x if alpha != 1 else y - x,
    {"self": lambda F, g, alpha: -g * alpha.conjugate() if alpha != 1 else -g, "other": lambda F, g: g},
    inputs=TWO,
    promote="same",
    check=_check_bools,
)


def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``other - alpha * input``, elementwise with broadcasting."""
    tensor_argument("rsub", input)
    if isinstance(other, Tensor):
        return _rsub_tensor(input, other, alpha=alpha)
    return _rsub_scalar(input, other=other, alpha=alpha)


# Products and quotients

_mul = Op(
    "mul",
    "multiply",
    {
        "self": lambda F, g, other: g * other.conjugate(),
        "other": lambda F, g, self: g * self.conjugate(),
    },
    inputs=TWO,
    promote="same",
    number_in_single=True,
)


def _div_tangent(F: Any, self_t: Any, other_t: Any, other: Any, result: Any) -> Any:
    """In one quotient: where the divisor is 0 the parts would be infinities that cancel."""
    if other_t is None:
        return self_t / other
    return (-(other_t * result) if self_t is None else self_t - other_t * result) / other


_div = Op(
    "div",
    "true_divide",
    {
        "self": lambda F, g, other: g / other.conjugate(),
        "other": lambda F, g, self, other: -g * ((self / other) / other).conjugate(),
    },
    inputs=TWO,
    promote="float",
    number_in_single=True,
    jvp=_div_tangent,
)
mul, true_divide = binary(_mul), binary(_div)
reciprocal = unary(
    Op(
        "reciprocal",
        lambda xp, x: 1 / x,
        {"self": lambda F, g, result: -g * (result * result).conjugate()},
        promote="float",
    )
)


def _check_negation(input: Tensor) -> None:
    if input.dtype is dtypes.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a "
            "mask, use the `~` or `logical_not()` operator instead."
        )


neg = unary(Op("neg", "negative", {"self": lambda F, g: -g}, check=_check_negation))


# Absolute values and signs


def positive(input: Tensor) -> Tensor:
    """The tensor itself; RuntimeError for bool."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


abs = unary(
    Op(
        "abs",
        "absolute",
        {"self": lambda F, g, self: g * F.sgn(self)},
        check=without(dtypes.BOOL, kernel="abs_cpu"),
    )
)
absolute = abs


def _signs(xp: Any, x: Any) -> Any:
    """-1, 0 or 1, also 0 for NaN; of a complex number its direction."""
    if x.dtype.kind == "c":
        size = xp.absolute(x)
        return xp.where(size == 0, 0, x / xp.where(size == 0, 1, size))
    if x.dtype.kind == "b":
        return x.copy()
    return (x > 0).astype(x.dtype) - (x < 0)


def _check_real_sign(input: Tensor) -> None:
    if input.is_complex():
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."
        )


def _sgn_input(F: Any, g: Any, self: Any, result: Any, self_dtype: Any) -> Any:
    """Only the part of a complex gradient across the direction turns it."""
    if not self_dtype.is_complex:
        return F.zeros_like(g)
    size = F.abs(self)
    across = g - result * F.real(result.conjugate() * g)
    return F.where(size == 0, 0, across / F.where(size == 0, 1, size))


sign = unary(Op("sign", _signs, {"self": lambda F, g: F.zeros_like(g)}, check=_check_real_sign))
sgn = unary(Op("sgn", _signs, {"self": _sgn_input}, jvp="transpose"))


# Several steps in one

hypot = binary(
    Op(
        "hypot",
        "hypot",
        {
            "self": lambda F, g, self, result: g * self / result,
            "other": lambda F, g, other, result: g * other / result,
        },
        inputs=TWO,
        promote="same",
        check=floats_only("hypot_cpu"),
    ),
    numbers=False,
)


def _lerp_kernel(xp: Any, x: Any, end: Any, weight: Any) -> Any:
    """From whichever end is nearer, so that both ends are met exactly."""
    near = (weight * weight.conjugate()).real < 0.25
    from_x, from_end = x + weight * (end - x), end - (end - x) * (1 - weight)
    if isinstance(near, bool):
        return from_x if near else from_end
    return xp.where(near, from_x, from_end)


def _lerp_tangent(F: Any, self_t: Any, end_t: Any, weight_t: Any, self: Any, end: Any, weight: Any) -> Any:
    """Finite parts as they are, from whichever end is nearer."""
    parts = [] if weight_t is None else [weight_t * (end - self)]
    if self_t is not None or end_t is not None:
        start, stop = (F.zeros_like(x) if t is None else t for x, t in ((self, self_t), (end, end_t)))
        parts.append(F.lerp_tensor(start, stop, weight))
    return sum(parts)


_lerp_scalar = Op(
    "lerp",
    in_single(_lerp_kernel),
    {
        "self": lambda F, g, weight: g * (1 - weight.conjugate()),
        "end": lambda F, g, weight: g * weight.conjugate(),
    },
    inputs=("self", "end"),
    check=without(dtypes.BOOL, dtypes.INTEGRAL, kernel="lerp_kernel_scalar"),
    elementwise=True,
)
_lerp_tensor = Op(
    "lerp_tensor",
    in_single(_lerp_kernel),
    {
        "self": lambda F, g, weight: g * (1 - weight).conjugate(),
        "end": lambda F, g, weight: g * weight.conjugate(),
        "weight": lambda F, g, self, end, weight: g * (end - self).conjugate(),  # torch saves it all the same
    },
    inputs=("self", "end", "weight"),
    check=without(dtypes.BOOL, dtypes.INTEGRAL, kernel="lerp_kernel_tensor"),
    elementwise=True,
    jvp=_lerp_tangent,
    node="LerpBackward1",
)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``input + weight * (end - input)``: floating point tensors of one dtype; `weight` may be a number."""
    if not isinstance(input, Tensor) or not isinstance(end, Tensor) or not isinstance(weight, OPERANDS):
        raise invalid_arguments("lerp", "(Tensor, Tensor, Tensor or Number)", input, end, weight)
    for name, given in (("end", end), ("weight", weight)):
        if isinstance(given, Tensor) and given.dtype is not input.dtype:
            wanted, found = (C_NAMES[t.dtype.name] for t in (input, given))
            raise RuntimeError(f"expected dtype {wanted} for `{name}` but got dtype {found}")
    if isinstance(weight, Tensor):
        return _lerp_tensor(input, end, weight)
    return _lerp_scalar(input, end, weight=weight)


def _three(function: str, *operands: Any) -> tuple[Tensor, ...]:
    names = ("input", "tensor1", "tensor2")
    return tuple([tensor_argument(function, t, names[k], k + 1) for k, t in enumerate(operands)])


_addcmul = Op(
    "addcmul",
    in_single(lambda xp, x, a, b, value: x + _number_for(value, x) * a * b),
    {
        "self": lambda F, g: g,
        "tensor1": lambda F, g, tensor2, value: g * (tensor2 * value).conjugate(),
        "tensor2": lambda F, g, tensor1, value: g * (tensor1 * value).conjugate(),
    },
    inputs=("self", "tensor1", "tensor2"),
    promote="same",
    check=without(dtypes.BOOL, kernel="addcmul_cpu_out"),
)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``, with broadcasting."""
    operands = _three("addcmul", input, tensor1, tensor2)
    return _addcmul(*operands, value=value)


_addcdiv = Op(
    "addcdiv",
    in_single(lambda xp, x, a, b, value: x + value * a / b),
    {
        "self": lambda F, g, tensor2: g,  # torch saves it all the same, and so sees that it was modified
        "tensor1": lambda F, g, tensor2, value: g * (value / tensor2).conjugate(),
        "tensor2": lambda F, g, tensor1, tensor2, value: -g * (value * tensor1 / (tensor2 * tensor2)).conjugate(),
    },
    inputs=("self", "tensor1", "tensor2"),
    promote="same",
)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``, with broadcasting; RuntimeError for two integer tensors."""
    operands = _three("addcdiv", input, tensor1, tensor2)
    if max(tensor1.dtype.category, tensor2.dtype.category) < dtypes.FLOATING:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will "
            "perform a true division of tensor1 and tensor2. Convert one of them to a floating point dtype."
        )
    return _addcdiv(*operands, value=value)


# Other names, and operators

multiply, subtract, negative = mul, sub, neg


def _times_reciprocal(input: Tensor, other: Any) -> Any:
    """``other / input``: a NumPy array is left to NumPy, which multiplies it by the reciprocal."""
    if isinstance(other, np.ndarray):
        return reciprocal(input) * other
    return _divided(input, other)


_divided = as_operator(lambda input, other: mul(reciprocal(input), other))


METHODS = {name: globals()[name] for name in __all__ if name != "rsub"} | {
    "__add__": binary(_add, operator=True),
    "__radd__": binary(_add, operator=True),
    "__sub__": binary(_sub, operator=True),
    "__rsub__": as_operator(rsub),
    "__mul__": binary(_mul, operator=True),
    "__rmul__": binary(_mul, operator=True),
    "__truediv__": binary(_div, operator=True),
    "__rtruediv__": _times_reciprocal,
    "__neg__": neg,
    "__pos__": positive,
    "__abs__": abs,
}
METHODS["lerp_"] = inplace(lerp, "lerp_", casts=False)
INPLACE = {
    "add_": add,
    "sub_": sub,
    "subtract_": sub,
    "mul_": mul,
    "multiply_": mul,
    "true_divide_": true_divide,
    "reciprocal_": reciprocal,
    "neg_": neg,
    "negative_": neg,
    "abs_": abs,
    "absolute_": abs,
    "sign_": sign,
    "sgn_": sgn,
    "hypot_": hypot,
    "addcmul_": addcmul,
    "addcdiv_": addcdiv,
    "__iadd__": plus,
    "__isub__": minus,
    "__imul__": mul,
    "__itruediv__": true_divide,
}
