"""refgrad.printing against torch's own `repr`, asked at test time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import _tensor_str

from refgrad import printing

INTEGERS = ("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
DTYPES = (*INTEGERS, *FLOATS, *COMPLEX)
SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1e-320, 1e-45, 6e-8, 65504.0, 3.4e38, -1.7e308)


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    yield
    set_options(profile="default")
    torch.set_default_dtype(torch.float32)


def set_options(**options: Any) -> None:
    torch.set_printoptions(**options)
    printing.set_printoptions(**options)


def with_grad_fn(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, made to require grad with a grad_fn of this name."""
    forward, backward = staticmethod(lambda ctx, x: x.clone()), staticmethod(lambda ctx, g: g)
    function = type(name, (torch.autograd.Function,), {"forward": forward, "backward": backward})
    return function.apply(tensor.requires_grad_())


def ours(tensor: torch.Tensor, **how: Any) -> str:
    """The same tensor's text by refgrad."""
    stored = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    return printing.format_tensor(
        stored.numpy(),
        str(tensor.dtype).removeprefix("torch."),
        default_dtype_name=str(torch.get_default_dtype()).removeprefix("torch."),
        requires_grad=tensor.requires_grad,
        grad_fn_name=type(tensor.grad_fn).__name__ if tensor.grad_fn is not None else None,
        **how,
    )


VALUES = {
    "whole": [1.0, 2.0, -3.0, 0.0],
    "fixed": [1.5, -2.25, 100.0, 0.0],
    "negative zero": [-0.0],
    "zeros of both signs": [-0.0, 0.0, 1.5],
    "only special": [np.nan, np.inf, -np.inf, 0.0],
    "whole and special": [np.nan, 1.0, np.inf, -np.inf, -20.0],
    "fixed and special": [np.nan, 1.5, np.inf, -np.inf],
    "scientific and special": [np.nan, 1e-6, np.inf, -np.inf, 0.0, -0.0],
    "whole but scientific": [1.0, 2000.0],
    "widest whole": [-99999999.0, 1e5],
    "above 1e8": [1e8, 100000008.0],
    "below 1e-4": [1e-4, 9e-5],
    "overflowing ratio": [5e-324, 1.7e308],
    "ties": [0.5, 1.5, 2.5, 0.00005, 0.00015],
    "rounds wider": [9.99999, 99.99999],
    "one element": [0.1],
    "too many for a line": [i / 7 for i in range(40)],
    "mixed widths": [1.25, -1000.5, 10.0, 999.99999],
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_floats(values: list[float], dtype: torch.dtype) -> None:
    for shown in (torch.tensor(values, dtype=dtype), torch.tensor(values[0], dtype=dtype)):
        assert ours(shown) == repr(shown) == str(shown)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_complex_parts_have_a_column_each(values: list[float], dtype: torch.dtype) -> None:
    for imag in (values, values[::-1], [3.0] * len(values), [-0.0] * len(values), [-1e-7] * len(values)):
        pairs = [complex(re, im) for re, im in zip(values, imag, strict=True)]
        for shown in (torch.tensor(pairs, dtype=dtype), torch.tensor(pairs[0], dtype=dtype)):
            assert ours(shown) == repr(shown)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype: str) -> None:
    ends = [False, True] if dtype == "bool" else [np.iinfo(dtype).min, 0, 7, np.iinfo(dtype).max]
    array = np.array(ends, dtype)
    for shown in map(torch.from_numpy, (array, array[:1].reshape(()), np.resize(array, (3, 2, 5)))):
        assert ours(shown) == repr(shown)


@pytest.mark.parametrize("default", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3), (1, 0, 2), (1,), ()])
def test_dtype_and_size_suffix(shape: tuple[int, ...], default: torch.dtype) -> None:
    torch.set_default_dtype(default)
    for name in DTYPES:
        for edgeitems in (0, 3):
            set_options(edgeitems=edgeitems)
            shown = torch.ones(shape, dtype=getattr(torch, name))
            assert ours(shown) == repr(shown)
            if name in FLOATS + COMPLEX:
                assert ours(shown.requires_grad_()) == repr(shown)
                assert ours(shown**2) == repr(shown**2)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_scientific_mode_starts_where_torchs_does(dtype: str) -> None:
    """The limits (a ratio of 1000, 1e8, 1e-4) and their neighbours, compared in float64 after rounding."""
    texts = []
    with np.errstate(over="ignore"):
        starts = np.array([1, 3, 0.1, 1.1, 0.007, 60, 1e-4, 1e5, 1e8, 7 / 3]).astype(dtype)
        for small in starts[np.isfinite(starts)]:
            for large in np.array([1, 1000, 1e8 / float(small)]) * float(small):
                limit = large.astype(dtype)
                zero, infinity = np.array([0, np.inf], dtype)
                for near in (np.nextafter(limit, zero), limit, np.nextafter(limit, infinity)):
                    shown = torch.from_numpy(np.array([small, -near]))
                    texts.append(repr(shown))
                    assert ours(shown) == texts[-1]
    assert 10 < sum("e+" in text or "e-" in text for text in texts) < len(texts) - 10


@pytest.mark.parametrize("suffixed", ["plain", "leaf", "grad_fn"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 9), (2, 2, 3), (3, 0)])
def test_lines_break_where_torchs_do(shape: tuple[int, ...], suffixed: str) -> None:
    values = np.random.default_rng(3).standard_normal(shape)
    for dtype in (np.float32, np.float64, np.complex128):
        shown = torch.from_numpy(np.asarray(values, dtype))
        if suffixed != "plain":
            shown.requires_grad_()
        if suffixed == "grad_fn":
            shown = shown * 2
        for linewidth in range(100):
            set_options(linewidth=linewidth)
            assert ours(shown) == repr(shown), linewidth


@pytest.mark.parametrize("shape", [(11,), (4, 5), (7, 1, 9), (2, 8, 2, 7), (1, 30), (30, 1)])
def test_summaries(shape: tuple[int, ...]) -> None:
    """The hidden middle has no say: values there that would call for other widths do not change the text."""
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    hidden = np.where(array > array.size // 2, 1e30, array + 0.5)
    for values in (array, hidden, array.T, array.astype(np.int64), hidden + 1j * array):
        for threshold in (0, array.size - 1, array.size, float("inf")):
            for edgeitems in range(5):
                set_options(threshold=threshold, edgeitems=edgeitems)
                shown = torch.from_numpy(values)
                assert ours(shown) == repr(shown), (threshold, edgeitems)


def test_default_threshold() -> None:
    for shape in [(1000,), (1001,), (10, 10, 10), (7, 11, 13), (2, 501), (501, 2), (6, 6, 6, 6)]:
        shown = torch.arange(np.prod(shape)).reshape(shape)
        for numbers in (shown, shown / 3):
            assert ours(numbers) == repr(numbers)


@pytest.mark.parametrize("columns", [0, 1, 5, 30, 70])
def test_indent(columns: int) -> None:
    """Text begun further right is laid out as torch lays out a subclass whose name is longer by as much."""
    lead = "x" * columns
    longer = type(lead + "tensor", (torch.Tensor,), {})
    for shape in [(), (30,), (3, 9), (2, 2, 2), (0, 2)]:
        for scale in (1, 1e-9):
            shown = torch.arange(np.prod(shape), dtype=torch.float64).reshape(shape) / 7 * scale
            shown.requires_grad_()
            renamed = shown.as_subclass(longer).detach().requires_grad_()
            assert lead + ours(shown, indent=columns) == repr(renamed)


class tensor(torch.Tensor):
    """Claims to be on a device and holds nothing: torch prints its suffixes, given the contents."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError(f"{func} on a tensor without storage")


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "cuda:11"])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_device(device: str, requires_grad: bool) -> None:
    for shape in [(), (6,), (2, 3), (2, 0)]:
        for dtype in (torch.float32, torch.float64):
            shown = torch.ones(shape, dtype=dtype, requires_grad=requires_grad)
            wrapper = torch.Tensor._make_wrapper_subclass(
                tensor, shape, dtype=dtype, device=device, requires_grad=requires_grad
            )
            for linewidth in range(20, 100):
                set_options(linewidth=linewidth)
                contents = _tensor_str._tensor_str(shown.detach(), len("tensor("))
                assert ours(shown, device=device) == wrapper.__repr__(tensor_contents=contents)


def test_options_follow_torchs() -> None:
    rng = np.random.default_rng(11)
    choices: dict[str, list[Any]] = {
        "precision": [None, 0, 3, 9],
        "threshold": [None, 0, 50, float("inf")],
        "edgeitems": [None, 0, 1, 4],
        "linewidth": [None, 0, 40, 120],
        "profile": [None, None, "default", "short", "full", "unheard of"],
        "sci_mode": [None, True, False],
    }
    shown = torch.arange(60).reshape(5, 12) / 8
    for _ in range(200):
        named = [name for name in choices if rng.random() < 0.5]
        set_options(**{name: choices[name][rng.integers(len(choices[name]))] for name in named})
        assert printing.get_printoptions() == _tensor_str.get_printoptions()
        assert ours(shown) == repr(shown)
    kept = printing.get_printoptions()
    set_options(profile="default")
    printing.set_printoptions(**kept)
    assert printing.get_printoptions() == kept


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"precision": -1}, ValueError),
        ({"precision": 2.5}, ValueError),
        ({"linewidth": float("inf")}, OverflowError),
    ],
)
def test_unusable_options_fail_when_printing(options: dict[str, Any], error: type[Exception]) -> None:
    set_options(**options)
    shown = torch.tensor([0.5, 1.5])
    with pytest.raises(error) as theirs:
        repr(shown)
    with pytest.raises(error) as raised:
        ours(shown)
    assert str(raised.value) == str(theirs.value)


CASES_PER_DTYPE = 1000
SHAPES = (
    *((), (1,), (2,), (7,), (25,), (60,), (0,)),
    *((1, 1), (2, 3), (3, 7), (9, 2), (1, 25), (0, 3)),
    *((2, 1, 3), (3, 2, 4), (1, 8, 3), (2, 0, 4), (2, 2, 2, 2), (1, 2, 1, 9)),
)
LARGE_SHAPES = ((1001,), (34, 30), (8, 9, 15), (2, 600), (3, 3, 3, 40), (1200, 1))


def draw_floats(rng: np.random.Generator, dtype: str, count: int) -> np.ndarray:
    kind = rng.integers(7)
    if kind == 0:
        values = rng.integers(-20, 21, count).astype(np.float64)
    elif kind == 1:
        values = np.trunc(rng.standard_normal(count) * 10.0 ** rng.integers(0, 10))
    elif kind == 2:
        values = rng.standard_normal(count) * 10.0 ** rng.integers(-6, 10)
    elif kind == 3:
        lowest, highest = -rng.integers(1, 40), rng.integers(1, 40)
        values = rng.standard_normal(count) * 10.0 ** rng.integers(lowest, highest, count)
    elif kind == 4:  # everything within a ratio of about 1000
        values = 10.0 ** rng.integers(-4, 6) * 1000.0 ** rng.random(count) * rng.choice([-1, 1], count)
    elif kind == 5:  # halves of the last digit printed
        values = rng.integers(-50, 51, count) * rng.choice([0.5, 0.05, 0.00005])
    else:
        width = np.dtype(dtype).itemsize
        return np.frombuffer(rng.bytes(width * count), dtype).copy()
    special = rng.random(count) < rng.choice([0, 0, 0.1, 0.9])
    return np.where(special, rng.choice(SPECIAL, count), values).astype(dtype)


def draw_array(rng: np.random.Generator, dtype: str) -> np.ndarray:
    shapes = LARGE_SHAPES if rng.random() < 0.04 else SHAPES
    shape = shapes[rng.integers(len(shapes))]
    count = int(np.prod(shape))
    if dtype in FLOATS:
        flat = draw_floats(rng, dtype, count)
    elif dtype in COMPLEX:
        part = {"complex64": "float32", "complex128": "float64"}[dtype]
        flat = np.empty(count, dtype)
        flat.real, flat.imag = draw_floats(rng, part, count), draw_floats(rng, part, count)
    elif dtype == "bool" or rng.random() < 0.3:
        flat = rng.integers(0, 2, count).astype(dtype)
    else:
        bits = np.frombuffer(rng.bytes(np.dtype(dtype).itemsize * count), dtype)
        flat = bits >> np.dtype(dtype).type(rng.integers(np.dtype(dtype).itemsize * 8))
    array = flat.reshape(shape)
    return array.T if rng.random() < 0.2 else array


def draw_options(rng: np.random.Generator) -> dict[str, Any]:
    drawn = {
        "precision": int(rng.integers(11)),
        "threshold": float(rng.choice([0, 5, 20, 1000, np.inf])),
        "edgeitems": int(rng.integers(5)),
        "linewidth": int(rng.integers(150)),
        "profile": str(rng.choice(["default", "short", "full"])),
        "sci_mode": bool(rng.integers(2)),
    }
    return {name: value for name, value in drawn.items() if rng.random() < 0.4}


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
def test_sweep(dtype: str) -> None:
    stored = "float32" if dtype == "bfloat16" else dtype
    differentiable = stored in FLOATS + COMPLEX
    signs = ["...", ",\n", "size="]
    signs += ["e+", "e-", "nan", "inf", "-0", "requires_grad=", "grad_fn="] if differentiable else []
    reached = dict.fromkeys(signs, 0)
    for case in range(CASES_PER_DTYPE):
        rng = np.random.default_rng([*dtype.encode(), case])
        with np.errstate(over="ignore"):
            shown = torch.from_numpy(draw_array(rng, stored)).to(getattr(torch, dtype))
        options = draw_options(rng) if rng.random() < 0.6 else {}
        set_options(**({"profile": "default"} | options))
        torch.set_default_dtype(torch.float64 if rng.random() < 0.2 else torch.float32)
        if differentiable and rng.random() < 0.5:
            leaf = rng.random() < 0.4
            shown = shown.requires_grad_() if leaf else with_grad_fn("F" * rng.integers(1, 70), shown)
        expected = repr(shown)
        assert ours(shown) == expected, f"{dtype} case {case}: {options}"
        for sign in signs:
            reached[sign] += sign in expected
    assert min(reached.values()) >= 10, f"the sweep hardly tries some of what it is for: {reached}"
