"""API keys: who may use this API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from headrace.access import KeyInfo, Role
from headrace.web.api.dependencies import Admin, App, all_tenants
from headrace.web.api.fields import Answer, MoreThanNothing, Name, seconds
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import ProblemError, answers

router = APIRouter(tags=["keys"], dependencies=[all_tenants("keys")])
RoleName = Literal["viewer", "operator", "admin"]


class KeyAnswer(Answer):
    """An API key, without the key."""

    prefix: str = Field(description="The part of it by which it is known.")
    name: str
    role: RoleName
    tenant: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None = Field(description="When it was last used, to the minute.")


class KeyList(Answer):
    """All keys, the latest first; those that do not count any more, too."""

    keys: list[KeyAnswer]


class KeyBody(Body):
    """A key to make."""

    name: Annotated[Name, Field(max_length=100)] = Field(description="What it is for.", examples=["checkout"])
    role: RoleName = Field(description="What it may do.")
    tenant: Name | None = Field(default=None, description="The only tenant whose jobs it may see and touch.")
    expires_s: MoreThanNothing | None = Field(default=None, description="It does not count after so many seconds.")


class NewKey(Answer):
    """A key that was made."""

    key: str = Field(description="Send it as `Authorization: Bearer KEY`. It is not shown again.")


@router.get("/keys", operation_id="list_keys", responses=answers())
async def list_keys(app: App, who: Admin) -> KeyList:
    """List the keys."""
    return KeyList(keys=[_answer(key) for key in await app.access.list_keys()])


@router.post("/keys", operation_id="create_key", status_code=201, responses=answers(409))
async def create_key(body: KeyBody, app: App, who: Admin) -> NewKey:
    """Make a key; it is shown once."""
    if any(key.name == body.name and key.revoked_at is None for key in await app.access.list_keys()):
        raise ProblemError(
            409, "key-exists", f'there is a key "{body.name}" already: revoke it, or choose another name'
        )
    role = Role.named(body.role)
    return NewKey(
        key=await app.access.create_key(body.name, role=role, tenant=body.tenant, expires=seconds(body.expires_s))
    )


@router.delete("/keys/{name}", operation_id="revoke_key", status_code=204, responses=answers(404))
async def revoke_key(
    name: Annotated[str, Path(min_length=1, max_length=300, pattern=r"^[^\x00]*$", description="Its name or prefix.")],
    app: App, who: Admin,
) -> None:  # fmt: skip
    """Let a key count no more, from the next request on."""
    await app.access.revoke_key(name)


def _answer(key: KeyInfo) -> KeyAnswer:
    fields = {name: getattr(key, name) for name in KeyAnswer.model_fields}
    return KeyAnswer.model_validate(fields | {"role": key.role.name.lower()})
