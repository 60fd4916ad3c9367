"""Checkpoints: what a function saves for backward is not kept, but computed again when it is needed.

Without reentrance the function is recorded as any other code, under hooks that throw saved tensors away. The first one
that a backward pass asks for runs the function again, as far as it takes to have them all; each is then handed out
once. Checkpoints within each other follow from this, as the arguments of the inner one are saved tensors of the outer.
The reentrant kind is one node, whose derivative runs the function again and a backward pass of its own.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from refgrad import autograd
from refgrad.anomaly import user_trace
from refgrad.autograd.function import Function
from refgrad.autograd.graph import saved_tensors_hooks
from refgrad.autograd.variable import Variable
from refgrad.generator import default_generator
from refgrad.modes import enable_grad, is_grad_enabled, local, no_grad
from refgrad.saved import Kept
from refgrad.tensor import Tensor
from refgrad.utils.checkpoint_messages import DEBUG_REPORT, DEBUG_TIP

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "detach_variable",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]
_early_stop: bool | None = None
_debug: bool | None = None


class CheckpointError(RuntimeError):
    """The function did not do the same when it ran again."""


class _StopRecomputation(Exception):
    """Everything that is needed has been computed."""


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Generator[None, None, None]:
    """Within it, whether checkpoints made now stop computing again as soon as they can, whatever they were told."""
    global _early_stop
    before, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Generator[None, None, None]:
    """Within it, whether checkpoints made now are debugged, whatever they were told; None leaves it to them."""
    global _debug
    before, _debug = _debug, enabled
    try:
        yield
    finally:
        _debug = before


def noop_context_fn() -> Contexts:
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def _random_numbers_of(state: Any) -> Generator[None, None, None]:
    """The random stream as it was in `state`, and afterwards as it is now. None: no change."""
    if state is None:
        yield
        return
    before = default_generator.get_state()
    default_generator.set_state(state)
    try:
        yield
    finally:
        default_generator.set_state(before)


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments, with leaves in the place of tensors. RuntimeError for anything but a tuple."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}"
        )
    found = []
    for given in inputs:
        if isinstance(given, Tensor):
            leaf = given.detach()
            leaf.requires_grad = given.requires_grad
            found.append(leaf)
        else:
            found.append(given)
    return tuple(found)


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no tensor among the arguments requires grad."""
    if not any(t.requires_grad for t in inputs if isinstance(t, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class CheckpointFunction(Function):
    """The reentrant checkpoint."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.random_state = default_generator.get_state() if preserve_rng_state else None
        ctx.places = [k for k, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.inputs = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*[args[k] for k in ctx.places])
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        if not Variable._execution_engine.is_checkpoint_valid():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                ".backward() without passing the `inputs` argument."
            )
        inputs = list(ctx.inputs)
        for k, t in zip(ctx.places, ctx.saved_tensors, strict=True):
            inputs[k] = t
        leaves = detach_variable(tuple(inputs))
        with _random_numbers_of(ctx.random_state), enable_grad():
            made = ctx.run_function(*leaves)
        outputs = (made,) if isinstance(made, Tensor) else made
        roots = [k for k, t in enumerate(outputs) if isinstance(t, Tensor) and t.requires_grad]
        if not roots:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        autograd.backward([outputs[k] for k in roots], [gradients[k] for k in roots])
        return (None, None, *[t.grad if isinstance(t, Tensor) else None for t in leaves])


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, of which backward computes again what it needs.

    `use_reentrant` chooses the kind; without it torch's default holds, with a warning. `preserve_rng_state` (true,
    among the keywords) gives the second run the random numbers of the first. Only without reentrance: keywords;
    `context_fn`, which gives a context for each run; `determinism_check` ("default": shape, dtype and device of what
    is saved; or "none"); `debug`, which tells in errors where tensors were saved in both runs; `early_stop`.

    ValueError for arguments that do not go together. Backward raises CheckpointError if the runs differ.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, "
            "calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is recommended, but "
            "if you need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for "
            "more details on the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if not use_reentrant:
        return _checkpoint(function, args, kwargs, preserve, context_fn, determinism_check, debug, early_stop)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
    return CheckpointFunction.apply(function, preserve, *args)


def _checkpoint(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    preserve: bool,
    context_fn: Callable[[], Contexts],
    determinism_check: str,
    debug: bool,
    early_stop: bool,
) -> Any:
    debug = debug if _debug is None else _debug
    if debug and context_fn is not noop_context_fn:
        raise ValueError("debug=True is incompatible with non-default context_fn")
    if determinism_check not in _DESCRIBE:
        raise ValueError(f"determinism_check should be one of {list(_DESCRIBE)}, but got {determinism_check}")
    forward_context, again_context = context_fn()
    state = default_generator.get_state() if preserve else None
    if not is_grad_enabled():
        return function(*args, **kwargs)

    def run_again(*inputs: Any) -> None:
        with _random_numbers_of(state), again_context:
            function(*inputs, **kwargs)

    frame = _Frame(
        run_again, args, early_stop if _early_stop is None else _early_stop, _DESCRIBE[determinism_check], debug
    )
    with saved_tensors_hooks(frame.pack, frame.unpack):
        with forward_context:
            made = function(*args, **kwargs)
            frame.complete = True
        if not frame.complete:
            raise RuntimeError(
                "torch.utils.checkpoint: the forward context provided by context_fn suppressed an exception raised "
                "during the checkpointed forward. This is not supported because checkpoint cannot return a value for "
                "a failed forward."
            )
    return made


def _description(tensor: Tensor) -> dict[str, Any]:
    return {"shape": tensor.shape, "dtype": tensor.dtype, "device": tensor.device}


_DESCRIBE: dict[str, Callable[[Tensor], Any]] = {"default": _description, "none": lambda tensor: None}


class _Holder:
    """What the graph keeps instead of a saved tensor."""


class _Round:
    """One run again, for one backward pass: how many tensors were saved, and those not handed out yet."""

    def __init__(self) -> None:
        self.count = 0
        self.tensors: weakref.WeakKeyDictionary[_Holder, Tensor] = weakref.WeakKeyDictionary()
        self.traces: list[str] = []


class _Frame:
    """One call of a checkpointed function. `complete`: it has returned."""

    def __init__(
        self,
        run_again: Callable[..., None],
        args: tuple[Any, ...],
        early_stop: bool,
        describe: Callable[[Tensor], Any],
        debug: bool,
    ) -> None:
        self.run_again = run_again
        self.inputs = [Kept(a) if isinstance(a, Tensor) else a for a in args]
        self.early_stop = early_stop
        self.describe = describe
        self.complete = False
        self.lenient = False  # a backward pass within the function ran it further than it had come
        self.holders: list[weakref.ref[_Holder]] = []
        self.described: list[Any] = []
        self.traces: list[str] | None = [] if debug else None
        self.rounds: weakref.WeakKeyDictionary[Any, _Round] = weakref.WeakKeyDictionary()

    def pack(self, tensor: Tensor) -> _Holder:
        holder = _Holder()
        self.holders.append(weakref.ref(holder))
        self.described.append(self.describe(tensor))
        if self.traces is not None:
            self.traces.append(user_trace())
        return holder

    def unpack(self, holder: _Holder) -> Tensor:
        task = local.modes.backward
        found = None if task is None else self.rounds.get(task)
        try:
            if found is None:
                found = _Round()
                self._again(found)
                if task is not None:
                    self.rounds[task] = found
                self._check(found)
            if holder not in found.tensors:
                raise CheckpointError(
                    "torch.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked once. If "
                    "you are calling ctx.saved_tensors in backward, make sure to do so only once. Otherwise please "
                    "open an issue with details on your use case."
                )
            return found.tensors.pop(holder)
        except CheckpointError as error:
            if self.traces is None or found is None or error.__cause__ is not None:
                raise
            raise CheckpointError(
                DEBUG_REPORT.format(forward=_numbered(self.traces), again=_numbered(found.traces))
            ) from error

    def _again(self, made: _Round) -> None:
        inputs = [a.unpack() if isinstance(a, Kept) else a for a in self.inputs]
        hooks = _Recomputation(weakref.ref(self), made)
        with contextlib.suppress(_StopRecomputation), saved_tensors_hooks(hooks.pack, hooks.unpack), enable_grad():
            self.run_again(*inputs)

    def _check(self, made: _Round) -> None:
        """CheckpointError unless both runs saved tensors of the same kind."""
        if self.lenient:
            return
        if len(self.holders) != made.count:
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(self.holders)}\nNumber of tensors saved "
                f"during recomputation: {made.count}.\n{DEBUG_TIP}"
            )
        different = ""
        for k, (reference, before) in enumerate(zip(self.holders, self.described, strict=True)):
            holder = reference()
            if holder is not None:
                now = self.describe(made.tensors[holder])
                if before != now:
                    different += (
                        f"tensor at position {k}:\nsaved metadata: {before}\nrecomputed metadata: {now}\n"
                    )
        if different:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than "
                f"during the forward pass.\n{different}.\n{DEBUG_TIP}"
            )


class _Recomputation:
    """The hooks of a run again. What is recorded in it may be differentiated too: by the function itself."""

    def __init__(self, frame: weakref.ref[_Frame], made: _Round) -> None:
        self.frame = frame
        self.made = made

    def pack(self, tensor: Tensor) -> Tensor:
        frame, made = self.frame(), self.made
        assert frame is not None
        tensor = tensor.detach() if tensor.requires_grad else tensor
        k = made.count
        made.count += 1
        if frame.traces is not None:
            made.traces.append(user_trace())
        if k >= len(frame.holders):
            if frame.early_stop:
                raise AssertionError("Unexpected state: target_frame.early_stop is set")
            if frame.complete:
                raise CheckpointError(
                    "torch.utils.checkpoint: trying to save more tensors during recomputation than during the original "
                    f"forward pass.\n{DEBUG_TIP}"
                )
            frame.lenient = True
            return tensor
        holder = frame.holders[k]()
        if holder is not None:  # or else it is not needed any more
            made.tensors[holder] = tensor
        if frame.early_stop and made.count == len(frame.holders):
            raise _StopRecomputation
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        return tensor


def _numbered(traces: Sequence[str]) -> str:
    return "\n".join(f"tensor {k + 1} of {len(traces)}, saved at:\n{trace}" for k, trace in enumerate(traces))


def checkpoint_sequential(
    functions: Sequence[Callable[[Any], Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    **kwargs: Any,
) -> Any:
    """`input` through one function after the other, in `segments` parts that are checkpointed, but for the last.

    ValueError for other keywords than `preserve_rng_state`, and for more segments than functions.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. In "
            "version 2.9 we will raise an exception if use_reentrant is not passed. use_reentrant=False is "
            "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. "
            "Refer to docs for more details on the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")

    def run(part: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def all_of_it(value: Any) -> Any:
            for function in part:
                value = function(value)
            return value

        return all_of_it

    size = len(functions) // segments
    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(
            run(functions[start:end]), input, use_reentrant=use_reentrant, preserve_rng_state=preserve
        )
    return run(functions[end:])(input)
