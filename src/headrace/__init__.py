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
    EventTimeout,
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
    StepError,
    StepsChanged,
    UnknownQueue,
    UnknownTask,
    WorkerError,
    WrongDatabase,
)
from headrace.event import EventInfo
from headrace.flags import EnvironmentFlags, Flags, OpenFeatureFlags
from headrace.job import AttemptInfo, Job, JobInfo, JobOptions, LogLine, NewJob, State, StepInfo, Unique
from headrace.middleware import Middleware
from headrace.outcomes import Cancel, Fail, Outcome, Snooze, Suspended
from headrace.retention import Keep, Retention
from headrace.retry import Retry
from headrace.rollout import Rollout
from headrace.task import Task
from headrace.trigger import RolloutMode, RolloutResult, Trigger

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
    "EnvironmentFlags",
    "EventInfo",
    "EventTimeout",
    "Fail",
    "Flags",
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
    "OpenFeatureFlags",
    "Outcome",
    "QueueFull",
    "ResultTimeout",
    "Retention",
    "Retry",
    "Rollout",
    "RolloutMode",
    "RolloutResult",
    "SchemaError",
    "Snooze",
    "State",
    "StepError",
    "StepInfo",
    "StepsChanged",
    "Suspended",
    "Task",
    "Trigger",
    "Unique",
    "UnknownQueue",
    "UnknownTask",
    "WorkerError",
    "WrongDatabase",
    "__version__",
    "current_context",
    "inject",
]
