"""Unique keys: one job, whoever comes first, for as long as its scope says."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace import DuplicateJob, Headrace, State, Task, Unique

if TYPE_CHECKING:
    from collections.abc import Callable

    Greet = Task[..., ..., str]
    Ask = Callable[..., list[tuple[Any, ...]]]

PERIOD = timedelta(hours=1)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
SCOPES = pytest.mark.parametrize("scope", ["unfinished", "queued", PERIOD], ids=str)


def keyed(
    task: Task[..., ..., Any], scope: Any = "unfinished", on_conflict: Any = "keep", **options: Any
) -> Task[..., ..., Any]:
    """The task with the key that all tests fight for."""
    return task.options(unique=Unique("k", scope, on_conflict), **options)


class TestConflicts:
    @SCOPES
    async def test_keep(self, greet: Greet, scope: Any) -> None:
        """The first job stays as it is, and is what the second enqueue gets."""
        first = await keyed(greet, scope).enqueue("first")
        second = await keyed(greet, scope).enqueue("second")
        assert (second.id, first.existed, second.existed) == (first.id, False, True)
        assert (await second.info()).args == {"name": "first"}

    @SCOPES
    async def test_reject(self, greet: Greet, scope: Any, count: Callable[[], int]) -> None:
        """The second enqueue is refused with the key, the task and the holder."""
        first = await keyed(greet, scope).enqueue()
        with pytest.raises(DuplicateJob, match=f'unique key "k" of task "greet" is held by job {first.id}') as refused:
            await keyed(greet, scope, "reject").enqueue()
        assert refused.value.holder == first.id
        assert count() == 1

    @SCOPES
    @pytest.mark.parametrize("size", [1, 5_000])
    async def test_replace(self, greet: Greet, scope: Any, size: int) -> None:
        """The first job gets the new arguments and time, whatever their size."""
        first = await keyed(greet, scope).enqueue("first" * 1_000)
        second = await keyed(greet, scope, "replace", run_at=LATER).enqueue("x" * size)
        info = await first.info()
        assert (second.id, second.existed) == (first.id, True)
        assert (info.args, info.run_at, info.state) == ({"name": "x" * size}, LATER, State.SCHEDULED)

    @SCOPES
    async def test_reschedule(self, greet: Greet, scope: Any) -> None:
        """The first job keeps its arguments and gets the new time: debounce, and back to now."""
        first = await keyed(greet, scope, run_at=LATER).enqueue("first")
        await keyed(greet, scope, "reschedule", run_at=LATER + PERIOD).enqueue("second")
        assert ((await first.info()).run_at, (await first.info()).state) == (LATER + PERIOD, State.SCHEDULED)
        await keyed(greet, scope, "reschedule").enqueue("third")
        assert ((await first.info()).args, (await first.info()).state) == ({"name": "first"}, State.QUEUED)


class TestScopes:
    @pytest.mark.parametrize(
        ("scope", "while_running", "afterwards"),
        [("unfinished", True, False), ("queued", False, False), (PERIOD, True, True)],
        ids=str,
    )
    async def test_how_long_a_key_is_held(
        self, app: Headrace, scope: Any, while_running: bool, afterwards: bool
    ) -> None:
        """Until the job starts, until it has finished, or for a time whatever becomes of it."""
        during: list[bool] = []

        @app.task(name="nosy")
        async def nosy(ask: bool = True) -> None:
            if ask:
                during.append((await keyed(nosy, scope, delay=PERIOD).enqueue(False)).existed)

        await keyed(nosy, scope).enqueue()
        await app.drain()
        assert during == [while_running]
        if not while_running:
            return  # the second one holds the key now
        assert (await keyed(nosy, scope).enqueue(False)).existed is afterwards

    async def test_an_expired_period_is_over(self, greet: Greet, rows: Ask) -> None:
        """The key can be taken again after its time, even if nobody has cleaned up."""
        first = await keyed(greet, PERIOD).enqueue()
        rows("update headrace.enqueue_key set expires_at = now() - interval '1 second'")
        second = await keyed(greet, PERIOD).enqueue()
        assert (second.existed, second.id != first.id) == (False, True)

    async def test_keys_belong_to_task_and_tenant(self, app: Headrace, greet: Greet) -> None:
        """The same key of another task, or of another tenant, is another key."""
        other = app.task(name="other")(lambda: None)
        jobs = [
            await keyed(greet).enqueue(),
            await keyed(other).enqueue(),
            await keyed(greet, tenant="a").enqueue(),
            await keyed(greet, tenant="b").enqueue(),
            await keyed(greet, PERIOD).enqueue(),
            await keyed(greet, PERIOD, tenant="a").enqueue(),
        ]
        assert [job.existed for job in jobs] == [False] * 6
        assert (await keyed(greet, tenant="a").enqueue()).id == jobs[2].id

    async def test_a_deleted_job_gives_its_key_back(self, greet: Greet) -> None:
        """Nothing holds the key of a job that is not there."""
        await (await keyed(greet).enqueue()).delete()
        assert not (await keyed(greet).enqueue()).existed


class TestRaces:
    @SCOPES
    async def test_fifty_at_once_make_one_job(self, greet: Greet, scope: Any, count: Callable[[], int]) -> None:
        """Whoever comes first, all get the same job, and exactly one made it."""
        jobs = await asyncio.gather(*(keyed(greet, scope).enqueue(str(n)) for n in range(50)))
        assert len({job.id for job in jobs}) == 1
        assert sorted(job.existed for job in jobs) == [False] + [True] * 49
        assert count() == 1

    @SCOPES
    @pytest.mark.parametrize("first_commits", [True, False], ids=["commit", "rollback"])
    def test_the_second_waits_for_the_first_s_transaction(
        self, database: str, scope: Any, first_commits: bool, rows: Ask
    ) -> None:
        """Two callers' transactions with one key: the second gets the first's job, or makes its own if that is gone."""
        app = Headrace(database)
        greet = app.task(name="greet")(lambda: None)
        answers = []
        with psycopg.connect(database) as one, psycopg.connect(database) as two:
            first = keyed(greet, scope, conn=one).enqueue_sync()
            thread = threading.Thread(target=lambda: answers.append(keyed(greet, scope, conn=two).enqueue_sync()))
            thread.start()
            blocked = "select count(*) from pg_locks where pid = %s and not granted"
            while thread.is_alive() and rows(blocked, two.info.backend_pid) == [(0,)]:
                pass
            assert not answers
            one.commit() if first_commits else one.rollback()
            thread.join(20)
            two.commit()
        (second,) = answers
        assert second.existed is first_commits
        assert (second.id == first.id) is first_commits
        assert rows("select id from headrace.job") == [(second.id,)]
        app.close_sync()

    async def test_two_callers_with_the_same_keys_do_not_deadlock(self, app: Headrace, greet: Greet) -> None:
        """Keys are taken in one order, whatever order they are given in."""
        keys = [greet.options(unique=f"k{n}") for n in range(100)]
        orders = [keys, keys[::-1]] * 5
        placed = await asyncio.gather(*(app.enqueue_many(task.job() for task in order) for order in orders))
        assert len({job.id for jobs in placed for job in jobs}) == 100


class TestTheSameRequestAgain:
    @pytest.mark.parametrize("scope", [None, "unfinished", "queued", PERIOD], ids=str)
    @pytest.mark.parametrize("on_conflict", ["keep", "reject"])
    async def test_it_is_the_same_job(
        self, app: Headrace, greet: Greet, scope: Any, on_conflict: Any, count: Callable[[], int]
    ) -> None:
        """A caller that does not know whether its enqueue arrived may repeat it: it is no conflict with itself."""
        job = greet.job() if scope is None else keyed(greet, scope, on_conflict).job()
        (first,) = await app.enqueue_many([job])
        (again,) = await app.enqueue_many([job])
        assert (again.id, again.existed, count()) == (first.id, False, 1)
