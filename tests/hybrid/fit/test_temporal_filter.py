# SPDX-License-Identifier: MIT
"""Means along motion: they lose noise and nothing else, and errors are still those against the source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.engine import choose_engine
from c3video.hybrid.coded_planes import from_coded
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.fit import trials
from c3video.hybrid.fit.plans import Plan, PlanSearch
from c3video.hybrid.fit.segment import fit_segment
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.fit.temporal_filter import temporal_target
from c3video.hybrid.fit.trials import Trial, Trials
from c3video.video import Planes, VideoFormat
from tests.conftest import moving_clip
from tests.hybrid.fit.tasks import task_of

SLOPE = 1.5e-3
"""Of rd_weight 1e-3 in 4:2:0."""

needs_native = pytest.mark.skipif(not native.available(), reason="the extension was not built")


def target(planes: list[Planes], video: VideoFormat, index: int, slope: float = SLOPE, threads: int = 1) -> Planes:
    found = temporal_target(task_of(planes, video, threads=threads), index, slope)
    return from_coded(found, video.layout)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth blobs, (height, width) on 0..1."""
    rng = np.random.default_rng(seed)
    blobs = rng.random((height // 6 + 4, width // 6 + 4)).repeat(6, axis=0).repeat(6, axis=1)
    kernel = np.hanning(13) / np.hanning(13).sum()
    for axis in (0, 1):
        blobs = np.apply_along_axis(np.convolve, axis, blobs, kernel, mode="valid")
    return 0.1 + 0.8 * blobs[:height, :width]


def as_planes(luma: np.ndarray, video: VideoFormat) -> Planes:
    """A frame whose other planes are the luma, shrunk."""
    layout = video.layout
    return tuple(
        np.clip(np.rint(luma[:: 1 << down, :: 1 << right] * layout.max_value), 0, layout.max_value).astype(layout.dtype)
        for down, right in layout.planes
    )


def mse(planes: Planes, others: Planes) -> list[float]:
    return [float(np.square(a.astype(float) - b).mean()) for a, b in zip(planes, others, strict=True)]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gray", "gbrp"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 47)])
def test_frames_that_do_not_change_stay_as_they_are(pix_fmt: str, size: tuple[int, int]) -> None:
    clip = moving_clip(1, *size, pix_fmt)
    (frame,) = clip
    for index in (0, 3, 6):
        found = target([frame.planes] * 7, clip.format, index)
        for ours, theirs in zip(found, frame.planes, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_a_frame_alone_stays_as_it_is() -> None:
    clip = moving_clip(1, 21, 34)
    (frame,) = clip
    for ours, theirs in zip(target([frame.planes], clip.format, 0), frame.planes, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("speed", [0, 1, 3])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp"])
def test_noise_goes_and_what_moves_stays(speed: int, pix_fmt: str) -> None:
    video = VideoFormat(77, 50, pix_fmt)
    wide = picture(50, 77 + 7 * speed)
    rng = np.random.default_rng(1)
    clean = [as_planes(wide[:, speed * t : speed * t + 77], video) for t in range(7)]
    noisy = [
        as_planes(wide[:, speed * t : speed * t + 77] + rng.normal(scale=0.01, size=(50, 77)), video) for t in range(7)
    ]
    before, after = mse(noisy[3], clean[3]), mse(target(noisy, video, 3), clean[3])
    assert after[0] < 0.5 * before[0]
    assert all(ours < 0.8 * theirs for ours, theirs in zip(after, before, strict=True))


def test_a_cut_is_not_smeared() -> None:
    video = VideoFormat(80, 48, "yuv420p")
    planes = [as_planes(picture(48, 80, seed), video) for seed in (1, 1, 1, 9, 9, 9)]
    for index in (2, 3):
        np.testing.assert_allclose(target(planes, video, index)[0].astype(int), planes[index][0], atol=4)
        # Of the 2385 that the scenes differ by.
        assert all(error < 1.0 for error in mse(target(planes, video, index), planes[index]))


def test_what_only_this_frame_shows_stays() -> None:
    video = VideoFormat(64, 64, "yuv420p")
    lumas = [picture(64, 64) * 0.5 for _ in range(5)]
    lumas[2] = lumas[2].copy()
    lumas[2][20:30, 20:30] = 1.0
    planes = [as_planes(luma, video) for luma in lumas]
    assert np.abs(target(planes, video, 2)[0][20:30, 20:30].astype(int) - 255).max() <= 1
    # ... and does not leak into the frames beside it.
    assert np.abs(target(planes, video, 1)[0].astype(int) - planes[1][0]).max() <= 2


def test_finer_coding_filters_less() -> None:
    clip = moving_clip(7, 40, 56)
    planes = [frame.planes for frame in clip]
    changes = [sum(mse(target(planes, clip.format, 3, slope), planes[3])) for slope in (1e-7, 1e-5, 1e-3)]
    assert changes[0] == 0.0
    assert changes == sorted(changes)
    assert changes[2] > changes[1]


def test_frames_further_away_do_not_matter() -> None:
    clip = moving_clip(9, 30, 40)
    planes = [frame.planes for frame in clip]
    other = [*planes[:7], *([tuple(np.zeros_like(plane) for plane in planes[0])] * 2)]
    for ours, theirs in zip(target(planes, clip.format, 3), target(other, clip.format, 3), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_threads_do_not_matter() -> None:
    clip = moving_clip(3, 50, 60)
    planes = [frame.planes for frame in clip]
    for ours, theirs in zip(target(planes, clip.format, 1), target(planes, clip.format, 1, threads=3), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def trials_of(num_frames: int, engine: str | None = None) -> Trials:
    clip = moving_clip(num_frames, 32, 48)
    return Trials(task_of([frame.planes for frame in clip], clip.format, name=engine))


@needs_native
def test_anchors_are_filtered_and_nothing_else() -> None:
    fit = trials_of(18)
    assert sorted(fit.targets(Plan(8, 0.4, 1.0))) == [0, 8, 16, 17]
    assert fit.targets(Plan(8, 0.4, 1.0, filtered=False)) == {}
    assert fit.targets(Plan(4, 0.4, 1.0)) == {}
    assert fit.targets(Plan(8, 0.4, 1.0))[16] is fit.targets(Plan(16, 0.3, 1.2))[16]


def test_nothing_is_filtered_without_the_extension() -> None:
    assert trials_of(9, "numpy").targets(Plan(8, 0.4, 1.0)) == {}


def test_no_plan_is_coded_twice() -> None:
    """With a short way from anchor to anchor nothing is filtered: asking for it or not is the same plan."""
    fit = trials_of(9)
    coded: list[Plan] = []

    def counted(plan: Plan, rival: Trial | None, most_loss: float) -> Trial:
        coded.append(plan)
        return fit.attempt(plan, rival, most_loss)

    PlanSearch(counted, fit.weigh, fit.forget, longest=4, most=40, can_filter=True).best()
    assert len(coded) > 4
    assert all(plan.filtered for plan in coded)


def test_errors_are_counted_against_the_source() -> None:
    clip = moving_clip(9, 40, 56)
    planes = [frame.planes for frame in clip]
    fitted = fit_segment(planes, clip.format, HybridConfig(), HybridFitConfig(plans=2, passes=0), choose_engine())
    errors = sum(
        float(np.square(ours.astype(float) - theirs).sum())
        for frame, decoded in zip(planes, fitted.decoded, strict=True)
        for ours, theirs in zip(decoded, frame, strict=True)
    )
    assert fitted.squared_error == pytest.approx(errors / 255**2)


@needs_native
def test_a_filter_that_does_harm_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets that are wrong must lose against the source once the search comes to that move."""
    clip = moving_clip(9, 40, 56)
    planes = [frame.planes for frame in clip]

    def wrong(task: FitTask, index: int, slope: float) -> Planes:
        return tuple(255 - plane for plane in task.planes[index])

    config = HybridFitConfig(plans=24, passes=0)
    monkeypatch.setattr(trials, "temporal_target", wrong)
    fit = Trials(task_of(planes, clip.format, config))
    best = PlanSearch(fit.attempt, fit.weigh, fit.forget, longest=8, most=24, can_filter=True).best().plan
    assert not best.filtered or best.gop < 8
    harmed = fit_segment(planes, clip.format, HybridConfig(), replace(config, plans=1), choose_engine())
    rescued = fit_segment(planes, clip.format, HybridConfig(), config, choose_engine())
    assert rescued.squared_error < 0.1 * harmed.squared_error
