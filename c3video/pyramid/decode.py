# SPDX-License-Identifier: MIT
"""A segment of pyramids: a picture a frame, or a run of frames, each of them decoded when it is asked for.

segment = varint, picture of frame 0, varint, picture of frame 1, ...
segment = run, where the model has taps in the previous latent frame and there is more than one frame
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from c3video.coding.varint import read_varint, write_varint
from c3video.engine import EngineName, choose_engine
from c3video.errors import CorruptSegmentError
from c3video.native import pyramid as pyramid_kernels
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.engine import ENGINES
from c3video.pyramid.payload import CodedPicture, PatchReading, decode_picture
from c3video.pyramid.run_payload import decode_run
from c3video.pyramid.runs import MAX_LAYERS
from c3video.pyramid.weights import PyramidWeights
from c3video.segment_model import SegmentFacts
from c3video.stream.layout import Header, Segment
from c3video.video import Planes, VideoFormat, frame_hash


def join_pictures(pictures: Sequence[bytes]) -> bytes:
    """The bytes of a segment."""
    return b"".join(write_varint(len(picture)) + picture for picture in pictures)


def split_pictures(data: bytes, num_frames: int) -> list[bytes]:
    """The bytes of each picture. Raises CorruptSegmentError where they are too few or too many."""
    pictures, at = [], 0
    for index in range(num_frames):
        try:
            size, at = read_varint(data, at)
        except ValueError as error:
            raise CorruptSegmentError(f"size of picture {index} at byte {at} of {len(data)}: {error}") from None
        if size > len(data) - at:
            raise CorruptSegmentError(f"picture {index} at byte {at} of {len(data)}: {size} bytes are needed")
        pictures.append(data[at : at + size])
        at += size
    if at != len(data):
        raise CorruptSegmentError(f"{len(data) - at} bytes are left over after the last picture")
    return pictures


def decode_pictures(header: Header, segment: Segment, engine: EngineName, threads: int) -> Iterator[Planes]:
    """Planes of a segment's frames in display order, each checked against its hash when it is asked for.

    Raises:
        CorruptSegmentError: the bytes of a picture do not decode, or a frame differs from its hash.
    """
    kernels, layout = ENGINES[engine], header.video.layout
    for index, (weights, symbols) in enumerate(_read_frames(header, segment, kernels.reading, threads)):
        planes = kernels.synthesise(weights, symbols, layout, threads)
        segment.check_frame(index, frame_hash(planes))
        yield planes


def pictures_memory(header: Header, num_frames: int, engine: EngineName, threads: int) -> int:
    """Most bytes that decoding a segment takes, estimated on the high side: a picture at a time."""
    assert isinstance(header.model, PyramidConfig)
    has_previous = is_run(header.model, num_frames)
    memory = picture_memory(header.model, header.video, engine, threads, has_previous)
    if not has_previous:
        return memory
    # The newest latent frame of each layer, the one that is being read, and their sum.
    pixels = header.video.height * header.video.width
    return memory + (2 if engine == "native" else 8) * 4 * pixels // 3 * (2 * MAX_LAYERS + 8)


def picture_memory(
    config: PyramidConfig, video: VideoFormat, engine: EngineName, threads: int, has_previous: bool = False
) -> int:
    """Most bytes that decoding a picture takes, estimated on the high side.

    Args:
        has_previous: whether it may be a latent frame after another.
    """
    samples = sum(height * width for height, width in video.plane_shapes)
    pixels = video.height * video.width
    if engine == "native":
        # Latents of 16 bits and planes, those of the picture before too: they are let go when the new ones are there.
        held = 2 * 2 * 4 * pixels // 3 + 2 * video.layout.dtype.itemsize * samples
        return held + pyramid_kernels.kernels_memory(config, video, threads, has_previous)
    widest = max(config.synthesis_width, 9 * config.refine_width, config.num_inputs, *config.entropy_layers)
    return 8 * samples * (2 * config.num_grids + 3 * widest)


def is_run(config: PyramidConfig, num_frames: int) -> bool:
    """Whether a segment's frames share their networks."""
    return config.num_previous > 0 and num_frames > 1


def _read_frames(
    header: Header, segment: Segment, reading: PatchReading, threads: int
) -> Iterator[tuple[PyramidWeights, Sequence[NDArray[Any]]]]:
    """Weights and latents of each frame."""
    config, num_frames = header.model, len(segment.pts)
    assert isinstance(config, PyramidConfig)
    if not is_run(config, num_frames):
        for picture in _read_pictures(header, segment, reading, threads):
            yield picture.weights, picture.symbols
        return
    try:
        run = decode_run(segment.patches[0], config, header.video, num_frames, reading, threads)
        for symbols in run.frames:
            yield run.weights, symbols
    except CorruptSegmentError as error:
        raise CorruptSegmentError(f"segment {segment.number}: {error}", segment=segment.number) from error


def _read_pictures(header: Header, segment: Segment, reading: PatchReading, threads: int) -> Iterator[CodedPicture]:
    config = header.model
    assert isinstance(config, PyramidConfig)
    place = f"segment {segment.number}"
    try:
        for index, data in enumerate(split_pictures(segment.patches[0], len(segment.pts))):
            place = f"segment {segment.number}, frame {index}"
            yield decode_picture(data, replace(config, num_previous=0), header.video, reading, threads)
    except CorruptSegmentError as error:
        raise CorruptSegmentError(f"{place}: {error}", segment=segment.number) from error


def describe_pictures(header: Header, segment: Segment) -> SegmentFacts:
    """Bits by part of a segment, and what its pictures say before their symbols. Raises CorruptSegmentError."""
    assert isinstance(header.model, PyramidConfig)
    if is_run(header.model, len(segment.pts)):
        return _describe_run(header, segment)
    parts: dict[str, float] = {}
    priors, gains = [], []
    for picture in _read_pictures(header, segment, ENGINES[choose_engine()].reading, 1):
        priors.append(picture.weights.config.prior)
        gains.append(picture.weights.gains)
        for name, bits in picture.bits.by_part().items():
            parts[name] = parts.get(name, 0.0) + bits
    sizes = map(len, split_pictures(segment.patches[0], len(segment.pts)))
    parts["picture overhead"] += 8.0 * (len(segment.patches[0]) - sum(sizes))  # how long each of them is
    return SegmentFacts(parts, {"priors": priors, "gains": gains}, f"priors: {' '.join(map(str, priors))}")


def _describe_run(header: Header, segment: Segment) -> SegmentFacts:
    assert isinstance(header.model, PyramidConfig)
    reading = ENGINES[choose_engine()].reading
    try:
        run = decode_run(segment.patches[0], header.model, header.video, len(segment.pts), reading)
        for _ in run.frames:
            pass
    except CorruptSegmentError as error:
        raise CorruptSegmentError(f"segment {segment.number}: {error}", segment=segment.number) from error
    prior, spans = run.weights.config.prior, [1 << span for span in run.shape.spans]
    facts = {"prior": prior, "gains": run.weights.gains, "layers": spans, "windows": run.windows}
    return SegmentFacts(run.bits.by_part(), facts, f"prior: {prior}, layers of {' and '.join(map(str, spans))} frames")
