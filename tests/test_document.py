# SPDX-License-Identifier: MIT
"""docs/c3v.md is enough to write a decoder from: one that was (tests/document_decoder.py) finds the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.hybrid.config import HybridConfig
from tests.document_decoder import decode
from tests.hybrid.streams import frame_header, synthetic_segment


@pytest.mark.parametrize(
    ("size", "pix_fmt", "config", "num_frames", "gop"),
    [
        ((22, 19), "yuv420p", HybridConfig(), 5, 4),
        ((33, 10), "yuv422p10le", HybridConfig(2), 3, 1),
        ((9, 12), "yuv444p", HybridConfig(), 3, 2),
        ((1, 1), "gray10le", HybridConfig(), 2, 3),
        ((13, 18), "gbrp", HybridConfig(), 3, 2),
        ((9, 11), "gbrp10le", HybridConfig(), 2, 1),
    ],
)
def test_segment_decodes_as_the_document_says(
    size: tuple[int, int], pix_fmt: str, config: HybridConfig, num_frames: int, gop: int
) -> None:
    header = frame_header(*size, pix_fmt, config)
    video = header.video
    made = synthetic_segment(header, num_frames, gop=gop, density=0.2, exponents=(4, 2), seed=7)
    decoded = decode(
        made.segment.patches[0],
        num_frames,
        list(zip(video.plane_shapes, video.layout.planes, strict=True)),
        video.layout.bit_depth,
        config.num_slices,
        video.layout.is_rgb,
    )
    for planes, expected in zip(decoded, made.planes, strict=True):
        for plane, samples in zip(planes, expected, strict=True):
            np.testing.assert_array_equal(plane, samples)
