"""What ops along one dimension take and refuse: shapes, places and dtypes in every combination, against torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import refgrad
from refgrad.devices import CudaModule, cuda_served_by
from tests import strictcupy
from tests.refgrad.both import assert_both
from tests.strictcupy import cupyx_scipy_special

Call = Callable[..., Any]
SHAPES = [(), (0,), (1,), (3,), (0, 3), (2, 0), (1, 3), (2, 3), (2, 2, 2)]
INDEX_SHAPES = [(), (0,), (1,), (2,), (3,), (0, 3), (1, 3), (2, 3), (2, 2, 2)]
INDICES = ("inside", "above", "below", "mixed")

# How to call an op with (input, dim, index, source); a source only where there is one.
WITHOUT_SOURCE: dict[str, Call] = {
    "gather": lambda t, x, d, i: x.gather(d, i),
    "take_along_dim": lambda t, x, d, i: t.take_along_dim(x, i, d),
    "take_along_dim flat": lambda t, x, d, i: t.take_along_dim(x, i),
    "take": lambda t, x, d, i: x.take(i),
    "index_select": lambda t, x, d, i: x.index_select(d, i),
    "index_fill": lambda t, x, d, i: x.index_fill(d, i, 7.0),
    "scatter number": lambda t, x, d, i: x.scatter(d, i, 7.0),
}
WITH_SOURCE: dict[str, Call] = {
    "scatter": lambda t, x, d, i, s: x.scatter(d, i, s),
    "scatter_add": lambda t, x, d, i, s: x.scatter_add(d, i, s),
    "index_add": lambda t, x, d, i, s: x.index_add(d, i, s),
    "index_add alpha": lambda t, x, d, i, s: x.index_add(d, i, s, alpha=2),
    "index_copy": lambda t, x, d, i, s: x.index_copy(d, i, s),
    "index_fill tensor": lambda t, x, d, i, s: x.index_fill(d, i, s),
}
INPLACE: dict[str, Call] = {
    "scatter_": lambda t, x, d, i, s: x.clone().scatter_(d, i, s),
    "scatter_add_": lambda t, x, d, i, s: x.clone().scatter_add_(d, i, s),
    "index_add_": lambda t, x, d, i, s: x.clone().index_add_(d, i, s),
    "index_copy_": lambda t, x, d, i, s: x.clone().index_copy_(d, i, s),
    "index_fill_": lambda t, x, d, i, s: x.clone().index_fill_(d, i, s),
}
ALL = {**WITHOUT_SOURCE, **WITH_SOURCE, **INPLACE}


class Case(NamedTuple):
    shape: tuple[int, ...]
    dim: int
    index_shape: tuple[int, ...]
    where: str = "inside"
    source_shape: tuple[int, ...] | None = None
    dtype: str = "float64"
    index_dtype: str = "int64"
    source_dtype: str = "float64"


def _shapes(name: str) -> Iterator[Case]:
    sources = [None] if name in WITHOUT_SOURCE else SHAPES
    for shape, dim, index_shape, where, source in itertools.product(SHAPES, (0, 1, -1), INDEX_SHAPES, INDICES, sources):
        yield Case(shape, dim, index_shape, where, source)


_FITTING = [((), ()), ((3,), (2,)), ((3, 3), (2, 3)), ((3, 3), (2,))]  # shapes of input and index


def _dtypes(name: str) -> Iterator[Case]:
    for shape, index_shape in _FITTING:
        source: tuple[int, ...] | None = (*index_shape, *shape[len(index_shape) :])
        if name in WITHOUT_SOURCE or "fill" in name:
            source = None if name in WITHOUT_SOURCE else ()
        for kind in ("int32", "int16", "uint8", "bool", "float32"):
            yield Case(shape, 0, index_shape, "inside", source, index_dtype=kind)
        yield Case(shape, 0, index_shape, "above", source, index_dtype="int32")
        if source is None:
            continue
        for pair in itertools.product(("float64", "float32", "int64", "bool", "complex64"), repeat=2):
            if "fill" not in name or pair[0][:2] == "fl" or pair[1] in ("int64", "bool"):
                yield Case(shape, 0, index_shape, "inside", source, pair[0], source_dtype=pair[1])


def _tensor(module: Any, shape: tuple[int, ...], start: int, dtype: str, device: str) -> Any:
    numbers = np.arange(start, start + math.prod(shape), dtype=float).reshape(shape)
    made = module.tensor(numbers, device=device).to(getattr(module, dtype))
    return made.requires_grad_() if dtype.startswith("float") else made


def _index(module: Any, name: str, case: Case, device: str) -> Any:
    shape, dim = case.shape, case.dim
    size = shape[dim] if shape and -len(shape) <= dim < len(shape) else 1
    if name in ("take", "take_along_dim flat"):
        size = math.prod(shape)
    k = np.arange(math.prod(case.index_shape)).reshape(case.index_shape)
    places = {
        "inside": k % max(size, 1),
        "above": np.full(case.index_shape, size),
        "below": np.full(case.index_shape, -1),
        "mixed": k + 10 * (k % 2 == 0) - 20 * (k % 3 == 1),
    }
    return module.tensor(places[case.where], dtype=getattr(module, case.index_dtype), device=device)


def _outcome(module: Any, name: str, case: Case, device: str) -> Any:
    x = _tensor(module, case.shape, 1, case.dtype, device)
    index = _index(module, name, case, device)
    sources = []
    if case.source_shape is not None:
        sources.append(_tensor(module, case.source_shape, -100, case.source_dtype, device))
    try:
        y = ALL[name](module, x, case.dim, index, *sources)
    except Exception as error:
        return _error(error)
    node = None if y.grad_fn is None else y.grad_fn.name()
    seen = [y.detach().tolist(), tuple(y.shape), repr(y.dtype), y.requires_grad, node]
    if y.requires_grad:
        weights = np.arange(1.0, y.numel() + 1).reshape(tuple(y.shape))
        cotangent = module.tensor(weights, device=device).to(y.dtype)
        seen += [_gradient(module, y, leaf, cotangent) for leaf in (x, *sources) if leaf.requires_grad]
    return seen


def _gradient(module: Any, y: Any, leaf: Any, cotangent: Any) -> Any:
    try:
        (g,) = module.autograd.grad(y, leaf, cotangent, retain_graph=True, allow_unused=True)
    except Exception as error:
        return _error(error)
    return None if g is None else (g.tolist(), tuple(g.shape), repr(g.dtype))


def _error(error: Exception) -> tuple[str, str]:
    return type(error).__name__, str(error).partition("\n")[0]


def _differing(name: str, cases: Iterator[Case], device: str = "cpu") -> list[Any]:
    found = []
    for case in cases:
        expected, got = _outcome(torch, name, case, "cpu"), _outcome(refgrad, name, case, device)
        if repr(got) != repr(expected):
            found.append((case, got, expected))
    return found


@pytest.mark.parametrize("name", [*WITHOUT_SOURCE, *WITH_SOURCE])
def test_shapes_and_places(name: str) -> None:
    assert _differing(name, _shapes(name))[:3] == []


@pytest.mark.parametrize("name", INPLACE)
def test_shapes_and_places_in_place(name: str) -> None:
    assert _differing(name, itertools.islice(_shapes(name), 0, None, 11))[:3] == []


@pytest.mark.parametrize("name", ALL)
def test_dtypes(name: str) -> None:
    assert _differing(name, _dtypes(name))[:3] == []


@pytest.mark.parametrize("name", [*WITHOUT_SOURCE, *WITH_SOURCE])
def test_shapes_on_a_gpu(name: str) -> None:
    """As on the CPU, where indices are inside."""
    inside = (c for c in _shapes(name) if c.where == "inside" and (c.shape == () or 0 not in c.shape))
    with cuda_served_by(CudaModule(strictcupy, cupyx_scipy_special)):
        few = itertools.islice(inside, 0, None, 2 if name in WITHOUT_SOURCE else 11)
        assert _differing(name, few, "cuda")[:3] == []


@pytest.mark.parametrize("name", ["gather", "take", "index_select", "scatter number", "index_fill"])
def test_places_outside_are_not_looked_at_on_a_gpu(name: str) -> None:
    """It would wait for the device."""
    case = Case((2, 3), 0, (3,) if name.startswith("index") else (1, 3), "above")
    assert _outcome(refgrad, name, case, "cpu")[0] in ("IndexError", "RuntimeError")
    with cuda_served_by(CudaModule(strictcupy, cupyx_scipy_special)):
        assert isinstance(_outcome(refgrad, name, case, "cuda"), list)


def _both(call: Call, dtype: str) -> None:
    """Fail unless the call does the same under both with a 3x3 tensor of ones and an index."""
    assert_both(lambda t: call(t, t.ones((3, 3), dtype=getattr(t, dtype)), t.tensor([0, 2])))


_VALUES = (7.5, -1.5, -1, -300, 300, 1e30, math.nan, math.inf, 2 + 0j, 2 + 1j, True, 2**63 - 1, 2**70)
_DTYPES = ("float64", "float32", "float16", "int64", "int8", "uint8", "bool", "complex64")


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("value", [*_VALUES, np.float64(2.5), np.int64(3)], ids=repr)
def test_numbers(value: Any, dtype: str) -> None:
    _both(lambda t, x, i: x.scatter(0, i.view(1, 2), value), dtype)
    _both(lambda t, x, i: x.scatter(0, i.view(1, 2), value=value), dtype)
    _both(lambda t, x, i: x.index_fill(0, i, value), dtype)
    if not isinstance(value, int) or abs(value) < 2**62:
        _both(lambda t, x, i: x.index_fill(0, i, t.tensor(value)), dtype)
        _both(lambda t, x, i: x.index_add(0, i, x[:2], alpha=value), dtype)


@pytest.mark.parametrize("value", ["a", None, [1], (1,), "1-dim", "0-dim", "0-dim grad"])
def test_no_numbers(value: Any) -> None:
    def given(t: Any) -> Any:
        made = {"1-dim": t.ones(1), "0-dim": t.tensor(2.0), "0-dim grad": t.tensor(2.0, requires_grad=True)}
        return made[value] if isinstance(value, str) and value in made else value

    _both(lambda t, x, i: x.scatter(0, i.view(1, 2), given(t)), "float32")
    _both(lambda t, x, i: x.scatter(0, i, given(t)), "float32")
    _both(lambda t, x, i: x[0].scatter(0, i[:1], given(t)), "float32")
    _both(lambda t, x, i: x.index_fill(0, i, given(t)), "float32")
    _both(lambda t, x, i: x.index_add(0, i, x[:2], alpha=given(t)), "float32")


CALLS: dict[str, Call] = {
    "take_along_dim no dim there": lambda t, x, i: t.take_along_dim(x, i.view(2, 1), 5),
    "take_along_dim rank and dim": lambda t, x, i: t.take_along_dim(x, i, 5),
    "take_along_dim rank and dtype": lambda t, x, i: t.take_along_dim(x, i.int(), 5),
    "take_along_dim dtype and dim": lambda t, x, i: t.take_along_dim(x, i.int().view(2, 1), 5),
    "take_along_dim float dim": lambda t, x, i: t.take_along_dim(x, i, 1.5),
    "take_along_dim no tensor": lambda t, x, i: t.take_along_dim(x, 3),
    "take_along_dim wrapped": lambda t, x, i: t.take_along_dim(x * t.arange(9).view(3, 3), i.view(1, 2) - 7, 1),
    "take_along_dim nothing": lambda t, x, i: t.take_along_dim(x, i.view(1, 2)[:, :0], 1),
    "take_along_dim of nothing": lambda t, x, i: t.take_along_dim(x[:, :0], i.view(1, 2), 1),
    "take_along_dim nowhere": lambda t, x, i: t.take_along_dim(x[:0, :0], i.view(1, 2), 1),
    "gather dim and dtype": lambda t, x, i: x.gather(5, i.float()),
    "index_fill dim and dtype": lambda t, x, i: x.index_fill(5, i.int(), 2.0),
    "index_fill dim and rank": lambda t, x, i: x.index_fill(5, i.view(1, 2), 2.0),
    "index_fill dim and value": lambda t, x, i: x.index_fill(5, i, x),
    "index_fill integers": lambda t, x, i: x.long().index_fill(0, i, t.tensor(2.0, requires_grad=True)),
    "index_fill integers and dim": lambda t, x, i: x.long().index_fill(5, i, t.tensor(2.0, requires_grad=True)),
    "index_copy dim and dtype": lambda t, x, i: x.index_copy(5, i.int(), x[:2]),
    "index_add dim and dtype": lambda t, x, i: x.index_add(5, i.float(), x[:2]),
    "index_select dim and rank": lambda t, x, i: x.index_select(5, i.view(1, 2)),
    "index_select rank and dtype": lambda t, x, i: x.index_select(0, i.view(1, 2).float()),
    "index_copy no tensor": lambda t, x, i: t.index_copy(x, 0, i, 2.0),
    "index_add no tensor": lambda t, x, i: t.index_add(x, 0, i, 2.0),
    "scatter_add no tensor": lambda t, x, i: t.scatter_add(x, 0, i.view(1, 2), 2.0),
    "take dtype": lambda t, x, i: x.take(i.int()),
    "take dtype and nothing": lambda t, x, i: x[:0].take(i.int()),
    "masked_select dtype": lambda t, x, i: x.masked_select(i),
    "masked_select shapes": lambda t, x, i: x.masked_select(i > 0),
    "masked_select 0-dim": lambda t, x, i: x[0, 0].masked_select(x[0, 0] > 0),
    "masked_select nothing": lambda t, x, i: x[:0].masked_select(x > 0),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments(name: str) -> None:
    _both(CALLS[name], "float32")


@pytest.mark.parametrize("places", [[0, 0], [0, 1, 0], [2], []])
def test_the_gradient_of_a_value_counts_a_place_once(places: list[int]) -> None:
    def gradients(t: Any) -> Any:
        x, value = t.ones(3, requires_grad=True), t.tensor(2.0, requires_grad=True)
        y = x.index_fill(0, t.tensor(places, dtype=t.int64), value)
        first = t.autograd.grad(y, (x, value), t.tensor([1.0, 10.0, 100.0], requires_grad=True), create_graph=True)
        return y, first[0].detach(), first[1].detach()

    assert_both(gradients)
