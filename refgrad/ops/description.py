"""What a tensor or a dtype is: questions that compute nothing."""

from __future__ import annotations

from typing import Any

from refgrad import dtypes
from refgrad.devices import MODULES
from refgrad.dtypes import dtype
from refgrad.ops.arguments import dtype_argument, reject, tensor_argument, type_name
from refgrad.tensor import Tensor
from refgrad.tensor import result_type as result_type_of

__all__ = [
    "can_cast",
    "get_device",
    "is_complex",
    "is_conj",
    "is_floating_point",
    "is_nonzero",
    "is_same_size",
    "is_signed",
    "is_tensor",
    "numel",
    "promote_types",
    "resolve_conj",
    "resolve_neg",
    "result_type",
]


# Tensors


def is_tensor(obj: object) -> bool:
    """Whether an object is a tensor."""
    return isinstance(obj, Tensor)


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    return tensor_argument("is_complex", input).is_complex()


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a real floating point one."""
    return tensor_argument("is_floating_point", input).is_floating_point()


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative values."""
    return tensor_argument("is_signed", input).is_signed()


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero; RuntimeError for none or several."""
    return bool(tensor_argument("is_nonzero", input))


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    shape = tensor_argument("is_same_size", input)._data.shape
    return bool(shape == tensor_argument("is_same_size", other, "other", 2)._data.shape)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return tensor_argument("numel", input).numel()


def get_device(input: Tensor) -> int:
    """The number of the GPU that the tensor is on; -1 for the CPU."""
    index = tensor_argument("get_device", input).device.index
    return -1 if index is None else index


def data_ptr(self: Tensor) -> int:
    """Where in memory the first element is, in bytes; 0 where there is none."""
    return MODULES[type(self._data)].address(self._data) if self._data.size else 0


# Conjugation and negation are computed at once here: there is nothing left to resolve.


def is_conj(input: Tensor) -> bool:
    """Whether a conjugation is still to be computed: never, unlike torch's."""
    tensor_argument("is_conj", input)
    return False


def is_neg(self: Tensor) -> bool:
    """Whether a negation is still to be computed: never, unlike torch's."""
    return False


def resolve_conj(input: Tensor) -> Tensor:
    """The tensor with its conjugation computed: the tensor itself."""
    return tensor_argument("resolve_conj", input)


def resolve_neg(input: Tensor) -> Tensor:
    """The tensor with its negation computed: the tensor itself."""
    return tensor_argument("resolve_neg", input)


# Dtypes


def _required(function: str, value: Any, name: str, position: int) -> dtype:
    found = dtype_argument(function, value, name, position)
    if found is None:
        reject(function, name, "torch.dtype", value, position)
    return found


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether torch casts one dtype to another on its own: to the same or a later category."""
    first, second = _required("can_cast", from_, "from_", 1), _required("can_cast", to, "to", 2)
    return first.category <= second.category


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that holds both, by torch's lattice."""
    first, second = _required("promote_types", type1, "type1", 1), _required("promote_types", type2, "type2", 2)
    return dtypes.promote_types(first, second)


def result_type(tensor: Any, other: Any) -> dtype:
    """The dtype in which two operands, tensors or Python numbers, are computed."""
    for value in (tensor, other):
        if not isinstance(value, (Tensor, int, float, complex)):
            raise TypeError(
                f"result_type() received an invalid combination of arguments - got ({type_name(tensor)}, "
                f"{type_name(other)}), but expected tensors and Python numbers"
            )
    return result_type_of(tensor, other)


METHODS = {
    "data_ptr": data_ptr,
    "get_device": get_device,
    "is_conj": is_conj,
    "is_neg": is_neg,
    "is_nonzero": is_nonzero,
    "is_same_size": is_same_size,
    "resolve_conj": resolve_conj,
    "resolve_neg": resolve_neg,
}
PROPERTIES = {"is_cpu": lambda self: self.device.type == "cpu"}
