"""Comparing traces: what agrees, which divergence comes first, and how it is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from oracle.check import check
from oracle.compare import Divergence, HarnessError, Limits, compare
from oracle.engines import TorchLike
from oracle.execute import run
from oracle.generate import PROFILES, programs
from oracle.near import NEAR, ROWS, far_apart
from oracle.program import Backward, Call, Grad, Hook, Program, RetainGrad, ZeroGrad
from tests.oracle.broken import TORCH, Altered, failing, hooked, leaf, literal, scaled

ONES = literal([1.0, 1.0])
SIN, EXP = Call("sin", (0,), {}, 1), Call("exp", (1,), {}, 1)
PROGRAM = Program((leaf([0.5, 1.5]),), (SIN, EXP, Backward((2,), (ONES,), None, False, None)))
MAX = Program((leaf([0.5, 1.5]),), (Call("max", (0,), {"dim": 0}, 2),))


def find(program: Program, subject: TorchLike) -> Divergence:
    divergence = check(program, subject, TORCH).divergence
    assert divergence is not None
    return divergence


def ulps(x: float, count: int, dtype: str = "float64") -> np.ndarray:
    start = np.array([x], dtype)
    for _ in range(count):
        start = np.nextafter(start, np.array([np.inf], dtype))
    return start


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("x", [1.0, -1.75, 3e-3, 100.0])
def test_near_is_a_few_ulps_of_the_dtype(dtype: str, x: float) -> None:
    start = np.array([x], dtype)
    with np.errstate(all="raise"):
        assert far_apart(start, ulps(x, NEAR, dtype)) is None
        assert far_apart(start, ulps(x, NEAR + 2, dtype)) is not None


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize(
    ("mine", "true", "agree"),
    [
        (math.nan, math.nan, True),
        (-math.nan, math.nan, True),
        (math.inf, math.inf, True),
        (0.0, -0.0, True),
        (math.inf, -math.inf, False),
        (math.nan, math.inf, False),
        (math.nan, 0.0, False),
        (0.0, math.nan, False),
        (math.inf, "max", False),
        ("max", math.inf, False),
        ("max", 0.0, False),
        ("max", "-max", False),
        ("tiny", 0.0, True),
        (1.0, 1.01, False),
    ],
)
def test_classes_and_extremes(dtype: str, mine: Any, true: Any, agree: bool) -> None:
    named = {
        "max": np.finfo(dtype).max,
        "-max": -np.finfo(dtype).max,
        "tiny": np.finfo(dtype).smallest_subnormal,
    }
    a, b = (np.array([0.0, named.get(x, x)], dtype) for x in (mine, true))
    with np.errstate(all="ignore"):
        apart = far_apart(a, b)
    assert (apart is None) is agree
    if apart is not None:
        assert apart.tolist() == [False, True]


def test_integers_and_bools_agree_only_when_equal() -> None:
    big = np.array([2**62, 1])
    assert far_apart(big, big.copy()) is None
    assert far_apart(big, big + np.array([1, 0])).tolist() == [True, False]
    assert far_apart(np.array([True, False]), np.array([True, True])).tolist() == [False, True]


def test_limits_let_pass_what_they_say() -> None:
    a, b = np.array([1.0, 1.0, math.nan]), np.array([1.5, 2.5, 1.0])
    assert far_apart(a, b, np.array([0.5, 1.0, math.inf])).tolist() == [False, True, False]
    assert far_apart(a, b, np.array([0.5, 1.5, 9.0])).tolist() == [False, False, True]
    assert far_apart(np.array([1]), np.array([2]), np.array([math.inf])) is None


@settings(max_examples=150)
@given(programs(PROFILES["default"]))
def test_torch_agrees_with_torch(program: Program) -> None:
    result = check(program, TORCH, TORCH)
    assert result.divergence is None and not result.escalated


@pytest.mark.parametrize(
    ("program", "subject", "kind", "statement", "tensor", "what", "op"),
    [
        (PROGRAM, Altered("sin", scaled(1.5)), "value", 0, 1, "value", "sin"),
        (PROGRAM, Altered("exp", scaled(1.0 + 1e-13)), "value", 1, 2, "value", "exp"),
        (PROGRAM, Altered("exp", scaled(math.nan)), "value", 1, 2, "value", "exp"),
        (PROGRAM, Altered("sin", hooked(torch.neg)), "gradient", 2, 0, "grad", "backward"),
        (PROGRAM, Altered("exp", lambda t: t.float()), "dtype", 1, 2, "value", "exp"),
        (PROGRAM, Altered("exp", lambda t: t[None]), "shape", 1, 2, "value", "exp"),
        (PROGRAM, Altered("exp", torch.detach), "requires_grad", 1, 2, "value", "exp"),
        (PROGRAM, Altered("exp", lambda t: t.detach().requires_grad_()), "is_leaf", 1, 2, "value", "exp"),
        (PROGRAM, Altered("exp", torch.clone), "grad_fn", 1, 2, "value", "exp"),
        (PROGRAM, Altered("exp", failing(ValueError("no"))), "exception", 1, None, "value", "exp"),
        (PROGRAM, Altered("exp", lambda t: t.detach().numpy()), "exception", 1, None, "value", "exp"),
        (PROGRAM, Altered("exp", lambda t: (t, t)), "exception", 1, None, "value", "exp"),
        (MAX, Altered("max", lambda t: (t, torch.tensor(0))), "value", 0, 2, "value", "max"),
        (MAX, Altered("max", lambda t: (t, t.int())), "dtype", 0, 2, "value", "max"),
    ],
)
def test_an_altered_op_is_found_where_it_is(
    program: Program,
    subject: TorchLike,
    kind: str,
    statement: int | None,
    tensor: int | None,
    what: str,
    op: str,
) -> None:
    found = find(program, subject)
    assert (found.kind, found.statement, found.tensor, found.what, found.op) == (
        kind,
        statement,
        tensor,
        what,
        op,
    )
    assert found.subject != found.oracle and op in found.message


class Silent(TorchLike):
    """Does nothing in backward."""

    def backward(self, *args: Any) -> None:
        pass


class Overwriting(TorchLike):
    """Replaces `.grad` instead of adding to it."""

    def backward(self, roots: Any, gradients: Any, *rest: Any) -> None:
        for root in roots:
            root.grad = None
        self.leaf_made.grad = None
        super().backward(roots, gradients, *rest)

    def leaf(self, leaf: Any) -> Any:
        self.leaf_made = super().leaf(leaf)
        return self.leaf_made


class Writing(TorchLike):
    """Changes an operand of `exp`."""

    def call(self, spec: Any, tensors: Any, params: Any) -> Any:
        made = super().call(spec, tensors, params)
        if spec.name == "exp":
            tensors[0].data += 1.0
        return made


class Leaking(TorchLike):
    """Gives a `.grad` to what is not asked for one."""

    def call(self, spec: Any, tensors: Any, params: Any) -> Any:
        (made,) = super().call(spec, tensors, params)
        made.grad = torch.ones_like(made)
        return (made,)


class Loose(TorchLike):
    """`autograd.grad` with a gradient where there is none."""

    def grad(self, outputs: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        made = super().grad(outputs, inputs, *rest, **more)
        return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(made, inputs, strict=True))


def test_altered_statements_are_found_where_they_are() -> None:
    twice = Program((leaf([0.5, 1.5]),), (SIN, *[Backward((1,), (ONES,), True, False, None)] * 2))
    for subject, kind, statement in ((Silent, "none", 1), (Overwriting, "gradient", 2)):
        found = find(twice, subject("altered", torch))
        assert (found.kind, found.statement, found.tensor, found.what, found.op) == (
            *(kind, statement, 0, "grad"),
            "backward",
        )
    assert find(twice, Silent("altered", torch)).subject == "None"
    unused = Program((leaf([0.5, 1.5]), leaf([1.0])), (Grad((0,), (1,), (ONES,), None, False, True),))
    found = find(unused, Loose("altered", torch))
    assert (found.kind, found.statement, found.tensor, found.op) == ("none", 0, 2, "grad")


def test_what_is_left_at_the_end_is_compared() -> None:
    found = find(PROGRAM, Writing("altered", torch))
    assert (found.kind, found.what, found.statement, found.tensor, found.op) == (
        "value",
        "state",
        0,
        1,
        "sin",
    )
    found = find(Program(PROGRAM.leaves, (SIN, EXP)), Leaking("altered", torch))
    assert (found.kind, found.what, found.statement, found.tensor) == ("none", "grad after", 0, 1)
    assert found.message.startswith("t1.grad, after statement 0 (sin): ")


def test_the_first_divergence_in_the_program_counts() -> None:
    class Twice(Altered):
        def call(self, spec: Any, tensors: Any, params: Any) -> Any:
            made = super().call(spec, tensors, params)
            return (made[0] * 1.0,) if spec.name == "exp" else made

    assert find(PROGRAM, Twice("sin", scaled(2.0))).statement == 0
    assert find(PROGRAM, Twice("cos", scaled(2.0))).statement == 1


@pytest.mark.parametrize(
    ("mine", "true", "kind"),
    [
        (ValueError("a"), None, "exception"),
        (None, ValueError("a"), "exception"),
        (ValueError("a"), TypeError("a"), "exception"),
        (ValueError("a"), ValueError("b"), None),
        (type("Own", (RuntimeError,), {})("a"), torch.linalg.LinAlgError("b"), None),
    ],
)
def test_exception_classes(mine: Exception | None, true: Exception | None, kind: str | None) -> None:
    def engine(error: Exception | None) -> TorchLike:
        return Altered("exp", failing(error)) if error else TORCH

    found = check(PROGRAM, engine(mine), engine(true)).divergence
    assert (found.kind if found else None) == kind
    if found:
        assert (found.statement, found.op) == (1, "exp")
        assert found.message == f"statement 1 (exp): {found.subject}, expected {found.oracle}"
        assert found.oracle == (f"{type(true).__name__}: a" if true else "no exception")


def test_an_earlier_exception_on_the_other_side_counts() -> None:
    found = check(PROGRAM, Altered("exp", failing(ValueError())), Altered("sin", failing(TypeError()))).divergence
    assert found is not None
    assert (found.statement, found.subject, found.oracle) == (0, "no exception", "TypeError")


def test_after_a_common_exception_the_rest_is_compared() -> None:
    class Careless(TorchLike):
        def backward(self, *args: Any) -> None:
            try:
                super().backward(*args)
            finally:
                self.module.set_grad_enabled(True)
                self.made.data.zero_()

        def leaf(self, leaf: Any) -> Any:
            self.made = super().leaf(leaf)
            return self.made

    program = Program((leaf([0.5, 1.5]),), (SIN, Backward((1,), (None,), None, False, None)))
    found = find(program, Careless("altered", torch))
    assert (found.kind, found.what, found.statement, found.tensor) == ("value", "after", 1, 0)
    assert found.message.startswith("t0, after statement 1 (backward): ")


def test_an_oracle_that_makes_no_tensors_is_an_error_of_the_harness() -> None:
    with pytest.raises(HarnessError, match=r"statement 1 \(exp\)"):
        check(PROGRAM, TORCH, Altered("exp", lambda tensor: None))
    wrong_count = Program((leaf([1.0]),), (Call("sin", (0,), {}, 2),))
    with pytest.raises(HarnessError, match="1 tensors where 2 were expected"):
        check(wrong_count, TORCH, TORCH)


def test_a_tensor_that_cannot_be_looked_at_in_the_end_is_found() -> None:
    class Spoiling(TorchLike):
        def retain_grad(self, tensor: Any) -> None:
            self.spoilt = tensor

        def observe(self, tensor: Any, *how: Any) -> Any:
            if tensor is getattr(self, "spoilt", None):
                raise OverflowError("spoilt")
            return super().observe(tensor, *how)

    found = find(Program((leaf([0.5, 1.5]),), (SIN, RetainGrad(1))), Spoiling("altered", torch))
    assert (found.kind, found.op, found.statement) == ("exception", "end", None)
    assert found.subject == "no proper tensor (OverflowError: spoilt)"


def test_a_difference_in_numbers_is_told_in_full() -> None:
    def alter(tensor: torch.Tensor) -> torch.Tensor:
        tensor.data[1, 2] += 0.25
        tensor.data[0, 1] = math.nan
        tensor.data[1, 0] += 1e-16
        return tensor

    program = Program((leaf([0.5, 1.0, 1.5, 2.0, 2.5, 3.0], (2, 3)),), (SIN,))
    found = find(program, Altered("sin", alter))
    true = torch.sin(torch.tensor([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]], dtype=torch.float64))
    assert found.message.startswith("t1, statement 0 (sin): 2 of 6 elements differ, the furthest by nan (nan ulps)")
    assert all(str(x) in found.oracle for x in true.flatten().tolist())
    assert [row["index"] for row in found.elements] == [(0, 1), (1, 2)]
    row = found.elements[1]
    assert row["oracle"] == true[1, 2].item() and row["subject"] == true[1, 2].item() + 0.25
    assert row["difference"] == abs(row["subject"] - row["oracle"])
    assert row["ulps"] == row["difference"] / np.spacing(row["subject"])
    assert 0 < row["bound"] < 1e-11 and len(found.bound) == 6 and found.bound[5] == row["bound"]
    assert {type(x) for row in found.elements for x in row.values()} == {tuple, float}


def test_a_divergence_lists_only_the_worst_elements() -> None:
    program = Program((leaf([k / 100 for k in range(100)]),), (SIN,))
    found = find(program, Altered("sin", scaled(2.0)))
    assert len(found.elements) == ROWS and len(found.bound) == 100
    assert [row["index"] for row in found.elements] == [(99 - k,) for k in range(ROWS)]


def test_limits_are_looked_up_by_place() -> None:
    mine, true = run(PROGRAM, Altered("exp", scaled(1.5))), run(PROGRAM, TORCH)
    generous: Callable[[list[Any]], list[Any]] = lambda entries: [  # noqa: E731
        None if entry is None else np.full(entry.value.shape, 9.0) for entry in entries
    ]
    limits = Limits(*map(generous, (true.seen, true.state, true.grads)))
    assert compare(PROGRAM, mine, true) is not None
    assert compare(PROGRAM, mine, true, limits) is None
    for which, what in (("seen", "value"), ("state", "state")):
        lists = {name: list(getattr(limits, name)) for name in ("seen", "state", "grads")}
        lists[which][2] = np.full((2,), 1e-9)
        found = compare(PROGRAM, mine, true, Limits(**lists))
        assert found is not None and (found.tensor, found.what) == (2, what)


def test_zeroed_gradients_are_told_from_dropped_ones() -> None:
    class Dropping(TorchLike):
        def zero_grad(self, tensor: Any, how: str) -> None:
            super().zero_grad(tensor, "none")

    program = Program(PROGRAM.leaves, (*PROGRAM.statements, ZeroGrad(0, "zero_")))
    found = find(program, Dropping("altered", torch))
    assert (found.kind, found.statement, found.tensor, found.op) == ("none", 3, 0, "zero_grad")


class Reversing(TorchLike):
    """torch whose passes call hooks in the reverse order, afterwards."""

    def __init__(self) -> None:
        super().__init__("reversing", torch)
        self.calls: list[Callable[[], Any]] = []

    def register(self, place: str, tensors: Any, function: Callable[..., Any]) -> Any:
        def later(gradient: Any) -> None:
            self.calls.append(lambda: function(gradient))

        return super().register(place, tensors, later)

    def grad(self, *args: Any) -> Any:
        made = super().grad(*args)
        self.catch_up()
        return made

    def backward(self, *args: Any) -> None:
        super().backward(*args)
        self.catch_up()

    def catch_up(self) -> None:
        with torch.no_grad():
            while self.calls:
                self.calls.pop()()


def test_passes_from_gradients_call_hooks_in_any_order() -> None:
    """An engine computes them as it likes; only passes through the program itself have an order of their own."""
    leaves = (leaf([0.5, 1.5]), leaf([2.0, 3.0]))
    statements = (
        Call("mul", (0, 1), {}, 1),
        Hook(0, "tensor", (0,), "observe", None),
        Hook(1, "tensor", (1,), "observe", None),
    )
    first = Program(leaves, (*statements, Backward((2,), (ONES,), None, False, None)))
    found = find(first, Reversing())
    assert (found.kind, found.statement) == ("hook", 3)
    calls = (Call("square", (2,), {}, 1), Grad((3,), (2,), (ONES,), None, True, False))
    second = Program(leaves, (*statements, *calls, Backward((4,), (ONES,), None, False, None)))
    assert check(second, Reversing(), TORCH).divergence is None


def test_passes_from_gradients_call_all_hooks() -> None:
    class Silent(Reversing):
        def catch_up(self) -> None:
            del self.calls[1:]
            super().catch_up()

    hooks = Hook(0, "tensor", (0,), "observe", None), Hook(1, "tensor", (0,), "observe", None)
    grad = Grad((1,), (0,), (ONES,), None, True, False)
    program = Program(PROGRAM.leaves, (SIN, grad, *hooks, Backward((2,), (ONES,), None, False, None)))
    assert check(program, Reversing(), TORCH).divergence is None
    assert find(program, Silent()).kind == "hook"


def test_what_layout_ops_make_of_gradients_goes_by_its_own_name() -> None:
    """It is compared as gradients are, without the names of nodes, and is not a `.grad`."""
    grad = Grad((1,), (0,), (ONES,), None, True, False)
    program = Program(PROGRAM.leaves, (SIN, grad, Call("contiguous", (2,), {}, 1)))
    assert check(program, Altered("contiguous", torch.clone), TORCH).divergence is None
    found = find(program, Altered("contiguous", lambda t: t * 2.0))
    assert (found.kind, found.what, found.tensor) == ("gradient", "grad", 3)
    assert found.message.startswith("t3, statement 2 (contiguous): ")
