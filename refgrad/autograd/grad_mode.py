"""Grad modes, under torch's name for their module."""

from __future__ import annotations

from refgrad.modes import enable_grad, inference_mode, no_grad, set_grad_enabled, set_multithreading_enabled
from refgrad.tensor import Tensor

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled", "set_multithreading_enabled"]


class _unsafe_preserve_version_counter:
    """At its end the version counters of these tensors are as they were when it was made: writes are hidden.

    AssertionError for anything but a tensor or a tuple of tensors.
    """

    def __init__(self, tensors: Tensor | tuple[Tensor, ...]) -> None:
        self.tensors = (tensors,) if isinstance(tensors, Tensor) else tensors
        if not isinstance(self.tensors, tuple):
            raise AssertionError("Expected tensors to be a tuple")
        self.prev_versions = tuple(t._version for t in self.tensors)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        for t, version in zip(self.tensors, self.prev_versions, strict=True):
            t._counter[0] = version
