"""The command line: `refgrad fuzz`, `replay`, `stats`, `coverage`, `ops`, `plants`."""

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import refgrad
from oracle.findings import (
    SCHEMA,
    FindingError,
    RunDocument,
    read_finding,
    read_run,
    write_findings,
    write_json,
)
from oracle.progress import Progress
from oracle.renderers import render

NOTHING, FOUND, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES = """exit codes:
  0    nothing found: both sides agree in every program that was run
  1    findings
  2    bad usage: nothing was run and nothing was written
  3    the harness itself failed, or no program was run
  130  interrupted, nothing found until then
"""

FUZZ_EXAMPLES = """examples:
  refgrad fuzz
      2,000 programs, refgrad against torch
  refgrad fuzz --time 10m --jobs auto --report out
      ten minutes on all CPUs; the page is out/index.html
  refgrad fuzz --ops sin,mul,sum --examples 500
      programs of these ops only
  refgrad fuzz --plant NAME
      with a known defect in refgrad: must exit with 1
  refgrad fuzz --subject torch
      torch against itself: shows what the harness adds

A run is repeated by its seed, whatever the number of jobs; the last line printed is the command that does so.

"""

COVERAGE_EXAMPLES = """examples:
  refgrad coverage --semantics
      each rule of torch.autograd, how many of 2,000 programs exercise it (on the oracle), and its tests
  refgrad coverage --semantics --run report/run.json
      the same with the counts of a run: programs and findings

exit codes:
  0  each rule is verified by programs or by tests, or the table says what it waits for
  1  there is one that is not
  2  bad usage
"""

OPS_EXAMPLES = """examples:
  refgrad ops
      every differentiable entry of torch's operator database (op_db), all its samples: half a minute
  refgrad ops --only sin,linalg.inv
      these entries
  refgrad ops --samples 3 --json ops.json
      three samples of each; the table as data

exit codes:
  0  what refgrad has agrees with torch; what it has not is listed
  1  an entry disagrees
  2  bad usage, or the database cannot be imported
"""

REPLAY_EXAMPLES = """examples:
  refgrad replay out/findings/0123456789ab.json

A finding that was made under a planted defect is replayed under it. Beside each finding lies a script that
needs the two engines only: out/findings/0123456789ab_repro.py.

exit codes:
  0  both sides agree now
  1  they differ
  2  the file is no finding
  3  the harness itself failed
"""


class UsageError(ValueError):
    """What was asked for cannot be done; the message is one line that says why and what can."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    given = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = given.command
    try:
        return command(given)
    except (UsageError, FindingError) as error:
        return complain(str(error), USAGE)
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nobody reads; Python flushes in the end
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        return complain("the harness failed; this says nothing about the engines", FAILED)


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    top = command_parser(
        argparse.ArgumentParser,
        prog="refgrad",
        description="Holds refgrad's automatic differentiation against torch.autograd on random programs.",
        epilog="refgrad COMMAND --help says more, with examples.\n\n" + EXIT_CODES,
    )
    top.add_argument("--version", action="version", version=f"refgrad {refgrad.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    fuzz = command_parser(
        commands.add_parser,
        "fuzz",
        help="run random programs on two engines and compare",
        description="Runs random programs on two engines, compares all that is seen, shrinks what differs.",
        epilog=FUZZ_EXAMPLES + EXIT_CODES,
    )
    fuzz.add_argument("--examples", type=positive, metavar="N", help="programs to run (default: 2000)")
    fuzz.add_argument(
        "--time", type=duration, metavar="T", help="start no more shards after 90, 60s, 5m or 1h"
    )
    add_source(fuzz)
    fuzz.add_argument(
        "--jobs", type=job_count, default=1, metavar="N", help="worker processes, or auto (default: 1)"
    )
    fuzz.add_argument(
        "--subject", default="refgrad", metavar="NAME", help="engine under test (default: refgrad)"
    )
    fuzz.add_argument(
        "--oracle", default="torch", metavar="NAME", help="engine that is right (default: torch)"
    )
    fuzz.add_argument("--plant", metavar="NAME", help="put a known defect into refgrad (see refgrad plants)")
    fuzz.add_argument(
        "--report", type=Path, metavar="DIR", help="write the findings and pages to look at here"
    )
    fuzz.add_argument("--json", type=Path, metavar="FILE", help="write the run's summary here")
    fuzz.set_defaults(command=fuzz_command)

    replay = command_parser(
        commands.add_parser,
        "replay",
        help="run a stored finding again",
        description="Runs the program of a stored finding on both sides again and shows the difference.",
        epilog=REPLAY_EXAMPLES,
    )
    replay.add_argument("finding", type=Path, metavar="FINDING.json")
    replay.set_defaults(command=replay_command)

    stats = command_parser(
        commands.add_parser,
        "stats",
        help="how the random programs are distributed",
        description="Draws the programs that fuzz would run and shows how they are distributed.",
    )
    stats.add_argument(
        "--examples", type=positive, default=2000, metavar="N", help="programs (default: 2000)"
    )
    add_source(stats)
    stats.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    stats.set_defaults(command=stats_command)

    coverage = command_parser(
        commands.add_parser,
        "coverage",
        help="which rules of torch.autograd are verified, and how",
        description="Lists the rules of torch.autograd, and how each is verified: by programs, by tests.",
        epilog=COVERAGE_EXAMPLES,
    )
    coverage.add_argument("--semantics", action="store_true", required=True, help="the table of semantics")
    coverage.add_argument("--run", type=Path, metavar="FILE", help="count what a run did (its run.json)")
    coverage.add_argument(
        "--examples", type=positive, default=2000, metavar="N", help="programs to count over (default: 2000)"
    )
    add_source(coverage, "semantics")
    coverage.add_argument("--oracle", default="torch", metavar="NAME", help="engine to run them on (default: torch)")
    coverage.add_argument("--json", type=Path, metavar="FILE", help="write the table here")
    coverage.set_defaults(command=coverage_command)

    ops = command_parser(
        commands.add_parser,
        "ops",
        help="run the samples of torch's operator database",
        description="Runs the samples of torch's operator database on refgrad: values, gradients, second order.",
        epilog=OPS_EXAMPLES,
    )
    ops.add_argument("--samples", type=positive, metavar="N", help="at most so many of each entry (default: all)")
    ops.add_argument("--only", metavar="LIST", help="these entries only, separated by commas")
    ops.add_argument("--json", type=Path, metavar="FILE", help="write the table here")
    ops.set_defaults(command=ops_command)

    plants = command_parser(commands.add_parser, "plants", help="list the known defects for fuzz --plant")
    plants.set_defaults(command=plants_command)
    return top


def command_parser(make: Callable[..., Any], *names: str, **texts: str) -> argparse.ArgumentParser:
    """A parser that keeps the line breaks of its texts and takes no abbreviations."""
    made: argparse.ArgumentParser = make(
        *names, **texts, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    return made


def add_source(command: argparse.ArgumentParser, profile: str = "default") -> None:
    """The options that say which programs are drawn."""
    command.add_argument(
        "--seed", type=int, default=0, metavar="K", help="where the programs start (default: 0)"
    )
    command.add_argument(
        "--profile", default=profile, metavar="NAME", help=f"how programs are distributed (default: {profile})"
    )
    command.add_argument("--ops", metavar="LIST", help="draw these ops only, separated by commas")


def positive(text: str) -> int:
    """A whole number from 1."""
    if not re.fullmatch("[0-9]{1,12}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def job_count(text: str) -> int | None:
    """A number of jobs; None for "auto"."""
    return None if text == "auto" else positive(text)


def duration(text: str) -> float:
    """Seconds, from 90, 60s, 5m or 1h."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh]?)", text)
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(f"expected a time such as 90, 60s, 5m or 1h, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


# Commands


def fuzz_command(given: argparse.Namespace) -> int:
    """Runs a campaign, writes what was asked for, prints the summary."""
    from oracle.campaign import Config, WorkerDied, run_campaign
    from oracle.words import closing_words

    profile, ops = source(given)
    examples = 2000 if given.examples is None and given.time is None else given.examples
    config = Config(
        examples,
        given.time,
        given.seed,
        given.jobs,
        profile,
        ops,
        known_engine(given.subject),
        known_engine(given.oracle),
        known_plant(given.plant, (given.subject, given.oracle)),
    )
    if given.json:
        check_file(given.json)
    if given.report:
        prepare_folder(given.report)
    died = ""
    try:
        document = run_campaign(config, Progress(sys.stderr, examples))
    except WorkerDied as error:
        document, died = error.document, str(error)
    if given.json:
        write_json(given.json, {"schema": SCHEMA, **document.summary})
    if given.report:
        write_report(given.report, document)
    print(plain(closing_words(document, config, given.report)))
    if died:
        return complain(f"{died}; what was found before is above", FAILED)
    if not document.summary["programs"] and not document.summary["interrupted"]:
        return complain("no program was run: this profile and these ops leave nothing to draw", FAILED)
    if document.findings:
        return FOUND
    return INTERRUPTED if document.summary["interrupted"] else NOTHING


def replay_command(given: argparse.Namespace) -> int:
    """Runs a stored program again."""
    from oracle.repro import describe
    from oracle.shard import ShardTask, examiner

    finding = read_finding(given.finding)
    names = known_engine(finding.subject.name), known_engine(finding.oracle.name)
    plant = known_plant(finding.plant, names)
    print(f"{names[0]} against {names[1]}, finding {finding.id}")
    if plant:
        print(f"with the planted defect {plant!r} in refgrad, as the finding says")
    with examiner(ShardTask(0, 0, 0, "default", None, *names, plant)) as examine:
        found = examine(finding.program).divergence
    if found is None:
        print(plain(f"both sides agree now; recorded was: {finding.message}"))
        return NOTHING
    if (found.kind, found.statement, found.tensor, found.what) != (
        finding.kind,
        finding.statement,
        finding.tensor,
        finding.what,
    ):
        print(plain(f"they differ, but not as recorded, which was: {finding.message}"))
    print(plain(describe(found, finding.program)))
    return FOUND


def stats_command(given: argparse.Namespace) -> int:
    """Draws programs and describes them."""
    from oracle.choices import Source, entropy
    from oracle.generate import programs
    from oracle.shard import SIZE, profile_of
    from oracle.stats import describe

    profile, ops = source(given)
    if given.json:
        check_file(given.json)
    drawer = Source(programs(profile_of(profile, ops)))
    places = (divmod(number, SIZE) for number in range(given.examples))
    drawn = [program for place in places if (program := drawer.draw(entropy(given.seed, *place))) is not None]
    figures = describe(drawn)
    if given.json:
        write_json(given.json, {"schema": SCHEMA, "seed": given.seed, **figures})
    print(figures)
    return NOTHING if drawn else complain("no program was drawn", FAILED)


def coverage_command(given: argparse.Namespace) -> int:
    """Shows how each row of the semantics table is verified."""
    from oracle.coverage import table, verified

    if given.json:
        check_file(given.json)
    counts = read_run(given.run).summary["semantics"] if given.run else counted(given)
    rows = verified(counts)
    if given.json:
        facts = [
            {
                "row": row.row.number,
                "section": row.row.section,
                "topic": row.row.topic,
                "programs": row.times,
                "findings": row.findings,
                "cases": row.cases,
                "how": row.how,
            }
            for row in rows
        ]
        write_json(given.json, {"schema": SCHEMA, "semantics": facts})
    print(table(rows))
    return FOUND if any(row.untested for row in rows) else NOTHING


def ops_command(given: argparse.Namespace) -> int:
    """Shows which entries of torch's operator database refgrad agrees on."""
    from oracle.conformance.database import entries
    from oracle.conformance.sweep import Row, sweep
    from oracle.conformance.table import facts, line, totals, wrong
    from oracle.engines.protocol import EngineError

    if given.json:
        check_file(given.json)
    try:
        found = entries()
    except EngineError as error:
        raise UsageError(str(error)) from None
    if given.only:
        names = {entry.name for entry in found} | {entry.label for entry in found}
        wanted = given.only.split(",")
        for name in wanted:
            if name not in names:
                close = ", ".join(get_close_matches(name, names)) or "nothing like it"
                raise UsageError(f"torch's operator database has no entry {name!r}, but {close}")
        found = [entry for entry in found if entry.name in wanted or entry.label in wanted]
    rows: list[Row] = []
    for row in sweep(refgrad, found, most=given.samples):
        print(line(row), flush=True)
        rows.append(row)
    print(f"\n{totals(rows)}")
    if given.json:
        write_json(given.json, {"schema": SCHEMA, "ops": facts(rows)})
    return FOUND if any(map(wrong, rows)) else NOTHING


def counted(given: argparse.Namespace) -> dict[str, list[int]]:
    """How many of some programs exercise each row, on one engine alone."""
    from collections import Counter

    from oracle import engines
    from oracle.choices import Source, entropy
    from oracle.execute import run
    from oracle.generate import programs
    from oracle.semantics import exercised
    from oracle.shard import SIZE, profile_of

    profile, ops = source(given)
    engine = engines.get(known_engine(given.oracle))
    drawer = Source(programs(profile_of(profile, ops)))
    counts: Counter[int] = Counter()
    for number in range(given.examples):
        program = drawer.draw(entropy(given.seed, *divmod(number, SIZE)))
        if program is not None:
            counts.update(exercised(program, run(program, engine)))
    return {str(row): [times, 0] for row, times in counts.items()}


def plants_command(given: argparse.Namespace) -> int:
    """Lists the known defects."""
    from refgrad.testing import PLANTS

    width = max(map(len, PLANTS), default=0)
    for name, plant in sorted(PLANTS.items()):
        print(f"{name:{width}}  {plant.description}")
    return NOTHING


# Names


def source(given: argparse.Namespace) -> tuple[str, tuple[str, ...] | None]:
    """The profile's name and the ops asked for. Raises UsageError for unknown ones."""
    from oracle.catalogue import DRAWN
    from oracle.generate import PROFILES

    profile = known("profile", given.profile, PROFILES)
    if given.ops is None:
        return profile, None
    names = [name for name in re.split("[, ]+", given.ops) if name]
    if not names:
        raise UsageError(f"--ops {given.ops!r} names no op; separate names by commas, as in --ops sin,mul")
    return profile, tuple(dict.fromkeys(known("op", name, DRAWN) for name in names))


def known_engine(name: str) -> str:
    """The engine's name. Raises UsageError if there is none or it cannot be loaded."""
    from oracle import engines

    known("engine", name, engines.NAMES)
    try:
        engines.get(name)
    except engines.EngineError as error:
        raise UsageError(str(error)) from None
    return name


def known_plant(name: str | None, sides: Sequence[str]) -> str | None:
    """The planted defect's name. Raises UsageError if there is none, or the subject alone is not refgrad."""
    from refgrad.testing import PLANTS

    if name is None:
        return None
    known("planted defect", name, PLANTS)
    if sides[0] != "refgrad" or sides[1] == "refgrad":
        raise UsageError(
            f"a defect is planted into refgrad as the subject, not for {sides[0]} against {sides[1]}"
        )
    return name


def known(kind: str, name: str, allowed: Collection[str]) -> str:
    """`name` if it is allowed. Raises UsageError with the closest and all allowed names."""
    if name in allowed:
        return name
    close = get_close_matches(name, allowed, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UsageError(f"unknown {kind} {name!r}; {hint}allowed: {', '.join(sorted(allowed))}")


# Files


def check_file(path: Path) -> None:
    """Raises UsageError unless a file can be written there."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Raises UsageError unless files can be written into the folder."""
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}; name another folder") from None


def prepare_folder(folder: Path) -> None:
    """Makes the report's folders. Raises UsageError where that cannot be done."""
    for place in (folder, folder / "findings"):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {place}: {error.strerror}; name another") from None
        check_folder(place)


def write_report(folder: Path, document: RunDocument) -> None:
    """Writes run.json, a file and a script for each finding, and what the renderers make of it.

    Findings that an earlier run left in the folder are taken away: they are not of this run.
    """
    paths = write_findings(folder / "findings", document.findings)
    for path in (folder / "findings").iterdir():
        if re.fullmatch(r"[0-9a-f]{12}(\.json|_repro\.py)", path.name) and path not in paths:
            path.unlink()
    data = document.to_json()
    write_json(folder / "run.json", data)
    render(data, folder)


def plain(text: str) -> str:
    """The text without characters that steer a terminal: names and messages come from files and engines."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )


def complain(message: str, code: int) -> int:
    """Says in one line on stderr what went wrong; returns the exit code."""
    print(f"refgrad: {plain(' '.join(message.split()))}", file=sys.stderr)
    return code
