"""gradcheck and gradgradcheck: verdicts on right and on deliberately wrong functions, as torch gives them."""

from __future__ import annotations

import importlib
import itertools

import pytest
import torch

import refgrad
from refgrad.ops.record import OPS, Op
from tests.refgrad.both import assert_both
from tests.refgrad.semantics.rows import as_torch, case, error, leaf

checks = importlib.import_module("refgrad.autograd.gradcheck")  # the name in `autograd` is the function's


def _complex(torch, *values):
    return torch.tensor(values, dtype=torch.complex128, requires_grad=True)


def _hooked(x, change):
    """x, with a backward that `change` is made to; an undefined gradient stays undefined."""
    y = x.clone()
    y.register_hook(lambda g: None if g is None else change(g))
    return y


def _drifting(x, by):
    """x, with a backward that gives something else each time."""
    calls = itertools.count()
    return _hooked(x, lambda g: g * (1 + by * next(calls)))


def _changes_shape(torch, x):
    return x[x >= 2]


def _changes_dtype(torch, x):
    return x * 2 if bool(x.detach()[0] >= 1) else (x * 2).float()


def _real(torch):
    return leaf(torch, 1, 2, 3)


def _pair(torch):
    return leaf(torch, 1, 2, 3), leaf(torch, 0.5, -1.5)


def _partly(torch):
    return leaf(torch, 1, 2, 3), torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64), 3


def _number(torch):
    return _complex(torch, 1 + 2j, 2 - 3j)


FUNCTIONS = {
    # right ones
    "square": (lambda torch, x: x * x, _real),
    "several_outputs": (lambda torch, x, y: (x * y.sum(), y.exp(), x.sum()), _pair),
    "a_list": (lambda torch, x: [x * 2, x.sin()], _real),
    "identity": (lambda torch, x: x, _real),
    "a_view": (lambda torch, x: x[1:], _real),
    "partly_differentiable": (lambda torch, x, y, n: x * y * n, _partly),
    "unused_input": (lambda torch, x, y: x**3, _pair),
    "with_integers": (lambda torch, x: (x**2, x.argsort()), _real),
    "integers_only": (lambda torch, x: x.argsort(), _real),
    "constant": (lambda torch, x: torch.ones(2, dtype=torch.float64), _real),
    "linear": (lambda torch, x: 2 * x, _real),
    "empty": (lambda torch, x: x * 2, lambda torch: torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)),
    "empty_output": (lambda torch, x: x[:0], _real),
    "zero_dim": (lambda torch, x: x.exp(), lambda torch: torch.tensor(0.5, dtype=torch.float64, requires_grad=True)),
    "transposed": (lambda torch, x: x.exp(), lambda torch: leaf(torch, 1, 2, 3, 4).detach().reshape(2, 2).t()
                   .requires_grad_()),
    "computed_input": (lambda torch, x: x.exp(), lambda torch: leaf(torch, 1, 2) * 0.5),
    "complex": (lambda torch, z: z * z, _number),
    "complex_to_real": (lambda torch, z: z.abs(), _number),
    "complex_conjugate": (lambda torch, z: z.conj() * z.real, _number),
    "real_to_complex": (lambda torch, x: torch.complex(x, x * x), _real),
    "real_and_complex": (lambda torch, x, z: (x.sum() * z, x.sin()), lambda torch: (_real(torch), _number(torch))),
    "small_constant": (lambda torch, x: _hooked(x * 2, lambda g: g + 1e-9), _real),
    # wrong ones
    "wrong_sign": (lambda torch, x: _hooked(x, lambda g: -g) * x, _real),
    "wrong_factor": (lambda torch, x: _hooked(x * 2, lambda g: g * 1.5), _real),
    "slightly_wrong": (lambda torch, x: _hooked(x * 2, lambda g: g * 1.01), _real),
    "wrong_second_output": (lambda torch, x: (x * 2, _hooked(x, lambda g: g * 2)), _real),
    "wrong_second_input": (lambda torch, x, y: x.sum() * _hooked(y, lambda g: g.flip(0)), _pair),
    "gradient_lost": (lambda torch, x: x.detach() * x, _real),
    "all_gradients_lost": (lambda torch, x: x.detach() * 2, _real),
    "wrong_constant": (lambda torch, x: _hooked(x * 2, lambda g: g + 1e-6), _real),
    "not_deterministic": (lambda torch, x: _drifting(x * 2, 1e-7), _real),
    "wrong_dtype": (lambda torch, x: _hooked(x * 2, lambda g: g.float()), _real),
    "wrong_shape": (lambda torch, x: _hooked(x * 2, lambda g: g[:2]), _real),
    "random_forward": (lambda torch, x: x * torch.rand(3, dtype=torch.float64), _real),
    "wrong_imaginary_part": (lambda torch, z: _hooked(z * 2, lambda g: torch.complex(g.real, 3 * g.imag)), _number),
    "wrong_real_part": (lambda torch, z: _hooked(z.real * 2, lambda g: -g) + 0j, _number),
    "conjugate_forgotten": (lambda torch, z: _hooked(z, lambda g: g.conj()) * z, _number),
    "first_right_then_complex": (lambda torch, z: (z.real, _hooked(z, lambda g: g * 1j)), _number),
    "kink": (lambda torch, x: (x - 2).relu(), _real),
    "infinite": (lambda torch, x: (x - 1).sqrt(), _real),
    "single_precision": (lambda torch, x: x * x, lambda torch: torch.tensor([1.0, 2.0], requires_grad=True)),
    # ones that cannot be checked
    "changes_shape": (_changes_shape, _real),
    "changes_dtype": (_changes_dtype, _real),
    "booleans": (lambda torch, x: (x * 2, x > 1), _real),
    "no_tensor": (lambda torch, x: (x * 2, None), _real),
    "a_number": (lambda torch, x: 3.0, _real),
    "requires_no_grad": (lambda torch, x: x * 2, lambda torch: torch.ones(2, dtype=torch.float64)),
    "no_inputs": (lambda torch: torch.ones(2), lambda torch: ()),
    "expanded": (lambda torch, x: x * 2, lambda torch: torch.ones(1, dtype=torch.float64).expand(3).requires_grad_()),
    "expanded_to_one": (lambda torch, x: x * 2, lambda torch: torch.ones((), dtype=torch.float64).expand(1)
                        .requires_grad_()),
}

OPTIONS = [
    {},
    {"fast_mode": True},
    {"raise_exception": False},
    {"check_batched_grad": True, "check_grad_dtypes": True},
    {"nondet_tol": 1e-3, "masked": True},
    {"check_undefined_grad": False, "masked": False},
    {"atol": 1.0},
    {"rtol": 1.0, "atol": 0.5, "fast_mode": True},
    {"eps": 1e-3, "rtol": 1e-9, "atol": 1e-9},
]


NOTHING_DIFFERENTIABLE = {"integers_only", "all_gradients_lost", "constant"}


def _verdict(torch, check, name, options):
    function, make = FUNCTIONS[name]
    inputs = make(torch)
    torch.manual_seed(0)  # torch's gradgradcheck draws gradients from the caller's generator
    try:
        return getattr(torch.autograd, check)(lambda *given: function(torch, *given), inputs, **options)
    except TypeError as raised:
        if check == "gradgradcheck" and name in NOTHING_DIFFERENTIABLE:
            return type(raised).__name__  # torch stumbles: it calls the function without arguments
        raise


@pytest.mark.filterwarnings("ignore:Casting complex")
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("check", ["gradcheck", "gradgradcheck"])
def test_verdicts(name: str, check: str) -> None:
    # Under wide tolerances a verdict hangs on the gradients that gradgradcheck draws.
    narrow = [options for options in OPTIONS if options.get("atol", 0) < 0.1]
    for options in OPTIONS if check == "gradcheck" else narrow:
        assert_both(lambda torch, options=options: _verdict(torch, check, name, options))


@case()
def arguments_that_contradict_each_other(torch):
    x = leaf(torch, 1, 2)

    def check(name, **options):
        return error(getattr(torch.autograd, name), lambda t: t * 2, x, **options)

    return (
        check("gradcheck", check_backward_ad=False),
        check("gradcheck", check_backward_ad=False, raise_exception=False),
        check("gradcheck", check_forward_ad=True, check_backward_ad=False, check_batched_grad=True),
        check("gradcheck", check_batched_forward_grad=True),
        check("gradgradcheck", check_rev_over_rev=False),
        check("gradgradcheck", check_rev_over_rev=False, check_fwd_over_rev=True),
        check(
            "gradgradcheck",
            check_rev_over_rev=False,
            check_fwd_over_rev=True,
            check_undefined_grad=False,
            check_batched_grad=True,
        ),
    )


@case()
def gradients_of_outputs_that_are_given(torch):
    x, v = leaf(torch, 1, 2), leaf(torch, 3, 4)
    check = torch.autograd.gradgradcheck
    return (
        check(lambda t: t**3, x, v),
        check(lambda t: t**3, x, [v.detach()]),
        _contiguous_gradients(torch),
        _contiguous_gradients(torch, gen_non_contig_grad_outputs=True),
        error(check, lambda t: t**3, x, (v, v)),
        error(check, lambda t: (t**3, t), x, v),
    )


def _contiguous_gradients(torch, **options):
    """The verdict, and whether each gradient that reached the output was contiguous."""
    seen = []

    def function(t):
        y = t**3
        y.register_hook(lambda g: None if g is None else seen.append(g.is_contiguous()))
        return y

    return torch.autograd.gradgradcheck(function, leaf(torch, 1, 2), **options), seen


@case()
def a_right_backward_that_hands_out_the_same_memory_each_time(torch):
    buffer = torch.zeros(3, dtype=torch.float64)

    def function(t):
        return _hooked(t, buffer.copy_) * 2

    return [torch.autograd.gradcheck(function, leaf(torch, 1, 2, 3), fast_mode=f) for f in (False, True)]


@case()
def the_function_sees_each_input_moved_and_put_back(torch):
    x = leaf(torch, 1, 2)
    seen = []

    def function(t):
        seen.append(t.detach().clone())
        return t * 3

    torch.autograd.gradcheck(function, x, eps=0.25, check_undefined_grad=False)
    return seen, x, x.grad


@case()
def numerical_jacobians(torch):
    module = _module(torch)
    x, y, z = leaf(torch, 1, 2), leaf(torch, 3, 4, 5), _complex(torch, 1 + 2j)
    square, one = (lambda inputs: inputs[0] * inputs[0]), (lambda *inputs: (inputs[0] * 1j,))
    numerical, specific = module.get_numerical_jacobian, module.get_numerical_jacobian_wrt_specific_input
    found = (
        numerical(square, (x, y)),
        numerical(square, x, eps=0.5),
        numerical(lambda inputs: (inputs[0] * y.sum(), x), (x,), target=(y,)),
        numerical(lambda inputs: inputs[0].abs(), (z,)),
        specific(lambda t, u: (t * t, u.sum(), t.argsort()), 1, (x, y), (x * x, y.sum(), x.argsort()), 1e-6),
        specific(one, 0, (x,), one(x), 1e-6, is_forward_ad=True),
    )
    return (
        [[_rounded(t) for t in tensors] for tensors in found],
        error(numerical, square, (x,), grad_out=2.0),
        error(numerical, square, (z,)),
        error(specific, lambda t: (t,), 0, (x.detach(),), (x,), 1e-6),
        error(specific, one, 0, (x,), one(x), 1e-6),
    )


@case()
def analytical_jacobians(torch):
    analytical = _module(torch).get_analytical_jacobian
    x, y, z = leaf(torch, 1, 2), leaf(torch, 3, 4, 5), _complex(torch, 1 + 2j)
    jacobians, *flags = analytical((x, y), x * x)
    _, *drifting = analytical((x,), _drifting(x, 1e-3))
    _, *tolerated = analytical((x,), _drifting(x, 1e-3), nondet_tol=1.0)
    return (
        [_rounded(t) for t in jacobians],
        flags,
        drifting,
        tolerated,
        error(analytical, (x,), x * 2, grad_out=2.0),
        error(analytical, (z,), z * z),
    )


def _module(torch):
    return importlib.import_module(f"{torch.__name__}.autograd.gradcheck")


def _rounded(t):
    """To the seven digits or so that central differences are good for."""
    parts = [(round(v.real, 5) + 0.0, round(v.imag, 5) + 0.0) for v in t.reshape(-1).tolist()]
    return parts, tuple(t.shape), str(t.dtype)


test_as_torch = as_torch(__name__)


# Where refgrad's verdict is better founded than torch's


@pytest.mark.parametrize("fast_mode", [False, True])
def test_outputs_without_derivative_may_stand_anywhere(fast_mode: bool) -> None:
    """torch confuses outputs that stand behind one without derivative, in one mode or the other."""
    x = leaf(refgrad, 1, 2, 3)
    for first in (lambda t: t.argsort(), lambda t: t.detach() * 3):
        assert refgrad.autograd.gradcheck(lambda t, first=first: (first(t), t * 2), x, fast_mode=fast_mode)
        with pytest.raises(checks.GradcheckError, match="^Jacobian mismatch for output 0 with respect to input 0"):
            refgrad.autograd.gradcheck(
                lambda t, first=first: (first(t), _hooked(t * 2, lambda g: -g)), x, fast_mode=fast_mode
            )


def test_inputs_are_put_back_when_the_function_raises() -> None:
    x = leaf(refgrad, 1, 2)

    def function(t):
        if t.detach().tolist() != [1.0, 2.0]:
            raise KeyError("moved")
        return t * 2

    with pytest.raises(KeyError, match="moved"):
        refgrad.autograd.gradcheck(function, x)
    assert x.tolist() == [1.0, 2.0]


def test_random_numbers_are_its_own_and_the_same_each_time() -> None:
    x = leaf(refgrad, 1, 2)
    before = refgrad.default_generator.get_state()
    texts = []
    for _ in range(2):
        assert refgrad.autograd.gradcheck(lambda t: t**2, x, check_batched_grad=True, fast_mode=True)
        assert refgrad.autograd.gradgradcheck(lambda t: t**3, x, check_batched_grad=True)
        for check, options in (("gradcheck", {"fast_mode": True}), ("gradgradcheck", {})):
            with pytest.raises(checks.GradcheckError) as raised:
                getattr(refgrad.autograd, check)(lambda t: _hooked(t, lambda g: g * 2) * t**2, x, **options)
            texts.append(str(raised.value))
    assert texts[:2] == texts[2:]
    assert (refgrad.default_generator.get_state() == before).all()


def test_fast_mode_says_when_elements_agree() -> None:
    """Where elements cancel in a product, what each may be off by is more than the product may be off by."""
    signs = refgrad.tensor([1.0, -1.0] * 4, dtype=refgrad.float64)
    x = leaf(refgrad, *range(1, 9))

    def function(t):
        return (_hooked(t, lambda g: g * (1 + 9e-4 * signs)) * signs).sum()

    assert refgrad.autograd.gradcheck(function, x, atol=0.0, rtol=1e-3)
    with pytest.raises(checks.GradcheckError, match="element-wise differences are small"):
        refgrad.autograd.gradcheck(function, x, atol=0.0, rtol=1e-3, fast_mode=True)
    with pytest.raises(checks.GradcheckError) as raised:
        refgrad.autograd.gradcheck(function, x, atol=0.0, rtol=1e-4, fast_mode=True)
    assert "element-wise differences are small" not in str(raised.value)


@pytest.mark.parametrize("change, options, expected", [
    (lambda g: g.float(), {"check_grad_dtypes": True}, "Gradient has dtype mismatch"),
    (lambda g: g.float(), {}, "grad is incorrect type"),
    (lambda g: g[:1], {}, "Analytical gradient has incorrect size"),
    (lambda g: g[:1], {"fast_mode": True}, "Analytical gradient has incorrect size"),
])  # fmt: skip
def test_gradients_of_wrong_dtype_or_size(monkeypatch, change, options, expected) -> None:
    """An engine that hands out such gradients: refgrad's own casts them, or refuses them."""
    right = refgrad.autograd.grad
    monkeypatch.setattr(
        refgrad.autograd, "grad", lambda *args, **kwargs: tuple([change(g) for g in right(*args, **kwargs)])
    )
    with pytest.raises(checks.GradcheckError, match=expected):
        refgrad.autograd.gradcheck(lambda t: t * 2, leaf(refgrad, 1, 2), **options)


def test_batches_that_are_not_their_parts(monkeypatch) -> None:
    right = refgrad.autograd.grad

    def wrong(*args, is_grads_batched=False, **kwargs):
        found = right(*args, is_grads_batched=is_grads_batched, **kwargs)
        return tuple([g * 2 for g in found]) if is_grads_batched else found

    def failing(*args, is_grads_batched=False, **kwargs):
        if is_grads_batched:
            raise RuntimeError("no batches")
        return right(*args, **kwargs)

    refused = "While computing batched gradients, got: no batches"
    for grad, expected in ((wrong, "For output 1 and input 0:"), (failing, refused)):
        monkeypatch.setattr(refgrad.autograd, "grad", grad)
        with pytest.raises(checks.GradcheckError, match=expected):
            refgrad.autograd.gradcheck(
                lambda t: (t.detach(), (t * 2)[:0], t * 2)[-2:], leaf(refgrad, 1, 2), check_batched_grad=True
            )


# Undefined gradients


def _of_refgrad(backward):
    """x -> (2x, 3x), with the backward of both given."""
    op = Op(
        "two_multiples",
        lambda xp, x: (x * 2, x * 3),
        lambda F, g: [backward(*g)],
        several=True,
        node="TwoMultiplesBackward",
    )
    del OPS[op.name]  # the record is not one of refgrad's ops
    return op


def _of_torch(backward):
    class TwoMultiples(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, *gradients):
            return backward(*gradients)

    return TwoMultiples.apply


def _right(g, h):
    parts = ([] if g is None else [g * 2]) + ([] if h is None else [h * 3])
    return sum(parts[1:], parts[0]) if parts else None


def _is_second_alone_and_zero(g, h):
    """What these backwards meet in the check of undefined gradients, and nowhere before."""
    return g is None and h is not None and not h.any()


def _raises_for_undefined(g, h):
    if _is_second_alone_and_zero(g, h):
        raise RuntimeError("no first gradient")
    return _right(g, h)


def _fails_for_undefined(g, h):
    if _is_second_alone_and_zero(g, h):
        raise KeyError("no first gradient")
    return _right(g, h)


def _takes_undefined_for_ones(g, h):
    made = _right(g, h)
    return made + 2 if _is_second_alone_and_zero(g, h) else made


@pytest.mark.parametrize(
    "backward", [_right, _raises_for_undefined, _fails_for_undefined, _takes_undefined_for_ones]
)
def test_undefined_gradients(backward) -> None:
    for options in ({}, {"check_undefined_grad": False}, {"raise_exception": False}):

        def verdict(module, options=options):
            function = (_of_torch if module is torch else _of_refgrad)(backward)
            return module.autograd.gradcheck(lambda t: tuple(function(t)), leaf(module, 1, 2), **options)

        assert_both(verdict)
