# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from c3video.c3.fit.rate import MAX_BITS, laplace_bits
from c3video.coding.tables import residual_bits


def outputs(location: float, scale: float) -> torch.Tensor:
    """Network outputs (1, 2, 1) for a location and a scale in steps."""
    lowered = -2.0 * (math.log(scale) + 5.0 * math.log(2.0) - 5.0 / 8.0)
    return torch.tensor([[[location / 4.0], [lowered]]], dtype=torch.float64)


@pytest.mark.parametrize("x", [-3.0, -0.4, 0.0, 0.3, 1.0, 6.0])
@pytest.mark.parametrize(("location", "scale"), [(0.0, 1.0), (0.25, 0.3), (-1.0, 4.0)])
def test_bits_are_the_integrated_laplace_density(x: float, location: float, scale: float) -> None:
    def below(v: float) -> float:
        z = (v - location) / scale
        return 0.5 * math.exp(z) if z < 0 else 1 - 0.5 * math.exp(-z)

    expected = min(MAX_BITS, -math.log2(max(below(x + 0.5) - below(x - 0.5), 1e-30)))
    found = laplace_bits(torch.tensor([[x]], dtype=torch.float64), outputs(location, scale))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_probabilities_of_whole_steps_sum_to_one() -> None:
    x = torch.arange(-200, 201, dtype=torch.float64)[None]
    bits = laplace_bits(x, outputs(0.3, 2.0).expand(1, 2, x.shape[1]))
    near = bits < MAX_BITS
    assert (2.0 ** -bits[near]).sum().item() == pytest.approx(1.0, abs=1e-3)


def test_gradients_agree_with_finite_differences() -> None:
    x = torch.tensor([[0.2, -1.4, 2.3, 0.61]], dtype=torch.float64, requires_grad=True)
    out = torch.cat([outputs(0.1, s) for s in (0.4, 1.0, 2.0, 0.2)], dim=2).requires_grad_()
    assert torch.autograd.gradcheck(laplace_bits, (x, out))


def test_rate_is_near_the_frozen_tables() -> None:
    """On locations and scales that the tables hold exactly, twin and table agree."""
    for scale, fraction in [(8, 0), (20, 3), (40, -8)]:
        width = 2.0**-5 * math.exp(scale / 8)
        residuals = np.arange(-2, 3)
        for residual in residuals:
            table = residual_bits(scale, fraction, np.array([residual]))
            twin = laplace_bits(torch.tensor([[float(residual)]], dtype=torch.float64), outputs(fraction / 16, width))
            if table < 12:
                assert twin.item() == pytest.approx(table, abs=0.02)


def test_outliers_cost_at_most_sixteen_bits_and_pull_nothing() -> None:
    x = torch.tensor([[50.0]], dtype=torch.float64, requires_grad=True)
    bits = laplace_bits(x, outputs(0.0, 0.1))
    assert bits.item() == MAX_BITS
    assert torch.autograd.grad(bits.sum(), x)[0].item() == 0.0
