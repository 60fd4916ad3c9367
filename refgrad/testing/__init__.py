"""Known defects that can be put into the engine for a while, to see that the harness finds them.

    with refgrad.testing.plant("sin-sign"):
        ...

Each is a mistake that engines have really made, or would easily make. They work by replacing a formula of an
op or a rule of the core, and are taken out again at the end of the context, whatever happens inside.
"""

from __future__ import annotations

from refgrad.testing import accumulation, forward, functions, hooks, modes, passes, saving, values, versions, views
from refgrad.testing.planting import Plant, Planting

__all__ = ["PLANTS", "Plant", "plant"]

_GROUPS = (values, hooks, versions, views, modes, accumulation, passes, functions, saving, forward)
PLANTS: dict[str, Plant] = {planted.name: planted for group in _GROUPS for planted in group.PLANTS}


def plant(name: str) -> Planting:
    """Put a known defect into the engine until the context ends.

    Raises ValueError, with the names there are, for an unknown one.
    """
    if name not in PLANTS:
        raise ValueError(f"no planted defect is called {name!r}; there are: {', '.join(sorted(PLANTS))}")
    return PLANTS[name].apply()
