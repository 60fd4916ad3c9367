"""Samples drawn from tensors, or into them: each has a node whose gradient is zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refgrad import distributions, dtypes
from refgrad.dtypes import C_NAMES, FROM_NUMPY, SCALAR_TYPE, dtype
from refgrad.generator import Generator
from refgrad.ops.arguments import integer, real, tensor_argument
from refgrad.ops.inplace import inplace
from refgrad.ops.limits import NOT_IMPLEMENTED, no_derivative
from refgrad.ops.making import creates, sequence, sizes
from refgrad.ops.record import Op
from refgrad.ops.sampling import check_floats, in_memory_order, normal_into, source_of
from refgrad.tensor import Tensor

__all__ = ["bernoulli", "normal"]


def _sampling(
    name: str,
    draw: Callable[..., Any],
    node: str,
    inputs: tuple[str, ...] = ("self",),
    formula: Any = None,
    into: bool = False,
) -> Op:
    """The record of a sampler: `draw(*arrays, **params)` gives samples on the host.

    Arrays are brought there first; but of what is drawn `into`, only the layout is looked at.
    """

    def kernel(xp: Any, *arrays: Any, **params: Any) -> Any:
        made = draw(*[a if into and not k else xp.to_host(a) for k, a in enumerate(arrays)], **params)
        return xp.from_host(np.asarray(made), xp.device_of(arrays[0]))

    return Op(name, kernel, dict.fromkeys(inputs, formula or (lambda F, g: F.zeros_like(g))), inputs=inputs, node=node)


def _into(draw: Callable[..., Any]) -> Callable[..., Any]:
    """A sampler that fills an array: `draw(array, shape, dtype, **params)` gives as many samples."""

    def fill(array: Any, **params: Any) -> Any:
        return in_memory_order(array, lambda shape, dtype: draw(array, shape, dtype, **params), array.dtype)

    return fill


def _chances(p: Any, source: Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    if p.size:
        _check_chances(FROM_NUMPY[p.dtype], FROM_NUMPY[np.dtype(dtype)])
    return source.bernoulli(p, shape, dtype)


def _check_chances(p: dtype, kind: dtype) -> None:
    if kind.is_complex:
        raise NotImplementedError(f"\"bernoulli_tensor_cpu_self_\" not implemented for '{SCALAR_TYPE[kind.name]}'")
    if not p.is_floating_point:
        raise NotImplementedError(f"\"bernoulli_tensor_cpu_p_\" not implemented for '{SCALAR_TYPE[p.name]}'")


def _chances_into(array: Any, p: Any, source: Generator) -> Any:
    p = np.broadcast_to(p, array.shape)
    order = sorted(range(array.ndim), key=lambda k: -array.strides[k])
    made = _chances(p.transpose(order), source, tuple([array.shape[k] for k in order]), array.dtype)
    return made.transpose([order.index(k) for k in range(array.ndim)])


_bernoulli = _sampling("bernoulli", lambda p, source: _chances(p, source, p.shape, p.dtype), "BernoulliBackward0")
_bernoulli_by = _sampling(
    "bernoulli_by",
    lambda x, p, source: source.bernoulli(p, x.shape, x.dtype),
    NOT_IMPLEMENTED,
    formula=no_derivative("bernoulli"),
)
_bernoulli_into = _sampling("bernoulli_into", _chances_into, "BernoulliBackward1", ("self", "p"), into=True)
_bernoulli_by_into = _sampling(
    "bernoulli_by_into",
    _into(lambda array, shape, dtype, p, source: source.bernoulli(p, shape, dtype)),
    "BernoulliBackward2",
    into=True,
)


def _check_chance(p: float, kind: dtype) -> None:
    if kind.is_complex:
        raise NotImplementedError(f"\"bernoulli_scalar_cpu_\" not implemented for '{SCALAR_TYPE[kind.name]}'")
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")


def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None) -> Tensor:
    """Zeros and ones; `input`, or `p` if given, is the chance of a one, in [0, 1] (else RuntimeError)."""
    source = source_of("bernoulli", generator)
    tensor_argument("bernoulli", input)
    if p is None:
        return _bernoulli(input, source=source)
    chance = real("bernoulli", "p", p, 2)
    _check_chance(chance, input.dtype)
    return _bernoulli_by(input, p=chance, source=source)


def _bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    source = source_of("bernoulli_", generator)
    if isinstance(p, Tensor):
        p.detach().expand(input._data.shape)  # raises where it does not
        return _bernoulli_into(input, p, source=source)
    chance = real("bernoulli_", "p", p, 1)
    _check_chance(chance, input.dtype)
    return _bernoulli_by_into(input, p=chance, source=source)


def _scaled(shape: tuple[int, ...], kind: np.dtype[Any], mean: Any, std: Any, source: Generator) -> Any:
    """Standard normal samples, scaled and moved, each step rounded to the dtype."""
    if np.any(np.asarray(std) < 0):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    check_floats(FROM_NUMPY[kind], "normal_kernel_cpu")
    made = source.normal(0.0, 1.0, shape, kind)
    return ((made * std).astype(kind) + mean).astype(kind)


def _around(mean: Any, std: float, source: Generator) -> Any:
    check_floats(FROM_NUMPY[mean.dtype], "normal_kernel_cpu")
    return source.normal(0.0, std, mean.shape, mean.dtype) + mean


_normal_around = _sampling("normal_around", _around, "NormalBackward1")
_normal_by = _sampling(
    "normal_by", lambda std, mean, source: _scaled(std.shape, std.dtype, mean, std, source), "NormalBackward2", ("std",)
)
_normal_of = _sampling(
    "normal_of",
    lambda mean, std, source: _scaled(np.broadcast_shapes(mean.shape, std.shape), mean.dtype, mean, std, source),
    "NormalBackward3",
    ("mean", "std"),
)


def _check_std(std: float) -> None:
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")


@creates
def _normal(mean: float, std: float, size: Any, *, dtype: dtype | None, source: Generator) -> Any:
    kind = dtype or dtypes.get_default_dtype()
    _check_std(std)
    check_floats(kind, "normal_kernel_cpu")
    return source.normal(mean, std, sizes("normal", (sequence("normal", size, 3),)), kind.numpy)


def normal(mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, **named: Any) -> Tensor:
    """Normal random numbers: of the given sizes, or one for each element of `mean` and `std`, if these are tensors.

    RuntimeError for a negative `std`.
    """
    source = source_of("normal", generator)
    tensors = isinstance(mean, Tensor), isinstance(std, Tensor)
    if not any(tensors):
        if size is None:
            raise TypeError("normal() received an invalid combination of arguments: numbers need a size")
        return _normal(real("normal", "mean", mean, 1), real("normal", "std", std, 2), size, source=source, **named)
    if size is not None or named:
        raise TypeError("normal() received an invalid combination of arguments: tensors have a size and a dtype")
    if tensors == (True, True):
        return _normal_of(mean, std, source=source)
    if tensors[1]:
        return _normal_by(std, mean=real("normal", "mean", mean, 1), source=source)
    deviation = real("normal", "std", std, 2)
    _check_std(deviation)
    return _normal_around(mean, std=deviation, source=source)


# In place


def _arguments(function: str, names: tuple[str, ...], given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name; TypeError for too many, unknown and doubled ones. torch has some named `from`."""
    if len(given) > len(names):
        raise TypeError(f"{function}() takes {len(names)} positional arguments but {len(given)} were given")
    found = dict(zip(names, given, strict=False))
    for name in named:
        if name not in names:
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'")
        if name in found:
            raise TypeError(f"{function}() got multiple values for argument '{name}'")
    return {**found, **named}


def _filler(
    name: str,
    defaults: dict[str, float | None],
    check: Callable[..., None],
    draw: Callable[..., Any],
) -> Callable[..., Tensor]:
    """The in-place form of a sampler with real parameters: `draw(array, shape, dtype, source, *parameters)`."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    op = _sampling(
        f"{name}into",
        _into(lambda array, shape, dtype, source, given: draw(array, shape, dtype, source, *given)),
        f"{camel}Backward0",
        into=True,
    )
    names = tuple(defaults)

    def fill(input: Tensor, *given: Any, generator: Any = None, **named: Any) -> Tensor:
        source = source_of(name, generator)
        found = {**defaults, **_arguments(name, names, given, named)}
        for missing in [k for k, value in found.items() if value is None and k not in named]:
            raise TypeError(f'{name}() missing 1 required positional arguments: "{missing}"')
        values = [real(name, key, value, k) for k, (key, value) in enumerate(found.items(), 1)]
        if input._data.size:
            check(input.dtype, *values)
        return op(input, source=source, given=tuple(values))

    return inplace(fill, name, casts=False)


def _positive(function: str, name: str, value: float) -> None:
    if not value > 0:
        raise RuntimeError(f"{function} expects {name} > 0.0, but found {name}={value:g}")


def _check_exponential(kind: dtype, rate: float) -> None:
    if not kind.is_floating_point:
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {SCALAR_TYPE[kind.name]}"
        )
    _positive("exponential_", "lambda", rate)


def _check_cauchy(kind: dtype, median: float, sigma: float) -> None:
    if not kind.is_floating_point:
        raise RuntimeError(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {C_NAMES[kind.name]}"
        )
    _positive("cauchy_", "sigma", sigma)


def _check_log_normal(kind: dtype, mean: float, std: float) -> None:
    _positive("log_normal_", "std", std)
    if not kind.is_floating_point:
        raise NotImplementedError(f"\"log_normal_cpu\" not implemented for '{SCALAR_TYPE[kind.name]}'")


def _check_geometric(kind: dtype, p: float) -> None:
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if kind.is_complex or kind is dtypes.bool_:
        raise NotImplementedError(f"\"geometric_cpu\" not implemented for '{SCALAR_TYPE[kind.name]}'")


def _check_normal(kind: dtype, mean: float, std: float) -> None:
    _check_std(std)
    check_floats(kind, "normal_kernel_cpu")


def _distribution(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda array, shape, dtype, source, *given: function(source, *given, shape, dtype)


_random_ops = {
    kind: _sampling(
        f"random_{kind}",
        _into(lambda array, shape, dtype, source, low, high: _random(source, low, high, shape, dtype)),
        f"RandomBackward{kind}",
        into=True,
    )
    for kind in range(3)
}


def _random(source: Generator, low: int | None, high: int | None, shape: tuple[int, ...], dtype: Any) -> Any:
    if low is None:
        if np.dtype(dtype).kind == "c":
            found = SCALAR_TYPE[FROM_NUMPY[np.dtype(dtype)].name]
            raise NotImplementedError(f"\"random_kernel_cpu\" not implemented for '{found}'")
        return source.random(shape, dtype)
    return source.random_from(low, shape, dtype) if high is None else source.randint(low, high, shape, dtype)


def _random_(input: Tensor, *given: Any, generator: Any = None, **named: Any) -> Tensor:
    """Integers: below an upper bound, between two bounds, or without bounds whatever the dtype holds."""
    source = source_of("random_", generator)
    names = ("to",) if len(given) == 1 and "to" not in named else ("from", "to")
    found = _arguments("random_", ("from", "to") if not given else names, given, named)
    values = {
        name: None if value is None and name == "to" and "from" in found else integer("random_", name, value)
        for name, value in found.items()
    }
    if not values:
        return _random_ops[2](input, source=source, low=None, high=None)
    if "from" not in values:
        return _random_ops[1](input, source=source, low=0, high=values["to"])
    return _random_ops[0](input, source=source, low=values["from"], high=values.get("to"))


METHODS = {
    "bernoulli": bernoulli,
    "bernoulli_": inplace(_bernoulli_, "bernoulli_", casts=False),
    "random_": inplace(_random_, "random_", casts=False),
    "uniform_": _filler(
        "uniform_",
        {"from": 0.0, "to": 1.0},
        lambda kind, low, high: check_floats(kind, "check_uniform_bounds"),
        lambda array, shape, dtype, source, low, high: source.uniform(low, high, shape, dtype),
    ),
    "normal_": _filler(
        "normal_",
        {"mean": 0.0, "std": 1.0},
        _check_normal,
        lambda array, shape, dtype, source, mean, std: normal_into(array, source, mean, std)(shape, dtype),
    ),
    "exponential_": _filler(
        "exponential_", {"lambd": 1.0}, _check_exponential, _distribution(distributions.exponential)
    ),
    "geometric_": _filler("geometric_", {"p": None}, _check_geometric, _distribution(distributions.geometric)),
    "cauchy_": _filler("cauchy_", {"median": 0.0, "sigma": 1.0}, _check_cauchy, _distribution(distributions.cauchy)),
    "log_normal_": _filler(
        "log_normal_", {"mean": 1.0, "std": 2.0}, _check_log_normal, _distribution(distributions.log_normal)
    ),
}
