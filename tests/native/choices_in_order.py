# SPDX-License-Identifier: MIT
"""The choice of symbols that ships, read slowly: what `choose_plane` of the extension is held to, symbol by symbol.

Too slow to encode with: for each option of a choice all contexts of the plane are made anew. Where the extension leaves
something out, it says so in native/src/hybrid/symbol_choice.cpp.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3video.coding.sparse_tables import costs
from c3video.hybrid.context_network import magnitude_feature
from c3video.hybrid.fit.symbol_choice import PlaneChoice
from c3video.hybrid.subbands import CAUSAL, MAX_SYMBOL, causal_features, known_features, symbol_class

IntArray = NDArray[np.int64]

FAR_BITS = 3.0
"""A choice that costs so much more than the best one by itself is not looked at further."""


def choose_in_order(choice: PlaneChoice, passes: int) -> None:
    """Fill in the symbols of one plane.

    The first pass goes through each subband in turn, in raster order; a symbol costs its own bits, in the context of
    those that were chosen before. Each pass after it goes through all subbands again, from what the one before left,
    and adds the bits of all other symbols of the plane whose contexts change. With more than one pass subbands must fit
    each other: sides of the plane that are whole multiples of those of the coarsest subband.

    Args:
        passes: over each subband; 0 leaves the network out and widens the zone of zero a little.
    """
    own = choice.symbols[choice.plane]
    for band, values in enumerate(choice.coefficients):
        scaled = np.abs(values).astype(np.float64) / choice.steps[band]
        own[band][...] = np.where(_nearest(scaled) > 0, np.minimum(np.floor(scaled + 0.4), MAX_SYMBOL), 0)
        if passes > 0:
            _pass(choice, band, scaled, is_first=True)
    for _ in range(1, passes):
        for band, values in enumerate(choice.coefficients):
            _pass(choice, band, np.abs(values).astype(np.float64) / choice.steps[band], is_first=False)
    for band, values in enumerate(choice.coefficients):
        own[band][...] = np.where(values < 0, -own[band], own[band])


def _nearest(scaled: NDArray[np.float64]) -> IntArray:
    return np.minimum(np.floor(scaled + 0.5), MAX_SYMBOL).astype(np.int64)


def _pass(choice: PlaneChoice, band: int, scaled: NDArray[np.float64], *, is_first: bool) -> None:
    """Choose each magnitude of one subband, in raster order: the least of all losses, the largest of equal ones."""
    magnitudes = choice.symbols[choice.plane][band]
    if magnitudes.size == 0:
        return
    known = known_features(choice.symbols, choice.reference, choice.plane, band)
    padded = np.pad(magnitudes, ((2, 0), (2, 2)))
    for y, x in np.argwhere(_nearest(scaled)):
        nearest = int(_nearest(scaled[y, x]))
        options = list(dict.fromkeys([nearest, max(nearest - 1, 1), 0]))
        taps = magnitude_feature(np.array([padded[2 + y + dy, 2 + x + dx] for dy, dx in CAUSAL]))
        here = np.concatenate([taps, known[:, y * magnitudes.shape[1] + x]])
        table = _tables(choice, band, here[:, None])
        slope = float(choice.slopes[band][y, x])
        losses = []
        for option in options:
            error = scaled[y, x] - (option - 1.0 / 16.0 if option > 0 else 0.0)
            losses.append(error * error + slope * float(_bits(table, np.array([option]))[0]))
        if not is_first:
            limit = min(losses) + slope * FAR_BITS
            options = [option for option, loss in zip(options, losses, strict=True) if loss <= limit]
            losses = [loss for loss in losses if loss <= limit]
            if len(options) > 1:
                others = _bits_of_others(choice, band, (int(y), int(x)), options)
                losses = [loss + slope * bits for loss, bits in zip(losses, others, strict=True)]
        magnitudes[y, x] = padded[2 + y, 2 + x] = options[int(np.argmin(losses))]


def _features(choice: PlaneChoice, band: int) -> IntArray:
    """(26, h * w) of the symbols of a subband, as all symbols are now."""
    known = known_features(choice.symbols, choice.reference, choice.plane, band)
    return np.concatenate([causal_features(choice.symbols[choice.plane][band]), known])


def _tables(choice: PlaneChoice, band: int, features: IntArray) -> tuple[IntArray, IntArray]:
    kind = symbol_class(choice.plane, band, len(choice.coefficients) // 3)
    return choice.network.predict(features, kind, choice.depth)


def _bits(tables: tuple[IntArray, IntArray], magnitudes: IntArray) -> NDArray[np.float64]:
    """Bits of magnitudes (N,); beyond 64 those of 64, whose difference a choice does not move."""
    return costs()[tables[0], tables[1], np.minimum(np.abs(magnitudes), 64)].astype(np.float64)


def _bits_of_others(choice: PlaneChoice, band: int, place: tuple[int, int], options: list[int]) -> list[float]:
    """For each option of one symbol the bits of all symbols whose contexts depend on it.

    Sums of so few float32 are exact in float64: their order does not matter.
    """
    own = choice.symbols[choice.plane]
    total = [0.0] * len(options)
    for other in range(band, len(own)):
        if own[other].size == 0:
            continue
        features = []
        for option in options:
            own[band][place] = option
            features.append(_features(choice, other))
        changed = np.any([(found != features[0]).any(axis=0) for found in features], axis=0)
        if changed.any():
            magnitudes = own[other].ravel()[changed]
            for number, found in enumerate(features):
                total[number] += float(_bits(_tables(choice, other, found[:, changed]), magnitudes).sum())
    return total
