# SPDX-License-Identifier: MIT
"""NUT and MOV: what they carry comes back, what they do not is said, and faults of the file are ours."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from c3video.errors import C3VideoError, ConfigError
from c3video.media.av_sink import AvSink, Ffv1Encoder
from c3video.media.sink import open_sink
from c3video.video import LAYOUTS, Frame, VideoFormat
from tests.media.clips import random_frame, read_all, stored
from tests.media.test_matroska import FULL, Pipe, clip, in_a_pipe, seconds, write

YUV = [name for name in LAYOUTS if name.startswith("yuv")]
UNEVEN = [0, 3003, 9009, 10_000, 500_000]


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
@pytest.mark.parametrize("as_pipe", [False, True])
def test_nut_keeps_samples_and_times(tmp_path: Path, pix_fmt: str, as_pipe: bool) -> None:
    video = VideoFormat(35, 27, pix_fmt, time_base=Fraction(1, 90_000), frame_rate=Fraction(13))
    frames, path = clip(video, UNEVEN), tmp_path / "clip.nut"
    if as_pipe:
        path.write_bytes(in_a_pipe(video, frames, "nut"))
    else:
        write(path, video, frames)
    found_format, found = read_all(path)
    assert found_format.pix_fmt == pix_fmt
    assert [stored(frame) for frame in found] == [stored(frame) for frame in frames]
    assert seconds(found, found_format) == seconds(frames, video)


@pytest.mark.parametrize("pix_fmt", YUV)
def test_mov_keeps_all(tmp_path: Path, pix_fmt: str) -> None:
    location = {"420": 3, "422": 1}.get(pix_fmt[3:6], 0)
    video = replace(FULL, pix_fmt=pix_fmt, chroma_location=location)
    for change in ({}, {"rotation": 270, "mirrored": True, "field_order": 1}, {"color_range": 2, "rotation": 0}):
        asked = replace(video, **change)  # type: ignore[arg-type]
        frames = clip(asked, UNEVEN)
        found_format, found = read_all(write(tmp_path / "clip.mov", asked, frames))
        assert [stored(frame) for frame in found] == [stored(frame) for frame in frames]
        assert seconds(found, found_format) == seconds(frames, asked)
        if pix_fmt.startswith("yuv444"):
            found_format = replace(found_format, chroma_location=0)  # FFmpeg names one for chroma of full size too
        assert replace(found_format, time_base=asked.time_base, frame_rate=asked.frame_rate) == asked


@pytest.mark.parametrize(
    "video",
    [
        VideoFormat(16, 16, "gray"),
        VideoFormat(16, 16, "gbrp"),
        VideoFormat(15, 16, "yuv420p"),
        VideoFormat(16, 18, "yuv420p", field_order=2),
    ],
)
def test_what_mov_cannot_carry_is_refused_and_nothing_created(tmp_path: Path, video: VideoFormat) -> None:
    with pytest.raises(ConfigError, match=r"mov cannot carry .* without loss: write OUT\.mkv"):
        open_sink(tmp_path / "clip.mov", video)
    assert not (tmp_path / "clip.mov").exists()


def test_mov_is_no_pipe() -> None:
    with pytest.raises(ConfigError, match="mov cannot be written to a pipe: use -f matroska"):
        open_sink("-", VideoFormat(16, 16, "yuv420p"), container="mov")


def test_what_nut_drops_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "clip.nut", FULL, clip(FULL, [0]))
    assert (
        "nut cannot carry colour (primaries 9, transfer 16, matrix 9), limited range, chroma location 3, sample aspect "
        "ratio 40/33, field order, rotation by 90 degrees, mastering display, content light level" in caplog.text
    )


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gbrp", "gray10le"])
def test_each_ffv1_frame_is_alone(pix_fmt: str) -> None:
    """The same frame gives the same packet wherever it stands."""
    video = VideoFormat(36, 28, pix_fmt)
    encoder, frame = Ffv1Encoder(video), random_frame(video)
    assert encoder.extradata
    assert encoder.encode(frame) == encoder.encode(replace(frame, pts=7)) == Ffv1Encoder(video).encode(frame)


class Full(io.BytesIO):
    """A disk with room for some bytes; or a reader that goes away."""

    name = "full.nut"

    def __init__(self, room: int, error: OSError) -> None:
        super().__init__()
        self._room, self._error = room, error

    def write(self, data: object) -> int:
        if self.tell() > self._room:
            raise self._error
        return super().write(data)  # type: ignore[arg-type]


def fill_disk(error: OSError) -> None:
    video = VideoFormat(64, 64, "gray")
    with AvSink(Full(10_000, error), "nut", video) as sink:
        for frame in clip(video, list(range(40))):
            sink.write(frame)


def test_full_disk_raises_our_error() -> None:
    with pytest.raises(C3VideoError, match=r"full\.nut: cannot be written: No space left"):
        fill_disk(OSError(28, "No space left on device"))


def test_reader_that_goes_away_is_a_broken_pipe() -> None:
    with pytest.raises(BrokenPipeError):
        fill_disk(BrokenPipeError(32, "Broken pipe"))


def test_frame_of_another_size_raises_config_error() -> None:
    with AvSink(Pipe(), "nut", VideoFormat(4, 2, "gray")) as sink, pytest.raises(ConfigError, match="frame at pts 5"):
        sink.write(Frame((np.zeros((3, 4), np.uint8),), 5))


def test_sink_closes_its_file_and_no_other(tmp_path: Path) -> None:
    video = VideoFormat(16, 16, "yuv420p")
    for name in ("clip.nut", "clip.mov", "clip.mkv"):
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        write(tmp_path / name, video, clip(video, [0]))
        assert not before or len(os.listdir("/proc/self/fd")) == before
        pipe = Pipe()
        if name != "clip.mov":
            with AvSink(pipe, "nut", video):
                pass
            assert not pipe.closed
