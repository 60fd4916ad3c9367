"""Larger rounding for programs in which it matters which tensor is which: those that write in place, look at
versions, have hooks or custom functions, and the like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from oracle.catalogue import OpSpec
from oracle.disturb import EITHER_NAN, EITHER_ZERO, EXACT, LEVELS, LOSSY, SIGNS, Disturbed
from oracle.engines.protocol import Tensor
from oracle.program import Leaf

WRITES_EXACTLY = frozenset({
    *("mul_", "lt_", "ge_", "fill_", "neg_", "relu_", "floor_", "zero_", "clamp_", "copy_", "masked_fill_"),
    *("index_fill_", "index_copy_", "scatter_", "scatter_value_", "setitem", "unsqueeze_", "squeeze_", "t_"),
    *("transpose_", "detach_", "resize_", "set_", "mul_out", "add_out"),
})  # fmt: skip
"""Ops that write the same numbers in every sound engine, given the same; as `add_`, `sub_` and `index_put_` do
without parameters."""


class Gentle(Disturbed):
    """Moves numbers where they lie, and never puts a tensor in the place of another.

    What goes into an op that rounds is moved in memory, which no version counts, known numbers for as long as
    the call takes; results are moved as in `Disturbed`, and so are the gradients that the op's node hands back.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.exact: set[Any] = set()  # memory that holds known numbers
        self.dual = False

    def leaf(self, leaf: Leaf) -> Tensor:
        tensor = self.engine.leaf(leaf)
        self.exact.add(self.engine.storage(tensor))
        return tensor

    def mode(self, name: str) -> AbstractContextManager[Any]:
        self.dual = self.dual or name == "dual_level"
        return self.engine.mode(name)

    def call(self, spec: OpSpec, tensors: Sequence[Tensor], params: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return self.moved(spec, tensors, params, lambda: self.engine.call(spec, tensors, params))

    def checkpoint(
        self, spec: OpSpec, tensors: Sequence[Tensor], params: Mapping[str, Any], reentrant: bool
    ) -> tuple[Tensor, ...]:
        return self.moved(spec, tensors, params, lambda: self.engine.checkpoint(spec, tensors, params, reentrant))

    def moved(
        self,
        spec: OpSpec,
        tensors: Sequence[Tensor],
        params: Mapping[str, Any],
        call: Callable[[], tuple[Tensor, ...]],
    ) -> tuple[Tensor, ...]:
        """What the call returns, with all that rounds in it moved."""
        known = all(self.engine.storage(tensor) in self.exact for tensor in tensors)
        if _exact(spec, params):
            made = call()
            self.settle(spec, tensors, made, known)
            if spec.name in EITHER_ZERO:
                self.choose_zeros(made[0])
            return made
        pointwise, loss = spec.family in ("pointwise", "inplace", "custom"), LOSSY.get(spec.name)
        first = self.engine.memory(tensors[0]).copy()
        with self.inputs_moved(spec, tensors, pointwise):
            made = call()
        self.settle(spec, tensors, made, False)
        results = [tensors[0]] if spec.writes and not spec.outputs[1] else made
        unknown = np.isnan(first) if spec.name in EITHER_NAN else None
        for tensor in results:
            self.engine.node_hook(tensor, self.handing_back(0.0 if loss is None else loss, first, unknown, pointwise))
            if not spec.aliases:
                self.nudge(tensor, LEVELS, 0.0 if loss is None else loss.value(first))
            if self.dual and (tangent := self.engine.unpack_dual(tensor)[1]) is not None:
                self.nudge(tangent, LEVELS)
            if not pointwise:
                self.choose_zeros(tensor)
                self.choose_overflow(tensor, tensors)
        return made

    def settle(self, spec: OpSpec, tensors: Sequence[Tensor], made: Sequence[Tensor], known: bool) -> None:
        """Notes whether the numbers that a call left in memory are known."""
        changed = [tensors[0]] if spec.writes else []
        for tensor in (*changed, *(() if spec.aliases else made)):
            if tensor is not None:
                (self.exact.add if known else self.exact.discard)(self.engine.storage(tensor))

    @contextmanager
    def inputs_moved(self, spec: OpSpec, tensors: Sequence[Tensor], pointwise: bool) -> Iterator[None]:
        """Moves what goes into a call by a spacing; what is known comes back to its place."""
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        written = self.engine.storage(tensors[0]) if spec.writes else None
        seen = set()
        for tensor in tensors:
            array, storage = self.engine.memory(tensor), self.engine.storage(tensor)
            overlapping = any(stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True))
            if array.dtype.kind != "f" or overlapping or storage in seen:
                continue
            seen.add(storage)
            exact = storage in self.exact
            if exact and pointwise and not self.amplitude:
                continue
            if exact and storage != written:
                kept.append((array, array.copy()))
            array += self.steps(array, SIGNS * self.amplitude if exact and pointwise else SIGNS, 0.0)
        try:
            yield
        finally:
            for array, before in kept:
                array[...] = before

    def handing_back(self, loss: Any, first: np.ndarray, unknown: np.ndarray | None, pointwise: bool) -> Any:
        """A hook that moves the gradients a node hands back, as `Disturbed` does."""
        gain = loss.gradient(first) if loss and loss.gradient is not None else 0.0

        def change(inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> Any:
            given = [np.abs(self.engine.memory(g)) for g in outputs if g is not None]
            size = max((g.max(initial=0.0) for g in given), default=0.0)
            return tuple(None if g is None else self.handed(g, size * gain, unknown) for g in inputs)

        return change

    def handed(self, gradient: Tensor, floor: Any, unknown: np.ndarray | None) -> Tensor:
        array = self.engine.memory(gradient)
        if array.dtype.kind != "f":
            return gradient
        moved = gradient + self.constant(array, LEVELS, floor if np.ndim(floor) == 0 else np.max(floor, initial=0.0))
        if unknown is not None and unknown.any() and unknown.shape == array.shape:
            self.engine.memory(moved)[unknown] = np.nan if np.signbit(self.zero) else 0.0
        return moved


def _exact(spec: OpSpec, params: Mapping[str, Any]) -> bool:
    if spec.name in ("add_", "sub_"):
        return "alpha" not in params
    if spec.name == "index_put_":
        return not params.get("accumulate", False)
    return spec.family == "shape" or spec.name in EXACT or spec.name in WRITES_EXACTLY
