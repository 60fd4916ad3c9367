"""One record per op, and how a call of an op is computed and recorded.

An `Op` holds the forward kernel and the derivative formulas. A formula takes the namespace to
compute in (the very same ops, on arrays or on tensors), the gradient of the output, and then
what it asks for by the names of its parameters; exactly that is saved:

    result      the output (`results`: all of them, for several outputs)
    result1     the second output
    <input>     an input, by its name in `inputs`; `<input>_shape`, `<input>_dtype` save no data
    tensors     all inputs of an op that takes a sequence (`shapes`, `dtypes` save no data)
    <param>     a parameter of the call

Formulas run on arrays in a plain backward, and on tensors under `create_graph`: each derivative
is written once and can be differentiated again.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np

from refgrad import dtypes
from refgrad.anomaly import note_origin
from refgrad.counters import fresh
from refgrad.devices import MODULES, NUMPY, Array, Kernel
from refgrad.dtypes import FROM_NUMPY, dtype
from refgrad.graph import FREED, NO_EDGE, Edge, Node, modified_in_place
from refgrad.layout import arranged, laid_out_as
from refgrad.modes import anomaly, local
from refgrad.saved import (
    HAS_HOOKS,
    NOTHING_SAVED,
    PACKED,
    SAVED_AND_FREED,
    Packed,
    Pair,
    SavedTensor,
    check_attached,
)
from refgrad.tensor import Tensor, result_type, wrap
from refgrad.views import short_name, view_of

Formula = Callable[..., Any]
OPS: dict[str, Op] = {}
_new = object.__new__
_NUMBERS = (bool, int, float, complex)
_PLAIN = (dtypes.float64.numpy, dtypes.float32.numpy)


# How a formula's parameter is found among (inputs, params, outputs) of a call. Tensors are
# marked, since their versions are checked.
_SEQUENCE_SOURCES: dict[str, Callable[..., Any]] = {
    "tensors": lambda inputs, params, outputs: inputs,
    "shapes": lambda inputs, params, outputs: tuple([t._data.shape for t in inputs]),
    "dtypes": lambda inputs, params, outputs: tuple([t.dtype for t in inputs]),
    "result": lambda inputs, params, outputs: outputs[0].detach(),
    "result1": lambda inputs, params, outputs: outputs[1].detach(),
    "results": lambda inputs, params, outputs: tuple([t.detach() for t in outputs]),
}


def value_source(op: Op, name: str) -> Callable[..., Any]:
    if name in op.inputs:
        k = op.inputs.index(name)
        return lambda inputs, params, outputs: inputs[k]
    if name in _SEQUENCE_SOURCES:
        return _SEQUENCE_SOURCES[name]
    stem, _, what = name.rpartition("_")
    if what in ("shape", "dtype") and stem in op.inputs:
        k = op.inputs.index(stem)
        if what == "shape":
            return lambda inputs, params, outputs: inputs[k]._data.shape
        return lambda inputs, params, outputs: inputs[k].dtype
    return lambda inputs, params, outputs: params[name]


def _version(value: Any) -> Any:
    """The version of a saved tensor (a tuple for several); None for anything else."""
    if isinstance(value, Tensor):
        return value._counter[0]
    if type(value) is tuple and value and isinstance(value[0], Tensor):
        return tuple([t._counter[0] for t in value])
    return None


class Plan:
    """What one op saves and computes, for one choice of inputs that require grad.

    `sources` collects the saved values in order; `formulas` holds for each wanted gradient the
    number of the edge, the formula, and how to pick its arguments from the saved values.
    """

    __slots__ = ("formulas", "freed", "inputs", "joint", "names", "only_inputs", "ordered", "results", "sources")

    def __init__(self, op: Op, mask: int) -> None:
        chosen: list[tuple[int, Formula]]
        self.joint = callable(op.vjp)
        if callable(op.vjp):
            chosen = [(-1, op.vjp)]
        else:
            formulas = op.vjp or {}
            chosen = [
                (edge, formulas[op.inputs[k]]) for edge, k in enumerate(op.connected) if mask >> k & 1
            ]
        wanted = [tuple(inspect.signature(f).parameters)[2:] for _, f in chosen]
        self.names = tuple(dict.fromkeys(name for names in wanted for name in names))
        self.sources = tuple(value_source(op, name) for name in self.names)
        # As torch packs and unpacks: inputs, then outputs, by name.
        self.ordered = sorted(range(len(self.names)), key=lambda k: (self.names[k].startswith("result"), self.names[k]))
        self.results = tuple(k for k, name in enumerate(self.names) if name in ("result", "results"))
        self.inputs = tuple(op.inputs.index(name) for name in self.names if name in op.inputs)
        self.only_inputs = len(self.inputs) == len(self.names)
        # A number among the inputs counts as a saved tensor, as torch makes one of it.
        kept = [name for name in self.names if name.startswith("result") or name == "tensors"]
        self.freed = bool(self.inputs or kept) or op.saves_params
        self.formulas = tuple((k, f, self._picker(names)) for (k, f), names in zip(chosen, wanted, strict=True))

    def _picker(self, names: tuple[str, ...]) -> Callable[[list[Any]], Any] | None:
        if names == self.names:
            return None
        where = [self.names.index(name) for name in names]
        if len(where) > 1:
            return itemgetter(*where)
        if where:
            only = where[0]
            return lambda values: (values[only],)
        return lambda values: ()


class OpNode(Node):
    """A recorded call of an op. A subclass for each node name, as torch has (`MulBackward0`)."""

    __slots__ = ("compute", "plan", "saved", "versions")
    op: ClassVar[Op]

    plan: Plan
    saved: tuple[Any, ...] | None  # what the formulas need; None once freed
    versions: tuple[Any, ...]  # of what is saved; None for what is not a tensor
    compute: dtype | None  # the dtype computed in, where inputs were promoted

    def _apply(self, names: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        plan = self.plan
        if self.saved:
            values = self._arrays() if raw else self._tensors()
            if self.op.gradient_refuses and not raw and local.modes.forward is not None:
                local.modes.forward.refuse(self.op.gradient_refuses, (gradient, *values))
            if self.compute is not None:
                values = self._promoted(values, names)
        elif self.saved is None:
            raise RuntimeError(FREED)
        else:
            values = []
        if self.op.several and len(self._meta) == 1:
            gradient = [gradient]
        if plan.joint:
            return plan.formulas[0][1](names, gradient, *values)
        edges = self.next_functions
        if len(edges) == 1:
            return (plan.formulas[0][1](names, gradient, *values),) if plan.formulas else (None,)
        out: list[Any] = [None] * len(edges)
        for number, formula, pick in plan.formulas:
            if needed is None or needed[number]:
                out[number] = formula(names, gradient, *(values if pick is None else pick(values)))
        return out

    def _arrays(self) -> list[Any]:
        """The saved values with arrays for tensors; RuntimeError if one was modified since."""
        values = []
        check_attached(self, self.saved)  # type: ignore[arg-type]
        for k, (value, version) in enumerate(zip(self.saved, self.versions, strict=True)):  # type: ignore[arg-type]
            if version is None:
                values.append(value)
            elif version is PACKED:
                values.append(self._hooks.unpacked.pop(k))  # type: ignore[union-attr]
            elif type(version) is tuple:
                for t, v in zip(value, version, strict=True):
                    if t._counter[0] != v:
                        raise modified_in_place(t, v, self._producer(t))
                values.append([t._data for t in value])
            elif value._counter[0] == version:
                values.append(value._data)
            else:
                raise modified_in_place(value, version, self._producer(value))
        return values

    def _tensors(self) -> list[Any]:
        """The saved values with tensors in their place in the graph, to be differentiated again."""
        check_attached(self, self.saved or ())
        if self._hooks is None or not self._hooks.packed:
            return [self._tensor(k) for k in range(len(self.versions))]
        values: list[Any] = [None] * len(self.versions)
        for k in self.plan.ordered:
            values[k] = self._tensor(k)
        return values

    def _tensor(self, k: int) -> Any:
        """One saved value, with tensors in their place in the graph."""
        if self.saved is None:
            raise RuntimeError(FREED)
        value, version = self.saved[k], self.versions[k]
        if version is None:
            return value
        if version is PACKED:
            return self._unpacked(k)
        several = type(version) is tuple
        for t, v in zip(value, version, strict=True) if several else ((value, version),):
            if t._counter[0] != v:
                raise modified_in_place(t, v, self._producer(t))
        if k in self.plan.results:
            return [self._output(t, n) for n, t in enumerate(value)] if several else self._output(value, 0)
        return list(value) if several else value

    def _unpack(self) -> list[Array]:
        if self.saved is None or self._hooks is None or not self._hooks.packed:
            return []
        found: list[Array] = []
        for k in self.plan.ordered:
            if self.versions[k] is PACKED:
                value = self.saved[k]
                several = type(value) is tuple
                made = [_bare(p.restored()) for p in (value if several else (value,))]
                self._hooks.unpacked[k] = made if several else made[0]
                found += made
        return found

    def _undefined(self) -> None:
        if self.saved is None:
            raise RuntimeError(FREED)
        self._unpack()
        self._arrays()

    def _unpacked(self, k: int) -> Any:
        """A saved value that went through hooks, as they give it back: tensors in their place in the graph."""
        assert self.saved is not None
        value, results = self.saved[k], k in self.plan.results
        if type(value) is tuple:
            return [p.placed((self, number) if results else None) for number, p in enumerate(value)]
        return value.placed(self._own_place(0) if results else None)

    def _own_place(self, number: int) -> Edge:
        """Where an output of this node stands in the graph: at another node if it was written into a view."""
        reference = self._hooks.stands_for if self._hooks is not None else None
        node = None if reference is None else reference()
        return (self, number) if node is None else (node, 0)

    def _output(self, saved: Tensor, number: int) -> Tensor:
        """A saved output back in its place: it was saved without history, which would be a cycle."""
        t = saved.detach()
        t._dual = saved._dual
        if t._data.dtype.kind in "fc":
            t._place(self._own_place(number))
        return t

    def pack_inputs(self, hooks: Pair) -> None:
        """Let hooks replace all tensors that were saved, but outputs."""
        for k in self.plan.ordered:
            value, version = self.saved[k], self.versions[k]  # type: ignore[index]
            if version is None or self.plan.names[k].startswith("result"):
                continue
            if type(version) is tuple:
                self._put(k, tuple([Packed(t, hooks) for t in value]))
            else:
                self._put(k, Packed(value, hooks))

    def pack_outputs(self, hooks: Pair, outputs: Sequence[Tensor]) -> None:
        """Let hooks replace outputs that were saved: they are given them as the user will see them."""
        for k, name in enumerate(self.plan.names):
            if name == "results":
                self._put(k, tuple([Packed(t, hooks, output=True) for t in outputs]))
            elif name in ("result", "result1"):
                self._put(k, Packed(outputs[name == "result1"], hooks, output=True))

    def pack_one(self, k: int | None, hooks: Pair) -> None:
        """Let hooks replace one saved value that is a tensor, or a number that stands for one."""
        if k is None:
            raise RuntimeError(NOTHING_SAVED)
        if self.saved is None:
            raise RuntimeError(SAVED_AND_FREED)
        if self.versions[k] is PACKED:
            raise RuntimeError(HAS_HOOKS)
        value = self.saved[k]
        if isinstance(value, Tensor):
            packed = Packed.of_saved(value, hooks, output=k in self.plan.results)
        else:
            packed = Packed(wrap(NUMPY.asarray(value)), hooks, number=True)  # torch makes a tensor of the number
        self._put(k, packed)

    def _put(self, k: int, packed: Any) -> None:
        assert self.saved is not None
        self.saved = (*self.saved[:k], packed, *self.saved[k + 1 :])
        self.versions = (*self.versions[:k], PACKED, *self.versions[k + 1 :])
        self.ensure_hooks().packed = True

    def __getattr__(self, name: str) -> Any:
        """Saved values: `_saved_self` gives one, `_raw_saved_self` a handle on which hooks can be registered."""
        raw = name.startswith("_raw_saved_")
        saved = name.removeprefix("_raw" if raw else "").removeprefix("_saved_")
        if name.startswith(("_raw_saved_", "_saved_")) and saved in self.op.plans[max(self.op.wanting, 0)].names:
            k = self.plan.names.index(saved) if saved in self.plan.names else None
            if k is None:  # there is something of this name, but not here
                return SavedTensor(self, None) if raw else None
            if raw and (saved in self.op.inputs or type(self.versions[k]) is int or self.versions[k] is PACKED):
                return SavedTensor(self, k)
            if not raw:
                found = self._tensor(k)  # torch makes a tensor of a number
                return wrap(NUMPY.asarray(found)) if saved in self.op.inputs and type(found) in _NUMBERS else found
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _producer(self, saved: Tensor) -> str | None:
        """How torch's error names the op that made a saved tensor; None for a leaf."""
        assert self.saved is not None
        for k in self.plan.results:
            outputs = self.saved[k] if type(self.saved[k]) is tuple else (self.saved[k],)
            for number, t in enumerate(outputs):
                if t is saved:
                    return f"output {number} of {short_name(self)}"
        edge = saved._edge if saved._view is None else saved._view.edge
        if edge is None or edge[0] is None:
            return None
        return f"output {edge[1]} of {short_name(edge[0])}"

    def _promoted(self, values: list[Any], names: Any) -> list[Any]:
        """Saved operands as they meet a gradient in torch.

        torch saves operands as they were given and promotes in each step of a formula. Arrays do that
        too, but for 0-dim operands, which do not widen others in torch, and for integers.
        """
        for k, name in enumerate(self.plan.names):
            if name in self.op.promoted and self.versions[k] is not None:
                value = values[k]
                if not value.ndim or FROM_NUMPY[getattr(value, "_data", value).dtype].category < dtypes.FLOATING:
                    values[k] = names.cast(value, dtype=self.compute)
        return values

    def _release(self) -> None:
        if self.plan.freed:
            self.saved = None


class _Kernels(dict[type, Kernel]):
    """The kernel of an op for each type of array, bound when first asked for."""

    def __init__(self, forward: Kernel | str) -> None:
        self.forward = forward

    def __missing__(self, array: type) -> Kernel:
        module = MODULES.get(array)
        if module is None:
            raise TypeError(f"no array module serves {array.__name__}; expected a tensor on cpu or cuda")
        if isinstance(self.forward, str):
            kernel = module.guard(getattr(module, self.forward))
        else:
            kernel = module.bind(self.forward)
        self[array] = kernel
        return kernel


class _Plans(dict[int, Plan]):
    def __init__(self, op: Op) -> None:
        self.op = op

    def __missing__(self, mask: int) -> Plan:
        plan = self[mask] = Plan(self.op, mask)
        return plan


class _NodeClasses(dict[str, type[OpNode]]):
    def __init__(self, op: Op) -> None:
        self.op = op

    def __missing__(self, name: str) -> type[OpNode]:
        short = name.rpartition("::")[2]
        fields = {"__slots__": (), "op": self.op, "label": name, "gives_all": self.op.sequence}
        made = self[name] = type(short, (OpNode,), fields)
        return made


class Op:
    """The record of an op.

    `forward(xp, *arrays, **params)` computes an array, or a tuple of arrays where `several` is
    true; a string names an elementwise function of the array package. `vjp` maps an input to its
    formula, or is one formula that gives the gradients of all inputs at once; None marks an op
    that is not differentiable. Inputs without a formula (masks, indices) have no edge, as in torch.
    `node` is torch's node name, or a function of (inputs, params). `promote` is None, "same" (torch's
    type promotion over `promoted` inputs) or "float" (likewise, and integers become the default
    float); `number_in_single` marks ops that meet half precision with
    a number in single. `scalars` names parameters that take part in it. `check` sees the operands of every call
    that is not plain floats of one dtype, and raises for bad ones. `view` marks outputs that look
    into the first input. `sequence` marks an op whose inputs are a sequence of tensors.
    `differentiable` numbers the outputs that have gradients, where not all have. `jvp` tells how tangents follow
    from the formulas (see `refgrad.tangents`): "linear" for views, "elementwise" where operands are promoted or there
    is but one, and "transpose", which serves for all, unless told otherwise. Where torch gives another value in
    forward mode `jvp` is a formula of its own: it gets the namespace, and then tangents (`<input>_t`, None for
    a missing one) and values by their names.
    `gradient_refuses` is torch's name for the op's gradient where that has no derivative in forward mode.
    """

    def __init__(
        self,
        name: str,
        forward: Kernel | str,
        vjp: Mapping[str, Formula] | Formula | None = None,
        *,
        inputs: tuple[str, ...] = ("self",),
        node: str | Callable[[Any, Any], str] | None = None,
        promote: str | None = None,
        promoted: tuple[str, ...] | None = None,
        scalars: tuple[str, ...] = (),
        check: Callable[..., None] | None = None,
        elementwise: bool | None = None,
        number_in_single: bool = False,
        several: bool = False,
        view: bool = False,
        sequence: bool = False,
        differentiable: tuple[int, ...] | None = None,
        saves_params: bool = False,
        jvp: str | Formula | None = None,
        gradient_refuses: str | None = None,
    ) -> None:
        if name in OPS:
            raise ValueError(f"op {name!r} has a record already")
        self.name = name
        self.vjp = vjp
        self.inputs = inputs
        formulas = vjp if isinstance(vjp, Mapping) else ()
        self.connected = tuple([k for k, n in enumerate(inputs) if n in formulas])  # these have edges
        self.wanting = -1 if callable(vjp) else sum(1 << k for k in self.connected)
        self.promote = promote
        self.promoted = (promoted or inputs) if promote else ()
        self.elementwise = promote is not None if elementwise is None else elementwise
        self.number_in_single = number_in_single
        self.scalars = scalars
        self.check = check
        self.several = several
        self.view = view
        self.sequence = sequence
        self.differentiable = differentiable
        self.joint = callable(vjp)
        self.one_to_one = not (sequence or several) and not number_in_single
        self.saves_params = saves_params
        self.jvp = jvp or ("linear" if view else "elementwise" if self.elementwise else None)
        self.gradient_refuses = gradient_refuses
        camel = "".join(part.capitalize() for part in name.split("_"))
        self.node = node or f"{camel}Backward0"
        self.node_classes = _NodeClasses(self)
        self.kernels = _Kernels(forward)
        self.plans = _Plans(self)
        self.public: Callable[..., Any] = self
        OPS[name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def node_class(self, inputs: Any, params: Any) -> type[OpNode]:
        name = self.node
        return self.node_classes[name if isinstance(name, str) else name(inputs, params)]

    def compute(self, inputs: tuple[Any, ...], params: Mapping[str, Any]) -> tuple[Any, dtype | None]:
        """The kernel's result, and the dtype computed in where inputs were promoted."""
        arrays = [t._data if isinstance(t, Tensor) else t for t in inputs]
        if not any(type(a) in MODULES for a in arrays):
            given = type(inputs[0]).__name__ if inputs else "nothing"
            raise TypeError(f"{self.name}(): argument 'input' (position 1) must be Tensor, not {given}")
        if self.check is not None:
            self.check(*inputs, **params)
        promoted = None
        if self.promote is not None:
            chosen = [k for k, name in enumerate(self.inputs) if name in self.promoted]
            common = result_type(*[inputs[k] for k in chosen], *[params[name] for name in self.scalars])
            if self.promote == "float" and common.category < dtypes.FLOATING:
                common = dtypes.get_default_dtype()
            if self.scalars and common.category == dtypes.INTEGRAL:
                params = {**params, **{name: _number(params[name], common) for name in self.scalars}}
            single = self.number_in_single and common is dtypes.float16
            for k in chosen:
                a = arrays[k]
                zero_dim = type(a) in MODULES and not a.ndim and a.dtype is not common.numpy
                if single and (type(a) is np.float32 or zero_dim):
                    arrays[k] = np.float32(a.item())
                elif type(a) not in MODULES:
                    arrays[k] = _number(a, common)
                elif a.dtype is not common.numpy:
                    arrays[k] = laid_out_as(MODULES[type(a)], a, a, common.numpy)
                    promoted = common
        kernel = self.kernels[next(type(a) for a in arrays if type(a) in MODULES)]
        if self.sequence:
            return local.modes.run(kernel, arrays, **params), promoted
        try:
            made = local.modes.run(kernel, *arrays, **params)
            if self.number_in_single and common is dtypes.float16:
                made = made.astype(common.numpy)
            if self.elementwise and len(arrays) > 1 and type(made) in MODULES:
                operands = [a for a in arrays if type(a) in MODULES]
                if 1 in made.shape or not all(a.flags.c_contiguous for a in operands):
                    made = arranged(MODULES[type(made)], made, operands)
            return made, promoted
        except ValueError:
            if len(arrays) > 1:
                raise broadcast_error(*arrays) from None
            raise
        except OverflowError:  # a Python number that an integer dtype cannot hold
            held = FROM_NUMPY[next(a for a in arrays if type(a) in MODULES).dtype].name
            raise RuntimeError(f"value cannot be converted to type {held}_t without overflow") from None

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        """Compute, and record when an input requires grad and the mode is on."""
        if self.one_to_one and len(inputs) == 1 and type(inputs[0]) is Tensor and len(MODULES) == 1:
            data = inputs[0]._data
            if self.promote is None or (data.dtype in _PLAIN and self._plain_scalars(params)):
                return self._call_one(inputs[0], data, params)
        if self.sequence:
            inputs = tuple(inputs[0])
        if len(MODULES) > 1:
            inputs = _on_one_device(inputs)
        if self.number_in_single and any(isinstance(t, Tensor) and t._data.itemsize == 2 for t in inputs):
            inputs = tuple([t if isinstance(t, Tensor) or t is True else _in_single(t) for t in inputs])
        made, promoted = self.compute(inputs, params)
        outputs = [_output(a) for a in (made if self.several else (made,))]
        if self.view:
            source = next(t for t in inputs if isinstance(t, Tensor))
            for t in outputs:
                self._look_into(source, t, params)
        mask = 0
        if self.vjp is not None and local.modes.recording:
            for k, t in enumerate(inputs):
                if isinstance(t, Tensor) and t._rg:
                    mask |= 1 << k
            mask &= self.wanting
        if mask:
            self.record(mask, inputs, params, outputs, promoted)
        elif self.view:
            for t in outputs:
                if t._view is not None:
                    t._inherit()
        level = local.modes.forward
        if level is not None:
            level.push(self, inputs, params, outputs, promoted)
        return tuple(outputs) if self.several else outputs[0]

    def _look_into(self, source: Tensor, made: Tensor, params: Mapping[str, Any]) -> None:
        """Make a view of `source` of what was made."""
        view = view_of(source, self.several, made._data.dtype is not source._data.dtype, (self, params))
        made._view = view
        made._counter = source._counter if view is None else view.base._counter

    def _plain_scalars(self, params: Mapping[str, Any]) -> bool:
        """Whether the parameters that take part in promotion leave a floating point dtype as it is."""
        return not self.scalars or all(type(params[name]) in (int, float) for name in self.scalars)

    def _call_one(self, input: Tensor, data: Array, params: Mapping[str, Any]) -> Tensor:
        """A call of one plain tensor with one result: what `__call__` does, without its generality."""
        if self.check is not None and self.promote is None:
            self.check(input, **params)
        modes = local.modes
        out = _output(modes.run(self.kernels[type(data)], data, **params))
        if self.view:
            self._look_into(input, out, params)
        if input._rg and self.wanting and modes.recording and self.vjp is not None and out._data.dtype.kind in "fc":
            self.record(1, (input,), params, [out], None)
        elif out._view is not None:
            out._inherit()
        if modes.forward is not None:
            modes.forward.push(self, (input,), params, [out], None)
        return out

    def record(
        self, mask: int, inputs: Any, params: Any, outputs: list[Tensor], promoted: dtype | None
    ) -> None:
        """Make the node of a call and hang the outputs on it."""
        marked = [
            (k, t)
            for k, t in enumerate(outputs)
            if t._data.dtype.kind in "fc" and (self.differentiable is None or k in self.differentiable)
        ]
        if not marked:
            return
        joint = self.joint
        node = _new(self.node_class(inputs, params))
        sources = inputs if joint or len(inputs) == len(self.connected) else [inputs[k] for k in self.connected]
        edges = node.next_functions = tuple(
            [t._edge or t._gradient_edge() if isinstance(t, Tensor) else NO_EDGE for t in sources]
        )
        # A view that requires grad for its base's sake only has no edge, and nothing is saved for it among others.
        if not joint and len(edges) > 1:
            for k, edge in zip(self.connected, edges, strict=True):
                if edge is NO_EDGE:
                    mask &= ~(1 << k)
        plan = self.plans[0 if joint else mask]
        node.plan = plan
        node.saved = node.versions = ()
        if plan.sources:
            node.saved = tuple([source(inputs, params, outputs) for source in plan.sources])
            node.versions = tuple([_version(value) for value in node.saved])
        node.compute = promoted
        node._hooks = None
        node._sequence = local.modes.next_sequence()
        # Outputs behind the last one that has a gradient are none to the graph.
        node._meta = tuple([(t._data.shape, t._data.dtype) for t in outputs[: marked[-1][0] + 1]])
        for k, t in marked:
            t._place((node, k))
        if not local.modes.plain:
            extra(node, outputs)


def _output(made: Any) -> Tensor:
    """A result as a tensor: NumPy gives scalars for 0-dim results."""
    t = _new(Tensor)
    t._data = made if type(made) in MODULES else NUMPY.asarray(made)
    t._counter = fresh()
    return t


def _bare(unpacked: Any) -> Any:
    """The array of a tensor; a number as it is."""
    return unpacked._data if isinstance(unpacked, Tensor) else unpacked


def extra(node: OpNode, outputs: Sequence[Tensor]) -> None:
    """What a node gets where modes are on that are rare."""
    modes = local.modes
    if anomaly.enabled:
        note_origin(node)
    if modes.packing is not None:
        modes.packing.take(node, outputs)


def _on_one_device(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The operands with 0-dim CPU tensors brought to the GPU where others are; nothing else mixes."""
    tensors = [t for t in inputs if isinstance(t, Tensor)]
    if len({type(t._data) for t in tensors}) < 2:
        return inputs
    where = next(t.device for t in tensors if t.is_cuda)
    for t in tensors:
        if t._data.ndim and not t.is_cuda:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{where} and {t.device}!"
            )
    move = OPS["move"].public
    return tuple([move(t, where=where) if isinstance(t, Tensor) else t for t in inputs])


def broadcast_error(*arrays: Array) -> Exception:
    """torch's error for shapes that do not broadcast; the error under way if they do."""
    shapes = [a.shape for a in arrays if hasattr(a, "shape")]
    for a, b in zip(shapes, shapes[1:], strict=False):
        for k in range(1, min(len(a), len(b)) + 1):
            if a[-k] != b[-k] and 1 not in (a[-k], b[-k]):
                return RuntimeError(
                    f"The size of tensor a ({a[-k]}) must match the size of tensor b ({b[-k]}) at "
                    f"non-singleton dimension {max(len(a), len(b)) - k}"
                )
    return RuntimeError(str(sys.exception()))


def _in_single(value: Any) -> Any:
    """A number that meets half precision: torch keeps it in single, and rounds the result once."""
    return np.float32(value) if isinstance(value, (int, float)) else value


def _number(value: Any, common: dtype) -> Any:
    """A Python number as an operand of `common`: integers wrap around, as in torch."""
    if common.category == dtypes.INTEGRAL and value is not None:
        return np.asarray(value, np.int64).astype(common.numpy)[()]
    return value.item() if isinstance(value, np.generic) else value
