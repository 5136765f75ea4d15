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
WARM_UP = -1
"""The number of a job that only shows that the worker is up."""

_pair = struct.Struct("<qq")
_lock = threading.Lock()
_map: mmap.mmap | None = None
_count = 0
_log = -1


def hit(n: int) -> None:
    """A handler started."""
    global _map, _count
    now = time.monotonic_ns()
    with _lock:
        if _map is None:
            _map = _open(now)
        _count += 1
        _pair.pack_into(_map, 0, _first, _count)
    if _log >= 0:
        os.write(_log, _pair.pack(n, now))


def _open(now: int) -> mmap.mmap:
    global _first, _log
    _first = now
    if LATENCY:
        _log = os.open(f"{FOLDER}/log.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    descriptor = os.open(f"{FOLDER}/hits.{os.getpid()}", os.O_RDWR | os.O_CREAT)
    os.ftruncate(descriptor, _pair.size)
    return mmap.mmap(descriptor, _pair.size)


_first = 0


def read(folder: Path) -> tuple[int, int]:
    """When the first handler started, in ns of the monotonic clock (0: none has), and how many did; all processes."""
    contents = [path.read_bytes() for path in folder.glob("hits.*")]
    found = [_pair.unpack(content) for content in contents if len(content) == _pair.size]  # it may just be made
    found = [pair for pair in found if pair[0]]
    return min((first for first, _ in found), default=0), sum(count for _, count in found)


def read_log(folder: Path) -> dict[int, int]:
    """When each job started."""
    data = b"".join(path.read_bytes() for path in folder.glob("log.*"))
    whole = len(data) - len(data) % _pair.size
    started = dict(_pair.iter_unpack(data[:whole]))
    started.pop(WARM_UP, None)
    return started


def write_returned(folder: Path, returned: dict[int, int]) -> None:
    """A producer says when each of its enqueues returned."""
    (folder / "returned").write_bytes(b"".join(_pair.pack(n, at) for n, at in returned.items()))


def read_returned(folder: Path) -> dict[int, int]:
    """When each enqueue returned."""
    return dict(_pair.iter_unpack((folder / "returned").read_bytes()))
