"""Tensors made from nothing: from data, constant, ranges, random."""

from __future__ import annotations

import builtins
import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refgrad import dtypes
from refgrad.devices import MODULES, as_device, device, module_for
from refgrad.dtypes import dtype, from_numpy_dtype
from refgrad.generator import Generator, default_generator
from refgrad.layout import copy_order, is_dense
from refgrad.tensor import Tensor, wrap

__all__ = [
    "arange",
    "as_tensor",
    "asarray",
    "bernoulli",
    "complex",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "initial_seed",
    "linspace",
    "logspace",
    "manual_seed",
    "normal",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "scalar_tensor",
    "seed",
    "tensor",
    "zeros",
]

Device = str | device | int | None


def _made(values: Any, where: Device, requires_grad: bool) -> Tensor:
    """A NumPy array as a tensor on a device."""
    target = as_device(where)
    t = wrap(module_for(target).from_host(np.asarray(values), target))
    if requires_grad:
        if t.dtype.category < dtypes.FLOATING:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        t._rg = True
    return t


# From data


def _shape_of(data: Any) -> tuple[int, ...]:
    """The shape of nested sequences; ValueError or TypeError where they are ragged, as in torch."""
    shape: list[int] = []
    first = data
    while isinstance(first, Sequence) and not isinstance(first, (str, bytes)):
        shape.append(len(first))
        if not len(first):
            break
        first = first[0]
    if isinstance(first, (np.ndarray, Tensor)):
        shape.extend(first.shape)
    _check_regular(data, shape, 0)
    return tuple(shape)


def _check_regular(data: Any, shape: list[int], dim: int) -> None:
    if isinstance(data, (np.ndarray, Tensor)):
        return
    if dim == len(shape):
        if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
            raise TypeError(f"'{type(data).__name__}' object cannot be interpreted as an integer")
        return
    if not isinstance(data, Sequence):
        raise TypeError("not a sequence")
    if len(data) != shape[dim]:
        raise ValueError(f"expected sequence of length {shape[dim]} at dim {dim} (got {len(data)})")
    for item in data:
        _check_regular(item, shape, dim + 1)


def _flat(data: Any, depth: int) -> list[Any]:
    """Numbers of nested sequences in row-major order."""
    if isinstance(data, Tensor):
        return [x.item() for x in data._data.reshape(-1)]
    if isinstance(data, np.ndarray):
        return list(data.reshape(-1))
    if not depth:
        return [data]
    return [x for item in data for x in _flat(item, depth - 1)]


def _inferred(values: list[Any], data: Any) -> dtype:
    """The dtype that torch infers from numbers; RuntimeError or TypeError for anything else."""
    if isinstance(data, Sequence):
        tensors = _leaves_of(data)
        if tensors:
            kinds = [t.dtype if isinstance(t, Tensor) else from_numpy_dtype(t.dtype) for t in tensors]
            return functools.reduce(dtypes.promote_types, kinds)
    found: dtype | None = None
    for v in values:
        if isinstance(v, str):
            raise TypeError(f"new(): invalid data type '{type(v).__name__}'")
        if isinstance(v, np.generic):
            d = from_numpy_dtype(v.dtype)
        elif isinstance(v, (bool, int, float, _PythonComplex)):
            d = dtypes.of_scalar(v)
        else:
            raise RuntimeError(f"Could not infer dtype of {type(v).__name__}")
        found = d if found is None else dtypes.promote_types(found, d)
    return found or dtypes.get_default_dtype()


_PythonComplex = builtins.complex


def _leaves_of(data: Any) -> list[Any]:
    """The arrays and tensors among nested sequences."""
    if isinstance(data, (np.ndarray, Tensor)):
        return [data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [t for item in data for t in _leaves_of(item)]
    return []


def _from_numbers(values: list[Any], target: dtype) -> np.ndarray[Any, Any]:
    if target.category < dtypes.COMPLEX and any(isinstance(v, _PythonComplex) for v in values):
        raise TypeError("must be real number, not complex")
    if target.category == dtypes.INTEGRAL:
        limits = np.iinfo(target.numpy)
        whole = [int(v) for v in values]
        for v in whole:
            if not -(2**63) <= v < 2**63:
                raise ValueError("Overflow when unpacking long long")
            if v > limits.max or v < (limits.min or -limits.max - 1):
                raise RuntimeError(f"value cannot be converted to type {target.name} without overflow")
        return np.array(whole, np.int64).astype(target.numpy)
    with np.errstate(all="ignore"):
        if target.category == dtypes.FLOATING:
            return np.array([float(v) for v in values], np.float64).astype(target.numpy)
        return np.array(values, target.numpy)


def tensor(
    data: Any, *, dtype: dtype | None = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """A leaf that holds a copy of `data`: a number, nested sequences, an array or a tensor.

    The dtype is inferred as torch infers it: Python floats give the default dtype.
    """
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        where = data.device if device is None else device
        return _made(_host(data).astype((dtype or data.dtype).numpy, copy=True), where, requires_grad)
    if isinstance(data, np.ndarray):
        target = dtype or from_numpy_dtype(data.dtype)
        return _made(np.array(data, target.numpy, order=copy_order(data), copy=True), device, requires_grad)
    if isinstance(data, (dict, set)) or (hasattr(data, "__iter__") and not isinstance(data, Sequence)):
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    shape = _shape_of(data)
    values = _flat(data, len(shape))
    target = dtype or _inferred(values, data)
    return _made(_from_numbers(values, target).reshape(shape), device, requires_grad)


def as_tensor(data: Any, dtype: dtype | None = None, device: Device = None) -> Tensor:
    """`data` as a tensor, sharing memory where that is possible."""
    if isinstance(data, Tensor):
        from refgrad.ops.conversion import to

        return to(data, dtype=dtype, device=device)
    if isinstance(data, np.ndarray) and dtype is None and as_device(device).type == "cpu":
        return from_numpy(data)
    return tensor(data, dtype=dtype, device=device)


asarray = as_tensor


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A CPU tensor that shares memory with a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    from_numpy_dtype(array.dtype)
    return wrap(array)


def scalar_tensor(
    s: Any, *, dtype: dtype | None = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """A 0-dim tensor of the default dtype, unless told otherwise."""
    return tensor(s, dtype=dtype or dtypes.get_default_dtype(), device=device, requires_grad=requires_grad)


def _host(t: Tensor) -> np.ndarray[Any, Any]:
    return MODULES[type(t._data)].to_host(t._data)


# Constant


def _size(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(size) == 1 and not isinstance(size[0], (int, np.integer)):
        given = size[0]
        if not isinstance(given, (tuple, list)):
            raise TypeError(
                f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(given).__name__}"
            )
        size = tuple(given)
    for n in size:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
            raise TypeError(
                f"{name}(): argument 'size' must be tuple of ints, but found element of type {type(n).__name__}"
            )
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(size)}")
    return tuple(int(n) for n in size)


def _constant(name: str, make: Callable[[tuple[int, ...], Any], Any]) -> Callable[..., Tensor]:
    def create(
        *size: Any, dtype: dtype | None = None, device: Device = None, requires_grad: bool = False, **named: Any
    ) -> Tensor:
        if "size" in named:
            size = (named.pop("size"),)
        if named:
            raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
        kind = (dtype or dtypes.get_default_dtype()).numpy
        return _made(make(_size(name, size), kind), device, requires_grad)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"A tensor of the given sizes, filled with {name}; of the default dtype if none is given."
    return create


zeros = _constant("zeros", np.zeros)
ones = _constant("ones", np.ones)
empty = _constant("empty", np.zeros)  # torch leaves the values undefined: zeros are as good as any


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: dtype | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor filled with one value; the dtype is that of the value unless given."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    kind = dtype or dtypes.of_scalar(fill_value)
    value = _from_numbers([fill_value], kind)[0]
    return _made(np.full(_size("full", (tuple(size),)), value, kind.numpy), device, requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: dtype | None = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """An n by m matrix with ones on the diagonal."""
    for name, value in (("n", n), ("m", n if m is None else m)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    return _made(np.eye(n, m, dtype=(dtype or dtypes.get_default_dtype()).numpy), device, requires_grad)


def _like(
    make: Callable[[tuple[int, ...], dtype], Any], name: str
) -> Callable[..., Tensor]:
    """A creation function that takes shape, dtype, device and memory order from another tensor."""

    def create(
        input: Tensor, *, dtype: dtype | None = None, device: Device = None, requires_grad: bool = False
    ) -> Tensor:
        data = input._data
        kind = dtype or input.dtype
        where = input.device if device is None else as_device(device)
        order = copy_order(data)
        values = np.empty_like(np.lib.stride_tricks.as_strided(_NOTHING, data.shape, data.strides)
                               if order == "K" else np.broadcast_to(_NOTHING[0], data.shape),
                               dtype=kind.numpy, order="K" if order == "K" else "C")
        values[...] = make(data.shape, kind)
        return _made(values, where, requires_grad)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = "A tensor of the shape, dtype and device of `input`, unless told otherwise."
    return create


_NOTHING = np.zeros(1)

ones_like = _like(lambda shape, kind: 1, "ones_like")
empty_like = _like(lambda shape, kind: 0, "empty_like")


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: dtype | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor like `input`, filled with one value."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    create = _like(lambda shape, kind: _from_numbers([fill_value], kind)[0], "full_like")
    return create(input, dtype=dtype, device=device, requires_grad=requires_grad)


# Ranges


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: dtype | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Values from `start` (0 if left out) up to but without `end`, `step` apart.

    Of dtype int64 when all are integers, else of the default dtype.
    """
    if end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, Tensor) else x for x in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not all(math.isfinite(x) for x in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = all(isinstance(x, int) for x in (start, end, step))
    kind = dtype or (dtypes.int64 if whole else dtypes.get_default_dtype())
    if whole:
        values: Any = np.arange(start, end, step, dtype=np.int64)
    else:
        count = math.ceil((end - start) / step)
        values = start + np.arange(count, dtype=np.float64) * step
    return _made(values.astype(kind.numpy), device, requires_grad)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: dtype | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` evenly spaced values from `start` to `end`, both included."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    start, end = (x.item() if isinstance(x, Tensor) else x for x in (start, end))
    kind = dtype or dtypes.get_default_dtype()
    return _made(_even(start, end, steps, kind), device, requires_grad)


def _even(start: Any, end: Any, steps: int, kind: dtype) -> np.ndarray[Any, Any]:
    """Counted from both ends to the middle, so that both ends are met exactly, as in torch."""
    if steps == 1:
        return np.array([start]).astype(kind.numpy)
    work = kind.numpy if kind.category >= dtypes.FLOATING and kind is not dtypes.float16 else np.dtype("float32")
    if kind.category < dtypes.FLOATING:
        work = np.dtype("float64")
    first, last = work.type(start), work.type(end)
    step = (last - first) / work.type(max(steps - 1, 1))
    k = np.arange(steps)
    half = steps // 2
    values = np.where(k < half, first + step * k.astype(work), last - step * (steps - 1 - k).astype(work))
    return values.astype(kind.numpy)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: dtype | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` values evenly spaced on a logarithmic scale, from base**start to base**end."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    kind = dtype or dtypes.get_default_dtype()
    exponents = _even(start, end, steps, kind if kind.category >= dtypes.FLOATING else dtypes.float64)
    values = np.power(exponents.dtype.type(base), exponents)
    return _made(values.astype(kind.numpy), device, requires_grad)


def complex(real: Tensor, imag: Tensor) -> Tensor:
    """A complex tensor from its real and imaginary parts."""
    if real.dtype is not imag.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {dtypes.SCALAR_TYPE[real.dtype.name]} but got scalar type "
            f"{dtypes.SCALAR_TYPE[imag.dtype.name]} for second argument"
        )
    return real + imag * 1j


# Random: torch's streams on the CPU, copied to where they are asked for.


def manual_seed(seed: int) -> Generator:
    """Start the default stream of random numbers anew; the same seed gives torch's numbers."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start the default stream from a random seed, which is returned."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default stream was started from."""
    return default_generator.initial_seed()


def _sampler(name: str, kernel: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    def create(
        *size: Any,
        generator: Generator | None = None,
        dtype: dtype | None = None,
        device: Device = None,
        requires_grad: bool = False,
    ) -> Tensor:
        kind = dtype or dtypes.get_default_dtype()
        if kind.category < dtypes.FLOATING:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_TYPE[kind.name]}'")
        draw = getattr(generator or default_generator, name)
        return _made(draw(_size(name, size), kind.numpy), device, requires_grad)

    def create_like(
        input: Tensor, *, dtype: dtype | None = None, device: Device = None, requires_grad: bool = False
    ) -> Tensor:
        where = input.device if device is None else device
        kind, data, normal = dtype or input.dtype, input._data, name == "randn"
        if data.flags.c_contiguous or not is_dense(data):
            return create(tuple(data.shape), dtype=kind, device=where, requires_grad=requires_grad)
        order = sorted(range(data.ndim), key=lambda k: -data.strides[k])  # torch fills memory in its own order
        shape = tuple([data.shape[k] for k in order])
        made = default_generator.randn(shape, kind.numpy, contiguous=False) if normal else (
            default_generator.rand(shape, kind.numpy)
        )
        return _made(made.transpose([order.index(k) for k in range(data.ndim)]), where, requires_grad)

    create.__name__ = create.__qualname__ = name
    create_like.__name__ = create_like.__qualname__ = f"{name}_like"
    what = {"rand": "uniform on [0, 1)", "randn": "standard normal"}[name]
    create.__doc__ = f"Random numbers, {what}, of the given sizes."
    create_like.__doc__ = f"Random numbers, {what}, of the shape of `input`."
    return create, create_like


rand, rand_like = _sampler("rand", "check_uniform_bounds")
randn, randn_like = _sampler("randn", "normal_kernel_cpu")


def randint(
    low: int = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random integers from `low` (0 if left out) up to but without `high`."""
    if size is None:  # randint(high, size)
        low, high, size = 0, low, high
    if high is None:
        low, high = 0, low
    kind = dtype or dtypes.int64
    draw = (generator or default_generator).randint
    return _made(draw(low, high, _size("randint", (size,)), kind.numpy), device, requires_grad)


def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: dtype | None = None) -> Tensor:
    """Random integers of the shape and dtype of `input`."""
    if high is None:
        low, high = 0, low
    return randint(low, high, tuple(input.shape), dtype=dtype or input.dtype, device=input.device)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Device = None,
) -> Tensor:
    """The integers below `n` in random order."""
    draw = (generator or default_generator).randperm
    return _made(draw(n, (dtype or dtypes.int64).numpy), device, False)


def normal(mean: float, std: float, size: Any, *, generator: Generator | None = None) -> Tensor:
    """Normal random numbers of the given sizes."""
    kind = dtypes.get_default_dtype().numpy
    draw = (generator or default_generator).normal
    return _made(draw(mean, std, _size("normal", (size,)), kind), None, False)


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Zeros and ones; `input` gives the chance of a one for each element."""
    draw = (generator or default_generator).bernoulli
    return _made(draw(_host(input), tuple(input.shape), input._data.dtype), input.device, False)


def new_(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``Tensor.new_zeros`` and the like: dtype and device of the tensor, sizes of one's own."""

    def create(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kwargs.setdefault("dtype", self.dtype)
        kwargs.setdefault("device", self.device)
        return make(*args, **kwargs)

    return create


METHODS = {
    "new_zeros": new_(zeros),
    "new_ones": new_(ones),
    "new_empty": new_(empty),
    "new_full": new_(full),
    "new_tensor": new_(tensor),
}
