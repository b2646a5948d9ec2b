# SPDX-License-Identifier: MIT
"""What a .c3v stream knows of a video comes out of our Matroska, by FFmpeg's reading of it."""

from __future__ import annotations

import io
import logging
import os
import subprocess
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from c3video.media import matroska
from c3video.media.sink import MatroskaSink, make_sink, open_sink
from c3video.media.source import open_source
from c3video.video import LAYOUTS, ContentLight, Frame, MasteringDisplay, VideoFormat
from tests.media.clips import FFMPEG, needs_ffmpeg, random_frame, read_all, stored

SCREEN = MasteringDisplay((34000, 16000), (13250, 34500), (7500, 3000), (15635, 16450), 10_000_000, 1)
DARK = replace(SCREEN, max_luminance=0, min_luminance=0)
"""Of a screen whose luminance is not known, as some phones write it."""
FULL = VideoFormat(
    36,
    28,
    "yuv420p10le",
    time_base=Fraction(1, 90_000),
    frame_rate=Fraction(30_000, 1001),
    sample_aspect_ratio=Fraction(40, 33),
    color_primaries=9,
    color_trc=16,
    color_space=9,
    color_range=1,
    chroma_location=3,
    field_order=2,
    rotation=90,
    mastering_display=SCREEN,
    content_light=ContentLight(1000, 400),
)


def clip(video: VideoFormat, pts: list[int], last_duration: int = 1) -> list[Frame]:
    durations = [b - a for a, b in pairwise(pts)] + [last_duration]
    return [
        replace(random_frame(video, index), pts=time, duration=duration)
        for index, (time, duration) in enumerate(zip(pts, durations, strict=True))
    ]


def write(path: Path, video: VideoFormat, frames: list[Frame]) -> Path:
    with open_sink(path, video) as sink:
        for frame in frames:
            sink.write(frame)
    return path


class Pipe(io.BytesIO):
    """Bytes that cannot be gone back to."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError("not in a pipe")


def in_a_pipe(video: VideoFormat, frames: list[Frame], container: str = "matroska") -> bytes:
    pipe = Pipe()
    with make_sink(pipe, container, video) as sink:
        for frame in frames:
            sink.write(frame)
    return pipe.getvalue()


def seconds(frames: list[Frame], video: VideoFormat) -> list[Fraction]:
    return [frame.pts * video.time_base for frame in frames]


@pytest.mark.parametrize("as_pipe", [False, True])
@pytest.mark.parametrize("pix_fmt", LAYOUTS)
@pytest.mark.parametrize("size", [(36, 28), (35, 27), (1, 1)])
def test_every_layout_comes_back(tmp_path: Path, pix_fmt: str, size: tuple[int, int], as_pipe: bool) -> None:
    """FFV1 in a file, uncompressed in a pipe."""
    video = VideoFormat(*size, pix_fmt, time_base=Fraction(1, 25), frame_rate=Fraction(25))
    frames, path = clip(video, [0, 1, 2]), tmp_path / "clip.mkv"
    if as_pipe:
        path.write_bytes(in_a_pipe(video, frames))
    else:
        write(path, video, frames)
    found_format, found = read_all(path)
    assert found_format.pix_fmt == pix_fmt
    assert [stored(frame) for frame in found] == [stored(frame) for frame in frames]
    assert seconds(found, found_format) == seconds(frames, video)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == ("rawvideo" if as_pipe else "ffv1")


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray", "yuv444p10le", "gbrp", "gbrp10le"])
@pytest.mark.parametrize("size", [(3, 5), (5, 3), (2, 9), (1, 300), (1000, 3)])
def test_thin_pictures_come_back(tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    """FFmpeg cuts most of them in no slices, which FFV1 of version 3 must have."""
    video = VideoFormat(*size, pix_fmt, time_base=Fraction(1, 25), frame_rate=Fraction(25))
    frames = clip(video, [0, 1])
    _, found = read_all(write(tmp_path / "clip.mkv", video, frames))
    assert [stored(frame) for frame in found] == [stored(frame) for frame in frames]


@pytest.mark.parametrize("as_pipe", [False, True])
def test_all_that_is_known_of_a_video_comes_back(tmp_path: Path, as_pipe: bool) -> None:
    pts = [0, 3003, 9009, 10_000, 500_000]
    frames, path = clip(FULL, pts, 2002), tmp_path / "clip.mkv"
    if as_pipe:
        path.write_bytes(in_a_pipe(FULL, frames))
    else:
        write(path, FULL, frames)
    video, found = read_all(path)
    same = replace(video, time_base=FULL.time_base, frame_rate=FULL.frame_rate)
    assert same == FULL
    for expected, frame in zip(frames, found, strict=True):
        for mine, other in ((expected.pts, frame.pts), (expected.duration, frame.duration)):
            assert abs(mine * FULL.time_base - other * video.time_base) <= Fraction(1, 10**9)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("color_primaries", (1, 2, 12)),
        ("color_trc", (1, 2, 18)),
        ("color_space", (1, 2, 10)),
        ("color_range", (0, 1, 2)),
        ("chroma_location", (1, 2, 3, 4)),
        ("field_order", (1, 2, 3)),
        ("rotation", (0, 90, 180, 270)),
        (
            "mastering_display",
            (None, replace(SCREEN, min_luminance=50), DARK, MasteringDisplay(*4 * [(0, 0)], 10_000_000, 50)),
        ),
        ("content_light", (None, ContentLight(65535, 1))),
        ("sample_aspect_ratio", (Fraction(1), Fraction(4, 3), Fraction(16, 11), Fraction(1, 2))),
    ],
)
def test_each_value_comes_back(tmp_path: Path, name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        for mirrored in (False, True) if name == "rotation" else (False,):
            video = replace(FULL, **{name: value, "mirrored": mirrored})
            found, _ = read_all(write(tmp_path / "clip.mkv", video, clip(video, [0])))
            assert (getattr(found, name), found.mirrored) == (value, mirrored)


@pytest.mark.parametrize(
    ("pts", "time_base", "rate"),
    [
        ([0, 1, 2, 3, 4], Fraction(1001, 30_000), Fraction(30_000, 1001)),
        ([0, 33, 67, 100, 133], Fraction(1, 1000), Fraction(30_000, 1001)),  # as Matroska rounds them
        ([0, 512, 1024], Fraction(1, 12_800), Fraction(25)),
    ],
)
def test_constant_rate_is_named(tmp_path: Path, pts: list[int], time_base: Fraction, rate: Fraction) -> None:
    video = VideoFormat(16, 16, "gray", time_base=time_base, frame_rate=rate)
    with av.open(str(write(tmp_path / "clip.mkv", video, clip(video, pts)))) as container:
        assert container.streams.video[0].average_rate == rate


@pytest.mark.parametrize(
    ("pts", "rate"), [([0, 40, 120, 240], Fraction(25)), ([0, 40, 50, 200, 1000], Fraction(100)), ([0, 40, 51], None)]
)
def test_variable_rate_is_named_by_the_ticks_that_frames_lie_on(
    tmp_path: Path, pts: list[int], rate: Fraction | None
) -> None:
    video = VideoFormat(16, 16, "gray", time_base=Fraction(1, 1000), frame_rate=Fraction(13))
    path = write(tmp_path / "clip.mkv", video, clip(video, pts))
    assert (bytes.fromhex("23e383") in path.read_bytes()) == (rate is not None)
    found_format, found = read_all(path)
    assert rate is None or found_format.frame_rate == rate
    assert [time * 1000 for time in seconds(found, found_format)] == pts


@needs_ffmpeg
def test_variable_rate_stays_variable_through_ffmpeg(tmp_path: Path) -> None:
    pts = [0, 1, 3, 6, 7, 9]
    video = VideoFormat(64, 48, "yuv420p", time_base=Fraction(1, 25), frame_rate=Fraction(15), color_primaries=1)
    video = replace(video, color_trc=1, color_space=1, color_range=1)
    command = [
        FFMPEG,
        "-nostdin",
        "-v",
        "error",
        "-i",
        "-",
        "-vsync",
        "vfr",
        "-c:v",
        "libx264",
        str(tmp_path / "play.mp4"),
    ]
    subprocess.run(command, input=in_a_pipe(video, clip(video, pts)), check=True)
    found_format, found = read_all(tmp_path / "play.mp4")
    assert [time * 25 for time in seconds(found, found_format)] == pts
    colours = found_format.color_primaries, found_format.color_trc, found_format.color_space, found_format.color_range
    assert colours == (1, 1, 1, 1)


def test_file_has_a_length_and_an_index(tmp_path: Path) -> None:
    video = VideoFormat(16, 16, "gray", time_base=Fraction(1, 10), frame_rate=Fraction(10))
    path = write(tmp_path / "clip.mkv", video, clip(video, list(range(60))))
    with av.open(str(path)) as container:
        assert container.duration == 6_000_000
        stream = container.streams.video[0]
        container.seek(4_050_000)
        first = next(container.decode(stream))
        assert first.time == 4.0
    data = path.read_bytes()
    segment = data.index(bytes.fromhex("18538067"))
    assert int.from_bytes(data[segment + 4 : segment + 12], "big") & (1 << 56) - 1 == len(data) - segment - 12


def test_pipe_has_no_length(tmp_path: Path) -> None:
    video = VideoFormat(16, 16, "gray", time_base=Fraction(1, 10), frame_rate=Fraction(10))
    path = tmp_path / "clip.mkv"
    path.write_bytes(in_a_pipe(video, clip(video, [0, 1])))
    with av.open(str(path)) as container:
        assert container.duration is None
        assert len(list(container.decode(video=0))) == 2


def test_frames_leave_a_pipe_as_they_come() -> None:
    """All but the first ones, which wait until it is known whether they are evenly spaced."""
    video = VideoFormat(64, 48, "gray", time_base=Fraction(1, 10), frame_rate=Fraction(10))
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "wb") as writer:
        sink = MatroskaSink(writer, video)
        frames = clip(video, list(range(20)))
        for frame in frames[:16]:
            sink.write(frame)
        seen = reader.read1(1 << 20)
        for frame in frames[:16]:
            assert stored(frame) in seen
        sink.write(frames[16])
        assert stored(frames[16]) in reader.read1(1 << 20)


def test_times_before_zero_are_moved_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = VideoFormat(16, 16, "gray", time_base=Fraction(1, 10), frame_rate=Fraction(10))
    path = write(tmp_path / "clip.mkv", video, clip(video, [-2, -1, 0, 1]))
    found_format, found = read_all(path)
    assert [time * 10 for time in seconds(found, found_format)] == [0, 1, 2, 3]
    assert "Matroska has no times before 0: all are 0.200 s later" in caplog.text


def test_sink_closed_before_the_first_frame_leaves_a_file_of_none(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", FULL, [])
    data = path.read_bytes()
    assert data.startswith(bytes.fromhex("1a45dfa3"))
    assert bytes.fromhex("1f43b675") not in data  # no cluster


def test_what_matroska_cannot_say_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        write(tmp_path / "clip.mkv", FULL, clip(FULL, [0]))
        assert not caplog.records
        video = replace(FULL, chroma_location=6)
        write(tmp_path / "clip.mkv", video, clip(video, [0]))
    assert "matroska cannot carry chroma location 6" in caplog.text


def test_an_element_has_its_size_in_eight_bytes() -> None:
    assert matroska.element(0xA3, b"ab") == bytes.fromhex("a3 0100000000000002") + b"ab"
    assert matroska.element(0x1A45DFA3, b"") == bytes.fromhex("1a45dfa3 0100000000000000")


def test_second_encoding_keeps_the_times(tmp_path: Path) -> None:
    """To the nanosecond, which is enough to tell them apart again."""
    pts = [3003 * index for index in range(40)]
    path = write(tmp_path / "clip.mkv", FULL, clip(FULL, pts))
    with open_source(path) as source:
        back = [round(frame.pts * source.format.time_base / FULL.time_base) for frame in source]
    assert back == pts
