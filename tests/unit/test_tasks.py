"""Registering functions as tasks, and finding them again."""

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta
from typing import Any

import pytest

from headrace import (
    AppClosed,
    ConfigurationError,
    Headrace,
    Middleware,
    NewJob,
    Retry,
    UnknownQueue,
    UnknownTask,
)
from headrace.task import default_name

URL = "postgresql://nobody@localhost:1/none"  # nothing here connects


@pytest.fixture
def app() -> Headrace:
    """An app that never connects."""
    return Headrace(URL)


async def coroutine(a: int = 1) -> int:
    """A handler's own words."""
    return a


def function(a: int = 1) -> int:
    """The same, not a coroutine."""
    return a


class TestNames:
    def test_the_default_is_module_and_qualified_name(self, app: Headrace) -> None:
        """Stable, as long as the function is not moved."""
        assert app.task(coroutine).name == f"{__name__}.coroutine"

    def test_local_functions_lose_the_locals(self, app: Headrace) -> None:
        """A name that a person could write."""

        @app.task
        def local() -> None: ...

        assert local.name == f"{__name__}.TestNames.test_local_functions_lose_the_locals.local"

    @pytest.mark.parametrize("module", ["__main__", "__headrace_main__"])
    def test_a_program_s_own_tasks_have_a_name_that_does_not_depend_on_how_it_is_run(self, module: str) -> None:
        """`python program.py` and a worker that imports it agree."""

        def handler() -> None: ...

        handler.__module__, handler.__qualname__ = module, "handler"
        assert not default_name(handler).startswith("__")

    def test_a_name_is_taken_once(self, app: Headrace) -> None:
        """Two tasks of one name would take each other's jobs."""
        app.task(name="mail")(function)
        with pytest.raises(
            ConfigurationError, match='a task named "mail" is registered already: give it another name='
        ):
            app.task(name="mail")(coroutine)

    @pytest.mark.parametrize(
        ("name", "aliases"),
        [("old", []), ("new", ["mail"]), ("new", ["old"])],
        ids=["name", "alias=name", "alias=alias"],
    )
    def test_aliases_are_names(self, app: Headrace, name: str, aliases: list[str]) -> None:
        """An alias can be neither a task's name nor another's alias."""
        app.task(name="mail", aliases=["old"])(function)
        with pytest.raises(ConfigurationError, match="registered already"):
            app.task(name=name, aliases=aliases)(coroutine)

    def test_a_refused_task_is_not_registered(self, app: Headrace) -> None:
        """What raised left nothing behind."""
        app.task(name="mail")(function)
        with pytest.raises(ConfigurationError):
            app.task(name="new", aliases=["mail"])(coroutine)
        assert app.task_names() == ["mail"]

    def test_a_task_is_found_by_name_and_alias(self, app: Headrace) -> None:
        """Jobs that were enqueued under an earlier name run."""
        task = app.task(name="mail", aliases=["old", "older"])(function)
        assert [app.find_task(name) for name in ("mail", "old", "older")] == [task, task, task]
        assert app.task_names() == ["mail", "old", "older"]

    def test_an_unknown_task_is_refused_with_what_was_meant(self, app: Headrace) -> None:
        """A misspelt name is answered with the right one, another with what there is."""
        app.task(name="send_welcome")(function)
        with pytest.raises(UnknownTask, match=r'no task is named "send_welcom"\. Did you mean "send_welcome"'):
            app.find_task("send_welcom")
        with pytest.raises(UnknownTask, match=r"Known: send_welcome\."):
            app.find_task("xyz")

    def test_an_app_without_tasks_says_so(self, app: Headrace) -> None:
        """The usual cause: the module that registers them was not imported."""
        with pytest.raises(UnknownTask, match=r"Known: none\."):
            app.find_task("mail")

    def test_a_queue_is_known_if_a_task_uses_it_or_it_is_declared(self, app: Headrace) -> None:
        """A worker for a queue that nobody uses is a mistake."""
        app.task(queue="mails")(function)
        app.queue("reports", max_queued=10)
        assert [app.check_queue(name) for name in app.queue_names()] == ["mails", "reports"]
        with pytest.raises(UnknownQueue, match=r'no task uses the queue "mail"\. Did you mean "mails"'):
            app.check_queue("mail")


class TestDeclaring:
    def test_coroutines_run_on_the_loop_and_functions_in_threads(self, app: Headrace) -> None:
        """The executor follows from the function."""
        assert (app.task(coroutine).settings.executor, app.task(function).settings.executor) == ("async", "thread")

    @pytest.mark.parametrize("handler", [coroutine, function])
    def test_anything_can_run_in_a_process(self, app: Headrace, handler: Any) -> None:
        """Both kinds of function can be given a process of their own."""
        assert app.task(executor="process", memory_limit_bytes=10**8)(handler).settings.executor == "process"

    @pytest.mark.parametrize(
        ("handler", "options", "message"),
        [
            (coroutine, {"executor": "thread"}, 'is a coroutine function: executor="thread" does not fit'),
            (function, {"executor": "async"}, 'is not a coroutine function: executor="async" does not fit'),
            (function, {"memory_limit_bytes": 1}, 'memory_limit_bytes needs executor="process"'),
            (
                function,
                {"memory_limit_bytes": 0, "executor": "process"},
                "memory_limit_bytes must be more than nothing",
            ),
            (function, {"timeout": timedelta(0)}, "timeout must be more than nothing"),
            (coroutine, {"soft_timeout": timedelta(seconds=-1)}, "soft_timeout must be more than nothing"),
            (coroutine, {"priority": 40_000}, "priority 40000 is outside"),
        ],
    )
    def test_what_makes_no_sense_is_refused_with_the_task_s_name(
        self, app: Headrace, handler: Any, options: dict[str, Any], message: str
    ) -> None:
        """Where the task is declared, not when its first job runs."""
        with pytest.raises(ConfigurationError, match='task "mail".*' + message):
            app.task(name="mail", **options)(handler)
        assert app.tasks == {}

    async def test_a_task_is_still_the_function(self, app: Headrace) -> None:
        """Calling it calls the function, and it has its documentation and signature."""
        task = app.task(coroutine)
        assert await task(5) == 5
        assert task.__doc__ == "A handler's own words."
        assert task.__wrapped__ is coroutine

    def test_decorated_handlers_keep_their_signature(self, app: Headrace) -> None:
        """A decorator with functools.wraps does not hide the parameters."""

        @app.task(name="wrapped")
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any: ...

        assert wrapped.job(3).args == '{"a":3}'


class TestJobs:
    def test_a_job_takes_what_its_task_says_unless_the_enqueuer_says_otherwise(self, app: Headrace) -> None:
        """Options win over the task's settings, field by field."""
        task = app.task(queue="q", priority=3, retry=Retry(attempts=7))(function)
        job, other = task.job(), task.options(queue="r", priority=0, max_attempts=1).job()
        assert (job.queue, job.priority, job.max_attempts) == ("q", 3, 7)
        assert (other.queue, other.priority, other.max_attempts) == ("r", 0, 1)

    def test_options_add_up_and_leave_the_task_alone(self, app: Headrace) -> None:
        """`options` gives another task; what it was called on stays as it was."""
        task = app.task(function)
        both = task.options(tenant="a", priority=1).options(priority=2)
        assert (both.job().options.tenant, both.job().options.priority) == ("a", 2)
        assert task.job().options.tenant is None

    def test_ids_are_made_here_and_in_order(self, app: Headrace) -> None:
        """UUID version 7: an enqueue whose answer was lost can be looked up."""
        task = app.task(function)
        ids = [task.job().id for _ in range(1000)]
        assert ids == sorted(set(ids))
        assert {i[14] for i in ids} == {"7"}

    def test_middleware_may_change_or_refuse_a_job(self, app: Headrace) -> None:
        """In the order of registration, each getting what the one before made of it."""

        @app.middleware
        class First(Middleware):
            def on_enqueue(self, job: NewJob) -> NewJob:
                job.queue += "-first"
                return job

        @app.middleware
        class Second(Middleware):
            def on_enqueue(self, job: NewJob) -> NewJob:
                if job.args == '{"a":0}':
                    raise PermissionError("no zeros")
                job.queue += "-second"
                return job

        task = app.task(queue="q")(function)
        assert task.job(1).queue == "q-first-second"
        with pytest.raises(PermissionError, match="no zeros"):
            task.job(0)


class TestClosed:
    async def test_a_closed_app_says_so(self, app: Headrace) -> None:
        """Not a pool's error, and no connection is tried."""
        task = app.task(function)
        await app.close()
        for call in (task.enqueue(), app.open(), app.find_jobs([]), app.drain()):
            with pytest.raises(AppClosed, match="the app is closed: make a new Headrace"):
                await call
        with pytest.raises(AppClosed):
            _ = app.url

    def test_closing_for_synchronous_code(self, app: Headrace) -> None:
        """The same from code without an event loop."""
        task = app.task(function)
        app.close_sync()
        app.close_sync()
        with pytest.raises(AppClosed, match="make a new Headrace"):
            task.enqueue_sync()

    async def test_closing_twice_and_before_anything_was_opened_is_fine(self, app: Headrace) -> None:
        """Whoever cleans up need not know what happened."""
        await app.close()
        await app.close()


def test_nothing_is_opened_before_it_is_needed() -> None:
    """Importing a module that makes an app touches no database, and needs no event loop."""
    app = Headrace("postgresql://nobody@localhost:1/none")
    app.task(function).job()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


@pytest.mark.parametrize("schema", ["Headrace", "a-b", "1a", "", "a" * 42, 'x"; drop table y; --'])
def test_a_schema_name_that_needs_quoting_is_refused(schema: str) -> None:
    """It is put into SQL as it is."""
    with pytest.raises(ConfigurationError, match="schema name"):
        Headrace(URL, schema=schema)
