"""One whole check of a program: both engines, the comparison, and the error bounds where they are needed."""

from __future__ import annotations

from dataclasses import dataclass

from oracle import bounds
from oracle.compare import NUMERIC, Divergence, compare
from oracle.engines import Engine
from oracle.execute import run
from oracle.plan import plan
from oracle.program import Program
from oracle.trace import Trace


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of it. `escalated`: numbers were more than a few ulps apart, and error bounds were asked.

    `unfit`: why the program proves nothing, where the oracle itself failed; None as a rule.
    """

    divergence: Divergence | None
    escalated: bool
    subject: Trace
    oracle: Trace
    unfit: str | None = None


BROKEN = ("INTERNAL ASSERT FAILED", "Expected a proper Tensor but got None")
"""What torch says where one of its own assumptions does not hold: a defect of the oracle, whatever the subject does."""


def check(program: Program, subject: Engine, oracle: Engine) -> CheckResult:
    """Runs the program on both engines and compares.

    Numbers that are not nearly equal are held against what rounding alone can do in this program, on the
    oracle's engine, which takes some more runs there.
    Raises HarnessError if the oracle's engine does not work as it must.
    """
    known = plan(program)
    mine, true = run(program, subject, known), run(program, oracle, known)
    if any(text in fault.message for fault in true.faults for text in BROKEN):
        return CheckResult(None, False, mine, true, "the oracle failed an assertion of its own")
    divergence = compare(program, mine, true)
    if divergence is None or divergence.kind not in NUMERIC:
        return CheckResult(divergence, False, mine, true)
    return CheckResult(bounds.excuse(program, oracle, mine, true), True, mine, true)
