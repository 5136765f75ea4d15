"""Background jobs for Python on PostgreSQL."""

from headrace.app import Headrace
from headrace.context import Context, current_context, inject
from headrace.errors import (
    AnswerLost,
    AppClosed,
    ConfigurationError,
    DatabaseError,
    DatabaseUnavailable,
    DuplicateJob,
    EmbeddedError,
    EnqueueError,
    HeadraceError,
    InvalidArguments,
    JobCancelled,
    JobError,
    JobFailed,
    JobNotFound,
    LeaseLost,
    QueueFull,
    ResultTimeout,
    SchemaError,
    UnknownQueue,
    UnknownTask,
    WorkerError,
    WrongDatabase,
)
from headrace.job import AttemptInfo, Job, JobInfo, JobOptions, LogLine, NewJob, State, Unique
from headrace.middleware import Middleware
from headrace.outcomes import Cancel, Fail, Outcome, Snooze
from headrace.retention import Keep, Retention
from headrace.retry import Retry
from headrace.task import Task

__version__ = "0.1.0"

__all__ = [
    "AnswerLost",
    "AppClosed",
    "AttemptInfo",
    "Cancel",
    "ConfigurationError",
    "Context",
    "DatabaseError",
    "DatabaseUnavailable",
    "DuplicateJob",
    "EmbeddedError",
    "EnqueueError",
    "Fail",
    "Headrace",
    "HeadraceError",
    "InvalidArguments",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobInfo",
    "JobNotFound",
    "JobOptions",
    "Keep",
    "LeaseLost",
    "LogLine",
    "Middleware",
    "NewJob",
    "Outcome",
    "QueueFull",
    "ResultTimeout",
    "Retention",
    "Retry",
    "SchemaError",
    "Snooze",
    "State",
    "Task",
    "Unique",
    "UnknownQueue",
    "UnknownTask",
    "WorkerError",
    "WrongDatabase",
    "__version__",
    "current_context",
    "inject",
]
