"""What the catalogue says about an op is so: how it is called, what it accepts, what a draw predicts."""

import itertools
from operator import attrgetter

import numpy as np
import pytest
import torch

from oracle import engines
from oracle.catalogue import CATALOGUE, DRAWN, pointwise, registry
from oracle.catalogue.params import FLOATS
from oracle.catalogue.scene import RANK, Live, Scene, broadcast, promote
from oracle.catalogue.values import ANY, POOL, hashed, pool
from oracle.choices import Source, entropy
from oracle.functions import FUNCTIONS
from oracle.generate import PROFILES, programs
from oracle.program import Call, check

TORCH = engines.get("torch")


def test_names_are_unique():
    assert all(name == spec.name for name, spec in CATALOGUE.items())
    with pytest.raises(ValueError, match="share a name"):
        registry(pointwise.SPECS, pointwise.SPECS[:1])


def test_the_range_of_ops():
    assert len(CATALOGUE) >= 120
    assert {spec.family for spec in CATALOGUE.values()} == {
        "pointwise",
        "reductions",
        "shape",
        "indexing",
        "linalg",
        "inplace",
        "custom",
    }


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_target_exists(name):
    spec = CATALOGUE[name]
    match spec.style:
        case "function" | "sequence" | "einsum":
            assert callable(attrgetter(spec.target)(torch))
        case "out":
            assert callable(getattr(torch, spec.target))
        case "method" | "number" | "index_put":
            assert callable(getattr(torch.Tensor, spec.target))
        case "attribute":
            assert hasattr(torch.Tensor, spec.target)
        case "custom":
            assert spec.target in FUNCTIONS
        case _:
            assert spec.target in ("+", "-", "*", "/", "**", "getitem", "setitem", "iter", "deepcopy")


@pytest.mark.parametrize("name", DRAWN)
def test_calls_and_their_source_do_the_same(name):
    """The op alone: valid by its own entry, accepted by torch, and its source text gives the same numbers."""
    spec = CATALOGUE[name]
    source = Source(programs(PROFILES["smoke"].restricted([name])))
    calls = 0
    for index in range(12):
        program = source.draw(entropy(3, index))
        check(program)
        tensors = [TORCH.leaf(leaf) for leaf in program.leaves]
        for statement in program.statements:
            if not isinstance(statement, Call):
                break
            calls += 1
            made = TORCH.call(spec, [tensors[i] for i in statement.inputs], statement.params)
            text = spec.source([f"t[{i}]" for i in statement.inputs], statement.params)
            written = eval(text, {"torch": torch, "t": tensors, "float": float, "slice": slice})
            written = (written,) if isinstance(written, torch.Tensor) else written
            assert len(made) == len(written) == statement.outputs, text
            for a, b in zip(made, written, strict=True):
                np.testing.assert_array_equal(a.numpy(force=True), b.numpy(force=True), err_msg=text)
            tensors.extend(made)
    assert calls >= 10


def test_source_of_numbers_that_are_not_finite():
    spec = CATALOGUE["masked_fill"]
    assert spec.source(["a", "b"], {"value": float("-inf")}) == "torch.masked_fill(a, b, value=float('-inf'))"
    assert spec.source(["a", "b"], {"value": 2}, "m") == "m.masked_fill(a, b, value=2)"


def test_source_of_operators():
    spec = CATALOGUE["sub_operator"]
    assert spec.source(["a"], {"scalar": -2, "side": "left"}) == "(-2) - a"
    assert spec.source(["a"], {"scalar": -0.5, "side": "right"}) == "a - (-0.5)"
    assert spec.source(["a"], {"scalar": -0.0, "side": "left"}) == "(-0.0) - a"
    assert spec.source(["a", "b"], {}) == "a - b"


@pytest.mark.parametrize(
    "equation", ["", "ij,jk->ik", "...i->...", "a->", "->", "i,i", "ab,bc,cd->ad"], ids=repr
)
def test_equations_allowed(equation):
    assert CATALOGUE["einsum"].params["equation"].accepts(equation)


@pytest.mark.parametrize(
    "equation",
    ["ij;import os", "i'", "i\n", "I->I", "i->i->i", "i" * 99, "\\", "é", None, 3, ["i"]],
    ids=repr,
)
def test_equations_refused(equation):
    assert not CATALOGUE["einsum"].params["equation"].accepts(equation)


HOSTILE_VALUES = (
    "x()",
    "__import__('os')",
    {"a": 1},
    {"slice": 1},
    [["x"]],
    [{"tensor": "x"}],
    [{"tensor": -1}],
    [{"slice": [1, 2]}],
    [{"slice": ["a", None, None]}],
    [{"ellipsis": 1}],
    [{"tensor": 1, "slice": [0, 0, 0]}],
    [0] * 1000,
    10**30,
    -(10**30),
    float("nan"),
    b"x",
    object(),
)


@pytest.mark.parametrize("name", [name for name, spec in CATALOGUE.items() if spec.params])
def test_no_parameter_accepts_what_could_break_out(name):
    for param in CATALOGUE[name].params.values():
        for value in HOSTILE_VALUES:
            if param.accepts(value):
                assert isinstance(value, float) and param.allowed == "a number", (param, value)


@pytest.mark.parametrize("shapes", list(itertools.product([(), (2,)], repeat=2)), ids=repr)
def test_promotion_is_torchs(shapes):
    for first, second in itertools.product(RANK, repeat=2):
        a, b = Live(shapes[0], first), Live(shapes[1], second)
        given = [torch.zeros(t.shape, dtype=getattr(torch, t.dtype)) for t in (a, b)]
        assert f"torch.{promote(a, b)}" == str(torch.result_type(*given)), (first, second)


def test_broadcasting_is_torchs():
    shapes = [(), (1,), (2,), (0,), (2, 1), (1, 3), (2, 3), (4, 1, 3), (2, 0)]
    for a, b in itertools.product(shapes, repeat=2):
        try:
            expected = tuple(torch.broadcast_shapes(a, b))
        except RuntimeError:
            expected = None
        assert broadcast(a, b) == expected


@pytest.mark.parametrize("dtype", FLOATS)
def test_pools_hold_what_the_dtype_holds(dtype):
    for name in {*ANY.pools, "zero", "above", "unit", "edge", "wild", "special", "cotangent"}:
        values, low, high = pool(name, dtype)
        assert len(values) == POOL
        array = np.array(values, dtype)
        np.testing.assert_array_equal(array.astype("float64"), np.array(values))
        finite = [v for v in values if np.isfinite(v)]
        assert low <= min(finite) and max(finite) <= high
        assert (len(finite) == POOL) == (name != "special")


def test_plain_values_have_zeros_ties_and_plain_numbers():
    values = np.array(pool("plain", "float64")[0])
    assert 0.05 < np.mean(values == 0) < 0.15
    assert np.mean(np.signbit(values) & (values == 0)) > 0
    assert np.mean(values == np.round(values)) > 0.2
    assert len(np.unique(values)) > POOL / 3


def test_decoding_is_even():
    """Small words, as Hypothesis prefers them, spread over all choices."""
    for words in (range(1, 12501), [w << 90 for w in range(1, 12501)]):
        counts, scene = np.zeros((2, 125)), Scene(0)
        for word in words:
            scene.feed(word)
            counts[0][scene.take(125)] += 1
            counts[1][scene.take(125)] += 1
        assert counts.min() > 50  # of 100 on average
        assert counts.max() < 150


def test_zero_decodes_to_the_first_choice():
    scene = Scene(0)
    scene.feed(0)
    assert [scene.take(n) for n in (2, 7, 125, 2**20)] == [0, 0, 0, 0]
    assert hashed(0, 5, 3) == [0, 1, 2]
    assert hashed(1, 5, 3) != hashed(1, 6, 3)
    assert len(hashed(1, 0, 500)) == 500
