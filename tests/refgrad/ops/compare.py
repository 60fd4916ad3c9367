"""Run one function under torch and under refgrad, and hold everything an observer can see against each other.

    assert_same(lambda torch, x: torch.logsumexp(x, 0), array)

The function gets the module and a tensor for each input; it returns a tensor, or a tuple or list of tensors.
Compared are values, dtypes, shapes, strides and state of the results, the names in their graph, first
gradients under random cotangents (plain, and under create_graph), and second gradients under random
cotangents. Where torch raises, refgrad must raise the same class with the same leading text. Unless told
otherwise the function runs on the strict stand-in for CuPy as well.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import refgrad
from refgrad.devices import CudaModule, cuda_served_by
from tests import strictcupy
from tests.strictcupy import cupyx_scipy_special

ULPS = 8
"""How far apart two results may be, in units of the spacing at the largest number that entered them.

Sums of a few dozen elements in another order, and the 1 to 4 ulps that functions of the array packages
promise, stay below it. The largest number counts, since what cancels in a sum is known no better: for a
result that of the inputs and the result, for a gradient that of everything before it as well.
"""

TEXT = 50
"""So many characters of an error's text must agree."""


class Input(NamedTuple):
    """An input with a layout of its own: "transposed", "strided", or "expanded" along a new dimension."""

    array: Any
    layout: str = "contiguous"
    requires_grad: bool = True


def assert_same(
    function: Callable[..., Any],
    *inputs: Any,
    ulps: float = ULPS,
    second: bool = True,
    cuda: bool = True,
    state: bool = True,
    precision: str | None = None,
) -> None:
    """Fail unless the function does the same under both modules.

    Arrays and numbers become tensors that require grad where their dtype allows it. `second` also compares
    second gradients; `cuda` also runs on the stand-in for CuPy; `state` also compares the names in the graph.
    `precision` names a dtype: nothing is measured in finer units than its own.
    """
    given = [x if isinstance(x, Input) else Input(np.asarray(x)) for x in inputs]
    expected = _outcome(function, torch, given, "cpu", second)
    places = ["cpu"]
    if cuda:
        places.append("cuda")
    for place in places:
        with cuda_served_by(CudaModule(strictcupy, cupyx_scipy_special)):
            found = _outcome(function, refgrad, given, place, second)
        agree(found, expected, ulps, state, f"on {place}", precision)


def _outcome(function: Any, module: Any, given: list[Input], place: str, second: bool) -> dict[str, Any]:
    """Everything seen, by name; an exception as (class name, text)."""
    seen: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            leaves = [leaf(module, x, place) for x in given]
            seen.update(_seen(function, module, leaves, second))
        except Exception as error:
            seen["error"] = (type(error).__name__, str(error).partition("\n")[0][:TEXT])
    return seen


def leaf(module: Any, x: Input, place: str) -> Any:
    array = np.asarray(x.array)
    if x.layout == "transposed":
        t = module.tensor(np.ascontiguousarray(array.T), device=_device(module, place)).permute(
            *range(array.ndim)[::-1]
        )
    elif x.layout == "strided":
        wide = np.repeat(array[..., None], 2, axis=-1)
        t = module.tensor(wide, device=_device(module, place))[..., 0]
    else:
        t = module.tensor(array, device=_device(module, place))
        if x.layout == "expanded":
            t = t.expand(3, *array.shape)
    return t.requires_grad_() if array.dtype.kind in "fc" and x.requires_grad else t


def _device(module: Any, place: str) -> str:
    return "cpu" if module is torch else place


def _seen(function: Any, module: Any, leaves: list[Any], second: bool) -> Iterator[tuple[str, Any]]:
    for k, x in enumerate(leaves):
        yield f"input {k}", described(x)
    results = function(module, *leaves)
    outputs = list(results) if isinstance(results, (tuple, list)) else [results]
    yield "results", len(outputs)
    for k, y in enumerate(outputs):
        yield f"result {k}", described(y)
        yield f"strides of result {k}", strides(y)
        yield f"graph of result {k}", _graph(y)
    roots = [y for y in outputs if y.requires_grad]
    wanted = [x for x in leaves if x.requires_grad]
    if not roots or not wanted:
        return
    seeds = [cotangent(module, y, k) for k, y in enumerate(roots)]
    grads = module.autograd.grad(roots, wanted, seeds, retain_graph=True, allow_unused=True)
    for k, g in enumerate(grads):
        yield f"gradient {k}", described(g)
    if not second:
        return
    for x in seeds:
        x.requires_grad_()
    again = module.autograd.grad(roots, wanted, seeds, create_graph=True, allow_unused=True)
    for k, g in enumerate(again):
        yield f"gradient {k} with a graph", described(g)
    deeper = [g for g in again if g is not None and g.requires_grad]
    if not deeper:
        return
    targets = wanted + seeds
    grads = module.autograd.grad(
        deeper, targets, [cotangent(module, g, 10 + k) for k, g in enumerate(deeper)], allow_unused=True
    )
    for k, (g, x) in enumerate(zip(grads, targets, strict=True)):
        # Zero and no gradient at all are the same to second order: engines differ in what they prune.
        yield f"second gradient {k}", described(g if g is not None else module.zeros_like(x))


def cotangent(module: Any, y: Any, salt: int) -> Any:
    array = np.random.default_rng([salt, *y.shape]).uniform(0.5, 2, tuple(y.shape))
    signs = np.where(np.arange(array.size) % 3 == 1, -1, 1).reshape(array.shape)
    made = module.tensor(array * signs, device=y.device)
    return made.to(y.dtype)


def described(y: Any) -> Any:
    if y is None:
        return None
    return {
        "values": np.array(y.detach().numpy(force=True)),
        "dtype": str(y.dtype),
        "requires_grad": y.requires_grad,
        "is_leaf": y.is_leaf,
    }


def strides(y: Any) -> Any:
    """The steps of dimensions where there are any: torch's rules for views go by them."""
    return [s for s, n in zip(y.stride(), y.shape, strict=True) if n > 1] if y.numel() else []


def _graph(y: Any) -> Any:
    """The names of the nodes behind a result, nested as they are linked."""

    def below(node: Any) -> Any:
        if node is None:
            return None
        name = node.name().rpartition("::")[2]
        return [name, *[(below(n), k) for n, k in node.next_functions]]

    return below(y.grad_fn)


def agree(
    found: dict[str, Any], expected: dict[str, Any], ulps: float, state: bool, where: str, precision: str | None
) -> None:
    scale = 0.0
    for what, true in expected.items():
        if not state and what.startswith("graph"):
            continue
        assert what in found, f"{where}: no {what}: {found.get('error')}"
        mine = found[what]
        if isinstance(true, dict) and isinstance(mine, dict):
            scale = _close(mine, true, ulps, scale, f"{where}: {what}", precision)
        else:
            assert mine == true, f"{where}: {what} is {mine}, expected {true}"
    assert "error" not in found or "error" in expected, f"{where}: {found['error']}"


def _close(
    mine: dict[str, Any], true: dict[str, Any], ulps: float, scale: float, what: str, precision: str | None
) -> float:
    """Fail unless two arrays agree; returns the largest number so far."""
    a, b = mine["values"], true["values"]
    assert (mine["dtype"], a.shape) == (true["dtype"], b.shape), (
        f"{what}: {mine['dtype']} {a.shape}, expected {true['dtype']} {b.shape}"
    )
    for state in ("requires_grad", "is_leaf"):
        if state != "is_leaf" or "gradient" not in what:  # how a gradient came about is an engine's own business
            assert mine[state] == true[state], f"{what}: {state} is {mine[state]}"
    if a.dtype.kind not in "fc":
        assert np.array_equal(a, b), f"{what}: {a}, expected {b}"
        return scale
    for x, y in ((a.real, b.real), (a.imag, b.imag)):
        assert np.array_equal(np.isnan(x), np.isnan(y)), f"{what}: NaNs at other places: {x}, expected {y}"
        for sign in (-np.inf, np.inf):
            assert np.array_equal(x == sign, y == sign), f"{what}: infinities at other places: {x}, expected {y}"
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite.any():
        return scale
    a, b = a[finite], b[finite]
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    apart = np.abs(a.astype(wide) - b.astype(wide)).max()
    scale = max(scale, float(np.abs(b).max()))
    unit = max(_spacing(kind, scale) for kind in {a.dtype, np.dtype(precision or a.dtype)})
    assert apart <= ulps * unit, f"{what}: {apart / unit:.3g} ulps apart, at most {ulps} allowed: {a}, expected {b}"
    return scale


def _spacing(kind: np.dtype[Any], scale: float) -> float:
    """The distance of neighbouring numbers of a dtype at `scale`, which may lie beyond its largest."""
    limits = np.finfo(kind)
    smallest = float(limits.smallest_subnormal)
    return max(smallest, float(limits.eps) * 2.0 ** math.floor(math.log2(scale))) if scale else smallest
