"""Larger rounding for programs in which it matters which tensor is which: those that write in place, look at
versions, have hooks or custom functions, and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import numpy as np

from oracle.catalogue import OpSpec
from oracle.disturb import EITHER_NAN, EITHER_ZERO, EXACT, LEVELS, LOSSY, SIGNS, Disturbed, Loss
from oracle.engines.protocol import Change, Engine, Tensor
from oracle.program import Leaf
from oracle.saving import SAVING

WRITES_EXACTLY = frozenset({
    *("mul_", "lt_", "ge_", "fill_", "neg_", "relu_", "floor_", "zero_", "clamp_", "copy_", "masked_fill_"),
    *("index_fill_", "index_copy_", "scatter_", "scatter_value_", "setitem", "unsqueeze_", "squeeze_", "t_"),
    *("transpose_", "detach_", "resize_", "set_", "mul_out", "add_out"),
})  # fmt: skip
"""Ops that write the same numbers in every sound engine, given the same; as `add_`, `sub_` and `index_put_` do
without parameters."""


class Gentle(Disturbed):
    """Moves numbers where they lie, and never puts a tensor in the place of another.

    What goes into an op that rounds is moved in memory, which no version counts: known numbers for as long as the
    call takes, and again while its node hands gradients back. Results are moved as in `Disturbed`, and so are
    these gradients; those of a pass with `is_grads_batched` only in the end.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.exact: set[Any] = set()  # memory that holds known numbers
        self.dual = False
        self.away: list[tuple[np.ndarray, np.ndarray]] = []  # known numbers that are moved, and what they were
        self.batched = False  # while nodes see gradients by the batch, whose numbers lie nowhere

    def leaf(self, leaf: Leaf) -> Tensor:
        tensor = self.engine.leaf(leaf)
        self.exact.add(self.engine.storage(tensor))
        return tensor

    def mode(self, name: str) -> AbstractContextManager[Any]:
        self.dual = self.dual or name == "dual_level"
        if name in ("saved_numpy", "saved_doubled", "saved_negated"):  # these pack copies, made before results move
            return SAVING[name](self.moving_what_is_unpacked())
        return self.engine.mode(name)

    def moving_what_is_unpacked(self) -> Any:
        """The engine's module to hooks for saved tensors: what they unpack moves, but for known numbers."""
        module = self.engine.module

        def hooks(pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> AbstractContextManager[Any]:
            def packed(tensor: Tensor) -> tuple[Any, bool]:
                return pack(tensor), self.engine.storage(tensor) in self.exact

            def unpacked(pair: tuple[Any, bool]) -> Tensor:
                tensor = unpack(pair[0])
                if not pair[1]:
                    self.nudge(tensor, LEVELS)
                return tensor

            return module.autograd.graph.saved_tensors_hooks(packed, unpacked)

        graph = SimpleNamespace(saved_tensors_hooks=hooks)
        return SimpleNamespace(tensor=module.tensor, autograd=SimpleNamespace(graph=graph))

    def call(self, spec: OpSpec, tensors: Sequence[Tensor], params: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return self.moved(spec, tensors, params, lambda: self.engine.call(spec, tensors, params))

    def checkpoint(
        self, spec: OpSpec, tensors: Sequence[Tensor], params: Mapping[str, Any], reentrant: bool
    ) -> tuple[Tensor, ...]:
        result = _MadeAgain(self.engine)
        made = self.moved(
            spec, tensors, params, lambda: self.engine.checkpoint(spec, tensors, params, reentrant, result.made)
        )
        result.settle()
        return made

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
        moves = self.move_inputs(spec, tensors, pointwise)
        try:
            made = call()
        finally:
            self.put_back()
        self.settle(spec, tensors, made, False)
        results = [tensors[0]] if spec.writes and not spec.outputs[1] else made
        unknown = np.isnan(first) if spec.name in EITHER_NAN else None
        for tensor in results:
            change = self.handing_back(loss, first, unknown)
            self.engine.node_hook(tensor, lambda: self.move_away(moves), change)
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

    def move_inputs(
        self, spec: OpSpec, tensors: Sequence[Tensor], pointwise: bool
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Moves what goes into a call by a spacing; returns how it moved what is known and not written."""
        moves: list[tuple[np.ndarray, np.ndarray]] = []
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
            steps = self.steps(array, SIGNS * self.amplitude if exact and pointwise else SIGNS, 0.0)
            if exact and storage != written:
                moves.append((array, steps))
            else:
                array += steps
        self.move_away(moves)
        return moves

    def move_away(self, moves: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Moves known numbers, until they are put back."""
        self.put_back()
        for array, steps in moves:
            self.away.append((array, array.copy()))
            array += steps

    def put_back(self) -> None:
        """Puts known numbers back in their places."""
        while self.away:
            array, before = self.away.pop()
            array[...] = before

    def backward(self, *given: Any) -> None:
        try:
            self.engine.backward(*given)
        finally:
            self.put_back()

    def grad(self, *given: Any) -> tuple[Tensor | None, ...]:
        self.batched = given[-1]
        try:
            made = self.engine.grad(*given)
        finally:
            self.batched = False
            self.put_back()
        if given[-1]:
            for gradient in made:
                if gradient is not None:
                    self.nudge(gradient, LEVELS)
        return made

    def handing_back(self, loss: Loss | None, first: np.ndarray, unknown: np.ndarray | None) -> Change:
        """A hook that moves the gradients a node hands back, as `Disturbed` does."""
        gain = np.max(loss.gradient(first), initial=0.0) if loss and loss.gradient is not None else 0.0

        def change(inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> Any:
            self.put_back()
            if self.batched:
                return None
            sizes = [np.abs(self.engine.memory(g)).max(initial=0.0) for g in outputs if g is not None]
            floor = max(sizes, default=0.0) * gain
            if gain:
                for gradient in inputs:
                    if gradient is not None and gradient.requires_grad:
                        self.engine.node_hook(gradient, self.put_back, self.handing_back_second(max(floor, gain)))
            return tuple(None if g is None else self.handed(g, floor, unknown) for g in inputs)

        return change

    def handing_back_second(self, floor: float) -> Change:
        """The same for second derivatives: what cancels is of the size of the second gradient, or of both."""

        def change(inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> Any:
            sizes = [np.abs(self.engine.memory(g)).max(initial=0.0) for g in outputs if g is not None]
            most = max(sizes, default=0.0) * floor
            return tuple(None if g is None else self.handed(g, most, None) for g in inputs)

        return change

    def handed(self, gradient: Tensor, floor: float, unknown: np.ndarray | None) -> Tensor:
        """A gradient, moved."""
        array = self.engine.memory(gradient)
        if array.dtype.kind != "f":
            return gradient
        moved = gradient + self.constant(array, LEVELS, floor)
        if unknown is not None and unknown.any() and unknown.shape == array.shape:
            self.engine.memory(moved)[unknown] = np.nan if np.signbit(self.zero) else 0.0
        return moved


class _MadeAgain:
    """The result of a call through a checkpoint, which backward makes again: as far moved as at first."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.arrays: list[np.ndarray] = []
        self.first: list[np.ndarray] = []
        self.steps: list[np.ndarray] | None = None

    def made(self, result: Any) -> None:
        """Takes what the op made."""
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        arrays = [self.engine.memory(tensor) for tensor in tensors if tensor is not None]
        if self.steps is None:
            self.arrays, self.first = arrays, [array.copy() for array in arrays]
            return
        for array, steps in zip(arrays, self.steps, strict=True):
            if array.dtype.kind == "f" and array.shape == steps.shape:
                array += steps

    def settle(self) -> None:
        """Notes how far the result has moved since it was made."""
        self.steps = []
        for array, first in zip(self.arrays, self.first, strict=True):
            steps = np.full_like(first, -0.0)  # which, unlike 0.0, leaves a -0.0 what it is
            if array.dtype.kind == "f":
                np.subtract(array, first, out=steps, where=np.isfinite(first) & np.isfinite(array) & (array != first))
            self.steps.append(steps)
        self.arrays = self.first = []


def _exact(spec: OpSpec, params: Mapping[str, Any]) -> bool:
    if spec.name in ("add_", "sub_"):
        return "alpha" not in params
    if spec.name == "index_put_":
        return not params.get("accumulate", False)
    return spec.family == "shape" or spec.name in EXACT or spec.name in WRITES_EXACTLY
