"""In-place forms in forward mode: shapes that change with their tangents, forms that have none."""

from __future__ import annotations

import warnings

import torch

from tests.refgrad.semantics.rows import as_torch, case, error

with warnings.catch_warnings():  # torch loads something deprecated when first asked
    warnings.simplefilter("ignore")
    torch.autograd.forward_ad._maybe_load_decompositions()


def _dual(torch):
    x = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, -0.6]], dtype=torch.float64)
    tangent = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.float64)
    return torch.autograd.forward_ad.make_dual(x, tangent), tangent


def _after(torch, call):
    """Both parts of a dual tensor after a call, and the tangent that it was made with; or the error.

    torch may have written before it raises.
    """
    with torch.autograd.forward_ad.dual_level():
        d, tangent = _dual(torch)
        failed = error(call, d)
        if failed != "no error":
            return failed
        parts = torch.autograd.forward_ad.unpack_dual(d)
        return parts.primal + 0, parts.tangent, parts.tangent is tangent, tangent._version, d._version


@case(88)
def a_tangent_changes_its_shape_too(torch):
    return [
        _after(torch, call)
        for call in (
            lambda d: d.t_(),
            lambda d: d.transpose_(0, 1),
            lambda d: d.swapaxes_(0, 1),
            lambda d: d.unsqueeze_(0),
            lambda d: d.unsqueeze_(0).squeeze_(0),
            lambda d: d.squeeze_(),
            lambda d: d.as_strided_((2, 2), (1, 2)),
            lambda d: d[:1].squeeze_(0),
            lambda d: d[:1].squeeze_(0).mul_(2),
            lambda d: d.t_().mul_(2),
        )
    ]


@case(14)
def memory_of_a_dual_tensor_stays(torch):
    return [
        _after(torch, call)
        for call in (
            lambda d: d.resize_(3, 2),
            lambda d: d.resize_as_(d.detach()[0]),
            lambda d: d.set_(d.detach()),
            lambda d: d.set_(),
            lambda d: d.detach().set_(d),
        )
    ]


@case()
def forms_without_a_derivative(torch):
    forms = (lambda d: d.asinh_(), lambda d: d.acosh_(), lambda d: d.atanh_(), lambda d: d.floor_divide_(2))
    return [_after(torch, call) for call in forms]


@case()
def forms_of_other_formulas(torch):
    """Where torch tells the slope from the result, it does so in forward mode too."""
    functional = torch.nn.functional
    return [
        _after(torch, call)
        for call in (
            lambda d: d.eq_(0.5),
            lambda d: d.gt_(d.detach().clone()),
            lambda d: d.logical_not_(),
            lambda d: d.logical_and_(d.detach().clone()),
            lambda d: functional.leaky_relu_(d, -0.3),
            lambda d: functional.leaky_relu_(d, 0.5),
            lambda d: functional.elu(d, -2.0, inplace=True),
            lambda d: functional.threshold_(d, 0.25, 4.0),
        )
    ]


test_as_torch = as_torch(__name__)
