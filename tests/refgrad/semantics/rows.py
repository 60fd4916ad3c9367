"""Cases of what torch.autograd does, each tagged with the rows of the semantics table that it covers.

A case is a function of the module (torch or refgrad) that returns what an observer sees; it must return,
raise and warn the same under both. `oracle.semantics` names the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both

Case = Callable[[Any], Any]
CASES: dict[str, list[Case]] = defaultdict(list)
"""By test module."""
ROWS: dict[Case, tuple[int, ...]] = {}


def case(*rows: int) -> Callable[[Case], Case]:
    """Register a case for these rows of the table."""

    def mark(function: Case) -> Case:
        CASES[function.__module__].append(function)
        ROWS[function] = rows
        return function

    return mark


def as_torch(module: str) -> Callable[..., None]:
    """The test that runs all cases of a test module under both engines."""

    @pytest.mark.parametrize("function", CASES[module], ids=lambda f: f.__name__)
    def test(function: Case) -> None:
        try:
            assert_both(function)
        finally:
            torch.set_grad_enabled(True)
            refgrad.set_grad_enabled(True)

    return test


def leaf(torch: Any, *values: float) -> Any:
    """A float64 vector that requires grad."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def error(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call raises, as (class, first line), or "no error": for cases that go on after it."""
    try:
        function(*args, **kwargs)
    except Exception as raised:
        return type(raised).__name__, str(raised).partition("\n")[0][:60]
    return "no error"
