# SPDX-License-Identifier: MIT
"""What filters are fitted to: planes that a decoder makes of them what it shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.engine import choose_engine
from c3video.hybrid.coded_planes import coded_format, to_coded
from c3video.hybrid.compensation import SAMPLE_BITS
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.fit.segment import fit_segment
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.loop_filter import plane_filters
from c3video.hybrid.subbands import filter_step
from pipelines.fit_filters import segment_pairs
from tests.conftest import moving_clip
from tests.hybrid.fit.tasks import favour_pictures


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le"])
@pytest.mark.parametrize("picture_steps", [0, 6])
def test_filtered_planes_are_those_of_a_decoder(
    monkeypatch: pytest.MonkeyPatch, pix_fmt: str, picture_steps: int
) -> None:
    if picture_steps and not native.available():
        pytest.skip("pictures are fitted by the extension")
    favour_pictures(monkeypatch)
    clip = moving_clip(6, 38, 52, pix_fmt)
    # Chroma that is quiet, so that its steps are finer than those of luma.
    gray = (clip.format.layout.max_value + 1) // 2

    def quiet(plane: np.ndarray) -> np.ndarray:
        return (gray + (plane.astype(int) - gray) // 8).astype(plane.dtype)

    planes = [(luma, quiet(u), quiet(v)) for luma, u, v in (frame.planes for frame in clip)]
    config = HybridFitConfig(5e-3, plans=2, passes=0, key_steps=picture_steps)
    fitted = fit_segment(planes, clip.format, HybridConfig(), config, choose_engine())
    assert (fitted.parameters.picture is not None) == bool(picture_steps)

    luma, chroma = (iter(pairs) for pairs in segment_pairs(fitted, planes, clip.format))
    coded_as = replace(coded_format(clip.format), chroma_offset=fitted.parameters.chroma_offset)
    assert coded_as.chroma_offset > 0
    middle, num_filtered = 1 << (coded_as.bit_depth - 1), 0
    frames = coding_order(len(planes), fitted.parameters.gop)
    for frame, step_index, numbers in zip(frames, fitted.parameters.step_indexes, fitted.symbols.filters, strict=True):
        if picture_steps and frame.index == 0:
            continue
        decoded = to_coded(fitted.decoded[frame.index], clip.format.layout)
        source = to_coded(planes[frame.index], clip.format.layout)
        for plane, number in enumerate(numbers):
            pair = next(chroma if plane else luma)
            step = filter_step(coded_as, step_index, plane)
            in_samples = step * 2.0 ** (coded_as.bit_depth - SAMPLE_BITS)
            np.testing.assert_allclose(pair.source * in_samples + middle, source[plane], atol=1e-3)
            found = np.rint(pair.samples * in_samples + middle).astype(np.uint16)
            if number:
                network, num_filtered = plane_filters(plane)[number - 1], num_filtered + 1
                found = ENGINES[choose_engine()].filter_plane(found, step, coded_as.bit_depth, network)
            np.testing.assert_array_equal(found, decoded[plane])
    assert num_filtered
    assert next(luma, None) is None
    assert next(chroma, None) is None
