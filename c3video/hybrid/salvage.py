# SPDX-License-Identifier: MIT
"""What can be had of a damaged segment of the hybrid model: frames as they were, and frames by their motion alone.

    slices -- which of them are used up exactly at their end? --> whole ones, broken ones
    frames, in coding order, as they are, until one differs from its hash
                             then without the subbands of broken slices: moved from the frames that they refer to

So one broken slice of several leaves the others of a frame as sharp as their references are, and a frame of one slice
is predicted by the motion that was sent for it. Where motion itself is broken, or the frame that a segment begins with,
what comes after it in coding order is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from c3video.errors import CorruptSegmentError
from c3video.hybrid.coded_planes import to_coded
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.decode import FrameDecoder, Step, key_planes, open_payload, segment_format
from c3video.hybrid.engine import HybridEngine
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.key_picture import key_symbols
from c3video.hybrid.subbands import FrameSymbols, SliceLayout, slice_layouts
from c3video.segment_model import Salvaged
from c3video.stream.layout import Header, Segment
from c3video.video import Planes, frame_hash


def salvage_frames(header: Header, segment: Segment, engine: HybridEngine) -> Iterator[Salvaged | None]:
    """What there is of each frame in display order; None for one that is lost.

    Raises:
        CorruptSegmentError: nothing of it can be had.
    """
    return _Salvage(header, segment, engine).salvaged()


class _Salvage(FrameDecoder):
    """Decodes on where a frame is not what it should be, in a single thread."""

    def __init__(self, header: Header, segment: Segment, engine: HybridEngine) -> None:
        super().__init__(header, segment, engine, 1)
        self._broken, self._motion_is_whole = _broken_parts(header, segment, engine)
        self._is_adrift = False
        self._exact: set[int] = set()  # by display index
        model, video = header.model, header.video
        assert isinstance(model, HybridConfig)
        self._layouts = slice_layouts(video.plane_shapes, video.layout.planes, model.num_slices)
        opened = open_payload(header, segment, engine, self._symbols_of_picture)
        slices = [_without_end(slice, layout) for slice, layout in zip(opened.slices, self._layouts, strict=True)]
        self._readers = (zip(opened.motion, slices[0], strict=False), *slices[1:])

    def salvaged(self) -> Iterator[Salvaged | None]:
        for index in range(len(self._frames)):
            self._work_on(index, None)
            try:
                planes = self._take(index)
            except (CorruptSegmentError, StopIteration):
                yield None
            else:
                yield Salvaged(planes, index in self._exact)

    def _decoding(self, place: int, num_threads: int) -> Step:
        parts = self._parts[place]
        step = super()._decoding(place, num_threads)

        def work() -> Any:
            if not self._is_adrift:
                try:
                    return step.work()
                except CorruptSegmentError:
                    # A first frame has nothing that it could be predicted from.
                    if not self._broken or not self._motion_is_whole or not self._frames[place].references:
                        raise
                    self._is_adrift = True
            for index in self._broken:
                empty = self._layouts[index].empty()
                parts[index] = (parts[0][0], empty) if index == 0 else empty
            return step.work()

        return Step(place, work, step.note, step.num_threads)

    def _check(self, frame: CodedFrame, planes: Planes) -> None:
        if not self._is_adrift:
            super()._check(frame, planes)
        if frame_hash(planes) == self._segment.frame_hashes[frame.index]:
            self._exact.add(frame.index)


def _broken_parts(header: Header, segment: Segment, engine: HybridEngine) -> tuple[frozenset[int], bool]:
    """(broken slices, whether motion is whole), as their ends tell.

    Raises:
        CorruptSegmentError: nothing can be read.
    """
    video = header.video

    def first() -> FrameSymbols:
        planes = to_coded(key_planes(header, opened.parsed, engine, 1), video.layout)
        coded = segment_format(header, opened.parsed)
        return key_symbols(planes, coded, opened.parsed.first_steps[0], engine.plane_symbols)

    opened = open_payload(header, segment, engine, first)
    broken = {index for index, slice in enumerate(opened.slices) if not _ends_well(slice)}
    return frozenset(broken), _ends_well(opened.motion)


def _ends_well(reader: Iterator[Any]) -> bool:
    try:
        for _ in reader:
            pass
    except CorruptSegmentError:
        return False
    return True


def _without_end(slice: Iterator[FrameSymbols], layout: SliceLayout) -> Iterator[FrameSymbols]:
    """A slice, and nothing of each frame from where it cannot be read on."""
    try:
        yield from slice
    except CorruptSegmentError:
        while True:
            yield layout.empty()
