"""Defects of forward mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from refgrad.autograd import forward_ad
from refgrad.forward import Level
from refgrad.tangents import Call
from refgrad.tensor import Tensor
from refgrad.testing.planting import Plant, Planting, attribute, together


def _forget(self: Level, target: Tensor, result: Tensor) -> None:
    target._dual = None


@contextmanager
def _one_level() -> Iterator[None]:
    level, leave = Level(), Level.exit
    with together(attribute(forward_ad, "Level", lambda: level), attribute(Level, "exit", lambda self: None)):
        yield
    leave(level)


def _values_for_tangents() -> Planting:
    make: Any = Call.__init__

    def filled(self: Call, *args: Any) -> None:
        make(self, *args)
        connected = range(len(self.inputs)) if self.op.joint else self.op.connected
        for k in connected:
            if self.given[k] is None and isinstance(self.inputs[k], Tensor):
                self.given[k] = self.inputs[k]

    return attribute(Call, "__init__", filled)


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "forward mode", description, apply)


PLANTS = (
    _plant(
        "write-loses-tangent",
        "a tensor has no tangent any more when it was written",
        lambda: attribute(Level, "write", _forget),
    ),
    _plant("tangent-outlives-level", "tangents are still there in the next level", _one_level),
    _plant("missing-tangent-is-value", "an operand without a tangent has its value for one", _values_for_tangents),
)
