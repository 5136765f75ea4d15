"""One module for each queue, and for each floor that headrace is held against."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.peers.base import Peer

NAMES = (
    "copy_floor",
    "copy_rows_floor",
    "insert_floor",
    "insert_wake_floor",
    "raw_postgres",
    "headrace",
    "pgqueuer",
    "awa",
    "oban",
    "chancy",
    "procrastinate",
)
"""In the order of measuring: headrace beside those that it is held against most."""


def find(name: str) -> type[Peer]:
    """The adapter of this name. Adapters import their library inside methods: the harness has none of them."""
    peer: type[Peer] = importlib.import_module(f"bench.peers.{name}").Queue
    return peer
