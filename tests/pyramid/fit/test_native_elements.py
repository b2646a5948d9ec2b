# SPDX-License-Identifier: MIT
"""Noise, rounding and Adam on flat latents against torch in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from c3video import native
from c3video.native.pyramid_fit import Adam, add_noise

pytestmark = pytest.mark.skipif(not native.available(), reason="the extension was not built")


def soft_round(x: Tensor, temperature: float) -> Tensor:
    middle = torch.floor(x) + 0.5
    return middle + torch.tanh((x - middle) / temperature) / (2.0 * math.tanh(0.5 / temperature))


def soft_round_inverse(y: Tensor, temperature: float) -> Tensor:
    middle = torch.floor(y) + 0.5
    return middle + torch.atanh((y - middle) * (2.0 * math.tanh(0.5 / temperature))) * temperature


def latents_of(count: int, seed: int = 0) -> np.ndarray:
    return (3.0 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.3, 0.15])
@pytest.mark.parametrize("isa", ["", "plain", "avx2"])
def test_given_noise_goes_through_soft_rounding_and_back(
    temperature: float, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isa and isa not in native.instruction_sets():
        pytest.skip("not on this processor")
    monkeypatch.setenv("C3VIDEO_ISA", isa)
    x, noise = latents_of(2_501), (0.2 * latents_of(2_501, 1) / 3.0).astype(np.float32)
    steps, slopes = add_noise(x, temperature, noise=noise)
    leaf = torch.from_numpy(x).double().requires_grad_()
    middle = soft_round(leaf, temperature) + torch.from_numpy(noise).double() - 0.5
    wanted = soft_round_inverse(middle, temperature) + 0.5
    (slope,) = torch.autograd.grad(wanted.sum(), leaf)
    # Beside a step of the inverse float32 and float64 may stand on different sides.
    middle = middle.detach()
    usual = ((middle - middle.round()).abs() > 1e-2).numpy() & ((x - np.round(x)) ** 2 > 1e-6)
    assert usual.mean() > 0.9
    np.testing.assert_allclose(steps[usual], wanted.detach().numpy()[usual], atol=1e-4)
    np.testing.assert_allclose(slopes[usual], slope.numpy()[usual], rtol=2e-3, atol=1e-4)


def noise_of(**kind: float) -> np.ndarray:
    """What was added to latents in the middle of a step, where soft rounding at a high temperature does nothing."""
    x = np.full(200_000, 0.5, dtype=np.float32)
    return add_noise(x, 50.0, seed=7, **kind)[0].astype(np.float64) - 0.5  # type: ignore[arg-type]


def test_gaussian_noise_is_normal() -> None:
    noise = noise_of(gaussian=0.25) / 0.25
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1.0) < 0.01
    assert abs((noise**4).mean() - 3.0) < 0.1
    for bound, share in ((-2.0, 0.02275), (-1.0, 0.15866), (0.5, 0.69146), (3.0, 0.99865)):
        assert abs((noise < bound).mean() - share) < 0.004
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.01


def test_noise_follows_from_seed_and_position_alone() -> None:
    x = latents_of(40_000)
    one = add_noise(x, 0.3, gaussian=0.2, seed=5)
    three = add_noise(x, 0.3, gaussian=0.2, seed=5, num_threads=3)
    other = add_noise(x, 0.3, gaussian=0.2, seed=6)
    np.testing.assert_array_equal(one[0], three[0])
    np.testing.assert_array_equal(one[1], three[1])
    assert (one[0] != other[0]).mean() > 0.9


def test_just_one_kind_of_noise() -> None:
    with pytest.raises(ValueError, match="one of"):
        add_noise(latents_of(3), 0.3)
    with pytest.raises(ValueError, match="one of"):
        add_noise(latents_of(3), 0.3, gaussian=0.1, noise=latents_of(3))


def test_adam_is_that_of_torch() -> None:
    start, rng = latents_of(1_003), np.random.default_rng(3)
    ours = start.copy()
    adam = Adam(ours, beta1=0.8, beta2=0.95, epsilon=1e-6)
    leaf = torch.from_numpy(start).double().requires_grad_()
    reference = torch.optim.Adam([leaf], betas=(0.8, 0.95), eps=1e-6)
    for step in range(5):
        grad, slopes = (rng.standard_normal(1_003).astype(np.float32) for _ in range(2))
        rate = 0.1 / (step + 1)
        adam.step(grad, rate, slopes=slopes)
        reference.param_groups[0]["lr"] = rate
        leaf.grad = torch.from_numpy(grad * slopes).double()
        reference.step()
    np.testing.assert_allclose(ours, leaf.detach().numpy(), rtol=1e-5, atol=1e-5)


def test_no_step_of_adam_is_longer_than_asked() -> None:
    bounded, free = latents_of(100), latents_of(100)
    steps = [Adam(bounded, beta1=0.5, longest=1.0), Adam(free, beta1=0.5)]
    for grad in (*[1e-6] * 9, 1.0):  # it grows faster than the mean of its squares
        before = bounded.copy(), free.copy()
        for adam in steps:
            adam.step(np.full(100, grad, np.float32), 0.1)
        if grad < 1.0:
            np.testing.assert_allclose(bounded, free, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(before[0] - bounded, 0.1, rtol=1e-4)
    assert (before[1] - free > 0.12).all()
