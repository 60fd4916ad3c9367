"""Values and gradients at kinks, poles and bounds, of ops that refgrad has: torch's conventions, point by point."""

from __future__ import annotations

from math import inf, nan
from typing import Any

from tests.refgrad.semantics.rows import as_torch, case, error


def texts(t: Any) -> Any:
    """Numbers to eight digits, zeros without sign: what is at stake is the convention, not the last bit."""
    if t is None:
        return None
    t = t.detach()
    if t.is_complex():
        return [texts(t.real), texts(t.imag)]
    values = t.double().reshape(-1).tolist()
    return [f"{v + 0.0:.8g}" for v in values], tuple(t.shape), str(t.dtype)


def at(torch: Any, f: Any, *points: Any, dtype: Any = None) -> Any:
    """What `f` gives at some points, and the gradients there for a seed of ones."""
    leaves = [torch.tensor(p, dtype=dtype or torch.float64, requires_grad=True) for p in points]
    out = f(*leaves)
    if not out.requires_grad:
        return texts(out), "no graph"
    return texts(out), [texts(g) for g in torch.autograd.grad(out, leaves, torch.ones_like(out), allow_unused=True)]


EDGES = [-inf, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 21.0, inf, nan]


@case(153, 154, 155)
def activations(torch):
    F = torch.nn.functional
    return [at(torch, f, EDGES) for f in (
        torch.abs, torch.relu, F.relu6, F.hardtanh, F.hardsigmoid, F.hardshrink, F.softshrink, F.hardswish,
        lambda x: F.threshold(x, 0.5, -1.0), lambda x: F.leaky_relu(x, 0.1), F.elu, F.celu, F.selu, F.softplus,
        F.silu, F.mish, F.gelu, F.softsign, F.logsigmoid, F.tanhshrink,
    )]  # fmt: skip


@case(154, 156)
def clamp_with_numbers(torch):
    return [at(torch, f, EDGES) for f in (
        lambda x: x.clamp(-1, 1), lambda x: x.clamp(1, -1), lambda x: x.clamp_min(0.5), lambda x: x.clamp_max(0.5),
        lambda x: x.clamp(min=0.0),
    )]  # fmt: skip


@case(157)
def clamp_with_tensors(torch):
    return at(torch, torch.clamp, [0.0, 1.0, 2.0, 3.0, nan], [1.0, 1.0, 1.0, 4.0, 0.0], [2.0, 2.0, 2.0, 1.0, 1.0])


@case(154, 158)
def extremes_with_ties_and_nan(torch):
    points = [1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0], [1.0, nan, 3.0, nan]
    return [at(torch, f, p) for p in points for f in (
        torch.max, torch.min, torch.amax, torch.amin, lambda x: x.aminmax()[0], lambda x: x.max(0)[0],
        lambda x: x.min(0).values, torch.median, lambda x: x.median(0)[0],
    )]  # fmt: skip


@case(159)
def order_with_ties(torch):
    return [at(torch, f, [3.0, 1.0, 3.0, 1.0, 2.0]) for f in (
        lambda x: x.sort()[0] * torch.arange(5.0), lambda x: x.sort(descending=True)[0] * torch.arange(5.0),
        lambda x: x.topk(2)[0] * torch.arange(2.0), lambda x: x.cummax(0)[0] * torch.arange(5.0),
        lambda x: x.cummin(0)[0] * torch.arange(5.0), lambda x: torch.msort(x) * torch.arange(5.0),
    )]  # fmt: skip


@case(160)
def binary_extremes(torch):
    a, b = [1.0, 2.0, nan, 1.0, nan, 0.0], [1.0, 3.0, 1.0, nan, nan, -0.0]
    found = [at(torch, f, a, b) for f in (torch.maximum, torch.minimum, torch.fmax, torch.fmin)]
    return found, at(torch, lambda x: torch.maximum(x, x), [1.0, nan])


@case(161)
def roots_and_powers_of_numbers(torch):
    points = [-1.0, -0.0, 0.0, 4.0, inf, nan]
    return [at(torch, f, points) for f in (
        torch.sqrt, torch.rsqrt, torch.reciprocal, lambda x: x**2, lambda x: x**0, lambda x: x**1, lambda x: x**0.5,
        lambda x: x**-1, lambda x: x**3,
    )]  # fmt: skip


@case(162)
def powers_of_tensors(torch):
    a, b = [0.0, 0.0, 0.0, -2.0, -2.0, 2.0, nan], [0.0, -1.0, 2.0, 2.0, 0.5, 3.0, 0.0]
    return [at(torch, f, *p) for f, p in (
        (torch.pow, (a, b)), (torch.float_power, (a, b)), (lambda e: 0.0**e, (b,)), (lambda e: 2.0**e, (b,)),
    )]  # fmt: skip


@case(163)
def norms(torch):
    points = [0.0, 0.0], [3.0, 0.0, -3.0], [1.0, inf], [1.0, nan]
    return [at(torch, lambda x, p=p: x.norm(p), x) for x in points for p in (2, 1, 0.5, 1.5, 3, inf, -inf, 0)]


@case(165)
def steps_and_remainders(torch):
    points = [-2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 2.5]
    found = [at(torch, f, points) for f in (
        torch.sign, torch.floor, torch.ceil, torch.round, torch.trunc, torch.frac,
        lambda x: torch.div(x, 2, rounding_mode="floor"), lambda x: torch.div(x, 2, rounding_mode="trunc"),
    )]  # fmt: skip
    others = [-2.0, 1.5, 1.0, 1.0, 0.5, -1.0, 2.0]
    return found, [at(torch, f, points, others) for f in (torch.fmod, torch.remainder)]


@case(166)
def products_with_zeros(torch):
    points = [2.0, 3.0], [2.0, 0.0, 3.0], [0.0, 2.0, 0.0], [inf, 0.0, 1.0], [1.0, 0.0, 2.0, 0.0, 3.0], []
    return [at(torch, f, p) for p in points for f in (torch.prod, lambda x: x.cumprod(0))]


@case(167)
def spreads_of_little(torch):
    points = [1.0], [2.0, 2.0, 2.0], [1.0, 3.0]
    return [at(torch, f, p) for p in points for f in (
        torch.var, torch.std, lambda x: x.var(correction=0), lambda x: x.std(correction=0),
        lambda x: x.var(correction=2),
    )]  # fmt: skip


@case(168)
def nan_that_leaks(torch):
    return (
        at(torch, lambda x: torch.where(x > 0, x.log(), 0.0), [0.0, 1.0]),
        at(torch, lambda x: x.log().masked_fill(x <= 0, 0.0), [0.0, 1.0]),
        at(torch, torch.nan_to_num, [nan, inf, -inf, 1.0]),
        at(torch, torch.nansum, [nan, 1.0]),
        at(torch, torch.nanmean, [nan, 1.0]),
        at(torch, torch.nanmean, [nan, nan]),
        at(torch, torch.mean, []),
    )


@case(169)
def angles_and_logarithms(torch):
    zeros = [0.0, -0.0, 0.0, 1.0], [0.0, 0.0, -1.0, 0.0]
    points = [-1.0, -0.0, 0.0, 0.5, 1.0, 2.0]
    return [at(torch, f, *zeros) for f in (torch.atan2, torch.hypot)], [at(torch, f, points) for f in (
        torch.log, torch.log2, torch.log10, torch.log1p, torch.asin, torch.acos, torch.acosh, torch.atanh,
    )]  # fmt: skip


@case(170)
def special_functions(torch):
    found = [at(torch, f, [-1.0, 0.0, 0.5, 1.0, 2.0]) for f in (
        torch.erf, torch.erfc, torch.erfinv, torch.lgamma, torch.digamma, torch.sinc, torch.logit, torch.reciprocal,
    )]  # fmt: skip
    pairs = [0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 2.0]
    return found, [at(torch, f, *pairs) for f in (torch.xlogy, torch.div)]


@case(171)
def logarithms_of_sums(torch):
    points = [-inf, -inf], [-inf, 1.0], [inf, 1.0], [0.0, 0.0]
    found = [at(torch, f, p) for p in points for f in (
        lambda x: x.logsumexp(0), lambda x: x.softmax(0) * torch.arange(2.0),
        lambda x: x.log_softmax(0) * torch.arange(2.0), lambda x: x.logcumsumexp(0) * torch.arange(2.0),
    )]  # fmt: skip
    return found, at(torch, torch.logaddexp, [-inf, 0.0], [-inf, -inf])


@case(176)
def three_operands_that_broadcast(torch):
    a, b, c = [[1.0], [2.0]], [3.0, 4.0, 5.0], 0.5
    return (
        at(torch, torch.lerp, a, b, c),
        at(torch, torch.addcmul, a, b, c),
        at(torch, torch.addcdiv, a, b, c),
        at(torch, lambda x, y, z: torch.where(x > 1.5, y, z), a, b, c),
        at(torch, torch.addmm, c, a, [[1.0, 2.0, 3.0]]),
        at(torch, torch.baddbmm, b, [a], [[[1.0, 2.0, 3.0]]]),
    )


@case(177)
def ranks_of_matmul(torch):
    v, m, batch = [1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]], [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]
    operands = (v, v), (v, m), (m, v), (m, m), (batch, v), (v, batch), (batch, m), ([batch], batch)
    empty = at(torch, lambda x: x @ torch.zeros(0, 3, dtype=x.dtype), [[], []])
    return [at(torch, torch.matmul, *pair) for pair in operands], empty


@case(178)
def einsum_with_repeated_indices(torch):
    m = [[1.0, 2.0], [3.0, 4.0]]
    one = [at(torch, lambda x, e=e: torch.einsum(e, x), m) for e in ("ii->i", "ii", "ij->", "ij->ji")]
    return one, [at(torch, lambda x, y, e=e: torch.einsum(e, x, y), m, m) for e in ("ij,jk->ik", "i...,i...->...")]


@case(180, 100)
def overlapping_views(torch):
    return (
        at(torch, lambda x: x.expand(3, 2), [1.0, 2.0]),
        at(torch, lambda x: x.repeat(0), [1.0, 2.0]),
        at(torch, lambda x: x.reshape(1, 2).expand(0, 2), [1.0, 2.0]),
        at(torch, lambda x: x.unfold(0, 2, 1), [1.0, 2.0, 3.0, 4.0]),
        at(torch, lambda x: x.as_strided((3, 2), (1, 1)), [1.0, 2.0, 3.0, 4.0]),
    )


@case(181, 186)
def repeated_indices_are_summed(torch):
    i = torch.tensor([0, 2, 0])
    return [at(torch, f, [1.0, 2.0, 3.0]) for f in (
        lambda x: x[i], lambda x: x.index_select(0, i), lambda x: x.gather(0, i), lambda x: x.take(i),
    )]  # fmt: skip


@case(182, 183)
def repeated_indices_that_are_written(torch):
    i, x, s = torch.tensor([0, 2, 0]), [1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0]
    return [at(torch, f, x, s) for f in (
        lambda x, s: x.index_put((i,), s), lambda x, s: x.scatter(0, i, s), lambda x, s: x.index_copy(0, i, s),
        lambda x, s: x.index_add(0, i, s, alpha=2), lambda x, s: x.scatter_add(0, i, s),
        lambda x, s: x.index_put((i,), s, accumulate=True),
    )]  # fmt: skip


@case(185)
def forms_of_an_index(torch):
    m = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    return [at(torch, lambda x, k=k: x[k], m) for k in (
        (slice(None, None, 2), -1), None, ..., (..., 0), torch.tensor([[True, False, True], [False, True, False]]),
        torch.tensor(True), torch.tensor(False), (0, torch.tensor([0, -1])), (torch.tensor([1, 0]), slice(1, None)),
    )]  # fmt: skip


@case(187)
def dims_of_reductions(torch):
    found = [at(torch, f, 3.0) for f in (
        lambda x: x.sum(0), lambda x: x.mean(-1), lambda x: x.max(0)[0], lambda x: x.sort()[0], lambda x: x.cumsum(0),
        lambda x: x.var(0, unbiased=False),
    )]  # fmt: skip
    m = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    return found, [at(torch, f, m) for f in (
        lambda x: x.sum(()), lambda x: x.sum(-1, keepdim=True), lambda x: x.mean((0, -1)), lambda x: x.amax((), True),
    )]  # fmt: skip


@case(188)
def partly_consumed_sources(torch):
    mask = torch.tensor([True, False, True])
    x = [1.0, 2.0, 3.0]
    return (
        [at(torch, f, x) for f in (lambda x: x.masked_fill(mask, 0.0), lambda x: x.flip(0), lambda x: x.roll(1))],
        [at(torch, f, [x, x]) for f in (torch.tril, torch.triu, lambda x: torch.nn.functional.pad(x, (-1, 1)))],
    )


@case(150, 151)
def outputs_without_a_gradient(torch):
    x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    found = [f(x) for f in (
        torch.argmax, lambda x: x.sort()[1], lambda x: x.topk(2)[1], torch.nonzero, lambda x: x > 1, torch.isnan,
        torch.signbit, torch.ones_like, torch.zeros_like, lambda x: x.long(),
    )]  # fmt: skip
    return found, [torch.rand_like(x).requires_grad]


@case(149)
def one_of_several_outputs(torch):
    x = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    return [texts(*torch.autograd.grad(f(x), x)) for f in (
        lambda x: (x.sort()[0] * torch.arange(3.0)).sum(), lambda x: torch.var_mean(x)[1], lambda x: x.max(0)[0],
    )]  # fmt: skip


@case(189, 190, 191, 192)
def dtypes_of_gradients(torch):
    half = torch.tensor([1.0, 2.0], dtype=torch.float16, requires_grad=True)
    single = torch.tensor([1.0, 2.0], requires_grad=True)
    whole = torch.tensor([1, 2])
    z = (half.double() * 3.0 + single * whole + (single * 2.5).to(torch.float16)).sum()
    z.backward()
    return z.dtype, half.grad, single.grad, (single * 2.5).dtype, (whole * 2.5).dtype, (whole * single).dtype


@case(193, 194, 195, 196, 197)
def complex_gradients(torch):
    c, r = torch.complex128, torch.float64
    z = torch.tensor([1 + 2j, 0j, -1 + 0j], dtype=c, requires_grad=True)
    w = torch.tensor([2 - 1j, 1 + 1j, 3j], dtype=c, requires_grad=True)
    x = torch.tensor([2.0, -1.0, 3.0], dtype=r, requires_grad=True)

    def grads(out, *inputs):
        return [texts(g) for g in torch.autograd.grad(out, inputs, torch.ones_like(out))]

    return (
        grads(z * z, z),
        grads(z * w, z, w),
        grads(z * x, z, x),
        [grads(f(z), z) for f in (torch.real, torch.imag, torch.conj, torch.abs, torch.sgn)],
        grads(torch.view_as_real(z), z),
        grads(torch.view_as_complex(torch.stack([x, x], -1)), x),
        grads(x ** torch.tensor([2.0, 2.0, 0.5], dtype=r), x),
    )


@case(151)
def derivatives_that_are_not_implemented(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    return error(torch.floor_divide(x, 2).sum().backward)


test_as_torch = as_torch(__name__)
