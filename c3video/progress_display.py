# SPDX-License-Identifier: MIT
"""Where a command stands, in words: a line that is written over on a terminal, lines at growing intervals elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from c3video.time_left import TimeLeft

if TYPE_CHECKING:
    from typing_extensions import Self

    from c3video.encoder import EncodeProgress
    from c3video.video import Frame

_REFRESH_SECONDS = 0.5
FIRST_LINE_SECONDS = 10.0
"""Until the first line where nothing can be written over; then each waits a tenth of the time that has gone by."""
_LONGEST_WAIT_SECONDS = 60.0
_SILENT_SECONDS = 30.0
"""Without a step, before that is said in place of the time left, of which nothing is known then."""


class _Display:
    """Shows a line on a stream while its block lasts.

    A thread of its own writes, so that the line goes on while a single step takes minutes.

    Args:
        stream: standard error; None where there is none.
        shown: whether anything is to be seen.
    """

    def __init__(self, stream: TextIO | None, shown: bool = True) -> None:
        self._stream = stream if shown else None
        self._rewrites = self._stream is not None and self._stream.isatty()
        self._began = time.monotonic()
        self._next_line = self._began + FIRST_LINE_SECONDS
        self._lock, self._ended = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._keep_showing, daemon=True)

    def line(self, now: float) -> str:
        """What there is to say; empty before the first step."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        if self._stream is not None:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._stream is not None:
            self._thread.join()
            self.clear()

    def say(self, line: str) -> None:
        """Write a line of words, above the one that is written over."""
        with self._lock:
            self.clear()
            self._write(f"{line}\n")

    def clear(self) -> None:
        """Take the line that is written over away."""
        if self._rewrites:
            self._write("\r\x1b[K")

    def _keep_showing(self) -> None:
        while not self._ended.wait(_REFRESH_SECONDS):
            now = time.monotonic()
            with self._lock:
                line = self.line(now)
                if not line:
                    continue
                if self._rewrites:
                    width = shutil.get_terminal_size().columns - 1
                    self._write(f"\r{line[:width]}\x1b[K")
                elif now >= self._next_line:
                    self._write(f"{line}\n")
                    self._next_line = now + min(
                        max(FIRST_LINE_SECONDS, (now - self._began) / 10), _LONGEST_WAIT_SECONDS
                    )

    def _write(self, text: str) -> None:
        # A terminal that has gone away is no reason to stop.
        with contextlib.suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()


class ProgressDisplay(_Display):
    """Shows where an encode stands."""

    def __init__(self, stream: TextIO | None, shown: bool = True) -> None:
        super().__init__(stream, shown)
        self._time_left = TimeLeft(self._began)
        self._progress: EncodeProgress | None = None
        self._last_step = self._began

    def report(self, progress: EncodeProgress) -> None:
        """Take note of a step."""
        with self._lock:
            self._progress, self._last_step = progress, time.monotonic()
            self._time_left.step(self._last_step, progress)

    def line(self, now: float) -> str:
        progress = self._progress
        if progress is None:
            return ""
        estimate, fit = self._time_left.estimate(now), progress.fit
        words = [] if estimate.done is None else [f"{100 * estimate.done:3.0f}%"]
        frames = f"{progress.frames_before}" + ("" if progress.num_frames is None else f"/{progress.num_frames}")
        patch = f" patch {progress.patch + 1}/{progress.num_patches}" if progress.num_patches > 1 else ""
        words.append(f"{frames} frames done, segment {progress.segment + 1}/{progress.num_segments or '?'}{patch}")
        words.append(f"{fit.stage} {fit.step}")
        if fit.bpp > 0:  # before, nothing has been measured
            words.append(f"{fit.psnr_db:.2f} dB {fit.bpp:.4f} bpp")
        words.append(f"{duration(now - self._began)} gone")
        silent = now - self._last_step
        if silent > max(_SILENT_SECONDS, 0.1 * (now - self._began)):
            words.append(f"no step for {duration(silent)}")
        elif estimate.seconds_left is not None:
            words.append(f"about {duration(estimate.seconds_left)} left")
        return ", ".join(words)


class DecodeDisplay(_Display):
    """Shows how many frames have been decoded.

    Args:
        num_frames: that will be, as far as is known.
    """

    def __init__(self, stream: TextIO | None, num_frames: int | None, shown: bool = True) -> None:
        super().__init__(stream, shown)
        self._num_frames, self._done = num_frames, 0

    def watch(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The same frames; each is counted when the next one is asked for."""
        for frame in frames:
            yield frame
            self._done += 1

    def line(self, now: float) -> str:
        done, of, seconds = self._done, self._num_frames, now - self._began
        if not done:
            return ""
        words = [] if not of else [f"{min(100.0, 100 * done / of):3.0f}%"]
        words.append(f"{done}{f'/{of}' if of else ''} frames, {done / max(seconds, 1e-9):.3g} a second")
        words.append(f"{duration(seconds)} gone")
        if of and done < of:
            words.append(f"about {duration((of - done) * seconds / done)} left")
        return ", ".join(words)


def duration(seconds: float) -> str:
    """In the two units that matter: 42 s, 3:05 min, 2:10 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole // 60 % 60:02} h"
