# SPDX-License-Identifier: MIT
"""Segments -> .c3v, to any binary file object: header, segments as they are finished, index.

What is said here of the index holds for what ends a stream of one segment, which has none, too.

A file has its index after every segment; the next segment is written over it. So it is a valid stream whenever the work
ends, and a full disk has room for the index: it is there. Only SIGKILL or a power cut in the middle of a write leaves a
last segment that is cut off, behind whole ones. A pipe gets the index at the end, and so does a file that others read
while it grows: what they have read stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO

from c3video.errors import ConfigError
from c3video.stream.layout import Header, IndexEntry, Segment, write_end, write_header, write_segment


class Writer:
    """Writes a stream; as a context manager it ends it well even when an exception leaves the block.

        with Writer(file, header) as writer:
            for segment in segments:
                writer.write_segment(segment)

    The file object stays open; it belongs to the caller.

    Args:
        file: binary file or pipe. The stream starts where it stands.
        entries: of segments that are in the file, after this header, and are gone on from; what is after them goes.
        with_index: whether a file has its index after every segment; else at the end alone, as a pipe.

    Raises:
        ConfigError: the header holds what a stream may not carry.
        OSError: from the file.
    """

    def __init__(
        self, file: BinaryIO, header: Header, entries: Sequence[IndexEntry] = (), *, with_index: bool = True
    ) -> None:
        start = write_header(header)
        self._file, self._header = file, header
        self._start = file.tell() if with_index and _can_rewrite(file) else None
        self._header_size = len(start)
        self._entries = list(entries)
        self._unfinished = self._closed = False
        if entries:
            assert self._start is not None
            self._end_file(self._start)
        else:
            self._write(start if self._start is None else start + self._ending())

    @property
    def size_bytes(self) -> int:
        """Of the stream with its ending, as it is or, in a pipe, will be."""
        return self._end + len(self._ending())

    @property
    def num_segments(self) -> int:
        return len(self._entries)

    @property
    def _end(self) -> int:
        """Where the next segment begins, counted from the start of the stream."""
        return self._header_size + sum(entry.size_bytes for entry in self._entries)

    def write_segment(self, segment: Segment) -> int:
        """Write and flush one segment; returns its size in bytes.

        Raises:
            ConfigError: the segment is not the next one or does not fit the header.
        """
        if self._closed or segment.number != len(self._entries):
            state = "the stream is closed" if self._closed else f"must be {len(self._entries)}, the next one"
            raise ConfigError(f"segment number {segment.number}: {state}")
        data = write_segment(segment, self._header)
        entry = IndexEntry(len(data), len(segment.pts), segment.pts[0])
        # Ctrl-C may come between any two lines here; `close` takes back what is half done.
        self._unfinished = True
        if self._start is None:
            self._write(data)
        else:
            self._file.seek(self._start + self._end)
            self._write(data + self._ending(entry))
        self._entries.append(entry)
        self._unfinished = False
        return len(data)

    @property
    def can_take_back(self) -> bool:
        """Whether segments can be written over: not in a pipe, nor in a file that others read."""
        return self._start is not None

    def take_back(self, number: int) -> None:
        """Cut off segments from `number` on, to be written anew; only where `can_take_back`."""
        assert self._start is not None
        self._unfinished = True
        del self._entries[number:]
        self._end_file(self._start)
        self._unfinished = False

    def close(self) -> None:
        """End the stream. Half a segment is taken back first; a pipe cannot, and gets no index then."""
        if self._closed:
            return
        self._closed = True
        if self._start is None:
            if not self._unfinished:
                self._write(self._ending())
        elif self._unfinished:
            # Over the half segment, not behind it: these bytes are the file's already, on a full disk too.
            self._end_file(self._start)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A full disk or a closed pipe may fail here again; the first error is the one to tell.
        with contextlib.suppress(OSError) if isinstance(error, OSError) else contextlib.nullcontext():
            self.close()

    def _end_file(self, start: int) -> None:
        """Let the file end after the segments there are."""
        self._file.seek(start + self._end)
        self._write(self._ending())
        self._file.truncate()

    def _ending(self, *more: IndexEntry) -> bytes:
        """What ends a stream of what is written and `more`."""
        return write_end([*self._entries, *more], self._end + sum(entry.size_bytes for entry in more))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            # An unbuffered file may take less than it is given.
            rest = rest[self._file.write(rest) :]
        self._file.flush()


def _can_rewrite(file: BinaryIO) -> bool:
    """Whether bytes can be written over: not in a pipe, nor in a file that is opened to append."""
    if not file.seekable():
        return False
    try:
        return not fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND
    except (OSError, AttributeError):  # a file in memory has no descriptor
        return True
