"""Reading and writing along one dimension at integer places: gather, scatter, and their kin."""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.devices import MODULES, Array
from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.index_checks import OUT_OF_BOUNDS, as_number, check_gather, check_scatter, index_dim, outside, up
from refgrad.ops.inplace import deprecated_on_expanded, inplace
from refgrad.ops.making import element
from refgrad.ops.record import Op
from refgrad.ops.slices import index_add, index_copy, index_fill, index_filled, index_select
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


def check_bounds(xp: Any, index: Array, size: int, dim: int) -> None:
    """Raise for an index outside; on a GPU looking would wait for the device."""
    found = outside(xp, index, size)
    if found is not None:
        raise RuntimeError(OUT_OF_BOUNDS.format(found, dim, size))


def grid_of(xp: Any, index: Array, dim: int) -> tuple[Array, ...]:
    """The coordinates that an index array along `dim` names, ready for subscripts."""
    where = []
    for k, n in enumerate(index.shape):
        shape = [1] * index.ndim
        shape[k] = n
        where.append(index if k == dim else xp.reshape(xp.arange(n), shape))
    return tuple(where)


# gather


def _gather(xp: Any, x: Any, index: Any, dim: int) -> Any:
    shape = index.shape
    if not index.size:
        return xp.zeros(shape, x.dtype)
    x, index = up(xp, x), up(xp, index)
    check_bounds(xp, index, x.shape[dim], dim)
    return xp.reshape(xp.array(x[grid_of(xp, index, dim)], order="C", copy=True), shape)


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


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on; of the shape of `index`."""
    dim = index_dim("gather", input, dim, index)
    check_gather(input, dim, index)
    return _gather_op(input, index, dim=dim)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with indices that broadcast against `input`; over the flattened input without `dim`."""
    from refgrad.ops.shape import broadcast_to, view

    tensor_argument("take_along_dim", input)
    tensor_argument("take_along_dim", indices, "indices", 2)
    if dim is None:
        return gather(view(input, (-1,)), 0, view(indices, (-1,)))
    dim = integer("take_along_dim", "dim", dim, 3)
    ndim = input._data.ndim
    if ndim != indices._data.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{ndim} dimensions for input, and {indices._data.ndim} dimensions for indices"
        )
    if indices.dtype is not dtypes.int64:
        kind = dtypes.SCALAR_TYPE[indices.dtype.name]
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {kind}")
    dim = check_dim(dim, ndim)
    if not ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    common = _common_but(dim, input._data.shape, indices._data.shape)
    size, count = input._data.shape[dim], indices._data.shape[dim]
    xp = MODULES[type(indices._data)]
    places = xp.ascontiguousarray(xp.broadcast_to(indices._data, (*common[:dim], count, *common[dim + 1 :])))
    if not size and places.size:
        raise RuntimeError("ZeroDivisionError")
    whole = broadcast_to(input, (*common[:dim], size, *common[dim + 1 :]))
    return gather(whole, dim, wrap(places % max(size, 1)))  # in torch, too, any integer is a place


def _common_but(dim: int, a: tuple[int, ...], b: tuple[int, ...]) -> list[int]:
    """What two shapes of one length broadcast to, whatever they have at `dim`; RuntimeError if they do not."""
    common = [m if n == 1 else n for n, m in zip(a, b, strict=True)]
    for k in reversed(range(len(a))):
        if k != dim and a[k] != b[k] and 1 not in (a[k], b[k]):
            raise RuntimeError(
                f"The size of tensor a ({a[k]}) must match the size of tensor b ({b[k]}) at non-singleton dimension {k}"
            )
    return common


# scatter


def _scatter_add(xp: Any, x: Any, index: Any, src: Any, dim: int) -> Any:
    out = xp.array(x, order="C", copy=True)
    if not index.size:
        return out
    target, index, src = up(xp, out), up(xp, index), up(xp, src)
    check_bounds(xp, index, target.shape[dim], dim)
    xp.scatter_add(target, grid_of(xp, index, dim), src[tuple(slice(n) for n in index.shape)])
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


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of `input` with ``out[index[i][j]][j] += src[i][j]`` for dim 0, and so on."""
    dim = index_dim("scatter_add", input, dim, index)
    check_scatter(input, dim, index, tensor_argument("scatter_add", src, "src", 4))
    return _scatter_add_op(input, index, src, dim=dim)


def _scatter(xp: Any, x: Any, index: Any, src: Any, dim: int) -> Any:
    out = xp.array(x, order="C", copy=True)
    if not index.size:
        return out
    target, index = up(xp, out), up(xp, index)
    check_bounds(xp, index, target.shape[dim], dim)
    if getattr(src, "ndim", 0):
        src = src[tuple(slice(n) for n in index.shape)]
    target[grid_of(xp, index, dim)] = src
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
    dim = index_dim("scatter", input, dim, index)
    if isinstance(src, Tensor):
        check_scatter(input, dim, index, src)
        return _scatter_op(input, index, src, dim=dim)
    number = as_number("scatter", dim, index, value if src is None else src)
    check_scatter(input, dim, index, None)
    return _scatter_value(input, index, dim=dim, value=element(number, input.dtype))


# By flat position and by mask


def _take(xp: Any, x: Any, index: Any) -> Any:
    return xp.array(xp.reshape(x, (-1,))[index], copy=True)


_take_op = Op(
    "take",
    _take,
    {
        # torch saves all of `self`: a write to it is an error
        "self": lambda F, g, self, index: F.reshape(
            F.put_add(F.reshape(F.new_zeros(g, shape=tuple(self.shape)), shape=(-1,)), index, g),
            shape=tuple(self.shape),
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
    if not size and index._data.size:
        raise IndexError("take(): tried to take from an empty tensor")
    found = outside(MODULES[type(index._data)], index._data, size, -size)
    if found is not None:
        raise IndexError(f"out of range: tried to access index {found} on a tensor of {size} elements.")
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

    places, wide = broadcast_tensors(mask, input)
    return _masked_select(input if wide.shape == input.shape else wide, places)


_index_fill_ = inplace(
    index_filled,
    "index_fill_",
    stretched=deprecated_on_expanded(
        "index_fill_", " This also applies to advanced indexing e.g. tensor[mask] = scalar"
    ),
    overlap="any",
    number_at=2,
)


def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """In-place form of `index_fill`."""
    return _index_fill_(self, dim, index, value)


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
    "index_fill_": index_fill_,
    "scatter_": inplace(scatter, "scatter_", overlap="any"),
    "scatter_add_": inplace(scatter_add, "scatter_add_", overlap="any"),
    "index_add_": inplace(index_add, "index_add_", overlap="any"),
    "index_copy_": inplace(index_copy, "index_copy_", overlap="any"),
}
INPLACE: dict[str, Any] = {}
