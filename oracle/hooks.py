"""What hooks of a program do when they are called, as functions and as source text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Result = Callable[..., Any]


class Action(NamedTuple):
    """What a hook returns.

    run: called with a `Hooked`, then with what the hook was called with.
    source: the same as an expression, in the names of the behaviour's parameters; {value} stands for the
    hook's number or tensor, {handle} for its handle.
    """

    run: Result
    source: str


class Behaviour(NamedTuple):
    """Hooks of one place: their parameters, the gradients they are given (as a list), and what they may do."""

    parameters: str
    gradients: Callable[..., Sequence[Any]]
    source: str
    actions: Mapping[str, Action]


class Hooked(NamedTuple):
    """What an action may use: the module, the hook's number or tensor, and its handle."""

    torch: Any
    value: Any
    handle: Any


def fail() -> None:
    """What a hook does that raises."""
    raise KeyError("hook")


def other(torch: Any, gradient: Any) -> Any:
    """The gradient in another dtype."""
    return gradient.to(torch.float64 if gradient.dtype == torch.float32 else torch.float32)


_ALWAYS = {
    "observe": Action(lambda c, *given: None, "None"),
    "raise": Action(lambda c, *given: fail(), "fail()"),
    "wrong_type": Action(lambda c, *given: 1, "1"),
    "remove_self": Action(lambda c, *given: c.handle.remove(), "{handle}.remove()"),
}

_GRADIENT = {
    **_ALWAYS,
    "scale": Action(lambda c, g: g * c.value, "g * {value}"),
    "replace": Action(lambda c, g: c.value, "{value}"),
    "wrong_shape": Action(
        lambda c, g: c.torch.zeros(7, 5, dtype=g.dtype), "torch.zeros(7, 5, dtype=g.dtype)"
    ),
    "wrong_dtype": Action(lambda c, g: other(c.torch, g), "other(torch, g)"),
}

_PARAMETER = {
    **_ALWAYS,
    "none_grad": Action(lambda c, p: setattr(p, "grad", None), "setattr(p, 'grad', None)"),
    "scale": Action(lambda c, p: setattr(p, "grad", p.grad * c.value), "setattr(p, 'grad', p.grad * {value})"),
    "replace": Action(lambda c, p: setattr(p, "grad", c.value), "setattr(p, 'grad', {value})"),
    "wrong_shape": Action(
        lambda c, p: setattr(p, "grad", c.torch.zeros(7, 5, dtype=p.dtype)),
        "setattr(p, 'grad', torch.zeros(7, 5, dtype=p.dtype))",
    ),
    "wrong_dtype": Action(
        lambda c, p: setattr(p, "grad", other(c.torch, p)), "setattr(p, 'grad', other(torch, p))"
    ),
}


def _tuples(name: str) -> dict[str, Action]:
    """The actions of hooks that return a tuple of gradients in place of the one called `name`."""

    def each(change: Callable[[Hooked, Any], Any]) -> Result:
        return lambda c, gs, *rest: tuple(g if g is None else change(c, g) for g in gs)

    def text(change: str) -> str:
        return f"tuple(g if g is None else {change} for g in {name})"

    return {
        **_ALWAYS,
        "scale": Action(each(lambda c, g: g * c.value), text("g * {value}")),
        "replace": Action(each(lambda c, g: c.value), text("{value}")),
        "wrong_shape": Action(lambda c, gs, *rest: (*gs, None), f"(*{name}, None)"),
        "wrong_dtype": Action(each(lambda c, g: other(c.torch, g)), text("other(torch, g)")),
    }


BEHAVIOURS: dict[str, Behaviour] = {
    "tensor": Behaviour("g", lambda g: [g], "[g]", _GRADIENT),
    "post_accumulate": Behaviour("p", lambda p: [p.grad], "[p.grad]", _PARAMETER),
    "node": Behaviour(
        "inputs, outputs",
        lambda inputs, outputs: [*inputs, *outputs],
        "[*inputs, *outputs]",
        _tuples("inputs"),
    ),
    "node_pre": Behaviour("outputs", lambda outputs: [*outputs], "[*outputs]", _tuples("outputs")),
    "multi_all": Behaviour("gs", lambda gs: [*gs], "[*gs]", _ALWAYS),
    "multi_any": Behaviour("g", lambda g: [g], "[g]", _ALWAYS),
}

def up_to_date(tensors: Sequence[Any]) -> Sequence[Any]:
    """The tensors, after their nodes were read: torch 2.13 crashes where `register_hook` comes to a view whose
    base was written since."""
    for tensor in tensors:
        if tensor._is_view():
            tensor.grad_fn  # noqa: B018 (reading it is what counts)
    return tensors


REGISTER: dict[str, Callable[..., Any]] = {
    "tensor": lambda torch, tensors, hook: up_to_date(tensors)[0].register_hook(hook),
    "post_accumulate": lambda torch, tensors, hook: tensors[0].register_post_accumulate_grad_hook(hook),
    "node": lambda torch, tensors, hook: _node(torch, tensors[0]).register_hook(hook),
    "node_pre": lambda torch, tensors, hook: _node(torch, tensors[0]).register_prehook(hook),
    "multi_all": lambda torch, tensors, hook: torch.autograd.graph.register_multi_grad_hook(
        up_to_date(tensors), hook, mode="all"
    ),
    "multi_any": lambda torch, tensors, hook: torch.autograd.graph.register_multi_grad_hook(
        up_to_date(tensors), hook, mode="any"
    ),
}
"""How a hook is registered; returns its handle."""

REGISTER_SOURCE: dict[str, str] = {
    "tensor": "{first}.register_hook({hook})",
    "post_accumulate": "{first}.register_post_accumulate_grad_hook({hook})",
    "node": "torch.autograd.graph.get_gradient_edge({first}).node.register_hook({hook})",
    "node_pre": "torch.autograd.graph.get_gradient_edge({first}).node.register_prehook({hook})",
    "multi_all": 'torch.autograd.graph.register_multi_grad_hook({all}, {hook}, mode="all")',
    "multi_any": 'torch.autograd.graph.register_multi_grad_hook({all}, {hook}, mode="any")',
}
"""The same as source text, for the first tensor, a list of them all, and the hook."""


def _node(torch: Any, tensor: Any) -> Any:
    """The node that the tensor's gradient arrives at: its `grad_fn`, or what accumulates into its `.grad`."""
    return torch.autograd.graph.get_gradient_edge(tensor).node
