"""Alerts: rules, judged by one worker at a time, and messages about what they find.

1. **Look.** Every `every`, one of all processes gets the look (`take_alert_look.sql`) and asks each rule what is wrong.
2. **Record.** `headrace.record_alerts` compares that with the alerts there are, and writes a message for each
   destination when something is newly wrong, still wrong after `repeat`, or over. All of it is one transaction, so that
   an alert is raised once, whoever looks, and whatever restarts.
3. **Deliver.** Any process that knows a destination takes its messages and sends them, through Apprise: Slack,
   PagerDuty, e-mail, webhooks and a hundred others. What cannot be sent is tried again later and later, some 12 times.
   A process that dies between sending and recording that it has sent sends twice.

Messages are not jobs: an alert about a queue that is stuck must not wait in it (docs/decisions/020-observability.md).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import apprise

from headrace.errors import ConfigurationError
from headrace.observe.alert_rules import (
    DEFAULT_RULES,
    BreakerOpen,
    DeadWorker,
    FailureRate,
    Finding,
    HorizonHeld,
    MissedTick,
    OldestWait,
    Rule,
    Seen,
    in_words,
)
from headrace.observe.vitals import read_vitals, rest_after
from headrace.service import Round

if TYPE_CHECKING:
    from headrace._store.database import Database
    from headrace.app import Headrace

__all__ = [
    "Alerts",
    "BreakerOpen",
    "DeadWorker",
    "FailureRate",
    "Finding",
    "HorizonHeld",
    "MissedTick",
    "OldestWait",
    "Rule",
    "Seen",
]

DELIVER_S = 2.0
MOST_TRIES = 12
"""With pauses of ten minutes at most, an hour and a half."""
CHUNK = 3
"""Messages that are taken at once: they are sent one after the other, before anybody else may take them."""
_log = logging.getLogger("headrace.alerts")


class Alerts:
    """Tells people when something is wrong, and when it is over; declared beside the app, and run by its workers.

    Args:
        app: Whose workers.
        to: Where to, by name: Apprise URLs (``slack://…``, ``pagerduty://…``, ``mailto://…``), or the http(s) address
            of a webhook, which gets JSON. They hold secrets: read them from the environment. The database
            has the names.
        rules: What counts as wrong. Default: every rule there is, with its defaults.
        repeat: How long after the last message another follows while it is still wrong.
        calm: How long it must not have been found before it counts as over.
        every: How often somebody looks. Looking reads all unfinished jobs once; where that takes long, it is done
            less often, so that it takes 2 % of the time at most.

    Raises:
        ConfigurationError: A destination's URL means nothing, two rules have one name, or one names no destination.
    """

    def __init__(
        self,
        app: Headrace,
        to: Mapping[str, str],
        rules: Sequence[Rule] = DEFAULT_RULES,
        *,
        repeat: timedelta = timedelta(hours=4),
        calm: timedelta = timedelta(minutes=1),
        every: timedelta = timedelta(seconds=15),
    ) -> None:
        self._to = dict(to)
        self._rules = tuple(rules)
        self._repeat_s = repeat.total_seconds()
        self._calm_s = calm.total_seconds()
        self._every_s = every.total_seconds()
        self._check()
        app.services.append(self)

    def _check(self) -> None:
        for name, url in self._to.items():
            _destination(name, url)
        names = [rule.name for rule in self._rules]
        for rule in self._rules:
            if not rule.name or names.count(rule.name) > 1:
                raise ConfigurationError(f'two alert rules are named "{rule.name}", or one is not: give each a name=')
            for name in rule.to or ():
                if name not in self._to:
                    raise ConfigurationError(f'the alert rule "{rule.name}" goes to "{name}", which is no destination')

    def rounds(self, database: Database) -> Sequence[Round]:
        """What each worker does."""

        async def look() -> None:
            await self.look(database)

        async def deliver() -> None:
            await self.deliver(database)

        return [
            Round("looking for what is wrong", self._every_s / 2, look),
            Round("delivering alerts", min(DELIVER_S, self._every_s), deliver),
        ]

    async def look(self, database: Database) -> None:
        """Judge, if it is this process's turn."""
        if not await database.rows("take_alert_look", every_s=self._every_s, now=None):
            return
        begun_s = time.monotonic()
        try:
            seen = Seen(await read_vitals(database), database)
        finally:
            wait_s = rest_after(time.monotonic() - begun_s)
            if wait_s > self._every_s:
                await database.rows("postpone_alert_look", wait_s=wait_s)
        findings = [
            {"rule": rule.name, "subject": finding.subject, "detail": finding.detail}
            for rule in self._rules
            for finding in await rule.find(seen)
        ]
        await database.rows(
            "record_alerts",
            rules=json.dumps([self._describe(rule) for rule in self._rules]),
            findings=json.dumps(findings),
            repeat_s=self._repeat_s,
            calm_s=self._calm_s,
            now=None,
        )

    def _describe(self, rule: Rule) -> dict[str, Any]:
        return {
            "name": rule.name,
            "destinations": list(self._to if rule.to is None else rule.to),
            "severity": rule.severity,
            "lasting_s": rule.lasting.total_seconds(),
        }

    async def deliver(self, database: Database) -> None:
        """Send the messages that are due."""
        messages = await database.records("take_alert_messages", destinations=list(self._to), chunk=CHUNK, now=None)
        async with asyncio.TaskGroup() as sending:
            for destination in {message["destination"] for message in messages}:
                own = [message for message in messages if message["destination"] == destination]
                sending.create_task(self._deliver_to(database, sorted(own, key=lambda message: int(message["id"]))))

    async def _deliver_to(self, database: Database, messages: list[dict[str, Any]]) -> None:
        """One after the other: who reads them wants them in order."""
        for message in messages:
            if await self.send(message["destination"], message):
                await database.rows("delete_alert_message", id=message["id"])
            elif message["tries"] >= MOST_TRIES:
                _log.error('the alert "%s" is given up: "%s" does not take it', _title(message), message["destination"])
                await database.rows("delete_alert_message", id=message["id"])

    async def test(self) -> dict[str, bool]:
        """Send a message to every destination; whether each took it."""
        message = {
            "kind": "recovered", "rule": "test", "subject": "", "severity": "warning", "since": None,
            "created_at": None, "detail": "this is a test: nothing was wrong",
        }  # fmt: skip
        return {name: await self.send(name, message) for name in self._to}

    async def send(self, destination: str, message: Mapping[str, Any]) -> bool:
        """Send a message now; whether the destination took it."""
        target = _destination(destination, _with_key(self._to[destination], message))
        kind = {"warning": apprise.NotifyType.WARNING, "critical": apprise.NotifyType.FAILURE}[message["severity"]]
        if message["kind"] == "recovered":
            kind = apprise.NotifyType.SUCCESS
        title, body = _title(message), _body(message)
        try:
            taken = bool(await asyncio.to_thread(target.notify, body=body, title=title, notify_type=kind))
        except Exception as error:  # noqa: BLE001 - a plugin's bug must not stop the others
            _log.warning('"%s" could not be told "%s": %r', destination, title, error)
            return False
        if not taken:
            _log.warning('"%s" did not take the alert "%s"', destination, title)
        return taken


def _title(message: Mapping[str, Any]) -> str:
    what = message["rule"] + (f": {message['subject']}" if message["subject"] else "")
    word = {"raised": message["severity"], "repeated": f"still {message['severity']}", "recovered": "over"}[
        message["kind"]
    ]
    return f"headrace: {word}: {what}"


def _body(message: Mapping[str, Any]) -> str:
    detail = message["detail"][:1].upper() + message["detail"][1:] + "."
    if message["since"] is None:
        return str(detail)
    since = f"{message['since']:%Y-%m-%d %H:%M:%S %Z}"
    if message["kind"] == "recovered":
        lasted = (message["created_at"] - message["since"]).total_seconds()
        return f"It is over, after {in_words(lasted)} since {since}. It was: {detail}"
    return f"{detail} Since {since}."


def _destination(name: str, url: str) -> apprise.Apprise:
    """What Apprise makes of a URL.

    Raises:
        ConfigurationError: Nothing. The message has no URL in it: that is a secret.
    """
    asset = apprise.AppriseAsset(app_id="headrace", app_desc="headrace", app_url="")
    target = apprise.Apprise(asset=asset)
    if target.add(url):
        return target
    scheme, _, rest = url.partition("://")  # a webhook of one's own
    if scheme in ("http", "https") and target.add(f"json{scheme.removeprefix('http')}://{rest}"):
        return target
    raise ConfigurationError(
        f'the alert destination "{name}" is no URL that Apprise understands: write slack://…, pagerduty://…, '
        "mailto://…, or the https:// address of a webhook"
    )


def _with_key(url: str, message: Mapping[str, Any]) -> str:
    """For PagerDuty: what makes repeated messages one incident, which the recovery resolves."""
    if not url.startswith(("pagerduty://", "pagerdutys://")):
        return url
    key = quote(f"headrace {message['rule']} {message['subject']}", safe="")
    return f"{url}{'&' if '?' in url else '?'}action=map&dedup={key}"
