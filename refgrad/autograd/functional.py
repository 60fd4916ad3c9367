"""Jacobians and Hessians of functions of tensors, and products with them.

Every function takes `func`, of one or more tensors and giving a tensor or a tuple of tensors, and
`inputs`, a tensor or a tuple; results have a tuple where these have one. What was not asked for with
`create_graph` comes without history. Inputs that an output does not depend on count as a derivative of
zero, or as an error under `strict`. Names, results and errors are torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from refgrad import autograd
from refgrad.autograd.jacobians import forward_mode
from refgrad.modes import enable_grad
from refgrad.ops.constants import eye
from refgrad.ops.conversion import zeros_like
from refgrad.ops.joining import stack
from refgrad.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Function = Callable[..., Any]
Tensors = tuple[Tensor, ...]
Nested = tuple[Tensors, ...]

_OUTPUTS = "outputs of the user-provided function"
_STRICT = "This is not allowed in strict mode"

# What strict mode says of entry {i}, where it has no derivative at all, and where it has a constant one.
_UNUSED_INPUT = f"The output of the user-provided function is independent of input {{i}}. {_STRICT}."
_CONSTANT_JACOBIAN = (
    f"The jacobian of the user-provided function is independent of input {{i}}. {_STRICT} when create_graph=True."
)
_CONSTANT_HESSIAN = (
    f"The hessian of the user-provided function is independent of input {{i}}. {_STRICT} when create_graph=True."
)
_LINEAR = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to input {i} "
    f"is independent of the input. {_STRICT}. You should ensure that your function is twice differentiable and "
    "that the jacobian depends on the inputs (this would be violated by a linear function for example)."
)


def _tensors(value: Any, what: str | None, function: str | None) -> tuple[bool, Tensors]:
    """Whether `value` is a tuple, and it as one; TypeError for anything but tensors."""
    several = isinstance(value, tuple)
    found = value if several else (value,)
    for k, x in enumerate(found):
        if not isinstance(x, Tensor):
            which = f"value at index {k}" if several else f"given {what}"
            raise TypeError(
                f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the {which} has "
                f"type {type(x)}."
            )
    return several, found


def _as_arguments(tensors: Tensors, create_graph: bool, requires_grad: bool = True) -> Tensors:
    """New tensors for `func` to see, so that inputs which it captured are told from its arguments."""
    return tuple(
        [
            t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_(requires_grad)
            for t in tensors
        ]
    )


def _as_results(tensors: Tensors, create_graph: bool) -> Tensors:
    return tensors if create_graph else tuple([t.detach() for t in tensors])


def _unpacked(value: Any, several: bool) -> Any:
    return value if several else value[0]


def _outputs(func: Function, inputs: Tensors, function: str, strict: bool) -> tuple[bool, Tensors]:
    """`func` of the inputs; under `strict` all its outputs must require grad."""
    several, outputs = _tensors(func(*inputs), _OUTPUTS, function)
    if strict:
        _check_depend(
            outputs,
            "Output {i} of the user-provided function does not require gradients. The outputs must be computed in a "
            "differentiable manner from the input when running in strict mode.",
        )
    return several, outputs


def _single_output(func: Function, inputs: Tensors, function: str, strict: bool) -> Tensor:
    """`func` of the inputs, which has to be one tensor of one element."""
    several, outputs = _outputs(func, inputs, function, strict)
    if several:
        raise RuntimeError(f"The function given to {function} should return a single Tensor")
    if outputs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {function} should contain a single element")
    return outputs[0]


def _vector(v: Any, function: str, like: Tensors, several: bool, create_graph: bool, missing: str) -> Tensors | None:
    """`v` as tensors of the shapes of `like`; None is enough for a single element."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(missing)
        return None
    vectors = _as_arguments(_tensors(v, "v", function)[1], create_graph, requires_grad=False)
    if len(vectors) != len(like):
        if several:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vectors)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for k, (vector, t) in enumerate(zip(vectors, like, strict=True)):
        if vector.shape != t.shape:
            entry = f"Entry {k} in " if several else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {t.shape} but got {vector.shape}.")
    return vectors


def _input_vector(v: Any, function: str, inputs: Tensors, several: bool, create_graph: bool) -> Tensors | None:
    return _vector(
        v,
        function,
        inputs,
        several,
        create_graph,
        "The vector v can only be None if the input to the user-provided function is a single Tensor with a single "
        "element.",
    )


def _check_depend(tensors: Sequence[Tensor | None], constant: str) -> None:
    """Strict mode: RuntimeError for a derivative that is None, or that does not require grad (`constant`)."""
    for i, t in enumerate(tensors):
        if t is None:
            raise RuntimeError(_UNUSED_INPUT.format(i=i))
        if not t.requires_grad:
            raise RuntimeError(constant.format(i=i))


def _grad(
    outputs: Sequence[Tensor | None],
    inputs: Tensors,
    vectors: Sequence[Tensor | None] | None,
    create_graph: bool,
    *,
    retain_graph: bool | None = None,
    batched: bool = False,
) -> Sequence[Tensor | None]:
    """`autograd.grad` of the outputs that require grad, None for every input if there is no such output."""
    given = vectors if vectors is not None else [None] * len(outputs)
    pairs = [(t, v) for t, v in zip(outputs, given, strict=True) if t is not None and t.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    return autograd.grad(
        [t for t, _ in pairs],
        inputs,
        [v for _, v in pairs],
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=True,
        is_grads_batched=batched,
    )


def _filled(
    found: Sequence[Tensor | None], like: Tensors, strict: bool, create_graph: bool, unused: str, constant: str
) -> Tensors:
    """Derivatives with zeros for None; under `strict` an error for None, and for a constant under `create_graph`."""
    filled = []
    for i, (g, t) in enumerate(zip(found, like, strict=True)):
        if strict and g is None:
            raise RuntimeError(unused.format(i=i))
        if strict and create_graph and g is not None and not g.requires_grad:
            raise RuntimeError(constant.format(i=i))
        filled.append(zeros_like(t) if g is None else g)
    return tuple(filled)


def vjp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of `func`, and the product of `v` with the Jacobian: one tensor of the shape of each input.

    `v` has the shapes of the outputs; it may be left out for a single element. RuntimeError for other
    shapes, and under `strict` for outputs or derivatives that do not depend on an input.
    """
    with enable_grad():
        several_inputs, inputs = _tensors(inputs, "inputs", "vjp")
        inputs = _as_arguments(inputs, create_graph)
        several_outputs, outputs = _outputs(func, inputs, "vjp", strict)
        missing = (
            "The vector v can only be None if the user-provided function returns a single Tensor with a single element."
        )
        vectors = _vector(v, "vjp", outputs, several_outputs, create_graph, missing)
    found = _grad(outputs, inputs, vectors, create_graph)
    product = _filled(found, inputs, strict, create_graph, _UNUSED_INPUT, _CONSTANT_JACOBIAN)
    return (
        _unpacked(_as_results(outputs, create_graph), several_outputs),
        _unpacked(_as_results(product, create_graph), several_inputs),
    )


def jvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of `func`, and the product of the Jacobian with `v`: one tensor of the shape of each output.

    `v` has the shapes of the inputs. By two backward passes: a vector-Jacobian product is linear in its
    vector, and its derivative by that vector is what is asked for. Errors as of `vjp`.
    """
    with enable_grad():
        several_inputs, inputs = _tensors(inputs, "inputs", "jvp")
        inputs = _as_arguments(inputs, create_graph)
        vectors = _input_vector(v, "jvp", inputs, several_inputs, create_graph)
        several_outputs, outputs = _outputs(func, inputs, "jvp", strict)
        seeds = tuple([zeros_like(out, requires_grad=True) for out in outputs])  # any finite value serves
        first = _grad(outputs, inputs, seeds, True)
        if strict:
            _check_depend(
                first,
                "The gradient with respect to input {i} is independent of the inputs of the user-provided function. "
                f"{_STRICT}.",
            )
    found = _grad(first, seeds, vectors, create_graph)
    unused = (
        "The gradient with respect to the input is independent of entry {i} in the grad_outputs when using the double "
        f"backward trick to compute forward mode gradients. {_STRICT}."
    )
    product = _filled(found, outputs, strict, create_graph, unused, _CONSTANT_JACOBIAN)
    return (
        _unpacked(_as_results(outputs, create_graph), several_outputs),
        _unpacked(_as_results(product, create_graph), several_outputs),
    )


def jacobian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: for each output and each input a tensor of the shape of both, one after the other.

    `vectorize` differentiates all outputs in one batch, so that an infinite derivative of one makes NaN of
    the others, and allows complex outputs; `strategy="forward-mode"`, with `vectorize` only, runs `func` for
    each element of the inputs instead. AssertionError for another strategy, RuntimeError for `strict` with
    either, NotImplementedError for forward mode with `create_graph` or without `vectorize`.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: forward mode takes one run for '
            "each element of the inputs, reverse mode one pass for each element of the outputs."
        )
    if strategy == "forward-mode":
        _check_forward(create_graph, strict)
        several_inputs, inputs = _tensors(inputs, "inputs", "jacobian")
        if not vectorize:
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian is"
                "only implemented for `vectorize=True`."
            )
        several_outputs, blocks = _forward_blocks(func, inputs)
        return _unpacked(tuple([_unpacked(row, several_inputs) for row in blocks]), several_outputs)
    with enable_grad():
        several_inputs, inputs = _tensors(inputs, "inputs", "jacobian")
        inputs = _as_arguments(inputs, create_graph)
        several_outputs, outputs = _outputs(func, inputs, "jacobian", strict)
        if not vectorize:
            blocks = tuple([_rows(k, out, inputs, create_graph, strict) for k, out in enumerate(outputs)])
        elif strict:
            raise RuntimeError(
                "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. "
                "Please either set `strict=False` or `vectorize=False`."
            )
        else:
            blocks = _batched_blocks(outputs, inputs, create_graph)
        blocks = tuple([_as_results(row, create_graph) for row in blocks])
        return _unpacked(tuple([_unpacked(row, several_inputs) for row in blocks]), several_outputs)


def _rows(k: int, out: Tensor, inputs: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """The Jacobian of output `k` by each input, a backward pass for each of its elements."""
    rows: list[Tensors] = []
    flat = out.reshape(-1)
    unused = f"Output {k} of the user-provided function is independent of input {{i}}. {_STRICT}."
    for j in range(out.numel()):
        found = _grad((flat[j],), inputs, None, create_graph, retain_graph=True)
        rows.append(_filled(found, inputs, strict, create_graph, unused, _CONSTANT_JACOBIAN))
    columns = zip(*rows, strict=True) if rows else [()] * len(inputs)
    return tuple([stack(c).view(out.shape + t.shape) for c, t in zip(columns, inputs, strict=True)])


def _batched_blocks(outputs: Tensors, inputs: Tensors, create_graph: bool) -> Nested:
    """The Jacobian by one batched pass over all elements of all outputs."""
    counts = [out.numel() for out in outputs]
    total = sum(counts)
    basis = [
        eye(total, dtype=out.dtype, device=out.device).split(counts, dim=1)[k] for k, out in enumerate(outputs)
    ]
    found = _grad([out.reshape(-1) for out in outputs], inputs, basis, create_graph, batched=True)
    by_input = []
    for g, t in zip(found, inputs, strict=True):
        rows = zeros_like(t).expand((total, *t.shape)) if g is None else g
        parts = rows.split(counts, dim=0)
        by_input.append([part.view(out.shape + t.shape) for part, out in zip(parts, outputs, strict=True)])
    return tuple(zip(*by_input, strict=True))


def _check_forward(create_graph: bool, strict: bool) -> None:
    for refused, error, name in ((create_graph, NotImplementedError, "create_graph"), (strict, RuntimeError, "strict")):
        if refused:
            raise error(
                f'torch.autograd.functional.jacobian: `{name}=True` and `strategy="forward-mode"` are not supported '
                f'together (yet). Please either set `{name}=False` or `strategy="reverse-mode"`.'
            )


def _forward_blocks(func: Function, inputs: Tensors) -> tuple[bool, Nested]:
    """The Jacobian by forward mode: a run of `func` for each element of the inputs."""
    forward_ad = forward_mode()
    several = False
    columns: list[list[Tensor]] = []  # by element of the inputs, then by output
    for k, t in enumerate(inputs):
        for direction in eye(t.numel(), dtype=t.dtype, device=t.device):
            tangents = [direction.view(x.shape) if j == k else zeros_like(x) for j, x in enumerate(inputs)]
            with forward_ad.dual_level():
                duals = [forward_ad.make_dual(x, tangent) for x, tangent in zip(inputs, tangents, strict=True)]
                several, outputs = _tensors(func(*duals), "outputs", None)
                pairs = [forward_ad.unpack_dual(out) for out in outputs]
            columns.append([zeros_like(primal) if tangent is None else tangent for primal, tangent in pairs])
    if not columns:  # no element to move along: only the shapes of the outputs are needed
        several, outputs = _tensors(func(*inputs), "outputs", None)
        return several, tuple([tuple([out.new_zeros(out.shape + t.shape) for t in inputs]) for out in outputs])
    blocks = []
    for column in zip(*columns, strict=True):
        parts = stack(column, dim=-1).split([t.numel() for t in inputs], dim=-1)
        blocks.append(tuple([part.reshape(column[0].shape + t.shape) for part, t in zip(parts, inputs, strict=True)]))
    return several, tuple(blocks)


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian: for each pair of inputs a tensor of the shape of both, one after the other.

    The Jacobian of the gradient: `vectorize` and `outer_jacobian_strategy` are those of the outer
    Jacobian. RuntimeError unless `func` gives one tensor of one element; other errors as of `jacobian`.
    """
    several, inputs = _tensors(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def scalar(*arguments: Tensor) -> Tensor:
        return _single_output(func, arguments, "hessian", strict).squeeze()

    def gradient(*arguments: Tensor) -> Tensors:
        if outer_jacobian_strategy == "forward-mode":  # else they would be detached, and lose their tangents
            arguments = tuple([t.requires_grad_(True) for t in arguments])
        found = jacobian(scalar, arguments, create_graph=True)
        if strict:
            _check_depend(found, _LINEAR)
        return found

    blocks = jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return _unpacked(tuple([_unpacked(row, several) for row in blocks]), several)


def vhp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The output of `func`, and the product of `v` with the Hessian: one tensor of the shape of each input.

    `v` has the shapes of the inputs; it may be left out for a single element. RuntimeError unless `func` gives
    one tensor of one element; under `strict` as of `vjp`.
    """
    with enable_grad():
        several, inputs = _tensors(inputs, "inputs", "vhp")
        inputs = _as_arguments(inputs, create_graph)
        vectors = _input_vector(v, "vhp", inputs, several, create_graph)
        output = _single_output(func, inputs, "vhp", strict)
        gradient = _grad((output,), inputs, None, True)
        if strict:
            _check_depend(gradient, _LINEAR)
    found = _grad(gradient, inputs, vectors, create_graph)
    unused = f"The jacobian of the user-provided function is independent of input {{i}}. {_STRICT}."
    product = _filled(found, inputs, strict, create_graph, unused, _CONSTANT_HESSIAN)
    return _as_results((output,), create_graph)[0], _unpacked(_as_results(product, create_graph), several)


def hvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The output of `func`, and the product of the Hessian with `v`: one tensor of the shape of each input.

    As `vhp`, by one backward pass more: where the Hessian is symmetric the two are equal.
    """
    with enable_grad():
        several, inputs = _tensors(inputs, "inputs", "hvp")
        inputs = _as_arguments(inputs, create_graph)
        vectors = _input_vector(v, "hvp", inputs, several, create_graph)
        output = _single_output(func, inputs, "hvp", strict)
        gradient = _grad((output,), inputs, None, True)
        if strict:
            _check_depend(gradient, _LINEAR)
        seeds = tuple([zeros_like(t, requires_grad=True) for t in inputs])
        second = _grad(gradient, inputs, seeds, True)
    found = _grad(second, seeds, vectors, create_graph)
    unused = (
        "The hessian of the user-provided function is independent of entry {i} in the grad_jacobian. "
        f"{_STRICT} as it prevents from using the double backward trick to replace forward mode AD."
    )
    product = _filled(found, inputs, strict, create_graph, unused, _CONSTANT_HESSIAN)
    return _as_results((output,), create_graph)[0], _unpacked(_as_results(product, create_graph), several)
