"""Log lines that say which job they are of: structlog's and the standard library's, as JSON or for a console.

`configure` sets both up for a whole process; ``headrace worker --log-format json`` calls it, in its processes for
process tasks too. A program with a logging set-up of its own puts `add_job` among its structlog processors instead.

What the job's task marks as secret is hidden in all of it, and so are fields whose names say that they are secret.

The job is found when a line is written, from the context variable that handlers and their threads run with: jobs that
log nothing cost nothing.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog

from headrace._redact import HIDDEN, NO_MARKS
from headrace.context import current_context, hide_secrets, is_running_here

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

    from headrace.context import RunningJob


class Process:
    """Names the process in every line.

    Attributes:
        who: What to call it; may change.
    """

    def __init__(self, who: str | None) -> None:
        self.who = who or ""

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Add it, if it has a name."""
        if self.who:
            event["process"] = self.who
        return event


def configure(
    log_format: Literal["json", "console"] = "json",
    *,
    level: str = "info",
    who: str | None = None,
    stream: TextIO | None = None,
) -> Process:
    """Write every line of this process, structlog's and the standard library's, in one format.

    Args:
        log_format: "json": one object a line; "console": for people.
        level: The least level of lines that are written.
        who: What to call this process in each line.
        stream: Where to. Default: standard error.

    Returns:
        Where the name of the process can be changed.
    """
    process = Process(who)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_job,
        add_trace,
        process,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.UnicodeDecoder(),
            hide,  # here as well: other handlers, Sentry's among them, get the fields from the record
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _drop_our_own, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(log_format, colours=target.isatty()),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    return process


def _drop_our_own(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event.pop("headrace_job", None)
    return event


def _rendering(log_format: Literal["json", "console"], *, colours: bool) -> list[Processor]:
    if log_format == "console":
        return [
            hide,
            structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback),
            _hide_line,
        ]
    # Tracebacks as text, without the frames' variables: those may be secrets.
    return [
        structlog.processors.format_exc_info,
        hide,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(default=_shown),
    ]


def add_job(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor: adds the job that the line is about, if there is one.

    The fields are job_id, attempt, task and queue, and tenant and correlation_id if the job has them. One that the line
    gives itself stays as it is.
    """
    job = _job_of(event)
    if job is None:
        return event
    event.setdefault("job_id", str(job.id))
    event.setdefault("attempt", job.attempt)
    event.setdefault("task", job.task)
    event.setdefault("queue", job.queue)
    if job.tenant is not None:
        event.setdefault("tenant", job.tenant)
    if job.correlation_id is not None:
        event.setdefault("correlation_id", job.correlation_id)
    return event


def _job_of(event: EventDict) -> RunningJob | None:
    describe = getattr(event.get("_record"), "headrace_job", None)  # the worker's own lines about an attempt
    if describe is not None:
        job: RunningJob = describe()
        return job
    return current_context().job if is_running_here() else None


def hide(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor: hides secrets; put it behind what makes texts of exceptions, before what renders."""
    named = NO_MARKS.redact_named({key: value for key, value in event.items() if key != "exc_info"})
    event.update({key: _hide_in(value) for key, value in named.items()})
    return event


def _hide_in(value: Any) -> Any:
    match value:
        case str():
            return hide_secrets(value)
        case bool() | None:
            return value
        case int() | float():
            return value if hide_secrets(str(value)) == str(value) else HIDDEN
        case dict():
            return {key: _hide_in(item) for key, item in value.items()}
        case list() | tuple():
            return [_hide_in(item) for item in value]
        case _:
            return value


def _hide_line(logger: WrappedLogger, method: str, line: Any) -> str:
    """For people it need not be JSON, so the whole line is searched: what objects say of themselves, and tracebacks."""
    return hide_secrets(line)


def _shown(value: object) -> str:
    """What JSON has no form for."""
    return hide_secrets(repr(value))


def add_trace(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor: adds trace_id and span_id while an OpenTelemetry span is current."""
    api: Any = sys.modules.get("opentelemetry.trace")  # nobody traces who has not imported it
    if api is not None and (span := api.get_current_span().get_span_context()).is_valid:
        event.setdefault("trace_id", api.format_trace_id(span.trace_id))
        event.setdefault("span_id", api.format_span_id(span.span_id))
    return event
