"""Random tensors: torch's streams of the CPU, copied to where they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad import dtypes
from refgrad.dtypes import SCALAR_TYPE, dtype
from refgrad.generator import Generator, default_generator
from refgrad.ops.arguments import integer, type_name
from refgrad.ops.making import array_like, creates, creates_like, element, sequence, sizes
from refgrad.tensor import Tensor

__all__ = [
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]

Draw = Callable[[tuple[int, ...], Any], Any]


# Seeds and states of the default stream


def manual_seed(seed: Any) -> Generator:
    """Start the default stream anew; the same seed gives torch's numbers. Errors as in `Generator.manual_seed`."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start the default stream from a random seed, which is returned."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default stream was started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default stream, as a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Continue the default stream from a state; errors as in `Generator.set_state`."""
    default_generator.set_state(new_state)


# New tensors


def source_of(function: str, generator: Any) -> Generator:
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"{function}(): argument 'generator' must be torch.Generator, not {type_name(generator)}")
    return generator


def check_floats(kind: dtype, kernel: str) -> None:
    if kind.category < dtypes.FLOATING:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{SCALAR_TYPE[kind.name]}'")


def in_memory_order(array: Any, draw: Draw, dtype: Any) -> Any:
    """Samples for an array of any strides: torch fills the memory, whatever order the dimensions are in."""
    order = sorted(range(array.ndim), key=lambda k: -array.strides[k])
    made = draw(tuple([array.shape[k] for k in order]), dtype)
    return made.transpose([order.index(k) for k in range(array.ndim)])


def _drawn_like(array: Any, kind: dtype, draw: Draw) -> Any:
    """Samples in a new array, laid out as torch lays out what is like `array`."""
    values = array_like(array, kind)
    values[...] = in_memory_order(values, draw, kind.numpy)
    return values


def _sampler(name: str, kernel: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    like = f"{name}_like"

    def create(*size: Any, generator: Any = None, dtype: dtype | None, **named: Any) -> Any:
        source, shape = source_of(name, generator), sizes(name, size, named)
        kind = dtype or dtypes.get_default_dtype()
        check_floats(kind, kernel)
        return getattr(source, name)(shape, kind.numpy)

    def create_like(input: Tensor, *, generator: Any = None, dtype: dtype) -> Any:
        source = source_of(like, generator)
        check_floats(dtype, kernel)
        draw = getattr(source, name)
        if name == "randn":
            return _drawn_like(input._data, dtype, normal_into(array_like(input._data, dtype), source, 0.0, 1.0))
        return _drawn_like(input._data, dtype, draw)

    create.__name__ = create.__qualname__ = name
    create_like.__name__ = create_like.__qualname__ = like
    what = {"rand": "uniform on [0, 1)", "randn": "standard normal"}[name]
    create.__doc__ = f"Random numbers, {what}, of the given sizes."
    create_like.__doc__ = f"Random numbers, {what}, of the shape of `input`."
    return creates(create), creates_like(create_like)


def normal_into(array: Any, source: Generator, mean: float, std: float) -> Draw:
    """How torch draws normal samples into an array: what is not contiguous, pair by pair."""
    contiguous = array.flags.c_contiguous
    return lambda shape, dtype: source.normal(mean, std, shape, dtype, contiguous=contiguous)


rand, rand_like = _sampler("rand", "check_uniform_bounds")
randn, randn_like = _sampler("randn", "normal_kernel_cpu")


def _bounds(function: str, given: tuple[Any, ...], named: dict[str, Any], position: int) -> tuple[int, int]:
    """The bounds of random integers: one is the upper bound, of two the first is the lower one."""
    names = ("high",) if len(given) == 1 and "high" not in named else ("low", "high")
    found = dict(zip(names, given, strict=False))
    if len(given) > 2 or found.keys() & named.keys() or "high" not in {*found, *named}:
        kinds = [type_name(x) for x in given] + [f"{name}={type_name(x)}" for name, x in named.items()]
        raise TypeError(
            f"{function}() received an invalid combination of arguments - got ({', '.join(kinds)}), but expected an "
            "upper bound, or a lower and an upper one"
        )
    place = {name: k for k, name in enumerate(names, position)}
    bounds = {name: integer(function, name, x, place.get(name)) for name, x in {**found, **named}.items()}
    return bounds.get("low", 0), bounds["high"]


@creates
def randint(*args: Any, generator: Any = None, dtype: dtype | None, **named: Any) -> Any:
    """``randint(high, size)``, ``randint(low, high, size)``: integers from `low` (0) up to but without `high`.

    RuntimeError unless low < high, or if the dtype (int64 by default) does not hold them.
    """
    if "size" in named:
        size, place = named.pop("size"), None
    elif len(args) > 1:
        *bounds, size = args
        args, place = tuple(bounds), len(args)
    else:
        raise TypeError('randint() missing 1 required positional arguments: "size"')
    for name in named:
        if name not in ("low", "high"):
            raise TypeError(f"randint() got an unexpected keyword argument '{name}'")
    low, high = _bounds("randint", args, named, 1)
    shape = sizes("randint", (sequence("randint", size, place),))
    return source_of("randint", generator).randint(low, high, shape, (dtype or dtypes.int64).numpy)


@creates_like
def randint_like(input: Tensor, *args: Any, generator: Any = None, dtype: dtype, **named: Any) -> Any:
    """Random integers of the shape and dtype of `input`, with bounds as in `randint`."""
    for name in named:
        if name not in ("low", "high"):
            raise TypeError(f"randint_like() got an unexpected keyword argument '{name}'")
    low, high = _bounds("randint_like", args, named, 2)
    source = source_of("randint_like", generator)
    return _drawn_like(input._data, dtype, lambda shape, kind: source.randint(low, high, shape, kind))


@creates
def randperm(n: int, *, generator: Any = None, dtype: dtype | None) -> Any:
    """The integers below `n` in random order; RuntimeError if `n` is negative or the dtype does not hold them."""
    kind, count = dtype or dtypes.int64, integer("randperm", "n", n, 1)
    if kind.category in (dtypes.BOOL, dtypes.COMPLEX):
        raise NotImplementedError(f"\"randperm\" not implemented for '{SCALAR_TYPE[kind.name]}'")
    if kind.category == dtypes.INTEGRAL:
        element(max(count, 0), kind)
    return source_of("randperm", generator).randperm(count, kind.numpy)
