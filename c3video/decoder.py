# SPDX-License-Identifier: MIT
"""The decoding story: stream -> segments -> patches -> frames. For the hybrid model the middle is frame_decoder.py.

    with c3video.open("clip.c3v") as clip:
        for frame in clip:
            show(frame.planes, frame.pts)

Needs neither torch nor PyAV. Memory holds one segment's frames and latents, whatever the length of the clip.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from c3video.c3.patches import PatchGrid
from c3video.c3.payload import CodedPatch, decode_patch
from c3video.config import C3Config, HybridConfig
from c3video.engine import NUMPY, Engine, choose_engine
from c3video.errors import CorruptSegmentError, StreamError
from c3video.hybrid.decode import decode_frames
from c3video.stream.layout import Header, Segment
from c3video.stream.reader import LostSegment, Reader
from c3video.video import Frame, Planes, VideoFormat, cells_to_planes, frame_crc32


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
                frames = decode_segment(self.header, segment, self._engine, self._threads)
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


def patch_grid(header: Header) -> PatchGrid:
    """The patches of every segment of a stream."""
    return PatchGrid(header.patch_rows, header.patch_columns, header.video.cell_shape)


def decode_symbols(header: Header, segment: Segment) -> Iterator[tuple[CodedPatch, tuple[int, int, int]]]:
    """Models, symbols and accounting of a segment's patches with their (T, H, W) in cells; no samples.

    Of the C3 model only.
    """
    assert isinstance(header.model, C3Config)
    num_channels = header.video.layout.num_cell_channels
    shapes = patch_grid(header).shapes(len(segment.pts))
    for number, (data, shape) in enumerate(zip(segment.patches, shapes, strict=True)):
        try:
            yield decode_patch(data, header.model, num_channels, shape), shape
        except CorruptSegmentError as error:
            raise CorruptSegmentError(
                f"segment {segment.number}, patch {number}: {error}", segment=segment.number
            ) from error


def decode_segment(header: Header, segment: Segment, engine: Engine = NUMPY, threads: int = 1) -> list[Frame]:
    """Frames of one segment; needs nothing but the header and the segment.

    Raises:
        CorruptSegmentError: its bytes do not decode, or a frame differs from its hash.
    """
    if isinstance(header.model, HybridConfig):
        decoded = decode_frames(header, segment, engine, threads)
    else:
        decoded = _decode_patches(header, header.model, segment, engine, threads)
    return [Frame(*shown) for shown in zip(decoded, segment.pts, segment.durations, strict=True)]


def _decode_patches(header: Header, model: C3Config, segment: Segment, engine: Engine, threads: int) -> list[Planes]:
    """Planes of a segment of the C3 model."""
    grid, layout = patch_grid(header), header.video.layout

    def decode(job: tuple[int, bytes, tuple[int, int, int]]) -> NDArray[np.uint16]:
        number, data, shape = job
        try:
            patch = decode_patch(data, model, layout.num_cell_channels, shape, engine.open_reader, engine.decode_grid)
        except CorruptSegmentError as error:
            message = f"segment {segment.number}, patch {number}: {error}"
            raise CorruptSegmentError(message, segment=segment.number) from error
        return engine.synthesise(patch.model, patch.symbols, shape, layout.max_value)

    num_frames = len(segment.pts)
    jobs = zip(range(len(grid)), segment.patches, grid.shapes(num_frames), strict=True)
    with ThreadPoolExecutor(threads) as executor:
        cells = grid.assemble(list(executor.map(decode, jobs)))
    cells = cells.astype(layout.dtype)
    frames = []
    for index in range(num_frames):
        frames.append(cells_to_planes(cells[:, index], header.video))
        segment.check_frame(index, frame_crc32(frames[-1]))
    return frames
