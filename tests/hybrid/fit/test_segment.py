# SPDX-License-Identifier: MIT
"""Fitting segments of the hybrid model."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.filters import gaussian

import c3video
from c3video import native
from c3video.decoder import Decoder
from c3video.encoder import SegmentReport, encode, usual_lengths
from c3video.engine import choose_engine
from c3video.errors import ConfigError, FitError
from c3video.hybrid.config import HYBRID_PRESETS, HybridConfig, HybridFitConfig
from c3video.hybrid.fit.plans import PROBED_LEAD, USUAL_LEAD, Plan, best_lead
from c3video.hybrid.fit.segment import fit_segment
from c3video.hybrid.frame_order import coding_order
from c3video.media.scene_cuts import RunLengths
from c3video.progress import Progress
from c3video.video import ArraySource
from tests.conftest import moving_clip
from tests.hybrid.fit.tasks import favour_pictures

QUICK = HybridFitConfig(plans=2, passes=1, tuning_steps=5)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gray", "gbrp"])
def test_what_the_fit_saw_is_what_a_decoder_makes(pix_fmt: str) -> None:
    clip = moving_clip(5, 38, 52, pix_fmt)
    fitted = fit_segment([frame.planes for frame in clip], clip.format, HybridConfig(), QUICK, choose_engine())
    file = io.BytesIO()
    encode(clip, file, HybridConfig(), QUICK)
    with Decoder(io.BytesIO(file.getvalue())) as decoder:
        for frame, expected in zip(decoder, fitted.decoded, strict=True):
            for ours, theirs in zip(frame.planes, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("plans", [1, 6])
def test_low_delay_codes_frames_in_the_order_in_which_they_are_shown(plans: int) -> None:
    clip = moving_clip(7, 38, 52, "yuv420p")
    planes = [frame.planes for frame in clip]
    config = replace(QUICK, plans=plans, low_delay=True)
    fitted = fit_segment(planes, clip.format, HybridConfig(), config, choose_engine())
    assert [frame.index for frame in coding_order(7, fitted.parameters.gop)] == list(range(7))


@pytest.mark.skipif(not native.available(), reason="pictures are fitted by the extension")
@pytest.mark.parametrize(
    ("pix_fmt", "size", "num_frames"),
    [
        ("yuv420p", (38, 52), 5),
        ("yuv420p10le", (7, 5), 3),
        ("yuv422p", (33, 17), 2),
        ("yuv444p10le", (16, 16), 1),
        ("gray", (1, 40), 3),
        ("gbrp", (19, 30), 4),
        ("gbrp10le", (20, 9), 2),
    ],
)
def test_first_frames_that_are_pictures(
    monkeypatch: pytest.MonkeyPatch, pix_fmt: str, size: tuple[int, int], num_frames: int
) -> None:
    favour_pictures(monkeypatch)
    clip = moving_clip(num_frames, *size, pix_fmt)
    fit_config, file = replace(QUICK, key_steps=6), io.BytesIO()
    fitted = fit_segment([frame.planes for frame in clip], clip.format, HybridConfig(), fit_config, "native")
    assert fitted.parameters.picture is not None
    (report,) = encode(clip, file, HybridConfig(), fit_config)
    assert report.bits["level 0"] == 8 * len(fitted.parameters.picture)
    assert sum(report.bits.values()) - report.bits["segment overhead"] == pytest.approx(report.estimated_bits, rel=1e-6)
    with Decoder(io.BytesIO(file.getvalue()), threads=2) as decoder:
        for frame, expected in zip(decoder, fitted.decoded, strict=True):
            for ours, theirs in zip(frame.planes, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_a_picture_whose_fit_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> None:
        raise FitError("as if")

    monkeypatch.setattr("c3video.hybrid.fit.segment.fit_key", failing)
    clip = moving_clip(3, 16, 16, "yuv420p")
    planes = [frame.planes for frame in clip]
    fitted = fit_segment(planes, clip.format, HybridConfig(), replace(QUICK, key_steps=9), choose_engine())
    assert fitted.parameters.picture is None
    assert fitted.notes == ("the first frame is coded by subbands: as if",)


def test_first_frames_are_pictures_only_where_that_pays() -> None:
    clip = moving_clip(3, 32, 48, "yuv420p")
    planes = [frame.planes for frame in clip]
    without = fit_segment(planes, clip.format, HybridConfig(), QUICK, choose_engine())
    fitted = fit_segment(planes, clip.format, HybridConfig(), replace(QUICK, key_steps=1), choose_engine())
    assert fitted.parameters.picture is None
    assert fitted.estimated_bits == without.estimated_bits


@pytest.mark.parametrize("num_frames", [1, 2, 9])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (17, 64)])
def test_any_length_and_size(num_frames: int, size: tuple[int, int]) -> None:
    clip = moving_clip(num_frames, *size, "yuv420p")
    file = io.BytesIO()
    reports = encode(clip, file, HybridConfig(), QUICK, segment_frames=4)
    with Decoder(io.BytesIO(file.getvalue())) as decoder:
        assert len(list(decoder)) == num_frames
    assert sum(report.num_frames for report in reports) == num_frames


def test_estimate_is_what_the_bytes_hold() -> None:
    clip = moving_clip(6, 64, 80, "yuv420p")
    file = io.BytesIO()
    (report,) = encode(clip, file, HybridConfig(), replace(QUICK, rd_weight=1e-4))
    overhead = report.bits["segment overhead"]
    coded_bits = sum(report.bits.values()) - overhead
    assert coded_bits == pytest.approx(report.estimated_bits, rel=1e-6)
    assert overhead < 8 * 64 + 0.01 * report.estimated_bits


def test_gray_costs_hardly_more_as_rgb() -> None:
    """What three planes have in common is coded once, and as finely."""
    clip = moving_clip(5, 64, 80, "gray")
    as_rgb = ArraySource([frame.planes * 3 for frame in clip], replace(clip.format, pix_fmt="gbrp"))
    sizes, errors = [], []
    for source in (clip, as_rgb):
        file = io.BytesIO()
        (report,) = encode(source, file, HybridConfig(), replace(QUICK, rd_weight=2e-4))
        sizes.append(len(file.getvalue()))
        errors.append(report.mse)
    assert sizes[1] < 1.1 * sizes[0]
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


def test_same_seed_same_file() -> None:
    clip = moving_clip(4, 32, 48, "yuv420p")
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        encode(clip, file, HybridConfig(), QUICK, seed=3)
    assert files[0].getvalue() == files[1].getvalue()


def test_larger_rd_weight_smaller_file() -> None:
    clip = moving_clip(4, 48, 64, "yuv420p")
    sizes = []
    for rd_weight in (1e-4, 1e-3, 1e-2):
        file = io.BytesIO()
        encode(clip, file, HybridConfig(), replace(QUICK, rd_weight=rd_weight))
        sizes.append(len(file.getvalue()))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.3 * sizes[-1]


def test_more_effort_is_no_worse() -> None:
    clip = moving_clip(8, 48, 64, "yuv420p")
    planes = [frame.planes for frame in clip]
    num_pixels = 8 * 48 * 64

    def loss(config: HybridFitConfig) -> float:
        found = fit_segment(planes, clip.format, HybridConfig(), config, choose_engine())
        return found.squared_error / (1.5 * num_pixels) + config.rd_weight * found.estimated_bits / num_pixels

    assert loss(HYBRID_PRESETS["fast"]) <= loss(HYBRID_PRESETS["ultrafast"]) * 1.001


def test_progress_never_passes_its_end() -> None:
    clip = moving_clip(5, 32, 32, "yuv420p")
    seen: list[Progress] = []
    fit_segment(
        [frame.planes for frame in clip], clip.format, HybridConfig(), HYBRID_PRESETS["fast"], choose_engine(),
        report=seen.append,
    )  # fmt: skip
    steps = [progress.step for progress in seen]
    assert steps == sorted(steps)
    assert 0 < steps[-1] <= seen[-1].num_steps


def test_steps_shrink_with_the_importance_of_their_depth() -> None:
    frames, importance = coding_order(5, 4), {0: 20.0, 4: 6.0, 2: 3.0, 1: 1.0, 3: 1.0}
    indexes = Plan(8, 0.4, 1.0).step_indexes(1e-3, 1.5, frames, importance)
    assert list(indexes) == sorted(indexes)
    assert Plan(8, 0.5, 1.0).step_indexes(1e-3, 1.5, frames, importance)[0] < indexes[0]
    alone = Plan(8, 0.5, 1.2).step_indexes(1e-3, 1.5, frames, importance)[-1]
    assert alone == Plan(8, 0.3, 1.2).step_indexes(1e-3, 1.5, frames, importance)[-1]


def test_the_lead_is_that_of_the_first_frame_of_several() -> None:
    frames, importance = coding_order(5, 4), {0: 20.0, 4: 6.0, 2: 3.0, 1: 1.0, 3: 1.0}
    usual, finer = (Plan(8, 0.4, 1.0, lead=lead).step_indexes(1e-3, 1.5, frames, importance) for lead in (1.0, 0.5))
    assert np.subtract(finer, usual).tolist() == [-8, 0, 0, 0, 0]
    usual, finer = (
        Plan(8, 0.4, 1.0, lead=lead).step_indexes(1e-3, 1.5, coding_order(1, 1), {0: 1.0}) for lead in (1.0, 0.5)
    )
    assert finer == usual


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("best", [-0.7, -0.3, 0.1])
def test_the_best_lead_is_where_a_parabola_has_its_least(best: float, share: float) -> None:
    losses = [3e-4 * math.exp(0.2 * share * (math.log2(lead) - best) ** 2) for lead in (USUAL_LEAD, PROBED_LEAD)]
    assert math.log2(best_lead(*losses, share)) == pytest.approx(best)


@pytest.mark.parametrize(
    ("losses", "share", "found"),
    [
        ((1.0, 3.0), 0.3, 2**0.25),
        ((1.0, 0.3), 0.3, 2**-0.75),
        ((1.0, 1.1), 1e-300, 2**0.25),
        ((1.0, 1.1), 0.0, USUAL_LEAD),
        ((0.0, 0.0), 0.3, USUAL_LEAD),
        ((0.0, 1e-9), 0.3, USUAL_LEAD),
    ],
)
def test_leads_stay_in_bounds(losses: tuple[float, float], share: float, found: float) -> None:
    assert best_lead(*losses, share) == pytest.approx(found)


@pytest.mark.skipif(not native.available(), reason="pictures are fitted by the extension")
def test_first_frames_are_finer_where_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same picture six times, and six that have nothing of each other."""
    asked: list[float] = []
    monkeypatch.setattr(
        "c3video.hybrid.fit.segment._with_picture",
        lambda task, trials, best, lead, seed: (best, ()) if asked.append(lead) is None else None,
    )
    random = np.random.default_rng(0)
    video = moving_clip(1, 48, 64).format
    frames = [
        tuple((255.0 * gaussian(random.random(shape), 1.5)).astype(np.uint8) for shape in video.plane_shapes)
        for _ in range(6)
    ]
    for planes in ([frames[0]] * 6, frames):
        fit_segment(planes, video, HybridConfig(), replace(QUICK, passes=0), choose_engine())
    still, restless = asked
    assert still < 0.9 * restless


def test_steps_shrink_with_the_importance_of_their_frame() -> None:
    frames, alike = coding_order(5, 4), {0: 20.0, 4: 6.0, 2: 3.0, 1: 2.0, 3: 2.0}
    usual = Plan(8, 0.4, 1.0).step_indexes(1e-3, 1.5, frames, alike)
    apart = Plan(8, 0.4, 1.0).step_indexes(1e-3, 1.5, frames, alike | {1: 8.0, 3: 0.5})
    # Two octaves of importance to the power of 0.4, of which 0.7 counts: 4.48 eighths of an octave.
    assert np.subtract(apart, usual).tolist() == [0, 0, 0, -4, 4]


def test_fits_of_the_wrong_kind_are_refused() -> None:
    clip = moving_clip(2, 32, 32, "yuv420p")
    with pytest.raises(ConfigError, match="HybridConfig is not fitted with a C3FitConfig"):
        encode(clip, io.BytesIO(), HybridConfig(), c3video.config.C3FitConfig())
    with pytest.raises(ConfigError, match="whole frames"):
        encode(clip, io.BytesIO(), HybridConfig(), QUICK, patch_size=(16, 16))


def test_segments_are_long_but_fit_into_a_stream() -> None:
    video = c3video.video.VideoFormat(1280, 720, "yuv420p")
    assert usual_lengths(HybridConfig(), video) == RunLengths(64, 128)
    assert usual_lengths(c3video.config.C3Config(), video) == RunLengths(32, 32)
    assert usual_lengths(HybridConfig(), replace(video, width=1600, height=900)) == RunLengths(64, 92)
    assert usual_lengths(HybridConfig(), replace(video, width=1920, height=1080)) == RunLengths(64, 64)
    large = replace(video, width=16384, height=8192)
    assert (1 << 31) // (16384 * 8192 * 3 // 2) == 10
    assert usual_lengths(HybridConfig(), large) == RunLengths(10, 10)


def test_few_frames_that_are_left_join_the_last_segment_unless_a_file_is_live(tmp_path: Path) -> None:
    clip, quick = moving_clip(70, 16, 16), HybridFitConfig(plans=1, passes=0, choice_passes=0)

    def lengths(segments: Sequence[SegmentReport]) -> list[int]:
        return [segment.num_frames for segment in segments]

    assert lengths(encode(clip, io.BytesIO(), HybridConfig(), quick, scene_cuts=False)) == [70]
    assert lengths(encode(clip, io.BytesIO(), HybridConfig(), quick, scene_cuts=False, segment_frames=64)) == [64, 6]
    for live, expected in ((False, [70]), (True, [64, 6])):
        out = tmp_path / f"{live}.c3v"
        found = c3video.encode(clip, out, preset="ultrafast", scene_cuts=False, workers=1, live=live)
        assert lengths(found) == expected
        with c3video.open(out) as decoder:
            assert len(list(decoder)) == 70


def test_a_picture_is_fitted_for_longer_where_fewer_frames_follow() -> None:
    fast, medium = HYBRID_PRESETS["fast"], HYBRID_PRESETS["medium"]
    assert [fast.picture_steps(count) for count in (1, 22, 64, 200)] == [1_000, 867, 600, 600]
    assert medium.picture_steps(1) == medium.picture_steps(64) == 3_200
    assert HYBRID_PRESETS["ultrafast"].picture_steps(1) == 0
