"""The places where work starts that a `Rollout` decides about.

1. The arguments are validated, whatever the flags say.
2. The rollout reads the flags and decides.
3. In: the job is enqueued. If that fails and it is certain that nothing was enqueued, the work is done directly
   (fallback). If nobody knows (`AnswerLost`), or on the caller's own connection, the error is raised: `_falls_back` has
   the rule and its reasons.
4. Out: the work is done directly, by the caller, as before there was a queue.
"""

from __future__ import annotations

import asyncio
import copy
import enum
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from uuid import UUID

import psycopg

from headrace.errors import AnswerLost, ConfigurationError, DatabaseError, DatabaseUnavailable, QueueFull

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.job import Job
    from headrace.rollout import Rollout
    from headrace.task import Task

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

REACH_S = 3.0
"""How long a call looks for the database before it does the work directly: somebody may be waiting for the caller."""


class RolloutMode(enum.StrEnum):
    """What became of a call."""

    BACKGROUND = "background"
    DIRECT = "direct"
    FALLBACK = "fallback"
    """Direct, because enqueueing failed."""
    ERROR = "error"
    """Enqueueing raised an error to the caller; only in counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutResult(Generic[R, D]):
    """What a trigger did.

    Attributes:
        mode: background, direct or fallback.
        reason: Why, for people.
        job: The job, in the background.
        value: What the direct path returned; None in the background.
    """

    mode: RolloutMode
    reason: str
    job: Job[R] | None = None
    value: D | None = None


class Trigger(Generic[P, R, D]):
    """A place where work starts; `Rollout.trigger` makes it.

    P are its arguments, R is what the job's `result()` gives, D what the direct path returns.

    Attributes:
        name: Its name.
        task: What is enqueued.
    """

    def __init__(
        self,
        rollout: Rollout,
        name: str,
        task: Task[..., ..., R],
        direct: Callable[..., Any] | None,
        key_argument: str | None,
    ) -> None:
        self.name = name
        self.task = task
        self._rollout = rollout
        self._direct = direct
        self._key_argument = key_argument
        self._key: str | None = None

    def by(self, key: str | int | UUID) -> Trigger[P, R, D]:
        """The same trigger for one key: `await trigger.by(user.id).run(…)`."""
        other = copy.copy(self)
        other._key = str(key)  # noqa: SLF001
        return other

    def using(self, task: Task[..., ..., R]) -> Trigger[P, R, D]:
        """The same trigger with other options of its task: `trigger.using(task.options(conn=session)).run(…)`."""
        if task.name != self.task.name:
            raise ConfigurationError(f'trigger "{self.name}" enqueues {self.task}, not {task}')
        other = copy.copy(self)
        other.task = task
        return other

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> RolloutResult[R, D]:
        """Enqueue the work or do it, as the flags say. A direct path that is no coroutine runs in a thread.

        Raises:
            EnqueueError: It was refused: `InvalidArguments` (whatever the flags say) or `DuplicateJob`; on a connection
                of yours `QueueFull`, too.
            AnswerLost: It may be enqueued, or not.
        """
        packed = self.task.arguments.pack(args, kwargs)
        background, reason = await self._rollout.decide_async(self.name, self._key_in(packed))
        mode = RolloutMode.DIRECT
        if background:
            try:
                return self._enqueued(await self._enqueue(*args, **kwargs), reason)
            except Exception as error:
                mode, reason = self._mode_after(error)
                if mode is RolloutMode.ERROR:
                    raise
        self._rollout.record(self.name, mode, reason)
        value = await _call(self._direct_call(packed, args, kwargs))
        return RolloutResult(mode=mode, reason=reason, value=value)

    def run_sync(self, *args: P.args, **kwargs: P.kwargs) -> RolloutResult[R, D]:
        """`run` for code that is not asynchronous. A direct path that is no coroutine runs in the calling thread."""
        packed = self.task.arguments.pack(args, kwargs)
        background, reason = self._rollout.decide(self.name, self._key_in(packed))
        mode = RolloutMode.DIRECT
        if background:
            try:
                return self._enqueued(self._enqueue_sync(*args, **kwargs), reason)
            except Exception as error:
                mode, reason = self._mode_after(error)
                if mode is RolloutMode.ERROR:
                    raise
        self._rollout.record(self.name, mode, reason)
        value = self._direct_call(packed, args, kwargs)()
        if inspect.iscoroutine(value):
            value = self.task.app.run_sync(value)
        return RolloutResult(mode=mode, reason=reason, value=value)

    def _key_in(self, packed: str) -> str | None:
        if self._key is not None or self._key_argument is None:
            return self._key
        value = json.loads(packed).get(self._key_argument)
        return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)

    # -- the background --

    async def _enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        if self._is_in_a_transaction:
            return await self.task.enqueue(*args, **kwargs)
        await _reach(self.task.app)
        return await self.task.enqueue(*args, **kwargs)

    def _enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        if self._is_in_a_transaction:
            return self.task.enqueue_sync(*args, **kwargs)
        return self.task.app.run_sync(self._enqueue(*args, **kwargs))

    @property
    def _is_in_a_transaction(self) -> bool:
        return self.task._conn is not None  # noqa: SLF001

    def _enqueued(self, job: Job[R], reason: str) -> RolloutResult[R, D]:
        self._rollout.record(self.name, RolloutMode.BACKGROUND, f"{reason} (job {job.id})")
        return RolloutResult(mode=RolloutMode.BACKGROUND, reason=reason, job=job)

    def _mode_after(self, error: Exception) -> tuple[RolloutMode, str]:
        """What to do after enqueueing failed, and why: `FALLBACK`, or raise the error."""
        reason = f"enqueueing failed: {type(error).__name__}: {error}"
        if self._falls_back(error):
            return RolloutMode.FALLBACK, reason
        self._rollout.record(self.name, RolloutMode.ERROR, reason)
        return RolloutMode.ERROR, reason

    def _falls_back(self, error: Exception) -> bool:
        """Whether it is certain that nothing was enqueued, and nobody else should hear of it.

        * On the caller's connection, no: an error has broken the transaction, and with it what the caller has written.
          The direct path would either work on what is rolled back, or stay behind when it is.
        * A lost answer, no: the work might be done twice.
        * The database is away, unfit or refuses the statement, or the queue is full: yes.
        * Refused arguments, a duplicate, an app that is closed or wrongly set up, an error of a middleware: no.
        """
        failed = isinstance(error, DatabaseError | QueueFull | psycopg.Error)
        return failed and not self._is_in_a_transaction and not isinstance(error, AnswerLost)

    # -- the direct path --

    def _direct_call(self, packed: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> partial[Any]:
        if self._direct is not None:
            return partial(self._direct, *args, **kwargs)
        values = self.task.arguments.unpack(packed)
        positional = self.task.arguments.split_positional(values)
        return partial(self.task.handler, *positional, **values)

    def __repr__(self) -> str:
        return f"<Trigger {self.name}>"


async def _reach(app: Headrace) -> None:
    """Make sure that the database is there, sending nothing.

    Raises:
        DatabaseUnavailable: It is not.
    """
    try:
        async with asyncio.timeout(REACH_S), (await app.database()).connection("rollout"):
            return
    except TimeoutError as error:
        raise DatabaseUnavailable(f"no connection to the database was to be had within {REACH_S:g} seconds") from error


async def _call(call: partial[Any]) -> Any:
    value = call() if inspect.iscoroutinefunction(call) else await asyncio.to_thread(call)
    return await value if inspect.iscoroutine(value) else value
