"""Where it matters which tensor is which, rounding is excused all the same, and defects are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from oracle.catalogue import CATALOGUE
from oracle.check import check
from oracle.engines import TorchLike
from oracle.execute import run
from oracle.gentle import WRITES_EXACTLY, Gentle
from oracle.plan import plan
from oracle.program import Backward, Call, Enter, Exit, Grad, Hook, Inspect, Program, dumps
from tests.oracle.broken import TORCH, leaf, literal
from tests.oracle.wild import wild


class Rounding(TorchLike):
    """Its results are off by a few spacings, here or there."""

    def __init__(self, seed: int) -> None:
        super().__init__("rounding", torch)
        self.random = np.random.default_rng(seed)

    def call(self, spec: Any, tensors: Sequence[Any], params: Mapping[str, Any]) -> tuple[Any, ...]:
        made = super().call(spec, tensors, params)
        if spec.family == "inplace" and spec.name not in WRITES_EXACTLY:
            self.round(tensors[0])
        elif spec.name in ("sin", "exp", "sigmoid", "div", "sum", "matmul", "custom_saved_output"):
            self.round(made[0])
        return made

    def round(self, tensor: Any) -> None:
        array = self.memory(tensor)
        if array.dtype.kind == "f" and 0 not in array.strides:
            array += np.spacing(array) * self.random.integers(-3, 4, array.shape)


def test_another_rounding_is_never_blamed() -> None:
    kinds: Counter[bool] = Counter()
    for seed in range(700):
        program = wild(seed, 20, rough=True)
        result = check(program, Rounding(seed), TORCH)
        kinds[result.escalated] += 1
        assert result.divergence is None, (result.divergence.message, dumps(program))
    assert kinds[True] > 10


def test_exact_writes_are_ops_of_the_catalogue() -> None:
    assert set(CATALOGUE) >= WRITES_EXACTLY
    assert all(CATALOGUE[name].writes for name in WRITES_EXACTLY)


TERMS = [1e16, 1.0, -1e16, 1.0]
SUM = Call("sum", (0,), {}, 1)


def summed(change: float) -> TorchLike:
    class Summing(TorchLike):
        def call(self, spec: Any, tensors: Any, params: Any) -> Any:
            made = super().call(spec, tensors, params)
            if spec.name == "sum":
                self.memory(made[0])[...] += change
            return made

    return Summing("summing", torch)


@pytest.mark.parametrize("more", [(), (Call("mul_", (1,), {"other": 3.0}, 0),)])
def test_cancellation_is_excused_and_more_is_not(more: tuple[Call, ...]) -> None:
    program = Program((leaf(TERMS),), (SUM, *more, Inspect(1)))
    assert plan(program).gentle
    assert check(program, summed(2.0), TORCH).divergence is None
    found = check(program, summed(100.0), TORCH).divergence
    assert found is not None and found.kind == "value"
    exact = Program((leaf([1.0, 2.0]),), (SUM, *more, Inspect(1)))
    assert check(exact, summed(1e-13), TORCH).divergence is not None


def test_what_a_hook_is_given_is_held_against_bounds() -> None:
    class Turned(TorchLike):
        factor = 1.0

        def register(self, place: str, tensors: Any, function: Any) -> Any:
            return super().register(place, tensors, lambda gradient: function(gradient * self.factor))

    engine = Turned("turned", torch)
    statements = (
        Call("exp", (0,), {}, 1),
        Call("sin", (1,), {}, 1),
        Hook(0, "tensor", (0,), "observe", None),
        Backward((2,), (literal([0.3, 0.7]),), None, False, None),
    )
    program = Program((leaf([0.1, 1.3]),), statements)
    for engine.factor, found in ((1.0 + 8 * np.finfo(float).eps, False), (1.0 + 1e-12, True)):
        assert (check(program, engine, TORCH).divergence is not None) is found


class TanhOff(TorchLike):
    """Its tanh is off by a spacing, however it is called."""

    def __init__(self) -> None:
        super().__init__("tanh off", torch)

    def call(self, spec: Any, tensors: Any, params: Any) -> Any:
        made = super().call(spec, tensors, params)
        if spec.name == "tanh":
            self.move(made[0])
        return made

    def checkpoint(self, spec: Any, tensors: Any, params: Any, reentrant: bool, after: Any = None) -> Any:
        return super().checkpoint(spec, tensors, params, reentrant, self.move)

    def move(self, tensor: Any) -> None:
        array = self.memory(tensor)
        array += np.spacing(array)


@pytest.mark.parametrize("through", ["checkpoint", "reentrant_checkpoint"])
def test_a_result_that_backward_makes_again_is_excused_as_the_first_was(through: str) -> None:
    """1 - tanh(4)**2 has an error of hundreds of spacings if tanh(4) has one of one."""
    call = Call("tanh", (0,), {}, 1, through)
    program = Program((leaf([4.0], ()),), (call, Backward((1,), (None,), None, False, None)))
    mine, true = run(program, TanhOff()).grads[0], run(program, TORCH).grads[0]
    assert abs(mine.value - true.value) > 100 * np.spacing(true.value)
    assert check(program, TanhOff(), TORCH).divergence is None


@pytest.mark.parametrize("mode", ["saved_numpy", "saved_doubled", "saved_negated"])
def test_a_result_saved_as_a_copy_is_excused_too(mode: str) -> None:
    tanh, backward = Call("tanh", (0,), {}, 1), Backward((1,), (None,), None, False, None)
    program = Program((leaf([4.0], ()),), (Enter(mode), tanh, Exit(), backward))

    class SavedOff(TorchLike):
        def mode(self, name: str) -> Any:
            factor = 2.0 if name == "saved_doubled" else 1.0
            off = 1.0 + np.finfo(float).eps
            return torch.autograd.graph.saved_tensors_hooks(lambda x: x.detach() * off, lambda x: x * factor)

    subject = SavedOff("saved off", torch)
    mine, true = run(program, subject).grads[0], run(program, TORCH).grads[0]
    assert abs(mine.value - true.value) > 100 * np.spacing(0.0013)
    assert check(program, subject, TORCH).divergence is None


def test_a_batched_pass_is_excused_too() -> None:
    batch = literal([1.0, 2.0, 0.5, -1.0], (2, 2))
    grad = Grad((1,), (0,), (batch,), None, False, None, is_grads_batched=True)
    program = Program((leaf([4.0, 3.0]),), (Call("tanh", (0,), {}, 1), grad))
    result = check(program, TanhOff(), TORCH)
    assert result.escalated and result.divergence is None
    assert not run(program, Gentle(TORCH, (0, 0), 1)).faults


def test_known_numbers_come_back_to_their_places() -> None:
    """Even where a node raises while they are away."""
    leaves = (leaf([0.5, 0.25]), leaf([2.0, 3.0]))
    for amplitude in (1, 8):
        engine = Gentle(TORCH, (0, 0), amplitude)
        tensors = [engine.leaf(each) for each in leaves]
        before = [tensor.tolist() for tensor in tensors]
        made = engine.call(CATALOGUE["atan2"], tensors, {})[0]
        assert [tensor.tolist() for tensor in tensors] == before
        engine.backward([made], [torch.ones(2, dtype=torch.float64)], True, False, None)
        assert [tensor.tolist() for tensor in tensors] == before
        raising = engine.call(CATALOGUE["custom_raising_backward"], tensors[:1], {})[0]
        with pytest.raises(KeyError):
            engine.backward([raising], [torch.ones(2, dtype=torch.float64)], True, False, None)
        assert [tensor.tolist() for tensor in tensors] == before
        assert [tensor._version for tensor in (*tensors, made)] == [0, 0, 0]
