"""Takes the pictures in docs/dashboard/: every page, light and dark and on a phone, of a shop with a made-up past.

.venv/bin/python tools/dashboard_pictures.py [PAGE ...]
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from playwright.async_api import expect

sys.path.insert(0, str(Path(__file__).parents[1]))

from headrace._store.embedded import EmbeddedServer
from headrace.web import web_app
from tests.dashboard.browsing import chromium, serving
from tests.dashboard.shop import fill, make_app, seed

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from headrace import Headrace

FOLDER = Path(__file__).parents[1] / "docs" / "dashboard"
HISTORY = Path(__file__).parents[1] / "tests" / "dashboard" / "history.sql"
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}
QUALITIES = (72, 50, 30)
MOST_BYTES = 60_000


async def pages_of(app: Headrace) -> dict[str, str]:
    """Names of pictures, and the pages that they show."""
    failed = (await app.search.jobs("state:failed task:billing.charge", limit=1)).jobs[0]
    paused = (await app.search.jobs("state:queued queue:reports", limit=1)).jobs[0]
    steps = (await app.search.jobs("state:blocked task:imports.csv", limit=1)).jobs[0]
    workflow = next(each for each in await app.list_workflows() if each.name == "search.rebuild")
    return {
        "overview": "/", "jobs": "/jobs?filter=state:failed", "job": f"/jobs/{failed.id}", "why": f"/jobs/{paused.id}",
        "steps": f"/jobs/{steps.id}", "failures": "/failures", "queues": "/queues", "schedules": "/schedules",
        "schedule": "/schedules/digest.daily", "schedule-edit": "/schedules/digest.weekly/edit",
        "workflows": "/workflows", "workflow": f"/workflows/{workflow.id}", "workers": "/workers", "limits": "/limits",
        "database": "/database", "operations": "/operations",
        "operation-preview": "/operations/new?action=retry&filter=state:failed task:mail.*",
        "audit": "/audit", "settings": "/settings",
    }  # fmt: skip


async def take(browser: Browser, address: str, pages: dict[str, str]) -> None:
    """All pictures."""
    for look, viewport, scheme in (("light", WIDE, "light"), ("dark", WIDE, "dark"), ("phone", PHONE, "light")):
        context = await browser.new_context(base_url=address, viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
        page = await context.new_page()
        for name, path in pages.items():
            await page.goto(path, wait_until="load")
            await page.wait_for_timeout(400)  # counts, findings and charts come after the page
            await expect(page.locator(".htmx-request")).to_have_count(0)
            await keep(page, f"{name}-{look}")
        await context.close()


async def keep(page: Page, name: str) -> None:
    """One picture, small: as WebP; with HEADRACE_PICTURES set, also as PNG, into that folder."""
    client = await page.context.new_cdp_session(page)
    for quality in QUALITIES:
        taken = await client.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
        picture = base64.b64decode(taken["data"])
        if len(picture) <= MOST_BYTES:
            break
    (FOLDER / f"{name}.webp").write_bytes(picture)
    if folder := os.environ.get("HEADRACE_PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def main(names: list[str]) -> None:
    """Make the shop, and look at it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)  # noqa: ASYNC240 - nobody waits
        server = await asyncio.to_thread(EmbeddedServer.start, Path(directory) / "server")
        gate = asyncio.Event()
        app = make_app(server.url, gate)
        app.migrate()
        async with app:
            await seed(app)
            await fill(app)
            with psycopg.connect(server.url) as conn:
                conn.execute(HISTORY.read_text().encode())
            await app.operations.start("state:failed task:search.*", "retry", by="mia")
            worker = app.worker(concurrency=8, heartbeat="loop")
            run = asyncio.create_task(worker.run())
            await worker.started.wait()
            while (await app.history.series("failed")).counted_until is None:  # noqa: ASYNC110 - a worker counts in its own time
                await asyncio.sleep(0.5)
            async with serving(web_app(app, local=True)) as address, chromium() as browser:
                pages = await pages_of(app)
                await take(browser, address, {name: path for name, path in pages.items() if not names or name in names})
            gate.set()
            worker.stop()
            await run
        await asyncio.to_thread(server.stop)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    asyncio.run(main(sys.argv[1:]))
