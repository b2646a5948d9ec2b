# SPDX-License-Identifier: MIT
"""A decoder of the hybrid model written from docs/c3v.md alone, in plain Python without arrays: slow, and no relation.

Sections are named where they are followed. It takes the blob of a segment and knows nothing of what c3video does with
it; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "c3v.md").read_text()
Plane = list[list[int]]


def section(number: int) -> str:
    start = DOCUMENT.index(f"\n## {number}. ")
    end = DOCUMENT.find(f"\n## {number + 1}. ")
    return DOCUMENT[start : end if end >= 0 else None]


def integer_rows(text: str) -> list[list[int]]:
    """Indented lines of plain integers."""
    return [[int(x) for x in row.split()] for row in re.findall(r"^    (-?\d+(?: -?\d+)*)$", text, flags=re.M)]


def table_rows(text: str) -> list[list[int]]:
    """Rows of integers of a Markdown table."""
    rows = re.findall(r"^\| (-?\d+(?: \| -?\d+)*) \|$", text, flags=re.M)
    return [[int(x) for x in row.split(" | ")] for row in rows]


(STEPS,) = integer_rows(section(11))
NORMS = {row[0]: row[1:] for row in table_rows(section(11))}
RGB_NORMS = [int(x) for x in re.search(r"M is (\d+), (\d+) and (\d+)", section(11)).groups()]  # type: ignore[union-attr]
TAPS = [row[1:] for row in table_rows(section(12))]
WINDOWS = {len(row): row for row in integer_rows(section(12))}
_HEXES = [int(x, 16) for x in re.findall(r"\b[0-9A-F]{8}\b", section(13))]
P, Q = _HEXES[:64], _HEXES[64:]
DECAYS = [int(x, 16) for x in re.findall(r"\b[0-9A-F]{16}\b", section(5))]
RADII = [x for row in integer_rows(section(5)) for x in row]


def clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def rs(value: int, shift: int) -> int:
    return (value + (1 << (shift - 1))) >> shift if shift else value


def sat(value: int) -> int:
    return clip(value, -32768, 32767)


def act(x: int) -> int:
    """Section 4.2, q = 10."""
    return rs(x * clip(x * 8 + (1 << 14), 0, 1 << 15), 15)


def sign(x: int) -> int:
    return (x > 0) - (x < 0)


def weight_bounds(j: int) -> list[int]:
    """Section 5, f = 0."""
    radius, decays = RADII[j], [1 << 62]
    for _ in range(16 * RADII[j] + 16):
        decays.append((decays[-1] * DECAYS[j]) >> 62)

    def below(k: int) -> int:
        return decays[-k] >> 1 if k < 0 else (1 << 62) - (decays[k] >> 1)

    spread = (1 << 24) - 256 * (2 * radius + 3)
    inner = [256 * i + ((below(16 * (i - 1 - radius) - 8) * spread) >> 62) for i in range(1, 2 * radius + 3)]
    return [0, *inner, 1 << 24]


def sparse_bounds(i: int, k: int) -> list[int]:
    """Section 13; k = 16 for a flag."""
    if k == 16:
        spread = (1 << 24) - 33 * 16
        width = (((1 << 30) - P[i]) * spread) >> 30
        bounds = [16 * slot for slot in range(17)]
        bounds.append(bounds[-1] + 16 + spread - width)
        bounds.append(bounds[-1] + 16 + width)
        return bounds + [bounds[-1] + 16 * slot for slot in range(1, 16)]
    rest, spread, widths = (1 << 30) - P[i], (1 << 24) - 33 * 16, []
    for _ in range(15):
        fade = (rest * Q[k]) >> 30
        widths.append(16 + (((rest - fade) * spread) >> 31))
        rest = fade
    widths.append(16 + ((rest * spread) >> 31))
    middle = (1 << 24) - 2 * sum(widths)
    bounds = [0]
    for width in [*reversed(widths), middle, *widths]:
        bounds.append(bounds[-1] + width)
    return bounds


def magnitude_bounds(i: int, k: int) -> list[int]:
    """Section 13."""
    rest, spread, widths = (1 << 30) - P[i], (1 << 24) - 17 * 16, []
    for _ in range(15):
        fade = (rest * Q[k]) >> 30
        widths.append(16 + (((rest - fade) * spread) >> 30))
        rest = fade
    widths.append(16 + ((rest * spread) >> 30))
    bounds = [0, (1 << 24) - sum(widths)]
    for width in widths:
        bounds.append(bounds[-1] + width)
    return bounds


class Coder:
    """Section 6."""

    def __init__(self, payload: bytes) -> None:
        self.words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
        self.state = 0
        self.refill()
        self.refill()

    def refill(self) -> None:
        if self.state < 1 << 32 and self.words:
            self.state = (self.state << 32) + self.words.pop()

    def slot(self, bounds: Sequence[int]) -> int:
        q = self.state % (1 << 24)
        slot = next(i for i in range(len(bounds) - 1) if bounds[i] <= q < bounds[i + 1])
        self.state = (self.state >> 24) * (bounds[slot + 1] - bounds[slot]) + q - bounds[slot]
        self.refill()
        return slot

    def raw(self, bits: int) -> int:
        return self.slot([i << (24 - bits) for i in range((1 << bits) + 1)])

    def escaped(self, residual: int, radius: int) -> int:
        if abs(residual) <= radius:
            return residual
        length = self.raw(5)
        assert 1 <= length <= 20
        excess = 1 << (length - 1)
        for shift in range(0, length - 1, 12):
            excess += self.raw(min(12, length - 1 - shift)) << shift
        return sign(residual) * (radius + excess)

    def batch(self, j: int, count: int) -> list[int]:
        radius, bounds = RADII[j], weight_bounds(j)
        residuals = [self.slot(bounds) - radius - 1 for _ in range(count)]
        return [self.escaped(residual, radius) for residual in residuals]

    def symbol(self, tables: tuple[int, int]) -> int:
        return self.escaped(self.slot(sparse_bounds(*tables)) - 16, 15)

    def magnitude(self, tables: tuple[int, int]) -> int:
        return self.escaped(self.slot(magnitude_bounds(*tables)), 15)

    def is_done(self) -> bool:
        return self.state == 0 and not self.words


SHAPES = {"subbands": (26, 32), "motion": (8, 17)}


def network_sizes(inputs: int, classes: int) -> list[int]:
    return [16 * inputs, classes * 16, 7 * 16, 8 * 16, 8, 2 * 8, classes * 2]


@dataclass
class Network:
    """Section 14."""

    inputs: int
    arrays: list[list[int]]

    def tables(self, x: Sequence[int], symbol_class: int, depth: int) -> tuple[int, int]:
        first, class_bias, depth_bias, second, second_bias, last, last_bias = self.arrays
        c, e, n = symbol_class, min(depth, 6), self.inputs
        h = [
            act(
                sat(
                    rs(
                        sum(first[o * n + i] * x[i] for i in range(n))
                        + ((class_bias[c * 16 + o] + depth_bias[e * 16 + o]) << 8),
                        8,
                    )
                )
            )
            for o in range(16)
        ]
        g = [
            act(sat(rs(sum(second[o * 16 + i] * h[i] for i in range(16)) + (second_bias[o] << 10), 10)))
            for o in range(8)
        ]
        u = [sum(last[o * 8 + i] * g[i] for i in range(8)) + (last_bias[c * 2 + o] << 10) for o in range(2)]
        return clip(rs(u[0], 18) + 16, 0, 63), clip(rs(u[1], 19) + 8, 0, 15)


def prior(name: str) -> Network:
    inputs, classes = SHAPES[name]
    data = (ROOT / "c3video" / "hybrid" / "priors" / f"{name}.i16").read_bytes()
    numbers = [int.from_bytes(data[i : i + 2], "little", signed=True) for i in range(0, len(data), 2)]
    arrays = []
    for size in network_sizes(inputs, classes):
        arrays.append(numbers[:size])
        numbers = numbers[size:]
    assert not numbers
    return Network(inputs, arrays)


def filters() -> list[list[list[int]]]:
    """Section 18: the arrays of each filter."""
    data = (ROOT / "c3video" / "hybrid" / "priors" / "filters.i16").read_bytes()
    numbers = [int.from_bytes(data[i : i + 2], "little", signed=True) for i in range(0, len(data), 2)]
    found = []
    while numbers:
        arrays = []
        for size in (12 * 24, 12, 8 * 12, 8, 8, 24):
            arrays.append(numbers[:size])
            numbers = numbers[size:]
        found.append(arrays)
    return found


def filtered(plane: Plane, arrays: list[list[int]], s: int, b: int) -> Plane:
    """Section 18."""
    first, first_bias, second, second_bias, last, linear = arrays
    e = s.bit_length() - 1
    f = (2 ** (15 + e) + s // 2) // s
    height, width = len(plane), len(plane[0])
    places = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy or dx]

    def u(y: int, x: int) -> int:
        sample = plane[clip(y, 0, height - 1)][clip(x, 0, width - 1)]
        return rs((sample - 2 ** (b - 1)) * 2 ** (14 - b) * f, 6 + e)

    def layer(weights: list[int], biases: list[int], inputs: list[int]) -> list[int]:
        rows = [weights[o * len(inputs) : (o + 1) * len(inputs)] for o in range(len(biases))]
        sums = [sum(w * x for w, x in zip(row, inputs, strict=True)) for row in rows]
        return [sat(rs(total + bias * 2**12, 12)) for total, bias in zip(sums, biases, strict=True)]

    def sample(y: int, x: int) -> int:
        d = [sat(u(y + dy, x + dx) - u(y, x)) for dy, dx in places]
        h = [max(0, value) for value in layer(first, first_bias, d)]
        g = [max(0, value) for value in layer(second, second_bias, h)]
        c = sat(layer(last, [0], g)[0] + layer(linear, [0], d)[0])
        return clip(plane[y][x] + rs(c * s, 23 - b), 0, 2**b - 1)

    return [[sample(y, x) for x in range(width)] for y in range(height)]


def feature(magnitude: int) -> int:
    m = min(magnitude, 255) + 1
    e = m.bit_length() - 1
    return 256 * e + ((m * 256) >> e) - 256


@dataclass(frozen=True)
class Coded:
    """A frame in the order of section 17."""

    index: int
    references: tuple[int, ...]
    depth: int


def order(num_frames: int, gop: int) -> list[Coded]:
    """Section 17."""
    found = [Coded(0, (), 0)]

    def between(a: int, b: int, e: int) -> None:
        if b - a < 2:
            return
        m = (a + b) // 2
        found.append(Coded(m, (a, b), e))
        between(a, m, e + 1)
        between(m, b, e + 1)

    a = 0
    while a < num_frames - 1:
        b = min(a + gop, num_frames - 1)
        found.append(Coded(b, (a, a - gop) if a else (a,), 1))
        between(a, b, 2)
        a += gop
    return found


Vectors = tuple[tuple[int, int], ...]
"""By reference; (0, 0) where that is not used."""


@dataclass(frozen=True)
class Motion:
    """Section 16: a mode and its vectors; whether each block moves as is expected there."""

    mode: int
    vectors: Vectors
    follows: bool = False

    def uses(self, r: int) -> bool:
        return self.mode in (r, 2)


@dataclass
class Field:
    """Section 16: its unit; how each block is split; of each quarter (y, x) its motion, its differences (by reference
    and component), its depth, and whether its motion is its own."""

    rows: int
    columns: int
    unit: int = 1
    splits: dict[tuple[int, int], int] = field(default_factory=dict)
    motions: dict[tuple[int, int], Motion] = field(default_factory=dict)
    differences: dict[tuple[int, int], list[list[int]]] = field(default_factory=dict)
    depths: dict[tuple[int, int], int] = field(default_factory=dict)
    own: dict[tuple[int, int], int] = field(default_factory=dict)


PARTS = {
    0: [(0, 0, 2, 2)],
    1: [(0, 0, 1, 2), (1, 0, 1, 2)],
    2: [(0, 0, 2, 1), (0, 1, 2, 1)],
    3: [(0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 1, 1)],
}
"""Section 12: (y, x, rows, columns) of a block's parts in quarters."""


def distance(a: Motion | None, b: Motion | None) -> int:
    if a is None or b is None:
        return 0
    total = 64 if a.mode != b.mode else 0
    for r, (v, w) in enumerate(zip(a.vectors, b.vectors, strict=True)):
        if a.uses(r) and b.uses(r):
            total += abs(v[0] - w[0]) + abs(v[1] - w[1])
    return total


class MotionReader:
    """Section 16, one frame.

    Args:
        earlier: the frame whose field is used, that field, and p.
    """

    def __init__(
        self,
        coder: Coder,
        network: Network,
        found: Field,
        frame: Coded,
        earlier: tuple[Coded, Field, int] | None,
    ) -> None:
        self.coder, self.network, self.found, self.frame, self.earlier = coder, network, found, frame, earlier
        self.offsets = [[0, 0] for _ in frame.references]

    def symbol(self, symbol_class: int, inputs: list[int]) -> int:
        return self.coder.symbol(self.network.tables(inputs, symbol_class, self.frame.depth))

    def flag(self, symbol_class: int, inputs: list[int]) -> bool:
        i, _ = self.network.tables(inputs, symbol_class, self.frame.depth)
        return self.coder.symbol((i, 16)) != 0

    @property
    def most(self) -> int:
        return 4096 // self.found.unit

    def read(self) -> None:
        self.found.unit = 2 if self.flag(16, [0] * 8) else 1
        if self.earlier is not None:
            self.read_offsets()
        for y in range(0, 2 * self.found.rows, 8):
            for x in range(0, 2 * self.found.columns, 8):
                self.node(y, x, 8)

    def read_offsets(self) -> None:
        before = [0, 0]
        for r, offset in enumerate(self.offsets):
            last = 256 if r == 1 else 0
            up = self.symbol(6, [0] * 7 + [last])
            left = self.symbol(6, [feature(abs(up)), 256] + [0] * 5 + [last])
            for c, symbol in enumerate((up, left)):
                offset[c] = clip(before[c] + symbol, -self.most, self.most)
            before = offset

    def node(self, y: int, x: int, side: int) -> None:
        found = self.found
        if y >= 2 * found.rows or x >= 2 * found.columns:
            return
        inputs = self.tree_inputs(y, x, side)
        if side == 2:
            split = {0: 0, 1: 1, -1: 2}.get(self.symbol(5, inputs), 3)
            found.splits[y // 2, x // 2] = split
            for part_y, part_x, height, width in PARTS[split]:
                self.part(y + part_y, x + part_x, height, width)
        elif self.flag(7 if side == 8 else 8, inputs):
            half = side // 2
            for v, u in ((0, 0), (0, half), (half, 0), (half, half)):
                self.node(y + v, x + u, half)
        else:
            for v in range(y // 2, min((y + side) // 2, found.rows)):
                for u in range(x // 2, min((x + side) // 2, found.columns)):
                    found.splits[v, u] = 0
            self.part(y, x, side, side)

    def temporal(self, y: int, x: int) -> Motion | None:
        if self.earlier is None:
            return None
        g, there, p = self.earlier
        motion = there.motions[min(y, 2 * there.rows - 1), min(x, 2 * there.columns - 1)]
        q = p if motion.mode == 2 else motion.mode
        t, u = g.index - g.references[q], self.found.unit

        def expected(r: int, c: int) -> int:
            v, s = there.unit * motion.vectors[q][c], self.frame.index - self.frame.references[r]
            size = (2 * abs(v) * abs(s) + u * abs(t)) // (2 * u * abs(t))
            return clip(sign(v) * sign(s) * sign(t) * size + self.offsets[r][c], -self.most, self.most)

        vectors = tuple((expected(r, 0), expected(r, 1)) for r in range(len(self.offsets)))
        return Motion(2 if len(vectors) == 2 else 0, vectors)

    def expected(self, y: int, x: int) -> Motion | None:
        i, j = min(y // 2, self.found.rows - 1), min(x // 2, self.found.columns - 1)
        return self.temporal(2 * i + 1, 2 * j + 1)

    def temporal_of(self, y: int, x: int, height: int, width: int) -> Motion | None:
        middle = y + height // 2, x + width // 2
        if width <= 2 or self.earlier is None:
            return self.temporal(*middle)
        found = self.expected(*middle)
        assert found is not None
        blocks = [
            self.expected(v, u)
            for v in range(y, min(y + height, 2 * self.found.rows), 2)
            for u in range(x, min(x + width, 2 * self.found.columns), 2)
        ]
        return found if all(block == found for block in blocks) else Motion(found.mode, found.vectors, True)

    def tree_inputs(self, y: int, x: int, side: int) -> list[int]:
        found = self.found
        west, north, north_east, *_ = self.places(y, x, side, side)
        depths = [found.depths.get(place, 0) for place in (west, (y, x - 1), north, (y - 1, x), north_east)]
        a = side // 4
        four = {self.temporal(y + a + v, x + a + u) for v in (0, side // 2) for u in (0, side // 2)}
        gap = distance(found.motions.get(west), found.motions.get(north))
        number = len(self.candidates(y, x, side, side))
        return [256 * depth for depth in depths] + [256 * (len(four) - 1), feature(gap), 256 * number]

    def places(self, y: int, x: int, height: int, width: int) -> list[tuple[int, int]]:
        """Of W, N, NE, NW and SW."""
        e, f = min(y + height, 2 * self.found.rows), min(x + width, 2 * self.found.columns)
        return [(e - 1, x - 1), (y - 1, f - 1), (y - 1, f), (y - 1, x - 1), (e, x - 1)]

    def around(self, y: int, x: int, height: int, width: int) -> list[Motion | None]:
        """W, N, NE, NW, SW and T."""
        places = self.places(y, x, height, width)
        return [*(self.found.motions.get(place) for place in places), self.temporal_of(y, x, height, width)]

    def candidates(self, y: int, x: int, height: int, width: int) -> list[Motion]:
        w, n, ne, nw, sw, t = self.around(y, x, height, width)
        different: list[Motion] = []
        for motion in (w, n, t, ne, sw, nw):
            if motion is not None and motion not in different:
                different.append(motion)
        return different[:5]

    def part(self, y: int, x: int, height: int, width: int) -> None:
        found, size = self.found, {8: 0, 4: 1}.get(width, 2 if height * width == 4 else 3)
        around, candidates = self.around(y, x, height, width), self.candidates(y, x, height, width)
        w, n, t = around[0], around[1], around[5]
        gaps = [feature(distance(a, b)) for a, b in ((w, n), (w, t), (n, t))]
        places = self.places(y, x, height, width)
        is_own = True
        if candidates:
            own = [256 * found.own.get(place, 0) for place in places[:4]]
            is_own = self.flag(9 + size, own + gaps + [256 * len(candidates)])
        differences = [[0, 0] for _ in self.frame.references]
        if is_own:
            motion = self.own_motion(places[:3], around, differences)
        else:
            motion = candidates[-1]
            for i in range(len(candidates) - 1):
                votes = [256 * around.count(candidate) for candidate in candidates[i : i + 2]]
                inputs = [*gaps, feature(distance(candidates[i], candidates[i + 1])), 256 * (len(candidates) - 1 - i)]
                if not self.flag(13 + min(i, 2), inputs + votes + [256 * size]):
                    motion = candidates[i]
                    break
        for v in range(y, min(y + height, 2 * found.rows)):
            for u in range(x, min(x + width, 2 * found.columns)):
                here = self.expected(v, u) if motion.follows else motion
                assert here is not None
                found.motions[v, u], found.differences[v, u] = here, differences
                found.depths[v, u], found.own[v, u] = 4 if height * width == 1 else size, int(is_own)

    def own_motion(
        self, places: Sequence[tuple[int, int]], around: list[Motion | None], differences: list[list[int]]
    ) -> Motion:
        mode, times = 0, [self.frame.index - reference for reference in self.frame.references]
        if len(times) == 2:
            signs = [0 if motion is None else (1, -1, 0)[motion.mode] for motion in around[:4]]
            f = -1 if sum(signs[:3]) < 0 else 1
            s = clip(f * self.symbol(0, [256 * abs(s) for s in signs] + [0] * 4), -1, 1)
            mode = {1: 0, -1: 1, 0: 2}[s]
        vectors = []
        for r in range(len(times)):
            vector = [0, 0]
            for c in (0, 1) if mode in (r, 2) else ():
                values = [None if m is None or not m.uses(r) else m.vectors[r][c] for m in around[:3]]
                known = [value for value in values if value is not None]
                prediction = [0, sum(known), sum(known) >> 1, sorted(known)[len(known) // 2] if known else 0][
                    len(known)
                ]
                d0 = differences[0][c] if r == 1 and mode == 2 else 0
                if r == 1 and mode == 2:
                    prediction += sign(d0) * sign(times[1]) * (abs(d0) * abs(times[1]) // times[0])
                before = [
                    self.found.differences[place][r][c] if place in self.found.differences else 0 for place in places
                ]
                inputs = [
                    *(
                        0 if values[a] is None or values[b] is None else feature(abs(values[a] - values[b]))  # type: ignore[operator]
                        for a, b in ((0, 1), (1, 2))
                    ),
                    0 if around[5] is None else feature(abs(prediction - around[5].vectors[r][c])),
                    feature(abs(before[0])),
                    feature(abs(before[1])),
                    feature(abs(differences[r][0]) if c == 1 else 0),
                    feature(abs(d0)),
                    256 if mode == 2 else 0,
                ]
                d = self.symbol(1 + 2 * r + c, inputs)
                differences[r][c] = d
                vector[c] = clip(prediction + d, -self.most, self.most)
            vectors.append((vector[0], vector[1]))
        return Motion(mode, tuple(vectors))


def read_fields(coder: Coder, network: Network, rows: int, columns: int, frames: list[Coded]) -> dict[int, Field]:
    """Section 16: by display index, of the frames that have references."""
    fields: dict[int, Field] = {}
    by_index = {frame.index: frame for frame in frames}
    for frame in frames:
        if not frame.references:
            continue
        with_field = [by_index[index] for index in frame.references if index in fields]
        lending = [(g, g.references.index(r)) for g in with_field for r in frame.references if r in g.references]
        earlier = None
        if with_field:
            g, p = lending[0] if lending else (with_field[0], 0)
            earlier = g, fields[g.index], p
        fields[frame.index] = Field(rows, columns)
        MotionReader(coder, network, fields[frame.index], frame, earlier).read()
    return fields


def levels_of(shifts: tuple[int, int]) -> int:
    return 5 - max(shifts)


def subband_sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Section 11: rows and columns by number."""
    details: list[tuple[int, int]] = []
    for _ in range(levels):
        low_h, high_h, low_w, high_w = -(-height // 2), height // 2, -(-width // 2), width // 2
        details = [(low_h, high_w), (high_h, low_w), (high_h, high_w), *details]
        height, width = low_h, low_w
    return [(height, width), *details]


Symbols = dict[tuple[int, int, int, int], int]
"""By plane, subband, y, x; zeros are left out."""
Sizes = list[list[tuple[int, int]]]


def magnitudes(
    symbols: Symbols, plane: int, band: int, y: int, x: int, size: tuple[int, int] | None = None
) -> list[int]:
    """The cross around a place; with a size nothing outside of it counts."""
    found = []
    for v, u in ((y - 1, x), (y, x - 1), (y, x), (y, x + 1), (y + 1, x)):
        inside = size is None or (0 <= v < size[0] and 0 <= u < size[1])
        found.append(abs(symbols.get((plane, band, v, u), 0)) if inside else 0)
    return found


def subband_inputs(
    symbols: Symbols, references: Sequence[Symbols], sizes: Sizes, plane: int, b: int, y: int, x: int
) -> list[int]:
    """Section 15."""
    size, orientation, nothing = sizes[plane][b], (b - 1) % 3, [0] * 5
    around = [(-2, 0)] + [(-1, dx) for dx in range(-2, 3)] + [(0, -2), (0, -1)]
    taps = [abs(symbols.get((plane, b, y + dy, x + dx), 0)) for dy, dx in around]
    rows, columns = sizes[plane][b - 3] if b > 3 else (0, 0)
    if rows * columns:
        taps += magnitudes(symbols, plane, b - 3, min(y // 2, rows - 1), min(x // 2, columns - 1))
    else:
        taps += nothing
    taps += magnitudes(symbols, plane, b - orientation, y, x, size) if b and orientation > 0 else nothing
    taps += magnitudes(symbols, plane, b - 1, y, x, size)[2:4] if b and orientation > 1 else nothing[:2]
    crosses = [magnitudes(reference, plane, b, y, x, size) for reference in references]
    taps += [sum(cross[i] for cross in crosses) for i in range(5)]
    taps.append(abs(symbols.get((plane - 1, b, y, x), 0)))
    return [feature(tap) for tap in taps]


def sign_inputs(symbols: Symbols, sizes: Sizes, plane: int, b: int, y: int, x: int) -> list[int]:
    """Section 15, signs."""

    def square(band: int, v: int, u: int) -> list[int]:
        return [symbols.get((plane, band, v + dy, u + dx), 0) for dy in range(-1, 2) for dx in range(-1, 2)]

    orientation, nothing = (b - 1) % 3, [0] * 9
    around = [(-3, 0)] + [(-2, dx) for dx in range(-1, 2)] + [(-1, dx) for dx in range(-2, 3)]
    taps = [symbols.get((plane, b, y + dy, x + dx), 0) for dy, dx in [*around, (0, -3), (0, -2), (0, -1)]]
    taps += square(b - orientation, y, x) if b and orientation > 0 else nothing
    taps += square(b - 1, y, x) if b and orientation > 1 else nothing
    rows, columns = sizes[plane][b - 3] if b > 3 else (0, 0)
    for number in range(4):
        is_there = rows * columns and number == 2 * (y % 2) + x % 2
        taps += square(b - 3, min(y // 2, rows - 1), min(x // 2, columns - 1)) if is_there else nothing
    return [clip(tap, -2, 2) for tap in taps]


class SignNetwork:
    """Section 15, signs."""

    def __init__(self) -> None:
        data = (ROOT / "c3video" / "hybrid" / "priors" / "signs.i16").read_bytes()
        numbers = [int.from_bytes(data[i : i + 2], "little", signed=True) for i in range(0, len(data), 2)]
        self.first, self.last = numbers[: 64 * 66], numbers[64 * 66 :]

    def table(self, x: Sequence[int], c: int) -> int:
        seen = [n for n in range(66) if x[n]]
        h = [clip(sum(self.first[66 * o + n] * x[n] for n in seen), -(1 << 10), 1 << 10) for o in range(64)]
        return clip(rs(sum(self.last[64 * c + o] * h[o] for o in range(64)), 18) + 16, 0, 32)


def read_slice(
    coder: Coder, network: Network, sizes: Sizes, frames: list[Coded], of_picture: Symbols | None
) -> dict[int, Symbols]:
    """Section 15: the symbols of a slice, by display index of the frame; those of a picture are known."""
    found: dict[int, Symbols] = {} if of_picture is None else {0: of_picture}
    signs = SignNetwork()
    for frame in frames:
        if frame.index in found:
            continue
        symbols = found[frame.index] = {}
        references = [found[index] for index in frame.references]
        for plane, bands in enumerate(sizes):
            for b, (rows, columns) in enumerate(bands):
                level = len(bands) // 3 - (b - 1) // 3
                symbol_class = (1 + 3 * (level - 1) + (b - 1) % 3 if b else 0) + (16 if plane else 0)
                for y in range(rows):
                    for x in range(columns):
                        inputs = subband_inputs(symbols, references, sizes, plane, b, y, x)
                        magnitude = coder.magnitude(network.tables(inputs, symbol_class, frame.depth))
                        if magnitude:
                            symbols[plane, b, y, x] = min(magnitude, 1 << 15)
                for y in range(rows):
                    for x in range(columns):
                        if (plane, b, y, x) in symbols:
                            i = signs.table(sign_inputs(symbols, sizes, plane, b, y, x), symbol_class)
                            if coder.symbol((i, 16)):
                                symbols[plane, b, y, x] *= -1
    return found


def lift(m: int, x: int) -> int:
    return (m * x + 2048) >> 12


def joined(low: list[int], high: list[int]) -> list[int]:
    """Section 11."""
    if not high:
        return low
    a, d = list(low), list(high)

    def a_at(i: int) -> int:
        return a[clip(i, 0, len(a) - 1)]

    def d_at(i: int) -> int:
        return d[clip(i, 0, len(d) - 1)]

    a = [a[i] - lift(1817, d_at(i - 1) + d_at(i)) for i in range(len(a))]
    d = [d[i] - lift(3616, a_at(i) + a_at(i + 1)) for i in range(len(d))]
    a = [a[i] - lift(-217, d_at(i - 1) + d_at(i)) for i in range(len(a))]
    d = [d[i] - lift(-6497, a_at(i) + a_at(i + 1)) for i in range(len(d))]
    out = [0] * (len(a) + len(d))
    out[0::2], out[1::2] = a, d
    return [clip(value, -(1 << 17), 1 << 17) for value in out]


def split(values: list[int]) -> tuple[list[int], list[int]]:
    """Section 17, symbols of a picture."""
    if len(values) < 2:
        return values, []
    a, d = values[0::2], values[1::2]

    def a_at(i: int) -> int:
        return a[clip(i, 0, len(a) - 1)]

    def d_at(i: int) -> int:
        return d[clip(i, 0, len(d) - 1)]

    d = [d[i] + lift(-6497, a_at(i) + a_at(i + 1)) for i in range(len(d))]
    a = [a[i] + lift(-217, d_at(i - 1) + d_at(i)) for i in range(len(a))]
    d = [d[i] + lift(3616, a_at(i) + a_at(i + 1)) for i in range(len(d))]
    a = [a[i] + lift(1817, d_at(i - 1) + d_at(i)) for i in range(len(a))]
    low, high = ([clip(value, -(1 << 16), 1 << 16) for value in half] for half in (a, d))
    return low, high


def transposed(plane: Plane, columns: int) -> Plane:
    return [[row[x] for row in plane] for x in range(columns)]


def along_columns(low: Plane, high: Plane, columns: int) -> Plane:
    pairs = zip(transposed(low, columns), transposed(high, columns), strict=True)
    rows = len(low) + len(high)
    return transposed([joined(a, d) for a, d in pairs], rows)


def residual_of(symbols: Symbols, plane: int, sizes: list[tuple[int, int]], step_index: int, plane_norm: int) -> Plane:
    """Section 11."""
    levels, bands = len(sizes) // 3, []
    for b, ((rows, columns), step) in enumerate(zip(sizes, band_steps(sizes, step_index, plane_norm), strict=True)):

        def coefficient(s: int, step: int = step) -> int:
            return sign(s) * clip(((16 * abs(s) - 1) * step) >> 4, 0, 1 << 17) if s else 0

        bands.append([[coefficient(symbols.get((plane, b, y, x), 0)) for x in range(columns)] for y in range(rows)])
    result = bands[0]
    for level in range(levels):
        hl, lh, hh = bands[1 + 3 * level : 4 + 3 * level]
        (_, low_columns), (_, high_columns) = sizes[2 + 3 * level], sizes[1 + 3 * level]
        left, right = along_columns(result, lh, low_columns), along_columns(hl, hh, high_columns)
        result = [joined(a, d) for a, d in zip(left, right, strict=True)] if high_columns else left
    return result


def picture_symbols(plane: Plane, p: int, sizes: list[tuple[int, int]], steps: list[int], bits: int) -> Symbols:
    """Section 17, symbols of a picture: those of one plane."""
    found: Symbols = {}
    ll = [[(sample - (1 << (bits - 1))) << (14 - bits) for sample in row] for row in plane]
    levels = len(sizes) // 3

    def add(band: int, values: Plane) -> None:
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                if abs(value) >= steps[band]:
                    found[p, band, y, x] = sign(value) * (abs(value) // steps[band])

    for level in range(levels - 1, -1, -1):
        pairs = [split(row) for row in ll]
        low, high = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        halves = []
        for half, columns in ((low, sizes[2 + 3 * level][1]), (high, sizes[1 + 3 * level][1])):
            split_columns = [split(column) for column in transposed(half, columns)]
            num_low, num_high = sizes[1 + 3 * level][0], sizes[2 + 3 * level][0]
            halves.append(transposed([pair[0] for pair in split_columns], num_low))
            halves.append(transposed([pair[1] for pair in split_columns], num_high))
        ll, lh, hl, hh = halves
        for band, values in ((1, hl), (2, lh), (3, hh)):
            add(band + 3 * level, values)
    add(0, ll)
    return found


def index_of(of_frame: int, p: int, chroma_offset: int) -> int:
    """Section 11."""
    return max(0, of_frame - chroma_offset) if p else of_frame


def band_steps(sizes: list[tuple[int, int]], step_index: int, plane_norm: int) -> list[int]:
    """Section 11."""
    levels, step_of_index = len(sizes) // 3, STEPS[step_index % 8] * 2 ** (step_index // 8)
    names = [(levels - (b - 1) // 3, 1 + (b - 1) % 3) if b else (levels, 0) for b in range(len(sizes))]
    return [max(1, (step_of_index * 256 // plane_norm) * 256 // NORMS[level][name]) for level, name in names]


def coded_of(planes: list[Plane], bits: int) -> list[Plane]:
    """Section 11: Y, Cg and Co of G, B and R."""
    middle = 1 << (bits - 1)

    def pixel(g: int, b: int, r: int) -> list[int]:
        return [r + 2 * g + b, 2 * g - r - b + middle, 2 * (r - b) + middle]

    pixels = [[pixel(*samples) for samples in zip(*rows, strict=True)] for rows in zip(*planes, strict=True)]
    return [[[samples[plane] for samples in row] for row in pixels] for plane in range(3)]


def rgb_of(planes: list[Plane], bits: int) -> list[Plane]:
    """Section 11: G, B and R."""

    def pixel(luma: int, green: int, orange: int) -> list[int]:
        y, g, o = luma + 2, green - (1 << (bits - 1)), orange - (1 << (bits - 1))
        return [clip(value >> 2, 0, (1 << (bits - 2)) - 1) for value in (y + g, y - g - o, y - g + o)]

    pixels = [[pixel(*samples) for samples in zip(*rows, strict=True)] for rows in zip(*planes, strict=True)]
    return [[[samples[plane] for samples in row] for row in pixels] for plane in range(3)]


def moved(reference: Plane, y: int, x: int, vector: Sequence[int], shifts: tuple[int, int], bits: int) -> int:
    """Section 12, interpolation."""
    height, width = len(reference), len(reference[0])
    ey, ex = vector[0] * (2 >> shifts[0]), vector[1] * (2 >> shifts[1])

    def c(v: int, u: int) -> int:
        return reference[clip(v, 0, height - 1)][clip(u, 0, width - 1)] - (1 << (bits - 1))

    t = [
        sum(TAPS[ex & 7][j] * c(y + (ey >> 3) - 3 + i, x + (ex >> 3) - 3 + j) for j in range(8)) >> (bits - 8)
        for i in range(8)
    ]
    return (sum(TAPS[ey & 7][i] * t[i] for i in range(8)) + 32) >> 6


def rising(place: int, side: int) -> int:
    """Section 12, overlap."""
    first = side // 4
    return 0 if place < first else 64 if place >= first + side // 2 else WINDOWS[side // 2][place - first]


def predicted(
    references: list[Plane],
    found: Field,
    grid: tuple[int, int],
    size: tuple[int, int],
    block: int,
    v: int,
    h: int,
    b: int,
) -> Plane:
    """Section 12, overlap."""

    def overlap(at: int, side: int, count: int) -> list[tuple[int, int]]:
        place = at + side // 2
        before, rise = place // side - 1, rising(place % side, side)
        return [(clip(before, 0, count - 1), 64 - rise), (clip(before + 1, 0, count - 1), rise)]

    def quarter(i: int, j: int, y: int, x: int) -> int:
        motion = found.motions[i, j]
        vectors = [(found.unit * up, found.unit * left) for up, left in motion.vectors]
        m = [moved(references[r], y, x, vectors[r], (v, h), b) for r in range(len(references)) if motion.uses(r)]
        return m[0] if len(m) == 1 else (m[0] + m[1] + 1) >> 1

    def of_block(i: int, j: int, y: int, x: int) -> int:
        if found.splits[i, j] == 0:
            return quarter(2 * i, 2 * j, y, x)
        lower, right = rising(y - i * (block >> v), block >> v), rising(x - j * (block >> h), block >> h)
        total = 0
        for k, row_weight in ((0, 64 - lower), (1, lower)):
            for n, column_weight in ((0, 64 - right), (1, right)):
                total += row_weight * column_weight * quarter(2 * i + k, 2 * j + n, y, x)
        return (total + 2048) >> 12

    plane = []
    for y in range(size[0]):
        row = []
        for x in range(size[1]):
            total = 0
            for block_y, row_weight in overlap(y, block >> v, grid[0]):
                for block_x, column_weight in overlap(x, block >> h, grid[1]):
                    total += row_weight * column_weight * of_block(block_y, block_x, y, x)
            row.append((total + 2048) >> 12)
        plane.append(row)
    return plane


def decode(
    blob: bytes,
    num_frames: int,
    planes: list[tuple[tuple[int, int], tuple[int, int]]],
    bit_depth: int,
    num_slices: int,
    is_rgb: bool = False,
    picture_planes: Callable[[bytes], list[Plane]] | None = None,
) -> list[list[Plane]]:
    """Section 17: planes of each frame in display order.

    Args:
        picture_planes: decodes a picture of the pyramid model.
        planes: rows and columns of each plane, and its (v, h) of section 11.
        bit_depth: of the samples of the video.
    """
    bit_depth += 2 if is_rgb else 0
    at = 0

    def byte() -> int:
        nonlocal at
        at += 1
        return blob[at - 1]

    def varint() -> int:
        value = shift = 0
        while True:
            part = byte()
            value |= (part & 127) << shift
            shift += 7
            if part < 128:
                return value

    gop = byte()
    frames = order(num_frames, gop)
    first_steps = [byte() for _ in range(1 + max(frame.depth for frame in frames))]
    chroma_offset = byte()
    picture: list[Plane] | None = None
    if byte() == 1:
        assert picture_planes is not None
        size = varint()
        picture = picture_planes(blob[at : at + size])
        picture = coded_of(picture, bit_depth) if is_rgb else picture
        at += size
    codes: dict[str, tuple[int, list[int]] | None] = {}
    for name in SHAPES:
        codes[name] = (byte(), [byte() for _ in range(7)]) if byte() == 1 else None
    payloads = []
    for _ in range(1 + num_slices):
        size = varint()
        payloads.append(blob[at : at + size])
        at += size
    assert at == len(blob)

    coder = Coder(payloads[0])
    networks = {}
    for name, code in codes.items():
        networks[name] = prior(name)
        for index, array in enumerate(networks[name].arrays if code else ()):
            shift, scales = code  # type: ignore[misc]
            residuals = coder.batch(scales[index], len(array))
            networks[name].arrays[index] = [old + (r << shift) for old, r in zip(array, residuals, strict=True)]
    changes = iter(coder.batch(24, len(frames) - len(first_steps)) if len(frames) > len(first_steps) else [])
    step_of_depth: dict[int, int] = {}
    steps: dict[int, int] = {}
    for frame in frames:
        is_first = frame.depth not in step_of_depth
        index = first_steps[frame.depth] if is_first else step_of_depth[frame.depth] + next(changes)
        assert 0 <= index <= 85
        steps[frame.index] = step_of_depth[frame.depth] = index
    with_subbands = frames[1:] if picture is not None else frames
    changes = iter(coder.batch(20, len(with_subbands) * len(planes)) if with_subbands else [])
    of_depth: dict[int, list[int]] = {}
    numbers: dict[int, list[int]] = {}
    for frame in with_subbands:
        before = of_depth.get(frame.depth, [0] * len(planes))
        numbers[frame.index] = of_depth[frame.depth] = [number + next(changes) for number in before]
    (height, width), _ = planes[0]
    grid = -(-height // 16), -(-width // 16)
    fields = read_fields(coder, networks["motion"], *grid, frames)
    assert coder.is_done()

    sizes = [subband_sizes(*size, levels_of(shifts)) for size, shifts in planes]
    symbols: dict[int, Symbols] = {frame.index: {} for frame in frames}
    of_picture: Symbols = {}
    for p, plane in enumerate(picture or []):
        of_plane = band_steps(sizes[p], index_of(steps[0], p, chroma_offset), RGB_NORMS[p] if is_rgb else 256)
        of_picture |= picture_symbols(plane, p, sizes[p], of_plane, bit_depth)
    for s, payload in enumerate(payloads[1:]):
        coder = Coder(payload)
        edges = [[(s * rows // num_slices, (s + 1) * rows // num_slices) for rows, _ in bands] for bands in sizes]
        cut = [
            [(last - first, columns) for (first, last), (_, columns) in zip(*pair, strict=True)]
            for pair in zip(edges, sizes, strict=True)
        ]
        known = {
            (p, b, y - edges[p][b][0], x): value
            for (p, b, y, x), value in of_picture.items()
            if edges[p][b][0] <= y < edges[p][b][1]
        }
        for index, found in read_slice(coder, networks["subbands"], cut, frames, known if picture else None).items():
            symbols[index] |= {(p, b, y + edges[p][b][0], x): value for (p, b, y, x), value in found.items()}
        assert coder.is_done()

    decoded: dict[int, list[Plane]] = {}
    for frame in frames:
        if frame.index == 0 and picture is not None:
            decoded[0] = picture
            continue
        decoded[frame.index] = []
        for p, (size, (v, h)) in enumerate(planes):
            q = index_of(steps[frame.index], p, chroma_offset)
            residual: Any = residual_of(symbols[frame.index], p, sizes[p], q, RGB_NORMS[p] if is_rgb else 256)
            prediction = [[0] * size[1] for _ in range(size[0])]
            if frame.references:
                references = [decoded[index][p] for index in frame.references]
                prediction = predicted(references, fields[frame.index], grid, size, 16, v, h, bit_depth)
            half = 1 << (bit_depth - 1)
            found = [
                [
                    clip(((a + r + (1 << (13 - bit_depth))) >> (14 - bit_depth)) + half, 0, (1 << bit_depth) - 1)
                    for a, r in zip(*rows, strict=True)
                ]
                for rows in zip(prediction, residual, strict=True)
            ]
            number = numbers[frame.index][p]
            if number:
                step = STEPS[q % 8] * 2 ** (q // 8) * 256 // (RGB_NORMS[p] if is_rgb else 256)
                found = filtered(found, filters()[number - 1 if p == 0 else number + 2], step, bit_depth)
            decoded[frame.index].append(found)
    frames_shown = [decoded[index] for index in range(num_frames)]
    return [rgb_of(planes, bit_depth) for planes in frames_shown] if is_rgb else frames_shown
