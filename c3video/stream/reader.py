# SPDX-License-Identifier: MIT
"""A .c3v file or pipe -> header, then segments one at a time.

Memory holds one record; nothing larger than a block is asked for before its bytes have arrived.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from c3video.errors import (
    ConfigError,
    CorruptSegmentError,
    NotC3VError,
    StreamError,
    TruncatedStreamError,
    UnsupportedVersionError,
)
from c3video.stream.layout import (
    CHECK,
    INDEX_KIND,
    MAGIC,
    RECORD,
    START,
    SYNC,
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


@dataclass(frozen=True)
class LostSegment:
    """Stands for damage, when concealing.

    Args:
        number: of the first segment that is lost, or of the next one where none is.
        num_segments: how many are lost; 0 where the damage cost none, None where the stream does not tell.
        reason: what was wrong first.
    """

    number: int
    num_segments: int | None
    reason: StreamError


class Reader:
    """Reads a stream from a file or a pipe, which stays open and belongs to the caller.

    Args:
        file: binary file or pipe at the start of a stream.

    Raises:
        StreamError: not a .c3v stream that this version can read (see errors.py).
    """

    def __init__(self, file: BinaryIO) -> None:
        self._input = _Input(file)
        self.header = self._read_header()
        self._first_record = self._input.offset
        self._next = 0  # number of the segment that should come next

    def __iter__(self) -> Iterator[Segment | LostSegment]:
        return self.segments()

    def segments(
        self, first: int = 0, last: int | None = None, *, conceal: bool = False
    ) -> Iterator[Segment | LostSegment]:
        """The segments first .. last - 1 (None: to the end), each as soon as it is complete.

        A seekable file may be read again and again, one iteration at a time; its index leads to `first`.
        A pipe goes on where it stands; the payloads of segments before `first` are skipped.

        Args:
            conceal: go on after damage, with a LostSegment in its place; without it no LostSegment comes out.

        Raises:
            ConfigError: there are no such segments, or they have gone by in a pipe.
            TruncatedStreamError: the stream ends too early; all segments before that have come out.
            CorruptSegmentError: a segment or the index is damaged or missing, likewise.
        """
        asked = f"segments {first}:{'' if last is None else last}"
        if first < 0 or (last is not None and last <= first):
            raise ConfigError(f"{asked}: the first must be 0 or more, and below the end")
        self._go_to(first, asked)
        reason: StreamError | None = None
        for item in self._walk(first):
            if isinstance(item, StreamError):
                if not conceal:
                    raise item
                reason = reason or item
                continue
            number = item.number if isinstance(item, Segment) else item
            if not isinstance(item, Segment) and 0 < first == self._next >= number:
                raise ConfigError(f"{asked}: the stream has {number} segments, counted from 0")
            if number != self._next and reason is None:
                reason = self._wrong_number(item)
                if not conceal:
                    raise reason
            if isinstance(item, Segment) and number < self._next:
                continue  # comes again or too late: its place has been filled or reported
            stop = number if last is None else min(number, last)
            if reason is not None:
                yield LostSegment(self._next, max(0, stop - self._next), reason)
                reason = None
            if not isinstance(item, Segment) or stop == last:
                return
            self._next = number + 1
            yield item
            if self._next == last:
                return
        if reason is not None:
            yield LostSegment(self._next, None, reason)

    def index(self) -> tuple[IndexEntry, ...]:
        """The index of a seekable file, for the next iteration to start where it should; nothing for a pipe.

        Nothing either where the index or its place is damaged.
        """
        return self._entries_from_end() if self._input.seekable else ()

    def _walk(self, first: int) -> Iterator[Segment | StreamError | int]:
        """All that comes: good segments, what is wrong, and at the index the number of segments.

        After damage it goes on with what follows, until the index or the end of the bytes.
        """
        while True:
            offset = self._input.offset
            data = self._input.peek(RECORD.size_bytes)
            if len(data) < RECORD.size_bytes:
                self._input.skip(len(data))
                yield self._truncated()
                return
            try:
                head = read_record_head(data, offset)
            except StreamError as error:
                yield error
                self._input.skip(1)
                self._input.skip_to(SYNC)
                continue
            self._input.skip(RECORD.size_bytes)
            if head.kind == INDEX_KIND:
                yield from self._read_end(head)
                return
            if head.number < first:
                self._input.skip(head.payload_size + CHECK.size_bytes)
                continue
            payload = self._input.read(head.payload_size)
            check = self._input.read(CHECK.size_bytes)
            if len(check) < CHECK.size_bytes:
                yield self._truncated(f"in the middle of segment {head.number}")
                return
            if check != write_check(payload):
                yield CorruptSegmentError(
                    f"segment {head.number} at byte {offset}: the crc32 of its {head.payload_size} bytes "
                    "does not match; the stream is damaged",
                    offset_bytes=offset,
                    segment=head.number,
                )
                continue
            try:
                segment = read_segment(head.number, payload, self.header, offset + RECORD.size_bytes)
            except CorruptSegmentError as error:
                yield error
            else:
                yield segment

    def _read_end(self, head: RecordHead) -> Iterator[StreamError | int]:
        """Index after its head, and trailer: what is wrong with them, and the number of segments."""
        offset = self._input.offset
        try:
            entries = self._read_entries(head)
            data = self._input.read(TRAILER.size_bytes)
            if len(data) < TRAILER.size_bytes:
                raise self._truncated("in the middle of the trailer")
            index_offset = TRAILER.read(data, self._input.offset - len(data))["index_offset"]
            promised = self._first_record + sum(entry.size_bytes for entry in entries)
            if index_offset != promised:
                raise StreamError(f"trailer: index_offset = {index_offset}: its segments say {promised}")
            if self._input.peek(1):
                raise StreamError("there is more after the end of the stream; cut it off there")
        except TruncatedStreamError as error:
            yield error
        except StreamError as error:
            at = self._input.offset if error.offset_bytes is None else error.offset_bytes
            yield CorruptSegmentError(
                f"after segment {head.number - 1}, index at byte {offset - RECORD.size_bytes}: {error}",
                offset_bytes=at,
            )
        yield head.number

    def _read_entries(self, head: RecordHead) -> tuple[IndexEntry, ...]:
        """The index, from after its head. Raises StreamError."""
        offset = self._input.offset
        payload = self._input.read(head.payload_size)
        check = self._input.read(CHECK.size_bytes)
        if len(check) < CHECK.size_bytes:
            raise self._truncated("in the middle of the index")
        if check != write_check(payload):
            raise StreamError("its crc32 does not match; the stream is damaged")
        return read_index(head.number, payload, offset)

    def _go_to(self, first: int, asked: str) -> None:
        if self._input.seekable:
            # Without an index that holds, the walk from the first segment skips payloads.
            entries = self._entries_from_end() if first else ()
            self._input.seek(self._first_record + sum(entry.size_bytes for entry in entries[:first]))
        elif self._next > first:
            raise ConfigError(f"{asked}: segment {first} has gone by; a pipe can be read only once")
        self._next = first

    def _entries_from_end(self) -> tuple[IndexEntry, ...]:
        """The index as the trailer of a seekable file gives it; nothing where anything about it is wrong."""
        try:
            self._input.seek(max(self._first_record, self._input.size() - TRAILER.size_bytes))
            trailer_offset = self._input.offset
            index_offset = TRAILER.read(self._input.read(TRAILER.size_bytes), trailer_offset)["index_offset"]
            if not self._first_record <= index_offset < trailer_offset:
                return ()
            self._input.seek(index_offset)
            head = read_record_head(self._input.read(RECORD.size_bytes), index_offset)
            entries = self._read_entries(head) if head.kind == INDEX_KIND else ()
        except StreamError:
            return ()
        return entries if self._first_record + sum(entry.size_bytes for entry in entries) == index_offset else ()

    def _read_header(self) -> Header:
        start = self._input.read(START.size_bytes)
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
            payload = self._input.read(START.read(start, 0)["header_size"])
            check = self._input.read(CHECK.size_bytes)
            if len(check) == CHECK.size_bytes:
                if check != write_check(start + payload):
                    raise StreamError("the crc32 of the header does not match; the stream is damaged", offset_bytes=0)
                return read_header(payload)
        raise TruncatedStreamError(
            f"the stream ends at byte {self._input.offset}, within its header",
            offset_bytes=self._input.offset,
        )

    def _truncated(self, where: str = "without an index") -> TruncatedStreamError:
        after = f"after segment {self._next - 1}" if self._next else "before the first segment is complete"
        return TruncatedStreamError(
            f"the stream ends at byte {self._input.offset}, {after}, {where}; it was cut off or is still being written",
            offset_bytes=self._input.offset,
            segment=self._next,
        )

    def _wrong_number(self, item: Segment | int) -> CorruptSegmentError:
        if isinstance(item, int):
            what = f"the index says {item} segments, but segment {self._next} should come next"
            if item < self._next:
                what = f"the index says {item} segments, but {self._next} have come"
        else:
            what = f"segment {item.number} comes where segment {self._next} should"
        return CorruptSegmentError(
            f"{what} (before byte {self._input.offset}); segments are missing or out of order",
            offset_bytes=self._input.offset,
            segment=self._next,
        )


class _Input:
    """Bytes of a file or a pipe with a look ahead. Offsets count from where the file stood at first."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # `read` of a buffered pipe waits for all it is asked for, `read1` hands over what has arrived.
        self._read_some = getattr(file, "read1", file.read)
        self.seekable = file.seekable()
        self._start = file.tell() if self.seekable else 0
        self._ahead = bytearray()
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end; they stay."""
        while len(self._ahead) < size and (block := self._read_some(_BLOCK_BYTES)):
            self._ahead += block
        return bytes(self._ahead[:size])

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        data = self.peek(size)
        self._drop(len(data))
        return data

    def skip(self, size: int) -> None:
        """Past the next `size` bytes, or to the end."""
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

    def seek(self, offset: int) -> None:
        self._file.seek(self._start + offset)
        self._ahead.clear()
        self.offset = offset

    def size(self) -> int:
        """Bytes from the start to the end of a seekable file; the position is lost."""
        return self._file.seek(0, os.SEEK_END) - self._start

    def _drop(self, size: int) -> None:
        del self._ahead[:size]
        self.offset += size
