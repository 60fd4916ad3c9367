"""Backward and gradients, with torch's arguments, checks and error texts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from refgrad import dtypes, engine
from refgrad.autograd import anomaly_mode, forward_ad, functional, grad_mode, graph
from refgrad.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from refgrad.autograd.function import Function
from refgrad.autograd.grad_mode import _unsafe_preserve_version_counter
from refgrad.autograd.gradcheck import gradcheck, gradgradcheck
from refgrad.autograd.graph import GradientEdge
from refgrad.autograd.variable import Variable
from refgrad.devices import MODULES, NUMPY, current_device_kept
from refgrad.graph import AccumulateGrad, Edge, Node
from refgrad.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)
from refgrad.ops.conversion import cast, zeros_like
from refgrad.ops.joining import stack
from refgrad.tensor import Tensor, wrap

__all__ = [
    "Function",
    "Variable",
    "_unsafe_preserve_version_counter",
    "anomaly_mode",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
]

Tensors = Tensor | GradientEdge | Sequence[Tensor | GradientEdge]
_warned: list[bool] = []  # whether the warning of `create_graph` was given: once is enough, as in torch


def _seeds(outputs: Sequence[Any], gradients: Sequence[Any]) -> list[Tensor]:
    """A gradient for each output: the given one, checked, or one for a single element."""
    if len(gradients) < len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(gradients)} gradients")
    seeds = []
    for k, (out, given) in enumerate(zip(outputs, gradients, strict=False)):
        if not isinstance(out, Tensor):
            out = _stand_in(out)
        if isinstance(given, Tensor):
            seeds.append(_given_seed(k, out, given))
        elif given is None:
            seeds.append(_implicit_seed(out))
        else:
            raise TypeError(f"gradients can be either Tensors or None, but got {type(given).__name__}")
    return seeds


def _given_seed(k: int, out: Tensor, given: Tensor) -> Tensor:
    if given._data.shape != out._data.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{k}] has a shape of {given.shape} and output[{k}] has a shape "
            f"of {out.shape}."
        )
    if given.is_complex() != out.is_complex():
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch "
            f"in dtype: grad_output[{k}] has a dtype of {given.dtype} and output[{k}] has a dtype of {out.dtype}."
        )
    if given._data.dtype is not out._data.dtype:
        return cast(given, out.dtype)
    return given


def _implicit_seed(out: Tensor) -> Tensor:
    if out._rg:
        if out._data.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if out.dtype.category != dtypes.FLOATING:
            raise RuntimeError(
                f"grad can be implicitly created only for real scalar outputs but got {out.dtype}"
            )
    module = MODULES[type(out._data)]
    if module is NUMPY:
        return wrap(module.ones_like(out._data))
    with current_device_kept():
        module.use_device_of(out._data)
        return wrap(module.ones_like(out._data))


def _batched_seeds(outputs: Sequence[Any], gradients: Sequence[Any], create_graph: bool) -> list[list[Tensor]]:
    """The seeds of each pass of a batch: `gradients` along their first dimension.

    torch runs the batch through vmap, and what vmap refuses is refused here in its words.
    """
    outputs = [out if isinstance(out, Tensor) else _stand_in(out) for out in outputs]
    batches: list[Any] = []
    for k, (out, given) in enumerate(zip(outputs, gradients, strict=False)):
        if isinstance(given, Tensor):
            first = given[0]
            if first._data.shape != out._data.shape:
                raise RuntimeError(
                    "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the "
                    "batch dimension. The sizes of the remaining dimensions are expected to match the shape of "
                    f"corresponding output, but a mismatch was detected: grad_output[{k}] has a shape of "
                    f"{first.shape} and output[{k}] has a shape of {out.shape}."
                )
            batches.append(given)
        else:
            (seed,) = _seeds([out], [given])
            batches.append(seed if out._rg else None)
    if outputs and not batches:
        raise IndexError("list index out of range")
    for seed in batches:
        if seed is None:
            raise ValueError(
                "vmap(vjp, in_dims=0, ...)(<inputs>): Got in_dim=0 for an input but the input is of type "
                f"{type(None)}. We cannot vmap over non-Tensor arguments, please use None as the respective in_dim"
            )
        if not seed.ndim:  # one that was made for a single element has no dimension to run over
            raise ValueError(
                "vmap(vjp, in_dims=0, ...)(<inputs>): Got in_dim=0 for some input, but that input is a Tensor "
                "of dimensionality 0 so expected in_dim to satisfy 0 <= in_dim < 0."
            )
    sizes = [g._data.shape[0] for g in batches]
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    if len(batches) < len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(batches)} gradients")
    for k, (out, batch) in enumerate(zip(outputs, batches, strict=False)):
        if batch._data.shape[1:] != out._data.shape:
            raise RuntimeError(
                f"invalid gradient at index {k} - got {list(batch._data.shape[1:])} but expected shape "
                f"compatible with {list(out._data.shape)}"
            )
    with set_grad_enabled(create_graph):  # under `create_graph` results depend on the gradients given
        passes = zip(*[batch.unbind() for batch in batches], strict=True)
        return [_seeds(outputs, seeds) for seeds in passes]


def _stacked(found: list[list[Tensor | None]], create_graph: bool) -> list[Tensor | None]:
    """The results of several passes in one tensor for each input; None where no gradient arrives."""
    made: dict[int, Tensor] = {}  # inputs that are the same have one result
    results: list[Tensor | None] = []
    with set_grad_enabled(create_graph):
        for column in zip(*found, strict=True):
            first = column[0]
            if first is not None and id(first) not in made:
                made[id(first)] = stack(column)
            results.append(None if first is None else made[id(first)])
    return results


def _edges(outputs: Sequence[Tensor | GradientEdge]) -> list[Edge]:
    edges = [out._gradient_edge() if isinstance(out, Tensor) else _node_and_number(out) for out in outputs]
    for k, (node, _) in enumerate(edges):
        if node is None:
            raise RuntimeError(
                f"element {k} of tensors does not require grad and does not have a grad_fn"
            )
    return edges


def _node_and_number(edge: GradientEdge) -> Edge:
    node, number, _ = edge
    if not isinstance(node, Node):
        raise RuntimeError(
            f"GradientEdge's first object must be an autograd.graph.Node but got {type(node).__name__}"
        )
    if not 0 <= number < len(node._meta):
        raise IndexError(f"{node.name()} has {len(node._meta)} outputs: there is no output {number}")
    return node, number


def _input_edge(value: Any) -> Edge:
    if isinstance(value, Tensor):
        return value._gradient_edge()
    if isinstance(value, GradientEdge):
        return _node_and_number(value)
    raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(value).__name__}")


def _stand_in(edge: Any) -> Tensor:
    """A tensor of the shape and dtype that a gradient of `edge` must have, on the device of a leaf behind it."""
    if not isinstance(edge, GradientEdge):
        raise AssertionError("Expected output to be a torch.Tensor")
    info = edge.node._input_metadata[edge.output_nr]
    node: Any = edge.node
    while len(MODULES) > 1 and not isinstance(node, AccumulateGrad):
        node = next(following for following, _ in node.next_functions if following is not None)
    xp = MODULES[type(node.variable._data)] if len(MODULES) > 1 else NUMPY
    t = wrap(xp.broadcast_to(xp.zeros((), info.dtype.numpy), info.shape))
    t._rg = True
    return t


def _sequence(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, (Tensor, GradientEdge)) else tuple(value)


def _inputs(value: Any, function: str) -> tuple[Any, ...]:
    """What to differentiate by: one tensor or edge, several, or the values of a dict."""
    if isinstance(value, (Tensor, GradientEdge)):
        return (value,)
    if type(value) is dict:
        return tuple(value.values())
    if isinstance(value, Mapping):
        raise TypeError(
            f"`inputs` argument to `{function}()` must be a dict, not {type(value).__name__}. Other Mapping types are "
            "not supported."
        )
    return tuple(value)


def _gradients(value: Any, count: int) -> tuple[Any, ...]:
    if value is None:
        return (None,) * count
    return (value,) if isinstance(value, Tensor) else tuple(value)


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Accumulate gradients of `tensors` into the `.grad` of leaves, or of `inputs` only.

    `grad_tensors` are the gradients with respect to the tensors themselves (the vector of the
    vector-Jacobian product), of the same shapes; they may be left out for single elements.
    Saved values are freed unless `retain_graph` is true (default: the value of `create_graph`);
    `create_graph` records the backward pass itself, so that it can be differentiated.

    Raises RuntimeError, as torch does, for roots that do not require grad, gradients of wrong
    shape, freed graphs, and saved values that were modified in place. Roots and inputs may be given as
    `graph.GradientEdge`; nothing is accumulated for an input given so, unless it is a leaf. `grad_variables` is
    an old name of `grad_tensors`.
    """
    if grad_variables is not None:
        warnings.warn(
            "`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2
        )
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only "
                "use `grad_tensors`."
            )
        grad_tensors = grad_variables
    if inputs is not None:
        inputs = _inputs(inputs, "backward")
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = _sequence(tensors)
    seeds = _seeds(roots, _gradients(grad_tensors, len(roots)))
    edges = _edges(roots)
    targets: list[Edge] | None = None
    if inputs is not None:
        for t in inputs:
            if isinstance(t, Tensor):
                t.retain_grad()
        targets = [_input_edge(t) for t in inputs]
    if create_graph and not _warned:
        _warned.append(True)
        warnings.warn(
            "Using backward() with create_graph=True will create a reference cycle between the parameter and "
            "its gradient which can cause a memory leak. We recommend using autograd.grad when creating the "
            "graph to avoid this. If you have to use this function, make sure to reset the .grad fields of "
            "your parameters to None after use to break the cycle and avoid the leak.",
            UserWarning,
            stacklevel=3,
        )
    engine.run(
        edges,
        seeds,
        keep_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        targets=targets,
    )


def grad(
    outputs: Tensors,
    inputs: Tensors | dict[Any, Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of `outputs` with respect to `inputs`; no `.grad` is touched.

    Arguments and errors as in `backward`. A tuple, or for a dict of inputs a dict with the same keys.
    An input that the outputs do not depend on is an error, unless `allow_unused` is true (its gradient is
    None) or `materialize_grads` is (zeros). With `is_grads_batched` each of `grad_outputs` has one
    dimension more than its output, of the same size for all: a pass runs for each slice along it, hooks
    included, and the results are stacked (zeros for an unused input are not).

    Raises TypeError for another mapping than a dict, ValueError for batches of different sizes.
    """
    if materialize_grads:
        if allow_unused is False:
            raise ValueError(
                "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
                "allow_unused=False."
            )
        allow_unused = True
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient "
            "for other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    roots, wanted = _sequence(outputs), _inputs(inputs, "grad")
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    given = _gradients(grad_outputs, len(roots))
    passes = _batched_seeds(roots, given, create_graph) if is_grads_batched else [_seeds(roots, given)]
    edges = _edges(roots)
    captures: dict[Edge, list[int]] = {}
    for k, t in enumerate(wanted):
        if isinstance(t, Tensor) and not t._rg:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        captures.setdefault(_input_edge(t), []).append(k)
    keep_graph = create_graph if retain_graph is None else retain_graph
    last = len(passes) - 1
    results = [
        engine.run(
            edges,
            seeds,
            keep_graph=keep_graph or k < last,
            create_graph=create_graph,
            captures=captures,
        )
        for k, seeds in enumerate(passes)
    ]
    found = _stacked(results, create_graph) if is_grads_batched else results[0]
    for k, g in enumerate(found):
        if g is None:
            if not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {k} appears to not have been used in the graph. Set "
                    "allow_unused=True if this is the desired behavior."
                )
            if materialize_grads:
                if not isinstance(wanted[k], Tensor):
                    raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
                found[k] = zeros_like(wanted[k], requires_grad=create_graph)
    if type(inputs) is dict:
        return dict(zip(inputs, found, strict=True))
    return tuple(found)
