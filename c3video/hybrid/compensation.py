# SPDX-License-Identifier: MIT
"""Motion compensation: the prediction of a plane from decoded frames, in exact integers (docs/c3v.md, section 12).

    vectors, one a block --> eight-tap interpolation of the references --> overlapped blocks blended --> prediction

Each block predicts a window that reaches a quarter of its side beyond it; neighbouring windows overlap and are blended
with weights that sum to one, so that no edge of a block shows and the wavelet of the residual finds none. A block may
be split in two or four *parts* with vectors of their own, which are blended in the same way, over as many samples,
before the block takes its place among its neighbours.

Predictions and residuals are centred on middle gray and have 14 bits: 2^14 is the full range of a sample at any depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

SAMPLE_BITS = 14
"""Of predictions and residuals: a sample of b bits stands for (sample - 2^(b-1)) * 2^(14-b)."""

FORWARD, BACKWARD, BOTH = 0, 1, 2
"""Modes of a block: from the first reference, from the second, from the mean of both."""

BLOCK_SIZE = 16
"""Side of a block in luma samples."""

MAX_VECTOR = 1 << 12
"""Largest component of a vector, in quarters of a luma sample."""

# fmt: off
TAPS = np.array([
    [0, 0, 0, 64, 0, 0, 0, 0],
    [-1, 3, -6, 61, 9, -3, 1, 0],
    [-2, 5, -11, 58, 19, -7, 3, -1],
    [-2, 5, -12, 51, 30, -10, 4, -2],
    [-2, 5, -12, 41, 41, -12, 5, -2],
    [-2, 4, -10, 30, 51, -12, 5, -2],
    [-1, 3, -7, 19, 58, -11, 5, -2],
    [0, 1, -3, 9, 61, -6, 3, -1],
], dtype=np.int64)
"""Interpolation at each eighth of a sample, in units of 1/64: sinc under a cosine window. Frozen."""

RISES = {
    2: (10, 54),
    4: (2, 20, 44, 62),
    8: (1, 5, 14, 26, 38, 50, 59, 63),
    16: (0, 1, 4, 7, 12, 17, 23, 29, 35, 41, 47, 52, 57, 60, 63, 64),
}
# fmt: on
"""Weights of what lies behind an edge, by how many samples both sides of it overlap in (half a block's side), in units
of 1/64. What lies before it has 64 minus them."""


WHOLE, ROWS, COLUMNS, QUARTERS = 0, 1, 2, 3
"""How a block is split: not at all, into upper and lower half, into left and right half, into four."""


@dataclass(frozen=True)
class MotionField:
    """Where the blocks of a frame are predicted from.

    Vectors and modes are those of quarters of blocks, (ph, pw) = (2 bh, 2 bw) of them; those of one part are equal.

    Args:
        vectors: (references, 2, ph, pw) displacement (y, x) into each reference, in quarters of a luma sample.
        modes: (ph, pw) FORWARD, BACKWARD or BOTH; all FORWARD where there is one reference.
        splits: (bh, bw) WHOLE, ROWS, COLUMNS or QUARTERS.
        offsets: (references, 2) what the frame's vectors (y, x) are expected to be beyond those of an earlier frame.
        unit: quarters of a sample that vectors and offsets are multiples of, 1 or 2.
    """

    vectors: IntArray
    modes: IntArray
    splits: IntArray
    offsets: IntArray
    unit: int = 1


def whole_field(vectors: IntArray, modes: IntArray) -> MotionField:
    """The field of blocks none of which is split, from their vectors (references, 2, bh, bw) and modes (bh, bw)."""
    offsets = np.zeros((len(vectors), 2), dtype=np.int64)
    return MotionField(_each_four_times(vectors), _each_four_times(modes), np.zeros_like(modes), offsets)


def _each_four_times(values: IntArray) -> IntArray:
    return values.repeat(2, axis=-2).repeat(2, axis=-1)


def block_shape(shape: tuple[int, int], block_size: int) -> tuple[int, int]:
    """(bh, bw): blocks that cover a luma plane."""
    return -(-shape[0] // block_size), -(-shape[1] // block_size)


def compensate(
    references: Sequence[NDArray[np.generic]],
    field: MotionField,
    block_size: int,
    shifts: tuple[int, int],
    bit_depth: int,
) -> IntArray:
    """Prediction of one plane.

    Args:
        references: one or two decoded planes (h, w), samples of `bit_depth` bits.
        block_size: of luma, 8, 16 or 32.
        shifts: (vertical, horizontal) of the plane against luma.

    Returns:
        (h, w), centred, of SAMPLE_BITS bits.
    """
    height, width = references[0].shape
    sides = tuple(block_size >> shift for shift in shifts)
    centred = [plane.astype(np.int64) - (1 << (bit_depth - 1)) for plane in references]
    block_rows, block_columns = field.splits.shape
    rows, columns = (
        _overlaps(length, side, blocks)
        for length, side, blocks in zip((height, width), sides, (block_rows, block_columns), strict=True)
    )

    def samples(y: IntArray, x: IntArray, quarter_y: IntArray, quarter_x: IntArray) -> IntArray:
        """(N,) at places (y, x), each as its quarter predicts it."""
        found = [
            _interpolate(plane, field.vectors[index][:, quarter_y, quarter_x], shifts, bit_depth, (y, x))
            for index, plane in enumerate(centred)
        ]
        if len(found) == 1:
            return found[0]
        return np.choose(field.modes[quarter_y, quarter_x], [found[0], found[1], (found[0] + found[1] + 1) >> 1])

    result = np.zeros((height, width), dtype=np.int64)
    for row in rows:
        for column in columns:
            is_split = field.splits[row.blocks[:, None], column.blocks[None, :]] != WHOLE
            sample = np.zeros((height, width), dtype=np.int64)
            y, x = np.nonzero(~is_split)
            sample[y, x] = samples(y, x, 2 * row.blocks[y], 2 * column.blocks[x])
            blended = np.zeros((height, width), dtype=np.int64)
            for i, part_y in enumerate(row.parts):
                for j, part_x in enumerate(column.parts):
                    weights = part_y[:, None] * part_x[None, :]
                    y, x = np.nonzero(is_split & (weights > 0))
                    blended[y, x] += weights[y, x] * samples(y, x, 2 * row.blocks[y] + i, 2 * column.blocks[x] + j)
            sample = np.where(is_split, (blended + 2048) >> 12, sample)
            result += row.weights[:, None] * column.weights[None, :] * sample
    return (result + 2048) >> 12


@dataclass(frozen=True)
class _Overlap:
    """Along an axis, for each sample: a block whose window covers it, its weight, and those of its two parts."""

    blocks: IntArray
    weights: IntArray
    parts: tuple[IntArray, IntArray]


def _overlaps(length: int, side: int, num_blocks: int) -> list[_Overlap]:
    """The two blocks whose windows cover each sample along an axis."""
    sample = np.arange(length)
    place = sample + side // 2
    rise = rising(place % side, side)
    found = []
    for before, weights in ((1, 64 - rise), (0, rise)):
        blocks = np.clip(place // side - before, 0, num_blocks - 1)
        second = rising(sample - blocks * side, side)
        found.append(_Overlap(blocks, weights, (64 - second, second)))
    return found


def rising(places: IntArray, side: int) -> IntArray:
    """Weights of what lies behind the middle of `side` samples, at places counted from the first of them."""
    overlap = side // 2
    return np.array((0, *RISES[overlap], 64))[np.clip(places - side // 4 + 1, 0, overlap + 1)]


def _interpolate(
    plane: IntArray,
    vectors: IntArray,
    shifts: tuple[int, int],
    bit_depth: int,
    places: tuple[IntArray, IntArray] | None = None,
) -> IntArray:
    """Samples (...) of a centred plane moved by vectors (2, ...), each by its own; edges are repeated without end.

    Args:
        places: rows and columns (...) of the samples; all of the plane where None.
    """
    height, width = plane.shape
    rows, columns = np.indices(plane.shape) if places is None else places
    eighths_y, eighths_x = (axis * (2 >> shift) for axis, shift in zip(vectors, shifts, strict=True))
    top, left = rows + (eighths_y >> 3) - 3, columns + (eighths_x >> 3) - 3
    taps_y, taps_x = TAPS[eighths_y & 7], TAPS[eighths_x & 7]
    result = np.zeros(top.shape, dtype=np.int64)
    for i in range(8):
        row = np.clip(top + i, 0, height - 1)
        across = np.zeros(top.shape, dtype=np.int64)
        for j in range(8):
            across += taps_x[..., j] * plane[row, np.clip(left + j, 0, width - 1)]
        result += taps_y[..., i] * (across >> (bit_depth - 8))
    return (result + 32) >> 6


def finish(prediction: IntArray, residual: IntArray, bit_depth: int) -> NDArray[np.uint16]:
    """Samples of a plane from its prediction and the wavelet's residual: uint16 in range."""
    shift = SAMPLE_BITS - bit_depth
    samples = ((prediction + residual + (1 << (shift - 1))) >> shift) + (1 << (bit_depth - 1))
    return np.clip(samples, 0, (1 << bit_depth) - 1).astype(np.uint16)
