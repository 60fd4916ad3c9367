"""Programs checked per second and core, split into its parts, with torch's gradcheck beside it."""

from __future__ import annotations

import statistics
import time
import warnings
from typing import Any

import torch

from oracle import engines
from oracle.catalogue import CATALOGUE
from oracle.check import check
from oracle.choices import Source, entropy
from oracle.compare import compare
from oracle.execute import run
from oracle.generate import PROFILES, programs
from oracle.program import Call, Program

COUNT = 1000
ROUNDS = 3


def seconds(work: Any, items: list[Any]) -> float:
    """The median time over rounds of doing `work` once with each item."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for item in items:
            work(item)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def gradchecked(program: Program) -> tuple[Any, list[torch.Tensor]] | None:
    """The forward part of a program as a function for gradcheck; None where it has no float64 leaf."""
    leaves = [k for k, leaf in enumerate(program.leaves) if leaf.value.dtype == "float64" and leaf.requires_grad]
    if not leaves:
        return None
    engine = engines.get("torch")
    values = [engine.leaf(leaf) for leaf in program.leaves]

    def forward(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tensors = list(values)
        for k, x in zip(leaves, inputs, strict=True):
            tensors[k] = x
        made: list[torch.Tensor] = []
        for statement in program.statements:
            if not isinstance(statement, Call):
                break
            out = engine.call(CATALOGUE[statement.op], [tensors[i] for i in statement.inputs], statement.params)
            tensors.extend(out)
            made.extend(t for t in out if t.requires_grad and t.is_floating_point())
        return tuple(made[-1:])

    return forward, [values[k].detach().clone(memory_format=torch.contiguous_format).requires_grad_() for k in leaves]


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    source = Source(programs(PROFILES["default"]))
    drawn = [p for p in (source.draw(entropy(0, 0, k)) for k in range(COUNT)) if p is not None]
    ours, theirs = engines.get("refgrad"), engines.get("torch")
    traces = [(p, run(p, ours), run(p, theirs)) for p in drawn]
    calls = sum(isinstance(s, Call) for p in drawn for s in p.statements) / len(drawn)
    parts = {
        "generation": seconds(lambda k: source.draw(entropy(1, 0, k)), list(range(COUNT))),
        "refgrad": seconds(lambda p: run(p, ours), drawn),
        "torch": seconds(lambda p: run(p, theirs), drawn),
        "comparison": seconds(lambda t: compare(*t), traces),
    }
    whole = seconds(lambda k: check(source.draw(entropy(1, 0, k)), ours, theirs), list(range(COUNT)))
    print(f"{len(drawn)} programs of the default profile, {calls:.1f} ops each, on one core:")
    for name, value in parts.items():
        print(f"  {name:12} {value / COUNT * 1e3:6.3f} ms a program   {value / whole:5.0%} of a whole check")
    print(f"  whole check  {whole / COUNT * 1e3:6.3f} ms a program   {COUNT / whole:,.0f} programs a second")
    prepared = [g for g in map(gradchecked, drawn[:200]) if g is not None]
    start, done = time.perf_counter(), 0
    for forward, inputs in prepared:
        outputs = forward(*inputs)
        if outputs:
            torch.autograd.gradcheck(forward, inputs, raise_exception=False)
            done += 1
    each = (time.perf_counter() - start) / done
    times = each / (whole / COUNT)
    print(f"  torch.autograd.gradcheck on {done} of them: {each * 1e3:.2f} ms a program, {times:.1f} x a whole check")


if __name__ == "__main__":
    main()
