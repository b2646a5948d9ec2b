# SPDX-License-Identifier: MIT
"""Differentiable stand-ins for rounding latents. All work in units of one latent step."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def soft_round(x: Tensor, temperature: float) -> Tensor:
    """A smooth staircase: the identity for high temperatures, rounding for low ones.

    Source: Agustsson and Theis, Universally Quantized Neural Compression, section 4.1, arXiv 2006.09952, with
    alpha = 1 / temperature; C3 section 3.1.
    """
    middle = torch.floor(x) + 0.5
    return middle + torch.tanh((x - middle) / temperature) / (2.0 * math.tanh(0.5 / temperature))


def soft_round_inverse(y: Tensor, temperature: float) -> Tensor:
    """Inverse of `soft_round`."""
    middle = torch.floor(y) + 0.5
    return middle + torch.atanh((y - middle) * (2.0 * math.tanh(0.5 / temperature))) * temperature


def kumaraswamy_noise(uniform: Tensor, a: float) -> Tensor:
    """Noise on (-1/2, 1/2) with its mode at 0: uniform for a = 1, more peaked for larger a.

    Args:
        uniform: samples on (0, 1), any shape.
        a: first shape parameter; the second is set so that the mode falls on the middle.

    Source: C3 section 3.1.
    """
    if a == 1.0:
        return uniform - 0.5
    b = (2.0**a * (a - 1.0) + 1.0) / a
    return (1.0 - (1.0 - uniform) ** (1.0 / b)) ** (1.0 / a) - 0.5


def add_noise(x: Tensor, temperature: float, a: float, generator: torch.Generator) -> Tensor:
    """Stage 1: soft rounding, noise, and the mean of x given the noisy value.

    Source: C3 section 3.1, after Agustsson and Theis: E[X | soft_round(X) + U = z].
    """
    uniform = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    noisy = soft_round(x, temperature) + kumaraswamy_noise(uniform, a)
    return soft_round_inverse(noisy - 0.5, temperature) + 0.5


def straight_through(x: Tensor, temperature: float) -> Tensor:
    """Stage 2: rounds forward; backward the slope of `soft_round`."""
    soft = soft_round(x, temperature)
    return soft + (torch.round(x) - soft).detach()
