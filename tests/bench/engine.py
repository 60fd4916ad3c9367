"""Per-op time of a chain of small float64 ops, forward and backward, beside torch and HIPS autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd as hips
import autograd.numpy as hips_numpy
import numpy as np
import torch

import refgrad
from tests.bench.timing import best, interleaved, ratio

PAIRS = 50


def torch_like(module: Any, backward: bool) -> Callable[[], object]:
    x = module.ones(2, 3, dtype=module.float64, requires_grad=True)
    c = module.full((2, 3), 1.01, dtype=module.float64)

    def run() -> object:
        y = x
        for _ in range(PAIRS):
            y = (y * c).sin()
        if backward:
            y.backward(c)
        return y

    return run


def with_hips() -> Callable[[], object]:
    c = np.full((2, 3), 1.01)
    start = np.ones((2, 3))

    def chain(x: Any) -> Any:
        y = x
        for _ in range(PAIRS):
            y = hips_numpy.sin(y * c)
        return y

    def run() -> object:
        vjp, _ = hips.make_vjp(chain)(start)
        return vjp(c)

    return run


def with_numpy() -> Callable[[], object]:
    c = np.full((2, 3), 1.01)
    start = np.ones((2, 3))

    def run() -> object:
        y = start
        for _ in range(PAIRS):
            y = np.sin(y * c)
        return y

    return run


def main() -> None:
    torch.set_num_threads(1)
    both = interleaved(
        {
            "refgrad": torch_like(refgrad, True),
            "torch": torch_like(torch, True),
            "HIPS autograd": with_hips(),
            "NumPy, forward only": with_numpy(),
        }
    )
    forward = interleaved({"refgrad": torch_like(refgrad, False), "torch": torch_like(torch, False)})
    print(f"Chain of {2 * PAIRS} float64 ops on 2x3, forward and backward, per op:")
    for name in both:
        print(f"  {name:20} {best(both, name) / (2 * PAIRS) * 1e6:6.2f} us   {ratio(both, name, 'torch'):5.2f} x torch")
    print("Forward with recording only:")
    for name in forward:
        print(
            f"  {name:20} {best(forward, name) / (2 * PAIRS) * 1e6:6.2f} us   "
            f"{ratio(forward, name, 'torch'):5.2f} x torch"
        )


if __name__ == "__main__":
    main()
