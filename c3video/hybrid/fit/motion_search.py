# SPDX-License-Identifier: MIT
"""Where the blocks of a frame come from: motion search on decoded references.

    coarse full search on small pictures --> candidates of neighbours --> ever finer steps --> both references together

The extension then chooses the tree in which motion is coded, and prices it by what the coder will expect
(native/search.py). In NumPy, which is here, all blocks move at once, none is split, and vectors are priced as if the
field were smooth.

A block's cost is what its residual will cost to code plus what its vectors cost. The residual of a block with mean
square s, coded at slope lambda, costs 0.72 lambda (1 + ln(s / (0.72 lambda))) a sample where s exceeds that much and s
elsewhere: a Gaussian source at its best trade of rate and distortion (reverse water-filling).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.compensation import (
    BACKWARD,
    BLOCK_SIZE,
    BOTH,
    FORWARD,
    MAX_VECTOR,
    MotionField,
    block_shape,
    whole_field,
)
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.fit.block_errors import BlockErrors
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import EarlierMotion

IntArray = NDArray[np.int64]
Costs = NDArray[np.float32]

PASSES = 1
"""Of the extension's search over all blocks by themselves."""

COMPONENT_BITS = np.concatenate([[0.1], 3.0 + 1.8 * np.log2(np.arange(1, 257))]).astype(np.float32)
"""Price of a component by the size of its difference to what is expected, in bits, while nothing better is known. Found
by trial, as the next."""

MODE_BITS = (2.5, 2.5, 0.4)
"""Price of FORWARD, BACKWARD and BOTH where there are two references, in bits."""

_AROUND = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1))


@dataclass(frozen=True)
class FrameSearch:
    """What is searched for: the motion of one frame.

    Args:
        current: (h, w) its luma.
        references: (h, w) luma of each reference, decoded.
        frame: its place among the others.
        earlier: what is known of its motion.
        network: of motion.
        bit_depth: of all samples.
        slope: squared error (full range 1) that a bit is worth.
        unit: of the field's vectors in quarters of a sample; None: the cheaper one, for up to twice the time.
    """

    current: NDArray[np.generic]
    references: Sequence[NDArray[np.generic]]
    frame: CodedFrame
    earlier: EarlierMotion | None
    network: ContextNetwork
    bit_depth: int
    slope: float
    unit: int | None = None


def search_at_once(search: FrameSearch) -> MotionField:
    """The motion of a frame, found in NumPy."""
    errors = BlockErrors(search.current, search.references, BLOCK_SIZE, search.bit_depth)
    starts = [coarse_vectors(search.current, reference) for reference in search.references]
    return _AllBlocks(errors, search.slope).field(starts)


@dataclass(frozen=True)
class _AllBlocks:
    """A search that moves all blocks of a frame at once.

    Args:
        errors: of the frame against its references.
    """

    errors: BlockErrors
    slope: float

    def _residual_cost(self, errors: Costs) -> Costs:
        """What coding residuals of these squared errors costs, in units of squared error."""
        floor = 0.72 * self.slope * BLOCK_SIZE**2
        return np.where(errors > floor, floor * (1.0 + np.log(np.maximum(errors, 1e-12) / floor)), errors)

    def _vector_cost(self, vectors: IntArray, predicted: IntArray) -> Costs:
        """(K, bh, bw) price of vectors (K, 2, bh, bw), in units of squared error."""
        distance = np.abs(vectors - predicted).astype(np.float32)
        bits = 2.0 * np.log2(1.0 + distance) + 0.3 * (distance > 0) + 0.15
        return self.slope * bits.sum(axis=1, dtype=np.float32)

    def one_reference(self, reference: int, start: IntArray, other: IntArray | None = None) -> tuple[IntArray, Costs]:
        """Vectors (2, bh, bw) into one reference and their costs (bh, bw).

        Args:
            start: (2, bh, bw) where to begin.
            other: (2, bh, bw) vectors into the other reference, whose mean with this one is the prediction.
        """
        vectors, costs = start, np.full(start.shape[1:], np.inf, dtype=np.float32)
        for steps in ((8, 4, 2, 1), (4, 2, 1)) if other is None else ((2, 1),):
            predicted = _middle_of_neighbours(vectors)

            def cost(candidates: IntArray, predicted: IntArray = predicted) -> Costs:
                errors = self.errors.of(reference, candidates, other)
                return self._residual_cost(errors) + self._vector_cost(candidates, predicted)

            neighbours = [_moved(vectors, dy, dx) for dy, dx in _AROUND]
            vectors, costs = _best(np.stack([vectors, np.zeros_like(vectors), predicted, *neighbours]), cost)
            for step in steps:
                for _ in range(2):
                    offsets = np.array([(0, 0), *_AROUND])[:, :, None, None] * step
                    vectors, costs = _best(np.clip(vectors + offsets, -MAX_VECTOR, MAX_VECTOR), cost)
        return vectors, costs

    def field(self, starts: Sequence[IntArray]) -> MotionField:
        """The whole field, from a start (2, bh, bw) for each reference."""
        alone = [self.one_reference(index, start) for index, start in enumerate(starts)]
        if len(alone) == 1:
            return whole_field(alone[0][0][None], np.full(alone[0][1].shape, FORWARD))
        (forward, forward_cost), (backward, backward_cost) = alone
        both_backward, _ = self.one_reference(1, backward, forward)
        both_forward, both_cost = self.one_reference(0, forward, both_backward)
        both_cost = both_cost + self._vector_cost(both_backward[None], _middle_of_neighbours(both_backward))[0]
        mode_cost = self.slope * np.array([2.0, 2.0, 0.5], dtype=np.float32)[:, None, None]
        modes = np.argmin(np.stack([forward_cost, backward_cost, both_cost]) + mode_cost, axis=0)
        modes = np.array([FORWARD, BACKWARD, BOTH])[modes]
        vectors = np.stack(
            [
                np.where(modes == BOTH, both_forward, np.where(modes == FORWARD, forward, 0)),
                np.where(modes == BOTH, both_backward, np.where(modes == BACKWARD, backward, 0)),
            ]
        )
        return whole_field(vectors, modes)


def _best(candidates: IntArray, cost: Callable[[IntArray], Costs]) -> tuple[IntArray, Costs]:
    """The cheapest of (K, 2, bh, bw) for each block, and its cost."""
    costs = cost(candidates)
    chosen = np.argmin(costs, axis=0)
    return (
        np.take_along_axis(candidates, chosen[None, None], axis=0)[0],
        np.take_along_axis(costs, chosen[None], axis=0)[0],
    )


def _moved(vectors: IntArray, dy: int, dx: int) -> IntArray:
    """Each block's neighbour at (dy, dx), itself beyond the edge."""
    height, width = vectors.shape[1:]
    rows = np.clip(np.arange(height) + dy, 0, height - 1)
    columns = np.clip(np.arange(width) + dx, 0, width - 1)
    return vectors[:, rows[:, None], columns[None, :]]


def _middle_of_neighbours(vectors: IntArray) -> IntArray:
    """Mean of the middle two of the four neighbours: what a smooth field would have."""
    four = np.sort(np.stack([_moved(vectors, dy, dx) for dy, dx in _AROUND[:4]]), axis=0)
    return np.rint((four[1] + four[2]) / 2.0).astype(np.int64)


def coarse_vectors(current: NDArray[np.generic], reference: NDArray[np.generic]) -> IntArray:
    """(2, bh, bw) vectors in quarter samples from a full search on pictures shrunk to about a hundred rows.

    Args:
        current, reference: luma (h, w).
    """
    factor = 4
    while min(current.shape) > 100 * factor and factor < BLOCK_SIZE:
        factor *= 2
    small, other = (_shrunk(plane, factor) for plane in (current, reference))
    blocks = block_shape(current.shape, BLOCK_SIZE)
    side = BLOCK_SIZE // factor
    reach = 10
    padded = np.pad(other, reach, mode="edge")
    height, width = small.shape
    best_cost = np.full(blocks, np.inf)
    best = np.zeros((2, *blocks), dtype=np.int64)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            moved = padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
            cost = _window_sums(np.square(moved - small), blocks, side)
            cost += 1e-4 * (abs(dy) + abs(dx)) * (cost.mean() + 1e-6)
            better = cost < best_cost
            best_cost[better] = cost[better]
            best[0][better], best[1][better] = dy, dx
    return best * (4 * factor)


def _shrunk(plane: NDArray[np.generic], factor: int) -> NDArray[np.float32]:
    """Means of squares of `factor`, edges repeated."""
    height, width = plane.shape
    padded = np.pad(plane.astype(np.float32), ((0, -height % factor), (0, -width % factor)), mode="edge")
    return padded.reshape(padded.shape[0] // factor, factor, -1, factor).mean(axis=(1, 3))


def _window_sums(values: NDArray[np.float32], blocks: tuple[int, int], side: int) -> NDArray[np.float64]:
    """Sums over windows of three block sides around each block."""
    rows, columns = blocks
    padded = np.pad(values, ((side, rows * side - len(values) + side), (side, columns * side - values.shape[1] + side)))
    total = np.zeros((padded.shape[0] + 1, padded.shape[1] + 1))
    total[1:, 1:] = padded.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    top, left = np.arange(rows)[:, None] * side, np.arange(columns)[None, :] * side
    bottom, right = top + 3 * side, left + 3 * side
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
