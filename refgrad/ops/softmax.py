"""Soft maxima along a dimension: logsumexp, softmax and its logarithm."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import dtype as DType
from refgrad.layout import row_major
from refgrad.ops.arguments import dtype_argument, integer, reduced_dims, tensor_argument
from refgrad.ops.conversion import cast, clone
from refgrad.ops.half import in_single
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.ops.reductions import keep, total
from refgrad.tensor import Tensor, check_dim

__all__ = ["log_softmax", "logsumexp", "softmax"]

# logsumexp


def _largest(xp: Any, x: Any, dim: tuple[int, ...]) -> Any:
    """The maximum over `dim`, kept; minus infinity where there is nothing."""
    if not all(x.shape[k] for k in dim):
        return xp.full([1 if k in dim else n for k, n in enumerate(x.shape)], -xp.inf, x.dtype)
    return xp.max(x, axis=dim, keepdims=True) if dim else x


def _logsumexp_kernel(xp: Any, x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    top = _largest(xp, x, dim)
    shift = xp.where(xp.isinf(top), xp.zeros((), x.dtype), top)
    summed = total(xp, xp.exp(x - shift), dim, keepdim).astype(x.dtype, copy=False)
    return xp.log(summed) + (shift if keepdim else xp.reshape(shift, summed.shape))


def _logsumexp_self(F: Any, g: Any, self: Any, result: Any, dim: tuple[int, ...]) -> Any:
    shape = self.shape
    return keep(F, g, shape, dim) * F.exp(self - keep(F, result, shape, dim)).conjugate()


_logsumexp = Op("logsumexp", row_major(_logsumexp_kernel), {"self": _logsumexp_self}, promote="float", jvp="transpose")


def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The logarithm of the sum of exponentials over `dim`; integers become the default float."""
    dims = reduced_dims("logsumexp", dim, tensor_argument("logsumexp", input).ndim)
    return _logsumexp(input, dim=dims, keepdim=keepdim)


# softmax and log_softmax. Their derivatives are ops as well, so that half precision is computed in single.


def _total(xp: Any, x: Any, dim: int) -> Any:
    return total(xp, x, (dim,), True) if x.ndim else x


def _softmax_kernel(xp: Any, x: Any, dim: int) -> Any:
    powers = xp.exp(x - _largest(xp, x, (dim,) if x.ndim else ()))
    return powers / _total(xp, powers, dim)


def _softmax_gradient(xp: Any, result: Any, g: Any, dim: int) -> Any:
    return (g - _total(xp, g * result, dim)) * result


def _log_softmax_kernel(xp: Any, x: Any, dim: int) -> Any:
    shifted = x - _largest(xp, x, (dim,) if x.ndim else ())
    return shifted - xp.log(_total(xp, xp.exp(shifted), dim))


def _log_softmax_gradient(xp: Any, result: Any, g: Any, dim: int) -> Any:
    return g - xp.exp(result) * _total(xp, g, dim)


def _sum(F: Any, x: Any, dim: int) -> Any:
    return F.sum(x, dim=(dim,) if x.ndim else (), keepdim=True)


def _softmax_gradient_result(F: Any, g: Any, result: Any, grad: Any, dim: int) -> Any:
    return g * (grad - _sum(F, grad * result, dim)) - grad * _sum(F, g * result, dim)


_softmax = Op(
    "softmax",
    row_major(in_single(_softmax_kernel)),
    {"self": lambda F, g, result, dim: F.softmax_gradient(result, g, dim=dim)},
)
Op(
    "softmax_gradient",
    in_single(_softmax_gradient),
    {
        "output": lambda F, g, output, grad, dim: _softmax_gradient_result(F, g, output, grad, dim),
        "grad": lambda F, g, output, dim: F.softmax_gradient(output, g, dim=dim),
    },
    inputs=("output", "grad"),
    node="SoftmaxBackwardDataBackward0",
)
_log_softmax = Op(
    "log_softmax",
    row_major(in_single(_log_softmax_kernel)),
    {"self": lambda F, g, result, dim: F.log_softmax_gradient(result, g, dim=dim)},
)
Op(
    "log_softmax_gradient",
    in_single(_log_softmax_gradient),
    {
        "output": lambda F, g, output, grad, dim: -g * F.exp(output) * _sum(F, grad, dim),
        "grad": lambda F, g, output, dim: g - _sum(F, g * F.exp(output), dim),
    },
    inputs=("output", "grad"),
    node="LogSoftmaxBackwardDataBackward0",
)


def _along(op: Op, input: Tensor, dim: Any, dtype: DType | None) -> Tensor:
    if dim is None:
        raise TypeError(f"{op.name}(): argument 'dim' (position 2) must be int, not NoneType")
    wanted = dtype_argument(op.name, dtype)
    x = tensor_argument(op.name, input) if wanted is None else cast(input, wanted)
    dim = check_dim(integer(op.name, "dim", dim), x.ndim)
    if x.dtype.category != dtypes.FLOATING:
        if not x.numel():
            return clone(x)
        kernel = f"{op.name}_{'lastdim_' if dim >= x.ndim - 1 else ''}kernel_impl"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_TYPE[x.dtype.name]}'")
    return op(x, dim=dim)


def softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """Exponentials along `dim`, scaled so that they sum to one; cast to `dtype` first if given."""
    return _along(_softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """The logarithm of `softmax`, without its underflow."""
    return _along(_log_softmax, input, dim, dtype)


_softmax.public, _log_softmax.public = softmax, log_softmax


def _functional(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The form of nn.functional, which chooses a dimension, with a warning, when none is given."""

    def call(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
        if dim is None:
            warnings.warn(
                f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X "
                "as an argument.",
                stacklevel=_stacklevel - 1,
            )
            dim = 0 if input.ndim in (0, 1, 3) else 1
        return function(input, dim, dtype)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = function.__doc__
    return call


def _softmin(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """`softmax` of the negated input."""
    return softmax(TENSORS.neg(input), dim, dtype)


FUNCTIONAL = (
    _functional(softmax, "softmax"),
    _functional(log_softmax, "log_softmax"),
    _functional(_softmin, "softmin"),
)
METHODS = {"log_softmax": log_softmax, "logsumexp": logsumexp, "softmax": softmax}
INPLACE: dict[str, Any] = {}
