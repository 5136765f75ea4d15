"""When our statements are prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace._store.database import Database

if TYPE_CHECKING:
    from tests.store.harness import Store

PREPARED = "select count(*) from pg_prepared_statements where statement like '%claim_jobs%'"
LOOK: dict[str, Any] = {
    "worker_id": 1, "queues": "{q}", "places": "{1}", "segment_queues": "{q}",
    "lows": "{0}", "highs": "{0}", "afters": "{0}", "befores": "{9}",
}  # fmt: skip


async def test_statements_are_prepared_on_direct_connections_only(store: Store) -> None:
    """Behind a pooler in transaction mode nothing is prepared; without one the hot path's statements are (ENGINE 9)."""
    database = Database(store.url, "headrace", max_connections=1)
    await database.open()
    try:
        for _ in range(8):
            assert await database.rows("claim_jobs", **LOOK) == []
            assert await database.value("read_clock")
        async with database.connection("test") as conn:
            row = await (await conn.execute("select pg_backend_pid()", prepare=False)).fetchone()
            is_direct = row == (conn.info.backend_pid,)
            assert (conn.prepare_threshold is not None) == is_direct
            prepared = await (await conn.execute(PREPARED, prepare=False)).fetchone()
            assert prepared == (1 if is_direct else 0,)
    finally:
        await database.close()


@pytest.mark.direct
async def test_a_migration_that_changes_an_answer_is_survived(fresh: Store) -> None:
    """A prepared statement whose answer has another type after a migration is prepared anew (ENGINE 35)."""
    database = Database(fresh.url, "headrace", max_connections=1)
    await database.open()
    try:
        assert await database.rows("claim_jobs", **LOOK) == []
        (definition,) = fresh.ask("select pg_get_functiondef('headrace.claim_jobs'::regproc)")[0]
        fresh.ask("drop function headrace.claim_jobs")
        fresh.ask(
            definition.replace("suspicion smallint", "suspicion integer").replace(
                "j.suspicion,", "j.suspicion::integer,"
            )
        )
        assert await database.rows("claim_jobs", **LOOK) == []
    finally:
        await database.close()
