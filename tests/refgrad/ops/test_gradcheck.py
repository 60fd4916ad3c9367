"""refgrad's ops before refgrad's own gradcheck: first and second derivatives against central differences.

torch takes no part here: a derivative that both engines had wrong would show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refgrad as rg
import refgrad.testing
from refgrad.devices import CudaModule, cuda_served_by
from tests import strictcupy
from tests.strictcupy import cupyx_scipy_special

Shapes = tuple[tuple[int, ...], ...]


def _inputs(shapes: Shapes, dtype: Any) -> tuple[Any, ...]:
    """Numbers between 0.2 and 0.9, all different by 0.01 at least: away from the kinks and poles of the ops below."""
    count = sum(int(np.prod(s)) for s in shapes)
    values = np.random.default_rng(1).permutation(np.linspace(0.2, 0.9, count))
    made, start = [], 0
    for shape in shapes:
        part = values[start : start + int(np.prod(shape))].reshape(shape)
        start += part.size
        made.append(rg.from_numpy(part if dtype is rg.float64 else part + 1j * part[::-1]).requires_grad_())
    return tuple(made)


V, M, S, B = (5,), (3, 4), (3, 3), (2, 3, 4)  # a vector, matrices, a batch
F = rg.nn.functional

REAL: dict[str, tuple[Callable[..., Any], Shapes]] = {
    "arithmetic": (lambda a, b: (a + b, a - 2 * b, a * b, a / b, -a, 1 / b), (M, (4,))),
    "powers": (lambda a, b: (a**b, a**3, 2**a, a.sqrt(), a.rsqrt(), a.square(), a.float_power(0.3)), (V, V)),
    "exponentials": (lambda a: (a.exp(), a.exp2(), a.expm1(), a.log(), a.log2(), a.log10(), a.log1p()), (V,)),
    "circular": (lambda a: (a.sin(), a.cos(), a.tan(), a.asin(), a.acos(), a.atan(), a.sinc()), (V,)),
    "hyperbolic": (lambda a: (a.sinh(), a.cosh(), a.tanh(), a.asinh(), (a + 1).acosh(), a.atanh()), (V,)),
    "special": (lambda a: (a.lgamma(), a.digamma(), a.erf(), a.erfc(), a.erfinv(), a.logit(), a.polygamma(2)), (V,)),
    "two_operands": (lambda a, b: (rg.atan2(a, b), rg.hypot(a, b), rg.xlogy(a, b), rg.logaddexp(a, b)), (V, V)),
    "extrema_of_two": (lambda a, b: (rg.maximum(a, b), rg.minimum(a, b), rg.fmax(a, b), rg.fmin(a, b)), (V, V)),
    "fused": (lambda a, b, c: (a.addcmul(b, c, value=2), a.addcdiv(b, c), a.lerp(b, c)), (M, M, M)),
    "rounding": (lambda a: (a.frac(), a.fmod(0.31), a.remainder(0.31), a.abs(), a.clamp(0.3, 0.6)), (V,)),
    "activations": (lambda a: (F.gelu(a), F.silu(a), F.elu(a - 1), F.softplus(a), a.sigmoid(), F.mish(a)), (V,)),
    "rectifiers": (lambda a: ((a - 0.51).relu(), F.leaky_relu(a - 1), F.hardtanh(a, 0.3, 0.6), F.softshrink(a)), (V,)),
    "reductions": (lambda a: (a.sum(0), a.mean(), a.prod(1), a.logsumexp(0), a.nansum(1, keepdim=True)), (M,)),
    "variances": (lambda a: (a.var(0), a.std(1), a.var(), *rg.var_mean(a, 0), a.std(0, correction=0)), (M,)),
    "norms": (lambda a: (a.norm(), a.norm(1, 0), a.norm(3, 1), a.norm(float("inf"))), (M,)),
    "extrema": (lambda a: (a.max(), a.amin(0), a.max(1)[0], a.median(), a.kthvalue(2)[0], *a.aminmax(dim=0)), (M,)),
    "softmax": (lambda a: (a.softmax(0), a.log_softmax(1)), (M,)),
    "scans": (lambda a: (a.cumsum(0), a.cumprod(1), a.logcumsumexp(0), a.cummax(1)[0], a.cummin(0)[0]), (M,)),
    "ordering": (lambda a: (a.sort(1)[0], a.topk(2)[0], a.msort()), (M,)),
    "shapes": (lambda a: (a.t().reshape(2, 6), a.unsqueeze(1).expand(3, 2, 4), a.flatten(), a.unfold(1, 2, 1)), (M,)),
    "rearranging": (lambda a: (a.flip(0), a.roll(1, 1), a.rot90(), a.tril(), a.diagonal(1), a.repeat(2, 1)), (M,)),
    "joining": (lambda a, b: (rg.cat([a, b], 1), rg.stack([a, b, a]), *rg.split(a, 2, 1), *b.unbind()), (M, M)),
    "indexing": (lambda a: (a[1], a[:, ::2], a[rg.tensor([0, 0, 2])], a[..., None], a[a > 0.5]), (M,)),
    "gathering": (lambda a: (a.gather(1, rg.tensor([[0, 0], [1, 3], [2, 2]])), a.take(rg.tensor([0, 5, 5]))), (M,)),
    "scattering": (lambda a, b: (
        a.scatter_add(0, rg.tensor([[0, 0, 2, 1]]), b),
        a.index_add(1, rg.tensor([1, 1, 0]), a[:, :3]),
        a.index_put((rg.tensor([0, 2]),), b[0]),
        a.masked_fill(a > 0.5, 3.0),
    ), (M, (1, 4))),
    "selection": (lambda a, b: (rg.where(a > b, a * 2, b), a.masked_select(a > 0.4)), (M, M)),
    "products": (lambda a, b: (a @ b, a.mm(b), rg.einsum("ij,jk->ki", a, b), rg.tensordot(a, b, 1)), (M, (4, 2))),
    "batched_products": (lambda a, b: (a @ b, rg.bmm(a, b), rg.einsum("bij,bjk->b", a, b)), (B, (2, 4, 2))),
    "vector_products": (lambda a, b: (a.dot(b), rg.outer(a, b), rg.inner(a, b), rg.kron(a, b)), (V, V)),
    "added_products": (lambda a, b, c: (rg.addmm(a, b, c, beta=0.5, alpha=2), rg.addmv(a[0], b, c[:, 0])), (S, S, S)),
    "padding": (lambda a: (F.pad(a, (1, 2)), F.pad(a, (-1, 1, 1, 0), value=2.0), a.trace(), a.diag()), (S,)),
}  # fmt: skip

COMPLEX: dict[str, tuple[Callable[..., Any], Shapes]] = {
    "arithmetic": (lambda a, b: (a + b, a * b, a / b, a * 1j, a - a.conj(), a.real * b), (V, V)),
    "elementary": (lambda a: (a.exp(), a.log(), a.sin(), a.tanh(), a.sqrt(), a**3, a.reciprocal()), (V,)),
    "magnitudes": (lambda a: (a.abs(), a.sgn(), a.norm(), a.real, a.imag), (V,)),
    "reductions": (lambda a: (a.sum(0), a.mean(), a.prod(1), a.cumsum(0), a.var(0)), (M,)),
    "products": (lambda a, b: (a @ b, rg.einsum("ij,jk->ik", a, b), a.mH @ a), (M, (4, 2))),
    "vector_products": (lambda a, b: (rg.vdot(a, b), a.dot(b)), (V, V)),
    "shapes": (lambda a: (a.t(), a[1:], rg.cat([a, a]), a.flip(0)), (M,)),
}


@pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])
@pytest.mark.parametrize("name", REAL)
def test_real(name: str, fast_mode: bool) -> None:
    function, shapes = REAL[name]
    inputs = _inputs(shapes, rg.float64)
    assert rg.autograd.gradcheck(function, inputs, fast_mode=fast_mode, check_batched_grad=True)
    assert rg.autograd.gradgradcheck(function, inputs, fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])
@pytest.mark.parametrize("name", COMPLEX)
def test_complex(name: str, fast_mode: bool) -> None:
    function, shapes = COMPLEX[name]
    inputs = _inputs(shapes, rg.complex128)
    assert rg.autograd.gradcheck(function, inputs, fast_mode=fast_mode, check_batched_grad=True)
    assert rg.autograd.gradgradcheck(function, inputs, fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])
@pytest.mark.parametrize(
    "defect, name",
    [
        ("sin-sign", "circular"),
        ("softmax-missing-term", "softmax"),
        ("div-missing-factor", "arithmetic"),
        ("fan-in-keeps-last", "joining"),
        ("broadcast-not-summed", "arithmetic"),
        ("cumsum-wrong-axis", "scans"),
        ("sum-ignores-cotangent", "reductions"),
        ("tanh-double-backward", "hyperbolic"),
    ],
)
def test_planted_defects_are_found(defect: str, name: str, fast_mode: bool) -> None:
    function, shapes = REAL[name]
    first = defect != "tanh-double-backward"
    check = rg.autograd.gradcheck if first else rg.autograd.gradgradcheck
    inputs = _inputs(shapes, rg.float64)
    with refgrad.testing.plant(defect):
        assert not check(function, inputs, fast_mode=fast_mode, raise_exception=False)
        assert first or rg.autograd.gradcheck(function, inputs, fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])
def test_on_a_gpu(fast_mode: bool) -> None:
    """On the stand-in for CuPy: directions, seeds and rows are made where the inputs are."""
    with cuda_served_by(CudaModule(strictcupy, cupyx_scipy_special)):
        x, y = (t.detach().to("cuda").requires_grad_() for t in _inputs((M, (4,)), rg.float64))
        assert rg.autograd.gradcheck(lambda a, b: (a * b.exp(), a.sum()), (x, y), fast_mode=fast_mode)
        assert rg.autograd.gradgradcheck(lambda a, b: a * b.exp(), (x, y), fast_mode=fast_mode)
        rows = rg.autograd.functional.jacobian(lambda a: a * 2, y)
        batch = rg.autograd.functional.jacobian(lambda a: a * 2, y, vectorize=True)
        assert rows.is_cuda and batch.is_cuda
        assert rows.cpu().tolist() == batch.cpu().tolist() == (2 * np.eye(4)).tolist()
