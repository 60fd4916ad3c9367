"""Which tensors can require grad: the wordings of the refusals."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, error


@case(3)
def integers_at_construction(torch):
    makers = (
        lambda: torch.ones(2, dtype=torch.int64, requires_grad=True),
        lambda: torch.tensor([1], requires_grad=True),
        lambda: torch.zeros(2, dtype=torch.bool, requires_grad=True),
        lambda: torch.arange(2, requires_grad=True),
        lambda: torch.eye(2, dtype=torch.int32, requires_grad=True),
        lambda: torch.full((2,), 1, requires_grad=True),
        lambda: torch.randint(2, (2,), requires_grad=True),
        lambda: torch.randperm(2, requires_grad=True),
        lambda: torch.zeros_like(torch.ones(2, dtype=torch.int64), requires_grad=True),
        lambda: torch.ones(2).new_ones(2, dtype=torch.int64, requires_grad=True),
    )
    return [error(make) for make in makers]


@case(3)
def integers_by_attribute_and_by_method(torch):
    x = torch.ones(2, dtype=torch.int64)
    return error(setattr, x, "requires_grad", True), error(x.requires_grad_), x.requires_grad_(False)


@case(3)
def flags_that_are_no_bools(torch):
    x = torch.ones(2)
    return [error(x.requires_grad_, value) for value in (1, None, "a")], error(torch.ones, 2, requires_grad=1)


test_as_torch = as_torch(__name__)
