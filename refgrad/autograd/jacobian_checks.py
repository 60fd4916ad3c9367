"""The comparison at the heart of gradcheck: numerical against analytical Jacobians, whole or by random products.

Slow mode compares Jacobians element by element. Fast mode multiplies a Jacobian J from both sides with
random vectors of length one: backward gives v^T J, central differences give J u, and v^T J u must come out
the same both ways. The absolute tolerance grows with the sums of u and v, as if each element of J were off
by it. Forward mode gives J u itself, and needs no v.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from refgrad import dtypes
from refgrad.autograd.jacobians import (
    Function,
    GradcheckError,
    backward_products,
    basis,
    checked_products,
    differentiable_inputs,
    forward_products,
    has_derivative,
    numerical_jacobians,
    numerical_product,
)
from refgrad.generator import Generator
from refgrad.ops.comparison import allclose
from refgrad.ops.creation import from_numpy
from refgrad.tensor import Tensor

_ZERO_EXPECTED = "Numerical gradient for function expected to be zero"


class Settings(NamedTuple):
    """How a comparison is made: the arguments of `gradcheck` of these names."""

    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    check_grad_dtypes: bool
    fast_mode: bool


class Part(NamedTuple):
    """That only the real or the imaginary part of complex outputs, or inputs in forward mode, is looked at."""

    name: str
    numbers: frozenset[int]  # of those that are complex, among the differentiable ones


def check_jacobians(
    fn: Function,
    made: tuple[Any, ...],
    inputs: Sequence[Any],
    settings: Settings,
    *,
    forward: bool = False,
    part: Part | None = None,
) -> None:
    """Compare the derivatives of the outputs that require grad of `made`, which is `fn(*inputs)`.

    GradcheckError if they differ.
    """
    if settings.fast_mode:
        _check_products(fn, made, inputs, settings, forward, part)
    else:
        _check_elements(fn, made, inputs, settings, forward, part)


def _check_elements(
    fn: Function, made: tuple[Any, ...], inputs: Sequence[Any], settings: Settings, forward: bool, part: Part | None
) -> None:
    numerical = numerical_jacobians(fn, inputs, made, None, settings.eps, forward)
    derived = [out for out in made if has_derivative(out)]  # the outputs that numerical Jacobians are made of
    columns = [k for k, out in enumerate(derived) if out.requires_grad]
    if not columns:
        if any(jacobian.ne(0).any() for by_output in numerical for jacobian in by_output):
            raise GradcheckError(_ZERO_EXPECTED)
        return
    if forward:
        found = forward_products(fn, inputs, made, None, settings.check_grad_dtypes)
    for number, k in enumerate(columns):
        if forward:
            analytical: Sequence[Tensor] = [by_output[k] for by_output in found]
        else:
            vectors = list(basis(derived[k]))
            analytical = checked_products(inputs, derived[k], vectors, settings.nondet_tol, settings.check_grad_dtypes)
        for i, (a, by_output) in enumerate(zip(analytical, numerical, strict=True)):
            if not _all_close(a, by_output[k], settings.rtol, settings.atol):
                raise GradcheckError(_mismatch(a, by_output[k], number, i, forward, part))


def _check_products(
    fn: Function, made: tuple[Any, ...], inputs: Sequence[Any], settings: Settings, forward: bool, part: Part | None
) -> None:
    generator = Generator()
    wanted = differentiable_inputs(inputs)
    us = []
    for t in wanted:
        real = _direction(t, generator, t.dtype.to_real())
        us.append((real, _direction(t, generator, t.dtype.to_real()) if t.is_complex() else real))
    compared = [k for k, out in enumerate(made) if (has_derivative(out) if forward else out.requires_grad)]
    vs = [None if forward else _direction(made[k], generator, made[k].dtype) for k in compared]
    slopes = [numerical_product(fn, inputs, t, u, settings.eps, forward) for t, u in zip(wanted, us, strict=True)]
    if forward:
        directions = [[u.view(t.shape)] for (u, _), t in zip(us, wanted, strict=True)]
        products = forward_products(fn, inputs, made, directions, settings.check_grad_dtypes)
        analytical = [[row.select(0, 0) for row in by_output] for by_output in products]
    else:
        if not compared and any(s.numel() and s.abs().max() > settings.nondet_tol for row in slopes for s in row):
            raise GradcheckError(_ZERO_EXPECTED)
        by_output = [
            checked_products(
                inputs, made[k], [v.view(made[k].shape)], settings.nondet_tol, settings.check_grad_dtypes
            )
            for k, v in zip(compared, vs, strict=True)
            if v is not None
        ]
        analytical = [[_product(found[i].select(1, 0), u) for found in by_output] for i, u in enumerate(us)]
    for i, u in enumerate(us):
        for number, (k, v) in enumerate(zip(compared, vs, strict=True)):
            n = slopes[i][k] if v is None else (v * slopes[i][k]).sum()
            a = analytical[i][number]
            scale = float(u[0].sum()) + (float(u[1].sum()) if wanted[i].is_complex() else 0.0)
            atol = settings.atol * scale * (1.0 if v is None else float(v.sum()))
            if not _all_close(a, n, settings.rtol, atol):
                message = _mismatch(a, n, number, i, forward, part)
                raise GradcheckError(message + _elementwise(fn, made, inputs, settings, forward, k, i))


def _direction(t: Tensor, generator: Generator, dtype: Any) -> Tensor:
    """A random vector of length one with an element, not negative, for each of `t`."""
    drawn = generator.rand((t.numel(),), dtypes.get_default_dtype().numpy)
    vector = from_numpy(drawn).to(t.device, dtype)
    return vector / vector.norm()


def _product(vj: Tensor, u: tuple[Tensor, Tensor]) -> Tensor:
    if vj.is_complex():
        return vj.real.dot(u[0]) + 1j * vj.imag.dot(u[1])
    return vj.dot(u[0])


def _all_close(analytical: Tensor, numerical: Tensor, rtol: float, atol: float) -> bool:
    common = dtypes.promote_types(analytical.dtype, numerical.dtype)
    return allclose(analytical.to(common), numerical.to(common), rtol, atol)


def _mismatch(
    analytical: Tensor, numerical: Tensor, output: int, input: int, forward: bool, part: Part | None
) -> str:
    prefix = mode = ""
    if part is not None and (input if forward else output) in part.numbers:
        prefix = f"While considering the {part.name} part of complex {'inputs' if forward else 'outputs'} only, "
    if forward:
        mode = "computed with forward mode "
    return (
        f"{prefix}Jacobian {mode}mismatch for output {output} with respect to input {input},\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )


def _elementwise(
    fn: Function, made: tuple[Any, ...], inputs: Sequence[Any], settings: Settings, forward: bool, k: int, i: int
) -> str:
    """What slow mode says of output number `k` of all, after fast mode failed: numbers a reader can use."""
    column = sum(has_derivative(out) for out in made[:k])
    numerical = numerical_jacobians(fn, inputs, made, None, settings.eps, forward)[i][column]
    if forward:
        analytical = forward_products(fn, inputs, made, None, False)[i][column]
    else:
        analytical = backward_products(inputs, made[k], list(basis(made[k])), float("inf")).jacobians[i]
    verdict = ""
    if _all_close(analytical, numerical, settings.rtol, settings.atol):
        verdict = (
            "Fast gradcheck failed but element-wise differences are small: with `fast_mode=False` the check might "
            "have passed.\n"
        )
    return (
        "\nThese are products of the Jacobians with random vectors (fast mode). The Jacobians themselves:\n\n"
        f"Numerical:\n{numerical}\nAnalytical:\n{analytical}\n\n"
        f"The largest difference of an element is {(numerical - analytical).abs().max()}.\n{verdict}"
    )
