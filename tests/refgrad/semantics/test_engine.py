"""Depth, width, memory and threads of the backward pass."""

from __future__ import annotations

import gc
import threading
import weakref

import refgrad


def test_a_long_chain_runs_without_recursion() -> None:
    x = refgrad.ones(2, dtype=refgrad.float64, requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    assert y.tolist() == [50_001.0, 50_001.0]


def test_a_wide_fan_in_sums_every_use() -> None:
    x = refgrad.ones(1, dtype=refgrad.float64, requires_grad=True)
    total = x * 0
    for _ in range(5_000):
        total = total + x
    total.backward()
    assert x.grad.tolist() == [5_000.0]


def test_graphs_are_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x = refgrad.ones(3, dtype=refgrad.float64, requires_grad=True)
        middle = (x * 2).exp()
        gone = weakref.ref(middle)
        out = (middle * middle).sum()
        del middle
        assert gone() is not None  # saved for backward
        del out
        assert gone() is None
    finally:
        gc.enable()


def test_threads_accumulate_into_a_shared_leaf() -> None:
    x = refgrad.ones(3, dtype=refgrad.float64, requires_grad=True)
    x.grad = refgrad.zeros(3, dtype=refgrad.float64)

    def work() -> None:
        for _ in range(50):
            (x * 2).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert x.grad.tolist() == [400.0] * 3


def test_threads_meet_at_a_large_leaf() -> None:
    """NumPy lets other threads run while it adds large arrays."""
    for _ in range(3):
        x = refgrad.ones(300_000, dtype=refgrad.float64, requires_grad=True)
        threads = [threading.Thread(target=lambda x=x: (x * 2).sum().backward()) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert x.grad.tolist() == [8.0] * 300_000


def test_numpy_warnings_are_off_inside_and_untouched_outside() -> None:
    import numpy as np

    before = np.geterr()
    x = refgrad.tensor([0.0, -1.0], requires_grad=True)
    x.log().sum().backward()  # under pytest a warning would be an error
    assert np.geterr() == before
