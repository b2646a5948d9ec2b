# SPDX-License-Identifier: MIT
"""A decoder of the pyramid model written from docs/c3v_pyramid.md alone, in plain Python: slow, and no relation.

Sections are named where they are followed. What the document takes from docs/c3v.md is in document_decoder.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from tests.document_decoder import DECAYS, RADII, ROOT, Coder, clip, rs, sat, table_rows

DOCUMENT = (ROOT / "docs" / "c3v_pyramid.md").read_text()
Grid = list[list[int]]

(PREVIOUS_TAPS,) = (
    [(int(dy), int(dx)) for dy, dx in re.findall(r"\((-?\d), (-?\d)\)", row)]
    for row in re.findall(r"^    (\(0, 0\) .*)$", DOCUMENT, flags=re.M)
)
TAPS = [row for row in table_rows(DOCUMENT) if len(row) == 2]
(ZERO_KERNEL,) = (
    [int(x) for x in row.split()] for row in re.findall(r"^    (-?\d+(?: -?\d+){3})$", DOCUMENT, flags=re.M)
)


class Damage(Exception):
    """The bytes are not those of a picture."""


@dataclass(frozen=True)
class Config:
    """Section 1.1."""

    num_grids: int
    num_taps: int
    entropy_layers: tuple[int, ...]
    synthesis_width: int
    refine_width: int
    filter_reach: int
    patch_size: int
    num_previous: int = 0
    num_hyper: int = 0

    @property
    def levels(self) -> list[int]:
        """Of the grids, then of the hyper grids: k of a grid, for a hyper grid that of its peer."""
        return [*range(self.num_grids), *range(self.num_grids - self.num_hyper, self.num_grids)]


def group_sizes(config: Config, pixels: str) -> list[tuple[int, int]]:
    """Section 1.2: (C, Z) of each group."""
    n = config.num_grids
    return {"gray": [(1, n)], "420": [(1, n), (2, n)], "422": [(1, n), (2, n + 1)]}.get(pixels, [(3, n)])


def array_shapes(config: Config, pixels: str) -> list[tuple[str, tuple[int, ...]]]:
    """Section 1.4, in order."""
    widths, n = config.entropy_layers, config.num_taps + 7
    shapes: list[tuple[str, tuple[int, ...]]] = [("w1", (widths[0], n)), ("b1", (config.num_grids, widths[0]))]
    if len(widths) == 2:
        shapes += [("w2", (widths[1], widths[0])), ("b2", (widths[1],))]
    shapes += [("w3", (2, widths[-1])), ("b3", (2,)), ("l", (2, n))]
    if config.num_previous:
        shapes += [("p1", (widths[0], config.num_previous)), ("pb", (config.num_grids, widths[0]))]
        shapes += [("pl", (2, config.num_previous)), ("p3", (2,))]
    if config.num_hyper:
        shapes += [("h1", (widths[0], config.num_hyper)), ("hl", (2, config.num_hyper))]
        shapes.append(("hb", (config.num_hyper, widths[0])))
    if config.num_grids > 1:
        shapes.append(("u", (config.num_grids - 1, 4)))
    if config.filter_reach:
        shapes.append(("f", (config.num_grids, config.filter_reach + 1)))
    s, e = config.synthesis_width, config.refine_width
    for group, (c, z) in enumerate(group_sizes(config, pixels)):
        arrays = [("v1", (s, z)), ("c1", (s,)), ("v2", (c, s)), ("c2", (c,)), ("m", (c, z))]
        if e:
            arrays += [("r1", (e, 9 * c)), ("d1", (e,)), ("r2", (c, e)), ("d2", (c,))]
        shapes += [(f"{name}{group}", shape) for name, shape in arrays]
    return shapes


@cache
def bounds(j: int, f: int) -> list[int]:
    """Section 5 of c3v.md."""
    radius, decays = RADII[j], [1 << 62]
    for _ in range(16 * radius + 16):
        decays.append((decays[-1] * DECAYS[j]) >> 62)

    def below(k: int) -> int:
        return decays[-k] >> 1 if k < 0 else (1 << 62) - (decays[k] >> 1)

    spread = (1 << 24) - 256 * (2 * radius + 3)
    inner = [256 * i + ((below(16 * (i - 1 - radius) - 8 - f) * spread) >> 62) for i in range(1, 2 * radius + 3)]
    return [0, *inner, 1 << 24]


def read_batch(coder: Coder, tables: Sequence[tuple[int, int]]) -> list[int]:
    """Section 6 of c3v.md."""
    residuals = [coder.slot(bounds(j, f)) - RADII[j] - 1 for j, f in tables]
    return [coder.escaped(residual, RADII[j]) for residual, (j, _) in zip(residuals, tables, strict=True)]


def read_number(coder: Coder, j: int, origin: int, low: int, high: int) -> int:
    value = origin + read_batch(coder, [(j, 0)])[0]
    if not low <= value <= high:
        raise Damage(f"{value} not in {low}..{high}")
    return value


def rows_of(values: list[int], shape: tuple[int, ...]) -> Grid:
    """An array as rows; one of a single axis as one row."""
    width = shape[-1]
    return [values[i : i + width] for i in range(0, len(values), width)]


Weights = dict[str, Grid]


@dataclass(frozen=True)
class Prior:
    """Section 1.5: of each array the weights, steps, spreads, and the basis where there is one."""

    weights: dict[str, list[int]]
    steps: dict[str, list[int]]
    spreads: dict[str, list[int]]
    bases: dict[str, Grid]


def read_prior(number: int, config: Config, pixels: str) -> Prior:
    """Section 1.5. The arrays of a file are those of pictures."""
    shapes = array_shapes(replace(config, num_previous=0), pixels)
    sizes = {name: math.prod(shape) for name, shape in array_shapes(config, pixels)}
    zeros = {name: [0] * size for name, size in sizes.items()}
    if number == 0:
        weights = dict(zeros)
        if "u" in sizes:
            weights["u"] = ZERO_KERNEL * (config.num_grids - 1)
        if "f" in sizes:
            weights["f"] = [256, *[0] * config.filter_reach] * config.num_grids
        return Prior(weights, zeros, zeros, {})
    path = ROOT / "c3video" / "pyramid" / "prior_files" / f"{number}.i16"
    if not path.exists():
        raise Damage("prior")
    data = path.read_bytes()
    widths = (config.synthesis_width, config.refine_width, config.filter_reach, config.num_hyper)
    layout = {"gray": 1, "420": 2, "422": 3, "444": 4, "rgb": 5}[pixels]
    layers = config.entropy_layers
    head = b"C3P5" + bytes([layout, config.num_grids, config.num_taps, len(layers), *layers, *widths])
    if data[: len(head)] != head:
        raise Damage("prior of others")
    at = len(head)

    def integers(count: int, width: int) -> list[int]:
        nonlocal at
        at += count * width
        pieces = [data[i : i + width] for i in range(at - count * width, at, width)]
        return [int.from_bytes(piece, "little", signed=True) for piece in pieces]

    flags = integers(len(shapes), 1)
    weights, steps, spreads = (
        zeros | {name: integers(sizes[name], width) for name, _ in shapes} for width in (2, 1, 1)
    )
    bases = {
        name: rows_of(integers(shape[-1] ** 2, 2), shape)
        for (name, shape), flag in zip(shapes, flags, strict=True)
        if flag
    }
    assert at == len(data) - 4
    return Prior(weights, steps, spreads, bases)


def changed(prior: Prior, name: str, code: int, residuals: list[int]) -> list[int]:
    """Section 2: an array's weights."""
    shifts = [clip(code - 1 + step, 0, 14) for step in prior.steps[name]]
    moves = [residual << shift for residual, shift in zip(residuals, shifts, strict=True)]
    basis = prior.bases.get(name)
    if basis:
        if max(map(abs, moves)) > 32767:
            raise Damage(name)
        rows = [moves[i : i + len(basis)] for i in range(0, len(moves), len(basis))]
        moves = [rs(dot([b[n] for b in basis], row), 12) for row in rows for n in range(len(basis))]
    return [value + move for value, move in zip(prior.weights[name], moves, strict=True)]


def read_weights(coder: Coder, config: Config, pixels: str, number: int) -> Weights:
    """Sections 2 and 1.4."""
    prior = read_prior(number, config, pixels)
    gains = [read_number(coder, 20, 64, 1, 255) for _ in range(config.num_grids)]
    weights: Weights = {}
    differ = read_number(coder, 20, 1, 0, 1)
    for name, shape in array_shapes(config, pixels):
        values = prior.weights[name]
        code = read_number(coder, 34, 7, 0, 11) if differ else 0
        if code:
            j = read_number(coder, 42, 44, 0, 63)
            tables = [(clip(j + spread, 0, 63), 0) for spread in prior.spreads[name]]
            values = changed(prior, name, code, read_batch(coder, tables))
        if max(map(abs, values)) > 32767:
            raise Damage(name)
        weights[name] = rows_of(values, shape)
    for group, (_, z) in enumerate(group_sizes(config, pixels)):
        first = 1 if group == 1 and pixels == "420" else 0
        for name in (f"v1{group}", f"m{group}"):
            for row in weights[name]:
                for column in range(min(z, config.num_grids - first)):
                    row[column] = clip(rs(row[column] * gains[first + column], 6), -32767, 32767)
    check(entropy_weights(weights, config, is_later=False), config, pixels)
    if config.num_previous:
        check(entropy_weights(weights, config, is_later=True), config, pixels)
    return weights


def entropy_weights(weights: Weights, config: Config, is_later: bool) -> Weights:
    """Sections 4 and 7: w1 and l with a column for each input; b1 with a row for each grid, then each hyper grid."""
    found, taps = dict(weights), config.num_taps
    if config.num_hyper:
        found |= {"w1": beside(weights["w1"], weights["h1"]), "l": beside(weights["l"], weights["hl"])}
        found["b1"] = weights["b1"] + weights["hb"]
    if is_later:
        for name, added in (("w1", "p1"), ("l", "pl")):
            columns = beside([row[:taps] for row in found[name]], weights[added])
            found[name] = beside(columns, [row[taps:] for row in found[name]])
        found["b1"] = summed(found["b1"], [weights["pb"][k] for k in config.levels])
        found["b3"] = summed(weights["b3"], weights["p3"])
    return found


def beside(left: Grid, right: Grid) -> Grid:
    return [row + more for row, more in zip(left, right, strict=True)]


def summed(rows: Grid, others: Grid) -> Grid:
    return [[a + b for a, b in zip(row, other, strict=True)] for row, other in zip(rows, others, strict=True)]


def check(weights: Weights, config: Config, pixels: str) -> None:
    """Section 1.4, of what `entropy_weights` gives."""

    def bound(name: str, a: int, half: int, bias: str | None = None, factor: int = 1) -> None:
        for o, row in enumerate(weights[name]):
            b = max(abs(biases[o]) for biases in weights[bias]) * factor if bias else 0
            if sum(map(abs, row)) * a + b + half >= 1 << 31:
                raise Damage(f"sums of {name}")

    bound("w1", 8191, 8, "b1")
    if "w2" in weights:
        bound("w2", 32767, 2048, "b2", 256)
    bound("w3", 32767, 128)
    bound("l", 8191, (1 << 23) + 256, "b3")
    if "u" in weights:
        bound("u", 32768, 128)
    for row in weights.get("f", []):
        if sum(abs(tap) * (1 if t == 0 else 2) for t, tap in enumerate(row)) * 32768 + 128 >= 1 << 31:
            raise Damage("sums of f")
    for g in range(len(group_sizes(config, pixels))):
        bound(f"v1{g}", 32768, 512, f"c1{g}", 128)
        bound(f"v2{g}", 32767, 256, f"c2{g}", 512)
        bound(f"m{g}", 32768, 256)
        if config.refine_width:
            bound(f"r1{g}", 32768, 2048, f"d1{g}", 4096)
            bound(f"r2{g}", 32767, 2048, f"d2{g}", 4096)


def dot(row: Sequence[int], values: Sequence[int]) -> int:
    total = sum(w * v for w, v in zip(row, values, strict=True))
    assert -(1 << 31) <= total < 1 << 31
    return total


def relu(value: int) -> int:
    return max(value, 0)


def at(grid: Grid | None, y: int, x: int) -> int:
    """Section 3: a latent as contexts read it."""
    if grid is None or not (0 <= y < len(grid) and 0 <= x < len(grid[0])):
        return 0
    return clip(grid[y][x], -8191, 8191)


def table_of(context: list[int], biases: list[int], weights: Weights) -> tuple[int, int, int]:
    """Section 4: t, j, f."""
    h = [relu(sat(rs(dot(row, context) + b, 4))) for row, b in zip(weights["w1"], biases, strict=True)]
    if "w2" in weights:
        pairs = zip(weights["w2"], weights["b2"][0], strict=True)
        h = [relu(sat(rs(dot(row, h) + b * 256, 12))) for row, b in pairs]
    out = [rs(dot(weights["w3"][o], h), 8) + dot(weights["l"][o], context) + weights["b3"][0][o] for o in (0, 1)]
    s = clip(rs(out[0], 8), -65536, 65536)
    t = (s + 8) >> 4
    return t, clip(24 + rs(out[1], 9), 0, 63), s - 16 * t


@dataclass(frozen=True)
class Before:
    """Section 7: of a later latent frame, the part of the one before it (None: zero) and the grid's window."""

    part: Grid | None
    window: tuple[int, int]


def read_part(
    coder: Coder,
    shape: tuple[int, int],
    above: list[Grid | None],
    hyper: list[Grid | None],
    config: Config,
    weights: Weights,
    biases: list[int],
    before: Before | None,
) -> Grid:
    """Sections 3 and 7: a patch's part of grid k, or of a hyper grid.

    Args:
        above: the parts of grids k + 1 and k + 2, or of the next two hyper grids.
        hyper: E_k of each hyper grid (None: zero).
    """
    h, w = shape
    taps = TAPS[: config.num_taps]
    a = 1 + max(dx for dy, dx in taps if dy == -1)
    part: Grid = [[0] * w for _ in range(h)]
    for wave in range(w + a * (h - 1)):
        places = [(y, wave - a * y) for y in range(h) if 0 <= wave - a * y < w]
        found = []
        for y, x in places:
            sy, sx, py, px = (1 if y % 2 else -1), (1 if x % 2 else -1), y >> 1, x >> 1
            parents = ((py, px), (py + sy, px), (py, px + sx), (py + sy, px + sx), (py - sy, px), (py, px - sx))
            context = [at(part, y + dy, x + dx) for dy, dx in taps]
            if before:
                q, r = before.window
                previous = PREVIOUS_TAPS[: config.num_previous]
                context += [at(before.part, y + q + dy, x + r + dx) for dy, dx in previous]
            context += [at(above[0], *place) for place in parents]
            context.append(at(above[1], y >> 2, x >> 2))
            context += [plane[y][x] if plane else 0 for plane in hyper]
            found.append(table_of(context, biases, weights))
        residuals = read_batch(coder, [(j, f) for _, j, f in found])
        for (y, x), (t, _, _), residual in zip(places, found, residuals, strict=True):
            part[y][x] = clip(t + residual, -32767, 32767)
    return part


def finer(coarse: Grid, shape: tuple[int, int]) -> Grid:
    """Section 3: E_k from E_(k+1), which is zero outside of its part."""

    def e(y: int, x: int) -> int:
        return coarse[y][x] if 0 <= y < len(coarse) and 0 <= x < len(coarse[0]) else 0

    plane: Grid = [[0] * shape[1] for _ in range(shape[0])]
    for y, row in enumerate(plane):
        for x in range(len(row)):
            sy, sx, py, px = (1 if y % 2 else -1), (1 if x % 2 else -1), y >> 1, x >> 1
            row[x] = rs(9 * e(py, px) + 3 * e(py + sy, px) + 3 * e(py, px + sx) + e(py + sy, px + sx), 4)
    return plane


def read_latent_frame(
    coder: Coder,
    shapes: list[tuple[int, int]],
    config: Config,
    weights: Weights,
    before: list[Before | None],
) -> list[Grid]:
    """Sections 2 and 7: a patch's parts of all grids, then of all hyper grids, of one latent frame or of a picture.

    Args:
        shapes, before: of each of these parts.
        weights: as `entropy_weights` gives them.
    """
    n, total = config.num_grids, len(shapes)
    parts: list[Grid] = [[] for _ in shapes]
    hyper: list[Grid | None] = [None] * config.num_hyper
    for number in range(total - 1, -1, -1):  # hyper grids from the last to the first, then grids from the coarsest on
        end = n if number < n else total
        above = [parts[other] if other < end else None for other in (number + 1, number + 2)]
        if number < n:
            for i, plane in enumerate(hyper):
                if n - config.num_hyper + i == number:
                    hyper[i] = [[16 * clip(latent, -127, 127) for latent in row] for row in parts[n + i]]
                elif plane is not None:
                    hyper[i] = finer(plane, shapes[number])
        biases = weights["b1"][number]
        parts[number] = read_part(coder, shapes[number], above, hyper, config, weights, biases, before[number])
    return parts


def halves(n: int, k: int) -> int:
    return (n + (1 << k) - 1) >> k


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """Section 2 of c3v.md."""
    value, shift = 0, 0
    while True:
        if start >= len(data) or shift > 56:
            raise Damage("varint")
        byte = data[start]
        value, shift, start = value + ((byte & 127) << shift), shift + 7, start + 1
        if byte < 128:
            if byte == 0 and shift > 7:
                raise Damage("varint")
            return value, start


def open_payload(payload: bytes) -> Coder:
    if len(payload) % 4 or payload[-4:] == bytes(4):
        raise Damage("payload")
    return Coder(payload)


def decode(data: bytes, config: Config, pixels: str, height: int, width: int) -> tuple[Weights, list[Grid]]:
    """Section 2: weights and grids, hyper grids behind them."""
    config = replace(config, num_previous=0)
    weights, frames = decode_frames(data, config, pixels, height, width, 1)
    return weights, frames[0]


def read_head(coder: Coder, config: Config) -> tuple[list[int], list[tuple[int, int]]]:
    """Section 7: the spans' exponents and the windows."""
    spans: list[int] = []
    for _ in range(1 + read_number(coder, 20, 0, 0, 3)):
        spans.append(read_number(coder, 20, 0, 0, spans[-1] - 1 if spans else 6))
    windows = []
    for _ in range(config.num_grids):
        q = read_number(coder, 20, 0, -31, 31)
        windows.append((q, read_number(coder, 20, 0, -31, 31)))
    return spans, windows


def decode_frames(
    data: bytes, config: Config, pixels: str, height: int, width: int, num_frames: int
) -> tuple[Weights, list[list[Grid]]]:
    """Sections 2 and 7: weights, and of each frame the grids, hyper grids behind them.

    A picture is a run of one frame and nothing before it.
    """
    if not data:
        raise Damage("prior")
    size, levels = config.patch_size, config.levels
    corners = [(top, left) for top in range(0, height, size) for left in range(0, width, size)]
    payloads, start = [], 1
    for _ in corners[1:]:
        length, start = read_varint(data, start)
        if start + length > len(data):
            raise Damage("size of a payload")
        payloads.append(data[start : start + length])
        start += length
    payloads.append(data[start:])
    weights: Weights = {}
    first: Weights = {}
    later: Weights = {}
    spans, windows = [0], [(0, 0)] * config.num_grids
    empty = [(halves(height, k), halves(width, k)) for k in levels]
    frames = [[[[0] * w for _ in range(h)] for h, w in empty] for _ in range(num_frames)]
    for index, ((top, left), payload) in enumerate(zip(corners, payloads, strict=True)):
        coder = open_payload(payload)
        if index == 0:
            if config.num_previous:
                spans, windows = read_head(coder, config)
            weights = read_weights(coder, config, pixels, data[0])
            first = entropy_weights(weights, config, is_later=False)
            later = entropy_weights(weights, config, is_later=True) if config.num_previous else {}
        shapes = []
        for k in levels:
            h = min((top + size) >> k, halves(height, k)) - (top >> k)
            shapes.append((h, min((left + size) >> k, halves(width, k)) - (left >> k)))
        newest: dict[int, list[Grid]] = {}
        for t in range(num_frames):
            for layer, s in enumerate(spans):
                if t % (1 << s) == 0:
                    is_later = t > 0 or layer > 0
                    before: list[Before | None] = [None] * len(levels)
                    if is_later:
                        old = newest.get(layer, [None] * len(levels))
                        before = [Before(part, windows[k]) for part, k in zip(old, levels, strict=True)]
                    these = later if is_later else first
                    newest[layer] = read_latent_frame(coder, shapes, config, these, before)
                for k, grid, part in zip(levels, frames[t], newest[layer], strict=True):
                    for row, values in zip(grid[top >> k :], part, strict=False):
                        for x, value in enumerate(values):
                            row[(left >> k) + x] += value
        if not coder.is_done():
            raise Damage("end of a payload")
    clipped = [[[[clip(v, -32767, 32767) for v in row] for row in grid] for grid in grids] for grids in frames]
    return weights, clipped


def upsample_line(values: list[int], u: list[int], size: int) -> list[int]:
    """Section 5."""

    def value(i: int) -> int:
        return values[clip(i, 0, len(values) - 1)]

    out = []
    for place in range(size):
        i = place // 2
        near = [value(i - 2 + place % 2 + tap) for tap in range(4)]
        out.append(sat(rs(dot(u[::-1] if place % 2 else u, near), 8)))
    return out


def transposed(plane: Grid) -> Grid:
    return [list(column) for column in zip(*plane, strict=True)]


def filter_line(line: list[int], taps: list[int]) -> list[int]:
    """Section 5: one line under a filter."""
    last = len(line) - 1
    out = []
    for i, middle in enumerate(line):
        total = taps[0] * middle
        for t, tap in enumerate(taps[1:], 1):
            total += tap * (line[max(i - t, 0)] + line[min(i + t, last)])
        out.append(sat(rs(total, 8)))
    return out


def levels_of(grids: list[Grid], weights: Weights) -> list[list[Grid]]:
    """Section 5: the planes of each level."""
    levels: list[list[Grid]] = []
    for k in range(len(grids) - 1, -1, -1):
        h, w = len(grids[k]), len(grids[k][0])
        own = [[sat(latent << (8 - k // 2)) for latent in row] for row in grids[k]]
        if "f" in weights:
            wide = [filter_line(row, weights["f"][k]) for row in own]
            own = transposed([filter_line(column, weights["f"][k]) for column in transposed(wide)])
        planes = [own]
        for plane in levels[0] if levels else []:
            wide = [upsample_line(row, weights["u"][k], w) for row in plane]
            planes.append(transposed([upsample_line(column, weights["u"][k], h) for column in transposed(wide)]))
        levels.insert(0, planes)
    return levels


def mean(plane: Grid, y: int, x: int, rows: int, columns: int) -> int:
    """Section 6: of rows x columns samples, the last row or column repeated."""
    ys = [min(rows * y + i, len(plane) - 1) for i in range(rows)]
    xs = [min(columns * x + i, len(plane[0]) - 1) for i in range(columns)]
    return rs(sum(plane[i][j] for i in ys for j in xs), (rows * columns).bit_length() - 1)


def group_planes(inputs: list[Grid], weights: Weights, g: int, shape: tuple[int, int]) -> list[Grid]:
    """Section 6: S of each plane."""
    v1, c1, v2, c2, m = (weights[f"{name}{g}"] for name in ("v1", "c1", "v2", "c2", "m"))
    x: list[Grid] = [[[0] * shape[1] for _ in range(shape[0])] for _ in v2]
    for i in range(shape[0]):
        for j in range(shape[1]):
            z = [plane[i][j] for plane in inputs]
            h = [relu(sat(rs(dot(row, z) + b * 128, 10))) for row, b in zip(v1, c1[0], strict=True)]
            for c in range(len(v2)):
                x[c][i][j] = sat(sat(rs(dot(v2[c], h) + c2[0][c] * 512, 9)) + sat(rs(dot(m[c], z), 9)))
    if f"r1{g}" not in weights:
        return [[[clip(s, 0, 8192) for s in row] for row in plane] for plane in x]
    r1, d1, r2, d2 = (weights[f"{name}{g}"] for name in ("r1", "d1", "r2", "d2"))
    result: list[Grid] = [[[0] * shape[1] for _ in range(shape[0])] for _ in v2]
    for i in range(shape[0]):
        for j in range(shape[1]):
            around = [
                sat(plane[clip(i + dy, 0, shape[0] - 1)][clip(j + dx, 0, shape[1] - 1)] - 4096)
                for plane in x
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            ]
            e = [relu(sat(rs(dot(row, around) + b * 4096, 12))) for row, b in zip(r1, d1[0], strict=True)]
            for c in range(len(v2)):
                change = sat(rs(dot(r2[c], e) + d2[0][c] * 4096, 12))
                result[c][i][j] = clip(sat(x[c][i][j] + change), 0, 8192)
    return result


def make_planes(weights: Weights, grids: list[Grid], pixels: str, max_value: int) -> list[Grid]:
    """Sections 5 and 6. Hyper grids behind the grids are for the entropy network alone."""
    levels = levels_of(grids[: len(weights["b1"])], weights)
    height, width = len(grids[0]), len(grids[0][0])
    planes = group_planes(levels[0], weights, 0, (height, width))
    if pixels in ("420", "422"):
        rows = 2 if pixels == "420" else 1
        h, w = halves(height, rows - 1), halves(width, 1)
        luma = planes[0]
        if pixels == "420":
            inputs = levels[1] if len(levels) > 1 else []
        else:
            inputs = [[[mean(plane, y, x, 1, 2) for x in range(w)] for y in range(h)] for plane in levels[0]]
        given = [[mean(luma, y, x, rows, 2) - 4096 for x in range(w)] for y in range(h)]
        planes += group_planes([*inputs, given], weights, 1, (h, w))
    return [[[rs(s * max_value, 13) for s in row] for row in plane] for plane in planes]
