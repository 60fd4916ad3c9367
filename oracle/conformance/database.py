"""What torch's operator database holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from oracle.engines.protocol import EngineError

Sample = Any
"""torch's SampleInput: `input`, `args`, `kwargs`, `output_process_fn_grad`."""


class Entry(NamedTuple):
    """An entry of the database.

    name: torch's, with dots, of a function or a method. variant: tells entries of one name apart, mostly empty.
    info: torch's OpInfo.
    """

    name: str
    variant: str
    info: Any

    @property
    def label(self) -> str:
        return f"{self.name}.{self.variant}" if self.variant else self.name

    @property
    def second_order(self) -> bool:
        """Whether torch can differentiate its gradient."""
        return bool(self.info.supports_gradgrad)

    def samples(self, dtype: str = "float64", requires_grad: bool = True) -> Iterator[Sample]:
        """torch's samples, as torch's tests take them."""
        import torch

        yield from self.info.sample_inputs("cpu", getattr(torch, dtype), requires_grad=requires_grad)


def entries() -> list[Entry]:
    """The differentiable entries of the installed torch that take float64, in its order.

    Raises EngineError if the database cannot be imported.
    """
    try:
        import torch
        from torch.testing._internal.common_methods_invocations import op_db
    except ImportError as error:
        raise EngineError(
            f"torch's operator database cannot be imported ({error}): install torch, and expecttest, which it needs"
        ) from error
    return [
        Entry(info.name, info.variant_test_name, info)
        for info in op_db
        if info.supports_autograd and torch.float64 in info.supported_dtypes("cpu")
    ]
