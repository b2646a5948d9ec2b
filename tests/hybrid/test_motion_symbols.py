# SPDX-License-Identifier: MIT
"""Motion symbols of small fields, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.hybrid.compensation import (
    BACKWARD,
    BOTH,
    COLUMNS,
    FORWARD,
    MAX_VECTOR,
    QUARTERS,
    ROWS,
    WHOLE,
    MotionField,
    whole_field,
)
from c3video.hybrid.context_network import magnitude_feature
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import (
    Neighbours,
    carried_on,
    clip_component,
    component_features,
    expected_sign,
    mode_features,
    split_of,
    to_symbols,
    uses,
)


def prediction(values: list[int], known: list[bool]) -> int:
    return int(Neighbours(np.array(values)[:, None], np.array(known)[:, None]).prediction()[0])


def features_of(*magnitudes: int, flag: int = 0) -> list[int]:
    return [*magnitude_feature(np.array(magnitudes)).tolist(), flag]


def test_prediction_is_the_median_the_mean_or_the_one() -> None:
    assert prediction([5, -3, 9], [True, True, True]) == 5
    assert prediction([5, -8, 9], [True, True, False]) == -2  # rounded down
    assert prediction([5, -8, 9], [False, False, True]) == 9
    assert prediction([5, -8, 9], [False, False, False]) == 0


def test_spreads_need_both() -> None:
    neighbours = Neighbours(np.array([[5], [-3], [9]]), np.array([[True], [True], [False]]))
    assert neighbours.spreads().ravel().tolist() == [8, 0, 0]


def test_second_vector_is_expected_to_carry_on() -> None:
    between = CodedFrame(3, (0, 4), 2)  # three frames after the first, one before the second
    assert carried_on(np.array([9, -9, 2, 0]), between).tolist() == [-3, 3, 0, 0]
    late = CodedFrame(16, (8, 0), 1)  # the second lies twice as far back
    assert carried_on(np.array([9, -9]), late).tolist() == [18, -18]


def test_modes_use_their_references() -> None:
    modes = np.array([FORWARD, BACKWARD, BOTH])
    assert uses(modes, 0).tolist() == [True, False, True]
    assert uses(modes, 1).tolist() == [False, True, True]


def test_features_by_hand() -> None:
    one = np.array([1])
    found = component_features(np.array([[3], [0], [7]]), -2 * one, 300 * one, 5 * one, 0 * one, one == 1)
    assert found.ravel().tolist() == features_of(3, 0, 7, 2, 300, 5, 0, flag=256)
    assert mode_features(np.array([[1], [-1], [0], [1]])).ravel().tolist() == [256, 256, 0, 256, 0, 0, 0, 0]
    assert expected_sign(np.array([[1, -1, 0], [-1, 0, 0], [-1, 1, 0], [-1, -1, -1]])).tolist() == [-1, 1, 1]


def test_field_of_one_reference_by_hand() -> None:
    vectors = np.array([[[[4, 6], [6, 2]], [[0, -1], [3, 3]]]])
    coded = to_symbols(whole_field(vectors, np.zeros((2, 2), dtype=np.int64)), CodedFrame(2, (1,), 1))
    assert coded.classes.tolist() == [5, 1, 2] * 4
    # Whole; predicted from nothing; W; the mean of N and NE; that of W and N.
    assert coded.symbols.tolist() == [0, 4, 0, 0, 6 - 4, -1, 0, 6 - 5, 3 - -1, 0, 2 - 6, 3 - 1]
    last_x = coded.features[:, -1].tolist()
    assert last_x == features_of(abs(3 - -1), 0, 0, 4, 1, 4, 0)


def test_block_in_both_modes_by_hand() -> None:
    """One block: mode 0 as BOTH, the first vector, then the second less what carries the first one on."""
    vectors = np.array([[[[8]], [[-2]]], [[[-5]], [[1]]]])
    coded = to_symbols(whole_field(vectors, np.array([[BOTH]])), CodedFrame(2, (0, 3), 2))
    assert coded.classes.tolist() == [5, 0, 1, 2, 3, 4]
    assert coded.symbols.tolist() == [0, 0, 8, -2, -5 + 4, 1 - 1]
    assert coded.features[:, 4].tolist() == features_of(0, 0, 0, 0, 0, 0, 8, flag=256)
    assert coded.features[:, 5].tolist() == features_of(0, 0, 0, 0, 0, 1, 2, flag=256)


def test_modes_are_coded_against_the_side_that_neighbours_lean_to() -> None:
    vectors = np.zeros((2, 2, 1, 3), dtype=np.int64)
    coded = to_symbols(whole_field(vectors, np.array([[BACKWARD, BACKWARD, FORWARD]])), CodedFrame(1, (0, 2), 2))
    modes = coded.symbols[coded.classes == 0]
    assert modes.tolist() == [-1, 1, -1]  # the first has no neighbours; then backward is expected


def test_quarters_of_a_block_by_hand() -> None:
    """A whole block of vector (4, 0), then one of four quarters."""
    vectors = np.array([[[[4, 4, 8, 2], [4, 4, 6, 10]], np.zeros((2, 4), dtype=np.int64)]])
    field = MotionField(vectors, np.zeros((2, 4), dtype=np.int64), np.array([[WHOLE, QUARTERS]]))
    coded = to_symbols(field, CodedFrame(2, (1,), 1))
    assert coded.classes.tolist() == [5, 1, 2, 5, *[1, 2] * 4]
    ups = coded.symbols[coded.classes == 1].tolist()
    # From nothing; W; W; the median of W (4), N (8) and NE (2); the mean of W (6) and N (2), since NE comes later.
    assert ups == [4, 8 - 4, 2 - 8, 6 - 4, 10 - 4]
    assert coded.symbols[coded.classes == 5].tolist() == [0, 2]
    lower_left = coded.features[:, coded.classes == 1][:, 3].tolist()
    assert lower_left == features_of(abs(4 - 8), abs(8 - 2), abs(4 - 2), 4, 4, 0, 0)


@pytest.mark.parametrize(("split", "symbol"), [(ROWS, 1), (COLUMNS, -1)])
def test_halves_by_hand(split: int, symbol: int) -> None:
    quarters = np.array([[3, 3], [5, 5]])
    vectors = np.stack([quarters if split == ROWS else quarters.T, np.zeros((2, 2), dtype=np.int64)])[None]
    coded = to_symbols(
        MotionField(vectors, np.zeros((2, 2), dtype=np.int64), np.array([[split]])), CodedFrame(2, (1,), 1)
    )
    assert coded.classes.tolist() == [5, 1, 2, 1, 2]
    assert coded.symbols.tolist() == [symbol, 3, 0, 5 - 3, 0]


def test_splits_around_a_block_are_its_context() -> None:
    splits = np.array([[QUARTERS, WHOLE, ROWS], [WHOLE, WHOLE, WHOLE]])
    field = MotionField(np.zeros((1, 2, 4, 6), dtype=np.int64), np.zeros((4, 6), dtype=np.int64), splits)
    coded = to_symbols(field, CodedFrame(2, (1,), 1))
    middle = coded.features[:, coded.classes == 5][:, 4].tolist()
    assert middle == [0, 0, 256, 256, 0, 0, 0, 0]  # of W, N, NE, NW


def test_any_other_symbol_is_four_quarters() -> None:
    assert [split_of(symbol) for symbol in (0, 1, -1, 2, -2, 900)] == [WHOLE, ROWS, COLUMNS] + [QUARTERS] * 3


def test_components_are_clipped() -> None:
    assert [clip_component(value) for value in (-(10**7), 5, 10**7)] == [-MAX_VECTOR, 5, MAX_VECTOR]
