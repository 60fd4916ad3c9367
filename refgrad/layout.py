"""How an array lies in memory: what torch calls non-overlapping and dense."""

from __future__ import annotations

from typing import Any


def is_dense(array: Any) -> bool:
    """Whether the elements fill one stretch of memory, each place once."""
    if array.flags.c_contiguous:
        return True
    expected = array.itemsize
    for stride, size in sorted(zip(array.strides, array.shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True


def copy_order(array: Any) -> str:
    """The memory order in which torch copies `array`: its own if dense, else row-major."""
    return "K" if is_dense(array) else "C"
