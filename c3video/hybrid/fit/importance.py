# SPDX-License-Identifier: MIT
"""How much of what comes later depends on each block: finer where it is seen again, coarser where it passes by.

A block that is well predicted hands on what it got from its references, so that its references' errors are its own.
Going through the coding order backwards, each block gives its importance, times the share of it that prediction brings,
to the places it is predicted from. The idea is that of x264's macroblock tree (Garrett-Glaser, A novel macroblock-tree
algorithm for high-performance optimization of dependent video coding in H.264/AVC, 2009).
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
        depths: mean importance of each depth.
        blocks: by display index, importance within a frame, of mean 1; None: all alike.
    """

    depths: tuple[float, ...]
    blocks: Mapping[int, BlockImportance] | None


def typical_importance(num_frames: int, gop: int, share: float = 0.8) -> Importance:
    """That of a segment of which nothing is known but the share of a frame that prediction usually brings."""
    frames = coding_order(num_frames, gop)
    of_frames = {frame.index: 1.0 for frame in frames}
    for frame in reversed(frames):
        for index in frame.references:
            of_frames[index] += share * of_frames[frame.index] / len(frame.references)
    return Importance(_means_by_depth(frames, of_frames), None)


def measured_importance(
    frames: Sequence[CodedFrame],
    fields: Sequence[MotionField | None],
    activities: Sequence[NDArray[np.float64]],
    errors: Sequence[NDArray[np.float64]],
    floor: float,
    block_size: int,
    power: float,
) -> Importance:
    """That of a segment which has been coded: `block_importance`, told apart between and within frames.

    Args:
        power: of the importance within frames.
    """
    found = block_importance(frames, fields, activities, errors, floor, block_size)
    logs = {frame.index: np.log(blocks) for frame, blocks in zip(frames, found, strict=True)}
    return Importance(
        _means_by_depth(frames, {index: float(np.exp(values.mean())) for index, values in logs.items()}),
        {index: np.exp(power * (values - values.mean())) for index, values in logs.items()},
    )


def _means_by_depth(frames: Sequence[CodedFrame], of_frames: Mapping[int, float]) -> tuple[float, ...]:
    """Geometric mean over the frames of each depth, from importance by display index."""
    logs: dict[int, list[float]] = {}
    for frame in frames:
        logs.setdefault(frame.depth, []).append(np.log(of_frames[frame.index]))
    return tuple(float(np.exp(np.mean(logs[depth]))) for depth in sorted(logs))


def activity(luma: NDArray[np.generic], block_size: int, bit_depth: int) -> NDArray[np.float64]:
    """(bh, bw) mean square of each block about its own mean, full range 1."""
    scaled = luma.astype(np.float64) * 2.0**-bit_depth
    return np.maximum(block_means(np.square(scaled), block_size) - np.square(block_means(scaled, block_size)), 0.0)


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
    activities: Sequence[NDArray[np.float64]],
    errors: Sequence[NDArray[np.float64]],
    floor: float,
    block_size: int,
) -> list[BlockImportance]:
    """Importance of each block's error, 1 for what nothing is predicted from.

    Args:
        frames: in coding order; the rest likewise.
        activities: (bh, bw) mean square of each block about its own mean: what coding it afresh faces.
        errors: (bh, bw) mean square of each block's prediction error.
        floor: mean square below which nothing is coded.

    Returns:
        (bh, bw) for each frame.
    """
    places = {frame.index: place for place, frame in enumerate(frames)}
    found = [np.ones_like(blocks) for blocks in activities]
    for place in reversed(range(len(frames))):
        frame, field = frames[place], fields[place]
        if field is None:
            continue
        fresh, predicted = np.log1p(activities[place] / floor), np.log1p(errors[place] / floor)
        share = np.clip(1.0 - predicted / np.maximum(fresh, 1e-9), 0.0, 1.0)
        # A block of no activity is all inherited, if its prediction is right.
        share = np.where(fresh < 0.05, np.exp(-errors[place] / floor), share)
        handed_on = found[place] * share
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
