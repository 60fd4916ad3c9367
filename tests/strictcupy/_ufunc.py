"""Ufuncs with CuPy's dtypes and keyword arguments, and NumPy's or SciPy's values."""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import _indexing, _real
from ._array import fresh, is_scalar, ndarray, on_current_device


def _operand(value: Any) -> tuple[Any, np.dtype, type | None]:
    """Host value, dtype, and the type of a Python number (which has no dtype of its own)."""
    if isinstance(value, ndarray):
        on_current_device(value)
        return value._host, value.dtype, None
    if not is_scalar(value):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, np.generic):
        return value, value.dtype, None
    kind = type(value)
    dtype = np.dtype(np.uint64 if kind is int and value >= 2**63 else kind)
    return value, dtype, None if kind is bool else kind


class ufunc:  # CuPy's name
    """One of CuPy's ufuncs: operands and results have the dtypes of its loop, `compute` gives the values."""

    def __init__(self, real: Any, compute: Callable[..., Any]) -> None:
        self._real, self._compute = real, compute
        self.__name__ = self.name = real.name
        self.nin, self.nout, self.nargs, self.types = real.nin, real.nout, real.nargs, real.types

    def __repr__(self) -> str:
        return f"<strictcupy ufunc {self.name!r}>"

    def __getattr__(self, name: str) -> Any:
        _real.lookup(_real.Ufunc, name)
        raise _real.refuse(_real.Ufunc, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        unknown = sorted(set(kwargs) - _real.ufunc_keywords(self._real))
        if unknown:
            raise TypeError(f"{self.name} of CuPy takes no {', '.join(unknown)}=")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"{self.name} takes {self.nin} to {self.nargs} arguments, got {len(args)}")
        outs = self._outs(args[self.nin :], kwargs.get("out"))
        hosts, dtypes, weak = zip(*map(_operand, args[: self.nin]), strict=True)
        wanted = kwargs.get("dtype")
        ins, results = _real.loop(self._real, dtypes, weak, None if wanted is None else np.dtype(wanted))
        for out, dtype in zip(outs, results, strict=True):
            casting = kwargs.get("casting", "same_kind")
            if out is not None and not np.can_cast(dtype, out.dtype, casting):
                raise TypeError(f"Cannot cast output operand from {dtype!r} to {out.dtype!r} by {casting!r}")
        with np.errstate(all="ignore"):  # a GPU warns of nothing
            given = [np.asarray(v).astype(d, copy=False) if isinstance(v, (np.ndarray, np.generic))
                     else np.asarray(v, d) for v, d in zip(hosts, ins, strict=True)]
            made = self._compute(*given)
            parts = made if self.nout > 1 else (made,)
            finished = tuple(map(_finish, parts, results, outs))
        return finished if self.nout > 1 else finished[0]

    def _outs(self, positional: tuple[Any, ...], out: Any) -> tuple[ndarray | None, ...]:
        if out is not None and positional:
            raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
        outs = positional if out is None else out if isinstance(out, tuple) else (out,)
        if out is not None and len(outs) != self.nout:
            raise ValueError("The 'out' tuple must have exactly one entry per ufunc output")
        for o in outs:
            if o is not None and not isinstance(o, ndarray):
                raise TypeError(f"Output arguments type must be cupy.ndarray, not {type(o)}")
            if o is not None:
                on_current_device(o)
        return (*outs, *(None,) * (self.nout - len(outs)))

    def outer(self, A: Any, B: Any, **kwargs: Any) -> Any:
        return self(A.reshape(A.shape + (1,) * B.ndim), B.reshape((1,) * A.ndim + B.shape), **kwargs)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        """Only for the ufuncs, and dtypes, that CuPy has atomics for."""
        if self._real._scatter_op is None:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        _indexing.scatter(a, indices, b, self)

    def reduce(
        self, array: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        """Only `add` and `multiply`; the others raise NotImplementedError, as in CuPy."""
        return self._method(array, "reduce", "sum", "prod")(axis, dtype, out, keepdims)

    def accumulate(self, array: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
        return self._method(array, "accumulate", "cumsum", "cumprod")(axis, dtype, out)

    def _method(self, array: ndarray, what: str, added: str, multiplied: str) -> Callable[..., Any]:
        name = {"cupy_add": added, "cupy_multiply": multiplied}.get(self.name)
        if name is None:
            raise NotImplementedError(f"`{self.name}.{what}` is not supported yet")
        return getattr(array, name)


def _finish(made: Any, dtype: np.dtype, out: ndarray | None) -> ndarray:
    values = np.asarray(made).astype(dtype, copy=False)
    if out is None:
        return fresh(values)
    if out.shape != np.broadcast_shapes(values.shape, out.shape):
        raise ValueError(f"Out shape is mismatched: {out.shape} for a result of shape {values.shape}")
    out._host[...] = values
    return out
