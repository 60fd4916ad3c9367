"""Forward mode: dual tensors, which carry a tangent, and the level within which they do.

    with dual_level():
        dual = make_dual(x, tangent)
        value, jvp = unpack_dual(f(dual))
"""

from __future__ import annotations

from typing import Any, NamedTuple

from refgrad.forward import Level, dual_of, primal_of
from refgrad.modes import _Mode, forward, local
from refgrad.tensor import Tensor

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


def _current() -> int:
    """The number of the level entered; -1 if there is none."""
    return -1 if forward.level is None else 0


def enter_dual_level() -> int:
    """Enter the level of forward mode, for all threads, and return its number, 0.

    RuntimeError if it is entered already: there is only one.
    """
    if forward.level is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    forward.set(Level())
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Leave the level: all tangents are gone. RuntimeError for a level that was not entered last."""
    current = _current()
    if level is None:
        level = current
    if level != current:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    if forward.level is None:
        raise RuntimeError("Dual level must be a positive number.")
    left = forward.level
    forward.set(None)
    left.exit()


def _check_floating(what: str, t: Any) -> None:
    if not (t.is_floating_point() or t.is_complex()):
        raise ValueError(f"Expected {what} to be floating point or complex, but got: {t.dtype}")


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A view of `tensor` that carries `tangent`, of the same shape: this very tensor where its layout allows that.

    ValueError for integers; RuntimeError without a level, for another shape, and for what is dual already.
    """
    level = _current() if level is None else level
    if level < 0:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    _check_floating("primal", tensor)
    _check_floating("tangent", tangent)
    if level:
        raise RuntimeError("Invalid level given to _make_dual")
    if forward.level is None:
        raise RuntimeError(
            "Trying to access a forward AD level with an invalid index. This index was either not created or is "
            "already deleted."
        )
    if local.modes.forward is not None and forward.level.tangent(tensor) is not None:
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not "
            "supported."
        )
    made = dual_of(tensor)
    if not local.modes.inference:
        forward.level.attach(made, tangent)
    return made


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` gives: a view of the tensor without its tangent, and the tangent, or None."""

    primal: Tensor
    tangent: Tensor | None


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value and the tangent of a tensor; its tangent is None if it has none, or if no level is entered."""
    level = _current() if level is None else level
    if level < 0:
        return UnpackedDualTensor(tensor, None)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"_unpack_dual(): argument 'dual' (position 1) must be Tensor, not {type(tensor).__name__}")
    if level:
        raise RuntimeError("Invalid level given to _fw_primal")
    entered = local.modes.forward
    return UnpackedDualTensor(primal_of(tensor), None if entered is None else entered.tangent(tensor))


class dual_level(_Mode):
    """A level of forward mode: as a context manager, or for the calls of a function. Levels do not nest."""

    def __enter__(self) -> int:  # type: ignore[override]
        return enter_dual_level()

    def __exit__(self, *exc_info: object) -> None:
        exit_dual_level()


def _is_fwd_grad_enabled() -> bool:
    return local.modes.forward_enabled


class _set_fwd_grad_enabled(_Mode):
    """Whether tangents are seen on this thread: from now on; as a context manager, until its end."""

    def __init__(self, mode: bool) -> None:
        self.previous = local.modes.forward_enabled
        self.mode = mode
        _enable(mode)

    def clone(self) -> _Mode:
        return _set_fwd_grad_enabled(self.mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        _enable(self.previous)


def _enable(mode: bool) -> None:
    local.modes.forward_enabled = mode
    local.modes.settle()
