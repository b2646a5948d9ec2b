# SPDX-License-Identifier: MIT
"""Motion compensation: constant pictures, whole samples, hand-worked fractions and blends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from c3video.hybrid.compensation import (
    BACKWARD,
    BOTH,
    COLUMNS,
    FORWARD,
    MAX_VECTOR,
    RISES,
    ROWS,
    TAPS,
    WHOLE,
    MotionField,
    block_shape,
    compensate,
    finish,
    rising,
    whole_field,
)
from tests.hybrid.streams import plain_field, split_field

LUMA, HALF = (0, 0), (1, 1)


def uniform(shape: tuple[int, int], block_size: int, mode: int, *vectors: tuple[int, int]) -> MotionField:
    """One motion for all blocks of a luma plane."""
    blocks = block_shape(shape, block_size)
    return whole_field(
        np.array(vectors)[:, :, None, None] * np.ones((len(vectors), 2, *blocks), dtype=np.int64),
        np.full(blocks, mode),
    )


def pictures(shape: tuple[int, int], bit_depth: int = 8) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 1 << bit_depth, shape), rng.integers(0, 1 << bit_depth, shape)


def test_taps_sum_to_one_and_mirror() -> None:
    assert TAPS.sum(axis=1).tolist() == [64] * 8
    for eighth in range(1, 8):
        assert TAPS[eighth].tolist() == TAPS[8 - eighth][::-1].tolist()


@pytest.mark.parametrize("overlap", RISES)
def test_windows_of_neighbours_sum_to_one(overlap: int) -> None:
    rises = RISES[overlap]
    assert len(rises) == overlap
    assert [rise + mirrored for rise, mirrored in zip(rises, rises[::-1], strict=True)] == [64] * overlap
    assert list(rises) == sorted(rises)


def test_rising_around_the_middle() -> None:
    assert rising(np.arange(-2, 10), 8).tolist() == [0, 0, 0, 0, 2, 20, 44, 62, 64, 64, 64, 64]


@pytest.mark.parametrize(("bit_depth", "value"), [(8, 0), (8, 200), (8, 255), (10, 3), (10, 1023)])
@pytest.mark.parametrize("shifts", [LUMA, (0, 1), HALF])
@pytest.mark.parametrize("block_size", [8, 16, 32])
def test_constant_pictures_stay_constant_wherever_blocks_come_from(
    bit_depth: int, value: int, shifts: tuple[int, int], block_size: int
) -> None:
    shape = (21, 37)
    rng = np.random.default_rng(1)
    blocks = block_shape((shape[0] << shifts[0], shape[1] << shifts[1]), block_size)
    quarters = (2 * blocks[0], 2 * blocks[1])
    vectors, modes = rng.integers(-MAX_VECTOR, MAX_VECTOR + 1, (2, 2, *quarters)), rng.integers(0, 3, quarters)
    field = split_field(vectors, modes, rng.integers(0, 4, blocks))
    plane = np.full(shape, value)
    found = compensate([plane, plane], field, block_size, shifts, bit_depth)
    assert (found == (value - (1 << (bit_depth - 1))) << (14 - bit_depth)).all()
    assert (finish(found, np.zeros_like(found), bit_depth) == value).all()


@pytest.mark.parametrize("vector", [(0, 0), (3, -5), (-9, 2)])
def test_whole_samples_move_and_edges_repeat(vector: tuple[int, int]) -> None:
    picture, _ = pictures((19, 23))
    field = uniform(picture.shape, 8, FORWARD, (4 * vector[0], 4 * vector[1]))
    rows = np.clip(np.arange(19) + vector[0], 0, 18)
    columns = np.clip(np.arange(23) + vector[1], 0, 22)
    moved = picture[rows[:, None], columns[None, :]]
    np.testing.assert_array_equal(compensate([picture], field, 8, LUMA, 8), (moved - 128) << 6)


def test_a_vector_counts_half_in_subsampled_planes() -> None:
    picture, _ = pictures((12, 14))
    luma_vector = (8, -16)  # 2 and -4 luma samples, 1 and -2 of chroma
    found = compensate([picture], uniform((24, 28), 8, FORWARD, luma_vector), 8, HALF, 8)
    rows, columns = np.clip(np.arange(12) + 1, 0, 11), np.clip(np.arange(14) - 2, 0, 13)
    np.testing.assert_array_equal(found, (picture[rows[:, None], columns[None, :]] - 128) << 6)


def test_quarter_of_a_step_by_hand() -> None:
    """An edge between two columns, seen a quarter of a sample to the right of the last one before it."""
    picture = np.tile(np.where(np.arange(32) < 16, 128, 129), (9, 1))
    found = compensate([picture], uniform(picture.shape, 8, FORWARD, (0, 1)), 8, LUMA, 8)
    # Taps of two eighths at column 15: those from the fifth on lie behind the edge.
    assert found[4, 15] == 19 - 7 + 3 - 1
    assert found[4, 16] == 64 - (-2 + 5 - 11)
    assert found[4, 5] == 0


def test_modes_by_hand() -> None:
    one, other = pictures((16, 16))
    zero = (0, 0)
    first, second = (one - 128) << 6, (other - 128) << 6
    for mode, expected in ((FORWARD, first), (BACKWARD, second), (BOTH, (first + second + 1) >> 1)):
        field = uniform((16, 16), 16, mode, zero, zero)
        np.testing.assert_array_equal(compensate([one, other], field, 16, LUMA, 8), expected)


def test_neighbouring_blocks_blend_by_their_windows() -> None:
    """Two blocks of a flat first and a flat second reference: along the row the windows show."""
    first, second = np.full((8, 16), 128 + 64), np.full((8, 16), 128)
    field = whole_field(np.zeros((2, 2, 1, 2), dtype=np.int64), np.array([[FORWARD, BACKWARD]]))
    found = compensate([first, second], field, 8, LUMA, 8)
    expected = [64, 64, 64, 64, 64, 64, 62, 44, 20, 2, 0, 0, 0, 0, 0, 0]
    assert found[3].tolist() == [64 * value for value in expected]


def test_parts_of_a_block_blend_by_the_windows_of_half_its_side() -> None:
    """One block whose left half comes from a flat first and its right half from a flat second reference."""
    first, second = np.full((16, 16), 128 + 64), np.full((16, 16), 128)
    modes = np.array([[FORWARD, BACKWARD]] * 2)
    field = plain_field(np.zeros((2, 2, 2, 2), dtype=np.int64), modes, np.array([[COLUMNS]]))
    expected = [64, 64, 64, 64, *(64 - rise for rise in RISES[8]), 0, 0, 0, 0]
    found = compensate([first, second], field, 16, LUMA, 8)
    assert found.tolist() == [[64 * value for value in expected]] * 16
    upright = plain_field(field.vectors, modes.T, np.array([[ROWS]]))
    np.testing.assert_array_equal(compensate([first, second], upright, 16, LUMA, 8), found.T)


def test_beside_a_split_block_its_parts_fade_with_it() -> None:
    """The right block is split: what its upper half brings is weighted by both windows."""
    first, second = np.full((8, 16), 128 + 64), np.full((8, 16), 128)
    modes = np.array([[BACKWARD, BACKWARD, FORWARD, FORWARD], [BACKWARD] * 4])
    field = plain_field(np.zeros((2, 2, 2, 4), dtype=np.int64), modes, np.array([[WHOLE, ROWS]]))
    found = compensate([first, second], field, 8, LUMA, 8)
    along_x = [0, 0, 0, 0, 0, 0, *RISES[4], 64, 64, 64, 64, 64, 64]
    along_y = [64, 64, *(64 - rise for rise in RISES[4]), 0, 0]
    for y, x in np.ndindex(8, 16):
        assert found[y, x] == along_x[x] * along_y[y]


@pytest.mark.parametrize("block_size", [8, 16, 32])
@pytest.mark.parametrize("shifts", [LUMA, HALF])
def test_equal_parts_are_a_whole_block(block_size: int, shifts: tuple[int, int]) -> None:
    one, other = pictures((27, 41))
    blocks = block_shape((27 << shifts[0], 41 << shifts[1]), block_size)
    rng = np.random.default_rng(3)
    whole = whole_field(rng.integers(-99, 100, (2, 2, *blocks)), rng.integers(0, 3, blocks))
    split = replace(whole, splits=rng.integers(0, 4, blocks))
    assert split.splits.any()
    np.testing.assert_array_equal(
        compensate([one, other], split, block_size, shifts, 8), compensate([one, other], whole, block_size, shifts, 8)
    )


def test_finish_rounds_and_clips() -> None:
    prediction = np.array([[0, 31, 32, -33, 64 * 126, 9000, -9000]])
    assert finish(prediction, np.zeros_like(prediction), 8).tolist() == [[128, 128, 129, 127, 254, 255, 0]]
    assert finish(prediction, np.full_like(prediction, 8), 10).tolist() == [[513, 514, 515, 510, 1017, 1023, 0]]
