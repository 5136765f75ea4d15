"""About this installation, and about the caller."""

from __future__ import annotations

import platform
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

import headrace
from headrace._store.connect import without_password
from headrace._store.sql import migrations
from headrace.web.api.dependencies import Admin, App, Viewer, refuse_tenants
from headrace.web.api.fields import Answer
from headrace.web.api.problems import answers

router = APIRouter(tags=["about"])


class Me(Answer):
    """Who asks."""

    name: str
    role: Literal["viewer", "operator", "admin"]
    tenant: str | None = Field(description="The only tenant whose jobs they may see and touch; null: all.")


class About(Answer):
    """What runs here."""

    version: str = Field(description="Of headrace.")
    python: str
    database: str = Field(description="Its URL, without the password.")
    schema_name: str
    schema_version: int
    tasks: int = Field(description="How many tasks the app registers.")
    queues: list[str] = Field(description="The queues that its tasks use.")


@router.get("/me", operation_id="get_me", responses=answers())
async def get_me(who: Viewer) -> Me:
    """Say who the caller is, and what they may do."""
    return Me.model_validate({"name": who.name, "role": who.role.name.lower(), "tenant": who.tenant})


@router.get("/about", operation_id="get_about", responses=answers())
async def get_about(app: App, who: Admin) -> About:
    """Say what runs here."""
    refuse_tenants(who, "details of the installation")
    return About(
        version=headrace.__version__,
        python=platform.python_version(),
        database=without_password((await app.database()).url),
        schema_name=app.schema,
        schema_version=len(migrations()),
        tasks=len(app.tasks),
        queues=app.queue_names(),
    )
