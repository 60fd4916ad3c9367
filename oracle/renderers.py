"""Finds what turns a run document into something to look at.

Whoever renders registers a callable `render(document, directory) -> list of paths` in the entry-point group
"refgrad.renderers". The document is the JSON data of `oracle.findings.RunDocument`.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

GROUP = "refgrad.renderers"

Renderer = Callable[[dict[str, Any], Path], list[Path]]


def renderers() -> dict[str, Renderer]:
    """Every registered renderer by name, in the order of names. Raises what importing one raises."""
    return {
        entry.name: entry.load() for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    }


def render(document: dict[str, Any], directory: Path) -> list[Path]:
    """Lets every renderer write into `directory`; returns what they wrote."""
    return [path for renderer in renderers().values() for path in renderer(document, directory)]
