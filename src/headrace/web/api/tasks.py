"""The tasks that the app's code registers: what can be enqueued, and with which arguments."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import Field

from headrace.task import Task
from headrace.web.api.dependencies import App, Viewer
from headrace.web.api.etags import UNCHANGED, IfNoneMatch, tagged
from headrace.web.api.fields import Answer
from headrace.web.api.problems import answers

router = APIRouter(tags=["tasks"])


class TaskAnswer(Answer):
    """A task."""

    name: str
    description: str | None = Field(description="The first paragraph of its handler's docstring.")
    queue: str = Field(description="Where its jobs go, unless the enqueuer says otherwise.")
    priority: int
    max_attempts: int
    executor: str = Field(description="Where its handler runs: async, thread or process.")
    timeout_s: float | None
    soft_timeout_s: float | None
    aliases: list[str] = Field(description="Earlier names: jobs that were enqueued under them run.")
    arguments: dict[str, Any] = Field(description="What it takes, as JSON Schema.")


class TaskList(Answer):
    """All tasks, by name."""

    tasks: list[TaskAnswer]


@router.get("/tasks", operation_id="list_tasks", response_model=TaskList, responses=answers() | UNCHANGED)
async def list_tasks(app: App, who: Viewer, if_none_match: IfNoneMatch = None) -> Response:
    """List the tasks that can be enqueued, with the JSON Schema of their arguments."""
    return tagged(TaskList(tasks=[_answer(app.tasks[name]) for name in sorted(app.tasks)]), if_none_match)


@router.get("/tasks/{name}", operation_id="get_task", response_model=TaskAnswer, responses=answers(404) | UNCHANGED)
async def get_task(
    name: Annotated[str, Path(max_length=300, description="Its name, or an alias.", examples=["send_invoice"])],
    app: App, who: Viewer, if_none_match: IfNoneMatch = None,
) -> Response:  # fmt: skip
    """Look at one task."""
    return tagged(_answer(app.find_task(name)), if_none_match)


def _answer(task: Task[..., ..., Any]) -> TaskAnswer:
    settings = task.settings
    described = (task.handler.__doc__ or "").strip().split("\n\n")[0]
    return TaskAnswer(
        name=task.name,
        description=" ".join(described.split()) or None,
        queue=settings.queue,
        priority=settings.priority,
        max_attempts=settings.retry.attempts,
        executor=settings.executor,
        timeout_s=settings.timeout_s,
        soft_timeout_s=settings.soft_timeout_s,
        aliases=list(settings.aliases),
        arguments=task.arguments.json_schema(),
    )
