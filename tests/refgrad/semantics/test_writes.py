"""Writes into tensors of a graph, and what notices them."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


@case(86)
def detach_shares_memory_and_cuts(torch):
    x = leaf(torch, 3, 4)
    d = (x * 2).detach()
    e = x.detach()
    with torch.no_grad():
        e.mul_(10)
    return d, x, e, x._version


@case(79, 86)
def writes_through_detach_are_noticed(torch):
    x = leaf(torch, 3, 4)
    y = x * x
    x.detach().mul_(2)
    y.sum().backward()


@case(79)
def writes_through_data_are_not_noticed(torch):
    x = leaf(torch, 3, 4)
    y = x * x
    x.data *= 10
    y.sum().backward()
    return x, x.grad


@case(86)
def detach_in_place(torch):
    y = leaf(torch, 3) * 2
    return y.detach_(), y


@case(81)
def in_place_on_a_leaf(torch):
    leaf(torch, 3).mul_(2)


@case(61)
def in_place_on_a_leaf_under_no_grad(torch):
    x = leaf(torch, 3)
    with torch.no_grad():
        x.mul_(2)
    return x, x._version


@case(74)
def in_place_on_a_result(torch):
    x = leaf(torch, 3, 4)
    y = x * 2
    y.mul_(5)
    y += 1
    y.sum().backward()
    return y, x.grad, y._version


@case(82)
def in_place_with_a_tensor_that_requires_grad(torch):
    x = leaf(torch, 3, 4)
    y = torch.ones(2, dtype=torch.float64)
    y.mul_(x)
    y.sum().backward()
    return y, x.grad


@case(80)
def in_place_that_saves_its_own_input(torch):
    x = leaf(torch, 3, 4)
    y = x * 2
    y.pow_(3)
    y.sum().backward()
    return y, x.grad


@case(80)
def in_place_that_saves_its_result(torch):
    x = leaf(torch, 3, 4)
    y = x * 2
    y.exp_()
    y.sum().backward()
    return x.grad


@case(76)
def in_place_after_its_result_was_saved(torch):
    x = leaf(torch, 3, 4)
    y = (x * 2).exp_()
    y.add_(1)
    y.sum().backward()


@case(76)
def in_place_on_a_saved_tensor(torch):
    x = leaf(torch, 3, 4)
    y = x * 2
    z = y * y
    y.add_(1)
    z.sum().backward()


@case(80)
def in_place_product_with_itself(torch):
    y = leaf(torch, 3, 4) * 2
    y.mul_(y)
    y.sum().backward()


@case(78)
def in_place_on_an_unsaved_tensor(torch):
    x = leaf(torch, 3, 4)
    y = x + 1
    z = y + 1
    y.mul_(2)
    (z + y).sum().backward()
    return x.grad


@case(84)
def in_place_that_broadcasts_up(torch):
    torch.ones(2).add_(torch.ones(3, 2))


@case(84)
def in_place_that_would_lose_the_fraction(torch):
    torch.ones(2, dtype=torch.int64).add_(1.5)


@case(84)
def in_place_on_an_expanded_tensor(torch):
    torch.ones(2).expand(3, 2).add_(1)


@case(83, 101)
def zero_fill_and_copy_in_place(torch):
    x = leaf(torch, 3, 4)
    a, b, c = x * 2, x * 2, x * 2
    a.zero_()
    b.fill_(7)
    c.copy_(x)
    (a + b + c).sum().backward()
    return a, b, c, x.grad


@case(86)
def hooks_of_a_tensor_that_was_detached_in_place_serve_its_old_place_too(torch):
    x, seen = leaf(torch, 1, 2), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    v = y[:1]
    y.detach_()
    (v * 3).backward()
    y.requires_grad_()
    (y * 5).sum().backward()
    return seen, x.grad, y.grad


@case(86)
def a_saved_tensor_that_was_detached_in_place(torch):
    x = leaf(torch, 1, 2)
    y = x * 1
    z = y * y
    y.detach_()
    u = y * leaf(torch, 3, 4)
    u.sum().backward()
    try:
        z.sum().backward()
    except RuntimeError as raised:
        return str(raised)


@case(81)
def a_leaf_that_was_written_after_it_was_used(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    y = x * 2
    x.requires_grad_(False)
    x.mul_(w)
    try:
        y.sum().backward()
    except RuntimeError as raised:
        return str(raised), w.grad


@case(78)
def numbers_and_copies_are_not_watched(torch):
    x, i, a = leaf(torch, 1, 2, 3), torch.tensor([0, 1]), torch.tensor(2.0)
    y, z = torch.take_along_dim(x, i, 0), torch.add(x, x, alpha=a)
    i[0] = 2
    a.mul_(2)
    (y.sum() + z.sum()).backward()
    return x.grad


@case(88)
def what_a_subscript_can_be_given(torch):
    import numpy as np

    found = []
    for key, value in (
        (0, [1, 2, 3]),
        (0, np.ones(3)),
        (0, 1j),
        (0, True),
        (slice(None), torch.ones(1, 1, 2, 3)),
        (0, torch.ones(2)),
        (torch.tensor([0, 1]), torch.ones(1, 1, 2, 3)),
        (torch.tensor([0, 1]), torch.ones(4)),
        (0, None),
        (0, "a"),
        ((0, 0), torch.ones(1, 1)),
        ((0, 0), torch.ones(2)),
        (False, 2),
        (torch.tensor(False), 3),
        ((slice(None), [0, 2]), 7),
        (0, torch.ones(3, dtype=torch.int64)),
        ((..., None), torch.ones(2, 3, 1)),
        (torch.tensor([0]), torch.ones(3, dtype=torch.int64)),
    ):
        y = torch.zeros(2, 3)
        found.append((error(y.__setitem__, key, value), y, y._version))
    return found


@case(88)
def how_an_assigned_tensor_is_stretched(torch):
    found = []
    for shape in ((1,), (1, 1), (1, 3), (3,), (2, 1), (1, 2, 3)):
        for key in (slice(0, 2), torch.tensor([0, 1])):
            y, v = torch.ones(2, 3, requires_grad=True) * 1, torch.ones(shape, requires_grad=True)
            y[key] = v
            node, names = y.grad_fn.next_functions[1][0], []
            while node is not None:
                names.append(node.name())
                node = node.next_functions[0][0] if node.next_functions else None
            y.sum().backward()
            found.append((names, v.grad))
    return found


@case(73)
def where_versions_start(torch):
    x = leaf(torch, 1, 2)
    y = x * 1
    y.add_(1)
    return x._version, y._version, y.clone()._version, y[:1]._version, y.detach()._version, y.data._version


test_as_torch = as_torch(__name__)
