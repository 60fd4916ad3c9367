"""How each row of the semantics table is verified: what `refgrad coverage --semantics` shows, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from oracle.semantics import ROWS, Row
from oracle.semantics.tested import CASES


class Verified(NamedTuple):
    """A row, how many programs of a run exercised it, how many findings do, and how many test cases it has."""

    row: Row
    times: int
    findings: int
    cases: int

    @property
    def how(self) -> str:
        """In words."""
        ways = [f"{self.times:,} programs"] if self.times else []
        if self.cases:
            ways.append(f"{self.cases} test case{'s' if self.cases > 1 else ''} ({', '.join(CASES[self.row.number])})")
        if not ways and self.row.waits:
            return f"not yet: {self.row.waits}"
        return "; ".join(ways) or "UNTESTED"

    @property
    def untested(self) -> bool:
        """Whether nothing verifies it and nothing says why."""
        return not (self.times or self.cases or self.row.waits)


def verified(counts: Mapping[str, Any]) -> list[Verified]:
    """All rows, given the counts of a run (`summary["semantics"]` of its document)."""
    found = []
    for row in ROWS:
        times, findings = counts.get(str(row.number), (0, 0))
        found.append(Verified(row, times, findings, sum(CASES.get(row.number, {}).values())))
    return found


def table(rows: list[Verified]) -> str:
    """The rows as text, by section."""
    lines: list[str] = []
    section = ""
    for row in rows:
        if row.row.section != section:
            section = row.row.section
            lines += ["", section] if lines else [section]
        found = f"; {row.findings} findings" if row.findings else ""
        lines.append(f"  {row.row.number:3}  {row.row.topic}: {row.how}{found}")
    reached = [row for row in rows if row.row.events]
    lines += [
        "",
        f"{len(rows)} rows: {sum(bool(row.times) for row in reached)} of {len(reached)} that programs can reach were "
        f"exercised, {sum(bool(row.cases) for row in rows)} have test cases, "
        f"{sum(bool(row.row.waits) and not row.cases for row in rows)} wait, "
        f"{sum(row.untested for row in rows)} untested",
    ]
    return "\n".join(lines)
