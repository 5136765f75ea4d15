"""Making and changing schedules, with a preview of what they would do."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse

from headrace._schedule.rules import moments
from headrace._schedule.zones import read_zone, zone_names
from headrace.errors import HeadraceError
from headrace.schedule import Upcoming, declare, options_of
from headrace.web.dashboard.hiding import restore_hidden
from headrace.web.dashboard.reading import read_arguments, read_duration, read_priority, read_time, write_duration
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Controller, PageRoute, back
from headrace.web.dashboard.wording import cron_words, mark_changes

router = APIRouter(route_class=PageRoute)
Text = Annotated[str, Form()]
PREVIEWED = 6
CATCH_UP = (("latest", "the last one only"), ("skip", "none"), ("all", "all of them"))
OVERLAP = (("skip", "skip the new one"), ("queue", "wait for it"), ("cancel", "cancel it"), ("allow", "run both"))


def form_options(**form: str) -> dict[str, Any]:
    """A form's fields, as `app.schedules` takes them.

    Raises:
        ConfigurationError: A field cannot be read.
    """
    zone = form["timezone"].strip() or "UTC"
    rule: dict[str, Any] = {"cron": None, "every": None, "at": None}
    match form["kind"]:
        case "every":
            rule["every"] = read_duration(form["rule"])
        case "at":
            rule["at"] = read_time(form["rule"], read_zone(zone))
        case _:
            rule["cron"] = form["rule"].strip()
    return rule | {
        "timezone": zone if rule["cron"] is not None else "UTC",
        "args": read_arguments(form["args"]),
        "queue": form["queue"].strip() or None,
        "priority": read_priority(form["priority"]),
        "catch_up": form["catch_up"],
        "overlap": form["overlap"],
        "jitter": read_duration(form["jitter"]) if form["jitter"].strip() else timedelta(0),
    }


@router.get("/schedules/new")
async def new_schedule(request: Request, who: Controller, app: App) -> Response:
    """The form for a new one."""
    filled = {
        "name": "", "task": "", "kind": "cron", "rule": "0 9 * * MON-FRI", "timezone": "UTC", "args": {}, "queue": "",
        "priority": "", "catch_up": "latest", "overlap": "skip", "jitter": "",
    }  # fmt: skip
    return await _form(request, who, app, "New schedule", "/schedules/new", filled, new=True)


@router.get("/schedules/preview")
async def preview(
    request: Request, who: Controller, app: App, kind: str = "cron", rule: str = "", timezone: str = "UTC"
) -> Response:
    """What a rule would do: a part of the form's page."""
    now = await app.now()
    try:
        fields = {"args": "", "queue": "", "priority": "", "catch_up": "latest", "overlap": "skip", "jitter": ""}
        options = form_options(kind=kind, rule=rule, timezone=timezone, **fields)
        declaration = declare("preview", "preview", options)
        coming = [
            Upcoming(schedule="", tenant="", nominal=each.nominal, fold=each.fold, due_at=each.at, held=None)
            for each in islice(moments(declaration.rule(None, None), now, now + timedelta(days=3660)), PREVIEWED)
        ]
    except (HeadraceError, ValueError) as error:
        return _fragment(request, who, now, problem=str(error), words="", coming=[])
    words = cron_words(rule) if kind == "cron" else ""
    return _fragment(request, who, now, problem="", words=words, coming=mark_changes(coming, options["timezone"], now))


def _fragment(request: Request, who: Controller, now: Any, **context: Any) -> HTMLResponse:
    return page(request, who, "schedule_preview.html", now=now, title="", active="", **context)


@router.post("/schedules/new")
async def create_schedule(
    request: Request, who: Controller, app: App, name: Text, task: Text, kind: Text = "cron", rule: Text = "",
    timezone: Text = "UTC", args: Text = "", queue: Text = "", priority: Text = "", catch_up: Text = "latest",
    overlap: Text = "skip", jitter: Text = "",
) -> Response:  # fmt: skip
    """Makes it."""
    options = form_options(
        kind=kind, rule=rule, timezone=timezone, args=args, queue=queue, priority=priority, catch_up=catch_up,
        overlap=overlap, jitter=jitter,
    )  # fmt: skip
    await app.schedules.create(name.strip(), task, **options)
    return back(request, f'Schedule "{name}" is made.', to=f"/schedules/{name.strip()}")


@router.get("/schedules/{name:path}/edit")
async def edit_schedule(request: Request, who: Controller, app: App, name: str) -> Response:
    """The form with what it is now."""
    found = await app.schedules.get(name)
    kind = "cron" if found.cron is not None else "every" if found.every is not None else "at"
    rule = found.cron or write_duration(found.every) or (found.at.isoformat(sep=" ") if found.at else "")
    filled = options_of(found) | {
        "args": (await app.redactor()).args(found.task, found.args), "kind": kind, "rule": rule,
        "jitter": write_duration(found.jitter), "queue": found.queue or "",
        "priority": "" if found.priority is None else found.priority,
    }  # fmt: skip
    path = f"/schedules/{name}/edit"
    return await _form(request, who, app, f"Edit {name}", path, filled, declared=found.declared)


@router.post("/schedules/{name:path}/edit")
async def change_schedule(
    request: Request, who: Controller, app: App, name: str, kind: Text = "cron", rule: Text = "",
    timezone: Text = "UTC", args: Text = "", queue: Text = "", priority: Text = "", catch_up: Text = "latest",
    overlap: Text = "skip", jitter: Text = "",
) -> Response:  # fmt: skip
    """Changes it: only what differs, so that nothing that was due is dropped without need."""
    options = form_options(
        kind=kind, rule=rule, timezone=timezone, args=args, queue=queue, priority=priority, catch_up=catch_up,
        overlap=overlap, jitter=jitter,
    )  # fmt: skip
    found = options_of(await app.schedules.get(name))
    options["args"] = restore_hidden(options["args"], found["args"])
    changed = {key: value for key, value in options.items() if found[key] != value}
    if not changed:
        return back(request, "Nothing is changed.", to=f"/schedules/{name}")
    await app.schedules.edit(name, by=who.name, **changed)
    said = ", ".join(key.replace("_", " ") for key in changed)
    return back(request, f'Schedule "{name}" is changed: {said}.', to=f"/schedules/{name}")


async def _form(
    request: Request, who: Controller, app: App, title: str, path: str, filled: dict[str, Any], *, new: bool = False,
    declared: bool = False,
) -> Response:  # fmt: skip
    return page(
        request, who, "schedule_form.html", title=title, active="schedules", now=await app.now(), path=path, new=new,
        declared=declared, filled=filled, tasks=app.task_names(), zones=sorted(zone_names()), catch_up=CATCH_UP,
        overlap=OVERLAP,
    )  # fmt: skip
