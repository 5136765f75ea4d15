"""What the filter language can say beside lists of jobs: counts, groups of failures, and completion."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from headrace.web.api.dependencies import App, Redaction, Viewer
from headrace.web.api.fields import Answer, FilterText
from headrace.web.api.problems import answers

router = APIRouter(tags=["jobs"])


class EstimateAnswer(Answer):
    """How many jobs match."""

    jobs: int
    exact: bool = Field(description="Whether they were counted; otherwise the database's statistics say so.")


class FailureAnswer(Answer):
    """Failed jobs whose last attempt ended with the same exception at the same place."""

    failure: str = Field(description="Its name: the filter `failure:…` finds its jobs.")
    type: str = Field(description='The exception\'s type; of what is no exception its kind, such as "timeout".')
    place: str
    message: str | None = Field(description="What the latest said.")
    count: int
    first_seen_at: datetime
    last_seen_at: datetime
    tasks: list[str]
    example: UUID = Field(description="The latest of them.")


class FailureList(Answer):
    """Groups of failures, the largest first."""

    failures: list[FailureAnswer]
    searched: str = Field(description="What was looked at, in words.")
    partial: bool = Field(description="Whether there are failed jobs further back.")


class CompletionAnswer(Answer):
    """Something that may stand at a place of a filter."""

    text: str = Field(description="What to put in.")
    start: int = Field(description="From this character of the filter")
    end: int = Field(description="to this one it replaces what is there.")
    means: str


class CompletionList(Answer):
    """What may stand there, the likeliest first."""

    completions: list[CompletionAnswer]


@router.get("/count", operation_id="count_jobs", responses=answers())
async def count_jobs(app: App, who: Viewer, q: FilterText = "") -> EstimateAnswer:
    """Say about how many jobs match a filter: counted up to 10,000, estimated beyond."""
    return EstimateAnswer.model_validate(await app.search.count(q, tenant=who.tenant))


@router.get("/failures", operation_id="list_failures", responses=answers())
async def list_failures(
    app: App, who: Viewer, redactor: Redaction, q: FilterText = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many groups.")] = 100,
) -> FailureList:  # fmt: skip
    """Group the latest failed jobs by what went wrong, and where."""
    found = await app.search.failures(q, tenant=who.tenant, limit=limit)
    examples = {job.id: job for job in await app.find_jobs([group.example for group in found])} if found else {}
    groups = []
    for group in found:
        answer = FailureAnswer.model_validate(group)
        job = examples.get(group.example)
        if job is None:
            answer.message = None  # nobody knows any more what is secret in it
        elif group.message is not None:
            answer.message = redactor.texts(job.task, job.args)(group.message)
        groups.append(answer)
    return FailureList(failures=groups, searched=str(found.searched), partial=found.partial)


@router.get("/completions", operation_id="complete_filter", responses=answers())
async def complete_filter(
    app: App, who: Viewer, q: FilterText = "",
    position: Annotated[int | None, Query(ge=0, le=2000, description="Where; default: at its end.")] = None,
) -> CompletionList:  # fmt: skip
    """Say what may stand at a place of a filter that is being written."""
    place = None if position is None else min(position, len(q))
    found = await app.search.complete(q, place, tenant=who.tenant)
    return CompletionList(completions=[CompletionAnswer.model_validate(it) for it in found])
