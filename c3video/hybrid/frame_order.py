# SPDX-License-Identifier: MIT
"""In which order the frames of a segment are coded, and which decoded frames each is predicted from.

Anchors stand `gop` frames apart and are predicted from the two anchors before; the frames between two anchors are
halved again and again, each predicted from the nearest decoded frames on both sides:

    display   0  1  2  3  4  5  6  7  8        gop = 8
    depth     0  4  3  4  2  4  3  4  1
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class CodedFrame:
    """One frame in coding order.

    Args:
        index: display index within the segment.
        references: display indexes of the frames it is predicted from: none, one earlier, or one earlier and another
            one, later for the frames between anchors.
        depth: 0 for the first frame, 1 for later anchors, then one more a halving.
    """

    index: int
    references: tuple[int, ...]
    depth: int


def coding_order(num_frames: int, gop: int) -> tuple[CodedFrame, ...]:
    """The frames of a segment of `num_frames` >= 1 in coding order; `gop` >= 1 frames from anchor to anchor."""
    frames = [CodedFrame(0, (), 0)]
    for first in range(0, num_frames - 1, gop):
        last = min(first + gop, num_frames - 1)
        frames.append(CodedFrame(last, (first, first - gop) if first else (first,), 1))
        frames.extend(_between(first, last, 2))
    return tuple(frames)


def _between(first: int, last: int, depth: int) -> Iterator[CodedFrame]:
    if last - first < 2:
        return
    middle = (first + last) // 2
    yield CodedFrame(middle, (first, last), depth)
    yield from _between(first, middle, depth + 1)
    yield from _between(middle, last, depth + 1)


def num_depths(num_frames: int, gop: int) -> int:
    """Depths in use: one more than the deepest."""
    return 1 + max(frame.depth for frame in coding_order(num_frames, gop))
