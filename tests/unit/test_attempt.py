"""How an attempt ends, and what is stored of its result or error."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Cancel, Fail, Headrace, InvalidArguments, Retry, Snooze, UnknownTask
from headrace._worker.attempt import (
    MAX_MESSAGE_CHARS,
    MAX_RESULT_BYTES,
    MAX_TRACEBACK_CHARS,
    Attempt,
    clean,
    describe_error,
    error_json,
    pack_result,
)

JOB = "01890000-0000-7000-8000-000000000000"


def handler() -> None:
    """Never called here."""


def attempt(*, attempts: int = 0, max_attempts: int = 3, extras: str | None = None) -> Attempt:
    """A claimed job of a task that retries after a second."""
    claimed = Attempt((JOB, 4, "q", "t", "{}", attempts, max_attempts, 0, 0, 1, extras))
    app = Headrace("postgresql://nobody@localhost:1/none")
    claimed.job_task = app.task(name="t", retry=Retry(delay=timedelta(seconds=1), jitter=0))(handler)
    return claimed


class TestEndings:
    @pytest.mark.parametrize(
        ("error", "outcome", "wait_s", "kind"),
        [
            (ValueError("x"), "retried", 1, "exception"),
            (TimeoutError("x"), "retried", 1, "exception"),
            (asyncio.CancelledError(), "retried", 1, "exception"),
            (SystemExit(1), "retried", 1, "exception"),
            (Snooze(90), "snoozed", 90, None),
            (Cancel("x"), "cancelled", 0, "cancelled"),
            (Fail("x"), "failed", 0, "failed"),
            (UnknownTask("x"), "parked", 0, "unknown task"),
            (InvalidArguments("x"), "failed", 0, "arguments"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
    )
    def test_what_a_handler_raises_decides(
        self, error: BaseException, outcome: str, wait_s: float, kind: str | None
    ) -> None:
        """Each exception has one outcome, for the run that was claimed, with the reason kept."""
        settle = attempt().ended_by(error)
        assert (settle.id, settle.run, settle.outcome, settle.wait_s) == (JOB, 4, outcome, wait_s)
        assert (json.loads(settle.error)["kind"] if settle.error else None) == kind

    def test_the_last_attempt_fails(self) -> None:
        """The one that used the budget up is not retried."""
        settle = attempt(attempts=2).ended_by(ValueError("x"))
        assert (settle.outcome, json.loads(settle.error or "")["message"]) == ("failed", "x")

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (asyncio.CancelledError(), "cancelled"),
            (ValueError("x"), "cancelled"),
            (Snooze(1), "snoozed"),
            (Fail("x"), "failed"),
        ],
        ids=str,
    )
    def test_an_attempt_that_was_asked_to_stop_is_cancelled_unless_it_says_otherwise(
        self, error: BaseException, outcome: str
    ) -> None:
        """What it raises after the request is not its failure; the database cancels what would run again."""
        asked = attempt()
        asked.request_cancel("by hand")
        settle = asked.ended_by(error)
        assert settle.outcome == outcome
        assert outcome != "cancelled" or json.loads(settle.error or "")["message"] == "by hand"

    @pytest.mark.parametrize("error", [asyncio.CancelledError(), TimeoutError(), ValueError("x"), Snooze(1)], ids=repr)
    def test_a_time_out_counts_whatever_the_handler_makes_of_it(self, error: BaseException) -> None:
        """An attempt past its time-out is a failed attempt of kind "timeout"."""
        late = attempt()
        late.timed_out = "too long"
        settle = late.ended_by(error)
        assert settle.outcome == "retried"
        assert json.loads(settle.error or "") | {"traceback": ""} == {
            "kind": "timeout", "type": "TimeoutError", "message": "too long", "traceback": ""
        }  # fmt: skip

    def test_an_attempt_that_a_stopping_worker_cancels_is_handed_back(self) -> None:
        """It spends nothing; an exception of the handler's own still counts."""
        stopped = attempt()
        stopped.handing_back = True
        assert stopped.ended_by(asyncio.CancelledError()).outcome == "handed_back"
        assert stopped.ended_by(ValueError()).outcome == "retried"

    def test_an_unknown_task_s_errors_are_not_retried(self) -> None:
        """Without a task there is no policy: whatever happened, it fails with the reason."""
        unknown = attempt()
        unknown.job_task = None
        assert unknown.ended_by(ValueError("x")).outcome == "failed"

    def test_a_result_that_cannot_be_stored_fails_the_job(self) -> None:
        """It is not run again: it would do its work twice and fail again."""
        settle = attempt().succeeded(object())
        assert settle.outcome == "failed"
        assert json.loads(settle.error or "")["message"].startswith("the handler succeeded, but its result cannot be")

    def test_nothing_is_a_result(self) -> None:
        """None is stored as no result."""
        assert attempt().succeeded(None)[2:] == ("succeeded", 0, None, None, None)

    def test_the_last_progress_is_kept(self) -> None:
        """With whatever outcome is final."""
        reporting = attempt()
        reporting.progress = (1, 2, "half")
        for settle in (reporting.succeeded(1), reporting.failed({}), reporting.cancelled("k", "r")):
            assert json.loads(settle.progress or "") == {"done": 1, "total": 2, "message": "half"}


def contains_itself() -> list[Any]:
    """A list that is its own element."""
    result: list[Any] = []
    result.append(result)
    return result


@dataclass
class Row:
    x: float


class TestResults:
    @pytest.mark.parametrize(
        ("result", "stored"),
        [
            ({"a": [1, "ü", None, True]}, {"a": [1, "ü", None, True]}),
            ([math.nan, math.inf], [None, None]),
            (Row(math.nan), {"x": None}),
            ("a\x00b", "a\ufffdb"),
            ({"\x00": ["\x00", {"deep": "\x00"}]}, {"\ufffd": ["\ufffd", {"deep": "\ufffd"}]}),
            ("\\u0000", "\\u0000"),
            (timedelta(seconds=1), "PT1S"),
            ({1, 2}, [1, 2]),
        ],
        ids=str,
    )
    def test_a_result_is_stored_as_json_that_postgresql_takes(self, result: Any, stored: Any) -> None:
        """What JSONB cannot hold is replaced: a job that succeeded must not fail for a NUL in its output."""
        assert json.loads(pack_result(result)) == stored

    def test_a_result_that_is_too_large_is_refused_with_the_figures(self) -> None:
        """The bound is inclusive."""
        assert len(pack_result("x" * (MAX_RESULT_BYTES - 2))) == MAX_RESULT_BYTES
        with pytest.raises(
            ValueError, match=f"is {MAX_RESULT_BYTES + 1} bytes long, at most {MAX_RESULT_BYTES} are kept"
        ):
            pack_result("x" * (MAX_RESULT_BYTES - 1))

    @pytest.mark.parametrize("make", [object, lambda: "\ud800", lambda: b"\xff", contains_itself])
    def test_what_json_cannot_hold_is_refused(self, make: Any) -> None:
        """Always as a ValueError that says so, whatever the library raises."""
        with pytest.raises(ValueError, match="cannot be stored as JSON: "):
            pack_result(make())


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


def raised(error: BaseException) -> BaseException:
    """The same, with a traceback."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - it is what we want
        return caught


class TestErrors:
    def test_an_error_is_described_by_type_message_and_traceback(self) -> None:
        """Built-in errors by their bare name, others with their module."""
        described = describe_error(raised(ValueError("no luck")))
        assert (described["kind"], described["type"], described["message"]) == ("exception", "ValueError", "no luck")
        assert "raise error" in described["traceback"]
        assert describe_error(Broken())["type"] == f"{__name__}.Broken"

    def test_an_error_that_cannot_be_shown_is_described_all_the_same(self) -> None:
        """A broken __str__ does not hide the failure, nor keep the job from being settled."""
        described = describe_error(raised(Broken()))
        assert described["message"] == "(its message cannot be shown)"
        assert "Broken" in described["traceback"]

    def test_a_huge_traceback_keeps_its_end(self) -> None:
        """The end is where the error is."""

        def recurse(depth: int) -> None:
            if depth == 0:
                raise ValueError("x" * 50_000)
            recurse(depth - 1)

        with pytest.raises(ValueError, match="x") as caught:
            recurse(500)
        stored = json.loads(error_json(describe_error(caught.value)))
        assert len(stored["message"]) == MAX_MESSAGE_CHARS
        assert len(stored["traceback"]) == MAX_TRACEBACK_CHARS
        assert stored["traceback"].endswith("x\n")

    @given(st.text(st.characters(exclude_categories=[])), st.integers(0, 30))
    def test_clean_text_can_be_stored_and_is_bounded(self, text: str, limit: int) -> None:
        """No NUL, no half of a surrogate pair, at most so long; and nothing else is changed."""
        cleaned = clean(text, limit)
        assert len(cleaned) <= limit
        assert "\x00" not in cleaned
        cleaned.encode()
        for before, after in zip(text[:limit], cleaned, strict=True):
            assert before in (after, "\x00") or "\ud800" <= before <= "\udfff"

    @given(st.text(st.characters(exclude_categories=[])))
    def test_any_error_becomes_json_that_postgresql_takes(self, message: str) -> None:
        """Whatever an exception says."""
        stored = error_json({"kind": "exception", "message": message})
        assert "\\u0000" not in stored.replace("\\\\", "")
        json.loads(stored)["message"].encode()
