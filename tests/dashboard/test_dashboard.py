"""The dashboard, as an operator sees it: through a browser, against a shop whose jobs run meanwhile."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from playwright.async_api import expect

from headrace import Headrace
from headrace.access import Role
from headrace.web import web_app
from tests.dashboard.browsing import find_faults, looking, serving
from tests.worker.helpers import until

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from tests.dashboard.conftest import Shop

PAGES = (
    "/", "/jobs", "/failures", "/queues", "/queues/mail", "/schedules", "/schedules/digest.daily", "/schedules/new",
    "/schedules/digest.daily/edit", "/workflows", "/workers", "/limits", "/database", "/operations", "/audit", "/settings",
    "/operations/new?action=retry&filter=state:failed",
)  # fmt: skip
FIRST_PAGE_BYTES = 100_000
PHONE = {"width": 390, "height": 844}


async def some_pages(shop: Shop) -> list[str]:
    """All pages, with one of each kind that has an id."""
    failed = (await shop.app.search.jobs("state:failed task:billing.charge", limit=1)).jobs[0]
    waiting = (await shop.app.search.jobs("state:blocked task:imports.csv", limit=1)).jobs[0]
    workflow = (await shop.app.list_workflows(limit=3))[-1]
    return [*PAGES, f"/jobs/{failed.id}", f"/jobs/{failed.id}/edit", f"/jobs/{waiting.id}", f"/workflows/{workflow.id}"]


async def test_an_operator_s_morning(shop: Shop, browser: Browser) -> None:
    """Find a customer's failing jobs, see why, mend an argument, retry all alike, pause, edit a schedule, read the audit."""
    async with looking(browser, shop.address) as (page, _):
        await find_and_mend_one(page)
        await retry_all_alike(shop, page)
        await pause_and_resume(shop, page)
        await edit_a_schedule(shop, page)
        await page.goto("/audit")
        for action in ("job.retry", "queue.pause", "queue.resume", "schedule.edit"):
            row = page.locator("tbody tr", has_text=action).first
            await expect(row).to_contain_text("local")
            await expect(row).to_contain_text("dashboard")


async def find_and_mend_one(page: Page) -> None:
    await page.goto("/")
    await page.keyboard.press("g")
    await page.keyboard.press("j")
    await page.wait_for_url("**/jobs")
    await page.keyboard.press("/")
    await page.get_by_role("combobox", name="Filter").fill("state:failed args.customer=initech args.currency=EUX")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/jobs?filter=**")
    rows = page.locator("tr[data-id]")
    await expect(rows.first).to_contain_text("unknown currency 'EUX'")
    await expect(page.locator(".tabs [aria-current=page]")).to_contain_text(re.compile(r"Failed \d+"))
    await rows.first.get_by_role("link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("billing.charge")
    await expect(page.locator(".life li")).to_have_count(4)
    await expect(page.locator(".trace").last).to_contain_text("raise ValueError")
    await page.get_by_role("link", name="Edit & clone…").click()
    arguments = page.get_by_label("Arguments")
    await arguments.fill((await arguments.input_value()).replace("EUX", "EUR"))
    await page.get_by_role("button", name="Retry this job with them").click()
    await expect(page.get_by_role("status").first).to_have_text("The job will run again with these arguments.")
    await expect(page.locator(".figures .state")).to_have_text("succeeded")  # the page follows by itself


async def retry_all_alike(shop: Shop, page: Page) -> None:
    shop.currencies.add("EUX")
    await page.goto("/failures")
    row = page.locator("tr", has_text="unknown currency")
    left = int(await row.locator("td.num a").inner_text())
    await row.get_by_role("link", name="Retry all").click()
    await expect(page.get_by_role("heading", name=f"{left} jobs match")).to_be_visible()
    await page.get_by_role("button", name=f"Retry {left} jobs").click()
    await page.wait_for_url(re.compile(r"/operations/\d+$"))
    await expect(page.get_by_role("button", name="Undo")).to_be_visible()
    await expect(page.locator(".figures .state")).to_have_text("finished")
    assert (await shop.app.operations.list())[0].done == left
    await until(lambda: gone(shop, "state:failed args.currency=EUX"), "all of them succeed")
    await page.goto("/jobs?filter=state:succeeded args.currency=EUX")
    await expect(page.locator("tr[data-id]")).to_have_count(left)


async def gone(shop: Shop, filter_text: str) -> bool:
    """Whether no job matches any more."""
    return (await shop.app.search.count(filter_text)).jobs == 0


async def pause_and_resume(shop: Shop, page: Page) -> None:
    await page.goto("/queues/billing")
    await page.locator("summary", has_text="Pause").click()
    await page.get_by_label("Why").fill("the bank is closed")
    await page.get_by_label("For how long").fill("1h")
    await page.get_by_role("button", name="Pause billing").click()
    await expect(page.locator(".note-box")).to_contain_text("the bank is closed")
    job = await shop.app.tasks["billing.charge"].enqueue("acme", 1.0)
    await page.goto(f"/jobs/{job.id}")
    await expect(page.locator(".note-box")).to_contain_text('queue "billing" is paused')
    await expect(page.locator(".note-box")).to_contain_text("the bank is closed")
    await page.goto("/queues")
    await page.locator("tr", has_text="the bank is closed").get_by_role("button", name="Resume").click()
    await page.goto(f"/jobs/{job.id}")
    await expect(page.locator(".figures .state")).to_have_text("succeeded")


async def edit_a_schedule(shop: Shop, page: Page) -> None:
    await page.goto("/schedules/digest.hourly")
    await page.get_by_role("link", name="Edit", exact=True).click()
    await page.get_by_label("Rule").fill("30 4 * * MON-FRI")
    await page.get_by_label("Time zone").fill("Europe/Berlin")
    await expect(page.locator("#preview")).to_contain_text("At 04:30, Monday through Friday")
    await expect(page.locator("#preview tr")).to_have_count(6)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="At 04:30, Monday through Friday")).to_be_visible()
    changed = await shop.app.schedules.get("digest.hourly")
    assert (changed.cron, changed.timezone, changed.edited_by) == ("30 4 * * MON-FRI", "Europe/Berlin", "local")


async def test_the_first_page_is_small_and_asks_nobody_else(shop: Shop, browser: Browser) -> None:
    """Everything that the first page loads is less than 100 kB, and comes from here."""
    async with looking(browser, shop.address) as (page, _):
        client = await page.context.new_cdp_session(page)
        sizes: list[float] = []
        client.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        await client.send("Network.enable")
        await page.goto("/", wait_until="load")
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        assert len(sizes) > 4
        assert sum(sizes) < FIRST_PAGE_BYTES


async def test_without_scripts_everything_can_be_read(shop: Shop, browser: Browser) -> None:
    """Pages have their content as they come, and forms can still be sent."""
    async with looking(browser, shop.address, java_script_enabled=False) as (page, _):
        for path in await some_pages(shop):
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.goto("/jobs?filter=state:failed")
        assert await page.locator("tr[data-id]").count() > 5
        await page.goto("/queues/imports")
        await page.locator("summary", has_text="Pause").click()
        await page.get_by_role("button", name="Pause imports").click()
        await expect(page.locator(".note-box")).to_contain_text("Paused")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(shop: Shop, browser: Browser, scheme: str) -> None:
    """Labels, contrast, order of focus: nothing keeps anybody out, in either theme."""
    faults = {}
    async with looking(browser, shop.address, color_scheme=scheme, reduced_motion="reduce") as (page, _):
        for path in await some_pages(shop):
            await page.goto(path, wait_until="load")
            if found := await find_faults(page):
                faults[path] = found
    assert faults == {}


async def test_on_a_phone_nothing_is_cut_off(shop: Shop, browser: Browser) -> None:
    """At 390 pixels no page is wider than the screen."""
    wide = {}
    async with looking(browser, shop.address, viewport=PHONE, has_touch=True) as (page, _):
        for path in await some_pages(shop):
            await page.goto(path)
            width = await page.evaluate("document.documentElement.scrollWidth")
            if width > PHONE["width"]:
                wide[path] = width
        await page.get_by_role("button", name="Menu").click()
        await expect(page.get_by_role("link", name="Schedules")).to_be_visible()
    assert wide == {}


async def test_rows_keep_their_places(shop: Shop, browser: Browser) -> None:
    """What is new is announced, and what changes changes in its row: nothing moves under the pointer."""
    async with looking(browser, shop.address) as (page, _):
        await page.goto("/jobs?filter=task:media.transcode")
        ids = await page.locator("tr[data-id]").evaluate_all("rows => rows.map(row => row.dataset.id)")
        job = await shop.app.tasks["media.transcode"].enqueue("newest")
        await expect(page.get_by_role("button", name="1 new")).to_be_visible()
        assert await page.locator("tr[data-id]").evaluate_all("rows => rows.map(row => row.dataset.id)") == ids
        await shop.app.cancel_jobs([ids[0]], "for the test")
        await expect(page.locator(f'tr[data-id="{ids[0]}"] .state')).to_have_text("cancelled")
        await page.get_by_role("button", name="1 new").click()
        await expect(page.locator(f'tr[data-id="{job.id}"]')).to_be_visible()


async def test_everything_can_be_done_with_the_keyboard(shop: Shop, browser: Browser) -> None:
    """`/`, `j k x r`, `g q`, `?`, and the palette."""
    async with looking(browser, shop.address) as (page, _):
        await page.goto("/jobs?filter=state:failed task:mail.receipt")
        before = await page.locator("tr[data-id]").count()
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("k")
        await expect(page.locator("tr[data-id]").first).to_have_class("here")
        await page.keyboard.press("x")
        await page.keyboard.press("j")
        await page.keyboard.press("x")
        await expect(page.get_by_text("2 chosen")).to_be_visible()
        await page.keyboard.press("r")
        await expect(page.get_by_role("status").first).to_contain_text("2 jobs will run again")
        assert before > 2
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Control+k")
        await page.get_by_role("combobox", name="Command").fill("limits")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/limits")
        await page.keyboard.press("g")
        await page.keyboard.press("q")
        await page.wait_for_url("**/queues")
        job = (await shop.app.search.jobs("task:imports.csv", limit=1)).jobs[0]
        await page.keyboard.press("Control+k")
        await page.get_by_role("combobox", name="Command").fill(str(job.id))
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/jobs/{job.id}")


async def test_the_filter_completes(shop: Shop, browser: Browser) -> None:
    """Keys and values are offered while a filter is written, and what cannot be read is marked where it is."""
    async with looking(browser, shop.address) as (page, _):
        await page.goto("/jobs")
        box = page.get_by_role("combobox", name="Filter")
        await box.press_sequentially("que")
        await expect(page.get_by_role("option").first).to_contain_text("queue:")
        await page.keyboard.press("Tab")
        await expect(box).to_have_value("queue:")
        await box.press_sequentially("bil")
        await expect(page.get_by_role("option", name="billing")).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(box).to_have_value("queue:billing")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("option")).to_have_count(0)
        await expect(box).to_have_value("queue:billing")
        await box.fill("queue:mail stat:failed")
        await box.press("Enter")
        await expect(page.locator("#filter-problem")).to_contain_text('there is no key "stat"')
        await expect(page.locator("#filter-problem pre")).to_have_text(" " * 11 + "^", use_inner_text=True)


async def test_many_are_confirmed_by_typing(shop: Shop, browser: Browser) -> None:
    """An operation on more than a thousand jobs wants its name typed; and it can be undone before it begins."""
    task = shop.app.tasks["mail.receipt"].options(delay=timedelta(days=1))
    await shop.app.enqueue_many([task.job("wonka", f"bulk-{number}") for number in range(1100)])
    async with looking(browser, shop.address) as (page, _):
        await page.goto("/jobs?filter=state:scheduled args.template~bulk")
        await page.get_by_role("link", name="Delete…").click()
        confirm = page.get_by_role("button", name=re.compile("Delete 1,100 jobs"))
        await page.get_by_label("Type delete").fill("retry")
        await confirm.click()
        await expect(page.get_by_role("alert")).to_contain_text('type "delete"')
        await page.get_by_label("Type delete").fill("delete")
        await confirm.click()
        await page.get_by_role("button", name="Undo").click()
        await expect(page.get_by_role("status").first).to_have_text("Undone: no job was touched.")
        assert (await shop.app.search.count("args.template~bulk")).jobs == 1100


async def test_it_works_under_a_path(shop: Shop, browser: Browser) -> None:
    """Mounted in another application, every link, form and file stays below the path."""
    main = FastAPI()
    main.mount("/ops/jobs", web_app(shop.app, local=True))
    async with serving(main) as address, looking(browser, address) as (page, _):
        await page.goto("/ops/jobs/")
        links = await page.locator(".nav a").evaluate_all("links => links.map(link => link.pathname)")
        assert len(links) > 10
        for link in links:
            assert link.startswith("/ops/jobs/")
            await page.goto(link)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            hrefs = await page.locator("main a").evaluate_all("links => links.map(link => link.pathname)")
            assert [href for href in hrefs if not href.startswith("/ops/jobs/")] == []
        await page.goto("/ops/jobs/queues/imports")
        await page.locator("summary", has_text="Pause").click()
        await page.get_by_role("button", name="Pause imports").click()
        await expect(page.locator(".said")).to_contain_text('Queue "imports" is paused')
        assert page.url == f"{address}/ops/jobs/queues/imports"


async def test_theme_and_zone_are_remembered(shop: Shop, browser: Browser) -> None:
    """Times are shown in the reader's zone, with how long ago; the theme stays."""
    async with looking(browser, shop.address) as (page, _):
        await page.goto("/settings")
        await page.get_by_label("Time zone").fill("Asia/Kolkata")
        await page.get_by_label("Theme").select_option("dark")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.goto("/jobs?filter=state:failed")
        assert (await page.locator("tr[data-id] time").first.get_attribute("title") or "").endswith("IST")


async def test_people_sign_in_and_out(database: str, browser: Browser) -> None:
    """Who is not known is led to the form, and from there to where they wanted; signing out ends it; axe finds nothing."""
    async with Headrace(database) as app:
        await app.access.create_user("mia", role=Role.VIEWER, password="a long enough password")
        async with serving(web_app(app)) as address, looking(browser, address) as (page, _):
            await page.goto("/queues")
            await page.wait_for_url("**/login?next=**")
            assert await find_faults(page) == []
            await page.get_by_label("Name").fill("mia")
            await page.get_by_label("Password").fill("a long enough password")
            await page.get_by_role("button", name="Sign in").click()
            await page.wait_for_url("**/queues")
            await expect(page.get_by_text("mia · viewer")).to_be_visible()
            await page.get_by_role("button", name="Sign out").click()
            await page.wait_for_url("**/login")
            await page.goto("/queues")
            await page.wait_for_url("**/login?next=**")
