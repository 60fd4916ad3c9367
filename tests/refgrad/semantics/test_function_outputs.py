"""Custom functions: outputs that are inputs, views of them, written inputs, outputs without gradient."""

from __future__ import annotations

from collections import namedtuple

from tests.refgrad.semantics.functions import custom, raised
from tests.refgrad.semantics.rows import as_torch, case, leaf

Pair = namedtuple("Pair", "a b")


def same(ctx, x):
    return x


def first(ctx, x):
    return x[:1]


# Inputs and views of inputs


@case(131)
def an_input_returned_as_it_is_becomes_a_view(torch):
    x = leaf(torch, 1, 2)
    h, plain = x * 1, torch.ones(2)
    f = custom(torch, same, lambda ctx, g: g * 3)
    of_leaf, of_result, of_plain = f.apply(x), f.apply(h), f.apply(plain)
    (of_leaf + of_result).sum().backward()
    found = of_leaf, of_leaf is x, of_leaf._base is x, of_result, of_result._base is h, of_result._version
    return found, of_plain, of_plain is plain, of_plain._base is plain, x.grad


@case(131)
def a_transposed_or_strided_input_returned_as_it_is(torch):
    x = torch.arange(12.0).reshape(3, 4).requires_grad_()
    f = custom(torch, same)
    return f.apply(x.t()), f.apply(x[:, ::2]), f.apply(x[0].expand(2, 4)), f.apply(x.sum())


@case(98, 131)
def outputs_that_share_memory_with_inputs_cannot_be_written(torch):
    found = []
    for forward in (same, first, lambda ctx, x: x.view(-1), lambda ctx, x: torch.zeros(3, 2, dtype=x.dtype)[0]):
        h = leaf(torch, 1, 2) * 1
        y = custom(torch, forward).apply(h)
        found.append((y._is_view(), raised(y.mul_, 2), raised(lambda y=y: y[:1].mul_(2))))
        y = custom(torch, forward).apply(h)
        h.mul_(2)
        found.append(raised(lambda y=y: y.grad_fn))
        with torch.no_grad():
            y = custom(torch, forward).apply(torch.ones(2))
            found.append((y, y.mul_(2)))
    return found


@case(98, 131)
def views_of_what_needs_no_gradient(torch):
    x, plain = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64)
    y = custom(torch, same).apply(plain)
    return y.mul_(2), plain, raised(y.mul_, x)


@case(98)
def views_among_several_outputs_cannot_be_written(torch):
    h = leaf(torch, 1, 2) * 1
    y, z = custom(torch, lambda ctx, x: (x.view(-1), x[:1])).apply(h)
    v, w = custom(torch, lambda ctx, x: (x * 2, x[:1])).apply(h)
    return raised(y.mul_, 2), raised(z.mul_, 2), raised(w.mul_, 2), v.mul_(2)


@case(60, 131)
def an_input_returned_without_recording_is_detached(torch):
    x = leaf(torch, 1, 2)
    with torch.no_grad():
        y, z = custom(torch, same).apply(x), custom(torch, first).apply(x)
    return y, y is x, y._is_view(), z, z._is_view()


@case(132)
def the_same_tensor_returned_twice(torch):
    x, seen = leaf(torch, 1, 2), []

    def twice(ctx, x):
        y = x * 2
        return y, y

    def backward(ctx, g, h):
        seen.append((g, h))
        return g + h

    y, z = custom(torch, twice, backward).apply(x)
    (y * 3 + z).sum().backward()
    h = x * 1
    v, w = custom(torch, lambda ctx, x: (x, x), backward).apply(h)
    (v * 3 + w).sum().backward()
    return y is z, y.output_nr, v is w, v.output_nr, w.output_nr, v._base is h, x.grad, seen, raised(v.mul_, 2)


@case(132, 179)
def the_same_tensor_given_twice(torch):
    x = leaf(torch, 1, 2)
    y = custom(torch, lambda ctx, a, b: a * b, lambda ctx, g: (g * 2, g * 3)).apply(x, x)
    y.sum().backward()
    return y, x.grad, torch.autograd.grad(custom(torch, same).apply(x).sum(), x)


@case(132)
def a_base_and_its_view_returned_together(torch):
    def forward(ctx, x):
        base = x * 2
        return base, base[0]

    x = leaf(torch, 1, 2)
    y, z = custom(torch, forward, lambda ctx, g, h: g + h).apply(x)
    (y.sum() + z * 5).backward()
    return y, z, y.output_nr, z.output_nr, z._base is y, x.grad


# Other outputs


@case(134)
def only_tuples_are_unpacked(torch):
    x = leaf(torch, 1, 2)

    def apply(forward):
        made = custom(torch, forward).apply(x)
        return type(made).__name__, made

    return (
        apply(lambda ctx, x: [x * 2, x * 3]),
        apply(lambda ctx, x: {"a": x * 2}),
        apply(lambda ctx, x: (x * 2,)),
        apply(lambda ctx, x: ()),
        apply(lambda ctx, x: None),
        apply(lambda ctx, x: ("a", 3)),
        apply(lambda ctx, x: Pair(x * 2, x * 3)),
        apply(lambda ctx, x: (x * 2, [x * 3], x > 1, (x * 2).long(), x * 1j)),
    )


@case(134)
def tensors_within_lists_are_not_tracked(torch):
    x = leaf(torch, 1, 2)
    y = custom(torch, lambda ctx, a, rest: a * rest[0], lambda ctx, g: (g, None)).apply(x, [x])
    z = custom(torch, lambda ctx, rest: rest[0] * 2).apply([x])
    return y.grad_fn.needs_input_grad, z


@case(133)
def outputs_marked_as_not_differentiable(torch):
    x = leaf(torch, 1, 2)
    h = x * 1

    def marking(forward):
        def marked(ctx, x):
            made = forward(x)
            ctx.mark_non_differentiable(made)
            return made

        return custom(torch, marked)

    views = marking(lambda x: x.view(-1))
    found = marking(lambda x: x * 2).apply(x), views.apply(x), views.apply(h), views.apply(x.detach())
    itself = marking(lambda x: x).apply(x)
    return found, itself, itself is x, itself._is_view(), [raised(t.mul_, 2) for t in (*found, itself)]


@case(133)
def marks_must_be_tensors(torch):
    x = leaf(torch, 1, 2)
    custom(torch, lambda ctx, x: ctx.mark_shared_storage((x, x))).apply(x)
    return (
        raised(custom(torch, lambda ctx, x: ctx.mark_non_differentiable(3)).apply, x),
        raised(custom(torch, lambda ctx, x: ctx.mark_dirty(3)).apply, x),
    )


# Written inputs


def scaled(ctx, x):
    x.mul_(2)
    ctx.mark_dirty(x)
    return x


def scaled_backward(ctx, g):
    return g * 2


@case(74, 130)
def a_written_input_is_returned_with_a_new_place(torch):
    x = leaf(torch, 1, 2)
    h = x * 1
    old = h * h
    y = custom(torch, scaled, scaled_backward).apply(h)
    state = y is h, h._version, h, h.grad_fn.next_functions[0][0].name()
    failure = raised(old.sum().backward)
    y.sum().backward()
    return state, failure, x.grad


@case(130)
def an_input_written_without_a_mark_goes_unnoticed(torch):
    x = leaf(torch, 1, 2)
    h = x * 1
    y = custom(torch, lambda ctx, x: x.mul_(2), scaled_backward).apply(h)
    return y is h, h, h._version, y, raised(y.mul_, 2)


@case(130)
def what_cannot_be_marked_as_written(torch):
    x = leaf(torch, 1, 2)
    f = custom(torch, scaled, scaled_backward)

    def elsewhere(ctx, x):
        y = x * 2
        ctx.mark_dirty(y)
        return y

    def unreturned(ctx, x):
        ctx.mark_dirty(x)
        return x * 2

    def several(ctx, x):
        ctx.mark_dirty(x)
        return x, 3

    return (
        raised(f.apply, x),
        raised(f.apply, x[:1]),
        raised(f.apply, (x * 1).unbind()[0]),
        raised(custom(torch, unreturned).apply, x * 1),
        custom(torch, elsewhere).apply(x),
        raised(custom(torch, several).apply, (x * 1)[:1]),
        raised(f.apply, (x * 1)[:1].detach()),
    )


@case(130)
def written_without_recording(torch):
    x, plain = leaf(torch, 1, 2), torch.ones(2)
    f = custom(torch, scaled, scaled_backward)
    with torch.no_grad():
        y = f.apply(x)
    z = f.apply(plain)
    return y, y is x, x, x._version, z is plain, z, plain._version


@case(90, 130)
def a_written_view_rewrites_its_base(torch):
    x = leaf(torch, 1, 2, 3)
    h = x * 1
    other = h[1:]
    v = h[:2]
    y = custom(torch, scaled, scaled_backward).apply(v)
    state = y is v, v, h, other
    (h * h).sum().backward()
    return state, x.grad


@case(90, 130)
def a_written_view_with_another_operand(torch):
    def forward(ctx, v, w):
        ctx.save_for_backward(v.clone(), w)
        v.mul_(w)
        ctx.mark_dirty(v)
        return v

    def backward(ctx, g):
        v, w = ctx.saved_tensors
        return g * w, g * v

    found = []
    for create in (False, True):
        x, w = leaf(torch, 1, 2, 3), leaf(torch, 5, 6)
        h = x * 1
        custom(torch, forward, backward).apply(h[:2], w)
        found.append((h, torch.autograd.grad((h * h).sum(), (x, w), create_graph=create)))
        h = x * 1
        custom(torch, forward, lambda ctx, g: (None, g)).apply(h[:2], w)
        found.append(torch.autograd.grad((h * h).sum(), (x, w), create_graph=create, allow_unused=True))
    return found


@case(130)
def a_written_input_among_several_outputs(torch):
    x, seen = leaf(torch, 1, 2), []

    def forward(ctx, a, b):
        b.mul_(2)
        ctx.mark_dirty(b)
        return a * b, b

    def backward(ctx, g, h):
        seen.append((g, h))
        return g, h

    h = x * 3
    y, z = custom(torch, forward, backward).apply(x, h)
    (y + z * 5).sum().backward()
    return z is h, z.output_nr, x.grad, seen


@case(112, 130)
def retain_grad_follows_a_written_input(torch):
    x = leaf(torch, 1, 2)
    h = x * 3
    h.retain_grad()
    h.register_hook(lambda g: g * 100)
    y = custom(torch, scaled, scaled_backward).apply(h)
    y.sum().backward()
    return y.retains_grad, y.grad, x.grad


@case(130)
def a_written_plain_input_gets_a_history(torch):
    x, plain = leaf(torch, 1, 2), torch.zeros(2, dtype=torch.float64)

    def forward(ctx, target, x):
        target.copy_(x)
        ctx.mark_dirty(target)
        return target

    y = custom(torch, forward, lambda ctx, g: (None, g * 3)).apply(plain, x)
    y.sum().backward()
    return y is plain, plain, x.grad


test_as_torch = as_torch(__name__)
