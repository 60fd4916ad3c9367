"""gradcheck: gradients against central differences, with torch's names, arguments and verdicts.

Besides its Jacobians (see `refgrad.autograd.jacobian_checks`) a function is held to this: its backward is
linear in the gradient given, takes undefined gradients for zeros, and gives the same twice. A complex output
is two real functions, its real and its imaginary part; so is a complex input in forward mode.

Random numbers come from generators made here, so that a check gives the same verdict each time and leaves
the caller's random state alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from refgrad import autograd
from refgrad.autograd.jacobian_checks import Part, Settings, check_jacobians
from refgrad.autograd.jacobians import (
    Function,
    GradcheckError,
    as_tuple,
    differentiable_inputs,
    forward_mode,
    get_analytical_jacobian,
    get_numerical_jacobian,
    get_numerical_jacobian_wrt_specific_input,
    has_derivative,
)
from refgrad.dtypes import complex128, float64
from refgrad.generator import Generator
from refgrad.ops.comparison import allclose
from refgrad.ops.conversion import zeros_like
from refgrad.ops.creation import from_numpy
from refgrad.ops.joining import stack
from refgrad.ops.record import Op
from refgrad.tensor import Tensor

__all__ = [
    "GradcheckError",
    "get_analytical_jacobian",
    "get_numerical_jacobian",
    "get_numerical_jacobian_wrt_specific_input",
    "gradcheck",
    "gradgradcheck",
]

_undefined_gradient = Op("undefined_grad", lambda xp, x: x, {"self": lambda F, g: None}, node="UndefinedGradBackward0")


def gradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of `func` are those of central differences with step `eps`; True, or GradcheckError.

    `func` takes `inputs`, a tensor or a tuple of anything, and gives a tensor or a tuple of tensors. The
    tensors among the inputs that require grad are checked; they are moved in place meanwhile, and should be
    float64 or complex128 (UserWarning). Elements may differ by `atol` + `rtol` * |numerical|, and two runs
    of backward by `nondet_tol`. `fast_mode` compares products of Jacobians with random vectors.
    `check_forward_ad` and `check_backward_ad` choose the modes, the `check_batched` arguments add batches
    of gradients, which here are computed one by one. `masked` allows backward to give tiny numbers for a
    gradient of zero.

    `raise_exception=False` gives False for a GradcheckError. Others are raised always: ValueError where no
    input requires grad, RuntimeError for expanded inputs, AssertionError for outputs whose shape or dtype
    changes with the inputs and for arguments that contradict each other, and whatever `func` raises.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    given = as_tuple(inputs)
    _check_inputs(given)
    made = as_tuple(func(*given))
    outputs = _differentiable(made)
    settings = Settings(eps, atol, rtol, nondet_tol, check_grad_dtypes, fast_mode)
    try:
        if check_backward_ad:
            _check_backward(func, made, given, settings)
        if check_forward_ad:
            _check_forward(func, made, given, settings, check_undefined_grad)
        if check_batched_forward_grad:
            _check_batched_forward(func, given)
        if check_backward_ad:
            if check_batched_grad:
                for number, out in enumerate(outputs):
                    _check_batched(given, out, number)
            _check_linear(outputs, given, bool(masked))
            if check_undefined_grad:
                _check_undefined(func, given)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Function,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the gradients of `func`, as a function of its inputs and of `grad_outputs`.

    `grad_outputs`, one of the shape of each output that requires grad, are random by default, between -1
    and 1, and with gaps in memory where `gen_non_contig_grad_outputs` is true. `check_rev_over_rev` and
    `check_fwd_over_rev` choose how gradients are differentiated. Errors as of `gradcheck`, and TypeError
    where no output requires grad.
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    if check_undefined_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_undefined_grad=True requires check_rev_over_rev to be True")
    if check_batched_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_batched_grad=True requires check_rev_over_rev to be True")
    given = as_tuple(inputs)
    if grad_outputs is None:
        generator = Generator()
        outputs = _differentiable(as_tuple(func(*given)))
        seeds = tuple([_random_seed(out, generator, gen_non_contig_grad_outputs) for out in outputs])
    else:
        seeds = as_tuple(grad_outputs)
    if not seeds and differentiable_inputs(given):
        raise TypeError("gradgradcheck needs an output that requires grad, but `func` gave none for these inputs")
    # Forward mode passes inputs that are detached, so what requires grad is noted here.
    wanted = [isinstance(t, Tensor) and t.requires_grad for t in (*given, *seeds)]

    def gradients(*args: Any) -> tuple[Tensor, ...]:
        args = tuple([t.requires_grad_() if w else t for t, w in zip(args, wanted, strict=True)])
        points = args[: len(given)]
        outputs = _differentiable(as_tuple(func(*points)))
        found = autograd.grad(
            outputs,
            [t for t, w in zip(points, wanted, strict=False) if w],
            args[len(given) :],
            create_graph=True,
            allow_unused=True,
        )
        return tuple([g for g in found if g is not None])

    return gradcheck(
        gradients,
        given + seeds,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


def _random_seed(out: Tensor, generator: Generator, with_gaps: bool) -> Tensor:
    values = from_numpy(generator.uniform(-1.0, 1.0, tuple(out.shape), out.dtype.numpy)).to(out.device)
    if with_gaps and values.numel() > 1:
        values = values.repeat_interleave(2, dim=-1)[..., ::2]
    return values.detach().requires_grad_()


def _differentiable(outputs: Sequence[Any]) -> list[Tensor]:
    return [out for out in outputs if out.requires_grad]


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    for number, t in enumerate(inputs):
        if not (isinstance(t, Tensor) and t.requires_grad):
            continue
        if t.dtype not in (float64, complex128):
            warnings.warn(
                f"Input #{number} requires gradient and is not a double precision floating point or complex. This "
                "check will likely fail if all the inputs are not of double precision floating point or complex. ",
                UserWarning,
                stacklevel=3,
            )
        if any(step == 0 and size > 1 for step, size in zip(t.stride(), t.shape, strict=True)):
            raise RuntimeError(
                f"The {number}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call .contiguous "
                "on the input before passing it to gradcheck."
            )
    if not differentiable_inputs(inputs):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )


# Jacobians, in parts where numbers are complex


def _complex_numbers(tensors: Sequence[Tensor]) -> frozenset[int]:
    return frozenset([k for k, t in enumerate(tensors) if t.is_complex()])


def _check_backward(func: Function, made: tuple[Any, ...], inputs: tuple[Any, ...], settings: Settings) -> None:
    if not any(out.is_complex() for out in made):
        check_jacobians(func, made, inputs, settings)
        return
    numbers = _complex_numbers(_differentiable(made))
    for name in ("imaginary", "real"):

        def part_of_outputs(*given: Any, name: str = name) -> tuple[Any, ...]:
            return tuple([_part(out, name) for out in as_tuple(func(*given))])

        check_jacobians(part_of_outputs, part_of_outputs(*inputs), inputs, settings, part=Part(name, numbers))


def _part(value: Any, name: str) -> Any:
    """The real or the imaginary part of a complex tensor; anything else as it is."""
    if not (isinstance(value, Tensor) and value.is_complex()):
        return value
    return value.imag if name == "imaginary" else value.real


def _check_forward(
    func: Function, made: tuple[Any, ...], inputs: tuple[Any, ...], settings: Settings, check_undefined: bool
) -> None:
    if not any(isinstance(t, Tensor) and t.is_complex() for t in inputs):
        check_jacobians(func, made, inputs, settings, forward=True)
        if check_undefined:
            _check_undefined_forward(func, inputs)
        return
    numbers = _complex_numbers(differentiable_inputs(inputs))
    parts: list[tuple[Function, list[Any]]] = []
    for name in ("imaginary", "real"):

        def function_of_part(*given: Any, name: str = name) -> tuple[Any, ...]:
            return as_tuple(func(*[_completed(x, t, name) for x, t in zip(given, inputs, strict=True)]))

        points = [_part(t, name) for t in inputs]
        parts.append((function_of_part, points))
        check_jacobians(
            function_of_part, function_of_part(*points), points, settings, forward=True, part=Part(name, numbers)
        )
    if check_undefined:
        for function, points in parts:
            _check_undefined_forward(function, points)


def _completed(part: Any, whole: Any, name: str) -> Any:
    """A complex number of one part that moves and the other that stays what it is in `whole`."""
    if not (isinstance(whole, Tensor) and whole.is_complex()):
        return part
    return whole.real + part * 1j if name == "imaginary" else part + whole.imag * 1j


# What else a backward has to do


def _check_linear(outputs: list[Tensor], inputs: tuple[Any, ...], masked: bool) -> None:
    """A gradient of zero must give zero, of the input's dtype, device and size."""
    wanted = differentiable_inputs(inputs)
    found = autograd.grad(outputs, wanted, [zeros_like(out) for out in outputs], allow_unused=True)
    for g, t in zip(found, wanted, strict=True):
        if g is None:
            continue
        if not (allclose(g, zeros_like(g)) if masked else bool((g == 0).all())):
            raise GradcheckError("backward not multiplied by grad_output")
        for what, attribute in (("type", "dtype"), ("device", "device"), ("size", "shape")):
            if getattr(g, attribute) != getattr(t, attribute):
                raise GradcheckError(f"grad is incorrect {what}")


def _check_undefined(func: Function, inputs: tuple[Any, ...]) -> None:
    """Backward must take undefined gradients for zeros: those of all outputs, and of each one."""
    outputs = _differentiable(as_tuple(func(*inputs)))
    cases = [[_undefined_gradient(out) for out in outputs]]
    if len(outputs) > 1:
        for k in range(len(outputs)):
            again = _differentiable(as_tuple(func(*inputs)))
            cases.append([_undefined_gradient(out) if j == k else out for j, out in enumerate(again)])
    wanted = differentiable_inputs(inputs)
    for case in cases:
        try:
            found = autograd.grad(case, wanted, [zeros_like(out) for out in case], allow_unused=True)
        except RuntimeError as error:
            _warn_of_undefined()
            raise GradcheckError(
                "Expected backward function to handle undefined output grads. A gradient of None stands for zeros."
            ) from error
        if any(g is not None and not (g == 0).all() for g in found):
            _warn_of_undefined()
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are undefined or zero. A "
                "gradient of None stands for zeros."
            )


def _warn_of_undefined() -> None:
    warnings.warn(
        "Backwards compatibility: New undefined gradient support checking feature is enabled by default, but it may "
        "break existing callers of this function. If this is true for you, you can call this function with "
        '"check_undefined_grad=False" to disable the feature',
        UserWarning,
        stacklevel=4,
    )


def _check_undefined_forward(func: Function, inputs: Sequence[Any]) -> None:
    """Forward mode must give the same for an input without a tangent as for one with a tangent of zeros."""
    forward_ad = forward_mode()
    wanted = [k for k, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]
    generator = Generator()
    tangents = {k: _random_seed(inputs[k], generator, False).detach() for k in wanted}
    for k in wanted:
        with forward_ad.dual_level():
            given = list(inputs)
            for j in wanted:
                given[j] = forward_ad.make_dual(inputs[j].detach(), tangents[j])
            given[k] = forward_ad.make_dual(inputs[k].detach(), zeros_like(inputs[k]))
            with_zeros = _tangents(func, given)
            given[k] = inputs[k].detach()
            without = _tangents(func, given)
            for number, (one, other) in enumerate(zip(with_zeros, without, strict=True)):
                if one is not None and other is not None and not allclose(one, other):
                    raise GradcheckError(
                        f"Mismatch in tangent values for output with index: {number} when input {k} has an undefined "
                        f"tangent value. Got: {other} but expected: {one}"
                    )


def _tangents(func: Function, duals: Sequence[Any]) -> list[Tensor | None]:
    forward_ad = forward_mode()
    return [forward_ad.unpack_dual(out)[1] for out in as_tuple(func(*duals)) if has_derivative(out)]


# Batches


def _check_batch(
    of_one: Callable[[Tensor], tuple[Tensor, ...]],
    of_batch: Callable[[Tensor], tuple[Tensor, ...]],
    like: Tensor,
    describe: Callable[[int], str],
) -> None:
    """The results for two random tensors of the shape of `like` must be those for both in one batch."""
    generator = Generator()
    two = [from_numpy(generator.randn(tuple(like.shape), like.dtype.numpy)).to(like.device) for _ in range(2)]
    expected = [stack(results) for results in zip(*map(of_one, two), strict=True)]
    try:
        found = of_batch(stack(two))
    except RuntimeError as error:
        raise GradcheckError(f"While computing batched gradients, got: {error}") from error
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        if not allclose(one, other):
            raise GradcheckError(
                f"For {describe(number)}:\n\nthe results of a batch are not those of its parts.\n\nGot:\n{one}\n\n"
                f"Expected:\n{other}"
            )


def _check_batched(inputs: tuple[Any, ...], out: Tensor, number: int) -> None:
    wanted = differentiable_inputs(inputs)

    def products(vector: Tensor, batched: bool = False) -> tuple[Tensor, ...]:
        found = autograd.grad(
            out, wanted, vector, retain_graph=True, allow_unused=True, is_grads_batched=batched
        )
        lead = tuple(vector.shape[:1]) if batched else ()
        return tuple([t.new_zeros(lead + t.shape) if g is None else g for g, t in zip(found, wanted, strict=True)])

    _check_batch(products, lambda v: products(v, True), out, lambda k: f"output {number} and input {k}")


def _check_batched_forward(func: Function, inputs: tuple[Any, ...]) -> None:
    forward_ad = forward_mode()
    for k, t in enumerate(inputs):
        if not (isinstance(t, Tensor) and t.requires_grad):
            continue

        def product(tangent: Tensor, k: int = k) -> tuple[Tensor, ...]:
            given = [x.detach() if isinstance(x, Tensor) else x for x in inputs]
            with forward_ad.dual_level():
                given[k] = forward_ad.make_dual(given[k], tangent)
                outputs = [forward_ad.unpack_dual(out) for out in as_tuple(func(*given)) if out is not None]
            return tuple([zeros_like(primal) if found is None else found for primal, found in outputs])

        def products(tangents: Tensor, product: Any = product) -> tuple[Tensor, ...]:
            return tuple([stack(results) for results in zip(*map(product, tangents), strict=True)])

        _check_batch(product, products, t, lambda number, k=k: f"output {number} and input {k}")  # type: ignore[misc]
