"""Views as copies, copies with a view overwritten, and values put at places, against torch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.refgrad.both import assert_both

CALLS = {
    "alias_copy": (),
    "as_strided_copy": ((2, 2), (1, 2)),
    "detach_copy": (),
    "diagonal_copy": (1,),
    "expand_copy": ((2, 3, 4),),
    "narrow_copy": (1, 1, 2),
    "permute_copy": ((1, 0),),
    "select_copy": (0, 1),
    "slice_copy": (1, 0, 3, 2),
    "split_copy": (2,),
    "split_with_sizes_copy": ((1, 2),),
    "squeeze_copy": (0,),
    "t_copy": (),
    "transpose_copy": (0, 1),
    "unbind_copy": (),
    "unfold_copy": (1, 2, 1),
    "unsqueeze_copy": (1,),
    "view_copy": ((4, 3),),
}


def _matrix(m: Any) -> Any:
    return m.arange(12, dtype=m.float64).reshape(3, 4).clone().requires_grad_()


@pytest.mark.parametrize("name", CALLS)
def test_copies(name: str) -> None:
    # The gradients' strides are not compared: torch's follow the view's, these are row-major.
    def call(m: Any) -> Any:
        x = _matrix(m)
        made = getattr(m, name)(x, *CALLS[name])
        parts = list(made) if isinstance(made, (tuple, list)) else [made]
        return [*parts, *[g.contiguous() for g in m.autograd.grad(sum([(p * p).sum() for p in parts]), x)]]

    assert_both(call)


@pytest.mark.parametrize(
    ("name", "shape", "args"),
    [
        ("select_scatter", (4,), (0, 1)),
        ("slice_scatter", (3, 2), (1, 0, 4, 2)),
        ("diagonal_scatter", (3,), ()),
        ("as_strided_scatter", (2, 2), ((2, 2), (1, 2), 1)),
    ],
)
def test_scatters(name: str, shape: tuple[int, ...], args: Any) -> None:
    def call(m: Any) -> Any:
        x, src = _matrix(m), m.ones(shape, dtype=m.float64, requires_grad=True)
        made = getattr(m, name)(x, src, *args)
        return made, [g.contiguous() for g in m.autograd.grad((made * made).sum(), (x, src))]

    assert_both(call)
    assert_both(lambda m: getattr(m, name)(_matrix(m), m.ones(5), *args))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.slice_copy(m.ones(()), 0),
        lambda m: m.put(m.ones(2), m.tensor([3]), m.ones(1)),
        lambda m: m.put(m.ones(2), m.tensor([1.0]), m.ones(1)),
        lambda m: m.put(m.ones(2), m.tensor([1]), m.ones(2)),
        lambda m: m.put(m.ones(2), m.tensor([1]), m.ones(1).double()),
        lambda m: m.ones(3).put_(m.tensor([0, -1]), m.tensor([5.0, 6.0])),
        lambda m: m.masked_scatter(m.ones(2), m.ones(2) > 0, m.ones(1)),
        lambda m: m.masked_scatter(m.ones(2), m.ones(2), m.ones(2)),
        lambda m: m.masked_scatter(m.ones(2, 1), m.ones(2, 2) > 0, m.ones(4)),
        lambda m: m.fill(m.ones(2, requires_grad=True), 3.0),
        lambda m: m.fill(m.ones(2), m.ones(2)),
        lambda m: m.scatter_reduce(m.ones(3), 0, m.tensor([0]), m.ones(1), "foo"),
        lambda m: m.index_reduce(m.ones(3), 0, m.tensor([0]), m.ones(1), "sum"),
        lambda m: m.renorm(m.ones(2), 2, 0, 1),
        lambda m: m.renorm(m.ones(2, 2), -2, 0, 1),
    ],
)
def test_values_put_at_places(call: Any) -> None:
    assert_both(call)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_reductions_into_places(reduce: str, include_self: bool) -> None:
    def call(m: Any) -> Any:
        x = m.tensor([1.0, 2.0, 4.0], requires_grad=True)
        src = m.tensor([2.0, 0.0, 2.0, 4.0], requires_grad=True)
        made = m.scatter_reduce(x, 0, m.tensor([0, 1, 0, 1]), src, reduce, include_self=include_self)
        return made, m.autograd.grad((made * made).sum(), (x, src))

    assert_both(call)
    assert_both(lambda m: m.scatter_reduce(m.tensor([1, 2]), 0, m.tensor([0, 0]), m.tensor([4, 2]), reduce,
                                           include_self=include_self))
