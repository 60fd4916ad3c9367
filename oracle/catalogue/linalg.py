"""Products of vectors and matrices."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, prod
from typing import Any

from oracle.catalogue.params import number, optional, pattern
from oracle.catalogue.scene import MAX_NUMEL, Drawn, Live, Scene
from oracle.catalogue.spec import OpSpec
from oracle.catalogue.values import ANY, Domain

_FACTOR = Domain(-100.0, 100.0, ANY.pools)
_PAIR = (2, 2)


def _bound(*factors: Live) -> float:
    """The greatest magnitude of a product."""
    return prod([max(-t.low, t.high) for t in factors])


def _product(a: Live, b: Live, shape: tuple[int, ...], terms: int, *added: Live) -> Live | None:
    if prod(shape) > MAX_NUMEL:
        return None
    most = _bound(a, b) * max(terms, 1) * 2 + sum(3 * _bound(t) for t in added)
    return Live(shape, a.dtype, -most, most, a.dense and b.dense) if most < inf else Live(shape, a.dtype)


def _of_two(left: int, right: int, scene: Scene) -> Drawn | None:
    """A product of a tensor with `left` dims and one with `right` dims, as matmul understands them."""
    a = scene.tensor(_FACTOR, left, left)
    inner = a.shape[-1]
    tail = (scene.size(),) if right > 1 else ()
    batch: tuple[int, ...] = ()
    if right > 2:
        batch = a.shape[:-2] if left > 2 else (scene.size(),)
    b = scene.like((*batch, inner, *tail), a.dtype, _FACTOR)
    if left == right and a.shape[:-2] == batch and b.shape == a.shape and scene.take(8) == 7:
        b = a
        if a.shape[-1] != a.shape[-2 if left > 1 else -1]:
            return None
    lead = a.shape[:-2] if left > 2 else batch
    shape = (*lead, *(a.shape[-2:-1] if left > 1 else ()), *tail)
    out = _product(a, b, shape, inner)
    return None if out is None else ((a, b), {}, (out,))


_KINDS = ((2, 2), (2, 1), (1, 2), (1, 1), (3, 2), (2, 3), (3, 3), (3, 1), (1, 3), (2, 2))


def _matmul(scene: Scene) -> Drawn | None:
    left, right = _KINDS[scene.take(len(_KINDS))]
    return _of_two(left, right, scene)


def _fixed(left: int, right: int) -> Callable[[Scene], Drawn | None]:
    return lambda scene: _of_two(left, right, scene)


def _outer(scene: Scene) -> Drawn | None:
    a = scene.tensor(_FACTOR, 1, 1)
    b = a if scene.take(8) == 7 else scene.like((scene.size(),), a.dtype, _FACTOR)
    out = _product(a, b, (*a.shape, *b.shape), 1)
    return None if out is None else ((a, b), {}, (out,))


def _trace(scene: Scene) -> Drawn:
    x = scene.tensor(low=2, high=2)
    n = max(min(x.shape), 1)
    return (x,), {}, (Live((), x.dtype, min(x.low * n, 0.0), max(x.high * n, 0.0), True),)


def _scales(scene: Scene) -> dict[str, Any]:
    how = scene.take(4)
    return ({}, {"beta": 2.0}, {"alpha": 0.5}, {"beta": -1.0, "alpha": 3})[how]


def _added(left: int, right: int) -> Callable[[Scene], Drawn | None]:
    """beta * t0 + alpha * (t1 @ t2); t0 may broadcast."""

    def draw(scene: Scene) -> Drawn | None:
        drawn = _of_two(left, right, scene)
        if drawn is None:
            return None
        (a, b), _, (out,) = drawn
        empty = 0 in a.shape or 0 in b.shape  # torch does not expand t0 then
        c = scene.like(out.shape if empty else _narrower(scene, out.shape), a.dtype)
        total = _product(a, b, out.shape, a.shape[-1] * 3, c)
        return None if total is None else ((c, a, b), _scales(scene), (total,))

    return draw


def _narrower(scene: Scene, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that expands to this one."""
    how = scene.take(4)
    if how < 2:
        return shape
    if how == 2:
        return shape[1:]
    at = scene.take(len(shape))
    return (*shape[:at], 1, *shape[at + 1 :])


def _linear(scene: Scene) -> Drawn | None:
    """t0 @ t1.T, plus t2 where there is one."""
    x = scene.tensor(_FACTOR, 1, 3)
    size = scene.size() or 1
    weight = scene.like((size, x.shape[-1]), x.dtype, _FACTOR)
    shape = (*x.shape[:-1], size)
    if scene.take(3) == 2:
        out = _product(x, weight, shape, x.shape[-1])
        return None if out is None else ((x, weight), {}, (out,))
    bias = scene.like((size,), x.dtype)
    out = _product(x, weight, shape, x.shape[-1], bias)
    return None if out is None else ((x, weight, bias), {}, (out,))


EQUATIONS = (
    "ij,jk->ik",
    "i,i->",
    "i,j->ij",
    "ij->ji",
    "ij->",
    "ij->i",
    "ij,ij->",
    "ij,j->i",
    "ii->i",
    "ii->",
    "bij,bjk->bik",
    "bi,bi->b",
    "ij,kj->ik",
    "ijk->kij",
    "ijk,k->ij",
    "bij->bj",
    "...ij,jk->...ik",
    "ij,ij->ij",
    "ij,jk,kl->il",
    "i->",
)


def _einsum(scene: Scene) -> Drawn | None:
    equation = EQUATIONS[scene.take(len(EQUATIONS))]
    given, result = equation.split("->")
    size: dict[str, int] = {}
    tensors: list[Live] = []
    batch: tuple[int, ...] = ()
    for term in given.split(","):
        letters = term.removeprefix("...")
        if not tensors and len(set(letters)) == len(letters):
            extra = scene.take(2) if term.startswith("...") else 0
            t = scene.tensor(_FACTOR, len(letters) + extra, len(letters) + extra)
            batch = t.shape[:extra]
            size.update(zip(letters, t.shape[extra:], strict=True))
        else:
            for letter in letters:
                if letter not in size:
                    size[letter] = scene.size()
            shape = tuple([size[letter] for letter in letters])
            t = scene.like(shape, tensors[0].dtype if tensors else scene.dtype, _FACTOR)
        tensors.append(t)
    shape = tuple([size[letter] for letter in result.removeprefix("...")])
    if result.startswith("..."):
        shape = (*batch, *shape)
    if prod(shape) > MAX_NUMEL:
        return None
    most = _bound(*tensors) * max(prod(size.values()), 1)
    out = Live(shape, tensors[0].dtype, -most, most) if most < inf else Live(shape, tensors[0].dtype)
    if len(tensors) == 1:
        out.alias = tensors[0]  # a permutation or a diagonal is a view
    return tuple(tensors), {"equation": equation}, (out,)


_SCALES = {"beta": optional(number()), "alpha": optional(number())}
_EQUATION = pattern(
    r"(\.\.\.)?[a-z]{0,8}(,(\.\.\.)?[a-z]{0,8}){0,7}(->(\.\.\.)?[a-z]{0,8})?",
    "an equation such as 'ij,jk->ik' (letters a to z, at most 8 a term)",
)


def _times(name: str, left: int, right: int) -> OpSpec:
    return OpSpec(name, "linalg", "function", name, _fixed(left, right), _PAIR, gradient="others")


def _plus_times(name: str, left: int, right: int) -> OpSpec:
    return OpSpec(
        name, "linalg", "function", name, _added(left, right), (3, 3), params=_SCALES, gradient="maybe"
    )


SPECS = [
    OpSpec("matmul", "linalg", "function", "matmul", _matmul, _PAIR, gradient="others"),
    _times("mm", 2, 2),
    _times("bmm", 3, 3),
    _times("mv", 2, 1),
    _times("dot", 1, 1),
    OpSpec("outer", "linalg", "function", "outer", _outer, _PAIR, gradient="others"),
    OpSpec(
        "einsum",
        "linalg",
        "einsum",
        "einsum",
        _einsum,
        (1, 8),
        params={"equation": _EQUATION},
        gradient="maybe",
        aliases=True,
    ),
    _plus_times("addmm", 2, 2),
    _plus_times("addmv", 2, 1),
    _plus_times("baddbmm", 3, 3),
    OpSpec("linear", "linalg", "function", "nn.functional.linear", _linear, (2, 3), gradient="maybe"),
    OpSpec("trace", "linalg", "function", "trace", _trace, gradient="none"),
]
