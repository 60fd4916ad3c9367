"""Where the numbers of leaves come from: pools of values, one per domain and dtype.

A pool holds 4,096 values in which zeros, ties, small integers, halves and ones are over-represented; a leaf
picks from it by a hash of the number drawn, so that a whole tensor costs no further draw. The first values
of a pool are its simplest.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import shake_128
from math import inf, nan

POOL = 4096


@dataclass(frozen=True, slots=True)
class Domain:
    """An interval an operand should lie in, with the pools for new leaves; the first is the simplest."""

    low: float
    high: float
    pools: tuple[str, ...]


ANY = Domain(-1e3, 1e3, ("plain", "plain", "plain", "integers", "plain", "plain", "positive", "integers"))
SMALL = Domain(-20.0, 20.0, ANY.pools)
NONZERO = Domain(
    0.05, 1e3, ("positive", "positive", "positive", "above", "positive", "counting", "plain", "positive")
)
POSITIVE = Domain(
    0.05, 1e3, ("positive", "positive", "positive", "above", "positive", "counting", "positive", "zero")
)
NONNEGATIVE = Domain(
    0.0, 1e3, ("positive", "positive", "zero", "above", "positive", "counting", "zero", "positive")
)
UNIT = Domain(-0.98, 0.98, ("unit", "unit", "unit", "unit", "unit", "unit", "unit", "edge"))
ABOVE = Domain(1.02, 1e3, ("above",) * 7 + ("counting",))
OVER_MINUS_ONE = Domain(
    -0.9, 1e3, ("positive", "unit", "above", "unit", "positive", "zero", "unit", "positive")
)

_MASK = (1 << 64) - 1


def _uniform(seed: int) -> Callable[[], float]:
    """A splitmix64 stream of multiples of 2**-20 in [0, 1)."""
    state = seed

    def step() -> float:
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) >> 44) * 2.0**-20

    return step


# name: (simplest values, special values, share of special ones, low, high of the rest)
_RECIPES: dict[str, tuple[list[float], list[float], float, float, float]] = {
    "plain": (
        [1.0, 2.0, 3.0, -1.0],
        [
            0.0,
            0.0,
            0.0,
            -0.0,
            1.0,
            1.0,
            -1.0,
            -1.0,
            2.0,
            -2.0,
            3.0,
            -3.0,
            0.5,
            -0.5,
            1.5,
            -1.5,
            2.5,
            0.75,
            0.75,
            -0.75,
        ],
        0.45,
        -3.0,
        3.0,
    ),
    "integers": ([1.0, 2.0, 3.0, -1.0], [0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0], 1.0, 0.0, 0.0),
    "positive": ([1.0, 2.0, 3.0, 0.5], [1.0, 2.0, 3.0, 0.5, 0.5, 1.5, 0.25], 0.35, 0.1, 4.0),
    "zero": ([0.0, 1.0, 2.0, 0.5], [0.0, 0.0, 1.0, 4.0, 0.5], 0.5, 0.0, 4.0),
    "counting": ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0], 1.0, 0.0, 0.0),
    "above": ([2.0, 3.0, 1.5, 4.0], [1.5, 2.0, 2.0, 3.0, 4.0], 0.3, 1.1, 4.0),
    "unit": ([0.5, -0.5, 0.25, 0.0], [0.0, 0.0, 0.5, -0.5, 0.25, -0.75, 0.75], 0.35, -0.95, 0.95),
    "edge": ([1.0, -1.0, 0.0, 0.5], [1.0, -1.0, 0.0, -0.0], 0.7, -1.0, 1.0),
    "wild": (
        [1e3, -1e3, 0.0, 1e-3],
        [0.0, -0.0, 1.0, 6e4, -6e4, 1e3, -100.0, 30.0, -30.0, 2.0**-14, -(2.0**-14), 2.0**-24, 1e-3],
        0.85,
        -50.0,
        50.0,
    ),
    "cotangent": ([2.0, -1.0, 3.0, 0.5], [0.0, 1.0, -1.0, 2.0, 0.5, -0.5, -3.0, 4.0], 0.4, -2.0, 2.0),
    "special": ([inf, nan, -inf, 0.0], [inf, -inf, nan, 0.0, -0.0, 1.0, -1.0], 0.6, -3.0, 3.0),
}
_FAR = {
    "float64": (1e200, -1e200, 1e-200, 5e-324, 1e16),
    "float32": (1e30, -1e30, 1e-30, 1e-40, 1e8),
    "float16": (),
}
_PACKED = {"float32": "f", "float16": "e"}
_POOLS: dict[tuple[str, str], tuple[list[float], float, float]] = {}


def rounded(value: float, dtype: str) -> float:
    """The value as the dtype holds it."""
    if value != value:
        return nan
    packed = _PACKED.get(dtype)
    return float(struct.unpack(packed, struct.pack(packed, value))[0]) if packed else value


def pool(name: str, dtype: str) -> tuple[list[float], float, float]:
    """A pool's values in a dtype, their least and greatest (-inf and inf if not all are finite)."""
    key = (name, dtype)
    found = _POOLS.get(key)
    if found is None:
        found = _POOLS[key] = _build(name, dtype)
    return found


def _build(name: str, dtype: str) -> tuple[list[float], float, float]:
    simple, special, share, low, high = _RECIPES[name]
    if name == "wild":
        special = [*special, *_FAR[dtype]]
    uniform = _uniform(sum(map(ord, name)))
    values = list(simple)
    while len(values) < POOL:
        if uniform() < share:
            values.append(special[int(uniform() * len(special))])
        else:
            values.append(low + uniform() * (high - low))
    values = [rounded(v, dtype) for v in values]
    if name in ("wild", "special"):
        return values, -inf, inf
    return values, min(values), max(values)


def hashed(word: int, salt: int, count: int) -> list[int]:
    """`count` integers below 65,536 that depend on every bit of a word of 128; 0, 1, 2, ... if it is zero."""
    if not word:
        return list(range(count))
    seed = (word ^ salt).to_bytes(16, "little")
    return list(memoryview(shake_128(seed).digest(2 * count)).cast("H"))
