# SPDX-License-Identifier: MIT
"""Which code decodes the segments of a model, by the model_kind of a header."""

from __future__ import annotations

from collections.abc import Iterator

from c3video.c3.config import C3Config
from c3video.c3.decode import decode_patches, describe_patches, patches_memory
from c3video.c3.multiply_adds import patch_multiply_adds
from c3video.config import ModelConfig
from c3video.engine import EngineName
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.decode import decode_frames, describe_frames, frames_memory
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.multiply_adds import frame_multiply_adds
from c3video.hybrid.salvage import salvage_frames
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.decode import decode_pictures, describe_pictures, pictures_memory
from c3video.pyramid.multiply_adds import picture_multiply_adds
from c3video.segment_model import MultiplyAdds, Salvaged, SegmentDecoder
from c3video.stream.layout import Header, Segment
from c3video.video import Planes


def _decode_hybrid(header: Header, segment: Segment, engine: EngineName, threads: int) -> Iterator[Planes]:
    return decode_frames(header, segment, ENGINES[engine], threads)


def _salvage_hybrid(header: Header, segment: Segment, engine: EngineName) -> Iterator[Salvaged | None]:
    return salvage_frames(header, segment, ENGINES[engine])


DECODERS: dict[int, SegmentDecoder] = {
    C3Config.KIND: SegmentDecoder(decode_patches, patches_memory, describe_patches, patch_multiply_adds),
    HybridConfig.KIND: SegmentDecoder(
        _decode_hybrid, frames_memory, describe_frames, frame_multiply_adds, _salvage_hybrid
    ),
    PyramidConfig.KIND: SegmentDecoder(decode_pictures, pictures_memory, describe_pictures, picture_multiply_adds),
}


def multiply_adds(model: ModelConfig, pix_fmt: str) -> MultiplyAdds:
    """What decoding a pixel costs; `pix_fmt` is of what is coded: it says how many samples there are."""
    return DECODERS[model.KIND].multiply_adds(model, pix_fmt)
