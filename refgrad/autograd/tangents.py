"""Custom functions in forward mode: the user's `jvp` gives the tangents of outputs from those of inputs."""

from __future__ import annotations

from typing import Any

from refgrad.forward import aside, give_tangents, root_of
from refgrad.ops.conversion import zeros_like
from refgrad.tensor import Tensor


def push(ctx: Any, args: tuple[Any, ...], given: list[Tensor | None], raw: tuple[Any, ...], outputs: Any) -> None:
    """Give `outputs` the tangents that `ctx.apply_jvp` makes of those that are `given` for the arguments.

    `raw` is what `forward` returned. Raises RuntimeError, as torch does, for too few or too many tangents, for one
    that must not be, and where a tangent is not written or viewed as its tensor is.
    """
    plain = {id(t) for t in ctx.non_differentiable or ()}
    dirty = {id(t) for t in ctx.dirty_tensors or ()}
    numbers = {id(a): k for k, a in reversed(list(enumerate(args))) if isinstance(a, Tensor)}
    versions = [None if t is None else t._counter[0] for t in given]
    with aside():
        made = ctx.apply_jvp(*[_shown(ctx, a, t) for a, t in zip(args, given, strict=True)])
        found = made if isinstance(made, tuple) else (made,)
        for k, t in enumerate(found):
            if t is not None and not isinstance(t, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(t).__name__}) for grad output {k}.")
        if len(found) != len(raw):
            raise RuntimeError(
                f"Function's jvp returned an invalid number of forward gradients (expected {len(raw)} but got "
                f"{len(found)})"
            )
    for k, (t, output, tangent) in enumerate(zip(raw, outputs, found, strict=True)):
        if not isinstance(t, Tensor):
            continue
        if id(t) in plain or t._data.dtype.kind not in "fc":
            if tangent is not None:
                raise RuntimeError(
                    f"Function's jvp returned a gradient at position {k}, but  the corresponding forward output is "
                    "not a differentiable Tensor.You should return None at that position instead."
                )
            continue
        if tangent is None or tangent._data.dtype.kind not in "fc":
            raise RuntimeError("Expected both tensor and its forward grad to be floating point or complex")
        if id(t) in dirty:
            number = numbers.get(id(t))
            if number is None:
                raise RuntimeError(
                    "Only input Tensors should be given to ctx.mark_dirty(). If a Tensor is not an input, there is no "
                    "need to pass it to mark_dirty()."
                )
            if given[number] is not None:
                _check_written(tangent, given[number], versions[number])
                continue
        elif _viewed(output, tangent, args, given):
            give_tangents([output], [tangent])
            return  # torch looks no further
        give_tangents([output], [tangent])


def _shown(ctx: Any, argument: Any, tangent: Tensor | None) -> Tensor | None:
    """The tangent of an argument as `jvp` gets it."""
    if tangent is not None or not isinstance(argument, Tensor):
        return tangent
    if not ctx.materialize_grads or argument._data.dtype.kind not in "fc":
        return None
    return zeros_like(argument)


def _check_written(tangent: Tensor, given: Tensor | None, version: int | None) -> None:
    """Raise unless the tangent of a written input is that of before, written."""
    if tangent._counter[0] == version:
        raise RuntimeError(
            "An inplace custom Function is not modifying the forward mode gradients inplace. If the forward is "
            "modifying an input inplace, then the jvp function must modify the corresponding gradient inplace."
        )
    if tangent is not given:
        raise RuntimeError(
            "An inplace custom Function is not returning the forward mode gradients as-is. If the forward is modifying "
            "an input inplace, then the jvp function must modify the gradient inplace and return it as-is."
        )


def _viewed(output: Tensor, tangent: Tensor, args: tuple[Any, ...], given: list[Tensor | None]) -> bool:
    """Whether an output looks into an argument that has no tangent.

    Raises if it looks into one that has, and the tangent does not look into that in turn.
    """
    root = root_of(output)
    if root is None:
        return False
    roots = [None if not isinstance(a, Tensor) else root_of(a) or a for a in args]
    matching = [k for k, r in enumerate(roots) if r is root]
    if not matching:
        return False
    whole = given[matching[0]]
    if whole is None:
        return True
    found = root_of(tangent)
    if found is None:
        raise RuntimeError(
            "A custom Function's forward is returning a view (or an input as-is) but the jvp is not returning a view."
        )
    if found is not (root_of(whole) or whole):
        same = "the same base as the given grad input" if root_of(whole) is not None else "the given grad input"
        raise RuntimeError(
            f"A custom Function is returning a view but the jvp is not returning a view of {same}."
        )
    return False
