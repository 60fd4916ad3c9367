"""What torch itself answers in two ways, by the position of an element: refgrad may answer either."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oracle import engines
from oracle.bounds import excuse
from oracle.execute import run
from oracle.program import Backward, Call, Leaf, Literal, Program, check


def literal(*values: float) -> Literal:
    return Literal("float64", (len(values),), values)


def test_torch_takes_either_zero_of_a_tie() -> None:
    signs = set()
    for n in (1, 8):
        tie = torch.maximum(torch.zeros(n, dtype=torch.float64), -torch.zeros(n, dtype=torch.float64))
        signs.update(torch.signbit(tie).tolist())
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("torch runs without vector registers here, and only they make the difference")
    assert signs == {True, False}


def test_torch_hands_back_either_at_nan_through_elu() -> None:
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("torch runs without vector registers here, and only they make the difference")
    x = torch.full((17,), float("nan"), dtype=torch.float64, requires_grad=True)
    torch.nn.functional.elu(x).sum().backward()
    assert set(torch.isnan(x.grad).tolist()) == {True, False}


@pytest.mark.parametrize("op", ["maximum", "minimum"])
@pytest.mark.parametrize("swapped", [False, True])
def test_neither_zero_is_accused(op: str, swapped: bool) -> None:
    """atan2 makes pi and -pi of the two zeros; whichever an engine gave is excused, and nothing else is."""
    leaves = [Leaf(literal(0.0), False, "contiguous"), Leaf(literal(-0.0), False, "contiguous")]
    if swapped:
        leaves.reverse()
    leaves.append(Leaf(literal(-4.0), False, "contiguous"))
    program = Program(
        tuple(leaves), (Call(op, (0, 1), {}, 1), Call("atan2", (3, 2), {}, 1))
    )
    engine = engines.get("torch")
    true = run(program, engine)
    other = true._replace(seen=[*true.seen[:-1], true.seen[-1]._replace(value=-true.seen[-1].value)])
    assert excuse(program, engine, other, true) is None
    wrong = true._replace(seen=[*true.seen[:-1], true.seen[-1]._replace(value=true.seen[-1].value + 100)])
    assert excuse(program, engine, wrong, true) is not None


def test_either_gradient_of_elu_at_nan_is_excused_and_nothing_elsewhere() -> None:
    leaf = Leaf(literal(float("nan"), -1.0), True, "contiguous")
    backward = Backward((1,), (literal(1.0, 1.0),), None, False, None)
    program = Program((leaf,), (Call("elu", (0,), {}, 1), backward))
    engine = engines.get("torch")
    true = run(program, engine)
    gradient = true.grads[0]
    assert gradient is not None

    def claim(at_nan: float, elsewhere: float) -> object:
        value = gradient.value.copy()
        value[:] = at_nan, elsewhere
        mine = [None if o is None else o for o in true.seen]
        mine[-1] = gradient._replace(value=value, same=None)
        last = gradient._replace(value=value)
        return excuse(program, engine, true._replace(seen=mine, grads=[last, *true.grads[1:]]), true)

    assert claim(float("nan"), gradient.value[1]) is None
    assert claim(1.0, gradient.value[1]) is None
    assert claim(1.0, 0.5) is not None


def test_a_product_that_overflows_inside_may_be_infinite_or_nan() -> None:
    left = Literal("float64", (1, 2), (-1e200, 1e200))
    right = Literal("float64", (2, 1), (1e200, 1e200))
    leaves = (Leaf(left, False, "contiguous"), Leaf(right, False, "contiguous"))
    program = Program(leaves, (Call("mm", (0, 1), {}, 1),))
    engine = engines.get("torch")
    true = run(program, engine)

    made = true.seen[-1]
    assert made is not None
    for other in (float("nan"), float("inf"), float("-inf")):
        mine = made._replace(value=np.full_like(made.value, other))
        assert excuse(program, engine, true._replace(seen=[*true.seen[:-1], mine]), true) is None
    finite = Program(
        (Leaf(Literal("float64", (1, 2), (-1.0, 1.0)), False, "contiguous"), leaves[1]), program.statements
    )
    steady = run(finite, engine)
    off = steady.seen[-1]._replace(value=steady.seen[-1].value + float("inf"))
    assert excuse(finite, engine, steady._replace(seen=[*steady.seen[:-1], off]), steady) is not None


def test_the_gradient_of_std_of_equal_numbers_is_whatever_rounding_leaves() -> None:
    """Where the mean rounds, all differences from it have one sign, and their sum over copies does not vanish."""
    leaf = Leaf(literal(1.0, 3.0), True, "contiguous")
    index = Leaf(Literal("int64", (12,), (0,) * 12), False, "contiguous")
    calls = (
        Call("exp2", (0,), {}, 1),
        Call("sqrt", (2,), {}, 1),
        Call("index_select", (3, 1), {"dim": 0}, 1),
        Call("std", (4,), {"dim": 0, "correction": 1, "keepdim": False}, 1),
        Backward((5,), (None,), None, False, None),
    )
    program = Program((leaf, index), calls)
    check(program)
    engine = engines.get("torch")
    true = run(program, engine)
    gradient = true.grads[0]
    assert gradient is not None

    def claim(first: float, second: float) -> object:
        mine = list(true.seen)
        last = gradient._replace(value=np.array([first, second]))
        mine[-2] = last._replace(same=None)
        return excuse(program, engine, true._replace(seen=mine, grads=[last, *true.grads[1:]]), true)

    assert claim(0.27, 0.0) is None
    assert claim(0.27, 0.5) is not None
