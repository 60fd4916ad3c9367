"""The distribution: one version, pinned dependencies, entry points, and which package may import which."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import refgrad

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def python(code: str, **environment: str) -> str:
    """Run `code` in a new interpreter at the root of the checkout; return what it printed."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# --- version ---


def test_the_version_is_stated_once() -> None:
    assert "version" not in PROJECT and "version" in PROJECT["dynamic"]
    assert metadata.version("refgrad") == refgrad.__version__


def test_the_changelog_is_at_the_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [heading for heading in headings if heading != "Unreleased"][0] == refgrad.__version__


# --- pins ---


def pins() -> dict[str, str]:
    """constraints.txt as {canonical name: version}; any line but `name==version` fails."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([\w.-]+)==([\w.]+)", line)
            assert match, f"constraints.txt: expected name==version, got {line!r}"
            found[canonicalize_name(match[1])] = match[2]
    return found


def direct() -> list[Requirement]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


@pytest.mark.parametrize("requirement", direct(), ids=str)
def test_a_direct_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_whatever_the_test_extra_installs_is_pinned() -> None:
    pinned, seen = pins(), set()
    pending = [("refgrad", "test")]
    while pending:
        name, extra = pending.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        assert name == "refgrad" or name in pinned, f"constraints.txt lacks {name}"
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if name == "torch" and requirement.marker:
                continue  # the CUDA libraries of its Linux build, which it pins itself
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                pending += [(canonicalize_name(requirement.name), e) for e in ("", *requirement.extras)]
    assert ("torch", "") in seen and ("pytest", "") in seen


# --- entry points ---


def test_the_command_resolves() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="refgrad")
    assert callable(script.load())


def test_the_html_renderer_is_found() -> None:
    (renderer,) = metadata.entry_points(group="refgrad.renderers", name="html")
    assert callable(renderer.load())


# --- imports ---


def imports(package: str) -> Iterator[tuple[str, str]]:
    """Every (file:line, top-level module) that the package's code imports, at whatever depth of nesting."""
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths, f"no source files in {package}/"
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    modules = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case ast.Call(
                    func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                    args=[ast.Constant(value=str(module)), *_],
                ):
                    modules = [module]
                case _:
                    continue
            for name in modules:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", name.partition(".")[0]


def test_refgrad_imports_nothing_but_array_libraries() -> None:
    allowed = sys.stdlib_module_names | {"numpy", "scipy", "cupy", "cupyx", "refgrad"}
    assert [found for found in imports("refgrad") if found[1] not in allowed] == []


def test_oracle_never_imports_reports() -> None:
    assert [found for found in imports("oracle") if found[1] in {"reports", "tests"}] == []


def test_reports_never_runs_an_engine() -> None:
    forbidden = {"refgrad", "torch", "hypothesis", "tests"}
    assert [found for found in imports("reports") if found[1] in forbidden] == []


def test_refgrad_works_with_torch_absent() -> None:
    printed = python(
        """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "hypothesis", "jinja2", "oracle", "reports"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import refgrad
x = refgrad.ones(2, requires_grad=True)
(x * x * 3).sum().backward()
print(x.grad.sum().item(), "torch" in sys.modules)
"""
    )
    assert printed == "12.0 False\n"


def test_help_is_printed_without_loading_torch() -> None:
    printed = python(
        """
import sys
import oracle.cli

sys.argv = ["refgrad", "--help"]
try:
    status = oracle.cli.main()
except SystemExit as stop:
    status = stop.code
print("status", status or 0, "torch" in sys.modules, "reports" in sys.modules)
"""
    )
    assert "fuzz" in printed and "replay" in printed
    assert printed.endswith("status 0 False False\n")


# --- the test run itself ---


def test_a_test_process_has_one_thread() -> None:
    import torch

    assert torch.get_num_threads() == 1


def test_hypothesis_is_set_up_alike_under_ci() -> None:
    show = "import tests.conftest; from hypothesis import settings; print(settings.default)"
    away = {name: "" for name in os.environ if name == "CI" or name.endswith("_CI")}
    assert python(show, **away) == python(show, CI="true") != ""
