"""Scripts and listings: they do what the program does, on their own, and hold nothing but the program."""

from __future__ import annotations

import ast
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from oracle import engines
from oracle.check import check
from oracle.compare import Divergence
from oracle.engines import EngineError
from oracle.execute import run
from oracle.generate import PROFILES, programs
from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Leaf,
    Literal,
    Program,
    ProgramError,
    RequiresGrad,
    RetainGrad,
    ZeroGrad,
)
from oracle.repro import describe, leaf_source, script
from refgrad.testing import plant
from tests.oracle.broken import TORCH, Altered, failing, hooked, leaf, literal, module_with, scaled

PAIR = literal([1.0, 2.0])
PROGRAM = Program(
    (leaf([0.5, 1.5]), leaf([2.0, -0.0], requires_grad=False)),
    (
        Call("sin", (0,), {}, 1),
        Enter("no_grad"),
        Call("exp", (2,), {}, 1),
        Exit(),
        Call("mul", (2, 1), {}, 1),
        RetainGrad(4),
        Backward((4,), (PAIR,), True, False, None),
        ZeroGrad(0, "zero_"),
        Grad((4, 2), (0,), (PAIR, PAIR), None, True, False),
    ),
)


def diverge(subject: Any, program: Program = PROGRAM) -> Divergence:
    found = check(program, subject, TORCH).divergence
    assert found is not None
    return found


def execute(text: str, folder: Path, refgrad: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process of its own, with another module of the name refgrad."""
    (folder / "repro.py").write_text(text)
    (folder / "refgrad.py").write_text(refgrad)
    return subprocess.run(
        [sys.executable, str(folder / "repro.py")],
        capture_output=True,
        text=True,
        env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        timeout=120,
    )


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The exit status of a script run in this process, where `refgrad` is torch with other functions."""

    def run_with(text: str, **functions: Callable[..., Any]) -> int:
        refgrad = module_with(**functions)

        @contextmanager
        def plant(name: str) -> Iterator[None]:
            if name != "sin-sign":
                raise ValueError(f"no defect {name}")
            with monkeypatch.context() as patch:
                patch.setattr(refgrad, "sin", lambda x: -torch.sin(x), raising=False)
                yield

        testing = ModuleType("refgrad.testing")
        testing.__dict__["plant"] = plant
        monkeypatch.setitem(sys.modules, "refgrad", refgrad)
        monkeypatch.setitem(sys.modules, "refgrad.testing", testing)
        spaces: dict[str, Any] = {"__name__": "script"}
        exec(text, spaces)  # our own text
        return spaces["main"]()

    return run_with


ALTERED = [
    (Altered("sin", scaled(1.5)), "t2 = torch.sin(t0)  # here they part"),
    (Altered("exp", scaled(1.0 + 1e-9)), 'return {"t3": numbers(t3)}'),
    (Altered("sin", hooked(torch.neg)), 'return {"t0.grad": numbers(t0.grad)}'),
    (Altered("sin", lambda t: t.float()), 'return {"t2.dtype": str(t2.dtype)}'),
    (Altered("sin", lambda t: t[None]), 'return {"t2.shape": list(t2.shape)}'),
    (Altered("exp", lambda t: t.requires_grad_()), 'return {"t3.requires_grad": t3.requires_grad}'),
    (Altered("mul", lambda t: t.detach().requires_grad_()), 'return {"t4.is_leaf": t4.is_leaf}'),
    (Altered("sin", torch.clone), 'return {"t2.grad_fn": node(t2)}'),
    (Altered("sin", failing(ValueError("no"))), "with raising(seen):  # here they part"),
    (Altered("exp", lambda t: None), "    with raising(seen):  # here they part"),
]


@pytest.mark.parametrize(("subject", "line"), ALTERED)
def test_a_script_shows_what_was_found(
    subject: Altered, line: str, status: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    found = diverge(subject)
    text = script(PROGRAM, found, "refgrad", "torch")
    assert f"    {line}\n" in text and f"# {found.message}\n" in text
    function = getattr(torch, subject.op)
    assert status(text, **{subject.op: lambda *tensors: subject.alter(function(*tensors))}) == 1
    assert capsys.readouterr().out.endswith("the engines differ\n")
    assert status(text) == 0
    assert capsys.readouterr().out.endswith("the engines agree\n")


@pytest.mark.parametrize(
    ("refgrad", "expected", "said"),
    [
        ("def sin(x): return torch.sin(x)", 0, "the engines agree"),
        ("def sin(x): return torch.sin(x) + 1e-9", 1, "the engines differ"),
        ("def tensor(*args, **more): raise ValueError('earlier')", 125, "cannot run: ValueError: earlier"),
        ("raise ImportError('no such luck')", 125, "cannot run: ImportError: no such luck"),
    ],
)
def test_a_script_runs_on_its_own(refgrad: str, expected: int, said: str, tmp_path: Path) -> None:
    text = script(PROGRAM, diverge(Altered("sin", scaled(1.5))), "refgrad", "torch")
    done = execute(text, tmp_path, f"import torch\nfrom torch import float64, tensor\n{refgrad}\n")
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (expected, said, "")


def test_what_is_no_part_of_the_comparison_must_not_fail(status: Callable[..., int]) -> None:
    def sin(x: Any) -> Any:
        raise ValueError("earlier")

    assert status(script(PROGRAM, diverge(Altered("mul", scaled(1.5))), "refgrad", "torch"), sin=sin) == 125


def test_a_planted_defect_is_named_and_put_in(status: Callable[..., int]) -> None:
    found = diverge(Altered("sin", scaled(-1.0)))
    text = script(PROGRAM, found, "refgrad", "torch", "sin-sign")
    assert "# Here refgrad has the planted defect 'sin-sign'.\n" in text
    assert status(text) == 1
    assert status(text.replace("sin-sign", "cos-sign")) == 125
    assert status(script(PROGRAM, found, "refgrad", "torch")) == 0


def test_a_real_defect_from_finding_to_script() -> None:
    subject = engines.get("refgrad")
    program = Program(PROGRAM.leaves, (PROGRAM.statements[0], Backward((2,), (PAIR,), None, False, None)))
    assert check(program, subject, TORCH).divergence is None
    with plant("sin-sign"):
        found = diverge(subject, program)
    verdicts = []
    for name in ("sin-sign", None):
        spaces: dict[str, Any] = {"__name__": "script"}
        exec(script(program, found, "refgrad", "torch", name), spaces)  # our own text
        verdicts.append(spaces["main"]())
    assert verdicts == [1, 0]


def test_gradients_that_are_missing(status: Callable[..., int]) -> None:
    statements = (Call("mul", (0, 1), {}, 1), Backward((2,), (PAIR,), None, False, None))
    found = Divergence("none", 1, 0, "grad", "backward", "t0.grad: None", "None", "a gradient")
    text = script(Program(PROGRAM.leaves, statements), found, "refgrad", "torch")
    assert 'return {"t0.grad is None": t0.grad is None}' in text
    assert status(text, mul=lambda x, y: torch.mul(x, y) * 2) == 0
    assert status(text, mul=lambda x, y: torch.mul(x.detach(), y).requires_grad_()) == 1


def test_the_end_of_a_program_whose_last_statement_raises(status: Callable[..., int]) -> None:
    program = Program(PROGRAM.leaves, (Call("sin", (0,), {}, 1), Backward((2,), (None,), None, False, None)))
    found = Divergence("value", 0, 2, "state", "sin", "t2 changed", "1", "2", bound=(1e-15, 1e-15))
    text = script(program, found, "refgrad", "torch")
    assert "    with raising():  # in both\n        t2.backward()\n" in text
    assert status(text) == 0
    assert status(text, sin=lambda x: torch.sin(x) * 2) == 1


@pytest.mark.parametrize(
    ("found", "inside"),
    [
        (
            Divergence("exception", None, None, "value", "leaf", "", "a", "b"),
            ["t0 = ", "t1 = ", "t0.numpy(force=True)"],
        ),
        (
            Divergence("exception", 1, None, "value", "enter", "", "a", "b"),
            ["t0 = ", "t2 = ", "with torch.no_", "    pass"],
        ),
        (Divergence("exception", 3, None, "value", "exit", "", "a", "b"), ["t0 = ", "    t3 = torch.exp"]),
        (Divergence("exception", 6, None, "value", "backward", "", "a", "b"), ["t4.backward(torch.tensor("]),
        (Divergence("exception", 7, None, "value", "zero_grad", "", "a", "b"), ["if t0.grad is not None:"]),
        (
            Divergence("exception", None, None, "value", "end", "", "a", "b"),
            ["t0.numpy(force=True)", "t5.numpy(force=True)"],
        ),
    ],
)
def test_exceptions_of_every_kind_of_statement(
    found: Divergence, inside: list[str], status: Callable[..., int]
) -> None:
    text = script(PROGRAM, found, "refgrad", "torch")
    body = re.search(r"with raising\(seen\):  # here they part\n(.*?)    return seen", text, re.DOTALL)
    assert body is not None
    assert all(line in body[1] for line in inside)
    assert status(text) == 0


def test_scripts_need_nothing_but_the_engines() -> None:
    text = script(PROGRAM, diverge(Altered("sin", scaled(1.5))), "refgrad", "torch")
    imported = {
        name.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for name in node.names
    } | {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert imported == {"importlib", "sys", "warnings", "contextlib"}


HOSTILE = 'x\'"""\n\r\x0b\x0c\x1c\u2028\u2029import os\x1b[31m\\'


@pytest.mark.parametrize("field", ["message", "subject", "oracle"])
def test_what_engines_say_stays_in_comments(field: str) -> None:
    words = {"message": "m", "subject": "s", "oracle": "o", field: HOSTILE}
    found = Divergence("value", 0, 2, "value", "sin", **words, bound=(0.0, 0.0))
    plain = Divergence("value", 0, 2, "value", "sin", message="m", subject="s", oracle="o", bound=(0.0, 0.0))
    text = script(PROGRAM, found, "refgrad", "torch")
    assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(script(PROGRAM, plain, "refgrad", "torch")))
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_plant_is_no_way_in_either() -> None:
    found = Divergence("value", 0, 2, "value", "sin", message="m", subject="s", oracle="o", bound=(0.0, 0.0))
    tree = ast.parse(script(PROGRAM, found, "refgrad", "torch", HOSTILE))
    assert [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == HOSTILE]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import) and node.names[0].name == "os"]


@pytest.mark.parametrize(
    "program",
    [
        Program(PROGRAM.leaves, (Call(HOSTILE, (0,), {}, 1),)),
        Program(PROGRAM.leaves, (Call("sin", (0,), {HOSTILE: 1}, 1),)),
        Program(PROGRAM.leaves, (Call("to", (0,), {"dtype": HOSTILE}, 1),)),
        Program(PROGRAM.leaves, (Call("einsum", (0,), {"equation": HOSTILE}, 1),)),
        Program(PROGRAM.leaves, (Call("flip", (0,), {"dims": [HOSTILE]}, 1),)),
        Program(PROGRAM.leaves, (Enter(HOSTILE), Exit())),
        Program(PROGRAM.leaves, (ZeroGrad(0, HOSTILE),)),
        Program(PROGRAM.leaves, (RequiresGrad(0, HOSTILE),)),  # type: ignore[arg-type]
        Program(PROGRAM.leaves, (Call("sin", (HOSTILE,), {}, 1),)),  # type: ignore[arg-type]
        Program((Leaf(Literal(HOSTILE, (1,), (1.0,)), True, "contiguous"),), ()),
        Program((Leaf(Literal("float64", (1,), (HOSTILE,)), True, "contiguous"),), ()),
        Program((Leaf(Literal("float64", (1,), (1.0,)), True, HOSTILE),), ()),
    ],
)
def test_programs_that_are_not_valid_are_not_written(program: Program) -> None:
    found = Divergence("value", None, 0, "value", "leaf", message="m", subject="s", oracle="o", bound=(0.0,))
    with pytest.raises(ProgramError):
        script(program, found, "refgrad", "torch")


@pytest.mark.parametrize("names", [("jax", "torch"), ("torch", "os"), (HOSTILE, "torch")])
def test_only_engines_are_named(names: tuple[str, str]) -> None:
    found = Divergence("value", 0, 2, "value", "sin", message="m", subject="s", oracle="o", bound=(0.0, 0.0))
    with pytest.raises(EngineError, match="unknown engine"):
        script(PROGRAM, found, *names)


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "expanded"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "bool"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 0), (0, 2)])
def test_a_leaf_is_written_as_the_adapter_makes_it(layout: str, dtype: str, shape: tuple[int, ...]) -> None:
    kind = np.dtype(dtype)
    values = [0.1, -0.0, math.nan, math.inf, -math.inf, 1 / 3] if kind.kind == "f" else [3, 0, 1, -7, 2, 5]
    data = np.array(values[: math.prod(shape)]).astype(kind).tolist()
    if layout == "expanded" and data:
        data = data[:3] * 2
    made = leaf(data, shape, dtype, kind.kind == "f", layout)
    mine = eval(leaf_source(made), {"torch": torch})  # our own text
    true = TORCH.leaf(made)
    assert mine.dtype == true.dtype and mine.stride() == true.stride() and mine.is_leaf
    assert mine.requires_grad == true.requires_grad and mine.shape == true.shape
    assert mine.detach().numpy().tobytes() == true.detach().numpy().tobytes()


@settings(max_examples=100)
@given(programs(PROFILES["default"]))
def test_a_script_does_what_the_program_does(program: Program) -> None:
    trace = run(program, TORCH)
    tensor = max(i for i, entry in enumerate(trace.state) if entry is not None)
    for what in ("state", "grad"):
        entry = (trace.state if what == "state" else trace.grads)[tensor if what == "state" else 0]
        number = tensor if what == "state" else 0
        found = Divergence("value", None, number, what, "leaf", "m", "s", "o", bound=(0.0,))
        if what == "grad":
            changes = [i for i, s in enumerate(program.statements) if isinstance(s, Backward | ZeroGrad)]
            if trace.fault is not None or not changes:
                continue
            found = Divergence("value", changes[-1], number, what, "backward", "m", "s", "o", bound=(0.0,))
        spaces: dict[str, Any] = {"__name__": "script"}
        exec(script(program, found, "refgrad", "torch"), spaces)  # our own text
        (seen,) = spaces["observe"]("torch", None).values()
        expected = None if entry is None else entry.value.ravel().tolist()
        assert seen == expected or repr(seen) == repr(expected)  # NaN


def test_a_listing_marks_the_place_and_shows_both_sides() -> None:
    found = diverge(Altered("exp", scaled(1.5)))
    lines = describe(found, PROGRAM).splitlines()
    assert lines[0] == found.message
    assert [line for line in lines if line.startswith(">")] == [">     t3 = torch.exp(t2)"]
    assert lines[2] == "  t0 = torch.tensor([0.5, 1.5], dtype=torch.float64).requires_grad_()"
    assert "  (t5,) = torch.autograd.grad([t4, t2], [t0], [torch.tensor([1.0, 2.0], dtype=torch.float64), " in "".join(
        lines
    )
    at = lines.index("subject:")
    assert (lines[at + 1], lines[at + 3], lines[at + 4]) == (
        f"  {found.subject}",
        "oracle:",
        f"  {found.oracle}",
    )
    rows = lines[lines.index("oracle:") + 3 :]
    assert rows[0].split() == ["element", "subject", "oracle", "difference", "ulps", "bound"]
    assert [row.split()[0] for row in rows[1:]] == ["[1]", "[0]"]
    assert repr(found.elements[0]["subject"]) in rows[1] and repr(found.elements[0]["oracle"]) in rows[1]
