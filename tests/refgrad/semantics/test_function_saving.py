"""Custom functions: what they save, how it is checked and freed, and what is differentiated again."""

from __future__ import annotations

import gc
import threading
import weakref

from tests.refgrad.semantics.functions import custom, passes, raised
from tests.refgrad.semantics.rows import as_torch, case, leaf


def saving(*choice):
    """A forward that returns x.exp() and saves of (x, result, None, result's double) what is chosen."""

    def forward(ctx, x):
        y = x.exp()
        values = x, y, None, y * 2
        ctx.save_for_backward(*[values[k] for k in choice])
        return y

    return forward


def exp_backward(ctx, g):
    return g * ctx.saved_tensors[0]


# What is kept


@case(59, 128, 129)
def saved_inputs_and_outputs(torch):
    x = leaf(torch, 1, 2)
    y = custom(torch, saving(0, 1, 2, 3)).apply(x)
    node = y.grad_fn
    a, b, c, d = node.saved_tensors
    return (a, a is x), (b, b is y, b.grad_fn is node, b.output_nr), c, d, node.to_save, node.saved_for_forward


@case(128)
def the_last_call_of_save_for_backward_counts(torch):
    x, seen = leaf(torch, 1, 2), []

    def forward(ctx, x):
        ctx.save_for_backward(x, x)
        seen.extend((ctx.saved_tensors, ctx.to_save))
        ctx.save_for_backward(x)
        return x * 2

    return custom(torch, forward).apply(x).grad_fn.saved_tensors, seen


@case(128)
def only_tensors_are_saved(torch):
    x = leaf(torch, 1, 2)
    backwards = custom(torch, lambda ctx, x: (ctx.save_for_backward(x, 3), x * 2)[1])
    forwards = custom(torch, lambda ctx, x: (ctx.save_for_forward(3), x * 2)[1])
    with torch.inference_mode():
        made_there = torch.ones(2, dtype=torch.float64)
    inference = custom(torch, lambda ctx, x: (ctx.save_for_backward(made_there), x * 2)[1])
    return raised(backwards.apply, x), backwards.apply(torch.ones(2)), raised(forwards.apply, x), raised(
        inference.apply, x
    )


@case(128)
def save_for_forward_is_seen_during_the_call_only(torch):
    seen = []

    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x, None)
        seen.append(ctx.saved_tensors)
        return x * 2

    y = custom(torch, forward).apply(leaf(torch, 1, 2))
    return seen, y.grad_fn.saved_tensors, y.grad_fn.saved_for_forward


@case(131, 137)
def setup_context_cannot_save_an_input_that_is_returned(torch):
    found = []
    for save in ("save_for_backward", "save_for_forward"):
        def setup(ctx, inputs, output, save=save):
            getattr(ctx, save)(inputs[0])

        f = custom(torch, lambda x: x, setup_context=setup)
        found += [raised(f.apply, leaf(torch, 1, 2)), raised(f.apply, torch.ones(2))]
    within = custom(torch, lambda ctx, x: (ctx.save_for_backward(x), x)[1]).apply(leaf(torch, 1, 2))
    return found, within.grad_fn.saved_tensors


@case(52, 53, 128)
def freed_like_other_graphs(torch):
    x = leaf(torch, 1, 2)

    def twice(y):
        y.sum().backward()
        return raised(y.sum().backward), raised(lambda: y.grad_fn.saved_tensors), raised(lambda: raw(y))

    def raw(y):
        return y.grad_fn._raw_saved_tensors

    def looks(ctx, g):
        assert ctx.saved_tensors == ()
        return g

    return (
        twice(custom(torch, saving(1), exp_backward).apply(x)),
        twice(custom(torch, saving(1)).apply(x)),
        twice(custom(torch, lambda ctx, x: x * 2, looks).apply(x)),
        x.grad,
    )


@case(128, 139)
def saved_variables_and_flags(torch):
    x = leaf(torch, 1, 2)
    y = custom(torch, saving(0)).apply(x)

    def again(ctx, g):
        return g * ctx.saved_tensors[0] * ctx.saved_tensors[0]

    once = custom(torch, saving(0), again, clear_saved_tensors_on_access=True).apply(x)
    fine = custom(torch, saving(0), exp_backward, clear_saved_tensors_on_access=True).apply(x)
    fine.sum().backward()
    return y.grad_fn.saved_variables, raised(once.sum().backward), x.grad


# Versions


@case(76, 77, 128)
def modified_after_they_were_saved(torch):
    def input_of(make):
        h = make(leaf(torch, 1, 2))
        y = custom(torch, saving(0), exp_backward).apply(h)
        h.detach().mul_(2)
        return raised(y.sum().backward), raised(lambda: y.grad_fn.saved_tensors)

    x = leaf(torch, 1, 2)
    of_leaf = custom(torch, saving(0), exp_backward).apply(x)
    with torch.no_grad():
        x.mul_(1)
    output = custom(torch, saving(1), exp_backward).apply(x)
    apart = output * 1
    output.mul_(2)
    base = x * 1
    view = custom(torch, saving(0), exp_backward).apply(base[:1])
    base.mul_(2)
    return (
        input_of(lambda x: x * 1),
        input_of(custom(torch, lambda ctx, x: x * 1).apply),
        raised(of_leaf.sum().backward),
        raised(apart.sum().backward),
        raised(output.sum().backward),
        raised(view.sum().backward),
    )


@case(77, 128)
def not_looked_at_not_checked(torch):
    x = leaf(torch, 1, 2)
    h = x * 1
    y = custom(torch, saving(0)).apply(h)
    h.detach().mul_(2)
    y.sum().backward()
    return x.grad


@case(80, 130)
def a_written_input_that_is_saved(torch):
    def forward(ctx, x):
        x.exp_()
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    found = []
    for part in (slice(None), slice(1)):
        x = leaf(torch, 1, 2)
        h = x * 1
        y = custom(torch, forward, exp_backward).apply(h[part] if part.stop else h)
        saved = y.grad_fn.saved_tensors if part.stop is None else ()
        (g,) = torch.autograd.grad(h.sum(), x, create_graph=True)
        found.append((saved, g))
    return found


# Hooks on what is saved


@case(142, 146)
def saved_tensors_with_hooks_of_their_own(torch):
    x, seen = leaf(torch, 1, 2), []

    def pack(t):
        seen.append(("pack", t))
        return t * 10

    def unpack(t):
        seen.append(("unpack", t))
        return t

    y = custom(torch, saving(1, 2, 3), exp_backward).apply(x)
    result, none, double = y.grad_fn._raw_saved_tensors
    result.register_hooks(pack, unpack)
    errors = raised(none.register_hooks, pack, unpack), raised(result.register_hooks, pack, unpack)
    values = y.grad_fn.saved_tensors
    y.sum().backward()
    return errors, values, seen, x.grad


# Differentiating again


def cube(torch):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2

    return custom(torch, forward, backward)


@case(57, 59, 129)
def gradients_of_gradients(torch):
    x, v = leaf(torch, 1, 2), leaf(torch, 5, 7)
    (first,) = torch.autograd.grad(cube(torch).apply(x), x, v, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), x, retain_graph=True)
    (mixed,) = torch.autograd.grad(first.sum(), v)
    exp = custom(torch, saving(1), exp_backward)
    y = exp.apply(x)
    (of_output,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    of_output.sum().backward()
    return first, second, third, mixed, of_output, x.grad


@case(129)
def an_intermediate_saved_is_a_constant(torch):
    x = leaf(torch, 1, 2)
    y = custom(torch, saving(3), lambda ctx, g: g * ctx.saved_tensors[0] / 2).apply(x)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return g, g.requires_grad


@case(126, 127, 57)
def sums_and_casts_of_gradients_are_recorded(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    v = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    y = custom(torch, lambda ctx, x: x.double() * 2, lambda ctx, g: g * v).apply(x)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    return g.dtype, g.shape, v.grad


@case(140)
def backward_within_backward(torch):
    x = leaf(torch, 1, 2)

    def backward(ctx, g):
        (saved,) = ctx.saved_tensors
        with torch.enable_grad():
            t = saved.detach().requires_grad_()
            (t * t).sum().backward()
        return g * t.grad

    custom(torch, saving(0), backward).apply(x).sum().backward()
    return x.grad, torch.is_grad_enabled()


@case(140, 213)
def backward_within_backward_many_times_over(torch):
    def nested(depth):
        def backward(ctx, g):
            if not depth:
                return g
            with torch.enable_grad():
                t = leaf(torch, 1, 2)
                nested(depth - 1).apply(t).sum().backward()
            return g + t.grad

        return custom(torch, lambda ctx, x: x * 1, backward)

    x = leaf(torch, 1, 2)
    nested(150).apply(x).sum().backward()
    return x.grad


@case(205)
def nan_is_found_in_anomaly_mode(torch):
    x = leaf(torch, 1, 2)
    y = custom(torch, lambda ctx, x: x * 1, lambda ctx, g: g * float("nan")).apply(x)
    y.sum().backward()
    return x.grad


# Hooks on the node


@case(107, 115)
def hooks_of_the_node(torch):
    x, w, log = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64), []

    def backward(ctx, g, h):
        log.append(("backward", g, h))
        return g, g * 5, None

    y, z = custom(torch, lambda ctx, a, b, k: (a * b, a + b), backward).apply(x, w, 3)
    node = y.grad_fn
    node.register_prehook(lambda g: log.append(("pre", g)))
    node.register_prehook(lambda g: (g[0], None))
    node.register_hook(lambda i, o: log.append(("post", i, o)))
    node.register_hook(lambda i, o: (i[0] * 10, None))
    y.register_hook(lambda g: log.append(("tensor", g)))
    y.retain_grad()
    y.sum().backward()
    return log, x.grad, y.grad


@case(115)
def a_node_hook_sees_gradients_that_are_not_needed(torch):
    x, w, log = leaf(torch, 1, 2), leaf(torch, 3, 4), []
    y = custom(torch, lambda ctx, a, b: a * b, lambda ctx, g: (g * 2, g * 3)).apply(x, w)
    y.grad_fn.register_hook(lambda i, o: log.append((i, o)))
    return torch.autograd.grad(y.sum(), w), log


@case(114, 135)
def a_prehook_of_an_undefined_gradient(torch):
    x, log = leaf(torch, 1, 2), []
    y, z = custom(torch, lambda ctx, x: (x * 1, x * 2), lambda ctx, g, h: log.append(("backward", g, h))).apply(x)
    y.grad_fn.register_prehook(lambda g: log.append(("pre", g)))
    y.grad_fn.register_hook(lambda i, o: log.append(("post", i, o)))
    z.sum().backward()
    return log, x.grad


# Freeing


@case(59, 211)
def graphs_go_without_the_garbage_collector(torch):
    gone = []

    def watched(f, *args):
        y = f.apply(*args)
        weakref.finalize(y.grad_fn, gone.append, f.__name__)
        return y

    gc.disable()
    try:
        x = leaf(torch, 1, 2)
        for choice in ((0,), (1,), (0, 1, 2, 3)):
            y = watched(custom(torch, saving(*choice)), x)
            del y
        h = x * 1
        y = watched(custom(torch, lambda ctx, a: (ctx.save_for_backward(a), ctx.mark_dirty(a), a.exp_())[2]), h)
        del y, h
        y = watched(custom(torch, lambda ctx, a: a, passes), x * 1)
        del y
        y = watched(custom(torch, saving(1), exp_backward), x)
        y.sum().backward()
        del y
    finally:
        gc.enable()
    return gone


@case(209)
def long_chains(torch):
    x = leaf(torch, 1, 2)
    f = custom(torch, lambda ctx, x: x + 1)
    y = x
    for _ in range(3000):
        y = f.apply(y)
    y.sum().backward()
    del y
    return x.grad


@case(66, 211)
def calls_and_backward_in_threads(torch):
    f, w = cube(torch), leaf(torch, 1, 2)
    found = {}

    def work(k):
        x = leaf(torch, k, k + 1)
        f.apply(x * w).sum().backward()
        found[k] = x.grad

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[k] for k in range(8)], w.grad


test_as_torch = as_torch(__name__)
