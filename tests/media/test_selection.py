# SPDX-License-Identifier: MIT
"""Runs of frames by number and by time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from c3video.errors import ConfigError
from c3video.media.selection import Selection, numbered
from c3video.video import Frame, VideoFormat

VIDEO = VideoFormat(1, 1, "gray", time_base=Fraction(1, 10))
TIMES = (30, 31, 35, 36)


def clip() -> list[Frame]:
    return [Frame((np.zeros((1, 1), np.uint8),), pts, 1) for pts in TIMES]


def chosen(selection: Selection) -> tuple[list[int], list[str]]:
    missed: list[str] = []
    found = selection.of(numbered(clip(), VIDEO), VIDEO, "clip", missed.append)
    return [index for index, _ in found], missed


@pytest.mark.parametrize(
    ("frames", "start", "end", "expected", "missed"),
    [
        (None, None, None, [0, 1, 2, 3], []),
        ((1, 3), None, None, [1, 2], []),
        ((1, 9), None, None, [1, 2, 3], ["frames 1:9 were asked for, and it ends after frame 3"]),
        (None, Fraction(1, 10), Fraction(6, 10), [1, 2], []),
        (None, Fraction(1, 2), None, [2, 3], []),
        (None, None, Fraction(7, 10), [0, 1, 2, 3], []),
        (None, None, Fraction(2), [0, 1, 2, 3], ["0 s to 2 s were asked for, and it ends at 0.7 s"]),
    ],
)
def test_runs(
    frames: tuple[int, int | None] | None,
    start: Fraction | None,
    end: Fraction | None,
    expected: list[int],
    missed: list[str],
) -> None:
    assert chosen(Selection.of_options(frames, start, end)) == (expected, missed)


def test_a_run_that_is_not_there_raises() -> None:
    with pytest.raises(ConfigError, match="clip: there is no frame 4, the first that was asked for"):
        chosen(Selection(first=4))
    with pytest.raises(ConfigError, match=r"clip: there is no frame from 0\.2 s to 0\.5 s"):
        chosen(Selection(start=Fraction(1, 5), end=Fraction(1, 2)))


def test_nothing_is_read_after_the_last_frame_by_number() -> None:
    frames = iter(clip())
    list(Selection(first=1, last=2).of(numbered(frames, VIDEO), VIDEO, "clip", pytest.fail))
    assert next(frames).pts == TIMES[2]


@pytest.mark.parametrize(
    ("selection", "num_frames", "rate", "expected"),
    [
        (Selection(), 10, Fraction(0), 10),
        (Selection(), None, Fraction(25), None),
        (Selection(first=3, last=7), None, Fraction(0), 4),
        (Selection(first=3, last=7), 5, Fraction(0), 2),
        (Selection(first=9), 5, Fraction(0), 0),
        (Selection(start=Fraction(1)), 100, Fraction(25), 75),
        (Selection(start=Fraction(1), end=Fraction(2)), None, Fraction(25), 25),
        (Selection(start=Fraction(1)), 100, Fraction(0), None),
    ],
)
def test_how_many_frames_are_expected(
    selection: Selection, num_frames: int | None, rate: Fraction, expected: int | None
) -> None:
    assert selection.num_frames_of(num_frames, rate) == expected
