"""The ops a program may use, by name; one file per family."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from oracle.catalogue import indexing, linalg, pointwise, reductions, shape
from oracle.catalogue.spec import OpSpec

__all__ = ["CATALOGUE", "OpSpec", "registry"]


def registry(*families: list[OpSpec]) -> Mapping[str, OpSpec]:
    """The specs by name. Raises ValueError if two share one."""
    specs = {spec.name: spec for family in families for spec in family}
    if len(specs) != sum(map(len, families)):
        raise ValueError("two ops of the catalogue share a name")
    return MappingProxyType(specs)


CATALOGUE: Mapping[str, OpSpec] = registry(
    pointwise.SPECS, reductions.SPECS, shape.SPECS, indexing.SPECS, linalg.SPECS
)
