"""Padding: with a constant, by reflection, by the last element, around."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import BOOL
from refgrad.layout import laid_out_as, row_major
from refgrad.ops.arguments import integers, tensor_argument
from refgrad.ops.limits import without
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = ["constant_pad_nd"]

# With a constant


def _pad_kernel(xp: Any, x: Any, pad: tuple[int, ...], value: float) -> Any:
    """`pad` holds what to add before and after each dimension, the last one first; negative crops."""
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    kept = tuple([slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, x.shape, strict=True)])
    grown = [(max(a, 0), max(b, 0)) for a, b in widths]
    if not any(a or b for a, b in grown):
        return laid_out_as(xp, x[kept], x[kept])
    return _grown(xp, x[kept], grown, xp.asarray(value).astype(x.dtype).item())


@row_major
def _grown(xp: Any, x: Any, widths: list[tuple[int, int]], value: Any) -> Any:
    return xp.pad(x, widths, mode="constant", constant_values=value)


_constant_pad = Op(
    "constant_pad_nd",
    _pad_kernel,
    {"self": lambda F, g, pad: F.constant_pad_nd(g, pad=tuple([-n for n in pad]), value=0.0)},
)


def constant_pad_nd(input: Tensor, pad: Any, value: Any = 0) -> Tensor:
    """`input` with `value` around it: `pad` says how much before and after, the last dimension first.

    Negative numbers crop.
    """
    shape = tensor_argument("constant_pad_nd", input)._data.shape
    widths = integers("constant_pad_nd", "pad", pad)
    if len(widths) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(widths)}")
    if len(widths) > 2 * len(shape):
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
            f"{len(widths)} while the input has {len(shape)} dimensions."
        )
    for k, n in enumerate(reversed(shape[len(shape) - len(widths) // 2 :])):
        a, b = widths[2 * k : 2 * k + 2]
        if n + min(a, 0) + min(b, 0) < 0 or n + a + b < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
    if input.dtype.category < dtypes.FLOATING and value != value:
        raise RuntimeError("value cannot be converted to type int64_t without overflow")
    return _constant_pad(input, pad=widths, value=value)


_constant_pad.public = constant_pad_nd


# By elements of the tensor itself


def _mirrored(places: Any, size: int) -> Any:
    """Beyond an end, the elements before it: the end is not repeated."""
    places = abs(places)
    return (size - 1) - abs((size - 1) - places)


def _held(places: Any, size: int) -> Any:
    """Beyond an end, the end."""
    return places.clip(0, size - 1)


def _sources(xp: Any, shape: Sequence[int], pad: Sequence[int], inner: Callable[[Any, int], Any]) -> list[Any]:
    """For each padded dimension, the last one first, which element each place takes."""
    pairs = zip(pad[::2], pad[1::2], strict=True)
    return [inner(xp.arange(-before, n + after), n) for n, (before, after) in zip(reversed(shape), pairs, strict=False)]


def _taking(inner: Callable[[Any, int], Any]) -> Callable[..., Any]:
    def kernel(xp: Any, x: Any, pad: tuple[int, ...]) -> Any:
        for axis, places in enumerate(_sources(xp, x.shape, pad, inner), 1):
            x = xp.take(x, places, axis=x.ndim - axis)
        return xp.array(x, order="C", copy=True)

    return kernel


def _giving_back(inner: Callable[[Any, int], Any]) -> Callable[..., Any]:
    """The adjoint: each place adds what it has to the element that it took."""

    def kernel(xp: Any, g: Any, x: Any, pad: tuple[int, ...]) -> Any:
        for axis, places in enumerate(_sources(xp, x.shape, pad, inner), 1):
            dim = g.ndim - axis
            out = xp.zeros((*g.shape[:dim], x.shape[dim], *g.shape[dim + 1 :]), g.dtype)
            xp.scatter_add(out, (slice(None),) * dim + (places,), g)
            g = out
        return g

    return kernel


def _given_back(name: str) -> Callable[..., Any]:
    return lambda F, g, self, pad: getattr(F, name)(g, self, pad=pad)


def _padded_again(name: str) -> Callable[..., Any]:
    return lambda F, g, pad: getattr(F, name)(g, pad=pad)


def _by_itself(name: str, inner: Callable[[Any, int], Any]) -> tuple[Op, ...]:
    """The records of a mode, for one, two and three dimensions: torch has an op of its own for each."""
    found = []
    for n in (1, 2, 3):
        pad, back = f"{name}_pad{n}d", f"{name}_pad{n}d_backward"
        node = f"{name.capitalize()}Pad{n}DBackward"
        found.append(
            Op(
                pad,
                _taking(inner),
                {"self": _given_back(back)},
                node=f"{node}0",
                check=without(BOOL, kernel=pad),
                jvp="linear",
            )
        )
        Op(
            back,
            _giving_back(inner),
            {
                "grad_output": _padded_again(pad),
                "self": lambda F, g, self_shape: F.new_zeros(g, shape=self_shape),  # torch's depends on it, too
            },
            inputs=("grad_output", "self"),
            node=f"{node}Backward0",
            jvp="linear",
        )
    return tuple(found)


_MODES = {"reflect": _by_itself("reflection", _mirrored), "replicate": _by_itself("replication", _held)}


def _check_by_itself(input: Tensor, mode: str, widths: Sequence[int]) -> None:
    shape = list(input.shape)
    count = len(widths) // 2
    if 0 in shape[1 if len(shape) == count + 2 else 0 :]:
        raise RuntimeError(
            f"Expected {count + 1}D or {count + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {shape}"
        )
    for k in range(count):
        before, after = widths[2 * k : 2 * k + 2]
        size = shape[-1 - k]
        if mode == "reflect" and (before >= size or after >= size):
            raise RuntimeError(
                f"Argument #{4 + 2 * k}: Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({before}, {after}) at dimension {len(shape) - 1 - k} of input {shape}"
            )
        if size + before + after < 1:
            name = "WHD"[k]
            raise RuntimeError(
                f"input ({name}: {size}) is too small. Calculated output {name}: {size + before + after}"
            )


def _around(input: Tensor, widths: Sequence[int]) -> Tensor:
    """Circular padding, as torch composes it: the tensor, then its ends, copied into an empty one."""
    ndim = input.ndim
    shape = list(input.shape)
    middle: list[slice] = [slice(None)] * ndim
    inner: list[slice] = [slice(None)] * ndim
    for k in range(len(widths) // 2):
        before, after = widths[2 * k : 2 * k + 2]
        dim = ndim - 1 - k
        size = shape[dim]
        if before > size or after > size:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        shape[dim] = size + before + after
        if shape[dim] < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")
        middle[dim] = slice(max(before, 0), shape[dim] - max(after, 0))
        inner[dim] = slice(max(-before, 0), size - max(-after, 0))
    out = input.new_empty(shape)
    out[tuple(middle)].copy_(input[tuple(inner)])
    for k in range(len(widths) // 2):
        before, after = widths[2 * k : 2 * k + 2]
        lead = (slice(None),) * (ndim - 1 - k)
        size = shape[ndim - 1 - k]
        if before > 0:
            end = size - max(after, 0)
            out[(*lead, slice(0, before))].copy_(out[(*lead, slice(end - before, end))])
        if after > 0:
            start = max(before, 0)
            out[(*lead, slice(size - after, size))].copy_(out[(*lead, slice(start, start + after))])
    return out


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """`input` with more around it: `pad` says how much before and after, the last dimension first.

    mode: "constant" (`value`), "reflect", "replicate" or "circular"; all but the first take one to three dimensions
    behind one or two others. Negative numbers crop. Raises NotImplementedError for other combinations, RuntimeError
    for widths that do not fit.
    """
    ndim = tensor_argument("pad", input).ndim
    widths = integers("pad", "pad", pad)
    if len(widths) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(widths) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding "
            f"length {len(widths)} and input of dimension {ndim}"
        )
    if mode == "constant":
        return constant_pad_nd(input, widths, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    count = len(widths) // 2
    if not 1 <= count <= 3 or ndim - count not in (1, 2):
        raise NotImplementedError(
            f"Padding size {len(widths)} is not supported for {ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    if mode == "circular":
        return _around(input, widths)
    _check_by_itself(input, mode, widths)
    return _MODES[mode][count - 1](input, pad=widths)


FUNCTIONAL = (pad,)
