"""The adapter over a module that has torch's names: torch itself, and refgrad."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from oracle.catalogue import OpSpec
from oracle.engines.protocol import Tensor
from oracle.program import Leaf, Literal
from oracle.trace import Observation

# More than programs use, so that a result of a wrong dtype is seen as just that.
_DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
)


class TorchLike:
    """An engine that is used through a module. It keeps no state between statements."""

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.version = str(module.__version__)
        self.module = module
        self._dtypes = {getattr(module, name): name for name in _DTYPES if hasattr(module, name)}

    def leaf(self, leaf: Leaf) -> Tensor:
        stored = self._tensor(STORED[leaf.layout](array_of(leaf.value)))
        tensor = _VIEWS[leaf.layout](stored, leaf.value.shape)
        if leaf.requires_grad:
            tensor.requires_grad_()
        return tensor

    def literal(self, literal: Literal) -> Tensor:
        return self._tensor(array_of(literal))

    def _tensor(self, array: np.ndarray) -> Tensor:
        if array.size:
            return self.module.tensor(array)
        # torch takes over the strides of an array, and NumPy's for nothing are not its own
        return self.module.zeros(array.shape, dtype=getattr(self.module, array.dtype.name))

    def call(self, spec: OpSpec, tensors: Sequence[Tensor], params: Mapping[str, Any]) -> tuple[Tensor, ...]:
        made = spec.invoke(self.module, tensors, params)
        return tuple(made) if isinstance(made, (tuple, list)) else (made,)

    def mode(self, name: str) -> AbstractContextManager[Any]:
        return getattr(self.module, name)()

    def backward(
        self,
        roots: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        retain_graph: bool | None,
        create_graph: bool,
        inputs: Sequence[Tensor] | None,
    ) -> None:
        if len(roots) == 1:
            roots[0].backward(gradients[0], retain_graph, create_graph, inputs=inputs)
        else:
            self.module.autograd.backward(roots, gradients, retain_graph, create_graph, inputs=inputs)

    def grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        retain_graph: bool | None,
        create_graph: bool,
        allow_unused: bool,
    ) -> tuple[Tensor | None, ...]:
        return self.module.autograd.grad(
            outputs, inputs, gradients, retain_graph, create_graph, allow_unused=allow_unused
        )

    def gradient(self, tensor: Tensor) -> Tensor | None:
        return tensor.grad

    def zero_grad(self, tensor: Tensor, how: str) -> None:
        if how == "none":
            tensor.grad = None
        elif tensor.grad is not None:
            tensor.grad.zero_()

    def retain_grad(self, tensor: Tensor) -> None:
        tensor.retain_grad()

    def requires_grad(self, tensor: Tensor, value: bool) -> None:
        tensor.requires_grad_(value)

    def observe(self, tensor: Tensor) -> Observation:
        array = tensor.numpy(force=True)
        if type(array) is not np.ndarray:
            raise TypeError(f"numpy() returned {type(array).__name__}, not an array")
        node = tensor.grad_fn
        return Observation(
            array.copy(),
            self._dtypes[tensor.dtype],
            tuple(tensor.shape),
            tensor.requires_grad,
            tensor.is_leaf,
            None if node is None else node.name(),
        )

    def memory(self, tensor: Tensor) -> np.ndarray:
        return tensor.numpy(force=True)

    def hook(self, tensor: Tensor, change: Callable[[Tensor], Tensor]) -> None:
        tensor.register_hook(change)


def array_of(literal: Literal) -> np.ndarray:
    """The literal as a new array."""
    return np.array(literal.data, literal.dtype).reshape(literal.shape)


STORED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda array: array,
    "transposed": lambda array: array.swapaxes(-1, -2).copy(),
    "strided": lambda array: array.repeat(2, -1),
    "expanded": lambda array: array[:1],
}
"""By layout, what is put into memory for a leaf of given values."""

# ... and what is then made of it, a tensor of given shape.
_VIEWS: dict[str, Callable[[Tensor, tuple[int, ...]], Tensor]] = {
    "contiguous": lambda stored, shape: stored,
    "transposed": lambda stored, shape: stored.transpose(-1, -2).detach(),
    "strided": lambda stored, shape: stored[..., ::2].detach(),
    "expanded": lambda stored, shape: stored.expand(shape).detach(),
}
