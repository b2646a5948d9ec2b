# SPDX-License-Identifier: MIT
"""The first step of encoding: a file or a pipe -> frames, one at a time. Only this file and avframe.py import `av`.

    y4m, headerless raw ──────────────── read here ──┐
    whatever else FFmpeg opens ── PyAV ── repack ────┴── frame range ── (RGB) ── Frame

y4m and raw video are read here because FFmpeg drops a truncated last frame of y4m without a word. Samples are
never changed, but for `as_rgb`.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, count, islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from c3video.errors import ConfigError, SourceError
from c3video.media import y4m
from c3video.media.avframe import to_av_frame
from c3video.video import LAYOUTS, MAX_PIXELS, Frame, PixelLayout, Planes, VideoFormat, check_planes

_REPACKED = {
    # The same samples in another order: swscale moves them and computes nothing (tests/media/test_source.py).
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
    **dict.fromkeys(("nv16", "yuyv422", "uyvy422", "yvyu422"), "yuv422p"),
    **dict.fromkeys(("nv24", "nv42"), "yuv444p"),
    **dict.fromkeys(("rgb24", "bgr24", "rgb0", "bgr0", "0rgb", "0bgr", "pal8"), "gbrp"),
    **{"p010le": "yuv420p10le", "p210le": "yuv422p10le", "p410le": "yuv444p10le"},
    **{name.removesuffix("le") + "be": name for name in LAYOUTS if name.endswith("le")},
}
_FULL_RANGE_NAMES = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
"""FFmpeg's old names that say the range with the layout."""

_SWSCALE_FLAGS = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)
_CHROMA_LOCATIONS = {"left": 1, "center": 2, "topleft": 3, "top": 4, "bottomleft": 5, "bottom": 6}
_CONVERT = "convert it first: `ffmpeg -i IN -pix_fmt {pix_fmt} -c:v ffv1 OUT.mkv`"

_TAGS: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
"""How PyAV shall read tags that are not UTF-8, which would else keep a file from being opened; since 19 none does."""

_log = logging.getLogger(__name__)


class Source:
    """The frames of a video, in order, once; made by `open_source`. Close it, or use it as a context manager.

    Attributes:
        format: of every frame that comes out.
        num_frames: how many will come, by what the container says; None where it does not. It may be wrong.
    """

    def __init__(self, opened: _Opened, frames: tuple[int, int | None], as_rgb: bool) -> None:
        self._opened, (self._first, self._last) = opened, frames
        self._to_rgb = RgbConverter(opened.format) if as_rgb else None
        self.format = self._to_rgb.format if self._to_rgb else opened.format
        last = min((end for end in (opened.num_frames, self._last) if end is not None), default=None)
        self.num_frames = None if last is None else max(0, last - self._first)

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        self._opened.close()

    def __iter__(self) -> Iterator[Frame]:
        """Raises SourceError when the next frame cannot be had; all before it have come out by then."""
        name, video = self._opened.name, self._opened.format
        index = None
        for index, frame in enumerate(islice(self._opened.frames, self._first, self._last), self._first):
            try:
                check_planes(frame.planes, video, f"{name}: frame {index}")
            except ConfigError as error:
                raise SourceError(str(error)) from error
            yield self._to_rgb(frame) if self._to_rgb else frame
        if index is None:
            raise SourceError(f"{name}: there is no frame {self._first}, the first that was asked for")


def open_source(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    pix_fmt: str | None = None,
    fps: Fraction | None = None,
    frames: tuple[int, int | None] | None = None,
    as_rgb: bool = False,
) -> Source:
    """Open a video for reading its frames one at a time.

    Pixel formats of the same samples in another order (nv12, rgb24, ...) are repacked to the coded ones.
    Pictures come as they are stored: a rotation that the container asks of players is not applied, and a
    warning is logged.

    Args:
        path: of a file or named pipe, "-" for standard input. A still image is a clip of one frame.
        size: (width, height) of headerless raw video, which needs `pix_fmt` too.
        pix_fmt: of headerless raw video, one of LAYOUTS.
        fps: of headerless raw video; 25 where None.
        frames: (first, one past the last or None), counted from 0. Time stamps stay the source's.
        as_rgb: convert to gbrp of the same bit depth; see RgbConverter.

    Raises:
        SourceError: it cannot be opened or read as asked.
    """
    first, last = frames or (0, None)
    if first < 0 or (last is not None and last <= first):
        raise SourceError(f"frames {first}:{last}: the first must be 0 or more, and the last above it")
    raw_format = _raw_format(size, pix_fmt, fps)
    name = "standard input" if str(path) == "-" else str(path)
    file = _open_file(path, name)
    try:
        if raw_format is not None:
            opened = _open_raw(file, name, raw_format)
        # A pipe may have given less than all nine bytes so far; nothing else begins like this.
        elif (start := file.peek(len(y4m.MAGIC))[: len(y4m.MAGIC)]) and y4m.MAGIC.startswith(start):
            opened = _open_y4m(file, name)
        elif not start:
            raise SourceError(f"{name}: is empty (0 bytes)")
        else:
            opened = _open_with_ffmpeg(file, name)
        return Source(opened, (first, last), as_rgb)
    except OSError as error:
        file.close()
        raise SourceError(f"{name}: cannot be read: {error.strerror or error}") from error
    except BaseException:
        file.close()
        raise


@dataclass(frozen=True)
class _Opened:
    """What each of the three ways to open a source comes to."""

    name: str
    format: VideoFormat
    num_frames: int | None
    frames: Iterator[Frame]
    close: Callable[[], None]


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
        raise SourceError(f"{name}: cannot be opened: {reason}") from error


def _file_bytes(file: BinaryIO) -> int | None:
    """Size of a regular file; None for pipes."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


# y4m and raw video: planes as they lie in the file.


def _raw_format(size: tuple[int, int] | None, pix_fmt: str | None, fps: Fraction | None) -> VideoFormat | None:
    if size is None and pix_fmt is None and fps is None:
        return None
    if size is None or pix_fmt is None:
        missing = "size" if size is None else "pixel format"
        raise SourceError(f"headerless raw video needs --size and --pix-fmt: the {missing} is missing")
    if pix_fmt not in LAYOUTS:
        raise SourceError(
            f"raw pixel format {pix_fmt!r} is not supported: must be one of {', '.join(LAYOUTS)}; convert "
            f"others: `ffmpeg -f rawvideo -pix_fmt {pix_fmt} -s {size[0]}x{size[1]} -i IN -c:v ffv1 OUT.mkv`"
        )
    rate = Fraction(25) if fps is None else fps
    if rate <= 0:
        raise SourceError(f"{rate} frames a second: must be above 0")
    video = VideoFormat(
        size[0],
        size[1],
        pix_fmt,
        time_base=1 / rate,
        frame_rate=rate,
        color_space=0 if LAYOUTS[pix_fmt].is_rgb else 2,
        color_range=2 if LAYOUTS[pix_fmt].is_rgb else 0,
    )
    return _checked(video, "raw video")


def _checked(video: VideoFormat, name: str) -> VideoFormat:
    try:
        video.check()
    except ConfigError as error:
        raise SourceError(f"{name}: {error}") from error
    return video


def _open_raw(file: BinaryIO, name: str, video: VideoFormat) -> _Opened:
    num_bytes = _file_bytes(file)
    if num_bytes == 0:
        raise SourceError(f"{name}: is empty (0 bytes)")
    if num_bytes is not None and num_bytes % video.frame_bytes:
        whole, rest = divmod(num_bytes, video.frame_bytes)
        raise SourceError(
            f"{name}: {num_bytes} bytes are {whole} frames of {video.width} x {video.height} {video.pix_fmt} "
            f"({video.frame_bytes} bytes each) and {rest} bytes more: wrong --size or --pix-fmt, or truncated"
        )
    num_frames = None if num_bytes is None else num_bytes // video.frame_bytes
    return _Opened(name, video, num_frames, _stored_frames(file, name, video, None), file.close)


def _open_y4m(file: BinaryIO, name: str) -> _Opened:
    line = file.readline(y4m.MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise SourceError(f"{name}: y4m header does not end within {len(line)} bytes: truncated or damaged")
    try:
        video = y4m.parse_header(line[:-1])
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from error
    num_frames, num_bytes = None, _file_bytes(file)
    if num_bytes is not None:
        # Frame lines may be longer than this, but none is known to be: good enough for a progress bar.
        num_frames = (num_bytes - len(line)) // (len(y4m.FRAME_MAGIC) + 1 + video.frame_bytes)
        if num_frames == 0:
            raise SourceError(
                f"{name}: y4m without a whole frame: {num_bytes - len(line)} bytes after the header, "
                f"a frame of {video.width} x {video.height} {video.pix_fmt} has {video.frame_bytes}"
            )
    return _Opened(name, video, num_frames, _stored_frames(file, name, video, y4m.FRAME_MAGIC), file.close)


def _stored_frames(file: BinaryIO, name: str, video: VideoFormat, magic: bytes | None) -> Iterator[Frame]:
    """Frames as they lie in a file, each after a line that starts with `magic` if there is one."""
    for index in count():
        if magic is not None:
            line = file.readline(y4m.MAX_LINE_BYTES)
            if not line:
                return
            if not (line.startswith(magic) and line.endswith(b"\n")):
                raise SourceError(
                    f"{name}: frame {index} starts with {line[:20]!r}, not {magic!r}: truncated or damaged"
                )
        data = file.read(video.frame_bytes)
        if not data and magic is None:
            return
        if len(data) < video.frame_bytes:
            raise SourceError(
                f"{name}: frame {index} is truncated: {len(data)} of {video.frame_bytes} bytes; "
                f"{index} whole frames come before it (--frames 0:{index} takes these)"
            )
        yield Frame(_split_planes(data, video), pts=index, duration=1)


def _split_planes(data: bytes, video: VideoFormat) -> Planes:
    dtype, planes, offset = video.layout.dtype, [], 0
    for height, width in video.plane_shapes:
        plane = np.frombuffer(data, dtype.newbyteorder("<"), height * width, offset).reshape(height, width)
        planes.append(plane.astype(dtype, copy=False))
        offset += plane.nbytes
    return tuple(planes)


# Everything else: FFmpeg, through PyAV.


class _Input:
    """A binary file as PyAV reads it.

    PyAV prints and forgets what a callback raises unless it is an `Exception`, and takes it for the end of
    the file: Ctrl-C is therefore kept here, and raised by `_av_errors`.
    """

    def __init__(self, file: Any, name: str) -> None:
        self.name = name  # FFmpeg looks at its suffix
        self.interrupt: KeyboardInterrupt | None = None
        self._file = file
        if file.seekable():
            self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if self.interrupt is not None:
            return b""  # FFmpeg asks again after the end; the pipe may still be open
        try:
            data: bytes = self._file.read1(size)  # what a pipe has by now, not what it may have later
            return data
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
            return b""


@contextmanager
def _av_errors(source: _Input, doing: str) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, RuntimeError, MemoryError) as error:
        if source.interrupt is not None:
            raise source.interrupt from None
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{source.name}: {doing}: {reason}") from error
    if source.interrupt is not None:
        raise source.interrupt


def _open_with_ffmpeg(file: BinaryIO, name: str) -> _Opened:
    source = _Input(file, name)
    with _av_errors(source, "cannot be opened as a video"):
        # The whitelist keeps a playlist from reaching over the network.
        options = {"protocol_whitelist": "file,crypto,data"}
        container = av.open(source, "r", options=options, **_TAGS)
    try:
        stream = _video_stream(container, name)
        decoded = _decode(container, stream, source)
        first = next(decoded, None)
        if first is None:
            raise SourceError(f"{name}: its video stream has no frames")
        video = _checked(_format_of(container, stream, first, name), name)
        if first.rotation:
            _log.warning("%s: rotation by %d degrees on display is not applied", name, first.rotation)
    except BaseException:
        container.close()
        raise

    def close() -> None:
        container.close()
        file.close()

    frames = _repacked_frames(chain([first], decoded), video, first.format.name, name)
    return _Opened(name, video, _num_frames(container, stream), frames, close)


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    stream = container.streams.best("video")
    # FFmpeg shows a text file as the picture of a terminal, and the cover of a song as a video.
    if container.format.name == "tty" or stream is None or stream.disposition & Disposition.attached_pic:
        raise SourceError(f"{name}: has no video stream (FFmpeg takes it for {container.format.long_name})")
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    if context is None:
        raise SourceError(f"{name}: this FFmpeg has no decoder for its video stream")
    if context.width and context.height:  # else known with the first frame only
        _checked(VideoFormat(context.width, context.height, "gray"), name)
    # Bounds what a later change of size may ask memory for.
    context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "AUTO"
    return stream


def _decode(container: InputContainer, stream: VideoStream, source: _Input) -> Iterator[av.VideoFrame]:
    frames = container.decode(stream)
    for index in count():
        with _av_errors(source, f"frame {index} cannot be decoded"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _format_of(container: InputContainer, stream: VideoStream, frame: av.VideoFrame, name: str) -> VideoFormat:
    layout = _coded_layout(frame, name)
    color_range = 2 if frame.format.name in _FULL_RANGE_NAMES else frame.color_range
    return VideoFormat(
        width=frame.width,
        height=frame.height,
        pix_fmt=layout.name,
        # PyAV 19 has a rational of its own, which is false where nothing is known.
        time_base=Fraction(stream.time_base or Fraction(1, 25)),
        frame_rate=Fraction(stream.average_rate or stream.guessed_rate or 0),
        sample_aspect_ratio=Fraction(stream.sample_aspect_ratio or 0),
        color_primaries=frame.color_primaries,
        color_trc=frame.color_trc,
        color_space=0 if layout.is_rgb else frame.colorspace,
        color_range=color_range or (2 if layout.is_rgb else 0),
        chroma_location=_chroma_location(container, stream) if layout.cell_width > 1 else 0,
    )


def _coded_layout(frame: av.VideoFrame, name: str) -> PixelLayout:
    found = frame.format.name
    pix_fmt = _FULL_RANGE_NAMES.get(found) or _REPACKED.get(found, found)
    if pix_fmt in LAYOUTS:
        return LAYOUTS[pix_fmt]
    components = frame.format.components
    has_alpha = any(component.is_alpha for component in components)
    is_deep = any(component.bits > 8 for component in components)
    if frame.format.is_rgb:
        target = "gbrp10le" if is_deep else "bgr0"  # FFV1 has no gbrp of 8 bits
    else:
        target = ("gray" if len(components) - has_alpha == 1 else "yuv420p") + ("10le" if is_deep else "")
    if has_alpha:
        raise SourceError(
            f"{name}: pixel format {found} has an alpha channel, which is not coded; {_CONVERT.format(pix_fmt=target)}"
        )
    raise SourceError(
        f"{name}: pixel format {found} is not supported: must be one of {', '.join(LAYOUTS)}; "
        f"{_CONVERT.format(pix_fmt=target)}"
    )


def _chroma_location(container: InputContainer, stream: VideoStream) -> int:
    """The code point of a stream's chroma location.

    PyAV 18 has no property for it; FFmpeg's description of the container tells it when asked to be verbose:
    `Stream #0:0: Video: h264 (High), ..., yuv420p(tv, bt709, progressive, left), 352x288 ...`.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    av.logging.set_libav_level(av.logging.VERBOSE)
    try:
        description = container.dumps_format()  # type: ignore[attr-defined]  # not in PyAV's stubs
    finally:
        av.logging.set_libav_level(av.logging.INFO)  # FFmpeg's default; PyAV cannot tell what it was
        av.logging.set_level(level)
    # The pixel format's bracket follows its name at once, the codec's after a space.
    details = re.search(rf"Stream #0:{stream.index}\b[^\n]*: Video: [^\n]*?\w\(([^)\n]*)\)", description)
    words = details[1].split(", ") if details else []
    return next((_CHROMA_LOCATIONS[word] for word in words if word in _CHROMA_LOCATIONS), 0)


def _num_frames(container: InputContainer, stream: VideoStream) -> int | None:
    if stream.frames:
        return stream.frames
    if container.duration and stream.average_rate:
        return round(Fraction(container.duration, av.time_base) * Fraction(stream.average_rate)) or None
    return None


def _repacked_frames(decoded: Iterator[av.VideoFrame], video: VideoFormat, pix_fmt: str, name: str) -> Iterator[Frame]:
    """Frames in the coded layout, with time stamps that grow.

    A missing time stamp is the one before plus one frame at the nominal rate; one that does not grow becomes
    the one before plus 1.
    """
    reformatter = VideoReformatter()
    nominal_duration = max(1, round(1 / (video.frame_rate * video.time_base))) if video.frame_rate else 1
    previous_pts: int | None = None
    for index, frame in enumerate(decoded):
        found = frame.width, frame.height, frame.format.name
        if found != (video.width, video.height, pix_fmt):
            raise SourceError(
                f"{name}: frame {index} is {found[0]} x {found[1]} {found[2]}, those before are "
                f"{video.width} x {video.height} {pix_fmt}: encode them apart (first: --frames 0:{index})"
            )
        if pix_fmt in _REPACKED:
            if pix_fmt == "pal8":
                _check_opaque(frame, f"{name}: frame {index}")
            frame = reformatter.reformat(frame, format=video.pix_fmt, interpolation=_SWSCALE_FLAGS, threads=1)
        pts = frame.pts
        if previous_pts is not None:
            pts = previous_pts + nominal_duration if pts is None else max(pts, previous_pts + 1)
        previous_pts = pts or 0
        yield Frame(_copied_planes(frame, video.layout), previous_pts, max(0, frame.duration or 0))


def _check_opaque(frame: av.VideoFrame, name: str) -> None:
    palette = np.frombuffer(memoryview(frame.planes[1]), dtype=np.uint32)[:256]  # native 0xAARRGGBB
    if (palette >> 24 != 255).any():
        raise SourceError(
            f"{name}: its palette has transparent colours, which are not coded; {_CONVERT.format(pix_fmt='bgr0')}"
        )


def _copied_planes(frame: av.VideoFrame, layout: PixelLayout) -> Planes:
    planes = []
    for plane in frame.planes:
        # Rows are padded to line_size bytes; where it is negative, the buffer starts at the last row.
        rows = np.frombuffer(memoryview(plane), layout.dtype.newbyteorder("<")).reshape(plane.height, -1)
        rows = rows[:: 1 if plane.line_size > 0 else -1, : plane.width]
        planes.append(rows.astype(layout.dtype, order="C"))
    return tuple(planes)


_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_NO_MATRIX = (0, 2, 3)
"""RGB (wrong for YUV), unspecified and reserved."""


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
        space = format.color_space
        if space in _NO_MATRIX:
            space = 1 if format.height >= 720 else 6
        if space not in _MATRICES:
            raise SourceError(
                f"colour matrix {space} cannot be converted to RGB: must be one of "
                f"{', '.join(str(number) for number in _MATRICES)} (ISO/IEC 23091-2)"
            )
        self._matrix = _MATRICES[space]
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
            interpolation=_SWSCALE_FLAGS,
            threads=1,
        )
        return replace(frame, planes=_copied_planes(converted, self.format.layout))
