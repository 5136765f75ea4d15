"""The `stats_update` job, worked off by the command line's own worker on a real queue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from apps.league.generator import Shape, generate
from apps.league.installation import install
from apps.league.stats import STATS_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 60

BROKEN = """
create or replace function league.update_power_ratings() returns bigint language plpgsql as
$$ begin raise exception 'the ratings are broken'; end $$
"""
MENDED = """
create or replace function league.update_power_ratings() returns bigint language sql as $$ select 7::bigint $$
"""
WAITS_FOR_COMPANY = """
create or replace function league.{name}() returns bigint language plpgsql as $$
declare
    deadline timestamptz := clock_timestamp() + interval '20 seconds';
begin
    loop
        perform pg_stat_clear_snapshot();
        exit when exists (select from pg_stat_activity
                          where pid <> pg_backend_pid() and datname = current_database() and state = 'active'
                            and query like 'select league."update_%');
        if clock_timestamp() > deadline then
            raise exception 'no other statistics function ran beside this one';
        end if;
    end loop;
    return 0;
end $$
"""


@pytest.fixture
def league(database: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection to a small league in a database that headrace has migrated."""
    with psycopg.connect(database, autocommit=True) as conn:
        install(conn)
        generate(conn, Shape(seasons=2, matches_per_season=6, players=24, seed=5))
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as conn:
        yield conn


def run(database: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=REPOSITORY,
        env=os.environ | {"HEADRACE_URL": database},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def runs(conn: psycopg.Connection[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """How each function of the last job went."""
    rows = conn.execute(
        "select * from league.stats_runs"
        " where job_id = (select job_id from league.stats_runs order by started_at limit 1)"
    )
    return {row["function"]: row for row in rows}


def test_all_ten_run_as_one_job(database: str, league: psycopg.Connection[dict[str, Any]]) -> None:
    """`run all` enqueues one job, works it off itself, and stores how each function went."""
    done = run(database, "apps.league", "run", "all")
    assert done.returncode == 0, done.stderr
    assert {row["status"] for row in runs(league).values()} == {"completed"}
    assert set(runs(league)) == {function.rpc_name for function in STATS_FUNCTIONS}
    (job,) = league.execute("select * from headrace.jobs").fetchall()
    assert (job["task"], job["state"], job["attempts"]) == ("stats_update", "succeeded", 1)
    assert [run["function"] for run in job["result"]] == [function.rpc_name for function in STATS_FUNCTIONS]


def test_one_failing_function_fails_alone(database: str, league: psycopg.Connection[dict[str, Any]]) -> None:
    """A function that fails is reported, and the other nine complete."""
    league.execute(BROKEN)
    done = run(database, "apps.league", "run", "all")
    assert done.returncode == 1
    assert "the ratings are broken" in done.stdout
    status = {name: row["status"] for name, row in runs(league).items()}
    assert status.pop("update_power_ratings") == "failed"
    assert list(status.values()) == ["completed"] * 9


def test_a_retry_runs_only_what_failed(database: str, league: psycopg.Connection[dict[str, Any]]) -> None:
    """After an operator's retry, what had succeeded is kept, and only the failed function has run again."""
    league.execute(BROKEN)
    run(database, "apps.league", "run", "all")
    before = runs(league)
    league.execute(MENDED)
    (job,) = league.execute("select id from headrace.jobs where state = 'failed'").fetchall()
    league.execute("select headrace.retry_jobs(array[%s])", [job["id"]])
    run(database, "apps.league", "run", "update_aggregated_hall_of_fame")  # its worker takes the older job first
    after = runs(league)
    assert after["update_power_ratings"]["status"] == "completed"
    assert after["update_power_ratings"]["rows"] == 7
    changed = [name for name in before if before[name]["started_at"] != after[name]["started_at"]]
    assert changed == ["update_power_ratings"]


def test_functions_run_at_the_same_time(database: str, league: psycopg.Connection[dict[str, Any]]) -> None:
    """Two functions that each wait until they see another one active in the database both complete."""
    for function in STATS_FUNCTIONS[:2]:
        league.execute(WAITS_FOR_COMPANY.format(name=function.rpc_name))
    done = run(database, "apps.league", "run", "all")
    assert done.returncode == 0, done.stdout


def test_the_demo_verifies_its_outcome(database: str) -> None:
    """`demo --check` loads a league, plays a match, and finds everything in place; the second time in what is there."""
    for _ in range(2):
        done = run(database, "apps.league", "demo", "--check")
        assert done.returncode == 0, done.stdout + done.stderr


def test_results_are_json(database: str, league: psycopg.Connection[dict[str, Any]]) -> None:
    """`show` gives what the job computed, under the ids of the imported files."""
    run(database, "apps.league", "run", "update_aggregated_all_time_stats")
    rows = json.loads(run(database, "apps.league", "show", "all_time_stats", "--json").stdout)
    games = league.execute("select count(*) as n from league.appearances").fetchone()
    assert games is not None
    assert sum(row["games_played"] for row in rows) == games["n"]
