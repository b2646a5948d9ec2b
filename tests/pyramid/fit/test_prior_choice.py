# SPDX-License-Identifier: MIT
"""The prior of a fit: that of the nearest rate, or the one whose short fit of parts of the picture is best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.native.pyramid_fit import Floats
from c3video.pyramid.config import GROUPS, PyramidConfig, PyramidFitConfig
from c3video.pyramid.fit import prior_choice
from c3video.pyramid.fit.prior_choice import choose_prior
from c3video.pyramid.fit.stages import PictureFit
from c3video.pyramid.fit.start import PRIOR_RATES, candidate_priors, fitting_priors, with_prior
from c3video.pyramid.priors import PRIORS
from c3video.video import VideoFormat
from pipelines.fit_pyramid_priors import PIXEL_FORMATS

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")

CONFIG = PyramidConfig(num_hyper=4)
LARGE = (512, 512)


def gray_picture(height: int, width: int) -> Floats:
    """Planes of 4:2:0, one after the other; the left half of luma is noise."""
    luma = np.full((height, width), 0.5, dtype=np.float32)
    luma[:, : width // 2] = np.random.default_rng(0).random((height, width // 2), dtype=np.float32)
    return np.concatenate([luma.ravel(), np.full(height * width // 2, 0.5, dtype=np.float32)])


def choice(shape: tuple[int, int], fit_config: PyramidFitConfig, config: PyramidConfig | None = None) -> int:
    targets = gray_picture(*shape)
    return choose_prior(config or CONFIG, "420", shape, targets, fit_config, 0, 1).prior


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Floats]]:
    """Numbers and pictures of the fits that are tried; those of prior 9 come out best, without a step."""
    tried: list[tuple[int, Floats]] = []

    def noise_stage(fit: PictureFit) -> None:
        tried.append((fit.plan.config.prior, fit.targets))

    def coded(fit: PictureFit, **_: object) -> object:
        return type("Step", (), {"loss": float(fit.plan.config.prior != 9)})()

    monkeypatch.setattr(PictureFit, "noise_stage", noise_stage)
    monkeypatch.setattr(PictureFit, "coded", coded)
    return tried


def test_every_prior_has_a_rate_and_some_widths() -> None:
    assert sorted(PRIOR_RATES) == list(PRIORS)
    offered = []
    for layout, pix_fmt in PIXEL_FORMATS.items():
        offered += fitting_priors(PyramidConfig().for_video(VideoFormat(16, 16, pix_fmt)), layout)
    assert PIXEL_FORMATS.keys() == GROUPS.keys()
    assert sorted(offered) == list(PRIORS)


@pytest.mark.parametrize("rd_weight", [1e-5, 4e-4, 1e-3, 2e-3, 5e-3, 1.0])
def test_candidates_are_of_rates_from_a_little_below_to_far_above(rd_weight: float) -> None:
    found = candidate_priors(CONFIG, "420", rd_weight)
    nearest = with_prior(CONFIG, "420", rd_weight).prior
    assert nearest in found
    rates = [PRIOR_RATES[number] for number in found if number != nearest]
    assert all(rd_weight / 1.5 <= rate <= 7.0 * rd_weight for rate in rates)
    assert candidate_priors(PyramidConfig(synthesis_width=5), "420", rd_weight) == []


def test_large_pictures_have_the_best_of_trials(trials: list[tuple[int, Floats]]) -> None:
    fit_config = PyramidFitConfig(rd_weight=2e-3, noise_steps=20_000)
    assert choice(LARGE, fit_config) == 9
    numbers = [number for number, _ in trials]
    assert numbers == candidate_priors(CONFIG, "420", 2e-3)
    assert len(numbers) > 2
    assert all(part.size == 256 * 256 * 3 // 2 for _, part in trials)


@pytest.mark.parametrize(("layout", "halved"), [("420", True), ("rgb", False)])
def test_what_is_tried_comes_from_all_over_the_picture(
    trials: list[tuple[int, Floats]], layout: str, halved: bool
) -> None:
    """Sixteen pieces of 64x64, in their order of place; samples say where they come from, those of chroma likewise."""
    height, width = 517, 770
    config = PyramidConfig().for_video(VideoFormat(width, height, "yuv420p" if halved else "gbrp"))
    shapes = [group.shape(height, width) for group in GROUPS[layout] for _ in range(group.num_planes)]
    places = [np.add.outer(1_000.0 * np.arange(h), np.arange(w)).astype(np.float32) for h, w in shapes]
    targets = np.concatenate([plane.ravel() for plane in places])
    choose_prior(config, layout, (height, width), targets, PyramidFitConfig(2e-3, noise_steps=20_000), 0, 1)
    ((_, part), *_) = trials
    at = 0
    for plane in range(len(shapes)):
        half = 1 if halved and plane else 0
        side = 256 >> half
        found = part[at : at + side * side].reshape(side, side)
        at += side * side
        for row, top in enumerate((0, 150, 302, 452)):
            for column, left in enumerate((0, 234, 470, 706)):
                piece = found[row * 64 >> half :, column * 64 >> half :][: 64 >> half, : 64 >> half]
                wanted = places[plane][top >> half :, left >> half :][: 64 >> half, : 64 >> half]
                np.testing.assert_array_equal(piece, wanted)
    assert at == part.size


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        ((288, 352), {"noise_steps": 100_000}),  # too small for tiles
        (LARGE, {"noise_steps": 1_100}),  # two trials would take more than their share
    ],
)
def test_others_have_the_nearest(
    trials: list[tuple[int, Floats]], shape: tuple[int, int], changes: dict[str, int]
) -> None:
    fit_config = replace(PyramidFitConfig(rd_weight=2e-3), **changes)
    assert choice(shape, fit_config) == with_prior(CONFIG, "420", 2e-3).prior
    assert not trials


def test_as_many_are_tried_as_their_share_of_time_allows(trials: list[tuple[int, Floats]]) -> None:
    """Each takes 300 steps of a quarter of the picture, of an eighth of all steps."""
    choice(LARGE, PyramidFitConfig(rd_weight=1e-3, noise_steps=1_800))
    assert [number for number, _ in trials] == candidate_priors(CONFIG, "420", 1e-3)[:3]


def test_widths_without_a_prior_have_none(trials: list[tuple[int, Floats]]) -> None:
    assert choice(LARGE, PyramidFitConfig(noise_steps=20_000), PyramidConfig(synthesis_width=5)) == 0
    assert not trials


def test_trials_are_what_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unmocked: the prior that is taken is the one whose own short fit of the parts has the least loss."""
    monkeypatch.setattr(prior_choice, "TRIAL_STEPS", 3)
    fit_config = PyramidFitConfig(rd_weight=2e-3, noise_steps=300)
    found = choice(LARGE, fit_config)
    losses: dict[int, float] = {}
    real = PictureFit.coded

    def coded(fit: PictureFit, **asked: bool) -> object:
        step = real(fit, **asked)
        losses[fit.plan.config.prior] = step.loss
        return step

    monkeypatch.setattr(PictureFit, "coded", coded)
    assert choice(LARGE, fit_config) == found == min(losses, key=losses.__getitem__)
    assert len(set(losses.values())) == len(losses) > 2
