"""The commands of alerts, as an operator sees them, and options that need an extra."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.observe.commands import REPOSITORY
from tests.observe.test_alerts import Hook

if TYPE_CHECKING:
    from tests.worker.helpers import Tables


def headrace(*words: str, url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", *words],
        cwd=REPOSITORY,
        env=os.environ | {"HEADRACE_URL": url} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_alerts_are_listed(database: str, tables: Tables) -> None:
    """What is wrong, since when, and how many messages have not been sent; or that nothing is."""
    assert "nothing is wrong" in headrace("alerts", "list", url=database).stderr
    tables.rows(
        "insert into headrace.alert values ('oldest wait', 'mail', 'a job has waited', now(), now(), now(), now())"
    )
    tables.rows(
        "insert into headrace.alert_message (destination, kind, rule, subject, detail, severity, since)"
        " values ('hook', 'raised', 'oldest wait', 'mail', '', 'warning', now())"
    )
    table = headrace("alerts", "list", url=database).stdout
    assert table.splitlines()[0].split() == ["RULE", "SUBJECT", "SINCE", "RAISED", "UNSENT", "DETAIL"]
    assert "a job has waited" in table
    (alert,) = json.loads(headrace("alerts", "list", "--json", url=database).stdout)
    assert (alert["rule"], alert["subject"], alert["unsent"]) == ("oldest wait", "mail", 1)


def test_destinations_are_tested(database: str) -> None:
    """Each says whether it took the message; one that did not is a failure."""
    hook = Hook()
    try:
        took = headrace("alerts", "test", "tests.observe.alerting_app:app", url=database, ALERT_HOOK=hook.url)
        assert (took.returncode, "hook" in took.stdout) == (0, True), took.stderr
        assert hook.titles() == ["headrace: over: test"]
        hook.refuses = True
        refused = headrace("alerts", "test", "tests.observe.alerting_app:app", url=database, ALERT_HOOK=hook.url)
        assert refused.returncode == 1
    finally:
        hook.close()
    none = headrace("alerts", "test", "tests.cli_app:app", url=database)
    assert none.returncode == 2
    assert "declares no alerts" in none.stderr
