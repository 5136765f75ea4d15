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
    UnknownSchedule,
    UnknownTask,
    WorkerError,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowOver,
    WrongDatabase,
)
from headrace.flags import EnvironmentFlags, Flags, OpenFeatureFlags
from headrace.job import AttemptInfo, Job, JobInfo, JobOptions, LogLine, NewJob, State, Unique
from headrace.middleware import Middleware
from headrace.outcomes import Cancel, Fail, Outcome, Snooze
from headrace.retention import Keep, Retention
from headrace.retry import Retry
from headrace.rollout import Rollout
from headrace.schedule import Schedule, Schedules, ScheduleTenant, Tick, Upcoming
from headrace.started import StartedWorkflow, WorkflowInfo, WorkflowNode
from headrace.task import Task
from headrace.trigger import RolloutMode, RolloutResult, Trigger
from headrace.workflow import Batch, Chain, Group, Workflow, chain, group, previous

__version__ = "0.1.0"

__all__ = [
    "AnswerLost",
    "AppClosed",
    "AttemptInfo",
    "Batch",
    "Cancel",
    "Chain",
    "ConfigurationError",
    "Context",
    "DatabaseError",
    "DatabaseUnavailable",
    "DuplicateJob",
    "EmbeddedError",
    "EnqueueError",
    "EnvironmentFlags",
    "Fail",
    "Flags",
    "Group",
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
    "Schedule",
    "ScheduleTenant",
    "Schedules",
    "SchemaError",
    "Snooze",
    "StartedWorkflow",
    "State",
    "Task",
    "Tick",
    "Trigger",
    "Unique",
    "UnknownQueue",
    "UnknownSchedule",
    "UnknownTask",
    "Upcoming",
    "WorkerError",
    "Workflow",
    "WorkflowFailed",
    "WorkflowInfo",
    "WorkflowNode",
    "WorkflowNotFound",
    "WorkflowOver",
    "WrongDatabase",
    "__version__",
    "chain",
    "current_context",
    "group",
    "inject",
    "previous",
]
