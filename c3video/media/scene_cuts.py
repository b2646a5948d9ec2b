# SPDX-License-Identifier: MIT
"""Where a new scene begins: a segment that starts there need not predict one scene from another.

    luma --> small pictures --> likeness of pairs --> unlike across, alike on both sides: a cut
    frames --> runs, each of which becomes a segment

Likeness is the correlation of small pictures, so that neither light that changes nor a fade makes a cut. Frames before
and after a cut are unlike in all pairs, which tells it from a flash, and much less like than neighbours on either side
of it, which tells it from fast motion and noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from c3video.video import Frame, VideoFormat

Picture = NDArray[np.float32]

_ROWS = 16
"""Of small pictures: motion between two frames moves little in them, and noise averages out."""

_LEAST_CONTRAST = 2.0 / 255.0
"""Below it, pictures are alike whatever they show: a flat picture has no scene."""

_UNLIKE = 0.7
"""Correlation below which the past explains less than half of a picture's variance.

In 16 of 21 clips neighbours had at least 0.86, in the wildest motion 0.57; the last frame of a clip and the first one
of another had at most 0.67.
"""

_RATIO = 2.0
"""How much further than neighbours frames on the two sides of a cut must be from alike.

On 16 clips, whole and with every second or third frame only, there was no cut. Joined in pairs, they were cut where
they join, except next to the wildest motion (a camera on a motorbike), where predicting across scenes loses least.
"""

_REACH = 3
"""Frames on each side that are compared: one that is like an earlier one ends a flash of up to two frames."""


@dataclass(frozen=True)
class RunLengths:
    """How many frames a run has.

    Args:
        usual: where more follow of the same scene.
        most: where no more than that are left of a scene, it stays in one piece: a first frame for a few frames would
            cost more than all of them.
    """

    usual: int
    most: int

    def num_runs(self, num_frames: int) -> int:
        """That frames of one scene make."""
        return -(-max(0, num_frames - self.most) // self.usual) + (num_frames > 0)


def split_at_cuts(frames: Iterable[Frame], video: VideoFormat, lengths: RunLengths) -> Iterator[list[Frame]]:
    """Runs of frames; where a scene begins, a run does."""
    pictures: list[Picture] = []

    def first_cut(run: Sequence[Frame]) -> int | None:
        pictures.extend(small_picture(frame.planes[0], video.layout.bit_depth) for frame in run[len(pictures) :])
        return find_cut(pictures)

    for run in _runs(frames, lengths, first_cut):
        del pictures[: len(run)]
        yield run


def split_by_length(frames: Iterable[Frame], video: VideoFormat, lengths: RunLengths) -> Iterator[list[Frame]]:
    """Runs of frames, whatever they show, with the arguments of `split_at_cuts`."""
    return _runs(frames, lengths, lambda run: None)


def _runs(
    frames: Iterable[Frame], lengths: RunLengths, first_cut: Callable[[Sequence[Frame]], int | None]
) -> Iterator[list[Frame]]:
    """Runs of frames that end at cuts. Holds no more than the longest run, and a frame where one may be longer."""
    # One frame further shows whether the scene ends with the longest run.
    ahead = lengths.most + (lengths.most > lengths.usual)
    iterator, run = iter(frames), list[Frame]()
    while True:
        run += islice(iterator, ahead - len(run))
        if not run:
            return
        end = first_cut(run) or (len(run) if len(run) <= lengths.most else lengths.usual)
        yield run[:end]
        run = run[end:]


def find_cut(pictures: Sequence[Picture]) -> int | None:
    """Index of the first picture that begins a new scene; None where all show the same.

    Near the last picture there is less to tell a flash by. It then counts as a cut, which costs little: a run ends soon
    after in any case.
    """
    for index in range(1, len(pictures)):
        if _is_cut(pictures[max(0, index - _REACH) : index], pictures[index : index + _REACH]):
            return index
    return None


def _is_cut(before: Sequence[Picture], after: Sequence[Picture]) -> bool:
    """Whether a scene ends with the pictures before and another begins with those after."""
    across = likeness(before[-1], after[0])
    beside = [likeness(*pair) for pair in (before[-2:], after[:2]) if len(pair) == 2]
    if not beside or across >= _UNLIKE or 1.0 - across < _RATIO * (1.0 - min(beside)):
        return False
    return all(likeness(one, other) < _UNLIKE for one in before for other in after)


def likeness(one: Picture, other: Picture) -> float:
    """Correlation of two small pictures, -1..1; 1 where neither has contrast."""
    one, other = one - one.mean(), other - other.mean()
    floor = _LEAST_CONTRAST**2
    energies = [float(np.square(picture).mean()) + floor for picture in (one, other)]
    return (float((one * other).mean()) + floor) / float(np.sqrt(energies[0] * energies[1]))


def small_picture(luma: NDArray[np.generic], bit_depth: int) -> Picture:
    """Means over squares of a plane (h, w), full range 1, in 16 to 31 rows or as many as there are.

    What is left over below and to the right of whole squares is left out.
    """
    side = max(1, min(luma.shape[0] // _ROWS, luma.shape[1]))
    rows, columns = luma.shape[0] // side, luma.shape[1] // side
    whole = luma[: rows * side, : columns * side].astype(np.float32)
    return whole.reshape(rows, side, columns, side).mean(axis=(1, 3)) * np.float32(2.0**-bit_depth)
