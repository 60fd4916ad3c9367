"""Dropout: the same elements as in torch by the same seed, the same gradients, nodes, warnings and errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.refgrad.both import assert_both

NAMES = ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
FUNCTIONAL = ("dropout", "alpha_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d", "dropout3d")
SHAPES = ((), (7,), (2, 3), (2, 3, 4), (2, 2, 3, 2), (1, 2, 2, 3, 2), (0, 3))


def numbers(t: Any, shape: tuple[int, ...]) -> Any:
    count = 1
    for n in shape:
        count *= n
    return (t.arange(count, dtype=t.float64) - 2.5).reshape(shape).clone()


def went(t: Any, drop: Any, shape: tuple[int, ...]) -> Any:
    """What dropping shows: the result, its place in the graph, and the gradient."""
    t.manual_seed(7)
    x = numbers(t, shape).requires_grad_()
    y = drop(x)
    nodes = [] if y.grad_fn is None else [n and n.name() for n, _ in y.grad_fn.next_functions]
    y.backward(numbers(t, tuple(y.shape)))
    return y, y is x, y._version, nodes, x.grad, t.rand(2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_functions(name: str, shape: tuple[int, ...]) -> None:
    for p in (0.0, 0.3, 0.5, 1.0):
        for train in (True, False):
            assert_both(lambda t, p=p, train=train: went(t, lambda x: getattr(t, name)(x, p, train), shape))
            assert_both(
                lambda t, p=p, train=train: went(t, lambda x: getattr(t, f"{name}_")(x * 2, p, train) * 1, shape)
            )


@pytest.mark.parametrize("name", FUNCTIONAL)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_functional(name: str, shape: tuple[int, ...]) -> None:
    assert_both(lambda t: went(t, getattr(t.nn.functional, name), shape))
    assert_both(lambda t: went(t, lambda x: getattr(t.nn.functional, name)(x, 0.4, True), shape))
    assert_both(lambda t: went(t, lambda x: getattr(t.nn.functional, name)(x * 1, 0.4, True, True), shape))


@pytest.mark.parametrize("name", NAMES)
def test_refused(name: str) -> None:
    for p in (-0.1, 1.5):
        assert_both(lambda t, p=p: getattr(t, name)(t.ones(2, 3), p, True))
    assert_both(lambda t: getattr(t, f"{name}_")(t.ones(2, 3, requires_grad=True), 0.5, True))
    assert_both(lambda t: getattr(t, name)(t.ones(2, 3, dtype=t.int64), 0.5, True))
    assert_both(lambda t: getattr(t, name)(t.ones(2, 3, dtype=t.int64), 1.0, True))


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_refused_by_nn_functional(name: str) -> None:
    for p in (-0.1, 1.5):
        assert_both(lambda t, p=p: getattr(t.nn.functional, name)(t.ones(2, 3, 4), p))


def test_a_mask_lies_as_the_input_does() -> None:
    def program(t: Any) -> Any:
        t.manual_seed(3)
        return t.dropout(numbers(t, (3, 4)).t(), 0.5, True), t.dropout(numbers(t, (8,))[::2], 0.5, True)

    assert_both(program)
