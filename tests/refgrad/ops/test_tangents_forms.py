"""Tangents of reductions, of views and copies, of products, and of in-place writes, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.refgrad.ops.compare import Input
from tests.refgrad.ops.points import AROUND, INF, INSIDE, NAN
from tests.refgrad.ops.tangents import assert_same_tangents

Function = Callable[..., Any]

TIES = np.array([[1.0, 1.0, 0.0, -2.0], [0.0, 3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
NANS = np.array([[1.0, NAN, 2.0], [3.0, 3.0, -1.0]])
EQUAL = np.full((2, 2), 2.0)
COMPLEX = INSIDE + 1j * AROUND

WHOLE = "sum mean amax amin max min median nanmedian nansum nanmean var std var_mean std_mean aminmax".split()
ALONG = (
    "sum mean prod amax amin max min median nanmedian nansum nanmean var std cumsum cummax cummin sort argmax".split()
)
REDUCTIONS: dict[str, Function] = {
    **{n: lambda t, x, n=n: getattr(t, n)(x) for n in WHOLE},
    **{f"{n} {d}": lambda t, x, n=n, d=d: getattr(t, n)(x, d) for n in ALONG for d in (0, 1)},
    **{f"norm {p}": lambda t, x, p=p: t.norm(x, p=p) for p in (0, 2, 0.5, 1.5, INF, -INF)},
    **{f"norm {p} along": lambda t, x, p=p: t.norm(x, p=p, dim=1) for p in (0, 2, 0.5, 1.5, INF, -INF)},
    "kthvalue": lambda t, x: t.kthvalue(x, 2, 0),
    "topk": lambda t, x: t.topk(x, 2, 1),
    "var kept": lambda t, x: t.var(x, dim=0, correction=0, keepdim=True),
    "var_mean along": lambda t, x: t.var_mean(x, dim=0),
    "std_mean along": lambda t, x: t.std_mean(x, dim=0, correction=0),
    "aminmax along": lambda t, x: t.aminmax(x, dim=0),
    "sum kept": lambda t, x: x.sum((0, 1), keepdim=True),
    "sum in single": lambda t, x: t.sum(x, 0, dtype=t.float32),
    "mean in single": lambda t, x: t.mean(x, 0, dtype=t.float32),
    "cumsum in single": lambda t, x: t.cumsum(x, 0, dtype=t.float32),
    "msort": lambda t, x: t.msort(x),
    "sum of integers": lambda t, x: t.sum(x.long()),
    "count_nonzero": lambda t, x: t.count_nonzero(x),
    "any": lambda t, x: t.any(x),
}
OF_REALS = "max min median nanmedian nansum nanmean amax amin aminmax argmax sort cummax cummin msort".split()


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    function = REDUCTIONS[name]
    single = "float32" if name.endswith("single") else None
    second = not name.startswith(("std", "var"))  # at equal numbers: NaN there, since they divide by zero, or not
    ties = name.split()[0] in ("max", "min", "median", "nanmedian", "norm")
    for array in (AROUND, Input(AROUND, "transposed")):
        assert_same_tangents(function, array, precision=single, cuda=True)
    for array in (TIES, EQUAL):
        assert_same_tangents(function, array, precision=single, second=second, transposed=not ties)
    assert_same_tangents(function, NANS, second=False, transposed=False, precision=single)
    assert_same_tangents(function, AROUND.astype("float32"), precision="float32")
    if not name.startswith(("cummax", "cummin")):  # whose gradients of nothing torch marks otherwise
        assert_same_tangents(function, np.zeros((0, 3)), precision=single)
    if not name.startswith(("kth", "topk")) and "1" not in name and "along" not in name:
        assert_same_tangents(function, np.array(0.3), precision=single, second=second)
    if name.split()[0] not in (*OF_REALS, "kthvalue", "topk", "sum of integers"):
        assert_same_tangents(function, COMPLEX, precision=single, ulps=16)


@pytest.mark.parametrize("dim", [0, 1])
def test_logcumsumexp(dim: int) -> None:
    """Of which torch's tangents are right to 1e-11, and cannot be differentiated."""
    for array in (AROUND, TIES):
        assert_same_tangents(lambda t, x: t.logcumsumexp(x, dim), array, precision="float32", reverse=False)


SHAPES: dict[str, Function] = {
    "adjoint": lambda t, x: t.adjoint(x),
    "H": lambda t, x: x.H,
    "as_strided": lambda t, x: t.as_strided(x, (2, 2), (1, 2), 1),
    "as_strided overlapping": lambda t, x: t.as_strided(x, (3, 2), (1, 1), 0),
    "atleast_3d": lambda t, x: t.atleast_3d(x),
    "broadcast_tensors": lambda t, x: t.broadcast_tensors(x, x[0]),
    "broadcast_to": lambda t, x: t.broadcast_to(x, (2, 3, 4)),
    "chain_matmul": lambda t, x: t.chain_matmul(x, x.t(), x),
    "column_stack": lambda t, x: t.column_stack((x, x[:, 0])),
    "conj": lambda t, x: x.conj(),
    "constant_pad_nd": lambda t, x: t.constant_pad_nd(x, (1, -1, 2, 0), 3.0),
    "diag": lambda t, x: t.diag(x),
    "diag of a vector": lambda t, x: t.diag(x[0], 1),
    "diag_embed": lambda t, x: t.diag_embed(x),
    "diagonal": lambda t, x: t.diagonal(x, 1),
    "dstack": lambda t, x: t.dstack((x, x)),
    "flip": lambda t, x: t.flip(x, (0, 1)),
    "hsplit": lambda t, x: t.hsplit(x, 2),
    "real": lambda t, x: x.real,
    "index_copy": lambda t, x: t.index_copy(x, 0, t.tensor([0, 2]), x[:2]),
    "index_fill": lambda t, x: t.index_fill(x, 0, t.tensor([0, 2]), 5.0),
    "index_fill with a tensor": lambda t, x: t.index_fill(x, 0, t.tensor([0, 2]), x[0, 0]),
    "index_put": lambda t, x: t.index_put(x, (t.tensor([0, 2]), t.tensor([1, 1])), x[0, :2]),
    "index_put adding": lambda t, x: t.index_put(x, (t.tensor([0, 0]), t.tensor([1, 1])), x[0, :2], accumulate=True),
    "kron": lambda t, x: t.kron(x, x),
    "masked_select": lambda t, x: t.masked_select(x, t.tensor([True, False, True, True])),
    "meshgrid": lambda t, x: t.meshgrid(x[0], x[1], indexing="ij"),
    "repeat_interleave": lambda t, x: t.repeat_interleave(x, 2, 0),
    "repeat_interleave by a tensor": lambda t, x: t.repeat_interleave(x, t.tensor([1, 2, 0]), 0),
    "rot90": lambda t, x: t.rot90(x),
    "rot90 twice": lambda t, x: t.rot90(x, 2),
    "scatter of a number": lambda t, x: t.scatter(x, 0, t.tensor([[0, 1, 2, 0]]), 2.5),
    "scatter": lambda t, x: t.scatter(x, 0, t.tensor([[0, 1, 2, 0]]), x[:1]),
    "scatter_add": lambda t, x: t.scatter_add(x, 0, t.tensor([[0, 0, 0, 0], [0, 0, 0, 0]]), x[:2]),
    "take": lambda t, x: t.take(x, t.tensor([0, 0, 5])),
    "take_along_dim": lambda t, x: t.take_along_dim(x, t.tensor([[0, 1], [2, 2], [0, 0]]), 1),
    "tensor_split": lambda t, x: t.tensor_split(x, 2),
    "tensordot": lambda t, x: t.tensordot(x, x, dims=([0, 1], [0, 1])),
    "tile": lambda t, x: t.tile(x, (2, 1)),
    "unflatten": lambda t, x: t.unflatten(x, 1, (2, 2)),
    "unsafe_split": lambda t, x: t.unsafe_split(x, 2),
    "unfold": lambda t, x: x.unfold(1, 2, 1),
    "sum_to_size": lambda t, x: x.sum_to_size(1, 4),
    "ravel": lambda t, x: t.ravel(x),
    "iteration": lambda t, x: list(x),
    "T": lambda t, x: x.T,
    "tril": lambda t, x: t.tril(x),
    "roll": lambda t, x: t.roll(x, 1, 0),
    "contiguous": lambda t, x: x.t().contiguous(),
    "list index": lambda t, x: x[[0, 2]],
    "mask index": lambda t, x: x[t.tensor([True, False, True])],
    "basic index": lambda t, x: x[None, ..., 1],
    "half": lambda t, x: x.real.half(),
    "long": lambda t, x: x.real.long(),
    "cdouble": lambda t, x: x.cdouble(),
    "complex to real": lambda t, x: x.to(t.float64),
    "comparison": lambda t, x: x == x,
    "nonzero": lambda t, x: t.nonzero(x),
    "cross": lambda t, x: t.cross(x, x.flip(1), dim=0),
    "vdot": lambda t, x: t.vdot(x[0], x[1]),
    "inner": lambda t, x: t.inner(x, x),
    "trace": lambda t, x: t.trace(x),
    "addr": lambda t, x: t.addr(x, x[:, 0], x[0], beta=2, alpha=3),
    "addbmm": lambda t, x: t.addbmm(x @ x.t(), x[None], x.t()[None]),
    "vector by matrix": lambda t, x: x[0] @ x.t(),
    "batch by matrix": lambda t, x: t.stack([x, x]) @ x.t(),
    "linear": lambda t, x: t.nn.functional.linear(x, x, x[:, 0]),
    "complex abs": lambda t, x: x.abs(),
    "complex sgn": lambda t, x: x.sgn(),
    "complex pow": lambda t, x: x**x,
    "complex norm": lambda t, x: x.norm(p=3, dim=0),
    "complex prod": lambda t, x: x.prod(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_views_copies_and_products(name: str) -> None:
    precision = "float16" if name == "half" else None
    for array in (AROUND, COMPLEX, Input(AROUND, "transposed"), Input(AROUND, "strided")):
        assert_same_tangents(SHAPES[name], array, precision=precision, ulps=16)


DUPLICATES: dict[str, Function] = {
    "index_copy": lambda t, x: t.index_copy(x, 0, t.tensor([2, 2]), x[:2]),
    "index_put": lambda t, x: t.index_put(x, (t.tensor([0, 0]), t.tensor([1, 1])), x[0, :2]),
    "scatter": lambda t, x: t.scatter(x, 0, t.tensor([[0, 0, 0, 0], [0, 0, 0, 0]]), x[:2]),
}


@pytest.mark.parametrize("name", DUPLICATES)
def test_places_written_twice(name: str) -> None:
    """The tangent is that of the last value, while each of them gets the whole gradient."""
    assert_same_tangents(DUPLICATES[name], AROUND, transposed=False)


def _setter(key: Callable[[Any], Any], value: Function, fresh: bool) -> Function:
    """A write into a subscript of a copy, or of fresh zeros; of the latter views are looked at as well."""

    def function(t: Any, x: Any) -> Any:
        y = t.zeros(3, 4, dtype=x.dtype) if fresh else x.clone()
        views = (y.t(), y[0]) if fresh else ()
        y[key(t)] = value(t, x)
        return y, *views

    return function


KEYS: dict[str, Callable[[Any], Any]] = {
    "integer": lambda t: 0,
    "slice": lambda t: slice(1, 3),
    "ellipsis": lambda t: (..., 1),
    "indices": lambda t: t.tensor([0, 2]),
    "mask": lambda t: t.tensor([True, False, True]),
    "whole": lambda t: slice(None),
}
INPLACE: dict[str, Function] = {
    **{
        n: lambda t, x, n=n: getattr(x.clone(), n)()
        for n in (
            "acos_ ceil_ cos_ exp_ log_ neg_ reciprocal_ relu_ sigmoid_ sgn_ sqrt_ square_ tanh_ zero_ tril_".split()
        )
    },
    "add_": lambda t, x: x.clone().add_(x, alpha=2),
    "sub_": lambda t, x: x.clone().sub_(1),
    "mul_": lambda t, x: x.clone().mul_(x),
    "div_": lambda t, x: x.clone().div_(x.exp()),
    "pow_": lambda t, x: x.clone().pow_(3),
    "fill_ with a tensor": lambda t, x: x.clone().fill_(x[0, 0]),
    "fill_": lambda t, x: x.clone().fill_(2.0),
    "copy_": lambda t, x: t.zeros(3, 4, dtype=x.dtype).copy_(x[0]),
    "clamp_": lambda t, x: x.clone().clamp_(0, 1),
    "lerp_": lambda t, x: x.clone().lerp_(x.exp(), 0.5),
    "addcmul_": lambda t, x: x.clone().addcmul_(x, x),
    "masked_fill_": lambda t, x: x.clone().masked_fill_(x.abs() > 1, 1.0),
    "index_add_": lambda t, x: x.clone().index_add_(0, t.tensor([1, 1]), x[:2]),
    "scatter_": lambda t, x: x.clone().scatter_(0, t.tensor([[0, 1, 2, 0]]), x[:1]),
    "cumsum_": lambda t, x: x.clone().cumsum_(0),
    "cumprod_": lambda t, x: x.clone().cumprod_(0),
    "addmm_": lambda t, x: (x @ x.t()).addmm_(x, x.t()),
    "leaky_relu": lambda t, x: t.nn.functional.leaky_relu(x.clone(), inplace=True) if not x.is_complex() else x,
    **{f"x[{n}] = tensor": _setter(k, lambda t, x: x[1, 1], False) for n, k in KEYS.items()},
    **{f"zeros[{n}] = tensor": _setter(k, lambda t, x: x[1, 1], True) for n, k in KEYS.items()},
    **{f"x[{n}] = number": _setter(k, lambda t, x: 3.0, False) for n, k in KEYS.items()},
}


ON_CPU = ("copy_", "index_add_", "scatter_")  # they make tensors there


@pytest.mark.parametrize("name", INPLACE)
def test_in_place(name: str) -> None:
    for array in (AROUND, COMPLEX, Input(AROUND, "transposed")):
        assert_same_tangents(INPLACE[name], array, ulps=16, cuda=name not in ON_CPU and "[" not in name)


def _through_views(t: Any, x: Any) -> Any:
    y = t.zeros(3, 4, dtype=x.dtype)
    v, w = y[1], y.t()[0]
    v.add_(x[0])
    v.mul_(x[0])
    w.mul_(2)
    return y, v, w


def _through_complex_parts(t: Any, x: Any) -> Any:
    z = t.zeros(3, 4, dtype=t.complex128)
    r, i = z.real, z.imag[0]
    r.add_(x.real)
    i.copy_(x.real[1])
    return z, r, i


def _beneath_views(t: Any, x: Any) -> Any:
    y = x * 1
    v, w = y.view(-1)[::2], y.t()
    v.mul_(v.detach().clone())
    w[0].zero_()
    y.add_(x)
    return y, v, w


@pytest.mark.parametrize("function", [_through_views, _through_complex_parts, _beneath_views], ids=lambda f: f.__name__)
def test_writes_through_views(function: Function) -> None:
    # What requires grad torch refuses to write through the second view: "a leaf Variable".
    for array in (AROUND, COMPLEX):
        assert_same_tangents(function, Input(array, requires_grad=False))
