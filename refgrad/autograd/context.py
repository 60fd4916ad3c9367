"""What a custom function works with: its `ctx`, which is the node that a call of it makes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from refgrad import dtypes
from refgrad.anomaly import note_origin
from refgrad.autograd.tangents import push
from refgrad.counters import bump
from refgrad.devices import MODULES, NUMPY, device
from refgrad.forward import tangents_of
from refgrad.graph import FREED, NO_EDGE, Node, modified_in_place
from refgrad.modes import anomaly, local, no_grad
from refgrad.ops.constants import zeros
from refgrad.saved import HAS_HOOKS, NOTHING_SAVED, PACKED, SAVED_AND_FREED, Packed, Pair, SavedTensor
from refgrad.tensor import Tensor, wrap
from refgrad.views import IN_CUSTOM_FUNCTION, MULTI_OUTPUT, rebase, short_name

NO_METADATA = ((), dtypes.float32.numpy)  # what torch says of the gradient of an output that has none


class FunctionCtx:
    """What a custom function tells about its call: what to save, what was written, what has no gradient."""

    to_save: tuple[Any, ...] | None = None
    saved_for_forward: tuple[Any, ...] | None = None
    dirty_tensors: tuple[Any, ...] | None = None
    non_differentiable: tuple[Any, ...] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (or None) for `backward`, where `ctx.saved_tensors` gives them. The last call counts."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (or None) for `jvp`. AssertionError for anything else."""
        for t in tensors:
            if not (isinstance(t, Tensor) or t is None):
                raise AssertionError(
                    "save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes "
                    "on ctx."
                )
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Name the inputs that `forward` writes; all of them must be returned."""
        self.dirty_tensors = args

    def mark_shared_storage(self, *pairs: Any) -> None:
        """Does nothing: shared memory is found without help."""
        warnings.warn(
            "`mark_shared_storage` is deprecated. Tensors with shared storages are automatically tracked. Note that "
            "calls to `set_()` are not tracked",
            FutureWarning,
            stacklevel=2,
        )

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Name outputs that have no gradient; `backward` gets zeros for them."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` and `jvp` get zeros (the default) or None for what is undefined."""
        self.materialize_grads = value


class CallNode(Node, FunctionCtx):
    """The node of one call of a custom function, before it is known how the user writes derivatives.

    `needs_input_grad` tells for each argument whether it requires grad. The user's own attributes live here too,
    so what is private has two underscores.
    """

    takes_undefined = True
    _user_code = True
    _clears_on_access = False  # saved tensors can be read once

    __saved: tuple[Any, ...] | None = ()  # tensors, None, or packed tensors; None once freed
    __versions: tuple[Any, ...] = ()
    __numbers: tuple[int | None, ...] = ()  # which output of this node a saved tensor is, if any
    __materializes = True
    __read = False  # saved tensors were read, and dropped
    __devices: Sequence[device] = ()  # of the arguments that are tensors, where there can be several
    __blanks: tuple[Any, ...] = ()  # (shape, dtype, device) of each output that is a tensor

    def __init__(self, args: tuple[Any, ...]) -> None:
        self._hooks = None
        self._meta = ()
        self._sequence = local.modes.next_sequence()
        self.needs_input_grad = tuple([isinstance(a, Tensor) and a._rg for a in args])
        self.__tensors = tuple([isinstance(a, Tensor) for a in args])
        self.__records = local.modes.grad_enabled and any(self.needs_input_grad)
        if len(MODULES) > 1:
            self.__devices = [a.device for a in args if isinstance(a, Tensor)]
        self.next_functions = (
            tuple([a._gradient_edge() for a in args if isinstance(a, Tensor)]) if self.__records else ()
        )
        if anomaly.enabled:
            note_origin(self)

    __repr__ = object.__repr__

    def name(self) -> str:
        return type(self).__name__

    def __call__(self, *gradients: Any) -> Any:
        raise TypeError(f"{type(self).__name__!r} object is not callable")

    @property
    def requires_grad(self) -> bool:
        return True

    @property
    def materialize_grads(self) -> bool:
        """Whether undefined gradients become zeros. TypeError if it is set to what is no bool."""
        return self.__materializes

    @materialize_grads.setter
    def materialize_grads(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(
                "set_materialize_grads received an invalid combination of arguments - got (), but expected (bool)"
            )
        self.__materializes = value

    def _derivative(self, gradients: list[Tensor | None]) -> Any:
        """What the user's code makes of the gradients of the outputs."""
        raise NotImplementedError

    # Backward

    def _apply(self, names: Any, raw: bool, gradient: Any, needed: Any) -> Any:
        count = len(self._meta)
        slots = gradient if count > 1 and gradient is not None else [gradient] * count
        given: list[Tensor | None] = []
        for g, blank in zip(slots, self.__blanks, strict=True):
            if g is not None:
                given.append(wrap(g if type(g) in MODULES else NUMPY.asarray(g)) if raw else g)
            elif blank is not None and self.__materializes:
                shape, dtype, where = blank
                given.append(zeros(shape, dtype=dtype, device=where))
            else:
                given.append(None)
        made = self._derivative(given)
        found = self.__checked(made if isinstance(made, tuple) else (made,))
        for k, where in enumerate(self.__devices):
            g = found[k]
            if g is not None and g.device != where and self.next_functions[k][0] is not None:
                if g._data.ndim:
                    raise RuntimeError(
                        f"Function {self.name()} returned an invalid gradient at index {k} - expected device {where} "
                        f"but got {g.device}"
                    )
                found[k] = g.to(where)
        return [t if t is None else t._data for t in found] if raw else found

    def __checked(self, made: tuple[Any, ...]) -> list[Tensor | None]:
        """The gradients of the arguments that are tensors. RuntimeError for too few, too many, or what is none."""
        expected, got = len(self.__tensors), len(made)
        if got > expected and all(g is None for g in made[expected:]):
            got = expected
        if got != expected:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {expected}, got {got})"
            )
        found: list[Tensor | None] = []
        for position, (g, tensor) in enumerate(zip(made, self.__tensors, strict=False), 1):
            if tensor:
                if g is not None and not isinstance(g, Tensor):
                    raise RuntimeError(f"expected Variable or None (got {type(g).__name__})")
                found.append(g)
            elif g is not None:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different than None at position {position}, but the "
                    "corresponding forward input was not a Variable"
                )
        return found

    def _release(self) -> None:
        self.__saved = None

    # Saved tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept. RuntimeError if it was freed, or modified in place since."""
        if self.__read:
            raise RuntimeError(
                "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is set on the "
                "autograd.Function. Either access saved_tensors only once, or set clear_saved_tensors_on_access=False."
            )
        if self.saved_for_forward is not None:
            return self.saved_for_forward
        if self.__saved is None:
            raise RuntimeError(FREED)
        found = tuple([self.__unpacked(k) for k in range(len(self.__saved))])
        if self._clears_on_access:
            self.__saved, self.__read = (), True
        return found

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """Deprecated name of `saved_tensors`."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    @property
    def _raw_saved_tensors(self) -> tuple[SavedTensor, ...]:
        """Handles on the saved tensors, on which hooks can be registered."""
        if self.__saved is None:
            raise RuntimeError(FREED)
        return tuple([SavedTensor(self, k) for k in range(len(self.__saved))])

    def __save(self, tensors: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        """Keep tensors with their versions: outputs without their place in the graph, which would be a cycle."""
        mine = {id(t) for t in outputs if isinstance(t, Tensor)}
        saved: list[Any] = []
        numbers: list[int | None] = []
        for t in tensors:
            edge = t._current_edge() if id(t) in mine else None
            saved.append(t if edge is None else t.detach())
            numbers.append(None if edge is None else edge[1])
        self.__saved, self.__numbers = tuple(saved), tuple(numbers)
        self.__versions = tuple([None if t is None else t._counter[0] for t in tensors])
        hooks = local.modes.packing
        if hooks is not None:
            for k, t in enumerate(tensors):
                if t is not None:
                    self.__put(k, Packed(t, hooks, output=numbers[k] is not None))

    def pack_one(self, k: int, hooks: Pair) -> None:
        """Let hooks replace one saved tensor."""
        if self.__saved is None:
            raise RuntimeError(SAVED_AND_FREED)
        value = self.__saved[k]
        if value is None:
            raise RuntimeError(NOTHING_SAVED)
        if self.__versions[k] is PACKED:
            raise RuntimeError(HAS_HOOKS)
        self.__put(k, Packed.of_saved(value, hooks, output=self.__numbers[k] is not None))

    def __put(self, k: int, packed: Packed) -> None:
        assert self.__saved is not None
        self.__saved = (*self.__saved[:k], packed, *self.__saved[k + 1 :])
        self.__versions = (*self.__versions[:k], PACKED, *self.__versions[k + 1 :])

    def __unpacked(self, k: int) -> Tensor | None:
        """One saved tensor, in its place in the graph."""
        assert self.__saved is not None
        value, version, number = self.__saved[k], self.__versions[k], self.__numbers[k]
        place = None if number is None else (self, number)
        if value is None:
            return None
        if version is PACKED:
            return value.placed(place)
        if value._counter[0] != version:
            node, output = place or value._current_edge() or NO_EDGE
            raise modified_in_place(
                value, version, None if node is None else f"output {output} of {short_name(node)}"
            )
        if place is None:
            return value
        t = value.detach()
        t._place(place)
        return t

    # Outputs

    def _settle(self, args: tuple[Any, ...], made: Any, with_ctx: bool) -> Any:
        """Give what `forward` made its place in the graph, and save what it wanted to be saved."""
        raw = made if isinstance(made, tuple) else (made,)
        to_save = self.to_save or ()
        if self.__records:
            for k, t in enumerate(to_save):
                if t is not None and not isinstance(t, Tensor):
                    raise TypeError(
                        f"save_for_backward can only save variables, but argument {k} is of type {type(t).__name__}"
                    )
        # With `setup_context` an input that is returned as it is cannot be saved.
        kept = () if with_ctx else (*to_save, *(self.saved_for_forward or ()))
        plain, dirty = self.non_differentiable or (), self.dirty_tensors or ()
        if not all(isinstance(t, Tensor) for t in plain):
            raise RuntimeError("mark_non_differentiable only accepts variable arguments, but got ")
        for t in dirty:
            if not isinstance(t, Tensor):
                raise RuntimeError("mark_dirty can only accept variables, but argument ")
            bump(t._counter)
        outputs = self.__placed(_Marks(*[{id(t) for t in group} for group in (args, plain, dirty, kept)]), raw)
        tangents = tangents_of(args)
        if tangents is not None:
            push(self, args, tangents, raw, outputs)
        if self.__records and to_save:
            self.__save(to_save, outputs)
        for name in ("to_save", "non_differentiable", "dirty_tensors", "saved_for_forward"):
            self.__dict__.pop(name, None)
        return outputs if isinstance(made, tuple) else outputs[0]

    def __placed(self, marks: _Marks, raw: tuple[Any, ...]) -> tuple[Any, ...]:
        """The outputs, as they are returned: those that have gradients with an edge to this node."""
        outputs: list[Any] = []
        meta: list[Any] = []
        blanks: list[Any] = []
        views = []
        for number, made in enumerate(raw):
            t, undefined, blank = made, True, None
            if isinstance(made, Tensor):
                given, written = id(made) in marks.given, id(made) in marks.dirty
                kind = made._data.dtype.kind
                if self.__records and id(made) not in marks.plain and kind in "fc":
                    undefined = False
                    if written:
                        self.__rewrite(made, number, given, len(raw))
                    else:
                        t = _view_of_itself(made, marks) if given else made
                        self.__own(t, number)
                elif not made._rg:
                    t = _view_of_itself(made, marks) if given and not written else made
                elif given:
                    t = made.detach()
                elif made._view is None:
                    t = made.detach_()
                if t._view is not None:
                    views.append(t._view)
                    if not (given and written):
                        t._view.creation = IN_CUSTOM_FUNCTION
                blank = made._data.shape, made.dtype, made.device
            outputs.append(t)
            meta.append(NO_METADATA if undefined else (made._data.shape, made._data.dtype))
            blanks.append(blank)
        if sum(m is not NO_METADATA for m in meta) > 1:
            for view in views:
                view.creation = MULTI_OUTPUT
        if not marks.dirty <= {id(t) for t in raw}:
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that "
                "are modified inplace must all be outputs of the Function."
            )
        if self.__records:
            self._meta, self.__blanks = tuple(meta), tuple(blanks)
        return tuple(outputs)

    def __own(self, t: Tensor, number: int) -> None:
        """Make `t` an output of this node, whatever it was before."""
        t._place((self, number))
        t._inherits = False
        if t._heirs is not None:
            t._require_grad(True)
        if t._view is not None:
            t._view.version = t._counter[0]

    def __rewrite(self, t: Tensor, number: int, given: bool, count: int) -> None:
        """Make `t`, which `forward` wrote, an output of this node. Raises what torch raises where that cannot be."""
        view = t._view
        if t._rg and (t._edge if view is None else view.edge) is None:
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
        if not given:
            warnings.warn(
                "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been mutated "
                "should be passed to ctx.mark_dirty().",
                UserWarning,
                stacklevel=5,
            )
        if view is not None:
            if count > 1:
                raise RuntimeError(_SEVERAL_WITH_VIEW)
            view.check_writable()
            if t._rg and view.base._edge is None:
                raise RuntimeError(
                    "a view of a leaf Variable that requires grad is being used in an in-place operation."
                )
        t._grad = t._hooks = None
        rebase(t, (self, number))


class _Marks(NamedTuple):
    """Tensors by `id`: the arguments, and what the user said of tensors."""

    given: set[int]
    plain: set[int]  # without gradient
    dirty: set[int]
    kept: set[int]  # not to be given back as they are


def _view_of_itself(t: Tensor, marks: _Marks) -> Tensor:
    """What is returned for an argument that `forward` returns as it is."""
    if id(t) in marks.kept:
        raise RuntimeError(
            "An input that has been returned as-is as output is being saved for backward. This is not supported if you "
            "override setup_context. You should return and save a view of the input instead, e.g. with x.view_as(x) or "
            "setup ctx inside the forward function itself."
        )
    with no_grad():
        return t.view_as(t)


_SEVERAL_WITH_VIEW = (
    "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return more "
    "than one Tensor. This is not supported by the current autograd engine. You should either make sure the input is "
    "not a view (using .clone() for example) or make your Function only return one Tensor (potentially splitting it "
    "into two Functions: one doing the inplace that returns a single Tensor and a second one that does the other "
    "operations). You can ask on the forum https://discuss.pytorch.org/ if you need help to do this change."
)
