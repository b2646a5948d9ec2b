# SPDX-License-Identifier: MIT
"""The fixed-point arithmetic that defines decoding (docs/c3v.md, section 4).

Every value is an integer with a binary point that the document states. Activations are 16 bits wide, accumulators 32.
Here the integers are carried in float64 arrays, which is exact below 2^53 whatever the order of summation, so that
matrix products may go to BLAS. A native engine computes the same integers with int16 operands and int32 sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LATENT_BITS = 8
"""Binary point of latents and of upsampled latents: one unit is 2^-8."""
HIDDEN_BITS = 10
"""Binary point of hidden activations."""
OUTPUT_BITS = 13
"""Binary point of the samples inside the synthesis: 1.0 is the largest sample value."""

FloatArray = NDArray[np.float64]


def round_shift(values: FloatArray, shift: int) -> FloatArray:
    """floor((v + 2^(shift-1)) / 2^shift): the only rounding there is. `shift` = 0 changes nothing."""
    if shift == 0:
        return values
    return np.floor((values + float(1 << (shift - 1))) * 2.0**-shift)


def saturate(values: FloatArray) -> FloatArray:
    """Clip to the range of int16."""
    return np.clip(values, -32768.0, 32767.0)


def activation(values: FloatArray, bits: int) -> FloatArray:
    """x * clip(x/4 + 1/2, 0, 1) on int16 values with binary point `bits`, the gate on 15 bits.

    Close to GELU, exact on integers. Returns int16 values with the same binary point.
    """
    gate = np.clip(values * float(1 << (13 - bits)) + 16384.0, 0.0, 32768.0)
    return round_shift(values * gate, 15)
