"""The engines that programs can run on, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType

from oracle.engines.protocol import Engine, EngineError
from oracle.engines.torchlike import TorchLike


def _one_thread(torch: ModuleType) -> None:
    torch.set_num_threads(1)  # programs are tiny, and a sum split over threads may round otherwise


_MODULES: dict[str, Callable[[ModuleType], None]] = {"refgrad": lambda module: None, "torch": _one_thread}

NAMES = tuple(_MODULES)


def check_name(name: str) -> None:
    """Raises EngineError unless there is an engine of that name; imports nothing."""
    if name not in _MODULES:
        raise EngineError(f"unknown engine {name!r}; there are: {', '.join(NAMES)}")


@cache
def get(name: str) -> Engine:
    """The engine of that name; its module is imported at the first call.

    Raises EngineError if there is no such engine, or if its module cannot be imported.
    """
    check_name(name)
    try:
        module = import_module(name)
    except ImportError as error:
        raise EngineError(f"engine {name!r} cannot be imported: {error}") from error
    _MODULES[name](module)
    return TorchLike(name, module)


__all__ = ["NAMES", "Engine", "EngineError", "TorchLike", "check_name", "get"]
