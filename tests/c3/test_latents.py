# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from c3video.c3.latents import dequantise, interpolation_matrix, upsample


@pytest.mark.parametrize("exponent", [1, 2, 3, 5])
def test_interpolation_matches_torch_on_whole_multiples(exponent: int) -> None:
    coarse = np.random.default_rng(0).normal(size=6)
    factor = 2**exponent
    expected = F.interpolate(torch.from_numpy(coarse)[None, None], scale_factor=factor, mode="linear")[0, 0].numpy()
    found = interpolation_matrix(6, 6 * factor, exponent) @ coarse / (2 * factor)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("size_out", "exponent"), [(1, 0), (1, 5), (7, 2), (13, 3), (5, 7)])
def test_interpolation_rows_sum_to_their_unit_on_odd_sizes(size_out: int, exponent: int) -> None:
    size_in = -(-size_out // 2**exponent)
    matrix = interpolation_matrix(size_in, size_out, exponent)
    assert matrix.shape == (size_out, size_in)
    assert (matrix >= 0).all()
    assert (matrix.sum(axis=1) == 2 ** (exponent + 1)).all()


def test_upsample_hand_worked() -> None:
    # Factor 2: weights 1/4, 3/4 around each midpoint, ends repeated; (3 * 0 + 1 * 10 + 2) >> 2 = 3.
    found = upsample(np.array([[[0.0, 10.0]]]), (0, 1), (1, 1, 4))
    assert found.tolist() == [[[0, 3, 8, 10]]]


def test_upsample_rounds_after_each_axis() -> None:
    latents = np.random.default_rng(0).integers(-3000, 3000, (2, 3, 4))
    expected = latents
    for axis, (size, exponent) in enumerate([(3, 1), (10, 2), (13, 2)]):
        matrix = interpolation_matrix(expected.shape[axis], size, exponent).astype(np.int64)
        summed = np.moveaxis(np.tensordot(matrix, expected, axes=(1, axis)), 0, axis)
        expected = (summed + (1 << exponent)) >> (exponent + 1)
    assert np.array_equal(upsample(latents.astype(np.float64), (1, 2), (3, 10, 13)), expected)


def test_dequantise_saturates() -> None:
    assert dequantise(np.array([-1000, -1, 0, 2, 1000]), 77).tolist() == [-32768, -77, 0, 154, 32767]
