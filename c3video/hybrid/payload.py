# SPDX-License-Identifier: MIT
"""A segment of the hybrid model <-> bytes (docs/c3v.md, section 17).

1 byte            frames from anchor to anchor
1 byte a depth    index of the quantisation step of its first frame
1 byte            indexes by which steps of the planes after the first are finer
1 byte            the first frame: 0 for subbands, 1 for a picture of the pyramid model
varint, picture   there is one in the latter case only
1 or 9 bytes      the network of subbands: 0, or 1, the exponent of its differences and the scale index of each array's
the same          the network of motion
varint, payload   differences of the networks, steps and filters of frames that have subbands, then their motion
varint, payload   for each slice the subbands of all frames, but for a first one that is a picture
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.coding.rangecoder import Coder, SymbolReader, SymbolWriter, joined_payload
from c3video.coding.tables import NUM_SCALES, best_scale, residual_bits
from c3video.coding.varint import read_varint, write_varint
from c3video.errors import CorruptSegmentError
from c3video.hybrid import motion_symbols, subbands
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.context_network import ContextNetwork, network_shapes, read_prior
from c3video.hybrid.frame_order import CodedFrame, coding_order, num_depths
from c3video.hybrid.loop_filter import NUM_CHROMA, NUM_LUMA
from c3video.hybrid.subbands import FrameSymbols, SliceLayout
from c3video.hybrid.symbol_coding import ListSymbols, read_subbands, write_frames_motion, write_subbands

IntArray = NDArray[np.int64]

MAX_GOP = 32
MAX_EXPONENT = 8
MAX_CHROMA_OFFSET = 24

FrameFilters = tuple[int, ...]
"""By plane: 0 where a frame goes through no filter, else the filter's number among `loop_filter.plane_filters`, from
1."""
_FILTER_SCALE = 20
"""Table of what filters differ by from those of the frame before of the same depth."""
_STEP_SCALE = 24
"""The same of indexes of quantisation steps."""

CONTEXT_NETWORKS = {
    "subbands": (subbands.NUM_INPUTS, subbands.NUM_CLASSES),
    "motion": (motion_symbols.NUM_INPUTS, motion_symbols.NUM_CLASSES),
}
"""(inputs, classes) of the two context networks by name."""


@cache
def prior(name: str) -> ContextNetwork:
    """The network that a segment starts from."""
    return read_prior(name, *CONTEXT_NETWORKS[name])


@dataclass(frozen=True)
class NetworkCode:
    """How a network's differences to its prior are coded.

    Args:
        exponent: differences are multiples of 2^exponent.
        scales: scale index of the table of each array.
    """

    exponent: int
    scales: tuple[int, ...]

    def to_bytes(self) -> bytes:
        return bytes([1, self.exponent, *self.scales])


@dataclass(frozen=True)
class HybridParameters:
    """What a segment says before its symbols.

    Args:
        gop: frames from anchor to anchor.
        step_indexes: quantisation step of each frame, in coding order; where the first one is a picture, its own serves
            the contexts of others.
        networks: by name of CONTEXT_NETWORKS.
        exponents: of each network's differences; None where it is the prior.
        chroma_offset: indexes by which steps of the planes after the first are finer (CodedFormat).
        picture: the first frame's as the pyramid model has it; None where it is subbands like the others.
    """

    gop: int
    step_indexes: tuple[int, ...]
    networks: dict[str, ContextNetwork]
    exponents: dict[str, int | None]
    chroma_offset: int = 0
    picture: bytes | None = None


@dataclass(frozen=True)
class HybridSymbols:
    """All symbols of a segment, in coding order of its frames.

    Args:
        fields: motion of each frame; None for those without references.
        frames: subbands of each frame. Those of a first frame that is a picture are made from its samples
            (hybrid/key_picture.py), and not written.
        filters: of each frame; none of them is looked at where the first frame is a picture.
    """

    fields: tuple[MotionField | None, ...]
    frames: Sequence[FrameSymbols]
    filters: Sequence[FrameFilters]


@dataclass(frozen=True)
class HybridBits:
    """Where a segment's bits went; `overhead` is what the bytes hold beyond its symbols.

    Args:
        weights: of the differences of each network.
        steps: of quantisation steps beyond those of the first frames of each depth.
        frames: of the subbands of each frame, or of its picture, in coding order.
        depths: of each frame, in coding order.
    """

    weights: dict[str, float]
    steps: float
    filters: float
    motion: float
    frames: tuple[float, ...]
    depths: tuple[int, ...]
    overhead: float

    def by_part(self) -> dict[str, float]:
        """The figures by name, those of frames by depth, which results call level."""
        parts = {f"level {depth}": 0.0 for depth in sorted(set(self.depths))}
        for depth, bits in zip(self.depths, self.frames, strict=True):
            parts[f"level {depth}"] += bits
        parts["motion"] = self.motion
        parts["steps"] = self.steps
        parts["filters"] = self.filters
        parts |= {f"{network} weights": bits for network, bits in self.weights.items()}
        return parts | {"segment overhead": self.overhead}


def reference_frames(frames: Sequence[CodedFrame]) -> list[tuple[int, ...]]:
    """For each frame the places, in coding order, of its references."""
    places = {frame.index: place for place, frame in enumerate(frames)}
    return [tuple(places[index] for index in frame.references) for frame in frames]


def network_code(name: str, network: ContextNetwork, exponent: int) -> NetworkCode:
    """The cheapest tables for a network's differences."""
    return NetworkCode(exponent, tuple(best_scale(array)[0] for array in _differences(name, network, exponent)))


def network_bits(name: str, network: ContextNetwork, exponent: int) -> float:
    """Bits of a network's differences under their cheapest tables."""
    return sum(best_scale(array)[1] for array in _differences(name, network, exponent))


def _differences(name: str, network: ContextNetwork, exponent: int) -> list[IntArray]:
    pairs = zip(network.arrays(), prior(name).arrays(), strict=True)
    return [(array - start) >> exponent for array, start in pairs]


def code_network(coder: Coder, name: str, code: NetworkCode, network: ContextNetwork | None) -> ContextNetwork:
    """Code a network as differences to its prior. Raises CorruptSegmentError for one that a decoder cannot use."""
    given = _differences(name, network, code.exponent) if network is not None else None
    arrays = []
    for index, start in enumerate(prior(name).arrays()):
        scales = np.full(start.size, code.scales[index])
        residuals = given[index].ravel() if given is not None else None
        differences = coder.code(scales, np.zeros_like(scales), residuals)
        arrays.append(start + (differences.reshape(start.shape) << code.exponent))
    result = ContextNetwork(*arrays)
    result.check()
    return result


def _depth_starts(frames: Sequence[CodedFrame]) -> list[int | None]:
    """For each frame the place of the one before of the same depth; None for the first of a depth."""
    last: dict[int, int] = {}
    found: list[int | None] = []
    for place, frame in enumerate(frames):
        found.append(last.get(frame.depth))
        last[frame.depth] = place
    return found


def _filter_changes(frames: Sequence[CodedFrame], filters: Sequence[FrameFilters]) -> IntArray:
    """(frames * planes,) what filters differ by from those of the frame before of the same depth, or from none."""
    numbers = np.array(filters, dtype=np.int64)
    starts = [np.zeros_like(numbers[0]) if start is None else numbers[start] for start in _depth_starts(frames)]
    return (numbers - np.array(starts)).ravel()


def filter_bits(frames: Sequence[CodedFrame], filters: Sequence[FrameFilters]) -> float:
    """What the filters of frames take; of all that have subbands."""
    return residual_bits(_FILTER_SCALE, 0, _filter_changes(frames, filters)) if frames else 0.0


def code_filters(
    coder: Coder, frames: Sequence[CodedFrame], num_planes: int, given: Sequence[FrameFilters] | None
) -> list[FrameFilters]:
    """Code the filters of frames.

    Args:
        frames: that have subbands, in coding order.
        given: what to write; None where it is read.

    Raises:
        CorruptSegmentError: there is no filter of that number.
    """
    count = len(frames) * num_planes
    if not count:
        return []
    zeros = np.zeros(count, dtype=np.int64)
    changes = coder.code(zeros + _FILTER_SCALE, zeros, None if given is None else _filter_changes(frames, given))
    most = np.array([NUM_LUMA] + [NUM_CHROMA] * (num_planes - 1))
    found: list[IntArray] = []
    for start, change in zip(_depth_starts(frames), changes.reshape(-1, num_planes), strict=True):
        numbers = change if start is None else found[start] + change
        if (numbers < 0).any() or (numbers > most).any():
            raise CorruptSegmentError(f"filters {numbers.tolist()} of a frame: must be in 0..{most.tolist()}")
        found.append(numbers)
    return [tuple(numbers.tolist()) for numbers in found]


def _step_changes(frames: Sequence[CodedFrame], step_indexes: Sequence[int]) -> IntArray:
    """What indexes of steps differ by from that of the frame before of the same depth, of frames that have one."""
    pairs = zip(step_indexes, _depth_starts(frames), strict=True)
    return np.array([index - step_indexes[start] for index, start in pairs if start is not None], dtype=np.int64)


def step_bits(frames: Sequence[CodedFrame], step_indexes: Sequence[int]) -> float:
    """What the steps of frames take beyond those of the first frames of each depth."""
    return residual_bits(_STEP_SCALE, 0, _step_changes(frames, step_indexes))


def code_steps(
    coder: Coder, frames: Sequence[CodedFrame], firsts: Sequence[int], given: Sequence[int] | None
) -> tuple[int, ...]:
    """Code the indexes of the quantisation steps of frames.

    Args:
        frames: in coding order.
        firsts: those of the first frame of each depth.
        given: what to write; None where it is read.

    Raises:
        CorruptSegmentError: there is no step of that index.
    """
    starts = _depth_starts(frames)
    zeros = np.zeros(len(frames) - starts.count(None), dtype=np.int64)
    changes: Iterator[int] = iter(())
    if zeros.size:
        residuals = coder.code(zeros + _STEP_SCALE, zeros, None if given is None else _step_changes(frames, given))
        changes = iter(residuals.tolist())
    found: list[int] = []
    for frame, start in zip(frames, starts, strict=True):
        index = firsts[frame.depth] if start is None else found[start] + next(changes)
        if not 0 <= index <= subbands.MAX_STEP_INDEX:
            raise CorruptSegmentError(f"quantisation step index {index}: must be in 0..{subbands.MAX_STEP_INDEX}")
        found.append(index)
    return tuple(found)


def first_steps(frames: Sequence[CodedFrame], step_indexes: Sequence[int]) -> list[int]:
    """Indexes of the quantisation steps of the first frame of each depth."""
    starts = zip(frames, step_indexes, _depth_starts(frames), strict=True)
    return [index for _, index in sorted((frame.depth, index) for frame, index, start in starts if start is None)]


def encode_payload(
    parameters: HybridParameters,
    symbols: HybridSymbols,
    num_frames: int,
    config: HybridConfig,
    layouts: Sequence[SliceLayout],
    writing: SymbolWriting | None = None,
) -> tuple[bytes, HybridBits]:
    """Bytes of a segment and their accounting; NUMPY_WRITING writes them if None is given."""
    writing = writing or NUMPY_WRITING
    frames = coding_order(num_frames, parameters.gop)
    codes: dict[str, NetworkCode | None] = {}
    for name in CONTEXT_NETWORKS:
        exponent = parameters.exponents[name]
        codes[name] = None if exponent is None else network_code(name, parameters.networks[name], exponent)
    picture = parameters.picture
    firsts = first_steps(frames, parameters.step_indexes)
    head = bytes([parameters.gop, *firsts, parameters.chroma_offset, int(picture is not None)])
    head += b"" if picture is None else write_varint(len(picture)) + picture
    head += b"".join(b"\0" if code is None else code.to_bytes() for code in codes.values())
    coder = writing.open_writer()
    weight_bits = {}
    for name, code in codes.items():
        before = coder.estimated_bits
        if code is not None:
            code_network(coder, name, code, parameters.networks[name])
        weight_bits[name] = coder.estimated_bits - before
    num_pictures = int(picture is not None)
    before = coder.estimated_bits
    code_steps(coder, frames, firsts, parameters.step_indexes)
    of_steps, before = coder.estimated_bits - before, coder.estimated_bits
    filters = symbols.filters[num_pictures:]
    code_filters(coder, frames[num_pictures:], len(symbols.frames[0]), filters)
    of_filters, before = coder.estimated_bits - before, coder.estimated_bits
    write_frames_motion(coder, parameters.networks["motion"], symbols.fields, frames, writing.list_motion)
    motion_bits = coder.estimated_bits - before
    payloads = [coder.finish()]
    frame_bits = np.zeros(num_frames)
    frame_bits[0] = 0.0 if picture is None else 8.0 * len(picture)
    references = reference_frames(frames)

    def written_backwards(index: int, layout: SliceLayout) -> Iterator[Any]:
        """A slice's frames, each in a coder of its own: those of a whole segment would not fit into memory."""

        def cut(place: int) -> FrameSymbols:
            return subbands.cut_slice(symbols.frames[place], index, config.num_slices)

        for place in reversed(range(num_pictures, num_frames)):
            known = subbands.reference_magnitudes([cut(reference) for reference in references[place]], layout)
            coder = writing.open_writer()
            writing.write_subbands(coder, parameters.networks["subbands"], cut(place), known, frames[place].depth)
            frame_bits[place] += coder.estimated_bits
            yield coder

    payloads += [writing.joined_payload(written_backwards(index, layout)) for index, layout in enumerate(layouts)]
    data = head + b"".join(write_varint(len(payload)) + payload for payload in payloads)
    counted = sum(weight_bits.values()) + of_steps + of_filters + motion_bits + float(frame_bits.sum())
    depths, of_frames = tuple(frame.depth for frame in frames), tuple(frame_bits.tolist())
    return data, HybridBits(weight_bits, of_steps, of_filters, motion_bits, of_frames, depths, 8 * len(data) - counted)


@dataclass(frozen=True)
class SymbolWriting:
    """What writes payloads: what is here, or the extension. All write the same bytes.

    Args:
        open_writer: -> coder.
        write_subbands: `symbol_coding.write_subbands`.
        joined_payload: `rangecoder.joined_payload` of such coders.
        list_motion: `motion_symbols.to_symbols`.
    """

    open_writer: Callable[[], Any]
    write_subbands: Callable[[Any, ContextNetwork, FrameSymbols, FrameSymbols, int], None]
    joined_payload: Callable[[Iterable[Any]], bytes]
    list_motion: ListSymbols


NUMPY_WRITING = SymbolWriting(SymbolWriter, write_subbands, joined_payload, motion_symbols.to_symbols)


@dataclass(frozen=True)
class ParsedPayload:
    """A segment's bytes taken apart, nothing decoded yet.

    Args:
        first_steps: index of the quantisation step of the first frame of each depth.
    """

    gop: int
    first_steps: tuple[int, ...]
    chroma_offset: int
    picture: bytes | None
    codes: dict[str, NetworkCode | None]
    payloads: tuple[bytes, ...]
    frames: tuple[CodedFrame, ...]

    @property
    def num_pictures(self) -> int:
        """First frames that have no subbands: 0 or 1."""
        return int(self.picture is not None)


def parse_payload(data: bytes, num_frames: int, config: HybridConfig) -> ParsedPayload:
    """Take a segment's bytes apart.

    Raises:
        CorruptSegmentError: the bytes are too few, too many or out of range.
    """
    at = 0

    def take(size: int, what: str) -> bytes:
        nonlocal at
        if at + size > len(data):
            raise CorruptSegmentError(f"{what} at byte {at} of {len(data)}: {size} bytes are needed")
        at += size
        return data[at - size : at]

    def in_range(value: int, low: int, high: int, what: str) -> int:
        if not low <= value <= high:
            raise CorruptSegmentError(f"{what} = {value}: must be in {low}..{high}")
        return value

    def take_sized(what: str) -> bytes:
        nonlocal at
        try:
            size, at = read_varint(data, at)
        except ValueError as error:
            raise CorruptSegmentError(f"size of {what} at byte {at} of {len(data)}: {error}") from None
        return take(size, what)

    gop = in_range(take(1, "gop")[0], 1, MAX_GOP, "gop")
    firsts = tuple(
        in_range(value, 0, subbands.MAX_STEP_INDEX, "quantisation step index")
        for value in take(num_depths(num_frames, gop), "quantisation steps")
    )
    chroma_offset = in_range(take(1, "chroma offset")[0], 0, MAX_CHROMA_OFFSET, "chroma offset")
    has_picture = in_range(take(1, "kind of the first frame")[0], 0, 1, "kind of the first frame")
    picture = take_sized("picture") if has_picture else None
    codes: dict[str, NetworkCode | None] = {}
    for name in CONTEXT_NETWORKS:
        codes[name] = None
        if in_range(take(1, "network flag")[0], 0, 1, "network flag"):
            exponent = in_range(take(1, "exponent")[0], 0, MAX_EXPONENT, "exponent of differences")
            scales = take(len(network_shapes(*CONTEXT_NETWORKS[name])), "scale indexes")
            codes[name] = NetworkCode(exponent, tuple(in_range(x, 0, NUM_SCALES - 1, "scale index") for x in scales))
    payloads = tuple(take_sized("payload") for _ in range(1 + config.num_slices))
    if at != len(data):
        raise CorruptSegmentError(f"{len(data) - at} bytes are left over after the last payload")
    return ParsedPayload(gop, firsts, chroma_offset, picture, codes, payloads, coding_order(num_frames, gop))


def read_network(coder: Coder, name: str, code: NetworkCode | None) -> ContextNetwork:
    """A network of the segment, from its first payload. Raises CorruptSegmentError."""
    return prior(name) if code is None else code_network(coder, name, code, None)


def read_slice(
    coder: SymbolReader,
    network: ContextNetwork,
    layout: SliceLayout,
    frames: Sequence[CodedFrame],
    first: Callable[[], FrameSymbols] | None = None,
) -> Iterator[FrameSymbols]:
    """One slice of all frames, in coding order: each is read when it is asked for.

    Args:
        frames: those that have subbands, at least one.
        first: gives the slice's symbols of frame 0, where that is not among them.

    Raises:
        CorruptSegmentError: the payload does not decode, or has something left after the last frame.
    """
    last_use = {index: place for place, frame in enumerate(frames) for index in frame.references}
    kept = {} if first is None else {0: first()}  # by display index, while a frame needs them
    for place, frame in enumerate(frames):
        known = subbands.reference_magnitudes([kept[index] for index in frame.references], layout)
        symbols = read_subbands(coder, network, layout, known, frame.depth)
        if place == len(frames) - 1:
            coder.finish()
        kept = {index: kept[index] for index in kept if last_use[index] > place}
        if last_use.get(frame.index, -1) > place:
            kept[frame.index] = symbols
        yield symbols
