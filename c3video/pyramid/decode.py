# SPDX-License-Identifier: MIT
"""A segment of pyramids: a picture a frame, each of them decoded when it is asked for.

segment = varint, picture of frame 0, varint, picture of frame 1, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from c3video.coding.varint import read_varint, write_varint
from c3video.engine import EngineName
from c3video.errors import CorruptSegmentError
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.engine import ENGINES
from c3video.pyramid.payload import CodedPicture, PatchReading, decode_picture
from c3video.segment_model import SegmentFacts
from c3video.stream.layout import Header, Segment
from c3video.video import Planes, VideoFormat, frame_crc32


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
    for index, picture in enumerate(_read_pictures(header, segment, kernels.reading, threads)):
        planes = kernels.synthesise(picture.weights, picture.symbols, layout, threads)
        segment.check_frame(index, frame_crc32(planes))
        yield planes


def pictures_memory(header: Header, num_frames: int, engine: EngineName, threads: int) -> int:
    """Most bytes that decoding a segment takes, estimated on the high side: a picture at a time."""
    assert isinstance(header.model, PyramidConfig)
    return picture_memory(header.model, header.video, engine)


def picture_memory(config: PyramidConfig, video: VideoFormat, engine: EngineName) -> int:
    """Most bytes that decoding a picture takes, estimated on the high side."""
    samples = sum(height * width for height, width in video.plane_shapes)
    pixels = video.height * video.width
    if engine == "native":
        # Latents of 16 bits in whole grids and skewed in the patches that are being read; bands of rows are small.
        return 2 * pixels * 3 + video.layout.dtype.itemsize * samples * 2
    widest = max(config.synthesis_width, 9 * config.refine_width, config.num_inputs, *config.entropy_layers)
    return 8 * samples * (2 * config.num_grids + 3 * widest)


def _read_pictures(header: Header, segment: Segment, reading: PatchReading, threads: int) -> Iterator[CodedPicture]:
    config = header.model
    assert isinstance(config, PyramidConfig)
    place = f"segment {segment.number}"
    try:
        for index, data in enumerate(split_pictures(segment.patches[0], len(segment.pts))):
            place = f"segment {segment.number}, frame {index}"
            yield decode_picture(data, config, header.video, reading, threads)
    except CorruptSegmentError as error:
        raise CorruptSegmentError(f"{place}: {error}", segment=segment.number) from error


def describe_pictures(header: Header, segment: Segment) -> SegmentFacts:
    """Bits by part of a segment, and what its pictures say before their symbols. Raises CorruptSegmentError."""
    parts: dict[str, float] = {}
    priors, gains = [], []
    for picture in _read_pictures(header, segment, ENGINES["numpy"].reading, 1):  # the one that keeps accounts
        assert picture.bits is not None
        priors.append(picture.weights.config.prior)
        gains.append(picture.weights.gains)
        for name, bits in picture.bits.by_part().items():
            parts[name] = parts.get(name, 0.0) + bits
    return SegmentFacts(parts, {"priors": priors, "gains": gains}, f"priors: {' '.join(map(str, priors))}")
