"""Random numbers as torch's CPU generator gives them: the same stream after the same seed.

Sources of the algorithms:

* the 32-bit words: MT19937, M. Matsumoto and T. Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998),
  seeded by the authors' `init_genrand` of 2002. NumPy's legacy seeding gives the very same words.
* normal samples: G. E. P. Box and M. E. Muller, "A note on the generation of random normal deviates",
  Ann. Math. Statist. 29 (1958).
* permutations: R. Durstenfeld, "Algorithm 235: Random permutation", CACM 7 (1964).
* fused multiply-add: S. Boldo and G. Melquiond, "Emulation of a FMA and correctly rounded sums", IEEE Trans.
  Computers 57 (2008), on the exact product of T. J. Dekker (1971) and the exact sum of D. E. Knuth.

What agrees with torch to the bit: `rand`, `uniform`, `bernoulli`, `randint`, `randperm`, and `randn` and
`normal` below 16 real samples. From 16 on they differ in the last places, as NumPy and torch take logarithm,
sine and cosine from different sources: `randn` by up to 2 ulp in float64, 1 in float16, and in float32 3, or
9 at three quarters of a turn. torch's own last places depend on the processor: this follows its x86 kernels
with AVX2 and fused multiply-add.
"""

from __future__ import annotations

import math
import operator
import secrets
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from refgrad.devices import as_device, device
from refgrad.dtypes import C_NAMES
from refgrad.tensor import Tensor, wrap

DEFAULT_SEED = 67280421310721

_WORDS = 624  # words of MT19937 state
_BLOCK = 16  # from here on torch draws normal samples in blocks of this many
_WIDE_RANGE = 2**28  # integer ranges from here on take 64 random bits instead of 32
_LARGE_PERMUTATION = (2**32 - 1) // 20  # permutations from here on take 64 random bits a step
_CHUNK = 2**20

# torch's own layout of a saved CPU generator, so that states can be exchanged with it.
_STATE = np.dtype(
    [
        ("seed", np.uint64),
        ("left", np.int32),
        ("seeded", np.int32),
        ("next", np.uint64),
        ("words", np.uint64, _WORDS),
        ("normal_x", np.float64),
        ("normal_y", np.float64),
        ("normal_rho", np.float64),
        ("has_normal", np.int32),
        ("float_normal", np.float32),
        ("has_float_normal", np.bool_),
    ],
    align=True,
)


class Generator:
    """A stream of random numbers, in step with a `torch.Generator` on the CPU given the same seed and calls.

    Every sampling method takes a shape (a tuple of ints) and a NumPy dtype, and returns a new C-contiguous
    array. A negative dimension is a RuntimeError, a dtype that torch cannot sample a NotImplementedError.
    """

    def __init__(self, device: Any = "cpu") -> None:
        """A stream started from torch's default seed; RuntimeError for devices but the CPU."""
        self._device = as_device(device)
        if self._device.type != "cpu":
            raise RuntimeError(f"random numbers are drawn on the CPU: there is no generator for {self._device}")
        self._engine = np.random.MT19937(0)
        self.manual_seed(DEFAULT_SEED)

    # ---- seeds and states

    @property
    def device(self) -> device:
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream from `seed`, in [-2**63, 2**64); a negative one counts from 2**64 downwards.

        Only the lower 32 bits choose the stream. As in torch: ValueError outside the range, RuntimeError for
        what is not an int, TypeError for NumPy's integers.
        """
        if isinstance(seed, np.integer):
            raise TypeError(f"an integer is required, but got {type(seed).__name__}: pass int(seed)")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}: pass an int")
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"Overflow when unpacking long long: seed {seed} is not in [-2**63, 2**64)")
        self._seed = seed % 2**64
        np.random.RandomState(self._engine).seed(self._seed % 2**32)
        self._spare: float | None = None  # the second sample of a Box-Muller pair, when not handed out yet
        return self

    def seed(self) -> int:
        """Restart the stream from a seed that the operating system draws, and return that seed."""
        self.manual_seed(secrets.randbits(64))
        return self._seed

    def initial_seed(self) -> int:
        """The seed of the last restart, in [0, 2**64)."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state as a tensor of 5056 bytes, in the layout of `torch.Generator.get_state`."""
        engine = self._engine.state["state"]
        state = np.zeros(1, _STATE)
        state["seed"], state["seeded"] = self._seed, 1
        state["left"], state["next"] = _WORDS + 1 - engine["pos"], engine["pos"]
        state["words"] = engine["key"]
        state["has_normal"], state["normal_y"] = self._spare is not None, self._spare or 0.0
        return wrap(state.view(np.uint8))

    def clone_state(self) -> Generator:
        """Another stream that continues as this one does."""
        return Generator().set_state(self.get_state())

    def set_state(self, state: Tensor) -> Generator:
        """Continue from a state that `get_state` returned; torch's states have the same layout.

        TypeError unless it is a uint8 tensor on the CPU; RuntimeError unless contiguous, of 5056 bytes, and valid.
        """
        if not isinstance(state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(state).__name__}")
        data = state._data
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if not data.flags.c_contiguous:
            raise RuntimeError("RNG state must be contiguous: pass a copy")
        if data.size != _STATE.itemsize:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_STATE.itemsize} but found the input RNG state size to be "
                f"{data.size}"
            )
        fields = np.array(data).reshape(-1).view(_STATE)[0]
        left, following = int(fields["left"]), int(fields["next"])
        fresh = left == 1 and following == 0  # how torch writes a stream that has given no word yet
        if fields["seeded"] != 1 or not 0 < left <= _WORDS or not (fresh or left + following == _WORDS + 1):
            raise RuntimeError("Invalid mt19937 state")
        self._engine.state = {
            "bit_generator": "MT19937",
            "state": {"key": fields["words"].astype(np.uint32), "pos": _WORDS + 1 - left},
        }
        self._seed = int(fields["seed"])
        self._spare = float(fields["normal_y"]) if fields["has_normal"] else None
        return self

    # ---- uniform samples

    def rand(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Samples of the uniform distribution on [0, 1), float or complex (then both parts)."""
        return self.uniform(0.0, 1.0, shape, dtype)

    def uniform(
        self, low: float, high: float, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """Samples of the uniform distribution on [low, high), float or complex (then both parts).

        RuntimeError unless low <= high, and both and their difference are finite in `dtype`.
        """
        dtype, count = np.dtype(dtype), _count(shape)
        if dtype.kind == "c":
            if count == 0:
                return np.empty(shape, dtype)
            return self.uniform(low, high, (2 * count,), _part(dtype)).view(dtype).reshape(shape)
        if not _is_float(dtype):
            raise NotImplementedError(
                f"uniform is not implemented for {dtype}: pass a float or complex dtype"
            )
        low, high, largest = float(low), float(high), float(np.finfo(dtype).max)
        held = C_NAMES.get(dtype.name, dtype.name)
        for name, bound in (("from", low), ("to", high)):
            if not -largest <= bound <= largest:
                raise RuntimeError(f"{name} is out of bounds for {held}: |{bound}| is not at most {largest}")
        if low > high:
            raise RuntimeError(
                f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}"
            )
        if high - low > largest:
            raise RuntimeError(
                f"uniform_ expects to-from <= {largest} for {dtype}, but found to={high} and from={low}"
            )
        work = _working(dtype)
        start, span = float(work(low)), float(work(high) - work(low))
        samples = _rounded(_fused(self._fractions(count, work), span, start, work), dtype)
        samples[samples == _rounded(np.float64(high), dtype)] = _rounded(np.float64(low), dtype)
        return samples.reshape(shape)

    def bernoulli(
        self, p: float | npt.NDArray[Any], shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """Ones with probability `p`, else zeros; an array `p` must broadcast to `shape`.

        A number `p` is compared with 53 random bits; an array too if it is float64, else with 24.
        RuntimeError for a probability outside [0, 1]; an array is drawn up to the first such.
        """
        dtype, count = np.dtype(dtype), _count(shape)
        if not isinstance(p, np.ndarray) and not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
        if count == 0:
            return np.empty(shape, dtype)
        if dtype.kind == "c" or _is_wide_unsigned(dtype):
            raise NotImplementedError(f"bernoulli is not implemented for {dtype}: pass a real dtype")
        if not isinstance(p, np.ndarray):
            return (self._fractions(count, np.float64) < p).astype(dtype).reshape(shape)
        try:
            chances = np.broadcast_to(p, shape).reshape(-1)
        except ValueError as error:
            raise RuntimeError(f"p of shape {p.shape} does not expand to {shape}") from error
        if not _is_float(p.dtype):
            raise NotImplementedError(f"bernoulli is not implemented for p of {p.dtype}: pass a float array")
        (invalid,) = np.nonzero(~((chances >= 0) & (chances <= 1)))
        if invalid.size:
            self._fractions(int(invalid[0]), _working(p.dtype))
            raise RuntimeError(
                f"Expected p_in >= 0 && p_in <= 1 to be true, but got false: p_in is {chances[invalid[0]]}"
            )
        return (self._fractions(count, _working(p.dtype)) < chances).astype(dtype).reshape(shape)

    # ---- normal samples

    def randn(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, contiguous: bool = True
    ) -> npt.NDArray[Any]:
        """Samples of the standard normal distribution; for `contiguous` and complex dtypes see `normal`."""
        return self.normal(0.0, 1.0, shape, dtype, contiguous=contiguous)

    def normal(
        self,
        mean: float,
        std: float,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        contiguous: bool = True,
    ) -> npt.NDArray[Any]:
        """Samples of the normal distribution; RuntimeError unless std >= 0.

        Both parts of a complex sample have mean `mean` and deviation `std` / sqrt(2). What is not contiguous
        (`randn_like` of a transposed tensor) torch fills pair by pair, whatever its size: `contiguous=False`
        gives those samples, in the order of the destination's memory.
        """
        dtype, count = np.dtype(dtype), _count(shape)
        if not std >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        if count == 0:
            return np.empty(shape, dtype)
        if dtype.kind == "c":
            parts = self.normal(mean, std / math.sqrt(2), (2 * count,), _part(dtype), contiguous=contiguous)
            return parts.view(dtype).reshape(shape)
        if not _is_float(dtype):
            raise NotImplementedError(f"normal is not implemented for {dtype}: pass a float or complex dtype")
        if contiguous and count >= _BLOCK:
            samples = self._normal_blocks(count, mean, std, dtype)
        else:
            samples = _fused(self._normal_pairs(count), std, mean, np.float64)
        return _rounded(samples, dtype).reshape(shape)

    def _normal_pairs(self, count: int) -> npt.NDArray[np.float64]:
        """Standard normal samples, two for two fractions; an odd one out is kept for the next call."""
        samples = [] if self._spare is None else [self._spare]
        pairs = (count - len(samples) + 1) // 2
        # Python's functions, not NumPy's: they are the C library's, as in torch, hence equal to the bit.
        for turn, height in self._fractions(2 * pairs, np.float64).reshape(-1, 2).tolist():
            radius, angle = math.sqrt(-2.0 * math.log1p(-height)), 2.0 * math.pi * turn
            samples += (radius * math.cos(angle), radius * math.sin(angle))
        self._spare = samples.pop() if len(samples) > count else None
        return np.array(samples)

    def _normal_blocks(self, count: int, mean: float, std: float, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Normal samples in blocks of 16; for the rest, one more block is laid over the last 16."""
        work = _working(dtype)
        whole = count - count % _BLOCK
        # torch draws the leftover as well, only to draw it again, except in float16.
        fractions = self._fractions(whole if dtype == np.float16 else count, work)
        samples = np.empty(count, work)
        samples[:whole] = _box_muller(fractions[:whole], mean, std, work)
        if whole < count:
            samples[-_BLOCK:] = _box_muller(self._fractions(_BLOCK, work), mean, std, work)
        return samples

    # ---- integers

    def randint(self, low: int, high: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Integers of [low, high), in any real dtype.

        RuntimeError unless low < high and `dtype` spans low and high - 1; UserWarning if a float `dtype` does
        not hold every integer up to them; ValueError outside int64.
        """
        low, high = _int64("low", low), _int64("high", high)
        dtype, count = np.dtype(dtype), _count(shape)
        if low >= high:
            raise RuntimeError(
                f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
            )
        if dtype.kind == "f":
            low, high = _first_kept(low, dtype), _last_kept(high - 1, dtype) + 1
            if low >= high:
                raise RuntimeError(
                    f"random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                    f"from={low} >= to={high}: {dtype} holds no integer of the range"
                )
        _check_integer_range(low, high - 1, dtype)
        return self._between(low, high - low, count, dtype).reshape(shape)

    def random(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Integers from 0 up to the largest of an integer dtype, or up to 2 to the digits of a float one."""
        dtype, count = np.dtype(dtype), _count(shape)
        words = self._words64(count) if dtype.itemsize == 8 else self._words(count)
        return (words % np.uint64(_largest(dtype) + 1)).astype(dtype).reshape(shape)

    def random_from(self, low: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The same from `low`; from -2**63, the least int64, on any int64. RuntimeError for what `dtype` lacks."""
        low, dtype, count = _int64("from", low), np.dtype(dtype), _count(shape)
        if low == -(2**63):
            if dtype.name not in ("int64", "float64", "float32"):
                raise RuntimeError(
                    "random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16"
                )
            return self._words64(count).view(np.int64).astype(dtype).reshape(shape)
        last = _largest(dtype)
        if dtype.kind == "f":
            low = _first_kept(low, dtype)
            if low >= last:
                raise RuntimeError(
                    "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, but "
                    f"got from={low} > to_inc={last}"
                )
        _check_integer_range(low, last, dtype)
        return self._between(low, last - low + 1, count, dtype).reshape(shape)

    def _between(self, low: int, span: int, count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """`span` integers from `low` on, of which each is as likely."""
        words = self._words64(count) if span >= _WIDE_RANGE else self._words(count)
        # Wraps around at 2**64, and back in the view.
        return (words % np.uint64(span) + np.uint64(low % 2**64)).view(np.int64).astype(dtype)

    def randperm(self, n: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A permutation of 0, ..., n - 1, of shape (n,), in a signed, uint8 or float dtype.

        RuntimeError if n is negative or `dtype` does not hold every integer below n exactly.
        """
        dtype, n = np.dtype(dtype), _int64("n", n)
        _count((n,))
        if dtype.kind in "cb" or _is_wide_unsigned(dtype):
            raise NotImplementedError(f"randperm is not implemented for {dtype}: pass int64")
        most = 2 ** _digits(dtype) if dtype.kind == "f" else int(np.iinfo(dtype).max)
        if n > most + 1:
            raise RuntimeError(f"n cannot be greater than {most + 1} for {dtype}, but got {n}")
        if n >= _LARGE_PERMUTATION:
            return self._large_permutation(n, dtype)
        order = np.arange(n, dtype=np.int64)
        steps = order[:-1]
        partners = (self._words(steps.size) % (n - steps).astype(np.uint64)).astype(np.int64) + steps
        cells = order.data  # swaps in a memoryview: an array would take ten times as long, a list three times
        for here, there in enumerate(partners.tolist()):
            cells[here], cells[there] = cells[there], cells[here]
        return order.astype(dtype, copy=False)

    def _large_permutation(self, n: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """The inside-out form of the shuffle, on 64-bit words, drawn piece by piece to save memory."""
        order = np.empty(n, dtype)
        cells = order.data
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            partners = self._words64(stop - start) % np.arange(start + 1, stop + 1, dtype=np.uint64)
            for here, there in enumerate(partners.tolist(), start):
                cells[here] = cells[there]
                cells[there] = here
        return order

    # ---- random bits

    def _words(self, count: int) -> npt.NDArray[np.uint64]:
        """The next 32-bit words of the stream."""
        return self._engine.random_raw(count)

    def _words64(self, count: int) -> npt.NDArray[np.uint64]:
        """64-bit words of two words each, the upper half first."""
        halves = self._words(2 * count)
        return (halves[0::2] << np.uint64(32)) | halves[1::2]

    def _fractions(self, count: int, work: type[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Multiples of 2**-24 (float32) or 2**-53 (float64) in [0, 1), from the lowest bits of a word."""
        bits = _digits(np.dtype(work))
        words = self._words64(count) if work is np.float64 else self._words(count)
        return (words & np.uint64(2**bits - 1)).astype(np.float64) * 2.0**-bits


def _box_muller(
    fractions: npt.NDArray[np.float64], mean: float, std: float, work: type[np.floating[Any]]
) -> npt.NDArray[Any]:
    """Normal samples from blocks of 16 fractions: 8 heights, then 8 turns, give 8 cosines, then 8 sines."""
    heights, turns = fractions.reshape(-1, 2, _BLOCK // 2).swapaxes(0, 1)
    radii = np.sqrt(-2.0 * np.log(1.0 - heights))
    # The angle is rounded as torch rounds it; where its cosine is near 0 that decides the digits.
    angles = (float(work(2.0 * math.pi)) * turns).astype(work).astype(np.float64)
    samples = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1).reshape(-1)
    with np.errstate(over="ignore"):
        return _fused(samples, float(work(std)), float(work(mean)), work)


# ---- arithmetic that rounds as torch's kernels do


def _working(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """The dtype in which torch computes for `dtype`."""
    return np.float64 if dtype == np.float64 else np.float32


def _rounded(values: Any, dtype: np.dtype[Any]) -> Any:
    """Numbers in a float `dtype`, rounded by way of its working dtype; what is too large is inf."""
    with np.errstate(over="ignore"):
        return values.astype(_working(dtype), copy=False).astype(dtype, copy=False)


def _fused(
    factor: npt.NDArray[np.float64], scale: float, offset: float, work: type[np.floating[Any]]
) -> npt.NDArray[Any]:
    """factor * scale + offset, rounded once, to `work`, if the operands are `work` values, not subnormal."""
    with np.errstate(over="ignore", invalid="ignore"):
        if offset == 0 or not math.isfinite(scale) or not math.isfinite(offset):
            return (factor * scale + offset).astype(work)
        if work is np.float32:
            return _odd_sum(factor * scale, np.float64(offset)).astype(work)
        exponent = math.frexp(max(abs(scale), abs(offset)))[1]  # keeps the exact product within range
        scale, offset = math.ldexp(scale, -exponent), math.ldexp(offset, -exponent)
        product, product_error = _exact_product(factor, np.float64(scale))
        rest, rest_error = _exact_sum(np.float64(offset), product_error)
        total, total_error = _exact_sum(product, rest)
        return np.ldexp(total + _odd_sum(rest_error, total_error), exponent)


def _exact_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """(s, e) with s the rounded sum and s + e exactly a + b."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _exact_product(a: Any, b: Any) -> tuple[Any, Any]:
    """(p, e) with p the rounded product and p + e exactly a * b."""
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    product = a * b
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(a: Any) -> tuple[Any, Any]:
    """A float64 as the sum of two of at most 26 bits."""
    scaled = a * (2.0**27 + 1.0)
    high = scaled - (scaled - a)
    return high, a - high


def _odd_sum(a: Any, b: Any) -> npt.NDArray[np.float64]:
    """a + b rounded to odd: if inexact, the neighbour whose last bit is 1; rounding it again is safe."""
    total, error = _exact_sum(a, b)
    even = (total.view(np.int64) & 1) == 0
    return np.where(even & (error != 0), np.nextafter(total, np.copysign(np.inf, error)), total)


# ---- arguments


def _count(shape: tuple[int, ...]) -> int:
    """The number of elements of a shape; RuntimeError for a negative dimension."""
    for size in shape:
        if size < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {list(shape)}")
    return math.prod(shape)


def _is_float(dtype: np.dtype[Any]) -> bool:
    """Whether torch samples the dtype as a float: NumPy's long double is none."""
    return dtype.kind == "f" and dtype.itemsize <= 8


def _is_wide_unsigned(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype is uint16, uint32 or uint64, for which torch has few kernels."""
    return dtype.kind == "u" and dtype.itemsize > 1


def _part(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the real part of a complex dtype."""
    return np.empty(0, dtype).real.dtype


def _digits(dtype: np.dtype[Any]) -> int:
    """Bits of the significand of a float dtype, the hidden one included."""
    return int(np.finfo(dtype).nmant) + 1


def _largest(dtype: np.dtype[Any]) -> int:
    """The largest integer up to which a dtype holds all."""
    if dtype.kind == "b":
        return 1
    return 2 ** _digits(dtype) if dtype.kind == "f" else min(int(np.iinfo(dtype).max), 2**63 - 1)


def _int64(name: str, value: int) -> int:
    """`value` as an int; TypeError if it is none, ValueError if it does not fit 64 bits."""
    value = operator.index(value)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"Overflow when unpacking long long: {name}={value} is not in [-2**63, 2**63)")
    return value


def _kept(value: int, dtype: np.dtype[Any]) -> int:
    """An int64 after a round trip through a float dtype; -2**63, as on x86, if it does not come back."""
    there = float(_rounded(np.array(value, np.int64), dtype))
    return int(there) if -(2.0**63) <= there < 2.0**63 else -(2**63)


def _spacing(value: int, dtype: np.dtype[Any]) -> int:
    """The distance of neighbouring floats of `dtype` about an integer that it may not hold."""
    return 1 << (abs(value).bit_length() - _digits(dtype))


def _first_kept(low: int, dtype: np.dtype[Any]) -> int:
    """`low`, moved up if rounding to `dtype` could go below it (torch looks at low + 1)."""
    following = _kept(low + 1, dtype)
    return following + _spacing(low + 1, dtype) if following < low else low


def _last_kept(last: int, dtype: np.dtype[Any]) -> int:
    """`last`, moved down if rounding to `dtype` could go above it."""
    kept = _kept(last, dtype)
    return kept - _spacing(last, dtype) - 1 if kept > last else last


def _check_integer_range(first: int, last: int, dtype: np.dtype[Any]) -> None:
    """RuntimeError unless `dtype` spans [first, last]; UserWarning if a float dtype has gaps there."""
    if dtype.kind == "c":
        raise RuntimeError(
            f"check_random_bounds handles only integral, floating-point and boolean types, not {dtype}"
        )
    least: float
    most: float
    if dtype.kind == "f":
        least, most = float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    elif dtype.kind == "b":
        least, most = 0, 1
    else:
        least, most = int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), 2**63 - 1)
    held = C_NAMES.get(dtype.name, dtype.name)
    for name, value in (("from", first), ("to - 1", last)):
        if not least <= value <= most:
            raise RuntimeError(f"{name} is out of bounds for {held}: {value} is not in [{least}, {most}]")
    if dtype.kind == "f":
        digits = _digits(dtype)
        for name, value in (("from", first), ("to - 1", last)):
            if abs(value) > 2**digits:
                warnings.warn(
                    f"{name} is out of bounds [-(2^{digits}), 2^{digits}]: {dtype} does not hold every "
                    f"integer up to {value}, so some never occur",
                    UserWarning,
                    stacklevel=3,
                )


default_generator = Generator()
