# SPDX-License-Identifier: MIT
"""Motion fields <-> symbols: what a block's neighbours promise of its vectors (docs/c3v.md, section 16).

Blocks go in raster order; each says how it is split, then come its parts. A part has a mode where its frame has two
references, then a vector (y, x) for each reference that it uses. A component is coded as the difference to a prediction
from what lies to the left (W), above (N) and above to the right (NE) of the part, as far as it is known and uses that
reference: the median of three, the mean of two, one, or zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.compensation import BOTH, COLUMNS, MAX_VECTOR, QUARTERS, ROWS, WHOLE, MotionField
from c3video.hybrid.context_network import magnitude_feature
from c3video.hybrid.frame_order import CodedFrame

IntArray = NDArray[np.int64]

NUM_INPUTS = 8
MODE_CLASS, SPLIT_CLASS, NUM_CLASSES = 0, 5, 6
"""Class 1 + 2 r + c is component c (0: y, 1: x) of the vector into reference r."""

MODE_SIGNS = (1, -1, 0)
"""FORWARD, BACKWARD and BOTH as symbols; BOTH, the most frequent, is zero."""

SPLIT_SYMBOLS = (0, 1, -1, 2)
"""WHOLE, ROWS, COLUMNS and QUARTERS as symbols."""

PARTS = {
    WHOLE: ((0, 0, 2, 2),),
    ROWS: ((0, 0, 1, 2), (1, 0, 1, 2)),
    COLUMNS: ((0, 0, 2, 1), (0, 1, 2, 1)),
    QUARTERS: ((0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 1, 1)),
}
"""(y, x, height, width) of the parts of a block in quarters of it, in coding order."""

_FLAG = 1 << 8


def uses(modes: IntArray | int, reference: int) -> NDArray[np.bool_]:
    """Which blocks are predicted from a reference."""
    return np.asarray((modes == reference) | (modes == BOTH))


def split_of(symbol: int) -> int:
    """How a block is split, from its symbol; larger ones are QUARTERS."""
    return SPLIT_SYMBOLS.index(symbol) if -1 <= symbol <= 1 else QUARTERS


def split_features(splits: IntArray) -> IntArray:
    """(8, ...) features of how a block is split, from the splits (4, ...) of the blocks W, N, NE, NW (0: none)."""
    flags = np.where(splits != WHOLE, _FLAG, 0)
    return np.concatenate([flags, np.zeros_like(flags)])


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


AROUND = ((0, -1), (-1, 0), (-1, 1), (-1, -1))
"""(dy, dx) of W, N, NE, NW of a block."""


def places_around(y: IntArray | int, x: IntArray | int, width: IntArray | int) -> IntArray:
    """(4, 2, N) quarters (y, x) that are W, N, NE and NW of parts at (y, x), the last two in quarters, `width` wide."""
    return np.array([(y, x - 1), (y - 1, x), (y - 1, x + width), (y - 1, x - 1)])


def north_east_is_coded(y: IntArray | int, x: IntArray | int, width: IntArray | int) -> NDArray[np.bool_]:
    """Whether what is NE of parts comes before them: not where they lie below and at the right in their block."""
    return np.asarray((y % 2 == 0) | (x % 2 + width < 2))


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


@dataclass(frozen=True)
class _Parts:
    """All parts of a field in coding order.

    Args:
        first: (B,) the first part of each block.
        y, x, width: (N,) where each part begins and how wide it is, in quarters of blocks.
        of_quarter: (ph, pw) the part that each quarter belongs to.
    """

    first: IntArray
    y: IntArray
    x: IntArray
    width: IntArray
    of_quarter: IntArray


def _parts_of(splits: IntArray) -> _Parts:
    counts = np.array([len(parts) for parts in PARTS.values()])[splits]
    first = (np.cumsum(counts) - counts.ravel()).reshape(splits.shape)
    y, x, width = (np.empty(counts.sum(), dtype=np.int64) for _ in range(3))
    of_quarter = np.empty((2 * splits.shape[0], 2 * splits.shape[1]), dtype=np.int64)
    for split, parts in PARTS.items():
        rows, columns = np.nonzero(splits == split)
        for number, (part_y, part_x, part_height, part_width) in enumerate(parts):
            index = first[rows, columns] + number
            y[index], x[index], width[index] = 2 * rows + part_y, 2 * columns + part_x, part_width
            for dy in range(part_height):
                for dx in range(part_width):
                    of_quarter[y[index] + dy, x[index] + dx] = index
    return _Parts(first.ravel(), y, x, width, of_quarter)


def to_symbols(field: MotionField, frame: CodedFrame) -> MotionSymbols:
    """Symbols of a whole field at once; `hybrid/symbol_coding.py` reads them back part by part."""
    num_references = len(frame.references)
    parts = _parts_of(field.splits)
    around = places_around(parts.y, parts.x, parts.width) + 1  # in arrays with a margin of one
    is_coded = np.ones((4, len(parts.y)), dtype=bool)
    is_coded[2] = north_east_is_coded(parts.y, parts.x, parts.width)

    def near(values: NDArray[Any]) -> NDArray[Any]:
        """(4, N) at W, N, NE and NW of each part, 0 where they lie outside or come later; from (ph, pw)."""
        return np.where(is_coded, np.pad(values, 1)[around[:, 0], around[:, 1]], 0)

    # Class, features, symbols and the part that each belongs to, of the symbols that may come for a part in this order.
    slots: list[tuple[int, IntArray, IntArray, IntArray]] = []
    splits = np.pad(field.splits, 1)
    height, width = field.splits.shape
    split_near = np.stack([splits[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width].ravel() for dy, dx in AROUND])
    slots.append((SPLIT_CLASS, split_features(split_near), np.array(SPLIT_SYMBOLS)[field.splits.ravel()], parts.first))
    every = np.arange(len(parts.y))
    modes = field.modes[parts.y, parts.x]
    is_both = modes == BOTH
    if num_references == 2:
        signs = np.array(MODE_SIGNS)
        signs_near = near(signs[field.modes])
        slots.append((MODE_CLASS, mode_features(signs_near), signs[modes] * expected_sign(signs_near), every))
    first_differences = np.zeros((2, len(modes)), dtype=np.int64)
    for reference in range(num_references):
        used = uses(modes, reference)
        known = near(uses(field.modes, reference))[:3]
        differences = np.zeros((2, len(modes)), dtype=np.int64)
        for component in range(2):
            values = field.vectors[reference, component]
            neighbours = Neighbours(near(values)[:3], known)
            first = np.where(is_both, first_differences[component], 0) if reference else np.zeros_like(modes)
            prediction = neighbours.prediction() + (carried_on(first, frame) if reference else 0)
            differences[component] = np.where(used, values[parts.y, parts.x] - prediction, 0)
            west, north = near(differences[component][parts.of_quarter])[:2]
            other = differences[0] if component else np.zeros_like(modes)
            features = component_features(neighbours.spreads(), west, north, other, first, is_both)
            slots.append((1 + 2 * reference + component, features[:, used], differences[component][used], every[used]))
        first_differences = differences
    order = np.argsort(
        np.concatenate([part * len(slots) + slot for slot, (_, _, _, part) in enumerate(slots)]), kind="stable"
    )
    return MotionSymbols(
        np.concatenate([np.full(len(symbols), kind) for kind, _, symbols, _ in slots])[order],
        np.concatenate([features for _, features, _, _ in slots], axis=1)[:, order],
        np.concatenate([symbols for _, _, symbols, _ in slots])[order],
    )


def clip_component(value: int) -> int:
    """A component as it is used."""
    return max(-MAX_VECTOR, min(MAX_VECTOR, value))
