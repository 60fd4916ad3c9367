"""The random stream against torch's CPU generator: values, state and errors, call by call."""

import math
import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import refgrad
from refgrad import generator as module
from refgrad.generator import DEFAULT_SEED, Generator, default_generator

FLOATS = ("float16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
ALL = (*FLOATS, *COMPLEX, *SIGNED, *UNSIGNED, "bool")
SEEDS = (0, 1, -1, 7, 123456789, 2**32 - 1, 2**32, 2**32 + 7, 2**63, -(2**63), 2**64 - 1, DEFAULT_SEED)
SHAPES = ((), (0,), (1,), (5,), (2, 3), (15,), (16,), (17,), (4, 8), (3, 0, 2), (33,), (700,))

# torch's x86 kernels with AVX2 round a multiply-add once; others may round twice, and the angle otherwise.
FUSED = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")

# The largest distance to torch of standard normal samples in blocks, as seen in 250 million of each dtype. In
# float32 three quarters of a turn are the exception: there torch's cosine, about 1e-8, is off by 9 ulp.
BLOCK_ULPS = {"float16": 1, "float32": 3, "float64": 2}
EXCEPTION_ULPS = 9


# ---- the two sides of a call


@dataclass(frozen=True)
class Call:
    method: str
    arguments: tuple[Any, ...]


def torch_dtype(dtype: str) -> torch.dtype:
    return getattr(torch, dtype)


def torch_side(call: Call, stream: torch.Generator) -> torch.Tensor:
    *numbers, last, dtype = call.arguments
    kind = torch_dtype(dtype)
    match call.method:
        case "rand":
            return torch.rand(last, dtype=kind, generator=stream)
        case "randn":
            return torch.randn(last, dtype=kind, generator=stream)
        case "randint":
            return torch.randint(*numbers, last, dtype=kind, generator=stream)
        case "randperm":
            return torch.randperm(last, dtype=kind, generator=stream)
        case "uniform":
            return torch.empty(last, dtype=kind).uniform_(*numbers, generator=stream)
        case "normal":
            return torch.empty(last, dtype=kind).normal_(*numbers, generator=stream)
        case "bernoulli":
            (p,) = numbers
            p = torch.from_numpy(p) if isinstance(p, np.ndarray) else p
            return torch.empty(last, dtype=kind).bernoulli_(p, generator=stream)
    raise AssertionError(call)


def outcome(run):
    """The value of a call and the error's class, one of them None, and what kinds of warnings it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value, error = run(), None
        except Exception as raised:
            value, error = None, type(raised)
    return value, error, {warning.category for warning in caught}


def restored(state: np.ndarray) -> Generator:
    """A generator in a state given as bytes."""
    return Generator().set_state(refgrad.tensor(state))


def same_state(ours: Generator, theirs: torch.Generator) -> bool:
    """Equal to the byte, but for the two ways torch writes an exhausted block of words."""
    return ours.get_state().tolist() == restored(theirs.get_state().numpy()).get_state().tolist()


def parts(values: np.ndarray) -> np.ndarray:
    """The elements in a row, real and imaginary parts apart, every NaN of one bit pattern."""
    flat = values.reshape(-1).view(values.real.dtype)
    return np.where(np.isnan(flat), flat.dtype.type(math.nan), flat) if flat.dtype.kind == "f" else flat


def ulps(ours: np.ndarray, theirs: np.ndarray, scale: float = 0.0) -> np.ndarray:
    """Distances in units of the last place of `theirs`, or of `scale` where that is larger; 0 where equal."""
    with np.errstate(invalid="ignore", over="ignore"):
        unit = np.spacing(np.maximum(np.abs(theirs), np.abs(theirs.dtype.type(scale)))).astype(np.float64)
        distance = np.abs(ours.astype(np.float64) - theirs) / unit
    return np.where((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)), 0.0, distance)


def agree(call: Call, ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal to the bit, unless torch has another logarithm, sine and cosine, or no fused multiply-add."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype or not ours.flags.c_contiguous:
        return False
    standard = call.method == "randn" and ours.dtype.kind == "f"
    ours, theirs = parts(ours), parts(theirs)
    numbers = call.arguments[:-2]
    if call.method not in ("randn", "normal") or ours.size < 16:
        if FUSED or call.method not in ("uniform", "normal") or ours.size == 0:
            return ours.tobytes() == theirs.tobytes()
        return bool(np.all(ulps(ours, theirs, max(map(abs, numbers))) <= 1))
    mean, std = numbers or (0.0, 1.0)
    distance, most = ulps(ours, theirs, mean), np.full(ours.shape, BLOCK_ULPS[ours.dtype.name])
    if not standard:  # scaling and shifting rounds again
        most = 2 * most + 1
    elif ours.dtype == np.float32:
        most[np.abs(theirs) < 2.0**-23] = EXCEPTION_ULPS
    if not FUSED and ours.dtype != np.float64:  # another angle: an error relative to the radius, at most 5.8
        with np.errstate(invalid="ignore"):
            distance[np.abs(ours - theirs) <= 9 * 2.0**-21 * std] = 0
    return bool(np.all(distance <= most))


def check(call: Call, ours: Generator, theirs: torch.Generator) -> np.ndarray | None:
    """Runs a call on both sides; asserts that value, error class, warnings and state afterwards agree."""
    value, error, warned = outcome(lambda: getattr(ours, call.method)(*call.arguments))
    expected, expected_error, expected_warned = outcome(lambda: torch_side(call, theirs))
    assert error is expected_error, (call, error, expected_error)
    assert warned == expected_warned, (call, warned, expected_warned)
    if error is None:
        assert agree(call, value, expected.numpy()), (call, value, expected)
    assert same_state(ours, theirs), call
    return value


def both(seed: int) -> tuple[Generator, torch.Generator]:
    return Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


# ---- seeds and states


@pytest.mark.parametrize("seed", SEEDS)
def test_seed_gives_the_words_of_torch(seed):
    ours, theirs = both(seed)
    assert ours.initial_seed() == theirs.initial_seed()
    check(Call("randint", (0, 2**28 - 1, (1300,), "int64")), ours, theirs)
    check(Call("randint", (-(2**63), 2**63 - 1, (1300,), "int64")), ours, theirs)


def test_hundreds_of_small_and_random_seeds():
    spread = np.random.default_rng(0).integers(0, 2**64, 200, dtype=np.uint64).tolist()
    for seed in [*range(200), *spread]:
        check(Call("rand", ((2,), "float64")), *both(seed))


@pytest.mark.parametrize(
    "seed", [2**64, -(2**63) - 1, 10**30, 1.0, True, None, "1", np.int64(3), np.uint8(3), np.bool_(True)]
)
def test_bad_seeds_fail_as_in_torch(seed):
    ours, theirs = both(5)
    _, error, _ = outcome(lambda: ours.manual_seed(seed))
    _, expected, _ = outcome(lambda: theirs.manual_seed(seed))
    assert error is expected is not None
    assert same_state(ours, theirs)  # and change nothing
    with pytest.raises(error, match=type(seed).__name__ if error is not ValueError else str(seed)):
        ours.manual_seed(seed)


def test_default_seed_is_torchs():
    assert Generator().initial_seed() == torch.Generator().initial_seed() == DEFAULT_SEED
    check(Call("randn", ((3,), "float64")), Generator(), torch.Generator())
    assert isinstance(default_generator, Generator)


def test_manual_seed_returns_its_generator_and_forgets_the_spare_sample():
    ours = Generator()
    ours.randn((1,), "float64")
    assert ours.manual_seed(3) is ours
    theirs = torch.Generator().manual_seed(3)
    check(Call("randn", ((3,), "float64")), ours, theirs)


def test_seed_restarts_from_a_new_seed():
    ours = Generator()
    seeds = {ours.seed() for _ in range(4)}
    assert len(seeds) == 4 and ours.initial_seed() in seeds
    check(Call("rand", ((5,), "float32")), ours, torch.Generator().manual_seed(ours.initial_seed()))


@pytest.mark.parametrize("words", [0, 1, 623, 624, 625, 1300])
@pytest.mark.parametrize("normals", [0, 1, 2])
def test_states_travel_to_torch_and_back(words, normals):
    ours, theirs = both(11)
    for stream_call in (Call("rand", ((words,), "float32")), Call("randn", ((normals,), "float64"))):
        check(stream_call, ours, theirs)
    later = (Call("randn", ((3,), "float64")), Call("rand", ((700,), "float32")))
    saved = ours.get_state().numpy()
    assert saved.dtype == np.uint8 and saved.shape == theirs.get_state().shape
    from_ours = torch.Generator()
    from_ours.set_state(torch.from_numpy(saved.copy()))
    from_theirs = restored(theirs.get_state().numpy())
    for call in later:
        check(call, ours, from_ours)
        check(call, from_theirs, theirs)
    again = restored(saved)
    assert again.initial_seed() == 11
    assert [again.randn((3,), "float64").tobytes(), again.rand((700,), "float32").tobytes()] == [
        torch_side(call, theirs_again).numpy().tobytes()
        for theirs_again in [torch.Generator().set_state(torch.from_numpy(saved.copy()))]
        for call in later
    ]


def damaged(field: str, value: int) -> np.ndarray:
    state = Generator().get_state().numpy()
    state.view(module._STATE)[field] = value
    return state


@pytest.mark.parametrize(
    "state",
    [
        np.zeros(10, np.uint8),
        np.zeros(5056, np.uint8),
        np.zeros(5056, np.float32),
        np.zeros(2 * 5056, np.uint8)[::2],
        Generator().get_state().numpy()[:5048],
        damaged("seeded", 0),
        damaged("left", 0),
        damaged("left", 625),
        damaged("next", 625),
    ],
)
def test_bad_states_fail_as_in_torch(state):
    ours, theirs = both(5)
    _, error, _ = outcome(lambda: ours.set_state(refgrad.from_numpy(state)))
    _, expected, _ = outcome(lambda: theirs.set_state(torch.as_strided(*strided(state))))
    assert error is expected is not None
    assert same_state(ours, theirs)


def strided(array: np.ndarray) -> tuple[torch.Tensor, tuple[int, ...], tuple[int, ...]]:
    """What makes a tensor with the strides of a one-dimensional array."""
    (step,) = (stride // array.itemsize for stride in array.strides)
    whole = np.zeros(array.size * step, array.dtype)
    whole[::step] = array
    return torch.from_numpy(whole), array.shape, (step,)


@pytest.mark.parametrize("state", [None, b"x" * 5056, [0] * 5056])
def test_a_state_must_be_a_tensor(state):
    with pytest.raises(TypeError, match=type(state).__name__):
        Generator().set_state(state)


# ---- each method


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_method_in_every_dtype(shape, dtype):
    ours, theirs = both(math.prod(shape) + 3)
    for call in (
        Call("rand", (shape, dtype)),
        Call("randn", (shape, dtype)),
        Call("randint", (0, 2, shape, dtype)),
        Call("uniform", (-0.1, 0.3, shape, dtype)),
        Call("normal", (0.3, 1.7, shape, dtype)),
        Call("bernoulli", (0.3, shape, dtype)),
        Call("bernoulli", (np.full(shape, 0.3, np.float32), shape, dtype)),
        Call("randperm", (math.prod(shape), dtype)),
    ):
        check(call, ours, theirs)


@pytest.mark.parametrize("dtype", (*FLOATS, *COMPLEX))
def test_a_negative_dimension_is_an_error(dtype):
    for call in (
        Call("rand", ((2, -1), dtype)),
        Call("randn", ((-3,), dtype)),
        Call("randperm", (-1, dtype)),
    ):
        assert check(call, *both(0)) is None


@pytest.mark.parametrize("dtype", (*FLOATS, *COMPLEX))
def test_rand_of_many_is_equal_to_the_bit(dtype):
    samples = check(Call("rand", ((500_000,), dtype)), *both(1))
    assert parts(samples).min() >= 0 and parts(samples).max() < 1


def test_float16_rounded_up_to_one_becomes_zero():
    samples = check(Call("rand", ((200_000,), "float16")), *both(2))
    assert np.count_nonzero(samples == 0) > 10  # 2**-25 of them would be zero without


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "bounds",
    [(0, 1), (2, 2), (-1, 1), (0.1, 0.3), (-0.3, 0.7), (3, 1000), (-5.5, -5.25), (1e-3, 6e4), (0, 1e-300)],
)
def test_uniform_between_bounds(bounds, dtype):
    check(Call("uniform", (*bounds, (5000,), dtype)), *both(3))


@pytest.mark.parametrize("bounds", [(-1e307, 1.5e308), (1e-300, 1e-290), (1e-9, 1e300), (-1e300, 1e-9)])
def test_uniform_between_extreme_bounds(bounds):
    check(Call("uniform", (*bounds, (5000,), "float64")), *both(4))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    "work, factor, scale, last_place",
    [
        (np.float32, 80581 * 2.0**-24, 13325 * 2.0**-30, 2.0**-23),
        (np.float64, (2.0**18 + 1) * 2.0**-53, (2.0**36 - 2.0**18 + 1) * 2.0**-54, 2.0**-52),
    ],
)
def test_a_fused_multiply_add_rounds_once(work, factor, scale, last_place, sign):
    """Just above the middle of 1 and its neighbour, by less than a sum in float64 shows."""
    exact = 1 + Fraction(factor) * Fraction(scale)
    assert 1 + Fraction(last_place) / 2 < exact < 1 + Fraction(last_place) / 2 + Fraction(2) ** -53
    (value,) = module._fused(np.array([factor]), sign * scale, sign, work)
    assert value == sign * (1 + last_place)


@pytest.mark.parametrize("dtype", (*FLOATS, *COMPLEX, "int64"))
@pytest.mark.parametrize("shape", [(0,), (2,)])
def test_uniform_fails_as_in_torch(shape, dtype):
    inf, nan = math.inf, math.nan
    for low, high in [(1, 0), (0, 1e5), (-1e5, 0), (-6e4, 6e4), (-3e38, 3e38), (-1e308, 1e308), (0, 1e39)]:
        check(Call("uniform", (low, high, shape, dtype)), *both(5))
    for low, high in [(0, inf), (-inf, 0), (nan, 1), (0, nan)]:
        check(Call("uniform", (low, high, shape, dtype)), *both(5))


@pytest.mark.parametrize("dtype", (*FLOATS, *COMPLEX, "int64", "bool"))
@pytest.mark.parametrize("shape", [(0,), (2,), (16,)])
def test_normal_takes_the_means_and_deviations_that_torch_takes(shape, dtype):
    inf, nan = math.inf, math.nan
    for mean, std in [(0, 0), (3, 0), (0, -1), (0, nan), (nan, 1), (inf, 1), (0, inf), (1e40, 1), (0, -0.0)]:
        check(Call("normal", (mean, std, shape, dtype)), *both(6))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", range(3))
def test_randn_of_many_is_within_the_bound(seed, dtype):
    ours, theirs = both(seed)
    value = ours.randn((1_000_003,), dtype)
    expected = torch.randn(1_000_003, dtype=torch_dtype(dtype), generator=theirs).numpy()
    assert agree(Call("randn", ((1_000_003,), dtype)), value, expected)
    assert same_state(ours, theirs)
    if FUSED:  # and most of them are much closer
        distances = ulps(value, expected)
        nearly, share = {"float16": (0, 0.9999), "float32": (1, 0.98), "float64": (0, 0.99)}[dtype]
        assert np.mean(distances <= nearly) > share


def test_randn_at_three_quarters_of_a_turn_in_float32():
    value = check(Call("randn", ((234_256,), "float32")), *both(1015))
    assert np.abs(value).min() < 2.0**-23  # one of them is there


@pytest.mark.parametrize("dtype", FLOATS)
def test_randn_below_sixteen_is_equal_to_the_bit(dtype):
    ours, theirs = both(8)
    for count in [*range(16)] * 20:
        check(Call("randn", ((count,), dtype)), ours, theirs)


@pytest.mark.parametrize("dtype", (*FLOATS, *COMPLEX))
def test_the_tail_is_drawn_anew(dtype):
    ours, theirs = both(9)
    for count in range(7, 66):
        check(Call("randn", ((count,), dtype)), ours, theirs)


@pytest.mark.parametrize("dtype", (*FLOATS, *COMPLEX))
@pytest.mark.parametrize("count", [1, 2, 7, 16, 40, 30_000])
def test_a_destination_that_is_not_contiguous_is_filled_by_pairs(count, dtype):
    ours, theirs = both(10)
    value = ours.normal(0.25, 2.0, (count, 3), dtype, contiguous=False)
    transposed = torch.empty(count, 3, dtype=torch_dtype(dtype)).t().normal_(0.25, 2.0, generator=theirs)
    expected = transposed.t().contiguous().numpy()
    assert np.all(ulps(parts(value), parts(expected), 0.25) <= (0 if FUSED else 1))
    assert same_state(ours, theirs)


INTEGER_RANGES = [
    (0, 1),
    (0, 2),
    (-1, 5),
    (0, 256),
    (0, 257),
    (-128, 128),
    (-129, 0),
    (0, 2**16 + 1),
    (0, 2**28 - 1),
    (0, 2**28),
    (-(2**31), 2**31),
    (0, 2**31 + 1),
    (0, 2**32 - 1),
    (0, 2**32),
    (7, 2**32 + 8),
    (0, 2**63 - 1),
    (-(2**63), 2**63 - 1),
    (-(2**63), -(2**63) + 1),
    (5, 5),
    (5, 3),
    (0, 2**63),
    (-(2**63) - 1, 0),
]


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("shape", [(0,), (300,)])
def test_randint_in_every_range(shape, dtype):
    ours, theirs = both(12)
    for low, high in INTEGER_RANGES:
        check(Call("randint", (low, high, shape, dtype)), ours, theirs)


@pytest.mark.parametrize("dtype", FLOATS)
def test_randint_where_floats_have_gaps(dtype):
    ours, theirs = both(13)
    digits = np.finfo(dtype).nmant + 1
    for exponent in (digits, digits + 1, digits + 3, 15, 16, 62):
        for low in (sign * 2**exponent + step for sign in (1, -1) for step in (-33, -1, 0, 1, 2, 17)):
            for width in (1, 2, 3, 40, 2**exponent):
                check(Call("randint", (low, low + width, (3,), dtype)), ours, theirs)


def test_randint_wants_integers():
    with pytest.raises(TypeError, match="float"):
        Generator().randint(0, 2.5, (2,), "int64")
    assert Generator().randint(np.int8(0), np.int64(5), (4,), "int64").max() < 5


def test_randint_names_what_does_not_fit():
    with pytest.raises(RuntimeError, match=r"to - 1 is out of bounds for unsigned char: 299 is not in \[0, 255\]"):
        Generator().randint(0, 300, (2,), "uint8")


@pytest.mark.parametrize("dtype", (*FLOATS, "int64", "int32"))
@pytest.mark.parametrize("n", [0, 1, 2, 3, 50, 2049])
def test_randperm(n, dtype):
    order = check(Call("randperm", (n, dtype)), *both(n))
    assert sorted(order.tolist()) == list(range(n))


def test_randperm_of_many():
    check(Call("randperm", (100_000, "int64")), *both(14))


@pytest.mark.parametrize(
    "dtype", [dtype for dtype in ALL if dtype not in ("int32", "int64", "float32", "float64")]
)
def test_randperm_keeps_to_what_the_dtype_holds(dtype):
    for n in (0, 1, 127, 128, 129, 256, 257, 2049, 2050, 32768, 32769):
        check(Call("randperm", (n, dtype)), *both(15))


@pytest.mark.parametrize("n, dtype", [(2**24 + 2, "float32"), (2**31 + 1, "int32"), (2**63, "int64")])
def test_randperm_too_long_for_its_dtype(n, dtype):
    assert check(Call("randperm", (n, dtype)), *both(15)) is None


@pytest.mark.parametrize("dtype", ["int64", "int32", "float64"])
def test_randperm_beyond_32_bits_shuffles_inside_out(monkeypatch, dtype):
    """torch takes this way from 214748364 on: here with a lower limit, on torch's own 64-bit words."""
    monkeypatch.setattr(module, "_LARGE_PERMUTATION", 10)
    monkeypatch.setattr(module, "_CHUNK", 7)
    ours, theirs = both(16)
    value = ours.randperm(60, dtype)
    words = torch.empty(60, dtype=torch.int64).random_(-(2**63), None, generator=theirs).tolist()
    expected: list[int] = []
    for here, word in enumerate(words):
        there = word % 2**64 % (here + 1)
        expected.append(here)
        expected[here], expected[there] = expected[there], here
    assert value.dtype == dtype and value.tolist() == expected
    assert same_state(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "complex64", "uint16"])
@pytest.mark.parametrize("shape", [(0,), (200,)])
def test_bernoulli_with_a_number(shape, dtype):
    ours, theirs = both(17)
    for p in (0, 1, 0.5, 0.1, True, -0.1, 1.1, math.nan):
        check(Call("bernoulli", (p, shape, dtype)), ours, theirs)


@pytest.mark.parametrize("p_dtype", [*FLOATS, "complex64", "int64"])
@pytest.mark.parametrize("p_shape", [(), (1,), (20,), (10, 1), (10, 20), (3,), (1, 10, 20)])
def test_bernoulli_with_an_array(p_shape, p_dtype):
    ours, theirs = both(18)
    p = np.asarray(np.random.default_rng(0).uniform(0, 1, p_shape)).astype(p_dtype)
    for dtype in ("float32", "float64", "bool", "uint16"):
        check(Call("bernoulli", (p, (10, 20), dtype)), ours, theirs)
        check(Call("bernoulli", (p, (0, 20), dtype)), ours, theirs)


@pytest.mark.parametrize("invalid", [1.5, -0.25, math.nan])
@pytest.mark.parametrize("p_dtype", FLOATS)
def test_bernoulli_draws_up_to_an_invalid_probability(p_dtype, invalid):
    p = np.array([0.5, 0.25, 1.0, invalid, 0.5], p_dtype)
    assert check(Call("bernoulli", (p, (5,), "float32")), *both(19)) is None


# ---- calls in any order

shapes = st.sampled_from([(), (0,), (1,), (3,), (2, 4), (15,), (16,), (17,), (5, 7), (-1,), (130,)])
floats = st.sampled_from((*FLOATS, *COMPLEX))
any_dtype = st.sampled_from(ALL)
numbers = st.sampled_from([0.0, 1.0, -1.0, 0.1, 0.75, 3.0, 1e3, 1e5, math.inf, math.nan])
lows = st.sampled_from([0, -1, -5, 100, -(2**31), 2**40, -(2**63)])
widths = st.sampled_from([0, 1, 2, 7, 200, 2**28 - 1, 2**28, 2**32, 2**40, 2**62])

calls = st.one_of(
    st.builds(lambda *a: Call("rand", a), shapes, floats),
    st.builds(lambda *a: Call("randn", a), shapes, floats),
    st.builds(lambda *a: Call("randn", a), shapes, any_dtype),
    st.builds(lambda *a: Call("uniform", a), numbers, numbers, shapes, floats),
    st.builds(lambda *a: Call("normal", a), numbers, numbers, shapes, floats),
    st.builds(
        lambda low, width, *a: Call("randint", (low, low + width, *a)), lows, widths, shapes, any_dtype
    ),
    st.builds(lambda *a: Call("randperm", a), st.sampled_from([0, 1, 2, 9, 100, 129, 700, -1]), any_dtype),
    st.builds(lambda *a: Call("bernoulli", a), st.sampled_from([0.0, 0.2, 1.0, -0.5]), shapes, any_dtype),
)


@given(seed=st.integers(-(2**63), 2**64 - 1), program=st.lists(calls, min_size=2, max_size=12))
def test_any_calls_in_any_order_stay_in_step(seed, program):
    ours, theirs = both(seed)
    for call in program:
        check(call, ours, theirs)


def test_a_long_walk_stays_in_step():
    """Thousands of calls on one stream, over many blocks of words, with the spare sample kept in between."""
    ours, theirs = both(20)
    pick = np.random.default_rng(21)
    for _ in range(3000):
        count, dtype = int(pick.integers(0, 40)), str(pick.choice(FLOATS))
        match pick.integers(5):
            case 0:
                check(Call("rand", ((count,), dtype)), ours, theirs)
            case 1 | 2:
                check(Call("randn", ((count,), dtype)), ours, theirs)
            case 3:
                check(Call("randint", (0, 2 ** int(pick.integers(1, 60)), (count,), "int64")), ours, theirs)
            case 4:
                check(Call("randperm", (count, "int64")), ours, theirs)
