"""Interleaved timing: contenders take turns, so that a drift of the machine hits all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def interleaved(
    contenders: dict[str, Callable[[], object]], rounds: int = 15, repeat: int = 10
) -> dict[str, list[float]]:
    """Seconds per call of each contender, one figure a round, the contenders in turn."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in contenders.items():
                start = time.perf_counter()
                for _ in range(repeat):
                    run()
                times[name].append((time.perf_counter() - start) / repeat)
    finally:
        gc.enable()
    return times


def ratio(times: dict[str, list[float]], name: str, base: str) -> float:
    """The median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))


def best(times: dict[str, list[float]], name: str) -> float:
    return min(times[name])
