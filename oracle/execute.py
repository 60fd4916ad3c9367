"""Runs a program on an engine and writes down what can be seen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from oracle.catalogue import CATALOGUE
from oracle.engines.protocol import Engine, Tensor
from oracle.modes import in_thread
from oracle.perform import PERFORM, Skipped
from oracle.plan import Plan, plan
from oracle.program import (
    Backward,
    Call,
    Enter,
    Gradient,
    Literal,
    MakeDual,
    Program,
    ProgramError,
    ReadGrad,
    Statement,
    UnpackDual,
    created,
    references_of,
)
from oracle.trace import UNREAD, Entry, Fault, Observation, Place, Trace

MAX_FAULTS = 8
"""Exceptions after which a run ends: what is left of a program then shows little."""


def run(program: Program, engine: Engine, known: Plan | None = None) -> Trace:
    """Runs `program`; an engine's exceptions become part of the trace, and the program goes on after them.

    `known` is its plan, for a program that is run more than once. Raises ProgramError if the program calls an
    op that is not in the catalogue.
    """
    for statement in program.statements:
        if type(statement) is Call and statement.op not in CATALOGUE:
            raise ProgramError(f"no op {statement.op!r} in the catalogue")
    course = Course(program, engine, known or plan(program))
    with warnings.catch_warnings(action="ignore"), engine.mode("enable_grad"):
        course.follow()
        return course.trace()


class Course:
    """One run: the engine, what was made and seen so far."""

    def __init__(self, program: Program, engine: Engine, known: Plan) -> None:
        self.program, self.engine, self.plan = program, engine, known
        self.tensors: list[Tensor | None] = []
        self.absent: set[int] = set()
        self.contexts: list[AbstractContextManager[Any]] = []
        self.handles: dict[int, Any] = {}
        self.places: list[Place] = []
        self.seen: list[Entry] = []
        self.at: int | None = None  # the statement that runs
        self.faults = 0
        self.stopped = False
        self.homes: dict[Any, int] = {}  # by what tells memory apart, the first tensor there
        self.versions: dict[int, int] = {}  # of loose tensors, when they appeared
        self.tangents: set[int] = set()  # what duals were unpacked into
        self.inference: set[int] = set()  # inference tensors, and what was computed from them
        self.last: dict[int, Tensor] = {}  # by tensor its last `.grad`

    # Going through the statements

    def follow(self) -> None:
        """Runs the program."""
        number, observing = 0, False
        try:
            for number, leaf in enumerate(self.program.leaves):
                observing = False
                self.tensors.append(self.engine.leaf(leaf))
                observing = True
                self.note(Place(None, number, "value"), self.look(number))
        except Exception as error:
            self.absent.add(number)
            self.tensors[number:] = [None]
            self.note(Place(None, None, "fault"), _fault(None, error, observing))
            return
        for _ in self.walk(0, len(self.program.statements)):
            pass

    def walk(self, start: int, stop: int) -> Iterator[int]:
        """Runs the statements from start to stop, one after each `next`; yields its number."""
        index = start
        while index < stop and not self.stopped:
            statement = self.program.statements[index]
            self.at = index
            if type(statement) is Enter:
                self.enter(index, statement)
                index = self.plan.ends[index]
            else:
                self.step(index, statement)
            yield index
            index += 1

    def step(self, index: int, statement: Statement) -> None:
        """Runs a statement."""
        if self.absent and not self.absent.isdisjoint(references_of(statement)):
            self.skip(index, statement)
            return
        observing = False
        count, noted = len(self.tensors), len(self.places)
        try:
            made = PERFORM[type(statement)](self, statement)
            observing = True
            if index in self.plan.unordered:
                self.order_calls(noted)
            if made is not None:
                self.keep(made, statement)
            if index in self.plan.written:
                self.show_written(index)
            if type(statement) is Backward:
                for number in self.plan.watched:
                    if number < count:
                        self.note(Place(index, number, "grad"), self.gradient(number))
        except Skipped:
            self.skip(index, statement)
        except Exception as error:
            if index in self.plan.unordered and not observing:
                self.order_calls(noted)
            del self.tensors[count:]
            self.leave_out(created(statement))
            self.fail(_fault(index, error, observing))

    def skip(self, index: int, statement: Statement) -> None:
        """Leaves a statement out, since a tensor that it needs is not there."""
        self.note(Place(index, None, "skipped"), None)
        self.leave_out(created(statement))

    def leave_out(self, count: int) -> None:
        """Numbers as many tensors that are not there."""
        for _ in range(count):
            self.absent.add(len(self.tensors))
            self.tensors.append(None)

    def enter(self, index: int, statement: Enter) -> None:
        """Runs a span in its mode."""
        end = self.plan.ends[index]
        if statement.mode == "thread":
            in_thread(lambda: self.span(index, end))
        elif statement.mode == "generator":
            for last in self.engine.without_grad(lambda: self.walk(index + 1, end)):
                self.at = index
                self.show_modes(last)  # those of the caller
        else:
            try:
                again = statement.mode == "again"
                context = self.contexts[-1] if again else self.engine.mode(statement.mode)
                context.__enter__()
            except Exception as error:
                for inside in range(index + 1, end):
                    self.skip(inside, self.program.statements[inside])
                self.fail(_fault(index, error, False))
                return
            self.contexts.append(context)
            try:
                self.span(index, end)
            finally:
                self.contexts.pop()
                self.at = end
                try:
                    context.__exit__(None, None, None)
                except Exception as error:
                    self.fail(_fault(end, error, False))
        if not self.stopped:
            self.at = end
            self.show_modes()

    def span(self, start: int, end: int) -> None:
        """Runs the statements between an Enter and its Exit."""
        self.show_modes()
        for _ in self.walk(start + 1, end):
            pass

    def fail(self, fault: Fault) -> None:
        """Keeps an exception, and what is left after it."""
        self.note(Place(fault.statement, None, "fault"), fault)
        self.faults += 1
        if self.stopped:
            return
        if self.faults == MAX_FAULTS:
            self.stopped = True
        try:
            for number, tensor in enumerate(self.tensors):
                if tensor is not None:
                    self.note(Place(fault.statement, number, "after"), self.look(number, full=False))
                    self.note(Place(fault.statement, number, "grad after"), self.gradient(number))
        except Exception as error:
            self.stopped = True
            self.note(Place(fault.statement, None, "fault"), _fault(fault.statement, error, True))

    # Looking

    def note(self, place: Place, entry: Entry) -> None:
        self.places.append(place)
        self.seen.append(entry)

    def keep(self, made: Sequence[Tensor | None], statement: Statement) -> None:
        """Numbers what a statement made, and looks at it."""
        if len(made) != created(statement):
            raise TypeError(f"{len(made)} tensors where {created(statement)} were expected")
        called = type(statement) is Call
        known: Sequence[int] = ()  # what a tensor may be itself
        if type(statement) is Call:
            if CATALOGUE[statement.op].aliases:
                known = statement.inputs[:1]
        elif type(statement) is ReadGrad:
            known = range(len(self.tensors))
        tensors, gradients = self.tensors, self.plan.gradients
        for tensor in made:
            number = len(tensors)
            own = number in gradients
            same = seen = None
            tensors.append(tensor)
            if tensor is None and not called:
                self.absent.add(number)
            else:
                if known and not (own and called):
                    same = next((k for k in known if tensor is tensors[k]), None)
                if self.inference and not self.inference.isdisjoint(_looked_into(statement)):
                    self.inference.add(number)
                if own and type(statement) is UnpackDual:
                    self.tangents.add(number)
                seen = self.look(number, True, same)
            self.places.append(Place(self.at, number, "grad" if own else "value"))
            self.seen.append(seen)

    def look(self, number: int, full: bool = True, same: int | None = None) -> Observation:
        """What can be seen of a tensor; `full`: its node too, even if it is a view."""
        tensor = self.tensors[number]
        if number not in self.plan.loose:
            seen = self.engine.observe(tensor, full, self.homes, number, same)
            if number in self.plan.lent and seen.grad_fn is not None:
                seen = seen._replace(grad_fn=UNREAD)
            if seen.is_inference:
                self.inference.add(number)
            elif number in self.inference:  # torch writes in place inside, counts it there, and may make it a view
                assert seen.version is not None
                since = seen.version - self.versions.setdefault(number, seen.version)
                if not full:
                    seen = seen._replace(is_leaf=None, grad_fn=UNREAD, output_nr=None)
                elif seen.grad_fn is not None:
                    seen = seen._replace(grad_fn=UNREAD)
                return seen._replace(version=since, is_view=None)
            return seen
        seen = self.engine.observe(tensor, full, None, number, same)
        if seen.is_inference:
            self.inference.add(number)
        if not full:  # whether it is a view, and so was left unread, is an engine's own business
            seen = seen._replace(is_leaf=None, grad_fn=UNREAD, output_nr=None)
        elif number in self.plan.lent and seen.grad_fn is not None:
            seen = seen._replace(grad_fn=UNREAD)
        if number in self.tangents:  # torch's may require grad with a gradient that is zero
            seen = seen._replace(requires_grad=False)
        version = seen.version
        if version is not None:
            version -= self.versions.setdefault(number, version)
        return seen._replace(version=version, is_view=None)

    def gradient(self, number: int) -> Observation | None:
        """What can be seen of a tensor's `.grad`."""
        tensor = self.tensors[number]
        gradient = None if tensor is None else self.engine.gradient(tensor)
        if gradient is None:
            if number in self.last:
                del self.last[number]
            return None
        seen = self.engine.observe(gradient)
        before = self.last.get(number)
        self.last[number] = gradient
        # Gradients may share memory with each other, and so a counter: torch makes some of one piece.
        return seen._replace(version=0, same=-1 if before is gradient else None)

    def show_written(self, index: int) -> None:
        """Looks at what a statement wrote, and at what may share memory with it."""
        for number in self.plan.written[index]:
            if number < len(self.tensors) and self.tensors[number] is not None:
                self.note(Place(index, number, "after"), self.look(number, full=False))

    def show_modes(self, part: int = 0) -> None:
        grad, inference = self.engine.modes()
        self.note(Place(self.at, None, "modes", part), f"grad {grad}, inference {inference}")

    def called(self, number: int, gradients: Sequence[Any]) -> None:
        """Notes that a hook was called, and with what."""
        self.note(Place(self.at, number, "hook"), f"{len(gradients)} gradients, grad {self.engine.modes()[0]}")
        for part, gradient in enumerate(gradients):
            seen = None if gradient is None else Observation(*self.engine.observe(gradient)[:5])
            self.note(Place(self.at, number, "gradient", part), seen)

    def order_calls(self, start: int) -> None:
        """Brings the calls of hooks noted from there on into the order of the hooks, those of each as they were."""
        hook, keyed = -1, []
        for place, entry in zip(self.places[start:], self.seen[start:], strict=True):
            if place.what == "hook":
                hook = place.tensor or 0
            keyed.append((hook, place, entry))
        keyed.sort(key=lambda item: item[0])
        self.places[start:] = [place for _, place, _ in keyed]
        self.seen[start:] = [entry for _, _, entry in keyed]

    def rehome(self) -> None:
        """Finds out anew which tensors share memory, since one of them changed its own."""
        self.homes.clear()
        for number, tensor in enumerate(self.tensors):
            if tensor is not None and number not in self.plan.loose:
                self.homes.setdefault(self.engine.storage(tensor), number)

    def trace(self) -> Trace:
        """What was seen, and what can be seen now."""
        state: list[Observation | None] = []
        grads: list[Observation | None] = []
        try:
            observe, homes, loose, lent = self.engine.observe, self.homes, self.plan.loose, self.plan.lent
            for number, tensor in enumerate(self.tensors):
                if tensor is None:
                    state.append(None)
                elif number in loose or self.inference or number in lent:
                    state.append(self.look(number))
                else:
                    state.append(observe(tensor, True, homes, number))
            grads.extend([self.gradient(number) for number in range(len(self.tensors))])
        except Exception as error:
            fault = _fault(len(self.program.statements), error, True)
            self.note(Place(fault.statement, None, "fault"), fault)
        return Trace(self.places, self.seen, state, grads)

    # What statements refer to

    def get(self, numbers: Sequence[int]) -> list[Tensor]:
        """The tensors of these numbers."""
        tensors = self.tensors
        return [tensors[i] for i in numbers]

    def cotangents(self, gradients: Sequence[Gradient]) -> list[Any]:
        """The gradients that a statement brings along, tensors of the program as copies.

        torch may return such a tensor itself, or make a view of it the `.grad` of a leaf and later write to it.
        """
        tensors: Sequence[Any] = self.tensors
        return [
            self.engine.literal(g) if type(g) is Literal else tensors[g].clone() if type(g) is int else g
            for g in gradients
        ]


def _fault(statement: int | None, error: Exception, observing: bool) -> Fault:
    message = (str(error).splitlines() or [""])[0]
    return Fault(statement, builtin(type(error)), message, observing)


def _looked_into(statement: Statement) -> Sequence[int]:
    """What a statement makes tensors of."""
    match statement:
        case Call():
            return statement.inputs
        case MakeDual():
            return (statement.primal,)
        case UnpackDual():
            return (statement.tensor,)
    return ()


def builtin(cls: type) -> str:
    """The name of an exception's nearest built-in class."""
    return next(base.__name__ for base in cls.__mro__ if base.__module__ == "builtins")
