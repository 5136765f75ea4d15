"""`headrace bench`: how fast jobs go on this server, and what limits them."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

import headrace
from headrace._bench.measuring import Sizes, measure
from headrace._bench.throw_away import interrupted_by_any_signal, new_name, throw_away_schema
from headrace._bench.verdict import show_time, verdict, warnings
from headrace._store.connect import without_password
from headrace._worker.worker import DEFAULT_CONCURRENCY
from headrace.cli.opening import unopened_app
from headrace.cli.options import AsJson, Url
from headrace.cli.output import note, print_json, say, stdout, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from headrace._bench.figures import Drain, Figures, Times
    from headrace._bench.measuring import Progress

LABEL_WIDTH = 20
FIGURE_WIDTH = 18
REDRAWS_PER_S = 4
"""Of what is going on: it takes its time from what is measured."""

SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "max_wal_size", "shared_buffers")


def bench(
    url: Url = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-n", min=1, metavar="N", help="How many jobs are drained in each round.")
    ] = 10_000,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, help="How many jobs run in each worker process at once.")
    ] = DEFAULT_CONCURRENCY,
    as_json: AsJson = False,
) -> None:
    """Measure how fast jobs go on this server, and what limits them; takes less than a minute.

    It works in a schema of its own, which is gone afterwards, and touches no other. Other users of the server feel it.
    """
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # interrupted in a COPY, it warns that it starts anew
    schema = new_name()
    app = unopened_app(url, schema)
    try:
        with interrupted_by_any_signal():
            where = app.url
            with _progress(as_json, where, schema) as progress, throw_away_schema(where, schema, note):
                figures = asyncio.run(measure(where, schema, Sizes(jobs, concurrency), progress))
    except KeyboardInterrupt:
        note(f"interrupted: schema {schema} is gone again")
        raise
    finally:
        app.close_sync()
    if as_json:
        print_json(_document(where, schema, jobs, figures))
    else:
        _print_conclusions(figures)


@contextmanager
def _progress(as_json: bool, url: str, schema: str) -> Iterator["Progress"]:
    if as_json:
        yield _Silent()
        return
    console = stdout()
    say(f"{without_password(url)}: in schema {schema}, which is dropped at the end")
    with console.status("", refresh_per_second=REDRAWS_PER_S) if console.is_terminal else nullcontext() as status:
        yield _Printed(console, status)


class _Silent:
    """Says nothing."""

    def begin(self, what: str) -> None:
        pass

    def show(self, name: str, figures: "Figures") -> None:
        pass


class _Printed:
    """Prints each figure when it is known; on a terminal also what is going on."""

    def __init__(self, console: "Console", status: "Status | None") -> None:
        self._console = console
        self._status = status

    def begin(self, what: str) -> None:
        if self._status is not None:
            self._status.update(f"{what} ...")

    def show(self, name: str, figures: "Figures") -> None:
        for label, figure, remark in LINES[name](figures):
            line = (
                f"{label:<{LABEL_WIDTH}}{figure:>{FIGURE_WIDTH}}  {remark}"
                if remark
                else f"{label:<{LABEL_WIDTH}}{figure}"
            )
            self._console.print(visible(line), soft_wrap=True)


Line = tuple[str, str, str]
"""A label, a figure, and a remark."""


def _server_lines(figures: "Figures") -> list[Line]:
    server = figures.server
    settings = ", ".join(f"{name} {server.settings[name]}" for name in SETTINGS if server.settings[name] is not None)
    way = "through a pooler" if server.has_pooler else "direct"
    return [
        ("server", f"PostgreSQL {server.settings['server_version']}", ""),
        ("settings", settings, ""),
        ("connection", f"{way}; notifications {'arrive' if server.hears else 'do not arrive'}", ""),
    ]


def _time_line(label: str, times: "Times", remark: str) -> list[Line]:
    return [(label, show_time(times.median), f"{remark}; one in twenty takes over {show_time(times.p95)}")]


def _drain_lines(figures: "Figures", drain: "Drain") -> list[Line]:
    processes = "1 process" if drain.processes == 1 else f"{drain.processes} processes"
    without_core = "" if drain.without_core is None else f", {drain.without_core:.0%} without a core"
    wal = drain.wal_bytes_per_job
    return [
        (f"drain, {processes}", f"{drain.jobs_per_s:,.0f} jobs/s", f"{figures.concurrency} jobs at once in each"),
        (
            "  worker CPU",
            f"{drain.cpu_us_per_job:.0f} µs/job",
            f"each process computes for {drain.busy:.0%} of the time",
        ),
        ("  waiting", f"{drain.waiting:.0%}", f"of the time each waits for the database{without_core}"),
        ("  WAL", "not known" if wal is None else f"{wal:,.0f} B/job", "enqueue to history, others' included"),
    ]


LINES: dict[str, Callable[["Figures"], list[Line]]] = {
    "server": _server_lines,
    "round_trip": lambda f: _time_line("round trip", f.round_trip, "select 1"),
    "commit": lambda f: _time_line("commit", f.commit, "one row, inserted and committed"),
    "enqueue_one": lambda f: _time_line("enqueue one", f.enqueue_one, "one after the other"),
    "enqueue_many": lambda f: [("enqueue many", f"{1 / f.enqueue_many.median:,.0f} jobs/s", "all in one call")],
    "drain_one": lambda f: _drain_lines(f, f.drain_one),
    "drain_two": lambda f: _drain_lines(f, f.drain_two),
    "latency": lambda f: _time_line("latency", f.latency, "from enqueue to start, on an idle worker"),
}


def _print_conclusions(figures: "Figures") -> None:
    say()
    for sentence in verdict(figures):
        say(sentence)
    for warning in warnings(figures):
        say(f"Note: {warning}.")


def _document(url: str, schema: str, jobs: int, figures: "Figures") -> dict[str, Any]:
    server = figures.server
    return {
        "headrace": headrace.__version__,
        "database": without_password(url),
        "schema": schema,
        "jobs": jobs,
        "concurrency": figures.concurrency,
        "cores": figures.cores,
        "settings": server.settings,
        "through_pooler": server.has_pooler,
        "notifications_arrive": server.hears,
        "round_trip": figures.round_trip.as_json(),
        "commit": figures.commit.as_json(),
        "enqueue_one": figures.enqueue_one.as_json(),
        "enqueue_many": {
            "jobs_per_s": round(1 / figures.enqueue_many.median), "samples": len(figures.enqueue_many.samples),
        },
        "drain_one_process": figures.drain_one.as_json(),
        "drain_two_processes": figures.drain_two.as_json(),
        "latency": figures.latency.as_json(),
        "verdict": verdict(figures),
        "warnings": warnings(figures),
    }  # fmt: skip
