"""Reading and writing along a dimension, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.refgrad.ops.compare import Input, assert_same

Call = Callable[..., Any]
X = np.arange(1.0, 13.0).reshape(3, 4)
S = -np.arange(1.0, 13.0).reshape(3, 4) / 8


def ints(t: Any, x: Any, values: Any) -> Any:
    return t.tensor(values, dtype=t.int64, device=x.device)


READS: dict[str, Call] = {
    "gather 0": lambda t, x: x.gather(0, ints(t, x, [[0, 1, 2, 0], [2, 2, 1, 0]])),
    "gather 1": lambda t, x: t.gather(x, 1, ints(t, x, [[0, 3], [1, 1], [2, 0]])),
    "gather -1": lambda t, x: t.gather(x, -1, ints(t, x, [[0], [1]])),
    "gather nothing": lambda t, x: x.gather(0, ints(t, x, np.zeros((0, 4)))),
    "gather 0-dim": lambda t, x: x[0, 0].gather(0, ints(t, x, [0, 0])),
    "gather 0-dim index": lambda t, x: x[0].gather(0, ints(t, x, 2)),
    "take_along_dim": lambda t, x: t.take_along_dim(x, ints(t, x, [[0], [3], [1]]), 1),
    "take_along_dim broadcast": lambda t, x: t.take_along_dim(x, ints(t, x, [[0, 1, 0]]), 1),
    "take_along_dim flat": lambda t, x: t.take_along_dim(x, ints(t, x, [0, 11, 5])),
    "index_select 0": lambda t, x: x.index_select(0, ints(t, x, [2, 0, 2])),
    "index_select 1": lambda t, x: t.index_select(x, 1, ints(t, x, [3])),
    "index_select number": lambda t, x: x.index_select(0, ints(t, x, 1)),
    "index_select 0-dim": lambda t, x: x[0, 0].index_select(0, ints(t, x, [0])),
    "index_select nothing": lambda t, x: x.index_select(0, ints(t, x, [])),
    "take": lambda t, x: x.take(ints(t, x, [[0, -1], [5, 5]])),
    "masked_select": lambda t, x: x.masked_select(x > 3),
    "masked_select broadcast": lambda t, x: x.masked_select(x[0] > 2),
}
WRITES: dict[str, Call] = {
    "scatter_add 0": lambda t, x, s: x.scatter_add(0, ints(t, x, [[0, 1, 2, 0], [0, 2, 1, 0]]), s),
    "scatter_add 1": lambda t, x, s: t.scatter_add(x, 1, ints(t, x, [[0, 0, 0], [1, 2, 1]]), s),
    "scatter_add 0-dim": lambda t, x, s: x[0, 0].scatter_add(0, ints(t, x, 0), s[0, 0]),
    "scatter": lambda t, x, s: x.scatter(0, ints(t, x, [[0, 1, 2, 0], [1, 2, 0, 1]]), s),
    "scatter number": lambda t, x, s: x.scatter(1, ints(t, x, [[0], [3]]), 7.0) + s,
    "index_add": lambda t, x, s: x.index_add(0, ints(t, x, [2, 2, 0]), s),
    "index_add alpha": lambda t, x, s: t.index_add(x, 1, ints(t, x, [0, 0]), s[:, :2], alpha=-2),
    "index_copy": lambda t, x, s: x.index_copy(0, ints(t, x, [2, 0]), s[:2]),
    "index_fill": lambda t, x, s: x.index_fill(1, ints(t, x, [2, 0]), 3.0) * s,
    "index_fill tensor": lambda t, x, s: x.index_fill(0, ints(t, x, [1]), s[0, 0]),
    "index_put": lambda t, x, s: x.index_put((ints(t, x, [0, 2]),), s[:2]),
    "index_put broadcast": lambda t, x, s: x.index_put((ints(t, x, [0, 2]), ints(t, x, [1, 1])), s[0, 0]),
    "index_put accumulate": lambda t, x, s: x.index_put((ints(t, x, [0, 0]),), s[:2], accumulate=True),
}
WRONG: dict[str, Call] = {
    "gather dim": lambda t, x: x.gather(2, ints(t, x, [[0]])),
    "gather rank": lambda t, x: x.gather(0, ints(t, x, [0])),
    "gather dtype": lambda t, x: x.gather(0, x),
    "gather range tensor": lambda t, x: x.gather(0, ints(t, x, [[5]])),
    "gather negative tensor": lambda t, x: x.gather(0, ints(t, x, [[-1]])),
    "gather size": lambda t, x: x.gather(0, ints(t, x, np.zeros((2, 5)))),
    "scatter_add size": lambda t, x: x.scatter_add(0, ints(t, x, np.zeros((2, 4))), x[:1]),
    "scatter_add dtype": lambda t, x: x.scatter_add(0, ints(t, x, np.zeros((2, 4))), x.float()),
    "index_select matrix": lambda t, x: x.index_select(0, ints(t, x, [[0]])),
    "index_select range tensor": lambda t, x: x.index_select(0, ints(t, x, [5])),
    "index_select dtype": lambda t, x: x.index_select(0, x[0]),
    "index_add count": lambda t, x: x.index_add(0, ints(t, x, [1]), x),
    "index_add dtype": lambda t, x: x.index_add(0, ints(t, x, [0, 1, 2]), x.float()),
    "take_along_dim rank": lambda t, x: t.take_along_dim(x, ints(t, x, [0]), 0),
    "take range tensor": lambda t, x: x.take(ints(t, x, [12])),
    "masked_select dtype": lambda t, x: x.masked_select(ints(t, x, [1])),
}


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("name", READS)
def test_reads(name: str, layout: str) -> None:
    assert_same(READS[name], Input(X, layout))


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("name", WRITES)
def test_writes(name: str, layout: str) -> None:
    assert_same(WRITES[name], Input(X, layout), Input(S, layout))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    # On a GPU indices in tensors are not looked at, so only the CPU can refuse them.
    assert_same(WRONG[name], X, cuda="tensor" not in name)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", ["scatter_add 0", "index_add", "index_put accumulate"])
def test_sums_in_narrow_dtypes(name: str, dtype: str) -> None:
    assert_same(WRITES[name], X.astype(dtype), S.astype(dtype))


def test_coordinates() -> None:
    for array in (X > 4, np.array(3.0), np.array(0.0), np.zeros((2, 0)), np.array([0, 1, 0, 2])):
        assert_same(lambda t, x: (x.nonzero(), t.argwhere(x)), array)
        assert_same(lambda t, x: t.nonzero(x, as_tuple=True), array)
