"""Which rules of torch.autograd the programs of a run exercise, and how each rule is verified."""

from __future__ import annotations

from oracle.program import Program
from oracle.semantics.events import events
from oracle.semantics.rows import ROWS, Row
from oracle.trace import Trace

_ROWS_OF: dict[str, tuple[int, ...]] = {}
for _row in ROWS:
    for _event in _row.events:
        _ROWS_OF[_event] = (*_ROWS_OF.get(_event, ()), _row.number)


def exercised(program: Program, trace: Trace) -> set[int]:
    """The numbers of the rows that the program exercised on the engine that the trace is of."""
    return {number for event in events(program, trace) for number in _ROWS_OF.get(event, ())}


__all__ = ["ROWS", "Row", "events", "exercised"]
