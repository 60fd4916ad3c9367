"""Tangents of every op in the harness's catalogue against torch, and against gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from oracle import engines
from oracle.catalogue import CATALOGUE, DRAWN
from oracle.choices import Source, entropy
from oracle.generate import PROFILES, programs
from oracle.program import Call
from tests.refgrad.ops.compare import Input
from tests.refgrad.ops.tangents import assert_same_tangents, hessian_times_vector, outcome

TORCH = engines.get("torch")
CALLS = 25
# torch cannot go backward through the tangents of these, or gives NaN for them where there are zeros.
NOT_REVERSED = ("cumprod", "log_softmax", "logsumexp", "norm", "softmax")
# torch takes a short way through zeros in backward, which it does not differentiate in forward mode.
PRODUCTS = ("cumprod", "prod")
LAYOUTS = ("contiguous", "contiguous", "transposed", "strided")


def calls(name: str) -> list[tuple[Call, list[Any]]]:
    """Calls of one op that the catalogue draws, with the values of their inputs."""
    spec, found = CATALOGUE[name], []
    source = Source(programs(PROFILES["smoke"].restricted([name])))
    index = 0
    while len(found) < CALLS:
        program = source.draw(entropy(17, index))
        index += 1
        tensors = [TORCH.leaf(x) for x in program.leaves]
        for statement in program.statements:
            if not isinstance(statement, Call):
                break
            given = [tensors[i] for i in statement.inputs]
            found.append((statement, [t.numpy(force=True).copy() for t in given]))
            tensors.extend(TORCH.call(spec, given, statement.params))
    return found[:CALLS]


def _layout(array: Any, random: Any) -> str:
    return str(random.choice(LAYOUTS)) if array.ndim and array.dtype.kind in "fc" else "contiguous"


@pytest.mark.parametrize("name", DRAWN)
def test_tangents(name: str) -> None:
    spec = CATALOGUE[name]
    for number, (call, arrays) in enumerate(calls(name)):
        random = np.random.default_rng([number, len(arrays)])
        inputs = [Input(a, _layout(a, random), random.random() < 0.7) for a in arrays]
        dual = tuple([random.random() < 0.7 for _ in arrays])
        if not any(dual):
            dual = (True,) * len(arrays)
        kinds = {str(a.dtype) for a in arrays if a.dtype.kind in "fc"}
        coarsest = next((kind for kind in ("float16", "float32") if kind in kinds), None)
        function = functools.partial(_invoke, spec, call)
        assert_same_tangents(
            function,
            *inputs,
            dual=dual,
            precision=coarsest,
            second=name not in PRODUCTS or bool(arrays[0].all()),
            reverse=name not in NOT_REVERSED,
        )


def _invoke(spec: Any, call: Call, module: Any, *tensors: Any) -> Any:
    return spec.invoke(module, tensors, call.params)


ZEROS = np.array([[1.0, 0.0, 3.0], [-2.0, 0.0, 0.5]])
REVERSED: dict[str, Callable[..., Any]] = {
    "cumprod": lambda t, x: t.cumprod(x, 1),
    "log_softmax": lambda t, x: t.log_softmax(x, 1),
    "logsumexp": lambda t, x: t.logsumexp(x, 1),
    "norm": lambda t, x: t.norm(x * x.exp(), p=1, dim=1),
    "softmax": lambda t, x: t.softmax(x, 1),
}


@pytest.mark.parametrize("name", NOT_REVERSED)
def test_tangents_that_torch_does_not_reverse(name: str) -> None:
    """torch fails; here reverse over forward gives what forward over reverse gives, which is the same."""
    theirs = outcome(REVERSED[name], torch, [Input(ZEROS)], (True,))
    failed = theirs.get("error", ("", ""))[1].startswith("one of the variables needed for gradient")
    assert failed or np.isnan(theirs["gradient 0 of tangent 0"]["values"]).any()
    one, other = hessian_times_vector(REVERSED[name], refgrad, ZEROS)
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PRODUCTS)
def test_second_derivatives_of_products_with_zeros(name: str) -> None:
    function = REVERSED.get(name, lambda t, x: t.prod(x))
    one, other = hessian_times_vector(function, refgrad, ZEROS)
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    theirs, _ = hessian_times_vector(function, torch, ZEROS)
    assert not np.allclose(theirs, one)
