"""Custom functions for cases, and what they raise in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def custom(torch: Any, forward: Callable[..., Any], backward: Callable[..., Any] | None = None, **more: Any) -> Any:
    """A Function named MyF; without `backward` gradients pass as they are."""
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward or passes)}
    members.update({name: staticmethod(value) if callable(value) else value for name, value in more.items()})
    return type("MyF", (torch.autograd.Function,), members)


def passes(ctx: Any, *gradients: Any) -> Any:
    """A backward that hands on what it gets."""
    return gradients


def raised(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The class and the whole text of what a call raises, or "no error"."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        return type(error).__name__, str(error)
    return "no error"
