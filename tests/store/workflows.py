"""Workflows without workers: small graphs, and what must be true of them whenever everything has been reckoned."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from tests.store.harness import Claimed, ended

if TYPE_CHECKING:
    from tests.store.harness import Store

LIE = """
    select 'node ' || n.job_id || ' is ' || coalesce(n.state::text, 'new') || ', its job ' || coalesce(t.state, 'nowhere')
    from headrace.workflow_node n
    left join lateral (
        select case when j.blocked_by = 'parents' then 'blocked' else 'queued' end as state
        from headrace.job j where j.id = n.job_id
        union all select h.state::text from headrace.job_history h where h.id = n.job_id) t on true
    where n.kind <> 'barrier'
      and not coalesce(t.state = n.state::text, n.state in ('succeeded', 'failed', 'cancelled'))
union all
    select 'workflow ' || w.id || ' counts ' || row(w.blocked, w.queued, w.succeeded, w.failed, w.cancelled) || ', has ' || c.truth
    from headrace.workflow w cross join lateral (
        select row(count(*) filter (where n.state = 'blocked'), count(*) filter (where n.state = 'queued'),
                   count(*) filter (where n.state = 'succeeded'), count(*) filter (where n.state = 'failed'),
                   count(*) filter (where n.state = 'cancelled')) as truth
        from headrace.workflow_node n where n.workflow_id = w.id and n.kind = 'job') c
    where row(w.blocked, w.queued, w.succeeded, w.failed, w.cancelled)::text <> c.truth::text
union all
    select 'node ' || n.job_id || ' waits for ' || n.pending || ' parents, not ' || p.open
    from headrace.workflow_node n cross join lateral (
        select count(*) as open from headrace.workflow_node p
        where p.job_id = any(n.parents) and (p.state is null or p.state in ('blocked', 'queued'))) p
    where n.state = 'blocked' and (n.pending <> p.open or p.open = 0)
union all
    select 'node ' || n.job_id || ' waits in vain for ' || p.job_id
    from headrace.workflow_node n
    join headrace.workflow w on w.id = n.workflow_id and w.policy = 'stop'
    join headrace.workflow_node p on p.job_id = any(n.parents) and p.state in ('failed', 'cancelled')
    where n.state = 'blocked'
union all
    select 'workflow ' || w.id || ' is ' || w.state
    from headrace.workflow w
    where w.state::text <> case when w.blocked + w.queued > 0 then 'running' when w.failed > 0 then 'failed'
                                when w.cancelled > 0 then 'cancelled' else 'succeeded' end
       or (w.finished_at is null) <> (w.state = 'running')
union all
    select 'left to reckon: ' || c.job_id || ' ' || c.state from headrace.workflow_change c
union all
    select 'left to move: ' || n.job_id || ' ' || n.move from headrace.workflow_node n where n.move is not null
"""
"""What must not be found once all changes are reckoned and nobody holds anything."""


@dataclass
class Graph:
    """A workflow in the store, and the ids of its named nodes."""

    store: Store
    id: str = field(default_factory=lambda: str(uuid7()))
    ids: dict[str, str] = field(default_factory=dict)

    def start(
        self, parents: dict[str, list[str]], policy: str = "stop", *, callbacks: bool = False, store: Store | None = None,
        barriers: set[str] = frozenset(), **fields: Any,  # type: ignore[assignment]
    ) -> Graph:  # fmt: skip
        """Start it: each node, and those that it waits for."""
        jobs, nodes = self._nodes(parents, barriers, fields)
        callback = {"task": "callback", "queue": "callbacks", "args": {}}
        names = ("on_success", "on_failure", "on_finished")
        (store or self.store).rows(
            "start_workflow", id=self.id, name="graph", policy=policy, jobs=json.dumps(jobs), nodes=json.dumps(nodes),
            callbacks=json.dumps(dict.fromkeys(names, callback)) if callbacks else None,
        )  # fmt: skip
        return self

    def add(self, parents: dict[str, list[str]], store: Store | None = None, **fields: Any) -> None:
        """Add to it."""
        jobs, nodes = self._nodes(parents, set(), fields)
        (store or self.store).rows("add_to_workflow", id=self.id, jobs=json.dumps(jobs), nodes=json.dumps(nodes))

    def _nodes(
        self, parents: dict[str, list[str]], barriers: set[str], fields: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        self.ids |= {name: str(uuid7()) for name in parents}
        jobs = [
            {"id": self.ids[name], "task": "task", "queue": "q", "max_attempts": 1, **fields}
            for name in parents
            if name not in barriers
        ]
        nodes = []
        for name, after in parents.items():
            node: dict[str, Any] = {"id": self.ids[name], "name": name}
            if after:
                node["after"] = [self.ids[parent] for parent in after]
            if name in barriers:
                node["kind"] = "barrier"
            nodes.append(node)
        return jobs, nodes

    def advance(self, store: Store | None = None, seconds: float = 3600) -> list[str]:
        """Reckon; the workflows that somebody else holds."""
        return [row[0] for row in (store or self.store).rows("advance_workflows", ids=[self.id], seconds=seconds)]

    def states(self) -> dict[str, str]:
        """The states of all nodes' jobs, by name; barriers' own."""
        rows = self.store.ask(
            "select n.name, coalesce(j.state, n.state)::text from headrace.workflow_node n "
            "left join headrace.jobs j on j.id = n.job_id where n.workflow_id = %s and n.name is not null", [self.id],
        )  # fmt: skip
        return dict(rows)

    def row(self) -> dict[str, Any]:
        """The workflow's own row."""
        columns = "state", "blocked", "queued", "succeeded", "failed", "cancelled"
        rows = self.store.rows("find_workflow", id=self.id)
        (_, _, state, _, *counts, _, _, _) = rows[0]
        return dict(zip(columns, [state, *counts], strict=True))

    def callbacks(self) -> list[str]:
        """The callbacks that were enqueued, as often as they were."""
        return [
            row[0]
            for row in self.store.ask(
                "select kind from headrace.workflow_node where workflow_id = %s and kind like 'on%%' order by job_id",
                [self.id],
            )
        ]

    def run(self, worker: int, *outcomes: str, store: Store | None = None, **by_name: str) -> list[str]:
        """Claim everything that is queued and end it; the names of what was claimed."""
        store = store or self.store
        names = {job_id: name for name, job_id in self.ids.items()}
        claimed = store.claim(worker, 1000)
        default = outcomes[0] if outcomes else "succeeded"
        if claimed:
            store.settle(worker, *(ended(a, by_name.get(names[a.id], default)) for a in claimed))
        return [names[attempt.id] for attempt in claimed]

    def claim(self, worker: int, name: str) -> Claimed:
        """Claim until this node is there: there must be no others."""
        (attempt,) = self.store.claim(worker, 1)
        assert attempt.id == self.ids[name]
        return attempt

    def error(self, name: str) -> str:
        """What is stored of a node's end."""
        return str(self.store.find(self.ids[name])["error"]["message"])


def lies(store: Store) -> list[str]:
    """What is wrong with the workflows of a store that has been reckoned."""
    return [row[0] for row in store.ask(LIE)]
