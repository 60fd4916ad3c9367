"""Samples of further distributions, from the streams of a `Generator`: the same as torch's on the CPU.

Each function takes the generator, the parameters, a shape and a NumPy dtype, and returns a new C-contiguous array.
All are computed in float64 with the C library's functions, as in torch, and rounded to the dtype at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from refgrad.generator import Generator


def _mapped(
    function: Callable[[float], float], samples: npt.NDArray[np.float64], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    values = np.array([function(u) for u in samples.reshape(-1).tolist()], np.float64)
    with np.errstate(all="ignore"):
        if np.dtype(dtype) == np.float16:
            values = values.astype(np.float32)  # half precision is rounded by way of single, as in torch
        return values.astype(dtype).reshape(samples.shape)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def exponential(generator: Generator, rate: float, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Samples of the exponential distribution with the given rate, which is positive."""
    return _mapped(lambda u: -1.0 / rate * math.log1p(-u), generator.rand(shape, np.float64), dtype)


def geometric(generator: Generator, p: float, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """How many trials until the first success, for a chance in (0, 1)."""
    scale = math.log1p(-p)
    uniform = generator.rand(shape, np.float64)
    return _mapped(lambda u: float(np.ceil((math.log(u) if u else -math.inf) / scale)), uniform, dtype)


def cauchy(
    generator: Generator, median: float, sigma: float, shape: tuple[int, ...], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Samples of the Cauchy distribution."""
    uniform = generator.rand(shape, np.float64)
    return _mapped(lambda u: median + sigma * math.tan(math.pi * (u - 0.5)), uniform, dtype)


def log_normal(
    generator: Generator, mean: float, std: float, shape: tuple[int, ...], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Exponentials of normal samples, which have the given mean and deviation."""
    return _mapped(_exp, generator.normal(mean, std, shape, np.float64, contiguous=False), dtype)
