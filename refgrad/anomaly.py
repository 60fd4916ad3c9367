"""Anomaly mode: where the operation was called whose derivative goes wrong, and whether a derivative is NaN."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from refgrad.modes import anomaly, local

if TYPE_CHECKING:
    from refgrad.graph import Node

_TRACE, _PARENT = "traceback_", "parent_"
_PACKAGE = os.path.join(os.path.dirname(__file__), "")


def note_origin(node: Node) -> None:
    """Remember where the operation was called, and which derivative was being computed then."""
    kept = node.metadata
    kept[_TRACE] = traceback.format_stack(_caller())
    task = local.modes.backward
    while task is not None and task.at is None:
        task = task.outer
    if task is not None:
        kept[_PARENT] = task.at


def user_trace() -> str:
    """Where the user's code is now."""
    return "".join(traceback.format_stack(_caller()))


def _caller() -> FrameType | None:
    """The innermost frame outside of this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def tell_origin(node: Node) -> None:
    """Warn where the operation was called whose derivative has just failed, and what that was computed for."""
    _tell(node, "Error detected in", "caused the error")
    parent = node.metadata.get(_PARENT)
    while parent is not None:
        _tell(parent, "\n\nPrevious calculation was induced by", "induced the previous calculation")
        parent = parent.metadata.get(_PARENT)


def _tell(node: Node, what: str, why: str) -> None:
    trace = node.metadata.get(_TRACE)
    if trace is None:
        message = (
            f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly during "
            "forward pass for more information."
        )
    else:
        message = f"{what} {node.name()}. Traceback of forward call that {why}:\n{''.join(trace)}"
    warnings.warn(message, UserWarning, stacklevel=2)


def check_nan(node: Node, gradients: Sequence[Any]) -> None:
    """RuntimeError if one of the gradients (arrays or tensors) that a node computed holds NaN."""
    if not anomaly.check_nan:
        return
    for k, g in enumerate(gradients):
        if g is not None:
            data = getattr(g, "_data", g)
            if data.dtype.kind in "fc" and bool((data != data).any()):
                raise RuntimeError(f"Function '{node.name()}' returned nan values in its {k}th output.")
