"""Database: what is wrong with it, or about to be; what holds its horizon; tables, indexes, partitions and slots."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Overseer, PageRoute

if TYPE_CHECKING:
    from headrace.doctor import Finding

router = APIRouter(route_class=PageRoute)
FRESH_S = 30.0
"""Where a million jobs wait, looking takes seconds of the database's time: all who look share it for so long."""


@dataclass
class _Looked:
    """What was found last."""

    findings: list[Finding] = field(default_factory=list)
    at_s: float = float("-inf")
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


@router.get("/database")
async def show_database(request: Request, who: Overseer, app: App) -> Response:
    """What the server says of itself. The findings come after the page: they take longer where many jobs wait."""
    report = await app.database_report()
    return page(
        request, who, "database.html", title="Database", active="database", now=report.server.now, report=report
    )


@router.get("/database/findings")
async def show_findings(request: Request, who: Overseer, app: App, brief: bool = False) -> Response:
    """What is wrong: a part of a page, or a page of its own where there are no scripts."""
    findings = await _find(request, app)
    if brief:
        findings = [each for each in findings if each.severity != "info"]
    is_part = request.headers.get("hx-request") == "true"
    return page(
        request, who, "findings.html" if is_part else "findings_page.html", title="Findings", active="database",
        now=await app.now(), findings=findings, brief=brief,
    )  # fmt: skip


async def _find(request: Request, app: App) -> list[Finding]:
    state = request.app.state
    if not hasattr(state, "headrace_looked"):
        state.headrace_looked = _Looked()
    looked: _Looked = state.headrace_looked
    async with looked.looking:
        if time.monotonic() - looked.at_s > FRESH_S:
            looked.findings = await app.diagnose()
            looked.at_s = time.monotonic()
    return looked.findings
