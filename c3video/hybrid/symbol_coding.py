# SPDX-License-Identifier: MIT
"""Motion fields and subband symbols of frames <-> coder.

Everything is known to a writer, which codes a subband or a field at once; a reader must go symbol by symbol, since each
one's table depends on those before. Tests hold the two together; `native/` has the readers in C++.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.coding.rangecoder import SparseWriter, SymbolReader
from c3video.coding.sparse_tables import FLAG
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.context_network import ContextNetwork, magnitude_feature
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import (
    FIRST_FLAG_CLASS,
    EarlierMotion,
    MotionSymbols,
    earlier_motion,
    read_field,
    to_symbols,
)
from c3video.hybrid.signs import SignContexts, sign_network, sign_tables
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
    coder: SparseWriter, network: ContextNetwork, symbols: FrameSymbols, reference: FrameSymbols, depth: int
) -> None:
    """Write a slice of one frame.

    Args:
        symbols: by plane and subband (h, w).
        reference: from `hybrid.subbands.reference_magnitudes`.
        depth: of the frame in the coding order.
    """
    for plane in range(len(symbols)):
        write_plane(coder, network, symbols, reference, plane, depth)


def write_plane(
    coder: SparseWriter,
    network: ContextNetwork,
    symbols: FrameSymbols,
    reference: FrameSymbols,
    plane: int,
    depth: int,
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
        at_zero = network.predict(np.zeros((len(features), 1)), classes, depth)
        tables = [np.full(values.size, int(index[0])) for index in at_zero]
        tables[0][seen], tables[1][seen] = network.predict(features[:, seen], classes, depth)
        coder.code_magnitudes(tables[0], tables[1], np.abs(values.ravel()))
        coder.code_signs(*sign_tables(bands, band, symbol_class(plane, band, len(bands) // 3)))


def read_subbands(
    coder: SymbolReader, network: ContextNetwork, layout: SliceLayout, reference: FrameSymbols, depth: int
) -> FrameSymbols:
    """Read a slice of one frame."""
    symbols = layout.empty()
    for plane, bands in enumerate(symbols):
        for band, values in enumerate(bands):
            if values.size == 0:
                continue
            known = known_features(symbols, reference, plane, band)
            classes = symbol_class(plane, band, len(bands) // 3)
            _read_magnitudes(coder, network, values, known, classes, depth)
            _read_signs(coder, bands, band, classes)
    return symbols


def _read_magnitudes(
    coder: SymbolReader, network: ContextNetwork, values: IntArray, known: IntArray, symbol_class: int, depth: int
) -> None:
    """Read the magnitudes of one subband in raster order into `values` (h, w)."""
    height, width = values.shape
    magnitudes = np.zeros((height + 2, width + 4), dtype=np.int64)
    flat = magnitudes.ravel()
    offsets = np.array([dy * (width + 4) + dx for dy, dx in CAUSAL])
    blank: NDArray[np.bool_] = ~np.any(known, axis=0)
    at_zero = network.predict(np.zeros((len(CAUSAL) + len(known), 1)), symbol_class, depth)
    for y in range(height):
        for x in range(width):
            place = (y + 2) * (width + 4) + x + 2
            taps = flat[offsets + place]
            if blank[y * width + x] and not taps.any():
                tables = at_zero
            else:
                features = np.concatenate([magnitude_feature(taps), known[:, y * width + x]])
                tables = network.predict(features[:, None], symbol_class, depth)
            values[y, x] = flat[place] = min(int(coder.code_magnitudes(*tables)[0]), MAX_SYMBOL)


def _read_signs(coder: SymbolReader, bands: Sequence[IntArray], band: int, symbol_class: int) -> None:
    """Read the signs of one subband in raster order; `bands` has its magnitudes."""
    values = bands[band]
    contexts = SignContexts(bands, band)
    for y, x in np.argwhere(values):
        zeros = sign_network().predict(contexts.inputs(np.array([y]), np.array([x])), symbol_class)
        if coder.code_sparse(zeros, np.full_like(zeros, FLAG))[0] > 0:
            values[y, x] = -values[y, x]
        contexts.put(y, x, values[y, x])


ListSymbols = Callable[[MotionField, CodedFrame, EarlierMotion | None], MotionSymbols]
"""`motion_symbols.to_symbols`, or that of the extension."""


def write_motion(coder: SparseWriter, network: ContextNetwork, coded: MotionSymbols, depth: int) -> None:
    """Write the symbols of the motion field of one frame."""
    zeros, tails = np.empty_like(coded.symbols), np.empty_like(coded.symbols)
    for kind in np.unique(coded.classes):
        chosen = coded.classes == kind
        zeros[chosen], tails[chosen] = _tables(network, coded.features[:, chosen], int(kind), depth)
    coder.code_sparse(zeros, tails, coded.symbols)


def _tables(network: ContextNetwork, features: IntArray, symbol_class: int, depth: int) -> tuple[IntArray, IntArray]:
    zeros, tails = network.predict(features, symbol_class, depth)
    return zeros, np.full_like(tails, FLAG) if symbol_class >= FIRST_FLAG_CLASS else tails


def read_motion(
    coder: SymbolReader,
    network: ContextNetwork,
    shape: tuple[int, int],
    frame: CodedFrame,
    earlier: EarlierMotion | None,
) -> MotionField:
    """Read the motion field of one frame of `shape` (bh, bw) blocks."""

    def read(symbol_class: int, features: IntArray) -> int:
        return int(coder.code_sparse(*_tables(network, features, symbol_class, frame.depth))[0])

    return read_field(shape, frame, earlier, read)


def list_frames_motion(
    fields: Sequence[MotionField | None], frames: Sequence[CodedFrame], list_symbols: ListSymbols
) -> list[MotionSymbols | None]:
    """Symbols of the fields of all frames, in coding order; None for a frame without references."""
    known: dict[int, tuple[CodedFrame, MotionField | None]] = {}
    found = []
    for field, frame in zip(fields, frames, strict=True):
        earlier = earlier_motion(frame, [known[index] for index in frame.references if index in known])
        found.append(None if field is None else list_symbols(field, frame, earlier))
        known[frame.index] = frame, field
    return found


def write_frames_motion(
    coder: SparseWriter,
    network: ContextNetwork,
    fields: Sequence[MotionField | None],
    frames: Sequence[CodedFrame],
    list_symbols: ListSymbols = to_symbols,
) -> None:
    """Write the fields of all frames, in coding order; None for a frame without references."""
    for coded, frame in zip(list_frames_motion(fields, frames, list_symbols), frames, strict=True):
        if coded is not None:
            write_motion(coder, network, coded, frame.depth)


def read_fields(
    read: Callable[[CodedFrame, EarlierMotion | None], MotionField],
    finish: Callable[[], None],
    frames: Sequence[CodedFrame],
) -> Iterator[MotionField | None]:
    """The motion of frames in coding order, each read when it is asked for; one that is not among them has no field.

    Args:
        read: the field of a frame that has references.
        finish: called when the last frame's turn is over.
    """
    last_use = {index: place for place, frame in enumerate(frames) for index in frame.references}
    known: dict[int, tuple[CodedFrame, MotionField | None]] = {}  # by display index, while a frame needs them
    for place, frame in enumerate(frames):
        field = None
        if frame.references:
            field = read(frame, earlier_motion(frame, [known[index] for index in frame.references if index in known]))
        if place == len(frames) - 1:
            finish()
        known = {index: known[index] for index in known if last_use[index] > place}
        if last_use.get(frame.index, -1) > place:
            known[frame.index] = frame, field
        yield field


def read_frames_motion(
    coder: SymbolReader, network: ContextNetwork, shape: tuple[int, int], frames: Sequence[CodedFrame]
) -> Iterator[MotionField | None]:
    """Read the fields of all frames; with the last one the payload must be at its end."""

    def read(frame: CodedFrame, earlier: EarlierMotion | None) -> MotionField:
        return read_motion(coder, network, shape, frame, earlier)

    return read_fields(read, coder.finish, frames)
