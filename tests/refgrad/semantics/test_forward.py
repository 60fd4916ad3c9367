"""Forward mode: levels, dual tensors, what carries tangents and what does not, views, writes, second derivatives."""

from __future__ import annotations

import copy
import gc
import threading
import warnings
import weakref
from typing import Any

import numpy as np
import torch

import refgrad
from refgrad.autograd import forward_ad
from refgrad.modes import local
from tests.refgrad.semantics.rows import as_torch, case, error, leaf

with warnings.catch_warnings():  # torch loads something deprecated when first asked
    warnings.simplefilter("ignore")
    torch.autograd.forward_ad._maybe_load_decompositions()


def _mode(torch):
    return torch.autograd.forward_ad


def _vector(torch, *values):
    return torch.tensor(values, dtype=torch.float64)


def _dual(torch, values=(1.0, 2.0, 3.0), tangent=(4.0, 5.0, 6.0)):
    return _mode(torch).make_dual(_vector(torch, *values), _vector(torch, *tangent))


def _tangent(torch, t):
    return _mode(torch).unpack_dual(t).tangent


# Levels


@case()
def levels_do_not_nest(torch):
    mode, found = _mode(torch), []
    found.append(error(mode.exit_dual_level))
    found.append(error(mode.exit_dual_level, level=3))
    found.append(mode.enter_dual_level())
    found.append(error(mode.enter_dual_level))
    found.append(error(mode.exit_dual_level, level=1))
    mode.exit_dual_level()
    with mode.dual_level() as level:
        found.append(level)
    found.append(mode.dual_level()(lambda: error(mode.enter_dual_level))())
    return found


@case()
def without_a_level(torch):
    mode, x = _mode(torch), _vector(torch, 1, 2)
    primal, tangent = mode.unpack_dual(x)
    return [
        error(mode.make_dual, x, x),
        error(mode.make_dual, x, x, level=0),
        primal is x,
        tangent,
        mode.unpack_dual(x, level=0),
        mode.unpack_dual(x)._fields,
    ]


@case()
def tangents_end_with_their_level(torch):
    mode = _mode(torch)
    with mode.dual_level():
        d = _dual(torch)
        y = d * 2
    found = [_tangent(torch, d), _tangent(torch, y), str(d)]
    with mode.dual_level():
        found += [_tangent(torch, d), _tangent(torch, y), _tangent(torch, d + y)]
    try:
        with mode.dual_level():
            raise ValueError
    except ValueError:
        found.append(_tangent(torch, y))
    return found


@case()
def levels_are_those_of_all_threads(torch):
    found = []
    with _mode(torch).dual_level():
        d = _dual(torch)

        def other():
            found.append(_tangent(torch, d * 2))
            found.append(error(_mode(torch).enter_dual_level))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    return found


# make_dual and unpack_dual


@case()
def what_make_dual_refuses(torch):
    mode, x = _mode(torch), _vector(torch, 1, 2, 3)
    with mode.dual_level():
        d = _dual(torch)
        return [
            error(mode.make_dual, torch.tensor([1]), x),
            error(mode.make_dual, x, torch.tensor([1])),
            error(mode.make_dual, x, x[:2]),
            error(mode.make_dual, x, x[None]),
            error(mode.make_dual, d, x),
            error(mode.make_dual, x, d),
            error(mode.make_dual, x, x, level=1),
            error(mode.make_dual, x, x, level=-1),
            error(mode.make_dual, 1.0, x),
            error(mode.make_dual, x, 1.0),
            error(mode.make_dual, x[:1].expand(3), x),
            error(mode.unpack_dual, 1.0),
            error(mode.unpack_dual, d, level=1),
            mode.unpack_dual(d, level=-1).tangent,
        ]


@case()
def a_dual_is_a_view_and_so_is_its_primal(torch):
    mode, x, t = _mode(torch), leaf(torch, 1, 2), leaf(torch, 3, 4)
    with mode.dual_level():
        d = mode.make_dual(x, t)
        primal, tangent = mode.unpack_dual(d)
        plain = mode.unpack_dual(x)
        return d, d._is_view(), d._base is x, primal, primal._base is x, tangent is t, plain, plain.primal is x


@case()
def a_tangent_is_kept_where_its_layout_allows_that(torch):
    mode, x = _mode(torch), torch.arange(6.0).reshape(2, 3)
    found = []
    with mode.dual_level():
        for primal, tangent in (
            (x, torch.ones(2, 3)),
            (x.t(), torch.ones(3, 2)),
            (x[1:], torch.ones(1, 3)),
            (x[1:], torch.ones(1, 3, requires_grad=True)),
            (x[0], torch.ones(1).expand(3)),
            (x, torch.ones(2, 3, dtype=torch.float64)),
            (x, torch.ones(2, 3, dtype=torch.complex64)),
        ):
            kept = _tangent(torch, mode.make_dual(primal, tangent))
            found.append((kept is tangent, kept, kept.storage_offset()))
    return found


@case()
def duals_print_their_tangents(torch):
    x = torch.ones(2, requires_grad=True)
    with _mode(torch).dual_level():
        d = _mode(torch).make_dual(x, torch.ones(2))
        return str(d), str(_dual(torch)), str(d.sum()), f"{d.sum()}"


@case()
def a_primal_can_be_made_dual_again(torch):
    mode = _mode(torch)
    with mode.dual_level():
        primal = mode.unpack_dual(_dual(torch)).primal
        return _tangent(torch, mode.make_dual(primal, _vector(torch, 7, 8, 9)))


# What carries tangents


@case()
def what_has_no_tangent(torch):
    with _mode(torch).dual_level():
        d = _dual(torch)
        made = [d.detach(), d.data, d > 1, d.long(), d.argmax(), torch.zeros_like(d), torch.ones_like(d)]
        made += [d.sort()[1], copy.deepcopy(d), d.view(torch.int64), d == d, torch.isnan(d), d.nonzero(), d.max(0)[1]]
        return [_tangent(torch, t) for t in made], d.tolist(), d.numpy().tolist(), d[0].item()


@case()
def what_keeps_its_tangent(torch):
    with _mode(torch).dual_level():
        d = _dual(torch)
        made = [d.clone(), d.float(), d.to(torch.complex128), torch.as_tensor(d), d.contiguous(), d + 1, d.real, d[1:]]
        made += [d.max(0)[0], d.sort()[0], d.floor(), d.sign(), d * torch.tensor([1, 2, 3])]
        return [_tangent(torch, t) for t in made], d.contiguous() is d


@case()
def an_input_without_a_tangent_counts_as_zeros(torch):
    with _mode(torch).dual_level():
        d, x = _dual(torch), _vector(torch, 1, 2, 3)
        return [_tangent(torch, t) for t in (d + x, x * d, torch.cat([x, d]), torch.stack([d, x]), x @ d, x + x)]


@case()
def modes_and_tangents(torch):
    mode, found = _mode(torch), []
    with mode.dual_level():
        d, x = _dual(torch), _vector(torch, 1, 2, 3)
        with torch.no_grad():
            found.append(_tangent(torch, d * 2))
        with torch.inference_mode():
            found += [_tangent(torch, d * 2), _tangent(torch, d), _tangent(torch, mode.make_dual(x, x))]
            with torch.inference_mode(False):
                found.append(_tangent(torch, d * 2))
        with mode._set_fwd_grad_enabled(False):
            found += [_tangent(torch, d * 2), _tangent(torch, d), mode._is_fwd_grad_enabled()]
            made = mode.make_dual(x, x)
        found += [_tangent(torch, d), _tangent(torch, made), mode._is_fwd_grad_enabled()]
    with torch.inference_mode(), mode.dual_level():
        found.append(_tangent(torch, mode.make_dual(x.clone(), x.clone())))
    return found


@case()
def ops_without_a_derivative_in_forward_mode(torch):
    with _mode(torch).dual_level():
        d = _dual(torch)
        found = [error(lambda: d // 2), error(lambda: 2 % d), error(lambda: torch.floor_divide(d, d))]
        for name in ("silu", "mish", "hardsigmoid"):
            x = leaf(torch, 0.5)
            y = getattr(torch.nn.functional, name)(_mode(torch).make_dual(x, _vector(torch, 1)))
            found.append(error(torch.autograd.grad, y.sum(), x))
        y = torch.logit(_mode(torch).make_dual(x, _vector(torch, 1)))
        found.append(error(torch.autograd.grad, y.sum(), x))
        found.append(torch.autograd.grad(torch.nn.functional.silu(x).sum(), x))
        return found


# Views and writes


@case()
def tangents_of_views_are_views(torch):
    with _mode(torch).dual_level():
        d = _mode(torch).make_dual(torch.arange(6.0).reshape(2, 3), torch.ones(2, 3))
        t = _tangent(torch, d)
        views = [d[0], d.t(), d.view(6), d.split(1)[1], d.expand(2, 2, 3), d.unsqueeze(0), d.unbind()[1], d.diagonal()]
        found = [_tangent(torch, v) for v in views]
        t.mul_(2)
        return [(v, v._base is t) for v in found], d


@case()
def a_write_through_a_view_writes_into_the_tangent(torch):
    with _mode(torch).dual_level():
        t = _vector(torch, 4, 5, 6)
        d = _mode(torch).make_dual(_vector(torch, 1, 2, 3), t)
        v = d[0]
        v.mul_(5)
        found = [t.clone(), t._version, d._version]
        d.add_(1)
        d.mul_(_dual(torch))
        found += [_tangent(torch, d) is t, t.clone(), _tangent(torch, v)]
        for write in (
            lambda: d.zero_(),
            lambda: d.copy_(_dual(torch)),
            lambda: d.copy_(_vector(torch, 1, 2, 3)),
            lambda: d.fill_(_dual(torch)[0]),
            lambda: d[1:].copy_(_dual(torch)[:2]),
        ):
            write()
            found.append(t.clone())
        return found


@case()
def a_write_of_a_dual_gives_a_tangent(torch):
    with _mode(torch).dual_level():
        b, one = torch.zeros(3, dtype=torch.float64), _dual(torch)[0]
        w, whole, other = b[1], b.view(3), b.detach()
        w.add_(one)
        found = [_tangent(torch, t) for t in (b, w, whole, b[:2], other)]
        found.append(_tangent(torch, w)._base is _tangent(torch, b))
        other.mul_(one)
        found += [_tangent(torch, other), _tangent(torch, b)]
        for key in (0, torch.tensor([0, 2]), slice(1, None)):
            b = torch.zeros(3, dtype=torch.float64)
            b[key] = one
            found.append(_tangent(torch, b))
        found.append(_tangent(torch, torch.zeros(3, dtype=torch.int64).copy_(_dual(torch))))
        with torch.no_grad():
            b = torch.zeros(3, dtype=torch.float64)
            b[:1].add_(one)
            found.append(_tangent(torch, b))
        c = torch.zeros(3, dtype=torch.complex128)
        c.real.add_(one)
        found.append(_tangent(torch, c))
        return found


@case()
def duals_and_primals_are_roots_of_their_own(torch):
    mode = _mode(torch)
    with mode.dual_level():
        x, one = _vector(torch, 1, 2, 3), _dual(torch)[0]
        d = mode.make_dual(x, _vector(torch, 7, 8, 9))
        p = mode.unpack_dual(d).primal
        seen, of_primal = x.view(3), p[0]
        before = [_tangent(torch, t) for t in (x, seen, p, of_primal)]
        x.mul_(one)
        after = [_tangent(torch, t) for t in (x, seen, d, p, of_primal)]
        p.mul_(one)
        return before, after, [_tangent(torch, t) for t in (p, of_primal, d)], mode.unpack_dual(d).primal


@case()
def a_tangent_that_requires_grad_and_writes(torch):
    mode, t = _mode(torch), leaf(torch, 1, 1)
    with mode.dual_level():
        d = mode.make_dual(_vector(torch, 2, 3), t)
        found = [error(d.mul_, 2), d]
        d = mode.make_dual(_vector(torch, 2, 3), t * 2)
        d.mul_(3)
        found.append(d)
        found.append(torch.autograd.grad(_tangent(torch, d).sum(), t))
        with torch.no_grad():
            mode.make_dual(_vector(torch, 2, 3), t).mul_(2)
        return [*found, t]


@case()
def detach_in_place_drops_the_tangent(torch):
    with _mode(torch).dual_level():
        d = _dual(torch)
        y = d * 2
        y.detach_()
        return _tangent(torch, y), error(d.detach_)


@case()
def writes_beside_the_tangent(torch):
    with _mode(torch).dual_level():
        d = _dual(torch)
        d.data.mul_(3)
        d.detach().mul_(2)
        _mode(torch).unpack_dual(d).primal.mul_(2)
        found = [d, _tangent(torch, d).clone()]
        _tangent(torch, d).mul_(5)
        return found, _tangent(torch, d)


# Second derivatives


@case()
def forward_over_reverse(torch):
    mode, x = _mode(torch), leaf(torch, 1, 2)
    found = []
    with mode.dual_level():
        d = mode.make_dual(x, _vector(torch, 3, 4))
        for function in (lambda d: d**3, lambda d: d.exp(), lambda d: d * d.sum(), lambda d: (d * d).exp().sqrt()):
            (g,) = torch.autograd.grad(function(d).sum(), x)
            found += [g, _tangent(torch, g)]
        y = d * 1
        y.mul_(y.detach().clone())
        y.exp_()
        (g,) = torch.autograd.grad(y.sum(), x)
        found += [g, _tangent(torch, g)]
        (g,) = torch.autograd.grad(d * 2, x, _dual(torch, (1.0, 1.0), (5.0, 6.0)))
        found += [g, _tangent(torch, g)]
        (g,) = torch.autograd.grad((d**3).sum(), d)
        found += [g, _tangent(torch, g)]
    return found


@case()
def changes_of_shape_in_place_change_the_tangent_itself(torch):
    mode, found = _mode(torch), []
    for change in (
        lambda d: d.t_(),
        lambda d: d.transpose_(0, 1),
        lambda d: d.squeeze_(),
        lambda d: d.unsqueeze_(-1),
        lambda d: d.as_strided_((2,), (1,)),
    ):
        t = leaf(torch, 3, 4).reshape(1, 2) * 2
        with mode.dual_level():
            d = mode.make_dual(torch.ones(1, 2, dtype=torch.float64), t)
            change(d)
            found += [_tangent(torch, d), t, t._version, t.grad_fn.name(), d._version]
    return found


@case()
def what_a_tangent_refuses_its_dual_is_refused(torch):
    mode, found = _mode(torch), []
    with mode.dual_level():
        d = mode.make_dual(torch.ones(2, dtype=torch.float64), leaf(torch, 3, 4))
        found += [error(d.squeeze_), error(d.unsqueeze_, 0), error(d.resize_, 1), d.shape]
    return found


@case()
def reverse_over_forward(torch):
    mode, x, t = _mode(torch), leaf(torch, 1, 2), leaf(torch, 3, 4)
    with mode.dual_level():
        tangent = _tangent(torch, mode.make_dual(x, t).pow(3))
        return torch.autograd.grad(tangent.sum(), [x, t], create_graph=True)[0].detach(), tangent.detach()


@case()
def gradients_of_tangents_have_no_tangents_of_the_same_level(torch):
    mode, x = _mode(torch), leaf(torch, 1, 2)
    with mode.dual_level():
        d = mode.make_dual(x, _vector(torch, 3, 4))
        (g,) = torch.autograd.grad(_tangent(torch, d.exp()).sum(), x)
        return g, _tangent(torch, g)


@case()
def accumulation_in_forward_mode(torch):
    mode, x = _mode(torch), leaf(torch, 1, 2)
    with mode.dual_level():
        d = mode.make_dual(x, _vector(torch, 3, 4))
        (d**3).sum().backward()
        found = [x.grad.clone(), _tangent(torch, x.grad)]
        first = x.grad
        (d**3).sum().backward()
        found += [x.grad.clone(), _tangent(torch, x.grad).clone(), x.grad is first]
        y = d * d
        y.retain_grad()
        y.exp().sum().backward()
        found += [y.grad, _tangent(torch, y.grad)]
        seen = []
        d.register_hook(seen.append)
        d.exp().sum().backward()
        found += [seen[0], _tangent(torch, seen[0])]
    return found, x.grad


@case()
def graphs_from_outside_the_level(torch):
    mode, x = _mode(torch), leaf(torch, 1, 2)
    y = (x**3).sum()
    with mode.dual_level():
        (g,) = torch.autograd.grad(y, x, mode.make_dual(_vector(torch, 1)[0], _vector(torch, 2)[0]))
        return g, _tangent(torch, g)


test_forward = as_torch(__name__)


# What is refgrad's own


def test_a_write_of_what_shares_memory_with_its_target() -> None:
    """torch reads the operand after it was overwritten: its tangent of ``d.mul_(d)`` is wrong."""
    with forward_ad.dual_level():
        d = _dual(refgrad)
        d.mul_(d)
        assert _tangent(refgrad, d).tolist() == [8.0, 20.0, 36.0]


def test_tangents_and_their_graphs_go_with_the_level() -> None:
    x = refgrad.tensor([1.0, 2.0], requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        with forward_ad.dual_level():
            y = forward_ad.make_dual(x, refgrad.ones(2)).exp().tanh()
            tangent = weakref.ref(forward_ad.unpack_dual(y).tangent)
            assert tangent() is not None
        assert tangent() is None
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_tangents_come_through_hooks_on_saved_tensors() -> None:
    x, seen = refgrad.tensor([0.5, 1.5], requires_grad=True), []
    with forward_ad.dual_level():
        d = forward_ad.make_dual(x, refgrad.ones(2))

        def pack(t: Any) -> Any:
            seen.append(_tangent(refgrad, t))
            return t.detach().clone().numpy()

        with refgrad.autograd.graph.saved_tensors_hooks(pack, refgrad.tensor):
            outputs = [d**3, d.exp()]
        seconds = [6 * x, x.exp()]
        for y, second in zip(outputs, seconds, strict=True):
            (g,) = refgrad.autograd.grad(y.sum(), x)
            assert np.allclose(_tangent(refgrad, g).numpy(), second.detach().numpy())
    assert seen[0].tolist() == [1, 1]  # that of the first input


def test_a_tangent_first_looked_at_without_grad_mode_can_be_written() -> None:
    x = leaf(refgrad, 1, 2, 3)
    with forward_ad.dual_level():
        b = refgrad.zeros(3, dtype=refgrad.float64)
        v = b[:2]
        b.add_(forward_ad.make_dual(x, refgrad.ones(3, dtype=refgrad.float64)))
        with refgrad.no_grad():
            assert _tangent(refgrad, v).tolist() == [1, 1]
        assert v.grad_fn is not None
        v.mul_(x[:2])
        assert _tangent(refgrad, b).tolist() == [1, 2, 1]


def test_the_hot_path_is_as_before_outside_of_a_level() -> None:
    assert local.modes.plain
    with forward_ad.dual_level():
        assert not local.modes.plain
    assert local.modes.plain
    assert refgrad.ones(2).exp()._dual is None


def test_tangents_do_not_share_memory_with_those_they_follow_from() -> None:
    """But those of views."""
    with forward_ad.dual_level():
        t = refgrad.ones(2, 3, dtype=refgrad.float64)
        d = forward_ad.make_dual(refgrad.ones(2, 3, dtype=refgrad.float64), t)
        for y in (d + 1, d.clone(), d * 1, d.sum(0, keepdim=True), refgrad.cat([d]), d.neg().neg(), d.to("cpu") + 0):
            assert not np.shares_memory(forward_ad.unpack_dual(y).tangent.numpy(), t.numpy())
