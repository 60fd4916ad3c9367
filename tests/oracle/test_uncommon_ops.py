"""Ops that write, alias, leave the graph or are custom functions: what their entries say of them is so."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch

from oracle.catalogue import CATALOGUE, DRAWN
from oracle.execute import builtin
from oracle.functions import FUNCTIONS
from oracle.program import Call, Program, check
from tests.oracle.broken import TORCH, leaf
from tests.oracle.wild import CALLS

USES = [
    (name, kinds, params, outputs)
    for name, uses in CALLS.items()
    if name not in DRAWN
    for kinds, params, outputs in uses
]
pytestmark = pytest.mark.filterwarnings("ignore")

RAISING = {
    *("custom_raising_forward", "custom_marked_dirty_only", "custom_saved_number", "numpy", "item", "deepcopy"),
    *("custom_both_named", "resize_", "set_", "add_out", "mul_out", "iter", "unsafe_split"),
}
"""Ops that raise in some use or another."""


def tensors(kinds: str, recorded: bool) -> list[torch.Tensor]:
    """A tensor for each kind; float ones are no leaves where they are recorded."""
    made = {
        "i": lambda k: torch.tensor([0, 1, 1]),
        "m": lambda k: torch.tensor([True, False, True]),
        "s": lambda k: torch.tensor(0.5, dtype=torch.float64, requires_grad=recorded),
        "t": lambda k: torch.tensor([0.5, 1.5, 2.0 + k], dtype=torch.float64, requires_grad=recorded) * 1,
    }
    return [made[kind](k) for k, kind in enumerate(kinds)]


def outcome(work: Any, given: list[torch.Tensor]) -> list[Any]:
    """What a call does: what it returns, what becomes of the tensors, what backward does then."""
    try:
        made = work(given)
    except Exception as error:
        return [builtin(type(error))]
    made = list(made) if isinstance(made, (tuple, list)) else [made]
    seen: list[Any] = [[any(m is t for m in made) for t in given]]
    for tensor in (*given, *made):
        if isinstance(tensor, torch.Tensor):
            node = tensor.grad_fn
            seen += [tensor.tolist(), tensor.shape, tensor.dtype, tensor._version, tensor.requires_grad]
            seen += [tensor._is_view(), node.name() if node else None]
    for tensor in (given[0], *made):
        if isinstance(tensor, torch.Tensor) and tensor.requires_grad and tensor.is_floating_point():
            try:
                gradients = torch.autograd.grad(tensor.sum(), given, allow_unused=True)
                seen.append([None if g is None else g.tolist() for g in gradients])
            except Exception as error:
                seen.append(builtin(type(error)))
    return seen


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not recorded"])
@pytest.mark.parametrize(("name", "kinds", "params", "outputs"), USES, ids=lambda x: str(x))
def test_calls_and_their_source_do_the_same(name: str, kinds: str, params: Any, outputs: int, recorded: bool) -> None:
    spec = CATALOGUE[name]
    leaves = tuple(leaf([1.0]) for _ in kinds)
    check(Program(leaves, (Call(name, tuple(range(len(kinds))), params, outputs),)))
    text = spec.source([f"t[{i}]" for i in range(len(kinds))], params)
    spaces = {"torch": torch, "copy": copy, "slice": slice, **FUNCTIONS}

    def written(given: list[torch.Tensor]) -> Any:
        if spec.style == "setitem":
            exec(text, spaces, {"t": given})
            return None
        return eval(text, spaces, {"t": given})

    mine = outcome(lambda given: TORCH.call(spec, given, params), tensors(kinds, recorded))
    assert mine == outcome(written, tensors(kinds, recorded)), text
    assert len(mine) > 1 or name in RAISING or (recorded and spec.style == "out"), mine


@pytest.mark.parametrize(("name", "kinds", "params", "outputs"), USES, ids=lambda x: str(x))
def test_what_is_written_and_what_is_shared_is_declared(name: str, kinds: str, params: Any, outputs: int) -> None:
    spec = CATALOGUE[name]
    given = tensors(kinds, False)
    before = [tensor.clone() for tensor in given]
    storages = [TORCH.storage(tensor) for tensor in given]
    try:
        made = TORCH.call(spec, given, params)
    except Exception:
        return
    pairs = enumerate(zip(given, before, strict=True))
    changed = [k for k, (new, old) in pairs if new.shape != old.shape or not torch.equal(new, old)]
    assert changed in ([], [0]) and (spec.writes or not changed)
    if spec.writes and not spec.outputs[1] and spec.returns:
        assert made[0] is given[0]
    shared = [TORCH.storage(tensor) in storages for tensor in made if tensor is not None]
    assert not any(shared) or spec.aliases or spec.writes
    assert (TORCH.storage(given[0]) != storages[0]) is spec.rehomes or name == "set_"


def test_each_function_is_called_by_an_entry() -> None:
    called = {spec.target for spec in CATALOGUE.values() if spec.style == "custom"}
    assert called == set(FUNCTIONS)
    for spec in CATALOGUE.values():
        if spec.style == "custom":
            forward = FUNCTIONS[spec.target](torch).forward
            count = len([name for name in inspect.signature(forward).parameters if name != "ctx"])
            assert count == spec.inputs[0] + len(spec.params), spec.name


@pytest.mark.parametrize(
    ("name", "count", "params", "said"),
    [
        ("add_", 1, {}, "other with 1 tensors"),
        ("add_", 2, {"other": 1.0}, "other with 1 tensors"),
        ("setitem", 2, {"index": [0], "value": 1.0}, "each of the inputs 1 to 1"),
        ("setitem", 3, {"index": [{"tensor": 1}]}, "each of the inputs 2 to 2"),
        ("setitem", 1, {"index": [0]}, "each of the inputs"),
        ("resize_", 1, {"size": [2]}, "one of them 0"),
        ("custom_scaled", 1, {}, "factor"),
        ("custom_scaled", 1, {"factor": "x"}, "a finite number"),
    ],
)
def test_calls_that_are_refused(name: str, count: int, params: dict[str, Any], said: str) -> None:
    program = Program(tuple(leaf([1.0]) for _ in range(count)), (Call(name, tuple(range(count)), params, 0),))
    if name.startswith("custom"):
        program = Program(program.leaves, (Call(name, tuple(range(count)), params, 1),))
    with pytest.raises(ValueError, match=said):
        check(program)
