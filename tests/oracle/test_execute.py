"""Running programs: what is seen, in which order, and what becomes of exceptions."""

from __future__ import annotations

import math
import struct
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oracle import engines
from oracle.engines import EngineError, TorchLike
from oracle.execute import MAX_FAULTS, run
from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Program,
    ProgramError,
    RequiresGrad,
    RetainGrad,
    ZeroGrad,
)
from oracle.trace import Fault, Observation, Place
from tests.oracle.broken import TORCH, Altered, failing, leaf, literal

SQUARE = Call("mul", (0, 0), {}, 1)


def test_a_trace_holds_what_torch_shows() -> None:
    program = Program(
        (leaf([1.0, 2.0, 3.0]),),
        (
            SQUARE,
            RetainGrad(1),
            Enter("no_grad"),
            Call("sin", (1,), {}, 1),
            Exit(),
            Backward((1,), (literal([1.0, 10.0, 100.0]),), True, False, None),
            Grad((1,), (0,), (literal([1.0, 1.0, 1.0]),), None, True, False),
        ),
    )
    trace = run(program, TORCH)
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    y = x * x
    z = torch.sin(y)
    assert trace.fault is None
    assert trace.places == [
        Place(None, 0, "value"),
        Place(0, 1, "value"),
        Place(2, None, "modes"),
        Place(3, 2, "value"),
        Place(4, None, "modes"),
        Place(5, 0, "grad"),
        Place(5, 1, "grad"),
        Place(6, 3, "grad"),
    ]
    assert (trace.seen[2], trace.seen[4]) == ("grad off, inference off", "grad on, inference off")
    seen = [entry for entry in trace.seen if isinstance(entry, Observation)]
    assert [entry.value.tolist() for entry in seen] == [
        [1.0, 2.0, 3.0],
        y.tolist(),
        z.tolist(),
        [2.0, 40.0, 600.0],
        [1.0, 10.0, 100.0],
        [2.0, 4.0, 6.0],
    ]
    assert [entry.requires_grad for entry in seen] == [True, True, False, False, False, True]
    assert [entry.is_leaf for entry in seen[:3]] == [True, False, True]
    assert [entry.grad_fn for entry in seen[:3]] == [None, "MulBackward0", None]
    assert {(entry.dtype, entry.shape) for entry in seen} == {("float64", (3,))}
    assert [gradient is not None for gradient in trace.grads] == [True, True, False, False]


def test_what_was_seen_stays_when_memory_is_written_later() -> None:
    program = Program(
        (leaf([1.0, 2.0]),),
        (SQUARE, Backward((1,), (literal([1.0, 1.0]),), None, False, None), ZeroGrad(0, "zero_")),
    )
    trace = run(program, TORCH)
    assert trace.seen[2] is not None and trace.seen[2].value.tolist() == [2.0, 4.0]
    assert trace.grads[0] is not None and trace.grads[0].value.tolist() == [0.0, 0.0]


def test_statements_about_gradients() -> None:
    backward = Backward((1,), (literal([1.0, 1.0]),), True, False, None)
    program = Program(
        (leaf([1.0, 2.0]), leaf([3.0, 4.0], requires_grad=False)),
        (
            Call("mul", (0, 1), {}, 1),
            Backward((2,), (literal([1.0, 1.0]),), None, False, (0,)),
            ZeroGrad(0, "none"),
        ),
    )
    trace = run(program, TORCH)
    assert trace.fault is None and trace.grads == [None, None, None]
    program = Program((leaf([1.0, 2.0], requires_grad=False),), (RequiresGrad(0, True), SQUARE, backward, backward))
    trace = run(program, TORCH)
    assert [entry and entry.value.tolist() for entry in trace.seen[2:]] == [[2.0, 4.0], [4.0, 8.0]]


@pytest.mark.parametrize("name", engines.NAMES)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "expanded"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "bool"])
@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (2, 0), (0, 2), (2, 2, 3)])
def test_layouts_keep_the_values_and_make_leaves(name: str, layout: str, dtype: str, shape: tuple[int, ...]) -> None:
    engine = engines.get(name)
    count = math.prod(shape)
    row = count // shape[0] if shape[0] else 0
    data = np.array([k % row if layout == "expanded" else k for k in range(count)]).astype(dtype).tolist()
    floating = dtype.startswith("float")
    made = leaf(data, shape, dtype, floating, layout)
    tensor = engine.leaf(made)
    assert tensor.is_leaf and tensor.requires_grad is floating and not tensor._is_view()
    assert tensor.dtype == getattr(engine.module, dtype)
    assert tuple(tensor.shape) == shape and tensor.flatten().tolist() == data
    if data:
        assert tensor.stride() == TORCH.leaf(made).stride()
    if shape == (2, 3):
        expected = {"contiguous": (3, 1), "transposed": (1, 2), "strided": (6, 2), "expanded": (0, 1)}
        assert tensor.stride() == expected[layout]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_special_values_arrive_to_the_bit(dtype: str) -> None:
    tiny = float(np.finfo(dtype).smallest_subnormal)
    data = [math.inf, -math.inf, -0.0, tiny, float(np.finfo(dtype).max), float(np.dtype(dtype).type(0.1))]
    trace = run(Program((leaf(data, dtype=dtype),), ()), TORCH)
    assert trace.seen[0] is not None
    assert [struct.pack("d", x) for x in trace.seen[0].value.tolist()] == [struct.pack("d", x) for x in data]


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        (
            (SQUARE, Backward((1,), (None,), None, False, None)),
            Fault(1, "RuntimeError", "grad can be implicitly created only for scalar outputs", False),
        ),
        (
            (SQUARE, Call("transpose", (1,), {"dim0": 0, "dim1": 3}, 1), SQUARE),
            Fault(
                1,
                "IndexError",
                "Dimension out of range (expected to be in range of [-1, 0], but got 3)",
                False,
            ),
        ),
        (
            (
                Enter("no_grad"),
                RequiresGrad(0, False),
                SQUARE,
                Grad((1,), (0,), (None,), None, False, False),
                Exit(),
            ),
            Fault(
                3,
                "RuntimeError",
                "element 0 of tensors does not require grad and does not have a grad_fn",
                False,
            ),
        ),
    ],
)
def test_an_exception_is_kept_with_what_is_left_and_the_program_goes_on(
    statements: tuple[Any, ...], fault: Fault
) -> None:
    program = Program((leaf([1.0, 2.0]),), (*statements, Call("cos", (0,), {}, 1)))
    trace = run(program, TORCH)
    assert trace.fault == fault and trace.faults == [fault]
    at = trace.places.index(Place(fault.statement, None, "fault"))
    assert trace.places[at + 1 : at + 5] == [
        Place(fault.statement, tensor, what) for tensor in (0, 1) for what in ("after", "grad after")
    ]
    last = trace.state[-1]
    assert last is not None and last.value.tolist() == torch.cos(torch.tensor([1.0, 2.0], dtype=torch.float64)).tolist()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (torch.linalg.LinAlgError("singular"), "RuntimeError"),
        (type("Mine", (KeyError,), {})("x"), "KeyError"),
        (NotImplementedError(), "NotImplementedError"),
    ],
)
def test_exceptions_go_by_their_nearest_built_in_class(error: Exception, name: str) -> None:
    fault = run(Program((leaf([1.0]),), (SQUARE,)), Altered("mul", failing(error))).fault
    assert fault is not None and (fault.type, fault.observing) == (name, False)


@pytest.mark.parametrize("made", [None, 1.0, np.zeros(1), (), (torch.zeros(1),) * 2, "text"])
def test_what_is_no_tensor_is_a_fault_of_its_own_kind(made: Any) -> None:
    engine = Altered("mul", lambda tensor: made)
    trace = run(Program((leaf([1.0]),), (SQUARE, SQUARE)), engine)
    assert trace.fault is not None and trace.fault.observing and trace.fault.statement == 0
    assert len(trace.seen) >= 1 and trace.seen[0] is not None


def test_other_dtypes_than_programs_use_are_seen_by_name() -> None:
    for dtype in (torch.int32, torch.uint8, torch.complex64):
        trace = run(
            Program((leaf([1.0], requires_grad=False),), (SQUARE,)),
            Altered("mul", lambda t, dtype=dtype: t.to(dtype)),
        )
        assert trace.seen[1] is not None and f"torch.{trace.seen[1].dtype}" == str(dtype)


def test_statements_that_need_a_tensor_that_is_not_there_are_skipped() -> None:
    program = Program(
        (leaf([1.0]), leaf([1.0])),
        (
            Call("mul", (0, 0), {}, 1),
            Grad((2,), (0, 1), (None,), None, False, True),
            Call("sin", (3,), {}, 1),
            Call("sin", (4,), {}, 1),
            Backward((2,), (6,), None, False, None),
            Call("cos", (6,), {}, 1),
            Call("cos", (0,), {}, 1),
        ),
    )
    trace = run(program, TORCH)
    assert trace.seen[4] is None and trace.faults == []
    assert trace.places[6:] == [
        *(Place(statement, None, "skipped") for statement in (3, 4, 5)),
        Place(6, 8, "value"),
    ]
    assert [entry is None for entry in trace.state] == [False] * 4 + [True, False, True, True, False]


def test_a_run_ends_after_too_many_exceptions() -> None:
    wrong = Backward((0,), (None,), None, False, None)
    program = Program((leaf([1.0, 2.0]),), (wrong,) * 20)
    trace = run(program, TORCH)
    assert [fault.statement for fault in trace.faults] == list(range(MAX_FAULTS))


def test_a_run_starts_with_gradients_on_and_leaves_the_mode_as_it_was() -> None:
    with torch.no_grad():
        trace = run(Program((leaf([1.0]),), (SQUARE,)), TORCH)
        assert not torch.is_grad_enabled()
    assert trace.seen[1] is not None and trace.seen[1].requires_grad


def test_errors_of_the_harness_come_through() -> None:
    program = Program((leaf([1.0]),), (Call("no such op", (0,), {}, 1),))
    with pytest.raises(ProgramError, match="no such op"):
        run(program, TORCH)


def test_interrupts_come_through() -> None:
    class Interrupted(TorchLike):
        def call(self, *args: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Program((leaf([1.0]),), (SQUARE,)), Interrupted("torch", torch))


def test_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines.get("torch") is TORCH
    assert (TORCH.name, TORCH.version, TORCH.module) == ("torch", torch.__version__, torch)
    assert torch.get_num_threads() == 1
    with pytest.raises(EngineError, match=r"unknown engine 'jax'.*refgrad, torch"):
        engines.get("jax")

    def no_module(name: str) -> ModuleType:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(engines, "import_module", no_module)
    with pytest.raises(EngineError, match=r"'torch' cannot be imported: No module named 'torch'"):
        engines.get.__wrapped__("torch")  # not what was found before


def test_the_adapter_works_over_any_module_with_the_names() -> None:
    called: list[Any] = []
    double = SimpleNamespace(
        **{name: getattr(torch, name) for name in ("tensor", "zeros", "enable_grad", "no_grad", "float64", "autograd")},
        __version__="7",
        sin=lambda x: called.append(x) or torch.sin(x),
    )
    trace = run(Program((leaf([1.0]),), (Call("sin", (0,), {}, 1),)), TorchLike("double", double))
    assert trace.fault is None and len(called) == 1
