"""What shows the defects of values."""

from __future__ import annotations

from typing import Any

import refgrad as torch
from tests.refgrad.plants.showing import gradient, leaf, plain, shows


@shows("sin-sign")
def sine() -> Any:
    x = leaf(1, 2)
    return gradient(x.sin(), x)


@shows("softmax-missing-term")
def softmax() -> Any:
    x = leaf(1, 2)
    return gradient(x.softmax(0) * plain(1, 3), x)


@shows("div-missing-factor")
def division() -> Any:
    x = leaf(2, 4)
    return gradient(plain(3, 3) / x, x)


@shows("fan-in-keeps-last")
def fan_in() -> Any:
    x = leaf(1)
    return gradient(x * 2 + x * 3, x)


@shows("broadcast-not-summed")
def stretched() -> Any:
    x = leaf(1)
    return gradient(x * plain(1, 2, 3), x)


@shows("cumsum-wrong-axis")
def running_sum() -> Any:
    x = leaf(1, 2, 3)
    return gradient(x.cumsum(0), x)


@shows("prod-at-zero")
def product() -> Any:
    x = leaf(0, 2)
    return str(gradient(x.prod(), x))


@shows("accumulate-overwrites")
def accumulated() -> Any:
    x = leaf(1)
    (x * 2).backward()
    (x * 3).backward()
    return x.grad.tolist()


@shows("no-grad-records")
def under_no_grad() -> Any:
    x = leaf(1)
    with torch.no_grad():
        return (x * 2).requires_grad


@shows("detach-keeps-history")
def detached() -> Any:
    return (leaf(1) * 2).detach().requires_grad


@shows("stale-result")
def results() -> Any:
    x = leaf(1)
    return gradient(x.exp().exp(), x)


@shows("sum-ignores-cotangent")
def total() -> Any:
    x = leaf(1, 2)
    return gradient(x.sum() * 3, x)


@shows("gradient-argument-ignored")
def given_gradient() -> Any:
    x = leaf(1, 2)
    (x * 2).backward(plain(1, 3))
    return x.grad.tolist()


@shows("tanh-double-backward")
def second_order() -> Any:
    x = leaf(1)
    (g,) = torch.autograd.grad(x.tanh(), x, create_graph=True)
    return gradient(g, x)


@shows("retain-graph-ignored")
def freed() -> Any:
    y = leaf(1).exp()
    y.backward()
    y.backward()


@shows("zero-grad-keeps")
def zeroed() -> Any:
    return plain(1, 2).zero_().tolist()


@shows("gradient-dtype")
def promoted() -> Any:
    x = torch.tensor([1.0], dtype=torch.float32, requires_grad=True)
    return str(torch.autograd.grad((x * plain(2)).sum(), x)[0].dtype)
