"""Error bounds: rounding is excused however it is magnified, and nothing else is."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from oracle import bounds, disturb
from oracle.catalogue import CATALOGUE
from oracle.check import check
from oracle.compare import Limits, compare
from oracle.engines import TorchLike
from oracle.execute import run
from oracle.generate import PROFILES, programs
from oracle.gentle import Gentle
from oracle.program import Backward, Call, Grad, Leaf, Program, Statement
from oracle.trace import Observation
from tests.oracle.broken import (
    BACKWARDS,
    PLAIN,
    TORCH,
    Altered,
    Unnamed,
    hooked,
    leaf,
    literal,
    module_with,
    scaled,
    summed_backwards,
)


@pytest.fixture(params=["plain", "gentle"], autouse=True)
def disturbance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with both ways of disturbing a program."""
    if request.param == "gentle":
        monkeypatch.setattr(bounds, "Disturbed", Gentle)


def sum_of(tensor: int) -> Call:
    return Call("sum", (tensor,), {}, 1)


def backward(root: int) -> Backward:
    return Backward((root,), (None,), None, False, None)


TERMS = [-0.78, -0.12, 0.54, -0.77, 0.85, -0.44, 0.22, 1e3, 0.85, -1e3, -0.05]  # 0.3, give or take


def rounded(terms: list[float], dtype: str) -> list[float]:
    return np.array(terms).astype(dtype).tolist()


def vector(terms: list[float], dtype: str = "float64") -> Leaf:
    return leaf(rounded(terms, dtype), dtype=dtype)


def test_the_table_names_ops_that_exist() -> None:
    assert not disturb.EXACT.union(disturb.LOSSY).difference(CATALOGUE)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "more",
    [
        [],
        [Call("exp", (1,), {}, 1), backward(2)],
        [Call("mul", (1, 1), {}, 1), Call("log", (2,), {}, 1), backward(3)],
        [
            Call("mul", (1, 0), {}, 1),
            Call("sin", (2,), {}, 1),
            sum_of(3),
            Grad((4,), (0,), (None,), None, True, False),
            sum_of(5),
            Grad((6,), (0,), (None,), None, False, False),
        ],
    ],
)
def test_cancellation_is_excused(dtype: str, more: list[Statement]) -> None:
    """Adding up in another order gives another value and other derivatives, and both are right."""
    program = Program((vector(TERMS, dtype),), (sum_of(0), *more))
    mine, true = run(program, BACKWARDS), run(program, PLAIN)
    assert compare(program, mine, true) is not None
    result = check(program, BACKWARDS, PLAIN)
    assert result.divergence is None and result.escalated


@pytest.mark.parametrize("factor", [1.0 + 1e-6, -1.0])
def test_in_a_cancellation_an_error_is_still_an_error(factor: float) -> None:
    program = Program((vector(TERMS),), (sum_of(0), Call("exp", (1,), {}, 1), backward(2)))
    found = check(program, Altered("exp", scaled(factor)), TORCH).divergence
    assert found is not None and (found.kind, found.op) == ("value", "exp")
    found = check(program, Altered("exp", hooked(lambda g: g * factor)), TORCH).divergence
    assert found is not None and (found.kind, found.op) == ("gradient", "backward")


NEARLY_ZERO = [0.1, 0.2, -0.3]  # adds up to something tiny of either sign, or to nothing, as the order has it


@pytest.mark.parametrize("op", ["abs", "relu", "sign"])
@pytest.mark.parametrize("terms", [NEARLY_ZERO, [0.7, -0.4, -0.3], [0.6, 0.1, -0.7]])
def test_a_kink_that_rounding_hits_is_excused(op: str, terms: list[float]) -> None:
    program = Program((vector(terms),), (sum_of(0), Call(op, (1,), {}, 1), backward(2)))
    assert check(program, BACKWARDS, PLAIN).divergence is None


@pytest.mark.parametrize(
    ("statement", "made"),
    [
        (Call("gt", (1, 2), {}, 1), "bool"),
        (Call("max", (1,), {"dim": 0}, 2), "int64"),
        (Call("sort", (1,), {"stable": True, "dim": 0}, 2), "int64"),
    ],
)
def test_a_choice_that_rounding_makes_is_excused(statement: Call, made: str) -> None:
    """Two sums of the same terms in two orders are compared."""
    leaves = (vector(NEARLY_ZERO), vector(NEARLY_ZERO[::-1]))
    sums = (sum_of(0), sum_of(1), Call("stack", (2, 3), {"dim": 0}, 1))
    shifted = Call(statement.op, (2, 3) if statement.op == "gt" else (4,), statement.params, statement.outputs)
    program = Program(leaves, (*sums, shifted))
    unexcused = compare(program, run(program, BACKWARDS), run(program, PLAIN))
    assert unexcused is not None
    result = check(program, BACKWARDS, PLAIN)
    assert result.divergence is None and result.escalated
    assert made in {entry.dtype for entry in result.oracle.state if entry is not None}


def corrected(at: float, gradient: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """A hook that gives elements of the result equal to `at` another gradient."""

    def alter(tensor: torch.Tensor) -> torch.Tensor:
        value = tensor.detach()
        if tensor.requires_grad:
            tensor.register_hook(lambda g: torch.where(value == at, g * gradient, g))
        return tensor

    return alter


@pytest.mark.parametrize(
    ("statements", "subject"),
    [
        # x.clamp(-1, 1) at -1, where torch hands the gradient on
        (
            (Call("clamp", (0,), {"min": -1.0, "max": 1.0}, 1), sum_of(1)),
            Altered("clamp", corrected(-1.0, 0.0)),
        ),
        # a kink behind ops that round correctly: (x + 1) * 3
        (
            (
                Call("add_operator", (0,), {"scalar": 1.0, "side": "right"}, 1),
                Call("mul_operator", (1,), {"scalar": 3.0, "side": "right"}, 1),
                Call("clamp", (2,), {"min": 0.0}, 1),
                sum_of(3),
            ),
            Altered("clamp", corrected(0.0, 0.5)),
        ),
        # a tie, which torch shares out
        (
            (Call("amax", (0,), {"dim": [0]}, 1),),
            Unnamed("first", module_with(amax=lambda x, dim: torch.max(x, dim[0]).values)),
        ),
        # a comparison
        ((Call("eq", (0, 0), {}, 1), sum_of(0)), Altered("eq", torch.logical_not)),
    ],
)
def test_a_kink_at_known_numbers_is_not_excused(statements: tuple[Statement, ...], subject: TorchLike) -> None:
    program = Program((leaf([-1.0, 0.5, 2.0, 2.0]),), (*statements, backward(len(statements))))
    oracle = PLAIN if isinstance(subject, Unnamed) else TORCH
    found = check(program, subject, oracle)
    assert found.divergence is not None and found.escalated


@pytest.mark.parametrize("x", [1.0 - 2.0**-40, 0.999, 0.9999999])
def test_accuracy_lost_inside_an_op_at_known_numbers_is_excused(x: float) -> None:
    """The derivative of acos: 1 - x * x in it loses digits next to 1, (1 - x) * (1 + x) does not."""

    class Acos(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return torch.acos(x)

        @staticmethod
        def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
            (x,) = ctx.saved_tensors
            return -g / torch.sqrt((1 - x) * (1 + x))

    subject = Unnamed("other", module_with(acos=Acos.apply))
    program = Program((leaf([x, 0.3 + x / 2]),), (Call("acos", (0,), {}, 1), sum_of(1), backward(2)))
    assert check(program, subject, PLAIN).divergence is None


def _gelu(x: torch.Tensor) -> torch.Tensor:
    return x / 2 * torch.erfc(-x / math.sqrt(2.0))


def _gelu_by_sigmoid(x: torch.Tensor) -> torch.Tensor:
    """Its approximation by tanh, without what cancels there."""
    return x * torch.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))


def _silu(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + torch.exp(-x))


def _softmax(x: torch.Tensor, dim: int) -> torch.Tensor:
    shifted = torch.exp(x - x.detach().amax(dim, keepdim=True))
    return shifted / summed_backwards(shifted, [dim], True)


def _log_softmax(x: torch.Tensor, dim: int) -> torch.Tensor:
    shifted = x - x.detach().amax(dim, keepdim=True)
    return shifted - torch.log1p(torch.sum(torch.exp(shifted), dim, keepdim=True) - 1)


@pytest.mark.parametrize(
    ("op", "target", "params"),
    [
        ("gelu", _gelu, {}),
        ("silu", _silu, {}),
        ("softmax", _softmax, {"dim": 0}),
        ("log_softmax", _log_softmax, {"dim": 0}),
        ("logsumexp", lambda x, dim: torch.logaddexp(x[1:].logsumexp(0), x[0]), {"dim": [0]}),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_cancels_inside_an_op_is_excused(
    op: str, target: Callable[..., torch.Tensor], params: dict[str, Any], dtype: str
) -> None:
    """Other formulas for the same functions, with other errors where one number outweighs the rest."""
    root = -1.2784645427610738  # of the derivative of silu
    outweighing = rounded([root if op == "silu" else -0.011, -7.3, -5.2, -9.7, -12.1], dtype)
    first = None if op == "logsumexp" else literal([1.0, 0.0, 0.0, 0.0, 0.0], dtype=dtype)
    call, last = Call(op, (0,), params, 1), Backward((1,), (first,), None, False, None)
    program = Program((leaf(outweighing, dtype=dtype),), (call, last))
    functions = SimpleNamespace(**{**torch.nn.functional.__dict__, op: target})
    other = module_with(nn=SimpleNamespace(functional=functions), **{op: target})
    assert check(program, Unnamed("other", other), PLAIN).divergence is None


def test_what_cancels_in_a_derivative_is_excused_where_the_gradient_given_is_zero() -> None:
    """The first pass gives gelu nothing; what the second hands back to the zero is its slope, which cancels."""
    call, grad = Call("gelu", (0,), {"approximate": "tanh"}, 1), Grad((3,), (0,), (None,), None, True, False)
    statements = (call, Call("mul", (2, 1), {}, 1), grad, Backward((4,), (None,), None, False, None))
    program = Program((leaf([-4.0], ()), leaf([0.0], ())), statements)
    functions = SimpleNamespace(**{**torch.nn.functional.__dict__, "gelu": lambda x, approximate: _gelu_by_sigmoid(x)})
    other = module_with(nn=SimpleNamespace(functional=functions))
    mine, true = run(program, Unnamed("other", other)), run(program, PLAIN)
    assert compare(program, mine, true) is not None
    assert check(program, Unnamed("other", other), PLAIN).divergence is None


def test_movements_that_are_rounded_away_show_where_they_go_far() -> None:
    """End - (end - start) * (1 - weight), with a result much smaller than the end: a spacing of the weight is lost."""
    leaves = leaf([1.44], ()), leaf([2.778179168701172], ()), leaf([-1.0542984008789062], ())
    program = Program(leaves, (Call("lerp", (0, 1, 2), {}, 1),))
    base = bounds._Base(program, PLAIN, run(program, PLAIN))
    at = int(np.argmin(np.abs(base.values - 0.02915984)))
    slope = (2.778179168701172 - 1.44) * math.ulp(1.0542984008789062)
    nothing, far = np.zeros_like(base.values), np.zeros_like(base.values)
    far[at] = slope * base.reach
    assert base.combined(nothing, nothing, far)[at] == pytest.approx(slope)
    jump = np.full_like(far, 0.5)
    assert base.combined(nothing, jump, jump)[at] == 0.0  # as far for one spacing as for many


def _binomial(x: torch.Tensor) -> torch.Tensor:
    """The square of x, of which little is left in float32."""
    return (x + 1000.0) * (x + 1000.0) - 2000.0 * x - 1e6


def _overflowing(x: torch.Tensor) -> torch.Tensor:
    """The square of x, which becomes infinite on its way in float16."""
    return (x * 300.0) * (x * 300.0) / 9e4


@pytest.mark.parametrize(("dtype", "inaccurate"), [("float32", _binomial), ("float16", _overflowing)])
def test_an_oracle_that_is_off_itself_does_not_blame_a_better_subject(
    dtype: str, inaccurate: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    oracle = Unnamed("inaccurate", module_with(square=inaccurate))
    program = Program((leaf(rounded([1.1, 0.7, 1.9], dtype), dtype=dtype),), (Call("square", (0,), {}, 1),))
    assert compare(program, run(program, PLAIN), run(program, oracle)) is not None
    assert check(program, PLAIN, oracle).divergence is None
    wrong = Unnamed("wrong", module_with(square=lambda x: torch.square(x) * 1.5))
    assert check(program, wrong, PLAIN).divergence is not None
    if dtype == "float32":  # in float16 this oracle has nothing to say
        assert check(program, wrong, oracle).divergence is not None


def test_a_program_is_widened_in_all_its_parts() -> None:
    statements = (
        Call("to", (0,), {"dtype": "float16"}, 1),
        Call("float", (1,), {}, 1),
        Call("sin", (2,), {}, 1),
        Backward((3,), (literal([1.0], dtype="float32"),), None, False, None),
        Grad((3,), (0,), (literal([1.0], dtype="float32"),), None, False, False),
    )
    program = Program((leaf([0.1], dtype="float64"), leaf([True], dtype="bool", requires_grad=False)), statements)
    wide = disturb.widened(program)
    assert wide.leaves == program.leaves
    assert [s.op for s in wide.statements if isinstance(s, Call)] == ["to", "double", "sin"]
    assert wide.statements[0] == Call("to", (0,), {"dtype": "float64"}, 1)
    assert "float32" not in repr(wide) and "float16" not in repr(wide)


@pytest.mark.parametrize("op", ["acos", "sqrt", "log"])
def test_at_the_edge_of_a_domain_nothing_is_excused(op: str) -> None:
    """The value there is known, and a step further is NaN; that is no reason to let anything pass."""
    program = Program((leaf([1.0 if op == "acos" else 0.0, 0.5]),), (Call(op, (0,), {}, 1), sum_of(1), backward(2)))
    finite = Altered(op, hooked(lambda g: g * 0.5))
    assert check(program, finite, TORCH).divergence is not None
    nan = Altered(op, hooked(lambda g: g * torch.tensor([math.nan, 1.0], dtype=g.dtype)))
    found = check(program, nan, TORCH).divergence
    assert found is not None and math.isnan(found.elements[0]["subject"])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_limits_are_about_as_wide_as_the_error_they_are_for(dtype: str) -> None:
    """1 / (a - b), with a and b computed and close to each other."""
    program = Program(
        (leaf(rounded([2.0], dtype), dtype=dtype), leaf(rounded([2.01], dtype), dtype=dtype)),
        (
            Call("log", (0,), {}, 1),
            Call("log", (1,), {}, 1),
            Call("sub", (2, 3), {}, 1),
            Call("reciprocal", (4,), {}, 1),
        ),
    )
    trace = run(program, TORCH)
    last = bounds.spread(program, TORCH, trace)
    a, b = (trace.seen[i].value[0] for i in (2, 3))  # type: ignore[union-attr]
    spacing = float(np.spacing(a))
    amplified = spacing / (float(b) - float(a)) ** 2  # what one spacing of a or b does to the quotient
    assert last.seen[5] is not None
    assert amplified < last.seen[5][0] < 120 * amplified


def numbers(limits: Limits) -> np.ndarray:
    entries = (*limits.seen, *limits.state, *limits.grads)
    return np.hstack([np.ravel(entry) for entry in entries if entry is not None])


def test_limits_grow_with_the_runs_and_depend_on_nothing_else() -> None:
    program = Program((vector(TERMS),), (sum_of(0), Call("exp", (1,), {}, 1), backward(2)))
    trace = run(program, TORCH)
    few, many = (numbers(bounds.spread(program, TORCH, trace, runs)) for runs in (1, 8))
    assert (few <= many).all() and (few < many).any()
    assert np.array_equal(many, numbers(bounds.spread(program, TORCH, trace)))
    assert not np.array_equal(many, numbers(bounds.spread(program, TORCH, trace, seed=1)))


@pytest.mark.parametrize(("op", "excused"), [("mm", True), ("sin", False)])
def test_the_sign_of_a_zero_counts_where_it_is_known(op: str, excused: bool) -> None:
    """1 / 0.0 and 1 / -0.0: a sum of products starts from a zero of its engine's choice, a sine does not."""
    leaves = (leaf([-0.0, 1.0], (1, 2)), leaf([1.0, 0.0], (2, 1)))
    call = Call(op, (0, 1) if op == "mm" else (0,), {}, 1)
    program = Program(leaves, (call, Call("reciprocal", (2,), {}, 1)))
    function = getattr(torch, op)

    def turned(*inputs: torch.Tensor) -> torch.Tensor:
        made = function(*inputs)
        return torch.where(made == 0, -made, made)

    assert (check(program, Unnamed("x", module_with(**{op: turned})), PLAIN).divergence is None) is excused


def test_zeros_and_what_is_not_finite_stay_put() -> None:
    program = Program((leaf([0.0, math.inf, math.nan, -math.inf]),), (Call("exp", (0,), {}, 1),))
    last = bounds.spread(program, TORCH, run(program, TORCH))
    assert last.seen[1] is not None and np.isfinite(last.seen[1]).all()


def test_limits_go_on_after_an_exception() -> None:
    program = Program((vector(TERMS),), (sum_of(0), Backward((0,), (None,), None, False, None), sum_of(0)))
    trace = run(program, TORCH)
    last = bounds.spread(program, TORCH, trace)
    assert (len(last.seen), len(last.state), len(last.grads)) == (8, 3, 3)
    assert check(program, BACKWARDS, PLAIN).divergence is None


@settings(max_examples=100)
@given(programs(PROFILES["default"].restricted(["sum", "mm", "mul", "sub", "exp", "tanh", "relu", "div", "max", "t"])))
def test_an_engine_that_adds_in_another_order_is_never_blamed(program: Program) -> None:
    assert check(program, BACKWARDS, PLAIN).divergence is None


@settings(max_examples=60)
@given(programs(PROFILES["default"]))
def test_disturbed_runs_do_what_the_others_do(program: Program) -> None:
    """Same statements, same shapes, same gradients there and missing: only numbers move."""
    trace = run(program, TORCH)
    last = bounds.spread(program, TORCH, trace, runs=2)
    for limits, entries in zip(
        (last.seen, last.state, last.grads), (trace.seen, trace.state, trace.grads), strict=True
    ):
        assert len(limits) == len(entries)
        for limit, entry in zip(limits, entries, strict=True):
            assert (limit is None) == (not isinstance(entry, Observation))
            assert limit is None or limit.shape == entry.shape
