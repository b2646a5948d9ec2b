# SPDX-License-Identifier: MIT
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from c3video.c3.config import C3Config, C3FitConfig
from c3video.c3.fit.loop import Progress, fit_patch
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


def test_hopeless_fit_raises_fit_error(samples: torch.Tensor, tiny_model: C3Config) -> None:
    with pytest.raises(FitError):
        fit_patch(samples * float("nan"), 1280, tiny_model, SHORT, 0)


@pytest.mark.parametrize(
    "change", [{"rd_weight": 0.0}, {"rd_weight": -1.0}, {"window_search": "luck"}, {"noise_steps": -1}]
)
def test_senseless_fit_config_raises(samples: torch.Tensor, tiny_model: C3Config, change: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        fit_patch(samples, 1280, tiny_model, replace(SHORT, **change), 0)
