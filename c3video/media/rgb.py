# SPDX-License-Identifier: MIT
"""YUV -> RGB as `ffmpeg -i clip %4d.png` does it, for experiments that have to start from the published pixels.

C3 and the NeRV line of work made the PNG files of their experiments that way: swscale's fast path, in which each chroma
sample stands for its 2x2 block, and BT.601 where the file names no matrix, whatever its size. For 4:2:0 the result
lies some 41 dB from what `c3video.media.source.RgbConverter` makes, which is the better picture of the two: figures of
the one must not be put beside figures of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from c3video.errors import SourceError
from c3video.media.avframe import to_av_frame
from c3video.media.conversion import matrix_of
from c3video.video import Frame, VideoFormat

if TYPE_CHECKING:
    from c3video.encoder import FrameSource


class FfmpegRgb:
    """YUV or gray frames -> gbrp, full range, the same bits as ffmpeg's PNG files; RGB frames pass unchanged.

    Args:
        format: of the frames that go in; 8 bits, since PNG files of 10-bit video are of another kind.

    Attributes:
        format: of those that come out.

    Raises:
        SourceError: the format has more than 8 bits, or a matrix that swscale does not know.
    """

    def __init__(self, format: VideoFormat) -> None:
        layout = format.layout
        self._input = self.format = format
        if layout.is_rgb:
            return
        if layout.bit_depth != 8:
            raise SourceError(f"{format.pix_fmt} cannot be converted as ffmpeg's PNG files are: only 8 bits can")
        self._matrix = matrix_of(format.color_space, usual=6)
        self._range = "JPEG" if format.color_range == 2 or layout.is_gray else "MPEG"
        self.format = replace(format, pix_fmt="gbrp", color_space=0, color_range=2, chroma_location=0)

    def __call__(self, frame: Frame) -> Frame:
        """Convert one frame. Raises ConfigError if it is not of the format promised."""
        if self._input.layout.is_rgb:
            return frame
        if self._input.layout.is_gray:
            return replace(frame, planes=(frame.planes[0],) * 3)
        picture = to_av_frame(frame, self._input).reformat(
            format="gbrp",
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=self._range,
            dst_color_range="JPEG",
            # ACCURATE_RND or a cubic chroma path would be better pictures, and others than the published ones.
            interpolation="BICUBIC",
        )
        planes = []
        for plane in picture.planes:
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
            planes.append(np.ascontiguousarray(rows[:, : plane.width]))
        return replace(frame, planes=tuple(planes))


class RgbSource:
    """A source seen through `FfmpegRgb`, for the encoder.

    Args:
        source: what is converted; it stays the caller's to close.
    """

    def __init__(self, source: FrameSource, format: VideoFormat | None = None) -> None:
        self._source, self._convert = source, FfmpegRgb(format or source.format)
        self.format = self._convert.format

    @property
    def num_frames(self) -> int | None:
        return self._source.num_frames

    def __iter__(self) -> Iterator[Frame]:
        return map(self._convert, self._source)
