"""Ops that pick among values: maximum and minimum, clamp, where, masked_fill, nan_to_num.

Their gradients follow the choice; each formula states who gets it in a tie.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from refgrad import dtypes
from refgrad.devices import MODULES, NUMPY
from refgrad.dtypes import C_NAMES, SCALAR_TYPE
from refgrad.ops.arguments import tensor_argument
from refgrad.ops.arithmetic import TWO
from refgrad.ops.calls import OPERANDS, binary
from refgrad.ops.conversion import cast
from refgrad.ops.inplace import deprecated_on_expanded, inplace
from refgrad.ops.limits import check_fits, common_dtype, invalid_arguments, no_complex, without
from refgrad.ops.record import Op
from refgrad.tensor import Tensor, wrap

__all__ = [
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "fmax",
    "fmin",
    "masked_fill",
    "maximum",
    "minimum",
    "nan_to_num",
    "where",
]

# The larger and the smaller. In a tie maximum and minimum give half to each operand, and NaN lets
# both have all; with fmax and fmin a tie goes to the first, and what is not NaN wins.


def _shared(F: Any, g: Any, tie: Any, lost: Any) -> Any:
    return F.masked_fill(F.where(tie, g / 2, g), lost, value=0)




def _either(F: Any, first: Any, self_t: Any, other_t: Any) -> Any:
    """The first tangent where `first` holds, else the other one; a missing one is zero."""
    return F.where(first, 0 if self_t is None else self_t, 0 if other_t is None else other_t)


# In forward mode NaN goes with the second operand, and so does a tie in fmax: as in torch.


def _maximum_tangent(F: Any, self_t: Any, other_t: Any, self: Any, other: Any) -> Any:
    mean = (self_t if other_t is None else other_t if self_t is None else self_t + other_t) / 2
    return F.where(self == other, mean, _either(F, self > other, self_t, other_t))


def _minimum_tangent(F: Any, self_t: Any, other_t: Any, self: Any, other: Any) -> Any:
    mean = (self_t if other_t is None else other_t if self_t is None else self_t + other_t) / 2
    return F.where(self == other, mean, _either(F, self < other, self_t, other_t))


def _fmax_tangent(F: Any, self_t: Any, other_t: Any, self: Any, other: Any) -> Any:
    return _either(F, (self > other) | F.isnan(other), self_t, other_t)


maximum = binary(
    Op(
        "maximum",
        "maximum",
        {
            "self": lambda F, g, self, other: _shared(F, g, self == other, self < other),
            "other": lambda F, g, self, other: _shared(F, g, self == other, self > other),
        },
        inputs=TWO,
        promote="same",
        check=no_complex("maximum not implemented for complex tensors."),
        jvp=_maximum_tangent,
    ),
    numbers=False,
)
minimum = binary(
    Op(
        "minimum",
        "minimum",
        {
            "self": lambda F, g, self, other: _shared(F, g, self == other, self > other),
            "other": lambda F, g, self, other: _shared(F, g, self == other, self < other),
        },
        inputs=TWO,
        promote="same",
        check=no_complex("minimum not implemented for complex tensors."),
        jvp=_minimum_tangent,
    ),
    numbers=False,
)
fmax = binary(
    Op(
        "fmax",
        lambda xp, x, y: xp.where((x >= y) | xp.isnan(y), x, y),
        {
            "self": lambda F, g, self, other: F.masked_fill(g, ~((self >= other) | F.isnan(other)), value=0),
            "other": lambda F, g, self, other: F.masked_fill(g, (self >= other) | F.isnan(other), value=0),
        },
        inputs=TWO,
        promote="same",
        check=no_complex("fmax not implemented for complex tensors."),
        jvp=_fmax_tangent,
    ),
    numbers=False,
)
fmin = binary(
    Op(
        "fmin",
        lambda xp, x, y: xp.where((x <= y) | xp.isnan(y), x, y),
        {
            "self": lambda F, g, self, other: F.masked_fill(g, ~((self <= other) | F.isnan(other)), value=0),
            "other": lambda F, g, self, other: F.masked_fill(g, (self <= other) | F.isnan(other), value=0),
        },
        inputs=TWO,
        promote="same",
        check=no_complex("fmin not implemented for complex tensors."),
    ),
    numbers=False,
)

# clamp. On a bound the gradient is 1, unlike hardtanh's.


def _clamp_kernel(xp: Any, x: Any, min: Any, max: Any) -> Any:
    """NaN comes through, from every operand; -0 and 0 are left as they are."""
    if min is not None:
        x = xp.where(_beyond(x < min, min), min, x)
    if max is not None:
        x = xp.where(_beyond(x > max, max), max, x)
    return x


def _beyond(outside: Any, bound: Any) -> Any:
    """Where the bound is taken: also where it is NaN."""
    unordered = bound != bound
    return outside if unordered is False else outside | unordered


def _inside(x: Any, min: Any, max: Any) -> Any:
    if min is None:
        return x <= max
    return x >= min if max is None else (x >= min) & (x <= max)


def _clamp_input(F: Any, g: Any, self: Any, min: Any, max: Any) -> Any:
    return F.where(_inside(self, min, max), g, 0)


def _clamp_lower(F: Any, g: Any, self: Any, min: Any, max: Any) -> Any:
    return F.where(self < min if max is None else (self < min) & (min < max), g, 0)


def _clamp_upper(F: Any, g: Any, self: Any, min: Any, max: Any) -> Any:
    return F.where(self > max if min is None else (self > max) | (max < min), g, 0)


def _clamp_tangent(F: Any, self_t: Any, min_t: Any, max_t: Any, self: Any, min: Any, max: Any) -> Any:
    """Of one bound, unlike the gradient, a tie goes with the bound: as in torch."""
    if max is None:
        return _either(F, self > min, self_t, min_t)
    if min is None:
        return _either(F, self < max, self_t, max_t)
    inside = _either(F, self > max, max_t, self_t)
    return _either(F, min > max, max_t, _either(F, self < min, min_t, inside))


def _clamp_min_tangent(F: Any, self_t: Any, min_t: Any, self: Any, min: Any) -> Any:
    return _either(F, self >= min, self_t, min_t)


def _clamp_max_tangent(F: Any, self_t: Any, max_t: Any, self: Any, max: Any) -> Any:
    return _either(F, self <= max, self_t, max_t)


_refuse_complex = no_complex("clamp is not supported for complex types", NotImplementedError)
_refuse_bool_numbers = without(dtypes.BOOL, kernel="clamp_scalar_cpu")
_refuse_bool_tensors = without(dtypes.BOOL, kernel="clamp_cpu")


def _check_numbers(input: Tensor, min: Any, max: Any) -> None:
    if input.dtype.is_floating_point and not isinstance(min, complex) and not isinstance(max, complex):
        return
    _refuse_complex(input, min, max)
    _refuse_bool_numbers(input, min, max)
    for bound in (min, max):
        if bound is not None:
            check_fits(bound, common_dtype(input, min, max))


def _check_tensors(input: Tensor, min: Tensor | None, max: Tensor | None) -> None:
    _refuse_complex(input, min, max)
    if min is not None and max is not None:
        _refuse_bool_tensors(input, min, max)


def _clamp_of_numbers(name: str, node: str) -> Op:
    return Op(
        name,
        _clamp_kernel,
        {"self": _clamp_input},
        promote="same",
        scalars=("min", "max"),
        check=_check_numbers,
        node=node,
    )


_clamp_numbers = _clamp_of_numbers("clamp", "ClampBackward1")
_clamp_min_number = _clamp_of_numbers("clamp_min", "ClampMinBackward0")
_clamp_max_number = _clamp_of_numbers("clamp_max", "ClampMaxBackward0")
_clamp_tensors = Op(
    "clamp_tensor",
    _clamp_kernel,
    {"self": _clamp_input, "min": _clamp_lower, "max": _clamp_upper},
    inputs=("self", "min", "max"),
    promote="same",
    check=_check_tensors,
    jvp=_clamp_tangent,
    node="ClampBackward0",
)
_clamp_min_tensor = Op(
    "clamp_min_tensor",
    _clamp_kernel,
    {"self": _clamp_input, "min": _clamp_lower},
    inputs=("self", "min"),
    promote="same",
    check=without(dtypes.COMPLEX, kernel="maximum_cpu"),
    jvp=_clamp_min_tangent,
    node="ClampMinBackward1",
)
_clamp_max_tensor = Op(
    "clamp_max_tensor",
    lambda xp, x, max, min: _clamp_kernel(xp, x, min, max),
    {"self": _clamp_input, "max": _clamp_upper},
    inputs=("self", "max"),
    promote="same",
    check=without(dtypes.COMPLEX, kernel="minimum_cpu"),
    jvp=_clamp_max_tangent,
    node="ClampMaxBackward1",
)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """`input` limited to [min, max]: both numbers or both tensors, which broadcast; one may be missing.

    Where ``min > max`` the result is `max`. RuntimeError without any bound.
    """
    tensor_argument("clamp", input)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [b for b in (min, max) if b is not None]
    if all(isinstance(b, Tensor) for b in bounds):
        return _clamp_tensors(input, min, max)
    if any(isinstance(b, Tensor) or not isinstance(b, OPERANDS) for b in bounds):
        raise invalid_arguments("clamp", "(Tensor, Tensor, Tensor) or (Tensor, Number, Number)", input, min, max)
    return _clamp_numbers(input, min=min, max=max)


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """`input` limited to at least `min`, a number or a tensor."""
    tensor_argument("clamp_min", input)
    if isinstance(min, Tensor):
        return _clamp_min_tensor(input, min, max=None)
    if not isinstance(min, OPERANDS):
        raise invalid_arguments("clamp_min", "(Tensor, Tensor or Number)", input, min)
    return _clamp_min_number(input, min=min, max=None)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """`input` limited to at most `max`, a number or a tensor."""
    tensor_argument("clamp_max", input)
    if isinstance(max, Tensor):
        return _clamp_max_tensor(input, max, min=None)
    if not isinstance(max, OPERANDS):
        raise invalid_arguments("clamp_max", "(Tensor, Tensor or Number)", input, max)
    return _clamp_max_number(input, min=None, max=max)


# where and masked_fill

_where = Op(
    "where",
    lambda xp, condition, x, y: xp.where(condition, x, y),
    {
        "self": lambda F, g, condition: F.where(condition, g, 0),
        "other": lambda F, g, condition: F.where(condition, 0, g),
    },
    inputs=("condition", "self", "other"),
    promote="same",
    promoted=TWO,
)


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """`input` where `condition` holds, and `other` elsewhere: tensors or numbers, with broadcasting.

    With `condition` alone the indices of its nonzero elements, one int64 tensor for each dimension.
    RuntimeError for a condition that is neither bool nor uint8.
    """
    accepted = "(Tensor) or (Tensor, Tensor or Number, Tensor or Number)"
    if not isinstance(condition, Tensor):
        raise invalid_arguments("where", accepted, condition, input, other)
    if input is None and other is None:
        module = MODULES[type(condition._data)]
        return tuple([wrap(indices.copy()) for indices in module.nonzero(module.atleast_1d(condition._data))])
    if not isinstance(input, OPERANDS) or not isinstance(other, OPERANDS):
        raise invalid_arguments("where", accepted, condition, input, other)
    if condition.dtype is dtypes.uint8:
        condition = cast(condition, dtypes.bool_)
    elif condition.dtype is not dtypes.bool_:
        name = dtypes.SCALAR_TYPE[condition.dtype.name]
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {name}")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = wrap(NUMPY.asarray(input, common_dtype(input, other).numpy))  # gives the kernel a dtype
    return _where(condition, input, other)


_where.public = where


def _filled(xp: Any, x: Any, mask: Any, value: Any) -> Any:
    if hasattr(value, "dtype"):
        value = (value.real if x.dtype.kind != "c" else value).astype(x.dtype)
    elif x.dtype.kind in "biu":
        value = xp.asarray(int(value) % 256 if x.dtype == xp.uint8 else value).astype(x.dtype)
    return xp.asarray(xp.where(mask, value, x), order="C")  # as torch, whatever the layout of the operands


_masked_fill = Op(
    "masked_fill",
    _filled,
    {"self": lambda F, g, mask: F.masked_fill(g, mask, value=0)},
    inputs=("self", "mask"),
    jvp="elementwise",
)
_masked_fill_tensor = Op(
    "masked_fill_tensor",
    _filled,
    {
        "self": lambda F, g, mask: F.masked_fill(g, mask, value=0),
        "value": lambda F, g, mask: F.where(mask, g, 0),
    },
    inputs=("self", "mask", "value"),
    node="MaskedFillBackward1",
    jvp="linear",
)


ON_EXPANDED = deprecated_on_expanded(
    "masked_fill_", " This also applies to advanced indexing e.g. tensor[mask] = scalar"
)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`input` with `value`, a number or a 0-dim tensor, where the bool `mask` holds; they broadcast."""
    tensor_argument("masked_fill", input)
    if not isinstance(mask, Tensor) or not isinstance(value, OPERANDS):
        raise invalid_arguments("masked_fill", "(Tensor, Tensor mask, Tensor or Number)", input, mask, value)
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    if mask.dtype is not dtypes.bool_:
        name = C_NAMES[mask.dtype.name]
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {name}")
    check_fits(value.item() if isinstance(value, Tensor) else value, input.dtype)
    if isinstance(value, Tensor):
        return _masked_fill_tensor(input, mask, value)
    if isinstance(value, complex) and not input.is_complex():
        value = value.real
    return _masked_fill(input, mask, value=value)


_masked_fill_ = inplace(masked_fill, "masked_fill_", stretched=ON_EXPANDED, number_at=1)


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """In-place form of `masked_fill`."""
    return _masked_fill_(self, mask, value)


_masked_fill.public = masked_fill
_masked_fill_tensor.public = masked_fill

# nan_to_num


def _without_nan(xp: Any, x: Any, nan: float | None, posinf: float | None, neginf: float | None) -> Any:
    if x.dtype.kind != "f":
        return x.copy()
    limits = xp.finfo(x.dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    x = xp.where(xp.isnan(x), 0.0 if nan is None else nan, x)
    return xp.where(x == math.inf, high, xp.where(x == -math.inf, low, x))


_nan_to_num = Op(
    "nan_to_num",
    _without_nan,
    {"self": lambda F, g, self: g * F.isfinite(self)},
    check=no_complex("nan_to_num does not support automatic differentiation for outputs with complex dtype."),
    jvp="elementwise",
)


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """`input` with 0, or `nan`, for NaN, and the largest finite numbers, or those given, for infinities."""
    return _nan_to_num(tensor_argument("nan_to_num", input), nan=nan, posinf=posinf, neginf=neginf)


clip = clamp

METHODS = {name: globals()[name] for name in __all__ if name != "where"} | {
    "where": lambda self, condition, other: where(condition, self, other),
    "masked_fill_": masked_fill_,
}


def _within_dtype(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A clamp of a target, which cannot hold what numbers of a higher kind make of it."""

    def call(input: Tensor, *bounds: Any, **named: Any) -> Tensor:
        given = [b for b in (*bounds, *named.values()) if b is not None]
        found = common_dtype(input, *given)
        if found.category > input.dtype.category and not any(isinstance(b, Tensor) for b in given):
            names = SCALAR_TYPE[found.name], C_NAMES[input.dtype.name]
            raise RuntimeError(f"result type {names[0]} can't be cast to the desired output type {names[1]}")
        return function(input, *bounds, **named)

    return call


INPLACE = {
    "clamp_": _within_dtype(clamp),
    "clip_": _within_dtype(clamp),
    "clamp_min_": _within_dtype(clamp_min),
    "clamp_max_": _within_dtype(clamp_max),
    "nan_to_num_": nan_to_num,
}
