"""The modes that a span of a program may run in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from oracle.saving import SAVING


class Mode(NamedTuple):
    """A mode.

    open: makes the context manager for a module; None for the modes that are none: "again" enters the object
    of the span around it a second time, "thread" runs its span in a new thread, "generator" in a generator
    under `no_grad` that yields after each statement.
    source: the context manager as Python source; empty where `open` is None.
    again: whether its object may be entered a second time.
    """

    open: Callable[[Any], Any] | None
    source: str
    again: bool = False


MODES: dict[str, Mode] = {
    "no_grad": Mode(lambda torch: torch.no_grad(), "torch.no_grad()", True),
    "enable_grad": Mode(lambda torch: torch.enable_grad(), "torch.enable_grad()", True),
    "grad_disabled": Mode(lambda torch: torch.set_grad_enabled(False), "torch.set_grad_enabled(False)", True),
    "grad_enabled": Mode(lambda torch: torch.set_grad_enabled(True), "torch.set_grad_enabled(True)", True),
    "inference_mode": Mode(lambda torch: torch.inference_mode(), "torch.inference_mode()"),
    "inference_mode_off": Mode(lambda torch: torch.inference_mode(False), "torch.inference_mode(False)"),
    **{name: Mode(function, f"{name}(torch)") for name, function in SAVING.items()},
    "save_on_cpu": Mode(lambda torch: torch.autograd.graph.save_on_cpu(), "torch.autograd.graph.save_on_cpu()"),
    "saving_disabled": Mode(
        lambda torch: torch.autograd.graph.disable_saved_tensors_hooks("no hooks here"),
        "torch.autograd.graph.disable_saved_tensors_hooks('no hooks here')",
    ),
    "allow_mutation": Mode(
        lambda torch: torch.autograd.graph.allow_mutation_on_saved_tensors(),
        "torch.autograd.graph.allow_mutation_on_saved_tensors()",
    ),
    "anomaly": Mode(lambda torch: torch.autograd.detect_anomaly(), "torch.autograd.detect_anomaly()"),
    "anomaly_unchecked": Mode(
        lambda torch: torch.autograd.detect_anomaly(check_nan=False),
        "torch.autograd.detect_anomaly(check_nan=False)",
    ),
    "dual_level": Mode(
        lambda torch: torch.autograd.forward_ad.dual_level(), "torch.autograd.forward_ad.dual_level()"
    ),
    "again": Mode(None, "", True),
    "thread": Mode(None, ""),
    "generator": Mode(None, ""),
}


def in_thread(work: Callable[[], None]) -> None:
    """Does the work in a new thread and waits for it; what it raises is raised here."""
    import threading  # here, since scripts carry this function

    raised: list[BaseException] = []

    def target() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
