# SPDX-License-Identifier: MIT
"""Results come out in order, whoever is done first and whoever dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import pytest

from c3video.crew.here import Here
from c3video.crew.jobs import Died, Done, Ending, Failed, Job, Note
from c3video.crew.schedule import TRIES, in_order
from c3video.errors import FitError, SourceError, WorkerError
from tests.crew.jobs import Fail, Square


class Backwards:
    """A crew that ends the newest job first; `fate` may say that its worker dies instead."""

    def __init__(self, size: int, fate: Callable[[int], bool] = lambda key: False) -> None:
        self.size, self._fate = size, fate
        self.in_hand: list[tuple[int, Job]] = []
        self.most_in_hand = 0

    def submit(self, key: int, job: Job) -> None:
        self.in_hand.append((key, job))
        self.most_in_hand = max(self.most_in_hand, len(self.in_hand))
        assert len(self.in_hand) <= self.size

    def wait(self, note: Note) -> list[Ending]:
        key, job = self.in_hand.pop()
        if self._fate(key):
            return [Died(key, "was killed")]
        try:
            return [Done(key, job(lambda report: note(key, report)))]
        except Exception as error:
            return [Failed(key, error)]

    def __enter__(self) -> Backwards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def numbered(*numbers: int) -> list[tuple[int, int]]:
    return [(number, number) for number in numbers]


def square_of(number: int, item: int) -> Job:
    return Square(item)


def until_error(results: Iterator[Any]) -> tuple[list[Any], Exception | None]:
    found = []
    try:
        for result in results:
            found.append(result)
    except Exception as error:
        return found, error
    return found, None


@pytest.mark.parametrize("size", [1, 2, 5])
def test_results_come_in_order(size: int) -> None:
    crew = Backwards(size)
    assert list(in_order(crew, numbered(*range(20)), square_of)) == [n * n for n in range(20)]
    assert crew.most_in_hand == size
    assert list(in_order(Here(), numbered(*range(5, 8)), square_of)) == [25, 36, 49]
    assert list(in_order(crew, [], square_of)) == []


def test_no_job_begins_before_what_it_depends_on_has_come_out() -> None:
    out: list[int] = []

    def job_of(number: int, item: int) -> Job:
        assert number - len(out) < 3
        return Square(item)

    for result in in_order(Backwards(8), numbered(*range(12)), job_of, ahead=3):
        out.append(result)
    assert len(out) == 12


def test_what_is_known_needs_no_job() -> None:
    begun: list[int] = []

    def job_of(number: int, item: int) -> Job:
        begun.append(number)
        return Square(item)

    found = list(in_order(Backwards(2), numbered(*range(6)), job_of, known={1: "one", 4: "four"}))
    assert found == [0, "one", 4, 9, "four", 25]
    assert begun == [0, 2, 3, 5]


def test_everyone_hears_of_what_is_done_at_once() -> None:
    done: list[tuple[int, Any, bool]] = []
    list(in_order(Backwards(3), numbered(0, 1, 2), square_of, on_done=lambda *what: done.append(what)))
    assert done == [(2, 4, False), (1, 1, False), (0, 0, True)]


def test_dead_worker_costs_a_try_and_nothing_else() -> None:
    deaths = {3: TRIES - 1, 5: 1}

    def fate(key: int) -> bool:
        deaths[key] = deaths.get(key, 0) - 1
        return deaths[key] >= 0

    assert list(in_order(Backwards(2, fate), numbered(*range(8)), square_of)) == [n * n for n in range(8)]


def test_job_that_kills_its_workers_ends_it_after_all_before_it() -> None:
    out, error = until_error(in_order(Backwards(4, lambda key: key == 3), numbered(*range(8)), square_of))
    assert out == [0, 1, 4]
    assert isinstance(error, WorkerError)
    assert str(error) == "segment 3: its worker has died 3 times; the last one was killed"


def test_error_of_a_job_or_of_the_source_comes_after_all_before_it() -> None:
    def job_of(number: int, item: int) -> Job:
        return Fail() if number == 2 else Square(item)

    out, error = until_error(in_order(Backwards(4), numbered(*range(8)), job_of))
    assert out == [0, 1]
    assert isinstance(error, FitError)

    def torn() -> Iterator[tuple[int, int]]:
        yield from numbered(0, 1, 2)
        raise SourceError("torn")

    out, error = until_error(in_order(Backwards(4), torn(), square_of))
    assert out == [0, 1, 4]
    assert isinstance(error, SourceError)


def test_lone_worker_reads_no_further_than_it_needs() -> None:
    """Frames of a segment are large: one ahead is held for the sake of several workers alone."""
    read: list[int] = []

    def items() -> Iterator[tuple[int, int]]:
        for number in range(4):
            read.append(number)
            yield number, number

    def note(number: int, report: object) -> None:
        assert read[-1] == number

    assert list(in_order(Here(), items(), square_of, note=note)) == [0, 1, 4, 9]
    assert read == [0, 1, 2, 3]
