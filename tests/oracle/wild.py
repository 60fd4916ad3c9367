"""Programs with every kind of statement, put together at random and with little care: many statements raise."""

from __future__ import annotations

from random import Random
from typing import Any

from oracle import engines
from oracle.catalogue import CATALOGUE
from oracle.execute import run
from oracle.hooks import BEHAVIOURS
from oracle.modes import MODES
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
    Literal,
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
    created,
)

SHAPES = ((3,), (2, 3), (3,), ())

# name: inputs, parameters, outputs; inputs are "t" (a float tensor), "i" (indices), "m" (a mask) or "s" (one number)
CALLS: dict[str, list[tuple[str, dict[str, Any], int]]] = {
    **{name: [("t", {}, 1)] for name in ("sin", "exp", "relu", "neg", "sum", "sigmoid", "clone", "detach", "square")},
    **{name: [("tt", {}, 1)] for name in ("mul", "add", "sub", "div", "maximum")},
    **{name: [("t", {}, 0)] for name in ("neg_", "sin_", "exp_", "sqrt_", "tanh_", "sigmoid_", "relu_", "floor_")},
    **{name: [("t", {}, 0)] for name in ("zero_", "t_", "detach_")},
    **{name: [("tt", {}, 0), ("t", {"other": 2.0}, 0)] for name in ("add_", "sub_", "mul_", "div_", "lt_", "ge_")},
    **{name: [("t", {}, 1)] for name in ("data", "T", "real", "conj", "cpu", "positive", "as_tensor", "parameter")},
    **{name: [("tt", {}, 1)] for name in ("type_as", "view_as", "expand_as")},
    **{name: [("t", {}, 1)] for name in ("tensor_of", "item", "numpy", "deepcopy", "contiguous", "flatten", "t")},
    "pow_": [("t", {"exponent": 2}, 0), ("tt", {}, 0)],
    "fill_": [("t", {"value": 0.5}, 0), ("ts", {}, 0)],
    "clamp_": [("t", {"min": -0.5, "max": 1.0}, 0)],
    "copy_": [("tt", {}, 0)],
    "masked_fill_": [("tm", {"value": 2.0}, 0), ("tms", {}, 0)],
    "addcmul_": [("ttt", {"value": 0.5}, 0)],
    "lerp_": [("tt", {"weight": 0.25}, 0), ("ttt", {}, 0)],
    "index_add_": [("tit", {"dim": 0}, 0), ("tit", {"dim": 0, "alpha": 2}, 0)],
    "index_fill_": [("ti", {"dim": 0, "value": 2.0}, 0)],
    "index_copy_": [("tit", {"dim": 0}, 0)],
    "scatter_": [("tit", {"dim": 0}, 0)],
    "scatter_value_": [("ti", {"dim": 0, "value": 2.0}, 0)],
    "scatter_add_": [("tit", {"dim": 0}, 0)],
    "index_put_": [("tti", {}, 0), ("tti", {"accumulate": True}, 0)],
    "setitem": [
        ("t", {"index": [0], "value": 5.0}, 0),
        ("tt", {"index": [{"ellipsis": True}]}, 0),
        ("ti", {"index": [{"tensor": 1}], "value": 0.0}, 0),
        ("tti", {"index": [{"tensor": 2}]}, 0),
    ],
    "unsqueeze_": [("t", {"dim": 0}, 0)],
    "squeeze_": [("t", {}, 0), ("t", {"dim": 0}, 0)],
    "transpose_": [("t", {"dim0": 0, "dim1": -1}, 0)],
    "resize_": [("t", {"size": [0]}, 0)],
    "set_": [("tt", {}, 0)],
    "add_out": [("ttt", {}, 0)],
    "mul_out": [("ttt", {}, 0)],
    "as_strided": [
        ("t", {"size": [2], "stride": [1], "storage_offset": 1}, 1),
        ("t", {"size": [2, 2], "stride": [1, 1]}, 1),
    ],
    "unfold": [("t", {"dimension": 0, "size": 2, "step": 1}, 1)],
    "tensor_split": [("t", {"indices": [1], "dim": 0}, 2)],
    "iter": [("t", {}, 2), ("t", {}, 3)],
    "unsafe_chunk": [("t", {"chunks": 2}, 2)],
    "unsafe_split": [("t", {"split_size": 2}, 2)],
    "select": [("t", {"dim": 0, "index": 0}, 1)],
    "narrow": [("t", {"dim": 0, "start": 0, "length": 1}, 1)],
    "view": [("t", {"size": [-1]}, 1)],
    "reshape": [("t", {"shape": [-1]}, 1)],
    "unsqueeze": [("t", {"dim": 0}, 1)],
    "expand": [("t", {"size": [2, -1]}, 1)],
    "unbind": [("t", {"dim": 0}, 3), ("t", {"dim": 0}, 2)],
    "chunk": [("t", {"chunks": 2, "dim": 0}, 2)],
    "to": [("t", {"dtype": "float32"}, 1), ("t", {"dtype": "float64"}, 1)],
    "matmul": [("tt", {}, 1)],
    "einsum": [("t", {"equation": "...i->..."}, 1)],
}  # fmt: skip
for _name, _spec in CATALOGUE.items():
    if _spec.style == "custom":
        CALLS[_name] = [("t" * _spec.inputs[0], dict.fromkeys(_spec.params, 2.0), _spec.outputs[0])]

PLAIN = ("no_grad", "enable_grad", "grad_disabled", "inference_mode", "thread", "generator", "again", "dual_level")


def wild(seed: int, length: int = 14, rough: bool = False) -> Program:
    """A valid program of `length` statements or a few more, all of which make as many tensors as they say.

    `rough`: its numbers have many digits.
    """
    program = _Writer(Random(seed), length, rough).program()
    if any(fault.observing for fault in run(program, engines.get("torch")).faults):
        return wild(seed + 1_000_000, length, rough)
    return program


class _Writer:
    def __init__(self, random: Random, length: int, rough: bool) -> None:
        self.random = random
        self.rough = rough
        self.length = length
        self.statements: list[Statement] = []
        self.modes: list[str] = []
        self.hooks = 0
        self.leaves = [self.leaf() for _ in range(random.randint(1, 3))]
        self.leaves.append(Leaf(self.numbers(()), random.random() < 0.7, "contiguous"))
        self.leaves.append(Leaf(Literal("int64", (3,), (0, 1, 1)), False, "contiguous"))
        self.leaves.append(Leaf(Literal("bool", (3,), (True, False, True)), False, "contiguous"))
        self.count = len(self.leaves)
        self.floats = [*range(self.count - 2)]

    def program(self) -> Program:
        for _ in range(self.length):
            self.add(self.statement())
        while self.modes:
            self.modes.pop()
            self.statements.append(Exit())
        return Program(tuple(self.leaves), tuple(self.statements))

    def add(self, statement: Statement) -> None:
        self.statements.append(statement)
        made = created(statement)
        self.floats.extend(range(self.count, self.count + made))
        self.count += made

    def leaf(self) -> Leaf:
        shape = self.random.choice(SHAPES)
        layout = "strided" if shape and self.random.random() < 0.2 else "contiguous"
        return Leaf(self.numbers(shape), self.random.random() < 0.7, layout)

    def numbers(self, shape: tuple[int, ...]) -> Literal:
        count = 1
        for size in shape:
            count *= size
        plain = (0.5, 1.0, 2.0, -1.0, 0.25, -0.5, 0.0)
        draw = self.random.choice
        values = tuple(self.random.uniform(-2.0, 2.0) if self.rough else draw(plain) for _ in range(count))
        return Literal("float64", shape, values)

    def tensor(self) -> int:
        """A float tensor, mostly one of the newest."""
        recent = self.floats[-5:] if self.random.random() < 0.7 else self.floats
        return self.random.choice(recent)

    def tensors(self, most: int = 2) -> tuple[int, ...]:
        return tuple(self.tensor() for _ in range(self.random.randint(1, most)))

    def gradient(self) -> Any:
        how = self.random.random()
        if how < 0.4:
            return self.numbers(self.random.choice(SHAPES))
        return self.tensor() if how < 0.7 else 1.0 if how < 0.73 else None

    def call(self) -> Call:
        name = self.random.choice(list(CALLS))
        kinds, params, outputs = self.random.choice(CALLS[name])
        others = dict(zip("sim", range(len(self.leaves) - 3, len(self.leaves)), strict=True))
        inputs = tuple(self.tensor() if kind == "t" else others[kind] for kind in kinds)
        through = self.random.choice(("checkpoint", "reentrant_checkpoint")) if self.random.random() < 0.04 else None
        return Call(name, inputs, dict(params), outputs, through)

    def statement(self) -> Statement:
        random = self.random
        how = random.random()
        if "dual_level" in self.modes and how < 0.2:
            return MakeDual(self.tensor(), self.tensor()) if how < 0.12 else UnpackDual(self.tensor())
        if how < 0.45:
            return self.call()
        if how < 0.53:
            return self.enter_or_exit()
        if how < 0.65:
            return self.backward()
        if how < 0.77:
            return self.hook()
        t = self.tensor()
        return random.choice(
            (
                lambda: SetGradEnabled(random.random() < 0.7),
                lambda: ZeroGrad(t, random.choice(("none", "zero_"))),
                lambda: RetainGrad(t),
                lambda: RequiresGrad(t, random.random() < 0.8, random.choice(("method", "attribute"))),
                lambda: SetData(t, self.tensor()),
                lambda: SetGrad(t, self.tensor()),
                lambda: ReadGrad(t),
                lambda: Delete(t),
                lambda: IncrementVersion(t),
                lambda: Inspect(t),
                lambda: MakeDual(t, self.tensor()),
                lambda: UnpackDual(t),
            )
        )()

    def enter_or_exit(self) -> Statement:
        if self.modes and self.random.random() < 0.5:
            self.modes.pop()
            return Exit()
        mode = self.random.choice(PLAIN if self.random.random() < 0.5 else tuple(MODES))
        if mode == "again" and not (self.modes and MODES[self.modes[-1]].again):
            mode = "no_grad"
        self.modes.append(mode)
        return Enter(mode)

    def backward(self) -> Statement:
        random = self.random
        roots = self.tensors()
        gradients = tuple(self.gradient() for _ in roots)
        if random.random() < 0.05:
            gradients = gradients[:-1]
        retain = random.choice((None, True, True, False))
        create = random.random() < 0.3
        edges = random.choice(("roots", "inputs", "both")) if random.random() < 0.15 else None
        if random.random() < 0.6:
            inputs = self.tensors() if random.random() < 0.3 else None
            return Backward(roots, gradients, retain, create, inputs, edges)
        flags = random.choice(((True, False, False), (None, True, False), (False, False, False), (True, False, True)))
        return Grad(roots, self.tensors(), gradients, retain, create, flags[0], edges, flags[1], flags[2])

    def hook(self) -> Statement:
        if self.hooks and self.random.random() < 0.2:
            return RemoveHook(self.random.randrange(self.hooks))
        place = self.random.choice(list(BEHAVIOURS))
        action = self.random.choice(list(BEHAVIOURS[place].actions))
        value: Any = None
        if action == "scale":
            value = 2.0
        elif action == "replace":
            value = self.numbers(self.random.choice(SHAPES))
        tensors = self.tensors(3) if place.startswith("multi") else (self.tensor(),)
        self.hooks += 1
        return Hook(self.hooks - 1, place, tensors, action, value)
