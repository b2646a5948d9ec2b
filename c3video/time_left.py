# SPDX-License-Identifier: MIT
"""How far an encode is and how long it may still take, from what it took so far.

Steps of a fit alone would mislead: `num_steps` is the most that may come, a search that finds nothing better ends long
before, and coding the symbols has no steps. So the seconds that finished segments took a frame, all in, are what the
rest of the clip is expected to take; within a segment steps count in proportion to those that finished segments needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from c3video.encoder import EncodeProgress

_LEAST_SHARE = 0.02
"""Of a segment's steps: before, the time that one takes says little."""


@dataclass(frozen=True)
class Estimate:
    """What is known at some moment.

    Args:
        done: share of the clip's frames, those of the segment in hand in proportion; None where the clip's length is
            not known.
        seconds_left: None where it cannot be told yet.
    """

    done: float | None
    seconds_left: float | None


@dataclass
class _AtWork:
    """A segment in hand: when it began, and its last step."""

    began: float
    progress: EncodeProgress
    stepped: float


class TimeLeft:
    """Learns from the steps of an encode; all times are seconds of one clock.

    Args:
        now: when the encode begins.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._at_work: dict[int, _AtWork] = {}
        self._free_since: list[float] = []  # of workers whose segment has ended
        self._last: EncodeProgress | None = None
        self._frames, self._seconds = 0, 0.0  # of finished segments, each with the time of its own worker
        self._after_steps = 0.0  # of these seconds, those after a segment's last step
        self._shares: list[float] = []  # of the steps that might have come, those that came

    def step(self, now: float, progress: EncodeProgress) -> None:
        """Take note of a step."""
        for number in set(self._at_work) - {progress.segment, *progress.at_work}:
            ended = self._at_work.pop(number)
            self._frames += ended.progress.segment_frames
            self._seconds += now - ended.began
            self._after_steps += now - ended.stepped
            self._shares.append(_share(ended.progress))
            self._free_since.append(now)
        if progress.segment in self._at_work:
            self._at_work[progress.segment].progress = progress
            self._at_work[progress.segment].stepped = now
        else:
            began = self._free_since.pop(0) if self._free_since else self._began
            self._at_work[progress.segment] = _AtWork(began, progress, now)
        self._last = progress

    def estimate(self, now: float) -> Estimate:
        """How it stands. Time that goes by without a step makes the time left longer, never shorter."""
        last = self._last
        if last is None or last.num_frames is None:
            return Estimate(None, None)
        usual = sum(self._shares) / len(self._shares) if self._shares else 1.0
        in_hand, done_in_hand, left, seconds = 0, 0.0, [], self._seconds
        for at_work in self._at_work.values():
            num_frames = at_work.progress.segment_frames
            share = min(_share(at_work.progress) / usual, 0.99)
            spent = now - at_work.began
            in_hand += num_frames
            done_in_hand += share * num_frames
            whole = self._whole_segment(spent, share, num_frames)
            if whole is not None:
                seconds += whole
                left.append(whole - spent)
        frames = max(last.num_frames, last.frames_before + in_hand)
        done = (last.frames_before + done_in_hand) / frames
        if len(left) < len(self._at_work):
            return Estimate(done, None)
        rest = frames - last.frames_before - in_hand
        of_rest = rest * seconds / (self._frames + in_hand)
        return Estimate(done, max(max(left), (sum(left) + of_rest) / len(left)))

    def _whole_segment(self, spent: float, share: float, num_frames: int) -> float | None:
        """Seconds of a segment in hand: as its steps say, and the less of them there are, as those before it took."""
        by_steps = spent / share if share >= _LEAST_SHARE else None
        if not self._frames:
            return by_steps
        usual, after_steps = (num_frames * seconds / self._frames for seconds in (self._seconds, self._after_steps))
        if by_steps is None:
            return max(usual, spent)
        return max((1.0 - share) * usual + share * (by_steps + after_steps), spent)


def _share(progress: EncodeProgress) -> float:
    """Of all steps that may come in a segment."""
    fit = progress.fit
    return (progress.patch + fit.step / max(1, fit.num_steps)) / progress.num_patches
