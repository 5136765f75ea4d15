"""An app with alerts."""

from __future__ import annotations

import os

from headrace import Headrace
from headrace.observe.alerts import Alerts

app = Headrace()
Alerts(app, {"hook": os.environ["ALERT_HOOK"]})


@app.task(name="work")
async def work() -> None: ...
