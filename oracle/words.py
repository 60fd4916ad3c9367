"""What a run says in the end, on a terminal."""

from pathlib import Path

from oracle.campaign import Config
from oracle.compare import Divergence
from oracle.findings import Finding, RunDocument
from oracle.repro import describe

SHOWN = 10  # findings printed in full


def closing_words(document: RunDocument, config: Config, report: Path | None) -> str:
    """What a run prints in the end."""
    facts = document.summary
    ops, seconds = facts["ops"], facts["seconds"]
    sides = [f"{name} {facts['versions'][name]}" for name in (config.subject, config.oracle)]
    counts = [f"{sum(map(bool, ops.values()))} of {len(ops)} ops", f"{facts['statements']:,} statements"]
    counts += [f"{facts['escalated']:,} held against error bounds"]
    counts += [f"{number:,} {reason}" for reason, number in facts["discarded"].items()]
    number = len(document.findings)
    lines = [
        f"{number or 'no'} finding{'' if number == 1 else 's'} in {facts['programs']:,} programs"
        f" ({seconds:.1f} s, {facts['programs'] / seconds:,.0f} a second)"
        f"{', interrupted' if facts['interrupted'] else ''}",
        f"{sides[0]} against {sides[1]}, seed {config.seed}, profile {config.profile}"
        f"{f', planted defect {config.plant}' if config.plant else ''}",
        ", ".join(counts),
    ]
    for place, finding in enumerate(document.findings[:SHOWN], 1):
        lines += ["", f"{place}. {headline(finding)}", *indented(story(finding))]
        if report:
            lines.append(f"    {report / 'findings' / finding.id}.json")
    if number > SHOWN:
        lines += ["", f"{number - SHOWN} more{' in the report' if report else '; --report DIR keeps them'}"]
    if report:
        lines += ["", f"report: {report}"]
    return "\n".join([*lines, "", f"again: {command_line(config, facts['programs'])}"])


def headline(finding: Finding) -> str:
    """A finding in one line."""
    before, after = finding.shrink.statements_before, finding.shrink.statements_after
    programs = f"{finding.members:,} program{'' if finding.members == 1 else 's'}"
    return f"{finding.kind} of {finding.op}, in {programs}; shrunk from {before} statements to {after}"


def story(finding: Finding) -> str:
    """The program of a finding and what differs."""
    found = Divergence(
        finding.kind,
        finding.statement,
        finding.tensor,
        finding.what,
        finding.op,
        finding.message,
        finding.subject.text,
        finding.oracle.text,
        finding.elements,
    )
    return describe(found, finding.program)


def indented(text: str) -> list[str]:
    """Lines under a headline."""
    return [f"    {line}" for line in text.splitlines()]


def command_line(config: Config, programs: int) -> str:
    """The command that runs the same programs again; not the clock but their number ends it."""
    words = ["refgrad fuzz", f"--seed {config.seed}", f"--examples {config.examples or programs}"]
    if config.ops is not None:
        words.append(f"--ops {','.join(config.ops)}")
    for name, usual in (("profile", "default"), ("subject", "refgrad"), ("oracle", "torch"), ("plant", None)):
        value = getattr(config, name)
        if value != usual:
            words.append(f"--{name} {value}")
    return " ".join(words)
