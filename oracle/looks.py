"""How a script looks at what two engines part in: an expression at the end, and lines that prepare it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from oracle.compare import NUMERIC, Divergence, name_of
from oracle.plan import plan
from oracle.program import Delete, Enter, Program, created
from oracle.trace import Observation, Place, Trace


class Look(NamedTuple):
    """What is looked at.

    label, expression: its name, and its value as an expression after all statements. before, after, instead: as
    in `Writing`.
    """

    label: str
    expression: str
    before: Mapping[int, Sequence[str]] = MappingProxyType({})
    after: Mapping[int, Sequence[str]] = MappingProxyType({})
    instead: Mapping[int, str] = MappingProxyType({})


def look_at(program: Program, divergence: Divergence, trace: Trace) -> Look:
    """How to look at a divergence; `trace` is the oracle's."""
    at = divergence.statement
    place = divergence.place or Place(at, divergence.tensor, divergence.what)
    name = name_of(program, place)
    if divergence.kind == "mode":
        return _modes(program, divergence, trace)
    if divergence.kind == "hook":
        calls = '[(c["hook"], len(c["gradients"]), c["grad mode"]) for c in calls]'
        return Look("calls of hooks", f"sorted({calls})" if at in plan(program).unordered else calls)
    if divergence.what == "gradient":
        return _given(divergence, place, trace)
    if divergence.kind == "edges":
        behind = f"{name}.grad_fn and [(f and f.name(), k) for f, k in {name}.grad_fn.next_functions]"
        return Look(f"nodes behind {name}", behind)
    if divergence.kind == "identity":
        return _identity(program, divergence, name, trace)
    if divergence.kind == "storage":
        shared = _others(program, divergence, name, trace, "storage(x) == storage({0})")
        return Look(f"tensors that share memory with {name}", shared)
    if divergence.kind == "version":
        start = _appeared(program, divergence, trace)
        if start is not None:
            after = {start: [f"kept['start'] = {name}._version"]}
            return Look(f"writes to {name}", f"{name}._version - kept['start']", after=after)
    label, look = _ASPECTS["value" if divergence.kind in NUMERIC else divergence.kind]
    return Look(f"{name}{label}", look.format(name))


def _modes(program: Program, divergence: Divergence, trace: Trace) -> Look:
    """The modes, wherever they may have changed."""
    note = ["kept['modes'].append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))"]
    after: dict[int, list[str]] = {}
    for place in trace.places[: (divergence.entry or 0) + 1]:
        if place.what == "modes" and place.statement is not None:
            inside = isinstance(program.statements[place.statement], Enter)
            after[~place.statement if inside else place.statement] = note
    return Look("modes", "kept['modes']", {0: ["kept['modes'] = []"]}, after)


def _given(divergence: Divergence, place: Place, trace: Trace) -> Look:
    """A gradient that a hook is given, by which of the hook's calls it is."""
    earlier = zip(trace.places[: divergence.entry], trace.seen, strict=False)
    call = sum(p.what == "hook" and p.tensor == place.tensor for p, _ in earlier) - 1
    chosen = f"[c for c in calls if c['hook'] == {place.tensor}][{call}:][:1]"
    key = "numbers" if divergence.kind in NUMERIC else divergence.kind
    seen = f"[c['gradients'][{place.part}] for c in {chosen}]"
    label = f"gradient {place.part} of call {call} of hook {place.tensor}"
    if divergence.kind == "none":
        return Look(f"{label} is None", f"[g is None for g in {seen}]")
    return Look(label, f"next((g[{key!r}] for g in {seen}), None)")


def _identity(program: Program, divergence: Divergence, name: str, trace: Trace) -> Look:
    """Whether an object is one that was there before."""
    at = divergence.statement
    if divergence.what == "returned" and at is not None:
        instead = {at: f"kept['returned'] = {{}} is {name}"}
        return Look(f"{name} is what is returned", "kept['returned']", instead=instead)
    if name.endswith(".grad") and at is not None:
        return Look(f"{name} is the object it was", f"{name} is kept['old']", {at: [f"kept['old'] = {name}"]})
    return Look(f"tensors that are {name} itself", _others(program, divergence, name, trace, "x is {0}"))


def _others(program: Program, divergence: Divergence, name: str, trace: Trace, condition: str) -> str:
    """The names of the other tensors there are by then, as `x`, that meet a condition; as an expression."""
    last = len(program.statements) if divergence.what == "state" else divergence.statement
    entries = zip(trace.places[: divergence.entry], trace.seen, strict=False)
    there = {p.tensor for p, entry in entries if p.what in ("value", "grad") and type(entry) is Observation}
    there |= set(range(len(program.leaves)))
    if last is not None:
        deleted = {s.tensor for s in program.statements[: last + 1] if isinstance(s, Delete)}
        there = {i for i in there - deleted if i is not None and i < _count(program, last)}
    others = ", ".join(f"'t{i}': t{i}" for i in sorted(i for i in there if i is not None) if f"t{i}" != name)
    return f"[t for t, x in {{{others}}}.items() if {condition.format(name)}]"


def _count(program: Program, last: int) -> int:
    """How many tensors there are after a statement."""
    return len(program.leaves) + sum(map(created, program.statements[: last + 1]))


def _appeared(program: Program, divergence: Divergence, trace: Trace) -> int | None:
    """The statement after which writes are counted; None if all count."""
    tensor = divergence.tensor
    if tensor not in plan(program).loose:
        return None
    return next((p.statement for p in trace.places if p.tensor == tensor and p.what in ("value", "grad")), None)


_ASPECTS = {
    "value": ("", "numbers({0})"),
    "none": (" is None", "{0} is None"),
    "dtype": (".dtype", "str({0}.dtype)"),
    "shape": (".shape", "list({0}.shape)"),
    "requires_grad": (".requires_grad", "{0}.requires_grad"),
    "is_leaf": (".is_leaf", "{0}.is_leaf"),
    "grad_fn": (".grad_fn", "node({0})"),
    "version": ("._version", "{0}._version"),
    "output_nr": (".output_nr", "{0}.output_nr"),
    "is_view": ("._is_view()", "{0}._is_view()"),
    "is_inference": (".is_inference()", "{0}.is_inference()"),
    "retains_grad": (".retains_grad", "{0}.retains_grad"),
}
