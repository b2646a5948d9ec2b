# SPDX-License-Identifier: MIT
"""What FFmpeg opens, what we read ourselves, and what cannot be read."""

from __future__ import annotations

import gc
import io
import os
import resource
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from c3video.errors import SourceError
from c3video.media.container import REPACKED, SWSCALE_FLAGS
from c3video.media.source import RgbConverter, open_source
from c3video.video import LAYOUTS, ArraySource, Frame, VideoFormat, frame_crc32
from tests.media.clips import (
    FFMPEG,
    RATE,
    encode,
    error_of,
    fill,
    needs_ffmpeg,
    pictures,
    random_frame,
    read_all,
    rows,
    stored,
    visible,
)

# What comes in is what FFmpeg decodes.


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
@pytest.mark.parametrize("size", [(35, 27), (1, 1)])
def test_every_layout_comes_through_a_container_unchanged(tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    frames = pictures(pix_fmt, size)
    expected = [visible(frame) for frame in frames]
    video, found = read_all(encode(tmp_path / "clip.nut", frames))
    assert (video.width, video.height, video.pix_fmt) == (*size, pix_fmt)
    assert [stored(frame) for frame in found] == expected
    assert all(plane.flags.c_contiguous for frame in found for plane in frame.planes)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le", "gray"])
def test_lossless_codec_with_padded_rows_comes_through_unchanged(tmp_path: Path, pix_fmt: str) -> None:
    frames = pictures(pix_fmt, (35, 27))
    expected = [visible(frame) for frame in frames]
    _, found = read_all(encode(tmp_path / "clip.mkv", frames, "ffv1", "matroska"))
    assert [stored(frame) for frame in found] == expected


@needs_ffmpeg
@pytest.mark.parametrize("pix_fmt", [name for name, layout in LAYOUTS.items() if not layout.is_rgb])
def test_y4m_of_the_real_ffmpeg_is_read_as_ffmpeg_reads_it(tmp_path: Path, pix_fmt: str) -> None:
    path, common = str(tmp_path / "clip.y4m"), [FFMPEG, "-nostdin", "-v", "error"]
    make = [*common, "-f", "lavfi", "-i", "testsrc2=s=35x27:r=30000/1001", "-frames:v", "2"]
    subprocess.run([*make, "-strict", "-1", "-pix_fmt", pix_fmt, path], check=True)
    shown = subprocess.run([*common, "-i", path, "-f", "rawvideo", "-"], capture_output=True, check=True).stdout
    video, frames = read_all(path)
    assert b"".join(stored(frame) for frame in frames) == shown
    assert video.pix_fmt == pix_fmt
    assert video.frame_rate == 1 / video.time_base == Fraction(30000, 1001)
    assert video.sample_aspect_ratio == 1


@pytest.mark.parametrize("pix_fmt", sorted(REPACKED))
@pytest.mark.parametrize("size", [(35, 27), (1, 1), (64, 2)])
def test_repacking_loses_nothing(pix_fmt: str, size: tuple[int, int]) -> None:
    """NumPy says where each sample must be."""
    frame, coded = fill(av.VideoFrame(size[0], size[1], pix_fmt)), REPACKED[pix_fmt]
    moved = VideoReformatter().reformat(frame, format=coded, interpolation=SWSCALE_FLAGS)
    assert moved.format.name == coded
    if pix_fmt == "pal8":
        palette = rows(frame.planes[1]).reshape(256, 4)
        indexes, green, blue, red = (rows(p)[:, : size[0]] for p in (frame.planes[0], *moved.planes))
        assert np.array_equal(np.stack([blue, green, red], -1), palette[indexes][..., :3])
        return
    width, chroma_width = size[0], -(-size[0] // 2)
    is_wide = coded.endswith("10le")
    dtype = "u1" if not is_wide else ">u2" if pix_fmt.endswith("be") else "<u2"
    arrays = [rows(plane, dtype) for plane in frame.planes]
    found = [rows(plane, "<u2" if is_wide else "u1")[:, : plane.width] for plane in moved.planes]
    if pix_fmt.endswith("be"):
        expected = [array[:, : plane.width] for array, plane in zip(arrays, frame.planes, strict=True)]
    elif pix_fmt in ("yuyv422", "uyvy422", "yvyu422"):
        order = {"yuyv422": (0, 1, 3), "uyvy422": (1, 0, 2), "yvyu422": (0, 3, 1)}[pix_fmt]
        luma = arrays[0][:, order[0] :: 2][:, :width]
        expected = [luma, *(arrays[0][:, first::4][:, :chroma_width] for first in order[1:])]
    elif pix_fmt[0] in "np":
        shift = 6 if is_wide else 0
        columns = frame.planes[1].width
        pairs = [arrays[1][:, first::2][:, :columns] >> shift for first in (0, 1)]
        expected = [arrays[0][:, :width] >> shift, *(pairs[::-1] if pix_fmt in ("nv21", "nv42") else pairs)]
    else:
        letters = pix_fmt.replace("ya8", "ya").removesuffix("24")
        wanted = "y" if pix_fmt == "ya8" else "gbr"
        expected = [arrays[0][:, letters.index(letter) :: len(letters)][:, :width] for letter in wanted]
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("pix_fmt", ["nv12", "bgr24", "uyvy422"])
def test_repacked_clips_keep_their_time_stamps(tmp_path: Path, pix_fmt: str) -> None:
    video, frames = read_all(encode(tmp_path / "clip.nut", pictures(pix_fmt)))
    assert video.pix_fmt == REPACKED[pix_fmt]
    assert [frame.pts * video.time_base for frame in frames] == [0, Fraction(1, 25), Fraction(2, 25)]


@needs_ffmpeg
def test_bottom_up_avi_is_the_right_way_up(tmp_path: Path) -> None:
    path = str(tmp_path / "clip.avi")
    source = "color=red:s=36x28,drawbox=h=4:c=blue:t=fill"
    command = [FFMPEG, "-nostdin", "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", "1"]
    subprocess.run([*command, "-c:v", "rawvideo", "-pix_fmt", "bgr24", path], check=True)
    _, (frame,) = read_all(path)
    green, blue, red = frame.planes
    assert blue[0, 0] > 200 > 50 > red[0, 0]
    assert red[27, 0] > 200 > 50 > blue[27, 0]
    assert green.max() < 20


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gray", "pal8"])
def test_still_image_is_a_clip_of_one_frame(tmp_path: Path, pix_fmt: str) -> None:
    picture = pictures(pix_fmt, (35, 27), 1)[0]
    if pix_fmt == "pal8":
        rows(picture.planes[1]).reshape(256, 4)[:, 3] = 255
    path = encode(tmp_path / "still.png", [picture], "png", "image2", options={"pred": "none"})
    video, (frame,) = read_all(path)
    assert video.pix_fmt == ("gray" if pix_fmt == "gray" else "gbrp")
    if pix_fmt != "gray":
        assert (video.color_space, video.color_range) == (0, 2)
    if pix_fmt == "rgb24":
        pixels = picture.to_ndarray()
        assert np.array_equal(np.stack(frame.planes, -1), pixels[..., [1, 2, 0]])


def test_jpeg_is_full_range(tmp_path: Path) -> None:
    path = encode(tmp_path / "still.jpg", pictures("yuvj420p", (36, 28), 1), "mjpeg", "image2")
    video, frames = read_all(path)
    assert (video.pix_fmt, video.color_range, video.chroma_location, len(frames)) == ("yuv420p", 2, 2, 1)


def test_colours_aspect_ratio_and_rate_travel(tmp_path: Path) -> None:
    frames = pictures("yuv420p")
    for frame in frames:
        frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = 9, 16, 9, 1
    path = encode(
        tmp_path / "clip.mkv",
        frames,
        "libx264",
        "matroska",
        rate=Fraction(30000, 1001),
        options={"x264-params": "chromaloc=2"},
        sample_aspect_ratio=Fraction(4, 3),
        color_primaries=9,
        color_trc=16,
        colorspace=9,
        color_range=1,
    )
    video, found = read_all(path)
    assert (video.color_primaries, video.color_trc, video.color_space, video.color_range) == (9, 16, 9, 1)
    assert video.sample_aspect_ratio == Fraction(4, 3)
    assert video.frame_rate == Fraction(30000, 1001)
    assert video.chroma_location == 3
    assert video.time_base == Fraction(1, 1000)
    assert [frame.pts for frame in found] == [0, 33, 67]


def test_asking_for_the_chroma_location_leaves_logging_as_it_was(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mkv", pictures("yuv420p"), "libx264", "matroska")
    before = av.logging.get_level()
    assert read_all(path)[0].chroma_location == 1  # what H.264 means when it does not say
    assert av.logging.get_level() == before


def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [0, 40, 50, 200, 1000]
    frames = pictures("gray", num_frames=len(times))
    for frame, pts in zip(frames, times, strict=True):
        frame.pts, frame.time_base = pts, Fraction(1, 1000)
    video, found = read_all(encode(tmp_path / "clip.mkv", frames, "ffv1", "matroska", time_base=Fraction(1, 1000)))
    assert [frame.pts * video.time_base * 1000 for frame in found] == times


def test_missing_time_stamps_follow_the_nominal_rate(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.h264", pictures("yuv420p", num_frames=4), "libx264", "h264")
    video, frames = read_all(path)
    steps = {b.pts - a.pts for a, b in pairwise(frames)}
    assert steps == {round(1 / (video.frame_rate * video.time_base))}


def test_frames_that_codecs_reorder_come_in_order(tmp_path: Path) -> None:
    frames = pictures("yuv420p", num_frames=9)
    path = encode(tmp_path / "clip.mp4", frames, "libx264", "mp4", options={"bf": "3"})
    video, found = read_all(path)
    assert [frame.pts * video.time_base * 25 for frame in found] == list(range(9))


# Frame ranges and counts.


def y4m(
    tmp_path: Path,
    num_frames: int = 5,
    header: bytes = b"YUV4MPEG2 W4 H2 F25:1 Ip A1:1 C420jpeg\n",
    frame_line: bytes = b"FRAME\n",
) -> Path:
    path = tmp_path / "clip.y4m"
    path.write_bytes(header + b"".join(frame_line + bytes([index] * 12) for index in range(num_frames)))
    return path


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(None, range(5)), ((0, None), range(5)), ((2, 4), range(2, 4)), ((4, 99), [4]), ((3, None), [3, 4])],
)
def test_frame_range(tmp_path: Path, frames: tuple[int, int | None] | None, expected: Sequence[int]) -> None:
    with open_source(y4m(tmp_path), frames=frames) as source:
        assert source.num_frames == len(expected)
        assert [(frame.pts, int(frame.planes[0][0, 0])) for frame in source] == [(i, i) for i in expected]


def test_frame_range_of_a_container(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", pictures("yuv420p", num_frames=6), "libx264", "mp4")
    with open_source(path, frames=(2, 5)) as source:
        assert source.num_frames == 3
        assert [frame.pts * source.format.time_base * 25 for frame in source] == [2, 3, 4]


def test_range_beyond_the_end_raises_source_error(tmp_path: Path) -> None:
    assert "there is no frame 5" in error_of(y4m(tmp_path), frames=(5, 7))


@pytest.mark.parametrize("frames", [(-1, None), (3, 3), (4, 2)])
def test_impossible_range_raises_source_error(tmp_path: Path, frames: tuple[int, int | None] | None) -> None:
    assert "the first must be 0 or more" in error_of(y4m(tmp_path), frames=frames)


def test_number_of_frames_is_known_where_the_container_tells(tmp_path: Path) -> None:
    for name, codec, container in [("a.mp4", "libx264", "mp4"), ("b.mkv", "ffv1", "matroska")]:
        path = encode(tmp_path / name, pictures("yuv420p", num_frames=7), codec, container)
        with open_source(path) as source:
            assert source.num_frames == 7


# Our own readers: y4m and raw.


def test_y4m_header_fields(tmp_path: Path) -> None:
    header = b"YUV4MPEG2 W4 H2 F30000:1001 Ip A4:3 C420paldv XYSCSS=420PALDV XCOLORRANGE=FULL XODD\n"
    video, frames = read_all(y4m(tmp_path, 2, header, b"FRAME Ip\n"))
    assert video == VideoFormat(
        4,
        2,
        "yuv420p",
        time_base=Fraction(1001, 30000),
        frame_rate=Fraction(30000, 1001),
        sample_aspect_ratio=Fraction(4, 3),
        color_range=2,
        chroma_location=3,
        field_order=1,
    )
    assert len(frames) == 2


@pytest.mark.parametrize(("letter", "order"), [(b"t", 2), (b"b", 3), (b"m", 0), (b"?", 0)])
def test_y4m_field_order(tmp_path: Path, letter: bytes, order: int) -> None:
    assert read_all(y4m(tmp_path, 1, b"YUV4MPEG2 W4 H2 F25:1 I%s\n" % letter))[0].field_order == order


def test_y4m_without_rate_or_colour_space_has_the_usual_ones(tmp_path: Path) -> None:
    video, _ = read_all(y4m(tmp_path, 1, b"YUV4MPEG2 H2 W4 F0:0\n"))
    assert (video.pix_fmt, video.frame_rate, video.sample_aspect_ratio) == ("yuv420p", RATE, Fraction(0))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"YUV4MPEG2 W4 H2 C411\n", "C411 is not supported: must be one of C420jpeg"),
        (b"YUV4MPEG2 W4 H2 C420p12\n", "; --pix-fmt yuv420p10le converts it on the way in"),
        (b"YUV4MPEG2 W4 H2 C444alpha\n", "C444alpha is not supported"),
        (b"YUV4MPEG2 W0 H2 C420\n", "width = 0"),
        (b"YUV4MPEG2 W4 H-2 C420\n", "height = -2"),
        (b"YUV4MPEG2 H2 C420\n", "has no W"),
        (b"YUV4MPEG2 Wx H2\n", "invalid literal"),
        (b"YUV4MPEG2 W4 H2 F25\n", "F25"),
        (b"YUV4MPEG2 W4 H2 F-25:1\n", "time_base"),
        (b"YUV4MPEG2 W4 H2 F99999999999:1\n", "time_base"),
        (b"YUV4MPEG2 W16384 H16384\n", "at most 134217728"),
        (b"YUV4MPEG2 W999999999 H999999999\n", "width = 999999999"),
        (b"YUV4MPEG2 W" + b"9" * 900 + b" H2\n", "width = 999"),
        (b"YUV4MPEG2000 W4 H2\n", "must start with"),
        (b"YUV4MPEG2 W4 H2" + b" " * 2000 + b"\n", "header does not end within 1024 bytes"),
        (b"YUV4MPEG2 W4 H2", "header does not end"),
        (b"YUV4", "header does not end"),
    ],
)
def test_bad_y4m_header_raises_source_error(tmp_path: Path, header: bytes, words: str) -> None:
    message = error_of(y4m(tmp_path, 1 if header.endswith(b"\n") else 0, header))
    assert words in message
    assert "clip.y4m" in message


@pytest.mark.parametrize("cut", [1, 5, 12, 13, 17])
def test_truncated_last_frame_of_y4m_leaves_the_good_ones(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = y4m(tmp_path, 3)
    path.write_bytes(path.read_bytes()[:-cut])
    words = f"frame 2 is truncated: {12 - cut} of 12 bytes; 2 whole frames come before it"
    if cut > 12:
        words = "ends within the line before frame 2"
    assert [frame.pts for frame in read_all(path)[1]] == [0, 1]
    assert [record.getMessage() for record in caplog.records] == [f"{path}: {words}"]
    assert words in error_of(path, strict=True)


def test_garbage_between_y4m_frames_raises_source_error(tmp_path: Path) -> None:
    path = y4m(tmp_path, 3)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"FRAME")] = 0
    path.write_bytes(data)
    assert "frame 2 starts with" in error_of(path)


def test_y4m_without_a_frame_raises_source_error(tmp_path: Path) -> None:
    assert "y4m without a whole frame: 0 bytes after the header" in error_of(y4m(tmp_path, 0))


def test_large_size_in_a_small_y4m_takes_no_memory(tmp_path: Path) -> None:
    path = y4m(tmp_path, 1, b"YUV4MPEG2 W16384 H8192 C444p10\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "without a whole frame" in error_of(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_raw_video_has_size_format_and_rate_of_the_options(tmp_path: Path) -> None:
    path = tmp_path / "clip.yuv"
    frames = [random_frame(VideoFormat(5, 3, "yuv420p10le"), seed) for seed in range(2)]
    path.write_bytes(b"".join(map(stored, frames)))
    with open_source(path, size=(5, 3), pix_fmt="yuv420p10le", fps=Fraction(50)) as source:
        assert source.format == VideoFormat(5, 3, "yuv420p10le", Fraction(1, 50), Fraction(50))
        assert source.num_frames == 2
        assert [frame_crc32(frame.planes) for frame in source] == [frame_crc32(f.planes) for f in frames]
    assert read_all(path, size=(5, 3), pix_fmt="yuv420p10le")[0].frame_rate == 25


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (4, 2)}, "the pixel format is missing"),
        ({"pix_fmt": "yuv420p"}, "raw video has no header: say its --size WxH"),
        ({"fps": RATE}, "raw video has no header: say its --size WxH and its --pix-fmt"),
        ({}, "raw video has no header: say its --size WxH and its --pix-fmt"),
        ({"size": (4, 2), "pix_fmt": "nv12"}, "'nv12' is not supported: must be one of yuv420p"),
        ({"size": (4, 2), "pix_fmt": "yuv"}, "'yuv' is not supported"),
        ({"size": (0, 2), "pix_fmt": "yuv420p"}, "width = 0"),
        ({"size": (4, 99999), "pix_fmt": "yuv420p"}, "height = 99999"),
        ({"size": (4, 2), "pix_fmt": "yuv420p", "fps": Fraction(0)}, "must be above 0"),
        (
            {"size": (5, 2), "pix_fmt": "yuv420p"},
            "are 1 frames of 5 x 2 yuv420p (16 bytes each) and 8",
        ),
        ({"size": (40, 20), "pix_fmt": "yuv420p"}, "24 bytes are 0 frames of 40 x 20"),
        ({"size": (4, 3), "pix_fmt": "gray10le"}, "sample"),
    ],
)
def test_bad_raw_options_raise_source_error(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    path = tmp_path / "clip.yuv"
    path.write_bytes(bytes(range(24)))
    assert words in error_of(path, **options)


# Pipes.

READ_STDIN = """
import sys
from c3video.errors import SourceError
from c3video.media.source import open_source
from c3video.video import frame_crc32
try:
    with open_source("-", **eval(sys.argv[1])) as source:
        print(source.format.pix_fmt, source.num_frames, flush=True)
        for frame in source:
            print(frame.pts, frame_crc32(frame.planes), flush=True)
except SourceError as error:
    print("SourceError:", error)
"""


def read_pipe(data: bytes, **options: Any) -> list[str]:
    command = [sys.executable, "-c", READ_STDIN, repr(options)]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.stderr == b""
    assert done.returncode == 0
    return done.stdout.decode().splitlines()


def expected_lines(path: Path, **options: Any) -> list[str]:
    _, frames = read_all(path, **options)
    return [f"{frame.pts} {frame_crc32(frame.planes)}" for frame in frames]


def test_pipe_of_y4m(tmp_path: Path) -> None:
    path = y4m(tmp_path)
    assert read_pipe(path.read_bytes()) == ["yuv420p None", *expected_lines(path)]


def test_pipe_of_raw_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.yuv"
    path.write_bytes(bytes(range(36)))
    options = {"size": (4, 2), "pix_fmt": "yuv420p"}
    assert read_pipe(path.read_bytes(), **options) == ["yuv420p None", *expected_lines(path, **options)]


def test_pipe_of_a_container(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mkv", pictures("yuv420p"), "ffv1", "matroska")
    lines = read_pipe(path.read_bytes())
    assert lines[0].startswith("yuv420p ")
    assert lines[1:] == expected_lines(path)


def test_truncated_pipes_raise_after_the_good_frames_where_asked(tmp_path: Path) -> None:
    path = y4m(tmp_path, 3)
    lines = read_pipe(path.read_bytes()[:-2], strict=True)
    assert lines[1:3] == expected_lines(path, frames=(0, 2))
    assert lines[3].startswith("SourceError: standard input: frame 2 is truncated: 10 of 12 bytes")
    lines = read_pipe(bytes(30), size=(4, 2), pix_fmt="yuv420p", strict=True)
    assert len(lines) == 4
    assert "frame 2 is truncated: 6 of 12 bytes" in lines[3]


def test_empty_pipe_raises_source_error() -> None:
    assert read_pipe(b"") == ["SourceError: standard input: is empty (0 bytes)"]


def test_frames_of_a_pipe_come_while_it_is_open(tmp_path: Path) -> None:
    data = y4m(tmp_path, 2).read_bytes()
    command = [sys.executable, "-c", READ_STDIN, "{}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data[:3])  # not even the whole magic
        process.stdin.flush()
        time.sleep(0.05)
        process.stdin.write(data[3:-18])
        process.stdin.flush()
        assert process.stdout.readline() == b"yuv420p None\n"
        assert process.stdout.readline().startswith(b"0 ")
        process.stdin.write(data[-18:])
        process.stdin.close()
        assert process.stdout.readline().startswith(b"1 ")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_while_ffmpeg_waits_for_a_pipe_is_a_keyboard_interrupt(tmp_path: Path) -> None:
    data = encode(tmp_path / "clip.nut", pictures("gray", (64, 64), 20)).read_bytes()
    # A test run in the background of a shell may have the signal ignored, and its children with it.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "import c3video.media.source; print('ready', flush=True)\n" + READ_STDIN
    command = [sys.executable, "-c", program, "{}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(data[: len(data) // 2])
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.3)  # until it waits for more
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().rstrip().endswith(b"KeyboardInterrupt")
        assert process.wait(10) != 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_named_pipe(tmp_path: Path) -> None:
    data, path = encode(tmp_path / "clip.nut", pictures("gray")).read_bytes(), tmp_path / "fifo"
    os.mkfifo(path)
    program = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    with subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(data)
        writer.stdin.close()
        assert len(read_all(path)[1]) == 3


# What cannot be read.


def test_missing_file_raises_source_error(tmp_path: Path) -> None:
    assert error_of(tmp_path / "none.mp4").endswith("none.mp4: cannot be opened: No such file or directory")
    for address in ("http://127.0.0.1/clip.mp4", "rtsp://camera.example/1", "file:///clip.mp4"):
        assert f"{address}: addresses are not opened: download it, or `ffmpeg -i {address} " in error_of(address)
    assert "cannot be opened" in error_of("a\0b")


def test_directory_raises_source_error(tmp_path: Path) -> None:
    assert "Is a directory" in error_of(tmp_path)


def test_empty_file_raises_source_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert "is empty (0 bytes)" in error_of(path)
    assert "is empty (0 bytes)" in error_of(path, size=(4, 2), pix_fmt="gray")


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes"])
def test_text_raises_source_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("hello, this is no video\n" * 50)
    message = error_of(path)
    assert "cannot be opened as a video" in message or "has no video stream" in message


def test_random_bytes_raise_source_error(tmp_path: Path) -> None:
    path = tmp_path / "noise.bin"
    path.write_bytes(np.random.default_rng(0).bytes(20_000))
    assert "noise.bin" in error_of(path)


def test_audio_raises_source_error(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    assert "has no video stream" in error_of(path)


@needs_ffmpeg
def test_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    path = str(tmp_path / "song.mp3")
    command = [
        FFMPEG,
        "-nostdin",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "sine=d=0.2",
        "-f",
        "lavfi",
        "-i",
        "color=s=32x32:d=0.04",
    ]
    command += ["-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic"]
    subprocess.run([*command, path], check=True)
    assert "has no video stream" in error_of(path)


ALPHA = ["rgba", "bgra", "argb", "abgr", "ya8", "yuva420p", "yuva444p10le", "gbrap", "gbrap10le"]


def set_alpha(frame: av.VideoFrame, value: int) -> None:
    """The same alpha in all pixels, -1: the largest."""
    name = frame.format.name
    if len(frame.planes) == 4:
        rows(frame.planes[3], "<u2" if "10" in name else "u1")[:] = value & (1023 if "10" in name else 255)
    else:
        letters = name.removesuffix("8")
        rows(frame.planes[0])[:, letters.index("a") :: len(letters)] = value & 255


def layout_of(pix_fmt: str) -> str:
    """What is coded of one of ALPHA."""
    yuv_or_gray = {"ya8": "gray", "yuva420p": "yuv420p", "yuva444p10le": "yuv444p10le"}
    return yuv_or_gray.get(pix_fmt, "gbrp10le" if "10" in pix_fmt else "gbrp")


@pytest.mark.parametrize("pix_fmt", ALPHA)
def test_opaque_alpha_is_left_out(tmp_path: Path, pix_fmt: str) -> None:
    frames = pictures(pix_fmt)
    for frame in frames:
        set_alpha(frame, -1)
    video, found = read_all(encode(tmp_path / "clip.nut", frames))
    assert video.pix_fmt == layout_of(pix_fmt)
    if pix_fmt.startswith(("yuva", "gbrap")):
        itemsize = 2 if "10" in pix_fmt else 1
        planes = frames[1].planes[:3]
        expected = b"".join(rows(plane)[:, : plane.width * itemsize].tobytes() for plane in planes)
        assert stored(found[1]) == expected


@pytest.mark.parametrize("pix_fmt", ALPHA)
def test_transparent_pixels_raise_source_error(tmp_path: Path, pix_fmt: str) -> None:
    """Where they are, even if it is in the last frame."""
    frames = pictures(pix_fmt)
    for frame, value in zip(frames, (-1, -1, 254), strict=True):
        set_alpha(frame, value)
    message = error_of(encode(tmp_path / "clip.nut", frames))
    assert f"frame 2: has transparent pixels ({pix_fmt}), which are not coded" in message
    assert f"--pix-fmt {layout_of(pix_fmt)} drops the transparency" in message
    video, found = read_all(tmp_path / "clip.nut", pix_fmt=layout_of(pix_fmt))
    assert (video.pix_fmt, len(found)) == (layout_of(pix_fmt), 3)


def test_transparent_palette_raises_source_error(tmp_path: Path) -> None:
    picture = pictures("pal8", num_frames=1)[0]
    palette = rows(picture.planes[1]).reshape(256, 4)
    palette[:, 3] = 255
    palette[7, 3] = 128
    path = encode(tmp_path / "still.png", [picture], "png", "image2")
    with pytest.raises(SourceError, match=r"frame 0: has transparent pixels \(pal8\)"):
        open_source(path)


def test_opaque_gif_is_read(tmp_path: Path) -> None:
    """FFmpeg decodes every GIF to RGB with alpha."""
    picture = av.VideoFrame(16, 12, "pal8")
    rows(picture.planes[0])[:] = np.arange(rows(picture.planes[0]).size).reshape(12, -1) % 200
    palette = rows(picture.planes[1]).reshape(256, 4)
    palette[:] = np.random.default_rng(0).integers(0, 256, palette.shape)
    palette[:, 3] = 255
    expected = palette[rows(picture.planes[0])[:, :16]]
    video, (frame,) = read_all(encode(tmp_path / "clip.gif", [picture], "gif", "gif"))
    assert video.pix_fmt == "gbrp"
    assert np.array_equal(np.stack(frame.planes, -1), expected[..., [1, 0, 2]])


@pytest.mark.parametrize(
    ("pix_fmt", "nearest", "note"),
    [
        ("yuv410p", "yuv420p", ""),
        ("yuv411p", "yuv422p", ""),
        ("yuv440p", "yuv444p", ""),
        ("yuv420p9le", "yuv420p10le", ""),
        ("yuv420p12le", "yuv420p10le", "the lowest 2 bits are lost"),
        ("yuv422p12le", "yuv422p10le", "the lowest 2 bits are lost"),
        ("yuv444p16le", "yuv444p10le", "the lowest 6 bits are lost"),
        ("rgb48le", "gbrp10le", "the lowest 6 bits are lost"),
        ("gray16le", "gray10le", "the lowest 6 bits are lost"),
        ("yuva422p12le", "yuv422p10le", "the lowest 2 bits are lost, transparency is lost"),
    ],
)
def test_other_pixel_formats_raise_source_error_that_keeps_chroma_and_depth(
    tmp_path: Path, pix_fmt: str, nearest: str, note: str
) -> None:
    path = encode(tmp_path / "clip.nut", pictures(pix_fmt))
    message = error_of(path)
    assert f"pixel format {pix_fmt} is not supported: must be one of yuv420p" in message
    hint = f"--pix-fmt {nearest} converts it on the way in"
    assert message.endswith(f"{hint} ({note})" if note else hint)
    video, frames = read_all(path, pix_fmt=nearest)
    assert (video.pix_fmt, len(frames)) == (nearest, 3)


def test_truncated_mp4_raises_source_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", pictures("yuv420p", num_frames=5), "libx264", "mp4")
    path.write_bytes(path.read_bytes()[:1000])
    assert "clip.mp4" in error_of(path)


def test_damaged_png_raises_source_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "still.png", pictures("rgb24", num_frames=1), "png", "image2")
    path.write_bytes(path.read_bytes()[:300])
    assert "still.png" in error_of(path)


@pytest.mark.parametrize("change", [("yuv420p", (64, 48)), ("yuv444p", (36, 28))])
def test_change_of_size_or_format_raises_source_error_at_the_frame(
    tmp_path: Path, change: tuple[str, tuple[int, int]]
) -> None:
    parts = [("yuv420p", (36, 28)), change]
    joined = io.BytesIO()
    for pix_fmt, size in parts:
        part = io.BytesIO()
        encode(part, pictures(pix_fmt, size, 2), "libx264", "h264")
        joined.write(part.getvalue())
    path = tmp_path / "clip.h264"
    path.write_bytes(joined.getvalue())
    with open_source(path) as source:
        frames = iter(source)
        next(frames)
        next(frames)
        with pytest.raises(SourceError, match=r"frame 2 is .*, those before are 36 x 28 yuv420p"):
            next(frames)


def test_absurd_size_in_a_container_raises_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.nut", pictures("gray", (16_400, 2), 1))
    assert "width = 16400: must be in 1..16384" in error_of(path)


def test_files_are_let_go_of(tmp_path: Path) -> None:
    """No descriptor stays open, whatever happened."""
    good = encode(tmp_path / "clip.nut", pictures("gray"))
    bad = tmp_path / "notes.mp4"
    bad.write_text("no video")
    gc.collect()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for path in (good, bad, y4m(tmp_path, 0)):
        try:
            with open_source(path) as source:
                next(iter(source))
        except SourceError:
            pass
    after = len(os.listdir("/proc/self/fd")) if before else 0
    assert after == before


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    path = tmp_path / "long.yuv"
    frame_bytes = 1024 * 1024
    with path.open("wb") as file:
        file.truncate(200 * frame_bytes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_source(path, size=(1024, 1024), pix_fmt="gray") as source:
        assert sum(1 for _ in source) == 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


# Conversion to RGB.

MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}


def formula(planes: Iterable[NDArray[Any]], matrix: int, is_full: bool, bits: int) -> list[NDArray[Any]]:
    """G, B, R in float64 by the definition of each standard."""
    kr, kb = MATRICES[matrix]
    scale, largest = 1 << (bits - 8), (1 << bits) - 1
    y, u, v = (plane.astype(np.float64) for plane in planes)
    luma = y / largest if is_full else (y - 16 * scale) / (219 * scale)
    cb, cr = ((c - 128 * scale) / (largest if is_full else 224 * scale) for c in (u, v))
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return [np.clip(c, 0, 1) * largest for c in (green, blue, red)]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
def test_rgb_follows_the_declared_matrix_and_range(matrix: int, is_full: bool, bits: int) -> None:
    video = VideoFormat(
        47,
        33,
        "yuv444p" if bits == 8 else "yuv444p10le",
        color_space=matrix,
        color_range=2 if is_full else 1,
    )
    low, high = (0, 255) if is_full else (16, 235)
    rng = np.random.default_rng(0)
    samples = (rng.integers(low, high, (3, 33, 47), endpoint=True) << (bits - 8)).astype(video.layout.dtype)
    convert = RgbConverter(video)
    frame = convert(Frame(tuple(samples), pts=7, duration=3))
    assert (frame.pts, frame.duration) == (7, 3)
    assert convert.format.pix_fmt == ("gbrp" if bits == 8 else "gbrp10le")
    assert (convert.format.color_space, convert.format.color_range) == (0, 2)
    # 10 bits of limited range: see RgbConverter.
    tolerance = 4 if bits == 10 and not is_full else 1
    for found, expected in zip(frame.planes, formula(samples, matrix, is_full, bits), strict=True):
        assert np.abs(found - expected).max() <= tolerance


@pytest.mark.parametrize(("height", "matrix"), [(718, 6), (720, 1)])
def test_unspecified_matrix_goes_by_height(height: int, matrix: int) -> None:
    planes = tuple(np.full((height, 2), value, np.uint8) for value in (120, 90, 170))
    frame = RgbConverter(VideoFormat(2, height, "yuv444p"))(Frame(planes, 0))
    expected = formula(planes, matrix, False, 8)
    assert all(np.abs(a - b).max() <= 1 for a, b in zip(frame.planes, expected, strict=True))


@pytest.mark.parametrize(("color_range", "is_full"), [(0, True), (1, False), (2, True)])
@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_gray_becomes_rgb_by_its_range(pix_fmt: str, color_range: int, is_full: bool) -> None:
    video = VideoFormat(33, 5, pix_fmt, color_range=color_range)
    bits = video.layout.bit_depth
    samples = (np.linspace(16, 235, 165).reshape(5, 33).astype(np.uint16) << (bits - 8)).astype(video.layout.dtype)
    frame = RgbConverter(video)(Frame((samples,), 0))
    neutral = np.full(samples.shape, 128 << (bits - 8))
    for found, expected in zip(frame.planes, formula((samples, neutral, neutral), 1, is_full, bits), strict=True):
        assert np.abs(found - expected).max() <= (4 if bits == 10 else 1)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_subsampled_odd_sizes_become_rgb_of_the_same_size(pix_fmt: str) -> None:
    video = VideoFormat(35, 27, pix_fmt)
    scale = 1 << (video.layout.bit_depth - 8)
    planes = tuple(
        np.full(shape, value * scale, video.layout.dtype)
        for shape, value in zip(video.plane_shapes, (120, 90, 170), strict=True)
    )
    frame = RgbConverter(video)(Frame(planes, 0))
    assert all(plane.shape == (27, 35) for plane in frame.planes)
    flat = tuple(np.full((27, 35), value * scale) for value in (120, 90, 170))
    expected = formula(flat, 6, False, video.layout.bit_depth)
    assert all(np.abs(a - b).max() <= 1.5 * scale for a, b in zip(frame.planes, expected, strict=True))


def test_chroma_is_sited_in_the_centre() -> None:
    """A ramp of Cr: luma sample x lies at chroma position (x + 1/2) / 2 - 1/2, rows alike."""
    video = VideoFormat(64, 64, "yuv420p", color_space=1, color_range=2, chroma_location=1)
    ramp = np.broadcast_to((60 + 3 * np.arange(32)).astype(np.uint8), (32, 32)).copy()
    luma, neutral = np.full((64, 64), 120, np.uint8), np.full((32, 32), 128, np.uint8)
    columns = np.arange(8, 40)
    expected = 120 + 2 * (1 - 0.2126) * (60 + 3 * ((columns + 0.5) / 2 - 0.5) - 128)
    for cr in (ramp, ramp.T.copy()):
        red = RgbConverter(video)(Frame((luma, neutral, cr), 0)).planes[2]
        line = red[32, columns] if cr is ramp else red[columns, 32]
        assert np.abs(line - expected).max() <= 1.5


def test_rgb_source_passes_unchanged_as_rgb(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.nut", pictures("gbrp"))
    (video, frames), (as_rgb, converted) = read_all(path), read_all(path, as_rgb=True)
    assert as_rgb == video
    assert [stored(frame) for frame in frames] == [stored(frame) for frame in converted]


def test_as_rgb_is_the_converter_on_each_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.nut", pictures("yuv420p"))
    video, frames = read_all(path)
    with open_source(path, as_rgb=True, frames=(1, None)) as source:
        convert = RgbConverter(video)
        assert source.format == convert.format
        assert [stored(frame) for frame in source] == [stored(convert(frame)) for frame in frames[1:]]


def test_unknown_matrix_raises_source_error() -> None:
    with pytest.raises(SourceError, match="colour matrix 8 cannot be converted"):
        RgbConverter(VideoFormat(4, 2, "yuv444p", color_space=8))


def test_array_source_has_the_face_of_a_source(tmp_path: Path) -> None:
    """The same frames from a file and from memory."""
    _, frames = read_all(y4m(tmp_path))
    with open_source(y4m(tmp_path)) as source:
        memory = ArraySource([frame.planes for frame in frames], source.format)
        assert memory.num_frames == source.num_frames
        assert [stored(frame) for frame in memory] == [stored(frame) for frame in source]
