"""Queues: how long the lines are, their settings, and pauses."""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from headrace.app import Headrace
from headrace.errors import UnknownQueue, did_you_mean
from headrace.web.api.dependencies import App, Operator, Viewer, all_tenants
from headrace.web.api.fields import Answer, Count, Moment, MoreThanNothing, Text, seconds
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import ProblemError, answers

router = APIRouter(tags=["queues"], dependencies=[all_tenants("queues")])
QueueName = Annotated[str, Path(max_length=200, description="The queue.", examples=["default"])]


class PauseAnswer(Answer):
    """A pause: no worker claims jobs."""

    reason: str | None
    paused_at: datetime
    until: datetime | None = Field(description="When it ends by itself; null: when somebody resumes it.")


class QueueAnswer(Answer):
    """A queue."""

    name: str
    queued: int
    running: int
    scheduled: int
    blocked: int
    oldest_s: float | None = Field(description="How many seconds ago its oldest queued job was due.")
    concurrency: int | None = Field(description="Places in each worker; null: as the worker was started.")
    max_queued: int | None = Field(description="Enqueueing beyond so many queued jobs is refused; null: no bound.")
    paused: PauseAnswer | None = Field(description="Its own pause, if it has one.")


class QueueList(Answer):
    """All queues, by name."""

    queues: list[QueueAnswer]
    all_paused: PauseAnswer | None = Field(description="The pause of all queues at once, if there is one.")


class QueueSettings(Body):
    """What to change of a queue; what is not given stays, and null takes a setting back."""

    concurrency: Count | None = Field(default=None, description="Places in each worker; 0 stops the queue.")
    max_queued: Count | None = Field(default=None, description="Enqueueing beyond so many queued jobs is refused.")


class PauseBody(Body):
    """How to pause."""

    reason: Text | None = Field(default=None, description="Kept with the pause.", examples=["the mail server is down"])
    until: Moment | None = Field(default=None, description="It ends by itself at this time.")
    for_s: MoreThanNothing | None = Field(default=None, description="Or after so many seconds.")


class Resumed(Answer):
    """What resuming did."""

    resumed: bool = Field(description="Whether there was a pause.")


@router.get("/queues", operation_id="list_queues", responses=answers())
async def list_queues(app: App, who: Viewer) -> QueueList:
    """List the queues, with how many unfinished jobs they have. Reads all unfinished jobs: not for polling."""
    queues, pauses = await _read(app)
    return QueueList(queues=queues, all_paused=pauses.get(""))


@router.get("/queues/{name}", operation_id="get_queue", responses=answers(404))
async def get_queue(name: QueueName, app: App, who: Viewer) -> QueueAnswer:
    """Look at one queue."""
    return await _find(app, name)


@router.patch("/queues/{name}", operation_id="set_queue", responses=answers(404))
async def set_queue(name: QueueName, body: QueueSettings, app: App, who: Operator) -> QueueAnswer:
    """Change a queue's settings; workers follow within seconds."""
    await _find(app, name)
    given = body.model_dump(exclude_unset=True)
    await (await app.database()).rows(
        "set_queue",
        name=name,
        concurrency=given.get("concurrency"),
        max_queued=given.get("max_queued"),
        clear=[setting for setting, bound in given.items() if bound is None],
    )
    return await _find(app, name)


@router.post("/queues/{name}/pause", operation_id="pause_queue", responses=answers(404))
async def pause_queue(name: QueueName, app: App, who: Operator, body: PauseBody | None = None) -> QueueAnswer:
    """Let no worker claim jobs of a queue, from its next claim on; running jobs go on."""
    await _find(app, name)
    await _pause(app, name, body or PauseBody())
    return await _find(app, name)


@router.post("/queues/{name}/resume", operation_id="resume_queue", responses=answers(404))
async def resume_queue(name: QueueName, app: App, who: Operator) -> Resumed:
    """End the pause of a queue."""
    await _find(app, name)
    return Resumed(resumed=await app.resume(name))


@router.post("/pause", operation_id="pause_all", responses=answers())
async def pause_all(app: App, who: Operator, body: PauseBody | None = None) -> QueueList:
    """Pause all queues at once."""
    await _pause(app, None, body or PauseBody())
    return await list_queues(app, who)


@router.post("/resume", operation_id="resume_all", responses=answers())
async def resume_all(app: App, who: Operator) -> Resumed:
    """End the pause of all queues at once; pauses of single ones stay."""
    return Resumed(resumed=await app.resume(None))


async def _pause(app: Headrace, name: str | None, body: PauseBody) -> None:
    if body.until is not None and body.for_s is not None:
        raise ProblemError(422, "two-times", "give either until or for_s, not both", wrong=[("/until", "and for_s")])
    await app.pause(name, reason=body.reason, until=body.until or seconds(body.for_s))


async def _read(app: Headrace) -> tuple[list[QueueAnswer], dict[str, PauseAnswer]]:
    database = await app.database()
    pauses = {p["queue"]: PauseAnswer.model_validate(p) for p in await database.records("list_pauses")}
    records: list[dict[str, Any]] = await database.records("count_queues")
    known = {record["queue"] for record in records}
    records += [_empty(name) for name in app.queue_names() if name not in known]  # before a worker has started
    return [_answer(record, pauses) for record in sorted(records, key=itemgetter("queue"))], pauses


def _empty(name: str) -> dict[str, Any]:
    none = dict.fromkeys(("queued", "running", "scheduled", "blocked"), 0)
    return none | {"queue": name, "oldest_s": None, "concurrency": None, "max_queued": None}


def _answer(record: dict[str, Any], pauses: dict[str, PauseAnswer]) -> QueueAnswer:
    name = record.pop("queue")
    oldest_s = record.pop("oldest_s")
    return QueueAnswer(
        name=name, paused=pauses.get(name), oldest_s=None if oldest_s is None else max(0.0, oldest_s), **record
    )


async def _find(app: Headrace, name: str) -> QueueAnswer:
    queues, _ = await _read(app)
    for queue in queues:
        if queue.name == name:
            return queue
    raise UnknownQueue(f'there is no queue "{name}". {did_you_mean(name, [queue.name for queue in queues])}')
