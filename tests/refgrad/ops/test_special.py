"""torch.special and the parts of floating point numbers against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both

INF, NAN = float("inf"), float("nan")
UNARY = ("entr", "erfcx", "i0", "i0e", "i1", "i1e", "log_ndtr", "ndtr", "ndtri")
POINTS = (0.0, -0.0, 0.25, 1.0, -2.5, 7.0, INF, -INF, NAN)


def _close(function: Any, rtol: float = 1e-9) -> None:
    """Numbers of both engines, in one flat list each, that agree up to rounding."""
    found = [np.array(function(m), dtype=float) for m in (torch, refgrad)]
    np.testing.assert_allclose(found[1], found[0], rtol=rtol, atol=1e-12)


def _slopes(module: Any, function: Any, *points: float) -> list[float]:
    leaves = [module.tensor([p], dtype=module.float64, requires_grad=True) for p in points]
    made = function(*leaves)
    return [made.item(), *[g.item() for g in module.autograd.grad(made.sum(), leaves)]]


@pytest.mark.parametrize("name", UNARY)
def test_special_points(name: str) -> None:
    for p in POINTS:
        _close(lambda m, p=p: _slopes(m, getattr(m.special, name), p))
    assert_both(lambda m: getattr(m.special, name)(m.tensor([1, 0])).dtype)
    assert_both(lambda m: getattr(m.special, name)(m.ones(2, dtype=m.complex64)))
    if name != "ndtr":  # made of others: torch counts multiplications by its own numbers apart
        assert_both(lambda m: getattr(m.special, name)(m.ones(2, requires_grad=True)).grad_fn.name())
    assert_both(lambda m: getattr(m.special, name)(m.ones(0)))


def test_two_operands() -> None:
    for a in (0.0, 1.0, -2.0, INF, NAN):
        for b in (0.0, -0.0, 1.0, -1.0, -3.0, NAN):
            for name in ("copysign", "nextafter"):
                assert_both(lambda m, a=a, b=b, name=name: _slopes(m, getattr(m, name), a, b))
            _close(lambda m, a=a, b=b: _slopes(m, m.special.xlog1py, a, b))
    _close(lambda m: _slopes(m, m.ldexp, 1.5, 3.0))
    s, q = [1.0, 0.5, 2.0, 2.0, 3.0], [2.0, 2.0, -1.0, -1.5, 0.5]
    _close(lambda m: m.special.zeta(m.tensor(s), m.tensor(q)).tolist(), 1e-5)


def test_zeta_has_a_derivative_of_the_second_operand_only() -> None:
    _close(lambda m: _slopes(m, lambda q: m.special.zeta(2.5, q), 1.5))
    assert_both(lambda m: m.special.zeta(m.ones(2, requires_grad=True), 2.0).sum().backward())


def test_numbers_as_operands() -> None:
    for name in ("xlog1py", "zeta"):
        assert_both(lambda m, name=name: getattr(m.special, name)(m.ones(1, requires_grad=True), 2.0).grad_fn.name())
        assert_both(lambda m, name=name: getattr(m.special, name)(2.0, m.ones(1, requires_grad=True)).grad_fn.name())
    assert_both(lambda m: m.copysign(m.tensor([1.0, -2.0], requires_grad=True), -1.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.mvlgamma(m.ones(2), 0),
        lambda m: m.mvlgamma(m.tensor([0.1, 2.0]), 1).dtype,
        lambda m: m.frexp(m.ones(2, dtype=m.int64)),
        lambda m: m.frexp(m.tensor([0.0, 3.0, -1.5, INF, NAN], requires_grad=True)),
        lambda m: m.frexp(m.tensor([3.0], dtype=m.float16)),
        lambda m: m.nextafter(m.ones(2, dtype=m.int64), m.ones(2, dtype=m.int64)),
        lambda m: m.copysign(m.ones(2, dtype=m.complex64), m.ones(2)),
        lambda m: m.copysign(m.tensor([1, 2]), m.tensor([-1, 1])),
        lambda m: m.ldexp(m.ones(2), 3.0),
        lambda m: m.ldexp(m.tensor([1, 2]), m.tensor([2, 3])),
        lambda m: m.angle(m.tensor([0.0, -1.0, 2.0, NAN], requires_grad=True)),
        lambda m: m.conj_physical(m.tensor([1 + 2j])),
    ],
)
def test_dtypes_and_errors(call: Any) -> None:
    assert_both(call)


def test_names_of_torch() -> None:
    for name in ("expit", "logit", "erf", "psi", "digamma", "gammaln", "exp2", "expm1", "log1p", "sinc"):
        _close(lambda m, name=name: _slopes(m, getattr(m.special, name), 0.3))
    assert_both(lambda m: m.special.softmax(m.tensor([0.0, 0.0]), 0))
    assert_both(lambda m: m.special.round(m.tensor([0.26]), decimals=1).shape)
