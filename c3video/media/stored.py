# SPDX-License-Identifier: MIT
"""y4m and headerless raw video: planes as they lie in the file.

They are read here because FFmpeg drops a truncated last frame of y4m without a word.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from typing import BinaryIO

import numpy as np

from c3video.errors import ConfigError, SourceError
from c3video.media import y4m
from c3video.media.opened import Faults, Opened
from c3video.video import LAYOUTS, Frame, Planes, VideoFormat


def file_bytes(file: BinaryIO) -> int | None:
    """Size of a regular file; None for pipes."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def raw_format(size: tuple[int, int] | None, pix_fmt: str | None, fps: Fraction | None) -> VideoFormat | None:
    """The format that options give headerless video; None where they say that it is none.

    Raises:
        SourceError: one of the two is missing, or a value is out of range.
    """
    if size is None and pix_fmt is None:
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
    video = VideoFormat(
        size[0],
        size[1],
        pix_fmt,
        time_base=1 / rate,
        frame_rate=rate,
        color_space=0 if LAYOUTS[pix_fmt].is_rgb else 2,
        color_range=2 if LAYOUTS[pix_fmt].is_rgb else 0,
    )
    try:
        video.check()
    except ConfigError as error:
        raise SourceError(f"raw video: {error}") from error
    return video


def open_raw(file: BinaryIO, name: str, video: VideoFormat, faults: Faults) -> Opened:
    """Raw video of a known format."""
    num_bytes = file_bytes(file)
    if num_bytes == 0:
        raise SourceError(f"{name}: is empty (0 bytes)")
    if num_bytes is not None and num_bytes % video.frame_bytes:
        whole, rest = divmod(num_bytes, video.frame_bytes)
        raise SourceError(
            f"{name}: {num_bytes} bytes are {whole} frames of {video.width} x {video.height} {video.pix_fmt} "
            f"({video.frame_bytes} bytes each) and {rest} bytes more: wrong --size or --pix-fmt, or truncated"
        )
    num_frames = None if num_bytes is None else num_bytes // video.frame_bytes
    return Opened(name, video, num_frames, _stored_frames(file, name, video, None, faults), file.close, faults)


def open_y4m(file: BinaryIO, name: str, faults: Faults) -> Opened:
    """A y4m stream, by its header."""
    line = file.readline(y4m.MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise SourceError(f"{name}: y4m header does not end within {len(line)} bytes: truncated or damaged")
    try:
        video = y4m.parse_header(line[:-1])
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from error
    num_frames, num_bytes = None, file_bytes(file)
    if num_bytes is not None:
        # Frame lines may be longer than this, but none is known to be: good enough for a progress bar.
        num_frames = (num_bytes - len(line)) // (len(y4m.FRAME_MAGIC) + 1 + video.frame_bytes)
        if num_frames == 0:
            raise SourceError(
                f"{name}: y4m without a whole frame: {num_bytes - len(line)} bytes after the header, "
                f"a frame of {video.width} x {video.height} {video.pix_fmt} has {video.frame_bytes}"
            )
    frames = _stored_frames(file, name, video, y4m.FRAME_MAGIC, faults)
    return Opened(name, video, num_frames, frames, file.close, faults)


def _stored_frames(
    file: BinaryIO, name: str, video: VideoFormat, magic: bytes | None, faults: Faults
) -> Iterator[Frame]:
    """Frames as they lie in a file, each after a line that starts with `magic` if there is one."""
    for index in count():
        if magic is not None:
            line = file.readline(y4m.MAX_LINE_BYTES)
            if not line:
                return
            if not line.endswith(b"\n") and (magic + b"\n").startswith(line[: len(magic) + 1]):
                faults.meet(f"ends within the line before frame {index}")
                return
            if not (line.startswith(magic) and line.endswith(b"\n")):
                raise SourceError(
                    f"{name}: frame {index} starts with {line[:20]!r}, not {magic!r}: truncated or damaged"
                )
        data = file.read(video.frame_bytes)
        if not data and magic is None:
            return
        if len(data) < video.frame_bytes:
            faults.meet(
                f"frame {index} is truncated: {len(data)} of {video.frame_bytes} bytes; "
                f"{index} whole frames come before it"
            )
            return
        yield Frame(_split_planes(data, video), pts=index, duration=1)


def _split_planes(data: bytes, video: VideoFormat) -> Planes:
    dtype, planes, offset = video.layout.dtype, [], 0
    for height, width in video.plane_shapes:
        plane = np.frombuffer(data, dtype.newbyteorder("<"), height * width, offset).reshape(height, width)
        planes.append(plane.astype(dtype, copy=False))
        offset += plane.nbytes
    return tuple(planes)
