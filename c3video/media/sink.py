# SPDX-License-Identifier: MIT
"""The last step of decoding: frames to a container, y4m or headerless raw video, in a file or a pipe.

    matroska   all that a stream knows: time stamps, colour, range, chroma location, aspect, HDR, fields, rotation
    mov        the same; lossless H.264, in files only, and neither gray, RGB nor odd sizes
    nut        time stamps, exactly
    y4m        one frame rate, aspect, range, fields
    raw        samples

What a container cannot carry of a video is said once (`not_carried`), and so is a frame rate that varies in y4m.
Each frame is flushed when it is written, so that whoever reads the pipe sees it while the next segment is
decoded. A reader that goes away shows as BrokenPipeError, which is left to the caller: no fault of ours.
"""

from __future__ import annotations

import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import gcd
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

from c3video.errors import C3VideoError, ConfigError
from c3video.media import matroska, y4m
from c3video.video import PROGRESSIVE, Frame, VideoFormat, check_planes, plane_bytes

CONTAINERS = ("matroska", "nut", "mov", "y4m", "raw")
"""Names of containers."""
_FFMPEG_NAMES = {"yuv4mpegpipe": "y4m", "rawvideo": "raw", "mkv": "matroska"}
"""Other names that are understood."""
SUFFIXES = {
    ".mkv": "matroska",
    ".nut": "nut",
    ".mov": "mov",
    ".y4m": "y4m",
    ".yuv": "raw",
    ".raw": "raw",
    ".rgb": "raw",
}
"""Container by the end of a file's name."""

_LOOKAHEAD = 16
"""Frames that Matroska's head waits for: their times tell which frame rate it may name."""

_HIGHEST_RATE = 240
"""Frames a second of the fastest cameras in use."""

_log = logging.getLogger(__name__)


_AnySink = TypeVar("_AnySink", bound="Sink")


class Sink(ABC):
    """Where decoded frames go. Close it, or use it as a context manager."""

    def __enter__(self: _AnySink) -> _AnySink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """One frame; time stamps grow. Raises ConfigError for one of another format, C3VideoError for a full disk."""

    @abstractmethod
    def close(self) -> None:
        """What the container has at its end, then flush, and close the file if it is the sink's."""


class RawSink(Sink):
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

    def write(self, frame: Frame) -> None:
        """Write one frame and flush it."""
        check_planes(frame.planes, self.format, f"frame at pts {frame.pts}")
        with write_errors(self._file):
            self._write_frame(frame)
            self._file.flush()

    def _write_frame(self, frame: Frame) -> None:
        for plane in frame.planes:
            self._file.write(plane_bytes(plane))

    def _write_end(self) -> None:
        """Raw video has none."""

    def close(self) -> None:
        """Flush, and close the file if it is the sink's."""
        try:
            if not self._file.closed:
                with write_errors(self._file):
                    self._write_end()
                    self._file.flush()
        finally:
            if self._close_file:
                with write_errors(self._file):
                    self._file.close()


class Y4MSink(RawSink):
    """YUV4MPEG2: a header line, then `FRAME` and the planes of each frame; y4m.py says what it cannot carry.

    Raises:
        ConfigError: besides, for planar RGB.
    """

    def __init__(self, file: BinaryIO, format: VideoFormat, *, close_file: bool = False) -> None:
        super().__init__(file, format, close_file=close_file)
        self._rate = format.frame_rate or y4m.DEFAULT_RATE
        self._first_pts: int | None = None
        self._num_frames = 0
        with write_errors(file):
            file.write(y4m.header_line(format))
            file.flush()

    def _write_frame(self, frame: Frame) -> None:
        self._look_at_time(frame.pts)
        self._file.write(y4m.FRAME_MAGIC + b"\n")
        super()._write_frame(frame)

    def _look_at_time(self, pts: int) -> None:
        """Say once that times are lost: where a frame is half a frame away from where y4m puts it."""
        if self._first_pts is None:
            self._first_pts = pts
        seconds = (pts - self._first_pts) * self.format.time_base
        if self._num_frames >= 0 and abs(seconds * self._rate - self._num_frames) > Fraction(1, 2):
            _log.warning(
                "y4m has one frame rate: frames are shown at %s a second, frame %d at %.3f s and not %.3f s; "
                "a .mkv and `-f matroska` keep time stamps",
                self._rate,
                self._num_frames,
                self._num_frames / self._rate,
                seconds,
            )
            self._num_frames = -1  # said
        if self._num_frames >= 0:
            self._num_frames += 1


class MatroskaSink(RawSink):
    """Matroska of uncompressed frames, or of FFV1 (lossless; a third to a half of the bytes, and PyAV is needed).

    The first frames wait until there are 16 of them or the end: only then is it known which frame rate to name.

    Args:
        ffv1: whether frames are compressed.
    """

    def __init__(self, file: BinaryIO, format: VideoFormat, *, ffv1: bool = False, close_file: bool = False) -> None:
        super().__init__(file, format, close_file=close_file)
        self._waiting: list[Frame] = []
        self._writer: matroska.MatroskaWriter | None = None
        self._encoder = None
        self._origin = 0
        if ffv1:
            from c3video.media.av_sink import Ffv1Encoder

            self._encoder = Ffv1Encoder(format)

    def _write_frame(self, frame: Frame) -> None:
        if self._writer is not None:
            self._write_block(self._writer, frame)
            return
        self._waiting.append(frame)
        if len(self._waiting) >= _LOOKAHEAD:
            self._write_head()

    def _write_head(self) -> None:
        # A cluster's time stamp has no sign.
        self._origin = min(0, self._waiting[0].pts) if self._waiting else 0
        if self._origin:
            _log.warning("Matroska has no times before 0: all are %.3f s later", -self._origin * self.format.time_base)
        private = self._encoder.extradata if self._encoder else None
        rate = nominal_rate(self._waiting, self.format)
        self._writer = matroska.MatroskaWriter(self._file, self.format, private, rate)
        for frame in self._waiting:
            self._write_block(self._writer, frame)
        self._waiting = []

    def _write_block(self, writer: matroska.MatroskaWriter, frame: Frame) -> None:
        if self._encoder is None:
            data = b"".join(plane_bytes(plane) for plane in frame.planes)
        else:
            data = self._encoder.encode(frame)
        writer.write(data, frame.pts - self._origin, frame.duration)

    def _write_end(self) -> None:
        if self._writer is None:
            self._write_head()
        assert self._writer is not None
        self._writer.finish()


def nominal_rate(frames: list[Frame], video: VideoFormat) -> Fraction:
    """Frames a second that a reader may count on; 0 where there are none.

    ffmpeg moves frames to the ticks of the rate that it is told or, where it is told none, guesses. Where times vary,
    the rate is therefore that of the ticks which all frames lie on, if these are not too close together.
    """
    if not frames:
        return video.frame_rate
    steps = [frame.pts - frames[0].pts for frame in frames]
    if video.frame_rate:
        even = 1 / (video.frame_rate * video.time_base)
        rounding = min(Fraction(1), even / 4)
        if all(abs(step - index * even) <= rounding for index, step in enumerate(steps)):
            return video.frame_rate
    tick = gcd(*steps) * video.time_base
    return 1 / tick if tick * _HIGHEST_RATE >= 1 else Fraction(0)


def container_of(path: str | os.PathLike[str], container: str | None = None) -> str:
    """The container that a name and an option ask for; "-" is y4m unless the option (or the video) says otherwise.

    Raises:
        ConfigError: an unknown name, or one that says another container than the option.
    """
    container = _FFMPEG_NAMES.get(container or "", container)
    if container is not None and container not in CONTAINERS:
        raise ConfigError(f"container {container!r}: must be one of {', '.join(CONTAINERS)}")
    if str(path) == "-":
        if container == "mov":
            raise ConfigError("mov cannot be written to a pipe: use -f matroska, or a file")
        return container or "y4m"
    suffix = Path(path).suffix.lower()
    named = SUFFIXES.get(suffix)
    if container is None and named is None:
        names = ", ".join(f"*{known}" for known in SUFFIXES)
        raise ConfigError(
            f"{path}: an output is {names} or -, not *{suffix}; ffmpeg writes others: "
            f"`c3v decode IN.c3v -o - -f matroska | ffmpeg -i - OUT{suffix}`"
        )
    if container is not None and named is not None and container not in (named, "raw"):
        raise ConfigError(f"{path}: is the name of a {named} file, and {container} was asked for")
    return container or named or "raw"


def container_for(path: str | os.PathLike[str], container: str | None, video: VideoFormat) -> str:
    """The same for a video that is known: a pipe of which nothing was asked is Matroska where y4m cannot carry it.

    Raises:
        ConfigError: as `container_of` and `check_container`; nothing has been opened yet.
    """
    chosen = container_of(path, container)
    if container is None and chosen == "y4m" and str(path) == "-" and video.pix_fmt not in y4m.PIX_FMTS:
        chosen = "matroska"
    check_container(chosen, video)
    return chosen


def check_container(container: str, video: VideoFormat) -> None:
    """Raise ConfigError where a container cannot carry the pixel format; nothing has been opened yet."""
    if container == "y4m":
        y4m.header_line(video)
    if container == "mov":
        rows = 4 if video.field_order > PROGRESSIVE else 2  # as x264 wants them, whatever the chroma
        if video.layout.is_rgb or video.layout.is_gray or video.width % 2 or video.height % rows:
            size = f"{video.width} x {video.height}"
            raise ConfigError(f"mov cannot carry {video.pix_fmt} of {size} without loss: write OUT.mkv")


def not_carried(container: str, video: VideoFormat) -> list[str]:
    """What a container drops of that which is known of a video, in words. Of raw video nothing is expected."""
    known = {
        "colour": f"colour (primaries {video.color_primaries}, transfer {video.color_trc}, matrix {video.color_space})",
        "range": f"{('', 'limited', 'full')[video.color_range]} range",
        "chroma": f"chroma location {video.chroma_location}",
        "aspect": f"sample aspect ratio {video.sample_aspect_ratio}",
        "fields": "field order",
        "rotation": "mirroring" if not video.rotation else f"rotation by {video.rotation} degrees",
        "mastering": "mastering display",
        "light": "content light level",
    }
    unknown_space = (0, 2) if video.layout.is_rgb else (2,)
    if video.color_primaries == 2 and video.color_trc == 2 and video.color_space in unknown_space:
        del known["colour"]
    if video.color_range == 0 or (video.layout.is_rgb and video.color_range == 2):
        del known["range"]
    if video.chroma_location == 0:
        del known["chroma"]
    if video.sample_aspect_ratio in (0, 1):
        del known["aspect"]
    if video.field_order <= PROGRESSIVE:
        del known["fields"]
    if not (video.rotation or video.mirrored):
        del known["rotation"]
    if video.mastering_display is None:
        del known["mastering"]
    if video.content_light is None:
        del known["light"]
    carried: dict[str, set[str]] = {
        "matroska": set(known) - {"chroma"},
        "mov": set(known),
        "nut": set(),
        "y4m": {"range", "aspect", "fields"},
        "raw": set(known),
    }
    if (container == "matroska" and video.chroma_location in matroska.CHROMA_LOCATIONS) or (
        container == "y4m" and y4m.carries_chroma_location(video)
    ):
        carried[container].add("chroma")
    return [words for name, words in known.items() if name not in carried[container]]


def make_sink(file: BinaryIO, container: str, video: VideoFormat, *, close_file: bool = False) -> Sink:
    """A sink that writes to an open file, and a warning of what is not carried.

    Matroska is FFV1 where the file can be sought, and uncompressed in a pipe, whose reader is faster that way.

    Args:
        container: one of CONTAINERS.

    Raises:
        ConfigError: the container cannot carry the pixel format; see `check_container`.
    """
    check_container(container, video)
    if lost := not_carried(container, video):
        _log.warning("%s cannot carry %s; a .mkv and `-f matroska` can", container, ", ".join(lost))
    if container == "matroska":
        return MatroskaSink(file, video, ffv1=file.seekable(), close_file=close_file)
    if container in ("nut", "mov"):
        from c3video.media.av_sink import AvSink

        return AvSink(file, container, video, close_file=close_file)
    return (Y4MSink if container == "y4m" else RawSink)(file, video, close_file=close_file)


def open_sink(
    path: str | os.PathLike[str], video: VideoFormat, *, container: str | None = None, raw: bool = False
) -> Sink:
    """A sink by the name of its file, or by the container asked for; "-" for standard output.

    Args:
        container: one of CONTAINERS; what "-" needs for anything but y4m, or Matroska where y4m cannot carry the video.
        raw: the same as container="raw".

    Raises:
        ConfigError: a name of no container, or one that cannot carry the video; nothing is created then.
        C3VideoError: the file cannot be created.
    """
    chosen = container_for(path, "raw" if raw else container, video)
    if str(path) == "-":
        return make_sink(sys.stdout.buffer, chosen, video)
    try:
        file = open(path, "wb")  # noqa: SIM115 (the sink closes it)
    except OSError as error:
        raise C3VideoError(f"{path}: cannot be written: {error.strerror}") from error
    return make_sink(file, chosen, video, close_file=True)


@contextmanager
def write_errors(file: BinaryIO) -> Iterator[None]:
    """OSError as ours; BrokenPipeError as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        name = getattr(file, "name", "output")
        raise C3VideoError(f"{name}: cannot be written: {error.strerror or error}") from error
