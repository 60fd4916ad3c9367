"""Ops that read or write at places given by integers, slices, int64 tensors or masks."""

from __future__ import annotations

from typing import Any

from oracle.catalogue.params import index, integer
from oracle.catalogue.scene import Drawn, Live, Scene
from oracle.catalogue.spec import OpSpec

_DIM = integer(-64, 63)


def _slice(scene: Scene, size: int) -> tuple[list[int | None], int]:
    """A slice's start, stop and step, and how many of `size` elements it takes."""
    how = scene.take(8)
    start = scene.take(size) if size and how > 2 else None
    stop = (start or 0) + 1 + scene.take(max(size - (start or 0), 1)) if how & 1 else None
    if stop is not None and stop >= size and size and how == 5:
        stop = -1
    if start and how == 6:
        start -= size
    step = 2 if how > 5 else None
    return [start, stop, step], len(range(size)[slice(start, stop, step)])


def _basic(scene: Scene) -> Drawn:
    """Integers, slices, an ellipsis and new axes."""
    x = scene.tensor(low=1, some=True)
    items: list[Any] = []
    shape: list[int] = []
    sizes = x.shape
    at, end = 0, 1 + scene.take(len(sizes))
    skipping = False
    while at < end:
        how = scene.take(16)
        size = sizes[at]
        if how < 6:
            items.append(scene.dim(size))
        elif how < 13:
            item, length = _slice(scene, size)
            items.append({"slice": item})
            shape.append(length)
        elif how < 15 or skipping:
            items.append({"newaxis": True})
            shape.append(1)
            continue
        else:
            items.append({"ellipsis": True})
            skipping = True
            skip = len(sizes) - end
            shape.extend(sizes[at : at + skip])
            at, end = at + skip, len(sizes)
            continue
        at += 1
    shape.extend(sizes[at:])
    return (x,), {"index": items}, (Live(tuple(shape), x.dtype, x.low, x.high, False, x),)


def _advanced(scene: Scene) -> Drawn | None:
    """One or two int64 tensors at neighbouring dims, after slices or not."""
    x = scene.tensor(low=1, some=True)
    n = len(x.shape)
    at = scene.take(n)
    items: list[Any] = []
    shape: list[int] = []
    for size in x.shape[:at]:
        item, length = _slice(scene, size)
        items.append({"slice": item})
        shape.append(length)
    form = scene.shape(high=2)
    tensors = [scene.indices(form, x.shape[at], negative=True)]
    at += 1
    if at < n and scene.take(3) == 2:
        tensors.append(scene.indices(form[1:], x.shape[at], negative=True))
        at += 1
    items += [{"tensor": k + 1} for k in range(len(tensors))]
    out = (*shape, *form, *x.shape[at:])
    view = not any(t.shape for t in tensors)  # a tensor without dims counts as an integer
    return (x, *tensors), {"index": items}, (Live(out, x.dtype, x.low, x.high, False, x if view else None),)


def _masked(scene: Scene) -> Drawn:
    """A mask over the first dims; how many elements it lets through is known, as the mask is new."""
    x = scene.tensor(low=1)
    upto = 1 + scene.take(len(x.shape))
    mask = scene.mask(x.shape[:upto])
    count = sum(scene.leaves[-1].data)
    return (x, mask), {"index": [{"tensor": 1}]}, (Live((count, *x.shape[upto:]), x.dtype, x.low, x.high),)


def _places(scene: Scene, x: Live, at: int, within: bool = True) -> Live | None:
    """int64 positions along a dim of x, no longer than x along the others."""
    n, size = len(x.shape), x.shape[at] if x.shape else 1
    if scene.take(2):
        for t in reversed(scene.others):
            if (
                t.dtype == "int64"
                and len(t.shape) == n
                and t.low >= 0
                and t.high < size
                and all(i == at or a <= b for i, (a, b) in enumerate(zip(t.shape, x.shape, strict=True)))
            ):
                return t
    if not size:
        return None
    shape = list(x.shape)
    if n:
        shape[at] = scene.size()
        if scene.take(3) == 2:
            other = scene.take(n)
            if other != at and shape[other] > 1:
                shape[other] -= 1
    return scene.indices(tuple(shape), size)


def _gather(scene: Scene) -> Drawn | None:
    x = scene.tensor()
    d = scene.dim(len(x.shape))
    at = d % len(x.shape) if x.shape else 0
    where = _places(scene, x, at)
    if where is None:
        return None
    return (x, where), {"dim": d}, (Live(where.shape, x.dtype, x.low, x.high),)


def _take_along_dim(scene: Scene) -> Drawn | None:
    """The indices broadcast with x along the other dims."""
    x = scene.tensor(low=1)
    d = scene.dim(len(x.shape))
    at = d % len(x.shape)
    if not x.shape[at]:
        return None
    shape = list(x.shape)
    shape[at] = scene.size()
    out = tuple(shape)
    if scene.take(2):
        other = scene.take(len(shape))
        if other != at:
            shape[other] = 1
    where = scene.indices(tuple(shape), x.shape[at])
    return (x, where), {"dim": d}, (Live(out, x.dtype, x.low, x.high),)


def _scatter_add(scene: Scene) -> Drawn | None:
    x = scene.tensor()
    d = scene.dim(len(x.shape))
    where = _places(scene, x, d % len(x.shape) if x.shape else 0)
    if where is None:
        return None
    source = scene.like(where.shape, x.dtype)
    most = max(-x.low, x.high) + 9 * max(-source.low, source.high)
    return (x, where, source), {"dim": d}, (Live(x.shape, x.dtype, -most, most, x.dense),)


def _line(scene: Scene, size: int) -> Live:
    """int64 positions in one dim."""
    return scene.indices((scene.size(),), size)


def _index_select(scene: Scene) -> Drawn | None:
    x = scene.tensor(low=1, some=True)
    d = scene.dim(len(x.shape))
    at = d % len(x.shape)
    where = _line(scene, x.shape[at])
    shape = (*x.shape[:at], *where.shape, *x.shape[at + 1 :])
    return (x, where), {"dim": d}, (Live(shape, x.dtype, x.low, x.high),)


def _index_add(scene: Scene) -> Drawn | None:
    x = scene.tensor(low=1, some=True)
    d = scene.dim(len(x.shape))
    at = d % len(x.shape)
    where = _line(scene, x.shape[at])
    source = scene.like((*x.shape[:at], *where.shape, *x.shape[at + 1 :]), x.dtype)
    most = max(-x.low, x.high) + 9 * max(-source.low, source.high)
    return (x, where, source), {"dim": d}, (Live(x.shape, x.dtype, -most, most, x.dense),)


def _subscript(name: str, draw: Any, inputs: tuple[int, int]) -> OpSpec:
    return OpSpec(
        name, "indexing", "index", "getitem", draw, inputs, params={"index": index()}, gradient="none", aliases=True
    )


def _placed(name: str, draw: Any, *names: str) -> OpSpec:
    count = (1 + len(names),) * 2
    return OpSpec(
        name, "indexing", "function", name, draw, count, params={"dim": _DIM}, names=names, gradient="none"
    )


SPECS = [
    _subscript("index_basic", _basic, (1, 1)),
    _subscript("index_tensor", _advanced, (2, 3)),
    _subscript("index_mask", _masked, (2, 2)),
    _placed("gather", _gather, "index"),
    _placed("take_along_dim", _take_along_dim, "indices"),
    _placed("scatter_add", _scatter_add, "index", "src"),
    _placed("index_select", _index_select, "index"),
    _placed("index_add", _index_add, "index", "source"),
]
