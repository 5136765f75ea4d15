"""A worker in a process of its own: ``python -m tests.worker.run_worker OPTIONS``, with HEADRACE_URL.

OPTIONS is a JSON object: `timings` (changes to QUICK), the rest goes to `Worker`. Prints READY, and ENDED when its work
is over. Exits at once then, as a worker process must: threads that cannot be stopped end with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys

from tests.worker.helpers import timings
from tests.worker.sample_app import app


async def main() -> None:
    """Work until SIGTERM."""
    options = json.loads(sys.argv[1])
    chosen = timings(**options.pop("timings", {}))
    worker = app.worker(**({"heartbeat": "guardian", "owns_group": True, "timings": chosen} | options))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    run = asyncio.create_task(worker.run())
    starting = asyncio.create_task(worker.started.wait())
    await asyncio.wait({run, starting}, return_when=asyncio.FIRST_COMPLETED)
    if worker.started.is_set():
        print("READY", worker.id, flush=True)
    await run


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    status = 0
    try:
        asyncio.run(main())
        print("ENDED", flush=True)
    except Exception as error:  # noqa: BLE001 - the parent reads it
        print("FAILED", repr(error), flush=True)
        status = 1
    finally:
        sys.stdout.flush()
        os._exit(status)
