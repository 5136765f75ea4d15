"""Database: what is wrong with it, or about to be; what holds its horizon; tables, indexes, partitions and slots."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Overseer, PageRoute

router = APIRouter(route_class=PageRoute)


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
    findings = await app.diagnose()
    if brief:
        findings = [each for each in findings if each.severity != "info"]
    is_part = request.headers.get("hx-request") == "true"
    return page(
        request, who, "findings.html" if is_part else "findings_page.html", title="Findings", active="database",
        now=await app.now(), findings=findings, brief=brief,
    )  # fmt: skip
