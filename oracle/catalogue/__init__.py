"""The ops a program may use, by name; one file per family."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from oracle.catalogue import custom, indexing, inplace, linalg, pointwise, reductions, shape, views
from oracle.catalogue.spec import OpSpec

__all__ = ["CATALOGUE", "DRAWN", "OpSpec", "registry"]


def registry(*families: list[OpSpec]) -> Mapping[str, OpSpec]:
    """The specs by name. Raises ValueError if two share one."""
    specs = {spec.name: spec for family in families for spec in family}
    if len(specs) != sum(map(len, families)):
        raise ValueError("two ops of the catalogue share a name")
    return MappingProxyType(specs)


CATALOGUE: Mapping[str, OpSpec] = registry(
    pointwise.SPECS,
    reductions.SPECS,
    shape.SPECS,
    indexing.SPECS,
    linalg.SPECS,
    views.SPECS,
    inplace.SPECS,
    custom.SPECS,
)

DRAWN: Mapping[str, OpSpec] = MappingProxyType(
    {name: spec for name, spec in CATALOGUE.items() if spec.draw is not None}
)
"""The ops that are drawn by themselves."""
