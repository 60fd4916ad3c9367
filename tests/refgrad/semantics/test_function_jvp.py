"""Custom functions in forward mode: what `jvp` gets, and what it may return."""

from __future__ import annotations

import importlib
import warnings

import torch

from tests.refgrad.semantics.functions import custom, passes, raised
from tests.refgrad.semantics.rows import as_torch, case, leaf

with warnings.catch_warnings():  # torch warns of its own once, when forward mode is first used
    warnings.simplefilter("ignore")
    with torch.autograd.forward_ad.dual_level():
        torch.autograd.forward_ad.make_dual(torch.ones(1), torch.ones(1)).exp()


def forward_ad(torch):
    return importlib.import_module(f"{torch.__name__}.autograd.forward_ad")


def vector(torch, *values):
    return torch.tensor(values, dtype=torch.float64)


def run(torch, forward, jvp, *others, backward=passes, **more):
    """(value, tangent) of each output for a dual argument, or the error."""
    names = forward_ad(torch)
    more.update({} if jvp is None else {"jvp": jvp})
    f, found = custom(torch, forward, backward, **more), []

    def call():
        with names.dual_level():
            dual = names.make_dual(vector(torch, 1, 2), vector(torch, 5, 7))
            made = f.apply(dual, *others)
            several = made if isinstance(made, tuple) else (made,)
            found.extend([tuple(names.unpack_dual(t)) if isinstance(t, torch.Tensor) else t for t in several])

    return raised(call), found


def double(ctx, x, *others):
    return x * 2


def same(ctx, x):
    return x


def marked(ctx, x):
    plain = x * 1
    ctx.mark_non_differentiable(plain)
    return x * 2, plain, 3


def written(ctx, x):
    x.mul_(2)
    ctx.mark_dirty(x)
    return x


@case(138)
def jvp_gets_and_gives_tangents(torch):
    seen = []

    def jvp(ctx, *tangents):
        seen.append((tangents, torch.is_grad_enabled(), ctx.saved_tensors))
        return tangents[0] * 3

    def quiet(ctx, x, *others):
        ctx.set_materialize_grads(False)
        ctx.save_for_forward(x)
        return x * 2

    w = leaf(torch, 3, 4)
    others = w, torch.tensor([1, 2]), 3, None
    return run(torch, double, jvp), run(torch, double, jvp, *others), run(torch, quiet, jvp, *others), seen


@case(138)
def the_forward_pass_itself_has_no_tangents(torch):
    names, seen = forward_ad(torch), []

    def forward(ctx, x):
        seen.append(names.unpack_dual(x * 2).tangent)
        return x * 2

    return run(torch, forward, lambda ctx, t: (seen.append(names.unpack_dual(t * 2).tangent), t)[1]), seen


@case(138)
def what_jvp_must_return(torch):
    return (
        run(torch, double, None),
        run(torch, double, lambda ctx, t: (t, t)),
        run(torch, double, lambda ctx, t: ()),
        run(torch, double, lambda ctx, t: 3),
        run(torch, double, lambda ctx, t: t[:1]),
        run(torch, double, lambda ctx, t: t.float()),
        run(torch, lambda ctx, x: (x * 2, 3), lambda ctx, t: (t, t)),
    )


@case(133, 138)
def tangents_of_outputs_without_gradient(torch):
    return (
        run(torch, marked, lambda ctx, t: (t, None, None)),
        run(torch, marked, lambda ctx, t: (t, t, None)),
        run(torch, lambda ctx, x: (x * 2, x > 1), lambda ctx, t: (t, t)),
    )


@case(130, 138)
def tangents_of_written_inputs_are_written(torch):
    w = vector(torch, 3, 4)

    def second(ctx, x, w):
        w.mul_(x)
        ctx.mark_dirty(w)
        return w

    return (
        run(torch, written, lambda ctx, t: t.mul_(2)),
        run(torch, written, lambda ctx, t: t * 2),
        run(torch, written, lambda ctx, t: t),
        run(torch, written, lambda ctx, t: (t.mul_(2), t * 1)[1].mul_(1)),
        run(torch, second, lambda ctx, t, u: t * 3 + u, w),
    )


@case(131, 138)
def tangents_of_views_are_views(torch):
    w = vector(torch, 3, 4)
    forwards = same, lambda ctx, x: x.view(-1)
    jvps = lambda ctx, t: t, lambda ctx, t: t * 1, lambda ctx, t: t.view_as(t), lambda ctx, t: w.view(-1)
    of_another = run(torch, lambda ctx, x, w: w.view(-1), lambda ctx, t, u: t * 2, w)
    return [run(torch, forward, jvp) for forward in forwards for jvp in jvps], of_another


@case(57, 138)
def forward_over_reverse(torch):
    names = forward_ad(torch)

    def cube(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x**3

    def derivative(ctx, g):
        return g * 3 * ctx.saved_tensors[0] ** 2

    x = leaf(torch, 1, 2)
    with names.dual_level():
        dual = names.make_dual(x, vector(torch, 5, 7))
        y = custom(torch, cube, derivative, jvp=derivative).apply(dual)
        value, tangent = names.unpack_dual(y)
        (g,) = torch.autograd.grad(y.sum(), dual, create_graph=True)
        product = names.unpack_dual(g).tangent
    tangent.sum().backward()
    return value, tangent, product.detach(), x.grad


test_as_torch = as_torch(__name__)
