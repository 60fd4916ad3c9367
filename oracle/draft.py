"""Editing a program: tensors come and go while the others keep their names, then all are numbered anew."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oracle.program import (
    Backward,
    Enter,
    Exit,
    Grad,
    Gradient,
    Hook,
    Leaf,
    Program,
    RemoveHook,
    Statement,
    created,
    references_of,
)
from oracle.program.statements import REFERS

Find = Callable[[int], int | None]
"""Looks up a tensor; None means that it is gone."""


@dataclass(frozen=True)
class Step:
    """A statement whose references are names, and the names of the tensors it creates."""

    statement: Statement
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Draft:
    """Leaves by name and steps in order. Names are the numbers tensors had in the program drafted from."""

    leaves: dict[int, Leaf]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, program: Program) -> "Draft":
        """The draft of a whole program."""
        steps, count = [], len(program.leaves)
        for statement in program.statements:
            end = count + created(statement)
            steps.append(Step(statement, tuple(range(count, end))))
            count = end
        return cls(dict(enumerate(program.leaves)), tuple(steps))

    def without(self, *gone: Step) -> "Draft":
        """Without some of its steps."""
        return Draft(
            self.leaves, tuple(step for step in self.steps if not any(step is other for other in gone))
        )

    def only(self, names: Iterable[int]) -> "Draft":
        """With no other leaves than these."""
        kept = set(names)
        return Draft({name: leaf for name, leaf in self.leaves.items() if name in kept}, self.steps)

    def used(self) -> set[int]:
        """The names that some step refers to."""
        return {name for step in self.steps for name in references_of(step.statement)}

    def without_orphans_of(self, before: "Draft") -> "Draft":
        """Without the tensors that `before` uses and nobody uses any more."""
        draft, were = self, before.used()
        while True:
            orphans = were - draft.used()
            dead = [step for step in draft.steps if step.outputs and orphans.issuperset(step.outputs)]
            draft = draft.only(draft.leaves.keys() - orphans).without(*dead)
            if not dead:
                return draft

    def program(self, instead: Mapping[int, int] | None = None) -> Program:
        """What is left, numbered: what needs a tensor that is gone goes too, and spans stay balanced.

        `instead` names for some tensors another that takes their place.
        """
        other = instead or {}
        number = {name: i for i, name in enumerate(self.leaves)}
        statements, count = [], len(self.leaves)
        for step in self.steps:
            statement, kept = renumbered(step.statement, lambda name: number.get(other.get(name, name)))
            if statement is None:
                continue
            statements.append(statement)
            outputs = step.outputs if kept is None else [step.outputs[k] for k in kept]
            number.update({name: count + k for k, name in enumerate(outputs)})
            count += len(outputs)
        return Program(tuple(self.leaves.values()), tuple(balanced(statements)))


def renumbered(statement: Statement, find: Find) -> tuple[Statement | None, Sequence[int] | None]:
    """`statement` with its references looked up, or None when it cannot do without one that is gone.

    The second value says which of its outputs are left; None means all.
    """
    match statement:
        case Backward():
            roots, gradients = _paired(statement.roots, statement.gradients, find)
            inputs = statement.inputs and (_found(statement.inputs, find) or None)
            fewer = replace(statement, roots=roots, gradients=gradients, inputs=inputs)
            return (fewer if roots or not statement.roots else None), None
        case Grad():
            outputs, gradients = _paired(statement.outputs, statement.gradients, find)
            found = {k: new for k, name in enumerate(statement.inputs) if (new := find(name)) is not None}
            inputs = tuple(found.values())
            left = replace(statement, outputs=outputs, gradients=gradients, inputs=inputs)
            whole = (outputs or not statement.outputs) and (inputs or not statement.inputs)
            return (left if whole else None), list(found)
        case Hook() if statement.place.startswith("multi"):
            tensors = _found(statement.tensors, find)
            return (replace(statement, tensors=tensors) if tensors else None), None
    changes: dict[str, Any] = {}
    for name, refers in REFERS[type(statement)].items():
        value = getattr(statement, name)
        changes[name] = find(value) if refers == "tensor" else _found(value, find)
        if changes[name] is None or (refers == "tensors" and len(changes[name]) != len(value)):
            return None, None
    return replace(statement, **changes), None


def _found(names: Iterable[int], find: Find) -> tuple[int, ...]:
    """Those of the names that are found."""
    return tuple(new for name in names if (new := find(name)) is not None)


def _paired(
    names: Sequence[int], gradients: Sequence[Gradient], find: Find
) -> tuple[tuple[int, ...], tuple[Gradient, ...]]:
    """The names that are found, with their gradients, which may be fewer or more; a tensor that is gone leaves
    no gradient."""
    roots: list[int] = []
    kept: list[Gradient] = []
    for i in range(max(len(names), len(gradients))):
        root = find(names[i]) if i < len(names) else None
        if root is not None:
            roots.append(root)
        if i < len(gradients) and (root is not None or i >= len(names)):
            gradient = gradients[i]
            kept.append(find(gradient) if type(gradient) is int else gradient)
    return tuple(roots), tuple(kept)


def balanced(statements: Iterable[Statement]) -> list[Statement]:
    """Without the Enter that no Exit closes, the Exit that closes nothing, and removals of hooks that are gone."""
    kept: list[Statement | None] = []
    opened: list[int] = []
    hooks: set[int] = set()
    for statement in statements:
        if isinstance(statement, Enter):
            opened.append(len(kept))
        elif isinstance(statement, Exit):
            if not opened:
                continue
            opened.pop()
        elif isinstance(statement, Hook):
            hooks.add(statement.number)
        elif isinstance(statement, RemoveHook) and statement.number not in hooks:
            continue
        kept.append(statement)
    for start in opened:
        kept[start] = None
    return [statement for statement in kept if statement is not None]
