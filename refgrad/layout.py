"""How an array lies in memory, and how torch lays out what is computed from it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from refgrad.devices import MODULES, Array, Kernel


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


STRETCHED = (
    "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
    "Please clone() the tensor before performing the operation."
)


def is_stretched(array: Any) -> bool:
    """Whether elements share a place, as those of an expanded tensor do: then it cannot be written to."""
    return bool(array.size) and any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True))


def copy_order(array: Any) -> Any:
    """The memory order in which torch copies `array`: its own if dense, else row-major."""
    return "K" if is_dense(array) else "C"


def laid_out_as(xp: Any, values: Any, like: Any, dtype: Any = None) -> Any:
    """A copy of `values` in the memory order of `like`, where torch keeps the order of an input."""
    if like.flags.c_contiguous:
        return xp.array(values, dtype, order="C", copy=True)
    order = _fastest_first([like.strides], like.shape)[::-1]
    rows = xp.array(xp.transpose(values, order), dtype, order="C", copy=True)
    return xp.transpose(rows, [order.index(k) for k in range(like.ndim)])


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
    arrays = [a for a in operands if getattr(a, "ndim", 0)]
    if all(a.shape == made.shape and a.flags.c_contiguous for a in arrays):
        return made
    return arranged_by(xp, made, [_steps(a, made.shape) for a in arrays])


def arranged_by(xp: Any, made: Any, steps: Sequence[tuple[int, ...]]) -> Any:
    """The same, given the steps of each operand along the dimensions of the result."""
    order = _fastest_first(steps, made.shape)
    slow_first = order[::-1]
    strides, step = [0] * made.ndim, made.itemsize
    for dim in order:
        strides[dim] = step
        step *= made.shape[dim]
    if made.strides == tuple(strides):
        return made
    if all(n == 1 or s == w for n, s, w in zip(made.shape, made.strides, strides, strict=True)):
        # no element moves, but the next op looks at the strides of dimensions of size one too
        return xp.lib.stride_tricks.as_strided(made, made.shape, strides)
    moved = xp.ascontiguousarray(xp.transpose(made, slow_first))
    return xp.transpose(moved, [slow_first.index(k) for k in range(made.ndim)])


def _fastest_first(strides: Sequence[tuple[int, ...]], shape: tuple[int, ...]) -> list[int]:
    """Dimensions by rising strides of the operands; where nothing tells, in row-major order."""
    order = list(range(len(shape) - 1, -1, -1))
    for start in range(1, len(shape)):
        here = start
        for other in range(start - 1, -1, -1):
            verdict = _compare(strides, shape, order[other], order[here])
            if verdict > 0:
                order[other], order[here] = order[here], order[other]
                here = other
            elif verdict < 0:
                break
    return order


def _steps(array: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an operand, for each dimension of the result; 0 where it is stretched."""
    added = len(shape) - array.ndim
    stretched = zip(array.shape, shape[added:], array.strides, strict=True)
    return (0,) * added + tuple([s if n == m else 0 for n, m, s in stretched])


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


# A geometry is (size, stride, offset), counted in elements from the start of the memory.

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]


def owner_of(array: Array) -> Array:
    """The array whose memory `array` looks into."""
    owner, base = array, array.base
    while base is not None:
        if type(base) is type(array):
            owner = base
        base = getattr(base, "base", None)
    return owner


def offset_of(array: Array) -> int:
    """Where in its memory an array starts, in elements."""
    xp = MODULES[type(array)]
    return (xp.address(array) - xp.address(owner_of(array))) // array.itemsize


def strides_of(array: Array) -> tuple[int, ...]:
    """Steps between elements, counted in elements, as torch counts them."""
    if array.size:
        return tuple([s // array.itemsize for s in array.strides])
    return row_major_strides(array.shape)  # NumPy fills in others where there is nothing to step over


def row_major_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous tensor of that shape."""
    steps = [1]
    for n in shape[:0:-1]:
        steps.append(steps[-1] * max(n, 1))
    return tuple(steps[::-1][: len(shape)])


def geometry_of(array: Array) -> Geometry:
    return array.shape, strides_of(array), offset_of(array)


def strided(xp: Any, memory: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
    """A window on the memory that starts with the first element of `memory`."""
    steps = [s * memory.itemsize for s in stride]
    if not offset or 0 in size:
        return xp.lib.stride_tricks.as_strided(memory, size, steps)
    flat = xp.lib.stride_tricks.as_strided(memory, (offset + 1,), (memory.itemsize,))
    return xp.lib.stride_tricks.as_strided(flat[offset:], size, steps)
