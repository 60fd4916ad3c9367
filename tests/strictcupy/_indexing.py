"""CuPy's rules of indexing: device arrays only, integer arrays wrap around, no error is raised."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ._array import Host, fresh, ndarray, on_current_device, stored, view_of

if TYPE_CHECKING:
    from ._ufunc import ufunc

# The dtypes that CuPy's atomics know, by ufunc (its source: `_routines_indexing.pyx`).
_WORDS = "iIlLqQ"
_ATOMIC = {
    "cupy_add": _WORDS + "efd",
    "cupy_subtract": "iI",
    "cupy_maximum": _WORDS + "fd",
    "cupy_minimum": _WORDS + "fd",
    "cupy_bitwise_and": _WORDS,
    "cupy_bitwise_or": _WORDS,
    "cupy_bitwise_xor": _WORDS,
}


def _part(entry: Any) -> Any:
    """One entry of an index as NumPy takes it; whatever becomes an array makes the index advanced."""
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return entry
    if isinstance(entry, ndarray):
        on_current_device(entry)
        if entry.dtype.kind not in "biu":
            raise IndexError(f"arrays used as indices must be of integer or boolean type, not {entry.dtype}")
        return entry._host
    if isinstance(entry, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'> as index: CuPy would copy it silently")
    if isinstance(entry, (bool, np.bool_)):
        return np.asarray(entry)
    if isinstance(entry, (int, np.integer)):
        return int(entry)
    if isinstance(entry, (list, tuple)):
        found = np.asarray(entry)
        if found.size and found.dtype.kind not in "biu":
            raise IndexError(f"lists used as indices must hold integers or booleans, not {found.dtype}")
        return found if found.size else found.astype(np.int32)
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and integer or boolean arrays are valid indices"
    )


def _prepare(shape: tuple[int, ...], index: Any) -> tuple[tuple[Any, ...], list[Host]]:
    """The index for NumPy, ending in an ellipsis so that the result is an array, and its arrays."""
    parts = [_part(e) for e in (index if isinstance(index, tuple) else (index,))]
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)

    def axes(part: Any) -> int:
        if part is None or part is Ellipsis:
            return 0
        return part.ndim if isinstance(part, np.ndarray) and part.dtype.kind == "b" else 1

    spare = len(shape) - sum(map(axes, parts))
    if spare < 0:
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional")
    axis, arrays = 0, []
    for i, part in enumerate(parts):
        if isinstance(part, np.ndarray):
            if part.dtype.kind != "b" and shape[axis]:
                part = parts[i] = part.astype(np.int64) % shape[axis]
            arrays.append(part)
        axis += spare if part is Ellipsis else axes(part)
    return tuple(parts), arrays


def getitem(a: ndarray, index: Any) -> ndarray:
    key, arrays = _prepare(a.shape, index)
    if not arrays:
        return view_of(a, a._host[key])
    on_current_device(a)
    return fresh(np.array(a._host[key]))  # NumPy gives a view for a 0-dim index array


def setitem(a: ndarray, index: Any, value: Any) -> None:
    on_current_device(a)
    key, arrays = _prepare(a.shape, index)
    values = stored(value, a)
    if any(i.dtype.kind != "b" for i in arrays) and values.ndim:
        _refuse_undefined(a._host, key, values)
    a._host[key] = values


def _refuse_undefined(host: Host, key: tuple[Any, ...], values: Host) -> None:
    """On a GPU the last writer is not known: several values for one place are a mistake."""
    targets = np.arange(host.size).reshape(host.shape)[key]
    if np.unique(targets).size == targets.size:
        return
    first, last = np.zeros(host.size, host.dtype), np.zeros(host.size, host.dtype)
    places, wanted = targets.ravel(), np.broadcast_to(values, targets.shape).ravel()
    first[places[::-1]] = wanted[::-1]
    last[places] = wanted
    if first.tobytes() != last.tobytes():
        raise ValueError("an index array names a place twice, with different values: undefined in CuPy")


def scatter(a: ndarray, index: Any, value: Any, operation: "ufunc") -> None:
    """``a[index] = operation(a[index], value)`` where repeated places count every time."""
    on_current_device(a)
    key, arrays = _prepare(a.shape, index)
    if not arrays:
        operation(getitem(a, index), value, getitem(a, index))
        return
    mask_only = len(arrays) == 1 and arrays[0].dtype.kind == "b"
    if not mask_only and a.dtype.char not in _ATOMIC[operation.name]:
        raise TypeError(f"{operation.name}.at does not support {a.dtype} (only {_ATOMIC[operation.name]})")
    with np.errstate(all="ignore"):
        operation._compute.at(a._host, key, stored(value, a))
