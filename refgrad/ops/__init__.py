"""The ops: one record each, one file per family, attached to Tensor here."""

from __future__ import annotations

import importlib
from types import ModuleType

from refgrad.ops.inplace import inplace
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
    "joining",
    "windows",
    "indexing",
    "scatter",
    "linalg",
    "addmm",
    "products",
    "einsum",
)


def families() -> list[ModuleType]:
    """The modules of the families, in order."""
    return [importlib.import_module(f"refgrad.ops.{name}") for name in FAMILIES]


def attach() -> dict[str, object]:
    """Give Tensor the methods of every family; returns the public functions by name."""
    public: dict[str, object] = {}
    for family in families():
        public.update({name: getattr(family, name) for name in family.__all__})
        for name, method in getattr(family, "METHODS", {}).items():
            setattr(Tensor, name, method)
        for name, function in getattr(family, "INPLACE", {}).items():
            setattr(Tensor, name, inplace(function, name))
        for name, function in getattr(family, "PROPERTIES", {}).items():
            setattr(Tensor, name, property(function))
    return public
