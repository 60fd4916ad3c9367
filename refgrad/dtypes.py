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

    name: str
    category: int
    numpy: np.dtype[Any]
    itemsize: int

    def __new__(cls, *args: Any, **kwargs: Any) -> dtype:
        raise TypeError("cannot create 'torch.dtype' instances")

    @classmethod
    def _named(cls, name: str, category: int) -> dtype:
        d = object.__new__(cls)
        d.name = name
        d.category = category
        d.numpy = np.dtype(name)
        d.itemsize = d.numpy.itemsize
        return d

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
        """The complex type of the same precision; RuntimeError for integers and bools."""
        found = _TO_COMPLEX.get(self.name)
        if found is None:
            raise RuntimeError(f"Unknown Complex ScalarType for {SCALAR_TYPE[self.name]}")
        return found

    def to_real(self) -> dtype:
        """The real type of the same precision."""
        return _TO_REAL.get(self.name, self)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self is bool_ else self.name  # where this module holds it


bool_ = dtype._named("bool", BOOL)
uint8 = dtype._named("uint8", INTEGRAL)
int8 = dtype._named("int8", INTEGRAL)
int16 = dtype._named("int16", INTEGRAL)
int32 = dtype._named("int32", INTEGRAL)
int64 = dtype._named("int64", INTEGRAL)
float16 = dtype._named("float16", FLOATING)
float32 = dtype._named("float32", FLOATING)
float64 = dtype._named("float64", FLOATING)
complex64 = dtype._named("complex64", COMPLEX)
complex128 = dtype._named("complex128", COMPLEX)

ALL = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64, complex64, complex128)
BY_NAME = {d.name: d for d in ALL}
FROM_NUMPY = {d.numpy: d for d in ALL}
OF_PYTHON = {bool: bool_, int: int64, float: float64, complex: complex128}
"""What Python's number types mean where torch takes them for a dtype."""

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

C_NAMES = {  # the C types in others
    "bool": "bool",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short int",
    "int32": "int",
    "int64": "long int",
    "float16": "c10::Half",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}

_default = float32


def get_default_dtype() -> dtype:
    """The dtype of float literals: float32 unless changed."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Change the dtype of float literals; TypeError unless `d` is a floating point dtype."""
    global _default
    if not isinstance(d, dtype):
        raise TypeError("invalid dtype object: only floating-point types are supported as the default type")
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default = d


def from_numpy_dtype(d: Any) -> dtype:
    """The refgrad dtype that stores NumPy's `d`; TypeError when there is none."""
    found = FROM_NUMPY.get(np.dtype(d))
    if found is None:
        names = ", ".join(x.name for x in ALL)
        kind = np.dtype(d).type.__name__
        raise TypeError(f"can't convert np.ndarray of type numpy.{kind}. The only supported types are: {names}.")
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
    """Limits of a floating point dtype (`bits`, `eps`, `max`, `min`, `tiny`, `resolution`); TypeError for others."""

    def __init__(self, type: Any = None) -> None:
        found = _default if type is None else _limited("finfo", type)
        if found.category < FLOATING:
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'"
            )
        info = np.finfo(found.numpy)
        self.bits = int(info.bits)
        self.eps = float(info.eps)
        self.max = float(info.max)
        self.min = float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(info.resolution)
        self.dtype = found.to_real().name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype (`bits`, `max`, `min`); TypeError for others."""

    def __init__(self, type: Any) -> None:
        found = _limited("iinfo", type)
        if found.category > INTEGRAL:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        if found is bool_:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        info = np.iinfo(found.numpy)
        self.bits = int(info.bits)
        self.max = int(info.max)
        self.min = int(info.min)
        self.dtype = found.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def _limited(function: str, given: Any) -> dtype:
    found = given if isinstance(given, dtype) else OF_PYTHON.get(given) if isinstance(given, type) else None
    if found is None:
        raise TypeError(f"{function}(): argument 'type' (position 1) must be torch.dtype, not {type(given).__name__}")
    return found
