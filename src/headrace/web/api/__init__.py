"""The HTTP API: one module for each noun.

Routes speak in their own models (what the documentation shows), ask the app as any program would, and raise;
problems.py makes problem details of it. Whoever may see one tenant's jobs only goes through `VisibleJob` and
`find_visible`; what belongs to all tenants at once is refused them by `all_tenants`.
"""

from fastapi import APIRouter, Depends

from headrace.web.api import (
    about,
    audit,
    bulk,
    enqueueing,
    events,
    health,
    history,
    jobs,
    keys,
    limits,
    live,
    operations,
    queues,
    run_once,
    schedule_tenants,
    schedules,
    search,
    tasks,
    webhooks,
    workers,
    workflows,
)
from headrace.web.api.dependencies import refuse_unknown_query

router = APIRouter(dependencies=[Depends(refuse_unknown_query)])
for _noun in (
    enqueueing,
    jobs,
    bulk,
    search,
    operations,
    tasks,
    queues,
    limits,
    schedules,
    schedule_tenants,
    workflows,
    events,
    workers,
    run_once,
    live,
    webhooks,
    history,
    audit,
    keys,
    health,
    about,
):
    router.include_router(_noun.router)
