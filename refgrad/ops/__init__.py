"""The ops: one record each, one file per family, attached to Tensor here."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from refgrad.ops import out
from refgrad.ops.inplace import FUNCTIONS, inplace
from refgrad.tensor import Tensor

FAMILIES = (
    "conversion",
    "description",
    "copying",
    "creation",
    "constants",
    "sampling",
    "drawing",
    "inplace",
    "arithmetic",
    "powers",
    "rounding",
    "elementary",
    "rectifiers",
    "activations",
    "comparison",
    "selection",
    "reductions",
    "variances",
    "norms",
    "extrema",
    "softmax",
    "scans",
    "ordering",
    "shape",
    "axes",
    "grids",
    "rearranging",
    "padding",
    "shuffling",
    "dropout",
    "joining",
    "windows",
    "geometry",
    "indexing",
    "scatter",
    "linalg",
    "addmm",
    "products",
    "einsum",
    "fourier",
    "solving",
    "special",
    "views_copied",
    "samples",
    "placing",
    "losses",
    "entropies",
)


def families() -> list[ModuleType]:
    """The modules of the families, in order."""
    return [importlib.import_module(f"refgrad.ops.{name}") for name in FAMILIES]


def _takes_out(function: Any) -> bool:
    """Whether a function looks at `out` itself: those of the hot path do, and cost nothing more for it."""
    return "out" in (getattr(function, "__kwdefaults__", None) or ())


def attach() -> dict[str, object]:
    """Give Tensor the methods of every family; returns the public functions by name."""
    public: dict[str, object] = {}
    for family in families():
        for name in family.__all__:
            function = getattr(family, name)
            if name in out.FUNCTIONS and not _takes_out(function):
                function = out.with_out(function, name)
            public[name] = function
        for name, method in getattr(family, "METHODS", {}).items():
            setattr(Tensor, name, method)
        for name, function in getattr(family, "INPLACE", {}).items():
            setattr(Tensor, name, inplace(function, name))
        for name, function in getattr(family, "PROPERTIES", {}).items():
            setattr(Tensor, name, property(function))
    return public | {name: getattr(Tensor, name) for name in FUNCTIONS}
