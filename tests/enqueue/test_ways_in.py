"""One job, many, large ones: every way in stores the same job, and reads it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import DuplicateJob, Headrace, InvalidArguments, Job, QueueFull, State, Task, Unique
from headrace._arguments import MAX_ARGS_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Ask = Callable[..., list[tuple[Any, ...]]]
    Greet = Task[..., ..., str]
    Way = Callable[[Greet, str], Awaitable[Job[Any]]]

LATER = datetime(2100, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
ALL_OPTIONS: dict[str, Any] = {
    "run_at": LATER,
    "expires": LATER + timedelta(days=1),
    "priority": -7,
    "queue": "other",
    "max_attempts": 9,
    "tags": ["a", 'quote " and \\ and \t tab', "ü"],
    "metadata": {"deep": [{"x": None}], "text": "\\u0000 NaN"},
    "tenant": "tenant \\ \t\n \\N",
    "correlation_id": "c: %(x)s :y 😀",
}


async def alone(task: Greet, name: str) -> Job[Any]:
    """A plain INSERT, or the function if it is large."""
    return await task.enqueue(name)


async def among_many(task: Greet, name: str) -> Job[Any]:
    """COPY, or the function."""
    jobs = await task.app.enqueue_many([task.job("first"), task.job(name), task.job("last")])
    return jobs[1]


async def with_a_key(task: Greet, name: str) -> Job[Any]:
    """The function."""
    return await task.options(unique=f"key {len(name)}").enqueue(name)


async def synchronously(task: Greet, name: str) -> Job[Any]:
    """Through the app's own thread."""
    return task.enqueue_sync(name)


WAYS = pytest.mark.parametrize("way", [alone, among_many, with_a_key, synchronously], ids=lambda way: way.__name__)


@WAYS
async def test_a_job_is_stored_as_it_was_given(greet: Greet, way: Way) -> None:
    """Without options a job is queued at once, as its task says."""
    job = await way(greet, "Ada \\ \t \n 😀")
    info = await job.info()
    assert (info.id, info.state, info.task, info.queue) == (job.id, State.QUEUED, "greet", "default")
    assert info.args == {"name": "Ada \\ \t \n 😀"}
    assert (info.priority, info.attempts, info.max_attempts, info.run) == (0, 0, 5, 0)
    assert (info.result, info.error, info.claimed_at, info.finished_at, info.worker_id) == (None,) * 5
    assert info.run_at == info.created_at
    assert not job.existed


@WAYS
async def test_every_option_is_kept(greet: Greet, way: Way) -> None:
    """Whatever way a job comes in, and whatever its texts are made of."""
    info = await (await way(greet.options(**ALL_OPTIONS), "x")).info()
    assert info.state is State.SCHEDULED
    expected = ALL_OPTIONS | {"expires_at": ALL_OPTIONS["expires"]}
    del expected["expires"]
    assert {name: getattr(info, name) for name in expected} == expected


@WAYS
async def test_times_are_counted_by_the_database(greet: Greet, way: Way) -> None:
    """`delay` and a relative `expires` start at the enqueue, by the database's clock."""
    info = await (await way(greet.options(delay=timedelta(hours=2), expires=timedelta(hours=5)), "x")).info()
    assert info.expires_at is not None
    assert (info.run_at - info.created_at, info.expires_at - info.created_at) == (
        timedelta(hours=2),
        timedelta(hours=5),
    )
    assert info.state is State.SCHEDULED


async def test_what_is_due_already_is_queued(greet: Greet) -> None:
    """A time in the past is now."""
    for options in ({"run_at": datetime(2020, 1, 1, tzinfo=UTC)}, {"delay": timedelta(0)}, {"delay": timedelta(-1)}):
        assert (await (await greet.options(**options).enqueue()).info()).state is State.QUEUED


async def test_a_job_that_expired_is_not_started(app: Headrace, greet: Greet) -> None:
    """It is cancelled with the reason when its turn comes."""
    late = await greet.options(expires=datetime(2020, 1, 1, tzinfo=UTC)).enqueue()
    await app.drain()
    info = await late.info()
    assert (info.state, (info.error or {})["kind"], info.attempts) == (State.CANCELLED, "expired", 0)


class TestSize:
    @WAYS
    @pytest.mark.parametrize("size", [1000, 2048, 2049, 300_000, MAX_ARGS_BYTES - 20])
    async def test_arguments_of_any_allowed_size_come_back(
        self, app: Headrace, greet: Greet, way: Way, size: int
    ) -> None:
        """In the row or beside it, by every way in, for readers and for the handler."""
        name = "ü" * (size // 2)
        job = await way(greet, name)
        assert (await job.info()).args == {"name": name}
        if size < 200_000:
            await app.drain()
            assert await job.result(5) == f"hello {name}"
            assert (await job.info()).args == {"name": name}

    @WAYS
    async def test_more_is_refused_with_the_figure(self, greet: Greet, way: Way, count: Callable[[], int]) -> None:
        """By every way in, and nothing is enqueued."""
        with pytest.raises(InvalidArguments, match=f"1048587 bytes long, at most {MAX_ARGS_BYTES} are allowed"):
            await way(greet, "x" * MAX_ARGS_BYTES)
        assert count() == 0

    async def test_what_is_kept_is_measured_as_it_was_given(self, app: Headrace) -> None:
        """Many small values are as welcome as one long text: the database's own spacing does not count."""

        @app.task(name="numbers")
        async def numbers(values: list[int]) -> None: ...

        job = await numbers.enqueue([1] * (MAX_ARGS_BYTES // 2 - 10))
        assert len((await job.info()).args["values"]) == MAX_ARGS_BYTES // 2 - 10


class TestMany:
    async def test_fifty_thousand_jobs(self, app: Headrace, greet: Greet, rows: Ask) -> None:
        """In one call and one transaction, in the order given, waking the workers once."""
        jobs = await app.enqueue_many(greet.job(str(n)) for n in range(50_000))
        assert len({job.id for job in jobs}) == 50_000
        stored = rows("select id, args ->> 'name' from headrace.job order by position")
        assert [row[0] for row in stored] == [job.id for job in jobs]
        assert [row[1] for row in stored] == [str(n) for n in range(50_000)]
        assert rows("select count(*) from headrace.job where wake") == [(1,)]

    async def test_nothing_is_an_empty_list(self, app: Headrace) -> None:
        """Enqueueing no jobs needs no database."""
        assert await app.enqueue_many([]) == []
        assert app.enqueue_many_sync([]) == []

    async def test_different_tasks_queues_and_options_go_together(self, app: Headrace, greet: Greet) -> None:
        """A mixed batch answers in the order given, each job with its own options."""
        jobs = [
            greet.job("a"),
            greet.options(unique="k").job("b"),
            greet.options(delay=timedelta(hours=1), queue="later").job("c"),
            greet.options(unique="k").job("d"),
            greet.job("e" * 5_000),
        ]
        placed = await app.enqueue_many(jobs)
        infos = [await job.info() for job in placed]
        assert [info.args["name"][0] for info in infos] == ["a", "b", "c", "b", "e"]
        assert [job.existed for job in placed] == [False, False, False, True, False]
        assert [info.queue for info in infos] == ["default", "default", "later", "default", "default"]

    @pytest.mark.parametrize("unique", [None, "k"], ids=["copy", "function"])
    async def test_all_or_none(self, app: Headrace, greet: Greet, unique: str | None, count: Callable[[], int]) -> None:
        """One job that is refused takes the others with it."""
        await greet.options(unique="held").enqueue()
        if unique:
            bad = greet.options(unique=Unique("held", on_conflict="reject")).job()
        else:
            app.queue("small")
            await (await app.database()).rows("set_queue", name="small", concurrency=None, max_queued=0, clear=[])
            bad = greet.options(queue="small").job()
        with pytest.raises(DuplicateJob if unique else QueueFull):
            await app.enqueue_many([greet.job(), bad, greet.job()])
        assert count() == 1


class TestQueueCap:
    @pytest.fixture(autouse=True)
    async def cap(self, app: Headrace) -> None:
        """A queue that is full with three jobs."""
        await (await app.database()).rows("set_queue", name="small", concurrency=None, max_queued=3, clear=[])

    @WAYS
    async def test_a_full_queue_refuses_with_the_figures(
        self, app: Headrace, greet: Greet, way: Way, count: Callable[[], int]
    ) -> None:
        """Every way in; the queue and its bound are named, and what to do."""
        small = greet.options(queue="small")
        await app.enqueue_many(small.job() for _ in range(3))
        with pytest.raises(QueueFull, match='queue "small" is full: it may hold 3 queued jobs') as full:
            await way(small, "x")
        assert "Run more workers, or raise the bound: update headrace.queue set max_queued" in str(full.value)
        assert count() == 3

    async def test_a_batch_that_fits_only_in_part_is_refused_whole(
        self, app: Headrace, greet: Greet, count: Callable[[], int]
    ) -> None:
        """All or none, here too."""
        with pytest.raises(QueueFull):
            await app.enqueue_many(greet.options(queue="small").job() for _ in range(4))
        assert count() == 0

    async def test_only_what_is_queued_counts(self, app: Headrace, greet: Greet) -> None:
        """Finished and scheduled jobs take no place, and other queues have their own."""
        app.queue("small")
        small = greet.options(queue="small")
        await app.enqueue_many(small.job() for _ in range(3))
        await app.drain(queues=["small"])
        await app.enqueue_many(small.options(delay=timedelta(hours=1)).job() for _ in range(5))
        await app.enqueue_many(greet.job() for _ in range(5))
        await app.enqueue_many(small.job() for _ in range(3))


storable_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | storable_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(storable_text, inner, max_size=4),
    max_leaves=8,
)


async def test_what_json_holds_survives_the_database(app: Headrace) -> None:
    """Any JSON value comes back equal from JSONB, by COPY and by the function alike.

    Floats beyond 2^53 come back as integers, so they are not drawn here.
    """

    @app.task(name="anything")
    async def anything(value: Any) -> None: ...

    drawn: list[Any] = []

    @settings(max_examples=200, database=None, suppress_health_check=list(HealthCheck))
    @given(values)
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    copied = await app.enqueue_many(anything.job(value) for value in drawn)
    placed = await app.enqueue_many(anything.options(delay=timedelta(0)).job(value) for value in drawn)
    stored = {info.id: info.args["value"] for info in await app.find_jobs([job.id for job in copied + placed])}
    for jobs in (copied, placed):
        assert [stored[job.id] for job in jobs] == drawn
