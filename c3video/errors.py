# SPDX-License-Identifier: MIT
"""Every exception that c3video raises on purpose.

    C3VideoError
    ├── ConfigError (ValueError)            an argument or option is out of its range
    │   └── NotSeekableError (TypeError)    what only a file can answer was asked of a pipe
    ├── SourceError                         the input video cannot be read as asked
    ├── OutputError                         what was asked for cannot be written, or shall not be
    ├── FitError                            a fit went wrong beyond repair
    ├── WorkerError                         processes or machines that fits run on die, again and again
    └── StreamError (ValueError)            the .c3v bytes cannot be used
        ├── NotC3VError                     no .c3v magic at the start
        ├── UnsupportedVersionError         a .c3v version this reader does not know
        ├── TruncatedStreamError            the bytes end before the stream does
        ├── CorruptSegmentError             a segment is damaged, missing or impossible
        └── LimitError                      it asks for more memory or time than the caller allows

A message says what is wrong, where (path, segment, byte offset), the value, the range and what to do.
`StreamError` and its children carry `offset_bytes` and `segment` where they are known.
"""

from __future__ import annotations


class C3VideoError(Exception):
    """Root of all errors raised by c3video."""


class ConfigError(C3VideoError, ValueError):
    """An argument, option or configuration value is out of its range."""


class NotSeekableError(ConfigError, TypeError):
    """A question that only a seekable file can answer was asked of a pipe.

    Also a TypeError, as of an object without a length: `list(decoder)` then goes on without one.
    """


class SourceError(C3VideoError):
    """The input video cannot be opened or read as asked."""


class OutputError(C3VideoError):
    """The output cannot be written, or is there and shall not be replaced."""


class FitError(C3VideoError):
    """A fit produced nothing that can be coded."""


class WorkerError(C3VideoError):
    """Who works on a segment dies, again and again, or cannot be had."""


class StreamError(C3VideoError, ValueError):
    """The bytes of a .c3v stream cannot be used.

    Args:
        message: what, where, the value, the range and what to do.
        offset_bytes: position in the stream, where known.
        segment: number of the segment, where known.
    """

    def __init__(self, message: str, *, offset_bytes: int | None = None, segment: int | None = None) -> None:
        super().__init__(message)
        self.offset_bytes = offset_bytes
        self.segment = segment


class NotC3VError(StreamError):
    """The bytes do not start with the .c3v magic."""


class UnsupportedVersionError(StreamError):
    """The stream has a version that this reader does not know."""


class TruncatedStreamError(StreamError):
    """The bytes end before the stream does."""


class CorruptSegmentError(StreamError):
    """A segment fails its checks: CRC, order, sizes, ranges or frame hashes."""


class LimitError(StreamError):
    """Decoding would need more pixels, frames or memory than the caller allows. No concealment goes on after it."""
