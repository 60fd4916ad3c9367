"""The rows of a sweep as a table, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from oracle.conformance.left_out import LEFT_OUT
from oracle.conformance.sweep import Row


def wrong(row: Row) -> bool:
    """Whether it disagrees though the engine has the function and nothing says why."""
    return not (row.passes_second or row.missing or row.label in LEFT_OUT)


def line(row: Row) -> str:
    """A row as text."""
    if row.passes_second:
        second = f", {row.second} of them in second order too" if row.second else ""
        return f"{row.label}: {'the sample agrees' if row.samples == 1 else f'{row.samples} samples agree'}{second}"
    if row.missing:
        return f"{row.label}: not there yet"
    counts = f"{row.agreeing} of {row.samples} samples agree, {row.second} of {row.seconds} in second order"
    why = LEFT_OUT.get(row.label)
    return f"{row.label}: {counts}; {f'left out: {why}' if why else row.reason or row.second_reason}"


def totals(rows: Sequence[Row]) -> str:
    """What the rows come to, held against all that torch's database has."""
    samples = sum(row.samples for row in rows)
    parts = [
        ("entries agree in values and gradients", sum(row.passes for row in rows), len(rows)),
        ("in second order too", sum(row.passes_second for row in rows), len(rows)),
        ("samples agree in values and gradients", sum(row.agreeing for row in rows), samples),
    ]
    lines = [f"{count:,} of {of:,} {what} ({count / max(of, 1):.1%})" for what, count, of in parts]
    missing, disagreeing = sum(row.missing for row in rows), sum(map(wrong, rows))
    left = sum(row.label in LEFT_OUT and not row.passes_second for row in rows)
    refused = sum(row.refused for row in rows)
    lines += [f"{refused} samples in second order that torch itself fails in"] if refused else []
    return "\n".join([*lines, f"{missing} not there yet, {left} left out with a reason, {disagreeing} wrong"])


def facts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as data for JSON."""
    return [
        {
            "entry": row.label,
            "samples": row.samples,
            "agreeing": row.agreeing,
            "second_order_samples": row.seconds,
            "second_order_agreeing": row.second,
            "second_order_refused_by_torch": row.refused,
            "missing": row.missing,
            "reason": row.reason or row.second_reason,
            "left_out": LEFT_OUT.get(row.label),
        }
        for row in rows
    ]
