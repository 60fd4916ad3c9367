"""The recorded graph: nodes, edges, and the values that nodes save.

A node is one recorded operation. It points to the nodes of its inputs (`next_functions`, as in
torch), never to its outputs, so the graph is free of cycles: it goes when the last output goes.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from refgrad.anomaly import note_origin
from refgrad.dtypes import FROM_NUMPY, SCALAR_TYPE, dtype
from refgrad.modes import anomaly

if TYPE_CHECKING:
    from refgrad.tensor import Tensor

Edge = tuple["Node | None", int]
NO_EDGE: Edge = (None, 0)
NO_SAVED: tuple[Any, ...] = ()


FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they "
    "have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


class HookDict(dict[int, Any]):
    """Hooks by number, in order of registration; can be referred to weakly."""


_next_hook = itertools.count().__next__


class RemovableHandle:
    """What registering a hook returns; `remove()` may be called any number of times."""

    def __init__(self, hooks: HookDict, hook: Any) -> None:
        self._hooks = weakref.ref(hooks)
        self.id = _next_hook()
        hooks[self.id] = hook

    def remove(self) -> None:
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


class Hooks:
    """What hangs on a node besides its derivative: all of it is rare, so it lives apart."""

    __slots__ = ("after", "before", "metadata", "packed", "retained", "stands_for", "tensor_hooks", "unpacked")

    def __init__(self) -> None:
        self.tensor_hooks: dict[int, HookDict] = {}  # output number -> hooks of the tensor that it made
        self.retained: dict[int, Any] = {}  # output number -> weak reference to a Tensor
        self.before = HookDict()  # the node's own prehooks
        self.after = HookDict()  # and its hooks
        self.metadata: dict[Any, Any] = {}
        self.packed = False  # whether hooks packed something that the node saved
        self.unpacked: dict[int, Any] = {}  # the arrays that `unpack` made of it, until `apply` takes them
        self.stands_for: Any = None  # weak reference to the node of the view that this node's result was written into


class InputMetadata(NamedTuple):
    """The shape and dtype that a gradient must have."""

    shape: tuple[int, ...]
    dtype: dtype
    is_nested_tensor: bool = False
    is_cpp_nested_tensor: bool = False


class Node:
    """One recorded operation.

    `_meta` holds (shape, NumPy dtype) of each output: what its gradients must look like.
    `_release` drops what was saved; `_apply` turns output gradients into input gradients.
    """

    __slots__ = ("__weakref__", "_hooks", "_meta", "_sequence", "next_functions")

    label: ClassVar[str]
    takes_undefined: ClassVar[bool] = False  # whether it runs though no gradient is defined
    gives_all: ClassVar[bool] = False  # whether its hooks see gradients that nobody needs
    _user_code: bool = False  # whether the user wrote the derivative: it is checked and may run anything
    next_functions: tuple[Edge, ...]
    _meta: Any
    _sequence: float
    _hooks: Hooks | None

    def name(self) -> str:
        """torch's name of the node: ``MulBackward0``, or ``torch::autograd::AccumulateGrad``."""
        return self.label

    def _apply(self, names: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        """Gradients of the inputs, in the order of `next_functions`; None where undefined.

        `names` is the namespace that formulas compute in; `raw` tells whether values are arrays
        or tensors. `gradient` is that of the only output, or a list for several outputs.
        `needed` is None, or for each input whether its gradient is wanted.
        """
        raise NotImplementedError

    def __call__(self, *gradients: Any) -> Any:
        """The gradients of the inputs for given ones of the outputs, at once: nothing is accumulated or freed."""
        from refgrad.engine import call_node  # which is built upon nodes

        return call_node(self, gradients)

    def _unpack(self) -> list[Any]:
        """Bring back what hooks packed, for the next `apply` on arrays: hooks are user code and run outside of it."""
        return []

    def _undefined(self) -> None:
        """What a node does that no gradient reaches: it looks at its saved values all the same, as in torch."""

    def _release(self) -> None:
        """Forget the saved values."""

    def ensure_hooks(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_outputs)` before the node runs; a tuple that it returns takes their place."""
        return RemovableHandle(self.ensure_hooks().before, hook)

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_inputs, grad_outputs)` after the node ran; a tuple that it returns replaces the first."""
        return RemovableHandle(self.ensure_hooks().after, hook)

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dict of the user's own."""
        return self.ensure_hooks().metadata

    @property
    def requires_grad(self) -> bool:
        """True: what needs no gradient makes no node."""
        return True

    def _set_sequence_nr(self, number: int) -> None:
        self._sequence = number

    def _sequence_nr(self) -> int:
        return (1 << 64) - 1 if self._sequence == float("inf") else int(self._sequence)

    @property
    def _input_metadata(self) -> tuple[InputMetadata, ...]:
        """What the gradients of the node's outputs must look like."""
        return tuple([InputMetadata(shape, FROM_NUMPY[kind]) for shape, kind in self._meta])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """The end of every path: adds a gradient into the `.grad` of a leaf.

    It keeps the leaf alive, while the leaf refers to it weakly. It takes gradients of the shape that the leaf had
    when it was made, also after the leaf was given another in place.
    """

    __slots__ = ("shape", "variable")

    label = "torch::autograd::AccumulateGrad"
    _sequence = float("inf")  # as soon as it is ready, before any other node

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable
        self.shape = variable._data.shape
        self.next_functions = ()
        self._hooks = None
        if anomaly.enabled:
            note_origin(self)

    @property
    def _meta(self) -> Any:
        return ((self.shape, self.variable._gradient_dtype()),)


def modified_in_place(saved: Tensor, expected: int, output_of: str | None) -> RuntimeError:
    """torch's error for a saved tensor whose version moved on."""
    data = saved._data
    kind = SCALAR_TYPE[FROM_NUMPY[data.dtype].name] + "Tensor"
    where = f", which is {output_of}," if output_of else ""
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{kind} {list(data.shape)}]{where} is at version {saved._counter[0]}; expected version "
        f"{expected} instead. Hint: enable anomaly detection to find the operation that failed to compute "
        "its gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )
