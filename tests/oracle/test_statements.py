"""What each statement does, and what is seen of it: held against the same lines written for torch by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from oracle.execute import run
from oracle.program import (
    Backward,
    Call,
    Delete,
    Enter,
    Exit,
    Grad,
    Hook,
    IncrementVersion,
    Inspect,
    Leaf,
    MakeDual,
    Program,
    ReadGrad,
    RemoveHook,
    RequiresGrad,
    RetainGrad,
    SetData,
    SetGrad,
    SetGradEnabled,
    Statement,
    UnpackDual,
    ZeroGrad,
)
from oracle.trace import UNREAD, Observation, Place, Trace
from tests.oracle.broken import TORCH, leaf, literal

ONES = literal([1.0, 1.0])
SQUARE, DOUBLE = Call("mul", (0, 0), {}, 1), Call("mul_", (1,), {"other": 2.0}, 0)


def traced(*statements: Statement, leaves: Sequence[Leaf] = (leaf([1.0, 2.0]),)) -> Trace:
    return run(Program(tuple(leaves), statements), TORCH)


def at(trace: Trace, statement: int | None, tensor: int | None, what: str, part: int = 0) -> Any:
    """The last entry of a place."""
    place = Place(statement, tensor, what, part)
    return next(e for p, e in reversed(list(zip(trace.places, trace.seen, strict=True))) if p == place)


def values(entry: Any) -> Any:
    assert isinstance(entry, Observation)
    return entry.value.tolist()


def test_a_write_is_seen_in_all_that_share_memory() -> None:
    trace = traced(SQUARE, Call("select", (1,), {"dim": 0, "index": 1}, 1), Call("detach", (1,), {}, 1), DOUBLE)
    assert at(trace, 3, 1, "returned") == "itself"
    assert [values(at(trace, 3, t, "after")) for t in (1, 2, 3)] == [[2.0, 8.0], 8.0, [2.0, 8.0]]
    assert [at(trace, 3, t, "after").version for t in (1, 2, 3)] == [1, 1, 1]
    assert [entry.storage for entry in trace.state if entry] == [0, 1, 1, 1]
    assert at(trace, 1, 2, "value").is_view and not at(trace, 2, 3, "value").is_view


def test_looking_does_not_bring_views_up_to_date() -> None:
    split = Call("unbind", (1,), {"dim": 0}, 2)
    trace = traced(SQUARE, split, DOUBLE, Inspect(2), Inspect(1))
    assert (at(trace, 2, 2, "after").grad_fn, at(trace, 2, 2, "after").is_leaf) == (UNREAD, None)
    assert [(fault.statement, fault.type) for fault in trace.faults] == [(3, "RuntimeError")]
    assert at(trace, 4, 1, "edges") == "MulBackward0(MulBackward0 0, nothing 0)"
    assert [entry.grad_fn for entry in trace.state[2:] if entry] == ["RuntimeError"] * 2
    calm = traced(SQUARE, split, DOUBLE, Call("sum", (1,), {}, 1))
    assert calm.faults == []


def test_inspecting_tells_the_node_and_those_behind_it() -> None:
    trace = traced(SQUARE, Call("narrow", (1,), {"dim": 0, "start": 0, "length": 1}, 1), DOUBLE, Inspect(2), Inspect(0))
    assert at(trace, 3, 2, "inspected").grad_fn == "AsStridedBackward0"
    assert at(trace, 3, 2, "edges") == "AsStridedBackward0(MulBackward0 0)"
    assert at(trace, 4, 0, "edges") == "no node"


def test_data_and_grad_are_set_and_read() -> None:
    other = leaf([5.0, 6.0], requires_grad=False)
    trace = traced(
        *(SetData(0, 1), Call("zero_", (1,), {}, 0), SetGrad(0, 1), ReadGrad(0), ReadGrad(1)),
        leaves=(leaf([1.0, 2.0]), other),
    )
    assert at(trace, 0, 0, "after").storage == 0 and values(at(trace, 1, 0, "after")) == [0.0, 0.0]
    assert (at(trace, 1, 1, "after").version, at(trace, 1, 0, "after").version) == (1, 0)
    assert at(trace, 2, 0, "grad").same is None and at(trace, 3, 2, "grad").same == 1
    assert at(trace, 4, 3, "grad") is None
    assert trace.state[3] is None


def test_whether_grad_is_the_object_it_was() -> None:
    backward = Backward((1,), (ONES,), True, False, None)
    trace = traced(SQUARE, backward, backward, ZeroGrad(0, "none"), backward, Backward((1,), (ONES,), True, True, None))
    seen = [at(trace, index, 0, "grad") for index in (1, 2, 4, 5)]
    assert [values(entry) for entry in seen] == [[2.0, 4.0], [4.0, 8.0], [2.0, 4.0], [4.0, 8.0]]
    assert [entry.same for entry in seen] == [None, -1, None, None]
    assert {entry.version for entry in seen} == {0}  # how often it was written is an engine's own business


def test_deleted_tensors_are_no_more() -> None:
    trace = traced(SQUARE, Call("detach", (1,), {}, 1), Delete(1), Call("sin", (1,), {}, 1), Call("sin", (2,), {}, 1))
    assert [place.what for place in trace.places if place.statement == 3] == ["skipped"]
    assert [entry is None for entry in trace.state] == [False, True, False, True, False]
    last = trace.state[2]
    assert last is not None and last.storage == 2


def test_versions_are_counted_up_by_hand() -> None:
    trace = traced(SQUARE, Call("exp", (1,), {}, 1), IncrementVersion(2), Backward((2,), (ONES,), None, False, None))
    assert at(trace, 2, 2, "after").version == 1
    assert [(fault.statement, fault.type) for fault in trace.faults] == [(3, "RuntimeError")]


def test_requires_grad_by_attribute_is_another_statement() -> None:
    by_attribute = (RequiresGrad(1, True, "attribute"), RequiresGrad(0, False, "attribute"))
    trace = traced(SQUARE, RequiresGrad(1, True), *by_attribute)
    assert [fault.statement for fault in trace.faults] == [2]
    assert trace.state[0] is not None and not trace.state[0].requires_grad


# Modes


def test_spans_run_in_their_modes() -> None:
    def modes(*statements: Statement) -> list[str]:
        trace = traced(*statements)
        return [str(e) for p, e in zip(trace.places, trace.seen, strict=True) if p.what == "modes"]

    on, off, inference = "grad on, inference off", "grad off, inference off", "grad off, inference on"
    assert modes(Enter("no_grad"), Enter("enable_grad"), Exit(), Exit()) == [off, on, off, on]
    assert modes(Enter("grad_disabled"), Enter("grad_enabled"), Exit(), Exit()) == [off, on, off, on]
    assert modes(Enter("inference_mode"), Enter("inference_mode_off"), Exit(), Exit()) == [inference, on, inference, on]
    assert modes(Enter("no_grad"), Enter("thread"), Exit(), Exit()) == [off, on, off, on]
    assert modes(Enter("no_grad"), Enter("again"), Exit(), Exit()) == [off, off, off, off]
    assert modes(Enter("no_grad"), SetGradEnabled(True), Exit(), SetGradEnabled(False)) == [off, on, on, off]
    assert modes(Enter("generator"), SetGradEnabled(True), SQUARE, Exit()) == [on, on, on, on]
    assert torch.is_grad_enabled()


def test_a_generator_runs_without_grad_and_its_caller_does_not() -> None:
    trace = traced(Enter("generator"), SQUARE, SQUARE, Exit(), SQUARE)
    assert [entry.requires_grad for entry in trace.state if entry] == [True, False, False, True]
    callers = [(p.statement, p.part) for p in trace.places if p.what == "modes"]
    assert callers == [(0, 1), (0, 2), (3, 0)]


@pytest.mark.parametrize(
    ("mode", "fault", "gradient"),
    [
        ("saved_identity", None, [2.0, 4.0]),
        ("saved_alias", None, [2.0, 4.0]),
        ("saved_numpy", None, [2.0, 4.0]),
        ("saved_doubled", None, [4.0, 8.0]),
        ("saved_negated", None, [2.0, 4.0]),
        ("save_on_cpu", None, [2.0, 4.0]),
        ("pack_raises", (1, "KeyError"), None),
        ("pack_writes", (1, "RuntimeError"), None),
        ("unpack_raises", (3, "KeyError"), None),
        ("unpack_number", (3, "TypeError"), None),
    ],
)
def test_hooks_for_saved_tensors(mode: str, fault: tuple[int, str] | None, gradient: list[float] | None) -> None:
    trace = traced(Enter(mode), SQUARE, Exit(), Backward((1,), (ONES,), None, False, None))
    assert [(f.statement, f.type) for f in trace.faults] == ([fault] if fault else [])
    assert gradient is None or values(trace.grads[0]) == gradient


def test_a_mode_that_cannot_be_entered_skips_its_span() -> None:
    trace = traced(Enter("saving_disabled"), Enter("saved_alias"), SQUARE, Exit(), Exit(), SQUARE)
    assert [(f.statement, f.type) for f in trace.faults] == [(1, "RuntimeError")]
    assert [place.statement for place in trace.places if place.what == "skipped"] == [2]
    assert [entry is None for entry in trace.state] == [False, True, False]


def test_saved_tensors_may_be_written_where_that_is_allowed() -> None:
    cubed = (SQUARE, Call("mul", (1, 1), {}, 1), Call("zero_", (1,), {}, 0), Backward((2,), (ONES,), None, False, None))
    assert [f.statement for f in traced(*cubed).faults] == [3]
    trace = traced(Enter("allow_mutation"), *cubed, Exit())
    assert trace.faults == [] and values(trace.grads[0]) == [4.0, 32.0]


def test_anomaly_mode_raises_at_nan() -> None:
    root = (Call("sqrt", (0,), {}, 1), Call("mul", (1, 2), {}, 1), Backward((3,), (ONES,), None, False, None))
    given = (leaf([0.0, 1.0]), leaf([0.0, 1.0], requires_grad=False))
    for mode, faults in (("anomaly", [3]), ("anomaly_unchecked", [])):
        trace = traced(Enter(mode), root[0], root[1], root[2], Exit(), leaves=given)
        assert [f.statement for f in trace.faults] == faults


def test_duals_carry_tangents_while_their_level_lasts() -> None:
    given = (leaf([1.0, 2.0], requires_grad=False), leaf([1.0, 10.0], requires_grad=False))
    use = (MakeDual(0, 1), Call("mul", (2, 2), {}, 1), UnpackDual(3))
    trace = traced(Enter("dual_level"), *use, Exit(), UnpackDual(3), MakeDual(0, 1), leaves=given)
    assert values(at(trace, 3, 4, "value")) == [1.0, 4.0] and values(at(trace, 3, 5, "grad")) == [2.0, 40.0]
    assert trace.state[7] is None and [f.statement for f in trace.faults] == [6]


# Going backward


def test_seeds_may_be_tensors_of_the_program() -> None:
    given = (leaf([1.0, 2.0]), leaf([3.0, 4.0]))
    grad = Grad((2,), (0,), (1,), None, True, False)
    trace = traced(SQUARE, grad, Backward((3,), (literal([1.0, 10.0]),), None, False, None), leaves=given)
    assert values(at(trace, 1, 3, "grad")) == [6.0, 16.0]
    assert [values(g) for g in trace.grads[:2]] == [[6.0, 80.0], [2.0, 40.0]]


@pytest.mark.parametrize("edges", ["roots", "inputs", "both"])
def test_roots_and_inputs_may_be_edges(edges: str) -> None:
    grad = Grad((1,), (0,), (ONES,), True, False, False, edges)
    trace = traced(SQUARE, grad, Backward((1,), (ONES,), None, False, (0,), edges))
    assert trace.faults == [] and values(at(trace, 1, 2, "grad")) == values(trace.grads[0]) == [2.0, 4.0]


def test_missing_gradients_are_made_or_not() -> None:
    given = (leaf([1.0, 2.0]), leaf([3.0]))
    trace = traced(SQUARE, Grad((2,), (0, 1), (ONES,), None, False, None, None, True), leaves=given)
    assert values(at(trace, 1, 4, "grad")) == [0.0]
    trace = traced(SQUARE, Grad((2,), (0, 1), (ONES,), None, False, False, None, True), leaves=given)
    assert [f.type for f in trace.faults] == ["ValueError"]


def test_gradients_come_in_batches() -> None:
    batch = literal([1.0, 0.0, 0.0, 1.0], (2, 2))
    trace = traced(SQUARE, Grad((1,), (0,), (batch,), None, False, False, None, False, True))
    assert values(at(trace, 1, 2, "grad")) == [[2.0, 0.0], [0.0, 4.0]]


@pytest.mark.parametrize(
    ("gradients", "inputs", "fault"),
    [
        ((), None, "RuntimeError"),
        ((ONES, None), None, None),
        ((1.5,), None, "TypeError"),
        ((ONES,), (), "RuntimeError"),
    ],
)
def test_malformed_arguments_reach_the_engine(gradients: Any, inputs: Any, fault: str | None) -> None:
    trace = traced(SQUARE, Backward((1,), gradients, None, False, inputs))
    assert [f.type for f in trace.faults] == ([fault] if fault else [])


@pytest.mark.parametrize("through", ["checkpoint", "reentrant_checkpoint"])
def test_calls_through_a_checkpoint(through: str) -> None:
    call = Call("mul", (0, 0), {}, 1, through)
    trace = traced(call, Backward((1,), (ONES,), None, False, None))
    assert trace.faults == [] and values(trace.grads[0]) == [2.0, 4.0]
    grad = traced(call, Grad((1,), (0,), (ONES,), None, False, False))
    assert [f.type for f in grad.faults] == (["RuntimeError"] if through == "reentrant_checkpoint" else [])


# Hooks


def calls(trace: Trace) -> list[int | None]:
    return [place.tensor for place in trace.places if place.what == "hook"]


def test_the_order_of_hooks_is_seen() -> None:
    places = ("node", "node_pre", "tensor", "multi_all", "multi_any")
    hooks = [Hook(number, place, (1,), "observe", None) for number, place in enumerate(places)]
    back = Backward((2,), (ONES,), None, False, None)
    trace = traced(SQUARE, *hooks, RetainGrad(1), Call("sin", (1,), {}, 1), back)
    order: list[int] = []
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = x * x
    y.grad_fn.register_hook(lambda *g: order.append(0))
    y.grad_fn.register_prehook(lambda g: order.append(1))
    y.register_hook(lambda g: order.append(2))
    torch.autograd.graph.register_multi_grad_hook([y], lambda g: order.append(3), mode="all")
    torch.autograd.graph.register_multi_grad_hook([y], lambda g: order.append(4), mode="any")
    y.sin().sum().backward()
    assert calls(trace) == order and sorted(order) == [0, 1, 2, 3, 4]


def test_the_order_of_hooks_of_a_leaf_is_seen() -> None:
    places = ("post_accumulate", "node", "node_pre", "tensor")
    hooks = [Hook(number, place, (0,), "observe", None) for number, place in enumerate(places)]
    trace = traced(SQUARE, *hooks, Backward((1,), (ONES,), None, False, None))
    assert calls(trace) == [3, 2, 0, 1]
    assert values(at(trace, 5, 0, "gradient")) == [2.0, 4.0]


def test_hooks_are_given_gradients_in_their_places() -> None:
    trace = traced(SQUARE, Hook(7, "node", (1,), "observe", None), Backward((1,), (ONES,), None, True, None))
    assert at(trace, 2, 7, "hook") == "3 gradients, grad on"
    assert [values(at(trace, 2, 7, "gradient", part)) for part in range(3)] == [[1.0, 2.0], [1.0, 2.0], [1.0, 1.0]]


ACTIONS = [
    ("tensor", "scale", 3.0, [6.0, 12.0]),
    ("tensor", "replace", literal([5.0, 5.0]), [10.0, 20.0]),
    ("tensor", "raise", None, "KeyError"),
    ("tensor", "wrong_type", None, "TypeError"),
    ("tensor", "wrong_shape", None, "RuntimeError"),
    ("tensor", "wrong_dtype", None, "RuntimeError"),
    ("node_pre", "scale", 3.0, [6.0, 12.0]),
    ("node", "scale", 3.0, [6.0, 12.0]),
    ("node", "wrong_shape", None, "RuntimeError"),
    ("node", "wrong_type", None, "TypeError"),
    ("post_accumulate", "none_grad", None, None),
    ("post_accumulate", "scale", 3.0, [6.0, 12.0]),
    ("post_accumulate", "wrong_type", None, "TypeError"),
    ("multi_all", "raise", None, "KeyError"),
]


def negated(backward: Backward) -> Backward:
    """With the negative of ones, so that what is behind a negation is given ones."""
    return replace(backward, gradients=(literal([-1.0, -1.0]),))


@pytest.mark.parametrize(("place", "action", "value", "expected"), ACTIONS, ids=lambda x: str(x)[:15])
def test_what_hooks_do(place: str, action: str, value: Any, expected: Any) -> None:
    tensor = 0 if place == "post_accumulate" else 1
    back = Backward((2,), (ONES,), None, False, None)
    trace = traced(SQUARE, Hook(0, place, (tensor,), action, value), Call("neg", (1,), {}, 1), negated(back))
    if isinstance(expected, str):
        assert [(f.statement, f.type) for f in trace.faults] == [(3, expected)]
    else:
        assert trace.faults == [] and (values(trace.grads[0]) if trace.grads[0] else None) == expected


def test_hooks_are_removed() -> None:
    back = Backward((1,), (ONES,), True, False, None)
    one, two = Hook(0, "tensor", (1,), "observe", None), Hook(1, "tensor", (1,), "remove_self", None)
    assert calls(traced(SQUARE, one, two, back, back, RemoveHook(0), back, RemoveHook(0))) == [0, 1, 0]
    trace = traced(Call("sin", (0,), {}, 1), one, RemoveHook(0), leaves=(leaf([1.0], requires_grad=False),))
    assert [f.statement for f in trace.faults] == [1]
    assert [place.statement for place in trace.places if place.what == "skipped"] == [2]
