"""Webhooks: telling others, over HTTP, of jobs that have finished.

::

    app.webhooks.enable()  # workers deliver
    made = await app.webhooks.set("shop", "https://shop.example/hooks", tasks=["send_invoice"])
    print(made.secret)  # shown once; the receiver checks signatures with it

Each delivery is a job of the task ``headrace.webhook``, retried for some hours. A job of any other task is told of,
too, if it names a webhook: ``task.options(metadata={WEBHOOK: "shop"})``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace._store.recording import ACTIONS, Action, Look
from headrace._store.sql import query
from headrace._webhook.addresses import Network, check_url, read_networks
from headrace._webhook.signing import new_secret, verify_webhook
from headrace.context import Context  # noqa: TC001 - a handler's annotation
from headrace.errors import ConfigurationError, UnknownWebhook, did_you_mean
from headrace.job import State, check_words
from headrace.retry import Retry

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from headrace._store.database import Database
    from headrace.app import Headrace

__all__ = ["WEBHOOK", "Webhook", "Webhooks", "verify_webhook"]

WEBHOOK = "headrace.webhook"
"""The key of a job's metadata that names a webhook; and the task of deliveries."""

RETRY = Retry(attempts=12, delay=timedelta(seconds=10), cap=timedelta(hours=3))
"""About six hours: long enough for a night's outage of a receiver's, short enough that news is still news."""

OLD_SECRET = timedelta(hours=24)
"""So long deliveries are signed with the secret before the last, too."""

FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Somebody who is told of finished jobs.

    Attributes:
        name: Unique.
        url: Where they are told.
        tasks: Of jobs of these tasks; "*" for all. Of others only those that name it.
        states: Of jobs that ended so.
        tenant: Only of this tenant's jobs; None: of everybody's.
        enabled: Whether they are told at all.
        disabled_reason: Why not, if it was not an operator.
        created_at: Since when it exists.
        secret: What deliveries are signed with: only when it is new.
    """

    name: str
    url: str
    tasks: list[str]
    states: list[State]
    tenant: str | None
    enabled: bool
    disabled_reason: str | None
    created_at: datetime
    secret: str | None = None


class Webhooks:
    """The webhooks of an app's database: ``app.webhooks``."""

    def __init__(self, app: Headrace) -> None:
        self._app = app
        self._allowed: tuple[Network, ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether this app's code lets its workers deliver."""
        return WEBHOOK in self._app.tasks

    def enable(self, *, queue: str = "webhooks", retry: Retry = RETRY, allow: Sequence[str] = ()) -> None:
        """Let this app's workers deliver: call it where tasks are declared.

        Args:
            queue: The deliveries' queue: one of their own, so that a slow receiver takes no other job's place.
            retry: When a delivery that was not accepted is tried again. For about six hours.
            allow: Networks that deliveries may reach although they are not public, such as "10.1.0.0/16"; these, and no
                others, may be named by http:// addresses too.

        Raises:
            ConfigurationError: It is enabled already, or a network is none.
        """
        self._allowed = read_networks(allow)

        @self._app.task(name=WEBHOOK, queue=queue, retry=retry, timeout=timedelta(seconds=60))
        async def deliver_webhook(webhook: str, job: dict[str, Any], ctx: Context) -> dict[str, Any]:
            """Tell a webhook of a job that has finished."""
            from headrace._webhook.delivery import deliver  # noqa: PLC0415 - needs httpx, an extra

            return await deliver(self._app, f"msg_{ctx.job.id.hex}", webhook, job, self._allowed)

    async def set(
        self,
        name: str,
        url: str,
        *,
        tasks: Sequence[str] = (),
        states: Sequence[State | str] = FINAL,
        tenant: str | None = None,
        enabled: bool = True,
    ) -> Webhook:
        """Make a webhook, or change the one of this name; it holds for jobs that finish from now on.

        Args:
            name: Its name.
            url: Where to deliver: https, and on a public address, unless `enable` allows another network.
            tasks: Of jobs of these tasks it is told; "*" for all. Of other tasks' jobs it is told if they name it.
            states: Of jobs that end so. All by default.
            tenant: Only of this tenant's jobs.
            enabled: Whether it is told at all.

        Returns:
            The webhook; a new one with its secret, which is not shown again.

        Raises:
            ConfigurationError: It makes no sense.
        """
        check_words("webhook", name)
        check_url(url, self._allowed)
        try:
            wanted = [State(state) for state in states]
        except ValueError:
            wanted = []
        if not wanted or not set(wanted) <= set(FINAL):
            raise ConfigurationError(f'webhook "{name}": states must be some of {", ".join(FINAL)}')
        for task in tasks:
            check_words("task", task)
        if WEBHOOK in tasks:
            raise ConfigurationError(f'webhook "{name}": nobody can be told of deliveries')
        secret = new_secret()
        ((_, created),) = await (await self._database()).rows(
            "set_webhook", name=name, url=url, tasks=list(dict.fromkeys(tasks)), states=wanted, tenant=tenant,
            enabled=enabled, secret=secret,
        )  # fmt: skip
        return await self._get(name, secret if created else None)

    async def list(self) -> list[Webhook]:
        """All of them, by name."""
        return [_webhook(record) for record in await (await self._database()).records("list_webhooks", name=None)]

    async def get(self, name: str) -> Webhook:
        """One of them.

        Raises:
            UnknownWebhook: There is none of this name.
        """
        return await self._get(name, None)

    async def rotate(self, name: str) -> Webhook:
        """Give a webhook another secret, which is shown once; the one before signs beside it for 24 hours.

        Raises:
            UnknownWebhook: There is none of this name.
        """
        secret = new_secret()
        seconds = OLD_SECRET.total_seconds()
        await (await self._database()).rows("rotate_webhook", name=name, secret=secret, seconds=seconds)
        return await self._get(name, secret)

    async def remove(self, name: str) -> None:
        """Remove a webhook; deliveries that are under way are cancelled.

        Raises:
            UnknownWebhook: There is none of this name.
        """
        if not await (await self._database()).rows("remove_webhook", name=name):
            raise await self._unknown(name)

    async def _get(self, name: str, secret: str | None) -> Webhook:
        records = await (await self._database()).records("list_webhooks", name=name)
        if not records:
            raise await self._unknown(name)
        return _webhook(records[0], secret)

    async def _unknown(self, name: str) -> UnknownWebhook:
        known = [webhook.name for webhook in await self.list()]
        return UnknownWebhook(f'there is no webhook "{name}". {did_you_mean(name, known)}')

    async def _database(self) -> Database:
        return await self._app.database()


async def _look(conn: AsyncConnection, schema: str, parameters: Mapping[str, Any]) -> Look:
    cursor = await conn.execute(query("look_at_webhook", schema), {"name": parameters["name"]})
    row = await cursor.fetchone()
    return Look(row[0] if row else None)


def _named(parameters: Mapping[str, Any], _: Sequence[Any]) -> Sequence[str]:
    return [str(parameters["name"])]


ACTIONS.update({
    "set_webhook": Action("webhook.set", "webhook", _named, _look, setting=True),
    "rotate_webhook": Action("webhook.rotate", "webhook", _named, _look, setting=True),
    "remove_webhook": Action("webhook.remove", "webhook", _named, _look, setting=True),
})  # fmt: skip


def _webhook(record: dict[str, Any], secret: str | None = None) -> Webhook:
    return Webhook(**record | {"states": [State(state) for state in record["states"]], "secret": secret})
