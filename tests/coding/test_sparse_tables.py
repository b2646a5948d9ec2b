# SPDX-License-Identifier: MIT
"""Tables of the hybrid model: sums, symmetry, what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.coding import sparse_tables
from c3video.coding.sparse_tables import (
    MIN_WIDTH,
    NUM_TAILS,
    NUM_ZEROS,
    RADIUS,
    SIGN_BITS,
    TAIL,
    ZERO,
    cumulative,
    magnitude_cumulative,
    symbol_bits,
)


def logistic(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def test_constants_are_logistic() -> None:
    assert list(ZERO) == [round(2**30 * logistic((i - 16) / 4)) for i in range(NUM_ZEROS)]
    assert list(TAIL) == [round(2**30 * logistic((8 - k) / 2)) for k in range(NUM_TAILS)]


def test_every_table_sums_to_2_24_and_is_symmetric() -> None:
    for zero in range(NUM_ZEROS):
        for tail in range(NUM_TAILS):
            bounds = cumulative(zero, tail)
            widths = np.diff(bounds)
            assert (bounds[0], bounds[-1], len(widths)) == (0, 1 << 24, 2 * RADIUS + 3)
            assert widths.min() >= MIN_WIDTH
            np.testing.assert_array_equal(widths, widths[::-1])
            assert (np.diff(widths[RADIUS + 2 : -1]) <= 0).all()  # larger magnitudes are rarer


def test_even_odds_by_hand() -> None:
    """i = 16: zero in half of the cases; k = 8: each magnitude half as likely as the one before."""
    widths = np.diff(cumulative(16, 8))
    spread = (1 << 24) - 33 * 16
    assert widths[RADIUS + 2] == 16 + spread // 8  # 1: a quarter of all, half of them positive
    assert widths[RADIUS + 3] == 16 + spread // 16
    assert widths[-1] == 16 + ((1 << 14) * spread >> 31)  # what is beyond 15
    assert widths[RADIUS + 1] == (1 << 24) - 2 * widths[RADIUS + 2 :].sum()


def test_bits_are_those_of_the_widths_and_escapes() -> None:
    zeros, tails = np.array([3, 3, 60, 16, 16]), np.array([5, 5, 2, 8, 8])
    symbols = np.array([0, -4, 1, 16, -(RADIUS + 300)])
    bits = symbol_bits(zeros, tails, symbols)
    for index, symbol in enumerate(symbols):
        slot = int(np.clip(symbol, -RADIUS - 1, RADIUS + 1)) + RADIUS + 1
        width = np.diff(cumulative(int(zeros[index]), int(tails[index])))[slot]
        escape = 5 + (abs(int(symbol)) - RADIUS).bit_length() - 1 if abs(symbol) > RADIUS else 0
        assert bits[index] == pytest.approx(24 - np.log2(width) + escape, abs=1e-4)


def test_tables_of_magnitudes_have_those_of_both_signs_together() -> None:
    """But for the least width, 16 of 2^24, which half as many slots have."""
    for zero in range(0, NUM_ZEROS, 7):
        for tail in range(NUM_TAILS):
            bounds, both = magnitude_cumulative(zero, tail), np.diff(cumulative(zero, tail))
            widths = np.diff(bounds)
            assert (bounds[0], bounds[-1], len(widths)) == (0, 1 << 24, RADIUS + 2)
            assert widths.min() >= MIN_WIDTH
            assert np.abs(widths[1:] - 2 * both[RADIUS + 2 :]).max() <= 256


def test_magnitudes_at_even_odds_by_hand() -> None:
    widths, spread = np.diff(magnitude_cumulative(16, 8)), (1 << 24) - 17 * 16
    assert widths[1] == 16 + spread // 4
    assert widths[-1] == 16 + ((1 << 14) * spread >> 30)
    assert widths[0] == (1 << 24) - widths[1:].sum()


def test_bits_of_magnitudes_are_those_of_the_widths_a_sign_and_escapes() -> None:
    zeros, tails, magnitudes = np.array([3, 60, 16, 16]), np.array([5, 2, 8, 8]), np.array([0, 1, 16, RADIUS + 300])
    bits = sparse_tables.magnitude_bits(zeros, tails, magnitudes)
    for index, magnitude in enumerate(magnitudes.tolist()):
        width = np.diff(magnitude_cumulative(int(zeros[index]), int(tails[index])))[min(magnitude, RADIUS + 1)]
        escape = 5 + (magnitude - RADIUS).bit_length() - 1 if magnitude > RADIUS else 0
        assert bits[index] == pytest.approx(24 - np.log2(width) + escape + SIGN_BITS * (magnitude > 0), abs=1e-4)


def test_costs_are_of_the_type_that_they_say() -> None:
    assert sparse_tables.costs().dtype == np.float32
    assert sparse_tables.costs().shape == (64, 16, 65)
