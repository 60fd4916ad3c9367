"""Operators and methods of the array, under the names that the real class has."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _indexing, _real
from ._array import fresh, ndarray, on_current_device, view_of
from ._functions import bind, top_level
from ._ufunc import ufunc


def _defers(self: ndarray, other: Any) -> bool:
    """Whether `other` asked to be given the operation, by NEP 13 or by priority."""
    unset = object()
    protocol = getattr(other, "__array_ufunc__", unset)
    if protocol is not unset:
        return protocol is None
    return self.__array_priority__ < getattr(other, "__array_priority__", 0)


def _binary(call: Callable[..., Any]) -> tuple[Any, Any, Any]:
    def operator(self: ndarray, other: Any) -> Any:
        if not isinstance(other, ndarray) and _defers(self, other):
            return NotImplemented
        return call(self, other)

    def reflected(self: ndarray, other: Any) -> Any:
        return call(other, self)

    def in_place(self: ndarray, other: Any) -> Any:
        return call(self, other, self)

    return operator, reflected, in_place


def _comparison(name: str, call: ufunc) -> Any:
    def operator(self: ndarray, other: Any) -> Any:
        if not isinstance(other, ndarray):
            if _defers(self, other):
                return NotImplemented
            # Equal to no element, as CuPy answers for None, Ellipsis and objects without an __eq__.
            if name in ("eq", "ne") and (other is None or type(other).__eq__ is object.__eq__):
                return fresh(np.full(self.shape, name == "ne"))
        return call(self, other)

    return operator


def _power(call: ufunc) -> Callable[..., Any]:
    """CuPy takes ``x**2``, ``x**0.5`` and ``x**-1.0`` to other kernels, whose values may differ by an ulp."""
    square, sqrt, reciprocal = top_level("square"), top_level("sqrt"), top_level("reciprocal")

    def power(x: Any, y: Any, *out: Any) -> Any:
        quick = None
        if type(y) is int and y == 2:
            quick, exact = square, "ifc"
        elif type(y) is float:
            quick, exact = {0.5: sqrt, 2.0: square, -1.0: reciprocal}.get(y), "fc"
        if quick is None or out or not isinstance(x, ndarray):
            return call(x, y, *out)
        return quick(x, dtype=None if x.dtype.kind in exact else np.result_type(x.dtype, y))

    return power


def _positive(self: ndarray) -> ndarray:
    return self.copy() if self.dtype.kind == "b" else top_level("positive")(self)


_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "matmul": "matmul", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "divmod": "divmod", "pow": "power",
    "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor",
}
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "eq": "equal", "ne": "not_equal", "gt": "greater", "ge": "greater_equal"
}
_UNARY = {"neg": "negative", "abs": "absolute", "invert": "invert"}


def _operators() -> dict[str, Any]:
    made: dict[str, Any] = {"__getitem__": _indexing.getitem, "__setitem__": _indexing.setitem}
    made["__pos__"] = _positive
    for short, name in _UNARY.items():
        made[f"__{short}__"] = (lambda call: lambda self: call(self))(top_level(name))
    for short, name in _COMPARISONS.items():
        made[f"__{short}__"] = _comparison(short, top_level(name))
    for short, name in _BINARY.items():
        call = _power(top_level(name)) if short == "pow" else top_level(name)
        made[f"__{short}__"], made[f"__r{short}__"], made[f"__i{short}__"] = _binary(call)
    return made


# Methods with rules of their own


def _reshape(self: ndarray, *shape: Any, order: str = "C", copy: Any = None) -> ndarray:
    wanted = shape[0] if len(shape) == 1 else shape
    made = top_level("reshape")(self, wanted, order)
    if copy:
        return made.copy(order=order) if made.base is not None else made
    if copy is False and self.size and made.base is None:
        raise ValueError("Unable to avoid creating a copy while reshaping.")
    return made


def _transpose(self: ndarray, *axes: Any) -> ndarray:
    return view_of(self, self._host.transpose(*axes))


def _flatten(self: ndarray, order: str = "C") -> ndarray:
    on_current_device(self)
    return fresh(self._host.flatten(order))


def _sort(self: ndarray, axis: int = -1, kind: Any = None) -> None:
    """In place, always stable."""
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    on_current_device(self)
    self._host.sort(axis, kind="stable")


def _partition(self: ndarray, kth: Any, axis: int = -1) -> None:
    on_current_device(self)
    self._host.partition(kth, axis)


def _conj(self: ndarray) -> ndarray:
    """The array itself when it is real."""
    return top_level("conjugate")(self) if self.dtype.kind == "c" else self


def _nonzero(self: ndarray) -> Any:
    if not self.ndim:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use atleast_1d(a).nonzero() instead.")
    return top_level("nonzero")(self)


def _clip(self: ndarray, min: Any = None, max: Any = None, out: ndarray | None = None) -> ndarray:
    return top_level("clip")(self, min, max, out)


def _compress(self: ndarray, condition: Any, axis: int | None = None, out: ndarray | None = None) -> ndarray:
    return top_level("compress")(condition, self, axis, out)


def _put(self: ndarray, indices: Any, values: Any, mode: str = "wrap") -> None:
    """Indices out of range wrap around by default; NumPy raises."""
    top_level("put")(self, indices, values, mode)


def _scatter(old: str, name: str) -> Callable[..., None]:
    def scatter(self: ndarray, slices: Any, value: Any) -> None:
        text = f"`ndarray.{old}` is deprecated. Please use `cupy.{name}.at` instead."
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        top_level(name).at(self, slices, value)

    return scatter


_OWN = {
    "conj": _conj,
    "conjugate": _conj,
    "flatten": _flatten,
    "nonzero": _nonzero,
    "partition": _partition,
    "reshape": _reshape,
    "sort": _sort,
    "transpose": _transpose,
    "clip": _clip,
    "compress": _compress,
    "put": _put,
    "scatter_add": _scatter("scatter_add", "add"),
    "scatter_max": _scatter("scatter_max", "maximum"),
    "scatter_min": _scatter("scatter_min", "minimum"),
}


def _as_function(name: str, real: Any) -> Callable[..., Any]:
    """A method that is the function of its name, bound to the method's own signature."""

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        return top_level(name)(self, **bind(f"ndarray.{name}", real, args, kwargs).arguments)

    method.__name__ = name
    return method


def _refused(name: str) -> property:
    def get(self: ndarray) -> Any:
        raise _real.refuse(_real.cupy.ndarray, name)

    return property(get)


def attach() -> None:
    """Give `ndarray` what the real class has and it does not have yet; nothing else."""
    real = vars(_real.cupy.ndarray.__mro__[1]) | vars(_real.cupy.ndarray)
    for name, made in _operators().items():
        if name in real:  # so no __imatmul__
            setattr(ndarray, name, made)
    for name, found in real.items():
        if name.startswith("_") or hasattr(ndarray, name):
            continue
        if name in _OWN:
            setattr(ndarray, name, _OWN[name])
        elif callable(found) and hasattr(_real.cupy, name) and hasattr(np, name):
            setattr(ndarray, name, _as_function(name, found))
        else:
            setattr(ndarray, name, _refused(name))
    for name in [n for n in vars(ndarray) if not n.startswith("_")]:
        assert name in real, name
