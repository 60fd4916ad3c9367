"""Discrete Fourier transforms, for `refgrad.fft`.

There are three records, as in torch: complex to complex, real to complex (forward only), and complex to real (backward
only); all functions are made of them. A transform is linear, and the gradient of one is, up to the half that real
values leave out, the transform in the other direction with the same scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.dtypes import SCALAR_TYPE, dtype
from refgrad.ops.arguments import integer, integers, real, reject, tensor_argument
from refgrad.ops.conversion import cast, conj
from refgrad.ops.making import creates
from refgrad.ops.padding import constant_pad_nd
from refgrad.ops.rearranging import roll
from refgrad.ops.record import Op
from refgrad.ops.special import conj_physical
from refgrad.tensor import Tensor, check_dim

__all__: list[str] = []  # nothing of it is in the namespace `refgrad` itself

# `scale` is what a sum is divided by: "none", "root" of the number of points, or "all" of them.
_FORWARD = {"none": "backward", "root": "ortho", "all": "forward"}  # as the array packages name it
_BACKWARD = {"none": "forward", "root": "ortho", "all": "backward"}
_SCALES = {"backward": ("none", "all"), "ortho": ("root", "root"), "forward": ("all", "none")}


# Kernels. torch puts the transformed dimensions innermost in memory, after the others by their strides.


def _slow_first(x: Any, dims: tuple[int, ...]) -> list[int]:
    return sorted(dims, key=lambda k: -x.strides[k])


def _placed(xp: Any, made: Any, x: Any, dims: list[int]) -> Any:
    """The transform of `x` along `dims` in the memory order of torch."""
    order = _slow_first(x, tuple([k for k in range(x.ndim) if k not in dims])) + dims
    rows = xp.ascontiguousarray(xp.transpose(made, order))
    return xp.transpose(rows, [order.index(k) for k in range(x.ndim)])


def _c2c_kernel(xp: Any, x: Any, dims: tuple[int, ...], scale: str, forward: bool) -> Any:
    if not dims:
        return xp.array(x, order="K", copy=True)
    if forward:
        made = xp.fft.fftn(x, axes=dims, norm=_FORWARD[scale])
    else:
        made = xp.fft.ifftn(x, axes=dims, norm=_BACKWARD[scale])
    return _placed(xp, made, x, _slow_first(x, dims))


def _r2c_kernel(xp: Any, x: Any, dims: tuple[int, ...], scale: str, onesided: bool) -> Any:
    made = (xp.fft.rfftn if onesided else xp.fft.fftn)(x, axes=dims, norm=_FORWARD[scale])
    return _placed(xp, made, x, [*_slow_first(x, dims[:-1]), dims[-1]])


def _c2r_kernel(xp: Any, x: Any, dims: tuple[int, ...], scale: str, size: int) -> Any:
    half = _c2c_kernel(xp, x, dims[:-1], scale, False)
    made = xp.fft.irfft(half, size, axis=dims[-1], norm=_BACKWARD[scale])
    return _placed(xp, made, half, [dims[-1]])


# The records


def _r2c_self(F: Any, g: Any, self_shape: Any, dims: tuple[int, ...], scale: str, onesided: bool) -> Any:
    """Only the half that was given out has a gradient: the other one counts as zeros."""
    last, ndim = dims[-1], len(self_shape)
    missing = self_shape[last] - g.shape[last]
    if onesided and missing:
        g = F.constant_pad_nd(g, pad=(0, 0) * (ndim - 1 - last) + (0, missing), value=0)
    return F.real(F.fft_c2c(g, dims=dims, scale=scale, forward=False))


def _c2r_self(F: Any, g: Any, dims: tuple[int, ...], scale: str, size: int) -> Any:
    """What stands for its mirror image as well counts twice."""
    half = F.fft_r2c(g, dims=dims, scale=scale, onesided=True)
    return F.doubled_inside(half, dim=dims[-1], stop=(size + 1) // 2)


def _doubled(xp: Any, x: Any, dim: int, stop: int) -> Any:
    out = xp.array(x, order="K", copy=True)
    out[(slice(None),) * dim + (slice(1, stop),)] *= 2
    return out


_c2c = Op(
    "fft_c2c",
    _c2c_kernel,
    {
        "self": lambda F, g, dims, scale, forward: F.fft_c2c(g, dims=dims, scale=scale, forward=not forward),
    },
    node="FftC2CBackward0",
    jvp="linear",
)
_r2c = Op("fft_r2c", _r2c_kernel, {"self": _r2c_self}, node="FftR2CBackward0", jvp="linear")
_c2r = Op("fft_c2r", _c2r_kernel, {"self": _c2r_self}, node="FftC2RBackward0", jvp="linear")
Op(
    "doubled_inside",
    _doubled,
    {"self": lambda F, g, dim, stop: F.doubled_inside(g, dim=dim, stop=stop)},
    node="MulBackward0",
    jvp="linear",
)


def _transform(op: Op, x: Tensor, dims: tuple[int, ...], **params: Any) -> Tensor:
    if dims and not x.numel():
        raise RuntimeError(f"FFT error: expected a tensor with elements, got one of shape {tuple(x.shape)}")
    return op(x, dims=dims, **params)


# Arguments


def _named(function: str, norm: Any, forward: bool) -> str:
    """The scale that a mode names, in one direction."""
    if norm is not None and not isinstance(norm, str):
        reject(f"fft_{function}", "norm", "str", norm)
    if norm not in (None, *_SCALES):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return _SCALES[norm or "backward"][not forward]


def _promoted(x: Tensor, to_complex: bool) -> Tensor:
    """A tensor in a dtype that transforms take: integers become the default float; RuntimeError for half precision."""
    kind = x.dtype if x.dtype.category >= dtypes.FLOATING else dtypes.get_default_dtype()
    if kind is dtypes.float16:
        raise RuntimeError(f"Unsupported dtype {SCALAR_TYPE[kind.name]}")
    return cast(x, kind.to_complex() if to_complex and not kind.is_complex else kind)


def _refuse_complex(x: Tensor, text: str) -> None:
    if x.is_complex():
        raise RuntimeError(text.format(SCALAR_TYPE[x.dtype.name]))


def _own_dim(dim: int, ndim: int) -> int:
    if not ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return check_dim(dim, ndim)


def _points(n: int) -> int:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _resized(x: Tensor, dims: tuple[int, ...], sizes: tuple[int, ...]) -> Tensor:
    """`x` cropped, or with zeros behind, to the given sizes."""
    missing = [0] * x.ndim
    for dim, size in zip(dims, sizes, strict=True):
        found = x.shape[dim]
        if found > size:
            x = x[(slice(None),) * dim + (slice(0, size),)]
        missing[dim] = max(size - found, 0)
    if not any(missing):
        return x
    return constant_pad_nd(x, pad=[n for k in reversed(missing) for n in (0, k)], value=0)


def _along_one(function: str, input: Any, n: Any, dim: Any, norm: Any) -> tuple[Tensor, int | None, int]:
    """The tensor, the number of points, and the dimension counted from the front once the types are right."""
    name = f"fft_{function}"
    x = tensor_argument(name, input)
    points = None if n is None else integer(name, "n", n)
    along = integer(name, "dim", dim)
    if norm is not None and not isinstance(norm, str):
        reject(name, "norm", "str", norm)
    return x, points, along


def _along_several(function: str, x: Tensor, s: Any, dim: Any) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Dimensions, their sizes, and whether the last size was given."""
    sizes = None if s is None else integers(f"fft_{function}", "s", s)
    ndim = x.ndim
    if dim is not None:
        dims = tuple([_own_dim(d, ndim) for d in integers(f"fft_{function}", "dim", dim)])
        if len(set(dims)) < len(dims):
            raise RuntimeError("FFT dims must be unique")
        if sizes is not None and len(sizes) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif sizes is not None and len(sizes) > ndim:
        raise RuntimeError(f"Got shape with {len(sizes)} values but input tensor only has {ndim} dimensions.")
    else:
        dims = tuple(range(0 if sizes is None else ndim - len(sizes), ndim))
    wanted = (-1,) * len(dims) if sizes is None else sizes
    shape = tuple([_points(x.shape[d] if n == -1 else n) for d, n in zip(dims, wanted, strict=True)])
    return dims, shape, bool(dims) and wanted[-1] != -1


def _at_least_one(function: str, dims: tuple[int, ...]) -> None:
    if not dims:
        raise RuntimeError(f"{function} must transform at least one axis")


# Along one dimension


def _fft(function: str, input: Any, n: Any, dim: Any, norm: Any, forward: bool, onesided: bool = False) -> Tensor:
    x, points, along = _along_one(function, input, n, dim, norm)
    if onesided:
        _refuse_complex(x, f"{function} expects a real input tensor, but got {{}}")
    x = _promoted(x, to_complex=False)
    along = _own_dim(along, x.ndim)
    size = _points(x.shape[along] if points is None else points)
    x = _resized(x, (along,), (size,))
    scale = _named(function, norm, forward)
    if x.is_complex():
        return _transform(_c2c, x, (along,), scale=scale, forward=forward)
    made = _transform(_r2c, x, (along,), scale=scale, onesided=onesided)
    return made if forward else conj(made)


def _real_fft(function: str, input: Any, n: Any, dim: Any, norm: Any, forward: bool) -> Tensor:
    x, points, along = _along_one(function, input, n, dim, norm)
    x = _promoted(x, to_complex=True)
    along = _own_dim(along, x.ndim)
    size = _points(2 * (x.shape[along] - 1) if points is None else points)
    if points is not None:
        x = _resized(x, (along,), (size // 2 + 1,))
    scale = _named(function, norm, forward)
    return _transform(_c2r, conj(x) if forward else x, (along,), scale=scale, size=size)


def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The transform along one dimension, of `n` points: cropped, or with zeros behind.

    Integers become the default float; RuntimeError for half precision and where there are no points.
    """
    return _fft("fft", input, n, dim, norm, True)


def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `fft`."""
    return _fft("ifft", input, n, dim, norm, False)


def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The half of `fft` that tells all of a real tensor; RuntimeError for a complex one."""
    return _fft("rfft", input, n, dim, norm, True, onesided=True)


def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `rfft`, of `n` points: an even number unless told otherwise."""
    return _real_fft("irfft", input, n, dim, norm, False)


def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The real transform of a tensor of which half is given, the other one being its mirror image conjugated."""
    return _real_fft("hfft", input, n, dim, norm, True)


def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`, of a real tensor; RuntimeError for a complex one."""
    return _fft("ihfft", input, n, dim, norm, False, onesided=True)


# Along several dimensions


def _fftn(function: str, input: Any, s: Any, dim: Any, norm: Any, forward: bool) -> Tensor:
    x = tensor_argument(f"fft_{function}", input)
    dims, shape, _ = _along_several(function, x, s, dim)
    x = _resized(_promoted(x, to_complex=True), dims, shape)
    return _transform(_c2c, x, dims, scale=_named(function, norm, forward), forward=forward)


def _rfftn(function: str, input: Any, s: Any, dim: Any, norm: Any) -> Tensor:
    x = tensor_argument(f"fft_{function}", input)
    _refuse_complex(x, "rfftn expects a real-valued input tensor, but got {}")
    x = _promoted(x, to_complex=False)
    dims, shape, _ = _along_several(function, x, s, dim)
    _at_least_one("rfftn", dims)
    return _transform(_r2c, _resized(x, dims, shape), dims, scale=_named(function, norm, True), onesided=True)


def _ihfftn(function: str, input: Any, s: Any, dim: Any, norm: Any) -> Tensor:
    x = tensor_argument(f"fft_{function}", input)
    _refuse_complex(x, "Only supports floating-point dtypes, but found: {}")
    x = _promoted(x, to_complex=False)
    dims, shape, _ = _along_several(function, x, s, dim)
    _at_least_one("ihfftn", dims)
    x = _resized(x, dims, shape)
    scale = _named(function, norm, False)
    half = _transform(_r2c, x, dims[-1:], scale=scale, onesided=True)
    if len(dims) == 1:
        return conj(half)
    return _transform(_c2c, conj_physical(half), dims[:-1], scale=scale, forward=False)


def _real_fftn(function: str, input: Any, s: Any, dim: Any, norm: Any, forward: bool) -> Tensor:
    x = tensor_argument(f"fft_{function}", input)
    dims, shape, given = _along_several(function, x, s, dim)
    _at_least_one("hfftn" if forward else "irfftn", dims)
    size = _points(shape[-1] if given else 2 * (x.shape[dims[-1]] - 1))
    x = _resized(_promoted(x, to_complex=True), dims, (*shape[:-1], size // 2 + 1))
    scale = _named(function, norm, forward)
    if not forward:
        return _transform(_c2r, x, dims, scale=scale, size=size)
    if len(dims) > 1:
        x = _transform(_c2c, x, dims[:-1], scale=scale, forward=True)
    return _transform(_c2r, conj(x), dims[-1:], scale=scale, size=size)


def fftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The transform along several dimensions, all of them unless told otherwise, with `s` points along each."""
    return _fftn("fftn", input, s, dim, norm, True)


def ifftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `fftn`."""
    return _fftn("ifftn", input, s, dim, norm, False)


def rfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The half of `fftn`, in the last dimension, that tells all of a real tensor."""
    return _rfftn("rfftn", input, s, dim, norm)


def irfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `rfftn`."""
    return _real_fftn("irfftn", input, s, dim, norm, False)


def hfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """`hfft` along the last of several dimensions, and `fft` along the others."""
    return _real_fftn("hfftn", input, s, dim, norm, True)


def ihfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `hfftn`."""
    return _ihfftn("ihfftn", input, s, dim, norm)


def fft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """`fftn` along two dimensions."""
    return _fftn("fft2", input, s, dim, norm, True)


def ifft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """`ifftn` along two dimensions."""
    return _fftn("ifft2", input, s, dim, norm, False)


def rfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """`rfftn` along two dimensions."""
    return _rfftn("rfft2", input, s, dim, norm)


def irfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """`irfftn` along two dimensions."""
    return _real_fftn("irfft2", input, s, dim, norm, False)


def hfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """`hfftn` along two dimensions."""
    return _real_fftn("hfft2", input, s, dim, norm, True)


def ihfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """`ihfftn` along two dimensions."""
    return _ihfftn("ihfft2", input, s, dim, norm)


# The order of frequencies


def _shifted(function: str, input: Any, dim: Any, by: Callable[[int], int]) -> Tensor:
    x = tensor_argument(f"fft_{function}", input)
    dims = tuple(range(x.ndim)) if dim is None else integers(f"fft_{function}", "dim", dim, 2)
    if not dims:
        raise RuntimeError("`shifts` required")
    return roll(x, [by(x.shape[_own_dim(d, x.ndim)]) for d in dims], dims)


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """A copy with the frequency zero moved to the middle of each dimension."""
    return _shifted("fftshift", input, dim, lambda n: n // 2)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shifted("ifftshift", input, dim, lambda n: (n + 1) // 2)


def _frequencies(function: str, places: Any, n: int, d: Any, kind: dtype | None) -> Any:
    spacing = n * real(f"fft_{function}", "d", d, 2)
    kind = kind or dtypes.get_default_dtype()
    if kind.category < dtypes.FLOATING:
        raise RuntimeError(f"{function} requires a floating point or complex dtype")
    if kind.is_complex:
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{SCALAR_TYPE[kind.name]}'")
    single = np.float64 if kind is dtypes.float64 else np.float32  # half precision is computed in single
    with np.errstate(all="ignore"):
        step = 1 / spacing if spacing else math.copysign(math.inf, spacing)
        return (places.astype(single) * single(step)).astype(kind.numpy)


@creates
def fftfreq(n: int, d: float = 1.0, *, dtype: dtype | None) -> Any:
    """The frequencies that `fft` of `n` points at a distance `d` stands for, in its order."""
    size = integer("fft_fftfreq", "n", n, 1)
    if size < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {size}: [{size}]")
    half = (size + 1) // 2
    return _frequencies("fftfreq", np.concatenate([np.arange(half), np.arange(half - size, 0)]), size, d, dtype)


@creates
def rfftfreq(n: int, d: float = 1.0, *, dtype: dtype | None) -> Any:
    """The frequencies that `rfft` of `n` points at a distance `d` stands for."""
    size = integer("fft_rfftfreq", "n", n, 1)
    return _frequencies("rfftfreq", np.arange(int(size / 2) + 1), size, d, dtype)


FOURIER: tuple[Callable[..., Tensor], ...] = (
    fft, ifft, rfft, irfft, hfft, ihfft, fft2, ifft2, rfft2, irfft2, hfft2, ihfft2,
    fftn, ifftn, rfftn, irfftn, hfftn, ihfftn, fftshift, ifftshift,
    fftfreq, rfftfreq,
)  # fmt: skip
