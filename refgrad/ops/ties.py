"""Which of several equal elements torch's CPU selection picks, and in which order it leaves them.

`topk`, `kthvalue` and the plain `sort` promise nothing about equal elements, but gradients follow the
picked ones. So for rows with equal elements, and for these only, the selection algorithms are carried
out as torch has them: quickselect with the median of three as pivot (Numerical Recipes, "select"), and
C++'s introselect and introsort (D. Musser, 1997). On a GPU, and for the few of a great many that torch
finds with a heap, equal elements keep their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Less = Callable[[int, int], bool]


def settle(xp: Any, x: Any, order: Any, dim: int, pick: Callable[[list[Any]], list[int] | None]) -> Any:
    """`order`, which sorts `x` along `dim`, with the rows that have equal elements done over by `pick`.

    `pick` takes a row and gives its leading indices, or None to leave the row as it is.
    """
    if not xp.checks_bounds or not x.size:
        return order
    ranked = xp.moveaxis(xp.take_along_axis(x, order, axis=dim), dim, -1)
    equal = (ranked[..., 1:] == ranked[..., :-1]) | ((ranked != ranked)[..., 1:] & (ranked != ranked)[..., :-1])
    tied = xp.any(equal, axis=-1)
    if not tied.any():
        return order
    order = xp.array(order, copy=True)
    rows, out = xp.moveaxis(x, dim, -1), xp.moveaxis(order, dim, -1)
    for place in zip(*[found.tolist() for found in xp.nonzero(xp.atleast_1d(tied))], strict=True):
        at = place if tied.ndim else ()
        found = pick(rows[at].tolist())
        if found is not None:
            out[at][: len(found)] = xp.asarray(found)
    return order


def partitioned(row: list[Any], k: int) -> list[int]:
    """Indices of `row` after quickselect has brought the one of rank `k` into its place."""
    where = list(range(len(row)))

    def above(i: int, j: int) -> bool:
        a, b = row[where[i]], row[where[j]]
        return (a != a and b == b) or a > b

    def swap(i: int, j: int) -> None:
        where[i], where[j] = where[j], where[i]

    low, high = 0, len(row) - 1
    while high > low + 1:
        swap((low + high) // 2, low + 1)
        for i, j in ((low + 1, high), (low, high), (low + 1, low)):
            if above(i, j):
                swap(i, j)
        i, j = low + 1, high
        while True:  # the pivot is at `low`
            i += 1
            while above(low, i):
                i += 1
            j -= 1
            while above(j, low):
                j -= 1
            if j < i:
                break
            swap(i, j)
        swap(low, j)
        if j <= k:
            low = i
        if j >= k:
            high = j - 1
    if high == low + 1 and above(low, high):
        swap(low, high)
    return where


def top(row: list[Any], k: int, largest: bool, in_order: bool) -> list[int] | None:
    """Indices of the `k` first elements of `row` as introselect, and then introsort, leave them."""
    size = len(row)
    if not k or k * 64 <= size:
        return None

    where, before = list(range(size)), _order_of(row, largest)
    _introselect(where, k - 1, before)
    if in_order:
        _introsort(where, k - 1, before)
    return where[:k]


def sorted_places(row: list[Any], descending: bool) -> list[int] | None:
    """Indices that sort `row` as introsort does: short rows stably."""
    if len(row) <= _SMALL:
        return None
    where = list(range(len(row)))
    _introsort(where, len(row), _order_of(row, descending))
    return where


def first_of_equals(size: int) -> int:
    """The place that introselect brings to the front of a row in which nothing comes before anything."""
    where = list(range(size))
    _introselect(where, 0, lambda a, b: False)
    return where[0]


def _order_of(row: list[Any], descending: bool) -> Less:
    """Which of two places of `row` comes first; NaN counts as the largest."""

    def ascending(a: int, b: int) -> bool:
        x, y = row[a], row[b]
        return (x == x and y != y) or x < y

    return (lambda a, b: ascending(b, a)) if descending else ascending


_SMALL = 16  # shorter ranges are left to a final insertion sort


def _introselect(where: list[int], nth: int, before: Less) -> None:
    first, last = 0, len(where)
    if nth == last:
        return
    while last - first > 3:
        cut = _partition(where, first, last, before)
        if cut <= nth:
            first = cut
        else:
            last = cut
    _insertion_sort(where, first, last, before)


def _introsort(where: list[int], last: int, before: Less) -> None:
    """Sort the elements before `last`: into short ranges first, then all at once."""
    pending = [(0, last)]
    while pending:
        first, end = pending.pop()
        while end - first > _SMALL:
            cut = _partition(where, first, end, before)
            pending.append((cut, end))
            end = cut
    _insertion_sort(where, 0, min(last, _SMALL), before)
    for i in range(_SMALL, last):
        _sink(where, i, before)


def _partition(where: list[int], first: int, last: int, before: Less) -> int:
    """Split a range around the median of three of its elements; returns where the second part begins."""
    a, b, c = first + 1, first + (last - first) // 2, last - 1
    if before(where[a], where[b]):
        middle = b if before(where[b], where[c]) else c if before(where[a], where[c]) else a
    else:
        middle = a if before(where[a], where[c]) else c if before(where[b], where[c]) else b
    where[first], where[middle] = where[middle], where[first]
    pivot, i, j = where[first], first + 1, last
    while True:
        while before(where[i], pivot):
            i += 1
        j -= 1
        while before(pivot, where[j]):
            j -= 1
        if i >= j:
            return i
        where[i], where[j] = where[j], where[i]
        i += 1


def _insertion_sort(where: list[int], first: int, last: int, before: Less) -> None:
    for i in range(first + 1, last):
        if before(where[i], where[first]):
            where[first : i + 1] = [where[i], *where[first:i]]
        else:
            _sink(where, i, before)


def _sink(where: list[int], i: int, before: Less) -> None:
    value = where[i]
    while before(value, where[i - 1]):
        where[i] = where[i - 1]
        i -= 1
    where[i] = value
