"""The recorded graph: nodes, edges, and the values that nodes save.

A node is one recorded operation. It points to the nodes of its inputs (`next_functions`, as in
torch), never to its outputs, so the graph is free of cycles: it goes when the last output goes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

from refgrad.dtypes import FROM_NUMPY, SCALAR_TYPE

if TYPE_CHECKING:
    from refgrad.tensor import Tensor

Edge = tuple["Node | None", int]
NO_EDGE: Edge = (None, 0)
NO_SAVED: tuple[Any, ...] = ()

next_sequence = itertools.count().__next__  # creation order: backward runs the newest node first

FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they "
    "have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


class Hooks:
    """What hangs on a node besides its derivative: all of it is rare, so it lives apart."""

    __slots__ = ("retained", "tensor_hooks")

    def __init__(self) -> None:
        self.tensor_hooks: dict[int, dict[int, Any]] = {}  # output number -> id -> hook
        self.retained: dict[int, Any] = {}  # output number -> weak reference to a Tensor


class Node:
    """One recorded operation.

    `meta` holds (shape, NumPy dtype) of each output: what its gradients must look like.
    `release` drops what was saved; `apply` turns output gradients into input gradients.
    """

    __slots__ = ("hooks", "meta", "next_functions", "sequence")

    label: ClassVar[str]
    next_functions: tuple[Edge, ...]
    meta: Any
    sequence: float
    hooks: Hooks | None

    def name(self) -> str:
        """torch's name of the node: ``MulBackward0``, or ``torch::autograd::AccumulateGrad``."""
        return self.label

    def apply(self, names: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        """Gradients of the inputs, in the order of `next_functions`; None where undefined.

        `names` is the namespace that formulas compute in; `raw` tells whether values are arrays
        or tensors. `gradient` is that of the only output, or a list for several outputs.
        `needed` is None, or for each input whether its gradient is wanted.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Forget the saved values."""

    def ensure_hooks(self) -> Hooks:
        if self.hooks is None:
            self.hooks = Hooks()
        return self.hooks

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """The end of every path: adds a gradient into the `.grad` of a leaf.

    It keeps the leaf alive, while the leaf refers to it weakly.
    """

    __slots__ = ("__weakref__", "variable")

    label = "torch::autograd::AccumulateGrad"
    sequence = float("inf")  # as soon as it is ready, before any other node

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable
        self.next_functions = ()
        self.hooks = None

    @property
    def meta(self) -> Any:
        data = self.variable._data
        return ((data.shape, data.dtype),)


def modified_in_place(saved: Tensor, expected: int, output_of: str | None) -> RuntimeError:
    """torch's error for a saved tensor whose version moved on."""
    data = saved._data
    kind = SCALAR_TYPE[FROM_NUMPY[data.dtype].name] + "Tensor"
    where = f", which is {output_of}," if output_of else ""
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{kind} {list(data.shape)}]{where} is at version {saved._counter[0]}; expected version "
        f"{expected} instead. Hint: enable anomaly detection to find the operation that failed to compute "
        "its gradient, with torch.autograd.set_detect_anomaly(True)."
    )
