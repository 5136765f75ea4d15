"""`make demo`: a match is played, and its statistics are computed in the background, on a real PostgreSQL.

`make demo-check` does the same unattended, looks in the database whether it is all there, and exits 0 or 1.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from apps.league.generator import Shape, generate
from apps.league.installation import install
from apps.league.jobs import app
from apps.league.model import Appearance, Match
from apps.league.reading import read_league
from apps.league.recording import record_match
from apps.league.results import read_results
from apps.league.sql import query
from apps.league.stats import STATS_FUNCTIONS, cache_tag
from apps.league.storing import store_all
from apps.league.terminal import console, print_error, print_results
from headrace.web import Serving, serve_open_app

if TYPE_CHECKING:
    from uuid import UUID

    from headrace import Job

SHOWN_ROWS = 5
DEADLINE = timedelta(minutes=2)
_LOOK_S = 0.05


async def run_demo(*, check: bool) -> int:
    """Show the league at work; with `check`, verify it and return at once."""
    async with app:
        console.rule("headrace: the league's demo")
        await asyncio.to_thread(_load_league)
        worker = app.worker(concurrency=10)
        working = asyncio.create_task(worker.run())
        await worker.started.wait()
        console.print(f"Worker {worker.id} serves {', '.join(worker.queues)}.", highlight=False)
        try:
            job = await asyncio.to_thread(_play_match)
            await _show_progress(job)
            await job.result(DEADLINE)
            await asyncio.to_thread(_show_results)
            problems = await asyncio.to_thread(_verify, job.id) if check else []
            if not check:
                await _stay_until_interrupted()
        finally:
            worker.stop()
            await working
    for problem in problems:
        print_error(problem)
    if check and not problems:
        console.print("[green]Checked:[/] the job, all ten functions and their results are in the database.")
    return 1 if problems else 0


@dataclass(frozen=True)
class _NextMatch:
    match: Match
    appearances: list[Appearance]


def _connect() -> psycopg.Connection:
    return psycopg.connect(app.url, autocommit=True, application_name="league demo")


def _load_league() -> None:
    with _connect() as conn:
        install(conn)
        with conn.transaction():
            conn.execute(query("lock_installation"))  # two demos at once load one league
            given = os.environ.get("LEAGUE_DATA")
            if given:
                league = read_league(Path(given))
                store_all(conn, league)
                console.print(f"Loaded {len(league.matches):,} matches from {given}.", highlight=False)
            elif not _count_matches(conn):
                league = generate(conn, Shape())
                console.print(
                    f"Made up a league: {len(league.players)} players, {len(league.matches):,} matches in 20 seasons.",
                    highlight=False,
                )
            else:
                console.print(f"Found a league of {_count_matches(conn):,} matches.", highlight=False)


def _count_matches(conn: psycopg.Connection) -> int:
    row = conn.execute(query("count_matches")).fetchone()
    assert row is not None
    return int(row[0])


def _play_match() -> Job[list[dict[str, Any]]]:
    with _connect() as conn:
        following = _next_match(conn)
        match = following.match
        job = record_match(conn, match, following.appearances)
    console.print(
        f"Played {match.team_a} {match.score_a}:{match.score_b} {match.team_b} on {match.date}; the match "
        f"and job {job.id} were committed together.",
        highlight=False,
    )
    return job


def _next_match(conn: psycopg.Connection) -> _NextMatch:
    """A match like the last one, a day later: the same sides, and each side's first player scores."""
    row = conn.execute(query("read_last_match")).fetchone()
    assert row is not None
    external_id, date, team_a, team_b = row
    number = _count_matches(conn) + 1
    new_id = f"D-{number:05}-{os.getpid()}"
    sides = conn.execute(query("read_sides"), {"external_id": external_id}).fetchall()
    scorers = {side: min(player for player, team in sides if team == side) for side in ("A", "B")}
    appearances = [
        Appearance(new_id, player, team, (2 if team == "A" else 1) if player == scorers[team] else 0, 0)
        for player, team in sides
    ]
    return _NextMatch(Match(new_id, date + timedelta(days=1), team_a, team_b, 2, 1), appearances)


async def _show_progress(job: Job[Any]) -> None:
    columns = (TextColumn("{task.description:<46}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        overall = progress.add_task("stats_update", total=len(STATS_FUNCTIONS))
        bars = {f.rpc_name: progress.add_task(f"  {f.rpc_name}", total=1, start=False) for f in STATS_FUNCTIONS}
        while True:
            info = await job.info()
            for function, status, *_ in await asyncio.to_thread(_runs, job.id):
                bar = bars[function]
                progress.start_task(bar)
                if status == "completed":
                    progress.update(bar, completed=1)
            progress.update(overall, completed=sum(progress.tasks[bar].finished for bar in bars.values()))
            if info.state.final:
                return
            await asyncio.sleep(_LOOK_S)


def _runs(job_id: UUID) -> list[tuple[Any, ...]]:
    with _connect() as conn:
        return conn.execute(query("list_runs"), {"job_id": job_id}).fetchall()


def _show_results() -> None:
    with _connect() as conn:
        for title, tag, order in (
            ("Top scorers", "all_time_stats", "goals"),
            ("Current form", "recent_performance", "points"),
            ("Power ratings", "player_power_rating", "rating"),
        ):
            shown = cache_tag(tag)
            rows = sorted(read_results(conn, shown), key=lambda row: -row[order])[:SHOWN_ROWS]
            print_results(shown, rows, title)


def _verify(job_id: UUID) -> list[str]:
    """What is not as it should be."""
    with _connect() as conn:
        runs = {row[0]: row for row in conn.execute(query("list_runs"), {"job_id": job_id})}
        problems = [
            f"{function.rpc_name} did not complete: {runs.get(function.rpc_name)}"
            for function in STATS_FUNCTIONS
            if function.rpc_name not in runs or runs[function.rpc_name][1] != "completed"
        ]
        for name, wrong in conn.execute(query("verify_demo"), {"job_id": job_id}):
            if wrong:
                problems.append(f"{name}: {wrong}")
        return problems


async def _stay_until_interrupted() -> None:
    console.print(
        "\nThe worker stays up, and so does the dashboard, for this machine only. In another terminal:\n"
        "  .venv/bin/python -m apps.league show player_power_rating\n"
        "  .venv/bin/headrace jobs list\n"
        "  .venv/bin/headrace doctor\n",
        highlight=False,
        markup=False,
    )
    await serve_open_app(app, Serving(target="the dashboard", port=0, no_login=True, log_level="warning"))
    console.print("Stopping.")


def main(*, check: bool) -> int:
    """Run the demo to its end."""
    with suppress(KeyboardInterrupt):
        return asyncio.run(run_demo(check=check))
    return 130
