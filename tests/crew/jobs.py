# SPDX-License-Identifier: MIT
"""Jobs for tests: a process that is to do one must be able to import it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c3video.crew.jobs import Report
from c3video.errors import FitError


@dataclass(frozen=True)
class Square:
    """number -> number^2, slower the smaller the number is, so that the last are done first."""

    number: int
    most_seconds: float = 0.0

    def __call__(self, report: Report) -> int:
        report(("half", self.number))
        time.sleep(self.most_seconds / (1 + self.number))
        return self.number**2


@dataclass(frozen=True)
class DieTimes:
    """Kills its own process until a file has so many bytes, one more each time; then the number of bytes."""

    times: int
    path: Path

    def __call__(self, report: Report) -> int:
        if os.path.getsize(self.path) < self.times:
            with self.path.open("ab") as file:
                file.write(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return os.path.getsize(self.path)


@dataclass(frozen=True)
class Fail:
    """Raises."""

    def __call__(self, report: Report) -> Any:
        raise FitError("not to be fitted")


@dataclass(frozen=True)
class Unsendable:
    """A result that cannot be pickled."""

    def __call__(self, report: Report) -> Any:
        return lambda: None


@dataclass(frozen=True)
class Sleep:
    """Writes its process's number to a file and sleeps."""

    path: Path

    def __call__(self, report: Report) -> None:
        self.path.write_text(str(os.getpid()))
        time.sleep(60)
