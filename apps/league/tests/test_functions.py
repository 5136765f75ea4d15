"""The functions as a whole: their names, what they return, and many of them at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from apps.league.direct import call, run_direct
from apps.league.errors import UnknownNameError
from apps.league.generator import MILLION, Shape, generate, make_league
from apps.league.results import read_results
from apps.league.stats import CACHE_TAGS, STATS_FUNCTIONS, StatsFunction, cache_tag, stats_function
from apps.league.storing import store, store_all
from apps.league.tests.conftest import compute_all
from apps.league.tests.leagues import FIRST_DAY, league_of
from apps.league.tests.oracle import ORACLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.league.model import League

DOCUMENTED = {
    "update_half_and_full_season_stats": ("season_stats", "half_season_stats"),
    "update_aggregated_all_time_stats": ("all_time_stats",),
    "update_aggregated_hall_of_fame": ("hall_of_fame",),
    "update_aggregated_recent_performance": ("recent_performance",),
    "update_aggregated_season_honours_and_records": ("honour_roll",),
    "update_aggregated_match_report_cache": ("match_report",),
    "update_aggregated_personal_bests": ("personal_bests",),
    "update_aggregated_player_profile_stats": ("player_profile_stats",),
    "update_aggregated_season_race_data": ("season_race_data",),
    "update_power_ratings": ("player_power_rating",),
}
DEADLINE_SECONDS = 30

each_function = pytest.mark.parametrize(
    "function", STATS_FUNCTIONS, ids=[function.rpc_name for function in STATS_FUNCTIONS]
)


@pytest.fixture
def other(empty_database: str) -> Iterator[psycopg.Connection]:
    """A second session."""
    with psycopg.connect(empty_database, autocommit=True) as conn:
        yield conn


@pytest.fixture
def league(conn: psycopg.Connection) -> League:
    """A small league, in the database."""
    return generate(conn, Shape(seasons=2, matches_per_season=10, players=12, players_per_side=3))


def table_rows(conn: psycopg.Connection, function: StatsFunction) -> int:
    """Count the rows of all result tables of a function."""
    tables = [table for tag in function.cache_tags for table in cache_tag(tag).tables]
    total = 0
    for table in tables:
        row = conn.execute(sql.SQL("select count(*) from league.{}").format(sql.Identifier(table))).fetchone()
        assert row is not None
        total += row[0]
    return total


def test_the_functions_have_the_documented_names_and_cache_tags() -> None:
    """Names, RPC names, cache tags and files are those of the documents, all ten of them."""
    assert {it.rpc_name: it.cache_tags for it in STATS_FUNCTIONS} == DOCUMENTED
    assert all(
        function.name.startswith("call-update-") and len(function.name) > len("call-update-")
        for function in STATS_FUNCTIONS
    )
    files = Path(__file__).parents[1].glob("functions/*.sql")
    assert {file.stem for file in files} == set(DOCUMENTED)
    assert [tag for it in STATS_FUNCTIONS for tag in it.cache_tags] == [it.name for it in CACHE_TAGS]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """A slip in a name leads to the right one."""
    with pytest.raises(UnknownNameError, match="did you mean update_power_ratings"):
        stats_function("update_power_rating")
    with pytest.raises(UnknownNameError, match="did you mean hall_of_fame"):
        cache_tag("hall-of-fame")
    with pytest.raises(UnknownNameError, match="there are: season_stats, half_season_stats"):
        cache_tag("?")


def test_a_function_returns_how_many_rows_it_wrote(conn: psycopg.Connection, league: League) -> None:
    """The number returned is that of the rows in its tables, and not zero."""
    for function in STATS_FUNCTIONS:
        assert call(conn, function) == table_rows(conn, function) > 0


def test_again_changes_nothing(conn: psycopg.Connection, league: League) -> None:
    """A second run leaves the same results as the first."""
    assert compute_all(conn) == compute_all(conn)


def test_what_changed_since_is_taken_in_and_what_went_is_gone(conn: psycopg.Connection, league: League) -> None:
    """Results follow the matches: new ones, changed ones, and players who no longer appear."""
    compute_all(conn)
    first = league.matches[0]
    store(
        conn,
        league_of([(FIRST_DAY, "AAb", "Cd!")], prefix="new"),
    )
    changed = league_of([(first.date, "AAAA", "BB")])
    match = changed.matches[0]._replace(match_id=first.match_id)
    appearances = [it._replace(match_id=first.match_id) for it in changed.appearances]
    store(conn, type(league)(changed.players, [match], appearances))

    now = type(league)(
        [*league.players, *changed.players],
        [match, *league.matches[1:], *league_of([(FIRST_DAY, "AAb", "Cd!")], prefix="new").matches],
        [
            *(it for it in league.appearances if it.match_id != first.match_id),
            *appearances,
            *league_of([(FIRST_DAY, "AAb", "Cd!")], prefix="new").appearances,
        ],
    )
    assert compute_all(conn) == {tag: compute(now) for tag, compute in ORACLE.items()}


def test_nothing_is_left_when_nothing_was_played(conn: psycopg.Connection, league: League) -> None:
    """Without matches all results are empty, whatever was there before, and no function fails."""
    compute_all(conn)
    conn.execute("truncate league.matches, league.appearances")
    assert all(rows == [] for rows in compute_all(conn).values())


@each_function
def test_two_sessions_may_run_the_same_function(
    conn: psycopg.Connection, other: psycopg.Connection, league: League, function: StatsFunction
) -> None:
    """The second waits for the first to commit, then both have succeeded, and the table is right.

    The overlap is forced: the second is seen to wait before the first commits. Meanwhile a reader
    sees the results of before, never an empty table.
    """
    before = call(conn, function)
    shown = cache_tag(function.cache_tags[0])
    rows = read_results(other, shown)
    with ThreadPoolExecutor(1) as thread:
        with conn.transaction():
            call(conn, function)
            assert table_rows(other, function) == before
            assert read_results(other, shown) == rows
            second = thread.submit(call, other, function)
            wait_until_blocked(conn, by=conn, who=other)
        assert second.result(DEADLINE_SECONDS) == before
    assert table_rows(conn, function) == before
    assert read_results(conn, shown) == rows


def test_a_session_that_waited_sees_what_was_stored_meanwhile(
    conn: psycopg.Connection, other: psycopg.Connection, league: League
) -> None:
    """Last run, last word: a function that waited for another computes from the matches of now."""
    function = stats_function("update_aggregated_all_time_stats")
    with ThreadPoolExecutor(1) as thread:
        with conn.transaction():
            call(conn, function)
            second = thread.submit(call, other, function)
            wait_until_blocked(conn, by=conn, who=other)
            store(conn, league_of([(FIRST_DAY, "A", "b")], prefix="late"))
        second.result(DEADLINE_SECONDS)
    shown = {row["player_id"] for row in read_results(conn, cache_tag("all_time_stats"))}
    assert {"p-a", "p-b"} <= shown


def test_all_ten_run_at_once(empty_database: str, conn: psycopg.Connection, league: League) -> None:
    """Ten sessions, each with all ten functions in another order: no error, no deadlock."""

    def run_all(first: int) -> list[str | None]:
        functions = [*STATS_FUNCTIONS[first:], *STATS_FUNCTIONS[:first]]
        with psycopg.connect(empty_database, autocommit=True) as session:
            return [run.error for run in run_direct(session, functions)]

    with ThreadPoolExecutor(10) as threads:
        assert [error for errors in threads.map(run_all, range(10)) for error in errors] == [None] * 100
    results = {tag.name: read_results(conn, tag) for tag in CACHE_TAGS}
    assert results == {tag: compute(league) for tag, compute in ORACLE.items()}


def test_one_that_fails_fails_alone(conn: psycopg.Connection, league: League) -> None:
    """A failing function leaves its old results and does not keep the others from theirs."""
    compute_all(conn)
    before = read_results(conn, cache_tag("hall_of_fame"))
    conn.execute("alter table league.hall_of_fame add check (value < 0) not valid")
    runs = list(run_direct(conn, STATS_FUNCTIONS))
    failed = [run for run in runs if run.error is not None]
    assert [run.function.rpc_name for run in failed] == ["update_aggregated_hall_of_fame"]
    assert failed[0].rows is None
    assert "violates check constraint" in str(failed[0].error)
    assert all(run.rows for run in runs if run.error is None)
    assert read_results(conn, cache_tag("hall_of_fame")) == before


def test_twenty_seasons_take_less_than_five_seconds(conn: psycopg.Connection) -> None:
    """20 seasons of 40 matches, one function after the other, with much to spare."""
    store_all(conn, make_league(Shape()))
    start = time.perf_counter()
    assert [run.error for run in run_direct(conn, STATS_FUNCTIONS)] == [None] * 10
    assert time.perf_counter() - start < 5


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_million_appearances_take_less_than_45_seconds(empty_database: str, conn: psycopg.Connection) -> None:
    """All ten functions at once on 1,000,000 appearances, and every one of these is counted."""
    generate(conn, MILLION)

    def run(function: StatsFunction) -> int:
        with psycopg.connect(empty_database, autocommit=True) as session:
            return call(session, function)

    start = time.perf_counter()
    with ThreadPoolExecutor(len(STATS_FUNCTIONS)) as threads:
        assert all(threads.map(run, STATS_FUNCTIONS))
    assert time.perf_counter() - start < 45
    counted = [
        conn.execute(statement).fetchone()
        for statement in (
            "select sum(games_played) from league.all_time_stats",
            "select sum(games_played) from league.season_stats",
            "select sum(games_played) from league.player_power_rating",
        )
    ]
    assert counted == [(1_000_000,)] * 3


def wait_until_blocked(observer: psycopg.Connection, *, by: psycopg.Connection, who: psycopg.Connection) -> None:
    """Return once one session waits for a lock of another."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    blocked_by: list[int] = []
    while by.info.backend_pid not in blocked_by:
        assert time.monotonic() < deadline, "the second session was never seen to wait"
        row = observer.execute("select pg_blocking_pids(%s)", [who.info.backend_pid]).fetchone()
        assert row is not None
        blocked_by = row[0]
