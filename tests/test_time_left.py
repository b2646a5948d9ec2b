# SPDX-License-Identifier: MIT
"""The time that an encode is said to take, against encodes of which the end is known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from c3video.encoder import EncodeProgress
from c3video.progress import Progress
from c3video.time_left import TimeLeft


def steps(
    num_frames: int | None, segment_frames: int, num_steps: int, most: int, step_seconds: float, coding_seconds: float
) -> Iterator[tuple[float, EncodeProgress]]:
    """(second, step) of an encode whose searches end after `num_steps` of `most`, and that then codes for a while."""
    now, total = 0.0, 96
    for segment in range(total // segment_frames):
        for step in range(1, num_steps + 1):
            now += step_seconds
            fit = Progress("plan", step, most, 0.0, 0.0, 0.0)
            before = segment * segment_frames
            yield now, EncodeProgress(segment, None, 0, 1, fit, before, segment_frames, num_frames)
        now += coding_seconds


def test_nothing_is_said_before_the_first_step() -> None:
    estimate = TimeLeft(0.0).estimate(5.0)
    assert estimate.done is None
    assert estimate.seconds_left is None


@pytest.mark.parametrize(("num_steps", "coding_seconds"), [(100, 0.0), (36, 0.0), (36, 30.0)])
def test_time_left_is_right_once_a_segment_is_done(num_steps: int, coding_seconds: float) -> None:
    """However few of the steps come, and whatever comes after them."""
    time_left, end = TimeLeft(0.0), 3 * (num_steps + coding_seconds)
    for now, progress in steps(96, 32, num_steps, 100, 1.0, coding_seconds):
        time_left.step(now, progress)
        found = time_left.estimate(now)
        if progress.segment:
            assert found.seconds_left == pytest.approx(end - now, rel=0.1, abs=4)
            assert found.done == pytest.approx(now / end, abs=0.2)


def test_search_that_may_end_early_is_not_promised_to() -> None:
    """Nothing tells in the first segment that only 36 of 100 steps will come: too long is said, not too short."""
    time_left = TimeLeft(0.0)
    for now, progress in steps(32, 32, 36, 100, 1.0, 0.0):
        time_left.step(now, progress)
        if progress.segment == 0 and progress.fit.step > 2:
            seconds = time_left.estimate(now).seconds_left
            assert seconds is not None
            assert seconds >= 36 - now


def test_time_without_steps_makes_it_longer() -> None:
    """One run stood at 36% with four seconds to go."""
    time_left = TimeLeft(0.0)
    now, progress = list(steps(32, 32, 36, 100, 1.0, 0.0))[35]
    for moment in range(36):
        time_left.step(float(moment), progress)
    found = [time_left.estimate(now + wait).seconds_left or 0.0 for wait in (0.0, 60.0, 600.0)]
    assert found[0] > 40
    assert found == sorted(found)
    assert found[2] > 600


def test_clip_of_unknown_length_has_no_estimate() -> None:
    time_left = TimeLeft(0.0)
    for now, progress in steps(None, 32, 10, 10, 1.0, 0.0):
        time_left.step(now, progress)
        assert time_left.estimate(now).done is None
        assert time_left.estimate(now).seconds_left is None


def test_clip_longer_than_its_container_says_is_never_more_than_whole() -> None:
    time_left = TimeLeft(0.0)
    for now, progress in steps(40, 32, 10, 10, 1.0, 1.0):
        time_left.step(now, progress)
        found = time_left.estimate(now)
        assert found.done is not None
        assert found.seconds_left is not None
        assert 0 <= found.done <= 1
        assert found.seconds_left >= 0
