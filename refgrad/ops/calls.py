"""Public functions of elementwise ops with one or two operands: the hot path of the engine.

They do what `Op.__call__` does, for the common case only: plain tensors of one dtype on the CPU
or one GPU. Everything else (promotion, subclasses, mixed devices) goes to `Op.__call__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.devices import MODULES
from refgrad.graph import NO_EDGE
from refgrad.layout import arranged
from refgrad.modes import local
from refgrad.ops.record import Op, OpNode, broadcast_error
from refgrad.tensor import Tensor

OPERANDS = (Tensor, int, float, complex, np.number, np.bool_)  # NumPy's scalars count as Python's

_new = object.__new__
_FLOAT64, _FLOAT32 = dtypes.float64.numpy, dtypes.float32.numpy


def unary(op: Op) -> Callable[..., Tensor]:
    """The public function of an elementwise op with one operand."""
    kernels, plans, name = op.kernels, op.plans, op.node
    assert isinstance(name, str)
    node_class = op.node_classes[name]
    differentiable = op.vjp is not None
    op.jvp = op.jvp or "elementwise"

    def call(input: Tensor, *, out: Any = None) -> Tensor:
        if out is not None:
            return into(out, op.name, call, input)
        if type(input) is not Tensor:
            return op(_checked(op, input))
        modes = local.modes
        x = input._data
        dtype = x.dtype
        if (dtype is not _FLOAT64 and dtype is not _FLOAT32 and dtype.kind != "f") or not modes.plain:
            return op(input)
        kind = type(x)
        made = modes.run(kernels[kind], x)
        if type(made) is not kind:
            made = MODULES[kind].asarray(made)
        result = _new(Tensor)
        result._data = made
        result._counter = [0]
        if input._rg and differentiable and modes.grad_enabled:
            edge = input._edge or input._gradient_edge()
            plan = plans[1]
            node: OpNode = _new(node_class)
            node.next_functions = (edge,)
            node.plan = plan
            if plan.inputs and plan.only_inputs:
                node.saved = (input,)
                node.versions = (input._counter[0],)
            else:
                saved = node.saved = tuple([source((input,), _NO_PARAMS, (result,)) for source in plan.sources])
                node.versions = tuple([v._counter[0] if type(v) is Tensor else None for v in saved])
            node.compute = None
            node._hooks = None
            node._sequence = modes.next_sequence()
            node._meta = ((made.shape, made.dtype),)
            result._edge = (node, 0)
            result._rg = True
        return result

    op.public = call
    return _named(call, op)


def binary(op: Op, *, operator: bool = False, numbers: bool = True) -> Callable[..., Tensor]:
    """The public function of an elementwise op with two operands: tensors or Python numbers.

    With `operator` it serves as a method such as `__add__`: NotImplemented for foreign operands.
    `numbers` tells whether one operand may be a Python number.
    """
    kernels, plans, name = op.kernels, op.plans, op.node
    assert isinstance(name, str)
    node_class = op.node_classes[name]
    differentiable = op.vjp is not None
    uncommon = as_operator(op) if operator else _checked_pair(op, numbers)

    def call(input: Any, other: Any, *, out: Any = None) -> Tensor:
        if out is not None:
            return into(out, op.name, call, input, other)
        if type(input) is not Tensor:
            return uncommon(input, other)
        x = input._data
        dtype = x.dtype
        kind = type(x)
        if type(other) is Tensor:
            y = other._data
            if y.dtype is not dtype or type(y) is not kind:
                return op(input, other)
            recorded = input._rg or other._rg
        elif numbers and (type(other) is float or type(other) is int):
            y = other
            recorded = input._rg
        else:
            return uncommon(input, other)
        modes = local.modes
        if (dtype is not _FLOAT64 and dtype is not _FLOAT32) or not modes.plain:
            return op(input, other)
        try:
            made = modes.run(kernels[kind], x, y)
        except ValueError:
            raise broadcast_error(x, y) from None
        if type(made) is not kind:
            made = MODULES[kind].asarray(made)
        elif not x.flags.c_contiguous or 1 in made.shape:
            made = arranged(MODULES[kind], made, (x, y))
        result = _new(Tensor)
        result._data = made
        result._counter = [0]
        if recorded and differentiable and modes.grad_enabled:
            left = right = NO_EDGE
            if input._rg:
                left = input._edge or input._gradient_edge()
            if y is not other and other._rg:
                right = other._edge or other._gradient_edge()
            plan = plans[(left is not NO_EDGE) + 2 * (right is not NO_EDGE)]
            node: OpNode = _new(node_class)
            node.next_functions = (left, right)
            node.plan = plan
            wanted = plan.inputs
            if plan.only_inputs:
                if not wanted:
                    node.saved = node.versions = ()
                elif len(wanted) == 1:
                    t = other if wanted[0] else input
                    node.saved = (t,)
                    node.versions = (t._counter[0] if type(t) is Tensor else None,)
                else:
                    pair = node.saved = (input, other) if wanted == (0, 1) else (other, input)
                    node.versions = tuple([v._counter[0] if type(v) is Tensor else None for v in pair])
            else:
                inputs = (input, other)
                saved = node.saved = tuple([source(inputs, _NO_PARAMS, (result,)) for source in plan.sources])
                node.versions = tuple([v._counter[0] if type(v) is Tensor else None for v in saved])
            node.compute = None
            node._hooks = None
            node._sequence = modes.next_sequence()
            node._meta = ((made.shape, made.dtype),)
            result._edge = (node, 0)
            result._rg = True
        return result

    if not operator:
        op.public = call
    return _named(call, op)


def into(out: Any, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of a function written into `out`: see `refgrad.ops.out`, which is built upon the ops."""
    from refgrad.ops import out as target

    return target.into(out, name, function, args, kwargs)


_NO_PARAMS: dict[str, Any] = {}


def _named(function: Callable[..., Any], op: Op) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = op.name
    return function


def _checked(op: Op, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{op.name}(): argument 'input' (position 1) must be Tensor, not {type(value).__name__}")
    return value


def _checked_pair(op: Op, numbers: bool) -> Callable[[Any, Any], Tensor]:
    """A call of `op` that looks at its operands first."""
    accepted = OPERANDS if numbers else (Tensor,)

    def call(input: Any, other: Any) -> Tensor:
        for position, (name, value) in enumerate((("input", input), ("other", other)), 1):
            if not isinstance(value, accepted):
                raise TypeError(
                    f"{op.name}(): argument '{name}' (position {position}) must be Tensor, "
                    f"not {type(value).__name__}"
                )
        return op(input, other)

    return call


def as_operator(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`function` as an operator's method: an operand of another type is left to that type."""

    def call(input: Any, other: Any) -> Any:
        if isinstance(other, np.generic):
            other = other.item()  # a NumPy scalar is a number: it does not widen a dtype
        return function(input, other) if isinstance(other, OPERANDS) else NotImplemented

    call.__name__ = call.__qualname__ = getattr(function, "__name__", "operator")
    return call
