# SPDX-License-Identifier: MIT
"""Choosing the symbols of a frame's wavelet coefficients by rate and distortion.

A coefficient may become the nearest multiple of its step, the next one towards zero, or zero: whichever costs least in
squared error plus slope times bits. Bits come from the context network, whose contexts hold the choices themselves.

Choices decide no bit of decoding, so the extension and NumPy need not take the same ones. The extension goes through a
subband in raster order, so that the context of each choice is known; its passes after the first also weigh what a
choice does to the contexts of other symbols of its plane (native/symbol_choice.py). NumPy, which is here, would be too
slow for that: each of its passes takes all choices of a subband at once, in the contexts that the pass before left, and
what they do to others is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.coding.sparse_tables import costs
from c3video.hybrid.context_network import ContextNetwork, magnitude_feature
from c3video.hybrid.subbands import (
    CAUSAL,
    MAX_SYMBOL,
    FrameSymbols,
    known_features,
    symbol_class,
)

IntArray = NDArray[np.int64]

_SHRINK = 1.0 / 16.0
"""How far below its multiple a symbol is reconstructed, in steps (hybrid/subbands.py)."""


Coefficients = list[NDArray[np.floating[Any]]]
"""By subband (h, w)."""


@dataclass(frozen=True)
class PlaneChoice:
    """What the symbols of one plane are chosen from.

    Args:
        coefficients: by subband (h, w).
        steps: quantisation step of each subband.
        slopes: by subband (h, w), squared steps that a bit is worth.
        network: of subbands.
        symbols: of the frame, those of earlier planes chosen; this plane's are written here.
        reference: magnitudes of the reference frames (`hybrid.subbands.reference_magnitudes`).
        depth: of the frame in the coding order.
    """

    coefficients: Coefficients
    steps: Sequence[int]
    slopes: Sequence[NDArray[np.floating[Any]]]
    network: ContextNetwork
    symbols: FrameSymbols
    reference: FrameSymbols
    plane: int
    depth: int


def choose_at_once(choice: PlaneChoice, passes: int) -> None:
    """Fill in the symbols of one plane, subband by subband.

    Args:
        passes: over each subband; 0 leaves the network out and widens the zone of zero a little.
    """
    num_levels = len(choice.coefficients) // 3
    for band, values in enumerate(choice.coefficients):
        if values.size == 0:
            continue
        scaled = np.abs(values) / choice.steps[band]
        nearest = np.minimum(np.floor(scaled + 0.5), MAX_SYMBOL).astype(np.int64)
        magnitudes = _clearly_worth(scaled)
        if passes > 0 and nearest.any():
            known = known_features(choice.symbols, choice.reference, choice.plane, band)

            def tables(
                taps: IntArray, known: IntArray, kind: int = symbol_class(choice.plane, band, num_levels)
            ) -> tuple[IntArray, IntArray]:
                features = np.concatenate([magnitude_feature(taps), known])
                return choice.network.predict(features, kind, choice.depth)

            magnitudes = _choose(scaled, nearest, known, tables, choice.slopes[band], passes)
        choice.symbols[choice.plane][band][...] = np.where(values < 0, -magnitudes, magnitudes)


def _choose(
    scaled: NDArray[np.float64],
    nearest: IntArray,
    known: IntArray,
    tables: Callable[[IntArray, IntArray], tuple[IntArray, IntArray]],
    slopes: NDArray[np.floating[Any]],
    passes: int,
) -> IntArray:
    """Magnitudes (h, w) of one subband. Only what does not round to zero has a choice.

    Args:
        scaled: (h, w) magnitudes of coefficients in steps.
        nearest: (h, w) the same, rounded.
        known: (18, h * w) features that do not depend on choices here.
        tables: (causal magnitudes (8, N), known features (18, N)) -> tables of coding/sparse_tables.py.
    """
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
        zeros, tails = tables(taps, known)
        bits = costs()[zeros, tails, np.minimum(options, 64)]
        chosen = np.argmin(distances + slope * bits, axis=0)
        inside[rows, columns] = np.take_along_axis(options, chosen[None], axis=0)[0]
    return inside.copy()


def _clearly_worth(scaled: NDArray[np.float64]) -> IntArray:
    """Magnitudes that hold on to less than rounding: a guess without a network, and its first contexts."""
    return np.minimum(np.floor(scaled + 0.4), MAX_SYMBOL).astype(np.int64)
