"""What the harness asks of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from oracle.catalogue import OpSpec
from oracle.program import Leaf, Literal
from oracle.trace import Observation

Tensor = Any
"""An engine's own tensor; nothing but its engine looks inside."""


class EngineError(ValueError):
    """An engine that does not exist or cannot be used; the message is one line."""


class Engine(Protocol):
    """Runs single statements. Whatever the engine underneath raises comes through unchanged."""

    name: str
    version: str

    @property
    def module(self) -> Any:
        """The namespace that ops are looked up in."""

    def leaf(self, leaf: Leaf) -> Tensor:
        """A new leaf in the layout asked for."""

    def literal(self, literal: Literal) -> Tensor:
        """A new contiguous tensor without history."""

    def call(self, spec: OpSpec, tensors: Sequence[Tensor], params: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """Applies an op and returns what it made."""

    def mode(self, name: str) -> AbstractContextManager[Any]:
        """The grad mode "no_grad" or "enable_grad"."""

    def backward(
        self,
        roots: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        retain_graph: bool | None,
        create_graph: bool,
        inputs: Sequence[Tensor] | None,
    ) -> None:
        """Accumulates gradients into `.grad`."""

    def grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        retain_graph: bool | None,
        create_graph: bool,
        allow_unused: bool,
    ) -> tuple[Tensor | None, ...]:
        """Returns gradients, one per input; None where there is none."""

    def gradient(self, tensor: Tensor) -> Tensor | None:
        """The tensor's `.grad`."""

    def zero_grad(self, tensor: Tensor, how: str) -> None:
        """Drops the tensor's `.grad` ("none") or zeroes it in place if there is one ("zero_")."""

    def retain_grad(self, tensor: Tensor) -> None:
        """Asks for `.grad` of a computed tensor."""

    def requires_grad(self, tensor: Tensor, value: bool) -> None:
        """Sets whether the tensor is recorded."""

    def observe(self, tensor: Tensor) -> Observation:
        """What can be seen of the tensor now. Raises if it is no tensor."""

    def memory(self, tensor: Tensor) -> np.ndarray:
        """The tensor's own memory: what is written there changes the tensor, unnoticed by its graph."""

    def hook(self, tensor: Tensor, change: Callable[[Tensor], Tensor]) -> None:
        """Replaces the gradient that arrives at the tensor by `change` of it, in every backward."""
