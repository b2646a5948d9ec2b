# SPDX-License-Identifier: MIT
"""What is handed to a crew and what comes back; a crew is this process, processes beside it or a cluster.

    schedule.py --submit(key, job)--> crew --wait()--> Done, Failed or Died, each with its key

A job is called with what to report to, perhaps in another process or on another machine: it and its result are pickled
on the way. It does not depend on who does it, and so may be done again by another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

Report = Callable[[Any], None]
"""Told on the way how far a job is, in values that can be pickled; some may be left out."""

Job = Callable[[Report], Any]
"""Something to do; returns its result."""

Note = Callable[[int, Any], None]
"""Told the key of a job and what it reported."""


@dataclass(frozen=True)
class Done:
    """A job's result."""

    key: int
    value: Any


@dataclass(frozen=True)
class Failed:
    """A job raised; it would again."""

    key: int
    error: Exception


@dataclass(frozen=True)
class Died:
    """Who did a job is gone and has been replaced; the job may be tried again."""

    key: int
    reason: str


Ending = Done | Failed | Died


class Crew(Protocol):
    """Does jobs, some at a time. A context manager: at its end nobody is at work any more."""

    @property
    def size(self) -> int:
        """Jobs at a time."""

    def submit(self, key: int, job: Job) -> None:
        """Hand over a job; at most `size` may be in hand."""

    def wait(self, note: Note) -> Sequence[Ending]:
        """Wait until jobs in hand have ended, at least one; `note` is told meanwhile how far they are."""

    def __enter__(self) -> Crew: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
