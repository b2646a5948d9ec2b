# SPDX-License-Identifier: MIT
"""The decoding story: stream -> segments -> frames. What is between the last two is the model's (models.py).

    with c3video.open("clip.c3v") as clip:
        for frame in clip:
            show(frame.planes, frame.pts)

Needs neither torch nor PyAV. Memory holds one segment's frames and latents, whatever the length of the clip.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from c3video.engine import EngineName, choose_engine
from c3video.errors import StreamError
from c3video.media.selection import NumberedFrame, Selection
from c3video.models import DECODERS
from c3video.segment_model import SegmentFacts
from c3video.stream.layout import Header, Segment
from c3video.stream.reader import LostSegment, Reader
from c3video.video import Frame, VideoFormat

_log = logging.getLogger(__name__)


def open(
    path: str | os.PathLike[str], *, threads: int = 1, conceal: bool = False, engine: str | None = None
) -> Decoder:
    """Open a .c3v file, or standard input for "-". Close it, or use it as a context manager.

    Raises:
        StreamError: not a .c3v stream that this version can read (see errors.py).
        OSError: the file cannot be opened.
    """
    file = sys.stdin.buffer if str(path) == "-" else Path(path).open("rb")  # noqa: SIM115 (the Decoder closes it)
    return Decoder(file, threads=threads, conceal=conceal, engine=engine)


class Decoder:
    """Frames of a .c3v stream, in order; each segment is decoded when its first frame is asked for.

    Args:
        file: binary file or pipe at the start of a stream.
        threads: patches decoded at the same time, or slices and frames; the pixels do not depend on it.
        conceal: go on after damage: a lost segment's frames are missing, and `lost` tells why.
        engine: "native" or "numpy" (engine.py); None for the fastest there is. The pixels do not depend on it.
    """

    def __init__(self, file: BinaryIO, *, threads: int = 1, conceal: bool = False, engine: str | None = None) -> None:
        self._file, self._threads, self._conceal = file, threads, conceal
        self._engine = choose_engine(engine)
        self._reader = Reader(file)
        self.lost: list[StreamError] = []

    @property
    def header(self) -> Header:
        return self._reader.header

    @property
    def format(self) -> VideoFormat:
        return self.header.video

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """Frames of the segments first .. last - 1 (None: to the end).

        Raises:
            StreamError: damage; all frames of good segments before it have come out by then.
        """
        for frames in self.segments(first, last):
            yield from frames

    def segments(self, first: int = 0, last: int | None = None) -> Iterator[list[Frame]]:
        """The same, the frames of a segment at once."""
        for segment in self.coded_segments(first, last):
            if frames := self._decoded(segment):
                yield frames

    def _decoded(self, segment: Segment) -> list[Frame]:
        """Its frames; none where it is damaged and that is concealed."""
        try:
            return list(decode_segment(self.header, segment, self._engine, self._threads))
        except StreamError as error:
            if not self._conceal:
                raise
            self.lost.append(error)
            return []

    def coded_segments(self, first: int = 0, last: int | None = None) -> Iterator[Segment]:
        """The same segments as they are in the stream, not decoded."""
        for segment in self._reader.segments(first, last, conceal=self._conceal):
            if isinstance(segment, LostSegment):
                self.lost.append(segment.reason)
            else:
                yield segment

    def select(self, selection: Selection, name: str = "the stream") -> Iterator[Frame]:
        """Frames by number or time; segments before the first of them are not decoded.

        After damage that is concealed, the numbers are those of the frames that are left.

        Args:
            name: of the stream, in messages.

        Raises:
            SourceError: there is no such frame.
            StreamError: damage, as from `frames`.
        """
        for _, frame in selection.of(self._numbered_from(selection), self.format, name, _say_missing(name)):
            yield frame

    def _numbered_from(self, selection: Selection) -> Iterator[NumberedFrame]:
        """Frames of all segments but those that end before the selection begins."""
        time_base = self.format.time_base
        number = base = 0
        entries = self._reader.index()
        zero = entries[0].first_pts if entries else None
        for entry, following in pairwise(entries):
            # The last frame of a segment may be as late as the first of the next one.
            first_of_next = (following.first_pts - entries[0].first_pts) * time_base
            if not selection.is_before(base + entry.num_frames, first_of_next):
                break
            number, base = number + 1, base + entry.num_frames
        for segment in self.coded_segments(number):
            zero = segment.pts[0] if zero is None else zero
            last = base + len(segment.pts) - 1
            if not selection.is_before(last, (segment.pts[-1] - zero) * time_base):
                for index, frame in enumerate(self._decoded(segment), base):
                    yield index, (frame.pts - zero) * time_base, frame
            base = last + 1

    def av_frames(self, first: int = 0, last: int | None = None) -> Iterator[object]:
        """The same frames as `av.VideoFrame`, with time stamps and colour description (needs PyAV)."""
        from c3video.media.avframe import to_av_frame

        for frame in self.frames(first, last):
            yield to_av_frame(frame, self.format)


def _say_missing(name: str) -> Callable[[str], None]:
    return lambda what: _log.warning("%s: %s", name, what)


def decode_segment(header: Header, segment: Segment, engine: EngineName = "numpy", threads: int = 1) -> Iterator[Frame]:
    """Frames of one segment; needs nothing but the header and the segment.

    Raises:
        CorruptSegmentError: its bytes do not decode, or a frame differs from its hash.
    """
    decoded = DECODERS[header.model.KIND].decode(header, segment, engine, threads)
    for planes, pts, duration in zip(decoded, segment.pts, segment.durations, strict=True):
        yield Frame(planes, pts, duration)


def describe_segment(header: Header, segment: Segment) -> SegmentFacts:
    """Where the bits of a segment went, and what it says before its symbols. Raises CorruptSegmentError."""
    return DECODERS[header.model.KIND].describe(header, segment)
