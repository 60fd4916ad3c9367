"""Differences, integrals, covariances and combinations against torch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.refgrad.both import assert_both


def _row(m: Any) -> Any:
    return m.tensor([1.0, 2.0, 4.0], dtype=m.float64, requires_grad=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.combinations(_row(m)),
        lambda m: m.combinations(_row(m), 2, True),
        lambda m: m.combinations(m.ones(2), 0),
        lambda m: m.combinations(m.ones(2), 3),
        lambda m: m.combinations(m.ones(2), -1),
        lambda m: m.combinations(m.ones(2, 2)),
        lambda m: m.cartesian_prod(_row(m), m.ones(2).double()),
        lambda m: m.cartesian_prod(m.ones(2, 2)),
        lambda m: m.block_diag(_row(m), m.tensor(2), m.ones(2, 1)),
        lambda m: m.block_diag(m.ones(2, 2, 2)),
        lambda m: m.dist(_row(m), m.ones(3).double()),
        lambda m: m.dist(m.ones(2, dtype=m.int64), m.ones(2, dtype=m.int64)),
        lambda m: m.diff(_row(m)),
        lambda m: m.diff(_row(m), 5),
        lambda m: m.diff(m.tensor([True, False, False])),
        lambda m: m.diff(m.tensor(1.0)),
        lambda m: m.diff(m.ones(2), -1),
        lambda m: m.gradient(_row(m)),
        lambda m: m.gradient(_row(m), edge_order=2),
        lambda m: m.gradient(m.ones(1)),
        lambda m: m.gradient(m.ones(3, 3), spacing=(1.0,)),
        lambda m: m.trapezoid(_row(m)).item(),
        lambda m: m.trapezoid(_row(m), m.tensor([0.0, 1.0, 3.0])).item(),
        lambda m: m.trapezoid(_row(m), dx=2).item(),
        lambda m: m.trapezoid(m.ones(3), m.ones(2)),
        lambda m: m.trapezoid(m.tensor(1.0)),
        lambda m: m.trapezoid(m.ones(2, 0)),
        lambda m: m.cumulative_trapezoid(_row(m)),
        lambda m: m.cumulative_trapezoid(_row(m), m.tensor([0.0, 1.0, 3.0])).tolist(),
        lambda m: m.cov(m.ones(2, 2, 2)),
        lambda m: m.cov(m.tensor([True, False])),
        lambda m: m.cov(_row(m)),
        lambda m: m.corrcoef(m.tensor([[0.0, 2.0], [1.0, 5.0]], requires_grad=True)),
    ],
)
def test_as_torch(call: Any) -> None:
    assert_both(call)
