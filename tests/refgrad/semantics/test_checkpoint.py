"""Checkpoints: what is computed again, how often, under which random numbers; and what is refused."""

from __future__ import annotations

import contextlib
import gc
import importlib
import weakref
from typing import Any

import pytest

import refgrad
from refgrad.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential, set_checkpoint_debug_enabled
from tests.refgrad.semantics.rows import as_torch, case, error, leaf


def tools(torch: Any) -> Any:
    return importlib.import_module(f"{torch.__name__}.utils.checkpoint")


class Counted:
    """A function that counts how often it was called and how often it came to its end."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.calls = self.ends = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        made = self.function(*args, **kwargs)
        self.ends += 1
        return made

    @property
    def seen(self) -> tuple[int, int]:
        return self.calls, self.ends


def wave(x: Any) -> Any:
    y = x.exp()
    return y.sin() * y


@case(203)
def computed_again_once_for_each_pass(torch):
    found = []
    for reentrant in (False, True):
        x, f = leaf(torch, 1, 2), Counted(wave)
        y = tools(torch).checkpoint(f, x, use_reentrant=reentrant)
        found.append(f.seen)
        y.sum().backward(retain_graph=True)
        found.append((f.seen, x.grad.clone()))
        y.sum().backward()
        found.append((f.seen, x.grad.clone(), error(y.sum().backward), f.seen))
    return found


@case(203)
def early_stop(torch):
    found = []
    set_early_stop = tools(torch).set_checkpoint_early_stop
    for default in (True, False):
        for forced in (None, True, False):
            x, f = leaf(torch, 1, 2), Counted(lambda x: wave(x) + 1)
            with contextlib.nullcontext() if forced is None else set_early_stop(forced):
                y = tools(torch).checkpoint(f, x, use_reentrant=False, early_stop=default)
            y.sum().backward()
            found.append((f.seen, x.grad))
    return found


@case(203)
def parts_of_a_graph_at_a_time(torch):
    x, w, f = leaf(torch, 1, 2), leaf(torch, 3, 4), Counted(lambda x, w: (x.sin() * w).exp())
    y = tools(torch).checkpoint(f, x, w, use_reentrant=False)
    found = [torch.autograd.grad(y.sum(), w, retain_graph=True), f.seen]
    found += [torch.autograd.grad(y.sum(), x, retain_graph=True), f.seen]
    y.sum().backward(inputs=[x])
    return [*found, f.seen, x.grad, w.grad]


@case(203)
def saved_tensors_outside_of_a_pass(torch):
    x, f = leaf(torch, 1, 2), Counted(wave)
    y = tools(torch).checkpoint(f, x, use_reentrant=False)
    node = y.grad_fn
    return node._saved_self.tolist(), f.seen, node._saved_self.tolist(), node._saved_other.tolist(), f.seen


@case(204)
def higher_order(torch):
    x, f = leaf(torch, 1, 2), Counted(lambda x: (x * x).sin())
    y = tools(torch).checkpoint(f, x, use_reentrant=False)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    found = [first.tolist(), f.seen]
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    found += [second.tolist(), f.seen]
    return [*found, torch.autograd.grad(second.sum(), x), f.seen]


@case(204)
def within_each_other(torch):
    found = []
    for depth in (2, 3, 4):
        counts = [Counted(None) for _ in range(depth)]

        def level(k, x, counts=counts, depth=depth):
            counts[k].function = lambda x: (
                x * x * x if k == depth - 1 else level(k + 1, x * x, counts, depth) ** 2
            )
            return tools(torch).checkpoint(counts[k], x * 2, use_reentrant=False)

        x = leaf(torch, 0.5, 0.25)  # products of powers of two: exact
        y = level(0, x)
        y.sum().backward()
        found.append(([c.seen for c in counts], x.grad))
    return found


@case(204)
def keywords_and_what_is_no_tensor(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)

    def f(a, n, values, *, b, scale=1):
        return (a * b).sin() * n * values[0] * scale, "text", b

    made = tools(torch).checkpoint(f, x, 3, [w], b=w, scale=2, use_reentrant=False)
    made[0].sum().backward()
    y = tools(torch).checkpoint(lambda a, n: ((a * n).exp(), a.detach(), 5, None), x, 2.0, use_reentrant=True)
    y[0].sum().backward()
    return made[0], made[1], made[2] is w, x.grad, w.grad, y


@case(200, 204)
def closures(torch):
    found = []
    for reentrant in (False, True):
        w, plain = leaf(torch, 3, 4), torch.ones(2, dtype=torch.float64)
        y = tools(torch).checkpoint(lambda a, w=w: (a * w).exp(), plain, use_reentrant=reentrant)
        found.append((y.requires_grad, error(y.sum().backward), w.grad))
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    tools(torch).checkpoint(lambda a: (a * w).exp(), x, use_reentrant=True).sum().backward()
    return found, x.grad, w.grad


@case(202)
def random_numbers(torch):
    found = []
    for reentrant in (False, True):
        for preserve in (True, False):
            torch.manual_seed(7)
            x = leaf(torch, 1, 2, 3)
            f = lambda a: a * torch.rand(3, dtype=torch.float64) * a  # noqa: E731
            y = tools(torch).checkpoint(f, x, use_reentrant=reentrant, preserve_rng_state=preserve)
            between = torch.rand(2)
            y.sum().backward()
            found.append((x.grad, between, torch.rand(2)))
    return found


@case(201)
def runs_that_differ(torch):
    def after(*steps):
        calls = iter(steps)
        return lambda x: next(calls)(x)

    pairs = {
        "fewer": (lambda x: x.sin().cos().exp(), lambda x: x.sin()),
        "more": (lambda x: x.sin().exp(), lambda x: x.sin().cos().tanh().exp()),
        "dtype": (lambda x: x * x * x, lambda x: x.to(torch.float32) * x.to(torch.float32) * x),
        "shape": (lambda x: x.exp().sin(), lambda x: x[:1].exp().sin()),
        "values": (lambda x: x.exp().sin(), lambda x: (x * 2).exp().sin()),
        "nothing": (lambda x: x.exp().sin(), lambda x: x.detach()),
        "raising": (lambda x: x.exp().sin(), lambda x: 1 / 0),
    }
    found = {}
    for name, steps in pairs.items():
        for options in ({}, {"early_stop": False}, {"determinism_check": "none"}, {"debug": True}):
            x = leaf(torch, 1, 2)
            y = tools(torch).checkpoint(after(*steps), x, use_reentrant=False, **options)
            found[name, str(options)] = error(y.sum().backward), x.grad
    return found


@case(201, 203)
def unpacked_twice_in_one_pass(torch):
    class Greedy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a)
            return a * 2

        @staticmethod
        def backward(ctx, g):
            (a,) = ctx.saved_tensors
            (a,) = ctx.saved_tensors
            return g * a

    x = leaf(torch, 1, 2)
    y = tools(torch).checkpoint(lambda a: Greedy.apply(a.sin()), x, use_reentrant=False)
    return error(y.sum().backward)


@case(76, 204)
def modified_arguments(torch):
    found = []
    for reentrant in (False, True):
        for view in (False, True):
            x, w = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64)
            y = (x * 2)[:] if view else x * 2
            made = tools(torch).checkpoint(lambda a, b: (a * b).exp(), y, w, use_reentrant=reentrant)
            with torch.no_grad():
                y.add_(1)
            found.append(error(made.sum().backward))
            made = tools(torch).checkpoint(lambda a, b: (a * b).exp(), x, w, use_reentrant=reentrant)
            w.add_(1)
            found.append(error(made.sum().backward))
    return found


@case(204)
def in_place_inside(torch):
    def f(a):
        b = a * 2
        b.exp_()
        b[0] = 1
        b.mul_(a)
        return b.sin()

    found = []
    for reentrant in (False, True):
        x = leaf(torch, 1, 2)
        tools(torch).checkpoint(f, x, use_reentrant=reentrant).sum().backward()
        found.append(x.grad)
    return found


@case(204)
def gradients_inside(torch):
    found = []
    for early_stop in (True, False):
        for retain in (True, False):
            for uses in (True, False):

                def f(x, retain=retain, uses=uses):
                    y = x.sin()
                    z = y.cos()
                    (g,) = torch.autograd.grad(z.sum(), x, retain_graph=retain)
                    return x.cos() * g * z if uses else x.cos() * g

                x, counted = leaf(torch, 1, 2), Counted(f)

                def run(x=x, counted=counted, early_stop=early_stop):
                    tools(torch).checkpoint(counted, x, use_reentrant=False, early_stop=early_stop).sum().backward()

                found.append((error(run), x.grad, counted.seen))
    return found


@case(204)
def contexts(torch):
    class Noted:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            log.append(f"enter {self.name}")

        def __exit__(self, kind, value, trace):
            log.append(f"exit {self.name} {kind is not None}")
            return self.name == "swallows"

    def fail(x):
        raise KeyError("no")

    log: list[str] = []
    x = leaf(torch, 1, 2)
    run = tools(torch).checkpoint
    y = run(wave, x, use_reentrant=False, context_fn=lambda: (Noted("first"), Noted("again")))
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    found = [
        error(run, fail, x, use_reentrant=False, context_fn=lambda: (Noted("first"), Noted("again"))),
        error(run, fail, x, use_reentrant=False, context_fn=lambda: (Noted("swallows"), Noted("again"))),
        error(run, fail, x, use_reentrant=False),
        error(run, fail, x, use_reentrant=True),
    ]
    z = run(lambda a: a.exp().sin() + 0, x, use_reentrant=False, context_fn=lambda: (Noted("first"), Noted("swallows")))
    z.sum().backward()
    (x * x).sum().backward()
    return log, found, x.grad


@case(199)
def reentrant_passes_reach_everything(torch):
    x = leaf(torch, 1, 2)
    f = tools(torch).checkpoint
    found = [
        error(torch.autograd.grad, f(wave, x, use_reentrant=True).sum(), x),
        error(f(wave, x, use_reentrant=True).sum().backward, inputs=[x]),
    ]
    y = f(wave, x, use_reentrant=True)
    found.append(y)
    y.sum().backward()
    return found, x.grad


@case(199, 213)
def a_reentrant_one_within_a_pass_that_does_not_reach_everything(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    y = x * w

    def nested(g):
        with torch.enable_grad():
            z = tools(torch).checkpoint(wave, leaf(torch, 1, 2), use_reentrant=True)
        z.sum().backward()

    y.register_hook(nested)
    return error(torch.autograd.grad, y.sum(), x), x.grad


@case(200)
def nothing_requires_grad(torch):
    plain = torch.ones(2, dtype=torch.float64)
    f = tools(torch).checkpoint
    x = leaf(torch, 1, 2)
    y = f(lambda a: a.detach(), x, use_reentrant=True)
    found = [f(wave, plain, use_reentrant=True), f(wave, plain, use_reentrant=False), y, error(y.sum().backward)]
    with torch.no_grad():
        found += [f(wave, x, use_reentrant=True), f(wave, x, use_reentrant=False)]
    found.append(error(f, wave, use_reentrant=True)[0])
    return found


@case(198)
def the_kind_should_be_chosen(torch):
    x = leaf(torch, 1, 2)
    y = tools(torch).checkpoint(wave, x)
    z = tools(torch).checkpoint_sequential([wave, wave], 1, x)
    return y, z


@case(198, 204)
def arguments_that_do_not_go_together(torch):
    x = leaf(torch, 1, 2)
    f, sequential = tools(torch).checkpoint, tools(torch).checkpoint_sequential
    two = lambda: (contextlib.nullcontext(), contextlib.nullcontext())  # noqa: E731
    found = [
        error(f, wave, x, use_reentrant=True, other=3),
        error(f, wave, x, use_reentrant=True, debug=True),
        error(f, wave, x, use_reentrant=True, context_fn=two),
        error(f, wave, x, use_reentrant=False, debug=True, context_fn=two),
        error(f, wave, x, use_reentrant=False, determinism_check="all"),
        error(f, wave, x, use_reentrant=False, other=3)[0],
        error(sequential, [wave], 2, x, use_reentrant=False),
        error(sequential, [wave], 0, x, use_reentrant=False),
        error(sequential, [wave], 1, x, use_reentrant=False, other=3),
        error(tools(torch).detach_variable, [x]),
        tools(torch).detach_variable((x, 3, x * 2)),
    ]
    with tools(torch).set_checkpoint_debug_enabled(True):
        found.append(error(f, wave, x, use_reentrant=False, context_fn=two))
        with tools(torch).set_checkpoint_debug_enabled(False):
            found.append(f(wave, x, use_reentrant=False, debug=True, context_fn=two))
    return found, issubclass(tools(torch).CheckpointError, RuntimeError)


@case(204)
def a_sequence_of_functions(torch):
    found = []
    for reentrant in (False, True):
        for segments in (1, 2, 3, 4):
            x = leaf(torch, 1, 2)
            functions = [Counted(f) for f in (torch.sin, torch.square, torch.neg, torch.relu, torch.square)]
            y = tools(torch).checkpoint_sequential(functions, segments, x, use_reentrant=reentrant)
            y.sum().backward()
            found.append((y, x.grad, [f.calls for f in functions]))
    return found


@case(204)
def what_is_returned_as_it_is(torch):
    x = leaf(torch, 1, 2)
    same = tools(torch).checkpoint(lambda a: a, x, use_reentrant=False)
    other = tools(torch).checkpoint(lambda a: a, x, use_reentrant=True)
    (other * 2).sum().backward()
    return same is x, other is x, other, x.grad


def test_debugging_tells_where_tensors_were_saved() -> None:
    x = leaf(refgrad, 1, 2)
    steps = iter((lambda a: a.exp().sin(), lambda a: a.exp()))
    with set_checkpoint_debug_enabled(True):
        y = checkpoint(lambda a: next(steps)(a), x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="An error happened while unpacking") as raised:
        y.sum().backward()
    text = str(raised.value)
    assert text.count("tensor 1 of 2, saved at:") == 1 and text.count("tensor 1 of 1, saved at:") == 1
    assert "steps = iter(" in text
    assert isinstance(raised.value.__cause__, CheckpointError)


def test_checkpoints_are_freed_without_the_garbage_collector() -> None:
    for reentrant in (False, True):
        x = leaf(refgrad, 1, 2)
        z = x * 1
        y = checkpoint(wave, z, use_reentrant=reentrant)
        y.sum().backward(retain_graph=True)
        alive = weakref.ref(y.grad_fn), weakref.ref(z.grad_fn), weakref.ref(z)
        gc.collect()
        gc.disable()
        try:
            del y, z
            assert [ref() for ref in alive] == [None] * 3
        finally:
            gc.enable()


def test_what_was_computed_again_goes_when_it_was_used() -> None:
    made: list[Any] = []

    def f(a: Any) -> Any:
        b = a.exp()
        made.append(weakref.ref(b._data))
        return b.sin().tanh()

    x = leaf(refgrad, 1, 2)
    y = checkpoint(f, x, use_reentrant=False)
    gc.disable()
    try:
        refgrad.autograd.grad(y.sum(), x, retain_graph=True)
        assert len(made) == 2 and [ref() for ref in made] == [None, None]
    finally:
        gc.enable()


def test_long_rows_of_checkpoints_need_no_recursion() -> None:
    for reentrant in (False, True):
        x = leaf(refgrad, 0.5)
        y = checkpoint_sequential([lambda t: t * 1.0001] * 3000, 3000, x, use_reentrant=reentrant)
        y.backward()
        assert x.grad.item() == pytest.approx(1.0001**3000)
        del y


@pytest.mark.parametrize("depth", [70, 150])
def test_deep_reentrance_is_moved_to_another_thread(depth: int) -> None:
    x = leaf(refgrad, 0.5)

    def level(k: int, t: Any) -> Any:
        return t * 2 if k == depth else checkpoint(lambda s: level(k + 1, s) * 1.0, t, use_reentrant=True)

    level(0, x).backward()
    assert x.grad.tolist() == [2.0]


test_as_torch = as_torch(__name__)
