"""Searches find exactly the jobs that a filter means, on any page, whatever is in the filter and whatever happens meanwhile."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headrace import ConfigurationError, Headrace
from headrace._filter.scope import Scope
from headrace._store import searching
from headrace._store.searching import NEWEST_ID, Look, Place
from headrace.filter import Filter, Term
from headrace.job import JobInfo, job_info
from headrace.search import Estimate
from tests.store.filters import IDS, NOW, NUMBERS, PARTS, WORDS, matches, terms
from tests.store.harness import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from conftest import DatabaseServer

JOBS = 400
STATES = ["blocked", "scheduled", "queued", "running", "succeeded", "failed", "cancelled"]
pytestmark = (
    pytest.mark.direct
)  # two servers' worth of connections; and what it sees of its own is not the pooler's affair


class Jobs:
    """Random jobs in a store, and what a reader sees of them."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.dice = random.Random(seed)
        store.ask("select headrace.create_partitions('2025-12-31', '2026-01-08')")
        for number in range(JOBS):
            self._add(number)
        records = store.conn.cursor(row_factory=psycopg.rows.dict_row).execute(
            "select id::text, state::text, task, queue, priority, attempts, max_attempts, run, args, result, error, created_at, "
            "run_at, expires_at, claimed_at, finished_at, worker_id, unique_key, blocked_by, cancel_reason, tenant, correlation_id, "
            "tags, metadata, progress, workflow_id from headrace.jobs"
        )
        self.infos = [job_info(record) for record in records]
        self.failures = dict(store.ask("select id, headrace.failure_of(error, task) from headrace.job_history"))

    def matching(self, filter: Filter, tenant: str | None = None) -> set[UUID]:
        """The ids of those that match, as Python sees it; where only finished jobs can, of those that had finished by then."""
        may_be_open = Scope.of(filter, tenant).open
        return {
            job.id for job in self.infos
            if (may_be_open or (job.finished_at is not None and job.finished_at <= NOW)) and (tenant is None or job.tenant == tenant) and matches(filter, job, NOW, self.failures.get(job.id))
        }  # fmt: skip

    def _add(self, number: int) -> None:
        some, state = self.dice.choice, self.dice.choice(STATES)
        final = state in STATES[4:]
        created = NOW - some(
            [timedelta(0), timedelta(hours=1), timedelta(days=2), timedelta(seconds=self.dice.uniform(0, 4e5))]
        )
        claimed = (
            created + timedelta(seconds=self.dice.choice([0, 30, self.dice.uniform(0, 9e4)]))
            if state != "cancelled"
            else None
        )
        row: dict[str, Any] = {
            "id": some([*IDS, None]) if number < 4 else None, "state": state, "task": self._word("task"), "queue": self._word("queue"),
            "tenant": some([None, self._word()]), "correlation_id": some([None, self._word()]), "unique_key": None,
            "priority": some([-1, 0, 2]), "attempts": some([0, 1, 3]), "created_at": created,
            "run_at": some([created, created + timedelta(hours=1)]), "tags": some([None, [], [self._word(), self._word()]]),
            "metadata": some([None, self._json()]), "workflow_id": some([None, *IDS]), "worker_id": some([0, 1, 2]),
            "args": self._object(), "run": 1,
        }  # fmt: skip
        if row["id"] is None:
            row["id"] = str(UUID(int=self.dice.getrandbits(128)))
        else:
            row["id"] = IDS[number]
        if state == "running" or (final and claimed):
            row["claimed_at"] = claimed
        if final:
            row |= {
                "finished_at": min((claimed or created) + timedelta(seconds=some([0, 1, 3600])), NOW + timedelta(hours=20)),
                "retention": some(["short", "normal", "long"]),
                "bounded": False, "max_attempts": 1, "result": some([None, self._json()]), "unique_key": some([None, self._word()]),
            }  # fmt: skip
            row["claimed_at"] = claimed or "-infinity"
            row["error"] = None if state == "succeeded" else some([self._error(), None])
            if self.dice.random() < 0.3:
                row["run_at"] = None
        else:
            row["position"] = number if state in ("queued", "running") else None
        if self.dice.random() < 0.2:  # kept apart, as if it were large
            self._insert("payload", {"job_id": row["id"], "created_at": created, "args": row["args"]})
            row["args"] = None
        self._insert("job_history" if final else "job", row)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        packed = {
            key: json.dumps(value) if key in ("args", "metadata", "result", "error") and value is not None else value
            for key, value in row.items()
        }
        places = ", ".join(f"%({key})s" for key in packed)
        self.store.ask(f"insert into headrace.{table} ({', '.join(packed)}) values ({places})", packed)

    def _word(self, _: str = "") -> str:
        return self.dice.choice([w for w in WORDS if w])

    def _json(self) -> Any:
        some = self.dice.choice
        return some([None, True, 0, 42, 4.2, -7, some(WORDS), [some(WORDS), 1], self._object()])

    def _object(self) -> dict[str, Any]:
        some = self.dice.choice
        return {
            some(PARTS): some(
                [None, True, 42, 4.2, 1, some(WORDS), {some(PARTS): some([1, some(WORDS)])}, [some(WORDS), 3]]
            )
            for _ in range(self.dice.randrange(4))
        }

    def _error(self) -> dict[str, str]:
        some = self.dice.choice
        return {
            "kind": "exception",
            "type": self._word(),
            "message": f"{self._word()} {some(NUMBERS)}",
            "traceback": self._word(),
        }


@pytest.fixture(scope="module")
def url(server: DatabaseServer, _template: str) -> Iterator[str]:
    """A database of its own: it has jobs of the past."""
    from conftest import _new_database

    with _new_database(server, _template) as url:
        yield url


@pytest.fixture(scope="module")
def jobs(url: str) -> Iterator[Jobs]:
    """Made once."""
    with Store(url) as store:
        for (name,) in store.ask("select name from headrace.list_partitions() where day > '2026-01-08'"):
            store.ask(f"drop table headrace.{name}")
        yield Jobs(store, seed=5)


@pytest.fixture(scope="module")
def app(url: str) -> Iterator[Headrace]:
    """An app on it."""
    app = Headrace(url)
    yield app
    app.close_sync()


def found(
    app: Headrace, filter: Filter, *, tenant: str | None = None, limit: int = 1000, place: Place | None = None
) -> list[UUID]:
    """The ids of all pages, in order."""

    async def look() -> list[UUID]:
        look = Look(await app.database(), filter, tenant, place or Place(NOW))
        ids: list[UUID] = []
        while look.place is not None:
            ids += [UUID(row["id"]) for row in await look.find(limit, 20.0)]
        return ids

    return app.run_sync(look())


FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@given(made=st.lists(terms(), min_size=1, max_size=3), tenant=st.sampled_from([None, None, *WORDS]))
@settings(FUZZ, max_examples=400)
def test_the_database_and_python_agree_on_what_matches(
    jobs: Jobs, app: Headrace, made: list[Term], tenant: str | None
) -> None:
    """For any filter, with any text in it, exactly the jobs come that it means: no value is ever part of a statement.

    The jobs' own words are the same nasty ones, so that patterns, quotes and numbers meet their like. A tenant sees its own jobs only.
    """
    ids = found(app, Filter(tuple(made)), tenant=tenant)
    assert len(ids) == len(set(ids))
    assert set(ids) == jobs.matching(Filter(tuple(made)), tenant), str(Filter(tuple(made)))
