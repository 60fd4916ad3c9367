"""`torch.linalg`: inverses, determinants, equations, Cholesky factors and products, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import outcome

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "inv": lambda t, a: t.linalg.inv(a),
    "inverse": lambda t, a: a.inverse(),
    "det": lambda t, a: t.linalg.det(a),
    "slogdet": lambda t, a: t.linalg.slogdet(a).logabsdet,
    "sign": lambda t, a: t.linalg.slogdet(a).sign,
    "logdet": lambda t, a: t.logdet(a),
    "solve": lambda t, a: t.linalg.solve(a, a.mT * 2),
    "solve right": lambda t, a: t.linalg.solve(a, a.mT * 2, left=False),
    "solve vectors": lambda t, a: t.linalg.solve(a, a[..., 0]),
    "cholesky": lambda t, a: t.linalg.cholesky(a),
    "cholesky upper": lambda t, a: t.linalg.cholesky(a, upper=True),
    "power": lambda t, a: t.linalg.matrix_power(a, 5),
    "power 0": lambda t, a: t.linalg.matrix_power(a, 0),
    "power -2": lambda t, a: t.linalg.matrix_power(a, -2),
    "vecdot": lambda t, a: t.linalg.vecdot(a, a * 2, dim=-2),
    "cross": lambda t, a: t.linalg.cross(a, a * a),
    "diagonal": lambda t, a: t.linalg.diagonal(a, offset=1),
    "vector_norm": lambda t, a: t.linalg.vector_norm(a, 3, dim=-1),
}


def _matrices(dtype: str, batch: tuple[int, ...]) -> Any:
    random = np.random.default_rng(3)
    a = random.normal(size=(*batch, 3, 3))
    if dtype.startswith("complex"):
        a = a + 1j * random.normal(size=a.shape)
    return (a @ a.conj().swapaxes(-1, -2) + np.eye(3)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("batch", [(), (2,), (0,), (2, 1)])
@pytest.mark.parametrize("name", CALLS)
def test_values_gradients_and_nodes(name: str, batch: tuple[int, ...], dtype: str) -> None:
    data, found = _matrices(dtype, batch), []
    for module in (torch, refgrad):
        a: Any = module.tensor(data).requires_grad_()  # type: ignore[attr-defined]
        made = CALLS[name](module, a)
        (made * made.detach().conj()).sum().abs().backward()
        found.append((made, a.grad))
    (expected, slope), (got, ours) = found
    assert got.grad_fn.name() == expected.grad_fn.name() and str(got.dtype) == str(expected.dtype)
    near = 2e-3 if dtype in ("float32", "complex64") else 1e-8
    assert (ours is None) == (slope is None)
    for x, y in ((got, expected), (ours, slope)) if ours is not None else ((got, expected),):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().resolve_conj().numpy(), rtol=near, atol=near)


def _zeros(t: Any) -> Any:
    return t.stack([t.eye(3), t.zeros(3, 3)])


REFUSED: dict[str, Callable[[Any], Any]] = {
    f"{name} {what}": lambda t, name=name, value=value: getattr(t.linalg, name)(value(t))  # type: ignore[misc]
    for name in ("inv", "det", "slogdet", "cholesky")
    for what, value in {
        "not square": lambda t: t.zeros(2, 3),
        "integers": lambda t: t.ones(3, 3, dtype=t.int64),
        "half": lambda t: t.ones(3, 3, dtype=t.float16),
        "a vector": lambda t: t.ones(3),
        "a number": lambda t: 3.0,
    }.items()
} | {
    "inv singular": lambda t: t.linalg.inv(t.tensor([[1.0, 2.0], [2.0, 4.0]])),
    "inv singular in a batch": lambda t: t.linalg.inv(_zeros(t)),
    "cholesky": lambda t: t.linalg.cholesky(t.tensor([[1.0, 2.0], [2.0, 1.0]])),
    "cholesky in a batch": lambda t: t.linalg.cholesky(_zeros(t)),
    "solve singular": lambda t: t.linalg.solve(_zeros(t), t.ones(3, 1)),
    "solve shapes": lambda t: t.linalg.solve(t.eye(3), t.ones(2, 1)),
    "solve dtypes": lambda t: t.linalg.solve(t.eye(3), t.ones(3, 1, dtype=t.float64)),
    "multi_dot shapes": lambda t: t.linalg.multi_dot([t.ones(2, 3), t.ones(2, 3)]),
    "multi_dot of one": lambda t: t.linalg.multi_dot([t.ones(2, 3)]),
    "vecdot integers": lambda t: t.linalg.vecdot(t.ones(3, dtype=t.int64), t.ones(3, dtype=t.int64)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    expected, got = outcome(REFUSED[name], torch), outcome(REFUSED[name], refgrad)
    assert isinstance(expected[0], tuple) and got == expected


def test_singular() -> None:
    """A determinant of 0 has the gradient that torch gives it under create_graph (otherwise torch's is 0)."""
    for module in (torch, refgrad):
        a: Any = module.tensor([[1.0, 2.0], [2.0, 4.0]]).requires_grad_()  # type: ignore[attr-defined]
        grad: Any = module.autograd.grad  # type: ignore[attr-defined]
        (slope,) = grad(module.linalg.det(a), a, create_graph=module is torch)
        np.testing.assert_allclose(slope.detach().numpy(), [[4, -2], [-2, 1]], atol=1e-5)
        assert module.linalg.slogdet(a * 0).logabsdet.item() == -np.inf
        with pytest.raises(module.linalg.LinAlgError):
            module.linalg.inv(a.detach())
        assert issubclass(module.linalg.LinAlgError, RuntimeError)
        assert module.linalg.det(module.zeros(0, 0)).item() == 1
        assert module.logdet(module.tensor([[-1.0]])).isnan().item()
