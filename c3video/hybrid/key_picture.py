# SPDX-License-Identifier: MIT
"""A first frame that is a picture of the pyramid model (docs/c3v.md, section 17).

    bytes --> planes of the video --+--> shown
                                    +--> coded planes --+--> reference of later frames
                                                        +--> symbols as the wavelet would have, for their contexts

Contexts of predicted frames hold magnitudes of their references' wavelet symbols. A picture of the pyramid model has
none, so they are made from its samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.coded_planes import CodedFormat
from c3video.hybrid.compensation import SAMPLE_BITS
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.subbands import FrameSymbols, plane_steps
from c3video.hybrid.wavelet import analyse_exactly
from c3video.pyramid.engine import PyramidEngine
from c3video.pyramid.payload import decode_picture
from c3video.video import Planes, VideoFormat

IntArray = NDArray[np.int64]


def decode_key(
    data: bytes, config: HybridConfig, video: VideoFormat, pictures: PyramidEngine, num_threads: int
) -> Planes:
    """Planes of the video. Raises CorruptSegmentError."""
    picture = decode_picture(data, config.key, video, pictures.reading, num_threads)
    return pictures.synthesise(picture.weights, picture.symbols, video.layout, num_threads)


def plane_symbols(plane: NDArray[np.unsignedinteger], bit_depth: int, steps: Sequence[int]) -> list[IntArray]:
    """Symbols of a decoded plane by subband (h, w).

    Args:
        plane: (h, w) samples of `bit_depth` bits.
        steps: quantisation step of each subband.
    """
    centred = (plane.astype(np.int64) - (1 << (bit_depth - 1))) << (SAMPLE_BITS - bit_depth)
    bands = analyse_exactly(centred, len(steps) // 3)
    return [np.sign(band) * (np.abs(band) // step) for band, step in zip(bands, steps, strict=True)]


def key_symbols(
    planes: Planes,
    coded: CodedFormat,
    step_index: int,
    of_plane: Callable[..., Sequence[NDArray[Any]]] = plane_symbols,
) -> FrameSymbols:
    """Symbols of a key picture, for the contexts of later frames.

    Args:
        planes: coded planes of it.
        step_index: of depth 0.
        of_plane: `plane_symbols` of an engine.
    """
    return [
        list(of_plane(plane, coded.bit_depth, plane_steps(coded, step_index, number)))
        for number, plane in enumerate(planes)
    ]
