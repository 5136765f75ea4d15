"""Searches find exactly the jobs that a filter means, on any page, whatever is in the filter and whatever happens meanwhile."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any
from unittest import mock
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from headrace import ConfigurationError, FilterError, Headrace, Secret
from headrace._filter.scope import Scope
from headrace._store import searching
from headrace._store.conditions import Conditions
from headrace._store.searching import Look, OutOfTime, Place, ask
from headrace.filter import Filter, Term
from headrace.job import job_info
from headrace.search import Estimate
from tests.store.filters import IDS, NOW, NUMBERS, PARTS, WORDS, matches, terms
from tests.store.harness import Store, ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager


JOBS = 400
STATES = ["blocked", "scheduled", "queued", "running", "succeeded", "failed", "cancelled"]
pytestmark = pytest.mark.direct  # databases of its own


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

    def matching(self, wanted: Filter, tenant: str | None = None) -> set[UUID]:
        """The ids of those that match, as Python sees it; where only finished jobs can, of those that had finished by then."""
        may_be_open = Scope.of(wanted, tenant).open
        return {
            job.id for job in self.infos
            if (may_be_open or (job.finished_at is not None and job.finished_at <= NOW)) and (tenant is None or job.tenant == tenant) and matches(wanted, job, NOW, self.failures.get(job.id))
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
def url(lend_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A database of its own: it has jobs of the past."""
    with lend_database() as url:
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
    app: Headrace, wanted: Filter, *, tenant: str | None = None, limit: int = 1000, place: Place | None = None
) -> list[UUID]:
    """The ids of all pages, in order."""

    async def look() -> list[UUID]:
        look = Look(await app.database(), wanted, tenant, place or Place(NOW))
        ids: list[UUID] = []
        while look.place is not None:
            ids += [UUID(row["id"]) for row in await look.find(limit, 20.0)]
        return ids

    return app.run_sync(look())


FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@given(made=st.lists(terms(), min_size=1, max_size=3), tenant=st.sampled_from([None, None, *WORDS]))
@settings(FUZZ, max_examples=250)
def test_the_database_and_python_agree_on_what_matches(
    jobs: Jobs, app: Headrace, made: list[Term], tenant: str | None
) -> None:
    """For any filter, with any text in it, exactly the jobs come that it means: no value is ever part of a statement.

    The jobs' own words are the same nasty ones, so that patterns, quotes and numbers meet their like. A tenant sees its own jobs only.
    """
    check_agreement(jobs, app, Filter(tuple(made)), tenant)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@given(made=st.lists(terms(), min_size=1, max_size=4), tenant=st.sampled_from([None, None, *WORDS]))
@settings(FUZZ, max_examples=2000)
def test_the_database_and_python_agree_for_long(
    jobs: Jobs, app: Headrace, made: list[Term], tenant: str | None
) -> None:
    """The same, eight times as often."""
    check_agreement(jobs, app, Filter(tuple(made)), tenant)


def check_agreement(jobs: Jobs, app: Headrace, wanted: Filter, tenant: str | None) -> None:
    """SQL and Python find the same jobs, and each once."""
    ids = found(app, wanted, tenant=tenant)
    assert len(ids) == len(set(ids))
    assert set(ids) == jobs.matching(wanted, tenant), str(wanted)


@settings(FUZZ, max_examples=40)
@given(made=st.lists(terms(), max_size=2), limit=st.integers(1, 30), windows=st.integers(1, 50))
def test_small_windows_and_pages_find_the_same_in_the_same_order(
    jobs: Jobs, app: Headrace, made: list[Term], limit: int, windows: int
) -> None:
    """However far each statement looks, and wherever pages end: no job is missing, none comes twice, and the order is one."""
    whole = found(app, Filter(tuple(made)))
    with (
        mock.patch.object(searching, "OPEN_WINDOWS", (windows, 2 * windows)),
        mock.patch.object(searching, "FINISHED_WINDOWS", (windows,)),
    ):
        assert found(app, Filter(tuple(made)), limit=limit) == whole


def test_the_order_is_unfinished_jobs_by_creation_then_finished_ones_by_their_end(jobs: Jobs, app: Headrace) -> None:
    """Newest first, each; what has finished since the search began is where it was."""
    infos = {job.id: job for job in jobs.infos}
    ids = found(app, Filter())
    assert len(ids) == len(infos)
    ended = [i for i in ids if (end := infos[i].finished_at) is not None and end <= NOW]
    open_ = ids[: len(ids) - len(ended)]
    assert ids[len(open_) :] == ended
    assert open_ == sorted(open_, key=lambda i: i.bytes, reverse=True)
    assert ended == sorted(ended, key=lambda i: (infos[i].finished_at, i.bytes), reverse=True)
    assert any(infos[i].finished_at for i in open_)


ATTACKS = [
    "task:\"'||(select pg_sleep(9))--\"", "task=\"'; drop table headrace.job; --\"", "args.\"'}')\"=1", 'args."{a,b}"="%s"',
    "error~\"%(given0)s\"", 'task:"$1"', "queue:{}", 'meta."\\\\ ":*', "tag:%", "tag:_*", "result.x>\"' or '1'='1\"",
]  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS)
async def test_what_looks_like_sql_is_a_word(jobs: Jobs, url: str, text: str) -> None:
    """It finds what is called so, and nothing else, through every question that can be asked; and all jobs are still there."""
    async with Headrace(url) as app:
        page = await app.search.jobs(text, limit=1000)
        wanted = Filter.parse(text)
        assert {job.id for job in page.jobs} == {job.id for job in jobs.infos if matches(wanted, job, NOW, None)}
        await app.search.count(text)
        await app.search.failures(text)
        await app.search.complete(text)
        await app.operations.preview(text, "retry")
        assert (await app.search.count("")).jobs == JOBS


@settings(FUZZ, max_examples=40)
@given(made=st.lists(terms(), max_size=3), tenant=st.sampled_from([None, *WORDS]))
def test_the_count_is_how_many_are_found(jobs: Jobs, app: Headrace, made: list[Term], tenant: str | None) -> None:
    """Of few jobs exactly."""

    async def count() -> Estimate:
        with mock.patch("headrace.search.Conditions", lambda schema, _: Conditions(schema, NOW)):
            return await app.search.count(Filter(tuple(made)), tenant=tenant)

    wanted = Filter(tuple(made))
    matching = {
        job.id for job in jobs.infos
        if (tenant is None or job.tenant == tenant) and matches(wanted, job, NOW, jobs.failures.get(job.id))
    }  # fmt: skip
    assert app.run_sync(count()) == Estimate(jobs=len(matching), exact=True)


# -- while things happen --


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Headrace]:
    """An app on the shared database, without jobs."""
    store.ask("delete from headrace.job_history")
    async with Headrace(store.url) as app:
        yield app


def enqueue_many(store: Store, count: int, **fields: Any) -> list[str]:
    """So many jobs, in the order of their ids."""
    rows = store.rows("enqueue_jobs", jobs=json.dumps([{"task": "t", "queue": "q", **fields}] * count))
    return sorted(str(row[1]) for row in rows)


async def test_paging_is_stable_while_jobs_come_and_finish(store: Store, live: Headrace) -> None:
    """Between pages jobs are enqueued, and others finish: every job of the beginning comes once, and no other."""
    ids, worker = enqueue_many(store, 40), store.worker()
    store.settle(worker, *map(ended, store.claim(worker, 15)))
    page = await live.search.jobs("task:t", limit=7)
    seen = [str(job.id) for job in page.jobs]
    while page.after is not None:
        enqueue_many(store, 2)
        store.settle(worker, *map(ended, store.claim(worker, 5)))
        page = await live.search.jobs("task:t", limit=7, after=page.after)
        seen += [str(job.id) for job in page.jobs]
    assert len(seen) == len(set(seen))
    assert set(seen) == set(ids)


async def test_ages_count_from_the_first_page(store: Store, live: Headrace) -> None:
    """What is young enough on the first page is so on the others, and what was not is not."""
    ids = enqueue_many(store, 4)
    page = await live.search.jobs("age<1h", limit=2)
    assert page.after is not None
    began = Place.decode(page.after).as_of
    for job, age in ((ids[0], 3600.000001), (ids[1], 3599.999999)):
        store.ask("update headrace.job set created_at = %s where id = %s", [began - timedelta(seconds=age), job])
    rest = await live.search.jobs("age<1h", limit=9, after=page.after)
    assert [str(job.id) for job in rest.jobs] == [ids[1]]


async def test_a_search_that_takes_too_long_says_how_far_it_came(store: Store, live: Headrace) -> None:
    """What it found by then is the answer; going on from there finds the rest."""
    enqueue_many(store, 30)
    needle = enqueue_many(store, 1, task="needle")
    enqueue_many(store, 30)
    clock = chain(repeat(0.0, 4), repeat(99.0))  # one window, and the time is over
    with (
        mock.patch.object(searching, "OPEN_WINDOWS", (10,)),
        mock.patch.object(searching, "time", SimpleNamespace(monotonic=clock.__next__)),
    ):
        page = await live.search.jobs("task:needle")
    assert (page.jobs, page.partial, page.searched.all) == ([], True, False)
    assert str(page.searched) == "the latest 10 jobs"
    rest = await live.search.jobs("task:needle", after=page.after)
    assert [str(job.id) for job in rest.jobs] == needle
    assert (rest.partial, rest.after) == (False, None)


async def test_a_statement_that_is_cut_off_loses_its_window_only(store: Store, live: Headrace) -> None:
    """The server ends it by its own clock; the connection goes on, and so does the search, from the same place."""
    enqueue_many(store, 3)
    database = await live.database()
    with pytest.raises(OutOfTime):
        await ask(database, "count_open", 0.01, {"open": sql.SQL("pg_sleep(5) is not null")}, {"cap": 1})
    assert await database.value("read_clock")
    look = Look(database, Filter(), None, Place(await database.value("read_clock")))
    look._open = sql.SQL("pg_sleep(5) is not null")
    place = look.place
    assert await look.find(5, 0.05) == []
    assert look.place == place


@pytest.mark.parametrize("text", ["", "x", "AAAA", "WzFd", "bnVsbA", "WyJhIiwgbnVsbCwgImIiXQ", "é"])
async def test_a_place_that_is_none_is_refused(live: Headrace, text: str) -> None:
    """Whatever a URL says."""
    with pytest.raises(ConfigurationError, match="is not where a search can go on"):
        await live.search.jobs("", after=text)


@given(st.datetimes(timezones=st.just(UTC)), st.none() | st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_place_fits_into_a_url(as_of: datetime, finished_at: datetime | None, job_id: UUID) -> None:
    """And is the same when it is read again."""
    place = Place(as_of, finished_at, str(job_id))
    assert Place.decode(place.encode()) == place
    assert re.fullmatch(r"[A-Za-z0-9_-]+", place.encode())


# -- failures --


def error(trace: str, kind: str = "ValueError") -> str:
    """An error as a worker stores it."""
    return json.dumps({"kind": "exception", "type": kind, "message": "no", "traceback": trace})


START = "Traceback (most recent call last):\n"


@pytest.mark.parametrize(
    ("trace", "place"),
    [
        (START + '  File "/srv/v1/shop/jobs.py", line 3, in charge\n    x()\nValueError: no', "shop/jobs.py in charge"),
        (START + '  File "/srv/shop/jobs.py", line 3, in charge\n  File "/v/site-packages/httpx/a.py", line 9, in get\nE',
         "shop/jobs.py in charge"),
        (START + '  File "/v/site-packages/httpx/a.py", line 9, in get\nE', "httpx/a.py in get"),
        (START + '  File "/a/b.py", line 1, in first\nE\n\nDuring handling of the above exception, another:\n\n' + START
         + '  File "/a/c.py", line 1, in second\nE', "a/c.py in second"),
        (START + '  File "C:\\shop\\jobs.py", line 3, in charge\nE', "shop/jobs.py in charge"),
        ("nothing", None),
        ("", None),
    ],
)  # fmt: skip
def test_where_an_exception_was_raised(store: Store, trace: str, place: str | None) -> None:
    """The innermost frame that is nobody else's, of the last exception of a chain."""
    assert store.one("select headrace.error_place(%s::text::jsonb)", [error(trace)]) == place


async def test_failures_are_grouped_by_exception_and_place(store: Store, live: Headrace) -> None:
    """Not by line, message or release; what is no exception by its kind and task. Tenants see their own."""
    worker = store.worker()

    def fail(problem: str, **fields: Any) -> str:
        job = enqueue_many(store, 1, **fields)[0]
        (attempt,) = store.claim(worker)
        store.settle(worker, ended(attempt, "failed", error=problem))
        return job

    frame = '  File "/srv/{}/shop/jobs.py", line {}, in charge\nE'
    first = fail(error(START + frame.format("v1", 3)), tenant="acme")
    second = fail(error(START + frame.format("v2", 7)), task="u")
    fail(error(START + frame.format("v2", 7), "KeyError"))
    fail(json.dumps({"kind": "timeout", "message": "took too long"}))
    groups = await live.search.failures()
    assert next((g.type, g.place, g.count, g.tasks) for g in groups) == (
        "ValueError",
        "shop/jobs.py in charge",
        2,
        ["t", "u"],
    )
    assert {(g.type, g.place) for g in groups} == {
        ("ValueError", "shop/jobs.py in charge"), ("KeyError", "shop/jobs.py in charge"), ("timeout", "t"),
    }  # fmt: skip
    assert (str(groups[0].example), groups.partial, str(groups.searched)) == (second, False, "all jobs")
    assert groups[0].first_seen_at < groups[0].last_seen_at
    found = await live.search.jobs(f"failure:{groups[0].failure}")
    assert [str(job.id) for job in found.jobs] == [second, first]
    assert [(g.count, g.tasks) for g in await live.search.failures(tenant="acme")] == [(1, ["t"])]
    assert await live.search.failures("state:succeeded") == []


async def test_nobody_hears_of_other_tenants(store: Store, live: Headrace) -> None:
    """Neither in what is found and counted, nor in what is offered, whatever the filter says."""
    enqueue_many(store, 2, tenant="acme", args={"own": 1})
    enqueue_many(store, 3, tenant="evil", args={"theirs": 1})
    for text in ("", "tenant:evil", "-tenant:acme", "tenant:*", "args.theirs:*"):
        page = await live.search.jobs(text, tenant="acme")
        assert {job.tenant for job in page.jobs} <= {"acme"}
        assert (await live.search.count(text, tenant="acme")).jobs == len(page.jobs)
    assert [each.text for each in await live.search.complete("tenant:", tenant="acme")] == ["acme"]
    assert [each.text for each in await live.search.complete("args.", tenant="acme")] == ["args.own="]
    assert {each.text for each in await live.search.complete("tenant:")} == {"acme", "evil"}


@pytest.fixture
async def keeper(store: Store) -> AsyncIterator[Headrace]:
    """An app with a task that has secrets, and a job of it."""
    app = Headrace(store.url, secret_names=["pin"])

    @app.task(name="pay", queue="q")
    async def pay(
        card: Annotated[dict[str, str], Secret], amount: int, options: dict[str, Any]
    ) -> Annotated[str, Secret]:
        return card["number"]

    async with app:
        await pay.enqueue(
            card={"number": "4111"}, amount=5, options={"deep": {"password": "hunter2"}, "pin": "1234", "x": "y"}
        )
        yield app


@pytest.mark.parametrize(
    "text",
    ["args.card~4", "args.card.number:4*", "-args.card.number=4111", "args.options.deep.password>h", "args.apiKey:*", "result~4",
     "args.options.pin<2", "meta.token:*", "result.secret=1", 'task:pay args."card"."number"="4111"'],
)  # fmt: skip
async def test_secrets_cannot_be_searched_for(keeper: Headrace, text: str) -> None:
    """Neither by name, mark or path, nor by what acts on what it finds: whoever may ask how a secret begins, can read it."""
    asked = (
        keeper.search.jobs(text), keeper.search.count(text), keeper.search.failures(text),
        keeper.operations.preview(text, "cancel"), keeper.operations.start(text, "cancel", by="a"),
        keeper.search.jobs(Filter.parse(text)),
    )  # fmt: skip
    for ask_it in asked:
        with pytest.raises(FilterError, match="is secret: it cannot be searched for"):
            await ask_it
    assert await keeper.operations.list() == []


async def test_what_holds_a_secret_is_not_searched_through(keeper: Headrace) -> None:
    """Objects and lists have no text; what is beside a secret is found."""
    for text in (
        "args.options~hunter2",
        "args.options~pass*",
        "args.options:*hunter*",
        "args.options.deep~hunter",
        "args.options.deep>a",
    ):
        assert (await keeper.search.jobs(text)).jobs == [], text
    for text in ("args.options:*", "args.options.x=y", "args.amount=5"):
        assert len((await keeper.search.jobs(text)).jobs) == 1, text
    for text in ("args~hunter2", 'args="x"', "meta:*"):
        with pytest.raises(FilterError, match="needs the name of a part"):
            Filter.parse(text)
