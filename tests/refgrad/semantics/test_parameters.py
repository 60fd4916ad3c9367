"""Parameters and the old Variable."""

from __future__ import annotations

import copy

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


@case(11)
def a_parameter_is_a_leaf_whatever_it_is_made_of(torch):
    y = leaf(torch, 1, 2) * 2
    with torch.no_grad():
        p = torch.nn.Parameter(y)
    return p, torch.nn.Parameter(y, requires_grad=False), p.data_ptr() == y.data_ptr()


@case(11)
def integers_are_no_parameters_unless_frozen(torch):
    n = torch.ones(2, dtype=torch.int64)
    return error(torch.nn.Parameter, n), torch.nn.Parameter(n, requires_grad=False)


@case(11)
def a_parameter_counts_the_writes_to_its_source(torch):
    x = torch.ones(2)
    p = torch.nn.Parameter(x)
    y = p * p
    x.add_(1)
    return p._version, error(y.sum().backward)


@case(11)
def gradients_reach_a_parameter_through_every_kind_of_operand(torch):
    p, w = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    loss = ((p @ w) * w + w.exp() - 2 / w + torch.cat([w, w]).sum() + p.sum(0).max()).sum()
    first = torch.autograd.grad(loss, (p, w), create_graph=True)
    (first[1] * w).sum().backward()
    return first, p.grad, w.grad


@case(11)
def results_are_plain_tensors(torch):
    p = torch.nn.Parameter(torch.ones(2))
    made = (p * 2, p.view(2), p.detach(), p.data, p.clone(), p.float(), copy.copy(p), copy.deepcopy(p))
    return [type(t).__name__ for t in made]


@case(11)
def a_deep_copy_of_a_parameter_has_no_gradient(torch):
    p = torch.nn.Parameter(torch.ones(2))
    p.sum().backward()
    q = copy.deepcopy([p, p])
    return q[0], q[0].grad, q[0] is q[1], copy.deepcopy(torch.nn.Parameter(torch.ones(2), False))


@case(11)
def writes_under_no_grad_change_a_parameter(torch):
    p = torch.nn.Parameter(torch.ones(2))
    refused = error(p.add_, 1)
    with torch.no_grad():
        p.sub_(0.5)
    return refused, p, repr(p)


test_as_torch = as_torch(__name__)
