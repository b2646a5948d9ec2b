# SPDX-License-Identifier: MIT
"""What is said of a fit before it is done."""

from __future__ import annotations

from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.segment_fit import Recipe, fit_memory
from c3video.segment_model import EncodingOptions
from c3video.video import VideoFormat

LARGE = VideoFormat(3840, 2160, "yuv420p")


def test_memory_of_one_large_picture_is_what_its_fit_was_measured_to_take() -> None:
    """1,697 MiB for 3840x2160 (docs/scale.md), alone and as the first frame of a segment."""
    options = EncodingOptions()
    pyramid = fit_memory(Recipe(LARGE, PyramidConfig(), PyramidFitConfig(), options), 1)
    hybrid = fit_memory(Recipe(LARGE, HybridConfig(), HybridFitConfig(), options), 1)
    assert 1697 << 20 < pyramid < 1.2 * (1697 << 20)
    assert hybrid > 1697 << 20
