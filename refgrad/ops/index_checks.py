"""What ops that take indices along one dimension refuse, in torch's words and order."""

from __future__ import annotations

from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.devices import Array
from refgrad.dtypes import SCALAR_TYPE
from refgrad.ops.arguments import integer, tensor_argument
from refgrad.ops.limits import invalid_arguments
from refgrad.tensor import Tensor, check_dim

OUT_OF_BOUNDS = "index {} is out of bounds for dimension {} with size {}"
_INDICES = (dtypes.int64, dtypes.int32)


def index_dim(function: str, input: Any, dim: Any, index: Any) -> int:
    """`dim` counted from the front; TypeError unless input and index are tensors and it is an int."""
    ndim = tensor_argument(function, input)._data.ndim
    tensor_argument(function, index, "index", 3)
    return check_dim(integer(function, "dim", dim, 2), ndim)


def as_number(function: str, dim: int, index: Tensor, value: Any) -> Any:
    """A Python number from a number or a 0-dim tensor that does not require grad; TypeError for anything else."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and not value._data.ndim and not value._rg):
        value = value.item()
    if not isinstance(value, (int, float, complex)):
        raise invalid_arguments(function, "(int dim, Tensor index, Tensor or Number)", dim, index, value)
    return value


def up(xp: Any, x: Array) -> Array:
    """0-dim arrays as one element, as torch treats them here."""
    return xp.reshape(x, (1,)) if not x.ndim else x


def outside(xp: Any, index: Array, size: int, low: int = 0) -> int | None:
    """The first index below `low` or not below `size`; None where looking would wait for the device."""
    if not xp.checks_bounds or not index.size or (int(index.min()) >= low and int(index.max()) < size):
        return None
    flat = index.reshape(-1)
    return int(flat[(flat < low) | (flat >= size)][0])


# gather and scatter. An index of no elements may have any shape and dtype; 0-dim tensors count as one element.


def _lengths(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape or (1,)


def check_gather(input: Tensor, dim: int, index: Tensor) -> None:
    """RuntimeError for an index of another dtype, of other dimensions, or larger than the input but along `dim`."""
    if not index._data.size:
        return
    if index.dtype not in _INDICES:
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    sizes, found = _lengths(input._data.shape), _lengths(index._data.shape)
    if len(found) != len(sizes):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for k, (n, m) in enumerate(zip(found, sizes, strict=True)):
        if k != dim and n > m:
            raise RuntimeError(
                f"Size does not match at dimension {k} expected index {list(index.shape)} to be no larger than "
                f"self {list(input.shape)} apart from dimension {dim}"
            )


def check_scatter(input: Tensor, dim: int, index: Tensor, src: Tensor | None) -> None:
    """RuntimeError for dtypes or shapes that do not go together; IndexError for a `src` of too few dimensions."""
    if index._data.size and index.dtype not in _INDICES:
        raise RuntimeError("scatter(): Expected dtype int32/int64 for index")
    if src is not None and src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if not index._data.size:
        return
    sizes, found = _lengths(input._data.shape), _lengths(index._data.shape)
    if len(found) != len(sizes):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    fits = all(n <= m for k, (n, m) in enumerate(zip(found, sizes, strict=True)) if k != dim)
    if src is not None:
        fits = fits and _fits_source(found, _lengths(src._data.shape), bool(src._data.ndim))
        if len(found) != max(src._data.ndim, 1):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    if not fits:
        text = f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from "
        text += f"dimension {dim}"
        if src is not None:
            text += f" and to be no larger size than src {list(src.shape)}"
        raise RuntimeError(text)


def _fits_source(found: tuple[int, ...], source: tuple[int, ...], dims: bool) -> bool:
    """Whether the source has an element for each index; torch looks before it compares the numbers of dimensions."""
    for k, n in enumerate(found):
        if dims and k >= len(source):
            low, high = -len(source), len(source) - 1
            raise IndexError(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {k})")
        if n > (source[k] if dims else 1):
            return False
    return True


# Whole slices: `index` is a vector or a number.


def check_index_select(input: Tensor, index: Tensor) -> None:
    """IndexError for an index of more dimensions; RuntimeError for one of another dtype or for a 0-dim input."""
    if index._data.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    check_only_index(input._data, index._data)
    if index.dtype not in _INDICES:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")


def check_only_index(x: Array, index: Array) -> None:
    """RuntimeError unless a 0-dim array is read at one place."""
    if not x.ndim and index.size != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index.size} value(s)")


def check_index_add(input: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    """IndexError for an index of more dimensions; RuntimeError for dtypes or shapes that do not go together."""
    kind, size, shape = SCALAR_TYPE[index.dtype.name], list(index.shape), source._data.shape
    count = index._data.size
    if index._data.ndim > 1:
        raise IndexError(
            f"index_add_(): Index is supposed to be a vector, but got dim: {len(size)} with type: {kind} and "
            f"size: {size}"
        )
    if index.dtype not in _INDICES:
        raise RuntimeError(f"index_add_(): Expected dtype int32/int64 for index but got: {kind}")
    if source.dtype is not input.dtype:
        names = SCALAR_TYPE[input.dtype.name], SCALAR_TYPE[source.dtype.name]
        raise RuntimeError(f"index_add_(): self ({names[0]}) and source ({names[1]}) must have the same scalar type")
    if dim and dim >= len(shape):
        raise RuntimeError(
            f"index_add_(): Indexing dim {dim} is out of bounds of the source tensor with dim {len(shape)}"
        )
    if not shape and count != 1:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    if shape and count != shape[dim]:
        raise RuntimeError(
            f"index_add_(): Number of indices ({count}) should be equal to source.size(dim): ({shape[dim]}), "
            f"for dim: {dim}"
        )
    if len(shape) != input._data.ndim or _slice(shape, dim) != _slice(input._data.shape, dim):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(input.shape)} source.shape = {list(shape)}"
        )


def _slice(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return shape[:dim] + shape[dim + 1 :]


def check_index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    """IndexError or RuntimeError for an index, a dtype or a shape that does not fit, as torch has them."""
    count, target, given = index._data.size, input._data.shape, source._data.shape
    if index._data.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index._data.ndim})")
    if not given and count != 1:
        raise IndexError(f"index_copy_(): When source is scalar, index should have one element (got {count})")
    if given and target and len(given) != len(target):
        raise IndexError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must match. Source "
            f"dimensionality ({len(given)}), destination dimensionality ({len(target)})"
        )
    if index.dtype is not dtypes.int64:
        kind = SCALAR_TYPE[index.dtype.name]
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {kind}")
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, but got (self) "
            f"{SCALAR_TYPE[input.dtype.name]} and (source) {SCALAR_TYPE[source.dtype.name]}"
        )
    slices = _slice(target, dim), _slice(given, dim)
    if slices[0] != slices[1]:
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination slice shape: "
            f"{' '.join(map(str, slices[0]))} at dimension {dim} and source slice shape: "
            f"{' '.join(map(str, slices[1]))} at dimension 0."
        )
    if given and count != given[dim]:
        raise IndexError(
            f"index_copy_(): Number of indices ({count}) should be equal to source.size(dim) ({given[dim]})"
        )


def check_index_fill(input: Tensor, index: Tensor, value: Any) -> None:
    """IndexError for an index that is not int64; RuntimeError for a value of dimensions, or one that is complex."""
    if isinstance(value, Tensor) and value._data.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    if index.dtype is not dtypes.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if not input.is_complex() and (value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)):
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")


def check_not_empty(x: Array, dim: int, count: int) -> None:
    """RuntimeError for slices written into an array without any, where torch steps over memory that is not there."""
    sizes = [count if k == dim else n for k, n in enumerate(x.shape)]
    if x.size or 0 in sizes:
        return
    strides, step = [0] * x.ndim, 1
    for k in reversed(range(x.ndim)):
        strides[k] = 0 if k == dim else step
        step *= max(x.shape[k], 1)
    width = x.dtype.itemsize
    needed = (1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))) * width
    raise RuntimeError(
        f"setStorage: sizes {sizes}, strides {strides}, storage offset 0, and itemsize {width} requiring a storage "
        f"size of {needed} are out of bounds for storage of size 0"
    )
