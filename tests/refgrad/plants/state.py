"""What shows the defects of hooks, version counters, views and modes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import refgrad as torch
from tests.refgrad.plants.showing import gradient, leaf, plain, seen, shows

# Hooks


@shows("hooks-newest-first")
def order_of_hooks() -> Any:
    x, calls = leaf(1), []
    x.register_hook(lambda g: calls.append("first"))
    x.register_hook(lambda g: calls.append("second"))
    (x * 2).backward()
    return calls


def changed(x: Any, register: Callable[[Any], Any]) -> Any:
    """The gradient of x behind a result with a hook."""
    y = x * 2
    register(y)
    return gradient(y * 3, x)


@shows("hook-result-ignored")
def result_of_hook() -> Any:
    return changed(leaf(1), lambda y: y.register_hook(lambda g: g * 10))


@shows("prehook-result-ignored")
def result_of_prehook() -> Any:
    return changed(leaf(1), lambda y: y.grad_fn.register_prehook(lambda given: (given[0] * 10,)))


@shows("node-hook-result-ignored")
def result_of_node_hook() -> Any:
    return changed(leaf(1), lambda y: y.grad_fn.register_hook(lambda made, given: (made[0] * 10, *made[1:])))


@shows("retain-grad-before-hooks")
def retained_after_hooks() -> Any:
    y = leaf(1) * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    (y * 3).backward()
    return y.grad.tolist()


@shows("retain-grad-left-behind")
def retained_after_write() -> Any:
    y = leaf(1) * 2
    y.retain_grad()
    y.mul_(5)
    (y * 3).backward()
    return y.grad.tolist()


@shows("post-accumulate-too-early")
def after_accumulation() -> Any:
    x, grads = leaf(1), []
    x.register_post_accumulate_grad_hook(lambda x: grads.append(x.grad is None))
    (x * 2).backward()
    return grads


@shows("node-hook-sees-unneeded")
def unneeded() -> Any:
    x, y, shown = leaf(1), leaf(2), []
    z = x * y
    z.grad_fn.register_hook(lambda made, given: shown.append([g is None for g in made]))
    gradient(z, x)
    return shown


@shows("hooks-follow-write")
def hook_before_write() -> Any:
    y, shown = leaf(1) * 2, []
    y.register_hook(lambda g: shown.append(g.tolist()))
    y.mul_(5)
    (y * 3).backward()
    return shown


@shows("removed-hook-stays")
def removed() -> Any:
    x, calls = leaf(1), []
    x.register_hook(lambda g: calls.append("called")).remove()
    (x * 2).backward()
    return calls


@shows("multi-hook-every-time")
def any_of_several() -> Any:
    x, y, calls = leaf(1), leaf(2), []
    torch.autograd.graph.register_multi_grad_hook([x, y], lambda g: calls.append("called"), mode="any")
    (x * y).backward()
    return calls


# Version counters


def written_since(write: Callable[[Any], Any], saved: Callable[[Any], Any] = lambda x: x) -> Any:
    """The gradient of a product whose operand was written since."""
    x = leaf(1, 2)
    y = plain(3, 4)
    z = x * y
    write(saved(y))
    return gradient(z, x)


@shows("version-unchecked")
def unchecked() -> Any:
    return written_since(lambda y: y.add_(1))


@shows("result-version-unchecked")
def unchecked_result() -> Any:
    x = leaf(1, 2)
    y = x.exp()
    z = y * 2
    y[0] = 5
    return gradient(z, x)


@shows("setitem-uncounted")
def counted_setitem() -> Any:
    return written_since(lambda y: y.__setitem__(0, 7))


@shows("zero-uncounted")
def counted_zero() -> Any:
    return seen(lambda: written_since(lambda y: y.zero_())), seen(lambda: written_since(lambda y: y.fill_(1)))


@shows("detach-own-counter")
def counter_of_detached() -> Any:
    return written_since(lambda y: y.add_(1), lambda y: y.detach())


@shows("view-own-counter")
def counter_of_view() -> Any:
    return written_since(lambda y: y.add_(1), lambda y: y[1:])


@shows("data-shares-counter")
def counter_of_data() -> Any:
    return written_since(lambda y: y.add_(1), lambda y: y.data)


@shows("inplace-saves-written")
def saved_before_write() -> Any:
    x = leaf(1, 2)
    return gradient((x * 1).sin_(), x)


# Views


def written_view(write: Callable[[Any], Any]) -> Any:
    """The gradient of the first and the last element of a result whose last was written."""
    x = leaf(1, 2, 3)
    y = x * 2
    write(y[2:])
    return gradient(y * plain(1, 10, 100), x)


@shows("view-write-not-rebased")
def base_of_written() -> Any:
    return written_view(lambda view: view.mul_(7))


@shows("old-gradient-through-slices")
def overwritten_part() -> Any:
    return written_view(lambda view: view.zero_())


@shows("view-offset-forgotten")
def offset() -> Any:
    return written_view(lambda view: view.mul_(3))


@shows("sibling-view-stale")
def sibling() -> Any:
    y = leaf(1, 2, 3) * 2
    first, second = y[:2], y[1:]
    second.mul_(5)
    return first.grad_fn.name()


@shows("multi-output-view-writable")
def one_of_several() -> Any:
    (leaf(1, 2) * 2).unbind()[0].mul_(2)


@shows("no-grad-view-writable")
def view_under_no_grad() -> Any:
    x = plain(1, 2)
    with torch.no_grad():
        view = x[1:]
    view.mul_(leaf(3))


@shows("view-misses-requires-grad")
def base_requires_grad() -> Any:
    x = plain(1, 2)
    view = x[1:]
    x.requires_grad_()
    return view.requires_grad


# Modes


@shows("mode-stays-after-exception")
def mode_after_exception() -> Any:
    try:
        with torch.no_grad():
            raise KeyError
    except KeyError:
        return torch.is_grad_enabled()


@shows("set-grad-enabled-stays")
def mode_after_set_grad_enabled() -> Any:
    with torch.set_grad_enabled(False):
        pass
    return torch.is_grad_enabled()


@shows("inference-mode-stays")
def mode_after_inference() -> Any:
    with torch.inference_mode():
        pass
    return torch.is_grad_enabled()


@shows("inference-unmarked")
def inference_tensor() -> Any:
    with torch.inference_mode():
        return (plain(1) * 2).is_inference()


@shows("enable-grad-in-inference")
def enabled_in_inference() -> Any:
    x = leaf(1)
    with torch.inference_mode(), torch.enable_grad():
        return (x + 2).requires_grad


@shows("thread-inherits-mode")
def mode_of_thread() -> Any:
    modes: list[bool] = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: modes.append(torch.is_grad_enabled()))
        thread.start()
        thread.join()
    return modes


@shows("hooks-record")
def mode_of_hook() -> Any:
    x, modes = leaf(1), []
    y = x * 2
    y.register_hook(lambda g: modes.append(torch.is_grad_enabled()))
    y.grad_fn.register_prehook(lambda given: modes.append(torch.is_grad_enabled()))
    y.grad_fn.register_hook(lambda made, given: modes.append(torch.is_grad_enabled()))
    y.backward()
    return modes
