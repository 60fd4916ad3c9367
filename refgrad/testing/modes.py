"""Defects of grad mode and inference mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad import counters
from refgrad.engine import _Task
from refgrad.modes import Modes, _Mode, inference_mode, local, set_grad_enabled
from refgrad.testing.planting import Plant, Planting, attribute, function, leaking, together


def _staying_after_exception() -> Planting:
    leave = _Mode.__exit__

    def stay(self: _Mode, *exc_info: object) -> None:
        if not exc_info or exc_info[0] is None:
            leave(self, *exc_info)

    return leaking(attribute(_Mode, "__exit__", stay))


def _leaving_grad_mode_off() -> Planting:
    leave = inference_mode.__exit__

    def stay(self: inference_mode, *exc_info: object) -> None:
        leave(self, *exc_info)
        if self.mode:
            local.modes.set_grad(False)

    return leaking(attribute(inference_mode, "__exit__", stay))


def _inheriting() -> Planting:
    start, parent = Modes.__init__, local.modes

    def inherit(self: Modes) -> None:
        start(self)
        self.set_grad(parent.grad_enabled)

    return attribute(Modes, "__init__", inherit)


def _recording_in(place: str) -> Planting:
    """Hooks that `_Task` runs in the method of this name run with grad mode on."""
    run = getattr(_Task, place)

    def recording(self: Any, *args: Any) -> Any:
        modes = local.modes
        before = modes.grad_enabled
        modes.set_grad(True)
        try:
            return run(self, *args)
        finally:
            modes.set_grad(before)

    return attribute(_Task, place, recording)


def _set_both(self: Modes, enabled: bool) -> None:
    self.grad_enabled = self.recording = enabled


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "mode", description, apply)


PLANTS = (
    _plant(
        "mode-stays-after-exception",
        "a grad mode is not restored when an exception leaves it",
        _staying_after_exception,
    ),
    _plant(
        "set-grad-enabled-stays",
        "set_grad_enabled as a context manager does not restore the mode",
        lambda: leaking(attribute(set_grad_enabled, "__exit__", lambda self, *exc_info: None)),
    ),
    _plant("inference-mode-stays", "grad mode is off after inference mode", _leaving_grad_mode_off),
    _plant(
        "inference-unmarked",
        "tensors made in inference mode are like any others",
        lambda: function(counters.fresh, lambda: [0]),
    ),
    _plant(
        "enable-grad-in-inference",
        "enable_grad inside inference mode records",
        lambda: attribute(Modes, "set_grad", _set_both),
    ),
    _plant("thread-inherits-mode", "a new thread starts with the grad mode of the one before it", _inheriting),
    _plant(
        "hooks-record",
        "hooks run with grad mode on",
        lambda: together(*[_recording_in(place) for place in ("_tensor_hooks", "_prehooks", "_posthooks")]),
    ),
)
