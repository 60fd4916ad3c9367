"""Largest and smallest elements, whole or along dimensions, and where they are.

Ties: `amax`, `amin`, `aminmax` and the whole `max` and `min` share the gradient evenly among the
elements that reach the extremum; along a dimension `max` and `min` give it to the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from refgrad import dtypes, return_types
from refgrad.layout import row_major
from refgrad.ops.arguments import WHOLE, integer, reduced_dims, tensor_argument
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.ops.reductions import dtype_of, keep
from refgrad.tensor import Tensor, check_dim

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]


def _extremum(xp: Any, function: str, x: Any, dim: Any, keepdim: bool) -> Any:
    axes = tuple(range(x.ndim)) if dim is None else dim
    return getattr(xp, function)(x, axis=axes, keepdims=keepdim) if axes else xp.array(x, copy=True)


def _shared(F: Any, g: Any, self: Any, extremum: Any, dim: Any) -> Any:
    """The gradient in equal parts for all that reach the extremum; NaN where that is NaN."""
    shape = self.shape
    reached = self == keep(F, extremum, shape, dim)
    count = F.sum(reached, dim=dim, keepdim=True, dtype=dtype_of(g))
    return keep(F, g, shape, dim) * reached / count


def shared_wholly(F: Any, g: Any, self: Any, result: Any) -> Any:
    """The gradient in equal parts for all that reach the extremum, or for all NaNs if that is NaN."""
    reached, below = (self == result, self != result) if result == result else (self != self, self == self)
    share = g / F.sum(reached, dim=None, dtype=dtype_of(g))
    return F.zero_where(F.expand(share, size=self.shape), below)


def mean_tangent(F: Any, self_t: Any, self: Any, result: Any) -> Any:
    """The mean over all that reach the extremum; NaN, which equals nothing, has none: as in torch."""
    reached = self == result
    return F.sum(reached * (self_t / F.sum(reached, dim=None, dtype=self_t.dtype)), dim=None)


def _selected(F: Any, g: Any, indices: Any, shape: Any, dim: int, keepdim: bool) -> Any:
    """The gradient of elements selected along `dim`, put back where they came from."""
    if shape and not keepdim:
        g, indices = F.unsqueeze(g, dim=dim), F.unsqueeze(indices, dim=dim)
    return F.scatter_add(F.new_zeros(g, shape=shape), indices, g, dim=dim)


def along(xp: Any, x: Any, indices: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """The elements at `indices` along `dim`, and the indices, which come with that dimension kept."""
    if not x.ndim:
        return xp.array(x, copy=True), xp.reshape(indices, ())
    values = xp.take_along_axis(x, indices, axis=dim)
    return (values, indices) if keepdim else (xp.squeeze(values, axis=dim), xp.squeeze(indices, axis=dim))


def selection(name: str, kernel: Any, node: Any) -> Op:
    """The record of an op that picks one element along `dim`: its outputs are values and indices."""
    return Op(
        name,
        kernel if name == "sort" else row_major(kernel),
        {"self": lambda F, g, self_shape, result1, dim, keepdim: _selected(F, g[0], result1, self_shape, dim, keepdim)},
        several=True,
        differentiable=(0,),
        node=node,
    )


def nonempty(name: str, input: Tensor, dims: Iterable[int]) -> None:
    """IndexError for a reduction over a dimension without elements."""
    for k in dims:
        if not input._data.shape[k]:
            raise IndexError(f"{name}(): Expected reduction dim {k} to have non-zero size.")


def one_dim(name: str, input: Tensor, dim: Any) -> int:
    """A dimension to pick an element from, counted from the front: it must not be empty."""
    found = check_dim(integer(name, "dim", dim), tensor_argument(name, input).ndim)
    nonempty(name, input, (found,) if input.ndim else ())
    return found


def _specified(name: str, input: Tensor, dims: tuple[int, ...], kind: type[Exception] = RuntimeError) -> None:
    if not input._data.size and len(dims) == input.ndim:
        raise kind(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
            "dim with the 'dim' argument."
        )


def _real_only(name: str, input: Tensor) -> None:
    if input.is_complex():
        raise RuntimeError(f"{name}(): does not support complex input")


def _no_complex(kernel: str, input: Tensor) -> None:
    if input.is_complex():
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_TYPE[input.dtype.name]}'")


# amax, amin, aminmax


def _reaching(name: str, function: str) -> Op:
    return Op(
        name,
        row_major(lambda xp, x, dim, keepdim: _extremum(xp, function, x, dim, keepdim)),
        {"self": lambda F, g, self, result, dim: _shared(F, g, self, result, dim)},
    )


_amax, _amin = _reaching("amax", "max"), _reaching("amin", "min")


def _reached(op: Op, kernel: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    _no_complex(kernel, tensor_argument(op.name, input))
    dims = reduced_dims(op.name, dim, input.ndim)
    if dim is None or dim == ():
        _specified(op.name, input, dims)
    elif input.ndim:
        nonempty(op.name, input, (dim,) if isinstance(dim, int) else dim)
    return op(input, dim=dims, keepdim=keepdim)


def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest elements over `dim` (all by default); NaN wins."""
    return _reached(_amax, "max_values_cpu", input, dim, keepdim)


def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest elements over `dim` (all by default); NaN wins."""
    return _reached(_amin, "min_values_cpu", input, dim, keepdim)


def _aminmax_self(F: Any, g: Any, self: Any, results: Any, dim: Any) -> Any:
    parts = [_shared(F, h, self, r, dim) for h, r in zip(g, results, strict=True) if h is not None]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


_aminmax = Op(
    "aminmax",
    row_major(
        lambda xp, x, dim, keepdim: (
            _extremum(xp, "min", x, dim, keepdim),
            _extremum(xp, "max", x, dim, keepdim),
        )
    ),
    {"self": _aminmax_self},
    several=True,
)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest elements along `dim`, or of all; NaN wins."""
    _no_complex("aminmax_cpu", tensor_argument("aminmax", input))
    if dim is None:
        if not input._data.size:
            raise RuntimeError(
                "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
            )
        dims = reduced_dims("aminmax", None, input.ndim)
    else:
        dims = reduced_dims("aminmax", dim, input.ndim)
        if dims and not input._data.shape[dims[0]]:
            raise IndexError(f"aminmax: Expected reduction dim {dims[0]} to have non-zero size.")
    return return_types.aminmax(_aminmax(input, dim=dims, keepdim=keepdim))


# max, min


def _whole(name: str, function: str, node: str) -> Op:
    return Op(
        name,
        lambda xp, x: _extremum(xp, function, x, None, False),
        {"self": shared_wholly},
        node=node,
        jvp=mean_tangent,
    )


def _first(xp: Any, function: str, x: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    flat = x if x.ndim else xp.reshape(x, (1,))
    indices = xp.expand_dims(getattr(xp, function)(flat, axis=dim), dim)
    return along(xp, x, indices.astype(xp.int64, copy=False), dim, keepdim)


_max = _whole("max", "max", "MaxBackward1")
_min = _whole("min", "min", "MinBackward1")
_max_dim = selection("max_dim", lambda xp, x, dim, keepdim: _first(xp, "argmax", x, dim, keepdim), "MaxBackward0")
_min_dim = selection("min_dim", lambda xp, x, dim, keepdim: _first(xp, "argmin", x, dim, keepdim), "MinBackward0")


def _three_forms(name: str, whole: Op, along_dim: Op, input: Tensor, dim: Any, keepdim: Any, other: Any) -> Any:
    """``max(x)``, ``max(x, other)`` and ``max(x, dim)``."""
    tensor_argument(name, input)
    if isinstance(dim, Tensor):
        dim, other = WHOLE, dim
    if other is not None:
        pair = getattr(TENSORS, {"max": "maximum", "min": "minimum"}[name])
        return pair(input, other)
    if dim is WHOLE:
        _no_complex(f"{name}_all", input)
        _specified(name, input, tuple(range(input.ndim)))
        return whole(input)
    if not isinstance(dim, int) or isinstance(dim, bool):
        raise TypeError(
            f"{name}() received an invalid combination of arguments: dim must be int, not {type(dim).__name__}"
        )
    if not isinstance(keepdim, bool):
        raise TypeError(f"{name}(): argument 'keepdim' (position 2) must be bool, not {type(keepdim).__name__}")
    _real_only(name, input)
    found = one_dim(name, input, dim)
    return getattr(return_types, name)(along_dim(input, dim=found, keepdim=keepdim))


def max(input: Tensor, dim: Any = WHOLE, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with `dim` (values, indices) along it; with a tensor `other` elementwise."""
    return _three_forms("max", _max, _max_dim, input, dim, keepdim, other)


def min(input: Tensor, dim: Any = WHOLE, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; with `dim` (values, indices) along it; with a tensor `other` elementwise."""
    return _three_forms("min", _min, _min_dim, input, dim, keepdim, other)


# argmax, argmin


def _place(name: str) -> Op:
    def kernel(xp: Any, x: Any, dim: int | None, keepdim: bool) -> Any:
        if not x.ndim or dim is None:
            found = getattr(xp, name)(xp.reshape(x, (x.size,)))
            return xp.reshape(xp.asarray(found, dtype=xp.int64), (1,) * x.ndim if keepdim else ())
        found = getattr(xp, name)(x, axis=dim).astype(xp.int64, copy=False)
        return xp.expand_dims(found, dim) if keepdim else found

    return Op(name, row_major(kernel))


_argmax, _argmin = _place("argmax"), _place("argmin")


def _placed(op: Op, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    name = op.name
    if tensor_argument(name, input).dtype is dtypes.bool_:
        raise RuntimeError(f"{name}(): does not support bool input")
    _real_only(name, input)
    if dim is None:
        _specified(name, input, tuple(range(input.ndim)), IndexError)
    else:
        dim = one_dim(name, input, dim)
    return op(input, dim=dim, keepdim=keepdim)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest element is, along `dim` or in the flattened input: the first of equals, or a NaN."""
    return _placed(_argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest element is, along `dim` or in the flattened input: the first of equals, or a NaN."""
    return _placed(_argmin, input, dim, keepdim)


METHODS = {name: globals()[name] for name in __all__}
INPLACE: dict[str, Any] = {}
