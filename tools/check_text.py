"""What no linter looks for: machine paths and registry hosts in tracked files, and second words for one concept."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FORBIDDEN = {
    r"(?<![\w.])/(work|root|farm)/\w": "a path of one machine",
    r"https?://[^\s\"')]*\.(whl|tar\.gz|tgz)": "a download address",
    r"(files\.pythonhosted|pypi|registry\.npmjs|deb\.debian)\.org": "a registry's host",
}
SYNONYMS = {
    r"\b(un)?acknowledg": "settle",
    r"\bdequeue": "claim",
    r"\bdead[- ]letter queue\b": "failed jobs",
    r"\bbroker\b": "database",
}
SKIP = {"tools/check_text.py"}


def main() -> int:
    """Print each line to look at; 1 if there is any."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True)
    found = 0
    for name in names.stdout.splitlines():
        path = Path(name)
        if name in SKIP or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += report(name, text, FORBIDDEN)
        if name.startswith("src/") and path.suffix in (".py", ".sql"):
            found += report(name, text, {pattern: f'the word is "{word}"' for pattern, word in SYNONYMS.items()})
    return 1 if found else 0


def report(name: str, text: str, patterns: dict[str, str]) -> int:
    """Print the lines of one file that match; how many."""
    found = 0
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, why in patterns.items():
            if re.search(pattern, line):
                sys.stdout.write(f"{name}:{number}: {why}: {line.strip()[:120]}\n")
                found += 1
    return found


if __name__ == "__main__":
    sys.exit(main())
