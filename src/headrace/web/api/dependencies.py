"""What routes ask for: the app, who is asking, and whether a tenant's caller may see a thing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.dependencies.models import Dependant

from headrace._redact import HIDDEN, UNKNOWN, Redactor
from headrace.app import Headrace
from headrace.errors import JobNotFound, did_you_mean
from headrace.job import JobInfo
from headrace.web.access import Caller, Role, require
from headrace.web.api.problems import ProblemError


def _app(request: Request) -> Headrace:
    app: Headrace = request.app.state.headrace
    return app


App = Annotated[Headrace, Depends(_app)]
Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(require(Role.ADMIN))]
JobId = Annotated[UUID, Path(description="The job's id.", examples=["0193a1b2-0000-7000-8000-000000000000"])]


async def _redactor(app: App) -> Redactor:
    return await app.redactor()


Redaction = Annotated[Redactor, Depends(_redactor)]


def refuse_unknown_query(request: Request) -> None:
    """Refuse query parameters that a route has not: a misspelled filter would be answered with everything.

    Raises:
        ProblemError: There is one.
    """
    known = _query_names(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in known:
            raise ProblemError(
                422, "unknown-parameter",
                f'there is no query parameter "{name}" here. {did_you_mean(name, known) or "There are none"}',
                wrong=[(f"?{name}", "unknown")],
            )  # fmt: skip


def _query_names(dependant: Dependant) -> list[str]:
    own = [parameter.alias for parameter in dependant.query_params]
    return own + [name for inner in dependant.dependencies for name in _query_names(inner)]


def refuse_redacted(args: Any, pointer: str) -> None:
    """Refuse arguments that were copied from what was shown: the secret would be lost.

    Raises:
        ProblemError: A value among them is what is shown instead of a secret.
    """
    if HIDDEN in json.dumps(args) or UNKNOWN in json.dumps(args):
        wrong = [(pointer, f'holds "{HIDDEN}"')]
        detail = "these arguments hold what is shown in place of secrets: give the secrets themselves"
        raise ProblemError(422, "redacted", detail, wrong=wrong)


class OfTenant(Protocol):
    """Something that belongs to a tenant, or to none."""

    @property
    def tenant(self) -> str | None:
        """Whose it is."""


def may_see(who: Caller, thing: OfTenant) -> bool:
    """Whether a thing is of the caller's tenant; those without a tenant see everything."""
    return who.tenant is None or thing.tenant == who.tenant


def refuse_tenants(who: Caller, what: str) -> None:
    """Refuse callers of one tenant what is for all tenants at once.

    Raises:
        ProblemError: The caller is of one tenant.
    """
    if who.tenant is not None:
        raise ProblemError(
            403, "tenant", f'{what} are for all tenants, and {who.name} may see only those of tenant "{who.tenant}"'
        )


def all_tenants(what: str) -> Any:
    """A dependency that refuses callers of one tenant."""

    def check(who: Viewer) -> None:
        refuse_tenants(who, what)

    return Depends(check)


async def find_visible(app: Headrace, who: Caller, ids: Sequence[UUID]) -> list[JobInfo]:
    """Those of these jobs that exist and that the caller may see."""
    return [job for job in await app.find_jobs(ids) if may_see(who, job)]


async def visible_job(job_id: JobId, app: App, who: Viewer) -> JobInfo:
    """The job that the path names; one of another tenant does not exist.

    Raises:
        JobNotFound: There is none that the caller may see.
    """
    found = await find_visible(app, who, [job_id])
    if not found:
        raise JobNotFound(f"no job has the id {job_id}: it never existed, was deleted, or is out of retention")
    return found[0]


VisibleJob = Annotated[JobInfo, Depends(visible_job)]
