# SPDX-License-Identifier: MIT
"""Which frames of a clip are wanted, by number or by time: of sources and of streams, of commands and from Python.

A clip is told what comes before the run, so that it may leave it out; what the run asks for and is not there is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from c3video.errors import ConfigError
from c3video.video import Frame, VideoFormat

NumberedFrame = tuple[int, Fraction, Frame]
"""A frame with its number in the clip, counted from 0, and its time in seconds as a Selection counts it."""


@dataclass(frozen=True)
class Selection:
    """A run of frames.

    Args:
        first: number of the first frame, counted from 0.
        last: one past the last; None for all that follow.
        start: time in seconds from which on frames are wanted; None from the first on.
        end: and before which; None for all that follow.
        on_screen: how times are meant. False: after the first frame of the clip, and a frame is wanted that begins
            within them. True: as the time stamps say, and so is the one that is on screen when they begin.
    """

    first: int = 0
    last: int | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    on_screen: bool = False

    @classmethod
    def of_options(
        cls, frames: tuple[int, int | None] | None, start: Fraction | None, end: Fraction | None
    ) -> Selection:
        """Checked. Raises ConfigError for a run that is empty by itself, or one by number and time."""
        first, last = frames or (0, None)
        if first < 0 or (last is not None and last <= first):
            raise ConfigError(f"frames {first}:{last}: the first must be 0 or more, and the last above it")
        begin = start or Fraction(0)
        if begin < 0 or (end is not None and end <= begin):
            raise ConfigError(f"{float(begin)} s to {_words(end)}: the start must be 0 or more, and the end above it")
        if frames is not None and (start is not None or end is not None):
            raise ConfigError("frames are chosen by number or by time, not by both")
        return cls(first, last, start or None, end)

    @classmethod
    def of_times(cls, start: Fraction | None, end: Fraction | None) -> Selection:
        """What is on screen from `start` until before `end`. Raises ConfigError where that is no time at all."""
        if start is not None and end is not None and end <= start:
            raise ConfigError(f"time {_words(start)} to {_words(end)}: the start must be before the end")
        return cls(start=start, end=end, on_screen=True)

    @property
    def by_time(self) -> bool:
        return self.start is not None or self.end is not None

    def num_frames_of(self, num_frames: int | None, frame_rate: Fraction) -> int | None:
        """How many frames are chosen of so many, by the average rate where they are by time; None where unknown."""
        if self.by_time:
            if not frame_rate or (num_frames is None and self.end is None):
                return None
            first = round((self.start or 0) * frame_rate)
            last = None if self.end is None else round(self.end * frame_rate)
        else:
            first, last = self.first, self.last
        ends = [end for end in (num_frames, last) if end is not None]
        return max(0, min(ends) - first) if ends else None

    def is_before(self, index: int, seconds: Fraction, shown_until: Fraction | None = None) -> bool:
        """Whether a frame comes before the first that is wanted.

        Args:
            seconds: when it begins.
            shown_until: when it ends, where that is known.
        """
        if index < self.first:
            return True
        if self.start is None:
            return False
        return seconds < self.start if not self.on_screen or shown_until is None else shown_until <= self.start

    def of(
        self, frames: Iterable[NumberedFrame], video: VideoFormat, name: str, missed: Callable[[str], None]
    ) -> Iterator[tuple[int, Frame]]:
        """The chosen frames with their numbers.

        Args:
            frames: of the clip, in order; those before the first that is wanted may be left out.
            name: of the clip, in messages.
            missed: told when the clip ends before the run does.

        Raises:
            ConfigError: none of them is there.
        """
        index, num_chosen, shown_until = -1, 0, Fraction(0)
        for index, seconds, frame in frames:
            if (self.last is not None and index >= self.last) or (self.end is not None and seconds >= self.end):
                break
            if self.is_before(index, seconds, seconds + max(1, frame.duration) * video.time_base):
                continue
            num_chosen += 1
            shown_until = seconds + frame.duration * video.time_base
            yield index, frame
            if self.last is not None and index + 1 >= self.last:
                return  # what is not wanted is not read
        else:
            if num_chosen and self.last is not None:
                missed(f"frames {self.first}:{self.last} were asked for, and it ends after frame {index}")
            elif num_chosen and self.end is not None and shown_until < self.end:
                run = f"{_words(self.start or Fraction(0))} to {_words(self.end)}"
                missed(f"{run} were asked for, and it ends at {_words(shown_until)}")
        if not num_chosen and self.by_time:
            is_there = "no frame is on screen" if self.on_screen else "there is no frame"
            raise ConfigError(f"{name}: {is_there} from {_words(self.start or Fraction(0))} to {_words(self.end)}")
        if not num_chosen:
            raise ConfigError(f"{name}: there is no frame {self.first}, the first that was asked for")


def numbered(frames: Iterable[Frame], video: VideoFormat, zero: int | None = None) -> Iterator[NumberedFrame]:
    """All frames of a clip with what a Selection looks at.

    Args:
        zero: time stamp of the clip's first frame where it is not among `frames`; they are numbered as if it was.
    """
    for index, frame in enumerate(frames):
        zero = frame.pts if zero is None else zero
        yield index, (frame.pts - zero) * video.time_base, frame


def _words(time: Fraction | None) -> str:
    return "the end" if time is None else f"{float(time):g} s"
