"""Run the scenarios: ``python -m bench [--quick] [--peers …] [--scenarios …] [--repetitions N] [--out FILE]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from bench import probe
from headrace._store.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

PEERS = {"headrace": (), "pgqueuer": ("pgqueuer", "asyncpg"), "procrastinate": ("procrastinate",)}
UNFINISHED = {
    "headrace": "select count(*) from headrace.job",
    "pgqueuer": "select count(*) from pgqueuer",
    "procrastinate": "select count(*) from procrastinate_jobs where status in ('todo', 'doing')",
}
SCALE = {"procrastinate": 0.1}
"""Slow peers drain fewer jobs; rates do not depend on it."""
ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
DEADLINE_S = 120.0


class Bench:
    """The server, and one operation after the other."""

    def __init__(self, server: EmbeddedServer, sizes: argparse.Namespace) -> None:
        self.server = server
        self.sizes = sizes

    def scenario(self, name: str, peer: str) -> dict[str, float]:
        run: Callable[[str], dict[str, float]] = getattr(self, name)
        return run(peer)

    def enqueue_one(self, peer: str) -> dict[str, float]:
        with self.database(peer) as url:
            return {"value": self.run(peer, url, "async", "enqueue_one", self.sizes.enqueue)["us"]}

    def enqueue_many(self, peer: str) -> dict[str, float]:
        with self.database(peer) as url:
            return {"value": self.run(peer, url, "async", "enqueue_many", self.sizes.bulk)["jobs_per_s"]}

    def drain(self, peer: str) -> dict[str, float]:
        return self._drain(peer, "async", self.sizes.drain)

    def drain_two(self, peer: str) -> dict[str, float]:
        return self._drain(peer, "async", self.sizes.drain, workers=2)

    def drain_sync(self, peer: str) -> dict[str, float]:
        return self._drain(peer, "sync", self.sizes.drain // 3)

    def _drain(self, peer: str, kind: str, count: int, workers: int = 1) -> dict[str, float]:
        count = int(count * SCALE.get(peer, 1))
        with self.database(peer) as url, psycopg.connect(self.server.admin_url, autocommit=True) as admin:
            self.run(peer, url, kind, "enqueue_many", count)
            with psycopg.connect(url, autocommit=True) as store:
                store.execute("analyze")
                admin.execute("checkpoint")
                wal = self.wal(admin)
                with self.workers(peer, url, kind, workers) as folder:
                    first = wait_for(lambda: probe.read(folder)[0], "a job starts")
                    wait_for(lambda: probe.read(folder)[1] >= count, "all jobs start")
                    wait_for(lambda: store.execute(UNFINISHED[peer]).fetchone() == (0,), "all jobs end")
                    seconds = (time.monotonic_ns() - first) / 1e9
                return {"value": count / seconds, "wal_bytes_per_job": (self.wal(admin) - wal) / count}

    def latency(self, peer: str) -> dict[str, float]:
        with self.database(peer) as url, self.workers(peer, url, "async", 1, latency=True) as folder:
            time.sleep(2)
            returned = self.run(peer, url, "async", "latency", self.sizes.latency)["returned"]
            wait_for(lambda: len(probe.read_log(folder)) == len(returned), "all jobs start")
            started = probe.read_log(folder)
        waits = sorted((started[int(n)] - at) / 1e6 for n, at in returned.items())
        return {"value": waits[len(waits) // 2], "p99_ms": waits[int(len(waits) * 0.99)]}

    # -- parts --

    @contextmanager
    def database(self, peer: str) -> Iterator[str]:
        name = f"bench_{peer}"
        with psycopg.connect(self.server.admin_url, autocommit=True) as admin:
            admin.execute(f'drop database if exists "{name}" with (force)')
            admin.execute(f'create database "{name}" owner "{self.server.user}"')
            url = self.server.url.replace("/headrace?", f"/{name}?")
            self.run(peer, url, "async", "install")
            try:
                yield url
            finally:
                admin.execute(f'drop database "{name}" with (force)')

    def run(self, peer: str, url: str, *words: object) -> dict[str, Any]:
        done = subprocess.run(self.command(peer, url, *words), cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{peer} {words}: {done.stderr[-2000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def command(self, peer: str, url: str, *words: object) -> list[str]:
        return [str(PYTHON), "-m", "bench.operation", peer, url, *map(str, words)]

    @contextmanager
    def workers(self, peer: str, url: str, kind: str, count: int, *, latency: bool = False) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
        environment = os.environ | {"BENCH_PROBE": str(folder)} | ({"BENCH_LATENCY": "1"} if latency else {})
        command = self.command(peer, url, kind, "work")
        with (folder / "output").open("wb") as output:
            running = [
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
                )
                for _ in range(count)
            ]
        try:
            yield folder
        finally:
            for process in running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)

    def wal(self, admin: psycopg.Connection[Any]) -> float:
        row = admin.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert row is not None
        return float(row[0])


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {DEADLINE_S:g} s until {what}")
        time.sleep(0.003)
    return answer


def prepare_environment(peers: list[str]) -> None:
    """A virtual environment with headrace and the peers; the newest Python there is."""
    if not PYTHON.exists():
        newest = sorted(Path.home().glob(".pyenv/versions/3.1[1-9].*/bin/python"))
        subprocess.run(
            [str(newest[-1]) if newest else sys.executable, "-m", "venv", str(PYTHON.parent.parent)], check=True
        )
    requirements = ["-e", f"{ROOT}[all]", *(r for peer in peers for r in PEERS[peer])]
    subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", *requirements], check=True)


def versions(peers: list[str]) -> dict[str, str]:
    names = ["python", *(r for peer in peers for r in PEERS[peer]), "psycopg"]
    code = (
        "import importlib.metadata as m, json, platform; "
        f"print(json.dumps({{n: platform.python_version() if n == 'python' else m.version(n) for n in {names!r}}}))"
    )
    return dict(
        json.loads(subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=True).stdout)
    )


def table(results: dict[str, dict[str, list[dict[str, float]]]], scenarios: list[str]) -> str:
    units = {"enqueue_one": "µs", "latency": "ms"}
    lines = ["| | " + " | ".join(f"{s} ({units.get(s, 'jobs/s')})" for s in scenarios) + " | WAL B/job |"]
    lines.append("|---" * (len(scenarios) + 2) + "|")
    for peer, by_scenario in results.items():
        cells = []
        for scenario in scenarios:
            runs = by_scenario.get(scenario, [])
            value = statistics.median(run["value"] for run in runs) if runs else None
            text = "" if value is None else f"{value:.1f}" if scenario == "latency" else f"{value:,.0f}"
            if scenario == "latency" and runs:
                text += f" / {statistics.median(run['p99_ms'] for run in runs):.1f}"
            cells.append(text)
        wal = [run["wal_bytes_per_job"] for run in by_scenario.get("drain", [])]
        lines.append(f"| {peer} | " + " | ".join(cells) + f" | {statistics.median(wal):,.0f} |" if wal else "")
    return "\n".join(lines)


def main() -> None:
    scenarios = ["enqueue_one", "enqueue_many", "drain", "drain_sync", "drain_two", "latency"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    parser.add_argument("--scenarios", nargs="+", default=scenarios, choices=scenarios)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    factor = 0.4 if arguments.quick else 1.0
    sizes = argparse.Namespace(
        enqueue=int(2000 * factor), bulk=int(50_000 * factor), drain=int(60_000 * factor), latency=int(400 * factor)
    )
    repetitions = 1 if arguments.quick else arguments.repetitions
    prepare_environment(arguments.peers)
    results: dict[str, dict[str, list[dict[str, float]]]] = {peer: {} for peer in arguments.peers}
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedServer.start(Path(folder) / "server") as server:
            bench = Bench(server, sizes)
            for _ in range(repetitions):
                for scenario in arguments.scenarios:
                    for peer in arguments.peers:
                        result = bench.scenario(scenario, peer)
                        results[peer].setdefault(scenario, []).append(result)
                        print(f"{scenario:13} {peer:14} {result}", file=sys.stderr, flush=True)
    print(table(results, arguments.scenarios))
    if arguments.out:
        about = {"machine": f"{os.cpu_count()} cores, {platform.machine()}", "versions": versions(arguments.peers)}
        arguments.out.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
