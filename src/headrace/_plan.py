"""What is started of a workflow: its jobs, and for each what it waits for and takes the results of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uuid_utils

from headrace.errors import ConfigurationError, did_you_mean
from headrace.job import DependentJob, NewJob

if TYPE_CHECKING:
    from headrace._pending import PendingResult
    from headrace.workflow import Flow

Source = dict[str, Any]
"""Where an argument comes from, as headrace.read_input has it."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What something ends in.

    Attributes:
        jobs: Those jobs.
        ids: The nodes to wait for: they, or a barrier after them.
        is_list: Whether its result is a list of theirs, or that of the only one.
        parts: Of what waits for several named nodes: what each of them ends in.
    """

    jobs: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    is_list: bool = False
    parts: tuple[Ends, ...] = ()

    @property
    def source(self) -> Source:
        """Where its result comes from."""
        if self.parts:
            return {"list": [part.source for part in self.parts]}
        if not self.is_list:
            return {"node": self.jobs[0]}
        if self.ids != self.jobs:
            return {"each": self.ids[0]}
        return {"list": [{"node": job} for job in self.jobs]}


NOTHING = Ends()


def join(ends: Sequence[Ends]) -> Ends:
    """Several as one: to wait for all of them."""
    ids = tuple(dict.fromkeys(i for end in ends for i in end.ids))
    return Ends(tuple(job for end in ends for job in end.jobs), ids, is_list=True, parts=tuple(ends))


@dataclass
class Plan:
    """Jobs and nodes, as headrace.add_nodes takes them.

    Attributes:
        after_names: Names of nodes that are there already, for which whatever begins here waits.
        nodes: By id.
        named: What named nodes end in.
        outcome: What the flow ends in, if there is one.
        outcomes: What the named nodes end in that nobody waits for.
    """

    after_names: tuple[str, ...] = ()
    jobs: list[NewJob] = field(default_factory=list)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    named: dict[str, Ends] = field(default_factory=dict)
    outcome: Ends | None = None
    outcomes: dict[str, Ends] = field(default_factory=dict)

    def place(self, item: NewJob | Flow, before: Ends) -> Ends:
        """Put something after something; what it ends in."""
        return self._place_job(item, before) if isinstance(item, NewJob) else item.place(self, before)

    def name(self, name: str, ends: Ends) -> None:
        """Give what was placed a name."""
        self.named[name] = ends
        if len(ends.jobs) == 1:
            self.nodes[ends.jobs[0]]["name"] = name

    def gather_named(self, name: str) -> Ends:
        """What a named node ends in, as one node: others may wait for it, too."""
        ends = self.named[name] = self.gather(self.named[name])
        return ends

    def gather(self, ends: Ends) -> Ends:
        """One node to wait for instead of many."""
        if len(ends.ids) < 2:
            return ends
        barrier = str(uuid_utils.uuid7())
        self.nodes[barrier] = {"id": barrier, "kind": "barrier", "after": list(ends.ids)}
        return Ends(ends.jobs, (barrier,), is_list=ends.is_list, parts=ends.parts)

    def _place_job(self, job: NewJob, before: Ends) -> Ends:
        if job.id in self.nodes:
            raise ConfigurationError(f"{_which(job)} is in the workflow twice: make one for each place")
        if job.options.unique is not None:
            raise ConfigurationError(f"{_which(job)} has a unique key, which a job of a workflow cannot have")
        node: dict[str, Any] = {"id": job.id}
        after: list[str] = []
        if isinstance(job, DependentJob):
            if any(pending.node is None for pending in job.inputs.values()):
                before = self.gather(before)
            taken = {name: self._taken(job, pending, before) for name, pending in job.inputs.items()}
            node["inputs"] = {name: ends.source for name, ends in taken.items()}
            after = [i for ends in taken.values() for i in ends.ids]
            for ends in taken.values():
                for feeder in ends.jobs:
                    self.nodes[feeder]["feeds"] = True
        if after := list(dict.fromkeys([*before.ids, *after])):
            node["after"] = after
        elif self.after_names:
            node["after_names"] = list(self.after_names)
        if job.options.delay is not None:
            node["delay_s"] = job.options.delay.total_seconds()
        self.jobs.append(job)
        self.nodes[job.id] = node
        return Ends((job.id,), (job.id,))

    def _taken(self, job: NewJob, pending: PendingResult, before: Ends) -> Ends:
        """What an argument is the result of."""
        if pending.node is None:
            if not before.ids:
                raise ConfigurationError(f"{_which(job)} takes previous(), and no job comes before it here")
            return before
        if pending.node not in self.named:
            raise ConfigurationError(
                f'{_which(job)} takes the result of "{pending.node}", which is no node that was added before it. '
                + did_you_mean(pending.node, self.named)
            )
        return self.gather_named(pending.node)


def _which(job: NewJob) -> str:
    return f"job {job.id} of task {job.task}"
