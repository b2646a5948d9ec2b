# SPDX-License-Identifier: MIT
"""Fits of small pictures: what they promise is what a decoder makes, in bytes and in samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.errors import ConfigError, FitError
from c3video.progress import Progress
from c3video.pyramid.config import PYRAMID_PRESETS, PyramidConfig, PyramidFitConfig
from c3video.pyramid.differences import weights_from
from c3video.pyramid.fit.loop import FittedPicture, fit_picture
from c3video.pyramid.payload import decode_picture, encode_picture
from c3video.pyramid.priors import prior_of
from c3video.pyramid.synthesis import synthesise
from c3video.video import Planes, VideoFormat

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")

TINY = PyramidConfig(num_grids=4, num_taps=4, entropy_layers=(6,), synthesis_width=6, refine_width=3)
QUICK = PyramidFitConfig(rd_weight=1e-3, noise_steps=60, network_steps=10, rounding_steps=2)


def picture(video: VideoFormat, seed: int = 0) -> Planes:
    """Smooth shades with an edge and some grain."""
    rng = np.random.default_rng(seed)
    planes = []
    for h, w in video.plane_shapes:
        y, x = np.mgrid[0:h, 0:w] / max(h, w)
        shade = 0.5 + 0.3 * np.sin(5 * x + len(planes)) * np.cos(4 * y) + 0.15 * (x + y > 0.7)
        shade += rng.normal(0, 0.01, (h, w))
        planes.append(np.rint(np.clip(shade, 0, 1) * video.layout.max_value).astype(video.layout.dtype))
    return tuple(planes)


def true_loss(planes: Planes, fitted: FittedPicture, video: VideoFormat, rd_weight: float) -> tuple[float, int]:
    """Loss and bytes of the coded picture, as NumPy decodes it."""
    data, _ = encode_picture(fitted.weights, fitted.symbols, video, fitted.differences)
    coded = decode_picture(data, fitted.weights.config, video)
    decoded = synthesise(coded.weights, coded.symbols, video.layout)
    errors = sum(float(np.square(a.astype(float) - b).sum()) for a, b in zip(decoded, planes, strict=True))
    mse = errors / sum(plane.size for plane in planes) / video.layout.max_value**2
    return mse + rd_weight * 8 * len(data) / (video.width * video.height), len(data)


@pytest.mark.parametrize(
    ("pix_fmt", "size"),
    [("yuv420p", (50, 37)), ("gray", (40, 40)), ("gbrp", (33, 21)), ("yuv422p10le", (31, 24)), ("yuv444p", (1, 9))],
)
def test_what_a_fit_promises_is_what_a_decoder_makes(pix_fmt: str, size: tuple[int, int]) -> None:
    video = VideoFormat(*size, pix_fmt)
    planes = picture(video)
    fitted = fit_picture(planes, video, TINY, QUICK)
    loss, size_bytes = true_loss(planes, fitted, video, QUICK.rd_weight)
    assert abs(size_bytes - fitted.estimated_bits / 8) <= 64 + 0.01 * size_bytes
    # What rounds in a decoder and not in a fit: 64 bytes as above, and half a step of a sample.
    slack = QUICK.rd_weight * 8 * 64 / (video.width * video.height) + (0.5 / 255) ** 2
    assert fitted.loss == pytest.approx(loss, rel=0.03, abs=slack)


def test_more_steps_are_better_and_each_is_reported() -> None:
    video = VideoFormat(96, 80, "yuv420p")
    planes = picture(video)
    losses = []
    for noise_steps in (20, 100, 400):
        # At a rate where a picture as small as this one is more than its weights.
        config, seen = replace(QUICK, rd_weight=1e-4, noise_steps=noise_steps), list[Progress]()
        fitted = fit_picture(planes, video, TINY, config, report=seen.append)
        losses.append(true_loss(planes, fitted, video, config.rd_weight)[0])
        assert [progress.step for progress in seen] == list(range(1, noise_steps + config.network_steps + 1))
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("shape", [(64, 48), (520, 512)])  # the latter by tiles
def test_weighted_chroma_comes_out_better(shape: tuple[int, int]) -> None:
    video = VideoFormat(*shape, "yuv420p")
    planes, errors, losses = picture(video), [], []
    for chroma_weight in (1.0, 5.0):
        config = replace(QUICK, chroma_weight=chroma_weight)
        fitted = fit_picture(planes, video, TINY, config)
        decoded = synthesise(fitted.weights, fitted.symbols, video.layout)
        errors.append([float(np.square(a.astype(float) - b).mean()) for a, b in zip(decoded, planes, strict=True)])
        losses.append(fitted.loss)
    assert sum(errors[1][1:]) < 0.8 * sum(errors[0][1:])
    assert losses[1] > losses[0]


@pytest.mark.parametrize("shape", [(64, 48), (520, 512)])  # the latter by tiles
def test_places_that_count_more_come_out_better(shape: tuple[int, int]) -> None:
    video = VideoFormat(*shape, "yuv420p")
    planes, errors = picture(video), []
    left_counts = [np.where(np.arange(plane.shape[1]) < plane.shape[1] // 2, 4.0, 0.25) for plane in planes]
    importance = [np.broadcast_to(row, plane.shape) for row, plane in zip(left_counts, planes, strict=True)]
    for given in (None, importance):
        fitted = fit_picture(planes, video, TINY, QUICK, importance=given)
        luma = synthesise(fitted.weights, fitted.symbols, video.layout)[0]
        squared = np.square(luma.astype(float) - planes[0])
        errors.append([float(half.mean()) for half in np.hsplit(squared, 2)])
    assert errors[1][0] < 0.9 * errors[0][0]
    assert errors[1][1] > 1.1 * errors[0][1]


@pytest.mark.parametrize("chroma_weight", [0.0, -1.0, float("nan")])
def test_a_weight_of_chroma_that_makes_no_sense_is_refused(chroma_weight: float) -> None:
    with pytest.raises(ConfigError, match=r"chroma_weight = .*: must be above 0"):
        replace(QUICK, chroma_weight=chroma_weight).check()


def test_a_seed_repeats_a_fit_and_another_does_not() -> None:
    video = VideoFormat(32, 32, "gray")
    planes = picture(video)
    one, same, other = (fit_picture(planes, video, TINY, QUICK, seed=seed) for seed in (1, 1, 2))
    assert encode_picture(one.weights, one.symbols, video) == encode_picture(same.weights, same.symbols, video)
    assert encode_picture(one.weights, one.symbols, video)[0] != encode_picture(other.weights, other.symbols, video)[0]


@pytest.mark.parametrize("config", [TINY, PyramidConfig(num_hyper=4)])
def test_weights_are_those_of_their_differences(config: PyramidConfig) -> None:
    video = VideoFormat(40, 30, "yuv420p")
    fitted = fit_picture(picture(video), video, config, QUICK)
    prior = prior_of(fitted.weights.config, "420")
    assert bool(prior.bases) == (prior.config.prior > 0)
    assert set(fitted.differences) == set(fitted.weights.arrays)
    for name, array in fitted.weights.arrays.items():
        np.testing.assert_array_equal(weights_from(prior, name, fitted.differences[name]), array, err_msg=name)
    assert fitted.weights.differ(prior.arrays)


def test_the_prior_of_the_nearest_rate_is_taken_where_widths_and_layout_fit() -> None:
    video = VideoFormat(40, 30, "yuv420p")
    planes, short = picture(video), replace(QUICK, noise_steps=3, network_steps=0)
    priors = {
        rd_weight: fit_picture(
            planes, video, PyramidConfig(num_hyper=4), replace(short, rd_weight=rd_weight)
        ).weights.config.prior
        for rd_weight in (1e-4, 9e-4, 2e-2)
    }
    assert len(set(priors.values())) == 3
    assert 0 not in priors.values()
    assert (
        fit_picture(planes, video, PyramidConfig(num_hyper=4), replace(short, use_prior=False)).weights.config.prior
        == 0
    )
    assert fit_picture(planes, video, TINY, short).weights.config.prior == 0


def test_a_loss_that_is_not_finite_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    video = VideoFormat(16, 16, "gray")
    with pytest.raises(FitError, match="step 2"):
        fit_picture(picture(video), video, TINY, replace(QUICK, learning_rate=1e30, latent_rate=1e30))


def test_presets_differ_by_their_steps_only() -> None:
    steps = [preset.noise_steps + preset.network_steps for preset in PYRAMID_PRESETS.values()]
    assert steps == sorted(set(steps))
    for preset in PYRAMID_PRESETS.values():
        preset.check()


def test_a_small_picture_spends_less_on_weights_whose_bits_count() -> None:
    video = VideoFormat(48, 40, "yuv420p")
    planes, fit = picture(video), PYRAMID_PRESETS["ultrafast"]

    def bytes_and_loss(fit: PyramidFitConfig) -> tuple[int, float]:
        fitted = fit_picture(planes, video, PyramidConfig(num_hyper=4), fit)
        return len(encode_picture(fitted.weights, fitted.symbols, video, fitted.differences)[0]), fitted.loss

    held, held_loss = bytes_and_loss(fit)
    free, free_loss = bytes_and_loss(replace(fit, weight_rate=0.0))
    assert held < 0.9 * free
    assert held_loss < 0.9 * free_loss


@pytest.mark.parametrize("value", [0, 255])
def test_a_picture_that_says_nothing_is_fitted(value: int) -> None:
    """Its samples are clipped, so nothing holds the weights; what noise does to some of them is not running away."""
    video = VideoFormat(17, 33, "gray")
    planes, fit = [np.full((33, 17), value, dtype=np.uint8)], PYRAMID_PRESETS["ultrafast"]
    for seed in range(3):
        fitted = fit_picture(planes, video, PyramidConfig(num_hyper=4), fit, seed=seed)
        assert len(encode_picture(fitted.weights, fitted.symbols, video, fitted.differences)[0]) < 200
