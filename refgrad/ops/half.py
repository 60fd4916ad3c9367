"""Half precision computed in single, and rounded once: what torch does on CPU and GPU.

It is for kernels and formulas of more than one step; an elementwise function of the array package
does so by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from refgrad import dtypes
from refgrad.devices import Kernel
from refgrad.layout import laid_out_as


def in_single(kernel: Kernel) -> Kernel:
    """A kernel whose first operand is an array, and the others of its dtype or Python numbers."""

    @functools.wraps(kernel)
    def call(xp: Any, first: Any, *others: Any, **params: Any) -> Any:
        if first.itemsize != 2 or first.dtype.kind != "f":
            return kernel(xp, first, *others, **params)
        wide = [a.astype(xp.float32) if getattr(a, "itemsize", 0) == 2 else a for a in others]
        return kernel(xp, laid_out_as(xp, first, first, xp.float32), *wide, **params).astype(first.dtype)

    return call


def gradient_in_single(formula: Callable[..., Any]) -> Callable[..., Any]:
    """A formula whose gradient and saved values are widened; the engine casts the result back."""

    @functools.wraps(formula)
    def call(F: Any, g: Any, *saved: Any) -> Any:
        if g.itemsize != 2:
            return formula(F, g, *saved)
        wide = [_widen(F, value) for value in saved]
        return formula(F, _widen(F, g), *wide)

    return call


def _widen(F: Any, value: Any) -> Any:
    if getattr(value, "itemsize", 0) == 2:  # an array or a tensor in half precision
        return F.cast(value, dtype=dtypes.float32)
    return value
