"""torch.special: Bessel, normal distribution, entropy and zeta functions; and what torch has of floating point parts.

The derivatives are those of DLMF, https://dlmf.nist.gov, chapters 5 (gamma), 7 (error), 10 (Bessel) and 25 (zeta).
What torch keeps in `torch.special` is listed in `SPECIAL`; `refgrad.special` shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

from refgrad import dtypes
from refgrad.dtypes import COMPLEX, FLOATING, dtype
from refgrad.ops.activations import sigmoid
from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.arithmetic import TWO
from refgrad.ops.calls import OPERANDS, unary
from refgrad.ops.elementary import (
    digamma,
    erf,
    erfc,
    erfinv,
    exp2,
    expm1,
    lgamma,
    log1p,
    logit,
    polygamma,
    sinc,
    xlogy,
)
from refgrad.ops.half import gradient_in_single, in_single
from refgrad.ops.limits import floats_only, invalid_arguments, without
from refgrad.ops.record import Op
from refgrad.ops.rounding import round
from refgrad.ops.softmax import log_softmax, logsumexp, softmax
from refgrad.tensor import Tensor

__all__ = ["angle", "conj_physical", "copysign", "frexp", "i0", "ldexp", "mvlgamma", "nextafter"]

_LN2 = math.log(2)


def _scipy(name: str) -> Callable[..., Any]:
    """The kernel for a function of the package's special functions, which know no half precision."""
    return in_single(lambda xp, *operands: getattr(xp.special, name)(*operands))


def _function(
    name: str, forward: Any, formula: Callable[..., Any], *, kernel: str, node: str | None = None
) -> Callable[[Tensor], Tensor]:
    check = without(COMPLEX, kernel=kernel)
    return unary(Op(name, forward, {"self": formula}, promote="float", check=check, node=node))


# Entropy and error functions


entr = _function("special_entr", _scipy("entr"), lambda F, g, self: g * -(F.log(self) + 1), kernel="entr_cpu")
erfcx = _function(
    "special_erfcx",
    _scipy("erfcx"),
    lambda F, g, self, result: (2 * self * result - 2 / math.sqrt(math.pi)) * g,
    kernel="erfcx_cpu",
)
log_ndtr = _function(
    "special_log_ndtr",
    _scipy("log_ndtr"),
    lambda F, g, self, result: g / math.sqrt(2 * math.pi) * F.exp(-(result + self * self / 2)),
    kernel="log_ndtr_cpu",
)
ndtri = _function(
    "special_ndtri",
    _scipy("ndtri"),
    lambda F, g, result: g * math.sqrt(2 * math.pi) * F.exp(result * result / 2),
    kernel="ndtri_cpu",
)


def ndtr(input: Tensor) -> Tensor:
    """The distribution function of the standard normal distribution."""
    return (1 + erf(tensor_argument("special_ndtr", input) / math.sqrt(2))) * 0.5


# Modified Bessel functions

i0 = _function("i0", _scipy("i0"), lambda F, g, self: g * F.special_i1(self), kernel="i0_vml_cpu")
i0e = _function(
    "special_i0e",
    _scipy("i0e"),
    lambda F, g, self, result: g * (F.special_i1e(self) - F.sgn(self) * result),
    kernel="i0e_cpu",
    node="SpecialI0EBackward0",
)


def _at_zero(slope: Callable[..., Any]) -> Callable[..., Any]:
    """A formula for a function whose slope at 0 is 1/2, where its expression divides by 0."""

    def formula(F: Any, g: Any, self: Any, result: Any, self_dtype: dtype) -> Any:
        inner = abs(self) > dtypes.finfo(self_dtype if self_dtype.is_floating_point else dtypes.float32).eps
        return g * F.where(inner, slope(F, F.where(inner, self, 1), result), 0.5)

    return formula


i1 = _function(
    "special_i1", _scipy("i1"), _at_zero(lambda F, x, result: F.i0(x) - result / x), kernel="i1_cpu"
)
i1e = _function(
    "special_i1e",
    _scipy("i1e"),
    _at_zero(lambda F, x, result: F.special_i0e(x) - result * (F.sgn(x) + 1 / x)),
    kernel="i1e_cpu",
    node="SpecialI1EBackward0",
)

# Gamma and zeta functions


def _mvlgamma_kernel(xp: Any, x: Any, p: int) -> Any:
    made = xp.full_like(x, p * (p - 1) / 4 * math.log(math.pi))
    for k in range(p):
        made += xp.special.gammaln(x - k / 2)
    return made


def _mvlgamma_input(F: Any, g: Any, self: Any, p: int) -> Any:
    total = F.digamma(self)
    for k in range(1, p):
        total = total + F.digamma(self - k / 2)
    return g * total


_mvlgamma = Op(
    "mvlgamma",
    in_single(_mvlgamma_kernel),
    {"self": gradient_in_single(_mvlgamma_input)},
    promote="float",
    check=without(COMPLEX, kernel="arange_cpu"),
)


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension `p`; RuntimeError unless `p` is positive."""
    tensor_argument("mvlgamma", input)
    if integer("mvlgamma", "p", p, 2) < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    return _mvlgamma(input, p=p)


def _without_derivative(name: str) -> Callable[..., Any]:
    def formula(F: Any, g: Any) -> NoReturn:
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    return formula


def _of_two(
    name: str,
    node: str,
    kernel: str,
    computed: Callable[..., Any],
    first: Callable[..., Any],
    second: Callable[..., Any],
) -> Callable[[Any, Any], Tensor]:
    """A function of two operands of which one may be a number: torch has a node of its own for each case."""
    check = without(COMPLEX, kernel=kernel)
    formulas = {"self": first, "other": second}
    both = Op(name, computed, formulas, inputs=TWO, promote="float", check=check, node=f"{node}Backward0")
    number_first = Op(
        f"{name}_of_number",
        lambda xp, y, number: computed(xp, xp.asarray(number, dtype=y.dtype), y),
        {"other": lambda F, g, number, other: second(F, g, number, other)},
        inputs=("other",),
        promote="float",
        scalars=("number",),
        check=check,
        node=f"{node}Backward1",
    )
    number_second = Op(
        f"{name}_number",
        lambda xp, x, other: computed(xp, x, xp.asarray(other, dtype=x.dtype)),
        {"self": first},
        promote="float",
        scalars=("other",),
        check=check,
        node=f"{node}Backward2",
    )

    def call(input: Any, other: Any) -> Tensor:
        if isinstance(input, Tensor):
            if isinstance(other, Tensor):
                return both(input, other)
            if isinstance(other, OPERANDS):
                return number_second(input, other=other)
        elif isinstance(other, Tensor) and isinstance(input, OPERANDS):
            return number_first(other, number=input)
        raise invalid_arguments(name, "(Tensor, Tensor or Number) or (Number, Tensor)", input, other)

    both.public = call
    call.__name__ = call.__qualname__ = name
    return call


def _xlog1py_factor(F: Any, g: Any, self: Any, other: Any) -> Any:
    if isinstance(other, (int, float)):
        made = F.special_xlog1py_number(g, other=other)
        return made if other > -1 else F.masked_fill(made, self == 0, value=0)
    return F.masked_fill(F.special_xlog1py(g, other), (self == 0) & (other <= -1), value=0)


def _zeta_kernel(xp: Any, x: Any, q: Any) -> Any:
    return xp.special.zeta(x, q)


xlog1py = _of_two(
    "special_xlog1py",
    "SpecialXlog1Py",
    "xlog1py_cpu",
    _scipy("xlog1py"),
    _xlog1py_factor,
    lambda F, g, self, other: g * self / (other + 1),
)
zeta = _of_two(
    "special_zeta",
    "SpecialZeta",
    "zeta_cpu",
    in_single(_zeta_kernel),
    _without_derivative("zeta"),
    lambda F, g, self, other: g * -self * _next_zeta(F, self, other),
)


def _next_zeta(F: Any, x: Any, q: Any) -> Any:
    return F.special_zeta_of_number(q, number=x + 1) if isinstance(x, (int, float)) else F.special_zeta(x + 1, q)


# Parts of floating point numbers


def _copysign_input(F: Any, g: Any, self: Any, result: Any) -> Any:
    return g * F.masked_fill(result / self, self == 0, value=0)


_real_copysign = without(COMPLEX, kernel="copysign_cpu")
_copysign = Op(
    "copysign",
    lambda xp, x, y: xp.copysign(x, y),
    {"self": _copysign_input, "other": lambda F, g: F.zeros_like(g)},
    inputs=TWO,
    promote="float",
    check=_real_copysign,
)
_copysign_number = Op(
    "copysign_number",
    lambda xp, x, other: xp.copysign(x, xp.asarray(other, dtype=x.dtype)),
    {"self": _copysign_input},
    promote="float",
    scalars=("other",),
    check=_real_copysign,
    node="CopysignBackward1",
)


def copysign(input: Tensor, other: Any) -> Tensor:
    """The magnitude of `input` with the sign of `other`, a tensor or a number."""
    tensor_argument("copysign", input)
    if isinstance(other, Tensor):
        return _copysign(input, other)
    if isinstance(other, OPERANDS):
        return _copysign_number(input, other=other)
    raise invalid_arguments("copysign", "(Tensor input, Tensor other) or (Tensor input, Number other)", input, other)


_copysign.public = copysign


_ldexp = Op(
    "ldexp",
    in_single(lambda xp, x, y: x * xp.exp2(y)),
    {
        "self": lambda F, g, other: g * F.exp2(other).conjugate(),
        "other": lambda F, g, result: g * result.conjugate() * _LN2,
    },
    inputs=TWO,
    promote="float",
)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """``input * 2**other``."""
    return _ldexp(tensor_argument("ldexp", input), tensor_argument("ldexp", other, "other", 2))


_nextafter = Op(
    "nextafter",
    lambda xp, x, y: xp.nextafter(x, y),
    {
        "self": lambda F, g, self, other: F.masked_fill(g, self == other, value=0),
        "other": lambda F, g: F.zeros_like(g),
    },
    inputs=TWO,
    promote="same",
    check=floats_only("nextafter_cpu"),
)


def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next floating point number after `input` towards `other`."""
    return _nextafter(tensor_argument("nextafter", input), tensor_argument("nextafter", other, "other", 2))


_frexp = Op(
    "frexp",
    lambda xp, x: tuple(xp.frexp(x)),
    {"self": lambda F, g, result1: g[0] / F.exp2(result1)},
    several=True,
    differentiable=(0,),
    jvp="transpose",
)


def frexp(input: Tensor) -> Any:
    """Mantissa, at least 1/2 and less than 1, and exponent of 2, as int32."""
    from refgrad import return_types

    tensor_argument("frexp", input)
    if input.dtype.category != FLOATING:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return return_types.frexp(_frexp(input))


def _angle_kernel(xp: Any, x: Any) -> Any:
    if x.dtype.kind == "c":
        return xp.angle(x)
    return xp.where(xp.isnan(x), x, xp.where(x < 0, math.pi, 0)).astype(x.dtype)


def _angle_input(F: Any, g: Any, self: Any, self_dtype: dtype) -> Any:
    """Of a real number the angle is constant."""
    if not self_dtype.is_complex:
        return F.zeros_like(self)
    size = abs(self)
    return F.where(self == 0, 0, g * (self / (size * size)) * 1j)


angle = unary(Op("angle", _angle_kernel, {"self": _angle_input}, promote="float"))
_conj_physical = Op("conj_physical", lambda xp, x: xp.conj(x), {"self": lambda F, g: g.conjugate()}, jvp="linear")


def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate, as a copy; a real tensor as it is."""
    return _conj_physical(input) if tensor_argument("conj_physical", input).is_complex() else input


SPECIAL: dict[str, Callable[..., Any]] = {
    "digamma": digamma,
    "entr": entr,
    "erf": erf,
    "erfc": erfc,
    "erfcx": erfcx,
    "erfinv": erfinv,
    "exp2": exp2,
    "expit": sigmoid,
    "expm1": expm1,
    "gammaln": lgamma,
    "i0": i0,
    "i0e": i0e,
    "i1": i1,
    "i1e": i1e,
    "log1p": log1p,
    "log_ndtr": log_ndtr,
    "log_softmax": log_softmax,
    "logit": logit,
    "logsumexp": logsumexp,
    "multigammaln": mvlgamma,
    "ndtr": ndtr,
    "ndtri": ndtri,
    "polygamma": polygamma,
    "psi": digamma,
    "round": round,
    "sinc": sinc,
    "softmax": softmax,
    "xlog1py": xlog1py,
    "xlogy": xlogy,
    "zeta": zeta,
}

METHODS = {name: globals()[name] for name in __all__}
INPLACE = {f"{name}_": globals()[name] for name in ("copysign", "i0", "nextafter")}
