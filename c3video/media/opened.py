# SPDX-License-Identifier: MIT
"""What the ways to open a source have in common: what they come to, and the faults that they meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from c3video.errors import SourceError
from c3video.video import Frame, VideoFormat

_log = logging.getLogger(__name__)


class Faults:
    """What is wrong with a source but leaves good frames: counted, and said once at its end.

    Args:
        name: of the source.
        strict: whether the first fault ends the work.
    """

    def __init__(self, name: str, strict: bool) -> None:
        self.name = name
        self._strict = strict
        self._counts: dict[str, int] = {}

    def meet(self, what: str) -> None:
        """Count a fault. Raises SourceError where none is allowed."""
        if self._strict:
            raise SourceError(f"{self.name}: {what}")
        self._counts[what] = self._counts.get(what, 0) + 1

    @property
    def found(self) -> tuple[str, ...]:
        """All that were met, in words, with how often where that is more than once."""
        return tuple(what if number == 1 else f"{what} ({number} times)" for what, number in self._counts.items())

    def say(self) -> None:
        """Log them, once."""
        for words in self.found:
            _log.warning("%s: %s", self.name, words)
        self._counts.clear()


@dataclass(frozen=True)
class Opened:
    """A source, ready to be read.

    Attributes:
        name: what messages call it.
        format: of the frames.
        num_frames: by what the container says; None where it does not.
        frames: in order, once.
        close: lets go of the file; may be called twice.
        faults: that reading met so far.
        first_pts: time stamp of the clip's first frame where `frames` begin with a later one; None where not.
        left_out: what the source has and a .c3v stream has no place for, in words; empty where there is nothing.
    """

    name: str
    format: VideoFormat
    num_frames: int | None
    frames: Iterator[Frame]
    close: Callable[[], None]
    faults: Faults
    first_pts: int | None = None
    left_out: str = ""
