"""Our users' type checkers accept right calls and refuse wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def mypy(*arguments: str, cwd: Path) -> str:
    """What strict mypy says of a user's file, with headrace as an installed, typed package."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", *arguments]
    checked = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return checked.stdout + checked.stderr


@pytest.mark.parametrize("snippets", sorted(HERE.glob("snippets*.py")), ids=lambda path: path.stem)
def test_right_calls_pass_and_wrong_ones_are_errors(tmp_path: Path, snippets: Path) -> None:
    """Each call in them is what its comment says: an ignore that nothing needs is reported, too."""
    assert mypy("--warn-unused-ignores", "--cache-dir", str(tmp_path), str(snippets), cwd=tmp_path) == ""
