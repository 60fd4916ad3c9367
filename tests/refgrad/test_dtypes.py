"""Type promotion and dtype objects, against torch for every pair."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import refgrad

NAMES = (
    "bool", "uint8", "int8", "int16", "int32", "int64",
    "float16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_dtype_describes_itself_as_torch_does(name: str) -> None:
    ours, theirs = getattr(refgrad, name), getattr(torch, name)
    assert repr(ours) == repr(theirs)
    assert ours.is_floating_point == theirs.is_floating_point
    assert ours.is_complex == theirs.is_complex
    assert ours.is_signed == theirs.is_signed
    assert ours.itemsize == theirs.itemsize


@pytest.mark.parametrize("alias", ["half", "float", "double", "short", "int", "long", "cfloat", "cdouble"])
def test_aliases(alias: str) -> None:
    assert repr(getattr(refgrad, alias)) == repr(getattr(torch, alias))


def test_promote_types_over_all_pairs() -> None:
    for a, b in itertools.product(NAMES, repeat=2):
        if {a, b} == {"float16", "complex64"}:
            continue  # the next test
        expected = torch.promote_types(getattr(torch, a), getattr(torch, b))
        got = refgrad.promote_types(getattr(refgrad, a), getattr(refgrad, b))
        assert repr(got) == repr(expected), (a, b)


def test_half_and_complex() -> None:
    assert refgrad.promote_types(refgrad.float16, refgrad.complex64) is refgrad.complex64
    assert torch.promote_types(torch.float16, torch.complex64) is torch.complex64


SCALARS: tuple[Any, ...] = (True, 3, 2.5, 1j)


def operands(module: Any) -> list[tuple[str, Any]]:
    made = []
    for name in NAMES:
        made.append((f"{name}[2]", module.ones(2, dtype=getattr(module, name))))
        made.append((f"{name}[]", module.ones((), dtype=getattr(module, name))))
    return made + [(repr(s), s) for s in SCALARS]


def test_result_type_over_all_pairs_of_tensors_and_numbers() -> None:
    ours, theirs = operands(refgrad), operands(torch)
    checked = 0
    for (label_a, a), (label_b, b) in itertools.product(theirs, repeat=2):
        expected = torch.result_type(a, b)
        if expected is torch.complex32:
            continue  # neither NumPy nor CuPy has a complex half; docs/differences.md says so
        got = refgrad.result_type(dict(ours)[label_a], dict(ours)[label_b])
        assert repr(got) == repr(expected), (label_a, label_b)
        checked += 1
    assert checked > 600


def test_the_default_dtype_decides_for_float_literals() -> None:
    refgrad.set_default_dtype(refgrad.float64)
    try:
        assert refgrad.tensor(1.5).dtype is refgrad.float64
        assert refgrad.get_default_dtype() is refgrad.float64
        assert (refgrad.ones(2, dtype=refgrad.int64) * 1.5).dtype is refgrad.float64
    finally:
        refgrad.set_default_dtype(refgrad.float32)
    with pytest.raises(TypeError, match="only floating-point types are supported"):
        refgrad.set_default_dtype(refgrad.int64)


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "complex64"])
def test_finfo(name: str) -> None:
    ours, theirs = refgrad.finfo(getattr(refgrad, name)), torch.finfo(getattr(torch, name))
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "dtype"):
        assert getattr(ours, field) == getattr(theirs, field), field


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo(name: str) -> None:
    ours, theirs = refgrad.iinfo(getattr(refgrad, name)), torch.iinfo(getattr(torch, name))
    for field in ("bits", "max", "min", "dtype"):
        assert getattr(ours, field) == getattr(theirs, field), field
