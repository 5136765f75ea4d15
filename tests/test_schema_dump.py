"""The committed schema is the one that the migrations make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def test_docs_schema_is_up_to_date() -> None:
    """docs/schema.sql is what `make schema` writes, so that a migration's effect shows in its diff."""
    dump = subprocess.run(
        [sys.executable, "tools/dump_schema.py"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert dump.stdout == (REPOSITORY / "docs" / "schema.sql").read_text(encoding="utf-8"), "run `make schema`"
