"""What torch keeps under this name."""

from __future__ import annotations

from refgrad.utils import checkpoint

__all__ = ["checkpoint"]
