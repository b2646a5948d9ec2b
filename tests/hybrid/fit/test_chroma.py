# SPDX-License-Identifier: MIT
"""How much chroma counts: worked out by hand for noise, and what comes of it in a segment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.engine import choose_engine
from c3video.hybrid.coded_planes import coded_format
from c3video.hybrid.config import HYBRID_PRESETS, HybridConfig, HybridFitConfig
from c3video.hybrid.fit.chroma import chroma_offset, error_weight
from c3video.hybrid.fit.frame_coding import CodedFrames
from c3video.hybrid.fit.key_picture import fit_key
from c3video.hybrid.fit.segment import FittedFrames, fit_segment
from c3video.video import Planes, VideoFormat
from tests.conftest import moving_clip
from tests.hybrid.fit.tasks import task_of

COARSE = HybridFitConfig(rd_weight=1.0, chroma_share=1.0)
"""All of the noise below is under a step, so that it is what a plane will lack."""


def noise(video: VideoFormat, luma: float, chroma: float) -> Planes:
    """A gray frame with noise of these standard deviations."""
    rng, layout = np.random.default_rng(0), video.layout
    return tuple(
        np.rint(128.0 + rng.normal(0.0, chroma if plane else luma, shape)).astype(layout.dtype)
        for plane, shape in enumerate(video.plane_shapes)
    )


def offset(pix_fmt: str, luma: float, chroma: float, config: HybridFitConfig = COARSE) -> int:
    video = VideoFormat(128, 128, pix_fmt)
    return chroma_offset(task_of([noise(video, luma, chroma)], video, config))


@pytest.mark.parametrize(
    ("pix_fmt", "luma", "chroma", "wanted"),
    [
        # Four times as many samples, each with 4 times the squared error: 16 / 6 is 2^1.415, in quarters of an octave.
        ("yuv420p", 16.0, 8.0, 6),
        ("yuv420p", 16.0, 16.0, 0),  # 4 / 6 is less than 1
        ("yuv422p", 16.0, 8.0, 2),  # 8 / 6 is 2^0.415
        ("yuv444p", 24.0, 6.0, 6),
        ("yuv420p", 24.0, 3.0, 10),  # 2^5.4, more than is given
        ("gray", 16.0, 16.0, 0),
        ("gbrp", 24.0, 3.0, 0),
    ],
)
def test_the_offset_by_hand(pix_fmt: str, luma: float, chroma: float, wanted: int) -> None:
    assert offset(pix_fmt, luma, chroma) == wanted


def test_half_the_share_is_half_the_weight() -> None:
    assert offset("yuv420p", 16.0, 8.0, replace(COARSE, chroma_share=0.5)) == 2
    assert offset("yuv420p", 16.0, 8.0, replace(COARSE, chroma_share=0.0)) == 0


def test_flat_planes_and_single_samples_have_one() -> None:
    for size in (1, 33):
        video = VideoFormat(size, size, "yuv420p")
        assert 0 <= chroma_offset(task_of([noise(video, 0.0, 0.0)], video)) <= 10


def test_a_step_half_as_large_is_best_where_errors_count_four_times() -> None:
    coded = replace(coded_format(VideoFormat(16, 16, "yuv420p")), chroma_offset=8)
    assert [error_weight(coded, plane) for plane in range(3)] == [1.0, 4.0, 4.0]
    assert [coded.step_index(20, plane) for plane in range(3)] == [20, 12, 12]
    assert [coded.step_index(3, plane) for plane in range(3)] == [3, 0, 0]


def test_errors_are_counted_as_they_are_and_as_they_count() -> None:
    coded = replace(coded_format(VideoFormat(2, 2, "yuv420p")), chroma_offset=8)
    frames = CodedFrames((40,), ())
    for plane, shape in enumerate(coded.shapes):
        source = np.zeros(shape, dtype=np.uint8)
        frames.add_error(plane, source + np.uint8(51), source, coded)  # a fifth of the full range
    assert frames.squared_error == pytest.approx(6 * 0.04)
    assert frames.weighted_error == pytest.approx((4 + 4 + 4) * 0.04)


def test_chroma_is_nearer_to_the_source_and_luma_stays() -> None:
    source = moving_clip(4, 40, 48)
    video, planes = source.format, [frame.planes for frame in source]

    def fitted(share: float) -> FittedFrames:
        fit_config = replace(HYBRID_PRESETS["ultrafast"], rd_weight=2e-3, chroma_share=share)
        return fit_segment(planes, video, HybridConfig(), fit_config, choose_engine())

    def errors(found: FittedFrames) -> np.ndarray:
        """Sums over each plane, full range 1."""
        return np.sum(
            [
                [np.square((a.astype(float) - b) / 255.0).sum() for a, b in zip(frame, wanted, strict=True)]
                for frame, wanted in zip(found.decoded, planes, strict=True)
            ],
            axis=0,
        )

    usual, finer = fitted(0.0), fitted(4.0)
    assert usual.parameters.chroma_offset == 0
    assert finer.parameters.chroma_offset > 0
    assert (errors(finer)[1:] < 0.9 * errors(usual)[1:]).all()
    assert errors(finer)[0] == pytest.approx(errors(usual)[0], rel=0.02)
    assert finer.squared_error == pytest.approx(errors(finer).sum())


@pytest.mark.skipif(not native.available(), reason="the extension was not built")
def test_pictures_count_chroma_as_other_frames_do() -> None:
    source = moving_clip(1, 48, 64)
    (frame,) = source
    task = task_of([frame.planes], source.format, HybridFitConfig(key_steps=100))

    def errors(offset: int) -> list[float]:
        weighted = replace(task, coded_as=replace(task.coded_as, chroma_offset=offset))
        found = fit_key(weighted, task.planes[0], 1e-3, None, seed=0).planes
        return [float(np.square(a.astype(float) - b).mean()) for a, b in zip(found, task.planes[0], strict=True)]

    usual, finer = errors(0), errors(10)
    assert sum(finer[1:]) < 0.8 * sum(usual[1:])
