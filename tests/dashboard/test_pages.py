"""The dashboard's pages over HTTP: who may see and do what, what stays secret, what forms do; and panels."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
from pydantic import BaseModel, model_validator

from headrace import Context, Headrace, Retry, Secret
from headrace.access import Role
from headrace.errors import ConfigurationError
from headrace.web import panels, web_app
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CANARY = "canary-5e1f"
OWN = {"sec-fetch-site": "same-origin"}


class Payment(BaseModel):
    """Its validator quotes what is secret in it."""

    token: Annotated[str, Secret]
    limit: int

    @model_validator(mode="after")
    def check(self) -> Payment:
        if self.limit < 0:
            raise ValueError(f"cannot use {self.token} with {self.limit}")
        return self


def declare(app: Headrace) -> None:
    """A task with a secret, and one without."""

    @app.task(name="bank.pay", retry=Retry(attempts=1))
    async def pay(ctx: Context, token: Annotated[str, Secret], amount: int) -> dict[str, Any]:
        ctx.log(f"paying with {token}")
        if amount < 0:
            raise ValueError(f"no payment of {amount} with {token}")
        return {"amount": amount, "api_key": token}

    @app.task(name="mail.send")
    async def send(to: str) -> str:
        return to

    app.schedule("0 9 * * *", name="daily.pay", args={"token": CANARY, "amount": 1})(pay)


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    """An app with two jobs of one tenant, one of another, and a failed one that knows a secret."""
    async with Headrace(database) as app:
        declare(app)
        await app.tasks["bank.pay"].options(tenant="acme").enqueue(CANARY, 1)
        await app.tasks["bank.pay"].options(tenant="acme").enqueue(CANARY, -1)
        await app.tasks["mail.send"].options(tenant="globex").enqueue("somebody@globex")
        await app.drain()
        yield app


@asynccontextmanager
async def client(app: Headrace, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client on this machine, or with a key."""
    transport = httpx.ASGITransport(app=web_app(app, local=True), client=("127.0.0.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as made:
        yield made


async def with_key(app: Headrace, role: Role, tenant: str | None = None) -> dict[str, str]:
    """The header of a new key."""
    key = await app.access.create_key(f"{role.name} of {tenant}", role=role, tenant=tenant)
    return {"authorization": f"Bearer {key}"}


async def test_a_tenant_sees_its_own_jobs_and_nothing_else(app: Headrace) -> None:
    """Neither in lists, counts and completions nor by id; and no page that is about all."""
    own = (await app.search.jobs("tenant:acme", limit=1)).jobs[0]
    other = (await app.search.jobs("tenant:globex", limit=1)).jobs[0]
    async with client(app, **await with_key(app, Role.OPERATOR, "acme")) as acme:
        listed = (await acme.get("/jobs")).text
        assert "bank.pay" in listed
        assert "mail.send" not in listed
        assert "No job matches" in (await acme.get("/jobs?filter=tenant:globex")).text
        assert "globex" not in (await acme.get("/jobs/complete?text=tenant:")).text
        assert ">2</span>" in (await acme.get("/jobs/tabs")).text
        assert (await acme.get(f"/jobs/{own.id}")).status_code == 200
        assert (await acme.get(f"/jobs/{other.id}")).status_code == 404
        for action in ("retry", "cancel", "delete", "edit"):
            answer = await acme.post(f"/jobs/{other.id}/{action}", data={"args": "{}"})
            assert answer.status_code == 404, action
        chosen = await acme.post("/jobs/selected", data={"action": "delete", "job": str(other.id)})
        assert "No%20job%20is%20chosen" in chosen.headers["set-cookie"]
        assert await app.find_job(other.id)
        for path in ("/", "/queues", "/schedules", "/workflows", "/workers", "/limits", "/database", "/audit"):
            assert (await acme.get(path)).status_code == 403, path


async def test_a_viewer_looks_and_does_not_touch(app: Headrace) -> None:
    """Every page is shown without what it could do, and every form is refused."""
    job = (await app.search.jobs("state:failed", limit=1)).jobs[0]
    async with client(app, **await with_key(app, Role.VIEWER)) as viewer:
        for path in ("/", "/jobs", "/queues", "/schedules", "/schedules/daily.pay", "/limits", f"/jobs/{job.id}"):
            page = await viewer.get(path)
            assert page.status_code == 200, path
            assert 'method="post"' not in page.text, path
        for path in (
            f"/jobs/{job.id}/retry", "/jobs/selected", "/operations/new", "/queues/default/pause", "/pause-all",
            "/schedules/daily.pay/run", "/limits/create", "/workers/1/drain", "/settings/keys",
        ):  # fmt: skip
            refused = await viewer.post(path, data={"action": "retry", "name": "x"})
            assert refused.status_code in (403, 303), path
        assert (await viewer.get("/settings")).text.count("API keys") == 0
    assert (await app.find_job(job.id)).state == "failed"
    assert await app.list_pauses() == []


async def test_no_page_shows_a_secret(app: Headrace) -> None:
    """Wherever a job, its log, its error, its steps or a schedule's arguments are shown, the canary is not."""
    jobs = [str(job.id) for job in (await app.search.jobs("task:bank.pay")).jobs]
    paths = [
        "/", "/jobs", "/jobs?filter=state:failed", "/failures", "/schedules", "/schedules/daily.pay", "/audit",
        "/schedules/daily.pay/edit", "/operations/new?action=retry&filter=task:bank.pay", "/workers",
        *(f"/jobs/{job}" for job in jobs), *(f"/jobs/{job}/edit" for job in jobs),
    ]  # fmt: skip
    async with client(app) as local:
        for path in paths:
            page = await local.get(path)
            assert page.status_code == 200, path
            assert CANARY not in page.text, path
    assert "[redacted]" in str(await panels.job_table(app, "task:bank.pay", columns=("args.token", "error", "result")))
    assert CANARY not in str(await panels.job_table(app, "task:bank.pay", columns=("args.token", "error", "result")))
    assert CANARY not in str(await panels.run_button(app, "bank.pay", action="/run"))


async def test_an_edit_keeps_what_it_does_not_show(app: Headrace) -> None:
    """A secret that a form showed as hidden, and that was left so, is still the secret."""
    job = (await app.search.jobs("state:failed task:bank.pay", limit=1)).jobs[0]
    async with client(app, **OWN) as local:
        form = {"args": json.dumps({"token": "[redacted]", "amount": 5}), "how": "retry"}
        answer = await local.post(f"/jobs/{job.id}/edit", data=form)
        assert answer.headers["location"] == f"/jobs/{job.id}"
    await app.drain()
    done = await app.find_job(job.id)
    assert done.args == {"token": CANARY, "amount": 5}
    assert done.state == "succeeded"


async def test_forms_of_other_sites_are_refused(app: Headrace) -> None:
    """A stranger's page cannot make this machine's browser do anything."""
    async with client(app) as local:
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
            answer = await local.post("/pause-all", data={"reason": "evil"}, headers=headers)
            assert answer.status_code == 403
    assert await app.list_pauses() == []


async def test_after_a_form_one_stays_on_this_server(app: Headrace) -> None:
    """Where a form came from decides where one goes back to, but never to another server."""
    async with client(app, **OWN) as local:
        for referer, back in (
            ("http://localhost/queues?x=1", "/queues?x=1"),
            ("https://evil.example/queues", "/"),
            ("http://localhost//evil.example/", "/evil.example/"),
        ):
            answer = await local.post("/pause-all", data={"lasts": "1m"}, headers={"referer": referer})
            assert answer.headers["location"] == back


async def test_what_is_wrong_in_a_form_is_said(app: Headrace) -> None:
    """An error of a form comes back as a message, of a page as a page with its status."""
    async with client(app, **OWN) as local:
        answer = await local.post(
            "/queues/default/pause", data={"lasts": "soon"}, headers={"referer": "http://localhost/queues"}
        )
        assert answer.status_code == 303
        page = (await local.get("/queues")).text
        assert "&#34;soon&#34; is not a duration" in page
        assert "soon" not in (await local.get("/queues")).text
        assert (await local.get("/queues/nothing")).status_code == 404
        assert (await local.get("/jobs/0")).status_code == 422
        assert (await local.get("/workflows/01900000-0000-7000-8000-000000000000")).status_code == 404
        assert (await local.get("/operations/77")).status_code == 404


async def test_names_with_anything_in_them_work(app: Headrace) -> None:
    """Queues and schedules may be called what they like; nothing of it becomes markup."""
    name = 'a/b c?<script>"&%'
    await app.tasks["mail.send"].options(queue=name).enqueue("x")
    await app.schedules.create(name, "mail.send", every=timedelta(hours=1), args={"to": "<b>"})
    async with client(app, **OWN) as local:
        for path in ("/queues", "/jobs", "/schedules"):
            page = (await local.get(path)).text
            assert '<script>"' not in page
            assert "a/b c?&lt;script&gt;" in page
        quoted = "a%2Fb%20c%3F%3Cscript%3E%22%26%25"
        assert (await local.get(f"/schedules/{quoted}")).status_code == 200
        async with working(app):
            await until(lambda: has_queue(app, name), "its worker makes the queue")
        assert (await local.get(f"/queues/{quoted}")).status_code == 200
        await local.post(f"/queues/{quoted}/pause")
        assert [pause.queue for pause in await app.list_pauses()] == [name]


async def has_queue(app: Headrace, name: str) -> bool:
    """Whether it is listed."""
    return any(queue.name == name for queue in await app.list_queues())


async def test_a_key_is_shown_once(app: Headrace) -> None:
    """It is in the answer to the form that made it, and nowhere after that."""
    async with client(app, **OWN) as local:
        made = await local.post("/settings/keys", data={"name": "ci", "role": "viewer", "tenant": "acme"})
        (info,) = await app.access.list_keys()
        assert (info.name, info.role, info.tenant, info.created_by) == ("ci", Role.VIEWER, "acme", "local")
        key = made.text.split('id="made" tabindex="0">')[1].split("<")[0]
        assert (await app.access.check_key(key)) is not None
        assert key not in (await local.get("/settings")).text
        await local.post("/settings/keys/revoke", data={"name": "ci"})
        assert await app.access.check_key(key) is None


async def test_an_operator_s_drain_ends_a_worker(app: Headrace) -> None:
    """It finishes what it runs, and its `run` returns."""
    async with working(app) as worker, client(app, **OWN) as local:
        answer = await local.post(f"/workers/{worker.id}/drain")
        assert answer.status_code == 303
        await until(worker.stopping.is_set, "the worker notices")
        gone = await local.post("/workers/999/drain", headers={"referer": "http://localhost/workers"})
        assert "has%20ended%20already" in gone.headers["set-cookie"]


async def test_panels_speak_the_application_s_words(app: Headrace) -> None:
    """Own headings, states, columns and links; and a button that cannot be pressed twice."""
    words: dict[str, Any] = {"labels": {"args.to": "Recipient"}, "states": {"succeeded": "completed"}}
    shown = ("state", "args.to", "attempts")
    table = str(await panels.job_table(app, "task:mail.send", columns=shown, link=lambda job: f"/x/{job.id}", **words))
    assert "Recipient" in table
    assert ">completed<" in table
    assert "somebody@globex" in table
    assert 'href="/x/' in table
    assert "<script" not in table
    assert " style=" not in table
    button = str(await panels.run_button(app, "mail.send", action="/send", label="Send", fields={"csrf": "t<>"}))
    assert "disabled" not in button
    assert 'value="t&lt;&gt;"' in button
    await app.tasks["mail.send"].enqueue("again")
    assert "disabled" in str(await panels.run_button(app, "mail.send", action="/send"))
    assert "no jobs of that kind" in str(await panels.job_table(app, "task:none", empty="no jobs of that kind"))
    with pytest.raises(ConfigurationError, match="there is no column"):
        await panels.job_table(app, columns=("stat",))
    strip = str(await panels.schedule_strip(app, "daily.pay"))
    assert "daily.pay" in strip
    assert ".headrace-panel" in panels.stylesheet()


async def test_a_secret_that_a_job_made_is_shown_nowhere(app: Headrace) -> None:
    """Its result is marked, so it is hidden in its steps, log lines and progress, on the page and in the API."""

    @app.task(name="bank.mint")
    async def mint(ctx: Context) -> Annotated[str, Secret]:
        token = await ctx.step("mint", lambda: CANARY)
        ctx.log(f"minted {token}")
        ctx.progress(1, 1, f"have {token}")
        return token

    job = await mint.enqueue()
    await app.drain()
    paths = [
        f"/jobs/{job.id}",
        *(f"/api/v1/jobs/{job.id}{part}" for part in ("", "/steps", "/logs", "/result", "/why")),
    ]
    async with client(app) as local:
        for path in paths:
            answer = await local.get(path)
            assert answer.status_code == 200, path
            assert CANARY not in answer.text, path
    assert await job.result() == CANARY


async def test_what_a_validator_says_tells_no_secret(app: Headrace) -> None:
    """Whoever edits arguments that were hidden from them does not learn them from a refusal."""

    @app.task(name="bank.limit")
    async def limit(payment: Payment) -> None: ...

    job = await limit.enqueue(Payment(token=CANARY, limit=1))
    await app.drain()
    edited = json.dumps({"payment": {"token": "[redacted]", "limit": -1}})
    async with client(app, **OWN) as local:
        for how in ("retry", "clone"):
            answer = await local.post(f"/jobs/{job.id}/edit", data={"args": edited, "how": how})
            said = f"{answer.text} {answer.headers} {(await local.get(f'/jobs/{job.id}')).text}"
            assert CANARY not in said
    assert (await job.info()).attempts == 1


async def test_the_audit_log_is_for_administrators(app: Headrace) -> None:
    """Others neither see it nor are shown the way there."""
    async with client(app, **await with_key(app, Role.OPERATOR)) as operator:
        assert (await operator.get("/audit")).status_code == 403
        assert "/audit" not in (await operator.get("/queues")).text
    async with client(app, **await with_key(app, Role.ADMIN)) as admin:
        assert (await admin.get("/audit")).status_code == 200
        assert "/audit" in (await admin.get("/queues")).text


@pytest.mark.parametrize("path", ["/operations/99999999999999999999", "/operations?before=99999999999999999999"])
async def test_numbers_that_no_row_has_are_refused(app: Headrace, path: str) -> None:
    """They are the asker's mistake, not the server's."""
    async with client(app) as local:
        assert (await local.get(path)).status_code == 422
