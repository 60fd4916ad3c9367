"""What each thread carries: grad mode, inference mode, and what else makes an operation out of the ordinary."""

from __future__ import annotations

import contextvars
import functools
import inspect
import itertools
import threading
import warnings
import weakref
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


class Modes:
    """The modes of one thread.

    `run` calls a function with NumPy's floating point warnings off, without touching the
    caller's own `numpy.seterr` state: NumPy keeps that state in a context variable.

    `plain` tells that nothing but the grad mode can be out of the ordinary: the hot path looks no
    further. `settle` must follow every change of what it depends on.
    """

    __slots__ = (
        "__weakref__",
        "backward",  # the backward pass under way
        "depth",  # how many are, on this thread, each within another
        "forward",  # the level of forward mode, where one is entered and this thread heeds it
        "forward_enabled",
        "grad_enabled",
        "inference",
        "next_sequence",  # numbers nodes in the order they are made, on this thread: the newest runs first
        "multithreading",  # whether backward may use threads of its own
        "packing",  # the innermost of `pairs`; None where tensors are saved as they are
        "pairs",  # (pack, unpack) of each saved_tensors_hooks that was entered
        "plain",
        "recording",  # grad mode, which inference mode overrules
        "refusing",  # why saved_tensors_hooks are not allowed
        "run",
        "sparing",  # allow_mutation_on_saved_tensors, where it is on
    )

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run
        self.next_sequence = itertools.count().__next__
        self.grad_enabled = True
        self.inference = False
        self.multithreading = True
        self.packing: Any = None
        self.pairs: list[Any] = []
        self.refusing: str | None = None
        self.forward_enabled = True
        self.backward: Any = None
        self.depth = 0
        self.sparing: Any = None
        self.settle()
        _all.add(self)

    def settle(self) -> None:
        self.recording = self.grad_enabled and not self.inference
        self.forward: Any = forward.level if self.forward_enabled else None
        self.plain = not (self.inference or self.packing or self.forward or self.sparing or anomaly.enabled)

    def set_grad(self, enabled: bool) -> None:
        self.grad_enabled = enabled
        self.recording = enabled and not self.inference

    def take_over(self, other: Modes) -> None:
        """Be as another thread's modes are."""
        for name in ("backward", "forward_enabled", "grad_enabled", "inference", "packing", "refusing", "sparing"):
            setattr(self, name, getattr(other, name))
        self.pairs = list(other.pairs)
        self.settle()


class Anomaly:
    """Whether nodes keep a trace of where they were made, for all threads; and whether NaN is looked for."""

    enabled = False
    check_nan = True

    def set(self, enabled: bool, check_nan: bool) -> None:
        self.enabled, self.check_nan = enabled, check_nan
        for modes in list(_all):
            modes.settle()


class Forward:
    """The level of forward mode that is entered, for all threads."""

    level: Any = None

    def set(self, level: Any) -> None:
        self.level = level
        for modes in list(_all):
            modes.settle()


_all: weakref.WeakSet[Modes] = weakref.WeakSet()
anomaly = Anomaly()
forward = Forward()


class _Local(threading.local):
    def __init__(self) -> None:
        self.modes = Modes()


local = _Local()


def is_grad_enabled() -> bool:
    """Whether the grad mode of this thread is on."""
    return local.modes.grad_enabled


def differentiates() -> bool:
    """Whether derivatives of what is computed now may be asked for: in grad mode, and in forward mode."""
    modes = local.modes
    return modes.grad_enabled or modes.forward is not None


def is_inference_mode_enabled() -> bool:
    """Whether this thread is in inference mode."""
    return local.modes.inference


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on, in all threads."""
    return anomaly.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for NaN, where it is on."""
    return anomaly.check_nan


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Switch anomaly mode. TypeError for what is no bool."""
    for position, (name, value) in enumerate((("enabled", enabled), ("check_nan", check_nan)), 1):
        if not isinstance(value, bool):
            raise TypeError(
                f"set_anomaly_enabled(): argument '{name}' (position {position}) must be bool, not "
                f"{type(value).__name__}"
            )
    anomaly.set(enabled, check_nan)


class _Mode:
    """A mode that works as context manager and as decorator of functions and generators."""

    mode = True
    previous: Any = True

    def clone(self) -> _Mode:
        return type(self)()

    def __enter__(self) -> None:
        modes = local.modes
        self.previous = modes.grad_enabled
        modes.set_grad(self.mode)

    def __exit__(self, *exc_info: object) -> None:
        local.modes.set_grad(self.previous)

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
        self.previous = local.modes.grad_enabled
        self.mode = bool(mode)
        local.modes.set_grad(self.mode)

    def clone(self) -> _Mode:
        return set_grad_enabled(self.mode)

    def __enter__(self) -> None:
        local.modes.set_grad(self.mode)

    def __call__(self, function: F) -> F:
        local.modes.set_grad(self.previous)
        return super().__call__(function)

    def __str__(self) -> str:
        return f"set_grad_enabled(mode={self.mode})"


class set_multithreading_enabled(_Mode):
    """Set at once, until its end as a context manager, whether backward may use threads of its own.

    It uses none but for very deep reentrance, which needs one, so this is a flag only. TypeError for what is no bool.
    """

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(
                "set_multithreading_enabled(): argument 'enabled' (position 1) must be bool, not "
                f"{type(mode).__name__}"
            )
        self.previous = local.modes.multithreading
        self.mode = local.modes.multithreading = mode

    def clone(self) -> _Mode:
        return set_multithreading_enabled(self.mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        local.modes.multithreading = self.previous


class inference_mode(_Mode):
    """Operations are not recorded inside, and what they make is marked: it counts no writes and cannot be saved.

    With `mode` false it is a way out of inference mode, for a while.
    """

    def __new__(cls, mode: Any = True) -> Any:
        return super().__new__(cls) if isinstance(mode, bool) else cls()(mode)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode

    def clone(self) -> _Mode:
        return inference_mode(self.mode)

    def __enter__(self) -> None:
        modes = local.modes
        self.previous = modes.grad_enabled, modes.inference, modes.forward_enabled
        modes.inference = self.mode
        modes.grad_enabled = modes.forward_enabled = not self.mode
        modes.settle()

    def __exit__(self, *exc_info: object) -> None:
        modes = local.modes
        modes.grad_enabled, modes.inference, modes.forward_enabled = self.previous
        modes.settle()
