# SPDX-License-Identifier: MIT
"""The integer wavelet: by hand, against its own analysis, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.hybrid.wavelet import LIFTING, LIMIT, analyse, join, num_subbands, subband_shapes, synthesise

SIZES = [(1, 1), (1, 2), (2, 1), (2, 3), (5, 3), (17, 1), (33, 50), (64, 64)]


def lift(multiplier: int, value: int) -> int:
    return (multiplier * value + 2048) >> 12


def test_shapes_of_an_odd_plane_by_hand() -> None:
    assert subband_shapes((5, 3), 2) == ((2, 1), (2, 1), (1, 1), (1, 1), (3, 1), (2, 2), (2, 1))


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize("size", SIZES)
def test_subbands_hold_as_many_samples_as_the_plane(size: tuple[int, int], levels: int) -> None:
    shapes = subband_shapes(size, levels)
    assert len(shapes) == num_subbands(levels)
    assert sum(height * width for height, width in shapes) == size[0] * size[1]


def test_a_pair_of_samples_by_hand() -> None:
    low, high = 1000, -300
    low -= lift(1817, 2 * high)  # the one high sample stands on both sides
    high -= lift(3616, 2 * low)
    low -= lift(-217, 2 * high)
    high -= lift(-6497, 2 * low)
    assert join(np.array([[1000]]), np.array([[-300]])).tolist() == [[low, high]]


def test_three_samples_by_hand() -> None:
    a, b, d = 64, 200, 7
    a, b = a - lift(1817, 2 * d), b - lift(1817, 2 * d)
    d -= lift(3616, a + b)
    a, b = a - lift(-217, 2 * d), b - lift(-217, 2 * d)
    d -= lift(-6497, a + b)
    assert join(np.array([[64, 200]]), np.array([[7]])).tolist() == [[a, d, b]]


def test_a_single_sample_passes() -> None:
    assert join(np.array([[5], [6]]), np.empty((2, 0), dtype=np.int64)).tolist() == [[5], [6]]


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize("size", SIZES)
def test_rounded_subbands_give_the_plane_back_within_a_few_steps(size: tuple[int, int], levels: int) -> None:
    plane = np.random.default_rng(0).integers(-8192, 8192, size).astype(np.float64)
    bands = analyse(plane, levels)
    assert [band.shape for band in bands] == list(subband_shapes(size, levels))
    found = synthesise([np.rint(band).astype(np.int64) for band in bands])
    # What rounding to integers costs: a few units of 2^-14 of the full range.
    assert np.abs(found - plane).max() <= 6


def test_flat_plane_has_nothing_but_its_mean() -> None:
    ll, *details = analyse(np.full((40, 56), 1000.0), 5)
    np.testing.assert_allclose(ll, 7918.4, rtol=1e-5)  # a quarter more, ten times
    assert max(np.abs(band).max() for band in details) < 5.0  # the multipliers are rounded


@pytest.mark.parametrize("size", [(33, 50), (64, 64)])
def test_no_subbands_can_leave_32_bits(size: tuple[int, int]) -> None:
    """Bounds of each lifting step from inputs of +-LIMIT, and what would go further is clipped."""
    first, second, third, fourth = map(abs, LIFTING)
    low = LIMIT + (fourth * 2 * LIMIT >> 12) + 1
    high = LIMIT + (third * 2 * low >> 12) + 1
    low_again = low + (second * 2 * high >> 12) + 1
    products = [fourth * 2 * LIMIT, third * 2 * low, second * 2 * high, (first - 4096) * 2 * low_again]
    assert max(products) + 2048 < 1 << 31
    assert high + (first * 2 * low_again >> 12) + 1 < 1 << 31
    rng = np.random.default_rng(1)
    bands = [rng.choice([-LIMIT, LIMIT], shape) for shape in subband_shapes(size, 5)]
    found = synthesise(bands)
    assert np.abs(found).max() == LIMIT


@pytest.mark.parametrize("value", [-16384, 16384])
def test_a_step_from_black_to_white_has_room(value: int) -> None:
    flat = np.full((96, 80), float(value))
    assert max(np.abs(band).max() for band in analyse(flat, 5)) <= LIMIT
    flat[40:50, 30:41] = 0.0
    bands = analyse(flat, 5)  # overshoots a little
    found = synthesise([np.clip(np.rint(band), -LIMIT, LIMIT).astype(np.int64) for band in bands])
    assert np.abs(found - flat).max() < 16384 / 40


def test_the_largest_multiplier_may_be_taken_apart() -> None:
    values = np.arange(-620_000, 620_000, 7)
    np.testing.assert_array_equal((LIFTING[0] * values + 2048) >> 12, ((-2401 * values + 2048) >> 12) - values)
