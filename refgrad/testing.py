"""Known defects that can be put into the engine for a while, to see that the harness finds them.

    with refgrad.testing.plant("sin-sign"):
        ...

Each is a mistake that engines have really made. They work by replacing a formula of an op or a
rule of the core, and are taken out again at the end of the context, whatever happens inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from refgrad import autograd, engine, modes
from refgrad.graph import Node
from refgrad.ops import names
from refgrad.ops.record import OPS, Op, OpNode
from refgrad.tensor import Tensor


@dataclass(frozen=True)
class Plant:
    """A known defect: `apply` is a context manager that puts it in."""

    name: str
    kind: str
    description: str
    apply: Callable[[], AbstractContextManager[None]]


PLANTS: dict[str, Plant] = {}


def plant(name: str) -> AbstractContextManager[None]:
    """Put a known defect into the engine until the context ends.

    Raises ValueError, with the names there are, for an unknown one.
    """
    if name not in PLANTS:
        raise ValueError(f"no planted defect is called {name!r}; there are: {', '.join(sorted(PLANTS))}")
    return PLANTS[name].apply()


def _defect(name: str, kind: str, description: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a function that returns the context manager of a defect."""

    def register(make: Callable[[], AbstractContextManager[None]]) -> Callable[[], Any]:
        PLANTS[name] = Plant(name, kind, description, make)
        return make

    return register


@contextmanager
def _formula(op_name: str, input_name: str, formula: Callable[..., Any]) -> Iterator[None]:
    """Replace one derivative formula of an op."""
    op = OPS[op_name]
    before = op.vjp
    assert isinstance(before, dict) and input_name in before, f"{op_name} has no formula for {input_name}"
    op.vjp = {**before, input_name: formula}
    op.plans.clear()
    try:
        yield
    finally:
        op.vjp = before
        op.plans.clear()


@contextmanager
def _attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a module or class."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _kernel(op_name: str, kernel: Callable[..., Any]) -> Iterator[None]:
    """Replace the forward kernel of an op, also where derivative formulas use it."""
    op = OPS[op_name]
    before = op.kernels.forward
    _rebind(op, kernel)
    try:
        yield
    finally:
        _rebind(op, before)


def _rebind(op: Op, kernel: Any) -> None:
    op.kernels.forward = kernel
    op.kernels.clear()
    names.forget()


# Derivatives


@_defect("sin-sign", "wrong sign", "the derivative of sin is -cos")
def _() -> AbstractContextManager[None]:
    return _formula("sin", "self", lambda F, g, self: -g * F.cos(self))


@_defect("softmax-missing-term", "missing term", "softmax forgets that its outputs sum to one")
def _() -> AbstractContextManager[None]:
    return _formula("softmax", "self", lambda F, g, result: g * result)


@_defect("div-missing-factor", "missing term", "the quotient rule divides by the denominator once only")
def _() -> AbstractContextManager[None]:
    return _formula("div", "other", lambda F, g, self, other: -g * (self / other).conjugate())


@_defect("cumsum-wrong-axis", "wrong axis", "the gradient of cumsum is not reversed along its axis")
def _() -> AbstractContextManager[None]:
    return _formula("cumsum", "self", lambda F, g, dim: F.cumsum(g, dim=dim))


@_defect("prod-at-zero", "wrong at zero", "prod divides its result by each factor, also by zero")
def _() -> AbstractContextManager[None]:
    return _formula("prod", "self", lambda F, g, self, result: g * result / self)


@_defect("tanh-double-backward", "double-backward error", "tanh treats its saved result as a constant")
def _() -> AbstractContextManager[None]:
    def formula(F: Any, g: Any, result: Any) -> Any:
        if isinstance(result, Tensor):
            result = result.detach()
        return g * (1 - result * result)

    return _formula("tanh", "self", formula)


@_defect("sum-ignores-cotangent", "ignored cotangent", "the gradient of sum is one, whatever arrives")
def _() -> AbstractContextManager[None]:
    op = OPS["sum"]
    assert isinstance(op.vjp, dict)
    true = op.vjp["self"]
    return _result_of_formula("sum", "self", lambda g: g * 0 + 1, true)


@contextmanager
def _result_of_formula(
    op_name: str, input_name: str, change: Callable[[Any], Any], true: Callable[..., Any]
) -> Iterator[None]:
    """Keep a formula and what it saves, and change what it returns."""
    import functools

    @functools.wraps(true)
    def formula(*args: Any) -> Any:
        return change(true(*args))

    with _formula(op_name, input_name, formula):
        yield


@_defect("exp-stale-result", "stale saved value", "exp reads the result that the op before it saved")
def _() -> AbstractContextManager[None]:
    apply = OpNode.apply

    def stale(self: OpNode, F: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        before = self.next_functions[0][0] if self.next_functions else None
        if (
            self.op.name == "exp"
            and isinstance(before, OpNode)
            and before.saved
            and len(before.saved) == 1
            and before.plan.results == (0,)
        ):
            saved = before.saved[0]
            return (gradient * (saved._data if raw else saved),)
        return apply(self, F, raw, gradient, needed)

    return _attribute(OpNode, "apply", stale)


# Broadcasting


@_defect("broadcast-not-summed", "missing unbroadcast", "the gradient of a stretched operand is its first slice")
def _() -> AbstractContextManager[None]:
    def first(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
        lead = x.ndim - len(shape)
        if not x.size:
            return xp.zeros(shape, x.dtype)
        index = (0,) * lead + tuple(
            slice(0, 1) if size == 1 else slice(None) for size in shape
        )
        return xp.reshape(x[index], shape)

    return _kernel("sum_to", first)


# The core


@_defect("accumulate-overwrites", "overwritten instead of accumulated", "a second backward replaces .grad")
def _() -> AbstractContextManager[None]:
    accumulate = engine.accumulate_grad

    def overwrite(variable: Tensor, gradient: Any, raw: bool) -> None:
        variable._grad = None
        accumulate(variable, gradient, raw)

    return _attribute(engine, "accumulate_grad", overwrite)


@_defect("no-grad-records", "no_grad that still records", "operations inside no_grad are recorded")
def _() -> AbstractContextManager[None]:
    return _attribute(modes.no_grad, "mode", True)


@_defect("detach-keeps-history", "detach that does not cut", "gradients flow through detach")
def _() -> AbstractContextManager[None]:
    detach = Tensor.detach

    def keep(self: Tensor) -> Tensor:
        t = detach(self)
        t._edge, t._rg = self._edge, self._rg
        return t

    return _attribute(Tensor, "detach", keep)


@_defect("gradient-argument-ignored", "ignored cotangent", "backward(gradient) starts from ones")
def _() -> AbstractContextManager[None]:
    check = autograd._given_seed

    def ones(k: int, out: Tensor, given: Tensor) -> Tensor:
        return check(k, out, given) * 0 + 1

    return _attribute(autograd, "_given_seed", ones)


@_defect("fan-in-keeps-last", "missing term", "of several gradients that reach a tensor the last one wins")
def _() -> AbstractContextManager[None]:
    return _attribute(engine._Task, "_add", lambda self, a, b: b)


@_defect("retain-graph-ignored", "freed graph", "the graph is kept whatever retain_graph says")
def _() -> AbstractContextManager[None]:
    return _attribute(OpNode, "release", Node.release)


@_defect("zero-grad-keeps", "stale gradient", "zero_ leaves the values as they are")
def _() -> AbstractContextManager[None]:
    return _attribute(Tensor, "zero_", lambda self: self)


@_defect("gradient-dtype", "wrong dtype", "the gradient of a promoted operand keeps the wider dtype")
def _() -> AbstractContextManager[None]:
    fit = engine._Task._fit

    def keep_dtype(self: Any, g: Any, shape: Any, dtype: Any, F: Any) -> Any:
        data = g if self.raw else g._data
        return fit(self, g, shape, data.dtype, F)

    return _attribute(engine._Task, "_fit", keep_dtype)
