"""An alert is told once, repeated after its time, and followed by a message when it is over, whoever looks."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from aiosmtpd.controller import Controller

from headrace import ConfigurationError, Headrace, Retry
from headrace._worker.services import run_services
from headrace.observe.alert_rules import in_words
from headrace.observe.alerts import (
    Alerts,
    BreakerOpen,
    DeadWorker,
    FailureRate,
    Finding,
    HorizonHeld,
    MissedTick,
    OldestWait,
    Rule,
    Seen,
)
from headrace.observe.vitals import Vitals, read_vitals
from tests.observe.commands import free_port
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace._store.database import Database
    from tests.observe.commands import Command
    from tests.worker.helpers import Tables

OFTEN = timedelta(seconds=0.05)
NONE = timedelta(0)


class Hook:
    """A webhook on loopback that keeps what it gets, and refuses while it is told to."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.refused = 0
        self.refuses = False
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if hook.refuses:
                    hook.refused += 1
                else:
                    hook.got.append(body)
                self.send_response(500 if hook.refuses else 200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def titles(self) -> list[str]:
        return [got["title"] for got in self.got]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Mailbox:
    """A mail server on loopback."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=port)
        self._controller.start()
        self.url = f"mailto://127.0.0.1:{port}?from=headrace@shop.test&to=oncall@shop.test&mode=insecure"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        self.got.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def close(self) -> None:
        self._controller.stop()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


class Switch(Rule):
    """Finds what the test says."""

    found: list[Finding] = []  # noqa: RUF012

    async def find(self, seen: Seen) -> list[Finding]:
        return list(self.found)


@pytest.fixture(autouse=True)
def _switched_off() -> None:
    Switch.found = []


# -- what is recorded --


class Story:
    """record_alerts, at times that the test says."""

    def __init__(self, database: Database, lasting_s: float = 0.0) -> None:
        self._database = database
        self._rule = {"name": "r", "destinations": ["a"], "severity": "warning", "lasting_s": lasting_s}

    async def at(self, second: float, *subjects: str) -> list[str]:
        await self._database.rows(
            "record_alerts",
            rules=json.dumps([self._rule]),
            findings=json.dumps([{"rule": "r", "subject": subject, "detail": f"at {second}"} for subject in subjects]),
            repeat_s=100.0,
            calm_s=20.0,
            now=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second),
        )
        taken = await self._database.records(
            "take_alert_messages", destinations=["a"], chunk=100, now=datetime(2026, 1, 2, tzinfo=UTC)
        )
        for message in taken:
            await self._database.rows("delete_alert_message", id=message["id"])
        return [f"{message['kind']} {message['subject']}" for message in sorted(taken, key=lambda m: int(m["id"]))]


async def test_raised_once_repeated_and_over(app: Headrace) -> None:
    """Found at every look: one message, another after `repeat`, and one when it has been gone for `calm`."""
    story = Story(await app.database())
    assert await story.at(0, "x") == ["raised x"]
    assert await story.at(10, "x") == []
    assert await story.at(99, "x") == []
    assert sorted(await story.at(100, "x", "y")) == ["raised y", "repeated x"]
    assert await story.at(110, "y") == []
    assert await story.at(115, "x", "y") == [], "gone for less than `calm`: the same alert goes on"
    assert await story.at(130, "y") == []
    assert await story.at(136, "y") == ["recovered x"]
    assert await story.at(137, "y") == []
    assert await story.at(140, "x", "y") == ["raised x"], "a new one"


async def test_what_does_not_last_is_not_told(app: Headrace) -> None:
    """A finding that is gone before `lasting` is over leaves nothing, and begins anew."""
    story = Story(await app.database(), lasting_s=30.0)
    assert await story.at(0, "x") == []
    assert await story.at(29, "x") == []
    assert await story.at(30, "x") == ["raised x"]
    assert await story.at(60, "y") == ["recovered x"]
    assert await story.at(80) == []
    assert await story.at(90, "y") == [], "its 30 seconds begin now"
    assert await story.at(120, "y") == ["raised y"]


async def test_findings_of_others_are_left_alone(app: Headrace) -> None:
    """A program with other rules (an older version, in a deploy) does not end what it does not look for."""
    database = await app.database()
    story = Story(database)
    assert await story.at(0, "x") == ["raised x"]
    await database.rows(
        "record_alerts", rules="[]", findings="[]", repeat_s=1.0, calm_s=0.0, now=datetime(2026, 1, 1, 1, tzinfo=UTC)
    )
    assert await story.at(3601, "x") == ["repeated x"]


async def test_two_at_the_same_time_tell_once(app: Headrace) -> None:
    """However many record the same findings at once."""
    database = await app.database()
    rule = {"name": "r", "destinations": ["a", "b"], "severity": "critical", "lasting_s": 0}
    finding = {"rule": "r", "subject": "x", "detail": "d"}
    await asyncio.gather(*(
        database.rows("record_alerts", rules=json.dumps([rule]), findings=json.dumps([finding]), repeat_s=1e6, calm_s=0.0, now=None)
        for _ in range(20)
    ))  # fmt: skip
    taken = await asyncio.gather(*(
        database.records("take_alert_messages", destinations=["a", "b"], chunk=1, now=None) for _ in range(10)
    ))  # fmt: skip
    assert sorted(message["destination"] for messages in taken for message in messages) == ["a", "b"]


# -- what is sent --


async def test_from_a_real_worker_to_a_real_service_and_a_real_mailbox(
    app: Headrace, hook: Hook, mailbox: Mailbox, database: str
) -> None:
    """Two workers look; each destination is told once that it began, and once that it is over."""
    second = Headrace(database)
    for one in (app, second):
        one.task(name="work")(_nothing)
        Alerts(
            one,
            {"hook": hook.url, "mail": mailbox.url},
            [Switch(name="switch", severity="critical")],
            every=OFTEN,
            calm=NONE,
        )
    async with working(app), working(second):
        Switch.found = [Finding("the mill", "the wheel stands still")]
        await until(lambda: hook.got and mailbox.got, "both are told")
        looks = await _looks(app)
        await until(lambda: _looked_since(app, looks, 5), "some more looks")
        Switch.found = []
        await until(lambda: len(hook.got) > 1 and len(mailbox.got) > 1, "both hear that it is over")
    await second.close()
    assert hook.titles() == ["headrace: critical: switch: the mill", "headrace: over: switch: the mill"]
    assert [mail["subject"] for mail in mailbox.got] == hook.titles()
    assert (hook.got[0]["type"], hook.got[1]["type"]) == ("failure", "success")
    assert "The wheel stands still." in hook.got[0]["message"]
    assert "It is over" in hook.got[1]["message"]
    assert mailbox.got[0]["to"] == "oncall@shop.test"


async def _looks(app: Headrace) -> datetime:
    ((looked_at,),) = await (await app.database()).rows("read_clock")
    return looked_at  # type: ignore[no-any-return]


async def _looked_since(app: Headrace, since: datetime, times: int) -> bool:
    alerts = await (await app.database()).records("list_alerts")
    return bool(alerts) and alerts[0]["seen_at"] > since + times * OFTEN


async def test_an_alert_about_a_stuck_queue_does_not_wait_in_it(app: Headrace, hook: Hook) -> None:
    """All places are taken, by handlers that wait for ever: the message that says so arrives."""
    gate = asyncio.Event()

    @app.task(name="stuck")
    async def stuck() -> None:
        await gate.wait()

    Alerts(app, {"hook": hook.url}, [OldestWait(over=timedelta(seconds=0.1))], every=OFTEN, calm=NONE)
    async with working(app, concurrency=1):
        for _ in range(3):
            await stuck.enqueue()
        await until(lambda: hook.got, "it is told")
        gate.set()
        await until(lambda: len(hook.got) == 2, "it is over")
    assert hook.titles() == ["headrace: warning: oldest wait: default", "headrace: over: oldest wait: default"]


async def test_what_a_destination_refuses_is_sent_again(
    app: Headrace, hook: Hook, mailbox: Mailbox, tables: Tables
) -> None:
    """And to no other destination a second time."""
    app.task(name="work")(_nothing)
    Alerts(app, {"hook": hook.url, "mail": mailbox.url}, [Switch(name="switch")], every=OFTEN)
    hook.refuses = True
    Switch.found = [Finding("", "it is broken")]
    async with working(app):
        await until(lambda: hook.refused and mailbox.got, "one refuses, one takes it")
        await until(lambda: tables.value("select count(*) from headrace.alert_message") == 1, "only that is left")
        hook.refuses = False
        tables.rows("update headrace.alert_message set next_at = now()")  # instead of a minute
        await until(lambda: hook.got, "it takes it")
        await until(lambda: tables.value("select count(*) from headrace.alert_message") == 0, "nothing is left")
    assert len(mailbox.got) == 1
    assert len(hook.got) == 1


async def test_who_has_no_worker_tells_too(app: Headrace, hook: Hook) -> None:
    """A process that only serves looks and delivers as workers do: when they are all gone, it is the one that is left."""
    app.task(name="work")(_nothing)
    Alerts(app, {"hook": hook.url}, [Switch(name="switch")], every=OFTEN)
    Switch.found = [Finding("", "it is broken")]
    serving = asyncio.create_task(run_services(app))
    await until(lambda: hook.got, "it is told")
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_a_rule_goes_where_it_says(app: Headrace, hook: Hook, mailbox: Mailbox, tables: Tables) -> None:
    """`to` chooses destinations by name; addresses are not in the database."""
    app.task(name="work")(_nothing)
    Alerts(app, {"hook": hook.url, "mail": mailbox.url}, [Switch(name="switch", to=["mail"])], every=OFTEN)
    Switch.found = [Finding("", "it is broken")]
    async with working(app):
        await until(lambda: mailbox.got, "it is told")
    assert hook.got == []
    stored = tables.value("select string_agg(m::text, '') from headrace.alert_message m") or ""
    assert "127.0.0.1" not in stored


async def test_a_destination_can_be_tested(app: Headrace, hook: Hook, mailbox: Mailbox) -> None:
    """Each says whether it took the message."""
    alerts = Alerts(app, {"hook": hook.url, "mail": mailbox.url}, [])
    assert await alerts.test() == {"hook": True, "mail": True}
    hook.refuses = True
    assert await alerts.test() == {"hook": False, "mail": True}


def test_what_makes_no_sense_is_refused(app: Headrace) -> None:
    """At once, and without the address, which is a secret."""
    with pytest.raises(ConfigurationError, match='"pager" is no URL') as refused:
        Alerts(app, {"pager": "nonsense://secret-token"}, [])
    assert "secret-token" not in str(refused.value)
    with pytest.raises(ConfigurationError, match='named "oldest wait"'):
        Alerts(app, {}, [OldestWait(), OldestWait(over=timedelta(hours=1))])
    with pytest.raises(ConfigurationError, match='goes to "nobody"'):
        Alerts(app, {}, [OldestWait(to=["nobody"])])
    assert app.services == []


# -- the rules --


async def test_a_dead_worker_is_noticed(app: Headrace, tables: Tables) -> None:
    """A lease that others end is a dead worker; one that ends its own is not."""
    app.task(name="work")(_nothing)
    tables.rows("insert into headrace.worker (host, pid, version, queues) values ('mill', 77, '', '{}')")
    async with working(app):
        await until(lambda: tables.value("select count(*) from headrace.lost_worker") == 1, "its lease lapses", 30)
    found = await DeadWorker().find(await _seen(app))
    assert len(found) == 1
    assert "on mill (pid 77)" in found[0].detail


@pytest.mark.process
async def test_a_worker_that_is_killed_is_noticed(app: Headrace, start: Callable[..., Command], tables: Tables) -> None:
    """Though its guardian hands its jobs back and ends its lease at once; one that is told to stop is not dead."""
    worker = start("worker", "tests.observe.sample_app:app", "--log-format", "json")
    pid = await until(lambda: tables.value("select pid from headrace.worker"), "it has its lease", 60)
    psutil.Process(pid).kill()
    await until(
        lambda: tables.value("select count(*) from headrace.lost_worker where pid = %s", pid), "it is noted", 60
    )
    await until(lambda: tables.value("select pid from headrace.worker where pid <> %s", pid), "another one starts", 60)
    worker.close()
    assert tables.value("select count(*) from headrace.lost_worker") == 1
    (found,) = await DeadWorker().find(await _seen(app))
    assert f"(pid {pid})" in found.detail
    for line in worker.lines:
        json.loads(line)


async def test_failures_are_counted_by_task(app: Headrace) -> None:
    """Of the jobs that finished; cancelled ones do not count, and few are no rate."""

    @app.task(name="bad", retry=Retry(attempts=1))
    async def bad(number: int) -> None:
        if number % 3 == 0:
            raise ValueError(number)

    @app.task(name="rare", retry=Retry(attempts=1))
    async def rare() -> None:
        raise ValueError

    jobs = await app.enqueue_many(bad.job(n) for n in range(30))
    await app.cancel_jobs([jobs[0].id])
    await rare.enqueue()
    await app.drain()
    seen = await _seen(app)
    assert await FailureRate(minimum=20).find(seen) == [
        Finding("bad", "9 of the last 29 jobs of task bad failed for good")
    ]
    assert await FailureRate(minimum=20, share=0.4).find(seen) == []
    assert await FailureRate(minimum=1, tasks=["rare"]).find(seen) == [
        Finding("rare", "1 of the last 1 jobs of task rare failed for good")
    ]


async def test_a_held_horizon_is_noticed(app: Headrace, tables: Tables) -> None:
    """With who holds it."""
    tables.rows("set application_name = 'a long report'")
    tables.rows("begin isolation level repeatable read")
    tables.rows("select count(*) from headrace.job")
    (found,) = await HorizonHeld(over=NONE).find(await _seen(app))
    assert "session a long report (pid" in found.detail
    assert await HorizonHeld().find(await _seen(app)) == []


QUIET: dict[str, Any] = {
    "queues": [], "workers": [], "lost_workers": [], "breakers": [], "limits": [], "missed": [], "holders": [], "tables": [],
    "schedules": {"overdue": 0, "lateness_s": 0.0, "latest": None}, "connections": {}, "max_connections": 100, "took_s": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "seen", "subjects"),
    [
        (OldestWait(), {"queues": [{"name": "q", "oldest_s": 301, "paused": False}]}, ["q"]),
        (OldestWait(), {"queues": [{"name": "q", "oldest_s": 299, "paused": False}]}, []),
        (OldestWait(), {"queues": [{"name": "q", "oldest_s": 9999, "paused": True}]}, []),
        (OldestWait(queues=["p"]), {"queues": [{"name": "q", "oldest_s": 9999, "paused": False}]}, []),
        (MissedTick(), {"missed": [{"schedule": "s", "ticks": 2, "outcome": "missed"}]}, ["s"]),
        (MissedTick(), {"schedules": {"overdue": 1, "lateness_s": 61.0, "latest": "s"}}, [""]),
        (BreakerOpen(), {"breakers": [{"name": "b", "state": "open"}, {"name": "c", "state": "half_open"}]}, ["b"]),
        (DeadWorker(), {"lost_workers": [{"id": 1, "host": "h", "pid": 2, "lost_s_ago": 599.0}]}, [""]),
        (DeadWorker(), {"lost_workers": [{"id": 1, "host": "h", "pid": 2, "lost_s_ago": 601.0}]}, []),
        (HorizonHeld(), {"holders": [{"kind": "slot", "name": "s", "age_s": None, "transactions": 9}]}, []),
    ],
)
async def test_rules(app: Headrace, rule: Rule, seen: dict[str, Any], subjects: list[str]) -> None:
    """Each at its threshold."""
    found = await rule.find(Seen(Vitals(**QUIET | seen), await app.database()))
    assert [finding.subject for finding in found] == subjects


async def _seen(app: Headrace) -> Seen:
    database = await app.database()
    return Seen(await read_vitals(database), database)


def test_durations_in_words() -> None:
    """In a unit that fits."""
    assert [in_words(s) for s in (1, 119, 121, 7199, 7200, 200_000)] == [
        "1 s",
        "119 s",
        "2 min",
        "120 min",
        "2.0 h",
        "2.3 days",
    ]


async def _nothing() -> None: ...
