"""Jacobians for gradcheck: numerical ones by central differences, analytical ones by backward or forward mode.

A Jacobian here is a matrix with a row for each element of the input and a column for each element of
the output, or for each direction that it was multiplied with. For a complex input x + iy and a real
output it holds d/dx + i d/dy, which is what backward gives.
"""

from __future__ import annotations

import importlib
import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from refgrad import autograd
from refgrad.ops.constants import zeros
from refgrad.ops.conversion import zeros_like
from refgrad.ops.joining import stack
from refgrad.tensor import Tensor

Function = Callable[..., Any]


class GradcheckError(RuntimeError):
    """What `gradcheck` and `gradgradcheck` raise for a gradient that is wrong."""


def as_tuple(value: Any) -> tuple[Any, ...]:
    """One value, or a list or tuple of values, as a tuple."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def has_derivative(value: Any) -> bool:
    """Whether `value` is a tensor of floating point or complex numbers."""
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def differentiable_inputs(inputs: Iterable[Any]) -> list[Tensor]:
    """The tensors that require grad."""
    return [t for t in inputs if isinstance(t, Tensor) and t.requires_grad]


def forward_mode() -> ModuleType:
    """`autograd.forward_ad`, loaded when a check asks for it."""
    return importlib.import_module("refgrad.autograd.forward_ad")


def basis(like: Tensor) -> Iterable[Tensor]:
    """Tensors of the shape of `like` that are one in one element and zero elsewhere, element by element."""
    for j in range(like.numel()):
        e = zeros(like.numel(), dtype=like.dtype, device=like.device)
        e[j] = 1
        yield e.view(like.shape)


# The numerical side


def _outputs_at_inputs(fn: Function, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    """Copies of the outputs: they may look into the input that is about to move."""
    return tuple([out.clone() for out in as_tuple(fn(*inputs))])


def _central_difference(
    fn: Function, inputs: Sequence[Any], moving: Tensor, step: Any, eps: float, where: str
) -> list[Tensor]:
    """(fn(x + step) - fn(x - step)) / (2 eps) of each output, flat, where `moving` is memory of an input x."""
    middle = moving.clone()
    try:
        moving.copy_(middle - step)
        below = _outputs_at_inputs(fn, inputs)
        moving.copy_(middle + step)
        above = _outputs_at_inputs(fn, inputs)
    finally:
        moving.copy_(middle)
    slopes = []
    for low, high in zip(below, above, strict=True):
        for kind, one, other in (("shape", low.shape, high.shape), ("dtype", low.dtype, high.dtype)):
            if one != other:
                raise AssertionError(
                    f"Expected `func` to return outputs with the same {kind} when inputs are perturbed {where}by "
                    f"{eps}, but got: {kind}s {one} and {other}."
                )
        slopes.append(((high - low) / (2 * eps)).detach().reshape(-1))
    return slopes


def _derivatives(
    fn: Function,
    inputs: Sequence[Any],
    moving: Tensor,
    steps: tuple[Any, Any],
    eps: float,
    where: str = "",
    complex_outputs: bool = False,
) -> list[Tensor]:
    """The derivative of each output along a real step and, for complex input, i times that along another step."""
    slopes = _central_difference(fn, inputs, moving, steps[0], eps, where)
    if not complex_outputs and any(s.is_complex() for s in slopes):
        raise AssertionError("Expected ds_dx to be real-valued, not complex.")
    if not moving.is_complex():
        return slopes
    across = _central_difference(fn, inputs, moving, steps[1] * 1j, eps, where)
    return [dx + dy * 1j for dx, dy in zip(slopes, across, strict=True)]


def get_numerical_jacobian_wrt_specific_input(
    fn: Function,
    input_idx: int,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    eps: float,
    input: Tensor | None = None,
    is_forward_ad: bool = False,
) -> tuple[Tensor, ...]:
    """The numerical Jacobian of each floating point or complex output with respect to one input.

    `input` (default: the one of that index) is moved in place and must require grad: AssertionError. Complex
    outputs are an AssertionError unless `is_forward_ad`.
    """
    t = inputs[input_idx] if input is None else input
    if not t.requires_grad:
        raise AssertionError("Expected input to have requires_grad=True")
    data: Any = t.data
    rows = [
        _derivatives(fn, inputs, data[index], (eps, eps), eps, f"on index {index} ", is_forward_ad)
        for index in itertools.product(*map(range, t.shape))
    ]
    jacobians = []
    for k, out in enumerate(outputs):
        if has_derivative(out):
            dtype = t.dtype if t.is_complex() else out.dtype
            if rows:
                jacobians.append(stack([row[k] for row in rows]).to(dtype))
            else:
                jacobians.append(zeros((0, out.numel()), dtype=dtype, device=out.device))
    return tuple(jacobians)


def numerical_jacobians(
    fn: Function,
    inputs: Any,
    outputs: Sequence[Any] | None = None,
    target: Any = None,
    eps: float = 1e-3,
    is_forward_ad: bool = False,
) -> list[tuple[Tensor, ...]]:
    """For each tensor of `target` (default: `inputs`) that requires grad the Jacobian of each output."""
    inputs = as_tuple(inputs)
    outputs = as_tuple(fn(*inputs)) if outputs is None else outputs
    if not is_forward_ad and any(isinstance(o, Tensor) and o.is_complex() for o in outputs):
        raise ValueError(
            "Expected output to be non-complex. get_numerical_jacobian no longer supports functions that return "
            "complex outputs."
        )
    targets = differentiable_inputs(inputs if target is None else as_tuple(target))
    return [
        get_numerical_jacobian_wrt_specific_input(fn, 0, inputs, outputs, eps, t, is_forward_ad) for t in targets
    ]


def numerical_product(
    fn: Function, inputs: Sequence[Any], t: Tensor, u: tuple[Tensor, Tensor], eps: float, is_forward_ad: bool
) -> list[Tensor]:
    """The derivative of every output along the direction `u` of one input: a real part and an imaginary one, flat."""
    steps = (eps * u[0].view(t.shape), eps * u[1].view(t.shape))
    return _derivatives(fn, inputs, t.data, steps, eps, complex_outputs=is_forward_ad)


def get_numerical_jacobian(
    fn: Function, inputs: Any, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0
) -> tuple[Tensor, ...]:
    """Deprecated, as in torch. The numerical Jacobian of the first output of `fn`, which takes one tuple.

    With respect to each tensor of `target` (default: `inputs`) that requires grad. ValueError for complex
    outputs and for a `grad_out` other than 1.
    """
    _deprecated("get_numerical_jacobian", grad_out)
    found = numerical_jacobians(lambda *given: fn(given), inputs, None, target, eps)
    return tuple([by_output[0] for by_output in found])


def _deprecated(name: str, grad_out: float) -> None:
    warnings.warn(
        f"`{name}` was part of PyTorch's private API and not meant to be exposed. It is deprecated there, and here.",
        FutureWarning,
        stacklevel=3,
    )
    if grad_out != 1.0:
        raise ValueError(f"Expected grad_out to be 1.0. {name} no longer supports values of grad_out != 1.0.")


# The analytical side


class Analytical(NamedTuple):
    """The products of vectors with the Jacobian of one output, by input, and what is to be said of them."""

    jacobians: tuple[Tensor, ...]
    reentrant: bool
    sizes_ok: bool
    types_ok: bool


def backward_products(
    inputs: Sequence[Any], output: Tensor, vectors: Sequence[Tensor], nondet_tol: float
) -> Analytical:
    """A column for each of `vectors` (of the shape of `output`); everything is computed twice, and compared."""
    wanted = differentiable_inputs(inputs)
    first = [_gradients(output, wanted, v) for v in vectors]
    second = [_gradients(output, wanted, v) for v in vectors]
    sizes_ok = types_ok = True
    for column in first:
        for g, t in zip(column, wanted, strict=True):
            if g is not None:
                sizes_ok &= g.shape == t.shape
                types_ok &= g.dtype == t.dtype
    jacobians = tuple([_as_columns([column[k] for column in first], t) for k, t in enumerate(wanted)])
    again = [_as_columns([column[k] for column in second], t) for k, t in enumerate(wanted)]
    reentrant = not any(
        a.numel() and bool((a - b).abs().max() > nondet_tol) for a, b in zip(jacobians, again, strict=True)
    )
    return Analytical(jacobians, reentrant, sizes_ok, types_ok)


def _gradients(output: Tensor, inputs: list[Tensor], vector: Tensor) -> list[Tensor | None]:
    found = autograd.grad(output, inputs, vector, retain_graph=True, allow_unused=True)
    return [None if g is None else g.clone() for g in found]


def _as_columns(gradients: list[Tensor | None], t: Tensor) -> Tensor:
    """Gradients of one input side by side; zeros for None, and for one that has not the input's size."""
    if not gradients:
        return zeros((t.numel(), 0), dtype=t.dtype, device=t.device)
    columns = [zeros_like(t) if g is None or g.shape != t.shape else g for g in gradients]
    return stack([c.reshape(-1) for c in columns], dim=1).to(t.dtype)


def checked_products(
    inputs: Sequence[Any], output: Tensor, vectors: Sequence[Tensor], nondet_tol: float, check_grad_dtypes: bool
) -> tuple[Tensor, ...]:
    """`backward_products`; GradcheckError for gradients of wrong dtype or size, and for those that change."""
    found = backward_products(inputs, output, vectors, nondet_tol)
    if check_grad_dtypes and not found.types_ok:
        raise GradcheckError("Gradient has dtype mismatch")
    if not found.sizes_ok:
        raise GradcheckError("Analytical gradient has incorrect size")
    if not found.reentrant:
        raise GradcheckError(
            "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
            "different values, although analytical gradient matches numerical gradient."
            f"The tolerance for nondeterminism was {nondet_tol}. Where the backward is known to differ a little from "
            "run to run, state how much with `nondet_tol`."
        )
    return found.jacobians


def get_analytical_jacobian(
    inputs: Sequence[Any], output: Tensor, nondet_tol: float = 0.0, grad_out: float = 1.0
) -> tuple[tuple[Tensor, ...], bool, bool, bool]:
    """Deprecated, as in torch. The Jacobian of `output` by each input that requires grad, and three flags.

    They tell whether running backward twice gives the same up to `nondet_tol`, and whether sizes and dtypes
    of gradients are those of the inputs. ValueError for complex outputs and for a `grad_out` other than 1.
    """
    _deprecated("get_analytical_jacobian", grad_out)
    if output.is_complex():
        raise ValueError(
            "Expected output to be non-complex. get_analytical_jacobian no longer supports functions that return "
            "complex outputs."
        )
    return tuple(backward_products(inputs, output, list(basis(output)), nondet_tol))  # type: ignore[return-value]


def forward_products(
    fn: Function,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    directions: Sequence[Iterable[Tensor]] | None,
    check_grad_dtypes: bool,
) -> list[list[Tensor]]:
    """By forward mode, for each input that requires grad and each output: a row for each direction of that input.

    `directions` (default: the basis) has tensors of the shape of the input. Real inputs only: ValueError.
    """
    forward_ad = forward_mode()
    wanted = [k for k, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]
    if any(inputs[k].is_complex() for k in wanted):
        raise ValueError("Expected inputs to be non-complex for _get_analytical_jacobian_forward_ad.")
    found = []
    for number, k in enumerate(wanted):
        rows: list[list[Tensor]] = []
        for direction in basis(inputs[k]) if directions is None else directions[number]:
            with forward_ad.dual_level():
                given = list(inputs)
                for j in wanted:
                    tangent = direction if j == k else zeros_like(inputs[j])
                    given[j] = forward_ad.make_dual(inputs[j].detach(), tangent)
                results = [out for out in as_tuple(fn(*given)) if has_derivative(out)]
                rows.append([_flat_tangent(forward_ad.unpack_dual(out), check_grad_dtypes) for out in results])
        like = [out for out in outputs if has_derivative(out)]
        found.append(
            [
                stack([row[i] for row in rows]) if rows else zeros((0, out.numel()), dtype=out.dtype, device=out.device)
                for i, out in enumerate(like)
            ]
        )
    return found


def _flat_tangent(dual: tuple[Tensor, Tensor | None], check_grad_dtypes: bool) -> Tensor:
    primal, tangent = dual
    if tangent is None:
        return zeros_like(primal).reshape(-1)
    if check_grad_dtypes and primal.is_complex() != tangent.is_complex():
        raise GradcheckError("Forward AD gradient has dtype mismatch.")
    return tangent.detach().reshape(-1)
