"""`autograd.functional`: results, what requires grad, and errors."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.refgrad.both import assert_both
from tests.refgrad.semantics.rows import as_torch, case, error, leaf


def _seen(value):
    """Containers by type; tensors without strides and names of nodes, an engine's own business in gradients."""
    if isinstance(value, (tuple, list)):
        return type(value).__name__, [_seen(v) for v in value]
    return value.tolist(), str(value.dtype), tuple(value.shape), value.requires_grad, value.is_leaf


def _vector(torch, *values):
    return torch.tensor(values, dtype=torch.float64)


# Functions by what they take and give: (name, function of (torch, *inputs), number of inputs)
FUNCTIONS = {
    "one_one": (lambda torch, x: x**3, 1),
    "scalar": (lambda torch, x: (x**3).sum(), 1),
    "tuple_of_one": (lambda torch, x: (x.exp(),), 1),
    "reduced": (lambda torch, x: x.reshape(3, 1).exp().sum(1), 1),
    "one_two": (lambda torch, x: (x**2, x.sum()), 1),
    "two_one": (lambda torch, x, y: x * y.sum() + x.sin(), 2),
    "two_two": (lambda torch, x, y: (x * y.prod(), y.reshape(1, 2) ** 2), 2),
    "unused_input": (lambda torch, x, y: x**2, 2),
    "no_derivative": (lambda torch, x: (x.detach(), x * 2), 1),
    "constant": (lambda torch, x: torch.ones(2, dtype=torch.float64), 1),
    "linear": (lambda torch, x: x * 2, 1),
    "single_precision": (lambda torch, x: x.float() ** 2, 1),
    "integers": (lambda torch, x: (x.argsort(), x**2), 1),
    "identity": (lambda torch, x: x, 1),
    "infinite_beside_finite": (lambda torch, x: ((x - 1).sqrt(), x**2), 1),
    "complex": (lambda torch, x: x * 1j, 1),
    "empty_output": (lambda torch, x: (x[:0], x * 2), 1),
}


def _inputs(torch, count, requires_grad):
    x, y = _vector(torch, 1, 2, 3), _vector(torch, 0.5, -1.5)
    inputs = [t.requires_grad_(requires_grad) for t in (x, y)[:count]]
    return inputs[0] if count == 1 else tuple(inputs)


def _outcome(function, *args, **kwargs):
    try:
        return _seen(function(*args, **kwargs))
    except Exception as raised:
        text = str(raised).partition("\n")[0][:90]
        # Here torch names the number of the output where it means that of the input.
        return type(raised).__name__, re.sub(r"^(The jacobian .* independent of input) \d", r"\1", text)


FLAGS = list(itertools.product((False, True), repeat=3))  # create_graph, strict, whether inputs require grad


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians(name: str) -> None:
    function, count = FUNCTIONS[name]

    def all_ways(torch):
        return [
            _outcome(
                torch.autograd.functional.jacobian,
                lambda *inputs: function(torch, *inputs),
                _inputs(torch, count, requires_grad),
                create_graph=create_graph,
                strict=strict,
                vectorize=vectorize,
            )
            for create_graph, strict, requires_grad in FLAGS
            for vectorize in (False, True)
        ]

    assert_both(all_ways)


@pytest.mark.parametrize("product", ["vjp", "jvp"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_products_with_the_jacobian(name: str, product: str) -> None:
    function, count = FUNCTIONS[name]

    def all_ways(torch):
        found = []
        for create_graph, strict, requires_grad in FLAGS:
            inputs = _inputs(torch, count, requires_grad)
            like = inputs if product == "jvp" else function(torch, *(inputs if count > 1 else (inputs,)))
            v = tuple(t.detach() + 1 for t in like) if isinstance(like, tuple) else like.detach() + 1
            found += [
                _outcome(
                    getattr(torch.autograd.functional, product),
                    lambda *inputs: function(torch, *inputs),
                    inputs,
                    vector,
                    create_graph=create_graph,
                    strict=strict,
                )
                for vector in (v, None)
            ]
        return found

    assert_both(all_ways)


SCALARS = {
    "cubic": (lambda torch, x: (x**3).sum(), 1),
    "one_element": (lambda torch, x: (x**3).sum().reshape(1, 1), 1),
    "mixed": (lambda torch, x, y: (x**2).sum() * y.prod() + y.exp().sum(), 2),
    "apart": (lambda torch, x, y: (x**3).sum() + (y**3).sum(), 2),
    "product": (lambda torch, x: (x * x).sum(), 1),
    "quadratic": (lambda torch, x: (x**2).sum(), 1),
    "linear": (lambda torch, x: x.sum(), 1),
    "unused_input": (lambda torch, x, y: (x**3).sum(), 2),
    "constant": (lambda torch, x: torch.ones((), dtype=torch.float64), 1),
    "several_elements": (lambda torch, x: x**2, 1),
    "a_tuple": (lambda torch, x: ((x**2).sum(),), 1),
    "no_tensor": (lambda torch, x: 3.0, 1),
}


@pytest.mark.parametrize("name", SCALARS)
def test_hessians_and_products_with_them(name: str) -> None:
    function, count = SCALARS[name]

    def all_ways(torch):
        found = []
        for create_graph, strict, requires_grad in FLAGS:
            inputs = _inputs(torch, count, requires_grad)
            v = tuple(t.detach() + 1 for t in inputs) if count > 1 else inputs.detach() + 1
            options = {"create_graph": create_graph, "strict": strict}

            def call(*inputs):
                return function(torch, *inputs)

            functional = torch.autograd.functional
            found += [
                _outcome(functional.hessian, call, inputs, **options),
                _outcome(functional.hessian, call, inputs, vectorize=True, **options),
                _outcome(functional.vhp, call, inputs, v, **options),
                _outcome(functional.hvp, call, inputs, v, **options),
                _outcome(functional.vhp, call, inputs, **options),
                _outcome(functional.hvp, call, inputs, **options),
            ]
        return found

    assert_both(all_ways)


@case()
def results_under_create_graph_can_be_differentiated(torch):
    x, v = leaf(torch, 1, 2, 3), leaf(torch, 3, 2, 1)
    F = torch.autograd.functional
    makers = (
        lambda: F.jacobian(lambda t: t**3, x, create_graph=True),
        lambda: F.jacobian(lambda t: t**3, x, create_graph=True, vectorize=True),
        lambda: F.hessian(lambda t: (t**3).sum(), x, create_graph=True),
        lambda: F.vjp(lambda t: t**3, x, v, create_graph=True)[1],
        lambda: F.jvp(lambda t: t**3, x, v, create_graph=True)[1],
        lambda: F.vhp(lambda t: (t**3).sum(), x, v, create_graph=True)[1],
        lambda: F.hvp(lambda t: (t**3).sum(), x, v, create_graph=True)[1],
    )
    return [
        [None if g is None else g.tolist() for g in torch.autograd.grad(make().sum(), (x, v), allow_unused=True)]
        for make in makers
    ]


@case()
def the_mode_of_the_caller_does_not_matter(torch):
    x = leaf(torch, 1, 2, 3)
    F = torch.autograd.functional
    with torch.no_grad():
        return _seen(
            (
                F.jacobian(lambda t: t**2, x),
                F.jacobian(lambda t: t**2, x, create_graph=True),
                F.vjp(lambda t: t**2, x, torch.ones(3, dtype=torch.float64), create_graph=True),
                F.hvp(lambda t: (t**3).sum(), x, torch.ones(3, dtype=torch.float64)),
            )
        )


@case()
def an_input_that_the_function_captured_is_not_its_argument(torch):
    x = leaf(torch, 1, 2, 3)
    return [_seen(torch.autograd.functional.jacobian(lambda t: t * x, x, create_graph=c)) for c in (False, True)]


@case()
def inputs_keep_their_state(torch):
    x = _vector(torch, 1, 2, 3)
    torch.autograd.functional.hessian(lambda t: (t**3).sum(), x)
    y = leaf(torch, 1, 2)
    torch.autograd.functional.jvp(lambda t: t**2, y, y)
    return x, y, y.grad


@case()
def single_elements_need_no_vector(torch):
    x = _vector(torch, 2)
    F = torch.autograd.functional
    return _seen(
        [F.vjp(lambda t: (t**2).sum(), x), F.jvp(lambda t: t**2, x), F.vhp(lambda t: t**3, x), F.hvp(lambda t: t**3, x)]
    )


@case()
def vectors_of_wrong_shape_and_number(torch):
    x, y, wrong = _vector(torch, 1, 2, 3), _vector(torch, 1, 2), _vector(torch, 1, 2, 3, 4)
    found = []
    for name in ("vjp", "jvp", "vhp", "hvp"):
        function = getattr(torch.autograd.functional, name)
        one = (lambda t: t**2) if name == "vjp" else (lambda t: (t**3).sum())
        two = (lambda t, u: (t**2, u**2)) if name == "vjp" else (lambda t, u: (t**3).sum() * u.sum())
        found += [
            error(function, one, x, wrong),
            error(function, one, x, (x, y)),
            error(function, two, (x, y), x),
            error(function, two, (x, y), (x, wrong)),
            error(function, one, x, [1.0, 2.0, 3.0]),
            error(function, two, (x, y), (x, 3)),
        ]
    return found


@case()
def inputs_and_outputs_that_are_no_tensors(torch):
    x = _vector(torch, 1, 2, 3)
    found = []
    for name in ("jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"):
        function = getattr(torch.autograd.functional, name)
        found += [
            error(function, lambda t: t, 3.0),
            error(function, lambda t: t, [x]),
            error(function, lambda t, u: t, (x, None)),
            error(function, lambda t: [t], x),
            error(function, lambda t: (t, 1), x),
        ]
    return found


@case()
def integer_inputs_have_no_jacobian(torch):
    return error(torch.autograd.functional.jacobian, lambda t: t * 2, torch.tensor([1, 2]))


@case()
def jacobians_of_complex_functions(torch):
    z = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128)
    F = torch.autograd.functional
    return (
        error(F.jacobian, lambda t: t * t, z),
        _seen(F.jacobian(lambda t: t * t, z, vectorize=True)),
        _seen(F.jacobian(lambda t: t.abs(), z)),
        _seen(F.vjp(lambda t: t * t, z, z)),
        _seen(F.jvp(lambda t: t * t, z, z)),
    )


@case()
def empty_outputs_and_inputs(torch):
    x, empty = _vector(torch, 1, 2, 3), torch.zeros(0, dtype=torch.float64)
    F = torch.autograd.functional
    return (
        [error(F.jacobian, lambda t: t[:0], x, vectorize=v) for v in (False, True)],
        [error(F.jacobian, lambda t: t * 2, empty, vectorize=v) for v in (False, True)],
        _seen(F.jacobian(lambda t: t.sum(), empty)),
        _seen(F.jacobian(lambda t: (t[:0], t * 2), x, vectorize=True)),
    )


@case()
def strategies_that_are_refused(torch):
    x = _vector(torch, 1, 2, 3)
    F = torch.autograd.functional
    forward = {"strategy": "forward-mode"}
    return (
        error(F.jacobian, lambda t: t, x, strategy="reverse"),
        error(F.hessian, lambda t: t.sum(), x, outer_jacobian_strategy="reverse"),
        error(F.jacobian, lambda t: t, x, create_graph=True, **forward),
        error(F.jacobian, lambda t: t, x, strict=True, **forward),
        error(F.jacobian, lambda t: t, 3.0, **forward),
        error(F.jacobian, lambda t: t, x, **forward),
        error(F.hessian, lambda t: t.sum(), x, outer_jacobian_strategy="forward-mode"),
    )


test_as_torch = as_torch(__name__)
