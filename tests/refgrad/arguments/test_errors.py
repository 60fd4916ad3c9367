"""Wrong arguments of common functions: torch's exception class, and the function's name first in the text."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import outcome

CALLS = (
    lambda t: t.result_type(1),
    lambda t: t.linspace(0, 1, 2.0),
    lambda t: t.linspace(0, 1, "a"),
    lambda t: t.linspace("a", 1, 3),
    lambda t: t.linspace(0, 1, True),
    lambda t: t.linspace(0, 1, None),
    lambda t: t.rand(),
    lambda t: t.randn(),
    lambda t: t.eye(2, "a"),
    lambda t: t.randint(0, 3, 2),
    lambda t: t.randint_like(3, 3),
    lambda t: t.rand(2, generator=3),
    lambda t: t.rand(2, requires_grad=1),
    lambda t: t.is_complex(),
    lambda t: t.numel(),
    lambda t: t.can_cast(t.float64),
    lambda t: t.zeros(5, dtype=t.int64).random_(2.5),
    lambda t: t.zeros(5, dtype=t.int64).random_("a"),
    lambda t: t.zeros(5).bernoulli_("a"),
    lambda t: t.ones(2).new_tensor(),
    lambda t: t.ones(2).new_full((2,)),
    lambda t: t.ones(2).is_same_size(3),
    lambda t: t.ones(2).cpu("a"),
    lambda t: t.sum(t.ones(2), "a"),
    lambda t: t.sum(t.ones(2), dim="a"),
    lambda t: t.sum(t.ones(2), dim=1.0),
    lambda t: t.sum(t.ones(2), dtype="a"),
    lambda t: t.ones(2).sum("a"),
    lambda t: t.ones(2).sum(dim="a"),
    lambda t: t.ones(2).sum(dim=1.0),
    lambda t: t.ones(2).sum(True),
    lambda t: t.ones(2).mean("a"),
    lambda t: t.ones(2).mean(dim="a"),
    lambda t: t.ones(2).var("a"),
    lambda t: t.ones(2).chunk("a"),
    lambda t: t.ones(2).cpu(3),
    lambda t: t.scatter(3, 0, t.tensor([0]), t.ones(1)),
    lambda t: t.rsub(np.ones(2), t.ones(2)),
    lambda t: t.ones(2).view(True),
    lambda t: t.ones(2).unsqueeze(True),
    lambda t: t.ones(2).unsqueeze(t.tensor([0])),
    lambda t: t.ones(2).unsqueeze(t.tensor(True)),
    lambda t: t.arange(1, None),
    lambda t: t.arange(1, 5, None),
    lambda t: t.asarray(data=[1]),
    lambda t: t.linspace(0, 1, 3, dtype="a"),
    lambda t: t.logspace(0, 1, 3, "a"),
    lambda t: t.randint(3, (2,), generator=3),
    lambda t: t.randint_like(t.ones(2), 3.5),
    lambda t: t.normal(0.0, 1.0, 2),
    lambda t: t.normal(t.zeros(2), 1.0, (2,)),
    lambda t: t.zeros(2).uniform_(0, 1, 2),
    lambda t: t.zeros(2).random_(foo=2),
    lambda t: t.zeros(2).random_(None),
    lambda t: t.zeros(2).random_(True),
    lambda t: t.zeros(2).normal_(0, 1, 2),
    lambda t: t.zeros(2).bernoulli(generator=3),
)


def named(result):
    """An error as (class, name of the function that its text names first)."""
    (kind, text), _ = result
    found = re.match(r"(?:\w+\.)*(\w+)\(\)", text)
    assert found, text
    return kind, found[1]


@pytest.mark.parametrize("call", CALLS, ids=lambda f: f"line{f.__code__.co_firstlineno}")
def test_as_in_torch(call):
    assert named(outcome(call, refgrad)) == named(outcome(call, torch))
