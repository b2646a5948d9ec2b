# SPDX-License-Identifier: MIT
"""Upsampling by hand, and what must hold for any kernel."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.pyramid.config import PyramidConfig, grid_shapes
from c3video.pyramid.priors import CUBIC_KERNEL, prior_of
from c3video.pyramid.upsampling import upsample, upsampled_levels
from c3video.pyramid.weights import PyramidWeights

KERNEL = np.array(CUBIC_KERNEL, dtype=np.float64)


def test_a_row_by_hand() -> None:
    plane = np.array([[[640.0, 0.0, 64.0]]])
    # Rows of one sample are repeated, so columns change nothing but for rounding: the kernel's sum is 256.
    # 0: -6 * 640 + 58 * 640 + 222 * 640 - 18 * 0         = 175360 -> 685
    # 1: -18 * 640 + 222 * 640 + 58 * 0 - 6 * 64          = 130176 -> 508.5 -> 509
    # 2: -6 * 640 + 58 * 640 + 222 * 0 - 18 * 64          = 32128  -> 125.5 -> 126
    # 3: -18 * 640 + 222 * 0 + 58 * 64 - 6 * 64           = -8192  -> -32
    # 4: -6 * 640 + 58 * 0 + 222 * 64 - 18 * 64           = 9216   -> 36
    # 5: -18 * 0 + 222 * 64 + 58 * 64 - 6 * 64            = 17536  -> 68.5 -> 69
    row = [685, 509, 126, -32, 36, 69]
    assert upsample(plane, KERNEL, (2, 6)).tolist() == [[row, row]]
    assert upsample(plane, KERNEL, (1, 5)).tolist() == [[row[:5]]]
    assert upsample(plane.swapaxes(1, 2), KERNEL, (6, 2)).tolist() == [[[x, x] for x in row]]


def test_rows_come_first_and_are_rounded_before_columns() -> None:
    plane = np.array([[[0.0, 1.0], [0.0, 3.0]]])
    kernel = np.array([0.0, 128.0, 128.0, 0.0])  # means of neighbours
    # Along rows: (0, 1) -> 0, mean of 0 and 1 -> 1 (halves up), the same, 1; (0, 3) -> 0, 2, 2, 3.
    # Then along columns: row 0 is the first row, rows 1 and 2 are means: 0, 1.5 -> 2, 2, 2.
    assert upsample(plane, kernel, (4, 4)).tolist() == [[[0, 1, 1, 1], [0, 2, 2, 2], [0, 2, 2, 2], [0, 2, 2, 3]]]


def test_large_values_saturate() -> None:
    kernel = np.array([0.0, 0.0, 32767.0, 0.0])
    assert upsample(np.full((1, 1, 1), 300.0), kernel, (1, 1)).tolist() == [[[32767]]]
    assert upsample(np.full((1, 1, 1), -300.0), kernel, (1, 1)).tolist() == [[[-32768]]]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 9), (64, 65)])
def test_levels_have_their_grids_shapes_and_constants_stay(height: int, width: int) -> None:
    config = PyramidConfig()
    weights = PyramidWeights(config, "gray", prior_of(config, "gray").arrays, (64,) * 7)
    shapes = grid_shapes(7, height, width)
    levels = upsampled_levels(weights, [np.full(shape, k + 1) for k, shape in enumerate(shapes)])
    for k, level in enumerate(levels):
        assert level.shape == (7 - k, *shapes[k])
        # A latent s of grid j has s << (8 - j // 2) on all levels.
        for j in range(k, 7):
            assert (level[j - k] == (j + 1) << (8 - j // 2)).all()


def test_latents_saturate_where_they_enter() -> None:
    config = PyramidConfig(num_grids=3)
    weights = PyramidWeights(config, "gray", prior_of(config, "gray").arrays, (64,) * 3)
    symbols = [np.array([[128]]), np.array([[-129]]), np.array([[255]])]
    assert upsampled_levels(weights, symbols)[0][:, 0, 0].tolist() == [32767, -32768, 32640]
