"""`headrace migrate --verify`: what is not as the migrations made it is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace._store.migrate import verify

if TYPE_CHECKING:
    from tests.store.harness import Store

DAMAGES = {
    "drop view headrace.jobs": "view jobs is missing",
    "drop index headrace.job_claim": "index job_claim is missing",
    "alter table headrace.queue drop column max_queued": "column queue.max_queued integer is missing",
    "alter table headrace.queue alter column max_queued type bigint": "column queue.max_queued integer is missing",
    "drop trigger job_wake on headrace.job": "trigger job_wake of table job is missing",
    "drop function headrace.wake_queues(text[])": "function headrace.wake_queues is missing",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(fresh: Store, damage: str) -> None:
    """A view, an index, a column, its type, a trigger, a function; and nothing is left of the comparison."""
    assert verify(fresh.url) == []
    fresh.ask(damage)
    assert DAMAGES[damage] in " ".join(verify(fresh.url))
    assert fresh.ask("select nspname from pg_namespace where nspname like '%verify'") == []


def test_what_users_added_is_theirs(fresh: Store) -> None:
    """An index or a column more is no damage."""
    fresh.ask("create index mine on headrace.job (tenant)")
    fresh.ask("alter table headrace.queue add column note text")
    assert verify(fresh.url) == []
