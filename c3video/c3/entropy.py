# SPDX-License-Identifier: MIT
"""Context -> table of a latent, in exact integer arithmetic (docs/c3v.md, section 8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.c3.patch_model import Layer
from c3video.coding.arithmetic import HIDDEN_BITS, FloatArray, activation, round_shift, saturate
from c3video.coding.tables import MAX_LOCATION, NUM_SCALES

SCALE_ORIGIN = 5
"""Scale index of a network output of zero: 2^-5 * exp(5/8) = 0.058 latent steps."""
SCALE_GAIN_BITS = 2
"""The second output lowers the scale index by 4 a unit (paper: log-scale = -output / 2, and eight indexes a nat)."""
LOCATION_GAIN_BITS = 6
"""The first output is the location in quarters of a step: 64 sixteenths a unit."""

IntArray = NDArray[np.int64]


def predict(contexts: FloatArray, layers: Sequence[Layer]) -> tuple[IntArray, IntArray, IntArray]:
    """Location and scale of each latent from its context.

    Args:
        contexts: (taps, N) latents, binary point LATENT_BITS.
        layers: the grid's entropy network.

    Returns:
        steps (N,): the location rounded to whole latent steps;
        fractions (N,): what is left, in sixteenths, -8..7;
        scales (N,): scale index, 0..63.
    """
    hidden = contexts
    for layer in layers[:-1]:
        accumulator = layer.accumulate(hidden)
        hidden = activation(saturate(round_shift(accumulator, layer.accumulator_bits - HIDDEN_BITS)), HIDDEN_BITS)
    last = layers[-1]
    accumulator = last.accumulate(hidden)
    sixteenths = round_shift(accumulator[0], last.accumulator_bits - LOCATION_GAIN_BITS)
    whole: IntArray = np.clip(sixteenths, -MAX_LOCATION, MAX_LOCATION).astype(np.int64)
    lowered = round_shift(accumulator[1], last.accumulator_bits - SCALE_GAIN_BITS)
    scales = np.clip(SCALE_ORIGIN - lowered, 0, NUM_SCALES - 1).astype(np.int64)
    steps = (whole + 8) >> 4
    return steps, whole - 16 * steps, scales
