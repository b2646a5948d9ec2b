# SPDX-License-Identifier: MIT
"""c3video/media/rgb.py against the program whose pixels it promises."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c3video.errors import SourceError
from c3video.media.rgb import FfmpegRgb, RgbSource
from c3video.media.sink import open_sink
from c3video.media.source import RgbConverter
from c3video.video import VideoFormat
from tests.conftest import moving_clip
from tests.media.clips import needs_ffmpeg


@needs_ffmpeg
@pytest.mark.parametrize(("height", "width"), [(36, 48), (35, 47)])
def test_bits_are_those_of_ffmpegs_png_files(tmp_path: Path, height: int, width: int) -> None:
    clip = moving_clip(3, height, width)
    raw = tmp_path / "clip.yuv"
    with open_sink(raw, clip.format) as sink:
        for frame in clip:
            sink.write(frame)
    command = ["ffmpeg", "-v", "error", "-video_size", f"{width}x{height}", "-pixel_format", "yuv420p", "-i", str(raw)]
    output = subprocess.run([*command, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], capture_output=True, check=True)
    theirs = np.frombuffer(output.stdout, np.uint8).reshape(3, height, width, 3)
    convert = FfmpegRgb(clip.format)
    for frame, expected in zip(clip, theirs, strict=True):
        green, blue, red = convert(frame).planes
        np.testing.assert_array_equal(np.stack([red, green, blue], axis=-1), expected)


def test_rgb_passes_and_gray_is_repeated() -> None:
    rgb = moving_clip(1, 16, 16, "gbrp")
    (frame,) = rgb
    assert FfmpegRgb(rgb.format)(frame) is frame
    gray = moving_clip(1, 16, 16, "gray")
    (frame,) = gray
    for plane in FfmpegRgb(gray.format)(frame).planes:
        np.testing.assert_array_equal(plane, frame.planes[0])


def test_ten_bits_and_unknown_matrices_are_refused() -> None:
    with pytest.raises(SourceError, match="only 8 bits"):
        FfmpegRgb(VideoFormat(16, 16, "yuv420p10le"))
    with pytest.raises(SourceError, match="matrix 11"):
        FfmpegRgb(VideoFormat(16, 16, "yuv420p", color_space=11))


def test_matrix_is_declared_or_bt601_whatever_the_size() -> None:
    clip = moving_clip(1, 720, 64)
    (frame,) = clip
    untold = FfmpegRgb(clip.format)(frame).planes
    bt601 = FfmpegRgb(replace(clip.format, color_space=6, color_range=1))(frame).planes
    bt709 = FfmpegRgb(replace(clip.format, color_space=1))(frame).planes
    assert all(np.array_equal(a, b) for a, b in zip(untold, bt601, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(untold, bt709, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(untold, RgbConverter(clip.format)(frame).planes, strict=True))


def test_source_is_converted_frame_by_frame_by_the_format_given() -> None:
    clip = moving_clip(2, 16, 16)
    seen = replace(clip.format, color_space=1)
    source = RgbSource(clip, seen)
    assert (source.num_frames, source.format.pix_fmt) == (2, "gbrp")
    for converted, frame in zip(source, clip, strict=True):
        for a, b in zip(converted.planes, FfmpegRgb(seen)(frame).planes, strict=True):
            np.testing.assert_array_equal(a, b)
