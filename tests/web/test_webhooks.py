"""Webhooks: who is told, how often, signed, and where a delivery may not go."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import ConfigurationError, Headrace, Retry, State
from headrace._webhook.addresses import check_url, find_address, may_reach, read_networks
from headrace._webhook.delivery import MAX_BODY_BYTES, send
from headrace._webhook.signing import new_secret, sign
from headrace._worker.deliveries import Deliveries
from headrace.errors import UnknownWebhook, WebhookRefused, WebhookUntrusted
from headrace.webhooks import WEBHOOK, verify_webhook
from tests.web.receiver import Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

HERE = ["127.0.0.0/8"]
QUICK = Retry(attempts=3, delay=timedelta(0), jitter=0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody to tell."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def told_app(app: Headrace) -> Headrace:
    """An app whose workers deliver, to this machine too."""
    app.webhooks.enable(retry=QUICK, allow=HERE)
    return app


async def work(app: Headrace) -> None:
    """Run everything, and the deliveries of it."""
    await app.drain()
    database = await app.database()
    sweep = Deliveries(database)
    while await sweep.enqueue() is not None:
        pass
    await app.drain()


async def deliveries(app: Headrace) -> list[Any]:
    """The jobs that deliver, oldest first."""
    return (await app.search.jobs(f"task:{WEBHOOK}", limit=1000)).jobs[::-1]


async def test_a_finished_job_is_told_signed(told_app: Headrace, receiver: Receiver) -> None:
    """The receiver gets the job with its result, and can tell by its secret that it was sent by headrace."""
    made = await told_app.webhooks.set("shop", receiver.url, tasks=["add"])
    assert made.secret is not None
    job = await told_app.find_task("add").options(correlation_id="r1", tags=["x"]).enqueue(a=1)
    await work(told_app)
    ((headers, body),) = receiver.got
    verify_webhook(made.secret, headers, body)
    told = json.loads(body)
    (delivery,) = await deliveries(told_app)
    assert headers["webhook-id"] == f"msg_{delivery.id.hex}"
    assert (told["type"], told["data"]["id"], told["data"]["result"]) == ("job.succeeded", str(job.id), 2)
    assert (
        told["data"] | {"task": "add", "correlation_id": "r1", "tags": ["x"], "run": 1, "attempts": 1} == told["data"]
    )
    assert delivery.state is State.SUCCEEDED
    assert (await told_app.webhooks.get("shop")).secret is None


async def test_only_what_was_asked_for_is_told(told_app: Headrace, receiver: Receiver) -> None:
    """By task, state and tenant; and of jobs that name the webhook. Nobody is told of deliveries."""
    hooks = told_app.webhooks
    await hooks.set("failed", receiver.url, tasks=["*"], states=["failed"])
    await hooks.set("acme", receiver.url, tasks=["add"], tenant="acme")
    await hooks.set("named", receiver.url)
    await hooks.set("off", receiver.url, tasks=["*"], enabled=False)
    add, broken = told_app.find_task("add"), told_app.find_task("break_down")
    failed = await broken.options(max_attempts=1).enqueue()
    plain = await add.enqueue(a=1)
    of_acme = await add.options(tenant="acme").enqueue(a=2)
    naming = await add.options(metadata={WEBHOOK: "named"}).enqueue(a=3)
    await add.options(metadata={WEBHOOK: "no such"}).enqueue(a=4)
    await work(told_app)
    await work(told_app)
    told = sorted((job.args["webhook"], job.args["job"]["id"]) for job in await deliveries(told_app))
    assert told == sorted([("failed", str(failed.id)), ("acme", str(of_acme.id)), ("named", str(naming.id))])
    assert str(plain.id) not in repr(told)
    assert {job.tenant for job in await deliveries(told_app)} == {None, "acme"}


async def test_without_webhooks_nothing_is_written(app: Headrace, url: str) -> None:
    """Jobs leave no word, also those that name a webhook, as long as there is none."""
    with psycopg.connect(url, autocommit=True) as conn:
        ids = "select last_value, is_called from headrace.webhook_due_id_seq"
        before = conn.execute(ids).fetchone()
        await app.find_task("add").options(metadata={WEBHOOK: "shop"}).enqueue(a=1)
        await app.drain()
        assert conn.execute(ids).fetchone() == before


async def test_each_finish_is_told_once(told_app: Headrace, receiver: Receiver, url: str) -> None:
    """However many workers look at once, and whoever crashes in between: one delivery for each time that a job finishes."""
    await told_app.webhooks.set("shop", receiver.url, tasks=["add"])
    jobs = await told_app.enqueue_many(told_app.find_task("add").job(a=n) for n in range(100))
    await told_app.drain()
    database = await told_app.database()
    with psycopg.connect(url) as crashing:  # takes some, and does not commit
        taken = crashing.execute("select jobs, deliveries from headrace.enqueue_deliveries(0, 30)").fetchone()
        assert taken == (30, 30)
        await asyncio.gather(*(Deliveries(database).enqueue() for _ in range(4)))
        assert len(await deliveries(told_app)) == 70
        crashing.rollback()
    await Deliveries(database).enqueue()
    told = [job.args["job"]["id"] for job in await deliveries(told_app)]
    assert sorted(told) == sorted(str(job.id) for job in jobs)
    await told_app.retry_jobs([jobs[0].id])
    await work(told_app)
    runs = [job.args["job"]["run"] for job in await deliveries(told_app) if job.args["job"]["id"] == str(jobs[0].id)]
    assert sorted(runs) == [1, 2]


async def test_what_is_committed_late_is_told(told_app: Headrace, receiver: Receiver, url: str) -> None:
    """A word that was left early and committed late is found, though those after it were taken before."""
    await told_app.webhooks.set("shop", receiver.url, tasks=["add"])
    clock = [0.0]
    sweep = Deliveries(await told_app.database(), lambda: clock[0])
    with psycopg.connect(url) as late:
        late.execute("insert into headrace.webhook_due (job) values (%s)", [json.dumps(
            {"id": "018f0000-0000-7000-8000-000000000000", "task": "add", "state": "succeeded", "run": 1})])  # fmt: skip
        await told_app.find_task("add").enqueue(a=1)
        await told_app.drain()
        await sweep.enqueue()
        assert len(await deliveries(told_app)) == 1
    clock[0] = 5.0
    await sweep.enqueue()
    assert len(await deliveries(told_app)) == 1
    clock[0] = 11.0
    await sweep.enqueue()
    assert len(await deliveries(told_app)) == 2


async def test_a_refused_delivery_is_tried_again(told_app: Headrace, receiver: Receiver) -> None:
    """With the same id, until it is accepted; after the last try it has failed and says why."""
    await told_app.webhooks.set("shop", receiver.url, tasks=["add"])
    receiver.statuses = [500, 429, 200]
    await told_app.find_task("add").enqueue(a=1)
    await work(told_app)
    assert len(receiver.got) == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    receiver.statuses = [503]
    await told_app.find_task("add").enqueue(a=2)
    await work(told_app)
    failed = (await deliveries(told_app))[-1]
    assert (failed.state, failed.attempts) == (State.FAILED, 3)
    assert "the receiver answered 503: said" in (failed.error or {})["message"]


async def test_redirects_are_not_followed(told_app: Headrace, receiver: Receiver) -> None:
    """A redirect is no acceptance, and nobody goes where it leads."""
    with receiving() as inside:
        receiver.statuses, receiver.location = [302], inside.url
        await told_app.webhooks.set("shop", receiver.url, tasks=["add"])
        await told_app.find_task("add").enqueue(a=1)
        await work(told_app)
        assert inside.got == []
    assert (await deliveries(told_app))[0].state is State.FAILED


async def test_a_receiver_that_is_gone(told_app: Headrace, receiver: Receiver) -> None:
    """410 disables the webhook, and nothing more is sent."""
    receiver.statuses = [410]
    await told_app.webhooks.set("shop", receiver.url, tasks=["add"])
    await told_app.find_task("add").enqueue(a=1)
    await work(told_app)
    found = await told_app.webhooks.get("shop")
    assert (found.enabled, "410" in (found.disabled_reason or "")) == (False, True)
    await told_app.find_task("add").enqueue(a=2)
    await work(told_app)
    assert len(receiver.got) == 1


async def test_a_large_result_is_left_out(told_app: Headrace, receiver: Receiver) -> None:
    """A delivery is bounded: the job is told, and that its result has to be asked for."""

    @told_app.task(name="large")
    async def large() -> str:
        return "x" * (MAX_BODY_BYTES - 10)

    await told_app.webhooks.set("shop", receiver.url, tasks=["large"])
    await large.enqueue()
    await work(told_app)
    ((_, body),) = receiver.got
    data = json.loads(body)["data"]
    assert (data["too_large"], "result" in data, len(body) < 2000) == (True, False, True)


async def test_what_is_secret_is_not_told(told_app: Headrace, receiver: Receiver) -> None:
    """A delivery holds nothing of the job's secret arguments, wherever they were said."""

    @told_app.task(name="pay")
    async def pay(password: str) -> None:
        raise ValueError(f"cannot pay with {password}")

    await told_app.webhooks.set("shop", receiver.url, tasks=["pay"])
    named = pay.options(max_attempts=1, correlation_id="of canary-1234", tags=["canary-1234"])
    await named.enqueue(password="canary-1234")
    await work(told_app)
    ((_, body),) = receiver.got
    assert json.loads(body)["type"] == "job.failed"
    assert b"canary" not in body
    assert b"cannot pay" in body


async def test_secrets_are_rotated(told_app: Headrace, receiver: Receiver) -> None:
    """For a while deliveries are signed by both secrets, so that receivers can change theirs."""
    old = await told_app.webhooks.set("shop", receiver.url, tasks=["add"])
    new = await told_app.webhooks.rotate("shop")
    assert old.secret is not None
    assert new.secret is not None
    assert old.secret != new.secret
    await told_app.find_task("add").enqueue(a=1)
    await work(told_app)
    ((headers, body),) = receiver.got
    for secret in (old.secret, new.secret):
        verify_webhook(secret, headers, body)


async def test_webhooks_over_http(client: httpx.AsyncClient, told_app: Headrace, receiver: Receiver) -> None:
    """Made, shown without the secret, changed, and removed; a job that is enqueued over HTTP can name one."""
    made = await client.put("webhooks/shop", json={"url": receiver.url})
    assert (made.status_code, made.json()["secret"][:6]) == (201, "whsec_")
    changed = await client.put("webhooks/shop", json={"url": receiver.url, "states": ["succeeded"]})
    assert (changed.status_code, changed.json()["secret"], changed.json()["states"]) == (200, None, ["succeeded"])
    assert (await client.get("webhooks/shop")).json() == changed.json()
    assert (await client.get("webhooks")).json()["webhooks"] == [changed.json()]
    assert (await client.post("webhooks/shop/rotate")).json()["secret"] != made.json()["secret"]
    await client.post("jobs", json={"task": "add", "args": {"a": 1}, "webhook": "shop", "metadata": {"x": 1}})
    await work(told_app)
    assert len(receiver.got) == 1
    private = await client.put("webhooks/inside", json={"url": "https://10.0.0.1/"})
    assert private.status_code == 422
    assert (await client.delete("webhooks/shop")).status_code == 204
    assert (await client.delete("webhooks/shop")).status_code == 404
    assert (await client.get("webhooks/shop")).status_code == 404


async def test_nobody_would_deliver(client: httpx.AsyncClient) -> None:
    """Where the app's workers do not deliver, no webhook is made."""
    answer = await client.put("webhooks/shop", json={"url": "https://shop.example/"})
    assert (answer.status_code, "webhooks.enable()" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("ftp://shop.example/", {}), ("shop.example", {}), ("https:///x", {}), ("https://u:p@shop.example/", {}),
        ("http://shop.example/", {}), ("https://shop.example/#x", {}), ("https://shop.example:0/", {}),
        ("https://shop.example:99999/", {}), ("https://[::1/", {}), ("https://shop.example/ x", {}),
        ("https://127.0.0.1/", {}), ("https://[::ffff:10.0.0.1]/", {}), ("https://169.254.169.254/latest/", {}),
        ("https://shop.example/", {"states": []}), ("https://shop.example/", {"states": ["queued"]}),
        ("https://shop.example/", {"states": ["no such"]}), ("https://shop.example/", {"tasks": [WEBHOOK]}),
    ],
)  # fmt: skip
async def test_what_makes_no_webhook(app: Headrace, target: str, options: dict[str, Any]) -> None:
    """Is refused, and says why."""
    with pytest.raises(ConfigurationError):
        await app.webhooks.set("shop", target, **options)
    with pytest.raises(UnknownWebhook):
        await app.webhooks.get("shop")


# -- where deliveries may go --

PRIVATE = [
    "127.0.0.1", "127.255.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1",
    "::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::", "2001:0:a00:1::",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    """However they are written, and whatever they stand for."""
    assert not may_reach(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_public_addresses(address: str) -> None:
    """May be reached."""
    assert may_reach(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_what_is_inside_is_what_counts(address: ipaddress.IPv4Address) -> None:
    """An IPv6 address that leads to an IPv4 one may be reached only if that one may."""
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert may_reach(ipaddress.ip_address(wrapped)) <= may_reach(address)


def test_networks_that_are_allowed() -> None:
    """Those, and no others."""
    allowed = read_networks(["10.1.0.0/16"])
    assert may_reach(ipaddress.ip_address("10.1.2.3"), allowed)
    assert not may_reach(ipaddress.ip_address("10.2.2.3"), allowed)
    assert check_url("http://10.1.2.3/", allowed).hostname == "10.1.2.3"
    with pytest.raises(ConfigurationError):
        read_networks(["10.1.0.1/16"])


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names lead to these addresses, at one look-up after the other; the names that were asked for."""
    asked: list[str] = []
    coming = iter(answers)

    async def getaddrinfo(_: Any, host: str, port: int, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(coming)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("found", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["fe80::1%eth0"], ["::ffff:127.0.0.1"]])
async def test_a_name_that_leads_inside(monkeypatch: pytest.MonkeyPatch, found: list[str]) -> None:
    """Is not followed, even if it leads elsewhere too."""
    resolving(monkeypatch, found)
    with pytest.raises(WebhookRefused, match="not public"):
        await find_address("shop.example", 443)


async def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """The connection goes to the address that was checked: what the name leads to a moment later is not asked (rebinding)."""
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    asked = resolving(monkeypatch, ["127.0.0.1"], ["10.9.9.9"])
    status, _ = await send(f"http://shop.example:{port}/hooks", {"content-type": "x"}, b"{}", read_networks(HERE))
    assert (status, asked) == (200, ["shop.example"])
    ((headers, _),) = receiver.got
    assert headers["host"] == f"shop.example:{port}"


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """It would look the name up by itself."""
    with receiving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        await send(receiver.url, {"content-type": "x"}, b"{}", read_networks(HERE))
        assert proxy.got == []
    assert len(receiver.got) == 1


async def test_a_network_that_is_not_allowed_any_more(app: Headrace, receiver: Receiver) -> None:
    """What was made when it was allowed is not delivered."""
    with pytest.raises(WebhookRefused, match="https"):
        await send(receiver.url, {}, b"{}", ())


# -- signatures --


def signed(secret: str, body: bytes = b"{}", at_s: int = 1000) -> dict[str, str]:
    return {
        "Webhook-Id": "msg_1", "Webhook-Timestamp": str(at_s), "Webhook-Signature": sign([secret], "msg_1", at_s, body),
    }  # fmt: skip


def test_the_standard_s_example() -> None:
    """The signature is the one that Standard Webhooks' own example has."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def change_id(headers: dict[str, str]) -> None:
    headers["Webhook-Id"] = "msg_2"


def drop(name: str) -> Callable[[dict[str, str]], None]:
    return lambda headers: headers.update({name: ""})


@pytest.mark.parametrize(
    ("change", "body", "now_s"),
    [
        (change_id, b"{}", 1000), (lambda h: None, b"{ }", 1000), (lambda h: None, b"{}", 1301), (lambda h: None, b"{}", 699),
        (drop("Webhook-Signature"), b"{}", 1000), (drop("Webhook-Timestamp"), b"{}", 1000), (drop("Webhook-Id"), b"{}", 1000),
        (lambda h: h.update({"Webhook-Signature": "v1,"}), b"{}", 1000),
        (lambda h: h.update({"Webhook-Timestamp": "²"}), b"{}", 1000),
    ],
)  # fmt: skip
def test_what_is_not_trusted(change: Callable[[dict[str, str]], None], body: bytes, now_s: int) -> None:
    """Anything that differs from what was signed, and anything old."""
    secret = new_secret()
    headers = signed(secret)
    verify_webhook(secret, headers, b"{}", now_s=1000)
    change(headers)
    with pytest.raises(WebhookUntrusted):
        verify_webhook(secret, headers, body, now_s=now_s)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_###"])
def test_an_empty_secret_lets_nobody_in(secret: str) -> None:
    """It is refused, and matches nothing."""
    with pytest.raises(ConfigurationError):
        verify_webhook(secret, signed(new_secret()), b"{}", now_s=1000)


def test_another_secret() -> None:
    """Does not do."""
    with pytest.raises(WebhookUntrusted):
        verify_webhook(new_secret(), signed(new_secret()), b"{}", now_s=1000)
