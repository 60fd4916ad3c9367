"""Grad modes and inference mode: nesting, decorators, generators, threads, and tensors made inside."""

from __future__ import annotations

import threading
from typing import Any

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


def mode(torch: Any) -> tuple[bool, bool]:
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled()


@case(60, 61)
def no_grad_and_back(torch):
    x = leaf(torch, 1, 2)
    with torch.no_grad():
        y = x * 2
        z = torch.ones(2, requires_grad=True)
        w = torch.ones(2).requires_grad_()
        with torch.enable_grad():
            u = x * 2
    return y, z, w, u


@case(61)
def no_grad_writes_keep_history(torch):
    x = leaf(torch, 1, 2)
    y = x * 2
    with torch.no_grad():
        y.mul_(3)
        x.add_(1)
    node = y.grad_fn.name()
    y.sum().backward()
    return node, y, y._version, x, x.grad


@case(62)
def set_grad_enabled_as_function_and_context(torch):
    seen = []
    torch.set_grad_enabled(False)
    seen.append(mode(torch))
    with torch.set_grad_enabled(True):
        seen.append(mode(torch))
    seen.append(mode(torch))
    decorated = torch.set_grad_enabled(True)(lambda: mode(torch))
    return [*seen, mode(torch), decorated(), mode(torch)]


@case(62)
def decorators(torch):
    @torch.no_grad
    def bare():
        return mode(torch)

    @torch.no_grad()
    def called(n):
        return [mode(torch)] + (called(n - 1) if n else [])

    @torch.inference_mode
    def inferring():
        return mode(torch)

    @torch.enable_grad
    def enabling():
        return mode(torch)

    with torch.no_grad():
        found = enabling()
    return bare(), called(2), inferring(), found, mode(torch)


@case(63)
def entering_one_instance_twice(torch):
    c = torch.no_grad()
    with c:  # noqa: SIM117
        with c:
            pass
    return mode(torch)


@case(64)
def generators(torch):
    @torch.no_grad()
    def body():
        got = yield mode(torch)
        try:
            yield got, mode(torch)
        except ValueError:
            yield "thrown", mode(torch)
        finally:
            seen.append(mode(torch))

    seen: list[Any] = []
    g = body()
    seen += [next(g), mode(torch), g.send(5), mode(torch), g.throw(ValueError), mode(torch)]
    g.close()
    return seen, mode(torch)


@case(64)
def a_mode_inside_an_undecorated_generator_leaks(torch):
    def body():
        with torch.no_grad():
            yield 1
            yield 2

    g = body()
    next(g)
    inside = mode(torch)
    g.close()
    return inside, mode(torch)


@case(66)
def threads_start_with_grad_enabled(torch):
    seen: list[Any] = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: seen.append((mode(torch), (leaf(torch, 1) * 2).requires_grad)))
        thread.start()
        thread.join()
        return seen, mode(torch)


@case(67, 34)
def the_mode_inside_backward(torch):
    x, seen = leaf(torch, 1, 2), []
    y = x * x
    y.register_hook(lambda g: seen.append((mode(torch), (g * 2 + x).requires_grad)))
    with torch.no_grad():
        torch.autograd.grad(y.sum() if False else y, x, torch.ones_like(y), create_graph=True)
        y.backward(torch.ones_like(y))
    return seen, x.grad


@case(68)
def tensors_made_in_inference_mode(torch):
    with torch.inference_mode():
        x = torch.ones(2)
        y = torch.ones(2, requires_grad=True)
        z = leaf(torch, 1, 2) * 2
        inside = mode(torch)
    return inside, x.is_inference(), y.is_inference(), y.requires_grad, z, z.is_inference(), (y + 2)


@case(69)
def what_inference_tensors_refuse(torch):
    with torch.inference_mode():
        x = torch.ones(2, dtype=torch.float64)
    w = leaf(torch, 1, 2)
    found = [error(lambda: x._version), error(lambda: w * x), error(x.add_, 1), error(x.requires_grad_)]
    with torch.no_grad():
        found.append(error(x.zero_))
    found.append(error(setattr, x, "requires_grad", True))
    return found, w + x, (x * 2).is_inference(), torch.zeros(2, dtype=torch.float64).add_(x)


@case(71)
def writes_in_inference_mode(torch):
    y = leaf(torch, 1, 2) * 2
    with torch.inference_mode():
        y.mul_(3)
        x = torch.ones(2)
        x.mul_(2)
        v = x[:1]
        v.add_(1)
    return y, y._version, y.grad_fn.name(), x, v._is_view(), x[:1]._is_view()


@case(72)
def modes_within_inference_mode(torch):
    seen = []
    with torch.inference_mode():
        with torch.enable_grad():
            seen.append((mode(torch), (leaf(torch, 1) * 2).requires_grad))
        with torch.inference_mode(False):
            seen.append((mode(torch), (leaf(torch, 1) * 2).requires_grad))
        seen.append(mode(torch))
    with torch.no_grad(), torch.inference_mode(False):
        seen.append(mode(torch))
    return seen, mode(torch)


@case(72)
def copies_of_inference_tensors(torch):
    with torch.inference_mode():
        x = torch.ones(2)
    return x.clone().is_inference(), x.detach().is_inference(), x[:1].is_inference(), x.data.is_inference()


@case(72)
def backward_in_inference_mode(torch):
    x = leaf(torch, 1, 2)
    y = (x * x).sum()
    with torch.inference_mode():
        y.backward()
    return x.grad, x.grad.is_inference()


@case(60)
def factories_and_flags_ignore_no_grad(torch):
    with torch.no_grad():
        return torch.ones(2, requires_grad=True), torch.ones(2).requires_grad_()


@case(62)
def set_grad_enabled_as_a_function(torch):
    torch.set_grad_enabled(False)
    y = leaf(torch, 3) * 2
    torch.set_grad_enabled(True)
    return y


@case(62)
def set_grad_enabled_as_a_context(torch):
    with torch.set_grad_enabled(False):
        y = leaf(torch, 3) * 2
    return y, torch.is_grad_enabled()


@case(62)
def set_grad_enabled_as_a_decorator(torch):
    @torch.set_grad_enabled(False)
    def double(x):
        return x * 2

    return double(leaf(torch, 3)), torch.is_grad_enabled()


@case(62)
def an_exception_restores_the_mode(torch):
    try:
        with torch.no_grad():
            raise KeyError
    except KeyError:
        return torch.is_grad_enabled()


@case(65)
def decorating_a_class_warns(torch):
    class Model:
        def __init__(self, x):
            self.recording = torch.is_grad_enabled()

    made = torch.no_grad()(Model)(1)
    return made.recording, type(made).__name__, mode(torch)


test_as_torch = as_torch(__name__)
