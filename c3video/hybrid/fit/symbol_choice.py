# SPDX-License-Identifier: MIT
"""Choosing the symbols of a frame's wavelet coefficients by rate and distortion.

A coefficient may become the nearest multiple of its step, the next one towards zero, or zero: whichever costs least in
squared error plus slope times bits. Bits come from the context network, whose contexts hold the choices themselves.

Choices decide no bit of decoding, so the extension and NumPy need not take the same ones. The extension goes through a
subband in raster order, so that the context of each choice is known; its passes after the first also weigh what a
choice does to the contexts of other symbols of its plane. NumPy would be too slow for that: each of its passes takes
all choices of a subband at once, in the contexts that the pass before left, and what they do to others is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.coding.rangecoder import SymbolCounter
from c3video.coding.sparse_tables import costs
from c3video.hybrid.context_network import ContextNetwork, magnitude_feature
from c3video.hybrid.subbands import (
    CAUSAL,
    MAX_SYMBOL,
    FrameSymbols,
    known_features,
    symbol_class,
)
from c3video.hybrid.symbol_coding import write_plane
from c3video.hybrid.wavelet import analyse
from c3video.native import symbol_choice as native_rounding

IntArray = NDArray[np.int64]

_SHRINK = 1.0 / 16.0
"""How far below its multiple a symbol is reconstructed, in steps (hybrid/subbands.py)."""


def coefficients_of(residual: NDArray[np.floating[Any]], levels: int) -> list[NDArray[np.floating[Any]]]:
    """`model.wavelet.analyse`; in float32, which holds all samples, where the extension is there."""
    if native.available():
        return list(native_rounding.analyse(residual.astype(np.float32), levels))
    return list(analyse(residual.astype(np.float64), levels))


def choose_symbols(
    coefficients: list[NDArray[np.floating[Any]]],
    steps: tuple[int, ...],
    network: ContextNetwork,
    symbols: FrameSymbols,
    reference: FrameSymbols,
    plane: int,
    level: int,
    slopes: Callable[[tuple[int, int]], NDArray[np.float64]],
    passes: int,
) -> float:
    """Fill in the symbols of one plane, subband by subband; returns their bits.

    Args:
        coefficients: by subband (h, w).
        steps: quantisation step of each subband.
        symbols: of the frame, those of earlier planes chosen; this plane's are written here.
        reference: magnitudes of the reference frames (`model.subbands.reference_magnitudes`).
        slopes: squared steps that a bit is worth, at each place of a subband of a shape.
        passes: over each subband; 0 leaves the network out and widens the zone of zero a little.
    """
    if native.available():
        found, bits = native_rounding.choose_plane(
            coefficients,
            steps,
            network,
            symbols,
            reference,
            plane,
            level,
            [slopes(band.shape).astype(np.float32) for band in coefficients],
            passes,
        )
        for band, values in zip(symbols[plane], found, strict=True):
            band[...] = values
        return bits
    choose_at_once(coefficients, steps, network, symbols, reference, plane, level, slopes, passes)
    counter = SymbolCounter()
    write_plane(counter, network, symbols, reference, plane, level)
    return counter.estimated_bits


def choose_at_once(
    coefficients: list[NDArray[np.floating[Any]]],
    steps: tuple[int, ...],
    network: ContextNetwork,
    symbols: FrameSymbols,
    reference: FrameSymbols,
    plane: int,
    level: int,
    slopes: Callable[[tuple[int, int]], NDArray[np.float64]],
    passes: int,
) -> None:
    """`choose_symbols` in NumPy."""
    for band, values in enumerate(coefficients):
        if values.size == 0:
            continue
        scaled = np.abs(values) / steps[band]
        nearest = np.minimum(np.floor(scaled + 0.5), MAX_SYMBOL).astype(np.int64)
        magnitudes = _clearly_worth(scaled)
        if passes > 0 and nearest.any():
            known = known_features(symbols, reference, plane, band)
            classes = symbol_class(plane, band, len(coefficients) // 3)
            magnitudes = _choose(scaled, nearest, known, network, classes, level, slopes(values.shape), passes)
        symbols[plane][band][...] = np.where(values < 0, -magnitudes, magnitudes)


def _choose(
    scaled: NDArray[np.float64],
    nearest: IntArray,
    known: IntArray,
    network: ContextNetwork,
    classes: int,
    level: int,
    slopes: NDArray[np.float64],
    passes: int,
) -> IntArray:
    """Magnitudes (h, w) of one subband. Only what does not round to zero has a choice."""
    height, width = nearest.shape
    rows, columns = np.nonzero(nearest)
    slope = slopes[rows, columns]
    wanted, start = scaled[rows, columns], nearest[rows, columns]
    options = np.stack([start, start - 1, np.zeros_like(start)])
    distances = np.square(wanted - np.where(options > 0, options - _SHRINK, 0.0))
    known = known[:, rows * width + columns]
    padded = np.zeros((height + 2, width + 4), dtype=np.int64)
    inside = padded[2:, 2:-2]
    inside[rows, columns] = _clearly_worth(wanted)
    for _ in range(passes):
        taps = np.stack([padded[rows + 2 + dy, columns + 2 + dx] for dy, dx in CAUSAL])
        zeros, tails = network.predict(np.concatenate([magnitude_feature(taps), known]), classes, level)
        bits = costs()[zeros, tails, np.minimum(options, 64)]
        chosen = np.argmin(distances + slope * bits, axis=0)
        inside[rows, columns] = np.take_along_axis(options, chosen[None], axis=0)[0]
    return inside.copy()


def _clearly_worth(scaled: NDArray[np.float64]) -> IntArray:
    """Magnitudes that hold on to less than rounding: a guess without a network, and its first contexts."""
    return np.minimum(np.floor(scaled + 0.4), MAX_SYMBOL).astype(np.int64)
