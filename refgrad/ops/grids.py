"""Views of several tensors that fit together: broadcast_tensors, meshgrid, at least so many dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from refgrad.ops.arguments import tensor_argument
from refgrad.ops.record import broadcast_error
from refgrad.ops.shape import broadcast_to, reshape, unsqueeze, view
from refgrad.tensor import Tensor

__all__ = ["atleast_1d", "atleast_2d", "atleast_3d", "broadcast_tensors", "meshgrid"]


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors as views of their common shape; those that have it as they are."""
    shapes = [tensor_argument("broadcast_tensors", t)._data.shape for t in tensors]
    common: list[int] = []
    for shape in shapes:
        for k in range(1, len(shape) + 1):
            if k > len(common):
                common.insert(0, shape[-k])
            elif common[-k] == 1:
                common[-k] = shape[-k]
            elif shape[-k] not in (1, common[-k]):
                raise broadcast_error(*[t._data for t in tensors])
    return tuple(
        [t if s == tuple(common) else broadcast_to(t, tuple(common)) for t, s in zip(tensors, shapes, strict=True)]
    )


def _each(function: Any, tensors: tuple[Any, ...]) -> Any:
    """A function of one tensor, applied to each of several."""
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    return tuple([function(t) for t in (tensors[0] if len(tensors) == 1 else tensors)])


def _at_least(ndim: int, x: Tensor) -> Tensor:
    if not x.ndim and ndim:
        return reshape(x, (1,) * ndim)
    for place in ((0, -1) if x.ndim == 1 else (-1,))[: ndim - x.ndim] if ndim > x.ndim else ():
        x = unsqueeze(x, place)
    return x


def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with at least one dimension; one tensor, or a tuple of several."""
    return _each(lambda x: _at_least(1, x), tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with at least two dimensions, new ones first; one tensor, or a tuple of several."""
    return _each(lambda x: _at_least(2, x), tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with at least three dimensions, a vector in the middle one; one tensor, or a tuple."""
    return _each(lambda x: _at_least(3, x), tensors)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Vectors as coordinate grids; with indexing "xy" the first two dimensions are swapped."""
    axes: Sequence[Tensor] = tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    if not axes:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
            UserWarning,
            stacklevel=2,
        )
    elif indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for x in axes:
        if x.dtype is not axes[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
        if x.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x}")
    places = list(range(len(axes)))
    if indexing == "xy" and len(axes) > 1:
        places[:2] = 1, 0
    sizes = [1] * len(axes)
    for place, x in zip(places, axes, strict=True):
        sizes[place] = x.numel()
    grids = []
    for place, x in zip(places, axes, strict=True):
        along = [1] * len(axes)
        along[place] = -1
        grids.append(broadcast_to(view(x, along), tuple(sizes)))
    return tuple(grids)
