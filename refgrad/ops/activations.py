"""Smooth activation functions, for `refgrad` and `refgrad.nn.functional`; the others are in `rectifiers`.

As in torch, most have a second record for their backward pass, named ``..._backward``, which is
differentiable in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from refgrad.layout import row_major
from refgrad.ops.arguments import tensor_argument
from refgrad.ops.arithmetic import abs, minus, plus, true_divide
from refgrad.ops.calls import unary
from refgrad.ops.elementary import tanh
from refgrad.ops.half import gradient_in_single, in_single
from refgrad.ops.inplace import differentiated_as
from refgrad.ops.inplace import inplace as inplace_form
from refgrad.ops.limits import floats_only, no_complex
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = ["celu", "celu_", "selu", "selu_", "sigmoid"]


def activation(
    name: str,
    value: Callable[..., Any],
    slope: Callable[..., Any],
    bend: Callable[..., Any] | None = None,
    *,
    check: Callable[..., None],
) -> Op:
    """The records of an activation and of its backward pass; parameters travel as one tuple, `constants`.

    ``value(xp, x, *constants)`` and ``slope(xp, g, x, *constants)`` are kernels, the second one for `g` times
    the derivative; ``bend(F, g, x, *constants)`` is a formula for `g` times the second derivative, None
    where that is 0.
    """
    backward = f"{name}_backward"

    def propagate(F: Any, g: Any, self: Any, constants: tuple[float, ...]) -> Any:
        return getattr(F, backward)(g, self, constants=constants)

    def propagate_bend(F: Any, g: Any, gradient: Any, self: Any, constants: tuple[float, ...]) -> Any:
        return F.zeros_like(g) if bend is None else bend(F, g * gradient, self, *constants)

    Op(
        backward,
        in_single(lambda xp, g, x, constants: slope(xp, g, x, *constants)),
        {"gradient": propagate, "self": gradient_in_single(propagate_bend)},
        inputs=("gradient", "self"),
        jvp="elementwise",
    )
    kernel = in_single(lambda xp, x, constants: value(xp, x, *constants))
    return Op(name, kernel, {"self": propagate}, check=check, jvp="elementwise")


def run(
    op: Callable[..., Tensor],
    name: str,
    input: Any,
    inplace: bool,
    *,
    inplace_op: Callable[..., Tensor] | None = None,
    stretched: bool = False,
    **params: Any,
) -> Tensor:
    """Call an activation, or its in-place form: that of `inplace_op`, where torch differentiates it in another way."""
    tensor_argument(name, input)
    if not inplace:
        return op(input, **params)
    return inplace_form(inplace_op or op, f"{name}_", stretched=stretched, casts=False)(input, **params)


def with_inplace(
    op: Callable[..., Tensor],
    name: str,
    doc: str,
    *,
    inplace_op: Callable[..., Tensor] | None = None,
    **params: Any,
) -> Callable[..., Tensor]:
    """The nn.functional form of an activation that takes nothing but `inplace`."""

    def function(input: Tensor, inplace: bool = False) -> Tensor:
        return run(op, name, input, inplace, inplace_op=inplace_op, **params)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def written_over(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The form of an activation that writes over its input, such as ``relu_``."""

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, inplace=True, **kwargs)

    call.__name__ = call.__qualname__ = f"{function.__name__}_"
    call.__doc__ = f"In-place form of `{function.__name__}`."
    return call


def refuse_negative(name: str, slope: float) -> None:
    """Raise torch's error for a backward pass from a result that does not tell the sign of the input."""
    if slope < 0:
        raise RuntimeError(
            f"In-place {name} backward calculation is triggered with a negative slope which is not supported. This is "
            "caused by calling in-place forward function with a negative slope, please call out-of-place version "
            "instead. File an issue at https://github.com/pytorch/pytorch if you do require supporting in-place "
            f"{name} backward calculation with negative slope"
        )


# Sigmoids

sigmoid = unary(
    Op(
        "sigmoid",
        in_single(lambda xp, x: 1 / (1 + xp.exp(-x))),
        {"self": lambda F, g, result: F.sigmoid_backward(g, result)},
        promote="float",
    )
)
Op(
    "sigmoid_backward",
    in_single(lambda xp, g, y: g * ((1 - y) * y).conjugate()),
    {
        "gradient": lambda F, g, output: F.sigmoid_backward(g, output.conjugate()),
        "output": gradient_in_single(
            lambda F, g, gradient, output: g.conjugate() * gradient * (1 - 2 * output.conjugate())
        ),
    },
    inputs=("gradient", "output"),
)


def _check_silu(input: Tensor) -> None:
    _no_complex_silu(input)
    _only_floats_silu(input)


_no_complex_silu = no_complex("silu does not support automatic differentiation for outputs with complex dtype.")
_only_floats_silu = floats_only("silu_cpu")


def _silu_input(F: Any, g: Any, self: Any) -> Any:
    s = F.sigmoid(self)
    return g * s * (1 + self * (1 - s))


_silu = unary(
    Op(
        "silu",
        in_single(lambda xp, x: x / (1 + xp.exp(-x))),
        {"self": gradient_in_single(_silu_input)},
        check=_check_silu,
        gradient_refuses="silu_backward",
    )
)
silu = with_inplace(_silu, "silu", "``input * sigmoid(input)``.")


def _log_sigmoid_slope(xp: Any, g: Any, x: Any) -> Any:
    z = xp.exp(-xp.absolute(x))
    return g * xp.where(x < 0, 1 - z / (1 + z), z / (1 + z))


def _log_sigmoid_bend(F: Any, g: Any, x: Any) -> Any:
    s = F.sigmoid(x)
    return g * (s - 1) * s


_log_sigmoid = activation(
    "log_sigmoid",
    row_major(lambda xp, x: xp.where(x < 0, x, 0) - xp.log1p(xp.exp(-xp.absolute(x)))),
    _log_sigmoid_slope,
    _log_sigmoid_bend,
    check=floats_only("log_sigmoid_cpu"),
)


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(input))``, without overflow."""
    return _log_sigmoid(tensor_argument("logsigmoid", input), constants=())


# Exponential units


def _elu_value(xp: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    return xp.where(x > 0, x * scale, xp.expm1(x * input_scale) * (alpha * scale))


def _elu_slope(xp: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    """At 0 the slope of the left side; NaN goes with the right one."""
    left = g * (input_scale * alpha * scale) * xp.exp(x * input_scale)
    return xp.where(x <= 0, left, g * scale)


def _elu_bend(F: Any, g: Any, x: Any, *constants: float) -> Any:
    return F.elu_backward(g * constants[2], x, constants=constants) * (x < 0)


_elu = activation("elu", _elu_value, _elu_slope, _elu_bend, check=floats_only("elu_cpu"))
_celu = Op(
    "celu",
    in_single(lambda xp, x, alpha: _elu_value(xp, x, alpha, 1.0, 1 / alpha)),
    {"self": lambda F, g, self, alpha: F.elu_backward(g, self, constants=(alpha, 1.0, 1 / alpha))},
    check=floats_only("elu_cpu"),
    jvp="elementwise",
)

# In place only the result is left to tell the slope.


def _elu_slope_at(xp: Any, g: Any, y: Any, constants: tuple[float, float, float]) -> Any:
    alpha, scale, input_scale = constants
    return xp.where(y <= 0, g * input_scale * (y + alpha * scale), g * scale)


def _elu_slope_of(F: Any, g: Any, result: Any, constants: tuple[float, float, float]) -> Any:
    refuse_negative("elu", constants[0])
    return F.elu_backward_of_result(g, result, constants=constants)


Op(
    "elu_backward_of_result",
    in_single(_elu_slope_at),
    {
        "gradient": lambda F, g, output, constants: F.elu_backward_of_result(g, output, constants=constants),
        "output": gradient_in_single(
            lambda F, g, gradient, output, constants: g * gradient * constants[2] * (output < 0)
        ),
    },
    inputs=("gradient", "output"),
    node="EluBackwardBackward0",
)
_elu_ = differentiated_as("EluBackward1", {"self": _elu_slope_of}, _elu)
_celu_ = differentiated_as(
    "CeluBackward1",
    {"self": lambda F, g, result, alpha: _elu_slope_of(F, g, result, (alpha, 1.0, 1 / alpha))},
    _celu,
)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`input` where it is positive, and ``alpha * expm1(input)`` elsewhere."""
    return run(_elu, "elu", input, inplace, inplace_op=_elu_, constants=(alpha, 1.0, 1.0))


selu = with_inplace(
    _elu,
    "selu",
    "A scaled `elu` that keeps mean and variance; constants of Klambauer et al., 2017, arXiv:1706.02515.",
    inplace_op=_elu_,
    constants=(1.6732632423543772, 1.0507009873554805, 1.0),
)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`input` where it is positive, and ``alpha * expm1(input / alpha)`` elsewhere."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return run(_celu, "celu", input, inplace, inplace_op=_celu_, alpha=alpha)


elu_, selu_, celu_ = written_over(elu), written_over(selu), written_over(celu)


# softplus and mish


def _softplus_value(xp: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = x * beta
    return xp.where(scaled > threshold, x, xp.log1p(xp.exp(scaled)) / beta)


def _softplus_slope(xp: Any, g: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = x * beta
    z = xp.exp(scaled)
    return xp.where(scaled > threshold, g, g * z / (z + 1))


def _softplus_bend(F: Any, g: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = x * beta
    return F.sigmoid_backward(g, F.sigmoid(scaled)) * (scaled < threshold) * beta


_softplus = activation("softplus", _softplus_value, _softplus_slope, _softplus_bend, check=floats_only("softplus_cpu"))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``, and `input` itself where ``beta * input > threshold``."""
    return _softplus(tensor_argument("softplus", input), constants=(beta, threshold))


def _mish_input(F: Any, g: Any, self: Any) -> Any:
    t = F.tanh(F.log1p(F.exp(self)))
    return g * (t + self * F.sigmoid(self) * (1 - t * t))


_mish = unary(
    Op(
        "mish",
        in_single(lambda xp, x: x * xp.tanh(xp.log1p(xp.exp(x)))),
        {"self": gradient_in_single(_mish_input)},
        check=floats_only("mish_cpu"),
        gradient_refuses="mish_backward",
    )
)
mish = with_inplace(_mish, "mish", "``input * tanh(softplus(input))``.")

# gelu: Hendrycks and Gimpel, 2016, arXiv:1606.08415

_CUBIC, _INNER = 0.044715, math.sqrt(2 / math.pi)


def _gelu_value(xp: Any, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + xp.tanh(_INNER * (x + _CUBIC * x * x * x)))
    return x * 0.5 * (1 + xp.special.erf(x * math.sqrt(0.5)))


def _gelu_slope(xp: Any, g: Any, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        t = xp.tanh(_INNER * (x + _CUBIC * x * x * x))
        inner_slope = _INNER * (1 + 3 * _CUBIC * x * x)
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner_slope)
    density = xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return g * (0.5 * (1 + xp.special.erf(x * math.sqrt(0.5))) + x * density)


def _gelu_bend(F: Any, g: Any, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        t = F.tanh(_INNER * (x + _CUBIC * x * x * x))
        inner_slope, inner_bend = _INNER * (1 + 3 * _CUBIC * x * x), _INNER * 6 * _CUBIC * x
        return g * (1 - t * t) * (inner_slope + 0.5 * x * (inner_bend - 2 * t * inner_slope * inner_slope))
    density = F.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return g * density * (2 - x * x)


_gelu = activation("gelu", _gelu_value, _gelu_slope, _gelu_bend, check=floats_only("GeluKernelImpl"))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """`input` times the normal distribution function of it; "tanh" approximates that by a tanh."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _gelu(tensor_argument("gelu", input), constants=(approximate,))


# What torch composes of other ops


def softsign(input: Tensor) -> Tensor:
    """``input / (1 + abs(input))``."""
    return true_divide(input, plus(abs(input), 1))


def tanhshrink(input: Tensor) -> Tensor:
    """``input - tanh(input)``."""
    return minus(input, tanh(input))


METHODS = {"sigmoid": sigmoid}
INPLACE = {"sigmoid_": sigmoid}
FUNCTIONAL = (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    logsigmoid,
    mish,
    selu,
    selu_,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
    tanhshrink,
)
