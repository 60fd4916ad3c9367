"""Copies of tensors by Python's protocols: `copy`, `deepcopy` and `pickle`.

A copy is a leaf. It keeps the memory layout, and whether it requires grad, but no hooks; what two tensors
share, their deep copies share as well.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from refgrad.counters import bump, fresh
from refgrad.devices import MODULES, as_device, module_for
from refgrad.layout import is_dense
from refgrad.tensor import Tensor

__all__: list[str] = []


def _attributes(tensor: Tensor) -> dict[str, Any]:
    """What a user has set on a tensor, beside its own state."""
    own = Tensor.__annotations__
    return {k: v for k, v in vars(tensor).items() if k not in own and k not in vars(Tensor)}


def _leaf(kind: type[Tensor], data: Any, requires_grad: bool) -> Tensor:
    t = object.__new__(kind)
    t._data = data
    t._counter = fresh()
    bump(t._counter)  # as in torch, where making it counts as a write
    t._rg = requires_grad
    return t


def _memory(array: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], int, tuple[int, ...]]:
    """The memory that an array looks into, as a row of elements; where in it, in bytes, it starts; its strides.

    Memory with gaps, which NumPy lends us from elsewhere, is not kept: the array alone is.
    """
    owner: Any = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    owner = owner[(..., *[slice(None if stride else 1) for stride in owner.strides])]  # each place once
    if not array.size or not is_dense(owner):
        owner = array.copy()
        return owner.reshape(-1), 0, owner.strides
    address = MODULES[np.ndarray].address
    row = owner.transpose(sorted(range(owner.ndim), key=owner.strides.__getitem__, reverse=True)).reshape(-1)
    return row, address(array) - address(owner), array.strides


def _looking_into(memory: Any, offset: int, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, memory.view(np.uint8), offset, strides)


def _copied_data(data: Any, memo: dict[int, Any]) -> Any:
    """A copy of an array with its layout; copies of arrays that share memory share memory."""
    if type(data) is not np.ndarray:
        module = MODULES[type(data)]
        return module.copy_to(data, module.device_of(data))
    memory, offset, strides = _memory(data)
    key = MODULES[np.ndarray].address(memory)
    copied = memo.get(key)
    if not isinstance(copied, np.ndarray):
        copied = memo[key] = memory.copy()
        memo.setdefault(id(memo), []).append(memory)  # alive as long as its address is in use
    return _looking_into(copied, offset, data.dtype, data.shape, strides)


def deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf with copies of values, `.grad` and attributes; RuntimeError for a computed tensor."""
    if self._current_edge() is not None:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at "
            "the moment.  If you were attempting to deepcopy a module, this may be because of a "
            "torch.nn.utils.weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001"
        )
    found = memo.get(id(self))
    if found is not None:
        return found
    t = _leaf(type(self), _copied_data(self._data, memo), self._rg)
    memo[id(self)] = t
    if self._grad is not None:
        t._grad = copy.deepcopy(self._grad, memo)
    for name, value in _attributes(self).items():
        setattr(t, name, copy.deepcopy(value, memo))
    return t


def _warn_of_hooks(self: Tensor) -> None:
    hooks, edge = self._hooks, self._current_edge()
    if edge is not None and edge[0] is not None and edge[0]._hooks is not None:
        hooks = edge[0]._hooks.tensor_hooks.get(edge[1])
    for hook in list((hooks or {}).values()):
        warnings.warn(
            f"backward hook {hook!r} on tensor will not be serialized.", UserWarning, stacklevel=3
        )


def shallow(self: Tensor) -> Tensor:
    """A leaf that shares the values; hooks are dropped with a UserWarning."""
    _warn_of_hooks(self)
    t = _leaf(type(self), self._data, self._rg)
    for name, value in _attributes(self).items():
        setattr(t, name, value)
    return t


def _unpickled(
    kind: type[Tensor],
    memory: Any,
    offset: int,
    dtype: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    device: str,
    requires_grad: bool,
) -> Tensor:
    where = as_device(device)
    data = module_for(where).from_host(_looking_into(memory, offset, dtype, shape, strides), where)
    return _leaf(kind, data, requires_grad)


def reduce(self: Tensor, protocol: Any = 0) -> tuple[Any, ...]:
    """How to pickle a tensor: as a leaf; hooks are dropped with a UserWarning."""
    _warn_of_hooks(self)
    data = MODULES[type(self._data)].to_host(self._data)
    memory, offset, strides = _memory(data)
    state = (type(self), memory, offset, data.dtype, data.shape, strides, str(self.device), self._rg)
    return _unpickled, state, _attributes(self) or None


METHODS = {"__copy__": shallow, "__deepcopy__": deepcopy, "__reduce_ex__": reduce}
