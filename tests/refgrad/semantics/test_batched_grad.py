"""`autograd.grad` over a batch of gradients, and over a dict of inputs."""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


def _eye(torch, n=3, dtype=None):
    return torch.eye(n, dtype=dtype or torch.float64)


def _batched(torch, outputs, inputs, gradients, **options):
    """Results without strides and names of nodes, which are an engine's own business here."""
    found = torch.autograd.grad(outputs, inputs, gradients, is_grads_batched=True, **options)
    return [None if g is None else (g.tolist(), str(g.dtype), tuple(g.shape), g.requires_grad) for g in found]


@case(32)
def a_pass_for_each_row_of_the_gradients(torch):
    x = leaf(torch, 1, 2, 3)
    return _batched(torch, x**2, x, _eye(torch)), _batched(torch, x.sum(), x, torch.tensor([1.0, 2.0]))


@case(32)
def several_outputs_and_inputs_in_one_batch(torch):
    x, y = leaf(torch, 1, 2, 3), leaf(torch, 4, 5)
    gradients = _eye(torch), torch.arange(3.0, dtype=torch.float64)
    return _batched(torch, (x**2, (y**3).sum()), (y, x), gradients), x.grad


@case(32)
def gradients_are_cast_to_the_dtype_of_the_output(torch):
    x = leaf(torch, 1, 2, 3)
    return [_batched(torch, x**2, x, _eye(torch, dtype=d)) for d in (torch.float32, torch.int64)]


@case(32)
def surplus_gradients_are_ignored_and_missing_ones_refused(torch):
    x = leaf(torch, 1, 2, 3)
    two = (_eye(torch), _eye(torch))
    return _batched(torch, x**2, x, two), error(_batched, torch, (x**2, x**3), x, _eye(torch))


@case(24, 25, 32)
def unused_inputs_of_a_batch(torch):
    x, y = leaf(torch, 1, 2, 3), leaf(torch, 4, 5)
    return (
        error(_batched, torch, x**2, (x, y), _eye(torch)),
        _batched(torch, x**2, (x, y), _eye(torch), allow_unused=True),
        _batched(torch, x**2, (x, y), _eye(torch), materialize_grads=True),
    )


@case(32)
def gradients_without_a_batch_dimension_or_rows(torch):
    x = leaf(torch, 1, 2, 3)
    return (
        error(_batched, torch, x.sum(), x, torch.tensor(1.0, dtype=torch.float64)),
        error(_batched, torch, x**2, x, torch.zeros(0, 3, dtype=torch.float64)),
    )


@case(32)
def rows_of_wrong_shape(torch):
    x = leaf(torch, 1, 2, 3)
    wrong = torch.zeros(2, 4, dtype=torch.float64)
    torch.autograd.grad(x**2, x, wrong, is_grads_batched=True)


@case(32)
def complex_rows_for_a_real_output(torch):
    x = leaf(torch, 1, 2, 3)
    return error(_batched, torch, x**2, x, _eye(torch, dtype=torch.complex128))


@case(32)
def batches_of_different_sizes(torch):
    x, y = leaf(torch, 1, 2, 3), leaf(torch, 4, 5)
    gradients = _eye(torch), torch.zeros(2, 2, dtype=torch.float64)
    return error(_batched, torch, (x**2, y**2), (x, y), gradients)


@case(32)
def gradients_left_out(torch):
    x, y = leaf(torch, 1, 2, 3), leaf(torch, 4)
    total = (x**2).sum()
    return [
        error(_batched, torch, outputs, x, gradients)
        for outputs, gradients in (
            (total, None),
            (total.reshape(1), None),
            (total.reshape(1, 1), None),
            (x**2, None),
            ((x**2, total), (_eye(torch), None)),
            ((x**2, y.detach()), (_eye(torch), None)),
            ((x**2, total.reshape(1)), (_eye(torch), None)),
            (x**2, [3.0]),
        )
    ]


@case(15, 23, 32)
def batches_of_what_does_not_require_grad(torch):
    x = leaf(torch, 1, 2, 3)
    return (
        error(_batched, torch, x.detach(), x, _eye(torch)),
        error(_batched, torch, x**2, x.detach(), _eye(torch)),
    )


@case(26, 32)
def a_batch_frees_the_graph_unless_told_to_keep_it(torch):
    x = leaf(torch, 1, 2, 3)
    y = x**2
    kept = _batched(torch, y, x, _eye(torch), retain_graph=True)
    freed = _batched(torch, y, x, _eye(torch))
    return kept == freed, error(_batched, torch, y, x, _eye(torch))


@case(27, 32)
def a_batch_under_create_graph(torch):
    x, v = leaf(torch, 1, 2, 3), _eye(torch).requires_grad_()
    y = x**3
    (g,) = torch.autograd.grad(y, x, v, is_grads_batched=True, create_graph=True)
    with torch.no_grad():
        (quiet,) = torch.autograd.grad(y, x, v, is_grads_batched=True, create_graph=True)
    constant = _batched(torch, x * 2, x, _eye(torch), create_graph=True)
    seconds = torch.autograd.grad(g.sum(), (x, v)), torch.autograd.grad(quiet.sum(), (x, v))
    return [[t.tolist() for t in pair] for pair in seconds], g.requires_grad, constant


@case(31)
def a_dict_of_inputs(torch):
    x, y = leaf(torch, 1, 2, 3), leaf(torch, 4, 5)
    grad = torch.autograd.grad
    return (
        grad((x**2).sum(), {"x": x, 1: y}, allow_unused=True),
        grad((x**2).sum(), {"x": x, "again": x}),
        grad((x**2).sum(), {"x": x, "y": y}, materialize_grads=True),
        list(grad(x**2, {"x": x}, _eye(torch), is_grads_batched=True)),
    )


@case(22, 31)
def mappings_that_are_no_dict_and_empty_dicts(torch):
    x = leaf(torch, 1, 2, 3)
    found = []
    for inputs in (OrderedDict(x=x), MappingProxyType({"x": x}), {}):
        found.append(error(torch.autograd.grad, (x**2).sum(), inputs))
        found.append(error((x**2).sum().backward, inputs=inputs))
    return found, x.grad


@case(28, 31)
def backward_into_a_dict_of_inputs(torch):
    x, y = leaf(torch, 1, 2, 3), leaf(torch, 4, 5, 6)
    (x * y).sum().backward(inputs={"x": x})
    return x.grad, y.grad


@case()
def the_same_input_twice_has_one_result(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    rows = torch.ones(3, 2, dtype=torch.float64)
    a, b, c = torch.autograd.grad(x * w, (x, x, w), rows, is_grads_batched=True, create_graph=True)
    return a is b, a is c, a.detach(), torch.autograd.grad(a.sum(), b)


test_as_torch = as_torch(__name__)
