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
    FilterError,
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
    UnknownOperation,
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
from headrace.filter import Filter
from headrace.flags import EnvironmentFlags, Flags, OpenFeatureFlags
from headrace.job import AttemptInfo, Job, JobInfo, JobOptions, LogLine, NewJob, State, StepInfo, Unique
from headrace.limits import Breaker, Concurrency, LimitInfo, Order, RateLimit
from headrace.middleware import Middleware
from headrace.operations import Operation
from headrace.outcomes import Cancel, Fail, Outcome, Snooze, Suspended
from headrace.retention import Keep, Retention
from headrace.retry import Retry
from headrace.rollout import Rollout
from headrace.schedule import Schedule, ScheduleTenant, Tick, Upcoming
from headrace.schedules import Schedules
from headrace.search import Estimate, FailureGroup, JobPage
from headrace.started import StartedWorkflow, WorkflowInfo, WorkflowNode
from headrace.task import Task
from headrace.trigger import RolloutMode, RolloutResult, Trigger
from headrace.why import Reason, Why
from headrace.workflow import Batch, Chain, Group, Workflow, chain, group, previous

__version__ = "0.1.0"

__all__ = [
    "AnswerLost",
    "AppClosed",
    "AttemptInfo",
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
    "Estimate",
    "EventInfo",
    "EventTimeout",
    "Fail",
    "FailureGroup",
    "Filter",
    "FilterError",
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
    "JobPage",
    "Keep",
    "LeaseLost",
    "LimitInfo",
    "LogLine",
    "Middleware",
    "NewJob",
    "OpenFeatureFlags",
    "Operation",
    "Order",
    "Outcome",
    "QueueFull",
    "RateLimit",
    "Reason",
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
    "StepError",
    "StepInfo",
    "StepsChanged",
    "Suspended",
    "Task",
    "Tick",
    "Trigger",
    "Unique",
    "UnknownLimit",
    "UnknownOperation",
    "UnknownQueue",
    "UnknownSchedule",
    "UnknownTask",
    "Upcoming",
    "Why",
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
