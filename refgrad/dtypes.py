"""dtype objects and torch's type promotion.

A `dtype` carries torch's name (its repr is ``torch.float64``, since refgrad is used as
``import refgrad as torch``) and the NumPy dtype that stores it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BOOL, INTEGRAL, FLOATING, COMPLEX = range(4)


class dtype:  # torch's name
    """An element type. Compare by identity, as in torch."""

    __slots__ = ("category", "complex_name", "itemsize", "name", "numpy")

    def __init__(self, name: str, category: int) -> None:
        self.name = name
        self.category = category
        self.numpy = np.dtype(name)
        self.itemsize = self.numpy.itemsize

    @property
    def is_floating_point(self) -> bool:
        return self.category == FLOATING

    @property
    def is_complex(self) -> bool:
        return self.category == COMPLEX

    @property
    def is_signed(self) -> bool:
        return self.name not in ("bool", "uint8")

    def to_complex(self) -> dtype:
        """The complex type of the same precision."""
        return _TO_COMPLEX[self.name]

    def to_real(self) -> dtype:
        """The real type of the same precision."""
        return _TO_REAL.get(self.name, self)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


bool_ = dtype("bool", BOOL)
uint8 = dtype("uint8", INTEGRAL)
int8 = dtype("int8", INTEGRAL)
int16 = dtype("int16", INTEGRAL)
int32 = dtype("int32", INTEGRAL)
int64 = dtype("int64", INTEGRAL)
float16 = dtype("float16", FLOATING)
float32 = dtype("float32", FLOATING)
float64 = dtype("float64", FLOATING)
complex64 = dtype("complex64", COMPLEX)
complex128 = dtype("complex128", COMPLEX)

ALL = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64, complex64, complex128)
BY_NAME = {d.name: d for d in ALL}
FROM_NUMPY = {d.numpy: d for d in ALL}

_TO_COMPLEX = {
    "float16": complex64,  # there is no complex half here, as CuPy and NumPy have none
    "float32": complex64,
    "float64": complex128,
    "complex64": complex64,
    "complex128": complex128,
}
_TO_REAL = {"complex64": float32, "complex128": float64}

# Names in torch's error messages (`c10::ScalarType`).
SCALAR_TYPE = {
    "bool": "Bool",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "float32": "Float",
    "float64": "Double",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}

_default = float32


def get_default_dtype() -> dtype:
    """The dtype of float literals: float32 unless changed."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Change the dtype of float literals; `d` must be a floating point dtype."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default = d


def from_numpy_dtype(d: Any) -> dtype:
    """The refgrad dtype that stores NumPy's `d`; TypeError when there is none."""
    found = FROM_NUMPY.get(np.dtype(d))
    if found is None:
        names = ", ".join(x.name for x in ALL)
        raise TypeError(
            f"can't convert np.ndarray of type {d}. The only supported types are: {names}."
        )
    return found


def of_scalar(value: complex) -> dtype:
    """The dtype that torch gives a Python number by itself."""
    kind = type(value)
    if kind is bool or kind is np.bool_:
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default
    return _default.to_complex()


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that holds both, by torch's lattice.

    Unlike NumPy's, an integer never widens a floating point type.
    """
    if a is b:
        return a
    if a.category == b.category:
        return FROM_NUMPY[np.promote_types(a.numpy, b.numpy)]
    if a.category < b.category:
        a, b = b, a
    if a.category == COMPLEX and b is float64:
        return complex128
    return a


def _combine(higher: dtype | None, lower: dtype | None) -> dtype | None:
    """torch's rule between priority groups: the lower group only raises the category."""
    if higher is None or lower is None:
        return higher or lower
    if higher.category == COMPLEX:
        return higher
    if higher.category == FLOATING:
        return higher.to_complex() if lower.category == COMPLEX else higher
    if higher is bool_ or lower.category >= FLOATING:
        return promote_types(higher, lower)
    return higher


def result_type_of(dimensioned: dtype | None, zero_dim: dtype | None, scalar: dtype | None) -> dtype:
    """The result of tensors with dimensions, 0-dim tensors and Python numbers, in that priority.

    Each argument is the promoted dtype of its group, or None for an empty group.
    """
    result = _combine(dimensioned, _combine(zero_dim, scalar))
    assert result is not None
    return result


class finfo:
    """Limits of a floating point dtype (`bits`, `eps`, `max`, `min`, `tiny`, `resolution`)."""

    def __init__(self, d: dtype | None = None) -> None:
        d = d or _default
        info = np.finfo(d.numpy)
        self.bits = int(info.bits)
        self.eps = float(info.eps)
        self.max = float(info.max)
        self.min = float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(info.resolution)
        self.dtype = d.to_real().name


class iinfo:
    """Limits of an integer dtype (`bits`, `max`, `min`)."""

    def __init__(self, d: dtype) -> None:
        info = np.iinfo(d.numpy)
        self.bits = int(info.bits)
        self.max = int(info.max)
        self.min = int(info.min)
        self.dtype = d.name
