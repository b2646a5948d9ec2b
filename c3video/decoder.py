# SPDX-License-Identifier: MIT
"""The decoding story: stream -> segments -> frames. What is between the last two is the model's (models.py).

    with c3video.open("clip.c3v") as clip:
        for frame in clip:
            show(frame.planes, frame.pts)

Needs neither torch nor PyAV. Memory holds one segment's frames and latents, whatever the length of the clip.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from c3video.engine import EngineName, choose_engine
from c3video.errors import StreamError
from c3video.models import DECODERS
from c3video.segment_model import SegmentFacts
from c3video.stream.layout import Header, Segment
from c3video.stream.reader import LostSegment, Reader
from c3video.video import Frame, VideoFormat


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
            try:
                frames = list(decode_segment(self.header, segment, self._engine, self._threads))
            except StreamError as error:
                if not self._conceal:
                    raise
                self.lost.append(error)
            else:
                yield frames

    def coded_segments(self, first: int = 0, last: int | None = None) -> Iterator[Segment]:
        """The same segments as they are in the stream, not decoded."""
        for segment in self._reader.segments(first, last, conceal=self._conceal):
            if isinstance(segment, LostSegment):
                self.lost.append(segment.reason)
            else:
                yield segment

    def av_frames(self, first: int = 0, last: int | None = None) -> Iterator[object]:
        """The same frames as `av.VideoFrame`, with time stamps and colour description (needs PyAV)."""
        from c3video.media.avframe import to_av_frame

        for frame in self.frames(first, last):
            yield to_av_frame(frame, self.format)


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
