# SPDX-License-Identifier: MIT
"""Context -> table of a latent, in exact integer arithmetic (docs/c3v_pyramid.md, section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import FloatArray, round_shift, saturate
from c3video.coding.tables import MAX_LOCATION, NUM_SCALES
from c3video.pyramid.weights import ENTROPY_BITS, OUTPUT_BITS, PyramidWeights

SCALE_ORIGIN = 24
"""Scale index of an output of zero: 2^-5 * exp(24 / 8) = 0.63 latent steps."""
SCALE_GAIN_BITS = 3
"""The second output is the log-scale in nats: eight indexes each."""

IntArray = NDArray[np.int64]


def predict(
    contexts: FloatArray, weights: PyramidWeights, grid: int, *, is_later: bool = False
) -> tuple[IntArray, IntArray, IntArray]:
    """Location and scale of each latent from its context.

    Args:
        contexts: (taps + 7, N) latents in steps, with num_previous more in a later latent frame.
        grid: whose latents these are.
        is_later: whether they are of a latent frame after the first.

    Returns:
        steps (N,): the location rounded to whole latent steps;
        fractions (N,): what is left, in sixteenths, -8..7;
        scales (N,): scale index, 0..63.
    """
    arrays = weights.entropy_floats[is_later]
    hidden = arrays["w1"] @ contexts + arrays["b1"][grid][:, None]
    hidden = np.maximum(saturate(round_shift(hidden, 12 - ENTROPY_BITS)), 0.0)
    if "w2" in arrays:
        hidden = arrays["w2"] @ hidden + arrays["b2"][:, None] * 2.0**ENTROPY_BITS
        hidden = np.maximum(saturate(round_shift(hidden, 12)), 0.0)
    outputs = round_shift(arrays["w3"] @ hidden, ENTROPY_BITS) + arrays["l"] @ contexts + arrays["b3"][:, None]
    sixteenths = round_shift(outputs[0], OUTPUT_BITS - 4)
    whole: IntArray = np.clip(sixteenths, -MAX_LOCATION, MAX_LOCATION).astype(np.int64)
    raised = round_shift(outputs[1], OUTPUT_BITS - SCALE_GAIN_BITS)
    scales = np.clip(SCALE_ORIGIN + raised, 0, NUM_SCALES - 1).astype(np.int64)
    steps = (whole + 8) >> 4
    return steps, whole - 16 * steps, scales
