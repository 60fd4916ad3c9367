"""Joining and rearranging against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.refgrad.ops.compare import Input, assert_same

Call = Callable[..., Any]
INF, NAN = float("inf"), float("nan")


def _values(*shape: int) -> Any:
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


# Each takes two tensors of shape (2, 3).
JOINS: list[Call] = [
    lambda t, x, y: t.cat([x, y]),
    lambda t, x, y: t.cat((x, y, x), dim=-1),
    lambda t, x, y: t.concat([x, x]),
    lambda t, x, y: t.concatenate([x], 1),
    lambda t, x, y: t.cat([x, y[:0]]),
    lambda t, x, y: t.cat([x, t.zeros(0, device=x.device), y]),
    lambda t, x, y: t.cat([x[0, :0], y]),
    lambda t, x, y: t.cat([x[0, :0], y[0, :0]]),
    lambda t, x, y: t.cat([x, y.to(t.float32)], 1),
    lambda t, x, y: t.cat([x.to(t.float16), y]),
    lambda t, x, y: t.cat([x.detach().long(), y]),
    lambda t, x, y: t.stack([x, y]),
    lambda t, x, y: t.stack((x, y), -1),
    lambda t, x, y: t.stack([x, x.float()], 1),
    lambda t, x, y: t.stack([x[0, 0], y[1, 1]]),
    lambda t, x, y: t.hstack([x, y]),
    lambda t, x, y: t.hstack([x[0], y[0]]),
    lambda t, x, y: t.hstack([x[0, 0], y[0, 0]]),
    lambda t, x, y: t.vstack([x, y]),
    lambda t, x, y: t.vstack((x[0], y)),
    lambda t, x, y: t.row_stack([x[0], y[0]]),
    lambda t, x, y: t.dstack([x, y]),
    lambda t, x, y: t.dstack([x[0], y[0]]),
    lambda t, x, y: t.column_stack([x[0], y[1]]),
    lambda t, x, y: t.column_stack([x, y[:, 0]]),
    lambda t, x, y: t.cat(t.unsafe_split(x, 2, 1), 1),
    lambda t, x, y: t.unsafe_chunk(x, 2),
    lambda t, x, y: t.cat(x.split(1)),
]


@pytest.mark.parametrize("k", range(len(JOINS)))
def test_joining(k: int) -> None:
    assert_same(JOINS[k], _values(2, 3), _values(2, 3) / 7)
    assert_same(JOINS[k], Input(_values(2, 3), requires_grad=False), Input(_values(2, 3), "transposed"), cuda=False)


# Each takes a tensor of shape (3, 4).
REARRANGED: list[Call] = [
    lambda t, x: x.flip(0),
    lambda t, x: t.flip(x, (0, -1)),
    lambda t, x: x.flip(()),
    lambda t, x: x.flip(dims=(1,)),
    lambda t, x: x.fliplr(),
    lambda t, x: t.flipud(x),
    lambda t, x: x[0, 0].flip(0),
    lambda t, x: x.roll(1),
    lambda t, x: x.roll(-5, 1),
    lambda t, x: t.roll(x, (1, 2), (0, 1)),
    lambda t, x: x.roll((1, 1), (0, 0)),
    lambda t, x: x[0, 0].roll(2),
    lambda t, x: x[:0].roll(1, 1),
    lambda t, x: x.tril(),
    lambda t, x: x.triu(1),
    lambda t, x: t.tril(x, diagonal=-1),
    lambda t, x: x.triu(-9),
    lambda t, x: x.expand(2, 3, 4).tril(1),
    lambda t, x: x[:0].triu(),
    lambda t, x: x.diag(),
    lambda t, x: t.diag(x[0]),
    lambda t, x: x[0].diag(-2),
    lambda t, x: x.diag(2),
    lambda t, x: x.diag(9),
    lambda t, x: x.diag_embed(),
    lambda t, x: t.diag_embed(x, 1, 0, 1),
    lambda t, x: x[0].diag_embed(-1),
    lambda t, x: x.diag_embed(0, 0, 2),
    lambda t, x: x.diagflat(),
    lambda t, x: x[0].diagflat(1),
    lambda t, x: t.diagflat(x[0, 0]),
    lambda t, x: x.repeat(2, 2),
    lambda t, x: x.repeat((2, 1, 3)),
    lambda t, x: x.repeat(1, 1),
    lambda t, x: x.repeat(0, 2),
    lambda t, x: x[0, 0].repeat(3),
    lambda t, x: x[:0].repeat(2, 2),
    lambda t, x: x.repeat(repeats=(1, 2)),
    lambda t, x: x.tile(2),
    lambda t, x: t.tile(x, (2, 2)),
    lambda t, x: x.tile(1, 2, 1),
    lambda t, x: x.tile(()),
    lambda t, x: x.repeat_interleave(2),
    lambda t, x: x.repeat_interleave(2, 0),
    lambda t, x: t.repeat_interleave(x, 3, dim=-1),
    lambda t, x: x.repeat_interleave(0, 1),
    lambda t, x: x[0, 0].repeat_interleave(2),
    lambda t, x: x.repeat_interleave(t.tensor([1, 0, 2], device=x.device), 0),
    lambda t, x: x.repeat_interleave(t.tensor([2], device=x.device), 1),
    lambda t, x: x.rot90(),
    lambda t, x: t.rot90(x, 2),
    lambda t, x: x.rot90(-1, (1, 0)),
    lambda t, x: x.rot90(3),
    lambda t, x: x.rot90(4),
    lambda t, x: t.nn.functional.pad(x, (1, 2)),
    lambda t, x: t.nn.functional.pad(x, (1, 0, 0, 2), value=2.5),
    lambda t, x: t.nn.functional.pad(x, (-1, 1)),
    lambda t, x: t.nn.functional.pad(x, (-1, -1, -1, -1)),
    lambda t, x: t.nn.functional.pad(x, ()),
    lambda t, x: t.nn.functional.pad(x, (0, 0)),
    lambda t, x: t.constant_pad_nd(x, (1, 1), -1),
    lambda t, x: t.nn.functional.pad(x, (1, 1), value=INF),
    lambda t, x: t.nn.functional.pad(x[:0], (1, 1, 1, 1)),
    lambda t, x: t.nn.functional.pad(x, (1, 1), "constant", None),
    lambda t, x: t.nn.functional.pad(x, (-4, 1)),
    lambda t, x: t.nn.functional.pad(x, [2, -1]),
]


@pytest.mark.parametrize("k", range(len(REARRANGED)))
def test_rearranging(k: int) -> None:
    assert_same(REARRANGED[k], _values(3, 4))
    for layout in ("transposed", "strided"):
        assert_same(REARRANGED[k], Input(_values(3, 4), layout), cuda=False)
    for dtype in ("float16", "int64", "bool", "complex128"):
        if dtype in ("int64", "bool") and "INF" in REARRANGED[k].__code__.co_names:
            continue  # no infinity there
        assert_same(REARRANGED[k], _values(3, 4).astype(dtype), cuda=False, second=dtype != "float16")


def test_places_repeated() -> None:
    assert_same(lambda t, x: t.repeat_interleave(x), np.array([1, 0, 2]))


def test_triangles_and_repeats_of_special_values() -> None:
    special = np.array([[NAN, INF], [INF, NAN]])
    assert_same(lambda t, x: x.tril(), special)
    assert_same(lambda t, x: x.repeat(2, 1), special, second=False)
    assert_same(lambda t, x: t.cat([x, x]), special, second=False)


def test_triangles_in_place() -> None:
    assert_same(lambda t, x: (x * 1).tril_(), _values(3, 4))
    assert_same(lambda t, x: (x * 1).triu_(1), _values(3, 4))
    assert_same(lambda t, x: (x * 1).cumsum_(0), _values(3, 4))
    assert_same(lambda t, x: (x * 1).cumprod_(1), _values(3, 4))


ERRORS: list[Call] = [
    lambda t, x: t.cat([]),
    lambda t, x: t.cat([x, x[0]]),
    lambda t, x: t.cat([x, x], 2),
    lambda t, x: t.cat([x[0, 0]]),
    lambda t, x: t.cat([x, x[:, :2]]),
    lambda t, x: t.cat(x),
    lambda t, x: t.cat([x, 1]),
    lambda t, x: t.cat([x, x], -3),
    lambda t, x: t.stack([]),
    lambda t, x: t.stack([x, x[0]]),
    lambda t, x: t.stack([x, x], 3),
    lambda t, x: t.hstack([]),
    lambda t, x: t.hstack([x, x[0]]),
    lambda t, x: t.vstack([x, x[0, :2]]),
    lambda t, x: t.cat([x, t.zeros(0, 0)]),
    lambda t, x: x.flip(2),
    lambda t, x: x.flip(0, 0),
    lambda t, x: x[0].fliplr(),
    lambda t, x: x[0, 0].flipud(),
    lambda t, x: x.roll((1, 2)),
    lambda t, x: x.roll(1, 3),
    lambda t, x: x.roll((1, 2), 0),
    lambda t, x: x[0, 0].roll(1, 0),
    lambda t, x: x[0].tril(),
    lambda t, x: x[None].diag(),
    lambda t, x: x[0, 0].diag(),
    lambda t, x: x[0, 0].diag_embed(),
    lambda t, x: x.diag_embed(0, 1, 1),
    lambda t, x: x.repeat(2),
    lambda t, x: x.repeat(-1, 1),
    lambda t, x: x.tile(-1),
    lambda t, x: x.repeat_interleave(-1),
    lambda t, x: x.repeat_interleave(2, 5),
    lambda t, x: x.repeat_interleave(2, 0, output_size=9),
    lambda t, x: x.repeat_interleave(t.tensor([1, 2]), 0),
    lambda t, x: x.rot90(1, (0, 0)),
    lambda t, x: x.rot90(1, (0,)),
    lambda t, x: x[0].rot90(),
    lambda t, x: x.rot90(1, (0, 3)),
    lambda t, x: t.nn.functional.pad(x, (1,)),
    lambda t, x: t.nn.functional.pad(x, (1,) * 6),
    lambda t, x: t.nn.functional.pad(x, (-2, -3)),
    lambda t, x: t.nn.functional.pad(x, (1, 1), "nonsense"),
    lambda t, x: t.nn.functional.pad(x.long(), (1, 1), value=NAN),
    lambda t, x: t.nn.functional.pad(x, (0, -9)),
]


@pytest.mark.parametrize("k", range(len(ERRORS)))
def test_errors(k: int) -> None:
    assert_same(ERRORS[k], _values(3, 4), cuda=False)
    with pytest.raises(Exception):  # noqa: B017 - that torch raises is part of the case
        ERRORS[k](torch, torch.tensor(_values(3, 4)))
