# SPDX-License-Identifier: MIT
"""Order and references of a segment's frames."""

from __future__ import annotations

import pytest

from c3video.hybrid.frame_order import CodedFrame, coding_order, num_depths


def test_two_groups_of_four_by_hand() -> None:
    assert coding_order(7, 4) == (
        CodedFrame(0, (), 0),
        CodedFrame(4, (0,), 1),
        CodedFrame(2, (0, 4), 2),
        CodedFrame(1, (0, 2), 3),
        CodedFrame(3, (2, 4), 3),
        CodedFrame(6, (4, 0), 1),  # the last group is shorter
        CodedFrame(5, (4, 6), 2),
    )


def test_levels_of_the_drawing() -> None:
    depths = {frame.index: frame.depth for frame in coding_order(9, 8)}
    assert [depths[index] for index in range(9)] == [0, 4, 3, 4, 2, 4, 3, 4, 1]


@pytest.mark.parametrize("gop", [1, 2, 3, 7, 32])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 8, 33, 70])
def test_every_frame_comes_once_and_after_its_references(num_frames: int, gop: int) -> None:
    seen: set[int] = set()
    frames = coding_order(num_frames, gop)
    for frame in frames:
        assert set(frame.references) <= seen
        assert frame.index not in seen
        if frame.depth == 1:
            assert sorted(frame.references, reverse=True) == list(frame.references)
            assert frame.references[0] < frame.index
        elif frame.depth > 1:
            assert frame.references[0] < frame.index < frame.references[1]
        seen.add(frame.index)
    assert seen == set(range(num_frames))
    assert num_depths(num_frames, gop) == 1 + max(frame.depth for frame in frames)


def test_deepest_segment_has_levels_that_share_biases() -> None:
    assert num_depths(33, 32) == 7
    assert num_depths(1, 32) == 1
