# SPDX-License-Identifier: MIT
"""The filter in the loop: what it does sample by sample, and that the package's filters are such."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video.hybrid.loop_filter import (
    FILTER_SHAPES,
    NUM_CHROMA,
    NUM_LUMA,
    NUM_NEIGHBOURS,
    LoopFilter,
    filter_of,
    filter_plane,
    plane_filters,
    reciprocal,
)

NOTHING = filter_of(np.zeros(sum(int(np.prod(shape)) for shape in FILTER_SHAPES), dtype=np.int64))
BELOW = 16
"""Of the neighbours, the one below the sample."""


def linear_filter(neighbour: int, weight: int) -> LoopFilter:
    linear = np.zeros(NUM_NEIGHBOURS, dtype=np.int64)
    linear[neighbour] = weight
    return replace(NOTHING, linear=linear)


def test_filters_of_the_package_can_be_computed() -> None:
    assert (len(plane_filters(0)), len(plane_filters(1))) == (NUM_LUMA, NUM_CHROMA)
    for network in (*plane_filters(0), *plane_filters(2)):
        network.check()


def test_sums_that_leave_32_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="sums may reach"):
        replace(NOTHING, first=np.full((12, 24), 4000)).check()
    with pytest.raises(ValueError, match="16 bits"):
        replace(NOTHING, last=np.full(8, 32768)).check()


@pytest.mark.parametrize("bit_depth", [8, 10])
def test_a_filter_of_zeros_changes_nothing(bit_depth: int) -> None:
    samples = np.random.default_rng(0).integers(0, 1 << bit_depth, (9, 14)).astype(np.uint16)
    np.testing.assert_array_equal(filter_plane(samples, 100, bit_depth, NOTHING), samples)


def test_a_weight_of_a_half_goes_half_way_to_the_neighbour() -> None:
    """Edges are repeated, so the last row stays; differences of an odd number are rounded up."""
    samples = np.array([[10], [20], [17], [17], [200]], dtype=np.uint16)
    moved = filter_plane(samples, 1 << 12, 8, linear_filter(BELOW, 1 << 11))
    np.testing.assert_array_equal(moved[:, 0], [15, 19, 17, 109, 200])


def test_hidden_units_pass_what_is_positive() -> None:
    """One unit of each layer, so that only a brighter neighbour counts."""
    first, second, last = np.zeros((12, 24), np.int64), np.zeros((8, 12), np.int64), np.zeros(8, np.int64)
    first[3, BELOW] = second[5, 3] = last[5] = 1 << 12
    samples = np.array([[10], [20], [12]], dtype=np.uint16)
    found = filter_plane(samples, 1 << 12, 8, replace(NOTHING, first=first, second=second, last=last))
    np.testing.assert_array_equal(found[:, 0], [20, 20, 12])


def test_biases_count_in_steps() -> None:
    bias, second, last = np.zeros(12, np.int64), np.zeros((8, 12), np.int64), np.zeros(8, np.int64)
    bias[0], second[0, 0], last[0] = 3 << 9, 1 << 12, 1 << 12
    network = replace(NOTHING, first_bias=bias, second=second, last=last)
    samples = np.full((2, 2), 100, dtype=np.uint16)
    step = 2 << 6  # of two samples of 8 bits
    np.testing.assert_array_equal(filter_plane(samples, step, 8, network), samples + 3 * 2)


@pytest.mark.parametrize("step", [1, 16, 29, 1000, 29696, 32767])
def test_differences_are_measured_in_steps(step: int) -> None:
    factor, shift = reciprocal(step)
    assert 1 << 14 < factor <= 1 << 15
    assert factor * 2.0**-shift == pytest.approx(512 / step, rel=2.0**-15)


def test_samples_stay_in_range() -> None:
    samples = np.array([[0, 255], [255, 0]], dtype=np.uint16)
    found = filter_plane(samples, 1 << 12, 8, linear_filter(BELOW, 3 << 12))
    np.testing.assert_array_equal(found, [[255, 0], [255, 0]])
