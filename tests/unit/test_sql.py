"""The SQL files: another schema's name, and nothing else, is put into them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace import SchemaError
from headrace._store import sql
from headrace._store.migrate import check_version
from headrace._store.sql import for_schema, functions, migrations, query

STORE = Path(sql.__file__).parent
FILES = sorted(path for folder in ("migrations", "functions", "queries") for path in (STORE / folder).glob("*.sql"))
WORD = re.compile(r"\bheadrace\w*")


def code(text: str) -> str:
    """Without comments."""
    return re.sub(r"--.*", "", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_another_schema_s_name_is_put_everywhere_and_nothing_else_changes(path: Path) -> None:
    """No statement of another schema mentions "headrace"; put back, it is the same text."""
    text = path.read_text()
    other = for_schema(text, "zz_other")
    assert not WORD.findall(code(other)), WORD.findall(code(other))
    assert other.replace("zz_other", "headrace") == text


def test_channels_carry_the_schema_s_name() -> None:
    """Two schemas of one database do not wake each other's workers."""
    texts = "".join(path.read_text() for path in FILES)
    channels = set(re.findall(r"pg_notify\('(\w+)'", texts))
    assert channels == {"headrace_wake", "headrace_cancel", "headrace_event"}
    assert {for_schema(channel, "jobs") for channel in channels} == {"jobs_wake", "jobs_cancel", "jobs_event"}


def test_its_own_schema_s_text_is_the_file() -> None:
    """What runs can be pasted into psql."""
    assert query("insert_job", "headrace") == (STORE / "queries" / "insert_job.sql").read_text()
    assert "jobs.job " in query("insert_job", "jobs")


def test_migrations_are_numbered_without_gaps() -> None:
    """Version n is the n-th file, and says so in its name."""
    assert [int(script.name[:4]) for script in migrations()] == list(range(1, len(migrations()) + 1))


def test_functions_are_named_after_their_files() -> None:
    """`verify` compares each file's one function with the database's."""
    for script in functions():
        created = re.findall(r"^create or replace function headrace\.(\w+)", script.text, re.MULTILINE)
        assert created == [script.name.split("_", 1)[1]]
        assert script.text.count("$$") == 2


def test_who_forbids_plans_forbids_compiling_them() -> None:
    """Before PostgreSQL 18 a forbidden node costs 10^10, and a plan that costs so much is compiled: seconds for each call."""
    for script in functions():
        if re.search(r"^set enable_\w+ = off$", script.text, re.MULTILINE):
            assert re.search(r"^set jit = off$", script.text, re.MULTILINE), script.name


def test_no_statement_reads_whatever_columns_there_are() -> None:
    """`select *` of a table breaks, or drops columns, when the schema is one version ahead (ENGINE 35)."""
    for path in (STORE / "queries").glob("*.sql"):
        assert not re.search(r"(?:select|returning)\s+(?:\w+\.)?\*", code(path.read_text())), path.name


KNOWN = len(migrations())


@pytest.mark.parametrize(
    ("applied", "message"),
    [
        (0, 'the database has no schema "jobs": run `headrace migrate`'),
        (KNOWN + 2, f'schema "jobs" has version {KNOWN + 2}, this headrace knows .*: upgrade headrace'),
    ],
)
def test_a_schema_of_another_version_is_refused_with_what_to_do(applied: int, message: str) -> None:
    """Missing or older: migrate. More than one version ahead: upgrade."""
    with pytest.raises(SchemaError, match=message):
        check_version(applied, "jobs")


def test_one_version_ahead_is_accepted() -> None:
    """Workers of version N run on schemas N and N+1: the schema is migrated first."""
    check_version(KNOWN, "jobs")
    check_version(KNOWN + 1, "jobs")


def test_all_claims_answer_the_same_of_a_job() -> None:
    """Three statements claim; what they answer becomes the same `Attempt`, whose extras must not depend on which it was."""

    def answer(path: str) -> str:
        text = (STORE / path).read_text()
        return " ".join(text[text.rindex("returning j.id::text") :].split()).removesuffix("; end $$;")

    claims = ["functions/049_claim_jobs.sql", "functions/091_claim_limited_jobs.sql", "queries/claim_suspect.sql"]
    assert len({answer(path) for path in claims}) == 1
