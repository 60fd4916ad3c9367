"""How far numbers are apart, and how far they may be.

NaN agrees with NaN, +inf with +inf, -inf with -inf; equal numbers agree, zeros of either sign among them; so do
numbers within `NEAR` ulps. What is further apart is held against limits made for a very program (see
`oracle.bounds`). Integers and bools agree when they are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NEAR = 4
"""Ulps that two correct results may lie apart without more ado. The mathematical libraries under the engines
promise about 1 ulp for a single function, NumPy's vectorised ones up to 4: less proves nothing."""

ROWS = 12
"""The most elements that a divergence lists."""

Limit = np.ndarray | None
"""For each element how far apart two sound engines may be, infinity where anything goes; None: `NEAR`."""

_HALF = {np.dtype(name): np.finfo(name).max / 2 for name in ("float16", "float32", "float64")}


def far_apart(mine: np.ndarray, true: np.ndarray, limit: Limit = None) -> np.ndarray | None:
    """The elements that do not agree, as a mask; None if all do. Both arrays have one shape and one dtype."""
    if mine.tobytes() == true.tobytes():
        return None
    apart = (mine != true) & ((mine == mine) | (true == true))
    if mine.dtype.kind == "f" and apart.any():
        apart &= ~(gap(mine, true) <= NEAR * ulp(mine, true))
    if limit is not None and apart.any():
        apart &= ~((gap(mine, true) <= limit) | np.isinf(limit))
    return apart if apart.any() else None


def gap(mine: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The distance of each pair of elements, in float64."""
    return np.abs(np.subtract(mine, true, dtype=np.float64))


def ulp(mine: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The spacing at the larger of each pair of elements, in float64."""
    return spacing(np.maximum(np.abs(mine), np.abs(true))).astype(np.float64)


def spacing(array: np.ndarray) -> np.ndarray:
    """How far each number is from the next one of its dtype, in that dtype; NaN for NaN.

    At the very top the next one would be infinity: there, the spacing at half of it.
    """
    return np.spacing(np.minimum(np.abs(array), _HALF[array.dtype]))


def measure(
    mine: np.ndarray, true: np.ndarray, limit: Limit
) -> tuple[str, tuple[dict[str, Any], ...], tuple[float, ...]]:
    """How far apart two arrays are: a line of text, the elements furthest apart, and what each is allowed."""
    apart = far_apart(mine, true, limit)
    assert apart is not None
    floating = mine.dtype.kind == "f"
    distance = gap(mine, true)
    unit = ulp(mine, true) if floating else np.zeros(mine.shape)
    allowed = np.maximum(NEAR * unit, 0.0 if limit is None else limit)
    allowed = np.nan_to_num(allowed, nan=0.0, posinf=np.inf)
    order = np.argsort(np.where(apart, -np.nan_to_num(distance, nan=np.inf), 1.0), axis=None, kind="stable")
    count = int(np.count_nonzero(apart))
    rows = tuple(
        {
            "index": tuple(map(int, index)),
            "subject": mine[index].item(),
            "oracle": true[index].item(),
            "difference": float(distance[index]),
            "ulps": float(distance[index] / unit[index]) if floating else None,
            "bound": float(allowed[index]),
        }
        for index in [np.unravel_index(flat, mine.shape) for flat in order[: min(ROWS, count)]]
    )
    ulps = f" ({rows[0]['ulps']:.3g} ulps)" if floating else ""
    line = f"{count} of {mine.size} elements differ, the furthest by {rows[0]['difference']:.3g}{ulps}"
    return f"{line} at {list(rows[0]['index'])}", rows, tuple(allowed.ravel().tolist())
