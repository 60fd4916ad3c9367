"""Version counters: how often the values of a tensor, and of all that share its memory, were written.

A counter is a list of one number, since views and detached tensors share it. Tensors made in inference mode
all have the one counter that does not count.
"""

from __future__ import annotations

from typing import Any, NoReturn

from refgrad.modes import local

Counter = list[int]


class Uncounted(Counter):
    """The counter of inference tensors: nothing that would ask it for a version may keep such a tensor."""

    def __getitem__(self, key: Any) -> NoReturn:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
            "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use "
            "it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
        )


UNCOUNTED = Uncounted()


def fresh() -> Counter:
    """The counter of a new tensor."""
    return UNCOUNTED if local.modes.inference else [0]


def bump(counter: Counter) -> None:
    """Count a write that was made. RuntimeError for one into an inference tensor, outside of inference mode."""
    if counter is not UNCOUNTED:
        counter[0] += 1
    elif not local.modes.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a "
            "normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
        )
