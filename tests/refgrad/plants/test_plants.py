"""Each planted defect changes what it says, and leaves nothing behind."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import refgrad
from refgrad.modes import local
from refgrad.ops.record import OPS
from refgrad.testing import PLANTS, plant
from tests.refgrad.plants import functions, passes, state, values  # noqa: F401  (they register what they show)
from tests.refgrad.plants.showing import SHOWN, seen


def engine() -> dict[Any, Any]:
    """All that a defect may replace: names of modules and classes, records of ops, modes."""
    found: dict[Any, Any] = {}
    for key, module in list(sys.modules.items()):
        if key.partition(".")[0] != "refgrad" or key.startswith("refgrad.testing"):
            continue
        for name, value in vars(module).items():
            found[key, name] = value
            if isinstance(value, type) and value.__module__ == key:
                found.update({(key, name, own): member for own, member in vars(value).items()})
    for name, op in OPS.items():
        found[name, "vjp"], found[name, "kernel"] = op.vjp, op.kernels.forward
    modes = local.modes
    for name in ("grad_enabled", "recording", "inference", "packing", "forward", "plain"):
        found["modes", name] = getattr(modes, name)
    return found


def replaced(before: dict[Any, Any]) -> list[Any]:
    """What is not what it was."""
    now = engine()
    return [key for key in before.keys() | now.keys() if before.get(key) is not now.get(key)]


def test_each_is_shown() -> None:
    assert set(SHOWN) == set(PLANTS)
    assert len({p.description for p in PLANTS.values()}) == len(PLANTS)


@pytest.mark.parametrize("name", SHOWN)
def test_it_changes_what_it_says_and_leaves_nothing_behind(name: str) -> None:
    healthy = seen(SHOWN[name])
    before = engine()
    with plant(name):
        assert replaced(before)
        planted = seen(SHOWN[name])
    assert not replaced(before)
    assert planted != healthy
    assert seen(SHOWN[name]) == healthy


@pytest.mark.parametrize("name", SHOWN)
def test_it_is_taken_out_when_something_fails_inside(name: str) -> None:
    before = engine()
    with pytest.raises(ZeroDivisionError), plant(name):
        refgrad.set_grad_enabled(True)
        raise ZeroDivisionError
    assert not replaced(before)
