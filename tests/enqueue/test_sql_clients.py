"""Enqueueing from SQL: psql, triggers, other languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace import Headrace, Retry, State, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    Greet = Task[..., ..., str]
    Ask = Callable[..., list[tuple[Any, ...]]]


async def test_a_task_and_its_arguments_are_enough(app: Headrace, greet: Greet, rows: Ask) -> None:
    """The id comes back, and a worker runs the job."""
    ((job_id,),) = rows("""select headrace.enqueue('greet', '{"name": "SQL"}')""")
    await app.drain()
    assert (await app.find_job(job_id)).result == "hello SQL"


async def test_every_option_has_its_parameter(app: Headrace, rows: Ask) -> None:
    """What Python can say, SQL can."""
    ((job_id,),) = rows("""
        select headrace.enqueue('greet', '{"name": "x"}', queue => 'q', priority => 3::smallint, delay => '1 hour',
                                expires_at => '2100-01-01Z', max_attempts => 2::smallint, unique_key => 'k',
                                tenant => 't', correlation_id => 'c', tags => '{a,b}', metadata => '{"m": 1}')""")
    info = await app.find_job(job_id)
    assert (info.queue, info.priority, info.max_attempts, info.unique_key) == ("q", 3, 2, "k")
    assert (info.tenant, info.correlation_id, info.tags, info.metadata) == ("t", "c", ["a", "b"], {"m": 1})
    assert (info.run_at - info.created_at, info.expires_at) == (timedelta(hours=1), datetime(2100, 1, 1, tzinfo=UTC))
    assert info.state is State.SCHEDULED


async def test_a_registered_task_s_defaults_are_used(app: Headrace, rows: Ask) -> None:
    """Once a worker has told the database of its tasks, SQL clients need not know queue, priority and attempts."""
    app.task(name="mail", queue="mails", priority=5, retry=Retry(attempts=9))(lambda: None)
    await app.drain()
    ((job_id,), (other_id,)) = rows("select headrace.enqueue(t) from unnest('{mail,unknown}'::text[]) t")
    job, other = await app.find_job(job_id), await app.find_job(other_id)
    assert (job.queue, job.priority, job.max_attempts) == ("mails", 5, 9)
    assert (other.queue, other.priority, other.max_attempts) == ("default", 0, 5)


def test_in_a_trigger(database: str, rows: Ask) -> None:
    """Each inserted row enqueues its job; a rolled-back row leaves none."""
    rows("create table public.member (id integer primary key)")
    rows("""
        create function public.welcome() returns trigger language plpgsql as $$
        begin
            perform headrace.enqueue('send_welcome', jsonb_build_object('user_id', new.id));
            return new;
        end $$""")
    rows("create trigger welcome after insert on public.member for each row execute function public.welcome()")
    try:
        rows("insert into public.member select generate_series(1, 3)")
        with psycopg.connect(database) as conn:
            conn.execute("insert into public.member values (4)")
            conn.rollback()
        assert rows("select (args ->> 'user_id')::int from headrace.job order by position") == [(1,), (2,), (3,)]
    finally:
        rows("drop table public.member")
        rows("drop function public.welcome")


@pytest.mark.parametrize(
    ("call", "sqlstate", "message"),
    [
        ("enqueue('')", "HR003", "a job needs a task"),
        ("enqueue('t', '[1]')", "HR003", 'args of task "t" must be a JSON object'),
        ("enqueue('t', jsonb_build_object('a', repeat('x', 2097153)))", "HR003", "at most 2097152 are allowed"),
        (
            "enqueue('t', unique_key => 'held', on_conflict => 'reject')",
            "HR002",
            'unique key "held" of task "t" is held',
        ),
        ("enqueue('t', unique_key => 'k', on_conflict => 'ignore')", "HR003", "on_conflict must be keep, replace"),
        ("enqueue('t', unique_key => 'k', unique_scope => 'ever')", "HR003", "unique_scope must be queued"),
        ("enqueue_jobs('{}')", "HR003", "must be a JSON array"),
    ],
)
def test_what_is_refused_has_a_state_and_words(rows: Ask, call: Any, sqlstate: str, message: str) -> None:
    """Clients of any language can tell why."""
    rows("select headrace.enqueue('t', unique_key => 'held')")
    with pytest.raises(psycopg.Error, match=message) as refused:
        rows(f"select headrace.{call}")
    assert refused.value.sqlstate == sqlstate


async def test_arguments_that_do_not_fit_fail_with_the_reason(app: Headrace, greet: Greet, rows: Ask) -> None:
    """SQL clients are not validated when they enqueue: the job is kept, failed, and explained."""
    ((job_id,),) = rows("""select headrace.enqueue('greet', '{"nmae": "x"}')""")
    await app.drain()
    info = await app.find_job(job_id)
    assert (info.state, (info.error or {})["kind"]) == (State.FAILED, "arguments")
    assert 'argument "nmae": extra inputs are not permitted' in (info.error or {})["message"]
