"""Subscripts: ``x[...]`` for reading and writing.

As in torch, integers, slices and None are taken one after the other as views, and what is left
of tensors and masks then picks elements all at once, as a copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.devices import MODULES, Array
from refgrad.layout import arranged_by, is_stretched
from refgrad.modes import local
from refgrad.ops.inplace import deprecated_on_expanded, inplace
from refgrad.ops.limits import check_fits
from refgrad.ops.record import Op
from refgrad.ops.selection import ON_EXPANDED as FILL_ON_EXPANDED
from refgrad.tensor import Tensor, check_dim, wrap

Spelled = Callable[[], tuple[Array | None, ...]]
"""Gives the integer array of each dimension that is indexed, None for a whole one; or raises."""

# Views of one kind each, with torch's node names. Their derivatives put a gradient back in place.


def _at(dim: int, what: Any) -> tuple[Any, ...]:
    return (slice(None),) * dim + (what,)


# A formula that names `guards` saves the tensors that an index was made of: backward then finds out if one was
# modified since.


def _assign(xp: Any, x: Any, value: Any, where: Any) -> Any:
    out = xp.array(x, copy=True)
    out[where] = value
    return out


def _assignment(name: str, read: str, node: str) -> Op:
    """A copy with a value written at a subscript; `read` is the op that takes the subscript."""
    return Op(
        name,
        _assign,
        {
            "self": lambda F, g, where: getattr(F, name)(g, F.new_zeros(g, shape=()), where=where),
            "value": lambda F, g, where: getattr(F, read)(g, where=where),
        },
        inputs=("self", "value"),
        node=node,
        jvp="linear",
    )


def _reading(name: str, write: str, node: str, view: bool) -> Op:
    """A subscript in the form that arrays take."""
    return Op(
        name,
        lambda xp, x, where: x[where],
        {
            "self": lambda F, g, self_shape, where: getattr(F, write)(
                F.new_zeros(g, shape=self_shape), g, where=where
            )
        },
        view=view,
        node=node,
        jvp="linear",
    )


_assign_view = _assignment("assign", "subscript", "torch::autograd::CopySlices")
_assign_picked = _assignment("assign_picked", "subscript_picked", "IndexPutBackward0")
_reading("subscript", "assign", "SliceBackward0", view=True)
_reading("subscript_picked", "assign_picked", "IndexBackward0", view=False)

_select = Op(
    "select",
    lambda xp, x, dim, index: x[(*_at(dim, index), ...)],
    {
        "self": lambda F, g, self_shape, dim, index: F.assign(
            F.new_zeros(g, shape=self_shape), g, where=_at(dim, index)
        )
    },
    view=True,
)
_slice = Op(
    "slice",
    lambda xp, x, dim, start, stop, step: x[_at(dim, slice(start, stop, step))],
    {
        "self": lambda F, g, self_shape, dim, start, stop, step: F.assign(
            F.new_zeros(g, shape=self_shape), g, where=_at(dim, slice(start, stop, step))
        )
    },
    view=True,
)
_alias = Op("alias", lambda xp, x: x[...], {"self": lambda F, g: g}, view=True)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The view at one place of a dimension, which goes. IndexError when out of range."""
    data = input._data
    if not data.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = check_dim(dim, data.ndim)
    size = data.shape[dim]
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(data.shape)} at dimension {dim}"
        )
    return _select(input, dim=dim, index=index % size)


_select.public = select

# Advanced indexing. `indices` holds an integer array, or None for a whole dimension, in order.


def _places(indices: Sequence[Array | None]) -> tuple[Any, ...]:
    return tuple([slice(None) if i is None else i for i in indices])


def _index(xp: Any, x: Any, indices: Any, guards: Any = ()) -> Any:
    try:
        made = xp.ascontiguousarray(x[_places(indices)])
    except IndexError as error:
        raise _index_error(error, x, indices) from None
    return made if x.flags.c_contiguous else arranged_by(xp, made, _steps_of(x, made.ndim, indices))


def _steps_of(x: Array, ndim: int, indices: Any) -> list[tuple[int, ...]]:
    """For each dimension of the result, the steps in `x`, then those in the indices: 0 where they do not go."""
    used = [k for k, i in enumerate(indices) if i is not None]
    wide = ndim - (x.ndim - len(used))
    together = used == list(range(used[0], used[-1] + 1))
    at = used[0] if together else 0
    kept = [s for k, s in enumerate(x.strides) if k not in used]
    places = [1] * wide  # what matters of the indices' own steps is their order
    for k in range(wide - 2, -1, -1):
        places[k] = places[k + 1] * 2
    source = (*kept[:at], *(0,) * wide, *kept[at:])
    return [source, (*(0,) * at, *places, *(0,) * (len(kept) - at))]


def _index_error(error: IndexError, x: Array, indices: Any) -> IndexError:
    text = str(error)
    if "broadcast" in text:
        shapes = ", ".join(str(list(i.shape)) for i in indices if i is not None)
        return IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        )
    return IndexError(text.replace("axis", "dimension"))


def _index_put(xp: Any, x: Any, values: Any, indices: Any, accumulate: bool, guards: Any = ()) -> Any:
    out = xp.array(x, copy=True)
    where = _places(indices)
    if values.dtype.kind == "c" and x.dtype.kind != "c":
        values = values.real
    try:
        if accumulate:
            xp.scatter_add(out, where, xp.broadcast_to(values, out[where].shape))
        else:
            out[where] = values
    except IndexError as error:
        raise _index_error(error, x, indices) from None
    except ValueError:
        raise _shapes_differ(values, out, where) from None
    return out


def _shapes_differ(values: Array, x: Array, where: Any) -> RuntimeError:
    return RuntimeError(
        f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing result of "
        f"shape {list(x[where].shape)}"
    )


_index_op = Op(
    "index",
    _index,
    {
        "self": lambda F, g, self_shape, indices, guards: F.index_put(
            F.new_zeros(g, shape=self_shape), g, indices=indices, accumulate=True, guards=guards
        )
    },
    saves_params=True,
    jvp="linear",
)


def _index_put_self(F: Any, g: Any, indices: Any, accumulate: bool, guards: Any) -> Any:
    if accumulate:
        return g
    return F.index_put(g, F.new_zeros(g, shape=()), indices=indices, accumulate=False, guards=guards)


_index_put_op = Op(
    "index_put",
    _index_put,
    {
        "self": _index_put_self,
        # torch: every source of an overwritten place gets the whole gradient
        "values": lambda F, g, indices, guards: F.index(g, indices=indices, guards=guards),
    },
    inputs=("self", "values"),
    jvp="linear",
    saves_params=True,
)


def _dtypes_differ(target: Tensor, source: Tensor) -> RuntimeError:
    names = dtypes.SCALAR_TYPE[target.dtype.name], dtypes.SCALAR_TYPE[source.dtype.name]
    return RuntimeError(
        f"Index put requires the source and destination dtypes match, got {names[0]} for the destination and "
        f"{names[1]} for the source."
    )


def index_put(
    input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """A copy of `input` with `values` written, or added, at the places that integer tensors name.

    RuntimeError for values of another dtype, but for a single one where a mask is true.
    """
    guards = [i for i in indices if i is not None]
    form = _filled if not accumulate and _is_fill(guards, values) else _written
    return form(input, values, *guards, places=lambda: _spelled(indices, input._data.shape), accumulate=accumulate)


def _spelled(indices: Sequence[Tensor | None], shape: tuple[int, ...]) -> tuple[Array | None, ...]:
    """The integer array of each dimension, None for a whole one."""
    places: list[Array | None] = []
    for i in indices:
        if len(places) == len(shape):
            raise IndexError(f"too many indices for tensor of dimension {len(places)} (got {len(indices)})")
        places.extend([None] if i is None else _integers(i._data, len(places), shape))
    return tuple(places)


def _is_fill(guards: Sequence[Tensor], values: Tensor) -> bool:
    """Whether one value goes where one mask is true: to torch that is `masked_fill`, which reads a number."""
    return values.numel() == 1 and not values.is_cuda and len(guards) == 1 and _is_mask(guards[0]._data)


def _is_mask(array: Array) -> bool:
    return bool(array.dtype.kind == "b" or array.dtype == np.uint8)


def _written(old: Tensor, values: Tensor, *guards: Tensor, places: Spelled, accumulate: bool = False) -> Tensor:
    indices, data = places(), old._data
    used = [i.ndim for i in indices if i is not None]
    if values._data.ndim > data.ndim - len(used) + max(used, default=0):  # NumPy drops leading ones
        raise _shapes_differ(values._data, data, _places(indices))
    if old.dtype is not values.dtype:
        local.modes.run(_index_put_op.kernels[type(data)], data, values._data, indices, False)  # for wrong shapes
        raise _dtypes_differ(old, values)
    return _index_put_op(old, values, indices=indices, accumulate=accumulate, guards=guards)


def _filled(old: Tensor, values: Tensor, *guards: Tensor, places: Spelled, accumulate: bool = False) -> Tensor:
    check_fits(values.item(), old.dtype)
    return _index_put_op(old, values, indices=places(), accumulate=False, guards=guards)


# Reading a subscript


def _as_index(item: Any) -> Any:
    """A list as the tensor that it stands for; anything else unchanged."""
    if isinstance(item, (list, range)):
        from refgrad.ops.creation import tensor

        made = tensor(list(item))
        return made if made.numel() or made.dtype.category <= dtypes.INTEGRAL else made.long()
    if isinstance(item, np.ndarray):
        return wrap(item)
    return item


def _integers(array: Array, dim: int, shape: tuple[int, ...]) -> list[Array]:
    """An index array as integers: a mask becomes the coordinates of its true places."""
    if _is_mask(array):
        for k, n in enumerate(array.shape):
            if dim + k >= len(shape) or shape[dim + k] != n:
                raise IndexError(
                    f"The shape of the mask {list(array.shape)} at index {k} does not match the shape of the "
                    f"indexed tensor {list(shape)} at index {dim + k}"
                )
        module = MODULES[type(array)]
        return list(local.modes.run(module.nonzero, array))
    if array.dtype.kind not in "iu":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return [array]


def _beside(index: Tensor, x: Tensor) -> Array:
    """An index as an array on the device of what it indexes; one on the CPU may index anything."""
    if type(index._data) is type(x._data):
        return index._data
    return MODULES[type(x._data)].from_host(MODULES[type(index._data)].to_host(index._data), x.device)


def _as_tuple(key: Any) -> tuple[Any, ...]:
    """The items of a subscript. A list that holds more than numbers is read as a tuple, as in early NumPy."""
    if isinstance(key, tuple):
        return key
    several = (Tensor, Sequence, slice, type(None), type(Ellipsis))
    if isinstance(key, list) and any(isinstance(i, several) for i in key):
        return tuple(key)
    return (key,)


def _dims_used(item: Any) -> int:
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, Tensor) and (item._data.dtype.kind == "b" or item._data.dtype == np.uint8):
        return item._data.ndim
    return 1


def _whole(step: slice, size: int) -> tuple[int, int, int]:
    bounds = [None if v is None else int(v) for v in (step.start, step.stop, step.step)]
    if bounds[2] is not None and bounds[2] <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, stride = slice(*bounds).indices(size)
    return start, max(start, stop), stride


def _items(key: Any, ndim: int) -> list[Any]:
    """The items of a subscript, with one Ellipsis spelled out as whole slices."""
    items = [_as_index(i) for i in _as_tuple(key)]
    used = sum(map(_dims_used, items))
    if used > ndim:
        if not ndim and not any(isinstance(i, Tensor) for i in items):
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to "
                "convert a 0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    spelled: list[Any] = []
    for item in items:
        spelled.extend([slice(None)] * (ndim - used) if item is Ellipsis else [item])
    return spelled


def _step(x: Tensor, item: Any, dim: int) -> tuple[Tensor, int]:
    """One basic item applied as a view; returns the view and the next dimension."""
    from refgrad.ops.shape import unsqueeze

    if item is None:
        return unsqueeze(x, dim), dim + 1
    size = x._data.shape[dim]
    if isinstance(item, slice):
        start, stop, step = _whole(item, size)
        if (start, stop, step) == (0, size, 1):
            return x, dim + 1
        return _slice(x, dim=dim, start=start, stop=stop, step=step), dim + 1
    index = int(item)
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return _select(x, dim=dim, index=index % size), dim


def _is_basic(item: Any) -> bool:
    if isinstance(item, Tensor):
        return item._data.dtype.kind in "iu" and not item._data.ndim and item._data.dtype != np.uint8
    return item is None or isinstance(item, (slice, int, np.integer)) and not isinstance(item, bool)


def _basic_error(item: Any) -> Exception:
    if isinstance(item, str):
        return TypeError(f"new(): invalid data type '{type(item).__name__}'")
    return IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
        f"(got {type(item).__name__})"
    )


def _applied(input: Tensor, key: Any) -> tuple[Tensor, dict[int, Any], list[Tensor]]:
    """The basic items of a subscript applied as views; what is left: index arrays by dimension, and their tensors."""
    x, dim = input, 0
    places: dict[int, Any] = {}
    guards: list[Tensor] = []
    for item in _items(key, input._data.ndim):
        if _is_basic(item):
            x, dim = _step(x, item, dim)
        elif isinstance(item, bool) or (isinstance(item, Tensor) and _is_truth(item)):
            x, _ = _step(x, None, dim)
            module = MODULES[type(x._data)]
            places[dim] = module.asarray([0] if bool(item) else [], dtype=np.int64)
            dim += 1
        elif isinstance(item, Tensor):
            guards.append(item)
            for array in _integers(_beside(item, x), dim, x._data.shape):
                places[dim] = array
                dim += 1
        else:
            raise _basic_error(item)
    return x, places, guards


def _is_truth(item: Tensor) -> bool:
    return not item._data.ndim and item._data.dtype.kind == "b"


def _in_order(places: dict[int, Any]) -> tuple[Any, ...]:
    return tuple([places.get(k) for k in range(max(places) + 1)])


def getitem(input: Tensor, key: Any) -> Tensor:
    """``input[key]``: a view for integers, slices, None and Ellipsis; a copy where tensors index."""
    if type(key) is int and input._data.ndim:  # the most common case
        size = input._data.shape[0]
        if -size <= key < size:
            return _select(input, dim=0, index=key % size)
    x, places, guards = _applied(input, key)
    if places:
        return _index_op(x, indices=_in_order(places), guards=tuple(guards))
    if x is input:
        return _slice(x, dim=0, start=0, stop=x._data.shape[0], step=1) if isinstance(key, slice) else _alias(x)
    return x


# Writing a subscript


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """``input[key] = value`` in place: into a view, or through `index_put_` where tensors index."""
    source = _as_source(input, value)
    if key is False:
        return
    x, places, guards = _applied(input, None if key is True else key)
    if places:
        shape = _without_leading_ones(source._data.shape)
        source = source if shape == source._data.shape else source.view(shape)
        fills = _is_fill(guards, source) and len(places) == guards[0]._data.ndim
        _put(x, source, guards, lambda: _in_order(places), fills)
    elif source._data.shape == x._data.shape:
        x.copy_(source)
    elif not source._data.ndim:
        x.fill_(source)
    else:
        source = source.view(_without_leading_ones(source._data.shape))
        _check_value(source, x._data.shape)
        x.copy_(source if source._data.shape == x._data.shape else source.expand(x._data.shape))


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[next((k for k, n in enumerate(shape) if n != 1), len(shape)) :]


def _as_source(like: Tensor, value: Any) -> Tensor:
    """What is assigned, as a tensor; a number gets the dtype of what it goes into."""
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, (int, float, complex, np.number, np.bool_)):
        kind = dtypes.SCALAR_TYPE[like.dtype.name]
        what = "numpy.ndarray" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"can't assign a {what} to a torch.{kind}Tensor")
    if isinstance(value, (complex, np.complexfloating)) and not like.is_complex():
        raise RuntimeError(f"value cannot be converted to type {dtypes.C_NAMES[like.dtype.name]} without overflow")
    return wrap(MODULES[type(like._data)].asarray(value, dtype=like._data.dtype))


_ON_EXPANDED = deprecated_on_expanded(
    "index_put_", " This also applies to advanced indexing e.g. tensor[indices] = tensor"
)


_put_values = inplace(_written, "index_put_", stretched=_ON_EXPANDED, overlap="any")
_put_number = inplace(_filled, "index_put_", stretched=_ON_EXPANDED, number_at=0)


def _put(
    target: Tensor, values: Tensor, guards: Sequence[Tensor], places: Spelled, fills: bool, accumulate: bool = False
) -> Tensor:
    """Write into the target; `fills`: a number, where a mask is true."""
    if not fills:
        return _put_values(target, values, *guards, places=places, accumulate=accumulate)
    _put_number(target, values, *guards, places=places)
    if is_stretched(target._data):  # torch warns of both operations
        warnings.warn(FILL_ON_EXPANDED, UserWarning, stacklevel=3)
    return target


def index_put_(
    self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """In-place form of `index_put`; RuntimeError if values or indices share memory with the target."""
    guards = [i for i in indices if i is not None]
    fills = not accumulate and _is_fill(guards, values)
    return _put(self, values, guards, lambda: _spelled(indices, self._data.shape), fills, accumulate)


def _check_value(source: Tensor, wanted: tuple[int, ...]) -> None:
    found = source._data.shape
    lead = len(found) - len(wanted)
    if lead > 0 and any(n != 1 for n in found[:lead]):
        kind = dtypes.SCALAR_TYPE[source.dtype.name]
        raise RuntimeError(
            f"expand(torch.{kind}Tensor{{{list(found)}}}, size={list(wanted)}): the number of sizes provided "
            f"({len(wanted)}) must be greater or equal to the number of dimensions in the tensor ({len(found)})"
        )
    for k in range(1, min(len(found), len(wanted)) + 1):
        if found[-k] not in (1, wanted[-k]):
            raise RuntimeError(
                f"The expanded size of the tensor ({wanted[-k]}) must match the existing size ({found[-k]}) at "
                f"non-singleton dimension {len(wanted) - k}.  Target sizes: {list(wanted)}.  Tensor sizes: "
                f"{list(found)}"
            )


METHODS = {
    "__getitem__": getitem,
    "__setitem__": setitem,
    "select": select,
    "index_put": index_put,
    "index_put_": index_put_,
}
INPLACE: dict[str, Any] = {}
__all__ = ["index_put", "select"]
