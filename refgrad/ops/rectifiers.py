"""Activation functions made of straight pieces, for `refgrad` and `refgrad.nn.functional`.

At kinks the gradient is torch's convention. NaN counts as lying on the branch that torch's scalar
code takes; its vectorised code differs for hardtanh, hardshrink, softshrink and hardswish.
"""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.ops.activations import activation, refuse_negative, run, with_inplace, written_over
from refgrad.ops.arguments import tensor_argument
from refgrad.ops.calls import unary
from refgrad.ops.half import in_single
from refgrad.ops.inplace import differentiated_as
from refgrad.ops.limits import NOT_IMPLEMENTED, floats_only, no_complex, no_derivative, without
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = ["hardshrink", "relu", "threshold", "threshold_"]


_check_ordered = no_complex("clamp is not supported for complex types", NotImplementedError)


# relu and threshold


def _check_relu(input: Tensor) -> None:
    if input.dtype is dtypes.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    _check_ordered(input)


def _threshold_value(xp: Any, x: Any, threshold: float, value: float) -> Any:
    return xp.where(x <= threshold, value, x).astype(x.dtype)


def _threshold_slope(xp: Any, g: Any, x: Any, threshold: float, value: float) -> Any:
    return xp.where(x <= threshold, 0, g)


_threshold = activation(
    "threshold",
    _threshold_value,
    _threshold_slope,
    check=without(dtypes.BOOL, dtypes.COMPLEX, kernel="threshold_cpu"),
)
assert isinstance(_threshold.vjp, dict)
_threshold_ = differentiated_as("ThresholdBackward1", _threshold.vjp, _threshold)
relu = unary(
    Op(
        "relu",
        lambda xp, x: xp.where(x < 0, 0, x),  # keeps -0 and NaN, which xp.maximum(x, 0) does not promise
        {"self": lambda F, g, result: F.threshold_backward(g, result, constants=(0, 0))},
        check=_check_relu,
    )
)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """`input` where it is above `threshold`, and `value` elsewhere."""
    constants = (threshold, value)
    return run(_threshold, "threshold", input, inplace, inplace_op=_threshold_, stretched=True, constants=constants)


# Leaky, clamped and shrunk

_leaky_relu = activation(
    "leaky_relu",
    lambda xp, x, slope: xp.where(x > 0, x, x * slope),
    lambda xp, g, x, slope: xp.where(x > 0, g, g * slope),
    check=floats_only("leaky_relu_cpu"),
)


def _leaky_relu_of(F: Any, g: Any, result: Any, constants: tuple[float]) -> Any:
    refuse_negative("leakyReLu", constants[0])
    return F.leaky_relu_backward(g, result, constants=constants)


_leaky_relu_ = differentiated_as("LeakyReluBackward1", {"self": _leaky_relu_of}, _leaky_relu)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """`input` where it is positive, and `negative_slope` times it elsewhere."""
    return run(_leaky_relu, "leaky_relu", input, inplace, inplace_op=_leaky_relu_, constants=(negative_slope,))


def _hardtanh_value(xp: Any, x: Any, low: float, high: float) -> Any:
    if x.dtype.kind != "f":
        low, high = int(low), int(high)
    return xp.where(x < low, low, xp.where(x > high, high, x))


def _check_hardtanh(input: Tensor, constants: tuple[float, float]) -> None:
    if input.dtype is dtypes.bool_:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if not input.is_signed() and min(map(int, constants)) < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    _check_ordered(input)


_hardtanh = activation(
    "hardtanh",
    _hardtanh_value,
    lambda xp, g, x, low, high: xp.where((x <= low) | (x >= high), 0, g),
    check=_check_hardtanh,
)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """`input` clamped to [min_val, max_val]; the gradient is 0 at both bounds."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return run(_hardtanh, "hardtanh", input, inplace, constants=(min_val, max_val))


relu6 = with_inplace(
    _hardtanh, "relu6", "`input` clamped to [0, 6]; the gradient is 0 at both bounds.", constants=(0.0, 6.0)
)


def _gap_slope(xp: Any, g: Any, x: Any, lambd: float) -> Any:
    return xp.where((x >= -lambd) & (x <= lambd), 0, g)


_hardshrink = activation(
    "hardshrink",
    lambda xp, x, lambd: xp.where((x >= -lambd) & (x <= lambd), 0, x),
    _gap_slope,
    check=floats_only("hardshrink_cpu"),
)
_softshrink = activation(
    "softshrink",
    lambda xp, x, lambd: xp.where(x > lambd, x - lambd, xp.where(x < -lambd, x + lambd, x * 0)),
    _gap_slope,
    check=floats_only("softshrink_check"),
)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input` outside [-lambd, lambd], and 0 inside."""
    return _hardshrink(tensor_argument("hardshrink", input), constants=(lambd,))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input` moved towards 0 by `lambd`, and 0 where it is nearer; RuntimeError for a negative `lambd`."""
    if tensor_argument("softshrink", input).is_floating_point() and not lambd >= 0:
        kind, limit = dtypes.SCALAR_TYPE[input.dtype.name], dtypes.finfo(input.dtype).max
        raise RuntimeError(f"lambda must be in range [0, {limit:g}] for input dtype {kind}, but found {lambd}")
    return _softshrink(input, constants=(lambd,))


# Piecewise relatives of sigmoid and silu


def _clamped_to_6(xp: Any, x: Any) -> Any:
    return xp.where(x < 0, 0, xp.where(x > 6, 6, x))


_hardsigmoid = unary(
    Op(
        "hardsigmoid",
        in_single(lambda xp, x: _clamped_to_6(xp, x + 3) / 6),
        {"self": lambda F, g, self: F.hardsigmoid_backward(g, self)},
        check=floats_only("hardsigmoid_cpu"),
    )
)
Op(
    "hardsigmoid_backward",
    in_single(lambda xp, g, x: xp.where((x > -3) & (x < 3), g / 6, 0)),
    no_derivative("hardsigmoid_backward"),
    inputs=("gradient", "self"),
    node=NOT_IMPLEMENTED,
)
hardsigmoid = with_inplace(_hardsigmoid, "hardsigmoid", "0 up to -3, 1 from 3 on, and a line between.")

_hardswish = activation(
    "hardswish",
    lambda xp, x: x * _clamped_to_6(xp, x + 3) / 6,
    lambda xp, g, x: xp.where(x <= -3, 0, xp.where(x < 3, g * (x / 3 + 0.5), g)),
    lambda F, g, x: F.where((x > -3) & (x < 3), g / 3, 0),
    check=floats_only("hardswish_cpu"),
)
hardswish = with_inplace(_hardswish, "hardswish", "``input * hardsigmoid(input)``.", constants=())

functional_relu = with_inplace(relu, "relu", "`input` where it is positive, and 0 elsewhere.")

hardtanh_, leaky_relu_, threshold_ = written_over(hardtanh), written_over(leaky_relu), written_over(threshold)

METHODS = {"relu": relu, "hardshrink": hardshrink}
INPLACE = {"relu_": relu}
FUNCTIONAL = (
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    functional_relu,
    written_over(functional_relu),
    relu6,
    softshrink,
    threshold,
    threshold_,
)
