"""What each statement does: it does what it says on the engine of a course and returns what it made, None where it
makes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from oracle.catalogue import CATALOGUE
from oracle.engines.protocol import Tensor
from oracle.hooks import BEHAVIOURS, Hooked
from oracle.program import (
    Backward,
    Call,
    Delete,
    Exit,
    Grad,
    Hook,
    IncrementVersion,
    Inspect,
    Literal,
    MakeDual,
    ReadGrad,
    RemoveHook,
    RequiresGrad,
    RetainGrad,
    SetData,
    SetGrad,
    SetGradEnabled,
    UnpackDual,
    ZeroGrad,
)
from oracle.trace import Place

if TYPE_CHECKING:
    from oracle.execute import Course


class Skipped(Exception):
    """A statement that no engine is asked to run."""


def _call(course: Course, call: Call) -> Sequence[Tensor] | None:
    spec = CATALOGUE[call.op]
    tensors = course.get(call.inputs)
    if spec.style == "out" and not _fits(tensors):
        raise Skipped
    if call.through is None:
        made = course.engine.call(spec, tensors, call.params)
    else:
        made = course.engine.checkpoint(spec, tensors, call.params, call.through == "reentrant_checkpoint")
    if not spec.writes:
        return made
    if spec.rehomes:
        course.rehome()
    if spec.outputs[1]:
        return made
    if spec.returns:
        itself = len(made) == 1 and made[0] is tensors[0]
        course.note(Place(course.at, call.inputs[0], "returned"), "itself" if itself else "another object")
    return None


def _fits(tensors: Sequence[Tensor]) -> bool:
    """Whether the first tensor can hold what is computed from the others as it is.

    Where it cannot and its memory is lent to NumPy, torch 2.13 leaves it with elements that have no memory.
    """
    shapes = [tuple(tensor.shape) for tensor in tensors]
    try:
        return shapes[0] == np.broadcast_shapes(*shapes[1:])
    except ValueError:
        return True  # which the engines refuse


def _backward(course: Course, backward: Backward) -> None:
    course.engine.backward(
        course.get(backward.roots),
        course.cotangents(backward.gradients),
        backward.retain_graph,
        backward.create_graph,
        None if backward.inputs is None else course.get(backward.inputs),
        backward.edges,
    )


def _grad(course: Course, grad: Grad) -> Sequence[Tensor | None]:
    return course.engine.grad(
        course.get(grad.outputs),
        course.get(grad.inputs),
        course.cotangents(grad.gradients),
        grad.retain_graph,
        grad.create_graph,
        grad.allow_unused,
        grad.edges,
        grad.materialize_grads,
        grad.is_grads_batched,
    )


def _zero_grad(course: Course, zero: ZeroGrad) -> None:
    course.engine.zero_grad(course.tensors[zero.tensor], zero.how)


def _retain_grad(course: Course, retain: RetainGrad) -> None:
    course.engine.retain_grad(course.tensors[retain.tensor])


def _requires_grad(course: Course, requires: RequiresGrad) -> None:
    course.engine.requires_grad(course.tensors[requires.tensor], requires.value, requires.how)


def _set_data(course: Course, data: SetData) -> None:
    course.engine.set_data(course.tensors[data.tensor], course.tensors[data.source])
    course.rehome()


def _set_grad(course: Course, grad: SetGrad) -> None:
    course.engine.set_grad(course.tensors[grad.tensor], course.tensors[grad.source])
    course.note(Place(course.at, grad.tensor, "grad"), course.gradient(grad.tensor))


def _read_grad(course: Course, read: ReadGrad) -> Sequence[Tensor | None]:
    return (course.engine.gradient(course.tensors[read.tensor]),)


def _delete(course: Course, delete: Delete) -> None:
    course.tensors[delete.tensor] = None
    course.absent.add(delete.tensor)
    course.last.pop(delete.tensor, None)
    course.rehome()


def _increment_version(course: Course, increment: IncrementVersion) -> None:
    course.engine.increment_version(course.tensors[increment.tensor])


def _inspect(course: Course, inspect: Inspect) -> None:
    tensor = course.tensors[inspect.tensor]
    node = course.engine.node(tensor)  # raises where a view has lost its base
    what = "grad" if inspect.tensor in course.plan.gradients else "inspected"
    course.note(Place(course.at, inspect.tensor, what), course.look(inspect.tensor))
    if inspect.tensor not in course.plan.loose and inspect.tensor not in course.plan.lent:
        course.note(Place(course.at, inspect.tensor, "edges"), node)


def _set_grad_enabled(course: Course, enabled: SetGradEnabled) -> None:
    course.engine.set_grad_enabled(enabled.value)
    course.show_modes()


def _hook(course: Course, hook: Hook) -> None:
    behaviour = BEHAVIOURS[hook.place]
    run = behaviour.actions[hook.action].run
    engine, handles, number = course.engine, course.handles, hook.number

    def called(*given: Any) -> Any:
        course.called(number, behaviour.gradients(*given))
        value = engine.literal(hook.value) if type(hook.value) is Literal else hook.value
        return run(Hooked(engine.module, value, handles.get(number)), *given)

    handles[number] = engine.register(hook.place, course.get(hook.tensors), called)


def _remove_hook(course: Course, remove: RemoveHook) -> None:
    handle = course.handles.get(remove.number)
    if handle is None:  # it could not be registered
        raise Skipped
    handle.remove()


def _make_dual(course: Course, make: MakeDual) -> Sequence[Tensor]:
    return (course.engine.make_dual(course.tensors[make.primal], course.tensors[make.tangent]),)


def _unpack_dual(course: Course, unpack: UnpackDual) -> Sequence[Tensor | None]:
    return course.engine.unpack_dual(course.tensors[unpack.tensor])


PERFORM: dict[type, Callable[[Course, Any], Sequence[Tensor | None] | None]] = {
    Call: _call,
    Exit: lambda course, statement: None,
    SetGradEnabled: _set_grad_enabled,
    Backward: _backward,
    Grad: _grad,
    ZeroGrad: _zero_grad,
    RetainGrad: _retain_grad,
    RequiresGrad: _requires_grad,
    SetData: _set_data,
    SetGrad: _set_grad,
    ReadGrad: _read_grad,
    Delete: _delete,
    IncrementVersion: _increment_version,
    Inspect: _inspect,
    Hook: _hook,
    RemoveHook: _remove_hook,
    MakeDual: _make_dual,
    UnpackDual: _unpack_dual,
}
