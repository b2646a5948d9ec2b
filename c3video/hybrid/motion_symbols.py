# SPDX-License-Identifier: MIT
"""Motion fields <-> symbols: a tree of blocks, and what is known of motion around a block (docs/c3v.md, section 16).

    superblocks of 64 samples, from the top left --> cut in four, and again --> blocks of 16, split or not --> parts

What is not cut is one *part*, whatever its size. A part either takes over the motion of a *candidate* from around it or
from an earlier frame, or has a mode (where its frame has two references) and vectors of its own. Those are coded as
differences to a prediction from the parts W, N and NE of it: the median of three, the mean of two, one, or zero.

What is expected from an earlier frame is its motion at the same place, scaled in time, plus an *offset* for each
reference: what the camera adds to all of the picture. A large part that takes it over follows it block by block; other
parts move alike. All vectors of a frame are multiples of its *unit*, a quarter or half of a sample.

One walk serves both directions (`_Walk`). A writer finds the tree in the field: what moves alike is one part, and what
moves like a candidate takes its motion over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from c3video.hybrid.context_network import FEATURE_BITS, magnitude_feature
from c3video.hybrid.frame_order import CodedFrame

IntArray = NDArray[np.int64]

SUPERBLOCK = 4
"""Side of the largest part in blocks."""

NUM_INPUTS = 8
MODE_CLASS, SPLIT_CLASS, OFFSET_CLASS = 0, 5, 6
"""Class 1 + 2 r + c is component c (0: y, 1: x) of the vector into reference r."""
CUT_CLASS, MERGE_CLASS, CANDIDATE_CLASS, UNIT_CLASS = 7, 9, 13, 16
"""Flags: whether superblocks and their quarters are cut (one class each), whether a part has a motion of its own (by
size: 64, 32, 16 samples, less), whether it takes a later candidate than the first, than the second, than others;
whether a frame's vectors are multiples of two quarters of a sample."""
FIRST_FLAG_CLASS, NUM_CLASSES = 7, 17

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

MOST_CANDIDATES = 5

_UNIT = 1 << FEATURE_BITS

OTHER_MODE = 64
"""How much further apart motions of different modes are."""

Vector = tuple[int, int]


@dataclass(frozen=True)
class Motion:
    """How a part moves.

    Args:
        mode: FORWARD, BACKWARD or BOTH.
        vectors: (y, x) into each reference, (0, 0) where that is not used; in units of the frame.
        follows: whether each block moves as is expected there; the rest is then of the block in the middle.
    """

    mode: int
    vectors: tuple[Vector, ...]
    follows: bool = False

    def uses(self, reference: int) -> bool:
        return self.mode in (reference, BOTH)

    def distance(self, other: Motion | None) -> int:
        """How far apart two motions are; 0 where there is no other one."""
        if other is None:
            return 0
        total = OTHER_MODE if self.mode != other.mode else 0
        for reference, (own, its) in enumerate(zip(self.vectors, other.vectors, strict=True)):
            if self.uses(reference) and other.uses(reference):
                total += abs(own[0] - its[0]) + abs(own[1] - its[1])
        return total


@dataclass(frozen=True)
class EarlierMotion:
    """What a frame coded before lets expect of a frame's motion.

    Args:
        field: of that frame.
        frame: that frame.
        reference: number of the one of its references whose vectors say more.
    """

    field: MotionField
    frame: CodedFrame
    reference: int = 0


def earlier_motion(frame: CodedFrame, fields: Sequence[tuple[CodedFrame, MotionField | None]]) -> EarlierMotion | None:
    """The field of a reference: one that is itself predicted from the frame's other reference, else the first's.

    What moves from one reference to the other passes the frame on its way.

    Args:
        fields: references and their fields, in the order of the frame's references.
    """
    known = [(reference, field) for reference, field in fields if field is not None]
    for reference, field in known:
        for other in frame.references:
            if other in reference.references:
                return EarlierMotion(field, reference, reference.references.index(other))
    return EarlierMotion(known[0][1], known[0][0]) if known else None


def uses(modes: IntArray | int, reference: int) -> NDArray[np.bool_]:
    """Which blocks are predicted from a reference."""
    return np.asarray((modes == reference) | (modes == BOTH))


def split_of(symbol: int) -> int:
    """How a block is split, from its symbol; larger ones are QUARTERS."""
    return SPLIT_SYMBOLS.index(symbol) if -1 <= symbol <= 1 else QUARTERS


def clip_component(value: int, unit: int) -> int:
    """A component in units of a frame as it is used."""
    return max(-MAX_VECTOR // unit, min(MAX_VECTOR // unit, value))


def predicted_component(known: Sequence[int]) -> int:
    """Median of three, mean of two (rounded down), one, or zero."""
    if len(known) == 3:
        return sorted(known)[1]
    return sum(known) >> 1 if len(known) == 2 else sum(known)


def carried_on(difference: int, frame: CodedFrame) -> int:
    """What a difference in the first vector of a part in mode BOTH lets expect of that in the second.

    What moves evenly is as many times further away in the second reference as that is in time, and on the other side
    where that is later.
    """
    first, second = (frame.index - reference for reference in frame.references)
    further = abs(difference) * abs(second) // first
    return further if (difference > 0) == (second > 0) else -further


def scaled(component: int, distance: int, of: int, unit: int) -> int:
    """What moves a component in the time `of` moves so many units in the time `distance`, to the nearest; halves go
    outwards.

    Args:
        component: in quarters of a sample.
        distance, of: frames, not 0; negative where the reference is later.
        unit: quarters of a sample.
    """
    size = (2 * abs(component) * abs(distance) + unit * abs(of)) // (2 * unit * abs(of))
    return size if (component > 0) == ((distance > 0) == (of > 0)) else -size


def _feature(magnitude: int) -> int:
    return int(magnitude_feature(np.array(magnitude)))


@dataclass(frozen=True)
class _Node:
    """A part, or what may be one, in quarters of blocks."""

    y: int
    x: int
    height: int
    width: int

    @property
    def size_class(self) -> int:
        """0 for a superblock, 1 for its quarter, 2 for a block, 3 for less."""
        return {8: 0, 4: 1}.get(self.width, 2 if self.height == self.width == 2 else 3)


Code = Callable[[int, list[int], int | None], int]
"""(class, inputs, symbol or None to read it) -> symbol."""


class _Walk:
    """A motion field, as far as it is known, and the symbols that say more of it.

    Args:
        shape: (bh, bw) blocks.
        frame: of the field.
        earlier: motion of a frame coded before, if there is any.
        code: what symbols are given to, or read from.
        given: the field that is coded; None where it is read.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        frame: CodedFrame,
        earlier: EarlierMotion | None,
        code: Code,
        given: MotionField | None = None,
    ) -> None:
        self._frame, self._earlier, self._code, self._given = frame, earlier, code, given
        self._rows, self._columns = 2 * shape[0], 2 * shape[1]
        self._splits = np.zeros(shape, dtype=np.int64)
        size = (self._rows, self._columns)
        self._motions: list[list[Motion | None]] = [[None] * self._columns for _ in range(self._rows)]
        self._differences = np.zeros((*size, len(frame.references), 2), dtype=np.int64)
        self._depths = np.zeros(size, dtype=np.int64)
        self._own = np.zeros(size, dtype=np.int64)
        self._unit = 1
        self._offsets = np.zeros((len(frame.references), 2), dtype=np.int64)  # in units, like all vectors here

    def run(self) -> MotionField:
        """Code all superblocks, rows from the top, from left to right."""
        known = None if self._given is None else self._given.unit - 1
        self._unit = 2 if self._code(UNIT_CLASS, [0] * NUM_INPUTS, known) else 1
        if self._earlier is not None:
            self._code_offsets()
        side = 2 * SUPERBLOCK
        for y in range(0, self._rows, side):
            for x in range(0, self._columns, side):
                self._code_tree(_Node(y, x, side, side))
        vectors = np.zeros((len(self._frame.references), 2, self._rows, self._columns), dtype=np.int64)
        modes = np.zeros((self._rows, self._columns), dtype=np.int64)
        for y, row in enumerate(self._motions):
            for x, motion in enumerate(row):
                assert motion is not None
                modes[y, x], vectors[:, :, y, x] = motion.mode, motion.vectors
        return MotionField(self._unit * vectors, modes, self._splits, self._unit * self._offsets, self._unit)

    def _code_offsets(self) -> None:
        """That into the second reference as a difference to that into the first."""
        before = np.zeros(2, dtype=np.int64)
        for reference in range(len(self._offsets)):
            inputs = [0] * 7 + [_UNIT if reference else 0]
            for component in range(2):
                known = None
                if self._given is not None:
                    known = int(self._given.offsets[reference, component]) // self._unit - int(before[component])
                symbol = self._code(OFFSET_CLASS, inputs, known)
                inputs = [_feature(abs(symbol)), _UNIT, *inputs[2:]]
                self._offsets[reference, component] = clip_component(int(before[component]) + symbol, self._unit)
            before = self._offsets[reference]

    def _code_tree(self, node: _Node) -> None:
        if node.y >= self._rows or node.x >= self._columns:
            return
        if node.width == 2:
            self._code_block(node)
            return
        is_cut = self._code(CUT_CLASS + node.size_class, self._tree_inputs(node), self._is_cut(node))
        if not is_cut:
            self._code_part(node)
            return
        side = node.width // 2
        for y in (node.y, node.y + side):
            for x in (node.x, node.x + side):
                self._code_tree(_Node(y, x, side, side))

    def _is_cut(self, node: _Node) -> int | None:
        """Whether what is given there moves neither all alike nor as expected."""
        if self._given is None:
            return None
        blocks = np.s_[node.y // 2 : (node.y + node.height) // 2, node.x // 2 : (node.x + node.width) // 2]
        if (self._given.splits[blocks] != WHOLE).any():
            return 1
        places = self._places(node)
        motions = [self._given_at(*place) for place in places]
        is_alike = all(motion == motions[0] for motion in motions)
        return 0 if is_alike or motions == [self._expected(*place) for place in places] else 1

    def _places(self, node: _Node) -> list[tuple[int, int]]:
        """Of its quarters of blocks that lie in the field."""
        rows = range(node.y, min(node.y + node.height, self._rows))
        return [(y, x) for y in rows for x in range(node.x, min(node.x + node.width, self._columns))]

    def _code_block(self, node: _Node) -> None:
        place = node.y // 2, node.x // 2
        known = None if self._given is None else SPLIT_SYMBOLS[self._given.splits[place]]
        split = split_of(self._code(SPLIT_CLASS, self._tree_inputs(node), known))
        self._splits[place] = split
        for y, x, height, width in PARTS[split]:
            self._code_part(_Node(node.y + y, node.x + x, height, width))

    def _at(self, y: int, x: int) -> Motion | None:
        return self._motions[y][x] if 0 <= y < self._rows and 0 <= x < self._columns else None

    def _around(self, node: _Node) -> list[tuple[int, int]]:
        """Places of W, N, NE, NW and SW: the first two at the ends that are nearest to what comes later."""
        bottom, right = min(node.y + node.height, self._rows), min(node.x + node.width, self._columns)
        return [
            (bottom - 1, node.x - 1),
            (node.y - 1, right - 1),
            (node.y - 1, right),
            (node.y - 1, node.x - 1),
            (bottom, node.x - 1),
        ]

    def _value(self, values: IntArray, place: tuple[int, int]) -> int:
        """Of a place where something is known, else 0."""
        return 0 if self._at(*place) is None else int(values[place])

    def _before(self, y: int, x: int) -> Motion | None:
        """What an earlier frame's motion at a place becomes in this frame."""
        if self._earlier is None:
            return None
        field, earlier = self._earlier.field, self._earlier.frame
        place = min(y, self._rows - 1), min(x, self._columns - 1)
        mode = int(field.modes[place])
        times = [earlier.index - reference for reference in earlier.references]
        reference = self._earlier.reference if mode == BOTH else mode
        up, left = (int(component) for component in field.vectors[reference, :, place[0], place[1]])
        own = [self._frame.index - index for index in self._frame.references]
        vectors = tuple(
            (
                clip_component(scaled(up, time, times[reference], self._unit) + int(offset_y), self._unit),
                clip_component(scaled(left, time, times[reference], self._unit) + int(offset_x), self._unit),
            )
            for time, (offset_y, offset_x) in zip(own, self._offsets, strict=True)
        )
        return Motion(BOTH if len(own) == 2 else FORWARD, vectors)

    def _expected(self, y: int, x: int) -> Motion | None:
        """What is expected of the block at a place, in its middle."""
        return self._before(y | 1, x | 1)

    def _before_node(self, node: _Node) -> Motion | None:
        """What is expected of a part; of several blocks each may follow its own."""
        y, x = node.y + node.height // 2, node.x + node.width // 2
        if node.width <= 2:
            return self._before(y, x)
        middle = self._expected(y, x)
        if middle is None or all(self._expected(*place) == middle for place in self._places(node)):
            return middle
        return replace(middle, follows=True)

    def _tree_inputs(self, node: _Node) -> list[int]:
        """Of whether and how something is cut or split: how deep its neighbours lie, how far apart motions are."""
        west, north, north_east = self._around(node)[:3]
        depths = [
            self._value(self._depths, place)
            for place in (west, (node.y, node.x - 1), north, (node.y - 1, node.x), north_east)
        ]
        first, step = node.width // 4, node.width // 2
        middles = [
            self._before(node.y + first + y * step, node.x + first + x * step) for y in range(2) for x in range(2)
        ]
        num_different = len({motion for motion in middles if motion is not None})
        at_west, at_north = self._at(*west), self._at(*north)
        gap = 0 if at_west is None else at_west.distance(at_north)
        return [
            *(depth * _UNIT for depth in depths),
            max(0, num_different - 1) * _UNIT,
            _feature(gap),
            len(self._candidates(node)) * _UNIT,
        ]

    def _candidates(self, node: _Node) -> list[Motion]:
        """Motions that a part may take over, all different: of W, N, an earlier frame, NE, SW and NW."""
        west, north, north_east, north_west, south_west = (self._at(*place) for place in self._around(node))
        before = self._before_node(node)
        found: list[Motion] = []
        for motion in (west, north, before, north_east, south_west, north_west):
            if motion is not None and motion not in found:
                found.append(motion)
        return found[:MOST_CANDIDATES]

    def _code_part(self, node: _Node) -> None:
        given = None if self._given is None else self._given_motion(node)
        candidates = self._candidates(node)
        has_own = 1
        if candidates:
            known = None if given is None else int(given not in candidates)
            has_own = int(self._code(MERGE_CLASS + node.size_class, self._merge_inputs(node, candidates), known) != 0)
        differences = np.zeros((len(self._frame.references), 2), dtype=np.int64)
        motion = (
            self._code_motion(node, given, differences) if has_own else self._code_candidate(node, candidates, given)
        )
        there = np.s_[node.y : node.y + node.height, node.x : node.x + node.width]
        for y, x in self._places(node):
            self._motions[y][x] = self._expected(y, x) if motion.follows else motion
        self._differences[there] = differences
        self._depths[there] = node.size_class + (node.height * node.width == 1)
        self._own[there] = has_own

    def _given_at(self, y: int, x: int) -> Motion:
        assert self._given is not None
        vectors = tuple((int(up), int(left)) for up, left in self._given.vectors[:, :, y, x] // self._unit)
        return Motion(int(self._given.modes[y, x]), vectors)

    def _given_motion(self, node: _Node) -> Motion:
        first = self._given_at(node.y, node.x)
        if all(self._given_at(*place) == first for place in self._places(node)):
            return first
        before = self._before_node(node)
        assert before is not None
        return before

    def _gaps(self, node: _Node) -> list[int]:
        """Features of how far W, N and an earlier frame's motion are apart."""
        west, north = (self._at(*place) for place in self._around(node)[:2])
        before = self._before_node(node)
        pairs = ((west, north), (west, before), (north, before))
        return [0 if a is None else _feature(a.distance(b)) for a, b in pairs]

    def _merge_inputs(self, node: _Node, candidates: list[Motion]) -> list[int]:
        own = [self._value(self._own, place) * _UNIT for place in self._around(node)[:4]]
        return [*own, *self._gaps(node), len(candidates) * _UNIT]

    def _code_candidate(self, node: _Node, candidates: list[Motion], given: Motion | None) -> Motion:
        """The candidate that is taken over: for each but the last, whether it is a later one."""
        around = [self._at(*place) for place in self._around(node)]
        around.append(self._before_node(node))
        gaps = self._gaps(node)
        for number, candidate in enumerate(candidates[:-1]):
            votes = [around.count(motion) * _UNIT for motion in candidates[number : number + 2]]
            inputs = [
                *gaps,
                _feature(candidate.distance(candidates[number + 1])),
                (len(candidates) - 1 - number) * _UNIT,
                *votes,
                node.size_class * _UNIT,
            ]
            known = None if given is None else int(given != candidate)
            if not self._code(CANDIDATE_CLASS + min(number, 2), inputs, known):
                return candidate
        return candidates[-1]

    def _code_motion(self, node: _Node, given: Motion | None, differences: IntArray) -> Motion:
        """A motion of its own; `differences` are filled in."""
        num_references = len(self._frame.references)
        mode = self._code_mode(node, given) if num_references == 2 else FORWARD
        places = self._around(node)[:3]
        near, expected = [self._at(*place) for place in places], self._before_node(node)
        vectors: list[Vector] = []
        for reference in range(num_references):
            vector = [0, 0]
            for component in range(2) if mode in (reference, BOTH) else ():
                values = [
                    motion.vectors[reference][component] if motion is not None and motion.uses(reference) else None
                    for motion in near
                ]
                first = int(differences[0, component]) if reference and mode == BOTH else 0
                prediction = predicted_component([value for value in values if value is not None])
                if reference and mode == BOTH:
                    prediction += carried_on(first, self._frame)
                before = self._differences[:, :, reference, component]
                magnitudes = [
                    _gap(values[0], values[1]),
                    _gap(values[1], values[2]),
                    0 if expected is None else abs(prediction - expected.vectors[reference][component]),
                    *(abs(self._value(before, place)) for place in places[:2]),
                    abs(int(differences[reference, 0])) if component else 0,
                    abs(first),
                ]
                inputs = [*(_feature(magnitude) for magnitude in magnitudes), _UNIT if mode == BOTH else 0]
                known = None if given is None else given.vectors[reference][component] - prediction
                difference = self._code(1 + 2 * reference + component, inputs, known)
                differences[reference, component] = difference
                vector[component] = clip_component(prediction + difference, self._unit)
            vectors.append((vector[0], vector[1]))
        return Motion(mode, tuple(vectors))

    def _code_mode(self, node: _Node, given: Motion | None) -> int:
        near = [self._at(*place) for place in self._around(node)[:4]]
        signs = [0 if motion is None else MODE_SIGNS[motion.mode] for motion in near]
        # A mode's symbol is multiplied by the direction that W, N and NE lean to.
        expected = -1 if sum(signs[:3]) < 0 else 1
        known = None if given is None else MODE_SIGNS[given.mode] * expected
        symbol = self._code(MODE_CLASS, [*(abs(sign) * _UNIT for sign in signs), 0, 0, 0, 0], known)
        return {1: FORWARD, -1: BACKWARD, 0: BOTH}[max(-1, min(1, symbol * expected))]


def _gap(a: int | None, b: int | None) -> int:
    return 0 if a is None or b is None else abs(a - b)


@dataclass(frozen=True)
class MotionSymbols:
    """Symbols of a field in coding order.

    Args:
        classes: (N,); from FIRST_FLAG_CLASS on they are flags.
        features: (8, N).
        symbols: (N,).
    """

    classes: IntArray
    features: IntArray
    symbols: IntArray


def to_symbols(field: MotionField, frame: CodedFrame, earlier: EarlierMotion | None) -> MotionSymbols:
    """Symbols of a field; `read_field` reads them back."""
    found: list[tuple[int, list[int], int]] = []

    def note(symbol_class: int, inputs: list[int], symbol: int | None) -> int:
        assert symbol is not None
        found.append((symbol_class, inputs, symbol))
        return symbol

    shape = field.splits.shape
    _Walk((shape[0], shape[1]), frame, earlier, note, field).run()
    classes, features, symbols = zip(*found, strict=True)
    return MotionSymbols(np.array(classes), np.array(features).T, np.array(symbols, dtype=np.int64))


def read_field(
    shape: tuple[int, int], frame: CodedFrame, earlier: EarlierMotion | None, read: Callable[[int, IntArray], int]
) -> MotionField:
    """The field of `shape` (bh, bw) blocks whose symbols are read one by one.

    Args:
        read: (class, features (8, 1)) -> symbol.
    """

    def code(symbol_class: int, inputs: list[int], symbol: int | None) -> int:
        return read(symbol_class, np.array(inputs)[:, None])

    return _Walk(shape, frame, earlier, code).run()
