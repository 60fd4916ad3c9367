"""The script of a finding sees what the trace says, at every place and of every kind."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from oracle.compare import Divergence
from oracle.execute import run
from oracle.plan import plan
from oracle.program import Program
from oracle.repro import script
from oracle.trace import UNREAD, Fault, Observation, Place, Trace
from tests.oracle.broken import TORCH
from tests.oracle.wild import wild

ASPECTS = (
    *("value", "dtype", "shape", "requires_grad", "is_inference", "version", "retains_grad", "storage", "same"),
    *("is_leaf", "grad_fn", "output_nr", "is_view"),
)


def seen_by_script(program: Program, found: Divergence) -> Any:
    """What the script looks at, on torch."""
    spaces: dict[str, Any] = {"__name__": "script"}
    exec(script(program, found, "torch", "torch"), spaces)  # our own text
    (seen,) = spaces["observe"]("torch", None).values()
    return seen


def divergence(kind: str, place: Place, entry: int | None, op: str = "op") -> Divergence:
    return Divergence(kind, place.statement, place.tensor, place.what, op, "m", "s", "o", place=place, entry=entry)


def check_aspect(program: Program, trace: Trace, kind: str, place: Place, entry: int | None, true: Observation) -> None:
    """Compares what the script sees of one aspect with what the trace holds."""
    at = f"{kind} at {place}"
    if kind == "value":
        numeric = "gradient" if place.what in ("grad", "gradient", "grad after") else "value"
        seen = seen_by_script(program, divergence(numeric, place, entry))
        assert repr(seen) == repr(true.value.ravel().tolist()), at
        return
    seen = seen_by_script(program, divergence("identity" if kind == "same" else kind, place, entry))
    expected = getattr(true, kind)
    if kind == "storage":
        assert min((int(name[1:]) for name in seen), default=place.tensor) >= expected, at
        assert expected == place.tensor or f"t{expected}" in seen, at
    elif kind == "same":
        assert seen if expected == -1 else f"t{expected}" in seen, at
    elif kind == "dtype":
        assert seen == f"torch.{expected}", at
    elif kind == "shape":
        assert tuple(seen) == expected, at
    else:
        assert seen == expected, at


def aspects_of(program: Program, place: Place, true: Observation) -> list[str]:
    """What the trace says of a tensor there."""
    own = ("storage", "is_view", "output_nr", "is_leaf", "grad_fn")  # may be left out, as an engine's own business
    told = ["value", *(k for k in ASPECTS[1:] if getattr(true, k) not in (None, UNREAD))]
    if place.what == "gradient":
        return [k for k in told if k in ASPECTS[:4]]
    if place.what in ("grad", "grad after"):
        return [k for k in told if k not in own]
    return told if true.grad_fn not in (UNREAD, "RuntimeError") else [k for k in told if k not in own[1:]]


@pytest.mark.parametrize("seed", range(150))
def test_a_script_sees_what_the_trace_says(seed: int) -> None:
    program, random = wild(seed), Random(seed)
    trace = run(program, TORCH)
    loose = plan(program).loose
    entries = list(enumerate(zip(trace.places, trace.seen, strict=True)))
    for entry, (place, true) in random.sample(entries, min(5, len(entries))):
        if isinstance(true, Observation):
            kind = random.choice(aspects_of(program, place, true))
            check_aspect(program, trace, kind, place, entry, true)
        elif isinstance(true, Fault):
            found = divergence("exception", place, entry)
            assert seen_by_script(program, found) == true.type
        elif place.what == "modes":
            earlier = sum(p.what == "modes" for p in trace.places[: entry + 1])
            grad, inference = seen_by_script(program, divergence("mode", place, entry))[earlier - 1]
            assert true == f"grad {'on' if grad else 'off'}, inference {'on' if inference else 'off'}"
        elif place.what == "hook":
            earlier = sum(p.what == "hook" for p in trace.places[: entry + 1])
            calls = seen_by_script(program, divergence("hook", place, entry))
            number, gradients, grad = calls[earlier - 1]
            assert number == place.tensor
            assert true == f"{gradients} gradients, grad {'on' if grad else 'off'}"
        elif place.what == "returned":
            assert seen_by_script(program, divergence("identity", place, entry)) is (true == "itself")
        elif place.what == "edges":
            behind = seen_by_script(program, divergence("edges", place, entry))
            if behind is None:
                assert true == "no node"
                continue
            texts = [f"{'nothing' if name is None else name} {number}" for name, number in behind]
            assert isinstance(true, str) and true.endswith(f"({', '.join(texts)})")
    for tensor, last in enumerate(trace.state):
        if last is not None and random.random() < 0.3 and tensor not in loose:
            place = Place(None, tensor, "state")
            check_aspect(program, trace, random.choice(aspects_of(program, place, last)), place, None, last)
