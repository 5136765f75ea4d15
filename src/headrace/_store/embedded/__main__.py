"""Run one of PostgreSQL's own programs on the embedded server, as the applications' role.

``python -m headrace._store.embedded psql``, or ``pg_dump``, ``pg_restore``, ``pgbench``…
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from headrace._store.embedded import EmbeddedServer, find_binaries
from headrace.errors import EmbeddedError


def main(command: list[str]) -> int:
    """Run the command with the server's coordinates in its environment."""
    os.umask(0o077)  # a dump is as private as the database
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is the program's to handle, as in psql
    with EmbeddedServer.start() as server:
        coordinates = {
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGDATABASE": server.database,
            "PGPASSFILE": str(server.password_file),
        }
        program = str(find_binaries() / command[0])
        return subprocess.call(  # noqa: S603 - what the user asked for
            [program, *command[1:]], env=os.environ | coordinates
        )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m headrace._store.embedded PROGRAM [ARGUMENT]...")
    try:
        sys.exit(main(sys.argv[1:]))
    except EmbeddedError as error:
        sys.exit(f"error: {error}")
