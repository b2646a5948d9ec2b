# SPDX-License-Identifier: MIT
"""Motion fields <-> symbols: what a block's neighbours promise of its vectors (docs/c3v.md, section 16).

Blocks go in raster order; each has a mode where its frame has two references, then a vector (y, x) for each reference
that it uses. A component is coded as the difference to a prediction from the blocks to the left (W), above (N) and
above to the right (NE), as far as they use that reference: the median of three, the mean of two, one, or zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.model.compensation import BOTH, MAX_VECTOR, MotionField
from c3video.model.context_network import magnitude_feature
from c3video.model.frame_order import CodedFrame

IntArray = NDArray[np.int64]

NUM_INPUTS = 8
MODE_CLASS, NUM_CLASSES = 0, 5
"""Class 1 + 2 r + c is component c (0: y, 1: x) of the vector into reference r."""

MODE_SIGNS = (1, -1, 0)
"""FORWARD, BACKWARD and BOTH as symbols; BOTH, the most frequent, is zero."""

_FLAG = 1 << 8


def uses(modes: IntArray, reference: int) -> NDArray[np.bool_]:
    """Which blocks are predicted from a reference."""
    return (modes == reference) | (modes == BOTH)


@dataclass(frozen=True)
class Neighbours:
    """Three neighbours of a component: their values and whether they have one, each (3, ...) in the order W, N, NE."""

    values: IntArray
    known: NDArray[np.bool_]

    def prediction(self) -> IntArray:
        """Median of three, mean of two (rounded down), one, or zero."""
        count = self.known.sum(axis=0)
        total = np.where(self.known, self.values, 0).sum(axis=0)
        return np.where(
            count == 3, np.median(self.values, axis=0).astype(np.int64), np.where(count == 2, total >> 1, total)
        )

    def spreads(self) -> IntArray:
        """(3, ...) |W - N|, |N - NE|, |W - NE|, 0 where one is missing."""
        pairs = ((0, 1), (1, 2), (0, 2))
        return np.stack(
            [np.where(self.known[a] & self.known[b], np.abs(self.values[a] - self.values[b]), 0) for a, b in pairs]
        )


def carried_on(difference: IntArray, frame: CodedFrame) -> IntArray:
    """What a difference in the first vector of a block in mode BOTH lets expect of that in the second.

    What moves evenly is as many times further away in the second reference as that is in time, and on the other side
    where that is later.
    """
    first, second = (frame.index - reference for reference in frame.references)
    return np.sign(difference) * np.sign(second) * (np.abs(difference) * abs(second) // first)


def component_features(
    spreads: IntArray, left: IntArray, above: IntArray, other: IntArray, first: IntArray, is_both: NDArray[np.bool_]
) -> IntArray:
    """(8, ...) features of a component's difference.

    Args:
        spreads: (3, ...) of its neighbours.
        left, above: the same component's differences in the blocks W and N.
        other: difference of the y component where this is the x one, else 0.
        first: for the second reference in mode BOTH the same component's difference in the first, else 0.
        is_both: whether the block's mode is BOTH.
    """
    magnitudes = np.concatenate([spreads, np.abs(np.stack([left, above, other, first]))])
    return np.concatenate([magnitude_feature(magnitudes), np.where(is_both, _FLAG, 0)[None]])


def mode_features(signs: IntArray) -> IntArray:
    """(8, ...) features of a mode from the MODE_SIGNS (4, ...) of the blocks W, N, NE, NW (0 where there is none)."""
    return np.concatenate([np.abs(signs) * _FLAG, np.zeros_like(signs)])


def expected_sign(signs: IntArray) -> IntArray:
    """1 or -1: the direction that the blocks W, N and NE lean to; a mode's symbol is multiplied by it."""
    return np.where(signs[:3].sum(axis=0) < 0, -1, 1)


def _shifted(values: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
    """Value of the block at (dy, dx) from each block, 0 outside the field; (bh, bw)."""
    height, width = values.shape
    padded = np.pad(values, ((1, 1), (1, 1)))
    return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


_AROUND = ((0, -1), (-1, 0), (-1, 1), (-1, -1))
"""(dy, dx) of W, N, NE, NW."""


@dataclass(frozen=True)
class MotionSymbols:
    """Symbols of a field in coding order.

    Args:
        classes: (N,).
        features: (8, N).
        symbols: (N,).
    """

    classes: IntArray
    features: IntArray
    symbols: IntArray


def to_symbols(field: MotionField, frame: CodedFrame) -> MotionSymbols:
    """Symbols of a whole field at once; `coding/frames.py` reads them back block by block."""
    modes, num_references = field.modes, len(frame.references)
    is_both = modes == BOTH
    slots: list[tuple[int, IntArray, IntArray, NDArray[np.bool_]]] = []  # class, features, symbols, present
    if num_references == 2:
        signs = np.array(MODE_SIGNS)[modes]
        around = np.stack([_shifted(signs, dy, dx) for dy, dx in _AROUND])
        slots.append(
            (MODE_CLASS, mode_features(around), signs * expected_sign(around), np.ones(modes.shape, dtype=bool))
        )
    first_differences = np.zeros((2, *modes.shape), dtype=np.int64)
    for reference in range(num_references):
        used = uses(modes, reference)
        differences = np.zeros((2, *modes.shape), dtype=np.int64)
        for component in range(2):
            values = np.where(used, field.vectors[reference, component], 0)
            neighbours = Neighbours(
                np.stack([_shifted(values, dy, dx) for dy, dx in _AROUND[:3]]),
                np.stack([_shifted(used, dy, dx) for dy, dx in _AROUND[:3]]),
            )
            first = np.where(is_both, first_differences[component], 0) if reference else np.zeros_like(values)
            prediction = neighbours.prediction() + (carried_on(first, frame) if reference else 0)
            differences[component] = np.where(used, values - prediction, 0)
            features = component_features(
                neighbours.spreads(),
                _shifted(differences[component], 0, -1),
                _shifted(differences[component], -1, 0),
                differences[0] if component else np.zeros_like(values),
                first,
                is_both,
            )
            slots.append((1 + 2 * reference + component, features, differences[component], used))
        first_differences = differences
    present = np.stack([slot[3] for slot in slots], axis=-1).ravel()
    classes = np.broadcast_to([slot[0] for slot in slots], (*modes.shape, len(slots))).ravel()[present]
    features = np.stack([slot[1] for slot in slots], axis=-1).reshape(NUM_INPUTS, -1)[:, present]
    symbols = np.stack([slot[2] for slot in slots], axis=-1).ravel()[present]
    return MotionSymbols(classes, features, symbols)


def clip_component(value: int) -> int:
    """A component as it is used."""
    return max(-MAX_VECTOR, min(MAX_VECTOR, value))
