"""What goes wrong before the first job, and the words for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from headrace import AppClosed, ConfigurationError, DatabaseUnavailable, EmbeddedError, Headrace, SchemaError
from headrace._store.migrate import migrate
from headrace._store.sql import migrations

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = len(migrations())


async def refusal(app: Headrace, kind: type[Exception]) -> str:
    """What the first enqueue raises."""
    task = app.task(name="greet")(lambda: None)
    with pytest.raises(kind) as refused:
        await task.enqueue()
    await app.close()
    return str(refused.value)


async def test_no_server() -> None:
    """Where it was looked for, why that failed, and which setting to check."""
    message = await refusal(Headrace("postgresql://u:s3cr3t@127.0.0.1:1/db"), DatabaseUnavailable)
    assert message.startswith("cannot connect to postgresql://u:***@127.0.0.1:1/db: ")
    assert "refused" in message
    assert message.endswith("Check that the server runs and that HEADRACE_URL (or the URL given to Headrace) is right.")


async def test_no_such_database(database: str) -> None:
    """The database is named."""
    assert 'database "nowhere" does not exist' in await refusal(
        Headrace(database.replace(urlsplit(database).path, "/nowhere")), DatabaseUnavailable
    )


async def test_a_wrong_url() -> None:
    """It is refused before anything is tried, with what a right one looks like."""
    assert "write postgresql://user:password@host:5432/database" in await refusal(
        Headrace("postgresql+asyncpg://u:p@h/d"), ConfigurationError
    )


async def test_the_environment_s_url_is_used(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HEADRACE_URL, unless the app was given one."""
    monkeypatch.setenv("HEADRACE_URL", database)
    async with Headrace() as app:
        assert await app.find_jobs([]) == []
    async with Headrace(database) as app:
        assert app.url == database


async def test_no_url_and_no_embedded_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Without a database there is one to install, or one to name."""
    from headrace._store.embedded import programs

    monkeypatch.delenv("HEADRACE_URL", raising=False)
    monkeypatch.delenv("HEADRACE_POSTGRES_BIN", raising=False)
    monkeypatch.setenv("HEADRACE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(programs, "WHEELS", ())
    message = await refusal(Headrace(), EmbeddedError)
    assert "headrace[embedded]" in message


class TestSchemas:
    @pytest.fixture
    def own_database(self, empty_database: str) -> Iterator[psycopg.Connection]:
        """A connection to an empty database."""
        with psycopg.connect(empty_database, autocommit=True) as conn:
            yield conn

    async def test_a_database_without_the_schema(self, empty_database: str) -> None:
        """It is named, and the command that makes it."""
        message = await refusal(Headrace(empty_database), SchemaError)
        assert message == 'the database has no schema "headrace": run `headrace migrate`'

    async def test_another_schema_than_the_one_that_is_there(self, database: str) -> None:
        """The app's own schema is what counts."""
        assert 'no schema "jobs"' in await refusal(Headrace(database, schema="jobs"), SchemaError)

    async def test_a_schema_that_is_too_new(self, empty_database: str, own_database: psycopg.Connection) -> None:
        """Both versions are named; one ahead is accepted, for rolling upgrades."""
        migrate(empty_database)
        insert = "insert into headrace.schema_version (version, name, checksum) values (%s, 'future', '')"
        own_database.execute(insert, [KNOWN + 1])
        async with Headrace(empty_database) as app:
            await app.task(name="greet")(lambda: None).enqueue()
        own_database.execute(insert, [KNOWN + 2])
        message = await refusal(Headrace(empty_database), SchemaError)
        assert f"has version {KNOWN + 2}, this headrace knows versions up to {KNOWN + 1}: upgrade headrace" in message

    async def test_a_schema_that_is_too_old(
        self, empty_database: str, own_database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both versions are named, and the command."""
        from headrace._store import migrate as migrate_module

        migrate(empty_database)
        newer = (*migrations(), *migrations())
        monkeypatch.setattr(migrate_module, "migrations", lambda: newer)
        message = await refusal(Headrace(empty_database), SchemaError)
        assert message == (
            f'schema "headrace" has version {KNOWN}, this headrace needs {len(newer)}: run `headrace migrate`'
        )

    async def test_a_schema_that_vanishes_meanwhile(
        self, empty_database: str, own_database: psycopg.Connection
    ) -> None:
        """An app that was open says what is missing, not just that a statement failed."""
        migrate(empty_database)
        async with Headrace(empty_database) as app:
            own_database.execute("drop schema headrace cascade")
            with pytest.raises(SchemaError, match="run `headrace migrate`"):
                await app.find_jobs([])

    async def test_a_schema_of_another_name(self, empty_database: str) -> None:
        """Everything works in it, beside another."""
        for schema in ("headrace", "jobs"):
            migrate(empty_database, schema)
        async with Headrace(empty_database, schema="jobs") as app, Headrace(empty_database) as other:
            greet = app.task(name="greet")(lambda name: f"hello {name}")
            job = await greet.options(unique="k").enqueue("x" * 3000)
            assert await other.find_jobs([job.id]) == []
            await app.drain()
            assert await job.result(5) == "hello " + "x" * 3000


async def test_a_job_of_a_closed_app(app: Headrace) -> None:
    """Its handle says why it cannot be asked."""
    job = await app.task(name="greet")(lambda: None).enqueue()
    await app.close()
    for call in (job.info(), job.result(), job.cancel()):
        with pytest.raises(AppClosed, match="make a new Headrace"):
            await call
