"""Programs that show planted defects of state which the generator shows rarely, or not yet."""

from __future__ import annotations

from typing import Any

from oracle.program import (
    Backward,
    Call,
    Enter,
    Exit,
    Hook,
    Leaf,
    Literal,
    MakeDual,
    Program,
    RequiresGrad,
    RetainGrad,
    Statement,
    UnpackDual,
)


def leaf(*values: float, requires_grad: bool = True) -> Leaf:
    """A float64 vector."""
    return Leaf(Literal("float64", (len(values),), values), requires_grad, "contiguous")


def call(op: str, *inputs: int, outputs: int = 1, **params: Any) -> Call:
    return Call(op, inputs, params, outputs)


def backward(root: int, inputs: tuple[int, ...] | None = None) -> Backward:
    return Backward((root,), (None,), None, False, inputs)


def program(leaves: tuple[Leaf, ...], *statements: Statement) -> Program:
    return Program(leaves, statements)


BY_HAND: dict[str, Program] = {
    "retain-grad-before-hooks": program(
        (leaf(1.0),),
        call("square", 0),
        RetainGrad(1),
        Hook(0, "tensor", (1,), "scale", 10.0),
        call("sum", 1),
        backward(2),
    ),
    "node-hook-sees-unneeded": program(
        (leaf(2.0), leaf(3.0)),
        call("mul", 0, 1),
        Hook(0, "node", (2,), "observe", None),
        backward(2, (0,)),
    ),
    "enable-grad-in-inference": program(
        (leaf(2.0),), Enter("inference_mode"), Enter("enable_grad"), call("neg", 0), Exit(), Exit()
    ),
    "moved-leaf-accumulates": program(
        (leaf(2.0), leaf(3.0)),
        call("sum", 0),
        RequiresGrad(0, False),
        call("mul_", 0, 1, outputs=0),
        backward(2),
    ),
    "anomaly-misses-nan": program((leaf(-1.0),), Enter("anomaly"), call("sqrt", 0), backward(1), Exit()),
    "needs-input-grad-always": program(
        (leaf(2.0), leaf(3.0, requires_grad=False)), call("custom_needs", 0, 1), backward(2)
    ),
    "outermost-saved-hooks": program(
        (leaf(2.0),),
        Enter("saved_identity"),
        Enter("unpack_number"),
        call("square", 0),
        Exit(),
        Exit(),
        backward(1),
    ),
    "unsaved-packed": program((leaf(2.0),), Enter("pack_raises"), call("neg", 0), Exit()),
    "packs-under-no-grad": program(
        (leaf(2.0),), Enter("pack_raises"), Enter("no_grad"), call("square", 0), Exit(), Exit()
    ),
    "tangent-outlives-level": program(
        (leaf(2.0), leaf(3.0, requires_grad=False)),
        Enter("dual_level"),
        MakeDual(0, 1),
        Exit(),
        Enter("dual_level"),
        UnpackDual(2),
        Exit(),
    ),
}
"""By the name of the defect."""
