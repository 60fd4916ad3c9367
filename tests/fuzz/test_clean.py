"""refgrad and torch agree on the programs of every profile."""

from __future__ import annotations

import pytest

from oracle.generate import PROFILES
from oracle.repro import describe
from oracle.shard import SIZE, ShardTask, run_shard


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("profile", PROFILES)
def test_no_discrepancy(profile: str, index: int) -> None:
    """A shard of its own seed: the programs that `make fuzz` runs are others."""
    task = ShardTask(2026, index, SIZE, profile, None, "refgrad", "torch", None)
    result = run_shard(task)
    assert result.programs == SIZE
    assert not result.cases, "\n\n".join(describe(case.divergence, case.program) for case in result.cases)
