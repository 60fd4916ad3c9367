"""What shares memory with what: views and no-ops on every kind of input, held against torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import refgrad
from tests.refgrad.semantics.rows import as_torch, case, error, leaf
from tests.refgrad.semantics.test_out import CALLS as FUNCTIONS
from tests.refgrad.semantics.test_out import operands

CALLS = [
    call.strip()
    for call in """
    x.reshape(-1)|x.reshape(x.shape)|x.reshape(1, *x.shape)|x.reshape_as(x)|x.flatten()|x.flatten(0, 0)|x.view(x.shape)
    x.view(-1)|x.view(1, -1)|x.view_as(x)|x.view(1, *x.shape)|x.view(*x.shape, 1)|x.view(x.dtype)|x.view(torch.int64)
    x.view(torch.float32)|x.view(torch.int32)|x.expand(x.shape)|x.expand(2, *x.shape)|x.expand(1, *x.shape)
    x.expand_as(x)|x.broadcast_to((2, *x.shape))|x.contiguous()|x.to(x.dtype)|x.to(torch.float64)|x.to(torch.float32)
    x.to(x)|x.to('cpu')|x.cpu()|x.double()|x.float()|x.type_as(x)|x.type(x.dtype)|x.squeeze()|x.squeeze(0)
    x.squeeze((0,))|x.unsqueeze(0)|x.unsqueeze(-1)|x.t()|x.T|x.mT|x.H|x.mH|x.adjoint()|x.transpose(0, -1)
    x.swapaxes(0, -1)|x.swapaxes(-1, -1)|x.swapdims(0, -1)|x.permute(*range(x.dim()))
    x.permute(*range(x.dim() - 1, -1, -1))|x.movedim(0, -1)|x.movedim(-1, 0)|x.moveaxis(0, -1)|x[...]|x[None]|x[0]
    x[:1]|x[::2]|x[1:]|x[..., 0]|x[:, 1:]|x.select(0, 0)|x.narrow(0, 0, 1)|x.narrow(0, 1, 0)|x.narrow(0, 0, 0)
    x.diagonal()|x.diagonal(1)|x.unfold(0, 1, 1)|x.unfold(-1, 2, 1)|x.unflatten(0, (1, -1))|x.ravel()|x.detach()
    x.data|x.clone()|torch.real(x)|torch.conj(x)|x.real|x.conj()|x.resolve_conj()|x.positive()|+x|x.split(1)
    x.split(1, -1)|x.chunk(2)|x.unbind()|x.tensor_split(2)|x.hsplit(1)|x.vsplit(1)|x.dsplit(1)|x.unsafe_chunk(2)
    x.split_with_sizes([1] * x.shape[0])|torch.atleast_1d(x)|torch.atleast_2d(x)|torch.atleast_3d(x)
    torch.atleast_2d(x, x)|torch.broadcast_tensors(x, x)|torch.broadcast_tensors(x, x[None])
    torch.meshgrid(x.reshape(-1), indexing='ij')|torch.as_tensor(x)|torch.asarray(x)|torch.tensor(x)|x.new_tensor(x)
    x.as_strided((2,), (1,))|x.as_strided((1, 1), (1, 1))|x.sum_to_size(x.shape)|x.sum(())|x.sum()|x.prod()|x.nansum()
    x.repeat(1, 1, 1)|x.tile((1,))|x.flip(0)|x.rot90()|x.requires_grad_(False)|x.nan_to_num()|torch.complex(x, x).real
    torch.complex(x, x).imag|torch.view_as_real(torch.complex(x, x))
    torch.view_as_complex(torch.stack([x, x], -1))
    """.strip().replace("\n", "|").split("|")
]

INPUTS: dict[str, Callable[[Any], Any]] = {
    "matrix": lambda t: t.arange(12.0, dtype=t.float64).reshape(4, 3) * 1,
    "vector": lambda t: t.arange(4.0, dtype=t.float64),
    "number": lambda t: t.tensor(2.0, dtype=t.float64),
    "no rows": lambda t: t.zeros(0, 3, dtype=t.float64),
    "nothing": lambda t: t.zeros(0, dtype=t.float64),
    "no columns": lambda t: t.zeros(3, 0, 2, dtype=t.float64),
    "transposed": lambda t: (t.arange(12.0, dtype=t.float64).reshape(4, 3) * 1).t(),
    "every other column": lambda t: (t.arange(24.0, dtype=t.float64).reshape(4, 6) * 1)[:, ::2],
    "rows": lambda t: (t.arange(24.0, dtype=t.float64).reshape(4, 6) * 1)[1:3],
    "column": lambda t: (t.arange(12.0, dtype=t.float64).reshape(4, 3) * 1)[:, 1],
    "element": lambda t: t.arange(12.0, dtype=t.float64)[5],
    "expanded": lambda t: t.ones(1, 3, dtype=t.float64).expand(2, 3),
    "ones": lambda t: t.ones(1, 1, 3, 1, dtype=t.float64),
    "permuted": lambda t: t.arange(24.0, dtype=t.float64).reshape(2, 3, 4).permute(1, 0, 2),
}

# Strides and offsets of tensors without elements are not compared: NumPy keeps none. With them `is_set_to` differs.
DIFFERENT = {("x[::2]", "no rows"), ("x[::2]", "nothing")}


def observed(torch: Any, call: str, make: Callable[[Any], Any]) -> Any:
    """Where the results of a call lie, and whether they follow a write into the memory of its input."""
    x = make(torch)
    try:
        made = eval(call, {"x": x, "torch": torch})
    except Exception as raised:
        return type(raised).__name__
    results = made if isinstance(made, (tuple, list)) else [made]
    seen = []
    for y in results:
        base, filled = y._base, y.numel() > 0
        related = base is not None and (base is x or base is x._base)
        seen.append(
            (
                y is x,
                tuple(y.shape),
                (tuple(y.stride()), y.storage_offset()) if filled else None,
                y.is_contiguous(),
                y._is_view(),
                base is x,
                base is x._base,
                y.is_set_to(x),
                y.data_ptr() - x.data_ptr() if filled and x.numel() and related else None,
            )
        )
    before = [str(y.tolist()) for y in results]
    whole = (x if x._base is None else x._base).detach()
    whole.fill_(7.0)
    return seen, [str(y.tolist()) != text for y, text in zip(results, before, strict=True)]


@pytest.mark.parametrize("call", CALLS)
def test_as_torch(call: str) -> None:
    found = {}
    for name, make in INPUTS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, got = observed(torch, call, make), observed(refgrad, call, make)
        if (expected == got) == ((call, name) in DIFFERENT):
            found[name] = expected, got
    assert not found


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("call", FUNCTIONS)
def test_what_is_no_view_has_memory_of_its_own(call: str, numbers: bool) -> None:
    """A result that is not marked as a view never lies in the memory of an operand, numbers included."""
    names = {n: t for n, t in operands(refgrad, False).items() if n != "torch"}
    if numbers:
        names = {n: t[(0,) * t.ndim].clone() for n, t in names.items()}
    try:
        made = eval(f"torch.{call}", {**names, "torch": refgrad})
    except (RuntimeError, IndexError, TypeError):
        assert numbers  # which do not fit every function
        return
    for y in made if isinstance(made, (tuple, list)) else [made]:
        apart = [not np.shares_memory(y._data, x._data) for x in names.values() if x is not y]
        assert all(apart) or y._is_view() or call.startswith("unsafe_split")  # as in torch


@case(196, 99)
def complex_numbers_as_pairs(torch):
    x = torch.tensor([1 + 2j, 3j], dtype=torch.complex128, requires_grad=True)
    y = torch.view_as_real(x * 1)
    back = torch.view_as_complex(y * 2)
    g = torch.autograd.grad((y * y).sum() + (back * back).real.sum(), x, create_graph=True)[0]
    return y, back, y._is_view(), g, torch.autograd.grad((g * g.conj()).real.sum(), x)


@case(99, 196)
def writes_into_pairs(torch):
    base = torch.zeros(2, dtype=torch.complex128)
    pairs = torch.view_as_real(base)
    factor = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    pairs.add_(factor)
    base.mul_(2)
    return base, pairs, base._version, torch.autograd.grad((pairs * pairs).sum(), factor)


@case(196)
def pairs_that_are_refused(torch):
    return [
        error(call)
        for call in (
            lambda: torch.view_as_complex(torch.ones(3)),
            lambda: torch.view_as_complex(torch.tensor(1.0)),
            lambda: torch.view_as_complex(torch.ones(2, 2).t()),
            lambda: torch.view_as_complex(torch.ones(2, 2, dtype=torch.int64)),
            lambda: torch.view_as_complex(torch.ones(3, 3)[:, :2]),
            lambda: torch.view_as_complex(torch.ones(9)[1:5].reshape(2, 2)),
            lambda: torch.view_as_real(torch.ones(2)),
        )
    ]


@case(100)
def overlapping_views_sum(torch):
    x = leaf(torch, 1, 2, 3, 4)
    y = x * 1
    windows, strided = y.unfold(0, 2, 1), y.as_strided((3, 2), (1, 1))
    weights = torch.arange(6.0, dtype=torch.float64).reshape(3, 2)
    found = [torch.autograd.grad((v * weights).sum(), x, retain_graph=True)[0] for v in (windows, strided)]
    g = torch.autograd.grad((windows * windows * weights).sum(), x, create_graph=True)[0]
    return found, g, torch.autograd.grad((g * g).sum(), x)


@case(9)
def is_set_to_and_data_ptr(torch):
    x = torch.ones(3)
    return (
        x[1:2].is_set_to(x[1:2]), x.is_set_to(x.view(1, 3)), x[0].is_set_to(x[:1]), x.is_set_to(x.clone()),
        x.is_set_to(x.detach()), x[1:].data_ptr() - x.data_ptr(), torch.empty(0).data_ptr(), x[3:].data_ptr(),
    )


test_cases_as_torch = as_torch(__name__)
