# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
import torch

from c3video.c3.fit.quantize import (
    add_noise,
    kumaraswamy_noise,
    soft_round,
    soft_round_inverse,
    straight_through,
)


def test_soft_round_limits() -> None:
    x = torch.tensor([-1.3, -0.2, 0.4, 0.6, 2.9], dtype=torch.float64)
    torch.testing.assert_close(soft_round(x, 100.0), x, atol=1e-4, rtol=0)
    torch.testing.assert_close(soft_round(x, 1e-3), torch.round(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.0])
def test_inverse_undoes_soft_round(temperature: float) -> None:
    x = torch.linspace(-2.3, 2.3, 47, dtype=torch.float64)
    torch.testing.assert_close(soft_round_inverse(soft_round(x, temperature), temperature), x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("temperature", [0.1, 0.3])
def test_gradients_agree_with_finite_differences(temperature: float) -> None:
    x = torch.tensor([-1.21, 0.13, 0.37, 1.71], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: soft_round(v, temperature), (x,))
    assert torch.autograd.gradcheck(lambda v: soft_round_inverse(v, temperature), (x,))


def test_kumaraswamy_is_uniform_at_one_and_narrower_above() -> None:
    uniform = torch.rand(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(kumaraswamy_noise(uniform, 1.0), uniform - 0.5)
    torch.testing.assert_close(kumaraswamy_noise(uniform, 1.0 + 1e-9), uniform - 0.5, atol=1e-6, rtol=0)
    noise = kumaraswamy_noise(uniform, 2.0)
    assert noise.abs().max() <= 0.5
    assert noise.std() < 0.9 * (uniform - 0.5).std()
    counts = torch.histc(noise, bins=20, min=-0.5, max=0.5)
    assert int(counts.argmax()) in (9, 10), "the mode lies on the middle"


def test_noise_stays_within_one_step_and_repeats_with_its_seed() -> None:
    x = torch.linspace(-3, 3, 1001)
    noisy = [add_noise(x, 0.2, 1.5, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*noisy)
    assert (noisy[0] - x).abs().max() < 1.0
    assert torch.isfinite(noisy[0]).all()


def test_straight_through_rounds_forward_and_slopes_backward() -> None:
    x = torch.tensor([0.3, 0.49, 1.2], requires_grad=True)
    y = straight_through(x, 0.5)
    assert y.tolist() == [0.0, 0.0, 1.0]
    y.sum().backward()
    z = torch.tensor([0.3, 0.49, 1.2], requires_grad=True)
    soft_round(z, 0.5).sum().backward()
    torch.testing.assert_close(x.grad, z.grad)
