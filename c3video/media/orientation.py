# SPDX-License-Identifier: MIT
"""Pictures that are stored turned or mirrored, as phones do: the matrices of containers, and turning them upright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from c3video.errors import SourceError
from c3video.video import PROGRESSIVE, Frame, VideoFormat

_TURNS = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}
"""(cosine, sine) of degrees."""
_TURNED_LOCATIONS = {
    # 2 is the centre of all; others may come to lie where there is no code point for them: then 0.
    90: {1: 4, 2: 2, 5: 3, 6: 1},
    180: {2: 2, 4: 6, 6: 4},
    270: {1: 6, 2: 2, 3: 5, 4: 1},
}
"""Chroma location after turning clockwise, by that before."""
_MIRRORED_LOCATIONS = {2: 2, 4: 4, 6: 6}


def display_matrix(rotation: int, mirrored: bool) -> tuple[int, ...]:
    """FFmpeg's nine numbers (libavutil/display.h), 16.16 but for the last column, that turn a picture on display."""
    cosine, sine = _TURNS[rotation]
    sign = -1 if mirrored else 1
    one = 1 << 16
    return (sign * cosine * one, sign * sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)


def orientation(matrix: Sequence[int]) -> tuple[int, bool] | None:
    """(rotation, mirrored) of a display matrix, whatever its scale and shift; None where it is no right angle."""
    linear = [int(np.sign(matrix[index])) for index in (0, 1, 3, 4)]
    for rotation in _TURNS:
        for mirrored in (False, True):
            expected = display_matrix(rotation, mirrored)
            if linear == [int(np.sign(expected[index])) for index in (0, 1, 3, 4)]:
                return rotation, mirrored
    return None


class Upright:
    """Frames as a player would show them: mirrored and turned as their format says; no sample is computed.

    Where a side is odd, chroma that stands for two luma samples then lies half a luma sample off.

    Args:
        format: of the frames that go in.

    Attributes:
        format: of those that come out.

    Raises:
        SourceError: 4:2:2 on its side, which no pixel format of this codec can say, or fields.
    """

    def __init__(self, format: VideoFormat) -> None:
        self._input = format
        on_side, location = format.rotation in (90, 270), format.chroma_location
        if (on_side or format.mirrored or format.rotation) and format.field_order > PROGRESSIVE:
            raise SourceError("interlaced pictures cannot be turned: fields are rows; deinterlace them first")
        if on_side and format.layout.cell_width != format.layout.cell_height:
            raise SourceError(f"{format.pix_fmt} cannot be turned by {format.rotation} degrees: 4:4:0 is not coded")
        if format.mirrored:
            location = _MIRRORED_LOCATIONS.get(location, 0)
        if format.rotation:
            location = _TURNED_LOCATIONS[format.rotation].get(location, 0)
        aspect = format.sample_aspect_ratio
        self.format = replace(
            format,
            width=format.height if on_side else format.width,
            height=format.width if on_side else format.height,
            sample_aspect_ratio=1 / aspect if on_side and aspect else aspect,
            chroma_location=location,
            rotation=0,
            mirrored=False,
        )

    def __call__(self, frame: Frame) -> Frame:
        """Turn one frame."""
        planes = []
        for plane in frame.planes:
            flipped = plane[:, ::-1] if self._input.mirrored else plane
            planes.append(np.ascontiguousarray(np.rot90(flipped, -(self._input.rotation // 90))))
        return replace(frame, planes=tuple(planes))
