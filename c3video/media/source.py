# SPDX-License-Identifier: MIT
"""The first step of encoding: a file or a pipe -> frames, one at a time.

    y4m, headerless raw ─────────────────── stored.py ──────┐
    whatever else FFmpeg opens ─ container.py, (conversion) ┴── range of frames or time ── (upright) ── (RGB) ── Frame

Samples are never changed, but for `as_rgb` and where another pixel format is asked for. What is wrong with a source and
what it has that cannot be coded is logged as a warning.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from c3video.errors import ConfigError, SourceError
from c3video.media import y4m
from c3video.media.avframe import to_av_frame
from c3video.media.container import is_pattern, open_container, open_pictures
from c3video.media.conversion import SWSCALE_FLAGS, copied_planes, layout_named, matrix_of
from c3video.media.opened import Faults, Opened
from c3video.media.orientation import Upright
from c3video.media.selection import Selection, numbered
from c3video.media.stored import open_raw, open_y4m, raw_format
from c3video.video import Frame, VideoFormat, check_planes

RAW_SUFFIXES = (".yuv", ".raw", ".rgb", ".i420", ".nv12")
"""Names of headerless video, whose size and pixel format must be told."""

_log = logging.getLogger(__name__)


class Source:
    """The frames of a video, in order, once; made by `open_source`. Close it, or use it as a context manager.

    Attributes:
        format: of every frame that comes out.
        num_frames: how many will come, by what the container says; None where it does not. It may be wrong.
    """

    def __init__(self, opened: Opened, selection: Selection, rotate: bool, as_rgb: bool, to_encode: bool) -> None:
        self._opened, self._selection = opened, selection
        self.format = opened.format
        self._upright = self._to_rgb = None
        if rotate and (self.format.rotation or self.format.mirrored):
            self._upright = Upright(self.format)
            self.format = self._upright.format
        if as_rgb:
            self._to_rgb = RgbConverter(self.format)
            self.format = self._to_rgb.format
        if opened.left_out and to_encode:
            _log.warning("%s: %s", opened.name, opened.left_out)
        self.num_frames = selection.num_frames_of(opened.num_frames, opened.format.frame_rate)

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def faults(self) -> tuple[str, ...]:
        """What has been found wrong so far without losing good frames, in words."""
        return self._opened.faults.found

    def close(self) -> None:
        """Let go of the file, and say what was wrong with it; may be called twice."""
        self._opened.close()
        self._opened.faults.say()

    def __iter__(self) -> Iterator[Frame]:
        """Raises SourceError when the next frame cannot be had; all before it have come out by then."""
        name, video = self._opened.name, self._opened.format
        frames = numbered(self._opened.frames, video, self._opened.first_pts)
        try:
            for _, frame in self._selection.of(frames, video, name, self._opened.faults.meet):
                check_planes(frame.planes, video, f"{name}: frame of time stamp {frame.pts}")
                if self._upright:
                    frame = self._upright(frame)
                yield self._to_rgb(frame) if self._to_rgb else frame
        except ConfigError as error:
            raise SourceError(str(error)) from error


def open_source(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    pix_fmt: str | None = None,
    fps: Fraction | None = None,
    frames: tuple[int, int | None] | None = None,
    start: Fraction | None = None,
    end: Fraction | None = None,
    stream: int | None = None,
    rotate: bool = False,
    strict: bool = False,
    as_rgb: bool = False,
    to_encode: bool = True,
) -> Source:
    """Open a video for reading its frames one at a time.

    Pixel formats of the same samples in another order (nv12, rgb24, ...) are repacked to the coded ones. Alpha that is
    opaque everywhere is left out. A packet that cannot be decoded costs its own frames only.

    Args:
        path: of a file or named pipe, "-" for standard input. A still image is a clip of one frame, and
            "frame_%03d.png" one of all images so numbered.
        size: (width, height) of headerless raw video, which needs `pix_fmt` too.
        pix_fmt: of headerless raw video, one of LAYOUTS. Without `size` the one that frames are converted to where they
            have another; what that loses is logged as a warning (conversion.py).
        fps: of raw video, numbered images and bare streams of a codec (.h264): 25 for the first two where None, what
            the codec's headers say for the last.
        frames: (first, one past the last or None), counted from 0. Time stamps stay the source's.
        start, end: seconds after the first frame, in place of `frames`: those shown at `start` or later, before `end`.
        stream: number of the video stream in its container; FFmpeg's choice where None.
        rotate: turn pictures as players are told to; otherwise the format says how.
        strict: whether what is wrong with the source is an error even where good frames can be had.
        as_rgb: convert to gbrp of the same bit depth; see RgbConverter.
        to_encode: whether it is said what a .c3v stream has no place for, and which options of `c3v encode` help.

    Raises:
        SourceError: it cannot be opened or read as asked.
    """
    try:
        selection = Selection.of_options(frames, start, end)
        target = None if size is not None or pix_fmt is None else layout_named(pix_fmt)
    except ConfigError as error:
        raise SourceError(str(error)) from error
    name = "standard input" if str(path) == "-" else str(path)
    if fps is not None and fps <= 0:
        raise SourceError(f"{fps} frames a second: must be above 0")
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:/", name):
        raise SourceError(
            f"{name}: addresses are not opened: download it, or "
            f"`ffmpeg -i {name} -c:v ffv1 -f matroska - | c3v encode - OUT.c3v`"
        )
    video = None if size is None else raw_format(size, pix_fmt, fps)
    faults = Faults(name, strict)
    if video is None and is_pattern(path):
        return _source(open_pictures(path, fps, faults, target), selection, rotate, as_rgb, to_encode)
    file = _open_file(path, name)
    try:
        if video is not None:
            opened = open_raw(file, name, video, faults)
        # A pipe may have given less than all nine bytes so far; nothing else begins like this.
        elif (begin := file.peek(len(y4m.MAGIC))[: len(y4m.MAGIC)]) and y4m.MAGIC.startswith(begin) and not target:
            if fps is not None:
                raise SourceError(f"{name}: has a frame rate of its own: leave --fps out")
            opened = open_y4m(file, name, faults)
        elif not begin:
            raise SourceError(f"{name}: is empty (0 bytes)")
        elif Path(name).suffix.lower() in RAW_SUFFIXES:
            and_rate = " and, if it is not 25, its --fps" if to_encode else ""
            raise SourceError(
                f"{name}: raw video has no header: say its --size WxH and its --pix-fmt (yuv420p, yuv420p10le ...)"
                f"{and_rate}"
            )
        else:
            opened = open_container(file, name, stream, fps, faults, selection.start or Fraction(0), target)
        return _source(opened, selection, rotate, as_rgb, to_encode)
    except OSError as error:
        file.close()
        raise SourceError(f"{name}: cannot be read: {error.strerror or error}") from error
    except BaseException:
        file.close()
        raise


def _source(opened: Opened, selection: Selection, rotate: bool, as_rgb: bool, to_encode: bool) -> Source:
    try:
        return Source(opened, selection, rotate, as_rgb, to_encode)
    except BaseException:
        opened.close()
        raise


def _open_file(path: str | Path, name: str) -> Any:
    """A BufferedReader; typeshed does not know that standard input is one."""
    if str(path) == "-":
        if sys.stdin is None:
            raise SourceError(f"{name}: is closed")
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        hint = "; numbered images are named with %, as frame_%03d.png" if re.search(r"[*?\[]", Path(name).name) else ""
        raise SourceError(f"{name}: cannot be opened: {reason}{hint}") from error


class RgbConverter:
    """YUV or gray frames -> gbrp of the same bit depth, full range, by swscale; RGB frames pass unchanged.

    The matrix is the stream's; unspecified, it is BT.709 from 720 rows on and BT.601 below. Range is the
    stream's; unspecified, it is limited for YUV and full for gray. Chroma is taken as sited in the centre,
    whatever the stream says, since PyAV cannot tell swscale; bicubic, accurate rounding.

    Known of swscale 9: 10 bits of limited range come out up to 0.3% low (white is 1020, not 1023); blue wraps
    to 0 where YUV is far outside the legal range (limited range, luma 235 with Cb above 249).

    Args:
        format: of the frames that go in.

    Attributes:
        format: of those that come out.

    Raises:
        SourceError: the matrix is none that swscale knows.
    """

    def __init__(self, format: VideoFormat) -> None:
        layout = format.layout
        self._input, self._reformatter = format, VideoReformatter()
        if layout.is_rgb:
            self.format = format
            return
        self._matrix = matrix_of(format.color_space, usual=1 if format.height >= 720 else 6)
        is_full = format.color_range == 2 or (layout.is_gray and format.color_range == 0)
        self._range = ColorRange.JPEG if is_full else ColorRange.MPEG
        pix_fmt = "gbrp" if layout.bit_depth == 8 else "gbrp10le"
        self.format = replace(format, pix_fmt=pix_fmt, color_space=0, color_range=2, chroma_location=0)

    def __call__(self, frame: Frame) -> Frame:
        """Convert one frame. Raises ConfigError if it is not of the format promised."""
        video, planes = self._input, frame.planes
        if video.layout.is_rgb:
            return frame
        if video.layout.is_gray:
            # swscale takes every gray for full range: give it the same as YUV.
            neutral = np.full_like(planes[0], (video.layout.max_value + 1) // 2)
            video = replace(video, pix_fmt=video.pix_fmt.replace("gray", "yuv444p"))
            planes = (planes[0], neutral, neutral)
        converted = self._reformatter.reformat(
            to_av_frame(replace(frame, planes=planes), video),
            format=self.format.pix_fmt,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=self._range,
            dst_color_range=ColorRange.JPEG,
            interpolation=SWSCALE_FLAGS,
            threads=1,
        )
        return replace(frame, planes=copied_planes(converted, self.format.layout))
