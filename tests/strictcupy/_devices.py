"""Two pretended devices, and the part of `cupy.cuda` that chooses between them."""

import threading
from typing import Any

from . import _real

COUNT = 2


class CUDARuntimeError(RuntimeError):
    """As CuPy's, for a device that is not there."""


class _State(threading.local):
    device = 0


_state = _State()


class Device:
    """One of the two devices; ``with Device(1):`` and ``Device(1).use()`` make it the current one."""

    def __init__(self, device: "int | Device | None" = None) -> None:
        self.id = _state.device if device is None else int(device)
        self._before: list[int] = []

    def use(self) -> "Device":
        set_device(self.id)
        return self

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def __enter__(self) -> "Device":
        self._before.append(_state.device)
        return self.use()

    def __exit__(self, *error: object) -> None:
        set_device(self._before.pop())

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __repr__(self) -> str:
        return f"<strictcupy Device {self.id}>"


def current() -> int:
    return _state.device


def set_device(number: int) -> None:
    if not 0 <= number < COUNT:
        raise CUDARuntimeError(f"cudaErrorInvalidDevice: invalid device ordinal {number}, there are {COUNT}")
    _state.device = number


def _runtime(name: str, found: Any) -> Any:
    raise _real.refuse(_real.cupy.cuda.runtime, name)


def _cuda(name: str, found: Any) -> Any:
    raise _real.refuse(_real.cupy.cuda, name)


runtime = _real.Mirror(
    _real.cupy.cuda.runtime,
    _runtime,
    CUDARuntimeError=CUDARuntimeError,
    deviceSynchronize=lambda: None,
    getDevice=current,
    getDeviceCount=lambda: COUNT,
    setDevice=set_device,
)
cuda = _real.Mirror(
    _real.cupy.cuda,
    _cuda,
    Device=Device,
    get_device_id=current,
    is_available=lambda: True,
    runtime=runtime,
)
