"""Views: which tensors are, what writes through and beneath them do to the graph, and which are refused."""

from __future__ import annotations

from typing import Any

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


def name(t: Any) -> Any:
    """The name of grad_fn, or the error that asking for it raises."""
    try:
        return t.grad_fn and t.grad_fn.name()
    except RuntimeError as raised:
        return str(raised)[:90]


def edges(t: Any) -> list[Any]:
    return [node and node.name() for node, _ in t.grad_fn.next_functions]


@case(89)
def the_base_is_the_root_of_a_chain(torch):
    x = leaf(torch, 1, 2, 3)
    v = x[0:2]
    w = v[0]
    return v._base is x, w._base is x, v._is_view(), x._is_view(), x._base, (x * 1)._is_view()


@case(90)
def a_write_into_a_view_is_a_copy_slices_of_its_base(torch):
    x = leaf(torch, 1, 2, 3)
    y = x * 2
    v, w = y[:2], y[1:]
    v.mul_(3)
    seen = name(y), name(v), name(w), edges(y), edges(v), v._version, v.grad_fn is v.grad_fn, v.output_nr
    (y * w.sum()).sum().backward()
    return seen, y, v, w, x.grad


@case(91)
def views_follow_a_write_into_the_base(torch):
    x = leaf(torch, 1, 2, 3)
    y = x * 2
    v = y[:2]
    before = v.grad_fn
    y.mul_(3)
    v.sum().backward()
    return name(v), v.grad_fn is before, x.grad


@case(91)
def siblings_follow_a_write(torch):
    x = leaf(torch, 1, 2, 3)
    y = x * 2
    v, w = y[:2], y[1:]
    v.exp_()
    w.sum().backward()
    return w, x.grad


@case(91)
def views_follow_what_is_written_without_recording(torch):
    x = leaf(torch, 1, 2, 3)
    y = x * 2
    v = y[:2]
    with torch.no_grad():
        v.mul_(3)
    w = y[1:]
    y.detach().mul_(2)
    u = y[:1]
    u.data.mul_(2)
    return name(y), name(v), name(w), name(u), y._version


@case(92)
def a_write_makes_the_base_require_grad(torch):
    x, b = leaf(torch, 5), torch.zeros(3, dtype=torch.float64)
    v = b[1:]
    b[0] = x[0]
    b[1] = x[0] * 2
    seen = b.requires_grad, name(b), b.is_leaf, v.requires_grad, name(v), v.is_leaf
    (v * 3).sum().backward()
    return seen, x.grad


@case(92)
def copying_into_the_base_makes_an_earlier_view_differentiable(torch):
    x, b = leaf(torch, 5, 6), torch.zeros(2, dtype=torch.float64)
    v = b[:1]
    b.copy_(x * 2)
    v.sum().backward()
    return name(b), name(v), x.grad


@case(12)
def a_view_inherits_the_flag_of_its_base(torch):
    x = torch.ones(3, dtype=torch.float64)
    v = x[0]
    x.requires_grad_()
    seen = v.requires_grad, name(v), v.is_leaf
    y = x * 1
    with torch.no_grad():
        w = x[1]
    seen += w.requires_grad, name(w), w.is_leaf
    x.requires_grad_(False)
    return seen, v.requires_grad, w.requires_grad, y.requires_grad


@case(12)
def a_view_of_a_plain_base_may_be_a_leaf_until_the_base_is_written(torch):
    b, x = torch.ones(3, dtype=torch.float64), leaf(torch, 1, 2, 3)
    v = b[:2]
    v.requires_grad_()
    (v * 2).sum().backward()
    seen = v.grad, b.requires_grad, b.grad, v.is_leaf
    b.mul_(x)
    return seen, v.is_leaf, name(v), b.is_leaf


@case(93)
def one_of_several_views_cannot_be_written(torch):
    found = []
    for make in (
        lambda y: y.unbind()[0],
        lambda y: y.chunk(2)[0],
        lambda y: y.split(2)[1],
        lambda y: y.tensor_split(2)[1],
        lambda y: next(iter(y)),
        lambda y: y.split(2)[0][0:1],
    ):
        v = make(leaf(torch, 1, 2, 3) * 2)
        try:
            v.mul_(2)
        except RuntimeError as raised:
            found.append(str(raised))
    return found


@case(94)
def one_of_several_views_cannot_follow_its_base(torch):
    y = leaf(torch, 1, 2, 3) * 2
    a = y.unbind()[0]
    y.mul_(2)
    return name(a), a.requires_grad, error(lambda: a.is_leaf), error(lambda: a + 1)


@case(95)
def a_view_of_a_restricted_view_is_restricted(torch):
    y = leaf(torch, 1, 2, 3) * 2
    with torch.no_grad():
        v = y[0:2]
    return error(v[0:1].mul_, 2), error(y.split(2)[0].view(2).mul_, 2)


@case(96)
def several_views_of_a_plain_base_may_be_written_with_plain_operands(torch):
    b = torch.ones(4)
    a = b.split(2)[0]
    a.mul_(2)
    with torch.no_grad():
        c = (leaf(torch, 1, 2) * 1).split(1)[0]
    return b, error(a.mul_, torch.ones(2, requires_grad=True)), error(c.mul_, 2)


@case(96)
def unsafe_splits_are_no_views(torch):
    y = leaf(torch, 1, 2, 3, 4) * 2
    a, b = y.unsafe_chunk(2)
    a.mul_(2)
    return a._is_view(), name(a), a, b


@case(97)
def a_view_made_in_no_grad(torch):
    y = leaf(torch, 1, 2, 3) * 2
    with torch.no_grad():
        v, w = y[0:2], y[1:]
        w.mul_(2)
    try:
        v.mul_(2)
    except RuntimeError as raised:
        text = str(raised)
    return v.requires_grad, text, name(v), name(w)


@case(97)
def a_view_made_in_no_grad_does_not_follow_a_write_into_its_base(torch):
    y = leaf(torch, 1, 2, 3) * 2
    with torch.no_grad():
        v = y[0:2]
    before = v.is_leaf, name(v)
    y.mul_(2)
    return before, name(v)


@case(70)
def a_view_made_in_inference_mode(torch):
    y = leaf(torch, 1, 2, 3) * 2
    with torch.inference_mode():
        v = y[0:2]
    seen = v.is_inference(), v.requires_grad, v.is_leaf, v._is_view()
    try:
        v.mul_(2)
    except RuntimeError as raised:
        return seen, str(raised)


@case(81)
def leaves_and_views_of_leaves_cannot_be_written(torch):
    x = leaf(torch, 1, 2, 3)
    with torch.no_grad():
        w = x[:2]
    return (
        error(x.mul_, 2),
        error(x[0:2].mul_, 2),
        error(x.__setitem__, 0, 1.0),
        error(x.__setitem__, slice(None), 1.0),
        error(w.mul_, 2),
        x.detach().mul_(2),
        x,
    )


@case(88)
def writes_of_a_subscript_and_their_nodes(torch):
    x, names = leaf(torch, 1, 2, 3), []
    y = x * 2
    for key, value in (
        (0, 5),
        (slice(None), 3),
        (torch.tensor([0]), 4.0),
        (..., x),
        (None, 1),
        (y > 3, 2),
        (0, x[0]),
        ([0, 1], x[:2] * 1),
        (True, 1),
        (False, 7),
        (torch.tensor(1), 8),
    ):
        y[key] = value
        names.append((name(y), edges(y), y._version))
    y[0:2][torch.tensor([True, False])] = 1.0
    return names, name(y), y


@case(88)
def chained_writes_of_subscripts(torch):
    x = leaf(torch, 1, 2, 3)
    y = x * 2
    y[0] = 0
    y[1] = y[2] + 5
    y[0:2] *= 2
    y[2] -= y[1]
    y.sum().backward()
    return y, x.grad


@case(90)
def a_write_into_part_of_a_matrix_through_strided_views(torch):
    x = torch.arange(12, dtype=torch.float64).reshape(3, 4).requires_grad_()
    y = x * 2
    y.t()[1:3, ::2].mul_(torch.tensor([[2.0, 3.0], [4.0, 5.0]], dtype=torch.float64))
    y.diagonal().exp_()
    y[:, 0].copy_(y[:, 1] * 1)
    y.view(-1)[3:7] += 1
    y.sum().backward()
    return y, x.grad, name(y)


@case(90, 57)
def a_write_into_a_view_differentiated_twice(torch):
    x = leaf(torch, 0.5, 1.5, 2.5)
    y = x * x
    y[:2].tanh_()
    y[1:].mul_(x[1:] * x[:2])
    (g,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    return g.detach(), h


@case(90)
def a_saved_result_that_was_written_into_a_view_is_checked(torch):
    y = leaf(torch, 1, 2, 3) * 2
    v = y[:2]
    v.exp_()
    v.add_(1)
    return error(y.sum().backward)


@case(76, 90)
def modified_after_a_write_into_a_view(torch):
    y = leaf(torch, 1, 2, 3) * 2
    v = y[:2]
    v.mul_(2)
    z = y * y
    y.add_(1)
    try:
        z.sum().backward()
    except RuntimeError as raised:
        return str(raised)


@case(112)
def retain_grad_follows_a_tensor_and_its_base(torch):
    y = leaf(torch, 1, 2, 3) * 2
    y.retain_grad()
    v = y[:2]
    v.retain_grad()
    seen: list[Any] = []
    v.register_hook(lambda g: seen.append(("old", g.tolist())))
    v.mul_(3)
    v.register_hook(lambda g: seen.append(("new", g.tolist())))
    (y.sum() + v.sum()).backward()
    return v.retains_grad, y.retains_grad, y.grad, v.grad, seen


@case(102, 111)
def hooks_of_a_view_stay_with_what_it_was(torch):
    y = leaf(torch, 1, 2, 3) * 2
    v = y[:2]
    v.retain_grad()
    seen: list[Any] = []
    v.register_hook(lambda g: seen.append(g.tolist()))
    u = v * 2
    y.mul_(3)
    (u.sum() + v.sum()).backward()
    return v.grad, seen


@case(99)
def a_write_into_a_view_of_another_dtype(torch):
    x = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128, requires_grad=True)
    y = x * 2
    y.real.mul_(torch.tensor([2.0, 3.0], dtype=torch.float64))
    y[1:].imag.exp_()
    r = y.real
    y.imag.mul_(2)
    (r * r).sum().backward()
    return name(y), y, r, x.grad


@case(101)
def copying_gives_its_gradient_to_the_source(torch):
    a, b = leaf(torch, 1, 2, 3) * 1, torch.tensor([4.0], requires_grad=True)
    refused = error(a.copy_, b.reshape(1, 1))
    a.copy_(b)
    a.sum().backward()
    return refused, name(a), a, b.grad


@case(103)
def iterating_unbinds_and_a_number_selects(torch):
    y = leaf(torch, 1, 2) * 1
    return [name(v) for v in y], name(y[0])


@case(86)
def detach_in_place_of_a_view_is_refused(torch):
    y = leaf(torch, 1, 2) * 1
    v = y[:1]
    refused = error(v.detach_), error(torch.ones(2)[:1].detach_)
    y.detach_()
    return refused, name(v), v.requires_grad, y.is_leaf


@case(12, 78)
def nothing_is_saved_for_a_view_without_an_edge(torch):
    x, w = leaf(torch, 1, 2), torch.ones(1, dtype=torch.float64)
    with torch.no_grad():
        v = x[0:1]
    y, z = v * w, v.exp()
    w.add_(1)
    y.backward()
    z.backward()
    return name(y), edges(y), z.requires_grad, x.grad


@case(70, 95, 97)
def views_within_views_made_in_several_modes(torch):
    modes = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}
    found = {}
    for outer, first in modes.items():
        for inner, second in modes.items():
            for several in (False, True):
                y = leaf(torch, 1, 2, 3, 4) * 2
                with first():
                    v = y.split(4)[0] if several else y[0:4]
                with second():
                    w = v[0:4]
                    u = v.split(4)[0]
                found[outer, inner, several] = error(w.mul_, 2), error(u.mul_, 2)
    return found


@case(91, 113)
def what_a_view_without_an_edge_does_after_a_write(torch):
    y = leaf(torch, 1, 2, 3) * 2
    with torch.no_grad():
        v = y[0:2]
    y.mul_(2)
    v.retain_grad()
    return v.retains_grad, v.requires_grad_() is v, v.grad, error(lambda: v.is_leaf), error(v.register_hook, print)


@case(92)
def an_earlier_view_counts_as_a_leaf_until_somebody_looks(torch):
    b, x = torch.ones(3, dtype=torch.float64), leaf(torch, 1, 2, 3)
    v, w = b[:2], b[:2]
    b.mul_(x)
    return name(w), error(w.mul_, 2), error(v.mul_, 2), name(v), error(v.mul_, 2)


@case(12)
def a_view_cannot_be_told_to_stop_while_its_base_requires_grad(torch):
    x = torch.ones(3, dtype=torch.float64)
    v = x[:2]
    x.requires_grad_()
    v.requires_grad_(False)
    before = v.requires_grad
    x.requires_grad_(False)
    return before, v.requires_grad


@case(90, 52)
def a_write_into_a_view_is_freed_whole(torch):
    x = leaf(torch, 1, 2, 3)
    y = x + 1
    y[0] = 5
    y.sum().backward()
    return error(y.sum().backward), x.grad


@case(100)
def a_number_written_into_an_expanded_view(torch):
    y = leaf(torch, 1, 2) * 2
    y.expand(2, 2).fill_(3)
    v = leaf(torch, 1, 2) * 2
    v.expand(2, 2).zero_()
    return y, error(y.sum().backward), v, error(v.sum().backward), error(y.expand(2, 2).mul_, 2)


@case(66)
def unsafe_splits_and_inference(torch):
    def seen(t):
        return t.is_inference(), t._is_view(), None if t.is_inference() else t._version

    found = []
    for split in (lambda x: x.unsafe_chunk(2), lambda x: x.unsafe_split(2)):
        x = torch.ones(4)
        x.neg_()
        with torch.inference_mode():
            inner = torch.ones(4)
            a = split(x)[0]
            found += [seen(a), seen(split(inner)[0])]
            a.add_(1)
            b = a[0]
            b.add_(1)
            found += [seen(a), seen(b), seen(x)]
        found.append(seen(split(inner)[0]))
    return found


test_as_torch = as_torch(__name__)
