# SPDX-License-Identifier: MIT
"""The decoding story: stream -> segments -> frames. What is between the last two is the model's (models.py).

    with c3video.open("clip.c3v") as clip:
        for frame in clip:
            show(frame.planes, frame.pts)
        print(len(clip), clip[100].pts, clip.frame_at(2.5).pts)

Needs neither torch nor PyAV. Frames come out as soon as they can be shown; memory holds a segment's bytes and as many
frames as its coding order needs (of the C3 model all of a segment), whatever the length of the clip. What a stream may
ask for is limited before it is granted (limits.py).
"""

from __future__ import annotations

import logging
import operator
import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast, overload

import numpy as np
from numpy.typing import NDArray

from c3video.concealment import MOST_IN_A_ROW, Concealed, LostFrame, fill, lost_of_segment
from c3video.engine import EngineName, choose_engine
from c3video.errors import ConfigError, CorruptSegmentError, LimitError, StreamError
from c3video.limits import DEFAULT_MAX_MEMORY, DEFAULT_MAX_PIXELS, DecodeLimits
from c3video.media.selection import NumberedFrame, Selection
from c3video.models import DECODERS
from c3video.segment_model import SegmentFacts
from c3video.stream.following import FollowedFile
from c3video.stream.layout import MAX_PAYLOAD_BYTES, Header, Segment
from c3video.stream.reader import FrameMap, LostSegment, Reader
from c3video.video import Frame, VideoFormat

_log = logging.getLogger(__name__)


def open(
    path: str | os.PathLike[str],
    *,
    threads: int = 1,
    conceal: bool = False,
    engine: str | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    max_frames: int | None = None,
    max_memory: int | None = DEFAULT_MAX_MEMORY,
    follow: bool = False,
) -> Decoder:
    """Open a .c3v file, or standard input for "-". Close it, or use it as a context manager.

    Args: as of `Decoder`, and
        follow: wait for what `c3v encode --live` still writes to the file; it is read as a pipe then.

    Raises:
        StreamError: not a .c3v stream that this version can read, or one that asks for too much (see errors.py).
        ConfigError: a limit below 1, or an unknown engine.
        OSError: the file cannot be opened.
    """
    file = cast(BinaryIO, FollowedFile(path)) if follow and str(path) != "-" else _opened(path)
    try:
        return Decoder(
            file,
            threads=threads,
            conceal=conceal,
            engine=engine,
            max_pixels=max_pixels,
            max_frames=max_frames,
            max_memory=max_memory,
        )
    except BaseException:
        file.close()
        raise


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    return sys.stdin.buffer if str(path) == "-" else Path(path).open("rb")


class Decoder:
    """Frames of a .c3v stream, in order; each segment is decoded when its first frame is asked for.

    Of a file any number of iterations may go on side by side; of a pipe the newest one does.

    Args:
        file: binary file or pipe at the start of a stream.
        threads: patches decoded at the same time, or slices and frames; the pixels do not depend on it.
        conceal: go on after damage, and `lost` tells what it was. In `frames` and in iterations lost frames are filled
            in from those beside them; where frames have numbers or times they are missing.
        engine: "native" or "numpy" (engine.py); None for the fastest there is. The pixels do not depend on it.
        max_pixels, max_frames, max_memory: see `limits.DecodeLimits`. Fewer threads are used where that brings a
            segment below max_memory.

    Raises:
        LimitError: already the header asks for more.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        threads: int = 1,
        conceal: bool = False,
        engine: str | None = None,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        max_frames: int | None = None,
        max_memory: int | None = DEFAULT_MAX_MEMORY,
    ) -> None:
        self._file, self._threads, self._conceal = file, threads, conceal
        self._engine = choose_engine(engine)
        self._limits = DecodeLimits(max_pixels, max_frames, max_memory)
        # A record is in memory twice for a moment, as it is read and as the segment's patches.
        most = MAX_PAYLOAD_BYTES if max_memory is None else min(MAX_PAYLOAD_BYTES, max_memory // 2)
        self._reader = Reader(file, max_record_bytes=most)
        self._limits.check_pixels(self.format.width, self.format.height)
        self._limits.check_memory(self._memory(1, 1), "header: a frame")
        self._frames_gone_by = 0  # of a pipe
        self._first_pts: int | None = None  # likewise
        self._going_on: tuple[int, Iterator[NumberedFrame]] | None = None  # where the last `clip[index]` was
        self.lost: list[StreamError] = []
        self.concealed: list[Concealed] = []

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

        Where damage is concealed lost frames are filled in (concealment.py), and `concealed` tells which.

        Raises:
            StreamError: damage, or a limit; all good frames before it have come out by then.
            ConfigError: there are no such segments, or they have gone by in a pipe.
        """
        if self._conceal:
            before = (entry.num_frames for entry in self._reader.entries()[:first])
            yield from self._filled(first, last, sum(before))
            return
        for segment in self.coded_segments(first, last):
            yield from self._decoded(segment)

    def segments(self, first: int = 0, last: int | None = None) -> Iterator[list[Frame]]:
        """The same, the frames of a segment at once: where damage is concealed those before it, if any."""
        for segment in self.coded_segments(first, last):
            if frames := list(self._decoded(segment)):
                yield frames

    def coded_segments(self, first: int = 0, last: int | None = None) -> Iterator[Segment]:
        """The same segments as they are in the stream, not decoded, each held against the limits."""
        for segment in self._coded_or_lost(first, last):
            if isinstance(segment, Segment):
                yield segment

    def _coded_or_lost(self, first: int, last: int | None) -> Iterator[Segment | LostSegment]:
        num_frames = 0
        for segment in self._reader.segments(first, last, conceal=self._conceal):
            if isinstance(segment, LostSegment):
                self.lost.append(segment.reason)
                yield segment
                continue
            num_frames += len(segment.pts)
            self._limits.check_frames(num_frames)
            self._threads_for(segment)
            if not self._reader.seekable:
                self._frames_gone_by += len(segment.pts)
                self._first_pts = segment.pts[0] if self._first_pts is None else self._first_pts
            yield segment

    def _filled(self, first: int, last: int | None = None, number: int = 0) -> Iterator[Frame]:
        """Frames, those that are lost filled in; these wait for the next good one.

        Args:
            number: of the first frame, from which `concealed` counts.
        """
        before: Frame | None = None
        waiting: list[LostFrame] = []
        lost: list[LostSegment] = []

        def wait_for(next_pts: int | None) -> None:
            for gap in lost:
                # An index of a few bytes may say that millions are lost.
                room = max(0, MOST_IN_A_ROW - len(waiting))
                waiting.extend(islice(self._lost_frames(gap, before, next_pts), room))
            lost.clear()

        def filled_up(after: Frame | None) -> Iterator[Frame]:
            nonlocal number
            for one, frame in fill(waiting, before, after, self.format.layout) if waiting else ():
                self._limits.check_frames(number + 1)
                self.concealed.append(Concealed(number, frame.pts, one.segment, one.reason))
                number += 1
                yield frame
            waiting.clear()

        for item in self._coded_or_lost(first, last):
            if isinstance(item, LostSegment):
                if item.salvaged is None or not (item.is_only or self._is_plausible(item.salvaged, before)):
                    lost.append(item)
                    continue
                segment, reason, behind = item.salvaged, item.reason, item.behind_salvaged()
            else:
                segment, reason, behind = item, None, None
            wait_for(segment.pts[0])
            for index, (frame, is_exact) in enumerate(self._salvaged(segment)):
                if frame is None:
                    why = reason or (self.lost[-1] if self.lost else StreamError("its frames did not come"))
                    waiting.append(LostFrame(segment.pts[index], segment.durations[index], segment.number, why))
                    continue
                yield from filled_up(frame)
                self._limits.check_frames(number + 1)
                if not is_exact:
                    self.concealed.append(Concealed(number, frame.pts, segment.number, reason or self.lost[-1]))
                yield frame
                before, number = frame, number + 1
            lost += [] if behind is None else [behind]
        wait_for(None)
        yield from filled_up(None)

    def _salvaged(self, segment: Segment) -> Iterator[tuple[Frame | None, bool]]:
        """All frames of a segment, None for those that are lost, and whether each is what the encoder saw."""
        number, num_frames = 0, len(segment.pts)
        for frame in self._decoded(segment):
            yield frame, True
            number += 1
        salvage = DECODERS[self.header.model.KIND].salvage
        if number < num_frames and salvage is not None:
            try:
                with _memory_errors(segment):
                    for index, found in enumerate(salvage(self.header, segment, self._engine)):
                        if index >= number:
                            times = segment.pts[index], segment.durations[index]
                            yield (None, False) if found is None else (Frame(found.planes, *times), found.is_exact)
                            number += 1
            except CorruptSegmentError:
                pass  # as `_decoded` has said already
        for _ in range(number, num_frames):
            yield None, False

    def _is_plausible(self, salvaged: Segment, before: Frame | None) -> bool:
        """Whether a segment with a wrong crc32 stands where it says."""
        entries = self._reader.entries()
        if salvaged.number < len(entries):
            entry = entries[salvaged.number]
            return (entry.first_pts, entry.num_frames) == (salvaged.pts[0], len(salvaged.pts))
        return before is not None and salvaged.pts[0] == before.pts + max(1, before.duration)

    def _lost_frames(self, gap: LostSegment, before: Frame | None, next_pts: int | None) -> Iterator[LostFrame]:
        """When the frames of lost segments were to be shown: as the index says, or as the gap in time does."""
        entries = self._reader.entries()
        end = gap.number + gap.num_segments if gap.num_segments is not None else len(entries)
        usual = before.duration if before is not None and before.duration else self._usual_duration()
        if entries:
            for number in range(gap.number, min(end, len(entries))):
                entry = entries[number]
                following = next_pts if number + 1 == end else None
                if following is None and number + 1 < len(entries):
                    following = entries[number + 1].first_pts
                if following is None:
                    following = entry.first_pts + usual * entry.num_frames
                yield from lost_of_segment(number, entry.first_pts, following, entry.num_frames, gap.reason)
        elif before is not None and next_pts is not None and end > gap.number:
            begin = before.pts + usual
            most = min((end - gap.number) * self.header.segment_frames, MOST_IN_A_ROW)
            num_frames = min(round((next_pts - begin) / usual), most)
            if num_frames > 0:
                yield from lost_of_segment(gap.number, begin, next_pts, num_frames, gap.reason)

    def _usual_duration(self) -> int:
        rate = self.format.frame_rate
        return max(1, round(1 / (rate * self.format.time_base))) if rate else 1

    def select(self, selection: Selection, name: str = "the stream") -> Iterator[Frame]:
        """Frames by number or time; segments before the first of them are not decoded.

        Of a pipe too, whose frames have the numbers and times that they would have in a file.

        Args:
            name: of the stream, in messages.

        Raises:
            ConfigError: there are no such frames, or they have gone by in a pipe.
            StreamError: damage, as from `frames`, also of the index where the run does not begin with the stream.
        """
        numbered = self._numbered_filled(selection) if self._conceal else self._numbered(selection)
        for _, frame in selection.of(numbered, self.format, name, _say_missing(name)):
            yield frame

    def _numbered(self, selection: Selection) -> Iterator[NumberedFrame]:
        """Frames of all segments but those that end before the selection begins or begin when it has ended."""
        time_base = self.format.time_base
        segment_number, number, frames = self._reader.next_number, self._frames_gone_by, None
        if selection.first < number and not selection.by_time:
            raise ConfigError(f"frame {selection.first} has gone by; a pipe can be read only once")
        zero = 0 if selection.on_screen else self._first_pts
        if self._reader.seekable and (selection.first or selection.start is not None):
            frames = self._reader.frame_map(conceal=self._conceal)
            if not frames.numbers:
                return
            zero = frames.first_pts[0] if zero is None else zero
            segment_number = frames.numbers[self._place_before(selection, frames, zero)]
        for segment in self.coded_segments(segment_number):
            zero = segment.pts[0] if zero is None else zero
            if frames is not None:
                number = frames.starts[bisect_left(frames.numbers, segment.number)]
            if selection.end is not None and (segment.pts[0] - zero) * time_base >= selection.end:
                return
            end, last_pts = number + len(segment.pts), segment.pts[-1]
            shown_until = (last_pts + max(1, segment.durations[-1]) - zero) * time_base
            if not selection.is_before(end - 1, (last_pts - zero) * time_base, shown_until):
                for index, frame in enumerate(self._decoded(segment), number):
                    yield index, (frame.pts - zero) * time_base, frame
            number = end

    def _place_before(self, selection: Selection, frames: FrameMap, zero: int) -> int:
        """Of the last segment that no frame of the selection comes before."""
        place = 0
        # The last frame of a segment may be as late as the first of the next one.
        while place + 1 < len(frames.numbers) and selection.is_before(
            frames.starts[place + 1], (frames.first_pts[place + 1] - zero) * self.format.time_base
        ):
            place += 1
        return place

    def _numbered_filled(self, selection: Selection) -> Iterator[NumberedFrame]:
        """The same with lost frames filled in, numbered as all frames are where none is left out.

        Where the stream has its index this begins with a good segment, from which what follows can be filled in;
        without it numbers and times are known from the first frame on.
        """
        segment_number, number = self._reader.next_number, self._frames_gone_by
        zero = 0 if selection.on_screen else self._first_pts
        entries = self._reader.entries()
        if entries:
            frames = FrameMap.of_index(entries)
            zero = frames.first_pts[0] if zero is None else zero
            segment_number = self._place_before(selection, frames, zero)
            while segment_number and not self._reader.is_good(segment_number):
                segment_number -= 1
            number = frames.starts[segment_number]
        for index, frame in enumerate(self._filled(segment_number, number=number), number):
            zero = frame.pts if zero is None else zero
            yield index, (frame.pts - zero) * self.format.time_base, frame

    def __len__(self) -> int:
        """Frames that the stream says it has.

        Raises:
            NotSeekableError: of a pipe (a TypeError too).
            StreamError: the index is missing, damaged or wrong; where damage is concealed the frames of good segments
                are counted instead.
        """
        return self._reader.frame_map(conceal=self._conceal).num_frames

    @overload
    def __getitem__(self, index: int) -> Frame: ...

    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...

    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        """A frame by its number, from 0 or from the end (-1), or a list of them. Rising numbers are the cheapest.

        Raises:
            IndexError: there is no such frame.
            NotSeekableError, StreamError: as of `len`, and of what is damaged; where damage is concealed, of what
                cannot be filled in, and of all that is lost if the index is lost too.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        frames, number = self._reader.frame_map(conceal=self._conceal), operator.index(index)
        number += frames.num_frames if number < 0 else 0
        if not 0 <= number < frames.num_frames:
            raise IndexError(f"frame {index}: the stream has {frames.num_frames} frames, counted from 0")
        after, numbered = self._going_on or (number + 1, iter(()))
        if after > number or frames.place_of_frame(after) != frames.place_of_frame(number):
            is_filled = self._conceal and self._reader.entries()
            wanted = Selection(first=number)
            numbered = self._numbered_filled(wanted) if is_filled else self._numbered(wanted)
        self._going_on = None
        num_lost = len(self.lost)
        for found, _, frame in numbered:
            if found == number:
                self._going_on = (number + 1, numbered) if number + 1 < frames.num_frames else None
                return frame
            if found > number:
                break
        raise self.lost[-1] if len(self.lost) > num_lost else StreamError(f"frame {number} is lost")

    def frame_range(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """The frames with the numbers first .. last - 1 (None: to the end); raises as `select`."""
        yield from self.select(Selection.of_options((first, last), None, None))

    def time_range(self, start: float | Fraction | None = None, end: float | Fraction | None = None) -> Iterator[Frame]:
        """The frames that are on screen from `start` until before `end`, in seconds of the stream's own time stamps.

        A frame's time is pts * time_base; the first frame's need not be 0. None: from the beginning, to the end. Raises
        as `select`.
        """
        times = (None if time is None else _seconds(time) for time in (start, end))
        yield from self.select(Selection.of_times(*times))

    def frame_at(self, seconds: float | Fraction) -> Frame:
        """The frame that is on screen at a time; raises as `time_range`."""
        return next(self.time_range(seconds))

    def av_frames(self, first: int = 0, last: int | None = None) -> Iterator[Any]:
        """The frames of segments as `av.VideoFrame`; see `frames` and `to_av`."""
        for frame in self.frames(first, last):
            yield self.to_av(frame)

    def to_av(self, frame: Frame) -> Any:
        """A frame as `av.VideoFrame`, with time stamps and colour description (needs PyAV)."""
        from c3video.media.avframe import to_av_frame

        return to_av_frame(frame, self.format)

    def to_rgb(self, frame: Frame) -> NDArray[Any]:
        """A frame as (H, W, 3) R, G, B of the bit depth of its planes, by the stream's matrix and range (needs PyAV).

        Raises:
            SourceError: swscale does not know the matrix.
        """
        from c3video.media.source import RgbConverter

        layout = self.format.layout
        if layout.is_gray:
            return np.stack(3 * (frame.planes[0],), axis=-1)
        planes = frame.planes if layout.is_rgb else RgbConverter(self.format)(frame).planes
        green, blue, red = planes
        return np.stack((red, green, blue), axis=-1)

    def _decoded(self, segment: Segment) -> Iterator[Frame]:
        """Frames of a segment; those before damage where it is concealed."""
        try:
            with _memory_errors(segment):
                yield from decode_segment(self.header, segment, self._engine, self._threads_for(segment))
        except StreamError as error:
            if not self._conceal or isinstance(error, LimitError):
                raise
            self.lost.append(error)

    def _threads_for(self, segment: Segment) -> int:
        """As many threads as memory allows. Raises LimitError where it is not enough for one."""
        threads, num_frames, coded = self._threads, len(segment.pts), 2 * sum(map(len, segment.patches))
        while threads > 1 and not self._limits.allows_memory(coded + self._memory(num_frames, threads)):
            threads //= 2
        needed = coded + self._memory(num_frames, threads)
        self._limits.check_memory(needed, f"segment {segment.number} of {num_frames} frames", segment.number)
        return threads

    def _memory(self, num_frames: int, threads: int) -> int:
        return DECODERS[self.header.model.KIND].memory_bytes(self.header, num_frames, self._engine, threads)


@contextmanager
def _memory_errors(segment: Segment) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise LimitError(
            f"segment {segment.number}: there was not enough memory to decode it; "
            "a lower max_memory (--max-memory) refuses such streams before",
            segment=segment.number,
        ) from error


def _seconds(value: float | Fraction) -> Fraction:
    """0.1 as a tenth, and not as the nearest float, which may lie after a frame that is shown then."""
    return Fraction(str(value))


def _say_missing(name: str) -> Callable[[str], None]:
    return lambda what: _log.warning("%s: %s", name, what)


def decode_segment(header: Header, segment: Segment, engine: EngineName = "numpy", threads: int = 1) -> Iterator[Frame]:
    """Frames of one segment, each as soon as it can be shown; needs nothing but the header and the segment.

    Raises:
        CorruptSegmentError: its bytes do not decode, or a frame differs from its hash.
    """
    decoded = DECODERS[header.model.KIND].decode(header, segment, engine, threads)
    for planes, pts, duration in zip(decoded, segment.pts, segment.durations, strict=True):
        yield Frame(planes, pts, duration)


def describe_segment(header: Header, segment: Segment) -> SegmentFacts:
    """Where the bits of a segment went, and what it says before its symbols. Raises CorruptSegmentError."""
    return DECODERS[header.model.KIND].describe(header, segment)
