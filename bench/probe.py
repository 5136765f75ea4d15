"""What every no-op handler calls. Each worker process counts its calls in a small mapped file, which the harness reads
without touching the database; for latencies the time of each call is logged too."""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from pathlib import Path

FOLDER = os.environ.get("BENCH_PROBE", "")
LATENCY = bool(os.environ.get("BENCH_LATENCY"))
_lock = threading.Lock()
_map: mmap.mmap | None = None
_count = 0
_log = -1


def hit(n: int) -> None:
    """A handler started."""
    global _map, _count, _log
    now = time.monotonic_ns()
    with _lock:
        if _map is None:
            descriptor = os.open(f"{FOLDER}/hits.{os.getpid()}", os.O_RDWR | os.O_CREAT)
            os.ftruncate(descriptor, 16)
            _map = mmap.mmap(descriptor, 16)
            struct.pack_into("<q", _map, 0, now)
            if LATENCY:
                _log = os.open(f"{FOLDER}/log.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _count += 1
        struct.pack_into("<q", _map, 8, _count)
        if _log >= 0:
            os.write(_log, struct.pack("<qq", n, now))


def read(folder: Path) -> tuple[int | None, int]:
    """The first start in ns, and the number of starts, over all processes."""
    contents = [path.read_bytes() for path in folder.glob("hits.*")]
    found = [struct.unpack("<qq", content) for content in contents if len(content) == 16]  # it may just be made
    found = [pair for pair in found if pair[0]]
    return min((first for first, _ in found), default=None), sum(count for _, count in found)


def read_log(folder: Path) -> dict[int, int]:
    """When each job started."""
    data = b"".join(path.read_bytes() for path in folder.glob("log.*"))
    return dict(struct.iter_unpack("<qq", data))
