"""The Makefile's promises about interpreters: a clear word where one will not do, no half-made .venv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> tuple[int, str]:
    """Run make as from a plain shell, even within `make test`; return its exit status and what it printed."""
    ours = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "BASE_PYTHON", "INTERPRETER"}
    run = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ours} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return run.returncode, run.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a checkout as an install looks at, in a folder with a space in its name."""
    folder = tmp_path / "a checkout"
    (folder / "refgrad").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "LICENSE", "refgrad/__init__.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_make_alone_lists_the_targets() -> None:
    status, printed = make()
    assert status == 0
    assert all(f"make {target} " in printed for target in ("fuzz", "test", "lint"))


def test_an_interpreter_that_lacks_something_is_told_what(tmp_path: Path) -> None:
    bare = tmp_path / "bare python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    status, printed = make("test", f"PYTHON={bare}/bin/python")
    assert status == 2
    assert "lacks numpy, scipy, torch" in printed and "refgrad's own entry points" in printed
    assert f"{bare}/bin/python -m pip install" in printed


@pytest.mark.parametrize("variable", ["PYTHON", "BASE_PYTHON"])
def test_an_old_interpreter_is_named(checkout: Path, variable: str) -> None:
    old = checkout / "old python"
    pretend = "import sys; sys.version_info = (3, 9, 18); exec(sys.argv.pop(1))"
    old.write_text(f"#!/bin/sh\nshift\nexec '{sys.executable}' -c '{pretend}' \"$@\"\n", encoding="utf-8")
    old.chmod(0o755)
    status, printed = make("test", folder=checkout, **{variable: str(old)})
    assert status == 2
    assert "needs Python 3.11 or newer" in printed and "is 3.9.18" in printed
    assert f"make {variable}=/path/to/python" in printed
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("variable", ["PYTHON", "BASE_PYTHON"])
def test_an_interpreter_that_does_not_exist_is_named(checkout: Path, variable: str) -> None:
    status, printed = make("test", folder=checkout, **{variable: "/no/such/python"})
    assert status == 2
    assert "/no/such/python: no such program" in printed


def test_a_failed_install_is_not_taken_for_a_finished_one(checkout: Path) -> None:
    stamp = checkout / ".venv" / "ready"
    stamp.parent.mkdir()
    stamp.write_text("made from something else\n", encoding="utf-8")
    pins = checkout / "constraints.txt"
    missing = pins.read_text(encoding="utf-8").replace("hatchling==", "hatchling==999.")
    pins.write_text(missing, encoding="utf-8")
    status, printed = make("fuzz", folder=checkout, BASE_PYTHON=sys.executable, PIP_NO_INDEX="1")
    assert status == 2
    assert "building .venv" in printed and "hatchling" in printed
    assert (checkout / ".venv" / "bin" / "python").exists() and not stamp.exists()
