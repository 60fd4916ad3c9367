"""The one place that knows which array package serves which device.

Kernels of ops are written against an `ArrayModule`: it forwards every name to NumPy or CuPy,
and adds the few things that the two spell differently. The engine finds it by the type of an
array (`MODULES[type(array)]`), so a tensor needs no device field of its own.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.special

Array = Any
Kernel = Callable[..., Any]


_DEVICE = re.compile(r"([a-zA-Z_]+)(?::(0|[1-9][0-9]*))?")


class device:
    """Where a tensor lives: ``device("cpu")``, ``device("cuda:1")``, ``device("cuda", 1)``; it does not change.

    Raises TypeError for arguments of other types, RuntimeError for a text that names no device here.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: str | device | int, index: int | None = None) -> None:
        if index is not None:
            if not isinstance(type, str):
                raise TypeError(f"device(): argument 'type' (position 1) must be str, not {_type_name(type)}")
            if not isinstance(index, int) or isinstance(index, bool):
                raise TypeError(f"device(): argument 'index' (position 2) must be int, not {_type_name(index)}")
            if index < 0:
                raise RuntimeError("Device index must not be negative")
        if isinstance(type, device):
            self._set(type.type, type.index)
        elif isinstance(type, int) and not isinstance(type, bool):
            self._set("cuda", type)
        elif isinstance(type, (str, bytes)):
            self._set(*_parsed(type if isinstance(type, str) else type.decode(), index))
        else:
            raise TypeError(
                f"device() received an invalid combination of arguments - got ({_type_name(type)}), but expected one "
                "of:\n * (torch.device device)\n * (str type, int index = -1)"
            )

    def _set(self, type: str, index: int | None) -> None:
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "index", index)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attribute '{name}' of 'torch.device' objects is not writable")

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type,) if self.index is None else (self.type, self.index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else (
            f"device(type='{self.type}', index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


def _type_name(value: Any) -> str:
    return "torch.device" if isinstance(value, device) else type(value).__name__


def _parsed(text: str, index: int | None) -> tuple[str, int | None]:
    """The type and the index in the text of a device, with an index that was given beside it."""
    if not text:
        raise RuntimeError("Device string must not be empty")
    found = _DEVICE.fullmatch(text)
    if found is None:
        raise RuntimeError(f"Invalid device string: '{text}'")
    type, number = found.groups()
    if type not in ("cpu", "cuda"):
        raise RuntimeError(f"Expected one of cpu, cuda device type at start of device string: {type}")
    if number is None:
        return type, index
    if index is not None:
        raise RuntimeError(
            f"type (string) must not include an index because index was passed explicitly: {text}"
        )
    return type, int(number)


class ArrayModule:
    """An array package, as kernels see it. `special` holds its special functions.

    `checks_bounds` tells whether looking at the values of an index is free: on a GPU it would wait
    for the device, so there indices are not checked, as in CUDA kernels.
    """

    checks_bounds = True

    def __init__(self, package: Any, special: Any) -> None:
        self.package = package
        self.array_type: type = package.ndarray
        self.special = special

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.package, name)
        setattr(self, name, found)  # the next look-up is a plain attribute
        return found

    def bind(self, kernel: Kernel) -> Kernel:
        """`kernel` with this module as its first argument."""
        return functools.partial(kernel, self)

    def guard(self, function: Kernel) -> Kernel:
        """A function of the package itself, ready to be called on arrays."""
        return function

    def use_device_of(self, array: Array) -> None:
        """Make the device of `array` the current one of this thread, where there are several."""

    def device_of(self, array: Array) -> device:
        raise NotImplementedError

    def from_host(self, array: np.ndarray[Any, Any], where: device) -> Array:
        """A copy of a NumPy array on `where`; on the CPU the array itself."""
        raise NotImplementedError

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        """The values as a NumPy array: on the CPU the very same one."""
        raise NotImplementedError

    def copy_to(self, array: Array, where: device) -> Array:
        """A copy on another device of this module."""
        raise NotImplementedError

    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        """``target[index] += values``, where repeated indices add up."""
        raise NotImplementedError

    def address(self, array: Array) -> int:
        """Where in memory the first element is, in bytes."""
        raise NotImplementedError


class _NumPy(ArrayModule):
    def __init__(self) -> None:
        super().__init__(np, scipy.special)
        self._cpu = device("cpu")

    def device_of(self, array: Array) -> device:
        return self._cpu

    def from_host(self, array: np.ndarray[Any, Any], where: device) -> Array:
        return array

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        return array

    def copy_to(self, array: Array, where: device) -> Array:
        return array.copy()

    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        np.add.at(target, index, values)

    def address(self, array: Array) -> int:
        return int(array.__array_interface__["data"][0])


class CudaModule(ArrayModule):
    """CuPy, or a package with its interface. Array code runs on the device of its operands."""

    checks_bounds = False

    def bind(self, kernel: Kernel) -> Kernel:
        return self.guard(functools.partial(kernel, self))

    def guard(self, function: Kernel) -> Kernel:
        array: Any = self.array_type
        on = self.package.cuda.Device

        def on_device(*args: Any, **kwargs: Any) -> Any:
            where: device | None = None
            for operand in args:
                group: Iterable[Any] = operand if type(operand) in (tuple, list) else (operand,)
                for a in group:
                    if type(a) is np.ndarray:
                        raise RuntimeError(
                            "Expected all tensors to be on the same device, but found at least two "
                            f"devices, {where or 'cuda:0'} and cpu!"
                        )
                    if isinstance(a, array):
                        if where is not None and a.device.id != where.index:
                            raise RuntimeError(
                                "Expected all tensors to be on the same device, but found at least two "
                                f"devices, {where} and cuda:{a.device.id}!"
                            )
                        where = device("cuda", a.device.id)
            if where is None:
                return function(*args, **kwargs)
            with on(where.index):
                return function(*args, **kwargs)

        return on_device

    def use_device_of(self, array: Array) -> None:
        self.package.cuda.Device(array.device.id).use()

    def device_of(self, array: Array) -> device:
        return device("cuda", array.device.id)

    def from_host(self, array: np.ndarray[Any, Any], where: device) -> Array:
        with self.package.cuda.Device(where.index or 0):
            return self.package.asarray(array)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        return self.package.asnumpy(array)

    def copy_to(self, array: Array, where: device) -> Array:
        with self.package.cuda.Device(where.index or 0):
            return array.copy()  # row-major: CuPy copies no other layout between devices

    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        if target.dtype.kind == "c":  # which `add.at` does not take
            self.package.add.at(target.real, index, values.real)
            self.package.add.at(target.imag, index, values.imag)
        else:
            self.package.add.at(target, index, values)

    def address(self, array: Array) -> int:
        return int(array.data.ptr)


NUMPY = _NumPy()
CPU = device("cpu")
MODULES: dict[type, ArrayModule] = {np.ndarray: NUMPY}
_cuda: CudaModule | None = None


def _load_cupy() -> CudaModule:
    try:
        package = importlib.import_module("cupy")
        count = package.cuda.runtime.getDeviceCount()
    except ImportError:
        raise AssertionError(
            "Torch not compiled with CUDA enabled: refgrad needs CuPy for device 'cuda'; "
            "install it with: pip install 'refgrad[cuda]'"
        ) from None
    except Exception as error:  # cupy raises its own CUDARuntimeError where no driver is found
        raise RuntimeError(f"No CUDA GPUs are available ({error})") from None
    if not count:
        raise RuntimeError("No CUDA GPUs are available")
    return CudaModule(package, importlib.import_module("cupyx.scipy.special"))


def module_for(where: device) -> ArrayModule:
    """The array module that serves a device.

    Raises AssertionError when CuPy is missing and RuntimeError when there is no GPU, as torch does.
    """
    global _cuda
    if where.type == "cpu":
        return NUMPY
    if _cuda is None:
        _cuda = _load_cupy()
        MODULES[_cuda.array_type] = _cuda
    return _cuda


@contextmanager
def current_device_kept() -> Iterator[None]:
    """Leave the current device as it was found."""
    if _cuda is None:
        yield
        return
    found = _cuda.package.cuda.Device()
    try:
        yield
    finally:
        found.use()


@contextmanager
def cuda_served_by(module: CudaModule) -> Iterator[None]:
    """Let `module` serve ``cuda`` devices for a while: how tests put a stand-in for CuPy there."""
    global _cuda
    before = _cuda
    _cuda = module
    MODULES[module.array_type] = module
    try:
        yield
    finally:
        _cuda = before
        if before is None or before.array_type is not module.array_type:
            del MODULES[module.array_type]


def as_device(where: str | device | int | None) -> device:
    """A device object from what users write; None means the CPU."""
    if where is None:
        return CPU
    return where if isinstance(where, device) else device(where)
