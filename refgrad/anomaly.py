"""Anomaly mode: where the operation was called whose derivative goes wrong, and whether a derivative is NaN."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Any

from refgrad.graph import Node
from refgrad.modes import anomaly, local

_TRACE, _PARENT = "traceback_", "parent_"
_PACKAGE = os.path.join(os.path.dirname(__file__), "")


def note_origin(node: Node) -> None:
    """Remember where the operation was called, and which derivative was being computed then."""
    kept = node.metadata
    kept[_TRACE] = traceback.format_stack(_caller())
    task = local.modes.backward
    if task is not None and task.running is not None:
        kept[_PARENT] = task.running


def _caller() -> FrameType | None:
    """The innermost frame outside of this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def tell_origin(node: Node) -> None:
    """Warn where the operation was called whose derivative has just failed."""
    trace = node.metadata.get(_TRACE)
    if trace is None:
        warnings.warn(
            f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly during "
            "forward pass for more information.",
            UserWarning,
            stacklevel=2,
        )
        return
    warnings.warn(
        f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{''.join(trace)}",
        UserWarning,
        stacklevel=2,
    )
    parent = node.metadata.get(_PARENT)
    while parent is not None:
        trace = parent.metadata.get(_TRACE)
        if trace is None:
            warnings.warn(
                f"\n\nPrevious calculation was induced by {parent.name()}. No forward pass information available. "
                "Enable detect anomaly during forward pass for more information.",
                UserWarning,
                stacklevel=2,
            )
            return
        warnings.warn(
            f"\n\nPrevious calculation was induced by {parent.name()}. Traceback of forward call that induced the "
            f"previous calculation:\n{''.join(trace)}",
            UserWarning,
            stacklevel=2,
        )
        parent = parent.metadata.get(_PARENT)


def check_nan(node: Node, gradients: Sequence[Any]) -> None:
    """RuntimeError if one of the gradients (arrays or tensors) that a node computed holds NaN."""
    if not anomaly.check_nan:
        return
    for k, g in enumerate(gradients):
        if g is not None:
            data = getattr(g, "_data", g)
            if data.dtype.kind in "fc" and bool((data != data).any()):
                raise RuntimeError(f"Function '{node.name()}' returned nan values in its {k}th output.")
