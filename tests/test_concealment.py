# SPDX-License-Identifier: MIT
"""Lost frames are filled in at their times from what is beside them, and said to be."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from c3video.c3.config import C3Config
from c3video.concealment import MOST_IN_A_ROW, Between, fill, lost_of_segment
from c3video.decoder import Decoder
from c3video.errors import ConfigError, CorruptSegmentError, LimitError, StreamError
from c3video.hybrid.config import HybridConfig
from c3video.stream.layout import Header, IndexEntry, write_end, write_header
from c3video.stream.writer import Writer
from c3video.video import Frame, Planes, VideoFormat
from tests.hybrid.streams import frame_header, synthetic_segment
from tests.model_streams import MODELS, small_stream

NUM_FRAMES = 12


class Pipe(io.RawIOBase):
    """Bytes that can be read once."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)


@pytest.fixture(scope="module", params=MODELS)
def coded(request: pytest.FixtureRequest) -> tuple[bytes, list[Planes]]:
    """Segments of 4 frames, one after the other, and the planes of all frames."""
    return small_stream(request.param, 16, 24, "yuv420p", (4, 4, 4), segment_frames=4, density=0.2)


def records(data: bytes) -> list[tuple[int, int]]:
    """Where each record begins and ends, the index last."""
    found, at = [], data.index(b"C3R")
    while data[at : at + 3] == b"C3R":
        end = at + 20 + int.from_bytes(data[at + 8 : at + 12], "little")
        found.append((at, end))
        at = end
    return found


def without(data: bytes, number: int) -> bytes:
    begin, end = records(data)[number]
    return data[:begin] + data[end:]


def broken_head(data: bytes, number: int) -> bytes:
    begin, _ = records(data)[number]
    return data[: begin + 5] + bytes([data[begin + 5] ^ 8]) + data[begin + 6 :]


def broken_end(data: bytes, number: int) -> bytes:
    _, end = records(data)[number]
    return data[: end - 9] + bytes([data[end - 9] ^ 8]) + data[end - 8 :]


@pytest.mark.parametrize("damage", [without, broken_head, broken_end])
@pytest.mark.parametrize("is_pipe", [False, True])
def test_every_time_has_its_frame_again(coded: tuple[bytes, list[Planes]], damage: object, is_pipe: bool) -> None:
    data, planes = coded
    broken = damage(data, 1)  # type: ignore[operator]
    with Decoder(Pipe(broken) if is_pipe else io.BytesIO(broken), conceal=True) as clip:  # type: ignore[arg-type]
        frames = list(clip)
        assert [frame.pts for frame in frames] == list(range(NUM_FRAMES))
        filled = {frame.number for frame in clip.concealed}
        assert filled
        assert filled <= {4, 5, 6, 7}
        assert {frame.segment for frame in clip.concealed} == {1}
        assert all(frame.number == frame.pts for frame in clip.concealed)
        assert len(clip.lost) >= 1
    for frame in frames:
        if frame.pts not in filled:
            assert all(np.array_equal(*pair) for pair in zip(frame.planes, planes[frame.pts], strict=True))


def test_segment_whose_head_is_lost_with_the_end_of_the_one_before_is_filled_too(
    coded: tuple[bytes, list[Planes]],
) -> None:
    data, _ = coded
    _, end = records(data)[0]
    with Decoder(io.BytesIO(data[: end - 9] + bytes(20) + data[end + 11 :]), conceal=True) as clip:
        assert [frame.pts for frame in clip] == list(range(NUM_FRAMES))
        assert [frame.segment for frame in clip.concealed if frame.number >= 4] == [1] * 4


@pytest.mark.parametrize("damage", [without, broken_head, broken_end])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(("first", "last"), [(0, 3), (2, 6), (4, 8), (5, 7), (7, 9), (8, 12), (11, 12)])
def test_chosen_frames_are_those_of_the_whole_clip(
    coded: tuple[bytes, list[Planes]], damage: object, number: int, first: int, last: int
) -> None:
    broken = damage(coded[0], number)  # type: ignore[operator]
    with Decoder(io.BytesIO(broken), conceal=True) as clip:
        every = list(clip)
        whole = every[first:last]
        lost = {frame.number for frame in clip.concealed if first <= frame.number < last}
    with Decoder(io.BytesIO(broken), conceal=True) as clip:
        if not whole:
            with pytest.raises(ConfigError, match="there is no frame"):
                list(clip.frame_range(first, last))
            return
        chosen = list(clip.frame_range(first, last))
        assert {frame.number for frame in clip.concealed if first <= frame.number < last} == lost
    with Decoder(io.BytesIO(broken), conceal=True) as clip:
        # Before what comes first, and behind the end, nothing can be known of a stream whose index is wrong too.
        in_time = len(every) == NUM_FRAMES
        by_time = list(clip.time_range(Fraction(first, 25), Fraction(last, 25))) if in_time else whole
    for found in (chosen, by_time):
        assert [frame.pts for frame in found] == [frame.pts for frame in whole]
        for one, other in zip(found, whole, strict=True):
            assert all(np.array_equal(*pair) for pair in zip(one.planes, other.planes, strict=True))


def test_frames_by_number_are_filled_in_where_the_index_counts_them(coded: tuple[bytes, list[Planes]]) -> None:
    broken = broken_head(coded[0], 1)
    with Decoder(io.BytesIO(broken), conceal=True) as clip:
        whole = list(clip)
        assert len(clip) == NUM_FRAMES
        for number in (5, 4, 11, 7, 0):
            assert all(np.array_equal(*pair) for pair in zip(clip[number].planes, whole[number].planes, strict=True))
        assert [frame.pts for frame in clip[3:9]] == list(range(3, 9))


def test_frames_of_a_damaged_record_that_are_right_are_kept(coded: tuple[bytes, list[Planes]]) -> None:
    """Their own hashes tell; before, the whole segment was lost."""
    data, kept = coded[0], []
    begin, end = records(data)[1]
    for at in range(begin + 60, end - 20, max(1, (end - begin) // 25)):
        with Decoder(io.BytesIO(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]), conceal=True) as clip:
            assert len(list(clip)) == NUM_FRAMES
            kept.append(4 - len(clip.concealed))
    # A patch of the C3 model has the bytes of all frames in one.
    assert (max(kept) > 0) == (clip.header.model.KIND != C3Config.KIND)


@pytest.mark.parametrize("is_pipe", [False, True])
def test_right_frames_of_a_damaged_only_segment_are_kept(is_pipe: bool) -> None:
    """There is no index that could say the same of it."""
    header, file = frame_header(16, 24, "yuv420p", HybridConfig()), io.BytesIO()
    made = synthetic_segment(header, 4, seed=2, density=0.2)
    with Writer(file, header) as writer:
        writer.write_segment(made.segment)
    data = file.getvalue()
    kept = []
    for position in range(20, 400, 20):
        at = len(data) - position
        if at > data.index(b"C3R") + 60:
            broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            with Decoder(Pipe(broken) if is_pipe else io.BytesIO(broken), conceal=True) as clip:  # type: ignore[arg-type]
                frames = list(clip)
                filled = {frame.number for frame in clip.concealed}
            right = [frame for number, frame in enumerate(frames) if number not in filled]
            for frame in right:
                assert all(np.array_equal(*pair) for pair in zip(frame.planes, made.planes[frame.pts], strict=True))
            kept.append(len(right))
    assert max(kept) > 0


@pytest.mark.parametrize("number", [0, 2])
def test_segment_at_an_end_is_filled_from_one_side(coded: tuple[bytes, list[Planes]], number: int) -> None:
    data, planes = coded
    with Decoder(io.BytesIO(broken_head(data, number)), conceal=True) as clip:
        frames = list(clip)
    assert [frame.pts for frame in frames] == list(range(NUM_FRAMES))
    beside, lost = (planes[4], range(4)) if number == 0 else (planes[7], range(8, 12))
    for index in lost:
        assert all(np.array_equal(*pair) for pair in zip(frames[index].planes, beside, strict=True))


def test_all_lost_is_nothing_to_fill_from(coded: tuple[bytes, list[Planes]]) -> None:
    data = coded[0]
    for number in range(3):
        data = broken_head(data, number)
    with Decoder(io.BytesIO(data), conceal=True) as clip:
        assert list(clip) == []
        assert clip.lost


def test_filled_frames_count_against_the_limit(coded: tuple[bytes, list[Planes]]) -> None:
    clip = Decoder(io.BytesIO(without(coded[0], 1)), conceal=True, max_frames=8)
    with pytest.raises(LimitError):
        list(clip)


def gray(value: int, at: int, height: int = 32, width: int = 48) -> Planes:
    """A bright square on noise that moves with it."""
    noise = np.random.default_rng(0).integers(0, value, (height, width + 64))
    plane = noise[:, 32 - at : 32 - at + width].astype(np.uint8)
    plane[10:20, 15 + at : 25 + at] = 255
    return (plane,)


def test_still_pictures_are_mixed_by_time() -> None:
    layout = VideoFormat(8, 8, "gray").layout
    between = Between((np.zeros((8, 8), np.uint8),), (np.full((8, 8), 100, np.uint8),), layout)
    assert [int(between.at(time)[0][3, 3]) for time in (0.0, 0.25, 0.5, 1.0)] == [0, 25, 50, 100]


def test_picture_that_moves_is_moved() -> None:
    layout = VideoFormat(48, 32, "gray").layout
    between = Between(gray(120, 0), gray(120, 8), layout)
    middle, truth = between.at(0.5)[0].astype(int), gray(120, 4)[0].astype(int)
    assert np.array_equal(middle[:, 8:-8], truth[:, 8:-8])


def test_planes_of_chroma_move_by_their_own_samples() -> None:
    video = VideoFormat(49, 33, "yuv420p10le")
    rng = np.random.default_rng(1)
    whole = [rng.integers(0, 1023, (h, w + 64)).astype(np.uint16) for h, w in video.plane_shapes]
    frames = [
        tuple(
            np.ascontiguousarray(plane[:, 32 - (at >> (index > 0)) :][:, : shape[1]])
            for index, (plane, shape) in enumerate(zip(whole, video.plane_shapes, strict=True))
        )
        for at in (0, 4, 8)
    ]
    found = Between(frames[0], frames[2], video.layout).at(0.5)
    for plane, truth in zip(found, frames[1], strict=True):
        assert plane.dtype == np.uint16
        assert np.array_equal(plane[:, 8:-8], truth[:, 8:-8])


def frames_of(filled: Iterator[tuple[object, Frame]]) -> list[Frame]:
    return [frame for _, frame in filled]


def test_times_of_a_lost_segment_fill_the_gap() -> None:
    reason = StreamError("lost")
    lost = list(lost_of_segment(3, 100, 110, 4, reason))
    assert [(frame.pts, frame.duration) for frame in lost] == [(100, 2), (102, 3), (105, 2), (107, 3)]
    assert len(list(lost_of_segment(3, 100, 102, 4, reason))) == 2  # no two frames at one time
    assert list(lost_of_segment(3, 100, 90, 4, reason)) == []
    layout = VideoFormat(4, 4, "gray", time_base=Fraction(1, 25)).layout
    before, after = (Frame((np.full((4, 4), value, np.uint8),), pts, 5) for value, pts in ((0, 95), (150, 110)))
    assert [int(frame.planes[0][0, 0]) for frame in frames_of(fill(lost, before, after, layout))] == [50, 70, 100, 120]
    assert frames_of(fill(lost, None, None, layout)) == []


def test_number_of_filled_frames_is_bounded() -> None:
    layout = VideoFormat(1, 1, "gray").layout
    lost = list(lost_of_segment(0, 0, 10 * MOST_IN_A_ROW, 2 * MOST_IN_A_ROW, StreamError("lost")))
    assert len(frames_of(fill(lost, Frame((np.zeros((1, 1), np.uint8),), -1), None, layout))) == MOST_IN_A_ROW


def test_index_that_claims_millions_of_frames_takes_no_memory_for_them() -> None:
    num_segments = 2_000
    head = write_header(Header(VideoFormat(16, 16, "gray"), HybridConfig(), 1_024, 1, 1))
    body = bytes(28 * num_segments)
    end = write_end([IndexEntry(28, 1_024, number * 4_096) for number in range(num_segments)], len(head) + len(body))
    tracemalloc.start()
    decoder = Decoder(io.BytesIO(head + body + end), conceal=True)
    assert list(decoder.frames()) == []
    assert len(decoder.lost) == 1
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 << 20  # a frame of which it is known that it is lost takes some 200 bytes


def test_without_concealment_damage_is_an_error(coded: tuple[bytes, list[Planes]]) -> None:
    with pytest.raises(CorruptSegmentError):
        list(Decoder(io.BytesIO(broken_end(coded[0], 1))))
