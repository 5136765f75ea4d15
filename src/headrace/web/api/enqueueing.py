"""Enqueueing over HTTP: one job, or many, at most once for each idempotency key."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request, Response
from pydantic import Field

from headrace.app import Headrace
from headrace.errors import InvalidArguments
from headrace.job import Job, NewJob, Unique
from headrace.web.access import Caller
from headrace.web.api.dependencies import App, Operator
from headrace.web.api.fields import (
    Answer,
    Moment,
    MoreThanNothing,
    Name,
    Object,
    Priority,
    Seconds,
    Text,
    Whole,
    seconds,
)  # fmt: skip
from headrace.web.api.fields import (
    Request as Body,
)
from headrace.web.api.job_answers import EnqueuedAnswer
from headrace.web.api.problems import ProblemError, answers, pointer
from headrace.webhooks import WEBHOOK

MAX_BULK = 10_000
"""Jobs in one request; the body limit is usually reached before."""

KEY_LIFETIME = timedelta(hours=24)
"""How long a repeated request with the same Idempotency-Key is answered with the first one's jobs."""

_PREFIX = "idempotency:"
router = APIRouter(tags=["enqueueing"])
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Any string that is the client's own for this request. For 24 hours, a request with the same key "
        "and task is answered with the first one's job, and enqueues nothing.",
        examples=["order-4711"],
    ),
]


class UniqueBody(Body):
    """At most one job of a task (and tenant) with this key."""

    key: Name
    scope: Literal["unfinished", "queued"] = Field(
        default="unfinished", description="How long the key is held: until the job has finished, or until it starts."
    )
    for_s: MoreThanNothing | None = Field(
        default=None, description="Instead of a scope: held so many seconds from the enqueueing on."
    )
    on_conflict: Literal["keep", "replace", "reschedule", "reject"] = Field(
        default="keep",
        description="What happens to a second job: the first one stays and is answered; it gets the second's arguments "
        "and time if it has not started; it gets the second's time; or 409.",
    )


class JobBody(Body):
    """A job to enqueue."""

    task: Name = Field(description="The task's name, as GET /tasks lists them.", examples=["send_invoice"])
    args: Object = Field(
        default_factory=dict, description="The task's arguments, by name.", examples=[{"customer": 42}]
    )
    queue: Name | None = Field(default=None, description="Another queue than the task's.")
    priority: Priority | None = Field(default=None, description="Larger first. Default: the task's.")
    max_attempts: Annotated[Whole, Field(ge=1, le=32_000)] | None = Field(default=None, description="The retry budget.")
    delay_s: Seconds | None = Field(default=None, description="Run it so many seconds later.")
    run_at: Moment | None = Field(default=None, description="Run it at this time, instead of after a delay.")
    expires_at: Moment | None = Field(default=None, description="Cancel it if it has not started by then.")
    expires_s: MoreThanNothing | None = Field(default=None, description="The same, in seconds from now.")
    unique: UniqueBody | None = Field(default=None, description="At most one such job.")
    tenant: Name | None = Field(
        default=None, description="Whom it belongs to. A caller of one tenant enqueues for that one."
    )
    correlation_id: Text | None = Field(default=None, description="Ties it to the request that caused it.")
    tags: list[Name] | None = Field(default=None, max_length=100, description="Labels to find it by.")
    metadata: Object | None = Field(default=None, description="Any JSON object.")
    webhook: Name | None = Field(default=None, description="A webhook that is told when it has finished.")


class BulkBody(Body):
    """Jobs to enqueue: all, or none."""

    jobs: Annotated[list[JobBody], Field(min_length=1, max_length=MAX_BULK)]


class BulkAnswer(Answer):
    """The jobs, in the order in which they were given."""

    jobs: list[EnqueuedAnswer]


@router.post(
    "/jobs",
    operation_id="enqueue",
    status_code=201,
    responses=answers(404, 409, 413, 429)
    | {200: {"model": EnqueuedAnswer, "description": "A job held the key already: this is it."}},
)
async def enqueue(
    body: JobBody, app: App, who: Operator, request: Request, response: Response, idempotency_key: IdempotencyKey = None
) -> EnqueuedAnswer:
    """Enqueue one job.

    With an `Idempotency-Key` it is safe to send the request again when the answer was lost.
    """
    new = _new_job(app, who, body, idempotency_key and f"{_PREFIX}{idempotency_key}", "")
    (job,) = await app.enqueue_many([new])
    await _refuse_other_request(app, [(new, job)], idempotency_key)
    response.headers["Location"] = str(request.url_for("get_job", job_id=str(job.id)))
    if job.existed:
        response.status_code = 200
    return EnqueuedAnswer(id=job.id, existed=job.existed)


@router.post("/bulk/enqueue", operation_id="enqueue_bulk", status_code=201, responses=answers(404, 409, 413, 429))
async def enqueue_bulk(body: BulkBody, app: App, who: Operator, idempotency_key: IdempotencyKey = None) -> BulkAnswer:
    """Enqueue many jobs in one transaction: all of them, or none.

    With an `Idempotency-Key`, each job's key is that one and the job's place in the list.
    """
    new = [
        _new_job(app, who, job, idempotency_key and f"{_PREFIX}{idempotency_key}:{place}", f"/jobs/{place}")
        for place, job in enumerate(body.jobs)
    ]
    jobs = await app.enqueue_many(new)
    await _refuse_other_request(app, list(zip(new, jobs, strict=True)), idempotency_key)
    return BulkAnswer(jobs=[EnqueuedAnswer(id=job.id, existed=job.existed) for job in jobs])


def _new_job(app: Headrace, who: Caller, body: JobBody, key: str | None, at: str) -> NewJob:
    """What was asked for, checked; `at` is where in the request it is."""
    task = app.offered_task(body.task)
    if who.tenant is not None and body.tenant not in (None, who.tenant):
        raise ProblemError(
            403, "tenant", f'{who.name} may enqueue only for tenant "{who.tenant}"', wrong=[(f"{at}/tenant", "another")]
        )
    _refuse_both(at, body, "delay_s", "run_at")
    _refuse_both(at, body, "expires_s", "expires_at")
    if key is not None and body.unique is not None:
        raise ProblemError(
            422,
            "two-keys",
            "give either an Idempotency-Key or `unique`: a job has one key",
            wrong=[(f"{at}/unique", "and Idempotency-Key")],
        )
    unique = Unique(key, KEY_LIFETIME) if key is not None else None if body.unique is None else _unique(body.unique)
    options = task.options(
        delay=seconds(body.delay_s), run_at=body.run_at, expires=body.expires_at or seconds(body.expires_s),
        priority=body.priority, queue=body.queue, max_attempts=body.max_attempts, unique=unique,
        tenant=who.tenant or body.tenant, correlation_id=body.correlation_id, tags=body.tags, metadata=_metadata(body),
    )  # fmt: skip
    try:
        return options.job(**read_args(app, body.task, body.args))
    except InvalidArguments as error:
        wrong = [(pointer(f"{at}/args", path), why) for path, why in error.problems]
        raise ProblemError(422, "invalid-arguments", str(error), wrong=wrong) from None


def read_args(app: Headrace, task_name: str, args: dict[str, Any]) -> dict[str, Any]:
    """A task's arguments, from JSON: strict types take what JSON has for them.

    Raises:
        InvalidArguments: They do not fit.
    """
    return app.offered_task(task_name).arguments.unpack(json.dumps(args))


def _refuse_both(at: str, body: JobBody, one: str, other: str) -> None:
    if getattr(body, one) is not None and getattr(body, other) is not None:
        raise ProblemError(
            422, "two-times", f"give either {one} or {other}, not both", wrong=[(f"{at}/{one}", f"and {other}")]
        )


def _metadata(body: JobBody) -> dict[str, Any] | None:
    return body.metadata if body.webhook is None else (body.metadata or {}) | {WEBHOOK: body.webhook}


def _unique(body: UniqueBody) -> Unique:
    return Unique(body.key, timedelta(seconds=body.for_s) if body.for_s else body.scope, body.on_conflict)


async def _refuse_other_request(app: Headrace, placed: list[tuple[NewJob, Job[Any]]], key: str | None) -> None:
    """Refuse a key that was used for something else: its answer would be taken for what was asked now."""
    if key is None:
        return
    asked = {job.id: new for new, job in placed if job.existed}
    for info in await app.find_jobs([*asked]) if asked else ():
        # Of a job that ran more than once, somebody may have changed the arguments since.
        if info.run <= 1 and info.args != json.loads(asked[info.id].args):
            raise ProblemError(
                422, "key-reused", f'the Idempotency-Key "{key}" was used for job {info.id}, with other arguments: '
                "take another key", wrong=[("header/Idempotency-Key", "used for another request")],
            )  # fmt: skip
