# SPDX-License-Identifier: MIT
"""Formats, cells and hashes."""

from __future__ import annotations

import subprocess
import sys
import zlib
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from c3video.errors import ConfigError
from c3video.video import (
    LAYOUTS,
    ArraySource,
    ContentLight,
    MasteringDisplay,
    Planes,
    VideoFormat,
    cells_to_planes,
    check_planes,
    frame_crc32,
    planes_to_cells,
)

SIZES = [(16, 8), (15, 7), (1, 1), (2, 3)]


def random_planes(video: VideoFormat, seed: int = 0) -> Planes:
    rng = np.random.default_rng(seed)
    layout = video.layout
    return tuple(
        rng.integers(0, layout.max_value, shape, dtype=layout.dtype, endpoint=True) for shape in video.plane_shapes
    )


def test_layout_numbers_are_those_of_version_1() -> None:
    assert {name: layout.number for name, layout in LAYOUTS.items()} == {
        "yuv420p": 1,
        "yuv422p": 2,
        "yuv444p": 3,
        "gray": 4,
        "gbrp": 5,
        "yuv420p10le": 6,
        "yuv422p10le": 7,
        "yuv444p10le": 8,
        "gray10le": 9,
        "gbrp10le": 10,
    }


@pytest.mark.parametrize(
    ("pix_fmt", "cell", "channels"),
    [("yuv420p", (2, 2), 6), ("yuv422p10le", (1, 2), 4), ("yuv444p", (1, 1), 3), ("gray10le", (1, 1), 1)],
)
def test_cell_has_whole_samples_of_every_plane(pix_fmt: str, cell: tuple[int, int], channels: int) -> None:
    layout = LAYOUTS[pix_fmt]
    assert (layout.cell_height, layout.cell_width) == cell
    assert layout.num_cell_channels == channels


def test_odd_sizes_round_up() -> None:
    video = VideoFormat(15, 7, "yuv420p")
    assert video.plane_shapes == ((7, 15), (4, 8), (4, 8))
    assert video.cell_shape == (4, 8)
    assert video.frame_bytes == 7 * 15 + 2 * 4 * 8
    assert VideoFormat(15, 7, "yuv422p10le").plane_shapes == ((7, 15), (7, 8), (7, 8))


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
@pytest.mark.parametrize("size", SIZES)
def test_planes_survive_cells(pix_fmt: str, size: tuple[int, int]) -> None:
    video = VideoFormat(size[0], size[1], pix_fmt)
    planes = random_planes(video)
    cells = planes_to_cells(planes, video)
    assert cells.shape == (video.layout.num_cell_channels, *video.cell_shape)
    assert cells.dtype == video.layout.dtype
    back = cells_to_planes(cells, video)
    assert all(np.array_equal(a, b) and b.flags.c_contiguous for a, b in zip(planes, back, strict=True))


def test_channels_of_420_are_luma_in_raster_order_then_chroma() -> None:
    video = VideoFormat(4, 2, "yuv420p")
    luma = np.array([[0, 1, 2, 3], [10, 11, 12, 13]], dtype=np.uint8)
    u, v = np.array([[50, 51]], dtype=np.uint8), np.array([[60, 61]], dtype=np.uint8)
    cells = planes_to_cells((luma, u, v), video)
    assert cells[:, 0, 0].tolist() == [0, 1, 10, 11, 50, 60]
    assert cells[:, 0, 1].tolist() == [2, 3, 12, 13, 51, 61]


def test_odd_edges_repeat_the_last_row_and_column() -> None:
    video = VideoFormat(3, 1, "yuv420p")
    planes = (
        np.array([[1, 2, 3]], dtype=np.uint8),
        np.array([[5, 6]], dtype=np.uint8),
        np.array([[7, 8]], dtype=np.uint8),
    )
    assert planes_to_cells(planes, video)[:, 0, 1].tolist() == [3, 3, 3, 3, 6, 8]


def test_hash_counts_planes_in_order_low_byte_first() -> None:
    planes = (np.array([[0x0102, 0x03FF]], dtype=np.uint16), np.array([[7]], dtype=np.uint16))
    assert frame_crc32(planes) == zlib.crc32(bytes([2, 1, 0xFF, 3, 7, 0]))
    strided = np.arange(12, dtype=np.uint8).reshape(3, 4)[:, ::2]
    assert frame_crc32((strided,)) == zlib.crc32(bytes([0, 2, 4, 6, 8, 10]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 0}, "width = 0: must be in 1..16384"),
        ({"height": -3}, "height = -3"),
        ({"width": 16_385}, "16385"),
        ({"width": 16_384, "height": 16_384}, "at most 134217728"),
        ({"pix_fmt": "yuv411p"}, "'yuv411p' is not supported: use one of yuv420p"),
        ({"time_base": Fraction(0)}, "time_base"),
        ({"time_base": Fraction(1, 1 << 31)}, "time_base"),
        ({"frame_rate": Fraction(-1)}, "frame_rate"),
        ({"sample_aspect_ratio": Fraction(-1, 2)}, "sample_aspect_ratio"),
        ({"color_primaries": 256}, "color_primaries"),
        ({"color_range": 3}, "color_range"),
        ({"chroma_location": 7}, "chroma_location"),
    ],
)
def test_format_out_of_range_raises_config_error(change: dict[str, Any], words: str) -> None:
    good = VideoFormat(16, 8, "yuv420p")
    good.check()
    with pytest.raises(ConfigError) as caught:
        replace(good, **change).check()
    assert words in str(caught.value)


def test_largest_frame_is_accepted() -> None:
    VideoFormat(16_384, 8_192, "gbrp10le").check()


@pytest.mark.parametrize(
    ("planes", "words"),
    [
        ((np.zeros((8, 16), np.uint16),), "planes of shapes"),
        ((np.zeros((8, 16), np.uint8),) * 3, "plane 0: uint8; yuv444p10le has uint16"),
        ((np.full((8, 16), 1024, np.uint16),) * 3, "sample 1024 is above 1023"),
    ],
)
def test_planes_of_another_format_raise_config_error(planes: Planes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_planes(planes, VideoFormat(16, 8, "yuv444p10le"), "frame 0")


def test_array_source_gives_frames_as_often_as_asked() -> None:
    array = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)  # (T, planes, H, W)
    source = ArraySource(array, VideoFormat(5, 4, "gbrp"))
    assert source.num_frames == 2
    for _ in range(2):
        frames = list(source)
        assert [frame.pts for frame in frames] == [0, 1]
        assert np.array_equal(np.stack(frames[1].planes), array[1])


def test_array_source_takes_gray_and_lists_of_planes() -> None:
    gray = np.zeros((3, 4, 5), np.uint8)
    assert ArraySource(gray, VideoFormat(5, 4, "gray")).num_frames == 3
    video = VideoFormat(5, 3, "yuv420p10le")
    planes = random_planes(video)
    (frame,) = ArraySource([planes], video)
    assert frame_crc32(frame.planes) == frame_crc32(planes)


def test_array_source_of_wrong_shape_raises_config_error() -> None:
    with pytest.raises(ConfigError, match="must have 4 dimensions"):
        ArraySource(np.zeros((3, 4, 5), np.uint8), VideoFormat(5, 4, "gbrp"))
    with pytest.raises(ConfigError, match="frame 0"):
        ArraySource(np.zeros((2, 3, 4, 5), np.uint8), VideoFormat(5, 4, "yuv420p"))


def test_video_sink_and_avframe_import_no_av() -> None:
    program = "import sys, c3video.video, c3video.media.sink, c3video.media.avframe; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"field_order": 4}, "field_order = 4: must be in 0..3"),
        ({"rotation": 45}, "rotation = 45: must be 0, 90, 180 or 270"),
        ({"mastering_display": MasteringDisplay((0, 0), (0, 0), (65536, 0), (0, 0), 1, 1)}, "chromaticity of"),
        ({"mastering_display": MasteringDisplay((0, 0), (0, 0), (0, 0), (0, 0), 1 << 32, 1)}, "luminance of"),
        ({"content_light": ContentLight(0, 65536)}, "content_light = 65536"),
    ],
)
def test_what_is_said_of_showing_pictures_is_checked(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(VideoFormat(4, 4, "gray"), **change).check()


def test_mastering_display_is_its_ten_values() -> None:
    screen = MasteringDisplay((1, 2), (3, 4), (5, 6), (7, 8), 9, 10)
    assert screen.values == tuple(range(1, 11))
    assert MasteringDisplay.of_values(screen.values) == screen
