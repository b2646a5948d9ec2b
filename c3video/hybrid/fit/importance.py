# SPDX-License-Identifier: MIT
"""How much of what comes later depends on each block: finer where it is seen again, coarser where it passes by.

A block that is well predicted hands on what it got from its references, so that its references' errors are its own.
Going through the coding order backwards, each block gives its importance, times the share of errors that it inherits,
to the places it is predicted from. The idea is that of x264's macroblock tree (Garrett-Glaser, A novel macroblock-tree
algorithm for high-performance optimization of dependent video coding in H.264/AVC, 2009).

What share that is, reverse water-filling tells: a residual that is smaller than what is coded at all stays as it is,
and with it all of the reference's error; one of mean square s above the level t of distortion is coded down to t, and
what the reference's error adds to it costs bits that are worth t / s of it. 1 / (1 + s / t) goes from one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.compensation import BOTH, MotionField, block_shape
from c3video.hybrid.frame_order import CodedFrame, coding_order
from c3video.hybrid.motion_symbols import uses

BlockImportance = NDArray[np.float64]
"""(bh, bw) how much the error of each block counts."""


@dataclass(frozen=True)
class Importance:
    """What counts for how much in a segment.

    Args:
        frames: by display index, importance of each frame.
        blocks: by display index, importance within a frame, of mean 1; None: all alike.
    """

    frames: Mapping[int, float]
    blocks: Mapping[int, BlockImportance] | None


def typical_importance(num_frames: int, gop: int, share: float = 0.9) -> Importance:
    """That of a segment of which nothing is known but the share of a frame that prediction usually brings."""
    frames = coding_order(num_frames, gop)
    of_frames = {frame.index: 1.0 for frame in frames}
    for frame in reversed(frames):
        for index in frame.references:
            of_frames[index] += share * of_frames[frame.index] / len(frame.references)
    return Importance(of_frames, None)


def measured_importance(
    frames: Sequence[CodedFrame],
    fields: Sequence[MotionField | None],
    errors: Sequence[NDArray[np.float64]],
    level: float,
    block_size: int,
    power: float,
) -> Importance:
    """That of a segment which has been coded: `block_importance`, told apart between and within frames.

    Args:
        power: of the importance within frames.
    """
    found = block_importance(frames, fields, errors, level, block_size)
    logs = {frame.index: np.log(blocks) for frame, blocks in zip(frames, found, strict=True)}
    return Importance(
        {index: float(np.exp(values.mean())) for index, values in logs.items()},
        {index: np.exp(power * (values - values.mean())) for index, values in logs.items()},
    )


def block_means(values: NDArray[np.floating], block_size: int) -> NDArray[np.float64]:
    """(bh, bw) means of a plane over blocks, edges repeated."""
    rows, columns = block_shape((values.shape[0], values.shape[1]), block_size)
    padded = np.pad(
        values, ((0, rows * block_size - values.shape[0]), (0, columns * block_size - values.shape[1])), mode="edge"
    )
    return padded.reshape(rows, block_size, columns, block_size).mean(axis=(1, 3))


def block_importance(
    frames: Sequence[CodedFrame],
    fields: Sequence[MotionField | None],
    errors: Sequence[NDArray[np.float64]],
    level: float,
    block_size: int,
) -> list[BlockImportance]:
    """Importance of each block's error, 1 for what nothing is predicted from.

    Args:
        frames: in coding order; the rest likewise.
        errors: (bh, bw) mean square of each block's prediction error.
        level: mean square of what is not coded.

    Returns:
        (bh, bw) for each frame.
    """
    places = {frame.index: place for place, frame in enumerate(frames)}
    found = [np.ones_like(blocks) for blocks in errors]
    for place in reversed(range(len(frames))):
        frame, field = frames[place], fields[place]
        if field is None:
            continue
        handed_on = found[place] / (1.0 + errors[place] / level)
        for quarter in (np.s_[..., y::2, x::2] for y in range(2) for x in range(2)):
            modes = field.modes[quarter]
            for reference, index in enumerate(frame.references):
                amounts = 0.25 * handed_on * np.where(modes == BOTH, 0.5, uses(modes, reference))
                _splat(found[places[index]], amounts, field.vectors[reference][quarter], block_size)
    return found


def _splat(target: BlockImportance, amounts: BlockImportance, vectors: NDArray[np.int64], block_size: int) -> None:
    """Add amounts (bh, bw) where their blocks come from, shared among the four blocks there."""
    rows, columns = target.shape
    y = np.clip(np.arange(rows)[:, None] + vectors[0] / (4.0 * block_size), 0, rows - 1)
    x = np.clip(np.arange(columns)[None, :] + vectors[1] / (4.0 * block_size), 0, columns - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    below, right = y - top, x - left
    for dy, part_y in ((0, 1.0 - below), (1, below)):
        for dx, part_x in ((0, 1.0 - right), (1, right)):
            np.add.at(
                target,
                (np.minimum(top + dy, rows - 1), np.minimum(left + dx, columns - 1)),
                amounts * part_y * part_x,
            )


def spread(blocks: BlockImportance, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Importance of blocks at each place of a subband (h, w)."""
    rows, columns = (
        np.arange(length) * count // max(1, length) for length, count in zip(shape, blocks.shape, strict=True)
    )
    return blocks[rows[:, None], columns[None, :]]
