"""The line that shows how far a run is, overwritten in place; nothing where nobody can see it."""

import shutil
import time
from collections.abc import Callable
from typing import TextIO

INTERVAL = 0.1  # seconds between two drawings


class Progress:
    """Counts what a run has done so far and shows it on a terminal."""

    def __init__(
        self, stream: TextIO, total: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream = stream
        self.total = total
        self.clock = clock
        self.live = stream.isatty()
        self.start = clock()
        self.drawn = self.start - INTERVAL
        self.width = 0
        self.programs = self.findings = 0
        self.ops: dict[str, int] = {}
        self.doing = ""

    def shard(self, programs: int, ops: dict[str, int], findings: int) -> None:
        """A shard is done: adds its programs and ops; `findings` is how many there are by now."""
        self.programs += programs
        for name, times in ops.items():
            self.ops[name] = self.ops.get(name, 0) + times
        self.findings = findings
        self.tick()

    def say(self, doing: str) -> None:
        """What is being done now, at the end of the line."""
        self.doing = doing
        self.tick(now=True)

    def tick(self, now: bool = False) -> None:
        """Draws the line again if the last time is long enough ago."""
        if self.live and (now or self.clock() - self.drawn >= INTERVAL):
            self.drawn = self.clock()
            self._draw(self.line())

    def line(self) -> str:
        """The line as text."""
        seconds = self.clock() - self.start
        total = f" of {self.total:,}" if self.total else ""
        rate = f"{self.programs / seconds:,.0f}" if seconds > 0 else "-"
        covered = sum(times > 0 for times in self.ops.values())
        ops = f"{covered} of {len(self.ops)} ops" if self.ops else "no op yet"
        findings = f"{self.findings} finding{'' if self.findings == 1 else 's'}"
        parts = [f"{self.programs:,}{total} programs", f"{rate} programs/s", ops, findings, self.doing]
        return ", ".join(filter(None, parts))

    def close(self) -> None:
        """Takes the line away."""
        if self.live and self.width:
            self._draw("")
            self.stream.write("\r")
            self.stream.flush()
            self.width = 0

    def _draw(self, line: str) -> None:
        line = line[: shutil.get_terminal_size().columns - 1]  # a line that wraps cannot be overwritten
        self.stream.write("\r" + line.ljust(self.width))
        self.stream.flush()
        self.width = len(line)
