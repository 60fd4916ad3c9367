"""Runs a program on an engine and writes down what can be seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from oracle.catalogue import CATALOGUE
from oracle.engines.protocol import Engine, Tensor
from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Literal,
    Program,
    ProgramError,
    RequiresGrad,
    RetainGrad,
    Statement,
    ZeroGrad,
    created,
)
from oracle.trace import Fault, Observation, Trace, watched


def run(program: Program, engine: Engine) -> Trace:
    """Runs `program` until it ends or a statement raises; an engine's exceptions become part of the trace.

    Raises ProgramError if the program calls an op that is not in the catalogue.
    """
    for statement in program.statements:
        if type(statement) is Call and statement.op not in CATALOGUE:
            raise ProgramError(f"no op {statement.op!r} in the catalogue")
    course = _Course(engine)
    with warnings.catch_warnings(action="ignore"), engine.mode("enable_grad"):
        try:
            fault = course.follow(program)
            return course.trace(fault, len(program.statements))
        finally:
            course.leave_modes()


class Absent(RuntimeError):
    """A statement needs a tensor that `autograd.grad` left out: no engine is asked what it makes of that."""


class _Course:
    """One run: the engine, what was made and seen so far, and the grad modes entered."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tensors: list[Tensor | None] = []
        self.absent: set[int] = set()
        self.modes: list[Any] = []
        self.seen: list[Observation | None] = []

    def follow(self, program: Program) -> Fault | None:
        """Runs the program. Returns what ended it early, if anything did."""
        engine, tensors, seen = self.engine, self.tensors, self.seen
        observe, observed = engine.observe, watched(program)
        index: int | None = None
        observing = False
        try:
            for leaf in program.leaves:
                tensor = engine.leaf(leaf)
                observing = True
                seen.append(observe(tensor))
                tensors.append(tensor)
                observing = False
            for index, statement in enumerate(program.statements):  # noqa: B007 (read where it stopped)
                made = _STATEMENTS[type(statement)](self, statement)
                observing = True
                if made is not None:
                    self.keep(made, statement)
                elif type(statement) is Backward:
                    seen.extend(self.gradient(i) for i in observed if i < len(tensors))
                observing = False
        except Exception as error:
            return _fault(index, error, observing)
        return None

    def keep(self, made: Sequence[Tensor | None], statement: Statement) -> None:
        """Observes and numbers what a statement made."""
        if len(made) != created(statement):
            raise TypeError(f"{len(made)} tensors where {created(statement)} were expected")
        observe = self.engine.observe
        for tensor in made:
            if tensor is None and type(statement) is Grad:
                self.absent.add(len(self.tensors))
                self.seen.append(None)
            else:
                self.seen.append(observe(tensor))
            self.tensors.append(tensor)

    def trace(self, fault: Fault | None, end: int) -> Trace:
        """What was seen, and what can be seen now."""
        observe = self.engine.observe
        state: list[Observation | None] = []
        grads: list[Observation | None] = []
        try:
            state.extend(None if tensor is None else observe(tensor) for tensor in self.tensors)
            grads.extend(self.gradient(i) for i in range(len(self.tensors)))
        except Exception as error:
            fault = fault or _fault(end, error, True)
        return Trace(self.seen, state, grads, fault)

    def gradient(self, number: int) -> Observation | None:
        """What can be seen of a tensor's `.grad`."""
        tensor = self.tensors[number]
        gradient = None if tensor is None else self.engine.gradient(tensor)
        return None if gradient is None else self.engine.observe(gradient)

    def get(self, numbers: Sequence[int]) -> list[Tensor]:
        """The tensors of these numbers."""
        if self.absent and not self.absent.isdisjoint(numbers):
            raise Absent(f"tensor {min(self.absent.intersection(numbers))} is None")
        tensors = self.tensors
        return [tensors[i] for i in numbers]

    def cotangents(self, literals: Sequence[Literal | None]) -> list[Tensor | None]:
        """Tensors for the gradients that a statement brings along."""
        return [None if literal is None else self.engine.literal(literal) for literal in literals]

    def leave_modes(self) -> None:
        """Leaves the modes that a fault left open; the trace has the fault, so nothing is lost here."""
        while self.modes:
            with suppress(Exception):
                self.modes.pop().__exit__(None, None, None)


def _fault(statement: int | None, error: Exception, observing: bool) -> Fault:
    name = "Absent" if type(error) is Absent else _builtin(type(error))
    return Fault(statement, name, (str(error).splitlines() or [""])[0], observing)


def _builtin(cls: type) -> str:
    return next(base.__name__ for base in cls.__mro__ if base.__module__ == "builtins")


def _call(course: _Course, call: Call) -> tuple[Tensor, ...]:
    return course.engine.call(CATALOGUE[call.op], course.get(call.inputs), call.params)


def _enter(course: _Course, enter: Enter) -> None:
    mode = course.engine.mode(enter.mode)
    mode.__enter__()
    course.modes.append(mode)


def _exit(course: _Course, exit: Exit) -> None:
    course.modes.pop().__exit__(None, None, None)


def _backward(course: _Course, backward: Backward) -> None:
    course.engine.backward(
        course.get(backward.roots),
        course.cotangents(backward.gradients),
        backward.retain_graph,
        backward.create_graph,
        None if backward.inputs is None else course.get(backward.inputs),
    )


def _grad(course: _Course, grad: Grad) -> tuple[Tensor | None, ...]:
    return course.engine.grad(
        course.get(grad.outputs),
        course.get(grad.inputs),
        course.cotangents(grad.gradients),
        grad.retain_graph,
        grad.create_graph,
        grad.allow_unused,
    )


def _zero_grad(course: _Course, zero: ZeroGrad) -> None:
    (tensor,) = course.get((zero.tensor,))
    course.engine.zero_grad(tensor, zero.how)


def _retain_grad(course: _Course, retain: RetainGrad) -> None:
    (tensor,) = course.get((retain.tensor,))
    course.engine.retain_grad(tensor)


def _requires_grad(course: _Course, requires: RequiresGrad) -> None:
    (tensor,) = course.get((requires.tensor,))
    course.engine.requires_grad(tensor, requires.value)


_STATEMENTS: dict[type, Callable[[_Course, Any], Sequence[Tensor | None] | None]] = {
    Call: _call,
    Enter: _enter,
    Exit: _exit,
    Backward: _backward,
    Grad: _grad,
    ZeroGrad: _zero_grad,
    RetainGrad: _retain_grad,
    RequiresGrad: _requires_grad,
}
