"""Tells the database which schedules this worker's code declares, when it starts and now and then.

Which code counts when workers differ is decided in one place: functions/126_declare_schedules.sql.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace._store.database import Database
    from headrace.app import Headrace

_BUSY_WAIT_S = 0.1
_log = logging.getLogger("headrace.worker")


class Declarer:
    """One worker's word.

    Args:
        worker_id: Its lease: what it declares counts as long as that lives.
    """

    def __init__(self, app: Headrace, database: Database, worker_id: int) -> None:
        self._app = app
        self._database = database
        self._worker_id = worker_id

    async def declare(self) -> float | None:
        """Make stored schedules what the newest running code says; how long to wait if another worker is doing so."""
        declarations = [
            {"name": name, "digest": declaration.digest(), "fields": declaration.fields()}
            for name, declaration in self._app.declared_schedules.items()
        ]
        changes = await self._database.rows(
            "declare_schedules",
            worker_id=self._worker_id, declarations=json.dumps(declarations), tasks=self._app.task_names(),
        )  # fmt: skip
        for name, change in changes:
            if name is None:
                return _BUSY_WAIT_S
            _log.log(
                logging.WARNING if change.startswith("disabled") else logging.INFO, 'schedule "%s": %s', name, change
            )
        return None
