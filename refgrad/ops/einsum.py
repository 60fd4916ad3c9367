"""torch's einsum: sums of products named by letters.

As in torch, operands are brought to one order of dimensions, output first, and then multiplied
from left to right; a pair becomes one `bmm` over the dimensions to be summed.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from refgrad.ops.arguments import reject
from refgrad.ops.arithmetic import mul
from refgrad.ops.axes import movedim, permute
from refgrad.ops.linalg import bmm
from refgrad.ops.reductions import sum
from refgrad.ops.shape import reshape, unsqueeze, view
from refgrad.ops.windows import diagonal
from refgrad.tensor import Tensor

__all__ = ["einsum"]

LETTERS = string.ascii_uppercase + string.ascii_lowercase  # in the order of an output that is not spelled out
ELLIPSIS = "..."


def einsum(*args: Any) -> Tensor:
    """``einsum("ij,jk->ik", a, b)``: products of the operands, summed over letters not in the output.

    A letter that occurs twice in one operand takes its diagonal; ``...`` stands for dimensions
    that broadcast. Without ``->`` the output has what ``...`` covers, then the letters that occur
    once, capitals first. Also ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.
    RuntimeError for equations that are malformed or do not fit the operands.
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and "
            "its subscripts list"
        )
    equation, operands = _spelled(args) if isinstance(args[0], Tensor) else (args[0], args[1:])
    if not isinstance(equation, str):
        reject("einsum", "equation", "str", equation, 1)
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        return einsum(equation, *operands[0])
    for k, operand in enumerate(operands):
        if not isinstance(operand, Tensor):
            raise TypeError(f"expected Tensor as element {k} in argument 1, but got {type(operand).__name__}")
    return _contracted(_Equation.parse(equation, [x.ndim for x in operands]), list(operands))


def _spelled(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Operands with lists of numbers as an equation and operands."""
    equation = ",".join([_letters(numbers) for numbers in args[1::2]])
    if len(args) % 2:
        return f"{equation}->{_letters(args[-1])}", args[:-1:2]
    return equation, args[::2]


def _letters(numbers: Iterable[Any]) -> str:
    found = []
    for n in numbers:
        if n is not Ellipsis and not 0 <= n < len(LETTERS):
            raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
        found.append(ELLIPSIS if n is Ellipsis else LETTERS[n])
    return "".join(found)


# Equations


def _labels(text: str, start: int, where: str, several: str) -> list[str]:
    """The letters and the ellipsis of one term; `start` is its place in the equation."""
    found: list[str] = []
    k = 0
    while k < len(text):
        label = text[k]
        if label == ".":
            if ELLIPSIS in found:
                raise RuntimeError(f"einsum(): found '.' for {where} {several}")
            if text[k : k + 3] != ELLIPSIS:
                tail = " (...)" if where == "output" else ""
                raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis{tail}")
            found.append(ELLIPSIS)
            k += 2
        elif label in LETTERS:
            found.append(label)
        elif label != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {start + k} in the equation string, subscripts must "
                "be in [a-zA-Z]"
            )
        k += 1
    return found


@dataclass(frozen=True, slots=True)
class _Equation:
    """`terms`: the labels of each operand; `places`: where a label's dimension goes, output first.

    Of `count` places the first `kept` are the output. What ``...`` covers in the operand where it
    covers most, `covered` dimensions, goes to the places from ``places["..."]`` on.
    """

    terms: list[list[str]]
    places: dict[str, int]
    covered: int
    kept: int
    count: int

    @classmethod
    def parse(cls, equation: str, ndims: list[int]) -> _Equation:
        left, arrow, right = equation.partition("->")
        terms, start = [], 0
        texts = left.split(",")
        for k, text in enumerate(texts):
            if k == len(ndims):
                raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
            terms.append(_labels(text, start, f"operand {k}", "for which an ellipsis was already found"))
            start += len(text) + 1
        if len(texts) < len(ndims):
            raise RuntimeError("einsum(): more operands were provided than specified in the equation")
        covered = _covered(terms, ndims)
        letters = [label for term in terms for label in term if label != ELLIPSIS]
        if arrow:
            output = _labels(right, len(left) + 2, "output", "but an ellipsis (...) was already found")
            for k, label in enumerate(output):
                if label != ELLIPSIS and (label in output[:k] or label not in letters):
                    raise RuntimeError(
                        f"einsum(): output subscript {label} "
                        + (
                            "appears more than once in the output"
                            if label in output[:k]
                            else "does not appear in the equation for any input operand"
                        )
                    )
        else:
            output = [ELLIPSIS, *[label for label in LETTERS if letters.count(label) == 1]]
        rest = [] if ELLIPSIS in output else [ELLIPSIS]
        rest += [label for label in LETTERS if label in letters and label not in output]
        places: dict[str, int] = {}
        kept = count = 0
        for k, label in enumerate(output + rest):
            places[label] = count
            count += covered if label == ELLIPSIS else 1
            if k < len(output):
                kept = count
        return cls(terms, places, covered, kept, count)


def _covered(terms: list[list[str]], ndims: list[int]) -> int:
    """The most dimensions that ``...`` covers; RuntimeError if labels do not fit an operand."""
    covered = 0
    for k, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        letters = len(term) - (ELLIPSIS in term)
        if ELLIPSIS in term:
            if letters > ndim:
                raise RuntimeError(
                    f"einsum(): the number of subscripts in the equation ({letters}) is more than the number of "
                    f"dimensions ({ndim}) for operand {k}"
                )
            covered = max(covered, ndim - letters)
        elif letters != ndim:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({letters}) does not match the number of "
                f"dimensions ({ndim}) for operand {k} and no ellipsis was given"
            )
    return covered


# Computation


def _contracted(equation: _Equation, operands: list[Tensor]) -> Tensor:
    sizes = [1] * equation.count
    aligned = [_aligned(equation, k, x, sizes) for k, x in enumerate(operands)]
    kept, count = equation.kept, equation.count
    # How many operands still have a dimension: it is summed when the last of them is reached.
    left = [len([x for x in aligned if x.shape[k] != 1]) for k in range(count)]
    out = aligned[0]
    for x in aligned[1:]:
        shared: list[int] = []
        only_out: list[int] = []
        only_x: list[int] = []
        for k in range(kept, count):
            mine, other = out.shape[k] != 1, x.shape[k] != 1
            if mine and other:
                left[k] -= 1
                if left[k] == 1:
                    shared.append(k)
                    left[k] = 0
            elif left[k] == 1 and (mine or other):
                (only_out if mine else only_x).append(k)
                left[k] = 0
        out = sum(out, only_out, keepdim=True) if only_out else out
        out = _product_over(out, sum(x, only_x, keepdim=True) if only_x else x, shared)
    if kept == count:
        return out
    if len(aligned) > 1:
        return view(out, tuple(out.shape[:kept]))
    return sum(out, tuple(range(kept, count)))


def _aligned(equation: _Equation, number: int, x: Tensor, sizes: list[int]) -> Tensor:
    """An operand with a dimension for each place of the equation, of size one where it has none.

    `sizes` holds what was seen at each place so far; RuntimeError if a size contradicts it.
    """
    term, places = equation.terms[number], equation.places
    covered = x.ndim - (len(term) - 1)
    dims: dict[int, int] = {}  # place -> dimension of x
    dim = 0
    for label in term:
        if label == ELLIPSIS:
            for j in range(equation.covered - covered, equation.covered):
                place, size = places[ELLIPSIS] + j, x.shape[dim]
                if size != 1 and sizes[place] not in (1, size):
                    raise RuntimeError(
                        f"einsum(): dimension {dim} covered by ellipsis in operand {number}has size {size} which "
                        f"does not broadcast with previously seen ellipsis with size {sizes[place]} for the "
                        "respective dimension"
                    )
                sizes[place] = size if size != 1 else sizes[place]
                dims[place] = dim
                dim += 1
            continue
        place, size = places[label], x.shape[dim]
        if place in dims:
            if x.shape[dims[place]] != size:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated for operand {number} but the sizes don't match, "
                    f"{size} != {x.shape[dims[place]]}"
                )
            x = movedim(diagonal(x, 0, dims[place], dim), -1, dims[place])
            continue
        if size != 1:
            if sizes[place] not in (1, size):
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {size} for operand {number} which does not broadcast "
                    f"with previously seen size {sizes[place]}"
                )
            sizes[place] = size
        dims[place] = dim
        dim += 1
    for place in range(equation.count):
        if place not in dims:
            x = unsqueeze(x, dim)
            dims[place] = dim
            dim += 1
    return permute(x, [dims[place] for place in range(equation.count)])


def _product_over(left: Tensor, right: Tensor, summed: list[int]) -> Tensor:
    """The product of two tensors with the same dimensions, summed over some that both have."""
    if not summed:
        return mul(left, right)
    both: list[int] = []
    only_left: list[int] = []
    only_right: list[int] = []
    for k in range(left.ndim):
        if k not in summed:
            if left.shape[k] == 1:
                only_right.append(k)
            else:
                (both if right.shape[k] != 1 else only_left).append(k)

    if only_left and only_right and only_right[-1] < only_left[0]:  # then the product lies in order
        left, right, only_left, only_right = right, left, only_right, only_left

    def size(dims: list[int]) -> int:
        return math.prod([right.shape[k] if left.shape[k] == 1 else left.shape[k] for k in dims])

    order = [*both, *only_left, *summed, *only_right]
    a = permute(left, order)
    b = permute(right, [*both, *summed, *only_right, *only_left])
    made = bmm(
        reshape(a, (size(both), size(only_left), size(summed))),
        reshape(b, (size(both), size(summed), size(only_right))),
    )
    shape = [1 if k in summed else size([k]) for k in order]
    return permute(view(made, shape), [order.index(k) for k in range(left.ndim)])
