# SPDX-License-Identifier: MIT
"""Motion fields and subband symbols of frames <-> coder.

Everything is known to a writer, which codes a subband or a field at once; a reader must go symbol by symbol, since each
one's table hangs on those before. Tests hold the two together; `native/` has the reader in C++.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.coding.rangecoder import SparseWriter, SymbolReader
from c3video.hybrid import motion_symbols
from c3video.hybrid.compensation import BOTH, FORWARD, MotionField
from c3video.hybrid.context_network import ContextNetwork, magnitude_feature
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import (
    AROUND,
    MODE_CLASS,
    MODE_SIGNS,
    PARTS,
    SPLIT_CLASS,
    Neighbours,
    clip_component,
    north_east_is_coded,
    places_around,
    to_symbols,
    uses,
)
from c3video.hybrid.subbands import (
    CAUSAL,
    MAX_SYMBOL,
    FrameSymbols,
    SliceLayout,
    causal_features,
    known_features,
    symbol_class,
)

IntArray = NDArray[np.int64]


def write_subbands(
    coder: SparseWriter, network: ContextNetwork, symbols: FrameSymbols, reference: FrameSymbols, level: int
) -> None:
    """Write a slice of one frame.

    Args:
        symbols: by plane and subband (h, w).
        reference: from `model.subbands.reference_magnitudes`.
        level: of the frame in the coding order.
    """
    for plane in range(len(symbols)):
        write_plane(coder, network, symbols, reference, plane, level)


def write_plane(
    coder: SparseWriter,
    network: ContextNetwork,
    symbols: FrameSymbols,
    reference: FrameSymbols,
    plane: int,
    level: int,
) -> None:
    """Write one plane of a slice; those of later planes need not be known."""
    bands = symbols[plane]
    for band, values in enumerate(bands):
        if values.size == 0:
            continue
        features = np.concatenate([causal_features(values), known_features(symbols, reference, plane, band)])
        classes = symbol_class(plane, band, len(bands) // 3)
        # Most contexts are all zero, and those share a table.
        seen = features.any(axis=0)
        at_zero = network.predict(np.zeros((len(features), 1)), classes, level)
        tables = [np.full(values.size, int(index[0])) for index in at_zero]
        tables[0][seen], tables[1][seen] = network.predict(features[:, seen], classes, level)
        coder.code_sparse(tables[0], tables[1], values.ravel())


def read_subbands(
    coder: SymbolReader, network: ContextNetwork, layout: SliceLayout, reference: FrameSymbols, level: int
) -> FrameSymbols:
    """Read a slice of one frame."""
    symbols = layout.empty()
    for plane, bands in enumerate(symbols):
        for band, values in enumerate(bands):
            if values.size == 0:
                continue
            known = known_features(symbols, reference, plane, band)
            _read_subband(coder, network, values, known, symbol_class(plane, band, len(bands) // 3), level)
    return symbols


def _read_subband(
    coder: SymbolReader, network: ContextNetwork, values: IntArray, known: IntArray, symbol_class: int, level: int
) -> None:
    """Read one subband in raster order into `values` (h, w)."""
    height, width = values.shape
    magnitudes = np.zeros((height + 2, width + 4), dtype=np.int64)
    flat = magnitudes.ravel()
    offsets = np.array([dy * (width + 4) + dx for dy, dx in CAUSAL])
    blank: NDArray[np.bool_] = ~np.any(known, axis=0)
    at_zero = network.predict(np.zeros((len(CAUSAL) + len(known), 1)), symbol_class, level)
    for y in range(height):
        for x in range(width):
            place = (y + 2) * (width + 4) + x + 2
            taps = flat[offsets + place]
            if blank[y * width + x] and not taps.any():
                tables = at_zero
            else:
                features = np.concatenate([magnitude_feature(taps), known[:, y * width + x]])
                tables = network.predict(features[:, None], symbol_class, level)
            symbol = int(np.clip(coder.code_sparse(*tables)[0], -MAX_SYMBOL, MAX_SYMBOL))
            values[y, x] = symbol
            flat[place] = abs(symbol)


def write_motion(coder: SparseWriter, network: ContextNetwork, field: MotionField, frame: CodedFrame) -> None:
    """Write the motion field of one frame."""
    coded = to_symbols(field, frame)
    zeros, tails = np.empty_like(coded.symbols), np.empty_like(coded.symbols)
    for kind in np.unique(coded.classes):
        chosen = coded.classes == kind
        zeros[chosen], tails[chosen] = network.predict(coded.features[:, chosen], int(kind), frame.level)
    coder.code_sparse(zeros, tails, coded.symbols)


def read_motion(coder: SymbolReader, network: ContextNetwork, shape: tuple[int, int], frame: CodedFrame) -> MotionField:
    """Read the motion field of one frame of `shape` (bh, bw) blocks."""
    num_references = len(frame.references)
    # A margin of one on all sides: it uses no reference and is not split.
    splits = np.zeros((shape[0] + 2, shape[1] + 2), dtype=np.int64)
    modes = np.full((2 * shape[0] + 2, 2 * shape[1] + 2), -1, dtype=np.int64)
    vectors = np.zeros((num_references, 2, *modes.shape), dtype=np.int64)
    differences = np.zeros_like(vectors)

    def read(symbol_class: int, features: IntArray) -> int:
        tables = network.predict(features.reshape(-1, 1), symbol_class, frame.level)
        return int(coder.code_sparse(*tables)[0])

    signs = np.zeros_like(modes)

    def read_part(y: int, x: int, height: int, width: int) -> None:
        """The part that begins at quarter (y, x)."""
        here = np.s_[y + 1 : y + 1 + height, x + 1 : x + 1 + width]
        places = [(int(row), int(column)) for row, column in places_around(y, x, width) + 1]
        if not north_east_is_coded(y, x, width):
            places[2] = (0, 0)
        mode = FORWARD
        if num_references == 2:
            near = np.array([signs[place] for place in places])[:, None]
            sign = read(MODE_CLASS, motion_symbols.mode_features(near)) * int(motion_symbols.expected_sign(near)[0])
            signs[here] = sign = max(-1, min(1, sign))
            mode = MODE_SIGNS.index(sign)
        is_both = np.array([mode == BOTH])
        for reference in range(num_references):
            if not uses(mode, reference):
                continue
            for component in range(2):
                neighbours = Neighbours(
                    np.array([vectors[reference, component][place] for place in places[:3]])[:, None],
                    np.array([uses(modes[place], reference) for place in places[:3]])[:, None],
                )
                own = differences[reference, component]
                first = differences[0, component, y + 1, x + 1 : x + 2] * (reference and is_both)
                features = motion_symbols.component_features(
                    neighbours.spreads(),
                    own[places[0]][None],
                    own[places[1]][None],
                    differences[reference, 0, y + 1, x + 1 : x + 2] * component,
                    first,
                    is_both,
                )
                difference = read(1 + 2 * reference + component, features)
                prediction = neighbours.prediction() + (motion_symbols.carried_on(first, frame) if reference else 0)
                own[here] = difference
                vectors[reference, component][here] = clip_component(int(prediction[0]) + difference)
        modes[here] = mode

    for row in range(shape[0]):
        for column in range(shape[1]):
            around = np.array([splits[row + 1 + dy, column + 1 + dx] for dy, dx in AROUND])
            split = motion_symbols.split_of(read(SPLIT_CLASS, motion_symbols.split_features(around)))
            splits[row + 1, column + 1] = split
            for y, x, height, width in PARTS[split]:
                read_part(2 * row + y, 2 * column + x, height, width)
    inside = np.s_[..., 1:-1, 1:-1]
    return MotionField(vectors[inside].copy(), modes[inside].copy(), splits[inside].copy())


def write_frames_motion(
    coder: SparseWriter, network: ContextNetwork, fields: Sequence[MotionField | None], frames: Sequence[CodedFrame]
) -> None:
    """Write the fields of all frames, in coding order; None for a frame without references."""
    for field, frame in zip(fields, frames, strict=True):
        if field is not None:
            write_motion(coder, network, field, frame)


def read_frames_motion(
    coder: SymbolReader, network: ContextNetwork, shape: tuple[int, int], frames: Sequence[CodedFrame]
) -> Iterator[MotionField | None]:
    """Read them, each when it is asked for; with the last one the payload must be at its end."""
    for frame in frames:
        field = read_motion(coder, network, shape, frame) if frame.references else None
        if frame is frames[-1]:
            coder.finish()
        yield field
