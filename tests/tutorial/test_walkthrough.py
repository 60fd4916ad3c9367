"""The tutorial prints the same text under torch and under refgrad."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tutorial.walkthrough import CHAPTERS

SCRIPT = Path(__file__).with_name("walkthrough.py")
ROOT = SCRIPT.parents[2]


def chapters(engine: str) -> dict[str, str]:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), engine],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    parts = run.stdout.split("## ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


@pytest.fixture(scope="module")
def printed() -> tuple[dict[str, str], dict[str, str]]:
    return chapters("torch"), chapters("refgrad")


@pytest.mark.parametrize("chapter", [c.__name__ for c in CHAPTERS])
def test_same_text(printed: tuple[dict[str, str], dict[str, str]], chapter: str) -> None:
    torch_text, refgrad_text = (texts[chapter] for texts in printed)
    assert torch_text.strip(), "the chapter printed nothing"
    assert refgrad_text == torch_text
