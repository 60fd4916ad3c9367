"""Views against torch: values, strides, aliasing, graph, gradients, errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both
from tests.refgrad.ops.compare import Input, assert_same

Call = Callable[..., Any]


def _values(*shape: int) -> Any:
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


# Each takes a tensor of shape (2, 3, 4).
VIEWS: list[Call] = [
    lambda t, x: x.reshape(6, 4),
    lambda t, x: x.reshape((-1,)),
    lambda t, x: t.reshape(x, (2, 3, 4)),
    lambda t, x: x.reshape(2, 1, -1, 4),
    lambda t, x: x.view(24),
    lambda t, x: x.view(-1, 2),
    lambda t, x: x.view((4, 6)),
    lambda t, x: x.view(size=(4, 6)),
    lambda t, x: x.view_as(t.zeros(4, 6)),
    lambda t, x: x.reshape_as(t.zeros(4, 6)),
    lambda t, x: x.flatten(),
    lambda t, x: x.flatten(1),
    lambda t, x: t.flatten(x, 0, 1),
    lambda t, x: x.flatten(1, 1),
    lambda t, x: x.unflatten(2, (2, -1)),
    lambda t, x: t.unflatten(x, -1, (4, 1)),
    lambda t, x: x.ravel(),
    lambda t, x: x.permute(2, 0, 1),
    lambda t, x: t.permute(x, (0, -1, 1)),
    lambda t, x: x.permute(dims=(0, 1, 2)),
    lambda t, x: x.transpose(0, 2),
    lambda t, x: t.transpose(x, 1, 1),
    lambda t, x: x.swapaxes(0, 1),
    lambda t, x: x.swapdims(-1, 0),
    lambda t, x: x.T,
    lambda t, x: x.mT,
    lambda t, x: x.mH,
    lambda t, x: x.adjoint(),
    lambda t, x: x[0].T,
    lambda t, x: x[0].H,
    lambda t, x: x[0].t(),
    lambda t, x: x[0, 0].t(),
    lambda t, x: x[0, 0].T,
    lambda t, x: x[0, 0, 0].T,
    lambda t, x: x[0, 0, 0].t(),
    lambda t, x: x[0, 0, 0].transpose(0, 0),
    lambda t, x: x[0, 0, 0].H,
    lambda t, x: x.movedim(0, 2),
    lambda t, x: t.moveaxis(x, (0, 1), (1, -1)),
    lambda t, x: x.movedim(1, 1),
    lambda t, x: x[0, 0, 0].movedim(0, 0),
    lambda t, x: x.squeeze(),
    lambda t, x: x[:1].squeeze(),
    lambda t, x: x[:1].squeeze(0),
    lambda t, x: x.squeeze(1),
    lambda t, x: x[:1, :1].squeeze((0, 1)),
    lambda t, x: x[:1].squeeze((0, 2)),
    lambda t, x: x.unsqueeze(0),
    lambda t, x: t.unsqueeze(x, -1),
    lambda t, x: x[0, 0, 0].squeeze(),
    lambda t, x: x[0, 0, 0].squeeze(0),
    lambda t, x: x[0, 0, 0].unsqueeze(0),
    lambda t, x: x.expand(5, 2, 3, 4),
    lambda t, x: x[:1].expand(3, -1, 4),
    lambda t, x: x.expand(2, 3, 4),
    lambda t, x: x[0, 0, 0].expand(2, 0),
    lambda t, x: x.broadcast_to((1, 2, 3, 4)),
    lambda t, x: t.broadcast_to(x[:, :1], (2, 5, 4)),
    lambda t, x: x[0].expand_as(x),
    lambda t, x: t.broadcast_tensors(x, x[0, :, :1]),
    lambda t, x: t.broadcast_tensors(x[:1], x[:, :1]),
    lambda t, x: x.narrow(2, 1, 2),
    lambda t, x: t.narrow(x, 0, -1, 1),
    lambda t, x: x.narrow(1, 0, 0),
    lambda t, x: x.select(1, -1),
    lambda t, x: t.atleast_1d(x[0, 0, 0]),
    lambda t, x: t.atleast_2d(x[0, 0]),
    lambda t, x: t.atleast_3d(x[0, 0]),
    lambda t, x: t.atleast_3d(x[0]),
    lambda t, x: t.atleast_3d(x[0, 0, 0]),
    lambda t, x: t.atleast_2d(x[0, 0, 0], x[0]),
    lambda t, x: t.atleast_1d([x[0, 0, 0], x]),
    lambda t, x: t.meshgrid(x[0, 0], x[0, :, 0], indexing="ij"),
    lambda t, x: t.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0], indexing="xy"),
    lambda t, x: t.meshgrid([x[0, 0], x[0, 0, 0]]),
    lambda t, x: x.sum_to_size(1, 3, 1),
    lambda t, x: x.sum_to_size((4,)),
    lambda t, x: x.sum_to_size(2, 3, 4),
    lambda t, x: x.sum_to_size(1),
    lambda t, x: list(x),
    lambda t, x: [*x[0, 0]],
    lambda t, x: x.diagonal(),
    lambda t, x: x.diagonal(1, 1, 2),
    lambda t, x: t.diagonal(x, -1, 2, 0),
    lambda t, x: x.diagonal(9),
    lambda t, x: x[0, 0].unfold(0, 2, 1),
    lambda t, x: x.unfold(2, 3, 1),
    lambda t, x: x.unfold(-1, 2, 2),
    lambda t, x: x[0, 0].unfold(0, 0, 1),
    lambda t, x: x[0, 0, 0].unfold(0, 1, 1),
    lambda t, x: x.split(1),
    lambda t, x: x.split(3, 2),
    lambda t, x: x.split([1, 3], -1),
    lambda t, x: t.split(x, [2, 0], dim=0),
    lambda t, x: x.split_with_sizes([1, 2], 1),
    lambda t, x: x.chunk(2),
    lambda t, x: t.chunk(x, 3, 2),
    lambda t, x: x.chunk(9, 1),
    lambda t, x: x[:0].chunk(2),
    lambda t, x: x.tensor_split(3, 2),
    lambda t, x: x.tensor_split((1, 3), dim=-1),
    lambda t, x: x.tensor_split((3, 1), 2),
    lambda t, x: t.tensor_split(x, t.tensor([1, 2]), 1),
    lambda t, x: x.tensor_split(t.tensor(2), 1),
    lambda t, x: x.tensor_split(7),
    lambda t, x: x.unbind(),
    lambda t, x: t.unbind(x, -1),
    lambda t, x: t.hsplit(x, 3),
    lambda t, x: x[0, 0].hsplit(2),
    lambda t, x: x.vsplit((1,)),
    lambda t, x: x.dsplit(2),
]


@pytest.mark.parametrize("k", range(len(VIEWS)))
def test_views(k: int) -> None:
    assert_same(VIEWS[k], _values(2, 3, 4))
    for layout in ("transposed", "strided"):
        assert_same(VIEWS[k], Input(_values(2, 3, 4), layout), cuda=False)
    assert_same(VIEWS[k], Input(np.arange(24).reshape(2, 3, 4)), cuda=False)


@pytest.mark.parametrize("k", range(len(VIEWS)))
def test_the_same_memory_is_shared(k: int) -> None:
    """A write through the base shows in a result where it does in torch, and versions move together."""

    def look(t: Any) -> Any:
        x = t.tensor(_values(2, 3, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = VIEWS[k](t, x)
        made = list(made) if isinstance(made, (list, tuple)) else [made]
        x.mul_(10)
        return [(y.tolist(), y._version, y._is_view(), y._base is x) for y in made]

    assert look(refgrad) == look(torch)


NOT_VIEWABLE: list[Call] = [
    lambda t, x: x.t().reshape(-1),
    lambda t, x: x.t().flatten(),
    lambda t, x: x.t().ravel(),
    lambda t, x: x[:, :2].reshape(4),
    lambda t, x: x.expand(2, 2, 3).reshape(4, 3),
    lambda t, x: x.t().reshape(2, 3),
    lambda t, x: x[:, ::2].reshape(-1),
    lambda t, x: x[None].expand(2, 2, 3).reshape(2, 6),
    lambda t, x: x[:, 1:2].reshape(2),
    lambda t, x: x.t()[1:].reshape(2, 2, 1),
    lambda t, x: x.t().reshape(3, 1, 2),
    lambda t, x: x[0].expand(4, 3).reshape(2, 2, 3),
    lambda t, x: x[0, 0].expand(4, 3).reshape(12),
    lambda t, x: x[:0].t().reshape(0),
    lambda t, x: x[:, :1].expand(2, 4).reshape(8),
    lambda t, x: x.reshape(1, 2, 3).permute(2, 0, 1).reshape(3, 2),
]


@pytest.mark.parametrize("k", range(len(NOT_VIEWABLE)))
def test_reshape_copies_where_torch_copies(k: int) -> None:
    assert_same(NOT_VIEWABLE[k], _values(2, 3))

    def aliases(t: Any) -> Any:
        x = t.tensor(_values(2, 3))
        y = NOT_VIEWABLE[k](t, x)
        x.zero_()
        return y.tolist(), y._version, tuple(y.stride()) if 1 not in y.shape else None

    assert aliases(refgrad) == aliases(torch)


def _reshaped_and_written(t: Any, sizes: list[int], order: list[int], steps: list[int], target: list[int]) -> Any:
    """A strided tensor in another shape after a write into it, and what `view` makes of it."""
    whole = t.arange(int(np.prod(sizes) * np.prod(steps)))
    wide = whole.reshape([n * s for n, s in zip(sizes, steps, strict=True)])
    x = wide.permute(*order)[tuple(slice(None, None, steps[k]) for k in order)]
    y = x.reshape(target)
    try:
        viewed = x.view(target).tolist()
    except RuntimeError as error:
        viewed = str(error)
    x.fill_(-1)
    return y.tolist(), viewed


def test_reshape_of_random_strides_is_a_view_exactly_where_torch_makes_one() -> None:
    rng = np.random.default_rng(0)
    counts = [0, 0]
    for _ in range(400):
        sizes = [int(n) for n in rng.choice([1, 2, 2, 3, 4], rng.integers(1, 5))]
        factors = [int(n) for n in rng.permutation(sizes)]
        cut = int(rng.integers(0, len(factors) + 1))
        target = [int(np.prod(factors[:cut])), *factors[cut:]]
        order = [int(k) for k in rng.permutation(len(sizes))]
        steps = [int(s) for s in rng.integers(1, 3, len(sizes))]
        mine, theirs = (_reshaped_and_written(t, sizes, order, steps, target) for t in (refgrad, torch))
        assert mine == theirs
        counts[isinstance(theirs[1], str)] += 1
    assert min(counts) > 50


def test_views_of_bytes() -> None:
    for call in (
        lambda t: t.arange(4.0).view(t.int32),
        lambda t: t.arange(4.0).view(dtype=t.float64),
        lambda t: t.ones(2, 2).view(t.int16),
        lambda t: t.tensor(2.0).view(t.float16),
        lambda t: t.zeros(3).view(t.float64),
        lambda t: t.ones(2, requires_grad=True).view(t.int32),
    ):
        assert_both(call)


def test_as_strided() -> None:
    for call in (
        lambda t, x: x.as_strided((2, 2), (1, 1)),
        lambda t, x: t.as_strided(x, (3,), (2,), 1),
        lambda t, x: x[1].as_strided((2,), (1,), 0),
        lambda t, x: x[1].as_strided((2, 3), (0, 1)),
        lambda t, x: x.t().as_strided((2, 3), (3, 1)),
        lambda t, x: x.as_strided((), (), 4),
        lambda t, x: x.expand(2, 2, 3).as_strided((3,), (1,)),
        lambda t, x: x[0, :1].expand(3).as_strided((2,), (0,)),
        lambda t, x: x.as_strided((0,), (1,)),
        lambda t, x: x[:, ::2].as_strided((2, 3), (3, 1)),
        lambda t, x: x.as_strided((2, 2, 2), (3, 1, 1)),
    ):
        assert_same(call, _values(2, 3))
    for t in (torch, refgrad):
        x = t.tensor(_values(2, 3))
        assert [x.storage_offset(), x[1].storage_offset(), x.t()[2, 1:].storage_offset()] == [0, 3, 5]
        x[1].as_strided((2,), (1,), 0).fill_(-1)
        assert x[0].tolist() == [-1, -1, 3]


def test_expanded_memory_may_be_written_where_it_is_not_shared() -> None:
    for t in (torch, refgrad):
        x = t.tensor([1.0, 2.0])
        x.expand(1, 2).add_(1)
        assert x.tolist() == [2, 3]
        x.diagonal(0, 0, 0) if False else t.ones(2, 2).diagonal().zero_()
        with pytest.raises(RuntimeError, match=r"more than one element of the written-to tensor"):
            x.expand(2, 2).add_(1)
        m = t.zeros(2, 3)
        m.diagonal(1).fill_(5)
        assert m.tolist() == [[0, 5, 0], [0, 0, 5]]


def test_only_some_parts_used() -> None:
    for call in (
        lambda t, x: x.split(1)[0] * 2,
        lambda t, x: x.unbind(1)[2].exp(),
        lambda t, x: x.chunk(2, 1)[1] * x[:, 2:],
        lambda t, x: list(x)[1].sum(),
    ):
        assert_same(call, _values(2, 3))


def test_views_without_recording() -> None:
    def look(t: Any) -> Any:
        x = t.ones(2, 3, requires_grad=True)
        with t.no_grad():
            made = [
                x.view(6),
                x.t(),
                x.expand(2, 2, 3),
                *x.split(1),
                *x.unbind(),
                x.t().reshape(6),
                x.flip(0),
            ]
        return made

    assert_both(look)


def test_transposes_of_complex_matrices() -> None:
    for call in (lambda t, x: x.mT, lambda t, x: x.T, lambda t, x: x.t()):
        assert_same(call, np.array([[1 + 2j, 3 - 1j]]))
    for name in ("H", "mH"):  # torch conjugates lazily, as a view; here it is a copy
        assert_same(lambda t, x, name=name: getattr(x, name), np.array([[1 + 2j, 3 - 1j]]), second=False)


def test_deprecated_forms_warn() -> None:
    """torch warns once in the life of a process, so that it cannot be asked here."""
    for call in (lambda x: x.T, lambda x: x[0, 0].T, lambda x: x[0, 0, 0].T, lambda x: x[0, 0, 0].H):
        with pytest.warns(UserWarning, match=r"deprecated"):
            call(refgrad.ones(2, 2, 2))
    with pytest.warns(UserWarning, match=r"it will be required to pass the indexing argument"):
        refgrad.meshgrid(refgrad.ones(2))


ERRORS: list[Call] = [
    lambda t, x: x.reshape(4, 2),
    lambda t, x: x.reshape(-1, -1),
    lambda t, x: x.reshape(-2, 3),
    lambda t, x: x[:, :0].reshape(-1, 0),
    lambda t, x: x.reshape(-1, 4),
    lambda t, x: x.reshape(),
    lambda t, x: x.reshape("a"),
    lambda t, x: t.reshape(x, 6),
    lambda t, x: x.t().view(6),
    lambda t, x: x.view(4),
    lambda t, x: x.view_as(t.ones(4)),
    lambda t, x: x.flatten(1, 0),
    lambda t, x: x.flatten(5),
    lambda t, x: x.unflatten(1, (2, 2)),
    lambda t, x: x.unflatten(1, ()),
    lambda t, x: x.permute(0),
    lambda t, x: x.permute(0, 0),
    lambda t, x: x.permute(0, 2),
    lambda t, x: x.transpose(0, 2),
    lambda t, x: x[None].t(),
    lambda t, x: x[0].mT,
    lambda t, x: x[None].H,
    lambda t, x: x[0].H,
    lambda t, x: x.movedim(0, 5),
    lambda t, x: x.movedim((0, 0), (0, 1)),
    lambda t, x: x.movedim((0, 1), (1,)),
    lambda t, x: x.movedim((0, 1), (1, 1)),
    lambda t, x: x.expand(3, 3),
    lambda t, x: x.expand(3),
    lambda t, x: x.expand(-1, 2, 3),
    lambda t, x: x.expand(2, -2),
    lambda t, x: x.expand(2, 0),
    lambda t, x: x.expand(),
    lambda t, x: x.squeeze(3),
    lambda t, x: x.squeeze((0, 0)),
    lambda t, x: x.unsqueeze(3),
    lambda t, x: x.unsqueeze(-4),
    lambda t, x: x.narrow(0, 0, 3),
    lambda t, x: x.narrow(0, 3, 0),
    lambda t, x: x.narrow(0, 0, -1),
    lambda t, x: x[0, 0].narrow(0, 0, 1),
    lambda t, x: t.broadcast_tensors(x, x[:, :2]),
    lambda t, x: x.sum_to_size(3, 2),
    lambda t, x: t.meshgrid(),
    lambda t, x: t.meshgrid(x, indexing="ij"),
    lambda t, x: t.meshgrid(x[0], indexing="zz"),
    lambda t, x: t.meshgrid(x[0], x[0].float(), indexing="ij"),
    lambda t, x: list(x[0, 0]),
    lambda t, x: x.diagonal(0, 0, 0),
    lambda t, x: x[0].diagonal(),
    lambda t, x: x.unfold(0, 5, 1),
    lambda t, x: x.unfold(0, 1, 0),
    lambda t, x: x.unfold(0, -1, 1),
    lambda t, x: x.as_strided((3, 3), (3, 1)),
    lambda t, x: x.as_strided((2,), (-1,)),
    lambda t, x: x.as_strided((2,), (1, 2)),
    lambda t, x: x.as_strided((2,), (1,), 5),
    lambda t, x: x.as_strided((-1,), (1,)),
    lambda t, x: x.split(0),
    lambda t, x: x.split(-1),
    lambda t, x: x.split([1, 2]),
    lambda t, x: x.split([1, -1, 2]),
    lambda t, x: x[0, 0].split(1),
    lambda t, x: x.chunk(0),
    lambda t, x: x[0, 0].chunk(1),
    lambda t, x: x.tensor_split(0),
    lambda t, x: x[0, 0].tensor_split(1),
    lambda t, x: x.unbind(2),
    lambda t, x: x[0, 0].unbind(),
    lambda t, x: x.hsplit(2),
    lambda t, x: x[0, 0].hsplit(1),
    lambda t, x: x[0].vsplit(2),
    lambda t, x: x.dsplit(1),
    lambda t, x: x.tensor_split(t.tensor([1.0]), 0),
]


@pytest.mark.parametrize("k", range(len(ERRORS)))
def test_errors(k: int) -> None:
    assert_same(ERRORS[k], _values(2, 3), cuda=False)
    with pytest.raises(Exception):  # noqa: B017 - that torch raises is part of the case
        ERRORS[k](torch, torch.tensor(_values(2, 3)))
