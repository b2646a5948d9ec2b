# SPDX-License-Identifier: MIT
"""Motion symbols of small fields, by hand."""

from __future__ import annotations

from dataclasses import replace

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
    CANDIDATE_CLASS,
    CUT_CLASS,
    MERGE_CLASS,
    MODE_CLASS,
    SPLIT_CLASS,
    EarlierMotion,
    Motion,
    MotionSymbols,
    carried_on,
    clip_component,
    earlier_motion,
    predicted_component,
    scaled,
    split_of,
    to_symbols,
    uses,
)

ALONE = CodedFrame(2, (1,), 1)
BETWEEN = CodedFrame(2, (0, 3), 2)


def pairs(coded: MotionSymbols) -> list[tuple[int, int]]:
    """(class, symbol) in coding order."""
    return list(zip(coded.classes.tolist(), coded.symbols.tolist(), strict=True))


def features_of(*magnitudes: int) -> list[int]:
    return magnitude_feature(np.array(magnitudes)).tolist()


def still(rows: int, columns: int) -> MotionField:
    return whole_field(np.zeros((1, 2, rows, columns), dtype=np.int64), np.zeros((rows, columns), dtype=np.int64))


def test_prediction_is_the_median_the_mean_or_the_one() -> None:
    assert predicted_component([5, -3, 9]) == 5
    assert predicted_component([5, -8]) == -2  # rounded down
    assert predicted_component([9]) == 9
    assert predicted_component([]) == 0


def test_second_vector_is_expected_to_carry_on() -> None:
    between = CodedFrame(3, (0, 4), 2)  # three frames after the first, one before the second
    assert [carried_on(difference, between) for difference in (9, -9, 2, 0)] == [-3, 3, 0, 0]
    late = CodedFrame(16, (8, 0), 1)  # the second lies twice as far back
    assert [carried_on(difference, late) for difference in (9, -9)] == [18, -18]


def test_modes_use_their_references() -> None:
    modes = np.array([FORWARD, BACKWARD, BOTH])
    assert uses(modes, 0).tolist() == [True, False, True]
    assert uses(modes, 1).tolist() == [False, True, True]


def test_components_scale_with_time_to_the_nearest() -> None:
    assert scaled(8, 4, 8) == 4
    assert scaled(-7, 1, 2) == -4  # halves go outwards
    assert scaled(7, -1, 2) == -4
    assert scaled(7, -1, -3) == 2
    assert scaled(0, -1, 3) == 0
    assert scaled(3000, 3, 1) == MAX_VECTOR
    assert scaled(-3000, 3, 1) == -MAX_VECTOR


def test_distance_counts_what_both_use() -> None:
    both, forward = Motion(BOTH, ((1, 2), (3, 4))), Motion(FORWARD, ((4, -2), (0, 0)))
    assert both.distance(forward) == 64 + 3 + 4
    assert both.distance(Motion(BACKWARD, ((0, 0), (3, 5)))) == 64 + 1
    assert both.distance(Motion(BOTH, ((1, 2), (0, 0)))) == 7
    assert forward.distance(Motion(BACKWARD, ((0, 0), (9, 9)))) == 64
    assert both.distance(None) == 0


def test_a_superblock_that_moves_alike_is_one_part() -> None:
    """The first one has nothing around it and a motion of its own; the second takes it over."""
    field = whole_field(np.full((1, 2, 4, 8), 3), np.zeros((4, 8), dtype=np.int64))
    coded = to_symbols(field, ALONE, None)
    assert pairs(coded) == [(CUT_CLASS, 0), (1, 3), (2, 3), (CUT_CLASS, 0), (MERGE_CLASS, 0)]
    # Depths of W, W, N, N, NE; different motions of an earlier frame; distance of W and N; candidates.
    assert coded.features[:, 3].tolist() == [0] * 7 + [256]
    # W has a motion of its own; no distances; candidates.
    assert coded.features[:, 4].tolist() == [256, *[0] * 6, 256]


def test_a_tree_by_hand() -> None:
    """4 x 3 blocks: a superblock that is partly outside. One block of its lower right quarter moves."""
    field = still(4, 3)
    field.vectors[0, 0, 6:8, 4:6] = 5
    coded = to_symbols(field, ALONE, None)
    assert pairs(coded) == [
        (CUT_CLASS, 1),
        # Upper left: its motion, from nothing.
        *[(CUT_CLASS + 1, 0), (1, 0), (2, 0)],
        # Upper right: half of it is outside; it moves as W does.
        *[(CUT_CLASS + 1, 0), (MERGE_CLASS + 1, 0)],
        # Lower left: as N and NE.
        *[(CUT_CLASS + 1, 0), (MERGE_CLASS + 1, 0)],
        # Lower right: cut into two blocks that lie in the field. The first one moves as all do, the second does not:
        # it lies below, and what lies to the right of it is outside.
        *[(CUT_CLASS + 1, 1), (SPLIT_CLASS, 0), (MERGE_CLASS + 2, 0)],
        *[(SPLIT_CLASS, 0), (MERGE_CLASS + 2, 1), (1, 5), (2, 0)],
    ]
    # Of the last split: W, twice, and NE outside have depth 1 or none, N is a block, of depth 2; one candidate.
    assert coded.features[:, 11].tolist() == [256, 256, 512, 512, 0, 0, 0, 256]


def test_candidates_are_different_and_have_an_order() -> None:
    """A row of superblocks of motions 1, 2, then below 3 and one that takes over each in turn."""
    order = [1, 2, 3]  # N, NE, W
    for chosen, symbols in ((3, [0]), (1, [1, 0]), (2, [1, 1])):
        field = still(8, 12)
        for number, (y, x) in enumerate(((0, 8), (0, 16), (8, 0))):
            field.vectors[0, 0, y : y + 8, x : x + 8] = order[number]
        field.vectors[0, 0, 8:, 8:16] = chosen
        coded = to_symbols(field, ALONE, None)
        found = pairs(coded)
        last = found.index((CUT_CLASS, 0), found.index((1, 3))) + 1  # of the part in the middle below
        flags = [(CANDIDATE_CLASS + number, symbol) for number, symbol in enumerate(symbols)]
        assert found[last : last + 1 + len(flags)] == [(MERGE_CLASS, 0), *flags]
        # W, N, NE, NW have motions of their own but for NW, the first of all, which has none to take over.
        assert coded.features[:, last].tolist() == [256, 256, 256, 256, *features_of(2, 0, 0), 4 * 256]
        first = coded.features[:, last + 1].tolist()
        assert first == [*features_of(2, 0, 0), *features_of(2), 3 * 256, 256, 256, 0]


def test_motion_of_an_earlier_frame_is_a_candidate() -> None:
    before = whole_field(np.full((1, 2, 4, 4), -8), np.zeros((4, 4), dtype=np.int64))
    earlier = EarlierMotion(before, CodedFrame(8, (0,), 1))
    frame = CodedFrame(4, (0, 8), 2)
    vectors = np.full((2, 2, 4, 4), -4)
    vectors[1] = 4
    coded = to_symbols(whole_field(vectors, np.full((4, 4), BOTH)), frame, earlier)
    assert pairs(coded) == [(CUT_CLASS, 0), (MERGE_CLASS, 0)]
    # Where its quarters differ, that is known of the tree.
    before.vectors[0, 0, 2, 2] = 9
    coded = to_symbols(whole_field(vectors, np.full((4, 4), BOTH)), frame, earlier)
    assert coded.features[:, 0].tolist() == [0, 0, 0, 0, 0, 256, 0, 256]


@pytest.mark.parametrize(
    ("mode", "index", "expected"),
    [
        (FORWARD, 2, ((-5, 0), (10, 0))),  # -10 in 4 frames: half of it in 2
        (BACKWARD, 2, ((-6, 0), (12, 0))),  # 12 towards 8, 4 frames later
        (BOTH, 2, ((-5, 0), (10, 0))),  # the frame lies before 4: its earlier reference is on the same side
        (BOTH, 6, ((-18, 0), (6, 0))),
    ],
)
def test_of_two_vectors_the_nearer_side_counts(mode: int, index: int, expected: tuple[tuple[int, int], ...]) -> None:
    vectors = np.zeros((2, 2, 2, 2), dtype=np.int64)
    vectors[0, 0], vectors[1, 0] = -10, 12
    vectors[0] *= mode != BACKWARD
    vectors[1] *= mode != FORWARD
    earlier = EarlierMotion(
        MotionField(vectors, np.full((2, 2), mode), np.zeros((1, 1), dtype=np.int64)), CodedFrame(4, (0, 8), 2)
    )
    frame = CodedFrame(index, (0, 6) if index == 2 else (0, 8), 3)
    wanted = np.array(expected)
    if index == 2:
        wanted[1] = wanted[0] * -2
    field = MotionField(
        np.broadcast_to(wanted[:, :, None, None], (2, 2, 2, 2)).copy(),
        np.full((2, 2), BOTH),
        np.zeros((1, 1), dtype=np.int64),
    )
    assert pairs(to_symbols(field, frame, earlier)) == [(CUT_CLASS, 0), (MERGE_CLASS, 0)]


def test_the_nearest_reference_with_a_field_lends_it() -> None:
    near, far = still(1, 1), still(1, 1)
    frame, first, second = CodedFrame(6, (4, 8), 3), CodedFrame(4, (0, 8), 2), CodedFrame(8, (0,), 1)
    assert earlier_motion(frame, [(first, None), (second, None)]) is None
    assert earlier_motion(frame, []) is None
    found = earlier_motion(frame, [(first, far), (second, near)])  # as near: the second
    assert found is not None
    assert found.field is near
    found = earlier_motion(replace(frame, index=5), [(first, near), (second, far)])
    assert found is not None
    assert found.frame is first
    found = earlier_motion(frame, [(first, near), (second, None)])
    assert found is not None
    assert found.field is near


def test_block_in_both_modes_by_hand() -> None:
    """One block: mode 0 as BOTH, the first vector, then the second less what carries the first one on."""
    vectors = np.array([[[[8]], [[-2]]], [[[-5]], [[1]]]])
    coded = to_symbols(whole_field(vectors, np.array([[BOTH]])), BETWEEN, None)
    assert pairs(coded) == [(CUT_CLASS, 0), (MODE_CLASS, 0), (1, 8), (2, -2), (3, -5 + 4), (4, 0)]
    assert coded.features[:, 4].tolist() == [*features_of(0, 0, 0, 0, 0, 0, 8), 256]
    assert coded.features[:, 5].tolist() == [*features_of(0, 0, 0, 0, 0, 1, 2), 256]


def test_modes_are_coded_against_the_side_that_neighbours_lean_to() -> None:
    """Superblocks of vectors that differ, so that each has a motion of its own."""
    vectors = np.zeros((2, 2, 4, 12), dtype=np.int64)
    modes = np.full((4, 12), BACKWARD)
    modes[:, 8:] = FORWARD
    vectors[1, 0, :, :4], vectors[1, 0, :, 4:8], vectors[0, 0, :, 8:] = 1, 2, 3
    coded = to_symbols(whole_field(vectors, modes), BETWEEN, None)
    chosen = coded.classes == MODE_CLASS
    assert coded.symbols[chosen].tolist() == [-1, 1, -1]  # the first has no neighbours; then backward is expected
    assert coded.features[:, chosen][:, 1].tolist() == [256, *[0] * 7]


def test_quarters_of_a_block_by_hand() -> None:
    """A whole block of vector (4, 0), then one of four quarters."""
    vectors = np.array([[[[4, 4, 8, 2], [4, 4, 6, 10]], np.zeros((2, 4), dtype=np.int64)]])
    field = MotionField(vectors, np.zeros((2, 4), dtype=np.int64), np.array([[WHOLE, QUARTERS]]))
    coded = to_symbols(field, ALONE, None)
    own = [MERGE_CLASS + 3, 1, 2]
    assert coded.classes.tolist() == [CUT_CLASS, CUT_CLASS + 1, SPLIT_CLASS, 1, 2, SPLIT_CLASS, *own * 4]
    ups = coded.symbols[coded.classes == 1].tolist()
    # From nothing; W; W; the median of W (4), N (8) and NE (2); the mean of W (6) and N (2), since NE comes later.
    assert ups == [4, 8 - 4, 2 - 8, 6 - 4, 10 - 4]
    assert coded.symbols[coded.classes == SPLIT_CLASS].tolist() == [0, 2]
    lower_left = coded.features[:, coded.classes == 1][:, 3].tolist()
    assert lower_left == [*features_of(abs(4 - 8), abs(8 - 2), abs(4 - 2), 4, 4, 0, 0), 0]


@pytest.mark.parametrize(("split", "symbol"), [(ROWS, 1), (COLUMNS, -1)])
def test_halves_by_hand(split: int, symbol: int) -> None:
    quarters = np.array([[3, 3], [5, 5]])
    vectors = np.stack([quarters if split == ROWS else quarters.T, np.zeros((2, 2), dtype=np.int64)])[None]
    field = MotionField(vectors, np.zeros((2, 2), dtype=np.int64), np.array([[split]]))
    coded = to_symbols(field, ALONE, None)
    cuts = [(CUT_CLASS, 1), (CUT_CLASS + 1, 1)]
    assert pairs(coded) == [*cuts, (SPLIT_CLASS, symbol), (1, 3), (2, 0), (MERGE_CLASS + 3, 1), (1, 5 - 3), (2, 0)]


def test_any_other_symbol_is_four_quarters() -> None:
    assert [split_of(symbol) for symbol in (0, 1, -1, 2, -2, 900)] == [WHOLE, ROWS, COLUMNS] + [QUARTERS] * 3


def test_components_are_clipped() -> None:
    assert [clip_component(value) for value in (-(10**7), 5, 10**7)] == [-MAX_VECTOR, 5, MAX_VECTOR]
