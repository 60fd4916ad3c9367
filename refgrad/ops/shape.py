"""Views in another shape: reshape, squeeze, expand and their kin.

What torch returns as a view shares memory here too. `reshape` copies where torch copies, that is
where the elements cannot be reached by strides of the new shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from refgrad.devices import Array
from refgrad.dtypes import SCALAR_TYPE, dtype
from refgrad.ops.arguments import integer, integers, spelled_out, tensor_argument
from refgrad.ops.conversion import contiguous
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.ops.reductions import sum
from refgrad.tensor import Tensor, check_dim

__all__ = [
    "broadcast_to",
    "detach",
    "flatten",
    "narrow",
    "ravel",
    "reshape",
    "squeeze",
    "unflatten",
    "unsqueeze",
]

# reshape, view


def _in_shape(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    return xp.reshape(x, shape)


_BACK = {"self": lambda F, g, self_shape: F.reshape(g, shape=self_shape)}
_view = Op("reshape", _in_shape, _BACK, view=True, node="ViewBackward0")
_reshape_alias = Op("reshape_alias", _in_shape, _BACK, view=True)
_unsafe_view = Op("unsafe_view", _in_shape, _BACK, jvp="linear")


def _complete(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """`shape` with its -1, if any, worked out for `size` elements; RuntimeError if they do not fit."""
    for k, n in enumerate(shape):
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n} at index {k} of shape {list(shape)}")
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    known = math.prod([n for n in shape if n >= 0])
    if -1 not in shape:
        if known == size:
            return shape
    elif known:
        if size % known == 0:
            return tuple([size // known if n < 0 else n for n in shape])
    elif not size:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension "
            "size -1 can be any value and is ambiguous"
        )
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")


def _can_be_view(array: Array, shape: tuple[int, ...]) -> bool:
    """Whether strides can reach the elements in another shape, in row-major order."""
    if array.flags.c_contiguous or not array.size:
        return True
    runs: list[int] = []  # lengths of stretches with even steps, the innermost first
    next_stride = 0
    for n, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if n == 1:
            continue
        if runs and stride == next_stride:
            runs[-1] *= n
        else:
            runs.append(n)
        next_stride = stride * n
    room = 1
    for n in reversed(shape):
        if n == 1:
            continue
        if room == 1:
            room = runs.pop(0)
        if room % n:
            return False
        room //= n
    return True


def reshape(input: Tensor, shape: Any) -> Tensor:
    """The elements in row-major order in another shape: a view where possible, else a copy."""
    return _reshaped(tensor_argument("reshape", input), _shape_argument("reshape", shape))


def _shape_argument(function: str, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, int):
        raise TypeError(f"{function}(): argument 'shape' (position 2) must be tuple of ints, not int")
    return integers(function, "shape", shape)


def _reshaped(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    data = input._data
    shape = _complete(shape, data.size)
    if data.flags.c_contiguous:
        return _view(input, shape=shape)
    if _can_be_view(data, shape):
        return _reshape_alias(input, shape=shape)
    return _unsafe_view(contiguous(input), shape=shape)


_view.public = reshape


def _reshape_method(self: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """``x.reshape(2, 3)`` or ``x.reshape((2, 3))``; see `torch.reshape`."""
    given = sizes if shape is None else (shape,)
    if len(given) == 1 and isinstance(given[0], str):
        raise TypeError("reshape(): argument 'shape' (position 1) must be tuple of ints, not str")
    return _reshaped(self, spelled_out("reshape", "shape", given))


def view(input: Tensor, *sizes: Any, size: Any = None, dtype: dtype | None = None) -> Tensor:
    """The same memory in another shape, or its bytes as another dtype.

    Raises RuntimeError where the strides do not allow it: `reshape` copies then.
    """
    if (
        dtype is None
        and len(sizes) == 1
        and hasattr(sizes[0], "is_floating_point")
        and not isinstance(sizes[0], Tensor)
    ):
        dtype = sizes[0]
    if dtype is not None:
        return _as_bytes_of(input, dtype)
    shape = _complete(spelled_out("view", "size", sizes if size is None else (size,)), input._data.size)
    if not _can_be_view(input._data, shape):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans "
            "across two contiguous subspaces). Use .reshape(...) instead."
        )
    return _view(input, shape=shape)


def _as_bytes_of(input: Tensor, wanted: dtype) -> Tensor:
    """The same bytes read as another dtype, without history, as in torch."""
    data, have = input._data, input.dtype
    if have.itemsize != wanted.itemsize:
        names = f"view {SCALAR_TYPE[have.name]} as {SCALAR_TYPE[wanted.name]} (different element sizes)"
        if not data.ndim:
            raise RuntimeError(f"self.dim() cannot be 0 to {names}")
        ratio = wanted.itemsize // have.itemsize
        if ratio > 1 and data.shape[-1] % ratio:
            raise RuntimeError(f"self.size(-1) must be divisible by {ratio} to {names}, but got {data.shape[-1]}")
        if data.size and data.strides[-1] != have.itemsize:
            raise RuntimeError(f"self.stride(-1) must be 1 to {names}, but got {input.stride(-1)}")
    out = input.detach()
    out._data = data.view(wanted.numpy)
    return out


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view` in the shape of `other`."""
    return view(input, other._data.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` in the shape of `other`."""
    return _reshaped(input, other._data.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions `start_dim` to `end_dim` as one; the tensor itself if that changes nothing."""
    shape = tensor_argument("flatten", input)._data.shape
    start, end = check_dim(start_dim, len(shape)), check_dim(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return _reshaped(input, (1,))
    if start == end:
        return input
    return _reshaped(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension as several of `sizes`, of which one may be -1."""
    shape = tensor_argument("unflatten", input)._data.shape
    dim = check_dim(dim, len(shape))
    if not shape:
        raise RuntimeError("unflatten got an unexpected error:\na number has no dimensions")
    parts = integers("unflatten", "sizes", sizes)
    if not parts:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        parts = _complete(parts, shape[dim])
    except RuntimeError as error:
        if "invalid for input" in str(error):
            raise RuntimeError(
                f"unflatten: Provided sizes {list(parts)} don't multiply up to the size of dim {dim} "
                f"({shape[dim]}) in the input tensor"
            ) from None
        raise RuntimeError(f"unflatten got an unexpected error:\n{error}") from None
    return view(input, (*shape[:dim], *parts, *shape[dim + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All elements as one dimension."""
    return view(contiguous(tensor_argument("ravel", input)), (-1,))


# Dimensions of size one


def _squeezed(xp: Any, x: Any, dim: tuple[int, ...], form: int) -> Any:
    return xp.reshape(x, [n for k, n in enumerate(x.shape) if k not in dim])


def _unsqueezed(F: Any, g: Any, dim: tuple[int, ...]) -> Any:
    for k in sorted(dim):
        g = F.unsqueeze(g, dim=k)
    return g


_squeeze = Op(
    "squeeze",
    _squeezed,
    {"self": _unsqueezed},
    view=True,
    node=lambda inputs, params: f"SqueezeBackward{params['form']}",
)


def _with_one(xp: Any, x: Any, dim: int) -> Any:
    """NumPy fills in a stride of its own for the new dimension; torch steps over what comes behind."""
    made = xp.expand_dims(x, dim)
    if x.flags.c_contiguous:
        return made
    step = x.itemsize if dim == x.ndim else x.shape[dim] * x.strides[dim]
    return xp.lib.stride_tricks.as_strided(made, made.shape, (*x.strides[:dim], step, *x.strides[dim:]))


_unsqueeze = Op(
    "unsqueeze",
    _with_one,
    {"self": lambda F, g, dim: F.squeeze(g, dim=(dim,), form=1)},
    view=True,
)


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """The view without dimensions of size one; with `dim`, without those of them that are."""
    shape = tensor_argument("squeeze", input)._data.shape
    form = 0 if dim is None else 1 if isinstance(dim, int) else 2
    asked = range(len(shape)) if dim is None else [check_dim(d, len(shape)) for d in ((dim,) if form == 1 else dim)]
    if len(set(asked)) != len(asked):
        twice = next(d for d in asked if list(asked).count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return _squeeze(input, dim=tuple([k for k in asked if shape and shape[k] == 1]), form=form)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """The view with a new dimension of size one at `dim`."""
    ndim = tensor_argument("unsqueeze", input).ndim
    return _unsqueeze(input, dim=check_dim(integer("unsqueeze", "dim", dim), ndim + 1))


_unsqueeze.public = unsqueeze

# expand


def _stretched(xp: Any, x: Any, size: tuple[int, ...]) -> Any:
    lead = len(size) - x.ndim
    steps = [s if n == m else 0 for n, m, s in zip(x.shape, size[lead:], x.strides, strict=True)]
    for k in range(lead - 1, -1, -1):  # torch steps over what comes behind where nothing is repeated
        steps.insert(0, size[k + 1] * steps[0] if size[k] == 1 and x.ndim else 0)
    return xp.lib.stride_tricks.as_strided(x, size, steps)


_expand = Op("expand", _stretched, {"self": lambda F, g, self_shape: F.sum_to(g, shape=self_shape)}, view=True)


def _expanded(input: Tensor, size: tuple[int, ...]) -> Tensor:
    shape = input._data.shape
    lead = len(size) - len(shape)
    if lead < 0:
        kind = SCALAR_TYPE[input.dtype.name]
        raise RuntimeError(
            f"expand(torch.{kind}Tensor{{{list(shape)}}}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    found = []
    for k, n in enumerate(size):
        have = shape[k - lead] if k >= lead else 1
        if n == -1 and k < lead:
            raise RuntimeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {k}"
            )
        if n != -1 and (have != n and (have != 1 or n < 0)):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                "non-singleton "
                f"dimension {k}.  Target sizes: {list(size)}.  Tensor sizes: {list(shape)}"
            )
        found.append(have if n == -1 else n)
    return _expand(input, size=tuple(found))


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """The view that repeats dimensions of size one, and adds leading ones, up to `size`."""
    return _expanded(tensor_argument("broadcast_to", input), _shape_argument("broadcast_to", size))


_expand.public = broadcast_to


def expand(self: Tensor, *sizes: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """``x.expand(2, -1)``: see `broadcast_to`; -1 keeps a size."""
    return _expanded(self, spelled_out("expand", "size", sizes if size is None else (size,)))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """The view in the shape of `other`."""
    return _expanded(self, other._data.shape)


def sum_to_size(self: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """The tensor summed over what was broadcast from that size."""
    wanted = spelled_out("sum_to_size", "size", sizes if size is None else (size,))
    shape = self._data.shape
    lead = len(shape) - len(wanted)
    if lead < 0 or any(n not in (1, m) for n, m in zip(wanted, shape[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(wanted)}}} is not expandable to size {{{list(shape)}}}.")
    dims = [k for k, n in enumerate(shape) if k < lead or (wanted[k - lead] == 1 != n)]
    if not wanted:
        return sum(self)
    out = sum(self, dims, keepdim=True) if dims else self
    return view(out, wanted) if lead else out


# Parts


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """The view of `length` places along `dim`, from `start` on."""
    if not tensor_argument("narrow", input).ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    dim, start = check_dim(dim, input.ndim), integer("narrow", "start", start)
    size = input._data.shape[dim]
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    if start < 0:
        start += size
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return TENSORS.slice(input, dim=dim, start=start, stop=start + length, step=1)


def detach(input: Tensor) -> Tensor:
    """The same memory without history."""
    return input.detach()


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(TENSORS.unbind(self, dim=0))


METHODS = {
    "__iter__": _iterate,
    "broadcast_to": broadcast_to,
    "expand": expand,
    "expand_as": expand_as,
    "flatten": flatten,
    "narrow": narrow,
    "ravel": ravel,
    "reshape": _reshape_method,
    "reshape_as": reshape_as,
    "squeeze": squeeze,
    "sum_to_size": sum_to_size,
    "unflatten": unflatten,
    "unsqueeze": unsqueeze,
    "view": view,
    "view_as": view_as,
}
INPLACE: dict[str, Any] = {}
