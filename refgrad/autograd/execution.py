"""The handle on the backward pass under way that torch gives as `Variable._execution_engine`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad.modes import local


class ImperativeEngine:
    """What code that runs within a backward pass may ask of it."""

    def queue_callback(self, callback: Callable[[], Any]) -> None:
        """Call `callback()` when the pass under way on this thread is complete, after those queued before.

        RuntimeError outside of a backward pass. Nothing is called when the pass fails.
        """
        task = local.modes.backward
        if task is None:
            raise RuntimeError("Final callbacks can only be installed during backward pass.")
        task.callbacks.append(callback)

    def is_checkpoint_valid(self) -> bool:
        """Whether the pass under way delivers gradients to all leaves, as a reentrant checkpoint needs."""
        task = local.modes.backward
        return task is None or task.reaches_all
