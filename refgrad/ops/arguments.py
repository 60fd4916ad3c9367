"""What public functions accept: tensors, numbers, dtypes, sizes one by one or as a sequence, dimensions to reduce."""

from __future__ import annotations

import operator
from typing import Any, NoReturn

import numpy as np

from refgrad import dtypes
from refgrad.devices import as_device, device
from refgrad.dtypes import FLOATING, SCALAR_TYPE, dtype
from refgrad.modes import is_grad_enabled
from refgrad.tensor import Size, Tensor, check_dims

WHOLE: Any = object()
"""The default of `dim` where torch tells "no dim at all" from ``dim=None``."""


def type_name(value: Any) -> str:
    """The type of a value as torch's errors call it."""
    kind = type(value)
    if kind in (dtype, device, Size):
        return f"torch.{kind.__name__}"
    return f"{kind.__module__}.{kind.__name__}" if kind.__module__.startswith("numpy") else kind.__name__


def reject(function: str, name: str, wanted: str, value: Any, position: int | None = None) -> NoReturn:
    """Raise torch's TypeError for an argument of another type than wanted."""
    where = "" if position is None else f" (position {position})"
    raise TypeError(f"{function}(): argument '{name}'{where} must be {wanted}, not {type_name(value)}")


def tensor_argument(function: str, value: Any, name: str = "input", position: int = 1) -> Tensor:
    """`value` if it is a tensor, else torch's TypeError."""
    if not isinstance(value, Tensor):
        reject(function, name, "Tensor", value, position)
    return value


def number(function: str, name: str, value: Any, position: int | None = None) -> Any:
    """A Python number from a number, or from a tensor of no dimensions that does not require grad; else TypeError."""
    if isinstance(value, Tensor):
        if value._data.ndim or value._rg:
            reject(function, name, "Number", value, position)
        return value.item()
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (int, float, complex)):
        reject(function, name, "Number", value, position)
    return value


def real(function: str, name: str, value: Any, position: int | None = None) -> float:
    """A real number, as a float, from what `number` accepts; TypeError for anything else."""
    scalar = isinstance(value, Tensor) and not value._data.ndim and not value._rg and not value.is_complex()
    if not scalar and (isinstance(value, complex) or not isinstance(value, (int, float, np.integer, np.floating))):
        reject(function, name, "float", value, position)
    return float(value)


def flag(function: str, name: str, value: Any, position: int | None = None) -> bool:
    """`value` if it is a bool, else torch's TypeError."""
    if value is not True and value is not False:
        reject(function, name, "bool", value, position)
    return value


def dtype_argument(function: str, value: Any, name: str = "dtype", position: int | None = None) -> dtype | None:
    """A dtype from a dtype or from one of Python's number types; None for None; TypeError for anything else."""
    if value is None or type(value) is dtype:
        return value
    found = dtypes.OF_PYTHON.get(value) if isinstance(value, type) else None
    if found is None:
        reject(function, name, "torch.dtype", value, position)
    return found


def as_index(value: Any) -> int | None:
    """`value` as an int where torch takes it for one: integers and integer tensors of one element, no bools."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, Tensor) and value.dtype is dtypes.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def integer(function: str, name: str, value: Any, position: int | None = None) -> int:
    """`value` as an int: integers and integer tensors of no dimensions; TypeError for anything else."""
    found = as_index(value)
    if found is None or (isinstance(value, Tensor) and value._data.ndim):
        reject(function, name, "int", value, position)
    return found


def integers(function: str, name: str, given: Any, position: int | None = None) -> tuple[int, ...]:
    """Integers from one integer, or from a sequence of them; TypeError for anything else.

    torch looks at the first one to tell what it was given: a bool may follow, but not lead.
    """
    if as_index(given) is not None:
        given = (given,)
    elif not isinstance(given, (tuple, list, range)) and not (isinstance(given, Tensor) and given._data.ndim):
        reject(function, name, "tuple of ints", given, position)
    found = [int(v) if v is True or v is False else as_index(v) for v in given]
    if None not in found and (not found or given[0] is not True and given[0] is not False):
        return tuple(found)  # type: ignore[arg-type]
    k = 0 if given[0] is True or given[0] is False else found.index(None)
    if not k:
        where = "" if position is None else f" (position {position})"
        raise TypeError(
            f"{function}(): argument '{name}'{where} must be tuple of ints, but found element of type "
            f"{type_name(given[0])} at pos 0"
        )
    raise TypeError(
        f"{function}(): argument '{name}' failed to unpack the object at pos {k + 1} with error "
        f'"type must be tuple of ints,but got {type_name(given[k])}"'
    )


def spelled_out(function: str, name: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    """Integers given one by one, ``x.view(2, 3)``, or as one sequence, ``x.view((2, 3))``."""
    if not given:
        raise TypeError(f'{function}() missing 1 required positional arguments: "{name}"')
    if len(given) == 1:
        return integers(function, name, given[0], 1)
    if isinstance(given[0], (tuple, list)):
        raise TypeError(f"{function}() takes 1 positional argument but {len(given)} were given")
    if as_index(given[0]) is None:
        reject(function, name, "tuple of ints", given[0], 1)
    return integers(function, name, given)


def device_argument(function: str, value: Any) -> device:
    """A device from what users write, None meaning the CPU; TypeError for anything else."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int, device))):
        reject(function, "device", "torch.device", value)
    return as_device(value)


def reduced_dims(function: str, dim: Any, ndim: int) -> tuple[int, ...]:
    """Distinct dimensions counted from the front: all of them for None and (); none of a 0-dim tensor."""
    if dim is not None and type(dim) is not int:
        dim = integers(function, "dim", dim)
    found = check_dims(dim, ndim)
    return found if ndim else ()


def differentiable_dtype(function: str, input: Tensor, wanted: Any) -> dtype | None:
    """The dtype that a `dtype` argument names; torch's error where no gradient can go back through it."""
    found = dtype_argument(function, wanted)
    if found is not None and found.category < FLOATING and input.requires_grad and is_grad_enabled():
        raise RuntimeError(f"Autograd not support dtype: {SCALAR_TYPE[found.name]}")
    return found
