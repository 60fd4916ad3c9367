"""Every planted defect of values is found, by the default profile, unfocused, on each of five seeds, and shrunk."""

from __future__ import annotations

import pytest

from oracle.program import Backward, Grad, Program
from oracle.shard import SIZE, Case, ShardTask, run_shard
from oracle.shrink import ShrinkTask, run_reduce
from refgrad.testing import PLANTS, plant, values

VALUES = [planted.name for planted in values.PLANTS]
SEEDS = (1, 2, 3, 4, 5)
PROGRAMS = 2000
STATEMENTS = 4  # at most so many besides the backward


def found_by(name: str, seed: int) -> tuple[ShardTask, list[Case]]:
    """The cases of the first shard that finds anything among the first 2,000 programs."""
    for index in range(PROGRAMS // SIZE):
        task = ShardTask(seed, index, SIZE, "default", None, "refgrad", "torch", name)
        result = run_shard(task)
        if result.cases:
            return task, list(result.cases)
    return task, []


def besides_the_backward(program: Program) -> int:
    return sum(not isinstance(s, (Backward, Grad)) for s in program.statements)


def test_there_are_enough_of_them() -> None:
    assert len(VALUES) >= 12 and len(PLANTS) - len(VALUES) >= 30
    kinds = {p.kind for p in PLANTS.values()}
    for needed in (
        "wrong sign",
        "missing term",
        "missing unbroadcast",
        "wrong axis",
        "overwritten instead of accumulated gradient",
        "no_grad that still records",
        "detach that does not cut",
        "stale saved value",
        "ignored cotangent",
        "double-backward error",
    ):
        assert needed in kinds


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", VALUES)
def test_it_is_found_and_shrunk(name: str, seed: int) -> None:
    task, cases = found_by(name, seed)
    assert cases, f"{name} was not found in {PROGRAMS} programs of seed {seed}"
    smallest = min(cases, key=lambda case: len(case.program.statements))
    lead = run_reduce(ShrinkTask(task, smallest))
    assert besides_the_backward(lead.program) <= STATEMENTS


@pytest.mark.parametrize("name", VALUES)
def test_it_is_taken_out_again(name: str) -> None:
    with plant(name):
        pass
    result = run_shard(ShardTask(2026, 0, 50, "default", None, "refgrad", "torch", None))
    assert not result.cases


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(ValueError, match="no planted defect is called 'nonsense'; there are: "):
        plant("nonsense")
