"""HTML from templates: what every page has, and how times, numbers, states and JSON look."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context

import headrace
from headrace._schedule.zones import read_zone, zone_names
from headrace.web.access import CALLER, Caller, Role
from headrace.web.assets import asset_path
from headrace.web.dashboard import showing
from headrace.web.dashboard.requests import SAID, base_of, said_before
from headrace.web.gate import COOKIE

if TYPE_CHECKING:
    from fastapi import Request
    from jinja2.runtime import Context
    from markupsafe import Markup

THEMES = ("system", "light", "dark")
THEME, ZONE = "headrace_theme", "headrace_zone"
NAVIGATION = (
    ("overview", "/", "Overview", "o", False),
    ("jobs", "/jobs", "Jobs", "j", True),
    ("failures", "/failures", "Failures", "f", True),
    ("queues", "/queues", "Queues", "q", False),
    ("schedules", "/schedules", "Schedules", "s", False),
    ("workflows", "/workflows", "Workflows", "w", False),
    ("workers", "/workers", "Workers", "k", False),
    ("limits", "/limits", "Limits", "l", False),
    ("database", "/database", "Database", "d", False),
    ("operations", "/operations", "Operations", "p", False),
    ("audit", "/audit", "Audit", "a", False),
    ("settings", "/settings", "Settings", ",", True),
)
"""Name, path, label, the key after `g`, and whether it is for those, too, who see one tenant only."""


def _is_for(entry: tuple[str, str, str, str, bool], who: Caller | None) -> bool:
    """Whether somebody may see a page."""
    if who is None:
        return True
    return (who.tenant is None or entry[4]) and (entry[0] != "audit" or who.role >= Role.ADMIN)


@cache
def environment() -> Environment:
    """The templates, and what they may call."""
    made = Environment(
        loader=PackageLoader("headrace.web.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        ago=_ago, moment=_moment, clock=_clock, plain=_plain, seconds=_seconds, panel_time=_panel_time,
        number=showing.number, bytes=showing.size, span=showing.span, json=showing.pretty_json,
        line=showing.json_line, quoted=showing.quoted, short=showing.short_id,
    )  # fmt: skip
    return made


def page(request: Request, who: Caller | None, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """One page.

    Args:
        request: What it answers.
        who: Who will see it; None: nobody in particular, as for an error.
        template: Its file.
        status: The HTTP status.
        context: What the template shows.
    """
    said = said_before(request)
    zone = zone_of(request)
    html = (
        environment()
        .get_template(template)
        .render(
            base=base_of(request),
            asset=lambda name: base_of(request) + asset_path(name),
            now=context.pop("now", None) or datetime.now(UTC),
            said=said,
            theme=theme_of(request),
            zone=zone,
            zone_name=str(zone),
            who=who,
            signed_in=COOKIE in request.cookies,
            may_operate=who is not None and who.role >= Role.OPERATOR,
            may_administer=who is not None and who.role >= Role.ADMIN,
            navigation=[each for each in NAVIGATION if _is_for(each, who)],
            version=headrace.__version__,
            here=request.url.path.removeprefix(base_of(request)) or "/",
            query=request.url.query,
            **context,
        )
    )
    answer = HTMLResponse(html, status_code=status)
    if said is not None:
        answer.delete_cookie(SAID, path=base_of(request) or "/", httponly=True, samesite="strict")
    return answer


def error_page(request: Request, status: int, title: str, what: str) -> HTMLResponse:
    """A page that says what went wrong."""
    who: Caller | None = getattr(request.state, CALLER, None)
    return page(request, who, "error.html", status=status, title=title, what=what, active="")


def theme_of(request: Request) -> str:
    """Light, dark, or as the reader's system is."""
    chosen = request.cookies.get(THEME, "system")
    return chosen if chosen in THEMES else "system"


def zone_of(request: Request) -> tzinfo:
    """The time zone that the reader has chosen; UTC until then."""
    chosen = request.cookies.get(ZONE, "UTC")
    return read_zone(chosen) if chosen in zone_names() else UTC


@pass_context
def _ago(context: Context, moment: datetime | None) -> Markup | str:
    """How long ago or in how long, with the absolute time on hover."""
    return showing.time_element(moment, context["now"], context["zone"], relative=True)


@pass_context
def _moment(context: Context, moment: datetime | None) -> Markup | str:
    """The absolute time, with how long ago it is on hover."""
    return showing.time_element(moment, context["now"], context["zone"], relative=False)


@pass_context
def _clock(context: Context, moment: datetime | None) -> str:
    """The time of day, to the millisecond: for lines that follow each other."""
    return "" if moment is None else moment.astimezone(context["zone"]).strftime("%H:%M:%S.%f")[:-3]


@pass_context
def _plain(context: Context, moment: datetime | None) -> str:
    """The absolute time, as text."""
    return "" if moment is None else showing.absolute(moment, context["zone"])


@pass_context
def _seconds(context: Context, moment: datetime) -> str:
    """The time of day, to the second."""
    return moment.astimezone(context["zone"]).strftime("%H:%M:%S")


def _panel_time(moment: datetime | None, now: datetime, zone: tzinfo) -> Markup | str:
    """For panels, which have no page around them."""
    return showing.time_element(moment, now, zone, relative=True)
