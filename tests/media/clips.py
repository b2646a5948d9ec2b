# SPDX-License-Identifier: MIT
"""Small files made by PyAV, and what comes of reading them."""

from __future__ import annotations

import re
import shutil
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.video.plane import VideoPlane
from av.video.stream import VideoStream
from numpy.typing import NDArray

from c3video.errors import SourceError
from c3video.media.source import open_source
from c3video.video import Frame, VideoFormat, plane_bytes

RATE = Fraction(25)

FFMPEG = shutil.which("ffmpeg") or ""
needs_ffmpeg = pytest.mark.skipif(not FFMPEG, reason="the program ffmpeg is not installed")


def random_frame(video: VideoFormat, seed: int = 0, pts: int = 0) -> Frame:
    rng = np.random.default_rng(seed)
    layout = video.layout
    planes = tuple(
        rng.integers(0, layout.max_value, shape, dtype=layout.dtype, endpoint=True) for shape in video.plane_shapes
    )
    return Frame(planes, pts, 1)


def rows(plane: VideoPlane, dtype: str = "u1") -> NDArray[Any]:
    """Rows of an av.VideoPlane with their padding: a view."""
    return np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)


def fill(frame: av.VideoFrame, seed: int = 0) -> av.VideoFrame:
    """Random bytes in all planes of an av.VideoFrame; samples of 9 to 14 bits stay within them."""
    rng = np.random.default_rng(seed)
    for plane in frame.planes:
        data = rows(plane)
        data[:] = rng.integers(0, 256, data.shape)
        if frame.format.name.startswith("p") and frame.format.name.endswith("10le"):
            rows(plane, "<u2")[:] &= 0xFFC0  # the upper ten bits
        elif frame.format.name.endswith("10be"):
            rows(plane, ">u2")[:] &= 0x3FF
        elif (bits := re.search(r"[a-z](9|1[0-4])le$", frame.format.name)) is not None:
            rows(plane, "<u2")[:] &= (1 << int(bits[1])) - 1
    return frame


def encode(
    path: Any,
    frames: list[av.VideoFrame],
    codec: str = "rawvideo",
    container: str = "nut",
    rate: Fraction = RATE,
    options: dict[str, str] | None = None,
    **fields: Any,
) -> Any:
    """Write av.VideoFrames, whose pts are in units of 1 / rate unless they have a time base."""
    with av.open(path, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = frames[0].format.name
        for name, value in fields.items():
            setattr(stream.codec_context, name, value)
        for index, frame in enumerate(frames):
            if frame.pts is None:
                frame.pts, frame.time_base = index, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def pictures(pix_fmt: str, size: tuple[int, int] = (36, 28), num_frames: int = 3) -> list[av.VideoFrame]:
    return [fill(av.VideoFrame(size[0], size[1], pix_fmt), seed) for seed in range(num_frames)]


def visible(frame: av.VideoFrame) -> bytes:
    """Bytes of a frame's planes as they are shown, without padding (formats of one sample a component)."""
    itemsize = 2 if "10" in frame.format.name else 1
    return b"".join(rows(plane)[:, : plane.width * itemsize].tobytes() for plane in frame.planes)


def stored(frame: Frame) -> bytes:
    return b"".join(bytes(plane_bytes(plane)) for plane in frame.planes)


def read_all(path: Any, **options: Any) -> tuple[VideoFormat, list[Frame]]:
    with open_source(path, **options) as source:
        return source.format, list(source)


def error_of(path: Any, **options: Any) -> str:
    """The one line of the SourceError that opening or reading raises."""
    with pytest.raises(SourceError) as caught:
        read_all(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
