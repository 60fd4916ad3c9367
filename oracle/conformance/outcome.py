"""One sample on one engine: its values, its gradients, and those of its gradients."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

NEAR = {
    **{"float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)},
    **{"complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7)},
}
"""By dtype, relative and absolute, as in `torch.testing.assert_close`."""

Arrays = tuple[np.ndarray | None, ...]


class Outcome(NamedTuple):
    """What a sample shows, as arrays; None for a gradient that does not exist. `second`: empty where not asked for."""

    values: Arrays
    gradients: Arrays
    second: Arrays


class NoArray(Exception):
    """A result that NumPy has no array for: of a sparse layout, or bfloat16."""


class Call(NamedTuple):
    """A function and what it is called with, all of one engine; `process` picks what of its results is compared."""

    function: Callable[..., Any]
    input: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    process: Callable[[Any], Any]


def outcome(module: ModuleType, call: Call, second: bool) -> Outcome:
    """Runs the call on the engine of `module`; its exceptions pass through."""
    grad: Any = module.autograd.grad
    module.manual_seed(0)
    made = call.process(call.function(call.input, *call.args, **call.kwargs))
    tensors = flat(made, module)
    values = tuple([array_of(t) for t in tensors])
    leaves = [t for t in flat((call.input, call.args, call.kwargs), module) if t.requires_grad]
    leaves = list({id(t): t for t in leaves}.values())
    roots = [t for t in tensors if t.requires_grad]
    if not roots or not leaves:
        return Outcome(values, (), ())
    seeds = [cotangent(module, t, place) for place, t in enumerate(roots)]
    gradients = grad(roots, leaves, seeds, create_graph=second, allow_unused=True)
    first = tuple([None if g is None else array_of(g) for g in gradients])
    places = [place for place, g in enumerate(gradients) if g is not None and g.requires_grad]
    if not second or not places:
        return Outcome(values, first, ())
    roots = [gradients[place] for place in places]
    seeds = [cotangent(module, gradients[place], 100 + place) for place in places]
    again = grad(roots, leaves, seeds, allow_unused=True)
    return Outcome(values, first, tuple([None if g is None else array_of(g) for g in again]))


def flat(value: Any, module: Any) -> list[Any]:
    """The tensors in a value, in their order."""
    if isinstance(value, module.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [t for item in value for t in flat(item, module)]
    return []


def array_of(tensor: Any) -> np.ndarray:
    try:
        return np.array(tensor.numpy(force=True))
    except TypeError as error:
        raise NoArray(str(error)) from error


def cotangent(module: Any, tensor: Any, place: int) -> Any:
    """Numbers of no particular kind, the same for each engine."""
    random = np.random.default_rng([place, *tensor.shape])
    data = random.uniform(-1.0, 1.0, tuple(tensor.shape))
    if tensor.dtype.is_complex:
        data = data + 1j * random.uniform(-1.0, 1.0, tuple(tensor.shape))
    return module.tensor(data).to(tensor.dtype)


def difference(mine: Outcome, true: Outcome) -> str | None:
    """Where two outcomes part, and how. None where they agree."""
    for what, ours, theirs in zip(Outcome._fields, mine, true, strict=True):
        if len(ours) != len(theirs):
            return f"{what}: {len(ours)} instead of {len(theirs)}"
        for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if text := _parted(a, b):
                return f"{what} {place}: {text}"
    return None


def _parted(mine: np.ndarray | None, true: np.ndarray | None) -> str | None:
    if mine is None or true is None:
        if mine is true:
            return None
        return "none, where torch has one" if mine is None else "one, where torch has none"
    if mine.shape != true.shape or mine.dtype != true.dtype:
        return f"{mine.dtype}{list(mine.shape)} instead of {true.dtype}{list(true.shape)}"
    if true.dtype.kind not in "fc":
        return None if np.array_equal(mine, true) else "other numbers"
    relative, absolute = NEAR[true.dtype.name]
    with np.errstate(all="ignore"):
        fine = np.isclose(mine, true, relative, absolute, equal_nan=True)
    if fine.all():
        return None
    worst = np.abs(mine - true)[~fine]
    return f"{worst.size} of {true.size} elements differ, by up to {np.nanmax(worst, initial=0.0):.3g}"
