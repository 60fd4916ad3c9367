"""Anomaly mode: NaN in backward, where the operation was called, and what induced it."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import pytest

import refgrad
from tests.refgrad.semantics.rows import as_torch, case, error, leaf


def told(function: Any) -> Any:
    """What a call raises, and of each warning what it is about, with the last line of this file in its trace."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raised = error(function)
    found = []
    for w in caught:
        head, *trace = str(w.message).strip("\n").partition(" (Triggered")[0].split("\n")
        here = [k for k, line in enumerate(trace) if __file__ in line]
        found.append((head[:110], trace[here[-1] + 1].strip() if here else "no trace"))
    return raised, found


@case(207)
def entering_warns(torch):
    found = [torch.is_anomaly_enabled()]
    with torch.autograd.detect_anomaly():
        found.append((torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()))
        with torch.autograd.detect_anomaly(check_nan=False):
            found.append((torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()))
        found.append((torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()))
    found.append((torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()))
    return found


@case(207)
def setting_does_not_warn(torch):
    state = lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())  # noqa: E731
    setting = torch.autograd.set_detect_anomaly
    found = [state()]
    with setting(True, check_nan=False):
        found.append(state())
        with setting(False):
            found.append(state())
        found.append(state())
    found.append(state())
    context = setting(True)
    found.append(state())
    with context:
        pass
    found.append(state())
    refused = [error(setting, 1), error(setting, True, 3), error(torch.autograd.detect_anomaly(2).__enter__)]
    return found, refused, state()


@case(205)
def nan_is_found(torch):
    def run(check_nan, value, inside):
        x = leaf(torch, value, 1)
        y = x.sqrt()
        with torch.autograd.set_detect_anomaly(True, check_nan):
            if inside:
                y = x.sqrt()
            return told(lambda: (y * 0).sum().backward()), x.grad

    return [run(*given) for given in ((True, 0, False), (False, 0, True), (True, 4, True), (True, -1, True))]


@case(205)
def infinity_is_none_of_its_business(torch):
    x = leaf(torch, 0, 1)
    with torch.autograd.set_detect_anomaly(True):
        x.sqrt().sum().backward()
    return x.grad


@case(205)
def which_gradient_is_nan(torch):
    found = []
    for wanted in ((0, 1), (1,), (0,)):
        x, w = leaf(torch, 0, 1), leaf(torch, 0, 1)
        with torch.autograd.set_detect_anomaly(True):
            total = (torch.atan2(x, w) * float("inf")).sum() + (w * x).sum()
            found.append(error(torch.autograd.grad, total, [(x, w)[k] for k in wanted]))
    return found


@case(206)
def the_line_of_the_call_is_told(torch):
    def run():
        x = leaf(torch, 0, 1)
        y = x.sqrt()
        z = torch.nn.functional.relu(y * 0)
        (z + y * 0).sum().backward()

    with torch.autograd.set_detect_anomaly(True):
        return told(run)


@case(206)
def the_line_is_told_for_every_kind_of_call(torch):
    def operator(x):
        return x / x

    def method(x):
        return x.sqrt() * 0

    def inplace(x):
        y = x * 1
        y.sqrt_()
        return y * 0

    def function(x):
        return torch.pow(x, 0.5) * 0

    def view(x):
        y = x * 1
        y[:1].sqrt_()
        return y * 0

    found = []
    for call in (operator, method, inplace, function, view):
        x = leaf(torch, 0, 1)
        with torch.autograd.set_detect_anomaly(True):
            found.append(told(lambda call=call, x=x: call(x).sum().backward()))
    return found


@case(206)
def nothing_is_known_of_calls_before(torch):
    x = leaf(torch, 0, 1)
    y = x.sqrt()
    with torch.autograd.set_detect_anomaly(True):
        return told(lambda: (y * 0).sum().backward())


@case(206)
def any_error_is_told(torch):
    def hooked(x):
        y = x.exp()
        y.register_hook(lambda g: 1 / 0)
        return y

    def after(x):
        y = x.exp()
        y.grad_fn.register_hook(lambda made, given: 1 / 0)
        return y

    def at_leaf(x):
        x.register_hook(lambda g: 1 / 0)
        return x * 2

    def modified(x):
        y = x.exp()
        with torch.no_grad():
            y.add_(1)
        return y

    found = []
    for make in (hooked, after, at_leaf, modified):
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            total = make(leaf(torch, 1, 2)).sum()
            found.append(told(total.backward))
    return found


@case(205, 206)
def hooks_may_mend_or_spoil(torch):
    found = []
    for value in (0.0, float("nan")):
        x = leaf(torch, 0, 1)
        with torch.autograd.set_detect_anomaly(True):
            y = x.sqrt()
            y.grad_fn.register_hook(lambda made, given, value=value: (torch.full_like(made[0], value),))
            found.append((told((y * 0).sum().backward), x.grad))
    return found


@case(206)
def what_induced_the_calculation_is_told(torch):
    def run():
        x = leaf(torch, 0, 1)
        y = x**1.5
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
        torch.autograd.grad((second * 0).sum(), x)

    with torch.autograd.set_detect_anomaly(True):
        return told(run)


@case(206)
def what_induced_it_may_be_unknown(torch):
    def run():
        x = leaf(torch, 0, 1)
        with torch.autograd.set_detect_anomaly(False):
            y = x**1.5
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
        torch.autograd.grad((second * 0).sum(), x)

    with torch.autograd.set_detect_anomaly(True):
        return told(run)


@case(138, 206)
def errors_of_custom_functions_are_told(torch):
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * 2

        @staticmethod
        def backward(ctx, g):
            raise KeyError("backward")

    with torch.autograd.set_detect_anomaly(True):
        y = Failing.apply(leaf(torch, 1, 2))
        return told(y.sum().backward)


@case(206, 213)
def an_error_of_a_pass_within_a_pass_is_told_at_both(torch):
    def nested(g):
        with torch.enable_grad():
            z = (leaf(torch, 0, 1).sqrt() * 0).sum()
        z.backward()

    with torch.autograd.set_detect_anomaly(True):
        y = leaf(torch, 1, 2).exp()
        y.register_hook(nested)
        return told(y.sum().backward)


@case(206)
def the_trace_lies_in_the_metadata(torch):
    with torch.autograd.set_detect_anomaly(True):
        y = leaf(torch, 1, 2).exp()
    (trace,) = [value for key, value in y.grad_fn.metadata.items() if key == "traceback_"]
    return trace[-1].strip().split("\n")[-1].strip(), all(isinstance(entry, str) for entry in trace)


def test_the_mode_is_for_all_threads() -> None:
    found: list[Any] = []

    def run() -> None:
        x = leaf(refgrad, 0, 1)
        with pytest.warns(UserWarning, match="Error detected in SqrtBackward0. Traceback"):
            found.append(error((x.sqrt() * 0).sum().backward))

    with refgrad.autograd.set_detect_anomaly(True):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert found == [("RuntimeError", "Function 'SqrtBackward0' returned nan values in its 0th outp")]


test_as_torch = as_torch(__name__)
