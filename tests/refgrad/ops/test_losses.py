"""Losses of nn.functional against torch: values at kinks, gradients, node names, reductions, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.refgrad.both import assert_both

X, Y = [[0.5, 1.0, -1.5], [0.25, 2.0, 0.75]], [[1.5, 1.0, -1.0], [0.75, 0.0, 0.25]]
P, Q = [[0.0, 1.0, 0.5], [0.25, 0.875, 0.75]], [[0.0, 1.0, 0.25], [1.0, 0.0, 0.5]]
REDUCTIONS = ("none", "mean", "sum")
PAIRS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "binary_cross_entropy", "poisson_nll_loss")


def both_orders(t: Any, function: Callable[..., Any], *values: Any) -> list[Any]:
    """A loss with its node, its gradients, and theirs."""
    tensors = [t.tensor(v, dtype=t.float64, requires_grad=True) for v in values]
    loss = function(*tensors)
    first = t.autograd.grad(loss.sum(), tensors, create_graph=True)
    second = t.autograd.grad(sum((g * g).sum() for g in first), tensors, allow_unused=True)
    return [loss.detach(), loss.grad_fn.name(), [g.detach() for g in first], list(second)]


@pytest.mark.parametrize("name", ("mse_loss", "smooth_l1_loss", "huber_loss"))
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_differences_at_kinks(name: str, reduction: str) -> None:
    assert_both(lambda t: both_orders(t, lambda x, y: getattr(t.nn.functional, name)(x, y, reduction=reduction), X, Y))


@pytest.mark.parametrize("name", PAIRS)
def test_deprecated_flags_and_wrong_reductions(name: str) -> None:
    def function(t: Any, **named: Any) -> Any:
        return getattr(t.nn.functional, name)(t.tensor([0.5]), t.tensor([0.5]), **named)

    assert_both(lambda t: function(t, reduction="x"))
    if name != "huber_loss":
        for average in (None, True, False):
            for reduce in (None, True, False):
                assert_both(lambda t, a=average, r=reduce: function(t, size_average=a, reduce=r))  # type: ignore[misc]


@pytest.mark.parametrize("name", ("mse_loss", "smooth_l1_loss", "kl_div", "l1_loss", "binary_cross_entropy"))
def test_dtypes(name: str) -> None:
    kinds = ("float64", "float32", "float16", "int64", "complex64")
    for a in kinds:
        for b in kinds:
            assert_both(
                lambda t, a=a, b=b: getattr(t.nn.functional, name)(  # type: ignore[misc]
                    t.zeros(2, dtype=getattr(t, a)), t.zeros(2, dtype=getattr(t, b)), reduction="none"
                ).dtype
            )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss(reduction: str) -> None:
    for target in ([0, 2], [0, -100], [-100, -100]):
        for weight in (None, [1.0, 0.5, 2.0]):

            def function(t: Any, target: Any = target, weight: Any = weight) -> Any:
                given = None if weight is None else t.tensor(weight, dtype=t.float64)
                y = t.tensor(target)
                return both_orders(t, lambda x: t.nn.functional.nll_loss(x, y, given, reduction=reduction), X)

            assert_both(function)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_empty(reduction: str) -> None:
    for name in ("mse_loss", "smooth_l1_loss", "binary_cross_entropy", "l1_loss"):
        assert_both(lambda t, n=name: getattr(t.nn.functional, n)(t.ones(0), t.ones(0), reduction=reduction))  # type: ignore[misc]
    for name in ("nll_loss", "cross_entropy"):
        assert_both(
            lambda t, n=name: getattr(t.nn.functional, n)(  # type: ignore[misc]
                t.ones(0, 3), t.ones(0, dtype=t.int64), reduction=reduction
            )
        )


ERRORS: dict[str, Callable[[Any, Any], Any]] = {
    "beta": lambda t, F: F.smooth_l1_loss(t.ones(2), t.ones(2), beta=-1.0),
    "delta": lambda t, F: F.huber_loss(t.ones(2), t.ones(2), delta=0.0),
    "sizes": lambda t, F: F.mse_loss(t.ones(2), t.ones(1, 2)),
    "weight size": lambda t, F: F.mse_loss(t.ones(2), t.ones(2), weight=t.ones(1)),
    "no probability": lambda t, F: F.binary_cross_entropy(t.tensor([1.5]), t.tensor([1.0])),
    "no target": lambda t, F: F.binary_cross_entropy(t.tensor([0.5]), t.tensor([2.0])),
    "weight grad": lambda t, F: F.binary_cross_entropy(t.ones(2), t.ones(2), t.ones(2, requires_grad=True)),
    "class": lambda t, F: F.nll_loss(t.ones(2, 3), t.tensor([0, 3])),
    "batch": lambda t, F: F.nll_loss(t.ones(2, 3), t.tensor([0])),
    "target dtype": lambda t, F: F.nll_loss(t.ones(2, 3), t.ones(2)),
    "scalar": lambda t, F: F.nll_loss(t.tensor(1.0), t.tensor(0)),
    "class weights": lambda t, F: F.nll_loss(t.ones(2, 3), t.tensor([0, 1]), t.ones(2)),
    "weight dtype": lambda t, F: F.nll_loss(t.ones(2, 3), t.tensor([0, 1]), t.ones(3, dtype=t.float64)),
    "integers": lambda t, F: F.nll_loss(t.ones(2, 3, dtype=t.int64), t.tensor([0, 1])),
    "smoothing": lambda t, F: F.cross_entropy(t.ones(2, 3), t.tensor([0, 1]), label_smoothing=1.5),
    "ignored": lambda t, F: F.cross_entropy(t.ones(2, 3), t.ones(2, 3), ignore_index=1),
    "ranks": lambda t, F: F.margin_ranking_loss(t.ones(2, 3), t.ones(2, 3), t.ones(2)),
    "margin": lambda t, F: F.triplet_margin_loss(t.ones(2), t.ones(2), t.ones(2), margin=0),
    "triplet ranks": lambda t, F: F.triplet_margin_loss(t.ones(2, 2), t.ones(2, 2), t.ones(2)),
    "variance": lambda t, F: F.gaussian_nll_loss(t.ones(2), t.ones(2), t.tensor([-1.0, 1.0])),
    "variances": lambda t, F: F.gaussian_nll_loss(t.ones(2, 4), t.ones(2, 4), t.ones(3)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_and_warnings(name: str) -> None:
    assert_both(lambda t: ERRORS[name](t, t.nn.functional))
