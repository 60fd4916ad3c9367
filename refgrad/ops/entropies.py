"""Losses of classification: nll_loss, cross_entropy and binary_cross_entropy."""

from __future__ import annotations

import math
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import SCALAR_TYPE
from refgrad.modes import is_grad_enabled
from refgrad.ops.half import in_single
from refgrad.ops.limits import floats_only
from refgrad.ops.losses import reduce_loss, reduction_named
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.ops.reductions import sum, total
from refgrad.ops.shape import reshape
from refgrad.ops.softmax import log_softmax
from refgrad.tensor import Tensor

__all__: list[str] = []


def _fixed(function: str, **arguments: Tensor | None) -> None:
    """Raise torch's error for an argument that requires grad where the op has no derivative for it."""
    for name, value in arguments.items():
        if value is not None and value.requires_grad and is_grad_enabled():
            raise RuntimeError(
                f"The function '{function}' is not differentiable with respect to argument '{name}'. This input "
                "cannot have requires_grad True."
            )


def _reduce(xp: Any, losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    summed = total(xp, losses, None)
    return xp.true_divide(summed, losses.size) if reduction == "mean" else summed


def _scaled(g: Any, shape: tuple[int, ...], reduction: str) -> Any:
    return g / max(math.prod(shape), 1) if reduction == "mean" else g


def _gathered(F: Any, slopes: Any, reduction: str) -> Any:
    return slopes if reduction == "none" else (F.mean if reduction == "mean" else F.sum)(slopes)


# nll_loss


def _classes(xp: Any, target: Any, weight: Any, ignore_index: int, kind: Any) -> tuple[Any, Any]:
    """The target with 0 for what is ignored, and the weight of each element of it."""
    counts = target != ignore_index
    places = xp.where(counts, target, 0).astype(xp.int64)
    return places, counts.astype(kind) if weight is None else xp.where(counts, weight[places], 0).astype(kind)


def _hits(xp: Any, places: Any, shape: tuple[int, ...]) -> Any:
    """Where in the input the classes of the target are: the classes lie along dimension 1, or 0 of a vector."""
    axis = min(len(shape) - 1, 1)
    if len(shape) == 1:
        return xp.arange(shape[0]) == places
    classes = xp.reshape(xp.arange(shape[axis]), (-1,) + (1,) * (len(shape) - 2))
    return classes == xp.expand_dims(places, axis)


def _nll_kernel(xp: Any, x: Any, target: Any, weight: Any, reduction: str, ignore_index: int) -> Any:
    places, weights = _classes(xp, target, weight, ignore_index, x.dtype)
    hits = _hits(xp, places, x.shape)
    losses = -xp.sum(xp.where(hits, x, 0), axis=min(x.ndim - 1, 1)) * weights
    losses = xp.where(target == ignore_index, 0, losses).astype(x.dtype)
    if reduction == "none":
        return losses
    summed = total(xp, losses, None)
    return xp.true_divide(summed, total(xp, weights, None)) if reduction == "mean" else summed


def _nll_gradient(
    xp: Any, g: Any, x: Any, target: Any, weight: Any, reduction: str, ignore_index: int
) -> Any:
    shape = x.shape
    places, weights = _classes(xp, target, weight, ignore_index, g.dtype)
    slopes = -g * (xp.true_divide(weights, total(xp, weights, None)) if reduction == "mean" else weights)
    slopes = xp.where(target == ignore_index, 0, slopes)
    hits = _hits(xp, places, shape)
    return xp.where(hits, slopes if len(shape) == 1 else xp.expand_dims(slopes, 1), 0).astype(g.dtype)


_nll = Op(
    "nll_loss",
    in_single(_nll_kernel),
    {
        "self": lambda F, g, self, target, weight, reduction, ignore_index: F.nll_loss_backward(
            g, self, target, weight, reduction=reduction, ignore_index=ignore_index
        )
    },
    inputs=("self", "target", "weight"),
    node=lambda inputs, params: "NllLossBackward0" if inputs[0].ndim < 3 else "NllLoss2DBackward0",
    check=lambda self, target, weight, reduction, ignore_index: floats_only("nll_loss_out_frame")(self),
    jvp="transpose",
)
Op(
    "nll_loss_backward",
    in_single(_nll_gradient),
    {
        "gradient": lambda F, g, target, weight, reduction, ignore_index: F.nll_loss(
            g, target, weight, reduction=reduction, ignore_index=ignore_index
        ),
        "self": lambda F, g: F.zeros_like(g),  # as in torch there is a second derivative, of zeros
    },
    inputs=("gradient", "self", "target", "weight"),
    node=lambda inputs, params: f"NllLoss{'2D' if inputs[1].ndim > 2 else ''}BackwardBackward0",
    jvp="transpose",
)


def _check_target(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> None:
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {SCALAR_TYPE[target.dtype.name]}")
    classes = input.shape[min(input.ndim - 1, 1)]
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != classes):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor "
            f"of shape: {list(weight.shape)}"
        )
    if weight is not None and weight.dtype is not input.dtype:
        kinds = SCALAR_TYPE[input.dtype.name], SCALAR_TYPE[weight.dtype.name]
        raise RuntimeError(f"expected scalar type {kinds[0]} but found {kinds[1]}")
    data = target._data
    wrong = data[((data < 0) | (data >= classes)) & (data != ignore_index)]
    if wrong.size:
        raise IndexError(f"Target {int(wrong.flat[0])} is out of bounds.")


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negated `input` at the class of each target, times the weight of the class; classes in dimension 1."""
    reduction = reduction_named(reduction, size_average, reduce)
    if not input.ndim:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if input.ndim > 1 and (not target.ndim or input.shape[0] != target.shape[0]):
        batch = target.shape[0] if target.ndim else 1
        raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({batch}).")
    _fixed("nll_loss_forward", weight=weight)
    if input.ndim == 1:
        target = reshape(target, ())
    wanted = (*input.shape[:1], *input.shape[2:]) if input.ndim > 1 else ()
    if target.shape != wanted:
        if input.ndim == 4:
            sizes = f"{list(input.shape)} , target: {list(target.shape)}"
            raise RuntimeError(f"size mismatch (got input: {sizes}")
        raise RuntimeError(f"Expected target size {list(wanted)}, got {list(target.shape)}")
    _check_target(input, target, weight, ignore_index)
    return _nll(input, target, weight, reduction=reduction, ignore_index=ignore_index)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`nll_loss` of the logarithms of `softmax`, or for probabilities as target what is expected of it."""
    reduction = reduction_named(reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    axis = 0 if input.ndim == 1 else 1
    by_class = input.shape != target.shape
    if not by_class:
        if not target.is_floating_point():
            kind = SCALAR_TYPE[target.dtype.name]
            raise RuntimeError(f"Expected floating point type for target with class probabilities, got {kind}")
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
    classes = input.shape[axis]
    logs = log_softmax(input, axis, input.dtype)
    weights = None
    if weight is not None:
        if weight.ndim != 1 or weight.shape[0] != classes:
            raise RuntimeError(
                f"{'' if by_class else 'cross_entropy: '}weight tensor should be defined either for all {classes} "
                f"classes or no classes but got weight tensor of shape: {list(weight.shape)}"
            )
        weights = weight.reshape((-1,) + (1,) * max(input.ndim - 2, 0))
    if not by_class:
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / classes
        losses = logs * target if weights is None else logs * target * weights
        if reduction == "none":
            return -sum(losses, dim=axis)
        return -sum(losses) / (input.numel() / classes) if reduction == "mean" else -sum(losses)
    picked = nll_loss(logs, target, weight, ignore_index=ignore_index, reduction=reduction)
    if not label_smoothing:
        return picked
    ignored = TENSORS.eq(target, ignore_index)
    spread = -sum(logs if weights is None else logs * weights, dim=axis)
    smooth = TENSORS.masked_fill(spread, ignored.reshape(spread.shape), 0)
    if reduction == "mean":
        ones = TENSORS.zeros_like(logs).detach() + 1  # of which the loss is the negated sum of the weights
        smooth = sum(smooth) / -nll_loss(ones, target, weight, ignore_index=ignore_index, reduction="sum")
    else:
        smooth = reduce_loss(smooth, reduction)
    return (1 - label_smoothing) * picked + (label_smoothing / classes) * smooth


# binary_cross_entropy

_LOWEST, _EPS = -100.0, 1e-12  # what logarithms count as at least, and quotients are divided by


def _bce_kernel(xp: Any, x: Any, target: Any, weight: Any, reduction: str) -> Any:
    losses = (target - 1) * xp.maximum(xp.log1p(-x), _LOWEST) - target * xp.maximum(xp.log(x), _LOWEST)
    return _reduce(xp, losses if weight is None else losses * weight, reduction)


def _bce_gradient(xp: Any, g: Any, x: Any, target: Any, weight: Any, reduction: str) -> Any:
    slopes = _scaled(g, x.shape, reduction) * (x - target) / xp.maximum((1 - x) * x, _EPS)
    return slopes if weight is None else slopes * weight


def _bce_target(F: Any, g: Any, self: Any, weight: Any, reduction: str) -> Any:
    slopes = _scaled(g, self.shape, reduction) * (F.log1p(-self) - F.log(self))
    return slopes if weight is None else slopes * weight


def _bce_bend(F: Any, g: Any, gradient: Any, self: Any, target: Any, weight: Any, reduction: str) -> Any:
    bent = (self * self - 2 * self * target + target) / ((self + _EPS) * (1 - self + _EPS)) ** 2
    bent = g * _scaled(gradient, self.shape, reduction) * bent
    return bent if weight is None else bent * weight


def _bce_bend_target(F: Any, g: Any, gradient: Any, self: Any, weight: Any, reduction: str) -> Any:
    bent = -g * _scaled(gradient, self.shape, reduction) / ((self + _EPS) * (1 - self + _EPS))
    return bent if weight is None else bent * weight


_bce = Op(
    "binary_cross_entropy",
    in_single(_bce_kernel),
    {
        "self": lambda F, g, self, target, weight, reduction: F.binary_cross_entropy_backward(
            g, self, target, weight, reduction=reduction
        ),
        "target": _bce_target,
    },
    inputs=("self", "target", "weight"),
    check=lambda self, target, weight, reduction: floats_only("binary_cross_entropy")(self),
)
Op(
    "binary_cross_entropy_backward",
    in_single(_bce_gradient),
    {
        "gradient": lambda F, g, self, target, weight, reduction: _gathered(
            F, F.binary_cross_entropy_backward(g, self, target, weight, reduction="none"), reduction
        ),
        "self": _bce_bend,
        "target": _bce_bend_target,
    },
    inputs=("gradient", "self", "target", "weight"),
)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The cross entropy of probabilities of yes; logarithms count as -100 at least."""
    reduction = reduction_named(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. "
            "Please ensure they have the same size."
        )
    _fixed("binary_cross_entropy", weight=weight)
    for other in (target, weight):
        if other is not None and other.dtype is not input.dtype:
            kinds = SCALAR_TYPE[other.dtype.name], SCALAR_TYPE[input.dtype.name]
            raise RuntimeError(f"Found dtype {kinds[0]} but expected {kinds[1]}")
    if input.is_floating_point():
        for name, data in (("input", input._data), ("target", target._data)):
            if not ((data >= 0) & (data <= 1)).all():
                raise RuntimeError(f"all elements of {name} should be between 0 and 1")
    return _bce(input, target, weight, reduction=reduction)


FUNCTIONAL = (binary_cross_entropy, cross_entropy, nll_loss)
METHODS: dict[str, Any] = {}
INPLACE: dict[str, Any] = {}
