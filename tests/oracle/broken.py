"""Engines for the harness to judge: torch with one thing altered, and torch that rounds in another order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch

from oracle import engines
from oracle.engines import TorchLike
from oracle.program import Leaf, Literal
from oracle.trace import Observation

TORCH = engines.get("torch")

Alter = Callable[[torch.Tensor], Any]


def leaf(
    data: Sequence[Any],
    shape: tuple[int, ...] | None = None,
    dtype: str = "float64",
    requires_grad: bool = True,
    layout: str = "contiguous",
) -> Leaf:
    """A leaf; without a shape it has one dim."""
    return Leaf(literal(data, shape, dtype), requires_grad, layout)


def literal(data: Sequence[Any], shape: tuple[int, ...] | None = None, dtype: str = "float64") -> Literal:
    """A literal; without a shape it has one dim."""
    return Literal(dtype, (len(data),) if shape is None else shape, tuple(data))


class Altered(TorchLike):
    """torch whose op `op` has its first result passed through `alter`."""

    def __init__(self, op: str, alter: Alter) -> None:
        super().__init__("altered", torch)
        self.op, self.alter = op, alter

    def call(self, spec: Any, tensors: Sequence[Any], params: Mapping[str, Any]) -> tuple[Any, ...]:
        made = super().call(spec, tensors, params)
        if spec.name != self.op:
            return made
        altered = self.alter(made[0])
        return altered if isinstance(altered, tuple) else (altered, *made[1:])


def scaled(factor: float) -> Alter:
    """Other values with the same history."""

    def alter(tensor: torch.Tensor) -> torch.Tensor:
        tensor.data.mul_(factor)
        return tensor

    return alter


def hooked(change: Callable[[torch.Tensor], torch.Tensor]) -> Alter:
    """Another gradient for the same values with the same history."""

    def alter(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.requires_grad:
            tensor.register_hook(change)
        return tensor

    return alter


def failing(error: Exception) -> Alter:
    """An exception where torch has none."""

    def alter(tensor: torch.Tensor) -> torch.Tensor:
        raise error

    return alter


class Unnamed(TorchLike):
    """Leaves out the names of nodes and which memory is shared, for modules that get to the same numbers by
    other ops."""

    def observe(self, tensor: Any, *how: Any, **more: Any) -> Observation:
        return super().observe(tensor, *how, **more)._replace(grad_fn=None, storage=None, is_view=None)

    def node(self, tensor: Any) -> str:
        super().node(tensor)
        return "a node"


def module_with(**functions: Callable[..., Any]) -> ModuleType:
    """torch with other functions in it."""
    module = ModuleType("torch_with_other_functions")
    module.__dict__.update(functions, __getattr__=lambda name: getattr(torch, name))
    return module


def summed_backwards(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> torch.Tensor:
    """`torch.sum`, adding up from the other end."""
    if dim is None or dim == []:
        return torch.sum(x.flip(*[list(range(x.ndim))] if x.ndim else [[]]))
    return torch.sum(x.flip(dim if isinstance(dim, (list, tuple)) else [dim]) if x.ndim else x, dim, keepdim)


def multiplied_backwards(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`torch.mm`, adding up from the other end."""
    return torch.mm(a.flip(1), b.flip(0))


PLAIN = Unnamed("torch", torch)
BACKWARDS = Unnamed("backwards", module_with(sum=summed_backwards, mm=multiplied_backwards))
