"""What shows the defects of accumulation, of the backward pass, of saved-tensor hooks, and of forward mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import refgrad as torch
from refgrad.autograd import forward_ad
from refgrad.utils.checkpoint import checkpoint
from tests.refgrad.plants.showing import gradient, leaf, plain, shows

# Accumulation


@shows("first-gradient-shared")
def two_leaves() -> Any:
    x, y = leaf(1), leaf(2)
    (x + y).backward()
    (x * 3).backward()
    return x.grad.tolist(), y.grad.tolist()


@shows("gradient-replaced")
def same_gradient() -> Any:
    x = leaf(1)
    (x * 2).backward()
    before = x.grad
    (x * 2).backward()
    return x.grad is before


@shows("assigned-grad-copied")
def assigned() -> Any:
    x, g = leaf(1), plain(5)
    x.grad = g
    return x.grad is g


@shows("unused-gives-zeros")
def unused() -> Any:
    x, y = leaf(1), leaf(2)
    return [g is None for g in torch.autograd.grad(x * 2, (x, y), allow_unused=True)]


@shows("frozen-leaf-accumulates")
def frozen() -> Any:
    x = leaf(1)
    y = x * 2
    x.requires_grad_(False)
    y.backward()
    return x.grad is None


@shows("moved-leaf-accumulates")
def moved() -> Any:
    x = leaf(1)
    y = x * 2
    x.requires_grad_(False)
    x.mul_(leaf(3))
    y.backward()


@shows("grad-accumulates")
def only_returned() -> Any:
    x = leaf(1)
    gradient(x * 2, x)
    return x.grad is None


# The backward pass


@shows("inputs-ignored")
def some_inputs() -> Any:
    x, y = leaf(1), leaf(2)
    (x * y).backward(inputs=[x])
    return y.grad is None


@shows("duplicate-root-once")
def twice() -> Any:
    x = leaf(1)
    y = x * 2
    torch.autograd.backward([y, y])
    return x.grad.tolist()


@shows("pruned-freed")
def pruned() -> Any:
    x, y = leaf(1), leaf(2)
    u, v = x.exp(), y.exp()
    gradient(u + v, x)
    return gradient(v, y)


@shows("create-graph-frees")
def kept() -> Any:
    x = leaf(1)
    y = x.exp()
    torch.autograd.grad(y, x, create_graph=True)
    return gradient(y, x)


@shows("seed-detached")
def second_order_seed() -> Any:
    x, seed = leaf(1), leaf(1)
    (g,) = torch.autograd.grad(x * 2, x, seed, create_graph=True)
    return gradient(g, seed)


@shows("detach-in-place-keeps")
def detached_in_place() -> Any:
    return (leaf(1) * 2).detach_().requires_grad


@shows("anomaly-misses-nan")
def nan() -> Any:
    with warnings.catch_warnings(action="ignore"), torch.autograd.detect_anomaly():
        leaf(-1).sqrt().backward()


# What is saved


class Saving:
    """A pair of hooks that tell when they are called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def pack(self, t: Any) -> Any:
        self.calls.append(f"pack {self.name}")
        return t

    def unpack(self, packed: Any) -> Any:
        self.calls.append(f"unpack {self.name}")
        return packed


def called(compute: Callable[[Any], Any]) -> list[str]:
    """The calls of the hooks around a computation."""
    calls: list[str] = []
    outer = Saving("outer", calls)
    with torch.autograd.graph.saved_tensors_hooks(outer.pack, outer.unpack):
        compute(calls)
    return calls


@shows("outermost-saved-hooks")
def nested() -> Any:
    def compute(calls: list[str]) -> None:
        inner = Saving("inner", calls)
        with torch.autograd.graph.saved_tensors_hooks(inner.pack, inner.unpack):
            leaf(1).exp()

    return called(compute)


@shows("unpack-skipped")
def unpacked() -> Any:
    return called(lambda calls: leaf(1).exp().backward())


@shows("unsaved-packed")
def not_saved() -> Any:
    return called(lambda calls: leaf(1) + 1)


@shows("packs-under-no-grad")
def not_recorded() -> Any:
    def compute(calls: list[str]) -> None:
        with torch.no_grad():
            leaf(1).exp()

    return called(compute)


@shows("checkpoint-mode")
def checkpointed() -> Any:
    x = leaf(1)
    return gradient(checkpoint(lambda x: x.sin() * x, x, use_reentrant=False), x)


# Forward mode


@shows("write-loses-tangent")
def written_dual() -> Any:
    with forward_ad.dual_level():
        x = forward_ad.make_dual(plain(1), plain(2))
        x.add_(5)
        return forward_ad.unpack_dual(x).tangent.tolist()


@shows("tangent-outlives-level")
def next_level() -> Any:
    with forward_ad.dual_level():
        x = forward_ad.make_dual(plain(1), plain(2))
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(x).tangent is None


@shows("missing-tangent-is-value")
def one_dual() -> Any:
    with forward_ad.dual_level():
        x = forward_ad.make_dual(plain(1), plain(2))
        return forward_ad.unpack_dual(x * plain(3)).tangent.tolist()
