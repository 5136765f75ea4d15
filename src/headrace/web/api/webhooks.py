"""Webhooks: who is told, over HTTP, of jobs that have finished."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from headrace.job import State
from headrace.web.api.dependencies import Admin, App, all_tenants
from headrace.web.api.fields import Answer, Name, Yes
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import ProblemError, answers
from headrace.webhooks import Webhook

Final = Literal[State.SUCCEEDED, State.FAILED, State.CANCELLED]
router = APIRouter(tags=["webhooks"], dependencies=[all_tenants("webhooks")])
WebhookName = Annotated[
    str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$", description="The webhook.", examples=["shop"])
]


class WebhookAnswer(Answer):
    """A webhook."""

    name: str
    url: str
    tasks: list[str] = Field(description='Of jobs of these tasks; "*" for all. Of others only those that name it.')
    states: list[Final]
    tenant: str | None
    enabled: bool
    disabled_reason: str | None
    created_at: datetime
    secret: str | None = Field(description="What deliveries are signed with (Standard Webhooks): only when it is new.")


class WebhookList(Answer):
    """All webhooks, by name."""

    webhooks: list[WebhookAnswer]


class WebhookBody(Body):
    """What a webhook is."""

    url: Annotated[str, Field(max_length=2000)] = Field(
        description="Where to deliver: https, on a public address.", examples=["https://shop.example/hooks"]
    )
    tasks: list[Name] = Field(
        default_factory=list, max_length=1000, description='Of jobs of these tasks it is told; "*" for all.'
    )
    states: list[Final] = Field(
        default=[State.SUCCEEDED, State.FAILED, State.CANCELLED], min_length=1, description="Of jobs that end so."
    )
    tenant: Name | None = Field(default=None, description="Only of this tenant's jobs.")
    enabled: Yes = True


@router.get("/webhooks", operation_id="list_webhooks", responses=answers())
async def list_webhooks(app: App, who: Admin) -> WebhookList:
    """List the webhooks. Their deliveries are jobs of the task headrace.webhook."""
    return WebhookList(webhooks=[_answer(it) for it in await app.webhooks.list()])


@router.get("/webhooks/{name}", operation_id="get_webhook", responses=answers(404))
async def get_webhook(name: WebhookName, app: App, who: Admin) -> WebhookAnswer:
    """Look at a webhook."""
    return _answer(await app.webhooks.get(name))


@router.put(
    "/webhooks/{name}",
    operation_id="set_webhook",
    responses=answers(409) | {201: {"model": WebhookAnswer, "description": "It is new: here is its secret, once."}},
)
async def set_webhook(name: WebhookName, body: WebhookBody, app: App, who: Admin, response: Response) -> WebhookAnswer:
    """Make a webhook, or change it."""
    if not app.webhooks.enabled:
        raise ProblemError(409, "webhooks-off", "no worker would deliver: call app.webhooks.enable() in the app's code")
    made = await app.webhooks.set(
        name, body.url, tasks=body.tasks, states=body.states, tenant=body.tenant, enabled=body.enabled
    )
    response.status_code = 200 if made.secret is None else 201
    return _answer(made)


@router.post("/webhooks/{name}/rotate", operation_id="rotate_webhook", responses=answers(404))
async def rotate_webhook(name: WebhookName, app: App, who: Admin) -> WebhookAnswer:
    """Give a webhook another secret, shown here once; the one before signs beside it for 24 hours."""
    return _answer(await app.webhooks.rotate(name))


@router.delete("/webhooks/{name}", operation_id="remove_webhook", status_code=204, responses=answers(404))
async def remove_webhook(name: WebhookName, app: App, who: Admin) -> None:
    """Remove a webhook; deliveries that are under way are cancelled."""
    await app.webhooks.remove(name)


def _answer(webhook: Webhook) -> WebhookAnswer:
    return WebhookAnswer.model_validate(webhook)
