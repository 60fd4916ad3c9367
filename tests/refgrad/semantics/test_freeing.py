"""What a backward pass frees, what it keeps, and what can be differentiated again."""

from __future__ import annotations

import pytest

from tests.refgrad.both import assert_both
from tests.refgrad.semantics.rows import as_torch, case, error, leaf


@case(52)
def second_backward_through_saved_values(torch):
    y = leaf(torch, 3) ** 2
    y.backward()
    y.backward()


@case(53)
def second_backward_without_saved_values(torch):
    x = leaf(torch, 3)
    y = x + 1
    y.backward()
    y.backward()
    return x.grad


@case(51)
def second_backward_with_retain_graph(torch):
    x = leaf(torch, 3)
    y = x**2
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@case(58)
def shared_part_is_freed_by_the_first_root(torch):
    x = leaf(torch, 3)
    y = x * x
    (y * 2).backward()
    (y * 3).backward()


@case(55)
def create_graph_warns_in_backward(torch):
    x = leaf(torch, 3)
    (x**3).backward(create_graph=True)
    return x.grad


@case(57)
def second_order(torch):
    x = leaf(torch, 3, 4)
    (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g, x, grad_outputs=torch.tensor([1.0, 10.0], dtype=torch.float64))
    return g, h


@case(57)
def third_order(torch):
    x = leaf(torch, 3)
    g = x.exp() * x
    for _ in range(3):
        (g,) = torch.autograd.grad(g, x, create_graph=True)
    return g.detach()


@case(57)
def second_order_accumulates(torch):
    x = leaf(torch, 3)
    (g,) = torch.autograd.grad(x**3, x, create_graph=True)
    g.backward()
    return x.grad


@case(56)
def gradient_of_a_linear_function_has_no_graph(torch):
    x = leaf(torch, 3)
    return torch.autograd.grad(x * 3, x, create_graph=True)


@case(57)
def seed_that_requires_grad_is_differentiated(torch):
    x, v = leaf(torch, 3), leaf(torch, 2)
    (g,) = torch.autograd.grad(x * x, x, grad_outputs=v, create_graph=True)
    return torch.autograd.grad(g, v)


FUNCTIONS = {
    "product with a number": lambda t, x: x * 3,
    "quotient by a number": lambda t, x: x / 2,
    "number over": lambda t, x: 2 / x,
    "number minus": lambda t, x: 2 - x,
    "sum": lambda t, x: x + 1,
    "difference": lambda t, x: x - x,
    "negative": lambda t, x: -x,
    "power": lambda t, x: x**2,
    "clamp": lambda t, x: x.clamp(0, 1),
    "lerp": lambda t, x: t.lerp(x, x.detach(), 0.5),
    "masked_fill": lambda t, x: x.masked_fill(x > 0, 1.0),
    "where": lambda t, x: t.where(x > 0, x, 2.0),
    "reshape": lambda t, x: x.reshape(2, 1),
    "index": lambda t, x: x[[0, 1]],
    "element": lambda t, x: x[0],
    "exp": lambda t, x: x.exp(),
    "mean": lambda t, x: x.mean(),
    "product of all": lambda t, x: x.prod(),
    "cat": lambda t, x: t.cat([x, x]),
    "matmul": lambda t, x: x @ x,
    "cumsum": lambda t, x: x.cumsum(0),
    "max": lambda t, x: x.max(0).values,
    "sort": lambda t, x: x.sort().values,
    "softmax": lambda t, x: t.softmax(x, 0),
    "norm": lambda t, x: x.norm(),
    "var": lambda t, x: x.var(),
    "to": lambda t, x: x.float(),
    "flip": lambda t, x: x.flip(0),
    "expand": lambda t, x: x.expand(3, 2),
}


def backward_twice(function):
    def run(torch):
        x = leaf(torch, 0.5, 1.5)
        y = function(torch, x)
        y.backward(torch.ones_like(y))
        y.backward(torch.ones_like(y))
        return x.grad

    return run


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_second_backward_finds_freed(name: str) -> None:
    assert_both(backward_twice(FUNCTIONS[name]))


@case(54)
def what_is_pruned_stays_usable(torch):
    x, w = leaf(torch, 2), leaf(torch, 3)
    a, b = x * x, w * w
    z = a * b
    z.backward(inputs=[x])
    b.backward()
    return x.grad, w.grad, error(a.backward), error(z.backward)


@case(51)
def saved_values_after_freeing(torch):
    x = leaf(torch, 2)
    y = x.exp()
    y.backward()
    return error(lambda: y.grad_fn._saved_result), y.grad_fn.next_functions[0][0].variable is x


@case(55)
def create_graph_without_retaining(torch):
    x = leaf(torch, 2)
    (g,) = torch.autograd.grad(x**3, x, create_graph=True, retain_graph=False)
    return g, error(g.backward), x.grad


@case(56)
def first_gradients_that_have_a_graph_or_not(torch):
    x, found = leaf(torch, 0.5, 1.5), []
    for f in (
        lambda x: x * 3,
        lambda x: x.max(),
        lambda x: x.clamp(0, 1),
        lambda x: x.floor(),
        lambda x: x.sum(),
        lambda x: x.relu(),
        lambda x: x**1,
        lambda x: x.median(),
        lambda x: x.abs(),
        lambda x: x.exp(),
    ):
        y = f(x)
        (g,) = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)
        again = error(torch.autograd.grad, g.sum(), x, allow_unused=True)
        found.append((g.requires_grad, g.tolist(), again))
    return found


@case(52)
def a_failed_second_backward_leaves_grad_as_it_was(torch):
    x = leaf(torch, 2)
    y = x * x
    (y * 1).backward()
    return error(y.backward), x.grad


test_as_torch = as_torch(__name__)
