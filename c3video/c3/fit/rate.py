# SPDX-License-Identifier: MIT
"""Differentiable rate of latents: the Laplace distribution that coding/tables.py freezes, before its rounding."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from c3video.c3.entropy import LOCATION_GAIN_BITS, SCALE_GAIN_BITS, SCALE_ORIGIN
from c3video.coding.tables import NUM_SCALES

MAX_BITS = 16.0
"""No latent costs more, as in the reference and by MIN_WIDTH of coding/tables.py; past it there is no gradient."""

_LOG_SMALLEST = -5.0 * math.log(2.0)
LOG_SCALE_RANGE = (_LOG_SMALLEST, _LOG_SMALLEST + (NUM_SCALES - 1) / 8.0)


def laplace_bits(x: Tensor, outputs: Tensor) -> Tensor:
    """Bits of latents under the distributions that an entropy network predicts.

    Args:
        x: (B, L) latents in steps, whole or noisy.
        outputs: (B, 2, L) of the network: location in quarters of a step, and what lowers the log-scale.

    Returns:
        (B, L) bits: -log2 of the Laplace probability of [x - 1/2, x + 1/2], at most MAX_BITS.

    Source: C3 section 2 and appendix; parametrisation of c3/entropy.py.
    """
    location = outputs[:, 0] * float(1 << (LOCATION_GAIN_BITS - 4))
    log_scale = _LOG_SMALLEST + SCALE_ORIGIN / 8.0 - outputs[:, 1] * (float(1 << SCALE_GAIN_BITS) / 8.0)
    inverse_scale = torch.exp(-log_scale.clamp(*LOG_SCALE_RANGE))
    distance = (x - location).abs()
    # Below half a step from the location the bin holds the peak; beyond it both bounds lie on one flank.
    near = distance < 0.5
    upper = torch.exp(-(distance - 0.5).abs() * inverse_scale)
    lower = torch.exp(-(distance + 0.5) * inverse_scale)
    probability = torch.where(near, 1.0 - 0.5 * (upper + lower), 0.5 * (upper - lower))
    return -torch.log2(probability.clamp_min(2.0**-MAX_BITS))
