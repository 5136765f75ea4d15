"""The audit log: who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from headrace.web.api.cursors import After, read_cursor, write_cursor
from headrace.web.api.dependencies import Admin, App, all_tenants
from headrace.web.api.fields import Answer, Moment
from headrace.web.api.problems import answers

router = APIRouter(tags=["audit"], dependencies=[all_tenants("what operators did")])
Only = Annotated[str | None, Query(max_length=300)]


class EntryAnswer(Answer):
    """One action of an operator."""

    id: int
    at: datetime
    by: str = Field(description="Who: a user's or key's name, or user@host.")
    source: str = Field(description="The way in: cli, dashboard, api or python.")
    address: str | None
    action: str = Field(description="What was done.", examples=["job.cancel"])
    kind: str = Field(description="What it was done to.", examples=["job"])
    targets: list[str] = Field(description="Their ids or names; of a bulk action the first 1,000.")
    count: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class EntryList(Answer):
    """Actions, the latest first."""

    entries: list[EntryAnswer]
    next: str | None = Field(description="Send it as `after` to get those that follow; null: there are none.")


@router.get("/audit", operation_id="list_audit", responses=answers())
async def list_audit(
    app: App, who: Admin, by: Only = None, action: Only = None, kind: Only = None, target: Only = None,
    since: Annotated[Moment | None, Query(description="None before this.")] = None,
    until: Annotated[Moment | None, Query(description="None from this on.")] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 50,
) -> EntryList:  # fmt: skip
    """List what operators did: of one person, of one action, on one thing."""
    found = await app.audit.list(
        by=by, action=action, kind=kind, target=target, since=since, until=until, before=read_cursor(after, int),
        limit=limit + 1,
    )  # fmt: skip
    following = write_cursor(found[limit - 1].id) if len(found) > limit else None
    return EntryList(entries=[EntryAnswer.model_validate(it) for it in found[:limit]], next=following)
