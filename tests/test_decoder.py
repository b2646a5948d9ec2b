# SPDX-License-Identifier: MIT
"""c3video/decoder.py as a library: frames by number and time, arrays, limits that hold before memory is asked for."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest

import c3video
from c3video.c3.config import C3Config, LatentGrid
from c3video.config import ModelConfig
from c3video.decoder import Decoder
from c3video.errors import ConfigError, CorruptSegmentError, LimitError, NotSeekableError, StreamError
from c3video.hybrid.config import HybridConfig
from c3video.limits import DecodeLimits
from c3video.models import DECODERS
from c3video.pyramid.config import PyramidConfig
from c3video.stream.layout import Header, Segment
from c3video.stream.writer import Writer
from c3video.video import Frame, Planes, VideoFormat
from tests.hybrid.streams import frame_header, synthetic_segment, synthetic_stream

LENGTHS = (3, 2, 4)
NUM_FRAMES = sum(LENGTHS)


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


@pytest.fixture(scope="module")
def coded() -> tuple[bytes, list[Planes]]:
    """Three segments whose time stamps are 0 1 2, 4 5, 8 9 10 11, at 25 frames a second."""
    return synthetic_stream(frame_header(8, 8, "gray", HybridConfig(), segment_frames=4), LENGTHS, density=0.1)


@pytest.fixture(params=[io.BytesIO, Pipe])
def clip(request: pytest.FixtureRequest, coded: tuple[bytes, list[Planes]]) -> Decoder:
    return Decoder(cast(BinaryIO, request.param(coded[0])))


@pytest.fixture
def file(coded: tuple[bytes, list[Planes]]) -> Decoder:
    return Decoder(io.BytesIO(coded[0]))


def times(frames: Any) -> list[int]:
    return [frame.pts for frame in frames]


def test_frames_by_number(file: Decoder, coded: tuple[bytes, list[Planes]]) -> None:
    assert len(file) == NUM_FRAMES
    for index in (0, 4, 3, 8, -1, -NUM_FRAMES):
        np.testing.assert_array_equal(file[index].planes[0], coded[1][index][0])
    assert times(file[2:6]) == [2, 4, 5, 8]
    assert times(file[::-4]) == [11, 5, 0]
    assert file[5:2] == []
    for index in (NUM_FRAMES, -NUM_FRAMES - 1):
        with pytest.raises(IndexError, match=f"frame {index}: the stream has 9 frames"):
            file[index]


def test_rising_numbers_decode_each_frame_once(file: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, num_frames = DECODERS[HybridConfig.KIND], 0

    def counting(*arguments: Any) -> Any:
        nonlocal num_frames
        for planes in decoder.decode(*arguments):
            num_frames += 1
            yield planes

    monkeypatch.setitem(DECODERS, HybridConfig.KIND, replace(decoder, decode=counting))
    assert times(file[index] for index in range(NUM_FRAMES)) == [0, 1, 2, 4, 5, 8, 9, 10, 11]
    assert num_frames == NUM_FRAMES


@pytest.mark.parametrize(("first", "last"), [(0, None), (0, 2), (2, 4), (3, 5), (4, 99), (8, None)])
def test_range_of_frames_of_a_file_and_a_pipe(clip: Decoder, first: int, last: int | None) -> None:
    assert times(clip.frame_range(first, last)) == [0, 1, 2, 4, 5, 8, 9, 10, 11][first:last]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, 0.08, [0, 1]),
        (0.05, 0.16, [1, 2]),
        (0.16, None, [4, 5, 8, 9, 10, 11]),
        (0.2, 0.37, [5, 8, 9]),
        (0.44, None, [11]),
        (-1, 0.04, [0]),
    ],
)
def test_range_of_time(clip: Decoder, start: float | None, end: float | None, expected: list[int]) -> None:
    assert times(clip.time_range(start, end)) == expected


def test_frame_at_a_time(file: Decoder) -> None:
    assert [file.frame_at(seconds).pts for seconds in (0, 0.1, 0.35, 0.05)] == [0, 2, 8, 1]
    with pytest.raises(ConfigError, match="no frame is on screen"):
        file.frame_at(0.5)


def test_wrong_ranges_are_config_errors(clip: Decoder) -> None:
    for frames in (clip.frame_range(3, 3), clip.frame_range(-1), clip.time_range(1, 1), clip.frame_range(9)):
        with pytest.raises(ConfigError):
            next(frames)


def test_pipe_has_no_length_and_goes_on(coded: tuple[bytes, list[Planes]]) -> None:
    clip = Decoder(Pipe(coded[0]))
    with pytest.raises(NotSeekableError):
        len(clip)
    with pytest.raises(NotSeekableError):
        clip[0]
    assert times(clip.frame_range(1, 3)) == [1, 2]
    assert times(clip.frame_range(4, 6)) == [5, 8]
    with pytest.raises(ConfigError, match="frame 5 has gone by"):
        next(clip.frame_range(5))
    assert times(list(Decoder(Pipe(coded[0])))) == [0, 1, 2, 4, 5, 8, 9, 10, 11]


def test_iterators_of_a_file_do_not_disturb_each_other(file: Decoder) -> None:
    pairs = list(zip(file, file.frame_range(4), strict=False))
    assert [(a.pts, b.pts) for a, b in pairs] == [(0, 5), (1, 8), (2, 9), (4, 10), (5, 11)]
    frames = iter(file)
    assert [next(frames).pts, file[7].pts, next(frames).pts, len(file)] == [0, 10, 1, 9]


def damaged(data: bytes, number: int) -> bytes:
    """With a bit of a segment's payload flipped."""
    at = -1
    for _ in range(number + 1):
        at = data.index(b"C3R", at + 1)
    return data[: at + 30] + bytes([data[at + 30] ^ 1]) + data[at + 31 :]


def test_frames_keep_their_numbers_where_a_segment_is_lost(coded: tuple[bytes, list[Planes]]) -> None:
    data = damaged(coded[0], 1)
    assert Decoder(io.BytesIO(data))[6].pts == 9
    with pytest.raises(CorruptSegmentError):
        Decoder(io.BytesIO(data))[4]
    clip = Decoder(io.BytesIO(data), conceal=True)
    assert len(clip) == NUM_FRAMES
    assert times(clip.frame_range(2)) == [2, 8, 9, 10, 11]
    assert clip[5].pts == 8
    with pytest.raises(CorruptSegmentError, match="segment 1"):
        clip[4]


def test_stream_without_an_index_has_its_frames_counted_where_damage_is_concealed(
    coded: tuple[bytes, list[Planes]],
) -> None:
    data = coded[0][:-20]
    with pytest.raises(StreamError, match="without an index"):
        len(Decoder(io.BytesIO(data)))
    clip = Decoder(io.BytesIO(data), conceal=True)
    assert len(clip) == NUM_FRAMES
    assert clip[-1].pts == 11


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray", "gbrp10le"])
def test_arrays_of_rgb_and_frames_of_av(pix_fmt: str) -> None:
    header = frame_header(6, 10, pix_fmt, HybridConfig())
    data, _ = synthetic_stream(header, (1,), density=0.2)
    with Decoder(io.BytesIO(data)) as clip:
        frame = clip[0]
        rgb = clip.to_rgb(frame)
        assert rgb.shape == (6, 10, 3)
        assert rgb.dtype == header.video.layout.dtype
        if pix_fmt != "yuv420p":
            np.testing.assert_array_equal(rgb[..., 0], frame.planes[-1])
        assert clip.to_av(frame).format.name == pix_fmt
        assert clip.to_av(frame).pts == frame.pts


def bare_stream(header: Header, num_frames: int) -> bytes:
    """Checks hold, payloads hold nothing."""
    file = io.BytesIO()
    with Writer(file, header) as writer:
        patches = (b"",) * header.num_patches
        pts, ones = tuple(range(num_frames)), (1,) * num_frames
        writer.write_segment(Segment(0, pts, ones, ones, patches))
    return file.getvalue()


def test_frame_above_the_limit_of_pixels_is_refused_with_the_header() -> None:
    data = bare_stream(Header(VideoFormat(16384, 8192, "gray"), HybridConfig(), 1, 1, 1), 1)
    with pytest.raises(LimitError, match=r"16384 x 8192 = 134217728 pixels.*--max-pixels"):
        Decoder(io.BytesIO(data))
    with pytest.raises(LimitError, match="--max-memory"):
        Decoder(io.BytesIO(data), max_pixels=None, max_memory=1 << 29)
    Decoder(io.BytesIO(data), max_pixels=None, max_memory=None)


@pytest.mark.parametrize("conceal", [False, True])
def test_few_bytes_that_ask_for_gigabytes_are_refused_before_memory_is(conceal: bool) -> None:
    """288 bytes once asked for 7.7 GB."""
    header = Header(VideoFormat(8192, 8192, "yuv420p"), C3Config(grids=(LatentGrid(7, 7),)), 20, 5, 2)
    data = bare_stream(header, 20)
    assert len(data) < 400
    with pytest.raises(LimitError, match=r"segment 0 of 20 frames would take some \d{4} MiB") as caught:
        list(Decoder(io.BytesIO(data), conceal=conceal).frames())
    assert caught.value.segment == 0


def test_fewer_threads_are_used_where_memory_is_short(coded: tuple[bytes, list[Planes]]) -> None:
    header = Decoder(io.BytesIO(coded[0])).header
    model = DECODERS[HybridConfig.KIND]
    needed = [model.memory_bytes(header, 4, "native", threads) for threads in (1, 2, 4, 8)]
    assert needed == sorted(needed)
    clip = Decoder(io.BytesIO(coded[0]), threads=8, engine="numpy", max_memory=1 << 20)
    assert times(clip) == [0, 1, 2, 4, 5, 8, 9, 10, 11]


def test_number_of_frames_is_limited(coded: tuple[bytes, list[Planes]]) -> None:
    frames = Decoder(io.BytesIO(coded[0]), max_frames=5).frames()
    assert times(next(frames) for _ in range(5)) == [0, 1, 2, 4, 5]
    with pytest.raises(LimitError, match="after the limit of 5 frames"):
        next(frames)


def test_memory_that_ends_is_our_error(file: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def ending(*arguments: Any) -> Any:
        raise MemoryError

    broken = replace(DECODERS[HybridConfig.KIND], decode=ending)
    monkeypatch.setitem(DECODERS, HybridConfig.KIND, broken)
    with pytest.raises(LimitError, match="not enough memory"):
        next(iter(file))


@pytest.mark.parametrize("model", [HybridConfig(), C3Config(), PyramidConfig(), PyramidConfig(num_previous=5)])
def test_defaults_let_pass_what_people_have(model: ModelConfig) -> None:
    sizes = {HybridConfig.KIND: (3840, 2160, 32), C3Config.KIND: (1920, 1080, 32), PyramidConfig.KIND: (3840, 2160, 32)}
    width, height, num_frames = sizes[model.KIND]
    rows, columns = (8, 6) if model.HAS_PATCHES else (1, 1)
    header = Header(VideoFormat(width, height, "yuv420p"), model, num_frames, rows, columns)
    assert DecodeLimits().allows_memory(DECODERS[model.KIND].memory_bytes(header, num_frames, "native", 1))


@pytest.mark.parametrize("name", ["max_pixels", "max_frames", "max_memory"])
def test_limit_of_nothing_is_a_config_error(name: str, tmp_path: Path, coded: tuple[bytes, list[Planes]]) -> None:
    path = tmp_path / "clip.c3v"
    path.write_bytes(coded[0])
    with pytest.raises(ConfigError, match=f"{name} = 0"):
        c3video.open(path, **{name: 0})


def test_frames_leave_before_the_next_is_decoded() -> None:
    """A hash that is wrong in the last frame lets all before it out, and conceal keeps them."""
    header = frame_header(8, 8, "gray", HybridConfig())
    segment = synthetic_segment(header, 3, gop=1, density=0.1).segment
    file = io.BytesIO()
    with Writer(file, header) as writer:
        writer.write_segment(replace(segment, frame_hashes=(*segment.frame_hashes[:2], 7)))
    frames = Decoder(io.BytesIO(file.getvalue())).frames()
    assert times(next(frames) for _ in range(2)) == [0, 1]
    with pytest.raises(CorruptSegmentError, match="frame 2"):
        next(frames)
    concealed = Decoder(io.BytesIO(file.getvalue()), conceal=True)
    found: list[Frame] = list(concealed.frames())
    assert times(found) == [0, 1, 2]
    assert len(concealed.lost) == 1
    assert [frame.number for frame in concealed.concealed] == [2]
