"""Places for nodes and edges, and the outlines to draw, in pixels and SVG path data; no markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .layers import Point, layout

_NAME, _OTHER = 8.0, 7.4  # width of a character of a name (13 px monospace) and of other lines (12 px)
_LINE = 17.0
_PADDING = (12.0, 9.0)
_MARGIN = 10.0
_SLANT = 14.0  # what the sides of hexagons and trapezoids take
_CORNER = 20.0  # radius of a leaf's corners, at most
_HALO = 5.0  # from a node to the outline that marks it
_ARROW = (3.5, 7.0)
_LONGEST = 32  # characters of a line before it is cut; the whole is in the node's title


@dataclass(slots=True)
class Node:
    """A "leaf", "op", "output" or "sweep" (backward, grad); lines are (class, text) from the top down."""

    kind: str
    lines: list[tuple[str, str]]
    marked: bool = False
    x: float = 0.0
    y: float = 0.0

    @property
    def title(self) -> str:
        return " · ".join(text for _, text in self.lines)

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Lines as (class, text, y), the text cut to fit."""
        top = self.y - _LINE * (len(self.lines) - 1) / 2
        return [(kind, _cut(text), _number(top + at * _LINE)) for at, (kind, text) in enumerate(self.lines)]

    @property
    def size(self) -> tuple[float, float]:
        text = max(len(_cut(text)) * (_NAME if kind == "name" else _OTHER) for kind, text in self.lines)
        slant = _SLANT if self.kind in ("output", "sweep") else 0.0
        return text + 2 * _PADDING[0] + slant, len(self.lines) * _LINE + 2 * _PADDING[1]

    @property
    def top(self) -> Point:
        return self.x, self.y - self.size[1] / 2 - (_HALO if self.marked else 0.0)

    @property
    def bottom(self) -> Point:
        return self.x, self.y + self.size[1] / 2 + (_HALO if self.marked else 0.0)

    @property
    def path(self) -> str:
        return _outline(self, 0.0)

    @property
    def halo(self) -> str:
        return _outline(self, _HALO)


@dataclass(slots=True)
class Edge:
    """A line from node `tail` to node `head`; `kind` is "forward" or "backward", the label may be empty."""

    kind: str
    tail: int
    head: int
    label: str = ""
    path: str = ""
    arrow: str = ""
    spot: tuple[str, str] = ("", "")  # of the label


@dataclass(frozen=True, slots=True)
class Drawing:
    """Placed nodes and edges, the size of the picture, and what it shows in words."""

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    width: int
    height: int

    @property
    def description(self) -> str:
        names = [node.lines[0][1] for node in self.nodes]
        flow = "; ".join(f"{names[edge.tail]} to {names[edge.head]}" for edge in self.edges)
        marked = "".join(f". Marked: {node.title}" for node in self.nodes if node.marked)
        return (flow or ", ".join(names)) + marked


def drawing(nodes: Sequence[Node], edges: Sequence[Edge]) -> Drawing:
    """Give nodes and edges their places; each edge must run from a node to a later one."""
    plan = layout([node.size for node in nodes], [(edge.tail, edge.head) for edge in edges])
    for node, (x, y) in zip(nodes, plan.centres, strict=True):
        node.x, node.y = x + _MARGIN, y + _MARGIN
    routes = [[(x + _MARGIN, y + _MARGIN) for x, y in route] for route in plan.routes]
    ports = _ports(nodes, edges, routes)
    for edge, route, x in zip(edges, routes, ports, strict=True):
        y = nodes[edge.head].top[1]
        edge.path = _curve([nodes[edge.tail].bottom, *route, (x, y - _ARROW[1])])
        edge.arrow = _polygon([(x, y), (x - _ARROW[0], y - _ARROW[1]), (x + _ARROW[0], y - _ARROW[1])])
        edge.spot = (_number(x + 6), _number(y - 9))
    return Drawing(nodes, edges, round(plan.width + 2 * _MARGIN), round(plan.height + 2 * _MARGIN))


def _ports(nodes: Sequence[Node], edges: Sequence[Edge], routes: list[list[Point]]) -> list[float]:
    """Where on its head each edge ends: those that meet there share the width from left to right."""
    comings: list[list[int]] = [[] for _ in nodes]
    for at, edge in enumerate(edges):
        comings[edge.head].append(at)
    before = [
        route[-1][0] if route else nodes[edge.tail].x for edge, route in zip(edges, routes, strict=True)
    ]
    ports = [0.0] * len(edges)
    for node, links in zip(nodes, comings, strict=True):
        links.sort(key=lambda at: (before[at], at))
        for place, at in enumerate(links):
            ports[at] = node.x + node.size[0] * 0.6 * ((place + 0.5) / len(links) - 0.5)
    return ports


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _polygon(points: Iterable[Point]) -> str:
    return "M" + " L".join(f"{_number(x)} {_number(y)}" for x, y in points) + " Z"


def _outline(node: Node, grow: float) -> str:
    """Pill for a leaf, rectangle for an op, hexagon for an output, trapezoid for a sweep."""
    width, height = node.size
    a, b = width / 2 + grow, height / 2 + grow
    left, right, top, bottom = node.x - a, node.x + a, node.y - b, node.y + b
    if node.kind == "output":
        inner = (left + _SLANT, right - _SLANT)
        upper, lower = [(x, top) for x in inner], [(x, bottom) for x in reversed(inner)]
        return _polygon([(left, node.y), *upper, (right, node.y), *lower])
    if node.kind == "sweep":
        return _polygon([(left, top), (right, top), (right - _SLANT, bottom), (left + _SLANT, bottom)])
    if node.kind == "op":
        return _polygon([(left, top), (right, top), (right, bottom), (left, bottom)])
    corner = min(b, _CORNER)
    r, across, down = _number(corner), _number(2 * (a - corner)), _number(2 * (b - corner))
    arc = f"a{r} {r} 0 0 1"
    right_side = f"h{across} {arc} {r} {r} v{down} {arc} -{r} {r}"
    left_side = f"h-{across} {arc} -{r} -{r} v-{down} {arc} {r} -{r}"
    return f"M{_number(left + corner)} {_number(top)} {right_side} {left_side} Z"


def _curve(stops: Sequence[Point]) -> str:
    """A smooth line down through the stops, vertical at each."""
    n = _number
    path = f"M{n(stops[0][0])} {n(stops[0][1])}"
    for (x, y), (to_x, to_y) in zip(stops, stops[1:], strict=False):
        middle = (y + to_y) / 2
        path += f" C{n(x)} {n(middle)} {n(to_x)} {n(middle)} {n(to_x)} {n(to_y)}"
    return path
