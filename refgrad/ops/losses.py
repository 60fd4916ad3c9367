"""Losses and distances of nn.functional: three records, and functions that torch too composes of other ops."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from refgrad.modes import no_grad
from refgrad.ops.activations import logsigmoid
from refgrad.ops.arguments import tensor_argument
from refgrad.ops.arithmetic import rsub
from refgrad.ops.conversion import clone
from refgrad.ops.elementary import log, xlogy
from refgrad.ops.grids import broadcast_tensors
from refgrad.ops.half import in_single
from refgrad.ops.limits import floats_only
from refgrad.ops.names import TENSORS
from refgrad.ops.norms import norm
from refgrad.ops.record import Op
from refgrad.ops.reductions import any, mean, sum, total
from refgrad.ops.selection import clamp_min, minimum, where
from refgrad.ops.shape import expand_as, unsqueeze
from refgrad.tensor import Tensor

__all__: list[str] = []


def reduction_named(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction asked for, also by the two deprecated flags, which win; ValueError for an unknown one."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        text = f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead."
        warnings.warn(text, stacklevel=3)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    return loss if reduction == "none" else mean(loss) if reduction == "mean" else sum(loss)


# Losses of the difference between input and target


def _difference(
    name: str, value: Callable[..., Any], slope: Callable[..., Any], bend: Callable[..., Any], kernel: str
) -> Op:
    """The records of a loss of `self - target` and of its backward pass; parameters as in `activation`."""
    backward = f"{name}_backward"

    def forward(xp: Any, x: Any, target: Any, reduction: str, constants: tuple[float, ...]) -> Any:
        losses = value(xp, x - target, *constants)
        if reduction == "none":
            return losses
        summed = total(xp, losses, None)
        return xp.true_divide(summed, losses.size) if reduction == "mean" else summed

    def propagate(xp: Any, g: Any, x: Any, target: Any, reduction: str, constants: tuple[float, ...]) -> Any:
        scale = g / max(x.size, 1) if reduction == "mean" else g
        return scale * slope(xp, x - target, *constants)

    def to_self(F: Any, g: Any, self: Any, target: Any, reduction: str, constants: Any) -> Any:
        return getattr(F, backward)(g, self, target, reduction=reduction, constants=constants)

    def to_target(F: Any, g: Any, self: Any, target: Any, reduction: str, constants: Any) -> Any:
        return getattr(F, backward)(g, target, self, reduction=reduction, constants=constants)

    def to_gradient(F: Any, g: Any, self: Any, target: Any, reduction: str, constants: Any) -> Any:
        slopes = getattr(F, backward)(g, self, target, reduction="none", constants=constants)
        return slopes if reduction == "none" else (F.mean if reduction == "mean" else F.sum)(slopes)

    def bent(F: Any, g: Any, gradient: Any, self: Any, target: Any, reduction: str, constants: Any) -> Any:
        scale = gradient / max(math.prod(self.shape), 1) if reduction == "mean" else gradient
        return g * scale * bend(F, self - target, *constants)

    Op(
        backward,
        in_single(propagate),
        {
            "gradient": to_gradient,
            "self": bent,
            "target": lambda F, g, gradient, self, target, reduction, constants: -bent(
                F, g, gradient, self, target, reduction, constants
            ),
        },
        inputs=("gradient", "self", "target"),
    )
    return Op(
        name,
        in_single(forward),
        {"self": to_self, "target": to_target},
        inputs=("self", "target"),
        promote="same",
        elementwise=False,
        check=lambda self, target, reduction, constants: floats_only(kernel)(self, target),
    )


_mse = _difference("mse_loss", lambda xp, d: d * d, lambda xp, d: 2 * d, lambda F, d: 2.0, "mse_cpu")
_smooth_l1 = _difference(
    "smooth_l1_loss",
    lambda xp, d, beta: xp.where(xp.absolute(d) < beta, 0.5 * d * d / beta, xp.absolute(d) - 0.5 * beta),
    lambda xp, d, beta: xp.where(d <= -beta, -1, xp.where(d >= beta, 1, d / beta)),
    lambda F, d, beta: (abs(d) < beta) / beta,
    "smooth_l1_cpu",
)
_huber = _difference(
    "huber_loss",
    lambda xp, d, delta: xp.where(xp.absolute(d) <= delta, 0.5 * d * d, delta * (xp.absolute(d) - 0.5 * delta)),
    lambda xp, d, delta: xp.where(d <= -delta, -delta, xp.where(d >= delta, delta, d)),
    lambda F, d, delta: abs(d) < delta,
    "huber_cpu",
)


def _pair(input: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """Both in their common shape, with torch's warning where they differ."""
    if target.shape != input.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )
    return broadcast_tensors(input, target)


def _weighted(loss: Tensor, weight: Tensor, input: Tensor, reduction: str) -> Tensor:
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    loss = loss * weight
    return sum(loss) / sum(weight) if reduction == "mean" else reduce_loss(loss, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared difference, reduced; the mean with `weight` is the weighted one."""
    x, y = _pair(input, target)
    reduction = reduction_named(reduction, size_average, reduce)
    if weight is not None:
        return _weighted(TENSORS.pow(x - y, 2), weight, input, reduction)
    return _mse(x, y, reduction=reduction, constants=())


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute difference, reduced; the mean with `weight` is the weighted one."""
    x, y = _pair(input, target)
    reduction = reduction_named(reduction, size_average, reduce)
    loss = abs(x - y)
    return reduce_loss(loss, reduction) if weight is None else _weighted(loss, weight, input, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """A parabola where the difference is below `beta`, and the absolute difference beyond."""
    x, y = _pair(input, target)
    reduction = reduction_named(reduction, size_average, reduce)
    if beta == 0:
        return reduce_loss(abs(x - y), reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _smooth_l1(x, y, reduction=reduction, constants=(float(beta),))


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The divergence of `target` from `input`, which holds logarithms; "batchmean" divides by the first size."""
    flags = size_average is not None or reduce is not None
    if reduction == "mean" and not flags:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.'mean' will be changed to behave the "
            "same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    chosen = reduction_named("sum" if reduction == "batchmean" else reduction, size_average, reduce)
    if input.is_complex() or target.is_complex():
        raise RuntimeError("kl_div: Complex inputs not supported.")
    if not (input.is_floating_point() and target.is_floating_point()):
        raise RuntimeError("kl_div: Integral inputs not supported.")
    loss = TENSORS.exp(target) * (target - input) if log_target else xlogy(target, target) - target * input
    loss = reduce_loss(loss, chosen)
    return loss / input.shape[0] if reduction == "batchmean" and input.ndim else loss


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-target * (input1 - input2) + margin`` where that is positive, reduced."""
    reduction = reduction_named(reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return reduce_loss(clamp_min(-target * (input1 - input2) + margin, 0), reduction)


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """`input` divided by its `p`-norm over `dim`, which counts as at least `eps`."""
    size = expand_as(clamp_min(norm(tensor_argument("normalize", input), p, dim, keepdim=True), eps), input)
    return input / size if out is None else TENSORS.true_divide(input, size, out=out)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative logarithm of Poisson's probabilities; `full` adds Stirling's approximation of the factorial."""
    reduction = reduction_named(reduction, size_average, reduce)
    loss = TENSORS.exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        stirling = target * log(target) - target + 0.5 * log(2 * math.pi * target)
        loss = loss + TENSORS.masked_fill(stirling, TENSORS.le(target, 1), 0)
    return reduce_loss(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The negative logarithm of normal densities with variances `var`, which count as at least `eps`."""
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * (TENSORS.zeros_like(input) + 1)
    elif any(var < 0):
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = unsqueeze(var, -1)
        elif input.ndim != var.ndim or math.fsum(n for m, n in zip(input.shape, var.shape, strict=True) if m != n) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    var = clone(var)
    with no_grad():  # where the bound is reached the gradient still passes, as in torch
        var.clamp_min_(eps)
    loss = 0.5 * (log(var) + TENSORS.pow(input - target, 2) / var)
    return reduce_loss(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of the cross entropies of yes and no, reduced."""
    reduction = reduction_named(reduction, size_average, reduce)
    loss = -(target * logsigmoid(input) + rsub(target, 1) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduce_loss(sum(loss, dim=input.ndim - 1) / input.shape[-1], reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`input` but where the target is -1, plus what it lacks of `margin` but where the target is 1."""
    reduction = reduction_named(reduction, size_average, reduce)
    lack = where(TENSORS.ne(target, 1), clamp_min(TENSORS.neg(input) + margin, 0), 0)
    return reduce_loss(lack + where(TENSORS.ne(target, -1), input, 0), reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """A parabola where the difference is at most `delta`, and a line beyond."""
    x, y = _pair(input, target)
    chosen = reduction_named(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is None:
        return _huber(x, y, reduction=chosen, constants=(float(delta),))
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    return reduce_loss(_huber(x, y, reduction="none", constants=(float(delta),)) * weight, chosen)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The `p`-norm of ``x1 - x2 + eps`` over the last dimension."""
    return norm(x1 - x2 + eps, p, -1, keepdim)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """What the negative lacks to be farther than the positive by `margin`, by any distance."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    far = minimum(far, distance(positive, negative)) if swap else far
    return reduce_loss(clamp_min(margin + near - far, 0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_with_distance_loss` with `pairwise_distance`."""
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction_named(reduction, size_average, reduce),
    )


FUNCTIONAL = (
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multilabel_soft_margin_loss,
    normalize,
    pairwise_distance,
    poisson_nll_loss,
    smooth_l1_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
METHODS: dict[str, Any] = {}
INPLACE: dict[str, Any] = {}
