# SPDX-License-Identifier: MIT
"""The crew that is this process: one job at a time, done when it is waited for."""

from __future__ import annotations

from types import TracebackType

from c3video.crew.jobs import Done, Ending, Failed, Job, Note


class Here:
    """See `jobs.Crew`. What a job raises that is no Exception (Ctrl-C) comes out as it is."""

    size = 1

    def __init__(self) -> None:
        self._in_hand: tuple[int, Job] | None = None

    def submit(self, key: int, job: Job) -> None:
        self._in_hand = key, job

    def wait(self, note: Note) -> list[Ending]:
        assert self._in_hand is not None
        (key, job), self._in_hand = self._in_hand, None
        try:
            return [Done(key, job(lambda report: note(key, report)))]
        except Exception as error:
            return [Failed(key, error)]

    def __enter__(self) -> Here:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_hand = None
