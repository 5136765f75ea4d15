"""Bringing the schema into a database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from apps.league.installation import install, installed_version


def test_many_sessions_may_install_at_once(empty_database: str) -> None:
    """Eight sessions on one empty database: all succeed, and the schema is there."""

    def run(_: int) -> str | None:
        with psycopg.connect(empty_database, autocommit=True) as conn:
            install(conn)
            return installed_version(conn)

    with ThreadPoolExecutor(8) as threads:
        versions = set(threads.map(run, range(8)))
    assert len(versions) == 1
    assert None not in versions


def test_the_same_version_is_left_alone(conn: psycopg.Connection) -> None:
    """Installing again writes nothing."""
    conn.execute("create or replace function league.update_power_ratings() returns bigint"
                 " language sql as 'select 7::bigint'")  # fmt: skip
    install(conn)
    assert conn.execute("select league.update_power_ratings()").fetchone() == (7,)


def test_another_version_is_brought_up_to_date(conn: psycopg.Connection) -> None:
    """Over an older version functions are replaced and what was stored stays."""
    version = installed_version(conn)
    conn.execute("insert into league.players (external_id, name) values ('p', 'P')")
    conn.execute("drop function league.update_power_ratings()")
    conn.execute("drop view league.results")
    conn.execute("create view league.results as select 1 as another_column")
    conn.execute("alter table league.matches drop column match_order")
    conn.execute("comment on schema league is 'older'")
    install(conn)
    assert installed_version(conn) == version
    assert conn.execute("select league.update_power_ratings()").fetchone() == (0,)
    assert conn.execute("select count(*) from league.players").fetchone() == (1,)


def test_nothing_is_installed_when_it_fails(empty_database: str) -> None:
    """Something of the same name in the way leaves the database as it was."""
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute("create schema league create table players (nothing int)")
        with pytest.raises(psycopg.Error):
            install(conn)
        assert conn.execute("select to_regclass('league.matches')").fetchone() == (None,)
