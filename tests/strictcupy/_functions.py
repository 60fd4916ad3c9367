"""Functions: the name and keywords of the real one, the values of NumPy's one of the same name.

A call is bound to the real signature, its arrays are checked (type, device) and unwrapped, its
arguments renamed to NumPy's, and what comes back is wrapped: numbers as 0-dim arrays, windows on an
argument's memory as views of it.
"""

import functools
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import _real
from ._array import Host, dtype_of, fresh, is_scalar, ndarray, on_current_device, poison, uploaded, view_of
from ._devices import current
from ._ufunc import ufunc

Call = Callable[..., Any]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Parameters that are arrays: no list of numbers there, and no number either where it comes first.
_ARRAYS = _names(
    "A a a1 a2 ar ar1 ar2 arr arr1 arr2 array ary arys b condition dst element f filt fp p prototype"
    " src tup test_elements v val vals values x x1 x2 xp y z"
)
_NUMBER_COMES_FIRST = _names("isscalar iterable ndim shape size min_scalar_type save")
_SEQUENCES = _names("tup arys")  # these may be lists of arrays
# These look at an array without touching its memory, or make a window on it: any device will do.
_ANY_DEVICE = _names(
    "array_repr array_split array_str array2string atleast_1d atleast_2d atleast_3d broadcast_arrays"
    " broadcast_shapes broadcast_to can_cast common_type diagonal dsplit empty_like expand_dims flip fliplr"
    " flipud full_like hsplit imag iscomplexobj isfortran isrealobj isscalar matrix_transpose"
    " may_share_memory moveaxis ndim ones_like permute_dims ravel real reshape result_type rollaxis rot90"
    " save savetxt savez shape shares_memory size split squeeze swapaxes transpose vsplit zeros_like"
)
# What hides behind **kwargs in the real signature.
_HIDDEN = {"einsum": _names("dtype optimize"), "meshgrid": _names("copy indexing sparse")}
# Where CuPy's default, or the only thing that it can do, is not NumPy's default.
_ALWAYS: dict[str, dict[str, Any]] = {"argsort": {"kind": "stable"}, "sort": {"kind": "stable"}}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "pinv": {"rcond": 1e-15}, "put": {"mode": "wrap"}, "ravel_multi_index": {"mode": "wrap"}
}
_ALWAYS_ARRAY = _names("allclose array_equal array_equiv count_nonzero")
_SINGULAR = ("Singular matrix", "not positive definite", "did not converge", "not converge")


def builder(numpy_side: Any) -> Callable[[str, Any], Any]:
    """Makes the stand-in of a name, given what the real namespace holds under it."""

    def build(name: str, found: Any) -> Any:
        own = globals().get(f"_{name}_as_cupy")
        if own is not None and numpy_side is np:
            return own
        known = getattr(numpy_side, name, None)
        if isinstance(found, _real.Ufunc):
            if known is None:
                raise _real.refuse(_real.cupy, name)
            return ufunc(found, known)
        if name == "exceptions":
            return found
        kind = found if isinstance(found, type) else type(found)
        foreign = kind.__module__.startswith("cupy") and kind.__name__ != "_GUFunc"
        if isinstance(found, types.ModuleType) or foreign:  # kernels, memory pools, random
            raise _real.refuse(_real.cupy, name)
        if isinstance(found, type) or not callable(found):
            return found  # dtypes, exceptions, constants
        if known is None:
            raise _real.refuse(_real.cupy, name)
        return function(name, found, known)

    return build


@functools.cache
def top_level(name: str) -> Any:
    """The stand-in of `cupy.<name>`."""
    return builder(np)(name, _real.lookup(_real.cupy, name))


def function(name: str, real: Any, compute: Call) -> Call:
    """`compute`, called as CuPy's `real` is called."""
    try:
        theirs = list(inspect.signature(compute).parameters.values())
    except ValueError:  # compiled functions of older NumPy: arguments pass as they are
        theirs = None

    @functools.wraps(real, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = bind(name, real, args, kwargs)
        arrays = list(_arrays(bound.arguments.values()))
        _refuse_host(name, bound)
        if name not in _ANY_DEVICE:
            on_current_device(*arrays)
        bound.arguments = {**_DEFAULTS.get(name, {}), **bound.arguments, **_ALWAYS.get(name, {})}
        positional, keywords, dtype = _translate(name, bound, theirs)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of empty slices and the like
            try:
                made = compute(*map(_host, positional), **{k: _host(v) for k, v in keywords.items()})
            except np.linalg.LinAlgError as error:
                made = _undefined(name, error, compute, positional, keywords)
        if name in _ALWAYS_ARRAY:
            made = np.asarray(made)
        if dtype is not None:
            made = np.asarray(made).astype(dtype)
        return _wrapped(name, made, arrays)

    return call


def bind(name: str, real: Any, args: Any, kwargs: Any) -> inspect.BoundArguments:
    """The arguments by CuPy's names; TypeError for what the real function does not take."""
    try:
        bound = _real.signature(real).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"CuPy's {name}{_real.signature(real)}: {error}") from None
    unknown = sorted(set(bound.arguments.get("kwargs", ())) - _HIDDEN.get(name, set(kwargs)))
    if unknown:
        raise TypeError(f"CuPy's {name} takes no {', '.join(unknown)}=")
    if name in _ALWAYS and bound.arguments.get("kind") not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return bound


def _arrays(value: Any) -> Iterator[ndarray]:
    if isinstance(value, ndarray):
        yield value
    elif isinstance(value, dict):
        yield from _arrays(value.values())
    elif isinstance(value, (list, tuple)) or type(value) is type({}.values()):
        for v in value:
            yield from _arrays(v)


def _refuse_host(name: str, bound: inspect.BoundArguments) -> None:
    """TypeError for host arrays anywhere, for lists of numbers and for leading numbers as arrays."""
    for position, (parameter, value) in enumerate(bound.arguments.items()):
        _refuse_numpy(value)
        if name == "matmul" and parameter == "args" and not all(isinstance(v, ndarray) for v in value):
            raise TypeError(f"CuPy's matmul takes arrays, not {', '.join(type(v).__name__ for v in value)}")
        if parameter not in _ARRAYS or value is None or isinstance(value, ndarray):
            continue
        if position == 0 and name in _NUMBER_COMES_FIRST:
            continue
        if isinstance(value, (list, tuple)):
            if parameter in _SEQUENCES and all(isinstance(v, ndarray) for v in value):
                continue
            raise TypeError(f"CuPy's {name}({parameter}=...) takes arrays, not a {type(value).__name__}")
        if not is_scalar(value) or position == 0:
            raise TypeError(f"Unsupported type {type(value)} for CuPy's {name}({parameter}=...)")


def _refuse_numpy(value: Any) -> None:
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: copy it to the device with `asarray` first")
    if isinstance(value, (list, tuple, dict)):
        for v in value.values() if isinstance(value, dict) else value:
            _refuse_numpy(v)


def _translate(
    name: str, bound: inspect.BoundArguments, theirs: list[inspect.Parameter] | None
) -> tuple[list[Any], dict[str, Any], Any]:
    """Positional and keyword arguments for NumPy, and a dtype that only CuPy's function takes."""
    if theirs is None:
        return list(bound.args), dict(bound.kwargs), None
    mine, kinds = bound.signature.parameters, inspect.Parameter
    by_name = {p.name: p for p in theirs}
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    dtype = None
    for place, (key, p) in enumerate(mine.items()):
        if key not in bound.arguments:
            continue
        value = bound.arguments[key]
        target = by_name.get(key)
        if target is None and place < len(theirs) and theirs[place].name not in mine:
            target = theirs[place]  # the same parameter under another name
        if p.kind is kinds.VAR_POSITIONAL:
            positional.extend(value)
        elif p.kind is kinds.VAR_KEYWORD:
            keywords.update(value)
        elif value is None and p.default is None:
            pass
        elif target is not None:
            next_in_line = theirs.index(target) == len(positional)
            if next_in_line and target.kind is not kinds.KEYWORD_ONLY:
                positional.append(value)
            else:
                keywords[target.name] = value
        elif key == "dtype":
            dtype = value
        elif value != p.default:
            raise NotImplementedError(f"strictcupy does not stand in for {name}({key}=...)")
    return positional, keywords, dtype


def _host(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, (list, tuple)):
        return type(value)(map(_host, value))
    return value


def _undefined(
    name: str, error: Exception, compute: Call, positional: list[Any], keywords: dict[str, Any]
) -> Any:
    """CuPy does not look at a solver's status unless `cupyx.errstate(linalg="raise")`: garbage comes out."""
    if not any(m in str(error) for m in _SINGULAR) or _real.extras.geterr()["linalg"] == "raise":
        raise error
    matrix = positional[0]
    regular = np.broadcast_to(np.eye(matrix.shape[-1], dtype=matrix.dtype), matrix.shape)
    made = compute(regular, *map(_host, positional[1:]), **keywords)
    parts = made if isinstance(made, tuple) else (made,)
    hollow = tuple(poison(np.array(p)) for p in parts)
    return hollow if isinstance(made, tuple) else hollow[0]


def _wrapped(name: str, made: Any, arrays: list[ndarray]) -> Any:
    if isinstance(made, (list, tuple)):
        parts = [_wrapped(name, m, arrays) for m in made]
        if hasattr(made, "_fields") and name.startswith("unique_"):
            return type(made)(*parts)
        return parts if isinstance(made, list) else tuple(parts)
    if isinstance(made, np.generic):
        return fresh(np.asarray(made))
    if not isinstance(made, np.ndarray):
        return made
    for a in arrays:
        if made is a._host:
            return a
    source = next((a for a in arrays if np.may_share_memory(made, a._host)), None)
    if source is None or name == "diag":  # CuPy copies the diagonal here
        on_current_device(*(arrays if name in _TOUCHES_LATE else ()))
        values = made if made.flags.writeable and name != "diag" else made.copy()
        return fresh(poison(values) if name in ("empty", "empty_like") else values)
    if name == "diagonal":
        made.setflags(write=True)  # read-only in NumPy alone
    elif name.startswith("broadcast"):
        made.setflags(write=False)  # CuPy would write, and race
    return view_of(source, made)


_TOUCHES_LATE = _names("atleast_1d atleast_2d atleast_3d ravel reshape")


# Functions that say in CuPy what they do not say in NumPy


def _array_as_cupy(
    obj: Any, dtype: Any = None, copy: Any = True, order: Any = "K", subok: bool = False, ndmin: int = 0, *,
    blocking: bool = False,
) -> ndarray:
    """The explicit way in: host arrays, numbers, lists of those or of device arrays."""
    if subok:
        raise NotImplementedError("subok is not supported by CuPy")
    dtype = None if dtype is None else dtype_of(dtype)
    if isinstance(obj, ndarray):
        here = obj.device.id == current()
        source = obj if here else obj.copy(order=order or "K")
        made = source.astype(dtype or obj.dtype, order=order, copy=bool(here and copy))
        if here and copy is False and made is not obj:
            raise ValueError("Unable to avoid copy while creating an array as requested.")
    elif next(_arrays(obj), None) is not None:
        made = _stacked(obj)
        made = made if dtype is None else made.astype(dtype, copy=False)
    else:
        if not isinstance(obj, (np.ndarray, list, tuple)) and not is_scalar(obj):
            raise TypeError(f"Unsupported type {type(obj)}")
        made = uploaded(np.array(obj, dtype=dtype, order="A" if order in (None, "K") else order))
    return made if made.ndim >= ndmin else made.reshape((1,) * (ndmin - made.ndim) + made.shape)


def _stacked(values: Any) -> ndarray:
    if isinstance(values, ndarray):
        on_current_device(values)
        return values
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"Unsupported type {type(values)} beside arrays of the device")
    return fresh(np.stack([_stacked(v)._host for v in values]))


def _asarray_as_cupy(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    return _array_as_cupy(a, dtype, copy, order)


_asanyarray_as_cupy = _asarray_as_cupy


def _asnumpy_as_cupy(
    a: Any, stream: Any = None, order: Any = "C", out: Host | None = None, *, blocking: bool = True
) -> Host:
    """The explicit way out; host arrays and numbers pass through, as in CuPy."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out)
    made = np.asarray(a, order=order)
    if out is None:
        return made
    out[...] = made
    return out


def _get_array_module_as_cupy(*args: Any) -> Any:
    """The stand-in when any argument is one of its arrays, else NumPy."""
    return sys.modules[__package__] if any(isinstance(a, ndarray) for a in args) else np


def _is_available_as_cupy() -> bool:
    return True


def _copy_as_cupy(a: ndarray, order: str = "K") -> ndarray:
    return a.copy(order=order)


def _astype_as_cupy(x: ndarray, dtype: Any, /, *, copy: bool = True) -> ndarray:
    return x.astype(dtype, copy=copy)


def _take_as_cupy(a: ndarray, indices: Any, axis: int | None = None, out: ndarray | None = None) -> ndarray:
    """Indices out of range wrap around; NumPy raises."""
    _refuse_numpy(indices)
    on_current_device(*_arrays((a, indices, out)))
    where = np.asarray(_host(indices))
    if not where.size:
        where = where.astype(np.int64)
    made = np.take(a._host, where, axis, mode="wrap")
    if out is None:
        return fresh(np.asarray(made))
    if out.dtype != a.dtype or out.shape != made.shape:
        raise ValueError(f"Output mismatch: {out.dtype} {out.shape} for {a.dtype} {made.shape}")
    out._host[...] = made
    return out


def _take_along_axis_as_cupy(a: ndarray, indices: ndarray, axis: int | None) -> ndarray:
    """Indices out of range wrap around; NumPy raises."""
    on_current_device(a, indices)
    length = a.size if axis is None else a.shape[axis]
    where = indices._host % length if length else indices._host
    return fresh(np.take_along_axis(a._host, where, axis))
