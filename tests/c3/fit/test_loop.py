# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from c3video.c3.config import C3_PRESETS, C3Config, C3FitConfig
from c3video.c3.fit.loop import Progress, _PatchFit, fit_patch
from c3video.c3.fit.network import PatchNetwork
from c3video.c3.fit.precision import search_precisions, weight_bits
from c3video.c3.payload import encode_patch
from c3video.c3.synthesis import synthesise
from c3video.c3.weight_coding import NETWORKS, choose_code
from c3video.errors import ConfigError, FitError

SHAPE = (4, 16, 20)
SHORT = C3FitConfig(rd_weight=1e-3, noise_steps=60, rounding_steps=10, weight_steps=5, window_steps=20)


@pytest.fixture
def samples() -> torch.Tensor:
    """A gradient with a square that moves over it, three channels."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]] / 20.0
    clip = np.stack([np.stack([0.5 + 0.3 * y - 0.2 * x, x, 1 - y])] * SHAPE[0], axis=1)
    for t in range(SHAPE[0]):
        clip[:, t, 4:9, 3 + 2 * t : 8 + 2 * t] = 0.9
    return torch.from_numpy(clip).float()


def test_fit_describes_the_patch_and_says_what_it_does(samples: torch.Tensor, tiny_model: C3Config) -> None:
    steps: list[Progress] = []
    fitted = fit_patch(samples, 1280, tiny_model, replace(SHORT, noise_steps=200), 0, steps.append)
    assert [p.step for p in steps] == list(range(1, len(steps) + 1))
    assert steps[-1].step == steps[-1].num_steps
    assert {p.stage for p in steps} == {"noise", "rounding", "weights"}
    assert fitted.loss < 0.35 * steps[0].loss
    exact = synthesise(fitted.model, fitted.symbols, SHAPE, 255) / 255
    mse = float(np.mean((exact - samples.numpy()) ** 2))
    assert mse + 1e-3 * fitted.estimated_bits / 1280 == pytest.approx(fitted.loss, rel=0.02)


def test_same_seed_same_fit_other_seed_other_fit(samples: torch.Tensor, tiny_model: C3Config) -> None:
    def coded(seed: int) -> bytes:
        fitted = fit_patch(samples, 1280, tiny_model, SHORT, seed)
        layers = fitted.model.layers
        codes = {n: choose_code([x for x in layers if x.spec.network == n]) for n in NETWORKS}
        return encode_patch(fitted.model, codes, fitted.symbols)[0]

    assert coded(1) == coded(1)
    assert coded(1) != coded(2)


@pytest.mark.parametrize("search", ["wide", "correlation", "centre"])
def test_every_window_search_gives_windows_in_range(samples: torch.Tensor, tiny_model: C3Config, search: str) -> None:
    config = replace(SHORT, window_search=search, window_steps=10)
    windows = fit_patch(samples, 1280, tiny_model, config, 0).model.windows
    assert windows[2] is None
    assert all(0 <= corner <= 61 for window in windows[:2] if window for corner in window)


def test_single_frame_fits(samples: torch.Tensor, tiny_model: C3Config) -> None:
    fitted = fit_patch(samples[:, :1], 320, tiny_model, replace(SHORT, window_search="wide"), 0)
    assert fitted.symbols[0].shape == (1, 8, 10)


def test_runaway_fit_goes_back_and_says_so(samples: torch.Tensor, tiny_model: C3Config) -> None:
    """A learning rate a hundred times too large must still end with something near the best seen."""
    fitted = fit_patch(samples, 1280, tiny_model, replace(SHORT, noise_steps=150, learning_rate=2.0), 0)
    assert np.isfinite(fitted.loss)
    assert any("went back" in note for note in fitted.notes)


def _fit(samples: torch.Tensor, model: C3Config, config: C3FitConfig, report: Callable[[Progress], None]) -> _PatchFit:
    return _PatchFit(samples, 1280, model, config, 0, report, PatchNetwork, search_precisions)


def test_fit_recovers_from_one_accident(samples: torch.Tensor, tiny_model: C3Config) -> None:
    """Parameters thrown far off in mid-stage: one return, and an end not far from that without the accident."""
    config = replace(SHORT, noise_steps=300)

    def spoil(progress: Progress) -> None:
        if spoilt and progress.step == 120:
            with torch.no_grad():
                for weight in fit.network.weights:
                    weight.mul_(8.0)

    losses = []
    for spoilt in (False, True):
        fit = _fit(samples, tiny_model, config, spoil)
        fit.noise_stage()
        losses.append(fit._rounded_loss())
        assert len(fit.notes) == spoilt
    assert losses[1] < 1.4 * losses[0]  # half the step for the rest of a short fit


def test_moments_go_back_with_the_parameters(samples: torch.Tensor, tiny_model: C3Config) -> None:
    """With new moments Adam moves every latent by the whole rate at once; with the old ones hardly any."""
    config = replace(SHORT, noise_steps=300)
    fit = _fit(samples, tiny_model, config, lambda progress: None)
    after: list[torch.Tensor] = []  # the latents as they went back, and a step later
    for step in fit._noisy_steps("noise", 300, 300):
        if step == 120:
            with torch.no_grad():
                fit.network.weights[-1].add_(5.0)
        if fit.notes:
            after.append(fit.network.latents.detach().clone())
        if len(after) == 2:
            break
    whole_rate = 0.5 * config.learning_rate * config.latent_rate  # at most: the cosine has begun to fall
    assert 0.0 < float((after[1] - after[0]).abs().mean()) < 0.4 * whole_rate


def test_better_parameters_are_kept(samples: torch.Tensor, tiny_model: C3Config) -> None:
    fit = _fit(samples, tiny_model, SHORT, lambda progress: None)
    fit.noise_stage()
    good, loss = fit._state(), fit._rounded_loss()
    with torch.no_grad():
        fit.network.weights[-1].add_(0.1)
    bad = fit._state()
    fit._keep_better(good)
    assert fit._rounded_loss() == loss
    fit._keep_better(bad)
    assert fit._rounded_loss() == loss


@pytest.mark.slow
@pytest.mark.parametrize("num_frames", [1, 4])
def test_more_steps_are_better(samples: torch.Tensor, tiny_model: C3Config, num_frames: int) -> None:
    """Bits of weights apart: nearly all of so small a patch, and nothing in the published method bounds them."""
    num_pixels, losses = 320 * num_frames, []
    for preset in ("ultrafast", "fast", "medium", "slow"):
        fitted = fit_patch(samples[:, :num_frames], num_pixels, tiny_model, C3_PRESETS[preset], 0)
        bits_of_weights = sum(weight_bits(fitted.model.layers, name) for name in NETWORKS)
        losses.append(fitted.loss - 1e-3 * bits_of_weights / num_pixels)
    assert all(longer < shorter for shorter, longer in pairwise(losses)), losses


def test_hopeless_fit_raises_fit_error(samples: torch.Tensor, tiny_model: C3Config) -> None:
    with pytest.raises(FitError):
        fit_patch(samples * float("nan"), 1280, tiny_model, SHORT, 0)


@pytest.mark.parametrize(
    "change", [{"rd_weight": 0.0}, {"rd_weight": -1.0}, {"window_search": "luck"}, {"noise_steps": -1}]
)
def test_senseless_fit_config_raises(samples: torch.Tensor, tiny_model: C3Config, change: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        fit_patch(samples, 1280, tiny_model, replace(SHORT, **change), 0)
