# SPDX-License-Identifier: MIT
"""Probability tables of the entropy coder: frozen integers that sum to 2^24 (docs/c3v.md, section 5).

A table belongs to a scale index j and a fraction f of the location: the Laplace distribution with location f/16 and
scale 2^-5 * exp(j/8), integrated over unit bins. Its slots are

    0                 every residual below -R
    1 .. 2R+1         residual -R .. R
    2R+2              every residual above R

with R = `RADIUS[j]`. Tables follow by integer arithmetic from the 64 constants `DECAY`, so that no float, no
exponential and no machine takes part in a probability.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

NUM_SCALES = 64
NUM_FRACTIONS = 16
"""Locations are coded in sixteenths of a latent step; f runs from -8 to 7."""
MAX_LOCATION = NUM_FRACTIONS * 4096
"""They are clipped to +-4096 steps."""
PRECISION_BITS = 24
MIN_WIDTH = 1 << 8
"""Every slot is at least this wide, so that none costs more than 16 bits: outliers of 24 bits each would tell."""
_ONE = 1 << 62

# fmt: off
DECAY: tuple[int, ...] = (
    0x08A95551DFC0E5D0, 0x0AF4BDDF0B002EDC, 0x0D7B230507E443BD, 0x10304527F455F664,
    0x1306BB033157D91D, 0x15F0E9F7DF8BC39B, 0x18E1D37070484EDD, 0x1BCDACF3364CA645,
    0x1EAA41FC5938A1FB, 0x216F25258978690E, 0x2415B9A0D0ED183D, 0x26991F34630F6EE6,
    0x28F60A7448D97198, 0x2B2A919A7C05A8BF, 0x2D35F49E6807C443, 0x2F1865665064B836,
    0x30D2D35601FA538E, 0x3266BC2FA9243E03, 0x33D6033B635E5DB4, 0x3522CEF26BECE0E3,
    0x364F6CF049A4EE65, 0x375E3BA228D375FE, 0x3851990625E8A767, 0x392BD5BF09BDADCD,
    0x39EF2BC43FF3759B, 0x3A9DB8031CE64325, 0x3B397659242D0340, 0x3BC43F63AD0DB99C,
    0x3C3FC7B5E52365E7, 0x3CADA019865632E0, 0x3D0F368FEF22DFD9, 0x3D65D7D863F50F50,
    0x3DB2B14D105B699F, 0x3DF6D2F30877A255, 0x3E3331A2446E56E5, 0x3E68A93197AE4E28,
    0x3E97FE983CACEDA7, 0x3EC1E1FAEFC026FE, 0x3EE6F09DF7C811D2, 0x3F07B6B81146D1A2,
    0x3F24B124213AAA08, 0x3F3E4EF102D40DDB, 0x3F54F2CFCA43A8BB, 0x3F68F4618E693F0B,
    0x3F7AA16645B7A5E2, 0x3F8A3ECE8EFDC110, 0x3F9809B268A68F75, 0x3FA4382EE9971ED4,
    0x3FAEFA2D0D37BA48, 0x3FB87A1395E7F264, 0x3FC0DD65F2471B7E, 0x3FC84551F580E956,
    0x3FCECF2E13860DBC, 0x3FD494E9B1792AEA, 0x3FD9AD70F9DB7D38, 0x3FDE2D0584066379,
    0x3FE2258CFFD3D151, 0x3FE5A6D6F95E6D57, 0x3FE8BEDAADB17D5B, 0x3FEB79EDD03280A6,
    0x3FEDE2F509873B9A, 0x3FF0038EE3B123BA, 0x3FF1E439C3F6C5D5, 0x3FF38C7581E2C025,
)
# fmt: on
"""round(2^62 * exp(-2 * exp(-j/8))): decay of the Laplace density over a sixteenth of a step. Frozen in version 1."""

# fmt: off
RADIUS: tuple[int, ...] = (
    4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
    4, 4, 4, 4, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16,
    18, 20, 22, 25, 29, 32, 37, 41, 47, 53, 60, 68, 77, 87, 99, 112,
    127, 143, 162, 184, 208, 236, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
)
# fmt: on
"""Largest residual with a slot of its own: min(255, max(4, ceil(10 * scale))). Frozen in version 1."""

RADII = np.array(RADIUS, dtype=np.int64)


@lru_cache(maxsize=NUM_SCALES)
def _tails(scale: int) -> tuple[int, ...]:
    """exp(-n / (16 scale)) for n = 0 .. 16 R + 16, as multiples of 2^-62."""
    tails = [_ONE]
    for _ in range(16 * RADIUS[scale] + 16):
        tails.append((tails[-1] * DECAY[scale]) >> 62)
    return tuple(tails)


@lru_cache(maxsize=NUM_SCALES * NUM_FRACTIONS)
def cumulative(scale: int, fraction: int) -> NDArray[np.int64]:
    """Cumulative frequencies of one table.

    Args:
        scale: scale index, 0..63.
        fraction: location in sixteenths of a step, -8..7.

    Returns:
        int64 (2R + 4,): from 0 to 2^24, each slot at least MIN_WIDTH wide.
    """
    tails, radius = _tails(scale), RADIUS[scale]
    num_slots = 2 * radius + 3
    spread = (1 << PRECISION_BITS) - num_slots * MIN_WIDTH
    bounds = [0]
    for residual in range(-radius, radius + 2):  # the lower bound of each slot but the first
        sixteenths = 16 * residual - 8 - fraction
        below = tails[-sixteenths] >> 1 if sixteenths < 0 else _ONE - (tails[sixteenths] >> 1)
        bounds.append(((below * spread) >> 62) + len(bounds) * MIN_WIDTH)
    bounds.append(1 << PRECISION_BITS)
    return np.array(bounds, dtype=np.int64)


_COST_RANGE = 256


@lru_cache(maxsize=1)
def _costs() -> NDArray[np.float32]:
    """Bits of residuals -256..256 in each table, float32 (64, 16, 513): [j, f + 8, residual + 256]."""
    costs = np.empty((NUM_SCALES, NUM_FRACTIONS, 2 * _COST_RANGE + 1), dtype=np.float32)
    residuals = np.arange(-_COST_RANGE, _COST_RANGE + 1)
    for scale, radius in enumerate(RADIUS):
        slots = np.clip(residuals, -radius - 1, radius + 1) + radius + 1
        beyond = escape_bits(np.abs(residuals) - radius)
        for fraction in range(-8, 8):
            widths = np.diff(cumulative(scale, fraction))
            costs[scale, fraction + 8] = PRECISION_BITS - np.log2(widths[slots]) + beyond
    return costs


def escape_bits(excess: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits behind an escape slot: a length field of 5 and the excess without its leading one; 0 where no escape."""
    return np.where(excess > 0, 5 + np.floor(np.log2(np.maximum(excess, 1))), 0.0)


def residual_bits(
    scales: NDArray[np.int64] | int, fractions: NDArray[np.int64] | int, residuals: NDArray[np.int64]
) -> float:
    """Bits that the tables promise for residuals (N,) under tables (scales, fractions), broadcast: an estimate."""
    near = np.clip(residuals, -_COST_RANGE, _COST_RANGE)
    radii = RADII[scales]
    beyond = escape_bits(np.abs(residuals) - radii) - escape_bits(np.abs(near) - radii)
    return float(_costs()[scales, np.asarray(fractions) + 8, near + _COST_RANGE].sum(dtype=np.float64) + beyond.sum())


def best_scale(values: NDArray[np.int64], offsets: NDArray[np.int64] | int = 0) -> tuple[int, float]:
    """(scale index, bits) of the cheapest table with location 0 for these integers.

    Args:
        offsets: of each integer's own scale index from that which is sought.
    """
    flat, apart = values.ravel(), np.ravel(offsets)
    bits = [residual_bits(np.clip(scale + apart, 0, NUM_SCALES - 1), 0, flat) for scale in range(NUM_SCALES)]
    cheapest = int(np.argmin(bits))
    return cheapest, bits[cheapest]
