"""The graph of a Program: leaves, ops, outputs and backward passes as nodes, tensors as the edges between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .drawing import Drawing, Edge, Node, drawing
from .wording import difference, hook, parameters, requires_grad, typed

_SWEPT = {"backward": "roots", "grad": "outputs"}  # where a statement names what it differentiates
_MAKES = {"read_grad": 1, "make_dual": 1, "unpack_dual": 2}  # tensors that other statements create
_PARAMETERS = 4  # lines of a node that parameters may take
_STATEMENTS = 200  # beyond, a picture helps nobody


def created(program: Mapping[str, Any]) -> list[list[int]]:
    """Numbers of the tensors that each statement creates, in the order of the statements."""
    first = len(program["leaves"])
    numbers = []
    for statement in program["statements"]:
        kind = statement["kind"]
        count = _MAKES.get(kind, 0)
        if kind in ("call", "grad"):
            count = statement["outputs"] if kind == "call" else len(statement["inputs"])
        numbers.append(list(range(first, first + count)))
        first += count
    return numbers


def draw(program: Mapping[str, Any], finding: Mapping[str, Any]) -> Drawing | None:
    """The drawing of a program in its JSON form, with the node marked that the finding points at.

    None for a program too long to draw. A use of a tensor that does not exist raises ValueError.
    """
    if len(program["statements"]) > _STATEMENTS:
        return None
    graph = _Graph(program)
    for leaf in program["leaves"]:
        graph.leaf(leaf)
    for index, statement in enumerate(program["statements"]):
        graph.statement(index, statement)
    graph.mark(finding)
    return drawing(graph.nodes, graph.edges)


class _Graph:
    """Grows statement by statement."""

    def __init__(self, program: Mapping[str, Any]) -> None:
        statements = program["statements"]
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.maker: dict[int, int] = {}  # tensor -> the node it comes from
        self.output: dict[
            int, int
        ] = {}  # tensor -> the node of its own, where nothing reads it or it is a root
        self.at: dict[int, int] = {}  # statement -> its node
        self.modes: list[str] = []
        self.created = created(program)
        self.roots = {tensor for statement in statements for tensor in _swept(statement)}
        self.read = {tensor for item in statements for tensor in _read(item)}
        self.sweeps = sum(statement["kind"] in _SWEPT for statement in statements)

    def leaf(self, leaf: Mapping[str, Any]) -> None:
        tensor = len(self.maker)
        lines = [
            ("name", f"t{tensor}"),
            ("detail", typed(leaf["value"])),
            ("detail", leaf["layout"] if leaf["layout"] != "contiguous" else ""),
            ("detail", "requires_grad" if leaf["requires_grad"] else ""),
            ("mark", "backward root" if tensor in self.roots else ""),
        ]
        self.maker[tensor] = self._add("leaf", lines)

    def statement(self, index: int, statement: Mapping[str, Any]) -> None:
        kind = statement["kind"]
        if kind == "call":
            self._call(index, statement)
        elif kind in _SWEPT:
            self._sweep(index, statement)
        elif kind == "enter":
            self.modes.append(str(statement["mode"]))
        elif kind == "exit":
            del self.modes[-1:]
        elif kind in _MAKES:
            name = ".grad" if kind == "read_grad" else f"{kind}()"
            self._place(index, "op", _read(statement), [("name", name)])
        else:
            tensors = statement["tensors"] if kind == "hook" else [statement["tensor"]] if "tensor" in statement else []
            for tensor in tensors:
                self.at[index] = self._find(index, tensor)
                self.nodes[self.at[index]].lines.append(("mark", _note(statement)))

    def mark(self, finding: Mapping[str, Any]) -> None:
        tensor, statement = finding["tensor"], finding["statement"]
        if finding["what"] in ("hook", "gradient"):  # the number is a hook's
            tensor = None
        node = self.at.get(statement) if tensor is None else self.maker.get(tensor)
        if node is not None:
            made = statement is not None and tensor in self.created[statement]
            self.nodes[node].marked = True
            self.nodes[node].lines.append(("flag", f"◆ {difference(finding, made)}"))

    def _call(self, index: int, statement: Mapping[str, Any]) -> None:
        given = parameters(statement["params"])
        if len(given) > _PARAMETERS:
            given = [*given[: _PARAMETERS - 1], f"… {len(given) - _PARAMETERS + 1} more"]
        lines = [("name", str(statement["op"])), *(("detail", text) for text in given)]
        if statement["inputs"] and not statement["outputs"]:
            lines.append(("detail", f"writes t{statement['inputs'][0]}"))
        if statement.get("through"):
            lines.append(("detail", f"through {statement['through']}"))
        self._place(index, "op", statement["inputs"], lines)

    def _sweep(self, index: int, statement: Mapping[str, Any]) -> None:
        inputs = ", ".join(f"t{tensor}" for tensor in statement["inputs"] or ())
        lines = [
            ("name", f"{statement['kind']}()"),
            ("detail", f"statement {index}" if self.sweeps > 1 else ""),
            ("detail", f"inputs {inputs}" if inputs else ""),
            ("detail", "create_graph" if statement["create_graph"] else ""),
        ]
        self._place(index, "sweep", _swept(statement), lines)

    def _place(self, index: int, kind: str, inputs: Sequence[int], lines: list[tuple[str, str]]) -> None:
        made = self.created[index]
        tails = [self._find(index, tensor) for tensor in inputs]
        arrow, mode = f"→ {_names(made)}" if made else "", self.modes[-1] if self.modes else ""
        node = self._add(kind, [*lines, ("detail", arrow), ("mark", mode)])
        self.at[index] = node
        for tensor, tail in zip(inputs, tails, strict=True):
            if kind == "sweep":
                self.edges.append(Edge("backward", self.output.get(tensor, tail), node))
            else:
                self.edges.append(Edge("forward", tail, node, self._label(tensor)))
        self.maker |= dict.fromkeys(made, node)
        for tensor in made:
            if tensor in self.roots:
                self._end(node, [tensor], "backward root")
        loose = [tensor for tensor in made if tensor not in self.read and tensor not in self.roots]
        if loose:
            self._end(node, loose, "")

    def _end(self, node: int, made: list[int], mark: str) -> None:
        output = self._add("output", [("name", _names(made)), ("mark", mark)])
        self.edges.append(Edge("forward", node, output))
        self.output |= dict.fromkeys(made, output)

    def _add(self, kind: str, lines: Iterable[tuple[str, str]]) -> int:
        self.nodes.append(Node(kind, [(name, text) for name, text in lines if text]))
        return len(self.nodes) - 1

    def _label(self, tensor: int) -> str:
        """The tensor's name, where the node it comes from makes several."""
        shared = any(tensor in made for made in self.created if len(made) > 1)
        return f"t{tensor}" if shared else ""

    def _find(self, index: int, tensor: Any) -> int:
        if tensor not in self.maker:
            last = len(self.maker) - 1
            raise ValueError(f"statement {index} uses tensor {tensor!r}: expected 0 to {last}")
        return self.maker[tensor]


def _swept(statement: Mapping[str, Any]) -> Sequence[int]:
    """Tensors that a statement differentiates."""
    return statement[_SWEPT[statement["kind"]]] if statement["kind"] in _SWEPT else ()


def _read(statement: Mapping[str, Any]) -> Sequence[int]:
    """Tensors that a statement computes others from."""
    kind = statement["kind"]
    if kind == "call":
        return statement["inputs"]
    if kind == "make_dual":
        return [statement["primal"], statement["tangent"]]
    return [statement["tensor"]] if kind in _MAKES else []


def _names(numbers: Sequence[int]) -> str:
    return ", ".join(f"t{number}" for number in numbers)


def _note(statement: Mapping[str, Any]) -> str:
    """What a statement does to a tensor besides its value."""
    match statement["kind"]:
        case "requires_grad":
            return requires_grad(statement).removeprefix(".")
        case "zero_grad":
            return "grad = None" if statement["how"] == "none" else "grad.zero_()"
        case "set_data" | "set_grad":
            return f"{statement['kind'].removeprefix('set_')} = t{statement['source']}"
        case "hook":
            return hook(statement)
        case "delete":
            return "del"
        case "inspect":
            return "grad_fn"
    return f"{statement['kind']}()"
