# SPDX-License-Identifier: MIT
"""A segment of the hybrid model: bytes -> networks, motion and subbands -> frames in coding order -> display order.

    picture        the first frame, where it is one of the pyramid model
    payload 0      networks and filters, then the motion of each frame --+
    payload 1..n   the subbands of each frame, a slice each -------------+--> frames 0, 8, 4, 2 ... --> 0, 1, 2, 3 ...

Each payload is read frame by frame, and a frame is reconstructed when its part of all of them and its references are
there. With several threads slices are read side by side, while the frames before are reconstructed. A picture comes
first, on all threads: contexts of the frames after it are made from its samples.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from c3video.engine import EngineName, choose_engine
from c3video.errors import CorruptSegmentError
from c3video.hybrid.coded_planes import CodedFormat, coded_format, from_coded, to_coded
from c3video.hybrid.compensation import BLOCK_SIZE, MotionField, block_shape
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.engine import ENGINES, HybridEngine
from c3video.hybrid.frame_order import CodedFrame, coding_order
from c3video.hybrid.key_picture import decode_key, key_symbols
from c3video.hybrid.loop_filter import plane_filters
from c3video.hybrid.payload import (
    MAX_GOP,
    FrameFilters,
    HybridBits,
    ParsedPayload,
    code_filters,
    code_steps,
    parse_payload,
    read_network,
)
from c3video.hybrid.subbands import (
    STEP_STEPS,
    FrameSymbols,
    cut_slice,
    filter_step,
    join_slices,
    plane_steps,
    quantisation_step,
    slice_layouts,
)
from c3video.pyramid.decode import picture_memory
from c3video.segment_model import SegmentFacts
from c3video.stream.layout import Header, Segment
from c3video.video import Planes, frame_hash

_STEPS_OF_8_BITS = 64
"""Steps are in units of 2^-14 of the full range; what is shown is in units of 2^-8."""

FRAMES_AHEAD = 4
"""Frames read before their turn: enough that no thread waits for a slow frame, few enough for the memory."""


@dataclass(frozen=True)
class OpenPayload:
    """A segment whose networks have been read and all else not yet.

    Args:
        coders: of each payload, as far as it has been read.
        weight_bits: that each network took.
        step_indexes: of the quantisation step of each frame, in coding order.
        step_bits: that they took.
        filters: of each frame, in coding order; none for a picture.
        filter_bits: that all of them took.
        motion: gives the field of each frame that has subbands, in coding order, when it is asked for.
        slices: each gives its part of each frame's subbands likewise.
    """

    parsed: ParsedPayload
    coders: tuple[Any, ...]
    weight_bits: dict[str, float]
    step_indexes: tuple[int, ...]
    step_bits: float
    filters: tuple[FrameFilters, ...]
    filter_bits: float
    motion: Iterator[MotionField | None]
    slices: tuple[Iterator[FrameSymbols], ...]


def open_payload(
    header: Header, segment: Segment, engine: HybridEngine, first: Callable[[], FrameSymbols]
) -> OpenPayload:
    """Take a segment apart as far as its networks.

    Args:
        first: gives the symbols of a first frame that is a picture, when the frame after it is read.

    Raises:
        CorruptSegmentError: the bytes are too few or out of range, or a network cannot be used.
    """
    model, video = header.model, header.video
    assert isinstance(model, HybridConfig)
    with _naming(f"segment {segment.number}", segment):
        parsed = parse_payload(segment.patches[0], len(segment.pts), model)
        coders = tuple(map(engine.open_reader, parsed.payloads))
        networks, weight_bits = {}, {}
        for name, code in parsed.codes.items():
            before = coders[0].bits_left
            networks[name] = read_network(coders[0], name, code)
            weight_bits[name] = before - coders[0].bits_left
        blocks = block_shape(video.plane_shapes[0], BLOCK_SIZE)
        layouts = slice_layouts(video.plane_shapes, video.layout.planes, model.num_slices)
        frames = parsed.frames[parsed.num_pictures :]
        before = coders[0].bits_left
        step_indexes = code_steps(coders[0], parsed.frames, parsed.first_steps, None)
        step_bits, before = before - coders[0].bits_left, coders[0].bits_left
        filters = code_filters(coders[0], frames, len(video.plane_shapes), None)
        filter_bits = before - coders[0].bits_left
        if not frames:
            for coder in coders:
                coder.finish()

        def first_of_slice(index: int) -> Callable[[], FrameSymbols] | None:
            return (lambda: cut_slice(first(), index, model.num_slices)) if parsed.num_pictures else None

        return OpenPayload(
            parsed,
            coders,
            weight_bits,
            step_indexes,
            step_bits,
            ((),) * parsed.num_pictures + tuple(filters),
            filter_bits,
            engine.read_motion(coders[0], networks["motion"], blocks, frames),
            tuple(
                engine.read_slice(coder, networks["subbands"], layout, frames, first_of_slice(index))
                for index, (coder, layout) in enumerate(zip(coders[1:], layouts, strict=True))
            ),
        )


def segment_format(header: Header, parsed: ParsedPayload) -> CodedFormat:
    """What the planes of a segment's frames are to the model."""
    return replace(coded_format(header.video), chroma_offset=parsed.chroma_offset)


def key_planes(header: Header, parsed: ParsedPayload, engine: HybridEngine, num_threads: int) -> Planes:
    """Planes of a first frame that is a picture. Raises CorruptSegmentError."""
    assert isinstance(header.model, HybridConfig)
    assert parsed.picture is not None
    return decode_key(parsed.picture, header.model, header.video, engine.pictures, num_threads)


@contextlib.contextmanager
def _naming(place: str, segment: Segment) -> Iterator[None]:
    """Damage that is found inside says where."""
    try:
        yield
    except CorruptSegmentError as error:
        raise CorruptSegmentError(f"{place}: {error}", segment=segment.number) from error


def account(header: Header, segment: Segment, engine: HybridEngine) -> tuple[OpenPayload, HybridBits]:
    """Where the bits of a segment went; reads all symbols and makes no samples. Raises CorruptSegmentError."""

    def first() -> FrameSymbols:
        parsed = opened.parsed
        with _naming(f"segment {segment.number}, frame 0", segment):
            planes = to_coded(key_planes(header, parsed, engine, 1), header.video.layout)
        return key_symbols(planes, segment_format(header, parsed), parsed.first_steps[0], engine.plane_symbols)

    opened = open_payload(header, segment, engine, first)
    motion, frames = 0.0, []
    if opened.parsed.picture is not None:
        frames.append(8.0 * len(opened.parsed.picture))
    for frame in opened.parsed.frames[opened.parsed.num_pictures :]:
        with _naming(f"segment {segment.number}, frame {frame.index}", segment):
            before = opened.coders[0].bits_left
            next(opened.motion)
            motion += before - opened.coders[0].bits_left
            before = sum(coder.bits_left for coder in opened.coders[1:])
            for reader in opened.slices:
                next(reader)
            frames.append(before - sum(coder.bits_left for coder in opened.coders[1:]))
    counted = sum(opened.weight_bits.values()) + opened.step_bits + opened.filter_bits + motion + sum(frames)
    depths = tuple(frame.depth for frame in opened.parsed.frames)
    overhead = 8.0 * len(segment.patches[0]) - counted
    bits = HybridBits(opened.weight_bits, opened.step_bits, opened.filter_bits, motion, tuple(frames), depths, overhead)
    return opened, bits


def describe_frames(header: Header, segment: Segment) -> SegmentFacts:
    """Bits by part of a segment, and what it says before its symbols. Raises CorruptSegmentError."""
    opened, bits = account(header, segment, ENGINES[choose_engine()])
    parsed = opened.parsed
    key = "subbands" if parsed.picture is None else "picture"
    by_level: dict[int, list[int]] = {}
    indexes = [0] * len(parsed.frames)
    for frame, index in zip(parsed.frames, opened.step_indexes, strict=True):
        indexes[frame.index] = index
        by_level.setdefault(frame.depth, []).append(index)
    shown = " ".join(
        "-".join(f"{quantisation_step(index) / _STEPS_OF_8_BITS:.4g}" for index in sorted({min(of), max(of)}))
        for _, of in sorted(by_level.items())
    )
    of_chroma = f", chroma {2.0 ** (-parsed.chroma_offset / STEP_STEPS):.0%}" if parsed.chroma_offset else ""
    return SegmentFacts(
        bits.by_part(),
        {
            "key": key,
            "gop": parsed.gop,
            "step_indexes": indexes,
            "steps": list(map(quantisation_step, indexes)),
            "chroma_offset": parsed.chroma_offset,
        },
        f"key {key}, gop {parsed.gop}, steps by level in 1/256 of the full range: {shown}{of_chroma}",
    )


def decode_frames(header: Header, segment: Segment, engine: HybridEngine, threads: int = 1) -> Iterator[Planes]:
    """Planes of a segment's frames in display order, each checked against its hash, as soon as they can be shown.

    With one thread nothing is done for a frame before it is asked for; several go on while the caller is busy, by at
    most FRAMES_AHEAD frames in coding order.

    Raises:
        CorruptSegmentError: a payload does not decode, or a frame differs from its hash. The frames that need nothing
            of what is damaged, and come before it in coding order, have come out by then, whatever the threads.
    """
    return FrameDecoder(header, segment, engine, threads).frames()


def most_frames_held(num_frames: int, gop: int) -> tuple[int, int]:
    """Most frames kept at one time while a segment is decoded: as references, and decoded but not yet shown."""
    frames = coding_order(num_frames, gop)
    last_use = {index: place for place, frame in enumerate(frames) for index in frame.references}
    references: set[int] = set()
    waiting: set[int] = set()
    most_references = most_waiting = shown = 0
    for place, frame in enumerate(frames):
        references.add(frame.index)
        waiting.add(frame.index)
        most_references, most_waiting = max(most_references, len(references)), max(most_waiting, len(waiting))
        references = {index for index in references if last_use.get(index, -1) > place}
        while shown in waiting:
            waiting.remove(shown)
            shown += 1
    return most_references, most_waiting


def frames_memory(header: Header, num_frames: int, engine: EngineName, threads: int) -> int:
    """Most bytes that decoding a segment takes, estimated on the high side: held frames, and frames in the making.

    The order of coding is not known before the payload is; the longest distance of anchors holds most.
    """
    video, model = header.video, header.model
    assert isinstance(model, HybridConfig)
    samples = sum(height * width for height, width in video.plane_shapes)
    # Subbands, the smallest of a sample too, have rows and columns of zeros around them, and bits in whole words.
    bordered = sum((height + 8) * (width + 40) for height, width in video.plane_shapes)
    references, waiting = most_frames_held(num_frames, min(MAX_GOP, num_frames))
    in_reading = 1 if threads == 1 else min(num_frames, FRAMES_AHEAD + 1)
    ahead = 0 if threads == 1 else min(num_frames - 1, FRAMES_AHEAD)
    in_decoding = min(num_frames, threads)
    symbols, features, making = _SAMPLE_BYTES[engine]
    held = 2 * (references + ahead) + video.layout.dtype.itemsize * (waiting + ahead + 1)
    predicting = samples * (held + symbols * (in_reading + 1) + making * in_decoding) + bordered * features * references
    # Of a key picture, which is made before anything else is.
    return max(predicting, picture_memory(model.key, video, engine, threads) + samples * (2 + symbols))


_SAMPLE_BYTES: dict[EngineName, tuple[int, int, int]] = {"native": (4, 3, 8), "numpy": (9, 8, 600)}
"""Bytes a sample: of a frame's symbols and motion; of what a later frame's contexts need of them; while a frame is read
and reconstructed (the oracle's arrays of features, of 64-bit coefficients and of a filter's inputs)."""


@dataclass(frozen=True)
class Step:
    """Something to do, and what to note when it is done.

    Args:
        place: in coding order, of the frame that it is for.
        num_threads: that are taken while it is done.
    """

    place: int
    work: Callable[[], Any]
    note: Callable[[Any], None]
    num_threads: int = 1


class FrameDecoder:
    """What has been read and decoded of one segment, and so what may be done next.

    A frame goes from left to right; between the bars stands where it is kept:

        | payloads | --reading, once a reader--> | _parts | --decoding--> | _decoded | --> handed out, in display order
              ^                                      ^              |
              |                                      |              +--> | _references | --> dropped after its last use
        at most FRAMES_AHEAD frames           complete: a part of
        before all that are decoded           every reader, and all
                                              its references there

    A first frame that is a picture is decoded before there is anything to read for.

    A reader goes through the frames in coding order, and is idle or reads one. The next frame to be shown says how far
    in coding order work may go on (_end). Threads go round and round until all before that is decoded:

        wait for a step (_next_step) --> work, without the lock --> note what came of it, under the lock

    So no thread waits for the caller, who may never ask again. Where a step fails, what comes before it in coding order
    is still decoded: which frames come out, and which error, does not depend on who was faster.
    """

    def __init__(self, header: Header, segment: Segment, engine: HybridEngine, threads: int) -> None:
        self._header, self._segment, self._engine = header, segment, engine
        opened = open_payload(header, segment, engine, self._symbols_of_picture)
        self._parsed, self._filters = opened.parsed, opened.filters
        self._coded = segment_format(header, opened.parsed)
        self._step_indexes, self._frames = opened.step_indexes, opened.parsed.frames
        self._places = {frame.index: place for place, frame in enumerate(self._frames)}
        # Motion takes so little that a step of its own would cost more: it comes with the first slice.
        self._readers: tuple[Iterator[Any], ...] = (
            zip(opened.motion, opened.slices[0], strict=True),
            *opened.slices[1:],
        )
        # Of frames, the one that is being read and a picture included.
        self._num_read = [self._parsed.num_pictures] * len(self._readers)
        self._idle = set(range(len(self._readers)))
        self._picture_is_due = self._parsed.picture is not None
        self._picture_symbols: FrameSymbols | None = None  # until all readers have taken them
        self._parts: dict[int, dict[int, Any]] = {}  # by place in coding order, what each reader gave
        self._uses = Counter(index for frame in self._frames for index in frame.references)
        self._references: dict[int, Planes] = {}  # by display index coded planes of 16 bits, while a frame needs them
        self._decoded: dict[int, Planes] = {}  # by display index, until it is handed out
        self._done: set[int] = set()  # places in coding order of all decoded frames
        self._num_first = 0  # so many first places are in it
        self._end = 0  # place in coding order before which there is something to do
        self._failure: tuple[int, Exception] | None = None  # the earliest: its place, which nothing goes past
        self._changed = threading.Condition()
        self._threads = self._num_free = threads  # the latter: without a step
        self._num_workers = 0  # threads that look for steps

    def frames(self) -> Iterator[Planes]:
        """All frames in display order."""
        opened: contextlib.AbstractContextManager[Executor | None]
        opened = ThreadPoolExecutor(self._threads) if self._threads > 1 else contextlib.nullcontext()
        with opened as pool:
            try:
                for index in range(len(self._frames)):
                    self._work_on(index, pool)
                    yield self._take(index)
            finally:
                with self._changed:  # let no thread take another step
                    self._end = 0
                    self._changed.notify_all()

    def _work_on(self, index: int, pool: Executor | None) -> None:
        """See to it that a frame becomes decoded: here, or by all threads of the pool."""
        with self._changed:
            ahead = FRAMES_AHEAD if pool is not None else 0
            self._end = max(self._end, min(len(self._frames), self._places[index] + 1 + ahead))
            num_new, self._num_workers = self._threads - self._num_workers, self._threads
            self._changed.notify_all()
        if pool is None:
            self._take_steps()
        else:
            for _ in range(num_new):
                pool.submit(self._take_steps)

    def _take(self, index: int) -> Planes:
        """A decoded frame, when it is there. Raises what went wrong before it."""
        with self._changed:
            while index not in self._decoded:
                # Steps of frames before the one that failed may still be on their way.
                if self._failure is not None and self._num_first >= self._failure[0]:
                    raise self._failure[1]
                self._changed.wait()
            return self._decoded.pop(index)

    def _take_steps(self) -> None:
        """What each thread does."""
        while (step := self._next_step()) is not None:
            try:
                result = step.work()
            except Exception as error:
                with self._changed:
                    if self._failure is None or step.place < self._failure[0]:
                        self._failure = step.place, error
                    self._num_free += step.num_threads
                    self._changed.notify_all()
                continue
            with self._changed:
                step.note(result)
                self._num_free += step.num_threads
                self._changed.notify_all()

    def _next_step(self) -> Step | None:
        """Wait for something to do; None when all is decoded that may be by now."""
        with self._changed:
            while self._num_first < self._bound():
                step = self._startable() if self._num_free else None
                if step is not None:
                    self._num_free -= step.num_threads
                    return step
                self._changed.wait()
            self._num_workers -= 1
            return None

    def _bound(self) -> int:
        """Place in coding order at which work ends for now."""
        return self._end if self._failure is None else min(self._end, self._failure[0])

    def _startable(self) -> Step | None:
        """A frame if one can be decoded, by all threads that have nothing else to do; or the reader that is behind."""
        if self._picture_is_due:
            self._picture_is_due = False
            return self._decoding_picture()
        if self._parsed.num_pictures > self._num_first:
            return None
        bound = self._bound()
        places = [place for place in self._parts if place < bound and self._is_complete(place)]
        end = min(bound, len(self._done) + FRAMES_AHEAD)
        readers = [index for index in sorted(self._idle) if self._num_read[index] < end]
        if places:
            return self._decoding(places[0], max(1, self._num_free // (len(places) + len(readers))))
        return self._reading(min(readers, key=self._num_read.__getitem__)) if readers else None

    def _is_complete(self, place: int) -> bool:
        has_references = all(index in self._references for index in self._frames[place].references)
        return has_references and len(self._parts[place]) == len(self._readers)

    def _decoding_picture(self) -> Step:
        """The first frame, by all threads."""
        num_threads, layout, frame = self._num_free, self._header.video.layout, self._frames[0]

        def work() -> tuple[Planes, Planes, FrameSymbols]:
            with self._naming(frame):
                planes = key_planes(self._header, self._parsed, self._engine, num_threads)
            self._check(frame, planes)
            samples = tuple(plane.astype(np.uint16, copy=False) for plane in to_coded(planes, layout))
            symbols = key_symbols(samples, self._coded, self._step_indexes[0], self._engine.plane_symbols)
            return samples, planes, symbols

        def note(result: tuple[Planes, Planes, FrameSymbols]) -> None:
            samples, planes, self._picture_symbols = result
            self._note_decoded(0, samples, planes)

        return Step(0, work, note, num_threads)

    def _symbols_of_picture(self) -> FrameSymbols:
        assert self._picture_symbols is not None
        return self._picture_symbols

    def _reading(self, index: int) -> Step:
        """The next frame of a reader."""
        place = self._num_read[index]
        self._num_read[index] += 1
        self._idle.remove(index)

        def work() -> Any:
            with self._naming(self._frames[place]):
                return next(self._readers[index])

        def note(part: Any) -> None:
            self._idle.add(index)
            self._parts.setdefault(place, {})[index] = part
            if place == 1 and len(self._parts[1]) == len(self._readers):
                self._picture_symbols = None

        return Step(place, work, note)

    def _decoding(self, place: int, num_threads: int) -> Step:
        """The samples of a frame that is complete."""
        frame, parts = self._frames[place], self._parts.pop(place)
        references = [self._references[index] for index in frame.references]
        layout = self._header.video.layout

        def work() -> tuple[Planes, Planes]:
            motion, first = parts[0]
            symbols = join_slices([first, *(parts[index] for index in range(1, len(parts)))])
            samples = self._reconstruct(place, references, motion, symbols, num_threads)
            planes = from_coded(samples, layout)
            self._check(frame, planes)
            return samples, planes

        return Step(place, work, lambda result: self._note_decoded(place, *result), num_threads)

    def _check(self, frame: CodedFrame, planes: Planes) -> None:
        """Raise CorruptSegmentError unless a frame is what the encoder saw."""
        self._segment.check_frame(frame.index, frame_hash(planes))

    def _note_decoded(self, place: int, samples: Planes, planes: Planes) -> None:
        """Keep a frame's coded planes while it is a reference, and those to be shown."""
        frame = self._frames[place]
        self._decoded[frame.index] = planes
        self._done.add(place)
        while self._num_first in self._done:
            self._num_first += 1
        if self._uses[frame.index]:
            self._references[frame.index] = samples
        for index in frame.references:
            self._uses[index] -= 1
            if not self._uses[index]:
                del self._references[index]

    def _reconstruct(
        self,
        place: int,
        references: Sequence[Planes],
        motion: MotionField | None,
        symbols: FrameSymbols,
        num_threads: int,
    ) -> Planes:
        coded, step_index, engine = self._coded, self._step_indexes[place], self._engine
        planes = []
        for plane, shifts in enumerate(coded.shifts):
            found = engine.reconstruct_plane(
                [reference[plane] for reference in references],
                motion,
                BLOCK_SIZE,
                shifts,
                coded.bit_depth,
                symbols[plane],
                plane_steps(coded, step_index, plane),
                num_threads,
            )
            number = self._filters[place][plane]
            if number:
                network = plane_filters(plane)[number - 1]
                step = filter_step(coded, step_index, plane)
                found = engine.filter_plane(found, step, coded.bit_depth, network, num_threads)
            planes.append(found)
        return tuple(planes)

    def _naming(self, frame: CodedFrame) -> contextlib.AbstractContextManager[None]:
        return _naming(f"segment {self._segment.number}, frame {frame.index}", self._segment)
