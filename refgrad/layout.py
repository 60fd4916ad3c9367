"""How an array lies in memory, and how torch lays out what is computed from it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from refgrad.devices import Kernel


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


def kept_order(array: Any) -> str:
    """The memory order of results that torch lays out as their input: its own, row-major if expanded."""
    expanded = any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True))
    return "C" if expanded else "K"


def row_major(kernel: Kernel) -> Kernel:
    """A kernel whose results lie row by row, whatever the array package makes of its inputs' order."""

    def settled(xp: Any, made: Any) -> Any:
        return made if made.flags.c_contiguous else xp.ascontiguousarray(made)

    @functools.wraps(kernel)
    def call(xp: Any, *arrays: Any, **params: Any) -> Any:
        made = kernel(xp, *arrays, **params)
        return tuple([settled(xp, a) for a in made]) if type(made) is tuple else settled(xp, made)

    return call


def arranged(xp: Any, made: Any, operands: Sequence[Any]) -> Any:
    """An elementwise result in the memory order that torch gives it.

    The first operand that tells two dimensions apart decides which of them runs faster; NumPy
    prefers row-major order where operands disagree. 0 strides tell nothing.
    """
    if made.ndim < 2 or not made.size:
        return made
    lead = [(0,) * (made.ndim - a.ndim) + _steps(a) for a in operands if getattr(a, "ndim", 0)]
    order = list(range(made.ndim - 1, -1, -1))  # the fastest dimension first
    for start in range(1, made.ndim):
        here = start
        for other in range(start - 1, -1, -1):
            verdict = _compare(lead, made.shape, order[other], order[here])
            if verdict > 0:
                order[other], order[here] = order[here], order[other]
                here = other
            elif verdict < 0:
                break
    slow_first = order[::-1]
    strides, step = [0] * made.ndim, made.itemsize
    for dim in order:
        strides[dim] = step
        step *= made.shape[dim]
    if all(n == 1 or s == w for n, s, w in zip(made.shape, made.strides, strides, strict=True)):
        return made
    moved = xp.ascontiguousarray(xp.transpose(made, slow_first))
    return xp.transpose(moved, [slow_first.index(k) for k in range(made.ndim)])


def _steps(array: Any) -> tuple[int, ...]:
    """Strides, 0 where an operand is stretched."""
    return tuple([0 if n == 1 else s for n, s in zip(array.shape, array.strides, strict=True)])


def _compare(strides: Sequence[tuple[int, ...]], shape: tuple[int, ...], a: int, b: int) -> int:
    """Positive if dimension `a`, which comes first, should run slower than `b`."""
    for steps in strides:
        if steps[a] == 0 or steps[b] == 0:
            continue
        if steps[a] != steps[b]:
            return 1 if steps[a] > steps[b] else -1
        if shape[a] > shape[b]:
            return 1
    return 0
