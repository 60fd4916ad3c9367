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


def _place(x):
    return tuple(x.shape), tuple(x.stride()), x.storage_offset(), x._version


@case(73)
def version_counters_are_shared_or_not(torch):
    x = torch.ones(3)
    others = x[1:], x.detach(), x.clone(), x.data, x.view(3)
    x.add_(1)
    others[3].add_(1)
    return x._version, [t._version for t in others], x


@case(74)
def what_counts_as_a_write(torch):
    found = []
    for write in (
        lambda x: x.detach_(),
        lambda x: x.requires_grad_(),
        lambda x: x.data.zero_(),
        lambda x: x.resize_(3),
        lambda x: x.resize_(2),
        lambda x: x.zero_(),
        lambda x: x.copy_(x),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.__setitem__(torch.tensor([0, 1]), 1.0),
        lambda x: x.numpy().fill(3),
        lambda x: x.unsqueeze_(0),
        lambda x: x.set_(torch.ones(2)),
        lambda x: x[:0].zero_(),
        lambda x: setattr(x, "data", torch.ones(2)),
    ):
        x = torch.ones(3)
        write(x)
        found.append((x._version, x))
    return found


@case(79)
def writes_that_go_unnoticed(torch):
    found = []
    for write in (lambda s: s.data.mul_(2), lambda s: s.numpy().fill(5), lambda s: s.detach().mul_(2)):
        x, s = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64)
        y = x * s
        write(s)
        found.append((error(y.sum().backward), x.grad))
    return found


@case(80)
def operations_that_save_their_own_input(torch):
    found = []
    for write in (
        lambda y, x: y.sin_(),
        lambda y, x: y.pow_(2),
        lambda y, x: y.mul_(x),
        lambda y, x: y.exp_(),
        lambda y, x: y.mul_(y),
        lambda y, x: y.sigmoid_().mul_(2),
    ):
        x = leaf(torch, 1, 2)
        y = x * 3
        write(y, x)
        found.append((y, error(y.sum().backward), x.grad))
    return found


@case(82)
def a_target_without_grad_gets_history(torch):
    x, t = leaf(torch, 1, 2), torch.zeros(2, dtype=torch.float64)
    t += x
    t.mul_(x)
    return t, t._version, torch.autograd.grad(t.sum(), x)


@case(83)
def writes_that_forget_the_old_value(torch):
    found = []
    for write in (
        lambda y, x, v: y.zero_(),
        lambda y, x, v: y.fill_(2),
        lambda y, x, v: y.fill_(v),
        lambda y, x, v: y.lt_(1.5),
        lambda y, x, v: y.floor_(),
        lambda y, x, v: y.lt_(x),
    ):
        x, v = leaf(torch, 1, 2), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
        y = x * 1
        write(y, x, v)
        found.append((y, torch.autograd.grad(y.sum(), [x, v], allow_unused=True)))
    return found


@case(88)
def chained_setitem(torch):
    x = leaf(torch, 1, 2, 3)
    y = x * 2
    y[0] = 0
    y[1] = y[0] + 5
    y[2] = y[2] * x[0]
    return y, y._version, torch.autograd.grad(y.sum(), x)


@case(88)
def a_view_that_changes_its_shape(torch):
    x = leaf(torch, 1, 2, 3, 4, 5, 6)
    base = (x * 1).view(2, 3)
    view = base[1:]
    view.t_()
    weights = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    before = torch.autograd.grad((view * view * weights).sum(), x, retain_graph=True)
    base.mul_(2)
    after = torch.autograd.grad((view * weights).sum(), x, retain_graph=True)
    view.mul_(3)
    return view, base, before, after, torch.autograd.grad((base * base).sum(), x)


@case(88)
def a_change_of_shape_is_noticed_by_what_saved_the_tensor(torch):
    x, s = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64)
    y = x * s
    s.unsqueeze_(0)
    return error(y.sum().backward), s


@case(61, 88)
def a_change_of_shape_under_no_grad_keeps_history(torch):
    x = leaf(torch, 1, 2)
    y = x * 1
    with torch.no_grad():
        y.unsqueeze_(0)
    z = (x * 1).view(1, 2)
    with torch.no_grad():
        z.t_()
    return y, y._version, torch.autograd.grad(y.sum(), x), z


@case(81, 88)
def leaves_do_not_change_their_shape(torch):
    x = leaf(torch, 1, 2)
    found = [error(x.unsqueeze_, 0), error(x[:1].t_), error(x.squeeze_), error(x.as_strided_, (1,), (1,))]
    with torch.no_grad():
        return found, x.unsqueeze_(0), x._version


@case(14, 74)
def resize(torch):
    x = torch.arange(6.0)
    found = [(_place(x.resize_(size)), x.tolist()) for size in ((6,), (2, 3), (2,), (3, 2), (2, 2))]
    x.resize_(8)
    found.append((_place(x), x[:6].tolist()))
    base = torch.arange(6.0)
    part = base[2:4]
    part.resize_(3)
    part.add_(10)
    flipped = torch.arange(6.0).reshape(2, 3).t()
    same = _place(flipped.resize_(3, 2))
    return found, base, _place(part), part._is_view(), same, _place(flipped.resize_(2, 3)), flipped


@case(14)
def resize_is_refused(torch):
    x = leaf(torch, 1, 2, 3)
    found = [error(x.resize_, 3), error((x * 1).resize_, 2), error(x.resize_as_, torch.ones(3))]
    with torch.no_grad():
        found.append(error(x.resize_, 2))
    return found, error(torch.ones(3).resize_, -1), error(torch.ones(3).resize_)


@case(14, 74)
def resize_as(torch):
    x = torch.arange(6.0)
    return x.resize_as_(torch.ones(2, 2)), x._version, x.resize_as_(torch.ones(2, 2))._version


@case(74)
def a_resized_tensor_is_noticed_by_what_saved_it(torch):
    found = []
    for size in (2, 3):
        x, s = leaf(torch, 1, 2, 3), torch.ones(3, dtype=torch.float64)
        y = x * s
        s.resize_(size)
        found.append(error(y.sum().backward))
    return found


@case(14)
def set_to_other_memory(torch):
    a, s = torch.arange(3.0), torch.arange(10.0, 14.0).reshape(2, 2)[1]
    a.set_(s)
    found = [_place(a), a._is_view(), a.is_set_to(s), s._version]
    a.add_(1)
    b = torch.arange(4.0)
    v = b[1:]
    v.set_(torch.ones(2))
    w = torch.ones(2).set_(torch.arange(6.0), 1, (2,), (2,))
    return found, a, s, v, b, v._base is b, w, a.set_(), a._version, error(w.set_, torch.ones(2, dtype=torch.float64))


@case(14)
def set_and_history(torch):
    x = leaf(torch, 1, 2)
    y = x * 1
    y.set_(torch.ones(2, dtype=torch.float64))
    z = torch.ones(2, dtype=torch.float64)
    z.set_(x)
    found = [error(x.set_, torch.ones(2, dtype=torch.float64)), error(y.sum().backward), error(z.sum().backward)]
    with torch.no_grad():
        x.set_(torch.zeros(3, dtype=torch.float64))
    return found, y, x


@case(14, 73)
def assigned_data(torch):
    x, w = leaf(torch, 1, 2, 3), torch.zeros(2)
    x.data = w
    w.add_(1)
    found = [x, x._version, w._version, x.data_ptr() == w.data_ptr()]
    written = torch.ones(3)
    written.add_(1)
    written.data = torch.zeros(2)
    base = torch.ones(4)
    view = base[1:]
    base.data = torch.zeros(2)
    view.add_(1)
    return found, written._version, view, base, view._base is base, base._version


@case(14)
def assigned_data_and_history(torch):
    y = leaf(torch, 1, 2, 3) * 2
    y.data = torch.zeros(3, dtype=torch.float64)
    found = [y]
    for function in (lambda x: x * x, lambda x: x * 2):
        x = leaf(torch, 1, 2, 3)
        z = function(x)
        x.data = torch.full((3,), 5, dtype=torch.float64)
        z.sum().backward()
        found.append(x.grad)
    x.data = torch.ones(2, dtype=torch.float64)  # its gradient is of the old size
    found.append(error((x * 2).sum().backward)[0])
    x = leaf(torch, 1, 2)
    x.data = leaf(torch, 3, 4)
    return found, x, error(setattr, x, "data", 3), error(setattr, x, "data", torch.ones(2, dtype=torch.int64))


@case(84)
def targets_that_cannot_hold_the_result(torch):
    whole, f32, f64 = torch.ones(2, dtype=torch.int64), torch.ones(2), leaf(torch, 1, 2)
    found = [error(whole.add_, torch.ones(2)), error(f32.add_, torch.ones(3, 2)), error(whole.mul_, 2.5)]
    f32.add_(f64)
    stretched = torch.ones(1).expand(3)
    found += [error(stretched.add_, 1), error(stretched.copy_, torch.ones(3))]
    return found, f32, torch.autograd.grad(f32.sum(), f64), stretched.fill_(4), stretched.zero_()


@case(84)
def indexed_writes_keep_their_operands_apart_from_the_target(torch):
    i = torch.tensor([0, 1, 2])
    writes = (
        lambda b: b.scatter_(0, i, b),
        lambda b: b.scatter_add_(0, i, b),
        lambda b: b.index_add_(0, i, b),
        lambda b: b.index_copy_(0, i, b[:]),
        lambda b: b.index_put_((i,), b),
        lambda b: b.scatter_(0, b, 1),
        lambda b: b.index_fill_(0, b, 1),
        lambda b: b.index_put_((b,), torch.tensor(1)),
    )
    return [error(write, torch.arange(3)) for write in writes]


@case(84)
def numbers_to_fill_with_may_lie_in_the_target(torch):
    found = []
    for write in (
        lambda b: b.fill_(b[1]),
        lambda b: b.masked_fill_(b > 0, b[1]),
        lambda b: b.index_fill_(0, torch.tensor([0]), b[2]),
    ):
        b = torch.arange(3.0)
        found.append((error(write, b), b))
    return found


@case(84)
def a_number_assigned_through_a_mask_takes_the_dtype_of_the_target(torch):
    x, w = leaf(torch, 1, 2, 3), torch.ones((), requires_grad=True)
    y = x * 1
    y[y > 1.5] = w * 3
    y.sum().backward()
    whole = torch.arange(3)
    whole[whole > 0] = torch.tensor([2.5])
    return y, x.grad, w.grad, whole, error(whole.__setitem__, whole > 0, torch.tensor(1j))


test_as_torch = as_torch(__name__)
