"""Reading and writing along one dimension at integer places: gather, scatter, and their kin."""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.devices import MODULES, Array
from refgrad.layout import copy_order
from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.inplace import deprecated_on_expanded, inplace
from refgrad.ops.record import Op
from refgrad.tensor import Tensor, check_dim, wrap

__all__ = [
    "argwhere",
    "gather",
    "index_add",
    "index_copy",
    "index_fill",
    "index_select",
    "masked_select",
    "nonzero",
    "scatter",
    "scatter_add",
    "take",
    "take_along_dim",
]


def _bounded(xp: Any, index: Array, size: int, dim: int) -> None:
    """Raise for an index outside; on a GPU looking would wait for the device."""
    if xp.checks_bounds and index.size:
        for worst in (int(index.min()), int(index.max())):
            if not 0 <= worst < size:
                raise RuntimeError(f"index {worst} is out of bounds for dimension {dim} with size {size}")


def _check_index(name: str, input: Tensor, index: Tensor) -> None:
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    if max(index._data.ndim, 1) != max(input._data.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")


def _grid(xp: Any, index: Array, dim: int) -> tuple[Array, ...]:
    """The coordinates that an index array along `dim` names, ready for subscripts."""
    where = []
    for k, n in enumerate(index.shape):
        shape = [1] * index.ndim
        shape[k] = n
        where.append(index if k == dim else xp.reshape(xp.arange(n), shape))
    return tuple(where)


def _up(xp: Any, x: Array) -> Array:
    """0-dim arrays as one element, as torch treats them here."""
    return xp.reshape(x, (1,)) if not x.ndim else x


# gather


def _gather(xp: Any, x: Any, index: Any, dim: int) -> Any:
    shape = index.shape
    x, index = _up(xp, x), _up(xp, index)
    _bounded(xp, index, x.shape[dim], dim)
    return xp.reshape(xp.array(x[_grid(xp, index, dim)], order="C", copy=True), shape)


_gather_op = Op(
    "gather",
    _gather,
    {  # the input is saved without need, as in torch, which so sees that it was modified
        "self": lambda F, g, self, self_shape, index, dim: F.scatter_add(
            F.new_zeros(g, shape=self_shape), index, g, dim=dim
        )
    },
    inputs=("self", "index"),
    jvp="linear",
)


def _dim(function: str, input: Any, dim: Any, index: Any) -> int:
    """`dim` counted from the front; TypeError unless input and index are tensors and it is an int."""
    ndim = tensor_argument(function, input)._data.ndim
    tensor_argument(function, index, "index", 3)
    return check_dim(integer(function, "dim", dim, 2), ndim)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on; of the shape of `index`."""
    dim = _dim("gather", input, dim, index)
    _check_index("gather", input, index)
    for k, (n, m) in enumerate(zip(index._data.shape, input._data.shape, strict=False)):
        if k != dim and n > m:
            raise RuntimeError(
                f"Size does not match at dimension {k} expected index {list(index.shape)} to be no larger than "
                f"self {list(input.shape)} apart from dimension {dim}"
            )
    return _gather_op(input, index, dim=dim)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with indices that broadcast against `input`; over the flattened input without `dim`."""
    from refgrad.ops.shape import broadcast_to, view

    if dim is None:
        return gather(view(input, (-1,)), 0, view(indices, (-1,)))
    dim = check_dim(dim, input._data.ndim)
    if input._data.ndim != indices._data.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input._data.ndim} dimensions for input, and {indices._data.ndim} dimensions for indices"
        )
    common = [max(a, b) if 0 not in (a, b) else 0 for a, b in zip(input.shape, indices.shape, strict=True)]
    wide, places = list(common), list(common)
    wide[dim], places[dim] = input.shape[dim], indices.shape[dim]
    return gather(broadcast_to(input, wide), dim, broadcast_to(indices, places).clone())


# scatter


def _scatter_add(xp: Any, x: Any, index: Any, src: Any, dim: int) -> Any:
    out = xp.array(x, order="C", copy=True)
    target, index, src = _up(xp, out), _up(xp, index), _up(xp, src)
    _bounded(xp, index, target.shape[dim], dim)
    xp.scatter_add(target, _grid(xp, index, dim), src[tuple(slice(n) for n in index.shape)])
    return xp.reshape(target, out.shape)


_scatter_add_op = Op(
    "scatter_add",
    _scatter_add,
    {
        "self": lambda F, g: g,
        "src": lambda F, g, index, dim: F.gather(g, index, dim=dim),  # refused where `src` is larger, as in torch
    },
    inputs=("self", "index", "src"),
    jvp="linear",
)


def _check_scatter(input: Tensor, dim: int, index: Tensor, src: Tensor) -> None:
    if src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    for k, (n, m, s) in enumerate(zip(index.shape, input.shape, src.shape, strict=False)):
        if (k != dim and n > m) or n > s:
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from "
                f"dimension {dim} and to be no larger size than src {list(src.shape)}"
            )


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of `input` with ``out[index[i][j]][j] += src[i][j]`` for dim 0, and so on."""
    dim = _dim("scatter_add", input, dim, index)
    _check_index("scatter", input, index)
    _check_scatter(input, dim, index, src)
    return _scatter_add_op(input, index, src, dim=dim)


def _scatter(xp: Any, x: Any, index: Any, src: Any, dim: int) -> Any:
    out = xp.array(x, order="C", copy=True)
    target, index = _up(xp, out), _up(xp, index)
    _bounded(xp, index, target.shape[dim], dim)
    if getattr(src, "ndim", 0):
        src = src[tuple(slice(n) for n in index.shape)]
    target[_grid(xp, index, dim)] = src
    return xp.reshape(target, out.shape)


_scatter_op = Op(
    "scatter",
    _scatter,
    {
        "self": lambda F, g, index, dim: F.scatter_value(g, index, dim=dim, value=0),
        "src": lambda F, g, index, dim: F.gather(g, index, dim=dim),  # refused where `src` is larger, as in torch
    },
    inputs=("self", "index", "src"),
    jvp="linear",
)
_scatter_value = Op(
    "scatter_value",
    lambda xp, x, index, dim, value: _scatter(xp, x, index, value, dim),
    {"self": lambda F, g, index, dim: F.scatter_value(g, index, dim=dim, value=0)},
    inputs=("self", "index"),
    node="ScatterBackward1",
    jvp="elementwise",
)


def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None) -> Tensor:
    """A copy of `input` with ``out[index[i][j]][j] = src[i][j]`` for dim 0, and so on; or one value."""
    dim = _dim("scatter", input, dim, index)
    _check_index("scatter", input, index)
    source = value if src is None else src
    if isinstance(source, Tensor):
        _check_scatter(input, dim, index, source)
        return _scatter_op(input, index, source, dim=dim)
    return _scatter_value(input, index, dim=dim, value=source)


# Whole slices: index_select, index_add, index_copy, index_fill. `index` is a vector.


def _along(dim: int, index: Any) -> tuple[Any, ...]:
    return (slice(None),) * dim + (index,)


def _vector(xp: Any, x: Any, index: Any, dim: int, error: type[Exception], text: str) -> tuple[Any, Any]:
    x, index = _up(xp, x), _up(xp, index)
    if xp.checks_bounds and index.size:
        for worst in (int(index.min()), int(index.max())):
            if not 0 <= worst < x.shape[dim]:
                raise error(text.format(worst=worst, dim=dim, size=x.shape[dim]))
    return x, index


_OUT_OF_BOUNDS = "index {worst} is out of bounds for dimension {dim} with size {size}"


def _index_select(xp: Any, x: Any, index: Any, dim: int) -> Any:
    whole, places = _vector(xp, x, index, dim, IndexError, "index out of range in self")
    out = xp.array(whole[_along(dim, places)], order="C", copy=True)
    return out if x.ndim else xp.reshape(out, ())


_index_select_op = Op(
    "index_select",
    _index_select,
    {
        "self": lambda F, g, self_shape, index, dim: F.index_add(
            F.new_zeros(g, shape=self_shape), index, g, dim=dim, alpha=1
        )
    },
    inputs=("self", "index"),
    jvp="linear",
)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of `input` along `dim` that a vector of integers names, as a copy."""
    dim = _dim("index_select", input, dim, index)
    if index._data.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    return _index_select_op(input, index, dim=dim)


def _index_add(xp: Any, x: Any, index: Any, source: Any, dim: int, alpha: Any) -> Any:
    out = xp.array(x, order="C", copy=True)
    target, places = _vector(xp, out, index, dim, RuntimeError, _OUT_OF_BOUNDS)
    values = _up(xp, source)
    xp.scatter_add(target, _along(dim, places), values if alpha == 1 else values * alpha)
    return xp.reshape(target, out.shape)


_index_add_op = Op(
    "index_add",
    _index_add,
    {
        "self": lambda F, g: g,
        "source": lambda F, g, source, source_shape, index, dim, alpha: F.reshape(  # saved as `self` of gather
            F.index_select(g, index, dim=dim) * alpha, shape=source_shape
        ),
    },
    inputs=("self", "index", "source"),
    jvp="linear",
)


def _check_slices(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    if source.dtype is not input.dtype:
        names = dtypes.SCALAR_TYPE[input.dtype.name], dtypes.SCALAR_TYPE[source.dtype.name]
        if name == "index_copy_":
            told = f"self and source expected to have the same dtype, but got (self) {names[0]} and (source) {names[1]}"
        else:
            told = f"self ({names[0]}) and source ({names[1]}) must have the same scalar type"
        raise RuntimeError(f"{name}(): {told}")
    size = source.shape[dim] if source._data.ndim else 1
    if index.numel() != size:
        raise RuntimeError(
            f"{name}(): Number of indices ({index.numel()}) should be equal to source.size(dim): ({size}), "
            f"for dim: {dim}"
        )


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy of `input` with the slices of `source`, times `alpha`, added at the places of `index`."""
    dim = _dim("index_add", input, dim, index)
    _check_slices("index_add_", input, dim, index, source)
    found, wanted = list(source._data.shape), list(input._data.shape)
    if found[:dim] + found[dim + 1 :] != wanted[:dim] + wanted[dim + 1 :] or len(found) != len(wanted):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{wanted} source.shape = {found}"
        )
    return _index_add_op(input, index, source, dim=dim, alpha=alpha)


def _index_copy(xp: Any, x: Any, index: Any, source: Any, dim: int) -> Any:
    out = xp.array(x, order="C", copy=True)
    target, places = _vector(xp, out, index, dim, RuntimeError, _OUT_OF_BOUNDS)
    target[_along(dim, places)] = source
    return xp.reshape(target, out.shape)


_index_copy_op = Op(
    "index_copy",
    _index_copy,
    {
        "self": lambda F, g, index, dim: F.index_fill_number(g, index, value=0.0, dim=dim),
        "source": lambda F, g, source_shape, index, dim: F.reshape(
            F.index_select(g, index, dim=dim), shape=source_shape
        ),
    },
    inputs=("self", "index", "source"),
    jvp="linear",
)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of `input` with the slices of `source` written at the places of `index`."""
    dim = _dim("index_copy", input, dim, index)
    _check_slices("index_copy_", input, dim, index, source)
    return _index_copy_op(input, index, source, dim=dim)


def _index_fill(xp: Any, x: Any, index: Any, value: Any, dim: int) -> Any:
    out = xp.array(x, order=copy_order(x), copy=True)
    target, places = _vector(xp, out, index, dim, IndexError, _OUT_OF_BOUNDS)
    target[_along(dim, places)] = value
    return xp.reshape(target, ()) if not out.ndim else target


_index_fill_tensor = Op(
    "index_fill",
    _index_fill,
    {
        "self": lambda F, g, index, dim: F.index_fill_number(g, index, value=0.0, dim=dim),
        "value": lambda F, g, index, dim: F.sum_to(F.index_select(g, index, dim=dim), shape=()),
    },
    inputs=("self", "index", "value"),
    node="IndexFillBackward1",
    jvp="linear",
)
_index_fill_number = Op(
    "index_fill_number",
    lambda xp, x, index, value, dim: _index_fill(xp, x, index, value, dim),
    {"self": lambda F, g, index, dim: F.index_fill_number(g, index, value=0.0, dim=dim)},
    inputs=("self", "index"),
    node="IndexFillBackward0",
    jvp="elementwise",
)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of `input` with one value written at the places of `index`."""
    dim = _dim("index_fill", input, dim, index)
    if (value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)) and not input.is_complex():
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    if isinstance(value, Tensor):
        return _index_fill_tensor(input, index, value, dim=dim)
    return _index_fill_number(input, index, value=value, dim=dim)


# By flat position and by mask


def _take(xp: Any, x: Any, index: Any) -> Any:
    return xp.array(xp.reshape(x, (-1,))[index], copy=True)


_take_op = Op(
    "take",
    _take,
    {
        "self": lambda F, g, self_shape, index: F.reshape(
            F.put_add(F.reshape(F.new_zeros(g, shape=self_shape), shape=(-1,)), index, g), shape=self_shape
        )
    },
    inputs=("self", "index"),
    jvp="linear",
)


def _put_add(xp: Any, x: Any, index: Any, source: Any) -> Any:
    out = xp.array(x, order="C", copy=True)
    xp.scatter_add(out, index, source)
    return out


Op(
    "put_add",
    _put_add,
    {"self": lambda F, g: g, "source": lambda F, g, index: F.take(g, index)},
    inputs=("self", "index", "source"),
    node="PutBackward0",
    jvp="linear",
)


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at flat positions; of the shape of `index`."""
    tensor_argument("take", input)
    if tensor_argument("take", index, "index", 2).dtype is not dtypes.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {dtypes.SCALAR_TYPE[index.dtype.name]}")
    size = input.numel()
    if MODULES[type(index._data)].checks_bounds and index.numel():
        for worst in (int(index._data.min()), int(index._data.max())):
            if not -size <= worst < size:
                raise IndexError(f"out of range: tried to access index {worst} on a tensor of {size} elements.")
    return _take_op(input, index)


_take_op.public = take


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The coordinates of the elements that are not zero, a row each; or a vector for each dimension."""
    data = tensor_argument("nonzero", input)._data
    module = MODULES[type(data)]
    found = module.nonzero(module.reshape(data, (1,)) if not data.ndim else data)
    if as_tuple:
        return tuple([wrap(module.ascontiguousarray(i)) for i in found])
    if not data.ndim:
        return wrap(module.zeros((len(found[0]), 0), "int64"))
    return wrap(module.stack(found, axis=0).T)


def argwhere(input: Tensor) -> Tensor:
    """The coordinates of the elements that are not zero, a row each."""
    return nonzero(input)


_masked_select = Op(
    "masked_select",
    lambda xp, x, mask: xp.array(xp.broadcast_to(x, mask.shape)[mask], copy=True),
    {
        "self": lambda F, g, self_shape, mask: F.sum_to(
            F.assign_mask(F.new_zeros(g, shape=mask.shape), mask, g), shape=self_shape
        )
    },
    inputs=("self", "mask"),
    jvp="linear",
)


def _assign_mask(xp: Any, x: Any, mask: Any, values: Any) -> Any:
    out = xp.array(x, order="C", copy=True)
    out[mask] = values
    return out


Op(
    "assign_mask",
    _assign_mask,
    {"values": lambda F, g, mask: F.masked_select(g, mask)},
    inputs=("self", "mask", "values"),
    node="MaskedScatterBackward0",
)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where a mask is true, as a vector; the two broadcast."""
    tensor_argument("masked_select", input)
    if tensor_argument("masked_select", mask, "mask", 2).dtype is not dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    from refgrad.ops.grids import broadcast_tensors

    wide, places = broadcast_tensors(input, mask)
    return _masked_select(input if wide.shape == input.shape else wide, places)


METHODS = {
    "gather": gather,
    "scatter": scatter,
    "scatter_add": scatter_add,
    "index_select": index_select,
    "index_add": index_add,
    "index_copy": index_copy,
    "index_fill": index_fill,
    "take": take,
    "take_along_dim": take_along_dim,
    "nonzero": nonzero,
    "argwhere": argwhere,
    "masked_select": masked_select,
    "index_fill_": inplace(
        index_fill,
        "index_fill_",
        stretched=deprecated_on_expanded(
            "index_fill_", " This also applies to advanced indexing e.g. tensor[mask] = scalar"
        ),
    ),
}
INPLACE = {
    "scatter_": scatter,
    "scatter_add_": scatter_add,
    "index_add_": index_add,
    "index_copy_": index_copy,
}
