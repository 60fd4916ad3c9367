"""A layered drawing of a small directed graph: who is above whom, who is beside whom, and where.

The steps are Sugiyama's: layers by longest path, long edges cut by waypoints, order inside a layer by the
medians of the neighbours, then x by least squares under the required distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

Point = tuple[float, float]

_GAP = 24.0  # between neighbours in a layer
_RISE = 36.0  # between layers, where edges run
_WAYPOINT = 6.0  # width kept free for an edge that passes a layer
_SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """Centres of the nodes, the way of each edge past the layers between its ends, and the whole size."""

    centres: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


def layout(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout:
    """Place nodes of the given (width, height), edges pointing down.

    Each edge must run from a node to a later one, as in a topological order; else ValueError.
    """
    for tail, head in edges:
        if not 0 <= tail < head < len(sizes):
            raise ValueError(f"edge {tail} -> {head}: expected 0 <= tail < head < {len(sizes)} nodes")
    rank = _ranks(len(sizes), edges)
    widths = [width for width, _ in sizes]
    links: list[tuple[int, int]] = []
    chains: list[list[int]] = []
    for tail, head in edges:
        chain = []
        for layer in range(rank[tail] + 1, rank[head]):
            chain.append(len(rank))
            rank.append(layer)
            widths.append(_WAYPOINT)
        stops = [tail, *chain, head]
        links += zip(stops, stops[1:], strict=False)
        chains.append(chain)

    layers: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for node, layer in enumerate(rank):
        layers[layer].append(node)
    above: list[list[int]] = [[] for _ in rank]
    below: list[list[int]] = [[] for _ in rank]
    for tail, head in links:
        above[head].append(tail)
        below[tail].append(head)

    layers = _ordered(layers, above, below)
    x = _columns(layers, above, below, widths)
    rows, height = _rows(layers, sizes)
    left = min((x[node] - widths[node] / 2 for node in range(len(x))), default=0.0)
    right = max((x[node] + widths[node] / 2 for node in range(len(x))), default=0.0)
    centres = [(x[node] - left, sum(rows[rank[node]]) / 2) for node in range(len(sizes))]
    routes = [[(x[node] - left, y) for node in chain for y in rows[rank[node]]] for chain in chains]
    return Layout(centres, routes, right - left, height)


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    rank = [0] * count
    heads: list[list[int]] = [[] for _ in range(count)]
    fed = [False] * count
    for tail, head in edges:
        heads[tail].append(head)
        fed[head] = True
    for tail in range(count):
        for head in heads[tail]:
            rank[head] = max(rank[head], rank[tail] + 1)
    for node in range(count):  # a source sits right above its first reader
        if heads[node] and not fed[node]:
            rank[node] = min(rank[head] for head in heads[node]) - 1
    return rank


def _ordered(layers: list[list[int]], above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    best = [list(layer) for layer in layers]
    fewest = _crossings(best, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        downwards = sweep % 2 == 0
        neighbours = above if downwards else below
        steps = range(1, len(layers)) if downwards else range(len(layers) - 2, -1, -1)
        for step in steps:
            place = {node: at for at, node in enumerate(layers[step - 1 if downwards else step + 1])}
            here = {node: at for at, node in enumerate(layers[step])}
            wish: dict[int, float] = {**here}
            for node in here:
                if neighbours[node]:
                    wish[node] = median(place[other] for other in neighbours[node])
            layers[step].sort(key=lambda node: (wish[node], here[node]))
        crossings = _crossings(layers, below)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _crossings(layers: list[list[int]], below: list[list[int]]) -> int:
    total = 0
    for upper, lower in zip(layers, layers[1:], strict=False):
        place = {node: at for at, node in enumerate(lower)}
        seen: list[int] = []
        for node in upper:
            ends = [place[head] for head in below[node]]
            total += sum(other > end for end in ends for other in seen)
            seen += ends
    return total


def _columns(
    layers: list[list[int]], above: list[list[int]], below: list[list[int]], widths: list[float]
) -> list[float]:
    x = [0.0] * len(widths)
    for layer in layers:
        _spread(layer, [0.0] * len(layer), x, widths)
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 else reversed(layers):
            wishes = []
            for node in layer:
                others = above[node] + below[node]
                wishes.append(sum(x[other] for other in others) / len(others) if others else x[node])
            _spread(layer, wishes, x, widths)
    return x


def _spread(layer: list[int], wishes: list[float], x: list[float], widths: list[float]) -> None:
    """Set x as near the wishes as the distances allow: isotonic regression by pooling of neighbours."""
    offsets: list[float] = []
    for at, node in enumerate(layer):
        before = layer[at - 1]
        offsets.append(offsets[-1] + (widths[before] + widths[node]) / 2 + _GAP if at else 0.0)
    pools: list[tuple[float, int]] = []
    for wish, offset in zip(wishes, offsets, strict=True):
        mean, size = wish - offset, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    starts = [mean for mean, size in pools for _ in range(size)]
    for node, start, offset in zip(layer, starts, offsets, strict=True):
        x[node] = start + offset


def _rows(layers: list[list[int]], sizes: Sequence[Point]) -> tuple[list[Point], float]:
    """Top and bottom of each layer, and the height of all."""
    rows: list[Point] = []
    top = 0.0
    for layer in layers:
        bottom = top + max((sizes[node][1] for node in layer if node < len(sizes)), default=0.0)
        rows.append((top, bottom))
        top = bottom + _RISE
    return rows, max(top - _RISE, 0.0)
