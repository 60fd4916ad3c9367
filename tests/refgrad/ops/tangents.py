"""Run one call under torch and under refgrad in forward mode, and hold tangents and what follows from them together.

    assert_same_tangents(lambda torch, x: torch.sin(x), array)

Each floating input gets a tangent, unless told otherwise. Compared are the tangents of the results: whether there
is one, its numbers, dtype, shape and strides; forward over reverse: the tangents of gradients that are computed
while the inputs are dual; and reverse over forward: the gradients of tangents. All under random cotangents. In
refgrad alone tangents must agree with gradients: the product of cotangent and tangent of the results is that of
gradients and tangents of the inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import refgrad
from refgrad.autograd import forward_ad
from refgrad.devices import CudaModule, cuda_served_by
from tests import strictcupy
from tests.refgrad.ops.compare import TEXT, ULPS, Input, agree, cotangent, described, leaf, strides
from tests.strictcupy import cupyx_scipy_special

FORWARD = {torch: torch.autograd.forward_ad, refgrad: forward_ad}


def assert_same_tangents(
    function: Callable[..., Any],
    *inputs: Any,
    dual: tuple[bool, ...] = (),
    ulps: float = ULPS,
    precision: str | None = None,
    second: bool = True,
    reverse: bool = True,
    transposed: bool = True,
    cuda: bool = False,
) -> None:
    """Fail unless tangents are the same under both modules, and agree with gradients.

    `dual` tells for each input whether it gets a tangent; all do by default. `second`: also compare second
    derivatives; without `reverse` only those by forward over reverse. `transposed`: tangents agree with gradients.
    `cuda` also runs on the stand-in for CuPy.
    """
    given = [x if isinstance(x, Input) else Input(np.asarray(x)) for x in inputs]
    chosen = dual or (True,) * len(given)
    expected = outcome(function, torch, given, chosen, second, reverse)
    for place in ("cpu", "cuda") if cuda else ("cpu",):
        with cuda_served_by(CudaModule(strictcupy, cupyx_scipy_special)):
            found = outcome(function, refgrad, given, chosen, second, reverse, place)
        agree(found, expected, ulps, False, f"forward on {place}", precision)
    if transposed:
        _transposed(function, given, chosen, ulps, precision)


def outcome(
    function: Callable[..., Any],
    module: Any,
    given: list[Input],
    chosen: tuple[bool, ...],
    second: bool = True,
    reverse: bool = True,
    place: str = "cpu",
) -> dict[str, Any]:
    """Everything seen, by name; an exception as (class name, text)."""
    seen: dict[str, Any] = {}
    with warnings.catch_warnings(), FORWARD[module].dual_level():
        warnings.simplefilter("ignore")
        try:
            leaves = [leaf(module, x, place) for x in given]
            seen.update(_tangents(function, module, leaves, chosen, second, reverse))
        except Exception as error:
            seen["error"] = (type(error).__name__, str(error).partition("\n")[0][:TEXT])
    return seen


def _duals(module: Any, leaves: list[Any], chosen: tuple[bool, ...]) -> list[Any]:
    make = FORWARD[module].make_dual
    return [
        make(x, cotangent(module, x, 20 + k)) if c and (x.is_floating_point() or x.is_complex()) else x
        for k, (x, c) in enumerate(zip(leaves, chosen, strict=True))
    ]


def _results(function: Callable[..., Any], module: Any, duals: list[Any]) -> list[Any]:
    made = function(module, *duals)
    return list(made) if isinstance(made, (tuple, list)) else [made]


def _tangents(
    function: Callable[..., Any],
    module: Any,
    leaves: list[Any],
    chosen: tuple[bool, ...],
    second: bool,
    reverse: bool,
) -> Iterator[tuple[str, Any]]:
    unpack = FORWARD[module].unpack_dual
    for k, x in enumerate(leaves):
        yield f"input {k}", described(x)
    duals = _duals(module, leaves, chosen)
    outputs = _results(function, module, duals)
    roots = [y for y in outputs if y.requires_grad]
    wanted = [x for x in leaves if x.requires_grad]
    for k, y in enumerate(outputs):
        yield f"result {k}", described(unpack(y).primal)
        tangent = unpack(y).tangent
        yield f"tangent {k}", None if tangent is None else described(tangent.detach())
        if tangent is not None:
            yield f"strides of tangent {k}", strides(tangent)
        if tangent is not None and second and reverse:
            for n, x in enumerate(wanted):
                yield f"gradient {n} of tangent {k}", described(_slope(module, tangent, x))
    if not second or not roots or not wanted:
        return
    seeds = [cotangent(module, y, k) for k, y in enumerate(roots)]
    grads = module.autograd.grad(roots, wanted, seeds, allow_unused=True)
    for k, (g, x) in enumerate(zip(grads, wanted, strict=True)):
        yield f"gradient {k}", described(g)
        if g is not None:
            tangent = unpack(g).tangent
            yield f"tangent of gradient {k}", described(tangent if tangent is not None else module.zeros_like(x))


def _slope(module: Any, tangent: Any, x: Any) -> Any:
    """The gradient of a tangent. None and zeros are the same to second order: engines differ in what they prune."""
    g = None
    if tangent.requires_grad:
        (g,) = module.autograd.grad(tangent, x, cotangent(module, tangent, 30), retain_graph=True, allow_unused=True)
    return module.zeros_like(x) if g is None else g


def _transposed(
    function: Callable[..., Any], given: list[Input], chosen: tuple[bool, ...], ulps: float, precision: str | None
) -> None:
    """Fail unless tangents are the derivative that gradients are the transpose of."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore")
        leaves = [leaf(refgrad, x._replace(requires_grad=True), "cpu") for x in given]
        try:
            duals = _duals(refgrad, leaves, chosen)
            outputs = _results(function, refgrad, duals)
        except Exception:  # as in torch: seen before
            return
        parts = [forward_ad.unpack_dual(y) for y in outputs]
        parts = [p for p in parts if p.primal.requires_grad and p.tangent is not None]
        pairs = [(x, forward_ad.unpack_dual(d).tangent) for x, d in zip(leaves, duals, strict=True)]
        pairs = [(x, t) for x, t in pairs if t is not None]
    roots = [p.primal for p in parts]
    if not roots:
        return
    seeds = [cotangent(refgrad, y, k) for k, y in enumerate(roots)]
    forward = [(s, p.tangent) for s, p in zip(seeds, parts, strict=True)]
    grads = refgrad.autograd.grad(roots, [x for x, _ in pairs], seeds, allow_unused=True)
    backward = [(g, t) for g, (_, t) in zip(grads, pairs, strict=True) if g is not None]
    with np.errstate(invalid="ignore"):
        left, right = _terms(forward), _terms(backward)
    kinds = [t._data.dtype for pair in (*forward, *pairs) for t in pair] + [np.dtype(precision or "float64")]
    if np.isfinite(left).all() and np.isfinite(right).all():  # else torch has had the word on what is where
        unit = max([float(np.finfo(kind).eps) for kind in kinds]) * (np.abs(left).sum() + np.abs(right).sum())
        apart = abs(left.sum() - right.sum())
        assert apart <= ulps * unit, f"{left.sum()} forward, {right.sum()} backward"


def _terms(pairs: list[tuple[Any, Any]]) -> Any:
    """The terms of the real inner product of two lists of tensors."""
    wide = [[t.detach().numpy().astype(np.complex128).ravel() for t in pair] for pair in pairs]
    return np.concatenate([np.zeros(1), *[(np.conj(a) * b).real for a, b in wide]])


def hessian_times_vector(function: Callable[..., Any], module: Any, array: Any) -> tuple[Any, Any]:
    """The Hessian of the result's sum with random factors, times a random vector: forward over reverse, and reversed.

    The second is zeros where nothing can be differentiated.
    """
    with FORWARD[module].dual_level():
        x = module.tensor(array, requires_grad=True)
        dual = FORWARD[module].make_dual(x, cotangent(module, x, 1))
        y = function(module, dual)
        factors = cotangent(module, y, 2)
        (g,) = module.autograd.grad(y, x, factors, retain_graph=True)
        one = FORWARD[module].unpack_dual(g).tangent
        one = module.zeros_like(x) if one is None else one
        other = module.zeros_like(x)
        if module is refgrad:
            (other,) = module.autograd.grad(FORWARD[module].unpack_dual(y).tangent, x, factors)
        return one.detach().numpy().copy(), other.detach().numpy().copy()
