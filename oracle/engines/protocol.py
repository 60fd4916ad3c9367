"""What the harness asks of an engine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from oracle.catalogue import OpSpec
from oracle.program import Leaf, Literal
from oracle.trace import Observation

Tensor = Any
"""An engine's own tensor; nothing but its engine looks inside."""


Change = Callable[[Sequence[Tensor | None], Sequence[Tensor | None]], Any]
"""What a hook of a node makes of the gradients that the node hands back and those that it was given."""


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
        """Applies an op and returns what it returned."""

    def checkpoint(
        self,
        spec: OpSpec,
        tensors: Sequence[Tensor],
        params: Mapping[str, Any],
        reentrant: bool,
        after: Callable[[Any], None] | None = None,
    ) -> tuple[Tensor, ...]:
        """The same through `utils.checkpoint`. `after` is called with what the op made, whenever it was applied."""

    def mode(self, name: str) -> AbstractContextManager[Any]:
        """The mode of that name (see `oracle.modes`)."""

    def modes(self) -> tuple[str, str]:
        """Whether the grad mode and the inference mode are "on" or "off"."""

    def set_grad_enabled(self, value: bool) -> None:
        """Sets the grad mode."""

    def without_grad(self, work: Callable[[], Iterator[int]]) -> Iterator[int]:
        """The same iterator as a generator under `no_grad`."""

    def backward(
        self,
        roots: Sequence[Tensor],
        gradients: Sequence[Any],
        retain_graph: bool | None,
        create_graph: bool,
        inputs: Sequence[Tensor] | None,
        edges: str | None = None,
    ) -> None:
        """Accumulates gradients into `.grad`."""

    def grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        gradients: Sequence[Any],
        retain_graph: bool | None,
        create_graph: bool,
        allow_unused: bool | None,
        edges: str | None = None,
        materialize_grads: bool = False,
        is_grads_batched: bool = False,
    ) -> tuple[Tensor | None, ...]:
        """Returns gradients, one per input; None where there is none."""

    def gradient(self, tensor: Tensor) -> Tensor | None:
        """The tensor's `.grad`."""

    def set_grad(self, tensor: Tensor, source: Tensor) -> None:
        """Sets the tensor's `.grad`."""

    def zero_grad(self, tensor: Tensor, how: str) -> None:
        """Drops the tensor's `.grad` ("none") or zeroes it in place if there is one ("zero_")."""

    def retain_grad(self, tensor: Tensor) -> None:
        """Asks for `.grad` of a computed tensor."""

    def requires_grad(self, tensor: Tensor, value: bool, how: str = "method") -> None:
        """Sets whether the tensor is recorded, by its "method" or by assignment to its "attribute"."""

    def set_data(self, tensor: Tensor, source: Tensor) -> None:
        """Gives the tensor the memory of another."""

    def increment_version(self, tensor: Tensor) -> None:
        """Counts a write that nobody made."""

    def register(self, place: str, tensors: Sequence[Tensor], function: Callable[..., Any]) -> Any:
        """Registers a hook (see `oracle.hooks`) and returns its handle."""

    def make_dual(self, primal: Tensor, tangent: Tensor) -> Tensor:
        """A dual tensor."""

    def unpack_dual(self, tensor: Tensor) -> tuple[Tensor, Tensor | None]:
        """The primal and the tangent of a tensor."""

    def observe(
        self,
        tensor: Tensor,
        full: bool = True,
        homes: dict[Hashable, int] | None = None,
        number: int = -1,
        same: int | None = None,
    ) -> Observation:
        """What can be seen of the tensor now. Raises if it is no tensor.

        `full`: the node of a view too. `homes`: the first tensor in each memory, by what tells it apart, which this
        tensor becomes by its number where there is none; it is the observation's `storage`. `same`: as there.
        """

    def node(self, tensor: Tensor) -> str:
        """The name of the tensor's node and of those behind it. Raises where reading it does."""

    def storage(self, tensor: Tensor) -> Hashable:
        """Something that is equal for two tensors at a time if they have the same memory."""

    def memory(self, tensor: Tensor) -> np.ndarray:
        """The tensor's own memory: what is written there changes the tensor, unnoticed by its graph."""

    def hook(self, tensor: Tensor, change: Callable[[Tensor], Tensor]) -> None:
        """Replaces the gradient that arrives at the tensor by `change` of it, in every backward."""

    def node_hook(self, tensor: Tensor, before: Callable[[], None], change: Change) -> None:
        """Replaces the gradients that the tensor's node hands back, and calls `before` ahead of it.

        Of a view, the node of its base, which is read without bringing the view up to date.
        """
