"""The part of `cupyx` that array code needs: scatters, and the switch for `linalg` errors."""

import sys
from typing import Any

import numpy as np

from . import _real
from ._array import ndarray
from ._ufunc import ufunc

errstate, geterr, seterr = _real.extras.errstate, _real.extras.geterr, _real.extras.seterr
rsqrt = ufunc(_real.extras.rsqrt, lambda x: 1 / np.sqrt(x))


def scatter_add(a: ndarray, slices: Any, value: Any) -> None:
    """``a[slices] += value`` where repeated places add up; not for bool, 8 and 16 bit integers, complex.

    As in CuPy 14 it warns that it is deprecated: `add.at` does not.
    """
    a.scatter_add(slices, value)


def scatter_max(a: ndarray, slices: Any, value: Any) -> None:
    a.scatter_max(slices, value)


def scatter_min(a: ndarray, slices: Any, value: Any) -> None:
    a.scatter_min(slices, value)


def __getattr__(name: str) -> Any:
    _real.lookup(_real.extras, name)
    raise _real.refuse(_real.extras, name)


for _name in [n for n in vars(sys.modules[__name__]) if "scatter" in n]:
    _real.lookup(_real.extras, _name)
