"""What a program exercises: short names for what happened when it ran, read off the program and its trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oracle.catalogue import CATALOGUE
from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Hook,
    Literal,
    MakeDual,
    Program,
    RequiresGrad,
    RetainGrad,
    SetData,
    SetGrad,
    Statement,
    ZeroGrad,
    created,
)
from oracle.program.statements import KIND_OF
from oracle.trace import Fault, Observation, Trace

SEVERAL_VIEWS = frozenset({"unbind", "split", "chunk", "tensor_split", "iter"})
OFF = frozenset({"no_grad", "grad_disabled", "inference_mode"})
ON = frozenset({"enable_grad", "grad_enabled", "inference_mode_off"})


def events(program: Program, trace: Trace) -> set[str]:
    """The names of all that the program exercised on the engine that the trace is of."""
    return _Reading(program, trace).found


class _Reading:
    """Walks a program along its trace, and knows of each tensor what was last seen of it."""

    def __init__(self, program: Program, trace: Trace) -> None:
        self.found: set[str] = set()
        self.modes: list[str] = []
        self.last: dict[int, Observation] = {}
        self.origin: dict[int, str] = {}  # the op that made a tensor, or the first of a chain of views of several
        self.made_in: dict[int, str] = {}  # the mode that a view was made in, where recording was off
        self.hooked: set[int] = set()
        self.written: set[int] = set()
        self.passed = 0
        entries = _by_statement(trace)
        self.note(entries.get(None, []))
        count = len(program.leaves)
        for leaf in program.leaves:
            self.leaf(leaf.layout, leaf.value)
        for index, statement in enumerate(program.statements):
            here = entries.get(index, [])
            if not any(what == "skipped" for what, _, _ in here):
                fault = next((entry for _, _, entry in here if type(entry) is Fault), None)
                self.statement(statement, count, fault)
                self.seen(here)
            self.note(here)
            count += created(statement)

    def note(self, entries: list[tuple[str, int | None, Any]]) -> None:
        """Remember what was seen of tensors."""
        for what, tensor, entry in entries:
            if tensor is not None and type(entry) is Observation and what in ("value", "after", "inspected"):
                self.last[tensor] = entry

    def leaf(self, layout: str, value: Literal) -> None:
        self.found.add(f"leaf:{layout}")
        if not value.shape:
            self.found.add("0-dim")
        if 0 in value.shape:
            self.found.add("empty")

    def seen(self, entries: list[tuple[str, int | None, Any]]) -> None:
        """What the entries of one statement tell by themselves."""
        hooks = [what for what, _, _ in entries if what == "hook"]
        if hooks:
            self.found.add("hook called")
        if len(hooks) > 1:
            self.found.add("hooks called in order")
        for what, _, entry in entries:
            if what == "gradient" and entry is None:
                self.found.add("hook given None")
            if what == "grad" and type(entry) is Observation:
                self.found.add("grad same object" if entry.same == -1 else "grad new object")
                if entry.requires_grad:
                    self.found.add("grad with graph")
            if what == "grad" and entry is None:
                self.found.add("grad None")
            if what in ("inspected", "value", "after") and type(entry) is Observation:
                if entry.is_view:
                    self.found.add("view")
                if entry.is_inference:
                    self.found.add("inference tensor")
                if entry.grad_fn in ("torch::autograd::CopySlices", "AsStridedBackward0"):
                    self.found.add(f"node {entry.grad_fn.rpartition('::')[2]}")
                if what == "inspected" and entry.grad_fn and " " in entry.grad_fn:
                    self.found.add("stale view inspected")

    # Statements

    def statement(self, statement: Statement, number: int, fault: Fault | None) -> None:
        kind = KIND_OF[type(statement)]
        self.found.add(kind)
        if fault is not None:
            self.found.update((f"{kind} raises", f"{kind} raises {fault.type}"))
            if self.passed:
                self.found.add("raises after a pass")
        elif any(event.endswith(" raises") for event in self.found):
            self.found.add("goes on after an exception")
        reader = _READERS.get(type(statement))
        if reader is not None:
            reader(self, statement, number, fault)

    def mode(self) -> str | None:
        """The mode that keeps operations from being recorded; None where they are."""
        for mode in reversed(self.modes):
            if mode in ON:
                return None
            if mode in OFF:
                return mode
        return None

    def enter(self, statement: Enter, number: int, fault: Fault | None) -> None:
        self.found.add(f"mode {statement.mode}")
        if self.modes:
            self.found.update(("nested modes", f"mode {statement.mode} in {self.modes[-1]}"))
        self.modes.append(statement.mode)

    def exit(self, statement: Exit, number: int, fault: Fault | None) -> None:
        if self.modes:
            self.modes.pop()

    def call(self, call: Call, number: int, fault: Fault | None) -> None:
        spec, off = CATALOGUE[call.op], self.mode()
        add = self.found.add
        add(f"op {call.op}")
        add(f"family {spec.family}")
        if fault is not None:
            add(f"op {call.op} raises")
        if call.through:
            self.found.update((f"through {call.through}", f"{call.through} in {off or 'grad mode'}"))
        if len(set(call.inputs)) < len(call.inputs):
            add("one tensor twice")
        operands = [self.last[i] for i in call.inputs if i in self.last]
        if len({o.dtype for o in operands if o.dtype.startswith("float")}) > 1:
            add("mixed dtypes")
        if len({o.shape for o in operands}) > 1 and spec.family == "pointwise":
            add("broadcast")
        if any(o.is_inference for o in operands):
            add("inference operand" + (" raises" if fault else ""))
        if spec.writes and call.inputs:
            self.write(call, spec.family, fault)
        for made in range(number, number + call.outputs):
            self.origin[made] = self._origin(call)
            if off is not None:
                self.made_in[made] = off
            elif call.inputs and call.inputs[0] in self.made_in and spec.aliases:
                self.made_in[made] = self.made_in[call.inputs[0]]
        if spec.aliases and call.inputs:
            add(f"view made in {off or 'grad mode'}")
            if (first := self.last.get(call.inputs[0])) is not None and first.is_view:
                add("view of a view")

    def _origin(self, call: Call) -> str:
        if call.op not in SEVERAL_VIEWS and call.inputs and CATALOGUE[call.op].aliases:
            before = self.origin.get(call.inputs[0], "")
            if before in SEVERAL_VIEWS:
                return before
        return call.op

    def write(self, call: Call, family: str, fault: Fault | None) -> None:
        """A call that writes its first input."""
        target, off = call.inputs[0], self.mode()
        seen = self.last.get(target)
        if seen is None:
            return
        what = ["write"]
        if seen.is_inference:
            what.append("write to an inference tensor")
        if off is not None:
            what.append(f"write in {off}")
        elif seen.requires_grad:
            if seen.is_view:
                what.append("write to a view")
                if self.origin.get(target) in SEVERAL_VIEWS:
                    what.append("write to one of several views")
                if target in self.made_in:
                    what.append(f"write to a view made in {self.made_in[target]}")
                if self.origin.get(target, "").startswith("custom_"):
                    what.append("write to a view made by a custom function")
            elif seen.is_leaf:
                what.append("write to a leaf")
            else:
                what.append("write to a result")
        elif any(self.last[i].requires_grad for i in call.inputs[1:] if i in self.last):
            what.append("write of what requires grad")
        if any(o.storage == seen.storage and o.is_view for i, o in self.last.items() if i != target):
            what.append("write with views")
        if target in self.hooked:
            what.append("write after a hook")
        if seen.retains_grad:
            what.append("write after retain_grad")
        if target in call.inputs[1:]:
            what.append("write of itself")
        if len({self.last[i].dtype for i in call.inputs if i in self.last}) > 1:
            what.append("write of another dtype")
        self.written.add(target)
        self.found.update(f"{name} raises" if fault else name for name in what)

    def backward(self, statement: Backward, number: int, fault: Fault | None) -> None:
        self._pass("backward", statement, statement.roots, fault)
        if statement.inputs is not None:
            self._inputs("backward", statement.inputs)

    def grad(self, statement: Grad, number: int, fault: Fault | None) -> None:
        self._pass("grad", statement, statement.outputs, fault)
        self._inputs("grad", statement.inputs)
        for name in ("materialize_grads", "is_grads_batched", "allow_unused"):
            if getattr(statement, name):
                self.found.add(f"grad {name}" + (" raises" if fault else ""))

    def _pass(self, kind: str, statement: Backward | Grad, roots: tuple[int, ...], fault: Fault | None) -> None:
        add = self.found.add
        for name in ("retain_graph", "create_graph"):
            if getattr(statement, name):
                add(f"{kind} {name}")
        if statement.retain_graph is False and statement.create_graph:
            add(f"{kind} create_graph without retain_graph")
        if len(roots) > 1:
            add(f"{kind} several roots")
        if len(set(roots)) < len(roots):
            add(f"{kind} one root twice")
        if statement.edges:
            add(f"{kind} edges {statement.edges}")
        if self.modes:
            add(f"{kind} in {self.modes[-1]}")
        if len(statement.gradients) != len(roots):
            add(f"{kind} wrong number of gradients")
        for root, gradient in zip(roots, statement.gradients, strict=False):
            seen = self.last.get(root)
            if seen is None:
                continue
            if not seen.requires_grad:
                add(f"{kind} root without grad")
            if seen.is_leaf:
                add(f"{kind} from a leaf")
            if gradient is None:
                add(f"{kind} implicit gradient" + (" raises" if fault and seen.value.size != 1 else ""))
            elif isinstance(gradient, Literal):
                if gradient.shape != seen.shape:
                    add(f"{kind} gradient of wrong shape")
                elif gradient.dtype != seen.dtype:
                    add(f"{kind} gradient of another dtype")
            elif type(gradient) is int:
                add(f"{kind} gradient is a tensor of the program")
                if (given := self.last.get(gradient)) is not None and given.requires_grad:
                    add(f"{kind} gradient requires grad")
            else:
                add(f"{kind} gradient is a number")
        if self.passed:
            add(f"{kind} again")
        if self.written:
            add(f"{kind} after a write" + (" raises" if fault else ""))
        self.passed += 1

    def _inputs(self, kind: str, inputs: tuple[int, ...]) -> None:
        seen = [self.last[i] for i in inputs if i in self.last]
        if any(not o.is_leaf for o in seen):
            self.found.add(f"{kind} input is a result")
        if any(o.is_leaf for o in seen):
            self.found.add(f"{kind} input is a leaf")
        if any(not o.requires_grad for o in seen):
            self.found.add(f"{kind} input without grad")
        if len(set(inputs)) < len(inputs):
            self.found.add(f"{kind} one input twice")

    def hook(self, hook: Hook, number: int, fault: Fault | None) -> None:
        self.hooked.update(hook.tensors)
        seen = self.last.get(hook.tensors[0])
        where = "leaf" if seen is not None and seen.is_leaf else "result"
        self.found.update((f"hook {hook.place}", f"hook {hook.place} {hook.action}", f"hook {hook.place} on a {where}"))
        if fault:
            self.found.add(f"hook {hook.place} raises")
        if hook.tensors[0] in self.written:
            self.found.add("hook after a write")

    def requires_grad(self, statement: RequiresGrad, number: int, fault: Fault | None) -> None:
        seen = self.last.get(statement.tensor)
        if seen is None:
            return
        where = "inference tensor" if seen.is_inference else "leaf" if seen.is_leaf else "result"
        if seen.is_view:
            self.found.add("requires_grad of a view")
        kind = "" if seen.dtype.startswith("float") else " of integers"
        what = f"requires_grad {statement.value} by {statement.how} on a {where}{kind}"
        self.found.update((what, "requires_grad after a pass" if self.passed else what))

    def retain_grad(self, statement: RetainGrad, number: int, fault: Fault | None) -> None:
        seen = self.last.get(statement.tensor)
        if seen is not None:
            self.found.add("retain_grad on a " + ("leaf" if seen.is_leaf else "result"))

    def set_data(self, statement: SetData, number: int, fault: Fault | None) -> None:
        before, after = self.last.get(statement.tensor), self.last.get(statement.source)
        if before and after and before.shape != after.shape:
            self.found.add("set_data of another shape")

    def set_grad(self, statement: SetGrad, number: int, fault: Fault | None) -> None:
        if statement.tensor == statement.source:
            self.found.add("set_grad of itself")

    def zero_grad(self, statement: ZeroGrad, number: int, fault: Fault | None) -> None:
        self.found.add(f"zero_grad {statement.how}")

    def made_dual(self, statement: MakeDual, number: int, fault: Fault | None) -> None:
        if any(o.requires_grad for i in (statement.primal, statement.tangent) if (o := self.last.get(i))):
            self.found.add("dual that requires grad")


Reader = Callable[[_Reading, Any, int, Fault | None], None]
_READERS: dict[type, Reader] = {
    Enter: _Reading.enter,
    Exit: _Reading.exit,
    Call: _Reading.call,
    Backward: _Reading.backward,
    Grad: _Reading.grad,
    Hook: _Reading.hook,
    RequiresGrad: _Reading.requires_grad,
    RetainGrad: _Reading.retain_grad,
    SetData: _Reading.set_data,
    SetGrad: _Reading.set_grad,
    ZeroGrad: _Reading.zero_grad,
    MakeDual: _Reading.made_dual,
}


def _by_statement(trace: Trace) -> dict[int | None, list[tuple[str, int | None, Any]]]:
    found: dict[int | None, list[tuple[str, int | None, Any]]] = {}
    for place, entry in zip(trace.places, trace.seen, strict=False):
        found.setdefault(place.statement, []).append((place.what, place.tensor, entry))
    return found
