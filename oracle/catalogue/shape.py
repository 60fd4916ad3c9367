"""Ops that move, view, join or split tensors without changing a number."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from oracle.catalogue.params import dims, either, integer, integers, optional, sizes
from oracle.catalogue.scene import MAX_NUMEL, Drawn, Live, Scene, promote
from oracle.catalogue.spec import OpSpec

MOST_OUTPUTS = 8
_DIM = integer(-64, 63)


def _out(x: Live, shape: tuple[int, ...], dense: bool = False, view: bool = True) -> Live:
    return Live(shape, x.dtype, x.low, x.high, dense, x if view else None)


def _one(
    x: Live, params: dict[str, Any], shape: tuple[int, ...], dense: bool = False, view: bool = True
) -> Drawn:
    return (x,), params, (_out(x, shape, dense, view),)


def _factored(scene: Scene, numel: int) -> list[int]:
    """A shape with this many elements; sometimes with a dim of 1."""
    if not numel:
        return [0, scene.size()] if scene.take(2) else [0]
    shape = []
    rest = numel
    for divisor in (2, 3, 5):
        if rest > divisor and rest % divisor == 0 and scene.take(2) == 0:
            shape.append(divisor)
            rest //= divisor
    shape.insert(scene.take(len(shape) + 1), rest)
    if rest == 1 and len(shape) == 1:
        return ([1], [], [1, 1])[scene.take(3)]
    if scene.take(8) == 7:
        shape.append(1)
    return shape


def _reshape_params(scene: Scene, x: Live, key: str) -> tuple[dict[str, Any], tuple[int, ...]]:
    shape = _factored(scene, prod(x.shape))
    given = list(shape)
    if shape and 0 not in shape and scene.take(4) == 3:
        given[scene.take(len(shape))] = -1
    return {key: given}, tuple(shape)


def _reshape(scene: Scene) -> Drawn:
    x = scene.tensor()
    params, shape = _reshape_params(scene, x, "shape")
    return _one(x, params, shape, x.dense)


def _dense(scene: Scene, fewest: int = 0) -> Live:
    """A live tensor known to be contiguous, or a new leaf that may be made so by `contiguous`."""
    for _ in range(3):
        x = scene.tensor(low=fewest)
        if x.dense:
            return x
    for x in reversed(scene.floats):
        if x.dense and len(x.shape) >= fewest:
            return x
    return scene.leaf(scene.shape(fewest))


def _view(scene: Scene) -> Drawn | None:
    x = _dense(scene)
    if not x.dense:
        return None
    params, shape = _reshape_params(scene, x, "size")
    return _one(x, params, shape, True)


def _flatten(scene: Scene) -> Drawn:
    x = scene.tensor()
    n = len(x.shape)
    if not n or scene.take(2) == 0:
        return _one(x, {}, (prod(x.shape),), x.dense)
    start = scene.take(n)
    end = start + scene.take(n - start)
    params = {"start_dim": start, "end_dim": end if scene.take(2) else end - n}
    return _one(x, params, (*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]), x.dense)


def _shuffled(scene: Scene, n: int) -> list[int]:
    """A permutation of range(n)."""
    order = list(range(n))
    for i in range(n - 1):
        j = i + scene.take(n - i)
        order[i], order[j] = order[j], order[i]
    return order


def _permute(scene: Scene) -> Drawn:
    x = scene.tensor(low=1)
    n = len(x.shape)
    order = _shuffled(scene, n)
    shape = tuple([x.shape[d] for d in order])
    given = [d - n if scene.take(4) == 3 else d for d in order]
    return _one(x, {"dims": given}, shape, x.dense and order == list(range(n)))


def _transpose(scene: Scene) -> Drawn:
    x = scene.tensor(low=1)
    a, b = scene.dim(len(x.shape)), scene.dim(len(x.shape))
    shape = list(x.shape)
    shape[a], shape[b] = shape[b], shape[a]
    return _one(x, {"dim0": a, "dim1": b}, tuple(shape), x.dense and x.shape[a:] == x.shape[b:])


def _t(scene: Scene) -> Drawn:
    x = scene.tensor(high=2)
    return _one(x, {}, x.shape[::-1], x.dense and len(x.shape) < 2)


def _movedim(scene: Scene) -> Drawn:
    x = scene.tensor(low=1)
    n = len(x.shape)
    source, destination = scene.dim(n), scene.dim(n)
    shape = list(x.shape)
    shape.insert(destination % n, shape.pop(source % n))
    return _one(
        x, {"source": source, "destination": destination}, tuple(shape), x.dense and source == destination
    )


def _expand(scene: Scene) -> Drawn | None:
    """Broadcasts dims of 1 and adds dims in front; -1 keeps a size."""
    x = scene.tensor()
    for _ in range(2):
        if 1 in x.shape or not x.shape:
            break
        x = scene.tensor()
    if 1 not in x.shape and x.shape and scene.take(4) == 3:
        at = scene.take(len(x.shape))
        x = scene.leaf((*x.shape[:at], 1, *x.shape[at + 1 :]))
    shape, given = [], []
    for size in x.shape:
        new = scene.size() if size == 1 else size
        shape.append(new)
        given.append(-1 if new == size and scene.take(2) else new)
    if scene.take(2) or not shape:
        shape.insert(0, scene.size())
        given.insert(0, shape[0])
    if prod(shape) > MAX_NUMEL:
        return None
    return _one(x, {"size": given}, tuple(shape), x.dense and tuple(shape) == x.shape)


def _squeeze(scene: Scene) -> Drawn:
    x = scene.tensor()
    if scene.take(2) == 0:
        return _one(x, {}, tuple([size for size in x.shape if size != 1]), x.dense)
    n = len(x.shape)
    d = scene.dim(n)
    for i, size in enumerate(x.shape):
        if size == 1:
            d = i
    gone = n and x.shape[d] == 1
    return _one(
        x, {"dim": d}, tuple([s for i, s in enumerate(x.shape) if not (gone and i == d % n)]), x.dense
    )


def _unsqueeze(scene: Scene) -> Drawn:
    x = scene.tensor(high=4)
    n = len(x.shape) + 1
    d = scene.dim(n)
    at = d % n
    return _one(x, {"dim": d}, (*x.shape[:at], 1, *x.shape[at:]), x.dense)


def _cat(scene: Scene) -> Drawn | None:
    a = scene.tensor(low=1)
    d = scene.dim(len(a.shape))
    at = d % len(a.shape)
    parts = [a]
    for _ in range(1 + (scene.take(4) == 3)):
        how = scene.take(4)
        if how == 1:
            parts.append(a)
            continue
        size = scene.size() if how == 3 else a.shape[at]
        dtype = a.dtype if scene.take(8) < 7 else "float32"
        parts.append(scene.like((*a.shape[:at], size, *a.shape[at + 1 :]), dtype))
    if scene.take(2):
        parts.reverse()
    return _joined(parts, d, (*a.shape[:at], sum(p.shape[at] for p in parts), *a.shape[at + 1 :]))


def _stack(scene: Scene) -> Drawn | None:
    a = scene.tensor(high=3)
    d = scene.dim(len(a.shape) + 1)
    at = d % (len(a.shape) + 1)
    parts = [a, *(a if scene.take(4) == 1 else scene.like(a.shape, a.dtype) for _ in range(scene.take(3)))]
    return _joined(parts, d, (*a.shape[:at], len(parts), *a.shape[at:]))


def _joined(parts: list[Live], dim: int, shape: tuple[int, ...]) -> Drawn | None:
    if prod(shape) > MAX_NUMEL:
        return None
    out = Live(shape, promote(*parts), min(p.low for p in parts), max(p.high for p in parts))
    out.dense = all(p.dense for p in parts)
    return tuple(parts), {"dim": dim}, (out,)


def _parts(x: Live, at: int, lengths: list[int]) -> tuple[Live, ...]:
    return tuple([_out(x, (*x.shape[:at], n, *x.shape[at + 1 :])) for n in lengths])


def _split(scene: Scene) -> Drawn | None:
    x = scene.tensor(low=1)
    d = scene.dim(len(x.shape))
    at = d % len(x.shape)
    size = x.shape[at]
    if scene.take(2) and size:
        first = scene.take(size + 1)
        lengths = [first, size - first]
        return (x,), {"split_size_or_sections": lengths, "dim": d}, _parts(x, at, lengths)
    step = 1 + scene.take(3)
    lengths = [min(step, size - i) for i in range(0, size, step)] or [0]
    if len(lengths) > MOST_OUTPUTS:
        return None
    return (x,), {"split_size_or_sections": step, "dim": d}, _parts(x, at, lengths)


def _chunk(scene: Scene) -> Drawn | None:
    x = scene.tensor(low=1)
    d = scene.dim(len(x.shape))
    at = d % len(x.shape)
    size, chunks = x.shape[at], 2 + scene.take(3)
    step = -(-size // chunks)
    lengths = [min(step, size - i) for i in range(0, size, step)] if step else [0] * chunks
    return (x,), {"chunks": chunks, "dim": d}, _parts(x, at, lengths)


def _unbind(scene: Scene) -> Drawn | None:
    x = scene.tensor(low=1, some=True)
    d = scene.dim(len(x.shape))
    at = d % len(x.shape)
    if x.shape[at] > MOST_OUTPUTS:
        return None
    shape = (*x.shape[:at], *x.shape[at + 1 :])
    return (x,), {"dim": d}, tuple([_out(x, shape) for _ in range(x.shape[at])])


def _flip(scene: Scene) -> Drawn:
    x = scene.tensor()
    n = len(x.shape)
    over = [scene.dim(n)] if n else []
    if n > 1 and scene.take(3) == 2:
        over = _shuffled(scene, n)[:2]
    return _one(x, {"dims": over}, x.shape, x.dense, view=False)


def _roll(scene: Scene) -> Drawn:
    x = scene.tensor()
    n = len(x.shape)
    how = scene.take(4)
    shift = (1, -1, 2, 5, 0, -3)[scene.take(6)]
    if how == 0 or not n:
        params: dict[str, Any] = {"shifts": shift}
    elif how == 3 and n > 1:
        params = {"shifts": [shift, 1], "dims": _shuffled(scene, n)[:2]}
    else:
        params = {"shifts": shift, "dims": scene.dim(n)}
    return _one(x, params, x.shape, x.dense, view=False)


def _triangle(scene: Scene) -> Drawn:
    x = scene.tensor(low=2)
    diagonal = (0, 1, -1, 2, 0, -2)[scene.take(6)]
    params = {"diagonal": diagonal} if diagonal else {}
    return (x,), params, (Live(x.shape, x.dtype, min(x.low, 0.0), max(x.high, 0.0), x.dense),)


def _diagonal(scene: Scene) -> Drawn:
    x = scene.tensor(low=2)
    n = len(x.shape)
    a, b = 0, 1
    params: dict[str, Any] = {}
    if scene.take(2):
        a, b = _shuffled(scene, n)[:2]
        params = {"dim1": a - n if scene.take(2) else a, "dim2": b}
    offset = (0, 1, -1, 0, 2)[scene.take(5)]
    if offset:
        params["offset"] = offset
    rows, columns = (x.shape[a], x.shape[b] - offset) if offset >= 0 else (x.shape[a] + offset, x.shape[b])
    rest = [size for i, size in enumerate(x.shape) if i not in (a, b)]
    return _one(x, params, (*rest, max(min(rows, columns), 0)))


def _repeat(scene: Scene) -> Drawn | None:
    x = scene.tensor(high=3)
    repeats = [(1, 2, 1, 3, 2, 0)[scene.take(6 if scene.take(8) == 7 else 5)] for _ in x.shape]
    if scene.take(3) == 2 or not repeats:
        repeats.insert(0, 1 + scene.take(3))
    padded = (1,) * (len(repeats) - len(x.shape)) + x.shape
    shape = tuple([a * b for a, b in zip(padded, repeats, strict=True)])
    return None if prod(shape) > MAX_NUMEL else _one(x, {"repeats": repeats}, shape)


def _narrow(scene: Scene) -> Drawn:
    x = scene.tensor(low=1)
    d = scene.dim(len(x.shape))
    at = d % len(x.shape)
    size = x.shape[at]
    start = scene.take(size + 1)
    length = scene.take(size - start + 1)
    if not length and size and scene.take(4):  # empty results are seldom of use
        start, length = scene.take(size), 1
    shape = (*x.shape[:at], length, *x.shape[at + 1 :])
    return _one(x, {"dim": d, "start": start, "length": length}, shape)


def _select(scene: Scene) -> Drawn:
    x = scene.tensor(low=1, some=True)
    d = scene.dim(len(x.shape))
    at = d % len(x.shape)
    return _one(x, {"dim": d, "index": scene.dim(x.shape[at])}, (*x.shape[:at], *x.shape[at + 1 :]))


def _copy(scene: Scene) -> Drawn:
    x = scene.tensor()
    return _one(x, {}, x.shape, x.dense, view=False)


def _detached(scene: Scene) -> Drawn | None:
    x = scene.tensor()
    if x.inference and not scene.inference:  # to torch that is half a normal tensor
        return None
    return _one(x, {}, x.shape, x.dense, view=False)


def _contiguous(scene: Scene) -> Drawn:
    x = scene.tensor()
    return _one(x, {}, x.shape, True)


def _moving(
    name: str, draw: Callable[[Scene], Drawn | None], style: str = "function", **params: Any
) -> OpSpec:
    return OpSpec(name, "shape", style, name, draw, params=params, gradient="none")


def _viewing(
    name: str, draw: Callable[[Scene], Drawn | None], style: str = "function", **params: Any
) -> OpSpec:
    return OpSpec(name, "shape", style, name, draw, params=params, gradient="none", aliases=True)


def _splitting(name: str, draw: Callable[[Scene], Drawn | None], **params: Any) -> OpSpec:
    return OpSpec(
        name, "shape", "function", name, draw, (1, 1), (1, 64), params, gradient="none", aliases=True
    )


_SHIFTS = either(integer(), integers())

SPECS = [
    _viewing("reshape", _reshape, shape=sizes()),
    _viewing("view", _view, "method", size=sizes()),
    _viewing("flatten", _flatten, start_dim=optional(_DIM), end_dim=optional(_DIM)),
    _viewing("permute", _permute, dims=integers(-64, 63)),
    _viewing("transpose", _transpose, dim0=_DIM, dim1=_DIM),
    _viewing("t", _t),
    _viewing("movedim", _movedim, source=_DIM, destination=_DIM),
    _viewing("expand", _expand, "method", size=sizes()),
    _viewing("squeeze", _squeeze, dim=optional(_DIM)),
    _viewing("unsqueeze", _unsqueeze, dim=_DIM),
    OpSpec("cat", "shape", "sequence", "cat", _cat, (1, 64), params={"dim": _DIM}, gradient="none"),
    OpSpec("stack", "shape", "sequence", "stack", _stack, (1, 64), params={"dim": _DIM}, gradient="none"),
    _splitting("split", _split, split_size_or_sections=either(integer(0, 4096), integers(0, 4096)), dim=_DIM),
    _splitting("chunk", _chunk, chunks=integer(1, 64), dim=_DIM),
    _splitting("unbind", _unbind, dim=_DIM),
    _moving("flip", _flip, dims=integers(-64, 63)),
    _moving("roll", _roll, shifts=_SHIFTS, dims=optional(dims())),
    _moving("tril", _triangle, diagonal=optional(integer())),
    _moving("triu", _triangle, diagonal=optional(integer())),
    _viewing("diagonal", _diagonal, offset=optional(integer()), dim1=optional(_DIM), dim2=optional(_DIM)),
    OpSpec("repeat", "shape", "method", "repeat", _repeat, params={"repeats": sizes()}, gradient="unsure"),
    _viewing("narrow", _narrow, dim=_DIM, start=integer(), length=integer(0)),
    _viewing("select", _select, dim=_DIM, index=integer()),
    _moving("clone", _copy),
    OpSpec("detach", "shape", "method", "detach", _detached, gradient="cut", aliases=True),
    _viewing("contiguous", _contiguous, "method"),
]
