"""What every scenario is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.processes import operate

if TYPE_CHECKING:
    from bench.server import Database, Server
    from bench.sizes import Sizes

Row = dict[str, Any]
"""What one run of a scenario measured, by name; units are in the names."""


@dataclass(frozen=True)
class Context:
    """The server and the sizes."""

    server: Server
    sizes: Sizes

    @contextmanager
    def installed(self, peer: str, kind: str = "async", name: str = "bench") -> Iterator[Database]:
        """A new database with a peer's schema."""
        with self.server.database(name) as database:
            operate(peer, database.url, kind, "install")
            yield database
