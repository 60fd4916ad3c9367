"""A chain of up to a million nodes: time and memory per node must not grow with its length."""

from __future__ import annotations

import subprocess
import sys

SIZES = (125_000, 250_000, 500_000, 1_000_000)

CHILD = """
import gc, sys, time, tracemalloc
import refgrad as torch
n, traced = int(sys.argv[1]), sys.argv[2] == "traced"
x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
c = torch.full((2, 3), 1.0, dtype=torch.float64)
y = (x * c).sum(); y.backward()
x.grad = None
gc.disable()
if traced:
    tracemalloc.start()
start = time.perf_counter()
y = x
for _ in range(n):
    y = y * c
middle = time.perf_counter()
y.backward(c)
end = time.perf_counter()
del y
freed = time.perf_counter()
assert x.grad.tolist() == c.tolist()
print(middle - start, end - middle, freed - end, tracemalloc.get_traced_memory()[1])
"""


def chain(n: int, how: str) -> tuple[float, ...]:
    """Seconds forward, backward and to free the graph, and the peak of allocated bytes if traced."""
    run = subprocess.run([sys.executable, "-c", CHILD, str(n), how], capture_output=True, text=True, check=True)
    return tuple(map(float, run.stdout.split()))


def main() -> None:
    print("Chain of n multiplications on 2x3 float64, each size in a process of its own:")
    print(f"  {'n':>9} {'forward':>10} {'backward':>10} {'freeing':>10} {'peak':>12}   (per node)")
    for n in SIZES:
        forward, backward, freeing, _ = chain(n, "timed")
        *_, peak = chain(n, "traced")  # in a run of its own, since tracing takes time
        print(
            f"  {n:>9,} {forward / n * 1e6:>7.2f} us {backward / n * 1e6:>7.2f} us "
            f"{freeing / n * 1e6:>7.2f} us {peak / n:>6.0f} bytes"
        )


if __name__ == "__main__":
    main()
