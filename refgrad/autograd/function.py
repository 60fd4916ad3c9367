"""Custom functions: an operation whose derivative the user writes. torch's `autograd.Function`.

A call makes one node, which is also the `ctx` that the user's methods get: `y.grad_fn` is that `ctx`, and what
the user puts on it stays there. The forward pass is not recorded; the node's backward pass is the user's code.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from refgrad.autograd.context import NO_METADATA, CallNode, FunctionCtx
from refgrad.forward import aside
from refgrad.graph import NO_EDGE, Node
from refgrad.modes import local, no_grad
from refgrad.tensor import Tensor

__all__ = ["BackwardCFunction", "Function", "FunctionCtx", "FunctionMeta", "InplaceFunction", "once_differentiable"]

F = TypeVar("F", bound=Callable[..., Any])


class BackwardCFunction(CallNode):
    """The node of a call of a Function; `_forward_cls` is that Function."""

    _forward_cls: ClassVar[type[Function]]

    def _derivative(self, gradients: list[Tensor | None]) -> Any:
        return self.apply_boxed(gradients) if self._forward_cls.boxed_grads_call else self.apply(*gradients)

    def apply(self, *gradients: Tensor | None) -> Any:
        """What the user's `backward` makes of the gradients of the outputs, unchecked."""
        user = self.__backward()
        return user(self, list(gradients)) if self._forward_cls.boxed_grads_call else user(self, *gradients)

    def apply_boxed(self, gradients: list[Tensor | None]) -> Any:
        """The same of one list of gradients, which `backward` may empty."""
        return self.__backward()(self, gradients)

    def __backward(self) -> Any:
        function = self._forward_cls
        user = function.backward
        if function.vjp is Function.vjp:
            return user
        if user is not Function.backward:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
                "implement one of them."
            )
        return function.vjp

    def apply_jvp(self, *tangents: Tensor | None) -> Any:
        """What the user's `jvp` makes of the tangents of the arguments."""
        return self._forward_cls.jvp(self, *tangents)


class FunctionMeta(type):
    """Gives each Function the class of its nodes, which is named after it."""

    _backward_cls: type[BackwardCFunction]

    def __init__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> None:
        label = f"{name}Backward"
        cls._backward_cls = type(label, (BackwardCFunction,), {"_forward_cls": cls, "label": label})
        super().__init__(name, bases, attributes)


class Function(FunctionCtx, metaclass=FunctionMeta):
    """An operation with a derivative of the user's own: subclass it, then call `apply`, never `forward`.

    Either `forward(ctx, *args)` does all, or `forward(*args)` computes and `setup_context(ctx, inputs, output)`
    keeps what the derivative needs. `backward(ctx, *grad_outputs)` (or `vjp`, its other name) gets one gradient
    for each output and returns one for each argument: None where there is none.
    """

    generate_vmap_rule: ClassVar[bool] = False
    clear_saved_tensors_on_access: ClassVar[bool] = False  # `ctx.saved_tensors` is dropped once it was read
    boxed_grads_call: ClassVar[bool] = False  # `backward` gets one list of gradients, which it may empty

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself. Instantiating an autograd function will raise an error in a future "
            "version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method. "
            "(Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The outputs: anything, of which tensors (alone or in a tuple) have gradients."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Keep on `ctx` what the derivative needs; `forward` then gets no `ctx`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments, given those of the outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangents of the outputs, given those of the arguments."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """(outputs, dimensions) for batched arguments."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function and record the call if an argument that is a tensor requires grad.

        Raises what `forward` and `setup_context` raise; TypeError for keywords that `forward` does not have and
        for what cannot be saved; RuntimeError, as torch does, for tensors wrongly marked as dirty.
        """
        with_ctx = cls.setup_context is Function.setup_context
        if not with_ctx:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        if kwargs:
            args = _positional(cls.forward, args, kwargs, skipped=int(with_ctx))
        ctx = cls._backward_cls(args)
        ctx._clears_on_access = _flag(cls, "clear_saved_tensors_on_access")
        _flag(cls, "boxed_grads_call")
        with no_grad(), aside():
            if with_ctx:
                made = cls.forward(ctx, *args)
            else:
                made = cls.forward(*args)
                cls.setup_context(ctx, args, made)
        return ctx._settle(args, made, with_ctx)


class InplaceFunction(Function):
    """Function with a flag of its own; kept for old code."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


def _flag(function: type[Function], name: str) -> bool:
    """A flag of a Function. RuntimeError if it is no bool."""
    value = getattr(function, name)
    if not isinstance(value, bool):
        raise RuntimeError(f"{name} must be a bool, got {type(value).__name__}")
    return value


def _positional(forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any], skipped: int) -> tuple[Any, ...]:
    """All arguments by position. As in torch only names of plain parameters count, and nothing is filled in."""
    code = forward.__code__
    names = code.co_varnames[skipped : code.co_argcount]
    for name in kwargs:
        if name not in names:
            raise TypeError(f"forward() got an unexpected keyword argument '{name}'")
        if names.index(name) < len(args):
            raise TypeError(f"forward() got multiple values for argument '{name}'")
    last = max(names.index(name) for name in kwargs)
    found = list(args)
    for position in range(len(args), last + 1):
        if names[position] not in kwargs:
            raise TypeError(f"forward() missing required argument: '{names[position]}' (position {position})")
        found.append(kwargs[names[position]])
    return tuple(found)


class Error(Node):
    """torch's node of gradients that cannot be differentiated: it raises when backward comes to it."""

    __slots__ = ()

    label = "torch::autograd::Error"

    def __init__(self, results: tuple[Tensor | None, ...]) -> None:
        # Leaves of its own, since something behind it must require grad.
        self.next_functions = tuple(
            [NO_EDGE if t is None else t.detach().requires_grad_()._gradient_edge() for t in results]
        )
        self._meta = tuple([NO_METADATA if t is None else (t._data.shape, t._data.dtype) for t in results])
        self._hooks = None
        self._sequence = local.modes.next_sequence()

    def _apply(self, names: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")

    def output(self, number: int, value: Tensor | None) -> Tensor | None:
        """`value` as one of the outputs."""
        if value is None:
            return None
        t = value.detach()
        t._place((self, number))
        return t


def once_differentiable(fn: F) -> F:
    """Decorate a `backward` that must not be differentiated: what it computes is not recorded.

    Differentiating its results nevertheless raises RuntimeError if a gradient that it got requires grad.
    """

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with no_grad():
            results = fn(ctx, *args, **kwargs)
        if not local.modes.grad_enabled or not any(isinstance(g, Tensor) and g._rg for g in args):
            return results
        several = results if isinstance(results, tuple) else (results,)
        node = Error(several)
        made = tuple([node.output(number, value) for number, value in enumerate(several)])
        return made if len(made) > 1 else made[0]

    return wrapper  # type: ignore[return-value]
