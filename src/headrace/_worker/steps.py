"""The durable steps of one attempt: what earlier attempts recorded is given back, what is new is done and recorded.

The n-th step that a handler asks for is the step with the ordinal n, whatever attempt asks; so all attempts must ask
for the same steps in the same order. The first attempt has nothing to load; later ones load all steps at the first
that is asked for.

A step is recorded by the holder of (job, run, lease) alone, and the record holds the job's row until it is
committed. So whoever claims the job next sees every step of the attempt before, and no two attempts record the same
one. An attempt that was taken back gets LeaseLost from then on: its job runs elsewhere.

A sleep or a wait is recorded when it begins. Then the attempt ends with `Suspended`, which becomes "snoozed" or
"waiting" when it is settled.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import time
from collections.abc import Awaitable, Coroutine
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, get_args, get_origin, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from headrace._store.sql import query
from headrace._worker.attempt import MAX_WAIT_S, pack_result
from headrace.errors import ConfigurationError, EventTimeout, LeaseLost, StepError, StepsChanged
from headrace.job import check_words
from headrace.outcomes import Suspended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace._worker.attempt import Attempt
    from headrace._worker.fenced import HandlerConnections
    from headrace._worker.step_store import StepStore

MAX_STEPS = 10_000
"""A job that asks for more is a loop that should be many jobs."""
_inside: ContextVar[str | None] = ContextVar("headrace_step", default=None)


class Recorded(NamedTuple):
    """A row of load_steps.sql."""

    ordinal: int
    kind: str
    name: str
    run: int
    outcome: str
    result: str | None
    left_s: float | None


class Steps:
    """The steps of one attempt.

    Args:
        attempt: Whose.
        worker_id: Under which lease.
        store: Where they are recorded.
        connections: Where steps with a transaction take theirs from.
    """

    def __init__(self, attempt: Attempt, worker_id: int, store: StepStore, connections: HandlerConnections) -> None:
        self._attempt = attempt
        self._worker_id = worker_id
        self._store = store
        self._connections = connections
        self._loading = asyncio.Lock()
        self._recorded: dict[int, Recorded] | None = {} if attempt.run == 1 else None
        self._loaded_at = time.monotonic()
        self._asked = 0
        self._refusal: BaseException | None = None
        """What every further step gets: the attempt is over."""

    # -- in coroutines --

    async def call(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call the function, or give what it returned to an earlier attempt."""
        kept = _Kept(name, function)
        ordinal, recorded = await self._store.run(self._ask("call", name))
        if recorded is not None:
            return kept.read(recorded.result)
        began = time.monotonic()
        with _step(name):
            returned = function(*args, **kwargs)
            if inspect.isawaitable(returned):
                returned = await returned
        value = kept.take(returned)
        await self._store.run(self._record(ordinal, "call", name, kept.packed, time.monotonic() - began))
        return value

    async def call_in_transaction(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The same, with a connection, in whose transaction the step is recorded."""
        kept = _Kept(name, function)
        ordinal, recorded = await self._store.run(self._ask("call", name))
        if recorded is not None:
            return kept.read(recorded.result)
        began = time.monotonic()
        async with await self._connections.take() as conn:
            with _step(name):
                value = kept.take(await function(conn, *args, **kwargs))
            record = self._record_parameters(ordinal, "call", name, kept.packed, time.monotonic() - began, patient=True)
            cursor = await conn.execute(query("record_step", self._store.schema), record)
            self._check_held(await cursor.fetchall() == [(True,)])
        return value

    async def sleep(self, seconds: float) -> None:
        """End the attempt, unless the sleep is over."""
        _refuse_inside("sleep")
        await self._store.run(self._sleep(seconds))

    async def wait_for_event(self, name: str, timeout_s: float | None) -> Any:
        """Give the event's payload, or end the attempt until it is there."""
        _refuse_inside(name)
        return await self._store.run(self._wait_for_event(name, timeout_s))

    # -- in threads and process tasks --

    def call_sync(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """`call`."""
        kept = _Kept(name, function)
        ordinal, recorded = self._store.run_sync(self._ask("call", name), "step")
        if recorded is not None:
            return kept.read(recorded.result)
        began = time.monotonic()
        with _step(name):
            returned = _refuse_coroutine(name, function(*args, **kwargs))
        value = kept.take(returned)
        self._store.run_sync(self._record(ordinal, "call", name, kept.packed, time.monotonic() - began), "step")
        return value

    def call_in_transaction_sync(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """`call_in_transaction`."""
        kept = _Kept(name, function)
        ordinal, recorded = self._store.run_sync(self._ask("call", name), "step_in_transaction")
        if recorded is not None:
            return kept.read(recorded.result)
        began = time.monotonic()
        with self._connections.take_sync() as conn:
            with _step(name):
                value = kept.take(_refuse_coroutine(name, function(conn, *args, **kwargs)))
            record = self._record_parameters(ordinal, "call", name, kept.packed, time.monotonic() - began, patient=True)
            self._check_held(conn.execute(query("record_step", self._store.schema), record).fetchall() == [(True,)])
        return value

    def sleep_sync(self, seconds: float) -> None:
        """`sleep`."""
        _refuse_inside("sleep")
        self._store.run_sync(self._sleep(seconds), "sleep")

    def wait_for_event_sync(self, name: str, timeout_s: float | None) -> Any:
        """`wait_for_event`."""
        _refuse_inside(name)
        return self._store.run_sync(self._wait_for_event(name, timeout_s), "wait_for_event")

    # -- on the store's loop --

    async def _ask(self, kind: str, name: str) -> tuple[int, Recorded | None]:
        """The ordinal of the next step, and what is recorded of it.

        Raises:
            StepsChanged: It is another one.
        """
        self._refuse(name)
        self._asked += 1
        ordinal = self._asked  # before anything is awaited: steps that start together keep their order
        recorded = (await self._load()).get(ordinal)
        if recorded is not None and (recorded.kind, recorded.name) != (kind, name):
            self._refusal = self._changed(recorded, kind, name)
            raise self._refusal
        return ordinal, recorded

    def _refuse(self, name: str) -> None:
        if self._refusal is not None:
            raise self._refusal
        check_words("step", name)
        if self._attempt.settled:
            raise ConfigurationError(
                f'step "{name}" comes after ctx.transaction(), in which the job has succeeded: put it before'
            )
        if self._asked >= MAX_STEPS:
            raise StepError(f'step "{name}" would be more than {MAX_STEPS}: split the work into jobs')

    async def _load(self) -> dict[int, Recorded]:
        async with self._loading:
            if self._recorded is None:
                rows = await self._store.rows("load_steps", id=self._attempt.id, now=None)
                self._loaded_at = time.monotonic()
                self._recorded = {row[0]: Recorded(*row) for row in rows}
        return self._recorded

    def _changed(self, recorded: Recorded, kind: str, name: str) -> StepsChanged:
        steps = sorted((self._recorded or {}).values())
        listed = ", ".join(f'{step.ordinal} "{step.name}"' for step in steps[:10]) + (", …" if len(steps) > 10 else "")
        return StepsChanged(
            f"step {recorded.ordinal} of job {self._attempt.id} is recorded as {_describe(*recorded[1:3])} "
            f"(by run {recorded.run}), but this handler asks for {_describe(kind, name)}. Recorded: {listed}. The "
            "handler was changed, or the order of its steps depends on what differs between attempts. Deploy a handler "
            "that asks for the recorded steps first, and for new ones after them, and retry the job; or let it do "
            f"everything anew: headrace jobs retry --from-start {self._attempt.id}"
        )

    async def _record(self, ordinal: int, kind: str, name: str, packed: str | None, took_s: float | None) -> None:
        parameters = self._record_parameters(ordinal, kind, name, packed, took_s)
        self._check_held(await self._store.rows("record_step", **parameters) == [(True,)])

    def _record_parameters(
        self, ordinal: int, kind: str, name: str, packed: str | None, took_s: float | None,
        *, wait_s: float | None = None, patient: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        return {
            "worker_id": self._worker_id, "id": self._attempt.id, "run": self._attempt.run, "ordinal": ordinal,
            "kind": kind, "name": name, "result": packed, "took_s": took_s, "wait_s": wait_s, "patient": patient,
            "again": False, "now": None,
        }  # fmt: skip

    def _check_held(self, held: bool) -> None:
        if not held:
            self._refusal = LeaseLost(
                f"job {self._attempt.id} is no longer this worker's (run {self._attempt.run} was taken back): "
                "the step is not recorded"
            )
            raise self._refusal

    async def _sleep(self, seconds: float) -> None:
        ordinal, recorded = await self._ask("sleep", "sleep")
        if recorded is None:
            wait_s = min(max(seconds, 0.0), MAX_WAIT_S)
            parameters = self._record_parameters(ordinal, "sleep", "sleep", None, None, wait_s=wait_s)
            self._check_held(await self._store.rows("record_step", **parameters) == [(True,)])
        else:
            wait_s = (recorded.left_s or 0.0) - (time.monotonic() - self._loaded_at)
        if wait_s > 0:
            self._suspend(Suspended(wait_s))

    def _suspend(self, suspended: Suspended) -> NoReturn:
        self._refusal = suspended
        raise suspended

    async def _wait_for_event(self, name: str, timeout_s: float | None) -> Any:
        ordinal, recorded = await self._ask("event", check_words("event", name))
        if recorded is None or recorded.outcome == "waiting":
            rows = await self._store.rows(
                "await_event", worker_id=self._worker_id, id=self._attempt.id, run=self._attempt.run, ordinal=ordinal,
                event=name, timeout_s=MAX_WAIT_S if timeout_s is None else min(max(timeout_s, 0.0), MAX_WAIT_S),
                now=None,
            )  # fmt: skip
            self._check_held(bool(rows))
            outcome, payload, left_s = rows[0]
        else:
            outcome, payload, left_s = recorded.outcome, recorded.result, 0.0
        match outcome:
            case "waiting":
                self._suspend(Suspended(left_s, name))
            case "timed_out":
                raise EventTimeout(f'the event "{name}" was not emitted in the time that job {self._attempt.id} waited')
        return None if payload is None else json.loads(payload)


class _Kept:
    """What a step's function returns, as it is stored, and as later attempts read it."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        _refuse_inside(name)
        self._name = name
        self._adapter = _adapter(_return_type(name, function))
        self.packed: str | None = None

    def take(self, returned: Any) -> Any:
        """Store what was returned, and give it back as later attempts will see it."""
        try:
            self.packed = "null" if returned is None else pack_result(returned)
        except ValueError as error:
            raise StepError(f'step "{self._name}" was done, but its result {error}') from None
        return self.read(self.packed)

    def read(self, packed: str | None) -> Any:
        """What is stored, as the function's annotation has it."""
        try:
            return self._adapter.validate_json(packed or "null")
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, problem["loc"]))
            raise StepError(
                f'what step "{self._name}" returned does not fit the function\'s return annotation: '
                f"{f'{where}: ' if where else ''}{problem['msg']}"
            ) from None


@lru_cache(maxsize=1024)
def _cached_adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(annotation)
    except TypeError:  # with metadata that cannot be hashed
        return TypeAdapter(annotation)


def _return_type(name: str, function: Callable[..., Any]) -> Any:
    """What a call of the function gives, awaited; anything if it does not say.

    Raises:
        ConfigurationError: It says what cannot be looked up, or stored.
    """
    called = inspect.unwrap(function)
    while isinstance(called, functools.partial):
        called = inspect.unwrap(called.func)
    if isinstance(called, type):
        stated: dict[str, Any] = {"return": called}
    else:
        if not hasattr(called, "__annotations__"):  # an object that can be called
            called = type(called).__call__
        stated = getattr(called, "__annotations__", {})
    if "return" not in stated:
        return Any
    holder = SimpleNamespace(__annotations__={"return": stated["return"]})
    try:
        annotation = get_type_hints(holder, getattr(called, "__globals__", {}), include_extras=True)["return"]
        if get_origin(annotation) in (Awaitable, Coroutine):
            annotation = get_args(annotation)[-1]
        _adapter(annotation)
    except NameError as error:
        raise ConfigurationError(
            f'step "{name}": the return type of {called!r} cannot be looked up at run time ({error}): define it at the '
            "top of a module, outside of `if TYPE_CHECKING`"
        ) from error
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ConfigurationError(
            f'step "{name}": what {called!r} returns, {stated["return"]}, cannot be stored as JSON: return what can'
        ) from error
    return annotation


def _refuse_inside(name: str) -> None:
    if (outer := _inside.get()) is not None:
        raise ConfigurationError(
            f'step "{name}" is asked for inside of step "{outer}", which stores its result as a whole: ask for steps '
            "in the handler, one after the other"
        )


@contextmanager
def _step(name: str) -> Iterator[None]:
    token = _inside.set(name)
    try:
        yield
    finally:
        _inside.reset(token)


def _refuse_coroutine(name: str, returned: Any) -> Any:
    if inspect.iscoroutine(returned):
        returned.close()
        raise ConfigurationError(
            f'step "{name}" is a coroutine function: await ctx.step(...) in a task that is `async def`'
        )
    return returned


def _describe(kind: str, name: str) -> str:
    return {"sleep": "a sleep", "event": f'a wait for the event "{name}"'}.get(kind, f'"{name}"')
