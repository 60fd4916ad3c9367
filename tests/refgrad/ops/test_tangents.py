"""Tangents of every op in the harness's catalogue against torch, and against gradients."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from oracle import engines
from oracle.catalogue import CATALOGUE
from oracle.choices import Source, entropy
from oracle.generate import PROFILES, programs
from oracle.program import Call
from tests.refgrad.ops.compare import Input
from tests.refgrad.ops.tangents import assert_same_tangents

TORCH = engines.get("torch")
CALLS = 25
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


@pytest.mark.parametrize("name", CATALOGUE)
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
        assert_same_tangents(function, *inputs, dual=dual, precision=coarsest)


def _invoke(spec: Any, call: Call, module: Any, *tensors: Any) -> Any:
    return spec.invoke(module, tensors, call.params)
