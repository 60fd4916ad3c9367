"""Views with dimensions in another order: permute, transpose and their kin."""

from __future__ import annotations

import warnings
from typing import Any

from refgrad.ops.arguments import integers, spelled_out, tensor_argument
from refgrad.ops.conversion import conj
from refgrad.ops.names import TENSORS
from refgrad.ops.record import Op
from refgrad.tensor import Tensor, check_dim

__all__ = ["adjoint", "moveaxis", "movedim", "permute", "swapaxes", "swapdims", "t", "transpose"]

_permute = Op(
    "permute",
    lambda xp, x, dims: xp.transpose(x, dims),
    {"self": lambda F, g, dims: F.permute(g, dims=tuple(sorted(range(len(dims)), key=dims.__getitem__)))},
    view=True,
)
_transpose = Op(
    "transpose",
    lambda xp, x, dim0, dim1: xp.swapaxes(x, dim0, dim1) if x.ndim else x[...],
    {"self": lambda F, g, dim0, dim1: F.transpose(g, dim0=dim0, dim1=dim1)},
    view=True,
)
_t = Op("t", lambda xp, x: xp.transpose(x), {"self": lambda F, g: F.t(g)}, view=True)


def permute(input: Tensor, dims: Any) -> Tensor:
    """The view whose dimension k is dimension ``dims[k]`` of `input`."""
    ndim = tensor_argument("permute", input).ndim
    dims = integers("permute", "dims", dims)
    if len(dims) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of "
            f"the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = "
            f"{len(dims)}"
        )
    found = tuple([check_dim(d, ndim) for d in dims])
    if len(set(found)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permute(input, dims=found)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """The view with two dimensions swapped."""
    ndim = tensor_argument("transpose", input).ndim
    return _transpose(input, dim0=check_dim(dim0, ndim), dim1=check_dim(dim1, ndim))


swapaxes = swapdims = transpose
_permute.public, _transpose.public = permute, transpose


def t(input: Tensor) -> Tensor:
    """The transposed matrix, as a view; a vector or number as it is."""
    if tensor_argument("t", input).ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return _t(input)


def _dim_list(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """The view with dimensions `source` moved to `destination`, and the others in their order."""
    ndim = tensor_argument("movedim", input).ndim
    given = _dim_list(source), _dim_list(destination)
    if len(given[0]) != len(given[1]):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(given[0])} dims) should contain the "
            "same "
            f"number of dims as destination ({list(given[1])} dims)"
        )
    places = [tuple([check_dim(d, ndim) for d in dims]) for dims in given]
    for name, dims, found in zip(("source", "destination"), given, places, strict=True):
        if len(set(found)) != len(found):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(dims)})")
    if not ndim:
        return TENSORS.alias(input)
    moved = dict(zip(places[1], places[0], strict=True))
    others = iter([d for d in range(ndim) if d not in places[0]])
    return _permute(input, dims=tuple([moved[k] if k in moved else next(others) for k in range(ndim)]))


moveaxis = movedim


def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions swapped, and conjugated if complex."""
    if not input.ndim:
        return _same_number(input, "adjoint()")
    if input.ndim < 2:
        raise RuntimeError(
            f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor."
        )
    return conj(transpose(input, -2, -1))


def _reversed(self: Tensor) -> Tensor:
    """The dimensions in reversed order; for matrices only, elsewhere deprecated."""
    if self.ndim != 2:
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and "
            "it "
            "will throw an error in a future release. Consider `x.mT` to transpose batches of matrices or "
            "`x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor."
            if self.ndim
            else "Tensor.T is deprecated on 0-D tensors. This function is the identity in these cases.",
            UserWarning,
            stacklevel=2,
        )
    return _permute(self, dims=tuple(range(self.ndim))[::-1])


def _same_number(self: Tensor, told: str) -> Tensor:
    warnings.warn(f"{told} is deprecated on 0-D tensors. Consider using x.conj().", UserWarning, stacklevel=3)
    return self


def _matrix_transpose(self: Tensor) -> Tensor:
    """The last two dimensions swapped."""
    if not self.ndim:
        warnings.warn(
            "Tensor.mT is deprecated on 0-D tensors. This function is the identity in these cases.",
            UserWarning,
            stacklevel=2,
        )
        return self
    if self.ndim < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
    return transpose(self, -2, -1)


def _matrix_adjoint(self: Tensor) -> Tensor:
    """The last two dimensions swapped, and conjugated if complex."""
    if not self.ndim:
        return _same_number(self, "Tensor.mH")
    if self.ndim < 2:
        raise RuntimeError(f"tensor.mH is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
    return adjoint(self)


def _hermitian(self: Tensor) -> Tensor:
    """The transposed matrix, conjugated if complex."""
    if not self.ndim:
        return _same_number(self, "Tensor.H")
    if self.ndim != 2:
        more = " For batches of matrices, consider using tensor.mH" if self.ndim > 2 else ""
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.{more}")
    return adjoint(self)


def _permute_method(self: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """``x.permute(1, 0)`` or ``x.permute((1, 0))``; see `torch.permute`."""
    return permute(self, spelled_out("permute", "dims", order if dims is None else (dims,)))


METHODS = {
    "adjoint": adjoint,
    "moveaxis": movedim,
    "movedim": movedim,
    "permute": _permute_method,
    "swapaxes": transpose,
    "swapdims": transpose,
    "t": t,
    "transpose": transpose,
}
PROPERTIES = {"H": _hermitian, "T": _reversed, "mH": _matrix_adjoint, "mT": _matrix_transpose}
INPLACE: dict[str, Any] = {}
