# SPDX-License-Identifier: MIT
"""Processes do jobs, die alone, and end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from c3video.crew.jobs import Died
from c3video.crew.processes import Processes
from c3video.crew.schedule import in_order
from c3video.errors import FitError, WorkerError
from tests.crew.jobs import DieTimes, Fail, Sleep, Square, Unsendable


def process_ids() -> set[int | None]:
    return {process.pid for process in multiprocessing.active_children()}


def test_jobs_are_done_side_by_side_and_tell_how_far_they_are() -> None:
    told: list[tuple[int, object]] = []
    with Processes(2) as crew:
        found = in_order(
            crew,
            ((n, n) for n in range(6)),
            lambda number, item: Square(item, 0.2),
            note=lambda key, report: told.append((key, report)),
        )
        assert list(found) == [n * n for n in range(6)]
        ids = process_ids()
        assert len(ids) == 2
    assert (0, ("half", 0)) in told
    for number in ids:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deaths"
    path.touch()
    jobs = [Square(0), DieTimes(2, path), Square(2)]
    with Processes(2) as crew:
        assert list(in_order(crew, enumerate(jobs), lambda number, job: job)) == [0, 2, 4]


def test_killed_while_idle_it_is_replaced_as_well() -> None:
    with Processes(1) as crew:
        crew.submit(0, Square(3))
        crew.wait(lambda key, report: None)
        (number,) = process_ids()
        os.kill(number, signal.SIGKILL)
        time.sleep(0.2)
        assert list(in_order(crew, [(1, 4)], lambda number, item: Square(item))) == [16]
        assert process_ids() != {number}


def test_how_it_died_is_said(tmp_path: Path) -> None:
    path = tmp_path / "deaths"
    path.touch()
    with Processes(1) as crew:
        crew.submit(7, DieTimes(1, path))
        assert crew.wait(lambda key, report: None) == [Died(7, "was killed by SIGKILL, as when memory runs out")]


def test_errors_and_results_that_cannot_be_sent_come_back_as_errors() -> None:
    with Processes(1) as crew:
        with pytest.raises(FitError, match="not to be fitted"):
            list(in_order(crew, [(0, 0)], lambda number, item: Fail()))
        with pytest.raises(WorkerError, match="pickle"):
            list(in_order(crew, [(0, 0)], lambda number, item: Unsendable()))
        assert list(in_order(crew, [(0, 3)], lambda number, item: Square(item))) == [9]


def test_nobody_goes_on_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "number"
    code = (
        "from pathlib import Path\n"
        "from c3video.crew.processes import Processes\n"
        "from tests.crew.jobs import Sleep\n"
        "if __name__ == '__main__':\n"
        "    crew = Processes(1)\n"
        f"    crew.submit(0, Sleep(Path({str(path)!r})))\n"
        "    crew.wait(lambda key, report: None)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    root = str(Path(__file__).parent.parent.parent)
    with subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": root}) as parent:
        wait_until(lambda: path.exists() and bool(path.read_text()))
        parent.kill()
    number = int(path.read_text())
    wait_until(lambda: not os.path.exists(f"/proc/{number}") or is_zombie(number))


def is_zombie(number: int) -> bool:
    try:
        return ") Z" in Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return True


def wait_until(condition: object, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sleeping_processes_are_ended(tmp_path: Path) -> None:
    path = tmp_path / "number"
    with Processes(1) as crew:
        crew.submit(0, Sleep(path))
        wait_until(lambda: path.exists() and bool(path.read_text()))
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.read_text()), 0)
