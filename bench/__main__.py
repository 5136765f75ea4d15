"""headrace beside its peers.

python -m bench [--smoke] [--scenarios …] [--peers …] [--repetitions N] [--out FILE]
python -m bench table FILE          prints results as Markdown
python -m bench chart FILE OUT.svg  draws them
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import environment, peers
from bench.chart import chart
from bench.context import Context, Row
from bench.report import report
from bench.results import CAVEATS, OURS, OtherCircumstances, Results
from bench.scenarios import ALONE, COMPARED
from bench.server import Server
from bench.sizes import FULL, SMOKE, Sizes

REPETITIONS = 5


def main() -> int:
    match sys.argv[1:]:
        case ["table", file]:
            print(report(Results.load(Path(file))))
            return 0
        case ["chart", file, out]:
            Path(out).write_text(chart(Results.load(Path(file))), encoding="utf-8")
            return 0
    arguments = _arguments()
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    environment.prepare()
    results = Results.load(arguments.out) if arguments.out and arguments.out.exists() else Results()
    failed = len(results.errors)
    try:
        run(results, arguments)
    except OtherCircumstances as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    print(report(results))
    return 1 if len(results.errors) > failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes, once: whether everything works")
    parser.add_argument("--scenarios", nargs="+", default=[*COMPARED, *ALONE], choices=[*COMPARED, *ALONE], metavar="S")
    parser.add_argument("--peers", nargs="+", default=peers.NAMES, choices=peers.NAMES, metavar="P")
    parser.add_argument("--repetitions", type=int, help=f"of what is compared; {REPETITIONS}, and 1 with --smoke")
    parser.add_argument("--endurance-jobs", type=int, help="how many, instead of 10,000,000, or 50,000 with --smoke")
    parser.add_argument("--out", type=Path, help="write results here; if the file exists, add to it")
    return parser.parse_args()


def _stop(*_: object) -> None:
    """End what was started, without being disturbed at it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def run(results: Results, arguments: argparse.Namespace) -> None:
    """Measure what is asked for; results are saved after each measurement."""
    sizes = SMOKE if arguments.smoke else FULL
    if arguments.endurance_jobs:
        sizes = replace(sizes, endurance_jobs=arguments.endurance_jobs)
    repetitions = arguments.repetitions or (1 if arguments.smoke else REPETITIONS)
    with Server.start() as server:
        results.begin_run(_circumstances(server, sizes, smoke=arguments.smoke))
        context = Context(server, sizes)
        log = _Log(results, arguments.out)
        for repetition in range(repetitions):
            for name, compared in COMPARED.items():
                if name in arguments.scenarios:
                    for peer in arguments.peers:
                        if name in peers.find(peer).scenarios:
                            log.measure(name, peer, repetition, partial(compared, context, peer))
        for name, alone in ALONE.items():
            if name in arguments.scenarios:
                log.measure(name, OURS, 0, partial(alone, context))


def _circumstances(server: Server, sizes: Sizes, *, smoke: bool) -> dict[str, Any]:
    return environment.about() | {
        "smoke": smoke,
        "server": server.settings(),
        "sizes": asdict(sizes),
        "settings": {name: peers.find(name).settings for name in peers.NAMES},
        "caveats": CAVEATS,
    }


class _Log:
    """Takes in one measurement after the other, and tells of each."""

    def __init__(self, results: Results, out: Path | None) -> None:
        self._results = results
        self._out = out
        self._began = time.monotonic()

    def measure(self, scenario: str, peer: str, repetition: int, measurement: Callable[[], Row]) -> None:
        """Measure; a failure is written down, and the others go on."""
        began = time.monotonic()
        try:
            row = measurement()
        except Exception as error:  # noqa: BLE001 - whatever it is, hours of other measurements are not lost to it
            self._results.errors.append(f"{scenario} {peer}: {error}")
            told = f"FAILED\n{traceback.format_exc()}"
        else:
            self._results.add(scenario, peer, repetition, row)
            told = " ".join(f"{name}={_short(value)}" for name, value in row.items() if name != "looks")
        passed = f"{time.monotonic() - self._began:6.0f} s ({time.monotonic() - began:.1f})"
        sys.stderr.write(f"{passed} {scenario} {peer}: {told}\n")
        sys.stderr.flush()
        if self._out:
            self._results.save(self._out)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
