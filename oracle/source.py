"""Programs as lines of Python.

Only valid programs are written (`oracle.program.check`), so that every name comes from the catalogue or from
a table of the harness, and all else is a number.
"""

from __future__ import annotations

import inspect
import math
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from oracle import hooks
from oracle.catalogue import CATALOGUE
from oracle.engines.torchlike import STORED, array_of
from oracle.functions import FUNCTIONS
from oracle.hooks import BEHAVIOURS, REGISTER_SOURCE
from oracle.modes import MODES, in_thread
from oracle.plan import COMPOSITE, plan
from oracle.program import (
    Backward,
    Call,
    Delete,
    Enter,
    Grad,
    Gradient,
    Hook,
    IncrementVersion,
    Inspect,
    Leaf,
    Literal,
    MakeDual,
    Program,
    ReadGrad,
    RemoveHook,
    RequiresGrad,
    RetainGrad,
    SetData,
    SetGrad,
    SetGradEnabled,
    Statement,
    UnpackDual,
    ZeroGrad,
    created,
)
from oracle.saving import SAVING


class Line(NamedTuple):
    """A line of a program and the number of its statement, -1 for a leaf."""

    statement: int
    margin: str
    text: str

    def __str__(self) -> str:
        return self.margin + self.text


# --- single statements --------------------------------------------------------------------------------------


def leaf_source(leaf: Leaf) -> str:
    """An expression that makes the leaf."""
    made = array_source(STORED[leaf.layout](array_of(leaf.value)))
    made += _VIEWS[leaf.layout].format(list(leaf.value.shape))
    return f"{made}.requires_grad_()" if leaf.requires_grad else made


def statement_source(statement: Statement, first: int) -> list[str]:
    """The lines of a statement, none for one that opens or closes a span; `first` is the number of the first
    tensor it creates."""
    match statement:
        case Call():
            spec = CATALOGUE[statement.op]
            if not statement.outputs and spec.outputs[1] == 0:
                return [_call(statement)]
            return [f"{_targets(first, statement.outputs, spec.outputs[1] > 1)} = {_call(statement)}"]
        case Grad():
            arguments = [_tensors(statement.outputs, statement.edges in ("roots", "both"))]
            arguments += [_tensors(statement.inputs, statement.edges in ("inputs", "both")), *_arguments(statement)]
            made = f"torch.autograd.grad({', '.join(arguments)})"
            return [f"{_targets(first, len(statement.inputs), True)} = {made}"]
        case Backward(roots=(root,), gradients=(_,), edges=None):
            return [f"t{root}.backward({', '.join(_arguments(statement))})"]
        case Backward():
            arguments = [_tensors(statement.roots, statement.edges in ("roots", "both")), *_arguments(statement)]
            return [f"torch.autograd.backward({', '.join(arguments)})"]
        case SetGradEnabled():
            return [f"torch.set_grad_enabled({statement.value})"]
        case ZeroGrad(how="none"):
            return [f"t{statement.tensor}.grad = None"]
        case ZeroGrad():
            return [f"if t{statement.tensor}.grad is not None:", f"    t{statement.tensor}.grad.zero_()"]
        case RetainGrad():
            return [f"t{statement.tensor}.retain_grad()"]
        case RequiresGrad(how="method"):
            return [f"t{statement.tensor}.requires_grad_({statement.value})"]
        case RequiresGrad():
            return [f"t{statement.tensor}.requires_grad = {statement.value}"]
        case SetData():
            return [f"t{statement.tensor}.data = t{statement.source}"]
        case SetGrad():
            return [f"t{statement.tensor}.grad = t{statement.source}"]
        case ReadGrad():
            return [f"t{first} = t{statement.tensor}.grad"]
        case Delete():
            return [f"del t{statement.tensor}"]
        case IncrementVersion():
            return [f"torch.autograd.graph.increment_version(t{statement.tensor})"]
        case Inspect():
            return [f"t{statement.tensor}.grad_fn"]
        case Hook():
            return [_hook(statement)]
        case RemoveHook():
            return [f"handle_{statement.number}.remove()"]
        case MakeDual():
            return [f"t{first} = torch.autograd.forward_ad.make_dual(t{statement.primal}, t{statement.tangent})"]
        case UnpackDual():
            return [f"t{first}, t{first + 1} = torch.autograd.forward_ad.unpack_dual(t{statement.tensor})"]
    return []


def _call(call: Call) -> str:
    spec = CATALOGUE[call.op]
    names = [f"t{i}" for i in call.inputs]
    if call.through is None:
        return spec.source(names, call.params)
    inner = spec.source([f"t[{i}]" for i in range(len(names))], call.params)
    if spec.style == "setitem":  # a statement, which no lambda holds
        inner = f"t[0].__setitem__({inner.removeprefix('t[0][').replace('] = ', ', ', 1)})"
    arguments = [f"lambda *t: {inner}", *names, f"use_reentrant={call.through == 'reentrant_checkpoint'}"]
    return f"torch.utils.checkpoint.checkpoint({', '.join(arguments)})"


def _hook(hook: Hook) -> str:
    behaviour = BEHAVIOURS[hook.place]
    handle = f"handle_{hook.number}"
    value = gradient_source(hook.value)
    result = behaviour.actions[hook.action].source.format(value=value, handle=handle)
    function = f"lambda {behaviour.parameters}: called({hook.number}, {behaviour.source}) or {result}"
    names = [f"t{i}" for i in hook.tensors]
    first = names[0] if names else "None"
    register = REGISTER_SOURCE[hook.place].format(first=first, all=f"[{', '.join(names)}]", hook=function)
    return f"{handle} = {register}"


def _arguments(statement: Backward | Grad) -> list[str]:
    """What backward and grad take from their gradients on."""
    arguments = []
    roots = statement.roots if isinstance(statement, Backward) else statement.outputs
    alone = isinstance(statement, Backward) and len(roots) == len(statement.gradients) == 1 and not statement.edges
    if any(gradient is not None for gradient in statement.gradients) or len(roots) != len(statement.gradients):
        given = [gradient_source(g) + (".clone()" if type(g) is int else "") for g in statement.gradients]
        arguments.append(given[0] if alone else f"[{', '.join(given)}]")
    if statement.retain_graph is not None:
        arguments.append(f"retain_graph={statement.retain_graph}")
    if statement.create_graph:
        arguments.append("create_graph=True")
    if isinstance(statement, Grad):
        if statement.allow_unused or (statement.allow_unused is False and statement.materialize_grads):
            arguments.append(f"allow_unused={statement.allow_unused}")
        arguments += ["is_grads_batched=True"] if statement.is_grads_batched else []
        arguments += ["materialize_grads=True"] if statement.materialize_grads else []
    elif statement.inputs is not None:
        arguments.append(f"inputs={_tensors(statement.inputs, statement.edges in ('inputs', 'both'))}")
    return arguments


def gradient_source(gradient: Gradient) -> str:
    """A gradient that a statement brings along, as an expression."""
    if isinstance(gradient, Literal):
        return array_source(array_of(gradient))
    if isinstance(gradient, float) and not math.isfinite(gradient):
        return f'float("{gradient}")'
    return f"t{gradient}" if type(gradient) is int else repr(gradient)


def _targets(first: int, count: int, unpacked: bool) -> str:
    names = [f"t{i}" for i in range(first, first + count)]
    if not names:
        return "()"
    return f"({names[0]},)" if unpacked and count == 1 else ", ".join(names)


def _tensors(numbers: Sequence[int], edges: bool = False) -> str:
    names = [f"torch.autograd.graph.get_gradient_edge(t{i})" if edges else f"t{i}" for i in numbers]
    return f"[{', '.join(names)}]"


def array_source(array: np.ndarray) -> str:
    """A tensor with an array's numbers."""
    if not array.size:
        return f"torch.zeros({list(array.shape)}, dtype=torch.{array.dtype})"
    return f"torch.tensor({_nested(array)}, dtype=torch.{array.dtype})"


def _nested(array: np.ndarray) -> str:
    return f"[{', '.join(map(_nested, array))}]" if array.ndim else number_source(array)


def number_source(array: Any) -> str:
    """The shortest text that gives a 0-dim array (or scalar) back, through float64."""
    value = array.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return f'float("{value}")'
        short = float(str(array[()]))
        value = short if array.dtype.type(short) == value else value
    return repr(value)


_VIEWS = {
    "contiguous": "",
    "transposed": ".transpose(-1, -2).detach()",
    "strided": "[..., ::2].detach()",
    "expanded": ".expand({}).detach()",
}


# --- whole programs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Writing:
    """How a program is written out.

    last: the last statement that is written. raising: the statements that raise, which go into `with raising():`.
    skipped: those that are left out. before, after: lines to add before and after statements; after ~k: right
    inside the span that statement k opens. instead: what a statement's line is put into, as {}.
    """

    last: int
    raising: Collection[int] = ()
    skipped: Collection[int] = ()
    before: Mapping[int, Sequence[str]] = field(default_factory=dict)
    after: Mapping[int, Sequence[str]] = field(default_factory=dict)
    instead: Mapping[int, str] = field(default_factory=dict)


def listing(program: Program, how: Writing | None = None) -> list[Line]:
    """The whole program, or as much of it as is asked for; spans that are open at its end are closed."""
    lines = [Line(-1, "", f"t{i} = {leaf_source(leaf)}") for i, leaf in enumerate(program.leaves)]
    writer = _Writer(program, how or Writing(len(program.statements)))
    return [*lines, *writer.statements(0, len(program.statements), "")]


class _Writer:
    """Writes the statements of a program, span by span."""

    def __init__(self, program: Program, how: Writing) -> None:
        self.program, self.how = program, how
        self.ends = plan(program).ends
        self.firsts = [len(program.leaves)]
        for statement in program.statements:
            self.firsts.append(self.firsts[-1] + created(statement))

    def statements(self, start: int, stop: int, margin: str, yielding: bool = False) -> Iterator[Line]:
        """The lines of the statements from start to stop."""
        index = start
        while index < stop and index <= self.how.last:
            statement = self.program.statements[index]
            for text in self.how.before.get(index, ()):
                yield Line(index, margin, text)
            if isinstance(statement, Enter):
                end = self.ends[index]
                yield from self.span(index, end, statement.mode, margin)
                index = end
            elif index not in self.how.skipped:
                lines = [*self.up_to_date(statement), *statement_source(statement, self.firsts[index])]
                if index in self.how.instead:
                    lines = [self.how.instead[index].format(*lines)]
                if index in self.how.raising:
                    yield Line(index, margin, "with raising():  # in both")
                    lines = [f"    {text}" for text in lines]
                yield from (Line(index, margin, text) for text in lines)
            if index <= self.how.last:
                for text in self.how.after.get(index, ()):
                    yield Line(index, margin, text)
            if yielding:
                yield Line(index, margin, "yield")
            index += 1

    def span(self, start: int, end: int, mode: str, margin: str) -> Iterator[Line]:
        """The lines of a span."""
        inner = f"{margin}    "
        if start in self.how.raising:
            yield Line(start, margin, "with raising():  # in both")
            yield Line(start, inner, f"with {MODES[mode].source}:")
            yield Line(start, f"{inner}    ", "pass")
            return
        if mode in ("thread", "generator"):
            new, old = self.bound(start, end)
            names = [*new, *old]
            if new:
                yield Line(start, margin, f"{' = '.join(new)} = None")
            if mode == "generator":
                yield Line(start, margin, "@torch.no_grad()")
            yield Line(start, margin, f"def span_{start}():")
            if names:
                yield Line(start, inner, f"nonlocal {', '.join(names)}")
        elif mode == "again" or any(self.reentered(start, end)):
            if mode != "again":
                yield Line(start, margin, f"mode_{start} = {MODES[mode].source}")
            yield Line(start, margin, f"with mode_{self.opened(start)}:")
        else:
            yield Line(start, margin, f"with {MODES[mode].source}:")
        if mode != "generator":  # there it is the caller that looks
            yield from (Line(start, inner, text) for text in self.how.after.get(~start, ()))
        inside = list(self.statements(start + 1, end, inner, mode == "generator"))
        yield from inside or [Line(end, inner, "yield" if mode == "generator" else "pass")]
        if mode == "thread":
            yield Line(end, margin, f"in_thread(span_{start})")
        elif mode == "generator":
            yield Line(end, margin, f"for _ in span_{start}():")
            yield from (Line(end, inner, text) for text in self.how.after.get(~start, ["pass"]))

    def up_to_date(self, statement: Statement) -> list[str]:
        """Lines that bring views up to date before a hook comes to them (see `oracle.hooks.up_to_date`)."""
        if not isinstance(statement, Hook) or statement.place in ("post_accumulate", "node", "node_pre"):
            return []
        views = [i for i in dict.fromkeys(statement.tensors) if self.may_be_a_view(i)]
        return [f"t{i}.grad_fn  # brings a view up to date" for i in views]

    def may_be_a_view(self, tensor: int) -> bool:
        index = bisect_right(self.firsts, tensor) - 1
        maker = self.program.statements[index] if index >= 0 else None
        if isinstance(maker, Call):
            return CATALOGUE[maker.op].aliases or maker.op in COMPOSITE
        return isinstance(maker, MakeDual | UnpackDual | ReadGrad | Grad)

    def bound(self, start: int, end: int) -> tuple[list[str], list[str]]:
        """The names that a span binds, and those of before that it deletes."""
        first = self.firsts[start]
        new, old = [f"t{i}" for i in range(first, self.firsts[end])], []
        for index in range(start, end):
            statement = self.program.statements[index]
            if isinstance(statement, Hook):
                new.append(f"handle_{statement.number}")
            elif isinstance(statement, Delete) and statement.tensor < first and index not in self.how.skipped:
                old.append(f"t{statement.tensor}")
        return new, old

    def reentered(self, start: int, end: int) -> Iterator[bool]:
        """For each span right inside this one whether it enters the same object again."""
        index = start + 1
        while index < end:
            statement = self.program.statements[index]
            if isinstance(statement, Enter):
                yield statement.mode == "again"
                index = self.ends[index]
            index += 1

    def opened(self, start: int) -> int:
        """The Enter that made the object that the one at `start` enters."""
        while True:
            statement = self.program.statements[start]
            assert isinstance(statement, Enter)
            if statement.mode != "again":
                return start
            start = max(i for i, end in self.ends.items() if i < start < end)


def definitions(program: Program) -> list[str]:
    """The source of the functions that the program's lines call."""
    used: dict[str, Any] = {}
    for statement in program.statements:
        if isinstance(statement, Call) and CATALOGUE[statement.op].style == "custom":
            used[CATALOGUE[statement.op].target] = FUNCTIONS[CATALOGUE[statement.op].target]
        elif isinstance(statement, Enter) and statement.mode in SAVING:
            used[statement.mode] = SAVING[statement.mode]
        elif isinstance(statement, Enter) and statement.mode == "thread":
            used["in_thread"] = in_thread
        elif isinstance(statement, Hook):
            action = BEHAVIOURS[statement.place].actions[statement.action].source
            used |= {name: getattr(hooks, name) for name in ("fail", "other") if f"{name}(" in action}
    return [inspect.getsource(function).rstrip() for function in used.values()]
