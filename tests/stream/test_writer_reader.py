# SPDX-License-Identifier: MIT
"""Whole streams: what was written is read; what is damaged is our error, after all that was good before."""

from __future__ import annotations

import errno
import io
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest

from c3video.c3.config import C3Config, LatentGrid
from c3video.errors import (
    ConfigError,
    CorruptSegmentError,
    LimitError,
    NotC3VError,
    NotSeekableError,
    StreamError,
    TruncatedStreamError,
    UnsupportedVersionError,
)
from c3video.stream import layout as syntax
from c3video.stream.layout import VERSION, Header, Segment
from c3video.stream.reader import LostSegment, Reader, _Input, _Walk
from c3video.stream.writer import Writer
from c3video.video import VideoFormat

HEADER = Header(VideoFormat(8, 6, "yuv420p"), C3Config(grids=(LatentGrid(0, 0),)), 4, 1, 2)
HEADER_BYTES = len(syntax.write_header(HEADER))


def make_segments(count: int = 4) -> list[Segment]:
    """Small segments of 1 to 4 frames, all different."""
    segments = []
    for number in range(count):
        pts = tuple(range(10 * number, 10 * number + 1 + number % 4))
        crcs = tuple(1000 * number + i for i in range(len(pts)))
        patches = (bytes([number]) * (5 + number), bytes(range(3)))
        segments.append(Segment(number, pts, (1,) * len(pts), crcs, patches))
    return segments


def make_stream(segments: Iterable[Segment]) -> bytes:
    file = io.BytesIO()
    write_all(file, segments)
    return file.getvalue()


def write_all(file: BinaryIO, segments: Iterable[Segment]) -> None:
    with Writer(file, HEADER) as writer:
        for segment in segments:
            writer.write_segment(segment)


SEGMENTS = make_segments()
STREAM = make_stream(SEGMENTS)
RECORDS = [syntax.write_segment(segment, HEADER) for segment in SEGMENTS]
INDEX = STREAM[HEADER_BYTES + sum(map(len, RECORDS)) :]


class Pipe(io.RawIOBase):
    """Bytes that come a few at a time and cannot be sought; counts them."""

    def __init__(self, data: bytes, most: int = 1 << 20) -> None:
        self._file, self._most, self.num_read = io.BytesIO(data), most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._most))
        buffer[: len(data)] = data
        self.num_read += len(data)
        return len(data)


def pipe(data: bytes, most: int = 1 << 20) -> BinaryIO:
    return cast(BinaryIO, Pipe(data, most))


def read_until_error(file: BinaryIO, **options: Any) -> tuple[list[Segment | LostSegment], StreamError | None]:
    found: list[Segment | LostSegment] = []
    try:
        for segment in Reader(file).segments(**options):
            found.append(segment)
    except StreamError as error:
        return found, error
    return found, None


def test_what_was_written_is_read() -> None:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        sizes = [writer.write_segment(segment) for segment in SEGMENTS]
    reader = Reader(io.BytesIO(file.getvalue()))
    assert reader.header == HEADER
    assert list(reader) == SEGMENTS
    assert sizes == [segment.size_bytes for segment in SEGMENTS] == [len(record) for record in RECORDS]
    assert file.getvalue() == syntax.write_header(HEADER) + b"".join(RECORDS) + INDEX
    assert not file.closed


@pytest.mark.parametrize("number", range(5))
def test_stream_is_whole_after_segments_were_taken_back_and_when_they_are_there_again(number: int) -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    with Writer(file, HEADER) as writer:
        for segment in SEGMENTS:
            writer.write_segment(segment)
        assert writer.can_take_back
        writer.take_back(number)
        assert file.getvalue() == b"before" + make_stream(SEGMENTS[:number])
        assert (writer.num_segments, writer.size_bytes) == (min(number, 4), len(file.getvalue()) - 6)
        for segment in SEGMENTS[number:]:
            writer.write_segment(segment)
    assert file.getvalue() == b"before" + STREAM


def test_end_in_the_midst_of_taking_back_leaves_a_whole_stream() -> None:
    class Stopped(io.BytesIO):
        stops = False

        def truncate(self, size: int | None = None) -> int:
            if self.stops:
                self.stops = False
                raise KeyboardInterrupt
            return super().truncate(size)

    file = Stopped()
    with Writer(file, HEADER) as writer:
        for segment in SEGMENTS:
            writer.write_segment(segment)
        file.stops = True
        with pytest.raises(KeyboardInterrupt):
            writer.take_back(2)
    assert file.getvalue() == make_stream(SEGMENTS[:2])


def test_what_was_written_to_a_pipe_cannot_be_taken_back() -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

    assert not Writer(Unseekable(), HEADER).can_take_back
    assert not Writer(io.BytesIO(), HEADER, with_index=False).can_take_back


@pytest.mark.parametrize("most", [1, 7, 1 << 16])
@pytest.mark.parametrize("buffered", [False, True])
def test_pipe_gives_the_same_however_it_is_cut(most: int, buffered: bool) -> None:
    raw = Pipe(STREAM, most)
    assert list(Reader(cast(BinaryIO, io.BufferedReader(raw) if buffered else raw))) == SEGMENTS


def test_stream_may_stand_anywhere_in_a_file() -> None:
    file = io.BytesIO(b"before")
    file.seek(0, os.SEEK_END)
    write_all(file, SEGMENTS)
    assert file.getvalue() == b"before" + STREAM
    file.seek(6)
    assert list(Reader(file).segments(2)) == SEGMENTS[2:]


def test_stream_of_no_segments_says_so() -> None:
    for open_ in (io.BytesIO, pipe):
        with pytest.raises(CorruptSegmentError, match="the stream has no segments"):
            next(Reader(open_(make_stream([]))).segments())
        (lost,) = Reader(open_(make_stream([]))).segments(conceal=True)
        assert isinstance(lost, LostSegment)
    with pytest.raises(CorruptSegmentError, match="the stream has no segments"):
        Reader(io.BytesIO(make_stream([]))).frame_map()


ONE = make_stream([replace(SEGMENTS[3], number=0)])
"""A stream of one segment, which has no index."""


@pytest.mark.parametrize("open_", [io.BytesIO, pipe])
def test_stream_of_one_segment_ends_with_eight_bytes(open_: Callable[[bytes], BinaryIO]) -> None:
    segment = replace(SEGMENTS[3], number=0)
    assert syntax.write_header(HEADER) + syntax.write_segment(segment, HEADER) + syntax.TAIL_MAGIC == ONE
    for conceal in (False, True):
        assert list(Reader(open_(ONE)).segments(conceal=conceal)) == [segment]
    with pytest.raises(ConfigError, match="the stream has 1 segments"):
        list(Reader(open_(ONE)).segments(1))


def test_frames_of_one_segment_are_known_without_an_index() -> None:
    reader = Reader(io.BytesIO(ONE))
    (entry,) = reader.entries()
    assert entry == syntax.IndexEntry(len(RECORDS[3]), 4, 30)
    assert reader.frame_map().num_frames == 4


@pytest.mark.parametrize("open_", [io.BytesIO, pipe])
def test_one_segment_that_is_cut_or_damaged_is_not_taken_for_whole(open_: Callable[[bytes], BinaryIO]) -> None:
    whole = len(ONE) - len(syntax.TAIL_MAGIC)
    for size in range(HEADER_BYTES, len(ONE)):
        found, error = read_until_error(open_(ONE[:size]))
        assert len(found) == (size >= whole)
        assert isinstance(error, TruncatedStreamError)
        assert f"ends at byte {size}" in str(error)
        (*_, lost), none = read_until_error(open_(ONE[:size]), conceal=True)
        assert none is None
        assert isinstance(lost, LostSegment)
    for bit in range(8 * HEADER_BYTES, 8 * len(ONE)):
        data = bytearray(ONE)
        data[bit // 8] ^= 1 << bit % 8
        found, error = read_until_error(open_(bytes(data)))
        assert isinstance(error, CorruptSegmentError | TruncatedStreamError), bit
        assert len(found) == (bit // 8 >= whole)
        if open_ is io.BytesIO:
            with pytest.raises(StreamError):
                Reader(io.BytesIO(data)).frame_map()


def test_several_segments_do_not_end_without_their_index() -> None:
    data = STREAM[: HEADER_BYTES + sum(map(len, RECORDS[:2]))] + syntax.TAIL_MAGIC
    for open_ in (io.BytesIO, pipe):
        found, error = read_until_error(open_(data))
        assert found == SEGMENTS[:2]
        assert isinstance(error, TruncatedStreamError)


def test_what_follows_the_end_of_one_segment_is_refused() -> None:
    for open_ in (io.BytesIO, pipe):
        found, error = read_until_error(open_(ONE + b"x"))
        assert len(found) == 1
        assert "more after the end of the stream" in str(error)


def test_a_segment_comes_out_of_a_pipe_before_the_next_one_is_written() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as source, os.fdopen(write_end, "wb") as target:
        writer = Writer(target, HEADER)
        reader = Reader(source)
        segments = reader.segments()
        for segment in SEGMENTS:
            writer.write_segment(segment)
            assert next(segments) == segment  # would wait for ever if it wanted more
        writer.close()
        target.close()
        assert list(segments) == []


def test_pipe_larger_than_its_buffer() -> None:
    rng = np.random.default_rng(0)
    segments = [replace(s, patches=(rng.bytes(300_000), b"")) for s in SEGMENTS]
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb") as target:
            write_all(target, segments)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(read_end, "rb") as source:
        assert list(Reader(source)) == segments
    thread.join()


def test_writer_refuses_what_does_not_follow() -> None:
    writer = Writer(io.BytesIO(), HEADER)
    with pytest.raises(ConfigError, match="segment number 1: must be 0"):
        writer.write_segment(SEGMENTS[1])
    writer.write_segment(SEGMENTS[0])
    writer.close()
    writer.close()
    with pytest.raises(ConfigError, match="the stream is closed"):
        writer.write_segment(SEGMENTS[1])


def test_exception_between_segments_leaves_a_valid_stream() -> None:
    file = io.BytesIO()

    def segments() -> Iterator[Segment]:
        yield SEGMENTS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_all(file, segments())
    assert list(Reader(io.BytesIO(file.getvalue()))) == SEGMENTS[:1]


class Interrupted(io.BytesIO):
    """Takes `room` bytes in all, then raises KeyboardInterrupt once."""

    def __init__(self, room: int, can_seek: bool) -> None:
        super().__init__()
        self._room: int | None = room
        self._can_seek = can_seek

    def seekable(self) -> bool:
        return self._can_seek

    def write(self, data: Any) -> int:
        if self._room is None:
            return super().write(data)
        num_taken = super().write(data[: self._room])
        if num_taken < len(data):
            self._room = None
            raise KeyboardInterrupt
        self._room -= num_taken
        return num_taken


def test_interruption_within_a_segment_keeps_those_before_it_in_a_pipe() -> None:
    for room in range(HEADER_BYTES, HEADER_BYTES + sum(map(len, RECORDS))):
        file = Interrupted(room, can_seek=False)
        with pytest.raises(KeyboardInterrupt):
            write_all(cast(BinaryIO, file), SEGMENTS)
        found, problem = read_until_error(io.BytesIO(file.getvalue()))
        num_whole = sum(HEADER_BYTES + sum(map(len, RECORDS[: i + 1])) <= room for i in range(4))
        assert found == SEGMENTS[:num_whole]
        assert isinstance(problem, TruncatedStreamError)


def test_interruption_within_a_segment_leaves_a_valid_file() -> None:
    written = [HEADER_BYTES + index_bytes(0)]  # in all, when so many segments are in the file
    for number, record in enumerate(RECORDS, 1):
        written.append(written[-1] + len(record) + index_bytes(number))
    for room in range(written[0], written[-1]):
        file = Interrupted(room, can_seek=True)
        with pytest.raises(KeyboardInterrupt):
            write_all(cast(BinaryIO, file), SEGMENTS)
        num_whole = sum(total <= room for total in written[1:])
        assert file.getvalue() == make_stream(SEGMENTS[:num_whole])


def index_bytes(num_segments: int) -> int:
    return len(make_stream(SEGMENTS[:num_segments])) - HEADER_BYTES - sum(map(len, RECORDS[:num_segments]))


class FullDisk(io.BytesIO):
    """Has room for `room` bytes, and takes what fits of the write that goes beyond."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data: Any) -> int:
        fits = data[: max(0, self._room - self.tell())]
        if len(data) and not len(fits):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fits)


def test_full_disk_leaves_a_valid_file() -> None:
    """Room for the index is there, whatever the segment that does not fit has taken."""
    for room in range(len(make_stream([])), len(STREAM)):
        file = FullDisk(room)
        with pytest.raises(OSError, match="No space"):
            write_all(cast(BinaryIO, file), SEGMENTS)
        num_whole = sum(len(make_stream(SEGMENTS[: i + 1])) <= room for i in range(4))
        assert file.getvalue() == make_stream(SEGMENTS[:num_whole])


def test_file_is_a_valid_stream_after_each_segment() -> None:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        assert file.getvalue() == make_stream([])
        for number, segment in enumerate(SEGMENTS, 1):
            writer.write_segment(segment)
            assert file.getvalue() == make_stream(SEGMENTS[:number])
            assert writer.size_bytes == len(file.getvalue())


def test_file_that_is_opened_to_append_gets_one_index(tmp_path: Path) -> None:
    path = tmp_path / "appended.c3v"
    with path.open("ab") as file:
        write_all(file, SEGMENTS)
    assert path.read_bytes() == STREAM


def test_error_of_a_full_disk_is_not_hidden_by_that_of_closing() -> None:
    class Gone(io.BytesIO):
        is_gone = False

        def write(self, data: Any) -> int:
            self.is_gone |= len(data) > HEADER_BYTES + index_bytes(0)
            if self.is_gone:
                raise OSError(28, "No space left on device")
            return super().write(data)

    large = replace(SEGMENTS[0], patches=(bytes(1000), b""))
    with pytest.raises(OSError, match="No space") as caught, Writer(Gone(), HEADER) as writer:
        writer.write_segment(large)
    assert caught.value.__context__ is None


def test_empty_and_foreign_files_are_refused_in_clear_words() -> None:
    with pytest.raises(TruncatedStreamError, match="empty"):
        Reader(io.BytesIO(b""))
    with pytest.raises(NotC3VError, match=r"not a \.c3v stream: it starts with 52 49"):
        Reader(io.BytesIO(b"RIFF....AVI LIST"))
    with pytest.raises(NotC3VError):
        Reader(io.BytesIO(STREAM.replace(b"\r\n", b"\n")))


@pytest.mark.parametrize(
    ("version", "remedy"), [(VERSION - 1, "a pre-release wrote it"), (VERSION + 1, "try a newer one")]
)
def test_other_version_is_refused_as_such(version: int, remedy: str) -> None:
    words = rf"version {version} of \.c3v: this c3video reads version {VERSION}; {remedy}"
    with pytest.raises(UnsupportedVersionError, match=words):
        Reader(io.BytesIO(STREAM[:8] + bytes([version]) + STREAM[9:]))


@pytest.mark.parametrize("open_", [io.BytesIO, pipe])
def test_every_truncation_is_named_after_all_whole_segments(open_: Callable[[bytes], BinaryIO]) -> None:
    ends = [HEADER_BYTES + sum(map(len, RECORDS[: i + 1])) for i in range(4)]
    for size in range(len(STREAM)):
        found, error = read_until_error(open_(STREAM[:size]))
        num_whole = sum(end <= size for end in ends)
        assert found == SEGMENTS[:num_whole]
        assert isinstance(error, TruncatedStreamError), size
        if size > HEADER_BYTES:
            assert f"ends at byte {size}" in str(error)
            assert ("before the first" if num_whole == 0 else f"after segment {num_whole - 1}") in str(error)
            concealed, none = read_until_error(open_(STREAM[:size]), conceal=True)
            assert none is None
            assert concealed[:-1] == SEGMENTS[:num_whole]
            lost = concealed[-1]
            assert isinstance(lost, LostSegment)
            assert lost.number == num_whole


def test_every_flipped_bit_is_found() -> None:
    for bit in range(8 * len(STREAM)):
        data = bytearray(STREAM)
        data[bit // 8] ^= 1 << bit % 8
        found, error = read_until_error(pipe(bytes(data)))
        assert isinstance(error, StreamError), bit
        assert found == SEGMENTS[: len(found)]
        if bit // 8 >= HEADER_BYTES:
            assert isinstance(error, CorruptSegmentError | TruncatedStreamError)
            assert error.offset_bytes is not None
            concealed, none = read_until_error(pipe(bytes(data)), conceal=True)
            assert none is None
            check_concealed(concealed, most_lost=1)


def check_concealed(found: list[Segment | LostSegment], most_lost: int) -> None:
    """All segments are there or reported lost, in order, each once, and no more are lost than that.

    How many are lost is not known (None) only where the damage reaches the index, at the end.
    """
    number = num_lost = num_markers = 0
    for item in found:
        assert item.number == number
        if isinstance(item, LostSegment):
            num_markers += 1
            count = item.num_segments
            if count is None:
                assert item is found[-1]
                count = len(SEGMENTS) - number
            number += count
            num_lost += count
        else:
            assert item == SEGMENTS[number]
            number += 1
    assert number == len(SEGMENTS)
    assert num_markers >= 1
    assert num_lost <= most_lost


def test_bytes_lost_or_added_anywhere_cost_at_most_two_segments() -> None:
    for at in range(HEADER_BYTES, HEADER_BYTES + sum(map(len, RECORDS))):
        for data in (STREAM[:at] + STREAM[at + 3 :], STREAM[:at] + b"C3R" + STREAM[at:]):
            found, error = read_until_error(pipe(data))
            assert isinstance(error, StreamError)
            assert found == SEGMENTS[: len(found)]
            concealed, none = read_until_error(pipe(data), conceal=True)
            assert none is None
            check_concealed(concealed, most_lost=2)


def test_random_bytes_are_our_error() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        noise = rng.bytes(int(rng.integers(1, 400)))
        for data in (noise, STREAM[:9] + noise, STREAM[:HEADER_BYTES] + noise):
            found, error = read_until_error(io.BytesIO(data))
            assert found == []
            assert isinstance(error, StreamError)
        found, error = read_until_error(io.BytesIO(STREAM[:HEADER_BYTES] + noise), conceal=True)
        assert error is None
        assert [type(item) for item in found] == [LostSegment]


def test_payloads_of_random_bytes_with_good_checks_are_our_error() -> None:
    rng = np.random.default_rng(0)
    for _ in range(1000):
        kind = int(rng.integers(1, 3))
        data = bytearray(RECORDS[3][16:-4] if kind == 1 else INDEX[16:-20])
        for at in rng.integers(0, len(data), 2):
            data[at] = rng.integers(0, 256)
        number = 0 if kind == syntax.SEGMENT_KIND else int(rng.integers(0, syntax.MAX_SEGMENTS + 1))
        stream = STREAM[:HEADER_BYTES] + syntax.write_record(kind, number, bytes(data)) + INDEX[-16:]
        _, error = read_until_error(io.BytesIO(stream))
        assert isinstance(error, StreamError)


@pytest.mark.parametrize(
    "head",
    [
        syntax.RECORD.write({"kind": 1, "number": 0, "payload_size": 1 << 30, "head_crc32": 0}),
        syntax.RECORD.write({"kind": 2, "number": 1 << 20, "payload_size": 1 << 25, "head_crc32": 0}),
        b"C3R\x01" + b"\xff" * 12,
        b"C3R\x02" + b"\x00\x00\x00\x00" + b"\x00\x00\x00\x40" + bytes(4),
    ],
)
@pytest.mark.parametrize("conceal", [False, True])
@pytest.mark.parametrize("open_", [io.BytesIO, pipe])
def test_absurd_sizes_take_no_memory(head: bytes, conceal: bool, open_: Callable[[bytes], BinaryIO]) -> None:
    data = STREAM[:HEADER_BYTES] + head[:12] + syntax.write_check(head[:12]) + bytes(1000)
    tracemalloc.start()
    try:
        found, error = read_until_error(open_(data), conceal=conceal)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert (error is None) == conceal
    assert len(found) == conceal


def test_absurd_counts_in_a_payload_take_no_memory() -> None:
    payload = bytes.fromhex("01 00 00 00 00000000") + syntax.VARINT.write(1 << 30) + b"abc"
    index = syntax.write_record(syntax.INDEX_KIND, 1 << 20, b"\x01\x01\x01")
    for record in (syntax.write_record(syntax.SEGMENT_KIND, 0, payload), index):
        tracemalloc.start()
        try:
            _, error = read_until_error(io.BytesIO(STREAM[:HEADER_BYTES] + record))
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
        assert isinstance(error, StreamError)


def test_many_false_starts_are_passed_in_time_linear_in_their_bytes() -> None:
    # Each head is good and claims all the rest: to go back after each would take the square of their number.
    head = syntax.RECORD.write({"kind": 1, "number": 0, "payload_size": 1 << 20, "head_crc32": 0})[:12]
    source = Pipe(STREAM[:HEADER_BYTES] + (head + syntax.write_check(head)) * 5000 + b"C3R" * 5000)
    found, error = read_until_error(cast(BinaryIO, source), conceal=True)
    assert error is None
    assert len(found) == 1


def build(*numbers: int) -> bytes:
    return STREAM[:HEADER_BYTES] + b"".join(RECORDS[number] for number in numbers) + INDEX


@pytest.mark.parametrize(
    ("order", "first_good", "words"),
    [
        ((0, 2, 3), 1, "segment 2 comes where segment 1 should"),
        ((1, 2, 3), 0, "segment 1 comes where segment 0 should"),
        ((0, 1, 2), 3, "the index says 4 segments, but segment 3 should come next"),
        ((), 0, "the index says 4 segments, but segment 0 should come next"),
        ((0, 1, 3, 2), 2, "segment 3 comes where segment 2 should"),
        ((0, 1, 1, 2, 3), 2, "segment 1 comes where segment 2 should"),
    ],
)
def test_missing_moved_and_repeated_segments_are_seen(order: tuple[int, ...], first_good: int, words: str) -> None:
    for open_ in (io.BytesIO, pipe):
        found, error = read_until_error(open_(build(*order)))
        assert found == SEGMENTS[:first_good]
        assert isinstance(error, CorruptSegmentError)
        assert words in str(error)
        assert error.segment == first_good
    concealed, none = read_until_error(io.BytesIO(build(*order)), conceal=True)
    assert none is None
    check_concealed(concealed, most_lost=4 - len(set(order)) + (order == (0, 1, 3, 2)))


def test_index_that_knows_of_fewer_segments_is_refused() -> None:
    index = syntax.write_end(ENTRIES[:2], HEADER_BYTES + sum(map(len, RECORDS[:2])))
    data = STREAM[:HEADER_BYTES] + b"".join(RECORDS) + index
    found, error = read_until_error(io.BytesIO(data))
    assert found == SEGMENTS
    assert "the index says 2 segments, but 4 have come" in str(error)


def test_what_follows_the_end_is_refused() -> None:
    for more in (b"\0", STREAM):
        found, error = read_until_error(io.BytesIO(STREAM + more))
        assert found == SEGMENTS
        assert "more after the end" in str(error)


def test_damaged_index_loses_no_segment() -> None:
    data = STREAM[: -len(INDEX) + 18] + b"\xff" + STREAM[-len(INDEX) + 19 :]
    found, error = read_until_error(io.BytesIO(data))
    assert found == SEGMENTS
    assert isinstance(error, CorruptSegmentError)
    assert "index at byte" in str(error)
    concealed, none = read_until_error(io.BytesIO(data), conceal=True)
    assert none is None
    assert concealed[:-1] == SEGMENTS
    assert isinstance(concealed[-1], LostSegment)
    assert concealed[-1].num_segments == 0


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("last", [1, 2, 3, 4, 9, None])
@pytest.mark.parametrize("data", [STREAM, STREAM[: -len(INDEX)] + INDEX[:-1] + b"?"])
def test_ranges_of_segments(first: int, last: int | None, data: bytes) -> None:
    if last is not None and last <= first:
        with pytest.raises(ConfigError, match="below the end"):
            next(Reader(io.BytesIO(data)).segments(first, last))
        return
    for file in (io.BytesIO(data), pipe(data)):
        found, error = read_until_error(file, first=first, last=last)
        assert found == SEGMENTS[first:last]
        assert (error is None) == (data == STREAM or (last is not None and last <= 4))


def test_range_behind_the_end_is_refused() -> None:
    for file in (io.BytesIO(STREAM), pipe(STREAM)):
        with pytest.raises(ConfigError, match="segments 4:: the stream has 4 segments, counted from 0"):
            next(Reader(file).segments(4))
    with pytest.raises(ConfigError, match="the first must be 0 or more"):
        next(Reader(io.BytesIO(STREAM)).segments(-1))


def test_index_leads_to_a_segment_past_damage_and_without_reading_the_rest() -> None:
    segments = [replace(s, patches=(bytes(300_000), b"")) for s in SEGMENTS]
    data = bytearray(make_stream(segments))
    data[HEADER_BYTES + 5] ^= 1  # the head of segment 0

    class Counted(io.BytesIO):
        num_read = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            block = super().read1(-1 if size is None else size)
            Counted.num_read += len(block)
            return block

    assert next(Reader(Counted(bytes(data))).segments(2, 3)) == segments[2]
    assert Counted.num_read < 600_000
    with pytest.raises(CorruptSegmentError):
        next(Reader(pipe(bytes(data))).segments(2, 3))
    lost, segment = Reader(pipe(bytes(data))).segments(2, 3, conceal=True)
    assert segment == segments[2]
    assert isinstance(lost, LostSegment)
    assert lost.num_segments == 0


def test_damage_in_skipped_segments_does_not_matter() -> None:
    data = STREAM.replace(SEGMENTS[1].patches[0], b"?" * 6)
    found, error = read_until_error(pipe(data), first=2)
    assert (found, error) == (SEGMENTS[2:], None)


def test_file_is_read_again_and_a_pipe_goes_on() -> None:
    reader = Reader(io.BytesIO(STREAM))
    assert list(reader) == SEGMENTS
    assert list(reader.segments(1, 3)) == SEGMENTS[1:3]
    assert list(reader) == SEGMENTS
    reader = Reader(pipe(STREAM))
    assert list(reader.segments(0, 2)) == SEGMENTS[:2]
    assert list(reader.segments(3)) == SEGMENTS[3:]
    with pytest.raises(ConfigError, match="segment 1 has gone by; a pipe can be read only once"):
        next(reader.segments(1))


def test_lost_segments_stay_within_the_range_asked_for() -> None:
    found = list(Reader(pipe(build(0, 3))).segments(1, 3, conceal=True))
    assert [(item.number, cast(LostSegment, item).num_segments) for item in found] == [(1, 2)]
    found = list(Reader(pipe(build(0, 3))).segments(2, None, conceal=True))
    assert [type(item) for item in found] == [LostSegment, Segment]


def test_reading_is_lazy() -> None:
    source = Pipe(STREAM, 8)

    def first_two() -> Iterator[Segment | LostSegment]:
        return Reader(cast(BinaryIO, source)).segments(0, 2)

    assert list(first_two()) == SEGMENTS[:2]
    assert source.num_read < HEADER_BYTES + len(RECORDS[0]) + len(RECORDS[1]) + 8


def with_index(entries: Iterable[syntax.IndexEntry], records: bytes = b"".join(RECORDS)) -> bytes:
    return STREAM[:HEADER_BYTES] + records + syntax.write_end(list(entries), HEADER_BYTES + len(records))


ENTRIES = tuple(
    syntax.IndexEntry(len(record), len(segment.pts), segment.pts[0])
    for record, segment in zip(RECORDS, SEGMENTS, strict=True)
)


def lying(number: int, **changes: int) -> bytes:
    """The stream with an index that is wrong about a segment; its checksums are right."""
    return with_index(replace(e, **changes) if i == number else e for i, e in enumerate(ENTRIES))


SHIFTED = with_index(
    replace(entry, size_bytes=entry.size_bytes + shift) for entry, shift in zip(ENTRIES, (8, -8, 0, 0), strict=True)
)
"""Sizes that add up to the right sum."""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lying(1, num_frames=3), "gives segment 1.* 3 frames, its record 2"),
        (lying(2, first_pts=21), "gives segment 2.* 21 as first time stamp, its record 20"),
        (SHIFTED, "gives segment 0.* bytes, its record"),
    ],
)
def test_index_that_contradicts_its_records_is_an_error_and_is_not_used_under_conceal(data: bytes, words: str) -> None:
    for open_ in (io.BytesIO, pipe):
        found, error = read_until_error(open_(data))
        assert found == SEGMENTS
        assert isinstance(error, CorruptSegmentError)
        concealed, none = read_until_error(open_(data), conceal=True)
        assert none is None
        assert concealed[:-1] == SEGMENTS
    with pytest.raises(CorruptSegmentError, match=words):
        Reader(io.BytesIO(data)).frame_map()
    assert Reader(io.BytesIO(data)).frame_map(conceal=True).starts == [0, 1, 3, 6, 10]
    for first in range(1, 4):
        assert next(Reader(io.BytesIO(data)).segments(first, first + 1, conceal=True)) == SEGMENTS[first]


def test_index_that_leads_to_another_segment_is_an_error() -> None:
    sizes = (len(RECORDS[place]) for place in (0, 2, 1, 3))
    entries = (replace(entry, size_bytes=size) for entry, size in zip(ENTRIES, sizes, strict=True))
    data = with_index(entries, b"".join(RECORDS[place] for place in (0, 2, 1, 3)))
    with pytest.raises(CorruptSegmentError, match="the index contradicts the records"):
        next(Reader(io.BytesIO(data)).segments(2, 3))
    assert read_until_error(io.BytesIO(data), first=3) == (SEGMENTS[3:], None)


def test_trailer_that_points_elsewhere_is_an_error() -> None:
    end = HEADER_BYTES + sum(map(len, RECORDS))
    shorter = replace(ENTRIES[3], size_bytes=len(RECORDS[3]) - 7)
    data = STREAM[:end] + syntax.write_end((*ENTRIES[:3], shorter), end - 7)
    for first in (0, 3):
        found, error = read_until_error(io.BytesIO(data), first=first)
        assert found == SEGMENTS[first:]
        assert isinstance(error, CorruptSegmentError)
        assert "contradicts" in str(error)


@pytest.mark.parametrize("first_pts", [0, 10, 11])
def test_time_stamps_that_go_back_between_segments_are_an_error(first_pts: int) -> None:
    segments = [SEGMENTS[0], SEGMENTS[1], replace(SEGMENTS[2], pts=tuple(range(first_pts, first_pts + 3))), SEGMENTS[3]]
    for open_ in (io.BytesIO, pipe):
        found, error = read_until_error(open_(make_stream(segments)))
        assert found == segments[:2]
        assert isinstance(error, CorruptSegmentError)
        assert f"its first time stamp is {first_pts}, but that of the frame before is 11" in str(error)
        concealed, none = read_until_error(open_(make_stream(segments)), conceal=True)
        assert none is None
        assert [type(item) for item in concealed] == [Segment, Segment, LostSegment, Segment]


def test_iterations_of_a_file_do_not_disturb_each_other() -> None:
    reader = Reader(io.BytesIO(STREAM))
    pairs = list(zip(reader.segments(), reader.segments(1), strict=False))
    assert pairs == list(pairwise(SEGMENTS))
    first = reader.segments()
    assert next(first) == SEGMENTS[0]
    assert list(reader.segments(2)) == SEGMENTS[2:]
    assert reader.frame_map().num_frames == 10
    assert list(first) == SEGMENTS[1:]


def test_older_iteration_of_a_pipe_ends_where_a_newer_one_has_gone_on() -> None:
    reader = Reader(pipe(STREAM))
    first, second = reader.segments(), reader.segments(1)
    assert next(first) == SEGMENTS[0]
    assert next(second) == SEGMENTS[1]
    with pytest.raises(ConfigError, match="another iteration has gone on with the pipe"):
        next(first)
    assert list(second) == SEGMENTS[2:]


def test_frame_map_finds_frames_and_times() -> None:
    frames = Reader(io.BytesIO(STREAM)).frame_map()
    assert [frames.place_of_frame(index) for index in range(10)] == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    with pytest.raises(NotSeekableError, match="of a file, not of a pipe"):
        Reader(pipe(STREAM)).frame_map()
    for data in (STREAM[:-3], STREAM[: -len(INDEX)]):
        with pytest.raises(TruncatedStreamError, match="without an index"):
            Reader(io.BytesIO(data)).frame_map()
        assert Reader(io.BytesIO(data)).frame_map(conceal=True).num_frames == 10


def test_record_above_the_limit_is_refused_before_it_is_read() -> None:
    segments = [SEGMENTS[0], replace(SEGMENTS[1], patches=(bytes(300_000), b""))]
    source = Pipe(make_stream(segments))
    reader = Reader(cast(BinaryIO, source), max_record_bytes=200_000)
    found = []
    with pytest.raises(LimitError, match=r"segment 1 .* more than the limit of 200000"):
        found.extend(reader.segments(conceal=True))
    assert source.num_read < 200_000


def test_large_record_is_in_memory_twice_at_most() -> None:
    """As it is read, and as the segment's patches."""
    size = 4 << 20
    data = make_stream([replace(SEGMENTS[0], patches=(bytes(size), b""))])
    for open_ in (io.BytesIO, pipe):
        source = open_(data)
        tracemalloc.start()
        try:
            segment = next(Reader(source).segments())
            now, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert isinstance(segment, Segment)
        assert most < 2.4 * size
        assert now < 1.2 * size


def test_claims_of_an_index_cost_no_more_than_its_place() -> None:
    """A million segments in few bytes are refused before their entries are read."""
    payload = bytes([1]) * (3 << 20)
    record = syntax.write_record(syntax.INDEX_KIND, 1 << 20, payload)
    for records in (RECORDS[0], b""):
        data = STREAM[:HEADER_BYTES] + records + record
        data += syntax.TRAILER.write({"index_offset": HEADER_BYTES + len(records)})
        tracemalloc.start()
        try:
            _, error = read_until_error(io.BytesIO(data))
            with pytest.raises(CorruptSegmentError, match=r"at most \d can lie before it"):
                Reader(io.BytesIO(data)).frame_map()
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()
        assert isinstance(error, CorruptSegmentError)


def test_false_starts_cost_one_message() -> None:
    """Each would begin a record by its first bytes; none is worth an error of its own."""
    noise = (syntax.SYNC + b"\1") * 50_000
    walk = _Walk(Reader(io.BytesIO(STREAM)), _Input(io.BytesIO(noise)))
    assert [type(item) for item in walk.items(0)] == [CorruptSegmentError, TruncatedStreamError]
