"""The dashboard: pages that work without JavaScript, and live with it.

A page is a module in `pages/`: it reads through the app's public methods, and answers with a template. What people do
is a form; it is answered with a redirection to the page it was on, and a message. `rendering` makes the HTML,
`requests` says who asks and what becomes of errors, `static/` needs no build step. Everything is relative to the path
under which it is mounted.
"""

from fastapi import APIRouter

from headrace.web import assets
from headrace.web.dashboard.pages import (
    audit,
    database,
    failures,
    job,
    jobs,
    limits,
    operations,
    overview,
    queues,
    schedule_changes,
    schedules,
    settings,
    workers,
    workflows,
)

router = APIRouter(include_in_schema=False)
for _module in (
    assets,
    overview,
    jobs,  # before job, whose paths take any id
    job,
    failures,
    operations,
    audit,
    database,
    queues,
    schedule_changes,  # before schedules, whose paths take any name
    schedules,
    workflows,
    workers,
    limits,
    settings,
):
    router.include_router(_module.router)

__all__ = ["router"]
