# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
import zlib
from decimal import Decimal, getcontext

import numpy as np
import pytest

from c3video.coding.tables import (
    DECAY,
    MIN_WIDTH,
    NUM_SCALES,
    PRECISION_BITS,
    RADIUS,
    best_scale,
    cumulative,
    residual_bits,
)

ALL_TABLES = [(scale, fraction) for scale in range(NUM_SCALES) for fraction in range(-8, 8)]


def test_decay_constants_are_the_rounded_exponentials() -> None:
    getcontext().prec = 60
    for scale, decay in enumerate(DECAY):
        exact = Decimal(2) ** 62 * (-2 * (-Decimal(scale) / 8).exp()).exp()
        assert decay == int(exact.to_integral_value())


def test_every_table_sums_to_its_precision_with_no_empty_slot() -> None:
    for scale, fraction in ALL_TABLES:
        bounds = cumulative(scale, fraction)
        assert len(bounds) == 2 * RADIUS[scale] + 4
        assert bounds[0] == 0
        assert bounds[-1] == 1 << PRECISION_BITS
        assert np.diff(bounds).min() >= MIN_WIDTH


def test_tables_are_frozen() -> None:
    """Version 1 streams depend on each of these integers: change them only with the format version."""
    everything = np.concatenate([cumulative(*table) for table in ALL_TABLES])
    assert zlib.crc32(everything.astype("<u4").tobytes()) == 0x7D07F761


@pytest.mark.parametrize(("scale", "fraction"), [(0, 0), (10, -8), (20, 7), (40, 3), (63, -5)])
def test_tables_are_the_laplace_distribution(scale: int, fraction: int) -> None:
    width, location = 2.0**-5 * math.exp(scale / 8), fraction / 16

    def below(x: float) -> float:
        z = (x - location) / width
        return 0.5 * math.exp(z) if z < 0 else 1 - 0.5 * math.exp(-z)

    radius = RADIUS[scale]
    exact = [below(r + 0.5) - below(r - 0.5) for r in range(-radius, radius + 1)]
    frequencies = np.diff(cumulative(scale, fraction))[1:-1] / 2**PRECISION_BITS
    # The smallest width takes a share of every slot.
    share = MIN_WIDTH / 2**PRECISION_BITS
    np.testing.assert_allclose(frequencies, np.array(exact) * (1 - (2 * radius + 3) * share) + share, atol=2e-7)


def test_bits_of_residuals_hand_worked() -> None:
    widths = np.diff(cumulative(30, 0))
    radius = RADIUS[30]
    assert residual_bits(30, 0, np.array([0])) == pytest.approx(24 - math.log2(widths[radius + 1]), abs=1e-5)
    # One past the radius: the escape slot, five bits of length, no bits of excess.
    escape = 24 - math.log2(widths[-1])
    assert residual_bits(30, 0, np.array([radius + 1])) == pytest.approx(escape + 5, abs=1e-4)
    # Excess 1000 has ten bits, nine of them written.
    assert residual_bits(30, 0, np.array([radius + 1000])) == pytest.approx(escape + 5 + 9, abs=1e-4)


def test_best_scale_finds_the_scale_of_samples() -> None:
    rng = np.random.default_rng(0)
    for scale in (16, 32, 44):
        values = np.rint(rng.laplace(scale=2.0**-5 * math.exp(scale / 8), size=20000)).astype(np.int64)
        found, bits = best_scale(values)
        assert abs(found - scale) <= 1
        assert bits == pytest.approx(residual_bits(found, 0, values))
