"""Anomaly mode: backward tells which operation of the forward pass went wrong, and looks for NaN."""

from __future__ import annotations

import warnings

from refgrad.modes import is_anomaly_check_nan_enabled, is_anomaly_enabled, set_anomaly_enabled

__all__ = ["detect_anomaly", "set_detect_anomaly"]


class _Restored:
    """Puts the mode back as it was when this was made."""

    def __init__(self) -> None:
        self.prev, self.prev_check_nan = is_anomaly_enabled(), is_anomaly_check_nan_enabled()

    def __exit__(self, *exc_info: object) -> None:
        set_anomaly_enabled(self.prev, self.prev_check_nan)


class detect_anomaly(_Restored):
    """Within it, operations remember where they were called, and a warning tells it before an error in backward.

    With `check_nan` a derivative that is NaN is an error: RuntimeError. For all threads, as in torch.
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__()
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            UserWarning,
            stacklevel=2,
        )

    def __enter__(self) -> None:
        set_anomaly_enabled(True, self.check_nan)


class set_detect_anomaly(_Restored):
    """Set anomaly mode at once; as a context manager, until its end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__()
        set_anomaly_enabled(mode, check_nan)

    def __enter__(self) -> None:
        pass
