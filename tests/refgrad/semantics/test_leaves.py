"""Leaves and computed tensors: flags, grad_fn, what leaves the graph."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


@case(1)
def results_are_leaves_without_inputs_that_require_grad(torch):
    y = torch.ones(2) * 3
    return y, y.output_nr


@case(2, 13)
def results_require_grad(torch):
    x = leaf(torch, 1, 2)
    y = x * 3
    return y, y.output_nr, [n and n.name() for n, _ in y.grad_fn.next_functions]


@case(13)
def grad_fn_keeps_its_identity(torch):
    x = leaf(torch, 1, 2)
    y, z = x * 3, x * 4
    same = y.grad_fn is y.grad_fn, y.grad_fn.next_functions[0][0] is z.grad_fn.next_functions[0][0]
    return same


@case(3)
def integers_cannot_require_grad_at_construction(torch):
    return torch.ones(2, dtype=torch.int64, requires_grad=True)


@case(3)
def integers_cannot_require_grad_by_attribute(torch):
    torch.ones(2, dtype=torch.int64).requires_grad = True


@case(3)
def integers_cannot_require_grad_by_method(torch):
    torch.ones(2, dtype=torch.int64).requires_grad_()


@case(3)
def integers_may_be_told_not_to_require_grad(torch):
    return torch.ones(2, dtype=torch.int64).requires_grad_(False)


@case(4)
def non_leaf_cannot_stop_requiring_grad(torch):
    y = leaf(torch, 1) * 2
    y.requires_grad = False


@case(4)
def non_leaf_cannot_be_told_to_require_grad_by_attribute(torch):
    y = leaf(torch, 1) * 2
    y.requires_grad = True


@case(4)
def non_leaf_requires_grad_method_is_a_no_op(torch):
    return (leaf(torch, 1) * 2).requires_grad_()


@case(4)
def requires_grad_must_be_a_bool(torch):
    torch.ones(2).requires_grad = 1


@case(6)
def grad_of_non_leaf_warns(torch):
    y = leaf(torch, 1) * 2
    return y.grad


@case(7)
def freezing_after_forward_stops_accumulation(torch):
    x = leaf(torch, 1, 2)
    y = (x * 3).sum()
    x.requires_grad_(False)
    y.backward()
    return x.grad


@case(14)
def assigned_data(torch):
    x = leaf(torch, 3, 4)
    x.data = torch.ones(3, dtype=torch.float64)
    return x


@case(14)
def assigned_integer_data(torch):
    leaf(torch, 3, 4).data = torch.ones(3, dtype=torch.int64)


@case(12)
def a_view_made_before_its_base_requires_grad(torch):
    base = torch.ones(2, 2, dtype=torch.float64)
    view = base[0]
    before = view.requires_grad
    base.requires_grad_()
    after = view.requires_grad, view.is_leaf, view.grad_fn
    view.mul(2).sum().backward()
    own = base[1].detach().requires_grad_()
    base.requires_grad_(False)
    return before, after, base.grad, view.grad, view.requires_grad, own.requires_grad


@case(12, 97)
def a_view_made_without_recording_takes_no_gradient(torch):
    base = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        view = base[0]
    product = view * 2
    product.sum().backward()
    return view, product, view.grad, base.grad


@case(192)
def numpy_scalars_are_numbers(torch):
    import numpy as np

    x = torch.ones(2)
    return [np.float64(2) - x, x - np.float64(2), np.float64(2) * x, x / np.float64(2), x ** np.float64(2.5)]


@case(10)
def item_and_numbers(torch):
    x = leaf(torch, 3)
    return x.item(), bool(x), int(x.detach()), f"{x.detach().sum():.2f}"


@case(10)
def item_of_many(torch):
    leaf(torch, 3, 4).item()


@case(10)
def truth_of_many(torch):
    bool(leaf(torch, 3, 4))


@case(10)
def numpy_of_a_tensor_with_grad(torch):
    leaf(torch, 3, 4).numpy()


@case(10)
def deepcopy_of_a_non_leaf(torch):
    import copy

    copy.deepcopy(leaf(torch, 3) * 2)


@case(10)
def deepcopy_of_a_leaf(torch):
    import copy

    x = leaf(torch, 3)
    x.sum().backward()
    y = copy.deepcopy(x)
    return y, y.grad, y is x


@case(4)
def deleting_requires_grad(torch):
    x = leaf(torch, 1)
    return error(x.__delattr__, "requires_grad"), error(setattr, x, "requires_grad", 1), x.requires_grad


@case(5)
def attributes_that_cannot_be_set(torch):
    x = leaf(torch, 1)
    return [error(setattr, x, name, None) for name in ("is_leaf", "grad_fn", "output_nr", "_version", "_base")], error(
        x.__delattr__, "data"
    )


@case(6)
def grad_of_a_non_leaf_does_not_warn_after_retain_grad(torch):
    y = leaf(torch, 1) * 2
    y.retain_grad()
    return y.grad


@case(9)
def conversions_that_do_nothing(torch):
    x = leaf(torch, 1, 2)
    same = [f(x) is x for f in (
        lambda x: x.to(torch.float64),
        lambda x: x.contiguous(),
        lambda x: x.cpu(),
        lambda x: x.double(),
        lambda x: x.type_as(x),
        lambda x: x.real,
        lambda x: x.conj(),
        lambda x: +x,
        lambda x: x.flatten(),
        torch.as_tensor,
        torch.positive,
    )]
    new = [f(x) for f in (
        lambda x: x.reshape(2),
        lambda x: x.view(2),
        lambda x: x.expand(2),
        lambda x: x.squeeze(),
        lambda x: x.view_as(x),
    )]
    return same, [(v is x, v.grad_fn.name(), v._is_view()) for v in new]


test_as_torch = as_torch(__name__)
