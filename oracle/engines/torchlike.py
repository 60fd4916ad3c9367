"""The adapter over a module that has torch's names: torch itself, and refgrad."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from oracle.catalogue import OpSpec
from oracle.engines.protocol import Change, Tensor
from oracle.hooks import REGISTER
from oracle.modes import MODES
from oracle.program import Leaf, Literal
from oracle.trace import UNREAD, Observation

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
        # What a module may lack: without it, there are no inference tensors, and memory is NumPy's.
        self._infers = hasattr(module, "is_inference_mode_enabled")
        self._memory = _storage if hasattr(module, "UntypedStorage") else _owner

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

    def checkpoint(
        self,
        spec: OpSpec,
        tensors: Sequence[Tensor],
        params: Mapping[str, Any],
        reentrant: bool,
        after: Callable[[Any], None] | None = None,
    ) -> tuple[Tensor, ...]:
        def function(*given: Tensor) -> Any:
            made = spec.invoke(self.module, given, params)
            if after is not None:
                after(made)
            return made

        module = self.module.utils.checkpoint
        with nullcontext() if after is None else module.set_checkpoint_early_stop(False):
            made = module.checkpoint(function, *tensors, use_reentrant=reentrant)
        return tuple(made) if isinstance(made, (tuple, list)) else (made,)

    def mode(self, name: str) -> AbstractContextManager[Any]:
        open_ = MODES[name].open
        assert open_ is not None
        return open_(self.module)

    def modes(self) -> tuple[str, str]:
        inference = self._infers and self.module.is_inference_mode_enabled()
        return "on" if self.module.is_grad_enabled() else "off", "on" if inference else "off"

    def set_grad_enabled(self, value: bool) -> None:
        self.module.set_grad_enabled(value)

    def without_grad(self, work: Callable[[], Iterator[int]]) -> Iterator[int]:
        @self.module.no_grad()
        def generator() -> Iterator[int]:
            yield from work()

        return generator()

    def backward(
        self,
        roots: Sequence[Tensor],
        gradients: Sequence[Any],
        retain_graph: bool | None,
        create_graph: bool,
        inputs: Sequence[Tensor] | None,
        edges: str | None = None,
    ) -> None:
        if edges is not None:
            roots, inputs = self._as_edges(roots, inputs, edges)
        if len(roots) == len(gradients) == 1 and edges is None:
            roots[0].backward(gradients[0], retain_graph, create_graph, inputs=inputs)
        else:
            self.module.autograd.backward(roots, gradients, retain_graph, create_graph, inputs=inputs)

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
        if edges is not None:
            outputs, inputs = self._as_edges(outputs, inputs, edges)
        more = {"materialize_grads": True} if materialize_grads else {}
        if is_grads_batched:
            more["is_grads_batched"] = True
        return self.module.autograd.grad(
            outputs, inputs, gradients, retain_graph, create_graph, allow_unused=allow_unused, **more
        )

    def _as_edges(self, roots: Sequence[Tensor], inputs: Any, edges: str) -> tuple[Sequence[Any], Any]:
        """The roots, the inputs or both as gradient edges."""
        edge = self.module.autograd.graph.get_gradient_edge
        if edges != "inputs":
            roots = [edge(root) for root in roots]
        if edges != "roots" and inputs is not None:
            inputs = [edge(tensor) for tensor in inputs]
        return roots, inputs

    def gradient(self, tensor: Tensor) -> Tensor | None:
        return tensor.grad

    def set_grad(self, tensor: Tensor, source: Tensor) -> None:
        tensor.grad = source

    def zero_grad(self, tensor: Tensor, how: str) -> None:
        if how == "none":
            tensor.grad = None
        elif tensor.grad is not None:
            tensor.grad.zero_()

    def retain_grad(self, tensor: Tensor) -> None:
        tensor.retain_grad()

    def requires_grad(self, tensor: Tensor, value: bool, how: str = "method") -> None:
        if how == "method":
            tensor.requires_grad_(value)
        else:
            tensor.requires_grad = value

    def set_data(self, tensor: Tensor, source: Tensor) -> None:
        tensor.data = source

    def increment_version(self, tensor: Tensor) -> None:
        self.module.autograd.graph.increment_version(tensor)

    def register(self, place: str, tensors: Sequence[Tensor], function: Callable[..., Any]) -> Any:
        return REGISTER[place](self.module, tensors, function)

    def make_dual(self, primal: Tensor, tangent: Tensor) -> Tensor:
        return self.module.autograd.forward_ad.make_dual(primal, tangent)

    def unpack_dual(self, tensor: Tensor) -> tuple[Tensor, Tensor | None]:
        return tuple(self.module.autograd.forward_ad.unpack_dual(tensor))

    def observe(
        self,
        tensor: Tensor,
        full: bool = True,
        homes: dict[Hashable, int] | None = None,
        number: int = -1,
        same: int | None = None,
    ) -> Observation:
        array = tensor.numpy(force=True)
        if type(array) is not np.ndarray:
            raise TypeError(f"numpy() returned {type(array).__name__}, not an array")
        inference = False
        try:
            version = tensor._version
        except RuntimeError:  # an inference tensor, or one that was given the memory of one
            version, inference = None, self._infers and tensor.is_inference()
        is_view = tensor._is_view()
        name: str | None = UNREAD
        is_leaf = output_nr = None
        if full or not is_view:
            try:  # the node first, since that brings the other two up to date
                node = tensor.grad_fn
                name = None if node is None else node.name()
                is_leaf, output_nr = tensor.is_leaf, tensor.output_nr
            except RuntimeError:
                name = "RuntimeError"
        storage = None
        if homes is not None and array.size:  # who would tell whether nothing is shared
            storage = homes.setdefault(self._memory(tensor, array), number)
        return _observation((
            array.copy(),
            self._dtypes[tensor.dtype],
            tuple(tensor.shape),
            tensor.requires_grad,
            inference,
            same,
            version,
            tensor.retains_grad,
            storage,
            is_leaf,
            name,
            output_nr,
            is_view,
        ))  # fmt: skip

    def node(self, tensor: Tensor) -> str:
        node = tensor.grad_fn
        if node is None:
            return "no node"
        behind = [f"{'nothing' if n is None else n.name()} {nr}" for n, nr in node.next_functions]
        return f"{node.name()}({', '.join(behind)})"

    def storage(self, tensor: Tensor) -> Hashable:
        return self._memory(tensor, None)

    def memory(self, tensor: Tensor) -> np.ndarray:
        return tensor.numpy(force=True)

    def hook(self, tensor: Tensor, change: Callable[[Tensor], Tensor]) -> None:
        tensor.register_hook(change)

    def node_hook(self, tensor: Tensor, before: Callable[[], None], change: Change) -> None:
        node = (tensor._base if tensor._is_view() else tensor).grad_fn
        if node is not None:
            node.register_prehook(lambda gradients: before())
            node.register_hook(change)


_observation: Callable[[tuple[Any, ...]], Observation] = partial(tuple.__new__, Observation)  # in half the time


def _storage(tensor: Tensor, array: np.ndarray | None) -> Hashable:
    """What tells a tensor's memory apart, in a module with storages."""
    return tensor.untyped_storage()._cdata


def _owner(tensor: Tensor, given: np.ndarray | None) -> Hashable:
    """The same in one that keeps its numbers in arrays: what owns the array."""
    array: Any = tensor.numpy(force=True) if given is None else given
    while getattr(array, "base", None) is not None:  # between views there may be stand-ins of NumPy's
        array = array.base
    return id(array)


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
