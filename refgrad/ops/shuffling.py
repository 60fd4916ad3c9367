"""Channels to pixels and back, and channels dealt out anew: each is the inverse, and so the adjoint, of another."""

from __future__ import annotations

from typing import Any

from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = ["channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _rows(xp: Any, x: Any) -> Any:
    return xp.array(x, order="C", copy=True)


def _to_pixels(xp: Any, x: Any, upscale_factor: int) -> Any:
    *lead, c, h, w = x.shape
    n = upscale_factor
    k = len(lead)
    apart = xp.reshape(x, (*lead, c // (n * n), n, n, h, w))
    turned = xp.transpose(apart, (*range(k), k, k + 3, k + 1, k + 4, k + 2))
    return xp.reshape(_rows(xp, turned), (*lead, c // (n * n), h * n, w * n))


def _to_channels(xp: Any, x: Any, downscale_factor: int) -> Any:
    *lead, c, h, w = x.shape
    n = downscale_factor
    k = len(lead)
    apart = xp.reshape(x, (*lead, c, h // n, n, w // n, n))
    turned = xp.transpose(apart, (*range(k), k, k + 2, k + 4, k + 1, k + 3))
    return xp.reshape(_rows(xp, turned), (*lead, c * n * n, h // n, w // n))


def _dealt(xp: Any, x: Any, groups: int) -> Any:
    b, c, *rest = x.shape
    apart = xp.reshape(x, (b, groups, c // groups, *rest))
    return xp.reshape(_rows(xp, xp.swapaxes(apart, 1, 2)), x.shape)


_pixel_shuffle = Op(
    "pixel_shuffle",
    _to_pixels,
    {"self": lambda F, g, upscale_factor: F.pixel_unshuffle(g, downscale_factor=upscale_factor)},
    jvp="linear",
)
_pixel_unshuffle = Op(
    "pixel_unshuffle",
    _to_channels,
    {"self": lambda F, g, downscale_factor: F.pixel_shuffle(g, upscale_factor=downscale_factor)},
    jvp="linear",
)
_channel_shuffle = Op(
    "channel_shuffle",
    _dealt,
    {"self": lambda F, g, self_shape, groups: F.channel_shuffle(g, groups=self_shape[1] // groups)},
    jvp="linear",
)


def _factor(name: str, which: str, input: Tensor, given: Any) -> int:
    shape = tensor_argument(name, input).shape
    factor = integer(name, which, given, 2)
    if len(shape) < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {len(shape)} dimension(s)"
        )
    if factor < 1:
        raise RuntimeError(f"{name} expects a positive {which}, but got {factor}")
    return factor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r r, H, W) as (..., C, H r, W r). RuntimeError unless r is positive and r r divides the channels."""
    factor = _factor("pixel_shuffle", "upscale_factor", input, upscale_factor)
    if input.shape[-3] % (factor * factor):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={input.shape[-3]} is not divisible by {factor * factor}"
        )
    return _pixel_shuffle(input, upscale_factor=factor)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) as (..., C r r, H, W). RuntimeError unless r is positive and divides height and width."""
    factor = _factor("pixel_unshuffle", "downscale_factor", input, downscale_factor)
    for dim, what in ((-2, "height"), (-1, "width")):
        if input.shape[dim] % factor:
            raise RuntimeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but input.size({dim})="
                f"{input.shape[dim]} is not divisible by {factor}"
            )
    return _pixel_unshuffle(input, downscale_factor=factor)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(N, groups x C, ...) with channel by channel from each group in turn. RuntimeError unless groups divide them."""
    shape = tensor_argument("channel_shuffle", input).shape
    groups = integer("channel_shuffle", "groups", groups, 2)
    if len(shape) < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}")
    if groups < 1:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if shape[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {shape[1]} channels and {groups} groups."
        )
    return _channel_shuffle(input, groups=groups)


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """`channel_shuffle`."""
    return channel_shuffle(input, groups)


FUNCTIONAL = (pixel_shuffle, pixel_unshuffle, channel_shuffle)
