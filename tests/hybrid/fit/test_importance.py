# SPDX-License-Identifier: MIT
"""Blocks that are seen again weigh more."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.hybrid.compensation import BACKWARD, BOTH, FORWARD, MotionField, whole_field
from c3video.hybrid.fit.importance import block_importance, block_means, measured_importance, spread
from c3video.hybrid.frame_order import CodedFrame, coding_order

FLAT = np.zeros((3, 4))
BUSY = np.ones((3, 4))


def still(num_references: int, mode: int) -> MotionField:
    return whole_field(np.zeros((num_references, 2, 3, 4), dtype=np.int64), np.full((3, 4), mode))


def test_a_chain_of_perfect_predictions_weighs_its_length() -> None:
    frames = coding_order(5, 1)
    fields = [None, *(still(len(frame.references), FORWARD) for frame in frames[1:])]
    blocks = block_importance(frames, fields, [FLAT] * 5, 1e-3, 16)
    for place, found in enumerate(blocks):
        np.testing.assert_allclose(found, 5 - place)


def test_useless_predictions_hand_on_nothing() -> None:
    frames = coding_order(3, 1)
    fields = [None, *(still(len(frame.references), FORWARD) for frame in frames[1:])]
    blocks = block_importance(frames, fields, [BUSY] * 3, 1e-9, 16)
    for found in blocks:
        np.testing.assert_allclose(found, 1.0, atol=1e-8)


def test_a_residual_as_large_as_what_is_not_coded_hands_on_half() -> None:
    frames = coding_order(3, 1)
    fields = [None, *(still(len(frame.references), FORWARD) for frame in frames[1:])]
    blocks = block_importance(frames, fields, [BUSY] * 3, 1.0, 16)
    for found, expected in zip(blocks, (1.75, 1.5, 1.0), strict=True):
        np.testing.assert_allclose(found, expected)


def test_between_frames_and_within_them_importance_is_told_apart() -> None:
    frames = coding_order(3, 1)
    fields = [None, *(still(len(frame.references), FORWARD) for frame in frames[1:])]
    left_half = np.repeat([[0.0, 0.0, 1.0, 1.0]], 3, axis=0)
    found = measured_importance(frames, fields, [FLAT, left_half, FLAT], 1.0, 16, 0.5)
    # 2 and 1.5 in the halves of the first frame that the second hands its own on to; 2 all over in the second.
    assert found.frames == pytest.approx({0: np.sqrt(3.0 * 2.0), 1: 2.0, 2: 1.0})
    assert found.blocks is not None
    np.testing.assert_allclose(found.blocks[0][:, 0] / found.blocks[0][:, 3], np.sqrt(1.5))
    np.testing.assert_allclose(found.blocks[1], 1.0)


def test_both_references_share_and_one_takes_all() -> None:
    frames = (CodedFrame(0, (), 0), CodedFrame(2, (), 1), CodedFrame(1, (0, 2), 2))
    for mode, expected in ((BOTH, (1.5, 1.5)), (FORWARD, (2.0, 1.0)), (BACKWARD, (1.0, 2.0))):
        first, second, last = block_importance(frames, [None, None, still(2, mode)], [FLAT] * 3, 1e-3, 16)
        np.testing.assert_allclose((first[1, 1], second[1, 1], last[1, 1]), (*expected, 1.0))


def test_weight_goes_where_the_vector_points() -> None:
    vectors = np.zeros((1, 2, 3, 4), dtype=np.int64)
    vectors[0, 1] = 64 + 32  # a block and a half to the right, in quarter samples
    frames = coding_order(2, 1)
    first, _ = block_importance(
        frames, [None, whole_field(vectors, np.zeros((3, 4), dtype=np.int64))], [FLAT] * 2, 1e-3, 16
    )
    np.testing.assert_allclose(first[1], [1.0, 1.5, 2.0, 3.5])
    assert first.sum() == pytest.approx(24.0)


def test_means_and_spreading_fit_odd_sizes() -> None:
    plane = np.arange(5 * 7, dtype=np.float64).reshape(5, 7)
    means = block_means(plane, 4)
    assert means.shape == (2, 2)
    assert means[0, 0] == pytest.approx(plane[:4, :4].mean())
    assert spread(means, (3, 5)).shape == (3, 5)
    assert spread(means, (0, 5)).shape == (0, 5)
