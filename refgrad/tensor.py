"""The Tensor: an array, its place in the graph, and its state.

Operators and methods that compute are attached by `refgrad.ops`; this file holds state only.
"""

from __future__ import annotations

import operator
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from refgrad import dtypes
from refgrad.counters import UNCOUNTED, Counter, fresh
from refgrad.devices import CPU, MODULES, Array, device
from refgrad.dtypes import FROM_NUMPY, dtype
from refgrad.graph import NO_EDGE, AccumulateGrad, Edge, HookDict, Node, RemovableHandle
from refgrad.layout import strides_of
from refgrad.modes import local
from refgrad.mutation import spare
from refgrad.saved import note_detached
from refgrad.views import View

_new = object.__new__


class Size(tuple[int, ...]):
    """A shape; prints as ``torch.Size([2, 3])``."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        n = 1
        for d in self:
            n *= d
        return n

    def __new__(cls, *sizes: Iterable[Any]) -> Size:
        if len(sizes) > 1:
            raise TypeError(f"tuple expected at most 1 argument, got {len(sizes)}")
        found = []
        for k, n in enumerate(sizes[0] if sizes else ()):
            try:
                found.append(n if isinstance(n, np.integer) else operator.index(n))
            except TypeError:
                raise TypeError(
                    f"torch.Size() takes an iterable of 'int' (item {k} is '{type(n).__name__}')"
                ) from None
        return tuple.__new__(cls, found)

    def __repr__(self) -> str:
        return f"torch.Size({[int(n) for n in self]})"

    __str__ = __repr__

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, tuple):
            raise TypeError(f"can only concatenate tuple (not {type(other).__name__}) to torch.Size")
        return Size((*self, *other))

    def __radd__(self, other: Any) -> Any:
        return Size((*other, *self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times: Any) -> Any:
        if not hasattr(times, "__index__"):
            raise TypeError(f"can't multiply sequence by non-int of type '{type(times).__name__}'")
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return Size(found) if isinstance(key, slice) else found


_new_tuple = tuple.__new__  # what a shape needs: it is known to hold ints


def wrap(data: Array) -> Tensor:
    """A tensor that owns `data` and has no history."""
    t = _new(Tensor)
    t._data = data
    t._counter = fresh()
    return t


class _ReadOnly(property):
    """An attribute that nobody can set, which torch words in its own way."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(f"attribute '{self.name}' of 'torch._C.TensorBase' objects is not writable")


class Tensor:
    """An n-dimensional array that records what is computed from it.

    Instances get only `_data` and `_counter` when made; everything else has a class-level
    default, so that results of operations stay cheap.
    """

    _data: Array
    _counter: Counter  # counts writes; views and detached tensors share one
    _edge: Edge | None = None  # (grad_fn, output number) of a computed tensor; a view keeps its own
    _rg = False
    _grad: Tensor | None = None
    _grad_dtype: Any = ...  # NumPy dtype, or None for any; by default that of the tensor
    _view: View | None = None  # what a view looks into
    _inherits = False  # a view without an edge: it requires grad for its base's sake only
    _heirs: weakref.WeakValueDictionary[int, Tensor] | None = None  # the views that may inherit
    _accumulate: Any = None  # weak reference to the AccumulateGrad node of a leaf
    _hooks: HookDict | None = None  # hooks of a leaf
    _after: HookDict | None = None  # hooks of a leaf, called when its gradient was accumulated
    _retains = False
    _dual: Any = None  # (level, tangent) in forward mode

    if TYPE_CHECKING:  # what the families of ops attach

        def __getattr__(self, name: str) -> Any: ...

        def __add__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def __getitem__(self, key: Any) -> Tensor: ...

    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __new__(cls, *args: Any, device: Any = None) -> Tensor:
        """torch's legacy constructor: sizes, or data, as default-dtype tensor."""
        from refgrad.ops.creation import legacy

        made = legacy("new", args, dtypes.get_default_dtype(), device)
        if cls is Tensor:
            return made
        t = _new(cls)
        t._data, t._counter = made._data, made._counter
        return t

    # Description

    @_ReadOnly
    def shape(self) -> Size:
        return _new_tuple(Size, self._data.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        return _new_tuple(Size, self._data.shape) if dim is None else self._data.shape[self._own_dim("size", dim)]

    def _own_dim(self, function: str, dim: Any) -> int:
        """`dim` counted from the front; IndexError where there is none, TypeError for what is no int."""
        if isinstance(dim, bool) or not hasattr(dim, "__index__"):
            raise TypeError(f"{function}(): argument 'dim' (position 1) must be int, not {type(dim).__name__}")
        if not self._data.ndim:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        return check_dim(operator.index(dim), self._data.ndim)

    @_ReadOnly
    def ndim(self) -> int:
        return int(self._data.ndim)

    def dim(self) -> int:
        return int(self._data.ndim)

    def numel(self) -> int:
        return int(self._data.size)

    nelement = numel

    @property
    def dtype(self) -> dtype:
        return FROM_NUMPY[self._data.dtype]

    @_ReadOnly
    def device(self) -> device:
        return MODULES[type(self._data)].device_of(self._data)

    @_ReadOnly
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @_ReadOnly
    def layout(self) -> str:
        return "torch.strided"

    @_ReadOnly
    def itemsize(self) -> int:
        return int(self._data.itemsize)

    def element_size(self) -> int:
        return int(self._data.itemsize)

    @_ReadOnly
    def nbytes(self) -> int:
        return int(self._data.nbytes)

    def stride(self, dim: int | None = None) -> Any:
        """Steps between elements, counted in elements, as torch counts them."""
        strides = strides_of(self._data)
        return strides if dim is None else strides[self._own_dim("stride", dim)]

    def is_contiguous(self) -> bool:
        return bool(self._data.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        return self.dtype.is_signed

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("len() of a 0-d tensor")
        return int(self._data.shape[0])

    def __repr__(self, *, tensor_contents: None = None) -> str:
        from refgrad.printing import format_tensor

        grad_fn = self.grad_fn
        return format_tensor(
            MODULES[type(self._data)].to_host(self._data),
            self.dtype.name,
            default_dtype_name=dtypes.get_default_dtype().name,
            device=str(self.device),
            requires_grad=self._rg,
            grad_fn_name=type(grad_fn).__name__ if grad_fn is not None else None,
            tangent=None if local.modes.forward is None else local.modes.forward.tangent(self),
        )

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        if not self._data.ndim and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    # Values

    def item(self) -> Any:
        """The only element as a Python number."""
        if self._data.size != 1:
            raise RuntimeError(
                f"a Tensor with {self._data.size} elements cannot be converted to Scalar"
            )
        return self._data.item()

    def tolist(self) -> Any:
        return self._data.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """The values as a NumPy array that shares memory with this tensor.

        Raises RuntimeError for a tensor that requires grad and TypeError for one on a GPU,
        unless `force` is true.
        """
        _check_flag("numpy", "force", force)
        if not force:
            if self._rg and local.modes.grad_enabled:
                raise RuntimeError(
                    "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
                )
            if type(self._data) is not np.ndarray:
                raise TypeError(
                    f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to "
                    "copy the tensor to host memory first."
                )
        return MODULES[type(self._data)].to_host(self._data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        return np.array(array, dtype, copy=copy)  # `copy` false: ValueError where a copy is needed

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Tensor:
        """What NumPy's functions give for tensors: tensors without history; of truth values, as in torch, uint8."""
        return wrap(np.asarray(array, np.uint8) if array.dtype == np.bool_ else np.asarray(array))

    def __bool__(self) -> bool:
        if self._data.size != 1:
            if not self._data.size:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self._data.item())

    def _number(self, kind: str) -> Any:
        """The only element as a number for Python's conversions: a complex one must be real, for a C type `kind`."""
        if self._data.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        value = self._data.item()
        if kind and isinstance(value, complex):
            if value.imag:
                raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
            return value.real
        return value

    def _warn_of_scalar(self) -> None:
        if self._rg:
            warnings.warn(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
                "Consider using tensor.detach() first.",
                UserWarning,
                stacklevel=3,
            )

    def __float__(self) -> float:
        self._warn_of_scalar()
        return float(self._number("double"))

    def __int__(self) -> int:
        return int(self._number("int64_t"))

    def __index__(self) -> int:
        if self.dtype.category > dtypes.INTEGRAL or self._data.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._data.item())

    def __complex__(self) -> complex:
        self._warn_of_scalar()
        return complex(self._number(""))

    # The graph

    def _current_edge(self) -> Edge | None:
        """(grad_fn, output number); None for a leaf. That of a view follows writes into its memory."""
        return self._edge if self._view is None else self._view.current(self)

    @_ReadOnly
    def grad_fn(self) -> Node | None:
        """The node that computed this tensor; None for a leaf."""
        edge = self._current_edge()
        return None if edge is None else edge[0]

    @_ReadOnly
    def output_nr(self) -> int:
        edge = self._current_edge()
        return 0 if edge is None else edge[1]

    @_ReadOnly
    def _version(self) -> int:
        """How often the values were written in place."""
        if self._counter is UNCOUNTED:
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._counter[0]

    def is_inference(self) -> bool:
        """Whether it was made in inference mode, and so can never take part in a graph."""
        return self._counter is UNCOUNTED

    @_ReadOnly
    def is_leaf(self) -> bool:
        return self._current_edge() is None

    def _computed(self) -> bool:
        """Whether it has a node, be that of a view which does not follow what was written since."""
        return (self._edge if self._view is None else self._view.edge) is not None

    @property
    def requires_grad(self) -> bool:
        return self._rg

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise RuntimeError("requires_grad must be a bool")
        if self._computed():
            extra = "" if value else (
                " If you want to use a computed variable in a subgraph that doesn't require "
                "differentiation use var_no_grad = var.detach()."
            )
            if not value or not self._rg:
                raise RuntimeError(f"you can only change requires_grad flags of leaf variables.{extra}")
            raise RuntimeError("you can only change requires_grad flags of leaf variables.")
        if value and self.dtype.category < dtypes.FLOATING:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self._require_grad(value)

    @requires_grad.deleter
    def requires_grad(self) -> None:
        raise RuntimeError("requires_grad must be a bool")

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set whether operations on this leaf are recorded; returns the tensor itself."""
        _check_flag("requires_grad_", "requires_grad", requires_grad, " (position 1)")
        if self._computed():
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a "
                    "computed variable in a subgraph that doesn't require differentiation use "
                    "var_no_grad = var.detach()."
                )
            return self
        if requires_grad and self.dtype.category < dtypes.FLOATING:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        self._require_grad(bool(requires_grad))
        return self

    def _require_grad(self, value: bool) -> None:
        """Set the flag; views without an edge of their own require grad for this tensor's sake."""
        if value and self._counter is UNCOUNTED and not local.modes.inference:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."
            )
        self._inherits = not value and self._view is not None and self._view.base._rg
        self._rg = value or self._inherits
        for heir in list(self._heirs.values()) if self._heirs is not None else ():
            assert heir._view is not None
            if heir._view.edge is None and (heir._inherits or not heir._rg):
                heir._rg = heir._inherits = value

    def _inherit(self) -> None:
        """Let a view without an edge require grad as its base does, now and later."""
        assert self._view is not None
        base = self._view.base
        if base._heirs is None:
            base._heirs = weakref.WeakValueDictionary()
        base._heirs[id(self)] = self
        if base._rg:
            self._rg = self._inherits = True

    def _place(self, edge: Edge) -> None:
        """Make this the output of a node."""
        if self._view is None:
            self._edge = edge
        else:
            self._view.edge = edge
        self._rg = True

    def _gradient_edge(self) -> Edge:
        """Where a gradient of this tensor goes: (node, output number), or no edge at all."""
        edge = self._edge if self._view is None else self._view.current(self)
        if edge is not None:
            return edge
        if not self._rg or self._inherits:
            return NO_EDGE
        node = self._accumulate() if self._accumulate is not None else None
        if node is None:
            node = AccumulateGrad(self)
            self._accumulate = weakref.ref(node)
        return (node, 0)

    @property
    def grad(self) -> Tensor | None:
        """What backward accumulated here; None before."""
        if self._grad is None and not self._retains and self._computed():
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
                "attribute won't be populated during autograd.backward(). If you indeed want the .grad "
                "field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. "
                "If you access the non-leaf Tensor by mistake, make sure you access the leaf Tensor "
                "instead. See github.com/pytorch/pytorch/pull/30531 for more informations.",
                UserWarning,
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            self._check_grad(value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def _check_grad(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(
                f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
            )
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        wanted = self._gradient_dtype()
        if wanted is not None and value._data.dtype != wanted:
            found = _type_name(value._data.dtype).lower()
            raise RuntimeError(
                f"attempting to assign a gradient with dtype '{found}' to a tensor with grad_dtype "
                f"'{_type_name(wanted)}'. The gradient must match the tensor's grad_dtype (defaults to the tensor's "
                "dtype)."
            )
        if value.device != self.device:
            raise RuntimeError(
                f"attempting to assign a gradient located on device '{value.device}' to a tensor located on "
                f"device '{self.device}'. Please ensure that the gradient and the tensor are on the same device"
            )
        if value._data.shape != self._data.shape:
            raise RuntimeError(
                f"attempting to assign a gradient of size '{list(value._data.shape)}' to a tensor of size "
                f"'{list(self._data.shape)}'. Please ensure that the gradient and the tensor are the same size"
            )

    def _gradient_dtype(self) -> Any:
        """The NumPy dtype that gradients of this leaf are cast to; None for any."""
        return self._data.dtype if self._grad_dtype is ... else self._grad_dtype

    @property
    def grad_dtype(self) -> Any:
        """The dtype that `.grad` of this leaf has, by default its own; None allows any (torch 2.10 and later)."""
        if self._current_edge() is not None:
            raise RuntimeError("grad_dtype can only be accessed on leaf tensors.")
        found = self._gradient_dtype()
        return None if found is None else FROM_NUMPY[found]

    @grad_dtype.setter
    def grad_dtype(self, value: Any) -> None:
        if value is not None and not isinstance(value, dtypes.dtype):
            raise RuntimeError(f"grad_dtype must be a torch.dtype or None, but got {type(value).__name__}")
        if self._current_edge() is not None:
            raise RuntimeError("grad_dtype can only be set on leaf tensors.")
        if value is not None and self._grad is not None and self._grad.dtype is not value:
            found, wanted = (_type_name(d.numpy) for d in (self._grad.dtype, value))
            raise RuntimeError(
                f"Cannot set grad_dtype to '{wanted}' because there is already a gradient with dtype "
                f"'{found.lower()}'. Please clear the gradient (.grad = None) before changing grad_dtype, or ensure "
                "the new grad_dtype matches the existing gradient's dtype."
            )
        self._grad_dtype = None if value is None else value.numpy

    def retain_grad(self) -> None:
        """Keep `.grad` of a computed tensor too; does nothing for a leaf."""
        if not self._rg:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._retains or not self._computed():
            return
        node, number = self._gradient_edge()
        assert node is not None
        node.ensure_hooks().retained[number] = weakref.ref(self)
        self._retains = True

    @property
    def retains_grad(self) -> bool:
        return self._retains

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(gradient)` whenever the gradient of this tensor is complete.

        A tensor that it returns replaces the gradient. RuntimeError when no gradient is required.
        """
        if not self._rg:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        edge = self._current_edge()
        if edge is None:
            if self._hooks is None:
                self._hooks = HookDict()
            return RemovableHandle(self._hooks, hook)
        node, number = edge
        assert node is not None
        return RemovableHandle(node.ensure_hooks().tensor_hooks.setdefault(number, HookDict()), hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `hook(tensor)` whenever a gradient was accumulated into `.grad` of this leaf.

        RuntimeError for a tensor that does not require grad and for one that is no leaf.
        """
        if not self._rg:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self._current_edge() is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._after is None:
            self._after = HookDict()
        return RemovableHandle(self._after, hook)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Accumulate the gradient of this tensor into the leaves; see `autograd.backward`."""
        from refgrad.autograd import backward

        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    # Same data, other state

    def _alias(self) -> Tensor:
        t = _new(Tensor)
        t._data = self._data
        return t

    def detach(self) -> Tensor:
        """The same data without history; writes through either are noticed by the other."""
        t = self._alias()
        t._counter = self._counter
        return t

    def detach_(self) -> Tensor:
        """Cut this tensor itself off its history; in inference mode that stays as it is."""
        spare(self)  # torch counts it among the writes
        if local.modes.inference:
            return self
        if self._view is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
                "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
                "detach_() cannot be called on these gradients. To fix this error, please refer to the "
                "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
            )
        if self._edge is not None:
            node, number = self._edge
            assert node is not None
            if node._hooks is not None:
                self._hooks = node._hooks.tensor_hooks.get(number)
            note_detached(self, self._edge)
        self._edge = None
        self._require_grad(False)
        self._dual = None
        return self

    @property
    def data(self) -> Tensor:
        """The same data without history, in which writes go unnoticed."""
        t = self._alias()
        t._counter = UNCOUNTED if self._counter is UNCOUNTED else [0]
        return t

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._rg and value.dtype.category < dtypes.FLOATING:
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point or complex dtype"
            )
        if value._data.dtype != self._data.dtype:
            self._accumulate = None  # it takes gradients of the old dtype
        self._data = value._data

    @data.deleter
    def data(self) -> None:
        raise RuntimeError("Deleting tensor data is not allowed. Delete tensor instead!")

    def _is_view(self) -> bool:
        return self._view is not None

    @_ReadOnly
    def _base(self) -> Tensor | None:
        """The tensor at the root of a view; None for any other."""
        return None if self._view is None else self._view.base


def _check_flag(function: str, name: str, value: Any, where: str = "") -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{function}(): argument '{name}'{where} must be bool, not {type(value).__name__}")


def _type_name(d: Any) -> str:
    return dtypes.SCALAR_TYPE[FROM_NUMPY[d].name]


def check_dim(dim: int, ndim: int) -> int:
    """`dim` counted from the front; IndexError when out of range, as torch words it."""
    size = ndim or 1
    if not -size <= dim < size:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})"
        )
    return dim % size


def check_dims(dims: int | Iterable[int] | None, ndim: int) -> tuple[int, ...]:
    """`dims` as distinct dimensions counted from the front; None and () mean all of them."""
    if dims is None:
        return tuple(range(ndim))
    if isinstance(dims, int):
        dims = (dims,)
    found = tuple(check_dim(d, ndim) for d in dims)
    if len(set(found)) != len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return found or tuple(range(ndim))


def result_type(*operands: Any) -> dtype:
    """torch's result dtype of tensors and Python numbers: tensors with dimensions first."""
    groups: list[dtype | None] = [None, None, None]
    for x in operands:
        if isinstance(x, Tensor):
            d, rank = FROM_NUMPY[x._data.dtype], 0 if x._data.ndim else 1
        elif x is None:
            continue
        else:
            d, rank = dtypes.of_scalar(x), 2
        before = groups[rank]
        groups[rank] = d if before is None else dtypes.promote_types(before, d)
    return dtypes.result_type_of(*groups)


__all__ = ["CPU", "Size", "Tensor", "check_dim", "check_dims", "result_type", "wrap"]
