"""Every entry of the database on an engine: how many of its samples agree with torch, and what goes wrong first."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from oracle.conformance.database import Entry, Sample
from oracle.conformance.outcome import Call, NoArray, Outcome, difference, outcome
from oracle.conformance.translate import Translator, Untranslatable, counterpart


@dataclass(frozen=True, slots=True)
class Row:
    """What became of an entry.

    samples: how many were run. agreeing: those that agree in values and gradients. second: those that agree in second
    order as well, of `seconds` that torch has one for. refused: those where torch is said to have one, and fails.
    missing: whether the engine has no such function. reason: what went wrong first, None if nothing did.
    second_reason: the same for second order.
    """

    label: str
    samples: int
    agreeing: int
    seconds: int
    second: int
    refused: int
    missing: bool
    reason: str | None
    second_reason: str | None

    @property
    def passes(self) -> bool:
        """Whether values and gradients of every sample agree."""
        return not self.missing and self.samples == self.agreeing

    @property
    def passes_second(self) -> bool:
        """Whether second order does too."""
        return self.passes and self.second == self.seconds


def sweep(
    engine: ModuleType, entries: Iterable[Entry], dtype: str = "float64", most: int | None = None, second: bool = True
) -> Iterator[Row]:
    """A row for each entry, from at most so many samples."""
    for entry in entries:
        yield row(engine, entry, dtype, most, second)


def row(engine: ModuleType, entry: Entry, dtype: str, most: int | None, second: bool) -> Row:
    """What becomes of an entry."""
    samples = agreeing = seconds = seconds_agreeing = refused = 0
    missing = False
    reason = second_reason = None
    order = second and entry.second_order
    with warnings.catch_warnings(action="ignore"):
        for sample in itertools.islice(entry.samples(dtype), most):
            samples += 1
            try:
                true, known = _expected(entry, sample, order)
            except NoArray as error:
                reason = reason or f"what torch makes is no array: {error}"
                continue
            seconds += bool(true.second)
            refused += order and not known
            translator = Translator(engine)
            try:
                mine = _on(engine, translator, entry, sample, known)
            except Missing:
                missing = True
                continue
            except Exception as error:
                if isinstance(error, AttributeError) and isinstance(error.obj, (ModuleType, engine.Tensor)):
                    missing = True  # torch's tests call it by a function of their own
                    continue
                reason = reason or _told(error)
                continue
            parted = difference(mine._replace(second=()), true._replace(second=()))
            reason = reason or parted
            agreeing += parted is None
            if true.second:
                parted = parted or difference(mine, true)
                second_reason = second_reason or parted
                seconds_agreeing += parted is None
    if missing:
        reason = "there is no such function"
    return Row(entry.label, samples, agreeing, seconds, seconds_agreeing, refused, missing, reason, second_reason)


class Missing(Exception):
    """The engine has no such function."""


def _expected(entry: Entry, sample: Sample, order: bool) -> tuple[Outcome, bool]:
    """torch's outcome, and whether it has a second order."""
    process = sample.output_process_fn_grad
    call = Call(entry.info.op, sample.input, tuple(sample.args), dict(sample.kwargs), process)
    if order:
        try:
            return outcome(torch, call, True), True
        except RuntimeError:
            pass  # torch itself fails there: the row counts it in `refused`
    return outcome(torch, call, False), False


def _on(engine: ModuleType, translator: Translator, entry: Entry, sample: Sample, order: bool) -> Outcome:
    function = counterpart(entry.name, entry.info.op, translator)
    if function is None:
        raise Missing
    value = translator.value
    process: Any = translator.function(sample.output_process_fn_grad)
    call = Call(function, value(sample.input), value(tuple(sample.args)), value(dict(sample.kwargs)), process)
    return outcome(engine, call, order)


def _told(error: Exception) -> str:
    if isinstance(error, Untranslatable):
        return f"the sample holds {error}"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
