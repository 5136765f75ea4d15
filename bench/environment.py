"""Where the peers are installed, and what figures depend on: versions, machine, date."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv-bench"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
INSTALL_DEADLINE_S = 900.0


def prepare() -> None:
    """Install headrace and the peers into `.venv-bench`, unless it was done for these very requirements."""
    inputs = [REQUIREMENTS, ROOT / "constraints.txt", ROOT / "pyproject.toml"]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = VENV / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        subprocess.run([_newest_python(), "-m", "venv", str(VENV)], check=True)
    sys.stderr.write(f"Installing the peers into {VENV.name} ...\n")
    subprocess.run(
        [
            str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "-c", "constraints.txt", "-e", ".[all]", "-r", str(REQUIREMENTS),
        ],
        cwd=ROOT, check=True, timeout=INSTALL_DEADLINE_S,
    )  # fmt: skip
    stamp.write_text(wanted)


def _newest_python() -> str:
    """Python 3.13 if there is one, since tasks start eagerly from 3.12 on; else this one."""
    found = sorted(Path.home().glob(".pyenv/versions/3.13.*/bin/python"))
    return str(found[-1]) if found else sys.executable


def about() -> dict[str, object]:
    """The state of code and machine."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--", "src", "bench").splitlines()),
        "machine": {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": f"{platform.system()} {platform.release()}",
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": _versions(),
    }


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    pins = [line for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
    names = [pin.partition("==")[0].partition("[")[0] for pin in pins]
    code = (
        "import importlib.metadata as m, json, platform, sys; "
        "print(json.dumps({'python': platform.python_version()} | {n: m.version(n) for n in sys.argv[1:]}))"
    )
    command = [str(PYTHON), "-c", code, "headrace", "psycopg", *names]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
