"""In-place forms of ops: compute, write the result into the target, and move the target's history.

The node of an in-place op sees the target as it was before the write, so what it saves of it is a
copy; every other tensor that saved the target notices through the version counter.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from refgrad.counters import bump
from refgrad.devices import MODULES, Array
from refgrad.dtypes import FROM_NUMPY, SCALAR_TYPE, dtype
from refgrad.layout import STRETCHED, is_dense, is_stretched
from refgrad.modes import local
from refgrad.mutation import spare
from refgrad.ops.limits import common_dtype
from refgrad.ops.record import Formula, Op, OpNode, broadcast_error
from refgrad.saved import Later
from refgrad.tensor import Tensor, wrap
from refgrad.views import rebase


def check_history(target: Tensor, recording: bool) -> None:
    """Raise what torch raises for a recorded change of a leaf, or of a view that cannot follow."""
    if recording:
        view = target._view
        if view is not None:
            view.check_writable()
            if target._rg and view.base._edge is None:
                raise RuntimeError(
                    "a view of a leaf Variable that requires grad is being used in an in-place operation."
                )
        if target._rg and not target._computed():
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


OVERLAP = (
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
    "location. Please clone() the tensor before performing the operation."
)


def check_overlap(target: Tensor, operands: Iterable[Any], refused: str = "part") -> None:
    """Raise what torch raises for an operand that shares the target's memory, as far as torch looks.

    Only stretches of memory without holes are looked at, and whether the operand is the target. One that is the
    target, element by element, is fine where a "part" is refused, and not where "any" is.
    """
    data = target._data
    for operand in operands:
        if not isinstance(operand, Tensor) or type(operand._data) is not type(data):
            continue
        if operand is target and refused == "any":
            raise RuntimeError(OVERLAP)
        other = operand._data
        if not data.size or not other.size or not is_dense(data) or not is_dense(other):
            continue
        address = MODULES[type(data)].address
        start, begin = address(data), address(other)
        if start < begin + other.nbytes and begin < start + data.nbytes:
            if refused == "part" and start == begin and data.nbytes == other.nbytes and data.strides == other.strides:
                continue
            raise RuntimeError(OVERLAP)


def check_result(target: Tensor, shape: tuple[int, ...], found: dtype) -> None:
    """Raise what torch raises for a result that the target cannot hold."""
    if found.category > target.dtype.category:
        names = SCALAR_TYPE[found.name], SCALAR_TYPE[target.dtype.name]
        raise RuntimeError(f"result type {names[0]} can't be cast to the desired output type {names[1]}")
    if shape != target._data.shape:
        raise RuntimeError(
            f"output with shape {list(target._data.shape)} doesn't match the broadcast shape {list(shape)}"
        )


def check_operands(target: Tensor, operands: Iterable[Any]) -> None:
    """The same for a result that has the common shape and dtype of target and operands."""
    arrays = [a._data for a in (target, *operands) if isinstance(a, Tensor)]
    try:
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
    except ValueError:
        raise broadcast_error(*arrays) from None
    check_result(target, shape, common_dtype(target, *operands))


def before_write(target: Tensor, recording: bool, copy: bool) -> Tensor:
    """The target as it was: same place in the graph, and a copy of its values where they are needed."""
    old = wrap(target._data.copy() if copy else target._data)
    edge = target._current_edge() if recording else None
    if edge is not None:
        old._place(edge)
    return old


def write(target: Tensor, values: Array, stretched: bool = False) -> None:
    """Overwrite the target's values and count the write. `stretched`: several elements share a place."""
    spare(target)
    data = target._data
    if stretched:  # of elements in one place those count that change
        MODULES[type(data)].copyto(data, values, where=values != data)
    else:
        data[...] = values
    bump(target._counter)


def adopt(target: Tensor, result: Tensor) -> None:
    """Give the target, just overwritten, the history of `result`."""
    edge = result._edge
    assert edge is not None
    node = edge[0]
    assert isinstance(node, OpNode) and node.saved is not None
    node._meta = ((target._data.shape, target._data.dtype),)
    rebase(target, edge)
    if not node.plan.results:
        return
    # A saved result is the target's own memory, and its version counts.
    versions = list(node.versions)
    for k in node.plan.results:
        node.saved[k]._data = target._data
        node.saved[k]._counter = target._counter
        versions[k] = target._counter[0]
    node.versions = tuple(versions)
    if target._view is not None:
        node.ensure_hooks().stands_for = weakref.ref(target.grad_fn)


def records(target: Tensor, operands: Iterable[Any]) -> bool:
    """Whether an operation on the target is to be recorded: one of the tensors requires grad, and the mode is on."""
    return local.modes.recording and (target._rg or any(isinstance(a, Tensor) and a._rg for a in operands))


def inplace(
    function: Callable[..., Any],
    name: str,
    *,
    tracked: bool = True,
    stretched: bool | str = False,
    casts: bool = True,
    overlap: str | None = "part",
    number_at: int | None = None,
) -> Callable[..., Tensor]:
    """The in-place form of a public function: its first argument is the target.

    Without `tracked` it leaves the history of the target as it is, and a leaf may be written. `stretched` marks
    operations that may write into expanded tensors, where several elements share a place; a text is the warning
    that torch gives then. `casts` tells that the result has the common shape and dtype of the operands, at which
    torch looks before it looks for a kernel. `overlap`: of the target's memory operands may not share a "part", or
    "any"; None if torch does not look. What the operand at `number_at` holds is read first, so that does not matter.
    """

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        modes = local.modes
        operands = (*args, *kwargs.values())
        recording = tracked and records(self, operands)
        check_history(self, recording)
        shares = is_stretched(self._data)
        if shares:
            if not stretched:
                raise RuntimeError(STRETCHED)
            if isinstance(stretched, str):
                warnings.warn(stretched, UserWarning, stacklevel=2)
        if overlap is not None:
            others = operands if number_at is None else (*operands[:number_at], *operands[number_at + 1 :])
            check_overlap(self, others, overlap)
        level = modes.forward
        if level is not None and not level.concerns(self, operands):
            level = None
        old = before_write(self, recording, copy=recording or level is not None)
        packing = modes.packing
        if packing is not None:
            modes.packing = Later(packing)
        try:
            if level is not None:
                level.lend(self, old)
            try:
                result = function(old, *args, **kwargs)
            except NotImplementedError:
                if casts:
                    check_operands(self, operands)
                raise
            check_result(self, result._data.shape, FROM_NUMPY[result._data.dtype])
            write(self, result._data, shares)
            if result._edge is not None and result is not old:
                adopt(self, result)
            if level is not None:
                level.write(self, result)
        finally:
            later, modes.packing = modes.packing, packing
        if later is not None:
            later.pack_outputs(result, self)
        return self

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"In-place form of `{name.rstrip('_')}`."
    return call


def deprecated_on_expanded(name: str, more: str = "") -> str:
    """torch's warning for a write into an expanded tensor that it still allows."""
    return (
        f"Use of {name} on expanded tensors is deprecated. Please clone() the tensor before performing this "
        f"operation.{more}"
    )


def differentiated_as(
    node: str, vjp: dict[str, Formula] | Formula, op: Op, jvp: Formula | None = None
) -> Op:
    """A record for the in-place form of `op`, where torch has another node or formula for it."""
    return Op(
        f"{op.name}_",
        op.kernels.forward,
        vjp,
        inputs=op.inputs,
        node=node,
        promote=op.promote,
        scalars=op.scalars,
        check=op.check,
        elementwise=op.elementwise,
        jvp=jvp or op.jvp,
    )


# Writes that do not depend on the old values: the old gradient is zero.

_zero = Op("zero", lambda xp, x: xp.zeros_like(x), {"self": lambda F, g: F.zeros_like(g)}, jvp="linear")


def fill_kernel(xp: Any, x: Any, value: Any) -> Any:
    out = xp.empty_like(x)
    out[...] = value
    return out


_fill_scalar = Op(
    "fill_scalar",
    fill_kernel,
    {"self": lambda F, g: F.zeros_like(g)},
    node="FillBackward2",
    jvp="elementwise",
)
_fill_tensor = Op(
    "fill_tensor",
    fill_kernel,
    {"self": lambda F, g: F.zeros_like(g), "value": lambda F, g: F.sum_to(g, shape=())},
    inputs=("self", "value"),
    node="FillBackward3",
    jvp="linear",
)
_copy = Op(
    "copy",
    lambda xp, x, source: xp.broadcast_to(source, x.shape).astype(x.dtype),
    {"self": lambda F, g: F.zeros_like(g), "source": lambda F, g: g},
    inputs=("self", "source"),
    node="torch::autograd::CopyBackwards",
    jvp="linear",
)


def _fill(input: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value._data.ndim} dimensions."
            )
        return _fill_tensor(input, value)
    return _fill_scalar(input, value=value)


def _copied(input: Tensor, src: Tensor) -> Tensor:
    if MODULES[type(src._data)] is not MODULES[type(input._data)] or src.device != input.device:
        from refgrad.ops.conversion import move

        src = move(src, input.device)
    try:
        shape = np.broadcast_shapes(input._data.shape, src._data.shape)
    except ValueError:
        raise broadcast_error(input._data, src._data) from None
    check_result(input, shape, input.dtype)
    return _copy(input, src)


_fill_number_ = inplace(_fill, "fill_", stretched=True)
_fill_tensor_ = inplace(_fill, "fill_", number_at=0)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one value, a number or a 0-dim tensor, everywhere."""
    return (_fill_tensor_ if isinstance(value, Tensor) else _fill_number_)(self, value)


_copy_ = inplace(_copied, "copy_")
_copy_itself_ = inplace(_copied, "copy_", stretched=True)


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Write the values of `src`, which broadcasts, in the dtype of this tensor."""
    itself = src is self or (is_stretched(self._data) and isinstance(src, Tensor) and _in_one_place(self, src))
    return (_copy_itself_ if itself else _copy_)(self, src)


def _in_one_place(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same elements of one memory."""
    x, y = a._data, b._data
    if type(x) is not type(y) or (x.shape, x.strides, x.dtype) != (y.shape, y.strides, y.dtype):
        return False
    address = MODULES[type(x)].address
    return bool(address(x) == address(y))


FUNCTIONS = frozenset(
    "abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_ asinh_ atan_ "
    "atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp2_ exp_ expm1_ fill_ "
    "fix_ floor_ frac_ index_put_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ "
    "relu_ resize_as_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_ i0_".split()
)
"""The methods that torch has as functions too."""

__all__: list[str] = []
METHODS = {
    "zero_": inplace(_zero, "zero_", stretched=True),
    "fill_": fill_,
    "copy_": copy_,
}
