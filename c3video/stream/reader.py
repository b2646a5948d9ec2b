# SPDX-License-Identifier: MIT
"""A .c3v file or pipe -> header, then segments one at a time.

Memory holds one record; nothing larger than a block is asked for before its bytes have arrived. Time and memory are in
proportion to the bytes that are there, whatever they claim.
"""

from __future__ import annotations

import os
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

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
from c3video.stream.fields import SVARINT, VARINT
from c3video.stream.layout import (
    CHECK,
    INDEX_KIND,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    RECORD,
    RECORD_OVERHEAD_BYTES,
    SEGMENT_KIND,
    START,
    SYNC,
    TAIL_MAGIC,
    TRAILER,
    VERSION,
    Header,
    IndexEntry,
    RecordHead,
    Segment,
    read_header,
    read_index,
    read_record_head,
    read_segment,
    write_check,
)

_BLOCK_BYTES = 1 << 16
_SMALLEST_SEGMENT_BYTES = RECORD_OVERHEAD_BYTES + 8
"""Of a record: one frame's count, time stamp, steps, duration and hash, and an empty patch."""
_FACTS_BYTES = 24
"""Enough of a segment's payload to hold the number of its frames and its first time stamp."""
_MORE_AFTER_END = "there is more after the end of the stream; cut it off there"


@dataclass(frozen=True)
class LostSegment:
    """Stands for damage, when concealing.

    Args:
        number: of the first segment that is lost, or of the next one where none is.
        num_segments: how many are lost; 0 where the damage cost none, None where the stream does not tell.
        reason: what was wrong first.
        salvaged: what a record looks like whose crc32 is wrong: some of its frames may be right, as their own hashes
            tell.
        is_only: whether the stream has no other segment, and so nothing else says where this one stands.
    """

    number: int
    num_segments: int | None
    reason: StreamError
    salvaged: Segment | None = None
    is_only: bool = False

    def behind_salvaged(self) -> LostSegment | None:
        """What is lost behind the segment that was salvaged."""
        if self.num_segments is None:
            return LostSegment(self.number + 1, None, self.reason)
        return LostSegment(self.number + 1, self.num_segments - 1, self.reason) if self.num_segments > 1 else None


@dataclass(frozen=True)
class FrameMap:
    """In which segment each frame is.

    Args:
        numbers: of the segments, rising.
        starts: number of the first frame of each, and at the end the number of all frames.
        first_pts: time stamp of the first frame of each.
    """

    numbers: Sequence[int]
    starts: Sequence[int]
    first_pts: Sequence[int]

    @classmethod
    def of(cls, segments: Iterable[tuple[int, int, int]]) -> FrameMap:
        """Of segments by number, number of frames and first time stamp."""
        found = list(segments)
        return cls(
            [number for number, _, _ in found],
            list(accumulate((frames for _, frames, _ in found), initial=0)),
            [pts for _, _, pts in found],
        )

    @classmethod
    def of_index(cls, entries: Sequence[IndexEntry]) -> FrameMap:
        return cls.of((number, entry.num_frames, entry.first_pts) for number, entry in enumerate(entries))

    @property
    def num_frames(self) -> int:
        return self.starts[-1]

    def place_of_frame(self, index: int) -> int:
        """Place in `numbers` of the segment with a frame, 0 <= index < num_frames."""
        return bisect_right(self.starts, index) - 1


@dataclass(frozen=True)
class _Facts:
    """What a record says that an index says too."""

    kind: int
    number: int
    size_bytes: int
    num_frames: int
    first_pts: int


class Reader:
    """Reads a stream from a file or a pipe, which stays open and belongs to the caller.

    Args:
        file: binary file or pipe at the start of a stream.
        max_record_bytes: largest payload of a record that is read; a larger one is a LimitError.

    Raises:
        StreamError: not a .c3v stream that this version can read (see errors.py).
    """

    def __init__(self, file: BinaryIO, *, max_record_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._input = _Input(file)
        self._max_record_bytes = max_record_bytes
        self.header = _read_header(self._input)
        self._first_record = self._input.offset
        self._pipe_walk = _Walk(self, self._input)
        self._map: FrameMap | None = None

    @property
    def seekable(self) -> bool:
        """Whether segments may be read again and in any order."""
        return self._input.seekable

    @property
    def next_number(self) -> int:
        """Of a pipe: number of the segment that comes next."""
        return self._pipe_walk.next

    def __iter__(self) -> Iterator[Segment | LostSegment]:
        return self.segments()

    def segments(
        self, first: int = 0, last: int | None = None, *, conceal: bool = False
    ) -> Iterator[Segment | LostSegment]:
        """The segments first .. last - 1 (None: to the end), each as soon as it is complete.

        A seekable file may be read again and again, by several iterations side by side; its index leads to `first`.
        A pipe goes on where it stands; the payloads of segments before `first` are skipped.

        Args:
            conceal: go on after damage, with a LostSegment in its place; without it no LostSegment comes out.

        Raises:
            ConfigError: there are no such segments, or they have gone by in a pipe, or another iteration has gone on
                with it.
            TruncatedStreamError: the stream ends too early; all segments before that have come out.
            CorruptSegmentError: a segment or the index is damaged or missing, or they contradict each other, likewise.
            LimitError: a record is larger than `max_record_bytes`.
        """
        asked = f"segments {first}:{'' if last is None else last}"
        if first < 0 or (last is not None and last <= first):
            raise ConfigError(f"{asked}: the first must be 0 or more, and below the end")
        walk = self._walk_from(first, asked, conceal)
        reason: StreamError | None = None
        for item in walk.items(first):
            if isinstance(item, StreamError):
                if not conceal:
                    raise item
                reason = reason or item
                continue
            number = item.number if isinstance(item, Segment) else item
            if not isinstance(item, Segment) and 0 < first == walk.next >= number:
                raise ConfigError(f"{asked}: the stream has {number} segments, counted from 0")
            if number != walk.next and reason is None:
                reason = walk.wrong_number(item)
                if not conceal:
                    raise reason
            if isinstance(item, Segment) and number < walk.next:
                continue  # comes again or too late: its place has been filled or reported
            stop = number if last is None else min(number, last)
            if reason is not None:
                is_only = walk.next == 0 and item == 1
                yield LostSegment(walk.next, max(0, stop - walk.next), reason, walk.take_salvaged(), is_only)
                reason = None
            if not isinstance(item, Segment) or stop == last:
                return
            walk.next = number + 1
            yield item
            if walk.next == last:
                return
            if not self.seekable and walk is not self._pipe_walk:
                raise ConfigError("another iteration has gone on with the pipe; it can be read by one at a time")
        if reason is not None:
            yield LostSegment(walk.next, None, reason, walk.take_salvaged())

    def entries(self) -> tuple[IndexEntry, ...]:
        """Of the index of a seekable file; none where it is damaged or missing."""
        if self.seekable:
            with suppress(StreamError):
                return self._entries_from_end()
        return ()

    def is_good(self, number: int) -> bool:
        """Whether a segment of a seekable file is whole."""
        return isinstance(next(self.segments(number, number + 1, conceal=True), None), Segment)

    def frame_map(self, *, conceal: bool = False) -> FrameMap:
        """In which segment each frame is, by an index that was held against the heads of all records.

        Args:
            conceal: where the index is damaged, missing or wrong, look at all segments instead; lost ones have no
                frames then.

        Raises:
            NotSeekableError: of a pipe.
            TruncatedStreamError, CorruptSegmentError: there is no index, or it is damaged or contradicts the records.
        """
        if not self.seekable:
            raise NotSeekableError("the number of frames, and where they are, can be known of a file, not of a pipe")
        if self._map is None:
            try:
                entries = self._entries_from_end()
                self._check_entries(entries)
            except StreamError:
                if not conceal:
                    raise
                self._map = FrameMap.of(self._facts())
            else:
                self._map = FrameMap.of_index(entries)
        return self._map

    def _facts(self) -> Iterator[tuple[int, int, int]]:
        """Number, frames and first time stamp of every good segment."""
        for item in self.segments(conceal=True):
            if isinstance(item, Segment):
                yield item.number, len(item.pts), item.pts[0]

    def _walk_from(self, first: int, asked: str, conceal: bool) -> _Walk:
        """A way through the records that begins before segment `first`, at it where the index holds."""
        if not self.seekable:
            if self._pipe_walk.next > first:
                raise ConfigError(f"{asked}: segment {first} has gone by; a pipe can be read only once")
            before, self._pipe_walk = self._pipe_walk, _Walk(self, self._input)
            self._pipe_walk.go_on_from(before)
            self._pipe_walk.next = first
            return self._pipe_walk
        walk = _Walk(self, self._input.at(self._first_record))
        if first:
            # Without an index that holds, the walk from the first segment skips payloads.
            try:
                entries = self._entries_from_end()
            except StreamError:
                entries = ()
            if first < len(entries):
                offset = self._first_record + sum(entry.size_bytes for entry in entries[:first])
                head = self._head_at(offset)
                problem = None if head is None else _difference(first, entries[first], head, offset)
                if problem is not None and not conceal:
                    raise problem
                if problem is None and (head is not None or not conceal):
                    walk = _Walk(self, self._input.at(offset))
            elif entries:
                raise ConfigError(f"{asked}: the stream has {len(entries)} segments, counted from 0")
        walk.next = first
        return walk

    def _entries_from_end(self) -> tuple[IndexEntry, ...]:
        """The index as the trailer of a seekable file gives it, or what it would say of one segment.

        Raises:
            StreamError: there is none, or it is damaged.
        """
        size = self._input.size()
        only = self._head_at(self._first_record)
        if only is not None and self._first_record + only.size_bytes + len(TAIL_MAGIC) == size:
            return self._only_entry()
        trailer_offset = max(self._first_record, size - TRAILER.size_bytes)
        try:
            data = self._input.at(trailer_offset).read(TRAILER.size_bytes)
            index_offset = TRAILER.read(data, trailer_offset)["index_offset"]
        except StreamError as error:
            raise TruncatedStreamError(
                f"the stream ends at byte {size} without an index ({error}); it was cut off or is still being written",
                offset_bytes=size,
            ) from None
        if not self._first_record <= index_offset < trailer_offset:
            raise CorruptSegmentError(
                f"trailer: index_offset = {index_offset}: must be in {self._first_record}..{trailer_offset - 1}",
                offset_bytes=trailer_offset,
            )
        source = self._input.at(index_offset)
        head = read_record_head(source.read(RECORD.size_bytes), index_offset)
        if head.kind != INDEX_KIND:
            raise CorruptSegmentError(
                f"the trailer points at byte {index_offset}, where segment {head.number} is and no index",
                offset_bytes=index_offset,
            )
        try:
            entries = self.read_entries(source, head, self.room(index_offset))
            promised = self._first_record + sum(entry.size_bytes for entry in entries)
            if promised != index_offset:
                raise StreamError(f"trailer: index_offset = {index_offset}: its segments say {promised}")
        except TruncatedStreamError:
            raise
        except StreamError as error:
            raise CorruptSegmentError(f"index at byte {index_offset}: {error}", offset_bytes=index_offset) from error
        if not entries:
            raise _no_segments(index_offset)
        return entries

    def _only_entry(self) -> tuple[IndexEntry, ...]:
        """Of a stream that ends after its first record: its bytes are read, since no index says the same of them."""
        found = []
        for item in _Walk(self, self._input.at(self._first_record)).items(0):
            if isinstance(item, StreamError):
                raise item
            if isinstance(item, Segment):
                found.append(IndexEntry(item.size_bytes, len(item.pts), item.pts[0]))
        return tuple(found)

    def room(self, offset: int) -> int:
        """Most segments that can lie before an index at `offset`."""
        return (offset - self._first_record) // _SMALLEST_SEGMENT_BYTES

    def read_entries(self, source: _Input, head: RecordHead, most: int) -> tuple[IndexEntry, ...]:
        """The index of at most so many segments, from after its head. Raises StreamError."""
        offset = source.offset
        if head.number > most:
            raise StreamError(f"{head.number} segments: at most {most} can lie before it")
        payload = source.read(head.payload_size)
        check = source.read(CHECK.size_bytes)
        if len(check) < CHECK.size_bytes:
            raise TruncatedStreamError(
                f"the stream ends at byte {source.offset}, in the middle of the index; it was cut off",
                offset_bytes=source.offset,
            )
        if check != write_check(payload):
            raise StreamError("its crc32 does not match; the stream is damaged")
        return read_index(head.number, payload, offset)

    def _check_entries(self, entries: Sequence[IndexEntry]) -> None:
        """Raise CorruptSegmentError where the index contradicts the records."""
        offset = self._first_record
        for number, entry in enumerate(entries):
            head = self._head_at(offset)  # a record that is damaged itself says nothing against the index
            problem = None if head is None else _difference(number, entry, head, offset)
            if problem is not None:
                raise problem
            offset += entry.size_bytes

    def _head_at(self, offset: int) -> _Facts | None:
        """What the record at an offset says of itself before its symbols; None where there is no good one."""
        source = self._input.at(offset)
        try:
            head = read_record_head(source.read(RECORD.size_bytes), offset)
            payload = source.peek(min(head.payload_size, _FACTS_BYTES))
            num_frames, at = VARINT.read(payload, 0)
            first_pts, _ = SVARINT.read(payload, at)
        except ValueError:
            return None
        return _Facts(head.kind, head.number, head.payload_size + RECORD_OVERHEAD_BYTES, num_frames, first_pts)


class _Walk:
    """One way through the records of a stream.

    Args:
        reader: whose stream it is.
        source: where the walk begins.
    """

    def __init__(self, reader: Reader, source: _Input) -> None:
        self._reader, self._source = reader, source
        self.next = 0
        """Number of the segment that should come next."""
        self._last_pts: int | None = None
        self._is_whole = True  # nothing was damaged or left out so far
        self._salvaged: Segment | None = None
        self._seen = _Seen()
        self._after_first: int | None = None  # where the magic of the trailer ends a stream of one segment

    def take_salvaged(self) -> Segment | None:
        """What the record of segment `next` looks like, if it came by with a wrong crc32."""
        salvaged, self._salvaged = self._salvaged, None
        return salvaged if salvaged is not None and salvaged.number == self.next else None

    def go_on_from(self, other: _Walk) -> None:
        """Know what another walk through the same pipe has come by."""
        self._last_pts, self._is_whole, self._seen = other._last_pts, other._is_whole, other._seen
        self._after_first = other._after_first

    def items(self, first: int) -> Iterator[Segment | StreamError | int]:
        """All that comes: good segments, what is wrong, and at the index the number of segments.

        After damage it goes on with what follows, until the index or the end of the bytes.
        """
        source = self._source
        while True:
            offset = source.offset
            data = source.peek(RECORD.size_bytes)
            if offset == self._after_first and data.startswith(TAIL_MAGIC):
                source.skip(len(TAIL_MAGIC))
                if source.peek(1):
                    yield CorruptSegmentError(
                        f"after segment 0: {_MORE_AFTER_END} (byte {source.offset})", offset_bytes=source.offset
                    )
                yield 1
                return
            if len(data) < RECORD.size_bytes:
                source.skip(len(data))
                yield self._truncated()
                return
            try:
                head = read_record_head(data, offset)
            except StreamError as error:
                self._is_whole = False
                yield error
                _skip_to_record(source)
                continue
            source.skip(RECORD.size_bytes)
            if offset == self._reader._first_record:
                self._after_first = offset + RECORD_OVERHEAD_BYTES + head.payload_size
            if head.kind == INDEX_KIND:
                yield from self._end(head)
                return
            if head.number < first:
                source.skip(head.payload_size + CHECK.size_bytes)
                continue
            found = self._read_segment(head, offset)
            if isinstance(found, StreamError):
                self._is_whole = False
            yield found
            if isinstance(found, TruncatedStreamError):
                return

    def _read_segment(self, head: RecordHead, offset: int) -> Segment | StreamError:
        """What follows a head at `offset`. Its bytes are let go when the segment has its own."""
        most = self._reader._max_record_bytes
        if head.payload_size > most:
            raise LimitError(
                f"segment {head.number} at byte {offset} has {head.payload_size} bytes, more than the limit of {most}; "
                "raise max_memory (--max-memory) if the stream is to be trusted",
                offset_bytes=offset,
                segment=head.number,
            )
        payload = self._source.read(head.payload_size)
        check = self._source.read(CHECK.size_bytes)
        if len(check) < CHECK.size_bytes:
            return self._truncated(f"in the middle of segment {head.number}")
        if check != write_check(payload):
            with suppress(StreamError):
                self._salvaged = read_segment(head.number, payload, self._reader.header, offset + RECORD.size_bytes)
            return CorruptSegmentError(
                f"segment {head.number} at byte {offset}: the crc32 of its {head.payload_size} bytes "
                "does not match; the stream is damaged",
                offset_bytes=offset,
                segment=head.number,
            )
        try:
            segment = read_segment(head.number, payload, self._reader.header, offset + RECORD.size_bytes)
        except CorruptSegmentError as error:
            return error
        if self._last_pts is not None and segment.number >= self.next and segment.pts[0] <= self._last_pts:
            return CorruptSegmentError(
                f"segment {segment.number} at byte {offset}: its first time stamp is {segment.pts[0]}, but that of the "
                f"frame before is {self._last_pts}; time stamps must rise",
                offset_bytes=offset,
                segment=segment.number,
            )
        if segment.number >= self.next:
            self._last_pts = segment.pts[-1]
        size = head.payload_size + RECORD_OVERHEAD_BYTES
        self._seen.note(head.number, IndexEntry(size, len(segment.pts), segment.pts[0]))
        return segment

    def _end(self, head: RecordHead) -> Iterator[StreamError | int]:
        """Index after its head, and trailer: what is wrong with them, and the number of segments."""
        offset = self._source.offset - RECORD.size_bytes
        if head.number == 0 == self.next:
            yield _no_segments(offset)
        # An index that knows of other segments than have come is wrong whatever else it says.
        elif head.number == self.next or not self._is_whole:
            yield from self._check_end(head, offset)
        yield head.number

    def _check_end(self, head: RecordHead, offset: int) -> Iterator[StreamError]:
        source = self._source
        most = self._reader.room(offset) if self._is_whole else head.number
        try:
            entries = self._reader.read_entries(source, head, most)
            data = source.read(TRAILER.size_bytes)
            if len(data) < TRAILER.size_bytes:
                yield self._truncated("in the middle of the trailer")
                return
            index_offset = TRAILER.read(data, source.offset - len(data))["index_offset"]
            promised = self._reader._first_record + sum(entry.size_bytes for entry in entries)
            if index_offset != promised:
                raise StreamError(f"trailer: index_offset = {index_offset}: its segments say {promised}")
            if source.peek(1):
                raise StreamError(_MORE_AFTER_END)
            problem = self._seen.contradiction(entries)
            if problem is not None:
                raise problem
        except TruncatedStreamError:
            yield self._truncated("in the middle of the index")
        except StreamError as error:
            at = source.offset if error.offset_bytes is None else error.offset_bytes
            yield CorruptSegmentError(
                f"after segment {head.number - 1}, index at byte {offset}: {error}", offset_bytes=at
            )

    def _truncated(self, where: str = "without an index") -> TruncatedStreamError:
        after = f"after segment {self.next - 1}" if self.next else "before the first segment is complete"
        offset = self._source.offset
        return TruncatedStreamError(
            f"the stream ends at byte {offset}, {after}, {where}; it was cut off or is still being written",
            offset_bytes=offset,
            segment=self.next,
        )

    def wrong_number(self, item: Segment | int) -> CorruptSegmentError:
        """The error for a segment that is not the next one, or an index of other segments than have come."""
        if isinstance(item, int):
            what = f"the index says {item} segments, but segment {self.next} should come next"
            if item < self.next:
                what = f"the index says {item} segments, but {self.next} have come"
        else:
            what = f"segment {item.number} comes where segment {self.next} should"
        self._is_whole = False
        offset = self._source.offset
        return CorruptSegmentError(
            f"{what} (before byte {offset}); segments are missing or out of order",
            offset_bytes=offset,
            segment=self.next,
        )


class _Seen:
    """What the records have said, to be held against the index: some 24 bytes a segment."""

    def __init__(self) -> None:
        self._columns = (array("q"), array("q"), array("q"))

    def note(self, number: int, entry: IndexEntry) -> None:
        values = (entry.size_bytes, entry.num_frames, entry.first_pts)
        for column, value in zip(self._columns, values, strict=True):
            if number >= len(column):
                column.extend([0] * (number + 1 - len(column)))  # a size of 0: not seen
            column[number] = value

    def contradiction(self, entries: Sequence[IndexEntry]) -> CorruptSegmentError | None:
        for number, (entry, *values) in enumerate(zip(entries, *self._columns, strict=False)):
            if values[0]:
                problem = _difference(number, entry, _Facts(SEGMENT_KIND, number, *values), None)
                if problem is not None:
                    return problem
        return None


def _difference(number: int, entry: IndexEntry, record: _Facts, offset: int | None) -> CorruptSegmentError | None:
    """What the index says of a segment and its record does not."""
    place = "" if offset is None else f" at byte {offset}"
    if record.kind == INDEX_KIND or record.number != number:
        is_there = "the index itself" if record.kind == INDEX_KIND else f"segment {record.number}"
        what = f"says that segment {number} is{place}, where {is_there} is"
    else:
        said = (
            ("bytes", entry.size_bytes, record.size_bytes),
            ("frames", entry.num_frames, record.num_frames),
            ("as first time stamp", entry.first_pts, record.first_pts),
        )
        differing = [item for item in said if item[1] != item[2]]
        if not differing:
            return None
        name, by_index, by_record = differing[0]
        what = f"gives segment {number}{place} {by_index} {name}, its record {by_record}"
    return CorruptSegmentError(
        f"the index contradicts the records: it {what}; the stream is damaged", offset_bytes=offset, segment=number
    )


def _no_segments(offset: int) -> CorruptSegmentError:
    return CorruptSegmentError(
        f"the stream has no segments, only an index at byte {offset}: its encoder ended before the first was done",
        offset_bytes=offset,
    )


def _read_header(source: _Input) -> Header:
    start = source.read(START.size_bytes)
    if not start:
        raise TruncatedStreamError("the stream is empty; a .c3v stream was expected", offset_bytes=0)
    magic = start[: len(MAGIC)]
    if magic != MAGIC[: len(magic)]:
        raise NotC3VError(f"not a .c3v stream: it starts with {magic.hex(' ')} instead of {MAGIC.hex(' ')}")
    version = start[len(MAGIC) : len(MAGIC) + 1]
    if version and version[0] != VERSION:
        remedy = "try a newer one" if version[0] > VERSION else "a pre-release wrote it; encode the source again"
        raise UnsupportedVersionError(
            f"version {version[0]} of .c3v: this c3video reads version {VERSION}; {remedy}",
            offset_bytes=len(MAGIC),
        )
    if len(start) == START.size_bytes:
        payload = source.read(START.read(start, 0)["header_size"])
        check = source.read(CHECK.size_bytes)
        if len(check) == CHECK.size_bytes:
            if check != write_check(bytes(start) + payload):
                raise StreamError("the crc32 of the header does not match; the stream is damaged", offset_bytes=0)
            return read_header(payload)
    raise TruncatedStreamError(
        f"the stream ends at byte {source.offset}, within its header",
        offset_bytes=source.offset,
    )


def _skip_to_record(source: _Input) -> None:
    """To the next place that may be the head of a record, or to the end.

    Bytes may hold a false start every three: they are passed by their crc32, without a message for each.
    """
    size = CHECK.size_bytes
    while True:
        source.skip(1)
        source.skip_to(SYNC)
        data = source.peek(RECORD.size_bytes)
        if len(data) < RECORD.size_bytes:
            return
        if zlib.crc32(data[:-size]) == int.from_bytes(data[-size:], "little"):
            return


class _Input:
    """Bytes of a file or a pipe with a look ahead. Offsets count from where the file stood at first.

    Several may go through one seekable file: each seeks before it reads.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # `read` of a buffered pipe waits for all it is asked for, `read1` hands over what has arrived.
        self._read_some = getattr(file, "read1", file.read)
        self.seekable = file.seekable()
        self._start = file.tell() if self.seekable else 0
        self._ahead = bytearray()
        self.offset = 0

    def at(self, offset: int) -> _Input:
        """Another one, at an offset of the same seekable file."""
        other = _Input.__new__(_Input)
        other._file, other._read_some, other.seekable = self._file, self._read_some, self.seekable
        other._start, other._ahead, other.offset = self._start, bytearray(), offset
        return other

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, at most a block, fewer only at the end; they stay."""
        while len(self._ahead) < size and (block := self._block(_BLOCK_BYTES, len(self._ahead))):
            self._ahead += block
        return bytes(self._ahead[:size])

    def read(self, size: int) -> bytes | bytearray:
        """The next `size` bytes, fewer only at the end; a large number of them is gathered in one place."""
        if size <= _BLOCK_BYTES:
            data = self.peek(size)
            self._drop(len(data))
            return data
        gathered, self._ahead = self._ahead, bytearray()
        if len(gathered) > size:
            self._ahead = gathered[size:]
            del gathered[size:]
        while len(gathered) < size and (block := self._block(size - len(gathered), len(gathered))):
            gathered += block
        self.offset += len(gathered)
        return gathered

    def skip(self, size: int) -> None:
        """Past the next `size` bytes, or to the end."""
        if self.seekable and size > len(self._ahead):
            self._ahead.clear()
            self.offset = min(self.offset + size, max(self.offset, self.size()))
            return
        while size > 0 and (block := self.peek(min(size, _BLOCK_BYTES))):
            self._drop(len(block))
            size -= len(block)

    def skip_to(self, pattern: bytes) -> None:
        """To the next place of `pattern`, or to the end."""
        while (at := self._ahead.find(pattern)) < 0:
            self._drop(max(0, len(self._ahead) - len(pattern) + 1))
            if len(self.peek(len(pattern))) < len(pattern):
                self._drop(len(self._ahead))
                return
        self._drop(at)

    def size(self) -> int:
        """Bytes from the start to the end of a seekable file."""
        return self._file.seek(0, os.SEEK_END) - self._start

    def _block(self, size: int, num_ahead: int) -> bytes:
        """Some of the bytes after the `num_ahead` that have been read, at most a block."""
        if self.seekable:
            self._file.seek(self._start + self.offset + num_ahead)
        data: bytes = self._read_some(min(size, _BLOCK_BYTES))
        return data

    def _drop(self, size: int) -> None:
        del self._ahead[:size]
        self.offset += size
