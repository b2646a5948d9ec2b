# SPDX-License-Identifier: MIT
"""Sinks that need FFmpeg's encoders and muxers: FFV1 for Matroska, NUT of raw frames, MOV of lossless H.264.

PyAV's muxer of MOV takes neither raw planes nor FFV1; x264 with a quantiser of 0 gives back every sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from c3video.errors import C3VideoError, ConfigError
from c3video.media.avframe import to_av_frame
from c3video.media.orientation import display_matrix
from c3video.media.sink import Sink
from c3video.video import BOTTOM_FIELD_FIRST, PROGRESSIVE, TOP_FIELD_FIRST, Frame, VideoFormat, check_planes

_FIELD_ORDERS = {0: 0, PROGRESSIVE: 1, TOP_FIELD_FIRST: 2, BOTTOM_FIELD_FIRST: 3}
"""AVFieldOrder: stored and shown in the same order."""
_CHROMA_LOCATIONS = ("unspecified", "left", "center", "topleft", "top", "bottomleft", "bottom")


class Ffv1Encoder:
    """Frames -> FFV1, each alone: version 3, slices with checksums, or 1 for pictures too thin to be cut in slices.

    Attributes:
        extradata: what the container keeps for a decoder.
    """

    def __init__(self, video: VideoFormat) -> None:
        try:
            codec = _ffv1(video, {"level": "3", "slicecrc": "1"})
        except av.FFmpegError:
            codec = _ffv1(video, {"level": "1"})
        self._codec, self._video = codec, video
        self.extradata = bytes(codec.extradata or b"")

    def encode(self, frame: Frame) -> bytes:
        """The packet of one frame."""
        if self._video.pix_fmt == "gbrp":
            picture = av.VideoFrame(self._video.width, self._video.height, "bgr0")
            rows = np.frombuffer(memoryview(picture.planes[0]), np.uint8).reshape(self._video.height, -1, 4)
            green, blue, red = frame.planes
            rows[:, : self._video.width] = np.stack([blue, green, red, np.zeros_like(red)], axis=-1)
        else:
            picture = to_av_frame(frame, self._video)
        picture.pts = None
        (packet,) = self._codec.encode(picture)
        return bytes(packet)


def _ffv1(video: VideoFormat, options: dict[str, str]) -> VideoCodecContext:
    """An encoder that is ready. Raises FFmpegError where it does not take the size with these options."""
    codec = av.CodecContext.create("ffv1", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height = video.width, video.height
    # FFV1 has no planar RGB of 8 bits.
    codec.pix_fmt = "bgr0" if video.pix_fmt == "gbrp" else video.pix_fmt
    codec.time_base = video.time_base
    codec.gop_size = 1
    codec.options = options
    codec.open()
    return codec


class AvSink(Sink):
    """Frames to NUT or MOV.

    Args:
        file: buffered binary file; for MOV one that can be sought.
        container: "nut" or "mov".
        video: of every frame.
        close_file: whether `close` closes the file too.

    Raises:
        ConfigError: a frame does not fit the format, or this FFmpeg lacks x264.
        C3VideoError: the file cannot be written (BrokenPipeError is passed on as it is).
    """

    def __init__(self, file: BinaryIO, container: str, video: VideoFormat, *, close_file: bool = False) -> None:
        video.check()
        self.format = video
        self._close_file = close_file
        self._output = _Output(file)
        self._container: av.container.OutputContainer | None = av.open(self._output, "w", format=container)
        try:
            if container == "mov":
                self._stream = self._add_stream("libx264", _x264_options(video))
                self._set_rotation()
            else:
                self._stream = self._add_stream("rawvideo", {})
        except (ValueError, av.FFmpegError) as error:
            raise ConfigError(f"this FFmpeg cannot write {container}: {error}; write OUT.mkv") from error

    def _add_stream(self, codec: str, options: dict[str, str]) -> VideoStream:
        video = self.format
        assert self._container is not None
        stream = self._container.add_stream(codec, rate=video.frame_rate or Fraction(25), options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, video.pix_fmt
        stream.time_base = video.time_base
        context = stream.codec_context
        context.time_base = video.time_base
        if video.sample_aspect_ratio:
            context.sample_aspect_ratio = video.sample_aspect_ratio
        context.color_primaries, context.color_trc = video.color_primaries, video.color_trc
        context.colorspace, context.color_range = video.color_space, video.color_range
        context.field_order = _FIELD_ORDERS[video.field_order]
        return stream

    def _set_rotation(self) -> None:
        video = self.format
        if video.rotation or video.mirrored:
            self._stream.set_display_matrix(display_matrix(video.rotation, video.mirrored))

    def write(self, frame: Frame) -> None:
        """Write one frame; NUT flushes it."""
        check_planes(frame.planes, self.format, f"frame at pts {frame.pts}")
        self._mux(to_av_frame(frame, self.format))

    def _mux(self, frame: av.VideoFrame | None) -> None:
        with self._output.errors():
            assert self._container is not None
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
            self._output.file.flush()

    def close(self) -> None:
        """Write the end of the container, flush, and close the file if it is the sink's. May be called twice."""
        container = self._container
        if container is None:
            return
        try:
            if self._output.error is None:
                self._mux(None)
                with self._output.errors():
                    container.close()
                    self._output.file.flush()
        finally:
            self._container = None
            if self._close_file:
                self._output.file.close()


def _x264_options(video: VideoFormat) -> dict[str, str]:
    # Without a video format x264 writes no description where range and colour are what they are by default.
    parameters = ["log-level=error", *(["videoformat=component"] if video.color_range else [])]
    if video.field_order > PROGRESSIVE:
        parameters.append("tff=1" if video.field_order == TOP_FIELD_FIRST else "bff=1")
    if video.mastering_display is not None:
        screen = video.mastering_display
        points = "".join(
            f"{letter}({x},{y})" for letter, (x, y) in zip("GBR", (screen.green, screen.blue, screen.red), strict=True)
        )
        white = f"WP({screen.white[0]},{screen.white[1]})"
        parameters.append(f"mastering-display={points}{white}L({screen.max_luminance},{screen.min_luminance})")
    if video.content_light is not None:
        parameters.append(f"cll={video.content_light.max_content},{video.content_light.max_average}")
    return {
        "qp": "0",
        "preset": "ultrafast",
        "bf": "0",
        "chroma_sample_location": _CHROMA_LOCATIONS[video.chroma_location],
        "x264-params": ":".join(parameters),
    }


class _Output:
    """A binary file as PyAV writes it; PyAV forgets what a callback raises, so it is kept here.

    Attributes:
        error: the first that writing raised.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: BaseException | None = None
        self.name = str(getattr(file, "name", "output"))
        if file.seekable():
            self.seek, self.tell = file.seek, file.tell

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except BaseException as error:
            self.error = self.error or error
            raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise what writing raised: OSError as ours, BrokenPipeError and interrupts as they are."""
        try:
            yield
        except (av.FFmpegError, OSError, ValueError) as error:
            found = self.error or error
            if isinstance(found, BrokenPipeError) or not isinstance(found, Exception):
                raise found from None
            reason = getattr(found, "strerror", None) or found
            raise C3VideoError(f"{self.name}: cannot be written: {reason}") from error
