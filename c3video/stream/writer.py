# SPDX-License-Identifier: MIT
"""Segments -> .c3v, to any binary file object: header, segments as they are finished, index."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import BinaryIO

from c3video.errors import ConfigError
from c3video.stream.layout import Header, IndexEntry, Segment, write_header, write_index, write_segment


class Writer:
    """Writes a stream; as a context manager it ends it well even when an exception leaves the block.

        with Writer(file, header) as writer:
            for segment in segments:
                writer.write_segment(segment)

    The file object stays open; it belongs to the caller.

    Args:
        file: binary file or pipe. The stream starts where it stands.

    Raises:
        ConfigError: the header holds what a stream may not carry.
        OSError: from the file.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        start = write_header(header)
        self._file, self._header = file, header
        self._start = file.tell() if file.seekable() else None
        self._header_size = len(start)
        self._entries: list[IndexEntry] = []
        self._unfinished = self._closed = False
        self._write(start)

    def write_segment(self, segment: Segment) -> int:
        """Write and flush one segment; returns its size in bytes.

        Raises:
            ConfigError: the segment is not the next one or does not fit the header.
        """
        if self._closed or segment.number != len(self._entries):
            state = "the stream is closed" if self._closed else f"must be {len(self._entries)}, the next one"
            raise ConfigError(f"segment number {segment.number}: {state}")
        data = write_segment(segment, self._header)
        # Ctrl-C may come between any two lines here; `close` takes back what is half done.
        self._unfinished = True
        self._write(data)
        entry = IndexEntry(len(data), len(segment.pts), segment.pts[0])
        self._entries.append(entry)
        self._unfinished = False
        return len(data)

    def close(self) -> None:
        """Write the index. Half a segment is taken back first; a pipe cannot, and gets no index then."""
        if self._closed:
            return
        self._closed = True
        end = self._header_size + sum(entry.size_bytes for entry in self._entries)
        if self._unfinished:
            if self._start is None:
                return
            self._file.seek(self._start + end)
            self._file.truncate()
        self._write(write_index(self._entries, end))

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A full disk or a closed pipe fails here again; the first error is the one to tell.
        with contextlib.suppress(OSError) if isinstance(error, OSError) else contextlib.nullcontext():
            self.close()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            # An unbuffered file may take less than it is given.
            rest = rest[self._file.write(rest) :]
        self._file.flush()
