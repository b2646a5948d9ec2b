# SPDX-License-Identifier: MIT
"""A segment of the hybrid model: bytes -> networks, motion and subbands -> frames in coding order -> display order.

    payload 0      networks, then the motion field of each frame --+
    payload 1..n   the subbands of each frame, a slice each -------+--> frames 0, 8, 4, 2 ... --> 0, 1, 2, 3 ...

Each payload is read frame by frame, and a frame is reconstructed when its part of all of them and its references are
there. With several threads slices are read side by side, while the frames before are reconstructed.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from c3video.engine import choose_engine
from c3video.errors import CorruptSegmentError
from c3video.hybrid.coded_planes import coded_format, from_coded
from c3video.hybrid.compensation import MotionField, block_shape
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.engine import ENGINES, HybridEngine
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.payload import HybridBits, ParsedPayload, parse_payload, read_network
from c3video.hybrid.subbands import (
    FrameSymbols,
    join_slices,
    plane_levels,
    quantisation_step,
    slice_layouts,
    subband_steps,
)
from c3video.segment_model import SegmentFacts
from c3video.stream.layout import Header, Segment
from c3video.video import Planes, frame_crc32

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
        motion: gives the field of each frame, in coding order, when it is asked for.
        slices: each gives its part of each frame's subbands likewise.
    """

    parsed: ParsedPayload
    coders: tuple[Any, ...]
    weight_bits: dict[str, float]
    motion: Iterator[MotionField | None]
    slices: tuple[Iterator[FrameSymbols], ...]


def open_payload(header: Header, segment: Segment, engine: HybridEngine) -> OpenPayload:
    """Take a segment apart as far as its networks. Raises CorruptSegmentError."""
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
        blocks = block_shape(video.plane_shapes[0], model.block_size)
        layouts = slice_layouts(video.plane_shapes, video.layout.planes, model.num_slices)
        return OpenPayload(
            parsed,
            coders,
            weight_bits,
            engine.read_motion(coders[0], networks["motion"], blocks, parsed.frames),
            tuple(
                engine.read_slice(coder, networks["subbands"], layout, parsed.frames)
                for coder, layout in zip(coders[1:], layouts, strict=True)
            ),
        )


@contextlib.contextmanager
def _naming(place: str, segment: Segment) -> Iterator[None]:
    """Damage that is found inside says where."""
    try:
        yield
    except CorruptSegmentError as error:
        raise CorruptSegmentError(f"{place}: {error}", segment=segment.number) from error


def account(header: Header, segment: Segment, engine: HybridEngine) -> tuple[ParsedPayload, HybridBits]:
    """Where the bits of a segment went; reads all symbols and makes no samples. Raises CorruptSegmentError."""
    opened = open_payload(header, segment, engine)
    motion, frames = 0.0, []
    for frame in opened.parsed.frames:
        with _naming(f"segment {segment.number}, frame {frame.index}", segment):
            before = opened.coders[0].bits_left
            next(opened.motion)
            motion += before - opened.coders[0].bits_left
            before = sum(coder.bits_left for coder in opened.coders[1:])
            for reader in opened.slices:
                next(reader)
            frames.append(before - sum(coder.bits_left for coder in opened.coders[1:]))
    counted = sum(opened.weight_bits.values()) + motion + sum(frames)
    depths = tuple(frame.depth for frame in opened.parsed.frames)
    overhead = 8.0 * len(segment.patches[0]) - counted
    return opened.parsed, HybridBits(opened.weight_bits, motion, tuple(frames), depths, overhead)


def describe_frames(header: Header, segment: Segment) -> SegmentFacts:
    """Bits by part of a segment, and what it says before its symbols. Raises CorruptSegmentError."""
    parsed, bits = account(header, segment, ENGINES[choose_engine()])
    steps = tuple(map(quantisation_step, parsed.step_indexes))
    shown = " ".join(f"{step / _STEPS_OF_8_BITS:.4g}" for step in steps)
    return SegmentFacts(
        bits.by_part(),
        {"gop": parsed.gop, "step_indexes": parsed.step_indexes, "steps": steps},
        f"gop {parsed.gop}, steps by level in 1/256 of the full range: {shown}",
    )


def decode_frames(header: Header, segment: Segment, engine: HybridEngine, threads: int = 1) -> list[Planes]:
    """Planes of a segment's frames in display order, each of them checked against its hash.

    Raises:
        CorruptSegmentError: a payload does not decode, or a frame differs from its hash.
    """
    return _FrameDecoder(header, segment, engine).run(threads)


@dataclass(frozen=True)
class _Step:
    """Something to do, and what to note when it is done.

    Args:
        num_threads: that are taken while it is done.
    """

    work: Callable[[], Any]
    note: Callable[[Any], None]
    num_threads: int = 1


class _FrameDecoder:
    """What has been read and decoded of one segment, and so what may be done next.

    A frame goes from left to right; between the bars stands where it is kept:

        | payloads | --reading, once a reader--> | _parts | --decoding--> | _decoded | ----> returned
              ^                                      ^              |
              |                                      |              +--> | _references | --> dropped after its last use
        at most FRAMES_AHEAD frames           complete: a part of
        before all that are decoded           every reader, and all
                                              its references there

    A reader goes through the frames in coding order, and is idle or reads one. Threads go round and round:

        wait for a step (_next_step) --> work, without the lock --> note the result, under the lock
                 |
                 +--> end: all frames are decoded, or a thread has failed
    """

    def __init__(self, header: Header, segment: Segment, engine: HybridEngine) -> None:
        self._header, self._segment, self._engine = header, segment, engine
        self._coded = coded_format(header.video)
        opened = open_payload(header, segment, engine)
        self._step_indexes, self._frames = opened.parsed.step_indexes, opened.parsed.frames
        # Motion takes so little that a step of its own would cost more: it comes with the first slice.
        self._readers: tuple[Iterator[Any], ...] = (
            zip(opened.motion, opened.slices[0], strict=True),
            *opened.slices[1:],
        )
        self._num_read = [0] * len(self._readers)  # of frames, the one that is being read included
        self._idle = set(range(len(self._readers)))
        self._parts: dict[int, dict[int, Any]] = {}  # by place in coding order, what each reader gave
        self._uses = Counter(index for frame in self._frames for index in frame.references)
        self._references: dict[int, Planes] = {}  # by display index coded planes of 16 bits, while a frame needs them
        self._decoded: dict[int, Planes] = {}  # by display index
        self._changed = threading.Condition()
        self._num_free = 0  # threads without a step
        self._stopped = False

    def run(self, threads: int) -> list[Planes]:
        """All frames, by so many threads."""
        self._num_free = threads
        if threads == 1:
            self._take_steps()
        else:
            with ThreadPoolExecutor(threads) as pool:
                workers = [pool.submit(self._take_steps) for _ in range(threads)]
                try:
                    for worker in workers:
                        worker.result()
                finally:
                    self._stop()
        return [self._decoded[index] for index in range(len(self._frames))]

    def _take_steps(self) -> None:
        """What each thread does."""
        try:
            while (step := self._next_step()) is not None:
                result = step.work()
                with self._changed:
                    step.note(result)
                    self._num_free += step.num_threads
                    self._changed.notify_all()
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        """Let no thread take another step."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _next_step(self) -> _Step | None:
        """Wait for something to do; None when there is no more."""
        with self._changed:
            while not self._stopped and len(self._decoded) < len(self._frames):
                step = self._startable() if self._num_free else None
                if step is not None:
                    self._num_free -= step.num_threads
                    return step
                self._changed.wait()
            return None

    def _startable(self) -> _Step | None:
        """A frame if one can be decoded, by all threads that have nothing else to do; or the reader that is behind."""
        places = [place for place in self._parts if self._is_complete(place)]
        end = min(len(self._frames), len(self._decoded) + FRAMES_AHEAD)
        readers = [index for index in sorted(self._idle) if self._num_read[index] < end]
        if places:
            return self._decoding(places[0], max(1, self._num_free // (len(places) + len(readers))))
        return self._reading(min(readers, key=self._num_read.__getitem__)) if readers else None

    def _is_complete(self, place: int) -> bool:
        has_references = all(index in self._references for index in self._frames[place].references)
        return has_references and len(self._parts[place]) == len(self._readers)

    def _reading(self, index: int) -> _Step:
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

        return _Step(work, note)

    def _decoding(self, place: int, num_threads: int) -> _Step:
        """The samples of a frame that is complete."""
        frame, parts = self._frames[place], self._parts.pop(place)
        references = [self._references[index] for index in frame.references]
        layout = self._header.video.layout

        def work() -> tuple[Planes, Planes]:
            motion, first = parts[0]
            symbols = join_slices([first, *(parts[index] for index in range(1, len(parts)))])
            samples = self._reconstruct(frame, references, motion, symbols, num_threads)
            planes = from_coded(samples, layout)
            self._segment.check_frame(frame.index, frame_crc32(planes))
            return samples, planes

        def note(result: tuple[Planes, Planes]) -> None:
            samples, self._decoded[frame.index] = result
            if self._uses[frame.index]:
                self._references[frame.index] = samples
            for index in frame.references:
                self._uses[index] -= 1
                if not self._uses[index]:
                    del self._references[index]

        return _Step(work, note, num_threads)

    def _reconstruct(
        self,
        frame: CodedFrame,
        references: Sequence[Planes],
        motion: MotionField | None,
        symbols: FrameSymbols,
        num_threads: int,
    ) -> Planes:
        coded, model = self._coded, self._header.model
        assert isinstance(model, HybridConfig)
        return tuple(
            self._engine.reconstruct_plane(
                [reference[plane] for reference in references],
                motion,
                model.block_size,
                shifts,
                coded.bit_depth,
                symbols[plane],
                subband_steps(self._step_indexes[frame.depth], plane_levels(shifts), coded.norms[plane]),
                num_threads,
            )
            for plane, shifts in enumerate(coded.shifts)
        )

    def _naming(self, frame: CodedFrame) -> contextlib.AbstractContextManager[None]:
        return _naming(f"segment {self._segment.number}, frame {frame.index}", self._segment)
