"""The Fourier transforms of `fft`, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.both import assert_both, outcome
from tests.refgrad.ops.compare import assert_same
from tests.refgrad.ops.tangents import assert_same_tangents

RNG = np.random.default_rng(5)
REAL = RNG.normal(size=(3, 4, 5))
COMPLEX = REAL + 1j * RNG.normal(size=REAL.shape)
ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
OF_REALS = ("rfft", "ihfft")
SEVERAL = [name + end for name in ONE for end in ("2", "n")]


def operand(name: str) -> np.ndarray[Any, Any]:
    return REAL if name.rstrip("2n") in OF_REALS else COMPLEX


def mapped(name: str, **arguments: Any) -> Callable[..., Any]:
    def call(t: Any, x: Any) -> Any:
        made = getattr(t.fft, name)(x, **arguments)
        return made * made  # so that there is a second order

    return call


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("arguments", [{}, {"n": 3}, {"n": 8, "dim": 0}, {"dim": 1}, {"n": 1}])
def test_along_one_dimension(name: str, norm: str | None, arguments: dict[str, Any]) -> None:
    assert_same(mapped(name, norm=norm, **arguments), operand(name), ulps=64)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("arguments", [{}, {"s": (2, 7)}, {"s": (6, -1), "dim": (2, 0)}, {"dim": 1}])
def test_along_several_dimensions(name: str, norm: str | None, arguments: dict[str, Any]) -> None:
    assert_same(mapped(name, norm=norm, **arguments), operand(name), ulps=64)


@pytest.mark.parametrize("name", ["fft", "ifft", "irfft", "hfft", "fft2", "irfft2", "hfftn"])
def test_real_tensors(name: str) -> None:
    assert_same(mapped(name), REAL, ulps=64)
    assert_same(mapped(name), REAL.astype("float32"), ulps=64)


def state(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What can be seen of a tensor but its values, and the names of its nodes."""

    def call(t: Any) -> Any:
        made = make(t)
        names, node = [], made.grad_fn
        while node is not None:
            names.append(node.name())
            node = node.next_functions[0][0] if node.next_functions else None
        return str(made.dtype), tuple(made.shape), tuple(made.stride()), names

    return call


@pytest.mark.parametrize("name", [*ONE, *SEVERAL])
@pytest.mark.parametrize("arguments", [{}, {"dim": 0}, {"dim": 0, "cut": 2}, {"dim": 1, "cut": 9}])
@pytest.mark.parametrize("real", [True, False])
def test_nodes_and_layout(name: str, arguments: dict[str, Any], real: bool) -> None:
    given = dict(arguments)
    cut = given.pop("cut", None)
    if cut:
        given["n" if name in ONE else "s"] = cut
    for turned in (False, True):

        def make(t: Any, turned: bool = turned) -> Any:
            x = t.tensor(REAL if real else COMPLEX, requires_grad=True)
            return getattr(t.fft, name)(x.permute(2, 0, 1) if turned else x, **given)

        assert_both(state(make))


@pytest.mark.parametrize("name", [*ONE, *SEVERAL])
def test_errors_and_dtypes(name: str) -> None:
    size = "n" if name in ONE else "s"
    arguments: list[dict[str, Any]] = [
        {}, {size: 0}, {size: -2}, {size: (2, 0)}, {size: (1, 2, 3, 4)}, {size: 2.0}, {size: ()}, {size: (2, 3)},
        {"dim": 3}, {"dim": ()}, {"dim": (0, 0)}, {"dim": (0, 3)}, {"norm": "x"}, {"norm": 1},
        {size: (2,), "dim": (0, 1)},
    ]  # fmt: skip
    for given in arguments:
        assert_both(state(lambda t, given=given: getattr(t.fft, name)(t.ones(3, 4, 2), **given)))
    for make in (
        lambda t: t.tensor(1.0), lambda t: t.ones(4), lambda t: t.ones(4, 0), lambda t: t.ones(2, 4).half(),
        lambda t: t.ones(2, 4, dtype=t.int32), lambda t: t.ones(2, 4) > 0, lambda t: 3,
        lambda t: t.ones(2, 4, dtype=t.complex64),
    ):  # fmt: skip
        assert_both(state(lambda t, make=make: getattr(t.fft, name)(make(t))))


def test_a_batch_without_elements_is_refused() -> None:
    for t in (torch, refgrad):
        with pytest.raises(RuntimeError, match="FFT"):
            t.fft.fft(t.ones(0, 4))


def test_no_dimensions() -> None:
    assert_same(lambda t, x: t.fft.fftn(x, dim=()) * x, COMPLEX)
    assert_same(lambda t, x: t.fft.ifftn(x), np.array(2 + 1j))


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts(name: str) -> None:
    for dim in (None, 0, (0, -1), (1, 1)):
        assert_same(mapped(name, dim=dim), REAL)
    for make in (
        lambda t: (t.ones(2, 3), ()), lambda t: (t.ones(2, 3), 2), lambda t: (t.tensor(1.0),), lambda t: (3,),
        lambda t: (t.ones(0, 3),), lambda t: (t.arange(5),), lambda t: (t.ones(2, 3).t(),),
    ):  # fmt: skip
        assert_both(lambda t, make=make: getattr(t.fft, name)(*make(t)))


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(name: str) -> None:
    for given in ((5,), (6, 2.0), (1,), (0,), (-1,), (5, 0.0), (5, -1), (7, 0.1), (5.0,), (5, "a")):
        assert_both(lambda t, given=given: getattr(t.fft, name)(*given))
    for kind in ("float64", "float16", "int64", "bool", "complex64"):
        assert_both(lambda t, kind=kind: getattr(t.fft, name)(9, 0.3, dtype=getattr(t, kind)))
    assert outcome(lambda t: getattr(t.fft, name)(4, requires_grad=True).requires_grad, refgrad)[0] is True


@pytest.mark.parametrize("name", [*ONE, *SEVERAL])
def test_tangents(name: str) -> None:
    assert_same_tangents(mapped(name), REAL, ulps=64)
    assert_same_tangents(mapped(name, dim=0), operand(name), ulps=64)
