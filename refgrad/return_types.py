"""Tuples with named fields that ops with several results return, such as ``torch.return_types.max``."""

from __future__ import annotations

from operator import itemgetter
from typing import Any


class _Fields(tuple[Any, ...]):
    """Made from one sequence, as torch's are; unpacks as a tuple and prints field by field."""

    __slots__ = ()
    fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        rows = ",\n".join(f"{name}={value!r}" for name, value in zip(self.fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{rows})"


def named(name: str, *fields: str) -> Any:
    """A tuple type of that name with these fields."""
    space: dict[str, Any] = {field: property(itemgetter(k)) for k, field in enumerate(fields)}
    return type(name, (_Fields,), space | {"__slots__": (), "__module__": "torch.return_types", "fields": fields})


max = named("max", "values", "indices")
min = named("min", "values", "indices")
aminmax = named("aminmax", "min", "max")
median = named("median", "values", "indices")
nanmedian = named("nanmedian", "values", "indices")
sort = named("sort", "values", "indices")
topk = named("topk", "values", "indices")
kthvalue = named("kthvalue", "values", "indices")
cummax = named("cummax", "values", "indices")
cummin = named("cummin", "values", "indices")
frexp = named("frexp", "mantissa", "exponent")
