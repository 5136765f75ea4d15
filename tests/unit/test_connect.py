"""URLs: what is accepted, what is refused in words, and that no password is shown."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import ConfigurationError, DatabaseUnavailable
from headrace._store.connect import check_url, connect_sync, unavailable, without_password
from headrace._store.database import translate

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:password@host:5432/database",
        "postgres://host/database?sslmode=require",
        "postgresql:///database?host=/var/run",
        "postgresql://u@[::1]:5432,other:5433/db?target_session_attrs=read-write",
        "host=localhost dbname=x",
        "dbname = 'a b' password = 'postgres://'",
    ],
)
def test_whatever_libpq_reads_is_accepted(url: str) -> None:
    """URLs and keyword strings."""
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "not a PostgreSQL URL"),
        ("localhost", "not a PostgreSQL URL"),
        ("mysql://u:s3cr3t@host/db", "not a PostgreSQL URL: write postgresql://user:password@host:5432/database"),
        ("postgresql+psycopg://u:s3cr3t@host/db", r"without a driver's name such as \+psycopg"),
        ("postgresql://u:s3cr3t@host/db?colour=red", 'can be read: invalid URI query parameter: "colour"'),
        ("postgresql://u:s3cr3t@[::1/db", "can be read: .*IPv6"),
        ("host=localhost colour=red password=s3cr3t", 'can be read: invalid connection option "colour"'),
        ("postgresql://u:s3@cr3t@host/db", 'has two "@": write the one in the password as %40'),
    ],
)
def test_what_is_no_postgresql_url_is_refused_in_words(url: str, message: str) -> None:
    """Before anything is tried, with what is wrong, and without the password."""
    with pytest.raises(ConfigurationError, match=message) as refused:
        check_url(url)
    assert SECRET not in str(refused.value)
    assert "cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cr3t@host:1/db", "postgresql://u:***@host:1/db"),
        ("postgresql://:s3cr3t@host/db", "postgresql://:***@host/db"),
        ("postgresql://u:s3:cr/3t@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:s3@cr3t@host/db", "postgresql://u:***@host/db"),
        (
            "postgresql://u@host/db?password=s3cr3t&sslmode=require",
            "postgresql://u@host/db?password=***&sslmode=require",
        ),
        ("postgresql://host/db?sslpassword=s3cr3t", "postgresql://host/db?sslpassword=***"),
        ("host=h password=s3cr3t dbname=d", "host=h password=*** dbname=d"),
        ("host=h password = s3cr3t dbname=d", "host=h password = *** dbname=d"),
        (r"password='s3 cr\' 3t' dbname=d", "password=*** dbname=d"),
        ("password='s3 cr3t", "password=***"),
        ("postgresql://host:1/db", "postgresql://host:1/db"),
        ("postgresql://u@host/db", "postgresql://u@host/db"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    """Wherever a URL or a keyword string can hold one; the rest stays readable."""
    assert without_password(url) == shown


@given(password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4))
def test_no_password_in_a_url_is_shown(password: str) -> None:
    """Whatever it is made of, percent-encoded or not."""
    assert without_password(f"postgresql://user:{password}@host/db") == "postgresql://user:***@host/db"


def test_a_refused_connection_says_where_and_what_to_check() -> None:
    """Host and reason, the setting to look at, and no password."""
    url = f"postgresql://u:{SECRET}@127.0.0.1:1/db"
    with (
        pytest.raises(
            DatabaseUnavailable, match=r"cannot connect to postgresql://u:\*\*\*@127.0.0.1:1/db: "
        ) as refused,
        connect_sync(url),
    ):
        pass
    assert "refused" in str(refused.value)
    assert "HEADRACE_URL" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_driver_s_message_is_shown_without_the_password() -> None:
    """Libpq repeats the URL in some of its errors."""
    error = psycopg.OperationalError(f'bad URI: "postgresql://u:{SECRET}@host"\n')
    assert SECRET not in str(unavailable("postgresql://host", error))


def test_whose_fault_an_error_is() -> None:
    """A replica is a database that is away for now; an index entry that is too large is the statement's own fault."""
    assert isinstance(translate(psycopg.errors.ReadOnlySqlTransaction()), DatabaseUnavailable)
    assert isinstance(translate(psycopg.errors.AdminShutdown()), DatabaseUnavailable)
    too_large = psycopg.errors.ProgramLimitExceeded()
    assert translate(too_large) is too_large
