"""Grad mode: whether operations are recorded. Thread-local, as in torch."""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


class _State(threading.local):
    """What one thread carries: its grad mode, and the context in which array code runs.

    `run` calls a function with NumPy's floating point warnings off, without touching the
    caller's own `numpy.seterr` state: NumPy keeps that state in a context variable.
    """

    grad_enabled = True

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


state = _State()


def is_grad_enabled() -> bool:
    """Whether operations on this thread are recorded."""
    return state.grad_enabled


class _Mode:
    """A grad mode that works as context manager and as decorator of functions and generators."""

    mode = True
    previous = True

    def clone(self) -> _Mode:
        return type(self)()

    def __enter__(self) -> None:
        self.previous = state.grad_enabled
        state.grad_enabled = self.mode

    def __exit__(self, *exc_info: object) -> None:
        state.grad_enabled = self.previous

    def __call__(self, function: F) -> F:
        """Decorate: every call runs inside a new context of this mode."""
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. "
                "You should only decorate functions or methods.",
                FutureWarning,
                stacklevel=2,
            )
        if inspect.isgeneratorfunction(function):
            return cast(F, self._wrap_generator(function))

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return cast(F, wrapper)

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The mode holds while the generator's body runs, and not between its yields."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            body = function(*args, **kwargs)
            step = functools.partial(next, body)
            while True:
                try:
                    with self.clone():
                        item = step()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield item
                except GeneratorExit:
                    with self.clone():
                        body.close()
                    raise
                except BaseException as error:
                    step = functools.partial(body.throw, error)
                else:
                    step = functools.partial(body.send, sent)

        return wrapper


class _PlainMode(_Mode):
    """A mode whose class also decorates without parentheses: ``@no_grad``."""

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)


class no_grad(_PlainMode):
    """Operations are not recorded inside."""

    mode = False


class enable_grad(_PlainMode):
    """Operations are recorded inside, also within `no_grad`."""

    mode = True


class set_grad_enabled(_Mode):
    """Set the mode at once; as a context manager, until its end."""

    def __init__(self, mode: bool) -> None:
        self.previous = state.grad_enabled
        self.mode = bool(mode)
        state.grad_enabled = self.mode

    def clone(self) -> _Mode:
        return set_grad_enabled(self.mode)

    def __enter__(self) -> None:
        state.grad_enabled = self.mode

    def __call__(self, function: F) -> F:
        state.grad_enabled = self.previous
        return super().__call__(function)

    def __str__(self) -> str:
        return f"set_grad_enabled(mode={self.mode})"
