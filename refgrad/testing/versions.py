"""Defects of version counters, and of what is saved for backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refgrad.counters import UNCOUNTED
from refgrad.ops.inplace import before_write
from refgrad.ops.record import Op, OpNode, _version
from refgrad.saved import PACKED
from refgrad.tensor import Tensor
from refgrad.testing.planting import Plant, Planting, attribute, function, together


def _trusting(results_only: bool) -> Planting:
    """Saved tensors count as unchanged: all, or results only."""
    apply = OpNode._apply

    def current(self: OpNode, k: int) -> Any:
        version = self.versions[k]
        if self.saved is None or version is None or version is PACKED or (results_only and k not in self.plan.results):
            return version
        return _version(self.saved[k])

    def trust(self: OpNode, F: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        self.versions = tuple([current(self, k) for k in range(len(self.versions))])
        return apply(self, F, raw, gradient, needed)

    return attribute(OpNode, "_apply", trust)


def _uncounted(*methods: str) -> Planting:
    """These methods write, and the version stays as it was."""

    def quiet(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            counter = self._counter
            before = None if counter is UNCOUNTED else counter[0]
            made = write(self, *args, **kwargs)
            if before is not None:
                counter[0] = before
            return made

        return call

    return together(*[attribute(Tensor, name, quiet(getattr(Tensor, name))) for name in methods])


def _own_counter(t: Tensor) -> Tensor:
    if t._counter is not UNCOUNTED:
        t._counter = [t._counter[0]]
    return t


def _counting_apart() -> Planting:
    detach = Tensor.detach
    return attribute(Tensor, "detach", lambda self: _own_counter(detach(self)))


def _counting_views_apart() -> Planting:
    look_into = Op._look_into

    def apart(self: Op, source: Tensor, made: Tensor, params: Any) -> None:
        look_into(self, source, made, params)
        _own_counter(made)

    return attribute(Op, "_look_into", apart)


def _sharing_counter_of_data() -> Planting:
    data: Any = Tensor.__dict__["data"]

    def shared(self: Tensor) -> Tensor:
        t: Tensor = data.fget(self)
        t._counter = self._counter
        return t

    return attribute(Tensor, "data", property(shared, data.fset, data.fdel))


def _saving_written() -> Planting:
    def same_memory(target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        old = before_write(target, *args, **kwargs)
        old._data = target._data
        return old

    return function(before_write, same_memory)


def _plant(name: str, description: str, apply: Callable[[], Planting]) -> Plant:
    return Plant(name, "version", description, apply)


PLANTS = (
    _plant(
        "version-unchecked",
        "saved tensors that were written since are used as they are",
        lambda: _trusting(results_only=False),
    ),
    _plant(
        "result-version-unchecked",
        "saved results that were written since are used as they are",
        lambda: _trusting(results_only=True),
    ),
    _plant("setitem-uncounted", "x[...] = y does not count as a write", lambda: _uncounted("__setitem__")),
    _plant("zero-uncounted", "zero_ and fill_ do not count as writes", lambda: _uncounted("zero_", "fill_")),
    _plant("detach-own-counter", "what detach() makes counts its writes apart", _counting_apart),
    _plant("view-own-counter", "a view counts its writes apart from its base", _counting_views_apart),
    _plant("data-shares-counter", "writes through .data are counted", _sharing_counter_of_data),
    _plant(
        "inplace-saves-written",
        "an in-place operation saves its input without a copy, and then writes it",
        _saving_written,
    ),
)
