"""Short programs on refgrad alone, each of which shows what one planted defect changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import refgrad as torch

Shown = Callable[[], Any]
SHOWN: dict[str, Shown] = {}
"""By the name of the defect."""


def shows(name: str) -> Callable[[Shown], Shown]:
    """Register what shows the defect of that name; there is one for each."""

    def mark(function: Shown) -> Shown:
        assert name not in SHOWN, name
        SHOWN[name] = function
        return function

    return mark


def seen(function: Shown) -> Any:
    """What a program returns, or the class of what it raises."""
    try:
        return function()
    except Exception as error:
        return type(error).__name__


def leaf(*values: float) -> Any:
    """A float64 vector that requires grad."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def plain(*values: float) -> Any:
    """A float64 vector."""
    return torch.tensor(values, dtype=torch.float64)


def gradient(root: Any, x: Any) -> Any:
    """The gradient of a root's sum, as numbers."""
    return torch.autograd.grad(root.sum(), x)[0].tolist()
