# SPDX-License-Identifier: MIT
"""Motion fields <-> symbols: what a block's neighbours promise of its vectors (docs/c3v.md, section 16).

Blocks go in raster order; each says how it is split, then come its parts. A part has a mode where its frame has two
references, then a vector (y, x) for each reference that it uses. A component is coded as the difference to a prediction
from what lies to the left (W), above (N) and above to the right (NE) of the part, as far as it is known and uses that
reference: the median of three, the mean of two, one, or zero.

One walk serves both directions (`_Walk`): a writer, who knows the field, takes all blocks at once, then all parts; a
reader takes them one by one, since each symbol's table depends on those before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.compensation import (
    BACKWARD,
    BOTH,
    COLUMNS,
    FORWARD,
    MAX_VECTOR,
    QUARTERS,
    ROWS,
    WHOLE,
    MotionField,
)
from c3video.hybrid.context_network import magnitude_feature
from c3video.hybrid.frame_order import CodedFrame

IntArray = NDArray[np.int64]

NUM_INPUTS = 8
MODE_CLASS, SPLIT_CLASS, NUM_CLASSES = 0, 5, 6
"""Class 1 + 2 r + c is component c (0: y, 1: x) of the vector into reference r."""

MODE_SIGNS = (1, -1, 0)
"""FORWARD, BACKWARD and BOTH as symbols; BOTH, the most frequent, is zero."""
_MODE_OF_SIGN = np.array((BOTH, FORWARD, BACKWARD))
"""By sign 0, 1 and -1."""

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


def clip_component(value: IntArray | int) -> IntArray:
    """A component as it is used."""
    return np.clip(value, -MAX_VECTOR, MAX_VECTOR)


AROUND = ((0, -1), (-1, 0), (-1, 1), (-1, -1))
"""(dy, dx) of W, N, NE, NW of a block."""


def _places_around(y: IntArray, x: IntArray, width: IntArray) -> IntArray:
    """(4, 2, N) quarters (y, x) that are W, N, NE and NW of parts at (y, x), all in quarters, `width` wide."""
    return np.array([(y, x - 1), (y - 1, x), (y - 1, x + width), (y - 1, x - 1)])


def _north_east_is_coded(y: IntArray, x: IntArray, width: IntArray) -> NDArray[np.bool_]:
    """Whether what is NE of parts comes before them: not where they lie below and at the right in their block."""
    return (y % 2 == 0) | (x % 2 + width < 2)


@dataclass(frozen=True)
class _Parts:
    """Some parts of a field, in quarters of blocks.

    Args:
        y, x, width: (N,) where each part begins and how wide it is.
        quarters: (2, Q) places (y, x) of all quarters of them.
        owners: (Q,) the part that each of these belongs to.
    """

    y: IntArray
    x: IntArray
    width: IntArray
    quarters: IntArray
    owners: IntArray

    def __len__(self) -> int:
        return len(self.y)

    def moved(self, y: int, x: int) -> _Parts:
        """The same so much further down and to the right."""
        return replace(self, y=self.y + y, x=self.x + x, quarters=self.quarters + np.array([[y], [x]]))


def _part(y: int, x: int, height: int, width: int) -> _Parts:
    quarters = np.indices((height, width)).reshape(2, -1)
    owners = np.zeros(height * width, dtype=np.int64)
    zero = np.array([0])
    return _Parts(zero, zero, np.array([width]), quarters, owners).moved(y, x)


_PARTS_OF_BLOCK = {split: [_part(*part) for part in parts] for split, parts in PARTS.items()}


def _parts_of(splits: IntArray) -> tuple[_Parts, IntArray]:
    """All parts of a field in coding order, and (B,) the first of each block."""
    counts = np.array([len(parts) for parts in PARTS.values()])[splits]
    first = (np.cumsum(counts) - counts.ravel()).reshape(splits.shape)
    y, x, width = (np.empty(counts.sum(), dtype=np.int64) for _ in range(3))
    owners = np.empty((2 * splits.shape[0], 2 * splits.shape[1]), dtype=np.int64)
    for split, parts in PARTS.items():
        rows, columns = np.nonzero(splits == split)
        for number, (part_y, part_x, part_height, part_width) in enumerate(parts):
            index = first[rows, columns] + number
            y[index], x[index], width[index] = 2 * rows + part_y, 2 * columns + part_x, part_width
            for dy in range(part_height):
                for dx in range(part_width):
                    owners[y[index] + dy, x[index] + dx] = index
    return _Parts(y, x, width, np.indices(owners.shape).reshape(2, -1), owners.ravel()), first.ravel()


_Code = Callable[[int, IntArray, IntArray, IntArray | None], IntArray]
"""(class, features (8, M), which of the blocks or parts in hand (M,), symbols (M,) or None to read them) -> symbols."""


class _Walk:
    """A motion field, as far as it is known, and the symbols that say more of it.

    Arrays have a margin of one on all sides, which uses no reference and is not split.

    Args:
        shape: (bh, bw) blocks.
        frame: of the field.
        field: what is coded; None where it is read.
    """

    def __init__(self, shape: tuple[int, int], frame: CodedFrame, field: MotionField | None = None) -> None:
        self._frame = frame
        self._is_given = field is not None
        self._splits = np.zeros((shape[0] + 2, shape[1] + 2), dtype=np.int64)
        self._modes = np.full((2 * shape[0] + 2, 2 * shape[1] + 2), -1, dtype=np.int64)
        self._vectors = np.zeros((len(frame.references), 2, *self._modes.shape), dtype=np.int64)
        self._differences = np.zeros_like(self._vectors)
        if field is not None:
            for own, given in (
                (self._splits, field.splits),
                (self._modes, field.modes),
                (self._vectors, field.vectors),
            ):
                own[..., 1:-1, 1:-1] = given

    def field(self) -> MotionField:
        """All of it."""
        return MotionField(*(array[..., 1:-1, 1:-1].copy() for array in (self._vectors, self._modes, self._splits)))

    def code_splits(self, rows: IntArray, columns: IntArray, code: _Code) -> IntArray:
        """How blocks (N,) are split: (N,)."""
        here = rows + 1, columns + 1
        around = np.array([self._splits[here[0] + dy, here[1] + dx] for dy, dx in AROUND])
        known = np.array(SPLIT_SYMBOLS)[self._splits[here]] if self._is_given else None
        symbols = code(SPLIT_CLASS, split_features(around), np.arange(len(rows)), known)
        if not self._is_given:
            self._splits[here] = [split_of(symbol) for symbol in symbols]
        return self._splits[here]

    def code_parts(self, parts: _Parts, code: _Code) -> None:
        """Modes and vectors of parts, of blocks whose splits are known."""
        around = _places_around(parts.y, parts.x, parts.width) + 1
        # What comes later is as unknown as the margin, which begins at (0, 0).
        around[2] = np.where(_north_east_is_coded(parts.y, parts.x, parts.width), around[2], 0)
        near = around[:, 0], around[:, 1]  # (4, N) rows and columns
        modes = self._code_modes(parts, near, code)
        for reference in range(len(self._frame.references)):
            if uses(modes, reference).any():
                for component in range(2):
                    self._code_component(parts, near, modes, reference, component, code)

    def _code_modes(self, parts: _Parts, near: tuple[IntArray, IntArray], code: _Code) -> IntArray:
        """(N,)"""
        if len(self._frame.references) == 1:
            modes = np.full(len(parts), FORWARD)
        else:
            signs = np.array(MODE_SIGNS)  # the last one, 0, serves the margin's -1 too
            signs_near = signs[self._modes[near]]
            expected = expected_sign(signs_near)
            known = signs[self._modes[parts.y + 1, parts.x + 1]] * expected if self._is_given else None
            symbols = code(MODE_CLASS, mode_features(signs_near), np.arange(len(parts)), known)
            modes = _MODE_OF_SIGN[np.clip(symbols * expected, -1, 1)]
        _fill(self._modes, parts, modes)
        return modes

    def _code_component(
        self,
        parts: _Parts,
        near: tuple[IntArray, IntArray],
        modes: IntArray,
        reference: int,
        component: int,
        code: _Code,
    ) -> None:
        """One component of the vectors into one reference, of the parts that use it."""
        here = parts.y + 1, parts.x + 1
        vectors, differences = self._vectors[reference, component], self._differences[reference, component]
        used, is_both = uses(modes, reference), modes == BOTH
        neighbours = Neighbours(vectors[near][:3], uses(self._modes[near], reference)[:3])
        prediction, first = neighbours.prediction(), np.zeros_like(modes)
        if reference:
            first = np.where(is_both, self._differences[0, component][here], 0)
            prediction = prediction + carried_on(first, self._frame)
        found = np.zeros_like(modes)
        if self._is_given:
            # Before their features are made: in hand are parts beside each other.
            found = np.where(used, vectors[here] - prediction, 0)
            _fill(differences, parts, found)
        west, north = differences[near][:2]
        other = self._differences[reference, 0][here] if component else np.zeros_like(modes)
        features = component_features(neighbours.spreads(), west, north, other, first, is_both)
        known = found[used] if self._is_given else None
        found[used] = code(1 + 2 * reference + component, features[:, used], np.flatnonzero(used), known)
        _fill(differences, parts, found)
        _fill(vectors, parts, np.where(used, clip_component(prediction + found), 0))


def _fill(values: IntArray, parts: _Parts, of_parts: IntArray) -> None:
    """Give all quarters of parts the value (N,) of their part."""
    values[parts.quarters[0] + 1, parts.quarters[1] + 1] = of_parts[parts.owners]


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
    """Symbols of a whole field at once; `read_field` reads them back part by part."""
    height, width = field.splits.shape
    parts, first_of_block = _parts_of(field.splits)
    found: list[MotionSymbols] = []
    owners: list[IntArray] = []  # the part that each symbol belongs to

    def note(symbol_class: int, features: IntArray, chosen: IntArray, symbols: IntArray | None) -> IntArray:
        assert symbols is not None
        found.append(MotionSymbols(np.full(len(symbols), symbol_class), features, symbols))
        owners.append(first_of_block[chosen] if symbol_class == SPLIT_CLASS else chosen)
        return symbols

    walk = _Walk((height, width), frame, field)
    rows, columns = np.indices((height, width)).reshape(2, -1)
    walk.code_splits(rows, columns, note)
    walk.code_parts(parts, note)
    # Symbols were found class by class, in the order in which those of one part come.
    order = np.argsort(np.concatenate(owners), kind="stable")
    return MotionSymbols(
        np.concatenate([part.classes for part in found])[order],
        np.concatenate([part.features for part in found], axis=1)[:, order],
        np.concatenate([part.symbols for part in found])[order],
    )


def read_field(shape: tuple[int, int], frame: CodedFrame, read: Callable[[int, IntArray], IntArray]) -> MotionField:
    """The field of `shape` (bh, bw) blocks whose symbols are read one by one.

    Args:
        read: (class, features (8, 1)) -> symbol (1,).
    """

    def code(symbol_class: int, features: IntArray, chosen: IntArray, symbols: IntArray | None) -> IntArray:
        return read(symbol_class, features)

    walk = _Walk(shape, frame)
    for row in range(shape[0]):
        for column in range(shape[1]):
            (split,) = walk.code_splits(np.array([row]), np.array([column]), code)
            for part in _PARTS_OF_BLOCK[int(split)]:
                walk.code_parts(part.moved(2 * row, 2 * column), code)
    return walk.field()
