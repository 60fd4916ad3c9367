"""The reducer keeps what fails, ends within its budget, and leaves nothing that need not be there."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.check import check
from oracle.draft import Draft, balanced
from oracle.edits import resized
from oracle.generate import PROFILES, programs
from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Hook,
    Leaf,
    Literal,
    Program,
    RemoveHook,
    RequiresGrad,
    RetainGrad,
    Statement,
    ZeroGrad,
    digest,
)
from oracle.program import check as check_form
from oracle.reduce import complexity, reduce
from oracle.shrink import bucket_of, falls_into, generalised, ops_of, stand_ins
from tests.oracle.broken import TORCH, Altered, hooked, scaled


def leaf(
    *data: float, shape: tuple[int, ...] | None = None, dtype: str = "float64", grad: bool = True
) -> Leaf:
    return Leaf(
        Literal(dtype, (len(data),) if shape is None else shape, tuple(map(float, data))), grad, "contiguous"
    )


def call(op: str, *inputs: int, **params: object) -> Call:
    return Call(op, inputs, params, 1)


def backward(root: int, *gradient: float, shape: tuple[int, ...] | None = None) -> Backward:
    literal = leaf(*gradient, shape=shape).value if gradient else None
    return Backward((root,), (literal,), None, False, None)


def leaves_of(program: Program) -> Sequence[Leaf | None]:
    return stand_ins(program, TORCH)


class Counted:
    """A predicate that counts its calls."""

    def __init__(self, fails: Callable[[Program], bool]) -> None:
        self.fails = fails
        self.calls = 0

    def __call__(self, program: Program) -> bool:
        self.calls += 1
        return self.fails(program)


def has(*ops: str) -> Callable[[Program], bool]:
    return lambda program: ops_of(program) >= set(ops)


CHAIN = Program(
    (leaf(0.25, -1.5, grad=True), leaf(2.0, 3.0)),
    (
        call("exp", 0),
        call("mul", 2, 1),
        Enter("no_grad"),
        call("sin", 3),
        Exit(),
        call("cos", 3),
        RetainGrad(5),
        call("sum", 5),
        backward(6),
        ZeroGrad(0, "zero_"),
        RequiresGrad(1, False),
    ),
)


def test_what_fails_by_its_op_becomes_that_op() -> None:
    small = reduce(CHAIN, has("cos"), 500, leaves_of)
    assert small == Program((leaf(0.0, shape=(), grad=False),), (call("cos", 0),))


def test_without_values_to_cut_with_nodes_are_bypassed() -> None:
    small = reduce(CHAIN, has("cos"), 500)
    assert small == Program((leaf(0.0, shape=(), grad=False),), (call("cos", 0),))


def test_what_needs_two_ops_keeps_both() -> None:
    small = reduce(CHAIN, has("exp", "sin"), 500, leaves_of)
    assert [type(statement) for statement in small.statements] == [Call, Call]
    assert ops_of(small) == {"exp", "sin"}


def test_a_span_stays_only_where_it_matters() -> None:
    def in_span(program: Program) -> bool:
        return any(isinstance(a, Enter) and isinstance(b, Call) for a, b in pairwise(program.statements))

    assert [type(statement) for statement in reduce(CHAIN, in_span, 500).statements] == [Enter, Call, Exit]
    assert not any(isinstance(statement, Enter) for statement in reduce(CHAIN, has("sin"), 500).statements)


def test_a_cut_takes_the_history_away() -> None:
    """Deep below five nodes the value alone matters: with it as a leaf one statement is left."""
    steps = ("exp", "neg", "tanh", "square", "reciprocal")
    program = Program((leaf(0.3, 0.7),), (*(call(op, i) for i, op in enumerate(steps)), call("log", 5)))

    def fails(candidate: Program) -> bool:
        made = stand_ins(candidate, TORCH)
        if not has("log")(candidate):
            return False
        at = next(i for i, s in enumerate(candidate.statements) if isinstance(s, Call) and s.op == "log")
        source = made[candidate.statements[at].inputs[0]]  # type: ignore[union-attr]
        return source is not None and any(value > 1.2 for value in source.value.data)

    assert fails(program)
    small = reduce(program, fails, 500, leaves_of)
    assert small.statements == (call("log", 0),)
    assert len(reduce(program, fails, 500).statements) > 1


def test_shapes_values_dtypes_layouts_and_flags_become_plain() -> None:
    wild = Leaf(Literal("float32", (3, 2), (0.5, -1.25, 3.0, 1.0, 2.0, 7.5)), True, "transposed")
    gradient = Literal("float32", (3, 2), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    program = Program((wild, wild), (call("mul", 0, 1), Backward((2,), (gradient,), True, True, (0, 1))))

    def fails(candidate: Program) -> bool:
        return has("mul")(candidate) and any(isinstance(s, Backward) for s in candidate.statements)

    small = reduce(program, fails, 2000, leaves_of)
    assert small == Program(
        (leaf(0.0, shape=(), grad=False), leaf(0.0, shape=(), grad=False)),
        (call("mul", 0, 1), Backward((2,), (None,), None, False, None)),
    )


def test_cotangents_follow_the_shape_of_their_roots() -> None:
    program = Program(
        (leaf(*range(1, 7), shape=(2, 3)),), (call("sin", 0), backward(1, *range(6), shape=(2, 3)))
    )

    def fails(candidate: Program) -> bool:
        runs = check(candidate, TORCH, TORCH).oracle.fault is None
        kept = [s for s in candidate.statements if isinstance(s, Backward) and s.gradients[0]]
        return runs and bool(kept) and has("sin")(candidate) and 4.0 in kept[0].gradients[0].data  # type: ignore[union-attr]

    small = reduce(program, fails, 2000, leaves_of)
    assert small.leaves[0].value.shape == small.statements[1].gradients[0].shape  # type: ignore[union-attr,index]
    assert len(small.leaves[0].value.data) < 6


def test_shapes_in_parameters_shrink_with_the_leaves() -> None:
    program = Program(
        (leaf(*range(12), shape=(3, 4)),), (call("reshape", 0, shape=[4, 3]), call("sum", 1, dim=[1]))
    )

    def fails(candidate: Program) -> bool:
        return has("reshape")(candidate) and check(candidate, TORCH, TORCH).oracle.fault is None

    small = reduce(program, fails, 2000)
    assert len(small.leaves[0].value.data) == 1
    assert len(small.statements) == 1


def test_fewer_inputs_of_ops_that_take_any_number() -> None:
    program = Program((leaf(1.0), leaf(2.0), leaf(3.0)), (Call("cat", (0, 1, 2, 1), {"dim": 0}, 1),))
    small = reduce(program, has("cat"), 500, leaves_of)
    assert small.statements[0].inputs == (0,)  # type: ignore[union-attr]
    assert len(small.leaves) == 1


def test_grad_loses_inputs_and_what_is_made_of_them() -> None:
    program = Program(
        (leaf(1.0), leaf(2.0)),
        (call("mul", 0, 1), Grad((2,), (0, 1), (None,), None, True, True), call("sin", 4), call("cos", 3)),
    )

    def fails(candidate: Program) -> bool:
        return has("sin")(candidate) and any(isinstance(s, Grad) for s in candidate.statements)

    grads = [s for s in reduce(program, fails, 1000, leaves_of).statements if isinstance(s, Grad)]
    assert len(grads) == 1
    assert len(grads[0].inputs) == 1
    assert not grads[0].create_graph and not grads[0].allow_unused


@pytest.mark.parametrize("budget", [0, 1, 7, 40])
def test_the_budget_is_kept(budget: int) -> None:
    fails = Counted(has("sin", "sum"))
    small = reduce(CHAIN, fails, budget, leaves_of)
    assert fails.calls <= budget
    assert has("sin", "sum")(small)
    if budget == 0:
        assert small == CHAIN


def test_nothing_is_tried_twice_nor_anything_malformed() -> None:
    seen: list[str] = []

    def fails(program: Program) -> bool:
        check_form(program)
        seen.append(digest(program))
        return has("cos")(program)

    reduce(CHAIN, fails, 2000, leaves_of)
    assert len(seen) == len(set(seen)) > 10


def test_what_the_predicate_raises_comes_through() -> None:
    def fails(program: Program) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reduce(CHAIN, fails, 100)


@settings(max_examples=40)
@given(programs(PROFILES["default"]), st.integers(0, 2**20))
def test_any_program_stays_failing_valid_and_gets_no_worse(program: Program, salt: int) -> None:
    ops = sorted(ops_of(program))
    keep = {ops[salt % len(ops)]} if ops else set()
    small = reduce(program, has(*keep), 60, leaves_of)
    check_form(small)
    assert ops_of(small) >= keep
    assert complexity(small) <= complexity(program)
    assert reduce(program, has(*keep), 60, leaves_of) == small


def test_drafts_give_back_what_they_were_made_of() -> None:
    assert Draft.of(CHAIN).program() == CHAIN


def test_what_needs_a_dropped_tensor_goes_too() -> None:
    draft = Draft.of(CHAIN)
    assert draft.without(draft.steps[1]).program() == Program(
        CHAIN.leaves, (call("exp", 0), Enter("no_grad"), Exit(), ZeroGrad(0, "zero_"), RequiresGrad(1, False))
    )


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((Enter("no_grad"), Exit()), (Enter("no_grad"), Exit())),
        ((Exit(), ZeroGrad(0, "none")), (ZeroGrad(0, "none"),)),
        ((Enter("no_grad"), ZeroGrad(0, "none")), (ZeroGrad(0, "none"),)),
        ((Enter("no_grad"), Enter("enable_grad"), Exit()), (Enter("enable_grad"), Exit())),
        ((Hook(0, "tensor", (0,), "observe", None), RemoveHook(0)),) * 2,
        ((RemoveHook(0), RetainGrad(0)), (RetainGrad(0),)),
        (
            (Enter("no_grad"), RetainGrad(0), Exit()),
            (Enter("no_grad"), RetainGrad(0), Exit()),
        ),
    ],
)
def test_spans_are_balanced(statements: tuple[Statement, ...], expected: tuple[Statement, ...]) -> None:
    assert tuple(balanced(statements)) == expected


@pytest.mark.parametrize("shape", [(), (1,), (2,), (2, 2), (4, 1, 3), (0,)])
def test_resized_literals_keep_their_corner(shape: tuple[int, ...]) -> None:
    literal = Literal("float64", (2, 3), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    small = resized(literal, shape)
    assert small.shape == shape
    if 0 not in shape:
        assert small.data[0] == 1.0
    assert torch.tensor(small.data).reshape(shape).shape == shape
    assert set(small.data) <= set(literal.data)


def test_resized_literals_are_rounded_to_their_dtype() -> None:
    assert resized(Literal("float64", (1,), (0.1,)), (1,), "float32").data == (torch.tensor(0.1).item(),)
    assert resized(Literal("float64", (1,), (float("nan"),)), (2,), "int64").data == (1, 1)


# Real divergences: torch with something altered, found by drawing, shrunk to what matters.

DEFECTS = {
    "sign": (Altered("sin", hooked(torch.neg)), "gradient", {"sin"}, 2),
    "factor in a scan": (Altered("cumsum", hooked(lambda g: 2 * g)), "gradient", {"cumsum"}, 2),
    "order of parts": (Altered("cat", hooked(lambda g: g.flip(0))), "gradient", {"cat"}, 2),
    "value": (Altered("tanh", scaled(1.5)), "value", {"tanh"}, 1),
    "dtype": (Altered("matmul", lambda y: y.double()), "dtype", {"matmul"}, 1),
    "history": (Altered("exp", torch.Tensor.detach), "requires_grad", {"exp"}, 1),
}


def first_divergence(engine: Altered, kind: str) -> Program:
    """A drawn program in which the engine diverges in that way."""
    from oracle.choices import Source, entropy

    source = Source(programs(PROFILES["default"]))
    for i in range(5000):
        program = source.draw(entropy(5, 0, i))
        if program is not None and ops_of(program) & {engine.op} and len(program.statements) > 6:
            found = check(program, engine, TORCH).divergence
            if found is not None and found.kind == kind:
                return program
    raise AssertionError(f"no program shows {engine.op}")


@pytest.mark.parametrize("name", DEFECTS)
def test_real_divergences_become_one_op_and_what_shows_it(name: str) -> None:
    engine, kind, ops, statements = DEFECTS[name]
    program = first_divergence(engine, kind)
    found = check(program, engine, TORCH).divergence
    assert found is not None
    fails = Counted(falls_into(bucket_of(found), lambda candidate: check(candidate, engine, TORCH)))
    small = reduce(program, fails, 1000, leaves_of)
    assert fails(small)
    assert ops_of(small) == ops
    assert len(small.statements) == statements
    assert fails.calls < 300


def test_a_defect_of_no_op_is_told_from_a_defect_of_one() -> None:
    class Forgetful(Altered):
        """Records under no_grad."""

        def mode(self, name: str) -> object:  # type: ignore[override]
            return torch.enable_grad()

    program = Program((leaf(1.0),), (Enter("no_grad"), call("tanh", 0), Exit()))
    forgetful = Forgetful("none", scaled(1.0))
    general, plain = generalised(program, "requires_grad", lambda p: check(p, forgetful, TORCH))
    assert general
    assert ops_of(plain) == {"neg"}
    own = Altered("tanh", torch.Tensor.detach)
    program = Program((leaf(1.0),), (call("tanh", 0),))
    general, plain = generalised(program, "requires_grad", lambda p: check(p, own, TORCH))
    assert not general
    assert plain == program
