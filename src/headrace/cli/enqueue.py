"""`headrace enqueue`: one job from the command line."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace._worker.importing import import_app
from headrace.cli.options import AsJson, Target, read_duration, read_json
from headrace.cli.output import note, print_json, say

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.job import Job
    from headrace.task import Task


def enqueue(
    target: Target,
    task: Annotated[str, typer.Argument(help="The task's name.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARGUMENTS]...",
            help="One JSON object, such as '{\"user_id\": 42}'; one JSON array, for positional arguments; or "
            "name=value pairs, whose values are read as JSON where they are JSON and as text elsewhere.",
        ),
    ] = None,
    delay: Annotated[
        timedelta | None,
        typer.Option(parser=read_duration, metavar="DURATION", help="Run it so much later: 30s, 5m, 1h, 2d."),
    ] = None,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="Another queue than the task's.")] = None,
    priority: Annotated[int | None, typer.Option(help="Larger first, within its queue.")] = None,
    unique: Annotated[
        str | None, typer.Option(metavar="KEY", help="Keep the unfinished job of this task and key, if there is one.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the job and print its result.")] = False,
    timeout: Annotated[
        timedelta | None, typer.Option(parser=read_duration, metavar="DURATION", help="With --wait: at most so long.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Enqueue a job and print its id; with --wait its result."""
    app = import_app(target)
    options = app.offered_task(task).options(delay=delay, queue=queue, priority=priority, unique=unique)
    args, kwargs = read_arguments(arguments or [])
    asyncio.run(_enqueue(app, options, args, kwargs, wait, timeout, as_json))


async def _enqueue(
    app: Headrace, task: Task[..., ..., Any], args: list[Any], kwargs: dict[str, Any], wait: bool,
    timeout: timedelta | None, as_json: bool,
) -> None:  # fmt: skip
    async with app:
        job = await task.enqueue(*args, **kwargs)
        if not wait:
            _print_job(job, as_json)
            return
        if not as_json:
            note(f"job {job.id}" + (" exists already" if job.existed else "") + ": waiting for its result")
        result = task.secrets.redact_result(await job.result(timeout))
        print_json({"id": job.id, "existed": job.existed, "result": result} if as_json else result)


def _print_job(job: Job[Any], as_json: bool) -> None:
    if as_json:
        print_json({"id": job.id, "existed": job.existed})
        return
    say(str(job.id))
    if job.existed:
        note("it exists already: its unique key is held")


def read_arguments(texts: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments of a task, as they are written on a command line."""
    if len(texts) == 1 and texts[0].lstrip()[:1] in ("{", "["):
        given = read_json(texts[0], "the arguments are")
        return (given, {}) if isinstance(given, list) else ([], given)
    kwargs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(
                f'"{text}" is no argument: write name=value, or all of them as one JSON object or array, as [{text}]'
            )
        if name in kwargs:
            raise typer.BadParameter(f'argument "{name}" is given twice')
        kwargs[name] = _json_or_text(value)
    return [], kwargs


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
