"""Workflows: jobs that wait for other jobs.

`chain` and `group` are enough for most; each may hold the other. `Workflow` names its nodes, for any graph without
cycles, and `Batch` counts jobs that are added while it runs. `Headrace.start` starts one, all of it or nothing.

What is started is a list of jobs and a list of nodes: for each job, those that it waits for. Where many wait for
many, a barrier stands between them, a node without a job, so that there are not as many dependencies as pairs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal
from uuid import UUID

import uuid_utils

from headrace._pending import PendingResult
from headrace._plan import NOTHING, Ends, Plan, join
from headrace.errors import ConfigurationError, did_you_mean
from headrace.job import DependentJob, NewJob

Policy = Literal["stop", "continue"]
_POLICIES = ("stop", "continue")
MAX_NAME_CHARS = 200


def previous() -> Any:
    """As an argument of a job in a workflow: the result of what comes before it.

    After a job, or a chain that ends in one, that is its result; after a group, the list of the results of the jobs
    that it ends in, in the order in which they were given. The result of a job that did not succeed is None: jobs
    that run after one (where the policy is "continue") should take it as such.
    """
    return PendingResult(None)


class Flow(ABC):
    """Jobs in an order: what `chain` and `group` make."""

    def __init__(self, items: Iterable[NewJob | Flow]) -> None:
        self.items = [_check_item(item) for item in items]
        self.alone: Workflow | None = None  # once it was started by itself
        if not self.items:
            raise ConfigurationError(f"a {type(self).__name__.lower()} needs at least one job")

    def then(self, *items: NewJob | Flow) -> Chain:
        """This, and then these, one after the other."""
        return Chain([self, *items])

    @abstractmethod
    def place(self, plan: Plan, before: Ends) -> Ends:
        """Put its jobs into a plan, after others; what it ends in."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.items)}>"


class Chain(Flow):
    """One after the other."""

    def place(self, plan: Plan, before: Ends) -> Ends:
        """Each after the one before it."""
        for item in self.items:
            before = plan.place(item, before)
        return before


class Group(Flow):
    """All at the same time; it is over when all of them are."""

    def place(self, plan: Plan, before: Ends) -> Ends:
        """All after what comes before the group."""
        if len(self.items) > 1:
            before = plan.gather(before)
        ends = [plan.place(item, before) for item in self.items]
        jobs = tuple(job for end in ends for job in end.jobs)
        return Ends(jobs, jobs, is_list=True)


def chain(*items: NewJob | Flow) -> Chain:
    """Jobs, groups and chains, one after the other."""
    return Chain(items)


def group(*items: NewJob | Flow | Iterable[NewJob | Flow]) -> Group:
    """Jobs, chains and groups at the same time; also one iterable of them: ``group(task.job(i) for i in numbers)``."""
    if len(items) == 1 and not isinstance(items[0], NewJob | Flow):
        return Group(items[0])
    return Group(items)  # type: ignore[arg-type]  # _check_item refuses others


class Workflow:
    """Named nodes, each after those that it waits for.

    Args:
        name: Appears in lists; need not be unique.
        flow: A chain or group that it begins with, if there is one.
        policy: What becomes of jobs that wait for one that failed or was cancelled. "stop" (the default: nobody wants
            to run on what is missing): they are cancelled, with all that waits for them, and say why; other branches
            go on. "continue": they run all the same.
        on_success: A job that is enqueued when all jobs have succeeded.
        on_failure: The same, when all have ended and not all succeeded.
        on_finished: The same, whatever became of them.

    Callbacks are enqueued exactly once each time that the workflow finishes: again, if it is retried and finishes
    again.

    Attributes:
        id: UUID version 7; starting the same object again starts nothing new.
    """

    def __init__(
        self,
        name: str | None = None,
        flow: Flow | None = None,
        *,
        policy: Policy = "stop",
        on_success: NewJob | None = None,
        on_failure: NewJob | None = None,
        on_finished: NewJob | None = None,
    ) -> None:
        if policy not in _POLICIES:
            raise ConfigurationError(f'Workflow(policy="{policy}"): must be one of {", ".join(_POLICIES)}')
        self.id = UUID(str(uuid_utils.uuid7()))
        self.name = None if name is None else _check_name(name)
        self.policy = policy
        self.callbacks = {
            kind: _check_callback(kind, job)
            for kind, job in (("on_success", on_success), ("on_failure", on_failure), ("on_finished", on_finished))
            if job is not None
        }
        self._flow = None if flow is None else _check_item(flow)
        self._nodes: dict[str, tuple[NewJob | Flow, tuple[str, ...]]] = {}

    def add(self, name: str, item: NewJob | Flow, *, after: str | Sequence[str] = ()) -> Workflow:
        """Add a node.

        Args:
            name: Unique in the workflow.
            item: A job; or a chain or group, which is then known by this name.
            after: The names of nodes that it waits for; those whose results it takes need not be named.

        Raises:
            ConfigurationError: The name is taken, or it waits for a node that was not added before.
        """
        names = (after,) if isinstance(after, str) else tuple(after)
        if _check_name(name) in self._nodes:
            raise ConfigurationError(f'workflow node "{name}" was added already: give it another name')
        for other in names:
            self.result(other)
        self._nodes[name] = (_check_item(item), names)
        return self

    def result(self, name: str) -> Any:
        """As an argument of a job: the result of a node that was added before; see `previous`."""
        if name not in self._nodes:
            raise ConfigurationError(f'no node named "{name}" was added before. {did_you_mean(name, self._nodes)}')
        return PendingResult(name)

    def plan(self) -> Plan:
        """What is to be started."""
        plan = Plan()
        if self._flow is not None:
            plan.outcome = plan.place(self._flow, NOTHING)
        waited_for: set[str] = set()
        for name, (item, after) in self._nodes.items():
            befores = [plan.gather_named(other) for other in after]
            ends = plan.place(item, befores[0] if len(befores) == 1 else join(befores))
            plan.name(name, ends)
            waited_for |= {*after, *_results_in(item)}
        if not plan.jobs:
            raise ConfigurationError(f"workflow {self.name or self.id} has no jobs: add some before it is started")
        plan.outcomes = {name: ends for name, ends in plan.named.items() if name not in waited_for}
        return plan


class Batch(Workflow):
    """Jobs that are counted together, with callbacks; more can be added while it runs (`StartedWorkflow.add`).

    Args:
        jobs: Those to begin with: at least one. It finishes when all that are in it have.
        name: As for `Workflow`, and so are the rest; its jobs do not depend on each other.
    """

    def __init__(
        self,
        jobs: Iterable[NewJob | Flow],
        *,
        name: str | None = None,
        policy: Policy = "stop",
        on_success: NewJob | None = None,
        on_failure: NewJob | None = None,
        on_finished: NewJob | None = None,
    ) -> None:
        super().__init__(
            name, Group(jobs), policy=policy, on_success=on_success, on_failure=on_failure, on_finished=on_finished
        )


def as_workflow(given: Workflow | Flow) -> Workflow:
    """A workflow around a chain or group.

    Raises:
        ConfigurationError: It is neither.
    """
    if isinstance(given, Flow):
        if given.alone is None:
            given.alone = Workflow(None, given)
        return given.alone
    if not isinstance(given, Workflow):
        raise ConfigurationError(f"a Workflow, a chain or a group can be started, not {given!r}: wrap it in chain(...)")
    return given


def _check_item(item: Any) -> NewJob | Flow:
    if not isinstance(item, NewJob | Flow):
        raise ConfigurationError(
            f"a workflow is made of what task.job(...), chain(...) and group(...) make, not of {item!r}"
        )
    return item


def _check_name(name: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS or "\x00" in name:
        raise ConfigurationError(f"a name must be a string of 1 to {MAX_NAME_CHARS} characters, not {name!r:.60}")
    return name


def _check_callback(kind: str, job: NewJob) -> NewJob:
    if not isinstance(job, NewJob) or isinstance(job, DependentJob):
        raise ConfigurationError(f"{kind} must be what task.job(...) makes, and can take no results, not {job!r}")
    if job.options.unique is not None:
        raise ConfigurationError(f"{kind} has a unique key, which a job of a workflow cannot have")
    return job


def _results_in(item: NewJob | Flow) -> set[str]:
    """The named nodes whose results are taken."""
    if isinstance(item, Flow):
        return {name for inner in item.items for name in _results_in(inner)}
    inputs = item.inputs.values() if isinstance(item, DependentJob) else ()
    return {pending.node for pending in inputs if pending.node is not None}
