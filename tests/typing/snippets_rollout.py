"""Triggers as users write them, for mypy only: nothing here runs. See snippets.py."""

from __future__ import annotations

from typing import assert_type
from uuid import UUID

from headrace import Context, Headrace, Job, OpenFeatureFlags, Rollout, RolloutResult, Trigger, inject

app = Headrace()
rollout = Rollout(app)


class Client: ...


@app.task
async def update(match_id: int, note: str = "") -> list[str]:
    """A task that needs nothing from a worker."""
    return [note] * match_id


@app.task
def in_a_thread(match_id: int) -> int:
    """A plain function."""
    return match_id


@app.task
async def needy(ctx: Context, match_id: int, client: Client = inject()) -> str:
    """A task that does."""
    return str(match_id)


async def later(match_id: int) -> float:
    """A direct path that is a coroutine function."""
    return match_id / 2


def now(match_id: int) -> bytes:
    """One that is a function."""
    return bytes(match_id)


def nothing(match_id: int) -> None:
    """One that returns nothing."""


itself = rollout.trigger("itself", update, key="match_id")
plain = rollout.trigger("plain", in_a_thread)
awaited = rollout.trigger("awaited", in_a_thread, direct=later)
called = rollout.trigger("called", in_a_thread, direct=now)
silent = rollout.trigger("silent", in_a_thread, direct=nothing)
filled = rollout.trigger("filled", needy, direct=later)


async def results() -> None:
    """The job gives what the task returns, the value is what the direct path returns."""
    assert_type(await itself.run(1), RolloutResult[list[str], list[str]])
    assert_type((await plain.run(1)).value, int | None)
    assert_type((await awaited.run(1)).value, float | None)
    assert_type((await called.run(1)).value, bytes | None)
    assert_type((await silent.run(1)).job, Job[int] | None)
    assert_type((await filled.run(match_id=1)).job, Job[str] | None)
    assert_type(awaited.run_sync(1), RolloutResult[int, float])
    if (went := await itself.run(1)).job is not None:
        assert_type(await went.job.result(), list[str])


async def options() -> None:
    """Keys and options keep the types."""
    await itself.by(7).run(1, note="x")
    await itself.by(UUID(int=7)).run(1)
    assert_type(filled.using(needy.options(priority=1)).run_sync(1), RolloutResult[str, float])
    itself.by(1.5)  # type: ignore[arg-type]
    filled.using(update)  # type: ignore[arg-type]


async def wrong_calls() -> None:
    """As with `enqueue`."""
    await itself.run("x")  # type: ignore[arg-type]
    await itself.run()  # type: ignore[call-arg]
    await itself.run(1, note=2)  # type: ignore[arg-type]
    filled.run_sync(Context, 1)  # type: ignore[arg-type, call-arg]


def declarations() -> None:
    """Options have their types. That a task needs a direct path, and which fits, is checked when it is declared."""
    rollout.trigger("a", update, direct="later")  # type: ignore[call-overload]
    rollout.trigger("b", update, kee="match_id")  # type: ignore[call-overload]
    rollout.trigger("c", "update")  # type: ignore[call-overload]
    Rollout(app, flags=OpenFeatureFlags())
    Rollout(app, flags="USE_BG_JOBS")  # type: ignore[arg-type]


def handed_on(trigger: Trigger[[int], str, float]) -> None:
    """A trigger's type can be written."""
    trigger.run_sync(1)


handed_on(filled)
