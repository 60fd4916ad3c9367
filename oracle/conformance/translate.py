"""Samples of torch for another engine: tensors with their layout, dtypes, and functions that call the engine's own."""

from __future__ import annotations

from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import torch

OF_TORCH = "torch.testing"
"""The package of torch's own tests, whose functions are bound to the engine."""

UNBOUND = frozenset({"freeze_rng_state"})
"""Those that are about torch alone: this one puts torch's random state back."""


class Untranslatable(Exception):
    """A sample holds something that another engine has no counterpart of."""


class Translator:
    """Turns what belongs to torch into what belongs to `module`; the same object into the same."""

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        self.tensors: dict[int, tuple[Any, Any]] = {}  # with the original, which keeps its id
        self.functions: dict[int, tuple[Any, Any]] = {}

    def value(self, given: Any) -> Any:
        """Any value of a sample. Raises Untranslatable."""
        match given:
            case torch.Tensor():
                return self.tensor(given)
            case torch.Size():
                return tuple(given)
            case tuple() if hasattr(given, "_fields"):
                return type(given)(*[self.value(item) for item in given])
            case tuple() | list():
                return type(given)(self.value(item) for item in given)
            case dict():
                return {name: self.value(item) for name, item in given.items()}
            case torch.dtype() | torch.memory_format() | torch.layout():
                return self.named(str(given).removeprefix("torch."))
            case torch.device():
                return self.module.device(str(given))
            case FunctionType():
                return self.function(given)
            case torch.nn.Module() | torch.Generator():
                raise Untranslatable(f"a {type(given).__name__}")
        return given

    def named(self, name: str) -> Any:
        found: Any = self.module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            raise Untranslatable(name)
        return found

    def tensor(self, given: torch.Tensor) -> Any:
        """A leaf with the same numbers, in memory as they lie there."""
        if id(given) in self.tensors:
            return self.tensors[id(given)][1]
        if given.layout is not torch.strided:
            raise Untranslatable(f"a tensor of layout {given.layout}")
        plain = given.detach().resolve_conj().resolve_neg()
        held = plain.untyped_storage().nbytes() // plain.element_size()
        if plain.is_contiguous() and held == plain.numel():
            made = self.module.tensor(plain.numpy().copy())
        else:
            memory = self.module.tensor(plain.as_strided((held,), (1,), 0).numpy().copy())
            made = memory.as_strided(tuple(plain.shape), plain.stride(), plain.storage_offset()).detach()
        if given.requires_grad:
            made.requires_grad_()
        self.tensors[id(given)] = given, made
        return made

    def function(self, given: Any) -> Any:
        """A function of torch's tests, bound to the engine; others stay what they are."""
        if not isinstance(given, FunctionType) or not str(given.__module__).startswith(OF_TORCH):
            return given
        if given.__name__ in UNBOUND:
            return given
        if id(given) not in self.functions:
            scope: dict[str, Any] = {"__builtins__": given.__globals__["__builtins__"]}
            made = FunctionType(given.__code__, scope, given.__name__, given.__defaults__, self._cells(given))
            made.__kwdefaults__ = given.__kwdefaults__
            self.functions[id(given)] = given, made
            for name in _names(given.__code__):
                if name in given.__globals__:
                    scope[name] = self._bound(given.__globals__[name])
        return self.functions[id(given)][1]

    def _cells(self, given: FunctionType) -> tuple[CellType, ...] | None:
        if given.__closure__ is None:
            return None
        return tuple([CellType(self._bound(cell.cell_contents)) for cell in given.__closure__])

    def _bound(self, value: Any) -> Any:
        return self.module if value is torch else self.function(value)


def _names(code: CodeType) -> set[str]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def counterpart(name: str, given: Any, translator: Translator) -> Any:
    """What an engine has for torch's function `given` of a public name; None if it has nothing.

    Functions that torch's tests wrap around others are bound to the engine, and fail where that lacks the others.
    """
    if isinstance(given, FunctionType) and str(given.__module__).startswith(OF_TORCH):
        return translator.function(given)
    path = name.split(".")
    for root in (translator.module, translator.module.Tensor):
        found = root
        for part in path:
            found = getattr(found, part, None)
        if callable(found):
            return found
    return None


