"""What public functions accept: tensors, sizes one by one or as a sequence, dimensions to reduce."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from refgrad.dtypes import FLOATING, SCALAR_TYPE, dtype
from refgrad.modes import is_grad_enabled
from refgrad.tensor import Tensor, check_dims

WHOLE: Any = object()
"""The default of `dim` where torch tells "no dim at all" from ``dim=None``."""


def tensor_argument(function: str, value: Any, name: str = "input", position: int = 1) -> Tensor:
    """`value` if it is a tensor, else torch's TypeError."""
    if not isinstance(value, Tensor):
        found = type(value).__name__
        raise TypeError(f"{function}(): argument '{name}' (position {position}) must be Tensor, not {found}")
    return value


def integer(function: str, name: str, value: Any) -> int:
    """`value` as an int: integers and integer tensors of one element; TypeError for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{function}(): argument '{name}' must be int, not {type(value).__name__}") from None


def integers(function: str, name: str, given: Any) -> tuple[int, ...]:
    """Integers from one integer or a sequence of them; TypeError for anything else."""
    if isinstance(given, (str, bytes)) or not isinstance(given, (Iterable, int)):
        raise TypeError(f"{function}(): argument '{name}' must be tuple of ints, not {type(given).__name__}")
    if isinstance(given, int) or (isinstance(given, Tensor) and not given.ndim):
        given = (given,)
    return tuple([integer(function, name, n) for n in given])


def spelled_out(function: str, name: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    """Integers given one by one, ``x.view(2, 3)``, or as one sequence, ``x.view((2, 3))``."""
    if not given:
        raise TypeError(f'{function}() missing 1 required positional arguments: "{name}"')
    return integers(function, name, given[0] if len(given) == 1 else given)


def reduced_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """Distinct dimensions counted from the front: all of them for None and (); none of a 0-dim tensor."""
    if isinstance(dim, str):
        raise TypeError(f"argument 'dim' must be int or tuple of ints, not str ({dim!r}): names are not supported")
    found = check_dims(dim, ndim)
    return found if ndim else ()


def differentiable_dtype(input: Tensor, wanted: dtype | None) -> None:
    """Raise torch's error for a `dtype` argument through which no gradient can go back."""
    if wanted is not None and wanted.category < FLOATING and input.requires_grad and is_grad_enabled():
        raise RuntimeError(f"Autograd not support dtype: {SCALAR_TYPE[wanted.name]}")
