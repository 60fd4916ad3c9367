"""What a planted defect is, and how one is put in and taken out again: rules of the core are replaced for a while."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from refgrad.modes import local
from refgrad.ops import names
from refgrad.ops.record import OPS, Op

Planting = AbstractContextManager[None]
_MISSING = object()


@dataclass(frozen=True)
class Plant:
    """A known defect: `apply` is a context manager that puts it in."""

    name: str
    kind: str
    description: str
    apply: Callable[[], Planting]


@contextmanager
def attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give a module or class an attribute: in place of its own, or of what it inherits."""
    before = owner.__dict__.get(name, _MISSING)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def _modules() -> list[ModuleType]:
    found = list(sys.modules.items())
    return [
        module
        for name, module in found
        if name.partition(".")[0] == "refgrad" and not name.startswith("refgrad.testing")
    ]


def _exchange(old: Any, new: Any) -> None:
    for module in _modules():
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


@contextmanager
def function(before: Callable[..., Any], after: Callable[..., Any]) -> Iterator[None]:
    """Replace a function under every name that a module of refgrad has for it."""
    _exchange(before, after)
    try:
        yield
    finally:
        _exchange(after, before)  # also in modules that were imported meanwhile


@contextmanager
def together(*plantings: Planting) -> Iterator[None]:
    """Several replacements that make one defect."""
    with ExitStack() as stack:
        for planting in plantings:
            stack.enter_context(planting)
        yield


@contextmanager
def leaking(planting: Planting) -> Iterator[None]:
    """A defect that lets modes of this thread leak: they are put back at its end."""
    modes = local.modes
    before = modes.grad_enabled
    try:
        with planting:
            yield
    finally:
        modes.set_grad(before)


@contextmanager
def formula(op_name: str, input_name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Replace one derivative formula of an op."""
    op = OPS[op_name]
    before = op.vjp
    assert isinstance(before, dict) and input_name in before, f"{op_name} has no formula for {input_name}"
    op.vjp = {**before, input_name: replacement}
    op.plans.clear()
    try:
        yield
    finally:
        op.vjp = before
        op.plans.clear()


@contextmanager
def changed_gradient(op_name: str, input_name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Keep a formula of an op and what it saves, and change what it returns."""
    vjp = OPS[op_name].vjp
    assert isinstance(vjp, dict)
    true = vjp[input_name]

    @functools.wraps(true)
    def changed(*args: Any) -> Any:
        return change(true(*args))

    with formula(op_name, input_name, changed):
        yield


@contextmanager
def kernel(op_name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Replace the forward kernel of an op, also where derivative formulas use it."""
    op = OPS[op_name]
    before = op.kernels.forward
    _rebind(op, replacement)
    try:
        yield
    finally:
        _rebind(op, before)


def _rebind(op: Op, replacement: Any) -> None:
    op.kernels.forward = replacement
    op.kernels.clear()
    names.forget()
