"""Programs from bytes: everything the harness asks of Hypothesis, in one place.

A program is drawn from bytes that a hash makes of (seed, shard, index), by Hypothesis's `fuzz_one_input`. So
it depends on those three numbers and on the strategy: not on the programs before it, on a finding among them,
on CI being set, on a clock, or on the modules that happen to be imported. A run of `@given` depends on all of
these, and its first tenth is drawn from a narrower range.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.internal.conjecture import engine, providers
from hypothesis.strategies import SearchStrategy

from oracle.program import Program
from oracle.reduce import complexity

BYTES = 8192  # Hypothesis accepts no more choices than this many bytes hold


class Unsupported(RuntimeError):
    """The installed Hypothesis lacks what is needed to keep runs reproducible."""


class _Diverged(Exception):
    """Tells Hypothesis that a program fails."""


class _Stop(BaseException):
    """Leaves Hypothesis at once; it takes any Exception for a failure of the test."""


def entropy(*origin: int) -> bytes:
    """The bytes to draw from, for (seed, shard, index)."""
    return hashlib.shake_256(" ".join(map(str, origin)).encode()).digest(BYTES)


class Source:
    """Draws programs from a strategy."""

    def __init__(self, strategy: SearchStrategy[Program]) -> None:
        self._drawn: Program | None = None

        @_settings()
        @given(strategy)
        def take(program: Program) -> None:
            self._drawn = program

        self._feed: Callable[[bytes], bytes | None] = take.hypothesis.fuzz_one_input  # type: ignore[attr-defined]

    def draw(self, data: bytes) -> Program | None:
        """The program that these bytes stand for; None where the strategy rejects them or needs more."""
        self._drawn = None
        self._feed(data)
        return self._drawn


def simplify(
    strategy: SearchStrategy[Program], data: bytes, still_fails: Callable[[Program], bool], budget: int
) -> tuple[Program | None, int]:
    """The simplest failing program that Hypothesis tries while it shrinks the one drawn from `data`.

    Returns it with the number of programs tried, at most `budget`; None if the first does not fail. Raises
    what `still_fails` raises, and Unsupported.
    """
    best: Program | None = None
    calls = 0
    error: Exception | None = None

    @_settings(database=InMemoryExampleDatabase(), phases=(Phase.reuse, Phase.shrink))
    @seed(0)  # below the settings: it takes the database away from those it finds
    @given(strategy)
    def attempt(program: Program) -> None:
        nonlocal best, calls, error
        if calls == budget:
            raise _Stop
        calls += 1
        try:
            fails = still_fails(program)
        except Exception as raised:
            error = raised
            raise _Stop from None
        if fails:
            if best is None or complexity(program) <= complexity(best):
                best = program
            raise _Diverged

    with isolated():
        with suppress(_Diverged, _Stop):
            attempt.hypothesis.fuzz_one_input(data)  # type: ignore[attr-defined]
        if best is not None:
            with suppress(_Diverged, _Stop):
                attempt()
    if error is not None:
        raise error
    return best, calls


def _settings(**changes: Any) -> settings:
    """Everything that a profile could change (Hypothesis loads one of its own under CI), said outright."""
    fixed: dict[str, Any] = {
        "max_examples": 1,  # says nothing here: one call draws one program
        "database": None,
        "derandomize": False,
        "phases": (Phase.generate,),
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
        "verbosity": Verbosity.quiet,
        "print_blob": False,
        "report_multiple_bugs": False,
        "backend": "hypothesis",
    }
    return settings(**{**fixed, **changes})


@contextmanager
def isolated() -> Iterator[None]:
    """Keeps out of shrinking what would make it depend on anything but the program.

    Hypothesis draws now and then a constant found in the source of imported modules, stops shrinking after
    five minutes, and finds no stored failure under `pytest --hypothesis-seed`. Raises Unsupported where this
    Hypothesis has no such switch to turn.
    """
    nothing: Any = getattr(providers, "Constants", dict)()
    replaced: tuple[tuple[Any, str, Any], ...] = (
        (providers, "_get_local_constants", lambda: nothing),
        (engine, "MAX_SHRINKING_SECONDS", math.inf),
        (hypothesis.core, "global_force_seed", None),
    )
    missing = [f"{module.__name__}.{name}" for module, name, _ in replaced if not hasattr(module, name)]
    if missing or not hasattr(providers, "CONSTANTS_CACHE"):
        names = ", ".join(missing) or "CONSTANTS_CACHE"
        raise Unsupported(
            f"Hypothesis {hypothesis.__version__} has no {names}, so shrinking would not be reproducible; "
            "install a version between 6.135 and 6.170"
        )
    before = [getattr(module, name) for module, name, _ in replaced]
    cache, providers.CONSTANTS_CACHE = providers.CONSTANTS_CACHE, type(providers.CONSTANTS_CACHE)(1024)
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        providers.CONSTANTS_CACHE = cache
        for (module, name, _), value in zip(replaced, before, strict=True):
            setattr(module, name, value)
