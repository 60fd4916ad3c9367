"""`cupyx.scipy.special`: its names and dtypes, SciPy's values."""

from typing import Any

import numpy as np
import scipy.special

from . import _functions, _real
from ._array import fresh, ndarray, on_current_device

_build = _functions.builder(scipy.special)


def polygamma(n: ndarray, x: ndarray) -> ndarray:
    """Both must be arrays; an integer order makes the result float64, whatever the dtype of `x`."""
    if not (isinstance(n, ndarray) and isinstance(x, ndarray)):
        raise TypeError("polygamma of CuPy takes arrays")
    on_current_device(n, x)
    order = n.dtype if n.dtype.kind == "f" else np.dtype(float)
    made = scipy.special.polygamma(n._host, x._host.astype(float))
    return fresh(np.asarray(made, np.result_type(order, x.dtype)))


def __getattr__(name: str) -> Any:
    found = _build(name, _real.lookup(_real.special, name))
    globals()[name] = found
    return found
