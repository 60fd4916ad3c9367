"""The statements of a program.

A field that has a default is left out of the JSON form where it has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

DTYPES = ("float64", "float32", "float16", "int64", "bool")
LAYOUTS = ("contiguous", "transposed", "strided", "expanded")
ZEROING = ("none", "zero_")
THROUGH = ("checkpoint", "reentrant_checkpoint")
EDGES = ("roots", "inputs", "both")
WAYS = ("method", "attribute")
PLACES = ("tensor", "post_accumulate", "node", "node_pre", "multi_all", "multi_any")
ACTIONS = (
    *("observe", "scale", "replace", "raise", "none_grad"),
    *("wrong_type", "wrong_shape", "wrong_dtype", "remove_self"),
)


class ProgramError(ValueError):
    """A malformed program or JSON form; one line says where, what was found, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Literal:
    """An array of numbers: `data` holds shape's product of values, row by row.

    Values are Python floats (exactly representable in `dtype`), ints (int64) or bools.
    """

    dtype: str
    shape: tuple[int, ...]
    data: tuple[Any, ...]


Gradient = Literal | int | float | None
"""What a backward pass starts from at a root: numbers, a tensor of the program (by its number), or nothing.
A float is just that, which is no gradient at all: engines refuse it."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor that exists before the first statement.

    The layout says how its memory is laid out; the values read the same in each:
    "contiguous"; "transposed", the last two dims swapped in memory (two dims or more); "strided", every
    second element of a last dim twice as long (one dim or more); "expanded", its first row repeated over
    dim 0 with stride 0, so that all its rows are equal (one dim or more).
    """

    value: Literal
    requires_grad: bool
    layout: str


@dataclass(frozen=True, slots=True)
class Call:
    """Applies a catalogue op to earlier tensors; creates `outputs` tensors (none where it writes its first
    input).

    through: "checkpoint" or "reentrant_checkpoint" if the op is called through `utils.checkpoint`.
    """

    op: str
    inputs: tuple[int, ...]
    params: dict[str, Any] = field(hash=False)
    outputs: int
    through: str | None = None


@dataclass(frozen=True, slots=True)
class Enter:
    """Enters a mode (see `oracle.modes`) until the matching `Exit`."""

    mode: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Leaves the mode entered last."""


@dataclass(frozen=True, slots=True)
class SetGradEnabled:
    """`set_grad_enabled(value)` as a function: for what follows, up to the end of the span it stands in."""

    value: bool


@dataclass(frozen=True, slots=True)
class Backward:
    """`autograd.backward` from the roots; a gradient of None is left out.

    edges: whether the "roots", the "inputs" or "both" are given as gradient edges instead of tensors.
    """

    roots: tuple[int, ...]
    gradients: tuple[Gradient, ...]
    retain_graph: bool | None
    create_graph: bool
    inputs: tuple[int, ...] | None
    edges: str | None = None


@dataclass(frozen=True, slots=True)
class Grad:
    """`autograd.grad`; creates one tensor per input (a slot may hold None when the program runs)."""

    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    gradients: tuple[Gradient, ...]
    retain_graph: bool | None
    create_graph: bool
    allow_unused: bool | None
    edges: str | None = None
    materialize_grads: bool = False
    is_grads_batched: bool = False


@dataclass(frozen=True, slots=True)
class ZeroGrad:
    """Sets a tensor's `.grad` to None ("none"), or zeroes it in place where there is one ("zero_")."""

    tensor: int
    how: str


@dataclass(frozen=True, slots=True)
class RetainGrad:
    """`retain_grad()` on a tensor."""

    tensor: int


@dataclass(frozen=True, slots=True)
class RequiresGrad:
    """`requires_grad_(value)` on a tensor, or `requires_grad = value` if how is "attribute"."""

    tensor: int
    value: bool
    how: str = "method"


@dataclass(frozen=True, slots=True)
class SetData:
    """`tensor.data = source`."""

    tensor: int
    source: int


@dataclass(frozen=True, slots=True)
class SetGrad:
    """`tensor.grad = source`."""

    tensor: int
    source: int


@dataclass(frozen=True, slots=True)
class ReadGrad:
    """Makes a tensor's `.grad`, that very object, a tensor of the program; there is none where it is None."""

    tensor: int


@dataclass(frozen=True, slots=True)
class Delete:
    """`del` of a tensor: the program's own reference to it ends."""

    tensor: int


@dataclass(frozen=True, slots=True)
class IncrementVersion:
    """`autograd.graph.increment_version` of a tensor."""

    tensor: int


@dataclass(frozen=True, slots=True)
class Inspect:
    """Reads a tensor's `grad_fn`, which brings that of a view up to date or raises, and all else there is to
    see of it."""

    tensor: int


@dataclass(frozen=True, slots=True)
class Hook:
    """Registers a hook, known by its number from then on; what each of its calls is given is seen.

    place: "tensor" (`register_hook`), "post_accumulate" (`register_post_accumulate_grad_hook`), "node" and
    "node_pre" (`register_hook` and `register_prehook` of the node that the gradient arrives at), "multi_all"
    and "multi_any" (`register_multi_grad_hook`, the only ones that take several tensors).
    action: what else the hook does (see `oracle.hooks`); value: the number it scales by ("scale") or what it
    puts in the gradient's place ("replace"), None for all others.
    """

    number: int
    place: str
    tensors: tuple[int, ...]
    action: str
    value: float | Literal | None


@dataclass(frozen=True, slots=True)
class RemoveHook:
    """`remove()` on the handle of a hook."""

    number: int


@dataclass(frozen=True, slots=True)
class MakeDual:
    """`forward_ad.make_dual(primal, tangent)`; creates a tensor."""

    primal: int
    tangent: int


@dataclass(frozen=True, slots=True)
class UnpackDual:
    """`forward_ad.unpack_dual(tensor)`; creates the primal and the tangent (which may be None when it runs)."""

    tensor: int


Statement = (
    Call
    | Enter
    | Exit
    | SetGradEnabled
    | Backward
    | Grad
    | ZeroGrad
    | RetainGrad
    | RequiresGrad
    | SetData
    | SetGrad
    | ReadGrad
    | Delete
    | IncrementVersion
    | Inspect
    | Hook
    | RemoveHook
    | MakeDual
    | UnpackDual
)


@dataclass(frozen=True, slots=True)
class Program:
    """Leaves, then statements in order."""

    leaves: tuple[Leaf, ...]
    statements: tuple[Statement, ...]


KINDS: dict[str, type] = {
    "call": Call,
    "enter": Enter,
    "exit": Exit,
    "set_grad_enabled": SetGradEnabled,
    "backward": Backward,
    "grad": Grad,
    "zero_grad": ZeroGrad,
    "retain_grad": RetainGrad,
    "requires_grad": RequiresGrad,
    "set_data": SetData,
    "set_grad": SetGrad,
    "read_grad": ReadGrad,
    "delete": Delete,
    "increment_version": IncrementVersion,
    "inspect": Inspect,
    "hook": Hook,
    "remove_hook": RemoveHook,
    "make_dual": MakeDual,
    "unpack_dual": UnpackDual,
}
KIND_OF = {cls: kind for kind, cls in KINDS.items()}
FIELDS = {cls: fields(cls) for cls in (Literal, Leaf, Program, *KINDS.values())}
REFERS: dict[type, dict[str, str]] = {
    **{cls: {} for cls in KINDS.values()},
    Call: {"inputs": "tensors"},
    Backward: {"roots": "tensors", "gradients": "gradients", "inputs": "tensors"},
    Grad: {"outputs": "tensors", "inputs": "tensors", "gradients": "gradients"},
    **dict.fromkeys((ZeroGrad, RetainGrad, RequiresGrad, ReadGrad, Delete), {"tensor": "tensor"}),
    **dict.fromkeys((IncrementVersion, Inspect, UnpackDual), {"tensor": "tensor"}),
    **dict.fromkeys((SetData, SetGrad), {"tensor": "tensor", "source": "tensor"}),
    Hook: {"tensors": "tensors"},
    MakeDual: {"primal": "tensor", "tangent": "tensor"},
}
"""For each class of statement the fields that refer to tensors: to one, to several, or as gradients may."""

_CREATES = {ReadGrad: 1, MakeDual: 1, UnpackDual: 2}


def created(statement: Statement) -> int:
    """The number of tensors a statement creates."""
    if type(statement) is Call:
        return statement.outputs
    return len(statement.inputs) if type(statement) is Grad else _CREATES.get(type(statement), 0)


def references_of(statement: Statement) -> tuple[int, ...]:
    """The tensors a statement refers to."""
    if type(statement) is Call:
        return statement.inputs
    return tuple(_references(statement))


def _references(statement: Statement) -> Iterable[int]:
    for name, refers in REFERS[type(statement)].items():
        value = getattr(statement, name)
        if refers == "tensor":
            yield value
        elif refers == "tensors":
            yield from value or ()
        else:
            yield from (gradient for gradient in value if type(gradient) is int)
