"""Every error that headrace raises, as one tree.

::

    HeadraceError
    ├── ConfigurationError        the app, a task or an option is declared wrongly
    │   ├── UnknownTask           no task of this name is registered
    │   ├── UnknownQueue          no registered task uses this queue
    │   └── UnknownSchedule       there is no schedule, or tenant of one, of this name
    │   ├── UnknownLimit          there is no limit of this name
    │   └── UnknownWebhook        there is no webhook of this name
    ├── DatabaseError             the database cannot be used
    │   ├── DatabaseUnavailable   it does not answer, or refuses us
    │   │   └── AnswerLost        nobody knows whether these jobs were enqueued
    │   ├── SchemaError           its schema is missing, older or newer than this code
    │   ├── WrongDatabase         a connection that is given is not to the job's database
    │   └── EmbeddedError         the embedded PostgreSQL cannot start, stop or be shared
    ├── FilterError               a filter cannot be read
    ├── UnknownOperation          there is no operation of this number
    ├── AppClosed                 the app was closed before this call
    ├── EnqueueError              a job was refused; nothing was enqueued
    │   ├── InvalidArguments      the arguments do not fit the task, or cannot be stored
    │   ├── DuplicateJob          its unique key is held and on_conflict is "reject"
    │   ├── QueueFull             the queue holds as many jobs as it may
    │   └── WorkflowOver          nothing can be added to the workflow: it is over, or does not exist
    ├── JobError                  what `result()` raises when there is no result
    │   ├── JobNotFound           no job has this id (any more)
    │   ├── JobFailed             the job failed for good
    │   ├── JobCancelled          the job was cancelled
    │   ├── WorkflowNotFound      no workflow has this id (any more)
    │   ├── WorkflowFailed        not all of the workflow's jobs succeeded
    │   └── ResultTimeout         the job had not finished in time (also a TimeoutError)
    ├── StepError                 a durable step cannot be recorded, or cannot be what it was recorded as
    │   ├── StepsChanged          the handler asks for other steps than an earlier attempt recorded
    │   └── EventTimeout          the awaited event was not emitted in time (also a TimeoutError)
    ├── WebhookError              a delivery of a webhook
    │   ├── WebhookRefused        was not accepted, or may not be sent there
    │   └── WebhookUntrusted      that was received is not to be trusted
    ├── AccessError               somebody is not let in, or there is no such user or key
    │   ├── SignInRefused         name and password, or the link, let nobody in
    │   │   └── TooManyTries      too many of them: again later
    │   ├── InvalidPassword       a password that nobody may choose
    │   ├── UnknownUser           there is no user of this name
    │   └── UnknownKey            there is no key of this name that counts
    ├── LeaseLost                 this worker no longer holds the attempt, or its lease
    └── WorkerError               a worker cannot start or go on

A message says what happened, to which object, and what to do next.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.job import NewJob
    from headrace.started import WorkflowInfo


class HeadraceError(Exception):
    """The base of all errors of headrace."""


class ConfigurationError(HeadraceError):
    """The app, a task or an option is declared wrongly."""


class UnknownTask(ConfigurationError):
    """No task of this name is registered."""


class UnknownQueue(ConfigurationError):
    """No registered task uses this queue."""


class UnknownSchedule(ConfigurationError):
    """There is no schedule of this name, or it has no such tenant."""


class UnknownLimit(ConfigurationError):
    """There is no limit, or no breaker, of this name."""


class UnknownWebhook(ConfigurationError):
    """There is no webhook of this name."""


class DatabaseError(HeadraceError):
    """The database cannot be used."""


class DatabaseUnavailable(DatabaseError):
    """The database does not answer in time, or refuses the connection.

    Attributes:
        unanswered: Whether a statement was sent whose answer never came, so that it may have taken effect.
    """

    unanswered = False


class AnswerLost(DatabaseUnavailable):
    """The answer to an enqueue was lost, and so was the look-up after it: the jobs are there, or not.

    Attributes:
        jobs: Give them to `Headrace.enqueue_many` later: what is there already is not enqueued again.
    """

    unanswered = True

    def __init__(self, message: str, jobs: list[NewJob]) -> None:
        super().__init__(message)
        self.jobs = jobs

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.jobs)


class SchemaError(DatabaseError):
    """The database's headrace schema is missing, or older or newer than this code."""


class WrongDatabase(DatabaseError):
    """A connection that was given leads to another database than the job's."""


class EmbeddedError(DatabaseError):
    """The embedded PostgreSQL cannot be started, stopped or shared."""


class FilterError(HeadraceError):
    """A filter cannot be read.

    Attributes:
        problem: What is wrong, and what to write instead.
        text: The filter.
        position: Where in it, from 0.
    """

    def __init__(self, problem: str, text: str, position: int) -> None:
        super().__init__(f"{problem} (character {position + 1} of the filter)")
        self.problem = problem
        self.text = text
        self.position = position

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.text, self.position)

    def pointer(self) -> str:
        """The filter, with a mark below the place."""
        line = "".join(character if character.isprintable() else " " for character in self.text)
        return f"{line}\n{' ' * self.position}^"


class UnknownOperation(HeadraceError):
    """There is no operation of this number, or it is another tenant's."""


class AppClosed(HeadraceError):
    """The app was closed before this call."""


class EnqueueError(HeadraceError):
    """A job was refused; nothing was enqueued."""


class InvalidArguments(EnqueueError):
    """The arguments do not fit the task's signature, or cannot be stored as JSON.

    Attributes:
        problems: Where that can be said: the path of each argument that does not fit, and why.
    """

    problems: tuple[tuple[tuple[int | str, ...], str], ...] = ()


class DuplicateJob(EnqueueError):
    """The job's unique key is held by another job and `on_conflict` is "reject".

    Attributes:
        holder: The id of the job that holds the key.
    """

    def __init__(self, message: str, holder: UUID) -> None:
        super().__init__(message)
        self.holder = holder

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.holder)


class QueueFull(EnqueueError):
    """The queue holds as many queued jobs as its `max_queued` allows."""


class WorkflowOver(EnqueueError):
    """Nothing can be added to the workflow: it has finished, was cancelled, or does not exist."""


class JobError(HeadraceError):
    """A job has no result to give."""


class JobNotFound(JobError):
    """No job has this id: it never existed, was deleted, or is out of retention."""


class JobFailed(JobError):
    """The job failed for good.

    Attributes:
        error: What is stored of the last attempt's error: "kind", "message" and, where an exception was
            raised, "type" and "traceback".
    """

    def __init__(self, message: str, error: dict[str, Any]) -> None:
        super().__init__(message)
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.error)


class JobCancelled(JobError):
    """The job was cancelled before it could succeed."""


class WorkflowNotFound(JobError):
    """No workflow has this id: it never existed, or finished too long ago."""


class WorkflowFailed(JobError):
    """A workflow has finished, and not all of its jobs succeeded.

    Attributes:
        info: The workflow as it finished.
    """

    def __init__(self, message: str, info: WorkflowInfo) -> None:
        super().__init__(message)
        self.info = info

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.info)


class ResultTimeout(JobError, TimeoutError):
    """The job, or workflow, had not finished when the time-out ran out. It goes on."""


class StepError(HeadraceError):
    """A durable step cannot be recorded, or cannot be what it was recorded as.

    Trying again cannot help: an attempt that ends with it is the job's last.
    """


class StepsChanged(StepError):
    """The handler asks for other steps than an earlier attempt of the job recorded."""


class EventTimeout(StepError, TimeoutError):
    """The awaited event was not emitted in time. Recorded: later attempts get it again, whatever was emitted since."""


class WebhookError(HeadraceError):
    """Something is wrong with a delivery of a webhook."""


class WebhookRefused(WebhookError):
    """A delivery was not accepted, or was not sent, since it may not go where its address leads."""


class WebhookUntrusted(WebhookError):
    """A delivery that was received was not sent by headrace, or not now."""


class AccessError(HeadraceError):
    """Somebody is not let in, or there is no such user or key."""


class SignInRefused(AccessError):
    """Name and password, or the link, let nobody in; which of them is wrong is not said."""


class TooManyTries(SignInRefused):
    """Somebody has tried to sign in too often under this name, or from this address.

    Attributes:
        wait_s: After how many seconds the next try counts.
    """

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.wait_s)


class InvalidPassword(AccessError):
    """A password that nobody may choose: too short, or too long."""


class UnknownUser(AccessError):
    """There is no user of this name."""


class UnknownKey(AccessError):
    """There is no API key of this name, or prefix, that still counts."""


class LeaseLost(HeadraceError):
    """This worker no longer holds the attempt: what it did since is not recorded."""


class WorkerError(HeadraceError):
    """A worker cannot start, or cannot go on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the closest known names, or lists what is known."""
    names = sorted(known)
    if close := get_close_matches(name, names, n=3):
        return "Did you mean " + " or ".join(f'"{n}"' for n in close) + "?"
    return "Known: " + (", ".join(names) if names else "none") + "."
