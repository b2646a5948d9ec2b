# SPDX-License-Identifier: MIT
"""Motion symbols of small fields, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

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
    OFFSET_CLASS,
    SPLIT_CLASS,
    UNIT_CLASS,
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
from tests.hybrid.streams import plain_field

ALONE = CodedFrame(2, (1,), 1)
BETWEEN = CodedFrame(2, (0, 3), 2)


def pairs(coded: MotionSymbols) -> list[tuple[int, int]]:
    """(class, symbol) in coding order, behind the unit and the offsets that come first."""
    found = zip(coded.classes.tolist(), coded.symbols.tolist(), strict=True)
    return [pair for pair in found if pair[0] not in (UNIT_CLASS, OFFSET_CLASS)]


def tree_features(coded: MotionSymbols) -> NDArray[np.int64]:
    """(8, N) of the symbols that `pairs` gives."""
    return coded.features[:, ~np.isin(coded.classes, (UNIT_CLASS, OFFSET_CLASS))]


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
    assert scaled(8, 4, 8, 1) == 4
    assert scaled(-7, 1, 2, 1) == -4  # halves go outwards
    assert scaled(7, -1, 2, 1) == -4
    assert scaled(7, -1, -3, 1) == 2
    assert scaled(0, -1, 3, 1) == 0
    assert scaled(3000, 3, 1, 1) == 9000
    # 7.5 quarters of a sample are 3.75 halves, 7 are 3.5.
    assert scaled(15, 1, 2, 2) == 4
    assert scaled(-14, 1, 2, 2) == -4
    assert scaled(13, 1, 2, 2) == 3


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
    assert tree_features(coded)[:, 3].tolist() == [0] * 7 + [256]
    # W has a motion of its own; no distances; candidates.
    assert tree_features(coded)[:, 4].tolist() == [256, *[0] * 6, 256]


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
    assert tree_features(coded)[:, 11].tolist() == [256, 256, 512, 512, 0, 0, 0, 256]


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
        assert tree_features(coded)[:, last].tolist() == [256, 256, 256, 256, *features_of(2, 0, 0), 4 * 256]
        first = tree_features(coded)[:, last + 1].tolist()
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
    assert tree_features(coded)[:, 0].tolist() == [0, 0, 0, 0, 0, 256, 0, 256]


@pytest.mark.parametrize(
    ("mode", "reference", "expected"),
    [
        (FORWARD, 1, ((-5, 0), (10, 0))),  # -10 in 4 frames: half of it in 2, and once more on the other side
        (BACKWARD, 0, ((-6, 0), (12, 0))),  # 12 towards 8, 4 frames later
        (BOTH, 0, ((-5, 0), (10, 0))),
        (BOTH, 1, ((-6, 0), (12, 0))),
    ],
)
def test_of_two_vectors_one_counts(
    mode: int, reference: int, expected: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    vectors = np.zeros((2, 2, 2, 2), dtype=np.int64)
    vectors[0, 0], vectors[1, 0] = -10, 12
    vectors[0] *= mode != BACKWARD
    vectors[1] *= mode != FORWARD
    before = plain_field(vectors, np.full((2, 2), mode), np.zeros((1, 1), dtype=np.int64))
    earlier = EarlierMotion(before, CodedFrame(4, (0, 8), 2), reference)
    field = plain_field(
        np.broadcast_to(np.array(expected)[:, :, None, None], (2, 2, 2, 2)).copy(),
        np.full((2, 2), BOTH),
        np.zeros((1, 1), dtype=np.int64),
    )
    assert pairs(to_symbols(field, CodedFrame(2, (0, 6), 3), earlier)) == [(CUT_CLASS, 0), (MERGE_CLASS, 0)]


def test_a_field_from_one_reference_to_the_other_is_lent() -> None:
    """What moves from frame 4 to frame 8 passes frame 6, whichever of the two says so."""
    first, second = still(1, 1), still(1, 1)
    frame, late = CodedFrame(6, (4, 8), 3), CodedFrame(8, (0,), 1)
    assert earlier_motion(frame, [(CodedFrame(4, (0, 8), 2), None), (late, None)]) is None
    assert earlier_motion(frame, []) is None
    found = earlier_motion(frame, [(CodedFrame(4, (0, 8), 2), first), (late, second)])
    assert found == EarlierMotion(first, CodedFrame(4, (0, 8), 2), 1)
    # Frame 8 is predicted from frame 4 here.
    frames = [CodedFrame(4, (0,), 1), CodedFrame(8, (4, 0), 1)]
    found = earlier_motion(frame, [(frames[0], first), (frames[1], second)])
    assert found == EarlierMotion(second, frames[1], 0)
    found = earlier_motion(CodedFrame(12, (8, 4), 1), [(frames[1], second), (frames[0], first)])
    assert found == EarlierMotion(second, frames[1], 0)


def test_else_the_first_field_is_lent() -> None:
    first, second = still(1, 1), still(1, 1)
    frames = [CodedFrame(4, (0,), 1), CodedFrame(8, (0,), 1)]
    for fields, number in (((first, second), 0), ((None, second), 1)):
        found = earlier_motion(CodedFrame(6, (4, 8), 2), list(zip(frames, fields, strict=True)))
        assert found == EarlierMotion(fields[number], frames[number], 0)


def test_the_whole_picture_may_move_beyond_what_is_expected() -> None:
    """By (3, -1) beyond what frame 8 moved since frame 0, as seen from both sides; nothing else is said."""
    before = whole_field(np.full((1, 2, 4, 4), -8), np.zeros((4, 4), dtype=np.int64))
    earlier = EarlierMotion(before, CodedFrame(8, (0,), 1))
    vectors = np.stack([np.full((2, 4, 4), -4), np.full((2, 4, 4), 4)])
    vectors[:, 0] += 3
    vectors[:, 1] -= 1
    field = replace(whole_field(vectors, np.full((4, 4), BOTH)), offsets=np.array([[3, -1], [3, -1]]))
    coded = to_symbols(field, CodedFrame(4, (0, 8), 2), earlier)
    assert coded.classes.tolist() == [UNIT_CLASS, *[OFFSET_CLASS] * 4, CUT_CLASS, MERGE_CLASS]
    assert coded.symbols.tolist() == [0, 3, -1, 0, 0, 0, 0]  # the second reference's are differences to the first's
    assert coded.features[:, 1].tolist() == [0] * 8
    assert coded.features[:, 2].tolist() == [*features_of(3), 256, *[0] * 6]
    assert coded.features[:, 4].tolist() == [0, 256, *[0] * 5, 256]


def test_blocks_follow_what_is_expected_of_each() -> None:
    """Motion that differs from block to block, and goes on: one flag for all, behind W and N, which move otherwise."""
    before = still(8, 8)
    before.vectors[0, 1, 8:, 8:] = 2 * np.arange(4).repeat(2)
    earlier = EarlierMotion(before, CodedFrame(2, (0,), 1))
    field = still(8, 8)
    field.vectors[0, 1, 8:, 8:] = np.arange(4).repeat(2)
    field.vectors[0, 0, :8, 8:], field.vectors[0, 0, 8:, :8] = 5, 7
    coded = to_symbols(field, CodedFrame(3, (2,), 1), earlier)
    flags = [(CANDIDATE_CLASS, 1), (CANDIDATE_CLASS + 1, 1), (CANDIDATE_CLASS + 2, 0)]
    assert pairs(coded)[-5:] == [(CUT_CLASS, 0), (MERGE_CLASS, 0), *flags]
    # Of the last: distances of W (7, 0) and N (5, 0), of both and (0, 2), which is expected in the block in the middle,
    # of that and NW, which stands still and comes next; one more candidate; a vote for each; the size.
    gaps = features_of(2, 7 + 2, 5 + 2)
    assert tree_features(coded)[:, -1].tolist() == [*gaps, *features_of(2), 256, 256, 256, 0]


def test_vectors_may_be_halves() -> None:
    field = replace(whole_field(np.full((1, 2, 4, 4), -6), np.zeros((4, 4), dtype=np.int64)), unit=2)
    coded = to_symbols(field, ALONE, None)
    assert coded.classes.tolist() == [UNIT_CLASS, CUT_CLASS, 1, 2]
    assert coded.symbols.tolist() == [1, 0, -3, -3]


def test_block_in_both_modes_by_hand() -> None:
    """One block: mode 0 as BOTH, the first vector, then the second less what carries the first one on."""
    vectors = np.array([[[[8]], [[-2]]], [[[-5]], [[1]]]])
    coded = to_symbols(whole_field(vectors, np.array([[BOTH]])), BETWEEN, None)
    assert pairs(coded) == [(CUT_CLASS, 0), (MODE_CLASS, 0), (1, 8), (2, -2), (3, -5 + 4), (4, 0)]
    assert tree_features(coded)[:, 4].tolist() == [*features_of(0, 0, 0, 0, 0, 0, 8), 256]
    assert tree_features(coded)[:, 5].tolist() == [*features_of(0, 0, 0, 0, 0, 1, 2), 256]


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
    field = plain_field(vectors, np.zeros((2, 4), dtype=np.int64), np.array([[WHOLE, QUARTERS]]))
    coded = to_symbols(field, ALONE, None)
    own = [MERGE_CLASS + 3, 1, 2]
    assert coded.classes.tolist() == [UNIT_CLASS, CUT_CLASS, CUT_CLASS + 1, SPLIT_CLASS, 1, 2, SPLIT_CLASS, *own * 4]
    ups = coded.symbols[coded.classes == 1].tolist()
    # From nothing; W; W; the median of W (4), N (8) and NE (2); the mean of W (6) and N (2), since NE comes later.
    assert ups == [4, 8 - 4, 2 - 8, 6 - 4, 10 - 4]
    assert coded.symbols[coded.classes == SPLIT_CLASS].tolist() == [0, 2]
    lower_left = coded.features[:, coded.classes == 1][:, 3].tolist()
    assert lower_left == [*features_of(abs(4 - 8), abs(8 - 2), 0, 4, 4, 0, 0), 0]


@pytest.mark.parametrize(("split", "symbol"), [(ROWS, 1), (COLUMNS, -1)])
def test_halves_by_hand(split: int, symbol: int) -> None:
    quarters = np.array([[3, 3], [5, 5]])
    vectors = np.stack([quarters if split == ROWS else quarters.T, np.zeros((2, 2), dtype=np.int64)])[None]
    field = plain_field(vectors, np.zeros((2, 2), dtype=np.int64), np.array([[split]]))
    coded = to_symbols(field, ALONE, None)
    cuts = [(CUT_CLASS, 1), (CUT_CLASS + 1, 1)]
    assert pairs(coded) == [*cuts, (SPLIT_CLASS, symbol), (1, 3), (2, 0), (MERGE_CLASS + 3, 1), (1, 5 - 3), (2, 0)]


def test_any_other_symbol_is_four_quarters() -> None:
    assert [split_of(symbol) for symbol in (0, 1, -1, 2, -2, 900)] == [WHOLE, ROWS, COLUMNS] + [QUARTERS] * 3


def test_components_are_clipped() -> None:
    assert [clip_component(value, 1) for value in (-(10**7), 5, 10**7)] == [-MAX_VECTOR, 5, MAX_VECTOR]
    assert [clip_component(value, 2) for value in (-(10**7), 10**7)] == [-MAX_VECTOR // 2, MAX_VECTOR // 2]
