"""Tensors from tensors, and conversions: which are the tensor itself, a view, or a copy."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, leaf


@case(8)
def a_tensor_as_data_is_copied_without_its_graph(torch):
    x = leaf(torch, 1, 2)
    y = torch.tensor(x * 2)
    z = torch.ones(3).new_tensor(x)
    x.data.add_(1)
    return y, z


@case(8)
def a_list_of_numbers_that_require_grad(torch):
    x = leaf(torch, 1, 2)
    return torch.tensor([x[0], x[1], 3.0]), torch.tensor([[x[0]], [x.sum()]])


NOTHING_TO_DO = (
    lambda torch, x: torch.as_tensor(x),
    lambda torch, x: torch.asarray(x, requires_grad=True),
    lambda torch, x: x.to(),
    lambda torch, x: x.to(torch.float64),
    lambda torch, x: x.to("cpu"),
    lambda torch, x: x.to("cpu", torch.float64),
    lambda torch, x: x.to(None, None),
    lambda torch, x: x.to(torch.zeros(1, dtype=torch.float64)),
    lambda torch, x: x.to(dtype=torch.float64, non_blocking=True),
    lambda torch, x: x.contiguous(),
    lambda torch, x: x.cpu(),
    lambda torch, x: x.double(),
    lambda torch, x: x.type(torch.float64),
    lambda torch, x: x.type("torch.DoubleTensor"),
    lambda torch, x: x.type_as(torch.zeros(1, dtype=torch.float64)),
    lambda torch, x: x.real,
    lambda torch, x: torch.real(x),
    lambda torch, x: x.conj(),
    lambda torch, x: torch.conj(x),
    lambda torch, x: x.resolve_conj(),
    lambda torch, x: x.resolve_neg(),
    lambda torch, x: x.positive(),
    lambda torch, x: +x,
    lambda torch, x: x.flatten(),
    lambda torch, x: x.ravel(),
    lambda torch, x: x.requires_grad_(),
)
NEW_VIEWS = (
    lambda torch, x: x.reshape(2),
    lambda torch, x: x.view(2),
    lambda torch, x: x.expand(2),
    lambda torch, x: x.squeeze(),
    lambda torch, x: x.T,
    lambda torch, x: x.mT if x.ndim > 1 else x[:],
    lambda torch, x: x.view_as(x),
    lambda torch, x: x.narrow(0, 0, 2),
    lambda torch, x: x.to(copy=True),
    lambda torch, x: x.to(torch.float64, copy=True),
    lambda torch, x: x.clone(),
)


@case(9)
def what_changes_nothing_is_the_tensor_itself(torch):
    x = leaf(torch, 1, 2)
    return [convert(torch, x) is x for convert in NOTHING_TO_DO]


@case(9)
def the_same_holds_of_computed_tensors(torch):
    y = leaf(torch, 1, 2) * 2
    return [convert(torch, y) is y for convert in NOTHING_TO_DO]


@case(9)
def what_is_new_although_the_shape_is_the_same(torch):
    x = leaf(torch, 1, 2)
    return [(convert(torch, x) is x, convert(torch, x)) for convert in NEW_VIEWS]


test_as_torch = as_torch(__name__)
