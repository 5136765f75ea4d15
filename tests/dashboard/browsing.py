"""A browser, and a dashboard for it to look at."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn
from axe_playwright_python.base import AXE_FILE_PATH  # type: ignore[import-untyped]
from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response
    from starlette.types import ASGIApp

CHROMIUM = os.environ.get("HEADRACE_CHROMIUM", "/usr/bin/chromium")
PATIENCE_MS = 30_000
_AXE = AXE_FILE_PATH.read_text()
_SERIOUS = ("serious", "critical")


@asynccontextmanager
async def serving(web: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a free port of this machine; gives its address."""
    server = uvicorn.Server(uvicorn.Config(web, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    serve = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        if serve.done():
            serve.result()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serve


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Watched:
    """What a page did that no page of ours may do, and what it loaded."""

    address: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text} ({message.location.get('url')})")

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and f"{url.scheme}://{url.netloc}" != self.address:
            self.foreign.append(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.url}")


@asynccontextmanager
async def looking(browser: Browser, address: str, **options: Any) -> AsyncIterator[tuple[Page, Watched]]:
    """A page of a new browser profile; at its end, it must have complained of nothing and asked nobody else."""
    context: BrowserContext = await browser.new_context(base_url=address, **options)
    context.set_default_timeout(PATIENCE_MS)
    watched = Watched("://".join(urlsplit(address)[:2]))
    page = await context.new_page()
    watched.listen(page)
    try:
        yield page, watched
        assert not watched.foreign, watched.foreign
        assert not watched.complaints, watched.complaints
    finally:
        await context.close()


async def find_faults(page: Page) -> list[str]:
    """What axe-core finds that would keep people out."""
    await page.evaluate(_AXE)
    found = await page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']} ({fault['impact']}): {node['html'][:160]} {node['failureSummary'][:300]}"
        for fault in found["violations"]
        if fault["impact"] in _SERIOUS
        for node in fault["nodes"]
    ]
