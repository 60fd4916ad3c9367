"""The array type: a NumPy array that is out of NumPy's reach, on one of two devices."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cupy._core.flags import Flags  # plain Python object, needs no GPU

from . import _devices
from ._devices import Device

Host = np.ndarray[Any, Any]
SUPPORTED = frozenset("?bhilqBHILQefdFD")
SCALARS = (bool, int, float, complex)


def dtype_of(spec: Any) -> np.dtype:
    """A dtype that CuPy can hold; ValueError for objects, strings, dates, long doubles, big-endian."""
    found = np.dtype(spec)
    if found.char not in SUPPORTED or not found.isnative:
        raise ValueError(f"Unsupported dtype {found}")
    return found


def on_current_device(*arrays: "ndarray") -> None:
    """ValueError for an array elsewhere, as CuPy raises where devices cannot reach each other."""
    current = _devices.current()
    for a in arrays:
        if a._device != current:
            raise ValueError(
                f"The device where the array resides ({a._device}) is different from the current device "
                f"({current}). Peer access is unavailable between these devices."
            )


def is_scalar(value: Any) -> bool:
    """What CuPy takes as a number: exact Python numbers (no subclasses) and NumPy scalars."""
    return type(value) in SCALARS or (isinstance(value, np.generic) and value.dtype.char in SUPPORTED)


def poison(values: Host) -> Host:
    """Fill fresh memory with what nobody wants to read."""
    kind = values.dtype.kind
    values.fill(np.nan if kind in "fc" else True if kind == "b" else np.iinfo(values.dtype).max)
    return values


class MemoryPointer:
    """`array.data`: where the array begins, and on which device."""

    def __init__(self, ptr: int, device_id: int) -> None:
        self.ptr, self.device_id = ptr, device_id

    @property
    def device(self) -> Device:
        return Device(self.device_id)


class ndarray:  # CuPy's name
    """Stands in for `cupy.ndarray`. Ufuncs, reductions and operators are attached by `_methods`."""

    __slots__ = ("__weakref__", "_base", "_device", "_host")

    __array_ufunc__ = None  # NumPy's operators defer to ours, and its ufuncs refuse
    __array_priority__ = 100
    __hash__ = None

    _host: Host
    _device: int
    _base: "ndarray | None"

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> None:
        if memptr is not None or strides is not None:
            raise NotImplementedError("strictcupy.ndarray takes neither memptr nor strides")
        self._host = poison(np.empty(shape, dtype_of(dtype), order))
        self._device = _devices.current()
        self._base = None

    def __array__(self, *args: Any, **kwargs: Any) -> Host:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was given a device array: call its own module's function")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"cupy.ndarray has no {name!r}, or none that strictcupy stands in for")

    # What describes the array

    @property
    def dtype(self) -> np.dtype:
        return self._host.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        reshaped = self._host.reshape(shape)
        if self._host.size and not np.may_share_memory(reshaped, self._host):
            raise AttributeError("incompatible shape for in-place modification")
        self._host = reshaped

    @property
    def ndim(self) -> int:
        return self._host.ndim

    @property
    def size(self) -> int:
        return self._host.size

    @property
    def strides(self) -> tuple[int, ...]:
        return self._host.strides

    @property
    def itemsize(self) -> int:
        return self._host.itemsize

    @property
    def nbytes(self) -> int:
        return self._host.nbytes

    @property
    def flags(self) -> Flags:
        own = self._host.flags
        return Flags(own.c_contiguous, own.f_contiguous, self._base is None)

    @property
    def base(self) -> "ndarray | None":
        return self._base

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self._host.__array_interface__["data"][0], self._device)

    @property
    def device(self) -> Device:
        return Device(self._device)

    # Views

    def view(self, dtype: Any = None, type: Any = None) -> "ndarray":
        if type not in (None, ndarray):
            raise ValueError("Type must be a sub-type of ndarray type")
        return view_of(self, self._host.view() if dtype is None else self._host.view(dtype_of(dtype)))

    @property
    def T(self) -> "ndarray":
        """Below two dimensions the array itself."""
        return self if self.ndim < 2 else view_of(self, self._host.T)

    @property
    def mT(self) -> "ndarray":
        if self.ndim < 2:
            raise ValueError("matrix transpose with ndim < 2 is undefined")
        return view_of(self, self._host.swapaxes(-1, -2))

    @property
    def real(self) -> "ndarray":
        return view_of(self, self._host.real) if self.dtype.kind == "c" else self

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> "ndarray":
        if self.dtype.kind == "c":
            return view_of(self, self._host.imag)
        return fresh(np.zeros_like(self._host))

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("cannot set the imaginary part of a real array")
        self.imag[...] = value

    # Copies

    def astype(
        self, dtype: Any, order: str | None = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> "ndarray":
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        dtype = dtype_of(dtype)
        with np.errstate(all="ignore"):
            cast = self._host.astype(dtype, order=order or "K", copy=bool(copy))
        if cast is self._host:
            return self
        on_current_device(self)
        return fresh(cast)

    def copy(self, order: str = "C") -> "ndarray":
        """A copy on the *current* device, wherever the array is."""
        if self._device == _devices.current() or not self.size:
            return fresh(self._host.copy(order))
        with Device(self._device):
            here = self.astype(self.dtype, order=order, copy=False)
        if not (here.flags.c_contiguous or here.flags.f_contiguous):
            raise NotImplementedError("CuPy cannot copy non-contiguous array between devices.")
        return fresh(here._host.copy("A"))

    def get(
        self, stream: Any = None, order: str = "C", out: Host | None = None, blocking: bool = True
    ) -> Host:
        """A NumPy copy; of a 0-dim array a 0-dim array, not a scalar."""
        if out is None:
            return np.array(self._host, order=order, copy=True)
        if not isinstance(out, np.ndarray) or out.dtype != self.dtype:
            raise TypeError(f"only a numpy.ndarray of {self.dtype} can be obtained from this array")
        if out.shape != self.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual shape: {out.shape}")
        out[...] = self._host
        return out

    def set(self, arr: Host, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype:
            raise TypeError(f"only a numpy.ndarray of {self.dtype} can be set to this array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        self._host[...] = arr

    def fill(self, value: Any) -> None:
        on_current_device(self)
        self._host[...] = stored(value, self)

    def __copy__(self) -> "ndarray":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "ndarray":
        with Device(self._device):
            return self.copy()

    def __reduce__(self) -> tuple[Callable[..., "ndarray"], tuple[Any, ...]]:
        return uploaded, (self.get(order="A"),)

    # Python's view of it

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self._host.item()

    def tolist(self) -> Any:
        return self._host.tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        return self._host.tobytes(order)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator["ndarray"]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __bool__(self) -> bool:
        if not self.size:
            warnings.warn("The truth value of an empty array is ambiguous.", DeprecationWarning, stacklevel=2)
            return False
        if self.size > 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        return bool(self._host.item())

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __complex__(self) -> complex:
        return complex(self._host)

    def __bytes__(self) -> bytes:
        return bytes(self._host)

    def __repr__(self) -> str:
        return repr(self._host)

    def __str__(self) -> str:
        return str(self._host)

    def __format__(self, spec: str) -> str:
        return format(self._host, spec)


def _wrap(host: Host, device: int, base: ndarray | None) -> ndarray:
    dtype_of(host.dtype)
    array = ndarray.__new__(ndarray)
    array._host, array._device, array._base = host, device, base
    return array


def fresh(host: Host) -> ndarray:
    """New memory on the current device."""
    return _wrap(host, _devices.current(), None)


def view_of(source: ndarray, host: Host) -> ndarray:
    """A window on the memory of `source`."""
    return _wrap(host, source._device, source if source._base is None else source._base)


def uploaded(host: Host) -> ndarray:
    """A copy of a host array on the current device."""
    dtype_of(host.dtype)
    return fresh(host.copy("A"))


def stored(value: Any, target: ndarray) -> Any:
    """A number or array on the way into `target`: in its dtype, as a host value."""
    if isinstance(value, ndarray):
        on_current_device(value)
        with np.errstate(all="ignore"):
            return value._host.astype(target.dtype, copy=False)
    if not is_scalar(value):
        raise TypeError(f"Unsupported type {type(value)}: values are numbers or arrays of the same device")
    return np.asarray(value, target.dtype)
