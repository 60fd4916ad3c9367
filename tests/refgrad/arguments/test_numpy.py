"""NumPy arrays as operands, and NumPy's functions of tensors: the same as torch.

torch takes part in NumPy's protocols in their older form, for which NumPy warns of their end: those warnings are left
out here.
"""

from __future__ import annotations

import warnings
from math import inf

import numpy as np
import pytest

import refgrad
from tests.refgrad.both import assert_both

CALLS = (
    lambda t: t.ones(2) + np.ones(2),
    lambda t: type(t.ones(2) + np.ones(2)).__name__,
    lambda t: t.ones(2) * np.ones(2),
    lambda t: t.ones(2) - np.ones(2),
    lambda t: t.ones(2) / np.ones(2),
    lambda t: np.ones(2) / t.ones(2),
    lambda t: t.ones(2) ** np.ones(2),
    lambda t: t.ones(2) // np.ones(2),
    lambda t: t.ones(2) % np.ones(2),
    lambda t: t.ones(2) @ np.ones(2),
    lambda t: t.ones(2, dtype=t.int64) & np.ones(2, int),
    lambda t: t.ones(2, dtype=t.int64) << np.ones(2, int),
    lambda t: t.ones(2) + np.array(2.0),
    lambda t: t.ones(2) + np.array([1j, 2]),
    lambda t: np.add(t.ones(2), t.ones(2)),
    lambda t: type(np.add(t.ones(2), t.ones(2))).__name__,
    lambda t: np.add(t.ones(2), np.ones(2)),
    lambda t: np.add(np.ones(2), t.ones(2)),
    lambda t: np.add(t.ones(2), 1),
    lambda t: np.sin(t.ones(2)),
    lambda t: np.exp(t.ones(2)),
    lambda t: np.array(t.ones(2)),
    lambda t: np.array(t.ones(2, requires_grad=True)),
    lambda t: np.array(t.ones(2), dtype=int),
    lambda t: np.array(t.ones(2), copy=True),
    lambda t: np.asarray(t.ones(2), dtype=float, copy=False),
    lambda t: np.isnan(t.ones(2)),
    lambda t: np.greater(t.ones(2), 0),
    lambda t: np.dot(t.ones(2), t.ones(2)),
    lambda t: np.square(t.tensor([1, 2])),
    lambda t: np.abs(t.tensor([1, -2])),
    lambda t: np.sign(t.tensor(2.0)),
    lambda t: type(np.sign(t.tensor(2.0))).__name__,
    lambda t: np.modf(t.ones(2)),
    lambda t: np.isfinite(t.tensor([1.0, inf])),
    lambda t: t.tensor(2) / np.ones(2),
    lambda t: np.ones((2, 2)) / t.ones(2),
)


@pytest.mark.parametrize("call", CALLS, ids=lambda f: f"line{f.__code__.co_firstlineno}")
def test_as_in_torch(call):
    def quiet(t):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return call(t)

    assert_both(quiet)


def test_an_array_of_a_tensor_is_a_copy_only_where_numpy_wants_one():
    x = refgrad.ones(3)
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert np.shares_memory(np.asarray(x, copy=False), x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy())
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype=float, copy=False)


def test_numpy_scalars_are_the_numbers_they_look_like():
    assert (refgrad.ones(2) * np.complex64(1j)).tolist() == [1j, 1j]
    assert (refgrad.ones(2, dtype=refgrad.int64) + np.bool_(True)).dtype is refgrad.int64
