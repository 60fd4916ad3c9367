"""Dropout: elements or whole channels are dropped at random, with torch's random stream.

All are composed, as torch's are on the CPU: a mask of Bernoulli samples multiplies the input. Alpha dropout keeps the
mean and variance of what went through `selu`: Klambauer et al. 2017, arXiv:1706.02515, section 3.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from refgrad.ops.arguments import flag, real, tensor_argument
from refgrad.ops.constants import empty_like, zeros
from refgrad.tensor import Tensor

__all__ = [
    "alpha_dropout",
    "alpha_dropout_",
    "dropout",
    "dropout_",
    "feature_alpha_dropout",
    "feature_alpha_dropout_",
    "feature_dropout",
    "feature_dropout_",
]

_DROPPED = 1.7580993408473766  # scale times alpha of selu: minus what a dropped element becomes


def _dropping(name: str, channels: bool, alpha: bool, inplace: bool) -> Callable[..., Tensor]:
    """One of torch's eight functions."""

    def drop(input: Tensor, p: float, train: bool) -> Tensor:
        tensor_argument(name, input)
        chance = real(name, "p", p, 2)
        if not 0 <= chance <= 1:
            raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {chance:g}")
        if not flag(name, "train", train, 3) or not chance or not input.numel():
            return input
        multiply = input.mul_ if inplace else input.mul
        if chance == 1:
            return multiply(zeros((), dtype=input.dtype, device=input.device))
        if channels:
            if input.ndim < 2:
                raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
            mask = input.new_empty((*input.shape[:2], *[1] * (input.ndim - 2)))
        else:
            mask = empty_like(input)
        mask.bernoulli_(1 - chance)
        if not alpha:
            return multiply(mask.div_(1 - chance))
        a = 1 / math.sqrt((_DROPPED * _DROPPED * chance + 1) * (1 - chance))
        shift = mask.add(-1).mul_(_DROPPED * a).add_(_DROPPED * a * chance)
        return multiply(mask.mul_(a)).add_(shift)

    drop.__name__ = drop.__qualname__ = name
    what = "Channels" if channels else "Elements"
    how = "with mean and variance kept" if alpha else "the others scaled by 1 / (1 - p)"
    drop.__doc__ = f"{what} of `input` dropped with probability `p`, {how}; RuntimeError for a `p` outside of 0 to 1."
    return drop


dropout = _dropping("dropout", False, False, False)
dropout_ = _dropping("dropout_", False, False, True)
alpha_dropout = _dropping("alpha_dropout", False, True, False)
alpha_dropout_ = _dropping("alpha_dropout_", False, True, True)
feature_dropout = _dropping("feature_dropout", True, False, False)
feature_dropout_ = _dropping("feature_dropout_", True, False, True)
feature_alpha_dropout = _dropping("feature_alpha_dropout", True, True, False)
feature_alpha_dropout_ = _dropping("feature_alpha_dropout_", True, True, True)


# nn.functional


def _functional(name: str, plain: Callable[..., Tensor], writing: Callable[..., Tensor], default: bool) -> Any:
    """The function of nn.functional: `training` is off by default where torch has it so."""

    def drop(input: Tensor, p: float = 0.5, training: bool = default, inplace: bool = False) -> Tensor:
        _check_chance(p)
        return (writing if inplace else plain)(input, p, training)

    drop.__name__ = drop.__qualname__ = name
    drop.__doc__ = f"{plain.__name__} by torch's other signature; ValueError for a `p` outside of 0 to 1."
    return drop


def _check_chance(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _of_channels(input: Tensor, p: float, training: bool, inplace: bool, batched: bool) -> Tensor:
    if not batched:
        input = input.unsqueeze_(0) if inplace else input.unsqueeze(0)
    result = (feature_dropout_ if inplace else feature_dropout)(input, p, training)
    if not batched:
        result = result.squeeze_(0) if inplace else result.squeeze(0)
    return result


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Channels of (N, C, L) or (C, L) dropped; RuntimeError for another number of dimensions."""
    _check_chance(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that dropout1d exists to "
            "provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional "
            "batch dimension (i.e. 2D or 3D inputs)."
        )
    return _of_channels(input, p, training, inplace, input.dim() == 3)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Channels of (N, C, H, W) dropped; three dimensions are (N, C, L), with a UserWarning."""
    _check_chance(p)
    _warn_of_dims("dropout2d", input.dim(), (3, 4), 2)
    if input.dim() == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired "
            "- input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a "
            "future release to interpret the input as one without a batch dimension, i.e. shape (C, H, W). To maintain "
            "the 1D channel-wise dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _of_channels(input, p, training, inplace, True)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Channels of (N, C, D, H, W) or (C, D, H, W) dropped; a UserWarning for another number of dimensions."""
    _check_chance(p)
    _warn_of_dims("dropout3d", input.dim(), (4, 5), 3)
    return _of_channels(input, p, training, inplace, input.dim() == 5)


def _warn_of_dims(name: str, found: int, fitting: tuple[int, int], spatial: int) -> None:
    if found not in fitting:
        warnings.warn(
            f"{name}: Received a {found}-D input to {name}, which is deprecated and will result in an error in a "
            "future release. To retain the behavior and silence this warning, please use dropout instead. Note that "
            f"{name} exists to provide channel-wise dropout on inputs with {spatial} spatial dimensions, a channel "
            f"dimension, and an optional batch dimension (i.e. {fitting[0]}D or {fitting[1]}D inputs).",
            stacklevel=3,
        )


FUNCTIONAL = (
    _functional("dropout", dropout, dropout_, True),
    _functional("alpha_dropout", alpha_dropout, alpha_dropout_, False),
    _functional("feature_alpha_dropout", feature_alpha_dropout, feature_alpha_dropout_, False),
    dropout1d,
    dropout2d,
    dropout3d,
)
