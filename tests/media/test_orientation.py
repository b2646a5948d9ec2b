# SPDX-License-Identifier: MIT
"""Display matrices, and pictures turned as they say."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from c3video.errors import SourceError
from c3video.media.orientation import Upright, display_matrix, orientation
from c3video.video import Frame, VideoFormat

ALL = [(rotation, mirrored) for rotation in (0, 90, 180, 270) for mirrored in (False, True)]


@pytest.mark.parametrize(("rotation", "mirrored"), ALL)
def test_matrices_are_read_as_they_are_written(rotation: int, mirrored: bool) -> None:
    matrix = display_matrix(rotation, mirrored)
    assert orientation(matrix) == (rotation, mirrored)
    scaled = [value // 2 for value in matrix[:6]] + [123, -45, matrix[8]]
    assert orientation(scaled) == (rotation, mirrored)


def test_other_angles_have_no_orientation() -> None:
    assert orientation((1, 1, 0, -1, 1, 0, 0, 0, 1)) is None
    assert orientation((0,) * 9) is None


@pytest.mark.parametrize(("rotation", "mirrored"), ALL)
def test_pixels_go_where_the_matrix_sends_them(rotation: int, mirrored: bool) -> None:
    """(x, y) of each sample, from the centre, times the matrix."""
    video = VideoFormat(5, 3, "gray", rotation=rotation, mirrored=mirrored)
    samples = np.arange(15, dtype=np.uint8).reshape(3, 5)
    turn = Upright(video)
    (found,) = turn(Frame((samples,), 0)).planes
    assert found.shape == (turn.format.height, turn.format.width)
    a, b, _, c, d, *_ = (value / 65536 for value in display_matrix(rotation, mirrored))
    for y in range(3):
        for x in range(5):
            from_centre = x - 2, y - 1
            column = a * from_centre[0] + c * from_centre[1] + (found.shape[1] - 1) / 2
            row = b * from_centre[0] + d * from_centre[1] + (found.shape[0] - 1) / 2
            assert found[int(row), int(column)] == samples[y, x]


def test_format_turns_with_the_pictures() -> None:
    video = VideoFormat(
        6, 4, "yuv420p", sample_aspect_ratio=Fraction(4, 3), chroma_location=1, rotation=90, color_primaries=9
    )
    assert Upright(video).format == replace(
        video, width=4, height=6, sample_aspect_ratio=Fraction(3, 4), chroma_location=4, rotation=0
    )
    planes = tuple(np.zeros(shape, np.uint8) for shape in video.plane_shapes)
    assert [p.shape for p in Upright(video)(Frame(planes, 0)).planes] == [(6, 4), (3, 2), (3, 2)]


@pytest.mark.parametrize(
    ("location", "rotation", "mirrored", "expected"),
    [
        (1, 0, False, 1),
        (2, 270, True, 2),
        (1, 270, False, 6),
        (1, 180, False, 0),
        (4, 180, False, 6),
        (3, 90, False, 0),
        (1, 0, True, 0),
        (4, 90, True, 0),
        (6, 90, False, 1),
    ],
)
def test_chroma_location_turns_where_there_is_a_number_for_it(
    location: int, rotation: int, mirrored: bool, expected: int
) -> None:
    video = VideoFormat(4, 4, "yuv420p", chroma_location=location, rotation=rotation, mirrored=mirrored)
    assert Upright(video).format.chroma_location == expected


def test_what_cannot_be_turned_raises_source_error() -> None:
    with pytest.raises(SourceError, match="4:4:0 is not coded"):
        Upright(VideoFormat(4, 4, "yuv422p", rotation=90))
    with pytest.raises(SourceError, match="interlaced pictures cannot be turned"):
        Upright(VideoFormat(4, 4, "yuv420p", rotation=180, field_order=2))
    assert Upright(VideoFormat(4, 4, "yuv422p", rotation=180)).format.width == 4
