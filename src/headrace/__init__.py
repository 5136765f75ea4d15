"""Background jobs for Python on PostgreSQL."""

from headrace._redact import Secret
from headrace.app import Headrace
from headrace.audit import AuditEntry, acting
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
    UnknownLimit,
    UnknownQueue,
    UnknownSchedule,
    UnknownTask,
    WorkerError,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowOver,
    WrongDatabase,
)
from headrace.event import EventInfo
from headrace.flags import EnvironmentFlags, Flags, OpenFeatureFlags
from headrace.job import AttemptInfo, Job, JobInfo, JobOptions, LogLine, NewJob, State, StepInfo, Unique
from headrace.limits import Breaker, Concurrency, LimitInfo, Order, RateLimit
from headrace.middleware import Middleware
from headrace.outcomes import Cancel, Fail, Outcome, Snooze, Suspended
from headrace.retention import Keep, Retention
from headrace.retry import Retry
from headrace.rollout import Rollout
from headrace.schedule import Schedule, ScheduleTenant, Tick, Upcoming
from headrace.schedules import Schedules
from headrace.started import StartedWorkflow, WorkflowInfo, WorkflowNode
from headrace.task import Task
from headrace.trigger import RolloutMode, RolloutResult, Trigger
from headrace.workflow import Batch, Chain, Group, Workflow, chain, group, previous

__version__ = "0.1.0"

__all__ = [
    "AnswerLost",
    "AppClosed",
    "AttemptInfo",
    "AuditEntry",
    "Batch",
    "Breaker",
    "Cancel",
    "Chain",
    "Concurrency",
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
    "LimitInfo",
    "LogLine",
    "Middleware",
    "NewJob",
    "OpenFeatureFlags",
    "Order",
    "Outcome",
    "QueueFull",
    "RateLimit",
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
    "Secret",
    "Snooze",
    "StartedWorkflow",
    "State",
    "StepError",
    "StepInfo",
    "StepsChanged",
    "Suspended",
    "Task",
    "Tick",
    "Trigger",
    "Unique",
    "UnknownLimit",
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
    "acting",
    "chain",
    "current_context",
    "group",
    "inject",
    "previous",
]
