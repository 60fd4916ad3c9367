"""Samplers have nodes, and zero gradients for what they draw from and draw into."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


def _gradients(torch, y, *inputs):
    return y, torch.autograd.grad(y.sum(), inputs, allow_unused=True)


@case(152)
def samples_of_probabilities_and_means(torch):
    torch.manual_seed(1)
    p, m = leaf(torch, 0.2, 0.5, 0.8), leaf(torch, 1, 2, 3)
    return (
        _gradients(torch, torch.bernoulli(p), p),
        _gradients(torch, torch.normal(m, 2.0), m),
        _gradients(torch, torch.normal(1.0, m), m),
        _gradients(torch, torch.normal(m, p), m, p),
        _gradients(torch, torch.normal(m[:, None], p), m, p),
    )


@case(152)
def the_gradient_of_a_sample_is_no_function_of_anything(torch):
    p = leaf(torch, 0.2, 0.5)
    (g,) = torch.autograd.grad(torch.bernoulli(p).sum(), p, create_graph=True)
    return g


@case(151)
def one_chance_for_all_has_no_derivative(torch):
    y = torch.bernoulli(leaf(torch, 1, 2), 0.5)
    return y.grad_fn.name(), error(y.sum().backward)


@case(83, 152)
def drawing_into_a_computed_tensor_cuts_its_gradient(torch):
    torch.manual_seed(2)
    found = []
    for name, *args in (
        ("uniform_",),
        ("normal_", 1, 2),
        ("random_",),
        ("random_", 5),
        ("random_", 2, 5),
        ("bernoulli_",),
        ("bernoulli_", leaf(torch, 0.2, 0.5, 0.8)),
        ("exponential_", 2),
        ("geometric_", 0.3),
        ("cauchy_",),
        ("log_normal_",),
    ):
        x = leaf(torch, 1, 2, 3)
        y = x * 2
        before = y._version
        found.append((_gradients(torch, getattr(y, name)(*args), x, *args[: 1 if name == "bernoulli_" else 0]), before))
    return found


@case(83)
def drawing_into_a_leaf_is_refused_and_drawing_under_no_grad_is_not(torch):
    torch.manual_seed(3)
    x = leaf(torch, 1, 2)
    refused = [error(getattr(x, name)) for name in ("uniform_", "normal_", "random_", "bernoulli_", "exponential_")]
    y = x * x
    with torch.no_grad():
        x.uniform_()
    return refused, x, x._version, error(y.sum().backward)


test_as_torch = as_torch(__name__)
