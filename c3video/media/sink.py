# SPDX-License-Identifier: MIT
"""The last step of decoding: frames to y4m or headerless raw video, in a file or a pipe.

Each frame is flushed when it is written, so that whoever reads the pipe sees it while the next segment is
decoded. A reader that goes away shows as BrokenPipeError, which is left to the caller: no fault of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from c3video.errors import C3VideoError, ConfigError
from c3video.media.y4m import FRAME_MAGIC, header_line
from c3video.video import Frame, VideoFormat, check_planes, plane_bytes

Y4M_SUFFIXES = (".y4m",)
RAW_SUFFIXES = (".yuv", ".raw", ".rgb")


class RawSink:
    """Planes one after the other, without padding, samples of 10 bits as two bytes, the low one first.

    Args:
        file: buffered binary file; a raw one may write less than it is given.
        format: of every frame.
        close_file: whether `close` closes the file too.

    Raises:
        ConfigError: a frame does not fit the format.
        C3VideoError: the file cannot be written (BrokenPipeError is passed on as it is).
    """

    def __init__(self, file: BinaryIO, format: VideoFormat, *, close_file: bool = False) -> None:
        format.check()
        self.format = format
        self._file, self._close_file = file, close_file

    def __enter__(self) -> RawSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, frame: Frame) -> None:
        """Write one frame and flush it."""
        check_planes(frame.planes, self.format, f"frame at pts {frame.pts}")
        with _write_errors(self._file):
            self._write_frame_header()
            for plane in frame.planes:
                self._file.write(plane_bytes(plane))
            self._file.flush()

    def _write_frame_header(self) -> None:
        """Raw video has none."""

    def close(self) -> None:
        """Flush, and close the file if it is the sink's."""
        with _write_errors(self._file):
            if self._close_file:
                self._file.close()
            elif not self._file.closed:
                self._file.flush()


class Y4MSink(RawSink):
    """YUV4MPEG2: a header line, then `FRAME` and the planes of each frame; y4m.py says what it cannot carry.

    Raises:
        ConfigError: besides, for planar RGB.
    """

    def __init__(self, file: BinaryIO, format: VideoFormat, *, close_file: bool = False) -> None:
        super().__init__(file, format, close_file=close_file)
        with _write_errors(file):
            file.write(header_line(format))
            file.flush()

    def _write_frame_header(self) -> None:
        self._file.write(FRAME_MAGIC + b"\n")


def open_sink(
    path: str | os.PathLike[str],
    format: VideoFormat,
    *,
    raw: bool = False,
    place: str | os.PathLike[str] | None = None,
) -> RawSink:
    """A sink by the name of its file: .y4m; .yuv, .raw or .rgb for raw video; "-" for standard output.

    Args:
        raw: raw video whatever the name; what "-" needs for planar RGB.
        place: what to open, where that has another name for the time being (output.py).

    Raises:
        ConfigError: a name of neither kind, or y4m asked for planar RGB; nothing is created then.
        C3VideoError: the file cannot be created.
    """
    suffix = Path(path).suffix.lower()
    if not raw and str(path) != "-" and suffix not in Y4M_SUFFIXES + RAW_SUFFIXES:
        names = ", ".join(f"*{known}" for known in Y4M_SUFFIXES + RAW_SUFFIXES)
        raise ConfigError(
            f"{path}: an output is {names} or -, not *{suffix}; ffmpeg writes others: "
            f"`c3v decode IN.c3v -o - | ffmpeg -i - OUT{suffix}`"
        )
    kind = RawSink if raw or suffix in RAW_SUFFIXES else Y4MSink
    if kind is Y4MSink:
        header_line(format)  # raises for planar RGB before a file is made
    if str(path) == "-":
        return kind(sys.stdout.buffer, format)
    try:
        file = open(place or path, "wb")  # noqa: SIM115 (the sink closes it)
    except OSError as error:
        raise C3VideoError(f"{path}: cannot be written: {error.strerror}") from error
    return kind(file, format, close_file=True)


@contextmanager
def _write_errors(file: BinaryIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        name = getattr(file, "name", "output")
        raise C3VideoError(f"{name}: cannot be written: {error.strerror or error}") from error
