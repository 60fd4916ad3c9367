"""Elementary and special functions: exponentials, logarithms, trigonometry, error and gamma functions.

The derivatives are those of DLMF, https://dlmf.nist.gov, chapters 4 (elementary functions),
5 (gamma functions) and 7 (error functions), conjugated for complex operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

from refgrad.dtypes import COMPLEX, dtype
from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.arithmetic import TWO
from refgrad.ops.calls import OPERANDS, binary, unary
from refgrad.ops.half import gradient_in_single, in_single
from refgrad.ops.inplace import differentiated_as
from refgrad.ops.limits import NOT_YET, floats_only, invalid_arguments, no_complex, no_tangents, without
from refgrad.ops.record import OPS, Op
from refgrad.tensor import Tensor

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logaddexp2",
    "logit",
    "polygamma",
    "rad2deg",
    "sin",
    "sinc",
    "sinh",
    "tan",
    "tanh",
    "xlogy",
]

_LN2, _LN10 = math.log(2), math.log(10)
_SQRT_PI = math.sqrt(math.pi)


def _function(
    name: str,
    forward: Any,
    formula: Callable[..., Any],
    *,
    node: str | None = None,
    check: Callable[..., None] | None = None,
) -> Callable[[Tensor], Tensor]:
    return unary(Op(name, forward, {"self": formula}, promote="float", check=check, node=node))


# Exponentials and logarithms

exp = _function("exp", "exp", lambda F, g, result: g * result.conjugate())
exp2 = _function("exp2", "exp2", lambda F, g, result: g * result.conjugate() * _LN2)
expm1 = _function("expm1", "expm1", lambda F, g, result: g * (result.conjugate() + 1))
log = _function("log", "log", lambda F, g, self: g / self.conjugate())
log2 = _function("log2", "log2", lambda F, g, self: g / (self.conjugate() * _LN2))
log10 = _function("log10", "log10", lambda F, g, self: g / (self.conjugate() * _LN10))
log1p = _function("log1p", "log1p", lambda F, g, self: g / (self + 1).conjugate(), node="Log1PBackward0")

# Circular functions

sin = _function("sin", "sin", lambda F, g, self: g * F.cos(self).conjugate())
cos = _function("cos", "cos", lambda F, g, self: g * -F.sin(self).conjugate())
tan = _function("tan", "tan", lambda F, g, result: g * (1 + result * result).conjugate())
asin = _function("asin", "arcsin", lambda F, g, self: g * F.rsqrt(1 - self * self).conjugate())
acos = _function("acos", "arccos", lambda F, g, self: g * -F.rsqrt(1 - self * self).conjugate())
atan = _function("atan", "arctan", lambda F, g, self: g / (1 + self * self).conjugate())

# Hyperbolic functions


def _acosh_slope(F: Any, x: Any, x_dtype: dtype) -> Any:
    """With one root for each factor on the right branch in the complex plane."""
    if x_dtype.is_complex:
        return (F.rsqrt(x - 1) * F.rsqrt(x + 1)).conjugate()
    return F.rsqrt(x * x - 1)


sinh = _function("sinh", "sinh", lambda F, g, self: g * F.cosh(self).conjugate())
cosh = _function("cosh", "cosh", lambda F, g, self: g * F.sinh(self).conjugate())
tanh = _function("tanh", "tanh", lambda F, g, result: F.tanh_backward(g, result))
asinh = _function("asinh", "arcsinh", lambda F, g, self: g * F.rsqrt(self * self + 1).conjugate())
acosh = _function("acosh", "arccosh", lambda F, g, self, self_dtype: g * _acosh_slope(F, self, self_dtype))
atanh = _function("atanh", "arctanh", lambda F, g, self: g / (1 - self * self).conjugate())


def _not_in_place(name: str) -> Op:
    """The record of an in-place form that torch cannot differentiate, though the function it can."""

    def refuse(F: Any, g: Any) -> NoReturn:
        raise NotImplementedError(f"the derivative for 'inplace version of {name}' is not implemented.")

    def refuse_tangents(F: Any) -> NoReturn:
        raise no_tangents(f"{name}_", NOT_YET)

    return differentiated_as(f"{name.capitalize()}Backward1", {"self": refuse}, OPS[name], refuse_tangents)


_asinh_, _acosh_, _atanh_ = map(_not_in_place, ("asinh", "acosh", "atanh"))

Op(
    "tanh_backward",
    in_single(lambda xp, g, y: g * (1 - y * y).conjugate()),
    {
        "gradient": lambda F, g, output: F.tanh_backward(g, output.conjugate()),
        "output": gradient_in_single(lambda F, g, gradient, output: g.conjugate() * gradient * -2 * output.conjugate()),
    },
    inputs=("gradient", "output"),
)

# Error functions


def _special(name: str) -> Callable[..., Any]:
    """The kernel for a function of the package's special functions, which know no half precision."""
    return in_single(lambda xp, *operands: getattr(xp.special, name)(*operands))


erf = _function(
    "erf",
    _special("erf"),
    lambda F, g, self: 2 / _SQRT_PI * F.exp(-(self * self)) * g,
    check=without(COMPLEX, kernel="erf_vml_cpu"),
)
erfc = _function(
    "erfc",
    _special("erfc"),
    lambda F, g, self: -2 / _SQRT_PI * F.exp(-(self * self)) * g,
    check=without(COMPLEX, kernel="erfc_vml_cpu"),
)
erfinv = _function(
    "erfinv",
    in_single(lambda xp, x: xp.copysign(xp.special.erfinv(x), x)),  # SciPy's loses the sign of -0
    lambda F, g, self: _SQRT_PI / 2 * F.exp(F.pow_scalar(F.erfinv(self), exponent=2)) * g,
    check=without(COMPLEX, kernel="erfinv_vml_cpu"),
)

# Gamma functions

lgamma = _function(
    "lgamma",
    in_single(lambda xp, x: xp.where(xp.isinf(x), math.inf, xp.special.gammaln(x))),
    lambda F, g, self: g * F.digamma(self),
    check=without(COMPLEX, kernel="lgamma_vml_cpu"),
)
digamma = _function(
    "digamma", _special("psi"), lambda F, g, self: g * F.polygamma(self, n=1), check=without(COMPLEX, kernel="digamma")
)


def _polygamma_kernel(xp: Any, x: Any, n: int) -> Any:
    """For n = 1 and x < 1/2 by the reflection formula, DLMF 5.15.6: what torch's values at poles show."""
    if n == 0:
        return xp.special.psi(x)
    if n != 1:
        return xp.special.polygamma(xp.asarray(n, dtype=x.dtype), x).astype(x.dtype)
    left = x < 0.5
    reflected = xp.special.zeta(2.0, xp.where(left, 1 - x, x)).astype(x.dtype)
    return xp.where(left, (math.pi / xp.sin(math.pi * x)) ** 2 - reflected, reflected)


_polygamma = Op(
    "polygamma",
    in_single(_polygamma_kernel),
    {"self": lambda F, g, self, n: g * F.polygamma(self, n=n + 1)},
    promote="float",
    check=without(COMPLEX, kernel="polygamma"),
)


assert isinstance(_polygamma.vjp, dict)
_polygamma_ = differentiated_as("PolygammaBackward1", _polygamma.vjp, _polygamma)


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of `digamma`; RuntimeError for negative `n`."""
    return _polygamma(tensor_argument("polygamma", input, position=2), n=_order(n))


def _polygamma_of(input: Tensor, n: int) -> Tensor:
    return _polygamma_(input, n=_order(n))


def _order(n: int) -> int:
    n = integer("polygamma", "n", n, 1)
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return n


# Others of one operand


def _sinc_kernel(xp: Any, x: Any) -> Any:
    angle = math.pi * x
    return xp.where(x == 0, 1, xp.sin(angle) / angle)


def _sinc_input(F: Any, g: Any, self: Any) -> Any:
    angle, square = self * math.pi, self * self * math.pi
    slope = (angle * F.cos(angle) - F.sin(angle)) / square
    return F.where(square == 0, 0, g * slope.conjugate())


sinc = _function("sinc", in_single(_sinc_kernel), _sinc_input)
deg2rad = _function(
    "deg2rad",
    lambda xp, x: x * (math.pi / 180),
    lambda F, g: g * (math.pi / 180),
    node="Deg2RadBackward0",
    check=no_complex("deg2rad is not supported for complex tensors."),
)
rad2deg = _function(
    "rad2deg",
    lambda xp, x: x * (180 / math.pi),
    lambda F, g: g * (180 / math.pi),
    node="Rad2DegBackward0",
    check=no_complex("rad2deg is not supported for complex tensors."),
)


def _logit_kernel(xp: Any, x: Any, eps: float | None) -> Any:
    if eps is not None:
        x = xp.where(x < eps, eps, xp.where(x > 1 - eps, 1 - eps, x))
    return xp.log(x / (1 - x))


def _logit_input(F: Any, g: Any, self: Any, eps: float | None) -> Any:
    low, outside = (0, math.nan) if eps is None else (eps, 0)
    x = self + 0  # never -0: the slope at 0 is inf
    return F.where((x < low) | (x > 1 - low), outside, g / (x * (1 - x)))


_logit = Op(
    "logit",
    in_single(_logit_kernel),
    {"self": gradient_in_single(_logit_input)},
    promote="float",
    check=without(COMPLEX, kernel="logit_cpu"),
    gradient_refuses="logit_backward",
)


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """``log(input / (1 - input))``, of `input` clamped to [eps, 1 - eps] if `eps` is given."""
    return _logit(tensor_argument("logit", input), eps=eps)


# Two operands


def _atan2_tangent(F: Any, self_t: Any, other_t: Any, self: Any, other: Any) -> Any:
    """Unlike the gradient NaN at the origin, as in torch."""
    parts = [] if other_t is None else [-self * other_t]
    if self_t is not None:
        parts.append(other * self_t)
    return sum(parts) / (self * self + other * other)


atan2 = binary(
    Op(
        "atan2",
        "arctan2",
        {
            "self": lambda F, g, self, other: g * (other * _inverse_square(F, self, other)),
            "other": lambda F, g, self, other: g * (-self * _inverse_square(F, self, other)),
        },
        inputs=TWO,
        promote="float",
        jvp=_atan2_tangent,
        check=without(COMPLEX, kernel="atan2_cpu"),
    ),
    numbers=False,
)


def _inverse_square(F: Any, x: Any, y: Any) -> Any:
    """``1 / (x*x + y*y)``, and 0 at the origin."""
    square = x * x + y * y
    return F.where(square == 0, 0, 1 / square)


logaddexp = binary(
    Op(
        "logaddexp",
        "logaddexp",
        {
            "self": lambda F, g, self, other: g / (1 + F.exp(other - self)),
            "other": lambda F, g, self, other: g / (1 + F.exp(self - other)),
        },
        inputs=TWO,
        promote="same",
        check=floats_only("logaddexp_cpu"),
    ),
    numbers=False,
)
logaddexp2 = binary(
    Op(
        "logaddexp2",
        "logaddexp2",
        {
            "self": lambda F, g, self, other: g / (1 + F.exp2(other - self)),
            "other": lambda F, g, self, other: g / (1 + F.exp2(self - other)),
        },
        inputs=TWO,
        promote="same",
        check=floats_only("logaddexp2_cpu"),
    ),
    numbers=False,
)

_xlogy_kernel = _special("xlogy")
_real_xlogy = without(COMPLEX, kernel="xlogy_cpu")


def _xlogy_factor(F: Any, g: Any, self: Any, other: Any) -> Any:
    return F.masked_fill(F.xlogy(g, other), (self == 0) & (other <= 0), value=0)


def _xlogy_factor_of_number(F: Any, g: Any, self: Any, other: Any) -> Any:
    made = F.xlogy_number(g, other=other)
    return made if other > 0 else F.masked_fill(made, self == 0, value=0)


_xlogy = Op(
    "xlogy",
    _xlogy_kernel,
    {"self": _xlogy_factor, "other": lambda F, g, self, other: g * self / other},
    inputs=TWO,
    promote="float",
    check=_real_xlogy,
)
_xlogy_number = Op(
    "xlogy_number",
    lambda xp, x, other: _xlogy_kernel(xp, x, xp.asarray(other, dtype=x.dtype)),
    {"self": _xlogy_factor_of_number},
    promote="float",
    scalars=("other",),
    check=_real_xlogy,
    node="XlogyBackward2",
)
_number_xlogy = Op(
    "number_xlogy",
    lambda xp, y, factor: _xlogy_kernel(xp, xp.asarray(factor, dtype=y.dtype), y),
    {"other": lambda F, g, other, factor: g * factor / other},
    inputs=("other",),
    promote="float",
    scalars=("factor",),
    check=_real_xlogy,
    node="XlogyBackward1",
)


def xlogy(input: Any, other: Any) -> Tensor:
    """``input * log(other)``, which is 0 where `input` is 0; one of them may be a Python number."""
    if isinstance(input, Tensor):
        if isinstance(other, Tensor):
            return _xlogy(input, other)
        if isinstance(other, OPERANDS):
            return _xlogy_number(input, other=other)
    elif isinstance(other, Tensor) and isinstance(input, OPERANDS):
        return _number_xlogy(other, factor=input)
    raise invalid_arguments("xlogy", "(Tensor, Tensor or Number) or (Number, Tensor)", input, other)


_xlogy.public = xlogy

arccos, arcsin, arctan, arctan2 = acos, asin, atan, atan2
arccosh, arcsinh, arctanh = acosh, asinh, atanh

METHODS = {name: globals()[name] for name in __all__} | {"polygamma": lambda self, n: polygamma(n, self)}
INPLACE = {f"{name}_": globals()[name] for name in __all__ if name not in ("logaddexp", "logaddexp2")} | {
    "polygamma_": _polygamma_of,
    "acosh_": _acosh_,
    "arccosh_": _acosh_,
    "asinh_": _asinh_,
    "arcsinh_": _asinh_,
    "atanh_": _atanh_,
    "arctanh_": _atanh_,
}
