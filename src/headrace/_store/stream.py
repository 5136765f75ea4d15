"""Jobs as the caller's iterable makes them."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from headrace.errors import ConfigurationError, InvalidArguments
from headrace.job import DependentJob, NewJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 1000
_SLOW_S = 0.05
"""Ten times what it takes to make a chunk from small arguments."""


class IterableFailed(Exception):
    """The caller's iterable raised: its error must not be taken for one of the database's."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Stream:
    """The jobs, taken a chunk at a time, and kept for a second try.

    The first chunk is made at once, before anything is opened for it; what the iterable raises then is raised as it is.

    Attributes:
        first: That chunk.
        ended: Whether there are no more.
        slow: Whether the last chunk took long to make: no transaction should be open meanwhile.
    """

    def __init__(self, jobs: Iterable[NewJob]) -> None:
        self._coming = iter(jobs)
        self._taken: list[NewJob] = []
        self._failure: IterableFailed | None = None
        self.ended = False
        self.slow = False
        try:
            self.first = self.take()
        except IterableFailed as failure:
            error = failure.error
        else:
            return
        raise error  # out here, so that it keeps its own cause and context

    def take(self) -> list[NewJob]:
        """The next chunk; empty at the end.

        Raises:
            IterableFailed: No more can be made, and none should be enqueued.
        """
        begun_s = time.monotonic()
        chunk = self._take(islice(self._coming, _CHUNK))
        self.ended = len(chunk) < _CHUNK
        self.slow = time.monotonic() - begun_s > _SLOW_S
        return chunk

    def everything(self) -> list[NewJob]:
        """All of them, those that were taken before too.

        Raises:
            IterableFailed: As `take`.
        """
        self._take(self._coming)
        self.ended = True
        return self._taken

    def _take(self, jobs: Iterator[NewJob]) -> list[NewJob]:
        if self._failure is not None:
            raise self._failure
        try:
            chunk = list(jobs)
            for job in chunk:
                check_new(job)
        except BaseException as error:
            self._failure = IterableFailed(error)
            raise self._failure from error
        self._taken += chunk
        return chunk


def check_new(job: object) -> None:
    """Refuse what is no job, or one that cannot be enqueued by itself.

    Raises:
        ConfigurationError: It is something else.
        InvalidArguments: It takes the result of another job.
    """
    if type(job) is NewJob:
        return
    if isinstance(job, DependentJob):
        name, pending = next(iter(job.inputs.items()))
        raise InvalidArguments(
            f'task "{job.task}": argument "{name}" is {pending!r}, the result of another job: start it in a workflow'
        )
    if not isinstance(job, NewJob):
        raise ConfigurationError(f"enqueue_many takes what task.job(...) makes, not {job!r}")
