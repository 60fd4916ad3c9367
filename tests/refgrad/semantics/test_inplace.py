"""In-place operations: what they bump, what they refuse, what they do to history."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


@case(78)
def a_modified_index_is_noticed(torch):
    x, i = leaf(torch, 1, 2, 3), torch.tensor([0, 1])
    y = x[i]
    i[0] = 2
    return error(y.sum().backward)


@case(78)
def a_modified_mask_is_noticed_where_torch_keeps_it(torch):
    x, m = leaf(torch, 1, 2, 3), torch.tensor([True, False, True])
    y = x[m]
    m[0] = False
    return error(y.sum().backward)


@case(78)
def a_modified_index_of_index_put_is_noticed(torch):
    x, i = leaf(torch, 1, 2, 3), torch.tensor([0, 1])
    y = x.index_put((i,), torch.ones(2, dtype=torch.float64))
    i[0] = 2
    return error(y.sum().backward)


def _square(torch):
    return torch.arange(9.0).reshape(3, 3)


@case(84)
def operands_that_overlap_the_target_partly(torch):
    writes = (
        lambda b: b.add_(b.t()),
        lambda b: b[1:].add_(b[:-1]),
        lambda b: b[:, 1:].add_(b[:, :-1]),
        lambda b: b[1:].copy_(b[:-1]),
        lambda b: b.mul_(b.t()),
        lambda b: b.pow_(b.t()),
        lambda b: b.__setitem__(slice(1, None), b[:-1]),
        lambda b: b.__setitem__(slice(None), b.t()),
    )
    return [error(write, _square(torch)) for write in writes]


@case(84)
def operands_that_are_the_target_or_lie_beside_it(torch):
    found = []
    for write in (
        lambda b: b.add_(b),
        lambda b: b[0].add_(b[1]),
        lambda b: b.add_(b.view(3, 3)),
        lambda b: b.add_(torch.ones(3)),
    ):
        b = _square(torch)
        found.append((error(write, b), b))
    return found


@case(84)
def accumulation_into_an_expanded_grad_is_refused(torch):
    z = leaf(torch, 1, 1, 1)
    z.grad = torch.zeros(1, dtype=torch.float64).expand(3)
    return error((z * 2).sum().backward), z.grad


@case(86, 111, 112)
def detach_in_place_keeps_hooks_and_retain_grad(torch):
    y = leaf(torch, 1, 2) * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 5)
    y.detach_()
    retained = y.retains_grad
    y.requires_grad_()
    (y * 2).sum().backward()
    return retained, y.grad


test_as_torch = as_torch(__name__)
