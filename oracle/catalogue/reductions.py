"""Ops that combine elements along dims: sums, extremes, norms, softmax, cumulative ones, sorting."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log, prod, sqrt
from typing import Any

from oracle.catalogue.params import dims, flag, integer, number, optional
from oracle.catalogue.scene import Drawn, Live, Scene
from oracle.catalogue.spec import OpSpec
from oracle.catalogue.values import ANY, SMALL, Domain

Image = Callable[[float, float, int], tuple[float, float]]  # low, high, number of elements reduced
UNKNOWN = (-inf, inf)
_DIM = integer(-64, 63)
_KEEP = {"dim": optional(dims()), "keepdim": optional(flag())}
_MODEST = Domain(-5.0, 5.0, ANY.pools)


def reduced(shape: tuple[int, ...], over: list[int], keep: bool) -> tuple[int, ...]:
    """The shape after a reduction over some dims (counted from the front or the back)."""
    n = len(shape)
    gone = {d % n for d in over} if n else set()
    if keep:
        return tuple([1 if i in gone else size for i, size in enumerate(shape)])
    return tuple([size for i, size in enumerate(shape) if i not in gone])


def _choose(scene: Scene, shape: tuple[int, ...], whole: bool = True) -> tuple[dict[str, Any], list[int]]:
    """Parameters dim and keepdim, and the dims they name: all (if `whole` is allowed), one, or a pair."""
    n = len(shape)
    how = scene.take(8)
    if whole and how < 2:
        return {}, list(range(n))
    if how == 7 and n > 1:
        first = scene.dim(n)
        second = (first % n + 1 + scene.take(n - 1)) % n
        over = [first, second]
        params: dict[str, Any] = {"dim": over}
    else:
        over = [scene.dim(n)]
        params = {"dim": over[0] if how < 6 else over}
    keep = scene.take(4)
    if keep:
        params["keepdim"] = keep == 1
    return params, over


def _finish(x: Live, params: dict[str, Any], over: list[int], image: Image) -> Drawn:
    shape = reduced(x.shape, over, params.get("keepdim", False))
    n = len(x.shape)
    count = prod([x.shape[d] for d in {d % n for d in over}]) if n else 1
    return (x,), params, (Live(shape, x.dtype, *image(x.low, x.high, count), x.dense),)


def _over(domain: Domain, image: Image, some: bool = False, whole: bool = True) -> Callable[[Scene], Drawn]:
    """A reduction over all dims, one or two."""

    def draw(scene: Scene) -> Drawn:
        x = scene.tensor(domain, some=some)
        params, over = _choose(scene, x.shape, whole)
        return _finish(x, params, over, image)

    return draw


def _sum(low: float, high: float, count: int) -> tuple[float, float]:
    if not count:
        return 0.0, 0.0
    return low * count, high * count


def _mean(low: float, high: float, count: int) -> tuple[float, float]:
    return (low, high) if count else UNKNOWN


def _extreme(low: float, high: float, count: int) -> tuple[float, float]:
    return low, high


def _norm(low: float, high: float, count: int) -> tuple[float, float]:
    return 0.0, max(-low, high) * max(count, 1)


def _spread(low: float, high: float, count: int) -> tuple[float, float]:
    return 0.0, (high - low) ** 2 if high - low < 1e9 else inf


def _logsumexp(low: float, high: float, count: int) -> tuple[float, float]:
    return (low, high + log(count)) if count else UNKNOWN


def _prod(scene: Scene) -> Drawn:
    x = scene.tensor(_MODEST)
    n = len(x.shape)
    if scene.take(8) < 2:
        params: dict[str, Any] = {}
        over = list(range(n))
    else:
        over = [scene.dim(n)]
        params = {"dim": over[0]}
        if keep := scene.take(4):
            params["keepdim"] = keep == 1
    return _finish(x, params, over, _product)


def _product(low: float, high: float, count: int) -> tuple[float, float]:
    top = max(-low, high, 1.0)
    if top > 10.0:
        return UNKNOWN
    top = top ** min(count, 24)
    return (0.0 if low >= 0.0 else -top), top


def _moment(image: Image) -> Callable[[Scene], Drawn]:
    """var and std: the correction stays below the number of elements."""

    def draw(scene: Scene) -> Drawn:
        x = scene.tensor(some=True)
        params, over = _choose(scene, x.shape)
        n = len(x.shape)
        count = prod([x.shape[d] for d in {d % n for d in over}]) if n else 1
        correction = (1, 0, 1, 2)[scene.take(4)]
        if correction >= count:
            correction = 0
        if correction != 1 or scene.take(2):
            params["correction"] = correction
        return _finish(x, params, over, image)

    return draw


def _torch_norm(scene: Scene) -> Drawn:
    p = (2, 1, inf, 2.0, 3, 2, 1.0, inf)[scene.take(8)]
    x = scene.tensor(some=p == inf)
    params, over = _choose(scene, x.shape)
    drawn = _finish(x, {"p": p, **params}, over, _norm)
    drawn[2][0].stepped = p in (1, inf)
    return drawn


def _along(domain: Domain, image: Image, some: bool = False) -> Callable[[Scene], Drawn]:
    """A function that works along one dim and keeps the shape."""

    def draw(scene: Scene) -> Drawn:
        x = scene.tensor(domain, some=some)
        d = scene.dim(len(x.shape))
        count = x.shape[d] if x.shape else 1
        return (x,), {"dim": d}, (Live(x.shape, x.dtype, *image(x.low, x.high, count), x.dense),)

    return draw


def _softmax_image(low: float, high: float, count: int) -> tuple[float, float]:
    return (exp(max(low - high, -700.0)) / max(count, 1), 1.0) if high - low < inf else UNKNOWN


def _log_softmax_image(low: float, high: float, count: int) -> tuple[float, float]:
    return (low - high - log(max(count, 1)), 0.0) if high - low < inf else UNKNOWN


def _cumsum_image(low: float, high: float, count: int) -> tuple[float, float]:
    return min(low, low * max(count, 1)), max(high, high * max(count, 1))


def _with_indices(scene: Scene) -> Drawn:
    """max and min along a dim: values and their positions."""
    x = scene.tensor(some=True)
    d = scene.dim(len(x.shape))
    params: dict[str, Any] = {"dim": d}
    if keep := scene.take(4):
        params["keepdim"] = keep == 1
    shape = reduced(x.shape, [d], params.get("keepdim", False))
    last = (x.shape[d] if x.shape else 1) - 1
    return (
        (x,),
        params,
        (Live(shape, x.dtype, x.low, x.high, x.dense), Live(shape, "int64", 0, last, x.dense)),
    )


def _sort(scene: Scene) -> Drawn:
    """Always a stable sort: torch leaves the order of ties open otherwise."""
    x = scene.tensor()
    d = scene.dim(len(x.shape))
    last = max((x.shape[d] if x.shape else 1) - 1, 0)
    params = {"stable": True, "dim": d, "descending": scene.take(2) == 1}
    return (x,), params, (Live(x.shape, x.dtype, x.low, x.high), Live(x.shape, "int64", 0, last))


def _reduction(
    name: str, draw: Callable[[Scene], Drawn | None], gradient: str = "self", **extra: Any
) -> OpSpec:
    return OpSpec(name, "reductions", "function", name, draw, params={**_KEEP, **extra}, gradient=gradient)


_ONE = {"dim": _DIM, "keepdim": optional(flag())}

SPECS = [
    _reduction("sum", _over(ANY, _sum), "none"),
    _reduction("mean", _over(ANY, _mean), "none"),
    OpSpec(
        "prod",
        "reductions",
        "function",
        "prod",
        _prod,
        params={"dim": optional(_DIM), "keepdim": optional(flag())},
        gradient="maybe",
    ),
    _reduction("amax", _over(ANY, _extreme, some=True), "maybe"),
    _reduction("amin", _over(ANY, _extreme, some=True), "maybe"),
    _reduction("var", _moment(_spread), correction=optional(integer(-16, 64))),
    _reduction(
        "std",
        _moment(lambda a, b, n: (0.0, sqrt(_spread(a, b, n)[1]))),
        correction=optional(integer(-16, 64)),
    ),
    _reduction("norm", _torch_norm, "maybe", p=number(finite=False)),
    _reduction("logsumexp", _over(SMALL, _logsumexp, some=True, whole=False)),
    OpSpec(
        "softmax", "reductions", "function", "softmax", _along(SMALL, _softmax_image), params={"dim": _DIM}
    ),
    OpSpec(
        "log_softmax",
        "reductions",
        "function",
        "log_softmax",
        _along(SMALL, _log_softmax_image),
        params={"dim": _DIM},
    ),
    OpSpec(
        "cumsum",
        "reductions",
        "function",
        "cumsum",
        _along(ANY, _cumsum_image),
        params={"dim": _DIM},
        gradient="none",
    ),
    OpSpec(
        "cumprod",
        "reductions",
        "function",
        "cumprod",
        _along(_MODEST, _product),
        params={"dim": _DIM},
        gradient="maybe",
    ),
    OpSpec("max", "reductions", "function", "max", _with_indices, (1, 1), (2, 2), _ONE, gradient="none"),
    OpSpec("min", "reductions", "function", "min", _with_indices, (1, 1), (2, 2), _ONE, gradient="none"),
    OpSpec(
        "sort",
        "reductions",
        "function",
        "sort",
        _sort,
        (1, 1),
        (2, 2),
        {"stable": flag(), "dim": _DIM, "descending": optional(flag())},
        gradient="none",
    ),
]

__all__ = ["SPECS", "reduced"]
