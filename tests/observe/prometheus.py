"""A real Prometheus, on loopback, for one test."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.worker.helpers import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM, CHECKER = "/usr/bin/prometheus", "/usr/bin/promtool"


def installed() -> bool:
    """Whether there is one; tools/test.sh sees to it."""
    return shutil.which(PROGRAM) is not None


class Prometheus:
    """Scrapes some addresses every half second, and answers queries."""

    def __init__(self, directory: Path, port: int, targets: dict[str, list[str]]) -> None:
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [
                {
                    "job_name": "headrace" + path.replace("/", "-"),
                    "metrics_path": path,
                    "static_configs": [{"targets": addresses}],
                }
                for path, addresses in targets.items()
            ],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self._url = f"http://127.0.0.1:{port}"
        self._log = (directory / "log").open("w+")
        self._process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now.

        Raises:
            ValueError: Prometheus does not understand it.
        """
        where = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(where, timeout=PATIENCE_S) as answer:
                result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{expression}: {error.read().decode()}") from error
        return result

    def until(self, expression: str, seconds: float = 2 * PATIENCE_S) -> list[dict[str, Any]]:
        """Wait until an expression gives something, and give it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := self.query(expression):
                    return found
            except OSError:  # it is starting
                pass
            assert time.monotonic() < deadline, f"{expression} gives nothing; {self._account()}"
            time.sleep(0.1)

    def _account(self) -> str:
        self._log.flush()
        self._log.seek(0)
        return self._log.read()[-2000:]

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._log.close()
