"""How findings are made and how they speak."""

from __future__ import annotations

from datetime import timedelta

from headrace.doctor import Finding


def critical(check: str, what: str, detail: str = "", remedy: str = "") -> Finding:
    """Jobs are lost or do not run, now or within hours."""
    return Finding(severity="critical", check=check, what=what, detail=detail, remedy=remedy)


def warning(check: str, what: str, detail: str = "", remedy: str = "") -> Finding:
    """Something is later, slower or less safe than it could be."""
    return Finding(severity="warning", check=check, what=what, detail=detail, remedy=remedy)


def info(check: str, what: str, detail: str = "", remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding(severity="info", check=check, what=what, detail=detail, remedy=remedy)


def not_seen(what: str) -> Finding:
    """What the role may not read."""
    remedy = "ask again as the schema's owner, or as a role that is a member of pg_monitor"
    return info("rights", f"this role may not read everything: {what}", "", remedy)


def jobs(count: int) -> str:
    """So many jobs."""
    return "1 job" if count == 1 else f"{count:,} jobs"


def show_age(age: timedelta) -> str:
    """How long something has lasted."""
    minutes = int(age.total_seconds() // 60)
    hours, days = minutes // 60, minutes // 1440
    return f"{days} days" if days > 1 else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def mib(count: int) -> str:
    """A size."""
    return f"{count / (1 << 20):,.0f} MiB"


def quote(name: str | None) -> str:
    """An SQL literal."""
    return "'" + (name or "").replace("'", "''") + "'"
