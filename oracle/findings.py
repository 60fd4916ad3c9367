"""What a run leaves behind: findings, the run document, their JSON (schema 2) and their files.

Floats that are data (elements of tensors, differences, bounds) are stored as `float.hex()` strings, "nan",
"inf" and "-inf" included, so that a document is strict JSON and nothing is lost to rounding.
"""

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from oracle import program as ir
from oracle.program import Program, ProgramError

SCHEMA = 2
READABLE = (1, SCHEMA)  # 1 knew fewer statements; its programs mean the same
LARGEST_FILE = 256 * 1024 * 1024  # a document beyond this is not ours


class FindingError(ValueError):
    """A document that cannot be used; the message is one line: the place, what was expected, what is."""


@dataclass(frozen=True)
class Side:
    """One engine of the pair: its name, its version and what it answered, as text."""

    name: str
    version: str
    text: str


@dataclass(frozen=True)
class Origin:
    """Where a program came from: the campaign's seed, the shard, the draw within it (counted from 0)."""

    seed: int
    shard: int
    index: int


@dataclass(frozen=True)
class Shrink:
    """What shrinking did: statements before and after, programs tried by Hypothesis and by the reducer."""

    statements_before: int
    statements_after: int
    hypothesis_calls: int
    reducer_calls: int


@dataclass(frozen=True)
class Finding:
    """One distinct divergence with its shrunk program. `signature` is its bucket: kind, op, what, dtype."""

    kind: str
    op: str
    statement: int | None
    tensor: int | None
    what: str
    message: str
    signature: str
    subject: Side
    oracle: Side
    elements: tuple[dict[str, Any], ...]
    program: Program
    original: Program
    repro: str
    origin: Origin
    members: int
    plant: str | None
    shrink: Shrink

    @property
    def id(self) -> str:
        """12 hex digits that depend on the bucket and on the shrunk program, and on nothing else."""
        return sha256(f"{self.signature} {ir.dumps(self.program)}".encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps(..., allow_nan=False)`."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "kind": self.kind,
            "op": self.op,
            "statement": self.statement,
            "tensor": self.tensor,
            "what": self.what,
            "message": self.message,
            "signature": self.signature,
            "subject": asdict(self.subject),
            "oracle": asdict(self.oracle),
            "elements": [encode(element) for element in self.elements],
            "program": ir.to_json(self.program),
            "original": ir.to_json(self.original),
            "repro": self.repro,
            "origin": asdict(self.origin),
            "members": self.members,
            "plant": self.plant,
            "shrink": asdict(self.shrink),
        }

    @classmethod
    def from_json(cls, data: object, where: str = "finding") -> "Finding":
        """The finding that `data` describes. Raises FindingError, naming the place, if it describes none."""
        _schema(data, where)
        fields = _fields(data, where, _FINDING)
        found = cls(
            **{name: fields[name] for name in _PLAIN},
            subject=Side(**_fields(fields["subject"], f"{where}.subject", _SIDE)),
            oracle=Side(**_fields(fields["oracle"], f"{where}.oracle", _SIDE)),
            elements=tuple(
                _fields(element, f"{where}.elements[{i}]", _ELEMENT)
                for i, element in enumerate(fields["elements"])
            ),
            program=_program(fields["program"], f"{where}.program"),
            original=_program(fields["original"], f"{where}.original"),
            origin=Origin(**_fields(fields["origin"], f"{where}.origin", _ORIGIN)),
            shrink=Shrink(**_fields(fields["shrink"], f"{where}.shrink", _SHRINK)),
        )
        if found.id != fields["id"]:
            raise FindingError(f"{where}.id: {fields['id']!r} does not belong to this program and signature")
        return found


@dataclass(frozen=True)
class RunDocument:
    """A whole run: its summary (plain data) and its findings in the order of discovery."""

    summary: dict[str, Any]
    findings: tuple[Finding, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps(..., allow_nan=False)`."""
        return {
            "schema": SCHEMA,
            "summary": self.summary,
            "findings": [finding.to_json() for finding in self.findings],
        }

    @classmethod
    def from_json(cls, data: object, where: str = "run") -> "RunDocument":
        """The run that `data` describes. Raises FindingError, naming the place, if it describes none."""
        _schema(data, where)
        fields = _fields(data, where, {"summary": _mapping, "findings": _list})
        facts = {"semantics": {}, **fields["summary"]}  # which documents of before do not have
        summary = _fields(facts, f"{where}.summary", _SUMMARY)
        findings = [
            Finding.from_json(item, f"{where}.findings[{i}]") for i, item in enumerate(fields["findings"])
        ]
        return cls({**facts, **summary}, tuple(findings))


def encode(value: object) -> Any:
    """`value` as strict JSON data: floats become hex strings, complex numbers a pair of them."""
    if isinstance(value, float):
        return value.hex() if math.isfinite(value) else str(value)
    if isinstance(value, complex):
        return [encode(value.real), encode(value.imag)]
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


# Reading. One table per object: field name -> check, which returns the value or raises ValueError.

_Check = Callable[[Any], Any]


def _is(kind: type | tuple[type, ...], name: str) -> _Check:
    def check(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"expected {name}, got {_short(value)}")
        return value

    return check


def _optional(check: _Check) -> _Check:
    return lambda value: None if value is None else check(value)


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        text = "a number without end"
    return text if len(text) <= 40 else f"{text[:37]}..."


_text, _number = _is(str, "a string"), _is((int, float), "a number")
_mapping, _list = _is(dict, "an object"), _is(list, "a list")


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"expected an integer that is not negative, got {_short(value)}")
    return value


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{12}", value):
        raise ValueError(f"expected 12 hex digits, got {_short(value)}")
    return value


def _index(value: Any) -> tuple[int, ...]:
    return tuple(_count(item) for item in _list(value))


def _datum(value: Any) -> Any:
    """An element's value: bool, int, None, a hex string (a float) or a pair of them (a complex number)."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, list) and len(value) == 2:
        return complex(*(float.fromhex(_text(part)) for part in value))
    return float.fromhex(_text(value))


def _counts(value: Any) -> dict[str, int]:
    return {name: _count(number) for name, number in _mapping(value).items()}


def _pairs(value: Any) -> dict[str, list[int]]:
    pairs = {name: [_count(number) for number in _list(pair)] for name, pair in _mapping(value).items()}
    if wrong := next((name for name, pair in pairs.items() if len(pair) != 2), None):
        raise ValueError(f"expected two counts for {wrong}, got {len(pairs[wrong])}")
    return pairs


def _texts(value: Any) -> dict[str, str]:
    return {name: _text(text) for name, text in _mapping(value).items()}


_SIDE = {"name": _text, "version": _text, "text": _text}
_ORIGIN = {"seed": _is(int, "an integer"), "shard": _count, "index": _count}
_SHRINK = dict.fromkeys(
    ("statements_before", "statements_after", "hypothesis_calls", "reducer_calls"), _count
)
_ELEMENT = {"index": _index, **dict.fromkeys(("subject", "oracle", "difference", "ulps", "bound"), _datum)}
_FINDING: dict[str, _Check] = {
    "id": _identifier,
    "kind": _text,
    "op": _text,
    "statement": _optional(_count),
    "tensor": _optional(_count),
    "what": _text,
    "message": _text,
    "signature": _text,
    "subject": _mapping,
    "oracle": _mapping,
    "elements": _list,
    "program": _mapping,
    "original": _mapping,
    "repro": _text,
    "origin": _mapping,
    "members": _count,
    "plant": _optional(_text),
    "shrink": _mapping,
}
_PLAIN = ("kind", "op", "statement", "tensor", "what", "message", "signature", "repro", "members", "plant")
_SUMMARY: dict[str, _Check] = {
    "programs": _count,
    "seconds": _number,
    "findings": _count,
    "discarded": _counts,
    "escalated": _count,
    "ops": _counts,
    "semantics": _pairs,
    "versions": _texts,
    "seed": _is(int, "an integer"),
    "examples": _optional(_count),
    "profile": _text,
    "subject": _text,
    "oracle": _text,
    "jobs": _count,
    "plant": _optional(_text),
    "statements": _count,
}


def _schema(data: object, where: str) -> None:
    if not isinstance(data, dict):
        raise FindingError(f"{where}: expected an object, got {_short(data)}")
    version = data.get("schema")
    if isinstance(version, int) and version > SCHEMA:
        raise FindingError(
            f"{where}: schema {version} is newer than {SCHEMA}, the newest known here; update refgrad"
        )
    if isinstance(version, bool) or version not in READABLE:
        raise FindingError(f"{where}: expected schema 1 or {SCHEMA}, got {_short(version)}")


def _fields(data: Any, where: str, checks: Mapping[str, _Check]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise FindingError(f"{where}: expected an object, got {_short(data)}")
    missing = sorted(checks.keys() - data.keys())
    if missing:
        raise FindingError(f"{where}: missing {', '.join(missing)}")
    fields = {}
    for name, check in checks.items():
        try:
            fields[name] = check(data[name])
        except (ValueError, OverflowError) as error:
            raise FindingError(f"{where}.{name}: {error}") from None
    return fields


def _program(data: Any, where: str) -> Program:
    try:
        return ir.from_json(data)
    except ProgramError as error:
        raise FindingError(f"{where}: {error}") from None


def read_json(path: Path) -> Any:
    """The JSON in `path`. Raises FindingError if there is no such file or it is not strict JSON."""

    def constant(text: str) -> None:
        raise ValueError(f"{text} is not strict JSON")

    try:
        if not path.is_file():
            raise FindingError(f"{path}: no such file")
        if path.stat().st_size > LARGEST_FILE:
            raise FindingError(f"{path}: larger than {LARGEST_FILE} bytes")
        return json.loads(path.read_bytes().decode(), parse_constant=constant)
    except RecursionError:
        raise FindingError(f"{path}: nested too deeply") from None
    except UnicodeDecodeError:
        raise FindingError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise FindingError(f"{path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise FindingError(
            f"{path}: not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except FindingError:
        raise
    except ValueError as error:
        raise FindingError(f"{path}: not JSON: {error}") from None


def read_finding(path: Path) -> Finding:
    """The finding stored in `path`. Raises FindingError."""
    return Finding.from_json(read_json(path), str(path))


def read_run(path: Path) -> RunDocument:
    """The run stored in `path`. Raises FindingError."""
    return RunDocument.from_json(read_json(path), str(path))


def write_text(path: Path, text: str) -> Path:
    """Puts `text` into `path`, whole or not at all: through a temporary file beside it. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes files for their owner alone
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def write_json(path: Path, data: object) -> Path:
    """Puts `data` into `path` as strict JSON, whole or not at all. Raises OSError."""
    return write_text(path, json.dumps(data, allow_nan=False, indent=1) + "\n")


def write_findings(folder: Path, findings: Iterable[Finding]) -> list[Path]:
    """Writes ID.json and ID_repro.py for each finding into `folder`, which exists. Returns the paths."""
    paths = []
    for finding in findings:
        paths.append(write_json(folder / f"{finding.id}.json", finding.to_json()))
        paths.append(write_text(folder / f"{finding.id}_repro.py", finding.repro))
    return paths
