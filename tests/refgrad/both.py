"""Run one function under torch and under refgrad, and compare what an observer can see."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

import refgrad


def seen(value: Any) -> Any:
    """A value as plain data: a tensor with its state, containers item by item, an error by class and text."""
    if isinstance(value, (torch.Tensor, refgrad.Tensor)):
        node = value.grad_fn
        return {
            "values": value.detach().tolist(),
            "dtype": str(value.dtype),
            "shape": tuple(value.shape),
            "stride": tuple(value.stride()),
            "requires_grad": value.requires_grad,
            "is_leaf": value.is_leaf,
            "grad_fn": None if node is None else node.name(),
        }
    if isinstance(value, dict):
        return {k: seen(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [seen(v) for v in value]
    if isinstance(value, (torch.dtype, refgrad.dtype, torch.device, refgrad.device)):
        return repr(value)
    return value


def outcome(function: Callable[[Any], Any], module: Any) -> Any:
    """What a function returns or raises under one module, with the warnings it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.set_warn_always(True)  # some warnings come once a process, whoever caused the first
        refgrad.autograd._warned.clear()
        try:
            result = seen(function(module))
        except Exception as error:
            result = (_class_name(error), str(error).partition("\n")[0][:60])
        finally:
            torch.set_warn_always(False)
    return result, [(w.category.__name__, str(w.message)[:60]) for w in caught]


def _class_name(error: Exception) -> str:
    return type(error).__name__


def assert_both(function: Callable[[Any], Any]) -> None:
    """Fail unless the function does the same under both."""
    expected, got = outcome(function, torch), outcome(function, refgrad)
    assert repr(got) == repr(expected)  # repr, so that nan equals nan and -0.0 differs from 0.0
