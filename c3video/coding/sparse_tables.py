# SPDX-License-Identifier: MIT
"""Probability tables of wavelet and motion symbols: frozen integers that sum to 2^24 (docs/c3v.md, section 13).

Most of these symbols are zero, and what is not zero has a tail of its own. A table therefore has two indexes: i sets
the probability of zero, k how fast larger magnitudes fade, and both signs are alike:

    P(0) = logistic((i - 16) / 4),    P(+-m) = (1 - P(0)) / 2 * (1 - r) * r^(m-1),    r = logistic((8 - k) / 2)

Its slots are those of `coding/tables.py` with R = `RADIUS`. Symbols whose signs are coded apart have tables of
*magnitudes*, 0..R and an escape, with the same probabilities. A *flag* is 0 or 1: its table, k = `FLAG`, gives the
symbol 1 what P(0) leaves, and no other one more than the least width. All follows by integer arithmetic from the
constants below, so that no float, no exponential and no machine takes part in a probability.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from c3video.coding.tables import PRECISION_BITS, escape_bits

NUM_ZEROS = 64
NUM_TAILS = 16
FLAG = NUM_TAILS
"""In place of k: the table of a flag."""
RADIUS = 15
"""Largest magnitude with a slot of its own."""
EVEN_ZERO = 16
"""The i of a probability of one half."""
MIN_WIDTH = 1 << 4
"""Every slot is at least this wide; a lower floor than that of the latents' tables, since zeros must be almost free."""

# fmt: off
ZERO: tuple[int, ...] = (
    0x0126AFA2, 0x01787613, 0x01E04068, 0x02639050, 0x03090688, 0x03D875AD, 0x04DADC45, 0x061A34A4,
    0x07A1054B, 0x09799AF4, 0x0BACDC1B, 0x0E40B815, 0x11365614, 0x14885611, 0x1829A056, 0x1C054CDB,
    0x20000000, 0x23FAB325, 0x27D65FAA, 0x2B77A9EF, 0x2EC9A9EC, 0x31BF47EB, 0x345323E5, 0x3686650C,
    0x385EFAB5, 0x39E5CB5C, 0x3B2523BB, 0x3C278A53, 0x3CF6F978, 0x3D9C6FB0, 0x3E1FBF98, 0x3E8789ED,
    0x3ED9505E, 0x3F1994DF, 0x3F4BFD6C, 0x3F73776B, 0x3F925826, 0x3FAA7935, 0x3FBD509B, 0x3FCC04CE,
    0x3FD77D11, 0x3FE06EB0, 0x3FE76796, 0x3FECD6B8, 0x3FF112C6, 0x3FF45F6D, 0x3FF6F17A, 0x3FF8F21D,
    0x3FFA8171, 0x3FFBB87D, 0x3FFCAAC4, 0x3FFD6778, 0x3FFDFA72, 0x3FFE6CEB, 0x3FFEC612, 0x3FFF0B82,
    0x3FFF4196, 0x3FFF6BB5, 0x3FFF8C82, 0x3FFFA60E, 0x3FFFB9F3, 0x3FFFC972, 0x3FFFD583, 0x3FFFDEE9,
)
"""round(2^30 * P(0)) by i. Frozen."""

TAIL: tuple[int, ...] = (
    0x3ED9505E, 0x3E1FBF98, 0x3CF6F978, 0x3B2523BB, 0x385EFAB5, 0x345323E5, 0x2EC9A9EC, 0x27D65FAA,
    0x20000000, 0x1829A056, 0x11365614, 0x0BACDC1B, 0x07A1054B, 0x04DADC45, 0x03090688, 0x01E04068,
)
# fmt: on
"""round(2^30 * r) by k. Frozen."""


@lru_cache(maxsize=NUM_ZEROS * (NUM_TAILS + 1))
def cumulative(zero: int, tail: int) -> NDArray[np.int64]:
    """Cumulative frequencies of table (i, k): int64 (2R + 4,) from 0 to 2^24.

    They are symmetric about the slot of zero, but for those of flags.
    """
    spread = (1 << PRECISION_BITS) - (2 * RADIUS + 3) * MIN_WIDTH
    rest = (1 << 30) - ZERO[zero]
    if tail == FLAG:
        widths = np.full(2 * RADIUS + 3, MIN_WIDTH, dtype=np.int64)
        set_width = rest * spread >> 30
        widths[RADIUS + 1 : RADIUS + 3] += (spread - set_width, set_width)
        return np.concatenate([[0], np.cumsum(widths)])
    one_side = []
    for _ in range(RADIUS):
        faded = (rest * TAIL[tail]) >> 30
        one_side.append((rest - faded) * spread >> 31)
        rest = faded
    one_side.append(rest * spread >> 31)
    widths = np.array([*reversed(one_side), 0, *one_side], dtype=np.int64) + MIN_WIDTH
    widths[RADIUS + 1] = (1 << PRECISION_BITS) - (widths.sum() - MIN_WIDTH)
    return np.concatenate([[0], np.cumsum(widths)])


@lru_cache(maxsize=NUM_ZEROS * NUM_TAILS)
def magnitude_cumulative(zero: int, tail: int) -> NDArray[np.int64]:
    """Cumulative frequencies of the table (i, k) of magnitudes: int64 (R + 3,) from 0 to 2^24."""
    spread = (1 << PRECISION_BITS) - (RADIUS + 2) * MIN_WIDTH
    rest = (1 << 30) - ZERO[zero]
    widths = []
    for _ in range(RADIUS):
        faded = (rest * TAIL[tail]) >> 30
        widths.append(MIN_WIDTH + ((rest - faded) * spread >> 30))
        rest = faded
    widths.append(MIN_WIDTH + (rest * spread >> 30))
    return np.concatenate([[0], np.cumsum([(1 << PRECISION_BITS) - sum(widths), *widths])])


_COST_RANGE = 64

SIGN_BITS = 0.875
"""What a sign that is coded apart takes on average (0.79 to 0.9 by clip), for choices, which do not look at each."""


@lru_cache(maxsize=1)
def costs() -> NDArray[np.float32]:
    """Bits of magnitudes 0..64 in each of their tables, SIGN_BITS included: float32 (64, 16, 65)."""
    magnitudes = np.arange(_COST_RANGE + 1)
    slots = np.minimum(magnitudes, RADIUS + 1)
    result = np.empty((NUM_ZEROS, NUM_TAILS, _COST_RANGE + 1), dtype=np.float32)
    for zero in range(NUM_ZEROS):
        for tail in range(NUM_TAILS):
            result[zero, tail] = PRECISION_BITS - np.log2(np.diff(magnitude_cumulative(zero, tail))[slots])
    return result + (escape_bits(magnitudes - RADIUS) + SIGN_BITS * (magnitudes > 0)).astype(np.float32)


@lru_cache(maxsize=1)
def sign_costs() -> NDArray[np.float32]:
    """Bits of flags beyond SIGN_BITS, in the tables of signs, not set and set: float32 (33, 2)."""
    return np.ascontiguousarray(all_costs()[: 2 * EVEN_ZERO + 1, FLAG, :2] - np.float32(SIGN_BITS))


@lru_cache(maxsize=1)
def all_costs() -> NDArray[np.float32]:
    """Those of magnitudes 0..64, signs included, in tables of symbols, the last ones of flags: float32 (64, 17, 65)."""
    magnitudes = np.arange(_COST_RANGE + 1)
    slots = RADIUS + 1 + np.minimum(magnitudes, RADIUS + 1)
    result = np.empty((NUM_ZEROS, NUM_TAILS + 1, _COST_RANGE + 1), dtype=np.float32)
    for zero in range(NUM_ZEROS):
        for tail in range(NUM_TAILS + 1):
            result[zero, tail] = PRECISION_BITS - np.log2(np.diff(cumulative(zero, tail))[slots])
    return result + escape_bits(magnitudes - RADIUS).astype(np.float32)


def symbol_bits(zeros: NDArray[np.int64], tails: NDArray[np.int64], symbols: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits that the tables promise for symbols (N,), an estimate."""
    return _bits(all_costs(), zeros, tails, np.abs(symbols))


def magnitude_bits(
    zeros: NDArray[np.int64], tails: NDArray[np.int64], magnitudes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Those that tables of magnitudes promise, with SIGN_BITS for each that is not zero."""
    return _bits(costs(), zeros, tails, magnitudes)


def _bits(
    table_costs: NDArray[np.float32],
    zeros: NDArray[np.int64],
    tails: NDArray[np.int64],
    magnitudes: NDArray[np.int64],
) -> NDArray[np.float64]:
    near = np.minimum(magnitudes, _COST_RANGE)
    return table_costs[zeros, tails, near] + (escape_bits(magnitudes - RADIUS) - escape_bits(near - RADIUS))
