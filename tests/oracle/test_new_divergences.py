"""Engines with one rule broken, and the kind of divergence that shows it; the script of each shows it too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from oracle.check import CheckResult, check
from oracle.compare import Divergence
from oracle.engines import TorchLike
from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Hook,
    Inspect,
    Program,
    ReadGrad,
    RetainGrad,
    SetGrad,
    Statement,
)
from oracle.reduce import reduce
from oracle.repro import describe, script
from oracle.shard import bucket_of
from oracle.shrink import falls_into, stand_ins
from reports.wording import difference
from tests.oracle.broken import TORCH, Altered, leaf, literal, module_with, scaled
from tests.oracle.wild import wild

ONES = literal([1.0, 1.0])
SQUARE, DOUBLE = Call("mul", (0, 0), {}, 1), Call("mul_", (1,), {"other": 2.0}, 0)
SELECT, SIN = Call("select", (1,), {"dim": 0, "index": 0}, 1), Call("sin", (0,), {}, 1)
BACK = Backward((1,), (ONES,), True, False, None)
WRONG = Backward((1,), (None,), None, False, None)


class Engine(TorchLike):
    def __init__(self) -> None:
        super().__init__("broken", torch)


class Copying(Engine):
    """In-place ops return a copy."""

    def call(self, spec: Any, tensors: Any, params: Any) -> Any:
        made = super().call(spec, tensors, params)
        return (made[0].clone(),) if spec.writes else made


class Uncounted(Engine):
    """In-place ops go unnoticed."""

    def call(self, spec: Any, tensors: Any, params: Any) -> Any:
        if not spec.writes:
            return super().call(spec, tensors, params)
        super().call(spec, [tensors[0].data, *tensors[1:]], params)
        return (tensors[0],)


class NoViews(Engine):
    """Views do not share memory."""

    def call(self, spec: Any, tensors: Any, params: Any) -> Any:
        made = super().call(spec, tensors, params)
        return (torch.select_copy(*tensors, **params),) if spec.name == "select" else made


class Anew(Engine):
    """`.grad` is another tensor after each backward."""

    def backward(self, roots: Any, gradients: Any, *rest: Any) -> None:
        super().backward(roots, gradients, *rest)
        self.made.grad = self.made.grad.clone()

    def leaf(self, leaf: Any) -> Any:
        self.made = super().leaf(leaf)
        return self.made


class Hookless(Engine):
    """Hooks are forgotten."""

    def register(self, place: str, tensors: Any, function: Any) -> Any:
        return SimpleNamespace(remove=lambda: None)


class Backwards(Engine):
    """The hook registered last is called first."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[Any] = []

    def register(self, place: str, tensors: Any, function: Any) -> Any:
        self.functions.insert(0, function)
        if len(self.functions) > 1:
            return SimpleNamespace(remove=lambda: None)

        def all_of_them(gradient: Any) -> None:
            for each in self.functions:
                each(gradient)

        return super().register(place, tensors, all_of_them)


class Doubling(Engine):
    """Hooks are given twice the gradient."""

    def register(self, place: str, tensors: Any, function: Any) -> Any:
        return super().register(place, tensors, lambda gradient: function(gradient * 2))


class Leaking(Engine):
    """Modes are not left."""

    def mode(self, name: str) -> Any:
        @contextmanager
        def entered() -> Any:
            torch.set_grad_enabled(name == "enable_grad")
            yield

        return entered() if name == "no_grad" else super().mode(name)


class Unretained(Engine):
    def retain_grad(self, tensor: Any) -> None:
        pass


class Other(Engine):
    """`.grad` is a new object whenever it is read."""

    def gradient(self, tensor: Any) -> Any:
        return None if tensor.grad is None else tensor.grad.view_as(tensor.grad)


class Spoiling(Engine):
    """A backward that raises leaves something behind."""

    def backward(self, roots: Any, gradients: Any, *rest: Any) -> None:
        try:
            super().backward(roots, gradients, *rest)
        except RuntimeError:
            roots[0].data.mul_(3)
            raise


class Stubborn(Engine):
    """Raises where it was told not to go on."""

    def inspected(self) -> None: ...

    def node(self, tensor: Any) -> str:
        return "AnotherBackward0()"


class Careless(Engine):
    """Goes on where torch raises."""

    def backward(self, roots: Any, gradients: Any, *rest: Any) -> None:
        gradients = [torch.ones_like(r) if g is None else g for r, g in zip(roots, gradients, strict=True)]
        super().backward(roots, gradients, *rest)


class Unmarked(Engine):
    """inference_mode is no more than no_grad."""

    def mode(self, name: str) -> Any:
        return super().mode("no_grad" if name == "inference_mode" else name)


HOOKS = (Hook(0, "tensor", (0,), "observe", None), Hook(1, "tensor", (0,), "observe", None))
BROKEN: list[tuple[type[Engine], tuple[Statement, ...], tuple[Any, ...]]] = [
    (Copying, (SQUARE, DOUBLE), ("identity", 1, 1, "returned", "mul_")),
    (Uncounted, (SQUARE, DOUBLE), ("version", 1, 1, "after", "mul_")),
    (NoViews, (SQUARE, SELECT), ("storage", 1, 2, "value", "select")),
    (Anew, (SQUARE, BACK, BACK), ("identity", 2, 0, "grad", "backward")),
    (Hookless, (SQUARE, *HOOKS, BACK), ("hook", 3, 0, "hook", "backward")),
    (Backwards, (SQUARE, *HOOKS, BACK), ("hook", 3, 0, "hook", "backward")),
    (Doubling, (SQUARE, *HOOKS, BACK), ("gradient", 3, 0, "gradient", "backward")),
    (Leaking, (Enter("no_grad"), SIN, Exit()), ("mode", 2, None, "modes", "exit")),
    (Unretained, (SQUARE, RetainGrad(1)), ("retains_grad", 0, 1, "state", "mul")),
    (Other, (SQUARE, SetGrad(0, 0), SetGrad(1, 0), ReadGrad(1)), ("identity", 3, 2, "grad", "read_grad")),
    (Spoiling, (SQUARE, WRONG), ("value", 1, 1, "after", "backward")),
    (Stubborn, (SQUARE, Inspect(1)), ("edges", 1, 1, "edges", "inspect")),
    (Careless, (SQUARE, WRONG, SIN), ("exception", 1, None, "value", "backward")),
    (Unmarked, (Enter("inference_mode"), SIN, Exit()), ("mode", 0, None, "modes", "enter")),
]


def found_by(engine: TorchLike, *statements: Statement) -> tuple[Program, Divergence]:
    program = Program((leaf([1.0, 2.0]),), statements)
    found = check(program, engine, TORCH).divergence
    assert found is not None
    return program, found


@pytest.mark.parametrize(("engine", "statements", "expected"), BROKEN, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_rule_is_found_where_it_is(
    engine: type[Engine], statements: tuple[Statement, ...], expected: tuple[Any, ...]
) -> None:
    with torch.enable_grad():
        program, found = found_by(engine(), *statements)
    assert (found.kind, found.statement, found.tensor, found.what, found.op) == expected
    assert found.subject != found.oracle
    assert bucket_of(found).startswith(f"{found.kind}:{found.op}:{found.what}")
    assert describe(found, program).startswith(found.message)
    document = {"kind": found.kind, "tensor": found.tensor, "what": found.what, "statement": found.statement}
    assert "differ" in difference(document, found.what == "value")


def test_after_a_common_exception_both_go_on_and_the_next_divergence_counts() -> None:
    _, found = found_by(Altered("sin", scaled(2.0)), SQUARE, WRONG, SIN)
    assert (found.kind, found.statement, found.op) == ("value", 2, "sin")


def test_what_comes_after_an_exception_on_one_side_is_not_blamed() -> None:
    """The subject lacks t2 from then on; that is no divergence of its own."""

    class Failing(Engine):
        def call(self, spec: Any, tensors: Any, params: Any) -> Any:
            if spec.name == "sin":
                raise ValueError("no")
            return super().call(spec, tensors, params)

    _, found = found_by(Failing(), SIN, Call("exp", (1,), {}, 1))
    assert (found.kind, found.statement, found.subject) == ("exception", 0, "ValueError: no")


def test_what_is_an_engines_own_business_is_not_compared() -> None:
    """Layout, aliases, nodes and versions of gradients; views made by composites."""

    class Own(Engine):
        def grad(self, *given: Any) -> Any:
            made = super().grad(*given)
            return tuple(g.clone().mul_(1) for g in made)

        def call(self, spec: Any, tensors: Any, params: Any) -> Any:
            made = super().call(spec, tensors, params)
            if spec.name == "matmul" and not made[0].requires_grad:
                return (made[0].clone().mul_(1),)
            return made

    square = Program(
        (leaf([1.0, 2.0]), leaf([1.0, 0.0, 2.0, 1.0], (1, 2, 2), requires_grad=False)),
        (
            Call("mul", (0, 0), {}, 1),
            Grad((2,), (0, 2), (ONES,), True, False, False),
            Call("neg", (3,), {}, 1),
            Call("contiguous", (4,), {}, 1),
            Call("matmul", (1, 1), {}, 1),
            Call("select", (7,), {"dim": 0, "index": 0}, 1),
            Call("mul_", (8,), {"other": 2.0}, 0),
        ),
    )
    assert check(square, Own(), TORCH).divergence is None


# Scripts, with the same rules broken in a module


def status(text: str, monkeypatch: pytest.MonkeyPatch, **functions: Callable[..., Any]) -> int:
    """The exit status of a script where `refgrad` is torch with other functions."""
    monkeypatch.setitem(sys.modules, "refgrad", module_with(**functions))
    spaces: dict[str, Any] = {"__name__": "script"}
    exec(text, spaces)  # our own text
    sides = []
    for name in ("refgrad", "torch"):  # which share a grad mode here, as they do nowhere else
        with torch.enable_grad():
            sides.append(spaces["observe"](name, None))
    return 0 if all(spaces["agree"](sides[0][what], sides[1][what]) for what in sides[1]) else 1


class LeftOpen(torch.no_grad):
    def __exit__(self, *given: Any) -> None:
        pass


def torch_with_edges(change: Callable[..., Any]) -> Any:
    """`torch.autograd` whose multi hooks are registered by `change`."""
    graph = module_with(register_multi_grad_hook=change)
    graph.__dict__["__getattr__"] = lambda name: getattr(torch.autograd.graph, name)
    autograd = module_with(graph=graph)
    autograd.__dict__["__getattr__"] = lambda name: getattr(torch.autograd, name)
    return autograd


FROM_SINE = Backward((2,), (ONES,), None, False, None)
MULTI = (Hook(0, "multi_any", (1,), "observe", None), Call("sin", (1,), {}, 1), FROM_SINE)
SCRIPTS: list[tuple[Engine | Altered, tuple[Statement, ...], dict[str, Any]]] = [
    (NoViews(), (SQUARE, SELECT), {"select": torch.select_copy}),
    (Leaking(), (Enter("no_grad"), SIN, Exit()), {"no_grad": LeftOpen}),
    (Hookless(), (SQUARE, *MULTI), {"autograd": torch_with_edges(lambda tensors, hook, mode: None)}),
    (
        Doubling(),
        (SQUARE, *MULTI),
        {
            "autograd": torch_with_edges(
                lambda tensors, hook, mode: tensors[0].register_hook(lambda g: hook(g * 2))
            )
        },
    ),
    (Altered("sin", lambda t: t.detach()), (WRONG, SIN), {"sin": lambda x: torch.sin(x.detach())}),
]


@pytest.mark.parametrize(("engine", "statements", "functions"), SCRIPTS, ids=lambda x: type(x).__name__)
def test_a_script_tells_the_broken_module_from_the_sound_one(
    engine: Engine, statements: tuple[Statement, ...], functions: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if statements[0] is WRONG:
        statements = (SQUARE, *statements)
    with torch.enable_grad():
        program, found = found_by(engine, *statements)
    text = script(program, found, "refgrad", "torch")
    assert status(text, monkeypatch, **functions) == 1, text
    assert status(text, monkeypatch) == 0, text


@pytest.mark.parametrize("statements", [
    (SQUARE, Call("custom_saved_input", (1,), {}, 1), Backward((2,), (ONES,), None, False, None)),
    (Enter("saved_doubled"), SQUARE, Exit(), BACK),
    (SQUARE, Enter("thread"), SELECT, Exit(), Enter("generator"), DOUBLE, Exit(), BACK),
    (Enter("no_grad"), Enter("again"), SIN, Exit(), Exit(), SQUARE),
    (Call("deepcopy", (0,), {}, 1), SIN),
    (SQUARE, *HOOKS, BACK, Hook(2, "node", (1,), "wrong_dtype", None), Hook(3, "tensor", (1,), "raise", None), BACK),
])  # fmt: skip
def test_scripts_carry_what_they_use(statements: tuple[Statement, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program((leaf([1.0, 2.0]),), statements)
    found = Divergence("value", None, 0, "state", "leaf", "m", "s", "o", bound=(0.0, 0.0))
    text = script(program, found, "refgrad", "torch")
    assert status(text, monkeypatch) == 0


REDUCED: list[tuple[type[Engine], list[type]]] = [
    (Copying, [Call]),
    (Doubling, [Hook, Backward]),
    (Stubborn, [Inspect]),
    (Unmarked, [Enter, Exit]),
]


@pytest.mark.parametrize(("engine", "left"), REDUCED, ids=lambda x: getattr(x, "__name__", ""))
def test_reducing_leaves_what_shows_it(engine: type[Engine], left: list[type]) -> None:
    """From a program of two dozen careless statements."""

    def examine(program: Program) -> CheckResult:
        with torch.enable_grad():
            return check(program, engine(), TORCH)

    drawn = (wild(seed, 24) for seed in range(300))
    program, found = next((p, d) for p in drawn if (d := examine(p).divergence) is not None and d.kind != "exception")
    fails = falls_into(bucket_of(found), examine)
    small = reduce(program, fails, 1000, lambda p: stand_ins(p, TORCH))
    last = examine(small).divergence
    assert fails(small) and last is not None
    assert len(small.statements) == len(left) and len(small.leaves) <= 2
    assert {type(s) for s in small.statements} & set(left)
    assert last.message in script(small, last, "refgrad", "torch")
