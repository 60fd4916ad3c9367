"""Subscripts, read and written, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refgrad
from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import Input, assert_same

Call = Callable[..., Any]
X = np.arange(1.0, 25.0).reshape(2, 3, 4)


def ints(t: Any, x: Any, values: Any) -> Any:
    return t.tensor(values, dtype=t.int64, device=x.device)


def mask(t: Any, x: Any, values: Any) -> Any:
    return t.tensor(values, dtype=t.bool, device=x.device)


BASIC: dict[str, Call] = {
    "int": lambda t, x: x[1],
    "negative int": lambda t, x: x[-1],
    "two ints": lambda t, x: x[0, 1],
    "int and slice": lambda t, x: x[0, 1:2],
    "slice": lambda t, x: x[0:1],
    "whole slice": lambda t, x: x[:],
    "whole slices": lambda t, x: x[:, :, :],
    "int behind a slice": lambda t, x: x[:, 1],
    "ellipsis and int": lambda t, x: x[..., 1],
    "slice past the end": lambda t, x: x[0:9],
    "empty slice": lambda t, x: x[5:2],
    "step": lambda t, x: x[:, ::2],
    "new axis": lambda t, x: x[None],
    "new axis and int": lambda t, x: x[None, 0],
    "int and new axis": lambda t, x: x[0, None],
    "new axis at the end": lambda t, x: x[..., None],
    "ellipsis": lambda t, x: x[...],
    "nothing": lambda t, x: x[()],
    "between": lambda t, x: x[1, ..., 2],
    "0-dim tensor": lambda t, x: x[ints(t, x, 1)],
    "select": lambda t, x: x.select(1, -1),
}
ADVANCED: dict[str, Call] = {
    "tensor": lambda t, x: x[ints(t, x, [0, 1, 0])],
    "negative": lambda t, x: x[ints(t, x, [-1])],
    "empty": lambda t, x: x[ints(t, x, [])],
    "list": lambda t, x: x[[0, 1]],
    "nested list": lambda t, x: x[[[0, 1], [1, 0]]],
    "two lists": lambda t, x: x[[0, 1], [1, 2]],
    "behind a slice": lambda t, x: x[:, ints(t, x, [0, 2, 2])],
    "last": lambda t, x: x[..., ints(t, x, [[3], [0]])],
    "apart": lambda t, x: x[ints(t, x, [0, 1]), :, ints(t, x, [2, 3])],
    "apart behind an int": lambda t, x: x[0, :, ints(t, x, [2, 3])],
    "int between": lambda t, x: x[ints(t, x, [0, 1]), 1, ints(t, x, [2, 3])],
    "slice between": lambda t, x: x[ints(t, x, [0, 1]), 1:2, ints(t, x, [2, 3])],
    "broadcast": lambda t, x: x[ints(t, x, [[0], [1]]), ints(t, x, [0, 2])],
    "all dims": lambda t, x: x[ints(t, x, [0, 1]), ints(t, x, [1, 1]), ints(t, x, [3, 3])],
    "new axis after": lambda t, x: x[:, ints(t, x, [0, 1]), None],
    "mask": lambda t, x: x[mask(t, x, [True, False])],
    "mask of all": lambda t, x: x[x > 3],
    "mask of two dims": lambda t, x: x[mask(t, x, [[True, False, True], [False, True, False]])],
    "mask behind a slice": lambda t, x: x[:, mask(t, x, [True, False, True])],
    "mask and int": lambda t, x: x[mask(t, x, [True, False]), 0],
    "mask and tensor": lambda t, x: x[ints(t, x, [0, 1]), mask(t, x, [True, False, True])],
    "list of bools": lambda t, x: x[[True, False]],
    "True": lambda t, x: x[True],
    "False": lambda t, x: x[False],
    "0-dim mask": lambda t, x: x[mask(t, x, True)],
    "True and tensor": lambda t, x: x[True, ints(t, x, [0, 1])],
}
WRONG: dict[str, Call] = {
    "out of range": lambda t, x: x[3],
    "too many": lambda t, x: x[0, 0, 0, 0],
    "negative step": lambda t, x: x[::-1],
    "string": lambda t, x: x["a"],
    "float": lambda t, x: x[1.5],
    "float tensor": lambda t, x: x[t.ones(2)],
    "tensor out of range": lambda t, x: x[ints(t, x, [5])],
    "mask too short": lambda t, x: x[mask(t, x, [True, False, True])],
    "no broadcast": lambda t, x: x[ints(t, x, [0, 1]), ints(t, x, [0, 1, 2])],
    "0-dim": lambda t, x: x[0, 0, 0][0],
    "select out of range": lambda t, x: x.select(0, 2),
}


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("name", BASIC)
def test_views(name: str, layout: str) -> None:
    array = np.ascontiguousarray(X.T) if layout == "transposed" else X
    assert_same(BASIC[name], Input(array.T if layout == "transposed" else array, layout))


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("name", ADVANCED)
def test_copies(name: str, layout: str) -> None:
    assert_same(ADVANCED[name], Input(X, layout))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_subscripts(name: str) -> None:
    # On a GPU indices in tensors are not looked at, so only the CPU can refuse them.
    assert_same(WRONG[name], X, cuda="tensor" not in name)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool", "complex128"])
def test_dtypes(dtype: str) -> None:
    assert_same(ADVANCED["broadcast"], X.astype(dtype))
    assert_same(BASIC["int and slice"], X.astype(dtype))


def test_views_share_memory_and_version() -> None:
    x = refgrad.zeros(3, 4)
    row = x[1]
    row[2] = 5.0
    assert x[1, 2].item() == 5.0
    assert x._version == row._version == 1
    copied = x[[1]]
    copied[0, 0] = 9.0
    assert x[1, 0].item() == 0.0


WRITES: dict[str, Call] = {
    "number": lambda t, x, v: x.__setitem__(0, 7.0),
    "whole": lambda t, x, v: x.__setitem__(..., v[0, 0, 0]),
    "slice": lambda t, x, v: x.__setitem__((slice(None), 1), v[:, 0]),
    "broadcast": lambda t, x, v: x.__setitem__((0, slice(1, 3)), v[0, 0]),
    "step": lambda t, x, v: x.__setitem__((slice(None), slice(None), slice(None, None, 2)), v[:, :, :2]),
    "tensor": lambda t, x, v: x.__setitem__(ints(t, x, [1, 0]), v),
    "mask": lambda t, x, v: x.__setitem__(x > 5, 0.5),
    "two tensors": lambda t, x, v: x.__setitem__((ints(t, x, [0, 1]), ints(t, x, [1, 2])), v[:, 0]),
    "added ones": lambda t, x, v: x.__setitem__(0, v[:1, :, :][0:1]),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_into_plain_tensors(name: str) -> None:
    def write(t: Any, x: Any, v: Any) -> Any:
        target, source = x.detach().clone(), v.detach()
        WRITES[name](t, target, source)
        return target, t.tensor(target._version)

    assert_same(write, X, -X, state=False)


@pytest.mark.parametrize("name", WRITES)
def test_recorded_writes(name: str) -> None:
    def write(t: Any, x: Any, v: Any) -> Any:
        target = x * 2
        WRITES[name](t, target, v)
        return target * 1

    assert_same(write, X, -X, state=False)


def test_the_first_node_of_a_recorded_write() -> None:
    def names(t: Any) -> Any:
        x = t.ones(2, 3, dtype=t.float64, requires_grad=True)
        seen = []
        for key in (0, slice(0, 1), [0]):
            y = x * 2
            y[key] = 1.0
            seen.append(y.grad_fn.name())
        return seen

    assert_both(names)


def test_refused_writes() -> None:
    assert_both(lambda t: t.ones(2, requires_grad=True).__setitem__(0, 1.0))
    assert_both(lambda t: t.ones(2).__setitem__(0, t.ones(3)))
    assert_both(lambda t: t.ones(2, 3).__setitem__((0, slice(None)), t.ones(2)))
    assert_both(lambda t: t.ones(2, 3).__setitem__(5, 1.0))
