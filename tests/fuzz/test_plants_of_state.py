"""Every planted defect of state is found by the profile `semantics` within 5,000 programs, and reduced."""

from __future__ import annotations

from functools import cache

import pytest

from oracle import engines
from oracle.check import check
from oracle.choices import Source, entropy
from oracle.compare import Divergence
from oracle.generate import PROFILES, programs
from oracle.program import Program
from oracle.reduce import reduce
from oracle.shard import SIZE, bucket_of
from oracle.shrink import falls_into, stand_ins
from refgrad.testing import PLANTS, plant, values

SEED = 1
PROGRAMS = 5000
STATEMENTS = 6  # at most so many are left
CALLS = 400  # of the reducer
SUBJECT, ORACLE = engines.get("refgrad"), engines.get("torch")
OF_STATE = [name for name in PLANTS if PLANTS[name] not in values.PLANTS]

_source = Source(programs(PROFILES["semantics"]))


@cache
def drawn(index: int) -> Program | None:
    """The program of this number that `refgrad fuzz --profile semantics --seed 1` draws; None for a void draw."""
    return _source.draw(entropy(SEED, index // SIZE, index % SIZE))


def divergence(program: Program) -> Divergence | None:
    return check(program, SUBJECT, ORACLE).divergence


def found(name: str) -> tuple[Program, Divergence] | None:
    """The first program that diverges under the defect only."""
    for program in filter(None, map(drawn, range(PROGRAMS))):
        with plant(name):
            here = divergence(program)
        if here is not None and divergence(program) is None:
            return program, here
    return None


@pytest.mark.parametrize("name", OF_STATE)
def test_it_is_found_and_reduced(name: str) -> None:
    first = found(name)
    assert first is not None, f"{name} was not found in {PROGRAMS} programs"
    program, here = first
    with plant(name):
        fails = falls_into(bucket_of(here), lambda candidate: check(candidate, SUBJECT, ORACLE))
        small = reduce(program, fails, CALLS, lambda candidate: stand_ins(candidate, ORACLE))
        assert divergence(small) is not None
    assert len(small.statements) <= STATEMENTS
