"""The argument `out` of every function that has it in torch: row 85, and what becomes of the target."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import refgrad
from refgrad.ops import placing, samples, shuffling, special, views_copied
from tests.refgrad.semantics.rows import as_torch, case, error, leaf

with warnings.catch_warnings():  # torch loads something deprecated when first asked
    warnings.simplefilter("ignore")
    torch.autograd.forward_ad._maybe_load_decompositions()

# Each function once or more, on tensors a, b, c ... of `operands`.

CALLS = [
    call.strip()
    for call in """
    abs(a)|absolute(a)|acos(a)|acosh(a)|arccos(a)|arccosh(a)|arcsin(a)|arcsinh(a)|arctan(a)|arctanh(a)|asin(a)|asinh(a)
    atan(a)|atanh(a)|ceil(a)|cos(a)|cosh(a)|deg2rad(a)|digamma(a)|erf(a)|erfc(a)|erfinv(a)|exp(a)|exp2(a)|expm1(a)
    fix(a)|floor(a)|frac(a)|lgamma(a)|log(a)|log10(a)|log1p(a)|log2(a)|logit(a)|logical_not(a)|nan_to_num(a)|neg(a)
    negative(a)|rad2deg(a)|reciprocal(a)|round(a)|rsqrt(a)|sgn(a)|sigmoid(a)|sign(a)|signbit(a)|sin(a)|sinc(a)|sinh(a)
    sqrt(a)|square(a)|tan(a)|tanh(a)|trunc(a)|isinf(a)|isnan(a)|isfinite(a)|isneginf(a)|isposinf(a)|positive(a)|relu(a)
    celu(a)|selu(a)|threshold(a, 0, 1)|hardshrink(a)|bitwise_not(i)|add(a, b)|add(a, b, alpha=2)|addbmm(c, d, d)
    addcdiv(a, b, b)|addcmul(a, b, b)|addmm(c, c, c)|addmv(u, c, u)|addr(c, u, u)|baddbmm(d, d, d)|atan2(a, b)
    arctan2(a, b)|bitwise_and(i, i)|bitwise_or(i, i)|bitwise_xor(i, i)|bitwise_left_shift(i, i)
    bitwise_right_shift(i, i)|div(a, b)|divide(a, b)|true_divide(a, b)|eq(a, b)|ne(a, b)|not_equal(a, b)|ge(a, b)
    gt(a, b)|le(a, b)|lt(a, b)|greater(a, b)|greater_equal(a, b)|less(a, b)|less_equal(a, b)|float_power(a, b)
    floor_divide(a, b)|fmax(a, b)|fmin(a, b)|fmod(a, b)|hypot(a, b)|lerp(a, b, 0.5)|logaddexp(a, b)|logaddexp2(a, b)
    logical_and(a, b)|logical_or(a, b)|logical_xor(a, b)|maximum(a, b)|minimum(a, b)|mul(a, b)|multiply(a, b)
    pow(a, b)|pow(a, 2)|pow(2, a)|remainder(a, b)|rsub(a, b)|sub(a, b)|subtract(a, b)|xlogy(a, b)|clamp(a, 0, 1)
    clip(a, 0, 1)|clamp_max(a, 1)|clamp_min(a, 0)|where(m, a, b)|complex(a, b)|isclose(a, b)|polygamma(1, a)|sum(a)
    sum(a, 0)|mean(a)|mean(a, 0)|prod(a)|prod(a, 0)|nansum(a)|nanmean(a)|norm(a)|norm(a, 2, 0)|amax(a, 0)|amin(a, 0)
    aminmax(a)|all(m)|any(m)|all(m, 0)|argmax(a)|argmax(a, 0)|argmin(a)|argsort(a)|count_nonzero(a)|cumsum(a, 0)
    cumprod(a, 0)|cummax(a, 0)|cummin(a, 0)|logcumsumexp(a, 0)|logsumexp(a, 0)|max(a)|max(a, 0)|max(a, b)|min(a)
    min(a, 0)|median(a)|median(a, 0)|nanmedian(a, 0)|kthvalue(a, 1)|sort(a)|msort(a)|topk(a, 1)|std(a)|std(a, 0)|var(a)
    var(a, 0)|std_mean(a)|var_mean(a, 0)|softmax(a, 0)|log_softmax(a, 0)|trace(c)|bmm(d, d)|mm(c, c)|mv(c, u)|dot(u, u)
    vdot(u, u)|matmul(c, c)|inner(u, u)|outer(u, u)|ger(u, u)|kron(c, c)|cross(a, b, dim=0)|chain_matmul(c, c)
    tensordot(c, c, 1)|einsum('ij->i', c)|cat((a, b))|concat((a, b))|concatenate((a, b))|stack((a, b))|hstack((a, b))
    vstack((a, b))|dstack((a, b))|row_stack((a, b))|column_stack((a, b))|diag(c)|diag_embed(u)|tril(c)|triu(c)
    flip(a, (0,))|roll(a, 1)|rot90(c)|constant_pad_nd(a, (1, 1))|repeat_interleave(a, 2)|tile(a, (2,))|clone(a)
    reshape(a, (3, 1))|permute(a, (0,))|gather(a, 0, j)|scatter(a, 0, j, b)|scatter_add(a, 0, j, b)
    index_select(a, 0, j)|index_add(a, 0, j, b)|index_copy(a, 0, j, b)|index_fill(a, 0, j, 1.)|index_put(a, (j,), b)
    masked_fill(a, m, 1.)|masked_select(a, m)|nonzero(a)|take(a, j)|take_along_dim(a, j, 0)|unsafe_split(a, 1)
    split(a, 1)|unbind(a)|argwhere(a)|narrow(a, 0, 0, 1)|squeeze(a)|arange(3)|empty(3)|empty_like(a)|eye(3)
    full((3,), 2.)|full_like(a, 1.)|linspace(0, 1, 3)|logspace(0, 1, 3)|ones(3)|ones_like(a)|zeros(3)|zeros_like(a)
    rand(3)|rand_like(a)|randn(3)|randn_like(a)|randint(5, (3,))|randint_like(a, 5)|randperm(3)|bernoulli(b)
    """.strip().replace("\n", "|").split("|")
]
DTYPES = ("float32", "float64", "int64", "complex128", "bool")
TANGENTS = ("operands have tangents", "has a tangent")
KINDS = ("fits", "of another shape", "empty", "operands require grad", "under no_grad", "requires grad")
KINDS += TANGENTS + DTYPES

_AT_ONCE = "torch makes a node without a derivative, refgrad refuses at the call"
DIFFERENT = {  # by call and kind, or by call alone
    **dict.fromkeys(
        (
            (call, kind)
            for call in ("floor_divide(a, b)", "softmax(a, 0)", "log_softmax(a, 0)", "diag(c)")
            for kind in ("operands require grad", "requires grad")
        ),
        _AT_ONCE,
    ),
    ("addbmm(c, d, d)", "of another shape"): "torch resizes here without the warning",
    ("bernoulli(b)", "complex128"): "refgrad makes it, torch does not",
    **{("nanmean(a)", kind): "torch divides what nansum wrote, and stops before" for kind in TANGENTS},
}
WORDING = {  # where the class of the error is torch's, and the text is not
    *((call, kind) for call in ("addbmm(c, d, d)", "mv(c, u)", "chain_matmul(c, c)") for kind in DTYPES),
    *((call, kind) for call in ("mean(a)", "mean(a, 0)", "logsumexp(a, 0)", "max(a)", "min(a)") for kind in DTYPES),
    *((call, kind) for call in ("randint(5, (3,))", "randperm(3)") for kind in DTYPES),
    *((call, kind) for call in ("matmul(c, c)", "diag(c)") for kind in TANGENTS),
    ("median(a, 0)", "float32"),
    ("nanmedian(a, 0)", "float32"),
}


def operands(torch: Any, requires_grad: bool) -> dict[str, Any]:
    float64 = torch.float64
    made = {
        "a": torch.tensor([0.3, 0.7, 0.2], dtype=float64),
        "b": torch.tensor([0.9, 0.5, 0.4], dtype=float64),
        "c": torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=float64),
        "d": torch.tensor([[[1.0, 2.0], [3.0, 5.0]]], dtype=float64),
        "u": torch.tensor([1.0, 2.0], dtype=float64),
    }
    if requires_grad:
        for t in made.values():
            t.requires_grad_()
    index = {"i": torch.tensor([1, 2, 3]), "j": torch.tensor([0, 2, 1]), "m": torch.tensor([True, False, True])}
    return made | index | {"torch": torch}


def observed(torch: Any, call: str, kind: str) -> Any:
    """What a call with `out` shows; None where the kind of target makes no sense."""
    if kind not in TANGENTS:
        return _observed(torch, call, kind)
    with torch.autograd.forward_ad.dual_level():
        return _observed(torch, call, kind)


def _dual(torch: Any, t: Any) -> Any:
    return torch.autograd.forward_ad.make_dual(t, torch.ones(t.shape, dtype=t.dtype))


def _observed(torch: Any, call: str, kind: str) -> Any:
    plain = eval(f"torch.{call}", operands(torch, False))
    several = isinstance(plain, (tuple, list))
    results = plain if several else (plain,)
    if several and kind in DTYPES[1:]:
        return None
    dtype = getattr(torch, kind) if kind in DTYPES else None
    shape = {"of another shape": (7,), "empty": (0,)}.get(kind)
    targets = tuple([torch.zeros(r.shape if shape is None else shape, dtype=dtype or r.dtype) for r in results])
    if kind == "requires grad":
        if not targets[0].dtype.is_floating_point:
            return None
        targets[0].requires_grad_()
    if kind == "has a tangent":
        if not targets[0].dtype.is_floating_point:
            return None
        targets = (_dual(torch, targets[0]), *targets[1:])
    names = operands(torch, kind in ("operands require grad", "under no_grad"))
    if kind == "operands have tangents":
        names |= {name: _dual(torch, names[name]) for name in "abcdu"}
    names["out"] = targets if several else targets[0]
    torch.manual_seed(0)
    try:
        with torch.set_grad_enabled(kind != "under no_grad"):
            returned = eval(f"torch.{call[:-1]}, out=out)", names)
    except TypeError:
        returned = "TypeError"  # torch lists its signatures
    except Exception as raised:
        returned = (type(raised).__name__, str(raised).partition("\n")[0][:60])
    else:
        returned = [a is b for a, b in zip(returned if several else [returned], targets, strict=True)]
    state = [
        (
            None if call == "empty(3)" else t.detach().tolist(),  # undefined in torch
            str(t.dtype), tuple(t.shape), tuple(t.stride()), t._version, t.requires_grad,
            t.grad_fn and t.grad_fn.name(),
        )
        for t in targets
    ]
    return returned, state


def _outcome(torch: Any, call: str, kind: str) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen = observed(torch, call, kind)
    return seen, [str(w.message)[:60] for w in caught if "is deprecated and will be" not in str(w.message)]


def _equal(expected: Any, got: Any, near: float) -> bool:
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        return len(expected) == len(got) and all(_equal(a, b, near) for a, b in zip(expected, got, strict=True))
    if isinstance(expected, (float, complex)) and type(got) is type(expected):
        return expected == got or expected != expected != got or abs(expected - got) <= near * max(1, abs(expected))
    return bool(expected == got)


@pytest.fixture(autouse=True)
def _every_warning() -> Iterator[None]:
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.parametrize("call", CALLS)
def test_as_torch(call: str) -> None:
    found = {}
    for kind in KINDS:
        expected, got = _outcome(torch, call, kind), _outcome(refgrad, call, kind)
        if (call, kind) in WORDING:
            expected, got = (_without_text(seen) for seen in (expected, got))
        near = 1e-6 if kind == "float32" else 1e-9
        if _equal(expected, got, near) == ((call, kind) in DIFFERENT):
            found[kind] = expected, got
    assert not found


def _without_text(outcome: Any) -> Any:
    """Only the class of an error: torch may have written something before it raised."""
    returned = None if outcome[0] is None else outcome[0][0]
    return returned[0] if isinstance(returned, tuple) else outcome


def test_every_function_is_called() -> None:
    """All functions of refgrad for which torch's documentation or schemas speak of `out`."""
    schemas = torch._C._jit_get_all_schemas()
    with_out = {s.name.split("::")[1] for s in schemas if any(a.is_out for a in s.arguments)}
    documented = {n for n in dir(torch) if "out=None" in str(getattr(torch, n).__doc__)}
    names = set(dir(refgrad)) & (with_out | documented)
    called = {call.partition("(")[0] for call in CALLS}
    for family in (placing, samples, shuffling, special, views_copied):  # these have no `out` yet
        names -= set(family.__all__)
    assert sorted(names - called - {"normal", "scalar_tensor"}) == []


@case(85)
def out_and_grad(torch):
    a, b = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64)
    out = torch.empty(2, dtype=torch.float64)
    found = [error(torch.add, a, b, out=out), error(torch.add, b, a, out=out), error(torch.add, b, b, out=a)]
    found += [error(torch.add, b, b, out=a * 1), error(torch.add, b, b, out=leaf(torch, 1, 2, 3)[1:])]
    with torch.no_grad():
        y = a * 3
        found += [torch.add(a, b, out=out), torch.add(b, b, out=a)]
    return found, out._version, a._version, y


@case(74, 85)
def out_counts_as_a_write(torch):
    s = torch.ones(2, dtype=torch.float64)
    y = leaf(torch, 1, 2) * s
    torch.add(s, s, out=s)
    return s, s._version, error(y.sum().backward)


@case(85)
def out_keeps_history_under_no_grad(torch):
    y = leaf(torch, 1, 2) * 3
    with torch.no_grad():
        torch.mul(y, 2, out=y)
    return y, y._version, torch.autograd.grad(y.sum(), y)


@case(84, 85)
def out_that_overlaps(torch):
    found = []
    for call in (
        lambda x: torch.add(x[:3], x[3:], out=x[1:4]),
        lambda x: torch.add(x[:3], 1, out=x[:3]),
        lambda x: torch.cumsum(x[:3], 0, out=x[:3]),
        lambda x: torch.cumsum(x[:3], 0, out=x[1:4]),
        lambda x: torch.add(x[:3], 1, out=x[:1].expand(3)),
        lambda x: torch.add(x[:3], 1, out=x[3:]),
    ):
        x = torch.arange(6.0)
        found.append((error(call, x), x, x._version))
    return found


@case(85)
def out_with_strides_of_its_own(torch):
    out = torch.empty(2, 3).t()
    torch.add(torch.ones(3, 2), 1, out=out)
    whole = torch.zeros(7)
    part = whole[5:]
    torch.add(torch.ones(1), 1, out=part[:1])
    return out, whole, part


@case(85)
def out_that_is_a_view_is_resized_over_the_memory_of_its_base(torch):
    whole = torch.zeros(7)
    part = whole[:2]
    torch.add(torch.ones(3), 1, out=part)
    return part, whole, part._version, part.storage_offset()


@case(85)
def out_of_the_wrong_kind(torch):
    a = torch.ones(3)
    empty = torch.empty(0)
    calls = (
        lambda: torch.add(a, a, out="x"),
        lambda: torch.max(a, 0, out=empty),
        lambda: torch.max(a, 0, out=(empty,)),
        lambda: torch.zeros(3, out=empty, dtype=torch.float64),
        lambda: torch.sum(a, 0, dtype=torch.float64, out=torch.empty(())),
    )
    return [error(call)[0] for call in calls]


@case(85)
def out_of_makers(torch):
    out = torch.empty(0, dtype=torch.int64)
    torch.arange(4, out=out)
    zeros = torch.zeros(2, out=torch.ones(2), requires_grad=True)
    return out, zeros, torch.full((2,), 2, out=torch.ones(2))


@case(85)
def out_of_sequences_of_numbers_keeps_its_shape(torch):
    found = []
    for make in (torch.zeros(2, 2), torch.zeros(2, 4)[:, ::2], torch.zeros(2, 2).t(), torch.zeros(5)):
        for fill in (torch.arange, lambda n, out: torch.linspace(0, 3, n, out=out)):
            out = make.clone()
            found.append((fill(4, out=out), out.stride(), out._version))
    return found


def test_methods_of_the_language_have_no_out() -> None:
    with pytest.raises(TypeError):
        refgrad.ones(2).sum(0, out=refgrad.ones(2))


def test_the_answer_is_named() -> None:
    values, indices = refgrad.empty(0), refgrad.empty(0, dtype=refgrad.int64)
    found = refgrad.max(refgrad.tensor([1.0, 3.0]), 0, out=(values, indices))
    assert found.values is values and found.indices is indices and math.isclose(values.item(), 3)


test_cases_as_torch = as_torch(__name__)
