# SPDX-License-Identifier: MIT
"""Items -> jobs -> a crew -> results, in the order of the items, whoever is done first.

    items --job_of--> crew.submit .. crew.wait --> results that wait for those before them --> out, in order

A job whose worker died is tried again, others go on meanwhile. At most `ahead` items are begun before the result of the
first of them has come out, so that what waits is bounded, and so that a job may depend on results that far back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from c3video.crew.jobs import Crew, Done, Failed, Job, Note
from c3video.errors import WorkerError

TRIES = 3
"""Of a job whose workers die."""

AHEAD = 4
"""Times the crew's size that items are begun ahead, where nothing else bounds it."""

AnyItem = TypeVar("AnyItem")

_log = logging.getLogger(__name__)


def in_order(
    crew: Crew,
    items: Iterable[tuple[int, AnyItem]],
    job_of: Callable[[int, AnyItem], Job],
    *,
    ahead: int | None = None,
    known: Mapping[int, Any] | None = None,
    note: Note = lambda key, report: None,
    on_done: Callable[[int, Any, bool], None] = lambda key, value, is_next: None,
) -> Iterator[Any]:
    """Results of jobs in the order of their items.

    Args:
        items: numbered one after the other; read one further than there is work for, so that nobody waits for it.
        job_of: called when the job begins, when all results but the last `ahead` - 1 before it have come out.
        ahead: most items begun whose results have not come out; None: AHEAD times the crew.
        known: results that need no job, by number.
        on_done: called with a result as soon as it is there, and whether it is the next to come out.

    Raises:
        WorkerError: the workers of one job have died TRIES times.
        Exception: what a job raised, when all results before it have come out.
    """
    ahead = AHEAD * crew.size if ahead is None else ahead
    known = known or {}
    reader = _Reader(items, look_ahead=crew.size > 1)
    at_work: dict[int, tuple[Job, int]] = {}  # job and how often it was begun
    results: dict[int, Any] = {}
    failures: dict[int, Exception] = {}
    out: int | None = None  # number of the result that comes out next
    while True:
        while not failures and (number := reader.number(len(at_work) < crew.size)) is not None:
            out = number if out is None else out
            if number >= out + ahead or (number not in known and len(at_work) == crew.size):
                break
            item = reader.take()
            if number in known:
                results[number] = known[number]
            else:
                at_work[number] = job_of(number, item), 1
                crew.submit(number, at_work[number][0])
        if out is None or not (at_work or results or failures):
            if reader.error is not None:
                raise reader.error
            return
        if out in results:
            yield results.pop(out)
            out += 1
            continue
        if out in failures:
            raise failures[out]
        for ending in crew.wait(note):
            job, tries = at_work.pop(ending.key)
            if isinstance(ending, Done):
                results[ending.key] = ending.value
                on_done(ending.key, ending.value, ending.key == out)
            elif isinstance(ending, Failed):
                failures[ending.key] = ending.error
            elif tries < TRIES:
                _log.warning("segment %d: its worker %s; tried again", ending.key, ending.reason)
                at_work[ending.key] = job, tries + 1
                crew.submit(ending.key, job)
            else:
                failures[ending.key] = WorkerError(
                    f"segment {ending.key}: its worker has died {tries} times; the last one {ending.reason}"
                )


class _Reader:
    """Items with a look at the number of the next one. An error waits until all that was read is done."""

    def __init__(self, items: Iterable[tuple[int, Any]], look_ahead: bool) -> None:
        self._items, self._look_ahead = iter(items), look_ahead
        self._next: tuple[int, Any] | None = None
        self._is_over = False
        self.error: Exception | None = None

    def number(self, is_wanted: bool) -> int | None:
        """Of the next item; None where there is none, or where none is wanted yet and nothing is read ahead."""
        if self._next is None and not self._is_over and (is_wanted or self._look_ahead):
            try:
                self._next = next(self._items, None)
            except Exception as error:
                self.error = error
            self._is_over = self._next is None
        return None if self._next is None else self._next[0]

    def take(self) -> Any:
        assert self._next is not None
        (_, item), self._next = self._next, None
        return item
