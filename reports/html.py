"""One HTML page from a run document: it opens from disk, asks nothing of the network and needs no script."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from oracle.catalogue import DRAWN
from oracle.coverage import verified
from oracle.findings import READABLE, SCHEMA, write_text

from . import wording
from .graph import draw
from .listing import lines

_TEMPLATES = Path(__file__).parent / "templates"
_ELEMENTS = 50  # rows of values shown; all of them are in the raw JSON
# What `refgrad fuzz` takes when it is told nothing.
_USUAL = {"profile": "default", "subject": "refgrad", "oracle": "torch", "plant": None}
# What no reader can see, or what reorders what they see: controls, bidi marks, halves of a character.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]"
)


def render(document: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write `index.html` for a run document into a folder, made if it is missing; return what was written.

    The page appears whole or not at all. A document that is not of this schema raises ValueError, a folder
    that cannot be written OSError, each with one line that says what to do.
    """
    page = to_html(document)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return [write_text(directory / "index.html", page)]
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"cannot write the report into {directory}: {reason}; name another folder") from error


def to_html(document: Mapping[str, Any]) -> str:
    """The page as text; the same document gives the same text."""
    if not isinstance(document, Mapping) or document.get("schema") not in READABLE:
        found = document.get("schema") if isinstance(document, Mapping) else type(document).__name__
        raise ValueError(f"run document of schema {found!r}: expected {SCHEMA}; use what wrote it")
    try:
        return _page(document["summary"], document["findings"], wording.found(document))
    except (ArithmeticError, AttributeError, LookupError, TypeError, UndefinedError) as error:
        raise ValueError(f"run document is not one of schema {SCHEMA}: {error!r}") from error


def _page(summary: Mapping[str, Any], findings: Sequence[Mapping[str, Any]], found: int) -> str:
    style, script = _asset("report.css"), _asset("report.js")
    template = _environment().get_template("report.html.j2")
    return template.render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        verdict=wording.verdict(summary, found),
        state="nothing" if wording.executed_nothing(summary) else "differ" if found else "agree",
        found=found,
        summary=summary,
        command=_command(summary),
        coverage=_coverage(summary["ops"], findings),
        semantics=_semantics(summary.get("semantics", {})),
        findings=[_finding(number, finding) for number, finding in enumerate(findings, 1)],
    )


def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    """The source expression by which a policy allows exactly this text inline."""
    return f"'sha256-{b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("approximate", "count", "decimal", "engine", "position", "seconds")
    environment.filters |= {name: getattr(wording, name) for name in names}
    return environment


def _visible(value: Any) -> Any:
    """Write unseen characters as escapes, in everything that a template puts out."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return value


def _finding(number: int, finding: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of one finding."""
    program, identity, elements = finding["program"], str(finding["id"]), finding["elements"]
    try:
        drawing = draw(program, finding)
    except ValueError as error:
        raise ValueError(f"finding {number} ({identity}): {error}") from error
    return {
        "number": number,
        "anchor": f"finding-{identity if re.fullmatch('[0-9a-f]+', identity) else number}",
        "drawing": drawing,
        "program": lines(program, finding["statement"]),
        "original": lines(finding["original"]),
        "worst": _worst(elements),
        "elements": elements[:_ELEMENTS],
        "hidden": max(len(elements) - _ELEMENTS, 0),
        "replay": f"refgrad replay {shlex.quote(f'findings/{identity}.json')}",
        "raw": json.dumps(finding, indent=1),
        "data": finding,
    }


def _worst(elements: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The element that is furthest apart, where there are several."""
    known = {at: wording.as_float(element["difference"]) for at, element in enumerate(elements)}
    apart = {at: abs(size) for at, size in known.items() if size is not None and size == size}
    return elements[max(apart, key=lambda at: apart[at])] if apart and len(elements) > 1 else None


def _coverage(ops: Mapping[str, int], findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ops by name with how often each was drawn, beside the most drawn one; those never drawn apart."""
    drawn = {name: times for name, times in sorted(ops.items()) if times}
    found = Counter(str(finding["op"]) for finding in findings)
    most = max(drawn.values(), default=1)
    return {
        "ops": [
            {"name": name, "times": times, "share": f"{100 * times / most:.1f}%", "found": found[name]}
            for name, times in drawn.items()
        ],
        "untested": sorted(name for name, times in ops.items() if not times),
        "known": len(ops),
        "total": sum(drawn.values()),
        "least": min(drawn, key=lambda name: drawn[name], default=None),
        "most": max(drawn, key=lambda name: drawn[name], default=None),
        "drawn": drawn,
    }


def _semantics(counts: Mapping[str, Any]) -> dict[str, Any]:
    """The rules of torch.autograd by section, with what verifies them; empty for a run that did not count."""
    rows = verified(counts) if counts else []
    reachable = [row for row in rows if row.row.events]
    return {
        "sections": [(name, list(of)) for name, of in groupby(rows, key=lambda row: row.row.section)],
        "rows": len(rows),
        "reachable": len(reachable),
        "reached": sum(bool(row.times) for row in reachable),
    }


def _command(summary: Mapping[str, Any]) -> str:
    """The command line that runs the same programs again; their number ends it, not the clock."""
    given = {"seed": summary["seed"], "examples": summary["examples"] or summary["programs"]}
    if summary["ops"].keys() < DRAWN.keys():
        given["ops"] = ",".join(summary["ops"])
    given |= {name: summary[name] for name, usual in _USUAL.items() if summary[name] != usual}
    return " ".join(
        ["refgrad fuzz", *(f"--{name} {shlex.quote(str(value))}" for name, value in given.items())]
    )
