"""Writes whose operands share memory with the target, and writes of one number: what is refused, and what is cast."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, error


def _outcomes(torch, calls):
    """What each call raises, and what it leaves, for new tensors: a matrix, integers, a mask, a stack of matrices."""
    found = []
    for call in calls:
        x = torch.arange(4, dtype=torch.float64).view(2, 2)
        i, m = torch.tensor([0, 1, 1, 0]), torch.tensor([True, False])
        stack = torch.arange(8, dtype=torch.float64).view(2, 2, 2)
        raised = error(call, x, i, m, stack)
        found.append((raised, x, i, m, stack) if raised == "no error" else raised)
    return found


@case()
def operands_that_may_not_be_the_target(torch):
    one = torch.ones(4, dtype=torch.int64)
    return _outcomes(
        torch,
        (
            lambda x, i, m, s: x.index_add_(0, i[:2], x),
            lambda x, i, m, s: x.index_copy_(0, i[:2], x),
            lambda x, i, m, s: x.scatter_(0, i.view(2, 2), x),
            lambda x, i, m, s: x.scatter_add_(0, i.view(2, 2), x),
            lambda x, i, m, s: x.scatter_(0, i.view(2, 2), x.clone()),
            lambda x, i, m, s: x.index_put_((i[:2],), x),
            lambda x, i, m, s: x.index_put_((i[:2],), x, accumulate=True),
            lambda x, i, m, s: x.index_put_((i[:2],), x[0]),
            lambda x, i, m, s: x.__setitem__(i[:2], x),
            lambda x, i, m, s: i.index_put_((i,), one),
            lambda x, i, m, s: i.__setitem__(i, 5),
            lambda x, i, m, s: i.index_add_(0, i, one),
            lambda x, i, m, s: i.scatter_add_(0, i, one),
            lambda x, i, m, s: i.scatter_(0, i, 1),
            lambda x, i, m, s: i.index_fill_(0, i, 1),
            lambda x, i, m, s: i.index_fill_(0, i[:2], 1),
            lambda x, i, m, s: m.__setitem__(m, m),
            lambda x, i, m, s: x.addr_(x[0], x[0]),
        ),
    )


@case()
def numbers_are_read_before_the_write(torch):
    return _outcomes(
        torch,
        (
            lambda x, i, m, s: x.fill_(x[1, 1]),
            lambda x, i, m, s: x.masked_fill_(x > 1, x[0, 0]),
            lambda x, i, m, s: x.masked_fill_(value=x[0, 0], mask=x > 1),
            lambda x, i, m, s: x.index_fill_(0, i[:1], x[1, 1]),
            lambda x, i, m, s: x.index_fill_(value=x[1, 1], index=i[:1], dim=0),
            lambda x, i, m, s: x.index_put_((x > 1,), x[0, 1]),
            lambda x, i, m, s: x.__setitem__(x > 1, x[0, 1]),
            lambda x, i, m, s: x.__setitem__(x > 1, x[:1, 1]),
            lambda x, i, m, s: m.__setitem__(m, False),
            lambda x, i, m, s: m.__setitem__(m, m[1]),
            lambda x, i, m, s: m.masked_fill_(m, False),
            lambda x, i, m, s: x.mul_(x[0, 1]),
            lambda x, i, m, s: x.clamp_(x[0, 1]),
            lambda x, i, m, s: x.copy_(x[0, 1]),
        ),
    )


@case()
def products_may_share_memory(torch):
    """What torch reads before it writes, at that; what it multiplies after it has written is not to be compared."""
    return _outcomes(
        torch,
        (
            lambda x, i, m, s: x[0].addmv_(x, x[1]),
            lambda x, i, m, s: s[0].addmm_(s[1], s[1]),
            lambda x, i, m, s: s[0].addbmm_(s[1:], s[1:]),
        ),
    )


@case(88)
def a_number_where_a_mask_is_true_is_cast(torch):
    values = (
        torch.tensor(2), torch.tensor([[3]]), torch.tensor(2.75), torch.tensor(1 + 0j), torch.tensor(1 + 1j),
        torch.tensor(1e300, dtype=torch.float64), torch.tensor(300), torch.tensor(-1), torch.tensor([2.0, 3.0]),
    )
    found = []
    for dtype in (torch.float64, torch.float32, torch.int32, torch.uint8, torch.complex64, torch.bool):
        for value in values:
            for key in ((slice(None), torch.tensor([True, False])), torch.tensor([[True, False], [False, True]])):
                x = torch.zeros(2, 2, dtype=dtype)
                found.append((error(x.__setitem__, key, value), x))
                if isinstance(key, torch.Tensor):
                    x = torch.zeros(2, 2, dtype=dtype)
                    found.append((error(x.index_put_, (key,), value), x))
                    found.append(error(x.index_put_, (key,), value, accumulate=True))
            x = torch.zeros(2, 2, dtype=dtype)
            found.append((error(x.__setitem__, torch.tensor([0]), value), x))
    return found


@case(88)
def gradients_of_a_number_where_a_mask_is_true(torch):
    found = []
    for value in (
        torch.tensor(2.0, requires_grad=True),
        torch.tensor([[3.0]], dtype=torch.float64, requires_grad=True),
        torch.tensor(2.0 + 0j, requires_grad=True),
    ):
        x = torch.arange(4, dtype=torch.float64).view(2, 2).requires_grad_()
        y = x * 1
        y[x > 1] = value
        (y * y).sum().backward()
        found.append((y, x.grad, value.grad))
    return found


@case()
def numbers_that_do_not_fit(torch):
    found = []
    for dtype in (torch.float16, torch.float32, torch.int32, torch.int64, torch.uint8, torch.complex64):
        for value in (1e300, float("inf"), 70000, 300, -1, -300, -1.5, 255.9, 2 + 0j, 1 + 1j):
            x, mask, index = torch.ones(2, dtype=dtype), torch.tensor([True, False]), torch.tensor([0])
            number = torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else torch.tensor(value)
            for v in (value, number):
                found.extend([error(x.masked_fill_, mask, v), error(x.index_fill_, 0, index, v), x + 0])
    return found


@case()
def shapes_are_looked_at_before_dtypes(torch):
    x = torch.zeros(2, 2, dtype=torch.float64)
    three, index = torch.tensor([1, 2, 3]), torch.tensor([0])
    return [
        error(x.index_put_, (index,), three),
        error(x.__setitem__, index, three),
        error(x.__setitem__, x == 0, three),
        error(x.index_put_, (index, index.expand(3), index.expand(2)), three),
        error(x.index_put_, (torch.tensor([0, 1]), three), index),
        error(x.bitwise_and_, torch.ones(3, dtype=torch.float64)),
    ]


@case()
def expanded_targets_warn(torch):
    x = torch.zeros(2, 1).expand(2, 3)
    x[x == 0] = 1.0
    x.index_put_((x == 1,), torch.tensor(2))
    x[torch.tensor([0])] = torch.tensor(3.0)
    x.masked_fill_(x == 3, 4.0)
    x.index_fill_(0, torch.tensor([1]), 5.0)
    return x, x._version


@case(88)
def an_expanded_tensor_may_be_copied_onto_itself(torch):
    found = []
    for call in (
        lambda e: e.copy_(e[:]),
        lambda e: e.copy_(e.detach()),
        lambda e: e.copy_(e * 1),
        lambda e: e[0].copy_(e[1]),
        lambda e: e[0, 0].copy_(e[0, 1]),
        lambda e: e.__setitem__(None, e),
        lambda e: e.__setitem__(0, e[1]),
        lambda e: e.__setitem__(slice(None), e[0]),
        lambda e: e.__setitem__((slice(None), slice(0, 1)), e[:, :1]),
        lambda e: e.__setitem__((slice(None), slice(0, 1)), e[:, 1:]),
    ):
        e = torch.arange(6, dtype=torch.float64).view(2, 3).expand(2, 2, 3)
        found.append((error(call, e), e, e._version))
    return found


@case(88)
def indexed_writes_of_a_tensor_into_itself(torch):
    """Refused for the very tensor even where memory with holes is not looked at."""
    found = []
    for same in (True, False):
        for write in (
            lambda x, y, i: x.index_copy_(0, i, y),
            lambda x, y, i: x.index_add_(0, i, y),
            lambda x, y, i: x.scatter_(0, i, y),
            lambda x, y, i: x.scatter_add_(0, i, y),
            lambda x, y, i: x.index_put_((i,), y),
            lambda x, y, i: x.__setitem__(i, y),
        ):
            for x in (torch.arange(8.0)[::2], torch.arange(4.0), torch.ones(0)):
                i = torch.arange(len(x))
                found.append((error(write, x, x if same else x.detach(), i), x))
    return found


@case(85)
def out_into_a_saved_tensor(torch):
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        a = torch.tensor([1.0, 2.0], requires_grad=True)
        b = torch.tensor([3.0, 4.0])
        y = a * b
        with torch.no_grad():
            torch.add(b, 10, out=b)
            torch.sub(b, 1, out=b)
        y.sum().backward()
        return a.grad, b


test_as_torch = as_torch(__name__)
