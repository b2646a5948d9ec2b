# SPDX-License-Identifier: MIT
"""y4m and raw video, compared with the real ffmpeg where it is installed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from c3video.errors import C3VideoError, ConfigError
from c3video.media.avframe import to_av_frame
from c3video.media.sink import RawSink, Y4MSink, container_for, open_sink
from c3video.media.source import open_source
from c3video.video import LAYOUTS, Frame, VideoFormat, plane_bytes
from tests.media.clips import FFMPEG, needs_ffmpeg

Y4M_FORMATS = [name for name, layout in LAYOUTS.items() if not layout.is_rgb]


def clip(video: VideoFormat, num_frames: int = 3, seed: int = 0) -> list[Frame]:
    rng = np.random.default_rng(seed)
    layout = video.layout
    return [
        Frame(
            tuple(
                rng.integers(0, layout.max_value, shape, dtype=layout.dtype, endpoint=True)
                for shape in video.plane_shapes
            ),
            pts=index,
            duration=1,
        )
        for index in range(num_frames)
    ]


def raw_bytes(frames: Iterable[Frame]) -> bytes:
    return b"".join(bytes(plane_bytes(plane)) for frame in frames for plane in frame.planes)


def write(kind: type[RawSink], video: VideoFormat, frames: list[Frame]) -> bytes:
    file = io.BytesIO()
    with kind(file, video) as sink:
        for frame in frames:
            sink.write(frame)
    return file.getvalue()


def test_y4m_header_says_what_y4m_can() -> None:
    video = VideoFormat(
        35,
        27,
        "yuv420p",
        frame_rate=Fraction(30000, 1001),
        sample_aspect_ratio=Fraction(4, 3),
        color_range=1,
        chroma_location=1,
    )
    header = b"YUV4MPEG2 W35 H27 F30000:1001 Ip A4:3 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED\n"
    assert write(Y4MSink, video, []) == header
    (frame,) = frames = clip(video, 1)
    assert write(Y4MSink, video, frames) == header + b"FRAME\n" + raw_bytes([frame])


@pytest.mark.parametrize(
    ("change", "tag"),
    [
        ({}, "A0:0 C420jpeg XYSCSS=420JPEG"),
        ({"chroma_location": 3}, "C420paldv XYSCSS=420PALDV"),
        ({"pix_fmt": "gray"}, "Cmono"),
        ({"pix_fmt": "gray10le"}, "Cmono10"),
        ({"pix_fmt": "yuv422p10le", "color_range": 2}, "C422p10 XYSCSS=422P10 XCOLORRANGE=FULL"),
    ],
)
def test_y4m_tags(change: dict[str, Any], tag: str) -> None:
    line = write(Y4MSink, replace(VideoFormat(16, 8, "yuv420p"), **change), [])
    assert line.decode().rstrip("\n").endswith(tag)
    assert b" F25:1 " in line  # the rate is not known


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp10le"])
def test_y4m_of_rgb_raises_config_error_and_creates_nothing(tmp_path: Path, pix_fmt: str) -> None:
    path = tmp_path / "out.y4m"
    with pytest.raises(ConfigError, match=f"ffmpeg -f rawvideo -pix_fmt {pix_fmt} -s 5x4"):
        open_sink(path, VideoFormat(5, 4, pix_fmt))
    assert not path.exists()
    with pytest.raises(ConfigError, match="y4m cannot carry"):
        open_sink("-", VideoFormat(5, 4, pix_fmt), container="y4m")


def test_a_pipe_is_what_can_carry_the_video() -> None:
    assert container_for("-", None, VideoFormat(5, 4, "gray10le")) == "y4m"
    assert container_for("-", None, VideoFormat(5, 4, "gbrp")) == "matroska"
    assert container_for("-", "raw", VideoFormat(5, 4, "gbrp")) == "raw"


@pytest.mark.parametrize("pix_fmt", Y4M_FORMATS)
@pytest.mark.parametrize("size", [(35, 27), (16, 2), (1, 1)])
def test_y4m_comes_back_through_the_source(tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    video = VideoFormat(
        size[0],
        size[1],
        pix_fmt,
        time_base=Fraction(1001, 24000),
        frame_rate=Fraction(24000, 1001),
        sample_aspect_ratio=Fraction(1),
        color_range=2,
        chroma_location=2 if "420" in pix_fmt else 0,
        field_order=2,
    )
    frames, path = clip(video), tmp_path / "clip.y4m"
    with open_sink(path, video) as sink:
        for frame in frames:
            sink.write(frame)
    with open_source(path) as source:
        assert source.format == video
        assert source.num_frames == 3
        back = list(source)
    assert raw_bytes(back) == raw_bytes(frames)
    assert [(frame.pts, frame.duration) for frame in back] == [(0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
@pytest.mark.parametrize("suffix", [".yuv", ".raw"])
def test_raw_comes_back_through_the_source(tmp_path: Path, pix_fmt: str, suffix: str) -> None:
    video = VideoFormat(35, 27, pix_fmt)
    frames, path = clip(video), tmp_path / f"clip{suffix}"
    with open_sink(str(path), video) as sink:
        for frame in frames:
            sink.write(frame)
    assert path.read_bytes() == raw_bytes(frames)
    with open_source(path, size=(35, 27), pix_fmt=pix_fmt) as source:
        assert raw_bytes(source) == raw_bytes(frames)


@needs_ffmpeg
@pytest.mark.parametrize("pix_fmt", Y4M_FORMATS)
def test_ffmpeg_reads_our_y4m(pix_fmt: str) -> None:
    video = VideoFormat(35, 27, pix_fmt, color_range=1)
    frames = clip(video)
    command = [FFMPEG, "-v", "error", "-i", "-", "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"]
    done = subprocess.run(command, input=write(Y4MSink, video, frames), capture_output=True, check=False)
    assert done.stderr == b""
    assert done.stdout == raw_bytes(frames)


@needs_ffmpeg
def test_ffmpeg_reads_our_raw_rgb_as_the_error_of_y4m_says() -> None:
    video = VideoFormat(35, 27, "gbrp")
    frames = clip(video)
    command = [
        FFMPEG,
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gbrp",
        "-s",
        "35x27",
        "-r",
        "25",
        "-i",
        "-",
    ]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, input=write(RawSink, video, frames), capture_output=True, check=False)
    assert done.stderr == b""
    shown = np.frombuffer(done.stdout, np.uint8).reshape(3, 27, 35, 3)
    for frame, picture in zip(frames, shown, strict=True):
        green, blue, red = frame.planes
        assert np.array_equal(picture, np.stack([red, green, blue], axis=-1))


def test_every_frame_leaves_at_once() -> None:
    """A reader of the pipe sees a frame before the next is written."""
    video = VideoFormat(4, 2, "gray")
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "wb") as writer:
        sink = Y4MSink(writer, video)
        assert reader.readline().startswith(b"YUV4MPEG2 ")
        for frame in clip(video, 2):
            sink.write(frame)
            assert reader.read(6 + 8) == b"FRAME\n" + raw_bytes([frame])


def test_reader_that_goes_away_is_a_broken_pipe() -> None:
    video = VideoFormat(4, 2, "gray")
    read_end, write_end = os.pipe()
    writer = os.fdopen(write_end, "wb")
    sink = RawSink(writer, video)
    os.close(read_end)
    with pytest.raises(BrokenPipeError):
        sink.write(clip(video, 1)[0])
    with pytest.raises(BrokenPipeError):  # what is buffered still cannot leave
        writer.close()


def test_frame_larger_than_a_pipe_buffer_arrives_whole() -> None:
    video = VideoFormat(640, 360, "yuv420p")
    frames = clip(video, 2)
    read_end, write_end = os.pipe()
    got: list[bytes] = []
    with os.fdopen(read_end, "rb") as reader:
        thread = threading.Thread(target=lambda: got.append(reader.read()))
        thread.start()
        with RawSink(os.fdopen(write_end, "wb"), video, close_file=True) as sink:
            for frame in frames:
                sink.write(frame)
        thread.join()
    assert got == [raw_bytes(frames)]


def test_standard_output_is_y4m() -> None:
    program = (
        "import numpy as np\n"
        "from c3video.media.sink import open_sink\n"
        "from c3video.video import Frame, VideoFormat\n"
        "with open_sink('-', VideoFormat(2, 1, 'gray')) as sink:\n"
        "    sink.write(Frame((np.array([[65, 66]], np.uint8),), 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"YUV4MPEG2 W2 H1 F25:1 Ip A0:0 Cmono\nFRAME\nAB"


def test_standard_output_is_raw_where_asked(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    video = VideoFormat(2, 1, "gbrp")
    planes = tuple(np.array([[value, 66]], np.uint8) for value in (71, 72, 73))
    with open_sink("-", video, raw=True) as sink:
        sink.write(Frame(planes, 0))
    assert capfdbinary.readouterr().out == b"GBHBIB"


def test_other_names_raise_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not \*\.mp4; ffmpeg writes others"):
        open_sink(tmp_path / "out.mp4", VideoFormat(4, 2, "gray"))


def test_unwritable_files_raise_our_error(tmp_path: Path) -> None:
    video = VideoFormat(4, 2, "gray")
    with pytest.raises(C3VideoError, match="No such file or directory"):
        open_sink(tmp_path / "missing" / "out.y4m", video)
    (tmp_path / "folder.y4m").mkdir()
    with pytest.raises(C3VideoError, match="Is a directory"):
        open_sink(tmp_path / "folder.y4m", video)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_full_disk_raises_our_error() -> None:
    video = VideoFormat(4, 2, "gray")
    with open("/dev/full", "wb", buffering=0) as file:
        sink = RawSink(file, video)
        with pytest.raises(C3VideoError, match="/dev/full: cannot be written: No space left"):
            sink.write(clip(video, 1)[0])


def test_frame_of_another_size_raises_config_error() -> None:
    frame = clip(VideoFormat(4, 2, "gray"), 1)[0]
    with pytest.raises(ConfigError, match="frame at pts 0"):
        RawSink(io.BytesIO(), VideoFormat(4, 3, "gray")).write(frame)


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
def test_av_frames_have_our_samples_times_and_colours(pix_fmt: str) -> None:
    video = VideoFormat(
        35,
        27,
        pix_fmt,
        time_base=Fraction(1, 90000),
        color_primaries=9,
        color_trc=16,
        color_space=0 if LAYOUTS[pix_fmt].is_rgb else 9,
        color_range=1,
    )
    frame = replace(clip(video, 1)[0], pts=4711, duration=3003)
    copy = to_av_frame(frame, video)
    assert (copy.width, copy.height, copy.format.name) == (35, 27, pix_fmt)
    assert (copy.pts, copy.duration, copy.time_base) == (4711, 3003, Fraction(1, 90000))
    found = copy.color_primaries, copy.color_trc, copy.colorspace, copy.color_range
    assert found == (9, 16, video.color_space, 1)
    for plane, samples in zip(copy.planes, frame.planes, strict=True):
        rows = np.frombuffer(memoryview(plane), samples.dtype).reshape(plane.height, -1)
        assert np.array_equal(rows[:, : plane.width], samples)
