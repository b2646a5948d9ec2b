# SPDX-License-Identifier: MIT
"""Keeping a fit's weights where integers can follow: rows whose sums a decoder could not hold are drawn in.

Hidden units that are too large are halved, what reads them doubled, as rounding would do (`shrink_units`): the network
stays the same. Arrays that make outputs have nothing behind them that could take up a factor: their rows are scaled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from c3video.native.pyramid_fit import Floats
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.weights import BINARY_POINTS, MAX_CONTEXT, MAX_WEIGHT, column_units, shrink_units

_LARGEST_INPUTS = dict.fromkeys(("w1", "l", "p1", "pl", "h1", "hl"), MAX_CONTEXT) | dict.fromkeys(
    ("w2", "w3", "v1", "v2", "m", "r1", "r2"), 32768
)
_SHARED_ROWS = {"w1": 0.65, "l": 0.65, "p1": 0.25, "pl": 0.25, "h1": 0.1, "hl": 0.1}
"""Share of a sum that an array may take where others of its row (p1 and h1 beside w1, pl and hl beside l) add to it."""
_MARGIN = 0.85
"""Share of the range that a fit may use: room for biases and for rounding. It is less than `shrink_units` leaves, which
would halve a row that lies on its edge, and double what reads it beyond all bounds."""


def hold_sums(arrays: Mapping[str, Floats], config: PyramidConfig, layout: str) -> None:
    """Change weights in place until their sums of products stay within 32 bits, and clip them to 16 bits.

    Args:
        arrays: a fit's weights by name, float32.
    """
    units = {name: _unit(name, config, layout) for name in arrays}
    scaled = {name: array.astype(np.float64) / units[name] for name, array in arrays.items()}
    shrunk = dict(scaled)
    shrink_units(shrunk)
    for name, array in arrays.items():
        if shrunk[name] is not scaled[name]:
            array[...] = shrunk[name] * units[name]
    hold_rows(arrays, config, layout)


def hold_rows(arrays: Mapping[str, Floats], config: PyramidConfig, layout: str) -> None:
    """The same for some arrays of a fit, where what reads them is fixed: rows that are too large are scaled.

    Args:
        arrays: some of a fit's weights by name, float32.
    """
    for name, array in arrays.items():
        kind, unit = name.split(".")[0], _unit(name, config, layout)
        limit = _MARGIN * MAX_WEIGHT * unit
        np.clip(array, -limit, limit, out=array, casting="unsafe")
        if kind not in _LARGEST_INPUTS:
            continue
        sums = (np.abs(array) / unit).reshape(len(array), -1).sum(axis=1)
        share = _SHARED_ROWS.get(kind, 1.0) if config.num_previous or config.num_hyper else 1.0
        allowed = share * _MARGIN * 2.0**31 / _LARGEST_INPUTS[kind]
        if sums.max() > allowed:
            factors = np.minimum(1.0, allowed / np.maximum(sums, 1e-9)).astype(np.float32)
            array *= factors.reshape(-1, *[1] * (array.ndim - 1))


def _unit(name: str, config: PyramidConfig, layout: str) -> NDArray[np.float64]:
    """What a unit of an array's integers is worth in the floats of a fit, by column."""
    return np.asarray(column_units(name, config, layout)) * 2.0 ** -BINARY_POINTS[name.split(".")[0]]
