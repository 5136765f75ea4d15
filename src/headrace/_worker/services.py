"""What an app's services do, in a worker and in processes that have none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace._worker.loops import Loop

if TYPE_CHECKING:
    from headrace._store.database import Database
    from headrace.app import Headrace


def service_loops(app: Headrace, database: Database) -> list[Loop]:
    """The loops of all services."""
    rounds = [one for service in app.services for one in service.rounds(database)]
    return [Loop(one.name, one.every_s, one.step) for one in rounds]


async def run_services(app: Headrace) -> None:
    """Do what workers do beside their jobs, until cancelled: for a process that lives on when all workers are gone."""
    loops = service_loops(app, await app.database())
    async with asyncio.TaskGroup() as running:
        for loop in loops:
            running.create_task(loop.run(), name=f"headrace {loop.name}")
