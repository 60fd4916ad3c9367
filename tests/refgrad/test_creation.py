"""Tensors from data, constants, ranges and random streams, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both

CREATIONS: dict[str, Callable[[Any], Any]] = {
    "tensor of a float": lambda t: t.tensor(1.5),
    "tensor of an int": lambda t: t.tensor(3),
    "tensor of a bool": lambda t: t.tensor(True),
    "tensor of a complex": lambda t: t.tensor(1 + 2j),
    "tensor of a list": lambda t: t.tensor([[1, 2], [3, 4]]),
    "tensor of mixed numbers": lambda t: t.tensor([1, 2.5, True]),
    "tensor of a tuple": lambda t: t.tensor((1.0, 2.0)),
    "tensor of a range": lambda t: t.tensor(range(3)),
    "tensor of nothing": lambda t: t.tensor([]),
    "tensor of nothings": lambda t: t.tensor([[], []]),
    "tensor of 0-dim tensors": lambda t: t.tensor([t.tensor(1.0), t.tensor(2)]),
    "tensor of a tensor": lambda t: t.tensor(t.ones(2)),
    "tensor of float64 array": lambda t: t.tensor(np.ones((2, 2))),
    "tensor of a transposed array": lambda t: t.tensor(np.ones((2, 3)).T),
    "tensor of NumPy scalars": lambda t: t.tensor([np.float64(1), np.float32(2)]),
    "tensor with dtype": lambda t: t.tensor([1.5, 2.5], dtype=t.int64),
    "tensor of nan as bool": lambda t: t.tensor([1.5, float("nan")], dtype=t.bool),
    "tensor that overflows half": lambda t: t.tensor(1e5, dtype=t.float16),
    "tensor that requires grad": lambda t: t.tensor([1.0], requires_grad=True),
    "ragged": lambda t: t.tensor([[1], [1, 2]]),
    "a list where a number was": lambda t: t.tensor([1, [2]]),
    "a string": lambda t: t.tensor("a"),
    "a string in a list": lambda t: t.tensor([1, "a"]),
    "a dict": lambda t: t.tensor({1: 2}),
    "None": lambda t: t.tensor(None),
    "too large": lambda t: t.tensor(2**63),
    "too large for uint8": lambda t: t.tensor(300, dtype=t.uint8),
    "complex as float": lambda t: t.tensor([1j], dtype=t.float32),
    "zeros": lambda t: t.zeros(2, 3),
    "zeros of a tuple": lambda t: t.zeros((2, 3), dtype=t.int32),
    "zeros of Size": lambda t: t.zeros(t.Size([2])),
    "ones of nothing": lambda t: t.ones(()),
    "ones of size 0": lambda t: t.ones(0, 3),
    "ones by keyword": lambda t: t.ones(size=(2,)),
    "ones of a string": lambda t: t.ones("a"),
    "ones of a negative size": lambda t: t.ones(-1),
    "full of an int": lambda t: t.full((2,), 3),
    "full of a bool": lambda t: t.full((2,), True),
    "full of a float": lambda t: t.full((2,), 1.5, dtype=t.float64),
    "full of a size": lambda t: t.full(2, 1.5),
    "eye": lambda t: t.eye(3),
    "eye of a rectangle": lambda t: t.eye(2, 3, dtype=t.float64),
    "ones_like": lambda t: t.ones_like(t.zeros(2, 3, dtype=t.float64)),
    "ones_like of a transposed": lambda t: t.ones_like(t.zeros(2, 3).t()),
    "ones_like of an expanded": lambda t: t.ones_like(t.zeros(3).expand(2, 3)),
    "zeros_like with dtype": lambda t: t.zeros_like(t.ones(2), dtype=t.int64),
    "full_like": lambda t: t.full_like(t.zeros(2, 3), 7),
    "full_like with dtype": lambda t: t.full_like(t.zeros(2), 7, dtype=t.int64),
    "new_zeros": lambda t: t.ones(2, dtype=t.float64).new_zeros(3),
    "new_tensor": lambda t: t.ones(2, dtype=t.float64).new_tensor([1, 2]),
    "new_full": lambda t: t.ones(2, dtype=t.float64).new_full((2,), 4),
    "as_tensor": lambda t: t.as_tensor([1, 2.5]),
    "as_tensor with dtype": lambda t: t.as_tensor(np.ones(2), dtype=t.float32),
    "from_numpy": lambda t: t.from_numpy(np.ones(2)),
    "scalar_tensor": lambda t: t.scalar_tensor(2),
    "arange": lambda t: t.arange(5),
    "arange of a float": lambda t: t.arange(3.0),
    "arange with a step": lambda t: t.arange(0, 1, 0.1),
    "arange downwards": lambda t: t.arange(5, 0, -2),
    "arange of doubles": lambda t: t.arange(1, 2.5, 0.3, dtype=t.float64),
    "arange the wrong way": lambda t: t.arange(3, 0),
    "arange without a step": lambda t: t.arange(0, 1, 0),
    "linspace": lambda t: t.linspace(0, 1, 7),
    "linspace of integers": lambda t: t.linspace(0, 10, 3, dtype=t.int64),
    "linspace of one": lambda t: t.linspace(3, 4, 1),
    "linspace of none": lambda t: t.linspace(3, 4, 0),
    "linspace of fewer": lambda t: t.linspace(3, 4, -1),
    "logspace": lambda t: t.logspace(0, 2, 3),
    "complex": lambda t: t.complex(t.ones(2), t.full((2,), 2.0)),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_created_as_in_torch(name: str) -> None:
    assert_both(CREATIONS[name])


def test_linspace_of_doubles_to_the_last_place() -> None:
    ours = refgrad.linspace(-1, 5, 10, dtype=refgrad.float64).numpy()
    theirs = torch.linspace(-1, 5, 10, dtype=torch.float64).numpy()
    # torch's vector code rounds start + k * step once where the processor can, and twice elsewhere
    assert np.all(np.abs(ours - theirs) <= np.spacing(np.abs(theirs)))


STREAM: tuple[Callable[[Any], Any], ...] = (
    lambda t: t.rand(3),
    lambda t: t.randn(5),
    lambda t: t.randn(20, dtype=t.float64).mul(2**40).round(),
    lambda t: t.randint(10, (4,)),
    lambda t: t.randint(-5, 5, (2, 2)),
    lambda t: t.randint(high=3, size=(2,)),
    lambda t: t.randperm(9),
    lambda t: t.rand(2, 3, dtype=t.float64),
    lambda t: t.rand_like(t.ones(2, 3, dtype=t.float64)),
    lambda t: t.randint_like(t.ones(2), 3),
    lambda t: t.randn_like(t.ones(3)),
    lambda t: t.rand_like(t.ones(3, 5).t()),
    lambda t: t.randn_like(t.ones(2, 3, 4, dtype=t.float64).permute(2, 0, 1)),
    lambda t: t.rand_like(t.ones(3).expand(2, 3)),
)


def test_the_random_streams_are_torchs() -> None:
    def draw(t: Any) -> Any:
        t.manual_seed(7)
        return [make(t) for make in STREAM]

    assert_both(draw)


def test_a_generator_of_its_own() -> None:
    ours = refgrad.rand(2, 3, generator=refgrad.Generator().manual_seed(1))
    theirs = torch.rand(2, 3, generator=torch.Generator().manual_seed(1))
    assert ours.tolist() == theirs.tolist()


def test_random_integers_cannot_be_uniform() -> None:
    with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
        refgrad.rand(2, dtype=refgrad.int64)


def test_from_numpy_shares_memory_and_tensor_does_not() -> None:
    array = np.zeros(2)
    shared, copied = refgrad.from_numpy(array), refgrad.tensor(array)
    array[0] = 5
    assert shared.tolist() == [5.0, 0.0]
    assert copied.tolist() == [0.0, 0.0]
    with pytest.raises(TypeError, match="expected np.ndarray"):
        refgrad.from_numpy([1, 2])
