# SPDX-License-Identifier: MIT
"""How much of what comes later hangs on each block: finer where it is seen again, coarser where it passes by.

A block that is well predicted hands on what it got from its references, so that its references' errors are its own.
Going through the coding order backwards, each block gives its weight, times the share of it that prediction brings, to
the places it is predicted from. The idea is that of x264's macroblock tree (Garrett-Glaser, A novel macroblock-tree
algorithm for high-performance optimization of dependent video coding in H.264/AVC, 2009).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.compensation import BOTH, MotionField, block_shape
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import uses

Weights = NDArray[np.float64]


def block_means(values: NDArray[np.floating], block_size: int) -> Weights:
    """(bh, bw) means of a plane over blocks, edges repeated."""
    rows, columns = block_shape((values.shape[0], values.shape[1]), block_size)
    padded = np.pad(
        values, ((0, rows * block_size - values.shape[0]), (0, columns * block_size - values.shape[1])), mode="edge"
    )
    return padded.reshape(rows, block_size, columns, block_size).mean(axis=(1, 3))


def importance(
    frames: Sequence[CodedFrame],
    fields: Sequence[MotionField | None],
    activities: Sequence[Weights],
    errors: Sequence[Weights],
    level: float,
    block_size: int,
) -> list[Weights]:
    """Weight of each block's error, 1 for what nothing is predicted from.

    Args:
        frames: in coding order; the rest likewise.
        activities: (bh, bw) mean square of each block about its own mean: what coding it afresh faces.
        errors: (bh, bw) mean square of each block's prediction error.
        level: mean square below which nothing is coded.

    Returns:
        (bh, bw) for each frame.
    """
    places = {frame.index: place for place, frame in enumerate(frames)}
    weights = [np.ones_like(activity) for activity in activities]
    for place in reversed(range(len(frames))):
        frame, field = frames[place], fields[place]
        if field is None:
            continue
        fresh, predicted = np.log1p(activities[place] / level), np.log1p(errors[place] / level)
        share = np.clip(1.0 - predicted / np.maximum(fresh, 1e-9), 0.0, 1.0)
        # A block of no activity is all inherited, if its prediction is right.
        share = np.where(fresh < 0.05, np.exp(-errors[place] / level), share)
        handed_on = weights[place] * share
        for quarter in (np.s_[..., y::2, x::2] for y in range(2) for x in range(2)):
            modes = field.modes[quarter]
            for reference, index in enumerate(frame.references):
                amounts = 0.25 * handed_on * np.where(modes == BOTH, 0.5, uses(modes, reference))
                _splat(weights[places[index]], amounts, field.vectors[reference][quarter], block_size)
    return weights


def _splat(target: Weights, amounts: Weights, vectors: NDArray[np.int64], block_size: int) -> None:
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


def spread(weights: Weights, shape: tuple[int, int]) -> Weights:
    """Weights of blocks at each place of a subband (h, w)."""
    rows, columns = (
        np.arange(length) * blocks // max(1, length) for length, blocks in zip(shape, weights.shape, strict=True)
    )
    return weights[rows[:, None], columns[None, :]]
