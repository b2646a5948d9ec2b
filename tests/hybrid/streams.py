# SPDX-License-Identifier: MIT
"""Small valid streams of the hybrid model from synthetic symbols, made without an encoder or a decoder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.coded_planes import coded_format, from_coded, to_coded
from c3video.hybrid.compensation import (
    BLOCK_SIZE,
    BOTH,
    COLUMNS,
    MAX_VECTOR,
    QUARTERS,
    ROWS,
    WHOLE,
    MotionField,
    block_shape,
)
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.frame_order import CodedFrame, coding_order
from c3video.hybrid.key_picture import key_symbols
from c3video.hybrid.loop_filter import filter_plane, plane_filters
from c3video.hybrid.motion_symbols import PARTS, EarlierMotion, earlier_motion, uses
from c3video.hybrid.payload import (
    CONTEXT_NETWORKS,
    HybridBits,
    HybridParameters,
    HybridSymbols,
    encode_payload,
    prior,
)
from c3video.hybrid.reconstruction import reconstruct_plane
from c3video.hybrid.subbands import (
    MAX_STEP_INDEX,
    FrameSymbols,
    plane_levels,
    plane_step,
    slice_layouts,
    subband_steps,
)
from c3video.pyramid.payload import encode_picture
from c3video.pyramid.synthesis import layout_key, synthesise
from c3video.stream.layout import Header, Segment
from c3video.stream.writer import Writer
from c3video.video import Planes, VideoFormat, frame_hash
from tests.pyramid.models import random_symbols, random_weights

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SyntheticSegment:
    """A segment and all that went into it.

    Args:
        planes: of each frame in display order.
    """

    segment: Segment
    model: HybridParameters
    symbols: HybridSymbols
    bits: HybridBits
    planes: tuple[Planes, ...]


def frame_header(
    height: int,
    width: int,
    pix_fmt: str = "yuv420p",
    config: HybridConfig | None = None,
    segment_frames: int = 16,
) -> Header:
    video = VideoFormat(width, height, pix_fmt, time_base=Fraction(1, 25), frame_rate=Fraction(25))
    return Header(video, config or HybridConfig(), segment_frames, 1, 1)


def nudged_network(name: str, rng: np.random.Generator, exponent: int) -> ContextNetwork:
    """The prior with a few integers moved by multiples of 2^exponent."""
    return ContextNetwork(
        *(
            array + ((rng.random(array.shape) < 0.2) * rng.integers(-3, 4, array.shape) << exponent)
            for array in prior(name).arrays()
        )
    )


def synthetic_segment(
    header: Header,
    num_frames: int,
    *,
    number: int = 0,
    gop: int = 8,
    step_index: int = 56,
    density: float = 0.05,
    reach: int = 12,
    exponents: tuple[int | None, int | None] = (None, 3),
    seed: int = 0,
    has_picture: bool = False,
    chroma_offset: int = 5,
) -> SyntheticSegment:
    """A segment of sparse random symbols and smooth random motion.

    Args:
        density: share of symbols that are not zero; a few of them are large.
        reach: largest component of most vectors, in quarter samples.
        exponents: of the differences of the networks (subbands, motion); None for the prior.
        has_picture: whether the first frame is one of the pyramid model.
        chroma_offset: of `HybridParameters`.
    """
    rng = np.random.default_rng(seed)
    config, video = header.model, header.video
    assert isinstance(config, HybridConfig)
    frames = coding_order(num_frames, gop)
    networks, of_networks = {}, dict(zip(CONTEXT_NETWORKS, exponents, strict=True))
    for name, exponent in of_networks.items():
        networks[name] = prior(name) if exponent is None else nudged_network(name, rng, exponent)
    steps = tuple(
        int(np.clip(step_index + 2 * frame.depth + rng.integers(-2, 3) * (number > 0), 0, MAX_STEP_INDEX))
        for number, frame in enumerate(frames)
    )
    picture = None
    if has_picture:
        weights = random_weights(config.key, layout_key(video.layout), seed)
        latents = random_symbols(config.key, video.height, video.width, seed)
        picture = encode_picture(weights, latents, video)[0], synthesise(weights, latents, video.layout)
    data = None if picture is None else picture[0]
    model = HybridParameters(gop, steps, networks, of_networks, chroma_offset, data)
    (whole,) = slice_layouts(video.plane_shapes, video.layout.planes, 1)
    blocks = block_shape(video.plane_shapes[0], BLOCK_SIZE)
    fields = _fields(rng, blocks, frames, reach)
    found = [_symbols(rng, whole.empty(), density) for _ in frames]
    first = None
    if picture is not None:
        first = to_coded(picture[1], video.layout)
        found[0] = key_symbols(first, replace(coded_format(video), chroma_offset=chroma_offset), steps[0])
    filters = [
        tuple(int(rng.integers(len(plane_filters(plane)) + 1)) for plane in range(len(whole.shapes))) for _ in frames
    ]
    symbols = HybridSymbols(fields, tuple(found), filters)
    layouts = slice_layouts(video.plane_shapes, video.layout.planes, config.num_slices)
    data, bits = encode_payload(model, symbols, num_frames, config, layouts)
    planes = reconstructed(header, model, symbols, frames, first)
    first = number * header.segment_frames
    segment = Segment(
        number,
        tuple(range(first, first + num_frames)),
        (1,) * num_frames,
        tuple(map(frame_hash, planes)),
        (data,),
    )
    return SyntheticSegment(segment, model, symbols, bits, planes)


def _symbols(rng: np.random.Generator, shapes: FrameSymbols, density: float) -> FrameSymbols:
    found = []
    for bands in shapes:
        plane = []
        for band in bands:
            values = rng.laplace(0, 2, band.shape) * (rng.random(band.shape) < density)
            values *= np.where(rng.random(band.shape) < 0.01, 30, 1)
            plane.append(np.rint(values).astype(np.int64))
        found.append(plane)
    return found


def _fields(
    rng: np.random.Generator, shape: tuple[int, int], frames: Sequence[CodedFrame], reach: int
) -> tuple[MotionField | None, ...]:
    found: dict[int, tuple[CodedFrame, MotionField | None]] = {}
    for frame in frames:
        earlier = earlier_motion(frame, [found[index] for index in frame.references])
        found[frame.index] = frame, random_field(rng, shape, frame, earlier, reach) if frame.references else None
    return tuple(field for _, field in found.values())


def random_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    frame: CodedFrame,
    earlier: EarlierMotion | None = None,
    reach: int = 12,
) -> MotionField:
    """Smooth motion in a unit of its own. Half of what moved before moves on."""
    num_references, unit = len(frame.references), int(rng.integers(1, 3))
    quarters = (2 * shape[0], 2 * shape[1])
    modes = rng.choice([0, 1, BOTH, BOTH], quarters) if num_references == 2 else np.zeros(quarters, dtype=np.int64)
    most = reach // unit
    vectors = rng.integers(-most, most + 1, (num_references, 2, 1, 1)) + rng.integers(
        -2, 3, (num_references, 2, *quarters)
    )
    splits = rng.choice([WHOLE, WHOLE, ROWS, COLUMNS, QUARTERS], shape)
    offsets = unit * rng.integers(-3, 4, (num_references, 2)) * (earlier is not None)
    field = split_field(unit * vectors, modes, splits)
    if earlier is None:
        return replace(field, unit=unit)
    expected = expected_vectors(frame, earlier, offsets, unit)
    for row, column in np.ndindex(-(-shape[0] // 4), -(-shape[1] // 4)):
        if rng.random() < 0.5:
            superblock = np.s_[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            field.vectors[superblock], field.modes[superblock] = expected[superblock], BOTH * (num_references == 2)
            field.splits[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = WHOLE
    return replace(field, offsets=offsets, unit=unit)


def expected_vectors(frame: CodedFrame, earlier: EarlierMotion, offsets: IntArray, unit: int) -> IntArray:
    """(references, 2, 2 bh, 2 bw) vectors, in quarters of a sample, of blocks that move on as in an earlier field."""
    middles = np.s_[..., 1::2, 1::2]
    vectors, modes = earlier.field.vectors[middles], earlier.field.modes[middles]
    chosen = np.where(modes == BOTH, earlier.reference, modes)
    times = np.array([earlier.frame.index - index for index in earlier.frame.references])[chosen]
    moved = np.where(chosen == 0, vectors[0], vectors[-1])
    found = []
    for index, offset in zip(frame.references, offsets, strict=True):
        exact = moved * (frame.index - index) / (times * unit)
        nearest = np.sign(exact) * np.floor(np.abs(exact) + 0.5) + offset[:, None, None] // unit
        found.append(unit * np.clip(nearest, -(MAX_VECTOR // unit), MAX_VECTOR // unit).astype(np.int64))
    return np.stack(found).repeat(2, axis=-2).repeat(2, axis=-1)


def plain_field(vectors: IntArray, modes: IntArray, splits: IntArray) -> MotionField:
    """A field of which nothing is expected from another."""
    return MotionField(vectors, modes, splits, np.zeros((len(vectors), 2), dtype=np.int64))


def split_field(vectors: IntArray, modes: IntArray, splits: IntArray) -> MotionField:
    """A field of blocks that are split so: each part has what is at its first quarter, no vector that it does not use.

    Args:
        vectors: (references, 2, 2 bh, 2 bw).
        modes: (2 bh, 2 bw).
        splits: (bh, bw).
    """
    used = np.stack([uses(modes, reference) for reference in range(len(vectors))])
    vectors, modes = vectors * used[:, None], modes.copy()
    for row, column in np.ndindex(splits.shape):
        for y, x, height, width in PARTS[splits[row, column]]:
            first = (2 * row + y, 2 * column + x)
            part = np.s_[..., first[0] : first[0] + height, first[1] : first[1] + width]
            modes[part] = modes[first]
            vectors[part] = vectors[:, :, first[0], first[1]][..., None, None]
    return plain_field(vectors, modes, splits)


def reconstructed(
    header: Header,
    model: HybridParameters,
    symbols: HybridSymbols,
    frames: tuple[CodedFrame, ...],
    first: Planes | None = None,
) -> tuple[Planes, ...]:
    """Frames in display order, by the oracle; `first`: coded planes of a picture."""
    coded, config = replace(coded_format(header.video), chroma_offset=model.chroma_offset), header.model
    assert isinstance(config, HybridConfig)
    decoded: dict[int, Planes] = {}
    of_frames = zip(frames, model.step_indexes, symbols.fields, symbols.frames, symbols.filters, strict=True)
    for frame, step_index, field, found, filters in of_frames:
        if first is not None and not frame.references:
            decoded[frame.index] = first
            continue
        planes = []
        for plane, (shifts, norm) in enumerate(zip(coded.shifts, coded.norms, strict=True)):
            index = max(0, step_index - model.chroma_offset) if plane else step_index
            samples = reconstruct_plane(
                [decoded[index][plane] for index in frame.references],
                field,
                BLOCK_SIZE,
                shifts,
                coded.bit_depth,
                found[plane],
                subband_steps(index, plane_levels(shifts), norm),
            )
            if filters[plane]:
                network = plane_filters(plane)[filters[plane] - 1]
                samples = filter_plane(samples, plane_step(index, norm), coded.bit_depth, network)
            planes.append(samples)
        decoded[frame.index] = tuple(planes)
    return tuple(from_coded(decoded[index], header.video.layout) for index in range(len(frames)))


def synthetic_stream(header: Header, lengths: tuple[int, ...], **options: object) -> tuple[bytes, list[Planes]]:
    """A whole stream of segments of these lengths, and the planes of all frames."""
    file, planes = io.BytesIO(), []
    with Writer(file, header) as writer:
        for number, length in enumerate(lengths):
            made = synthetic_segment(header, length, number=number, seed=number, **options)  # type: ignore[arg-type]
            writer.write_segment(made.segment)
            planes += made.planes
    return file.getvalue(), planes
