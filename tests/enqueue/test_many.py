"""Many jobs from an iterable that is read while the first of them are being stored."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace import ConfigurationError, DatabaseUnavailable, Headrace, InvalidArguments, NewJob, Task, Unique
from headrace._store import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Greet = Task[..., ..., str]

MANY = 3_500
"""Three chunks and a half."""


@pytest.mark.parametrize("fails_at", [0, 700, 1_000, 2_500])
@pytest.mark.parametrize(
    "error", [InvalidArguments("so"), TimeoutError("so"), psycopg.OperationalError("so"), DatabaseUnavailable("so"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_what_the_iterable_raises_comes_out_and_nothing_is_stored(
    app: Headrace, greet: Greet, count: Callable[[], int], fails_at: int, error: BaseException
) -> None:
    """Whatever it is: even an error that looks like one of ours is not taken for a lost connection and tried again."""
    reason = ValueError("why")

    def jobs() -> Iterator[NewJob]:
        for number in range(MANY):
            if number == fails_at:
                raise error from reason
            yield greet.job(str(number))

    with pytest.raises(type(error)) as raised:
        await app.enqueue_many(jobs())
    assert raised.value is error
    assert raised.value.__cause__ is reason
    assert count() == 0
    await greet.enqueue("the connection is as good as before")
    assert count() == 1


@pytest.mark.parametrize("at", [0, 999, 1_000, 2_500, MANY - 1])
@pytest.mark.parametrize(
    "odd", [{"unique": "key"}, {"delay": timedelta(hours=1)}, {"expires": timedelta(hours=1)}, {"large": 5_000}],
    ids=lambda odd: next(iter(odd)),
)  # fmt: skip
async def test_jobs_that_are_no_plain_rows_come_among_those_that_are(
    app: Headrace, greet: Greet, count: Callable[[], int], at: int, odd: dict[str, Any]
) -> None:
    """The ids answered are those of the jobs given, in their order, wherever the first is that COPY cannot store."""
    large = "x" * odd.get("large", 0)
    options = {name: value for name, value in odd.items() if name != "large"}
    new = [greet.job(str(number)) for number in range(MANY)]
    new[at] = greet.options(**options).job("odd" + large)
    placed = await app.enqueue_many(iter(new))
    assert [str(job.id) for job in placed] == [job.id for job in new]
    assert count() == MANY
    assert (await placed[at].info()).args == {"name": "odd" + large}


async def test_a_key_that_is_refused_late_leaves_nothing(app: Headrace, greet: Greet, count: Callable[[], int]) -> None:
    """What COPY had stored before is rolled back with the rest: all or none."""
    await greet.options(unique="taken").enqueue("first")
    new = [greet.job(str(number)) for number in range(MANY)]
    new[-1] = greet.options(unique=Unique("taken", on_conflict="reject")).job("last")
    with pytest.raises(Exception, match="taken"):
        await app.enqueue_many(new)
    assert count() == 1


@pytest.mark.parametrize("at", [0, 1_500])
async def test_what_is_no_job_is_named(app: Headrace, greet: Greet, count: Callable[[], int], at: int) -> None:
    """Wherever it comes."""
    new: list[Any] = [greet.job(str(number)) for number in range(MANY)]
    new[at] = "no job"
    with pytest.raises(ConfigurationError, match="not 'no job'"):
        await app.enqueue_many(new)
    assert count() == 0


async def test_a_slow_iterable_holds_no_transaction_open(
    app: Headrace, greet: Greet, count: Callable[[], int], rows: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All jobs are made first when the first chunk took long to make."""
    monkeypatch.setattr(stream, "_SLOW_S", -1.0)
    open_while_made = []

    def jobs() -> Iterator[NewJob]:
        for number in range(MANY):
            if number == MANY - 1:
                open_while_made.extend(
                    rows(
                        """select l.pid from pg_locks l join pg_database d on d.oid = l.database
                        where d.datname = current_database() and l.relation = 'headrace.job'::regclass and l.mode like 'Row%'"""
                    )
                )
            yield greet.job(str(number))

    await app.enqueue_many(jobs())
    assert open_while_made == []
    assert count() == MANY
