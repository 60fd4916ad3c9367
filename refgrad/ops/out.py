"""The argument `out` of functions: a tensor, or a tuple of several, that takes the result.

Nothing is recorded. A target of another shape is resized, with a warning if it holds something; some functions cast
to its dtype, the others want the very dtype of the result. `attach` wraps the functions that have it in torch.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from refgrad.counters import bump
from refgrad.dtypes import C_NAMES, SCALAR_TYPE, bool_
from refgrad.forward import not_supported
from refgrad.layout import STRETCHED, is_stretched, strides_of
from refgrad.modes import local, no_grad
from refgrad.mutation import spare
from refgrad.ops.geometry import lay_out
from refgrad.ops.inplace import check_overlap, check_result
from refgrad.ops.limits import no_tangents
from refgrad.tensor import Tensor

# The functions, by what they make of a target of another dtype.

CASTING = frozenset(
    "acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh cos cosh deg2rad digamma erf erfc "
    "erfinv exp exp2 expm1 lgamma log log10 log1p log2 logical_not logit rad2deg reciprocal rsqrt sigmoid sin sinc "
    "sinh sqrt square tan tanh threshold add addcdiv addcmul addr arctan2 atan2 bitwise_and bitwise_left_shift "
    "bitwise_or bitwise_right_shift bitwise_xor div divide eq floor_divide fmax fmin fmod ge ger greater greater_equal "
    "gt hypot kron le lerp less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor lt maximum minimum "
    "mul multiply ne not_equal outer polygamma pow remainder sub subtract true_divide xlogy logsumexp max min std var "
    "cat column_stack concat concatenate dstack hstack row_stack stack vstack".split()
)
IN_ITS_DTYPE = frozenset("sum prod mean nansum nanmean cumsum cumprod".split())
"""What is computed in the dtype of the target, where the call does not name one."""
MADE = frozenset("arange bernoulli empty eye full linspace logspace ones rand randint randn randperm zeros".split())
"""What makes new values in the dtype of the target."""
EXACT = frozenset(
    "abs absolute bitwise_not ceil fix floor frac hardshrink isneginf isposinf nan_to_num neg negative round sgn sign "
    "signbit trunc addbmm addmm addmv baddbmm bmm chain_matmul clamp clamp_max clamp_min clip complex cross dot "
    "float_power inner matmul mm mv tensordot vdot where all amax amin aminmax any argmax argmin cummax cummin "
    "kthvalue log_softmax logcumsumexp median msort nanmedian norm softmax sort topk diag gather index_add index_copy "
    "index_select masked_select nonzero scatter scatter_add take take_along_dim tril triu".split()
)
FUNCTIONS = CASTING | IN_ITS_DTYPE | MADE | EXACT

_UNRECORDED = frozenset(  # no gradient goes through them: operands may require one
    "logical_not logical_and logical_or logical_xor eq ne not_equal ge gt le lt greater greater_equal less less_equal "
    "all any argmax argmin signbit isneginf isposinf nonzero".split()
)
_OF_A_DIM = frozenset(("sum", "prod", "median", "nanmedian"))  # torch has `out` only where they reduce a dimension
_WITHOUT_RULE = MADE - {"bernoulli"} | {"diag", "floor_divide", "log_softmax", "softmax"}
"""torch's derivatives do not speak of their forms with `out`, not even to refuse them."""
_COPYING = frozenset(("inner", "tensordot"))
_IN_ANY_SHAPE = frozenset(("arange", "linspace", "logspace"))
_RESIZING = frozenset(("empty", "randn"))  # in torch `resize_` is a step of its own in these
_WRITES = {"empty": 0, "kron": 0, "nanmean": 2}  # how many torch counts, where it is not one
_SAYS = {  # the function that torch names, where one is made of another
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctanh": "atanh",
    "arctan2": "atan2",
    "chain_matmul": "mm",
    "clip": "clamp",
    "cross": "linalg_cross",
    "divide": "div",
    "fix": "trunc",
    "float_power": "pow",
    "ger": "mul",
    "kron": "mul",
    "msort": "sort",
    "multiply": "mul",
    "nanmean": "nansum",
    "negative": "neg",
    "norm": "linalg_vector_norm",
    "outer": "mul",
    "square": "pow",
    "subtract": "sub",
    "take_along_dim": "gather",
    "true_divide": "div",
    **dict.fromkeys("column_stack concat concatenate dstack hstack row_stack vstack".split(), "cat"),
}


def with_out(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function with the argument `out`."""

    @functools.wraps(function)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is not None:
            return into(out, name, function, args, kwargs)
        return function(*args, **kwargs) if kwargs else function(*args)

    return call


def into(out: Any, name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Write what a function gives into `out`, and return that.

    RuntimeError if a tensor requires grad and the mode is on, and for a target that cannot take the result;
    NotImplementedError if a tensor has a tangent, mostly after the write.
    """
    if name not in FUNCTIONS:
        raise TypeError(f"{name}() got an unexpected keyword argument 'out'")
    targets = out if isinstance(out, (tuple, list)) else (out,)
    for target in targets:
        if not isinstance(target, Tensor):
            raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(target).__name__}")
    if name in _OF_A_DIM and len(args) + ("dim" in kwargs) < 2:
        raise TypeError(f"{name}() received an invalid combination of arguments: with out, dim is required")
    operands = [t for a in (*args, *kwargs.values()) for t in (a if isinstance(a, (tuple, list)) else (a,))]
    if name in _RESIZING and targets[0]._rg:
        raise RuntimeError("cannot resize variables that require grad")
    _refuse_recording(name, operands, targets)
    tangents = _meets_tangents(name, operands, targets)
    requires_grad = name in MADE and kwargs.pop("requires_grad", False)
    if name in MADE and not (operands and isinstance(operands[0], Tensor)):
        kwargs = {**kwargs, "dtype": _made_dtype(targets[0], kwargs.get("dtype"))}
    elif name in IN_ITS_DTYPE and kwargs.get("dtype") is None:
        kwargs = {**kwargs, "dtype": _reduced_dtype(name, targets[0])}
    if name in _COPYING:
        return _copy_into(out, name, function(*args, **kwargs))
    with no_grad():
        result = function(*args, **kwargs)
    results = result if isinstance(result, tuple) else (result,)
    if len(targets) != len(results):
        raise TypeError(f"expected tuple of {len(results)} elements but got {len(targets)}")
    casts = name in CASTING and len(results) == 1
    for target, made in zip(targets, results, strict=True):
        _take(target, made, name, operands, casts)
    if tangents:  # torch finds out after it wrote
        raise no_tangents(f"{_says(name, operands)}_out", "is an out= function")
    if requires_grad:
        out.requires_grad_()
    return type(result)(targets) if isinstance(result, tuple) else out


def _reduced_dtype(name: str, target: Tensor) -> Any:
    kind = target.dtype
    if (name in ("nansum", "nanmean") and not kind.is_floating_point) or (name.startswith("cum") and kind is bool_):
        kernel = f"{name}_out_cpu" if name.startswith("cum") else "nansum_cpu"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{SCALAR_TYPE[kind.name]}'")
    return kind


def _copy_into(target: Tensor, name: str, made: Tensor) -> Tensor:
    """Some functions copy what they made, and that is recorded."""
    if made.dtype is not target.dtype:
        raise RuntimeError(_expected(name, made, target))
    if target._data.shape != made._data.shape:
        _resize(target, made, name)
    return target.copy_(made)


def _refuse_recording(name: str, operands: Sequence[Any], targets: Iterable[Tensor]) -> None:
    if not local.modes.recording or name in _COPYING:
        return
    says = _says(name, operands)
    if name not in _UNRECORDED and any(isinstance(t, Tensor) and t._rg for t in operands):
        pass
    elif any(t._rg for t in targets):
        if name in _UNRECORDED or (name in MADE and name != "bernoulli"):
            says = f"aten::{says}"
    else:
        return
    raise RuntimeError(
        f"{says}(): functions with out=... arguments don't support automatic differentiation, but one of the "
        "arguments requires grad."
    )


def _meets_tangents(name: str, operands: Sequence[Any], targets: Sequence[Tensor]) -> bool:
    """Whether a tensor has a tangent; what torch raises for one before it writes."""
    level = local.modes.forward
    if level is None or name in _COPYING or not level.concerns(targets[0], (*operands, *targets[1:])):
        return False
    if name in _RESIZING:
        raise RuntimeError("cannot resize variables that has a forward grad")
    if name in _WITHOUT_RULE:
        raise not_supported(name)
    return True


def _says(name: str, operands: Sequence[Any]) -> str:
    """The function that torch names."""
    if name in ("max", "min") and sum(isinstance(t, Tensor) for t in operands) > 1:
        return f"{name}imum"
    return _SAYS.get(name, name)


def _made_dtype(target: Tensor, named: Any) -> Any:
    if named is not None and named is not target.dtype:
        names = SCALAR_TYPE[named.name], SCALAR_TYPE[target.dtype.name]
        raise RuntimeError(f"dtype {names[0]} does not match dtype of out parameter ({names[1]})")
    return target.dtype


def _take(target: Tensor, made: Tensor, name: str, operands: Iterable[Any], casts: bool) -> None:
    """Write one result into its target."""
    data = made._data
    if casts:
        if made.dtype.category > target.dtype.category and (name == "stack" or _SAYS.get(name, name) == "cat"):
            kind = SCALAR_TYPE[target.dtype.name]
            raise TypeError(f"torch.cat(): input types can't be cast to the desired output type {kind}")
        check_result(target, target._data.shape, made.dtype)
    elif made.dtype is not target.dtype and name not in MADE:
        raise RuntimeError(_expected(name, made, target))
    if made.device != target.device:
        raise RuntimeError(
            f"Attempting to copy from device {made.device} to device {target.device}, but cross-device copies are not "
            "allowed!"
        )
    spare(target)
    if name in _IN_ANY_SHAPE and target.numel() == data.size:
        data = data.reshape(target._data.shape)
    if target._data.shape != data.shape:
        _resize(target, made, name)
    if is_stretched(target._data):
        raise RuntimeError(STRETCHED)
    check_overlap(target, operands)
    target._data[...] = data
    for _ in range(_WRITES.get(name, 1)):
        bump(target._counter)


def _resize(target: Tensor, made: Tensor, name: str) -> None:
    """Lay the target out as the result."""
    found, wanted = target._data, made._data
    if found.size and name not in MADE:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(found.shape)}, which does not "
            f"match the required output shape {list(wanted.shape)}. This behavior is deprecated, and in a future "
            "PyTorch release outputs will not be resized unless they have zero elements. You can explicitly reuse an "
            "out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
            UserWarning,
            stacklevel=5,
        )
    elif name == "arange" and found.size and found.size != wanted.size:
        warnings.warn(
            f"The number of elements in the out tensor of shape {list(found.shape)} is {found.size} which does not "
            f"match the computed number of elements {wanted.size}. Note that this may occur as a result of rounding "
            f"error. The out tensor will be resized to a tensor of shape ({wanted.size},).",
            UserWarning,
            stacklevel=5,
        )
    lay_out(target, wanted.shape, strides_of(wanted))
    if name in _RESIZING:
        bump(target._counter)


def _expected(name: str, made: Tensor, target: Tensor) -> str:
    """torch's many words for a target of the wrong dtype."""
    wanted, found = SCALAR_TYPE[made.dtype.name], SCALAR_TYPE[target.dtype.name]
    if name in _FOUND:
        return f"Found dtype {found} but expected {wanted}"
    text = _WORDS.get(name)
    if text is not None:
        return text.format(name=name, wanted=wanted, found=found)
    return f"Expected out tensor to have dtype {C_NAMES[made.dtype.name]}, but got {C_NAMES[target.dtype.name]} instead"


_FOUND = frozenset(
    "abs absolute ceil fix floor frac neg negative round sgn sign trunc hardshrink clamp clamp_max clamp_min clip "
    "bitwise_not".split()
)
_TENSORDOT = (
    "tensordot: Expected the output tensor to have dtype {wanted}, but got an output tensor with dtype {found}"
)
_WORDS = {
    **dict.fromkeys(("signbit", "isneginf", "isposinf"), "{name} does not support non-boolean outputs."),
    **dict.fromkeys(("all", "any"), "{name} only supports bool tensor for result, got: {found}"),
    **dict.fromkeys(
        ("amax", "amin"),
        "Expected the dtype for input and out to match, but got {wanted} for input's dtype and {found} for out's "
        "dtype.",
    ),
    **dict.fromkeys(("dot", "vdot"), "result dtype {found} does not match input dtype {wanted}"),
    **dict.fromkeys(
        ("index_select", "masked_select"), "{name}(): self and result must have the same scalar type"
    ),
    **dict.fromkeys(("cummax", "cummin", "logcumsumexp"), "expected scalar_type {wanted} but found {found}"),
    **dict.fromkeys(("inner", "tensordot"), _TENSORDOT),
    "nan_to_num": "nan_to_num: dtype of out: {found} should be same as input: {wanted}",
    "where": "Expected out type to be {wanted} but got {found}",
    "complex": "Expected object of scalar type {wanted} but got scalar type {found} for argument 'out'",
    "nonzero": "nonzero: Expected out tensor to have scalar type Long but got scalar type{found}",
    "take": (
        "take(): self and out expected to have the same dtype, but got self.dtype = {wanted} and out.dtype = {found}"
    ),
    "float_power": (
        "the output given to float_power has dtype {found} but the operation's result requires dtype {wanted}"
    ),
    "kthvalue": "output values must be of same type as input",
}
