# SPDX-License-Identifier: MIT
"""Planes that the hybrid model codes: exact on the way there and back, and priced by what they add to RGB."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.hybrid.coded_planes import UNIT_NORM, coded_format, from_coded, to_coded
from c3video.video import LAYOUTS, Planes, VideoFormat


def pixel(*values: int, dtype: type[np.unsignedinteger] = np.uint8) -> Planes:
    return tuple(np.full((1, 1), value, dtype=dtype) for value in values)


def values_of(planes: Planes) -> list[int]:
    return [int(plane[0, 0]) for plane in planes]


@pytest.mark.parametrize(
    ("green_blue_red", "luma", "green_difference", "orange_difference"),
    [
        ((0, 0, 0), 0, 512, 512),
        ((255, 255, 255), 1020, 512, 512),
        ((255, 0, 0), 510, 1022, 512),
        ((0, 255, 0), 255, 257, 2),
        ((0, 0, 255), 255, 257, 1022),
        ((9, 2, 5), 25, 523, 518),
    ],
)
def test_worked_by_hand(
    green_blue_red: tuple[int, int, int], luma: int, green_difference: int, orange_difference: int
) -> None:
    coded = to_coded(pixel(*green_blue_red), LAYOUTS["gbrp"])
    assert values_of(coded) == [luma, green_difference, orange_difference]
    assert values_of(from_coded(coded, LAYOUTS["gbrp"])) == list(green_blue_red)


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp10le"])
def test_rgb_comes_back_exactly(pix_fmt: str) -> None:
    layout, rng = LAYOUTS[pix_fmt], np.random.default_rng(0)
    planes = tuple(rng.integers(0, layout.max_value + 1, (60, 70)).astype(layout.dtype) for _ in range(3))
    coded = to_coded(planes, layout)
    depth = coded_format(VideoFormat(70, 60, pix_fmt)).bit_depth
    assert depth == layout.bit_depth + 2
    assert max(plane.max() for plane in coded) < 1 << depth
    for plane, found in zip(planes, from_coded(coded, layout), strict=True):
        assert found.dtype == layout.dtype
        np.testing.assert_array_equal(found, plane)


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp10le"])
def test_what_decodes_beyond_the_range_is_clipped(pix_fmt: str) -> None:
    layout = LAYOUTS[pix_fmt]
    most = (4 << layout.bit_depth) - 1
    values = np.array(np.meshgrid(*[[0, 1, most // 2, most - 1, most]] * 3)).reshape(3, 5, 25).astype(np.int64)
    luma, green, orange = values[0] + 2, values[1] - (most + 1) // 2, values[2] - (most + 1) // 2
    wanted = luma + green, luma - green - orange, luma - green + orange
    found = from_coded(tuple(plane.astype(np.uint16) for plane in values), layout)
    for plane, value in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(plane, np.clip(value >> 2, 0, layout.max_value))


def test_norms_are_what_a_plane_adds_to_rgb() -> None:
    coded, layout = coded_format(VideoFormat(1, 1, "gbrp10le")), LAYOUTS["gbrp10le"]
    middle = np.array(values_of(from_coded(pixel(2048, 2048, 2048, dtype=np.uint16), layout)))
    for plane, norm in enumerate(coded.norms):
        moved = [2048, 2048, 2048]
        moved[plane] += 400
        change = values_of(from_coded(pixel(*moved, dtype=np.uint16), layout)) - middle
        assert np.linalg.norm(change) / 100 == pytest.approx(norm / UNIT_NORM, abs=0.5 / UNIT_NORM)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gray"])
def test_other_planes_are_coded_as_they_are(pix_fmt: str) -> None:
    video = VideoFormat(5, 3, pix_fmt)
    coded, layout = coded_format(video), video.layout
    planes = tuple(np.ones(shape, layout.dtype) for shape in video.plane_shapes)
    assert to_coded(planes, layout) is planes
    assert (coded.shapes, coded.shifts, coded.bit_depth) == (video.plane_shapes, layout.planes, layout.bit_depth)
    assert set(coded.norms) == {UNIT_NORM}
    assert coded.full_range == layout.max_value
    assert coded.dtype == layout.dtype
    wide = tuple(plane.astype(np.uint16) for plane in planes)
    for plane, found in zip(planes, from_coded(wide, layout), strict=True):
        assert found.dtype == plane.dtype
        np.testing.assert_array_equal(found, plane)
